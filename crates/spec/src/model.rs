//! The language: what a spec may say. What it means is checked in `meaning`.
//!
//! Every field says what changing it costs later: *in place*, *choreographed* (several steps, one
//! plan), *one-way* (can be turned on, never off) or *immutable* (a new object).

use std::collections::{BTreeMap, BTreeSet};

use ipnet::Ipv4Net;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::remote::Remote;

/// Databricks workspaces on AWS, and the network below them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// The version of this language: always `dbxctl/v1`. Change: in place.
    #[serde(rename = "apiVersion")]
    pub api_version: ApiVersion,
    /// The name of the stack: prefixes names and tags, and keys the state. 2 to 40 characters of
    /// a-z, 0-9 and hyphen, beginning with a letter. Change: immutable (another name is another
    /// stack).
    #[schemars(regex(pattern = r"^[a-z][a-z0-9-]{0,38}[a-z0-9]$"))]
    pub name: String,
    /// The AWS region of everything in this spec, such as `ap-northeast-1`. Change: immutable.
    pub region: String,
    /// The AWS account. Change: immutable.
    pub aws: AwsAccount,
    /// The Databricks account. Change: immutable.
    pub databricks: DatabricksAccount,
    /// Where the state is kept. Default: in a file beside the spec. Change: in place, after the
    /// state was moved with `dbxctl state pull` and `dbxctl state push`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<StateStore>,
    /// Tags for every AWS object made, and custom tags of every workspace. Change: in place, but the
    /// last custom tag of a workspace cannot be taken away.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// Networks, by name. Change: choreographed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub vpcs: BTreeMap<String, Vpc>,
    /// Connections to VPCs outside this spec, by name. Change: in place.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub peerings: BTreeMap<String, Peering>,
    /// Credentials several workspaces share, by name. Change: choreographed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub credentials: BTreeMap<String, Credentials>,
    /// Private access settings several workspaces share, by name. Change: choreographed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub private_access_settings: BTreeMap<String, PrivateAccessSettings>,
    /// Workspaces, by name. Change: choreographed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub workspaces: BTreeMap<String, Workspace>,
    /// Names, descriptions and tags of single objects, by address (`aws.vpc/main`), where they differ
    /// from those dbxctl gives: for objects that were made by other means. Change: as for the object.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, Label>,
    /// Names of workspaces that may be deleted or replaced together with their root bucket.
    /// Without the name here, a plan that would do it is refused. Change: in place.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub allow_deletion: BTreeSet<String>,
    /// Names of workspaces whose root bucket may be deleted with everything in it, old versions too.
    /// Without the name here, only an empty bucket can be deleted. Change: in place.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub allow_emptying: BTreeSet<String>,
    /// What must be true of the networks of all workspaces, beyond what they need. `dbxctl check` proves
    /// it from the spec, and nothing is planned that breaks it. Change: in place.
    #[serde(default, skip_serializing_if = "Requirements::is_empty")]
    pub requirements: Requirements,
    /// Findings of `dbxctl check` that are known and accepted: rule to reason. They are still shown,
    /// also in every plan. Change: in place.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub accept: BTreeMap<String, String>,
    /// Parts of this spec that had other names: former name to present name. Their objects stay as
    /// they are, and so do the names and places dbxctl derived from the former name: keep the entry
    /// as long as they exist. Change: in place.
    #[serde(default, skip_serializing_if = "Moved::is_empty")]
    pub moved: Moved,
    /// Parts that are no longer in this spec and whose objects stay: dbxctl forgets them instead of
    /// deleting them. Change: in place.
    #[serde(default, skip_serializing_if = "Forget::is_empty")]
    pub forget: Forget,
}

/// What must be true of the networks of all workspaces.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Requirements {
    /// Whether nodes may reach anything through the internet. Default: `allowed`. Change: in place.
    #[serde(default)]
    pub internet: Internet,
    /// What nodes must be proven to reach: an id or name from the matrix of `dbxctl check` (`D13`, `sts`),
    /// or `HOST:PORT`, `ADDRESS:PORT` or `CIDR:PORT`. Change: in place.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub reach: BTreeSet<String>,
}

impl Requirements {
    fn is_empty(&self) -> bool {
        *self == Requirements::default()
    }
}

/// Whether nodes may go through the internet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Internet {
    /// As the network has it.
    #[default]
    Allowed,
    /// A way that exists only through a NAT gateway counts as blocked.
    Forbidden,
}

