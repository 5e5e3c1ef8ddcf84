use std::collections::BTreeMap;

use axum::http::StatusCode;
use serde::Serialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::account::{Account, Call, now};
use crate::answer::{Answer, Fields, Refusal, shown};
use crate::config::{Countdown, Settings};
use crate::faults::FaultKind;
use crate::networks;
use crate::vpc_endpoints::VpcEndpoint;

#[derive(Clone, Serialize)]
pub(crate) struct Workspace {
    pub(crate) workspace_id: i64,
    account_id: String,
    workspace_name: String,
    deployment_name: String,
    aws_region: String,
    cloud: &'static str,
    #[serde(flatten)]
    pub(crate) refs: Refs,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    custom_tags: BTreeMap<String, String>,
    pricing_tier: String,
    compute_mode: String,
    storage_mode: &'static str,
    pub(crate) workspace_status: Status,
    workspace_status_message: String,
    creation_time: u64,
    #[serde(skip)]
    pub(crate) has_run: bool,
    /// Towards `RUNNING` (or `FAILED`).
    #[serde(skip)]
    progress: Option<Countdown>,
    /// Why provisioning is going to fail.
    #[serde(skip)]
    doom: Option<String>,
    /// What the network says about the failure.
    #[serde(skip)]
    pub(crate) network_error: Option<String>,
    /// Set by deletion, until the workspace is gone.
    #[serde(skip)]
    leaving: Option<Countdown>,
}

/// What a workspace is put together from.
#[derive(Clone, Default, Serialize)]
pub(crate) struct Refs {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) credentials_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) storage_configuration_id: Option<String>,
    /// Absent for a network that Databricks manages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) network_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) private_access_settings_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) managed_services_customer_managed_key_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) storage_customer_managed_key_id: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum Status {
    NotProvisioned,
    Provisioning,
    Running,
    Failed,
    Cancelling,
}

/// Fields a `RUNNING` workspace can change.
const UPDATABLE: &[&str] = &[
    "credentials_id",
    "network_id",
    "private_access_settings_id",
    "managed_services_customer_managed_key_id",
    "storage_customer_managed_key_id",
    "network_connectivity_config_id",
    "custom_tags",
];
/// Fields only a `FAILED` one can change.
const REPAIRABLE: &[&str] = &["aws_region", "storage_configuration_id"];
/// Fields nothing can change.
const FIXED: &[&str] = &[
    "workspace_id",
    "account_id",
    "workspace_name",
    "deployment_name",
    "pricing_tier",
    "compute_mode",
    "storage_mode",
    "workspace_status",
    "workspace_status_message",
    "creation_time",
    "cloud",
];

impl Workspace {
    pub(crate) fn deployment_name(&self) -> &str {
        &self.deployment_name
    }

    fn poll(&mut self) {
        if let Some(progress) = &mut self.progress {
            progress.poll();
        }
        self.settle();
    }

    /// Brings the status in line with the progress made.
    fn settle(&mut self) {
        if self.leaving.is_some() {
            return;
        }
        let Some(progress) = &self.progress else { return };
        let (status, message) = if !progress.is_done() {
            // The first stage shows on new workspaces only.
            if self.workspace_status == Status::NotProvisioned && !progress.has_begun() {
                return;
            }
            (Status::Provisioning, "Workspace resources are being set up.".to_owned())
        } else if let Some(doom) = self.doom.take() {
            self.progress = None;
            (Status::Failed, doom)
        } else {
            self.progress = None;
            self.has_run = true;
            (Status::Running, "Workspace is running.".to_owned())
        };
        self.workspace_status = status;
        self.workspace_status_message = message;
    }

    fn provision(&mut self, settings: &Settings) {
        self.network_error = None;
        self.workspace_status = Status::Provisioning;
        self.progress = Some(Countdown::start(settings.to_running));
        self.settle();
    }
}

/// Lets time pass: removes what has finished leaving and advances what runs by the clock.
pub(crate) fn settle(account: &mut Account, settings: &Settings) {
    let (gone, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut account.workspaces)
        .into_iter()
        .partition(|it| it.leaving.as_ref().is_some_and(Countdown::is_done));
    account.workspaces = kept;
    for workspace in gone {
        release(account, workspace.refs.network_id.as_deref(), workspace.workspace_id, settings);
    }
    account.workspaces.iter_mut().for_each(Workspace::settle);
}

