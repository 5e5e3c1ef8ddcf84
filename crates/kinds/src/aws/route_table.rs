//! A route table with its routes and the subnets that use it.

use std::collections::{BTreeMap, BTreeSet};

use ::aws::ec2::types;
use ::aws::ec2::types::{ResourceType, RouteOrigin, RouteTableAssociationStateCode};
use ::aws::{Aws, Named};
use cloud::Result;
use engine::{Diff, Found, Kind, Mark, Ref, Replace, Scope, Wanted};
use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use super::internet_gateway::InternetGatewayId;
use super::nat_gateway::NatGatewayId;
use super::subnet::SubnetId;
use super::vpc::VpcId;
use super::vpc_peering::PeeringId;
use crate::{Tags, platform};

engine::id! {
    /// `rtb-…`
    RouteTableId,
}

/// `aws.route_table`
pub struct RouteTable;

/// Where a route leads.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    InternetGateway(Ref<InternetGatewayId>),
    NatGateway(Ref<NatGatewayId>),
    Peering(Ref<PeeringId>),
    /// `tgw-…`: never ours.
    TransitGateway(String),
}

/// Where a route leads, as seen; the same JSON as [`Target`] with everything known.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SeenTarget {
    InternetGateway(InternetGatewayId),
    NatGateway(NatGatewayId),
    Peering(PeeringId),
    TransitGateway(String),
    /// Something dbxctl never sets: a network interface, a carrier gateway, nothing.
    Other(String),
}

