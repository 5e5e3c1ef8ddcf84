//! How long a plan will take, against how long it took: every example on the simulated cloud with
//! realistic latencies, in time that costs nothing.

use std::fs;
use std::path::Path;
use std::sync::Mutex;

use engine::{Graph, Run, Settings, State};
use sandbox::{Profile, Sandbox};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::clouds::examples;
use crate::random::{Memory, Stage, paused};

/// How far an estimate may be off.
const TOLERANCE: f64 = 0.25;
/// Whose worlds differ in how long things take: NAT gateways and workspaces come early or late.
const SEEDS: std::ops::RangeInclusive<u64> = 1..=4;

/// Plans of one sort that were carried out, one in each world.
#[derive(Default)]
struct Measured {
    estimated: Vec<f64>,
    actual: Vec<f64>,
    learned: usize,
}

fn stage(graph: &Graph, seed: u64) -> Stage {
    let account = "123456789012".to_owned();
    let profile = Profile::Realistic;
    let settings = sandbox::Settings { profile, account, seed, ..Default::default() };
    let state = State::new(&graph.stack, "lineage".to_owned());
    Stage { cloud: Sandbox::in_memory(settings), store: Memory(Mutex::new(state)) }
}

async fn measure(stage: &Stage, wanted: &Graph, settings: Settings, measured: &mut Measured) {
    let plan = stage.plan(wanted).await.expect("there is a plan");
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
    assert!(outcome.complete(), "{outcome:#?}");
    measured.actual.push(started.elapsed().as_secs_f64());
    #[expect(clippy::cast_precision_loss, reason = "seconds of hours")]
    measured.estimated.push(estimate.seconds as f64);
    measured.learned = estimate.learned;
}

/// Made, deleted, made again and deleted again: the second time the stack knows itself.
async fn life(graph: &Graph, seed: u64, all: &mut [(&str, Measured); 4]) {
    let stage = stage(graph, seed);
    let mut nothing = Graph::new(&graph.stack);
    nothing.home.clone_from(&graph.home);
    nothing.deletion_allowed = graph.nodes.values().map(|node| node.group.clone()).collect();
    for ((_, measured), wanted) in all.iter_mut().zip([graph, &nothing, graph, &nothing]) {
        measure(&stage, wanted, sandbox::run_settings(), measured).await;
    }
}

fn graph_of(example: &Path) -> Graph {
    let text = fs::read_to_string(example).expect("it is there");
    let loaded = spec::load(&[spec::SourceFile::new("spec.yaml", text)], &|_| None);
    blueprint::expand(&loaded.expect("examples are valid").spec)
}

/// The first creation is estimated in each world by itself. The delete of a single workspace takes 30
/// to 90 s, and one run teaches no more than what it drew: there the estimate has to be right over the
/// worlds.
#[test]
fn estimates_are_within_a_quarter_of_what_it_takes() {
    let mut table = format!(
        "{:<16} {:<16} {:>9} {:>9} {:>6}  {:<23} {}\n",
        "example", "plan", "estimated", "actual", "ratio", "ratio of each world", "learned"
    );
    let mut off = Vec::new();
    for example in examples() {
        let name = example.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let graph = graph_of(&example);
        let mut all = ["create", "destroy", "create again", "destroy again"]
            .map(|what| (what, Measured::default()));
        for seed in SEEDS {
            paused(life(&graph, seed, &mut all));
        }
        for (what, Measured { estimated, actual, learned }) in &all {
            let (e, a): (f64, f64) = (estimated.iter().sum(), actual.iter().sum());
            let each: Vec<f64> = estimated.iter().zip(actual).map(|(e, a)| e / a).collect();
            let ratios: String = each.iter().map(|ratio| format!("{ratio:<5.2} ")).collect();
            #[expect(clippy::cast_precision_loss, reason = "few")]
            let (worlds, ratio) = (actual.len() as f64, e / a);
            table += &format!(
                "{name:<16} {what:<16} {:>7.0} s {:>7.0} s {ratio:>6.2}  {ratios:<23} {learned}\n",
                e / worlds,
                a / worlds,
            );
            let far = |ratio: &f64| (ratio - 1.0).abs() > TOLERANCE;
            if far(&ratio) || (*what == "create" && each.iter().any(far)) {
                off.push(format!("{name}: {what}"));
            }
        }
    }
    tell(&table);
    assert!(off.is_empty(), "{off:#?}");
}

#[expect(clippy::print_stdout, reason = "the figures are the result")]
fn tell(text: &str) {
    println!("{text}");
}
