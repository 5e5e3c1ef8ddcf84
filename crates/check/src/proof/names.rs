//! Names: who is asked for, and who answers inside a VPC.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use facts::regions;

use crate::topology::{Answer, Endpoint, Key, PrivateZone, Reach, Resolver, Topology, Vpc};

/// The names nodes and users ask for in one region.
pub(super) struct Hosts {
    /// The domain of workspaces.
    pub(super) domain: &'static str,
    /// The web application of the region.
    pub(super) web: String,
    /// The same over PrivateLink.
    pub(super) rest: String,
    /// The relay, over the internet.
    pub(super) tunnel: String,
    /// The same over PrivateLink.
    pub(super) relay: String,
    pub(super) kinesis: String,
    pub(super) single_sign_on: String,
    region: String,
    /// Which of these names no source gives.
    derived: Vec<String>,
}

impl Hosts {
    /// What no source names is derived the way the names of other regions are: an inference.
    pub(super) fn of(region: &str) -> Hosts {
        let known = regions::region(region);
        let domain = regions::partition(region).workspace_domain.as_str();
        let mut derived = Vec::new();
        let mut or = |name: Option<&String>, otherwise: String| match name {
            Some(name) => name.clone(),
            None => {
                derived.push(otherwise.clone());
                otherwise
            }
        };
        let rest = known
            .and_then(|k| k.rest_privatelink_hostname_pattern.clone())
            .unwrap_or_else(|| format!("{region}.privatelink.{domain}"));
        Hosts {
            domain,
            web: or(known.and_then(|k| k.web_app_hostname.as_ref()), format!("{region}.{domain}")),
            rest: or(known.and_then(|k| k.rest_privatelink_hostname.as_ref()), rest),
            tunnel: or(
                known.and_then(|k| k.scc_relay_hostname.as_ref()),
                format!("tunnel.{region}.{domain}"),
            ),
            relay: or(
                known.and_then(|k| k.scc_relay_privatelink_hostname.as_ref()),
                format!("tunnel.privatelink.{region}.{domain}"),
            ),
            kinesis: or(
                known.and_then(|k| k.kinesis_endpoint.as_ref()),
                format!("kinesis.{region}.amazonaws.com"),
            ),
            single_sign_on: format!("accounts-pl-auth.privatelink.{domain}"),
            region: region.to_owned(),
            derived,
        }
    }

    /// The name, and a word if it is an inference.
    pub(super) fn shown(&self, name: &str) -> String {
        let mark = if self.derived.iter().any(|d| d == name) { " (inferred)" } else { "" };
        format!("{name}{mark}")
    }

    /// The host of a workspace. Its real name is not known before it exists.
    pub(super) fn workspace(&self, workspace: &str) -> String {
        format!("{}.{}", workspace.to_ascii_lowercase(), self.domain)
    }

    /// The name of an AWS service in this region.
    pub(super) fn aws(&self, service: &str) -> String {
        format!("{service}.{}.amazonaws.com", self.region)
    }

    /// Whether the private DNS of some endpoint could answer a name.
    fn private(&self, name: &str) -> bool {
        let aws = name
            .strip_suffix(".amazonaws.com")
            .and_then(|rest| rest.strip_suffix(self.region.as_str()))
            .and_then(|rest| rest.strip_suffix('.'));
        name == self.rest || name == self.relay || aws.is_some_and(|service| !service.contains('.'))
    }
}

/// Which of Databricks' services an endpoint leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Service {
    Rest,
    Relay,
    /// AWS', or one that nothing says more about.
    Other,
}

/// The services behind the endpoints of a topology.
pub(super) struct Services<'a> {
    rest: Option<&'static str>,
    relay: Option<&'static str>,
    /// What an endpoint with an unknown service is registered as.
    registered: HashMap<&'a str, Service>,
}

impl<'a> Services<'a> {
    pub(super) fn of(topology: &'a Topology) -> Self {
        let mut registered = HashMap::new();
        for nodes in topology.workspaces.values() {
            let both = [(&nodes.rest, Service::Rest), (&nodes.relay, Service::Relay)];
            for (connection, service) in both {
                let endpoint = connection.as_ref().and_then(|c| c.endpoint.as_deref());
                if let Some(endpoint) = endpoint {
                    registered.entry(endpoint).or_insert(service);
                }
            }
        }
        let known = regions::region(&topology.region).map(|r| &r.endpoint_services);
        Services {
            rest: known.and_then(|k| k.rest.as_deref()),
            relay: known.and_then(|k| k.scc_relay.as_deref()),
            registered,
        }
    }

    pub(super) fn behind(&self, key: &str, endpoint: &Endpoint) -> Service {
        let name = endpoint.service.as_str();
        if Some(name) == self.rest {
            Service::Rest
        } else if Some(name) == self.relay {
            Service::Relay
        } else if name.starts_with("com.amazonaws.vpce.") {
            self.registered.get(key).copied().unwrap_or(Service::Other)
        } else {
            Service::Other
        }
    }
}

/// Who gave an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By<'a> {
    PrivateDns,
    Zone(&'a Key),
}

/// What a name leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Resolved<'a> {
    Endpoint {
        key: &'a Key,
        by: By<'a>,
    },
    Address {
        address: Ipv4Addr,
        zone: &'a Key,
    },
    Public,
    /// A zone holds the name's domain and not the name.
    Nowhere {
        zone: &'a Key,
    },
    /// The VPC answers no name at all.
    Refused,
    Unclear(String),
}

