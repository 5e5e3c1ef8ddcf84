//! What has to be done: a pure function of the graph, the state and what was read.

mod decide;
mod drift;
mod headline;
mod order;

pub use decide::parents_first;
pub use drift::{LastAsked, drift};

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::diff::{Consequence, Effect, Meaning};
use crate::graph::{Graph, Group};
use crate::refresh::World;
use crate::state::{Move, State};
use crate::value::Address;
use crate::world::Kinds;

/// The version of the plan file this code writes and reads.
pub const PLAN_FORMAT: u32 = 1;

/// The difference between what is wanted and what is there, as steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    pub format: u32,
    pub written_by: String,
    pub stack: String,
    /// The state this plan was made from: apply refuses another.
    pub lineage: String,
    pub serial: u64,
    /// Hash of the graph the spec expands to.
    pub graph_sha256: String,
    /// Where the clouds are, for the state to remember.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub home: BTreeMap<String, String>,
    pub steps: Vec<Step>,
    /// Resources that stay as they are.
    pub unchanged: usize,
    /// Resources that have another address from now on; their objects stay as they are.
    pub moved: Vec<Move>,
    /// Resources that only hang together in another way; bookkeeping without calls.
    pub related: Vec<Relation>,
    /// What happens to living workspaces and the like, each with the steps it takes.
    #[serde(default)]
    pub headlines: Vec<Headline>,
    /// Differences that stay, because nothing can remove them.
    #[serde(default)]
    pub notes: Vec<Note>,
}

/// One change as a user sees it: several steps with one meaning.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Headline {
    /// Whom it happens to, and what: `wk1: its nodes move to other subnets`.
    pub title: String,
    /// The resources whose change it is.
    pub subjects: BTreeSet<Address>,
    /// What it does to those who use them; empty for nothing.
    pub impacts: BTreeSet<Consequence>,
    pub because: Vec<String>,
    /// The numbers of its steps; each step belongs to one headline at most.
    pub steps: BTreeSet<usize>,
}

/// Something the plan leaves as it is, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Note {
    pub address: Address,
    pub message: String,
}

/// A change of what the state remembers about a resource, without any call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Relation {
    pub address: Address,
    pub group: Group,
    pub needs: BTreeSet<Address>,
    /// The object is only used from now on, or gone already, or the spec says so: forget it.
    pub forget: bool,
    /// The object that stays although nobody manages it any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaves: Option<String>,
}

/// What a step is for, as a reader of the plan sees it.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// A new object.
    Create,
    /// A new object in place of another; its `Delete` twin has `replacing` set too.
    Replace,
    /// An object of ours the state did not know.
    Adopt,
    /// Fields of a living object.
    Update,
    /// Nothing differs, but an earlier apply did not get to the end of it.
    Finish,
    Delete,
}

impl Action {
    /// Whether the step makes or changes an object (or else removes one).
    pub fn makes(self) -> bool {
        self != Action::Delete
    }

    /// Whether there is a new object after the step.
    pub fn is_new(self) -> bool {
        matches!(self, Action::Create | Action::Replace)
    }
}

/// One step. It starts when all steps in `after` are done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Step {
    pub step: usize,
    pub action: Action,
    pub address: Address,
    pub group: Group,
    pub after: BTreeSet<usize>,
    /// The object's id, when there is one already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What is wanted; references that are not known before apply stay references. Null for a delete.
    pub props: Value,
    pub needs: BTreeSet<Address>,
    pub generation: u32,
    /// Part of a replacement.
    #[serde(default)]
    pub replacing: bool,
    /// In a replacement the new object comes before the old one goes.
    #[serde(default)]
    pub create_first: bool,
    /// What deleting it would lose cannot be made again.
    #[serde(default)]
    pub precious: bool,
    /// A delete: what the object still holds is deleted with it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub empties: bool,
    pub changes: Vec<PlannedChange>,
    /// Why there is a step at all, when no field tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
}

/// One field that will change, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlannedChange {
    pub field: String,
    pub effect: Effect,
    pub before: Value,
    pub after: Value,
    pub why: Why,
    #[serde(default, skip_serializing_if = "Meaning::is_empty")]
    pub meaning: Meaning,
}

/// Why a field changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// The spec asks for something else than before.
    Spec,
    /// Somebody changed the object behind dbxctl's back.
    Drift,
    /// It names a resource that is made anew.
    Follows(Address),
    /// An earlier apply did not get that far.
    Unfinished,
}

