//! Security groups.

use std::collections::{BTreeMap, BTreeSet};

use facts::limits::{GROUP_INGRESS, NETWORK_GROUPS};
use facts::ports::{self, Ports};
use spec::Uses;

use super::look::anywhere;
use super::{Broken, Case, Decided, Rule};
use crate::finding::Severity::{Error, Info, Warning};
use crate::topology::{self, Endpoint, GroupRules, Nodes, Peer, Protocol, Reach};

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "DBX-SGR-001",
        severity: Error,
        when: "a workspace has no security group, or more than five",
        fix: "give it one to five",
        source: "account API; Terraform provider, mws_networks",
        decided: Decided::Here(group_count),
    },
    Rule {
        id: "DBX-SGR-002",
        severity: Error,
        when: "no group of the nodes admits all TCP and UDP from itself",
        fix: "admit TCP and UDP 0-65535 from the group itself",
        source: "Databricks, \"Configure a customer-managed VPC\"; network error `securityGroup`",
        decided: Decided::Proof,
    },
    Rule {
        id: "DBX-SGR-003",
        severity: Error,
        when: "no group of the nodes lets out all TCP and UDP to itself",
        fix: "let TCP and UDP 0-65535 out to the group itself",
        source: "Databricks, \"Configure a customer-managed VPC\"",
        decided: Decided::Proof,
    },
    Rule {
        id: "DBX-SGR-004",
        severity: Error,
        when: "TCP 443 does not leave the groups of the nodes to the control plane, S3, STS or \
               Kinesis",
        fix: "let TCP 443 out, to 0.0.0.0/0 or to the VPC and the prefix list of S3",
        source: "Databricks, \"Configure a customer-managed VPC\", and every template that was \
                 read",
        decided: Decided::Proof,
    },
    Rule {
        id: "DBX-SGR-005",
        severity: Error,
        when: "TCP 8443 or 8444 does not leave the groups of the nodes",
        fix: "let TCP 8443-8451 out",
        source: "Databricks, \"Configure a customer-managed VPC\": control plane API, Unity \
                 Catalog logging",
        decided: Decided::Proof,
    },
    Rule {
        id: "DBX-SGR-006",
        severity: Warning,
        when: "TCP 8445-8451 does not leave the groups of the nodes",
        fix: "let TCP 8443-8451 out",
        source: "Databricks, \"Configure a customer-managed VPC\": reserved for the future",
        decided: Decided::Proof,
    },
    Rule {
        id: "DBX-SGR-007",
        severity: Error,
        when: "with a private back end outside GovCloud, TCP 6666 does not leave the groups of \
               the nodes",
        fix: "let TCP 6666 out to the relay endpoint",
        source: "Databricks, PrivateLink guide",
        decided: Decided::Proof,
    },
    Rule {
        id: "DBX-SGR-008",
        severity: Error,
        when: "with the compliance security profile or in GovCloud, TCP 2443 does not leave the \
               groups of the nodes",
        fix: "let TCP 2443 out",
        source: "Terraform provider, PrivateLink guide; Security Reference Architecture",
        decided: Decided::Proof,
    },
    Rule {
        id: "DBX-SGR-009",
        severity: Warning,
        when: "with a private back end and no compliance security profile, TCP 2443 does not \
               leave the groups of the nodes",
        fix: "let TCP 2443 out to the relay endpoint, too",
        source: "field report only: the relay was tried on 2443 as well as on 6666",
        decided: Decided::Here(fips_relay),
    },
    Rule {
        id: "DBX-SGR-010",
        severity: Error,
        when: "the built-in Hive metastore is in use, and TCP 3306 does not leave the groups of \
               the nodes",
        fix: "let TCP 3306 out, or set `uses.legacy_metastore: false` once legacy access is \
              disabled",
        source: "Databricks, \"Configure a customer-managed VPC\"",
        decided: Decided::Proof,
    },
    Rule {
        id: "DBX-SGR-011",
        severity: Info,
        when: "nothing of a workspace uses TCP 3306, and it is open to everywhere",
        fix: "take the rule for 3306 out",
        source: "Security Reference Architecture, which dropped it",
        decided: Decided::Here(idle_metastore),
    },
    Rule {
        id: "DBX-SGR-012",
        severity: Warning,
        when: "the VPC has DNS servers of its own, and TCP or UDP 53 does not leave the groups \
               of the nodes to them",
        fix: "let TCP and UDP 53 out to the DNS servers",
        source: "Databricks, \"Configure a customer-managed VPC\"",
        decided: Decided::Proof,
    },
    Rule {
        id: "DBX-SGR-013",
        severity: Info,
        when: "ports leave the groups of the nodes to the VPC or to groups only, and not to \
               0.0.0.0/0",
        fix: "accept this finding, or let the ports out to 0.0.0.0/0: routes decide what is \
              reached",
        source: "conflict: Databricks documents 0.0.0.0/0, its Security Reference Architecture \
                 has the narrow form; the warning is a field report",
        decided: Decided::Here(narrow_egress),
    },
    Rule {
        id: "DBX-SGR-014",
        severity: Error,
        when: "the group of the STS or Kinesis endpoint does not admit TCP 443 from the nodes",
        fix: "admit TCP 443 from the group of the nodes",
        source: "Security Reference Architecture",
        decided: Decided::Proof,
    },
    Rule {
        id: "DBX-SGR-015",
        severity: Error,
        when: "the group of the REST endpoint does not admit TCP 443 from the nodes",
        fix: "admit TCP 443 from the group of the nodes",
        source: "Security Reference Architecture; Terraform provider, PrivateLink guide",
        decided: Decided::Proof,
    },
    Rule {
        id: "DBX-SGR-016",
        severity: Warning,
        when: "the group of the REST endpoint does not admit TCP 8443-8451 from the nodes",
        fix: "admit TCP 8443-8451 from the group of the nodes",
        source: "Security Reference Architecture, issue 51; unconfirmed whether the service \
                 listens there: a field report saw it refuse",
        decided: Decided::Proof,
    },
    Rule {
        id: "DBX-SGR-017",
        severity: Error,
        when: "outside GovCloud, the group of the relay endpoint does not admit TCP 6666 from \
               the nodes",
        fix: "admit TCP 6666 from the group of the nodes",
        source: "Security Reference Architecture; Terraform provider, PrivateLink guide",
        decided: Decided::Proof,
    },
    Rule {
        id: "DBX-SGR-018",
        severity: Error,
        when: "with the compliance security profile or in GovCloud, the group of the relay \
               endpoint does not admit TCP 2443 from the nodes",
        fix: "admit TCP 2443 from the group of the nodes",
        source: "Security Reference Architecture; Terraform provider, PrivateLink guide",
        decided: Decided::Proof,
    },
    Rule {
        id: "DBX-SGR-019",
        severity: Error,
        when: "the group of an endpoint admits its own members only, and nodes do not carry it",
        fix: "admit the group of the nodes, or give the nodes both groups",
        source: "public templates: one version gives nodes both groups, a later one only one",
        decided: Decided::Proof,
    },
    Rule {
        id: "DBX-SGR-020",
        severity: Warning,
        when: "a group admits 0.0.0.0/0 on 22, 443 or 3389, or on all ports",
        fix: "admit only the ranges from which somebody comes",
        source: "found in a public template",
        decided: Decided::Here(open_to_all),
    },
    Rule {
        id: "DBX-SGR-021",
        severity: Info,
        when: "TCP 443 leaves the groups of the nodes both to 0.0.0.0/0 and to a prefix list",
        fix: "take one of the two rules out",
        source: "field report: the console of Databricks flags the pair",
        decided: Decided::Here(redundant_prefix_list),
    },
    Rule {
        id: "DBX-SGR-022",
        severity: Warning,
        when: "Lakebase is used, and TCP 5432 does not get through",
        fix: "let TCP 5432 out, and admit it at the endpoint for it",
        source: "Security Reference Architecture",
        decided: Decided::Proof,
    },
    Rule {
        id: "DBX-SGR-023",
        severity: Info,
        when: "a group in GovCloud has a rule for TCP 6666",
        fix: "take the rule for 6666 out",
        source: "Security Reference Architecture: the relay of GovCloud is called on 2443 only",
        decided: Decided::Here(commercial_relay),
    },
    Rule {
        id: "DBX-SGR-024",
        severity: Warning,
        when: "nodes carry the VPC's default security group",
        fix: "give the workspace a group of its own: leave out `security_group`",
        source: "hardening: everything in the VPC may carry that group",
        decided: Decided::Live("the name of the used group: the default one is called `default`"),
    },
    Rule {
        id: "DBX-SGR-025",
        severity: Warning,
        when: "a group has more rules of one direction than AWS' default quota lets it have",
        fix: "have AWS raise the quota for rules per security group before",
        source: "AWS: 60 inbound and 60 outbound rules, unless the quota was raised",
        decided: Decided::Here(too_many_rules),
    },
];

