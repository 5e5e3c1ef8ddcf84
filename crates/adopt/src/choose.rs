//! What is only used from the start: what others stand on, and what is not this stack's.

use std::collections::{BTreeMap, BTreeSet};

use engine::Kind;
use kinds::aws::bucket::Bucket;
use kinds::aws::role::Role;
use kinds::aws::security_group::SecurityGroup;
use kinds::aws::subnet::Subnet;
use kinds::aws::vpc::{Vpc, VpcId};
use kinds::aws::vpc_endpoint::VpcEndpoint;
use kinds::aws::vpc_peering::VpcPeering;
use kinds::databricks::credentials::Credentials;
use kinds::databricks::network::Network;
use kinds::databricks::private_access_settings::PrivateAccessSettings;
use kinds::databricks::storage_configuration::StorageConfiguration;
use kinds::databricks::vpc_endpoint::Registration;
use kinds::databricks::workspace::Workspace;
use serde_json::Value;

use crate::gather::{Gathered, role_name};
use crate::names::{Names, mark};
use crate::network::{Inside, is_interface};
use crate::part::{Part, Used};

pub(crate) struct Chooser<'a> {
    pub(crate) gathered: &'a Gathered,
    pub(crate) names: &'a Names,
    pub(crate) inside: &'a BTreeMap<VpcId, Inside>,
    /// Own also what others stand on or another stack has marked.
    pub(crate) own_shared: bool,
    /// Ids that are only to be used.
    pub(crate) leave: &'a BTreeSet<String>,
}

