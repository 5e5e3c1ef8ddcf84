//! Everything that a few workspaces reach, read from both clouds.

use std::collections::{BTreeMap, BTreeSet};

use cloud::Result;
use engine::{Cloud, Kind, Scope, Settings, World, patiently};
use futures::future::try_join;
use kinds::aws::bucket::Bucket;
use kinds::aws::bucket_policy::BucketPolicy;
use kinds::aws::elastic_ip::ElasticIp;
use kinds::aws::instance_profile::InstanceProfile;
use kinds::aws::internet_gateway::InternetGateway;
use kinds::aws::nat_gateway::NatGateway;
use kinds::aws::role::{self, Role, RoleName};
use kinds::aws::route::Route;
use kinds::aws::route_table::RouteTable;
use kinds::aws::security_group::SecurityGroup;
use kinds::aws::security_group_rules::SecurityGroupRules;
use kinds::aws::subnet::Subnet;
use kinds::aws::vpc::{Vpc, VpcId};
use kinds::aws::vpc_endpoint::VpcEndpoint;
use kinds::aws::vpc_peering::VpcPeering;
use kinds::databricks::credentials::Credentials;
use kinds::databricks::network::Network;
use kinds::databricks::private_access_settings::PrivateAccessSettings;
use kinds::databricks::storage_configuration::StorageConfiguration;
use kinds::databricks::vpc_endpoint::Registration;
use kinds::databricks::workspace::{self, Workspace, WorkspaceId};
use kinds::users::Users;
use serde_json::Value;

/// Why there is nothing to adopt.
#[derive(Debug, thiserror::Error)]
pub enum GatherError {
    #[error(transparent)]
    Cloud(#[from] cloud::Error),
    #[error("the account has no workspace `{wanted}`; it has {}", .known.join(", "))]
    NoWorkspace { wanted: String, known: Vec<String> },
    #[error("more than one workspace is named `{wanted}`: {}; name it by its number", .ids.join(", "))]
    Ambiguous { wanted: String, ids: Vec<String> },
    #[error("the workspaces lie in different regions: {}; adopt those of one region at a time", .0.join(", "))]
    Regions(Vec<String>),
}

/// What was read, by kind and id.
#[derive(Debug, Clone, Default)]
pub struct Gathered {
    objects: BTreeMap<&'static str, BTreeMap<String, Value>>,
    /// The workspaces that are to be adopted.
    pub wanted: BTreeSet<WorkspaceId>,
    /// All workspaces of the account, by what they stand on.
    pub users: Users,
}

impl Gathered {
    /// One object; `None` when it was not read or is not there.
    pub fn get<K: Kind>(&self, id: &K::Id) -> Option<K::Seen> {
        let seen = self.objects.get(K::NAME)?.get(&id.to_string())?;
        serde_json::from_value(seen.clone()).ok()
    }

    /// All objects of a kind.
    pub fn all<K: Kind>(&self) -> BTreeMap<K::Id, K::Seen> {
        let all = self.objects.get(K::NAME).into_iter().flatten();
        all.filter_map(|(id, seen)| {
            Some((K::Id::from(id.clone()), serde_json::from_value(seen.clone()).ok()?))
        })
        .collect()
    }

    /// All objects of a kind as they came.
    pub fn raw(&self, kind: &str) -> impl Iterator<Item = (&String, &Value)> {
        self.objects.get(kind).into_iter().flatten()
    }

    /// One object as it came.
    pub fn seen(&self, kind: &str, id: &str) -> Option<&Value> {
        self.objects.get(kind)?.get(id)
    }

    /// The same for the planner.
    pub fn world(&self) -> World {
        let mut world = World::default();
        for (kind, objects) in &self.objects {
            for (id, seen) in objects {
                world.insert(kind, id, seen.clone());
            }
        }
        world
    }

    /// The region of the wanted workspaces.
    pub fn region(&self) -> String {
        let first = self.wanted.first().and_then(|id| self.get::<Workspace>(id));
        first.map(|w| w.region).unwrap_or_default()
    }

    /// The AWS account, as the roles of the wanted workspaces tell.
    pub fn aws_account(&self) -> Option<String> {
        let credentials = self
            .wanted
            .iter()
            .filter_map(|id| self.get::<Credentials>(&self.get::<Workspace>(id)?.credentials?));
        let mut arns = credentials.map(|c| c.role_arn.0);
        let account = arns.next()?.split(':').nth(4)?.to_owned();
        (!account.is_empty()).then_some(account)
    }

