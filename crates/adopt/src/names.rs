//! What things will be called in the spec: as their marks say, else after their own names.

use std::collections::{BTreeMap, BTreeSet};

use engine::{Address, Kind};
use kinds::aws::bucket::Bucket;
use kinds::aws::nat_gateway::NatGateway;
use kinds::aws::role::{Role, RoleName};
use kinds::aws::security_group::SecurityGroup;
use kinds::aws::subnet::Subnet;
use kinds::aws::vpc::{Vpc, VpcId};
use kinds::aws::vpc_endpoint::VpcEndpoint;
use kinds::aws::vpc_peering::{PeeringId, VpcPeering};
use kinds::databricks::credentials::{Credentials, CredentialsId};
use kinds::databricks::network::Network;
use kinds::databricks::private_access_settings::{PrivateAccessSettings, PrivateAccessSettingsId};
use kinds::databricks::storage_configuration::StorageConfiguration;
use kinds::databricks::workspace::{self, Workspace, WorkspaceId};
use serde_json::Value;

use crate::gather::{Gathered, passed, role_name};

/// Names in the spec, by id.
#[derive(Debug, Default)]
pub(crate) struct Names {
    pub(crate) stack: String,
    /// Some object in reach carries the mark of this stack already: what does not was only used by it.
    pub(crate) made_here: bool,
    pub(crate) vpcs: BTreeMap<VpcId, String>,
    pub(crate) workspaces: BTreeMap<WorkspaceId, String>,
    /// Credentials that several of the workspaces share.
    pub(crate) credentials: BTreeMap<CredentialsId, String>,
    /// Private access settings that several of the workspaces share.
    pub(crate) access: BTreeMap<PrivateAccessSettingsId, String>,
    pub(crate) peerings: BTreeMap<PeeringId, String>,
    /// Roles for nodes: the workspace, and the name of the profile there.
    pub(crate) profiles: BTreeMap<RoleName, (String, String)>,
}

/// The mark an object carries.
pub(crate) fn mark(seen: &Value) -> Option<(String, Address)> {
    let tag = |key: &str| Some(seen.get("tags")?.get(key)?.as_str()?.to_owned());
    Some((tag("dbxctl:stack")?, Address::from(tag("dbxctl:address")?)))
}

impl Names {
    pub(crate) fn new(gathered: &Gathered, stack: Option<&str>) -> Names {
        let marks = marks(gathered);
        let stacks: BTreeSet<&String> = marks.iter().map(|(stack, _)| stack).collect();
        let stack = match (stack, stacks.iter().next()) {
            (Some(given), _) => given.to_owned(),
            (None, Some(only)) if stacks.len() == 1 => (*only).clone(),
            _ => {
                let first = gathered.wanted.first().and_then(|id| gathered.get::<Workspace>(id));
                stack_name(&first.map(|w| w.name).unwrap_or_default())
            }
        };
        let made_here = stacks.contains(&stack);
        let mut names = Names { stack, made_here, ..Names::default() };
        names.name_workspaces(gathered);
        names.name_vpcs(gathered);
        names.name_shared(gathered);
        names.name_peerings(gathered);
        names.name_profiles(gathered);
        names
    }

    /// The name in the address an object is marked with, if this stack marked it.
    fn marked(&self, seen: Option<&Value>) -> Option<String> {
        let (stack, address) = mark(seen?)?;
        (stack == self.stack).then(|| address.name().to_owned())
    }

    fn name_workspaces(&mut self, gathered: &Gathered) {
        let mut taken = BTreeSet::new();
        for id in &gathered.wanted {
            let Some(seen) = gathered.get::<Workspace>(id) else { continue };
            let hint = self.workspace_hint(gathered, &seen);
            let own = seen.name.strip_prefix(&format!("{}-", self.stack)).unwrap_or(&seen.name);
            let name = unique(&hint.unwrap_or_else(|| slug(own)), &mut taken);
            self.workspaces.insert(id.clone(), name);
        }
    }

