//! What lies in a VPC, by the roles the spec gives it.

use std::collections::{BTreeMap, BTreeSet};

use facts::regions;
use ipnet::Ipv4Net;
use kinds::aws::internet_gateway::{InternetGateway, InternetGatewayId};
use kinds::aws::nat_gateway::{NatGateway, NatGatewayId};
use kinds::aws::route_table::{RouteTable, RouteTableId, SeenTarget};
use kinds::aws::security_group::GroupId;
use kinds::aws::security_group_rules::{GroupRulesId, Peer, Rule, SecurityGroupRules};
use kinds::aws::subnet::{self, Subnet, SubnetId};
use kinds::aws::vpc::{self, Vpc, VpcId};
use kinds::aws::vpc_endpoint::{self, Flavour, VpcEndpoint, VpcEndpointId};
use kinds::databricks::network::Network;
use kinds::databricks::vpc_endpoint::{Registration, RegistrationId};
use kinds::databricks::workspace::Workspace;
use spec::{Link, Service};

use crate::gather::Gathered;

/// All services the spec knows.
const SERVICES: [Service; 10] = [
    Service::S3,
    Service::Sts,
    Service::Kinesis,
    Service::Dynamodb,
    Service::Ec2,
    Service::Glue,
    Service::Kms,
    Service::Logs,
    Service::Secretsmanager,
    Service::Ssm,
];

/// A private connection to Databricks.
pub(crate) struct Connection {
    pub(crate) registration: RegistrationId,
    pub(crate) endpoint: VpcEndpointId,
    pub(crate) seen: vpc_endpoint::Seen,
}

/// A NAT gateway that leads to the internet.
pub(crate) struct Nat {
    pub(crate) id: NatGatewayId,
    pub(crate) zone: String,
    pub(crate) subnet: SubnetId,
}

/// A VPC with what serves all workspaces in it.
pub(crate) struct Inside {
    pub(crate) vpc: vpc::Seen,
    pub(crate) nats: Vec<Nat>,
    pub(crate) gateway: Option<InternetGatewayId>,
    pub(crate) services: BTreeMap<Service, (VpcEndpointId, vpc_endpoint::Seen)>,
    pub(crate) links: BTreeMap<Link, Connection>,
    pub(crate) subnets: BTreeMap<SubnetId, subnet::Seen>,
    pub(crate) tables: BTreeMap<RouteTableId, kinds::aws::route_table::Seen>,
}

impl Inside {
    pub(crate) fn new(gathered: &Gathered, id: &VpcId) -> Option<Inside> {
        let mut inside = Inside {
            vpc: gathered.get::<Vpc>(id)?,
            nats: Vec::new(),
            gateway: None,
            services: BTreeMap::new(),
            links: BTreeMap::new(),
            subnets: gathered.all::<Subnet>(),
            tables: gathered.all::<RouteTable>(),
        };
        inside.subnets.retain(|_, s| s.vpc == *id);
        inside.tables.retain(|_, t| t.vpc == *id);
        let gateways = gathered.all::<InternetGateway>().into_iter();
        inside.gateway =
            gateways.filter(|(_, g)| g.vpc.as_ref() == Some(id)).map(|(id, _)| id).next();
        for (id, nat) in gathered.all::<NatGateway>() {
            if let Some(subnet) = inside.subnets.get(&nat.subnet) {
                inside.nats.push(Nat { id, zone: subnet.zone.clone(), subnet: nat.subnet });
            }
        }
        let mut endpoints = gathered.all::<VpcEndpoint>();
        endpoints.retain(|_, e| e.vpc == *id);
        let region = gathered.region();
        for service in SERVICES {
            let full = regions::aws_service(&region, service.name());
            if let Some((id, seen)) = endpoints.iter().find(|(_, e)| e.service == full) {
                inside.services.insert(service, (id.clone(), seen.clone()));
            }
        }
        inside.links = links(gathered, id, &endpoints);
        Some(inside)
    }

    /// The zone of a subnet.
    pub(crate) fn zone(&self, id: &SubnetId) -> Option<&str> {
        self.subnets.get(id).map(|s| s.zone.as_str())
    }

