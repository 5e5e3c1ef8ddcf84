//! A public IPv4 address that stays the same.

use std::collections::BTreeMap;

use ::aws::ec2::types;
use ::aws::ec2::types::{DomainType, ResourceType};
use ::aws::{Aws, Named};
use cloud::Result;
use engine::{Diff, Found, Kind, Mark, Out, Scope, Wanted};
use serde::{Deserialize, Serialize};

use crate::Tags;

engine::id! {
    /// `eipalloc-…`
    AllocationId,
}

/// `aws.elastic_ip`
pub struct ElasticIp;

/// The address itself, for allow lists.
pub const PUBLIC_IP: Out<ElasticIp, String> = Out::field("public_ip");

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Props {
    pub tags: Tags,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    pub tags: Tags,
    pub public_ip: String,
}

impl Kind for ElasticIp {
    const NAME: &'static str = "aws.elastic_ip";
    const SERVICE: &'static str = "ec2";

    type Cloud = Aws;
    type Id = AllocationId;
    type Props = Props;
    type Seen = Seen;

    fn mark(props: &mut Props, mark: &Mark) {
        super::put_mark(&mut props.tags, mark);
    }

    fn diff(want: &Props, have: &Seen) -> Diff {
        let Props { tags } = want;
        Diff::default().update("tags", tags, &have.tags)
    }

    async fn read(cloud: &Aws, ids: &[AllocationId]) -> Result<Vec<Option<Seen>>> {
        let mut all = BTreeMap::new();
        for filters in super::filters("allocation-id", ids) {
            for address in describe(cloud, filters).await? {
                all.extend(seen(&address));
            }
        }
        Ok(super::in_order(ids, all))
    }

    async fn find(
        cloud: &Aws,
        stack: &str,
        wanted: &[Wanted<Props>],
    ) -> Result<Vec<Vec<Found<AllocationId>>>> {
        let all = describe(cloud, super::of_stack(stack)).await?;
        Ok(super::by_mark(stack, wanted, all.iter().map(|a| (a.allocation_id(), a.tags()))))
    }

    async fn create(cloud: &Aws, props: &Props) -> Result<AllocationId> {
        let tags = super::birth_tags(ResourceType::ElasticIp, &props.tags);
        let call = cloud.ec2.allocate_address().domain(DomainType::Vpc).tag_specifications(tags);
        let answer = call.send().await.named("ec2:AllocateAddress")?;
        Ok(AllocationId(super::sent("ec2:AllocateAddress", "allocationId", answer.allocation_id)?))
    }

    async fn update(cloud: &Aws, id: &AllocationId, props: &Props, diff: &Diff) -> Result<()> {
        super::update_tags(cloud, id, &props.tags, diff).await
    }

    async fn delete(cloud: &Aws, id: &AllocationId) -> Result<()> {
        let call = cloud.ec2.release_address().allocation_id(&id.0);
        call.send().await.named("ec2:ReleaseAddress")?;
        Ok(())
    }

    /// Addresses lie in no VPC.
    async fn list(cloud: &Aws, scope: &Scope) -> Result<Vec<(AllocationId, Seen)>> {
        if matches!(scope, Scope::Within(_)) {
            return Ok(Vec::new());
        }
        let all = describe(cloud, super::of_scope(scope, "")).await?;
        let all = all.iter().filter_map(seen);
        let nowhere = super::vpc::VpcId::from("");
        Ok(all.filter(|(_, s)| super::in_scope(scope, &nowhere, &s.tags)).collect())
    }
}

/// The one listing of EC2 that has no pages.
async fn describe(cloud: &Aws, filters: Vec<types::Filter>) -> Result<Vec<types::Address>> {
    let call = cloud.ec2.describe_addresses().set_filters(Some(filters));
    let answer = call.send().await.named("ec2:DescribeAddresses")?;
    Ok(answer.addresses.unwrap_or_default())
}

/// `None` for the addresses of EC2-Classic, which have no allocation.
fn seen(address: &types::Address) -> Option<(AllocationId, Seen)> {
    let tags = super::tags(address.tags());
    let public_ip = address.public_ip().unwrap_or_default().to_owned();
    Some((address.allocation_id()?.into(), Seen { tags, public_ip }))
}
