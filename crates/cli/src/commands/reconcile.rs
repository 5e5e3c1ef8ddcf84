//! `dbxctl reconcile`: plan and apply for a folder of specs, again and again.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::io::IsTerminal;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use engine::{Action, Event as StepEvent, Holder, Outcome, Plan, Run};
use reconcile::{
    Defaults, Defined, Event, Fleet, Mistake, Noticed, Policy, Stack, Timing, Turned, Withheld,
};
use serde_json::{Value, json};
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use super::apply::{Held, hold};
use super::check::pass;
use super::plan::{decide, read_world};
use super::signals::{self, Received};
use crate::args::{Global, Listen, LogFormat, Reconcile};
use crate::exit::{Exit, Fail, Result};
use crate::http::{self, Health, Told};
use crate::metrics::Metrics;
use crate::render::{self, About};
use crate::setup::{
    Loaded, Session, SignIns, StateLocation, Target, connect, holder, kinds, load_read,
};

/// A pull that takes longer has hung.
const PULL: Duration = Duration::from_secs(60);

pub(crate) async fn run(options: &Reconcile, global: &Global) -> Result {
    let terminal = std::io::stderr().is_terminal();
    let natural = if terminal { LogFormat::Text } else { LogFormat::Json };
    render::log_as(options.log_format.unwrap_or(natural));
    let (cancel, signal) = signals::listen();
    let poll = Duration::from_secs(if options.git { 60 } else { 5 });
    let poll = options.poll.map_or(poll, |poll| poll.0);
    let metrics = Arc::new(Metrics::new());
    let health = Arc::new(Health::new(poll + 2 * PULL));
    if let (Listen::At(address), false) = (options.listen, options.once) {
        let told = Told { health: health.clone(), metrics: metrics.clone() };
        let address = http::serve(address, told).await?;
        render::log("listening", &json!({ "address": address }));
    }
    let fleet = Specs {
        folder: &options.folder,
        git: options.git,
        defaults: Defaults { policy: options.policy.into(), interval: options.interval.0 },
        global,
        sign_ins: SignIns::new(metrics.clone()),
        stacks: Mutex::default(),
        owners: Mutex::default(),
        turns: Mutex::default(),
        metrics,
        health,
        cancel: cancel.clone(),
        signal: signal.clone(),
    };
    let timing = Timing { seed: RandomState::new().hash_one(0), ..Timing::default() };
    let once = options.once;
    let how = reconcile::Options { parallel: options.parallel.into(), poll, once, timing };
    let ran = reconcile::run(&fleet, &how, &cancel, &|event| fleet.report(&event)).await;
    ran.map_err(|why| Fail::rendered(Exit::Refused, why))?;
    if !once {
        return Ok(Exit::Done);
    }
    let turns = locked(&fleet.turns);
    let width = turns.keys().map(String::len).max().unwrap_or_default();
    for (stack, (_, turned)) in turns.iter() {
        render::result(&format!("{stack:width$}  {}\n", turned.word()));
    }
    Ok(match (signal.exit(), turns.values().map(|(_, turned)| turned).max()) {
        (Some(exit), _) => exit,
        (None, None | Some(Turned::InStep)) => Exit::Done,
        (None, Some(Turned::Behind)) => Exit::Changes,
        (None, Some(Turned::Locked)) => Exit::Locked,
        (None, Some(Turned::Stopped | Turned::Failed)) => Exit::Error,
        (None, Some(Turned::Partial)) => Exit::Partial,
    })
}

/// The specs of a folder.
struct Specs<'a> {
    folder: &'a Path,
    git: bool,
    defaults: Defaults,
    global: &'a Global,
    sign_ins: SignIns,
    /// As they were at the last look.
    stacks: Mutex<BTreeMap<String, Stack>>,
    /// Which state each stack works on.
    owners: Mutex<BTreeMap<String, (String, StateLocation)>>,
    /// The last turn of each stack, and how it ended.
    turns: Mutex<BTreeMap<String, (String, Turned)>>,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    cancel: CancellationToken,
    signal: Received,
}

impl Fleet for Specs<'_> {
    async fn look(&self) -> Result<BTreeMap<String, Defined>, String> {
        if self.git {
            self.pull().await;
        }
        let stacks = reconcile::stacks(self.folder, self.defaults).map_err(|m| words(&m))?;
        let defined = stacks.iter().map(|(name, stack)| (name.clone(), stack.defined())).collect();
        *locked(&self.stacks) = stacks;
        Ok(defined)
    }

    async fn turn(&self, name: &str) -> Turned {
        let Some(stack) = locked(&self.stacks).get(name).cloned() else { return Turned::Stopped };
        let holder = holder("dbxctl reconcile");
        let run = holder.owner.clone();
        let about = About { stack: name.to_owned(), run: run.clone() };
        let turn = async {
            match self.attempt(name, stack, holder).await {
                Ok(turned) => turned,
                Err(fail) => failed(&fail),
            }
        };
        let turned = render::about(about, turn).await;
        locked(&self.turns).insert(name.to_owned(), (run, turned));
        turned
    }
}

