//! Which way a packet leaves its subnet.

use ipnet::Ipv4Net;

use super::{Missing, Passed, Walk, Way};
use crate::proof::groups::private;
use crate::proof::index::Routes;
use crate::proof::{Block, Step};
use crate::topology::{Key, Target};

impl<'a> Walk<'a, '_> {
    fn routes(&mut self) -> Option<Routes<'a>> {
        match self.site.prover.routes(self.subnet) {
            Ok(routes) => Some(routes),
            Err(why) => {
                self.note(Step::Route, self.subnet, why);
                None
            }
        }
    }

    pub(super) fn default_route(&mut self, missing: &Missing) -> Passed<Way<'a>> {
        let Some(routes) = self.routes() else { return Ok(Way::Unseen) };
        let anywhere = Ipv4Net::default();
        match routes.routes.and_then(|routes| routes.get(&anywhere)) {
            Some(target) => self.follow(&routes, anywhere, target),
            None => self.no_route(&routes, "default route", missing),
        }
    }

    /// The most specific route that holds all of a range; the local one counts.
    pub(super) fn best_route(&mut self, range: Ipv4Net, missing: &Missing) -> Passed<Way<'a>> {
        let local = self.site.names.cidrs().iter().filter(|own| own.contains(&range));
        let local = local.map(Ipv4Net::prefix_len).max();
        let Some(routes) = self.routes() else {
            return Ok(Way::Unseen);
        };
        let all = || routes.routes.into_iter().flatten();
        let within = |net: &Ipv4Net| range.contains(net) && *net != range;
        let blocks = self.site.names.cidrs().iter().copied().filter(within);
        // Blocks of one VPC never overlap, so a range is as good as local if they fill it.
        let addresses = |net: &Ipv4Net| 1_u64 << (32 - net.prefix_len());
        let filled: u64 = blocks.map(|block| addresses(&block)).sum();
        let local = local.or_else(|| (filled == addresses(&range)).then_some(range.prefix_len()));
        let split = all().any(|(net, _)| within(net)) || (filled > 0 && local.is_none());
        if split {
            let why = format!("parts of {range} have routes of their own");
            self.note(Step::Route, routes.table.unwrap_or(self.subnet), why);
            return Ok(Way::Unseen);
        }
        let best =
            all().filter(|(net, _)| net.contains(&range)).max_by_key(|(net, _)| net.prefix_len());
        let unread = self.site.names.vpc().is_none();
        if unread && private(&range) && best.is_none_or(|(net, _)| net.prefix_len() == 0) {
            let vpc = &self.site.nodes.vpc;
            self.note(
                Step::Route,
                vpc,
                format!("whether {range} is a part of `{vpc}` was not read"),
            );
            return Ok(Way::Unseen);
        }
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
}