/// Former names and present ones.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Moved {
    /// VPCs. Change: in place.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub vpcs: BTreeMap<String, String>,
    /// Shared credentials. Change: in place.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub credentials: BTreeMap<String, String>,
    /// Shared private access settings. Change: in place.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub private_access_settings: BTreeMap<String, String>,
    /// Workspaces. Change: in place.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub workspaces: BTreeMap<String, String>,
}

impl Moved {
    /// The maps, each with the part of the spec it is about.
    pub fn parts(&self) -> [(&'static str, &BTreeMap<String, String>); 4] {
        let Moved { vpcs, credentials, private_access_settings, workspaces } = self;
        [
            ("vpcs", vpcs),
            ("credentials", credentials),
            ("private_access_settings", private_access_settings),
            ("workspaces", workspaces),
        ]
    }

    fn is_empty(&self) -> bool {
        self.parts().iter().all(|(_, names)| names.is_empty())
    }
}

/// The first name a part had: what was derived from it stays.
pub fn first_name<'a>(moved: &'a BTreeMap<String, String>, name: &'a str) -> &'a str {
    // Each name is left behind once: more steps than entries would be a circle.
    (0..moved.len()).fold(name, |name, _| {
        moved.iter().find(|(_, to)| *to == name).map_or(name, |(from, _)| from)
    })
}

/// Names of parts whose objects stay.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Forget {
    /// VPCs. Change: in place.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub vpcs: BTreeSet<String>,
    /// Shared credentials. Change: in place.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub credentials: BTreeSet<String>,
    /// Shared private access settings. Change: in place.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub private_access_settings: BTreeSet<String>,
    /// Workspaces. Change: in place.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub workspaces: BTreeSet<String>,
}

impl Forget {
    /// The sets, each with the part of the spec it is about.
    pub fn parts(&self) -> [(&'static str, &BTreeSet<String>); 4] {
        let Forget { vpcs, credentials, private_access_settings, workspaces } = self;
        [
            ("vpcs", vpcs),
            ("credentials", credentials),
            ("private_access_settings", private_access_settings),
            ("workspaces", workspaces),
        ]
    }

    fn is_empty(&self) -> bool {
        self.parts().iter().all(|(_, names)| names.is_empty())
    }
}

/// How one object is labelled, where that differs from what dbxctl gives.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Label {
    /// Its name. Those of workspaces and buckets are said there, with `display_name` and
    /// `storage.bucket`. Change: choreographed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its description. Change: in place for a role, choreographed for a security group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// All its tags: it gets neither those of the stack nor a `Name` besides. Change: in place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<BTreeMap<String, String>>,
}

/// The versions of the language this program speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ApiVersion {
    #[serde(rename = "dbxctl/v1")]
    V1,
}

/// Which AWS account this is for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AwsAccount {
    /// The account number, 12 digits, in quotes. dbxctl refuses to run as any other account.
    /// Change: immutable.
    #[schemars(regex(pattern = r"^[0-9]{12}$"))]
    pub account: String,
}

/// Which Databricks account this is for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DatabricksAccount {
    /// The account id, a UUID, as the account console shows it. Change: immutable.
    #[schemars(regex(pattern = r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"))]
    pub account: String,
}

/// A place for the state that several machines reach.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StateStore {
    /// In a bucket that exists, in the region of the spec. Change: in place, after the state was
    /// moved.
    pub s3: S3State,
}

/// A bucket for the state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct S3State {
    /// The bucket's name. Turn versioning on, so that every earlier state can be had again. Change:
    /// in place, after the state was moved.
    pub bucket: String,
    /// The folder in it; below it every stack has one of its own name. Default: the top of the
    /// bucket. Change: in place, after the state was moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// The ARN of the KMS key that encrypts it. Default: keys of S3. Change: in place; what was
    /// written before keeps its key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kms_key: Option<String>,
}

