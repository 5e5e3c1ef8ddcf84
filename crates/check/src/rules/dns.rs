//! Private names: zones, and who answers in a VPC.

use std::collections::{BTreeMap, BTreeSet};

use facts::regions;
use spec::UserNames;

use super::{Broken, Case, Decided, Rule};
use crate::finding::Severity;
use crate::proof::Verdict;
use crate::topology::{Access, Endpoint, Key, PrivateZone, Reach};

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "DBX-DNS-001",
        severity: Severity::Error,
        when: "a private zone for the whole domain of Databricks hides every name it does not list",
        fix: "use a zone for `privatelink.…` or zones for single names instead",
        source: "field notes of one deployment: BOOTSTRAP_TIMEOUT after the zone was made",
        decided: Decided::Here(apex_zone),
    },
    Rule {
        id: "DBX-DNS-002",
        severity: Severity::Error,
        when: "the public name of a workspace leads to an endpoint that is not registered for it",
        fix: "take the record away, or register and allow the endpoint",
        source: "field notes: KCUC4, ports 8443-8451 refused",
        decided: Decided::Proof,
    },
    Rule {
        id: "DBX-DNS-003",
        severity: Severity::Error,
        when: "the names of the relay and of the REST connection lead to one endpoint",
        fix: "let each name lead to its own endpoint",
        source: "field notes",
        decided: Decided::Proof,
    },
    Rule {
        id: "DBX-DNS-004",
        severity: Severity::Error,
        when: "users may come through private connections only, and nothing leads them there",
        fix: "say in `private_link.user_names` how their machines learn the addresses",
        source: "the article (tried with a hosts file)",
        decided: Decided::Proof,
    },
    Rule {
        id: "DBX-DNS-005",
        severity: Severity::Error,
        when: "a private zone is not associated with the VPC in which users ask it",
        fix: "associate the VPC with the zone",
        source: "Route 53",
        decided: Decided::Live("VPCs of the zones that users ask (ListHostedZonesByVPC)"),
    },
    Rule {
        id: "DBX-DNS-006",
        severity: Severity::Warning,
        when: "users may come through private connections only, and nothing leads the single \
               sign-on name there",
        fix: "add a record for the single sign-on name to a private zone of the VPC",
        source: "Databricks documentation of inbound connections",
        decided: Decided::Here(sign_on_name),
    },
    Rule {
        id: "DBX-DNS-007",
        severity: Severity::Warning,
        when: "an inbound resolver has fewer than two addresses, or does not admit its clients",
        fix: "give it addresses in two zones, and open TCP and UDP 53",
        source: "digest of Databricks documentation; AWS: at least two",
        decided: Decided::Language(
            "there are no words for resolvers: `user_names: forwarded` is the user's word for it",
        ),
    },
    Rule {
        id: "DBX-DNS-008",
        severity: Severity::Warning,
        when: "a private zone has the name of a workspace, but not its `dbc-dp-` name",
        fix: "add a record for `dbc-dp-` and the number of the workspace",
        source: "digest of Databricks documentation",
        decided: Decided::Here(data_plane_name),
    },
    Rule {
        id: "DBX-DNS-009",
        severity: Severity::Warning,
        when: "there is an endpoint for users, and the workspace has no private access settings",
        fix: "give the workspace private access settings",
        source: "Databricks documentation: without them the public name does not lead to the \
                 private one",
        decided: Decided::Here(frontend_without_settings),
    },
    Rule {
        id: "DBX-DNS-010",
        severity: Severity::Error,
        when: "a private zone has a CNAME at its apex",
        fix: "use an alias record",
        source: "Route 53",
        decided: Decided::Language("there are no words for zones and their records"),
    },
    Rule {
        id: "DBX-DNS-011",
        severity: Severity::Warning,
        when: "an endpoint and a private zone both answer one name",
        fix: "keep one of them",
        source: "Route 53: the most specific zone wins",
        decided: Decided::Here(two_answers),
    },
    Rule {
        id: "DBX-DNS-012",
        severity: Severity::Warning,
        when: "the private name of the relay leads out of the VPC",
        fix: "see DBX-EPT-001",
        source: "derived",
        decided: Decided::Live("what the name leads to, asked from within the VPC"),
    },
];

