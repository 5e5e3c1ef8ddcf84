//! From topology, proofs and plan to what is drawn.

use std::collections::{BTreeMap, BTreeSet};

use check::Report;
use check::proof::{Hop, Proof, Verdict, Via};
use check::topology::{Endpoint, Key, Objects, Reach, Target, Topology};
use engine::{Action, Plan};
use spec::Spec;

use crate::model::{
    Door, DoorKind, Group, Mark, Picture, Place, Subnet, Tally, Vpc, Way, Workspace,
};

/// What a plan does, and to what.
#[derive(Debug, Clone, Copy)]
pub struct Change<'a> {
    pub plan: &'a Plan,
    /// What there is before it: what is removed comes from here.
    pub before: &'a Topology,
}

impl Picture {
    /// The picture of a spec, or of what a plan does on the way there.
    pub fn of(
        spec: &Spec,
        topology: &Topology,
        report: &Report,
        change: Option<Change<'_>>,
    ) -> Picture {
        let marks = change.map(|change| Marks::of(change.plan)).unwrap_or_default();
        let mut topology = topology.clone();
        if let Some(change) = change {
            marks.keep(change.before, &mut topology);
        }
        let reader = Reader { topology: &topology, report, marks: &marks };
        let vpcs: Vec<Vpc> = reader.vpc_keys().iter().map(|key| reader.vpc(key)).collect();
        let mut reached = reached(&vpcs);
        reader.peers(&mut reached);
        let managed = spec.workspaces.keys().chain(&marks.removed_workspaces);
        let managed: BTreeSet<&String> =
            managed.filter(|name| !topology.workspaces.contains_key(*name)).collect();
        Picture {
            stack: spec.name.clone(),
            region: spec.region.clone(),
            managed: managed.into_iter().map(|name| reader.workspace(name)).collect(),
            reached,
            tally: tally(report),
            vpcs,
            changes: change.map(|change| change.plan.summary()),
            marked: marks.own.clone(),
        }
    }
}

fn tally(report: &Report) -> Tally {
    let mut tally = Tally::default();
    for proof in &report.proofs {
        match proof.verdict {
            Verdict::Proven { .. } => tally.proven += 1,
            Verdict::Blocked { .. } => tally.blocked += 1,
            Verdict::Unknown { .. } => tally.unknown += 1,
            Verdict::NotRequired { .. } => {}
        }
    }
    tally
}

/// What the places outside are reached for, in the order of the classes.
fn reached(vpcs: &[Vpc]) -> BTreeMap<Place, Vec<String>> {
    let mut all: BTreeMap<Place, Vec<(usize, String)>> = BTreeMap::new();
    for vpc in vpcs {
        for way in vpc.workspaces.iter().flat_map(|workspace| &workspace.ways) {
            let door = vpc.doors.iter().find(|door| Some(&door.key) == way.door.as_ref());
            let Some(door) = door.filter(|_| !way.is_of_users()) else { continue };
            let names = all.entry(door.to.clone()).or_default();
            if names.iter().all(|(_, name)| *name != way.to) {
                names.push((number(way.class), way.to.clone()));
            }
        }
    }
    let ordered = |(place, mut names): (Place, Vec<(usize, String)>)| {
        names.sort();
        (place, names.into_iter().map(|(_, name)| name).collect())
    };
    all.into_iter().map(ordered).collect()
}

/// The order of `D2` and `D10`, with users last.
fn number(class: &str) -> usize {
    let digits = class.trim_start_matches(|c: char| !c.is_ascii_digit());
    digits.parse().unwrap_or(0) + if class.starts_with('U') { 1000 } else { 0 }
}

/// What a plan does to each object.
#[derive(Debug, Default)]
struct Marks {
    own: BTreeMap<Key, Mark>,
    /// Groups of resources in which something happens.
    touched: BTreeSet<engine::Group>,
    removed_workspaces: BTreeSet<String>,
}

