//! Small networks: right ones, with something wrong here and there.

use std::collections::{BTreeMap, BTreeSet};

use dbxctl_check::topology::{
    Access, AclEntry, Answer, Association, Connection, Endpoint, GroupRules, InternetGateway,
    NatGateway, NetworkAcl, Nodes, Peer, Peering, PrivateZone, Protocol, Reach, Resolver,
    RouteTable, Rule, SecurityGroup, Subnet, Target, Topology, Vpc,
};
use ipnet::Ipv4Net;
use kinds::policy::{Policy, Principal, Statement};
use spec::{ExternalMetastore, Internet, Requirements, Service, Uses};

/// A network and what is asked of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Case {
    pub(crate) topology: Topology,
    pub(crate) uses: Uses,
    pub(crate) requirements: Requirements,
}

/// SplitMix64: small, and the same everywhere.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % n as u64).expect("less than n")
    }

    /// So many times in a hundred.
    fn chance(&mut self, percent: u64) -> bool {
        self.next() % 100 < percent
    }

    fn pick<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())].clone()
    }
}

fn net(text: &str) -> Ipv4Net {
    text.parse().expect("a range")
}

pub(crate) const WORKSPACE: &str = "wk";
const ACCOUNT: &str = "111122223333";
const VPC: &str = "vpc";

/// The case of a number.
pub(crate) fn case(seed: u64) -> Case {
    let mut dice = Dice(seed.wrapping_mul(0x2545_f491_4f6c_dd1d));
    // How much is wrong: mostly little, so that the rest is seen to work.
    let trouble = dice.pick(&[0, 1, 1, 3, 3, 6, 12, 25]);
    Making { dice, trouble, topology: Topology::default() }.all()
}

struct Making {
    dice: Dice,
    trouble: u64,
    topology: Topology,
}

impl Making {
    fn all(mut self) -> Case {
        let regions = ["eu-central-1", "eu-central-1", "eu-central-1", "ap-northeast-1"];
        self.topology.region = match self.dice.below(10) {
            0 => "us-west-1".to_owned(),
            1 => "us-gov-west-1".to_owned(),
            _ => self.dice.pick(&regions).to_owned(),
        };
        let uses = self.uses();
        self.vpcs();
        let nodes = self.subnets();
        self.groups();
        self.endpoints();
        self.zones();
        self.acls();
        self.workspace(nodes);
        self.unread();
        let mut requirements = Requirements::default();
        if self.dice.chance(5) {
            requirements.internet = Internet::Forbidden;
        }
        Case { topology: self.topology, uses, requirements }
    }

    fn wrong(&mut self) -> bool {
        let trouble = self.trouble;
        self.dice.chance(trouble)
    }

    fn uses(&mut self) -> Uses {
        let dice = &mut self.dice;
        let mut uses = Uses {
            legacy_metastore: dice.pick(&[None, None, Some(false)]),
            compliance_profile: dice.chance(20),
            lakebase: dice.chance(20),
            system_tables: dice.chance(80),
            sample_data: dice.chance(30),
            global_sts: dice.chance(20),
            ..Uses::default()
        };
        uses.external_metastore = match dice.below(8) {
            0 => Some(ExternalMetastore::Glue),
            1 => Some(ExternalMetastore::Database("10.0.3.77:3306".to_owned())),
            2 => Some(ExternalMetastore::Database("10.9.0.5:3306".to_owned())),
            3 => Some(ExternalMetastore::Database("db.example.com:443".to_owned())),
            _ => None,
        };
        if dice.chance(30) {
            uses.buckets.insert("lake".to_owned(), "eu-central-1".to_owned());
        }
        if dice.chance(30) {
            uses.services = [dice.pick(&[Service::Glue, Service::Kms, Service::Ec2])].into();
        }
        for host in ["pypi.org:443", "10.9.0.0/24:443", "10.0.0.0/15:443", "203.0.113.0/24:8443"] {
            if dice.chance(12) {
                uses.hosts.insert(host.to_owned());
            }
        }
        uses
    }

