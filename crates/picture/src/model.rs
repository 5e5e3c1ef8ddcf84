//! What is drawn, whatever it is drawn as.

use std::collections::BTreeMap;

use check::proof::{Hop, Verdict, Via};
use check::topology::Key;
use serde::Serialize;

/// The topology of one stack.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    pub stack: String,
    pub region: String,
    pub vpcs: Vec<Vpc>,
    /// Workspaces in networks that Databricks makes.
    pub managed: Vec<Workspace>,
    /// What each place outside is reached for.
    pub reached: BTreeMap<Place, Vec<String>>,
    pub tally: Tally,
    /// How much a plan changes, if this is the picture of one.
    pub changes: Option<engine::Summary>,
    /// What the plan does to each object, drawn or not.
    pub marked: BTreeMap<Key, Mark>,
}

/// How the ways of all workspaces were judged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    pub proven: usize,
    pub blocked: usize,
    pub unknown: usize,
}

/// What a plan does to an object.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    #[default]
    None,
    Added,
    Changed,
    Replaced,
    Removed,
}

impl Mark {
    /// The word for it, which is also the class it is drawn with.
    pub fn word(self) -> &'static str {
        match self {
            Mark::None => "",
            Mark::Added => "added",
            Mark::Changed => "changed",
            Mark::Replaced => "replaced",
            Mark::Removed => "removed",
        }
    }

    /// What stands before a name, so that colour never tells alone.
    pub fn sign(self) -> &'static str {
        match self {
            Mark::None => "",
            Mark::Added => "+ ",
            Mark::Changed => "~ ",
            Mark::Replaced => "± ",
            Mark::Removed => "- ",
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Vpc {
    pub key: Key,
    pub name: String,
    pub mark: Mark,
    /// Its blocks, or that they were not read.
    pub cidrs: String,
    /// How far it can still grow.
    pub room: Option<String>,
    pub zones: Vec<String>,
    pub workspaces: Vec<Workspace>,
    /// Subnets without nodes, by what they are for.
    pub others: Vec<(String, Vec<Subnet>)>,
    pub doors: Vec<Door>,
    /// Security groups that are not those of one workspace.
    pub groups: Vec<Group>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Subnet {
    pub key: Key,
    pub zone: String,
    pub cidr: String,
    /// The nodes it has room for.
    pub nodes: Option<u32>,
    pub mark: Mark,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    pub key: Key,
    pub name: String,
    pub mark: Mark,
}

/// A way out of a VPC.
#[derive(Debug, Clone, PartialEq)]
pub struct Door {
    pub key: Key,
    pub kind: DoorKind,
    pub name: String,
    /// What it is, in a few words.
    pub detail: String,
    pub mark: Mark,
    pub to: Place,
    /// Whether users come in here.
    pub users: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DoorKind {
    Interface,
    Gateway,
    Nat,
    Internet,
    Peering,
    /// Ways that end before any door.
    Blocked,
    /// Ways that somebody else decides about.
    Unknown,
}

/// What lies outside the VPCs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    Users,
    Databricks,
    Aws,
    Internet,
    /// A VPC at the other end of a peering.
    Peer(String),
    Nowhere,
}

impl Place {
    /// What it is called.
    pub fn title(&self) -> String {
        match self {
            Place::Users => "users".to_owned(),
            Place::Databricks => "Databricks control plane".to_owned(),
            Place::Aws => "AWS services".to_owned(),
            Place::Internet => "internet".to_owned(),
            Place::Peer(vpc) => format!("VPC {vpc}"),
            Place::Nowhere => String::new(),
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Workspace {
    pub name: String,
    pub mark: Mark,
    pub subnets: Vec<Subnet>,
    pub groups: Vec<Group>,
    /// Nodes it has room for, and those asked for.
    pub nodes: Option<u32>,
    pub peak: Option<u32>,
    /// How users come in, in a word.
    pub users: String,
    /// In the order of their classes; those of users last.
    pub ways: Vec<Way>,
}

/// Ways of one workspace to one destination that end alike.
#[derive(Debug, Clone, PartialEq)]
pub struct Way {
    pub class: &'static str,
    pub to: String,
    /// The zones they are from; empty for users.
    pub from: Vec<String>,
    /// The door they take, by its key.
    pub door: Option<Key>,
    pub verdict: Verdict,
}

/// A verdict in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Words<'a> {
    /// `proven`, `blocked`, `unknown` or `not needed`.
    pub verdict: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub via: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hops: Vec<(&'static str, String)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub because: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub symptom: Option<&'a str>,
}

impl Way {
    pub fn words(&self) -> Words<'_> {
        let words = Words {
            verdict: "not needed",
            via: "",
            hops: Vec::new(),
            rule: None,
            because: None,
            fix: None,
            symptom: None,
        };
        match &self.verdict {
            Verdict::Proven { via, path } => {
                Words { verdict: "proven", via: word(*via), hops: hops(path), ..words }
            }
            Verdict::Blocked { path, block } => Words {
                verdict: "blocked",
                hops: hops(path),
                rule: Some(block.rule),
                because: Some(&block.message),
                fix: Some(&block.fix),
                symptom: block.symptom.as_deref(),
                ..words
            },
            Verdict::Unknown { path, why } => {
                Words { verdict: "unknown", hops: hops(path), because: Some(why), ..words }
            }
            Verdict::NotRequired { why } => Words { because: Some(why), ..words },
        }
    }

    /// Whether users take it, from outside.
    pub fn is_of_users(&self) -> bool {
        self.class.starts_with('U')
    }
}

fn hops(path: &[Hop]) -> Vec<(&'static str, String)> {
    let hop = |hop: &Hop| {
        let what = match hop.at.is_empty() || hop.what.contains(&hop.at) {
            true => hop.what.clone(),
            false => format!("{} ({})", hop.what, hop.at),
        };
        (hop.step.word(), what)
    };
    path.iter().map(hop).collect()
}

fn word(via: Via) -> &'static str {
    match via {
        Via::Endpoint => "interface endpoint",
        Via::Gateway => "gateway endpoint",
        Via::Nat => "NAT gateway",
        Via::Peering => "peering",
        Via::Local => "local",
        Via::Public => "public",
    }
}
