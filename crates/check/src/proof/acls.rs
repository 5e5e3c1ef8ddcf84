//! Network ACLs: the lowest number that fits decides, and replies are not remembered.

use ipnet::Ipv4Net;

use crate::topology::{AclEntry, NetworkAcl, Protocol};

/// Where replies go: nodes and endpoints answer to these ports.
pub(super) const EPHEMERAL: (u16, u16) = (1024, 65535);

/// The entries of one ACL in the order in which they are asked.
pub(super) struct Entries<'a> {
    out: Vec<&'a AclEntry>,
    into: Vec<&'a AclEntry>,
}

impl<'a> Entries<'a> {
    pub(super) fn of(acl: &'a NetworkAcl) -> Self {
        let side = |egress| {
            let mut entries: Vec<_> = acl.entries.iter().filter(|e| e.egress == egress).collect();
            // AWS has every number once; with two, a denial counts.
            entries.sort_by_key(|entry| (entry.number, entry.allow));
            entries
        };
        Entries { out: side(true), into: side(false) }
    }

    /// Whether every address of `peer` is allowed on every one of the ports.
    pub(super) fn allow(
        &self,
        egress: bool,
        protocol: Protocol,
        peer: Ipv4Net,
        ports: (u16, u16),
    ) -> bool {
        let entries = if egress { &self.out } else { &self.into };
        let fitting: Vec<_> = entries
            .iter()
            .copied()
            .filter(|entry| matches!(entry.protocol, Protocol::All) || entry.protocol == protocol)
            .collect();
        allowed(&fitting, peer.trunc(), ports)
    }
}

fn allowed(entries: &[&AclEntry], peer: Ipv4Net, ports: (u16, u16)) -> bool {
    let Some((entry, later)) = entries.split_first() else { return false };
    let asked = match entry.protocol {
        Protocol::All => (0, u16::MAX),
        _ => entry.ports,
    };
    let shared = (ports.0.max(asked.0), ports.1.min(asked.1));
    let cidr = entry.cidr.trunc();
    let met = cidr.contains(&peer) || peer.contains(&cidr);
    if !met || shared.0 > shared.1 {
        return allowed(later, peer, ports);
    }
    if !entry.allow {
        return false;
    }
    let below = (ports.0 < shared.0).then(|| (ports.0, shared.0 - 1));
    let above = (shared.1 < ports.1).then(|| (shared.1 + 1, ports.1));
    let inside = if cidr.contains(&peer) { peer } else { cidr };
    let ports_left = below.into_iter().chain(above).all(|rest| allowed(later, inside, rest));
    ports_left && without(peer, cidr).into_iter().all(|rest| allowed(later, rest, ports))
}

/// What is left of a range without a part of it.
fn without(range: Ipv4Net, part: Ipv4Net) -> Vec<Ipv4Net> {
    let mut left = Vec::new();
    let mut rest = range;
    while rest.prefix_len() < part.prefix_len() {
        let Ok(mut halves) = rest.subnets(rest.prefix_len() + 1) else { break };
        let (Some(low), Some(high)) = (halves.next(), halves.next()) else { break };
        let (within, beside) = if low.contains(&part) { (low, high) } else { (high, low) };
        left.push(beside);
        rest = within;
    }
    left
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn entry(number: u16, cidr: &str, ports: (u16, u16), allow: bool) -> AclEntry {
        let cidr = cidr.parse().expect("a range");
        AclEntry { number, egress: true, protocol: Protocol::Tcp, ports, cidr, allow }
    }

    fn ask(entries: Vec<AclEntry>, peer: &str, ports: (u16, u16)) -> bool {
        let acl = NetworkAcl { vpc: String::new(), subnets: BTreeSet::new(), entries };
        Entries::of(&acl).allow(true, Protocol::Tcp, peer.parse().expect("a range"), ports)
    }

    #[test]
    fn parts_add_up_and_a_lower_denial_counts() {
        let halves = || {
            vec![
                entry(100, "10.0.0.0/17", (0, 1023), true),
                entry(110, "10.0.128.0/17", (0, 65535), true),
                entry(120, "10.0.0.0/16", (1024, 65535), true),
            ]
        };
        assert!(ask(halves(), "10.0.0.0/16", (0, 65535)));
        assert!(!ask(halves(), "10.0.0.0/15", (443, 443)));
        let mut denied = halves();
        denied.push(entry(90, "10.0.3.3/32", (443, 443), false));
        assert!(!ask(denied.clone(), "10.0.0.0/16", (443, 443)));
        assert!(ask(denied.clone(), "10.0.0.0/16", (444, 444)));
        assert!(ask(denied, "10.0.4.0/24", (443, 443)));
        let late = vec![
            entry(10, "0.0.0.0/0", (0, 65535), true),
            entry(20, "0.0.0.0/0", (0, 65535), false),
        ];
        assert!(ask(late, "0.0.0.0/0", (443, 443)));
        assert!(!ask(Vec::new(), "10.0.0.0/16", (443, 443)));
    }
}