impl Target {
    /// The same target with its id known.
    fn bound(&self) -> Result<SeenTarget> {
        Ok(match self {
            Target::InternetGateway(id) => SeenTarget::InternetGateway(id.get()?.clone()),
            Target::NatGateway(id) => SeenTarget::NatGateway(id.get()?.clone()),
            Target::Peering(id) => SeenTarget::Peering(id.get()?.clone()),
            Target::TransitGateway(id) => SeenTarget::TransitGateway(id.clone()),
        })
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Props {
    pub vpc: Ref<VpcId>,
    /// All IPv4 routes but the local one and those gateway endpoints add.
    pub routes: BTreeMap<Ipv4Net, Target>,
    /// All subnets that use this table by word.
    pub subnets: BTreeSet<Ref<SubnetId>>,
    pub tags: Tags,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    pub vpc: VpcId,
    pub routes: BTreeMap<Ipv4Net, SeenTarget>,
    pub subnets: BTreeSet<SubnetId>,
    pub tags: Tags,
    /// Routes for IPv6 blocks and prefix lists, by destination: dbxctl sets none.
    #[serde(default)]
    pub other_routes: BTreeMap<String, SeenTarget>,
    /// Virtual private gateways that may write routes: dbxctl lets none.
    #[serde(default)]
    pub propagation: BTreeSet<String>,
}

impl Kind for RouteTable {
    const NAME: &'static str = "aws.route_table";
    const SERVICE: &'static str = "ec2";
    /// Old subnets keep their routes while users move to the new ones.
    const REPLACE: Replace = Replace::CreateFirst { name: None };

    type Cloud = Aws;
    type Id = RouteTableId;
    type Props = Props;
    type Seen = Seen;

    fn mark(props: &mut Props, mark: &Mark) {
        super::put_mark(&mut props.tags, mark);
    }

    fn diff(want: &Props, have: &Seen) -> Diff {
        let Props { vpc, routes, subnets, tags } = want;
        let diff =
            Diff::default().replace("vpc", vpc, &have.vpc).update("routes", routes, &have.routes);
        // Subnets that are all made anew get a table of their own: taking this one from those of now
        // would cut off what still runs there.
        let anew = |subnet: &Ref<SubnetId>| matches!(subnet, Ref::Output(_));
        let moves = !have.subnets.is_empty() && !subnets.is_empty() && subnets.iter().all(anew);
        let diff = match moves {
            true => diff.replace("subnets", subnets, &have.subnets),
            false => diff.update("subnets", subnets, &have.subnets),
        };
        diff.update("tags", tags, &have.tags)
            .update("other_routes", &BTreeMap::<String, SeenTarget>::new(), &have.other_routes)
            .update("propagation", &BTreeSet::<String>::new(), &have.propagation)
    }

    async fn read(cloud: &Aws, ids: &[RouteTableId]) -> Result<Vec<Option<Seen>>> {
        let mut all = BTreeMap::new();
        for table in tables(cloud, ids).await? {
            let (id, seen) = seen(&table)?;
            all.insert(id, seen);
        }
        Ok(super::in_order(ids, all))
    }

    async fn find(
        cloud: &Aws,
        stack: &str,
        wanted: &[Wanted<Props>],
    ) -> Result<Vec<Vec<Found<RouteTableId>>>> {
        let all = describe(cloud, super::of_stack(stack)).await?;
        Ok(super::by_mark(stack, wanted, all.iter().map(|t| (t.route_table_id(), t.tags()))))
    }

    /// Without routes and subnets: those are updates.
    async fn create(cloud: &Aws, props: &Props) -> Result<RouteTableId> {
        let call = cloud
            .ec2
            .create_route_table()
            .vpc_id(&props.vpc.get()?.0)
            .tag_specifications(super::birth_tags(ResourceType::RouteTable, &props.tags));
        let answer = call.send().await.named("ec2:CreateRouteTable")?;
        let id = answer.route_table.and_then(|t| t.route_table_id);
        Ok(RouteTableId(super::sent("ec2:CreateRouteTable", "routeTableId", id)?))
    }

    /// Reads the table again first, because an earlier try may have got half-way.
    async fn update(cloud: &Aws, id: &RouteTableId, props: &Props, diff: &Diff) -> Result<()> {
        if diff.has("routes") || diff.has("subnets") {
            let table = one(cloud, id).await?;
            if diff.has("routes") {
                update_routes(cloud, id, &routes(&table)?, &props.routes).await?;
            }
            if diff.has("subnets") {
                update_subnets(cloud, id, &table, &super::bound(&props.subnets)?).await?;
            }
        }
        if diff.has("other_routes") || diff.has("propagation") {
            let table = one(cloud, id).await?;
            for destination in other_routes(&table).into_keys() {
                super::or_absent(delete_other_route(cloud, id, destination).await)?;
            }
            for gateway in propagation(&table) {
                let call = cloud.ec2.disable_vgw_route_propagation();
                let call = call.route_table_id(&id.0).gateway_id(gateway);
                call.send().await.named("ec2:DisableVgwRoutePropagation")?;
            }
        }
        super::update_tags(cloud, id, &props.tags, diff).await
    }

    async fn delete(cloud: &Aws, id: &RouteTableId) -> Result<()> {
        for (_, association) in associations(&one(cloud, id).await?) {
            super::or_absent(disassociate(cloud, &association).await)?;
        }
        let call = cloud.ec2.delete_route_table().route_table_id(&id.0);
        call.send().await.named("ec2:DeleteRouteTable")?;
        Ok(())
    }

    async fn list(cloud: &Aws, scope: &Scope) -> Result<Vec<(RouteTableId, Seen)>> {
        let all = describe(cloud, super::of_scope(scope, "vpc-id")).await?;
        let mut all = all.iter().map(seen).collect::<Result<Vec<_>>>()?;
        all.retain(|(_, s)| super::in_scope(scope, &s.vpc, &s.tags));
        Ok(all)
    }
}

async fn describe(cloud: &Aws, filters: Vec<types::Filter>) -> Result<Vec<types::RouteTable>> {
    let call = cloud.ec2.describe_route_tables().set_filters(Some(filters));
    let all: Result<Vec<_>, _> = call.into_paginator().items().send().collect().await;
    all.named("ec2:DescribeRouteTables")
}

/// The tables with these ids that exist.
pub(super) async fn tables(cloud: &Aws, ids: &[RouteTableId]) -> Result<Vec<types::RouteTable>> {
    let mut all = Vec::new();
    for filters in super::filters("route-table-id", ids) {
        all.extend(describe(cloud, filters).await?);
    }
    Ok(all)
}

async fn one(cloud: &Aws, id: &RouteTableId) -> Result<types::RouteTable> {
    let all = tables(cloud, std::slice::from_ref(id)).await?;
    let table = all.into_iter().find(|t| t.route_table_id() == Some(&id.0));
    table.ok_or_else(|| super::gone("ec2:DescribeRouteTables", id))
}

fn seen(table: &types::RouteTable) -> Result<(RouteTableId, Seen)> {
    let call = "ec2:DescribeRouteTables";
    let id = super::sent(call, "routeTableId", table.route_table_id())?;
    let seen = Seen {
        vpc: super::sent(call, "vpcId", table.vpc_id())?.into(),
        routes: routes(table)?,
        subnets: associations(table).into_keys().collect(),
        tags: super::tags(table.tags()),
        other_routes: other_routes(table),
        propagation: propagation(table),
    };
    Ok((id.into(), seen))
}

/// The IPv4 routes somebody set: not the local one, those of gateway endpoints, or propagated ones.
pub(super) fn routes(table: &types::RouteTable) -> Result<BTreeMap<Ipv4Net, SeenTarget>> {
    let mut routes = BTreeMap::new();
    for route in table.routes() {
        let propagated = route.origin() == Some(&RouteOrigin::EnableVgwRoutePropagation);
        if let Some(text) = route.destination_cidr_block()
            && !platform::is_route(route)
            && !propagated
        {
            let block = super::block("ec2:DescribeRouteTables", "destinationCidrBlock", Some(text));
            routes.insert(block?, target(route));
        }
    }
    Ok(routes)
}

/// Routes somebody set for something else than an IPv4 block.
fn other_routes(table: &types::RouteTable) -> BTreeMap<String, SeenTarget> {
    let set = table.routes().iter().filter(|route| !platform::is_route(route));
    set.filter_map(|route| {
        let other = route.destination_ipv6_cidr_block().or(route.destination_prefix_list_id());
        Some((other?.to_owned(), target(route)))
    })
    .collect()
}

fn propagation(table: &types::RouteTable) -> BTreeSet<String> {
    let gateways = table.propagating_vgws().iter();
    gateways.filter_map(|gateway| gateway.gateway_id().map(str::to_owned)).collect()
}

async fn delete_other_route(cloud: &Aws, table: &RouteTableId, destination: String) -> Result<()> {
    let call = cloud.ec2.delete_route().route_table_id(&table.0);
    let call = match destination.starts_with("pl-") {
        true => call.destination_prefix_list_id(destination),
        false => call.destination_ipv6_cidr_block(destination),
    };
    call.send().await.named("ec2:DeleteRoute").map(drop)
}

fn target(route: &types::Route) -> SeenTarget {
    if let Some(id) = route.nat_gateway_id() {
        SeenTarget::NatGateway(id.into())
    } else if let Some(id) = route.vpc_peering_connection_id() {
        SeenTarget::Peering(id.into())
    } else if let Some(id) = route.transit_gateway_id() {
        SeenTarget::TransitGateway(id.to_owned())
    } else {
        match route.gateway_id() {
            Some(id) if id.starts_with("igw-") => SeenTarget::InternetGateway(id.into()),
            other => {
                let others = [
                    other,
                    route.network_interface_id(),
                    route.instance_id(),
                    route.local_gateway_id(),
                    route.carrier_gateway_id(),
                    route.core_network_arn(),
                ];
                let id = others.into_iter().flatten().next();
                SeenTarget::Other(id.unwrap_or("nothing").to_owned())
            }
        }
    }
}

/// The subnets that use the table by word, each with the id of its association.
fn associations(table: &types::RouteTable) -> BTreeMap<SubnetId, String> {
    let live = table.associations().iter().filter(|a| {
        let state = a.association_state().and_then(|s| s.state());
        !matches!(
            state,
            Some(
                RouteTableAssociationStateCode::Disassociating
                    | RouteTableAssociationStateCode::Disassociated
            )
        )
    });
    live.filter_map(|a| Some((a.subnet_id()?.into(), a.route_table_association_id()?.to_owned())))
        .collect()
}

/// The four places a target's id can go in a request, of which one is filled.
#[derive(Default)]
struct Ids {
    gateway: Option<String>,
    nat: Option<String>,
    peering: Option<String>,
    transit: Option<String>,
}

fn ids(target: &SeenTarget) -> Ids {
    match target.clone() {
        SeenTarget::InternetGateway(id) => Ids { gateway: Some(id.0), ..Ids::default() },
        SeenTarget::NatGateway(id) => Ids { nat: Some(id.0), ..Ids::default() },
        SeenTarget::Peering(id) => Ids { peering: Some(id.0), ..Ids::default() },
        SeenTarget::TransitGateway(id) => Ids { transit: Some(id), ..Ids::default() },
        SeenTarget::Other(_) => Ids::default(),
    }
}

pub(super) async fn create_route(
    cloud: &Aws,
    table: &RouteTableId,
    destination: Ipv4Net,
    target: &Target,
) -> Result<()> {
    let ids = ids(&target.bound()?);
    let call = cloud
        .ec2
        .create_route()
        .route_table_id(&table.0)
        .destination_cidr_block(destination.to_string())
        .set_gateway_id(ids.gateway)
        .set_nat_gateway_id(ids.nat)
        .set_vpc_peering_connection_id(ids.peering)
        .set_transit_gateway_id(ids.transit);
    call.send().await.named("ec2:CreateRoute")?;
    Ok(())
}

pub(super) async fn replace_route(
    cloud: &Aws,
    table: &RouteTableId,
    destination: Ipv4Net,
    target: &Target,
) -> Result<()> {
    let ids = ids(&target.bound()?);
    let call = cloud
        .ec2
        .replace_route()
        .route_table_id(&table.0)
        .destination_cidr_block(destination.to_string())
        .set_gateway_id(ids.gateway)
        .set_nat_gateway_id(ids.nat)
        .set_vpc_peering_connection_id(ids.peering)
        .set_transit_gateway_id(ids.transit);
    call.send().await.named("ec2:ReplaceRoute")?;
    Ok(())
}

pub(super) async fn delete_route(
    cloud: &Aws,
    table: &RouteTableId,
    destination: Ipv4Net,
) -> Result<()> {
    let call = cloud.ec2.delete_route().route_table_id(&table.0);
    let call = call.destination_cidr_block(destination.to_string());
    call.send().await.named("ec2:DeleteRoute")?;
    Ok(())
}

async fn update_routes(
    cloud: &Aws,
    id: &RouteTableId,
    have: &BTreeMap<Ipv4Net, SeenTarget>,
    want: &BTreeMap<Ipv4Net, Target>,
) -> Result<()> {
    for (destination, target) in want {
        match have.get(destination) {
            Some(now) if *now == target.bound()? => {}
            Some(_) => replace_route(cloud, id, *destination, target).await?,
            None => create_route(cloud, id, *destination, target).await?,
        }
    }
    for destination in have.keys().filter(|destination| !want.contains_key(destination)) {
        super::or_absent(delete_route(cloud, id, *destination).await)?;
    }
    Ok(())
}

async fn update_subnets(
    cloud: &Aws,
    id: &RouteTableId,
    table: &types::RouteTable,
    want: &BTreeSet<SubnetId>,
) -> Result<()> {
    let have = associations(table);
    let missing: Vec<SubnetId> = want.iter().filter(|s| !have.contains_key(s)).cloned().collect();
    let mut elsewhere = BTreeMap::new();
    for filters in super::filters("association.subnet-id", &missing) {
        for other in describe(cloud, filters).await? {
            elsewhere.extend(associations(&other));
        }
    }
    for subnet in &missing {
        // A subnet has one table: AWS refuses to associate a second one, emulators keep the first.
        match elsewhere.get(subnet) {
            Some(association) => {
                let call = cloud.ec2.replace_route_table_association();
                let call = call.association_id(association).route_table_id(&id.0);
                call.send().await.named("ec2:ReplaceRouteTableAssociation")?;
            }
            None => {
                let call = cloud.ec2.associate_route_table();
                let call = call.subnet_id(&subnet.0).route_table_id(&id.0);
                call.send().await.named("ec2:AssociateRouteTable")?;
            }
        }
    }
    for (_, association) in have.iter().filter(|(subnet, _)| !want.contains(subnet)) {
        super::or_absent(disassociate(cloud, association).await)?;
    }
    Ok(())
}

async fn disassociate(cloud: &Aws, association: &str) -> Result<()> {
    let call = cloud.ec2.disassociate_route_table().association_id(association);
    call.send().await.named("ec2:DisassociateRouteTable")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_only_routes_somebody_set() {
        let route = || types::Route::builder();
        let table = types::RouteTable::builder()
            .routes(route().destination_cidr_block("10.0.0.0/16").gateway_id("local").build())
            .routes(route().destination_prefix_list_id("pl-1").gateway_id("vpce-1").build())
            .routes(route().destination_ipv6_cidr_block("::/0").gateway_id("igw-1").build())
            .routes(route().destination_cidr_block("0.0.0.0/0").nat_gateway_id("nat-1").build())
            .routes(route().destination_cidr_block("10.1.0.0/16").gateway_id("vgw-1").build())
            .build();
        let expected = BTreeMap::from([
            ("0.0.0.0/0".parse().unwrap(), SeenTarget::NatGateway("nat-1".into())),
            ("10.1.0.0/16".parse().unwrap(), SeenTarget::Other("vgw-1".to_owned())),
        ]);
        assert_eq!(routes(&table).unwrap(), expected);
        let everywhere = ("::/0".to_owned(), SeenTarget::InternetGateway("igw-1".into()));
        assert_eq!(other_routes(&table), BTreeMap::from([everywhere]));
    }

    #[test]
    fn wanted_and_seen_targets_have_the_same_json() {
        let want = Target::NatGateway(Ref::Known("nat-1".into()));
        assert_eq!(
            serde_json::to_value(&want).unwrap(),
            serde_json::to_value(want.bound().unwrap()).unwrap()
        );
    }
}
