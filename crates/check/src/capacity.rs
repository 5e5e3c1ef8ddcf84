//! How many nodes fit, and how far networks can still grow.
//!
//! Judges one topology. What a plan changes is the difference between two: of what is there and of what
//! is asked for.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use facts::subnets as sizes;
use ipnet::Ipv4Net;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use spec::{Spec, Subnets};

use crate::topology::{Key, Reach, Subnet, Topology, Vpc};

/// Room for nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Capacity {
    /// Subnets in which nodes live.
    pub subnets: Vec<SubnetRoom>,
    pub workspaces: Vec<WorkspaceRoom>,
    /// Sets of subnets that cannot hold what their workspaces ask for together.
    pub shortages: Vec<Shortage>,
    pub vpcs: Vec<VpcRoom>,
    /// Subnets of one VPC that share addresses.
    pub overlaps: Vec<Overlap>,
}

/// Room for nodes in one subnet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SubnetRoom {
    pub subnet: Key,
    pub vpc: Key,
    pub zone: String,
    #[schemars(with = "String")]
    pub cidr: Ipv4Net,
    /// The workspaces whose nodes live in it.
    pub workspaces: Vec<String>,
    /// All its addresses.
    pub addresses: u32,
    /// Addresses that AWS keeps for itself.
    pub kept: u32,
    /// Addresses that endpoints and NAT gateways take.
    pub others: u32,
    /// The nodes it has room for, all workspaces together.
    pub nodes: u32,
    /// Whether everything that may lie in it is known: without it there is room for fewer.
    pub exact: bool,
    /// The nodes its workspaces ask for in it, as far as they say a number per zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked: Option<u32>,
}

impl SubnetRoom {
    /// Whether more is asked for than there is room.
    pub fn is_short(&self) -> bool {
        self.asked.is_some_and(|asked| asked > self.nodes)
    }
}

/// Room for the nodes of one workspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct WorkspaceRoom {
    pub workspace: String,
    /// Nodes by zone. A cluster lives in one zone, as far as is known: the largest of them bounds it.
    pub zones: BTreeMap<String, u32>,
    /// Nodes in all zones together; what other workspaces take of shared subnets is not taken off.
    pub nodes: u32,
    /// Whether every subnet of it has been read.
    pub exact: bool,
    /// The most nodes at one time that it asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak: Option<u32>,
    /// Whether nodes of other workspaces live in some of its subnets.
    pub shared: bool,
}

/// Room for the nodes of one workspace, now and after a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RoomChange {
    pub workspace: String,
    /// Nodes in all zones together.
    pub now: u32,
    pub then: u32,
}

impl Capacity {
    /// The workspaces that have room both now and then, and not the same.
    pub fn changes(&self, then: &Capacity) -> Vec<RoomChange> {
        let rooms = |capacity: &'_ Capacity| -> BTreeMap<String, u32> {
            capacity.workspaces.iter().map(|w| (w.workspace.clone(), w.nodes)).collect()
        };
        let then = rooms(then);
        let changed = rooms(self).into_iter().filter_map(|(workspace, now)| {
            let then = *then.get(&workspace).filter(|then| **then != now)?;
            Some(RoomChange { workspace, now, then })
        });
        changed.collect()
    }
}

/// Subnets that are too small for all workspaces in them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Shortage {
    pub workspaces: BTreeSet<String>,
    pub subnets: BTreeSet<Key>,
    pub nodes: u32,
    pub asked: u32,
    /// What would do, in one sentence.
    pub next: String,
}

/// How far one VPC can still grow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct VpcRoom {
    pub vpc: Key,
    #[schemars(with = "Vec<String>")]
    pub cidrs: Vec<Ipv4Net>,
    /// All its addresses.
    pub addresses: u64,
    /// Addresses in no known subnet.
    pub free: u64,
    /// The largest free blocks, the largest first.
    #[schemars(with = "Vec<String>")]
    pub blocks: Vec<Ipv4Net>,
    /// Whether all its subnets are known: those of others are not.
    pub exact: bool,
    /// The prefix length of the subnets of a further workspace of the default size.
    pub prefix: u8,
    /// Its zones.
    pub zones: u32,
    /// How many further workspaces of the default size fit.
    pub workspaces: u32,
    /// What to do when none fits, in one sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Two subnets of one VPC that share addresses.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
