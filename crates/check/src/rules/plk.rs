//! Private connections, and who may use them.

use engine::Ref;

use super::made::{name, target};
use super::{Broken, Case, Decided, Rule};
use crate::finding::Severity;
use crate::topology::Access;

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "DBX-PLK-001",
        severity: Severity::Error,
        when: "a workspace in a VPC of Databricks has private access settings or wants private \
               connections",
        fix: "give the workspace a `vpc`",
        source: "the article, Databricks documentation of PrivateLink",
        decided: Decided::Here(no_vpc),
    },
    Rule {
        id: "DBX-PLK-002",
        severity: Severity::Error,
        when: "private connections with another tier than enterprise",
        fix: "leave out `tier`, or write `enterprise`",
        source: "Databricks documentation; the API answers Forbidden",
        decided: Decided::Here(tier),
    },
    Rule {
        id: "DBX-PLK-003",
        severity: Severity::Error,
        when: "a network configuration has private connections, and the workspace no private \
               access settings",
        fix: "give the workspace private access settings",
        source: "Terraform provider, the API",
        decided: Decided::Here(no_settings),
    },
    Rule {
        id: "DBX-PLK-004",
        severity: Severity::Error,
        when: "public access is off, and private connections for nodes or for users are missing",
        fix: "turn `public_access` on, or both `backend` and `frontend` in `private_link`",
        source: "text of the API",
        decided: Decided::Here(closed_without_backend),
    },
    Rule {
        id: "DBX-PLK-005",
        severity: Severity::Error,
        when: "only listed endpoints may reach the workspace, and that of its users is not listed",
        fix: "add the VPC to `private_access.allowed`",
        source: "text of the API",
        decided: Decided::Proof,
    },
    Rule {
        id: "DBX-PLK-006",
        severity: Severity::Error,
        when: "the list of allowed registrations has an id of AWS",
        fix: "give the UUID of the registration",
        source: "the API, Terraform provider",
        decided: Decided::Here(allowed_ids),
    },
    Rule {
        id: "DBX-PLK-007",
        severity: Severity::Error,
        when: "private access settings are of another region than the workspace",
        fix: "make settings in the region",
        source: "the API",
        decided: Decided::Here(settings_elsewhere),
    },
    Rule {
        id: "DBX-PLK-008",
        severity: Severity::Warning,
        when: "public access is on without an IP access list",
        fix: "add an IP access list in the workspace",
        source: "Terraform provider",
        decided: Decided::Live(
            "IP access lists of the workspace and context-based ingress of the account",
        ),
    },
    Rule {
        id: "DBX-PLK-009",
        severity: Severity::Error,
        when: "a running workspace would move into or out of a VPC of Databricks",
        fix: "make another workspace",
        source: "the article, Databricks documentation, the API",
        decided: Decided::Plan(
            "the comparison of workspaces refuses it, but for one that failed and never ran",
        ),
    },
    Rule {
        id: "DBX-PLK-010",
        severity: Severity::Error,
        when: "a workspace would lose its private connections or private access settings",
        fix: "keep them, and change their level instead",
        source: "text of the API",
        decided: Decided::Plan("the comparisons of networks and workspaces refuse it"),
    },
    Rule {
        id: "DBX-PLK-011",
        severity: Severity::Warning,
        when: "private access settings of several workspaces change",
        fix: "look at all workspaces the plan names",
        source: "the API: an update replaces the whole object",
        decided: Decided::Plan("the plan names every workspace that stands on a changed object"),
    },
    Rule {
        id: "DBX-PLK-012",
        severity: Severity::Error,
        when: "a network configuration in use would change",
        fix: "make another, give it to the workspace, delete the old one",
        source: "Terraform provider: INVALID_STATE",
        decided: Decided::Plan(
            "network configurations are replaced: the new one first, the old one last",
        ),
    },
    Rule {
        id: "DBX-PLK-013",
        severity: Severity::Warning,
        when: "the network of a running workspace changes",
        fix: "stop all compute before, and keep it stopped for 20 minutes",
        source: "text of the API, v0.20 to v0.60 of its SDK",
        decided: Decided::Plan(
            "the plan says that compute stops, and apply reads the workspace again",
        ),
    },
    Rule {
        id: "DBX-PLK-014",
        severity: Severity::Info,
        when: "clusters may fail for 20 minutes after a workspace with private connections is made",
        fix: "wait before the first cluster",
        source: "Terraform provider, field notes",
        decided: Decided::Plan(
            "only a plan knows whether the workspace is new; it does not say so",
        ),
    },
    Rule {
        id: "DBX-PLK-015",
        severity: Severity::Warning,
        when: "users come from two VPCs, and only one of them is registered",
        fix: "register both, and list both in `private_access.allowed`",
        source: "Databricks documentation of inbound connections",
        decided: Decided::Language(
            "every endpoint for users that a spec asks for is registered, and `allowed` says whose \
             users may come",
        ),
    },
    Rule {
        id: "DBX-PLK-016",
        severity: Severity::Error,
        when: "an endpoint is registered in another region than the workspace",
        fix: "register it in the region of the workspace",
        source: "the API; the Databricks account is the same for all objects of a spec",
        decided: Decided::Here(registered_elsewhere),
    },
];

