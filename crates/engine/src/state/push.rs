//! Putting a whole state in the place of another.

use super::OpenState;
use super::StateError;
use super::model::State;
use super::text;

/// Why a state is not put in the place of another.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    #[error("it is the state of stack `{0}`, not of `{1}`")]
    OtherStack(String, String),
    #[error("it has lineage {0}, the present state has {1}: they have no past in common")]
    OtherLineage(String, String),
    #[error(
        "it is at serial {0}, the present state is at {1}: what was done since would be forgotten"
    )]
    Behind(u64, u64),
}

/// Reads a state from text that `pull` wrote.
///
/// # Errors
/// When it is no state, or a newer program wrote it.
pub fn parse_state(place: &str, text: &str) -> Result<State, StateError> {
    Ok(text::parse(place, text)?.0)
}

/// Puts `new` in the place of the open state; closing it makes that durable. Whether anything changes.
///
/// With `force` a state of another past or an earlier serial is taken too. It then gets a serial of
/// its own, so that no saved plan fits it.
pub fn push(open: &dyn OpenState, mut new: State, force: bool) -> Result<bool, PushError> {
    let old = (open as &dyn super::Store).peek(State::clone);
    if new.stack != old.stack {
        return Err(PushError::OtherStack(new.stack, old.stack));
    }
    new.written_by.clone_from(&old.written_by);
    if new == old {
        return Ok(false);
    }
    let empty = old.serial == 0 && old.resources.is_empty();
    let related = empty || new.lineage == old.lineage;
    let ahead = empty || new.serial > old.serial;
    if !(related && ahead) {
        match (force, related) {
            (true, _) => new.serial = new.serial.max(old.serial) + 1,
            (false, false) => return Err(PushError::OtherLineage(new.lineage, old.lineage)),
            (false, true) => return Err(PushError::Behind(new.serial, old.serial)),
        }
    }
    if new.lineage.is_empty() {
        new.lineage = old.lineage;
    }
    open.replace(new);
    Ok(true)
}
