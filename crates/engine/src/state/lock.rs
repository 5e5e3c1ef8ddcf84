//! One run at a time: an exclusive lock that dies with its holder.

use std::fmt::{self, Display, Formatter};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Who holds the lock, for the one who has to wait.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Tells this run from every other.
    pub owner: String,
    pub host: String,
    pub pid: u32,
    pub command: String,
    /// Where a pipeline shows the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_url: Option<String>,
    /// Hash of the saved plan that is carried out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan_sha256: Option<String>,
    pub since: Timestamp,
}

impl Holder {
    /// This process, under a name that no other run has.
    pub fn new(command: &str, host: &str) -> Self {
        Holder {
            owner: uuid::Uuid::new_v4().to_string(),
            host: host.to_owned(),
            pid: std::process::id(),
            command: command.to_owned(),
            run_url: None,
            plan_sha256: None,
            since: Timestamp::now(),
        }
    }
}

impl Display for Holder {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "process {} (`{}`) on {} since {:.0}",
            self.pid, self.command, self.host, self.since
        )?;
        if let Some(url) = &self.run_url {
            write!(f, ", {url}")?;
        }
        if let Some(hash) = &self.plan_sha256 {
            write!(f, ", with the saved plan {:.12}", hash)?;
        }
        Ok(())
    }
}

/// Why the lock was not had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error("the state is locked by {}", known(.0))]
    Held(Option<Box<Holder>>),
    /// A holder that has to show again and again that it lives.
    #[error(
        "the state is locked by {holder}; its lease runs until {expires:.0} unless it is renewed"
    )]
    Leased { holder: Box<Holder>, expires: Timestamp },
    #[error("cannot lock `{}`: {source}", path.display())]
    Io { path: PathBuf, source: std::io::Error },
}

/// The held lock. The operating system lets go of it when the process ends, however it ends.
///
/// A file beside the state is locked, never the state itself: replacing the state by rename would
/// leave the lock on the old file.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock or says who has it.
    pub fn take(path: &Path, holder: &Holder) -> Result<Lock, LockError> {
        let io = |source| LockError::Io { path: path.to_owned(), source };
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).read(true).write(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path).map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(LockError::Held(read_holder(&mut file))),
            Err(TryLockError::Error(source)) => return Err(io(source)),
        }
        let text = serde_json::to_string(holder).expect("a holder is plain data");
        file.set_len(0).map_err(io)?;
        file.rewind().map_err(io)?;
        file.write_all(text.as_bytes()).map_err(io)?;
        Ok(Lock { _file: file })
    }
}

fn read_holder(file: &mut File) -> Option<Box<Holder>> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

fn known(holder: &Option<Box<Holder>>) -> String {
    holder.as_ref().map_or("another process".to_owned(), ToString::to_string)
}
