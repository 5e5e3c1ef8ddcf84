//! Where subnets lie when the spec does not say: a fixed layout, so that nothing ever moves because
//! a neighbour came or went.
//!
//! The top 512 addresses of a VPC serve others: a /27 for endpoints and a /28 for NAT gateways per
//! zone, at a place that only depends on the letter of the zone. The rest is cut into equal blocks,
//! each with room for one subnet per zone letter; which block a workspace gets depends on its name
//! and the size of the blocks, on nothing else. Two workspaces that get the same block are a mistake
//! that the spec's author resolves with `block` or `cidrs`: moving one of them would mean a new
//! network for running workspaces.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use spec::{Spec, Subnets, Vpc, Workspace};

/// Zone letters with a place of their own: `a` to `h`.
pub(crate) const LETTERS: u32 = 8;
/// Addresses at the top of a VPC that serve others.
const SERVICE: u64 = 512;
const ENDPOINTS: u8 = 27;
const PUBLIC: u8 = 28;

/// What a subnet is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Purpose {
    Public,
    Endpoints,
}

/// Why a subnet has no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub(crate) enum NoPlace {
    #[error("the range of the VPC is not known")]
    NoRange,
    #[error("zones with a letter beyond `h` have no place of their own")]
    Letter,
    #[error("the VPC is too small")]
    TooSmall,
    #[error("there is no block of that number")]
    NoBlock,
    #[error("no workspace subnet has room for so many nodes")]
    TooManyNodes,
}

/// The place of a zone: 0 for `…a`. `None` beyond `h`, and for local zones.
pub(crate) fn letter(zone: &str) -> Option<u32> {
    let last = zone.chars().next_back()?;
    let index = u32::from(last).checked_sub(u32::from('a'))?;
    (index < LETTERS).then_some(index)
}

/// The subnet of a zone that serves others.
pub(crate) fn service(vpc: &Vpc, purpose: Purpose, zone: &str) -> Result<Ipv4Net, NoPlace> {
    let given = match purpose {
        Purpose::Public => &vpc.public_subnets,
        Purpose::Endpoints => &vpc.endpoint_subnets,
    };
    if let Some(cidr) = given.as_ref().and_then(|g| g.cidrs.get(zone)) {
        return Ok(cidr.trunc());
    }
    let range = vpc.range().ok_or(NoPlace::NoRange)?.trunc();
    let index = u64::from(letter(zone).ok_or(NoPlace::Letter)?);
    let end = first(&range) + size(range.prefix_len());
    if size(range.prefix_len()) <= SERVICE {
        return Err(NoPlace::TooSmall);
    }
    let (start, prefix) = match purpose {
        Purpose::Endpoints => (end - 256 + index * size(ENDPOINTS), ENDPOINTS),
        Purpose::Public => (end - 384 + index * size(PUBLIC), PUBLIC),
    };
    net(start, prefix)
}

/// The subnets of a workspace by zone, when they are made for it.
pub(crate) fn nodes(
    spec: &Spec,
    name: &str,
    workspace: &Workspace,
) -> Result<BTreeMap<String, Ipv4Net>, NoPlace> {
    let Some(vpc) = spec.vpc_of(workspace) else { return Ok(BTreeMap::new()) };
    let default = Subnets::default();
    let subnets = workspace.subnets.as_ref().unwrap_or(&default);
    if !subnets.existing.is_empty() || subnets.share.is_some() {
        return Ok(BTreeMap::new());
    }
    if !subnets.cidrs.is_empty() {
        return Ok(subnets.cidrs.iter().map(|(zone, c)| (zone.clone(), c.trunc())).collect());
    }
    place(vpc, spec::first_name(&spec.moved.workspaces, name), subnets)
}

