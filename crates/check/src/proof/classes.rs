//! The destinations of nodes, and the way each of them is asked for.

use std::collections::BTreeSet;

use facts::regions;
use ipnet::Ipv4Net;
use spec::{ExternalMetastore, Host, Remote};

use super::groups::{Call, To, private};
use super::index::Site;
use super::names::{By, Resolved, Service};
use super::policy::Need;
use super::walk::{EVERYTHING, Leads, Missing, Passed, Walk};
use super::{Proof, Step, Verdict, Via};
use crate::topology::{Access, Connection, Key, Resolver};

const HTTPS: Call = Call::tcp(443);
const FIPS: Call = Call::tcp(2443);
const RELAY: Call = Call::tcp(6666);
const DATABASE: Call = Call::tcp(3306);
const LAKEBASE: Call = Call::tcp(5432);

/// The control plane's ports besides 443, by class.
const CONTROL_PLANE: [(&str, &str, (u16, u16)); 3] = [
    ("D2", "control plane API", (8443, 8443)),
    ("D3", "catalog logs", (8444, 8444)),
    ("D4", "reserved ports", (8445, 8451)),
];

/// Buckets of one class.
struct Buckets {
    class: &'static str,
    to: String,
    /// The rule that an endpoint policy without them breaks.
    policy: &'static str,
    /// Name and region; `None` for a name that no source gives.
    buckets: Vec<(Option<String>, String)>,
    needs: Vec<Need>,
}

/// What one workspace asks of every one of its subnets.
pub(super) struct Wanted {
    host: String,
    govcloud: bool,
    relay_calls: Vec<Call>,
    stores: Vec<Buckets>,
    sts: Vec<Need>,
    kinesis: Vec<Need>,
    metastore: Option<String>,
    remotes: Vec<Remote>,
    database: Option<Remote>,
}

impl Wanted {
    pub(super) fn of(site: &Site<'_, '_>) -> Wanted {
        let region = site.prover.topology.region.as_str();
        let govcloud = region.starts_with("us-gov-");
        let relay_calls = match (site.nodes.relay.is_some(), site.ask.uses.compliance_profile) {
            (true, _) if govcloud => vec![FIPS],
            (true, true) => vec![RELAY, FIPS],
            (true, false) => vec![RELAY],
            (false, true) => vec![FIPS],
            (false, false) => vec![HTTPS],
        };
        let database = match &site.ask.uses.external_metastore {
            Some(ExternalMetastore::Database(place)) => Remote::parse(place),
            _ => None,
        };
        Wanted {
            host: site.prover.hosts.workspace(site.workspace),
            govcloud,
            relay_calls,
            stores: stores(site),
            sts: sts(site),
            kinesis: kinesis(site),
            metastore: regions::region(region)
                .and_then(|r| r.legacy_hive_metastore.as_ref())
                .and_then(|m| m.hostname.clone()),
            remotes: remotes(site, database.as_ref()),
            database,
        }
    }
}

/// What the spec names besides the metastore: used or required.
fn remotes(site: &Site<'_, '_>, database: Option<&Remote>) -> Vec<Remote> {
    let named = site.ask.uses.hosts.iter().chain(&site.ask.requirements.reach);
    let all: BTreeSet<Remote> = named.filter_map(|text| Remote::parse(text)).collect();
    all.into_iter().filter(|remote| Some(remote) != database).collect()
}

/// The account of Databricks, and the one that owns artifacts and sample data.
struct Accounts {
    databricks: Option<String>,
    artifacts: Option<String>,
    samples: Option<String>,
    customer: Option<String>,
}

impl Accounts {
    fn of(site: &Site<'_, '_>) -> Accounts {
        let region = site.prover.topology.region.as_str();
        let owners = regions::region(region).and_then(|r| r.bucket_owner_accounts.as_ref());
        Accounts {
            databricks: Some(regions::partition(region).databricks_account_id.clone()),
            artifacts: owners.and_then(|o| o.artifacts.clone()),
            samples: owners.and_then(|o| o.sample_datasets.clone()),
            customer: Some(site.ask.aws_account.to_owned()),
        }
    }
}

/// Actions on a bucket, and on what is in it.
type Actions = (&'static [&'static str], &'static [&'static str]);
const ALL: Actions = (
    &["s3:ListBucket", "s3:GetBucketLocation"],
    &["s3:GetObject", "s3:GetObjectVersion", "s3:PutObject", "s3:DeleteObject"],
);
const READ: Actions =
    (&["s3:ListBucket", "s3:GetBucketLocation"], &["s3:GetObject", "s3:GetObjectVersion"]);
