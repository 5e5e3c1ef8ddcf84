//! What dbxctl remembers: which objects it made, and with what.

mod file;
mod formats;
mod lock;
mod model;
mod rebuild;

pub use file::{StateError, StateFile, load};
pub use lock::{Holder, Lock, LockError};
pub use model::{Deposed, Entry, FORMAT, Move, Record, State, Status};

pub use rebuild::{Rebuilt, rebuild};

use futures::future::BoxFuture;

/// Where entries are made durable. An entry is on disk (or wherever) when `append` returns.
pub trait Store: Send + Sync {
    /// Adds one entry to the log.
    fn append<'a>(&'a self, entry: Entry) -> BoxFuture<'a, Result<(), StateError>>;
    /// Shows the state with all entries so far. `look` must return at once.
    fn look(&self, look: &mut dyn FnMut(&State));
}

impl dyn Store + '_ {
    /// What `look` makes of the state with all entries so far.
    pub fn peek<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        let (mut look, mut result) = (Some(look), None);
        self.look(&mut |state| result = look.take().map(|look| look(state)));
        result.expect("a store shows its state")
    }
}