/// Kinds that are drawn by themselves, so that a VPC does not change because they do.
const DRAWN: [&str; 9] = [
    "aws.internet_gateway",
    "aws.nat_gateway",
    "aws.security_group",
    "aws.security_group_rules",
    "aws.subnet",
    "aws.vpc_endpoint",
    "aws.vpc_peering",
    "databricks.vpc_endpoint",
    "aws.route",
];

impl Marks {
    fn of(plan: &Plan) -> Marks {
        let mut marks = Marks::default();
        for step in &plan.steps {
            let mark = match step.action {
                Action::Create => Mark::Added,
                Action::Replace => Mark::Replaced,
                Action::Adopt | Action::Update | Action::Finish => Mark::Changed,
                // The other half of it says so.
                Action::Delete if step.replacing => continue,
                Action::Delete => Mark::Removed,
            };
            marks.own.insert(step.address.to_string(), mark);
            if mark == Mark::Removed && step.address.kind() == "databricks.workspace" {
                marks.removed_workspaces.insert(step.address.name().to_owned());
            }
            let drawn = DRAWN.contains(&step.address.kind());
            if !(drawn && matches!(step.group, engine::Group::Shared(_))) {
                marks.touched.insert(step.group.clone());
            }
        }
        marks
    }

    /// Puts what will be removed back into the topology that is asked for.
    fn keep(&self, before: &Topology, topology: &mut Topology) {
        fn add<T: Clone>(marks: &Marks, from: &Objects<T>, to: &mut Objects<T>) {
            for (key, object) in from {
                if marks.of_key(key) == Mark::Removed {
                    to.entry(key.clone()).or_insert_with(|| object.clone());
                }
            }
        }
        add(self, &before.vpcs, &mut topology.vpcs);
        add(self, &before.subnets, &mut topology.subnets);
        add(self, &before.route_tables, &mut topology.route_tables);
        add(self, &before.internet_gateways, &mut topology.internet_gateways);
        add(self, &before.nat_gateways, &mut topology.nat_gateways);
        add(self, &before.peerings, &mut topology.peerings);
        add(self, &before.groups, &mut topology.groups);
        add(self, &before.endpoints, &mut topology.endpoints);
        for (key, connection) in &before.registrations {
            topology.registrations.entry(key.clone()).or_insert_with(|| connection.clone());
        }
        for (name, nodes) in &before.workspaces {
            if self.removed_workspaces.contains(name) {
                topology.workspaces.entry(name.clone()).or_insert_with(|| nodes.clone());
            } else if let Some(now) = topology.workspaces.get_mut(name) {
                let gone = |keys: &[Key], now: &[Key]| -> Vec<Key> {
                    let gone = keys.iter().filter(|k| self.of_key(k) == Mark::Removed);
                    gone.filter(|key| !now.contains(key)).cloned().collect()
                };
                now.subnets.extend(gone(&nodes.subnets, &now.subnets));
                now.groups.extend(gone(&nodes.groups, &now.groups));
            }
        }
    }

    fn of_key(&self, key: &str) -> Mark {
        self.own.get(key).copied().unwrap_or_default()
    }

    /// That of an object, or `Changed` when only something that belongs to it changes.
    fn of_whole(&self, key: &str, group: &engine::Group) -> Mark {
        match self.of_key(key) {
            Mark::None if self.touched.contains(group) => Mark::Changed,
            mark => mark,
        }
    }

    fn of_group(&self, key: &str) -> Mark {
        let rules = key.replacen("aws.security_group/", "aws.security_group_rules/", 1);
        match self.of_key(key) {
            Mark::None if self.own.contains_key(&rules) => Mark::Changed,
            mark => mark,
        }
    }
}

struct Reader<'a> {
    topology: &'a Topology,
    report: &'a Report,
    marks: &'a Marks,
}

/// The name of an object: what stands behind the slash of its address.
fn name(key: &str) -> &str {
    key.split_once('/').map_or(key, |(_, name)| name)
}

/// The name of an object without that of the VPC it belongs to.
fn within<'a>(key: &'a str, vpc: &str) -> &'a str {
    let name = name(key);
    name.strip_prefix(vpc).and_then(|rest| rest.strip_prefix('.')).unwrap_or(name)
}