    fn vpcs(&mut self) {
        let vpc = Vpc {
            cidrs: if self.dice.chance(10) {
                vec![net("10.0.0.0/16"), net("10.1.0.0/16")]
            } else {
                vec![net("10.0.0.0/16")]
            },
            dns_support: !self.wrong(),
            dns_hostnames: !self.wrong(),
            resolver: if self.wrong() {
                Resolver::Own(vec![std::net::Ipv4Addr::new(10, 0, 0, 53)])
            } else {
                Resolver::Amazon
            },
        };
        self.topology.vpcs.insert(VPC.to_owned(), Some(vpc));
        let attached = if self.wrong() { None } else { Some(VPC.to_owned()) };
        let gateway = InternetGateway { vpc: attached };
        self.topology.internet_gateways.insert("igw".to_owned(), Some(gateway));
    }

    fn table(&mut self, key: &str, routes: &[(&str, Target)]) {
        let routes = routes.iter().map(|(to, target)| (net(to), target.clone())).collect();
        let partial = self.dice.chance(self.trouble / 3);
        let table = RouteTable { vpc: VPC.to_owned(), routes, partial };
        self.topology.route_tables.insert(key.to_owned(), Some(table));
    }

    fn subnet(&mut self, key: &str, cidr: &str, zone: &str, table: &str) {
        let table = match self.dice.below(8) {
            0 if self.wrong() => Association::FreshMain,
            1 if self.wrong() => Association::Unknown,
            _ => Association::Table(table.to_owned()),
        };
        let (vpc, zone) = (VPC.to_owned(), zone.to_owned());
        let subnet = Subnet { vpc, cidr: net(cidr), zone, public_ips: false, table };
        self.topology.subnets.insert(key.to_owned(), Some(subnet));
    }

    /// Subnets with their tables and gateways; the keys of those for nodes.
    fn subnets(&mut self) -> Vec<String> {
        let internet = Target::InternetGateway("igw".to_owned());
        let way_out = match self.dice.below(20) {
            0 if self.wrong() => Target::NatGateway("nat2".to_owned()),
            _ => internet,
        };
        self.table("rt-public", &[("0.0.0.0/0", way_out)]);
        self.subnet("public", "10.0.200.0/28", "a", "rt-public");
        let place = if self.wrong() { "node-0" } else { "public" };
        let nat = NatGateway { subnet: place.to_owned() };
        self.topology.nat_gateways.insert("nat".to_owned(), Some(nat));
        self.table("rt-local", &[]);
        let peering = Peering {
            vpc: VPC.to_owned(),
            peer_vpc: "vpc-far".to_owned(),
            peer_cidrs: vec![net("10.9.0.0/16")],
            routes_back: self.dice.chance(70),
            dns: true,
        };
        self.topology.peerings.insert("peering".to_owned(), Some(peering));
        let nat = self.dice.chance(60);
        let count = if self.dice.chance(25) { 3 } else { 2 };
        let shared = self.dice.chance(50);
        let mut keys = Vec::new();
        for (n, zone) in ["a", "b", "c"].iter().take(count).enumerate() {
            let table = if shared { "rt-0".to_owned() } else { format!("rt-{n}") };
            let routes = self.routes(nat);
            let routes: Vec<(&str, Target)> =
                routes.iter().map(|(to, via)| (to.as_str(), via.clone())).collect();
            self.table(&table, &routes);
            let key = format!("node-{n}");
            let block = if self.dice.chance(10) { 1 } else { 0 };
            self.subnet(&key, &format!("10.{block}.{n}.0/24"), zone, &table);
            keys.push(key);
        }
        for (n, zone) in ["a", "b"].iter().enumerate() {
            self.subnet(&format!("ept-{n}"), &format!("10.0.10{n}.0/27"), zone, "rt-local");
        }
        keys
    }

    fn routes(&mut self, nat: bool) -> BTreeMap<String, Target> {
        let mut routes = BTreeMap::new();
        let gateway = if self.wrong() {
            self.dice.pick(&[
                None,
                Some(Target::InternetGateway("igw".to_owned())),
                Some(Target::TransitGateway("tgw-1".to_owned())),
                Some(Target::Other("eni-1".to_owned())),
                Some(Target::Peering("peering".to_owned())),
                Some(Target::NatGateway("nat-nowhere".to_owned())),
            ])
        } else {
            nat.then(|| Target::NatGateway("nat".to_owned()))
        };
        if let Some(gateway) = gateway {
            routes.insert("0.0.0.0/0".to_owned(), gateway);
        }
        if self.dice.chance(60) {
            let to = self.dice.pick(&["10.9.0.0/16", "10.9.0.0/25", "10.9.0.0/24", "10.8.0.0/15"]);
            let via = match self.dice.below(10) {
                0 => Target::TransitGateway("tgw-1".to_owned()),
                1 => Target::NatGateway("nat".to_owned()),
                _ => Target::Peering("peering".to_owned()),
            };
            routes.insert(to.to_owned(), via);
        }
        routes
    }

