//! A workspace.
//!
//! API: `workspaces` (list, POST, PATCH with `update_mask`, DELETE). Creation takes minutes and fails
//! late; deletion is accepted at once and takes a while.

use std::time::Duration;

use cloud::{Class, Error, Result};
use databricks::Account;
use engine::Impact::{ComputeStops, OneWay, UsersLoseAccess};
use engine::{Action, Diff, Found, Kind, Out, Readiness, Ref, Scope, Waits, Wanted};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::credentials::CredentialsId;
use super::network::{self, NetworkId};
use super::private_access_settings::PrivateAccessSettingsId;
use super::storage_configuration::StorageConfigurationId;
use super::{found, id_in, list};
use crate::Tags;

const PATH: &str = "workspaces";

const RUNNING: &str = "RUNNING";
const FAILED: &str = "FAILED";

/// What a PATCH of the network needs and brings.
const NETWORK_MOVES: &str = "all clusters, pools and warehouses in its subnets must be stopped before, and clusters are unusable for about 20 minutes after";

/// Where users go.
pub const URL: Out<Workspace, String> = Out::field("url");

pub struct Workspace;

engine::id!(
    /// The number of a workspace, as text.
    WorkspaceId
);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Props {
    /// 1–100 characters.
    pub name: String,
    pub region: String,
    pub credentials: Ref<CredentialsId>,
    pub storage: Ref<StorageConfigurationId>,
    /// `None`: Databricks makes and keeps the VPC.
    pub network: Option<Ref<NetworkId>>,
    pub private_access: Option<Ref<PrivateAccessSettingsId>>,
    /// `None`: the best tier of the account.
    pub tier: Option<String>,
    /// What the user asked for; the server puts the account's prefix before it. `None`: generated.
    pub deployment_name: Option<String>,
    /// Go to the compute of the workspace, up to an hour later.
    pub tags: Tags,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    pub name: String,
    pub region: String,
    pub credentials: Option<CredentialsId>,
    pub storage: Option<StorageConfigurationId>,
    pub network: Option<NetworkId>,
    pub private_access: Option<PrivateAccessSettingsId>,
    pub tier: Option<String>,
    pub deployment_name: Option<String>,
    pub tags: Tags,
    pub status: String,
    pub status_message: String,
    /// What its network says about it, when it has failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
    /// Empty while there is no deployment name.
    pub url: String,
}

impl Kind for Workspace {
    const NAME: &'static str = "databricks.workspace";
    const SERVICE: &'static str = "databricks";
    const PRECIOUS: bool = true;

    type Cloud = Account;
    type Id = WorkspaceId;
    type Props = Props;
    type Seen = Seen;

    fn diff(want: &Props, have: &Seen) -> Diff {
        let Props {
            name,
            region,
            credentials,
            storage,
            network,
            private_access,
            tier,
            deployment_name,
            tags,
        } = want;
        let failed = have.status == FAILED;
        let mut diff = Diff::default()
            .replace("name", name, &have.name)
            .refusal(
                "a workspace keeps its name for life",
                "keep it with `display_name`, or make another workspace beside it",
            )
            .replace("region", region, &have.region)
            .refusal(
                "a workspace stays in its region",
                "make another workspace in a stack of its own, and move what this one holds",
            )
            .update("credentials", credentials, &have.credentials)
            .headline("works with other credentials");
        // Only one that failed has nothing to lose.
        diff = match failed {
            true => diff.update("storage", storage, &have.storage),
            false => diff.replace("storage", storage, &have.storage).refusal(
                "a workspace keeps its storage configuration for life: root bucket and catalog role",
                "undo the change, or make another workspace with that storage and move what this one holds",
            ),
        };
        // A workspace that has run keeps the sort of VPC it was born with; one that failed may still
        // be given a customer's. Leaving a customer's VPC is never possible.
        diff = match (network, &have.network) {
            (Some(_), Some(_)) => {
                diff.update("network", network, &have.network).impact(ComputeStops, NETWORK_MOVES)
            }
            (Some(_), None) if failed => diff
                .update("network", network, &have.network)
                .headline("moves into a VPC of yours")
                .impact(OneWay, "it can never go back to a VPC that Databricks manages"),
            (Some(_), None) => diff.replace("network", network, &have.network).refusal(
                "a workspace that has run in a VPC of Databricks stays there",
                "leave out its `vpc`, or make another workspace in the VPC",
            ),
            (None, _) => diff.replace("network", network, &have.network).refusal(
                "a workspace in a VPC of yours can never go to one of Databricks",
                "put its `vpc` back, or make another workspace without one",
            ),
        };
        // Settings can be added and changed, never taken away.
        diff = match (private_access, &have.private_access) {
            (Some(_), None) => diff
                .update("private_access", private_access, &have.private_access)
                .headline("gets private access settings")
                .impact(OneWay, "they can be exchanged and never taken away"),
            (Some(_), Some(_)) => diff
                .update("private_access", private_access, &have.private_access)
                .headline("gets other private access settings")
                .impact(UsersLoseAccess, "whoever the new settings do not admit is shut out"),
            (None, _) => {
                diff.replace("private_access", private_access, &have.private_access).refusal(
                    "private access settings can be exchanged and never taken away",
                    "keep some with `private_access`, such as `{ level: account }`",
                )
            }
        };
        if let Some(tier) = tier {
            let same = have.tier.as_ref().is_some_and(|have| have.eq_ignore_ascii_case(tier));
            // Sent in whatever case the user wrote, answered in capitals.
            diff = diff
                .replace("tier", &Some(tier), &if same { &want.tier } else { &have.tier })
                .refusal(
                    "a workspace keeps its pricing tier for life",
                    "put its `tier` back, or make another workspace",
                );
        }
        if let Some(asked) = deployment_name {
            let same = is_deployment(asked, have.deployment_name.as_deref());
            let have = if same { deployment_name } else { &have.deployment_name };
            diff = diff.replace("deployment_name", deployment_name, have).refusal(
                "a workspace keeps its host name for life",
                "put its `deployment_name` back, or make another workspace",
            );
        }
        diff = match tags.is_empty() {
            // The server ignores an empty map.
            true => diff.never("tags", tags, &have.tags).refusal(
                "the last custom tags of a workspace cannot be taken away: the service ignores that",
                "keep one tag, of the workspace or of the stack",
            ),
            false => diff.update("tags", tags, &have.tags),
        };
        // Changing a failed workspace makes the server provision it again. That sending the same
        // values again does so too is UNCONFIRMED.
        if failed {
            diff = diff
                .update("status", &RUNNING, &have.status)
                .headline("has failed and is provisioned again");
        }
        diff
    }