/// Why there is no plan. Nothing has been touched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{address}: {message}")]
pub struct Problem {
    pub address: Address,
    /// The fields that cannot be as the spec asks; empty when it is about the whole.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
    pub message: String,
    pub help: Option<String>,
}

/// Compares what is wanted with what is there.
///
/// Pure and deterministic: the same input gives the same bytes. All problems are reported at once.
pub fn plan(
    graph: &Graph,
    state: &State,
    world: &World,
    kinds: Kinds,
) -> Result<Plan, Vec<Problem>> {
    at_home(graph, state)?;
    let (state, moved) = state.renamed(graph);
    let decisions = decide::decide(graph, &state, world, kinds)?;
    let steps = order::steps(decisions.drafts, graph, &state, kinds)?;
    let headlines = headline::headlines(&steps, graph, &state);
    let (notes, related) = (decisions.notes, decisions.related);
    let plan = Plan::of(graph, &state, steps, decisions.unchanged);
    Ok(Plan { headlines, notes, moved, related, ..plan })
}

/// Objects cannot be moved to other clouds, and are not seen from there.
fn at_home(graph: &Graph, state: &State) -> Result<(), Vec<Problem>> {
    if state.resources.is_empty() {
        return Ok(());
    }
    let away = state.home.iter().filter_map(|(what, was)| {
        let is = graph.home.get(what).filter(|is| *is != was)?;
        Some(Problem {
            address: Address::new("stack", &graph.stack),
            fields: vec![what.clone()],
            message: format!(
                "its {} objects are in {what} {was}, the spec asks for {what} {is}",
                state.resources.len()
            ),
            help: Some(
                "nothing can be moved there: give the new place a spec with another `name`, and `dbxctl \
                 destroy` this one when it is no longer needed"
                    .to_owned(),
            ),
        })
    });
    let away: Vec<Problem> = away.collect();
    if away.is_empty() { Ok(()) } else { Err(away) }
}

fn fingerprint(graph: &Graph) -> String {
    hash(&serde_json::to_string(&graph.nodes).expect("a graph is plain data"))
}

fn hash(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// How much a plan does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    pub add: usize,
    pub change: usize,
    pub destroy: usize,
    pub replaced_precious: usize,
}

impl Step {
    /// Whether it only puts back what was changed outside dbxctl.
    pub fn is_drift(&self) -> bool {
        let all_drift = self.changes.iter().all(|change| change.why == Why::Drift);
        match self.action {
            Action::Create => self.because.as_deref() == Some(decide::DELETED_OUTSIDE),
            Action::Update | Action::Replace => !self.changes.is_empty() && all_drift,
            Action::Adopt | Action::Finish | Action::Delete => false,
        }
    }
}

impl Plan {
    fn of(graph: &Graph, state: &State, steps: Vec<Step>, unchanged: usize) -> Self {
        Plan {
            format: PLAN_FORMAT,
            written_by: crate::WRITTEN_BY.to_owned(),
            stack: graph.stack.clone(),
            lineage: state.lineage.clone(),
            serial: state.serial,
            graph_sha256: fingerprint(graph),
            home: graph.home.clone(),
            steps,
            unchanged,
            headlines: Vec::new(),
            notes: Vec::new(),
            moved: Vec::new(),
            related: Vec::new(),
        }
    }

    /// The steps that delete what cannot be made again.
    pub fn losses(&self) -> impl Iterator<Item = &Step> {
        let takes = |step: &&Step| matches!(step.action, Action::Delete | Action::Replace);
        self.steps.iter().filter(|step| step.precious).filter(takes)
    }

    /// Whether there is nothing to do. Bookkeeping does not count, unless somebody asked for it.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.moved.is_empty() && self.left().next().is_none()
    }

    /// What is forgotten although the object stays: address and id.
    pub fn left(&self) -> impl Iterator<Item = (&Address, &str)> {
        self.related.iter().filter_map(|r| Some((&r.address, r.leaves.as_deref()?)))
    }

    /// Tells this plan from every other.
    pub fn sha256(&self) -> String {
        hash(&serde_json::to_string(self).expect("a plan is plain data"))
    }

    /// The closing line's figures. A replacement counts once as add and once as destroy.
    pub fn summary(&self) -> Summary {
        let mut sum = Summary::default();
        for step in &self.steps {
            match step.action {
                Action::Create | Action::Replace => sum.add += 1,
                Action::Update | Action::Adopt | Action::Finish => sum.change += 1,
                Action::Delete => sum.destroy += 1,
            }
            let replaces = step.precious && step.action == Action::Replace;
            sum.replaced_precious += usize::from(replaces);
        }
        sum
    }
}

#[cfg(test)]
mod tests;