pub(crate) fn create(call: &mut Call<'_>) -> Answer {
    let fields = call.fields();
    fields.require(&["workspace_name", "aws_region"])?;
    let name = fields.name("workspace_name", 1..=100)?;
    let compute_mode = fields
        .word("compute_mode", &["HYBRID", "SERVERLESS"])?
        .unwrap_or_else(|| "HYBRID".to_owned());
    let is_serverless = compute_mode == "SERVERLESS";
    if !is_serverless {
        fields.require(&["credentials_id", "storage_configuration_id"])?;
    } else if let Some(field) = ["credentials_id", "storage_configuration_id", "network_id"]
        .into_iter()
        .find(|field| fields.get(field).is_some())
    {
        // That the server refuses them is documented, the text is unconfirmed.
        return Err(Refusal::malformed(format!("{field} is not allowed for SERVERLESS")));
    }
    const TIERS: &[&str] =
        &["STANDARD", "PREMIUM", "ENTERPRISE", "DEDICATED", "COMMUNITY_EDITION", "UNKNOWN"];
    let pricing_tier =
        fields.word("pricing_tier", TIERS)?.unwrap_or_else(|| call.settings.pricing_tier.clone());
    // No network connectivity configuration exists on this server.
    if let Some(id) = fields.text("network_connectivity_config_id")? {
        return Err(Refusal::invalid("network_connectivity_config_id", &id));
    }
    let ancient_key = fields.text("customer_managed_key_id")?;
    let refs = Refs {
        credentials_id: fields.text("credentials_id")?,
        storage_configuration_id: fields.text("storage_configuration_id")?,
        network_id: fields.text("network_id")?,
        private_access_settings_id: fields.text("private_access_settings_id")?,
        managed_services_customer_managed_key_id: fields
            .text("managed_services_customer_managed_key_id")?
            .or(ancient_key),
        storage_customer_managed_key_id: fields.text("storage_customer_managed_key_id")?,
    };
    let aws_region = fields.required_text("aws_region")?;
    check(call.account, None, &refs, &aws_region)?;
    if call.settings.unique_names
        && call.account.workspaces.iter().any(|it| it.workspace_name == name)
    {
        // Unconfirmed: whether names are unique at all, and the text.
        return Err(Refusal::exists(
            format!("Workspace name {name} already exists in this account."),
            call.settings.duplicates_are_400,
        ));
    }
    let mut workspace = Workspace {
        workspace_id: new_workspace_id(),
        account_id: call.account_id.to_owned(),
        workspace_name: name,
        deployment_name: deployment_name(&fields, call.account, call.settings)?,
        aws_region,
        cloud: "aws",
        refs,
        custom_tags: tags(&fields)?,
        pricing_tier,
        storage_mode: if is_serverless { "DEFAULT_STORAGE" } else { "CUSTOMER_HOSTED" },
        compute_mode,
        workspace_status: Status::NotProvisioned,
        workspace_status_message: "Workspace has not yet begun provisioning.".to_owned(),
        creation_time: now(),
        has_run: false,
        progress: Some(Countdown::start(call.settings.to_running)),
        doom: None,
        network_error: None,
        leaving: None,
    };
    if let Some(fault) = call.fault.filter(|it| it.kind == FaultKind::WorkspaceFailed) {
        let message = fault.message.clone().unwrap_or_else(|| "Network setup failed.".to_owned());
        workspace.network_error = fault.network_error.clone();
        workspace.doom = Some(message);
    }
    if !call.settings.not_provisioned_first {
        workspace.workspace_status = Status::Provisioning;
    }
    workspace.settle();
    let answer = shown(&workspace);
    call.account.workspaces.push(workspace);
    Ok((StatusCode::CREATED, answer))
}

pub(crate) fn list(call: &mut Call<'_>) -> Answer {
    call.account.workspaces.iter_mut().for_each(Workspace::poll);
    let answer = call.account.workspaces.iter().map(shown).collect();
    call.account.workspaces.iter_mut().for_each(poll_leaving);
    Ok((StatusCode::OK, answer))
}

