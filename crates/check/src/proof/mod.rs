//! For every subnet and destination: can a packet get there and be answered?

mod acls;
mod blocks;
mod classes;
mod control_plane;
mod groups;
mod index;
mod inside;
mod missing;
mod names;
mod needs;
pub(crate) mod policy;
mod services;
mod users;
mod walk;

use schemars::JsonSchema;
use serde::Serialize;
use spec::{Requirements, UserNames, Uses};

use crate::finding::Severity;
use crate::topology::{Key, Topology};

pub use index::Prover;

/// What was found out about one destination from one subnet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Proof {
    pub workspace: String,
    /// The subnet, by address; empty for users (U1, U2).
    pub from: Key,
    /// As in the reference: `D6`.
    pub class: &'static str,
    /// What a user calls it: `relay`.
    pub to: String,
    pub verdict: Verdict,
}

/// Whether it works.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "verdict")]
pub enum Verdict {
    /// It works, this way.
    Proven { via: Via, path: Vec<Hop> },
    /// It does not, because of the last hop of the path.
    Blocked { path: Vec<Hop>, block: Block },
    /// Control leaves what can be seen.
    Unknown { path: Vec<Hop>, why: String },
    /// Nothing of this workspace goes there.
    NotRequired { why: String },
}

/// The way a packet takes, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    /// An interface endpoint in the VPC.
    Endpoint,
    /// A gateway endpoint on the route table.
    Gateway,
    /// A NAT gateway and the internet.
    Nat,
    Peering,
    /// It stays in the VPC or on the machine.
    Local,
    /// Users only: the public name.
    Public,
}

/// One decision on the way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Hop {
    pub step: Step,
    /// The object that decides, by address; empty when none does.
    pub at: Key,
    /// What it decides: `sts.eu-central-1.amazonaws.com → aws.vpc_endpoint/main.sts (private DNS)`.
    pub what: String,
}

/// The questions, in the order in which they are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    Name,
    Route,
    Egress,
    Ingress,
    Acl,
    Policy,
    Service,
}

impl Step {
    /// As JSON has it.
    pub fn word(self) -> &'static str {
        match self {
            Step::Name => "name",
            Step::Route => "route",
            Step::Egress => "egress",
            Step::Ingress => "ingress",
            Step::Acl => "acl",
            Step::Policy => "policy",
            Step::Service => "service",
        }
    }
}

/// Why a packet does not get there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Block {
    pub rule: &'static str,
    pub severity: Severity,
    /// The object to change, by address.
    pub at: Key,
    pub message: String,
    /// The smallest change that lets it through.
    pub fix: String,
    pub symptom: Option<String>,
}

/// What is asked of the network of one workspace.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    pub uses: &'a Uses,
    pub requirements: &'a Requirements,
    /// How users' machines learn private addresses, as the spec has it.
    pub user_names: Option<UserNames>,
    /// The AWS account of the network, for endpoint policies.
    pub aws_account: &'a str,
}

/// What nodes of one workspace reach, and its users. Nothing for a workspace without a network here.
///
/// For many workspaces of one topology, make one [`Prover`].
pub fn prove(topology: &Topology, workspace: &str, ask: &Ask<'_>) -> Vec<Proof> {
    Prover::new(topology).prove(workspace, ask)
}