const WRITE: Actions = (&["s3:ListBucket", "s3:GetBucketLocation"], &["s3:PutObject"]);

/// What nodes need of S3, as the Security Reference Architecture's policies have it.
fn stores(site: &Site<'_, '_>) -> Vec<Buckets> {
    let name = site.prover.topology.region.as_str();
    let region = regions::region(name);
    let arn = &regions::partition(name).arn_partition;
    let known = region.map(|r| &r.buckets);
    let accounts = Accounts::of(site);
    let here = |bucket: &String| {
        let home = region.map_or(name, |r| r.bucket_region(bucket));
        (Some(bucket.clone()), home.to_owned())
    };
    let listed = |bucket: Option<&String>| {
        bucket.map_or_else(|| vec![(None, name.to_owned())], |bucket| vec![here(bucket)])
    };
    let store = |class,
                 to: &str,
                 policy,
                 buckets: Vec<(Option<String>, String)>,
                 actions: Actions,
                 who: (&Option<String>, &Option<String>)| {
        let mut needs = Vec::new();
        for bucket in buckets.iter().filter_map(|(bucket, _)| bucket.as_ref()) {
            let each = |actions: &'static [&'static str], resource: String| {
                let (caller, owner) = (who.0.clone(), who.1.clone());
                actions.iter().map(move |action| Need {
                    action,
                    resource: resource.clone(),
                    caller: caller.clone(),
                    owner: owner.clone(),
                })
            };
            needs.extend(each(actions.0, format!("arn:{arn}:s3:::{bucket}")));
            needs.extend(each(actions.1, format!("arn:{arn}:s3:::{bucket}/*")));
        }
        Buckets { class, to: to.to_owned(), policy, buckets, needs }
    };
    let root = vec![(site.nodes.root_bucket.clone(), name.to_owned())];
    let artifacts = match known.and_then(|k| k.artifacts.as_ref()) {
        Some(buckets) => buckets.iter().map(here).collect(),
        None => listed(None),
    };
    let log = listed(known.and_then(|k| k.log.as_ref()));
    let databricks = &accounts.databricks;
    let mut all = vec![
        store("D7", "root bucket", "DBX-EPT-016", root, ALL, (databricks, &accounts.customer)),
        store("D8", "artifacts", "DBX-EPT-017", artifacts, READ, (&None, &accounts.artifacts)),
        store("D9", "logs", "DBX-EPT-018", log, WRITE, (databricks, &None)),
    ];
    if site.ask.uses.system_tables {
        let tables = listed(known.and_then(|k| k.system_tables.as_ref()));
        all.push(store("D10", "system tables", "DBX-EPT-019", tables, READ, (databricks, &None)));
    }
    if site.ask.uses.sample_data {
        let samples = listed(known.and_then(|k| k.sample_datasets.as_ref()));
        let who = (&accounts.samples, &accounts.samples);
        all.push(store("D11", "sample data", "DBX-EPT-020", samples, READ, who));
    }
    for (bucket, region) in &site.ask.uses.buckets {
        let own = vec![(Some(bucket.clone()), region.clone())];
        let who = (&accounts.customer, &accounts.customer);
        all.push(store("D12", &format!("bucket {bucket}"), "DBX-EPT-021", own, ALL, who));
    }
    all
}

/// What nodes need of STS: roles of the user and of Databricks.
fn sts(site: &Site<'_, '_>) -> Vec<Need> {
    let Accounts { databricks, customer, .. } = Accounts::of(site);
    let mut needs = Vec::new();
    for caller in [customer, databricks] {
        for action in ["sts:AssumeRole", "sts:GetSessionToken", "sts:TagSession"] {
            let (resource, caller) = ("*".to_owned(), caller.clone());
            needs.push(Need { action, resource, caller, owner: None });
        }
    }
    needs
}

/// What nodes need of Kinesis: streams of Databricks.
fn kinesis(site: &Site<'_, '_>) -> Vec<Need> {
    let region = site.prover.topology.region.as_str();
    let partition = regions::partition(region);
    let account = Accounts::of(site).databricks;
    let owner = account.as_deref().unwrap_or_default();
    let resource = format!("arn:{}:kinesis:{region}:{owner}:stream/*", partition.arn_partition);
    let actions = ["kinesis:PutRecord", "kinesis:PutRecords", "kinesis:DescribeStream"];
    let need = |action| Need {
        action,
        resource: resource.clone(),
        caller: account.clone(),
        owner: account.clone(),
    };
    actions.into_iter().map(need).collect()
}

/// Proofs from one subnet, as they come.
struct Matrix<'a, 'w> {
    site: &'w Site<'a, 'w>,
    subnet: &'a Key,
    proofs: &'w mut Vec<Proof>,
}

