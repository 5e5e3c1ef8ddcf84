//! Security groups: what nodes may call, and whom endpoints admit.

use std::collections::{BTreeSet, HashMap};

use ipnet::Ipv4Net;

use crate::topology::{Key, Peer, Protocol, Rule, SecurityGroup};

/// What nodes call: a protocol and a range of ports, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) protocol: Protocol,
    pub(super) ports: (u16, u16),
}

impl Call {
    pub(super) const fn tcp(port: u16) -> Call {
        Call { protocol: Protocol::Tcp, ports: (port, port) }
    }

    /// The call in the parts that rules tell apart.
    fn parts<'s>(self, sides: impl Iterator<Item = &'s Side<'s>>) -> Vec<Call> {
        let (from, to) = self.ports;
        let mut starts = BTreeSet::from([from]);
        if from < to {
            for rule in sides.flat_map(Side::rules) {
                let after = rule.ports.1.saturating_add(1);
                starts.extend([rule.ports.0, after].into_iter().filter(|p| from < *p && *p <= to));
            }
        }
        let ends = starts.iter().skip(1).map(|start| start - 1).chain([to]);
        let part = |(from, to): (&u16, u16)| Call { ports: (*from, to), ..self };
        starts.iter().zip(ends).map(part).collect()
    }

    fn fits(self, rule: &Rule) -> bool {
        let within = rule.ports.0 <= self.ports.0 && self.ports.1 <= rule.ports.1;
        rule.protocol == Protocol::All || (rule.protocol == self.protocol && within)
    }
}

impl std::fmt::Display for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let protocol = if self.protocol == Protocol::Udp { "UDP" } else { "TCP" };
        match self.ports {
            (from, to) if from == to => write!(f, "{protocol} {from}"),
            (from, to) => write!(f, "{protocol} {from}-{to}"),
        }
    }
}

/// Whom a packet is for, as far as security groups tell destinations apart.
#[derive(Debug, Clone, Copy)]
pub(super) enum To<'a> {
    /// Some public address; of S3 in the region of the VPC or not.
    Public { s3: bool },
    /// Somebody with known groups, in a range that may not have been read.
    Member { range: Option<Ipv4Net>, groups: &'a BTreeSet<Key> },
    /// All of a range.
    Range(Ipv4Net),
}

/// What security groups say to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    /// That group lets it through, because of this peer.
    Yes(Key, Peer),
    No,
    Unclear(String),
}

/// Rules by peer: a group of endpoints has some for every workspace of its VPC.
#[derive(Default)]
struct Side<'a> {
    by_group: HashMap<&'a str, Vec<&'a Rule>>,
    by_range: Vec<&'a Rule>,
}

impl<'a> Side<'a> {
    fn of(rules: &'a [Rule]) -> Self {
        let mut side = Side::default();
        for rule in rules {
            match &rule.peer {
                Peer::Group(group) => side.by_group.entry(group).or_default().push(rule),
                Peer::Cidr(_) | Peer::PrefixList(_) => side.by_range.push(rule),
            }
        }
        side
    }

    fn rules(&self) -> impl Iterator<Item = &'a Rule> {
        self.by_group.values().flatten().chain(&self.by_range).copied()
    }

    fn member<'k>(
        &self,
        groups: impl IntoIterator<Item = &'k Key>,
        call: Call,
    ) -> Option<&'a Rule> {
        let rules = |group: &Key| self.by_group.get(group.as_str()).into_iter().flatten();
        groups.into_iter().find_map(|g| rules(g).find(|rule| call.fits(rule)).copied())
    }

    fn ranges(&self, call: Call) -> impl Iterator<Item = &'a Rule> {
        self.by_range.iter().copied().filter(move |rule| call.fits(rule))
    }
}

/// The rules of one group, both ways.
pub(super) struct Table<'a> {
    ingress: Side<'a>,
    egress: Side<'a>,
}

/// The groups of a topology; what was not read is not in it.
pub(super) struct Groups<'a>(HashMap<&'a str, Table<'a>>);

