//! Runs that stop anywhere, and clouds that are slow to show what they did: on a simulated cloud in
//! memory, with time that costs nothing.

use std::collections::BTreeSet;
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cloud::{Class, Result};
use engine::{
    Address, Cloud, Diff, Event, Found, Graph, Outcome, Plan, Run, Scope, StepError, Wanted,
};
use futures::future::{BoxFuture, pending};
use sandbox::{Fault, Happens, Operation, Profile, Sandbox, Settings};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::clouds::{full, top};
use crate::proxy::Side;
use crate::random::{Memory, STACK, Stage, paused, settings};

/// A cloud before which the client dies at one call that changes something.
struct Deadly<'a> {
    cloud: &'a Sandbox,
    /// Counts down.
    left: AtomicUsize,
    side: Side,
    dead: CancellationToken,
}

impl<'a> Deadly<'a> {
    fn at(cloud: &'a Sandbox, nth: usize, side: Side) -> Self {
        Deadly { cloud, left: AtomicUsize::new(nth), side, dead: CancellationToken::new() }
    }

    fn mutate<'b, T: Send + 'b>(
        &'b self,
        call: BoxFuture<'b, Result<T>>,
    ) -> BoxFuture<'b, Result<T>> {
        Box::pin(async move {
            let hit = self.left.fetch_sub(1, Ordering::Relaxed) == 1;
            if hit && self.side == Side::Before {
                self.dead.cancel();
                pending::<()>().await;
            }
            let answer = call.await;
            if hit {
                self.dead.cancel();
                pending::<()>().await;
            }
            answer
        })
    }
}

impl Cloud for Deadly<'_> {
    fn read<'a>(
        &'a self,
        kind: &'a str,
        ids: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<Option<Value>>>> {
        self.cloud.read(kind, ids)
    }
    fn find<'a>(
        &'a self,
        kind: &'a str,
        stack: &'a str,
        wanted: &'a [Wanted<Value>],
    ) -> BoxFuture<'a, Result<Vec<Vec<Found<String>>>>> {
        self.cloud.find(kind, stack, wanted)
    }
    fn list<'a>(
        &'a self,
        kind: &'a str,
        scope: &'a Scope,
    ) -> BoxFuture<'a, Result<Vec<(String, Value)>>> {
        self.cloud.list(kind, scope)
    }
    fn create<'a>(&'a self, kind: &'a str, props: &'a Value) -> BoxFuture<'a, Result<String>> {
        self.mutate(self.cloud.create(kind, props))
    }
    fn update<'a>(
        &'a self,
        kind: &'a str,
        id: &'a str,
        props: &'a Value,
        diff: &'a Diff,
    ) -> BoxFuture<'a, Result<()>> {
        self.mutate(self.cloud.update(kind, id, props, diff))
    }
    fn empty<'a>(&'a self, kind: &'a str, id: &'a str) -> BoxFuture<'a, Result<bool>> {
        self.mutate(self.cloud.empty(kind, id))
    }
    fn delete<'a>(&'a self, kind: &'a str, id: &'a str) -> BoxFuture<'a, Result<()>> {
        self.mutate(self.cloud.delete(kind, id))
    }
}

fn stage(profile: Profile, read_lag_ms: u64, faults: Vec<Fault>) -> Stage {
    let account = "123456789012".to_owned();
    let settings = Settings { profile, account, read_lag_ms, faults, ..Settings::default() };
    Stage { cloud: Sandbox::in_memory(settings), store: Memory::new() }
}

/// The example, and the same with other subnets for a workspace.
fn graphs() -> [Graph; 2] {
    let text = fs::read_to_string(top().join("examples/shared-vpc.yaml")).expect("it is there");
    let text = text.replace("name: shared-vpc", &format!("name: {STACK}"));
    let (subnets, others) = ("{ nodes_per_zone: 500 }", "{ nodes_per_zone: 500, block: 9 }");
    assert!(text.contains(subnets));
    [text.clone(), text.replace(subnets, others)].map(|text| {
        let loaded = spec::load(&[spec::SourceFile::new("spec.yaml", text)], &|_| None);
        blueprint::expand(&loaded.expect("examples are valid").spec)
    })
}

