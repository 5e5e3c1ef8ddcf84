//! The role with which Databricks works in the AWS account, and the roles of nodes.
//!
//! A role that is only used cannot be looked into; one with attached policies may be allowed more
//! than can be seen, so nothing is said to be missing from it.

use std::collections::{BTreeMap, BTreeSet};

use engine::{Ref, Role as Part};
use facts::iam;
use facts::regions::{self, Partition};
use kinds::aws::role;
use kinds::aws::security_group::GroupId;
use kinds::databricks::network;
use kinds::policy::{Principal, Statement};
use serde_json::Value;
use spec::Workspace;

use super::grants::{
    about, account, admits_account, allowing, conditions, equals, fits, on, principals,
};
use super::look::listed;
use super::made::{id, name, target};
use super::{Broken, Case, Decided, Rule};
use crate::finding::Severity;
use crate::topology::Key;

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "DBX-IAM-001",
        severity: Severity::Error,
        when: "the role of credentials does not trust Databricks' account of the partition",
        fix: "let the role trust Databricks' account",
        source: "constants of the Terraform provider",
        decided: Decided::Here(untrusting),
    },
    Rule {
        id: "DBX-IAM-002",
        severity: Severity::Error,
        when: "the role of credentials does not ask for the Databricks account as external id",
        fix: "ask for it with `StringEquals` on `sts:ExternalId`",
        source: "Terraform provider, templates of the article",
        decided: Decided::Here(external_id),
    },
    Rule {
        id: "DBX-IAM-003",
        severity: Severity::Error,
        when: "the role of credentials lacks actions that Databricks needs",
        fix: "add the actions",
        source: "the three policies of the Terraform provider (684f442)",
        decided: Decided::Here(missing_actions),
    },
    Rule {
        id: "DBX-IAM-004",
        severity: Severity::Error,
        when: "Databricks may not pass the role of an instance profile of the workspace to nodes",
        fix: "allow `iam:PassRole` on the role",
        source: "difference between two states of the article's templates",
        decided: Decided::Here(pass_role),
    },
    Rule {
        id: "DBX-IAM-005",
        severity: Severity::Warning,
        when: "Databricks may pass more roles to nodes than those named",
        fix: "name the ARNs of the roles",
        source: "hardening",
        decided: Decided::Here(wide_pass_role),
    },
    Rule {
        id: "DBX-IAM-006",
        severity: Severity::Error,
        when: "an ARN is of another partition than the region",
        fix: "write the ARN with the partition of the region",
        source: "templates that hard-code `arn:aws`",
        decided: Decided::Here(partition_mismatch),
    },
    Rule {
        id: "DBX-IAM-007",
        severity: Severity::Error,
        when: "a restricted policy is scoped to another VPC or security group than the workspace \
               has",
        fix: "scope the policy to the network of the workspace",
        source: "Terraform provider",
        decided: Decided::Here(wrong_scope),
    },
    Rule {
        id: "DBX-IAM-008",
        severity: Severity::Error,
        when: "workspaces with different security groups share a role that is scoped to one",
        fix: "give each workspace a role of its own",
        source: "Terraform provider",
        decided: Decided::Here(scope_shared),
    },
    Rule {
        id: "DBX-IAM-009",
        severity: Severity::Warning,
        when: "credentials are registered right after their role was made",
        fix: "try again for at least 30 seconds",
        source: "Terraform provider, its issue 1424; waits of 10 to 30 seconds were seen",
        decided: Decided::Plan("apply tries new credentials again for three minutes"),
    },
    Rule {
        id: "DBX-IAM-010",
        severity: Severity::Error,
        when: "the role of an instance profile does not trust EC2",
        fix: "let the role trust `ec2.amazonaws.com`",
        source: "templates of the article",
        decided: Decided::Here(profile_trust),
    },
    Rule {
        id: "DBX-IAM-011",
        severity: Severity::Warning,
        when: "the role may build networks, and all its workspaces are in VPCs of the customer",
        fix: "write `policy: customer`",
        source: "Terraform provider, the article",
        decided: Decided::Here(needless_actions),
    },
    Rule {
        id: "DBX-IAM-012",
        severity: Severity::Error,
        when: "the role may not build networks, and a workspace of it has none",
        fix: "write `policy: managed`",
        source: "Terraform provider",
        decided: Decided::Here(cannot_build),
    },
    Rule {
        id: "DBX-IAM-013",
        severity: Severity::Warning,
        when: "the role may not make the service-linked role of EC2 Spot",
        fix: "allow `iam:CreateServiceLinkedRole` for `spot.amazonaws.com`",
        source: "Terraform provider; whether the account has the role already cannot be seen from \
                 here",
        decided: Decided::Here(spot_role),
    },
    Rule {
        id: "DBX-IAM-014",
        severity: Severity::Error,
        when: "images are restricted to the wrong owner",
        fix: "name the owner of Databricks' images for the partition",
        source: "Security Reference Architecture",
        decided: Decided::Here(image_owner),
    },
    Rule {
        id: "DBX-IAM-015",
        severity: Severity::Warning,
        when: "a permission boundary or an organisation policy denies what the role needs",
        fix: "amend the boundary",
        source: "Terraform provider, its issue 951",
        decided: Decided::Live("SimulatePrincipalPolicy, or a dry run of DescribeInstances"),
    },
    Rule {
        id: "DBX-IAM-016",
        severity: Severity::Warning,
        when: "a role that builds networks lacks the three actions that older policies did not \
               have",
        fix: "add `ec2:DescribeNetworkAcls`, `ec2:DescribeVpcAttribute` and `ec2:DetachVolume`",
        source: "difference between the article's templates and the Terraform provider",
        decided: Decided::Here(older_policy),
    },
];