    fn readiness(seen: &Seen) -> Readiness {
        match seen.status.as_str() {
            RUNNING => Readiness::Ready,
            FAILED | "BANNED" | "CANCELLING" | "CANCELLED" => {
                let mut why = format!("{}: {}", seen.status, seen.status_message);
                for problem in &seen.problems {
                    why += &format!("; {problem}");
                }
                Readiness::Failed(why)
            }
            // Also what this version does not know.
            other => Readiness::Pending(other.to_owned()),
        }
    }

    fn waits() -> Waits {
        Waits {
            ready: Duration::from_secs(30 * 60),
            gone: Duration::from_secs(20 * 60),
            // The server checks the role's permissions again, and now and then too early.
            propagation: Duration::from_secs(180),
            ..Waits::default()
        }
    }

    /// 5 to 7 minutes to create (Terraform provider, `mws_workspaces`); deleting for 30 to 90 s is what
    /// is seen. A change of a running workspace is immediate (API reference).
    fn typical(action: Action) -> Option<Duration> {
        match action {
            Action::Create | Action::Replace => Some(Duration::from_secs(6 * 60)),
            Action::Delete => Some(Duration::from_secs(60)),
            _ => None,
        }
    }

    /// One call, and one more when something has failed: the network tells why.
    async fn read(account: &Account, ids: &[WorkspaceId]) -> Result<Vec<Option<Seen>>> {
        let all: Vec<Wire> = list(account, PATH).await?;
        let one = |id: &WorkspaceId| {
            let wire = all.iter().find(|w| w.workspace_id.to_string() == id.0)?;
            Some(see(account, wire))
        };
        let mut seen: Vec<Option<Seen>> = ids.iter().map(one).collect();
        if seen.iter().flatten().any(|s| s.status == FAILED && s.network.is_some()) {
            let problems = network::problems(account).await?;
            for seen in seen.iter_mut().flatten().filter(|s| s.status == FAILED) {
                let told = seen.network.as_ref().and_then(|id| problems.get(id));
                seen.problems = told.cloned().unwrap_or_default();
            }
        }
        Ok(seen)
    }

    async fn find(
        account: &Account,
        _stack: &str,
        wanted: &[Wanted<Props>],
    ) -> Result<Vec<Vec<Found<WorkspaceId>>>> {
        let all: Vec<Wire> = list(account, PATH).await?;
        let candidates = |Wanted { props, .. }: &Wanted<Props>| {
            let named = all.iter().filter(|w| {
                w.workspace_name == props.name && w.aws_region.as_deref() == Some(&props.region)
            });
            named
                .map(|w| {
                    let same = !Workspace::diff(props, &see(account, w)).replaces();
                    found(WorkspaceId(w.workspace_id.to_string()), same)
                })
                .collect()
        };
        Ok(wanted.iter().map(candidates).collect())
    }

