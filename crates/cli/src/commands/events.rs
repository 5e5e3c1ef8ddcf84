//! `--events`: what a run does, for machines, a line of JSON an event.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use engine::{Event, RunResult};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::exit::{Exit, Fail, Result};
use crate::render;

const FORMAT: u32 = 1;

/// One line of the stream.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Line<'a> {
    format: u32,
    #[schemars(with = "String")]
    at: Timestamp,
    #[serde(flatten)]
    what: What<'a>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
enum What<'a> {
    Run(&'a RunEvent),
    Step(&'a Event),
}

/// What happens to a run as a whole.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum RunEvent {
    /// The first line.
    RunStarted { stack: String, plan_sha256: String, steps: usize, estimate_seconds: u64 },
    /// The last line; a run that was killed has none.
    RunEnded { result: RunResult, done: usize, failed: usize, skipped: usize, seconds: f64 },
}

/// Where the events of a run go; nowhere unless somebody asked for them.
#[derive(Default)]
pub(crate) struct Events(Mutex<Sink>);

#[derive(Default)]
enum Sink {
    #[default]
    Nowhere,
    Stdout,
    File(File),
}

impl Events {
    /// Opens the file for its owner alone; `-` is stdout.
    pub(crate) fn open(to: Option<&Path>) -> Result<Events> {
        let sink = match to {
            None => Sink::Nowhere,
            Some(path) if path == "-" => Sink::Stdout,
            Some(path) => {
                let mut options = OpenOptions::new();
                options.create(true).truncate(true).write(true);
                #[cfg(unix)]
                std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
                Sink::File(options.open(path).map_err(|error| {
                    Fail::new(Exit::Error, format!("cannot write `{}`: {error}", path.display()))
                })?)
            }
        };
        Ok(Events(Mutex::new(sink)))
    }

    /// Prints the answer of the command, beside the events if they have stdout.
    pub(crate) fn answer(&self, text: &str) {
        match *self.sink() {
            Sink::Stdout => render::note(text),
            _ => render::result(text),
        }
    }

    pub(crate) fn step(&self, event: &Event) {
        self.write(What::Step(event));
    }

    pub(crate) fn run(&self, event: &RunEvent) {
        self.write(What::Run(event));
    }

    /// One call a line, so that whoever reads sees whole lines only. A stream that cannot be written
    /// does not stop the run.
    fn write(&self, what: What<'_>) {
        let mut sink = self.sink();
        if let Sink::Nowhere = *sink {
            return;
        }
        let line = Line { format: FORMAT, at: Timestamp::now(), what };
        let mut text = serde_json::to_string(&line).expect("events are plain data");
        text.push('\n');
        match &mut *sink {
            Sink::Nowhere => {}
            Sink::Stdout => render::result(&text),
            Sink::File(file) => {
                if let Err(error) = file.write_all(text.as_bytes()) {
                    render::note(&format!("warning: no more events are written: {error}"));
                    *sink = Sink::Nowhere;
                }
            }
        }
    }

    fn sink(&self) -> std::sync::MutexGuard<'_, Sink> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