/// One run; `None` when it was cut off.
async fn run(
    stage: &Stage,
    plan: &Plan,
    cloud: &dyn Cloud,
    cancel: &CancellationToken,
    end: impl Future<Output = ()>,
) -> Option<Outcome> {
    let report = |_: Event| ();
    let run = Run {
        kinds: kinds::facts(),
        cloud,
        store: &stage.store,
        report: &report,
        cancel: cancel.clone(),
        settings: settings(),
    };
    tokio::select! {
        outcome = engine::apply(plan, &run) => Some(outcome.expect("memory does not fill up")),
        () = end => None,
    }
}

/// One run that nobody disturbs.
async fn apply(stage: &Stage, plan: &Plan) -> Outcome {
    let never = CancellationToken::new();
    run(stage, plan, &stage.cloud, &never, pending()).await.expect("it ends by itself")
}

/// The next run of the same command gets there, and nothing is there twice or left over.
async fn finish(stage: &Stage, graph: &Graph, what: &str) {
    let plan = stage.plan(graph).await.unwrap_or_else(|e| panic!("{what}: {e}"));
    let outcome = apply(stage, &plan).await;
    assert!(outcome.complete(), "{what}: {outcome:#?}");
    stage.settled(graph, what).await.unwrap_or_else(|e| panic!("{what}: {e}"));
}

/// Kills one run; false when it made fewer calls that change something.
async fn kill(stage: &Stage, graph: &Graph, nth: usize, side: Side) -> bool {
    let plan = stage.plan(graph).await.expect("there is a plan");
    let deadly = Deadly::at(&stage.cloud, nth, side);
    let never = CancellationToken::new();
    run(stage, &plan, &deadly, &never, deadly.dead.cancelled()).await.is_none()
}

/// Promise: killed before or after any call, the next run finishes. Also when reads lag behind.
#[test]
fn killed_at_every_call_the_next_run_finishes() {
    let [first, second] = graphs();
    let mut counts = Vec::new();
    for lag in [0, 3000] {
        for side in [Side::Before, Side::After] {
            let mut points = [0; 3];
            // Sampled runs take every seventh call, from a different one for each lag and side.
            let step = if full() { 1 } else { 7 };
            let mut nth = 1 + if full() { 0 } else { (lag as usize / 1000 + side as usize) % step };
            loop {
                let killed = paused(async {
                    let stage = stage(Profile::Quick, lag, Vec::new());
                    let mut killed = [false; 3];
                    for (n, graph) in [Some(&first), Some(&second), None].into_iter().enumerate() {
                        let nothing = stage.nothing();
                        let graph = graph.unwrap_or(&nothing);
                        killed[n] = kill(&stage, graph, nth, side).await;
                        finish(&stage, graph, &format!("killed {side:?} call {nth} of phase {n}"))
                            .await;
                    }
                    killed
                });
                if killed == [false; 3] {
                    break;
                }
                (0..3).for_each(|n| points[n] += usize::from(killed[n]));
                nth += step;
            }
            counts.push((lag, side, points));
        }
    }
    tell(&format!("(lag in ms, side, points of create, change and destroy): {counts:?}"));
    assert!(counts.iter().all(|(.., points)| points.iter().all(|n| *n > 0)), "{counts:?}");
}