    fn group(&mut self, key: &str, mut ingress: Vec<Rule>, mut egress: Vec<Rule>) {
        for rules in [&mut ingress, &mut egress] {
            let mut kept = Vec::new();
            for rule in rules.drain(..) {
                if !self.wrong() {
                    kept.push(self.bent(rule));
                }
            }
            *rules = kept;
        }
        let unread = self.wrong() && self.dice.chance(40);
        let rules = (!unread).then_some(GroupRules { ingress, egress });
        let group = SecurityGroup { vpc: VPC.to_owned(), rules };
        self.topology.groups.insert(key.to_owned(), Some(group));
    }

    /// A rule, or one that is nearly it.
    fn bent(&mut self, mut rule: Rule) -> Rule {
        if !self.wrong() {
            return rule;
        }
        match self.dice.below(6) {
            0 => rule.protocol = self.dice.pick(&[Protocol::All, Protocol::Udp, Protocol::Other]),
            1 => rule.ports.0 = rule.ports.0.saturating_add(1),
            2 => rule.ports.1 = rule.ports.1.saturating_sub(1).max(rule.ports.0),
            _ => rule.peer = self.peer(),
        }
        rule
    }

    fn peer(&mut self) -> Peer {
        let nets = [
            "0.0.0.0/0",
            "0.0.0.0/1",
            "52.0.0.0/8",
            "10.0.0.0/8",
            "10.0.0.0/16",
            "10.0.0.0/24",
            "10.0.0.128/25",
            "10.0.100.0/27",
            "10.0.100.0/28",
            "10.0.96.0/20",
            "10.9.0.0/24",
            "10.9.0.0/16",
        ];
        match self.dice.below(8) {
            0 => Peer::PrefixList("pl-s3".to_owned()),
            1 => Peer::Group("sg-nodes".to_owned()),
            2 => Peer::Group("sg-ept".to_owned()),
            3 => Peer::Group("sg-far".to_owned()),
            _ => Peer::Cidr(net(self.dice.pick(&nets))),
        }
    }

    fn groups(&mut self) {
        let rule = |protocol, from, to, peer: &Peer| Rule {
            protocol,
            ports: (from, to),
            peer: peer.clone(),
        };
        let tcp = |from, to, peer: &Peer| rule(Protocol::Tcp, from, to, peer);
        let nodes = Peer::Group("sg-nodes".to_owned());
        let endpoints = Peer::Group("sg-ept".to_owned());
        let isolated = self.dice.chance(30);
        let out =
            if isolated { Peer::Cidr(net("10.0.0.0/8")) } else { Peer::Cidr(net("0.0.0.0/0")) };
        let out = if self.dice.chance(10) { endpoints.clone() } else { out };
        let own = if self.dice.chance(30) {
            vec![rule(Protocol::All, 0, 0, &nodes)]
        } else {
            vec![tcp(0, 65535, &nodes), rule(Protocol::Udp, 0, 65535, &nodes)]
        };
        let mut egress = own.clone();
        let ports: &[(u16, u16)] = if self.dice.chance(30) {
            // The same ports, cut differently.
            &[
                (443, 443),
                (2443, 2443),
                (3306, 3306),
                (5432, 5432),
                (6666, 6666),
                (8443, 8447),
                (8448, 8451),
            ]
        } else {
            &[(443, 443), (2443, 2443), (3306, 3306), (5432, 5432), (6666, 6666), (8443, 8451)]
        };
        egress.extend(ports.iter().map(|(from, to)| tcp(*from, *to, &out)));
        egress.push(tcp(443, 443, &Peer::PrefixList("pl-s3".to_owned())));
        let dns = Peer::Cidr(net("10.0.0.0/16"));
        egress.extend([tcp(53, 53, &dns), rule(Protocol::Udp, 53, 53, &dns)]);
        self.group("sg-nodes", own, egress);
        let from = match self.dice.below(6) {
            0 => Peer::Cidr(net("10.0.0.0/8")),
            1 => Peer::Cidr(net("10.0.0.0/16")),
            2 => endpoints,
            _ => nodes,
        };
        let ports: &[(u16, u16)] = match self.dice.below(6) {
            0 => &[(443, 443), (2443, 2443), (6666, 6666)],
            1 => &[(0, 65535)],
            _ => &[(443, 443), (2443, 2443), (6666, 6666), (8443, 8451)],
        };
        let ingress = ports.iter().map(|(a, b)| tcp(*a, *b, &from)).collect();
        self.group("sg-ept", ingress, Vec::new());
    }

