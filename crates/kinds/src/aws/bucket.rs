//! An S3 bucket and its settings. Its policy is a kind of its own, because others contribute to it.
//!
//! API: CreateBucket, ListBuckets, HeadBucket, Get/Put of encryption, versioning, public access block,
//! ownership controls and tagging, DeleteBucket.

use ::aws::s3::types::{
    BucketLocationConstraint, BucketVersioningStatus, CreateBucketConfiguration, Delete,
    ObjectIdentifier, ObjectOwnership, OwnershipControls, OwnershipControlsRule,
    PublicAccessBlockConfiguration, ServerSideEncryption, ServerSideEncryptionByDefault,
    ServerSideEncryptionConfiguration, ServerSideEncryptionRule, Tag, Tagging,
    VersioningConfiguration,
};
use ::aws::{Aws, Named};
use cloud::{Class, Error, Result};
use engine::{Diff, Found, Kind, Mark, Wanted};
use futures::FutureExt;
use futures::future::try_join5;
use serde::{Deserialize, Serialize};

use super::single::side_by_side;
use super::{is_for, without_platform};
use crate::Tags;

/// The region whose buckets have no location constraint.
const FIRST_REGION: &str = "us-east-1";

pub struct Bucket;

engine::id!(
    /// The name of a bucket, unique in the AWS partition.
    BucketName
);

/// How objects are encrypted at rest unless their writer says otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encryption {
    /// With keys of S3.
    Aes256,
    /// With the KMS key of that ARN or id, through a bucket key.
    Kms(String),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Props {
    /// 3–63 characters.
    pub name: String,
    pub region: String,
    pub encryption: Encryption,
    pub versioning: bool,
    /// All four settings of the public access block, or none.
    pub block_public_access: bool,
    /// `BucketOwnerPreferred` or `BucketOwnerEnforced`.
    pub ownership: String,
    pub tags: Tags,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    pub name: String,
    pub region: String,
    /// `None`: no default encryption, or one of another sort.
    pub encryption: Option<Encryption>,
    pub versioning: bool,
    /// Whether all four settings are on.
    pub block_public_access: bool,
    pub ownership: Option<String>,
    pub tags: Tags,
}

impl Kind for Bucket {
    const NAME: &'static str = "aws.bucket";
    const SERVICE: &'static str = "s3";
    const PRECIOUS: bool = true;
    const UNIQUE: bool = true;

    type Cloud = Aws;
    type Id = BucketName;
    type Props = Props;
    type Seen = Seen;

    fn mark(props: &mut Props, mark: &Mark) {
        super::put_mark(&mut props.tags, mark);
    }

    fn diff(want: &Props, have: &Seen) -> Diff {
        let Props { name, region, encryption, versioning, block_public_access, ownership, tags } =
            want;
        Diff::default()
            .replace("name", name, &have.name)
            .refusal(
                "a bucket cannot be renamed",
                "put its name back, or make another workspace with that bucket",
            )
            .replace("region", region, &have.region)
            .refusal(
                "a bucket stays in its region",
                "put the region back, or make another stack there",
            )
            .update("encryption", encryption, &have.encryption)
            .update("versioning", versioning, &have.versioning)
            .update("block_public_access", block_public_access, &have.block_public_access)
            .update("ownership", ownership, &have.ownership)
            .update("tags", tags, &have.tags)
    }

    fn reborn(want: &Props, last: &Seen) -> Vec<(&'static str, String)> {
        if want.name != last.name {
            return Vec::new();
        }
        vec![("id", last.name.clone())]
    }

    async fn read(cloud: &Aws, ids: &[BucketName]) -> Result<Vec<Option<Seen>>> {
        side_by_side(ids.iter().map(|id| see(cloud, &id.0).boxed()).collect()).await
    }

