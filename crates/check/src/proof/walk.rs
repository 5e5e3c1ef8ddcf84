//! One packet's way, step by step, as far as it can be seen.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use ipnet::Ipv4Net;

use super::acls::EPHEMERAL;
use super::blocks;
use super::groups::{Call, Said, To, private};
use super::index::{Guard, Routes, Site};
use super::names::{By, Resolved};
use super::policy::{self, Judged, Need};
use super::{Block, Hop, Proof, Step, Verdict, Via};
use crate::topology::{Endpoint, Key, Peer, Protocol, Reach, Target};

/// What a step says: go on, or why not.
pub(super) type Passed<T = ()> = Result<T, Box<Block>>;

/// The block to report where no route leads out.
#[derive(Debug, Clone)]
pub(super) struct Missing {
    pub(super) rule: &'static str,
    /// Empty for the VPC.
    pub(super) at: Key,
    /// Why a route is needed: `nothing in the VPC answers …`.
    pub(super) because: String,
    pub(super) fix: String,
}

/// What a name leads to, once it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leads<'a> {
    Endpoint {
        key: &'a Key,
        by: By<'a>,
    },
    Address(Ipv4Net),
    Public,
    /// Nobody can see; it is noted.
    Unseen,
}

/// The way out of a subnet.
enum Way<'a> {
    Local,
    /// Through a NAT gateway in that subnet.
    Nat(Option<&'a Key>),
    Peering,
    /// Nobody can see; it is noted.
    Unseen,
}

pub(super) struct Walk<'a, 'w> {
    pub(super) site: &'w Site<'a, 'w>,
    class: &'static str,
    subnet: &'a Key,
    path: Vec<Hop>,
    unclear: Option<String>,
    /// What moved the packet where it is: a name or a route. Blocks further on say so.
    lead: String,
    /// The NAT gateway on the way.
    nat: Option<&'a Key>,
}

impl<'a, 'w> Walk<'a, 'w> {
    pub(super) fn new(site: &'w Site<'a, 'w>, class: &'static str, subnet: &'a Key) -> Self {
        Walk {
            site,
            class,
            subnet,
            path: Vec::new(),
            unclear: None,
            lead: String::new(),
            nat: None,
        }
    }

    /// The proof of it.
    pub(super) fn finish(mut self, to: String, outcome: Passed<Via>) -> Proof {
        let verdict = match self.verdict(outcome) {
            Ok(via) => match self.unclear.take() {
                Some(why) => Verdict::Unknown { path: self.path, why },
                None => Verdict::Proven { via, path: self.path },
            },
            Err(block) => Verdict::Blocked { path: self.path, block: *block },
        };
        let workspace = self.site.workspace.to_owned();
        Proof { workspace, from: self.subnet.clone(), class: self.class, to, verdict }
    }

    /// The spec may forbid what the network allows.
    fn verdict(&mut self, outcome: Passed<Via>) -> Passed<Via> {
        let via = outcome?;
        let forbidden = self.site.ask.requirements.internet == spec::Internet::Forbidden;
        if via == Via::Nat && forbidden && self.unclear.is_none() {
            let nat = self.nat.cloned().unwrap_or_default();
            let message = format!("`{nat}` leads out to the internet, and the spec forbids that");
            let fix = "take away what sends nodes there or give it a private way; or allow \
                       `internet` in `requirements`";
            return Err(self.block(Step::Route, "DBX-REQ-001", nat, message, fix.to_owned()));
        }
        Ok(via)
    }

    pub(super) fn pass(&mut self, step: Step, at: &str, what: String) {
        let hop = Hop { step, at: at.to_owned(), what };
        if !self.path.contains(&hop) {
            self.path.push(hop);
        }
    }

    /// Notes what cannot be seen; the first such step is the one that is told.
    pub(super) fn note(&mut self, step: Step, at: &str, why: String) {
        self.pass(step, at, why.clone());
        self.unclear.get_or_insert(why);
    }

