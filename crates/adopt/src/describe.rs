//! From what was seen to the spec that says it.

use std::collections::{BTreeMap, BTreeSet};

use engine::{Address, Kind};
use facts::iam;
use facts::ports::{self, Ports};
use kinds::aws::bucket::{Bucket, Encryption};
use kinds::aws::instance_profile::InstanceProfile;
use kinds::aws::role::{self, Role};
use kinds::aws::route::Route;
use kinds::aws::route_table::{RouteTable, RouteTableId, SeenTarget};
use kinds::aws::security_group::GroupId;
use kinds::aws::security_group_rules::Rule;
use kinds::aws::subnet::SubnetId;
use kinds::aws::vpc::{Vpc, VpcId};
use kinds::aws::vpc_peering::{PeeringId, VpcPeering};
use kinds::databricks::credentials::{Credentials, CredentialsId};
use kinds::databricks::network::{self, Network};
use kinds::databricks::private_access_settings::{self as access, PrivateAccessSettings};
use kinds::databricks::storage_configuration::StorageConfiguration;
use kinds::databricks::vpc_endpoint::RegistrationId;
use kinds::databricks::workspace::{self, Workspace, WorkspaceId};
use spec::{AccessLevel, Link, RolePolicy, Spec, Tier};

use crate::bind::Bound;
use crate::gather::{Gathered, role_name};
use crate::names::Names;
use crate::network::{Inside, clients, is_interface, ways_out};
use crate::part::{Part, Used};

/// What the spec says at its top.
#[derive(Debug, Clone)]
pub struct Accounts {
    pub aws: String,
    pub databricks: String,
}

pub(crate) struct Describer<'a> {
    pub(crate) gathered: &'a Gathered,
    pub(crate) names: &'a Names,
    pub(crate) accounts: &'a Accounts,
    pub(crate) used: &'a Used,
    pub(crate) tags: &'a BTreeMap<String, String>,
    pub(crate) inside: &'a BTreeMap<VpcId, Inside>,
}

