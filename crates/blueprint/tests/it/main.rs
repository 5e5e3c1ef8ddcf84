//! Spec to graph: what each example asks for, and what holds for all of them.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use dbxctl_blueprint as blueprint;
use engine::{Graph, Role};
use serde_json::{Value, json};
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

/// What a role is called also stands in the permission to pass it on.
#[test]
fn a_labelled_role_keeps_its_name_when_its_workspace_is_renamed() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/customer-vpc.yaml");
    let text = std::fs::read_to_string(file).expect("a readable example");
    let mut spec = parse("customer-vpc", &text);
    let (first, workspace) = spec.workspaces.pop_first().expect("a workspace");
    let profile = workspace.instance_profiles.keys().next().expect("an instance profile").clone();
    spec.workspaces.insert("renamed".to_owned(), workspace);
    spec.moved.workspaces.insert(first, "renamed".to_owned());
    let address = format!("aws.role/renamed.node-{profile}");
    let label = spec::Label { name: Some("chosen".to_owned()), ..spec::Label::default() };
    spec.labels.insert(address.clone(), label);
    let graph = blueprint::expand(&spec);
    let Role::Managed { props } = &graph.nodes[&engine::Address::from(address)].role else {
        panic!("it is ours");
    };
    assert_eq!(props["name"], "chosen");
    let policies =
        serde_json::to_string(&graph.nodes.values().map(|n| format!("{n:?}")).collect::<Vec<_>>());
    assert!(policies.expect("text").contains(":role/chosen"), "it may be passed on");
}

#[test]
fn the_order_of_maps_does_not_matter() {
    for (name, spec) in examples() {
        let json = serde_json::to_value(&spec).expect("a spec is plain data");
        let other: Spec = serde_json::from_value(reversed(&json)).expect("the same spec");
        let bytes = |spec| serde_json::to_string(&blueprint::expand(spec)).expect("plain data");
        assert_eq!(bytes(&spec), bytes(&other), "{name}");
    }
}

fn reversed(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            fields.iter().rev().map(|(k, v)| (k.clone(), reversed(v))).collect()
        }
        Value::Array(items) => items.iter().map(reversed).collect(),
        other => other.clone(),
    }
}

