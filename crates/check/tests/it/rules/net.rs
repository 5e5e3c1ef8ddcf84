use std::collections::{BTreeMap, BTreeSet};

use check::topology::{
    AclEntry, Association, NetworkAcl, Protocol, Reach, Resolver, Target, Topology,
};
use dbxctl_check as check;
use ipnet::Ipv4Net;
use serde_json::json;

use super::{Sample, closed, object, open, stage, stage_in};
use crate::stage::Stage;

const A: &str = "aws.subnet/wk1.ap-northeast-1a";
const C: &str = "aws.subnet/wk1.ap-northeast-1c";
const VPC: &str = "aws.vpc/main";

pub(super) fn net(text: &str) -> Ipv4Net {
    text.parse().expect("a CIDR")
}

/// One workspace whose subnets lie where it says.
fn placed(a: &str, c: &str) -> Stage {
    in_vpc("10.0.0.0/16", a, c)
}

fn in_vpc(vpc: &str, a: &str, c: &str) -> Stage {
    stage(&format!(
        "vpcs:
  main: {{ cidr: {vpc}, zones: [ap-northeast-1a, ap-northeast-1c], nat: per_zone, endpoints: [s3] }}
workspaces:
  wk1:
    vpc: main
    subnets: {{ cidrs: {{ ap-northeast-1a: {a}, ap-northeast-1c: {c} }} }}
"
    ))
}

/// A workspace for so many nodes, in two subnets for 29 each.
fn peak(nodes: u32) -> Stage {
    stage(&format!(
        "vpcs:
  main: {{ cidr: 10.0.0.0/16, zones: [ap-northeast-1a, ap-northeast-1c], nat: per_zone }}
workspaces:
  wk1: {{ vpc: main, subnets: {{ prefix: /26 }}, uses: {{ peak_nodes: {nodes} }} }}
"
    ))
}

/// Two workspaces that share subnets and together want so many nodes.
fn sharing(nodes: u32) -> Stage {
    stage(&format!(
        "vpcs:
  main: {{ cidr: 10.0.0.0/16, zones: [ap-northeast-1a, ap-northeast-1c], nat: per_zone }}
workspaces:
  wk1: {{ vpc: main, subnets: {{ prefix: /25 }}, uses: {{ peak_nodes: {} }} }}
  wk2: {{ vpc: main, subnets: {{ share: wk1 }}, uses: {{ peak_nodes: {} }} }}
",
        nodes / 2,
        nodes - nodes / 2
    ))
}

/// Two workspaces, each with a group that exists.
fn grouped(first: &str, second: &str) -> Stage {
    stage(&format!(
        "vpcs:
  main: {{ cidr: 10.0.0.0/16, zones: [ap-northeast-1a, ap-northeast-1c], nat: per_zone }}
workspaces:
  wk1: {{ vpc: main, security_group: {{ use: {first} }} }}
  wk2: {{ vpc: main, security_group: {{ use: {second} }} }}
"
    ))
}

/// Endpoints in subnets that exist, of which the nodes use one, too, or not.
fn among(endpoints: &str) -> Stage {
    stage(&format!(
        "vpcs:
  main:
    use: {{ vpc: vpc-0a1b2c3d4e5f60718 }}
    endpoint_subnets: {{ use: {{ ap-northeast-1a: {endpoints} }} }}
workspaces:
  wk1: {{ vpc: main, subnets: {{ use: [subnet-0a1b2c3d4e5f60713, subnet-0a1b2c3d4e5f60714] }} }}
"
    ))
    .edited(|topology| {
        let subnet = |cidr: &str, zone: &str| check::topology::Subnet {
            vpc: VPC.to_owned(),
            cidr: net(cidr),
            zone: format!("ap-northeast-1{zone}"),
            public_ips: false,
            table: Association::Unknown,
        };
        let places = [
            ("wk1.subnet-0a1b2c3d4e5f60713", "10.0.0.0/24", "a"),
            ("wk1.subnet-0a1b2c3d4e5f60714", "10.0.1.0/24", "c"),
        ];
        for (name, cidr, zone) in places {
            topology.subnets.insert(format!("aws.subnet/{name}"), Some(subnet(cidr, zone)));
        }
    })
}

