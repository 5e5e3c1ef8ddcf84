use serde_json::json;

use super::Sample;
use crate::stage::Stage;

const WORKSPACE: &str = "databricks.workspace/wk1";

/// A closed workspace that admits these registrations.
fn admitting(registration: &str) -> Stage {
    Stage::of(&format!(
        "
apiVersion: dbxctl/v1
name: admitting
region: ap-northeast-1
aws: {{ account: '123456789012' }}
databricks: {{ account: 3f8a1c52-7d40-4be1-9c6e-2b5d8e0f1a77 }}
vpcs:
  closed:
    cidr: 10.0.0.0/16
    zones: [ap-northeast-1a, ap-northeast-1c]
    private_link: {{ backend: true, frontend: true }}
workspaces:
  wk1:
    vpc: closed
    public_access: false
    private_access:
      level: endpoint
      allowed: [closed]
      allowed_registrations: [{registration}]
"
    ))
}

pub(super) fn samples() -> Vec<Sample> {
    let closed = || Stage::example("closed-network");
    let customer = || Stage::example("customer-vpc");
    let premium =
        |stage: Stage| stage.with(WORKSPACE, |workspace| workspace["tier"] = json!("PREMIUM"));
    let settings_of = |region: &str| {
        closed().with("databricks.private_access_settings/wk1", |settings| {
            settings["region"] = json!(region);
        })
    };
    let registered_in = |region: &str| {
        closed().with("databricks.vpc_endpoint/closed.relay", |registration| {
            registration["region"] = json!(region);
        })
    };
    let uuid = "5f6f1b4e-0000-4000-8000-000000000001";
    let settings = json!(uuid);
    vec![
        Sample {
            rule: "DBX-PLK-001",
            broken: Stage::example("managed-vpc")
                .with(WORKSPACE, |workspace| workspace["private_access"] = settings.clone()),
            fine: customer()
                .with(WORKSPACE, |workspace| workspace["private_access"] = settings.clone()),
        },
        Sample { rule: "DBX-PLK-002", broken: premium(closed()), fine: premium(customer()) },
        Sample {
            rule: "DBX-PLK-003",
            broken: closed().with(WORKSPACE, |workspace| workspace["private_access"] = json!(null)),
            fine: customer(),
        },
        Sample {
            rule: "DBX-PLK-004",
            broken: closed().with("databricks.network/wk1", |network| {
                network["rest_endpoint"] = json!(null);
                network["relay_endpoint"] = json!(null);
            }),
            fine: closed(),
        },
        Sample {
            rule: "DBX-PLK-005",
            broken: admitting(uuid).with("databricks.private_access_settings/wk1", |settings| {
                let relay = "databricks.vpc_endpoint/closed.relay";
                settings["allowed"] = json!([{ "$output": { "address": relay, "field": "id" } }]);
            }),
            fine: admitting(uuid),
        },
        Sample {
            rule: "DBX-PLK-006",
            broken: admitting("vpce-0a1b2c3d4e5f60718"),
            fine: admitting(uuid),
        },
        Sample {
            rule: "DBX-PLK-007",
            broken: settings_of("us-east-1"),
            fine: settings_of("ap-northeast-1"),
        },
        Sample {
            rule: "DBX-PLK-016",
            broken: registered_in("us-east-1"),
            fine: registered_in("ap-northeast-1"),
        },
    ]
}