impl<'a> Groups<'a> {
    pub(super) fn of(groups: &'a crate::topology::Objects<SecurityGroup>) -> Self {
        let read = groups.iter().filter_map(|(key, group)| {
            let rules = group.as_ref()?.rules.as_ref()?;
            let table =
                Table { ingress: Side::of(&rules.ingress), egress: Side::of(&rules.egress) };
            Some((key.as_str(), table))
        });
        Groups(read.collect())
    }

    /// Whether the groups of the nodes let a call out. Several rules may share its ports.
    pub(super) fn egress(&self, nodes: &[Key], vpc: &[Ipv4Net], call: Call, to: To<'_>) -> Said {
        let sides = nodes.iter().filter_map(|key| Some(&self.0.get(key.as_str())?.egress));
        in_parts(call, sides, |part| self.egress_at_once(nodes, vpc, part, to))
    }

    fn egress_at_once(&self, nodes: &[Key], vpc: &[Ipv4Net], call: Call, to: To<'_>) -> Said {
        let mut unclear = None;
        for key in nodes {
            let Some(table) = self.0.get(key.as_str()) else {
                unclear.get_or_insert_with(|| unread(key));
                continue;
            };
            if let To::Member { groups, .. } = to
                && let Some(rule) = table.egress.member(groups, call)
            {
                return Said::Yes(key.clone(), rule.peer.clone());
            }
            for rule in table.egress.ranges(call) {
                match leaves(&rule.peer, vpc, to) {
                    Said::No => {}
                    Said::Unclear(why) => unclear = Some(why),
                    yes @ Said::Yes(..) => return with_key(yes, key),
                }
            }
            let strangers = |(group, rules): (&&str, &Vec<&Rule>)| {
                let own = nodes.iter().any(|n| n == group);
                (!own && rules.iter().any(|rule| call.fits(rule))).then(|| (*group).to_owned())
            };
            if let To::Range(range) = to
                && let Some(group) = table.egress.by_group.iter().filter_map(strangers).min()
            {
                unclear = Some(format!(
                    "`{key}` lets {call} out to members of `{group}` only, and whether {range} has \
                     some is not known"
                ));
            }
        }
        unclear.map_or(Said::No, Said::Unclear)
    }

    /// Whether the groups of an endpoint admit a call of nodes in that subnet. Several rules may share its
    /// ports.
    pub(super) fn ingress(
        &self,
        endpoint: &BTreeSet<Key>,
        nodes: &[Key],
        subnet: Option<Ipv4Net>,
        call: Call,
    ) -> Said {
        let sides = endpoint.iter().filter_map(|key| Some(&self.0.get(key.as_str())?.ingress));
        in_parts(call, sides, |part| self.ingress_at_once(endpoint, nodes, subnet, part))
    }

    fn ingress_at_once(
        &self,
        endpoint: &BTreeSet<Key>,
        nodes: &[Key],
        subnet: Option<Ipv4Net>,
        call: Call,
    ) -> Said {
        if endpoint.is_empty() {
            return Said::Unclear("it carries the default group of its VPC".to_owned());
        }
        let mut unclear = None;
        for key in endpoint {
            let Some(table) = self.0.get(key.as_str()) else {
                unclear.get_or_insert_with(|| unread(key));
                continue;
            };
            if let Some(rule) = table.ingress.member(nodes, call) {
                return Said::Yes(key.clone(), rule.peer.clone());
            }
            for rule in table.ingress.ranges(call) {
                let Peer::Cidr(cidr) = &rule.peer else { continue };
                match subnet {
                    Some(subnet) if cidr.contains(&subnet) => {
                        return Said::Yes(key.clone(), rule.peer.clone());
                    }
                    None if cidr.prefix_len() == 0 => {
                        return Said::Yes(key.clone(), rule.peer.clone());
                    }
                    None => unclear = Some("the subnet of the nodes was not read".to_owned()),
                    Some(_) => {}
                }
            }
        }
        unclear.map_or(Said::No, Said::Unclear)
    }