fn group_count(case: &Case<'_>) -> Vec<Broken> {
    let most = NETWORK_GROUPS.limit;
    let fits = |nodes: &Nodes| (1..=most as usize).contains(&nodes.groups.len());
    let wrong = case.topology.workspaces.iter().filter(|(_, nodes)| !fits(nodes));
    wrong
        .map(|(name, nodes)| {
            let count = nodes.groups.len();
            let message = format!(
                "workspace `{name}` has {count} security groups, and Databricks takes 1 to {most}"
            );
            Broken::new(name, case.group_place(name), message)
        })
        .collect()
}

/// Whether a rule lets TCP through on all of some ports.
fn covers(rule: &topology::Rule, ports: Ports) -> bool {
    match rule.protocol {
        Protocol::All => true,
        Protocol::Tcp => rule.ports.0 <= ports.from && ports.to <= rule.ports.1,
        Protocol::Udp | Protocol::Other => false,
    }
}

fn to_anywhere(rule: &topology::Rule) -> bool {
    rule.peer == Peer::Cidr(anywhere())
}

/// Workspaces with what they use and all rules of their nodes' groups, as far as they are known.
fn workspaces<'a>(
    case: &Case<'a>,
) -> impl Iterator<Item = (&'a str, &'a Nodes, &'a Uses, Vec<(&'a str, &'a GroupRules)>)> {
    let (spec, topology) = (case.spec, case.topology);
    topology.workspaces.iter().filter_map(move |(name, nodes)| {
        let uses = &spec.workspaces.get(name)?.uses;
        let rules = |key: &'a String| {
            let group = topology.groups.get(key)?.as_ref()?;
            Some((key.as_str(), group.rules.as_ref()?))
        };
        let rules: Option<Vec<_>> = nodes.groups.iter().map(rules).collect();
        Some((name.as_str(), nodes, uses, rules?))
    })
}