impl<'a> Matrix<'a, '_> {
    fn walk(
        &mut self,
        class: &'static str,
        to: impl Into<String>,
        go: impl FnOnce(&mut Walk<'a, '_>) -> Passed<Via>,
    ) {
        let mut walk = Walk::new(self.site, class, self.subnet);
        let outcome = go(&mut walk);
        self.proofs.push(walk.finish(to.into(), outcome));
    }

    fn not_required(&mut self, class: &'static str, to: &str, why: &str) {
        self.proofs.push(Proof {
            workspace: self.site.workspace.to_owned(),
            from: self.subnet.clone(),
            class,
            to: to.to_owned(),
            verdict: Verdict::NotRequired { why: why.to_owned() },
        });
    }

    fn stores(&mut self, wanted: &Wanted, class: &'static str) {
        for store in wanted.stores.iter().filter(|store| store.class == class) {
            self.walk(class, store.to.as_str(), |w| bucket(w, store));
        }
    }
}

/// Everything from one subnet, by class.
pub(super) fn prove<'a>(
    site: &Site<'a, '_>,
    wanted: &Wanted,
    subnet: &'a Key,
    proofs: &mut Vec<Proof>,
) {
    let uses = site.ask.uses;
    let mut matrix = Matrix { site, subnet, proofs };
    matrix.walk("D1", "control plane", |w| web(w, wanted));
    for (class, to, ports) in CONTROL_PLANE {
        matrix.walk(class, to, |w| control_plane(w, wanted, ports));
    }
    match &site.nodes.relay {
        None => matrix.walk("D5", "relay", |w| public_relay(w, wanted)),
        Some(relay) => matrix.walk("D6", "relay", |w| private_relay(w, wanted, relay)),
    }
    for class in ["D7", "D8", "D9"] {
        matrix.stores(wanted, class);
    }
    match uses.system_tables {
        true => matrix.stores(wanted, "D10"),
        false => matrix.not_required("D10", "system tables", "`uses` has `system_tables: false`"),
    }
    match uses.sample_data {
        true => matrix.stores(wanted, "D11"),
        false => matrix.not_required("D11", "sample data", "`sample_data` is not in `uses`"),
    }
    matrix.stores(wanted, "D12");
    matrix.walk("D13", "sts", |w| regional_sts(w, wanted));
    if uses.global_sts {
        matrix.walk("D14", "global sts", global_sts);
    }
    matrix.walk("D15", "kinesis", |w| stream(w, wanted));
    match uses.legacy_metastore() {
        true => matrix.walk("D16", "built-in metastore", |w| builtin_metastore(w, wanted)),
        false => matrix.not_required(
            "D16",
            "built-in metastore",
            "legacy access is disabled, or there is an external metastore",
        ),
    }
    match (&uses.external_metastore, &wanted.database) {
        (Some(ExternalMetastore::Glue), _) => {
            matrix.walk("D17", "glue metastore", |w| aws_service(w, "glue"));
        }
        (Some(ExternalMetastore::Database(_)), Some(place)) => {
            matrix.walk("D17", format!("metastore {}", shown(place)), |w| {
                remote(w, place, "DBX-RTE-001")
            });
        }
        _ => matrix.not_required(
            "D17",
            "external metastore",
            "`external_metastore` is not in `uses`",
        ),
    }
    matrix.walk("D18", "dns", resolver);
    matrix.walk("D19", "other nodes", other_nodes);
    let public = |remote: &&Remote| matches!(remote.host, Host::Name(_));
    for place in wanted.remotes.iter().filter(public) {
        matrix.walk("D20", shown(place), |w| remote(w, place, "DBX-RTE-009"));
    }
    match uses.lakebase {
        true => matrix.walk("D21", "lakebase", lakebase),
        false => matrix.not_required("D21", "lakebase", "`lakebase` is not in `uses`"),
    }
    for service in &uses.services {
        use spec::Service;
        if !matches!(service, Service::S3 | Service::Sts | Service::Kinesis) {
            matrix.walk("D22", service.name(), |w| aws_service(w, service.name()));
        }
    }
    for place in wanted.remotes.iter().filter(|remote| !public(remote)) {
        matrix.walk("D23", shown(place), |w| remote(w, place, "DBX-RTE-001"));
    }
    matrix.walk("D24", "instance metadata", |w| {
        w.pass(Step::Route, "", "169.254.169.254 is on the machine".to_owned());
        Ok(Via::Local)
    });
}

