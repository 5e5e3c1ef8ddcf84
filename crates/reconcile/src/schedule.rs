//! When each stack has its turn: a pure function of what happened and of the time since the start.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

/// How long a stack waits for its next turn, beside its own interval.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// After the first failure; twice as long after each that follows.
    pub first_backoff: Duration,
    /// Never longer than this.
    pub longest_backoff: Duration,
    /// While another run works on the stack.
    pub locked: Duration,
    /// Makes the jitter of this process another than that of its neighbours.
    pub seed: u64,
}

impl Default for Timing {
    fn default() -> Self {
        Timing {
            first_backoff: Duration::from_secs(15),
            longest_backoff: Duration::from_secs(30 * 60),
            locked: Duration::from_secs(15),
            seed: 0,
        }
    }
}

/// What the schedule has to know of a stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defined {
    /// From the end of a turn to the next when nothing happens, give or take a tenth.
    pub interval: Duration,
    /// Tells what the stack is made from: another is a change.
    pub fingerprint: String,
}

/// How a turn ended, from good to bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Turned {
    /// The clouds are as the spec says.
    InStep,
    /// They are not, and it is left at that.
    Behind,
    /// Another run works on the stack, or has just done so.
    Locked,
    /// The process was asked to end.
    Stopped,
    /// It did not get through, and nothing was touched.
    Failed,
    /// It stopped half-way.
    Partial,
}

impl Turned {
    /// Every way, from good to bad.
    pub const ALL: [Turned; 6] = [
        Turned::InStep,
        Turned::Behind,
        Turned::Locked,
        Turned::Stopped,
        Turned::Failed,
        Turned::Partial,
    ];

    /// What logs and metrics call it.
    pub fn word(self) -> &'static str {
        match self {
            Turned::InStep => "in_step",
            Turned::Behind => "behind",
            Turned::Locked => "locked",
            Turned::Stopped => "stopped",
            Turned::Failed => "failed",
            Turned::Partial => "partial",
        }
    }
}

/// What is new about a stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noticed {
    Added,
    Changed,
    /// It is no longer touched; its objects stay.
    Removed,
}

/// All stacks, and when each is due. Times are counted from the start.
#[derive(Debug)]
pub struct Schedule {
    timing: Timing,
    stacks: BTreeMap<String, Entry>,
}

#[derive(Debug)]
struct Entry {
    defined: Defined,
    due: Duration,
    running: bool,
    /// It has changed, or went away, during the turn that is running.
    changed: bool,
    removed: bool,
    /// In a row.
    failures: u32,
    turns: u64,
}

impl Schedule {
    /// Without any stack.
    pub fn new(timing: Timing) -> Self {
        Schedule { timing, stacks: BTreeMap::new() }
    }

    /// Takes over which stacks there are. New ones and changed ones are due at once, also those that
    /// were backing off: what failed may have been mended.
    pub fn define(
        &mut self,
        defined: BTreeMap<String, Defined>,
        now: Duration,
    ) -> Vec<(String, Noticed)> {
        let mut noticed = Vec::new();
        for (name, entry) in &mut self.stacks {
            if !entry.removed && !defined.contains_key(name) {
                entry.removed = true;
                noticed.push((name.clone(), Noticed::Removed));
            }
        }
        self.stacks.retain(|_, entry| entry.running || !entry.removed);
        for (name, defined) in defined {
            let Some(entry) = self.stacks.get_mut(&name) else {
                noticed.push((name.clone(), Noticed::Added));
                self.stacks.insert(name, Entry::new(defined, now));
                continue;
            };
            if entry.removed || entry.defined.fingerprint != defined.fingerprint {
                let news = if entry.removed { Noticed::Added } else { Noticed::Changed };
                noticed.push((name, news));
                (entry.removed, entry.failures, entry.due) = (false, 0, now);
                entry.changed = entry.running;
            }
            entry.defined = defined;
        }
        noticed
    }

    /// Begins the turn of the stack that has been due for longest, if any is.
    pub fn begin(&mut self, now: Duration) -> Option<String> {
        let waiting = self.stacks.iter_mut().filter(|(_, entry)| !entry.running);
        let (name, entry) = waiting.min_by_key(|(_, entry)| entry.due)?;
        if entry.due > now {
            return None;
        }
        entry.running = true;
        Some(name.clone())
    }

    /// When the next turn is due.
    pub fn next(&self) -> Option<Duration> {
        self.stacks.values().filter(|entry| !entry.running).map(|entry| entry.due).min()
    }

    /// Ends the turn of a stack; in how long it has its next, unless it is no longer there.
    pub fn end(&mut self, name: &str, turned: Turned, now: Duration) -> Option<Duration> {
        let timing = self.timing;
        let entry = self.stacks.get_mut(name)?;
        if entry.removed {
            self.stacks.remove(name);
            return None;
        }
        let failed = matches!(turned, Turned::Failed | Turned::Partial);
        entry.failures = if failed { entry.failures.saturating_add(1) } else { 0 };
        let pause = match turned {
            _ if std::mem::take(&mut entry.changed) => Duration::ZERO,
            Turned::InStep | Turned::Behind | Turned::Stopped => entry.defined.interval,
            Turned::Locked => timing.locked.min(entry.defined.interval),
            Turned::Failed | Turned::Partial => {
                let doubled = 2_u32.saturating_pow(entry.failures - 1);
                timing.first_backoff.saturating_mul(doubled).min(timing.longest_backoff)
            }
        };
        entry.turns += 1;
        let pause = pause.mul_f64(jitter(timing.seed, name, entry.turns));
        (entry.running, entry.due) = (false, now + pause);
        Some(pause)
    }
}