pub(crate) fn get(call: &mut Call<'_>) -> Answer {
    let workspace = find(&mut call.account.workspaces, call.id)?;
    workspace.poll();
    let answer = shown(workspace);
    poll_leaving(workspace);
    Ok((StatusCode::OK, answer))
}

pub(crate) fn delete(call: &mut Call<'_>) -> Answer {
    let lingers = call.settings.workspace_lingers;
    let workspace = find(&mut call.account.workspaces, call.id)?;
    let is_provisioning = workspace.progress.is_some();
    if is_provisioning && call.settings.provisioning_blocks_delete {
        // 409 is declared for this call; its trigger and text are unconfirmed.
        return Err(Refusal::in_use("Unable to delete a workspace that is being provisioned"));
    }
    // Unconfirmed: what a deleted workspace shows until it is gone, and that a second deletion
    // is accepted in the meantime.
    workspace.leaving.get_or_insert_with(|| Countdown::start(lingers));
    workspace.workspace_status = Status::Cancelling;
    workspace.workspace_status_message = "Workspace is being deleted.".to_owned();
    Ok((StatusCode::OK, shown(workspace)))
}

pub(crate) fn update(call: &mut Call<'_>) -> Answer {
    let before = find(&mut call.account.workspaces, call.id)?.clone();
    let is_failed = match before.workspace_status {
        Status::Running => false,
        Status::Failed => true,
        // 409 is declared for concurrent updates; trigger and text are unconfirmed.
        _ => {
            return Err(Refusal::in_use(
                "Unable to update a workspace that is not running or failed",
            ));
        }
    };
    let fields = call.fields();
    let changes = changes(call.body, call.update_mask, &before, is_failed)?;
    let mut after = before.clone();
    for field in &changes {
        let text = fields.text(field);
        match field.as_str() {
            "custom_tags" => {
                let tags = tags(&fields)?;
                // An empty map is ignored, so tags cannot be cleared.
                if !tags.is_empty() {
                    after.custom_tags = tags;
                }
            }
            // Both can be set or changed, never removed. The texts are unconfirmed.
            name => {
                let Some(value) = text? else {
                    return Err(Refusal::malformed(format!("{name} cannot be removed")));
                };
                set(&mut after, name, value)?;
            }
        }
    }
    if !is_failed && before.refs.network_id.is_none() && after.refs.network_id.is_some() {
        return Err(Refusal::state(
            "A running workspace cannot move from a Databricks-managed to a customer-managed network",
        ));
    }
    let old_key = &before.refs.storage_customer_managed_key_id;
    if old_key.is_some() && *old_key != after.refs.storage_customer_managed_key_id
        || is_failed && before.has_run && *old_key != after.refs.storage_customer_managed_key_id
    {
        return Err(Refusal::state("The storage key of a workspace cannot be replaced"));
    }
    check(call.account, Some(before.workspace_id), &after.refs, &after.aws_region)?;
    if is_failed {
        after.provision(call.settings);
    } else if before.refs.network_id.is_none()
        && after.refs.credentials_id != before.refs.credentials_id
    {
        // A running workspace in a Databricks-managed network goes through provisioning again;
        // one in a customer's network stays RUNNING.
        after.provision(call.settings);
    }
    let answer = shown(&after);
    if call.fault.is_some_and(|it| it.kind == FaultKind::SilentRevert) {
        return Ok((StatusCode::OK, answer));
    }
    let moved = before.refs.network_id != after.refs.network_id;
    let id = after.workspace_id;
    *find(&mut call.account.workspaces, call.id)? = after;
    if moved {
        release(call.account, before.refs.network_id.as_deref(), id, call.settings);
    }
    Ok((StatusCode::OK, answer))
}

