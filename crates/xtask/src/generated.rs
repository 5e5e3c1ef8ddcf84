//! Files that are generated and committed.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::cargo::root;

/// A file, as a path from the top of the repository, and what it must hold.
pub(crate) struct File {
    pub(crate) path: PathBuf,
    pub(crate) text: String,
}

/// Writes those that differ.
pub(crate) fn write(files: &[File]) -> Result<()> {
    for File { path, text } in files {
        let full = root().join(path);
        if fs::read_to_string(&full).is_ok_and(|have| have == *text) {
            continue;
        }
        fs::create_dir_all(full.parent().expect("files are in a folder"))?;
        fs::write(&full, text).with_context(|| format!("writing {}", path.display()))?;
        println!("wrote {}", path.display());
    }
    Ok(())
}

/// Fails when one differs, and says which and what to run.
pub(crate) fn check(files: &[File], chore: &str) -> Result<()> {
    let mut stale = Vec::new();
    for File { path, text } in files {
        if !fs::read_to_string(root().join(path)).is_ok_and(|have| have == *text) {
            stale.push(path.display().to_string());
        }
    }
    if !stale.is_empty() {
        bail!("stale: {}; run `{chore}` and commit the result", stale.join(", "));
    }
    println!("{} up to date", files.len());
    Ok(())
}
