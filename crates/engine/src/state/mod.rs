//! What dbxctl remembers: which objects it made, and with what.

mod error;
mod file;
mod folder;
mod formats;
mod history;
mod lease;
mod lock;
mod model;
mod place;
mod push;
mod rebuild;
mod shared;
mod task;
mod text;

#[cfg(test)]
mod tests;

pub use error::StateError;
pub use file::StateFile;
pub use history::{Durations, Ended, PastRun, RunResult, Took};
pub use lease::Leases;
pub use lock::{Holder, Lock, LockError};
pub use model::{Deposed, Entry, FORMAT, Move, Record, State, Status};
pub use place::StatePlace;
pub use push::{PushError, parse_state, push};
pub use rebuild::{Rebuilt, rebuild};

use std::time::Duration;

use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;

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

/// A state that is locked and can be written. Dropped without `close` it is as if the process had
/// died: nothing is lost, and the next run goes on from there.
pub trait OpenState: Store {
    /// Puts another state in its place. Closing makes it durable.
    fn replace(&self, state: State);
    /// Cancelled when the lock may be another's: nothing new may be begun.
    fn lost(&self) -> CancellationToken;
    /// Saves everything in one piece and lets go of the lock.
    fn close(self: Box<Self>) -> BoxFuture<'static, Result<(), StateError>>;
}

/// Something about the state that people should know.
#[derive(Debug, Clone)]
pub enum Notice {
    /// The store forgets what is written over, or does not say whether it does.
    NoVersions(Option<cloud::Error>),
    /// The lease of a run has ended; whether it lives will be known when this time has passed.
    Watching { holder: Holder, left: Duration },
}

/// Takes notices. Must return at once.
pub type Notices<'a> = &'a (dyn Fn(Notice) + Send + Sync);