/// Who answers in one VPC.
#[derive(Default)]
pub(super) struct Names<'a> {
    vpc: Option<&'a Vpc>,
    zones: HashMap<&'a str, (&'a Key, &'a PrivateZone)>,
    /// Endpoints with private DNS, by the name they answer.
    answering: HashMap<String, &'a Key>,
    /// Endpoints that would answer a name but for a setting.
    silent: HashMap<String, &'a Key>,
    /// Gateway endpoints.
    pub(super) gateways: Vec<(&'a str, &'a Key)>,
    /// Whether endpoints or zones that were not read may answer, too.
    unread_endpoints: bool,
    unread_zones: bool,
}

impl<'a> Names<'a> {
    /// For every VPC of a topology.
    pub(super) fn of(
        topology: &'a Topology,
        hosts: &Hosts,
        services: &Services<'a>,
    ) -> HashMap<&'a str, Names<'a>> {
        // What exists already lives in a VPC that exists already, and that was not read either.
        let unread_endpoints = topology.endpoints.values().any(Option::is_none)
            && topology.vpcs.values().all(Option::is_some);
        let unread_zones = topology.zones.values().any(Option::is_none);
        let mut all: HashMap<&str, Names<'a>> = HashMap::new();
        for (key, vpc) in &topology.vpcs {
            let names =
                Names { vpc: vpc.as_ref(), unread_endpoints, unread_zones, ..Names::default() };
            all.insert(key, names);
        }
        for (key, zone) in &topology.zones {
            let Some(zone) = zone else { continue };
            for vpc in &zone.vpcs {
                if let Some(names) = all.get_mut(vpc.as_str()) {
                    names.zones.entry(&zone.name).or_insert((key, zone));
                }
            }
        }
        for (key, endpoint) in &topology.endpoints {
            let Some(endpoint) = endpoint else { continue };
            let Some(names) = all.get_mut(endpoint.vpc.as_str()) else { continue };
            match &endpoint.reach {
                Reach::Gateway { .. } => names.gateways.push((&endpoint.service, key)),
                Reach::Interface { private_dns, .. } => {
                    let Some(name) = answers(hosts, services, key, endpoint) else { continue };
                    let on = names.vpc.is_some_and(|vpc| vpc.dns_hostnames && vpc.dns_support);
                    let map =
                        if *private_dns && on { &mut names.answering } else { &mut names.silent };
                    map.entry(name).or_insert(key);
                }
            }
        }
        all
    }

    pub(super) fn cidrs(&self) -> &'a [ipnet::Ipv4Net] {
        self.vpc.map_or(&[], |vpc| &vpc.cidrs)
    }

    pub(super) fn vpc(&self) -> Option<&'a Vpc> {
        self.vpc
    }

    /// The endpoint that would answer a name but for its private DNS or the hostnames of the VPC.
    pub(super) fn silent(&self, name: &str) -> Option<&'a Key> {
        self.silent.get(name).copied()
    }

    /// Whether the hostnames of the VPC keep its endpoints from answering.
    pub(super) fn muted(&self) -> bool {
        self.vpc.is_some_and(|vpc| !vpc.dns_hostnames)
    }

    /// Whether an endpoint nobody has read may be in this VPC.
    pub(super) fn unread_endpoints(&self) -> bool {
        self.unread_endpoints
    }

    /// What a name leads to inside the VPC.
    ///
    /// The longest zone wins, a private zone before an endpoint's own: the reference only says that
    /// the most specific one wins, so the tie is unconfirmed.
    pub(super) fn resolve(&self, hosts: &Hosts, name: &str) -> Resolved<'a> {
        let Some(vpc) = self.vpc else {
            return Resolved::Unclear("the VPC was not read".to_owned());
        };
        if !vpc.dns_support {
            return Resolved::Refused;
        }
        if let Resolver::Own(_) = vpc.resolver {
            return Resolved::Unclear(format!("DNS servers of your own answer `{name}`"));
        }
        if self.unread_zones {
            return Resolved::Unclear(format!(
                "a private zone that was not read may answer `{name}`"
            ));
        }
        let mut suffix = name;
        loop {
            if let Some((key, zone)) = self.zones.get(suffix) {
                return match zone.records.get(name) {
                    Some(Answer::Endpoint(endpoint)) => {
                        Resolved::Endpoint { key: endpoint, by: By::Zone(key) }
                    }
                    Some(Answer::Address(address)) => {
                        Resolved::Address { address: *address, zone: key }
                    }
                    None => Resolved::Nowhere { zone: key },
                };
            }
            if suffix.len() == name.len()
                && let Some(key) = self.answering.get(name)
            {
                return Resolved::Endpoint { key, by: By::PrivateDns };
            }
            match suffix.split_once('.') {
                Some((_, shorter)) => suffix = shorter,
                None => break,
            }
        }
        if self.unread_endpoints && vpc.dns_hostnames && hosts.private(name) {
            let why = format!("an endpoint that was not read may answer `{name}`");
            return Resolved::Unclear(why);
        }
        Resolved::Public
    }
}

/// The name that the private DNS of an endpoint answers.
pub(super) fn answers(
    hosts: &Hosts,
    services: &Services<'_>,
    key: &str,
    endpoint: &Endpoint,
) -> Option<String> {
    match services.behind(key, endpoint) {
        Service::Rest => Some(hosts.rest.clone()),
        Service::Relay => Some(hosts.relay.clone()),
        Service::Other => {
            let rest = endpoint.service.strip_prefix("com.amazonaws.")?;
            let (region, service) = rest.split_once('.')?;
            let service = if service == "kinesis-streams" { "kinesis" } else { service };
            (region != "vpce").then(|| format!("{service}.{region}.amazonaws.com"))
        }
    }
}
