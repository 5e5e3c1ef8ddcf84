//! Root buckets, and the role with which Unity Catalog works on them.

use std::collections::{BTreeMap, BTreeSet};

use engine::{Address, Group, Handle, Ref};
use facts::{iam, regions};
use kinds::Arn;
use kinds::aws::bucket::{self, Bucket, BucketName, Encryption};
use kinds::aws::bucket_policy::{self, BucketPolicy};
use kinds::aws::role::{self, Role};
use kinds::databricks::storage_configuration::{
    self as configuration, StorageConfiguration, StorageConfigurationId,
};
use kinds::policy::{Policy, Principal, Statement};

use crate::iam::{condition, texts};
use crate::{Builder, expect, names};

impl Builder<'_> {
    /// The storage configuration of a workspace, and what it stands on.
    pub(crate) fn storage(
        &mut self,
        group: &Group,
        name: &str,
        wanted: &spec::Workspace,
        wait: &mut BTreeSet<Address>,
    ) -> Ref<StorageConfigurationId> {
        let storage = &wanted.storage;
        if let Some(id) = &storage.use_configuration {
            let id = id.clone().into();
            let used =
                self.graph.use_existing::<StorageConfiguration>(group, name, &id, Vec::new());
            return used.id();
        }
        let (bucket, bucket_name) = self.bucket(group, name, wanted, wait);
        let role_arn = storage.catalog_role.as_ref().map(|role| match &role.existing {
            Some(arn) => Ref::Known(Arn::from(arn.as_str())),
            None => {
                let role = self.catalog_role(group, name, &bucket_name, storage);
                role.out(role::ARN)
            }
        });
        let props = configuration::Props {
            name: names::account(&[&self.spec.name, name]),
            bucket: bucket.id(),
            role_arn,
        };
        self.graph.add::<StorageConfiguration>(group, name, props).id()
    }

    fn bucket(
        &mut self,
        group: &Group,
        name: &str,
        wanted: &spec::Workspace,
        wait: &mut BTreeSet<Address>,
    ) -> (Handle<Bucket>, String) {
        let storage = &wanted.storage;
        if let Some(existing) = &storage.existing {
            let region = self.spec.region.as_str();
            let checks =
                vec![expect("region", region, "a root bucket lies where its workspace is")];
            let id = BucketName::from(existing.as_str());
            let bucket = self.graph.use_existing::<Bucket>(group, name, &id, checks);
            return (bucket, existing.clone());
        }
        let bucket_name = self.spec.bucket_of(name, wanted).unwrap_or_default();
        let props = bucket::Props {
            name: bucket_name.clone(),
            region: self.spec.region.clone(),
            encryption: match &storage.kms_key {
                Some(key) => Encryption::Kms(key.clone()),
                None => Encryption::Aes256,
            },
            versioning: storage.versioning,
            block_public_access: true,
            ownership: "BucketOwnerPreferred".to_owned(),
            tags: self.spec.tags.clone(),
        };
        let bucket = self.graph.add::<Bucket>(group, name, props);
        let policy = self.bucket_policy(&bucket_name);
        let props = bucket_policy::Props { bucket: bucket.id(), policy };
        let policy = self.graph.add::<BucketPolicy>(group, name, props);
        wait.insert(policy.address().clone());
        (bucket, bucket_name)
    }

    fn bucket_policy(&self, bucket: &str) -> Policy {
        let partition = regions::partition(&self.spec.region);
        let root = Arn::from(partition.root_principal.as_str());
        let databricks = BTreeSet::from([Principal::Aws(Ref::Known(root))]);
        let arn = self.bucket_arn(bucket);
        let all = BTreeSet::from([arn.clone(), format!("{arn}/*")]);
        let account = self.spec.databricks.account.as_str();
        Policy::new([
            Statement {
                sid: Some("GrantDatabricksAccess".to_owned()),
                allow: true,
                principals: databricks.clone(),
                actions: texts(iam::ROOT_BUCKET),
                resources: all.clone(),
                conditions: condition(
                    "StringEquals",
                    "aws:PrincipalTag/DatabricksAccountId",
                    account,
                ),
                ..Statement::default()
            },
            // Unity Catalog is not affected: it comes with a role of this account.
            Statement {
                sid: Some("KeepDbfsOutOfUnityCatalog".to_owned()),
                principals: databricks,
                actions: texts(["s3:*"]),
                resources: BTreeSet::from([format!("{arn}/unity-catalog/*")]),
                ..Statement::default()
            },
            Statement {
                sid: Some("DenyPlainHttp".to_owned()),
                principals: BTreeSet::from([Principal::Anyone]),
                actions: texts(["s3:*"]),
                resources: all,
                conditions: condition("Bool", "aws:SecureTransport", "false"),
                ..Statement::default()
            },
        ])
    }

    /// Trusted by Unity Catalog and by itself: IAM wants both halves of self-assumption.
    fn catalog_role(
        &mut self,
        group: &Group,
        name: &str,
        bucket: &str,
        storage: &spec::Storage,
    ) -> Handle<Role> {
        let address = format!("{name}.catalog");
        let role_name = names::iam(&[&self.spec.name, name, "catalog"]);
        let role_name = self.role_name(name, &address, role_name);
        let own_arn = self.role_arn(&role_name);
        let master = regions::partition(&self.spec.region).uc_master_role_arn.as_str();
        let principals = [master, &own_arn].map(|arn| Principal::Aws(Ref::Known(Arn::from(arn))));
        let trust = Statement {
            allow: true,
            principals: BTreeSet::from(principals),
            actions: texts(["sts:AssumeRole"]),
            conditions: condition("StringEquals", "sts:ExternalId", &self.spec.databricks.account),
            ..Statement::default()
        };
        let arn = self.bucket_arn(bucket);
        let mut statements = vec![
            Statement {
                sid: Some("Data".to_owned()),
                allow: true,
                actions: texts(iam::CATALOG_BUCKET),
                resources: BTreeSet::from([arn.clone(), format!("{arn}/*")]),
                ..Statement::default()
            },
            Statement {
                sid: Some("AssumeItself".to_owned()),
                allow: true,
                actions: texts(["sts:AssumeRole"]),
                resources: BTreeSet::from([own_arn]),
                ..Statement::default()
            },
        ];
        if let Some(key) = &storage.kms_key {
            statements.push(Statement {
                sid: Some("Key".to_owned()),
                allow: true,
                actions: texts(["kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey*"]),
                resources: BTreeSet::from([key.clone()]),
                ..Statement::default()
            });
        }
        let props = role::Props {
            tags: self.tags(&format!("{name}-catalog")),
            name: role_name,
            description: "Unity Catalog on the root bucket of a workspace".to_owned(),
            trust: Policy::new([trust]),
            inline: BTreeMap::from([("bucket".to_owned(), Policy::new(statements))]),
            managed: BTreeSet::new(),
        };
        self.graph.add::<Role>(group, &address, props)
    }

    fn bucket_arn(&self, bucket: &str) -> String {
        format!("arn:{}:s3:::{bucket}", regions::partition(&self.spec.region).arn_partition)
    }
}
