//! The state on disk: a file, and a log of what happened since it was written.
//!
//! During a run each change is one appended line, synced before the run goes on. The file itself is
//! rewritten (temporary file, rename) when a run ends; the next run replays what a crash left in the
//! log. Entries carry the serial they lead to, so replaying one twice does nothing.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::lock::{Holder, Lock};
use super::model::{Entry, FORMAT, State};
use super::text::{self, Line};
use super::{OpenState, StateError, Store};

/// The state file of one stack, open for writing and locked.
pub struct StateFile {
    path: PathBuf,
    inner: Mutex<Inner>,
    _lock: Lock,
}

struct Inner {
    state: State,
    log: File,
}

/// The file beside the state that its lock is on.
pub(super) fn lock_path(path: &Path) -> PathBuf {
    path.with_extension("lock")
}

fn log_path(path: &Path) -> PathBuf {
    path.with_extension("log")
}

/// Reads the state without locking it: for plan and show. A stack without a state has an empty one,
/// whose lineage is empty too until it is first written: equal plans have equal bytes.
pub(super) fn load(path: &Path, stack: &str) -> Result<State, StateError> {
    let place = path.display().to_string();
    let (state, format) = match read(path)? {
        Some(text) => text::parse(&place, &text)?,
        None => (State::new(stack, String::new()), u64::from(FORMAT)),
    };
    let mut state = text::of_stack(&place, stack, state)?;
    let log = log_path(path);
    if let Some(text) = read(&log)? {
        // A run that died while writing leaves a last line without its end: that entry never happened.
        let complete = text.rfind('\n').map_or("", |end| &text[..end]);
        text::replay(&log.display().to_string(), 1, complete, format, &mut state)?;
    }
    Ok(state)
}

fn read(path: &Path) -> Result<Option<String>, StateError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(StateError::Io { doing: "read", path: path.to_owned(), source }),
    }
}

impl StateFile {
    /// Locks and opens the state of `stack`, replays what an earlier run left in the log, and makes
    /// sure that writing works before anything is done to the clouds.
    pub fn open(path: &Path, stack: &str, holder: &Holder) -> Result<StateFile, StateError> {
        if let Some(folder) = path.parent() {
            let io = |source| StateError::Io { doing: "create", path: folder.to_owned(), source };
            fs::create_dir_all(folder).map_err(io)?;
        }
        let lock = Lock::take(&lock_path(path), holder)?;
        let mut state = load(path, stack)?;
        if state.lineage.is_empty() {
            state.lineage = uuid::Uuid::new_v4().to_string();
        }
        write(path, &state)?;
        let log = fresh_log(&log_path(path))?;
        Ok(StateFile {
            path: path.to_owned(),
            inner: Mutex::new(Inner { state, log }),
            _lock: lock,
        })
    }

    /// Rewrites the file with everything in it and empties the log.
    fn close_now(self) -> Result<(), StateError> {
        let inner = self.inner.into_inner().unwrap_or_else(PoisonError::into_inner);
        write(&self.path, &inner.state)?;
        let path = log_path(&self.path);
        fs::remove_file(&path).map_err(|source| StateError::Io { doing: "remove", path, source })
    }

    fn append_now(&self, entry: &Entry) -> Result<(), StateError> {
        let mut inner = self.inner();
        let line = Line::after(&inner.state, entry);
        let io = |source| StateError::Io { doing: "write", path: log_path(&self.path), source };
        inner.log.write_all(line.as_bytes()).map_err(io)?;
        inner.log.sync_data().map_err(io)?;
        inner.state.apply(entry);
        Ok(())
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for StateFile {
    fn append<'a>(&'a self, entry: Entry) -> BoxFuture<'a, Result<(), StateError>> {
        Box::pin(async move { self.append_now(&entry) })
    }

    fn look(&self, look: &mut dyn FnMut(&State)) {
        look(&self.inner().state);
    }
}

impl OpenState for StateFile {
    fn replace(&self, state: State) {
        self.inner().state = state;
    }

    /// Never: the operating system keeps the lock as long as the process lives.
    fn lost(&self) -> CancellationToken {
        CancellationToken::new()
    }

    fn close(self: Box<Self>) -> BoxFuture<'static, Result<(), StateError>> {
        Box::pin(async move { self.close_now() })
    }
}

