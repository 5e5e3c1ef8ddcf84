//! Finds out from a spec and its graph alone what would not work once it is built.
//!
//! ```text
//! Spec, Graph (and what was read of used objects) ──▶ Topology ──▶ proofs, findings, capacity
//! ```
//!
//! Pure. The analyser looks at the graph, so it judges what would be built and not what the spec hopes
//! for; a topology read from a live account would be judged the same way.

mod capacity;
mod finding;
mod limits;
mod pattern;
mod place;
pub mod proof;
mod rules;
mod sarif;
pub mod topology;

use std::collections::BTreeMap;

use engine::{Graph, World};
use schemars::JsonSchema;
use serde::Serialize;
use spec::Spec;

pub use capacity::{
    Capacity, Overlap, RoomChange, Shortage, SubnetRoom, VpcRoom, WorkspaceRoom, capacity,
};
pub use finding::{Finding, Severity};
pub use limits::{Limit, Used, limits};
pub use rules::{Broken, Case, Decided, Rule, all as rules};
pub use sarif::{Location, sarif};

use crate::proof::{Ask, Proof, Prover, Verdict};
use crate::topology::Topology;

/// The version of the JSON that `dbxctl check --format json` prints.
pub const CHECK_FORMAT: u32 = 1;

/// Everything that was found out.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Report {
    pub format: u32,
    pub stack: String,
    /// The worst first.
    pub findings: Vec<Finding>,
    pub proofs: Vec<Proof>,
    pub capacity: Capacity,
    pub limits: Vec<Limit>,
}

impl Report {
    /// What stops a plan: errors that the spec does not accept.
    pub fn refusals(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|f| f.severity == Severity::Error && f.accepted.is_none())
    }
}

/// Checks what a spec asks for. Objects that are only used are judged as `world` has seen them; where it
/// has not, what depends on them is unknown.
pub fn check(spec: &Spec, graph: &Graph, world: &World) -> Report {
    judge(spec, graph, &Topology::of(&spec.region, graph, world))
}

/// The same for a topology that comes from elsewhere.
pub fn judge(spec: &Spec, graph: &Graph, topology: &Topology) -> Report {
    let mut proofs = Vec::new();
    let prover = Prover::new(topology);
    for (name, workspace) in &spec.workspaces {
        let vpc = spec.vpc_of(workspace);
        let ask = Ask {
            uses: &workspace.uses,
            requirements: &spec.requirements,
            user_names: vpc.and_then(|vpc| vpc.private_link.user_names),
            aws_account: &spec.aws.account,
        };
        proofs.extend(prover.prove(name, &ask));
    }
    let mut findings = blocked(spec, graph, &proofs);
    let made = rules::Made::of(graph);
    let case = Case { spec, graph, topology, proofs: &proofs, made };
    for rule in rules() {
        let Decided::Here(look) = rule.decided else { continue };
        findings.extend(look(&case).into_iter().map(|broken| Finding {
            rule: rule.id,
            severity: rule.severity,
            subject: broken.subject,
            pointer: pointer(&broken.place),
            message: broken.message,
            fix: broken.fix.unwrap_or_else(|| rule.fix.to_owned()),
            symptom: broken.symptom,
            accepted: None,
        }));
    }
    for finding in &mut findings {
        finding.accepted = spec.accept.get(finding.rule).cloned();
    }
    findings.sort_by(|a, b| b.severity.cmp(&a.severity).then_with(|| a.cmp(b)));
    findings.dedup();
    Report {
        format: CHECK_FORMAT,
        stack: spec.name.clone(),
        capacity: capacity(spec, topology),
        limits: limits(spec, graph, topology),
        findings,
        proofs,
    }
}

/// The place in the spec that made an object what it is, as a JSON pointer; the whole spec for an
/// object nobody knows.
pub fn place(spec: &Spec, graph: &Graph, address: &str) -> String {
    pointer(&place::of(spec, graph, address))
}

/// One finding for everything one object blocks in one way.
fn blocked(spec: &Spec, graph: &Graph, proofs: &[Proof]) -> Vec<Finding> {
    let mut found: BTreeMap<_, (&Proof, Vec<&str>)> = BTreeMap::new();
    for proof in proofs {
        let Verdict::Blocked { block, .. } = &proof.verdict else { continue };
        let key = (block.rule, &block.at, &block.message);
        let (_, classes) = found.entry(key).or_insert_with(|| (proof, Vec::new()));
        if !classes.contains(&proof.class) {
            classes.push(proof.class);
        }
    }
    let finding = |(proof, classes): (&Proof, Vec<&str>)| {
        let Verdict::Blocked { block, .. } = &proof.verdict else { return None };
        let subject = if block.at.is_empty() { &proof.workspace } else { &block.at };
        let place = match place::of(spec, graph, subject) {
            // What the graph does not have, such as a private zone, is told where it is felt.
            place if place.is_empty() => place::of(spec, graph, &proof.workspace),
            place => place,
        };
        Some(Finding {
            rule: block.rule,
            severity: block.severity,
            subject: subject.clone(),
            pointer: pointer(&place),
            message: format!("{} ({})", block.message, classes.join(", ")),
            fix: block.fix.clone(),
            symptom: block.symptom.clone(),
            accepted: None,
        })
    };
    found.into_values().filter_map(finding).collect()
}

/// The JSON pointer of a place in the spec.
fn pointer(place: &[String]) -> String {
    let part = |part: &String| format!("/{}", part.replace('~', "~0").replace('/', "~1"));
    place.iter().map(part).collect()
}