fn endpoint_subnets(a: &str, c: &str) -> Stage {
    stage(&format!(
        "vpcs:
  main:
    cidr: 10.0.0.0/16
    zones: [ap-northeast-1a, ap-northeast-1c]
    nat: none
    endpoint_subnets: {{ cidrs: {{ ap-northeast-1a: {a}, ap-northeast-1c: {c} }} }}
    private_link: {{ backend: true }}
workspaces:
  wk1: {{ vpc: main, subnets: {{ prefix: /22, block: 1 }} }}
"
    ))
}

fn peered(to: &str) -> Stage {
    uses_over_peering(to, "true", "{}")
}

fn uses_over_peering(to: &str, dns: &str, uses: &str) -> Stage {
    stage(&format!(
        "vpcs:
  main: {{ cidr: 10.0.0.0/16, zones: [ap-northeast-1a, ap-northeast-1c], nat: per_zone }}
peerings:
  kafka: {{ from: main, to: {{ vpc: vpc-0123456789abcdef0, {to} }}, dns: {dns} }}
workspaces:
  wk1: {{ vpc: main, uses: {uses} }}
"
    ))
}

const BACK: &str = "cidr: 10.8.0.0/16, route_tables: [rtb-0123456789abcdef0]";

pub(super) fn entry(number: u16, egress: bool, cidr: &str, allow: bool) -> AclEntry {
    let (protocol, ports) = (Protocol::All, (0, u16::MAX));
    AclEntry { number, egress, protocol, ports, cidr: net(cidr), allow }
}

/// The same with a network ACL on some subnets.
pub(super) fn guarded(stage: Stage, subnets: &[&str], entries: Vec<AclEntry>) -> Stage {
    let subnets: BTreeSet<String> = subnets.iter().map(|key| (*key).to_owned()).collect();
    stage.edited(|topology| {
        let acl = NetworkAcl { vpc: VPC.to_owned(), subnets, entries };
        topology.acls.insert("acl-1".to_owned(), Some(acl));
    })
}

fn resolver(resolver: Resolver) -> Stage {
    open().edited(|topology| object(&mut topology.vpcs, VPC).resolver = resolver)
}

fn default_route(target: Target) -> Stage {
    closed().edited(|topology| {
        let table = object(&mut topology.route_tables, "aws.route_table/wk1.private");
        table.routes.insert(net("0.0.0.0/0"), target);
    })
}

fn with_table(stage: Stage, subnet: &str, table: Association) -> Stage {
    stage.edited(|topology| object(&mut topology.subnets, subnet).table = table)
}

/// The same with a second block of the VPC, in which one subnet lies.
fn second_block(stage: Stage, subnet: Option<&str>) -> Stage {
    stage.edited(|topology| {
        object(&mut topology.vpcs, VPC).cidrs.push(net("10.99.0.0/16"));
        if let Some(subnet) = subnet {
            object(&mut topology.subnets, subnet).cidr = net("10.99.0.0/22");
        }
    })
}

/// All interface endpoints in these subnets only.
fn endpoints_in(subnets: &[&str]) -> Stage {
    let only: BTreeSet<String> = subnets.iter().map(|key| (*key).to_owned()).collect();
    closed().edited(|topology| {
        for endpoint in topology.endpoints.values_mut().flatten() {
            if let Reach::Interface { subnets, .. } = &mut endpoint.reach {
                subnets.clone_from(&only);
            }
        }
    })
}

const ENDPOINTS_A: &str = "aws.subnet/main.endpoints-ap-northeast-1a";
const ENDPOINTS_C: &str = "aws.subnet/main.endpoints-ap-northeast-1c";