/// The names of the fields a PATCH changes: those of the mask, or else those of the body that
/// can be changed. A fixed field in the body without a mask is fine while it says nothing new.
fn changes(
    body: &Value,
    mask: Option<&str>,
    now: &Workspace,
    is_failed: bool,
) -> Result<Vec<String>, Refusal> {
    let can_change =
        |field: &str| UPDATABLE.contains(&field) || is_failed && REPAIRABLE.contains(&field);
    // `*` means all of the body.
    if let Some(mask) = mask.filter(|it| *it != "*") {
        let names: Vec<String> =
            mask.split(',').map(str::trim).filter(|it| !it.is_empty()).map(Into::into).collect();
        if names.is_empty() {
            // The text is from another cloud's answer to a missing mask.
            return Err(Refusal::coded(
                StatusCode::BAD_REQUEST,
                "INVALID_PARAMETER_VALUE",
                "Update mask must be specified.",
            ));
        }
        return match names.iter().find(|it| !can_change(it)) {
            // Unconfirmed text.
            Some(name) => Err(Refusal::malformed(format!("{name} cannot be updated"))),
            None => Ok(names),
        };
    }
    let (current, empty) = (shown(now), Map::new());
    let body = body.as_object().unwrap_or(&empty);
    for (name, value) in body {
        let is_fixed = FIXED.contains(&name.as_str()) || REPAIRABLE.contains(&name.as_str());
        if is_fixed && !can_change(name) && !value.is_null() && current.get(name) != Some(value) {
            return Err(Refusal::malformed(format!("{name} cannot be updated")));
        }
    }
    let given = body.iter().filter(|(name, value)| can_change(name) && !value.is_null());
    Ok(given.map(|(name, _)| name.clone()).collect())
}

fn set(workspace: &mut Workspace, field: &str, value: String) -> Result<(), Refusal> {
    let refs = &mut workspace.refs;
    let slot = match field {
        "aws_region" => {
            workspace.aws_region = value;
            return Ok(());
        }
        "credentials_id" => &mut refs.credentials_id,
        "storage_configuration_id" => &mut refs.storage_configuration_id,
        "network_id" => &mut refs.network_id,
        "private_access_settings_id" => &mut refs.private_access_settings_id,
        "managed_services_customer_managed_key_id" => {
            &mut refs.managed_services_customer_managed_key_id
        }
        "storage_customer_managed_key_id" => &mut refs.storage_customer_managed_key_id,
        _ => return Err(Refusal::invalid(field, &value)),
    };
    *slot = Some(value);
    Ok(())
}

/// Referential integrity: everything named exists and fits together. `myself` is the workspace
/// whose own network does not count as taken.
fn check(account: &Account, myself: Option<i64>, refs: &Refs, region: &str) -> Result<(), Refusal> {
    let known = |field: &str, id: &Option<String>, is_known: &dyn Fn(&str) -> bool| match id {
        Some(id) if !is_known(id) => Err(Refusal::invalid(field, id)),
        _ => Ok(()),
    };
    known("credentials_id", &refs.credentials_id, &|id| account.credentials.find(id).is_some())?;
    known("storage_configuration_id", &refs.storage_configuration_id, &|id| {
        account.storage_configurations.find(id).is_some()
    })?;
    let has_use = |id: &str, use_case: &str| {
        let key = account.customer_managed_keys.find(id);
        key.is_some_and(|it| it.use_cases.iter().any(|it| it == use_case))
    };
    known(
        "managed_services_customer_managed_key_id",
        &refs.managed_services_customer_managed_key_id,
        &|id| has_use(id, "MANAGED_SERVICES"),
    )?;
    known("storage_customer_managed_key_id", &refs.storage_customer_managed_key_id, &|id| {
        has_use(id, "STORAGE")
    })?;

    if let Some(id) = &refs.network_id {
        let network =
            account.networks.find(id).ok_or_else(|| Refusal::invalid("network_id", id))?;
        if let Some(other) = networks::user(network, account).filter(|it| Some(*it) != myself) {
            // One network serves one workspace; the text is unconfirmed.
            return Err(Refusal::malformed(format!(
                "Network {id} is already used by workspace {other}"
            )));
        }
    }
    let network = refs.network_id.as_deref().and_then(|id| account.networks.find(id));
    if let Some(id) = &refs.private_access_settings_id {
        let settings = account
            .private_access_settings
            .find(id)
            .filter(|it| it.region == region)
            .ok_or_else(|| Refusal::invalid("private_access_settings_id", id))?;
        let network = network.ok_or_else(|| Refusal::missing(&["network_id"]))?;
        if !settings.public_access_enabled && network.vpc_endpoints.is_none() {
            return Err(Refusal::malformed(
                "Cannot create PrivateLink workspace: public access is disabled and the network \
                 has no VPC endpoints",
            ));
        }
    }
    for id in network.iter().flat_map(|it| it.endpoints()) {
        if !account.vpc_endpoints.find(id).is_some_and(VpcEndpoint::is_available) {
            // A pending endpoint makes this call fail; the text is unconfirmed.
            return Err(Refusal::malformed(format!("VPC endpoint {id} is not available")));
        }
    }
    Ok(())
}

