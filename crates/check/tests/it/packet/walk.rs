//! What becomes of packets: one at a time, from one address to another, there and back.
//!
//! Knows nothing of how the analyser reasons. It has no ranges to compare: it sends packets from and to
//! the addresses at which something in the topology changes, on the ports at which something changes.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::Ipv4Addr;
use std::rc::Rc;

use dbxctl_check::proof::{Ask, Via};
use dbxctl_check::topology::{
    Access, Answer, Association, Connection, Endpoint, Key, NatGateway, NetworkAcl, Nodes, Peer,
    Protocol, Reach, Resolver, Rule, Subnet, Target, Topology, Vpc,
};
use facts::regions::Region;
use ipnet::Ipv4Net;
use kinds::policy::{Policy, Statement};
use spec::{ExternalMetastore, Host, Internet, Remote, Service};

/// What is said of one destination from one subnet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fate {
    Blocked,
    Unknown,
    Proven(Via),
    NotRequired,
}

/// By subnet, class and destination.
pub(crate) type Fates = BTreeMap<(Key, &'static str, String), Fate>;

/// What one device says of one packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Pass {
    No,
    Maybe,
    Yes,
}
use Pass::{Maybe, No, Yes};

fn all(passes: impl IntoIterator<Item = Pass>) -> Pass {
    passes.into_iter().min().unwrap_or(Yes)
}

fn sure(yes: bool) -> Pass {
    if yes { Yes } else { No }
}

/// The far end of a conversation.
#[derive(Debug, Clone)]
enum Place {
    Endpoint(Key),
    /// Some public address; `true` for the S3 of the VPC's own region.
    Public {
        s3: bool,
    },
    Range(Ipv4Net),
    /// Anything at all.
    Anywhere,
}

/// What a name leads to.
enum Named {
    Nothing,
    At(Place),
    /// Who listens at that address is not known.
    Stranger(Ipv4Addr),
    /// Any of these.
    OneOf(Vec<Place>),
}

/// Public addresses, one on either side of every public range that rules name.
const PUBLIC: [Ipv4Addr; 4] = [
    Ipv4Addr::new(3, 5, 0, 9),
    Ipv4Addr::new(52, 94, 1, 7),
    Ipv4Addr::new(126, 255, 255, 254),
    Ipv4Addr::new(203, 0, 114, 77),
];
const EPHEMERAL: (u16, u16) = (1024, 65535);

pub(crate) struct Walk<'a> {
    topology: &'a Topology,
    ask: &'a Ask<'a>,
    nodes: &'a Nodes,
    name: &'a str,
    vpc: Option<&'a Vpc>,
    region: Option<&'static Region>,
    /// Where rules, entries and routes begin or have just ended.
    turns: BTreeSet<u32>,
    /// The same for ports.
    port_turns: BTreeSet<u16>,
    /// The network ACL of a subnet that has one of its own.
    acls: BTreeMap<&'a str, &'a NetworkAcl>,
    unread_acl: bool,
    /// Every address, as far as network ACLs tell them apart.
    world: Vec<Ipv4Addr>,
    ephemeral: Vec<u16>,
    /// What was asked before: the same packets take the same way.
    known_acls: RefCell<HashMap<Question, Pass>>,
    known_addresses: RefCell<HashMap<Ipv4Net, Rc<[Ipv4Addr]>>>,
}

/// Subnet, way, protocol, far addresses and ports, by their ends and number.
type Question = (Key, bool, bool, Option<(Ipv4Addr, Ipv4Addr, usize)>, (u16, u16, usize));

/// Sends packets from every subnet of a workspace.
pub(crate) fn walk(topology: &Topology, name: &str, ask: &Ask<'_>) -> Fates {
    let Some(nodes) = topology.workspaces.get(name) else { return Fates::new() };
    let mut walk = Walk {
        acls: BTreeMap::new(),
        unread_acl: topology.acls.values().any(Option::is_none),
        world: Vec::new(),
        ephemeral: Vec::new(),
        known_acls: RefCell::default(),
        known_addresses: RefCell::default(),
        topology,
        ask,
        nodes,
        name,
        vpc: topology.vpcs.get(&nodes.vpc).and_then(Option::as_ref),
        region: facts::regions::region(&topology.region),
        turns: turns(topology),
        port_turns: port_turns(topology),
    };
    for acl in topology.acls.values().flatten() {
        walk.acls.extend(acl.subnets.iter().map(|subnet| (subnet.as_str(), acl)));
    }
    let entries = topology.acls.values().flatten().flat_map(|acl| &acl.entries);
    walk.world = samples(&entries.flat_map(|entry| edges(entry.cidr)).collect(), 0, u32::MAX);
    walk.ephemeral = walk.ports(EPHEMERAL);
    let mut fates = Fates::new();
    for subnet in &nodes.subnets {
        let from = From {
            walk: &walk,
            key: subnet,
            subnet: topology.subnets.get(subnet).and_then(Option::as_ref),
        };
        let forbidden = ask.requirements.internet == Internet::Forbidden;
        from.everything(&mut |class, to: &str, mut fate| {
            if forbidden && fate == Fate::Proven(Via::Nat) {
                fate = Fate::Blocked;
            }
            fates.insert((subnet.clone(), class, to.to_owned()), fate);
        });
    }
    fates
}

fn turns(topology: &Topology) -> BTreeSet<u32> {
    let groups = topology.groups.values().flatten().filter_map(|g| g.rules.as_ref());
    let rules = groups.flat_map(|g| g.ingress.iter().chain(&g.egress));
    let peers = rules.filter_map(|rule| match rule.peer {
        Peer::Cidr(cidr) => Some(cidr),
        _ => None,
    });
    let entries = topology.acls.values().flatten().flat_map(|acl| &acl.entries);
    let tables = topology.route_tables.values().flatten();
    let nets = peers
        .chain(entries.map(|entry| entry.cidr))
        .chain(tables.flat_map(|table| table.routes.keys().copied()));
    nets.flat_map(edges).collect()
}

/// Where a range begins, and what comes after it.
fn edges(net: Ipv4Net) -> [u32; 2] {
    [u32::from(net.network()), u32::from(net.broadcast()).wrapping_add(1)]
}

/// The first and the last address, and the two on either side of every turn.
fn samples(turns: &BTreeSet<u32>, first: u32, last: u32) -> Vec<Ipv4Addr> {
    let mut all: Vec<u32> = vec![first, last];
    for turn in turns.range(first..=last) {
        all.push(*turn);
        all.push(turn.saturating_sub(1).max(first));
    }
    all.sort_unstable();
    all.dedup();
    all.into_iter().map(Ipv4Addr::from).collect()
}

