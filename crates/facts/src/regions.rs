//! What differs between regions.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

/// What is known about Databricks in one AWS region.
#[derive(Debug, Clone, Deserialize)]
pub struct Region {
    /// The AWS name: `ap-northeast-1`.
    #[serde(rename = "region")]
    pub name: String,
    /// The city, or another name people use.
    pub city: Option<String>,
    /// `supported`, or why it is not.
    pub status: String,
    /// As in ARNs: `aws` or `aws-us-gov`.
    pub partition: String,
    /// Databricks' endpoint services.
    pub endpoint_services: EndpointServices,
    /// What the region offers.
    #[serde(default)]
    pub features: Features,
    /// The host of secure cluster connectivity, over the internet.
    pub scc_relay_hostname: Option<String>,
    /// The same over PrivateLink.
    pub scc_relay_privatelink_hostname: Option<String>,
    /// The built-in metastore, in Databricks' account.
    pub legacy_hive_metastore: Option<Metastore>,
    /// The web application and its API, over the internet.
    pub web_app_hostname: Option<String>,
    /// The same over PrivateLink.
    pub rest_privatelink_hostname: Option<String>,
    /// What that name would be by the pattern of the other regions: an inference.
    pub rest_privatelink_hostname_pattern: Option<String>,
    /// Buckets of Databricks that nodes use.
    #[serde(default)]
    pub buckets: Buckets,
    /// Whose these buckets are.
    pub bucket_owner_accounts: Option<BucketOwners>,
    /// The host of the Kinesis streams that nodes write to; not always one of the region itself.
    pub kinesis_endpoint: Option<String>,
}

/// Names of Databricks' endpoint services in one region; `None` when no source gives one.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct EndpointServices {
    /// For REST calls and for users.
    pub rest: Option<String>,
    /// For the secure cluster connectivity relay.
    pub scc_relay: Option<String>,
    /// Other names that some sources give for `rest`.
    #[serde(default)]
    pub rest_alternates: Vec<String>,
}

/// Buckets of Databricks in one region, by what nodes use them for; `None` when no source names one.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Buckets {
    /// Runtime images.
    pub artifacts: Option<Vec<String>>,
    /// Logs.
    pub log: Option<String>,
    pub system_tables: Option<String>,
    pub sample_datasets: Option<String>,
}

/// The AWS accounts that own buckets of Databricks; `None` when no source names one.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct BucketOwners {
    pub artifacts: Option<String>,
    pub sample_datasets: Option<String>,
}

/// What a region offers.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Features {
    /// The relay listens on 2443 and not on 6666.
    #[serde(default)]
    pub fips_relay_port_2443_only: bool,
}

/// The built-in Hive metastore.
#[derive(Debug, Clone, Deserialize)]
pub struct Metastore {
    pub hostname: Option<String>,
    pub port: Option<u16>,
}

/// What differs between AWS partitions.
#[derive(Debug, Clone, Deserialize)]
pub struct Partition {
    /// As in ARNs.
    pub arn_partition: String,
    /// Databricks' own AWS account.
    pub databricks_account_id: String,
    /// The ARN of that account's root: who assumes credential roles and writes root buckets.
    pub root_principal: String,
    /// The role with which Unity Catalog assumes storage roles.
    pub uc_master_role_arn: String,
    /// The account API and console, with scheme.
    pub account_console: String,
    /// The domain of workspace hosts.
    pub workspace_domain: String,
}

#[derive(Deserialize)]
struct File {
    compiled_on: String,
    usage: Usage,
    global: Global,
    regions: BTreeMap<String, Region>,
}

#[derive(Deserialize)]
struct Usage {
    supported_region_ids: Vec<String>,
}

#[derive(Deserialize)]
struct Global {
    partitions: BTreeMap<String, Partition>,
}

static FILE: LazyLock<File> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../data/regions.json")).expect("a test parses the file")
});

/// The region of that name; `None` when nothing is known about it.
pub fn region(name: &str) -> Option<&'static Region> {
    FILE.regions.get(name)
}

impl Region {
    /// The region in which a bucket of Databricks lies that nodes of this one use.
    ///
    /// Mostly their own; us-west-1 and Jakarta use buckets in Oregon. Read from the buckets' names, which
    /// end with a region or a city.
    pub fn bucket_region(&self, bucket: &str) -> &str {
        let named = |region: &&Region| {
            bucket.strip_suffix(region.name.as_str()).is_some_and(|rest| rest.ends_with('-'))
        };
        match FILE.regions.values().find(named) {
            Some(region) => &region.name,
            None if bucket.ends_with("-oregon") => "us-west-2",
            None => &self.name,
        }
    }
}

/// Names of the regions Databricks supports, in order.
pub fn supported() -> Vec<&'static str> {
    let mut names: Vec<_> = FILE.usage.supported_region_ids.iter().map(String::as_str).collect();
    names.sort_unstable();
    names
}

/// The day the data was compiled, `YYYY-MM-DD`.
pub fn compiled_on() -> &'static str {
    &FILE.compiled_on
}

/// The partition of a region that need not be known: GovCloud by its name, else the commercial one.
pub fn partition(region: &str) -> &'static Partition {
    let name = if is_govcloud(region) { "aws-us-gov" } else { "aws" };
    &FILE.global.partitions[name]
}

/// Whether a region, which need not be known, is one of GovCloud.
pub fn is_govcloud(region: &str) -> bool {
    region.starts_with("us-gov-")
}

/// The service name of the endpoint of an AWS service: `com.amazonaws.REGION.SERVICE`.
///
/// Kinesis is `kinesis-streams`; the others follow AWS' naming.
pub fn aws_service(region: &str, service: &str) -> String {
    let service = if service == "kinesis" { "kinesis-streams" } else { service };
    format!("com.amazonaws.{region}.{service}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn supported_regions_have_both_endpoint_services() {
        for name in supported() {
            let region = region(name).unwrap_or_else(|| panic!("{name} is not in the file"));
            let services = &region.endpoint_services;
            for service in [&services.rest, &services.scc_relay] {
                let service = service.as_deref().unwrap_or_default();
                let prefix = format!("com.amazonaws.vpce.{name}.vpce-svc-");
                assert!(service.starts_with(&prefix), "{name}: {service}");
            }
        }
    }

    #[test]
    fn buckets_lie_in_their_own_region_but_for_oregon() {
        let mut abroad = Vec::new();
        for region in FILE.regions.values() {
            let Buckets { artifacts, log, system_tables, sample_datasets } = &region.buckets;
            let one = [log, system_tables, sample_datasets].into_iter().flatten();
            for bucket in artifacts.iter().flatten().chain(one) {
                let home = region.bucket_region(bucket);
                if home != region.name {
                    abroad.push(format!("{} → {bucket} in {home}", region.name));
                }
            }
        }
        assert_eq!(
            abroad,
            [
                "ap-southeast-3 → databricks-datasets-oregon in us-west-2",
                "us-west-1 → databricks-prod-artifacts-us-west-2 in us-west-2",
                "us-west-1 → databricks-prod-storage-oregon in us-west-2",
                "us-west-1 → databricks-datasets-oregon in us-west-2",
            ]
        );
    }

    #[test]
    fn partitions_name_their_own_arns() {
        for region in ["ap-northeast-1", "us-gov-west-1"] {
            let partition = partition(region);
            let prefix = format!(
                "arn:{}:iam::{}:",
                partition.arn_partition, partition.databricks_account_id
            );
            assert_eq!(partition.root_principal, format!("{prefix}root"));
            assert!(partition.uc_master_role_arn.starts_with(&format!("{prefix}role/")));
        }
    }
}
