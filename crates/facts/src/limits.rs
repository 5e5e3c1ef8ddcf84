//! How many of a thing there may be. Only figures that a source gives; accounts may have agreed on others.

/// One limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    pub id: &'static str,
    /// What is counted.
    pub what: &'static str,
    /// The most there may be.
    pub limit: u32,
    /// In what it is counted.
    pub per: &'static str,
    pub source: &'static str,
    /// When the source said so, `YYYY-MM-DD` as far as it is known.
    pub date: &'static str,
    /// Whether it can be raised on request; `None` when no source tells.
    pub adjustable: Option<bool>,
}

pub const NETWORK_GROUPS: Limit = Limit {
    id: "network.security-groups",
    what: "security groups",
    limit: 5,
    per: "network configuration",
    source: "Databricks SDK for Go and Terraform provider (mws_networks): one to five",
    date: "2026-08",
    adjustable: None,
};

pub const NETWORK_ZONE_SUBNETS: Limit = Limit {
    id: "network.subnets-per-zone",
    what: "workspace subnets in one zone",
    limit: 1,
    per: "network configuration and zone",
    source: "Databricks Terraform provider (mws_networks)",
    date: "2026-08",
    adjustable: None,
};

pub const GROUP_INGRESS: Limit = Limit {
    id: "security-group.ingress",
    what: "inbound rules",
    limit: 60,
    per: "security group",
    source: "AWS default quota; general knowledge, not looked up",
    date: "2026-11-22",
    adjustable: Some(true),
};

pub const GROUP_EGRESS: Limit =
    Limit { id: "security-group.egress", what: "outbound rules", ..GROUP_INGRESS };

pub const PRIVATE_DNS: Limit = Limit {
    id: "vpc.private-dns-per-service",
    what: "interface endpoints of one service with private DNS",
    limit: 1,
    per: "VPC and service",
    source: "the error of AWS: private-dns-enabled cannot be set because there is already a conflicting DNS domain",
    date: "2026-11-22",
    adjustable: Some(false),
};

pub const ROOT_BUCKET: Limit = Limit {
    id: "bucket.workspaces",
    what: "workspaces with it as root bucket",
    limit: 1,
    per: "bucket",
    source: "Databricks, root bucket page: a bucket of its own for each workspace",
    date: "2026-11-22",
    adjustable: None,
};

pub const STORAGE_CONFIGURATIONS: Limit = Limit {
    id: "account.storage-configurations",
    what: "storage configurations",
    limit: 50,
    per: "Databricks account",
    source: "Databricks Terraform provider, issue 1586: seen once",
    date: "2022",
    adjustable: None,
};

pub const AUDIT_DELIVERIES: Limit = Limit {
    id: "account.audit-log-deliveries",
    what: "configurations that deliver audit logs",
    limit: 2,
    per: "Databricks account",
    source: "Databricks Security Reference Architecture",
    date: "2026-07-23",
    adjustable: None,
};

pub const METASTORES: Limit = Limit {
    id: "account.metastores",
    what: "Unity Catalog metastores",
    limit: 1,
    per: "Databricks account and region",
    source: "Unity Catalog; general knowledge, not looked up",
    date: "2026-11-22",
    adjustable: None,
};

/// A limit of network connectivity configurations (NCC).
const fn ncc(id: &'static str, what: &'static str, limit: u32, per: &'static str) -> Limit {
    Limit {
        id,
        what,
        limit,
        per,
        source: "Databricks, serverless network connectivity pages, partly read",
        date: "2026-11-22",
        adjustable: None,
    }
}

pub const NCC_PER_WORKSPACE: Limit =
    ncc("workspace.ncc", "network connectivity configurations", 1, "workspace");
pub const NCC_PER_REGION: Limit =
    ncc("region.ncc", "network connectivity configurations", 10, "Databricks account and region");
pub const NCC_WORKSPACES: Limit =
    ncc("ncc.workspaces", "workspaces", 50, "network connectivity configuration");
pub const NCC_ENDPOINTS: Limit = ncc(
    "region.serverless-endpoints",
    "private endpoints of serverless compute",
    30,
    "Databricks account and region",
);
pub const NCC_DOMAINS: Limit = ncc("ncc.rule-domains", "domains", 10, "private endpoint rule");

/// All of them: what a network takes first, then what an account has.
pub const ALL: [Limit; 14] = [
    NETWORK_GROUPS,
    NETWORK_ZONE_SUBNETS,
    GROUP_INGRESS,
    GROUP_EGRESS,
    PRIVATE_DNS,
    ROOT_BUCKET,
    STORAGE_CONFIGURATIONS,
    AUDIT_DELIVERIES,
    METASTORES,
    NCC_PER_WORKSPACE,
    NCC_PER_REGION,
    NCC_WORKSPACES,
    NCC_ENDPOINTS,
    NCC_DOMAINS,
];