impl Describer<'_> {
    fn used(&self, part: Part) -> bool {
        self.used.contains_key(&part)
    }

    fn names_of(&self, vpc: &VpcId) -> String {
        self.names.vpcs.get(vpc).cloned().unwrap_or_default()
    }

    /// The objects that nothing else leads to.
    pub(crate) fn seeds(&self) -> Bound {
        let mut seeds = Bound::new();
        for (id, name) in &self.names.vpcs {
            seeds.insert(Address::new(Vpc::NAME, name), id.0.clone());
        }
        for (id, name) in &self.names.workspaces {
            seeds.insert(Address::new(Workspace::NAME, name), id.0.clone());
        }
        for (role, (workspace, profile)) in &self.names.profiles {
            let name = format!("{workspace}.node-{profile}");
            seeds.insert(Address::new(Role::NAME, &name), role.0.clone());
            seeds.insert(Address::new(InstanceProfile::NAME, &name), role.0.clone());
        }
        seeds
    }

    /// The spec, without labels.
    pub(crate) fn spec(&self) -> Spec {
        let mut spec = Spec {
            api_version: spec::ApiVersion::V1,
            name: self.names.stack.clone(),
            region: self.gathered.region(),
            aws: spec::AwsAccount { account: self.accounts.aws.clone() },
            databricks: spec::DatabricksAccount { account: self.accounts.databricks.clone() },
            tags: self.tags.clone(),
            vpcs: BTreeMap::new(),
            peerings: BTreeMap::new(),
            credentials: BTreeMap::new(),
            private_access_settings: BTreeMap::new(),
            workspaces: BTreeMap::new(),
            labels: BTreeMap::new(),
            allow_deletion: BTreeSet::new(),
            allow_emptying: BTreeSet::new(),
            requirements: spec::Requirements::default(),
            accept: BTreeMap::new(),
            moved: spec::Moved::default(),
            forget: spec::Forget::default(),
            state: None,
        };
        for (id, inside) in self.inside {
            spec.vpcs.insert(self.names_of(id), self.vpc(id, inside));
        }
        for (id, name) in &self.names.peerings {
            let described = self.peering(id).filter(|_| !self.used(Part::Peering(name.clone())));
            spec.peerings.extend(described.map(|peering| (name.clone(), peering)));
        }
        for (id, name) in &self.names.access {
            spec.private_access_settings
                .extend(self.shared_access(id, name).map(|s| (name.clone(), s)));
        }
        for (id, name) in &self.names.workspaces {
            if let Some(seen) = self.gathered.get::<Workspace>(id) {
                let workspace = self.workspace(&spec, id, name, &seen);
                spec.workspaces.insert(name.clone(), workspace);
            }
        }
        self.share_subnets(&mut spec);
        for (id, name) in &self.names.credentials {
            spec.credentials
                .extend(self.shared_credentials(&spec, id, name).map(|c| (name.clone(), c)));
        }
        spec
    }

    /// The wanted workspaces with a network in the VPC.
    fn tenants(&self, vpc: &VpcId) -> Vec<(String, workspace::Seen, network::Seen)> {
        let all = self.names.workspaces.iter().filter_map(|(id, name)| {
            let seen = self.gathered.get::<Workspace>(id)?;
            let network = self.gathered.get::<Network>(seen.network.as_ref()?)?;
            (network.vpc == *vpc).then(|| (name.clone(), seen, network))
        });
        all.collect()
    }

    /// The subnets of workspaces that are to be owned.
    fn own_subnets(&self, vpc: &VpcId) -> BTreeSet<SubnetId> {
        let tenants = self.tenants(vpc).into_iter();
        let own = tenants.filter(|(name, ..)| !self.used(Part::Subnets(name.clone())));
        own.flat_map(|(_, _, network)| network.subnets).collect()
    }

    fn vpc(&self, id: &VpcId, inside: &Inside) -> spec::Vpc {
        let name = self.names_of(id);
        let is_used = self.used(Part::Vpc(name.clone()));
        let own_nat = !self.used(Part::Nat(name.clone())) && !inside.nats.is_empty();
        let own_subnets = self.own_subnets(id);
        let mut vpc = spec::Vpc {
            cidr: (!is_used).then_some(inside.vpc.cidr),
            existing: is_used.then(|| self.existing(id, inside, own_nat, &own_subnets)),
            zones: Vec::new(),
            nat: None,
            public_subnets: None,
            endpoint_subnets: None,
            endpoint_group: None,
            endpoints: inside.services.keys().copied().collect(),
            use_endpoints: BTreeMap::new(),
            private_link: self.private_link(id, &name, inside),
        };
        let mut zones: BTreeSet<String> =
            own_subnets.iter().filter_map(|id| inside.zone(id)).map(str::to_owned).collect();
        for (service, (endpoint, _)) in &inside.services {
            if self.used(Part::Endpoint(name.clone(), service.name().to_owned())) {
                vpc.use_endpoints.insert(*service, endpoint.0.clone());
            }
        }
        self.endpoint_network(&name, inside, &mut vpc, &mut zones);
        let mut first = None;
        if own_nat {
            let by_zone = inside.by_zone(inside.nats.iter().map(|n| &n.subnet)).unwrap_or_default();
            let cidrs = by_zone.into_iter().map(|(zone, (_, cidr))| (zone, cidr)).collect();
            vpc.public_subnets = Some(spec::ServiceSubnets { cidrs, ..Default::default() });
            zones.extend(inside.nats.iter().map(|n| n.zone.clone()));
            let single = inside.nats.len() == 1;
            first = inside.nats.first().filter(|_| single).map(|n| n.zone.clone());
            vpc.nat = Some(if single { spec::Nat::Single } else { spec::Nat::PerZone });
        } else if !is_used {
            vpc.nat = Some(spec::Nat::None);
        }
        // The first zone listed holds the gateway when there is a single one.
        vpc.zones = first.clone().into_iter().collect();
        vpc.zones.extend(zones.into_iter().filter(|zone| Some(zone) != first.as_ref()));
        vpc
    }

    fn existing(
        &self,
        id: &VpcId,
        inside: &Inside,
        own_nat: bool,
        own_subnets: &BTreeSet<SubnetId>,
    ) -> spec::ExistingVpc {
        let name = self.names_of(id);
        let own_tables = inside.tables_of(own_subnets);
        let mut tables = BTreeSet::new();
        for (service, (_, seen)) in &inside.services {
            let owned = !self.used(Part::Endpoint(name.clone(), service.name().to_owned()));
            if owned && service.is_gateway() {
                tables.extend(seen.route_tables.difference(&own_tables).cloned());
            }
        }
        // Single routes into peerings that are to be owned.
        for (id, peering) in self.gathered.all::<VpcPeering>() {
            let owned =
                self.names.peerings.get(&id).is_some_and(|n| !self.used(Part::Peering(n.clone())));
            let routes = self.routes_to(&id).into_iter().filter(|_| owned);
            let here = routes.map(|(table, _)| table).filter(|t| inside.tables.contains_key(t));
            if peering.vpc == *self.vpc_id(&name).unwrap_or(&peering.peer_vpc) {
                tables.extend(here.filter(|t| !own_tables.contains(t)));
            }
        }
        let ways_out = inside.nats_of(own_subnets);
        let nats = inside.nats.iter().filter(|nat| !own_nat && ways_out.contains(&nat.id));
        spec::ExistingVpc {
            vpc: id.0.clone(),
            cidr: Some(inside.vpc.cidr),
            route_tables: tables.into_iter().map(|id| id.0).collect(),
            internet_gateway: inside.gateway.as_ref().filter(|_| own_nat).map(|id| id.0.clone()),
            nat_gateways: nats.map(|nat| (nat.zone.clone(), nat.id.0.clone())).collect(),
        }
    }

    fn vpc_id(&self, name: &str) -> Option<&VpcId> {
        self.names.vpcs.iter().find(|(_, n)| *n == name).map(|(id, _)| id)
    }

    /// Subnets and group of the interface endpoints that are to be owned.
    fn endpoint_network(
        &self,
        name: &str,
        inside: &Inside,
        vpc: &mut spec::Vpc,
        zones: &mut BTreeSet<String>,
    ) {
        let services = inside.services.iter().map(|(s, (_, seen))| (s.name(), seen));
        let links = inside.links.iter().map(|(l, c)| (l.name(), &c.seen));
        let owned = services.chain(links).filter(|(which, seen)| {
            is_interface(seen) && !self.used(Part::Endpoint(name.to_owned(), (*which).to_owned()))
        });
        let owned: Vec<_> = owned.map(|(_, seen)| seen).collect();
        let subnets: BTreeSet<&SubnetId> = owned.iter().flat_map(|e| &e.subnets).collect();
        let Some(by_zone) = inside.by_zone(subnets).filter(|all| !all.is_empty()) else { return };
        let mut service = spec::ServiceSubnets::default();
        if self.used(Part::EndpointSubnets(name.to_owned())) {
            service.existing = by_zone.into_iter().map(|(zone, (id, _))| (zone, id.0)).collect();
        } else {
            zones.extend(by_zone.keys().cloned());
            service.cidrs = by_zone.into_iter().map(|(zone, (_, cidr))| (zone, cidr)).collect();
        }
        vpc.endpoint_subnets = Some(service);
        let group = owned.iter().find_map(|e| e.groups.first());
        if self.used(Part::EndpointGroup(name.to_owned())) {
            vpc.endpoint_group = group.map(|id| spec::ExistingGroup { id: id.0.clone() });
        }
    }

    fn private_link(&self, id: &VpcId, name: &str, inside: &Inside) -> spec::PrivateLink {
        let links = &inside.links;
        let backend = links.contains_key(&Link::Rest) && links.contains_key(&Link::Relay);
        let own = links.contains_key(&Link::Frontend);
        let entrance = links.get(&Link::Frontend).or(links.get(&Link::Rest));
        let group = entrance.and_then(|c| c.seen.groups.first());
        let mut clients = group.map(|group| clients(self.gathered, group)).unwrap_or_default();
        let closed = self.tenants(id).iter().any(|(_, workspace, _)| {
            let settings = workspace.private_access.as_ref();
            settings
                .and_then(|id| self.gathered.get::<PrivateAccessSettings>(id))
                .is_some_and(|s| !s.public_access)
        });
        let frontend = own || (entrance.is_some() && (!backend || closed || !clients.is_empty()));
        if !frontend || clients == BTreeSet::from([inside.vpc.cidr]) {
            clients.clear();
        }
        let mut wanted = spec::PrivateLink {
            backend,
            frontend,
            clients,
            frontend_endpoint: if own {
                spec::FrontendEndpoint::Own
            } else {
                spec::FrontendEndpoint::Shared
            },
            ..spec::PrivateLink::default()
        };
        for (link, connection) in links {
            let which = link.name().to_owned();
            if self.used(Part::Registration(name.to_owned(), which.clone())) {
                let ids = wanted.use_registrations.get_or_insert_default();
                *slot(ids, *link) = Some(connection.registration.0.clone());
            } else if self.used(Part::Endpoint(name.to_owned(), which)) {
                let ids = wanted.existing.get_or_insert_default();
                *slot(ids, *link) = Some(connection.endpoint.0.clone());
            }
        }
        wanted.services = self.services(links);
        wanted
    }

    /// Names of the services, where they are not those of the region.
    fn services(
        &self,
        links: &BTreeMap<Link, crate::network::Connection>,
    ) -> Option<spec::PrivateLinkServices> {
        let region = self.gathered.region();
        let known = facts::regions::region(&region).map(|r| &r.endpoint_services);
        let service = |link| links.get(&link).map(|c| c.seen.service.clone());
        let rest = service(Link::Rest).or(service(Link::Frontend));
        let services = spec::PrivateLinkServices {
            rest: rest.filter(|s| known.and_then(|k| k.rest.as_ref()) != Some(s)),
            relay: service(Link::Relay)
                .filter(|s| known.and_then(|k| k.scc_relay.as_ref()) != Some(s)),
        };
        (services != spec::PrivateLinkServices::default()).then_some(services)
    }

    /// All routes into a peering: the table and the range.
    fn routes_to(&self, id: &PeeringId) -> Vec<(RouteTableId, ipnet::Ipv4Net)> {
        let target = SeenTarget::Peering(id.clone());
        let single = self.gathered.all::<Route>().into_values();
        let single = single.filter(|route| route.target == target);
        let mut all: BTreeSet<_> = single.map(|route| (route.table, route.destination)).collect();
        for (table, seen) in self.gathered.all::<RouteTable>() {
            let leading = seen.routes.iter().filter(|(_, to)| **to == target);
            all.extend(leading.map(|(range, _)| (table.clone(), *range)));
        }
        all.into_iter().collect()
    }

    fn peering(&self, id: &PeeringId) -> Option<spec::Peering> {
        let seen = self.gathered.get::<VpcPeering>(id)?;
        let peer = self.gathered.get::<Vpc>(&seen.peer_vpc);
        let tables = self.gathered.all::<RouteTable>();
        let over_there =
            |table: &RouteTableId| tables.get(table).is_some_and(|t| t.vpc == seen.peer_vpc);
        let (back, out): (Vec<_>, Vec<_>) =
            self.routes_to(id).into_iter().partition(|(table, _)| over_there(table));
        // From here, routes lead to the range that was given.
        let range = out.first().map(|(_, destination)| *destination);
        Some(spec::Peering {
            from: self.names_of(&seen.vpc),
            to: spec::PeerVpc {
                vpc: seen.peer_vpc.0.clone(),
                cidr: range.or(peer.map(|vpc| vpc.cidr))?,
                route_tables: back.into_iter().map(|(table, _)| table.0).collect(),
                account: seen.peer_account,
                region: seen.peer_region,
            },
            accept: seen.accept,
            dns: seen.dns_resolution,
        })
    }

    fn workspace(
        &self,
        spec: &Spec,
        id: &WorkspaceId,
        name: &str,
        seen: &workspace::Seen,
    ) -> spec::Workspace {
        let network = seen.network.as_ref().and_then(|id| self.gathered.get::<Network>(id));
        let vpc = network.as_ref().map(|n| self.names_of(&n.vpc));
        let link = vpc.as_ref().and_then(|v| spec.vpcs.get(v)).map(|v| &v.private_link);
        let joined = network.as_ref().is_some_and(|n| n.rest_endpoint.is_some());
        let left_out = link.is_some_and(|l| l.backend || l.frontend)
            && !joined
            && (link.is_some_and(|l| l.backend) || seen.private_access.is_none());
        let settings = seen.private_access.as_ref();
        let settings = settings.and_then(|id| self.gathered.get::<PrivateAccessSettings>(id));
        let mut workspace = spec::Workspace {
            display_name: (seen.name != format!("{}-{name}", self.names.stack))
                .then(|| seen.name.clone()),
            vpc,
            subnets: None,
            security_group: None,
            private_link: left_out.then_some(false),
            public_access: settings.as_ref().is_none_or(|s| s.public_access),
            private_access: None,
            uses: spec::Uses::default(),
            storage: self.storage(name, seen),
            credentials: self.credentials(name, seen),
            instance_profiles: self.profiles(name),
            tier: match seen.tier.as_deref().map(str::to_ascii_uppercase).as_deref() {
                Some("STANDARD") => Some(Tier::Standard),
                Some("PREMIUM") => Some(Tier::Premium),
                Some("ENTERPRISE") => Some(Tier::Enterprise),
                _ => None,
            },
            deployment_name: None,
            tags: seen.tags.clone(),
        };
        workspace.tags.retain(|key, value| self.tags.get(key) != Some(value));
        if let Some(network) = &network {
            self.nodes(name, network, &mut workspace);
        }
        workspace.private_access = self.private_access(spec, name, seen, settings, &workspace);
        self.policy(spec, id, &mut workspace);
        workspace
    }

    fn nodes(&self, name: &str, network: &network::Seen, workspace: &mut spec::Workspace) {
        let by_zone = self.inside.get(&network.vpc).and_then(|i| i.by_zone(&network.subnets));
        let mut subnets = spec::Subnets::default();
        match by_zone.filter(|_| !self.used(Part::Subnets(name.to_owned()))) {
            Some(by_zone) => {
                subnets.cidrs = by_zone.into_iter().map(|(zone, (_, cidr))| (zone, cidr)).collect();
            }
            None => subnets.existing = network.subnets.iter().map(|id| id.0.clone()).collect(),
        }
        workspace.subnets = Some(subnets);
        workspace.uses = uses(self.gathered, &network.groups);
        if self.used(Part::Group(name.to_owned())) {
            let group = network.groups.first();
            workspace.security_group = group.map(|id| spec::ExistingGroup { id: id.0.clone() });
        }
    }

    /// Workspaces with the same subnets: the first owns them.
    fn share_subnets(&self, spec: &mut Spec) {
        let mut owners: BTreeMap<(Option<String>, Vec<ipnet::Ipv4Net>), String> = BTreeMap::new();
        for (name, workspace) in &mut spec.workspaces {
            let Some(subnets) = &mut workspace.subnets else { continue };
            if subnets.cidrs.is_empty() {
                continue;
            }
            let key = (workspace.vpc.clone(), subnets.cidrs.values().copied().collect());
            match owners.get(&key) {
                Some(owner) => {
                    *subnets = spec::Subnets { share: Some(owner.clone()), ..Default::default() };
                }
                None => {
                    owners.insert(key, name.clone());
                }
            }
        }
    }

    fn private_access(
        &self,
        spec: &Spec,
        name: &str,
        seen: &workspace::Seen,
        settings: Option<access::Seen>,
        workspace: &spec::Workspace,
    ) -> Option<spec::PrivateAccess> {
        let (id, settings) = (seen.private_access.as_ref()?, settings?);
        if let Some(shared) = self.names.access.get(id) {
            let shared = Some(shared.clone());
            return Some(spec::PrivateAccess { shared, ..Default::default() });
        }
        if self.used(Part::Access(name.to_owned())) {
            let existing = Some(id.0.clone());
            return Some(spec::PrivateAccess { existing, ..Default::default() });
        }
        let (level, allowed, allowed_registrations) = self.allowed(&settings);
        let access =
            spec::PrivateAccess { level, allowed, allowed_registrations, ..Default::default() };
        let private = spec.backend_of(workspace) || spec.frontend_of(workspace);
        let implied =
            access == spec::PrivateAccess::default() && (private || !workspace.public_access);
        (!implied).then_some(access)
    }

    /// Level, VPCs whose entrance is allowed, and other registrations.
    fn allowed(&self, seen: &access::Seen) -> (AccessLevel, BTreeSet<String>, BTreeSet<String>) {
        if seen.level != "ENDPOINT" {
            return (AccessLevel::Account, BTreeSet::new(), BTreeSet::new());
        }
        let entrances: BTreeMap<&RegistrationId, String> = self
            .inside
            .iter()
            .filter_map(|(vpc, inside)| {
                let users = inside.links.get(&Link::Frontend).or(inside.links.get(&Link::Rest))?;
                Some((&users.registration, self.names_of(vpc)))
            })
            .collect();
        let (mut vpcs, mut others) = (BTreeSet::new(), BTreeSet::new());
        for id in &seen.allowed {
            match entrances.get(id) {
                Some(vpc) => vpcs.insert(vpc.clone()),
                None => others.insert(id.0.clone()),
            };
        }
        (AccessLevel::Endpoint, vpcs, others)
    }

    fn shared_access(
        &self,
        id: &access::PrivateAccessSettingsId,
        name: &str,
    ) -> Option<spec::PrivateAccessSettings> {
        let seen = self.gathered.get::<PrivateAccessSettings>(id)?;
        let mut settings =
            spec::PrivateAccessSettings { public_access: seen.public_access, ..Default::default() };
        if self.used(Part::Access(format!("account.{name}"))) {
            settings.existing = Some(id.0.clone());
        } else {
            (settings.level, settings.allowed, settings.allowed_registrations) =
                self.allowed(&seen);
        }
        Some(settings)
    }

    fn storage(&self, name: &str, seen: &workspace::Seen) -> spec::Storage {
        let mut storage = spec::Storage::default();
        let Some(id) = &seen.storage else { return storage };
        let Some(configuration) = self.gathered.get::<StorageConfiguration>(id) else {
            return storage;
        };
        if self.used(Part::Storage(name.to_owned())) {
            storage.use_configuration = Some(id.0.clone());
            return storage;
        }
        if self.used(Part::Bucket(name.to_owned())) {
            storage.existing = Some(configuration.bucket.0.clone());
        } else {
            storage.bucket = Some(configuration.bucket.0.clone());
            if let Some(bucket) = self.gathered.get::<Bucket>(&configuration.bucket) {
                storage.versioning = bucket.versioning;
                if let Some(Encryption::Kms(key)) = bucket.encryption {
                    storage.kms_key = Some(key);
                }
            }
        }
        if let Some(arn) = configuration.role_arn {
            let existing = self.used(Part::CatalogRole(name.to_owned())).then_some(arn.0);
            storage.catalog_role = Some(spec::CatalogRole { existing });
        }
        storage
    }

    fn credentials(&self, name: &str, seen: &workspace::Seen) -> spec::WorkspaceCredentials {
        let mut credentials = spec::WorkspaceCredentials::default();
        let Some(id) = &seen.credentials else { return credentials };
        if let Some(shared) = self.names.credentials.get(id) {
            credentials.shared = Some(shared.clone());
        } else if self.used(Part::Credentials(name.to_owned())) {
            credentials.existing = Some(id.0.clone());
        } else if self.used(Part::Role(name.to_owned())) {
            let seen = self.gathered.get::<Credentials>(id);
            credentials.role = seen.map(|c| c.role_arn.0);
        }
        credentials
    }

    /// The policy of a role that is the workspace's own, where it is not the default.
    fn policy(&self, spec: &Spec, id: &WorkspaceId, workspace: &mut spec::Workspace) {
        let theirs = &workspace.credentials;
        if theirs.shared.is_some() || theirs.existing.is_some() || theirs.role.is_some() {
            return;
        }
        let credentials = self.gathered.get::<Workspace>(id).and_then(|w| w.credentials);
        let policy = credentials.and_then(|id| self.policy_seen(&id));
        if policy.is_some_and(|p| p != spec.policy_of(workspace)) {
            workspace.credentials.policy = policy;
        }
    }

    fn policy_seen(&self, id: &CredentialsId) -> Option<RolePolicy> {
        let credentials = self.gathered.get::<Credentials>(id)?;
        policy(&self.gathered.get::<Role>(&role_name(&credentials.role_arn.0))?)
    }

    fn shared_credentials(
        &self,
        spec: &Spec,
        id: &CredentialsId,
        name: &str,
    ) -> Option<spec::Credentials> {
        let seen = self.gathered.get::<Credentials>(id)?;
        let mut credentials = spec::Credentials::default();
        let owner = format!("account.{name}");
        if self.used(Part::Credentials(owner.clone())) {
            credentials.existing = Some(id.0.clone());
        } else if self.used(Part::Role(owner)) {
            credentials.role = Some(seen.role_arn.0);
        } else {
            let policy = self.policy_seen(id);
            credentials.policy = policy.filter(|p| *p != spec.shared_policy(name, &credentials));
        }
        Some(credentials)
    }

    fn profiles(&self, workspace: &str) -> BTreeMap<String, spec::InstanceProfile> {
        let theirs = self.names.profiles.iter().filter(|(_, (of, _))| of == workspace);
        let described = theirs.map(|(role, (of, name))| {
            let seen = self.gathered.get::<Role>(role);
            let mut profile = spec::InstanceProfile::default();
            if self.used(Part::Profile(of.clone(), name.clone())) {
                let arn = seen.map(|r| r.arn.0);
                profile.existing = arn.or_else(|| self.passed_arn(&role.0));
            } else {
                profile.policies = seen.map(|r| r.managed).unwrap_or_default();
            }
            (name.clone(), profile)
        });
        described.collect()
    }

    /// The ARN of a role that may be passed on, as the policy that allows it spells it.
    fn passed_arn(&self, name: &str) -> Option<String> {
        let roles = self.gathered.all::<Role>();
        let mut all = roles.values().flat_map(crate::gather::passed);
        all.find(|arn| role_name(arn).0 == name)
    }
}

