//! Killed at every request that changes something, before and after it took effect: the next run of
//! the same command finishes the job, and nothing is there twice or left over.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::fs;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::clouds::{Clouds, Moto, Output, Verifier, full, top};
use crate::proxy::{Call, Fault, Side};
use crate::wire;

/// Clouds side by side: mostly everybody waits.
const PAIRS: usize = 6;

/// What a life of the stack consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Create,
    /// Other subnets under a living workspace: new subnets, a new network configuration, the
    /// workspace moves over, the old ones go.
    Change,
    Destroy,
}

const PHASES: [Phase; 3] = [Phase::Create, Phase::Change, Phase::Destroy];

impl Phase {
    fn verb(self) -> &'static str {
        if self == Phase::Destroy { "destroy" } else { "apply" }
    }
}

/// One request of an undisturbed run, by its name and its number among those of that name: the order
/// of requests is not the same in every run, but what is requested is.
#[derive(Debug, Clone)]
struct Point {
    phase: Phase,
    action: String,
    nth: usize,
    side: Side,
}

/// How a phase ends when nobody disturbs it.
struct Reference {
    points: Vec<Point>,
    marks: BTreeMap<Phase, String>,
}

#[derive(Default)]
struct Figures {
    points: usize,
    orphans: usize,
    duplicates: usize,
    manual_steps: usize,
    failures: Vec<String>,
}

#[test]
fn a_run_killed_at_any_request_is_finished_by_the_next() {
    let reference = Pair::start().reference();
    let lives = lives(&reference.points, if full() { usize::MAX } else { 12 });
    tell(&format!("{} points in {} lives", reference.points.len(), lives.len()));
    let queue = Mutex::new(VecDeque::from(lives));
    let figures: Mutex<BTreeMap<Phase, Figures>> = Mutex::default();
    thread::scope(|scope| {
        for _ in 0..PAIRS {
            scope.spawn(|| {
                let mut pair = Pair::start();
                loop {
                    let life = lock(&queue).pop_front();
                    let Some(life) = life else { break };
                    pair.live(&life, &reference, &figures);
                }
            });
        }
    });
    let figures = figures.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut table = String::from("phase    points  orphans  duplicates  manual steps\n");
    for (phase, f) in &figures {
        let (phase, manual) = (format!("{phase:?}"), f.manual_steps);
        let _ = writeln!(
            table,
            "{phase:<8} {:>6}  {:>7}  {:>10}  {manual:>12}",
            f.points, f.orphans, f.duplicates
        );
    }
    tell(&table);
    let failures: Vec<&String> = figures.values().flat_map(|f| &f.failures).collect();
    assert!(failures.is_empty(), "{table}{failures:#?}");
    assert_eq!(figures.len(), PHASES.len(), "{table}");
}

/// What CI systems do: SIGINT, 7.5 s later SIGTERM, 2.5 s later SIGKILL.
#[test]
fn the_signals_of_a_ci_system_lose_nothing_over_the_wire() {
    let clouds = Clouds::start(Moto::Patched);
    let spec = clouds.folder().join("spec.json");
    fs::write(&spec, wire::spec(1).to_string()).expect("the folder is ours");
    let spec = spec.to_str().expect("plain names");
    let apply = ["apply", spec, "--yes"];
    let right = |what: &str| {
        clouds.dbxctl(&apply).expect(0);
        clouds.dbxctl(&["plan", spec, "--detailed-exitcode"]).expect(0);
        clouds.verify(&["applied", spec]).expect(0);
        clouds.dbxctl(&["destroy", spec, "--yes"]).expect(0);
        let left = clouds.verify(&["empty", spec]);
        assert_eq!(left.status.code(), Some(0), "{what}: {}", left.stdout);
    };
    let until_answered = |action: &str| {
        let deadline = Instant::now() + Duration::from_secs(120);
        let answered = |call: &Call| call.action == action && call.status.is_some();
        while !clouds.journal.calls().iter().any(answered) {
            assert!(Instant::now() < deadline, "{action} is not called");
            thread::sleep(Duration::from_millis(20));
        }
    };

    // A call that hangs after it took effect: only SIGKILL ends the run, before the id is known.
    clouds.journal.fail("ec2:CreateVpc", Fault::HoldAnswer, 1);
    let mut child = clouds.start_dbxctl(&apply, "signals.log");
    until_answered("ec2:CreateVpc");
    assert_eq!(signals_of_ci(&mut child).code(), None, "the call held nothing up");
    assert_eq!(clouds.journal.end_faults(), 1);
    right("a call that hangs");

    // A long wait ends with the first signal.
    clouds.set_account(&json!({ "to_running": { "millis": 12_000 } }));
    clouds.journal.clear();
    let mut child = clouds.start_dbxctl(&apply, "signals.log");
    until_answered("databricks:POST /workspaces");
    thread::sleep(Duration::from_secs(3));
    assert_eq!(signals_of_ci(&mut child).code(), Some(130));
    right("a long wait");
}

