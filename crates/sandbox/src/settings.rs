//! How the simulated cloud behaves: speed, faults, accounts.

use std::time::Duration;

use cloud::Class;
use serde::{Deserialize, Serialize};

/// How fast the simulated cloud is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// No call and no state takes any time.
    Instant,
    /// 2–10 ms a call; what is pending anywhere is pending for 50–300 ms.
    #[default]
    Quick,
    /// 60–200 ms a call; a NAT gateway takes 90 s, an endpoint 60–120 s, a workspace 5–7 min, IAM 10 s.
    Realistic,
}

/// Everything one can turn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    pub profile: Profile,
    /// Multiplies all times of the profile.
    pub scale: f64,
    /// Sets ids and jitter; equal seeds and equal runs give equal worlds.
    pub seed: u64,
    /// The AWS account whose principals must exist to be named.
    pub account: String,
    /// The ARN partition.
    pub partition: String,
    /// The deployment-name prefix of the Databricks account; without one, workspaces may not ask for a name.
    pub deployment_prefix: Option<String>,
    /// Whether two network configurations may name the same subnet or security group. Documented
    /// as forbidden; newer documentation tolerates it.
    pub shared_subnets: bool,
    /// For how long a new object is not seen by `read` and `find`, in milliseconds.
    pub read_lag_ms: u64,
    /// What goes wrong.
    pub faults: Vec<Fault>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            profile: Profile::default(),
            scale: 1.0,
            seed: 1,
            account: "111122223333".to_owned(),
            partition: "aws".to_owned(),
            deployment_prefix: Some("sandbox".to_owned()),
            shared_subnets: true,
            read_lag_ms: 0,
            faults: Vec::new(),
        }
    }
}

impl Settings {
    /// No waiting anywhere.
    pub fn instant() -> Self {
        Settings { profile: Profile::Instant, ..Settings::default() }
    }

    /// The same with the faults in `json`, a list of [`Fault`].
    pub fn with_faults(mut self, json: &str) -> Result<Self, serde_json::Error> {
        self.faults = serde_json::from_str(json)?;
        Ok(self)
    }

    /// How long one call takes, in milliseconds, between two bounds.
    pub(crate) fn call_ms(&self) -> (u64, u64) {
        match self.profile {
            Profile::Instant => (0, 0),
            Profile::Quick => self.scaled((2, 10)),
            Profile::Realistic => self.scaled((60, 200)),
        }
    }

    /// How long a state lasts that really lasts between the two `realistic` bounds.
    pub(crate) fn state_ms(&self, realistic: (u64, u64)) -> (u64, u64) {
        match self.profile {
            _ if realistic.1 == 0 => (0, 0),
            Profile::Instant => (0, 0),
            Profile::Quick => self.scaled((50, 300)),
            Profile::Realistic => self.scaled(realistic),
        }
    }

    /// How long IAM takes to tell everybody, in milliseconds.
    pub(crate) fn propagation_ms(&self) -> u64 {
        self.state_ms((10_000, 10_000)).1
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "milliseconds of minutes"
    )]
    fn scaled(&self, (low, high): (u64, u64)) -> (u64, u64) {
        let scale = |ms: u64| (ms as f64 * self.scale.max(0.0)) as u64;
        (scale(low), scale(high))
    }
}

/// How a run behaves here: nobody minds being asked often, and there are no limits.
pub fn run_settings() -> engine::Settings {
    engine::Settings {
        first_pause: Duration::from_millis(20),
        longest_pause: Duration::from_millis(500),
        parallel: 32,
        ..engine::Settings::default()
    }
}

/// One of the five calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    Read,
    Find,
    Create,
    Update,
    Delete,
}

impl Operation {
    /// Whether the call changes anything.
    pub fn mutates(self) -> bool {
        !matches!(self, Operation::Read | Operation::Find)
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Operation::Read => "read",
            Operation::Find => "find",
            Operation::Create => "create",
            Operation::Update => "update",
            Operation::Delete => "delete",
        }
    }
}

/// What happens instead of the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Happens {
    /// Nothing is done and the answer is an error of this class.
    Error(Class),
    /// The work is done and the answer is lost: an error of the class `transient`.
    AfterEffect,
    /// The answer is as ever, but an update is not kept.
    Reverts,
    /// The process dies before the work is done.
    KillBefore,
    /// The process dies after the work is done and before the answer.
    KillAfter,
}

/// A rule: which calls go wrong, and how.
///
/// `{"kind": "aws.subnet", "operation": "create", "nth": 2, "times": 3, "happens": {"error": "throttled"}}`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// `None` for any kind.
    #[serde(default)]
    pub kind: Option<String>,
    /// `None` for any call that changes something.
    #[serde(default)]
    pub operation: Option<Operation>,
    /// From the n-th matching call of this process on, counted from 1.
    #[serde(default = "one")]
    pub nth: u64,
    /// For how many calls.
    #[serde(default = "one")]
    pub times: u64,
    pub happens: Happens,
    /// The words of the error, for messages the caller understands.
    #[serde(default)]
    pub message: Option<String>,
}

impl Fault {
    pub(crate) fn matches(&self, kind: &str, operation: Operation) -> bool {
        self.kind.as_deref().is_none_or(|k| k == kind)
            && self.operation.map_or(operation.mutates(), |o| o == operation)
    }
}

fn one() -> u64 {
    1
}