    /// What the marks of the workspace's own objects say: `wk1` in `aws.bucket/wk1`.
    fn workspace_hint(&self, gathered: &Gathered, seen: &workspace::Seen) -> Option<String> {
        let network = seen.network.as_ref().and_then(|id| gathered.get::<Network>(id));
        let group = network.and_then(|n| n.groups.first().cloned());
        let group = group.and_then(|id| self.marked(gathered.seen(SecurityGroup::NAME, &id.0)));
        let storage = seen.storage.as_ref().and_then(|id| gathered.get::<StorageConfiguration>(id));
        let bucket = storage.and_then(|s| self.marked(gathered.seen(Bucket::NAME, &s.bucket.0)));
        let credentials = seen.credentials.as_ref().and_then(|id| gathered.get::<Credentials>(id));
        let role = credentials
            .and_then(|c| self.marked(gathered.seen(Role::NAME, &role_name(&c.role_arn.0).0)));
        group
            .and_then(|name| name.strip_suffix(".nodes").map(str::to_owned))
            .or(bucket)
            .or_else(|| role?.strip_suffix(".databricks").map(str::to_owned))
    }

    fn name_vpcs(&mut self, gathered: &Gathered) {
        let mut taken = BTreeSet::new();
        for id in gathered.vpcs() {
            let seen = gathered.seen(Vpc::NAME, &id.0);
            let inside = self.marked_inside(gathered, &id);
            let tag = seen.and_then(|s| s.get("tags")?.get("Name")?.as_str());
            let tag = tag.map(|t| t.strip_prefix(&format!("{}-", self.stack)).unwrap_or(t));
            let hint = self.marked(seen).or(inside).or_else(|| Some(slug(tag?)));
            let name = unique(&hint.unwrap_or_else(|| "main".to_owned()), &mut taken);
            self.vpcs.insert(id, name);
        }
    }

    /// The name of a used VPC, as endpoints and gateways that were made in it say.
    fn marked_inside(&self, gathered: &Gathered, vpc: &VpcId) -> Option<String> {
        let endpoints = gathered.all::<VpcEndpoint>().into_iter();
        let endpoints = endpoints.filter(|(_, e)| e.vpc == *vpc).map(|(id, _)| id.0);
        let mut names = endpoints
            .filter_map(|id| self.marked(gathered.seen(VpcEndpoint::NAME, &id)))
            .chain(gathered.raw(NatGateway::NAME).filter_map(|(_, seen)| {
                let subnet = gathered.seen(Subnet::NAME, seen.get("subnet")?.as_str()?)?;
                let here = subnet.get("vpc")?.as_str()? == vpc.0;
                here.then(|| self.marked(Some(seen)))?
            }));
        names.find_map(|name| Some(name.split_once('.')?.0.to_owned()))
    }

    fn name_shared(&mut self, gathered: &Gathered) {
        let wanted: Vec<_> =
            gathered.wanted.iter().filter_map(|id| gathered.get::<Workspace>(id)).collect();
        let (mut taken, mut taken_access) = (BTreeSet::new(), BTreeSet::new());
        for (id, seen) in gathered.all::<Credentials>() {
            let users = wanted.iter().filter(|w| w.credentials.as_ref() == Some(&id)).count();
            let role = gathered.seen(Role::NAME, &role_name(&seen.role_arn.0).0);
            let marked =
                self.marked(role).and_then(|n| Some(n.strip_prefix("account.")?.to_owned()));
            if users > 1 || (users == 1 && marked.is_some()) {
                let hint = marked.unwrap_or_else(|| self.shared_slug(&seen.name));
                self.credentials.insert(id, unique(&hint, &mut taken));
            }
        }
        for (id, seen) in gathered.all::<PrivateAccessSettings>() {
            let users = wanted.iter().filter(|w| w.private_access.as_ref() == Some(&id)).count();
            let shared = seen.name.starts_with(&format!("{}-shared-", self.stack));
            if users > 1 || (users == 1 && shared) {
                let hint = self.shared_slug(&seen.name);
                self.access.insert(id, unique(&hint, &mut taken_access));
            }
        }
    }