/// The domain of workspaces: `cloud.databricks.com`.
fn domain(case: &Case<'_>) -> &'static str {
    &regions::partition(&case.topology.region).workspace_domain
}

/// The private zones asked in each VPC.
fn zones_by_vpc<'a>(case: &'a Case<'_>) -> BTreeMap<&'a str, Vec<(&'a Key, &'a PrivateZone)>> {
    let mut zones: BTreeMap<&str, Vec<_>> = BTreeMap::new();
    for (key, zone) in &case.topology.zones {
        let Some(zone) = zone else { continue };
        for vpc in &zone.vpcs {
            zones.entry(vpc).or_default().push((key, zone));
        }
    }
    zones
}

/// The VPCs in which nodes live, each with a workspace.
fn homes<'a>(case: &'a Case<'_>) -> BTreeMap<&'a str, &'a str> {
    let workspaces = case.topology.workspaces.iter();
    workspaces.map(|(name, nodes)| (nodes.vpc.as_str(), name.as_str())).collect()
}

fn apex_zone(case: &Case<'_>) -> Vec<Broken> {
    const RULE: &str = "DBX-DNS-001";
    let domain = domain(case);
    let mut told: BTreeSet<&str> = BTreeSet::new();
    for proof in case.proofs {
        if let Verdict::Blocked { block, .. } = &proof.verdict
            && block.rule == RULE
            && let Some(nodes) = case.topology.workspaces.get(&proof.workspace)
        {
            told.insert(&nodes.vpc);
        }
    }
    let zones = zones_by_vpc(case);
    let mut all = Vec::new();
    // The proof tells of every name that nodes need; users and tools ask others.
    for vpc in homes(case).into_keys().filter(|vpc| !told.contains(vpc)) {
        for (key, _) in zones.get(vpc).into_iter().flatten().filter(|(_, z)| z.name == domain) {
            let message = format!(
                "the private zone `{domain}` hides every name of Databricks it does not list from \
                 `{vpc}`"
            );
            let place = case.place(vpc);
            all.push(Broken::new(key, place, message).symptom("BOOTSTRAP_TIMEOUT"));
        }
    }
    all
}

fn sign_on_name(case: &Case<'_>) -> Vec<Broken> {
    let name = format!("accounts-pl-auth.privatelink.{}", domain(case));
    let zones = zones_by_vpc(case);
    let mut closed = BTreeMap::new();
    for (workspace, nodes) in &case.topology.workspaces {
        let Some(wanted) = case.spec.workspaces.get(workspace) else { continue };
        let open = match nodes.access {
            Access::Public => true,
            Access::Settings { public, .. } => public,
            // The spec says what they must be, and a plan looks.
            Access::Unknown(_) => wanted.public_access,
        };
        if open {
            continue;
        }
        if let Some(vpc) = case.spec.vpc_of(wanted).filter(|vpc| vpc.private_link.frontend) {
            closed.insert(nodes.vpc.as_str(), vpc);
        }
    }
    let mut all = Vec::new();
    for (key, vpc) in closed {
        // What users' own zones and resolvers answer is theirs to know.
        if matches!(vpc.private_link.user_names, Some(UserNames::Zone | UserNames::Forwarded)) {
            continue;
        }
        let mut here = zones.get(key).into_iter().flatten();
        if here.any(|(_, zone)| zone.records.contains_key(&name)) {
            continue;
        }
        let mut place = case.place(key);
        place.push("private_link".to_owned());
        let message =
            format!("users in `{key}` sign in through `{name}`, and no private DNS answers it");
        let fix = format!(
            "let a private zone they ask lead `{name}` to the endpoint for users, and say \
             `user_names: zone` in `{}`",
            place.join(".")
        );
        all.push(Broken::new(key, place, message).fix(fix));
    }
    all
}

