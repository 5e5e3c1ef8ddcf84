//! The objects of the Databricks account.
//!
//! Assumed, not documented: that names of storage configurations, networks, registrations and
//! private access settings are unique as those of credentials are; that a registration cannot go
//! while any network names it; that a registered endpoint may be registered again later.

use cloud::Class;
use serde_json::{Value, json};

use crate::ec2::{ENDPOINT, GROUP, SUBNET, VPC, endpoint_state};
use crate::iam::{ROLE, assumable, mentions_databricks};
use crate::s3::{BUCKET, POLICY};
use crate::sim::{Candidate, Finds, IdForm, Link, PLAIN, Sim, View, refuse, scatter, texts};
use crate::store::Object;

const CREDENTIALS: &str = "databricks.credentials";
const STORAGE: &str = "databricks.storage_configuration";
const REGISTRATION: &str = "databricks.vpc_endpoint";
const ACCESS: &str = "databricks.private_access_settings";
const NETWORK: &str = "databricks.network";
const WORKSPACE: &str = "databricks.workspace";

const ACCOUNT: Sim = Sim { service: "databricks", missing: "RESOURCE_DOES_NOT_EXIST", ..PLAIN };

pub(crate) const KINDS: &[Sim] = &[
    Sim {
        kind: CREDENTIALS,
        finds: Finds::Key(&["name"], &["role_arn"]),
        links: &[Link::blind("role_arn", ROLE)],
        check: check_credentials,
        blank: r#"{"name":"","role_arn":""}"#,
        ..ACCOUNT
    },
    Sim {
        kind: STORAGE,
        finds: Finds::Key(&["name"], &["bucket", "role_arn"]),
        // The bucket is looked at when a workspace is made.
        links: &[Link::blind("bucket", BUCKET)],
        check: |view, me| check_name(view, me, STORAGE, "Storage configuration"),
        blank: r#"{"name":"","bucket":"","role_arn":null}"#,
        ..ACCOUNT
    },
    Sim {
        kind: REGISTRATION,
        finds: Finds::Key(&["endpoint"], &["name", "region"]),
        links: &[Link::loose("endpoint", ENDPOINT)],
        check: check_registration,
        moves: registration_moves,
        appear: appear_registration,
        making: (60_000, 180_000),
        blank: r#"{"name":"","endpoint":"","region":""}"#,
        ..ACCOUNT
    },
    Sim {
        kind: ACCESS,
        finds: Finds::Key(&["name"], &["region"]),
        links: &[Link::loose("allowed", REGISTRATION)],
        check: |view, me| check_name(view, me, ACCESS, "Private access settings"),
        blank: r#"{"name":"","region":"","public_access":false,"level":"ACCOUNT","allowed":[]}"#,
        ..ACCOUNT
    },
    Sim {
        kind: NETWORK,
        finds: Finds::Key(
            &["name"],
            &["vpc", "subnets", "groups", "rest_endpoint", "relay_endpoint"],
        ),
        // What it names in AWS is looked at when a workspace is made.
        links: &[
            Link::blind("vpc", VPC),
            Link::blind("subnets", SUBNET),
            Link::blind("groups", GROUP),
            Link::firm("rest_endpoint", REGISTRATION),
            Link::firm("relay_endpoint", REGISTRATION),
        ],
        check: check_network,
        appear: appear_network,
        blank: r#"{"name":"","vpc":"","subnets":[],"groups":[],"rest_endpoint":null,"relay_endpoint":null}"#,
        ..ACCOUNT
    },
    Sim {
        kind: WORKSPACE,
        id: IdForm::Number,
        finds: Finds::Key(&["name", "region"], &["storage"]),
        links: &[
            Link::firm("credentials", CREDENTIALS),
            Link::firm("storage", STORAGE),
            Link::firm("network", NETWORK),
            Link::firm("private_access", ACCESS),
        ],
        check: check_workspace,
        fate: workspace_fate,
        appear: appear_workspace,
        making: (300_000, 420_000),
        going: (30_000, 90_000),
        blank: r#"{"name":"","region":"","credentials":null,"storage":null,"network":null,"private_access":null,"tier":null,"deployment_name":null,"tags":{}}"#,
        ..ACCOUNT
    },
];

