//! Root buckets, and the role with which Unity Catalog works on them.
//!
//! A bucket or role that is only used is its owner's: its settings are not judged.

use std::collections::{BTreeMap, BTreeSet};

use engine::Ref;
use facts::iam::ROOT_BUCKET;
use facts::limits::STORAGE_CONFIGURATIONS;
use facts::regions;
use kinds::aws::bucket::{self, Encryption};
use kinds::aws::{bucket_policy, role};
use kinds::databricks::storage_configuration as configuration;
use kinds::policy::{Principal, Statement};

use super::grants::{
    about, account, admits_account, allowing, conditions, equals, fits, on, principals,
};
use super::iam::{arn_of, trusts};
use super::look::listed;
use super::made::target;
use super::{Broken, Case, Decided, Rule};
use crate::finding::Severity;

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "DBX-STO-001",
        severity: Severity::Error,
        when: "the root bucket is in another region than the workspace",
        fix: "make the bucket in the region of the workspace",
        source: "Databricks documentation of root buckets",
        decided: Decided::Here(region),
    },
    Rule {
        id: "DBX-STO-002",
        severity: Severity::Error,
        when: "a root bucket has a name that Databricks does not take",
        fix: "use 3 to 63 characters of a-z, 0-9 and hyphen in `storage.bucket`",
        source: "the Terraform provider allows dots, the documentation of Unity Catalog does not: \
                 conflict",
        decided: Decided::Here(bucket_name),
    },
    Rule {
        id: "DBX-STO-003",
        severity: Severity::Warning,
        when: "the root bucket has no default encryption",
        fix: "give it one",
        source: "Security Reference Architecture and examples; the article's templates have none",
        decided: Decided::Language(
            "every bucket that is made is encrypted with keys of S3 or with `storage.kms_key`; the \
             settings of one that is used are its owner's",
        ),
    },
    Rule {
        id: "DBX-STO-004",
        severity: Severity::Warning,
        when: "the root bucket can become public",
        fix: "turn the four settings of its public access block on",
        source: "Security Reference Architecture and examples",
        decided: Decided::Here(public_access_block),
    },
    Rule {
        id: "DBX-STO-005",
        severity: Severity::Warning,
        when: "the root bucket keeps old versions",
        fix: "take `storage.versioning` away",
        source: "Security Reference Architecture, its issue 64; older documentation recommends \
                 versions: conflict",
        decided: Decided::Here(versioning),
    },
    Rule {
        id: "DBX-STO-006",
        severity: Severity::Error,
        when: "the policy of the root bucket does not allow Databricks what it needs",
        fix: "allow the six actions on the bucket and its objects",
        source: "Terraform provider",
        decided: Decided::Here(bucket_policy),
    },
    Rule {
        id: "DBX-STO-007",
        severity: Severity::Warning,
        when: "the policy of the root bucket admits all customers of Databricks",
        fix: "add the condition `aws:PrincipalTag/DatabricksAccountId`",
        source: "Terraform provider, templates of the article",
        decided: Decided::Here(any_customer),
    },
    Rule {
        id: "DBX-STO-008",
        severity: Severity::Warning,
        when: "Unity Catalog keeps data in the root bucket, and nothing keeps DBFS out of it",
        fix: "deny Databricks' account `unity-catalog/*` in the policy of the bucket",
        source: "templates of the article",
        decided: Decided::Here(catalog_open),
    },
    Rule {
        id: "DBX-STO-009",
        severity: Severity::Error,
        when: "the policy of a bucket is set before or with its public access block",
        fix: "set the policy last",
        source: "Security Reference Architecture",
        decided: Decided::Plan(
            "a bucket is made with all its settings, and its policy refers to it",
        ),
    },
    Rule {
        id: "DBX-STO-010",
        severity: Severity::Error,
        when: "one root bucket serves two storage configurations",
        fix: "give each workspace a root bucket of its own",
        source: "Databricks documentation of root buckets",
        decided: Decided::Here(shared_bucket),
    },
    Rule {
        id: "DBX-STO-011",
        severity: Severity::Error,
        when: "the role of Unity Catalog does not trust Unity Catalog",
        fix: "let the role trust the master role of Unity Catalog",
        source: "constants of the Terraform provider",
        decided: Decided::Here(master_role),
    },
    Rule {
        id: "DBX-STO-012",
        severity: Severity::Error,
        when: "the role of Unity Catalog does not trust itself",
        fix: "let the role trust its own ARN",
        source: "the article, the Terraform provider's issue 2393",
        decided: Decided::Here(self_trust),
    },
    Rule {
        id: "DBX-STO-013",
        severity: Severity::Error,
        when: "the role of Unity Catalog may not assume itself",
        fix: "allow `sts:AssumeRole` on its own ARN",
        source: "Security Reference Architecture, its issue 37: both halves are needed",
        decided: Decided::Here(self_assume),
    },
    Rule {
        id: "DBX-STO-014",
        severity: Severity::Error,
        when: "the role of Unity Catalog asks itself for another external id than Unity Catalog, \
               or for none",
        fix: "ask for the same external id in both",
        source: "Terraform provider, PR 4738, issues 4596 and 4755",
        decided: Decided::Here(self_external_id),
    },
    Rule {
        id: "DBX-STO-015",
        severity: Severity::Error,
        when: "a role is made with a trust policy that names itself",
        fix: "make the role first, and let it trust itself then",
        source: "templates of the article (two steps)",
        decided: Decided::Plan(
            "apply makes such a role without itself in the trust, and adds it then",
        ),
    },
    Rule {
        id: "DBX-STO-016",
        severity: Severity::Error,
        when: "the role of Unity Catalog asks for another external id than its storage credential \
               has",
        fix: "read it from the storage credential",
        source: "Security Reference Architecture; a knowledge base article: the account for \
                 credentials of account admins, else a generated one",
        decided: Decided::Live("the external id in the storage credential of the metastore"),
    },
    Rule {
        id: "DBX-STO-017",
        severity: Severity::Warning,
        when: "a catalog or external location is made right after its role",
        fix: "wait 60 seconds and try again",
        source: "Terraform provider, its issue 3069",
        decided: Decided::Language("there are no words for catalogs and external locations"),
    },
    Rule {
        id: "DBX-STO-018",
        severity: Severity::Error,
        when: "the root bucket is encrypted with a KMS key that the role of Unity Catalog may not \
               use",
        fix: "allow `kms:Decrypt`, `kms:Encrypt` and `kms:GenerateDataKey*` on the key",
        source: "field notes; the policy of the key has to allow it too, which cannot be seen from \
                 here",
        decided: Decided::Here(key_of_role),
    },
    Rule {
        id: "DBX-STO-019",
        severity: Severity::Warning,
        when: "a policy names a KMS key by an alias",
        fix: "give the ARN of the key in `storage.kms_key`",
        source: "AWS: an alias grants nothing in the policy of a role; the policy of the key may \
                 still",
        decided: Decided::Here(alias),
    },
    Rule {
        id: "DBX-STO-020",
        severity: Severity::Error,
        when: "external locations overlap",
        fix: "choose other prefixes",
        source: "rule of Unity Catalog",
        decided: Decided::Language("there are no words for external locations"),
    },
    Rule {
        id: "DBX-STO-021",
        severity: Severity::Error,
        when: "the role of Unity Catalog is of another AWS account than the bucket, whose policy \
               does not admit it",
        fix: "use a role of the same account, or admit it in the policy of the bucket",
        source: "documentation of Unity Catalog",
        decided: Decided::Here(role_elsewhere),
    },
    Rule {
        id: "DBX-STO-022",
        severity: Severity::Warning,
        when: "more than 50 storage configurations",
        fix: "delete those nobody uses, or ask Databricks",
        source: "a limit seen in 2022 (Terraform provider, issue 1586); those of other stacks come \
                 on top",
        decided: Decided::Here(many_configurations),
    },
    Rule {
        id: "DBX-STO-023",
        severity: Severity::Warning,
        when: "file events are on, and the role may not make their queues and topics",
        fix: "allow `csms-*` queues and topics",
        source: "Terraform provider, templates of the article",
        decided: Decided::Language("there are no words for file events"),
    },
    Rule {
        id: "DBX-STO-024",
        severity: Severity::Warning,
        when: "the root bucket is deleted with the workspace",
        fix: "keep the bucket",
        source: "templates of the article, Security Reference Architecture",
        decided: Decided::Plan(
            "a plan that deletes or empties a bucket is refused unless `allow_deletion` and \
             `allow_emptying` name the workspace",
        ),
    },
];