    /// By name and mark. The name alone says nothing: anybody may take it first, in any account, so
    /// S3 is also told whose bucket we expect.
    async fn find(
        cloud: &Aws,
        stack: &str,
        wanted: &[Wanted<Props>],
    ) -> Result<Vec<Vec<Found<BucketName>>>> {
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let account = cloud.identity().await?.account;
        let candidate = |wanted: &Wanted<Props>| {
            let (name, address) = (wanted.props.name.clone(), wanted.address.clone());
            let account = account.clone();
            async move {
                let tags = match tags(cloud, &name, Some(&account)).await {
                    Ok(tags) => tags,
                    Err(error) if error.class == Class::NotFound => return Ok(Vec::new()),
                    // It exists, but it is somebody else's or lives elsewhere.
                    Err(error) if is_elsewhere(&error) => Tags::new(),
                    Err(error) => return Err(error),
                };
                let id = BucketName(name);
                let ours = is_for(&tags, stack, address.as_str());
                Ok(vec![if ours { Found::Ours(id) } else { Found::Foreign(id) }])
            }
            .boxed()
        };
        side_by_side(wanted.iter().map(candidate).collect()).await
    }

    /// With its tags, so that there is no moment at which it is ours and does not say so.
    async fn create(cloud: &Aws, props: &Props) -> Result<BucketName> {
        let (action, name) = ("s3:CreateBucket", props.name.as_str());
        let tags = sdk_tags(action, &props.tags)?;
        let mut configuration = CreateBucketConfiguration::builder().set_tags(Some(tags));
        if props.region == FIRST_REGION {
            // Here alone S3 says yes to making a bucket that we own already.
            let there = cloud.s3.head_bucket().bucket(name).send().await.named("s3:HeadBucket");
            if there.is_ok() {
                let message = format!("the bucket {name} exists");
                return Err(Error::new(Class::AlreadyExists, action, message));
            }
        } else {
            let region = BucketLocationConstraint::from(props.region.as_str());
            configuration = configuration.location_constraint(region);
        }
        let call = cloud.s3.create_bucket().bucket(name);
        let call = call.create_bucket_configuration(configuration.build());
        let answer = call.send().await.named(action)?;
        // Any page with status 200 looks like a yes.
        super::sent(action, "Location", answer.location)?;
        Ok(BucketName(props.name.clone()))
    }

    async fn update(cloud: &Aws, id: &BucketName, props: &Props, diff: &Diff) -> Result<()> {
        let (s3, name) = (&cloud.s3, id.0.as_str());
        if diff.has("block_public_access") {
            let on = props.block_public_access;
            let block = PublicAccessBlockConfiguration::builder()
                .block_public_acls(on)
                .ignore_public_acls(on)
                .block_public_policy(on)
                .restrict_public_buckets(on)
                .build();
            let call = s3.put_public_access_block().bucket(name);
            let call = call.public_access_block_configuration(block);
            call.send().await.named("s3:PutPublicAccessBlock")?;
        }
        if diff.has("ownership") {
            let action = "s3:PutBucketOwnershipControls";
            let ownership = ObjectOwnership::from(props.ownership.as_str());
            let rule = OwnershipControlsRule::builder().object_ownership(ownership).build();
            let controls = OwnershipControls::builder().rules(rule.named(action)?).build();
            let call = s3.put_bucket_ownership_controls().bucket(name);
            let call = call.ownership_controls(controls.named(action)?);
            call.send().await.named(action)?;
        }
        if diff.has("encryption") {
            let action = "s3:PutBucketEncryption";
            let call = s3.put_bucket_encryption().bucket(name);
            let call = call
                .server_side_encryption_configuration(sdk_encryption(action, &props.encryption)?);
            call.send().await.named(action)?;
        }
        if diff.has("versioning") {
            let status = match props.versioning {
                true => BucketVersioningStatus::Enabled,
                false => BucketVersioningStatus::Suspended,
            };
            let call = s3.put_bucket_versioning().bucket(name);
            let versioning = VersioningConfiguration::builder().status(status).build();
            let call = call.versioning_configuration(versioning);
            call.send().await.named("s3:PutBucketVersioning")?;
        }
        if diff.has("tags") {
            put_tags(cloud, name, &props.tags).await?;
        }
        Ok(())
    }

