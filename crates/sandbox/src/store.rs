//! Objects in memory, and the journal that keeps them between runs.
//!
//! The file is JSON lines: a header with a generation, a snapshot, then one line per mutation.
//! A line is complete when it ends with a newline; what follows the last newline was never
//! answered and is cut off. Writers hold a lock on `<file>.lock` for one mutation at a time and
//! first read what others appended, so that processes may share the file.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use engine::Mark;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Kind and id.
pub(crate) type Key = (String, String);

/// Why a sandbox file cannot be used.
#[derive(Debug)]
pub struct OpenError {
    /// The file.
    pub path: PathBuf,
    /// What the system said, or what is wrong with the contents.
    pub cause: io::Error,
}

impl std::fmt::Display for OpenError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "cannot use the sandbox file {}: {}", self.path.display(), self.cause)
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.cause)
    }
}

/// One simulated object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Object {
    pub(crate) kind: String,
    pub(crate) id: String,
    pub(crate) props: Value,
    pub(crate) created_at: u64,
    pub(crate) changed_at: u64,
    pub(crate) ready_at: u64,
    /// When it is gone, once somebody asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) gone_at: Option<u64>,
    /// Why it will fail instead of getting ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) fate: Option<String>,
    /// Somebody else made it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) foreign: bool,
    /// Stands for something outside this world; nothing behind it is checked.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) outside: bool,
}

impl Object {
    /// One that is ready, and nobody's.
    pub(crate) fn new(kind: &str, id: &str, props: Value, now: u64) -> Self {
        Object {
            kind: kind.to_owned(),
            id: id.to_owned(),
            props,
            created_at: now,
            changed_at: now,
            ready_at: now,
            gone_at: None,
            fate: None,
            foreign: false,
            outside: false,
        }
    }
    /// Whose it is, as its tags say.
    pub(crate) fn mark(&self) -> Option<Mark> {
        mark(&self.props)
    }
    pub(crate) fn key(&self) -> Key {
        (self.kind.clone(), self.id.clone())
    }
    pub(crate) fn exists(&self, now: u64) -> bool {
        self.gone_at.is_none_or(|at| now < at)
    }
    pub(crate) fn ready(&self, now: u64) -> bool {
        now >= self.ready_at
    }
    /// A text field of the props; empty when there is none.
    pub(crate) fn text(&self, field: &str) -> &str {
        self.props[field].as_str().unwrap_or_default()
    }
}

/// The mark among the tags of these props.
pub(crate) fn mark(props: &Value) -> Option<Mark> {
    let tag = |key| Some(props["tags"][key].as_str()?.to_owned());
    Some(Mark { stack: tag("dbxctl:stack")?, address: tag("dbxctl:address")?.into() })
}

/// What one mutation changes.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Delta {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) put: Vec<Object>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) gone: Vec<Key>,
    /// Names that were given one more id.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) births: BTreeMap<String, u64>,
}

/// All objects.
#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) objects: BTreeMap<Key, Object>,
    /// How often an id was given under a name, so that no id is given twice.
    pub(crate) births: BTreeMap<String, u64>,
}

impl World {
    fn apply(&mut self, delta: Delta) {
        for key in &delta.gone {
            self.objects.remove(key);
        }
        for object in delta.put {
            self.objects.insert(object.key(), object);
        }
        self.births.extend(delta.births);
    }
}

/// The world and, unless it lives in memory only, its file.
pub(crate) struct Store {
    pub(crate) world: World,
    journal: Option<Journal>,
}

struct Journal {
    path: PathBuf,
    lock: File,
    generation: u64,
    /// Up to where the file is in memory.
    offset: u64,
    lines: usize,
}

#[derive(Serialize, Deserialize)]
struct Header {
    dbxctl_sandbox: u32,
    generation: u64,
}

const FORMAT: u32 = 1;

impl Store {
    pub(crate) fn in_memory() -> Self {
        Store { world: World::default(), journal: None }
    }

    pub(crate) fn open(path: &Path) -> Result<Self, OpenError> {
        let failed = |cause| OpenError { path: path.to_owned(), cause };
        let lock = private(OpenOptions::new().create(true).write(true).truncate(false))
            .open(path.with_extension("lock"))
            .map_err(failed)?;
        let journal = Journal { path: path.to_owned(), lock, generation: 0, offset: 0, lines: 0 };
        let mut store = Store { world: World::default(), journal: Some(journal) };
        store.locked(Store::open_locked).map_err(failed)?;
        Ok(store)
    }

    fn open_locked(&mut self) -> io::Result<()> {
        self.catch_up()?;
        let objects = self.world.objects.len();
        if self.journal.as_ref().is_some_and(|j| j.generation == 0 || j.lines > 200 + 2 * objects) {
            self.compact()?;
        }
        Ok(())
    }

