//! What the state knows of earlier runs: who did what, and how long steps took.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::lock::Holder;
use super::model::State;
use crate::plan::{Action, Plan};

/// Runs that are kept.
const RUNS: usize = 50;
/// Durations that are kept of each kind and action.
const SAMPLES: usize = 15;

/// A run that changed something, or was about to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PastRun {
    /// Tells this run from every other.
    pub owner: String,
    pub command: String,
    pub host: String,
    pub pid: u32,
    /// Where a pipeline shows the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_url: Option<String>,
    /// Hash of the plan that was carried out.
    pub plan_sha256: String,
    /// How many steps the plan has.
    pub steps: usize,
    #[schemars(with = "String")]
    pub started: Timestamp,
    /// None while it runs, and for one that died.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Ended>,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ended {
    #[schemars(with = "String")]
    pub at: Timestamp,
    pub result: RunResult,
    /// Steps, by what became of them; what an interrupted run did not come to is in none.
    pub done: usize,
    pub failed: usize,
    pub skipped: usize,
}

/// What came of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunResult {
    /// Every step was done.
    Complete,
    /// Steps failed, and what depends on them was skipped.
    Failed,
    /// It was asked to stop, or lost the lock, before it was through.
    Interrupted,
}

/// How long a step took from its first call to its last.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Took {
    pub action: Action,
    pub seconds: f64,
}

impl Took {
    /// In milliseconds: what is finer is noise.
    pub(crate) fn new(action: Action, elapsed: Duration) -> Self {
        Took { action, seconds: (elapsed.as_secs_f64() * 1000.0).round() / 1000.0 }
    }
}

impl PastRun {
    /// A run that carries out `plan` from now on.
    pub(crate) fn begins(holder: &Holder, plan: &Plan, started: Timestamp) -> Self {
        PastRun {
            owner: holder.owner.clone(),
            command: holder.command.clone(),
            host: holder.host.clone(),
            pid: holder.pid,
            run_url: holder.run_url.clone(),
            plan_sha256: plan.sha256(),
            steps: plan.steps.len(),
            started,
            ended: None,
        }
    }
}

/// Durations in seconds by kind and action, newest last.
pub type Durations = BTreeMap<String, BTreeMap<Action, Vec<f64>>>;

impl State {
    /// How long steps of that kind and action took, newest last.
    pub fn durations_of(&self, kind: &str, action: Action) -> &[f64] {
        self.durations.get(kind).and_then(|all| all.get(&action)).map_or(&[], Vec::as_slice)
    }

    pub(super) fn took(&mut self, kind: &str, took: Took) {
        let all = self.durations.entry(kind.to_owned()).or_default();
        push(all.entry(took.action).or_default(), took.seconds, SAMPLES);
    }

    pub(super) fn began(&mut self, run: PastRun) {
        push(&mut self.runs, run, RUNS);
    }

    pub(super) fn ended(&mut self, owner: &str, ended: &Ended) {
        if let Some(run) = self.runs.iter_mut().rev().find(|run| run.owner == owner) {
            run.ended = Some(ended.clone());
        }
    }
}

/// Adds the newest and lets go of the oldest.
fn push<T>(all: &mut Vec<T>, new: T, limit: usize) {
    all.push(new);
    let too_many = all.len().saturating_sub(limit);
    all.drain(..too_many);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Entry;
    use crate::value::Address;

    fn run(owner: &str) -> PastRun {
        PastRun {
            owner: owner.to_owned(),
            command: "dbxctl apply".to_owned(),
            host: "here".to_owned(),
            pid: 1,
            run_url: None,
            plan_sha256: String::new(),
            steps: 1,
            started: Timestamp::UNIX_EPOCH,
            ended: None,
        }
    }

    #[test]
    fn only_the_last_runs_and_durations_are_kept() {
        let mut state = State::new("s", "l".into());
        for n in 0..100u32 {
            state.apply(&Entry::Began { run: run(&n.to_string()) });
            let took = Some(Took { action: Action::Delete, seconds: f64::from(n) });
            state.apply(&Entry::Removed { address: Address::new("t.a", "x"), id: None, took });
        }
        let owners: Vec<&str> = state.runs.iter().map(|run| run.owner.as_str()).collect();
        assert_eq!((owners.len(), owners[0], owners[RUNS - 1]), (RUNS, "50", "99"));
        let seconds = state.durations_of("t.a", Action::Delete);
        assert_eq!((seconds.len(), seconds[0], seconds[SAMPLES - 1]), (SAMPLES, 85.0, 99.0));
        assert!(state.durations_of("t.a", Action::Create).is_empty());
    }

    #[test]
    fn an_end_belongs_to_its_own_run() {
        let mut state = State::new("s", "l".into());
        for owner in ["died", "ended"] {
            state.apply(&Entry::Began { run: run(owner) });
        }
        let ended = Ended {
            at: Timestamp::UNIX_EPOCH,
            result: RunResult::Complete,
            done: 1,
            failed: 0,
            skipped: 0,
        };
        for owner in ["ended", "unknown"] {
            state.apply(&Entry::Ended { owner: owner.to_owned(), ended: ended.clone() });
        }
        let ends: Vec<bool> = state.runs.iter().map(|run| run.ended.is_some()).collect();
        assert_eq!(ends, [false, true]);
    }
}
