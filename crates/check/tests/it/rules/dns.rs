use std::collections::BTreeMap;

use dbxctl_check::topology::{Answer, PrivateZone};
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

pub(super) fn samples() -> Vec<Sample> {
    let closed = || Stage::example("closed-network");
    let bare = || {
        closed()
            .with("databricks.workspace/wk1", |workspace| workspace["private_access"] = json!(null))
    };
    let domain = "cloud.databricks.com";
    let host = "wk1.cloud.databricks.com";
    let sts = "sts.ap-northeast-1.amazonaws.com";
    vec![
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
        Sample { rule: "DBX-DNS-009", broken: bare(), fine: closed() },
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