fn malformed<T>(message: impl Into<String>) -> cloud::Result<T> {
    refuse(Class::Invalid, "MALFORMED_REQUEST", message)
}

fn check_name(view: &View, me: &Candidate, kind: &str, words: &str) -> cloud::Result<()> {
    let name = me.text("name");
    if !(4..=256).contains(&name.chars().count()) {
        return malformed(format!("{words} name must have 4 to 256 characters: {name:?}"));
    }
    if view.others(kind, me.id).any(|o| o.text("name") == name) {
        let message = format!(
            "{words} name {name} already exists in this account. Try again with a unique name."
        );
        return refuse(Class::AlreadyExists, "RESOURCE_ALREADY_EXISTS", message);
    }
    Ok(())
}

fn check_credentials(view: &View, me: &Candidate) -> cloud::Result<()> {
    check_name(view, me, CREDENTIALS, "Credential configuration")?;
    if assumable(view, me.text("role_arn")) {
        return Ok(());
    }
    // The same words for "not yet" and for "never": so the service has it.
    let message = "Failed credential validation checks: please use a valid cross account IAM role \
                   with permissions setup correctly";
    refuse(Class::Propagating, "MALFORMED_REQUEST", message)
}

fn check_registration(view: &View, me: &Candidate) -> cloud::Result<()> {
    let endpoint = me.text("endpoint");
    if view.others(REGISTRATION, me.id).any(|o| o.text("endpoint") == endpoint) {
        let message = format!("VPC endpoint {endpoint} is already registered");
        return refuse(Class::AlreadyExists, "RESOURCE_ALREADY_EXISTS", message);
    }
    check_name(view, me, REGISTRATION, "VPC endpoint")
}

/// The AWS endpoint is rejected when its registration goes, and accepted when it comes.
fn registration_moves(view: &View, me: &Object, made: bool) -> Vec<Object> {
    let Some(endpoint) = view.get(ENDPOINT, me.text("endpoint")) else { return Vec::new() };
    let fate = (!made).then(|| "rejected".to_owned());
    if endpoint.fate == fate { Vec::new() } else { vec![Object { fate, ..endpoint.clone() }] }
}

fn appear_registration(view: &View, me: &Object, seen: &mut Value) -> bool {
    let endpoint = view.get(ENDPOINT, me.text("endpoint"));
    let state = match endpoint {
        None if me.outside => "available",
        None => "deleted",
        Some(_) if !me.ready(view.now) => "pending",
        Some(endpoint) => endpoint_state(view, endpoint),
    };
    seen["state"] = json!(state.to_ascii_lowercase());
    seen["use_case"] = json!(use_case(view, endpoint, me));
    true
}

/// What an endpoint is for. The server knows its services; here, those named for relays or whose
/// object is, and everything else is for the workspace.
fn use_case(_: &View, endpoint: Option<&Object>, me: &Object) -> &'static str {
    let service = endpoint.map_or("", |e| e.text("service"));
    let mark = endpoint.and_then(Object::mark);
    let address = mark.as_ref().map_or("", |m| m.address.name());
    let relay = |text: &str| text.contains("relay") || text.contains("scc");
    if relay(me.text("name")) || relay(address) || relay(service) {
        "DATAPLANE_RELAY_ACCESS"
    } else {
        "GENERAL_ACCESS"
    }
}

fn check_network(view: &View, me: &Candidate) -> cloud::Result<()> {
    check_name(view, me, NETWORK, "Network")?;
    let count = |field: &str| texts(&me.props[field]).len();
    if count("subnets") < 2 || !(1..=5).contains(&count("groups")) {
        return malformed("A network needs at least two subnets and one to five security groups");
    }
    if me.props["rest_endpoint"].is_null() != me.props["relay_endpoint"].is_null() {
        return malformed("vpc_endpoints needs both rest_api and dataplane_relay");
    }
    for field in ["subnets", "groups"].iter().filter(|_| !view.settings.shared_subnets) {
        let mine = texts(&me.props[*field]);
        let shares = |o: &Object| texts(&o.props[*field]).iter().any(|id| mine.contains(id));
        if let Some(other) = view.others(NETWORK, me.id).find(|o| shares(o)) {
            return malformed(format!("{field} are already used by network {}", other.id));
        }
    }
    Ok(())
}

