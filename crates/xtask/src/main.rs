//! Chores: `cargo xtask <verb>`. Continuous integration runs the same ones, see `.ci/run`.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a chore's result is what it prints"
)]

mod bench;
mod cargo;
mod catalogue;
#[cfg(test)]
mod dependencies;
mod generated;
mod python;
mod schemas;
mod test;

use std::process::ExitCode;

use anyhow::{Result, bail};

const USAGE: &str = "\
usage: cargo xtask <verb>

  test                 build everything and run all tests; makes .venv when needed
  bench [check] [--release]
                       measure time and memory by size of the spec, of all commands or of the check
                       alone; prints a table
  schemas [--check]    write schemas/*.schema.json, or say which are stale
  catalogue [--check]  write specs/kinds.md and specs/rules.md, or say which are stale";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[&str]) -> Result<()> {
    match arguments {
        ["test"] => test::run_all(),
        ["bench"] => bench::run_all(false),
        ["bench", "--release"] => bench::run_all(true),
        ["bench", "check"] => bench::run_check(false),
        ["bench", "check", "--release"] => bench::run_check(true),
        ["schemas"] => generated::write(&schemas::files()?),
        ["schemas", "--check"] => generated::check(&schemas::files()?, "cargo xtask schemas"),
        ["catalogue"] => generated::write(&catalogue::files()?),
        ["catalogue", "--check"] => generated::check(&catalogue::files()?, "cargo xtask catalogue"),
        _ => bail!("{USAGE}"),
    }
}
