//! All tests, in one go.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::cargo::{build, cargo, root, run};
use crate::python;

/// Folders of Python tests: every `test_*.py` in them is run.
const PYTHON_TESTS: [&str; 2] = ["tests/cloud", "tests/contract"];

/// Builds everything, then runs the Rust tests, the documentation tests and the Python tests.
pub(crate) fn run_all() -> Result<()> {
    let python = python::environment()?;
    let binaries = build()?;
    rust(&python)?;
    doc_tests()?;
    for folder in PYTHON_TESTS {
        for file in python_tests(&root().join(folder))? {
            println!("running {}", file.strip_prefix(root()).unwrap_or(&file).display());
            run(Command::new(&python)
                .arg("-B")
                .arg(&file)
                .current_dir(root())
                .env("ACCOUNT_SERVER_BIN", binaries.join("dbxctl-account-server")))?;
        }
    }
    Ok(())
}

fn rust(python: &Path) -> Result<()> {
    let scope = ["--workspace", "--all-targets", "--locked"];
    let mut command = if has_nextest() {
        let mut command = cargo("nextest");
        command.arg("run").args(scope);
        command
    } else {
        let mut command = cargo("test");
        command.args(scope);
        command
    };
    run(command.env("DBXCTL_TEST_PYTHON", python))
}

fn has_nextest() -> bool {
    cargo("nextest")
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Runs the examples in documentation of those crates that have some: looking for them with
/// rustdoc costs more than all other tests.
fn doc_tests() -> Result<()> {
    for entry in fs::read_dir(root().join("crates"))? {
        let folder = entry?.path();
        let mut sources = Vec::new();
        files_below(&folder.join("src"), &mut sources)?;
        for source in sources {
            if has_example(&fs::read_to_string(&source)?) {
                run(cargo("test")
                    .args(["--doc", "--locked", "--manifest-path"])
                    .arg(folder.join("Cargo.toml")))?;
                break;
            }
        }
    }
    Ok(())
}

/// Whether a code block opens that rustdoc would run.
fn has_example(source: &str) -> bool {
    let mut open = false;
    for line in source.lines() {
        let line = line.trim_start();
        let Some(text) = line.strip_prefix("///").or_else(|| line.strip_prefix("//!")) else {
            open = false;
            continue;
        };
        let Some(language) = text.trim_start().strip_prefix("```") else { continue };
        if !open && matches!(language, "" | "rust" | "no_run" | "should_panic") {
            return true;
        }
        open = !open;
    }
    false
}

fn files_below(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            files_below(&path, files)?;
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

fn python_tests(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with("test_") && name.ends_with(".py") {
            files.push(path);
        }
    }
    ensure!(!files.is_empty(), "no test_*.py in {}", folder.display());
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::has_example;

    #[test]
    fn examples_are_told_from_text() {
        let cases = [
            ("/// ```\n/// let a = 1;\n/// ```\n", true),
            ("//! ```rust\n//! ```\n", true),
            ("/// ```text\n/// a -> b\n/// ```\n", false),
            ("let fence = \"```\";\n", false),
        ];
        for (source, expected) in cases {
            assert_eq!(has_example(source), expected, "{source}");
        }
    }
}
