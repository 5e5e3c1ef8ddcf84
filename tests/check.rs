//! `dbxctl check`, and what it means for `plan` and `apply`.

use serde_json::{Value, json};

use crate::clouds::{examples, top};
use crate::sandbox::{Stack, spec};

/// A workspace without a way to its metastore.
fn broken() -> Value {
    let mut spec = spec(&["wk1"]);
    spec["vpcs"]["main"]["nat"] = json!("none");
    spec
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Every example is free of errors, and what machines read of it fits the schema.
#[test]
fn examples_are_checked() {
    let schema = std::fs::read_to_string(top().join("schemas/check.schema.json"));
    let schema = parsed(&schema.expect("a schema"));
    let validator = jsonschema::options().offline().build(&schema).expect("a schema");
    let stack = Stack::new("instant");
    for example in examples() {
        let example = example.to_str().expect("a plain name");
        let answer = parsed(&stack.run(&["check", example, "--format", "json"], 0).stdout);
        let wrong: Vec<String> = validator.iter_errors(&answer).map(|e| e.to_string()).collect();
        assert!(wrong.is_empty(), "{example}: {wrong:#?}");
        let log = parsed(&stack.run(&["check", example, "--format", "sarif"], 0).stdout);
        assert_eq!(log["version"], "2.1.0", "{example}");
        let human = stack.run(&["check", example, "--details", "all", "--info"], 0).stdout;
        assert!(human.contains("check: no errors"), "{example}: {human}");
    }
}

/// An error stops `plan` and `apply` before anything is touched, and says where and why.
#[test]
fn what_would_not_work_is_not_planned() {
    let stack = Stack::new("instant");
    let path = stack.write("spec.json", &broken());
    let answer = parsed(&stack.run(&["check", &path, "--format", "json"], 3).stdout);
    let error = &answer["findings"][0];
    assert_eq!(error["rule"], "DBX-RTE-008", "{answer:#}");
    assert!(error["at"]["line"].is_u64(), "{error}");
    for command in [&["plan"][..], &["plan", "--offline"], &["apply", "--yes"]] {
        let told = stack.run(&[command, &[&path]].concat(), 3).stderr;
        assert!(told.contains("error[DBX-RTE-008]") && told.contains("spec.json:1:"), "{told}");
        assert!(told.contains("users would see") && told.contains("help: "), "{told}");
    }
    let left: Vec<_> = std::fs::read_dir(stack.folder.path()).expect("it is ours").collect();
    assert_eq!(left.len(), 1, "only the spec is there: {left:?}");
    // To look for drift and to tear down, no network has to work.
    stack.run(&["plan", &path, "--drift-only"], 0);
    stack.run(&["destroy", &path, "--yes"], 0);
}

/// What the spec accepts is in the plan, also in a saved one, with the reason.
#[test]
fn what_is_accepted_is_in_the_plan() {
    let stack = Stack::new("instant");
    let mut spec = broken();
    spec["accept"] = json!({ "DBX-RTE-008": "nobody uses it", "DBX-RTE-009": "nobody breaks it" });
    let path = stack.write("spec.json", &spec);
    let plan = stack.folder.path().join("plan.json");
    let plan = plan.to_str().expect("a plain name");
    let planned = stack.run(&["plan", &path, "--out", plan], 0);
    assert!(planned.stderr.contains("1 accepted; see `dbxctl check`"), "{}", planned.stderr);
    let told = "      because nobody uses it\n";
    assert!(planned.stdout.contains(told), "{}", planned.stdout);
    assert!(stack.run(&["show", plan], 0).stdout.contains(told));
    let saved = parsed(&std::fs::read_to_string(plan).expect("it was saved"));
    let [accepted] = saved["checked"]["accepted"].as_array().expect("a list").as_slice() else {
        panic!("{saved:#}")
    };
    assert_eq!(
        (&accepted["rule"], &accepted["severity"]),
        (&json!("DBX-RTE-008"), &json!("error"))
    );
    stack.run(&["apply", plan], 0);
    assert!(stack.run(&["plan", &path], 0).stdout.starts_with("No changes."));
    let shown = stack.run(&["check", &path, "--info"], 0).stdout;
    assert!(shown.contains("accepted error DBX-RTE-008"), "{shown}");
    assert!(shown.contains("info DBX-CHK-002"), "{shown}");
}

/// A plan that moves nodes tells how many there is room for, now and then.
#[test]
fn a_plan_tells_how_much_room_there_will_be() {
    let stack = Stack::new("instant");
    let small = stack.write("small.json", &spec(&["wk1"]));
    assert!(!stack.run(&["plan", &small], 0).stdout.contains("room:"), "there is nothing yet");
    stack.run(&["apply", &small, "--yes"], 0);
    let mut large = spec(&["wk1", "wk2"]);
    large["workspaces"]["wk1"]["subnets"] = json!({ "nodes_per_zone": 2000, "block": 1 });
    let large = stack.write("large.json", &large);
    let told = "room: wk1 has room for 1018 nodes now and for 4090 then\n";
    let plan = stack.run(&["plan", &large], 0).stdout;
    assert!(plan.contains(told) && !plan.contains("room: wk2"), "{plan}");
    stack.run(&["apply", &large, "--yes"], 0);
    assert!(stack.run(&["plan", &large], 0).stdout.starts_with("No changes."));
}

/// What the spec requires is proven or refused.
#[test]
fn what_is_required_is_proven() {
    let stack = Stack::new("instant");
    let mut open = spec(&["wk1"]);
    open["requirements"] = json!({ "reach": ["relay", "pypi.org:443"] });
    let path = stack.write("spec.json", &open);
    stack.run(&["check", &path], 0);
    open["requirements"]["internet"] = json!("forbidden");
    let path = stack.write("spec.json", &open);
    let told = stack.run(&["check", &path], 3).stdout;
    assert!(told.contains("error DBX-REQ-001") && told.contains("error DBX-REQ-002"), "{told}");
}
