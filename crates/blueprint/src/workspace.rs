//! Workspaces: where their nodes live, and the account objects around them.

use std::collections::{BTreeMap, BTreeSet};

use engine::{Address, Group, Handle, Ref, known};
use facts::ports::Ports;
use kinds::aws::route_table::{self, RouteTable, Target};
use kinds::aws::security_group::{self, GroupId, SecurityGroup};
use kinds::aws::security_group_rules::{self, Peer, Rule, SecurityGroupRules};
use kinds::aws::subnet::{self, Subnet};
use kinds::databricks::network;
use kinds::databricks::private_access_settings::{
    self as access, Level, PrivateAccessSettings, PrivateAccessSettingsId,
};
use kinds::databricks::vpc_endpoint::RegistrationId;
use kinds::databricks::workspace::{self, Workspace};
use spec::{AccessLevel, Host, Link, Nat, Remote, Tier};

use crate::cidr;
use crate::peering::{Connection, everything};
use crate::private_link::{Services, tcp};
use crate::vpc::{Network, anywhere};
use crate::{Builder, expect, in_vpc, names};

/// Where the nodes of a workspace live.
pub(crate) struct Nodes {
    /// The VPC, by name.
    pub(crate) vpc: String,
    pub(crate) private_link: bool,
    pub(crate) subnets: Vec<Handle<Subnet>>,
    pub(crate) security_group: Handle<SecurityGroup>,
    /// Route tables that are ours.
    pub(crate) tables: Vec<Handle<RouteTable>>,
    /// What must stand before nodes start.
    pub(crate) wait: BTreeSet<Address>,
}

