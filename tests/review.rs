//! What reviewers and other programs get of a plan: comments, JSON, Terraform's representation.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::clouds::{examples, finish, python, top};
use crate::sandbox::{Stack, spec};

/// The default of `--max-chars`, and the least of what the hosts take.
const BUDGETS: [usize; 2] = [65_000, 32_768];

fn comment(stack: &Stack, arguments: &[&str], code: i32) -> String {
    let arguments = [&["plan"], arguments, &["--format", "markdown"]].concat();
    let comment = stack.run(&arguments, code).stdout;
    whole(&comment);
    comment
}

/// Nothing is cut: every fence and every section ends, and every table has its columns.
#[track_caller]
fn whole(comment: &str) {
    assert!(comment.starts_with("<!-- dbxctl:"), "{comment}");
    let (mut fence, mut open, mut columns) = (None, 0, None);
    for line in comment.lines() {
        let ticks = line.chars().take_while(|letter| *letter == '`').count();
        match fence {
            Some(length) if ticks >= length && line.len() == ticks => fence = None,
            Some(_) => continue,
            None if ticks >= 3 => fence = Some(ticks),
            None => {}
        }
        open += i32::from(line.starts_with("<details"));
        open -= i32::from(line == "</details>");
        assert!((0..=1).contains(&open), "sections are not balanced at `{line}`:\n{comment}");
        let cells = line.starts_with('|').then(|| line.matches('|').count());
        assert!(columns.is_none() || cells.is_none() || columns == cells, "`{line}`:\n{comment}");
        columns = cells;
    }
    assert_eq!((fence, open), (None, 0), "{comment}");
}

/// Without what differs from run to run: ids of objects, the hash they go into, and durations.
fn settled(stack: &Stack, spec: &str, comment: &str) -> String {
    let mut text = comment.to_owned();
    let mut ids: Vec<(String, String)> = stack.list(spec);
    ids.sort_by_key(|(_, id)| std::cmp::Reverse(id.len()));
    for (address, id) in ids.iter().filter(|(_, id)| id.len() > 12 && !id.starts_with("scenario")) {
        let kind = address.split('/').next().unwrap_or_default();
        text = text.replace(id.as_str(), &format!("(id of {kind})"));
    }
    if let Some((before, after)) = text.split_once("\nPlan `") {
        let (_, after) = after.split_at(12);
        text = format!("{before}\nPlan `…{after}");
    }
    if let Some((before, after)) = text.split_once(" · about ") {
        let (_, after) = after.split_once("**").expect("the line is bold");
        text = format!("{before} · about …**{after}");
    }
    text.replace(&format!("{}/", stack.folder.path().display()), "")
}

/// Compares with the file of that name in `tests/comments`; `UPDATE_GOLDEN=1` writes what is shown now.
#[track_caller]
#[expect(clippy::disallowed_methods, reason = "the switch that writes what is compared")]
fn golden(name: &str, comment: &str) {
    let path = top().join("tests/comments").join(format!("{name}.md"));
    if std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1") {
        fs::create_dir_all(path.parent().expect("a folder")).expect("the folder is ours");
        fs::write(&path, comment).expect("the file is ours");
    }
    let wanted = fs::read_to_string(&path).unwrap_or_default();
    assert!(wanted == comment, "{name} is not as in {}:\n{comment}", path.display());
}

#[test]
fn a_first_creation_is_reviewed() {
    let stack = Stack::new("instant");
    let example = "examples/shared-vpc.yaml";
    let text = comment(&stack, &[example], 0);
    golden("first-creation", &settled(&stack, example, &text));
}