/// A network: made (give `cidr` and `zones`) or used (give `use`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Vpc {
    /// The address range of a VPC to be made, such as `10.0.0.0/16`. Change: immutable; declare
    /// another VPC and move the workspaces there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub cidr: Option<Ipv4Net>,
    /// A VPC that exists. It is read and checked, never changed. Change: immutable.
    #[serde(default, rename = "use", skip_serializing_if = "Option::is_none")]
    pub existing: Option<ExistingVpc>,
    /// The availability zones in which subnets are made, at least two. The first one listed holds
    /// the NAT gateway when there is a single one. Change: in place to add one; choreographed to
    /// take one away.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub zones: Vec<String>,
    /// How nodes reach the internet: `single` (one NAT gateway), `per_zone`, or `none`. Default:
    /// `single` for a VPC that is made, `none` for one that is used. Change: choreographed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nat: Option<Nat>,
    /// Where the subnets of NAT gateways lie. Default: a /28 per zone at the top of the VPC.
    /// Change: choreographed; NAT gateways are made anew, with no way out in between.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_subnets: Option<ServiceSubnets>,
    /// Where the subnets of interface endpoints lie. Default: a /27 per zone at the top of the
    /// VPC. Change: choreographed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint_subnets: Option<ServiceSubnets>,
    /// A security group that exists, for the interface endpoints. Default: one is made that admits
    /// exactly the clusters of this VPC. Change: in place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint_group: Option<ExistingGroup>,
    /// AWS services reached without the internet. Default: `s3`, `sts` and `kinesis`. Change: in
    /// place.
    #[serde(default = "default_endpoints")]
    pub endpoints: BTreeSet<Service>,
    /// Endpoints of AWS services that exist, by service: they are used and not made. Change: in
    /// place.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub use_endpoints: BTreeMap<Service, String>,
    /// Private connections to Databricks. Change: one-way.
    #[serde(default, skip_serializing_if = "PrivateLink::is_off")]
    pub private_link: PrivateLink,
}

/// A VPC that exists, and what in it is used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExistingVpc {
    /// The VPC's id. Change: immutable.
    #[schemars(regex(pattern = r"^vpc-[0-9a-f]{8,17}$"))]
    pub vpc: String,
    /// The range in which subnets are made when their CIDRs are not given; the VPC must have it.
    /// Change: immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub cidr: Option<Ipv4Net>,
    /// Route tables of the used workspace subnets: the S3 endpoint is attached to them, and
    /// peerings add their routes. Change: in place.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub route_tables: BTreeSet<String>,
    /// The VPC's internet gateway; needed when NAT gateways are made here. Change: in place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub internet_gateway: Option<String>,
    /// NAT gateways by zone: route tables that are made here send outbound traffic to the one of
    /// their zone, else to the first. Change: in place.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub nat_gateways: BTreeMap<String, String>,
}

/// How nodes reach the internet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Nat {
    /// One NAT gateway, in the first zone listed, for all of them.
    Single,
    /// A NAT gateway in every zone.
    PerZone,
    /// No way to the internet: everything goes through endpoints.
    None,
}

/// Subnets that serve others: for NAT gateways or for endpoints.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServiceSubnets {
    /// CIDRs by zone. Change: choreographed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<String, String>")]
    pub cidrs: BTreeMap<String, Ipv4Net>,
    /// Subnets that exist, by zone. Change: in place.
    #[serde(default, rename = "use", skip_serializing_if = "BTreeMap::is_empty")]
    pub existing: BTreeMap<String, String>,
}

/// A security group that exists.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExistingGroup {
    /// The group's id. Change: choreographed.
    #[serde(rename = "use")]
    #[schemars(regex(pattern = r"^sg-[0-9a-f]{8,17}$"))]
    pub id: String,
}

/// An AWS service with endpoints in a VPC.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Service {
    S3,
    Sts,
    Kinesis,
    Dynamodb,
    Ec2,
    Glue,
    Kms,
    Logs,
    Secretsmanager,
    Ssm,
}

/// Private connections to Databricks, for the workspaces in the VPC.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PrivateLink {
    /// Nodes reach the control plane through the REST and relay endpoints. Change: one-way.
    #[serde(default)]
    pub backend: bool,
    /// Users reach workspaces through an endpoint in this VPC. Change: one-way.
    #[serde(default)]
    pub frontend: bool,
    /// Whether users come in through the REST endpoint of the nodes (`shared`) or through one of
    /// their own (`own`, without private DNS: bring your own private zone). Change: choreographed.
    #[serde(default)]
    pub frontend_endpoint: FrontendEndpoint,
    /// Where users come from: the ranges that may open the endpoint for users on port 443. Default:
    /// the range of the VPC. Change: in place.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(with = "BTreeSet<String>")]
    pub clients: BTreeSet<Ipv4Net>,
    /// How users' machines learn the private addresses of the workspace names. Default: `vpc` when
    /// users share the endpoint of the nodes, else nothing. Change: in place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_names: Option<UserNames>,
    /// AWS endpoints to Databricks that exist: they are used and registered, not made. Change:
    /// immutable while workspaces use them.
    #[serde(default, rename = "use", skip_serializing_if = "Option::is_none")]
    pub existing: Option<PrivateLinkIds>,
    /// Databricks registrations (UUIDs) that exist: neither the endpoint nor its registration is
    /// made. Change: choreographed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub use_registrations: Option<PrivateLinkIds>,
    /// Endpoint service names, for a region whose names this program does not know. Change:
    /// immutable while workspaces use the endpoints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub services: Option<PrivateLinkServices>,
}