    /// A thousand objects, versions and delete markers at a time: as many as one call takes.
    async fn empty(cloud: &Aws, id: &BucketName) -> Result<bool> {
        let call = cloud.s3.list_object_versions().bucket(&id.0).send();
        let page = call.await.named("s3:ListObjectVersions")?;
        let versions = page.versions().iter().map(|v| (v.key(), v.version_id()));
        let markers = page.delete_markers().iter().map(|m| (m.key(), m.version_id()));
        let action = "s3:DeleteObjects";
        let mut all = Vec::new();
        for (key, version) in versions.chain(markers) {
            let object = ObjectIdentifier::builder().set_key(key.map(str::to_owned));
            let object = object.set_version_id(version.map(str::to_owned)).build();
            all.push(object.named(action)?);
        }
        if all.is_empty() {
            return Ok(false);
        }
        let objects = Delete::builder().set_objects(Some(all)).quiet(true).build().named(action)?;
        let call = cloud.s3.delete_objects().bucket(&id.0).delete(objects);
        let answer = call.send().await.named(action)?;
        match answer.errors().first() {
            None => Ok(true),
            Some(error) => {
                let [key, why] = [error.key(), error.message()].map(Option::unwrap_or_default);
                let message = format!("`{key}` cannot be deleted: {why}");
                Err(Error::new(Class::Denied, action, message))
            }
        }
    }

    async fn delete(cloud: &Aws, id: &BucketName) -> Result<()> {
        cloud.s3.delete_bucket().bucket(&id.0).send().await.named("s3:DeleteBucket").map(drop)
    }
}

/// How S3 says that a bucket is another account's (403) or another region's.
fn is_elsewhere(error: &Error) -> bool {
    let region = error.code.as_deref() == Some("AuthorizationHeaderMalformed");
    region || matches!(error.status, Some(301 | 307 | 403))
}

