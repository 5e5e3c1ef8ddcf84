//! The shared state, on a store in memory and a clock that only moves when everybody waits.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cloud::{Class, Error, Etag, Object, Objects, Only, Put};
use futures::future::{BoxFuture, join_all};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use serde_json::json;
use tokio::time::{Instant, sleep_until};

use super::*;
use crate::graph::Group;
use crate::value::Address;

const LEASE: Duration = Duration::from_secs(60);

/// What every client of a test sees.
struct Memory {
    began: Instant,
    objects: Mutex<BTreeMap<String, (Vec<u8>, u64)>>,
    writes: Mutex<u64>,
    unversioned: bool,
}

impl Default for Memory {
    fn default() -> Self {
        Memory {
            began: Instant::now(),
            objects: Mutex::default(),
            writes: Mutex::default(),
            unversioned: false,
        }
    }
}

impl Memory {
    fn put(&self, key: &str, bytes: Vec<u8>, only: &Only) -> Put {
        let mut objects = self.objects.lock().unwrap();
        let there = objects.get(key).map(|(_, tag)| Etag(tag.to_string()));
        let holds = match only {
            Only::IfAbsent => there.is_none(),
            Only::IfUnchanged(etag) => there.as_ref() == Some(etag),
        };
        if !holds {
            return Put::Refused;
        }
        let mut writes = self.writes.lock().unwrap();
        *writes += 1;
        objects.insert(key.to_owned(), (bytes, *writes));
        Put::Done(Etag(writes.to_string()))
    }

    fn text(&self, key: &str) -> String {
        String::from_utf8(self.objects.lock().unwrap()[key].0.clone()).unwrap()
    }

    fn set(&self, key: &str, text: &str) {
        self.objects.lock().unwrap().insert(key.to_owned(), (text.into(), u64::MAX));
    }
}

/// What happens to one call.
#[derive(Debug, Clone, Copy, Default)]
struct Fate {
    before_ms: u64,
    after_ms: u64,
    lost: Option<Lost>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Lost {
    Request,
    Answer,
}

/// One client's way to the store.
#[derive(Clone)]
struct Wire {
    memory: Arc<Memory>,
    /// In turn.
    fates: Arc<Mutex<(usize, Vec<Fate>)>>,
    /// Requests sent in this time arrive when it ends, wanted or not.
    cut: Option<(Instant, Instant)>,
}

impl Wire {
    fn good(memory: &Arc<Memory>) -> Wire {
        Wire::with(memory, vec![Fate { before_ms: 10, after_ms: 10, lost: None }])
    }

    fn with(memory: &Arc<Memory>, fates: Vec<Fate>) -> Wire {
        Wire { memory: memory.clone(), fates: Arc::new(Mutex::new((0, fates))), cut: None }
    }

    fn call<T: Send + 'static>(
        &self,
        effect: impl FnOnce(&Memory) -> T + Send + 'static,
    ) -> BoxFuture<'static, cloud::Result<T>> {
        let fate = {
            let (turn, fates) = &mut *self.fates.lock().unwrap();
            *turn += 1;
            fates[(*turn - 1) % fates.len()]
        };
        let (memory, cut) = (self.memory.clone(), self.cut);
        // A request on its way arrives even if nobody waits for the answer any more.
        let request = tokio::spawn(async move {
            let lost = || Error::new(Class::Transient, "memory", "lost");
            if let Some((start, end)) = cut
                && (start..end).contains(&Instant::now())
            {
                sleep_until(end).await;
            }
            sleep_until(Instant::now() + Duration::from_millis(fate.before_ms)).await;
            if fate.lost == Some(Lost::Request) {
                return Err(lost());
            }
            let answer = effect(&memory);
            sleep_until(Instant::now() + Duration::from_millis(fate.after_ms)).await;
            if fate.lost == Some(Lost::Answer) { Err(lost()) } else { Ok(answer) }
        });
        Box::pin(async move { request.await.expect("requests do not panic") })
    }
}

