//! The program as a user sees it, on the sandbox: no account, no network.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::clouds::{Output, binary, examples, finish, top};

/// One folder with a state and a simulated cloud in it.
pub(crate) struct Stack {
    pub(crate) folder: TempDir,
    profile: &'static str,
}

impl Stack {
    pub(crate) fn new(profile: &'static str) -> Stack {
        Stack { folder: TempDir::new().expect("a temporary folder"), profile }
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary("dbxctl"));
        command
            .args(arguments)
            .args(["--cloud", "sandbox", "--state-dir"])
            .arg(self.folder.path())
            .current_dir(top())
            .env_clear()
            .env("DBXCTL_SANDBOX_PROFILE", self.profile)
            .stdin(Stdio::null());
        command
    }

    #[track_caller]
    pub(crate) fn run(&self, arguments: &[&str], code: i32) -> Output {
        finish(self.command(arguments)).expect(code)
    }

    pub(crate) fn start(&self, arguments: &[&str]) -> Child {
        let mut command = self.command(arguments);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().expect("dbxctl can be started")
    }

    pub(crate) fn write(&self, name: &str, spec: &Value) -> String {
        let path = self.folder.path().join(name);
        fs::write(&path, spec.to_string()).expect("the folder is ours");
        path.to_str().expect("a plain name").to_owned()
    }

    /// Address and id of everything the state has.
    pub(crate) fn list(&self, spec: &str) -> Vec<(String, String)> {
        let text = self.run(&["state", "list", spec], 0).stdout;
        let pair = |line: &str| {
            let mut words = line.split_whitespace().map(str::to_owned);
            (words.next().expect("an address"), words.next().expect("an id"))
        };
        text.lines().map(pair).collect()
    }
}

/// A workspace or two in one VPC, as JSON so that tests can edit it.
pub(crate) fn spec(workspaces: &[&str]) -> Value {
    let workspaces: serde_json::Map<String, Value> =
        workspaces.iter().map(|n| ((*n).to_owned(), json!({ "vpc": "main" }))).collect();
    json!({
        "apiVersion": "dbxctl/v1",
        "name": "scenario",
        "region": "eu-central-1",
        "aws": { "account": "111122223333" },
        "databricks": { "account": "3f8a1c52-7d40-4be1-9c6e-2b5d8e0f1a77" },
        "vpcs": { "main": {
            "cidr": "10.0.0.0/16",
            "zones": ["eu-central-1a", "eu-central-1b"],
            "private_link": { "backend": true },
        } },
        "workspaces": workspaces,
    })
}

#[test]
fn every_example_comes_stays_and_goes() {
    for example in examples() {
        let stack = Stack::new("instant");
        let spec = example.to_str().expect("a plain name");
        stack.run(&["validate", spec], 0);
        stack.run(&["plan", spec, "--detailed-exitcode"], 2);
        stack.run(&["apply", spec, "--yes"], 0);
        let text = stack.run(&["plan", spec, "--detailed-exitcode"], 0).stdout;
        assert!(text.starts_with("No changes."), "{spec}: {text}");
        assert_eq!(stack.run(&["plan", spec, "--offline", "--detailed-exitcode"], 0).stdout, text);
        stack.run(&["destroy", spec, "--yes"], 0);
        assert_eq!(stack.list(spec), [], "{spec}");
    }
}

/// 2 is for changes; a mistyped option must not look like some.
#[test]
fn a_mistyped_command_line_is_an_error() {
    let stack = Stack::new("instant");
    stack.run(&["plan", "--detailed-exit-code"], 1);
    stack.run(&["--help"], 0);
}

/// Promise: whatever order the spec's maps come in, the plan's bytes are the same.
#[test]
fn equal_specs_have_equal_plans() {
    let stack = Stack::new("instant");
    let one = spec(&["wk1", "wk2"]).to_string();
    let backwards = |text: &str| -> String {
        let fields: serde_json::Map<String, Value> = serde_json::from_str(text).unwrap();
        let fields: Vec<String> =
            fields.iter().rev().map(|(name, value)| format!("{name:?}: {value}")).collect();
        format!("{{{}}}", fields.join(", "))
    };
    let two = backwards(&one);
    assert_ne!(one, two);
    let plan = |name: &str, text: &str| {
        let path = stack.folder.path().join(name);
        fs::write(&path, text).unwrap();
        stack.run(&["plan", path.to_str().unwrap(), "--format", "json"], 0).stdout
    };
    assert_eq!(plan("one.json", &one), plan("two.json", &two));
}