/// Every rule that lets nodes out.
fn egress<'a, 'v>(
    groups: &'v [(&'a str, &'a GroupRules)],
) -> impl Iterator<Item = (&'a str, &'a topology::Rule)> + use<'a, 'v> {
    groups.iter().flat_map(|(key, rules)| rules.egress.iter().map(move |rule| (*key, rule)))
}

fn fips_relay(case: &Case<'_>) -> Vec<Broken> {
    // Both have a rule of their own, which is an error.
    let needed = |uses: &Uses| uses.compliance_profile || case.govcloud();
    let mut broken = Vec::new();
    for (name, nodes, uses, groups) in workspaces(case) {
        let relay = nodes.relay.as_ref().and_then(|relay| relay.endpoint.as_ref());
        let relay = relay.and_then(|key| case.topology.endpoints.get(key)?.as_ref());
        let Some(relay) = relay.filter(|_| !needed(uses)) else { continue };
        let mut open = egress(&groups).filter(|(_, rule)| covers(rule, ports::FIPS_RELAY));
        if !open.any(|(_, rule)| leads_to(case, rule, relay)) {
            let message = format!(
                "TCP 2443 does not leave the nodes of workspace `{name}`, and the relay was seen \
                 tried there as well as on 6666"
            );
            let group = nodes.groups.first().map_or(name, String::as_str);
            broken.push(Broken::new(group, case.group_place(name), message));
        }
    }
    broken
}

