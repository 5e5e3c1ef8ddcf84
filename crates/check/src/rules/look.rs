//! What several rules look at.

use std::collections::{BTreeMap, BTreeSet};

use engine::{Address, Role};
use facts::regions;
use ipnet::Ipv4Net;

use super::{Broken, Case};
use crate::place;
use crate::proof::Verdict;
use crate::topology::{Reach, Subnet, Table, Target, Vpc};

impl Broken {
    /// A place in which a rule is broken, with the rule's own fix.
    pub(super) fn new(subject: &str, place: Vec<String>, message: String) -> Self {
        Broken { subject: subject.to_owned(), place, message, fix: None, symptom: None }
    }

    /// The same with a fix of its own.
    pub(super) fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }

    /// The same with what users would see.
    pub(super) fn symptom(mut self, symptom: impl Into<String>) -> Self {
        self.symptom = Some(symptom.into());
        self
    }
}

impl<'a> Case<'a> {
    /// The place in the spec that made an object what it is.
    pub(super) fn place(&self, key: &str) -> Vec<String> {
        place::of(self.spec, self.graph, key)
    }

    /// The place of a field of a VPC, given as the path below `vpcs.NAME`.
    pub(super) fn vpc_place(&self, vpc: &str, field: &[&str]) -> Vec<String> {
        let mut place = self.place(vpc);
        if !place.is_empty() {
            place.extend(field.iter().map(|part| (*part).to_owned()));
        }
        place
    }

    /// Where it is said which VPC is used, or that one is made.
    pub(super) fn vpc_itself(&self, vpc: &str) -> Vec<String> {
        if self.is_used(vpc) { self.vpc_place(vpc, &["use"]) } else { self.place(vpc) }
    }

    /// Where the range of a VPC is said.
    pub(super) fn range_place(&self, vpc: &str) -> Vec<String> {
        self.vpc_place(vpc, &[if self.is_used(vpc) { "use" } else { "cidr" }])
    }

    /// Where a subnet is said, down to its CIDR when the spec has it.
    pub(super) fn subnet_place(&self, key: &str, subnet: &Subnet) -> Vec<String> {
        let mut place = self.place(key);
        let part = |part: usize| place.get(part).map_or("", String::as_str);
        let cidrs = match (part(0), part(2)) {
            ("workspaces", "subnets") => {
                let workspace = self.spec.workspaces.get(part(1));
                workspace.and_then(|w| w.subnets.as_ref()).map(|s| &s.cidrs)
            }
            ("vpcs", field) => self.spec.vpcs.get(part(1)).and_then(|vpc| {
                let given = match field {
                    "public_subnets" => &vpc.public_subnets,
                    _ => &vpc.endpoint_subnets,
                };
                given.as_ref().map(|given| &given.cidrs)
            }),
            _ => None,
        };
        if cidrs.is_some_and(|cidrs| cidrs.contains_key(&subnet.zone)) {
            place.extend(["cidrs".to_owned(), subnet.zone.clone()]);
        }
        place
    }

    /// Where the security groups of the nodes of a workspace are said.
    pub(super) fn group_place(&self, workspace: &str) -> Vec<String> {
        let mut place = self.place(workspace);
        let wanted = self.spec.workspaces.get(workspace);
        if wanted.is_some_and(|wanted| wanted.security_group.is_some()) {
            place.push("security_group".to_owned());
        }
        place
    }

