//! The roles Databricks works with, and those of nodes.

use std::collections::{BTreeMap, BTreeSet};

use engine::{Group, Ref};
use facts::{iam, regions};
use kinds::Arn;
use kinds::aws::instance_profile::{self, InstanceProfile};
use kinds::aws::role::{self, Role};
use kinds::databricks::credentials::{self, Credentials, CredentialsId};
use kinds::policy::{Conditions, Policy, Principal, Statement};
use spec::RolePolicy;

use crate::{Builder, names};

/// ARNs of the roles that nodes may get, by workspace.
pub(crate) type Profiles = BTreeMap<String, BTreeSet<String>>;

/// A set of texts.
pub(crate) fn texts<'a>(items: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    items.into_iter().map(str::to_owned).collect()
}

/// A condition with one value.
pub(crate) fn condition(operator: &str, key: &str, value: &str) -> Conditions {
    let keys = BTreeMap::from([(key.to_owned(), texts([value]))]);
    BTreeMap::from([(operator.to_owned(), keys)])
}

/// What the restricted policy is scoped to: ids that must be known.
pub(crate) struct RestrictedTo {
    pub(crate) vpc: String,
    pub(crate) group: String,
}

impl Builder<'_> {
    /// The ARN of a role of this account.
    pub(crate) fn role_arn(&self, name: &str) -> String {
        let partition = &regions::partition(&self.spec.region).arn_partition;
        format!("arn:{partition}:iam::{}:role/{name}", self.spec.aws.account)
    }

    /// Roles and instance profiles for nodes.
    pub(crate) fn instance_profiles(&mut self) -> Profiles {
        let spec = self.spec;
        let mut all = Profiles::new();
        for (workspace, wanted) in &spec.workspaces {
            let group = Group::Workspace(workspace.clone());
            let arns = all.entry(workspace.clone()).or_default();
            for (name, profile) in &wanted.instance_profiles {
                if let Some(arn) = &profile.existing {
                    arns.insert(arn.clone());
                    continue;
                }
                let address = format!("{workspace}.node-{name}");
                let full_name = names::iam(&[&spec.name, workspace, "node", name]);
                let role_name = self.role_name(workspace, &address, full_name.clone());
                let tags = self.tags(&format!("{workspace}-node-{name}"));
                let trust = Statement {
                    allow: true,
                    principals: BTreeSet::from([Principal::Service(
                        "ec2.amazonaws.com".to_owned(),
                    )]),
                    actions: texts(["sts:AssumeRole"]),
                    ..Statement::default()
                };
                let props = role::Props {
                    name: role_name.clone(),
                    description: "Nodes of a Databricks workspace".to_owned(),
                    trust: Policy::new([trust]),
                    inline: BTreeMap::new(),
                    managed: profile.policies.clone(),
                    tags: tags.clone(),
                };
                let role = self.graph.add::<Role>(&group, &address, props);
                let props = instance_profile::Props { name: full_name, role: role.id(), tags };
                self.graph.add::<InstanceProfile>(&group, &address, props);
                arns.insert(self.role_arn(&role_name));
            }
        }
        all
    }

    /// Credentials several workspaces share, by name.
    pub(crate) fn shared_credentials(
        &mut self,
        profiles: &Profiles,
    ) -> BTreeMap<String, Ref<CredentialsId>> {
        let spec = self.spec;
        let group = Group::Shared("account".to_owned());
        let mut all = BTreeMap::new();
        for (name, wanted) in &spec.credentials {
            let users = spec.workspaces.iter();
            let users = users.filter(|(_, w)| w.credentials.shared.as_ref() == Some(name));
            let pass = users.filter_map(|(w, _)| profiles.get(w)).flatten().cloned().collect();
            let own = Own {
                address: format!("account.{name}"),
                role_address: format!("account.{name}"),
                name: names::account(&[&spec.name, "shared", name]),
                role_name: names::iam(&[&spec.name, "shared", name]),
                policy: spec.shared_policy(name, wanted),
                restricted_to: None,
                pass,
            };
            let role = wanted.role.as_deref();
            let credentials = self.credentials(&group, own, role, wanted.existing.as_deref());
            all.insert(name.clone(), credentials);
        }
        all
    }

    /// Credentials of one workspace.
    pub(crate) fn own_credentials(
        &mut self,
        group: &Group,
        name: &str,
        wanted: &spec::Workspace,
        profiles: &Profiles,
    ) -> Ref<CredentialsId> {
        let spec = self.spec;
        let existing_vpc = spec.vpc_of(wanted).and_then(|vpc| vpc.existing.as_ref());
        let restricted_to = existing_vpc.zip(wanted.security_group.as_ref());
        let own = Own {
            address: name.to_owned(),
            role_address: format!("{name}.databricks"),
            name: names::account(&[&spec.name, name]),
            role_name: names::iam(&[&spec.name, name, "databricks"]),
            policy: spec.policy_of(wanted),
            restricted_to: restricted_to
                .map(|(vpc, group)| RestrictedTo { vpc: vpc.vpc.clone(), group: group.id.clone() }),
            pass: profiles.get(name).cloned().unwrap_or_default(),
        };
        let theirs = &wanted.credentials;
        self.credentials(group, own, theirs.role.as_deref(), theirs.existing.as_deref())
    }

    fn credentials(
        &mut self,
        group: &Group,
        own: Own,
        role: Option<&str>,
        existing: Option<&str>,
    ) -> Ref<CredentialsId> {
        if let Some(id) = existing {
            let id = CredentialsId::from(id);
            let used = self.graph.use_existing::<Credentials>(group, &own.address, &id, Vec::new());
            return used.id();
        }
        let role_arn = match role {
            Some(arn) => Ref::Known(Arn::from(arn)),
            None => {
                let partition = regions::partition(&self.spec.region);
                let root = Arn::from(partition.root_principal.as_str());
                let account = &self.spec.databricks.account;
                let trust = Statement {
                    allow: true,
                    principals: BTreeSet::from([Principal::Aws(Ref::Known(root))]),
                    actions: texts(["sts:AssumeRole"]),
                    conditions: condition("StringEquals", "sts:ExternalId", account),
                    ..Statement::default()
                };
                let policy = self.role_policy(&own);
                let props = role::Props {
                    name: own.role_name.clone(),
                    description: "Databricks in this account".to_owned(),
                    trust: Policy::new([trust]),
                    inline: BTreeMap::from([("databricks".to_owned(), policy)]),
                    managed: BTreeSet::new(),
                    tags: self.tags(&own.role_address.replace('.', "-")),
                };
                self.graph.add::<Role>(group, &own.role_address, props).out(role::ARN)
            }
        };
        let props = credentials::Props { name: own.name, role_arn };
        self.graph.add::<Credentials>(group, &own.address, props).id()
    }

    fn role_policy(&self, own: &Own) -> Policy {
        let partition = regions::partition(&self.spec.region).arn_partition.as_str();
        let actions = match own.policy {
            RolePolicy::Managed => iam::managed(),
            RolePolicy::Customer => iam::customer(),
            RolePolicy::Restricted => iam::restricted(),
        };
        let mut statements = vec![Statement {
            sid: Some("Compute".to_owned()),
            allow: true,
            actions: actions.into_iter().collect(),
            resources: texts(["*"]),
            ..Statement::default()
        }];
        if let (RolePolicy::Restricted, Some(to)) = (own.policy, &own.restricted_to) {
            statements.extend(iam::RESTRICTED.iter().map(|s| self.scoped(s, partition, to)));
        }
        let spot = format!(
            "arn:{partition}:iam::*:role/aws-service-role/spot.amazonaws.com/\
             AWSServiceRoleForEC2Spot"
        );
        statements.push(Statement {
            sid: Some("SpotRole".to_owned()),
            allow: true,
            actions: texts(["iam:CreateServiceLinkedRole", "iam:PutRolePolicy"]),
            resources: BTreeSet::from([spot]),
            conditions: condition("StringLike", "iam:AWSServiceName", "spot.amazonaws.com"),
            ..Statement::default()
        });
        if !own.pass.is_empty() {
            statements.push(Statement {
                sid: Some("PassNodeRoles".to_owned()),
                allow: true,
                actions: texts(["iam:PassRole"]),
                resources: own.pass.clone(),
                ..Statement::default()
            });
        }
        Policy::new(statements)
    }

    fn scoped(
        &self,
        statement: &iam::ScopedStatement,
        partition: &str,
        to: &RestrictedTo,
    ) -> Statement {
        let place = format!("{}:{}", self.spec.region, self.spec.aws.account);
        let resources = statement.resources.iter().map(|resource| match *resource {
            // Images belong to Databricks' account, and their ARNs carry no account.
            "image" => format!("arn:{partition}:ec2:{}:*:image/*", self.spec.region),
            "SG" => format!("arn:{partition}:ec2:{place}:security-group/{}", to.group),
            other => format!("arn:{partition}:ec2:{place}:{other}/*"),
        });
        let resources: BTreeSet<String> = resources.collect();
        let vpc = format!("arn:{partition}:ec2:{place}:vpc/{}", to.vpc);
        let conditions = match statement.scope {
            iam::Scope::Nothing => Conditions::new(),
            iam::Scope::Ec2ResourceTag => {
                condition("StringEquals", "ec2:ResourceTag/Vendor", "Databricks")
            }
            iam::Scope::AwsResourceTag => {
                condition("StringEquals", "aws:ResourceTag/Vendor", "Databricks")
            }
            iam::Scope::RequestTag => {
                condition("StringEquals", "aws:RequestTag/Vendor", "Databricks")
            }
            iam::Scope::Vpc => condition("StringEquals", "ec2:vpc", &vpc),
        };
        let mut scoped = Statement {
            sid: Some(statement.sid.to_owned()),
            allow: true,
            actions: statement.actions.iter().map(|a| format!("ec2:{a}")).collect(),
            conditions,
            ..Statement::default()
        };
        if statement.others {
            scoped.not_resources = resources;
        } else {
            scoped.resources = resources;
        }
        scoped
    }
}

/// Credentials to be made.
struct Own {
    address: String,
    role_address: String,
    name: String,
    role_name: String,
    policy: RolePolicy,
    restricted_to: Option<RestrictedTo>,
    /// ARNs of roles it may pass to nodes.
    pass: BTreeSet<String>,
}
