//! The state and its log as text, the same wherever they are kept.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::StateError;
use super::model::{Entry, FORMAT, State};

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

/// Reads a state, unless a newer program wrote it.
pub(super) fn parse(place: &str, text: &str) -> Result<State, StateError> {
    from_value(place, json(place, text)?)
}

/// The state in a JSON value, unless a newer program wrote it.
pub(super) fn from_value(place: &str, value: Value) -> Result<State, StateError> {
    refuse_newer(place, &value)?;
    serde_json::from_value(value).map_err(|e| corrupt(place, e.line(), e))
}

/// Reads JSON.
pub(super) fn json<T: for<'a> Deserialize<'a>>(place: &str, text: &str) -> Result<T, StateError> {
    serde_json::from_str(text).map_err(|e| corrupt(place, e.line(), e))
}

/// Refuses what says that it has a higher format than this program knows.
pub(super) fn refuse_newer(place: &str, value: &Value) -> Result<(), StateError> {
    let found = value.get("format").and_then(Value::as_u64);
    match found.filter(|found| *found > u64::from(FORMAT)) {
        Some(found) => {
            let written_by = value.get("written_by").and_then(Value::as_str).unwrap_or("?");
            let (place, written_by) = (place.to_owned(), written_by.to_owned());
            Err(StateError::Newer { place, found, written_by })
        }
        None => Ok(()),
    }
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
/// the number of the first line.
pub(super) fn replay(
    place: &str,
    first: usize,
    text: &str,
    state: &mut State,
) -> Result<(), StateError> {
    let mut fresh = state.serial == 0 && state.resources.is_empty();
    for (index, text) in text.lines().enumerate() {
        let corrupt = |message: String| corrupt(place, first + index, message);
        let line: Line = serde_json::from_str(text).map_err(|e| corrupt(e.to_string()))?;
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

pub(super) fn corrupt(place: &str, line: usize, message: impl ToString) -> StateError {
    StateError::Corrupt { place: place.to_owned(), line, message: message.to_string() }
}