fn port_turns(topology: &Topology) -> BTreeSet<u16> {
    let groups = topology.groups.values().flatten().filter_map(|g| g.rules.as_ref());
    let rules = groups.flat_map(|g| g.ingress.iter().chain(&g.egress)).map(|rule| rule.ports);
    let entries = topology.acls.values().flatten().flat_map(|acl| &acl.entries);
    rules
        .chain(entries.map(|entry| entry.ports))
        .flat_map(|(from, to)| [from, to.saturating_add(1)])
        .collect()
}

impl Walk<'_> {
    fn addresses(&self, net: Ipv4Net) -> Rc<[Ipv4Addr]> {
        let mut known = self.known_addresses.borrow_mut();
        let new = || samples(&self.turns, net.network().into(), net.broadcast().into()).into();
        Rc::clone(known.entry(net).or_insert_with(new))
    }

    fn ports(&self, (from, to): (u16, u16)) -> Vec<u16> {
        let mut all = vec![from, to];
        for turn in self.port_turns.range(from..=to) {
            all.push(*turn);
            all.push(turn.saturating_sub(1).max(from));
        }
        all.sort_unstable();
        all.dedup();
        all
    }

    fn govcloud(&self) -> bool {
        self.topology.region.starts_with("us-gov-")
    }

    fn endpoint(&self, key: &str) -> Option<&Endpoint> {
        self.topology.endpoints.get(key)?.as_ref()
    }

    // --- names ---------------------------------------------------------------------------------------

    fn host(&self) -> String {
        let domain = &facts::regions::partition(&self.topology.region).workspace_domain;
        format!("{}.{domain}", self.name)
    }

    fn rest_name(&self) -> String {
        let region = &self.topology.region;
        let domain = &facts::regions::partition(region).workspace_domain;
        let known = self.region.and_then(|r| r.rest_privatelink_hostname.clone());
        let web = self.region.and_then(|r| r.web_app_hostname.as_deref());
        let label = web.and_then(|w| w.split('.').next()).unwrap_or(region);
        known.unwrap_or_else(|| format!("{label}.privatelink.{domain}"))
    }

    fn relay_name(&self) -> String {
        let region = &self.topology.region;
        let domain = &facts::regions::partition(region).workspace_domain;
        let known = self.region.and_then(|r| r.scc_relay_privatelink_hostname.clone());
        known.unwrap_or_else(|| format!("tunnel.privatelink.{region}.{domain}"))
    }

    fn service(&self, short: &str) -> String {
        facts::regions::aws_service(&self.topology.region, short)
    }

    fn is_rest(&self, endpoint: &Endpoint) -> bool {
        let rest = self.region.and_then(|r| r.endpoint_services.rest.as_ref());
        rest == Some(&endpoint.service)
    }

    fn is_relay(&self, endpoint: &Endpoint) -> bool {
        let relay = self.region.and_then(|r| r.endpoint_services.scc_relay.as_ref());
        relay == Some(&endpoint.service)
    }

    /// The name that the private DNS of an endpoint answers.
    fn own_name(&self, endpoint: &Endpoint) -> Option<String> {
        if self.is_rest(endpoint) {
            return Some(self.rest_name());
        }
        if self.is_relay(endpoint) {
            return Some(self.relay_name());
        }
        let prefix = format!("com.amazonaws.{}.", self.topology.region);
        let short = endpoint.service.strip_prefix(&prefix)?;
        let short = if short == "kinesis-streams" { "kinesis" } else { short };
        Some(format!("{short}.{}.amazonaws.com", self.topology.region))
    }

    /// What the resolver of the VPC says.
    fn resolve(&self, name: &str) -> Named {
        let Some(vpc) = self.vpc else { return Named::At(Place::Anywhere) };
        if !vpc.dns_support {
            return Named::Nothing;
        }
        if matches!(vpc.resolver, Resolver::Own(_))
            || self.topology.zones.values().any(Option::is_none)
        {
            return Named::At(Place::Anywhere);
        }
        let mut best: Option<(usize, Option<Answer>)> = None;
        for zone in self.topology.zones.values().flatten() {
            let label = format!(".{}", zone.name);
            let matches = zone.name == name || name.ends_with(&label);
            let longer = best.as_ref().is_none_or(|(len, _)| zone.name.len() > *len);
            if zone.vpcs.contains(&self.nodes.vpc) && matches && longer {
                best = Some((zone.name.len(), zone.records.get(name).cloned()));
            }
        }
        if best.as_ref().is_none_or(|(len, _)| *len < name.len()) && vpc.dns_hostnames {
            for (key, endpoint) in &self.topology.endpoints {
                let Some(endpoint) = endpoint else { continue };
                let on = matches!(endpoint.reach, Reach::Interface { private_dns: true, .. });
                let here = endpoint.vpc == self.nodes.vpc;
                if on && here && self.own_name(endpoint).as_deref() == Some(name) {
                    best = Some((name.len(), Some(Answer::Endpoint(key.clone()))));
                }
            }
        }
        match best {
            Some((_, Some(Answer::Endpoint(key)))) => Named::At(Place::Endpoint(key)),
            Some((_, Some(Answer::Address(address)))) => Named::Stranger(address),
            Some((_, None)) => Named::Nothing,
            None if self.unseen_may_answer(vpc, name) => {
                Named::OneOf(vec![Place::Public { s3: false }, Place::Anywhere])
            }
            None => Named::At(Place::Public { s3: false }),
        }
    }

    /// Whether an endpoint that was not read could be in this VPC and answer the name.
    fn unseen_may_answer(&self, vpc: &Vpc, name: &str) -> bool {
        let regional = format!(".{}.amazonaws.com", self.topology.region);
        let aws = name.strip_suffix(&regional).is_some_and(|short| !short.contains('.'));
        let databricks = name == self.rest_name() || name == self.relay_name();
        let registered = (name == self.rest_name() && self.unread(&self.nodes.rest))
            || (name == self.relay_name() && self.unread(&self.nodes.relay));
        registered || (aws || databricks) && vpc.dns_hostnames && self.unseen_endpoint_here()
    }

    /// Whether there is a connection whose endpoint was not read.
    fn unread(&self, connection: &Option<Connection>) -> bool {
        let endpoint = connection.as_ref().map(|c| c.endpoint.as_ref());
        endpoint.is_some_and(|key| key.is_none_or(|key| self.endpoint(key).is_none()))
    }

    fn unseen_endpoint_here(&self) -> bool {
        let unseen = self.topology.endpoints.values().any(Option::is_none);
        unseen && !self.topology.vpcs.values().any(Option::is_none)
    }

    /// What the host of the workspace leads to.
    fn resolve_host(&self) -> Named {
        match self.resolve(&self.host()) {
            Named::At(Place::Public { .. }) => match self.nodes.access {
                Access::Public => Named::At(Place::Public { s3: false }),
                Access::Settings { .. } | Access::Unknown(_) => self.resolve(&self.rest_name()),
            },
            other => other,
        }
    }

    // --- devices -------------------------------------------------------------------------------------

    fn node_rules(&self, egress: bool) -> (Vec<&Rule>, bool) {
        self.rules(self.nodes.groups.iter(), egress)
    }

    /// The rules of groups, and whether those of some are not known.
    fn rules<'b>(
        &'b self,
        groups: impl Iterator<Item = &'b Key>,
        egress: bool,
    ) -> (Vec<&'b Rule>, bool) {
        let (mut rules, mut unread) = (Vec::new(), false);
        for key in groups {
            let group = self.topology.groups.get(key).and_then(Option::as_ref);
            match group.and_then(|g| g.rules.as_ref()) {
                Some(found) => {
                    rules.extend(if egress { &found.egress } else { &found.ingress });
                }
                None => unread = true,
            }
        }
        (rules, unread)
    }

    /// What the network ACL of a subnet says of one packet.
    fn acl(&self, subnet: &str, egress: bool, far: Ipv4Addr, udp: bool, port: u16) -> Pass {
        let Some(acl) = self.acls.get(subnet) else {
            return if self.unread_acl { Maybe } else { Yes };
        };
        let fits = |entry: &&dbxctl_check::topology::AclEntry| {
            let protocol = match entry.protocol {
                Protocol::All => true,
                Protocol::Tcp => !udp && within(port, entry.ports),
                Protocol::Udp => udp && within(port, entry.ports),
                Protocol::Other => false,
            };
            entry.egress == egress && protocol && entry.cidr.contains(&far)
        };
        let first = acl.entries.iter().filter(fits).min_by_key(|entry| entry.number);
        sure(first.is_some_and(|entry| entry.allow))
    }

    /// A conversation over TCP through the ACL of one subnet, begun by its inside (`out`) or from without.
    /// Nothing is known of some addresses: `None`.
    fn acl_both_ways(
        &self,
        subnet: &str,
        out: bool,
        far: Option<&[Ipv4Addr]>,
        ports: &[u16],
    ) -> Pass {
        let there = self.acl_one_way(subnet, out, far, false, ports);
        there.min(self.acl_one_way(subnet, !out, far, false, &self.ephemeral))
    }

    fn acl_one_way(
        &self,
        subnet: &str,
        out: bool,
        far: Option<&[Ipv4Addr]>,
        udp: bool,
        ports: &[u16],
    ) -> Pass {
        if !self.acls.contains_key(subnet) {
            return if self.unread_acl { Maybe } else { Yes };
        }
        let far_key = far.map(|far| (far[0], far[far.len() - 1], far.len()));
        let port_key = (ports[0], ports[ports.len() - 1], ports.len());
        let question = (subnet.to_owned(), out, udp, far_key, port_key);
        if let Some(pass) = self.known_acls.borrow().get(&question) {
            return *pass;
        }
        let at = |address: &Ipv4Addr| {
            all(ports.iter().map(|port| self.acl(subnet, out, *address, udp, *port)))
        };
        let pass = match far {
            Some(far) => all(far.iter().map(at)),
            // It is one of all there are.
            None => all(self.world.iter().map(at)).max(Maybe),
        };
        self.known_acls.borrow_mut().insert(question, pass);
        pass
    }
}