/// At a field of what the spec says about an object.
fn broken(case: &Case<'_>, key: &str, field: &str, message: String) -> Broken {
    let mut place = case.place(key);
    if !field.is_empty() && place.last().is_none_or(|last| last != field) {
        place.push(field.to_owned());
    }
    Broken::new(key, place, message)
}

fn no_vpc(case: &Case<'_>) -> Vec<Broken> {
    let without = case.made.workspaces.iter().filter(|(_, workspace)| workspace.network.is_none());
    let wanting = without.filter_map(|(key, workspace)| {
        let name = name(key);
        let wants = case.spec.workspaces.get(name).is_some_and(|w| w.private_link == Some(true));
        (workspace.private_access.is_some() || wants).then(|| {
            let message = format!(
                "Databricks manages the VPC of workspace `{name}`, which cannot be private"
            );
            broken(case, name, "vpc", message)
        })
    });
    wanting.collect()
}

fn tier(case: &Case<'_>) -> Vec<Broken> {
    let low = case.made.workspaces.iter().filter_map(|(key, workspace)| {
        let tier =
            workspace.tier.as_ref().filter(|tier| !tier.eq_ignore_ascii_case("enterprise"))?;
        let network = workspace.network.as_ref().and_then(target);
        let network = network.and_then(|key| case.made.networks.get(key));
        let connected =
            network.is_some_and(|n| n.rest_endpoint.is_some() || n.relay_endpoint.is_some());
        if !connected && workspace.private_access.is_none() {
            return None;
        }
        let name = name(key);
        let message = format!("workspace `{name}` has private connections and the tier {tier}");
        Some(broken(case, name, "tier", message).symptom("Forbidden"))
    });
    low.collect()
}

fn no_settings(case: &Case<'_>) -> Vec<Broken> {
    let without = case.topology.workspaces.iter().filter_map(|(name, nodes)| {
        let connected = nodes.rest.is_some() || nodes.relay.is_some();
        (connected && nodes.access == Access::Public).then(|| {
            let message = format!(
                "workspace `{name}` has private connections and no private access settings"
            );
            broken(case, name, "private_access", message)
        })
    });
    without.collect()
}

/// The proof tells of the other half: the way in for users.
fn closed_without_backend(case: &Case<'_>) -> Vec<Broken> {
    let without = case.topology.workspaces.iter().filter_map(|(name, nodes)| {
        let closed = matches!(nodes.access, Access::Settings { public: false, .. });
        (closed && nodes.rest.is_none() && nodes.relay.is_none()).then(|| {
            let message = format!(
                "workspace `{name}` has no public access, and its nodes have no private connections"
            );
            broken(case, name, "private_link", message)
        })
    });
    without.collect()
}

fn allowed_ids(case: &Case<'_>) -> Vec<Broken> {
    let mut all = Vec::new();
    for (key, settings) in &case.made.settings {
        for registration in &settings.allowed {
            let Ref::Known(id) = registration else { continue };
            if id.0.starts_with("vpce-") {
                let message =
                    format!("`{id}` is an id of AWS: the list takes registrations of Databricks");
                let broken = broken(case, key, "allowed_registrations", message);
                let fix =
                    format!("give the UUID of the registration in `{}`", broken.place.join("."));
                all.push(broken.fix(fix));
            }
        }
    }
    all
}

fn settings_elsewhere(case: &Case<'_>) -> Vec<Broken> {
    let ours = &case.spec.region;
    let elsewhere = case.made.settings.iter().filter(|(_, settings)| settings.region != *ours);
    elsewhere
        .map(|(key, settings)| {
            let theirs = &settings.region;
            let message = format!("`{key}` is for {theirs}, and its workspaces are in {ours}");
            broken(case, key, "", message)
        })
        .collect()
}

fn registered_elsewhere(case: &Case<'_>) -> Vec<Broken> {
    let ours = &case.spec.region;
    let elsewhere = case.made.registrations.iter().filter(|(_, r)| r.region != *ours);
    elsewhere
        .map(|(key, registration)| {
            let theirs = &registration.region;
            let message =
                format!("`{key}` is registered in {theirs}, and its workspaces are in {ours}");
            broken(case, key, "", message)
        })
        .collect()
}
