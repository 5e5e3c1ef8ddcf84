//! Doing what the plan says, and nothing else.
//!
//! Steps that wait for nothing unfinished run side by side. After a failure what depends on it is
//! skipped and everything else still finishes, so that one apply does and reports as much as it can.

mod converge;
mod remove;
mod retry;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use jiff::Timestamp;
use serde_json::Value;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use retry::patiently;
pub(crate) use retry::{Pauses, left_of};

use crate::event::{Event, Report};
use crate::plan::{PLAN_FORMAT, Plan, Step};
use crate::refresh::field_of;
use crate::state::{Ended, Entry, Holder, Move, PastRun, RunResult, State, StateError, Store};
use crate::value::{Address, Output};
use crate::world::{Cloud, Kinds};

/// How a run behaves where the cloud leaves a choice.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Steps side by side.
    pub parallel: usize,
    /// The first pause of a wait or a retry; each later one is half as long again.
    pub first_pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
    /// How long a service may be down or throttle before a step gives up.
    pub patience: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            parallel: 16,
            first_pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(10),
            patience: Duration::from_secs(300),
        }
    }
}

/// Everything a run needs from outside.
pub struct Run<'a> {
    pub kinds: Kinds,
    pub cloud: &'a dyn Cloud,
    pub store: &'a dyn Store,
    pub report: Report<'a>,
    /// Cancelled: nothing new is begun, waits end, what is under way is saved.
    pub cancel: CancellationToken,
    pub settings: Settings,
}

/// How an apply ended.
#[derive(Debug, Default)]
pub struct Outcome {
    pub done: usize,
    pub failures: Vec<Failure>,
    pub skipped: Vec<Address>,
    /// It was asked to stop before it was through.
    pub interrupted: bool,
}

impl Outcome {
    /// Whether every step was done.
    pub fn complete(&self) -> bool {
        self.failures.is_empty() && self.skipped.is_empty() && !self.interrupted
    }

    /// What came of it.
    pub fn result(&self) -> RunResult {
        match self {
            all if all.complete() => RunResult::Complete,
            Outcome { interrupted: true, failures, .. } if failures.is_empty() => {
                RunResult::Interrupted
            }
            _ => RunResult::Failed,
        }
    }
}

/// A step that failed for good.
#[derive(Debug)]
pub struct Failure {
    pub address: Address,
    pub error: StepError,
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    #[error("{doing}: {source}")]
    Cloud { doing: &'static str, source: cloud::Error },
    #[error("{what} did not happen within {} s; last seen: {last}", limit.as_secs())]
    Deadline { what: String, limit: Duration, last: String },
    #[error("it has failed: {0}")]
    Broken(String),
    #[error("it accepts changes but does not show them: {}", .0.join("; "))]
    DidNotConverge(Vec<String>),
    #[error("it is not as the plan saw it ({})", .0.join(", "))]
    PlanOutdated(Vec<String>),
    #[error("more than one object carries its mark: `{}`", .0.join("`, `"))]
    Ambiguous(Vec<String>),
    #[error("`{0}` exists already and was not made by this stack")]
    Foreign(String),
    #[error("bug: {0}")]
    Bug(String),
    #[error(transparent)]
    State(#[from] StateError),
    #[error("interrupted while {0}; the next apply goes on from here")]
    Interrupted(String),
}

/// Why a plan cannot be applied at all. Nothing has been touched.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Stale {
    #[error("the plan has format {0}, this version reads {PLAN_FORMAT}")]
    Format(u32),
    #[error("the plan is for stack `{0}`, the state is of `{1}`")]
    Stack(String, String),
    #[error("the plan was made from another state of the stack")]
    Lineage,
    #[error(
        "the plan was made at serial {plan}, the state is at {state}: something was applied in between"
    )]
    Serial { plan: u64, state: u64 },
}

/// Refuses a plan that was not made from this very state.
pub fn check_fresh(plan: &Plan, store: &dyn Store) -> Result<(), Stale> {
    store.peek(|state| fresh(plan, state))
}

/// The same for a state that is only read.
pub fn fresh(plan: &Plan, state: &State) -> Result<(), Stale> {
    if plan.format != PLAN_FORMAT {
        return Err(Stale::Format(plan.format));
    }
    if plan.stack != state.stack {
        return Err(Stale::Stack(plan.stack.clone(), state.stack.clone()));
    }
    // A stack without any state gets its lineage when it is first written.
    if plan.serial == 0 && state.serial == 0 {
        return Ok(());
    }
    if plan.lineage != state.lineage {
        return Err(Stale::Lineage);
    }
    if plan.serial != state.serial {
        return Err(Stale::Serial { plan: plan.serial, state: state.serial });
    }
    Ok(())
}

/// Carries out the plan as [`apply`] does, and has the state remember who did it and what came of it.
///
/// # Errors
/// As [`apply`], and when the beginning cannot be saved: then nothing has been touched.
pub async fn apply_as(holder: &Holder, plan: &Plan, run: &Run<'_>) -> Result<Outcome, StateError> {
    // Bookkeeping alone is no run, and a saved plan stays fresh when nothing is begun.
    if plan.steps.is_empty() || run.cancel.is_cancelled() {
        return apply(plan, run).await;
    }
    run.store.append(Entry::Began { run: PastRun::begins(holder, plan, now()) }).await?;
    let outcome = apply(plan, run).await?;
    let ended = Ended {
        at: now(),
        result: outcome.result(),
        done: outcome.done,
        failed: outcome.failures.len(),
        skipped: outcome.skipped.len(),
    };
    // What was done counts; a state that cannot be written any more says so when it is closed.
    let _ = run.store.append(Entry::Ended { owner: holder.owner.clone(), ended }).await;
    Ok(outcome)
}

