use super::Sample;
use crate::stage::Stage;

pub(super) fn samples() -> Vec<Sample> {
    let named = |name: &str| {
        Stage::of(&format!(
            "
apiVersion: dbxctl/v1
name: named
region: ap-northeast-1
aws: {{ account: '123456789012' }}
databricks: {{ account: 3f8a1c52-7d40-4be1-9c6e-2b5d8e0f1a77 }}
vpcs:
  main: {{ cidr: 10.0.0.0/16, zones: [ap-northeast-1a, ap-northeast-1c] }}
workspaces:
  wk1: {{ vpc: main }}
labels:
  databricks.network/wk1: {{ name: {name} }}
"
        ))
    };
    vec![Sample { rule: "DBX-WSP-005", broken: named("net"), fine: named("nets") }]
}
