//! The state in a bucket, over the wire: on a moto whose conditional writes are atomic.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::clouds::{ACCOUNT, AWS_ACCOUNT, Clouds, Moto, Output, full, top};
use crate::proxy::Side;

const BUCKET: &str = "acme-states";

/// One works, the other says who does, and nothing is written twice.
#[test]
fn two_runs_race_and_never_both_write() {
    let stack = Stack::new(Moto::Patched);
    stack.write_spec("0");
    stack.dbxctl("apply", &["--yes"]).expect(0);
    let before = stack.state();
    let (mut serial, mut cost, mut refused) = (before["serial"].as_u64().unwrap(), None, 0);
    for round in 1..=if full() { 50 } else { 8 } {
        stack.write_spec(&round.to_string());
        let runs = [(); 2].map(|()| stack.clouds.begin(&["apply", &stack.spec(), "--yes"]));
        let pids = runs.each_ref().map(|run| run.pid());
        let outputs = runs.map(|run| run.finish());
        let codes = outputs.each_ref().map(|output| output.status.code());
        assert!(codes.contains(&Some(0)), "round {round}: {outputs:?}");
        for (output, other) in outputs.into_iter().zip([pids[1], pids[0]]) {
            if output.status.code() != Some(0) {
                let output = output.expect(4);
                let named = output.stderr.contains(&format!("locked by process {other} ("));
                assert!(named, "round {round}: {}", output.stderr);
                refused += 1;
            }
        }
        let state = stack.state();
        assert_eq!(addresses(&state), addresses(&before), "round {round}");
        assert_eq!(unsettled(&state), BTreeSet::new(), "round {round}");
        // Every round changes the same fields of the same objects, once.
        let now = state["serial"].as_u64().unwrap();
        let spent = now - serial;
        assert_eq!(*cost.get_or_insert(spent), spent, "round {round}");
        serial = now;
    }
    assert!(cost > Some(0) && refused > 0, "{cost:?} entries a round, {refused} runs refused");
    stack.plan_is_empty();
}

/// The next run waits until the dead one's lease is over, and finishes what it began.
#[test]
fn a_killed_holder_is_followed() {
    let mut stack = Stack::new(Moto::Patched);
    stack.clouds.set("DBXCTL_LEASE_SECONDS", "2");
    let (mut kills, mut refused) = (0, 0);
    let wanted = if full() { 20 } else { 4 };
    for round in 0.. {
        if kills == wanted {
            break;
        }
        assert!(round < 10 * wanted, "{kills} kills only");
        stack.write_spec(&round.to_string());
        let n = [4, 9, 2, 6, 1, 12, 3, 8, 5, 7][round % 10];
        let side = [Side::After, Side::Before][(round + round / 10) % 2];
        if !stack.clouds.dbxctl_killed(&["apply", &stack.spec(), "--yes"], None, n, side) {
            continue;
        }
        kills += 1;
        let began = Instant::now();
        loop {
            let output = stack.dbxctl("apply", &["--yes"]);
            if output.status.code() == Some(0) {
                break;
            }
            let output = output.expect(4);
            assert!(output.stderr.contains("its lease runs until"), "{}", output.stderr);
            assert!(began.elapsed() < Duration::from_secs(60), "round {round} does not end");
            refused += 1;
            std::thread::sleep(Duration::from_millis(300));
        }
        assert_eq!(unsettled(&stack.state()), BTreeSet::new(), "round {round}");
        stack.plan_is_empty();
    }
    assert!(refused > 0, "no lease outlived its holder");
    stack.clouds.verify(&["applied", &stack.spec()]).expect(0);
}