const ASSUME: &str = "sts:AssumeRole";
const PASS: &str = "iam:PassRole";
const INVALID: &str = "Failed credential validation checks: please use a valid cross account IAM \
                       role with permissions setup correctly";

/// What templates for VPCs that Databricks manages once left out, and did without.
const LATER_ACTIONS: [&str; 3] =
    ["ec2:DescribeNetworkAcls", "ec2:DescribeVpcAttribute", "ec2:DetachVolume"];

/// A role that credentials name, and the workspaces that work with it.
struct Worker<'a> {
    key: &'a str,
    role: &'a role::Props,
    workspaces: Vec<&'a str>,
}

fn workers<'a>(case: &'a Case<'_>) -> Vec<Worker<'a>> {
    let mut users: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (key, workspace) in &case.made.workspaces {
        if let Some(credentials) = target(&workspace.credentials) {
            users.entry(credentials).or_default().push(name(key));
        }
    }
    let mut workers: BTreeMap<&str, Worker<'_>> = BTreeMap::new();
    for (key, credentials) in &case.made.credentials {
        let Some(role) = target(&credentials.role_arn) else { continue };
        let Some((role_key, role)) = case.made.roles.get_key_value(role) else { continue };
        let new = || Worker { key: role_key, role, workspaces: Vec::new() };
        let worker = workers.entry(role_key).or_insert_with(new);
        worker.workspaces.extend(users.remove(key.as_str()).unwrap_or_default());
    }
    workers.into_values().collect()
}