    fn policy(&mut self) -> Option<Policy> {
        if !self.wrong() {
            return None;
        }
        let everything = || Statement {
            allow: true,
            principals: [Principal::Anyone].into(),
            actions: ["*".to_owned()].into(),
            resources: ["*".to_owned()].into(),
            ..Statement::default()
        };
        let mut statement = everything();
        let mut statements = Vec::new();
        match self.dice.below(5) {
            0 => return Some(Policy::new([])),
            1 => {}
            2 => {
                let values = BTreeMap::from([(
                    "aws:SourceIp".to_owned(),
                    BTreeSet::from(["1.2.3.4".to_owned()]),
                )]);
                statement.conditions = BTreeMap::from([("StringEquals".to_owned(), values)]);
            }
            3 => {
                let own = ["arn:aws:s3:::root".to_owned(), "arn:aws:s3:::root/*".to_owned()];
                statement.resources = own.into();
            }
            _ => {
                let mut denied = everything();
                denied.allow = false;
                let actions =
                    ["s3:PutObject", "s3:ListBucket", "sts:TagSession", "kinesis:PutRecord"];
                denied.actions = [self.dice.pick(&actions).to_owned()].into();
                statements.push(denied);
            }
        }
        statements.push(statement);
        Some(Policy::new(statements))
    }

    fn endpoints(&mut self) {
        let region = self.topology.region.clone();
        let known = facts::regions::region(&region).expect("a region that is known");
        let services = &known.endpoint_services;
        let aws = |name: &str| facts::regions::aws_service(&region, name);
        let all = [
            ("sts", aws("sts"), 75),
            ("kinesis", aws("kinesis"), 75),
            ("rest", services.rest.clone().expect("a service"), 80),
            ("relay", services.scc_relay.clone().expect("a service"), 80),
            ("glue", aws("glue"), 30),
            ("kms", aws("kms"), 30),
        ];
        let backend = self.dice.chance(70);
        for (key, service, percent) in all {
            let wanted =
                if matches!(key, "rest" | "relay") { backend } else { self.dice.chance(percent) };
            if wanted && !self.wrong() {
                self.interface(key, service);
            }
        }
        if self.dice.chance(30) {
            // Another one to the same service, for users.
            self.interface("front", services.rest.clone().expect("a service"));
            if let Some(Some(Endpoint { reach: Reach::Interface { private_dns, .. }, .. })) =
                self.topology.endpoints.get_mut("front")
            {
                *private_dns = false;
            }
        }
        if self.dice.chance(80) {
            let mut route_tables: BTreeSet<String> = BTreeSet::new();
            for n in 0..3 {
                if !self.wrong() {
                    route_tables.insert(format!("rt-{n}"));
                }
            }
            let policy = self.policy();
            let reach = Reach::Gateway { route_tables };
            let s3 = Endpoint { vpc: VPC.to_owned(), service: aws("s3"), reach, policy };
            self.topology.endpoints.insert("s3".to_owned(), Some(s3));
        }
    }

    fn interface(&mut self, key: &str, service: String) {
        let mut subnets: BTreeSet<String> = match self.dice.below(5) {
            0 => ["ept-0"].map(str::to_owned).into(),
            1 => ["node-0"].map(str::to_owned).into(),
            2 => ["node-0", "node-1"].map(str::to_owned).into(),
            _ => ["ept-0", "ept-1"].map(str::to_owned).into(),
        };
        if self.wrong() && self.dice.chance(20) {
            subnets.clear();
        }
        let mut groups = BTreeSet::from(["sg-ept".to_owned()]);
        if self.wrong() {
            groups = self.dice.pick(&[
                BTreeSet::new(),
                ["sg-nodes".to_owned()].into(),
                ["sg-ept".to_owned(), "sg-far".to_owned()].into(),
            ]);
        }
        let private_dns = !self.wrong();
        let policy =
            if matches!(key, "sts" | "kinesis" | "kms" | "glue") { self.policy() } else { None };
        let reach = Reach::Interface { subnets, groups, private_dns };
        let endpoint = Endpoint { vpc: VPC.to_owned(), service, reach, policy };
        self.topology.endpoints.insert(key.to_owned(), Some(endpoint));
    }