fn within(port: u16, (from, to): (u16, u16)) -> bool {
    (from..=to).contains(&port)
}

fn fits(rule: &Rule, udp: bool, port: u16) -> bool {
    match rule.protocol {
        Protocol::All => true,
        Protocol::Tcp => !udp && within(port, rule.ports),
        Protocol::Udp => udp && within(port, rule.ports),
        Protocol::Other => false,
    }
}

/// The way out of a subnet to an address outside the VPC.
enum Way {
    None,
    Unclear,
    Nat(Key),
    Peering,
}

/// One subnet with nodes.
struct From<'a> {
    walk: &'a Walk<'a>,
    key: &'a Key,
    subnet: Option<&'a Subnet>,
}

type Tell<'t> = dyn FnMut(&'static str, &str, Fate) + 't;

impl From<'_> {
    fn everything(&self, tell: &mut Tell<'_>) {
        let walk = self.walk;
        let uses = walk.ask.uses;
        tell("D1", "control plane", self.control_plane(443, 443, false));
        tell("D2", "control plane API", self.control_plane(8443, 8443, true));
        tell("D3", "catalog logs", self.control_plane(8444, 8444, true));
        tell("D4", "reserved ports", self.control_plane(8445, 8451, true));
        self.relay(tell);
        self.buckets(tell);
        let region = &walk.topology.region;
        tell("D13", "sts", self.aws(&format!("sts.{region}.amazonaws.com"), "sts"));
        if uses.global_sts {
            tell("D14", "global sts", self.name("sts.amazonaws.com", 443));
        }
        let derived = format!("kinesis.{region}.amazonaws.com");
        let kinesis = walk.region.and_then(|r| r.kinesis_endpoint.clone()).unwrap_or(derived);
        tell("D15", "kinesis", self.aws(&kinesis, "kinesis"));
        self.metastores(tell);
        tell("D18", "dns", self.dns());
        tell("D19", "other nodes", self.neighbours());
        tell("D21", "lakebase", if uses.lakebase { self.lakebase() } else { Fate::NotRequired });
        for service in &uses.services {
            let (short, host) = match service {
                Service::S3 | Service::Sts | Service::Kinesis => continue,
                Service::Dynamodb => ("dynamodb", "dynamodb"),
                Service::Ec2 => ("ec2", "ec2"),
                Service::Glue => ("glue", "glue"),
                Service::Kms => ("kms", "kms"),
                Service::Logs => ("logs", "logs"),
                Service::Secretsmanager => ("secretsmanager", "secretsmanager"),
                Service::Ssm => ("ssm", "ssm"),
            };
            let fate = self.aws(&format!("{host}.{region}.amazonaws.com"), short);
            tell("D22", short, fate);
        }
        for text in uses.hosts.iter().chain(&walk.ask.requirements.reach) {
            let Some(remote) = Remote::parse(text) else { continue };
            match remote.host {
                Host::Name(name) => tell("D20", text, self.name(&name, remote.port)),
                Host::Range(net) => tell("D23", text, self.at(&Place::Range(net), remote.port)),
            }
        }
        tell("D24", "instance metadata", Fate::Proven(Via::Local));
    }

    // --- classes -------------------------------------------------------------------------------------

    fn control_plane(&self, from: u16, to: u16, authorised: bool) -> Fate {
        let walk = self.walk;
        let ports: Vec<u16> = (from..=to).collect();
        let mut fate = self.control(walk.resolve_host(), &ports, authorised);
        if authorised {
            let second = if walk.nodes.rest.is_some() {
                walk.rest_name()
            } else {
                let known = walk.region.and_then(|r| r.web_app_hostname.clone());
                let domain = &facts::regions::partition(&walk.topology.region).workspace_domain;
                known.unwrap_or_else(|| format!("{}.{domain}", walk.topology.region))
            };
            fate = both(fate, self.control(walk.resolve(&second), &ports, true));
        }
        fate
    }

    fn control(&self, named: Named, ports: &[u16], authorised: bool) -> Fate {
        let named = match named {
            // The endpoint that was not read may answer.
            Named::At(Place::Public { .. }) if self.walk.unread(&self.walk.nodes.rest) => {
                Named::At(Place::Anywhere)
            }
            named => named,
        };
        self.each(named, ports, &|place| match place {
            Place::Endpoint(key) => self.walk.serves_rest(key, authorised),
            Place::Public { .. } if self.walk.nodes.rest.is_some() => {
                match self.walk.nodes.access {
                    Access::Public | Access::Settings { public: true, .. } => Yes,
                    Access::Settings { public: false, .. } => No,
                    Access::Unknown(_) => Maybe,
                }
            }
            _ => Yes,
        })
    }

    fn relay(&self, tell: &mut Tell<'_>) {
        let walk = self.walk;
        let fips = walk.ask.uses.compliance_profile;
        let Some(relay) = &walk.nodes.relay else {
            let region = &walk.topology.region;
            let domain = &facts::regions::partition(region).workspace_domain;
            let known = walk.region.and_then(|r| r.scc_relay_hostname.clone());
            let name = known.unwrap_or_else(|| format!("tunnel.{region}.{domain}"));
            tell("D5", "relay", self.name(&name, if fips { 2443 } else { 443 }));
            return;
        };
        let ports: &[u16] = match (walk.govcloud(), fips) {
            (true, _) => &[2443],
            (false, true) => &[6666, 2443],
            (false, false) => &[6666],
        };
        let fate = self.each(walk.resolve(&walk.relay_name()), ports, &|place| match place {
            Place::Endpoint(key) => match &relay.endpoint {
                Some(registered) if registered != key => No,
                known => match walk.endpoint(key) {
                    Some(endpoint) if !walk.is_relay(endpoint) => No,
                    Some(_) if known.is_some() => Yes,
                    _ => Maybe,
                },
            },
            Place::Anywhere => Maybe,
            _ => No,
        });
        tell("D6", "relay", fate);
    }

    fn buckets(&self, tell: &mut Tell<'_>) {
        let walk = self.walk;
        let here = walk.topology.region.as_str();
        let uses = walk.ask.uses;
        let Some(region) = walk.region else { return };
        let root = walk.nodes.root_bucket.as_deref().unwrap_or("root");
        tell("D7", "root bucket", self.bucket(here, root, WRITE));
        // Buckets of Databricks for Northern California lie in Oregon.
        let theirs = if here == "us-west-1" { "us-west-2" } else { here };
        let buckets = &region.buckets;
        if let Some(artifacts) = &buckets.artifacts {
            let fates = artifacts.iter().map(|name| self.bucket(theirs, name, READ));
            tell("D8", "artifacts", fates.reduce(both).unwrap_or(Fate::Unknown));
        }
        if let Some(log) = &buckets.log {
            tell("D9", "logs", self.bucket(theirs, log, LOG));
        }
        let unless = |asked: bool, name: &Option<String>, region| match name {
            Some(name) if asked => self.bucket(region, name, READ),
            _ => Fate::NotRequired,
        };
        tell("D10", "system tables", unless(uses.system_tables, &buckets.system_tables, here));
        tell("D11", "sample data", unless(uses.sample_data, &buckets.sample_datasets, theirs));
        for (name, region) in &uses.buckets {
            tell("D12", &format!("bucket {name}"), self.bucket(region, name, WRITE));
        }
    }

    fn bucket(&self, region: &str, name: &str, actions: &[&str]) -> Fate {
        let own = region == self.walk.topology.region;
        let named = match self.walk.resolve(&format!("{name}.s3.{region}.amazonaws.com")) {
            Named::At(Place::Public { .. }) => Named::At(Place::Public { s3: own }),
            other => other,
        };
        let partition = &facts::regions::partition(&self.walk.topology.region).arn_partition;
        let whole = format!("arn:{partition}:s3:::{name}");
        self.each(named, &[443], &|place| {
            if !matches!(place, Place::Public { s3: true }) || self.gateway("s3") != Yes {
                return Yes;
            }
            let policy = self.gateway_of("s3").and_then(|endpoint| endpoint.policy.as_ref());
            all(actions.iter().map(|action| {
                let on_bucket = ["s3:ListBucket", "s3:GetBucketLocation"].contains(action);
                let object = format!("{whole}/some/object");
                permits(policy, action, if on_bucket { &whole } else { &object })
            }))
        })
    }

    fn metastores(&self, tell: &mut Tell<'_>) {
        let uses = self.walk.ask.uses;
        let region = &self.walk.topology.region;
        if uses.legacy_metastore() {
            let known = self.walk.region.and_then(|r| r.legacy_hive_metastore.as_ref());
            let host = known.and_then(|m| m.hostname.as_deref()).unwrap_or("metastore.invalid");
            let port = known.and_then(|m| m.port).unwrap_or(3306);
            let fate = match self.name(host, port) {
                // Its host there is not certain, so no way to it is.
                Fate::Proven(_) if self.walk.govcloud() => Fate::Unknown,
                fate => fate,
            };
            tell("D16", "built-in metastore", fate);
        } else {
            tell("D16", "built-in metastore", Fate::NotRequired);
        }
        match &uses.external_metastore {
            None => tell("D17", "external metastore", Fate::NotRequired),
            Some(ExternalMetastore::Glue) => {
                let fate = self.aws(&format!("glue.{region}.amazonaws.com"), "glue");
                tell("D17", "glue metastore", fate);
            }
            Some(ExternalMetastore::Database(text)) => {
                let Some(remote) = Remote::parse(text) else { return };
                let fate = match remote.host {
                    Host::Name(name) => self.name(&name, remote.port),
                    Host::Range(net) => self.at(&Place::Range(net), remote.port),
                };
                tell("D17", &format!("metastore {text}"), fate);
            }
        }
    }

    fn dns(&self) -> Fate {
        let walk = self.walk;
        let Some(vpc) = walk.vpc else { return Fate::Unknown };
        if !vpc.dns_support {
            return Fate::Blocked;
        }
        let Resolver::Own(servers) = &vpc.resolver else { return Fate::Proven(Via::Local) };
        for server in servers {
            for udp in [false, true] {
                let net = Ipv4Net::from(*server);
                if self.egress(&Place::Range(net), udp, &[53]) == No {
                    return Fate::Blocked;
                }
            }
        }
        Fate::Unknown
    }

    /// Every node talks to every other one, over TCP and UDP, on every port.
    fn neighbours(&self) -> Fate {
        let walk = self.walk;
        let ports = walk.ports((0, 65535));
        let ours = self.addresses();
        let mut pass = Yes;
        for key in &walk.nodes.subnets {
            let there = walk.topology.subnets.get(key).and_then(Option::as_ref);
            let theirs = there.map(|there| walk.addresses(there.cidr));
            for egress in [true, false] {
                pass = pass.min(self.between_nodes(egress, ours.as_deref(), &ports));
                pass = pass.min(self.between_nodes(egress, theirs.as_deref(), &ports));
            }
            if key == self.key {
                continue;
            }
            for udp in [false, true] {
                for out in [false, true] {
                    for (subnet, far) in [(self.key, &theirs), (key, &ours)] {
                        let through = walk.acl_one_way(subnet, out, far.as_deref(), udp, &ports);
                        pass = pass.min(through);
                    }
                }
            }
        }
        match pass {
            No => Fate::Blocked,
            Maybe => Fate::Unknown,
            Yes => Fate::Proven(Via::Local),
        }
    }

    fn between_nodes(&self, egress: bool, far: Option<&[Ipv4Addr]>, ports: &[u16]) -> Pass {
        let (rules, unread) = self.walk.node_rules(egress);
        let met = |rule: &Rule, address: Option<&Ipv4Addr>| match (&rule.peer, address) {
            (Peer::Group(group), _) => sure(self.walk.nodes.groups.contains(group)),
            (Peer::Cidr(cidr), Some(address)) => sure(cidr.contains(address)),
            (Peer::Cidr(cidr), None) => {
                if cidr.prefix_len() == 0 {
                    Yes
                } else {
                    Maybe
                }
            }
            (Peer::PrefixList(_), _) => No,
        };
        let mut pass = Yes;
        for udp in [false, true] {
            for &port in ports {
                let fitting: Vec<&&Rule> = rules.iter().filter(|r| fits(r, udp, port)).collect();
                let open = |address: Option<&Ipv4Addr>| {
                    fitting.iter().map(|rule| met(rule, address)).max().unwrap_or(No)
                };
                let open = match far {
                    // Which of its addresses a node calls is not known; any of them may call.
                    Some(far) if egress => {
                        let most = far.iter().map(|a| open(Some(a))).max().unwrap_or(No);
                        let least = all(far.iter().map(|a| open(Some(a))));
                        if most == least { least } else { Maybe }
                    }
                    Some(far) => all(far.iter().map(|address| open(Some(address)))),
                    None => open(None),
                };
                pass = pass.min(if unread { open.max(Maybe) } else { open });
            }
        }
        pass
    }

    fn lakebase(&self) -> Fate {
        let region = &self.walk.topology.region;
        let domain = &facts::regions::partition(region).workspace_domain;
        self.name(&format!("{region}.service-direct.privatelink.{domain}"), 5432)
    }

    /// A regional name of an AWS service.
    fn aws(&self, name: &str, short: &str) -> Fate {
        let walk = self.walk;
        let gateway = short == "dynamodb";
        let named = match walk.resolve(name) {
            Named::At(Place::Public { .. }) if gateway => Named::At(Place::Public { s3: false }),
            other => other,
        };
        let service = walk.service(short);
        self.each(named, &[443], &|place| match place {
            Place::Endpoint(key) => match walk.endpoint(key) {
                Some(endpoint) if endpoint.service != service => No,
                Some(endpoint) => walk.lets_through(endpoint, short),
                None => Maybe,
            },
            _ => Yes,
        })
    }

    fn name(&self, name: &str, port: u16) -> Fate {
        self.each(self.walk.resolve(name), &[port], &|_| Yes)
    }

    // --- one conversation ----------------------------------------------------------------------------

    fn at(&self, place: &Place, port: u16) -> Fate {
        self.conversation(place, &[port])
    }

    /// A conversation with whatever a name leads to. `serves` tells whether that is the right one.
    fn each(&self, named: Named, ports: &[u16], serves: &dyn Fn(&Place) -> Pass) -> Fate {
        let one = |place: &Place| match (serves(place), self.conversation(place, ports)) {
            (No, _) | (_, Fate::Blocked) => Fate::Blocked,
            (Maybe, _) => Fate::Unknown,
            (Yes, fate) => fate,
        };
        match named {
            Named::Nothing => Fate::Blocked,
            Named::At(place) => one(&place),
            Named::Stranger(address) => {
                match self.conversation(&Place::Range(Ipv4Net::from(address)), ports) {
                    Fate::Blocked => Fate::Blocked,
                    _ => Fate::Unknown,
                }
            }
            // One of them is true: only what all of them say is known.
            Named::OneOf(places) => {
                let mut fates: Vec<Fate> = places.iter().map(one).collect();
                fates.dedup();
                if fates.len() == 1 { fates[0] } else { Fate::Unknown }
            }
        }
    }

    /// Packets to a place and back, on every one of the ports.
    fn conversation(&self, place: &Place, ports: &[u16]) -> Fate {
        let mut pass = self.egress(place, false, ports);
        let via = match place {
            Place::Anywhere => return Fate::Unknown,
            // Without subnets it has no address yet.
            Place::Endpoint(key) if self.walk.is_nowhere(key) => return Fate::Unknown,
            Place::Endpoint(key) => {
                pass = pass.min(self.to_endpoint(key, ports));
                Via::Endpoint
            }
            Place::Range(net) => {
                let (through, via) = self.to_range(*net, ports);
                pass = pass.min(through);
                via
            }
            Place::Public { s3 } => {
                pass = pass.min(self.acls(None, Some(&self.walk.world), ports));
                match s3.then(|| self.gateway("s3")).unwrap_or(No) {
                    Yes => Via::Gateway,
                    Maybe => {
                        pass = pass.min(Maybe);
                        Via::Gateway
                    }
                    No => {
                        pass = pass.min(self.through_nat(self.way_out(), ports));
                        Via::Nat
                    }
                }
            }
        };
        match pass {
            No => Fate::Blocked,
            Maybe => Fate::Unknown,
            Yes => Fate::Proven(via),
        }
    }

    /// The groups of the node: every port must be open to the one address that the place turns out to have.
    fn egress(&self, place: &Place, udp: bool, ports: &[u16]) -> Pass {
        let walk = self.walk;
        let (rules, unread) = walk.node_rules(true);
        let carried = match place {
            Place::Endpoint(key) => match walk.endpoint(key).map(|e| &e.reach) {
                Some(Reach::Interface { groups, .. }) => Some(groups),
                _ => None,
            },
            _ => None,
        };
        let places: Vec<Option<Rc<[Ipv4Addr]>>> = match place {
            Place::Anywhere => vec![None],
            Place::Public { .. } => vec![Some(PUBLIC.into())],
            Place::Range(net) => vec![Some(walk.addresses(*net))],
            Place::Endpoint(key) => walk.endpoint_addresses(key),
        };
        let own_s3 = matches!(place, Place::Public { s3: true });
        let range = matches!(place, Place::Range(_));
        let mut pass = Yes;
        for &port in ports {
            let fitting: Vec<&&Rule> = rules.iter().filter(|r| fits(r, udp, port)).collect();
            let to_one = |address: Option<&Ipv4Addr>| {
                let met = |rule: &&Rule| match (&rule.peer, address) {
                    (Peer::Cidr(cidr), Some(address)) => sure(cidr.contains(address)),
                    (Peer::Cidr(cidr), None) => sure(cidr.prefix_len() == 0).max(Maybe),
                    (Peer::PrefixList(_), _) => sure(own_s3),
                    (Peer::Group(group), _) if range => {
                        if walk.nodes.groups.contains(group) {
                            No
                        } else {
                            Maybe
                        }
                    }
                    (Peer::Group(group), _) => sure(carried.is_some_and(|c| c.contains(group))),
                };
                fitting.iter().map(|rule| met(rule)).max().unwrap_or(No)
            };
            let mut open = all(places.iter().map(|addresses| match addresses {
                None => to_one(None),
                Some(addresses) => {
                    // One of them is the address: which one is not known.
                    let least = addresses.iter().map(|a| to_one(Some(a))).min().unwrap_or(Maybe);
                    let most = addresses.iter().map(|a| to_one(Some(a))).max().unwrap_or(Maybe);
                    if least == most { least } else { Maybe }
                }
            }));
            if unread && open == No {
                open = Maybe;
            }
            pass = pass.min(open);
        }
        pass
    }

    /// An endpoint has an address in each of its subnets, and any of them may be asked.
    fn to_endpoint(&self, key: &str, ports: &[u16]) -> Pass {
        let walk = self.walk;
        let Some(endpoint) = walk.endpoint(key) else { return Maybe };
        let Reach::Interface { subnets, groups, .. } = &endpoint.reach else { return No };
        let mut pass = self.ingress(groups, ports);
        for subnet in subnets {
            let there = walk.topology.subnets.get(subnet).and_then(Option::as_ref);
            if there.is_none() {
                pass = pass.min(Maybe);
            }
            pass = pass.min(match there {
                Some(there) if there.vpc != walk.nodes.vpc => self.to_range(there.cidr, ports).0,
                there => {
                    let far = there.map(|there| walk.addresses(there.cidr));
                    self.acls(Some(subnet), far.as_deref(), ports)
                }
            });
        }
        pass
    }

    /// The groups of an endpoint, for packets of any node.
    fn ingress(&self, groups: &BTreeSet<Key>, ports: &[u16]) -> Pass {
        let walk = self.walk;
        if groups.is_empty() {
            return Maybe;
        }
        let (rules, unread) = walk.rules(groups.iter(), false);
        let nodes = self.subnet.map(|s| walk.addresses(s.cidr));
        let mut pass = Yes;
        for &port in ports {
            let fitting: Vec<&&Rule> = rules.iter().filter(|r| fits(r, false, port)).collect();
            let from_one = |address: Option<&Ipv4Addr>| {
                let met = |rule: &&Rule| match (&rule.peer, address) {
                    (Peer::Cidr(cidr), Some(address)) => sure(cidr.contains(address)),
                    (Peer::Cidr(cidr), None) => {
                        if cidr.prefix_len() == 0 {
                            Yes
                        } else {
                            Maybe
                        }
                    }
                    (Peer::Group(group), _) => sure(walk.nodes.groups.contains(group)),
                    (Peer::PrefixList(_), _) => No,
                };
                fitting.iter().map(|rule| met(rule)).max().unwrap_or(No)
            };
            let mut open = match &nodes {
                Some(nodes) => all(nodes.iter().map(|address| from_one(Some(address)))),
                None => from_one(None),
            };
            if unread && open == No {
                open = Maybe;
            }
            pass = pass.min(open);
        }
        pass
    }

    /// Network ACLs of the node's subnet and of the other one, unless both are the same.
    fn acls(&self, other: Option<&Key>, far: Option<&[Ipv4Addr]>, ports: &[u16]) -> Pass {
        if other == Some(self.key) {
            return Yes;
        }
        let near = self.walk.acl_both_ways(self.key, true, far, ports);
        let Some(other) = other else { return near };
        near.min(self.walk.acl_both_ways(other, false, self.addresses().as_deref(), ports))
    }

    fn addresses(&self) -> Option<Rc<[Ipv4Addr]>> {
        self.subnet.map(|subnet| self.walk.addresses(subnet.cidr))
    }

    /// Network ACLs of other subnets in which a range lies, in part or as a whole.
    fn inside_range(&self, net: Ipv4Net, ports: &[u16]) -> Pass {
        let walk = self.walk;
        let nodes = self.addresses();
        let subnets = walk.topology.subnets.iter();
        all(subnets.filter(|(key, _)| *key != self.key).map(|(key, subnet)| match subnet {
            Some(subnet)
                if walk.addresses(subnet.cidr).iter().any(|a| net.contains(a))
                    || walk.addresses(net).iter().any(|a| subnet.cidr.contains(a)) =>
            {
                walk.acl_both_ways(key, false, nodes.as_deref(), ports)
            }
            _ => Yes,
        }))
    }

    fn to_range(&self, net: Ipv4Net, ports: &[u16]) -> (Pass, Via) {
        let walk = self.walk;
        let far = walk.addresses(net);
        let acls = self.acls(None, Some(&far), ports);
        let local = |address: &Ipv4Addr| {
            walk.vpc.is_some_and(|vpc| vpc.cidrs.iter().any(|cidr| cidr.contains(address)))
        };
        let Some(table) = self.table() else { return (acls.min(Maybe), Via::Nat) };
        if far.iter().all(local) {
            return (acls.min(self.inside_range(net, ports)), Via::Local);
        }
        if far.iter().any(local) {
            return (acls.min(Maybe), Via::Local);
        }
        let nothing = (&BTreeMap::new(), false);
        let (routes, partial) = table.unwrap_or(nothing);
        let route = |address: &Ipv4Addr| {
            let fitting = routes.iter().filter(|(to, _)| to.contains(address));
            fitting.max_by_key(|(to, _)| to.prefix_len())
        };
        let first = route(&far[0]);
        if far.iter().any(|address| route(address) != first) {
            return (acls.min(Maybe), Via::Nat);
        }
        let default = first.is_none_or(|(to, _)| to.prefix_len() == 0);
        if walk.vpc.is_none() && default && private(&far[0]) {
            // It may be local.
            return (acls.min(Maybe), Via::Local);
        }
        let way = match first.map(|(_, target)| target) {
            None if partial => Way::Unclear,
            None => Way::None,
            Some(Target::NatGateway(_)) if private(&far[0]) => Way::None,
            // Where a default route leads is not known beyond the peering.
            Some(Target::Peering(_)) if default => Way::Unclear,
            Some(target) => self.way(target),
        };
        match way {
            Way::Peering => (acls, Via::Peering),
            way => (acls.min(self.through_nat(way, ports)), Via::Nat),
        }
    }

    // --- routes --------------------------------------------------------------------------------------

    /// The routes of the subnet, and whether there may be more: `None` when the table is not known, and
    /// `Some(None)` for one with the local route only.
    #[expect(clippy::option_option, reason = "not known, and known to be empty, differ")]
    fn table(&self) -> Option<Option<(&BTreeMap<Ipv4Net, Target>, bool)>> {
        self.walk.table_of(self.subnet?)
    }

    fn way_out(&self) -> Way {
        let Some(table) = self.table() else { return Way::Unclear };
        let Some((routes, partial)) = table else { return Way::None };
        match routes.iter().find(|(to, _)| to.prefix_len() == 0) {
            Some((_, target)) => self.way(target),
            None if partial => Way::Unclear,
            None => Way::None,
        }
    }

    fn way(&self, target: &Target) -> Way {
        match target {
            Target::InternetGateway(_) => Way::None,
            Target::NatGateway(key) => Way::Nat(key.clone()),
            Target::TransitGateway(_) | Target::Other(_) => Way::Unclear,
            Target::Peering(key) => {
                match self.walk.topology.peerings.get(key).and_then(Option::as_ref) {
                    Some(peering) if peering.routes_back => Way::Peering,
                    _ => Way::Unclear,
                }
            }
        }
    }

    /// From the NAT gateway on.
    fn through_nat(&self, way: Way, ports: &[u16]) -> Pass {
        let key = match way {
            Way::None => return No,
            // The far side of a peering does not lead on to the internet for certain.
            Way::Unclear | Way::Peering => return Maybe,
            Way::Nat(key) => key,
        };
        let walk = self.walk;
        let topology = walk.topology;
        // Subnets of nodes are no place for it, wherever they lead.
        let misplaced = |nat: &NatGateway| walk.nodes.subnets.contains(&nat.subnet);
        let Some(nat) = topology.nat_gateways.get(&key).and_then(Option::as_ref) else {
            return Maybe;
        };
        if misplaced(nat) {
            return No;
        }
        let subnet = topology.subnets.get(&nat.subnet).and_then(Option::as_ref);
        let leads = subnet.map_or(Maybe, |subnet| walk.leads_out(subnet));
        let mut pass = leads.min(walk.acl_both_ways(&nat.subnet, true, Some(&walk.world), ports));
        if nat.subnet != *self.key {
            let nodes = self.addresses();
            pass = pass.min(walk.acl_both_ways(&nat.subnet, false, nodes.as_deref(), ports));
        }
        pass
    }

    /// Whether a gateway endpoint for that service is on the table of the subnet.
    fn gateway(&self, short: &str) -> Pass {
        let walk = self.walk;
        match self.subnet.map(|subnet| &subnet.table) {
            Some(Association::Table(table)) => {
                match walk.topology.route_tables.get(table).and_then(Option::as_ref) {
                    None => return Maybe,
                    Some(table) if table.partial && self.gateway_of(short).is_none() => {
                        return Maybe;
                    }
                    Some(_) => {}
                }
            }
            Some(Association::FreshMain) => {}
            Some(Association::Unknown) | None => return Maybe,
        }
        match self.gateway_of(short) {
            Some(_) => Yes,
            None if walk.unseen_endpoint_here() => Maybe,
            None => No,
        }
    }

    fn gateway_of(&self, short: &str) -> Option<&Endpoint> {
        let walk = self.walk;
        let service = walk.service(short);
        let Association::Table(table) = &self.subnet?.table else { return None };
        walk.topology.endpoints.values().flatten().find(|e| {
            e.service == service
                && e.vpc == walk.nodes.vpc
                && matches!(&e.reach, Reach::Gateway { route_tables } if route_tables.contains(table))
        })
    }
}