/// How users' machines learn private addresses. dbxctl makes none of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UserNames {
    /// They are in the VPC, whose endpoint has private DNS.
    Vpc,
    /// A private hosted zone that they ask.
    Zone,
    /// Their own resolvers forward these names to the VPC.
    Forwarded,
}

/// Through which endpoint users come in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FrontendEndpoint {
    /// The REST endpoint that the nodes use.
    #[default]
    Shared,
    /// A second endpoint to the same service.
    Own,
}

/// Ids of objects behind a private connection.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PrivateLinkIds {
    /// For REST calls of the nodes. Change: choreographed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rest: Option<String>,
    /// For the secure cluster connectivity relay. Change: choreographed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relay: Option<String>,
    /// For users, when it is an endpoint of its own. Change: choreographed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frontend: Option<String>,
}

/// Names of Databricks' endpoint services.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PrivateLinkServices {
    /// The REST service: `com.amazonaws.vpce.REGION.vpce-svc-…`. Change: as
    /// that of the whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rest: Option<String>,
    /// The relay service: `com.amazonaws.vpce.REGION.vpce-svc-…`. Change: as
    /// that of the whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relay: Option<String>,
}

/// A connection from a VPC of this spec to one outside it, with routes and rules on both sides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Peering {
    /// The VPC of this spec, by name. Change: immutable.
    pub from: String,
    /// The VPC at the other end. Change: immutable.
    pub to: PeerVpc,
    /// Accept the connection from this side too; it needs the same AWS account and region at both
    /// ends. Default: true. Change: in place.
    #[serde(default = "yes")]
    pub accept: bool,
    /// Names of either side resolve to private addresses on the other. Default: true. Change: in
    /// place.
    #[serde(default = "yes")]
    pub dns: bool,
}

/// A VPC outside this spec.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PeerVpc {
    /// Its id. Change: immutable.
    #[schemars(regex(pattern = r"^vpc-[0-9a-f]{8,17}$"))]
    pub vpc: String,
    /// Its address range; it may not overlap the VPC of this spec. Change: in place.
    #[schemars(with = "String")]
    pub cidr: Ipv4Net,
    /// Its route tables that shall lead back here. Change: in place.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub route_tables: BTreeSet<String>,
    /// Its AWS account, when it is another one. Routes and rules over there are then up to you.
    /// Change: immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Its region, when it is another one. Routes and rules over there are then up to you.
    /// Change: immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
}

/// The role with which Databricks works in the AWS account, shared by several workspaces.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// What the role may do. Default: `customer`, or `managed` when a workspace without a VPC uses
    /// it. Change: in place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<RolePolicy>,
    /// The ARN of a role that exists. Default: a role is made. Change: choreographed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// The id (UUID) of credentials that exist in the Databricks account; nothing is made. Change:
    /// in place.
    #[serde(default, rename = "use", skip_serializing_if = "Option::is_none")]
    pub existing: Option<String>,
}

/// What Databricks may do in the AWS account.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum RolePolicy {
    /// Also build networks: for workspaces without a VPC of yours.
    Managed,
    /// Run clusters in any VPC of the account.
    Customer,
    /// Run clusters in one VPC with one security group: for exactly one workspace.
    Restricted,
}

/// Who may reach workspaces, shared by several of them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PrivateAccessSettings {
    /// Whether users may come from the internet; the workspaces that refer to these settings must
    /// say the same. Default: true. Change: in place, both ways; users lose access when it is
    /// turned off.
    #[serde(default = "yes")]
    pub public_access: bool,
    /// Which private endpoints may reach the workspaces. Default: `account`. Change: in place.
    #[serde(default)]
    pub level: AccessLevel,
    /// With level `endpoint`: names of VPCs whose endpoint for users may. Change: in place.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub allowed: BTreeSet<String>,
    /// With level `endpoint`: further registrations (UUIDs) that may. Change: in place.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub allowed_registrations: BTreeSet<String>,
    /// The id (UUID) of settings that exist; nothing is made. Change: in place.
    #[serde(default, rename = "use", skip_serializing_if = "Option::is_none")]
    pub existing: Option<String>,
}

