//! Endpoints in VPCs: of AWS, and of Databricks with their registrations.

use std::collections::{BTreeMap, BTreeSet};

use facts::regions;
use spec::Link;

use super::look::{DefaultRoute, default_route, listed};
use super::{Broken, Case, Decided, Rule};
use crate::finding::Severity;
use crate::proof::policy::allows_everything;
use crate::topology::{Connection, Endpoint, Key, Reach, Target, Topology};

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "DBX-EPT-001",
        severity: Severity::Error,
        when: "the relay is registered, and its endpoint has no private DNS nor any private zone a \
               record for it",
        fix: "turn private DNS on for the relay endpoint",
        source: "the article's first incident; that NAT is no substitute is inferred",
        decided: Decided::Proof,
    },
    Rule {
        id: "DBX-EPT-002",
        severity: Severity::Error,
        when: "the STS endpoint has no private DNS, and there is no way to the internet",
        fix: "turn private DNS on for the STS endpoint",
        source: "the article's second incident",
        decided: Decided::Proof,
    },
    Rule {
        id: "DBX-EPT-003",
        severity: Severity::Warning,
        when: "the STS endpoint has no private DNS, and STS is called through NAT instead",
        fix: "turn private DNS on for the endpoint of STS",
        source: "history of the article's second incident",
        decided: Decided::Here(unused_sts),
    },
    Rule {
        id: "DBX-EPT-004",
        severity: Severity::Error,
        when: "there is neither an STS endpoint nor a way to the internet",
        fix: "add `sts` to `endpoints` of the VPC",
        source: "termination codes of the API (SECURITY_DAEMON_REGISTRATION_EXCEPTION, \
                 STS_CLIENT_SETUP_FAILURE)",
        decided: Decided::Proof,
    },
    Rule {
        id: "DBX-EPT-005",
        severity: Severity::Error,
        when: "Kinesis is reached neither through an endpoint with private DNS nor through the \
               internet",
        fix: "add `kinesis` to `endpoints` of the VPC",
        source: "Databricks documentation of PrivateLink, the article",
        decided: Decided::Proof,
    },
    Rule {
        id: "DBX-EPT-006",
        severity: Severity::Error,
        when: "the REST connection is registered, but the name of the workspace leads to a public \
               address that nodes cannot or may not use",
        fix: "turn private DNS on for the REST endpoint",
        source: "the article: private DNS on every endpoint",
        decided: Decided::Proof,
    },
    Rule {
        id: "DBX-EPT-007",
        severity: Severity::Error,
        when: "two interface endpoints of one service in one VPC both have private DNS",
        fix: "keep one of them, or turn private DNS off on the second and give it a private zone",
        source: "AWS refuses the second one; the article's templates turn it off for that reason",
        decided: Decided::Here(competing_endpoints),
    },
    Rule {
        id: "DBX-EPT-008",
        severity: Severity::Error,
        when: "the service of an endpoint belongs to another region than the VPC",
        fix: "give the service name of the region in `private_link.services`",
        source: "AWS: InvalidServiceName; templates that hard-code one region",
        decided: Decided::Here(foreign_service),
    },
    Rule {
        id: "DBX-EPT-009",
        severity: Severity::Warning,
        when: "no source names the service behind a registered endpoint",
        fix: "compare `private_link.services` with the names Databricks publishes for the region",
        source: "table of the Security Reference Architecture; ids may change",
        decided: Decided::Here(unknown_service),
    },
    Rule {
        id: "DBX-EPT-010",
        severity: Severity::Error,
        when: "the REST connection leads to the relay service, or the other way round",
        fix: "exchange `rest` and `relay`",
        source: "use case of a registration in the API; seen in two public repositories",
        decided: Decided::Here(swapped_connections),
    },
    Rule {
        id: "DBX-EPT-011",
        severity: Severity::Error,
        when: "a network configuration has only one of the REST and relay connections",
        fix: "give both, or none",
        source: "Databricks documentation of PrivateLink, the API",
        decided: Decided::Here(half_a_connection),
    },
    Rule {
        id: "DBX-EPT-012",
        severity: Severity::Error,
        when: "an id of AWS stands where a registration of Databricks belongs, or the other way \
               round",
        fix: "give `vpce-…` ids in `use` and `use_endpoints`, and UUIDs of Databricks in \
              `use_registrations`",
        source: "the API; field notes of one deployment",
        decided: Decided::Here(wrong_sort_of_id),
    },
    Rule {
        id: "DBX-EPT-013",
        severity: Severity::Error,
        when: "a registered endpoint is not available",
        fix: "wait up to 15 minutes, or make it anew",
        source: "Terraform provider, which waits for it",
        decided: Decided::Live(
            "the state of each registration, and State of DescribeVpcEndpoints; apply waits for \
             those it makes",
        ),
    },
    Rule {
        id: "DBX-EPT-014",
        severity: Severity::Error,
        when: "an endpoint is registered before it exists, or used before it is registered",
        fix: "make endpoint, registration, network configuration and workspace in that order",
        source: "Terraform provider",
        decided: Decided::Plan(
            "each object refers to what it stands on, so apply makes them in that order",
        ),
    },
    Rule {
        id: "DBX-EPT-015",
        severity: Severity::Warning,
        when: "an endpoint of RDS is meant to reach the built-in metastore",
        fix: "use NAT or a metastore of your own, or disable legacy access",
        source: "the article: the built-in metastore has no endpoint; a guide elsewhere says \
                 otherwise",
        decided: Decided::Language("`endpoints` has no word for RDS"),
    },
    Rule {
        id: "DBX-EPT-016",
        severity: Severity::Error,
        when: "the policy of the S3 endpoint leaves out the root bucket",
        fix: "allow the root bucket in the policy of the S3 endpoint",
        source: "policies of the Security Reference Architecture",
        decided: Decided::Proof,
    },
    Rule {
        id: "DBX-EPT-017",
        severity: Severity::Error,
        when: "the policy of the S3 endpoint leaves out a bucket with runtime images",
        fix: "allow all artifact buckets of the region in the policy",
        source: "policies of the Security Reference Architecture",
        decided: Decided::Proof,
    },
    Rule {
        id: "DBX-EPT-018",
        severity: Severity::Error,
        when: "the policy of the S3 endpoint leaves out the log bucket of the region",
        fix: "allow the log bucket in the policy",
        source: "policies of the Security Reference Architecture",
        decided: Decided::Proof,
    },
    Rule {
        id: "DBX-EPT-019",
        severity: Severity::Warning,
        when: "the policy of the S3 endpoint leaves out the bucket of system tables",
        fix: "allow the bucket of system tables in the policy",
        source: "Security Reference Architecture, its issue 109",
        decided: Decided::Proof,
    },
    Rule {
        id: "DBX-EPT-020",
        severity: Severity::Warning,
        when: "the policy of the S3 endpoint leaves out the bucket of sample data",
        fix: "allow the bucket of sample data in the policy",
        source: "Security Reference Architecture",
        decided: Decided::Proof,
    },
    Rule {
        id: "DBX-EPT-021",
        severity: Severity::Error,
        when: "the policy of the S3 endpoint leaves out a bucket in `uses.buckets`",
        fix: "allow the bucket in the policy of the S3 endpoint",
        source: "Security Reference Architecture, its issue 43",
        decided: Decided::Proof,
    },
    Rule {
        id: "DBX-EPT-022",
        severity: Severity::Error,
        when: "the policy of the STS endpoint shuts out the AWS account or that of Databricks",
        fix: "allow both accounts in the policy of the STS endpoint",
        source: "policies of the Security Reference Architecture",
        decided: Decided::Proof,
    },
    Rule {
        id: "DBX-EPT-023",
        severity: Severity::Error,
        when: "the policy of the Kinesis endpoint shuts out the streams of Databricks",
        fix: "allow PutRecord, PutRecords and DescribeStream on the streams of Databricks' account",
        source: "policies of the Security Reference Architecture",
        decided: Decided::Proof,
    },
    Rule {
        id: "DBX-EPT-024",
        severity: Severity::Warning,
        when: "an endpoint with a policy of its own serves several workspaces",
        fix: "let the policy allow what each of them needs, or give them VPCs of their own",
        source: "Security Reference Architecture, its issue 189",
        decided: Decided::Here(shared_policy),
    },
    Rule {
        id: "DBX-EPT-025",
        severity: Severity::Error,
        when: "a service-direct endpoint in GovCloud",
        fix: "leave it out",
        source: "Security Reference Architecture",
        decided: Decided::Language("there are no words for service-direct endpoints"),
    },
    Rule {
        id: "DBX-EPT-026",
        severity: Severity::Error,
        when: "a service-direct endpoint lies in a zone its service does not have",
        fix: "choose zones of the service",
        source: "map of the Security Reference Architecture",
        decided: Decided::Language("there are no words for service-direct endpoints"),
    },
    Rule {
        id: "DBX-EPT-027",
        severity: Severity::Error,
        when: "an endpoint asks for a subnet in a zone that its service does not have",
        fix: "choose a subnet in another zone",
        source: "AWS: InvalidParameter",
        decided: Decided::Live(
            "AvailabilityZones of DescribeVpcEndpointServices, against the zones of the subnets",
        ),
    },
    Rule {
        id: "DBX-EPT-028",
        severity: Severity::Info,
        when: "traffic to S3 goes through NAT for want of a gateway endpoint",
        fix: "add `s3` to `endpoints` of the VPC",
        source: "Databricks documentation of PrivateLink, the article; the endpoint is free",
        decided: Decided::Here(paid_way_to_s3),
    },
    Rule {
        id: "DBX-EPT-029",
        severity: Severity::Info,
        when: "jobs call STS under its global name, and there is no way to the internet",
        fix: "set regional endpoints for STS and S3 in the Spark configuration, and take \
              `uses.global_sts` away",
        source: "Databricks documentation; blocks reading buckets of other regions",
        decided: Decided::Proof,
    },
    Rule {
        id: "DBX-EPT-030",
        severity: Severity::Info,
        when: "nodes write to Kinesis in another region, and there is no way to the internet",
        fix: "keep NAT, or confirm with Databricks",
        source: "an older table maps us-west-1 to us-west-2: unconfirmed",
        decided: Decided::Proof,
    },
    Rule {
        id: "DBX-EPT-031",
        severity: Severity::Error,
        when: "the service behind an endpoint is not of Databricks' account",
        fix: "stop: the name of the service is wrong or forged",
        source: "owner seen for Frankfurt only",
        decided: Decided::Live("Owner of DescribeVpcEndpointServices"),
    },
    Rule {
        id: "DBX-EPT-032",
        severity: Severity::Warning,
        when: "an endpoint has private DNS, and yet its name leads elsewhere",
        fix: "take the zone that hides it away",
        source: "derived",
        decided: Decided::Live("what the names lead to, asked from within the VPC"),
    },
    Rule {
        id: "DBX-EPT-033",
        severity: Severity::Warning,
        when: "there is no way to the internet, and a bucket that nodes need lies in another \
               region",
        fix: "keep NAT for it, or confirm with Databricks",
        source: "AWS: a gateway endpoint serves its own region; tables of the Security Reference \
                 Architecture; the combination is untested",
        decided: Decided::Proof,
    },
    Rule {
        id: "DBX-EPT-034",
        severity: Severity::Warning,
        when: "an interface endpoint has no security group of its own",
        fix: "give it the security group for endpoints",
        source: "Security Reference Architecture, its issue 55",
        decided: Decided::Here(groupless_endpoint),
    },
];