/// The subnets of a block, by zone. A workspace keeps the block of its first name.
pub(crate) fn place(
    vpc: &Vpc,
    first_name: &str,
    subnets: &Subnets,
) -> Result<BTreeMap<String, Ipv4Net>, NoPlace> {
    let prefix = prefix(subnets).ok_or(NoPlace::TooManyNodes)?;
    let zones = zones(vpc, subnets);
    let blocks = blocks(vpc, prefix, &zones)?;
    let block = match subnets.block {
        Some(block) if u64::from(block) < blocks.count => u64::from(block),
        Some(_) => return Err(NoPlace::NoBlock),
        None => slot(first_name, blocks.count),
    };
    let mut places = BTreeMap::new();
    for zone in zones {
        let index = u64::from(letter(&zone).ok_or(NoPlace::Letter)?);
        let start = blocks.start + (block * blocks.letters + index) * size(prefix);
        places.insert(zone, net(start, prefix)?);
    }
    Ok(places)
}

/// The prefix length of each subnet of a workspace; `None` when so many nodes fit nowhere.
pub(crate) fn prefix(subnets: &Subnets) -> Option<u8> {
    let nodes = subnets.nodes_per_zone.unwrap_or(Subnets::DEFAULT_NODES);
    subnets.prefix_length().or_else(|| facts::subnets::prefix_for(nodes))
}

/// The zones a workspace uses.
pub(crate) fn zones(vpc: &Vpc, subnets: &Subnets) -> Vec<String> {
    if subnets.zones.is_empty() {
        vpc.zones.clone()
    } else {
        subnets.zones.iter().cloned().collect()
    }
}

/// How many blocks a VPC has for workspaces of that size.
pub(crate) fn block_count(vpc: &Vpc, subnets: &Subnets) -> Result<u64, NoPlace> {
    let prefix = prefix(subnets).ok_or(NoPlace::TooManyNodes)?;
    Ok(blocks(vpc, prefix, &zones(vpc, subnets))?.count)
}

struct Blocks {
    start: u64,
    count: u64,
    /// Subnets in one block.
    letters: u64,
}

fn blocks(vpc: &Vpc, prefix: u8, zones: &[String]) -> Result<Blocks, NoPlace> {
    let range = vpc.range().ok_or(NoPlace::NoRange)?.trunc();
    let mut letters = 4;
    for zone in zones {
        if letter(zone).ok_or(NoPlace::Letter)? >= 4 {
            letters = 8;
        }
    }
    let room = size(range.prefix_len()).saturating_sub(SERVICE);
    let count = room / (size(prefix) * letters);
    if count == 0 {
        return Err(NoPlace::TooSmall);
    }
    Ok(Blocks { start: first(&range), count, letters })
}

/// The block of a workspace: a number at the end of the name counts on from the hash of the rest, so
/// that `wk1`, `wk2`, `wk3` never meet.
fn slot(name: &str, count: u64) -> u64 {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    // Nine digits are enough, and fit.
    let digits = &name[stem.len()..];
    let number: u64 = digits[digits.len().saturating_sub(9)..].parse().unwrap_or(0);
    (hash(stem) % count + number) % count
}

/// FNV-1a: small, and the same for ever, which the standard library's hasher does not promise.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn size(prefix: u8) -> u64 {
    1 << (32 - u64::from(prefix.min(32)))
}

fn first(net: &Ipv4Net) -> u64 {
    u64::from(u32::from(net.network()))
}

fn net(start: u64, prefix: u8) -> Result<Ipv4Net, NoPlace> {
    let start = u32::try_from(start).map_err(|_| NoPlace::TooSmall)?;
    Ipv4Net::new(Ipv4Addr::from(start), prefix).map(|n| n.trunc()).map_err(|_| NoPlace::TooSmall)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbered_names_never_meet() {
        for count in 1..40 {
            let slots: std::collections::BTreeSet<_> =
                (1..=count).map(|n| slot(&format!("wk{n}"), count)).collect();
            assert_eq!(slots.len() as u64, count);
        }
    }

    #[test]
    fn letters_of_zones() {
        let table = [
            ("ap-northeast-1a", Some(0)),
            ("us-east-1f", Some(5)),
            ("us-east-1", None),
            ("", None),
        ];
        for (zone, expected) in table {
            assert_eq!(letter(zone), expected, "{zone}");
        }
    }
}
