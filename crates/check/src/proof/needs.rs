//! What one workspace asks of every one of its subnets.

use std::collections::BTreeSet;

use facts::regions;
use spec::{ExternalMetastore, Remote};

use super::groups::Call;
use super::index::Site;
use super::policy::Need;

const HTTPS: Call = Call::tcp(443);
const FIPS: Call = Call::tcp(2443);
const RELAY: Call = Call::tcp(6666);

/// Buckets of one class.
pub(super) struct Buckets {
    pub(super) class: &'static str,
    pub(super) to: String,
    /// The rule that an endpoint policy without them breaks.
    pub(super) policy: &'static str,
    pub(super) buckets: Vec<Place>,
    pub(super) needs: Vec<Need>,
}

/// What one workspace asks of every one of its subnets.
pub(super) struct Wanted {
    pub(super) host: String,
    pub(super) govcloud: bool,
    pub(super) relay_calls: Vec<Call>,
    pub(super) stores: Vec<Buckets>,
    pub(super) sts: Vec<Need>,
    pub(super) kinesis: Vec<Need>,
    pub(super) metastore: Option<String>,
    pub(super) remotes: Vec<Remote>,
    pub(super) database: Option<Remote>,
}

impl Wanted {
    pub(super) fn of(site: &Site<'_, '_>) -> Wanted {
        let region = site.prover.topology.region.as_str();
        let govcloud = regions::is_govcloud(region);
        let relay_calls = match (site.nodes.relay.is_some(), site.ask.uses.compliance_profile) {
            (true, _) if govcloud => vec![FIPS],
            (true, true) => vec![RELAY, FIPS],
            (true, false) => vec![RELAY],
            (false, true) => vec![FIPS],
            (false, false) => vec![HTTPS],
        };
        let database = match &site.ask.uses.external_metastore {
            Some(ExternalMetastore::Database(place)) => Remote::parse(place),
            _ => None,
        };
        Wanted {
            host: site.prover.hosts.workspace(site.workspace),
            govcloud,
            relay_calls,
            stores: stores(site),
            sts: sts(site),
            kinesis: kinesis(site),
            metastore: regions::region(region)
                .and_then(|r| r.legacy_hive_metastore.as_ref())
                .and_then(|m| m.hostname.clone()),
            remotes: remotes(site, database.as_ref()),
            database,
        }
    }
}

/// What the spec names besides the metastore: used or required.
fn remotes(site: &Site<'_, '_>, database: Option<&Remote>) -> Vec<Remote> {
    let named = site.ask.uses.hosts.iter().chain(&site.ask.requirements.reach);
    let all: BTreeSet<Remote> = named.filter_map(|text| Remote::parse(text)).collect();
    all.into_iter().filter(|remote| Some(remote) != database).collect()
}

/// The account of Databricks, and the one that owns artifacts and sample data.
struct Accounts {
    databricks: Option<String>,
    artifacts: Option<String>,
    samples: Option<String>,
    customer: Option<String>,
}

impl Accounts {
    fn of(site: &Site<'_, '_>) -> Accounts {
        let region = site.prover.topology.region.as_str();
        let owners = regions::region(region).and_then(|r| r.bucket_owner_accounts.as_ref());
        Accounts {
            databricks: Some(regions::partition(region).databricks_account_id.clone()),
            artifacts: owners.and_then(|o| o.artifacts.clone()),
            samples: owners.and_then(|o| o.sample_datasets.clone()),
            customer: Some(site.ask.aws_account.to_owned()),
        }
    }
}

/// Actions on a bucket, and on what is in it.
type Actions = (&'static [&'static str], &'static [&'static str]);
const ALL: Actions = (
    &["s3:ListBucket", "s3:GetBucketLocation"],
    &["s3:GetObject", "s3:GetObjectVersion", "s3:PutObject", "s3:DeleteObject"],
);
const READ: Actions =
    (&["s3:ListBucket", "s3:GetBucketLocation"], &["s3:GetObject", "s3:GetObjectVersion"]);
const WRITE: Actions = (&["s3:ListBucket", "s3:GetBucketLocation"], &["s3:PutObject"]);

/// A bucket and its region; `None` for a name that no source gives.
pub(super) type Place = (Option<String>, String);
/// Who calls, and who owns what is called.
type Who<'a> = (&'a Option<String>, &'a Option<String>);

