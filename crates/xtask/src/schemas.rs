//! The JSON Schemas, as the program itself prints them.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::cargo::{build, output, root};
use crate::generated::File;

const SCHEMAS: [&str; 7] = ["spec", "plan", "state", "check", "events", "history", "reconcile"];

/// Builds dbxctl and asks it for each schema.
pub(crate) fn files() -> Result<Vec<File>> {
    let dbxctl = build()?.join("dbxctl");
    let mut files = Vec::new();
    for name in SCHEMAS {
        let text = output(Command::new(&dbxctl).current_dir(root()).args(["schema", name]))?;
        let _: Value = serde_json::from_str(&text)
            .with_context(|| format!("dbxctl schema {name} printed no JSON"))?;
        files.push(File { path: PathBuf::from(format!("schemas/{name}.schema.json")), text });
    }
    Ok(files)
}
