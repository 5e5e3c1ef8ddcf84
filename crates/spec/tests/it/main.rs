//! The gallery of bad specs (`tests/bad-specs`), and properties of the reader.

use std::{fs, path::PathBuf};

use dbxctl_spec::{SourceFile, load, render};
use proptest::prelude::*;

/// The environment of the gallery: one variable is set, and its value must never be printed.
fn env(name: &str) -> Option<String> {
    match name {
        "SECRET" => Some("hunter2-do-not-print".into()),
        "ACCOUNT_ID" => Some("01234567-89ab-cdef-0123-456789abcdef".into()),
        _ => None,
    }
}

fn gallery() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/bad-specs"))
}

/// What the user sees for these files.
fn shown(files: &[SourceFile]) -> String {
    let found = match load(files, &env) {
        Ok(loaded) => loaded.warnings,
        Err(problems) => problems,
    };
    render(&found, files, false, 100)
}

/// A case is one file, or a folder of files that are merged in the order of their names.
fn sources(path: &PathBuf) -> Vec<SourceFile> {
    let mut files = if path.is_dir() {
        let entries = fs::read_dir(path).expect("a readable folder");
        entries.map(|entry| entry.expect("an entry").path()).collect()
    } else {
        vec![path.clone()]
    };
    files.sort();
    let read = |file: &PathBuf| {
        let name = file.file_name().expect("a name").to_string_lossy();
        SourceFile::new(name, fs::read_to_string(file).expect("text"))
    };
    files.iter().map(read).collect()
}