impl Reader<'_> {
    /// All VPCs, also those that only exist as the home of something, but not those that are only the
    /// other end of a peering.
    fn vpc_keys(&self) -> BTreeSet<Key> {
        let homes = self.topology.workspaces.values().map(|nodes| nodes.vpc.clone());
        let vpcs = self.topology.vpcs.keys().filter(|key| !self.is_peer(key));
        vpcs.cloned().chain(homes).collect()
    }

    /// Whether a VPC is at the other end of a peering, with nothing in it that is drawn.
    fn is_peer(&self, vpc: &str) -> bool {
        let mut peerings = self.topology.peerings.values().flatten();
        let mut subnets = self.topology.subnets.values().flatten();
        peerings.any(|peering| peering.peer_vpc == vpc) && !subnets.any(|subnet| subnet.vpc == vpc)
    }

    /// Says of VPCs that are only peers what this spec has there.
    fn peers(&self, reached: &mut BTreeMap<Place, Vec<String>>) {
        for (key, group) in &self.topology.groups {
            let Some(vpc) = group.as_ref().map(|group| &group.vpc) else { continue };
            if self.is_peer(vpc) {
                let place = Place::Peer(name(vpc).to_owned());
                let Group { name, mark, .. } = self.group(key, name(vpc));
                let said = format!("{}security group {name}", mark.sign());
                reached.entry(place).or_default().push(said);
            }
        }
    }

    fn vpc(&self, key: &Key) -> Vpc {
        let vpc_name = name(key).to_owned();
        let vpc = self.topology.vpcs.get(key).and_then(Option::as_ref);
        let cidrs = match vpc {
            Some(vpc) => {
                let cidrs: Vec<String> = vpc.cidrs.iter().map(ToString::to_string).collect();
                cidrs.join(", ")
            }
            None => "not read".to_owned(),
        };
        let room = self.report.capacity.vpcs.iter().find(|room| room.vpc == *key);
        let room = room.map(|room| {
            let most = if room.exact { "" } else { "at most " };
            let many = if room.workspaces == 1 { "workspace" } else { "workspaces" };
            format!("room for {most}{} more {many} with a /{}", room.workspaces, room.prefix)
        });
        let inside = self.topology.workspaces.iter().filter(|(_, nodes)| nodes.vpc == *key);
        let workspaces: Vec<Workspace> = inside.map(|(name, _)| self.workspace(name)).collect();
        let tenants: BTreeSet<&str> =
            workspaces.iter().flat_map(|w| &w.subnets).map(|s| s.key.as_str()).collect();
        let others: Vec<Subnet> = self
            .topology
            .subnets
            .keys()
            .filter(|subnet| !tenants.contains(subnet.as_str()) && self.lies_in(subnet, key))
            .map(|subnet| self.subnet(subnet))
            .collect();
        let mut by_use: BTreeMap<String, Vec<Subnet>> = BTreeMap::new();
        for subnet in others {
            by_use.entry(used_for(&subnet, &vpc_name)).or_default().push(subnet);
        }
        let all = workspaces.iter().flat_map(|w| &w.subnets).chain(by_use.values().flatten());
        let zones: BTreeSet<String> = all.map(|subnet| subnet.zone.clone()).collect();
        let of_workspaces: BTreeSet<&str> =
            workspaces.iter().flat_map(|w| &w.groups).map(|g| g.key.as_str()).collect();
        let groups = self.topology.groups.iter().filter(|(group, object)| {
            let home = match object {
                Some(object) => object.vpc == *key,
                None => belongs(group, &vpc_name),
            };
            home && !of_workspaces.contains(group.as_str())
        });
        let groups = groups.map(|(group, _)| self.group(group, &vpc_name)).collect();
        let group = engine::Group::Shared(vpc_name.clone());
        Vpc {
            mark: self.marks.of_whole(key, &group),
            doors: self.doors(key, &vpc_name, &workspaces),
            key: key.clone(),
            name: vpc_name,
            cidrs,
            room,
            zones: zones.into_iter().collect(),
            workspaces,
            others: by_use.into_iter().collect(),
            groups,
        }
    }

    fn lies_in(&self, subnet: &str, vpc: &str) -> bool {
        match self.topology.subnets.get(subnet).and_then(Option::as_ref) {
            Some(subnet) => subnet.vpc == vpc,
            None => belongs(subnet, name(vpc)),
        }
    }

    fn subnet(&self, key: &Key) -> Subnet {
        let subnet = self.topology.subnets.get(key).and_then(Option::as_ref);
        let room = self.report.capacity.subnets.iter().find(|room| room.subnet == *key);
        Subnet {
            zone: subnet.map_or_else(|| self.zone_of(key), |s| s.zone.clone()),
            cidr: match subnet {
                Some(subnet) => subnet.cidr.to_string(),
                None if last(key).starts_with("subnet-") => last(key).to_owned(),
                None => "not read".to_owned(),
            },
            nodes: room.map(|room| room.nodes),
            mark: self.marks.of_key(key),
            key: key.clone(),
        }
    }

    /// The zone of a subnet that was not read: those for endpoints have it in their name.
    fn zone_of(&self, key: &str) -> String {
        match key.find(&self.topology.region) {
            Some(start) => key[start..].to_owned(),
            None => "zone not read".to_owned(),
        }
    }

    fn group(&self, key: &Key, owner: &str) -> Group {
        let name = within(key, owner).to_owned();
        Group { name, mark: self.marks.of_group(key), key: key.clone() }
    }

    fn workspace(&self, name: &str) -> Workspace {
        let nodes = self.topology.workspaces.get(name);
        let room = self.report.capacity.workspaces.iter().find(|room| room.workspace == name);
        let proofs = self.report.proofs.iter().filter(|proof| proof.workspace == name);
        let ways = self.ways(proofs);
        let key = format!("databricks.workspace/{name}");
        let mut subnets: Vec<Subnet> =
            nodes.iter().flat_map(|nodes| &nodes.subnets).map(|key| self.subnet(key)).collect();
        subnets.sort_by(|a, b| (&a.zone, &a.key).cmp(&(&b.zone, &b.key)));
        let group = engine::Group::Workspace(name.to_owned());
        Workspace {
            name: name.to_owned(),
            mark: self.marks.of_whole(&key, &group),
            subnets,
            groups: nodes
                .iter()
                .flat_map(|nodes| &nodes.groups)
                .map(|key| self.group(key, name))
                .collect(),
            nodes: room.filter(|room| !room.zones.is_empty()).map(|room| room.nodes),
            peak: room.and_then(|room| room.peak),
            users: users(&ways, nodes.is_some()),
            ways,
        }
    }

    /// Ways that differ only in the subnet they are from are one.
    fn ways<'p>(&self, proofs: impl Iterator<Item = &'p Proof>) -> Vec<Way> {
        let mut ways: Vec<Way> = Vec::new();
        for proof in proofs {
            let zone = self.topology.subnets.get(&proof.from).and_then(Option::as_ref);
            let from = zone.map_or_else(|| last(&proof.from).to_owned(), |s| s.zone.clone());
            let same = ways.iter_mut().find(|way| {
                way.class == proof.class && way.to == proof.to && way.verdict == proof.verdict
            });
            match same {
                Some(way) if way.from.contains(&from) => {}
                Some(way) => way.from.push(from),
                None => ways.push(Way {
                    class: proof.class,
                    to: proof.to.clone(),
                    from: if proof.from.is_empty() { Vec::new() } else { vec![from] },
                    door: self.door_of(proof),
                    verdict: proof.verdict.clone(),
                }),
            }
        }
        ways.sort_by_key(|way| number(way.class));
        ways
    }

    /// The door that a way takes, or would take if it were not blocked there.
    fn door_of(&self, proof: &Proof) -> Option<Key> {
        let Proof { verdict, class, .. } = proof;
        let endpoint = |path: &[Hop]| -> Option<Key> {
            let at = path.iter().map(|hop| &hop.at);
            at.rev().find(|at| self.topology.endpoints.contains_key(*at)).cloned()
        };
        let gateway = |path: &[Hop]| path.iter().find_map(|hop| self.target(hop));
        match verdict {
            Verdict::Proven { via, path } => match via {
                Via::Endpoint | Via::Gateway => endpoint(path),
                Via::Nat | Via::Peering => gateway(path),
                Via::Local | Via::Public => None,
            },
            // Users come from outside: what stops them is no door of the VPC.
            Verdict::Blocked { .. } | Verdict::Unknown { .. } if class.starts_with('U') => None,
            Verdict::Blocked { path, .. } => {
                Some(endpoint(path).or_else(|| gateway(path)).unwrap_or(BLOCKED.to_owned()))
            }
            Verdict::Unknown { path, .. } => {
                Some(endpoint(path).or_else(|| gateway(path)).unwrap_or(UNKNOWN.to_owned()))
            }
            Verdict::NotRequired { .. } => None,
        }
    }

    /// The NAT gateway or peering to which the decision of a route table leads.
    fn target(&self, hop: &Hop) -> Option<Key> {
        let table = self.topology.route_tables.get(&hop.at)?.as_ref()?;
        let keys = table.routes.values().filter_map(|target| match target {
            Target::NatGateway(key) | Target::Peering(key) => Some(key),
            Target::InternetGateway(_) | Target::TransitGateway(_) | Target::Other(_) => None,
        });
        let leads = |key: &&Key| hop.what.ends_with(&format!("→ {key}"));
        keys.into_iter().find(leads).cloned()
    }

    fn doors(&self, vpc: &Key, vpc_name: &str, workspaces: &[Workspace]) -> Vec<Door> {
        let Topology { endpoints, nat_gateways, internet_gateways, peerings, .. } = self.topology;
        let mut doors = Vec::new();
        for (key, endpoint) in endpoints {
            let home = match endpoint {
                Some(endpoint) => endpoint.vpc == *vpc,
                None => belongs(key, vpc_name),
            };
            if home {
                doors.push(self.endpoint(key, endpoint.as_ref(), vpc_name));
            }
        }
        // Those to Databricks first: so the lines to the places outside do not cross.
        doors.sort_by_key(|door| door.to.clone());
        for (key, nat) in nat_gateways {
            let home = match nat {
                Some(nat) => self.lies_in(&nat.subnet, vpc),
                None => belongs(key, vpc_name),
            };
            if home {
                let zone = within(key, vpc_name);
                doors.push(self.door(key, DoorKind::Nat, "NAT gateway", zone, Place::Internet));
            }
        }
        for (key, gateway) in internet_gateways {
            let home = match gateway {
                Some(gateway) => gateway.vpc.as_ref() == Some(vpc),
                None => belongs(key, vpc_name),
            };
            if home {
                let (kind, to) = (DoorKind::Internet, Place::Internet);
                doors.push(self.door(key, kind, "internet gateway", "", to));
            }
        }
        for (key, peering) in peerings {
            let Some(peering) = peering else { continue };
            if peering.vpc == *vpc {
                let cidrs: Vec<String> =
                    peering.peer_cidrs.iter().map(ToString::to_string).collect();
                let cidrs = cidrs.join(", ");
                let to = Place::Peer(name(&peering.peer_vpc).to_owned());
                let title = format!("peering {}", name(key));
                doors.push(self.door(key, DoorKind::Peering, &title, &cidrs, to));
            }
        }
        doors.extend(self.ends(workspaces));
        let used = |door: &Door, users: bool| {
            let mut ways = workspaces.iter().flat_map(|w| &w.ways);
            ways.any(|way| way.door.as_ref() == Some(&door.key) && way.is_of_users() == users)
        };
        for door in &mut doors {
            door.users = used(door, true);
        }
        doors
    }

    /// What ways lead to that take no door of the VPC.
    fn ends(&self, workspaces: &[Workspace]) -> Vec<Door> {
        let mut doors = Vec::new();
        let ways = || workspaces.iter().flat_map(|w| &w.ways);
        let blocked = ways().filter(|way| way.door.as_deref() == Some(BLOCKED));
        let rules: BTreeSet<&str> = blocked.filter_map(|way| way.words().rule).collect();
        if !rules.is_empty() {
            let rules: Vec<&str> = rules.into_iter().collect();
            let (kind, detail) = (DoorKind::Blocked, rules.join(", "));
            doors.push(self.door(BLOCKED, kind, "no way out", &detail, Place::Nowhere));
        }
        if ways().any(|way| way.door.as_deref() == Some(UNKNOWN)) {
            let (kind, detail) = (DoorKind::Unknown, "decided outside this spec");
            doors.push(self.door(UNKNOWN, kind, "not known", detail, Place::Nowhere));
        }
        doors
    }

    fn door(&self, key: &str, kind: DoorKind, name: &str, detail: &str, to: Place) -> Door {
        Door {
            key: key.to_owned(),
            kind,
            name: name.to_owned(),
            detail: detail.to_owned(),
            mark: self.marks.of_key(key),
            to,
            users: false,
        }
    }

    fn endpoint(&self, key: &Key, endpoint: Option<&Endpoint>, vpc_name: &str) -> Door {
        let title = within(key, vpc_name);
        let Some(endpoint) = endpoint else {
            let kind = DoorKind::Interface;
            return self.door(key, kind, title, "endpoint, not read", Place::Aws);
        };
        let mut registered = self.topology.registrations.values();
        let registered = registered.any(|c| c.endpoint.as_ref() == Some(key));
        let to = match registered || is_databricks(&self.topology.region, &endpoint.service) {
            true => Place::Databricks,
            false => Place::Aws,
        };
        match &endpoint.reach {
            Reach::Gateway { .. } => {
                self.door(key, DoorKind::Gateway, title, "gateway endpoint", to)
            }
            Reach::Interface { private_dns, .. } => {
                let detail = match private_dns {
                    true => "interface, private DNS",
                    false => "interface, no private DNS",
                };
                self.door(key, DoorKind::Interface, title, detail, to)
            }
        }
    }
}