#[expect(clippy::too_many_lines, reason = "one sample after the other")]
pub(super) fn samples() -> Vec<Sample> {
    let off = |field: &str| {
        let field = field.to_owned();
        closed().with(VPC, move |props| props[field] = json!(false))
    };
    let one_subnet = |topology: &mut Topology| {
        topology.workspaces.get_mut("wk1").expect("wk1").subnets.truncate(1);
    };
    vec![
        Sample { rule: "DBX-NET-001", broken: off("dns_support"), fine: off("dns_hostnames") },
        Sample { rule: "DBX-NET-002", broken: off("dns_hostnames"), fine: off("dns_support") },
        // Nothing is lost while there is NAT, but Databricks refuses the VPC.
        Sample {
            rule: "DBX-NET-002",
            broken: open().with(VPC, |props| props["dns_hostnames"] = json!(false)),
            fine: open(),
        },
        Sample { rule: "DBX-NET-003", broken: open().edited(one_subnet), fine: open() },
        Sample {
            rule: "DBX-NET-004",
            broken: open().with(C, |props| props["zone"] = json!("ap-northeast-1a")),
            fine: open().with(C, |props| props["zone"] = json!("ap-northeast-1d")),
        },
        Sample {
            rule: "DBX-NET-005",
            broken: open().with(A, |props| props["cidr"] = json!("10.0.0.0/27")),
            fine: placed("10.0.0.0/17", "10.0.128.0/26"),
        },
        Sample {
            rule: "DBX-NET-006",
            broken: placed("10.0.0.0/26", "10.0.0.64/26"),
            fine: placed("10.0.0.0/25", "10.0.0.128/25"),
        },
        // Beside each other, and one within the other.
        Sample {
            rule: "DBX-NET-007",
            broken: placed("10.0.0.0/22", "10.0.2.0/23"),
            fine: placed("10.0.0.0/22", "10.0.4.0/22"),
        },
        Sample {
            rule: "DBX-NET-007",
            broken: open().with(A, |props| props["cidr"] = json!("10.1.0.0/22")),
            fine: second_block(open(), Some(A)),
        },
        Sample {
            rule: "DBX-NET-008",
            broken: second_block(open(), Some(A)),
            fine: second_block(open(), None),
        },
        Sample {
            rule: "DBX-NET-009",
            broken: in_vpc("172.17.0.0/16", "172.17.0.0/22", "172.17.4.0/22"),
            fine: in_vpc("172.18.0.0/16", "172.18.0.0/22", "172.18.4.0/22"),
        },
        Sample { rule: "DBX-NET-010", broken: peak(59), fine: peak(58) },
        Sample { rule: "DBX-NET-010", broken: sharing(123), fine: sharing(122) },
        Sample {
            rule: "DBX-NET-012",
            broken: default_route(Target::InternetGateway("igw-1".to_owned())),
            fine: open(),
        },
        Sample {
            rule: "DBX-NET-013",
            broken: open().with(A, |props| props["public_ips"] = json!(true)),
            fine: open().with("aws.subnet/main.public-ap-northeast-1a", |props| {
                props["public_ips"] = json!(true);
            }),
        },
        Sample {
            rule: "DBX-NET-014",
            broken: open().edited(|topology| {
                object(&mut topology.groups, "aws.security_group/wk1.nodes").vpc = "vpc-2".into();
            }),
            fine: open().edited(|topology| {
                topology.groups.insert("aws.security_group/wk1.nodes".to_owned(), None);
            }),
        },
        Sample {
            rule: "DBX-NET-015",
            broken: guarded(
                open(),
                &[A, C],
                vec![entry(100, false, "0.0.0.0/0", true), entry(100, true, "10.0.0.0/16", true)],
            ),
            fine: guarded(
                closed(),
                &[A, C],
                vec![entry(100, false, "0.0.0.0/0", true), entry(100, true, "0.0.0.0/0", true)],
            ),
        },
        Sample {
            rule: "DBX-NET-016",
            broken: guarded(
                open(),
                &[A, C],
                vec![
                    entry(90, false, "192.0.2.0/24", false),
                    entry(100, false, "0.0.0.0/0", true),
                    entry(100, true, "0.0.0.0/0", true),
                ],
            ),
            fine: guarded(
                open(),
                &[A, C],
                vec![
                    entry(100, false, "0.0.0.0/0", true),
                    entry(100, true, "0.0.0.0/0", true),
                    entry(110, false, "192.0.2.0/24", false),
                ],
            ),
        },
        // Packets would pass, but Databricks looks for the one entry.
        Sample {
            rule: "DBX-NET-016",
            broken: guarded(
                open(),
                &[A, C],
                vec![
                    entry(90, false, "10.0.0.0/16", true),
                    AclEntry {
                        protocol: Protocol::Tcp,
                        ports: (1024, u16::MAX),
                        ..entry(100, false, "0.0.0.0/0", true)
                    },
                    entry(100, true, "0.0.0.0/0", true),
                ],
            ),
            fine: guarded(
                open(),
                &["aws.subnet/main.public-ap-northeast-1a"],
                vec![
                    AclEntry { protocol: Protocol::Tcp, ..entry(100, false, "0.0.0.0/0", true) },
                    entry(100, true, "0.0.0.0/0", true),
                ],
            ),
        },
        // Endpoints answer nodes, and nobody else.
        Sample {
            rule: "DBX-NET-017",
            broken: guarded(
                closed(),
                &[ENDPOINTS_A, ENDPOINTS_C],
                vec![entry(100, false, "10.0.0.0/16", true)],
            ),
            fine: guarded(
                closed(),
                &[ENDPOINTS_A, ENDPOINTS_C],
                vec![entry(100, false, "10.0.0.0/16", true), entry(100, true, "10.0.0.0/16", true)],
            ),
        },
        Sample {
            rule: "DBX-NET-018",
            broken: resolver(Resolver::Own(vec![[10, 0, 0, 53].into()])),
            fine: resolver(Resolver::Amazon),
        },
        Sample {
            rule: "DBX-NET-019",
            broken: stage_in("eu-north-1", "workspaces: { wk1: {} }\n"),
            fine: stage_in("us-gov-east-1", "workspaces: { wk1: {} }\n"),
        },
        Sample {
            rule: "DBX-NET-020",
            broken: stage_in("us-gov-east-1", "workspaces: { wk1: {} }\n"),
            fine: stage_in("us-gov-west-1", "workspaces: { wk1: {} }\n"),
        },
        Sample { rule: "DBX-NET-021", broken: sharing(10), fine: peak(10) },
        Sample {
            rule: "DBX-NET-022",
            broken: grouped("sg-0a1b2c3d4e5f60718", "sg-0a1b2c3d4e5f60718"),
            fine: grouped("sg-0a1b2c3d4e5f60718", "sg-0a1b2c3d4e5f60719"),
        },
        Sample {
            rule: "DBX-NET-024",
            broken: among("subnet-0a1b2c3d4e5f60713"),
            fine: among("subnet-0a1b2c3d4e5f60715"),
        },
        Sample {
            rule: "DBX-NET-025",
            broken: endpoint_subnets("10.0.0.0/28", "10.0.0.32/27"),
            fine: endpoint_subnets("10.0.0.0/27", "10.0.0.32/27"),
        },
        Sample {
            rule: "DBX-NET-026",
            broken: open().with(VPC, |props| props["cidr"] = json!("10.0.0.0/26")),
            fine: open().with(VPC, |props| props["cidr"] = json!("10.0.0.0/25")),
        },
        Sample {
            rule: "DBX-NET-027",
            broken: endpoints_in(&[ENDPOINTS_C]),
            fine: endpoints_in(&[ENDPOINTS_A, ENDPOINTS_C]),
        },
        Sample {
            rule: "DBX-NET-028",
            broken: with_table(closed(), ENDPOINTS_A, Association::FreshMain),
            fine: with_table(closed(), ENDPOINTS_A, Association::Unknown),
        },
        Sample {
            rule: "DBX-NET-029",
            broken: peered(BACK).edited(|topology| {
                object(&mut topology.peerings, "aws.vpc_peering/kafka").peer_cidrs =
                    vec![net("10.0.8.0/24")];
            }),
            fine: peered(BACK),
        },
        Sample { rule: "DBX-NET-030", broken: peered("cidr: 10.8.0.0/16"), fine: peered(BACK) },
        // Nobody needs names that nobody uses; those of the internet are public anyway.
        Sample {
            rule: "DBX-NET-030",
            broken: uses_over_peering(
                BACK,
                "false",
                "{ hosts: [b-1.log.x1.c2.kafka.ap-northeast-1.amazonaws.com:9092] }",
            ),
            fine: uses_over_peering(BACK, "false", "{ hosts: [pypi.org:443, 10.8.0.7:9092] }"),
        },
    ]
}

