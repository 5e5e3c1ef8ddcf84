//! Which workspaces stand on which objects, also those that other specs or people made.
//!
//! Follows the references of the account API: a workspace names its credentials, storage, network and
//! private access settings, and a network names a VPC, subnets, groups and registrations.

use std::collections::{BTreeMap, BTreeSet};

use cloud::Result;
use engine::{Action, Address, Cloud, Graph, Group, Kind, Plan, Role, Scope, State};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::aws::security_group::SecurityGroup;
use crate::aws::subnet::Subnet;
use crate::aws::vpc::Vpc;
use crate::databricks::credentials::Credentials;
use crate::databricks::network::{self, Network, NetworkId};
use crate::databricks::private_access_settings::PrivateAccessSettings;
use crate::databricks::storage_configuration::StorageConfiguration;
use crate::databricks::vpc_endpoint::Registration;
use crate::databricks::workspace::{self, Workspace, WorkspaceId};

/// A workspace that stands on an object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// The number of the workspace.
    pub id: String,
    pub name: String,
    /// Its address, if this stack owns it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Address>,
}

/// All workspaces of the account, by what they stand on.
#[derive(Debug, Clone, Default)]
pub struct Users {
    names: BTreeMap<WorkspaceId, String>,
    of: BTreeMap<(&'static str, String), BTreeSet<WorkspaceId>>,
}

impl Users {
    /// From everything the account lists.
    pub fn new<'a>(
        workspaces: impl IntoIterator<Item = (&'a WorkspaceId, &'a workspace::Seen)>,
        networks: &BTreeMap<NetworkId, network::Seen>,
    ) -> Self {
        let mut users = Users::default();
        for (id, seen) in workspaces {
            users.names.insert(id.clone(), seen.name.clone());
            users.note::<Credentials>(id, seen.credentials.as_ref());
            users.note::<StorageConfiguration>(id, seen.storage.as_ref());
            users.note::<PrivateAccessSettings>(id, seen.private_access.as_ref());
            users.note::<Network>(id, seen.network.as_ref());
            let Some(network) = seen.network.as_ref().and_then(|n| networks.get(n)) else {
                continue;
            };
            users.note::<Vpc>(id, [&network.vpc]);
            users.note::<Subnet>(id, &network.subnets);
            users.note::<SecurityGroup>(id, &network.groups);
            users.note::<Registration>(id, &network.rest_endpoint);
            users.note::<Registration>(id, &network.relay_endpoint);
        }
        users
    }

    /// Asks the account: two calls.
    pub async fn read(cloud: &dyn Cloud) -> Result<Self> {
        let all = Scope::All;
        let (workspaces, networks) = futures::future::try_join(
            cloud.list(Workspace::NAME, &all),
            cloud.list(Network::NAME, &all),
        )
        .await?;
        let workspaces: BTreeMap<WorkspaceId, workspace::Seen> = typed(workspaces)?;
        Ok(Users::new(&workspaces, &typed(networks)?))
    }

    fn note<'a, K: Kind>(
        &mut self,
        workspace: &WorkspaceId,
        ids: impl IntoIterator<Item = &'a K::Id>,
    ) {
        for id in ids {
            let users = self.of.entry((K::NAME, id.to_string())).or_default();
            users.insert(workspace.clone());
        }
    }

    /// The workspaces that stand on the object.
    pub fn of(&self, kind: &str, id: &str) -> BTreeSet<WorkspaceId> {
        let known = self.of.iter().filter(|((k, i), _)| *k == kind && i == id);
        known.flat_map(|(_, users)| users).cloned().collect()
    }

    /// The name of a workspace.
    pub fn name(&self, id: &WorkspaceId) -> &str {
        self.names.get(id).map_or("", String::as_str)
    }

    /// For every object that a plan changes, replaces or deletes: who stands on it, when that are more
    /// than the object's own workspace.
    pub fn touched(
        &self,
        plan: &Plan,
        graph: &Graph,
        state: &State,
    ) -> BTreeMap<Address, Vec<User>> {
        let mut all = BTreeMap::new();
        for step in plan.steps.iter().filter(|s| s.action != Action::Create) {
            let mut users = self.standing_on(&step.address, state);
            if let Group::Shared(name) = &step.group {
                // Gateways and endpoints of a VPC serve all that are in it, without being named.
                let vpc = Address::new(Vpc::NAME, name);
                users.extend(
                    id_of(&vpc, graph, state)
                        .map(|id| self.of(Vpc::NAME, &id))
                        .into_iter()
                        .flatten(),
                );
            }
            let known = |id: &WorkspaceId| {
                let ours = |(a, r): &(&Address, &engine::Record)| {
                    a.kind() == Workspace::NAME && r.id.as_ref() == Some(&id.0)
                };
                let address = state.resources.iter().find(ours).map(|(a, _)| a.clone());
                User { id: id.0.clone(), name: self.name(id).to_owned(), address }
            };
            let users: Vec<User> = users.iter().map(known).collect();
            let own = |user: &User| match (&step.group, &user.address) {
                (Group::Workspace(name), Some(address)) => address.name() == name,
                _ => false,
            };
            if !users.iter().all(own) {
                all.insert(step.address.clone(), users);
            }
        }
        all
    }

    /// The workspaces that stand on the resource, or on one that needs it.
    fn standing_on(&self, address: &Address, state: &State) -> BTreeSet<WorkspaceId> {
        let (mut open, mut met) = (vec![address], BTreeSet::from([address]));
        let mut users = BTreeSet::new();
        while let Some(at) = open.pop() {
            let record = state.resources.get(at);
            if at.kind() == Workspace::NAME {
                users.extend(record.and_then(|r| r.id.clone()).map(WorkspaceId::from));
                continue;
            }
            if let Some(id) = record.and_then(|r| r.id.as_deref()) {
                // A rule set has the id of its group.
                let kind = if at.kind() == "aws.security_group_rules" {
                    SecurityGroup::NAME
                } else {
                    at.kind()
                };
                users.extend(self.of(kind, id));
            }
            // What is shared and needs something of one workspace only lists it: it does not make the
            // others stand on that.
            let of_one = record.is_some_and(|r| matches!(r.group, Group::Workspace(_)));
            let needing = state.resources.iter().filter(|(_, r)| r.needs.contains(at));
            let needing = needing.filter(|(_, r)| !(of_one && matches!(r.group, Group::Shared(_))));
            open.extend(needing.map(|(a, _)| a).filter(|a| met.insert(a)));
        }
        users
    }
}

fn id_of(address: &Address, graph: &Graph, state: &State) -> Option<String> {
    match graph.nodes.get(address).map(|n| &n.role) {
        Some(Role::Used { id, .. }) => Some(id.clone()),
        _ => state.resources.get(address)?.id.clone(),
    }
}

fn typed<I: From<String> + Ord, S: DeserializeOwned>(
    all: Vec<(String, Value)>,
) -> Result<BTreeMap<I, S>> {
    let one = |(id, seen)| {
        let seen = serde_json::from_value(seen)
            .map_err(|e| cloud::Error::new(cloud::Class::Other, "engine", format!("bug: {e}")))?;
        Ok((I::from(id), seen))
    };
    all.into_iter().map(one).collect()
}