impl Chooser<'_> {
    pub(crate) fn used(&self) -> Used {
        let mut used = Used::new();
        for (id, inside) in self.inside {
            self.vpc(id, inside, &mut used);
        }
        for (id, name) in &self.names.peerings {
            let why = self.not_ours(VpcPeering::NAME, &id.0);
            used.extend(why.map(|why| (Part::Peering(name.clone()), why)));
        }
        for (id, name) in &self.names.workspaces {
            if let Some(workspace) = self.gathered.get::<Workspace>(id) {
                self.workspace(name, &workspace, &mut used);
            }
        }
        for (role, (workspace, profile)) in &self.names.profiles {
            let why = self.not_ours(Role::NAME, &role.0);
            let part = Part::Profile(workspace.clone(), profile.clone());
            used.extend(why.map(|why| (part, why)));
        }
        used
    }

    /// Why an object is not this stack's to own: it is gone, told so, marked otherwise, or others
    /// stand on it.
    fn why_not(&self, kind: &'static str, id: &str) -> Option<String> {
        self.not_ours(kind, id).or_else(|| self.shared(kind, id))
    }

    fn not_ours(&self, kind: &'static str, id: &str) -> Option<String> {
        let Some(seen) = self.gathered.seen(kind, id) else {
            return Some(format!("`{id}` cannot be read"));
        };
        if self.leave.contains(id) {
            return Some("you said so".to_owned());
        }
        if let Some(account_name) = seen.get("name").filter(|_| kind.starts_with("databricks.")) {
            return self.otherwise_named(account_name);
        }
        match mark(seen) {
            Some((stack, _)) if stack == self.names.stack => None,
            Some((stack, _)) if !self.own_shared => {
                Some(format!("`{id}` carries the mark of stack `{stack}`"))
            }
            None if self.names.made_here => {
                Some(format!("`{id}` was not made by stack `{}`", self.names.stack))
            }
            _ => None,
        }
    }

    /// Account objects carry no mark: there the name tells who made it.
    fn otherwise_named(&self, name: &Value) -> Option<String> {
        let prefix = format!("{}-", self.names.stack);
        let name = name.as_str()?;
        (self.names.made_here && !name.starts_with(&prefix))
            .then(|| format!("`{name}` was not made by stack `{}`", self.names.stack))
    }

    fn shared(&self, kind: &str, id: &str) -> Option<String> {
        let users = self.gathered.users.of(kind, id);
        let others = users.iter().filter(|id| !self.gathered.wanted.contains(id));
        let others: Vec<String> =
            others.map(|id| format!("{id} `{}`", self.gathered.users.name(id))).collect();
        let shared = !others.is_empty() && !self.own_shared;
        shared.then(|| format!("workspace {} uses it too", others.join(", ")))
    }

    fn vpc(&self, id: &VpcId, inside: &Inside, used: &mut Used) {
        let Some(name) = self.names.vpcs.get(id) else { return };
        if let Some(why) = self.why_not(Vpc::NAME, &id.0) {
            use_vpc(
                name,
                inside,
                &why,
                self.names.made_here && self.shared(Vpc::NAME, &id.0).is_none(),
                used,
            );
        }
        let nats = inside.nats.iter().find_map(|n| {
            self.not_ours("aws.nat_gateway", &n.id.0)
                .or_else(|| self.not_ours(Subnet::NAME, &n.subnet.0))
        });
        let zones: BTreeSet<&String> = inside.nats.iter().map(|n| &n.zone).collect();
        let uneven = (zones.len() < inside.nats.len())
            .then(|| "several NAT gateways lie in one zone".to_owned());
        put(used, Part::Nat(name.clone()), nats.or(uneven));
        for (service, (endpoint, seen)) in &inside.services {
            let part = Part::Endpoint(name.clone(), service.name().to_owned());
            put(used, part, self.not_ours(VpcEndpoint::NAME, &endpoint.0));
            self.endpoint_network(name, seen, used);
        }
        for (link, connection) in &inside.links {
            let which = link.name().to_owned();
            let part = Part::Endpoint(name.clone(), which.clone());
            put(used, part, self.not_ours(VpcEndpoint::NAME, &connection.endpoint.0));
            let registration = self.why_not(Registration::NAME, &connection.registration.0);
            put(used, Part::Registration(name.clone(), which), registration);
            self.endpoint_network(name, &connection.seen, used);
        }
    }

    fn endpoint_network(&self, name: &str, seen: &kinds::aws::vpc_endpoint::Seen, used: &mut Used) {
        if !is_interface(seen) {
            return;
        }
        let subnets = seen.subnets.iter().find_map(|id| self.not_ours(Subnet::NAME, &id.0));
        put(used, Part::EndpointSubnets(name.to_owned()), subnets);
        let groups = seen.groups.iter().find_map(|id| self.why_not(SecurityGroup::NAME, &id.0));
        put(used, Part::EndpointGroup(name.to_owned()), groups);
    }

    fn workspace(&self, name: &str, seen: &kinds::databricks::workspace::Seen, used: &mut Used) {
        let owned = name.to_owned();
        if let Some(network) = seen.network.as_ref().and_then(|id| self.gathered.get::<Network>(id))
        {
            let subnets = network.subnets.iter().find_map(|id| self.why_not(Subnet::NAME, &id.0));
            put(used, Part::Subnets(owned.clone()), subnets);
            let several = |id: &str| {
                let users = self.gathered.users.of(SecurityGroup::NAME, id);
                (users.len() > 1).then(|| "several workspaces use it".to_owned())
            };
            let group = network
                .groups
                .iter()
                .find_map(|id| self.why_not(SecurityGroup::NAME, &id.0).or_else(|| several(&id.0)));
            put(used, Part::Group(owned.clone()), group);
        }
        if let Some(id) = &seen.credentials {
            let shared = self.names.credentials.get(id).map(|name| format!("account.{name}"));
            let owner = shared.unwrap_or_else(|| owned.clone());
            let arn = self.gathered.get::<Credentials>(id).map(|c| c.role_arn);
            put(used, Part::Credentials(owner.clone()), self.why_not(Credentials::NAME, &id.0));
            if let Some(arn) = arn {
                let others = self.gathered.all::<Credentials>().into_iter();
                let others = others.filter(|(other, c)| other != id && c.role_arn == arn);
                let mut shared =
                    others.map(|(_, c)| format!("credentials `{}` use it too", c.name));
                let why = self.not_ours(Role::NAME, &role_name(&arn.0).0);
                put(used, Part::Role(owner), why.or(shared.find(|_| !self.own_shared)));
            }
        }
        if let Some(id) = &seen.private_access {
            let shared = self.names.access.get(id).map(|name| format!("account.{name}"));
            let why = self.why_not(PrivateAccessSettings::NAME, &id.0);
            put(used, Part::Access(shared.unwrap_or_else(|| owned.clone())), why);
        }
        let Some(id) = &seen.storage else { return };
        put(used, Part::Storage(owned.clone()), self.why_not(StorageConfiguration::NAME, &id.0));
        let Some(storage) = self.gathered.get::<StorageConfiguration>(id) else { return };
        let others = self.gathered.all::<StorageConfiguration>().into_iter();
        let mut others = others.filter(|(other, s)| other != id && s.bucket == storage.bucket);
        let shared =
            others.next().map(|(_, s)| format!("storage configuration `{}` uses it too", s.name));
        let bucket = self.not_ours(Bucket::NAME, &storage.bucket.0);
        put(used, Part::Bucket(owned.clone()), bucket.or(shared.filter(|_| !self.own_shared)));
        if let Some(arn) = storage.role_arn {
            let why = self.not_ours(Role::NAME, &role_name(&arn.0).0);
            put(used, Part::CatalogRole(owned), why);
        }
    }
}

/// A part that is used for a reason; the first one counts.
fn put(used: &mut Used, part: Part, why: Option<String>) {
    if let Some(why) = why {
        used.entry(part).or_insert(why);
    }
}

/// A used VPC, with what serves everybody in it. `alone` is the VPC of another maker in which
/// everything else is decided by its own mark.
pub(crate) fn use_vpc(name: &str, inside: &Inside, why: &str, alone: bool, used: &mut Used) {
    let name = name.to_owned();
    let mut parts = vec![Part::Vpc(name.clone())];
    if !alone {
        parts.push(Part::Nat(name.clone()));
        let services = inside.services.keys().map(|s| s.name());
        let links = inside.links.keys().map(|l| l.name());
        let all = services.chain(links).map(|which| Part::Endpoint(name.clone(), which.to_owned()));
        parts.extend(all);
    }
    for part in parts {
        used.entry(part).or_insert_with(|| why.to_owned());
    }
}