/// The endpoints that can be seen.
fn seen(topology: &Topology) -> impl Iterator<Item = (&Key, &Endpoint)> {
    topology.endpoints.iter().filter_map(|(key, endpoint)| Some((key, endpoint.as_ref()?)))
}

/// The short name of a service of AWS: `sts` of `com.amazonaws.eu-central-1.sts`.
fn aws_service<'s>(service: &'s str, region: &str) -> Option<&'s str> {
    service.strip_prefix("com.amazonaws.")?.strip_prefix(region)?.strip_prefix('.')
}

/// The VPCs in which nodes of some workspace go to the internet through NAT.
fn behind_nat<'a>(case: &Case<'a>) -> BTreeSet<&'a str> {
    let nat =
        |subnet| matches!(default_route(case, subnet), DefaultRoute::To(_, Target::NatGateway(_)));
    let mut found = BTreeSet::new();
    for nodes in case.topology.workspaces.values() {
        let vpc = nodes.vpc.as_str();
        let mut subnets = nodes.subnets.iter().filter_map(|key| case.subnet(key));
        if !found.contains(vpc) && subnets.any(nat) {
            found.insert(vpc);
        }
    }
    found
}

fn unused_sts(case: &Case<'_>) -> Vec<Broken> {
    let region = &case.topology.region;
    let name = format!("sts.{region}.amazonaws.com");
    let behind_nat = behind_nat(case);
    let zones = || case.topology.zones.values().flatten();
    let unused = seen(case.topology).filter(|(_, endpoint)| {
        let mapped =
            || zones().any(|z| z.vpcs.contains(&endpoint.vpc) && z.records.contains_key(&name));
        aws_service(&endpoint.service, region) == Some("sts")
            && matches!(endpoint.reach, Reach::Interface { private_dns: false, .. })
            && behind_nat.contains(endpoint.vpc.as_str())
            && !mapped()
    });
    unused
        .map(|(key, _)| {
            let message = format!("nodes call `{name}` through NAT: `{key}` has no private DNS");
            case.broken(key, message)
                .symptom("SECURITY_DAEMON_REGISTRATION_EXCEPTION once NAT is gone")
        })
        .collect()
}

