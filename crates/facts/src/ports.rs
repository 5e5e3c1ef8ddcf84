//! Ports of a workspace's network.

/// A range of TCP ports, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ports {
    pub from: u16,
    pub to: u16,
    /// What uses them.
    pub purpose: &'static str,
}

const fn ports(from: u16, to: u16, purpose: &'static str) -> Ports {
    Ports { from, to, purpose }
}

/// The control plane's REST API, AWS APIs, repositories, and the relay over the internet.
pub const HTTPS: Ports = ports(443, 443, "REST, AWS APIs, public relay");
/// The relay with FIPS encryption.
pub const FIPS_RELAY: Ports = ports(2443, 2443, "relay with FIPS encryption");
/// The built-in Hive metastore, in Databricks' account.
pub const METASTORE: Ports = ports(3306, 3306, "built-in Hive metastore");
/// The relay over PrivateLink; not in GovCloud.
pub const RELAY: Ports = ports(6666, 6666, "relay over PrivateLink");
/// Lakebase; the rest of the world calls it Postgres.
pub const LAKEBASE: Ports = ports(5432, 5432, "Lakebase");
/// Calls from compute to the control plane (8443), Unity Catalog (8444) and future use.
pub const CONTROL_PLANE: Ports = ports(8443, 8451, "compute to control plane");
/// All ports, for traffic between nodes.
pub const ALL: Ports = ports(0, 65535, "between nodes");

/// What must leave the group of the nodes, besides traffic between them.
///
/// Source: Databricks, "Configure a customer-managed VPC". 6666 with PrivateLink only, 3306 only while
/// the built-in metastore is used.
pub fn node_egress(private_link: bool, govcloud: bool, metastore: bool) -> Vec<Ports> {
    let mut ports = vec![HTTPS, FIPS_RELAY, CONTROL_PLANE];
    if metastore {
        ports.push(METASTORE);
    }
    if private_link && !govcloud {
        ports.push(RELAY);
    }
    ports.sort_unstable();
    ports
}

/// What endpoints must admit from the group of the nodes.
///
/// Source: Security Reference Architecture (its issue 51 for 8443-8451).
pub fn endpoint_ingress(private_link: bool, govcloud: bool) -> Vec<Ports> {
    let mut ports = vec![HTTPS];
    if private_link {
        ports.extend([FIPS_RELAY, CONTROL_PLANE]);
        if !govcloud {
            ports.push(RELAY);
        }
    }
    ports.sort_unstable();
    ports
}
