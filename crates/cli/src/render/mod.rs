//! The only place that prints. stdout is the result, stderr is progress and errors.
#![expect(clippy::print_stderr, reason = "this is where printing happens")]

mod adopt;
mod check;
mod difference;
mod drift;
mod explain;
mod history;
mod log;
mod markdown;
mod outputs;
mod plan;
mod progress;
mod rules;
mod terraform;
mod text;
mod tree;

use std::fmt::Display;
use std::io::{BufRead, IsTerminal, Write};
use std::sync::OnceLock;

use cloud::Class;
use engine::{Estimate, Notice, Outcome, Problem, Rebuilt, State, StateError, StepError};

use crate::args::{Color, Global};
use crate::exit::{Exit, Fail, Result};
use crate::setup::environment;

pub(crate) use adopt::{adoption, misfits};
#[cfg(test)]
pub(crate) use check::tests as sample;
pub(crate) use check::{Chosen, View, counted, severity};
pub(crate) use drift::drift;
pub(crate) use explain::{Effects, Found, Here, Object, Places, Subject, Written, explained};
pub(crate) use history::{durations, history};
pub(crate) use log::{About, about, log, log_as};
pub(crate) use markdown::{Review, refused};
pub(crate) use outputs::outputs;
pub(crate) use plan::{losses, plan};
pub(crate) use progress::{Progress, Reading};
pub(crate) use rules::rules;
pub(crate) use terraform::terraform;

/// How text may look.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Style {
    pub(crate) color: bool,
    /// Columns.
    pub(crate) width: usize,
    /// Whether a person looks at it: long lines are broken, long lists folded.
    pub(crate) screen: bool,
}

/// Columns where nobody says how many there are.
const WIDTH: usize = 100;

static STYLE: OnceLock<Style> = OnceLock::new();

/// Settles colour and width for the whole run.
pub(crate) fn configure(global: &Global) {
    let color = match global.color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => {
            let allowed = environment("NO_COLOR").is_none();
            allowed && std::io::stdout().is_terminal() && std::io::stderr().is_terminal()
        }
    };
    let given = environment("COLUMNS").and_then(|columns| columns.parse().ok());
    let terminal = || console::Term::stdout().size_checked().map(|(_, columns)| columns.into());
    let columns: Option<usize> = given.or_else(terminal);
    let (width, screen) = (columns.unwrap_or(WIDTH), columns.is_some());
    let _ = STYLE.set(Style { color, width, screen });
}

pub(crate) fn style() -> Style {
    STYLE.get().copied().unwrap_or(Style { color: false, width: WIDTH, screen: false })
}

/// Colours that add to the meaning of a text, never carry it alone.
#[derive(Debug, Clone, Copy)]
pub(super) enum Ink {
    Red,
    Green,
    Yellow,
    Bold,
    Dim,
}

pub(super) fn paint(ink: Ink, text: &str) -> String {
    if !style().color {
        return text.to_owned();
    }
    let code = match ink {
        Ink::Red => "31",
        Ink::Green => "32",
        Ink::Yellow => "33",
        Ink::Bold => "1",
        Ink::Dim => "2",
    };
    format!("\x1b[{code}m{text}\x1b[0m")
}

