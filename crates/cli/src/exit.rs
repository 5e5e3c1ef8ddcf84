//! How a command ends: one code for each way, the same for every command.

use std::fmt::Display;
use std::path::Path;

/// The exit codes, as `dbxctl --help` lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done, or nothing to do.
    Done = 0,
    Error = 1,
    /// There are changes; only with `--detailed-exitcode`.
    Changes = 2,
    /// The spec or a check refused it; nothing was touched.
    Refused = 3,
    /// Another run holds the state.
    Locked = 4,
    /// The saved plan does not fit the state any more.
    Stale = 5,
    /// Apply stopped half-way; it is safe to run again.
    Partial = 6,
    /// SIGINT; the state is saved.
    Interrupted = 130,
    /// SIGTERM; the state is saved.
    Terminated = 143,
}

impl Exit {
    pub(crate) fn code(self) -> std::process::ExitCode {
        std::process::ExitCode::from(self as u8)
    }
}

/// A command that did not do what it was asked for: what happened and what to do about it.
#[derive(Debug)]
pub(crate) struct Fail {
    pub(crate) exit: Exit,
    pub(crate) message: String,
    pub(crate) hints: Vec<String>,
    /// The message is laid out already: print it as it is.
    pub(crate) rendered: bool,
}

impl Fail {
    pub(crate) fn new(exit: Exit, message: impl Display) -> Self {
        Fail { exit, message: message.to_string(), hints: Vec::new(), rendered: false }
    }

    /// Something that only a mistake in dbxctl can bring about.
    pub(crate) fn bug(message: impl Display) -> Self {
        Fail::new(Exit::Error, format!("bug: {message}"))
            .hint("please report this, with the spec or the command that shows it")
    }

    /// A file that cannot be read or written.
    pub(crate) fn file(exit: Exit, doing: &str, path: &Path, error: &std::io::Error) -> Self {
        use std::io::ErrorKind::{NotFound, PermissionDenied};
        let fail = Fail::new(exit, format!("cannot {doing} `{}`: {error}", path.display()));
        match error.kind() {
            NotFound => fail.hint("check the path; it is relative to where dbxctl is started"),
            PermissionDenied => fail.hint("check who owns it and what they permit"),
            _ => fail.hint("check the disk and the path"),
        }
    }

    pub(crate) fn rendered(exit: Exit, message: String) -> Self {
        Fail { exit, message, hints: Vec::new(), rendered: true }
    }

    /// A saved plan that the state has left behind.
    pub(crate) fn stale(why: &engine::Stale) -> Self {
        Fail::new(Exit::Stale, why).hint("plan again, and review what is new")
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}

impl From<cloud::Error> for Fail {
    fn from(error: cloud::Error) -> Self {
        let fail = Fail::new(Exit::Error, &error);
        match error.class {
            cloud::Class::Denied => {
                fail.hint("check who you are with `dbxctl whoami`, and what that identity may do")
            }
            class => fail.hint(crate::render::advice_on(class)),
        }
    }
}

impl From<engine::StateError> for Fail {
    fn from(error: engine::StateError) -> Self {
        use engine::{LockError, StateError};
        let (exit, hint) = match &error {
            StateError::Locked(LockError::Held(_)) => (
                Exit::Locked,
                "wait until that run has ended; if it is dead its lock is gone already",
            ),
            StateError::Locked(LockError::Leased { .. }) => (
                Exit::Locked,
                "wait until that run has ended; if it is dead its lease runs out by itself (see \
                 `dbxctl state unlock`)",
            ),
            StateError::Lost { .. } => {
                (Exit::Partial, "run the same command again, once the other run has ended")
            }
            StateError::Objects { source, .. } if source.class == cloud::Class::Denied => (
                Exit::Error,
                "see `Sharing the state` in the README for what the identity of `dbxctl whoami` must be allowed to do",
            ),
            StateError::Objects { source, .. } => {
                (Exit::Error, crate::render::advice_on(source.class))
            }
            StateError::Io { .. } | StateError::Locked(_) => {
                (Exit::Error, "check the folder of the state (`--state-dir`) and its permissions")
            }
            StateError::OtherStack { .. } => (
                Exit::Error,
                "correct `name` in the spec, or name the folder of its own state with `--state-dir`",
            ),
            StateError::Newer { .. } => {
                (Exit::Error, "install the version that wrote it, or a later one")
            }
            StateError::Corrupt { .. } => (
                Exit::Error,
                "restore it from a backup, or move it away: what carries this stack's mark is found again",
            ),
        };
        Fail::new(exit, &error).hint(hint)
    }
}

/// A command's result.
pub(crate) type Result<T = Exit, E = Fail> = std::result::Result<T, E>;