/// As the spec writes it.
fn shown(remote: &Remote) -> String {
    match &remote.host {
        Host::Name(name) => format!("{name}:{}", remote.port),
        Host::Range(range) if range.prefix_len() == 32 => {
            format!("{}:{}", range.addr(), remote.port)
        }
        Host::Range(range) => format!("{range}:{}", remote.port),
    }
}

/// No route out, where only the internet would do.
fn missing(w: &Walk<'_, '_>, rule: &'static str, because: String) -> Missing {
    let fix = format!("set `nat: single` in `{}`", w.vpc_place());
    Missing { rule, at: Key::new(), because, fix }
}

fn only_internet(w: &Walk<'_, '_>, rule: &'static str, name: &str) -> Missing {
    missing(w, rule, format!("`{name}` is only on the internet"))
}

/// What lacks for a name that an endpoint could answer: the endpoint, its private DNS, or the
/// hostnames of the VPC.
fn unanswered(
    w: &Walk<'_, '_>,
    name: &str,
    service: &str,
    silent: &'static str,
    absent: &'static str,
) -> Missing {
    let names = w.site.names;
    match names.silent(name) {
        Some(_) if names.muted() => {
            let vpc = &w.site.nodes.vpc;
            Missing {
                rule: "DBX-NET-002",
                at: vpc.clone(),
                because: format!(
                    "with DNS hostnames turned off no endpoint in `{vpc}` answers `{name}`"
                ),
                fix: format!("turn on DNS hostnames (`enableDnsHostnames`) of `{vpc}`"),
            }
        }
        Some(endpoint) => Missing {
            rule: silent,
            at: endpoint.clone(),
            because: format!("`{endpoint}` has private DNS turned off, so `{name}` is public"),
            fix: format!("turn on private DNS of `{endpoint}`"),
        },
        None => Missing {
            rule: absent,
            at: Key::new(),
            because: format!("nothing in `{}` answers `{name}` privately", w.site.nodes.vpc),
            fix: format!("add `{service}` to `endpoints` in `{}`", w.vpc_place()),
        },
    }
}

/// Where a zone leads a name of Databricks or AWS to a bare address: the packet gets there, and who
/// listens is not known.
fn address(w: &mut Walk<'_, '_>, range: Ipv4Net, call: Call, missing: &Missing) -> Passed<Via> {
    let via = w.range(call, range, missing)?;
    w.note(Step::Service, "", format!("who answers at {} is not known", range.addr()));
    Ok(via)
}

// The control plane.

/// Where the host of a workspace leads.
///
/// With private access settings it is an alias of the PrivateLink name of the region.
pub(super) fn host<'a>(w: &mut Walk<'a, '_>, host: &str) -> Passed<Leads<'a>> {
    let hosts = &w.site.prover.hosts;
    let public = w.site.names.resolve(hosts, host) == Resolved::Public;
    if !public || matches!(w.site.nodes.access, Access::Public) {
        return w.name(host);
    }
    w.pass(Step::Name, "", format!("{host} is an alias of {}", hosts.rest));
    w.name(&hosts.rest)
}

fn web(w: &mut Walk<'_, '_>, wanted: &Wanted) -> Passed<Via> {
    let leads = host(w, &wanted.host)?;
    arrive(w, leads, HTTPS)
}

fn control_plane(w: &mut Walk<'_, '_>, wanted: &Wanted, ports: (u16, u16)) -> Passed<Via> {
    let call = Call { ports, ..HTTPS };
    let first = host(w, &wanted.host)?;
    if let Leads::Endpoint { key, by } = first {
        authorised(w, key, by, &wanted.host)?;
    }
    let via = arrive(w, first, call)?;
    let hosts = &w.site.prover.hosts;
    let other = if w.site.nodes.rest.is_some() { &hosts.rest } else { &hosts.web };
    let second = w.name(other)?;
    let same = match (first, second) {
        (Leads::Endpoint { key: a, .. }, Leads::Endpoint { key: b, .. }) => a == b,
        (a, b) => a == b,
    };
    let also = if same { via } else { arrive(w, second, call)? };
    if also == Via::Endpoint || via == Via::Endpoint {
        // Field reports disagree (X10), and nobody can tell offline.
        let what = "whether the REST service listens on 8443-8451 cannot be proven offline";
        w.pass(Step::Service, "", what.to_owned());
    }
    Ok(if also == Via::Nat { also } else { via })
}