/// Sends the signals until the process ends.
fn signals_of_ci(child: &mut Child) -> ExitStatus {
    for (signal, grace) in [("-INT", 7500), ("-TERM", 2500), ("-KILL", 5000)] {
        let sent = Command::new("kill").args([signal, &child.id().to_string()]).status();
        assert!(sent.expect("kill can be started").success());
        let deadline = Instant::now() + Duration::from_millis(grace);
        while Instant::now() < deadline {
            if let Some(status) = child.try_wait().expect("it is our child") {
                return status;
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
    panic!("it survived SIGKILL");
}

/// One point of each phase per life, as long as there are some; at most so many of each, evenly spread.
fn lives(points: &[Point], most: usize) -> Vec<BTreeMap<Phase, Point>> {
    let mut lives: Vec<BTreeMap<Phase, Point>> = Vec::new();
    for phase in PHASES {
        let all: Vec<&Point> = points.iter().filter(|p| p.phase == phase).collect();
        let count = all.len().min(most);
        for n in 0..count {
            let point = all[n * all.len() / count].clone();
            if lives.len() <= n {
                lives.push(BTreeMap::new());
            }
            lives[n].insert(phase, point);
        }
    }
    lives
}

/// Clouds, somebody who looks at them, and the spec before and after the change.
struct Pair {
    clouds: Clouds,
    verifier: Verifier,
}

impl Pair {
    fn start() -> Pair {
        let clouds = Clouds::start(Moto::Patched);
        let mut verifier = clouds.start_verifier();
        let example = top().join("examples/shared-vpc.yaml");
        let example = example.to_str().expect("examples have plain names");
        let folder = clouds.folder().to_str().expect("temporary folders have plain names");
        verifier.ask(&["prepare", example, folder]).expect("it can be prepared");
        let pair = Pair { clouds, verifier };
        let text = fs::read_to_string(pair.file("spec.json")).expect("it was prepared");
        let mut spec: Value = serde_json::from_str(&text).expect("it is JSON");
        spec["workspaces"]["wk1"]["subnets"] = json!({ "nodes_per_zone": 500, "block": 9 });
        fs::write(pair.file("changed.json"), spec.to_string()).expect("the folder is ours");
        pair
    }

    fn file(&self, name: &str) -> String {
        self.clouds.folder().join(name).to_str().expect("plain names").to_owned()
    }

    fn spec(&self, phase: Phase) -> String {
        self.file(if phase == Phase::Create { "spec.json" } else { "changed.json" })
    }

    fn run(&self, phase: Phase) -> Output {
        self.clouds.dbxctl(&[phase.verb(), &self.spec(phase), "--yes"])
    }

    fn reference(mut self) -> Reference {
        let mut reference = Reference { points: Vec::new(), marks: BTreeMap::new() };
        for phase in PHASES {
            self.clouds.journal.clear();
            self.run(phase).expect(0);
            let mut counts: BTreeMap<String, usize> = BTreeMap::new();
            for call in self.clouds.journal.calls() {
                // What is refused at first is asked again, more or less often.
                if call.mutating && call.status.is_some_and(|status| status < 400) {
                    *counts.entry(call.action).or_default() += 1;
                }
            }
            for (action, count) in counts {
                for nth in 1..=count {
                    for side in [Side::Before, Side::After] {
                        reference.points.push(Point { phase, action: action.clone(), nth, side });
                    }
                }
            }
            let marks = self.verifier.ask(&["marks", &self.spec(phase)]);
            reference.marks.insert(phase, marks.expect("the clouds can be looked at"));
        }
        reference
    }

    /// Lives through all phases, killed at one point of each.
    fn live(
        &mut self,
        life: &BTreeMap<Phase, Point>,
        reference: &Reference,
        figures: &Mutex<BTreeMap<Phase, Figures>>,
    ) {
        self.clouds.reset();
        for phase in PHASES {
            let point = life.get(&phase);
            if let Some(point) = point {
                let spec = self.spec(phase);
                let arguments = [phase.verb(), &spec, "--yes"];
                let Point { action, nth, side, .. } = point;
                let killed = self.clouds.dbxctl_killed(&arguments, Some(action), *nth, *side);
                if !killed {
                    let mut figures = lock(figures);
                    let failures = &mut figures.entry(phase).or_default().failures;
                    failures.push(format!("{point:?} was not reached"));
                }
            } else if phase == Phase::Change {
                continue;
            }
            let next = self.run(phase);
            let wrong = self.judge(phase, &next, &reference.marks[&phase]);
            let mut figures = lock(figures);
            let figures = figures.entry(phase).or_default();
            figures.points += usize::from(point.is_some());
            if let Some(wrong) = wrong {
                figures.orphans += wrong.orphans;
                figures.duplicates += wrong.duplicates;
                figures.manual_steps += usize::from(wrong.manual_step);
                let failure = format!("{point:?}\n{}", wrong.text);
                tell(&failure);
                figures.failures.push(failure);
                // What is wrong now would be blamed on the next point too.
                return;
            }
        }
    }

    /// What is not as it would be without the kill.
    fn judge(&mut self, phase: Phase, next: &Output, marks: &str) -> Option<Wrong> {
        let mut wrong = Wrong::default();
        if next.status.code() != Some(0) {
            wrong.manual_step = true;
            wrong.text += &format!("{}\n{}\n", next.status, next.stderr);
        }
        let spec = self.spec(phase);
        if phase != Phase::Destroy {
            let plan = self.clouds.dbxctl(&["plan", &spec, "--detailed-exitcode"]);
            if plan.status.code() != Some(0) {
                wrong.manual_step = true;
                wrong.text += &format!("plan: {}\n{}{}\n", plan.status, plan.stdout, plan.stderr);
            }
        }
        let check = if phase == Phase::Destroy { "empty" } else { "applied" };
        if let Err(text) = self.verifier.ask(&[check, &spec]) {
            wrong.manual_step = true;
            wrong.text += &format!("{check}: {text}\n");
        }
        match self.verifier.ask(&["marks", &spec]) {
            Err(text) => wrong.text += &text,
            Ok(now) => {
                let count = |text: &str| {
                    let mut lines: BTreeMap<String, usize> = BTreeMap::new();
                    for line in text.lines() {
                        *lines.entry(line.to_owned()).or_default() += 1;
                    }
                    lines
                };
                let (now, wanted) = (count(&now), count(marks));
                for (line, n) in &now {
                    match wanted.get(line) {
                        None => {
                            wrong.orphans += 1;
                            wrong.text += &format!("orphan: {line}\n");
                        }
                        Some(wanted) if n > wanted => {
                            wrong.duplicates += n - wanted;
                            wrong.text += &format!("{n} times, not {wanted}: {line}\n");
                        }
                        _ => {}
                    }
                }
                for line in wanted.keys().filter(|line| !now.contains_key(*line)) {
                    wrong.manual_step = true;
                    wrong.text += &format!("missing: {line}\n");
                }
            }
        }
        (!wrong.text.is_empty()).then_some(wrong)
    }
}

#[derive(Default)]
struct Wrong {
    orphans: usize,
    duplicates: usize,
    manual_step: bool,
    text: String,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[expect(clippy::print_stdout, reason = "figures for whoever runs the whole matrix")]
fn tell(text: &str) {
    println!("{text}");
}
