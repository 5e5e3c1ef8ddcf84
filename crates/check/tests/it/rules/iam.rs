use serde_json::{Value, json};

use super::Sample;
use crate::stage::Stage;

const ROLE: &str = "aws.role/wk1.databricks";
const NODES: &str = "aws.role/wk1.node-etl";

/// A VPC of somebody else, with a role that is scoped to it, for workspaces with these groups.
fn restricted(groups: &[&str]) -> Stage {
    let mut yaml = "
apiVersion: dbxctl/v1
name: restricted
region: ap-northeast-1
aws: { account: '123456789012' }
databricks: { account: 3f8a1c52-7d40-4be1-9c6e-2b5d8e0f1a77 }
vpcs:
  corporate:
    use: { vpc: vpc-0a1b2c3d4e5f60718 }
    endpoints: []
workspaces:
"
    .to_owned();
    for (index, group) in groups.iter().enumerate() {
        yaml += &format!(
            "  wk{}:
    vpc: corporate
    subnets: {{ use: [subnet-0a1b2c3d4e5f6071{index}, subnet-0a1b2c3d4e5f6072{index}] }}
    security_group: {{ use: {group} }}
    credentials: {{ policy: restricted }}
",
            index + 1
        );
    }
    Stage::of(&yaml)
}

/// The statement of that name.
pub(super) fn statement<'p>(policy: &'p mut Value, sid: &str) -> &'p mut Value {
    let statements = policy["statements"].as_array_mut().expect("statements");
    statements.iter_mut().find(|s| s["sid"] == sid).expect("a statement of that name")
}

/// What Databricks may do.
fn policy(role: &mut Value) -> &mut Value {
    &mut role["inline"]["databricks"]
}

/// Without some actions of the statement `Compute`.
fn without(stage: Stage, actions: &[&str]) -> Stage {
    stage.with(ROLE, |role| {
        let compute = statement(policy(role), "Compute");
        let all = compute["actions"].as_array_mut().expect("actions");
        all.retain(|action| !actions.iter().any(|gone| action == gone));
    })
}

/// With one more statement.
fn and(stage: Stage, more: Value) -> Stage {
    stage.with(ROLE, |role| {
        policy(role)["statements"].as_array_mut().expect("statements").push(more);
    })
}

fn replaced(stage: Stage, from: &str, to: &str) -> Stage {
    stage.with(ROLE, |role| {
        *role = serde_json::from_str(&role.to_string().replace(from, to)).expect("JSON");
    })
}

