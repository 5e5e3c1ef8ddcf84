//! Keys of the customer. The spec names those of root buckets only, whose policies nobody reads.

use kinds::aws::bucket::Encryption;

use super::{Broken, Case, Decided, Rule};
use crate::finding::Severity;

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "DBX-KMS-001",
        severity: Severity::Error,
        when: "the policy of the key for managed services does not admit Databricks",
        fix: "allow Databricks' account Encrypt and Decrypt",
        source: "Terraform provider",
        decided: Decided::Language(
            "there are no words for keys that Databricks manages for the customer, nor for key \
             policies",
        ),
    },
    Rule {
        id: "DBX-KMS-002",
        severity: Severity::Error,
        when: "the policy of the key of the root bucket does not admit Databricks",
        fix: "allow Databricks' account Encrypt, Decrypt, ReEncrypt*, GenerateDataKey* and \
              DescribeKey",
        source: "Terraform provider, Security Reference Architecture",
        decided: Decided::Live("GetKeyPolicy of `storage.kms_key`"),
    },
    Rule {
        id: "DBX-KMS-003",
        severity: Severity::Warning,
        when: "the policy of the key of the root bucket has no grants for AWS services",
        fix: "allow CreateGrant, ListGrants and RevokeGrant with `kms:GrantIsForAWSResource`",
        source: "the Terraform provider has it, the Security Reference Architecture does not: \
                 conflict",
        decided: Decided::Live("GetKeyPolicy of `storage.kms_key`"),
    },
    Rule {
        id: "DBX-KMS-004",
        severity: Severity::Error,
        when: "volumes of nodes are encrypted with a key that the role of Databricks may not use",
        fix: "allow the role Decrypt, GenerateDataKey*, CreateGrant and DescribeKey through EC2",
        source: "Terraform provider; AWS_INACCESSIBLE_KMS_KEY_FAILURE",
        decided: Decided::Language("there are no words for keys of volumes"),
    },
    Rule {
        id: "DBX-KMS-005",
        severity: Severity::Error,
        when: "the policy of a key names a role that is not there yet",
        fix: "make the role before",
        source: "field notes",
        decided: Decided::Language(
            "there are no words for keys that Databricks manages for the customer, nor for key \
             policies",
        ),
    },
    Rule {
        id: "DBX-KMS-006",
        severity: Severity::Error,
        when: "the key of the root bucket is of another region, disabled or asymmetric",
        fix: "give a key of the region in `storage.kms_key`",
        source: "the API: AWS_INVALID_KMS_KEY_STATE; whether it is enabled and symmetric cannot be \
                 seen from here",
        decided: Decided::Here(region),
    },
    Rule {
        id: "DBX-KMS-007",
        severity: Severity::Error,
        when: "the storage key of a workspace is exchanged for another",
        fix: "keep the key",
        source: "the API, field notes",
        decided: Decided::Language(
            "there are no words for keys that Databricks manages for the customer, nor for key \
             policies",
        ),
    },
    Rule {
        id: "DBX-KMS-008",
        severity: Severity::Warning,
        when: "the policy of a key admits all customers of Databricks",
        fix: "add the condition `aws:PrincipalTag/DatabricksAccountId`",
        source: "the Security Reference Architecture has it, examples of the Terraform provider do \
                 not",
        decided: Decided::Live("GetKeyPolicy of `storage.kms_key`"),
    },
];

fn region(case: &Case<'_>) -> Vec<Broken> {
    let ours = &case.spec.region;
    let elsewhere = case.made.buckets.iter().filter_map(|(key, bucket)| {
        let Encryption::Kms(arn) = &bucket.encryption else { return None };
        // An id alone is looked up in the region of the bucket.
        let theirs = arn.strip_prefix("arn:")?.split(':').nth(2)?;
        if theirs == ours {
            return None;
        }
        let mut place = case.place(key);
        place.push("kms_key".to_owned());
        let message =
            format!("the key `{arn}` is of {theirs}, and the bucket `{}` of {ours}", bucket.name);
        let fix = format!("give a key of {ours} in `{}`", place.join("."));
        Some(Broken::new(key, place, message).fix(fix).symptom("AWS_INVALID_KMS_KEY_STATE"))
    });
    elsewhere.collect()
}