const ASSUME: &str = "sts:AssumeRole";
const TAG: &str = "aws:PrincipalTag/DatabricksAccountId";
const NON_SELF_ASSUMING: &str = "UC_IAM_ROLE_NON_SELF_ASSUMING: The IAM role for this storage \
                                 credential was found to be non self-assuming";
const KEY_DENIED: &str = "AWS IAM role does not have WRITE, DELETE permissions … not authorized \
                          to perform: kms:GenerateDataKey";

/// The same at a field of the storage of the workspace.
fn at(mut broken: Broken, field: &str) -> Broken {
    if broken.place.last().is_some_and(|last| last == "storage") {
        broken.place.push(field.to_owned());
    }
    broken
}

/// A root bucket, and what goes with it.
struct Root<'a> {
    key: &'a str,
    bucket: &'a bucket::Props,
    policy: Option<&'a bucket_policy::Props>,
    configuration: &'a configuration::Props,
}

fn roots<'a>(case: &'a Case<'_>) -> Vec<Root<'a>> {
    let policies = case.made.bucket_policies.values();
    let policies: BTreeMap<&str, _> =
        policies.filter_map(|policy| Some((target(&policy.bucket)?, policy))).collect();
    let root = |configuration: &'a configuration::Props| {
        let (key, bucket) = case.made.buckets.get_key_value(target(&configuration.bucket)?)?;
        let policy = policies.get(key.as_str()).copied();
        Some(Root { key, bucket, policy, configuration })
    };
    case.made.storage.values().filter_map(root).collect()
}

