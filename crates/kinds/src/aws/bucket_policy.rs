//! The policy of one bucket.
//!
//! API: PutBucketPolicy, GetBucketPolicy, DeleteBucketPolicy.

use ::aws::{Aws, Named};
use cloud::{Class, Error, Result};
use engine::{Diff, Found, Kind, Ref, Wanted};
use futures::FutureExt;
use serde::{Deserialize, Serialize};

use super::STACK_TAG;
use super::bucket::{BucketName, setting, tags};
use super::single::side_by_side;
use crate::policy::Policy;

pub struct BucketPolicy;

engine::id!(
    /// The name of the bucket the policy belongs to.
    BucketPolicyId
);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Props {
    pub bucket: Ref<BucketName>,
    pub policy: Policy,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    pub bucket: BucketName,
    pub policy: Policy,
}

impl Kind for BucketPolicy {
    const NAME: &'static str = "aws.bucket_policy";
    const SERVICE: &'static str = "s3";
    const UNIQUE: bool = true;

    type Cloud = Aws;
    type Id = BucketPolicyId;
    type Props = Props;
    type Seen = Seen;

    fn diff(want: &Props, have: &Seen) -> Diff {
        let Props { bucket, policy } = want;
        Diff::default().replace("bucket", bucket, &have.bucket).update(
            "policy",
            policy,
            &have.policy,
        )
    }

    async fn read(cloud: &Aws, ids: &[BucketPolicyId]) -> Result<Vec<Option<Seen>>> {
        let see = |id: &BucketPolicyId| {
            let bucket = BucketName(id.0.clone());
            async move {
                let policy = get(cloud, &bucket.0).await?;
                Ok(policy.map(|policy| Seen { bucket, policy }))
            }
            .boxed()
        };
        side_by_side(ids.iter().map(see).collect()).await
    }

    /// A policy carries no mark. It is ours if it says what we would say, or if its bucket is ours.
    async fn find(
        cloud: &Aws,
        stack: &str,
        wanted: &[Wanted<Props>],
    ) -> Result<Vec<Vec<Found<BucketPolicyId>>>> {
        let candidate = |wanted: &Wanted<Props>| {
            let props = wanted.props.clone();
            async move {
                let bucket = props.bucket.get()?;
                let Some(policy) = get(cloud, &bucket.0).await? else { return Ok(Vec::new()) };
                let ours = policy == props.policy || {
                    let tags = tags(cloud, &bucket.0, None).await?;
                    tags.get(STACK_TAG).is_some_and(|of| of == stack)
                };
                let id = BucketPolicyId(bucket.0.clone());
                Ok(vec![if ours { Found::Ours(id) } else { Found::Foreign(id) }])
            }
            .boxed()
        };
        side_by_side(wanted.iter().map(candidate).collect()).await
    }

    async fn create(cloud: &Aws, props: &Props) -> Result<BucketPolicyId> {
        let bucket = props.bucket.get()?;
        put(cloud, &bucket.0, &props.policy).await?;
        Ok(BucketPolicyId(bucket.0.clone()))
    }

    async fn update(cloud: &Aws, id: &BucketPolicyId, props: &Props, _diff: &Diff) -> Result<()> {
        put(cloud, &id.0, &props.policy).await
    }

    async fn delete(cloud: &Aws, id: &BucketPolicyId) -> Result<()> {
        let call = cloud.s3.delete_bucket_policy().bucket(&id.0);
        call.send().await.named("s3:DeleteBucketPolicy").map(drop)
    }
}

async fn get(cloud: &Aws, bucket: &str) -> Result<Option<Policy>> {
    let answer = cloud.s3.get_bucket_policy().bucket(bucket).send().await;
    let answer = match setting(answer.named("s3:GetBucketPolicy"), "NoSuchBucketPolicy") {
        // Without the bucket there is no policy either.
        Err(Error { class: Class::NotFound, .. }) => return Ok(None),
        answer => answer?,
    };
    let document = answer.and_then(|answer| answer.policy);
    document.map(|document| Policy::from_json(&document)).transpose()
}

async fn put(cloud: &Aws, bucket: &str, policy: &Policy) -> Result<()> {
    let call = cloud.s3.put_bucket_policy().bucket(bucket).policy(policy.to_json()?);
    call.send().await.named("s3:PutBucketPolicy").map(drop)
}
