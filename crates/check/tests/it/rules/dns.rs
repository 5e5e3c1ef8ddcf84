use std::collections::BTreeMap;

use dbxctl_check::topology::{Answer, PrivateZone, Topology};
use serde_json::json;

use super::Sample;
use crate::stage::Stage;

const VPC: &str = "aws.vpc/closed";
const REST: &str = "aws.vpc_endpoint/closed.rest";

/// With a private zone in the VPC whose names lead to the REST endpoint.
fn zoned(stage: Stage, zone: &str, names: &[&str]) -> Stage {
    let lead = |name: &&str| ((*name).to_owned(), Answer::Endpoint(REST.to_owned()));
    let records: BTreeMap<_, _> = names.iter().map(lead).collect();
    let made = PrivateZone { name: zone.to_owned(), vpcs: [VPC.to_owned()].into(), records };
    stage.edited(|topology| {
        topology.zones.insert(zone.to_owned(), Some(made));
    })
}

/// A VPC with a private connection for users and none for nodes.
fn users_only() -> Stage {
    Stage::of(
        "
apiVersion: dbxctl/v1
name: users
region: ap-northeast-1
aws: { account: '123456789012' }
databricks: { account: 3f8a1c52-7d40-4be1-9c6e-2b5d8e0f1a77 }
vpcs:
  closed:
    cidr: 10.0.0.0/16
    zones: [ap-northeast-1a, ap-northeast-1c]
    private_link: { frontend: true }
workspaces:
  wk1: { vpc: closed }
",
    )
}

pub(super) fn samples() -> Vec<Sample> {
    let closed = || Stage::example("closed-network");
    let bare = || {
        users_only()
            .with("databricks.workspace/wk1", |workspace| workspace["private_access"] = json!(null))
    };
    let domain = "cloud.databricks.com";
    let host = "wk1.cloud.databricks.com";
    let sts = "sts.ap-northeast-1.amazonaws.com";
    let relay = "tunnel.privatelink.ap-northeast-1.cloud.databricks.com";
    let leading = |name: &str, endpoint: &str| {
        let records = [(name.to_owned(), Answer::Endpoint(endpoint.to_owned()))].into();
        let zone = PrivateZone { name: name.to_owned(), vpcs: [VPC.to_owned()].into(), records };
        move |topology: &mut Topology| {
            topology.zones.insert(zone.name.clone(), Some(zone.clone()));
        }
    };
    let users = |link: &str| {
        Stage::of(&format!(
            "
apiVersion: dbxctl/v1
name: users
region: ap-northeast-1
aws: {{ account: '123456789012' }}
databricks: {{ account: 3f8a1c52-7d40-4be1-9c6e-2b5d8e0f1a77 }}
vpcs:
  closed:
    cidr: 10.0.0.0/16
    zones: [ap-northeast-1a, ap-northeast-1c]
    private_link: {{ backend: true, frontend: true, {link} }}
workspaces:
  wk1: {{ vpc: closed, public_access: false }}
"
        ))
    };
    let pinned = leading(host, "aws.vpc_endpoint/closed.frontend");
    let silent = |stage: Stage| stage.with(REST, |rest| rest["private_dns"] = json!(false));
    vec![
        Sample {
            rule: "DBX-DNS-002",
            broken: users("frontend_endpoint: own").edited(|topology| {
                topology.registrations.remove("databricks.vpc_endpoint/closed.frontend");
                pinned(topology);
            }),
            fine: users("frontend_endpoint: own").edited(&pinned),
        },
        Sample {
            rule: "DBX-DNS-003",
            broken: closed().edited(leading(relay, REST)),
            fine: closed().edited(leading(relay, "aws.vpc_endpoint/closed.relay")),
        },
        Sample {
            rule: "DBX-DNS-004",
            broken: silent(users("user_names: vpc")),
            fine: silent(users("user_names: zone")),
        },
        Sample {
            rule: "DBX-DNS-001",
            broken: zoned(
                closed(),
                domain,
                &[host, "tokyo.privatelink.cloud.databricks.com", "tokyo.cloud.databricks.com"],
            ),
            fine: zoned(
                closed(),
                "privatelink.cloud.databricks.com",
                &["tokyo.privatelink.cloud.databricks.com"],
            ),
        },
        Sample {
            rule: "DBX-DNS-006",
            broken: closed(),
            fine: zoned(
                closed(),
                "accounts-pl-auth.privatelink.cloud.databricks.com",
                &["accounts-pl-auth.privatelink.cloud.databricks.com"],
            ),
        },
        Sample {
            rule: "DBX-DNS-008",
            broken: zoned(closed(), host, &[host]),
            fine: zoned(closed(), domain, &[host, "dbc-dp-1234567890.cloud.databricks.com"]),
        },
        Sample { rule: "DBX-DNS-009", broken: bare(), fine: users_only() },
        Sample {
            rule: "DBX-DNS-011",
            broken: zoned(closed(), sts, &[sts]),
            fine: zoned(
                closed()
                    .with("aws.vpc_endpoint/closed.sts", |sts| sts["private_dns"] = json!(false)),
                sts,
                &[sts],
            ),
        },
    ]
}
