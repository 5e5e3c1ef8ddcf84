//! What the reference expects to be said of networks, routes and groups in its topologies (h.4).

use std::collections::BTreeSet;

use check::topology::{Association, Peer, Protocol, Reach, Rule, SecurityGroup, Target, Topology};
use dbxctl_check as check;

use super::net::{entry, guarded, net};
use super::{closed, object, open, stage};
use crate::stage::Stage;

const NODES: &str = "aws.security_group/wk1.nodes";
const ENDPOINTS: &str = "aws.security_group/main.endpoints";
const SUBNET: &str = "aws.subnet/main.endpoints-ap-northeast-1c";

/// Exactly these of the three areas.
fn said(stage: &Stage, expected: &[&str]) {
    let areas = ["DBX-NET", "DBX-RTE", "DBX-SGR"];
    let report = stage.check();
    let rules = report.findings.iter().map(|finding| finding.rule);
    let found: BTreeSet<&str> = rules.filter(|rule| areas.contains(&super::area(rule))).collect();
    assert_eq!(found, expected.iter().copied().collect(), "{:#?}", report.findings);
}

/// One NAT gateway, and all endpoints in one subnet without a route table of its own.
fn template(link: &str, bend: impl FnOnce(&mut Topology)) -> Stage {
    let stage = stage(&format!(
        "vpcs:
  main:
    cidr: 10.0.0.0/16
    zones: [ap-northeast-1a, ap-northeast-1c]
    nat: single
    private_link: {link}
workspaces:
  wk1: {{ vpc: main }}
"
    ));
    stage.edited(|topology| {
        for endpoint in topology.endpoints.values_mut().flatten() {
            if let Reach::Interface { subnets, .. } = &mut endpoint.reach {
                *subnets = BTreeSet::from([SUBNET.to_owned()]);
            }
        }
        object(&mut topology.subnets, SUBNET).table = Association::FreshMain;
        bend(topology);
    })
}

fn ingress<'a>(topology: &'a mut Topology, group: &str) -> &'a mut Vec<Rule> {
    &mut object(&mut topology.groups, group).rules.as_mut().expect("known rules").ingress
}

fn tcp(from: u16, to: u16, peer: Peer) -> Rule {
    Rule { protocol: Protocol::Tcp, ports: (from, to), peer }
}

fn members(group: &str) -> Rule {
    Rule { protocol: Protocol::All, ports: (0, u16::MAX), peer: Peer::Group(group.to_owned()) }
}

/// A further group that admits the internet on a port.
fn public_group(topology: &mut Topology, port: u16) {
    let SecurityGroup { vpc, .. } = object(&mut topology.groups, ENDPOINTS).clone();
    let mut rules = check::topology::GroupRules::default();
    rules.ingress.push(tcp(port, port, Peer::Cidr(net("0.0.0.0/0"))));
    topology.groups.insert("sg-public".to_owned(), Some(SecurityGroup { vpc, rules: Some(rules) }));
}

#[test]
fn t1_the_article() {
    let link = "{ backend: true, frontend: true, frontend_endpoint: own, user_names: zone }";
    let article = template(link, |topology| {
        *ingress(topology, ENDPOINTS) = vec![members(ENDPOINTS)];
        public_group(topology, 443);
        let nodes = topology.workspaces.get_mut("wk1").expect("wk1");
        nodes.groups.push(ENDPOINTS.to_owned());
    });
    said(&article, &["DBX-NET-027", "DBX-NET-028", "DBX-RTE-005", "DBX-SGR-020"]);
}

#[test]
fn t7_the_current_template() {
    let current = template("{ backend: true }", |topology| {
        let nodes = || Peer::Group(NODES.to_owned());
        let mut rules: Vec<Rule> = [443, 2443, 6666].map(|p| tcp(p, p, nodes())).into();
        rules.push(members(ENDPOINTS));
        *ingress(topology, ENDPOINTS) = rules;
        public_group(topology, 22);
    });
    let expected = ["DBX-NET-027", "DBX-NET-028", "DBX-RTE-005", "DBX-SGR-016", "DBX-SGR-020"];
    said(&current, &expected);
}

#[test]
fn t8_nat_only() {
    let nat = "vpcs:
  main:
    cidr: 10.0.0.0/16
    zones: [ap-northeast-1a, ap-northeast-1c]
    nat: per_zone
    endpoints: []
workspaces:
  wk1: { vpc: main }
";
    said(&stage(nat), &[]);
}

#[test]
fn t9_isolated() {
    let isolated = closed().edited(|topology| {
        let rules = object(&mut topology.groups, NODES).rules.as_mut().expect("known rules");
        for rule in rules.egress.iter_mut().filter(|rule| matches!(rule.peer, Peer::Cidr(_))) {
            rule.peer = Peer::Cidr(net("10.0.0.0/16"));
        }
        rules.egress.push(tcp(443, 443, Peer::PrefixList("pl-61a54008".to_owned())));
    });
    said(&isolated, &["DBX-SGR-013"]);
}

#[test]
fn t15_no_way_back_in() {
    let nodes = ["aws.subnet/wk1.ap-northeast-1a", "aws.subnet/wk1.ap-northeast-1c"];
    let out = || entry(100, true, "0.0.0.0/0", true);
    said(&guarded(open(), &nodes, vec![out()]), &["DBX-NET-016"]);
    let endpoints = ["aws.subnet/main.endpoints-ap-northeast-1a", SUBNET];
    said(&guarded(closed(), &endpoints, vec![out()]), &["DBX-NET-017"]);
}

#[test]
fn t18_out_through_a_transit_gateway() {
    let transit = open().edited(|topology| {
        for table in topology.route_tables.values_mut().flatten() {
            for target in table.routes.values_mut() {
                if matches!(target, Target::NatGateway(_)) {
                    *target = Target::TransitGateway("tgw-0123456789abcdef0".to_owned());
                }
            }
        }
    });
    said(&transit, &["DBX-RTE-010"]);
}