fn deployment_name(
    fields: &Fields<'_>,
    account: &Account,
    settings: &Settings,
) -> Result<String, Refusal> {
    let Some(wanted) = fields.text("deployment_name")? else {
        let random = Uuid::new_v4().simple().to_string();
        return Ok(format!("dbc-{}-{}", &random[..8], &random[8..12]));
    };
    let is_label = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let is_well_formed = wanted.len() <= 64
        && wanted.chars().all(is_label)
        && !wanted.starts_with('-')
        && !wanted.ends_with('-');
    if wanted != "EMPTY" && !is_well_formed {
        return Err(Refusal::invalid("deployment_name", &wanted));
    }
    let Some(prefix) = &settings.deployment_prefix else {
        return Err(Refusal::malformed(
            "Failed parameter validation checks: Deployment name cannot be used until a \
             deployment name prefix is defined. Please contact your Databricks representative.",
        ));
    };
    let name = if wanted == "EMPTY" { prefix.clone() } else { format!("{prefix}-{wanted}") };
    if account.workspaces.iter().any(|it| it.deployment_name == name) {
        // Unique over everything that is not deleted; the text is unconfirmed.
        return Err(Refusal::malformed(format!("Deployment name {name} is already in use")));
    }
    Ok(name)
}

fn tags(fields: &Fields<'_>) -> Result<BTreeMap<String, String>, Refusal> {
    let Some(given) = fields.get("custom_tags") else { return Ok(BTreeMap::new()) };
    let tags: BTreeMap<String, String> = serde_json::from_value(given.clone())
        .map_err(|_| Refusal::invalid("custom_tags", &given.to_string()))?;
    let is_too_long = |(key, value): (&String, &String)| {
        !(1..=127).contains(&key.chars().count()) || value.chars().count() > 255
    };
    if tags.iter().any(is_too_long) {
        return Err(Refusal::invalid("custom_tags", &given.to_string()));
    }
    Ok(tags)
}

fn find<'a>(workspaces: &'a mut [Workspace], id: &str) -> Result<&'a mut Workspace, Refusal> {
    let number: i64 = id.parse().map_err(|_| Refusal::invalid("workspace_id", id))?;
    workspaces
        .iter_mut()
        .find(|it| it.workspace_id == number)
        .ok_or_else(|| Refusal::not_found("Workspace", id))
}

/// A deleted workspace counts the answers it still gives.
fn poll_leaving(workspace: &mut Workspace) {
    if let Some(leaving) = &mut workspace.leaving {
        leaving.poll();
    }
}

fn release(account: &mut Account, network: Option<&str>, workspace: i64, settings: &Settings) {
    let network = network.and_then(|id| account.networks.find_mut(id));
    let countdown = Countdown::start(settings.network_lingers);
    if let Some(network) = network.filter(|_| !countdown.is_done()) {
        network.held = Some((workspace, countdown));
    }
}

/// 16 digits, odd and above 2^53: a client that carries ids in floating point loses the last one.
fn new_workspace_id() -> i64 {
    const LOW: i64 = 9_007_199_254_740_993;
    const HIGH: i64 = 9_999_999_999_999_999;
    let (random, _) = Uuid::new_v4().as_u64_pair();
    let span = (HIGH - LOW) / 2;
    LOW + 2 * i64::try_from(random >> 1).unwrap_or(0).rem_euclid(span)
}