/// Carries out the plan's steps.
///
/// # Errors
/// Only when the bookkeeping before the first step cannot be saved; failures of steps are in the outcome.
pub async fn apply(plan: &Plan, run: &Run<'_>) -> Result<Outcome, StateError> {
    let home = plan.home.clone();
    if !home.is_empty() && run.store.peek(|state| state.home != home) {
        run.store.append(Entry::Home { home }).await?;
    }
    for Move { from, to } in plan.moved.iter().cloned() {
        run.store.append(Entry::Move { from, to }).await?;
    }
    for relation in &plan.related {
        let address = relation.address.clone();
        let entry = match relation.forget {
            true => Entry::Forget { address },
            false => {
                let (needs, group) = (relation.needs.clone(), relation.group.clone());
                Entry::Relate { address, needs, group }
            }
        };
        run.store.append(entry).await?;
    }
    let mut schedule = Schedule::new(&plan.steps);
    let mut running = FuturesUnordered::new();
    let mut outcome = Outcome::default();
    loop {
        while running.len() < run.settings.parallel && !run.cancel.is_cancelled() {
            let Some(step) = schedule.next() else { break };
            running.push(perform(step, plan, run));
        }
        let Some((step, result)) = running.next().await else { break };
        match result {
            Ok(()) => {
                outcome.done += 1;
                schedule.done(step);
            }
            Err(StepError::Interrupted(_)) => outcome.interrupted = true,
            Err(error) => {
                let address = step.address.clone();
                outcome.failures.push(Failure { address, error });
                schedule.failed(step, &mut |skipped| {
                    (run.report)(Event::Skipped {
                        step: skipped.step,
                        address: skipped.address.clone(),
                        action: skipped.action,
                        because: step.address.clone(),
                    });
                    outcome.skipped.push(skipped.address.clone());
                });
            }
        }
    }
    outcome.interrupted |= run.cancel.is_cancelled() && schedule.left() > 0;
    Ok(outcome)
}

async fn perform<'p>(
    step: &'p Step,
    plan: &Plan,
    run: &Run<'_>,
) -> (&'p Step, Result<(), StepError>) {
    let (number, address, action) = (step.step, step.address.clone(), step.action);
    let started = Instant::now();
    (run.report)(Event::Started { step: number, address: address.clone(), action });
    let result = match run.kinds.get(address.kind()) {
        None => Err(StepError::Bug(format!("no kind `{}`", address.kind()))),
        Some(kind) if action.makes() => converge::make(kind, step, plan, run).await,
        Some(kind) => remove::remove(kind, step, run).await,
    };
    let elapsed = started.elapsed();
    (run.report)(match &result {
        Ok(()) => {
            let id = run.store.peek(|s| s.resources.get(&address)?.id.clone());
            Event::Finished { step: number, address, action, id, elapsed }
        }
        Err(error) => Event::Failed { step: number, address, action, message: error.to_string() },
    });
    (step, result)
}

/// Which steps may start.
struct Schedule<'p> {
    steps: BTreeMap<usize, &'p Step>,
    blocking: BTreeMap<usize, BTreeSet<usize>>,
    ready: BTreeSet<usize>,
    left: usize,
}

impl<'p> Schedule<'p> {
    fn new(steps: &'p [Step]) -> Self {
        let blocking: BTreeMap<_, _> = steps.iter().map(|s| (s.step, s.after.clone())).collect();
        let ready = blocking.iter().filter(|(_, b)| b.is_empty()).map(|(n, _)| *n).collect();
        let left = steps.len();
        Schedule { steps: steps.iter().map(|s| (s.step, s)).collect(), blocking, ready, left }
    }

    fn next(&mut self) -> Option<&'p Step> {
        let number = self.ready.pop_first()?;
        self.left -= 1;
        self.steps.get(&number).copied()
    }

    fn done(&mut self, step: &Step) {
        for (number, blocking) in &mut self.blocking {
            if blocking.remove(&step.step) && blocking.is_empty() {
                self.ready.insert(*number);
            }
        }
    }

    /// Takes out everything that waits for the step, directly or not.
    fn failed(&mut self, step: &Step, skip: &mut dyn FnMut(&Step)) {
        let waiting: Vec<usize> = self
            .blocking
            .iter()
            .filter(|(_, blocking)| blocking.contains(&step.step))
            .map(|(number, _)| *number)
            .collect();
        for number in waiting {
            if self.blocking.remove(&number).is_some()
                && let Some(next) = self.steps.get(&number).copied()
            {
                self.left -= 1;
                skip(next);
                self.failed(next, skip);
            }
        }
    }

    fn left(&self) -> usize {
        self.left
    }
}

/// The value of an output, from what has been settled so far.
fn known(run: &Run<'_>, output: &Output) -> Option<Value> {
    run.store.peek(|state| {
        let record = state.resources.get(&output.address)?;
        field_of(record.id.as_deref()?, &record.seen, &output.field)
    })
}

fn now() -> Timestamp {
    Timestamp::now()
}
