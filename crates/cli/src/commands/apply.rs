//! `dbxctl apply` and `dbxctl destroy`: plan, ask, do.

use std::path::PathBuf;

use engine::{Graph, Outcome, Plan, Run, State, StateFile, Store};

use tokio_util::sync::CancellationToken;

use super::plan::{decide, is_saved, open, read_world};
use super::signals;
use crate::args::Global;
use crate::exit::{Exit, Fail, Result};
use crate::render::{self, Progress};
use crate::setup::{Session, Target, connect, kinds, load};

pub(crate) async fn run(files: &[PathBuf], yes: bool, global: &Global) -> Result {
    if let [file] = files
        && is_saved(file)
    {
        let saved = open(file)?;
        let session = connect(&saved.target, None).await?;
        let store = open_state(&saved.target, "dbxctl apply")?;
        engine::check_fresh(&saved.plan, &store).map_err(|stale| {
            Fail::new(Exit::Stale, stale).hint("plan again, and review what is new")
        })?;
        // Whoever saved the plan has seen it; that was the question.
        return carry_out(&saved.target, &saved.plan, store, &session).await;
    }
    let loaded = load(files, global)?;
    let store = open_state(&loaded.target, "dbxctl apply")?;
    let session = connect(&loaded.target, Some(&loaded.graph)).await?;
    plan_and_do(&loaded.target, &loaded.graph, store, &session, yes, "apply").await
}

pub(crate) async fn destroy(files: &[PathBuf], yes: bool, global: &Global) -> Result {
    let loaded = load(files, global)?;
    let store = open_state(&loaded.target, "dbxctl destroy")?;
    let session = connect(&loaded.target, Some(&loaded.graph)).await?;
    let mut nothing = Graph::new(&loaded.target.stack);
    // The command itself is the consent.
    nothing.deletion_allowed =
        peek(&store, |state| state.resources.values().map(|record| record.group.clone()).collect());
    plan_and_do(&loaded.target, &nothing, store, &session, yes, "destroy").await
}

pub(super) fn open_state(target: &Target, command: &str) -> Result<StateFile> {
    Ok(StateFile::open(&target.state_path(), &target.stack, command)?)
}

pub(super) fn peek<T>(store: &StateFile, look: impl FnOnce(&State) -> T) -> T {
    (store as &dyn Store).peek(look)
}

async fn plan_and_do(
    target: &Target,
    graph: &Graph,
    store: StateFile,
    session: &Session,
    yes: bool,
    verb: &str,
) -> Result {
    let state = peek(&store, State::clone);
    let world = read_world(session, graph, &state).await?;
    let plan = decide(graph, &state, &world)?;
    if plan.is_empty() {
        let outcome = act(&plan, &store, session, CancellationToken::new()).await?;
        store.close()?;
        debug_assert!(outcome.complete(), "bookkeeping makes no calls");
        render::result(&render::plan(&plan));
        return Ok(Exit::Done);
    }
    render::note(&render::plan(&plan));
    if !yes {
        let word = if verb == "destroy" { target.stack.as_str() } else { "yes" };
        if !render::confirm(&format!("To {verb} this, type `{word}`: "), word)? {
            return Err(Fail::new(Exit::Error, "not confirmed; nothing was touched"));
        }
    }
    carry_out(target, &plan, store, session).await
}

async fn carry_out(target: &Target, plan: &Plan, store: StateFile, session: &Session) -> Result {
    let (cancel, signal) = signals::listen();
    let outcome = act(plan, &store, session, cancel).await?;
    let state = peek(&store, State::clone);
    store.close()?;
    if outcome.complete() {
        render::result(&render::outputs(&state, target.sandbox));
        return Ok(Exit::Done);
    }
    render::note(&render::unfinished(&outcome));
    if outcome.interrupted && outcome.failures.is_empty() {
        return Ok(signal.exit().unwrap_or(Exit::Interrupted));
    }
    Ok(Exit::Partial)
}

async fn act(
    plan: &Plan,
    store: &StateFile,
    session: &Session,
    cancel: CancellationToken,
) -> Result<Outcome> {
    let progress = Progress::new(plan.steps.len());
    let report = |event| progress.event(event);
    let run = Run {
        kinds: kinds(),
        cloud: session.cloud.as_ref(),
        store,
        report: &report,
        cancel,
        settings: session.settings,
    };
    let outcome = engine::apply(plan, &run).await;
    progress.finish();
    Ok(outcome?)
}