impl Root<'_> {
    fn arn(&self, case: &Case<'_>) -> String {
        let partition = &regions::partition(&case.spec.region).arn_partition;
        format!("arn:{partition}:s3:::{}", self.bucket.name)
    }
}

/// The root buckets for which `wrong` has something to say.
fn each(case: &Case<'_>, wrong: impl Fn(&Root<'_>) -> Option<String>) -> Vec<Broken> {
    let roots = roots(case);
    roots.iter().filter_map(|root| Some(case.broken(root.key, wrong(root)?))).collect()
}

fn region(case: &Case<'_>) -> Vec<Broken> {
    let ours = &case.spec.region;
    each(case, |Root { bucket, .. }| {
        let theirs = &bucket.region;
        let message =
            || format!("the bucket `{}` is in {theirs}, its workspace in {ours}", bucket.name);
        (theirs != ours).then(message)
    })
}

fn bucket_name(case: &Case<'_>) -> Vec<Broken> {
    let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let takes = |name: &str| {
        let ends = [name.bytes().next(), name.bytes().next_back()];
        (3..=63).contains(&name.len())
            && name.bytes().all(|b| letter(b) || b == b'-')
            && ends.into_iter().flatten().all(letter)
    };
    let all = each(case, |Root { bucket, .. }| {
        let name = &bucket.name;
        (!takes(name)).then(|| format!("Databricks takes no root bucket of the name `{name}`"))
    });
    all.into_iter().map(|broken| at(broken, "bucket")).collect()
}

fn public_access_block(case: &Case<'_>) -> Vec<Broken> {
    each(case, |Root { bucket, .. }| {
        let message = || format!("the bucket `{}` can become public", bucket.name);
        (!bucket.block_public_access).then(message)
    })
}

