use dbxctl_check::topology::{Answer, PrivateZone};
use serde_json::{Value, json};

use super::Sample;
use crate::stage::Stage;

const UUID: &str = "5f6f1b4e-0000-4000-8000-000000000001";

/// A workspace in a VPC that is made, with these further lines of the VPC.
fn made(region: &str, vpc: &str) -> Stage {
    Stage::of(&format!(
        "
apiVersion: dbxctl/v1
name: made
region: {region}
aws: {{ account: '123456789012' }}
databricks: {{ account: 3f8a1c52-7d40-4be1-9c6e-2b5d8e0f1a77 }}
vpcs:
  main:
    cidr: 10.0.0.0/16
    zones: [{region}a, {region}c]
    {vpc}
workspaces:
  wk1: {{ vpc: main }}
"
    ))
}

/// A closed network in Tokyo whose nodes use sample data, a bucket and the global name of STS, with a policy
/// of the S3 endpoint that knows these buckets.
fn choosy(buckets: &[&str]) -> Stage {
    let resources: Vec<String> = buckets
        .iter()
        .flat_map(|bucket| ["", "/*"].map(|rest| format!("arn:aws:s3:::{bucket}{rest}")))
        .collect();
    busy("ap-northeast-1", "none").with("aws.vpc_endpoint/main.s3", |endpoint| {
        endpoint["policy"] = json!({ "statements": [{
            "allow": true, "principals": ["anyone"], "actions": ["s3:*"], "resources": resources,
        }] });
    })
}

/// A workspace with private connections that uses everything.
fn busy(region: &str, nat: &str) -> Stage {
    Stage::of(&format!(
        "
apiVersion: dbxctl/v1
name: busy
region: {region}
aws: {{ account: '123456789012' }}
databricks: {{ account: 3f8a1c52-7d40-4be1-9c6e-2b5d8e0f1a77 }}
vpcs:
  main:
    cidr: 10.0.0.0/16
    zones: [{region}a, {region}c]
    nat: {nat}
    private_link: {{ backend: true }}
workspaces:
  wk1:
    vpc: main
    storage: {{ bucket: busy-root }}
    uses: {{ sample_data: true, global_sts: true, buckets: {{ busy-data: {region} }} }}
"
    ))
}

/// What the rule of that number says when one bucket is left out.
fn left_out(rule: &'static str, bucket: &str) -> Sample {
    let all = [
        "busy-root",
        "databricks-prod-artifacts-ap-northeast-1",
        "databricks-prod-storage-tokyo",
        "system-tables-prod-ap-northeast-1-uc-metastore-bucket",
        "databricks-datasets-tokyo",
        "busy-data",
    ];
    let rest: Vec<&str> = all.into_iter().filter(|other| *other != bucket).collect();
    Sample { rule, broken: choosy(&rest), fine: choosy(&all) }
}

/// With a zone for just that name, which leads to an endpoint.
fn named_by_zone(stage: Stage, name: &str, endpoint: &str) -> Stage {
    let zone = PrivateZone {
        name: name.to_owned(),
        vpcs: ["aws.vpc/closed".to_owned()].into(),
        records: [(name.to_owned(), Answer::Endpoint(endpoint.to_owned()))].into(),
    };
    stage.edited(|topology| {
        topology.zones.insert(name.to_owned(), Some(zone));
    })
}