    fn shared_slug(&self, name: &str) -> String {
        slug(name.strip_prefix(&format!("{}-shared-", self.stack)).unwrap_or(name))
    }

    fn name_peerings(&mut self, gathered: &Gathered) {
        let mut taken = BTreeSet::new();
        for (id, seen) in gathered.all::<VpcPeering>() {
            if self.vpcs.contains_key(&seen.vpc) {
                let marked = self.marked(gathered.seen(VpcPeering::NAME, &id.0));
                let own = seen.tags.get("Name").map(|name| slug(name));
                let hint = marked.or(own).unwrap_or_else(|| "peer".to_owned());
                self.peerings.insert(id, unique(&hint, &mut taken));
            }
        }
    }

    fn name_profiles(&mut self, gathered: &Gathered) {
        let mut taken: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (id, workspace) in self.workspaces.clone() {
            let credentials = gathered.get::<Workspace>(&id).and_then(|w| w.credentials);
            let credentials = credentials.and_then(|id| gathered.get::<Credentials>(&id));
            let role = credentials.and_then(|c| gathered.get::<Role>(&role_name(&c.role_arn.0)));
            for arn in role.iter().flat_map(passed) {
                let name = role_name(&arn);
                let marked = self.marked(gathered.seen(Role::NAME, &name.0));
                let own = marked.as_ref().and_then(|name| name.split_once(".node-"));
                // Shared credentials pass on the roles of several workspaces.
                if own.is_some_and(|(of, _)| of != workspace) || self.profiles.contains_key(&name) {
                    continue;
                }
                let prefix = format!("{}-{workspace}-node-", self.stack);
                let hint = own.map_or_else(
                    || slug(name.0.strip_prefix(&prefix).unwrap_or(&name.0)),
                    |(_, profile)| profile.to_owned(),
                );
                let profile = unique(&hint, taken.entry(workspace.clone()).or_default());
                self.profiles.insert(name, (workspace.clone(), profile));
            }
        }
    }
}

/// All marks in reach.
fn marks(gathered: &Gathered) -> Vec<(String, Address)> {
    let kinds = [Vpc::NAME, Subnet::NAME, SecurityGroup::NAME, Role::NAME, Bucket::NAME];
    let all = kinds.iter().flat_map(|kind| gathered.raw(kind));
    all.filter_map(|(_, seen)| mark(seen)).collect()
}

/// A name as the spec takes it: 1 to 40 characters of a-z, 0-9 and hyphen.
fn slug(text: &str) -> String {
    let mut slug = String::new();
    for letter in text.chars().flat_map(char::to_lowercase) {
        match letter {
            'a'..='z' | '0'..='9' => slug.push(letter),
            _ if !slug.is_empty() && !slug.ends_with('-') => slug.push('-'),
            _ => {}
        }
    }
    slug.truncate(36);
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() || slug == "account" { "main".to_owned() } else { slug.to_owned() }
}

/// The same for a stack: it begins with a letter and has at least two characters.
fn stack_name(text: &str) -> String {
    let slug = slug(text);
    if slug.starts_with(|c: char| c.is_ascii_lowercase()) && slug.len() > 1 {
        slug
    } else {
        format!("stack-{slug}")
    }
}

fn unique(name: &str, taken: &mut BTreeSet<String>) -> String {
    let mut unique = name.to_owned();
    let mut n = 1;
    while !taken.insert(unique.clone()) {
        n += 1;
        unique = format!("{name}-{n}");
    }
    unique
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_the_spec_and_stay_different() {
        let table =
            [("Prod EU (1)", "prod-eu-1"), ("__", "main"), ("account", "main"), ("Ä-x", "x")];
        for (text, expected) in table {
            assert_eq!(slug(text), expected, "{text}");
        }
        assert_eq!(slug(&"ab-".repeat(20)).len(), 35);
        assert_eq!(stack_name("7 seas"), "stack-7-seas");
        let mut taken = BTreeSet::new();
        assert_eq!([unique("a", &mut taken), unique("a", &mut taken)], ["a", "a-2"]);
    }
}
