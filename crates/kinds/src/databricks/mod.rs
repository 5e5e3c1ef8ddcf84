//! The kinds of the Databricks account, and what their calls have in common.
//!
//! Every type has one list call that answers a bare array of all objects, so reading any number of
//! objects costs one call. Account objects carry no tags: names only we give stand for our mark.

use databricks::Account;
use serde::de::DeserializeOwned;
use serde_json::Value;

use cloud::{Class, Error, Result};
use engine::{Found, Scope};

pub mod credentials;
pub mod network;
pub mod private_access_settings;
pub mod storage_configuration;
pub mod vpc_endpoint;
pub mod workspace;

/// All objects of one type.
async fn list<T: DeserializeOwned>(account: &Account, path: &str) -> Result<Vec<T>> {
    let value = account.list(path).await?;
    value.into_iter().map(|item| parse(path, item)).collect()
}

/// All objects of one type, if the scope is the account: they lie in nothing and carry no mark.
async fn listed<T: DeserializeOwned>(
    account: &Account,
    path: &str,
    scope: &Scope,
) -> Result<Vec<T>> {
    match scope {
        Scope::All => list(account, path).await,
        Scope::Within(_) | Scope::Stack(_) => Ok(Vec::new()),
    }
}

/// One object out of an answer.
fn parse<T: DeserializeOwned>(path: &str, value: Value) -> Result<T> {
    serde_json::from_value(value)
        .map_err(|e| Error::new(Class::Other, path, format!("unexpected answer: {e}")))
}

/// The text in one field of an answer: the id of what was just made.
fn id_in(path: &str, field: &str, answer: &Value) -> Result<String> {
    match answer.get(field) {
        Some(Value::String(id)) => Ok(id.clone()),
        Some(Value::Number(id)) => Ok(id.to_string()),
        _ => {
            let message = format!("the answer to creating one has no `{field}`");
            // The object may well exist: the engine looks it up instead of making a second one.
            Err(Error::new(Class::Transient, format!("POST {path}"), message))
        }
    }
}

/// Ours if what cannot be changed is as we want it; the name alone may be somebody else's choice.
fn found<I>(id: I, same: bool) -> Found<I> {
    if same { Found::Ours(id) } else { Found::Foreign(id) }
}
