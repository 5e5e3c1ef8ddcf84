//! A VPC with one IPv4 block.

use ::aws::ec2::types;
use ::aws::ec2::types::{AttributeBooleanValue, ResourceType, VpcAttributeName};
use ::aws::{Aws, Named};
use cloud::{Class, Result};
use engine::{Diff, Found, Kind, Mark, Readiness, Wanted};
use futures::future::try_join_all;
use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use crate::Tags;

engine::id! {
    /// `vpc-…`
    VpcId,
}

/// `aws.vpc`
pub struct Vpc;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Props {
    /// Canonical: no host bits, AWS drops them.
    pub cidr: Ipv4Net,
    pub dns_support: bool,
    pub dns_hostnames: bool,
    pub tags: Tags,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    pub cidr: Ipv4Net,
    pub dns_support: bool,
    pub dns_hostnames: bool,
    pub tags: Tags,
    /// `pending` or `available`.
    pub state: String,
}

impl Kind for Vpc {
    const NAME: &'static str = "aws.vpc";
    const SERVICE: &'static str = "ec2";

    type Cloud = Aws;
    type Id = VpcId;
    type Props = Props;
    type Seen = Seen;

    fn mark(props: &mut Props, mark: &Mark) {
        super::put_mark(&mut props.tags, mark);
    }

    fn diff(want: &Props, have: &Seen) -> Diff {
        let Props { cidr, dns_support, dns_hostnames, tags } = want;
        Diff::default()
            .replace("cidr", cidr, &have.cidr)
            .refusal(
                "a VPC keeps its range",
                "declare another VPC in the spec, move the workspaces there with `vpc`, and take this one away, all in one plan",
            )
            .update("dns_support", dns_support, &have.dns_support)
            .update("dns_hostnames", dns_hostnames, &have.dns_hostnames)
            .update("tags", tags, &have.tags)
    }

    fn readiness(seen: &Seen) -> Readiness {
        super::available(&seen.state)
    }

    /// One call for all of them, and two for each: the DNS settings come by no other way.
    async fn read(cloud: &Aws, ids: &[VpcId]) -> Result<Vec<Option<Seen>>> {
        let mut vpcs = Vec::new();
        for filters in super::filters("vpc-id", ids) {
            vpcs.extend(describe(cloud, filters).await?);
        }
        vpcs.retain(|vpc| vpc.vpc_id().is_some_and(|id| ids.iter().any(|wanted| wanted.0 == id)));
        let seen = try_join_all(vpcs.iter().map(|vpc| seen(cloud, vpc))).await?;
        Ok(super::in_order(ids, seen.into_iter().flatten().collect()))
    }

    async fn find(
        cloud: &Aws,
        stack: &str,
        wanted: &[Wanted<Props>],
    ) -> Result<Vec<Vec<Found<VpcId>>>> {
        let vpcs = describe(cloud, super::of_stack(stack)).await?;
        Ok(super::by_mark(stack, wanted, vpcs.iter().map(|vpc| (vpc.vpc_id(), vpc.tags()))))
    }

    async fn create(cloud: &Aws, props: &Props) -> Result<VpcId> {
        let call = cloud
            .ec2
            .create_vpc()
            .cidr_block(props.cidr.to_string())
            .tag_specifications(super::birth_tags(ResourceType::Vpc, &props.tags));
        let answer = call.send().await.named("ec2:CreateVpc")?;
        let id = answer.vpc.and_then(|vpc| vpc.vpc_id);
        Ok(VpcId(super::sent("ec2:CreateVpc", "vpcId", id)?))
    }

    async fn update(cloud: &Aws, id: &VpcId, props: &Props, diff: &Diff) -> Result<()> {
        let support = async {
            if diff.has("dns_support") {
                let value = AttributeBooleanValue::builder().value(props.dns_support).build();
                let call = cloud.ec2.modify_vpc_attribute().vpc_id(&id.0).enable_dns_support(value);
                call.send().await.named("ec2:ModifyVpcAttribute")?;
            }
            Ok::<_, cloud::Error>(())
        };
        let hostnames = async {
            if diff.has("dns_hostnames") {
                let value = AttributeBooleanValue::builder().value(props.dns_hostnames).build();
                let call =
                    cloud.ec2.modify_vpc_attribute().vpc_id(&id.0).enable_dns_hostnames(value);
                call.send().await.named("ec2:ModifyVpcAttribute")?;
            }
            Ok::<_, cloud::Error>(())
        };
        // Host names need DNS support: it is there before them and goes after them.
        if props.dns_support {
            support.await?;
            hostnames.await?;
        } else {
            hostnames.await?;
            support.await?;
        }
        super::update_tags(cloud, id, &props.tags, diff).await
    }

    async fn delete(cloud: &Aws, id: &VpcId) -> Result<()> {
        cloud.ec2.delete_vpc().vpc_id(&id.0).send().await.named("ec2:DeleteVpc")?;
        Ok(())
    }
}

async fn describe(cloud: &Aws, filters: Vec<types::Filter>) -> Result<Vec<types::Vpc>> {
    let call = cloud.ec2.describe_vpcs().set_filters(Some(filters));
    let all: Result<Vec<_>, _> = call.into_paginator().items().send().collect().await;
    all.named("ec2:DescribeVpcs")
}

/// `None` when it goes away between the calls.
async fn seen(cloud: &Aws, vpc: &types::Vpc) -> Result<Option<(VpcId, Seen)>> {
    let call = "ec2:DescribeVpcs";
    let id = super::sent(call, "vpcId", vpc.vpc_id())?;
    let attributes = async {
        let support = attribute(cloud, id, VpcAttributeName::EnableDnsSupport).await?;
        let hostnames = attribute(cloud, id, VpcAttributeName::EnableDnsHostnames).await?;
        Ok::<_, cloud::Error>((support, hostnames))
    };
    let (dns_support, dns_hostnames) = match attributes.await {
        Ok(both) => both,
        Err(error) if error.class == Class::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let seen = Seen {
        cidr: super::block(call, "cidrBlock", vpc.cidr_block())?,
        dns_support,
        dns_hostnames,
        tags: super::tags(vpc.tags()),
        state: vpc.state().map(|s| s.as_str().to_owned()).unwrap_or_default(),
    };
    Ok(Some((VpcId(id.to_owned()), seen)))
}

async fn attribute(cloud: &Aws, id: &str, name: VpcAttributeName) -> cloud::Result<bool> {
    let call = cloud.ec2.describe_vpc_attribute().vpc_id(id).attribute(name.clone());
    let answer = call.send().await.named("ec2:DescribeVpcAttribute")?;
    let value = match name {
        VpcAttributeName::EnableDnsSupport => answer.enable_dns_support,
        _ => answer.enable_dns_hostnames,
    };
    Ok(value.and_then(|v| v.value).unwrap_or(false))
}