impl Specs<'_> {
    /// Says what happened, in the log and in the figures.
    fn report(&self, event: &Event<'_>) {
        match event {
            Event::Looked(stacks) => {
                self.metrics.looked(*stacks);
                self.health.looked(true);
            }
            Event::Blind(why) => {
                self.metrics.blind();
                self.health.looked(false);
                render::log("look_failed", &json!({ "message": why }));
            }
            Event::Noticed(stack, Noticed::Removed) => {
                self.metrics.forget(stack);
                self.health.removed(stack);
                locked(&self.owners).remove(*stack);
                let message =
                    "its spec is gone: it is no longer touched, and nothing of it is destroyed";
                render::log("stack_removed", &json!({ "stack": stack, "message": message }));
            }
            Event::Noticed(stack, noticed) => {
                self.health.added(stack);
                let added = *noticed == Noticed::Added;
                let event = if added { "stack_added" } else { "stack_changed" };
                render::log(event, &json!({ "stack": stack }));
            }
            Event::Began(_) => {}
            Event::Ended { stack, turned, took, again } => {
                self.health.ended(stack, *turned);
                if again.is_some() {
                    self.metrics.ended(stack, *turned, *took);
                } else {
                    self.metrics.forget(stack);
                }
                let again = again.map(|again| again.as_secs_f64());
                let run = locked(&self.turns).get(*stack).map(|(run, _)| run.clone());
                render::log(
                    "turn_ended",
                    &json!({
                        "stack": stack, "run": run, "result": turned.word(),
                        "seconds": took.as_secs_f64(), "again_in": again,
                    }),
                );
            }
        }
    }

    /// One turn: plan without the lock, and take it only to carry the plan out.
    async fn attempt(&self, name: &str, stack: Stack, holder: Holder) -> Result<Turned> {
        let files = stack.files.map_err(|why| Fail::new(Exit::Refused, why))?;
        let loaded = load_read(files, self.global)?;
        self.claim(name, &loaded.target)?;
        let planned = tokio::select! {
            planned = self.plan(&loaded) => planned?,
            () = self.cancel.cancelled() => return Ok(Turned::Stopped),
        };
        let Planned { plan, state, session } = planned;
        let drift = plan.steps.iter().filter(|step| step.is_drift()).count();
        let changes = plan.steps.len();
        let withheld = match stack.policy {
            Policy::Safe => reconcile::withheld(&plan),
            Policy::Report | Policy::All => Vec::new(),
        };
        self.metrics.pending(name, changes, drift, withheld.len());
        if plan.is_empty() {
            return Ok(Turned::InStep);
        }
        render::log("planned", &planned_fields(&plan, drift, stack.policy, &withheld));
        if stack.policy == Policy::Report || !withheld.is_empty() {
            return Ok(Turned::Behind);
        }
        let holder = Holder { plan_sha256: Some(plan.sha256()), ..holder };
        let (cancel, signal) = (self.cancel.child_token(), self.signal.clone());
        let outcome = hold(&state, &holder, cancel, signal, async |held| {
            // Another run has done something since: there may be nothing left to do.
            engine::check_fresh(&plan, held.store)
                .map_err(|stale| Fail::new(Exit::Stale, stale))?;
            render::log("apply_began", &json!({}));
            let outcome = carry_out(&plan, held, &session).await?;
            render::log("apply_ended", &outcome_fields(&outcome));
            Ok(outcome)
        })
        .await?;
        self.metrics.applied(name, outcome.done);
        for failure in &outcome.failures {
            let message = failure.error.to_string();
            render::log("step_failed", &json!({ "address": failure.address, "message": message }));
        }
        if outcome.complete() {
            self.metrics.pending(name, 0, 0, 0);
            return Ok(Turned::InStep);
        }
        self.metrics.pending(name, changes - outcome.done.min(changes), 0, 0);
        let asked = self.cancel.is_cancelled() && outcome.failures.is_empty();
        Ok(if asked { Turned::Stopped } else { Turned::Partial })
    }

    async fn plan(&self, loaded: &Loaded) -> Result<Planned> {
        let Loaded { graph, target, .. } = loaded;
        let passed = pass(loaded)?;
        let access = self.sign_ins.sign_in(target).await?;
        let state = access.state.read().await?;
        let session = connect(target, &access, Some(graph))?;
        let world = read_world(&session, graph, &state).await?;
        passed.again(loaded, &world)?;
        let plan = decide(graph, &state, &world)?;
        Ok(Planned { plan, state: access.state, session })
    }

    /// Refuses a second spec for the same stack: each would undo what the other does.
    fn claim(&self, name: &str, target: &Target) -> Result<()> {
        let mut owners = locked(&self.owners);
        let own = (target.stack.clone(), target.state.clone());
        owners.insert(name.to_owned(), own.clone());
        let other = owners.iter().find(|(other, theirs)| *other != name && **theirs == own);
        match other {
            None => Ok(()),
            Some((other, _)) => {
                let message = format!(
                    "`{other}` and `{name}` both have the name `{}` in their specs, and the same state",
                    target.stack
                );
                Err(Fail::new(Exit::Refused, message).hint("give one of them another `name`"))
            }
        }
    }

    /// Brings the checkout up to date; what is there is used when that fails.
    async fn pull(&self) {
        let mut command = Command::new("git");
        command.arg("-C").arg(self.folder).args(["pull", "--ff-only", "--quiet"]);
        command.env("GIT_TERMINAL_PROMPT", "0").stdin(Stdio::null()).kill_on_drop(true);
        let result = match tokio::time::timeout(PULL, command.output()).await {
            Err(_) => Err(format!("no end after {} s", PULL.as_secs())),
            Ok(Err(error)) => Err(format!("cannot start git: {error}")),
            Ok(Ok(output)) if output.status.success() => Ok(()),
            Ok(Ok(output)) => Err(without_credentials(&String::from_utf8_lossy(&output.stderr))),
        };
        self.metrics.pulled(result.is_ok());
        if let Err(message) = result {
            render::log("pull_failed", &json!({ "message": message.trim() }));
        }
    }
}

