use serde_json::{Value, json};

use super::Sample;
use super::iam::statement;
use crate::stage::Stage;

const BUCKET: &str = "aws.bucket/wk1";
const POLICY: &str = "aws.bucket_policy/wk1";
const CATALOG: &str = "aws.role/wk1.catalog";
const KEY: &str =
    "arn:aws:kms:ap-northeast-1:123456789012:key/0a1b2c3d-0000-4000-8000-0a1b2c3d4e5f";

/// A workspace in a VPC of Databricks with that storage.
pub(super) fn stored(storage: &str) -> Stage {
    Stage::of(&format!(
        "
apiVersion: dbxctl/v1
name: stored
region: ap-northeast-1
aws: {{ account: '123456789012' }}
databricks: {{ account: 3f8a1c52-7d40-4be1-9c6e-2b5d8e0f1a77 }}
workspaces:
  wk1: {{ storage: {{ {storage} }} }}
"
    ))
}

/// So many workspaces.
fn many(count: usize) -> Stage {
    let workspaces: String = (0..count).map(|i| format!("  wk{i}: {{}}\n")).collect();
    Stage::of(&format!(
        "
apiVersion: dbxctl/v1
name: many
region: ap-northeast-1
aws: {{ account: '123456789012' }}
databricks: {{ account: 3f8a1c52-7d40-4be1-9c6e-2b5d8e0f1a77 }}
workspaces:
{workspaces}"
    ))
}

/// Without the statement of that name.
fn drop_statement(policy: &mut Value, sid: &str) {
    policy["statements"].as_array_mut().expect("statements").retain(|s| s["sid"] != sid);
}