impl Entry {
    fn new(defined: Defined, due: Duration) -> Self {
        Entry {
            defined,
            due,
            running: false,
            changed: false,
            removed: false,
            failures: 0,
            turns: 0,
        }
    }
}

/// A factor from 0.9 to 1.1, the same for the same turn.
fn jitter(seed: u64, name: &str, turn: u64) -> f64 {
    let mut hasher = DefaultHasher::new();
    (seed, name, turn).hash(&mut hasher);
    0.9 + 0.2 * ((hasher.finish() % 1000) as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn defined(names: &[&str], fingerprint: &str) -> BTreeMap<String, Defined> {
        let one = Defined { interval: HOUR, fingerprint: fingerprint.to_owned() };
        names.iter().map(|name| ((*name).to_owned(), one.clone())).collect()
    }

    fn about(pause: Option<Duration>, expected: Duration) {
        let pause = pause.expect("it has another turn");
        assert!(
            pause >= expected.mul_f64(0.9) && pause <= expected.mul_f64(1.1),
            "{pause:?} is not about {expected:?}"
        );
    }

    #[test]
    fn one_failure_backs_off_alone_and_up_to_a_limit() {
        let mut schedule = Schedule::new(Timing::default());
        schedule.define(defined(&["a", "b"], "1"), seconds(0));
        let expected = [15, 30, 60, 120, 240, 480, 960, 1800, 1800, 1800];
        let mut now = seconds(0);
        for backoff in expected {
            let due: Vec<String> = std::iter::from_fn(|| schedule.begin(now)).collect();
            assert!(due.contains(&"a".to_owned()), "{now:?}");
            if due.contains(&"b".to_owned()) {
                about(schedule.end("b", Turned::InStep, now), HOUR);
            }
            let pause = schedule.end("a", Turned::Failed, now);
            about(pause, seconds(backoff));
            now += pause.expect("it has another turn");
        }
        now += HOUR;
        // One success forgets all failures.
        assert!(schedule.begin(now).is_some() && schedule.begin(now).is_some());
        about(schedule.end("a", Turned::Behind, now), HOUR);
        now += 2 * HOUR;
        assert_eq!(schedule.begin(now).as_deref(), Some("a"));
        about(schedule.end("a", Turned::Partial, now), seconds(15));
    }

    #[test]
    fn a_lock_is_no_failure() {
        let mut schedule = Schedule::new(Timing::default());
        schedule.define(defined(&["a"], "1"), seconds(0));
        for n in 0..20 {
            let now = n * HOUR;
            assert!(schedule.begin(now).is_some());
            about(schedule.end("a", Turned::Locked, now), seconds(15));
        }
    }

    #[test]
    fn a_change_is_due_at_once() {
        let mut schedule = Schedule::new(Timing::default());
        assert_eq!(
            schedule.define(defined(&["a"], "1"), seconds(0)),
            [("a".to_owned(), Noticed::Added)]
        );
        schedule.begin(seconds(0));
        schedule.end("a", Turned::Failed, seconds(1));
        assert_eq!(schedule.begin(seconds(2)), None);
        assert_eq!(schedule.define(defined(&["a"], "1"), seconds(3)), []);
        assert_eq!(schedule.begin(seconds(3)), None);
        let changed = [("a".to_owned(), Noticed::Changed)];
        assert_eq!(schedule.define(defined(&["a"], "2"), seconds(4)), changed);
        assert_eq!(schedule.begin(seconds(4)).as_deref(), Some("a"));
        // Also one that comes while the stack has its turn.
        assert_eq!(schedule.define(defined(&["a"], "3"), seconds(5)), changed);
        assert_eq!(schedule.begin(seconds(5)), None);
        assert_eq!(schedule.end("a", Turned::InStep, seconds(6)), Some(Duration::ZERO));
        assert_eq!(schedule.begin(seconds(6)).as_deref(), Some("a"));
    }

    #[test]
    fn what_is_removed_has_no_turn_any_more() {
        let mut schedule = Schedule::new(Timing::default());
        schedule.define(defined(&["a", "b"], "1"), seconds(0));
        assert_eq!(schedule.begin(seconds(0)).as_deref(), Some("a"));
        let removed = |name: &str| (name.to_owned(), Noticed::Removed);
        let gone = schedule.define(BTreeMap::new(), seconds(1));
        assert_eq!(gone, [removed("a"), removed("b")]);
        assert_eq!(schedule.define(BTreeMap::new(), seconds(2)), []);
        assert_eq!(schedule.end("a", Turned::InStep, seconds(3)), None);
        assert_eq!((schedule.begin(HOUR), schedule.next()), (None, None));
    }

    #[test]
    fn jitter_is_spread_and_the_same_again() {
        let all: Vec<f64> = (0..1000).map(|turn| jitter(7, "a", turn)).collect();
        assert_eq!(all, (0..1000).map(|turn| jitter(7, "a", turn)).collect::<Vec<_>>());
        assert!(all.iter().all(|factor| (0.9..=1.1).contains(factor)));
        let early = all.iter().filter(|factor| **factor < 1.0).count();
        assert!((400..600).contains(&early), "{early} of 1000 are early");
        assert_ne!(jitter(7, "a", 1), jitter(8, "a", 1));
        assert_ne!(jitter(7, "a", 1), jitter(7, "b", 1));
    }
}
