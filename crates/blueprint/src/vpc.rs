//! A VPC and what all its workspaces share: gateways, public and endpoint subnets, the group of the
//! endpoints.

use std::collections::{BTreeMap, BTreeSet};

use engine::{Group, Handle};
use kinds::aws::elastic_ip::{self, ElasticIp};
use kinds::aws::internet_gateway::{self, InternetGateway};
use kinds::aws::nat_gateway::{self, NatGateway};
use kinds::aws::route_table::{self, RouteTable, Target};
use kinds::aws::security_group::{self, SecurityGroup};
use kinds::aws::subnet::{self, Subnet};
use kinds::aws::vpc;
use spec::{Nat, ServiceSubnets};

use crate::cidr::{self, Purpose};
use crate::{Builder, expect, in_vpc};

/// What others need of a VPC.
pub(crate) struct Network {
    pub(crate) group: Group,
    pub(crate) vpc: Handle<vpc::Vpc>,
    /// NAT gateways by zone.
    pub(crate) nats: BTreeMap<String, Handle<NatGateway>>,
    /// The zone of the NAT gateway that serves zones without one.
    pub(crate) nat_zone: Option<String>,
    pub(crate) endpoint_subnets: Vec<Handle<Subnet>>,
    /// `None` when the VPC has no interface endpoints.
    pub(crate) endpoint_group: Option<EndpointGroup>,
    /// Route tables of used subnets.
    pub(crate) used_tables: BTreeMap<String, Handle<RouteTable>>,
}

/// The security group of the interface endpoints.
pub(crate) struct EndpointGroup {
    pub(crate) handle: Handle<SecurityGroup>,
    /// Whether its rules are ours.
    pub(crate) made: bool,
}

/// Everywhere.
pub(crate) fn anywhere() -> ipnet::Ipv4Net {
    ipnet::Ipv4Net::default()
}