fn competing_endpoints(case: &Case<'_>) -> Vec<Broken> {
    let mut first: BTreeMap<(&str, &str), &str> = BTreeMap::new();
    let mut all = Vec::new();
    for (key, endpoint) in seen(case.topology) {
        if !matches!(endpoint.reach, Reach::Interface { private_dns: true, .. }) {
            continue;
        }
        let Some(other) = first.insert((&endpoint.vpc, &endpoint.service), key) else { continue };
        let message = format!(
            "`{other}` and `{key}` both have private DNS for `{}` in `{}`",
            endpoint.service, endpoint.vpc
        );
        let symptom =
            "private-dns-enabled cannot be set because there is already a conflicting DNS domain";
        all.push(case.broken(key, message).symptom(symptom));
    }
    all
}

/// The field of the spec that gives the service of a connection to Databricks.
fn services_field(case: &Case<'_>, key: &str) -> Vec<String> {
    let mut place = case.place(key);
    let vpc = place.get(1).and_then(|name| case.spec.vpcs.get(name));
    let given = vpc.and_then(|vpc| vpc.private_link.services.as_ref());
    if given.is_some() && place.last().is_some_and(|last| last == "private_link") {
        place.push("services".to_owned());
    }
    place
}

fn foreign_service(case: &Case<'_>) -> Vec<Broken> {
    let ours = case.topology.region.as_str();
    let foreign = seen(case.topology).filter_map(|(key, endpoint)| {
        let rest = endpoint.service.strip_prefix("com.amazonaws.")?;
        let theirs = rest.strip_prefix("vpce.").unwrap_or(rest).split('.').next()?;
        // Some services of AWS belong to no region: `com.amazonaws.s3-global.accesspoint`.
        if theirs == ours || !theirs.ends_with(|c: char| c.is_ascii_digit()) {
            return None;
        }
        let message =
            format!("`{}` is a service of {theirs}, and the VPC is in {ours}", endpoint.service);
        let symptom = "InvalidServiceName: The Vpc Endpoint Service does not exist";
        Some(Broken::new(key, services_field(case, key), message).symptom(symptom))
    });
    foreign.collect()
}

