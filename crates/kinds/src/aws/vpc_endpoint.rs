//! A gateway or interface endpoint of a VPC.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ::aws::ec2::operation::describe_vpc_endpoints::builders::DescribeVpcEndpointsFluentBuilder;
use ::aws::ec2::types;
use ::aws::ec2::types::{ResourceType, VpcEndpointType};
use ::aws::{Aws, Named};
use cloud::{Class, Error, Result};
use engine::{Action, Diff, Found, Kind, Mark, Out, Readiness, Ref, Scope, Waits, Wanted};
use serde::{Deserialize, Serialize};

use super::route_table::RouteTableId;
use super::security_group::GroupId;
use super::subnet::SubnetId;
use super::vpc::VpcId;
use crate::Tags;
use crate::platform;
use crate::policy::Policy;

engine::id! {
    /// `vpce-…`
    VpcEndpointId,
}

/// `aws.vpc_endpoint`
pub struct VpcEndpoint;

/// Its network interfaces, `eni-…`.
pub const NETWORK_INTERFACES: Out<VpcEndpoint, Vec<String>> = Out::field("network_interfaces");

/// How an endpoint is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flavour {
    /// By routes to a prefix list.
    Gateway,
    /// By addresses in subnets.
    Interface,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Props {
    pub vpc: Ref<VpcId>,
    /// `com.amazonaws.…`
    pub service: String,
    pub flavour: Flavour,
    /// Gateway endpoints only.
    pub route_tables: BTreeSet<Ref<RouteTableId>>,
    /// Interface endpoints only.
    pub subnets: BTreeSet<Ref<SubnetId>>,
    /// Interface endpoints only.
    pub groups: BTreeSet<Ref<GroupId>>,
    /// Whether the service's own names lead here inside the VPC. Interface endpoints only.
    pub private_dns: bool,
    /// `None` is the platform's own, which lets everything through.
    pub policy: Option<Policy>,
    pub tags: Tags,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    pub vpc: VpcId,
    pub service: String,
    pub flavour: Flavour,
    pub route_tables: BTreeSet<RouteTableId>,
    pub subnets: BTreeSet<SubnetId>,
    pub groups: BTreeSet<GroupId>,
    pub private_dns: bool,
    pub policy: Option<Policy>,
    pub tags: Tags,
    /// As the API says, with a small first letter: `available`, `pendingAcceptance`, …
    pub state: String,
    pub dns_names: Vec<String>,
    pub network_interfaces: Vec<String>,
}

impl Kind for VpcEndpoint {
    const NAME: &'static str = "aws.vpc_endpoint";
    const SERVICE: &'static str = "ec2";

    type Cloud = Aws;
    type Id = VpcEndpointId;
    type Props = Props;
    type Seen = Seen;

    fn mark(props: &mut Props, mark: &Mark) {
        super::put_mark(&mut props.tags, mark);
    }

    fn diff(want: &Props, have: &Seen) -> Diff {
        let Props {
            vpc,
            service,
            flavour,
            route_tables,
            subnets,
            groups,
            private_dns,
            tags,
            policy,
        } = want;
        let diff = Diff::default()
            .replace("vpc", vpc, &have.vpc)
            .replace("service", service, &have.service)
            .refusal(
                "an endpoint keeps its service",
                "declare another VPC in the spec with endpoints to the new service, and move the workspaces there with `vpc`",
            )
            .replace("flavour", flavour, &have.flavour)
            .update("route_tables", route_tables, &have.route_tables)
            .update("subnets", subnets, &have.subnets)
            .update("groups", groups, &have.groups)
            .update("private_dns", private_dns, &have.private_dns)
            .update("tags", tags, &have.tags);
        let open = have.policy.as_ref().is_none_or(|p| *p == platform::endpoint_policy());
        let diff = match policy {
            None if open => diff,
            policy => diff.update("policy", policy, &have.policy),
        };
        // The service's owner has refused it, or it has run out: only another one will do.
        if lost(&have.state) { diff.replace("state", &"available", &have.state) } else { diff }
    }