    pub(super) fn block(
        &mut self,
        step: Step,
        rule: &'static str,
        at: Key,
        message: String,
        fix: String,
    ) -> Box<Block> {
        self.path.push(Hop { step, at: at.clone(), what: message.clone() });
        Box::new(Block {
            rule,
            severity: blocks::severity(rule, self.class),
            at,
            message,
            fix,
            symptom: blocks::symptom(rule, self.class).map(str::to_owned),
        })
    }

    /// What leads where it is blocked, at the end of a message.
    fn led(&self, mut message: String) -> String {
        if !self.lead.is_empty() {
            let _ = write!(message, "; {}", self.lead);
        }
        message
    }

    /// The VPC as the spec calls it.
    pub(super) fn vpc_place(&self) -> String {
        place(&self.site.nodes.vpc)
    }

    /// The group a block of egress is about.
    fn nodes_group(&self) -> Key {
        self.site.nodes.groups.iter().min().cloned().unwrap_or_default()
    }

    // Names.

    /// What a name leads to inside the VPC.
    pub(super) fn name(&mut self, name: &str) -> Passed<Leads<'a>> {
        let shown = self.site.prover.hosts.shown(name);
        match self.site.names.resolve(&self.site.prover.hosts, name) {
            Resolved::Endpoint { key, by } => {
                let how = match by {
                    By::PrivateDns => "private DNS".to_owned(),
                    By::Zone(zone) => format!("zone `{zone}`"),
                };
                self.lead = match by {
                    By::PrivateDns => format!("its private DNS leads `{name}` there"),
                    By::Zone(zone) => format!("the zone `{zone}` leads `{name}` there"),
                };
                self.pass(Step::Name, key, format!("{shown} → {key} ({how})"));
                Ok(Leads::Endpoint { key, by })
            }
            Resolved::Address { address, zone } => {
                self.lead = format!("the zone `{zone}` leads `{name}` there");
                self.pass(Step::Name, zone, format!("{shown} → {address} (zone `{zone}`)"));
                Ok(Leads::Address(address.into()))
            }
            Resolved::Public => {
                self.lead.clear();
                self.pass(Step::Name, "", format!("{shown} → a public address"));
                Ok(Leads::Public)
            }
            Resolved::Nowhere { zone } => {
                let message = format!(
                    "the private zone `{zone}` leads names of its domain, and does not list `{name}`"
                );
                let fix = format!(
                    "add `{name}` to `{zone}`, or replace the zone by one for `privatelink.{}` or \
                     for exact names",
                    self.site.prover.hosts.domain
                );
                Err(self.block(Step::Name, "DBX-DNS-001", zone.clone(), message, fix))
            }
            Resolved::Refused => {
                let vpc = &self.site.nodes.vpc;
                let message = format!("`{vpc}` has DNS resolution turned off, so no name resolves");
                let fix = format!("turn on DNS resolution (`enableDnsSupport`) of `{vpc}`");
                Err(self.block(Step::Name, "DBX-NET-001", vpc.clone(), message, fix))
            }
            Resolved::Unclear(why) => {
                self.note(Step::Name, &self.site.nodes.vpc.clone(), why);
                Ok(Leads::Unseen)
            }
        }
    }

    // Destinations.

    /// To a public address; `s3` for one of S3 in the region of the VPC.
    pub(super) fn public(&mut self, call: Call, s3: bool, missing: &Missing) -> Passed<Via> {
        let way = self.default_route(missing)?;
        self.egress(call, To::Public { s3 }, "public addresses")?;
        self.out_of_subnet(call, Some(Ipv4Net::default()))?;
        if let Way::Nat(Some(subnet)) = way {
            self.through_nat(call, subnet)?;
        }
        Ok(Via::Nat)
    }

    /// To all of a known range.
    pub(super) fn range(&mut self, call: Call, range: Ipv4Net, missing: &Missing) -> Passed<Via> {
        let way = self.best_route(range, missing)?;
        self.egress(call, To::Range(range), &range.to_string())?;
        self.out_of_subnet(call, Some(range))?;
        match way {
            Way::Local => self.into_range(call, range)?,
            Way::Nat(Some(subnet)) => self.through_nat(call, subnet)?,
            Way::Nat(None) | Way::Peering | Way::Unseen => {}
        }
        Ok(match way {
            Way::Local | Way::Unseen => Via::Local,
            Way::Nat(_) => Via::Nat,
            Way::Peering => Via::Peering,
        })
    }

    /// To every address of an interface endpoint, on every port.
    pub(super) fn endpoint(
        &mut self,
        key: &'a Key,
        calls: &[Call],
        missing: &Missing,
    ) -> Passed<Via> {
        let Some(Some(endpoint)) = self.site.prover.topology.endpoints.get(key) else {
            self.note(Step::Service, key, format!("`{key}` was not read"));
            return Ok(Via::Endpoint);
        };
        let Reach::Interface { subnets, groups, .. } = &endpoint.reach else {
            self.note(Step::Service, key, format!("`{key}` is no interface endpoint"));
            return Ok(Via::Endpoint);
        };
        if subnets.is_empty() {
            self.note(Step::Service, key, format!("`{key}` has no address in any subnet"));
        }
        let own = endpoint.vpc == self.site.nodes.vpc;
        if own {
            self.pass(Step::Route, &self.site.nodes.vpc.clone(), "local route".to_owned());
        }
        for call in calls {
            for subnet in subnets {
                let range = self.site.prover.range(subnet);
                if range.is_none() {
                    self.note(Step::Route, subnet, format!("`{subnet}` was not read"));
                }
                if let Some(range) = range.filter(|_| !own) {
                    self.best_route(range, missing)?;
                }
                self.egress(*call, To::Member { range, groups }, &format!("`{key}`"))?;
                self.admitted(*call, key, endpoint)?;
                if subnet != self.subnet {
                    self.between(*call, subnet, range)?;
                }
            }
        }
        Ok(Via::Endpoint)
    }

    /// To S3 buckets in the region of the VPC, where the route of a gateway endpoint comes first.
    pub(super) fn s3(
        &mut self,
        needs: &[Need],
        rule: &'static str,
        missing: &Missing,
    ) -> Passed<Via> {
        let service = format!("com.amazonaws.{}.s3", self.site.prover.topology.region);
        self.gateway_or_public(&service, true, missing, |walk, key, endpoint| {
            walk.policy(key, endpoint, needs, rule)
        })
    }

    /// To a service whose gateway endpoint may be on the route table.
    pub(super) fn gateway_or_public(
        &mut self,
        service: &str,
        s3: bool,
        missing: &Missing,
        policy: impl FnOnce(&mut Self, &'a Key, &'a Endpoint) -> Passed,
    ) -> Passed<Via> {
        let call = Call::tcp(443);
        let routes = match self.site.prover.routes(self.subnet) {
            Err(why) => {
                self.note(Step::Route, self.subnet, why);
                self.egress(call, To::Public { s3 }, "public addresses")?;
                self.out_of_subnet(call, Some(Ipv4Net::default()))?;
                return Ok(Via::Nat);
            }
            Ok(routes) => routes,
        };
        let gateway = routes.table.and_then(|table| self.site.prover.gateway(table, service));
        let Some(gateway) = gateway else {
            if self.site.names.unread_endpoints() || routes.partial {
                let why =
                    format!("a gateway endpoint for `{service}` may be there that was not read");
                self.note(Step::Route, routes.table.unwrap_or(self.subnet), why);
                self.egress(call, To::Public { s3 }, "public addresses")?;
                self.out_of_subnet(call, Some(Ipv4Net::default()))?;
                return Ok(Via::Gateway);
            }
            return self.public(call, s3, missing);
        };
        self.lead = format!(
            "the route of `{gateway}` (a prefix list) is more specific than the default route"
        );
        let table = routes.table.map_or("", String::as_str);
        self.pass(Step::Route, gateway, format!("prefix list in {table} → {gateway}"));
        self.egress(call, To::Public { s3 }, "public addresses of the service")?;
        self.out_of_subnet(call, Some(Ipv4Net::default()))?;
        if let Some(Some(endpoint)) = self.site.prover.topology.endpoints.get(gateway) {
            policy(self, gateway, endpoint)?;
        }
        Ok(Via::Gateway)
    }

    // Routes.

    fn routes(&mut self) -> Option<Routes<'a>> {
        match self.site.prover.routes(self.subnet) {
            Ok(routes) => Some(routes),
            Err(why) => {
                self.note(Step::Route, self.subnet, why);
                None
            }
        }
    }

    fn default_route(&mut self, missing: &Missing) -> Passed<Way<'a>> {
        let Some(routes) = self.routes() else { return Ok(Way::Unseen) };
        let anywhere = Ipv4Net::default();
        match routes.routes.and_then(|routes| routes.get(&anywhere)) {
            Some(target) => self.follow(&routes, anywhere, target),
            None => self.no_route(&routes, "default route", missing),
        }
    }

    /// The most specific route that holds all of a range; the local one counts.
    fn best_route(&mut self, range: Ipv4Net, missing: &Missing) -> Passed<Way<'a>> {
        let local = self.site.names.cidrs().iter().filter(|own| own.contains(&range));
        let local = local.map(Ipv4Net::prefix_len).max();
        let Some(routes) = self.routes() else {
            return Ok(Way::Unseen);
        };
        let all = || routes.routes.into_iter().flatten();
        let within = |net: &Ipv4Net| range.contains(net) && *net != range;
        let split = all().any(|(net, _)| within(net)) || self.site.names.cidrs().iter().any(within);
        if split {
            let why = format!("parts of {range} have routes of their own");
            self.note(Step::Route, routes.table.unwrap_or(self.subnet), why);
            return Ok(Way::Unseen);
        }
        let best =
            all().filter(|(net, _)| net.contains(&range)).max_by_key(|(net, _)| net.prefix_len());
        match best {
            Some((net, target)) if local.is_none_or(|local| net.prefix_len() > local) => {
                self.lead = format!("the most specific route there is the one to {net}");
                let way = self.follow(&routes, *net, target)?;
                if matches!(way, Way::Nat(_)) && private(&range) {
                    let nat = self.nat.cloned().unwrap_or_default();
                    let message = format!(
                        "the most specific route, to {net}, sends {range} to `{nat}`, and private \
                         addresses are nowhere on the internet"
                    );
                    let fix = format!("add a route to {range}, such as a peering");
                    let at = routes.table.unwrap_or(self.subnet).clone();
                    return Err(self.block(Step::Route, missing.rule, at, message, fix));
                }
                Ok(way)
            }
            _ if local.is_some() => {
                self.pass(Step::Route, &self.site.nodes.vpc.clone(), "local route".to_owned());
                Ok(Way::Local)
            }
            _ => self.no_route(&routes, &format!("route to {range}"), missing),
        }
    }

    fn no_route(&mut self, routes: &Routes<'_>, what: &str, missing: &Missing) -> Passed<Way<'a>> {
        let table = routes.table.map_or("the main route table", String::as_str);
        if routes.partial {
            let why = format!("`{table}` may have a {what} that was not read");
            self.note(Step::Route, table, why);
            return Ok(Way::Unseen);
        }
        let message = format!("`{table}` has no {what}, and {}", missing.because);
        let at = if missing.at.is_empty() { &self.site.nodes.vpc } else { &missing.at };
        Err(self.block(Step::Route, missing.rule, at.clone(), message, missing.fix.clone()))
    }

    fn follow(&mut self, routes: &Routes<'a>, net: Ipv4Net, target: &'a Target) -> Passed<Way<'a>> {
        let table = routes.table.unwrap_or(self.subnet);
        let seen = |to: &str| format!("{net} in {table} → {to}");
        match target {
            Target::InternetGateway(gateway) => {
                let message = self.led(format!(
                    "`{table}` sends {net} to `{gateway}`: its subnets are public, and nodes have \
                     no public addresses"
                ));
                let fix = format!("send {net} to a NAT gateway, or take the route away");
                Err(self.block(Step::Route, "DBX-NET-012", table.clone(), message, fix))
            }
            Target::NatGateway(nat) => {
                self.pass(Step::Route, table, seen(nat));
                self.nat(nat)
            }
            Target::Peering(peering) if net.prefix_len() > 0 => {
                self.pass(Step::Route, table, seen(peering));
                match self.site.prover.topology.peerings.get(peering) {
                    Some(Some(found)) if found.routes_back => Ok(Way::Peering),
                    Some(Some(_)) => {
                        let why = format!(
                            "whether the other side of `{peering}` has a route back is not known"
                        );
                        self.note(Step::Route, peering, why);
                        Ok(Way::Unseen)
                    }
                    _ => {
                        self.note(Step::Route, peering, format!("`{peering}` was not read"));
                        Ok(Way::Unseen)
                    }
                }
            }
            Target::Peering(far) | Target::TransitGateway(far) | Target::Other(far) => {
                let why = format!("{}, whose far side cannot be seen from here", seen(far));
                self.note(Step::Route, table, why);
                Ok(Way::Unseen)
            }
        }
    }

    /// Whether a NAT gateway itself gets out.
    fn nat(&mut self, key: &'a Key) -> Passed<Way<'a>> {
        self.nat = Some(key);
        let topology = self.site.prover.topology;
        let Some(Some(nat)) = topology.nat_gateways.get(key) else {
            self.note(Step::Route, key, format!("`{key}` was not read"));
            return Ok(Way::Nat(None));
        };
        let subnet = &nat.subnet;
        if self.site.nodes.subnets.contains(subnet) {
            let message = format!("`{key}` stands in `{subnet}`, a subnet of the nodes");
            return Err(self.misplaced("DBX-RTE-004", key, message));
        }
        let routes = match self.site.prover.routes(subnet) {
            Ok(routes) => routes,
            Err(why) => {
                self.note(Step::Route, subnet, why);
                return Ok(Way::Nat(Some(subnet)));
            }
        };
        let table = routes.table.map_or("the main route table", String::as_str);
        match routes.routes.and_then(|routes| routes.get(&Ipv4Net::default())) {
            Some(Target::InternetGateway(gateway)) => self.gateway(key, subnet, gateway)?,
            Some(Target::NatGateway(other)) => {
                let message = format!(
                    "`{key}` stands in `{subnet}`, whose own default route leads to `{other}`"
                );
                return Err(self.misplaced("DBX-RTE-004", key, message));
            }
            Some(_) => {
                let message = format!(
                    "`{key}` stands in `{subnet}`, and the default route of `{table}` leads to no \
                     internet gateway"
                );
                return Err(self.misplaced("DBX-RTE-002", key, message));
            }
            None if routes.partial => {
                let why = format!("`{table}` may have a default route that was not read");
                self.note(Step::Route, table, why);
            }
            None => {
                let message =
                    format!("`{key}` stands in `{subnet}`, and `{table}` has no default route");
                return Err(self.misplaced("DBX-RTE-002", key, message));
            }
        }
        Ok(Way::Nat(Some(subnet)))
    }

    fn misplaced(&mut self, rule: &'static str, nat: &Key, message: String) -> Box<Block> {
        let fix = format!(
            "put `{nat}` into a public subnet, whose route table sends 0.0.0.0/0 to an internet \
             gateway"
        );
        let message = self.led(message);
        self.block(Step::Route, rule, nat.clone(), message, fix)
    }

    fn gateway(&mut self, nat: &Key, subnet: &Key, key: &'a Key) -> Passed {
        let topology = self.site.prover.topology;
        let vpc = self.site.prover.subnet(subnet).map(|s| &s.vpc);
        match topology.internet_gateways.get(key) {
            Some(Some(gateway)) if gateway.vpc.is_none() => {
                let message = format!("`{key}` is attached to no VPC, so `{nat}` has no way out");
                let message = self.led(message);
                let fix = format!("attach `{key}` to `{}`", self.site.nodes.vpc);
                Err(self.block(Step::Route, "DBX-RTE-003", key.clone(), message, fix))
            }
            Some(Some(gateway)) if gateway.vpc.as_ref() != vpc => {
                let message =
                    format!("`{key}` is attached to another VPC, so `{nat}` has no way out");
                Err(self.misplaced("DBX-RTE-002", nat, message))
            }
            Some(Some(_)) => {
                self.pass(Step::Route, key, format!("0.0.0.0/0 of {nat} → {key}"));
                Ok(())
            }
            _ => {
                self.note(Step::Route, key, format!("`{key}` was not read"));
                Ok(())
            }
        }
    }

    // Security groups.

    pub(super) fn egress(&mut self, call: Call, to: To<'_>, whom: &str) -> Passed {
        let nodes = &self.site.nodes.groups;
        match self.site.prover.groups.egress(nodes, self.site.names.cidrs(), call, to) {
            Said::Yes(group, peer) => {
                let what = format!("{call} out to {} ({group})", shown(&peer));
                self.pass(Step::Egress, &group, what);
                Ok(())
            }
            Said::Unclear(why) => {
                self.note(Step::Egress, &self.nodes_group(), why);
                Ok(())
            }
            Said::No => {
                let group = self.nodes_group();
                let message = self.led(format!("`{group}` lets nothing out to {whom} on {call}"));
                let peer = match to {
                    To::Public { .. } => "0.0.0.0/0".to_owned(),
                    To::Range(range) => range.to_string(),
                    To::Member { range, groups } => match (groups.keys().next(), range) {
                        (Some(group), _) => format!("`{group}`"),
                        (None, Some(range)) => range.to_string(),
                        (None, None) => "the endpoint".to_owned(),
                    },
                };
                let fix = format!("allow {call} out of `{group}` to {peer}");
                Err(self.block(Step::Egress, self.egress_rule(call), group, message, fix))
            }
        }
    }

    fn egress_rule(&self, call: Call) -> &'static str {
        match (self.class, call.ports.0) {
            ("D2" | "D3", _) => "DBX-SGR-005",
            ("D4", _) => "DBX-SGR-006",
            ("D5" | "D6", 2443) => "DBX-SGR-008",
            ("D6", _) => "DBX-SGR-007",
            ("D16", _) => "DBX-SGR-010",
            ("D17", port) if port != 443 => "DBX-SGR-010",
            ("D18", _) => "DBX-SGR-012",
            ("D19", _) => "DBX-SGR-003",
            ("D21", _) => "DBX-SGR-022",
            _ => "DBX-SGR-004",
        }
    }

    /// Whether the groups of an endpoint admit the nodes.
    fn admitted(&mut self, call: Call, key: &Key, endpoint: &Endpoint) -> Passed {
        let Reach::Interface { groups, .. } = &endpoint.reach else { return Ok(()) };
        let subnet = self.site.prover.range(self.subnet);
        let prover = self.site.prover;
        match prover.groups.ingress(groups, &self.site.nodes.groups, subnet, call) {
            Said::Yes(group, peer) => {
                let what = format!("{call} into {key} from {} ({group})", shown(&peer));
                self.pass(Step::Ingress, &group, what);
                Ok(())
            }
            Said::Unclear(why) => {
                self.note(Step::Ingress, key, format!("`{key}`: {why}"));
                Ok(())
            }
            Said::No => {
                let group = groups.first().cloned().unwrap_or_default();
                let from = self.nodes_group();
                let lonely = prover.groups.only_members(groups, call);
                let (rule, message) = if lonely {
                    let message = format!(
                        "`{group}` of `{key}` admits only its own members, and nodes are none"
                    );
                    ("DBX-SGR-019", message)
                } else {
                    let message = format!("`{group}` of `{key}` does not admit `{from}` on {call}");
                    (self.ingress_rule(call), message)
                };
                let message = self.led(message);
                let fix = format!("allow {call} into `{group}` from `{from}`");
                Err(self.block(Step::Ingress, rule, group, message, fix))
            }
        }
    }

    fn ingress_rule(&self, call: Call) -> &'static str {
        match (self.class, call.ports.0) {
            ("D1", _) => "DBX-SGR-015",
            ("D2" | "D3" | "D4", _) => "DBX-SGR-016",
            ("D5" | "D6", 2443) => "DBX-SGR-018",
            ("D5" | "D6", _) => "DBX-SGR-017",
            _ => "DBX-SGR-014",
        }
    }

    /// Whether nodes admit nodes, on every port.
    pub(super) fn admits_itself(&mut self, subnets: &BTreeSet<&Key>) -> Passed {
        let nodes = &self.site.nodes.groups;
        let own = nodes.iter().cloned().collect();
        for call in EVERYTHING {
            for subnet in subnets {
                let range = self.site.prover.range(subnet);
                match self.site.prover.groups.ingress(&own, nodes, range, call) {
                    Said::Yes(group, peer) => {
                        let what = format!("{call} in from {} ({group})", shown(&peer));
                        self.pass(Step::Ingress, &group, what);
                    }
                    Said::Unclear(why) => self.note(Step::Ingress, &self.nodes_group(), why),
                    Said::No => {
                        let group = self.nodes_group();
                        let message = format!("`{group}` does not admit its own members on {call}");
                        let fix = format!("allow {call} into `{group}` from itself");
                        return Err(self.block(Step::Ingress, "DBX-SGR-002", group, message, fix));
                    }
                }
            }
        }
        Ok(())
    }

    // Network ACLs.

    /// Between two subnets of the nodes: both may begin, on every port. Nothing guards the way inside
    /// one.
    pub(super) fn acls_both_ways(&mut self, call: Call, other: &Key) -> Passed {
        if other == self.subnet {
            return Ok(());
        }
        let there = self.site.prover.range(other);
        let here = self.site.prover.range(self.subnet);
        self.acl("DBX-NET-015", self.subnet, true, call, there)?;
        self.acl("DBX-NET-016", self.subnet, false, call, there)?;
        self.acl("DBX-NET-017", other, false, call, here)?;
        self.acl("DBX-NET-017", other, true, call, here)
    }

    /// Out of the subnet of the nodes and back.
    fn out_of_subnet(&mut self, call: Call, peer: Option<Ipv4Net>) -> Passed {
        let subnet = self.subnet;
        self.acl("DBX-NET-015", subnet, true, call, peer)?;
        self.acl("DBX-NET-016", subnet, false, replies(call), peer)
    }

    /// Between the subnet of the nodes and another one.
    pub(super) fn between(&mut self, call: Call, other: &Key, range: Option<Ipv4Net>) -> Passed {
        self.out_of_subnet(call, range)?;
        self.into_subnet(call, other)
    }

    /// Into another subnet from the nodes, and back.
    pub(super) fn into_subnet(&mut self, call: Call, other: &Key) -> Passed {
        let nodes = self.site.prover.range(self.subnet);
        self.acl("DBX-NET-017", other, false, call, nodes)?;
        self.acl("DBX-NET-017", other, true, replies(call), nodes)
    }

    fn through_nat(&mut self, call: Call, subnet: &Key) -> Passed {
        let anywhere = Some(Ipv4Net::default());
        self.into_subnet(call, subnet)?;
        self.acl("DBX-NET-017", subnet, true, call, anywhere)?;
        self.acl("DBX-NET-017", subnet, false, replies(call), anywhere)
    }

    /// Into the guarded subnets that a range of the VPC touches.
    fn into_range(&mut self, call: Call, range: Ipv4Net) -> Passed {
        let prover = self.site.prover;
        let touched = prover.guarded().filter(|subnet| {
            *subnet != self.subnet
                && prover.subnet(subnet).is_some_and(|s| {
                    s.vpc == self.site.nodes.vpc
                        && (s.cidr.contains(&range) || range.contains(&s.cidr))
                })
        });
        let mut touched: Vec<_> = touched.map(str::to_owned).collect();
        touched.sort_unstable();
        touched.iter().try_for_each(|subnet| self.into_subnet(call, subnet))
    }

    pub(super) fn acl(
        &mut self,
        rule: &'static str,
        subnet: &Key,
        egress: bool,
        call: Call,
        peer: Option<Ipv4Net>,
    ) -> Passed {
        match self.site.prover.guard(subnet) {
            Guard::Nothing => Ok(()),
            Guard::Unread => {
                let why = format!("a network ACL that was not read may guard `{subnet}`");
                self.note(Step::Acl, subnet, why);
                Ok(())
            }
            Guard::Acl(key, entries) => {
                let (way, to) = if egress { ("out of", "to") } else { ("into", "from") };
                let unread = peer.is_none();
                let peer = peer.unwrap_or_default();
                if entries.allow(egress, call.protocol, peer, call.ports) {
                    let what = format!("{call} {way} {subnet} {to} {peer} ({key})");
                    self.pass(Step::Acl, key, what);
                    return Ok(());
                }
                if unread {
                    let why = format!("whether `{key}` lets {call} {way} `{subnet}` was not read");
                    self.note(Step::Acl, key, why);
                    return Ok(());
                }
                let message =
                    self.led(format!("`{key}` drops {call} {way} `{subnet}` {to} {peer}"));
                let fix = format!(
                    "add an entry to `{key}` that allows {call} {} {to} {peer} before any denial",
                    if egress { "out" } else { "in" }
                );
                Err(self.block(Step::Acl, rule, key.clone(), message, fix))
            }
        }
    }

    // Policies.

    /// Whether the policy of an endpoint lets through what is needed.
    pub(super) fn policy(
        &mut self,
        key: &Key,
        endpoint: &Endpoint,
        needs: &[Need],
        rule: &'static str,
    ) -> Passed {
        let Some(document) = &endpoint.policy else { return Ok(()) };
        match policy::judge(document, needs) {
            Judged::Allowed => {
                self.pass(Step::Policy, key, "its policy allows what nodes need".to_owned());
                Ok(())
            }
            Judged::Unclear(why) => {
                self.note(Step::Policy, key, why);
                Ok(())
            }
            Judged::Denied(what) => {
                let message = self.led(format!("the policy of `{key}` does not allow {what}"));
                let fix = format!("allow {what} in the policy of `{key}`, or give it none");
                Err(self.block(Step::Policy, rule, key.clone(), message, fix))
            }
        }
    }

    /// The policy of an endpoint of which nobody says what nodes need there.
    pub(super) fn any_policy(&mut self, key: &Key, endpoint: &Endpoint) {
        if endpoint.policy.as_ref().is_some_and(|p| !policy::allows_everything(p)) {
            let why = "what jobs need of its policy is not known".to_owned();
            self.note(Step::Policy, key, why);
        }
    }
}

/// Replies come back on these ports.
fn replies(call: Call) -> Call {
    Call { protocol: call.protocol, ports: EPHEMERAL }
}

/// A VPC as the spec calls it.
pub(super) fn place(vpc: &str) -> String {
    vpc.strip_prefix("aws.vpc/").map_or_else(|| vpc.to_owned(), |name| format!("vpcs.{name}"))
}

pub(super) fn shown(peer: &Peer) -> String {
    match peer {
        Peer::Cidr(cidr) => cidr.to_string(),
        Peer::Group(key) | Peer::PrefixList(key) => key.clone(),
    }
}

/// All ports of TCP and of UDP.
pub(super) const EVERYTHING: [Call; 2] = [
    Call { protocol: Protocol::Tcp, ports: (0, u16::MAX) },
    Call { protocol: Protocol::Udp, ports: (0, u16::MAX) },
];
