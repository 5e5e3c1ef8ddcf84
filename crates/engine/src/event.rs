//! What a run reports while it runs. Whoever renders events decides how they look.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use crate::plan::Action;
use crate::value::Address;

/// Something that happened during apply.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A step began.
    Started { step: usize, address: Address, action: Action },
    /// A step waits for something outside: `what` names it.
    Waiting {
        step: usize,
        address: Address,
        what: String,
        #[serde(rename = "elapsed_seconds", serialize_with = "seconds")]
        #[schemars(with = "f64")]
        elapsed: Duration,
    },
    /// A call failed in a way that passes; it is made again after `delay`.
    Retrying {
        step: usize,
        address: Address,
        error: cloud::Error,
        #[serde(rename = "delay_seconds", serialize_with = "seconds")]
        #[schemars(with = "f64")]
        delay: Duration,
    },
    /// A step is done.
    Finished {
        step: usize,
        address: Address,
        action: Action,
        /// The object; null when there is none any more.
        id: Option<String>,
        #[serde(rename = "elapsed_seconds", serialize_with = "seconds")]
        #[schemars(with = "f64")]
        elapsed: Duration,
    },
    /// A step failed for good.
    Failed { step: usize, address: Address, action: Action, message: String },
    /// A step was not begun, because another it waits for was not done.
    Skipped { step: usize, address: Address, action: Action, because: Address },
}

/// Takes events. Must return at once.
pub type Report<'a> = &'a (dyn Fn(Event) + Send + Sync);

fn seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}
