//! The topology a graph asks for.

use std::collections::{BTreeMap, BTreeSet};

use engine::{Address, Graph, Node, Output, Role, World};
use ipnet::Ipv4Net;
use kinds::policy::Policy;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{
    Access, Association, Connection, Endpoint, GroupRules, InternetGateway, Key, NatGateway, Nodes,
    Objects, Peer, Peering, Protocol, Reach, Resolver, RouteTable, Rule, SecurityGroup, Subnet,
    Target, Topology, Vpc,
};

impl Topology {
    /// What a graph asks for. Objects that are only used are as `world` has seen them, and unknown where
    /// it has not.
    pub fn of(region: &str, graph: &Graph, world: &World) -> Topology {
        let reader = Reader::new(graph, world);
        let mut topology = Topology {
            region: region.to_owned(),
            vpcs: reader.all("aws.vpc", |_, vpc: VpcFields| Vpc {
                cidrs: vec![vpc.cidr],
                dns_support: vpc.dns_support,
                dns_hostnames: vpc.dns_hostnames,
                // Neither the graph nor what is read has DHCP options: a VPC of ours has AWS' own.
                resolver: Resolver::Amazon,
            }),
            internet_gateways: reader.all("aws.internet_gateway", |_, gateway: GatewayFields| {
                InternetGateway { vpc: gateway.vpc.map(|id| reader.key(id)) }
            }),
            nat_gateways: reader.all("aws.nat_gateway", |_, nat: NatFields| NatGateway {
                subnet: reader.key(nat.subnet),
            }),
            endpoints: reader.all("aws.vpc_endpoint", |_, endpoint| reader.endpoint(endpoint)),
            ..Topology::default()
        };
        reader.tables(&mut topology);
        reader.subnets(&mut topology);
        reader.groups(&mut topology);
        reader.peerings(&mut topology);
        reader.workspaces(&mut topology);
        topology
    }
}

#[derive(Deserialize)]
struct VpcFields {
    cidr: Ipv4Net,
    dns_support: bool,
    dns_hostnames: bool,
}

#[derive(Deserialize)]
struct SubnetFields {
    vpc: String,
    cidr: Ipv4Net,
    zone: String,
    public_ips: bool,
}

#[derive(Deserialize)]
struct GatewayFields {
    vpc: Option<String>,
}

#[derive(Deserialize)]
struct NatFields {
    subnet: String,
}

#[derive(Deserialize)]
struct TableFields {
    vpc: String,
    routes: BTreeMap<Ipv4Net, TargetFields>,
    subnets: BTreeSet<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum TargetFields {
    InternetGateway(String),
    NatGateway(String),
    Peering(String),
    TransitGateway(String),
    Other(String),
}

#[derive(Deserialize)]
struct RouteFields {
    table: String,
    destination: Ipv4Net,
    target: TargetFields,
}

#[derive(Deserialize)]
struct GroupFields {
    vpc: String,
}

#[derive(Deserialize)]
struct RulesFields {
    group: String,
    ingress: Vec<RuleFields>,
    egress: Vec<RuleFields>,
}

#[derive(Deserialize)]
struct RuleFields {
    protocol: String,
    from: Option<u16>,
    to: Option<u16>,
    peer: PeerFields,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum PeerFields {
    Cidr(Ipv4Net),
    Group(String),
    PrefixList(String),
    Itself,
    Cidr6(serde::de::IgnoredAny),
}

#[derive(Deserialize)]
struct PeeringFields {
    vpc: String,
    peer_vpc: String,
    dns_resolution: bool,
}

#[derive(Deserialize)]
struct EndpointFields {
    vpc: String,
    service: String,
    flavour: Flavour,
    route_tables: BTreeSet<String>,
    subnets: BTreeSet<String>,
    groups: BTreeSet<String>,
    private_dns: bool,
    policy: Option<Policy>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Flavour {
    Gateway,
    Interface,
}

#[derive(Deserialize)]
struct RegistrationFields {
    endpoint: String,
}

#[derive(Deserialize)]
struct AccessFields {
    public_access: bool,
    level: String,
    allowed: BTreeSet<String>,
}

#[derive(Deserialize)]
struct NetworkFields {
    vpc: String,
    subnets: Vec<String>,
    groups: Vec<String>,
    rest_endpoint: Option<String>,
    relay_endpoint: Option<String>,
}

#[derive(Deserialize)]
struct WorkspaceFields {
    storage: String,
    network: Option<String>,
    private_access: Option<String>,
}

#[derive(Deserialize)]
struct StorageFields {
    bucket: String,
}

#[derive(Deserialize)]
struct BucketFields {
    name: String,
}

struct Reader<'a> {
    graph: &'a Graph,
    world: &'a World,
    /// Ids of used objects to their addresses.
    used: BTreeMap<&'a str, &'a Address>,
}

impl<'a> Reader<'a> {
    fn new(graph: &'a Graph, world: &'a World) -> Self {
        let mut used = BTreeMap::new();
        for (address, node) in &graph.nodes {
            if let Role::Used { id, .. } = &node.role {
                // What is part of an object has its id, and stands behind it: a group and its rules.
                used.entry(id.as_str()).or_insert(address);
            }
        }
        Reader { graph, world, used }
    }