impl Builder<'_> {
    /// The VPCs, by name.
    pub(crate) fn vpcs(&mut self) -> BTreeMap<String, Network> {
        let vpcs = self.spec.vpcs.iter();
        vpcs.filter_map(|(name, vpc)| Some((name.clone(), self.vpc(name, vpc)?))).collect()
    }

    fn vpc(&mut self, name: &str, wanted: &spec::Vpc) -> Option<Network> {
        let group = Group::Shared(name.to_owned());
        let vpc = match &wanted.existing {
            Some(existing) => {
                let because = "nodes and endpoints find each other by private names";
                let checks = vec![
                    expect("dns_support", true, because),
                    expect("dns_hostnames", true, because),
                ];
                let id = existing.vpc.clone().into();
                self.graph.use_existing::<vpc::Vpc>(&group, name, &id, checks)
            }
            None => self.graph.add::<vpc::Vpc>(
                &group,
                name,
                vpc::Props {
                    cidr: wanted.cidr?.trunc(),
                    dns_support: true,
                    dns_hostnames: true,
                    tags: self.tags(name),
                },
            ),
        };
        let mut network = Network {
            group,
            vpc,
            nats: BTreeMap::new(),
            nat_zone: None,
            endpoint_subnets: Vec::new(),
            endpoint_group: None,
            used_tables: BTreeMap::new(),
        };
        if let Some(existing) = &wanted.existing {
            let because = "peerings and the S3 endpoint extend the tables of this VPC";
            for id in &existing.route_tables {
                let checks = vec![in_vpc(&network.vpc, because)];
                let table = self.graph.use_existing::<RouteTable>(
                    &network.group,
                    &format!("{name}.{id}"),
                    &id.clone().into(),
                    checks,
                );
                network.used_tables.insert(id.clone(), table);
            }
        }
        self.nats(name, wanted, &mut network);
        if wanted.has_interface_endpoints() {
            self.endpoint_network(name, wanted, &mut network);
        }
        Some(network)
    }

    /// Subnets of one purpose, by zone: used or made.
    fn service_subnets(
        &mut self,
        name: &str,
        wanted: &spec::Vpc,
        network: &Network,
        purpose: Purpose,
        zones: &[String],
    ) -> ServiceNet {
        let (given, word) = match purpose {
            Purpose::Public => (&wanted.public_subnets, "public"),
            Purpose::Endpoints => (&wanted.endpoint_subnets, "endpoints"),
        };
        let empty = ServiceSubnets::default();
        let given = given.as_ref().unwrap_or(&empty);
        let mut net = ServiceNet::default();
        for (zone, id) in &given.existing {
            let checks = vec![
                in_vpc(&network.vpc, "its endpoints and gateways serve that VPC"),
                expect("zone", zone.as_str(), "the spec says so"),
            ];
            let address = format!("{name}.{word}-{zone}");
            let id = id.clone().into();
            let subnet = self.graph.use_existing::<Subnet>(&network.group, &address, &id, checks);
            net.all.insert(zone.clone(), subnet);
        }
        if !given.existing.is_empty() {
            return net;
        }
        for zone in zones {
            let Ok(cidr) = cidr::service(wanted, purpose, zone) else { continue };
            let address = format!("{name}.{word}-{zone}");
            let props = subnet::Props {
                vpc: network.vpc.id(),
                cidr,
                zone: zone.clone(),
                public_ips: false,
                tags: self.tags(&format!("{name}-{word}-{zone}")),
            };
            let subnet = self.graph.add::<Subnet>(&network.group, &address, props);
            net.all.insert(zone.clone(), subnet.clone());
            net.made.push(subnet);
        }
        net
    }

    fn nats(&mut self, name: &str, wanted: &spec::Vpc, network: &mut Network) {
        if let Some(existing) = &wanted.existing
            && !existing.nat_gateways.is_empty()
        {
            for (zone, id) in &existing.nat_gateways {
                let nat = self.graph.use_existing::<NatGateway>(
                    &network.group,
                    &format!("{name}.{zone}"),
                    &id.clone().into(),
                    Vec::new(),
                );
                network.nats.insert(zone.clone(), nat);
            }
            network.nat_zone = existing.nat_gateways.keys().next().cloned();
            return;
        }
        let zones: Vec<String> = match wanted.nat() {
            Nat::None => return,
            Nat::Single => wanted.zones.first().cloned().into_iter().collect(),
            Nat::PerZone => wanted.zones.clone(),
        };
        let public = self.service_subnets(name, wanted, network, Purpose::Public, &zones);
        let way_out = self.public_table(name, wanted, network, &public);
        for (zone, subnet) in &public.all {
            let address = format!("{name}.{zone}");
            let tags = self.tags(&format!("{name}-nat-{zone}"));
            let ip = elastic_ip::Props { tags: tags.clone() };
            let ip = self.graph.add::<ElasticIp>(&network.group, &address, ip);
            let nat = nat_gateway::Props { subnet: subnet.id(), address: ip.id(), tags };
            let nat = self.graph.add::<NatGateway>(&network.group, &address, nat);
            // AWS refuses a NAT gateway in a VPC without an attached internet gateway.
            self.graph.after(nat.address(), way_out.clone());
            network.nats.insert(zone.clone(), nat);
        }
        let first = zones.into_iter().find(|zone| network.nats.contains_key(zone));
        network.nat_zone = first.or_else(|| network.nats.keys().next().cloned());
    }

    /// The table that leads public subnets to the internet, when they are ours.
    fn public_table(
        &mut self,
        name: &str,
        wanted: &spec::Vpc,
        network: &Network,
        public: &ServiceNet,
    ) -> Vec<engine::Address> {
        if public.made.is_empty() {
            return Vec::new();
        }
        let gateway = match wanted.existing.as_ref().map(|e| &e.internet_gateway) {
            None => {
                let vpc = network.vpc.id();
                let props = internet_gateway::Props { vpc, tags: self.tags(name) };
                self.graph.add::<InternetGateway>(&network.group, name, props)
            }
            Some(Some(id)) => {
                let checks = vec![in_vpc(&network.vpc, "NAT gateways reach the internet by it")];
                let id = id.clone().into();
                self.graph.use_existing::<InternetGateway>(&network.group, name, &id, checks)
            }
            Some(None) => return Vec::new(),
        };
        let props = route_table::Props {
            vpc: network.vpc.id(),
            routes: BTreeMap::from([(anywhere(), Target::InternetGateway(gateway.id()))]),
            subnets: public.made.iter().map(Handle::id).collect(),
            tags: self.tags(&format!("{name}-public")),
        };
        let address = format!("{name}.public");
        let table = self.graph.add::<RouteTable>(&network.group, &address, props);
        vec![table.address().clone(), gateway.address().clone()]
    }

    fn endpoint_network(&mut self, name: &str, wanted: &spec::Vpc, network: &mut Network) {
        let zones = wanted.zones.clone();
        let net = self.service_subnets(name, wanted, network, Purpose::Endpoints, &zones);
        if !net.made.is_empty() {
            let props = route_table::Props {
                vpc: network.vpc.id(),
                routes: BTreeMap::new(),
                subnets: net.made.iter().map(Handle::id).collect::<BTreeSet<_>>(),
                tags: self.tags(&format!("{name}-endpoints")),
            };
            self.graph.add::<RouteTable>(&network.group, &format!("{name}.endpoints"), props);
        }
        network.endpoint_subnets = net.all.into_values().collect();
        let address = format!("{name}.endpoints");
        let group = match &wanted.endpoint_group {
            Some(used) => {
                let checks = vec![in_vpc(&network.vpc, "it guards the endpoints of that VPC")];
                let id = used.id.clone().into();
                let handle =
                    self.graph.use_existing::<SecurityGroup>(&network.group, &address, &id, checks);
                EndpointGroup { handle, made: false }
            }
            None => {
                let props = security_group::Props {
                    vpc: network.vpc.id(),
                    name: format!("{}-{name}-endpoints", self.spec.name),
                    description: "Endpoints of Databricks and AWS".to_owned(),
                    tags: self.tags(&format!("{name}-endpoints")),
                };
                let handle = self.graph.add::<SecurityGroup>(&network.group, &address, props);
                EndpointGroup { handle, made: true }
            }
        };
        network.endpoint_group = Some(group);
    }
}

/// Subnets of one purpose.
#[derive(Default)]
struct ServiceNet {
    all: BTreeMap<String, Handle<Subnet>>,
    made: Vec<Handle<Subnet>>,
}
