//! Connections to VPCs outside the spec: the connection, the routes on both sides, and a security
//! group over there for what the clusters may reach and be reached by.

use std::collections::{BTreeMap, BTreeSet};

use engine::{Address, Group, Handle, known};
use ipnet::Ipv4Net;
use kinds::aws::route::{self, Route};
use kinds::aws::route_table::{RouteTable, Target};
use kinds::aws::security_group::{self, SecurityGroup};
use kinds::aws::security_group_rules::{self, Peer, Rule, SecurityGroupRules};
use kinds::aws::vpc::Vpc;
use kinds::aws::vpc_peering::{self, VpcPeering};

use crate::vpc::Network;
use crate::workspace::Nodes;
use crate::{Builder, in_vpc};

/// What others need of a connection.
pub(crate) struct Connection {
    pub(crate) name: String,
    /// The VPC of the spec.
    pub(crate) from: String,
    pub(crate) group: Group,
    pub(crate) cidr: Ipv4Net,
    pub(crate) peering: Handle<VpcPeering>,
    /// The group over there; `None` in another account or region, where nothing can be made.
    pub(crate) external: Option<Handle<SecurityGroup>>,
}

impl Connection {
    /// How rules of this side name the other side.
    pub(crate) fn peer(&self) -> Peer {
        match &self.external {
            Some(group) => Peer::Group(group.id()),
            None => Peer::Cidr(self.cidr),
        }
    }
}

/// Everything, to or from that peer.
pub(crate) fn everything(peer: Peer) -> Rule {
    Rule { protocol: "-1".to_owned(), from: None, to: None, peer }
}

impl Builder<'_> {
    /// The connections, with the routes of tables that are not ours.
    pub(crate) fn peerings(&mut self, vpcs: &BTreeMap<String, Network>) -> Vec<Connection> {
        let peerings = self.spec.peerings.iter();
        peerings.filter_map(|(name, p)| self.peering(name, p, vpcs.get(&p.from)?)).collect()
    }

    fn peering(
        &mut self,
        name: &str,
        wanted: &spec::Peering,
        network: &Network,
    ) -> Option<Connection> {
        let group = network.group.clone();
        let to = &wanted.to;
        let near = to.account.is_none() && to.region.is_none();
        let cidr = to.cidr.trunc();
        // A VPC of another account or region cannot be read from here.
        let far_vpc = if near {
            // The range may be a secondary one of that VPC: only the first can be read.
            let address = format!("{name}.peer");
            let id = to.vpc.clone().into();
            Some(self.graph.use_existing::<Vpc>(&group, &address, &id, Vec::new()))
        } else {
            None
        };
        let props = vpc_peering::Props {
            vpc: network.vpc.id(),
            peer_vpc: far_vpc.as_ref().map_or_else(|| known(&to.vpc), Handle::id),
            peer_account: to.account.clone(),
            peer_region: to.region.clone(),
            accept: wanted.accept && near,
            dns_resolution: wanted.dns,
            tags: self.tags(name),
        };
        let peering = self.graph.add::<VpcPeering>(&group, name, props);
        for (id, table) in &network.used_tables {
            self.route(&group, &format!("{name}.from-{id}"), table, cidr, &peering);
        }
        let mut external = None;
        if let Some(far_vpc) = far_vpc {
            external = Some(self.external_group(name, &group, &far_vpc));
            let back = self.spec.vpcs.get(&wanted.from).and_then(spec::Vpc::range);
            for id in &to.route_tables {
                let address = format!("{name}.{id}");
                let checks = vec![in_vpc(&far_vpc, "it leads back from that VPC")];
                let id = id.clone().into();
                let table = self.graph.use_existing::<RouteTable>(&group, &address, &id, checks);
                if let Some(back) = back {
                    self.route(&group, &address, &table, back.trunc(), &peering);
                }
            }
        }
        let from = wanted.from.clone();
        Some(Connection { name: name.to_owned(), from, group, cidr, peering, external })
    }

    fn external_group(
        &mut self,
        name: &str,
        group: &Group,
        vpc: &Handle<Vpc>,
    ) -> Handle<SecurityGroup> {
        let props = security_group::Props {
            vpc: vpc.id(),
            name: format!("{}-{name}-external", self.spec.name),
            description: "What Databricks clusters reach over the peering".to_owned(),
            tags: self.tags(&format!("{name}-external")),
        };
        self.graph.add::<SecurityGroup>(group, &format!("{name}.external"), props)
    }

    fn route(
        &mut self,
        group: &Group,
        address: &str,
        table: &Handle<RouteTable>,
        destination: Ipv4Net,
        peering: &Handle<VpcPeering>,
    ) {
        let target = Target::Peering(peering.id());
        let props = route::Props { table: table.id(), destination, target };
        self.graph.add::<Route>(group, address, props);
    }

    /// The rules of the groups over there, once the groups of the nodes are known.
    pub(crate) fn external_rules(
        &mut self,
        connections: &[Connection],
        nodes: &BTreeMap<String, Nodes>,
    ) {
        for connection in connections {
            let Some(external) = &connection.external else { continue };
            let users = nodes.values().filter(|n| n.vpc == connection.from);
            let mut rules: BTreeSet<Rule> =
                users.map(|n| everything(Peer::Group(n.security_group.id()))).collect();
            rules.insert(everything(Peer::Itself));
            let props = security_group_rules::Props {
                group: external.id(),
                ingress: rules.clone(),
                egress: rules,
            };
            let address = format!("{}.external", connection.name);
            let rules = self.graph.add::<SecurityGroupRules>(&connection.group, &address, props);
            let peering: Vec<Address> = vec![connection.peering.address().clone()];
            // A rule may name a group of another VPC only over an active peering.
            self.graph.after(rules.address(), peering);
        }
    }
}
