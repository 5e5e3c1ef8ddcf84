use check::topology::{GroupRules, Peer, Protocol, Resolver, Rule, SecurityGroup};
use dbxctl_check as check;

use super::net::net;
use super::{REGION, Sample, closed, object, open, stage, stage_in};
use crate::stage::Stage;

const NODES: &str = "aws.security_group/wk1.nodes";
const ENDPOINTS: &str = "aws.security_group/main.endpoints";

fn tcp(from: u16, to: u16, peer: Peer) -> Rule {
    Rule { protocol: Protocol::Tcp, ports: (from, to), peer }
}

fn anywhere() -> Peer {
    Peer::Cidr(net("0.0.0.0/0"))
}

fn all_from(group: &str) -> Rule {
    Rule { protocol: Protocol::All, ports: (0, u16::MAX), peer: Peer::Group(group.to_owned()) }
}

/// The same with other rules for the nodes.
fn nodes(stage: Stage, change: impl FnOnce(&mut GroupRules)) -> Stage {
    stage.edited(|topology| {
        let rules = object(&mut topology.groups, NODES).rules.as_mut();
        change(rules.expect("rules that are known"));
    })
}

/// The same with other rules for what leaves the nodes.
fn egress(stage: Stage, change: impl FnOnce(&mut Vec<Rule>)) -> Stage {
    nodes(stage, |rules| change(&mut rules.egress))
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

const COMPLIANT: &str = "{ legacy_metastore: false, compliance_profile: true }";
const LAKEBASE: &str = "{ legacy_metastore: false, lakebase: true }";

/// Other ports instead of those to the control plane.
fn control_plane(rules: &mut Vec<Rule>, instead: &[(u16, u16)]) {
    let Some(at) = rules.iter().position(|rule| rule.ports == (8443, 8451)) else { return };
    let peer = rules.remove(at).peer;
    rules.extend(instead.iter().map(|(from, to)| tcp(*from, *to, peer.clone())));
}

/// DNS servers in the VPC, with port 53 open to them for these protocols.
fn own_resolver(protocols: &[Protocol]) -> Stage {
    open().edited(|topology| {
        let server = [10, 0, 250, 53].into();
        object(&mut topology.vpcs, "aws.vpc/main").resolver = Resolver::Own(vec![server]);
        let rules = object(&mut topology.groups, NODES).rules.as_mut();
        let peer = || Peer::Cidr(server.into());
        let rule =
            |protocol: &Protocol| Rule { protocol: *protocol, ports: (53, 53), peer: peer() };
        rules.expect("rules that are known").egress.extend(protocols.iter().map(rule));
    })
}

/// Endpoints that admit their own group only, and further groups of the nodes.
fn members_only(further: &[&str]) -> Stage {
    closed().edited(|topology| {
        let rules = object(&mut topology.groups, ENDPOINTS).rules.as_mut();
        rules.expect("rules that are known").ingress = vec![all_from(ENDPOINTS)];
        let nodes = topology.workspaces.get_mut("wk1").expect("wk1");
        nodes.groups.extend(further.iter().map(|key| (*key).to_owned()));
    })
}

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
            rule: "DBX-SGR-002",
            broken: nodes(open(), |rules| rules.ingress.clear()),
            fine: nodes(open(), |rules| rules.ingress = vec![all_from(NODES)]),
        },
        Sample {
            rule: "DBX-SGR-003",
            broken: egress(open(), |rules| rules.retain(|rule| rule.peer == anywhere())),
            fine: egress(open(), |rules| {
                rules.retain(|rule| rule.peer == anywhere());
                rules.push(all_from(NODES));
            }),
        },
        Sample {
            rule: "DBX-SGR-004",
            broken: egress(closed(), narrow),
            fine: egress(closed(), |rules| {
                narrow(rules);
                rules.push(tcp(443, 443, list()));
            }),
        },
        Sample {
            rule: "DBX-SGR-005",
            broken: egress(open(), |rules| control_plane(rules, &[(8444, 8451)])),
            fine: egress(open(), |rules| {
                control_plane(rules, &[(8443, 8443), (8444, 8444), (8445, 8451)]);
            }),
        },
        Sample {
            rule: "DBX-SGR-006",
            broken: egress(open(), |rules| control_plane(rules, &[(8443, 8444), (8445, 8450)])),
            fine: egress(open(), |rules| control_plane(rules, &[(8443, 8444), (8445, 8451)])),
        },
        Sample {
            rule: "DBX-SGR-007",
            broken: egress(closed(), |rules| without(rules, 6666)),
            fine: egress(open(), |rules| without(rules, 6666)),
        },
        Sample {
            rule: "DBX-SGR-008",
            broken: egress(private(REGION, COMPLIANT), |rules| without(rules, 2443)),
            fine: egress(private(REGION, NONE), |rules| without(rules, 2443)),
        },
        Sample {
            rule: "DBX-SGR-009",
            broken: egress(closed(), |rules| without(rules, 2443)),
            fine: egress(open(), |rules| without(rules, 2443)),
        },
        Sample {
            rule: "DBX-SGR-010",
            broken: egress(open(), |rules| without(rules, 3306)),
            fine: public(NONE),
        },
        Sample { rule: "DBX-SGR-011", broken: metastore(public(NONE)), fine: open() },
        Sample {
            rule: "DBX-SGR-011",
            broken: metastore(public(NONE)),
            fine: public("{ external_metastore: { database: db.example.com:3306 } }"),
        },
        Sample {
            rule: "DBX-SGR-012",
            broken: own_resolver(&[Protocol::Tcp]),
            fine: own_resolver(&[Protocol::Tcp, Protocol::Udp]),
        },
        Sample {
            rule: "DBX-SGR-013",
            broken: egress(closed(), narrow),
            fine: egress(closed(), |rules| rules.push(tcp(443, 443, list()))),
        },
        Sample {
            rule: "DBX-SGR-014",
            broken: ingress(closed(), |rules| without(rules, 443)),
            fine: ingress(closed(), |rules| {
                without(rules, 443);
                rules.push(tcp(443, 443, Peer::Cidr(net("10.0.0.0/16"))));
            }),
        },
        Sample {
            rule: "DBX-SGR-015",
            broken: ingress(closed(), |rules| without(rules, 443)),
            fine: ingress(open(), |rules| without(rules, 443)),
        },
        Sample {
            rule: "DBX-SGR-016",
            broken: ingress(closed(), |rules| control_plane(rules, &[])),
            fine: ingress(open(), |rules| control_plane(rules, &[])),
        },
        Sample {
            rule: "DBX-SGR-017",
            broken: ingress(closed(), |rules| without(rules, 6666)),
            fine: private("us-gov-west-1", NONE),
        },
        Sample {
            rule: "DBX-SGR-018",
            broken: ingress(private(REGION, COMPLIANT), |rules| without(rules, 2443)),
            fine: ingress(private(REGION, NONE), |rules| without(rules, 2443)),
        },
        Sample {
            rule: "DBX-SGR-018",
            broken: ingress(private("us-gov-west-1", NONE), |rules| without(rules, 2443)),
            fine: private("us-gov-west-1", NONE),
        },
        Sample { rule: "DBX-SGR-019", broken: members_only(&[]), fine: members_only(&[ENDPOINTS]) },
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
            rule: "DBX-SGR-022",
            broken: egress(public(LAKEBASE), |rules| without(rules, 5432)),
            fine: public(LAKEBASE),
        },
        Sample {
            rule: "DBX-SGR-023",
            broken: egress(private("us-gov-west-1", NONE), |rules| {
                rules.push(tcp(6666, 6666, anywhere()));
            }),
            fine: private("us-gov-west-1", NONE),
        },
        Sample { rule: "DBX-SGR-025", broken: many(16), fine: many(15) },
    ]
}
