//! What is remembered: lost and rebuilt, renamed, forgotten.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};

use crate::clouds::examples;
use crate::sandbox::{Stack, objects, spec};

fn lose_state(stack: &Stack) {
    for entry in fs::read_dir(stack.folder.path().join("sandbox")).expect("there is a sandbox") {
        let path = entry.expect("it can be read").path();
        if !path.ends_with("cloud.json") {
            fs::remove_file(path).expect("the folder is ours");
        }
    }
}

/// Ids without addresses: what exists, whatever it is called here.
fn ids(stack: &Stack, spec: &str) -> BTreeSet<String> {
    stack.list(spec).into_iter().map(|(_, id)| id).collect()
}

fn steps(stack: &Stack, spec: &str) -> Vec<Value> {
    let text = stack.run(&["plan", spec, "--format", "json"], 0).stdout;
    let plan: Value = serde_json::from_str(&text).expect("a plan is JSON");
    plan["plan"]["steps"].as_array().expect("steps").clone()
}

#[test]
fn a_lost_state_is_rebuilt_from_marks_and_names() {
    for example in examples() {
        let stack = Stack::new("instant");
        let spec = example.to_str().expect("a plain name");
        stack.run(&["apply", spec, "--yes"], 0);
        let before = stack.list(spec);
        lose_state(&stack);
        stack.run(&["state", "rebuild", spec], 0);
        assert_eq!(stack.list(spec), before, "{spec}");
        stack.run(&["plan", spec, "--detailed-exitcode"], 0);
        // Nothing is lost: there is nothing to do.
        let again = stack.run(&["state", "rebuild", spec], 0).stdout;
        assert!(again.starts_with("0 resources"), "{again}");
        stack.run(&["destroy", spec, "--yes"], 0);
    }
}

/// A replacement has another name than the spec gives; the state is not the only one to know it.
#[test]
fn replaced_objects_are_found_again_by_their_later_names() {
    let stack = Stack::new("instant");
    let small = stack.write("small.json", &spec(&["wk1"]));
    stack.run(&["apply", &small, "--yes"], 0);
    for (name, nodes, block) in [("large.json", 2000, 1), ("smaller.json", 1000, 5)] {
        let mut large = spec(&["wk1"]);
        large["workspaces"]["wk1"]["subnets"] = json!({ "nodes_per_zone": nodes, "block": block });
        let large = stack.write(name, &large);
        stack.run(&["apply", &large, "--yes"], 0);
        let before = stack.list(&large);
        lose_state(&stack);
        stack.run(&["state", "rebuild", &large], 0);
        assert_eq!(stack.list(&large), before);
        stack.run(&["plan", &large, "--detailed-exitcode"], 0);
    }
}

/// Somebody else's object under a name we would use is not ours because the state is lost.
#[test]
fn half_a_state_is_completed_and_what_is_gone_is_made() {
    let stack = Stack::new("instant");
    let file = stack.write("spec.json", &spec(&["wk1"]));
    stack.run(&["apply", &file, "--yes"], 0);
    let before = ids(&stack, &file);
    stack.run(&["state", "forget", "aws.vpc/main", "databricks.network/wk1", "--spec", &file], 0);
    let rebuilt = stack.run(&["state", "rebuild", &file], 0).stdout;
    assert!(rebuilt.starts_with("2 resources"), "{rebuilt}");
    assert_eq!(ids(&stack, &file), before);
    stack.run(&["plan", &file, "--detailed-exitcode"], 0);
}

/// Other names in the spec, the same objects in the clouds.
#[test]
fn renames_keep_every_object() {
    let stack = Stack::new("instant");
    let file = stack.write("spec.json", &spec(&["wk1", "wk2"]));
    stack.run(&["apply", &file, "--yes"], 0);
    let (before, cloud) = (ids(&stack, &file), objects(&stack).len());

    // Without a word it would be another workspace, which nobody may put in its place.
    let mut renamed = spec(&["wk1", "analytics"]);
    let silent = stack.write("silent.json", &renamed);
    stack.run(&["plan", &silent], 3);

    renamed["moved"] = json!({ "workspaces": { "wk2": "analytics" } });
    let once = stack.write("once.json", &renamed);
    let mut twice = spec(&["wk1", "bi"]);
    twice["vpcs"]["core"] = twice["vpcs"]["main"].take();
    twice["vpcs"].as_object_mut().expect("a map").remove("main");
    for name in ["wk1", "bi"] {
        twice["workspaces"][name]["vpc"] = json!("core");
    }
    twice["moved"] = json!({
        "workspaces": { "wk2": "analytics", "analytics": "bi" },
        "vpcs": { "main": "core" },
    });
    let twice = stack.write("twice.json", &twice);
    for (file, address) in [(&once, "databricks.workspace/analytics"), (&twice, "aws.vpc/core")] {
        stack.run(&["plan", file, "--detailed-exitcode"], 2);
        let made: Vec<_> =
            steps(&stack, file).into_iter().filter(|s| s["action"] != "update").collect();
        assert_eq!(made, Vec::<Value>::new());
        stack.run(&["apply", file, "--yes"], 0);
        stack.run(&["plan", file, "--detailed-exitcode"], 0);
        assert!(stack.list(file).iter().any(|(a, _)| a == address), "{address}");
        assert_eq!(ids(&stack, file), before);
        lose_state(&stack);
        stack.run(&["state", "rebuild", file], 0);
        assert_eq!(ids(&stack, file), before);
        stack.run(&["plan", file, "--detailed-exitcode"], 0);
    }
    assert_eq!(objects(&stack).len(), cloud);
    stack.run(&["destroy", &twice, "--yes"], 0);
    assert_eq!(objects(&stack), Vec::<String>::new());
}

