//! What is remembered of runs, and the stream of their events, as scripts read them.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use jsonschema::Validator;
use serde_json::{Value, json};

use crate::clouds::{finish, top};
use crate::sandbox::{Stack, spec};

fn validator(name: &str) -> Validator {
    let path = top().join(format!("schemas/{name}.schema.json"));
    let text = fs::read_to_string(path).expect("a schema");
    let schema: Value = serde_json::from_str(&text).expect("a schema is JSON");
    jsonschema::options().offline().build(&schema).expect("a schema")
}

#[track_caller]
fn assert_valid(validator: &Validator, value: &Value) {
    let wrong: Vec<String> = validator.iter_errors(value).map(|e| e.to_string()).collect();
    assert!(wrong.is_empty(), "{wrong:#?} in {value}");
}

/// The events of a run, each checked against the schema.
#[track_caller]
fn events(text: &str) -> Vec<Value> {
    let validator = validator("events");
    assert!(text.is_empty() || text.ends_with('\n'), "the last line is torn: {text}");
    let line = |line: &str| -> Value {
        let event = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert_valid(&validator, &event);
        event
    };
    text.lines().map(line).collect()
}

fn named<'a>(events: &'a [Value], name: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["event"] == name).collect()
}

/// A stack, its spec, and where its events go.
struct Scene {
    stack: Stack,
    spec: String,
    events: PathBuf,
}

impl Scene {
    fn new(profile: &'static str) -> Scene {
        let stack = Stack::new(profile);
        let spec = stack.write("spec.json", &spec(&["wk1"]));
        let events = stack.folder.path().join("events.jsonl");
        Scene { stack, spec, events }
    }

