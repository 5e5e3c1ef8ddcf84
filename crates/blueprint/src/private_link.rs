//! Endpoints: of AWS services, and of Databricks with their registrations.

use std::collections::{BTreeMap, BTreeSet};

use engine::{Address, Handle};
use facts::regions;
use kinds::aws::security_group_rules::{self, Peer, Rule, SecurityGroupRules};
use kinds::aws::vpc_endpoint::{self, Flavour, VpcEndpoint};
use kinds::databricks::vpc_endpoint::{self as registration, Registration};
use spec::Link;

use crate::vpc::Network;
use crate::workspace::Nodes;
use crate::{Builder, expect, in_vpc, names};

/// What workspaces need of the endpoints of their VPC.
#[derive(Default)]
pub(crate) struct Services {
    pub(crate) registrations: BTreeMap<Link, Handle<Registration>>,
    /// What must stand before nodes start.
    pub(crate) wait: BTreeSet<Address>,
}

/// One rule for TCP ports.
pub(crate) fn tcp(ports: facts::ports::Ports, peer: Peer) -> Rule {
    Rule { protocol: "tcp".to_owned(), from: Some(ports.from), to: Some(ports.to), peer }
}

impl Builder<'_> {
    /// The endpoints of every VPC, by the VPC's name.
    pub(crate) fn endpoints(
        &mut self,
        vpcs: &BTreeMap<String, Network>,
        nodes: &BTreeMap<String, Nodes>,
    ) -> BTreeMap<String, Services> {
        let mut all = BTreeMap::new();
        for (name, network) in vpcs {
            let Some(wanted) = self.spec.vpcs.get(name) else { continue };
            let mut services = Services::default();
            self.endpoint_rules(name, wanted, network, nodes, &mut services);
            self.aws_services(name, wanted, network, nodes, &mut services);
            for link in wanted.private_link.links() {
                self.link(name, wanted, network, link, &mut services);
            }
            all.insert(name.clone(), services);
        }
        all
    }

    /// Exactly the clusters of this VPC, each on the ports it uses, and users on 443.
    fn endpoint_rules(
        &mut self,
        name: &str,
        wanted: &spec::Vpc,
        network: &Network,
        nodes: &BTreeMap<String, Nodes>,
        services: &mut Services,
    ) {
        let Some(group) = network.endpoint_group.as_ref().filter(|g| g.made) else { return };
        let mut ingress = BTreeSet::new();
        for nodes in nodes.values().filter(|n| n.vpc == name) {
            let ports = facts::ports::endpoint_ingress(nodes.private_link, self.govcloud());
            let peer = Peer::Group(nodes.security_group.id());
            ingress.extend(ports.into_iter().map(|p| tcp(p, peer.clone())));
        }
        if wanted.private_link.frontend {
            let mut clients: BTreeSet<_> =
                wanted.private_link.clients.iter().map(ipnet::Ipv4Net::trunc).collect();
            if clients.is_empty() {
                clients.extend(wanted.range().map(|range| range.trunc()));
            }
            ingress.extend(clients.into_iter().map(|c| tcp(facts::ports::HTTPS, Peer::Cidr(c))));
        }
        // A group without rules cannot be told from one whose rules are still to come.
        if ingress.is_empty() {
            return;
        }
        // Groups remember connections: replies need no rule.
        let props = security_group_rules::Props {
            group: group.handle.id(),
            ingress,
            egress: BTreeSet::new(),
        };
        let address = format!("{name}.endpoints");
        let rules = self.graph.add::<SecurityGroupRules>(&network.group, &address, props);
        services.wait.insert(rules.address().clone());
    }

    fn aws_services(
        &mut self,
        name: &str,
        wanted: &spec::Vpc,
        network: &Network,
        nodes: &BTreeMap<String, Nodes>,
        services: &mut Services,
    ) {
        for service in &wanted.endpoints {
            let address = format!("{name}.{}", service.name());
            let full_name = regions::aws_service(&self.spec.region, service.name());
            if let Some(id) = wanted.use_endpoints.get(service) {
                self.used_endpoint(&address, network, id, &full_name, services);
                continue;
            }
            let mut props = self.interface(network, full_name, &address);
            if service.is_gateway() {
                let ours = nodes.values().filter(|n| n.vpc == name).flat_map(|n| &n.tables);
                props.flavour = Flavour::Gateway;
                props.route_tables =
                    ours.chain(network.used_tables.values()).map(Handle::id).collect();
                props.subnets.clear();
                props.groups.clear();
                props.private_dns = false;
            }
            let endpoint = self.graph.add::<VpcEndpoint>(&network.group, &address, props);
            services.wait.insert(endpoint.address().clone());
        }
    }

    fn interface(&self, network: &Network, service: String, name: &str) -> vpc_endpoint::Props {
        vpc_endpoint::Props {
            vpc: network.vpc.id(),
            service,
            flavour: Flavour::Interface,
            route_tables: BTreeSet::new(),
            subnets: network.endpoint_subnets.iter().map(Handle::id).collect(),
            groups: network.endpoint_group.iter().map(|g| g.handle.id()).collect(),
            private_dns: true,
            policy: None,
            tags: self.tags(&name.replace('.', "-")),
        }
    }

    fn used_endpoint(
        &mut self,
        address: &str,
        network: &Network,
        id: &str,
        service: &str,
        services: &mut Services,
    ) -> Handle<VpcEndpoint> {
        let checks = vec![
            in_vpc(&network.vpc, "an endpoint only serves its own VPC"),
            expect("service", service, "the spec uses it for that service"),
        ];
        let id = id.to_owned().into();
        let endpoint = self.graph.use_existing::<VpcEndpoint>(&network.group, address, &id, checks);
        services.wait.insert(endpoint.address().clone());
        endpoint
    }

    /// A private connection to Databricks: the endpoint and its registration.
    fn link(
        &mut self,
        name: &str,
        wanted: &spec::Vpc,
        network: &Network,
        link: Link,
        services: &mut Services,
    ) {
        let private_link = &wanted.private_link;
        let address = format!("{name}.{}", link.name());
        let registered = private_link.use_registrations.as_ref().and_then(|ids| ids.get(link));
        if let Some(id) = registered {
            let region = self.spec.region.as_str();
            let checks = vec![expect("region", region, "endpoints serve their own region")];
            let id = id.to_owned().into();
            let used =
                self.graph.use_existing::<Registration>(&network.group, &address, &id, checks);
            services.registrations.insert(link, used);
            return;
        }
        let Some(service) = service_name(self.spec, wanted, link) else { return };
        let used = private_link.existing.as_ref().and_then(|ids| ids.get(link));
        let endpoint = match used {
            Some(id) => self.used_endpoint(&address, network, id, &service, services),
            None => {
                let mut props = self.interface(network, service, &address);
                // One VPC has one private answer per name: the endpoint of the nodes gives it, now
                // or later.
                props.private_dns = link != Link::Frontend;
                let endpoint = self.graph.add::<VpcEndpoint>(&network.group, &address, props);
                services.wait.insert(endpoint.address().clone());
                endpoint
            }
        };
        let props = registration::Props {
            name: names::account(&[&self.spec.name, name, link.name()]),
            endpoint: endpoint.id(),
            region: self.spec.region.clone(),
        };
        let registration = self.graph.add::<Registration>(&network.group, &address, props);
        services.registrations.insert(link, registration);
    }
}

/// The endpoint service behind a connection; `None` where no source gives it and the spec neither.
pub(crate) fn service_name(spec: &spec::Spec, vpc: &spec::Vpc, link: Link) -> Option<String> {
    let given = vpc.private_link.services.as_ref();
    let region = regions::region(&spec.region).map(|r| &r.endpoint_services);
    match link {
        Link::Relay => {
            given.and_then(|g| g.relay.clone()).or_else(|| region.and_then(|r| r.scc_relay.clone()))
        }
        Link::Rest | Link::Frontend => {
            given.and_then(|g| g.rest.clone()).or_else(|| region.and_then(|r| r.rest.clone()))
        }
    }
}
