//! One run at a time on a state that several machines share: a lock that has to be renewed.
//!
//! `lock.json` names the holder, who writes it anew every third of the lease. Nobody's clock has to
//! be right for it to be safe: a holder counts from the moment it *sends* a renewal, on its own
//! clock, and stops a third before the end; who wants to take over watches the lock stay the same
//! for a whole lease, on its own clock too. The times in the lock only tell people when, and save a
//! watch when a lease ran out so long ago that no clock is that wrong.
//!
//! What no lock can prevent: a call to a cloud that was sent in time and takes effect later than a
//! third of a lease after its sender stopped. What it makes carries the stack's mark, so the next
//! refresh finds it. And a holder that was stopped as a whole (a suspended machine) wakes up unaware;
//! its next entry is refused, because the log itself takes every number once only.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cloud::{Etag, Object, Only};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::folder::{Folder, Written, for_a_while, pauses};
use super::lock::{Holder, LockError};
use super::task::Task;
use super::{Notice, Notices, StateError, text};

const LOCK: &str = "lock.json";
/// No two clocks are further apart. AWS refuses requests that are (`RequestTimeTooSkewed`, 15
/// minutes to either side of its own).
const CLOCKS_APART: SignedDuration = SignedDuration::from_mins(30);

/// How leases are given. The same for everybody who shares a state is best, but not needed.
#[derive(Clone)]
pub struct Leases {
    /// How long one lasts when it is not renewed.
    pub length: Duration,
    /// The time of day.
    pub clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

impl Default for Leases {
    fn default() -> Self {
        Leases { length: Duration::from_secs(60), clock: Arc::new(Timestamp::now) }
    }
}

impl Leases {
    fn now(&self) -> Timestamp {
        (self.clock)()
    }
}

/// `lock.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct LockFile {
    #[serde(flatten)]
    holder: Holder,
    /// The lock is free; the holder is who had it last.
    released: bool,
    /// By the holder's clock.
    expires: Timestamp,
    lease_ms: u64,
    /// Counts renewals, so that no two writes of the lock are alike.
    renewal: u64,
}

impl LockFile {
    fn read(folder: &Folder, object: &Object) -> Result<Self, StateError> {
        text::json(&folder.place(LOCK), &String::from_utf8_lossy(&object.bytes))
    }

    fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).expect("a lock is plain data")
    }

    fn length(&self) -> Duration {
        Duration::from_millis(self.lease_ms)
    }

    fn held(self) -> StateError {
        let holder = Box::new(self.holder);
        LockError::Leased { holder, expires: self.expires }.into()
    }
}

/// Who holds the lock, and until when, unless it is renewed.
pub(super) async fn holder(folder: &Folder) -> Result<Option<(Holder, Timestamp)>, StateError> {
    let Some(object) = folder.get(LOCK).await? else { return Ok(None) };
    let lock = LockFile::read(folder, &object)?;
    Ok((!lock.released).then_some((lock.holder, lock.expires)))
}

/// The lock, held and renewed until it is released, dropped or lost.
pub(super) struct Lease {
    shared: Arc<Shared>,
    stop: CancellationToken,
    keeper: Task<Keeper>,
}

/// What the keeper and those who write both know.
pub(super) struct Shared {
    leases: Leases,
    place: String,
    until: Mutex<Until>,
    why: Mutex<String>,
    lost: CancellationToken,
}

/// When the holder has to stop, by both clocks: one stands still while a machine sleeps, the other
/// can be set.
#[derive(Clone, Copy)]
struct Until(Instant, Timestamp);

impl Lease {
    /// Takes the lock, or says who has it. A holder that `evicted` names is not waited for.
    pub(super) async fn take(
        folder: &Folder,
        holder: &Holder,
        evicted: Option<&str>,
        leases: &Leases,
        notices: Notices<'_>,
    ) -> Result<Lease, StateError> {
        loop {
            let only = match folder.get(LOCK).await? {
                None => Only::IfAbsent,
                Some(object) => {
                    let lock = LockFile::read(folder, &object)?;
                    if !lock.released && evicted != Some(&lock.holder.owner) {
                        watch(folder, lock, &object.etag, leases, notices).await?;
                    }
                    Only::IfUnchanged(object.etag)
                }
            };
            let mut lock = LockFile {
                holder: holder.clone(),
                released: false,
                expires: Timestamp::UNIX_EPOCH,
                lease_ms: u64::try_from(leases.length.as_millis()).unwrap_or(u64::MAX),
                renewal: 0,
            };
            let until = sign(&mut lock, leases);
            match folder.write(LOCK, &lock.bytes(), &only, &for_a_while()).await? {
                Written::Done(etag) => return Ok(Lease::keep(folder, lock, etag, until, leases)),
                // Somebody was faster, and will be seen the next time.
                Written::Refused(_) => {}
            }
        }
    }