pub struct Overlap {
    pub vpc: Key,
    pub subnets: (Key, Key),
}

/// Blocks of a VPC that are shown.
const SHOWN_BLOCKS: usize = 8;
/// Subnets of a workspace lie in so many zones at least.
const FEWEST_ZONES: u32 = 2;
/// Ranges for private networks.
const PRIVATE: [Ipv4Net; 3] = [
    Ipv4Net::new_assert(Ipv4Addr::new(10, 0, 0, 0), 8),
    Ipv4Net::new_assert(Ipv4Addr::new(172, 16, 0, 0), 12),
    Ipv4Net::new_assert(Ipv4Addr::new(192, 168, 0, 0), 16),
];

/// How many nodes fit into what a spec asks for.
pub fn capacity(spec: &Spec, topology: &Topology) -> Capacity {
    let house = House::of(topology);
    let subnets: Vec<SubnetRoom> =
        house.tenants.keys().filter_map(|subnet| house.subnet(spec, subnet)).collect();
    let rooms: BTreeMap<&str, &SubnetRoom> =
        subnets.iter().map(|room| (room.subnet.as_str(), room)).collect();
    let mut workspaces = Vec::with_capacity(topology.workspaces.len());
    for name in topology.workspaces.keys() {
        workspaces.push(house.workspace(spec, name, &rooms));
    }
    let shortages = house.shortages(spec, &workspaces, &rooms);
    let vpcs = topology.vpcs.iter();
    let vpcs = vpcs.filter_map(|(key, vpc)| Some(house.vpc(spec, key, vpc.as_ref()?)));
    Capacity { vpcs: vpcs.collect(), overlaps: house.overlaps(), subnets, workspaces, shortages }
}

/// Who lives where.
struct House<'a> {
    topology: &'a Topology,
    /// Workspaces by subnet.
    tenants: BTreeMap<&'a str, Vec<&'a str>>,
    /// Addresses of endpoints and NAT gateways by subnet.
    others: BTreeMap<&'a str, u32>,
    /// Subnets that were read, by VPC, in the order of their first addresses, the larger first.
    subnets: BTreeMap<&'a str, Vec<(&'a str, &'a Subnet)>>,
    /// Whether some endpoint or NAT gateway has not been read: it may take an address anywhere.
    strangers: bool,
    /// Whether some subnet has not been read.
    unread: bool,
    /// Free blocks of each of the private networks, once somebody asks.
    elsewhere: OnceCell<[Vec<Ipv4Net>; 3]>,
}

impl<'a> House<'a> {
    fn of(topology: &'a Topology) -> Self {
        let mut house = House {
            topology,
            tenants: BTreeMap::new(),
            others: BTreeMap::new(),
            subnets: BTreeMap::new(),
            strangers: topology.endpoints.values().any(Option::is_none)
                || topology.nat_gateways.values().any(Option::is_none),
            unread: topology.subnets.values().any(Option::is_none),
            elsewhere: OnceCell::new(),
        };
        for (name, nodes) in &topology.workspaces {
            for subnet in &nodes.subnets {
                house.tenants.entry(subnet).or_default().push(name);
            }
        }
        for endpoint in topology.endpoints.values().flatten() {
            let Reach::Interface { subnets, .. } = &endpoint.reach else { continue };
            for subnet in subnets {
                *house.others.entry(subnet).or_default() += 1;
            }
        }
        for nat in topology.nat_gateways.values().flatten() {
            *house.others.entry(&nat.subnet).or_default() += 1;
        }
        for (key, subnet) in &topology.subnets {
            let Some(subnet) = subnet else { continue };
            house.subnets.entry(&subnet.vpc).or_default().push((key, subnet));
        }
        for subnets in house.subnets.values_mut() {
            subnets.sort_by_key(|(_, s)| (s.cidr.network(), s.cidr.prefix_len()));
        }
        house
    }