/// Whether an endpoint that the host of a workspace leads to may speak for it.
fn authorised(w: &mut Walk<'_, '_>, key: &Key, by: By<'_>, host: &str) -> Passed {
    let site = w.site;
    let topology = site.prover.topology;
    let connected = site.nodes.rest.as_ref().map(|c| c.endpoint.as_ref());
    if connected == Some(Some(key)) {
        return Ok(());
    }
    let (allowed, unclear) = match &site.nodes.access {
        Access::Public => (false, false),
        Access::Unknown(_) => (false, true),
        Access::Settings { allowed: None, .. } => {
            (site.prover.registered.contains(key.as_str()), site.prover.unread_registrations)
        }
        Access::Settings { allowed: Some(allowed), .. } => {
            let mut ends = allowed.iter().map(|r| topology.registrations.get(r));
            let of = |c: Option<&Connection>| c.is_some_and(|c| c.endpoint.as_ref() == Some(key));
            let unread = |c: Option<&Connection>| c.is_none_or(|c| c.endpoint.is_none());
            (ends.clone().any(of), ends.any(unread))
        }
    };
    if allowed {
        return Ok(());
    }
    if unclear || connected == Some(None) {
        let why = format!("whether `{key}` may speak for this workspace was not read");
        w.note(Step::Service, key, why);
        return Ok(());
    }
    let (at, how) = match by {
        By::Zone(zone) => (zone.clone(), format!("the zone `{zone}`")),
        By::PrivateDns => (key.clone(), "private DNS".to_owned()),
    };
    let message = format!(
        "{how} leads `{host}` to `{key}`, which is neither the REST endpoint of the \
         nodes nor allowed for the workspace"
    );
    let fix = format!("take the record away, or register `{key}` and allow it for the workspace");
    Err(w.block(Step::Service, "DBX-DNS-002", at, message, fix))
}

/// To the control plane, once the name has led somewhere.
fn arrive<'a>(w: &mut Walk<'a, '_>, leads: Leads<'a>, call: Call) -> Passed<Via> {
    let hosts = &w.site.prover.hosts;
    let missing = match &w.site.nodes.rest {
        Some(rest) => unconnected(w, rest, &hosts.rest, "DBX-EPT-006"),
        None => only_internet(w, "DBX-RTE-001", &hosts.web),
    };
    match leads {
        Leads::Endpoint { key, .. } => {
            serves(w, key, Service::Rest)?;
            w.endpoint(key, &[call], &missing)
        }
        Leads::Address(range) => address(w, range, call, &missing),
        Leads::Public => {
            if let Some(rest) = &w.site.nodes.rest {
                if unread(w, rest) {
                    return Ok(Via::Local);
                }
                open_to_the_internet(w, &missing)?;
            }
            w.public(call, false, &missing)
        }
        Leads::Unseen => Ok(Via::Local),
    }
}

/// What lacks for a name that the endpoint of a connection should answer.
fn unconnected(
    w: &Walk<'_, '_>,
    connection: &Connection,
    name: &str,
    rule: &'static str,
) -> Missing {
    let missing = unanswered(w, name, "", rule, rule);
    if !missing.at.is_empty() {
        return missing;
    }
    let at = connection.endpoint.as_ref().unwrap_or(&connection.registration).clone();
    let fix = format!(
        "let an endpoint in `{}` answer `{name}` by private DNS, or add it to a private zone",
        w.site.nodes.vpc
    );
    Missing { at, fix, ..missing }
}

/// Whether the endpoint of a connection is not known, so that it may answer or not.
fn unread(w: &mut Walk<'_, '_>, connection: &Connection) -> bool {
    let known = |key: &Key| matches!(w.site.prover.topology.endpoints.get(key), Some(Some(_)));
    let unread = !connection.endpoint.as_ref().is_some_and(known);
    if unread {
        let what = &connection.registration;
        w.note(Step::Name, what, format!("the endpoint of `{what}` was not read"));
    }
    unread
}

/// Nodes that are given a public address may use it only while public access is on.
fn open_to_the_internet(w: &mut Walk<'_, '_>, missing: &Missing) -> Passed {
    match &w.site.nodes.access {
        Access::Public | Access::Settings { public: true, .. } => Ok(()),
        Access::Unknown(key) => {
            w.note(Step::Service, key, format!("`{key}` was not read"));
            Ok(())
        }
        Access::Settings { key, public: false, .. } => {
            let message = format!("{}, and `{key}` allows no public access", missing.because);
            let at = if missing.at.is_empty() { &w.site.nodes.vpc } else { &missing.at };
            Err(w.block(Step::Name, missing.rule, at.clone(), message, missing.fix.clone()))
        }
    }
}

