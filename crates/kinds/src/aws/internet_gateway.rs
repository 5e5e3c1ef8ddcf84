//! An internet gateway and its attachment to one VPC.

use std::collections::BTreeMap;

use ::aws::ec2::types;
use ::aws::ec2::types::ResourceType;
use ::aws::{Aws, Named};
use cloud::Result;
use engine::{Diff, Found, Kind, Mark, Ref, Wanted};
use serde::{Deserialize, Serialize};

use super::vpc::VpcId;
use crate::Tags;

engine::id! {
    /// `igw-…`
    InternetGatewayId,
}

/// `aws.internet_gateway`
pub struct InternetGateway;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Props {
    /// Where it is attached; a change detaches and attaches.
    pub vpc: Ref<VpcId>,
    pub tags: Tags,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    /// `None` when it is attached nowhere.
    pub vpc: Option<VpcId>,
    pub tags: Tags,
}

impl Kind for InternetGateway {
    const NAME: &'static str = "aws.internet_gateway";
    const SERVICE: &'static str = "ec2";

    type Cloud = Aws;
    type Id = InternetGatewayId;
    type Props = Props;
    type Seen = Seen;

    fn mark(props: &mut Props, mark: &Mark) {
        super::put_mark(&mut props.tags, mark);
    }

    fn diff(want: &Props, have: &Seen) -> Diff {
        let Props { vpc, tags } = want;
        // A VPC that is made anew cannot wait for its predecessor's gateway: that one holds it back.
        let moves = matches!(vpc, Ref::Output(_)) && have.vpc.is_some();
        let diff = match moves {
            true => Diff::default().replace("vpc", vpc, &have.vpc),
            false => Diff::default().update("vpc", vpc, &have.vpc),
        };
        diff.update("tags", tags, &have.tags)
    }

    async fn read(cloud: &Aws, ids: &[InternetGatewayId]) -> Result<Vec<Option<Seen>>> {
        let mut all = BTreeMap::new();
        for filters in super::filters("internet-gateway-id", ids) {
            for gateway in describe(cloud, filters).await? {
                let (id, seen) = seen(&gateway)?;
                all.insert(id, seen);
            }
        }
        Ok(super::in_order(ids, all))
    }

    async fn find(
        cloud: &Aws,
        stack: &str,
        wanted: &[Wanted<Props>],
    ) -> Result<Vec<Vec<Found<InternetGatewayId>>>> {
        let all = describe(cloud, super::of_stack(stack)).await?;
        Ok(super::by_mark(stack, wanted, all.iter().map(|g| (g.internet_gateway_id(), g.tags()))))
    }

    /// Attached nowhere yet: that is an update.
    async fn create(cloud: &Aws, props: &Props) -> Result<InternetGatewayId> {
        let tags = super::birth_tags(ResourceType::InternetGateway, &props.tags);
        let call = cloud.ec2.create_internet_gateway().tag_specifications(tags);
        let answer = call.send().await.named("ec2:CreateInternetGateway")?;
        let id = answer.internet_gateway.and_then(|g| g.internet_gateway_id);
        Ok(InternetGatewayId(super::sent("ec2:CreateInternetGateway", "internetGatewayId", id)?))
    }

    async fn update(cloud: &Aws, id: &InternetGatewayId, props: &Props, diff: &Diff) -> Result<()> {
        if diff.has("vpc") {
            // Read again: an earlier try may have got half-way.
            let now = attached_to(cloud, id).await?;
            let wanted = props.vpc.get()?;
            if now.as_ref() != Some(wanted) {
                if let Some(vpc) = &now {
                    detach(cloud, id, vpc).await?;
                }
                let call = cloud.ec2.attach_internet_gateway().vpc_id(&wanted.0);
                let call = call.internet_gateway_id(&id.0);
                call.send().await.named("ec2:AttachInternetGateway")?;
            }
        }
        super::update_tags(cloud, id, &props.tags, diff).await
    }

    async fn delete(cloud: &Aws, id: &InternetGatewayId) -> Result<()> {
        if let Some(vpc) = attached_to(cloud, id).await? {
            detach(cloud, id, &vpc).await?;
        }
        let call = cloud.ec2.delete_internet_gateway().internet_gateway_id(&id.0);
        call.send().await.named("ec2:DeleteInternetGateway")?;
        Ok(())
    }
}

async fn describe(cloud: &Aws, filters: Vec<types::Filter>) -> Result<Vec<types::InternetGateway>> {
    let call = cloud.ec2.describe_internet_gateways().set_filters(Some(filters));
    let all: Result<Vec<_>, _> = call.into_paginator().items().send().collect().await;
    all.named("ec2:DescribeInternetGateways")
}

fn seen(gateway: &types::InternetGateway) -> Result<(InternetGatewayId, Seen)> {
    let call = "ec2:DescribeInternetGateways";
    let id = super::sent(call, "internetGatewayId", gateway.internet_gateway_id())?;
    let attachment = gateway.attachments().iter().find(|a| {
        let state = a.state().map(|s| s.as_str()).unwrap_or_default();
        !matches!(state, "detaching" | "detached")
    });
    let seen = Seen {
        vpc: attachment.and_then(|a| a.vpc_id()).map(VpcId::from),
        tags: super::tags(gateway.tags()),
    };
    Ok((id.into(), seen))
}

async fn attached_to(cloud: &Aws, id: &InternetGatewayId) -> Result<Option<VpcId>> {
    let seen = InternetGateway::read(cloud, std::slice::from_ref(id)).await?.pop().flatten();
    Ok(seen.ok_or_else(|| super::gone("ec2:DescribeInternetGateways", id))?.vpc)
}

async fn detach(cloud: &Aws, id: &InternetGatewayId, vpc: &VpcId) -> Result<()> {
    let call = cloud.ec2.detach_internet_gateway().internet_gateway_id(&id.0).vpc_id(&vpc.0);
    match call.send().await.named("ec2:DetachInternetGateway") {
        Err(error) if error.code.as_deref() != Some("Gateway.NotAttached") => Err(error),
        _ => Ok(()),
    }
}