    fn subnet(&self, spec: &Spec, key: &str) -> Option<SubnetRoom> {
        let (key, subnet) = self.topology.subnets.get_key_value(key)?;
        let subnet = subnet.as_ref()?;
        let tenants = self.tenants.get(key.as_str())?;
        let others = self.others.get(key.as_str()).copied().unwrap_or(0);
        let addresses = u32::try_from(size(subnet.cidr.prefix_len())).unwrap_or(u32::MAX);
        let asked = tenants.iter().filter_map(|name| per_zone(spec, name));
        Some(SubnetRoom {
            subnet: key.clone(),
            vpc: subnet.vpc.clone(),
            zone: subnet.zone.clone(),
            cidr: subnet.cidr,
            workspaces: tenants.iter().map(|&name| name.to_owned()).collect(),
            addresses,
            kept: sizes::KEPT_BY_AWS,
            others,
            nodes: sizes::nodes_beside(subnet.cidr.prefix_len(), others),
            exact: !self.strangers,
            asked: asked.reduce(u32::saturating_add),
        })
    }

    fn workspace(
        &self,
        spec: &Spec,
        name: &str,
        rooms: &BTreeMap<&str, &SubnetRoom>,
    ) -> WorkspaceRoom {
        let keys = &self.topology.workspaces[name].subnets;
        let mut zones = BTreeMap::new();
        let (mut exact, mut shared) = (true, false);
        for key in keys {
            match rooms.get(key.as_str()) {
                Some(room) => {
                    *zones.entry(room.zone.clone()).or_default() += room.nodes;
                    exact &= room.exact;
                }
                None => exact = false,
            }
            shared |= self.tenants.get(key.as_str()).is_some_and(|tenants| tenants.len() > 1);
        }
        WorkspaceRoom {
            workspace: name.to_owned(),
            nodes: zones.values().sum(),
            zones,
            exact,
            peak: spec.workspaces.get(name).and_then(|w| w.uses.peak_nodes),
            shared,
        }
    }

    /// Workspaces that live in the same subnets must fit there together, so every set of subnets that one
    /// workspace has is filled with whoever has no others.
    fn shortages(
        &self,
        spec: &Spec,
        workspaces: &[WorkspaceRoom],
        rooms: &BTreeMap<&str, &SubnetRoom>,
    ) -> Vec<Shortage> {
        let mut seen = BTreeSet::new();
        let mut all = Vec::new();
        for workspace in workspaces {
            let keys = &self.topology.workspaces[&workspace.workspace].subnets;
            let set: BTreeSet<&str> = keys.iter().map(Key::as_str).collect();
            // Of an unread subnet nobody knows how much it holds.
            if !set.iter().all(|key| rooms.contains_key(key)) || !seen.insert(set.clone()) {
                continue;
            }
            let inside = |name: &str| {
                self.topology.workspaces[name].subnets.iter().all(|k| set.contains(k.as_str()))
            };
            let tenants: BTreeSet<&str> = set
                .iter()
                .filter_map(|key| self.tenants.get(key))
                .flatten()
                .copied()
                .filter(|name| inside(name))
                .collect();
            let peak = |name: &&str| spec.workspaces.get(*name)?.uses.peak_nodes;
            let asked = tenants.iter().filter_map(peak).fold(0, u32::saturating_add);
            let nodes = set.iter().map(|key| rooms[key].nodes).fold(0, u32::saturating_add);
            if asked > nodes {
                all.push(Shortage {
                    next: enlarge(asked, set.len()),
                    workspaces: tenants.into_iter().map(str::to_owned).collect(),
                    subnets: set.into_iter().map(str::to_owned).collect(),
                    nodes,
                    asked,
                });
            }
        }
        all
    }