/// Whether an endpoint leads to the service that its name promises.
fn serves(w: &mut Walk<'_, '_>, key: &Key, promised: Service) -> Passed {
    let prover = w.site.prover;
    let Some(Some(endpoint)) = prover.topology.endpoints.get(key) else { return Ok(()) };
    let behind = prover.services.behind(key, endpoint);
    let (other, connection, word) = match promised {
        Service::Rest => (Service::Relay, &w.site.nodes.rest, "REST"),
        _ => (Service::Rest, &w.site.nodes.relay, "relay"),
    };
    if behind != other {
        return Ok(());
    }
    let registered = connection.as_ref().and_then(|c| c.endpoint.as_ref()) == Some(key);
    let (rule, message) = if registered {
        let message =
            format!("`{key}` is registered as the {word} endpoint and leads to the other service");
        ("DBX-EPT-010", message)
    } else {
        (
            "DBX-DNS-003",
            format!("a name of the {word} service leads to `{key}`, which serves the other one"),
        )
    };
    let fix =
        "let the REST name lead to the REST endpoint and the relay name to the relay endpoint";
    Err(w.block(Step::Service, rule, key.clone(), message, fix.to_owned()))
}

// The relay.

fn public_relay(w: &mut Walk<'_, '_>, wanted: &Wanted) -> Passed<Via> {
    let tunnel = &w.site.prover.hosts.tunnel;
    let missing = only_internet(w, "DBX-RTE-001", tunnel);
    let call = wanted.relay_calls.first().copied().unwrap_or(HTTPS);
    match w.name(tunnel)? {
        Leads::Endpoint { key, .. } => {
            serves(w, key, Service::Relay)?;
            w.endpoint(key, &[call], &missing)
        }
        Leads::Address(range) => address(w, range, call, &missing),
        Leads::Public => w.public(call, false, &missing),
        Leads::Unseen => Ok(Via::Local),
    }
}

/// A network configuration with endpoints makes nodes ask for the PrivateLink name of the relay, for
/// which the internet is no substitute (inferred from the article's first incident).
fn private_relay(w: &mut Walk<'_, '_>, wanted: &Wanted, relay: &Connection) -> Passed<Via> {
    let name = &w.site.prover.hosts.relay;
    let missing = unconnected(w, relay, name, "DBX-EPT-001");
    match w.name(name)? {
        Leads::Endpoint { key, .. } => {
            match &relay.endpoint {
                None => {
                    let what = &relay.registration;
                    w.note(Step::Service, what, format!("`{what}` was not read"));
                }
                Some(registered) if registered != key => {
                    return Err(not_the_relay(w, registered, key, name));
                }
                Some(_) => serves(w, key, Service::Relay)?,
            }
            w.endpoint(key, &wanted.relay_calls, &missing)
        }
        Leads::Address(range) => {
            let mut via = Via::Local;
            for call in &wanted.relay_calls {
                via = address(w, range, *call, &missing)?;
            }
            Ok(via)
        }
        Leads::Public if unread(w, relay) => Ok(Via::Local),
        Leads::Public => {
            let message = format!("{}, and no other way leads to the relay", missing.because);
            Err(w.block(Step::Name, missing.rule, missing.at, message, missing.fix))
        }
        Leads::Unseen => Ok(Via::Local),
    }
}

fn not_the_relay(
    w: &mut Walk<'_, '_>,
    registered: &Key,
    key: &Key,
    name: &str,
) -> Box<super::Block> {
    let prover = w.site.prover;
    let found = prover.topology.endpoints.get(registered).and_then(Option::as_ref);
    let swapped = found.is_some_and(|e| prover.services.behind(registered, e) == Service::Rest);
    let (rule, at, message) = if swapped {
        let message = format!(
            "`{registered}` is registered as the relay endpoint and leads to the REST service; \
             `{name}` leads to `{key}`"
        );
        ("DBX-EPT-010", registered, message)
    } else {
        let message = format!(
            "`{name}` leads to `{key}`, and the registered relay endpoint is `{registered}`"
        );
        ("DBX-DNS-003", key, message)
    };
    let fix =
        format!("register `{key}` as the relay endpoint, or let `{name}` lead to `{registered}`");
    w.block(Step::Name, rule, at.clone(), message, fix)
}

// S3.

fn bucket(w: &mut Walk<'_, '_>, store: &Buckets) -> Passed<Via> {
    let own = w.site.prover.topology.region.as_str();
    let mut via = Via::Gateway;
    for (bucket, region) in &store.buckets {
        let name = match bucket {
            Some(bucket) => format!("{bucket}.s3.{region}.amazonaws.com"),
            None => format!("s3.{region}.amazonaws.com"),
        };
        let here = region == own;
        let missing = if here {
            no_gateway(w)
        } else {
            let what = bucket.as_deref().unwrap_or("a bucket");
            let because = format!(
                "`{what}` is in {region}: a gateway endpoint serves only its own region \
                 (AWS behaviour, unconfirmed here)"
            );
            missing(w, "DBX-EPT-033", because)
        };
        let this = match w.name(&name)? {
            Leads::Endpoint { key, .. } => w.endpoint(key, &[HTTPS], &missing)?,
            Leads::Address(range) => address(w, range, HTTPS, &missing)?,
            Leads::Public if here => w.s3(&store.needs, store.policy, &missing)?,
            Leads::Public => w.public(HTTPS, false, &missing)?,
            Leads::Unseen => Via::Local,
        };
        if via != Via::Nat {
            via = this;
        }
    }
    Ok(via)
}

