//! A network configuration: the subnets and security groups a workspace's compute runs in.
//!
//! API: `networks` (list, POST, DELETE). Nothing can change after creation. The server looks at AWS
//! only once a workspace uses it, and then tells here what is wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cloud::Result;
use databricks::Account;
use engine::Impact::OneWay;
use engine::{Diff, Found, Kind, Ref, Replace, Waits, Wanted};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::vpc_endpoint::RegistrationId;
use super::{found, id_in, list};
use crate::aws::security_group::GroupId;
use crate::aws::subnet::SubnetId;
use crate::aws::vpc::VpcId;

const PATH: &str = "networks";

pub struct Network;

engine::id!(
    /// The UUID of a network configuration.
    NetworkId
);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Props {
    /// 4–256 characters.
    pub name: String,
    pub vpc: Ref<VpcId>,
    pub subnets: BTreeSet<Ref<SubnetId>>,
    pub groups: BTreeSet<Ref<GroupId>>,
    /// The two endpoints go together: both or none.
    pub rest_endpoint: Option<Ref<RegistrationId>>,
    pub relay_endpoint: Option<Ref<RegistrationId>>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    pub name: String,
    pub vpc: VpcId,
    pub subnets: BTreeSet<SubnetId>,
    pub groups: BTreeSet<GroupId>,
    pub rest_endpoint: Option<RegistrationId>,
    pub relay_endpoint: Option<RegistrationId>,
    /// `UNATTACHED`, `VALID`, `WARNED` or `BROKEN`: health, not drift.
    pub status: String,
    /// The workspace that uses it.
    pub workspace: Option<i64>,
    /// What the server found wrong in AWS, as `what: why`.
    pub problems: Vec<String>,
}

impl Kind for Network {
    const NAME: &'static str = "databricks.network";
    const SERVICE: &'static str = "databricks";
    const REPLACE: Replace = Replace::CreateFirst { name: Some("name") };

    type Cloud = Account;
    type Id = NetworkId;
    type Props = Props;
    type Seen = Seen;

    fn diff(want: &Props, have: &Seen) -> Diff {
        let Props { name, vpc, subnets, groups, rest_endpoint, relay_endpoint } = want;
        let diff = Diff::default()
            .replace("name", name, &have.name)
            .replace("vpc", vpc, &have.vpc)
            .headline("its nodes move to another VPC");
        // Everything else in it follows from another VPC, and needs no words of its own.
        let moves = diff.has("vpc");
        let say = |diff: Diff, words| if moves { diff } else { diff.headline(words) };
        let diff = diff.replace("subnets", subnets, &have.subnets);
        let diff = say(diff, "its nodes move to other subnets");
        let diff = diff.replace("groups", groups, &have.groups);
        let diff = say(diff, "its nodes get other security groups");
        // The workspace can be given private connections, and other ones, but can never lose them.
        let loses = rest_endpoint.is_none() && have.rest_endpoint.is_some();
        if loses && have.workspace.is_some() {
            return diff
                .never("rest_endpoint", rest_endpoint, &have.rest_endpoint)
                .refusal(
                    "a workspace with private connections to Databricks can never lose them",
                    "leave `private_link` on, or make another workspace without it",
                )
                .never("relay_endpoint", relay_endpoint, &have.relay_endpoint);
        }
        let diff = diff.replace("rest_endpoint", rest_endpoint, &have.rest_endpoint);
        if have.rest_endpoint.is_none() {
            return diff
                .headline("its nodes reach Databricks through private connections")
                .impact(OneWay, "private connections can be exchanged and never taken away")
                .replace("relay_endpoint", relay_endpoint, &have.relay_endpoint);
        }
        let diff = say(diff, "its nodes use another endpoint for REST calls");
        let diff = diff.replace("relay_endpoint", relay_endpoint, &have.relay_endpoint);
        say(diff, "its nodes use another endpoint for the relay")
    }

    fn waits() -> Waits {
        // The server frees a network some time after its workspace is gone, up to minutes.
        let in_use = Duration::from_secs(5 * 60);
        Waits { gone: Duration::from_secs(2 * 60), in_use, ..Waits::default() }
    }