    /// Reads what other processes wrote since.
    pub(crate) fn catch_up(&mut self) -> io::Result<()> {
        let Some(journal) = &mut self.journal else { return Ok(()) };
        let mut file = match File::open(&journal.path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                // Somebody threw the world away: begin anew.
                self.world = World::default();
                (journal.generation, journal.offset, journal.lines) = (0, 0, 0);
                return Ok(());
            }
            file => file?,
        };
        let mut start = [0; 80];
        let read = file.read(&mut start)?;
        let Some(end) = start[..read].iter().position(|b| *b == b'\n') else {
            return Err(io::Error::other("it is not a sandbox file"));
        };
        let header: Header = serde_json::from_slice(&start[..end])
            .map_err(|_| io::Error::other("it is not a sandbox file"))?;
        if header.dbxctl_sandbox != FORMAT {
            return Err(io::Error::other("it was written by another version; remove it"));
        }
        // A file shorter than what was read is another one: somebody threw the world away.
        if header.generation != journal.generation || file.metadata()?.len() < journal.offset {
            self.world = World::default();
            journal.generation = header.generation;
            journal.offset = end as u64 + 1;
            journal.lines = 0;
        }
        file.seek(SeekFrom::Start(journal.offset))?;
        let mut tail = Vec::new();
        file.read_to_end(&mut tail)?;
        for line in tail.split_inclusive(|b| *b == b'\n') {
            if line.last() != Some(&b'\n') {
                break;
            }
            self.world.apply(serde_json::from_slice(line)?);
            journal.offset += line.len() as u64;
            journal.lines += 1;
        }
        Ok(())
    }

    /// Runs `work` while no other process writes, on the newest world.
    pub(crate) fn locked<T, E: From<io::Error>>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<T, E> {
        let lock = match &self.journal {
            Some(journal) => Some(journal.lock.try_clone()?),
            None => None,
        };
        if let Some(lock) = &lock {
            lock.lock()?;
        }
        let result = self.catch_up().map_err(E::from).and_then(|()| work(self));
        if let Some(lock) = &lock {
            lock.unlock()?;
        }
        result
    }

    /// Makes `delta` true, durably. Only inside [`Store::locked`].
    pub(crate) fn commit(&mut self, delta: Delta) -> io::Result<()> {
        if let Some(journal) = &mut self.journal {
            let mut line = serde_json::to_vec(&delta)?;
            line.push(b'\n');
            if journal.generation == 0 {
                self.compact()?;
                return self.commit(delta);
            }
            let mut file = OpenOptions::new().write(true).open(&journal.path)?;
            // Whatever lies behind the offset is a torn line of a process that died.
            file.set_len(journal.offset)?;
            file.seek(SeekFrom::Start(journal.offset))?;
            file.write_all(&line)?;
            journal.offset += line.len() as u64;
            journal.lines += 1;
        }
        self.world.apply(delta);
        Ok(())
    }

    /// Writes the world as one line into a new file and puts it in place of the old one.
    fn compact(&mut self) -> io::Result<()> {
        let Some(journal) = &mut self.journal else { return Ok(()) };
        let generation = journal.generation + 1;
        let mut text = serde_json::to_vec(&Header { dbxctl_sandbox: FORMAT, generation })?;
        text.push(b'\n');
        let snapshot = Delta {
            put: self.world.objects.values().cloned().collect(),
            gone: Vec::new(),
            births: self.world.births.clone(),
        };
        serde_json::to_writer(&mut text, &snapshot)?;
        text.push(b'\n');
        let folder = journal.path.parent().filter(|p| !p.as_os_str().is_empty());
        // The temporary file is private (0600), and stays so under its new name.
        let mut file = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?;
        file.write_all(&text)?;
        file.as_file().sync_all()?;
        file.persist(&journal.path).map_err(|e| e.error)?;
        (journal.generation, journal.offset, journal.lines) = (generation, text.len() as u64, 1);
        Ok(())
    }
}

fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(id: &str) -> Object {
        Object::new("aws.vpc", id, json!({ "cidr": "10.0.0.0/16" }), 1)
    }

    fn put(store: &mut Store, id: &str) {
        let delta = Delta { put: vec![object(id)], ..Delta::default() };
        store.locked(|s| s.commit(delta)).expect("written");
    }

    fn ids(store: &mut Store) -> Vec<String> {
        store.catch_up().expect("readable");
        store.world.objects.keys().map(|(_, id)| id.clone()).collect()
    }

    #[test]
    fn what_was_committed_is_there_after_a_restart_and_a_torn_line_is_not() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("cloud.json");
        put(&mut Store::open(&path).expect("new"), "a");
        let mut file = OpenOptions::new().append(true).open(&path).expect("there");
        file.write_all(b"{\"put\":[{\"kind\":\"aws.v").expect("torn");
        let mut again = Store::open(&path).expect("torn lines are tolerated");
        assert_eq!(ids(&mut again), ["a"]);
        put(&mut again, "b");
        assert_eq!(ids(&mut Store::open(&path).expect("whole again")), ["a", "b"]);
    }

    #[test]
    fn two_stores_on_one_file_see_each_other_even_across_a_compaction() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("cloud.json");
        let mut one = Store::open(&path).expect("new");
        let mut two = Store::open(&path).expect("shared");
        put(&mut one, "a");
        put(&mut two, "b");
        two.locked(Store::compact).expect("compacted");
        put(&mut one, "c");
        assert_eq!(ids(&mut one), ["a", "b", "c"]);
        assert_eq!(ids(&mut two), ["a", "b", "c"]);
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_may_read_the_file() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("cloud.json");
        put(&mut Store::open(&path).expect("new"), "a");
        let mode = std::fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
