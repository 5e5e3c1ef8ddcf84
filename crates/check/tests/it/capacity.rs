//! Room for nodes, and limits.

use dbxctl_check as check;

use check::topology::{Endpoint, NatGateway, Reach, Topology};
use check::{Capacity, Limit};
use facts::subnets::RESERVED;

use crate::stage::Stage;

const HEAD: &str = "
apiVersion: dbxctl/v1
name: room
region: eu-central-1
aws: { account: \"111122223333\" }
databricks: { account: 3f8a1c52-7d40-4be1-9c6e-2b5d8e0f1a77 }
";

fn stage(rest: &str) -> Stage {
    Stage::of(&format!("{HEAD}{rest}"))
}

fn room(stage: &Stage) -> Capacity {
    check::capacity(&stage.spec, &stage.topology())
}

fn interface(topology: &mut Topology, subnet: &str) {
    let vpc = topology.subnets[subnet].as_ref().map(|s| s.vpc.clone()).expect("a known subnet");
    let reach = Reach::Interface {
        subnets: [subnet.to_owned()].into(),
        groups: [].into(),
        private_dns: false,
    };
    let service = "com.amazonaws.eu-central-1.sts".to_owned();
    let endpoint = Endpoint { vpc, service, reach, policy: None };
    topology.endpoints.insert(format!("x{}", topology.endpoints.len()), Some(endpoint));
}

const TWO: &str = "
vpcs:
  main: { cidr: 10.0.0.0/16, zones: [eu-central-1a, eu-central-1b] }
workspaces:
  a: { vpc: main, subnets: { prefix: /24, block: 0 } }
";

#[test]
fn nodes_by_subnet_zone_and_workspace() {
    let room = room(&stage(TWO));
    assert_eq!(room.subnets.len(), 2);
    for subnet in &room.subnets {
        assert_eq!((subnet.addresses, subnet.kept, subnet.others), (256, 5, 0));
        assert_eq!(subnet.nodes, 125);
        assert!(subnet.exact && !subnet.is_short());
    }
    let [workspace] = &room.workspaces[..] else { panic!("{room:#?}") };
    assert_eq!(workspace.nodes, 250);
    assert_eq!(workspace.zones["eu-central-1a"], 125);
    assert!(workspace.exact && !workspace.shared);
}

#[test]
fn endpoints_and_nat_gateways_eat_addresses() {
    let stage = stage(TWO);
    let mut topology = stage.topology();
    let subnet = "aws.subnet/a.eu-central-1a";
    let nodes = |topology: &Topology| {
        let room = check::capacity(&stage.spec, topology);
        let found = room.subnets.iter().find(|s| s.subnet == subnet).expect("the subnet");
        (found.others, found.nodes, found.exact)
    };
    // Of 251 addresses one is left over; the first endpoint takes that one.
    interface(&mut topology, subnet);
    assert_eq!(nodes(&topology), (1, 125, true));
    interface(&mut topology, subnet);
    assert_eq!(nodes(&topology), (2, 124, true));
    let nat = NatGateway { subnet: subnet.to_owned() };
    topology.nat_gateways.insert("nat".to_owned(), Some(nat));
    assert_eq!(nodes(&topology), (3, 124, true));
    topology.endpoints.insert("vpce-unread".to_owned(), None);
    assert_eq!(nodes(&topology), (3, 124, false));
}

#[test]
fn a_subnet_that_others_fill_has_room_for_none() {
    let stage = stage(TWO);
    let mut topology = stage.topology();
    for _ in 0..300 {
        interface(&mut topology, "aws.subnet/a.eu-central-1a");
    }
    let room = check::capacity(&stage.spec, &topology);
    assert_eq!(room.subnets[0].nodes, 0);
    assert_eq!(room.workspaces[0].nodes, 125);
}

#[test]
fn an_unread_subnet_makes_the_sum_a_lower_bound() {
    let stage = stage(TWO);
    let mut topology = stage.topology();
    topology.subnets.insert("aws.subnet/a.eu-central-1a".to_owned(), None);
    let room = check::capacity(&stage.spec, &topology);
    assert_eq!(room.subnets.len(), 1);
    assert_eq!((room.workspaces[0].nodes, room.workspaces[0].exact), (125, false));
    assert!(!room.vpcs[0].exact);
}

#[test]
fn workspaces_in_the_same_subnets_must_fit_together() {
    let shared = |first: u32, second: u32| {
        let stage = stage(&format!(
            "
vpcs:
  main: {{ cidr: 10.0.0.0/16, zones: [eu-central-1a, eu-central-1b] }}
workspaces:
  a: {{ vpc: main, subnets: {{ prefix: /24, block: 0 }}, uses: {{ peak_nodes: {first} }} }}
  b: {{ vpc: main, subnets: {{ share: a }}, uses: {{ peak_nodes: {second} }} }}
"
        ));
        room(&stage)
    };
    let fine = shared(125, 125);
    assert!(fine.shortages.is_empty(), "{:#?}", fine.shortages);
    assert!(fine.workspaces.iter().all(|w| w.shared));
    let [short] = &shared(125, 126).shortages[..] else { panic!("no shortage") };
    assert_eq!((short.nodes, short.asked), (250, 251));
    assert_eq!(short.workspaces.len(), 2);
    assert_eq!(short.next, "251 nodes need subnets of /23 in 2 zones");
}

#[test]
fn nodes_per_zone_are_asked_of_every_subnet() {
    let stage = stage(&TWO.replace("prefix: /24", "nodes_per_zone: 125"));
    let mut topology = stage.topology();
    let room = check::capacity(&stage.spec, &topology);
    assert!(room.subnets.iter().all(|s| s.asked == Some(125) && !s.is_short()));
    interface(&mut topology, "aws.subnet/a.eu-central-1a");
    interface(&mut topology, "aws.subnet/a.eu-central-1a");
    let room = check::capacity(&stage.spec, &topology);
    let short: Vec<bool> = room.subnets.iter().map(check::SubnetRoom::is_short).collect();
    assert_eq!(short, [true, false]);
}

#[test]
fn how_far_a_vpc_can_grow() {
    let room = room(&stage(TWO));
    let [vpc] = &room.vpcs[..] else { panic!("{room:#?}") };
    // 2 /24 of nodes, a /28 for NAT, and a /27 for endpoints in each zone.
    assert_eq!(vpc.addresses - vpc.free, 2 * 256 + 16 + 2 * 32);
    assert_eq!(vpc.blocks[0].to_string(), "10.0.64.0/18");
    assert!(vpc.exact);
    // Of 64 blocks of /22, the first has nodes and the last endpoints.
    assert_eq!((vpc.prefix, vpc.zones, vpc.workspaces), (22, 2, 31));
    assert_eq!(vpc.next, None);
}

#[test]
fn a_full_vpc_names_the_next_layout() {
    let small = TWO.replace("10.0.0.0/16", "10.0.0.0/21").replace("block: 0", "block: 1");
    let room = room(&stage(&small));
    let vpc = &room.vpcs[0];
    assert_eq!(vpc.workspaces, 0);
    insta::assert_snapshot!(vpc.next.as_deref().expect("a sentence"), @"no block of the VPC has 2 free subnets of /22 (509 nodes each): add a secondary block of /21 or larger, such as 10.0.8.0/21, or declare another VPC; with `prefix: /23` (253 nodes a zone) one more fits");
}

/// What the sentence proposes lies in no VPC, no peer and no reserved range.
#[test]
fn the_next_block_is_free() {
    let stage = stage(
        "
vpcs:
  one: { cidr: 172.16.0.0/22, zones: [eu-central-1a, eu-central-1b] }
  two: { cidr: 172.18.0.0/16, zones: [eu-central-1a, eu-central-1b] }
workspaces:
  a: { vpc: one, subnets: { prefix: /26, block: 0 } }
  b: { vpc: two, subnets: { prefix: /26, block: 0 } }
",
    );
    let room = room(&stage);
    let next = room.vpcs[0].next.as_deref().expect("no room");
    let range = next.split("such as ").nth(1).and_then(|t| t.split(',').next()).expect("a range");
    let range: ipnet::Ipv4Net = range.parse().expect("a range");
    let taken = stage.topology().vpcs.into_values().flatten().flat_map(|vpc| vpc.cidrs);
    for other in taken.chain(RESERVED) {
        assert!(!facts::subnets::overlap(&range, &other), "{range} overlaps {other}");
    }
}

#[test]
fn overlapping_subnets_are_found_inside_one_vpc_only() {
    let stage = stage(TWO);
    let mut topology = stage.topology();
    assert_eq!(room(&stage).overlaps, []);
    let mut inner = topology.subnets["aws.subnet/a.eu-central-1a"].clone().expect("a subnet");
    inner.cidr = ipnet::Ipv4Net::new(inner.cidr.network(), 26).expect("a range");
    let mut far = inner.clone();
    far.vpc = "aws.vpc/far".to_owned();
    topology.subnets.insert("inner".to_owned(), Some(inner));
    topology.subnets.insert("far".to_owned(), Some(far));
    let found = check::capacity(&stage.spec, &topology).overlaps;
    let pairs: Vec<_> = found.into_iter().map(|o| o.subnets).collect();
    assert_eq!(pairs, [("aws.subnet/a.eu-central-1a".to_owned(), "inner".to_owned())]);
}

fn limit(stage: &Stage, topology: &Topology, id: &str) -> Limit {
    let all = check::limits(&stage.spec, &stage.graph, topology);
    all.into_iter().find(|limit| limit.id == id).expect("the limit")
}

#[test]
fn what_a_stack_takes_of_limits() {
    let stage = Stage::example("shared-vpc");
    let topology = stage.topology();
    for (id, most, at) in [
        ("network.security-groups", 1, "wk1"),
        ("network.subnets-per-zone", 1, "wk1"),
        ("vpc.private-dns-per-service", 1, "aws.vpc/shared"),
        ("bucket.workspaces", 1, "shared-vpc-wk1-root"),
        ("account.storage-configurations", 2, stage.spec.databricks.account.as_str()),
    ] {
        let used = limit(&stage, &topology, id).used.expect(id);
        assert_eq!((used.most, used.at.as_str(), used.over.len()), (most, at, 0), "{id}");
    }
    assert_eq!(limit(&stage, &topology, "region.ncc").used, None);
}

#[test]
fn places_beyond_a_limit_are_named() {
    let stage = Stage::example("shared-vpc");
    let mut topology = stage.topology();
    let again = topology.endpoints["aws.vpc_endpoint/shared.sts"].clone();
    topology.endpoints.insert("second".to_owned(), again);
    let nodes = topology.workspaces.get_mut("wk2").expect("a workspace");
    nodes.groups = (0..6).map(|n| format!("sg-{n}")).collect();
    let used = limit(&stage, &topology, "vpc.private-dns-per-service").used.expect("endpoints");
    assert_eq!((used.most, used.over), (2, vec!["aws.vpc/shared".to_owned()]));
    let used = limit(&stage, &topology, "network.security-groups").used.expect("groups");
    assert_eq!((used.most, used.over), (6, vec!["wk2".to_owned()]));
}

#[test]
fn limits_have_sources_and_differ() {
    let mut ids = std::collections::BTreeSet::new();
    for limit in facts::limits::ALL {
        assert!(ids.insert(limit.id), "{} is there twice", limit.id);
        assert!(!limit.source.is_empty() && !limit.date.is_empty(), "{}", limit.id);
    }
}
