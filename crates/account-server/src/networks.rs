use std::collections::BTreeSet;

use axum::http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};

use crate::account::{Account, Call, Object, new_id, now};
use crate::answer::{Answer, Fields, Refusal, Shape, shown};
use crate::config::{Countdown, UseCase};
use crate::workspaces::Status;

#[derive(Serialize)]
pub(crate) struct Network {
    network_id: String,
    account_id: String,
    network_name: String,
    vpc_id: String,
    subnet_ids: Vec<String>,
    security_group_ids: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) vpc_endpoints: Option<Endpoints>,
    creation_time: u64,
    /// The workspace that has let go of it but whose use still counts for a while.
    #[serde(skip)]
    pub(crate) held: Option<(i64, Countdown)>,
}

/// Each list has exactly one registration.
#[derive(Serialize)]
pub(crate) struct Endpoints {
    pub(crate) rest_api: Vec<String>,
    pub(crate) dataplane_relay: Vec<String>,
}

impl Network {
    pub(crate) fn endpoints(&self) -> impl Iterator<Item = &String> {
        self.vpc_endpoints.iter().flat_map(|it| it.rest_api.iter().chain(&it.dataplane_relay))
    }

    pub(crate) fn lists_endpoint(&self, id: &str) -> bool {
        self.endpoints().any(|it| it == id)
    }
}

impl Object for Network {
    const WHAT: &'static str = "Network";
    const ID: &'static str = "network_id";

    fn id(&self) -> &str {
        &self.network_id
    }
}

/// Nothing is checked against AWS: the real server does that when a workspace attaches it.
pub(crate) fn create(call: &mut Call<'_>) -> Answer {
    let fields = call.fields();
    fields.require(&["network_name", "vpc_id", "subnet_ids", "security_group_ids"])?;
    let name = fields.name("network_name", 4..=256)?;
    let subnet_ids = fields.texts("subnet_ids")?;
    let security_group_ids = fields.texts("security_group_ids")?;
    // The numbers are documented, the texts are unconfirmed.
    if subnet_ids.iter().collect::<BTreeSet<_>>().len() < 2 {
        return Err(Refusal::malformed("subnet_ids must name at least 2 subnets"));
    }
    if !(1..=5).contains(&security_group_ids.len()) {
        return Err(Refusal::malformed("security_group_ids must name 1 to 5 security groups"));
    }
    for other in call.account.networks.iter() {
        if call.settings.unique_names && other.network_name == name {
            // Unconfirmed text and status.
            return Err(Refusal::exists(
                format!("Network name {name} already exists in this account."),
                call.settings.duplicates_are_400,
            ));
        }
        if call.settings.shared_subnets {
            continue;
        }
        let taken = |mine: &[String], theirs: &[String]| {
            mine.iter().find(|it| theirs.contains(it)).cloned()
        };
        let shared = taken(&subnet_ids, &other.subnet_ids)
            .or_else(|| taken(&security_group_ids, &other.security_group_ids));
        if let Some(shared) = shared {
            // Unconfirmed text and status.
            return Err(Refusal::malformed(format!(
                "{shared} is already used by network {}",
                other.network_id
            )));
        }
    }
    let network = Network {
        network_id: new_id(),
        account_id: call.account_id.to_owned(),
        network_name: name,
        vpc_id: fields.required_text("vpc_id")?,
        subnet_ids,
        security_group_ids,
        vpc_endpoints: endpoints(&fields, call.account)?,
        creation_time: now(),
        held: None,
    };
    let answer = view(&network, call.account);
    call.account.networks.create(network, StatusCode::CREATED)?;
    Ok((StatusCode::CREATED, answer))
}

pub(crate) fn list(call: &mut Call<'_>) -> Answer {
    call.account.networks.iter_mut().for_each(poll);
    let account = &*call.account;
    Ok((StatusCode::OK, account.networks.iter().map(|it| view(it, account)).collect()))
}