#[test]
fn bad_specs_are_explained() {
    #[expect(clippy::disallowed_methods, reason = "the switch of whoever runs the test")]
    let update = std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1");
    let entries = fs::read_dir(gallery()).expect("the gallery");
    let mut cases: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    cases.retain(|path| path.extension().is_none_or(|ending| ending != "txt"));
    // Well formed: what is wrong there is told by the blueprint, whose test it is.
    cases.retain(|path| !path.ends_with("placement"));
    cases.sort();
    assert!(cases.len() >= 40, "{} cases", cases.len());
    let mut wrong = Vec::new();
    for case in cases {
        let shown = shown(&sources(&case));
        let golden = case.with_extension("txt");
        let name = case.file_name().expect("a name").to_string_lossy().into_owned();
        if shown.is_empty() {
            wrong.push(format!("{name}: nothing was found wrong with it"));
        }
        if shown.contains("hunter2") {
            wrong.push(format!("{name}: a value from the environment was printed"));
        }
        for problem in shown.split("\n\n").filter(|problem| !problem.contains("= help: ")) {
            wrong.push(format!("{name}: does not say what to do:\n{problem}"));
        }
        if update {
            fs::write(&golden, &shown).expect("a writable gallery");
        } else {
            match fs::read_to_string(&golden) {
                Ok(expected) if expected == shown => {}
                Ok(expected) => {
                    wrong.push(format!("{name}:\n--- expected\n{expected}--- shown\n{shown}"));
                }
                Err(_) => wrong.push(format!("{name}: {} is missing", golden.display())),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

const GOOD: &str = r#"apiVersion: dbxctl/v1
name: analytics
region: ap-northeast-1
aws: { account: "111122223333" }
databricks: { account: 01234567-89ab-cdef-0123-456789abcdef }
tags: { owner: data-platform }
vpcs:
  shared:
    cidr: 10.0.0.0/16
    zones: [ap-northeast-1a, ap-northeast-1c]
workspaces:
  wk1:
    vpc: shared
    subnets: { prefix: /20 }
  wk2:
    vpc: shared
"#;

fn good(text: &str) -> dbxctl_spec::Loaded {
    let files = [SourceFile::new("good.yaml", text)];
    load(&files, &env)
        .unwrap_or_else(|problems| panic!("{}", render(&problems, &files, false, 100)))
}

#[test]
fn one_language_in_several_notations() {
    let want = good(GOOD).spec;
    let anchors = GOOD
        .replace("  wk1:\n    vpc: shared\n", "  wk1:\n    <<: &base { vpc: shared }\n")
        .replace("  wk2:\n    vpc: shared\n", "  wk2: *base\n");
    let json = serde_json::to_string_pretty(&want).expect("a spec is JSON");
    let escaped = json.replace("analytics", "\\u0061nalytics");
    let from_env = GOOD.replace("01234567-89ab-cdef-0123-456789abcdef", "\"${env:ACCOUNT_ID}\"");
    for (notation, text) in [
        ("byte-order mark", format!("\u{feff}{GOOD}")),
        ("windows line ends", GOOD.replace('\n', "\r\n")),
        ("document marks", format!("---\n{GOOD}...\n")),
        ("anchors and merge keys", anchors),
        ("JSON", json.clone()),
        ("JSON for an editor", json.replacen('{', "{\"$schema\": \"spec.schema.json\",", 1)),
        ("JSON with escapes", escaped),
        ("substitution", from_env),
    ] {
        assert_eq!(good(&text).spec, want, "{notation}");
    }
}

#[test]
fn later_files_win_and_keep_their_places() {
    let files = [
        SourceFile::new("base.yaml", GOOD),
        SourceFile::new(
            "prod.yaml",
            "tags: { owner: prod }\nworkspaces:\n  wk3: { vpc: shared }\n",
        ),
    ];
    let loaded = load(&files, &env).expect("a good spec");
    assert_eq!(loaded.spec.tags["owner"], "prod");
    assert_eq!(loaded.spec.workspaces.len(), 3);
    for (pointer, want) in [
        ("/tags/owner", "prod.yaml:1:16"),
        ("/workspaces/wk3/vpc", "prod.yaml:3:15"),
        ("/workspaces/wk1/vpc", "base.yaml:13:10"),
        ("/vpcs/shared/zones/1", "base.yaml:10:30"),
        // A default stands nowhere: its owner's key does.
        ("/workspaces/wk1/storage/bucket", "base.yaml:12:3"),
        ("/vpcs/shared", "base.yaml:8:3"),
    ] {
        let found = loaded.places.find(pointer).map(|place| place.to_string());
        assert_eq!(found.as_deref(), Some(want), "{pointer}");
    }
}

#[test]
fn an_effective_spec_is_a_spec() {
    let effective = good(GOOD).spec.effective();
    let text = serde_json::to_string_pretty(&effective).expect("a spec is JSON");
    assert_eq!(good(&text).spec, effective);
}

/// The pointers of all values that hold no others.
fn leaves(value: &serde_json::Value, at: &str, found: &mut Vec<String>) {
    use serde_json::Value::{Array, Object};
    match value {
        Array(items) => {
            for (index, item) in items.iter().enumerate() {
                leaves(item, &format!("{at}/{index}"), found);
            }
        }
        Object(fields) => {
            for (key, field) in fields {
                leaves(field, &format!("{at}/{key}"), found);
            }
        }
        _ => found.push(at.to_owned()),
    }
}

#[test]
fn no_value_from_the_environment_is_printed_wherever_it_stands() {
    let effective = serde_json::to_value(good(GOOD).spec.effective()).expect("a spec is JSON");
    let mut pointers = Vec::new();
    leaves(&effective, "", &mut pointers);
    let mut refused = 0;
    for pointer in pointers {
        for written in ["${env:SECRET}", "x ${env:SECRET} y"] {
            let mut spec = effective.clone();
            *spec.pointer_mut(&pointer).expect("a leaf") = written.into();
            let shown = shown(&[SourceFile::new("spec.json", spec.to_string())]);
            assert!(!shown.contains("hunter2"), "{pointer}:\n{shown}");
            refused += usize::from(!shown.is_empty());
        }
    }
    assert!(refused > 20, "only {refused} were refused at all");
}

#[test]
fn text_stays_as_written() {
    let text = GOOD
        .replace("owner: data-platform", "version: '1.10', cost: \"007\", esc: \"$${env:X} $5\"");
    let tags = good(&text).spec.tags;
    assert_eq!(tags["version"], "1.10");
    assert_eq!(tags["cost"], "007");
    assert_eq!(tags["esc"], "${env:X} $5");
    let unquoted = good(&GOOD.replace("\"111122223333\"", "012345678901"));
    assert_eq!(unquoted.spec.aws.account, "012345678901");
    assert_eq!(unquoted.warnings.len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(file) = SourceFile::from_bytes("any.yaml", bytes) {
            shown(&[file]);
        }
    }

    #[test]
    fn no_yaml_like_text_makes_it_panic(text in "([a-c:{}\\[\\],&*<|>!'\"#é\t\\-?$% ]|\n|\n  |: |- |\\$\\{env:A\\}|&a |\\*a|<<: ){0,120}") {
        shown(&[SourceFile::new("any.yaml", text)]);
    }

    #[test]
    fn no_damage_to_a_good_spec_makes_it_panic(
        at in 0..GOOD.len(),
        cut in 0..20usize,
        put in "[ -~\n\t]{0,12}",
    ) {
        let mut text = GOOD.to_owned();
        text.replace_range(at..(at + cut).min(GOOD.len()), &put);
        shown(&[SourceFile::new("any.yaml", text)]);
    }
}
