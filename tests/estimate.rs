//! How long a plan will take, against how long it took: every example on the simulated cloud with
//! realistic latencies, in time that costs nothing.

use std::fs;
use std::path::Path;
use std::sync::Mutex;

use engine::{Graph, Plan, Run, Settings, State};
use sandbox::{Profile, Sandbox};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::clouds::examples;
use crate::random::{Memory, Stage, paused};

/// How far an estimate may be off.
const TOLERANCE: f64 = 0.25;

/// One plan that was carried out.
struct Measured {
    what: String,
    estimated: u64,
    learned: usize,
    actual: f64,
}

fn stage(graph: &Graph) -> Stage {
    let account = "123456789012".to_owned();
    let settings = sandbox::Settings { profile: Profile::Realistic, account, ..Default::default() };
    let state = State::new(&graph.stack, "lineage".to_owned());
    Stage { cloud: Sandbox::in_memory(settings), store: Memory(Mutex::new(state)) }
}

async fn measure(stage: &Stage, wanted: &Graph, settings: Settings, what: String) -> Measured {
    let plan: Plan = stage.plan(wanted).await.unwrap_or_else(|e| panic!("{what}: {e}"));
    let kinds = kinds::facts();
    let estimate = engine::estimate(&plan, &stage.store.state(), kinds, settings.parallel);
    let run = Run {
        kinds,
        cloud: &stage.cloud,
        store: &stage.store,
        report: &|_| (),
        cancel: CancellationToken::new(),
        settings,
    };
    let started = Instant::now();
    let outcome = engine::apply(&plan, &run).await.expect("memory does not fill up");
    assert!(outcome.complete(), "{what}: {outcome:#?}");
    let actual = started.elapsed().as_secs_f64();
    let (estimated, learned) = (estimate.seconds, estimate.learned);
    Measured { what, estimated, learned, actual }
}

/// Made, deleted, made again and deleted again: the second time the stack knows itself.
async fn life(name: &str, graph: &Graph, settings: Settings) -> Vec<Measured> {
    let stage = stage(graph);
    let mut nothing = Graph::new(&graph.stack);
    nothing.home.clone_from(&graph.home);
    nothing.deletion_allowed = graph.nodes.values().map(|node| node.group.clone()).collect();
    let mut all = Vec::new();
    for known in ["", ", learned"] {
        for (verb, wanted) in [("create", graph), ("destroy", &nothing)] {
            let what = format!("{name}: {verb}{known}");
            all.push(measure(&stage, wanted, settings, what).await);
        }
    }
    all
}

fn graph_of(example: &Path) -> Graph {
    let text = fs::read_to_string(example).expect("it is there");
    let loaded = spec::load(&[spec::SourceFile::new("spec.yaml", text)], &|_| None);
    blueprint::expand(&loaded.expect("examples are valid").spec)
}

#[test]
fn estimates_are_within_a_quarter_of_what_it_takes() {
    let mut all = Vec::new();
    for example in examples() {
        let name = example.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        all.extend(paused(life(&name, &graph_of(&example), sandbox::run_settings())));
    }
    println!("{:<36} {:>9} {:>9} {:>6} {:>7}", "", "estimated", "actual", "ratio", "learned");
    let mut off = Vec::new();
    for Measured { what, estimated, learned, actual } in &all {
        #[expect(clippy::cast_precision_loss, reason = "seconds of hours")]
        let ratio = *estimated as f64 / actual;
        println!("{what:<36} {estimated:>7} s {actual:>7.1} s {ratio:>6.2} {learned:>7}");
        if (ratio - 1.0).abs() > TOLERANCE {
            off.push(what);
        }
    }
    assert!(off.is_empty(), "{off:#?}");
}