/// What nodes need of one bucket.
fn of_bucket(partition: &str, bucket: &str, actions: Actions, who: Who<'_>) -> Vec<Need> {
    let itself = format!("arn:{partition}:s3:::{bucket}");
    let within = format!("{itself}/*");
    let on = |actions: &'static [&'static str], resource: &str| -> Vec<Need> {
        let need = |action: &&'static str| Need {
            action,
            resource: resource.to_owned(),
            caller: who.0.clone(),
            owner: who.1.clone(),
        };
        actions.iter().map(need).collect()
    };
    [on(actions.0, &itself), on(actions.1, &within)].concat()
}

/// What nodes need of S3, as the Security Reference Architecture's policies have it.
fn stores(site: &Site<'_, '_>) -> Vec<Buckets> {
    let name = site.prover.topology.region.as_str();
    let region = regions::region(name);
    let arn = &regions::partition(name).arn_partition;
    let known = region.map(|r| &r.buckets);
    let accounts = Accounts::of(site);
    let here = |bucket: &String| {
        let home = region.map_or(name, |r| r.bucket_region(bucket));
        (Some(bucket.clone()), home.to_owned())
    };
    let listed = |bucket: Option<&String>| {
        bucket.map_or_else(|| vec![(None, name.to_owned())], |bucket| vec![here(bucket)])
    };
    let store = |class, to: &str, policy, buckets: Vec<Place>, actions, who: Who<'_>| {
        // Only buckets of this region are reached through the endpoint whose policy this is.
        let through = buckets.iter().filter(|(_, home)| home == name);
        let named = through.filter_map(|(bucket, _)| bucket.as_deref());
        let needs = named.flat_map(|bucket| of_bucket(arn, bucket, actions, who)).collect();
        Buckets { class, to: to.to_owned(), policy, buckets, needs }
    };
    let root = vec![(site.nodes.root_bucket.clone(), name.to_owned())];
    let artifacts = match known.and_then(|k| k.artifacts.as_ref()) {
        Some(buckets) => buckets.iter().map(here).collect(),
        None => listed(None),
    };
    let log = listed(known.and_then(|k| k.log.as_ref()));
    let databricks = &accounts.databricks;
    let mut all = vec![
        store("D7", "root bucket", "DBX-EPT-016", root, ALL, (databricks, &accounts.customer)),
        store("D8", "artifacts", "DBX-EPT-017", artifacts, READ, (&None, &accounts.artifacts)),
        store("D9", "logs", "DBX-EPT-018", log, WRITE, (databricks, &None)),
    ];
    if site.ask.uses.system_tables {
        let tables = listed(known.and_then(|k| k.system_tables.as_ref()));
        all.push(store("D10", "system tables", "DBX-EPT-019", tables, READ, (databricks, &None)));
    }
    if site.ask.uses.sample_data {
        let samples = listed(known.and_then(|k| k.sample_datasets.as_ref()));
        let who = (&accounts.samples, &accounts.samples);
        all.push(store("D11", "sample data", "DBX-EPT-020", samples, READ, who));
    }
    for (bucket, region) in &site.ask.uses.buckets {
        let own = vec![(Some(bucket.clone()), region.clone())];
        let who = (&accounts.customer, &accounts.customer);
        all.push(store("D12", &format!("bucket {bucket}"), "DBX-EPT-021", own, ALL, who));
    }
    all
}

/// What nodes need of STS: roles of the user and of Databricks.
fn sts(site: &Site<'_, '_>) -> Vec<Need> {
    let Accounts { databricks, customer, .. } = Accounts::of(site);
    let mut needs = Vec::new();
    for caller in [customer, databricks] {
        for action in ["sts:AssumeRole", "sts:GetSessionToken", "sts:TagSession"] {
            let (resource, caller) = ("*".to_owned(), caller.clone());
            needs.push(Need { action, resource, caller, owner: None });
        }
    }
    needs
}

/// What nodes need of Kinesis: streams of Databricks.
fn kinesis(site: &Site<'_, '_>) -> Vec<Need> {
    let region = site.prover.topology.region.as_str();
    let partition = regions::partition(region);
    let account = Accounts::of(site).databricks;
    let owner = account.as_deref().unwrap_or_default();
    let resource = format!("arn:{}:kinesis:{region}:{owner}:stream/*", partition.arn_partition);
    let actions = ["kinesis:PutRecord", "kinesis:PutRecords", "kinesis:DescribeStream"];
    let need = |action| Need {
        action,
        resource: resource.clone(),
        caller: account.clone(),
        owner: account.clone(),
    };
    actions.into_iter().map(need).collect()
}
