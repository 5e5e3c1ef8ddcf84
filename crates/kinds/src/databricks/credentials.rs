//! A credential configuration: the role Databricks assumes to run compute in the AWS account.
//!
//! API: `credentials` (list, POST, DELETE). Nothing can change after creation. The server assumes the
//! role while creating, so a role made moments ago is refused for some seconds.

use std::time::Duration;

use cloud::Result;
use databricks::Account;
use engine::{Action, Diff, Found, Kind, Ref, Replace, Scope, Waits, Wanted};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{found, id_in, list};
use crate::Arn;

const PATH: &str = "credentials";

pub struct Credentials;

engine::id!(
    /// The UUID of a credential configuration.
    CredentialsId
);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Props {
    /// 4–256 characters, unique in the account.
    pub name: String,
    pub role_arn: Ref<Arn>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    pub name: String,
    pub role_arn: Arn,
}

impl Kind for Credentials {
    const NAME: &'static str = "databricks.credentials";
    const SERVICE: &'static str = "databricks";
    const REPLACE: Replace = Replace::CreateFirst { name: Some("name") };
    const UNIQUE: bool = true;

    type Cloud = Account;
    type Id = CredentialsId;
    type Props = Props;
    type Seen = Seen;

    fn diff(want: &Props, have: &Seen) -> Diff {
        let Props { name, role_arn } = want;
        Diff::default().replace("name", name, &have.name).replace(
            "role_arn",
            role_arn,
            &have.role_arn,
        )
    }

    fn waits() -> Waits {
        Waits { propagation: Duration::from_secs(180), ..Waits::default() }
    }

    /// The server checks the role, which is rarely known to it sooner: IAM tells everybody within 10 to
    /// 60 s.
    fn typical(action: Action) -> Option<Duration> {
        action.is_new().then(|| Duration::from_secs(11))
    }

    async fn read(account: &Account, ids: &[CredentialsId]) -> Result<Vec<Option<Seen>>> {
        let all: Vec<Wire> = list(account, PATH).await?;
        let seen = |id: &CredentialsId| all.iter().find(|w| w.credentials_id == id.0).map(see);
        Ok(ids.iter().map(seen).collect())
    }

    async fn find(
        account: &Account,
        _stack: &str,
        wanted: &[Wanted<Props>],
    ) -> Result<Vec<Vec<Found<CredentialsId>>>> {
        let all: Vec<Wire> = list(account, PATH).await?;
        let candidates = |Wanted { props, .. }: &Wanted<Props>| {
            let named = all.iter().filter(|w| w.credentials_name == props.name);
            named
                .map(|w| {
                    let same = Credentials::diff(props, &see(w)).is_empty();
                    found(CredentialsId(w.credentials_id.clone()), same)
                })
                .collect()
        };
        Ok(wanted.iter().map(candidates).collect())
    }

    async fn create(account: &Account, props: &Props) -> Result<CredentialsId> {
        let body = json!({
            "credentials_name": props.name,
            "aws_credentials": { "sts_role": { "role_arn": props.role_arn.get()? } },
        });
        let answer = account.post(PATH, &body).await?;
        id_in(PATH, "credentials_id", &answer).map(CredentialsId)
    }

    async fn delete(account: &Account, id: &CredentialsId) -> Result<()> {
        account.delete(&format!("{PATH}/{id}")).await.map(drop)
    }

    async fn list(account: &Account, scope: &Scope) -> Result<Vec<(CredentialsId, Seen)>> {
        let all: Vec<Wire> = super::listed(account, PATH, scope).await?;
        Ok(all.iter().map(|w| (CredentialsId(w.credentials_id.clone()), see(w))).collect())
    }
}

#[derive(Deserialize)]
struct Wire {
    credentials_id: String,
    #[serde(default)]
    credentials_name: String,
    #[serde(default)]
    aws_credentials: AwsCredentials,
}

#[derive(Default, Deserialize)]
struct AwsCredentials {
    #[serde(default)]
    sts_role: StsRole,
}

#[derive(Default, Deserialize)]
struct StsRole {
    #[serde(default)]
    role_arn: String,
}

fn see(wire: &Wire) -> Seen {
    Seen {
        name: wire.credentials_name.clone(),
        role_arn: Arn(wire.aws_credentials.sts_role.role_arn.clone()),
    }
}