/// Looking does not need the lock, moving the state away and back changes nothing.
#[test]
fn a_state_moves_between_a_file_and_a_bucket() {
    let stack = Stack::new(Moto::Patched);
    stack.write_local_spec();
    stack.dbxctl("apply", &["--yes"]).expect(0);
    let pulled = stack.dbxctl("state", &["pull"]);
    let text = pulled.expect(0).stdout;
    let file = stack.file("pulled.json");
    fs::write(&file, &text).unwrap();

    stack.write_spec("0");
    let push = ["state", "push", &file, "--spec", &stack.spec()];
    let note = stack.clouds.dbxctl(&push).expect(0).stderr;
    assert!(note.contains("is not used: the state is in the bucket"), "{note}");
    assert_eq!(stack.dbxctl("state", &["pull"]).expect(0).stdout, text);
    assert_eq!(
        stack.state()["resources"],
        serde_json::from_str::<Value>(&text).unwrap()["resources"]
    );
    let again = stack.clouds.dbxctl(&push).expect(0).stdout;
    assert!(again.contains("nothing to do"), "{again}");
    stack.plan_is_empty();

    let unlock = stack.dbxctl("state", &["unlock"]).expect(0).stdout;
    assert_eq!(unlock, "the state is not locked\n");
    stack.dbxctl("destroy", &["--yes"]).expect(0);
    let behind = stack.clouds.dbxctl(&push).expect(3).stderr;
    assert!(behind.contains("would be forgotten"), "{behind}");
}

/// A plan is carried out where it was made for, and not after something else was done.
#[test]
fn a_saved_plan_knows_its_bucket() {
    let stack = Stack::new(Moto::Patched);
    stack.write_spec("0");
    let (first, second) = (stack.file("first.json"), stack.file("second.json"));
    for plan in [&first, &second] {
        stack.dbxctl("plan", &["--out", plan]).expect(0);
    }
    stack.clouds.dbxctl(&["apply", &first]).expect(0);
    stack.clouds.dbxctl(&["apply", &second]).expect(5);
    stack.plan_is_empty();
    assert!(!Path::new(&stack.file("state")).exists(), "nothing is kept on this machine");
    // A rehearsal has a state and a cloud of its own.
    stack.dbxctl("plan", &["--cloud", "sandbox", "--detailed-exitcode"]).expect(2);
}

/// A holder that may live keeps its lock unless it is named.
#[test]
fn a_lock_is_freed_by_the_name_of_its_owner() {
    let stack = Stack::new(Moto::Patched);
    stack.write_spec("0");
    assert!(stack.clouds.dbxctl_killed(&["apply", &stack.spec(), "--yes"], None, 5, Side::Before));
    stack.dbxctl("apply", &["--yes"]).expect(4);
    let held = stack.dbxctl("state", &["unlock"]).expect(4);
    assert!(held.stdout.contains("(`dbxctl apply`) on "), "{}", held.stdout);
    let owner = held.stderr.split("--owner ").nth(1).unwrap().trim_end_matches(['`', '\n']);
    stack.dbxctl("state", &["unlock", "--owner", "somebody"]).expect(4);
    stack.dbxctl("state", &["unlock", "--owner", owner]).expect(0);
    stack.dbxctl("apply", &["--yes"]).expect(0);
    stack.plan_is_empty();
}

/// How much longer an apply takes with the state in a bucket, and what is written there.
///
/// `cargo nextest run -p dbxctl-tests --run-ignored only -E 'test(figures)' --no-capture`
#[test]
#[ignore = "measures"]
#[expect(clippy::print_stderr, reason = "prints what it measures")]
fn figures_of_a_shared_state() {
    const RUNS: usize = 3;
    for latency in [20, 100] {
        let measure = |shared| {
            let runs = (0..RUNS).map(|_| apply_time(Duration::from_millis(latency), shared));
            runs.min_by_key(|run| run.0).expect("there are some")
        };
        let ((local, _, resources), (remote, puts, _)) = (measure(false), measure(true));
        let ratio = remote.as_secs_f64() / local.as_secs_f64();
        let per_resource = f64::from(puts) / f64::from(resources);
        eprintln!(
            "{latency} ms a request, {resources} resources: local {local:.2?}, shared {remote:.2?}, \
             ratio {ratio:.2}; {puts} writes of the state, {per_resource:.2} a resource"
        );
    }
}