fn no_gateway(w: &Walk<'_, '_>) -> Missing {
    let region = &w.site.prover.topology.region;
    let service = format!("com.amazonaws.{region}.s3");
    let gateway = w.site.names.gateways.iter().find(|(s, _)| *s == service);
    match gateway {
        Some((_, key)) => Missing {
            rule: "DBX-RTE-006",
            at: (*key).clone(),
            because: format!("`{key}` is not attached to it"),
            fix: format!("attach `{key}` to that route table"),
        },
        None => Missing {
            rule: "DBX-RTE-006",
            at: Key::new(),
            because: format!("`{}` has no gateway endpoint for S3", w.site.nodes.vpc),
            fix: format!("add `s3` to `endpoints` in `{}`", w.vpc_place()),
        },
    }
}

// AWS services.

fn regional_sts(w: &mut Walk<'_, '_>, wanted: &Wanted) -> Passed<Via> {
    let name = w.site.prover.hosts.aws("sts");
    let missing = unanswered(w, &name, "sts", "DBX-EPT-002", "DBX-EPT-004");
    aws_endpoint(w, &name, &missing, Some((&wanted.sts, "DBX-EPT-022")))
}

fn stream(w: &mut Walk<'_, '_>, wanted: &Wanted) -> Passed<Via> {
    let hosts = &w.site.prover.hosts;
    let name = &hosts.kinesis;
    let missing = if *name == hosts.aws("kinesis") {
        unanswered(w, name, "kinesis", "DBX-EPT-005", "DBX-EPT-005")
    } else {
        let because =
            format!("logs go to `{name}` (an older table has that name), outside the region");
        missing(w, "DBX-EPT-030", because)
    };
    aws_endpoint(w, name, &missing, Some((&wanted.kinesis, "DBX-EPT-023")))
}

fn global_sts(w: &mut Walk<'_, '_>) -> Passed<Via> {
    let name = "sts.amazonaws.com";
    let mut missing = only_internet(w, "DBX-EPT-029", name);
    missing.fix = format!(
        "use the regional name in jobs (`fs.s3a.stsAssumeRole.stsEndpoint`), or set `nat: single` \
         in `{}`",
        w.vpc_place()
    );
    aws_endpoint(w, name, &missing, None)
}

fn aws_service(w: &mut Walk<'_, '_>, service: &str) -> Passed<Via> {
    let name = w.site.prover.hosts.aws(service);
    let missing = unanswered(w, &name, service, "DBX-RTE-001", "DBX-RTE-001");
    if service != "dynamodb" {
        return aws_endpoint(w, &name, &missing, None);
    }
    match w.name(&name)? {
        Leads::Public => {
            let full = regions::aws_service(&w.site.prover.topology.region, service);
            w.gateway_or_public(&full, false, &missing, |w, key, endpoint| {
                w.any_policy(key, endpoint);
                Ok(())
            })
        }
        leads => aws_arrive(w, leads, &missing, None),
    }
}

type Policy<'n> = Option<(&'n [Need], &'static str)>;

fn aws_endpoint(
    w: &mut Walk<'_, '_>,
    name: &str,
    missing: &Missing,
    policy: Option<(&Vec<Need>, &'static str)>,
) -> Passed<Via> {
    let leads = w.name(name)?;
    aws_arrive(w, leads, missing, policy.map(|(needs, rule)| (needs.as_slice(), rule)))
}

fn aws_arrive<'a>(
    w: &mut Walk<'a, '_>,
    leads: Leads<'a>,
    missing: &Missing,
    policy: Policy<'_>,
) -> Passed<Via> {
    match leads {
        Leads::Endpoint { key, .. } => {
            let via = w.endpoint(key, &[HTTPS], missing)?;
            let endpoint = w.site.prover.topology.endpoints.get(key).and_then(Option::as_ref);
            match (endpoint, policy) {
                (Some(endpoint), Some((needs, rule))) => w.policy(key, endpoint, needs, rule)?,
                (Some(endpoint), None) => w.any_policy(key, endpoint),
                (None, _) => {}
            }
            Ok(via)
        }
        Leads::Address(range) => address(w, range, HTTPS, missing),
        Leads::Public => w.public(HTTPS, false, missing),
        Leads::Unseen => Ok(Via::Local),
    }
}