/// Promise: what is shared is not touched by a newcomer, but for what must list it.
#[test]
fn a_second_workspace_leaves_the_first_alone() {
    let stack = Stack::new("instant");
    let one = stack.write("one.json", &spec(&["wk1"]));
    let two = stack.write("two.json", &spec(&["wk1", "wk2"]));
    stack.run(&["apply", &one, "--yes"], 0);
    let before = stack.list(&one);
    let plan: Value =
        serde_json::from_str(&stack.run(&["plan", &two, "--format", "json"], 0).stdout).unwrap();
    let steps = plan["plan"]["steps"].as_array().unwrap();
    let touched: Vec<&str> = steps
        .iter()
        .filter(|s| s["action"] != "create")
        .filter_map(|s| s["address"].as_str())
        .collect();
    assert_eq!(touched, ["aws.security_group_rules/main.endpoints", "aws.vpc_endpoint/main.s3"]);
    stack.run(&["apply", &two, "--yes"], 0);

    // Away again: refused without consent, and with it the shared parts stay.
    let refused = stack.run(&["apply", &one, "--yes"], 3).stderr;
    assert!(refused.contains("allow_deletion"), "{refused}");
    let mut consent = spec(&["wk1"]);
    consent["allow_deletion"] = json!(["wk2"]);
    let consent = stack.write("consent.json", &consent);
    stack.run(&["apply", &consent, "--yes"], 0);
    assert_eq!(stack.list(&one), before);
    stack.run(&["plan", &one, "--detailed-exitcode"], 0);
}

/// What is shared is used by all; what is one workspace's own is nobody else's.
#[test]
fn a_plan_names_who_uses_what_it_changes() {
    let stack = Stack::new("instant");
    let mut both = spec(&["wk1", "wk2"]);
    let file = stack.write("spec.json", &both);
    stack.run(&["apply", &file, "--yes"], 0);
    both["tags"] = json!({ "owner": "somebody" });
    let file = stack.write("tagged.json", &both);
    let plan: Value =
        serde_json::from_str(&stack.run(&["plan", &file, "--format", "json"], 0).stdout).unwrap();
    let used_by = plan["used_by"].as_object().expect("shared things are used");
    let names = |address: &str| -> Vec<&str> {
        let users = used_by[address].as_array().expect("a list");
        users.iter().map(|user| user["name"].as_str().expect("a name")).collect()
    };
    for shared in ["aws.vpc/main", "aws.vpc_endpoint/main.s3", "aws.security_group/main.endpoints"]
    {
        assert_eq!(names(shared), ["scenario-wk1", "scenario-wk2"], "{shared}");
    }
    let own: Vec<&String> = used_by.keys().filter(|address| address.contains("/wk")).collect();
    assert_eq!(own, Vec::<&String>::new());
}

/// Promise: killed at any moment, the next apply ends in the same place.
#[test]
fn killed_twenty_times_it_still_gets_there() {
    let spec = spec(&["wk1", "wk2"]);
    let calm = Stack::new("quick");
    let file = calm.write("spec.json", &spec);
    let started = std::time::Instant::now();
    calm.run(&["apply", &file, "--yes"], 0);
    let whole = started.elapsed();
    let wanted: Vec<String> = calm.list(&file).into_iter().map(|(address, _)| address).collect();

    let stack = Stack::new("quick");
    let file = stack.write("spec.json", &spec);
    for kill in 0..20u32 {
        let mut child = stack.start(&["apply", &file, "--yes"]);
        // Spread over the run: later rounds get further, since earlier ones have done a part.
        std::thread::sleep(whole * (1 + kill * 7 % 20) / 40);
        let _ = child.kill(); // SIGKILL.
        let _ = child.wait();
    }
    stack.run(&["apply", &file, "--yes"], 0);
    stack.run(&["plan", &file, "--detailed-exitcode"], 0);
    let there: Vec<String> = stack.list(&file).into_iter().map(|(address, _)| address).collect();
    assert_eq!(there, wanted);
    assert_eq!(objects(&stack), objects(&calm), "something is there twice, or orphaned");
    for kill in 0..5u32 {
        let mut child = stack.start(&["destroy", &file, "--yes"]);
        std::thread::sleep(whole * (1 + kill) / 20);
        let _ = child.kill();
        let _ = child.wait();
    }
    stack.run(&["destroy", &file, "--yes"], 0);
    assert_eq!(objects(&stack), Vec::<String>::new());
}

/// The kinds of everything in the simulated cloud, read from its file and not through dbxctl.
pub(crate) fn objects(stack: &Stack) -> Vec<String> {
    let cloud = sandbox_file(stack.folder.path());
    let mut kinds: Vec<String> = cloud.into_iter().collect();
    kinds.sort();
    kinds
}

fn sandbox_file(folder: &Path) -> Vec<String> {
    let settings = sandbox::Settings::instant();
    let cloud = sandbox::Sandbox::open(&folder.join("sandbox/cloud.json"), settings).unwrap();
    let objects = cloud.inventory().unwrap().into_iter();
    objects.map(|object| format!("{} {:?}", object.kind, object.mark)).collect()
}

