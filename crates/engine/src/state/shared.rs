//! The state in an object store that several machines share.
//!
//! | object | what it is | written |
//! |---|---|---|
//! | `lock.json` | who may write, see `lease` | only if unchanged |
//! | `state.json` | the whole state when a run ended, and the number of the last batch in it | only if unchanged |
//! | `log/NUMBER.jsonl` | a batch of entries since | once |
//!
//! Numbers of batches never repeat, and every run begins with an empty batch. So who writes after
//! another run has begun is refused by the log itself, whatever it believes about the lock. For that
//! a run leaves its own batches when it ends, and removes those of earlier runs.
//!
//! Entries that come while a batch is on its way go out together in the next one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cloud::{Etag, Only};
use futures::StreamExt;
use futures::future::{BoxFuture, join};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::folder::{Folder, Written};
use super::lease::{Lease, Leases, Shared};
use super::lock::Holder;
use super::model::{Entry, FORMAT, State};
use super::task::Task;
use super::text::{self, Line};
use super::{Notice, Notices, OpenState, StateError, Store};

const SNAPSHOT: &str = "state.json";
const LOG: &str = "log/";
/// Objects that are read at the same time.
const SIDE_BY_SIDE: usize = 8;
/// Entries in one batch.
const ENTRIES: usize = 1000;
/// How often a read begins anew because a run ended in the middle of it.
const LOOKS: usize = 5;

/// `state.json`.
#[derive(Serialize, Deserialize)]
struct Snapshot<S> {
    /// The last batch that is in it.
    batch: u64,
    state: S,
}

/// The first line of a batch.
#[derive(Serialize, Deserialize)]
struct Head {
    format: u32,
    written_by: String,
    batch: u64,
    lineage: String,
    /// The run that wrote it.
    owner: String,
}

/// What was read, and where to go on.
struct Loaded {
    state: State,
    /// The last batch that is in it.
    batch: u64,
    snapshot: Option<Etag>,
    /// Batches of earlier runs, which the snapshot has.
    old: Vec<String>,
}

/// Reads the state without locking it.
pub(super) async fn read(folder: &Folder, stack: &str) -> Result<State, StateError> {
    Ok(load(folder, stack).await?.state)
}

async fn load(folder: &Folder, stack: &str) -> Result<Loaded, StateError> {
    let mut looks = 0;
    loop {
        looks += 1;
        match look(folder, stack).await? {
            Ok(loaded) => return Ok(loaded),
            Err(gap) if looks == LOOKS => return Err(gap),
            Err(_) => {}
        }
    }
}

/// One look. A gap in the log is no error yet: a run may have ended in between.
async fn look(folder: &Folder, stack: &str) -> Result<Result<Loaded, StateError>, StateError> {
    let (snapshot, names) = join(folder.get(SNAPSHOT), folder.list(LOG)).await;
    let place = folder.place(SNAPSHOT);
    let mut loaded = match snapshot? {
        Some(object) => {
            let text = String::from_utf8_lossy(&object.bytes);
            let found: Value = text::json(&place, &text)?;
            text::known_format(&place, found.get("state").unwrap_or(&Value::Null))?;
            let Snapshot { batch, state } = text::json::<Snapshot<Value>>(&place, &text)?;
            let state = text::of_stack(&place, stack, text::from_value(&place, state)?)?;
            Loaded { state, batch, snapshot: Some(object.etag), old: Vec::new() }
        }
        None => {
            let state = State::new(stack, String::new());
            Loaded { state, batch: 0, snapshot: None, old: Vec::new() }
        }
    };
    let (old, new): (Vec<String>, Vec<String>) =
        names?.into_iter().partition(|name| number(name).is_none_or(|n| n <= loaded.batch));
    loaded.old = old;
    let mut objects = futures::stream::iter(new)
        .map(|name| async move { (folder.get(&name).await, name) })
        .buffered(SIDE_BY_SIDE);
    while let Some((object, name)) = objects.next().await {
        let place = folder.place(&name);
        let Some(object) = object?.filter(|_| number(&name) == Some(loaded.batch + 1)) else {
            let message = format!("batch {} is missing", loaded.batch + 1);
            return Ok(Err(text::corrupt(&place, 1, message)));
        };
        add(&place, &String::from_utf8_lossy(&object.bytes), &mut loaded)?;
    }
    Ok(Ok(loaded))
}

/// Applies one batch.
fn add(place: &str, batch: &str, loaded: &mut Loaded) -> Result<(), StateError> {
    let (head, lines) = batch.split_once('\n').unwrap_or((batch, ""));
    let head: Value = text::json(place, head)?;
    let format = text::known_format(place, &head)?;
    let head: Head =
        serde_json::from_value(head).map_err(|e| text::corrupt(place, 1, e.to_string()))?;
    let state = &mut loaded.state;
    if state.lineage.is_empty() {
        state.lineage = head.lineage;
    } else if head.lineage != state.lineage {
        return Err(text::corrupt(place, 1, "the batch belongs to another state"));
    }
    text::replay(place, 2, lines, format, state)?;
    loaded.batch = head.batch;
    Ok(())
}

