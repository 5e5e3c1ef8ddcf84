//! Spec to graph: what each example asks for, and what holds for all of them.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use dbxctl_blueprint as blueprint;
use engine::{Graph, Role};
use serde_json::Value;
use spec::{SourceFile, Spec};

/// All examples, in order.
fn examples() -> Vec<(String, Spec)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let files = std::fs::read_dir(&folder).expect("the folder of the examples");
    let mut files: Vec<PathBuf> = files.map(|f| f.expect("a folder entry").path()).collect();
    files.retain(|f| f.extension().is_some_and(|e| e == "yaml"));
    files.sort();
    assert!(!files.is_empty());
    let named = files.iter().map(|file| {
        let name = file.file_stem().expect("a file name").to_string_lossy().into_owned();
        let text = std::fs::read_to_string(file).expect("a readable example");
        (name.clone(), parse(&name, &text))
    });
    named.collect()
}

fn parse(name: &str, text: &str) -> Spec {
    let file = SourceFile { name: name.to_owned(), text: text.to_owned() };
    let loaded =
        spec::load(&[file], &|_| None).unwrap_or_else(|wrong| panic!("{name}: {wrong:#?}"));
    assert!(loaded.warnings.is_empty(), "{name}: {:#?}", loaded.warnings);
    loaded.spec
}

/// One line per resource, then what it needs and its props, sets and long policies shortened.
fn text(graph: &Graph) -> String {
    let mut text = String::new();
    for (address, node) in &graph.nodes {
        match &node.role {
            Role::Managed { props } => {
                writeln!(text, "{address}").expect("text");
                for (field, value) in props.as_object().expect("props are an object") {
                    if field != "tags" {
                        writeln!(text, "  {field}: {}", short(value)).expect("text");
                    }
                }
            }
            Role::Used { id, expect, .. } => {
                writeln!(text, "{address} = {id} (used)").expect("text");
                for e in expect {
                    writeln!(text, "  {} must be {}", e.field, short(&e.equals)).expect("text");
                }
            }
        }
        for after in &node.after {
            writeln!(text, "  after {after}").expect("text");
        }
    }
    text
}

fn short(value: &Value) -> String {
    if let Some(output) = engine::as_output(value) {
        return format!("<{} {}>", output.address, output.field);
    }
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) if items.len() > 12 => format!("[{} items]", items.len()),
        Value::Array(items) => {
            format!("[{}]", items.iter().map(short).collect::<Vec<_>>().join(", "))
        }
        Value::Object(fields) => {
            let fields = fields.iter().filter(|(_, value)| !value.is_null());
            let fields: Vec<_> = fields.map(|(k, v)| format!("{k}: {}", short(v))).collect();
            format!("{{{}}}", fields.join(", "))
        }
        other => other.to_string(),
    }
}

#[test]
fn examples_have_no_mistakes() {
    for (name, spec) in examples() {
        let found = (spec::check(&spec), blueprint::mistakes(&spec));
        assert_eq!(found, (vec![], vec![]), "{name}");
    }
}

#[test]
fn graphs_of_the_examples() {
    for (name, spec) in examples() {
        insta::assert_snapshot!(name, text(&blueprint::expand(&spec)));
    }
}

#[test]
fn graphs_are_complete_and_without_circles() {
    for (name, spec) in examples() {
        assert_eq!(blueprint::expand(&spec).check(), Ok(()), "{name}");
    }
}

/// Adding a workspace leaves everything but what is shared as it was.
#[test]
fn a_neighbour_moves_nothing() {
    for (name, spec) in examples() {
        let before = blueprint::expand(&spec);
        let mut more = spec.clone();
        let Some(first) = spec.workspaces.values().next() else { continue };
        let mut neighbour = first.clone();
        neighbour.storage = spec::Storage::default();
        neighbour.subnets = None;
        more.workspaces.insert("neighbour".to_owned(), neighbour);
        let after = blueprint::expand(&more);
        for (address, node) in &before.nodes {
            if matches!(node.group, engine::Group::Workspace(_)) {
                assert_eq!(after.nodes.get(address), Some(node), "{name}: {address}");
            }
        }
    }
}