impl Objects for Wire {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, cloud::Result<Option<Object>>> {
        let key = key.to_owned();
        self.call(move |memory| {
            let objects = memory.objects.lock().unwrap();
            let (bytes, tag) = objects.get(&key)?;
            Some(Object { bytes: bytes.clone(), etag: Etag(tag.to_string()) })
        })
    }
    fn put<'a>(
        &'a self,
        key: &'a str,
        bytes: Vec<u8>,
        only: Only,
    ) -> BoxFuture<'a, cloud::Result<Put>> {
        let key = key.to_owned();
        self.call(move |memory| memory.put(&key, bytes, &only))
    }
    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, cloud::Result<Vec<String>>> {
        let prefix = prefix.to_owned();
        self.call(move |memory| {
            let objects = memory.objects.lock().unwrap();
            objects.keys().filter(|key| key.starts_with(&prefix)).cloned().collect()
        })
    }
    fn delete<'a>(&'a self, keys: &'a [String]) -> BoxFuture<'a, cloud::Result<()>> {
        let keys = keys.to_vec();
        self.call(move |memory| {
            memory.objects.lock().unwrap().retain(|key, _| !keys.contains(key));
        })
    }
    fn keeps_versions(&self) -> BoxFuture<'_, cloud::Result<bool>> {
        self.call(|memory| !memory.unversioned)
    }
}

/// A place whose clock is off by some seconds.
fn place(wire: Wire, skew: i64) -> StatePlace {
    place_with_clock(wire, Arc::new(AtomicI64::new(skew)))
}

fn place_with_clock(wire: Wire, skew: Arc<AtomicI64>) -> StatePlace {
    let began = wire.memory.began;
    let clock = move || {
        let elapsed = SignedDuration::try_from(began.elapsed()).unwrap();
        Timestamp::from_second(1_800_000_000).unwrap()
            + elapsed
            + SignedDuration::from_secs(skew.load(Ordering::Relaxed))
    };
    let leases = Leases { length: LEASE, clock: Arc::new(clock) };
    StatePlace::shared("s", Arc::new(wire), "s3://b/", "p/", leases)
}

fn me(name: &str) -> Holder {
    let url = format!("https://ci.example.com/{name}");
    Holder { run_url: Some(url), ..Holder::new("dbxctl apply", name) }
}

fn entry(name: &str) -> Entry {
    Entry::Intend {
        address: Address::new("t.a", name),
        group: Group::Shared("n".into()),
        generation: 1,
        props: json!({}),
        needs: BTreeSet::new(),
        deposes: false,
        at: Timestamp::UNIX_EPOCH,
    }
}

fn quiet(_: Notice) {}

async fn after(duration: Duration) {
    sleep_until(Instant::now() + duration).await;
}

fn names(state: &State) -> Vec<&str> {
    state.resources.keys().map(|a| a.as_str().trim_start_matches("t.a/")).collect()
}

#[tokio::test(start_paused = true)]
async fn what_one_run_writes_the_next_one_reads() {
    let place = place(Wire::good(&Arc::default()), 0);
    for run in ["a", "b", "c"] {
        let open = place.open(&me(run), &quiet).await.unwrap();
        open.append(entry(run)).await.unwrap();
        open.close().await.unwrap();
    }
    let state = place.read().await.unwrap();
    assert_eq!((names(&state), state.serial), (vec!["a", "b", "c"], 3));
    assert!(place.holder(&me("x")).await.unwrap().is_none());
}

/// The last run's batches stay, because they refuse who still believes to hold the lock.
#[tokio::test(start_paused = true)]
async fn a_run_removes_the_log_of_runs_before_it() {
    let memory = Arc::<Memory>::default();
    let place = place(Wire::good(&memory), 0);
    for run in ["a", "b", "c"] {
        let open = place.open(&me(run), &quiet).await.unwrap();
        open.append(entry(run)).await.unwrap();
        open.close().await.unwrap();
    }
    let keys: Vec<String> = memory.objects.lock().unwrap().keys().cloned().collect();
    let logs: Vec<String> = (5..=6).map(|n| format!("p/s/log/{n:020}.jsonl")).collect();
    assert_eq!(
        keys,
        [&["p/s/lock.json".to_owned()], &logs[..], &["p/s/state.json".to_owned()]].concat()
    );
}

