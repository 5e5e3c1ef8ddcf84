//! More permissions never take a way away, and no order decides anything.

use std::collections::{BTreeMap, BTreeSet};

use dbxctl_check as check;

use check::proof::{Ask, Proof, Verdict, prove};
use check::topology::{
    Access, AclEntry, Answer, Association, Connection, Endpoint, GroupRules, InternetGateway, Key,
    NatGateway, NetworkAcl, Nodes, Peer, Peering, PrivateZone, Protocol, Reach, Resolver,
    RouteTable, Rule, SecurityGroup, Subnet, Target, Topology, Vpc,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use spec::{Requirements, Uses};

use crate::proofs::{range, shown};

const REGION: &str = "eu-central-1";
const SUBNETS: [(&str, &str, &str); 5] = [
    ("nodes-a", "10.0.0.0/20", "private"),
    ("nodes-b", "10.0.16.0/20", "private"),
    ("ends-a", "10.0.32.0/24", "ends"),
    ("ends-b", "10.0.33.0/24", "ends"),
    ("public", "10.0.34.0/28", "public"),
];
const GROUPS: [&str; 3] = ["nodes", "more", "ends"];

fn key(text: &str) -> Key {
    text.to_owned()
}

fn net(text: &str) -> ipnet::Ipv4Net {
    text.parse().expect("a range")
}

fn peers() -> impl Strategy<Value = Peer> {
    select(vec![
        range("0.0.0.0/0"),
        range("10.0.0.0/16"),
        range("10.0.32.0/24"),
        range("10.0.0.0/19"),
        range("192.0.2.0/24"),
        Peer::PrefixList(key("pl-1")),
        Peer::Group(key("nodes")),
        Peer::Group(key("more")),
        Peer::Group(key("ends")),
        Peer::Group(key("other")),
    ])
}

fn ports() -> impl Strategy<Value = (u16, u16)> {
    select(vec![
        (0, 65535),
        (443, 443),
        (443, 6666),
        (3306, 3306),
        (6666, 6666),
        (8443, 8444),
        (8443, 8451),
        (1024, 65535),
    ])
}

fn protocols() -> impl Strategy<Value = Protocol> {
    select(vec![Protocol::Tcp, Protocol::Tcp, Protocol::All, Protocol::Udp])
}

fn rule() -> impl Strategy<Value = Rule> {
    (protocols(), ports(), peers()).prop_map(|(protocol, ports, peer)| Rule {
        protocol,
        ports,
        peer,
    })
}

/// Everything a working network has, in half of all groups.
fn group() -> impl Strategy<Value = Option<SecurityGroup>> {
    let rules = (vec(rule(), 0..4), vec(rule(), 0..4), any::<bool>());
    let read = rules.prop_map(|(mut ingress, mut egress, open)| {
        if open {
            let all = |peer| Rule { protocol: Protocol::All, ports: (0, 65535), peer };
            ingress.push(all(Peer::Group(key("nodes"))));
            egress.push(all(range("0.0.0.0/0")));
        }
        Some(GroupRules { ingress, egress })
    });
    prop_oneof![15 => read, 1 => Just(None)]
        .prop_map(|rules| Some(SecurityGroup { vpc: key("vpc"), rules }))
}

fn entry(allow: impl Strategy<Value = bool>) -> impl Strategy<Value = AclEntry> {
    let cidrs = ["0.0.0.0/0", "10.0.0.0/16", "10.0.0.0/20", "10.0.32.0/23", "192.0.2.0/25"];
    let cidr = select(cidrs.map(net).to_vec());
    (1..400_u16, any::<bool>(), protocols(), ports(), cidr, allow).prop_map(
        |(number, egress, protocol, ports, cidr, allow)| AclEntry {
            number,
            egress,
            protocol,
            ports,
            cidr,
            allow,
        },
    )
}

fn acl() -> impl Strategy<Value = NetworkAcl> {
    let names: Vec<Key> = SUBNETS.iter().map(|(name, ..)| key(name)).collect();
    let subnets = proptest::sample::subsequence(names, 0..4);
    (vec(entry(proptest::bool::weighted(0.7)), 0..5), subnets, any::<bool>()).prop_map(
        |(mut entries, subnets, open)| {
            for egress in [true, false].into_iter().filter(|_| open) {
                entries.push(AclEntry {
                    number: 400,
                    egress,
                    protocol: Protocol::All,
                    ports: (0, 65535),
                    cidr: net("0.0.0.0/0"),
                    allow: true,
                });
            }
            NetworkAcl { vpc: key("vpc"), subnets: subnets.into_iter().collect(), entries }
        },
    )
}

fn services() -> Vec<String> {
    let known = facts::regions::region(REGION).expect("the region");
    let databricks = &known.endpoint_services;
    let mut all: Vec<String> =
        [&databricks.rest, &databricks.scc_relay].into_iter().flatten().cloned().collect();
    all.extend(["sts", "kinesis"].map(|s| facts::regions::aws_service(REGION, s)));
    all
}

fn interface() -> impl Strategy<Value = Endpoint> {
    let subnets = select(vec![vec!["ends-a"], vec!["ends-b"], vec!["ends-a", "ends-b"]]);
    let groups = select(vec![vec!["ends"], vec!["nodes"], vec!["ends", "more"]]);
    let set = |keys: Vec<&str>| keys.into_iter().map(key).collect::<BTreeSet<Key>>();
    (select(services()), subnets, groups, proptest::bool::weighted(0.8)).prop_map(
        move |(service, subnets, groups, private_dns)| Endpoint {
            vpc: key("vpc"),
            service,
            reach: Reach::Interface { subnets: set(subnets), groups: set(groups), private_dns },
            policy: None,
        },
    )
}

fn endpoint() -> impl Strategy<Value = Endpoint> {
    let gateway = any::<bool>().prop_map(|narrow| Endpoint {
        vpc: key("vpc"),
        service: facts::regions::aws_service(REGION, "s3"),
        reach: Reach::Gateway { route_tables: BTreeSet::from([key("private")]) },
        policy: narrow.then(kinds::policy::Policy::default),
    });
    prop_oneof![4 => interface(), 1 => gateway]
}

fn target() -> impl Strategy<Value = Target> {
    select(vec![
        Target::NatGateway(key("nat")),
        Target::NatGateway(key("nat")),
        Target::InternetGateway(key("igw")),
        Target::Peering(key("peering")),
        Target::TransitGateway(key("tgw")),
    ])
}

fn destination() -> impl Strategy<Value = ipnet::Ipv4Net> {
    let nets = ["0.0.0.0/0", "10.8.0.0/16", "10.8.1.0/24", "192.0.2.0/24", "192.0.0.0/16"];
    select(nets.map(net).to_vec())
}

fn routes() -> impl Strategy<Value = BTreeMap<ipnet::Ipv4Net, Target>> {
    let default = || Just(BTreeMap::from([(net("0.0.0.0/0"), Target::NatGateway(key("nat")))]));
    prop_oneof![default(), proptest::collection::btree_map(destination(), target(), 0..3)]
}

fn zone() -> impl Strategy<Value = PrivateZone> {
    let names = ["cloud.databricks.com", "privatelink.cloud.databricks.com", "amazonaws.com"];
    let hosts = [
        "wk.cloud.databricks.com",
        "frankfurt.privatelink.cloud.databricks.com",
        "tunnel.privatelink.eu-central-1.cloud.databricks.com",
        "sts.eu-central-1.amazonaws.com",
    ];
    let answers = select(vec![
        Answer::Endpoint(key("endpoint-0")),
        Answer::Endpoint(key("endpoint-1")),
        Answer::Address("10.0.32.7".parse().expect("an address")),
    ]);
    let records = proptest::collection::btree_map(select(hosts.map(key).to_vec()), answers, 0..4);
    (select(names.to_vec()), records).prop_map(|(name, records)| PrivateZone {
        name: key(name),
        vpcs: BTreeSet::from([key("vpc")]),
        records,
    })
}

prop_compose! {
    fn nodes()(
        rest in proptest::option::of(0..3_usize),
        relay in proptest::option::of(0..3_usize),
        more in any::<bool>(),
        public in any::<bool>(),
    ) -> Nodes {
        let connection = |n: usize| Connection {
            registration: format!("registration-{n}"),
            endpoint: Some(format!("endpoint-{n}")),
        };
        let mut groups = vec![key("nodes")];
        groups.extend(more.then(|| key("more")));
        Nodes {
            vpc: key("vpc"),
            subnets: vec![key("nodes-a"), key("nodes-b")],
            groups,
            rest: rest.map(connection),
            relay: relay.map(connection),
            access: Access::Settings { key: key("settings"), public, allowed: None },
            root_bucket: Some(key("root")),
        }
    }
}

prop_compose! {
    fn topology()(
        nodes in nodes(),
        groups in vec(group(), 3),
        acls in vec(acl(), 0..2),
        endpoints in vec(endpoint(), 0..6),
        zones in vec(zone(), 0..2),
        tables in (routes(), routes()),
        well in any::<bool>(),
        hostnames in proptest::bool::weighted(0.9),
        routes_back in any::<bool>(),
    ) -> Topology {
        let mut topology = Topology { region: key(REGION), ..Topology::default() };
        topology.vpcs.insert(key("vpc"), Some(Vpc {
            cidrs: vec![net("10.0.0.0/16")],
            dns_support: true,
            dns_hostnames: hostnames,
            resolver: Resolver::Amazon,
        }));
        for (name, cidr, table) in SUBNETS {
            topology.subnets.insert(key(name), Some(Subnet {
                vpc: key("vpc"),
                cidr: net(cidr),
                zone: key("a"),
                public_ips: false,
                table: Association::Table(key(table)),
            }));
        }
        let out = BTreeMap::from([(net("0.0.0.0/0"), Target::InternetGateway(key("igw")))]);
        let public = if well { out } else { tables.1 };
        for (name, routes) in [("private", tables.0), ("public", public), ("ends", BTreeMap::new())] {
            let table = RouteTable { vpc: key("vpc"), routes, partial: false };
            topology.route_tables.insert(key(name), Some(table));
        }
        let gateway = InternetGateway { vpc: Some(key("vpc")) };
        topology.internet_gateways.insert(key("igw"), Some(gateway));
        topology.nat_gateways.insert(key("nat"), Some(NatGateway { subnet: key("public") }));
        topology.peerings.insert(key("peering"), Some(Peering {
            vpc: key("vpc"),
            peer_vpc: key("far"),
            peer_cidrs: vec![net("10.8.0.0/16")],
            routes_back,
            dns: false,
        }));
        for (name, group) in GROUPS.into_iter().zip(groups) {
            topology.groups.insert(key(name), group);
        }
        for (number, acl) in acls.into_iter().enumerate() {
            topology.acls.insert(format!("acl-{number}"), Some(acl));
        }
        for (number, endpoint) in endpoints.into_iter().enumerate() {
            let endpoint_key = format!("endpoint-{number}");
            let registration = Connection {
                registration: format!("registration-{number}"),
                endpoint: Some(endpoint_key.clone()),
            };
            topology.registrations.insert(registration.registration.clone(), registration);
            topology.endpoints.insert(endpoint_key, Some(endpoint));
        }
        for zone in zones {
            topology.zones.insert(format!("zone-{}", zone.name), Some(zone));
        }
        topology.workspaces.insert(key("wk"), nodes);
        topology
    }
}

/// What may be added to a network.
#[derive(Debug, Clone)]
enum More {
    Rule {
        group: &'static str,
        ingress: bool,
        rule: Rule,
    },
    Route {
        table: &'static str,
        to: ipnet::Ipv4Net,
        via: Target,
    },
    /// Before or behind all others, by key.
    Endpoint {
        first: bool,
        endpoint: Endpoint,
    },
    Entry(AclEntry),
}

fn more() -> impl Strategy<Value = More> {
    prop_oneof![
        (select(GROUPS.to_vec()), any::<bool>(), rule())
            .prop_map(|(group, ingress, rule)| More::Rule { group, ingress, rule }),
        (select(vec!["private", "public"]), destination(), target())
            .prop_map(|(table, to, via)| More::Route { table, to, via }),
        (any::<bool>(), endpoint())
            .prop_map(|(first, endpoint)| More::Endpoint { first, endpoint }),
        entry(Just(true)).prop_map(More::Entry),
    ]
}

/// The network with more in it; `false` if that would replace something.
fn add(topology: &mut Topology, more: &More) -> bool {
    match more {
        More::Rule { group, ingress, rule } => {
            let group = topology.groups.get_mut(*group).and_then(Option::as_mut);
            let Some(rules) = group.and_then(|g| g.rules.as_mut()) else { return false };
            let side = if *ingress { &mut rules.ingress } else { &mut rules.egress };
            side.push(rule.clone());
            true
        }
        More::Route { table, to, via } => {
            let table = topology.route_tables.get_mut(*table).and_then(Option::as_mut);
            let routes = &mut table.expect("the table").routes;
            routes.insert(*to, via.clone()).is_none()
        }
        More::Endpoint { first, endpoint } => {
            let name = if *first { "an endpoint" } else { "the endpoint" };
            topology.endpoints.insert(key(name), Some(endpoint.clone())).is_none()
        }
        More::Entry(entry) => {
            let Some(Some(acl)) = topology.acls.get_mut("acl-0") else { return false };
            let taken =
                acl.entries.iter().any(|e| e.number == entry.number && e.egress == entry.egress);
            acl.entries.push(entry.clone());
            !taken
        }
    }
}

fn proofs(topology: &Topology) -> Vec<Proof> {
    let uses = Uses {
        global_sts: true,
        hosts: ["pypi.org:443", "192.0.2.0/25:443", "10.8.1.0/24:9092", "10.0.33.0/24:443"]
            .map(key)
            .into(),
        ..Uses::default()
    };
    let requirements = Requirements::default();
    let ask = Ask { uses: &uses, requirements: &requirements, user_names: None, aws_account: "1" };
    prove(topology, "wk", &ask)
}

fn words(proof: &Proof) -> String {
    let at = match &proof.verdict {
        Verdict::Blocked { block, .. } => block.at.as_str(),
        _ => "",
    };
    format!("{} {} {}: {} {at}", proof.from, proof.class, proof.to, shown(&proof.verdict))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]

    #[test]
    fn more_never_takes_a_way_away(before in topology(), more in more()) {
        let mut after = before.clone();
        prop_assume!(add(&mut after, &more));
        for (old, new) in proofs(&before).iter().zip(&proofs(&after)) {
            prop_assert_eq!((&old.from, old.class, &old.to), (&new.from, new.class, &new.to));
            if !matches!(old.verdict, Verdict::Proven { .. }) {
                continue;
            }
            let stays = matches!(more, More::Rule { .. } | More::Entry(_));
            if stays {
                prop_assert_eq!(words(old), words(new));
            }
            if let Verdict::Blocked { block, .. } = &new.verdict {
                // A name or a route moved the way, and the message says so.
                let told = ["leads", "specific"].iter().any(|w| block.message.contains(w));
                prop_assert!(told, "{more:?} made {} of {}", block.message, words(old));
            }
        }
    }

    #[test]
    fn no_order_decides(
        topology in topology(),
        shuffled in any::<proptest::sample::Index>(),
    ) {
        let mut other = topology.clone();
        let turn = shuffled.index(5);
        for group in other.groups.values_mut().flatten() {
            if let Some(rules) = &mut group.rules {
                rotate(&mut rules.ingress, turn);
                rotate(&mut rules.egress, turn);
            }
        }
        for acl in other.acls.values_mut().flatten() {
            rotate(&mut acl.entries, turn);
        }
        for nodes in other.workspaces.values_mut() {
            rotate(&mut nodes.subnets, turn);
            rotate(&mut nodes.groups, turn);
        }
        let sorted = |topology: &Topology| {
            let mut all: Vec<String> = proofs(topology).iter().map(words).collect();
            all.sort();
            all
        };
        prop_assert_eq!(sorted(&topology), sorted(&other));
    }
}

/// Another order of the same.
fn rotate<T>(items: &mut [T], turn: usize) {
    if !items.is_empty() {
        let by = turn % items.len();
        items.rotate_left(by);
        items.reverse();
    }
}
