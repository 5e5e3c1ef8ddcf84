//! A peering connection between two VPCs.

use std::collections::BTreeMap;

use ::aws::ec2::types;
use ::aws::ec2::types::{PeeringConnectionOptionsRequest, ResourceType};
use ::aws::{Aws, Named};
use cloud::Result;
use engine::{Diff, Found, Kind, Mark, Readiness, Ref, Scope, Wanted};
use serde::{Deserialize, Serialize};

use super::vpc::VpcId;
use crate::Tags;

engine::id! {
    /// `pcx-…`
    PeeringId,
}

/// The filter for those that begin in a VPC.
const REQUESTER: &str = "requester-vpc-info.vpc-id";
/// The filter for those that end in a VPC.
const ACCEPTER: &str = "accepter-vpc-info.vpc-id";

/// `aws.vpc_peering`
pub struct VpcPeering;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Props {
    pub vpc: Ref<VpcId>,
    pub peer_vpc: Ref<VpcId>,
    /// `None` is our own account.
    pub peer_account: Option<String>,
    /// `None` is our own region.
    pub peer_region: Option<String>,
    /// Whether we accept it too; only possible within one account and region.
    pub accept: bool,
    /// Whether public names lead to private addresses across it, on every side we may change.
    pub dns_resolution: bool,
    pub tags: Tags,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    pub vpc: VpcId,
    pub peer_vpc: VpcId,
    /// `None` when both VPCs are of one account.
    pub peer_account: Option<String>,
    /// `None` when both VPCs are in one region.
    pub peer_region: Option<String>,
    pub accept: bool,
    pub dns_resolution: bool,
    /// The same of the other side, where it is ours to change.
    #[serde(default)]
    pub peer_dns_resolution: Option<bool>,
    pub tags: Tags,
    /// As the API says: `pending-acceptance`, `active`, …
    pub status: String,
}

impl Kind for VpcPeering {
    const NAME: &'static str = "aws.vpc_peering";
    const SERVICE: &'static str = "ec2";

    type Cloud = Aws;
    type Id = PeeringId;
    type Props = Props;
    type Seen = Seen;

    fn mark(props: &mut Props, mark: &Mark) {
        super::put_mark(&mut props.tags, mark);
    }

    fn diff(want: &Props, have: &Seen) -> Diff {
        let Props { vpc, peer_vpc, peer_account, peer_region, accept, dns_resolution, tags } = want;
        let mut diff = Diff::default().replace("vpc", vpc, &have.vpc).replace(
            "peer_vpc",
            peer_vpc,
            &have.peer_vpc,
        );
        // Naming our own account or region is the same as naming none.
        if peer_account.is_some() && have.peer_account.is_some() {
            diff = diff.replace("peer_account", peer_account, &have.peer_account);
        }
        if peer_region.is_some() && have.peer_region.is_some() {
            diff = diff.replace("peer_region", peer_region, &have.peer_region);
        }
        if *accept {
            diff = diff.update("accept", accept, &have.accept);
        }
        // Options can be set on an active connection only.
        if *accept || have.status == "active" {
            let both = have.peer_dns_resolution.is_none_or(|theirs| theirs == have.dns_resolution);
            let now = if both { have.dns_resolution } else { !dns_resolution };
            diff = diff.update("dns_resolution", dns_resolution, &now);
        }
        diff = diff.update("tags", tags, &have.tags);
        if lost(&have.status) { diff.replace("status", &"active", &have.status) } else { diff }
    }

    fn readiness(seen: &Seen) -> Readiness {
        match seen.status.as_str() {
            // Whoever is to accept it may be us, later, or somebody else, any time: nothing to wait for.
            "active" | "pending-acceptance" => Readiness::Ready,
            status if lost(status) => Readiness::Failed(format!("status is {status}")),
            other => Readiness::Pending(format!("status is {other}")),
        }
    }