impl Walk<'_> {
    #[expect(clippy::option_option, reason = "not known, and known to be empty, differ")]
    fn table_of(&self, subnet: &Subnet) -> Option<Option<(&BTreeMap<Ipv4Net, Target>, bool)>> {
        match &subnet.table {
            Association::Unknown => None,
            Association::FreshMain => Some(None),
            Association::Table(key) => {
                let table = self.topology.route_tables.get(key)?.as_ref()?;
                Some(Some((&table.routes, table.partial)))
            }
        }
    }

    /// Whether packets from a subnet leave the VPC through its internet gateway.
    fn leads_out(&self, subnet: &Subnet) -> Pass {
        let Some(table) = self.table_of(subnet) else { return Maybe };
        let Some((routes, partial)) = table else { return No };
        match routes.iter().find(|(to, _)| to.prefix_len() == 0) {
            None if partial => Maybe,
            Some((_, Target::InternetGateway(key))) => {
                match self.topology.internet_gateways.get(key).and_then(Option::as_ref) {
                    None => Maybe,
                    Some(gateway) => sure(gateway.vpc.as_ref() == Some(&subnet.vpc)),
                }
            }
            _ => No,
        }
    }

    fn is_nowhere(&self, key: &str) -> bool {
        let reach = self.endpoint(key).map(|endpoint| &endpoint.reach);
        matches!(reach, Some(Reach::Interface { subnets, .. }) if subnets.is_empty())
    }

    /// The addresses of an endpoint, subnet by subnet; `None` for a subnet that is not known.
    fn endpoint_addresses(&self, key: &str) -> Vec<Option<Rc<[Ipv4Addr]>>> {
        let Some(Reach::Interface { subnets, .. }) = self.endpoint(key).map(|e| &e.reach) else {
            return vec![None];
        };
        let address = |key: &Key| {
            let subnet = self.topology.subnets.get(key)?.as_ref()?;
            Some(self.addresses(subnet.cidr))
        };
        subnets.iter().map(address).collect()
    }

    /// Whether an endpoint answers for the workspace; with `authorised` it must be known to Databricks.
    fn serves_rest(&self, key: &Key, authorised: bool) -> Pass {
        let serves = self.endpoint(key).map_or(Maybe, |endpoint| sure(self.is_rest(endpoint)));
        if authorised { serves.min(self.authorised(key)) } else { serves }
    }

    /// Whether Databricks takes what comes through an endpoint for traffic of the workspace.
    fn authorised(&self, key: &Key) -> Pass {
        let mut unsure = false;
        if let Some(rest) = &self.nodes.rest {
            match &rest.endpoint {
                Some(registered) if registered == key => return Yes,
                Some(_) => {}
                None => unsure = true,
            }
        }
        match &self.nodes.access {
            Access::Public => {}
            Access::Unknown(_) => unsure = true,
            Access::Settings { allowed, .. } => {
                let known = |key: &Key| self.topology.registrations.contains_key(key);
                unsure |= !allowed.iter().flatten().all(known);
                for connection in self.topology.registrations.values() {
                    let may = allowed.as_ref().is_none_or(|a| a.contains(&connection.registration));
                    match &connection.endpoint {
                        Some(endpoint) if may && endpoint == key => return Yes,
                        None if may => unsure = true,
                        _ => {}
                    }
                }
            }
        }
        if unsure { Maybe } else { No }
    }
}