pub(super) fn samples() -> Vec<Sample> {
    let customer = || Stage::example("customer-vpc");
    let managed = || Stage::example("managed-vpc");
    let trusting = |principals: Value| {
        customer().with(ROLE, |role| role["trust"]["statements"][0]["principals"] = principals)
    };
    let asking = |ids: Value| {
        customer().with(ROLE, |role| {
            role["trust"]["statements"][0]["conditions"]["StringEquals"]["sts:ExternalId"] = ids;
        })
    };
    let passing = |resource: &str| {
        let resources = json!([resource]);
        customer().with(ROLE, |role| {
            statement(policy(role), "PassNodeRoles")["resources"] = resources;
        })
    };
    let attached = |arn: &str| customer().with(NODES, |role| role["managed"] = json!([arn]));
    let trusted = |services: Value| {
        customer().with(NODES, |role| role["trust"]["statements"][0]["principals"] = services)
    };
    let building = |second: &str| {
        Stage::of(&format!(
            "
apiVersion: dbxctl/v1
name: building
region: ap-northeast-1
aws: {{ account: '123456789012' }}
databricks: {{ account: 3f8a1c52-7d40-4be1-9c6e-2b5d8e0f1a77 }}
vpcs:
  main: {{ cidr: 10.0.0.0/16, zones: [ap-northeast-1a, ap-northeast-1c] }}
credentials:
  shared: {{ policy: managed }}
workspaces:
  wk1: {{ vpc: main, credentials: {{ shared: shared }} }}
  wk2: {{ {second} credentials: {{ shared: shared }} }}
"
        ))
    };
    let spot = |actions: Value| {
        customer().with(ROLE, |role| statement(policy(role), "SpotRole")["actions"] = actions)
    };
    let images_of = |owner: &str| {
        let of_others = json!({
            "sid": "Images", "allow": false, "actions": ["ec2:RunInstances"], "resources": ["*"],
            "conditions": { "StringNotEquals": { "ec2:Owner": [owner] } },
        });
        and(customer(), of_others)
    };
    // The second workspace works with the role of the first.
    let one_role = |groups: [&str; 2]| {
        restricted(&groups).with("databricks.credentials/wk2", |credentials| {
            credentials["role_arn"] = json!({ "$output": { "address": ROLE, "field": "arn" } });
        })
    };
    let (root, other) = ("arn:aws:iam::414351767826:root", "arn:aws:iam::999999999999:root");
    let account = "3f8a1c52-7d40-4be1-9c6e-2b5d8e0f1a77";
    let (group, second) = ("sg-0a1b2c3d4e5f60718", "sg-0a1b2c3d4e5f60719");
    vec![
        Sample {
            rule: "DBX-IAM-001",
            broken: trusting(json!([{ "aws": other }])),
            fine: trusting(json!([{ "aws": other }, { "aws": root }])),
        },
        Sample {
            rule: "DBX-IAM-002",
            broken: asking(json!(["00000000-0000-0000-0000-000000000000"])),
            fine: asking(json!(["00000000-0000-0000-0000-000000000000", account])),
        },
        Sample {
            rule: "DBX-IAM-003",
            broken: without(customer(), &["ec2:RunInstances"]),
            fine: and(
                without(customer(), &["ec2:RunInstances", "ec2:CreateFleet"]),
                json!({ "allow": true, "actions": ["ec2:Run*", "EC2:CreateFleet"], "resources": ["*"] }),
            ),
        },
        Sample {
            rule: "DBX-IAM-004",
            broken: passing("arn:aws:iam::123456789012:role/another"),
            fine: passing("arn:aws:iam::123456789012:role/customer-vpc-*"),
        },
        Sample {
            rule: "DBX-IAM-005",
            broken: passing("arn:aws:iam::123456789012:role/*"),
            fine: passing("arn:aws:iam::123456789012:role/another"),
        },
        Sample {
            rule: "DBX-IAM-006",
            broken: attached("arn:aws-us-gov:iam::aws:policy/AmazonS3ReadOnlyAccess"),
            fine: attached("arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"),
        },
        Sample {
            rule: "DBX-IAM-007",
            broken: replaced(
                restricted(&[group]),
                "vpc-0a1b2c3d4e5f60718",
                "vpc-0a1b2c3d4e5f60719",
            ),
            fine: restricted(&[group]),
        },
        Sample {
            rule: "DBX-IAM-007",
            broken: replaced(restricted(&[group]), group, second),
            fine: replaced(
                restricted(&[group]),
                ":security-group/sg-0a1b2c3d4e5f60718",
                ":security-group/*",
            ),
        },
        Sample {
            rule: "DBX-IAM-008",
            broken: one_role([group, second]),
            fine: one_role([group, group]),
        },
        Sample {
            rule: "DBX-IAM-010",
            broken: trusted(json!([{ "service": "lambda.amazonaws.com" }])),
            fine: trusted(
                json!([{ "service": "lambda.amazonaws.com" }, { "service": "ec2.amazonaws.com" }]),
            ),
        },
        Sample { rule: "DBX-IAM-011", broken: building("vpc: main,"), fine: building("") },
        Sample {
            rule: "DBX-IAM-012",
            broken: without(managed(), &["ec2:CreateVpc"]),
            fine: without(customer(), &["ec2:CreateVpc"]),
        },
        Sample {
            rule: "DBX-IAM-013",
            broken: spot(json!(["iam:PutRolePolicy"])),
            fine: spot(json!(["iam:CreateServiceLinkedRole"])),
        },
        Sample {
            rule: "DBX-IAM-014",
            broken: images_of("123456789012"),
            fine: images_of("601306020600"),
        },
        Sample {
            rule: "DBX-IAM-016",
            broken: without(managed(), &["ec2:DescribeNetworkAcls"]),
            fine: without(customer(), &["ec2:DescribeNetworkAcls"]),
        },
        Sample {
            rule: "DBX-IAM-003",
            broken: without(customer(), &["ec2:DescribeNetworkAcls"]),
            fine: without(managed(), &["ec2:DescribeNetworkAcls"]),
        },
    ]
}
