//! Who lets a packet through: security groups, network ACLs, endpoint policies.

use std::collections::BTreeSet;

use ipnet::Ipv4Net;

use super::{EVERYTHING, Passed, Walk, shown};
use crate::proof::Step;
use crate::proof::acls::EPHEMERAL;
use crate::proof::groups::{Call, Said, To};
use crate::proof::index::Guard;
use crate::proof::policy::{self, Judged, Need};
use crate::topology::{Endpoint, Key, Reach};

impl Walk<'_, '_> {
    pub(in crate::proof) fn egress(&mut self, call: Call, to: To<'_>, whom: &str) -> Passed {
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
                    To::Member { range, groups } => match (groups.first(), range) {
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
    pub(super) fn admitted(&mut self, call: Call, key: &Key, endpoint: &Endpoint) -> Passed {
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
    pub(in crate::proof) fn admits_itself(
        &mut self,
        own: &BTreeSet<Key>,
        subnets: &BTreeSet<&Key>,
    ) -> Passed {
        let nodes = &self.site.nodes.groups;
        for call in EVERYTHING {
            for subnet in subnets {
                let range = self.site.prover.range(subnet);
                match self.site.prover.groups.ingress(own, nodes, range, call) {
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

    /// Between two subnets of the nodes: both may begin, on every port. Nothing guards the way inside
    /// one.
    pub(in crate::proof) fn acls_both_ways(&mut self, call: Call, other: &Key) -> Passed {
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
    pub(super) fn out_of_subnet(&mut self, call: Call, peer: Option<Ipv4Net>) -> Passed {
        let subnet = self.subnet;
        self.acl("DBX-NET-015", subnet, true, call, peer)?;
        self.acl("DBX-NET-016", subnet, false, replies(call), peer)
    }

    /// Between the subnet of the nodes and another one.
    pub(super) fn between(&mut self, call: Call, other: &Key, range: Option<Ipv4Net>) -> Passed {
        self.out_of_subnet(call, range)?;
        self.enters_subnet(call, other)
    }

    /// Into another subnet from the nodes, and back.
    fn enters_subnet(&mut self, call: Call, other: &Key) -> Passed {
        let nodes = self.site.prover.range(self.subnet);
        self.acl("DBX-NET-017", other, false, call, nodes)?;
        self.acl("DBX-NET-017", other, true, replies(call), nodes)
    }

    pub(super) fn through_nat(&mut self, call: Call, subnet: &Key) -> Passed {
        let anywhere = Some(Ipv4Net::default());
        self.enters_subnet(call, subnet)?;
        self.acl("DBX-NET-017", subnet, true, call, anywhere)?;
        self.acl("DBX-NET-017", subnet, false, replies(call), anywhere)
    }

    /// Into the guarded subnets that a range of the VPC touches.
    pub(super) fn enters_range(&mut self, call: Call, range: Ipv4Net) -> Passed {
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
        touched.iter().try_for_each(|subnet| self.enters_subnet(call, subnet))
    }

    fn acl(
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

    /// Whether the policy of an endpoint lets through what is needed.
    pub(in crate::proof) fn policy(
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
    pub(in crate::proof) fn any_policy(&mut self, key: &Key, endpoint: &Endpoint) {
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