fn slot(ids: &mut spec::PrivateLinkIds, link: Link) -> &mut Option<String> {
    match link {
        Link::Rest => &mut ids.rest,
        Link::Relay => &mut ids.relay,
        Link::Frontend => &mut ids.frontend,
    }
}

/// Which of our policies the role has; `None` when it has none of them.
fn policy(role: &role::Seen) -> Option<RolePolicy> {
    let statements = role.inline.values().flat_map(|p| &p.statements);
    let anywhere: BTreeSet<&String> = statements
        .filter(|s| s.allow && s.resources.iter().eq(["*"]))
        .flat_map(|s| &s.actions)
        .collect();
    let all = [
        (RolePolicy::Managed, iam::managed()),
        (RolePolicy::Customer, iam::customer()),
        (RolePolicy::Restricted, iam::restricted()),
    ];
    all.into_iter().find(|(_, a)| a.iter().collect::<BTreeSet<_>>() == anywhere).map(|(p, _)| p)
}

/// What nodes use, as far as the rules of their groups show it: nothing is used on a port that no rule
/// lets out, and a rule of its own is there for a use.
fn uses(gathered: &Gathered, groups: &BTreeSet<GroupId>) -> spec::Uses {
    let Some(rules) = ways_out(gathered, groups) else { return spec::Uses::default() };
    let lets_out = |rule: &Rule, port: Ports| match rule.protocol.as_str() {
        "tcp" => rule.from <= Some(port.from) && rule.to >= Some(port.to),
        protocol => protocol == "-1",
    };
    let own = |rule: &Rule, port: Ports| {
        rule.protocol == "tcp" && (rule.from, rule.to) == (Some(port.from), Some(port.to))
    };
    let metastore = rules.iter().any(|rule| lets_out(rule, ports::METASTORE));
    spec::Uses {
        legacy_metastore: (!metastore).then_some(false),
        lakebase: rules.iter().any(|rule| own(rule, ports::LAKEBASE)),
        ..spec::Uses::default()
    }
}