    async fn create(account: &Account, props: &Props) -> Result<WorkspaceId> {
        let mut body = json!({
            "workspace_name": props.name,
            "aws_region": props.region,
            "credentials_id": props.credentials.get()?,
            "storage_configuration_id": props.storage.get()?,
        });
        if let Some(network) = &props.network {
            body["network_id"] = json!(network.get()?);
        }
        if let Some(settings) = &props.private_access {
            body["private_access_settings_id"] = json!(settings.get()?);
        }
        if let Some(tier) = &props.tier {
            body["pricing_tier"] = json!(tier.to_ascii_uppercase());
        }
        if let Some(name) = &props.deployment_name {
            body["deployment_name"] = json!(name);
        }
        if !props.tags.is_empty() {
            body["custom_tags"] = json!(props.tags);
        }
        let answer = account.post(PATH, &body).await?;
        id_in(PATH, "workspace_id", &answer).map(WorkspaceId)
    }

    /// One PATCH of the fields that differ. A failed update may revert without a word, so the truth is
    /// what the next read says.
    async fn update(account: &Account, id: &WorkspaceId, props: &Props, diff: &Diff) -> Result<()> {
        let mut body = Map::new();
        let again = diff.has("status");
        if diff.has("credentials") || again {
            body.insert("credentials_id".to_owned(), json!(props.credentials.get()?));
        }
        if diff.has("storage") {
            body.insert("storage_configuration_id".to_owned(), json!(props.storage.get()?));
        }
        if let (true, Some(network)) = (diff.has("network") || again, &props.network) {
            body.insert("network_id".to_owned(), json!(network.get()?));
        }
        if let (true, Some(settings)) = (diff.has("private_access"), &props.private_access) {
            body.insert("private_access_settings_id".to_owned(), json!(settings.get()?));
        }
        if diff.has("tags") && !props.tags.is_empty() {
            body.insert("custom_tags".to_owned(), json!(props.tags));
        }
        // An empty mask is worse than none.
        if body.is_empty() {
            let message = format!("bug: nothing of {:?} can be updated", diff.fields());
            return Err(Error::new(Class::Other, "engine", message));
        }
        let mask = body.keys().map(String::as_str).collect::<Vec<_>>().join(",");
        let path = format!("{PATH}/{id}?update_mask={mask}");
        account.patch(&path, &Value::Object(body)).await.map(drop)
    }

    async fn delete(account: &Account, id: &WorkspaceId) -> Result<()> {
        account.delete(&format!("{PATH}/{id}")).await.map(drop)
    }

    async fn list(account: &Account, scope: &Scope) -> Result<Vec<(WorkspaceId, Seen)>> {
        let all: Vec<Wire> = super::listed(account, PATH, scope).await?;
        Ok(all.iter().map(|w| (WorkspaceId(w.workspace_id.to_string()), see(account, w))).collect())
    }
}

/// Whether the server's name is the account's prefix and then what was asked for.
///
/// `EMPTY` asks for the prefix alone, which we do not know.
fn is_deployment(asked: &str, have: Option<&str>) -> bool {
    let Some(have) = have else { return false };
    asked == "EMPTY" || have.strip_suffix(asked).is_some_and(|p| p.is_empty() || p.ends_with('-'))
}

#[derive(Deserialize)]
struct Wire {
    workspace_id: i64,
    #[serde(default)]
    workspace_name: String,
    aws_region: Option<String>,
    credentials_id: Option<CredentialsId>,
    storage_configuration_id: Option<StorageConfigurationId>,
    network_id: Option<NetworkId>,
    private_access_settings_id: Option<PrivateAccessSettingsId>,
    pricing_tier: Option<String>,
    deployment_name: Option<String>,
    custom_tags: Option<Tags>,
    workspace_status: Option<String>,
    workspace_status_message: Option<String>,
}

fn see(account: &Account, wire: &Wire) -> Seen {
    let deployment_name = wire.deployment_name.clone().filter(|name| !name.is_empty());
    Seen {
        name: wire.workspace_name.clone(),
        region: wire.aws_region.clone().unwrap_or_default(),
        credentials: wire.credentials_id.clone(),
        storage: wire.storage_configuration_id.clone(),
        network: wire.network_id.clone().filter(|id| !id.0.is_empty()),
        private_access: wire.private_access_settings_id.clone().filter(|id| !id.0.is_empty()),
        tier: wire.pricing_tier.clone(),
        url: deployment_name.as_deref().map(|n| account.workspace_url(n)).unwrap_or_default(),
        deployment_name,
        tags: wire.custom_tags.clone().unwrap_or_default(),
        status: wire.workspace_status.clone().unwrap_or_else(|| "NOT_PROVISIONED".to_owned()),
        status_message: wire.workspace_status_message.clone().unwrap_or_default(),
        problems: Vec::new(),
    }
}
