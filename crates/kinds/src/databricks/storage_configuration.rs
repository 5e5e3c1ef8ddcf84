//! A storage configuration: the root bucket of workspaces.
//!
//! API: `storage-configurations` (list, POST, DELETE). Nothing can change after creation, and nothing
//! is checked until a workspace uses it.

use cloud::Result;
use databricks::Account;
use engine::{Diff, Found, Kind, Ref, Replace, Scope, Wanted};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{found, id_in, list};
use crate::Arn;
use crate::aws::bucket::BucketName;

const PATH: &str = "storage-configurations";

pub struct StorageConfiguration;

engine::id!(
    /// The UUID of a storage configuration.
    StorageConfigurationId
);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Props {
    /// 4–256 characters.
    pub name: String,
    pub bucket: Ref<BucketName>,
    /// The role for the catalog that is made together with a workspace.
    pub role_arn: Option<Ref<Arn>>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    pub name: String,
    pub bucket: BucketName,
    pub role_arn: Option<Arn>,
}

impl Kind for StorageConfiguration {
    const NAME: &'static str = "databricks.storage_configuration";
    const SERVICE: &'static str = "databricks";
    const REPLACE: Replace = Replace::CreateFirst { name: Some("name") };

    type Cloud = Account;
    type Id = StorageConfigurationId;
    type Props = Props;
    type Seen = Seen;

    fn diff(want: &Props, have: &Seen) -> Diff {
        let Props { name, bucket, role_arn } = want;
        Diff::default()
            .replace("name", name, &have.name)
            .replace("bucket", bucket, &have.bucket)
            .replace("role_arn", role_arn, &have.role_arn)
    }

    async fn read(account: &Account, ids: &[StorageConfigurationId]) -> Result<Vec<Option<Seen>>> {
        let all: Vec<Wire> = list(account, PATH).await?;
        let one = |id: &StorageConfigurationId| {
            all.iter().find(|w| w.storage_configuration_id == id.0).map(see)
        };
        Ok(ids.iter().map(one).collect())
    }

    async fn find(
        account: &Account,
        _stack: &str,
        wanted: &[Wanted<Props>],
    ) -> Result<Vec<Vec<Found<StorageConfigurationId>>>> {
        let all: Vec<Wire> = list(account, PATH).await?;
        let candidates = |Wanted { props, .. }: &Wanted<Props>| {
            let named = all.iter().filter(|w| w.storage_configuration_name == props.name);
            named
                .map(|w| {
                    let same = StorageConfiguration::diff(props, &see(w)).is_empty();
                    found(StorageConfigurationId(w.storage_configuration_id.clone()), same)
                })
                .collect()
        };
        Ok(wanted.iter().map(candidates).collect())
    }

    async fn create(account: &Account, props: &Props) -> Result<StorageConfigurationId> {
        let mut body = json!({
            "storage_configuration_name": props.name,
            "root_bucket_info": { "bucket_name": props.bucket.get()? },
        });
        if let Some(arn) = &props.role_arn {
            body["role_arn"] = json!(arn.get()?);
        }
        let answer = account.post(PATH, &body).await?;
        id_in(PATH, "storage_configuration_id", &answer).map(StorageConfigurationId)
    }

    async fn delete(account: &Account, id: &StorageConfigurationId) -> Result<()> {
        account.delete(&format!("{PATH}/{id}")).await.map(drop)
    }

    async fn list(account: &Account, scope: &Scope) -> Result<Vec<(StorageConfigurationId, Seen)>> {
        let all: Vec<Wire> = super::listed(account, PATH, scope).await?;
        Ok(all
            .iter()
            .map(|w| (StorageConfigurationId(w.storage_configuration_id.clone()), see(w)))
            .collect())
    }
}

#[derive(Deserialize)]
struct Wire {
    storage_configuration_id: String,
    #[serde(default)]
    storage_configuration_name: String,
    #[serde(default)]
    root_bucket_info: RootBucket,
    role_arn: Option<String>,
}

#[derive(Default, Deserialize)]
struct RootBucket {
    #[serde(default)]
    bucket_name: String,
}

fn see(wire: &Wire) -> Seen {
    Seen {
        name: wire.storage_configuration_name.clone(),
        bucket: BucketName(wire.root_bucket_info.bucket_name.clone()),
        role_arn: wire.role_arn.clone().filter(|arn| !arn.is_empty()).map(Arn),
    }
}