impl Worker<'_> {
    fn broken(&self, case: &Case<'_>, message: String) -> Broken {
        case.broken(self.key, message)
    }

    /// Whether nothing but what can be seen tells what it may do.
    fn readable(&self) -> bool {
        self.role.managed.is_empty()
    }

    fn may(&self, action: &str) -> bool {
        let denied = |s: &Statement| {
            !s.allow && s.conditions.is_empty() && s.resources.contains("*") && about(s, action)
        };
        let mut statements = self.role.inline.values().flat_map(|policy| &policy.statements);
        allowing(self.role.inline.values(), action).next().is_some() && !statements.any(denied)
    }

    fn lacks<'n>(&self, needed: &'n [String]) -> Vec<&'n str> {
        needed.iter().map(String::as_str).filter(|action| !self.may(action)).collect()
    }

    /// Whether one of its workspaces has no network, so that Databricks builds one.
    fn builds(&self, case: &Case<'_>) -> bool {
        self.workspaces.iter().any(|workspace| network_of(case, workspace).is_none())
    }

    /// The ARNs of VPCs and of security groups its policies are scoped to.
    fn scope(&self) -> (BTreeSet<&str>, BTreeSet<&str>) {
        let statements = || self.role.inline.values().flat_map(|policy| &policy.statements);
        let vpcs = statements().filter(|s| s.allow).flat_map(|s| conditions(s, "ec2:vpc"));
        let groups = statements().filter(|s| s.allow).flat_map(|s| &s.resources);
        let groups = groups.map(String::as_str);
        let single = |arn: &&str| arn.contains(":security-group/") && !arn.ends_with("/*");
        (vpcs.collect(), groups.filter(single).collect())
    }
}

/// The network configuration a workspace has, unless it is one that is not made here.
fn network_of<'a>(case: &'a Case<'_>, workspace: &str) -> Option<Option<&'a network::Props>> {
    let workspace = case.made.workspaces.get(&format!("databricks.workspace/{workspace}"))?;
    let network = workspace.network.as_ref()?;
    Some(target(network).and_then(|key| case.made.networks.get(key)))
}