    fn role(&self, key: &str) -> Option<&'a Role> {
        Some(&self.graph.nodes.get(&Address::from(key.to_owned()))?.role)
    }

    /// Whether dbxctl only uses an object.
    pub(super) fn is_used(&self, key: &str) -> bool {
        matches!(self.role(key), Some(Role::Used { .. }))
    }

    /// Whether dbxctl makes an object.
    pub(super) fn is_made(&self, key: &str) -> bool {
        matches!(self.role(key), Some(Role::Managed { .. }))
    }

    /// What tells an object from all others: several parts of a spec may use the same one.
    pub(super) fn identity<'k>(&self, key: &'k str) -> &'k str
    where
        'a: 'k,
    {
        match self.role(key) {
            Some(Role::Used { id, .. }) => id,
            _ => key,
        }
    }

    pub(super) fn vpc(&self, key: &str) -> Option<&'a Vpc> {
        self.topology.vpcs.get(key)?.as_ref()
    }

    pub(super) fn subnet(&self, key: &str) -> Option<&'a Subnet> {
        self.topology.subnets.get(key)?.as_ref()
    }

    /// VPCs with nodes or endpoints in them, as far as they are known.
    pub(super) fn networks(&self) -> BTreeMap<&'a str, &'a Vpc> {
        let nodes = self.topology.workspaces.values().map(|nodes| nodes.vpc.as_str());
        let endpoints = self.topology.endpoints.values().flatten().map(|e| e.vpc.as_str());
        nodes.chain(endpoints).filter_map(|key| Some((key, self.vpc(key)?))).collect()
    }

    /// Whether all blocks of a VPC are known: of one that is used, only the first is read.
    pub(super) fn knows_blocks(&self, key: &str, vpc: &Vpc) -> bool {
        vpc.cidrs.len() > 1 || !self.is_used(key)
    }

    /// Subnets of nodes, each once, as far as they are known.
    pub(super) fn node_subnets(&self) -> BTreeMap<&'a str, &'a Subnet> {
        let keys = self.topology.workspaces.values().flat_map(|nodes| &nodes.subnets);
        keys.filter_map(|key| Some((key.as_str(), self.subnet(key)?))).collect()
    }

    /// How many interface endpoints lie in each subnet, by what tells subnets apart.
    pub(super) fn endpoints_by_subnet(&self) -> BTreeMap<&'a str, (&'a str, usize)> {
        let mut counts: BTreeMap<&str, (&str, usize)> = BTreeMap::new();
        for endpoint in self.topology.endpoints.values().flatten() {
            let Reach::Interface { subnets, .. } = &endpoint.reach else { continue };
            for key in subnets {
                counts.entry(self.identity(key)).or_insert((key, 0)).1 += 1;
            }
        }
        counts
    }

    /// The objects of the ways that the proof found blocked by a rule: what it said need not be said
    /// again.
    pub(super) fn told(&self, rule: &str) -> BTreeSet<&'a str> {
        let mut told = BTreeSet::new();
        for proof in self.proofs {
            let Verdict::Blocked { path, block } = &proof.verdict else { continue };
            if block.rule == rule {
                told.extend([proof.from.as_str(), block.at.as_str()]);
                told.extend(path.iter().map(|hop| hop.at.as_str()));
            }
        }
        told
    }

    /// Whether the region is one of GovCloud.
    pub(super) fn govcloud(&self) -> bool {
        regions::is_govcloud(&self.topology.region)
    }
}

/// Where the packets of a subnet go that no other route takes.
pub(super) enum DefaultRoute<'a> {
    /// Nowhere.
    None,
    /// By this table, to that target.
    To(&'a str, &'a Target),
    /// Its table was not read.
    Unknown,
}

/// The default route of a subnet.
pub(super) fn default_route<'a>(case: &Case<'a>, subnet: &'a Subnet) -> DefaultRoute<'a> {
    match case.topology.table(subnet) {
        Table::FreshMain => DefaultRoute::None,
        Table::Unread(_) | Table::Unknown => DefaultRoute::Unknown,
        Table::Known(key, table) => match table.routes.get(&anywhere()) {
            Some(target) => DefaultRoute::To(key, target),
            None if table.partial => DefaultRoute::Unknown,
            None => DefaultRoute::None,
        },
    }
}

/// Everywhere.
pub(super) fn anywhere() -> Ipv4Net {
    Ipv4Net::default()
}

/// Some names, the first few of them by name: `a`, `b` and 3 more.
pub(super) fn listed<'s>(names: impl IntoIterator<Item = &'s str>) -> String {
    const SHOWN: usize = 4;
    let quoted: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    let (last, first) = match quoted.len() {
        0 => return String::new(),
        1..=SHOWN => (quoted[quoted.len() - 1].clone(), &quoted[..quoted.len() - 1]),
        more => (format!("{} more", more - SHOWN), &quoted[..SHOWN]),
    };
    if first.is_empty() { last } else { format!("{} and {last}", first.join(", ")) }
}