    /// The key of what is referred to by address or, in what was seen, by id.
    fn key(&self, reference: String) -> Key {
        self.used.get(reference.as_str()).map_or(reference, |address| address.to_string())
    }

    fn keys<C: FromIterator<Key>>(&self, references: impl IntoIterator<Item = String>) -> C {
        references.into_iter().map(|r| self.key(r)).collect()
    }

    /// The fields of one object: as asked for, with addresses for ids, or as seen.
    fn fields<F: DeserializeOwned>(&self, address: &Address, node: &Node) -> Option<F> {
        let value = match &node.role {
            Role::Managed { props } => {
                let address = |output: &Output| Some(Value::from(output.address.to_string()));
                engine::bind(props, &address)
            }
            Role::Used { id, .. } => self.world.seen(address, id)?.clone(),
        };
        serde_json::from_value(value).ok()
    }

    fn nodes(&self, kind: &'a str) -> impl Iterator<Item = (&'a Address, &'a Node)> {
        self.graph.nodes.iter().filter(move |(address, _)| address.kind() == kind)
    }

    fn all<F: DeserializeOwned, T>(
        &self,
        kind: &'a str,
        make: impl Fn(&Address, F) -> T,
    ) -> Objects<T> {
        let one = |(address, node): (&'a Address, &'a Node)| {
            (address.to_string(), self.fields(address, node).map(|f| make(address, f)))
        };
        self.nodes(kind).map(one).collect()
    }

    fn get<F: DeserializeOwned>(&self, key: &str) -> Option<F> {
        let (address, node) = self.graph.nodes.get_key_value(&Address::from(key.to_owned()))?;
        self.fields(address, node)
    }

    fn target(&self, target: TargetFields) -> Target {
        match target {
            TargetFields::InternetGateway(id) => Target::InternetGateway(self.key(id)),
            TargetFields::NatGateway(id) => Target::NatGateway(self.key(id)),
            TargetFields::Peering(id) => Target::Peering(self.key(id)),
            TargetFields::TransitGateway(id) => Target::TransitGateway(id),
            TargetFields::Other(what) => Target::Other(what),
        }
    }

    fn tables(&self, topology: &mut Topology) {
        topology.route_tables = self.all("aws.route_table", |_, table: TableFields| RouteTable {
            vpc: self.key(table.vpc),
            routes: table.routes.into_iter().map(|(to, via)| (to, self.target(via))).collect(),
            partial: false,
        });
        for (address, node) in self.nodes("aws.route") {
            let Some(route) = self.fields::<RouteFields>(address, node) else { continue };
            let table = topology.route_tables.get_mut(&self.key(route.table));
            if let Some(Some(table)) = table {
                table.routes.insert(route.destination, self.target(route.target));
            }
        }
    }

    fn subnets(&self, topology: &mut Topology) {
        let mut tables: BTreeMap<Key, Key> = BTreeMap::new();
        for (address, node) in self.nodes("aws.route_table") {
            let Some(table) = self.fields::<TableFields>(address, node) else { continue };
            for subnet in table.subnets {
                tables.insert(self.key(subnet), address.to_string());
            }
        }
        topology.subnets = self.all("aws.subnet", |address, subnet: SubnetFields| {
            let made = matches!(self.graph.nodes[address].role, Role::Managed { .. });
            let vpc = self.key(subnet.vpc);
            let fresh =
                self.get_role(&vpc).is_some_and(|role| matches!(role, Role::Managed { .. }));
            Subnet {
                cidr: subnet.cidr,
                zone: subnet.zone,
                public_ips: subnet.public_ips,
                table: match tables.get(address.as_str()) {
                    Some(table) => Association::Table(table.clone()),
                    None if made && fresh => Association::FreshMain,
                    None => Association::Unknown,
                },
                vpc,
            }
        });
    }

    fn get_role(&self, key: &str) -> Option<&Role> {
        Some(&self.graph.nodes.get(&Address::from(key.to_owned()))?.role)
    }

    fn groups(&self, topology: &mut Topology) {
        topology.groups = self.all("aws.security_group", |address, group: GroupFields| {
            // AWS gives a new group one rule, which dbxctl takes away with the first of its own: what we
            // make has what we say.
            let made = matches!(self.graph.nodes[address].role, Role::Managed { .. });
            SecurityGroup { vpc: self.key(group.vpc), rules: made.then(GroupRules::default) }
        });
        for (address, node) in self.nodes("aws.security_group_rules") {
            let Some(rules) = self.fields::<RulesFields>(address, node) else { continue };
            let key = self.key(rules.group);
            let convert = |rules: Vec<RuleFields>| -> Vec<Rule> {
                rules.into_iter().filter_map(|rule| self.rule(&key, rule)).collect()
            };
            let rules =
                GroupRules { ingress: convert(rules.ingress), egress: convert(rules.egress) };
            if let Some(Some(group)) = topology.groups.get_mut(&key) {
                group.rules = Some(rules);
            }
        }
    }