fn proven() -> Vec<Sample> {
    let customer = || Stage::example("customer-vpc");
    let closed = || Stage::example("closed-network");
    let silent = |stage: Stage, endpoint: &str| {
        stage.with(endpoint, |endpoint| endpoint["private_dns"] = json!(false))
    };
    let without = |stage: Stage, endpoint: &str| {
        stage.edited(|topology| {
            topology.endpoints.remove(endpoint).expect("an endpoint of that name");
        })
    };
    let for_accounts = |endpoint: &str, accounts: &[&str]| {
        let root = |account: &&str| json!({ "aws": format!("arn:aws:iam::{account}:root") });
        let principals: Vec<Value> = accounts.iter().map(root).collect();
        closed().with(endpoint, |endpoint| {
            endpoint["policy"] = json!({ "statements": [{
                "allow": true, "principals": principals, "actions": ["*"], "resources": ["*"],
            }] });
        })
    };
    let (ours, databricks) = ("123456789012", "414351767826");
    let (rest, relay) = ("aws.vpc_endpoint/closed.rest", "aws.vpc_endpoint/closed.relay");
    let (sts, kinesis) = ("aws.vpc_endpoint/closed.sts", "aws.vpc_endpoint/closed.kinesis");
    vec![
        Sample {
            rule: "DBX-EPT-001",
            broken: silent(closed(), relay),
            fine: named_by_zone(
                silent(closed(), relay),
                "tunnel.privatelink.ap-northeast-1.cloud.databricks.com",
                relay,
            ),
        },
        Sample {
            rule: "DBX-EPT-002",
            broken: silent(closed(), sts),
            fine: silent(customer(), "aws.vpc_endpoint/main.sts"),
        },
        Sample {
            rule: "DBX-EPT-004",
            broken: without(closed(), sts),
            fine: without(customer(), "aws.vpc_endpoint/main.sts"),
        },
        Sample {
            rule: "DBX-EPT-005",
            broken: without(closed(), kinesis),
            fine: without(customer(), "aws.vpc_endpoint/main.kinesis"),
        },
        Sample {
            rule: "DBX-EPT-006",
            broken: silent(closed(), rest),
            fine: named_by_zone(
                silent(closed(), rest),
                "tokyo.privatelink.cloud.databricks.com",
                rest,
            ),
        },
        left_out("DBX-EPT-016", "busy-root"),
        left_out("DBX-EPT-017", "databricks-prod-artifacts-ap-northeast-1"),
        left_out("DBX-EPT-018", "databricks-prod-storage-tokyo"),
        left_out("DBX-EPT-019", "system-tables-prod-ap-northeast-1-uc-metastore-bucket"),
        left_out("DBX-EPT-020", "databricks-datasets-tokyo"),
        left_out("DBX-EPT-021", "busy-data"),
        Sample {
            rule: "DBX-EPT-022",
            broken: for_accounts(sts, &[ours]),
            fine: for_accounts(sts, &[ours, databricks]),
        },
        Sample {
            rule: "DBX-EPT-023",
            broken: for_accounts(kinesis, &[ours]),
            fine: for_accounts(kinesis, &[databricks]),
        },
        Sample {
            rule: "DBX-EPT-029",
            broken: busy("ap-northeast-1", "none"),
            fine: busy("ap-northeast-1", "single"),
        },
        Sample {
            rule: "DBX-EPT-030",
            broken: busy("us-west-1", "none"),
            fine: busy("us-west-1", "single"),
        },
        Sample {
            rule: "DBX-EPT-033",
            broken: busy("us-west-1", "none"),
            fine: busy("ap-northeast-1", "none"),
        },
    ]
}

pub(super) fn samples() -> Vec<Sample> {
    let mut all = proven();
    all.extend(looked_up());
    all
}

