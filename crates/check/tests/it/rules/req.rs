use super::{Sample, closed, open, stage};
use crate::stage::Stage;

/// A spec that says more than one of the usual stages.
fn saying(mut stage: Stage, more: &str) -> Stage {
    let mut spec = serde_json::to_value(&stage.spec).expect("a spec is JSON");
    let more: serde_json::Value = serde_json::from_str(more).expect("JSON");
    for (field, value) in more.as_object().into_iter().flatten() {
        spec[field.as_str()] = value.clone();
    }
    stage.spec = serde_json::from_value(spec).expect("a spec");
    stage
}

pub(super) fn samples() -> Vec<Sample> {
    let forbidden = r#"{ "requirements": { "internet": "forbidden" } }"#;
    let managed = || stage("workspaces:\n  wk1: {}\n");
    let reach = |what: &str| format!(r#"{{ "requirements": {{ "reach": ["{what}"] }} }}"#);
    let accept = |what: &str| format!(r#"{{ "accept": {{ "{what}": "known" }} }}"#);
    vec![
        Sample {
            rule: "DBX-REQ-001",
            broken: saying(open(), forbidden),
            fine: saying(closed(), forbidden),
        },
        Sample { rule: "DBX-REQ-001", broken: saying(managed(), forbidden), fine: managed() },
        Sample {
            rule: "DBX-REQ-002",
            broken: saying(closed(), &reach("pypi.org:443")),
            fine: saying(open(), &reach("PyPI.org:443")),
        },
        Sample {
            rule: "DBX-REQ-002",
            broken: saying(open(), &reach("lakebase")),
            fine: saying(open(), &reach("d13")),
        },
        Sample {
            rule: "DBX-CHK-001",
            broken: saying(open(), &accept("DBX-RTE-099")),
            fine: saying(open(), &accept("DBX-RTE-005")),
        },
        Sample {
            rule: "DBX-CHK-002",
            broken: saying(open(), &accept("DBX-RTE-005")),
            fine: saying(
                stage(
                    "vpcs:\n  main: { cidr: 10.0.0.0/16, zones: [ap-northeast-1a, ap-northeast-1c] }\n\
                     workspaces:\n  wk1: { vpc: main }\n",
                ),
                &accept("DBX-RTE-005"),
            ),
        },
    ]
}