/// What CI systems do: SIGINT, 7.5 s later SIGTERM, 2.5 s later SIGKILL. In a cloud that takes its
/// time nothing is lost, and without a call that hangs the first signal is enough.
#[expect(clippy::disallowed_methods, reason = "the pauses of the CI system")]
#[test]
fn the_signals_of_a_ci_system_lose_nothing() {
    let [graph, _] = graphs();
    let seconds = |n: u64| Duration::from_secs(n);
    for at in (1..420).step_by(if full() { 7 } else { 60 }).map(seconds) {
        paused(async {
            let stage = stage(Profile::Realistic, 0, Vec::new());
            let plan = stage.plan(&graph).await.expect("there is a plan");
            let cancel = CancellationToken::new();
            let signals = async {
                sleep(at).await;
                cancel.cancel();
                sleep(Duration::from_millis(7500)).await;
            };
            let outcome = run(&stage, &plan, &stage.cloud, &cancel, signals).await;
            let outcome = outcome.expect("it ends between SIGINT and SIGTERM");
            assert!(outcome.interrupted && outcome.failures.is_empty(), "{at:?}: {outcome:#?}");
            finish(&stage, &graph, &format!("interrupted after {at:?}")).await;
        });
    }
    // A call that never comes back holds up the end of the run, but not the killing of it.
    for nth in (1..60).step_by(if full() { 1 } else { 13 }) {
        paused(async {
            let stage = stage(Profile::Realistic, 0, Vec::new());
            let plan = stage.plan(&graph).await.expect("there is a plan");
            let (hanging, cancel) =
                (Deadly::at(&stage.cloud, nth, Side::After), CancellationToken::new());
            let signals = async {
                hanging.dead.cancelled().await;
                sleep(seconds(1)).await;
                cancel.cancel();
                sleep(seconds(10)).await;
            };
            assert!(run(&stage, &plan, &hanging, &cancel, signals).await.is_none());
            finish(&stage, &graph, &format!("call {nth} hung")).await;
        });
    }
}

fn fault(kind: &str, times: u64, happens: Happens) -> Fault {
    let (kind, operation) = (Some(kind.to_owned()), Some(Operation::Create));
    Fault { kind, operation, nth: 1, times, happens, message: None }
}

/// Promise: an in-doubt create is resolved by looking, for as long as a list may lag.
#[test]
fn a_list_that_lags_makes_no_duplicates() {
    let [graph, _] = graphs();
    let kinds: Vec<&str> = kinds::facts().0.iter().map(|kind| kind.name()).collect();
    for lag in [0, 5_000, 15_000] {
        paused(async {
            let faults = kinds.iter().map(|kind| fault(kind, 2, Happens::AfterEffect)).collect();
            finish(&stage(Profile::Quick, lag, faults), &graph, &format!("lag of {lag} ms")).await;
        });
    }
}

/// Nobody waits for a list when the answer is clear.
#[test]
fn looking_costs_nothing_when_the_list_is_prompt() {
    let [graph, _] = graphs();
    let kinds: Vec<&str> = kinds::facts().0.iter().map(|kind| kind.name()).collect();
    let took = |faults: Vec<Fault>| {
        paused(async {
            let started = Instant::now();
            finish(&stage(Profile::Instant, 0, faults), &graph, "prompt").await;
            started.elapsed()
        })
    };
    let doubtful = kinds.iter().map(|kind| fault(kind, 1, Happens::AfterEffect)).collect();
    assert!(took(doubtful) < took(Vec::new()) + Duration::from_secs(1));
    // A unique kind may be tried again at once: the service would refuse a second one.
    let roles = vec![fault("aws.role", 3, Happens::Error(Class::Transient))];
    assert!(took(roles) < took(Vec::new()) + Duration::from_secs(1));
}

/// The same words mean "not yet" about a role just made, and "wrong" about an old one.
#[test]
fn a_role_that_cannot_be_assumed_is_waited_for_only_if_it_is_new() {
    let [graph, _] = graphs();
    let kind = "databricks.credentials";
    let took = |age: Duration| {
        paused(async {
            let stage = stage(
                Profile::Instant,
                0,
                vec![
                    fault(kind, 1, Happens::Error(Class::Denied)),
                    Fault { nth: 2, ..fault(kind, u64::MAX, Happens::Error(Class::Propagating)) },
                ],
            );
            let plan = stage.plan(&graph).await.expect("there is a plan");
            assert!(!apply(&stage, &plan).await.complete(), "the first is denied");
            let mut state = stage.store.state();
            for record in state.resources.values_mut() {
                record.changed_at = record.changed_at.checked_sub(age).expect("not that old");
            }
            *stage.store.0.lock().expect("nobody panicked") = state;
            let plan = stage.plan(&graph).await.expect("there is a plan");
            let started = Instant::now();
            let outcome = apply(&stage, &plan).await;
            let why = &outcome.failures.first().expect("it is never accepted").error;
            assert!(
                matches!(why, StepError::Cloud { source, .. } if source.class == Class::Propagating),
                "{why:?}"
            );
            started.elapsed()
        })
    };
    let (new, old) = (took(Duration::ZERO), took(Duration::from_secs(3600)));
    assert!(new > Duration::from_secs(150) && new < Duration::from_secs(250), "{new:?}");
    assert!(old < Duration::from_secs(1), "{old:?}");
}