    fn zones(&mut self) {
        if !self.dice.chance(3 + self.trouble) {
            return;
        }
        let domain = &facts::regions::partition(&self.topology.region).workspace_domain;
        let host = format!("{WORKSPACE}.{domain}");
        let name = match self.dice.below(5) {
            0 => domain.clone(),
            1 => format!("privatelink.{domain}"),
            2 => "sts.eu-central-1.amazonaws.com".to_owned(),
            _ => host.clone(),
        };
        let mut records = BTreeMap::new();
        let rest = facts::regions::region(&self.topology.region)
            .and_then(|r| r.rest_privatelink_hostname.clone());
        let asked = [Some(host), rest, Some("sts.eu-central-1.amazonaws.com".to_owned())];
        for asked in asked.into_iter().flatten() {
            if (asked == name || asked.ends_with(&format!(".{name}"))) && self.dice.chance(75) {
                let known: Vec<String> = self.topology.endpoints.keys().cloned().collect();
                let answer = match self.dice.below(6) {
                    0 => Answer::Address(std::net::Ipv4Addr::new(10, 0, 3, 9)),
                    1 if !known.is_empty() => Answer::Endpoint(self.dice.pick(&known)),
                    2 => Answer::Endpoint("front".to_owned()),
                    _ => Answer::Endpoint("rest".to_owned()),
                };
                let there = match &answer {
                    Answer::Endpoint(key) => {
                        let endpoint = self.topology.endpoints.get(key).and_then(Option::as_ref);
                        endpoint.is_some_and(|e| matches!(e.reach, Reach::Interface { .. }))
                    }
                    Answer::Address(_) => true,
                };
                if there {
                    records.insert(asked, answer);
                }
            }
        }
        let vpcs = if self.dice.chance(85) { [VPC.to_owned()].into() } else { BTreeSet::new() };
        self.topology.zones.insert("zone".to_owned(), Some(PrivateZone { name, vpcs, records }));
    }

    fn acls(&mut self) {
        let count = match self.dice.below(10) {
            0..=5 => 0,
            6..=8 => 1,
            _ => 2,
        };
        let subnets: Vec<String> = self.topology.subnets.keys().cloned().collect();
        let mut free: BTreeSet<String> = subnets.into_iter().collect();
        for n in 0..count {
            let mut mine = BTreeSet::new();
            for subnet in free.clone() {
                if self.dice.chance(40) {
                    free.remove(&subnet);
                    mine.insert(subnet);
                }
            }
            let mut entries = Vec::new();
            let open = |number, egress| AclEntry {
                number,
                egress,
                protocol: Protocol::All,
                ports: (0, 65535),
                cidr: net("0.0.0.0/0"),
                allow: true,
            };
            for egress in [false, true] {
                if self.dice.chance(70) {
                    entries.push(open(100, egress));
                } else {
                    let tcp = |number, from, to| AclEntry {
                        number,
                        ports: (from, to),
                        protocol: Protocol::Tcp,
                        ..open(number, egress)
                    };
                    entries.push(tcp(100, 443, 443));
                    entries.push(tcp(110, 1024, 65535));
                    let local = AclEntry { cidr: net("10.0.0.0/8"), ..open(120, egress) };
                    entries.push(local);
                }
            }
            for _ in 0..self.dice.below(3) {
                if self.wrong() || self.dice.chance(10) {
                    let entry = self.entry();
                    if entries.iter().all(|e| (e.number, e.egress) != (entry.number, entry.egress))
                    {
                        entries.push(entry);
                    }
                }
            }
            if self.wrong() {
                let last = self.dice.below(entries.len());
                entries.remove(last);
            }
            let acl = NetworkAcl { vpc: VPC.to_owned(), subnets: mine, entries };
            self.topology.acls.insert(format!("acl-{n}"), Some(acl));
        }
    }