fn versioning(case: &Case<'_>) -> Vec<Broken> {
    let all = each(case, |Root { bucket, .. }| {
        let message = || {
            format!(
                "the bucket `{}` keeps old versions, which pile up and make listing slow",
                bucket.name
            )
        };
        bucket.versioning.then(message)
    });
    let fixed = |broken: Broken| {
        let broken = at(broken, "versioning");
        let fix = format!("set `{}: false`", broken.place.join("."));
        broken.fix(fix)
    };
    all.into_iter().map(fixed).collect()
}

/// Whether a statement is for the Databricks account of the spec, or for all of them.
fn for_us(case: &Case<'_>, statement: &Statement) -> bool {
    let accounts = equals(statement, TAG);
    accounts.is_empty() || accounts.contains(case.spec.databricks.account.as_str())
}

fn bucket_policy(case: &Case<'_>) -> Vec<Broken> {
    let databricks = regions::partition(&case.spec.region).databricks_account_id.as_str();
    each(case, |root| {
        let name = &root.bucket.name;
        let Some(policy) = root.policy else {
            return Some(format!("the bucket `{name}` has no policy, so Databricks cannot use it"));
        };
        let arn = root.arn(case);
        let objects = format!("{arn}/");
        let granted = |action: &&str| {
            let ours = |s: &&Statement| admits_account(s, databricks) && for_us(case, s);
            let whole = matches!(*action, "s3:ListBucket" | "s3:GetBucketLocation");
            // Writing may be restricted to the folders of the workspace.
            let fits_resource = |s: &Statement| match whole {
                true => on(s, &arn),
                false => {
                    on(s, &format!("{objects}*"))
                        || s.resources.iter().any(|r| r.starts_with(&objects))
                }
            };
            allowing([&policy.policy], action).filter(ours).any(fits_resource)
        };
        let missing: Vec<&str> =
            ROOT_BUCKET.into_iter().filter(|action| !granted(action)).collect();
        (!missing.is_empty()).then(|| {
            format!(
                "the policy of the bucket `{name}` does not allow Databricks {}",
                listed(missing)
            )
        })
    })
}

fn any_customer(case: &Case<'_>) -> Vec<Broken> {
    let databricks = regions::partition(&case.spec.region).databricks_account_id.as_str();
    each(case, |root| {
        let statements = &root.policy?.policy.statements;
        let open =
            |s: &Statement| s.allow && admits_account(s, databricks) && equals(s, TAG).is_empty();
        let name = &root.bucket.name;
        statements.iter().any(open).then(|| {
            format!("the policy of the bucket `{name}` admits every customer of Databricks")
        })
    })
}

fn catalog_open(case: &Case<'_>) -> Vec<Broken> {
    let databricks = regions::partition(&case.spec.region).databricks_account_id.as_str();
    each(case, |root| {
        root.configuration.role_arn.as_ref()?;
        let statements = &root.policy?.policy.statements;
        let catalog = format!("{}/unity-catalog/*", root.arn(case));
        let keeps_out = |s: &Statement| {
            let who = admits_account(s, databricks) || s.principals.contains(&Principal::Anyone);
            // A denial under a condition, such as plain HTTP, leaves the rest open.
            !s.allow
                && who
                && s.conditions.is_empty()
                && about(s, "s3:GetObject")
                && on(s, &catalog)
        };
        let name = &root.bucket.name;
        (!statements.iter().any(keeps_out))
            .then(|| format!("nothing keeps DBFS out of `unity-catalog/` in the bucket `{name}`"))
    })
}

fn shared_bucket(case: &Case<'_>) -> Vec<Broken> {
    let mut users: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (key, configuration) in &case.made.storage {
        let bucket = match &configuration.bucket {
            Ref::Known(name) => name.to_string(),
            Ref::Output(output) => output.address.to_string(),
        };
        users.entry(bucket).or_default().push(key);
    }
    let shared = users.into_iter().filter(|(_, keys)| keys.len() > 1);
    let told = |(bucket, keys): (String, Vec<&str>)| {
        let message = format!("the bucket `{bucket}` serves {}", listed(keys.iter().copied()));
        Some(case.broken(keys.last()?, message))
    };
    shared.filter_map(told).collect()
}