/// One change to an example that makes no sense, and where that is told.
#[test]
fn mistakes_are_told_where_they_are() {
    let table = [
        ("closed-network", "/region", json!("ap-northeast-9"), "/region"),
        ("closed-network", "/workspaces/wk1/vpc", json!("close"), "/workspaces/wk1/vpc"),
        ("closed-network", "/workspaces/wk1/tier", json!("premium"), "/workspaces/wk1/tier"),
        (
            "closed-network",
            "/vpcs/closed/private_link/frontend",
            json!(false),
            "/workspaces/wk1/public_access",
        ),
        (
            "closed-network",
            "/vpcs/closed/private_link/backend",
            json!(false),
            "/workspaces/wk1/public_access",
        ),
        ("closed-network", "/vpcs/closed/endpoints", json!(["s3", "sts"]), "/workspaces/wk1"),
        ("closed-network", "/vpcs/closed/cidr", json!("10.0.0.1/16"), "/vpcs/closed/cidr"),
        ("closed-network", "/vpcs/closed/cidr", json!("172.17.0.0/16"), "/vpcs/closed/cidr"),
        (
            "closed-network",
            "/vpcs/closed/zones",
            json!(["ap-northeast-1a", "eu-west-1a"]),
            "/vpcs/closed/zones/1",
        ),
        (
            "closed-network",
            "/workspaces/wk1/storage/bucket",
            json!("has.dots"),
            "/workspaces/wk1/storage/bucket",
        ),
        (
            "closed-network",
            "/workspaces/wk1/subnets",
            json!({"nodes_per_zone": 20000}),
            "/workspaces/wk1/subnets",
        ),
        (
            "closed-network",
            "/workspaces/wk1/private_access",
            json!({"level": "endpoint"}),
            "/workspaces/wk1/private_access/level",
        ),
        (
            "shared-vpc",
            "/workspaces/wk2/storage/bucket",
            json!("shared-vpc-wk1-root"),
            "/workspaces/wk2/storage/bucket",
        ),
        (
            "shared-vpc",
            "/credentials/databricks",
            json!({"policy": "restricted"}),
            "/credentials/databricks/policy",
        ),
        (
            "shared-vpc",
            "/workspaces/wk2/subnets",
            json!({"share": "wk1"}),
            "/workspaces/wk2/subnets/share",
        ),
        (
            "mixed",
            "/workspaces/lab/subnets",
            json!({"prefix": "/22", "block": 0}),
            "/workspaces/lab/subnets",
        ),
        (
            "mixed",
            "/workspaces/secure/subnets/cidrs/ap-northeast-1a",
            json!("10.1.0.0/22"),
            "/workspaces/secure/subnets/cidrs/ap-northeast-1a",
        ),
        (
            "managed-vpc",
            "/workspaces/wk1/public_access",
            json!(false),
            "/workspaces/wk1/public_access",
        ),
        ("peering", "/peerings/kafka/to/cidr", json!("10.0.0.0/8"), "/peerings/kafka/to/cidr"),
    ];
    let examples: std::collections::BTreeMap<_, _> = examples().into_iter().collect();
    for (example, place, value, told) in table {
        let mut json = serde_json::to_value(&examples[example]).expect("a spec is plain data");
        let (inside, field) = place.rsplit_once('/').expect("a pointer");
        let inside = json.pointer_mut(inside).and_then(Value::as_object_mut);
        inside.expect("a map").insert(field.to_owned(), value);
        let spec: Spec = serde_json::from_value(json).expect("well formed");
        let mut found: Vec<String> = spec::check(&spec).into_iter().map(|m| m.pointer).collect();
        found.extend(blueprint::mistakes(&spec).into_iter().map(|m| m.pointer));
        assert!(found.contains(&told.to_owned()), "{example} {place}: {found:?}");
        // Nothing panics, whatever was told.
        assert_eq!(blueprint::expand(&spec).stack, spec.name);
    }
}

/// The gallery of what is well formed and has no place: `tests/bad-specs/placement`.
///
/// `UPDATE_GOLDEN=1` writes what is shown now.
#[test]
fn misplaced_specs_are_explained() {
    #[expect(clippy::disallowed_methods, reason = "the switch of whoever runs the test")]
    let update = std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/bad-specs/placement");
    let files = std::fs::read_dir(&folder).expect("the gallery");
    let mut cases: Vec<PathBuf> = files.map(|f| f.expect("a folder entry").path()).collect();
    cases.retain(|case| case.extension().is_some_and(|e| e == "yaml"));
    cases.sort();
    assert!(cases.len() >= 10, "{} cases", cases.len());
    let mut wrong = Vec::new();
    for case in cases {
        let name = case.file_name().expect("a name").to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&case).expect("a readable case");
        let files = [SourceFile { name: name.clone(), text }];
        let loaded = match spec::load(&files, &|_| None) {
            Ok(loaded) => loaded,
            Err(early) => {
                let early = spec::render(&early, &files, false, 100);
                wrong.push(format!("{name}: this is told before any place is looked for\n{early}"));
                continue;
            }
        };
        let found = loaded.explain(blueprint::mistakes(&loaded.spec));
        if !found.iter().any(spec::Diagnostic::is_error) {
            wrong.push(format!("{name}: nothing was found wrong with it"));
        }
        for mistake in found.iter().filter(|mistake| mistake.help.is_none()) {
            wrong.push(format!("{name}: `{}` does not say what to do", mistake.message));
        }
        let shown = spec::render(&found, &files, false, 100);
        let golden = case.with_extension("txt");
        if update {
            std::fs::write(&golden, &shown).expect("a writable gallery");
            continue;
        }
        match std::fs::read_to_string(&golden) {
            Ok(expected) if expected == shown => {}
            Ok(expected) => {
                wrong.push(format!("{name}:\n--- expected\n{expected}--- shown\n{shown}"));
            }
            Err(_) => wrong.push(format!("{name}: {} is missing", golden.display())),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
