//! The state and its log as text, the same wherever they are kept.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::model::{Entry, FORMAT, State};
use super::{StateError, formats};

/// One line of a log: an entry and the serial it leads to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Line {
    pub(super) serial: u64,
    pub(super) lineage: String,
    pub(super) entry: Entry,
}

impl Line {
    /// The entry as it goes to the log after `state`, with its end of line.
    pub(super) fn after(state: &State, entry: &Entry) -> String {
        let (serial, lineage) = (state.serial + 1, state.lineage.clone());
        let line = Line { serial, lineage, entry: entry.clone() };
        let mut text = serde_json::to_string(&line).expect("entries are plain data");
        text.push('\n');
        text
    }
}

/// The whole state as text.
pub(super) fn whole(state: &State) -> String {
    let state = State { written_by: crate::WRITTEN_BY.to_owned(), ..state.clone() };
    let mut text = serde_json::to_string_pretty(&state).expect("the state is plain data");
    text.push('\n');
    text
}

/// Reads a state, unless a newer program wrote it. Also the format it was written in.
pub(super) fn parse(place: &str, text: &str) -> Result<(State, u64), StateError> {
    let value = json(place, text)?;
    let format = known_format(place, &value)?;
    if format == u64::from(FORMAT) {
        // From the text, so that a mistake has its line.
        return Ok((json(place, text)?, format));
    }
    Ok((from_value(place, value)?, format))
}

/// The state in a JSON value, unless a newer program wrote it.
pub(super) fn from_value(place: &str, mut value: Value) -> Result<State, StateError> {
    let format = known_format(place, &value)?;
    formats::upgrade_state(format, &mut value);
    serde_json::from_value(value).map_err(|e| corrupt(place, e.line(), e))
}

/// Reads JSON.
pub(super) fn json<T: for<'a> Deserialize<'a>>(place: &str, text: &str) -> Result<T, StateError> {
    serde_json::from_str(text).map_err(|e| corrupt(place, e.line(), e))
}

/// The format of what was read; refused if it is higher than this program knows.
pub(super) fn known_format(place: &str, value: &Value) -> Result<u64, StateError> {
    let present = u64::from(FORMAT);
    let found = value.get("format").and_then(Value::as_u64).unwrap_or(present);
    if found <= present {
        return Ok(found);
    }
    let written_by = value.get("written_by").and_then(Value::as_str).unwrap_or("?").to_owned();
    Err(StateError::Newer { place: place.to_owned(), found, written_by })
}

/// Refuses the state of another stack.
pub(super) fn of_stack(place: &str, stack: &str, state: State) -> Result<State, StateError> {
    if state.stack == stack {
        return Ok(state);
    }
    let (found, wanted) = (state.stack, stack.to_owned());
    Err(StateError::OtherStack { place: place.to_owned(), found, wanted })
}

/// Applies the lines of a log that the state does not have yet.
///
/// # Errors
/// When a line does not follow: it belongs to another state, or one before it is missing. `first` is
/// the number of the first line, `format` that of the program that wrote it.
pub(super) fn replay(
    place: &str,
    first: usize,
    text: &str,
    format: u64,
    state: &mut State,
) -> Result<(), StateError> {
    let mut fresh = state.serial == 0 && state.resources.is_empty();
    for (index, text) in text.lines().enumerate() {
        let corrupt = |message: String| corrupt(place, first + index, message);
        let line = line(text, format).map_err(|e| corrupt(e.to_string()))?;
        if fresh {
            state.lineage.clone_from(&line.lineage);
            fresh = false;
        }
        if line.lineage != state.lineage {
            return Err(corrupt("the entry belongs to another state".to_owned()));
        }
        if line.serial <= state.serial {
            continue;
        }
        if line.serial != state.serial + 1 {
            let wanted = state.serial + 1;
            return Err(corrupt(format!("entry {} where {wanted} was expected", line.serial)));
        }
        state.apply(&line.entry);
    }
    Ok(())
}

/// One line of a log of that format.
fn line(text: &str, format: u64) -> Result<Line, serde_json::Error> {
    if format == u64::from(FORMAT) {
        return serde_json::from_str(text);
    }
    let mut value: Value = serde_json::from_str(text)?;
    formats::upgrade_entry(format, &mut value["entry"]);
    serde_json::from_value(value)
}

pub(super) fn corrupt(place: &str, line: usize, message: impl ToString) -> StateError {
    StateError::Corrupt { place: place.to_owned(), line, message: message.to_string() }
}