async fn see(cloud: &Aws, name: &str) -> Result<Option<Seen>> {
    let all = try_join5(
        region(cloud, name),
        encryption(cloud, name),
        versioning(cloud, name),
        async {
            let blocked = blocks_public_access(cloud, name).await?;
            Ok((blocked, ownership(cloud, name).await?))
        },
        tags(cloud, name, None),
    );
    match all.await {
        Ok((region, encryption, versioning, (block_public_access, ownership), tags)) => {
            Ok(Some(Seen {
                name: name.to_owned(),
                region,
                encryption,
                versioning,
                block_public_access,
                ownership,
                tags,
            }))
        }
        Err(error) if error.class == Class::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

async fn region(cloud: &Aws, name: &str) -> Result<String> {
    let call = cloud.s3.get_bucket_location().bucket(name);
    let answer = call.send().await.named("s3:GetBucketLocation")?;
    Ok(match answer.location_constraint().map(BucketLocationConstraint::as_str) {
        None | Some("") => FIRST_REGION.to_owned(),
        Some("EU") => "eu-west-1".to_owned(),
        Some(region) => region.to_owned(),
    })
}

async fn encryption(cloud: &Aws, name: &str) -> Result<Option<Encryption>> {
    let call = cloud.s3.get_bucket_encryption().bucket(name);
    let answer = call.send().await.named("s3:GetBucketEncryption");
    let answer = setting(answer, "ServerSideEncryptionConfigurationNotFoundError")?;
    let rules = answer.and_then(|answer| answer.server_side_encryption_configuration);
    let rule = rules.as_ref().and_then(|rules| rules.rules().first());
    Ok(rule.and_then(|rule| {
        let default = rule.apply_server_side_encryption_by_default()?;
        match default.sse_algorithm() {
            ServerSideEncryption::Aes256 => Some(Encryption::Aes256),
            // Without a bucket key every object costs a call to KMS: not what we set.
            ServerSideEncryption::AwsKms if rule.bucket_key_enabled() == Some(true) => {
                default.kms_master_key_id().map(|key| Encryption::Kms(key.to_owned()))
            }
            _ => None,
        }
    }))
}

async fn versioning(cloud: &Aws, name: &str) -> Result<bool> {
    let call = cloud.s3.get_bucket_versioning().bucket(name);
    let answer = call.send().await.named("s3:GetBucketVersioning")?;
    Ok(answer.status() == Some(&BucketVersioningStatus::Enabled))
}

async fn blocks_public_access(cloud: &Aws, name: &str) -> Result<bool> {
    let call = cloud.s3.get_public_access_block().bucket(name);
    let answer = call.send().await.named("s3:GetPublicAccessBlock");
    let answer = setting(answer, "NoSuchPublicAccessBlockConfiguration")?;
    let block = answer.and_then(|answer| answer.public_access_block_configuration);
    Ok(block.is_some_and(|block| {
        [
            block.block_public_acls(),
            block.ignore_public_acls(),
            block.block_public_policy(),
            block.restrict_public_buckets(),
        ]
        .iter()
        .all(|on| *on == Some(true))
    }))
}

async fn ownership(cloud: &Aws, name: &str) -> Result<Option<String>> {
    let call = cloud.s3.get_bucket_ownership_controls().bucket(name);
    let answer = call.send().await.named("s3:GetBucketOwnershipControls");
    let answer = setting(answer, "OwnershipControlsNotFoundError")?;
    let controls = answer.and_then(|answer| answer.ownership_controls);
    let rule = controls.as_ref().and_then(|controls| controls.rules().first());
    Ok(rule.map(|rule| rule.object_ownership().as_str().to_owned()))
}

/// All tags of a bucket; an error if `owner` is given and the bucket is another account's.
pub(super) async fn tags(cloud: &Aws, name: &str, owner: Option<&str>) -> Result<Tags> {
    let call = cloud.s3.get_bucket_tagging().bucket(name);
    let call = call.set_expected_bucket_owner(owner.map(str::to_owned));
    let answer = call.send().await.named("s3:GetBucketTagging");
    let tags = setting(answer, "NoSuchTagSet")?.map(|answer| answer.tag_set).unwrap_or_default();
    Ok(without_platform(tags.into_iter().map(|tag| (tag.key, tag.value))))
}

async fn put_tags(cloud: &Aws, name: &str, tags: &Tags) -> Result<()> {
    if tags.is_empty() {
        let call = cloud.s3.delete_bucket_tagging().bucket(name);
        return call.send().await.named("s3:DeleteBucketTagging").map(drop);
    }
    let action = "s3:PutBucketTagging";
    let tagging = Tagging::builder().set_tag_set(Some(sdk_tags(action, tags)?)).build();
    let call = cloud.s3.put_bucket_tagging().bucket(name).tagging(tagging.named(action)?);
    call.send().await.named(action).map(drop)
}

fn sdk_tags(call: &str, tags: &Tags) -> Result<Vec<Tag>> {
    let tag = |(key, value)| Tag::builder().key(key).value(value).build().named(call);
    tags.iter().map(tag).collect()
}

fn sdk_encryption(call: &str, want: &Encryption) -> Result<ServerSideEncryptionConfiguration> {
    let (algorithm, key) = match want {
        Encryption::Aes256 => (ServerSideEncryption::Aes256, None),
        Encryption::Kms(key) => (ServerSideEncryption::AwsKms, Some(key.clone())),
    };
    let rule = ServerSideEncryptionRule::builder().bucket_key_enabled(key.is_some());
    let default = ServerSideEncryptionByDefault::builder()
        .sse_algorithm(algorithm)
        .set_kms_master_key_id(key)
        .build()
        .named(call)?;
    let rule = rule.apply_server_side_encryption_by_default(default).build();
    ServerSideEncryptionConfiguration::builder().rules(rule).build().named(call)
}

/// A setting that a bucket may lack, which S3 reports as the error `absent`.
pub(super) fn setting<T>(answer: Result<T>, absent: &str) -> Result<Option<T>> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.code.as_deref() == Some(absent) => Ok(None),
        Err(error) => Err(error),
    }
}