/// Which private endpoints may reach a workspace.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AccessLevel {
    /// Any endpoint registered in the Databricks account.
    #[default]
    Account,
    /// Only the listed ones.
    Endpoint,
}

/// One workspace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Workspace {
    /// The name users see. Default: `STACK-NAME`. Change: immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// The VPC of this spec it lives in. Default: none, Databricks makes and manages one. Change:
    /// choreographed from one VPC of yours to another; immutable from or to one of Databricks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vpc: Option<String>,
    /// Where its nodes live. Default: room for 500 nodes in each zone of the VPC. Change:
    /// choreographed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subnets: Option<Subnets>,
    /// A security group that exists, for the nodes. Default: one is made. Change: choreographed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security_group: Option<ExistingGroup>,
    /// What its clusters use, so that `dbxctl check` can prove the way there. Change: in place.
    #[serde(default, skip_serializing_if = "Uses::is_default")]
    pub uses: Uses,
    /// Whether the nodes use the private connection of the VPC. Default: whatever the VPC has as
    /// `private_link.backend`. Change: one-way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_link: Option<bool>,
    /// Whether users may come from the internet. Default: true. Change: in place, both ways; users
    /// lose access when it is turned off.
    #[serde(default = "yes")]
    pub public_access: bool,
    /// Who may come through private endpoints. Default: any endpoint of the Databricks account.
    /// Change: in place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_access: Option<PrivateAccess>,
    /// Its root bucket. Default: a bucket `STACK-NAME-root-AWSACCOUNT`. Change: immutable.
    #[serde(default)]
    pub storage: Storage,
    /// The role with which Databricks works for it. Default: a role of its own. Change:
    /// choreographed.
    #[serde(default)]
    pub credentials: WorkspaceCredentials,
    /// Instance profiles for its clusters, by name; Databricks may pass their roles to nodes.
    /// Change: in place.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub instance_profiles: BTreeMap<String, InstanceProfile>,
    /// The pricing tier. Default: `enterprise` with private connections, else the account's.
    /// Change: immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<Tier>,
    /// The beginning of the workspace's host name, if the account has that feature. Change:
    /// immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment_name: Option<String>,
    /// Custom tags, besides those of the stack. Change: in place, but the last one cannot be taken
    /// away.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

/// What the clusters of a workspace use: nodes may call the ports for it, and `dbxctl check` proves that
/// they get there. Nothing of it is turned on in the workspace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Uses {
    /// The built-in Hive metastore, through the internet on port 3306. Say `false` once legacy access is
    /// disabled in the workspace; its nodes then no longer may call that port. Default: true, but false
    /// with `external_metastore`. Change: in place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub legacy_metastore: Option<bool>,
    /// A Hive metastore of your own instead of the built-in one. Change: in place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_metastore: Option<ExternalMetastore>,
    /// The compliance security profile: the relay is then called on port 2443. Default: false. Change: in
    /// place.
    #[serde(default)]
    pub compliance_profile: bool,
    /// Lakebase (Postgres on port 5432). Default: false. Change: in place.
    #[serde(default)]
    pub lakebase: bool,
    /// System tables. Default: true. Change: in place.
    #[serde(default = "yes")]
    pub system_tables: bool,
    /// The sample datasets of Databricks. Default: false. Change: in place.
    #[serde(default)]
    pub sample_data: bool,
    /// STS under its global name, `sts.amazonaws.com`. Default: false. Change: in place.
    #[serde(default)]
    pub global_sts: bool,
    /// AWS services that jobs call: `ec2`, `glue`, `kms`, `logs`, `secretsmanager`, `ssm`, `dynamodb`.
    /// Change: in place.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub services: BTreeSet<Service>,
    /// Buckets besides the root bucket, by name, each with its region. Change: in place.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub buckets: BTreeMap<String, String>,
    /// Package repositories, databases, brokers: `HOST:PORT`, `ADDRESS:PORT` or `CIDR:PORT`. Change: in
    /// place.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub hosts: BTreeSet<String>,
    /// The most nodes at one time, in all its zones together. Change: in place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_nodes: Option<u32>,
}

impl Default for Uses {
    fn default() -> Self {
        Uses {
            legacy_metastore: None,
            external_metastore: None,
            compliance_profile: false,
            lakebase: false,
            system_tables: true,
            sample_data: false,
            global_sts: false,
            services: BTreeSet::new(),
            buckets: BTreeMap::new(),
            hosts: BTreeSet::new(),
            peak_nodes: None,
        }
    }
}