    fn vpc(&self, spec: &Spec, key: &str, vpc: &Vpc) -> VpcRoom {
        let subnets = self.subnets.get(key).map_or(&[][..], Vec::as_slice);
        let mut blocks: Vec<Ipv4Net> = Vec::new();
        for cidr in &vpc.cidrs {
            free(*cidr, subnets.iter().map(|(_, subnet)| subnet.cidr), &mut blocks);
        }
        let zones = self.zones(spec, key, subnets);
        let prefix = sizes::prefix_for(Subnets::DEFAULT_NODES).unwrap_or(sizes::BIGGEST);
        let workspaces = fitting(vpc, &blocks, prefix, zones);
        let next = (workspaces == 0).then(|| self.next(vpc, &blocks, prefix, zones));
        let free = blocks.iter().map(|block| size(block.prefix_len())).sum();
        blocks.sort_by_key(|block| (block.prefix_len(), block.network()));
        blocks.truncate(SHOWN_BLOCKS);
        VpcRoom {
            vpc: key.to_owned(),
            cidrs: vpc.cidrs.clone(),
            addresses: vpc.cidrs.iter().map(|cidr| size(cidr.prefix_len())).sum(),
            free,
            blocks,
            exact: !self.unread && !used(spec, key),
            prefix,
            zones,
            workspaces,
            next,
        }
    }

    /// In how many zones a further workspace would live: those the spec gives the VPC, else those that
    /// nodes have.
    fn zones(&self, spec: &Spec, key: &str, subnets: &[(&str, &Subnet)]) -> u32 {
        let given = spec_vpc(spec, key).map_or(0, |vpc| vpc.zones.len());
        let lived = || {
            let lived = subnets.iter().filter(|(key, _)| self.tenants.contains_key(key));
            lived.map(|(_, subnet)| subnet.zone.as_str()).collect::<BTreeSet<_>>().len()
        };
        let zones = if given > 0 { given } else { lived() };
        u32::try_from(zones).unwrap_or(u32::MAX).max(FEWEST_ZONES)
    }

    /// What makes room for one more workspace.
    fn next(&self, vpc: &Vpc, blocks: &[Ipv4Net], prefix: u8, zones: u32) -> String {
        let needed = u64::from(zones) * size(prefix);
        let block = (0..=prefix).rev().find(|p| size(*p) >= needed).unwrap_or(0);
        let such = match self.elsewhere(vpc, block) {
            Some(range) => format!("such as {range}"),
            None => "from another private network".to_owned(),
        };
        let nodes = sizes::nodes(prefix);
        let mut next = format!(
            "no block of the VPC has {zones} free subnets of /{prefix} ({nodes} nodes each): add a \
             secondary block of /{block} or larger, {such}, or declare another VPC"
        );
        let smaller =
            (prefix + 1..=sizes::SMALLEST).find(|prefix| fitting(vpc, blocks, *prefix, zones) > 0);
        if let Some(prefix) = smaller {
            let nodes = sizes::nodes(prefix);
            next += &format!("; with `prefix: /{prefix}` ({nodes} nodes a zone) one more fits");
        }
        next
    }

    /// The first free range of that size after the VPC, in the same private network and in no VPC.
    fn elsewhere(&self, vpc: &Vpc, prefix: u8) -> Option<Ipv4Net> {
        let cidr = vpc.cidrs.first()?;
        let home = PRIVATE.iter().position(|net| net.contains(cidr))?;
        let blocks = &self.elsewhere.get_or_init(|| PRIVATE.map(|net| self.unused(net)))[home];
        let after = vpc.cidrs.iter().map(Ipv4Net::network).max()?;
        let later = blocks.partition_point(|block| block.network() <= after);
        let fits = |block: &&Ipv4Net| block.prefix_len() <= prefix;
        let block = blocks[later..].iter().find(fits).or_else(|| blocks.iter().find(fits))?;
        Ipv4Net::new(block.network(), prefix).ok()
    }

    /// What no VPC, no peer and no node uses of a private network.
    fn unused(&self, network: Ipv4Net) -> Vec<Ipv4Net> {
        let vpcs = self.topology.vpcs.values().flatten().flat_map(|vpc| &vpc.cidrs);
        let peers = self.topology.peerings.values().flatten().flat_map(|p| &p.peer_cidrs);
        let taken = vpcs.chain(peers).copied().chain(sizes::RESERVED);
        let mut taken: Vec<Ipv4Net> = taken.filter(|n| network.contains(n)).collect();
        taken.sort_unstable_by_key(Ipv4Net::network);
        let mut blocks = Vec::new();
        free(network, taken.into_iter(), &mut blocks);
        blocks
    }