/// Whether a rule lets nodes out to an interface endpoint; where that is not known, it does.
fn leads_to(case: &Case<'_>, rule: &topology::Rule, endpoint: &Endpoint) -> bool {
    let Reach::Interface { subnets, groups, .. } = &endpoint.reach else { return true };
    match &rule.peer {
        Peer::Group(group) => groups.contains(group),
        Peer::PrefixList(_) => false,
        Peer::Cidr(cidr) => {
            let within = |key: &String| case.subnet(key).is_none_or(|s| cidr.contains(&s.cidr));
            subnets.iter().all(within)
        }
    }
}

fn idle_metastore(case: &Case<'_>) -> Vec<Broken> {
    let port = ports::METASTORE.from;
    let mut wanted: BTreeSet<&str> = BTreeSet::new();
    let mut open: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, nodes, uses, groups) in workspaces(case) {
        if uses.legacy_metastore() || uses.remotes().any(|remote| remote.port == port) {
            wanted.extend(nodes.groups.iter().map(|key| case.identity(key)));
        }
        let idle = egress(&groups)
            .filter(|(_, rule)| rule.protocol == Protocol::Tcp && rule.ports == (port, port));
        open.extend(idle.filter(|(_, rule)| to_anywhere(rule)).map(|(group, _)| (group, name)));
    }
    let idle = open.into_iter().filter(|(group, _)| !wanted.contains(case.identity(group)));
    idle.map(|(group, name)| {
        let message = format!(
            "`{group}` lets TCP 3306 out to everywhere, and workspace `{name}` has no use for it"
        );
        Broken::new(group, case.group_place(name), message)
    })
    .collect()
}

fn narrow_egress(case: &Case<'_>) -> Vec<Broken> {
    let guards = endpoint_groups(case);
    let mut broken = Vec::new();
    for (name, nodes, _, groups) in workspaces(case) {
        let outside = |rule: &&topology::Rule| match &rule.peer {
            Peer::Group(group) => !nodes.groups.contains(group) || guards.contains(group.as_str()),
            Peer::Cidr(_) | Peer::PrefixList(_) => true,
        };
        let mut documented = vec![ports::HTTPS, ports::CONTROL_PLANE];
        if nodes.relay.is_some() && !case.govcloud() {
            documented.push(ports::RELAY);
        }
        let narrow = |ports: &Ports| {
            let rules = egress(&groups).map(|(_, rule)| rule).filter(outside);
            let open: Vec<_> = rules.filter(|rule| covers(rule, *ports)).collect();
            !open.is_empty() && !open.into_iter().any(to_anywhere)
        };
        let narrow: Vec<String> = documented.into_iter().filter(narrow).map(range).collect();
        if narrow.is_empty() {
            continue;
        }
        let group = nodes.groups.first().map_or(name, String::as_str);
        let message = format!(
            "TCP {} leaves the nodes of workspace `{name}`, but not to 0.0.0.0/0, and Databricks may \
             mark the network `WARNED` although it works",
            narrow.join(", ")
        );
        broken.push(Broken::new(group, case.group_place(name), message).symptom(format!(
            "Egress rules in the Security Group {} are not configured correctly",
            case.identity(group)
        )));
    }
    broken
}

fn range(ports: Ports) -> String {
    let Ports { from, to, .. } = ports;
    if from == to { from.to_string() } else { format!("{from}-{to}") }
}

/// The groups of interface endpoints.
fn endpoint_groups<'a>(case: &Case<'a>) -> BTreeSet<&'a str> {
    let endpoints = case.topology.endpoints.values().flatten();
    let groups = endpoints.filter_map(|endpoint| match &endpoint.reach {
        Reach::Interface { groups, .. } => Some(groups),
        Reach::Gateway { .. } => None,
    });
    groups.flatten().map(String::as_str).collect()
}