/// A role with which Unity Catalog works on a root bucket.
struct Catalog<'a> {
    key: &'a str,
    role: &'a role::Props,
    bucket: Option<&'a bucket::Props>,
    /// Its own ARN.
    arn: String,
}

fn catalogs<'a>(case: &'a Case<'_>) -> Vec<Catalog<'a>> {
    let catalog = |configuration: &'a configuration::Props| {
        let role = target(configuration.role_arn.as_ref()?)?;
        let (key, role) = case.made.roles.get_key_value(role)?;
        let bucket = target(&configuration.bucket).and_then(|key| case.made.buckets.get(key));
        Some(Catalog { key, role, bucket, arn: arn_of(case, role) })
    };
    case.made.storage.values().filter_map(catalog).collect()
}

impl Catalog<'_> {
    fn trusts_master<'s>(&'s self, case: &Case<'_>) -> impl Iterator<Item = &'s Statement> {
        let master = &regions::partition(&case.spec.region).uc_master_role_arn;
        trusts(self.role).filter(move |s| principals(s).any(|p| p == master))
    }

    /// By its ARN, or as a role of its account on the condition that it is the one.
    fn trusts_itself<'s>(&'s self, case: &'s Case<'_>) -> impl Iterator<Item = &'s Statement> {
        trusts(self.role).filter(move |s| {
            let named = principals(s).any(|p| p == self.arn);
            let one_of = || conditions(s, "aws:PrincipalArn").iter().any(|p| fits(p, &self.arn));
            named || (admits_account(s, &case.spec.aws.account) && one_of())
        })
    }
}

fn master_role(case: &Case<'_>) -> Vec<Broken> {
    let master = &regions::partition(&case.spec.region).uc_master_role_arn;
    let catalogs = catalogs(case);
    let wrong = catalogs.iter().filter(|catalog| catalog.trusts_master(case).next().is_none());
    wrong
        .map(|Catalog { key, role, .. }| {
            case.broken(key, format!("the role `{}` does not trust Unity Catalog", role.name))
                .fix(format!("let the role trust `{master}`"))
        })
        .collect()
}

fn self_trust(case: &Case<'_>) -> Vec<Broken> {
    let catalogs = catalogs(case);
    let wrong = catalogs.iter().filter(|catalog| catalog.trusts_itself(case).next().is_none());
    wrong
        .map(|Catalog { key, role, arn, .. }| {
            case.broken(key, format!("the role `{}` does not trust itself", role.name))
                .fix(format!("let the role trust `{arn}`"))
                .symptom(NON_SELF_ASSUMING)
        })
        .collect()
}

fn self_assume(case: &Case<'_>) -> Vec<Broken> {
    let catalogs = catalogs(case);
    let wrong = catalogs.iter().filter(|Catalog { role, arn, .. }| {
        role.managed.is_empty() && !allowing(role.inline.values(), ASSUME).any(|s| on(s, arn))
    });
    wrong
        .map(|Catalog { key, role, arn, .. }| {
            case.broken(key, format!("the role `{}` may not assume itself", role.name))
                .fix(format!("allow `{ASSUME}` on `{arn}`"))
                .symptom(NON_SELF_ASSUMING)
        })
        .collect()
}

fn self_external_id(case: &Case<'_>) -> Vec<Broken> {
    const KEY: &str = "sts:ExternalId";
    let catalogs = catalogs(case);
    let wrong = catalogs.iter().filter_map(|catalog| {
        // Without that, no id is the right one.
        catalog.trusts_master(case).next()?;
        let wanted: BTreeSet<&str> =
            catalog.trusts_master(case).flat_map(|s| equals(s, KEY)).collect();
        let strays = |s: &&Statement| equals(s, KEY).is_empty() || equals(s, KEY) != wanted;
        let stray = equals(catalog.trusts_itself(case).find(strays)?, KEY);
        let role = &catalog.role.name;
        let message = match (stray.is_empty(), wanted.is_empty()) {
            (true, _) => format!("the role `{role}` asks itself for no external id"),
            (false, true) => {
                format!(
                    "the role `{role}` asks itself for an external id, and Unity Catalog for none"
                )
            }
            (false, false) => format!(
                "the role `{role}` asks itself for the external id {}, and Unity Catalog for {}",
                listed(stray),
                listed(wanted)
            ),
        };
        Some(case.broken(catalog.key, message).symptom(NON_SELF_ASSUMING))
    });
    wrong.collect()
}