    fn rule(&self, own: &str, rule: RuleFields) -> Option<Rule> {
        Some(Rule {
            protocol: match rule.protocol.as_str() {
                "tcp" => Protocol::Tcp,
                "udp" => Protocol::Udp,
                "-1" => Protocol::All,
                _ => Protocol::Other,
            },
            ports: (rule.from.unwrap_or(0), rule.to.unwrap_or(u16::MAX)),
            peer: match rule.peer {
                PeerFields::Cidr(cidr) => Peer::Cidr(cidr),
                PeerFields::Group(id) => Peer::Group(self.key(id)),
                PeerFields::PrefixList(id) => Peer::PrefixList(id),
                PeerFields::Itself => Peer::Group(own.to_owned()),
                // Nothing here goes over IPv6.
                PeerFields::Cidr6(_) => return None,
            },
        })
    }

    fn peerings(&self, topology: &mut Topology) {
        topology.peerings = self.all("aws.vpc_peering", |address, peering: PeeringFields| {
            let mut forth = Vec::new();
            let mut routes_back = false;
            let via_here = Target::Peering(address.to_string());
            let here = self.key(peering.vpc);
            // Tables at the other end lead back.
            for table in topology.route_tables.values().flatten().filter(|t| t.vpc == here) {
                let there = table.routes.iter().filter(|(_, via)| **via == via_here);
                forth.extend(there.map(|(to, _)| *to));
            }
            forth.sort_unstable();
            forth.dedup();
            // Routes of ours in tables on the other side.
            for (route, node) in self.nodes("aws.route") {
                let Some(fields) = self.fields::<RouteFields>(route, node) else { continue };
                let back = topology.vpcs.get(&here).and_then(Option::as_ref);
                let back = back.is_some_and(|vpc| vpc.cidrs.contains(&fields.destination));
                let via = self.target(fields.target);
                routes_back |= back && via == via_here;
            }
            Peering {
                vpc: here,
                peer_vpc: self.key(peering.peer_vpc),
                peer_cidrs: forth,
                routes_back,
                dns: peering.dns_resolution,
            }
        });
    }

    fn endpoint(&self, fields: EndpointFields) -> Endpoint {
        Endpoint {
            vpc: self.key(fields.vpc),
            service: fields.service,
            reach: match fields.flavour {
                Flavour::Gateway => Reach::Gateway { route_tables: self.keys(fields.route_tables) },
                Flavour::Interface => Reach::Interface {
                    subnets: self.keys(fields.subnets),
                    groups: self.keys(fields.groups),
                    private_dns: fields.private_dns,
                },
            },
            policy: fields.policy,
        }
    }

    fn connection(&self, registration: String) -> Connection {
        let registration = self.key(registration);
        let endpoint = self.get::<RegistrationFields>(&registration);
        Connection { endpoint: endpoint.map(|e| self.key(e.endpoint)), registration }
    }

    /// The name of the bucket of a storage configuration.
    fn bucket(&self, storage: &str) -> Option<String> {
        let bucket = self.key(self.get::<StorageFields>(storage)?.bucket);
        match self.get_role(&bucket) {
            Some(Role::Used { id, .. }) => Some(id.clone()),
            Some(Role::Managed { .. }) => self.get::<BucketFields>(&bucket).map(|b| b.name),
            None => Some(bucket),
        }
    }

    fn workspaces(&self, topology: &mut Topology) {
        let registrations = self.nodes("databricks.vpc_endpoint");
        let registrations = registrations.map(|(address, _)| self.connection(address.to_string()));
        topology.registrations = registrations.map(|c| (c.registration.clone(), c)).collect();
        for (address, node) in self.nodes("databricks.workspace") {
            let Some(workspace) = self.fields::<WorkspaceFields>(address, node) else { continue };
            let network = workspace.network.map(|n| self.key(n));
            let network = network.and_then(|n| self.get::<NetworkFields>(&n));
            let Some(network) = network else { continue };
            let access = match workspace.private_access {
                None => Access::Public,
                Some(key) => match self.get::<AccessFields>(&self.key(key.clone())) {
                    None => Access::Unknown(key),
                    Some(fields) => Access::Settings {
                        key,
                        public: fields.public_access,
                        allowed: fields
                            .level
                            .eq_ignore_ascii_case("endpoint")
                            .then(|| self.keys(fields.allowed)),
                    },
                },
            };
            let nodes = Nodes {
                vpc: self.key(network.vpc),
                subnets: self.keys(network.subnets),
                groups: self.keys(network.groups),
                rest: network.rest_endpoint.map(|r| self.connection(r)),
                relay: network.relay_endpoint.map(|r| self.connection(r)),
                access,
                root_bucket: self.bucket(&self.key(workspace.storage)),
            };
            topology.workspaces.insert(address.name().to_owned(), nodes);
        }
    }
}