/// Whether a name is the host of a workspace, as users type it.
fn is_host(name: &str, domain: &str) -> bool {
    let label = name.strip_suffix(domain).and_then(|rest| rest.strip_suffix('.'));
    let other = |label: &str| {
        label.starts_with("dbc-dp-") || matches!(label, "privatelink" | "tunnel" | "accounts")
    };
    label.is_some_and(|label| !label.is_empty() && !label.contains('.') && !other(label))
}

fn data_plane_name(case: &Case<'_>) -> Vec<Broken> {
    let domain = domain(case);
    let zones = zones_by_vpc(case);
    let mut all = Vec::new();
    for vpc in homes(case).into_keys() {
        let Some(here) = zones.get(vpc) else { continue };
        let records = || {
            here.iter().flat_map(|(key, zone)| zone.records.keys().map(move |name| (*key, name)))
        };
        if records().any(|(_, name)| name.starts_with("dbc-dp-")) {
            continue;
        }
        let Some((key, host)) = records().find(|(_, name)| is_host(name, domain)) else { continue };
        let message = format!(
            "`{host}` has a private address in `{vpc}`, and its `dbc-dp-` name a public one"
        );
        let place = case.place(vpc);
        all.push(Broken::new(key, place, message));
    }
    all
}

fn frontend_without_settings(case: &Case<'_>) -> Vec<Broken> {
    let without = case.topology.workspaces.iter().filter_map(|(name, nodes)| {
        let workspace = case.spec.workspaces.get(name)?;
        // With private connections of the nodes, they are missing for more than users.
        let connected = nodes.rest.is_some() || nodes.relay.is_some();
        let users =
            case.spec.frontend_of(workspace) && nodes.access == Access::Public && !connected;
        let mut place = case.place(name);
        place.push("private_access".to_owned());
        let message = format!(
            "`{}` has an endpoint for users, and workspace `{name}` no private access settings",
            nodes.vpc
        );
        users.then(|| Broken::new(name, place, message))
    });
    without.collect()
}

/// The name that private DNS of an endpoint answers, as far as it is known.
fn answers(case: &Case<'_>, endpoint: &Endpoint) -> Option<String> {
    if !matches!(endpoint.reach, Reach::Interface { private_dns: true, .. }) {
        return None;
    }
    let region = &case.topology.region;
    if let Some(service) = endpoint.service.strip_prefix(&format!("com.amazonaws.{region}.")) {
        let service = if service == "kinesis-streams" { "kinesis" } else { service };
        return Some(format!("{service}.{region}.amazonaws.com"));
    }
    let known = regions::region(region)?;
    let services = &known.endpoint_services;
    let is = |name: &Option<String>| name.as_ref() == Some(&endpoint.service);
    if is(&services.scc_relay) {
        known.scc_relay_privatelink_hostname.clone()
    } else if is(&services.rest) || services.rest_alternates.contains(&endpoint.service) {
        known.rest_privatelink_hostname.clone()
    } else {
        None
    }
}

fn two_answers(case: &Case<'_>) -> Vec<Broken> {
    let zones = zones_by_vpc(case);
    let mut all = Vec::new();
    for (key, endpoint) in &case.topology.endpoints {
        let Some(endpoint) = endpoint else { continue };
        let Some(here) = zones.get(endpoint.vpc.as_str()) else { continue };
        let Some(name) = answers(case, endpoint) else { continue };
        let both = |(_, zone): &&(&Key, &PrivateZone)| {
            zone.name == name || zone.records.contains_key(&name)
        };
        for (zone, _) in here.iter().filter(both) {
            let message = format!(
                "both `{key}` and the private zone `{zone}` answer `{name}` in `{}`",
                endpoint.vpc
            );
            all.push(case.broken(key, message));
        }
    }
    all
}
