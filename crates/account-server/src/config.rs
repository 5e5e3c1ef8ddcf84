use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::answer::Shape;

/// Who may log in, where to listen, and how the server behaves.
#[derive(Clone)]
pub struct Config {
    /// 0 takes any free port. The server listens on the loopback address only.
    pub port: u16,
    /// The account's UUID.
    pub account: String,
    pub client_id: String,
    pub client_secret: String,
    /// `accounts.<zone>` is the account host and `<deployment>.<zone>` a workspace host. Without a
    /// zone every host name is the account host.
    pub zone: Option<String>,
    /// Base URL of an AWS API such as moto (`http://127.0.0.1:5000`). When given, credentials need
    /// a role that exists there, and registrations an endpoint that exists there.
    pub aws: Option<String>,
    pub settings: Settings,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            port: 0,
            account: "00000000-0000-4000-8000-000000000001".into(),
            client_id: "test-client".into(),
            client_secret: "test-secret".into(),
            zone: None,
            aws: None,
            settings: Settings::default(),
        }
    }
}

/// What can be changed while the server runs (`POST /_control/settings`, any subset of fields).
#[derive(Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Life of an access token. The real one lives an hour.
    pub token_seconds: u64,
    /// Whose tokens are exchanged for one of the account: any of these; without one, everybody's.
    pub federation: Vec<Federation>,
    /// From creation (or repair) of a workspace to `RUNNING`.
    pub to_running: Pace,
    /// Whether a new workspace starts as `NOT_PROVISIONED` instead of `PROVISIONING`.
    pub not_provisioned_first: bool,
    /// How long a deleted workspace is still answered.
    pub workspace_lingers: Pace,
    /// How long a network stays in use after its workspace let go of it. The real lag is not
    /// published (unconfirmed), normally none.
    pub network_lingers: Pace,
    /// From registration of a VPC endpoint to `available`.
    pub to_available: Pace,
    /// Given to workspaces that ask for no tier.
    pub pricing_tier: String,
    /// Without a prefix the account refuses deployment names.
    pub deployment_prefix: Option<String>,
    /// Body of refusals in the provisioning family; three shapes were seen in the wild.
    pub error_shape: Shape,
    /// A network in use refuses deletion with 409 and nothing else.
    pub empty_in_use: bool,
    /// Storage, network, private access settings and workspace names are unique. Unconfirmed for
    /// all four; credentials names always are.
    pub unique_names: bool,
    /// Status of the refusal of a taken name: 400 instead of 409. Unconfirmed either way.
    pub duplicates_are_400: bool,
    /// A second network may use a subnet or group again. Documented as forbidden; whether the
    /// server refuses is unconfirmed.
    pub shared_subnets: bool,
    /// A registration that an unattached network or private access settings name cannot be
    /// deleted. Unconfirmed; an attached network always blocks.
    pub listed_endpoint_blocks: bool,
    /// A workspace that is still provisioning refuses deletion with 409. Unconfirmed.
    pub provisioning_blocks_delete: bool,
    /// Use case by AWS endpoint service name.
    pub services: BTreeMap<String, UseCase>,
    /// Service name by AWS endpoint id, for servers that cannot ask an AWS API.
    pub endpoints: BTreeMap<String, String>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            token_seconds: 3600,
            federation: Vec::new(),
            to_running: Pace::Polls(2),
            not_provisioned_first: true,
            workspace_lingers: Pace::Polls(1),
            network_lingers: Pace::Polls(0),
            to_available: Pace::Polls(1),
            pricing_tier: "ENTERPRISE".into(),
            deployment_prefix: None,
            error_shape: Shape::MessageOnly,
            empty_in_use: false,
            unique_names: true,
            duplicates_are_400: false,
            shared_subnets: true,
            listed_endpoint_blocks: true,
            provisioning_blocks_delete: false,
            services: BTreeMap::new(),
            endpoints: BTreeMap::new(),
        }
    }
}

/// What the claims of a token must be.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Federation {
    pub issuer: String,
    pub audience: String,
    pub subject: String,
    /// The issuer's public keys (RFC 7517, RSA). Without them the signature is not looked at: this
    /// server asks nobody for keys.
    #[serde(default)]
    pub jwks: Option<Jwks>,
}

#[derive(Clone, Serialize, Deserialize)]
pub struct Jwks {
    pub keys: Vec<Jwk>,
}

/// An RSA key: modulus and exponent in base64url.
#[derive(Clone, Serialize, Deserialize)]
pub struct Jwk {
    pub n: String,
    pub e: String,
}

/// How long something takes: so many reads of it (one object or the list it is in), or so many
/// milliseconds.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pace {
    Polls(u32),
    Millis(u64),
}

/// What a registered endpoint is for. `WORKSPACE_ACCESS` is the old name of `GENERAL_ACCESS`.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum UseCase {
    WorkspaceAccess,
    GeneralAccess,
    DataplaneRelayAccess,
}

/// Progress along a [`Pace`].
#[derive(Clone)]
pub(crate) struct Countdown {
    pace: Pace,
    since: Instant,
    polls: u32,
}

impl Countdown {
    pub(crate) fn start(pace: Pace) -> Self {
        Countdown { pace, since: Instant::now(), polls: 0 }
    }

    pub(crate) fn poll(&mut self) {
        self.polls = self.polls.saturating_add(1);
    }

    pub(crate) fn is_done(&self) -> bool {
        match self.pace {
            Pace::Polls(n) => self.polls >= n,
            Pace::Millis(ms) => self.since.elapsed() >= Duration::from_millis(ms),
        }
    }

    /// Whether the first stage of two is over: after one read, or a quarter of the time.
    pub(crate) fn has_begun(&self) -> bool {
        match self.pace {
            Pace::Polls(_) => self.polls >= 1,
            Pace::Millis(ms) => self.since.elapsed() >= Duration::from_millis(ms / 4),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn countdowns_follow_their_pace() {
        for (pace, polls, is_begun, is_done) in [
            (Pace::Polls(0), 0, false, true),
            (Pace::Polls(2), 0, false, false),
            (Pace::Polls(2), 1, true, false),
            (Pace::Polls(2), 2, true, true),
            (Pace::Millis(0), 0, true, true),
            (Pace::Millis(3_600_000), 9, false, false),
        ] {
            let mut countdown = Countdown::start(pace);
            (0..polls).for_each(|_| countdown.poll());
            assert_eq!((countdown.has_begun(), countdown.is_done()), (is_begun, is_done));
        }
    }
}