    /// Whether these groups admit nobody but their own members, who may call this.
    pub(super) fn only_members(&self, groups: &BTreeSet<Key>, call: Call) -> bool {
        let tables = || groups.iter().filter_map(|key| self.0.get(key.as_str()));
        let closed = tables().all(|table| {
            let side = &table.ingress;
            side.by_range.is_empty() && side.by_group.keys().all(|g| groups.contains(*g))
        });
        closed && tables().any(|table| table.ingress.member(groups, call).is_some())
    }

    /// Whether these groups admit somebody by address: users, who carry no group of ours.
    pub(super) fn admit_somebody(&self, groups: &BTreeSet<Key>, call: Call) -> Said {
        if groups.is_empty() {
            return Said::Unclear("it carries the default group of its VPC".to_owned());
        }
        let mut unclear = None;
        for key in groups {
            match self.0.get(key.as_str()) {
                None => unclear = Some(unread(key)),
                Some(table) => {
                    if let Some(rule) = table.ingress.ranges(call).next() {
                        return Said::Yes(key.clone(), rule.peer.clone());
                    }
                }
            }
        }
        unclear.map_or(Said::No, Said::Unclear)
    }
}

/// What is said to a call; where no rule has all of its ports, to every part of them.
fn in_parts<'s>(
    call: Call,
    sides: impl Iterator<Item = &'s Side<'s>>,
    ask: impl Fn(Call) -> Said,
) -> Said {
    let whole = ask(call);
    if matches!(whole, Said::Yes(..)) {
        return whole;
    }
    let parts = call.parts(sides);
    if parts.len() < 2 {
        return whole;
    }
    let (mut yes, mut unclear) = (None, None);
    for part in parts {
        match ask(part) {
            Said::No => return Said::No,
            said @ Said::Unclear(_) => unclear = unclear.or(Some(said)),
            said @ Said::Yes(..) => yes = yes.or(Some(said)),
        }
    }
    unclear.or(yes).unwrap_or(whole)
}

fn with_key(said: Said, key: &Key) -> Said {
    match said {
        Said::Yes(_, peer) => Said::Yes(key.clone(), peer),
        other => other,
    }
}

fn unread(group: &str) -> String {
    format!("the rules of `{group}` were not read")
}

/// What one rule for a range says to a destination; the key of a yes is for the caller to fill in.
fn leaves(peer: &Peer, vpc: &[Ipv4Net], to: To<'_>) -> Said {
    let yes = || Said::Yes(Key::new(), peer.clone());
    let cidr = match peer {
        Peer::Cidr(cidr) => cidr,
        Peer::PrefixList(_) if matches!(to, To::Public { s3: true }) => return yes(),
        Peer::PrefixList(_) | Peer::Group(_) => return Said::No,
    };
    if cidr.prefix_len() == 0 {
        return yes();
    }
    match to {
        To::Public { .. } if private(cidr) || vpc.iter().any(|own| own.contains(cidr)) => Said::No,
        To::Public { .. } => Said::Unclear(format!("only some public addresses: {cidr}")),
        To::Member { range: Some(range), .. } | To::Range(range) => {
            if cidr.contains(&range) {
                yes()
            } else if range.contains(cidr) {
                Said::Unclear(format!("only some addresses of {range}: {cidr}"))
            } else {
                Said::No
            }
        }
        To::Member { range: None, .. } => {
            Said::Unclear("the subnet of the endpoint was not read".to_owned())
        }
    }
}

/// Whether no address of a range is public.
pub(super) fn private(range: &Ipv4Net) -> bool {
    use std::net::Ipv4Addr;
    const PRIVATE: [Ipv4Net; 6] = [
        Ipv4Net::new_assert(Ipv4Addr::new(10, 0, 0, 0), 8),
        Ipv4Net::new_assert(Ipv4Addr::new(172, 16, 0, 0), 12),
        Ipv4Net::new_assert(Ipv4Addr::new(192, 168, 0, 0), 16),
        Ipv4Net::new_assert(Ipv4Addr::new(100, 64, 0, 0), 10),
        Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8),
        Ipv4Net::new_assert(Ipv4Addr::new(169, 254, 0, 0), 16),
    ];
    PRIVATE.iter().any(|block| block.contains(range))
}