    fn entry(&mut self) -> AclEntry {
        let dice = &mut self.dice;
        let nets = [
            "0.0.0.0/0",
            "0.0.0.0/1",
            "10.0.0.0/8",
            "10.0.0.0/16",
            "10.0.0.0/24",
            "10.0.0.128/25",
            "10.0.1.0/24",
            "10.0.100.0/27",
            "10.0.100.16/28",
            "10.0.200.0/28",
            "10.9.0.0/16",
        ];
        let ports = [
            (443, 443),
            (0, 65535),
            (1024, 65535),
            (32768, 65535),
            (1024, 32767),
            (8443, 8451),
            (0, 1023),
        ];
        AclEntry {
            number: dice.pick(&[50, 90, 105, 200]),
            egress: dice.chance(50),
            protocol: dice.pick(&[
                Protocol::Tcp,
                Protocol::Tcp,
                Protocol::Udp,
                Protocol::All,
                Protocol::Other,
            ]),
            ports: dice.pick(&ports),
            cidr: net(dice.pick(&nets)),
            allow: dice.chance(40),
        }
    }

    fn connection(&mut self, key: &str) -> Option<Connection> {
        let there = self.topology.endpoints.contains_key(key);
        if !there {
            return None;
        }
        let endpoint = if self.wrong() {
            self.dice.pick(&[None, Some("relay".to_owned()), Some("front".to_owned())])
        } else {
            Some(key.to_owned())
        };
        // A registration of nothing is none.
        let endpoint = endpoint.filter(|e| self.topology.endpoints.contains_key(e));
        let connection = Connection { registration: format!("reg-{key}"), endpoint };
        self.topology.registrations.insert(connection.registration.clone(), connection.clone());
        Some(connection)
    }

    fn workspace(&mut self, subnets: Vec<String>) {
        let (rest, relay) = (self.connection("rest"), self.connection("relay"));
        self.connection("front");
        let (mut rest, relay) =
            if rest.is_some() && relay.is_some() { (rest, relay) } else { (None, None) };
        if self.wrong() && self.dice.chance(20) {
            rest = None;
        }
        let private = rest.is_some() || self.dice.chance(20);
        let access = match self.dice.below(12) {
            0 if self.wrong() => Access::Unknown("pas".to_owned()),
            0 if self.wrong() => Access::Public,
            _ if private => Access::Settings {
                key: "pas".to_owned(),
                public: self.dice.chance(60),
                allowed: if self.dice.chance(60) {
                    None
                } else {
                    Some(["reg-rest".to_owned()].into())
                },
            },
            _ => Access::Public,
        };
        let groups = if self.dice.chance(20) {
            vec!["sg-nodes".to_owned(), "sg-ept".to_owned()]
        } else {
            vec!["sg-nodes".to_owned()]
        };
        let nodes = Nodes {
            vpc: VPC.to_owned(),
            subnets,
            groups,
            rest,
            relay,
            access,
            root_bucket: Some("root".to_owned()),
        };
        self.topology.workspaces.insert(WORKSPACE.to_owned(), nodes);
    }

    /// Things that exist and were not read.
    fn unread(&mut self) {
        if !self.wrong() {
            return;
        }
        fn forget<T>(objects: &mut BTreeMap<String, Option<T>>, dice: &mut Dice) {
            let keys: Vec<String> = objects.keys().cloned().collect();
            if !keys.is_empty() {
                objects.insert(dice.pick(&keys), None);
            }
        }
        let (topology, dice) = (&mut self.topology, &mut self.dice);
        match dice.below(12) {
            0 => forget(&mut topology.vpcs, dice),
            1 | 2 => forget(&mut topology.subnets, dice),
            3 => forget(&mut topology.route_tables, dice),
            4 => forget(&mut topology.internet_gateways, dice),
            5 => forget(&mut topology.nat_gateways, dice),
            6 => forget(&mut topology.groups, dice),
            7 => forget(&mut topology.acls, dice),
            8 => forget(&mut topology.endpoints, dice),
            9 => forget(&mut topology.zones, dice),
            10 => forget(&mut topology.peerings, dice),
            _ => {
                topology.endpoints.insert("vpce-unread".to_owned(), None);
            }
        }
    }
}

/// The AWS account of all cases.
pub(crate) fn account() -> &'static str {
    ACCOUNT
}
