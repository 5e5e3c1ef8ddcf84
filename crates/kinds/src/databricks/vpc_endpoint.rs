//! The registration of an AWS interface endpoint with the Databricks account.
//!
//! API: `vpc-endpoints` (list, POST, DELETE). Registering is what makes Databricks accept the endpoint,
//! so it happens while AWS still says `pendingAcceptance`. Nothing can change afterwards, and an AWS
//! endpoint can be registered once only: hence delete-first.

use std::time::Duration;

use cloud::Result;
use databricks::Account;
use engine::{Action, Diff, Found, Kind, Out, Readiness, Ref, Scope, Waits, Wanted};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{found, id_in, list};
use crate::aws::vpc_endpoint::VpcEndpointId;

const PATH: &str = "vpc-endpoints";

/// What the endpoint is for, as the server found out: `GENERAL_ACCESS` or `DATAPLANE_RELAY_ACCESS`.
pub const USE_CASE: Out<Registration, String> = Out::field("use_case");

pub struct Registration;

engine::id!(
    /// The UUID Databricks gives a registered endpoint; not the `vpce-…` of AWS.
    RegistrationId
);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Props {
    /// 4–256 characters.
    pub name: String,
    pub endpoint: Ref<VpcEndpointId>,
    pub region: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    pub name: String,
    pub endpoint: VpcEndpointId,
    pub region: String,
    /// Copied by the server from AWS, in lower case here.
    pub state: String,
    /// `GENERAL_ACCESS` also where the server uses the historical `WORKSPACE_ACCESS`.
    pub use_case: String,
}

impl Kind for Registration {
    const NAME: &'static str = "databricks.vpc_endpoint";
    const SERVICE: &'static str = "databricks";

    type Cloud = Account;
    type Id = RegistrationId;
    type Props = Props;
    type Seen = Seen;

    fn diff(want: &Props, have: &Seen) -> Diff {
        let Props { name, endpoint, region } = want;
        Diff::default()
            .replace("name", name, &have.name)
            .replace("endpoint", endpoint, &have.endpoint)
            .replace("region", region, &have.region)
    }

    fn readiness(seen: &Seen) -> Readiness {
        match seen.state.as_str() {
            "available" => Readiness::Ready,
            "pending" | "pendingacceptance" => Readiness::Pending(seen.state.clone()),
            // Not a documented state; just after POST the field may not be filled in yet.
            "" => Readiness::Pending("no state yet".to_owned()),
            other => Readiness::Failed(format!("the AWS endpoint is {other}")),
        }
    }

    fn waits() -> Waits {
        Waits { ready: Duration::from_secs(15 * 60), ..Waits::default() }
    }

    /// Databricks accepts it by itself, "within minutes"; one to three are assumed (unconfirmed).
    fn typical(action: Action) -> Option<Duration> {
        action.is_new().then(|| Duration::from_secs(120))
    }

    async fn read(account: &Account, ids: &[RegistrationId]) -> Result<Vec<Option<Seen>>> {
        let all: Vec<Wire> = list(account, PATH).await?;
        let seen = |id: &RegistrationId| all.iter().find(|w| w.vpc_endpoint_id == id.0).map(see);
        Ok(ids.iter().map(seen).collect())
    }

    /// By the AWS endpoint, which is unique, whatever name the registration has.
    async fn find(
        account: &Account,
        _stack: &str,
        wanted: &[Wanted<Props>],
    ) -> Result<Vec<Vec<Found<RegistrationId>>>> {
        let all: Vec<Wire> = list(account, PATH).await?;
        let mut candidates = Vec::with_capacity(wanted.len());
        for Wanted { props, .. } in wanted {
            let endpoint = props.endpoint.get()?;
            let same_key = all.iter().filter(|w| w.aws_vpc_endpoint_id == endpoint.0);
            let all = same_key.map(|w| {
                let same = Registration::diff(props, &see(w)).is_empty();
                found(RegistrationId(w.vpc_endpoint_id.clone()), same)
            });
            candidates.push(all.collect());
        }
        Ok(candidates)
    }

    async fn create(account: &Account, props: &Props) -> Result<RegistrationId> {
        let body = json!({
            "vpc_endpoint_name": props.name,
            "aws_vpc_endpoint_id": props.endpoint.get()?,
            "region": props.region,
        });
        let answer = account.post(PATH, &body).await?;
        id_in(PATH, "vpc_endpoint_id", &answer).map(RegistrationId)
    }

    async fn delete(account: &Account, id: &RegistrationId) -> Result<()> {
        account.delete(&format!("{PATH}/{id}")).await.map(drop)
    }

    async fn list(account: &Account, scope: &Scope) -> Result<Vec<(RegistrationId, Seen)>> {
        let all: Vec<Wire> = super::listed(account, PATH, scope).await?;
        Ok(all.iter().map(|w| (RegistrationId(w.vpc_endpoint_id.clone()), see(w))).collect())
    }
}

#[derive(Deserialize)]
struct Wire {
    vpc_endpoint_id: String,
    #[serde(default)]
    vpc_endpoint_name: String,
    #[serde(default)]
    aws_vpc_endpoint_id: String,
    #[serde(default)]
    region: String,
    state: Option<String>,
    use_case: Option<String>,
}

fn see(wire: &Wire) -> Seen {
    let use_case = match wire.use_case.as_deref() {
        Some("WORKSPACE_ACCESS") => "GENERAL_ACCESS",
        other => other.unwrap_or_default(),
    };
    Seen {
        name: wire.vpc_endpoint_name.clone(),
        endpoint: VpcEndpointId(wire.aws_vpc_endpoint_id.clone()),
        region: wire.region.clone(),
        state: wire.state.as_deref().unwrap_or_default().to_ascii_lowercase(),
        use_case: use_case.to_owned(),
    }
}