/// What was asked for. A reader that has gone away is not an error.
pub(crate) fn result(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// Something beside the result.
pub(crate) fn note(text: &str) {
    if !log::takes(text) {
        to_stderr(text.trim_end());
    }
}

fn to_stderr(text: &str) {
    eprintln!("{text}");
}

/// How long a plan will take: `about 10 min`; nothing for one without steps.
pub(crate) fn expected(estimate: &Estimate) -> Option<String> {
    let seconds = Some(estimate.seconds).filter(|_| !estimate.is_empty())?;
    Some(match seconds {
        0..60 => format!("about {seconds} s"),
        60..5400 => format!("about {} min", seconds.div_ceil(60)),
        _ => format!("about {} h {} min", seconds / 3600, seconds % 3600 / 60),
    })
}

/// Something about the state that people should know.
pub(crate) fn notice(notice: Notice) {
    match notice {
        Notice::NoVersions(None) => note(
            "warning: the bucket of the state has no versioning: turn it on, or an overwritten state cannot be had again",
        ),
        Notice::NoVersions(Some(error)) => {
            note(&format!(
                "warning: cannot tell whether the bucket of the state has versioning: {error}"
            ));
        }
        Notice::Watching { holder, left } => note(&format!(
            "the lease of {holder} has run out: it is dead if it does not renew it within {} s",
            left.as_secs_f32().ceil()
        )),
    }
}

/// A command that failed.
pub(crate) fn fail(fail: &Fail) {
    if fail.rendered {
        note(&fail.message);
    } else {
        note(&format!("{} {}", paint(Ink::Red, "error:"), fail.message));
    }
    for hint in &fail.hints {
        note(&format!("{} {hint}", paint(Ink::Bold, "hint:")));
    }
}

/// All reasons why there is no plan.
pub(crate) fn problems(problems: &[Problem]) -> String {
    let mut text = String::new();
    for problem in problems {
        text += &format!("{} {problem}\n", paint(Ink::Red, "refused:"));
        if let Some(help) = &problem.help {
            text += &format!("{} {help}\n", paint(Ink::Bold, "   hint:"));
        }
    }
    text += "Nothing was touched.\n";
    text
}

/// What a look at the clouds has given back to the state.
pub(crate) fn rebuilt(rebuilt: &Rebuilt) -> String {
    let mut text = format!("{} resources are known again\n", rebuilt.found);
    for (address, ids) in &rebuilt.ambiguous {
        let label = paint(Ink::Red, "not clear:");
        text += &format!("{label} {address} may be {}\n", ids.join(" or "));
        let hint = paint(Ink::Bold, "     hint:");
        text += &format!(
            "{hint} delete what is not in use, or remove its `dbxctl:` tags, and rebuild again\n"
        );
    }
    for address in &rebuilt.missing {
        text += &format!("not found: {address}; the next apply makes it\n");
    }
    text
}

/// What is left after an apply that did not get through: every failure, with what to do.
pub(crate) fn unfinished(outcome: &Outcome) -> String {
    let mut text = String::from("\n");
    for failure in &outcome.failures {
        text += &format!("{} {}: {}\n", paint(Ink::Red, "error:"), failure.address, failure.error);
        text += &format!("{} {}\n", paint(Ink::Bold, "   hint:"), advice(&failure.error));
    }
    text += &format!(
        "{} done, {} failed, {} not begun. What was done is saved; run the same command again.\n",
        outcome.done,
        outcome.failures.len(),
        outcome.skipped.len(),
    );
    text
}

/// The first few of many, and how many more there are.
pub(crate) fn some_of(all: impl ExactSizeIterator<Item = impl Display>) -> String {
    const SHOWN: usize = 3;
    let more = all.len().saturating_sub(SHOWN);
    let shown: Vec<String> = all.take(SHOWN).map(|one| one.to_string()).collect();
    let shown = shown.join(", ");
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}

fn advice(error: &StepError) -> &'static str {
    match error {
        StepError::Cloud { source, .. } => advice_on(source.class),
        StepError::Deadline { .. } => {
            "see what the service's console says; the next apply goes on waiting"
        }
        StepError::Broken(_) => {
            "mend what the message names, then run the same command again: it is tried anew"
        }
        StepError::DidNotConverge(_) => {
            "the service accepts the change without making it: see its console for a reason"
        }
        StepError::PlanOutdated(_) => {
            "somebody changed it after the plan was made: run the command again"
        }
        StepError::Ambiguous(_) => "delete the one that is not in use",
        StepError::Foreign(_) => "give it another name in the spec, or use it by its id",
        StepError::Bug(_) => "please report this, with the plan that shows it",
        StepError::State(StateError::Lost { .. }) => {
            "wait until the other run has ended, then run the same command again"
        }
        StepError::State(_) => "make the state writable again before anything else",
        StepError::Interrupted(_) => "run the same command again",
    }
}

/// What to do about an error of that class.
pub(crate) fn advice_on(class: Class) -> &'static str {
    match class {
        Class::Denied => "give the identity of `dbxctl whoami` the permission for this call",
        Class::Invalid => "the service refuses the request: correct the spec",
        Class::InUse => "something outside this stack still uses it: find and detach it",
        Class::AlreadyExists => {
            "something of its name or in its place exists: change one of them, or use it by its id"
        }
        Class::Propagating => {
            "if it stays: the role's trust or policy is wrong, or an organisation policy forbids it"
        }
        Class::Throttled | Class::Transient => {
            "the service is slow, down, or not reached: check the network, and try again later"
        }
        Class::NotFound | Class::Other => {
            "look up the service's message; its support can find the request by its id"
        }
    }
}

/// Asks until a line is typed; only `word` agrees. Others go on meanwhile.
pub(crate) async fn confirm(question: String, word: String) -> Result<bool> {
    let asked = tokio::task::spawn_blocking(move || ask(&question, &word)).await;
    asked.unwrap_or_else(|error| Err(Fail::bug(error)))
}

fn ask(question: &str, word: &str) -> Result<bool> {
    if !std::io::stdin().is_terminal() {
        return Err(Fail::new(Exit::Error, "nobody is there to confirm; nothing was touched")
            .hint("pass `--yes`, or save a plan with `plan --out` and apply that"));
    }
    eprint!("{question}");
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line);
    Ok(read.is_ok() && line.trim() == word)
}

/// One line a resource.
pub(crate) fn state_list(state: &State) -> String {
    let width = state.resources.keys().map(|a| a.as_str().len()).max().unwrap_or(0);
    let line = |(address, record): (&engine::Address, &engine::Record)| {
        let id = record.id.as_deref().unwrap_or("-");
        let status = match record.status {
            engine::Status::Settled => String::new(),
            other => format!("  ({})", format!("{other:?}").to_lowercase()),
        };
        format!("{:width$}  {id}{status}\n", address.as_str())
    };
    state.resources.iter().map(line).collect()
}
