//! Gateways and routes.

use std::collections::{BTreeMap, BTreeSet};

use facts::regions;

use super::look::{DefaultRoute, default_route, listed};
use super::{Broken, Case, Decided, Rule};
use crate::finding::Severity::{Error, Info, Warning};
use crate::topology::{InternetGateway, NatGateway, Nodes, Reach, Target};

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "DBX-RTE-001",
        severity: Error,
        when: "a workspace subnet has no default route, and endpoints do not replace it",
        fix: "give the VPC NAT, or the endpoints that are missing",
        source: "Databricks, PrivateLink guide",
        decided: Decided::Proof,
    },
    Rule {
        id: "DBX-RTE-002",
        severity: Error,
        when: "a NAT gateway lies in a subnet without a default route to an internet gateway",
        fix: "put it in a subnet whose route table leads 0.0.0.0/0 to an attached internet gateway",
        source: "Terraform provider, mws_networks",
        decided: Decided::Here(nat_without_way_out),
    },
    Rule {
        id: "DBX-RTE-003",
        severity: Error,
        when: "an internet gateway is not attached to the VPC whose routes lead to it",
        fix: "attach it to the VPC",
        source: "AWS",
        decided: Decided::Here(detached),
    },
    Rule {
        id: "DBX-RTE-004",
        severity: Error,
        when: "a NAT gateway lies in a workspace subnet, or the table of its own subnet leads to \
               a NAT gateway",
        fix: "dedicate a public subnet to it",
        source: "Terraform provider, mws_networks",
        decided: Decided::Here(nat_among_nodes),
    },
    Rule {
        id: "DBX-RTE-005",
        severity: Warning,
        when: "one NAT gateway serves nodes in two or more zones",
        fix: "set `nat: per_zone`, or accept this finding: a second NAT gateway costs",
        source: "a trade-off between cost and availability, found in public templates",
        decided: Decided::Here(single_nat),
    },
    Rule {
        id: "DBX-RTE-006",
        severity: Error,
        when: "a workspace subnet has neither a default route nor the S3 gateway endpoint on its \
               route table",
        fix: "attach the S3 gateway endpoint to the table",
        source: "Databricks, PrivateLink guide",
        decided: Decided::Proof,
    },
    Rule {
        id: "DBX-RTE-007",
        severity: Warning,
        when: "the VPC has an S3 gateway endpoint that misses the route table of a workspace \
               subnet with NAT",
        fix: "attach the S3 gateway endpoint to the table",
        source: "traffic through NAT costs, and bucket policies with `aws:SourceVpce` refuse it",
        decided: Decided::Here(s3_through_nat),
    },
    Rule {
        id: "DBX-RTE-008",
        severity: Error,
        when: "there is no default route, and the built-in Hive metastore is in use",
        fix: "set `uses.legacy_metastore: false` once legacy access is disabled, or keep NAT, or \
              name an `external_metastore` within reach",
        source: "the article this follows: clusters freeze until time-out",
        decided: Decided::Proof,
    },
    Rule {
        id: "DBX-RTE-009",
        severity: Info,
        when: "there is no default route, and nodes call a host on the internet",
        fix: "provide a private mirror or a proxy",
        source: "Security Reference Architecture, notes to read before",
        decided: Decided::Proof,
    },
    Rule {
        id: "DBX-RTE-010",
        severity: Warning,
        when: "the default route of a workspace subnet leads to a transit gateway, an appliance, \
               a firewall or a peering",
        fix: "let nodes through to Databricks on the far side, and accept this finding once that \
              is so",
        source: "field report: a central firewall dropped the range of a new workspace",
        decided: Decided::Here(leaves_sight),
    },
    Rule {
        id: "DBX-RTE-011",
        severity: Error,
        when: "a route leads to a target that is gone",
        fix: "make the target again, or take the route out",
        source: "AWS: the state `blackhole`",
        decided: Decided::Live("the state of every route"),
    },
    Rule {
        id: "DBX-RTE-012",
        severity: Error,
        when: "the VPC with the central way out has no route back to the VPC of the workspace",
        fix: "add the route back on the far side",
        source: "the same field report as for DBX-RTE-010",
        decided: Decided::Live("the route tables behind the transit gateway or peering"),
    },
];

/// Where NAT is said for the VPC of a NAT gateway.
fn nat_place(case: &Case<'_>, nat: &str, vpc: &str) -> Vec<String> {
    if case.is_made(nat) {
        case.place(nat)
    } else if case.is_used(nat) {
        case.vpc_place(vpc, &["use", "nat_gateways"])
    } else {
        case.vpc_itself(vpc)
    }
}

