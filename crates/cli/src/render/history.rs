//! What was done to a stack, newest first, and how long its steps took.

use engine::{PastRun, RunResult, median};

use super::{Ink, paint};
use crate::commands::History;

/// The answer of `dbxctl history`.
pub(crate) fn history(history: &History<'_>) -> String {
    if history.runs.is_empty() {
        return format!("Nothing was done to `{}` yet.\n", history.stack);
    }
    history.runs.iter().map(|run| past(run)).collect()
}

/// Two lines: what, and by whom; a third where a pipeline shows it.
fn past(run: &PastRun) -> String {
    let command = run.command.strip_prefix("dbxctl ").unwrap_or(&run.command);
    let (ink, result) = match run.ended.as_ref().map(|ended| ended.result) {
        Some(RunResult::Complete) => (Ink::Green, "complete"),
        Some(RunResult::Failed) => (Ink::Red, "failed"),
        Some(RunResult::Interrupted) => (Ink::Yellow, "interrupted"),
        None => (Ink::Yellow, "did not end"),
    };
    let (took, steps) = match &run.ended {
        Some(ended) => {
            let failed = match ended.failed {
                0 => String::new(),
                n => format!(", {n} failed"),
            };
            let steps = format!("{} of {} steps{failed}", ended.done, run.steps);
            (lasted(ended.at.duration_since(run.started).as_secs_f64()), steps)
        }
        None => (String::new(), format!("{} steps", run.steps)),
    };
    let mut text = format!(
        "{:.0}  {command:<9} {} {took:>11}  {steps}\n    plan {:.12}  process {} on {}\n",
        run.started,
        paint(ink, &format!("{result:<11}")),
        run.plan_sha256,
        run.pid,
        run.host,
    );
    if let Some(url) = &run.run_url {
        text += &format!("    {url}\n");
    }
    text
}

/// The answer of `dbxctl history --durations`.
pub(crate) fn durations(history: &History<'_>) -> String {
    let lines = history.durations.iter().flat_map(|(kind, actions)| {
        actions.iter().map(move |(action, seconds)| {
            let middle = lasted(median(seconds).unwrap_or_default());
            let longest = lasted(seconds.iter().copied().fold(0.0, f64::max));
            let action = format!("{action:?}").to_lowercase();
            format!("{kind:<34} {action:<8} {:>5} {middle:>13} {longest:>13}\n", seconds.len())
        })
    });
    let lines: String = lines.collect();
    if lines.is_empty() {
        return format!("No steps of `{}` were measured yet.\n", history.stack);
    }
    let head = format!(
        "{:<34} {:<8} {:>5} {:>13} {:>13}\n",
        "kind", "action", "steps", "median", "longest"
    );
    paint(Ink::Bold, head.trim_end()) + "\n" + &lines
}

/// `0.4 s`, `45 s`, `6 min 12 s`, `1 h 05 min`.
fn lasted(seconds: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole seconds")]
    let whole = seconds.max(0.0).round() as u64;
    match whole {
        0..10 => format!("{seconds:.1} s"),
        10..60 => format!("{whole} s"),
        60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
    }
}
