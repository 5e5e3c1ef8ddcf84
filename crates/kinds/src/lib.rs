//! Every kind of resource dbxctl manages: one file each, and the list of them.
//!
//! A kind states facts and makes single API calls; whatever loops, waits or retries is the engine's.

pub mod aws;
pub mod catalogue;
pub mod databricks;
pub mod fixtures;
pub mod platform;
pub mod policy;
pub mod users;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use engine::{AnyKind, Calls, Kinds};

/// Tags of an object; in AWS with the mark among them and without the platform's own (`aws:*`).
pub type Tags = BTreeMap<String, String>;

engine::id! {
    /// An Amazon resource name.
    Arn,
}

/// The clients the kinds' calls need.
#[derive(Clone)]
pub struct Clients {
    pub aws: ::aws::Aws,
    pub databricks: ::databricks::Account,
}

impl AsRef<::aws::Aws> for Clients {
    fn as_ref(&self) -> &::aws::Aws {
        &self.aws
    }
}

impl AsRef<::databricks::Account> for Clients {
    fn as_ref(&self) -> &::databricks::Account {
        &self.databricks
    }
}

/// All kinds, in the order a first apply meets them.
pub static KINDS: &[&dyn Calls<Clients>] = &[
    &aws::vpc::Vpc,
    &aws::subnet::Subnet,
    &aws::internet_gateway::InternetGateway,
    &aws::elastic_ip::ElasticIp,
    &aws::nat_gateway::NatGateway,
    &aws::route_table::RouteTable,
    &aws::vpc_peering::VpcPeering,
    &aws::route::Route,
    &aws::security_group::SecurityGroup,
    &aws::security_group_rules::SecurityGroupRules,
    &aws::vpc_endpoint::VpcEndpoint,
    &aws::role::Role,
    &aws::instance_profile::InstanceProfile,
    &aws::bucket::Bucket,
    &aws::bucket_policy::BucketPolicy,
    &databricks::credentials::Credentials,
    &databricks::storage_configuration::StorageConfiguration,
    &databricks::vpc_endpoint::Registration,
    &databricks::private_access_settings::PrivateAccessSettings,
    &databricks::network::Network,
    &databricks::workspace::Workspace,
];

/// The same kinds without their calls: what planning needs.
pub fn facts() -> Kinds {
    static FACTS: LazyLock<Vec<&'static dyn AnyKind>> =
        LazyLock::new(|| KINDS.iter().map(|kind| *kind as &dyn AnyKind).collect());
    Kinds(&FACTS)
}