impl Uses {
    /// Whether the built-in Hive metastore is in use.
    pub fn legacy_metastore(&self) -> bool {
        self.legacy_metastore.unwrap_or(self.external_metastore.is_none())
    }

    /// What the user names that nodes call, databases of the metastore included.
    pub fn remotes(&self) -> impl Iterator<Item = Remote> {
        let database = self.external_metastore.iter().filter_map(|metastore| match metastore {
            ExternalMetastore::Database(place) => Some(place),
            ExternalMetastore::Glue => None,
        });
        self.hosts.iter().chain(database).filter_map(|place| Remote::parse(place))
    }

    fn is_default(&self) -> bool {
        *self == Uses::default()
    }
}

/// A Hive metastore outside Databricks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ExternalMetastore {
    /// The Glue data catalog of the AWS account. Change: in place.
    Glue,
    /// A database: `HOST:PORT` or `ADDRESS:PORT`. Change: in place.
    Database(String),
}

/// Where nodes live. Give one of `nodes_per_zone`, `prefix`, `cidrs`, `use` and `share`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Subnets {
    /// Room for at least so many nodes in each zone. Change: choreographed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes_per_zone: Option<u32>,
    /// The size of the subnet in each zone, such as `/22`; `/17` to `/26`. Change: choreographed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^/[0-9]{1,2}$"))]
    pub prefix: Option<String>,
    /// With `nodes_per_zone` or `prefix`: which block of the VPC, counted from 0. Default: one
    /// derived from the name of the workspace, which never moves. Change: choreographed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block: Option<u32>,
    /// CIDRs by zone. Change: choreographed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<String, String>")]
    pub cidrs: BTreeMap<String, Ipv4Net>,
    /// Ids of subnets that exist, each in another zone. Change: choreographed.
    #[serde(default, rename = "use", skip_serializing_if = "BTreeSet::is_empty")]
    pub existing: BTreeSet<String>,
    /// The workspace whose subnets these nodes share. Change: choreographed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<String>,
    /// The zones to use, at least two. Default: all zones of the VPC. Change: choreographed.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub zones: BTreeSet<String>,
}

/// Who may reach a workspace through private endpoints: settings of its own, shared or used.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PrivateAccess {
    /// The name of shared settings in `private_access_settings`. Change: in place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared: Option<String>,
    /// Which private endpoints may reach the workspace. Default: `account`. Change: in place.
    #[serde(default)]
    pub level: AccessLevel,
    /// With level `endpoint`: names of VPCs whose endpoint for users may. Change: in place.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub allowed: BTreeSet<String>,
    /// With level `endpoint`: further registrations (UUIDs) that may. Change: in place.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub allowed_registrations: BTreeSet<String>,
    /// The id (UUID) of settings that exist; nothing is made. Change: in place.
    #[serde(default, rename = "use", skip_serializing_if = "Option::is_none")]
    pub existing: Option<String>,
}

/// The root bucket of a workspace.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Storage {
    /// The name of the bucket to make. Change: immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bucket: Option<String>,
    /// The name of a bucket that exists. Its settings and policy are left alone: the policy must
    /// admit Databricks already. Change: immutable.
    #[serde(default, rename = "use", skip_serializing_if = "Option::is_none")]
    pub existing: Option<String>,
    /// The id (UUID) of a storage configuration that exists; nothing is made. Change: immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub use_configuration: Option<String>,
    /// The ARN of a KMS key for the bucket. Default: keys managed by S3. Change: in place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kms_key: Option<String>,
    /// Keep old versions of objects; Databricks advises against it. Default: false. Change: in
    /// place.
    #[serde(default)]
    pub versioning: bool,
    /// The role with which Unity Catalog works on the bucket. Default: none. Change: immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catalog_role: Option<CatalogRole>,
}

/// A role for Unity Catalog that may assume itself. `{}` makes one.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CatalogRole {
    /// The ARN of a role that exists. Change: immutable.
    #[serde(default, rename = "use", skip_serializing_if = "Option::is_none")]
    pub existing: Option<String>,
}

/// With which credentials a workspace works: its own, shared or used.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkspaceCredentials {
    /// The name of shared credentials in `credentials`. Change: in place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared: Option<String>,
    /// What the role may do. Default: `customer` in a VPC of yours, else `managed`. Change: in
    /// place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<RolePolicy>,
    /// The ARN of a role that exists. Default: a role is made. Change: choreographed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// The id (UUID) of credentials that exist in the Databricks account; nothing is made. Change:
    /// in place.
    #[serde(default, rename = "use", skip_serializing_if = "Option::is_none")]
    pub existing: Option<String>,
}

