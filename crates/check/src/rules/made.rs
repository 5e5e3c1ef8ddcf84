//! What a graph makes besides networks, with types: read once for all rules.

use std::collections::BTreeMap;

use engine::{Graph, Kind, Ref, Role as Part};
use kinds::aws::bucket::Bucket;
use kinds::aws::bucket_policy::BucketPolicy;
use kinds::aws::instance_profile::InstanceProfile;
use kinds::aws::role::Role;
use kinds::databricks::credentials::Credentials;
use kinds::databricks::network::Network;
use kinds::databricks::private_access_settings::PrivateAccessSettings;
use kinds::databricks::storage_configuration::StorageConfiguration;
use kinds::databricks::vpc_endpoint::Registration;
use kinds::databricks::workspace::Workspace;
use serde::Deserialize;
use serde_json::Value;

use super::{Broken, Case};
use crate::topology::Key;

/// Objects of one kind, by address. What is only used is not among them.
type All<K> = BTreeMap<Key, <K as Kind>::Props>;

/// The objects rules look into.
#[derive(Default)]
pub(crate) struct Made {
    pub(super) roles: All<Role>,
    pub(super) profiles: All<InstanceProfile>,
    pub(super) buckets: All<Bucket>,
    pub(super) bucket_policies: All<BucketPolicy>,
    pub(super) credentials: All<Credentials>,
    pub(super) storage: All<StorageConfiguration>,
    pub(super) registrations: All<Registration>,
    pub(super) settings: All<PrivateAccessSettings>,
    pub(super) networks: All<Network>,
    pub(super) workspaces: All<Workspace>,
}

impl Made {
    pub(crate) fn of(graph: &Graph) -> Made {
        let mut made = Made::default();
        for (address, node) in &graph.nodes {
            let Part::Managed { props } = &node.role else { continue };
            let key = address.as_str();
            match address.kind() {
                Role::NAME => put::<Role>(&mut made.roles, key, props),
                InstanceProfile::NAME => put::<InstanceProfile>(&mut made.profiles, key, props),
                Bucket::NAME => put::<Bucket>(&mut made.buckets, key, props),
                BucketPolicy::NAME => put::<BucketPolicy>(&mut made.bucket_policies, key, props),
                Credentials::NAME => put::<Credentials>(&mut made.credentials, key, props),
                StorageConfiguration::NAME => {
                    put::<StorageConfiguration>(&mut made.storage, key, props);
                }
                Registration::NAME => put::<Registration>(&mut made.registrations, key, props),
                PrivateAccessSettings::NAME => {
                    put::<PrivateAccessSettings>(&mut made.settings, key, props);
                }
                Network::NAME => put::<Network>(&mut made.networks, key, props),
                Workspace::NAME => put::<Workspace>(&mut made.workspaces, key, props),
                _ => {}
            }
        }
        made
    }
}

impl Case<'_> {
    /// An object that breaks a rule, at its place in the spec.
    pub(super) fn broken(&self, key: &str, message: String) -> Broken {
        Broken::new(key, self.place(key), message)
    }
}

fn put<K: Kind>(all: &mut All<K>, key: &str, props: &Value) {
    if let Ok(props) = K::Props::deserialize(props) {
        all.insert(key.to_owned(), props);
    }
}

/// The address of what a reference leads to; `None` for an object outside the graph.
pub(super) fn target<T>(reference: &Ref<T>) -> Option<&str> {
    match reference {
        Ref::Output(output) => Some(output.address.as_str()),
        Ref::Known(_) => None,
    }
}

/// The id behind a reference; `None` for what is yet to be made.
pub(super) fn id<T: ToString>(graph: &Graph, reference: &Ref<T>) -> Option<String> {
    match reference {
        Ref::Known(id) => Some(id.to_string()),
        Ref::Output(output) => match &graph.nodes.get(&output.address)?.role {
            Part::Used { id, .. } => Some(id.clone()),
            Part::Managed { .. } => None,
        },
    }
}

/// The name behind an address: `wk1` of `databricks.workspace/wk1`.
pub(super) fn name(key: &str) -> &str {
    key.split_once('/').map_or(key, |(_, name)| name)
}