fn name(number: u64) -> String {
    // Padded, so that the order of names is the order of numbers.
    format!("{LOG}{number:020}.jsonl")
}

fn number(name: &str) -> Option<u64> {
    name.strip_prefix(LOG)?.strip_suffix(".jsonl")?.parse().ok()
}

/// The shared state of one stack, open for writing and locked.
pub(super) struct SharedState {
    folder: Folder,
    state: Arc<Mutex<State>>,
    snapshot: Option<Etag>,
    old: Vec<String>,
    lease: Lease,
    queue: mpsc::UnboundedSender<Waiting>,
    writer: Task<Writer>,
}

/// An entry, and who waits for it to be durable.
type Waiting = (Entry, oneshot::Sender<Result<(), Failure>>);

/// Locks and opens the state. A holder that `evicted` names is not waited for.
pub(super) async fn open(
    folder: &Folder,
    stack: &str,
    holder: &Holder,
    evicted: Option<&str>,
    leases: &Leases,
    notices: Notices<'_>,
) -> Result<SharedState, StateError> {
    let lease = Lease::take(folder, holder, evicted, leases, notices).await?;
    match begin(folder, stack, holder, &lease.shared(), notices).await {
        Ok((loaded, writer)) => Ok(SharedState::new(folder, loaded, lease, writer)),
        Err(error) => {
            // The first error is the one to tell; a lock that cannot be freed runs out.
            let _ = lease.release().await;
            Err(error)
        }
    }
}

/// Reads the state and begins the log of this run, which also shows that writing works before
/// anything is done to the clouds.
async fn begin(
    folder: &Folder,
    stack: &str,
    holder: &Holder,
    lease: &Arc<Shared>,
    notices: Notices<'_>,
) -> Result<(Loaded, Writer), StateError> {
    let (loaded, versions) = join(load(folder, stack), folder.keeps_versions()).await;
    match versions {
        Ok(true) => {}
        Ok(false) => notices(Notice::NoVersions(None)),
        Err(error) => notices(Notice::NoVersions(Some(error))),
    }
    let mut loaded = loaded?;
    loop {
        if loaded.state.lineage.is_empty() {
            loaded.state.lineage = uuid::Uuid::new_v4().to_string();
        }
        let mut writer = Writer {
            folder: folder.clone(),
            owner: holder.owner.clone(),
            batch: loaded.batch,
            state: Arc::new(Mutex::new(loaded.state.clone())),
            lease: lease.clone(),
            broken: None,
        };
        match writer.commit(&[]).await {
            Ok(()) => return Ok((loaded, writer)),
            // The last entry of a run that had the lock before arrived just now.
            Err(Failure::Taken(_)) => {
                lease.check()?;
                loaded = load(folder, stack).await?;
            }
            Err(failure) => return Err(failure.error(folder)),
        }
    }
}

impl SharedState {
    fn new(folder: &Folder, loaded: Loaded, lease: Lease, writer: Writer) -> Self {
        let (queue, waiting) = mpsc::unbounded_channel();
        SharedState {
            folder: folder.clone(),
            state: writer.state.clone(),
            snapshot: loaded.snapshot,
            old: loaded.old,
            lease,
            queue,
            writer: Task::begin(writer.run(waiting)),
        }
    }

    async fn finish(self) -> Result<(), StateError> {
        let SharedState { folder, state, snapshot, old, lease, queue, writer } = self;
        // Without a sender the writer writes what is left and ends.
        drop(queue);
        let writer = writer.end().await.map_err(|_| Failure::Bug.error(&folder))?;
        if let Some(failure) = writer.broken {
            // The first error is the one to tell; a lock that cannot be freed runs out.
            let _ = lease.release().await;
            return Err(failure.error(&folder));
        }
        let state = locked(&state).clone();
        let saved = save(&folder, state, writer.batch, snapshot, &lease.shared()).await;
        let tidy = async { if saved.is_ok() { folder.delete(&old).await } else { Ok(()) } };
        let (tidied, released) = join(tidy, lease.release()).await;
        saved.and(tidied).and(released)
    }
}

/// Writes the snapshot, with everything up to `batch` in it. `there` is the one that was read.
async fn save(
    folder: &Folder,
    state: State,
    batch: u64,
    there: Option<Etag>,
    lease: &Shared,
) -> Result<(), StateError> {
    let state = State { written_by: crate::WRITTEN_BY.to_owned(), ..state };
    let snapshot = Snapshot { batch, state };
    let bytes = serde_json::to_vec_pretty(&snapshot).expect("the state is plain data");
    let mut only = there.map_or(Only::IfAbsent, Only::IfUnchanged);
    let going_on = || lease.check().is_ok();
    loop {
        lease.check()?;
        let there = match folder.write(SNAPSHOT, &bytes, &only, &going_on).await? {
            Written::Done(_) => return Ok(()),
            Written::Refused(there) => there,
        };
        // A run that had lost the lock may have written its own at the last moment: it has less.
        let older = there.filter(|object| {
            let found = serde_json::from_slice::<Snapshot<Value>>(&object.bytes);
            found.is_ok_and(|found| found.batch < batch)
        });
        match older {
            Some(object) => only = Only::IfUnchanged(object.etag),
            None => {
                lease.lose("another run has written the state".to_owned());
                return lease.check();
            }
        }
    }
}

