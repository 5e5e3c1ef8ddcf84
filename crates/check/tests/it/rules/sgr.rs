use check::topology::{Peer, Protocol, Rule, SecurityGroup};
use dbxctl_check as check;

use super::net::net;
use super::{Sample, closed, object, open, stage, stage_in};
use crate::stage::Stage;

const NODES: &str = "aws.security_group/wk1.nodes";
const ENDPOINTS: &str = "aws.security_group/main.endpoints";

fn tcp(from: u16, to: u16, peer: Peer) -> Rule {
    Rule { protocol: Protocol::Tcp, ports: (from, to), peer }
}

fn anywhere() -> Peer {
    Peer::Cidr(net("0.0.0.0/0"))
}

/// The same with other rules for what leaves the nodes.
fn egress(stage: Stage, change: impl FnOnce(&mut Vec<Rule>)) -> Stage {
    stage.edited(|topology| {
        let rules = object(&mut topology.groups, NODES).rules.as_mut();
        change(&mut rules.expect("rules that are known").egress);
    })
}

/// The same with other rules for what endpoints admit.
fn ingress(stage: Stage, change: impl FnOnce(&mut Vec<Rule>)) -> Stage {
    stage.edited(|topology| {
        let rules = object(&mut topology.groups, ENDPOINTS).rules.as_mut();
        change(&mut rules.expect("rules that are known").ingress);
    })
}

/// Without what is for this port alone.
fn without(rules: &mut Vec<Rule>, port: u16) {
    rules.retain(|rule| rule.ports != (port, port));
}

/// A workspace whose nodes carry so many groups.
fn groups(count: usize) -> Stage {
    open().edited(|topology| {
        let Some(SecurityGroup { vpc, rules }) = topology.groups[NODES].clone() else { return };
        let all: Vec<String> = (0..count).map(|number| format!("sg-{number}")).collect();
        for key in &all {
            let (vpc, rules) = (vpc.clone(), rules.clone());
            topology.groups.insert(key.clone(), Some(SecurityGroup { vpc, rules }));
        }
        topology.workspaces.get_mut("wk1").expect("wk1").groups = all;
    })
}

/// Private connections without NAT, for what clusters use.
fn private(region: &str, uses: &str) -> Stage {
    stage_in(
        region,
        &format!(
            "vpcs:
  main:
    cidr: 10.0.0.0/16
    zones: [{region}a, {region}c]
    nat: none
    private_link: {{ backend: true }}
workspaces:
  wk1: {{ vpc: main, uses: {uses} }}
"
        ),
    )
}

fn public(uses: &str) -> Stage {
    stage(&format!(
        "vpcs:
  main: {{ cidr: 10.0.0.0/16, zones: [ap-northeast-1a, ap-northeast-1c], nat: per_zone }}
workspaces:
  wk1: {{ vpc: main, uses: {uses} }}
"
    ))
}

fn clients(range: &str) -> Stage {
    stage(&format!(
        "vpcs:
  main:
    cidr: 10.0.0.0/16
    zones: [ap-northeast-1a, ap-northeast-1c]
    nat: per_zone
    private_link: {{ backend: true, frontend: true, clients: [{range}] }}
workspaces:
  wk1: {{ vpc: main }}
"
    ))
}

/// So many workspaces with private connections in one VPC.
fn many(count: usize) -> Stage {
    let head = "vpcs:
  main:
    cidr: 10.0.0.0/16
    zones: [ap-northeast-1a, ap-northeast-1c]
    private_link: { backend: true }
workspaces:
";
    let workspace =
        |n| format!("  wk{n}: {{ vpc: main, subnets: {{ prefix: /24, block: {n} }} }}\n");
    stage(&format!("{head}{}", (0..count).map(workspace).collect::<String>()))
}

const NONE: &str = "{ legacy_metastore: false }";

pub(super) fn samples() -> Vec<Sample> {
    let metastore = |stage: Stage| egress(stage, |rules| rules.push(tcp(3306, 3306, anywhere())));
    // Everything to the VPC, and S3 by its prefix list.
    let narrow = |rules: &mut Vec<Rule>| {
        for rule in rules.iter_mut().filter(|rule| rule.peer == anywhere()) {
            rule.peer = Peer::Cidr(net("10.0.0.0/16"));
        }
    };
    let list = || Peer::PrefixList("pl-61a54008".to_owned());
    vec![
        Sample { rule: "DBX-SGR-001", broken: groups(6), fine: groups(5) },
        Sample {
            rule: "DBX-SGR-009",
            broken: egress(closed(), |rules| without(rules, 2443)),
            fine: egress(open(), |rules| without(rules, 2443)),
        },
        Sample { rule: "DBX-SGR-011", broken: metastore(public(NONE)), fine: open() },
        Sample {
            rule: "DBX-SGR-011",
            broken: metastore(public(NONE)),
            fine: public("{ external_metastore: { database: db.example.com:3306 } }"),
        },
        Sample {
            rule: "DBX-SGR-013",
            broken: egress(closed(), narrow),
            fine: egress(closed(), |rules| rules.push(tcp(443, 443, list()))),
        },
        Sample { rule: "DBX-SGR-020", broken: clients("0.0.0.0/0"), fine: clients("10.0.0.0/8") },
        Sample {
            rule: "DBX-SGR-020",
            broken: ingress(closed(), |rules| rules.push(tcp(22, 22, anywhere()))),
            fine: ingress(closed(), |rules| {
                rules.push(tcp(22, 22, Peer::Cidr(net("10.1.0.0/16"))))
            }),
        },
        Sample {
            rule: "DBX-SGR-021",
            broken: egress(open(), |rules| rules.push(tcp(443, 443, list()))),
            fine: egress(closed(), |rules| {
                narrow(rules);
                rules.push(tcp(443, 443, list()));
            }),
        },
        Sample {
            rule: "DBX-SGR-023",
            broken: egress(private("us-gov-west-1", NONE), |rules| {
                rules.push(tcp(6666, 6666, anywhere()));
            }),
            fine: private("us-gov-west-1", NONE),
        },
        Sample { rule: "DBX-SGR-025", broken: many(13), fine: many(12) },
    ]
}