impl Builder<'_> {
    /// Subnets, routes and security groups of all workspaces in VPCs of the spec.
    pub(crate) fn nodes(
        &mut self,
        vpcs: &BTreeMap<String, Network>,
        connections: &[Connection],
    ) -> BTreeMap<String, Nodes> {
        let spec = self.spec;
        let mut all = BTreeMap::new();
        for (name, wanted) in &spec.workspaces {
            let Some(vpc_name) = &wanted.vpc else { continue };
            let (Some(vpc), Some(network)) = (spec.vpcs.get(vpc_name), vpcs.get(vpc_name)) else {
                continue;
            };
            let group = Group::Workspace(name.clone());
            let subnets = self.node_subnets(&group, name, wanted, network);
            let mut nodes = Nodes {
                vpc: vpc_name.clone(),
                private_link: spec.backend_of(wanted),
                security_group: self.node_group(&group, name, wanted, network),
                subnets: subnets.used,
                tables: Vec::new(),
                wait: BTreeSet::new(),
            };
            let connections: Vec<&Connection> =
                connections.iter().filter(|c| c.from == *vpc_name).collect();
            let per_zone = if vpc.existing.as_ref().is_some_and(|e| !e.nat_gateways.is_empty()) {
                network.nats.len() > 1
            } else {
                vpc.nat() == Nat::PerZone
            };
            self.tables(&group, name, network, &subnets.made, per_zone, &connections, &mut nodes);
            nodes.subnets.extend(subnets.made.into_values());
            if wanted.security_group.is_none() {
                self.node_rules(&group, name, &wanted.uses, &connections, &mut nodes);
            }
            all.insert(name.clone(), nodes);
        }
        for (name, wanted) in &spec.workspaces {
            let Some(owner) = wanted.subnets.as_ref().and_then(|s| s.share.as_ref()) else {
                continue;
            };
            let Some(theirs) = all.get(owner).map(|n| (n.subnets.clone(), n.wait.clone())) else {
                continue;
            };
            if let Some(nodes) = all.get_mut(name) {
                nodes.subnets = theirs.0;
                nodes.wait.extend(theirs.1);
            }
        }
        all
    }

    fn node_subnets(
        &mut self,
        group: &Group,
        name: &str,
        wanted: &spec::Workspace,
        network: &Network,
    ) -> NodeSubnets {
        let mut subnets = NodeSubnets::default();
        for id in wanted.subnets.iter().flat_map(|s| &s.existing) {
            let checks = vec![
                in_vpc(&network.vpc, "all subnets of a workspace lie in its VPC"),
                expect("public_ips", false, "nodes have no public addresses"),
            ];
            let address = format!("{name}.{id}");
            let id = id.clone().into();
            subnets.used.push(self.graph.use_existing::<Subnet>(group, &address, &id, checks));
        }
        for (zone, cidr) in cidr::nodes(self.spec, name, wanted).unwrap_or_default() {
            let props = subnet::Props {
                vpc: network.vpc.id(),
                cidr,
                zone: zone.clone(),
                public_ips: false,
                tags: self.tags(&format!("{name}-{zone}")),
            };
            let subnet = self.graph.add::<Subnet>(group, &format!("{name}.{zone}"), props);
            subnets.made.insert(zone, subnet);
        }
        subnets
    }

    fn node_group(
        &mut self,
        group: &Group,
        name: &str,
        wanted: &spec::Workspace,
        network: &Network,
    ) -> Handle<SecurityGroup> {
        let address = format!("{name}.nodes");
        if let Some(used) = &wanted.security_group {
            let checks = vec![in_vpc(&network.vpc, "it guards nodes in that VPC")];
            let id: GroupId = used.id.clone().into();
            return self.graph.use_existing::<SecurityGroup>(group, &address, &id, checks);
        }
        let props = security_group::Props {
            vpc: network.vpc.id(),
            name: format!("{}-{name}-nodes", self.spec.name),
            description: "Nodes of a Databricks workspace".to_owned(),
            tags: self.tags(&format!("{name}-nodes")),
        };
        self.graph.add::<SecurityGroup>(group, &address, props)
    }

    /// One private route table per workspace, or per zone when each zone has its own way out.
    #[expect(clippy::too_many_arguments, reason = "the parts of one network")]
    fn tables(
        &mut self,
        group: &Group,
        name: &str,
        network: &Network,
        subnets: &BTreeMap<String, Handle<Subnet>>,
        per_zone: bool,
        connections: &[&Connection],
        nodes: &mut Nodes,
    ) {
        let mut tables: BTreeMap<String, (BTreeSet<_>, Option<&str>)> = BTreeMap::new();
        for (zone, subnet) in subnets {
            let own = per_zone && network.nats.contains_key(zone);
            let table = if own { format!("private-{zone}") } else { "private".to_owned() };
            let nat = if own { Some(zone.as_str()) } else { network.nat_zone.as_deref() };
            tables.entry(table).or_insert_with(|| (BTreeSet::new(), nat)).0.insert(subnet.id());
        }
        for (table, (subnets, nat_zone)) in tables {
            let mut routes = BTreeMap::new();
            if let Some(nat) = nat_zone.and_then(|zone| network.nats.get(zone)) {
                routes.insert(anywhere(), Target::NatGateway(nat.id()));
            }
            for connection in connections {
                routes.insert(connection.cidr, Target::Peering(connection.peering.id()));
            }
            let props = route_table::Props {
                vpc: network.vpc.id(),
                routes,
                subnets,
                tags: self.tags(&format!("{name}-{table}")),
            };
            let table = self.graph.add::<RouteTable>(group, &format!("{name}.{table}"), props);
            nodes.wait.insert(table.address().clone());
            nodes.tables.push(table);
        }
    }

    /// All traffic between nodes, and out what Databricks documents, to anywhere: routes decide.
    fn node_rules(
        &mut self,
        group: &Group,
        name: &str,
        uses: &spec::Uses,
        connections: &[&Connection],
        nodes: &mut Nodes,
    ) {
        let all = facts::ports::ALL;
        let between = ["tcp", "udp"].map(|protocol| Rule {
            protocol: protocol.to_owned(),
            from: Some(all.from),
            to: Some(all.to),
            peer: Peer::Itself,
        });
        let mut ingress = BTreeSet::from(between);
        let mut egress = ingress.clone();
        let ports =
            facts::ports::node_egress(nodes.private_link, self.govcloud(), uses.legacy_metastore());
        egress.extend(ports.iter().map(|p| tcp(*p, Peer::Cidr(anywhere()))));
        if uses.lakebase {
            egress.insert(tcp(facts::ports::LAKEBASE, Peer::Cidr(anywhere())));
        }
        for Remote { host, port } in uses.remotes() {
            let to = match host {
                Host::Range(range) => range,
                Host::Name(_) => anywhere(),
            };
            let open = ports.iter().any(|p| (p.from..=p.to).contains(&port));
            if !open {
                let port = Ports { from: port, to: port, purpose: "what the user named" };
                egress.insert(tcp(port, Peer::Cidr(to)));
            }
        }
        for connection in connections {
            egress.insert(everything(connection.peer()));
            if connection.external.is_some() {
                ingress.insert(everything(connection.peer()));
            }
        }
        let props =
            security_group_rules::Props { group: nodes.security_group.id(), ingress, egress };
        let address = format!("{name}.nodes");
        let rules = self.graph.add::<SecurityGroupRules>(group, &address, props);
        // A rule may name a group of another VPC only over an active peering.
        self.graph.after(rules.address(), connections.iter().map(|c| c.peering.address().clone()));
        nodes.wait.insert(rules.address().clone());
    }

    /// The workspaces themselves, with everything of theirs outside the network.
    pub(crate) fn workspaces(
        &mut self,
        vpcs: &BTreeMap<String, Network>,
        nodes: &BTreeMap<String, Nodes>,
        services: &BTreeMap<String, Services>,
    ) {
        let spec = self.spec;
        let profiles = self.instance_profiles();
        let shared_credentials = self.shared_credentials(&profiles);
        let mut shared_access = BTreeMap::new();
        for (name, wanted) in &spec.private_access_settings {
            let group = Group::Shared("account".to_owned());
            let address = format!("account.{name}");
            let full_name = names::account(&[&spec.name, "shared", name]);
            let settings = self.access(&group, &address, full_name, wanted, services);
            shared_access.insert(name.clone(), settings);
        }
        for (name, wanted) in &spec.workspaces {
            let group = Group::Workspace(name.clone());
            let mut wait = BTreeSet::new();
            let shared = wanted.credentials.shared.as_ref();
            let credentials = match shared.and_then(|s| shared_credentials.get(s)) {
                Some(shared) => shared.clone(),
                None => self.own_credentials(&group, name, wanted, &profiles),
            };
            let storage = self.storage(&group, name, wanted, &mut wait);
            let own_nodes = nodes.get(name);
            let own_services = own_nodes.and_then(|n| services.get(&n.vpc));
            let network = own_nodes.and_then(|n| {
                wait.extend(n.wait.iter().cloned());
                let network = vpcs.get(&n.vpc)?;
                Some(self.network(&group, name, n, network, own_services))
            });
            wait.extend(own_services.iter().flat_map(|s| s.wait.iter().cloned()));
            let access = self.workspace_access(&group, name, wanted, &shared_access, services);
            let mut tags = spec.tags.clone();
            tags.extend(wanted.tags.clone());
            let props = workspace::Props {
                name: spec.display_name(name, wanted),
                region: spec.region.clone(),
                credentials,
                storage,
                network,
                private_access: access,
                tier: spec.tier_of(wanted).map(|tier| tier_name(tier).to_owned()),
                deployment_name: wanted.deployment_name.clone(),
                tags,
            };
            let workspace = self.graph.add::<Workspace>(&group, name, props);
            self.graph.after(workspace.address(), wait);
        }
    }

    fn network(
        &mut self,
        group: &Group,
        name: &str,
        nodes: &Nodes,
        network: &Network,
        services: Option<&Services>,
    ) -> Ref<network::NetworkId> {
        let registration = |link| {
            let services = services.filter(|_| nodes.private_link)?;
            Some(services.registrations.get(&link)?.id())
        };
        let props = network::Props {
            name: names::account(&[&self.spec.name, name]),
            vpc: network.vpc.id(),
            subnets: nodes.subnets.iter().map(Handle::id).collect(),
            groups: BTreeSet::from([nodes.security_group.id()]),
            rest_endpoint: registration(Link::Rest),
            relay_endpoint: registration(Link::Relay),
        };
        self.graph.add::<network::Network>(group, name, props).id()
    }

    fn workspace_access(
        &mut self,
        group: &Group,
        name: &str,
        wanted: &spec::Workspace,
        shared: &BTreeMap<String, Ref<PrivateAccessSettingsId>>,
        services: &BTreeMap<String, Services>,
    ) -> Option<Ref<PrivateAccessSettingsId>> {
        let access = wanted.private_access.clone().unwrap_or_default();
        if let Some(settings) = access.shared.as_ref().and_then(|s| shared.get(s)) {
            return Some(settings.clone());
        }
        let private = self.spec.backend_of(wanted) || self.spec.frontend_of(wanted);
        if wanted.public_access && !private && wanted.private_access.is_none() {
            return None;
        }
        let settings = spec::PrivateAccessSettings {
            public_access: wanted.public_access,
            level: access.level,
            allowed: access.allowed,
            allowed_registrations: access.allowed_registrations,
            existing: access.existing,
        };
        let full_name = names::account(&[&self.spec.name, name]);
        Some(self.access(group, name, full_name, &settings, services))
    }

    fn access(
        &mut self,
        group: &Group,
        address: &str,
        name: String,
        wanted: &spec::PrivateAccessSettings,
        services: &BTreeMap<String, Services>,
    ) -> Ref<PrivateAccessSettingsId> {
        if let Some(id) = &wanted.existing {
            let checks = vec![
                expect("public_access", wanted.public_access, "the spec says so"),
                expect("region", self.spec.region.as_str(), "settings serve their own region"),
            ];
            let id = id.clone().into();
            let used =
                self.graph.use_existing::<PrivateAccessSettings>(group, address, &id, checks);
            return used.id();
        }
        let mut allowed: BTreeSet<Ref<RegistrationId>> = BTreeSet::new();
        if wanted.level == AccessLevel::Endpoint {
            allowed.extend(wanted.allowed_registrations.iter().map(|id| known(id)));
            for name in &wanted.allowed {
                let link = self.spec.vpcs.get(name).and_then(|vpc| vpc.private_link.users());
                let services = services.get(name);
                let users = link.and_then(|link| services?.registrations.get(&link));
                allowed.extend(users.map(Handle::id));
            }
        }
        let props = access::Props {
            name,
            region: self.spec.region.clone(),
            public_access: wanted.public_access,
            level: match wanted.level {
                AccessLevel::Account => Level::Account,
                AccessLevel::Endpoint => Level::Endpoint,
            },
            allowed,
        };
        self.graph.add::<PrivateAccessSettings>(group, address, props).id()
    }
}

#[derive(Default)]
struct NodeSubnets {
    used: Vec<Handle<Subnet>>,
    made: BTreeMap<String, Handle<Subnet>>,
}

/// As the account API spells it.
fn tier_name(tier: Tier) -> &'static str {
    match tier {
        Tier::Standard => "STANDARD",
        Tier::Premium => "PREMIUM",
        Tier::Enterprise => "ENTERPRISE",
    }
}
