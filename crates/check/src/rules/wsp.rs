//! Workspaces themselves, and what the Databricks account takes.

use super::{Broken, Case, Decided, Rule};
use crate::finding::Severity;

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "DBX-WSP-001",
        severity: Severity::Error,
        when: "a serverless workspace with credentials, storage or a network",
        fix: "leave them out",
        source: "Terraform provider, the API",
        decided: Decided::Language("there are no words for serverless workspaces"),
    },
    Rule {
        id: "DBX-WSP-002",
        severity: Severity::Error,
        when: "a workspace without credentials or storage",
        fix: "give it both",
        source: "Terraform provider",
        decided: Decided::Language(
            "every workspace gets both: its own, shared ones, or ones that exist",
        ),
    },
    Rule {
        id: "DBX-WSP-003",
        severity: Severity::Error,
        when: "a serverless workspace in GovCloud",
        fix: "leave it out",
        source: "Security Reference Architecture",
        decided: Decided::Language("there are no words for serverless workspaces"),
    },
    Rule {
        id: "DBX-WSP-004",
        severity: Severity::Warning,
        when: "a deployment name, and the account has no prefix for it",
        fix: "leave `deployment_name` out, or ask Databricks for a prefix",
        source: "Terraform provider",
        decided: Decided::Live(
            "whether the account has a prefix: the API says so only when a workspace is made",
        ),
    },
    Rule {
        id: "DBX-WSP-005",
        severity: Severity::Error,
        when: "a network configuration or private access settings have a name that is too short or \
               too long",
        fix: "give it a name of 4 to 256 characters in `labels`",
        source: "Terraform provider",
        decided: Decided::Here(names),
    },
    Rule {
        id: "DBX-WSP-006",
        severity: Severity::Error,
        when: "a workspace has failed, or is still being made after 20 minutes",
        fix: "read what its network says, mend it and apply again",
        source: "the API, Terraform provider",
        decided: Decided::Live(
            "the status of the workspace; apply waits for those it makes and shows what their \
             networks say",
        ),
    },
    Rule {
        id: "DBX-WSP-007",
        severity: Severity::Warning,
        when: "Databricks warns of a network configuration, or finds it broken",
        fix: "change the security group or subnet it names",
        source: "the API",
        decided: Decided::Live("status and problems of the network configuration"),
    },
    Rule {
        id: "DBX-WSP-008",
        severity: Severity::Warning,
        when: "the last custom tag of a workspace is taken away",
        fix: "keep one",
        source: "Terraform provider: the service ignores an empty map",
        decided: Decided::Plan("the comparison of workspaces refuses it"),
    },
    Rule {
        id: "DBX-WSP-009",
        severity: Severity::Error,
        when: "subnets are deleted while interfaces of nodes are left",
        fix: "terminate the nodes, wait, delete what is left",
        source: "field notes: DependencyViolation",
        decided: Decided::Plan(
            "apply deletes workspaces first and tries again while AWS says that something depends \
             on the subnet",
        ),
    },
    Rule {
        id: "DBX-WSP-010",
        severity: Severity::Warning,
        when: "a second metastore in a region",
        fix: "use the one there is",
        source: "rule of Unity Catalog",
        decided: Decided::Language("there are no words for metastores"),
    },
    Rule {
        id: "DBX-WSP-011",
        severity: Severity::Warning,
        when: "objects in a workspace are made right after it",
        fix: "wait 20 to 60 seconds and try again",
        source: "templates of the article, Security Reference Architecture",
        decided: Decided::Language("there are no words for objects in workspaces"),
    },
    Rule {
        id: "DBX-WSP-012",
        severity: Severity::Error,
        when: "a network connectivity configuration or network policy has a bad name or region",
        fix: "choose another",
        source: "the API, Security Reference Architecture",
        decided: Decided::Language("there are no words for network connectivity configurations"),
    },
    Rule {
        id: "DBX-WSP-013",
        severity: Severity::Error,
        when: "too many network connectivity configurations, endpoints or workspaces in them",
        fix: "split them",
        source: "Databricks documentation of serverless connectivity",
        decided: Decided::Language("there are no words for network connectivity configurations"),
    },
    Rule {
        id: "DBX-WSP-014",
        severity: Severity::Warning,
        when: "a workspace loses its network connectivity configuration",
        fix: "attach another",
        source: "the API",
        decided: Decided::Language("there are no words for network connectivity configurations"),
    },
    Rule {
        id: "DBX-WSP-015",
        severity: Severity::Warning,
        when: "a private endpoint of serverless compute is not accepted, or no longer",
        fix: "accept it, or make it anew",
        source: "the API",
        decided: Decided::Live("the state of private endpoint rules"),
    },
    Rule {
        id: "DBX-WSP-016",
        severity: Severity::Warning,
        when: "more than two deliveries of audit logs",
        fix: "use those there are",
        source: "Security Reference Architecture",
        decided: Decided::Language("there are no words for log delivery"),
    },
    Rule {
        id: "DBX-WSP-017",
        severity: Severity::Warning,
        when: "all users of the account have all privileges on credentials, locations or volumes",
        fix: "narrow the grant",
        source: "templates of the article",
        decided: Decided::Language("there are no words for grants"),
    },
    Rule {
        id: "DBX-WSP-018",
        severity: Severity::Warning,
        when: "the state holds secrets in the clear",
        fix: "encrypt the state",
        source: "templates of the article, whose state holds client secrets",
        decided: Decided::Language("no field takes a secret, so the state has none"),
    },
];

fn names(case: &Case<'_>) -> Vec<Broken> {
    let networks = case.made.networks.iter().map(|(key, network)| (key, &network.name));
    let settings = case.made.settings.iter().map(|(key, settings)| (key, &settings.name));
    let unfit =
        networks.chain(settings).filter(|(_, name)| !(4..=256).contains(&name.chars().count()));
    unfit
        .map(|(key, name)| {
            let labelled = case.spec.labels.contains_key(key);
            let label = || ["labels", key, "name"].map(str::to_owned).into();
            let place = if labelled { label() } else { case.place(key) };
            let count = name.chars().count();
            Broken::new(key, place, format!("`{name}` has {count} characters: a name has 4 to 256"))
        })
        .collect()
}