fn looked_up() -> Vec<Sample> {
    let customer = || Stage::example("customer-vpc");
    let closed = || Stage::example("closed-network");
    let shared = || Stage::example("shared-vpc");
    let silent = |stage: Stage, sts: &str| {
        stage.with(sts, |endpoint| endpoint["private_dns"] = json!(false))
    };
    let policed = |stage: Stage, sts: &str, principal: Value| {
        let principals = json!([principal]);
        stage.with(sts, |endpoint| {
            endpoint["policy"] = json!({ "statements": [{
                "allow": true, "principals": principals, "actions": ["*"], "resources": ["*"],
            }] });
        })
    };
    let own = || {
        made(
            "ap-northeast-1",
            "private_link: { backend: true, frontend: true, frontend_endpoint: own }",
        )
    };
    let named = |region: &str, rest: &str| {
        let rest = format!("com.amazonaws.vpce.{region}.vpce-svc-{rest}");
        made(region, &format!("private_link: {{ backend: true, services: {{ rest: {rest} }} }}"))
    };
    let network = |change: fn(&mut Value)| closed().with("databricks.network/wk1", change);
    let given =
        |ids: &str| made("ap-northeast-1", &format!("private_link: {{ backend: true, {ids} }}"));
    let account = json!({ "aws": "arn:aws:iam::123456789012:root" });
    vec![
        Sample {
            rule: "DBX-EPT-003",
            broken: silent(customer(), "aws.vpc_endpoint/main.sts"),
            fine: silent(closed(), "aws.vpc_endpoint/closed.sts"),
        },
        Sample {
            rule: "DBX-EPT-007",
            broken: own().with("aws.vpc_endpoint/main.frontend", |endpoint| {
                endpoint["private_dns"] = json!(true);
            }),
            fine: own(),
        },
        Sample {
            rule: "DBX-EPT-008",
            broken: made(
                "ap-northeast-1",
                "private_link: { backend: true, services: \
                 { rest: com.amazonaws.vpce.us-east-1.vpce-svc-09143d1e626de2f04 } }",
            ),
            fine: closed(),
        },
        Sample {
            rule: "DBX-EPT-008",
            broken: closed().with("aws.vpc_endpoint/closed.sts", |sts| {
                sts["service"] = json!("com.amazonaws.us-east-1.sts");
            }),
            fine: closed().with("aws.vpc_endpoint/closed.sts", |sts| {
                sts["service"] = json!("com.amazonaws.s3-global.accesspoint");
            }),
        },
        Sample {
            rule: "DBX-EPT-009",
            broken: named("ap-northeast-1", "0123456789abcdef0"),
            fine: named("ap-southeast-3", "0fec4092997affd53"),
        },
        Sample {
            rule: "DBX-EPT-010",
            broken: network(|network| {
                let relay = network["relay_endpoint"].take();
                let rest = network["rest_endpoint"].take();
                network["rest_endpoint"] = relay;
                network["relay_endpoint"] = rest;
            }),
            fine: closed(),
        },
        Sample {
            rule: "DBX-EPT-011",
            broken: network(|network| network["relay_endpoint"] = json!(null)),
            fine: network(|network| {
                network["relay_endpoint"] = json!(null);
                network["rest_endpoint"] = json!(null);
            }),
        },
        Sample {
            rule: "DBX-EPT-012",
            broken: given(&format!(
                "use_registrations: {{ rest: vpce-0a1b2c3d4e5f60718, relay: {UUID} }}"
            )),
            fine: given(&format!("use_registrations: {{ rest: {UUID}, relay: {UUID} }}")),
        },
        Sample {
            rule: "DBX-EPT-012",
            broken: given(&format!("use: {{ rest: {UUID} }}")),
            fine: given("use: { rest: vpce-0a1b2c3d4e5f60718 }"),
        },
        Sample {
            rule: "DBX-EPT-024",
            broken: policed(shared(), "aws.vpc_endpoint/shared.sts", account.clone()),
            fine: policed(customer(), "aws.vpc_endpoint/main.sts", account),
        },
        Sample {
            rule: "DBX-EPT-024",
            broken: policed(
                shared(),
                "aws.vpc_endpoint/shared.s3",
                json!({ "service": "s3.amazonaws.com" }),
            ),
            fine: policed(shared(), "aws.vpc_endpoint/shared.s3", json!("anyone")),
        },
        Sample {
            rule: "DBX-EPT-028",
            broken: made("ap-northeast-1", "endpoints: [sts]"),
            fine: made("ap-northeast-1", "endpoints: [s3]"),
        },
        Sample {
            rule: "DBX-EPT-034",
            broken: closed().with("aws.vpc_endpoint/closed.sts", |sts| sts["groups"] = json!([])),
            fine: closed(),
        },
    ]
}
