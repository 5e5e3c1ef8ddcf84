//! A network as plain data: what a graph asks for, or what an account has.
//!
//! Everything the analyser decides, it decides from this. Whoever fills it (the planned graph today, see
//! [`Topology::of`]) decides nothing.

mod graph;

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use kinds::policy::Policy;

/// The address of an object in the graph; of one that was only met in a live account, its id.
pub type Key = String;

/// Objects of one sort. `None` for one that exists already and has not been read: whatever depends on it
/// is unknown.
pub type Objects<T> = BTreeMap<Key, Option<T>>;

/// Networks, and the workspaces in them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Topology {
    pub region: String,
    pub vpcs: Objects<Vpc>,
    pub subnets: Objects<Subnet>,
    pub route_tables: Objects<RouteTable>,
    pub internet_gateways: Objects<InternetGateway>,
    pub nat_gateways: Objects<NatGateway>,
    pub peerings: Objects<Peering>,
    pub groups: Objects<SecurityGroup>,
    /// A subnet that none of these names has the VPC's default one, which lets everything through.
    pub acls: Objects<NetworkAcl>,
    pub endpoints: Objects<Endpoint>,
    pub zones: Objects<PrivateZone>,
    /// What Databricks knows of endpoints, by registration.
    pub registrations: BTreeMap<Key, Connection>,
    /// By name; those in VPCs that Databricks manages have no network here.
    pub workspaces: BTreeMap<String, Nodes>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Vpc {
    /// Its blocks, the first one first.
    pub cidrs: Vec<Ipv4Net>,
    pub dns_support: bool,
    pub dns_hostnames: bool,
    pub resolver: Resolver,
}

/// Who answers names in a VPC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolver {
    /// `AmazonProvidedDNS`.
    Amazon,
    /// Servers of the user; nobody can see from here what they answer.
    Own(Vec<Ipv4Addr>),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Subnet {
    pub vpc: Key,
    pub cidr: Ipv4Net,
    /// The name of its availability zone.
    pub zone: String,
    /// Whether what starts in it gets a public address.
    pub public_ips: bool,
    pub table: Association,
}

/// Which route table a subnet has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Association {
    /// By word.
    Table(Key),
    /// By default: the main table of a VPC nobody has given routes to. It has the local route only.
    FreshMain,
    /// It exists already and no table that was read names it.
    Unknown,
}

/// The route table of a subnet, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Table<'a> {
    /// The main table of a VPC nobody has given routes to.
    FreshMain,
    Known(&'a Key, &'a RouteTable),
    /// It has this one, which was not read.
    Unread(&'a Key),
    /// Nobody knows which.
    Unknown,
}

impl Topology {
    /// The route table of a subnet.
    pub fn table<'a>(&'a self, subnet: &'a Subnet) -> Table<'a> {
        match &subnet.table {
            Association::FreshMain => Table::FreshMain,
            Association::Unknown => Table::Unknown,
            Association::Table(key) => match self.route_tables.get(key) {
                Some(Some(table)) => Table::Known(key, table),
                _ => Table::Unread(key),
            },
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct RouteTable {
    pub vpc: Key,
    /// Routes besides the local one and those of gateway endpoints.
    pub routes: BTreeMap<Ipv4Net, Target>,
    /// Whether others may add routes this topology does not show (a used table that was not read).
    pub partial: bool,
}

/// Where a route leads.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    InternetGateway(Key),
    NatGateway(Key),
    Peering(Key),
    /// Control leaves the account: `tgw-…`.
    TransitGateway(String),
    /// An appliance, a firewall endpoint, something unknown, by what the API calls it.
    Other(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InternetGateway {
    /// The VPC it is attached to.
    pub vpc: Option<Key>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NatGateway {
    pub subnet: Key,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Peering {
    pub vpc: Key,
    pub peer_vpc: String,
    /// The ranges at the other end.
    pub peer_cidrs: Vec<Ipv4Net>,
    /// Whether routes back are known to exist: they are ours, too.
    pub routes_back: bool,
    /// Whether names resolve to private addresses across it.
    pub dns: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub struct SecurityGroup {
    pub vpc: Key,
    /// `None` when they are somebody else's and were not read.
    pub rules: Option<GroupRules>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupRules {
    pub ingress: Vec<Rule>,
    pub egress: Vec<Rule>,
}

/// One permission of a security group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    pub protocol: Protocol,
    /// Both ends included; of no meaning for [`Protocol::All`].
    pub ports: (u16, u16),
    pub peer: Peer,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    Tcp,
    Udp,
    /// Every protocol, every port.
    All,
    /// ICMP and the rest: nothing here needs them.
    Other,
}

/// The other end of a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Peer {
    Cidr(Ipv4Net),
    /// Whoever carries that group; the group itself included.
    Group(Key),
    /// `pl-…`: the addresses of a service of AWS.
    PrefixList(String),
}

#[derive(Debug, Clone, PartialEq)]
pub struct NetworkAcl {
    pub vpc: Key,
    pub subnets: BTreeSet<Key>,
    /// In any order: the lowest number that fits decides, and nothing fitting means no.
    pub entries: Vec<AclEntry>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AclEntry {
    pub number: u16,
    pub egress: bool,
    pub protocol: Protocol,
    pub ports: (u16, u16),
    pub cidr: Ipv4Net,
    pub allow: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Endpoint {
    pub vpc: Key,
    /// `com.amazonaws.…`
    pub service: String,
    pub reach: Reach,
    /// `None` lets everything through.
    pub policy: Option<Policy>,
}

/// How an endpoint is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// By a route for the prefix list of the service, in these tables.
    Gateway { route_tables: BTreeSet<Key> },
    /// By addresses in subnets.
    Interface { subnets: BTreeSet<Key>, groups: BTreeSet<Key>, private_dns: bool },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrivateZone {
    /// Such as `privatelink.cloud.databricks.com`, without a dot at the end.
    pub name: String,
    /// The VPCs in which it is asked.
    pub vpcs: BTreeSet<Key>,
    /// By full name.
    pub records: BTreeMap<String, Answer>,
}

/// What a name leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Endpoint(Key),
    Address(Ipv4Addr),
}

/// Where the nodes of a workspace live, and how users come in.
#[derive(Debug, Clone, PartialEq)]
pub struct Nodes {
    pub vpc: Key,
    pub subnets: Vec<Key>,
    /// The groups every node carries.
    pub groups: Vec<Key>,
    /// Its REST connection, when its network configuration has one.
    pub rest: Option<Connection>,
    /// Its relay connection, when its network configuration has one.
    pub relay: Option<Connection>,
    pub access: Access,
    pub root_bucket: Option<String>,
}

/// A Databricks registration and the endpoint behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    pub registration: Key,
    /// `None` when the registration exists already and was not read.
    pub endpoint: Option<Key>,
}

/// Who may open a workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// Without private access settings: everybody, through the internet.
    Public,
    Settings {
        key: Key,
        public: bool,
        /// The registrations that may; `None` for every one of the account.
        allowed: Option<BTreeSet<Key>>,
    },
    /// Settings that exist already and were not read.
    Unknown(Key),
}