fn nat_without_way_out(case: &Case<'_>) -> Vec<Broken> {
    let told = case.told("DBX-RTE-002");
    let mut broken = Vec::new();
    for (key, nat) in &case.topology.nat_gateways {
        let Some(NatGateway { subnet: place }) = nat else { continue };
        let Some(subnet) = case.subnet(place) else { continue };
        let why = match default_route(case, subnet) {
            DefaultRoute::None => "whose route table has no default route".to_owned(),
            // What lies behind is a matter of other rules.
            DefaultRoute::To(_, Target::InternetGateway(_) | Target::NatGateway(_))
            | DefaultRoute::Unknown => continue,
            DefaultRoute::To(table, _) => {
                format!("and `{table}` does not lead from there to an internet gateway")
            }
        };
        if !told.contains(key.as_str()) {
            let message = format!("`{key}` lies in `{place}`, {why}");
            broken.push(Broken::new(key, nat_place(case, key, &subnet.vpc), message));
        }
    }
    broken
}

fn detached(case: &Case<'_>) -> Vec<Broken> {
    let told = case.told("DBX-RTE-003");
    let mut broken = BTreeMap::new();
    for (table, fields) in &case.topology.route_tables {
        let Some(fields) = fields else { continue };
        for target in fields.routes.values() {
            let Target::InternetGateway(key) = target else { continue };
            let gateway = case.topology.internet_gateways.get(key).and_then(Option::as_ref);
            let Some(InternetGateway { vpc }) = gateway else { continue };
            let here = case.identity(&fields.vpc);
            if vpc.as_deref().is_some_and(|vpc| case.identity(vpc) == here)
                || told.contains(key.as_str())
            {
                continue;
            }
            let place = match vpc {
                None => "to no VPC".to_owned(),
                Some(vpc) => format!("to `{vpc}`"),
            };
            let message = format!(
                "`{key}`, to which `{table}` of `{}` leads, is attached {place}",
                fields.vpc
            );
            let field = if case.is_used(key) { &["use", "internet_gateway"][..] } else { &["nat"] };
            let place = case.vpc_place(&fields.vpc, field);
            broken.entry(key).or_insert_with(|| Broken::new(key, place, message));
        }
    }
    broken.into_values().collect()
}

fn nat_among_nodes(case: &Case<'_>) -> Vec<Broken> {
    let told = case.told("DBX-RTE-004");
    let nodes: BTreeSet<&str> =
        case.node_subnets().into_keys().map(|key| case.identity(key)).collect();
    let mut broken = Vec::new();
    for (key, nat) in &case.topology.nat_gateways {
        let Some(NatGateway { subnet: place }) = nat else { continue };
        let Some(subnet) = case.subnet(place) else { continue };
        let message = if nodes.contains(case.identity(place)) {
            format!("`{key}` lies among nodes, in `{place}`")
        } else if let DefaultRoute::To(table, Target::NatGateway(other)) =
            default_route(case, subnet)
        {
            format!("`{key}` lies in `{place}`, from which `{table}` leads to `{other}`")
        } else {
            continue;
        };
        if !told.contains(key.as_str()) {
            broken.push(Broken::new(key, nat_place(case, key, &subnet.vpc), message));
        }
    }
    broken
}

fn single_nat(case: &Case<'_>) -> Vec<Broken> {
    let mut served: BTreeMap<&str, (&str, BTreeSet<&str>)> = BTreeMap::new();
    for subnet in case.node_subnets().into_values() {
        if let DefaultRoute::To(_, Target::NatGateway(nat)) = default_route(case, subnet) {
            let (_, zones) = served.entry(nat).or_insert((&subnet.vpc, BTreeSet::new()));
            zones.insert(&subnet.zone);
        }
    }
    let several = served.into_iter().filter(|(_, (_, zones))| zones.len() > 1);
    several
        .map(|(nat, (vpc, zones))| {
            let nat_zone = case.topology.nat_gateways.get(nat).and_then(Option::as_ref);
            let nat_zone = nat_zone.and_then(|fields| case.subnet(&fields.subnet));
            let alone = match nat_zone {
                Some(subnet) => format!("losing {} stops all of them", subnet.zone),
                None => "losing its zone stops all of them".to_owned(),
            };
            let zones: Vec<&str> = zones.into_iter().collect();
            let message = format!("`{nat}` serves nodes in {}: {alone}", zones.join(", "));
            let broken = Broken::new(nat, nat_place(case, nat, vpc), message);
            if case.is_made(nat) {
                broken
            } else {
                broken.fix("give each zone a NAT gateway of its own, or accept this finding")
            }
        })
        .collect()
}

