//! Where a state is kept.

use std::path::PathBuf;
use std::sync::Arc;

use cloud::Objects;
use jiff::Timestamp;

use super::file::lock_path;
use super::folder::Folder;
use super::lease::{self, Leases};
use super::lock::{Holder, Lock};
use super::model::State;
use super::{Notices, OpenState, StateError, StateFile, file, shared};

/// Where the state of one stack is kept: in a file, or where several machines reach it.
#[derive(Clone)]
pub struct StatePlace {
    stack: String,
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    File(PathBuf),
    Shared(Folder, Leases),
}

impl StatePlace {
    /// In a file on this machine.
    pub fn file(stack: &str, path: PathBuf) -> Self {
        StatePlace { stack: stack.to_owned(), kind: Kind::File(path) }
    }

    /// In a store of objects, below `prefix` (with its slash, or empty). `url` is what people know
    /// the store by: `s3://bucket/`.
    pub fn shared(
        stack: &str,
        objects: Arc<dyn Objects>,
        url: &str,
        prefix: &str,
        leases: Leases,
    ) -> Self {
        let root = format!("{prefix}{stack}/");
        let url = format!("{url}{root}");
        let kind = Kind::Shared(Folder::new(objects, root, url), leases);
        StatePlace { stack: stack.to_owned(), kind }
    }

    /// Reads the state without locking it: for plan and show.
    pub async fn read(&self) -> Result<State, StateError> {
        match &self.kind {
            Kind::File(path) => file::load(path, &self.stack),
            Kind::Shared(folder, _) => shared::read(folder, &self.stack).await,
        }
    }

    /// Locks the state and opens it for writing.
    pub async fn open(
        &self,
        holder: &Holder,
        notices: Notices<'_>,
    ) -> Result<Box<dyn OpenState>, StateError> {
        self.open_without(holder, None, notices).await
    }

    /// Who holds the lock, and until when at least if that is known. A holder on this machine that
    /// does not say who it is comes back as an error.
    pub async fn holder(&self, asking: &Holder) -> Result<Option<(Holder, Timestamp)>, StateError> {
        match &self.kind {
            Kind::File(path) => {
                let path = lock_path(path);
                // The lock belongs to a living process or to nobody: taking it tells which.
                if path.exists() {
                    Lock::take(&path, asking)?;
                }
                Ok(None)
            }
            Kind::Shared(folder, _) => lease::holder(folder).await,
        }
    }

    /// Takes the lock away from the run `owner`, saves what it did, and frees it.
    ///
    /// # Errors
    /// When another run holds the lock.
    pub async fn evict(
        &self,
        owner: &str,
        holder: &Holder,
        notices: Notices<'_>,
    ) -> Result<(), StateError> {
        self.open_without(holder, Some(owner), notices).await?.close().await
    }

    async fn open_without(
        &self,
        holder: &Holder,
        evicted: Option<&str>,
        notices: Notices<'_>,
    ) -> Result<Box<dyn OpenState>, StateError> {
        Ok(match &self.kind {
            Kind::File(path) => Box::new(StateFile::open(path, &self.stack, holder)?),
            Kind::Shared(folder, leases) => {
                Box::new(shared::open(folder, &self.stack, holder, evicted, leases, notices).await?)
            }
        })
    }
}
