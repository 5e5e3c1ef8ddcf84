//! `dbxctl reconcile` as a user sees it, on the sandbox, and the samples for running it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use spec::SourceFile;

use crate::clouds::{Output, binary, finish, top};
use crate::sandbox::Stack;

const QUICK: &str = "instant";

/// One round of a folder, with its log; the exit code tells the worst.
fn once(stack: &Stack, folder: &Path, options: &[&str], code: i32) -> Output {
    let folder = folder.to_str().expect("a plain name");
    stack.run(&[&["reconcile", folder, "--once", "--log-format", "json"], options].concat(), code)
}

fn events(output: &Output) -> Vec<Value> {
    let lines = output.stderr.lines();
    lines.map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

fn folder(stack: &Stack) -> PathBuf {
    let folder = stack.folder.path().join("specs");
    fs::create_dir(&folder).expect("the folder is ours");
    folder
}

fn write(folder: &Path, name: &str, text: impl ToString) {
    fs::write(folder.join(name), text.to_string()).expect("the folder is ours");
}

fn spec(name: &str, workspaces: &[&str]) -> Value {
    let workspaces: serde_json::Map<String, Value> =
        workspaces.iter().map(|name| ((*name).to_owned(), json!({}))).collect();
    json!({
        "apiVersion": "dbxctl/v1",
        "name": format!("team-{name}"),
        "region": "us-east-1",
        "aws": { "account": "123456789012" },
        "databricks": { "account": "00000000-0000-4000-8000-000000000001" },
        "workspaces": workspaces,
    })
}

#[test]
fn each_policy_does_as_much_as_it_says() {
    let stack = Stack::new(QUICK);
    let folder = folder(&stack);
    write(&folder, "a.json", spec("a", &["wk1", "wk2"]));
    write(&folder, "b.json", spec("b", &["wk1"]));
    assert_eq!(once(&stack, &folder, &[], 2).stdout, "a  behind\nb  behind\n");
    assert_eq!(once(&stack, &folder, &[], 2).stdout, "a  behind\nb  behind\n");
    let made = once(&stack, &folder, &["--policy", "safe"], 0);
    assert_eq!(made.stdout, "a  in_step\nb  in_step\n");
    assert_eq!(once(&stack, &folder, &[], 0).stdout, "a  in_step\nb  in_step\n");

    let mut fewer = spec("a", &["wk1"]);
    fewer["allow_deletion"] = json!(["wk2"]);
    write(&folder, "a.json", &fewer);
    let withheld = once(&stack, &folder, &["--policy", "safe"], 2);
    assert_eq!(withheld.stdout, "a  behind\nb  in_step\n");
    let planned = events(&withheld).into_iter().find(|line| line["event"] == "planned");
    let planned = planned.expect("there is a plan");
    let why = planned["withheld"][0]["why"].as_str();
    assert_eq!((planned["stack"].as_str(), why), (Some("a"), Some("it is deleted")));
    assert!(planned["run"].is_string());
    once(&stack, &folder, &["--policy", "all"], 0);
    once(&stack, &folder, &[], 0);

    // What the spec does not consent to is refused, and says so, whatever the policy.
    write(&folder, "b.json", spec("b", &[]));
    let refused = once(&stack, &folder, &["--policy", "all"], 1);
    assert_eq!(refused.stdout, "a  in_step\nb  failed\n");
    assert!(refused.stderr.contains("allow_deletion"), "{}", refused.stderr);
}

#[test]
fn one_broken_stack_does_not_keep_the_others() {
    let stack = Stack::new(QUICK);
    let folder = folder(&stack);
    write(&folder, "bad.json", "{ \"apiVersion\": 7 }");
    write(&folder, "good.json", spec("good", &["wk1"]));
    let merged = json!({ "stacks": {
        "both": { "files": ["base.json", "more.json"] },
        "lost": { "files": ["nowhere.json"] },
    } });
    write(&folder, "reconcile.yaml", merged);
    write(&folder, "base.json", spec("both", &["wk1"]));
    write(&folder, "more.json", json!({ "workspaces": { "wk2": {} } }));
    let told = once(&stack, &folder, &["--policy", "all"], 1);
    assert_eq!(told.stdout, "bad   failed\nboth  in_step\ngood  in_step\nlost  failed\n");

    // A second spec of the same name would undo what the first does.
    write(&folder, "twin.json", spec("good", &["other"]));
    let told = once(&stack, &folder, &["--policy", "all"], 1);
    assert!(told.stderr.contains("both have the name `team-good`"), "{}", told.stderr);

    write(&folder, "reconcile.yaml", "polcy: all");
    let told = once(&stack, &folder, &[], 3);
    assert!(told.stderr.contains("did you mean `policy`"), "{}", told.stderr);
}

#[test]
fn a_checkout_is_pulled_before_it_is_looked_at() {
    let stack = Stack::new(QUICK);
    let (origin, checkout) = (folder(&stack), stack.folder.path().join("checkout"));
    let git = |folder: &Path, arguments: &[&str]| {
        let mut command = Command::new("git");
        command.arg("-C").arg(folder).args(["-c", "user.name=t", "-c", "user.email=t@example.com"]);
        command.env("GIT_CONFIG_GLOBAL", "/dev/null");
        command.args(arguments);
        finish(command).expect(0);
    };
    git(&origin, &["init", "--quiet"]);
    let commit = |name: &str| {
        write(&origin, &format!("{name}.json"), spec(name, &["wk1"]));
        git(&origin, &["add", "."]);
        git(&origin, &["commit", "--quiet", "-m", name]);
    };
    commit("a");
    let place = checkout.to_str().expect("a plain name");
    git(&origin, &["clone", "--quiet", ".", place]);
    commit("b");
    let round = |code| {
        let mut command =
            stack.command(&["reconcile", place, "--once", "--git", "--log-format", "json"]);
        command.env("PATH", "/usr/local/bin:/usr/bin:/bin").env("HOME", stack.folder.path());
        finish(command).expect(code)
    };
    let told = round(2);
    assert_eq!(told.stdout, "a  behind\nb  behind\n", "{}", told.stderr);
    // What is there is used when nothing can be pulled.
    fs::rename(&origin, stack.folder.path().join("moved")).expect("the folder is ours");
    let told = round(2);
    assert_eq!(told.stdout, "a  behind\nb  behind\n");
    assert!(events(&told).iter().any(|line| line["event"] == "pull_failed"), "{}", told.stderr);
}

/// The specs of the manifests, reconciled with the arguments of the manifests.
#[test]
fn the_kubernetes_manifests_work() {
    let text =
        fs::read_to_string(top().join("examples/reconcile/kubernetes.yaml")).expect("it is there");
    let objects: Vec<Value> = text.split("\n---\n").map(yaml).collect();
    let object = |kind: &str| {
        objects.iter().find(|object| object["kind"] == kind).unwrap_or_else(|| panic!("no {kind}"))
    };
    let deployment = object("Deployment");
    let pod = &deployment["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    assert_eq!(deployment["spec"]["replicas"], 2);
    assert_eq!(
        deployment["spec"]["selector"]["matchLabels"],
        deployment["spec"]["template"]["metadata"]["labels"]
    );
    assert_eq!(pod["serviceAccountName"], object("ServiceAccount")["metadata"]["name"]);
    let config = object("ConfigMap");
    assert_eq!(pod["volumes"][0]["configMap"]["name"], config["metadata"]["name"]);
    assert_eq!(container["volumeMounts"][0]["mountPath"], container["args"][1]);
    for (probe, path) in
        [("startupProbe", "/healthz"), ("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")]
    {
        assert_eq!(container[probe]["httpGet"]["path"], path);
        assert_eq!(container[probe]["httpGet"]["port"], container["ports"][0]["name"]);
    }

    let stack = Stack::new(QUICK);
    let folder = folder(&stack);
    for (name, text) in config["data"].as_object().expect("files") {
        write(&folder, name, text.as_str().expect("text"));
    }
    let arguments = container["args"].as_array().expect("arguments");
    let arguments: Vec<&str> = arguments.iter().map(|a| a.as_str().expect("text")).collect();
    let place = folder.to_str().expect("a plain name");
    let arguments = arguments.iter().map(|a| if *a == "/specs" { place } else { *a });
    stack.run(&arguments.chain(["--once"]).collect::<Vec<_>>(), 0);
}

#[test]
fn the_systemd_unit_is_one() {
    let unit = top().join("examples/reconcile/dbxctl-reconcile.service");
    let text = fs::read_to_string(unit).expect("it is there");
    let start = text.lines().find_map(|line| line.strip_prefix("ExecStart=")).expect("it starts");
    let mut words = start.split(' ');
    let program = words.next().expect("a program");

    let stack = Stack::new(QUICK);
    let folder = folder(&stack);
    let place = folder.to_str().expect("a plain name");
    let words = words.map(|w| if w == "/var/lib/dbxctl/specs" { place } else { w });
    stack.run(&words.filter(|w| *w != "--git").chain(["--once"]).collect::<Vec<_>>(), 0);

    let ours = folder.join("dbxctl-reconcile.service");
    let text = text.replace(program, binary("dbxctl").to_str().expect("a plain name"));
    fs::write(&ours, text).expect("the folder is ours");
    let mut verify = Command::new("systemd-analyze");
    verify.arg("verify").arg(&ours);
    match verify.output() {
        Ok(output) => {
            let told = String::from_utf8_lossy(&output.stderr);
            let about = told.lines().find(|line| line.contains("dbxctl-reconcile"));
            assert_eq!(about, None, "{told}");
        }
        Err(error) => tell(&format!("the unit is not verified: systemd-analyze: {error}")),
    }
}

fn yaml(text: &str) -> Value {
    let file = SourceFile::new("kubernetes.yaml", text);
    spec::document(&file, &json!({})).unwrap_or_else(|found| panic!("{found:#?}"))
}

#[expect(clippy::print_stderr, reason = "a check that was left out is told")]
fn tell(line: &str) {
    eprintln!("{line}");
}