#[tokio::test(start_paused = true)]
async fn entries_that_come_together_are_written_together() {
    let memory = Arc::<Memory>::default();
    let open = place(Wire::good(&memory), 0).open(&me("a"), &quiet).await.unwrap();
    let before = *memory.writes.lock().unwrap();
    let all = (0..50).map(|n| open.append(entry(&n.to_string())));
    let started = Instant::now();
    join_all(all).await.into_iter().for_each(Result::unwrap);
    assert!(*memory.writes.lock().unwrap() - before <= 2);
    assert!(started.elapsed() <= Duration::from_millis(40));
    open.close().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_living_holder_is_named_and_keeps_the_lock() {
    let memory = Arc::default();
    let open = place(Wire::good(&memory), 0).open(&me("alice"), &quiet).await.unwrap();
    let other = place(Wire::good(&memory), 0);
    for _ in 0..10 {
        after(LEASE).await;
        let error = other.open(&me("bob"), &quiet).await.err().unwrap().to_string();
        for part in ["on alice", "https://ci.example.com/alice", "(`dbxctl apply`)", "runs until"] {
            assert!(error.contains(part), "{error}");
        }
    }
    open.append(entry("a")).await.unwrap();
    open.close().await.unwrap();
    other.open(&me("bob"), &quiet).await.unwrap().close().await.unwrap();
}

/// However wrong the clock of the one who waits is.
#[tokio::test(start_paused = true)]
async fn a_clock_that_is_ahead_does_not_take_the_lock_from_the_living() {
    let memory = Arc::default();
    let open = place(Wire::good(&memory), 0).open(&me("alice"), &quiet).await.unwrap();
    let ahead = place(Wire::good(&memory), 1200);
    assert!(matches!(ahead.open(&me("bob"), &quiet).await, Err(StateError::Locked(_))));
    open.append(entry("a")).await.unwrap();
    open.close().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_dead_holder_is_followed_and_nothing_of_it_is_lost() {
    let memory = Arc::default();
    let dead = place(Wire::good(&memory), 0).open(&me("alice"), &quiet).await.unwrap();
    dead.append(entry("a")).await.unwrap();
    drop(dead);
    let next = place(Wire::good(&memory), 0);
    assert_eq!(names(&next.read().await.unwrap()), ["a"]);
    assert!(next.open(&me("bob"), &quiet).await.is_err());
    after(LEASE).await;
    let noticed = Mutex::new(Vec::new());
    let notice = |notice: Notice| noticed.lock().unwrap().push(notice);
    let open = next.open(&me("bob"), &notice).await.unwrap();
    assert!(
        matches!(&noticed.lock().unwrap()[0], Notice::Watching { holder, .. } if holder.host == "alice")
    );
    open.append(entry("b")).await.unwrap();
    open.close().await.unwrap();
    assert_eq!(names(&next.read().await.unwrap()), ["a", "b"]);
}

/// While a machine sleeps only its time of day goes on. Nobody may do anything because of an entry
/// that is written after that.
#[tokio::test(start_paused = true)]
async fn a_run_on_a_machine_that_slept_does_nothing_more() {
    let (memory, skew) = (Arc::default(), Arc::new(AtomicI64::new(0)));
    let place = place_with_clock(Wire::good(&memory), skew.clone());
    let open = place.open(&me("alice"), &quiet).await.unwrap();
    open.append(entry("a")).await.unwrap();
    skew.store(300, Ordering::Relaxed);
    assert!(matches!(open.append(entry("b")).await, Err(StateError::Lost { .. })));
    assert!(open.lost().is_cancelled());
    assert!(matches!(open.close().await, Err(StateError::Lost { .. })));
    assert_eq!(names(&place.read().await.unwrap()), ["a", "b"]);
}

/// The network is gone for a while, and requests sent in that time arrive late.
#[tokio::test(start_paused = true)]
async fn a_holder_that_was_cut_off_can_write_no_more() {
    let memory = Arc::default();
    let start = Instant::now();
    let mut wire = Wire::good(&memory);
    wire.cut = Some((start + Duration::from_secs(5), start + LEASE * 5));
    let stale = place(wire, 0).open(&me("alice"), &quiet).await.unwrap();
    stale.append(entry("a")).await.unwrap();
    after(Duration::from_secs(10)).await;
    let late = stale.append(entry("late"));
    let next = place(Wire::good(&memory), 0);
    let second = async {
        after(LEASE).await;
        let open = next.open(&me("bob"), &quiet).await.unwrap();
        open.append(entry("b")).await.unwrap();
        open.close().await.unwrap();
    };
    let (late, ()) = futures::future::join(late, second).await;
    assert!(matches!(late, Err(StateError::Lost { .. })), "{late:?}");
    assert!(stale.lost().is_cancelled());
    after(LEASE * 5).await;
    assert!(matches!(stale.append(entry("later")).await, Err(StateError::Lost { .. })));
    assert!(matches!(stale.close().await, Err(StateError::Lost { .. })));
    assert_eq!(names(&next.read().await.unwrap()), ["a", "b"]);
}

/// Without having to wait, but only the run that was named.
#[tokio::test(start_paused = true)]
async fn a_lock_is_taken_away_from_the_run_that_is_named() {
    let memory = Arc::default();
    let alice = me("alice");
    let open = place(Wire::good(&memory), 0).open(&alice, &quiet).await.unwrap();
    open.append(entry("a")).await.unwrap();
    let other = place(Wire::good(&memory), 0);
    assert!(other.evict("somebody else", &me("bob"), &quiet).await.is_err());
    other.evict(&alice.owner, &me("bob"), &quiet).await.unwrap();
    assert!(matches!(open.append(entry("late")).await, Err(StateError::Lost { .. })));
    assert!(matches!(open.close().await, Err(StateError::Lost { .. })));
    assert!(other.holder(&me("bob")).await.unwrap().is_none());
    assert_eq!(names(&other.read().await.unwrap()), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn what_a_newer_program_wrote_is_refused_and_left_alone() {
    let newer = r#""format": 99, "written_by": "dbxctl 9.0.0""#;
    let cases = [
        ("p/s/state.json", format!(r#"{{"batch": 1, "state": {{{newer}}}}}"#)),
        ("p/s/log/00000000000000000001.jsonl", format!("{{{newer}}}\n")),
    ];
    for (key, text) in cases {
        let memory = Arc::<Memory>::default();
        memory.set(key, &text);
        let place = place(Wire::good(&memory), 0);
        for error in [place.read().await.err(), place.open(&me("a"), &quiet).await.err()] {
            let error = error.unwrap().to_string();
            assert!(
                error.contains("written by dbxctl 9.0.0") && error.contains("s3://b/p/s/"),
                "{error}"
            );
        }
        assert_eq!(memory.text(key), text);
        assert!(place.holder(&me("a")).await.unwrap().is_none(), "the lock is free again");
    }
}

#[tokio::test(start_paused = true)]
async fn a_gap_in_the_log_is_reported() {
    let memory = Arc::<Memory>::default();
    let place = place(Wire::good(&memory), 0);
    let open = place.open(&me("a"), &quiet).await.unwrap();
    open.append(entry("a")).await.unwrap();
    open.append(entry("b")).await.unwrap();
    drop(open);
    memory.objects.lock().unwrap().remove("p/s/log/00000000000000000002.jsonl");
    let error = place.read().await.unwrap_err().to_string();
    assert!(error.contains("batch 2 is missing"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_store_without_versions_is_pointed_out() {
    let memory = Arc::new(Memory { unversioned: true, ..Memory::default() });
    let noticed = Mutex::new(0);
    let notice = |notice: Notice| match notice {
        Notice::NoVersions(None) => *noticed.lock().unwrap() += 1,
        other => panic!("{other:?}"),
    };
    place(Wire::good(&memory), 0).open(&me("a"), &notice).await.unwrap().close().await.unwrap();
    assert_eq!(*noticed.lock().unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_pushed_state_must_have_the_same_past_and_be_ahead() {
    let place = place(Wire::good(&Arc::default()), 0);
    let open = place.open(&me("a"), &quiet).await.unwrap();
    open.append(entry("a")).await.unwrap();
    open.append(entry("b")).await.unwrap();
    open.close().await.unwrap();
    let now = place.read().await.unwrap();
    let open = place.open(&me("a"), &quiet).await.unwrap();
    let other_stack = State { stack: "t".into(), ..now.clone() };
    let other_past = State { lineage: "l".into(), ..now.clone() };
    let behind = State { serial: 1, ..now.clone() };
    let ahead = State { serial: 9, ..now.clone() };
    assert!(matches!(
        push(open.as_ref(), other_stack.clone(), true),
        Err(PushError::OtherStack(..))
    ));
    assert!(matches!(
        push(open.as_ref(), other_past.clone(), false),
        Err(PushError::OtherLineage(..))
    ));
    assert!(matches!(push(open.as_ref(), behind.clone(), false), Err(PushError::Behind(1, 2))));
    assert_eq!(push(open.as_ref(), now.clone(), false), Ok(false));
    assert_eq!(push(open.as_ref(), behind, true), Ok(true));
    open.close().await.unwrap();
    assert_eq!(place.read().await.unwrap().serial, 3, "no saved plan may fit a state put back");
    let open = place.open(&me("a"), &quiet).await.unwrap();
    assert_eq!(push(open.as_ref(), ahead.clone(), false), Ok(true));
    open.close().await.unwrap();
    assert_eq!(place.read().await.unwrap(), ahead);
}

/// What one client of the random test goes through.
#[derive(Debug, Clone)]
struct Client {
    fates: Vec<Fate>,
    /// Seconds its clock is off.
    skew: i64,
    /// Seconds from the beginning.
    starts: u64,
    cut: (u64, u64),
    runs: Vec<RunOf>,
}

#[derive(Debug, Clone)]
struct RunOf {
    entries: usize,
    together: bool,
    pause: u64,
    dies: bool,
}

fn fate() -> impl Strategy<Value = Fate> {
    let lost = prop_oneof![
        12 => Just(None),
        1 => Just(Some(Lost::Request)),
        2 => Just(Some(Lost::Answer)),
    ];
    // Some calls take so long that nobody waits for their end.
    let delay = || prop_oneof![10 => 0..300_u64, 1 => 5_000..90_000_u64];
    (delay(), delay(), lost).prop_map(|(before_ms, after_ms, lost)| Fate {
        before_ms,
        after_ms,
        lost,
    })
}

fn client() -> impl Strategy<Value = Client> {
    let run = (1..5_usize, any::<bool>(), 0..90_u64, prop::bool::weighted(0.3))
        .prop_map(|(entries, together, pause, dies)| RunOf { entries, together, pause, dies });
    let fates = prop::collection::vec(fate(), 1..40);
    let cut = (0..200_u64, prop_oneof![Just(0), 0..400_u64]);
    (fates, -600..600_i64, 0..200_u64, cut, prop::collection::vec(run, 1..4))
        .prop_map(|(fates, skew, starts, cut, runs)| Client { fates, skew, starts, cut, runs })
}

/// What is known from outside about who writes.
#[derive(Default)]
struct Seen {
    /// The run that has opened the state last.
    writer: Mutex<String>,
    acknowledged: Mutex<BTreeSet<String>>,
}

async fn live(number: usize, client: Client, memory: Arc<Memory>, seen: Arc<Seen>) {
    let start = Instant::now();
    let mut wire = Wire::with(&memory, client.fates.clone());
    let (from, length) = client.cut;
    let from = start + Duration::from_secs(from);
    wire.cut = (length > 0).then(|| (from, from + Duration::from_secs(length)));
    let place = place(wire, client.skew);
    after(Duration::from_secs(client.starts)).await;
    for (turn, run) in client.runs.iter().enumerate() {
        let name = format!("{number}.{turn}");
        let Some(open) = open_some_time(&place, &me(&name)).await else { continue };
        *seen.writer.lock().unwrap() = name.clone();
        let append = |n: usize| {
            let (name, open, seen) = (&name, &open, &seen);
            async move {
                let entry_name = format!("{name}.{n}");
                if open.append(entry(&entry_name)).await.is_ok() {
                    assert_eq!(*seen.writer.lock().unwrap(), *name, "two write");
                    seen.acknowledged.lock().unwrap().insert(entry_name);
                }
            }
        };
        if run.together {
            join_all((0..run.entries).map(append)).await;
        } else {
            for n in 0..run.entries {
                append(n).await;
                after(Duration::from_secs(run.pause)).await;
            }
        }
        if !run.dies {
            let _ = open.close().await;
        }
    }
}

async fn open_some_time(place: &StatePlace, holder: &Holder) -> Option<Box<dyn OpenState>> {
    for _ in 0..60 {
        match place.open(holder, &quiet).await {
            Ok(open) => return Some(open),
            Err(StateError::Corrupt { place, message, .. }) => panic!("{place}: {message}"),
            Err(_) => after(Duration::from_secs(20)).await,
        }
    }
    None
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 60,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Whatever gets lost, hangs, dies or is cut off, and whatever the clocks say.
    #[test]
    fn never_two_write_and_no_record_is_lost(clients in prop::collection::vec(client(), 2..4)) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let (memory, seen) = (Arc::<Memory>::default(), Arc::<Seen>::default());
            let all = clients.into_iter().enumerate().map(|(number, client)| {
                tokio::spawn(live(number, client, memory.clone(), seen.clone()))
            });
            for client in join_all(all).await {
                client.expect("a client saw something that must not be");
            }
            after(Duration::from_secs(3600)).await;
            let place = place(Wire::good(&memory), 0);
            let open = place.open(&me("last"), &quiet).await.expect("whoever held the lock is dead");
            open.close().await.unwrap();
            let state = place.read().await.unwrap();
            let have: BTreeSet<String> = names(&state).into_iter().map(str::to_owned).collect();
            let acknowledged = seen.acknowledged.lock().unwrap();
            let lost: Vec<_> = acknowledged.difference(&have).collect();
            assert!(lost.is_empty(), "lost: {lost:?}");
            assert_eq!(state.serial, have.len() as u64, "an entry counts twice");
        });
    }
}