fn s3_through_nat(case: &Case<'_>) -> Vec<Broken> {
    let service = regions::aws_service(&case.topology.region, "s3");
    let mut attached: BTreeMap<&str, (&str, BTreeSet<&str>)> = BTreeMap::new();
    for (key, endpoint) in &case.topology.endpoints {
        let Some(endpoint) = endpoint.as_ref().filter(|e| e.service == service) else { continue };
        let Reach::Gateway { route_tables } = &endpoint.reach else { continue };
        let vpc = case.identity(&endpoint.vpc);
        let (_, tables) = attached.entry(vpc).or_insert((key, BTreeSet::new()));
        tables.extend(route_tables.iter().map(|table| case.identity(table)));
    }
    let mut broken = BTreeMap::new();
    for (key, subnet) in case.node_subnets() {
        let Some((endpoint, tables)) = attached.get(case.identity(&subnet.vpc)) else { continue };
        let DefaultRoute::To(table, Target::NatGateway(nat)) = default_route(case, subnet) else {
            continue;
        };
        if tables.contains(case.identity(table)) {
            continue;
        }
        let message = format!(
            "`{endpoint}` is not on `{table}`: what `{key}` exchanges with S3 goes through `{nat}`"
        );
        let place = if !case.is_made(table) {
            case.vpc_itself(&subnet.vpc)
        } else if case.is_used(endpoint) {
            case.vpc_place(&subnet.vpc, &["use_endpoints"])
        } else {
            case.place(endpoint)
        };
        broken.entry(table).or_insert_with(|| Broken::new(table, place, message));
    }
    broken.into_values().collect()
}

/// A way out that leads to what cannot be seen.
struct Leaving<'a> {
    target: &'a str,
    vpc: &'a str,
    subnets: BTreeSet<&'a str>,
    /// What nodes call there.
    hosts: BTreeSet<&'static str>,
}

fn leaves_sight(case: &Case<'_>) -> Vec<Broken> {
    let mut leaving: BTreeMap<&str, Leaving<'_>> = BTreeMap::new();
    for (name, nodes) in &case.topology.workspaces {
        for key in &nodes.subnets {
            let Some(subnet) = case.subnet(key) else { continue };
            let DefaultRoute::To(table, target) = default_route(case, subnet) else { continue };
            let (Target::TransitGateway(target) | Target::Other(target) | Target::Peering(target)) =
                target
            else {
                continue;
            };
            let (subnets, hosts) = (BTreeSet::new(), BTreeSet::new());
            let vpc = subnet.vpc.as_str();
            let way = leaving.entry(table).or_insert(Leaving { target, vpc, subnets, hosts });
            way.subnets.insert(key);
            way.hosts.extend(hosts_of(case, name, nodes));
        }
    }
    leaving
        .into_iter()
        .map(|(table, Leaving { target, vpc, subnets, hosts })| {
            let message = format!(
                "`{table}` leads {} to `{target}`, and what lies behind it cannot be seen from here",
                listed(subnets)
            );
            let place =
                if case.is_made(table) { case.place(table) } else { case.vpc_itself(vpc) };
            let broken = Broken::new(table, place, message)
                .symptom("BOOTSTRAP_TIMEOUT: timed out after 704524 milliseconds");
            if hosts.is_empty() {
                return broken;
            }
            let hosts: Vec<&str> = hosts.into_iter().collect();
            broken.fix(format!(
                "let nodes through to {} on the far side, and accept this finding once that is so",
                hosts.join(", ")
            ))
        })
        .collect()
}

/// What nodes of a workspace call on the internet, as far as the region has known names.
fn hosts_of<'a>(
    case: &Case<'a>,
    workspace: &str,
    nodes: &Nodes,
) -> impl Iterator<Item = &'static str> + use<'a> {
    let region = regions::region(&case.topology.region);
    let wanted = case.spec.workspaces.get(workspace);
    let legacy = wanted.is_some_and(|wanted| wanted.uses.legacy_metastore());
    let metastore = region.and_then(|r| r.legacy_hive_metastore.as_ref());
    let names = [
        region.and_then(|r| r.web_app_hostname.as_deref()).filter(|_| nodes.rest.is_none()),
        region.and_then(|r| r.scc_relay_hostname.as_deref()).filter(|_| nodes.relay.is_none()),
        metastore.and_then(|m| m.hostname.as_deref()).filter(|_| legacy),
    ];
    names.into_iter().flatten()
}