    fn keep(folder: &Folder, lock: LockFile, etag: Etag, until: Until, leases: &Leases) -> Lease {
        let shared = Arc::new(Shared {
            leases: leases.clone(),
            place: folder.place(LOCK),
            until: Mutex::new(until),
            why: Mutex::default(),
            lost: CancellationToken::new(),
        });
        let stop = CancellationToken::new();
        let keeper = Keeper { folder: folder.clone(), lock, etag, shared: shared.clone() };
        let keeper = Task::begin(keeper.run(stop.clone()));
        Lease { shared, stop, keeper }
    }

    pub(super) fn shared(&self) -> Arc<Shared> {
        self.shared.clone()
    }

    /// Lets go of the lock, if it is still ours.
    pub(super) async fn release(self) -> Result<(), StateError> {
        self.stop.cancel();
        let Ok(Keeper { folder, mut lock, etag, shared }) = self.keeper.end().await else {
            return Ok(()); // It panicked; the lease runs out.
        };
        lock.released = true;
        lock.renewal += 1;
        let going_on = || shared.check().is_ok();
        folder.write(LOCK, &lock.bytes(), &Only::IfUnchanged(etag), &going_on).await?;
        Ok(())
    }
}

impl Shared {
    /// Whether the lock is certainly ours at this moment.
    pub(super) fn check(&self) -> Result<(), StateError> {
        let Until(instant, time) = *lock(&self.until);
        if Instant::now() >= instant || self.leases.now() >= time {
            self.lose("it was not renewed in time".to_owned());
        }
        if !self.lost.is_cancelled() {
            return Ok(());
        }
        Err(StateError::Lost { place: self.place.clone(), why: lock(&self.why).clone() })
    }

    /// Cancelled as soon as the lock may be another's.
    pub(super) fn lost(&self) -> CancellationToken {
        self.lost.clone()
    }

    pub(super) fn lose(&self, why: String) {
        let mut known = lock(&self.why);
        if known.is_empty() {
            *known = why;
        }
        self.lost.cancel();
    }
}

/// Renews the lock.
struct Keeper {
    folder: Folder,
    lock: LockFile,
    etag: Etag,
    shared: Arc<Shared>,
}

impl Keeper {
    /// Goes on until it is told to stop, or the lock is lost.
    async fn run(mut self, stop: CancellationToken) -> Keeper {
        let length = self.shared.leases.length;
        let mut next = Instant::now() + length / 3;
        loop {
            tokio::select! {
                () = sleep_until(next) => {}
                () = stop.cancelled() => return self,
            }
            next = Instant::now() + length / 3;
            if self.shared.check().is_err() || self.renew().await.is_none() {
                return self;
            }
        }
    }

    /// One renewal, tried until it succeeds or the lock is lost.
    async fn renew(&mut self) -> Option<()> {
        let shared = self.shared.clone();
        let going_on = || shared.check().is_ok();
        let until = sign(&mut self.lock, &shared.leases);
        let (bytes, only) = (self.lock.bytes(), Only::IfUnchanged(self.etag.clone()));
        let mut pauses = pauses();
        loop {
            match self.folder.write(LOCK, &bytes, &only, &going_on).await {
                Ok(Written::Done(etag)) => {
                    self.etag = etag;
                    *lock(&shared.until) = until;
                    return shared.check().ok();
                }
                Ok(Written::Refused(there)) => {
                    shared.lose(taken_by(&self.folder, there));
                    return None;
                }
                // Even what looks final may pass, such as credentials that have run out.
                Err(error) if going_on() => {
                    pauses.sleep(None).await;
                    drop(error);
                }
                Err(error) => {
                    shared.lose(format!("it could not be renewed: {error}"));
                    return None;
                }
            }
        }
    }
}

/// Dates the lock from now on, and says when its holder has to stop.
fn sign(lock: &mut LockFile, leases: &Leases) -> Until {
    let (instant, time) = (Instant::now(), leases.now());
    let (length, usable) = (leases.length, leases.length * 2 / 3);
    lock.renewal += 1;
    lock.expires = time.saturating_add(length).unwrap_or(Timestamp::MAX);
    Until(instant + usable, time.saturating_add(usable).unwrap_or(Timestamp::MAX))
}

fn taken_by(folder: &Folder, there: Option<Object>) -> String {
    match there.map(|object| LockFile::read(folder, &object)) {
        Some(Ok(lock)) => format!("{} has it now", lock.holder),
        _ => "it was removed".to_owned(),
    }
}

/// Makes sure that the holder is dead.
async fn watch(
    folder: &Folder,
    lock: LockFile,
    etag: &Etag,
    leases: &Leases,
    notices: Notices<'_>,
) -> Result<(), StateError> {
    let over = leases.now().duration_since(lock.expires);
    if over.is_negative() {
        return Err(lock.held());
    }
    if over > CLOCKS_APART {
        return Ok(());
    }
    let end = Instant::now() + lock.length();
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        notices(Notice::Watching { holder: lock.holder.clone(), left });
        sleep_until(end.min(Instant::now() + lock.length() / 3)).await;
        match folder.get(LOCK).await? {
            Some(object) if object.etag == *etag => {}
            // It lives, or another was faster.
            Some(object) => {
                let now = LockFile::read(folder, &object)?;
                return if now.released { Ok(()) } else { Err(now.held()) };
            }
            None => return Ok(()),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
