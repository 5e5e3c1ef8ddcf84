//! The Python environment of the wire tests.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::cargo::{root, run};

const REQUIREMENTS: &str = "tests/requirements.txt";

/// Makes `.venv` unless it holds what `tests/requirements.txt` asks for; returns its python.
pub(crate) fn environment() -> Result<PathBuf> {
    let folder = root().join(".venv");
    let python = folder.join("bin/python");
    // A copy of the requirements: says the same as a hash of them, without one.
    let stamp = folder.join("installed-requirements.txt");
    let wanted = fs::read_to_string(root().join(REQUIREMENTS)).context(REQUIREMENTS)?;
    if python.exists() && fs::read_to_string(&stamp).is_ok_and(|have| have == wanted) {
        return Ok(python);
    }
    println!("installing {REQUIREMENTS} into .venv");
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
    run(Command::new(&python)
        .current_dir(root())
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
        .args(["--requirement", REQUIREMENTS]))?;
    fs::write(&stamp, wanted).context("writing the stamp")?;
    Ok(python)
}