// Metastores and what users name.

fn builtin_metastore(w: &mut Walk<'_, '_>, wanted: &Wanted) -> Passed<Via> {
    let name = wanted.metastore.as_deref().unwrap_or("the built-in metastore");
    let mut missing = only_internet(w, "DBX-RTE-008", name);
    missing.fix = format!(
        "set `nat: single` in `{}`, or `legacy_metastore: false` in `uses` of `workspaces.{}` once \
         legacy access is disabled there",
        w.vpc_place(),
        w.site.workspace
    );
    let via = match w.name(name)? {
        Leads::Endpoint { key, .. } => w.endpoint(key, &[DATABASE], &missing)?,
        Leads::Address(range) => address(w, range, DATABASE, &missing)?,
        Leads::Public => w.public(DATABASE, false, &missing)?,
        Leads::Unseen => Via::Local,
    };
    if wanted.govcloud {
        let why = "no source names the metastore of GovCloud reliably";
        w.note(Step::Service, "", why.to_owned());
    }
    Ok(via)
}

/// A host or range that the spec names.
fn remote(w: &mut Walk<'_, '_>, remote: &Remote, rule: &'static str) -> Passed<Via> {
    let call = Call::tcp(remote.port);
    match &remote.host {
        Host::Range(range) => {
            let because = format!("the spec names {}", shown(remote));
            let mut missing = missing(w, rule, because);
            if private(range) {
                missing.fix = format!("add a peering whose network holds {range} to `peerings`");
            }
            w.range(call, *range, &missing)
        }
        Host::Name(name) => {
            let missing = only_internet(w, rule, name);
            match w.name(name)? {
                Leads::Endpoint { key, .. } => w.endpoint(key, &[call], &missing),
                Leads::Address(range) => w.range(call, range, &missing),
                Leads::Public => w.public(call, false, &missing),
                Leads::Unseen => Ok(Via::Local),
            }
        }
    }
}

fn lakebase(w: &mut Walk<'_, '_>) -> Passed<Via> {
    let hosts = &w.site.prover.hosts;
    let region = &w.site.prover.topology.region;
    let name = format!("{region}.service-direct.privatelink.{}", hosts.domain);
    let missing = only_internet(w, "DBX-RTE-001", &name);
    match w.name(&name)? {
        Leads::Endpoint { key, .. } => w.endpoint(key, &[LAKEBASE], &missing),
        Leads::Address(range) => w.range(LAKEBASE, range, &missing),
        Leads::Public => w.public(LAKEBASE, false, &missing),
        Leads::Unseen => Ok(Via::Local),
    }
}

// Inside the VPC.

fn resolver(w: &mut Walk<'_, '_>) -> Passed<Via> {
    let vpc = &w.site.nodes.vpc;
    let Some(found) = w.site.names.vpc() else {
        w.note(Step::Name, vpc, format!("`{vpc}` was not read"));
        return Ok(Via::Local);
    };
    if !found.dns_support {
        w.name("amazonaws.com")?;
    }
    match &found.resolver {
        Resolver::Amazon => {
            w.pass(Step::Name, vpc, "the resolver of the VPC answers".to_owned());
        }
        Resolver::Own(servers) => {
            for server in servers {
                let range = Ipv4Net::from(*server);
                for protocol in EVERYTHING.map(|call| call.protocol) {
                    let call = Call { protocol, ports: (53, 53) };
                    w.egress(call, To::Range(range), &server.to_string())?;
                }
            }
            let why =
                "whether your own DNS servers forward the names of AWS and Databricks is not known";
            w.note(Step::Name, vpc, why.to_owned());
        }
    }
    Ok(Via::Local)
}

/// Nodes talk to nodes of all subnets of the workspace, on every port.
fn other_nodes(w: &mut Walk<'_, '_>) -> Passed<Via> {
    let Site { prover, nodes, .. } = *w.site;
    w.pass(Step::Route, &nodes.vpc, "local route".to_owned());
    // By key, so that the order in which a spec lists them decides nothing.
    let subnets: BTreeSet<&Key> = nodes.subnets.iter().collect();
    for subnet in &subnets {
        let range = prover.range(subnet);
        for call in EVERYTHING {
            w.egress(call, To::Member { range, groups: &nodes.groups }, "other nodes")?;
        }
    }
    w.admits_itself(&subnets)?;
    for subnet in subnets {
        for call in EVERYTHING {
            w.acls_both_ways(call, subnet)?;
        }
    }
    Ok(Via::Local)
}