fn partition(case: &Case<'_>) -> &'static Partition {
    regions::partition(&case.spec.region)
}

/// The ARN of a role of this account.
pub(super) fn arn_of(case: &Case<'_>, role: &role::Props) -> String {
    let partition = &partition(case).arn_partition;
    format!("arn:{partition}:iam::{}:role/{}", case.spec.aws.account, role.name)
}

/// The statements of a trust policy that let somebody assume the role.
pub(super) fn trusts(role: &role::Props) -> impl Iterator<Item = &Statement> {
    allowing([&role.trust], ASSUME)
}

fn untrusting(case: &Case<'_>) -> Vec<Broken> {
    let databricks = partition(case).databricks_account_id.as_str();
    let strange = workers(case).into_iter().filter_map(|worker| {
        let admits = |statement: &Statement| admits_account(statement, databricks);
        if trusts(worker.role).any(admits) {
            return None;
        }
        let trusted: BTreeSet<&str> =
            trusts(worker.role).flat_map(principals).map(account).collect();
        let trusted = match trusted.is_empty() {
            true => "no AWS account".to_owned(),
            false => listed(trusted),
        };
        let role = &worker.role.name;
        let message = format!(
            "the role `{role}` trusts {trusted}, and not Databricks, which is `{databricks}`"
        );
        let root = &partition(case).root_principal;
        let fix = format!("let the role trust `{root}`");
        Some(worker.broken(case, message).fix(fix).symptom(INVALID))
    });
    strange.collect()
}

fn external_id(case: &Case<'_>) -> Vec<Broken> {
    let databricks = partition(case).databricks_account_id.as_str();
    let wanted = case.spec.databricks.account.as_str();
    let mut all = Vec::new();
    for worker in workers(case) {
        let trusts = trusts(worker.role).filter(|s| admits_account(s, databricks));
        for statement in trusts {
            let ids = equals(statement, "sts:ExternalId");
            if ids.contains(wanted) {
                continue;
            }
            let asked = match ids.is_empty() {
                true => "for no external id".to_owned(),
                false => format!("for the external id {}", listed(ids)),
            };
            let role = &worker.role.name;
            let message =
                format!("the role `{role}` asks {asked}, and the Databricks account is `{wanted}`");
            all.push(worker.broken(case, message).symptom(INVALID));
        }
    }
    all
}

fn missing_actions(case: &Case<'_>) -> Vec<Broken> {
    let needed = iam::customer();
    let lacking = workers(case).into_iter().filter(Worker::readable).filter_map(|worker| {
        let mut missing = worker.lacks(&needed);
        if worker.builds(case) {
            missing.retain(|action| !LATER_ACTIONS.contains(action));
        }
        let count = missing.len();
        let (role, missing) = (&worker.role.name, listed(missing));
        let message =
            format!("the role `{role}` lacks {count} of the actions Databricks needs: {missing}");
        (count > 0).then(|| worker.broken(case, message).symptom(INVALID))
    });
    lacking.collect()
}

fn older_policy(case: &Case<'_>) -> Vec<Broken> {
    let workers = workers(case).into_iter().filter(|w| w.readable() && w.builds(case));
    let lacking = workers.filter_map(|worker| {
        let missing: Vec<&str> = LATER_ACTIONS.into_iter().filter(|a| !worker.may(a)).collect();
        let role = &worker.role.name;
        (!missing.is_empty()).then(|| {
            let message =
                format!("the role `{role}` lacks {}, as older policies did", listed(missing));
            worker.broken(case, message)
        })
    });
    lacking.collect()
}

/// The actions with which Databricks builds networks.
fn building() -> Vec<String> {
    let rest: BTreeSet<String> = iam::customer().into_iter().collect();
    iam::managed().into_iter().filter(|action| !rest.contains(action)).collect()
}

fn needless_actions(case: &Case<'_>) -> Vec<Broken> {
    let building = building();
    let wide = workers(case).into_iter().filter_map(|worker| {
        if worker.workspaces.is_empty() || worker.builds(case) {
            return None;
        }
        let granted = building.iter().filter(|action| worker.may(action)).count();
        let role = &worker.role.name;
        let message = format!(
            "the role `{role}` has {granted} actions to build networks, and all its workspaces are \
             in VPCs of yours"
        );
        let broken = worker.broken(case, message);
        let fix = format!("write `policy: customer` in `{}`", broken.place.join("."));
        (granted > 0).then(|| broken.fix(fix))
    });
    wide.collect()
}

fn cannot_build(case: &Case<'_>) -> Vec<Broken> {
    let building = building();
    let workers = workers(case).into_iter().filter(|w| w.readable() && w.builds(case));
    let unable = workers.filter_map(|worker| {
        let missing = worker.lacks(&building);
        let without = |workspace: &&&str| network_of(case, workspace).is_none();
        let workspace = worker.workspaces.iter().find(without)?;
        let role = &worker.role.name;
        let message = format!(
            "the role `{role}` lacks {} of the actions with which Databricks builds the network of \
             workspace `{workspace}`",
            missing.len()
        );
        let broken = worker.broken(case, message);
        let fix = format!("write `policy: managed` in `{}`", broken.place.join("."));
        (!missing.is_empty()).then(|| broken.fix(fix))
    });
    unable.collect()
}

/// The ARNs of the roles in the instance profiles of a workspace, by profile.
fn node_roles<'a>(
    case: &'a Case<'_>,
    name: &'a str,
    workspace: &'a Workspace,
) -> impl Iterator<Item = (&'a str, String)> {
    workspace.instance_profiles.iter().filter_map(move |(profile, wanted)| {
        let made = || case.made.roles.get(&format!("aws.role/{name}.node-{profile}"));
        let arn = wanted.existing.clone().or_else(|| Some(arn_of(case, made()?)))?;
        Some((profile.as_str(), arn))
    })
}

