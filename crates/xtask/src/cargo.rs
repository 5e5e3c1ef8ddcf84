//! Calls of cargo, and where things are.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

/// What `cargo metadata` says about our own packages.
#[derive(Deserialize)]
pub(crate) struct Metadata {
    pub(crate) target_directory: PathBuf,
    #[cfg(test)]
    pub(crate) packages: Vec<Package>,
}

#[cfg(test)]
#[derive(Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) dependencies: Vec<Dependency>,
}

#[cfg(test)]
#[derive(Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// `None` for an ordinary one, else `dev` or `build`.
    pub(crate) kind: Option<String>,
    /// Set for what is in this repository.
    pub(crate) path: Option<PathBuf>,
}

/// The top of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("crates/xtask has a grandparent")
}

/// A cargo command at the top of the repository, with its verb.
pub(crate) fn cargo(verb: &str) -> Command {
    let mut command = Command::new("cargo");
    command.current_dir(root()).arg(verb);
    command
}

/// Builds everything once: tests and binaries, with the features and the profile the tests use.
///
/// Returns the folder of the binaries.
pub(crate) fn build() -> Result<PathBuf> {
    run(cargo("build").args(["--workspace", "--all-targets", "--locked"]))?;
    Ok(metadata()?.target_directory.join("debug"))
}

/// Our own packages.
pub(crate) fn metadata() -> Result<Metadata> {
    let mut command = cargo("metadata");
    let text = output(command.args(["--no-deps", "--locked", "--format-version", "1"]))?;
    serde_json::from_str(&text).context("reading cargo metadata")
}

/// Runs a command to its end; anything but success is an error that names it.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("starting {}", name(command)))?;
    ensure!(status.success(), "{}: {status}", name(command));
    Ok(())
}

/// Runs a command and returns what it wrote to stdout.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    command.stderr(std::process::Stdio::inherit());
    let output = command.output().with_context(|| format!("starting {}", name(command)))?;
    ensure!(output.status.success(), "{}: {}", name(command), output.status);
    String::from_utf8(output.stdout).with_context(|| format!("output of {}", name(command)))
}

fn name(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|w| w.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
