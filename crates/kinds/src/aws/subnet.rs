//! A subnet of a VPC.

use std::collections::BTreeMap;

use ::aws::ec2::types;
use ::aws::ec2::types::{AttributeBooleanValue, ResourceType};
use ::aws::{Aws, Named};
use cloud::Result;
use engine::{Diff, Found, Kind, Mark, Readiness, Ref, Replace, Wanted};
use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use super::vpc::VpcId;
use crate::Tags;

engine::id! {
    /// `subnet-…`
    SubnetId,
}

/// `aws.subnet`
pub struct Subnet;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Props {
    pub vpc: Ref<VpcId>,
    /// Canonical: no host bits, AWS drops them.
    pub cidr: Ipv4Net,
    /// The zone's name, such as `eu-west-1a`.
    pub zone: String,
    /// Whether instances started here get a public address.
    pub public_ips: bool,
    pub tags: Tags,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    pub vpc: VpcId,
    pub cidr: Ipv4Net,
    pub zone: String,
    pub public_ips: bool,
    pub tags: Tags,
    /// `pending` or `available`.
    pub state: String,
    /// Addresses nobody uses; the platform keeps five of each subnet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free_addresses: Option<u32>,
}

impl Kind for Subnet {
    const NAME: &'static str = "aws.subnet";
    const SERVICE: &'static str = "ec2";
    const REPLACE: Replace = Replace::CreateFirst { name: None };
    const UNIQUE: bool = true;

    type Cloud = Aws;
    type Id = SubnetId;
    type Props = Props;
    type Seen = Seen;

    fn mark(props: &mut Props, mark: &Mark) {
        super::put_mark(&mut props.tags, mark);
    }

    fn diff(want: &Props, have: &Seen) -> Diff {
        let Props { vpc, cidr, zone, public_ips, tags } = want;
        Diff::default()
            .replace("vpc", vpc, &have.vpc)
            .replace("cidr", cidr, &have.cidr)
            .refusal(
                "a subnet keeps its range",
                "choose addresses that the subnets of now do not have (`subnets: { block: … }` or `cidrs`), so that both can exist while the workspace moves",
            )
            .replace("zone", zone, &have.zone)
            .update("public_ips", public_ips, &have.public_ips)
            .update("tags", tags, &have.tags)
    }

    fn collides(want: &Props, have: &Seen) -> bool {
        let inside = |a: &Ipv4Net, b: &Ipv4Net| a.contains(&b.network());
        let overlap = inside(&want.cidr, &have.cidr) || inside(&have.cidr, &want.cidr);
        overlap && matches!(&want.vpc, Ref::Known(vpc) if *vpc == have.vpc)
    }

    fn readiness(seen: &Seen) -> Readiness {
        super::available(&seen.state)
    }

    async fn read(cloud: &Aws, ids: &[SubnetId]) -> Result<Vec<Option<Seen>>> {
        let mut all = BTreeMap::new();
        for filters in super::filters("subnet-id", ids) {
            for subnet in describe(cloud, filters).await? {
                let (id, seen) = seen(&subnet)?;
                all.insert(id, seen);
            }
        }
        Ok(super::in_order(ids, all))
    }

    async fn find(
        cloud: &Aws,
        stack: &str,
        wanted: &[Wanted<Props>],
    ) -> Result<Vec<Vec<Found<SubnetId>>>> {
        let all = describe(cloud, super::of_stack(stack)).await?;
        Ok(super::by_mark(stack, wanted, all.iter().map(|s| (s.subnet_id(), s.tags()))))
    }

    async fn create(cloud: &Aws, props: &Props) -> Result<SubnetId> {
        let call = cloud
            .ec2
            .create_subnet()
            .vpc_id(&props.vpc.get()?.0)
            .cidr_block(props.cidr.to_string())
            .availability_zone(&props.zone)
            .tag_specifications(super::birth_tags(ResourceType::Subnet, &props.tags));
        let answer = call.send().await.named("ec2:CreateSubnet")?;
        let id = answer.subnet.and_then(|subnet| subnet.subnet_id);
        Ok(SubnetId(super::sent("ec2:CreateSubnet", "subnetId", id)?))
    }

    async fn update(cloud: &Aws, id: &SubnetId, props: &Props, diff: &Diff) -> Result<()> {
        if diff.has("public_ips") {
            let value = AttributeBooleanValue::builder().value(props.public_ips).build();
            let call =
                cloud.ec2.modify_subnet_attribute().subnet_id(&id.0).map_public_ip_on_launch(value);
            call.send().await.named("ec2:ModifySubnetAttribute")?;
        }
        super::update_tags(cloud, id, &props.tags, diff).await
    }

    async fn delete(cloud: &Aws, id: &SubnetId) -> Result<()> {
        cloud.ec2.delete_subnet().subnet_id(&id.0).send().await.named("ec2:DeleteSubnet")?;
        Ok(())
    }
}

async fn describe(cloud: &Aws, filters: Vec<types::Filter>) -> Result<Vec<types::Subnet>> {
    let call = cloud.ec2.describe_subnets().set_filters(Some(filters));
    let all: Result<Vec<_>, _> = call.into_paginator().items().send().collect().await;
    all.named("ec2:DescribeSubnets")
}

fn seen(subnet: &types::Subnet) -> Result<(SubnetId, Seen)> {
    let call = "ec2:DescribeSubnets";
    let id = super::sent(call, "subnetId", subnet.subnet_id())?;
    let seen = Seen {
        vpc: super::sent(call, "vpcId", subnet.vpc_id())?.into(),
        cidr: super::block(call, "cidrBlock", subnet.cidr_block())?,
        zone: subnet.availability_zone().unwrap_or_default().to_owned(),
        public_ips: subnet.map_public_ip_on_launch().unwrap_or(false),
        tags: super::tags(subnet.tags()),
        state: subnet.state().map(|s| s.as_str().to_owned()).unwrap_or_default(),
        free_addresses: subnet.available_ip_address_count().and_then(|n| u32::try_from(n).ok()),
    };
    Ok((id.into(), seen))
}
