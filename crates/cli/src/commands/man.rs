//! `dbxctl man`: the manual, one page a command.

use std::path::Path;

use clap::{Command, CommandFactory};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use crate::args::{Args, EXIT_CODES};
use crate::exit::{Exit, Fail, Result};
use crate::render;

/// Variables besides those of single options.
const ENVIRONMENT: &[(&str, &str)] = &[
    (
        "AWS_*",
        "credentials and region, as the AWS SDK reads them; AWS_ENDPOINT_URL for another endpoint",
    ),
    ("DATABRICKS_HOST, DATABRICKS_ACCOUNT_ID", "the account console and the account"),
    ("DATABRICKS_CLIENT_ID, DATABRICKS_CLIENT_SECRET", "a service principal of the account"),
    (
        "DATABRICKS_CONFIG_FILE, DATABRICKS_CONFIG_PROFILE",
        "another file of profiles, and which of them",
    ),
    (
        "DATABRICKS_OIDC_TOKEN, DATABRICKS_OIDC_TOKEN_ENV, DATABRICKS_OIDC_TOKEN_FILEPATH",
        "a token of the platform that is exchanged for one of the account, the variable or the file it is in",
    ),
    (
        "DATABRICKS_AUTH_TYPE, DATABRICKS_TOKEN_AUDIENCE",
        "which way to sign in where several are possible, and for whom",
    ),
    ("DBXCTL_LEASE_SECONDS", "how long the lock of a shared state lasts without being renewed"),
    ("DBXCTL_SANDBOX_PROFILE", "how slow the sandbox is: instant, quick or realistic"),
    ("DBXCTL_SANDBOX_FAULTS", "which calls of the sandbox fail, for rehearsals"),
    ("NO_COLOR", "no colour, whatever the terminal can do"),
    ("COLUMNS", "how wide the screen is, where that cannot be seen"),
];

const FILES: &[(&str, &str)] = &[
    ("dbxctl.yaml, dbxctl.yml, dbxctl.json", "the spec, when none is named"),
    (".dbxctl/STACK.json", "the state, beside the first spec"),
    (".dbxctl/STACK.log", "what a run has added to the state so far"),
    (".dbxctl/STACK.lock", "held by the run that writes the state"),
    ("~/.databrickscfg", "profiles for signing in to Databricks"),
];

/// Prints the page of `dbxctl`, or writes the pages of all commands to the folder.
pub(crate) fn run(out: Option<&Path>) -> Result {
    let mut pages = pages();
    match out {
        None => render::result(&pages.swap_remove(0).1),
        Some(folder) => {
            for (name, text) in &pages {
                write(&folder.join(name), text)?;
            }
            render::result(&format!("{} pages in `{}`\n", pages.len(), folder.display()));
        }
    }
    Ok(Exit::Done)
}

fn write(path: &Path, text: &str) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let written = std::fs::create_dir_all(folder).and_then(|()| std::fs::write(path, text));
    written.map_err(|error| Fail::file(Exit::Error, "write", path, &error))
}

/// File name and text of every page, that of `dbxctl` first.
fn pages() -> Vec<(String, String)> {
    let mut root = Args::command().disable_help_subcommand(true);
    root.build();
    let mut pages = Vec::new();
    add(&root, "dbxctl", &mut pages);
    pages
}

fn add(command: &Command, name: &str, pages: &mut Vec<(String, String)>) {
    pages.push((format!("{name}.1"), page(command, name)));
    for inner in command.get_subcommands() {
        add(inner, &format!("{name}-{}", inner.get_name()), pages);
    }
}

fn page(command: &Command, name: &str) -> String {
    let man = Man::new(command.clone()).title(name).section("1").manual("dbxctl");
    let mut text = Vec::new();
    let sections = [
        Man::render_title,
        Man::render_name_section,
        Man::render_synopsis_section,
        Man::render_description_section,
        Man::render_options_section,
    ];
    for section in sections {
        section(&man, &mut text).expect("memory takes everything");
    }
    if command.has_subcommands() {
        man.render_subcommands_section(&mut text).expect("memory takes everything");
    }
    let mut own = Roff::new();
    let codes = EXIT_CODES.lines().skip(1).filter_map(|line| line.trim().split_once(' '));
    section(&mut own, "EXIT STATUS", codes.map(|(code, words)| (code, words.trim())));
    section(&mut own, "ENVIRONMENT", ENVIRONMENT.iter().copied());
    section(&mut own, "FILES", FILES.iter().copied());
    own.to_writer(&mut text).expect("memory takes everything");
    String::from_utf8_lossy(&text).into_owned()
}

fn section<'a>(page: &mut Roff, title: &str, entries: impl Iterator<Item = (&'a str, &'a str)>) {
    page.control("SH", [title]);
    for (term, words) in entries {
        page.control("TP", []).text([bold(term)]).text([roman(words)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_with_all_sections() {
        let pages = pages();
        let names: Vec<&str> = pages.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names[0], "dbxctl.1");
        assert!(
            names.contains(&"dbxctl-plan.1") && names.contains(&"dbxctl-state-show.1"),
            "{names:?}"
        );
        assert!(!names.iter().any(|name| name.contains("help")), "{names:?}");
        for (name, text) in &pages {
            for section in ["NAME", "SYNOPSIS", "OPTIONS", "EXIT STATUS", "ENVIRONMENT", "FILES"] {
                let heading = format!(".SH {section}");
                let quoted = format!(".SH \"{section}\"");
                assert!(
                    text.contains(&heading) || text.contains(&quoted),
                    "{name} has no {section}"
                );
            }
            assert!(text.contains("the state is locked by another run"), "{name}");
        }
    }
}