    async fn read(account: &Account, ids: &[NetworkId]) -> Result<Vec<Option<Seen>>> {
        let all: Vec<Wire> = list(account, PATH).await?;
        let seen = |id: &NetworkId| all.iter().find(|w| w.network_id == id.0).map(see);
        Ok(ids.iter().map(seen).collect())
    }

    async fn find(
        account: &Account,
        _stack: &str,
        wanted: &[Wanted<Props>],
    ) -> Result<Vec<Vec<Found<NetworkId>>>> {
        let all: Vec<Wire> = list(account, PATH).await?;
        let candidates = |Wanted { props, .. }: &Wanted<Props>| {
            let named = all.iter().filter(|w| w.network_name == props.name);
            named
                .map(|w| {
                    let same = Network::diff(props, &see(w)).is_empty();
                    found(NetworkId(w.network_id.clone()), same)
                })
                .collect()
        };
        Ok(wanted.iter().map(candidates).collect())
    }

    async fn create(account: &Account, props: &Props) -> Result<NetworkId> {
        let mut body = json!({
            "network_name": props.name,
            "vpc_id": props.vpc.get()?,
            "subnet_ids": props.subnets.iter().map(Ref::get).collect::<Result<Vec<_>>>()?,
            "security_group_ids": props.groups.iter().map(Ref::get).collect::<Result<Vec<_>>>()?,
        });
        let endpoints =
            [("rest_api", &props.rest_endpoint), ("dataplane_relay", &props.relay_endpoint)];
        for (field, endpoint) in endpoints {
            if let Some(endpoint) = endpoint {
                body["vpc_endpoints"][field] = json!([endpoint.get()?]);
            }
        }
        let answer = account.post(PATH, &body).await?;
        id_in(PATH, "network_id", &answer).map(NetworkId)
    }

    async fn delete(account: &Account, id: &NetworkId) -> Result<()> {
        account.delete(&format!("{PATH}/{id}")).await.map(drop)
    }
}

/// What the server found wrong, by network.
pub(super) async fn problems(account: &Account) -> Result<BTreeMap<NetworkId, Vec<String>>> {
    let all: Vec<Wire> = list(account, PATH).await?;
    Ok(all.iter().map(|w| (NetworkId(w.network_id.clone()), see(w).problems)).collect())
}

#[derive(Deserialize)]
struct Wire {
    network_id: String,
    #[serde(default)]
    network_name: String,
    #[serde(default)]
    vpc_id: String,
    subnet_ids: Option<BTreeSet<SubnetId>>,
    security_group_ids: Option<BTreeSet<GroupId>>,
    vpc_endpoints: Option<Endpoints>,
    vpc_status: Option<String>,
    workspace_id: Option<i64>,
    error_messages: Option<Vec<Problem>>,
}

#[derive(Deserialize)]
struct Endpoints {
    rest_api: Option<Vec<RegistrationId>>,
    dataplane_relay: Option<Vec<RegistrationId>>,
}

#[derive(Deserialize)]
struct Problem {
    error_type: Option<String>,
    error_message: Option<String>,
}

fn see(wire: &Wire) -> Seen {
    let endpoints = wire.vpc_endpoints.as_ref();
    let first = |ids: Option<&Vec<RegistrationId>>| ids.and_then(|ids| ids.first().cloned());
    let problem = |problem: &Problem| {
        let what = problem.error_type.as_deref().unwrap_or("network");
        format!("{what}: {}", problem.error_message.as_deref().unwrap_or("no explanation"))
    };
    Seen {
        name: wire.network_name.clone(),
        vpc: VpcId(wire.vpc_id.clone()),
        subnets: wire.subnet_ids.clone().unwrap_or_default(),
        groups: wire.security_group_ids.clone().unwrap_or_default(),
        rest_endpoint: first(endpoints.and_then(|e| e.rest_api.as_ref())),
        relay_endpoint: first(endpoints.and_then(|e| e.dataplane_relay.as_ref())),
        status: wire.vpc_status.clone().unwrap_or_default(),
        workspace: wire.workspace_id.filter(|id| *id != 0),
        problems: wire.error_messages.iter().flatten().map(problem).collect(),
    }
}