/// What the services of Databricks in the region are called; `None` when nothing is known.
fn known_services(region: &str) -> Option<&'static regions::EndpointServices> {
    regions::region(region).map(|region| &region.endpoint_services)
}

fn unknown_service(case: &Case<'_>) -> Vec<Broken> {
    let Some(known) = known_services(&case.topology.region) else { return Vec::new() };
    let named = |service: &String| {
        let names = [&known.rest, &known.scc_relay].into_iter().flatten();
        names.chain(&known.rest_alternates).any(|name| name == service)
    };
    let registered = case.topology.registrations.values();
    let registered: BTreeSet<&Key> = registered.filter_map(|c| c.endpoint.as_ref()).collect();
    let unknown = registered.into_iter().filter_map(|key| {
        let service = &case.topology.endpoints.get(key)?.as_ref()?.service;
        if named(service) {
            return None;
        }
        let message = format!("no source names `{service}` as a service of Databricks");
        Some(Broken::new(key, services_field(case, key), message))
    });
    unknown.collect()
}

fn swapped_connections(case: &Case<'_>) -> Vec<Broken> {
    let Some(known) = known_services(&case.topology.region) else { return Vec::new() };
    let service = |connection: &Connection| {
        let endpoint = case.topology.endpoints.get(connection.endpoint.as_ref()?)?;
        Some(endpoint.as_ref()?.service.as_str())
    };
    // Where the relay is asked for and another endpoint answers, the proof has said it.
    let told = case.told("DBX-EPT-010");
    let mut found = BTreeMap::new();
    for nodes in case.topology.workspaces.values() {
        if nodes.subnets.iter().any(|subnet| told.contains(subnet.as_str())) {
            continue;
        }
        let connections = [("REST", &nodes.rest, "relay"), ("relay", &nodes.relay, "REST")];
        for (what, connection, other) in connections {
            let Some(connection) = connection else { continue };
            let service = service(connection);
            let wrong = match other {
                "relay" => service.is_some() && service == known.scc_relay.as_deref(),
                _ => service.is_some() && service == known.rest.as_deref(),
            };
            if wrong {
                found.insert((what, connection.registration.as_str()), other);
            }
        }
    }
    let swapped = found.into_iter().map(|((what, registration), other)| {
        let message =
            format!("the {what} connection `{registration}` leads to the {other} service");
        let symptom = "WaitForNgrokTunnel, or an error that names the endpoint";
        case.broken(registration, message).symptom(symptom)
    });
    swapped.collect()
}

