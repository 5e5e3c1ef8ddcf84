//! Every rule: what it is about, who decides it, and where that is known from.

mod dns;
mod ept;
mod grants;
mod iam;
mod kms;
mod look;
mod made;
mod net;
mod plk;
mod req;
mod rte;
mod sgr;
mod sto;
mod wsp;

use engine::Graph;
use spec::Spec;

pub(crate) use made::Made;

use crate::finding::Severity;
use crate::proof::Proof;
use crate::topology::{Key, Topology};

/// One thing that must hold.
pub struct Rule {
    /// `DBX-NET-001`
    pub id: &'static str,
    pub severity: Severity,
    /// The condition that breaks it.
    pub when: &'static str,
    /// What mends it, in general.
    pub fix: &'static str,
    /// Where that is known from, and what is unconfirmed about it.
    pub source: &'static str,
    pub decided: Decided,
}

/// Who finds out whether a rule is broken.
pub enum Decided {
    /// A look at the spec, the graph and the topology.
    Here(fn(&Case<'_>) -> Vec<Broken>),
    /// The reachability proof: a way that is blocked names the rule.
    Proof,
    /// The language has no words for it, or `dbxctl validate` refuses it. Says which.
    Language(&'static str),
    /// The planner or apply, which know what is there already. Says how.
    Plan(&'static str),
    /// Only a look at a live account can tell. Says what would have to be read.
    Live(&'static str),
}

/// What rules look at.
pub struct Case<'a> {
    pub spec: &'a Spec,
    pub graph: &'a Graph,
    pub topology: &'a Topology,
    pub proofs: &'a [Proof],
    pub(crate) made: Made,
}

/// A place in which a rule is broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    pub subject: Key,
    /// The place in the spec that mends it.
    pub place: Vec<String>,
    pub message: String,
    /// Instead of the rule's own.
    pub fix: Option<String>,
    pub symptom: Option<String>,
}

/// All rules, in the order of the reference.
pub fn all() -> impl Iterator<Item = &'static Rule> {
    let parts: [&[Rule]; 11] = [
        net::RULES,
        rte::RULES,
        sgr::RULES,
        ept::RULES,
        dns::RULES,
        plk::RULES,
        iam::RULES,
        sto::RULES,
        kms::RULES,
        wsp::RULES,
        req::RULES,
    ];
    parts.into_iter().flatten()
}
