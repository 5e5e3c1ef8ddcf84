use axum::http::StatusCode;
use serde::Serialize;

use crate::account::{Call, Object, new_id};
use crate::answer::{Answer, Refusal, shown};

#[derive(Serialize)]
pub(crate) struct PrivateAccessSettings {
    private_access_settings_id: String,
    account_id: String,
    private_access_settings_name: String,
    pub(crate) region: String,
    pub(crate) public_access_enabled: bool,
    private_access_level: String,
    allowed_vpc_endpoint_ids: Vec<String>,
}

impl PrivateAccessSettings {
    pub(crate) fn allows_endpoint(&self, id: &str) -> bool {
        self.allowed_vpc_endpoint_ids.iter().any(|it| it == id)
    }
}

impl Object for PrivateAccessSettings {
    const WHAT: &'static str = "Private access settings";
    const ID: &'static str = "private_access_settings_id";

    fn id(&self) -> &str {
        &self.private_access_settings_id
    }
}

pub(crate) fn create(call: &mut Call<'_>) -> Answer {
    let settings = read(call, new_id())?;
    call.account.private_access_settings.create(settings, StatusCode::OK)
}

/// Replaces every field; one that is left out falls back to its default.
pub(crate) fn replace(call: &mut Call<'_>) -> Answer {
    call.account.private_access_settings.get(call.id)?;
    let settings = read(call, call.id.to_owned())?;
    for workspace in &call.account.workspaces {
        if workspace.refs.private_access_settings_id.as_deref() != Some(call.id) {
            continue;
        }
        let network =
            workspace.refs.network_id.as_deref().and_then(|id| call.account.networks.find(id));
        let is_complete = network.is_some_and(|it| it.vpc_endpoints.is_some());
        // The rule is documented; that PUT enforces it, and how, is unconfirmed.
        if !settings.public_access_enabled && !is_complete {
            return Err(Refusal::malformed(format!(
                "Public access cannot be turned off: workspace {} has no complete PrivateLink",
                workspace.workspace_id
            )));
        }
    }
    let answer = shown(&settings);
    *call.account.private_access_settings.get_mut(call.id)? = settings;
    Ok((StatusCode::OK, answer))
}

pub(crate) fn delete(call: &mut Call<'_>) -> Answer {
    call.account.private_access_settings.get(call.id)?;
    let uses =
        call.account.user(|it| it.refs.private_access_settings_id.as_deref() == Some(call.id));
    if let Some(user) = uses {
        // Unconfirmed text.
        return Err(Refusal::in_use(format!(
            "Unable to delete, Private access settings is being used by active workspace {user}"
        )));
    }
    call.account.private_access_settings.delete(call.id)
}

fn read(call: &Call<'_>, id: String) -> Result<PrivateAccessSettings, Refusal> {
    let fields = call.fields();
    fields.require(&["private_access_settings_name", "region"])?;
    let name = fields.name("private_access_settings_name", 4..=256)?;
    let shelf = &call.account.private_access_settings;
    if call.settings.unique_names
        && shelf.iter().any(|it| it.private_access_settings_name == name && it.id() != id)
    {
        // Unconfirmed text and status.
        return Err(Refusal::exists(
            format!("Private access settings name {name} already exists in this account."),
            call.settings.duplicates_are_400,
        ));
    }
    let allowed = fields.texts("allowed_vpc_endpoint_ids")?;
    for endpoint in &allowed {
        if call.account.vpc_endpoints.find(endpoint).is_none() {
            return Err(Refusal::invalid("allowed_vpc_endpoint_ids", endpoint));
        }
    }
    Ok(PrivateAccessSettings {
        private_access_settings_id: id,
        account_id: call.account_id.to_owned(),
        private_access_settings_name: name,
        region: fields.required_text("region")?,
        // A client that leaves out `false` gets the strictest setting.
        public_access_enabled: fields.flag("public_access_enabled")?.unwrap_or(false),
        private_access_level: fields
            .word("private_access_level", &["ACCOUNT", "ENDPOINT"])?
            .unwrap_or_else(|| "ACCOUNT".into()),
        allowed_vpc_endpoint_ids: allowed,
    })
}
