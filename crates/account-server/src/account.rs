use std::time::{SystemTime, UNIX_EPOCH};

use axum::http::StatusCode;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use crate::answer::{Answer, Fields, Refusal, shown};
use crate::aws::Outside;
use crate::config::Settings;
use crate::credentials::Credentials;
use crate::customer_managed_keys::CustomerManagedKey;
use crate::faults::Fault;
use crate::networks::Network;
use crate::private_access_settings::PrivateAccessSettings;
use crate::storage_configurations::StorageConfiguration;
use crate::vpc_endpoints::VpcEndpoint;
use crate::workspaces::Workspace;

/// Everything the account holds.
#[derive(Default)]
pub(crate) struct Account {
    pub(crate) credentials: Shelf<Credentials>,
    pub(crate) storage_configurations: Shelf<StorageConfiguration>,
    pub(crate) networks: Shelf<Network>,
    pub(crate) vpc_endpoints: Shelf<VpcEndpoint>,
    pub(crate) private_access_settings: Shelf<PrivateAccessSettings>,
    pub(crate) customer_managed_keys: Shelf<CustomerManagedKey>,
    pub(crate) workspaces: Vec<Workspace>,
}

impl Account {
    /// The workspace that uses an object, by a test on its fields. A deleted workspace uses its
    /// objects until it is gone.
    pub(crate) fn user(&self, uses: impl Fn(&Workspace) -> bool) -> Option<i64> {
        self.workspaces.iter().find(|workspace| uses(workspace)).map(|it| it.workspace_id)
    }
}

/// One request to one family of objects.
pub(crate) struct Call<'a> {
    pub(crate) account_id: &'a str,
    pub(crate) account: &'a mut Account,
    pub(crate) settings: &'a Settings,
    pub(crate) id: &'a str,
    pub(crate) body: &'a Value,
    pub(crate) update_mask: Option<&'a str>,
    pub(crate) outside: &'a Outside,
    /// A fault that the operation itself has to play.
    pub(crate) fault: Option<&'a Fault>,
}

impl<'a> Call<'a> {
    pub(crate) fn fields(&self) -> Fields<'a> {
        Fields(self.body)
    }
}

/// An object that is kept by its UUID.
pub(crate) trait Object: Serialize {
    /// As in texts for people.
    const WHAT: &'static str;
    /// The JSON field with the id.
    const ID: &'static str;

    fn id(&self) -> &str;
}

/// The objects of one family, in order of creation.
pub(crate) struct Shelf<T>(Vec<T>);

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Shelf(Vec::new())
    }
}

impl<T: Object> Shelf<T> {
    pub(crate) fn iter(&self) -> std::slice::Iter<'_, T> {
        self.0.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> std::slice::IterMut<'_, T> {
        self.0.iter_mut()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn find(&self, id: &str) -> Option<&T> {
        self.0.iter().find(|it| it.id() == id)
    }

    pub(crate) fn find_mut(&mut self, id: &str) -> Option<&mut T> {
        self.0.iter_mut().find(|it| it.id() == id)
    }

    /// 404 for an unknown id; 400 for a text that is no id at all, as when a client sends
    /// `<account>/<id>`.
    pub(crate) fn get(&self, id: &str) -> Result<&T, Refusal> {
        self.find(id).ok_or_else(|| Self::unknown(id))
    }

    pub(crate) fn get_mut(&mut self, id: &str) -> Result<&mut T, Refusal> {
        self.find_mut(id).ok_or_else(|| Self::unknown(id))
    }

    pub(crate) fn create(&mut self, object: T, status: StatusCode) -> Answer {
        let answer = shown(&object);
        self.0.push(object);
        Ok((status, answer))
    }

    /// Deletion answers with the object.
    pub(crate) fn delete(&mut self, id: &str) -> Answer {
        let at = self.0.iter().position(|it| it.id() == id).ok_or_else(|| Self::unknown(id))?;
        Ok((StatusCode::OK, shown(&self.0.remove(at))))
    }

    /// Lists are bare arrays without pages.
    pub(crate) fn list(&self) -> Answer {
        Ok((StatusCode::OK, self.0.iter().map(shown).collect()))
    }

    pub(crate) fn show(&self, id: &str) -> Answer {
        Ok((StatusCode::OK, shown(self.get(id)?)))
    }

    fn unknown(id: &str) -> Refusal {
        match Uuid::parse_str(id) {
            Ok(_) => Refusal::not_found(T::WHAT, id),
            Err(_) => Refusal::invalid(T::ID, id),
        }
    }
}

pub(crate) fn new_id() -> String {
    Uuid::new_v4().to_string()
}

/// Milliseconds since 1970.
#[expect(clippy::disallowed_methods, reason = "a server has a clock of its own")]
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