fn fresh_log(path: &Path) -> Result<File, StateError> {
    let mut options = OpenOptions::new();
    options.create(true).write(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(|source| StateError::Io {
        doing: "write",
        path: path.to_owned(),
        source,
    })
}

/// Writes the whole state: temporary file in the same folder (made 0600), synced, renamed.
fn write(path: &Path, state: &State) -> Result<(), StateError> {
    let io = |source| StateError::Io { doing: "write", path: path.to_owned(), source };
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(io)?;
    file.write_all(text::whole(state).as_bytes()).map_err(io)?;
    file.as_file().sync_all().map_err(io)?;
    file.persist(path).map_err(|e| io(e.error))?;
    File::open(folder).and_then(|f| f.sync_all()).map_err(io)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use jiff::Timestamp;
    use serde_json::{Value, json};

    use super::*;
    use crate::graph::Group;
    use crate::value::Address;

    fn me() -> Holder {
        Holder::new("test", "here")
    }

    fn entries() -> Vec<Entry> {
        let address = Address::new("t.a", "x");
        let at = Timestamp::UNIX_EPOCH;
        let (group, needs) = (Group::Shared("n".into()), BTreeSet::new());
        vec![
            Entry::Intend {
                address: address.clone(),
                group: group.clone(),
                generation: 1,
                props: json!({"a": 1}),
                needs: needs.clone(),
                deposes: false,
                at,
            },
            Entry::Made { address: address.clone(), id: "x-1".into(), at },
            Entry::Settled {
                address,
                props: json!({"a": 1}),
                seen: json!({"a": 1}),
                needs,
                group,
                changed: true,
                at,
                took: None,
            },
        ]
    }

    #[test]
    fn a_run_cut_off_after_any_entry_is_replayed() {
        for kept in 0..=3 {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("s.json");
            let file = StateFile::open(&path, "s", &me()).unwrap();
            for entry in entries().into_iter().take(kept) {
                file.append_now(&entry).unwrap();
            }
            let before = (&file as &dyn Store).peek(State::clone);
            drop(file); // As a killed process would: no close.
            assert_eq!(load(&path, "s").unwrap(), before, "after {kept} entries");
            StateFile::open(&path, "s", &me()).unwrap().close_now().unwrap();
            assert_eq!(load(&path, "s").unwrap().resources, before.resources);
        }
    }

    #[test]
    fn a_torn_last_line_never_happened_and_a_torn_middle_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.json");
        let file = StateFile::open(&path, "s", &me()).unwrap();
        for entry in entries() {
            file.append_now(&entry).unwrap();
        }
        drop(file);
        let log = fs::read_to_string(log_path(&path)).unwrap();
        fs::write(log_path(&path), &log[..log.len() - 5]).unwrap();
        let state = load(&path, "s").unwrap();
        assert_eq!(state.resources.values().next().unwrap().id.as_deref(), Some("x-1"));
        let lines: Vec<&str> = log.lines().collect();
        fs::write(log_path(&path), format!("{}\n{{oops\n{}\n", lines[0], lines[2])).unwrap();
        assert!(matches!(load(&path, "s"), Err(StateError::Corrupt { line: 2, .. })));
        fs::write(log_path(&path), format!("{}\n{}\n", lines[0], lines[2])).unwrap();
        assert!(matches!(load(&path, "s"), Err(StateError::Corrupt { line: 2, .. })));
    }

    #[test]
    fn bad_files_are_refused_and_left_alone() {
        let newer = json!({"format": 99, "written_by": "dbxctl 9.0.0"}).to_string();
        let other = serde_json::to_string(&State::new("t", "l".into())).unwrap();
        for (name, text) in
            [("truncated", "{\"format\": 1, "), ("newer", &newer), ("other", &other)]
        {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("s.json");
            fs::write(&path, text).unwrap();
            let error = StateFile::open(&path, "s", &me()).err().expect(name).to_string();
            let wanted = match name {
                "truncated" => "damaged at line 1",
                "newer" => "written by dbxctl 9.0.0",
                _ => "stack `t`, not of `s`",
            };
            assert!(error.contains(wanted), "{name}: {error}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text, "{name} was touched");
        }
    }

    #[test]
    fn the_second_run_learns_who_holds_the_lock() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.json");
        let held = StateFile::open(&path, "s", &Holder::new("dbxctl apply", "here")).unwrap();
        let error = StateFile::open(&path, "s", &Holder::new("dbxctl apply", "here"))
            .err()
            .unwrap()
            .to_string();
        assert!(error.contains(&format!("process {} (`dbxctl apply`)", std::process::id())));
        drop(held);
        StateFile::open(&path, "s", &Holder::new("dbxctl apply", "here")).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn state_files_are_for_their_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.json");
        let _open = StateFile::open(&path, "s", &me()).unwrap();
        for name in ["s.json", "s.log", "s.lock"] {
            let mode = fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }

    /// One entry, not two: a run that dies in between would forget either the old object or that the
    /// new one has another name.
    #[test]
    fn the_intent_of_a_replacement_keeps_the_old_object() {
        let mut state = State::new("s", "l".into());
        let all = entries();
        all.iter().for_each(|entry| state.apply(entry));
        let Entry::Intend { address, .. } = &all[0] else {
            unreachable!("the first is the intent")
        };
        let mut next = all[0].clone();
        if let Entry::Intend { deposes, generation, .. } = &mut next {
            (*deposes, *generation) = (true, 2);
        }
        state.apply(&next);
        assert_eq!(state.ids(address), ["x-1"]);
        let record = &state.resources[address];
        assert_eq!((record.id.as_deref(), record.generation), (None, 2));
        state.apply(&Entry::Made {
            address: address.clone(),
            id: "x-2".into(),
            at: record.changed_at,
        });
        state.apply(&Entry::Removed {
            address: address.clone(),
            id: Some("x-1".into()),
            took: None,
        });
        assert_eq!(state.ids(address), ["x-2"]);
    }

    #[test]
    fn entries_survive_the_way_through_the_log() {
        for entry in entries() {
            let line = Line { serial: 7, lineage: "l".into(), entry: entry.clone() };
            let value: Value = serde_json::to_value(&line).unwrap();
            let back: Line = serde_json::from_value(value).unwrap();
            assert_eq!((back.serial, back.entry), (7, entry));
        }
    }
}
