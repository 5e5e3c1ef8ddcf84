//! The parts of a spec that are either made or used, and why one is only used.

use std::collections::BTreeMap;
use std::fmt;

use engine::{Address, Group};

/// A part of the spec that can be used instead of made. VPCs and workspaces go by name; an owner is a
/// workspace, or `account.NAME` for what several share.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    Vpc(String),
    /// NAT gateways with their addresses, subnets, route table and internet gateway.
    Nat(String),
    EndpointSubnets(String),
    EndpointGroup(String),
    /// The endpoint of an AWS service, or of Databricks: `s3`, `rest`.
    Endpoint(String, String),
    /// `rest`, `relay` or `frontend` as Databricks knows it.
    Registration(String, String),
    Peering(String),
    /// The subnets of a workspace with their route tables.
    Subnets(String),
    Group(String),
    Credentials(String),
    Role(String),
    Access(String),
    Storage(String),
    Bucket(String),
    CatalogRole(String),
    /// A role for nodes with its instance profile.
    Profile(String, String),
}

/// Parts that are only used, each with the reason.
pub type Used = BTreeMap<Part, String>;

impl Part {
    /// The part that a resource belongs to; `None` when the spec cannot use it instead.
    pub(crate) fn of(address: &Address, group: &Group) -> Option<Part> {
        let name = address.name();
        let end = name.split_once('.').map_or("", |(_, end)| end).to_owned();
        let (Group::Shared(owner) | Group::Workspace(owner)) = group;
        let owner = owner.clone();
        let shared = matches!(group, Group::Shared(_));
        Some(match address.kind() {
            "aws.vpc" => Part::Vpc(owner),
            "aws.subnet" | "aws.route_table" if !shared => Part::Subnets(owner),
            "aws.subnet" | "aws.route_table" if end.starts_with("endpoints") => {
                Part::EndpointSubnets(owner)
            }
            "aws.subnet"
            | "aws.route_table"
            | "aws.internet_gateway"
            | "aws.elastic_ip"
            | "aws.nat_gateway" => Part::Nat(owner),
            "aws.security_group" | "aws.security_group_rules" => match end.as_str() {
                "nodes" => Part::Group(owner),
                "endpoints" => Part::EndpointGroup(owner),
                _ => Part::Peering(name.split('.').next().unwrap_or_default().to_owned()),
            },
            "aws.vpc_endpoint" => Part::Endpoint(owner, end),
            "databricks.vpc_endpoint" => Part::Registration(owner, end),
            "aws.vpc_peering" | "aws.route" => {
                Part::Peering(name.split('.').next().unwrap_or_default().to_owned())
            }
            "aws.role" if shared => Part::Role(name.to_owned()),
            "aws.role" if end == "databricks" => Part::Role(owner),
            "aws.role" if end == "catalog" => Part::CatalogRole(owner),
            "aws.role" | "aws.instance_profile" => {
                Part::Profile(owner, end.trim_start_matches("node-").to_owned())
            }
            "aws.bucket" | "aws.bucket_policy" => Part::Bucket(owner),
            "databricks.storage_configuration" => Part::Storage(owner),
            "databricks.credentials" => Part::Credentials(name.to_owned()),
            "databricks.private_access_settings" => Part::Access(name.to_owned()),
            _ => return None,
        })
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Part::Vpc(vpc) => write!(f, "the VPC `{vpc}`"),
            Part::Nat(vpc) => write!(f, "the NAT gateways of `{vpc}`"),
            Part::EndpointSubnets(vpc) => write!(f, "the endpoint subnets of `{vpc}`"),
            Part::EndpointGroup(vpc) => write!(f, "the security group of the endpoints of `{vpc}`"),
            Part::Endpoint(vpc, which) => write!(f, "the endpoint `{which}` of `{vpc}`"),
            Part::Registration(vpc, which) => write!(f, "the registration `{which}` of `{vpc}`"),
            Part::Peering(name) => write!(f, "the peering `{name}`"),
            Part::Subnets(workspace) => write!(f, "the subnets of `{workspace}`"),
            Part::Group(workspace) => write!(f, "the security group of `{workspace}`"),
            Part::Credentials(owner) => write!(f, "the credentials of `{owner}`"),
            Part::Role(owner) => write!(f, "the role of `{owner}`"),
            Part::Access(owner) => write!(f, "the private access settings of `{owner}`"),
            Part::Storage(workspace) => write!(f, "the storage configuration of `{workspace}`"),
            Part::Bucket(workspace) => write!(f, "the bucket of `{workspace}`"),
            Part::CatalogRole(workspace) => write!(f, "the catalog role of `{workspace}`"),
            Part::Profile(workspace, name) => {
                write!(f, "the instance profile `{name}` of `{workspace}`")
            }
        }
    }
}