impl Walk<'_> {
    /// What the policy of an interface endpoint says of what nodes do there.
    fn lets_through(&self, endpoint: &Endpoint, short: &str) -> Pass {
        let policy = endpoint.policy.as_ref();
        let partition = facts::regions::partition(&self.topology.region);
        let (arn, databricks) = (&partition.arn_partition, &partition.databricks_account_id);
        match short {
            "sts" => {
                let actions = ["sts:AssumeRole", "sts:GetSessionToken", "sts:TagSession"];
                let accounts = [databricks.as_str(), self.ask.aws_account];
                all(actions.iter().flat_map(|action| {
                    accounts.map(|account| {
                        permits(policy, action, &format!("arn:{arn}:iam::{account}:role/any"))
                    })
                }))
            }
            "kinesis" => {
                let region = &self.topology.region;
                let stream = format!("arn:{arn}:kinesis:{region}:{databricks}:stream/any");
                let actions = ["kinesis:PutRecord", "kinesis:PutRecords", "kinesis:DescribeStream"];
                all(actions.iter().map(|action| permits(policy, action, &stream)))
            }
            // What is called of the others is not known.
            _ => match policy {
                None => Yes,
                Some(known) if known.statements.iter().any(|s| !s.allow) => Maybe,
                Some(_) => permits(policy, "any:Thing", "arn:any").max(Maybe),
            },
        }
    }
}