/// Promise: two runs at once: one works, the other exits with 4 and names the holder.
#[test]
fn the_second_apply_is_told_who_is_at_work() {
    let stack = Stack::new("realistic");
    let file = stack.write("spec.json", &spec(&["wk1"]));
    let mut first = stack.start(&["apply", &file, "--yes"]);
    let lock = stack.folder.path().join("sandbox/scenario.log");
    while !lock.exists() {
        std::thread::sleep(Duration::from_millis(10));
    }
    let second = stack.run(&["apply", &file, "--yes"], 4).stderr;
    assert!(second.contains(&format!("process {}", first.id())), "{second}");
    first.kill().unwrap();
    first.wait().unwrap();
    // The dead holder's lock is gone with it; nothing has to be unlocked.
    stack.run(&["state", "unlock", &file], 0);
}

/// Promise: apply does what the plan showed, or stops.
#[test]
fn a_saved_plan_fits_one_state_only() {
    let stack = Stack::new("instant");
    let file = stack.write("spec.json", &spec(&["wk1"]));
    let plan = stack.folder.path().join("plan.json");
    let plan = plan.to_str().unwrap();
    stack.run(&["plan", &file, "--out", plan], 0);
    let shown = stack.run(&["show", plan], 0).stdout;
    assert!(shown.contains("Plan: "), "{shown}");
    stack.run(&["apply", plan], 0);
    stack.run(&["plan", &file, "--detailed-exitcode"], 0);
    let stale = stack.run(&["apply", plan], 5).stderr;
    assert!(stale.contains("plan again"), "{stale}");
}

/// A cancelled run saves what it has and says so.
#[test]
fn an_interrupted_apply_goes_on_where_it_stopped() {
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let stack = Stack::new("quick");
        let file = stack.write("spec.json", &spec(&["wk1"]));
        let mut child = stack.start(&["apply", &file, "--yes"]);
        // Something is in the log: it is at work, however slow the machine.
        let log = stack.folder.path().join("sandbox/scenario.log");
        let began = Instant::now();
        while fs::metadata(&log).map_or(0, |log| log.len()) == 0 {
            assert!(began.elapsed() < Duration::from_secs(60), "it does not begin");
            std::thread::sleep(Duration::from_millis(5));
        }
        let kill = Command::new("kill").args([signal, &child.id().to_string()]).status();
        assert!(kill.expect("kill can be started").success());
        assert_eq!(child.wait().unwrap().code(), Some(code));
        stack.run(&["apply", &file, "--yes"], 0);
        stack.run(&["plan", &file, "--detailed-exitcode"], 0);
    }
}

/// What cannot be written is noticed before anything is made.
#[test]
fn a_state_that_cannot_be_kept_stops_everything_first() {
    let stack = Stack::new("instant");
    let file = stack.write("spec.json", &spec(&["wk1"]));
    let state = stack.folder.path().join("sandbox/scenario.json");
    fs::create_dir_all(state.parent().unwrap()).unwrap();
    for (text, says) in [
        ("{\"format\": 1, \"stack", "is damaged at line 1"),
        ("not JSON", "is damaged at line 1"),
        ("{\"format\": 7, \"written_by\": \"dbxctl 7.0.0\"}", "written by dbxctl 7.0.0"),
    ] {
        fs::write(&state, text).unwrap();
        let stderr = stack.run(&["apply", &file, "--yes"], 1).stderr;
        assert!(stderr.contains(says), "{stderr}");
        assert_eq!(fs::read_to_string(&state).unwrap(), text);
    }
    // A folder in the way is what a read-only folder is to everybody but root.
    fs::remove_file(&state).unwrap();
    fs::create_dir(&state).unwrap();
    stack.run(&["apply", &file, "--yes"], 1);
    fs::remove_dir(&state).unwrap();
    assert_eq!(objects(&stack), Vec::<String>::new());
}

/// The disk fills up in the middle: the run stops, and goes on once there is room.
#[test]
fn a_full_disk_loses_nothing() {
    let stack = Stack::new("instant");
    let file = stack.write("spec.json", &spec(&["wk1"]));
    let limited = stack.command(&["apply", &file, "--yes"]);
    // A file-size limit (in blocks of 512 or 1024 bytes) fails writes as a full disk does.
    let mut shell = Command::new("bash");
    shell.args(["-c", "trap '' XFSZ; ulimit -f 24; exec \"$0\" \"$@\""]);
    shell.arg(limited.get_program()).args(limited.get_args());
    shell.current_dir(top()).env_clear().env("DBXCTL_SANDBOX_PROFILE", "instant");
    let output = finish(shell);
    assert!(matches!(output.status.code(), Some(1 | 6)), "{}", output.stderr);
    assert!(output.stderr.contains("cannot write"), "{}", output.stderr);
    stack.run(&["apply", &file, "--yes"], 0);
    stack.run(&["plan", &file, "--detailed-exitcode"], 0);
    stack.run(&["destroy", &file, "--yes"], 0);
    assert_eq!(objects(&stack), Vec::<String>::new());
}