/// Of a used VPC only the first block is read, and its subnets may lie in another one.
#[test]
fn a_vpc_that_was_read_gives_no_false_alarm() {
    let stage = stage(
        "vpcs:
  main:
    use: { vpc: vpc-0a1b2c3d4e5f60718, route_tables: [rtb-0a1b2c3d4e5f60718] }
    endpoint_subnets:
      use: { ap-northeast-1a: subnet-0a1b2c3d4e5f60711, ap-northeast-1c: subnet-0a1b2c3d4e5f60712 }
    private_link: { backend: true }
workspaces:
  wk1:
    vpc: main
    subnets: { use: [subnet-0a1b2c3d4e5f60713, subnet-0a1b2c3d4e5f60714] }
    uses: { legacy_metastore: false }
",
    );
    let stage = stage.edited(|topology| {
        let vpc = check::topology::Vpc {
            cidrs: vec![net("10.0.0.0/24")],
            dns_support: true,
            dns_hostnames: true,
            resolver: Resolver::Amazon,
        };
        topology.vpcs.insert(VPC.to_owned(), Some(vpc));
        let table = "aws.route_table/main.rtb-0a1b2c3d4e5f60718";
        let fields = check::topology::RouteTable {
            vpc: VPC.to_owned(),
            routes: BTreeMap::new(),
            partial: false,
        };
        topology.route_tables.insert(table.to_owned(), Some(fields));
        let subnets = [
            ("main.endpoints-ap-northeast-1a", "10.0.0.0/27", "a", Association::Unknown),
            ("main.endpoints-ap-northeast-1c", "10.0.0.32/27", "c", Association::Unknown),
            (
                "wk1.subnet-0a1b2c3d4e5f60713",
                "100.64.0.0/22",
                "a",
                Association::Table(table.into()),
            ),
            (
                "wk1.subnet-0a1b2c3d4e5f60714",
                "100.64.4.0/22",
                "c",
                Association::Table(table.into()),
            ),
        ];
        for (name, cidr, zone, table) in subnets {
            let subnet = check::topology::Subnet {
                vpc: VPC.to_owned(),
                cidr: net(cidr),
                zone: format!("ap-northeast-1{zone}"),
                public_ips: false,
                table,
            };
            topology.subnets.insert(format!("aws.subnet/{name}"), Some(subnet));
        }
    });
    let findings = stage.check().findings;
    let network = ["DBX-NET", "DBX-RTE", "DBX-SGR"];
    let ours = findings.iter().filter(|f| network.iter().any(|area| f.rule.starts_with(area)));
    assert_eq!(ours.collect::<Vec<_>>(), Vec::<&check::Finding>::new());
}