/// Two candidates: which one is meant is for people to say.
#[test]
fn of_two_candidates_none_is_taken() {
    let [graph, _] = graphs();
    let kind = "aws.vpc";
    paused(async {
        let stage = stage(
            Profile::Instant,
            0,
            vec![Fault { nth: 2, ..fault(kind, 1, Happens::AfterEffect) }],
        );
        let plan = stage.plan(&graph).await.expect("there is a plan");
        let step = plan.steps.iter().find(|s| s.address.kind() == kind).expect("a VPC is made");
        let twin = stage.cloud.create(kind, &step.props).await.expect("nothing is in the way");
        let outcome = apply(&stage, &plan).await;
        let failure = outcome.failures.iter().find(|f| f.address == step.address);
        let Some(StepError::Ambiguous(ids)) = failure.map(|f| &f.error) else {
            panic!("{outcome:#?}")
        };
        assert!(ids.len() == 2 && ids.contains(&twin), "{ids:?}");
        // The next run knows no better, and says so before it does anything.
        let refused = stage.plan(&graph).await.expect_err("nobody chose").to_string();
        assert!(ids.iter().all(|id| refused.contains(id)), "{refused}");
        // One goes: the other is ours.
        stage.cloud.delete(kind, &twin).await.expect("nothing uses it");
        finish(&stage, &graph, "one candidate").await;
    });
}

/// Somebody was faster: theirs is not touched.
#[test]
fn what_somebody_else_made_meanwhile_is_not_taken() {
    let [graph, _] = graphs();
    paused(async {
        let stage = stage(Profile::Instant, 0, Vec::new());
        let plan = stage.plan(&graph).await.expect("there is a plan");
        let kinds = ["aws.role", "aws.bucket", "databricks.private_access_settings"];
        let mut wanted = BTreeSet::new();
        for kind in kinds {
            let step = plan.steps.iter().find(|s| s.address.kind() == kind).expect("one is made");
            let name = step.props["name"].as_str().expect("it has a name");
            let mut theirs = step.props.clone();
            theirs["region"] = json!("elsewhere");
            theirs["public_access"] = json!(true);
            // Without our marks.
            theirs["tags"] = json!({});
            stage.cloud.seed(kind, name, theirs).expect("it can be put there");
            wanted.insert(step.address.clone());
        }
        let outcome = apply(&stage, &plan).await;
        let foreign = outcome.failures.iter().filter(|f| matches!(f.error, StepError::Foreign(_)));
        let foreign: BTreeSet<Address> = foreign.map(|f| f.address.clone()).collect();
        assert_eq!(foreign, wanted, "{outcome:#?}");
    });
}

/// Promise: one failure never hides another, and what does not depend on them is done.
#[test]
fn failures_are_all_told_and_the_rest_is_done() {
    let [graph, _] = graphs();
    paused(async {
        let forever = |kind| fault(kind, u64::MAX, Happens::Error(Class::Denied));
        let stage =
            stage(Profile::Instant, 0, vec![forever("aws.role"), forever("aws.nat_gateway")]);
        let plan = stage.plan(&graph).await.expect("there is a plan");
        let outcome =
            timeout(Duration::from_secs(60), apply(&stage, &plan)).await.expect("it ends");
        let failed: BTreeSet<&str> = outcome.failures.iter().map(|f| f.address.kind()).collect();
        assert_eq!(Vec::from_iter(failed), ["aws.nat_gateway", "aws.role"]);
        assert!(outcome.done > 10 && !outcome.skipped.is_empty(), "{outcome:#?}");
    });
}

#[expect(clippy::print_stdout, reason = "figures for whoever runs the whole matrix")]
fn tell(text: &str) {
    println!("{text}");
}