const READ: &[&str] =
    &["s3:ListBucket", "s3:GetBucketLocation", "s3:GetObject", "s3:GetObjectVersion"];
const LOG: &[&str] = &["s3:ListBucket", "s3:GetBucketLocation", "s3:PutObject"];
const WRITE: &[&str] = &[
    "s3:ListBucket",
    "s3:GetBucketLocation",
    "s3:GetObject",
    "s3:GetObjectVersion",
    "s3:PutObject",
    "s3:DeleteObject",
];

/// Whether a policy lets anyone do one thing to one object. Knows policies about everyone only.
fn permits(policy: Option<&Policy>, action: &str, resource: &str) -> Pass {
    let Some(policy) = policy else { return Yes };
    let about = |statement: &&Statement| {
        statement.actions.iter().any(|pattern| like(pattern, action))
            && statement.resources.iter().any(|pattern| like(pattern, resource))
    };
    let (mut allowed, mut denied) = (No, No);
    for statement in policy.statements.iter().filter(about) {
        let said = if statement.conditions.is_empty() { Yes } else { Maybe };
        let so_far = if statement.allow { &mut allowed } else { &mut denied };
        *so_far = said.max(*so_far);
    }
    match denied {
        Yes => No,
        Maybe => allowed.min(Maybe),
        No => allowed,
    }
}

/// Patterns end in a star or are the thing itself.
fn like(pattern: &str, text: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => text.starts_with(start),
        None => pattern == text,
    }
}

/// Two conversations that both must work.
fn both(one: Fate, other: Fate) -> Fate {
    match (one, other) {
        (Fate::Blocked, _) | (_, Fate::Blocked) => Fate::Blocked,
        (Fate::Unknown, _) | (_, Fate::Unknown) => Fate::Unknown,
        (_, Fate::Proven(Via::Nat)) => other,
        (one, _) => one,
    }
}

fn private(address: &Ipv4Addr) -> bool {
    address.is_private() || (address.octets()[0] == 100 && (64..128).contains(&address.octets()[1]))
}