/// Stands for the end of ways that take no door.
const BLOCKED: &str = "blocked";
const UNKNOWN: &str = "unknown";

/// Whether an object that was not read has the name of one of a VPC.
fn belongs(key: &str, vpc: &str) -> bool {
    name(key).strip_prefix(vpc).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// The last word of an address.
fn last(key: &str) -> &str {
    key.rsplit(['.', '/']).next().unwrap_or(key)
}

/// What a subnet without nodes is for, by its name.
fn used_for(subnet: &Subnet, vpc: &str) -> String {
    let name = within(&subnet.key, vpc);
    let name = name.strip_suffix(&subnet.zone).unwrap_or(name);
    match name.trim_end_matches(['-', '.']) {
        "" => "other".to_owned(),
        name => name.to_owned(),
    }
}

fn is_databricks(region: &str, service: &str) -> bool {
    let Some(region) = facts::regions::region(region) else { return false };
    let services = &region.endpoint_services;
    let known = services.rest.iter().chain(&services.scc_relay).chain(&services.rest_alternates);
    known.into_iter().any(|known| known == service)
}

/// How users come in, in a word.
fn users(ways: &[Way], network: bool) -> String {
    let Some(way) = ways.iter().find(|way| way.class == "U1") else {
        return if network { String::new() } else { "public".to_owned() };
    };
    match &way.verdict {
        Verdict::Proven { via: Via::Public, .. } => "public".to_owned(),
        Verdict::Proven { .. } => "private".to_owned(),
        Verdict::Blocked { .. } => "blocked".to_owned(),
        Verdict::Unknown { .. } => "unknown".to_owned(),
        Verdict::NotRequired { .. } => String::new(),
    }
}