fn open_to_all(case: &Case<'_>) -> Vec<Broken> {
    const GUARDED: [u16; 3] = [22, 443, 3389];
    const CLIENTS: &str = "port 443";
    let endpoints = endpoint_groups(case);
    let mut broken = Vec::new();
    for (key, group) in &case.topology.groups {
        let Some(group) = group else { continue };
        let Some(rules) = &group.rules else { continue };
        let mut open = BTreeSet::new();
        for rule in rules.ingress.iter().filter(|rule| to_anywhere(rule)) {
            if covers(rule, ports::ALL) {
                open.insert("all ports".to_owned());
                continue;
            }
            let port = |port: &u16| covers(rule, Ports { from: *port, to: *port, purpose: "" });
            open.extend(GUARDED.iter().filter(|p| port(p)).map(|port| format!("port {port}")));
        }
        if open.is_empty() {
            continue;
        }
        let open: Vec<String> = open.into_iter().collect();
        let message = format!("`{key}` admits the whole internet on {}", open.join(", "));
        let place = match (endpoints.contains(key.as_str()), case.is_used(key)) {
            (true, true) => case.vpc_place(&group.vpc, &["endpoint_group"]),
            (true, false) if open == [CLIENTS] => {
                case.vpc_place(&group.vpc, &["private_link", "clients"])
            }
            _ => case.place(key),
        };
        broken.push(Broken::new(key, place, message));
    }
    broken
}

fn redundant_prefix_list(case: &Case<'_>) -> Vec<Broken> {
    let mut broken = BTreeMap::new();
    for (name, _, _, groups) in workspaces(case) {
        let open = || egress(&groups).filter(|(_, rule)| covers(rule, ports::HTTPS));
        let list = open().find_map(|(group, rule)| match &rule.peer {
            Peer::PrefixList(list) => Some((group, list)),
            Peer::Cidr(_) | Peer::Group(_) => None,
        });
        let Some((group, list)) = list.filter(|_| open().any(|(_, rule)| to_anywhere(rule))) else {
            continue;
        };
        let message =
            format!("`{group}` lets TCP 443 out to `{list}`, which 0.0.0.0/0 includes already");
        let place = case.group_place(name);
        broken.entry(case.identity(group)).or_insert_with(|| Broken::new(group, place, message));
    }
    broken.into_values().collect()
}

fn commercial_relay(case: &Case<'_>) -> Vec<Broken> {
    if !case.govcloud() {
        return Vec::new();
    }
    let port = (ports::RELAY.from, ports::RELAY.to);
    let mut broken = Vec::new();
    for (key, group) in &case.topology.groups {
        let Some(group) = group else { continue };
        let Some(rules) = &group.rules else { continue };
        let mut all = rules.ingress.iter().chain(&rules.egress);
        if all.any(|rule| rule.protocol == Protocol::Tcp && rule.ports == port) {
            let message = format!(
                "`{key}` has a rule for TCP 6666, and the relay of GovCloud is called on 2443"
            );
            broken.push(Broken::new(key, case.place(key), message));
        }
    }
    broken
}

fn too_many_rules(case: &Case<'_>) -> Vec<Broken> {
    // The default of both directions.
    let quota = GROUP_INGRESS.limit;
    let mut broken = Vec::new();
    for (key, group) in &case.topology.groups {
        let Some(rules) = group.as_ref().and_then(|group| group.rules.as_ref()) else { continue };
        let most = rules.ingress.len().max(rules.egress.len());
        if most <= quota as usize {
            continue;
        }
        let way = if rules.ingress.len() == most { "inbound" } else { "outbound" };
        let message = format!(
            "`{key}` has {most} {way} rules, and AWS lets a group have {quota} unless its quota was \
             raised"
        );
        broken.push(
            Broken::new(key, case.place(key), message)
                .symptom("RulesPerSecurityGroupLimitExceeded"),
        );
    }
    broken
}