/// A role for cluster nodes, with its instance profile. `{}` makes both, without permissions.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InstanceProfile {
    /// The ARN of a role that exists and has its instance profile; nothing is made, but Databricks
    /// may pass it to nodes. Change: in place.
    #[serde(default, rename = "use", skip_serializing_if = "Option::is_none")]
    pub existing: Option<String>,
    /// ARNs of managed policies the role gets. Change: in place.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub policies: BTreeSet<String>,
}

/// Databricks pricing tiers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    Standard,
    Premium,
    Enterprise,
}

impl Spec {
    /// The VPC of a workspace; `None` for one that Databricks manages (or a name that is unknown).
    pub fn vpc_of(&self, workspace: &Workspace) -> Option<&Vpc> {
        self.vpcs.get(workspace.vpc.as_ref()?)
    }

    /// Whether the nodes of a workspace use private connections to Databricks.
    pub fn backend_of(&self, workspace: &Workspace) -> bool {
        let vpc = self.vpc_of(workspace);
        workspace.private_link.unwrap_or_else(|| vpc.is_some_and(|v| v.private_link.backend))
    }

    /// Whether users of a workspace may come in through an endpoint of its VPC.
    pub fn frontend_of(&self, workspace: &Workspace) -> bool {
        let vpc = self.vpc_of(workspace);
        workspace.private_link != Some(false) && vpc.is_some_and(|v| v.private_link.frontend)
    }

    /// The pricing tier to ask for; `None` leaves it to the account.
    pub fn tier_of(&self, workspace: &Workspace) -> Option<Tier> {
        let private = self.backend_of(workspace) || self.frontend_of(workspace);
        workspace.tier.or((private || !workspace.public_access).then_some(Tier::Enterprise))
    }

    /// The policy of the role of a workspace that shares no credentials.
    pub fn policy_of(&self, workspace: &Workspace) -> RolePolicy {
        let default =
            if workspace.vpc.is_some() { RolePolicy::Customer } else { RolePolicy::Managed };
        workspace.credentials.policy.unwrap_or(default)
    }

    /// The policy of shared credentials.
    pub fn shared_policy(&self, name: &str, credentials: &Credentials) -> RolePolicy {
        credentials.policy.unwrap_or_else(|| {
            let users = self.workspaces.values();
            let mut users = users.filter(|w| w.credentials.shared.as_deref() == Some(name));
            if users.any(|w| w.vpc.is_none()) { RolePolicy::Managed } else { RolePolicy::Customer }
        })
    }

    /// The name users see.
    pub fn display_name(&self, name: &str, workspace: &Workspace) -> String {
        let first = first_name(&self.moved.workspaces, name);
        workspace.display_name.clone().unwrap_or_else(|| format!("{}-{first}", self.name))
    }

    /// The root bucket to be made for a workspace; `None` when one is used.
    pub fn bucket_of(&self, name: &str, workspace: &Workspace) -> Option<String> {
        let Storage { bucket, existing, use_configuration, .. } = &workspace.storage;
        if existing.is_some() || use_configuration.is_some() {
            return None;
        }
        let first = first_name(&self.moved.workspaces, name);
        let default = || format!("{}-{first}-root-{}", self.name, self.aws.account);
        Some(bucket.clone().unwrap_or_else(default))
    }

    /// The same spec with every default that depends on other fields written out.
    #[must_use]
    pub fn effective(&self) -> Spec {
        let mut effective = self.clone();
        for vpc in effective.vpcs.values_mut() {
            vpc.nat = Some(vpc.nat());
        }
        for (name, credentials) in &mut effective.credentials {
            if credentials.existing.is_none() && credentials.role.is_none() {
                credentials.policy = Some(self.shared_policy(name, credentials));
            }
        }
        for (name, workspace) in &mut effective.workspaces {
            let credentials = &workspace.credentials;
            let own_role = credentials.shared.is_none()
                && credentials.existing.is_none()
                && credentials.role.is_none();
            if own_role {
                workspace.credentials.policy = Some(self.policy_of(workspace));
            }
            workspace.display_name = Some(self.display_name(name, workspace));
            workspace.storage.bucket = self.bucket_of(name, workspace);
            workspace.tier = self.tier_of(workspace);
            if workspace.vpc.is_some() {
                workspace.private_link = Some(self.backend_of(workspace));
                workspace.subnets.get_or_insert_default().fill();
            }
        }
        effective
    }
}

