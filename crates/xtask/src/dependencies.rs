//! Who may import whom. A new edge is a decision: change the table and say why in the commit.

use std::collections::{BTreeMap, BTreeSet};

use crate::cargo::metadata;

/// A package and those of ours that it may name. `dbxctl-workspace-hack` only unites features and
/// `dev-dependencies` are not part of the program: both are free for all.
const ALLOWED: &[(&str, &[&str])] = &[
    ("cloud", &[]),
    ("engine", &["cloud"]),
    ("aws", &["cloud"]),
    ("databricks", &["cloud"]),
    ("spec", &[]),
    ("facts", &[]),
    ("kinds", &["engine", "cloud", "aws", "databricks"]),
    ("blueprint", &["spec", "kinds", "engine", "facts"]),
    ("adopt", &["spec", "blueprint", "kinds", "engine", "cloud", "facts"]),
    ("check", &["spec", "kinds", "engine", "facts"]),
    ("picture", &["check", "spec", "engine", "facts"]),
    ("reconcile", &["engine", "spec"]),
    ("sandbox", &["engine", "cloud", "kinds", "facts"]),
    (
        "dbxctl",
        &[
            "adopt",
            "aws",
            "blueprint",
            "check",
            "cloud",
            "databricks",
            "engine",
            "facts",
            "kinds",
            "picture",
            "reconcile",
            "sandbox",
            "spec",
        ],
    ),
    ("account-server", &[]),
    ("tests", &[]),
    ("xtask", &[]),
    ("workspace-hack", &[]),
];

#[test]
fn imports_follow_the_table() {
    let allowed: BTreeMap<&str, BTreeSet<&str>> =
        ALLOWED.iter().map(|(name, may)| (*name, may.iter().copied().collect())).collect();
    let packages = metadata().expect("cargo metadata works in a test").packages;
    let mut wrong = Vec::new();
    for package in &packages {
        let name = short(&package.name);
        let Some(may) = allowed.get(name) else {
            wrong.push(format!("{name} is not in the table"));
            continue;
        };
        for dependency in &package.dependencies {
            let other = short(&dependency.name);
            let counts = dependency.path.is_some() && dependency.kind.as_deref() != Some("dev");
            if counts && other != "workspace-hack" && !may.contains(other) {
                wrong.push(format!("{name} may not import {other}"));
            }
        }
    }
    for name in allowed.keys() {
        if !packages.iter().any(|p| short(&p.name) == *name) {
            wrong.push(format!("{name} is in the table but not in the workspace"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn short(name: &str) -> &str {
    name.strip_prefix("dbxctl-").unwrap_or(name)
}