    fn apply<'a>(&'a self, command: &'a str) -> [&'a str; 5] {
        [command, &self.spec, "--yes", "--events", self.events.to_str().expect("a plain name")]
    }

    #[track_caller]
    fn told(&self) -> Vec<Value> {
        events(&fs::read_to_string(&self.events).unwrap_or_default())
    }

    #[track_caller]
    fn history(&self) -> Value {
        let text = self.stack.run(&["history", &self.spec, "--format", "json"], 0).stdout;
        let history = serde_json::from_str(&text).expect("JSON");
        assert_valid(&validator("history"), &history);
        history
    }

    /// Waits until the running command has told of such an event.
    fn until(&self, name: &str) {
        let started = Instant::now();
        while !fs::read_to_string(&self.events).unwrap_or_default().contains(name) {
            assert!(started.elapsed() < Duration::from_secs(60), "no event with {name}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn a_run_is_told_line_by_line_and_remembered() {
    let scene = Scene::new("quick");
    let history = scene.stack.run(&["history", &scene.spec], 0).stdout;
    assert_eq!(history, "Nothing was done to `scenario` yet.\n");
    let run = scene.stack.run(&scene.apply("apply"), 0);
    assert!(run.stdout.contains("wk1"), "the outputs are the answer: {}", run.stdout);

    let told = scene.told();
    let (first, last) = (&told[0], &told[told.len() - 1]);
    assert_eq!((&first["event"], &last["event"]), (&json!("run_started"), &json!("run_ended")));
    assert_eq!((&first["stack"], &first["format"]), (&json!("scenario"), &json!(1)));
    let steps = first["steps"].as_u64().expect("a number");
    assert!(first["estimate_seconds"].as_u64() > Some(300), "a workspace takes minutes: {first}");
    assert_eq!((&last["result"], &last["done"]), (&json!("complete"), &json!(steps)));
    assert_eq!(named(&told, "started").len() as u64, steps);
    let finished = named(&told, "finished");
    assert_eq!(finished.len() as u64, steps);
    assert!(finished.iter().all(|event| event["elapsed_seconds"].is_f64()));
    assert!(!named(&told, "waiting").is_empty());

    let history = scene.history();
    let run = &history["runs"][0];
    assert_eq!((&run["command"], &run["steps"]), (&json!("dbxctl apply"), &json!(steps)));
    assert_eq!(run["plan_sha256"], first["plan_sha256"]);
    assert_eq!(
        (&run["ended"]["result"], &run["ended"]["done"]),
        (&json!("complete"), &json!(steps))
    );
    let workspace = &history["durations"]["databricks.workspace"]["create"];
    assert!(workspace[0].as_f64() > Some(0.05), "it is pending for 50 ms at least: {history}");

    // Nothing to do is no run. With the events on stdout the answer goes elsewhere.
    let same = scene.stack.run(&["apply", &scene.spec, "--yes", "--events", "-"], 0);
    assert_eq!(events(&same.stdout).len(), 2, "{}", same.stdout);
    assert!(same.stderr.contains("No changes."), "{}", same.stderr);
    assert_eq!(scene.history()["runs"].as_array().map(Vec::len), Some(1));

    let gone = scene.stack.run(&["destroy", &scene.spec, "--yes", "--events", "-"], 0);
    assert_eq!(named(&events(&gone.stdout), "finished").len() as u64, steps);
    let text = scene.stack.run(&["history", &scene.spec], 0).stdout;
    let commands: Vec<&str> = text.lines().filter_map(|l| l.split_whitespace().nth(1)).collect();
    assert_eq!((commands[0], commands[2]), ("destroy", "apply"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    let text = scene.stack.run(&["history", &scene.spec, "--durations"], 0).stdout;
    assert!(text.contains("databricks.workspace") && text.contains("delete"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
}

/// The plan was made with the durations of the state, and another one would not be the same bytes.
#[test]
fn the_second_plan_is_estimated_from_the_first_run() {
    let scene = Scene::new("instant");
    let plan = || -> Value {
        let text = scene.stack.run(&["plan", &scene.spec, "--format", "json"], 0).stdout;
        serde_json::from_str(&text).expect("JSON")
    };
    let first = plan();
    assert_valid(&validator("plan"), &first);
    let steps = first["plan"]["steps"].as_array().map_or(0, Vec::len);
    assert_eq!(
        (&first["estimate"]["learned"], first["estimate"]["steps"].as_array().map(Vec::len)),
        (&json!(0), Some(steps))
    );
    assert!(first["estimate"]["seconds"].as_u64() > Some(300), "{}", first["estimate"]);
    scene.stack.run(&["apply", &scene.spec, "--yes"], 0);
    scene.stack.run(&["destroy", &scene.spec, "--yes"], 0);
    let second = plan();
    assert_eq!(second["estimate"]["learned"], json!(steps));
    assert!(second["estimate"]["seconds"].as_u64() < Some(60), "{}", second["estimate"]);
    assert_eq!(plan(), second);
}

#[test]
fn a_failed_run_tells_what_failed_and_is_remembered() {
    let scene = Scene::new("instant");
    let mut command = scene.stack.command(&scene.apply("apply"));
    let fault = json!([{
        "kind": "aws.bucket", "operation": "create", "times": 99,
        "happens": { "error": "denied" }, "message": "no",
    }]);
    command.env("DBXCTL_SANDBOX_FAULTS", fault.to_string());
    finish(command).expect(6);
    let told = scene.told();
    let failed = named(&told, "failed");
    assert_eq!(failed[0]["address"], "aws.bucket/wk1");
    let last = &told[told.len() - 1];
    assert_eq!((&last["result"], &last["failed"]), (&json!("failed"), &json!(1)));
    let skipped = named(&told, "skipped").len();
    assert!(skipped > 0);
    assert_eq!(last["skipped"], json!(skipped));
    let run = &scene.history()["runs"][0]["ended"];
    assert_eq!(
        (&run["result"], &run["failed"], &run["skipped"]),
        (&json!("failed"), &json!(1), &json!(skipped))
    );
    let text = scene.stack.run(&["history", &scene.spec], 0).stdout;
    assert!(text.contains("failed") && text.contains(", 1 failed"), "{text}");
}

#[cfg(unix)]
#[test]
fn a_run_that_is_stopped_or_killed_leaves_whole_lines() {
    use std::os::unix::fs::PermissionsExt;
    let scene = Scene::new("realistic");
    let mut child = scene.stack.start(&scene.apply("apply"));
    scene.until("\"waiting\"");
    let mode = fs::metadata(&scene.events).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let sent = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(sent.expect("kill runs").success());
    assert_eq!(child.wait().expect("it ends").code(), Some(130));
    let told = scene.told();
    assert_eq!(told[told.len() - 1]["result"], "interrupted");

    fs::remove_file(&scene.events).expect("it is there");
    let mut child = scene.stack.start(&scene.apply("apply"));
    scene.until("\"waiting\"");
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    let told = scene.told();
    assert_eq!(told[0]["event"], "run_started");
    assert_eq!(named(&told, "run_ended"), Vec::<&Value>::new());

    let history = scene.history();
    let runs = history["runs"].as_array().expect("a list");
    assert_eq!((runs.len(), &runs[0]["ended"]), (2, &Value::Null));
    assert_eq!(runs[1]["ended"]["result"], "interrupted");
    let text = scene.stack.run(&["history", &scene.spec], 0).stdout;
    assert!(text.contains("did not end") && text.contains("interrupted"), "{text}");
}

/// The run's own bookkeeping does not make the plan stale that it carries out.
#[test]
fn a_saved_plan_is_carried_out_and_remembered_by_its_hash() {
    let scene = Scene::new("instant");
    let plan = scene.stack.folder.path().join("plan.json");
    let plan = plan.to_str().expect("a plain name");
    scene.stack.run(&["plan", &scene.spec, "--out", plan], 0);
    scene.stack.run(&["apply", plan], 0);
    let hash = scene.history()["runs"][0]["plan_sha256"].clone();
    assert_eq!(hash.as_str().map(str::len), Some(64));
    scene.stack.run(&["apply", plan], 5);
    assert_eq!(scene.history()["runs"].as_array().map(Vec::len), Some(1));
}