/// Whether a resource of a policy stands for a key that is named by ARN or by id.
fn is_key(resource: &str, key: &str) -> bool {
    fits(resource, key) && (resource == "*" || resource.starts_with("arn:"))
        || resource.strip_suffix(key).is_some_and(|start| start.ends_with(":key/"))
}

fn key_of_role(case: &Case<'_>) -> Vec<Broken> {
    const NEEDED: [&str; 3] = ["kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey"];
    let catalogs = catalogs(case);
    let wrong = catalogs.iter().filter_map(|Catalog { key: at, role, bucket, .. }| {
        let Encryption::Kms(key) = &(*bucket)?.encryption else { return None };
        if !role.managed.is_empty() {
            return None;
        }
        let may = |action: &&str| {
            let mut allowing = allowing(role.inline.values(), action);
            allowing.any(|s| s.resources.iter().any(|r| is_key(r, key)))
        };
        let missing: Vec<&str> = NEEDED.into_iter().filter(|action| !may(action)).collect();
        if missing.is_empty() {
            return None;
        }
        let message =
            format!("the role `{}` lacks {} on the key `{key}`", role.name, listed(missing));
        let broken = case.broken(at, message).symptom(KEY_DENIED);
        // A policy names a key by nothing else.
        Some(match key.starts_with("arn:") {
            true => broken.fix(format!("allow the three actions on `{key}`")),
            false => key_by_arn(broken),
        })
    });
    wrong.collect()
}

fn alias(case: &Case<'_>) -> Vec<Broken> {
    let named = case.made.roles.iter().filter_map(|(key, role)| {
        let statements = role.inline.values().flat_map(|policy| &policy.statements);
        let keys = statements.filter(|s| s.actions.iter().any(|a| a.starts_with("kms:")));
        let mut resources = keys.flat_map(|s| &s.resources);
        let alias = resources.find(|r| r.contains(":kms:") && r.contains(":alias/"))?;
        let message = format!(
            "the role `{}` names a key by the alias `{alias}`, which grants nothing there",
            role.name
        );
        Some(key_by_arn(case.broken(key, message)))
    });
    named.collect()
}

/// The same, mended by another way to write the key.
fn key_by_arn(broken: Broken) -> Broken {
    let broken = at(broken, "kms_key");
    let fix = format!("give the ARN of the key in `{}`", broken.place.join("."));
    broken.fix(fix)
}

fn role_elsewhere(case: &Case<'_>) -> Vec<Broken> {
    let ours = case.spec.aws.account.as_str();
    let all = each(case, |root| {
        let Ref::Known(arn) = root.configuration.role_arn.as_ref()? else { return None };
        let theirs = account(&arn.0);
        let admits = |s: &Statement| {
            s.allow && (admits_account(s, theirs) || principals(s).any(|p| p == arn.0))
        };
        let admitted = root.policy.is_some_and(|p| p.policy.statements.iter().any(admits));
        let name = &root.bucket.name;
        (theirs != ours && !admitted).then(|| {
            format!("the policy of `{name}` does not admit `{arn}`, a role of another AWS account")
        })
    });
    all.into_iter().map(|broken| at(broken, "catalog_role")).collect()
}

fn many_configurations(case: &Case<'_>) -> Vec<Broken> {
    let (count, most) = (case.made.storage.len(), STORAGE_CONFIGURATIONS.limit);
    if count <= most as usize {
        return Vec::new();
    }
    let message = format!(
        "this spec makes {count} storage configurations, and accounts took {most} \
         in 2022"
    );
    vec![Broken::new(&case.spec.name, vec!["workspaces".to_owned()], message)]
}