    /// The Databricks account, as the trust of its roles tells.
    pub fn databricks_account(&self) -> Option<String> {
        let roles = self.all::<Role>();
        let mut conditions =
            roles.values().flat_map(|r| &r.trust.statements).map(|s| &s.conditions);
        conditions.find_map(|c| c.get("StringEquals")?.get("sts:ExternalId")?.first().cloned())
    }

    fn put<K: Kind>(&mut self, all: impl IntoIterator<Item = (String, Value)>) {
        self.objects.entry(K::NAME).or_default().extend(all);
    }

    /// The VPCs of the wanted workspaces.
    pub fn vpcs(&self) -> BTreeSet<VpcId> {
        let networks = self.all::<Network>();
        let wanted = self.wanted.iter().filter_map(|id| self.get::<Workspace>(id)?.network);
        wanted.filter_map(|network| Some(networks.get(&network)?.vpc.clone())).collect()
    }
}

/// The name of a role, from its ARN.
pub(crate) fn role_name(arn: &str) -> RoleName {
    RoleName(arn.rsplit('/').next().unwrap_or_default().to_owned())
}

/// The roles that a role may pass on, by ARN.
pub(crate) fn passed(role: &role::Seen) -> BTreeSet<String> {
    let statements = role.inline.values().flat_map(|policy| &policy.statements);
    let passing = statements.filter(|s| s.allow && s.actions.contains("iam:PassRole"));
    let resources = passing.flat_map(|s| &s.resources).filter(|arn| !arn.contains('*'));
    resources.filter(|arn| arn.contains(":role/")).cloned().collect()
}

/// Lists the account only, and picks the workspaces named: by number, name or deployment.
///
/// # Errors
/// When one of them is not there, or the name is not unique.
pub async fn account(
    cloud: &dyn Cloud,
    settings: Settings,
    wanted: &[String],
) -> Result<Gathered, GatherError> {
    let reader = Reader { cloud, settings };
    let mut gathered = Gathered::default();
    let (workspaces, networks) =
        try_join(reader.list::<Workspace>(&Scope::All), reader.list::<Network>(&Scope::All))
            .await?;
    let (credentials, storage) = try_join(
        reader.list::<Credentials>(&Scope::All),
        reader.list::<StorageConfiguration>(&Scope::All),
    )
    .await?;
    let (access, registrations) = try_join(
        reader.list::<PrivateAccessSettings>(&Scope::All),
        reader.list::<Registration>(&Scope::All),
    )
    .await?;
    gathered.put::<Workspace>(workspaces);
    gathered.put::<Network>(networks);
    gathered.put::<Credentials>(credentials);
    gathered.put::<StorageConfiguration>(storage);
    gathered.put::<PrivateAccessSettings>(access);
    gathered.put::<Registration>(registrations);
    let all = gathered.all::<Workspace>();
    for text in wanted {
        gathered.wanted.insert(pick(&all, text)?);
    }
    let regions: BTreeSet<String> =
        gathered.wanted.iter().filter_map(|id| Some(all.get(id)?.region.clone())).collect();
    if regions.len() > 1 {
        return Err(GatherError::Regions(regions.into_iter().collect()));
    }
    gathered.users = Users::new(&all, &gathered.all::<Network>());
    Ok(gathered)
}

fn pick(
    all: &BTreeMap<WorkspaceId, workspace::Seen>,
    wanted: &str,
) -> Result<WorkspaceId, GatherError> {
    let fits = |(id, seen): &(&WorkspaceId, &workspace::Seen)| {
        id.0 == wanted || seen.name == wanted || seen.deployment_name.as_deref() == Some(wanted)
    };
    let found: Vec<&WorkspaceId> = all.iter().filter(fits).map(|(id, _)| id).collect();
    match found.as_slice() {
        [one] => Ok((*one).clone()),
        [] => {
            let known = all.iter().map(|(id, seen)| format!("`{}` ({id})", seen.name)).collect();
            Err(GatherError::NoWorkspace { wanted: wanted.to_owned(), known })
        }
        several => {
            let ids = several.iter().map(ToString::to_string).collect();
            Err(GatherError::Ambiguous { wanted: wanted.to_owned(), ids })
        }
    }
}

/// Adds what the wanted workspaces reach in AWS.
pub async fn reach(cloud: &dyn Cloud, settings: Settings, gathered: &mut Gathered) -> Result<()> {
    let reader = Reader { cloud, settings };
    reader.identities(gathered).await?;
    for vpc in gathered.vpcs() {
        reader.network(&vpc, gathered).await?;
    }
    reader.peers(gathered).await
}

struct Reader<'a> {
    cloud: &'a dyn Cloud,
    settings: Settings,
}