/// A state that still has the former names can be lost as well.
#[test]
fn what_was_renamed_is_found_by_its_former_marks() {
    let stack = Stack::new("instant");
    let file = stack.write("spec.json", &spec(&["wk1"]));
    stack.run(&["apply", &file, "--yes"], 0);
    let before = ids(&stack, &file);
    lose_state(&stack);
    let mut renamed = spec(&["analytics"]);
    renamed["moved"] = json!({ "workspaces": { "wk1": "analytics" } });
    let renamed = stack.write("renamed.json", &renamed);
    stack.run(&["state", "rebuild", &renamed], 0);
    assert_eq!(ids(&stack, &renamed), before);
    stack.run(&["apply", &renamed, "--yes"], 0);
    stack.run(&["plan", &renamed, "--detailed-exitcode"], 0);
    assert_eq!(ids(&stack, &renamed), before);
}

#[test]
fn what_is_forgotten_stays() {
    let stack = Stack::new("instant");
    let both = stack.write("both.json", &spec(&["wk1", "wk2"]));
    stack.run(&["apply", &both, "--yes"], 0);
    let workspace = |list: Vec<(String, String)>| {
        list.into_iter().filter(|(a, _)| a.contains("/wk2")).collect::<Vec<_>>()
    };
    let theirs = workspace(stack.list(&both)).len();
    let mut one = spec(&["wk1"]);
    one["forget"] = json!({ "workspaces": ["wk2"] });
    let one = stack.write("one.json", &one);
    let plan = stack.run(&["plan", &one, "--detailed-exitcode"], 2).stdout;
    assert!(plan.contains("forgotten, but not deleted"), "{plan}");
    let cloud = objects(&stack).len();
    stack.run(&["apply", &one, "--yes"], 0);
    assert_eq!(workspace(stack.list(&one)), []);
    assert_eq!(objects(&stack).len(), cloud);
    stack.run(&["plan", &one, "--detailed-exitcode"], 0);
    assert!(theirs > 5);
}

#[test]
fn addresses_are_moved_and_forgotten_by_hand() {
    let stack = Stack::new("instant");
    let file = stack.write("spec.json", &spec(&["wk1"]));
    stack.run(&["apply", &file, "--yes"], 0);
    let before = stack.list(&file);
    let state =
        |words: &[&str], code| stack.run(&[&["state"], words, &["--spec", &file]].concat(), code);
    state(&["mv", "aws.vpc/main", "aws.subnet/main"], 1);
    state(&["mv", "aws.vpc/other", "aws.vpc/main"], 1);
    state(&["mv", "aws.subnet/wk1.eu-central-1a", "aws.subnet/wk1.eu-central-1b"], 1);
    assert_eq!(stack.list(&file), before);
    state(&["mv", "aws.vpc/main", "aws.vpc/other"], 0);
    state(&["mv", "aws.vpc/other", "aws.vpc/main"], 0);
    assert_eq!(stack.list(&file), before);
    stack.run(&["plan", &file, "--detailed-exitcode"], 0);
    state(&["forget", "aws.vpc/main", "aws.vpc/nobody"], 1);
    assert_eq!(stack.list(&file), before);
    state(&["forget", "aws.vpc/main"], 0);
    assert_eq!(stack.list(&file).len(), before.len() - 1);
}

#[test]
fn a_stack_does_not_move_to_another_place() {
    let stack = Stack::new("instant");
    let here = stack.write("here.json", &spec(&[]));
    stack.run(&["apply", &here, "--yes"], 0);
    let before = ids(&stack, &here);
    for (part, field, place) in [
        ("aws", "account", "444455556666"),
        ("databricks", "account", "0f0e0d0c-0b0a-0908-0706-050403020100"),
    ] {
        let mut elsewhere = spec(&[]);
        elsewhere[part][field] = json!(place);
        let elsewhere = stack.write("elsewhere.json", &elsewhere);
        for command in ["plan", "apply", "destroy"] {
            let said = stack.run(&[command, &elsewhere], 3).stderr;
            assert!(said.contains("the spec asks for") && said.contains(place), "{said}");
        }
    }
    assert_eq!(ids(&stack, &here), before);
    stack.run(&["destroy", &here, "--yes"], 0);
}