    async fn read(cloud: &Aws, ids: &[PeeringId]) -> Result<Vec<Option<Seen>>> {
        let mut all = BTreeMap::new();
        for filters in super::filters("vpc-peering-connection-id", ids) {
            for peering in describe(cloud, filters).await? {
                let (id, seen) = seen(&peering)?;
                // A deleted one stays listed for a while.
                if seen.status != "deleted" {
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
    ) -> Result<Vec<Vec<Found<PeeringId>>>> {
        let mut all = describe(cloud, super::of_stack(stack)).await?;
        // These stay listed for a while and never come back.
        all.retain(|p| {
            let status = status(p);
            !lost(status) && status != "deleted"
        });
        let marked = all.iter().map(|p| (p.vpc_peering_connection_id(), p.tags()));
        Ok(super::by_mark(stack, wanted, marked))
    }

    /// Asks for it only: accepting is an update.
    async fn create(cloud: &Aws, props: &Props) -> Result<PeeringId> {
        let tags = super::birth_tags(ResourceType::VpcPeeringConnection, &props.tags);
        let call = cloud
            .ec2
            .create_vpc_peering_connection()
            .vpc_id(&props.vpc.get()?.0)
            .peer_vpc_id(&props.peer_vpc.get()?.0)
            .set_peer_owner_id(props.peer_account.clone())
            .set_peer_region(props.peer_region.clone())
            .tag_specifications(tags);
        let answer = call.send().await.named("ec2:CreateVpcPeeringConnection")?;
        let id = answer.vpc_peering_connection.and_then(|p| p.vpc_peering_connection_id);
        let id = super::sent("ec2:CreateVpcPeeringConnection", "vpcPeeringConnectionId", id)?;
        Ok(PeeringId(id))
    }

    async fn update(cloud: &Aws, id: &PeeringId, props: &Props, diff: &Diff) -> Result<()> {
        if diff.has("accept") {
            // Read again: an earlier try may have got this far, and accepting twice is an error.
            let now = Self::read(cloud, std::slice::from_ref(id)).await?.pop().flatten();
            let now = now.ok_or_else(|| super::gone("ec2:DescribeVpcPeeringConnections", id))?;
            if !now.accept {
                let call = cloud.ec2.accept_vpc_peering_connection();
                let call = call.vpc_peering_connection_id(&id.0);
                call.send().await.named("ec2:AcceptVpcPeeringConnection")?;
            }
        }
        if diff.has("dns_resolution") {
            let options = PeeringConnectionOptionsRequest::builder()
                .allow_dns_resolution_from_remote_vpc(props.dns_resolution)
                .build();
            // The other side's options are its owner's, and are set in its region.
            let both = props.accept;
            let call = cloud
                .ec2
                .modify_vpc_peering_connection_options()
                .vpc_peering_connection_id(&id.0)
                .requester_peering_connection_options(options.clone())
                .set_accepter_peering_connection_options(both.then_some(options));
            call.send().await.named("ec2:ModifyVpcPeeringConnectionOptions")?;
        }
        super::update_tags(cloud, id, &props.tags, diff).await
    }

    async fn delete(cloud: &Aws, id: &PeeringId) -> Result<()> {
        let call = cloud.ec2.delete_vpc_peering_connection().vpc_peering_connection_id(&id.0);
        call.send().await.named("ec2:DeleteVpcPeeringConnection")?;
        Ok(())
    }

    /// Those of either side.
    async fn list(cloud: &Aws, scope: &Scope) -> Result<Vec<(PeeringId, Seen)>> {
        let mut all = describe(cloud, super::of_scope(scope, REQUESTER)).await?;
        if matches!(scope, Scope::Within(_)) {
            all.extend(describe(cloud, super::of_scope(scope, ACCEPTER)).await?);
        }
        let all = all.iter().map(seen).collect::<Result<BTreeMap<_, _>>>()?.into_iter();
        let alive = all.filter(|(_, s)| !lost(&s.status) && s.status != "deleted");
        let either =
            |s: &Seen| [&s.vpc, &s.peer_vpc].iter().any(|vpc| super::in_scope(scope, vpc, &s.tags));
        Ok(alive.filter(|(_, s)| either(s)).collect())
    }
}

fn lost(status: &str) -> bool {
    matches!(status, "rejected" | "failed" | "expired" | "deleting")
}

async fn describe(
    cloud: &Aws,
    filters: Vec<types::Filter>,
) -> Result<Vec<types::VpcPeeringConnection>> {
    let call = cloud.ec2.describe_vpc_peering_connections().set_filters(Some(filters));
    let all: Result<Vec<_>, _> = call.into_paginator().items().send().collect().await;
    all.named("ec2:DescribeVpcPeeringConnections")
}

fn status(peering: &types::VpcPeeringConnection) -> &str {
    peering.status().and_then(|s| s.code()).map(|c| c.as_str()).unwrap_or_default()
}

fn seen(peering: &types::VpcPeeringConnection) -> Result<(PeeringId, Seen)> {
    let call = "ec2:DescribeVpcPeeringConnections";
    let id = super::sent(call, "vpcPeeringConnectionId", peering.vpc_peering_connection_id())?;
    let ours = super::sent(call, "requesterVpcInfo", peering.requester_vpc_info())?;
    let theirs = super::sent(call, "accepterVpcInfo", peering.accepter_vpc_info())?;
    let other = |ours: Option<&str>, theirs: Option<&str>| {
        theirs.filter(|theirs| ours != Some(*theirs)).map(str::to_owned)
    };
    let resolves = |side: &types::VpcPeeringConnectionVpcInfo| {
        let options = side.peering_options();
        options.and_then(|o| o.allow_dns_resolution_from_remote_vpc()).unwrap_or(false)
    };
    let peer_account = other(ours.owner_id(), theirs.owner_id());
    let peer_region = other(ours.region(), theirs.region());
    let one_owner = peer_account.is_none() && peer_region.is_none();
    let seen = Seen {
        vpc: super::sent(call, "vpcId", ours.vpc_id())?.into(),
        peer_vpc: super::sent(call, "vpcId", theirs.vpc_id())?.into(),
        peer_account,
        peer_region,
        accept: matches!(status(peering), "active" | "provisioning"),
        dns_resolution: resolves(ours),
        peer_dns_resolution: one_owner.then(|| resolves(theirs)),
        tags: super::tags(peering.tags()),
        status: status(peering).to_owned(),
    };
    Ok((id.into(), seen))
}