/// What a turn found, and what it takes to do something about it.
struct Planned {
    plan: Plan,
    state: engine::StatePlace,
    session: Session,
}

async fn carry_out(plan: &Plan, held: &Held<'_>, session: &Session) -> Result<Outcome> {
    let run = Run {
        kinds: kinds(),
        cloud: session.cloud.as_ref(),
        store: held.store,
        report: &|event| log_step(&event),
        cancel: held.cancel.clone(),
        settings: session.settings,
    };
    Ok(engine::apply_as(held.holder, plan, &run).await?)
}

fn log_step(event: &StepEvent) {
    match event {
        StepEvent::Finished { address, action, id, elapsed, .. } => {
            let id = id.as_ref().filter(|_| *action != Action::Delete);
            let seconds = elapsed.as_secs_f64();
            let fields =
                json!({ "address": address, "action": action, "id": id, "seconds": seconds });
            render::log("step_done", &fields);
        }
        StepEvent::Retrying { address, error, delay, .. } => {
            let (message, again_in) = (error.to_string(), delay.as_secs_f64());
            let fields = json!({ "address": address, "message": message, "again_in": again_in });
            render::log("step_retried", &fields);
        }
        StepEvent::Skipped { address, because, .. } => {
            render::log("step_skipped", &json!({ "address": address, "because": because }));
        }
        // How a step failed is told with the outcome.
        StepEvent::Started { .. } | StepEvent::Waiting { .. } | StepEvent::Failed { .. } => {}
    }
}

fn planned_fields(plan: &Plan, drift: usize, policy: Policy, withheld: &[Withheld]) -> Value {
    let step = |step: &engine::Step| json!({ "address": step.address, "action": step.action });
    let mut fields = json!({
        "policy": policy, "changes": plan.steps.len(), "drift": drift,
        "plan_sha256": plan.sha256(), "steps": plan.steps.iter().map(step).collect::<Vec<_>>(),
    });
    if !withheld.is_empty() {
        fields["withheld"] = json!(withheld);
    }
    fields
}

fn outcome_fields(outcome: &Outcome) -> Value {
    let Outcome { done, failures, skipped, interrupted } = outcome;
    json!({
        "done": done, "failed": failures.len(), "skipped": skipped.len(),
        "interrupted": interrupted,
    })
}

/// Logs why a turn came to nothing.
fn failed(fail: &Fail) -> Turned {
    let (event, turned) = match fail.exit {
        Exit::Locked | Exit::Stale => ("locked", Turned::Locked),
        Exit::Interrupted | Exit::Terminated => ("stopped", Turned::Stopped),
        Exit::Partial => ("error", Turned::Partial),
        Exit::Done | Exit::Error | Exit::Changes | Exit::Refused => ("error", Turned::Failed),
    };
    render::log(event, &json!({ "message": fail.message.trim(), "hints": fail.hints }));
    turned
}

fn words(mistake: &Mistake) -> String {
    match mistake {
        Mistake::Told(why) => why.clone(),
        Mistake::Config(found, file) => {
            let style = render::style();
            spec::render(found, std::slice::from_ref(file), style.color, style.width)
        }
    }
}

/// Without what stands before the host in a URL.
fn without_credentials(text: &str) -> String {
    let mut parts = text.split("://");
    let mut clean = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(['/', ' ', '\'', '\n']).unwrap_or(part.len());
        let start = part[..end].rfind('@').map_or(0, |at| at + 1);
        clean += "://";
        clean += &part[start..];
    }
    clean
}

fn locked<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_of_a_url_is_told() {
        let cases = [
            (
                "fatal: unable to access 'https://me:s3cret@git.example.com/a@b/': no",
                "fatal: unable to access 'https://git.example.com/a@b/': no",
            ),
            ("ssh://git@host/x and https://t:u@v", "ssh://host/x and https://v"),
            ("no URL: mail me@example.com", "no URL: mail me@example.com"),
        ];
        for (text, clean) in cases {
            assert_eq!(without_credentials(text), clean);
        }
    }
}