    /// Blocks either hold one another or are apart, so those still open when the next one begins are the
    /// ones that hold it.
    fn overlaps(&self) -> Vec<Overlap> {
        let mut all = Vec::new();
        for (vpc, subnets) in &self.subnets {
            let mut open: Vec<(&str, &Subnet)> = Vec::new();
            for (key, subnet) in subnets {
                open.retain(|(_, before)| before.cidr.contains(&subnet.cidr));
                all.extend(open.iter().map(|(before, _)| Overlap {
                    vpc: (*vpc).to_owned(),
                    subnets: ((*before).to_owned(), (*key).to_owned()),
                }));
                open.push((key, subnet));
            }
        }
        all
    }
}

/// The nodes a workspace asks for in each zone.
fn per_zone(spec: &Spec, workspace: &str) -> Option<u32> {
    spec.workspaces.get(workspace)?.subnets.as_ref()?.nodes_per_zone
}

/// The VPC of the spec behind a key such as `aws.vpc/main`.
fn spec_vpc<'a>(spec: &'a Spec, key: &str) -> Option<&'a spec::Vpc> {
    spec.vpcs.get(key.strip_prefix("aws.vpc/")?)
}

/// Whether others make subnets in a VPC, too.
fn used(spec: &Spec, key: &str) -> bool {
    spec_vpc(spec, key).is_none_or(|vpc| vpc.existing.is_some())
}

/// How to make room for so many nodes in so many subnets.
fn enlarge(asked: u32, subnets: usize) -> String {
    let each = asked.div_ceil(u32::try_from(subnets.max(1)).unwrap_or(u32::MAX));
    match sizes::prefix_for(each) {
        Some(prefix) => format!("{asked} nodes need subnets of /{prefix} in {subnets} zones"),
        None => format!("{asked} nodes fit into no {subnets} subnets: split them over workspaces"),
    }
}

/// How many workspaces of that size fit. All subnets of one come from the same block of the VPC.
fn fitting(vpc: &Vpc, blocks: &[Ipv4Net], prefix: u8, zones: u32) -> u32 {
    let inside = |cidr: &Ipv4Net| -> u64 {
        let blocks = blocks.iter().filter(|b| b.prefix_len() <= prefix && cidr.contains(*b));
        blocks.map(|block| 1_u64 << (prefix - block.prefix_len())).sum()
    };
    let workspaces: u64 = vpc.cidrs.iter().map(|cidr| inside(cidr) / u64::from(zones)).sum();
    u32::try_from(workspaces).unwrap_or(u32::MAX)
}

/// Cuts what is free of a range into the largest aligned blocks. `taken` comes in the order of its first
/// addresses; what lies outside the range is left out.
fn free(range: Ipv4Net, taken: impl Iterator<Item = Ipv4Net>, blocks: &mut Vec<Ipv4Net>) {
    let mut next = start(&range);
    let end = next + size(range.prefix_len());
    for net in taken.filter(|net| sizes::overlap(&range, net)) {
        cut(next, start(&net), blocks);
        next = next.max(start(&net) + size(net.prefix_len()));
    }
    cut(next, end, blocks);
}

/// The fewest aligned blocks from one address to before another.
fn cut(mut next: u64, end: u64, blocks: &mut Vec<Ipv4Net>) {
    while next < end {
        let aligned = next.trailing_zeros().min(32);
        let fitting = (end - next).ilog2();
        let bits = u8::try_from(aligned.min(fitting)).unwrap_or(32);
        let Ok(first) = u32::try_from(next) else { return };
        let Ok(block) = Ipv4Net::new(Ipv4Addr::from(first), 32 - bits) else { return };
        blocks.push(block);
        next += 1 << bits;
    }
}

fn size(prefix: u8) -> u64 {
    1 << (32 - u64::from(prefix.min(32)))
}

fn start(net: &Ipv4Net) -> u64 {
    u64::from(u32::from(net.network()))
}
