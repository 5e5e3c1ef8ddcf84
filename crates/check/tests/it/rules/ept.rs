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

pub(super) fn samples() -> Vec<Sample> {
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