pub(crate) fn get(call: &mut Call<'_>) -> Answer {
    poll(call.account.networks.get_mut(call.id)?);
    Ok((StatusCode::OK, view(call.account.networks.get(call.id)?, call.account)))
}

pub(crate) fn delete(call: &mut Call<'_>) -> Answer {
    poll(call.account.networks.get_mut(call.id)?);
    let network = call.account.networks.get(call.id)?;
    if let Some(user) = user(network, call.account) {
        // Two bodies are reported: this text (status unconfirmed) and nothing at all.
        let shape = if call.settings.empty_in_use { Shape::Empty } else { Shape::PlainText };
        return Err(Refusal::in_use(format!(
            "Unable to delete, Network is being used by active workspace {user}"
        ))
        .shaped(shape));
    }
    let answer = view(network, call.account);
    call.account.networks.delete(call.id)?;
    Ok((StatusCode::OK, answer))
}

/// The workspace that has the network, or had it a moment ago.
pub(crate) fn user(network: &Network, account: &Account) -> Option<i64> {
    account
        .user(|it| it.refs.network_id.as_deref() == Some(&network.network_id))
        .or_else(|| network.held.as_ref().map(|(workspace, _)| *workspace))
}

fn endpoints(fields: &Fields<'_>, account: &Account) -> Result<Option<Endpoints>, Refusal> {
    let rest_api = fields.texts("vpc_endpoints.rest_api")?;
    let dataplane_relay = fields.texts("vpc_endpoints.dataplane_relay")?;
    match (&rest_api[..], &dataplane_relay[..]) {
        ([], []) => return Ok(None),
        ([_], [_]) => {}
        // The rule is documented, the text is unconfirmed.
        _ => {
            return Err(Refusal::malformed(
                "vpc_endpoints must name one rest_api and one dataplane_relay endpoint",
            ));
        }
    }
    for (field, ids, wants_relay) in [
        ("vpc_endpoints.rest_api", &rest_api, false),
        ("vpc_endpoints.dataplane_relay", &dataplane_relay, true),
    ] {
        for id in ids {
            let endpoint =
                account.vpc_endpoints.find(id).ok_or_else(|| Refusal::invalid(field, id))?;
            // That a wrong use case is refused here, and not later, is unconfirmed.
            if (endpoint.use_case == UseCase::DataplaneRelayAccess) != wants_relay {
                return Err(Refusal::invalid(field, id));
            }
        }
    }
    Ok(Some(Endpoints { rest_api, dataplane_relay }))
}

fn poll(network: &mut Network) {
    if let Some((_, countdown)) = &mut network.held {
        if countdown.is_done() {
            network.held = None;
        } else {
            countdown.poll();
        }
    }
}

/// The network as answered: its health and user follow from the workspace that has it.
fn view(network: &Network, account: &Account) -> Value {
    let workspace = account
        .workspaces
        .iter()
        .find(|it| it.refs.network_id.as_deref() == Some(&network.network_id));
    let held = network.held.as_ref().map(|(workspace, _)| *workspace);
    let (status, user, errors) = match workspace {
        Some(it) if it.network_error.is_some() && it.workspace_status == Status::Failed => {
            let error = json!({"error_type": "subnet", "error_message": it.network_error});
            ("BROKEN", Some(it.workspace_id), vec![error])
        }
        Some(it) if it.has_run => ("VALID", Some(it.workspace_id), Vec::new()),
        Some(_) => ("UNATTACHED", None, Vec::new()),
        None if held.is_some() => ("VALID", held, Vec::new()),
        None => ("UNATTACHED", None, Vec::new()),
    };
    let mut view = shown(network);
    view["vpc_status"] = status.into();
    view["error_messages"] = errors.into();
    view["warning_messages"] = json!([]);
    if let Some(user) = user {
        view["workspace_id"] = user.into();
    }
    view
}
