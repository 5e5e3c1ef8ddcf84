//! Private access settings: who may reach workspaces, and through which registered endpoints.
//!
//! API: `private-access-settings` (list, POST, PUT, DELETE). PUT replaces every field and reaches all
//! workspaces that use the object; it takes minutes to become effective.

use std::collections::BTreeSet;

use cloud::Result;
use databricks::Account;
use engine::Impact::UsersLoseAccess;
use engine::{Diff, Found, Kind, Ref, Wanted};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::vpc_endpoint::RegistrationId;
use super::{found, id_in, list};

const PATH: &str = "private-access-settings";

pub struct PrivateAccessSettings;

engine::id!(
    /// The UUID of private access settings.
    PrivateAccessSettingsId
);

/// Which registered endpoints may be used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Level {
    /// Any endpoint registered in the account.
    #[default]
    Account,
    /// Only those in the list.
    Endpoint,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Props {
    /// 4–256 characters.
    pub name: String,
    pub region: String,
    /// Whether the public internet may reach the workspaces too.
    pub public_access: bool,
    pub level: Level,
    /// Empty unless the level is [`Level::Endpoint`].
    pub allowed: BTreeSet<Ref<RegistrationId>>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    pub name: String,
    pub region: String,
    pub public_access: bool,
    /// As the server says it: it may know levels we do not.
    pub level: String,
    pub allowed: BTreeSet<RegistrationId>,
}

impl Kind for PrivateAccessSettings {
    const NAME: &'static str = "databricks.private_access_settings";
    const SERVICE: &'static str = "databricks";

    type Cloud = Account;
    type Id = PrivateAccessSettingsId;
    type Props = Props;
    type Seen = Seen;

    fn diff(want: &Props, have: &Seen) -> Diff {
        let Props { name, region, public_access, level, allowed } = want;
        let diff = Diff::default()
            .update("name", name, &have.name)
            .replace("region", region, &have.region)
            .update("public_access", public_access, &have.public_access);
        let diff = match public_access {
            true => diff.headline("users may come from the internet too"),
            false => diff
                .headline("users may no longer come from the internet")
                .impact(UsersLoseAccess, "minutes later, in every workspace with these settings"),
        };
        diff.update("level", level, &have.level)
            .headline("other private endpoints may reach it")
            .impact(UsersLoseAccess, "through the endpoints that are not listed")
            .update("allowed", allowed, &have.allowed)
            .headline("other private endpoints may reach it")
            .impact(UsersLoseAccess, "through the endpoints that are no longer listed")
    }

    async fn read(account: &Account, ids: &[PrivateAccessSettingsId]) -> Result<Vec<Option<Seen>>> {
        let all: Vec<Wire> = list(account, PATH).await?;
        let one = |id: &PrivateAccessSettingsId| {
            all.iter().find(|w| w.private_access_settings_id == id.0).map(see)
        };
        Ok(ids.iter().map(one).collect())
    }

    async fn find(
        account: &Account,
        _stack: &str,
        wanted: &[Wanted<Props>],
    ) -> Result<Vec<Vec<Found<PrivateAccessSettingsId>>>> {
        let all: Vec<Wire> = list(account, PATH).await?;
        let candidates = |Wanted { props, .. }: &Wanted<Props>| {
            let named = all.iter().filter(|w| w.private_access_settings_name == props.name);
            named
                .map(|w| {
                    let same = w.region == props.region;
                    found(PrivateAccessSettingsId(w.private_access_settings_id.clone()), same)
                })
                .collect()
        };
        Ok(wanted.iter().map(candidates).collect())
    }

    async fn create(account: &Account, props: &Props) -> Result<PrivateAccessSettingsId> {
        let answer = account.post(PATH, &body(props)?).await?;
        id_in(PATH, "private_access_settings_id", &answer).map(PrivateAccessSettingsId)
    }

    async fn update(
        account: &Account,
        id: &PrivateAccessSettingsId,
        props: &Props,
        _diff: &Diff,
    ) -> Result<()> {
        account.put(&format!("{PATH}/{id}"), &body(props)?).await.map(drop)
    }

    async fn delete(account: &Account, id: &PrivateAccessSettingsId) -> Result<()> {
        account.delete(&format!("{PATH}/{id}")).await.map(drop)
    }
}

/// The whole object: PUT takes what is left out as unset, and `public_access_enabled` left out as no.
fn body(props: &Props) -> Result<Value> {
    let allowed = props.allowed.iter().map(Ref::get).collect::<Result<Vec<_>>>()?;
    let mut body = json!({
        "private_access_settings_name": props.name,
        "region": props.region,
        "public_access_enabled": props.public_access,
        "private_access_level": props.level,
    });
    if props.level == Level::Endpoint {
        body["allowed_vpc_endpoint_ids"] = json!(allowed);
    }
    Ok(body)
}

#[derive(Deserialize)]
struct Wire {
    private_access_settings_id: String,
    #[serde(default)]
    private_access_settings_name: String,
    #[serde(default)]
    region: String,
    #[serde(default)]
    public_access_enabled: bool,
    private_access_level: Option<String>,
    allowed_vpc_endpoint_ids: Option<BTreeSet<RegistrationId>>,
}

fn see(wire: &Wire) -> Seen {
    Seen {
        name: wire.private_access_settings_name.clone(),
        region: wire.region.clone(),
        public_access: wire.public_access_enabled,
        level: wire.private_access_level.clone().unwrap_or_else(|| "ACCOUNT".to_owned()),
        allowed: wire.allowed_vpc_endpoint_ids.clone().unwrap_or_default(),
    }
}