fn pass_role(case: &Case<'_>) -> Vec<Broken> {
    let mut all = Vec::new();
    for worker in workers(case).iter().filter(|worker| worker.readable()) {
        for name in &worker.workspaces {
            let Some(workspace) = case.spec.workspaces.get(*name) else { continue };
            for (profile, arn) in node_roles(case, name, workspace) {
                if allowing(worker.role.inline.values(), PASS).any(|s| on(s, &arn)) {
                    continue;
                }
                let role = &worker.role.name;
                let message = format!(
                    "the role `{role}` may not pass `{arn}` to nodes, so clusters of workspace \
                     `{name}` with the instance profile `{profile}` cannot start"
                );
                let place = ["workspaces", name, "instance_profiles", profile];
                let broken = Broken::new(worker.key, place.map(str::to_owned).into(), message);
                all.push(
                    broken
                        .fix(format!("allow `{PASS}` on `{arn}`"))
                        .symptom("UPDATE_INSTANCE_PROFILE_FAILURE, AWS_AUTHORIZATION_FAILURE"),
                );
            }
        }
    }
    all
}

fn wide_pass_role(case: &Case<'_>) -> Vec<Broken> {
    let wide = workers(case).into_iter().filter_map(|worker| {
        let passing = allowing(worker.role.inline.values(), PASS);
        let resources: BTreeSet<&str> = passing
            .flat_map(|s| &s.resources)
            .map(String::as_str)
            .filter(|resource| resource.contains(['*', '?']))
            .collect();
        let role = &worker.role.name;
        (!resources.is_empty()).then(|| {
            let message = format!("the role `{role}` may pass {} to nodes", listed(resources));
            worker.broken(case, message)
        })
    });
    wide.collect()
}

/// The first ARN of another partition in a value, labels aside.
fn of_another<'v>(value: &'v Value, partition: &str) -> Option<&'v str> {
    match value {
        Value::String(text) => {
            let theirs = text.strip_prefix("arn:")?.split(':').next()?;
            (!fits(theirs, partition)).then_some(text)
        }
        Value::Array(items) => items.iter().find_map(|item| of_another(item, partition)),
        Value::Object(fields) => fields
            .iter()
            .filter(|(name, _)| !matches!(name.as_str(), "tags" | "description"))
            .find_map(|(_, field)| of_another(field, partition)),
        _ => None,
    }
}

fn partition_of(case: &Case<'_>, key: &str, props: &Value) -> Option<Broken> {
    let ours = partition(case).arn_partition.as_str();
    let arn = of_another(props, ours)?;
    let region = &case.spec.region;
    let message = format!("`{arn}` is not of the partition `{ours}`, in which {region} lies");
    Some(case.broken(key, message).symptom("MalformedPolicyDocument, AccessDenied"))
}

fn partition_mismatch(case: &Case<'_>) -> Vec<Broken> {
    let made = case.graph.nodes.iter().filter_map(|(address, node)| match &node.role {
        Part::Managed { props } => Some((address.as_str(), props)),
        Part::Used { .. } => None,
    });
    made.filter_map(|(key, props)| partition_of(case, key, props)).collect()
}

fn wrong_scope(case: &Case<'_>) -> Vec<Broken> {
    let partition = &partition(case).arn_partition;
    let place = format!("arn:{partition}:ec2:{}:{}", case.spec.region, case.spec.aws.account);
    let mut all = Vec::new();
    for worker in workers(case) {
        let (vpcs, groups) = worker.scope();
        // Told at the role that is shared.
        let groups = if groups_of(case, &worker).len() > 1 { BTreeSet::new() } else { groups };
        for name in &worker.workspaces {
            let Some(Some(network)) = network_of(case, name) else { continue };
            let vpc = id(case.graph, &network.vpc).map(|id| format!("{place}:vpc/{id}"));
            let group = network.groups.iter().map(|group| {
                id(case.graph, group).map(|id| format!("{place}:security-group/{id}"))
            });
            let used = [("VPC", &vpcs, vec![vpc]), ("security group", &groups, group.collect())];
            for (what, scope, used) in used {
                let within = |arn: &Option<String>| {
                    arn.as_ref().is_some_and(|arn| scope.iter().any(|s| fits(s, arn)))
                };
                let Some(stray) = used.iter().find(|arn| !within(arn)) else { continue };
                if scope.is_empty() {
                    continue;
                }
                let stray =
                    stray.as_ref().map_or("one that is made".to_owned(), |s| format!("`{s}`"));
                let (role, scope) = (&worker.role.name, listed(scope.iter().copied()));
                let message = format!(
                    "the role `{role}` is scoped to the {what} {scope}, and workspace `{name}` \
                     uses {stray}"
                );
                all.push(worker.broken(case, message));
            }
        }
    }
    all
}