/// The workspace that uses the network, on its way out or not.
fn user_of<'a>(view: &View<'a>, network: &str) -> Option<&'a Object> {
    view.all(WORKSPACE).find(|w| w.text("network") == network)
}

fn appear_network(view: &View, me: &Object, seen: &mut Value) -> bool {
    let user = user_of(view, &me.id);
    let problems = user.map(|_| problems(view, me)).unwrap_or_default();
    let status = match user {
        None => "UNATTACHED",
        Some(_) if !problems.is_empty() => "BROKEN",
        Some(user) if !user.ready(view.now) => "UNATTACHED",
        Some(_) => "VALID",
    };
    seen["status"] = json!(status);
    seen["workspace"] = json!(user.and_then(|w| w.id.parse::<i64>().ok()));
    seen["problems"] = json!(problems);
    true
}

/// What the service would find wrong in AWS when it looks.
fn problems(view: &View, network: &Object) -> Vec<String> {
    let mut found = Vec::new();
    if network.outside {
        return found;
    }
    let vpc = network.text("vpc");
    if view.get(VPC, vpc).is_none() {
        found.push(format!("vpc: {vpc} does not exist"));
    }
    let mut zones = Vec::new();
    for (field, kind, word) in [("subnets", SUBNET, "subnet"), ("groups", GROUP, "securityGroup")] {
        for id in texts(&network.props[field]) {
            match view.get(kind, &id) {
                None => found.push(format!("{word}: {id} does not exist")),
                Some(o) if !o.outside && o.text("vpc") != vpc => {
                    found.push(format!("{word}: {id} is not in {vpc}"));
                }
                Some(o) if kind == SUBNET && !o.outside => zones.push(o.text("zone")),
                Some(_) => {}
            }
        }
    }
    let all = zones.len();
    zones.sort_unstable();
    zones.dedup();
    if zones.len() < all {
        found.push("subnet: two subnets are in one availability zone".to_owned());
    }
    for field in ["rest_endpoint", "relay_endpoint"] {
        let Some(registration) = view.get(REGISTRATION, network.text(field)) else { continue };
        let mut seen = json!({});
        appear_registration(view, registration, &mut seen);
        if seen["state"] != json!("available") {
            found.push(format!("vpc: endpoint {} is {}", registration.id, seen["state"]));
        }
    }
    found
}

fn check_workspace(view: &View, me: &Candidate) -> cloud::Result<()> {
    let name = me.text("name");
    if !(1..=100).contains(&name.chars().count()) {
        return malformed(format!("Invalid workspace_name: {name:?}"));
    }
    let before = me.id.and_then(|id| view.get(WORKSPACE, id));
    if me.touches("credentials") || before.is_none() {
        let credentials = view.get(CREDENTIALS, me.text("credentials"));
        let Some(credentials) = credentials else {
            return malformed(format!("Invalid credentialsId: {}", me.text("credentials")));
        };
        if !credentials.outside && !assumable(view, credentials.text("role_arn")) {
            let message = "Failed credentials validation checks: Describe Availability Zones";
            return refuse(Class::Propagating, "MALFORMED_REQUEST", message);
        }
    }
    if before.is_none() {
        check_storage(view, me)?;
        check_deployment(view, me)?;
    }
    if me.touches("network") {
        check_attachment(view, me, before)?;
    }
    if me.touches("private_access") {
        if let Some(had) = before.filter(|w| !w.text("private_access").is_empty())
            && me.text("private_access").is_empty()
        {
            let message = format!("Private access settings cannot be removed from {}", had.id);
            return malformed(message);
        }
        check_private(view, me)?;
    }
    Ok(())
}

fn check_storage(view: &View, me: &Candidate) -> cloud::Result<()> {
    let Some(storage) = view.get(STORAGE, me.text("storage")) else {
        return malformed(format!("Invalid storageConfigurationId: {}", me.text("storage")));
    };
    let bucket = storage.text("bucket");
    let policy = view.get(POLICY, bucket);
    let allowed = view.get(BUCKET, bucket).is_some_and(|b| {
        b.outside || policy.is_some_and(|p| p.outside || mentions_databricks(&p.props["policy"]))
    });
    if !allowed && !storage.outside {
        return malformed("Failed storage configuration validation checks");
    }
    Ok(())
}

