//! What every cloud call has in common: an error with a class and a request id. And what a shared
//! state asks of a cloud: [`Objects`].
//!
//! The client crates decide the class once per service; the engine decides by class what to do.

mod meter;
mod objects;

use std::time::Duration;

pub use meter::Meter;
pub use objects::{Etag, Object, Objects, Only, Put};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What an error means to whoever has to decide about trying again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// The object does not exist (any more).
    NotFound,
    /// The object cannot go while others use it.
    InUse,
    /// An object of that name or natural key exists.
    AlreadyExists,
    /// Too many calls; nothing was done.
    Throttled,
    /// The service failed or was not reached; whether the call took effect is not known.
    Transient,
    /// Something that was just made has not reached this service yet, or never will: worth
    /// repeating only for a while after we made it.
    Propagating,
    /// The caller may not do this, or is not signed in.
    Denied,
    /// The request itself is wrong.
    Invalid,
    /// Anything else. Never repeated.
    Other,
}

/// A failed call, as the service described it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize, JsonSchema)]
#[error("{call}: {}{message}{}", code_prefix(.code), request_suffix(.request_id))]
pub struct Error {
    pub class: Class,
    /// The API action, or method and path: `ec2:CreateSubnet`, `POST /api/2.0/…/networks`.
    pub call: String,
    /// HTTP status, when there was an answer.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub status: Option<u16>,
    /// The service's own error code.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub code: Option<String>,
    /// The service's own words.
    pub message: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub request_id: Option<String>,
    /// How long the service asked us to wait, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub retry_after_ms: Option<u64>,
}

/// The answer of a call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error with nothing but a class, a call and words; the rest is filled in with the fields.
    pub fn new(class: Class, call: impl Into<String>, message: impl Into<String>) -> Self {
        Error {
            class,
            call: call.into(),
            status: None,
            code: None,
            message: message.into(),
            request_id: None,
            retry_after_ms: None,
        }
    }

    /// The same error with the service's code.
    #[must_use]
    pub fn with_code(mut self, code: impl Into<String>) -> Self {
        self.code = Some(code.into());
        self
    }

    /// How long the service asked us to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after_ms.map(Duration::from_millis)
    }
}

fn code_prefix(code: &Option<String>) -> String {
    code.as_ref().map(|c| format!("{c}: ")).unwrap_or_default()
}

fn request_suffix(id: &Option<String>) -> String {
    id.as_ref().map(|id| format!(" (request id {id})")).unwrap_or_default()
}