    /// Subnets by zone with their CIDRs; `None` when two of them lie in one zone.
    pub(crate) fn by_zone<'a>(
        &self,
        ids: impl IntoIterator<Item = &'a SubnetId>,
    ) -> Option<BTreeMap<String, (SubnetId, Ipv4Net)>> {
        let mut all = BTreeMap::new();
        for id in ids {
            let seen = self.subnets.get(id)?;
            let twin = all.insert(seen.zone.clone(), (id.clone(), seen.cidr));
            if twin.is_some() {
                return None;
            }
        }
        Some(all)
    }

    /// The ways out of the subnets: NAT gateways their tables lead to.
    pub(crate) fn nats_of(&self, subnets: &BTreeSet<SubnetId>) -> BTreeSet<NatGatewayId> {
        let using = self.tables.values().filter(|t| !t.subnets.is_disjoint(subnets));
        let targets = using.flat_map(|t| t.routes.values());
        let nats = targets.filter_map(|target| match target {
            SeenTarget::NatGateway(id) => Some(id.clone()),
            _ => None,
        });
        nats.collect()
    }

    /// Tables all whose subnets are among these.
    pub(crate) fn tables_of(&self, subnets: &BTreeSet<SubnetId>) -> BTreeSet<RouteTableId> {
        let own = |t: &kinds::aws::route_table::Seen| {
            !t.subnets.is_empty() && t.subnets.is_subset(subnets)
        };
        self.tables.iter().filter(|(_, t)| own(t)).map(|(id, _)| id.clone()).collect()
    }
}

fn links(
    gathered: &Gathered,
    vpc: &VpcId,
    endpoints: &BTreeMap<VpcEndpointId, vpc_endpoint::Seen>,
) -> BTreeMap<Link, Connection> {
    let mut links = BTreeMap::new();
    let registrations = gathered.all::<Registration>();
    let connection = |id: &RegistrationId| {
        let endpoint = registrations.get(id)?.endpoint.clone();
        let seen = endpoints.get(&endpoint)?.clone();
        Some(Connection { registration: id.clone(), endpoint, seen })
    };
    let networks = gathered.all::<Network>();
    let wanted = gathered.wanted.iter().filter_map(|id| gathered.get::<Workspace>(id)?.network);
    for network in wanted.filter_map(|id| networks.get(&id)).filter(|n| n.vpc == *vpc) {
        let both = [(Link::Rest, &network.rest_endpoint), (Link::Relay, &network.relay_endpoint)];
        for (link, id) in both {
            if let Some(connection) = id.as_ref().and_then(connection) {
                links.entry(link).or_insert(connection);
            }
        }
    }
    // Those that no network names: for users, or for workspaces to come.
    let region = gathered.region();
    let services = regions::region(&region).map(|r| r.endpoint_services.clone());
    let service = |link, known: Option<String>| match links.get(&link) {
        Some(Connection { seen, .. }) => Some(seen.service.clone()),
        None => known,
    };
    let rest = service(Link::Rest, services.as_ref().and_then(|s| s.rest.clone()));
    let relay = service(Link::Relay, services.as_ref().and_then(|s| s.scc_relay.clone()));
    let known: BTreeSet<RegistrationId> = links.values().map(|c| c.registration.clone()).collect();
    for other in registrations.keys().filter(|id| !known.contains(id)).filter_map(connection) {
        let service = Some(&other.seen.service);
        let link = if service == relay.as_ref() {
            Link::Relay
        } else if service != rest.as_ref() {
            continue;
        } else if other.seen.private_dns {
            // One VPC has one private answer per name, and that is for nodes.
            Link::Rest
        } else {
            Link::Frontend
        };
        links.entry(link).or_insert(other);
    }
    links
}

/// What the groups let out to public addresses; `None` when their rules were not read.
pub(crate) fn ways_out<'a>(
    gathered: &Gathered,
    groups: impl IntoIterator<Item = &'a GroupId>,
) -> Option<Vec<Rule>> {
    let rules = |group: &GroupId| {
        gathered.get::<SecurityGroupRules>(&GroupRulesId(group.0.clone())).map(|rules| rules.egress)
    };
    let all: Vec<_> = groups.into_iter().map(rules).collect::<Option<_>>()?;
    let public = |rule: &Rule| matches!(rule.peer, Peer::Cidr(cidr) if !cidr.addr().is_private());
    Some(all.into_iter().flatten().filter(public).collect())
}

/// The ranges that may open the endpoints of the group on port 443.
pub(crate) fn clients(gathered: &Gathered, group: &GroupId) -> BTreeSet<Ipv4Net> {
    let rules = gathered.get::<SecurityGroupRules>(&GroupRulesId(group.0.clone()));
    let rules = rules.into_iter().flat_map(|rules| rules.ingress);
    let https = rules.filter(|r| r.protocol == "tcp" && r.from == Some(443) && r.to == Some(443));
    https
        .filter_map(|r| match r.peer {
            Peer::Cidr(cidr) => Some(cidr),
            _ => None,
        })
        .collect()
}

/// Whether it is reached by addresses in subnets.
pub(crate) fn is_interface(seen: &vpc_endpoint::Seen) -> bool {
    seen.flavour == Flavour::Interface
}