/// Changes the object of that kind that was written last in the simulated cloud, behind dbxctl's back.
fn meddle(stack: &Stack, kind: &str, was: &str, is: &str) {
    let path = stack.folder.path().join("sandbox/cloud.json");
    let mut cloud = fs::read_to_string(&path).expect("there is a cloud");
    let object = cloud.lines().rfind(|line| line.contains(&format!(r#""kind":"{kind}""#)));
    let changed = object.expect("there is one").replace(was, is);
    cloud += &format!("{changed}\n");
    fs::write(path, cloud).expect("the folder is ours");
}

/// The life of a stack, as its reviewers see it.
#[test]
fn changes_are_reviewed() {
    let stack = Stack::new("instant");
    let check = |name: &str, file: &str, arguments: &[&str], code: i32| {
        let text = comment(&stack, &[&[file], arguments].concat(), code);
        golden(name, &settled(&stack, file, &text));
    };
    let one = stack.write("one.json", &spec(&["wk1"]));
    stack.run(&["apply", &one, "--yes"], 0);
    let mut both = spec(&["wk1", "wk2"]);
    let two = stack.write("two.json", &both);
    check("workspace-added", &two, &[], 0);
    stack.run(&["apply", &two, "--yes"], 0);
    check("nothing-to-do", &two, &[], 0);
    check("no-drift", &two, &["--drift-only"], 0);
    let open = r#""ingress":[{"from":22,"peer":{"cidr":"0.0.0.0/0"},"protocol":"tcp","to":22},"#;
    meddle(&stack, "aws.security_group_rules", r#""ingress":["#, open);
    check("drift", &two, &["--drift-only"], 2);
    stack.run(&["apply", &two, "--yes"], 0);
    check("destroy", &two, &["--destroy"], 0);
    both["workspaces"]["wk1"]["subnets"] = json!({ "nodes_per_zone": 2000, "block": 1 });
    let moved = stack.write("moved.json", &both);
    check("subnets-replaced", &moved, &[], 0);
    both["vpcs"]["main"]["nat"] = json!("none");
    let closed = stack.write("closed.json", &both);
    check("refused", &closed, &[], 3);
}

/// However much there is to tell, a comment fits and is whole.
#[test]
fn sixty_workspaces_fit() {
    let stack = Stack::new("instant");
    let names: Vec<String> = (0..60).map(|number| format!("wk{number:02}")).collect();
    let mut sixty = spec(&names.iter().map(String::as_str).collect::<Vec<_>>());
    for name in &names {
        sixty["workspaces"][name]["subnets"] = json!({ "nodes_per_zone": 100 });
    }
    let file = stack.write("sixty.json", &sixty);
    for budget in BUDGETS {
        let text = comment(&stack, &[&file, "--max-chars", &budget.to_string()], 0);
        let length = text.chars().count();
        assert!((budget * 9 / 10..=budget).contains(&length), "{length} of {budget}");
        assert!(text.contains("\n**Shortened to fit.**"), "{text}");
        for name in &names {
            assert!(text.contains(name), "{name} is not told in {budget}");
        }
    }
}

/// A plan that destroys is saved, reviewed and carried out like any other.
#[test]
fn a_saved_plan_destroys() {
    let stack = Stack::new("instant");
    let file = stack.write("spec.json", &spec(&["wk1"]));
    stack.run(&["apply", &file, "--yes"], 0);
    let plan = stack.folder.path().join("plan.json");
    let plan = plan.to_str().expect("a plain name");
    let planned = stack.run(&["plan", &file, "--destroy", "--out", plan, "--detailed-exitcode"], 2);
    assert!(planned.stdout.contains("is deleted with what it holds"), "{}", planned.stdout);
    let told = stack.run(&["show", plan, "--format", "markdown"], 0).stdout;
    whole(&told);
    assert!(told.contains("\n> [!CAUTION]\n> **1 bucket and 1 workspace are deleted"), "{told}");
    stack.run(&["apply", plan], 0);
    assert_eq!(stack.list(&file), []);
    // Once carried out it is stale.
    stack.run(&["apply", plan], 5);
}

fn validator(name: &str) -> jsonschema::Validator {
    let text = fs::read_to_string(top().join("schemas").join(name)).expect("a schema");
    let schema: Value = serde_json::from_str(&text).expect("JSON");
    jsonschema::options().offline().build(&schema).expect("a schema")
}

/// Every shape of plan fits the schema.
#[test]
fn plans_fit_their_schema() {
    let validator = validator("plan.schema.json");
    let valid = |what: &str, text: &str| {
        let plan: Value = serde_json::from_str(text).expect("JSON");
        let wrong: Vec<String> = validator.iter_errors(&plan).map(|e| e.to_string()).collect();
        assert!(wrong.is_empty(), "{what}: {wrong:#?}");
    };
    for example in examples() {
        let stack = Stack::new("instant");
        let example = example.to_str().expect("a plain name");
        let planned = |options: &[&str], code: i32| {
            let arguments = [&["plan", example, "--format", "json"], options].concat();
            valid(&format!("{example} {options:?}"), &stack.run(&arguments, code).stdout);
        };
        planned(&[], 0);
        stack.run(&["apply", example, "--yes"], 0);
        planned(&[], 0);
        planned(&["--offline"], 0);
        planned(&["--destroy"], 0);
        planned(&["--drift-only"], 0);
    }
    let stack = Stack::new("instant");
    let mut both = spec(&["wk1", "wk2"]);
    let file = stack.write("spec.json", &both);
    stack.run(&["apply", &file, "--yes"], 0);
    both["tags"] = json!({ "owner": "somebody" });
    both["workspaces"]["wk1"]["subnets"] = json!({ "nodes_per_zone": 2000, "block": 1 });
    let file = stack.write("spec.json", &both);
    valid("changes", &stack.run(&["plan", &file, "--format", "json"], 0).stdout);
    assert!(!validator.is_valid(&json!({ "plan": {} })));
}

/// Saves a plan and reads it as Terraform would print it.
fn terraform(stack: &Stack, arguments: &[&str]) -> Value {
    let plan: PathBuf = stack.folder.path().join("plan.json");
    let plan = plan.to_str().expect("a plain name");
    stack.run(&[&["plan", "--out", plan], arguments].concat(), 0);
    let text = stack.run(&["show", plan, "--format", "terraform-json"], 0).stdout;
    serde_json::from_str(&text).expect("JSON")
}

fn actions(terraform: &Value, address: &str) -> Value {
    let changes = terraform["resource_changes"].as_array().expect("a list");
    let found = changes.iter().find(|change| change["address"] == address);
    found.map_or(Value::Null, |change| change["change"]["actions"].clone())
}

/// Policies that look at actions see them, also of what stays.
#[test]
fn terraform_sees_what_happens() {
    let stack = Stack::new("instant");
    let mut both = spec(&["wk1", "wk2"]);
    let file = stack.write("spec.json", &both);
    let first = terraform(&stack, &[&file]);
    assert_eq!(first["format_version"], "1.2");
    for change in first["resource_changes"].as_array().expect("a list") {
        assert_eq!(change["change"]["actions"], json!(["create"]), "{change}");
        assert_eq!(change["change"]["after_unknown"]["id"], true, "{change}");
    }
    assert_eq!(first["prior_state"]["values"]["root_module"]["resources"], json!([]));
    stack.run(&["apply", &file, "--yes"], 0);

    let same = terraform(&stack, &[&file]);
    let changes = same["resource_changes"].as_array().expect("a list");
    assert_eq!(changes.len(), first["resource_changes"].as_array().expect("a list").len());
    for change in changes {
        assert_eq!(change["change"]["actions"], json!(["no-op"]), "{change}");
        assert_eq!(change["change"]["after_unknown"], json!({}), "{change}");
    }
    let planned = &same["planned_values"]["root_module"]["resources"];
    assert_eq!(planned, &same["prior_state"]["values"]["root_module"]["resources"]);

    both["workspaces"]["wk1"]["subnets"] = json!({ "nodes_per_zone": 2000, "block": 1 });
    let file = stack.write("spec.json", &both);
    let moved = terraform(&stack, &[&file]);
    let subnet = actions(&moved, "aws_subnet.wk1_eu-central-1a");
    assert_eq!(subnet, json!(["create", "delete"]));
    assert_eq!(actions(&moved, "databricks_mws_workspaces.wk1"), json!(["update"]));
    assert_eq!(actions(&moved, "databricks_mws_workspaces.wk2"), json!(["no-op"]));

    let gone = terraform(&stack, &[&file, "--destroy"]);
    assert_eq!(actions(&gone, "aws_s3_bucket.wk1"), json!(["delete"]));
    assert_eq!(gone["planned_values"]["root_module"]["resources"], json!([]));

    // The state must be the one the plan was made from.
    let plan = stack.folder.path().join("plan.json");
    let plan = plan.to_str().expect("a plain name");
    stack.run(&["apply", &file, "--yes"], 0);
    stack.run(&["show", plan, "--format", "terraform-json"], 5);
}

/// What a policy written for Terraform denies of the plan.
fn denied(stack: &Stack, plan: &Value) -> Vec<String> {
    let file = stack.write("terraform.json", plan);
    let mut command = Command::new(python());
    let folder = top().join("tests/policy");
    command.arg("-B").args([folder.join("evaluate.py"), folder.join("terraform.rego")]).arg(file);
    let told = finish(command).expect(0).stdout;
    serde_json::from_str(&told).expect("a list of words")
}

/// A policy engine that knows nothing of dbxctl reads its plans as Terraform's.
#[test]
fn policies_for_terraform_work_unmodified() {
    for example in ["closed-network", "shared-vpc", "managed-vpc"] {
        let stack = Stack::new("instant");
        let file = format!("examples/{example}.yaml");
        let wanted: &[&str] = match example {
            "managed-vpc" => &["databricks_mws_workspaces.wk1 has a network that Databricks makes"],
            _ => &[],
        };
        assert_eq!(denied(&stack, &terraform(&stack, &[&file])), wanted, "{example}");
    }
    let stack = Stack::new("instant");
    let file = stack.write("spec.json", &spec(&["wk1"]));
    stack.run(&["apply", &file, "--yes"], 0);
    assert_eq!(denied(&stack, &terraform(&stack, &[&file])), [""; 0]);
    let gone = denied(&stack, &terraform(&stack, &[&file, "--destroy"]));
    let wanted =
        ["aws_s3_bucket.wk1 would be deleted", "databricks_mws_workspaces.wk1 would be deleted"];
    assert_eq!(gone, wanted);
}