fn check_deployment(view: &View, me: &Candidate) -> cloud::Result<()> {
    let asked = me.text("deployment_name");
    if asked.is_empty() {
        return Ok(());
    }
    if view.settings.deployment_prefix.is_none() {
        let message = "Failed parameter validation checks: Deployment name cannot be used until a \
                       deployment name prefix is defined";
        return malformed(message);
    }
    if view.others(WORKSPACE, me.id).any(|o| o.text("deployment_name") == asked) {
        let message = format!("Deployment name {asked} is already in use");
        return refuse(Class::AlreadyExists, "RESOURCE_ALREADY_EXISTS", message);
    }
    Ok(())
}

fn check_attachment(view: &View, me: &Candidate, before: Option<&Object>) -> cloud::Result<()> {
    let wanted = me.text("network");
    if let Some(before) = before.filter(|w| w.fate.is_none() && !w.outside) {
        let had = before.text("network");
        if had.is_empty() != wanted.is_empty() {
            return malformed(
                "A running workspace cannot change between a Databricks-managed and a customer-managed network",
            );
        }
    }
    let user = user_of(view, wanted).filter(|w| !wanted.is_empty() && me.id != Some(&w.id));
    if let Some(user) = user {
        let message = format!("Network {wanted} is already attached to workspace {}", user.id);
        return malformed(message);
    }
    Ok(())
}

fn check_private(view: &View, me: &Candidate) -> cloud::Result<()> {
    let Some(settings) = view.get(ACCESS, me.text("private_access")) else { return Ok(()) };
    if settings.outside {
        return Ok(());
    }
    if settings.text("region") != me.text("region") {
        return malformed(format!("Invalid privateAccessSettingsId: {}", settings.id));
    }
    let Some(network) = view.get(NETWORK, me.text("network")) else {
        return malformed("Cannot create PrivateLink workspace: networkId is required");
    };
    let complete = network.outside
        || !(network.text("rest_endpoint").is_empty() || network.text("relay_endpoint").is_empty());
    if settings.props["public_access"] == json!(false) && !complete {
        let message = "Cannot create PrivateLink workspace: public access is disabled and the \
                       network has no VPC endpoints";
        return malformed(message);
    }
    Ok(())
}

fn workspace_fate(view: &View, me: &Candidate) -> Option<String> {
    let network = view.get(NETWORK, me.text("network"))?;
    let problems = problems(view, network);
    (!problems.is_empty())
        .then(|| format!("Workspace failed to launch: see network {}", network.id))
}

fn appear_workspace(view: &View, me: &Object, seen: &mut Value) -> bool {
    let (status, message) = match (&me.fate, me.ready(view.now)) {
        (Some(why), true) => ("FAILED", why.clone()),
        (None, true) => ("RUNNING", "Workspace is running.".to_owned()),
        // The first fifth of the time nothing seems to happen.
        (_, false)
            if 5 * (view.now - me.changed_at.min(view.now)) < me.ready_at - me.changed_at =>
        {
            ("NOT_PROVISIONED", "Workspace has not yet begun provisioning.".to_owned())
        }
        (_, false) => ("PROVISIONING", "Workspace is being provisioned.".to_owned()),
    };
    let prefix = view.settings.deployment_prefix.as_deref().unwrap_or_default();
    let name = match me.text("deployment_name") {
        "" => {
            let bits = scatter(view.settings.seed, &me.id);
            format!("dbc-{:08x}-{:04x}", bits >> 32, bits & 0xffff)
        }
        "EMPTY" => prefix.to_owned(),
        asked => format!("{prefix}-{asked}"),
    };
    seen["status"] = json!(status);
    seen["status_message"] = json!(message);
    if status == "FAILED" {
        let network = view.get(NETWORK, me.text("network"));
        seen["problems"] = json!(network.map(|n| problems(view, n)).unwrap_or_default());
    }
    seen["url"] = json!(format!("https://{name}.cloud.databricks.com"));
    seen["deployment_name"] = json!(name);
    if seen["tier"].is_null() {
        seen["tier"] = json!("ENTERPRISE");
    }
    true
}

/// Whether an update makes the object pass through its making again.
pub(crate) fn restarts(before: &Object) -> bool {
    before.kind == WORKSPACE && before.fate.is_some()
}