impl Vpc {
    /// How nodes reach the internet, with the default filled in.
    pub fn nat(&self) -> Nat {
        let default = if self.existing.is_some() { Nat::None } else { Nat::Single };
        self.nat.unwrap_or(default)
    }

    /// Whether interface endpoints are made in it, which need subnets and a security group.
    pub fn has_interface_endpoints(&self) -> bool {
        let mut services = self.endpoints.iter();
        let made = |s: &Service| !s.is_gateway() && !self.use_endpoints.contains_key(s);
        services.any(made) || !self.private_link.made().is_empty()
    }

    /// The range in which subnets lie, when it is known.
    pub fn range(&self) -> Option<Ipv4Net> {
        self.cidr.or(self.existing.as_ref().and_then(|e| e.cidr))
    }
}

impl Service {
    /// As AWS names it at the end of `com.amazonaws.REGION.…`, but for Kinesis.
    pub fn name(self) -> &'static str {
        match self {
            Service::S3 => "s3",
            Service::Sts => "sts",
            Service::Kinesis => "kinesis",
            Service::Dynamodb => "dynamodb",
            Service::Ec2 => "ec2",
            Service::Glue => "glue",
            Service::Kms => "kms",
            Service::Logs => "logs",
            Service::Secretsmanager => "secretsmanager",
            Service::Ssm => "ssm",
        }
    }

    /// Whether it is reached by routes instead of addresses in subnets.
    pub fn is_gateway(self) -> bool {
        matches!(self, Service::S3 | Service::Dynamodb)
    }
}

/// What a private connection to Databricks is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Link {
    /// REST calls of the nodes, and users unless they have an endpoint of their own.
    Rest,
    /// The secure cluster connectivity relay.
    Relay,
    /// Users.
    Frontend,
}

impl Link {
    /// As the spec calls it.
    pub fn name(self) -> &'static str {
        match self {
            Link::Rest => "rest",
            Link::Relay => "relay",
            Link::Frontend => "frontend",
        }
    }
}

impl PrivateLinkIds {
    /// The id for that purpose, if one was given.
    pub fn get(&self, link: Link) -> Option<&str> {
        match link {
            Link::Rest => self.rest.as_deref(),
            Link::Relay => self.relay.as_deref(),
            Link::Frontend => self.frontend.as_deref(),
        }
    }
}

impl PrivateLink {
    /// The connections it consists of, made or used.
    pub fn links(&self) -> Vec<Link> {
        let own = self.frontend && self.frontend_endpoint == FrontendEndpoint::Own;
        let mut links = Vec::new();
        if self.backend || (self.frontend && !own) {
            links.push(Link::Rest);
        }
        if self.backend {
            links.push(Link::Relay);
        }
        if own {
            links.push(Link::Frontend);
        }
        links
    }

    /// The connections whose AWS endpoint is to be made.
    pub fn made(&self) -> Vec<Link> {
        let given = |ids: &Option<PrivateLinkIds>, link| {
            ids.as_ref().is_some_and(|ids| ids.get(link).is_some())
        };
        let mut links = self.links();
        links.retain(|l| !given(&self.existing, *l) && !given(&self.use_registrations, *l));
        links
    }

    /// The connection through which users come.
    pub fn users(&self) -> Option<Link> {
        let own = self.frontend_endpoint == FrontendEndpoint::Own;
        self.frontend.then_some(if own { Link::Frontend } else { Link::Rest })
    }

    /// Whether nothing was said about it.
    pub fn is_off(&self) -> bool {
        *self == PrivateLink::default()
    }
}

impl Subnets {
    /// Nodes per zone when nothing was said.
    pub const DEFAULT_NODES: u32 = 500;

    /// How many ways of saying where nodes live were used.
    pub fn ways(&self) -> usize {
        usize::from(self.nodes_per_zone.is_some())
            + usize::from(self.prefix.is_some())
            + usize::from(!self.cidrs.is_empty())
            + usize::from(!self.existing.is_empty())
            + usize::from(self.share.is_some())
    }

    /// The prefix length that was given; `None` when it was not, or not as `/22`.
    pub fn prefix_length(&self) -> Option<u8> {
        self.prefix.as_ref()?.strip_prefix('/')?.parse().ok()
    }

    fn fill(&mut self) {
        if self.ways() == 0 {
            self.nodes_per_zone = Some(Self::DEFAULT_NODES);
        }
    }
}

fn default_endpoints() -> BTreeSet<Service> {
    BTreeSet::from([Service::S3, Service::Sts, Service::Kinesis])
}

fn yes() -> bool {
    true
}