    fn readiness(seen: &Seen) -> Readiness {
        match seen.state.as_str() {
            // Registering it with Databricks is what makes Databricks accept it, so whoever waits
            // for `available` first waits for ever.
            "available" | "pendingAcceptance" => Readiness::Ready,
            state if lost(state) => Readiness::Failed(format!("state is {state}")),
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

    /// AWS publishes no figures; pending for one to two minutes and deleting for 30 to 120 s are assumed
    /// (unconfirmed).
    fn typical(action: Action) -> Option<Duration> {
        match action {
            Action::Create | Action::Replace => Some(Duration::from_secs(95)),
            Action::Delete => Some(Duration::from_secs(80)),
            _ => None,
        }
    }

    /// By id list, unlike all other kinds: emulators know no filter by endpoint id.
    async fn read(cloud: &Aws, ids: &[VpcEndpointId]) -> Result<Vec<Option<Seen>>> {
        let mut all = BTreeMap::new();
        for ids in ids.chunks(super::VALUES_PER_FILTER) {
            let call = cloud.ec2.describe_vpc_endpoints();
            let list = ids.iter().map(ToString::to_string).collect();
            let listed = list_all(call.set_vpc_endpoint_ids(Some(list))).await;
            let endpoints = match listed {
                // One missing id fails the whole list and does not say which: then all of the
                // region are read and ours are picked out.
                Err(error) if error.class == Class::NotFound => {
                    list_all(cloud.ec2.describe_vpc_endpoints()).await?
                }
                other => other?,
            };
            for endpoint in endpoints {
                let (id, seen) = seen(&endpoint)?;
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
    ) -> Result<Vec<Vec<Found<VpcEndpointId>>>> {
        let call = cloud.ec2.describe_vpc_endpoints().set_filters(Some(super::of_stack(stack)));
        let mut all = list_all(call).await?;
        all.retain(|e| !matches!(state(e).as_str(), "deleting" | "deleted"));
        Ok(super::by_mark(stack, wanted, all.iter().map(|e| (e.vpc_endpoint_id(), e.tags()))))
    }

    async fn create(cloud: &Aws, props: &Props) -> Result<VpcEndpointId> {
        let none = BTreeSet::new();
        let interface = props.flavour == Flavour::Interface;
        let policy = props.policy.as_ref().map(Policy::to_json).transpose()?;
        let call = cloud
            .ec2
            .create_vpc_endpoint()
            .vpc_endpoint_type(match props.flavour {
                Flavour::Gateway => VpcEndpointType::Gateway,
                Flavour::Interface => VpcEndpointType::Interface,
            })
            .vpc_id(&props.vpc.get()?.0)
            .service_name(&props.service)
            .set_route_table_ids(super::only_in(&super::bound(&props.route_tables)?, &none))
            .set_subnet_ids(super::only_in(&super::bound(&props.subnets)?, &BTreeSet::new()))
            .set_security_group_ids(super::only_in(&super::bound(&props.groups)?, &BTreeSet::new()))
            .set_private_dns_enabled(interface.then_some(props.private_dns))
            .set_policy_document(policy)
            .tag_specifications(super::birth_tags(ResourceType::VpcEndpoint, &props.tags));
        let answer = call.send().await.named("ec2:CreateVpcEndpoint")?;
        let id = answer.vpc_endpoint.and_then(|e| e.vpc_endpoint_id);
        Ok(VpcEndpointId(super::sent("ec2:CreateVpcEndpoint", "vpcEndpointId", id)?))
    }

    /// Everything but tags in one call; reads the endpoint again first, because adding what is there
    /// already is an error.
    async fn update(cloud: &Aws, id: &VpcEndpointId, props: &Props, diff: &Diff) -> Result<()> {
        if diff.fields().iter().any(|field| *field != "tags") {
            let now = Self::read(cloud, std::slice::from_ref(id)).await?.pop().flatten();
            let now = now.ok_or_else(|| super::gone("ec2:DescribeVpcEndpoints", id))?;
            let tables = super::bound(&props.route_tables)?;
            let subnets = super::bound(&props.subnets)?;
            let groups = super::bound(&props.groups)?;
            let dns = props.private_dns != now.private_dns && props.flavour == Flavour::Interface;
            let policy = props.policy.as_ref().filter(|_| diff.has("policy"));
            let reset = diff.has("policy") && policy.is_none();
            let call = cloud
                .ec2
                .modify_vpc_endpoint()
                .vpc_endpoint_id(&id.0)
                .set_add_route_table_ids(super::only_in(&tables, &now.route_tables))
                .set_remove_route_table_ids(super::only_in(&now.route_tables, &tables))
                .set_add_subnet_ids(super::only_in(&subnets, &now.subnets))
                .set_remove_subnet_ids(super::only_in(&now.subnets, &subnets))
                .set_add_security_group_ids(super::only_in(&groups, &now.groups))
                .set_remove_security_group_ids(super::only_in(&now.groups, &groups))
                .set_private_dns_enabled(dns.then_some(props.private_dns))
                .set_policy_document(policy.map(Policy::to_json).transpose()?)
                .set_reset_policy(reset.then_some(true));
            call.send().await.named("ec2:ModifyVpcEndpoint")?;
        }
        super::update_tags(cloud, id, &props.tags, diff).await
    }

    async fn delete(cloud: &Aws, id: &VpcEndpointId) -> Result<()> {
        let call = cloud.ec2.delete_vpc_endpoints().vpc_endpoint_ids(&id.0);
        let answer = call.send().await.named("ec2:DeleteVpcEndpoints")?;
        // Failures come inside an answer that says OK.
        match answer.unsuccessful().iter().find_map(|item| item.error()) {
            Some(error) => {
                let code = error.code().unwrap_or_default();
                let message = error.message().unwrap_or("no reason given");
                let class = ::aws::classify(code, 0, message);
                Err(Error::new(class, "ec2:DeleteVpcEndpoints", message).with_code(code))
            }
            None => Ok(()),
        }
    }

    async fn list(cloud: &Aws, scope: &Scope) -> Result<Vec<(VpcEndpointId, Seen)>> {
        let call = cloud.ec2.describe_vpc_endpoints();
        let all = list_all(call.set_filters(Some(super::of_scope(scope, "vpc-id")))).await?;
        let mut all = all.iter().map(seen).collect::<Result<Vec<_>>>()?;
        all.retain(|(_, s)| s.state != "deleted" && super::in_scope(scope, &s.vpc, &s.tags));
        Ok(all)
    }
}

fn lost(state: &str) -> bool {
    matches!(state, "rejected" | "failed" | "expired" | "deleting")
}

async fn list_all(call: DescribeVpcEndpointsFluentBuilder) -> Result<Vec<types::VpcEndpoint>> {
    let all: Result<Vec<_>, _> = call.into_paginator().items().send().collect().await;
    all.named("ec2:DescribeVpcEndpoints")
}

/// The state with a small first letter: the API has been seen to send both.
fn state(endpoint: &types::VpcEndpoint) -> String {
    let text = endpoint.state().map(|s| s.as_str()).unwrap_or_default();
    let mut letters = text.chars();
    letters.next().map(|first| first.to_ascii_lowercase()).into_iter().chain(letters).collect()
}

fn seen(endpoint: &types::VpcEndpoint) -> Result<(VpcEndpointId, Seen)> {
    let call = "ec2:DescribeVpcEndpoints";
    let id = super::sent(call, "vpcEndpointId", endpoint.vpc_endpoint_id())?;
    let flavour = match endpoint.vpc_endpoint_type() {
        Some(VpcEndpointType::Gateway) => Flavour::Gateway,
        _ => Flavour::Interface,
    };
    let ids = |list: &[String]| -> Vec<String> { list.to_vec() };
    let seen = Seen {
        vpc: super::sent(call, "vpcId", endpoint.vpc_id())?.into(),
        service: endpoint.service_name().unwrap_or_default().to_owned(),
        flavour,
        route_tables: ids(endpoint.route_table_ids()).into_iter().map(RouteTableId).collect(),
        subnets: ids(endpoint.subnet_ids()).into_iter().map(SubnetId).collect(),
        groups: endpoint.groups().iter().filter_map(|g| g.group_id()).map(GroupId::from).collect(),
        private_dns: flavour == Flavour::Interface
            && endpoint.private_dns_enabled().unwrap_or(false),
        // One we cannot make sense of counts as one that says nothing, which differs from any we want.
        policy: endpoint.policy_document().map(|text| Policy::from_json(text).unwrap_or_default()),
        tags: super::tags(endpoint.tags()),
        state: state(endpoint),
        dns_names: endpoint
            .dns_entries()
            .iter()
            .filter_map(|e| e.dns_name().map(str::to_owned))
            .collect(),
        network_interfaces: ids(endpoint.network_interface_ids()),
    };
    Ok((id.into(), seen))
}