impl Reader<'_> {
    async fn list<K: Kind>(&self, scope: &Scope) -> Result<Vec<(String, Value)>> {
        patiently(self.settings, || self.cloud.list(K::NAME, scope)).await
    }

    async fn read<K: Kind>(&self, ids: BTreeSet<String>, into: &mut Gathered) -> Result<()> {
        if ids.is_empty() {
            return Ok(());
        }
        let ids: Vec<String> = ids.into_iter().collect();
        let seen = patiently(self.settings, || self.cloud.read(K::NAME, &ids)).await?;
        into.put::<K>(ids.into_iter().zip(seen).filter_map(|(id, seen)| Some((id, seen?))));
        Ok(())
    }

    /// Roles, those they may pass on, and buckets.
    async fn identities(&self, gathered: &mut Gathered) -> Result<()> {
        let (mut roles, mut buckets) = (BTreeSet::new(), BTreeSet::new());
        let wanted: Vec<_> =
            gathered.wanted.iter().filter_map(|id| gathered.get::<Workspace>(id)).collect();
        for workspace in &wanted {
            let credentials = workspace.credentials.as_ref();
            let credentials = credentials.and_then(|id| gathered.get::<Credentials>(id));
            roles.extend(credentials.map(|c| role_name(&c.role_arn.0).0));
            let storage = workspace.storage.as_ref();
            let Some(storage) = storage.and_then(|id| gathered.get::<StorageConfiguration>(id))
            else {
                continue;
            };
            buckets.insert(storage.bucket.0.clone());
            roles.extend(storage.role_arn.map(|arn| role_name(&arn.0).0));
        }
        self.read::<Role>(roles, gathered).await?;
        let passed: BTreeSet<String> =
            gathered.all::<Role>().values().flat_map(passed).map(|arn| role_name(&arn).0).collect();
        self.read::<Role>(passed.clone(), gathered).await?;
        // As Databricks wants it: the profile has the name of its role.
        self.read::<InstanceProfile>(passed, gathered).await?;
        self.read::<Bucket>(buckets.clone(), gathered).await?;
        self.read::<BucketPolicy>(buckets, gathered).await
    }

    /// All that lies in a VPC.
    async fn network(&self, vpc: &VpcId, gathered: &mut Gathered) -> Result<()> {
        self.read::<Vpc>(BTreeSet::from([vpc.0.clone()]), gathered).await?;
        let inside = Scope::Within(vpc.0.clone());
        self.list_into::<Subnet>(&inside, gathered).await?;
        self.list_into::<RouteTable>(&inside, gathered).await?;
        self.list_into::<Route>(&inside, gathered).await?;
        self.list_into::<InternetGateway>(&inside, gathered).await?;
        self.list_into::<NatGateway>(&inside, gathered).await?;
        self.list_into::<SecurityGroup>(&inside, gathered).await?;
        self.list_into::<SecurityGroupRules>(&inside, gathered).await?;
        self.list_into::<VpcEndpoint>(&inside, gathered).await?;
        self.list_into::<VpcPeering>(&inside, gathered).await?;
        let gateways = gathered.all::<NatGateway>();
        let addresses = gateways.values().filter_map(|nat| Some(nat.address.as_ref()?.0.clone()));
        self.read::<ElasticIp>(addresses.collect(), gathered).await
    }

    /// The other sides of peerings: the VPC, what may lead back, and groups.
    async fn peers(&self, gathered: &mut Gathered) -> Result<()> {
        let known = gathered.vpcs();
        let peers: BTreeSet<VpcId> = (gathered.all::<VpcPeering>().into_values())
            .filter(|p| p.peer_account.is_none() && p.peer_region.is_none())
            .map(|p| p.peer_vpc)
            .filter(|vpc| !known.contains(vpc))
            .collect();
        self.read::<Vpc>(peers.iter().map(|vpc| vpc.0.clone()).collect(), gathered).await?;
        for vpc in peers {
            let inside = Scope::Within(vpc.0);
            self.list_into::<RouteTable>(&inside, gathered).await?;
            self.list_into::<Route>(&inside, gathered).await?;
            self.list_into::<SecurityGroup>(&inside, gathered).await?;
            self.list_into::<SecurityGroupRules>(&inside, gathered).await?;
        }
        Ok(())
    }

    async fn list_into<K: Kind>(&self, scope: &Scope, gathered: &mut Gathered) -> Result<()> {
        let all = self.list::<K>(scope).await?;
        gathered.put::<K>(all);
        Ok(())
    }
}
