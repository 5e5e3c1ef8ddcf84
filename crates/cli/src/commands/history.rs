//! `dbxctl history`: what was done to a stack, and how long it took.

use std::path::PathBuf;

use engine::{Durations, PastRun};
use schemars::JsonSchema;
use serde::Serialize;

use crate::args::{Format, Global};
use crate::exit::{Exit, Result};
use crate::{render, setup};

const FORMAT: u32 = 1;

/// What the state remembers of earlier runs.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct History<'a> {
    format: u32,
    pub(crate) stack: &'a str,
    /// Newest first. One without `ended` is still going on or has died.
    pub(crate) runs: Vec<&'a PastRun>,
    /// Seconds that the last steps took, by kind and action, newest last.
    pub(crate) durations: &'a Durations,
}

pub(crate) async fn run(
    files: &[PathBuf],
    format: Format,
    durations: bool,
    global: &Global,
) -> Result {
    let loaded = setup::load(files, global)?;
    let state = setup::state_place(&loaded.target).await?.read().await?;
    let history = History {
        format: FORMAT,
        stack: &state.stack,
        runs: state.runs.iter().rev().collect(),
        durations: &state.durations,
    };
    let text = match format {
        Format::Human if durations => render::durations(&history),
        Format::Human => render::history(&history),
        Format::Json => {
            let text = serde_json::to_string_pretty(&history).expect("a history is plain data");
            format!("{text}\n")
        }
    };
    render::result(&text);
    Ok(Exit::Done)
}
