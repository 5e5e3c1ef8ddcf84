use std::path::PathBuf;

use super::lock::LockError;
use super::model::FORMAT;

/// Why the state cannot be read or kept. `place` is a path or the URL of an object.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error("cannot {doing} `{}`: {source}", path.display())]
    Io { doing: &'static str, path: PathBuf, source: std::io::Error },
    #[error("cannot {doing} `{place}`: {source}")]
    Objects { doing: &'static str, place: String, source: Box<cloud::Error> },
    #[error("`{place}` is damaged at line {line}: {message}; nothing was changed")]
    Corrupt { place: String, line: usize, message: String },
    #[error(
        "`{place}` has format {found}, this version reads up to {FORMAT}: it was written by {written_by}"
    )]
    Newer { place: String, found: u64, written_by: String },
    #[error("`{place}` is the state of stack `{found}`, not of `{wanted}`")]
    OtherStack { place: String, found: String, wanted: String },
    #[error(transparent)]
    Locked(#[from] LockError),
    /// Another run may write from now on; this one must not.
    #[error("the lock `{place}` is lost: {why}; what was done before is saved")]
    Lost { place: String, why: String },
}