/// The sets of security groups its workspaces have, by id or, where they are made, by address.
fn groups_of(case: &Case<'_>, worker: &Worker<'_>) -> BTreeSet<Vec<Key>> {
    let networks = worker.workspaces.iter().filter_map(|name| network_of(case, name)?);
    let key = |group: &Ref<GroupId>| {
        id(case.graph, group).or_else(|| target(group).map(str::to_owned)).unwrap_or_default()
    };
    networks.map(|network| network.groups.iter().map(key).collect()).collect()
}

fn scope_shared(case: &Case<'_>) -> Vec<Broken> {
    let shared = workers(case).into_iter().filter_map(|worker| {
        let (_, groups) = worker.scope();
        if groups.is_empty() || groups_of(case, &worker).len() < 2 {
            return None;
        }
        let (role, users) = (&worker.role.name, listed(worker.workspaces.iter().copied()));
        let message = format!(
            "the role `{role}` is scoped to one security group, and workspaces {users} with \
             different groups work with it"
        );
        Some(worker.broken(case, message))
    });
    shared.collect()
}

fn profile_trust(case: &Case<'_>) -> Vec<Broken> {
    let ec2 = Principal::Service("ec2.amazonaws.com".to_owned());
    let distrusting = case.made.profiles.iter().filter_map(|(key, profile)| {
        let role = case.made.roles.get(target(&profile.role)?)?;
        if trusts(role).any(|statement| statement.principals.contains(&ec2)) {
            return None;
        }
        let message = format!("the role `{}` does not trust EC2, so no node can get it", role.name);
        Some(case.broken(key, message).symptom("UPDATE_INSTANCE_PROFILE_FAILURE"))
    });
    distrusting.collect()
}

fn spot_role(case: &Case<'_>) -> Vec<Broken> {
    let workers = workers(case).into_iter().filter(Worker::readable);
    let unable = workers.filter(|worker| !worker.may("iam:CreateServiceLinkedRole"));
    unable
        .map(|worker| {
            let role = &worker.role.name;
            let message = format!(
                "the role `{role}` may not make the role of EC2 Spot, so the first spot request of \
                 an AWS account fails"
            );
            worker.broken(case, message)
        })
        .collect()
}

/// Who owns the images of Databricks. Source: Security Reference Architecture (72a96ea).
fn image_owner_of(partition: &Partition) -> &'static str {
    match partition.arn_partition.as_str() {
        "aws-us-gov" => "044732911619",
        _ => "601306020600",
    }
}

fn image_owner(case: &Case<'_>) -> Vec<Broken> {
    let owner = image_owner_of(partition(case));
    let wrong = workers(case).into_iter().filter_map(|worker| {
        let mut statements = worker.role.inline.values().flat_map(|policy| &policy.statements);
        let owners = statements.find_map(|statement| {
            let owners = conditions(statement, "ec2:Owner");
            (!owners.is_empty() && !owners.contains(owner)).then_some(owners)
        })?;
        let role = &worker.role.name;
        let message = format!(
            "the role `{role}` is restricted to images of {}, and those of Databricks are of \
             `{owner}`",
            listed(owners)
        );
        Some(worker.broken(case, message).symptom("AWS_AUTHORIZATION_FAILURE"))
    });
    wrong.collect()
}
