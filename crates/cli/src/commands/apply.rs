//! `dbxctl apply` and `dbxctl destroy`: plan, ask, do.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Instant;

use engine::{
    Graph, Group, Holder, OpenState, Outcome, Plan, Run, RunResult, State, StatePlace, Store,
};
use tokio_util::sync::CancellationToken;

use super::check::{Checked, Passed, pass};
use super::events::{Events, RunEvent};
use super::plan::{Touched, decide, is_saved, nothing, open, read_world, touched};
use super::signals::{self, Received};
use crate::args::Global;
use crate::exit::{Exit, Fail, Result};
use crate::render::{self, Progress};
use crate::setup::{Loaded, Session, Target, connect, holder, kinds, load, sign_in};

pub(crate) struct Options {
    pub(crate) yes: bool,
    pub(crate) events: Option<PathBuf>,
}

pub(crate) async fn run(files: &[PathBuf], options: &Options, global: &Global) -> Result {
    let events = Events::open(options.events.as_deref())?;
    if let [file] = files
        && is_saved(file)
    {
        let saved = open(file)?;
        let access = sign_in(&saved.target).await?;
        let holder = Holder { plan_sha256: Some(saved.plan.sha256()), ..holder("dbxctl apply") };
        return with_state(&access.state, &holder, async |held| {
            engine::check_fresh(&saved.plan, held.store).map_err(|stale| Fail::stale(&stale))?;
            let session = connect(&saved.target, &access, None)?;
            // Whoever saved the plan has seen it; that was the question.
            carry_out(&saved.target, &saved.plan, held, &session, &events).await
        })
        .await;
    }
    let loaded = load(files, global)?;
    let passed = pass(&loaded)?;
    let access = sign_in(&loaded.target).await?;
    with_state(&access.state, &holder("dbxctl apply"), async |held| {
        let session = connect(&loaded.target, &access, Some(&loaded.graph))?;
        let job = Job {
            target: &loaded.target,
            graph: &loaded.graph,
            checked: Some((&loaded, passed)),
            verb: "apply",
            events: &events,
        };
        plan_and_do(job, held, &session, options.yes).await
    })
    .await
}

pub(crate) async fn destroy(files: &[PathBuf], options: &Options, global: &Global) -> Result {
    let events = Events::open(options.events.as_deref())?;
    let loaded = load(files, global)?;
    let access = sign_in(&loaded.target).await?;
    with_state(&access.state, &holder("dbxctl destroy"), async |held| {
        let session = connect(&loaded.target, &access, Some(&loaded.graph))?;
        let nothing = held.peek(|state| nothing(&loaded, state));
        let job = Job {
            target: &loaded.target,
            graph: &nothing,
            checked: None,
            verb: "destroy",
            events: &events,
        };
        plan_and_do(job, held, &session, options.yes).await
    })
    .await
}

/// The open state, and what ends the work on it early.
pub(super) struct Held<'a> {
    pub(super) store: &'a dyn OpenState,
    pub(super) holder: &'a Holder,
    pub(super) cancel: CancellationToken,
    signal: Received,
}

impl Held<'_> {
    pub(super) fn peek<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        (self.store as &dyn Store).peek(look)
    }

    /// Waits for `work` unless it is asked to stop before that.
    pub(super) async fn unless_stopped<T>(
        &self,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        tokio::select! {
            result = work => result,
            () = self.cancel.cancelled() => Err(stopped(&self.signal)),
        }
    }
}

fn stopped(signal: &Received) -> Fail {
    Fail::new(signal.exit().unwrap_or(Exit::Partial), "stopped; nothing was touched")
}

/// Opens the state, does the work, and closes the state however the work ended.
pub(super) async fn with_state(
    place: &StatePlace,
    holder: &Holder,
    work: impl AsyncFnOnce(&Held) -> Result,
) -> Result {
    let (cancel, signal) = signals::listen();
    hold(place, holder, cancel, signal, work).await
}

/// The same for a run that listens to signals already; `cancel` is cancelled too when the lock is
/// lost.
pub(super) async fn hold<T>(
    place: &StatePlace,
    holder: &Holder,
    cancel: CancellationToken,
    signal: Received,
    work: impl AsyncFnOnce(&Held) -> Result<T>,
) -> Result<T> {
    let store = tokio::select! {
        store = place.open(holder, &render::notice) => store?,
        () = cancel.cancelled() => return Err(stopped(&signal)),
    };
    let (lost, stop) = (store.lost(), cancel.clone());
    let watcher = tokio::spawn(async move {
        lost.cancelled().await;
        stop.cancel();
    });
    let result = work(&Held { store: store.as_ref(), holder, cancel, signal }).await;
    watcher.abort();
    match (result, store.close().await) {
        (result, Ok(())) => result,
        (Ok(_), Err(error)) => Err(error.into()),
        (Err(fail), Err(error)) => {
            render::fail(&error.into());
            Err(fail)
        }
    }
}

/// What is wanted.
struct Job<'a> {
    target: &'a Target,
    graph: &'a Graph,
    /// The spec and what was found of it; none for what only removes.
    checked: Option<(&'a Loaded, Passed)>,
    verb: &'a str,
    events: &'a Events,
}