pub(super) fn samples() -> Vec<Sample> {
    let stage = || Stage::example("customer-vpc");
    let bucket = |field: &str, value: Value| stage().with(BUCKET, |bucket| bucket[field] = value);
    let granting = |change: fn(&mut Value)| {
        stage().with(POLICY, |policy| {
            change(statement(&mut policy["policy"], "GrantDatabricksAccess"));
        })
    };
    let unprotected = |stage: Stage| {
        stage.with(POLICY, |policy| {
            drop_statement(&mut policy["policy"], "KeepDbfsOutOfUnityCatalog")
        })
    };
    let trusting = |statements: Value| {
        stage().with(CATALOG, |role| role["trust"] = json!({ "statements": statements }))
    };
    let trust = |arn: &str, conditions: Value| {
        json!({
            "allow": true, "principals": [{ "aws": arn }], "actions": ["sts:AssumeRole"],
            "conditions": conditions,
        })
    };
    let id = |id: &str| json!({ "StringEquals": { "sts:ExternalId": [id] } });
    let master = "arn:aws:iam::414351767826:role/unity-catalog-prod-UCMasterRole-14S5ZJVKOTYTL";
    let itself = "arn:aws:iam::123456789012:role/customer-vpc-wk1-catalog";
    // As the Terraform provider writes it.
    let by_root = json!({
        "StringEquals": { "sts:ExternalId": ["x"] },
        "ArnLike": { "aws:PrincipalArn": [itself] },
    });
    let encrypted = || stored(&format!("kms_key: '{KEY}', catalog_role: {{}}"));
    vec![
        Sample {
            rule: "DBX-STO-001",
            broken: bucket("region", json!("us-east-1")),
            fine: bucket("region", json!("ap-northeast-1")),
        },
        Sample {
            rule: "DBX-STO-002",
            broken: bucket("name", json!("my.bucket")),
            fine: bucket("name", json!("my-bucket")),
        },
        Sample {
            rule: "DBX-STO-004",
            broken: bucket("block_public_access", json!(false)),
            fine: stage(),
        },
        Sample {
            rule: "DBX-STO-005",
            broken: stored("versioning: true"),
            fine: stored("versioning: false"),
        },
        Sample {
            rule: "DBX-STO-006",
            broken: granting(|s| s["actions"] = json!(["s3:Get*", "s3:List*", "s3:DeleteObject"])),
            fine: granting(|s| s["actions"] = json!(["s3:Get*", "s3:List*", "s3:*Object"])),
        },
        Sample {
            rule: "DBX-STO-006",
            broken: granting(|s| s["resources"] = json!(["arn:aws:s3:::customer-vpc-wk1-root"])),
            fine: granting(|s| {
                s["resources"] = json!([
                    "arn:aws:s3:::customer-vpc-wk1-root",
                    "arn:aws:s3:::customer-vpc-wk1-root/tokyo-prod/*",
                ]);
            }),
        },
        Sample {
            rule: "DBX-STO-006",
            broken: granting(|s| {
                let key = "aws:PrincipalTag/DatabricksAccountId";
                s["conditions"]["StringEquals"][key] = json!(["another"]);
            }),
            fine: stage(),
        },
        Sample {
            rule: "DBX-STO-007",
            broken: granting(|s| s["conditions"] = json!({})),
            fine: stage(),
        },
        Sample { rule: "DBX-STO-008", broken: unprotected(stage()), fine: unprotected(stored("")) },
        Sample {
            rule: "DBX-STO-010",
            broken: many(2).with("databricks.storage_configuration/wk1", |configuration| {
                configuration["bucket"] =
                    json!({ "$output": { "address": "aws.bucket/wk0", "field": "id" } });
            }),
            fine: many(2),
        },
        Sample {
            rule: "DBX-STO-011",
            broken: trusting(json!([trust(itself, id("x"))])),
            fine: trusting(json!([trust(master, id("x"))])),
        },
        Sample {
            rule: "DBX-STO-012",
            broken: trusting(json!([trust(master, id("x"))])),
            fine: trusting(json!([
                trust(master, id("x")),
                trust("arn:aws:iam::123456789012:root", by_root)
            ])),
        },
        Sample {
            rule: "DBX-STO-013",
            broken: stage().with(CATALOG, |role| {
                drop_statement(&mut role["inline"]["bucket"], "AssumeItself")
            }),
            fine: stage().with(CATALOG, |role| {
                let statement = statement(&mut role["inline"]["bucket"], "AssumeItself");
                statement["resources"] = json!(["arn:aws:iam::123456789012:role/*"]);
            }),
        },
        Sample {
            rule: "DBX-STO-014",
            broken: trusting(json!([trust(master, id("x")), trust(itself, id("y"))])),
            fine: trusting(json!([trust(master, id("x")), trust(itself, id("x"))])),
        },
        Sample {
            rule: "DBX-STO-014",
            broken: trusting(json!([trust(master, id("x")), trust(itself, json!({}))])),
            fine: trusting(json!([trust(itself, id("x"))])),
        },
        Sample {
            rule: "DBX-STO-018",
            broken: encrypted().with(CATALOG, |role| {
                let key = statement(&mut role["inline"]["bucket"], "Key");
                key["actions"] = json!(["kms:Decrypt"]);
            }),
            fine: encrypted(),
        },
        Sample {
            rule: "DBX-STO-018",
            broken: stored("kms_key: 0a1b2c3d-0000-4000-8000-0a1b2c3d4e5f, catalog_role: {}"),
            fine: stored("kms_key: 0a1b2c3d-0000-4000-8000-0a1b2c3d4e5f"),
        },
        Sample {
            rule: "DBX-STO-019",
            broken: stored(
                "kms_key: 'arn:aws:kms:ap-northeast-1:123456789012:alias/data', catalog_role: {}",
            ),
            fine: encrypted(),
        },
        Sample {
            rule: "DBX-STO-021",
            broken: stored("catalog_role: { use: 'arn:aws:iam::999999999999:role/catalog' }"),
            fine: stored("catalog_role: { use: 'arn:aws:iam::123456789012:role/catalog' }"),
        },
        Sample { rule: "DBX-STO-022", broken: many(51), fine: many(50) },
    ]
}
