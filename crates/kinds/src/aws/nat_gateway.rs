//! A public NAT gateway.

use std::collections::BTreeMap;
use std::time::Duration;

use ::aws::ec2::types;
use ::aws::ec2::types::{ConnectivityType, NatGatewayState, ResourceType};
use ::aws::{Aws, Named};
use cloud::Result;
use engine::{Action, Diff, Found, Kind, Mark, Out, Readiness, Ref, Scope, Waits, Wanted};
use serde::{Deserialize, Serialize};

use super::elastic_ip::AllocationId;
use super::subnet::SubnetId;
use super::vpc::VpcId;
use crate::Tags;

engine::id! {
    /// `nat-…`
    NatGatewayId,
}

/// `aws.nat_gateway`
pub struct NatGateway;

/// The address its traffic comes from.
pub const PUBLIC_IP: Out<NatGateway, Option<String>> = Out::field("public_ip");

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Props {
    /// A public one: its route table leads to an internet gateway.
    pub subnet: Ref<SubnetId>,
    pub address: Ref<AllocationId>,
    pub tags: Tags,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    pub subnet: SubnetId,
    /// Missing while it has none yet, and when it is private.
    pub address: Option<AllocationId>,
    pub tags: Tags,
    /// `pending`, `available`, `failed` or `deleting`.
    pub state: String,
    pub public_ip: Option<String>,
    /// Why it failed, in the platform's words.
    pub failure: Option<String>,
}

impl Kind for NatGateway {
    const NAME: &'static str = "aws.nat_gateway";
    const SERVICE: &'static str = "ec2";

    type Cloud = Aws;
    type Id = NatGatewayId;
    type Props = Props;
    type Seen = Seen;

    fn mark(props: &mut Props, mark: &Mark) {
        super::put_mark(&mut props.tags, mark);
    }

    fn diff(want: &Props, have: &Seen) -> Diff {
        let Props { subnet, address, tags } = want;
        let diff = Diff::default().replace("subnet", subnet, &have.subnet).replace(
            "address",
            address,
            &have.address,
        );
        // A failed or vanishing gateway never comes back, so only another one will do.
        let gone = matches!(have.state.as_str(), "failed" | "deleting");
        let diff = if gone { diff.replace("state", &"available", &have.state) } else { diff };
        diff.update("tags", tags, &have.tags)
    }

    fn readiness(seen: &Seen) -> Readiness {
        match seen.state.as_str() {
            "available" => Readiness::Ready,
            "failed" => Readiness::Failed(
                seen.failure.clone().unwrap_or_else(|| "state is failed, without a reason".into()),
            ),
            "deleting" => Readiness::Failed("it is being deleted".into()),
            other => Readiness::Pending(format!("state is {other}")),
        }
    }

    fn waits() -> Waits {
        Waits {
            ready: Duration::from_secs(600),
            gone: Duration::from_secs(900),
            ..Waits::default()
        }
    }

    /// AWS publishes no figures; pending for 80 to 100 s and deleting for 30 to 60 s are assumed
    /// (unconfirmed).
    fn typical(action: Action) -> Option<Duration> {
        match action {
            Action::Create | Action::Replace => Some(Duration::from_secs(95)),
            Action::Delete => Some(Duration::from_secs(50)),
            _ => None,
        }
    }

    async fn read(cloud: &Aws, ids: &[NatGatewayId]) -> Result<Vec<Option<Seen>>> {
        let mut all = BTreeMap::new();
        for filters in super::filters("nat-gateway-id", ids) {
            for gateway in describe(cloud, filters).await? {
                let (id, seen) = seen(&gateway)?;
                // A deleted one stays listed for a while.
                if seen.state != "deleted" {
                    all.insert(id, seen);
                }
            }
        }
        Ok(super::in_order(ids, all))
    }

    async fn find(
        cloud: &Aws,
        stack: &str,
        wanted: &[Wanted<Props>],
    ) -> Result<Vec<Vec<Found<NatGatewayId>>>> {
        let mut all = describe(cloud, super::of_stack(stack)).await?;
        all.retain(|g| {
            !matches!(g.state(), Some(NatGatewayState::Deleting | NatGatewayState::Deleted))
        });
        Ok(super::by_mark(stack, wanted, all.iter().map(|g| (g.nat_gateway_id(), g.tags()))))
    }

    async fn create(cloud: &Aws, props: &Props) -> Result<NatGatewayId> {
        let call = cloud
            .ec2
            .create_nat_gateway()
            .subnet_id(&props.subnet.get()?.0)
            .allocation_id(&props.address.get()?.0)
            .connectivity_type(ConnectivityType::Public)
            .tag_specifications(super::birth_tags(ResourceType::Natgateway, &props.tags));
        let answer = call.send().await.named("ec2:CreateNatGateway")?;
        let id = answer.nat_gateway.and_then(|g| g.nat_gateway_id);
        Ok(NatGatewayId(super::sent("ec2:CreateNatGateway", "natGatewayId", id)?))
    }

    async fn update(cloud: &Aws, id: &NatGatewayId, props: &Props, diff: &Diff) -> Result<()> {
        super::update_tags(cloud, id, &props.tags, diff).await
    }

    async fn delete(cloud: &Aws, id: &NatGatewayId) -> Result<()> {
        let call = cloud.ec2.delete_nat_gateway().nat_gateway_id(&id.0);
        call.send().await.named("ec2:DeleteNatGateway")?;
        Ok(())
    }

    async fn list(cloud: &Aws, scope: &Scope) -> Result<Vec<(NatGatewayId, Seen)>> {
        let mut gateways = describe(cloud, super::of_scope(scope, "vpc-id")).await?;
        gateways.retain(|g| g.state() != Some(&NatGatewayState::Deleted));
        let nowhere = VpcId::from("");
        let mut all = Vec::new();
        for gateway in &gateways {
            let (id, seen) = seen(gateway)?;
            let vpc = gateway.vpc_id().map_or(nowhere.clone(), VpcId::from);
            if super::in_scope(scope, &vpc, &seen.tags) {
                all.push((id, seen));
            }
        }
        Ok(all)
    }
}

async fn describe(cloud: &Aws, filters: Vec<types::Filter>) -> Result<Vec<types::NatGateway>> {
    let call = cloud.ec2.describe_nat_gateways().set_filter(Some(filters));
    let all: Result<Vec<_>, _> = call.into_paginator().items().send().collect().await;
    all.named("ec2:DescribeNatGateways")
}

fn seen(gateway: &types::NatGateway) -> Result<(NatGatewayId, Seen)> {
    let call = "ec2:DescribeNatGateways";
    let id = super::sent(call, "natGatewayId", gateway.nat_gateway_id())?;
    let addresses = gateway.nat_gateway_addresses();
    let primary = addresses.iter().find(|a| a.is_primary() == Some(true)).or(addresses.first());
    let failure = match (gateway.failure_code(), gateway.failure_message()) {
        (Some(code), Some(message)) => Some(format!("{code}: {message}")),
        (code, message) => code.or(message).map(str::to_owned),
    };
    let seen = Seen {
        subnet: super::sent(call, "subnetId", gateway.subnet_id())?.into(),
        address: primary.and_then(|a| a.allocation_id()).map(AllocationId::from),
        tags: super::tags(gateway.tags()),
        state: gateway.state().map(|s| s.as_str().to_owned()).unwrap_or_default(),
        public_ip: primary.and_then(|a| a.public_ip()).map(str::to_owned),
        failure,
    };
    Ok((id.into(), seen))
}