async fn plan_and_do(job: Job<'_>, held: &Held<'_>, session: &Session, yes: bool) -> Result {
    let Job { target, graph, checked, verb, events } = job;
    let state = held.peek(State::clone);
    let world = held.unless_stopped(read_world(session, graph, &state)).await?;
    let checked = match checked {
        Some((loaded, passed)) => passed.again(loaded, &world)?.told(loaded, &state),
        None => Checked::default(),
    };
    let plan = decide(graph, &state, &world)?;
    if plan.is_empty() {
        let outcome = act(&plan, held, session, events).await?;
        debug_assert!(outcome.complete(), "bookkeeping makes no calls");
        events.answer(&render::plan(&plan, &Touched::new(), &checked));
        return Ok(Exit::Done);
    }
    let used_by = touched(session, &plan, graph, &state).await?;
    render::note(&render::plan(&plan, &used_by, &checked));
    if !yes {
        let word = if verb == "destroy" { target.stack.as_str() } else { consent(&plan) };
        let question = format!("{}To {verb} this, type `{word}`: ", render::losses(&plan));
        if !held.unless_stopped(render::confirm(question, word.to_owned())).await? {
            return Err(Fail::new(Exit::Error, "not confirmed; nothing was touched"));
        }
    }
    carry_out(target, &plan, held, session, events).await
}

/// The word that agrees to a plan: the name of the workspace that loses something which cannot be made
/// again, the stack's when several do.
fn consent(plan: &Plan) -> &str {
    let losers: BTreeSet<&Group> = plan.losses().map(|step| &step.group).collect();
    match losers.iter().collect::<Vec<_>>().as_slice() {
        [] => "yes",
        [Group::Workspace(name) | Group::Shared(name)] => name,
        _ => &plan.stack,
    }
}

async fn carry_out(
    target: &Target,
    plan: &Plan,
    held: &Held<'_>,
    session: &Session,
    events: &Events,
) -> Result {
    let outcome = act(plan, held, session, events).await?;
    if outcome.complete() {
        events.answer(&held.peek(|state| render::outputs(state, target.sandbox)));
        return Ok(Exit::Done);
    }
    render::note(&render::unfinished(&outcome));
    if outcome.interrupted && outcome.failures.is_empty() {
        return Ok(held.signal.exit().unwrap_or(Exit::Partial));
    }
    Ok(Exit::Partial)
}

pub(super) async fn act(
    plan: &Plan,
    held: &Held<'_>,
    session: &Session,
    events: &Events,
) -> Result<Outcome> {
    let (kinds, settings) = (kinds(), session.settings);
    let estimate = held.peek(|state| engine::estimate(plan, state, kinds, settings.parallel));
    events.run(&RunEvent::RunStarted {
        stack: plan.stack.clone(),
        plan_sha256: plan.sha256(),
        steps: plan.steps.len(),
        estimate_seconds: estimate.seconds,
    });
    let progress = Progress::new(plan, &estimate);
    let report = |event| {
        events.step(&event);
        progress.event(&event);
    };
    let run = Run {
        kinds,
        cloud: session.cloud.as_ref(),
        store: held.store,
        report: &report,
        cancel: held.cancel.clone(),
        settings,
    };
    let started = Instant::now();
    let outcome = engine::apply_as(held.holder, plan, &run).await;
    progress.finish();
    let counts = |o: &Outcome| (o.result(), o.done, o.failures.len(), o.skipped.len());
    let (result, done, failed, skipped) =
        outcome.as_ref().map_or((RunResult::Failed, 0, 0, 0), counts);
    let seconds = started.elapsed().as_secs_f64();
    events.run(&RunEvent::RunEnded { result, done, failed, skipped, seconds });
    Ok(outcome?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn plan(steps: &[(&str, &str, bool)]) -> Plan {
        let step = |(index, (action, workspace, precious)): (usize, &(&str, &str, bool))| {
            json!({
                "step": index + 1, "action": action, "address": format!("aws.bucket/{workspace}.root"),
                "group": { "workspace": workspace }, "after": [], "id": "acme-root", "props": null,
                "needs": [], "generation": 1, "precious": precious, "changes": [],
            })
        };
        let steps: Vec<_> = steps.iter().enumerate().map(step).collect();
        let plan = json!({
            "format": 1, "written_by": "test", "stack": "analytics", "lineage": "l", "serial": 1,
            "graph_sha256": "", "steps": steps, "unchanged": 0, "moved": [], "related": [],
        });
        serde_json::from_value(plan).expect("a plan")
    }

    #[test]
    fn what_is_lost_is_agreed_to_by_name() {
        let cases: [(&[_], _); 5] = [
            (&[("create", "wk1", true), ("delete", "wk1", false)], "yes"),
            (&[("update", "wk1", true)], "yes"),
            (&[("delete", "wk1", true), ("delete", "wk1", true)], "wk1"),
            (&[("replace", "wk1", true)], "wk1"),
            (&[("delete", "wk1", true), ("delete", "wk2", true)], "analytics"),
        ];
        for (steps, word) in cases {
            assert_eq!(consent(&plan(steps)), word, "{steps:?}");
        }
    }
}