impl Store for SharedState {
    fn append<'a>(&'a self, entry: Entry) -> BoxFuture<'a, Result<(), StateError>> {
        let (done, answer) = oneshot::channel();
        let sent = self.queue.send((entry, done));
        Box::pin(async move {
            let answer = match sent {
                Ok(()) => answer.await.unwrap_or(Err(Failure::Bug)),
                Err(_) => Err(Failure::Bug),
            };
            answer.map_err(|failure| failure.error(&self.folder))
        })
    }

    fn look(&self, look: &mut dyn FnMut(&State)) {
        look(&locked(&self.state));
    }
}

impl OpenState for SharedState {
    fn replace(&self, state: State) {
        *locked(&self.state) = state;
    }

    fn lost(&self) -> CancellationToken {
        self.lease.shared().lost()
    }

    fn close(self: Box<Self>) -> BoxFuture<'static, Result<(), StateError>> {
        Box::pin(self.finish())
    }
}

/// Why entries were not written, for each of those who wait.
#[derive(Debug, Clone)]
enum Failure {
    /// The number of the batch was taken.
    Taken(String),
    Lost {
        place: String,
        why: String,
    },
    Objects {
        name: String,
        source: cloud::Error,
    },
    Bug,
}

impl Failure {
    fn of(error: StateError, name: &str) -> Failure {
        match error {
            StateError::Lost { place, why } => Failure::Lost { place, why },
            StateError::Objects { source, .. } => {
                Failure::Objects { name: name.to_owned(), source }
            }
            _ => Failure::Bug,
        }
    }

    fn error(self, folder: &Folder) -> StateError {
        match self {
            Failure::Taken(name) => {
                let why = format!("another run has written `{}`", folder.place(&name));
                StateError::Lost { place: folder.place("lock.json"), why }
            }
            Failure::Lost { place, why } => StateError::Lost { place, why },
            Failure::Objects { name, source } => folder.error("write", &name, source),
            Failure::Bug => {
                let why = "bug: the writer of the log has ended".to_owned();
                StateError::Lost { place: folder.place(LOG), why }
            }
        }
    }
}

/// Writes the log, one batch after the other.
struct Writer {
    folder: Folder,
    owner: String,
    /// The last batch that was written.
    batch: u64,
    /// With all entries that are durable.
    state: Arc<Mutex<State>>,
    lease: Arc<Shared>,
    broken: Option<Failure>,
}

impl Writer {
    /// Goes on until nobody can send any more.
    async fn run(mut self, mut queue: mpsc::UnboundedReceiver<Waiting>) -> Writer {
        let mut waiting = Vec::new();
        while queue.recv_many(&mut waiting, ENTRIES).await > 0 {
            let (entries, waiters): (Vec<_>, Vec<_>) = waiting.drain(..).unzip();
            let result = match &self.broken {
                Some(failure) => Err(failure.clone()),
                None => self.commit(&entries).await,
            };
            for waiter in waiters {
                // Who does not wait any more does not care.
                let _ = waiter.send(result.clone());
            }
        }
        self
    }

    /// Makes entries durable, all or none.
    async fn commit(&mut self, entries: &[Entry]) -> Result<(), Failure> {
        let number = self.batch + 1;
        let mut state = locked(&self.state).clone();
        let text = self.text(number, entries, &mut state);
        let (name, lease) = (name(number), self.lease.clone());
        let going_on = || lease.check().is_ok();
        let written = self.folder.write(&name, text.as_bytes(), &Only::IfAbsent, &going_on).await;
        match written {
            Ok(Written::Done(_)) => {}
            Ok(Written::Refused(_)) => return self.breaks(Failure::Taken(name)),
            Err(error) => {
                let error = self.lease.check().err().unwrap_or(error);
                return self.breaks(Failure::of(error, &name));
            }
        }
        self.batch = number;
        *locked(&self.state) = state;
        // If the lock was lost meanwhile, the entry may have come after another run began and ended.
        // It is kept if not, but nothing may be done because of it.
        self.lease.check().map_err(|error| Failure::of(error, &name))
    }

    fn text(&self, batch: u64, entries: &[Entry], state: &mut State) -> String {
        let head = Head {
            format: FORMAT,
            written_by: crate::WRITTEN_BY.to_owned(),
            batch,
            lineage: state.lineage.clone(),
            owner: self.owner.clone(),
        };
        let mut text = serde_json::to_string(&head).expect("a head is plain data");
        text.push('\n');
        for entry in entries {
            text += &Line::after(state, entry);
            state.apply(entry);
        }
        text
    }

    /// After this nothing more is written: entries that do not follow would be refused anyway.
    fn breaks(&mut self, failure: Failure) -> Result<(), Failure> {
        if let Failure::Taken(_) = &failure {
            self.lease.lose("another run has begun".to_owned());
        }
        self.broken = Some(failure.clone());
        Err(failure)
    }
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
