//! One packet's way, step by step, as far as it can be seen.

use std::fmt::Write as _;

use facts::regions;
use ipnet::Ipv4Net;

use super::blocks;
use super::groups::{Call, To};
use super::index::Site;
use super::names::{By, Resolved};
use super::policy::Need;
use super::{Block, Hop, Proof, Step, Verdict, Via};
use crate::topology::{Endpoint, Key, Peer, Protocol, Reach};

mod filters;
mod routes;

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
            Way::Local => self.enters_range(call, range)?,
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
        let service = self.s3_service();
        self.gateway_or_public(&service, true, missing, |walk, key, endpoint| {
            walk.policy(key, endpoint, needs, rule)
        })
    }

    /// The same for a bucket whose name is not known.
    pub(super) fn unnamed_bucket(&mut self, missing: &Missing) -> Passed<Via> {
        let service = self.s3_service();
        self.gateway_or_public(&service, true, missing, |walk, key, endpoint| {
            walk.any_policy(key, endpoint);
            Ok(())
        })
    }

    fn s3_service(&self) -> String {
        regions::aws_service(&self.site.prover.topology.region, "s3")
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