/// How long `shared-vpc` takes to apply, the writes of the state, and the resources.
fn apply_time(latency: Duration, shared: bool) -> (Duration, u32, u32) {
    let stack = Stack::new(Moto::AsIs);
    let example = top().join("examples/shared-vpc.yaml");
    let folder = stack.clouds.folder().to_str().unwrap().to_owned();
    stack.clouds.verify(&["prepare", example.to_str().unwrap(), &folder]).expect(0);
    if shared {
        let mut spec: Value =
            serde_json::from_str(&fs::read_to_string(stack.spec()).unwrap()).unwrap();
        spec["state"] = json!({ "s3": { "bucket": BUCKET } });
        fs::write(stack.spec(), spec.to_string()).unwrap();
    }
    stack.clouds.journal.clear();
    stack.clouds.journal.set_latency(latency);
    let start = Instant::now();
    stack.dbxctl("apply", &["--yes"]).expect(0);
    let took = start.elapsed();
    let puts = stack.clouds.journal.counts().get("s3:PUT object").copied().unwrap_or(0);
    stack.clouds.journal.set_latency(Duration::ZERO);
    let resources = addresses(&stack.state()).len();
    (took, u32::try_from(puts).unwrap(), u32::try_from(resources).unwrap())
}

fn addresses(state: &Value) -> BTreeSet<String> {
    state["resources"].as_object().unwrap().keys().cloned().collect()
}

fn unsettled(state: &Value) -> BTreeSet<String> {
    let all = state["resources"].as_object().unwrap();
    let open = all.iter().filter(|(_, record)| record["status"] != "settled");
    open.map(|(address, _)| address.clone()).collect()
}

/// A small stack in clouds of its own, with a bucket for its state.
struct Stack {
    clouds: Clouds,
}

impl Stack {
    fn new(moto: Moto) -> Stack {
        let clouds = Clouds::start(moto);
        clouds.verify(&["bucket", BUCKET]).expect(0);
        Stack { clouds }
    }

    /// `round` is a tag, so that another one is a change which costs little.
    fn write_spec(&self, round: &str) {
        let mut spec = small_spec(round);
        spec["state"] = json!({ "s3": { "bucket": BUCKET, "prefix": "teams/data" } });
        fs::write(self.spec(), spec.to_string()).unwrap();
    }

    fn write_local_spec(&self) {
        fs::write(self.spec(), small_spec("0").to_string()).unwrap();
    }

    fn spec(&self) -> String {
        self.file("spec.json")
    }

    fn file(&self, name: &str) -> String {
        self.clouds.folder().join(name).to_str().expect("plain names").to_owned()
    }

    fn dbxctl(&self, verb: &str, options: &[&str]) -> Output {
        let spec = self.spec();
        match (verb, options) {
            ("state", [command, rest @ ..]) => {
                self.clouds.dbxctl(&[&["state", command, &spec], rest].concat())
            }
            _ => self.clouds.dbxctl(&[&[verb, &spec], options].concat()),
        }
    }

    fn state(&self) -> Value {
        serde_json::from_str(&self.dbxctl("state", &["pull"]).expect(0).stdout).unwrap()
    }

    #[track_caller]
    fn plan_is_empty(&self) {
        self.dbxctl("plan", &["--detailed-exitcode"]).expect(0);
    }
}

fn small_spec(round: &str) -> Value {
    json!({
        "apiVersion": "dbxctl/v1",
        "name": "shared",
        "region": "us-east-1",
        "aws": { "account": AWS_ACCOUNT },
        "databricks": { "account": ACCOUNT },
        "tags": { "round": round },
        "workspaces": { "wk1": {} },
    })
}