fn half_a_connection(case: &Case<'_>) -> Vec<Broken> {
    let half = case.topology.workspaces.iter().filter_map(|(name, nodes)| {
        let (has, lacks) = match (&nodes.rest, &nodes.relay) {
            (Some(_), None) => ("REST", "relay"),
            (None, Some(_)) => ("relay", "REST"),
            _ => return None,
        };
        let mut place = case.place(name);
        place.push("private_link".to_owned());
        let message = format!(
            "the network of workspace `{name}` has a {has} connection and no {lacks} connection"
        );
        Some(Broken::new(name, place, message))
    });
    half.collect()
}

fn wrong_sort_of_id(case: &Case<'_>) -> Vec<Broken> {
    const LINKS: [Link; 3] = [Link::Rest, Link::Relay, Link::Frontend];
    let mut all = Vec::new();
    let mut wrong = |place: [&str; 5], id: &str, expected: &str| {
        let place: Vec<String> =
            place.into_iter().filter(|part| !part.is_empty()).map(str::to_owned).collect();
        let subject = format!("aws.vpc/{}", place[1]);
        let fix = format!("give {expected} in `{}`", place.join("."));
        let message = format!("`{id}` stands where {expected} belongs");
        all.push(Broken::new(&subject, place, message).fix(fix));
    };
    for (vpc, wanted) in &case.spec.vpcs {
        let link = &wanted.private_link;
        for which in LINKS {
            let name = which.name();
            let endpoint = link.existing.as_ref().and_then(|ids| ids.get(which));
            if let Some(id) = endpoint.filter(|id| !id.starts_with("vpce-")) {
                let place = ["vpcs", vpc, "private_link", "use", name];
                wrong(place, id, "the id of an AWS endpoint (`vpce-…`)");
            }
            let registration = link.use_registrations.as_ref().and_then(|ids| ids.get(which));
            if let Some(id) = registration.filter(|id| id.starts_with("vpce-")) {
                let place = ["vpcs", vpc, "private_link", "use_registrations", name];
                wrong(place, id, "the UUID of a registration");
            }
        }
        for (service, id) in wanted.use_endpoints.iter().filter(|(_, id)| !id.starts_with("vpce-"))
        {
            let place = ["vpcs", vpc, "use_endpoints", service.name(), ""];
            wrong(place, id, "the id of an AWS endpoint (`vpce-…`)");
        }
    }
    all
}

fn shared_policy(case: &Case<'_>) -> Vec<Broken> {
    let mut tenants: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, nodes) in &case.topology.workspaces {
        tenants.entry(&nodes.vpc).or_default().push(name);
    }
    let shared = seen(case.topology).filter_map(|(key, endpoint)| {
        let tenants = tenants.get(endpoint.vpc.as_str()).filter(|tenants| tenants.len() > 1)?;
        endpoint.policy.as_ref().filter(|policy| !allows_everything(policy))?;
        let tenants = listed(tenants.iter().copied());
        let message = format!("the policy of `{key}` binds the workspaces {tenants}");
        Some(case.broken(key, message))
    });
    shared.collect()
}

fn paid_way_to_s3(case: &Case<'_>) -> Vec<Broken> {
    let topology = case.topology;
    // What was not read may be the one.
    if topology.endpoints.values().any(Option::is_none) {
        return Vec::new();
    }
    let free: BTreeSet<&str> = seen(topology)
        .filter(|(_, endpoint)| {
            matches!(endpoint.reach, Reach::Gateway { .. })
                && aws_service(&endpoint.service, &topology.region) == Some("s3")
        })
        .map(|(_, endpoint)| endpoint.vpc.as_str())
        .collect();
    let paying = behind_nat(case).into_iter().filter(|vpc| !free.contains(vpc));
    paying
        .map(|vpc| {
            let mut place = case.place(vpc);
            let fix = format!("add `s3` to `endpoints` in `{}`", place.join("."));
            place.push("endpoints".to_owned());
            let message = format!("all traffic of `{vpc}` to S3 goes through NAT and is paid for");
            Broken::new(vpc, place, message).fix(fix)
        })
        .collect()
}

fn groupless_endpoint(case: &Case<'_>) -> Vec<Broken> {
    let groupless = seen(case.topology).filter(|(_, endpoint)| {
        matches!(&endpoint.reach, Reach::Interface { groups, .. } if groups.is_empty())
    });
    groupless
        .map(|(key, _)| {
            let message = format!("`{key}` has the default security group of its VPC");
            case.broken(key, message)
        })
        .collect()
}
