use std::collections::BTreeSet;

use check::topology::{Reach, Target};
use dbxctl_check as check;

use super::net::net;
use super::{Sample, closed, object, open, stage};
use crate::stage::Stage;

const NAT: &str = "aws.nat_gateway/main.ap-northeast-1a";
const PUBLIC: &str = "aws.route_table/main.public";

fn with_nat(nat: &str) -> Stage {
    stage(&format!(
        "vpcs:
  main: {{ cidr: 10.0.0.0/16, zones: [ap-northeast-1a, ap-northeast-1c], nat: {nat} }}
workspaces:
  wk1: {{ vpc: main }}
"
    ))
}

/// NAT gateways that nothing needs: everything goes through endpoints.
fn idle() -> Stage {
    stage(
        "vpcs:
  main:
    cidr: 10.0.0.0/16
    zones: [ap-northeast-1a, ap-northeast-1c]
    nat: per_zone
    private_link: { backend: true }
workspaces:
  wk1: { vpc: main, uses: { legacy_metastore: false } }
",
    )
}

/// What the table of the public subnets has as default route.
fn public_route(stage: Stage, target: Option<Target>) -> Stage {
    stage.edited(|topology| {
        let table = object(&mut topology.route_tables, PUBLIC);
        table.routes.clear();
        table.routes.extend(target.map(|target| (net("0.0.0.0/0"), target)));
    })
}

fn gateway_of(stage: Stage, vpc: Option<&str>) -> Stage {
    stage.edited(|topology| {
        let gateway = object(&mut topology.internet_gateways, "aws.internet_gateway/main");
        gateway.vpc = vpc.map(str::to_owned);
    })
}

fn nat_in(stage: Stage, subnet: &str) -> Stage {
    stage.edited(|topology| object(&mut topology.nat_gateways, NAT).subnet = subnet.to_owned())
}

/// The S3 endpoint on these tables only.
fn s3_on(stage: Stage, tables: &[&str]) -> Stage {
    let tables: BTreeSet<String> = tables.iter().map(|key| (*key).to_owned()).collect();
    stage.edited(|topology| {
        object(&mut topology.endpoints, "aws.vpc_endpoint/main.s3").reach =
            Reach::Gateway { route_tables: tables };
    })
}

fn way_out(target: Target) -> Stage {
    open().edited(|topology| {
        let table =
            object(&mut topology.route_tables, "aws.route_table/wk1.private-ap-northeast-1a");
        table.routes.insert(net("0.0.0.0/0"), target);
    })
}

fn without_default(stage: Stage) -> Stage {
    stage.edited(|topology| {
        for table in topology.route_tables.values_mut().flatten() {
            table.routes.retain(|_, target| !matches!(target, Target::NatGateway(_)));
        }
    })
}

/// Private connections without NAT, for what clusters use.
fn private(uses: &str) -> Stage {
    stage(&format!(
        "vpcs:
  main:
    cidr: 10.0.0.0/16
    zones: [ap-northeast-1a, ap-northeast-1c]
    nat: none
    private_link: {{ backend: true }}
workspaces:
  wk1: {{ vpc: main, uses: {uses} }}
"
    ))
}

pub(super) fn samples() -> Vec<Sample> {
    let (a, c) = (
        "aws.route_table/wk1.private-ap-northeast-1a",
        "aws.route_table/wk1.private-ap-northeast-1c",
    );
    vec![
        Sample { rule: "DBX-RTE-001", broken: without_default(open()), fine: closed() },
        Sample { rule: "DBX-RTE-002", broken: public_route(open(), None), fine: open() },
        Sample {
            rule: "DBX-RTE-003",
            broken: gateway_of(open(), None),
            fine: gateway_of(open(), Some("aws.vpc/main")),
        },
        Sample {
            rule: "DBX-RTE-004",
            broken: nat_in(open(), "aws.subnet/wk1.ap-northeast-1a"),
            fine: nat_in(open(), "aws.subnet/main.public-ap-northeast-1c"),
        },
        Sample {
            rule: "DBX-RTE-004",
            broken: public_route(open(), Some(Target::NatGateway(NAT.to_owned()))),
            fine: open(),
        },
        // Nobody is cut off by these, but they are no use.
        Sample { rule: "DBX-RTE-002", broken: public_route(idle(), None), fine: idle() },
        Sample { rule: "DBX-RTE-003", broken: gateway_of(idle(), None), fine: idle() },
        Sample {
            rule: "DBX-RTE-004",
            broken: nat_in(idle(), "aws.subnet/wk1.ap-northeast-1a"),
            fine: nat_in(idle(), "aws.subnet/main.endpoints-ap-northeast-1a"),
        },
        Sample { rule: "DBX-RTE-005", broken: with_nat("single"), fine: with_nat("per_zone") },
        Sample { rule: "DBX-RTE-006", broken: s3_on(closed(), &[]), fine: s3_on(open(), &[]) },
        Sample { rule: "DBX-RTE-007", broken: s3_on(open(), &[a]), fine: s3_on(open(), &[a, c]) },
        // Without NAT, what misses the endpoint is not dear but lost.
        Sample { rule: "DBX-RTE-007", broken: s3_on(open(), &[]), fine: s3_on(closed(), &[]) },
        Sample {
            rule: "DBX-RTE-008",
            broken: private("{}"),
            fine: private("{ external_metastore: { database: 10.0.200.5:3306 } }"),
        },
        Sample {
            rule: "DBX-RTE-009",
            broken: private("{ legacy_metastore: false, hosts: [pypi.org:443] }"),
            fine: private("{ legacy_metastore: false, hosts: [10.0.200.5:443] }"),
        },
        Sample {
            rule: "DBX-RTE-010",
            broken: way_out(Target::TransitGateway("tgw-1".to_owned())),
            fine: way_out(Target::NatGateway(NAT.to_owned())),
        },
    ]
}
