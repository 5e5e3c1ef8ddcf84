//! The loop: look which stacks there are, give each its turn when it is due, some side by side.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::OptionFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::schedule::{Defined, Noticed, Schedule, Timing, Turned};

/// The stacks of one process and what is done for them.
pub trait Fleet {
    /// Which stacks there are now; the error is why that cannot be told. Dropped when the run ends.
    fn look(&self) -> impl Future<Output = Result<BTreeMap<String, Defined>, String>>;
    /// Compares one stack with the clouds, and does about it what its policy says. Ends soon after
    /// the run is cancelled.
    fn turn(&self, stack: &str) -> impl Future<Output = Turned>;
}

/// How a run behaves.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Stacks side by side.
    pub parallel: usize,
    /// From the end of one look to the next.
    pub poll: Duration,
    /// One look, one turn for each stack, and no more.
    pub once: bool,
    pub timing: Timing,
}

/// Something that happened during a run.
#[derive(Debug)]
pub enum Event<'a> {
    /// The stacks were looked at; so many there are.
    Looked(usize),
    /// They could not be looked at: what was known before goes on.
    Blind(&'a str),
    Noticed(&'a str, Noticed),
    Began(&'a str),
    /// A turn is over; the next begins in `again`, unless the stack was removed meanwhile.
    Ended {
        stack: &'a str,
        turned: Turned,
        took: Duration,
        again: Option<Duration>,
    },
}

/// Keeps the fleet in step until it is cancelled, or once. When it is cancelled nothing new is
/// begun and what is under way is waited for.
///
/// The error is why the only look of a single round told nothing.
pub async fn run(
    fleet: &impl Fleet,
    options: &Options,
    cancel: &CancellationToken,
    report: &dyn Fn(Event<'_>),
) -> Result<(), String> {
    let start = Instant::now();
    let mut schedule = Schedule::new(options.timing);
    let mut running = FuturesUnordered::new();
    let mut looking = Box::pin(OptionFuture::from(Some(fleet.look())));
    let mut next_look = None;
    // In a single round: the stacks that have not had their turn.
    let mut left = usize::MAX;
    loop {
        while !cancel.is_cancelled() && running.len() < options.parallel && left > 0 {
            let Some(stack) = schedule.begin(start.elapsed()) else { break };
            left -= usize::from(options.once);
            report(Event::Began(&stack));
            running.push(timed(fleet, stack));
        }
        if running.is_empty() && (cancel.is_cancelled() || left == 0) {
            return Ok(());
        }
        let due = schedule.next().filter(|_| running.len() < options.parallel && left > 0);
        let due = due.map(|due| start + due);
        let wake = due.into_iter().chain(next_look).min();
        tokio::select! {
            Some((stack, turned, took)) = running.next() => {
                let again = schedule.end(&stack, turned, start.elapsed());
                report(Event::Ended { stack: &stack, turned, took, again });
            }
            Some(seen) = &mut looking => {
                looking.set(None.into());
                match seen {
                    Ok(stacks) => {
                        let count = stacks.len();
                        for (stack, noticed) in schedule.define(stacks, start.elapsed()) {
                            report(Event::Noticed(&stack, noticed));
                        }
                        report(Event::Looked(count));
                        if options.once {
                            left = count;
                        }
                    }
                    Err(why) if options.once => return Err(why),
                    Err(why) => report(Event::Blind(&why)),
                }
                next_look = (!options.once).then(|| Instant::now() + options.poll);
            }
            Some(()) = OptionFuture::from(wake.map(sleep_until)), if !cancel.is_cancelled() => {
                if next_look.is_some_and(|at| at <= Instant::now()) {
                    next_look = None;
                    looking.set(Some(fleet.look()).into());
                }
            }
            () = cancel.cancelled(), if !cancel.is_cancelled() => {}
        }
    }
}

async fn timed(fleet: &impl Fleet, stack: String) -> (String, Turned, Duration) {
    let began = Instant::now();
    let turned = fleet.turn(&stack).await;
    (stack, turned, began.elapsed())
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::rc::Rc;

    use tokio::time::advance;

    use super::*;

    /// Stacks whose turns take ten seconds and end as they are told to.
    #[derive(Default)]
    struct Toy {
        defined: RefCell<BTreeMap<String, Defined>>,
        ends: RefCell<BTreeMap<&'static str, Turned>>,
        running: Cell<usize>,
        most: Cell<usize>,
        /// Which turns began when, in seconds.
        began: RefCell<Vec<(String, u64)>>,
        start: RefCell<Option<Instant>>,
        cancel: CancellationToken,
    }

    impl Toy {
        fn with(stacks: &[&str]) -> Rc<Toy> {
            let toy = Toy::default();
            *toy.start.borrow_mut() = Some(Instant::now());
            let toy = Rc::new(toy);
            for stack in stacks {
                toy.write(stack, "1");
            }
            toy
        }

        fn write(&self, stack: &str, fingerprint: &str) {
            let interval = Duration::from_secs(600);
            let defined = Defined { interval, fingerprint: fingerprint.to_owned() };
            self.defined.borrow_mut().insert(stack.to_owned(), defined);
        }

        fn times(&self, stack: &str) -> Vec<u64> {
            let began = self.began.borrow();
            began.iter().filter(|(name, _)| name == stack).map(|(_, at)| *at).collect()
        }
    }

    impl Fleet for Rc<Toy> {
        async fn look(&self) -> Result<BTreeMap<String, Defined>, String> {
            match self.defined.borrow().contains_key("broken") {
                true => Err("broken".to_owned()),
                false => Ok(self.defined.borrow().clone()),
            }
        }

        async fn turn(&self, stack: &str) -> Turned {
            let at = self.start.borrow().expect("it was set").elapsed().as_secs();
            self.began.borrow_mut().push((stack.to_owned(), at));
            self.running.set(self.running.get() + 1);
            self.most.set(self.most.get().max(self.running.get()));
            let stopped = tokio::select! {
                () = seconds(10) => false,
                () = self.cancel.cancelled() => true,
            };
            self.running.set(self.running.get() - 1);
            if stopped {
                return Turned::Stopped;
            }
            self.ends.borrow().get(stack).copied().unwrap_or(Turned::InStep)
        }
    }

    fn options(once: bool) -> Options {
        let timing = Timing::default();
        Options { parallel: 2, poll: Duration::from_secs(5), once, timing }
    }

    /// Runs the toy while `script` goes on, then stops it; what was reported of each event.
    async fn during(toy: &Rc<Toy>, script: impl Future<Output = ()>) -> Vec<String> {
        let said = RefCell::new(Vec::new());
        let report = |event: Event<'_>| match event {
            Event::Noticed(stack, noticed) => {
                said.borrow_mut().push(format!("{stack} {noticed:?}"));
            }
            Event::Blind(why) => said.borrow_mut().push(format!("blind: {why}")),
            Event::Ended { stack, turned: Turned::Stopped, .. } => {
                said.borrow_mut().push(format!("{stack} stopped"));
            }
            Event::Looked(_) | Event::Began(_) | Event::Ended { .. } => {}
        };
        let stop = async {
            script.await;
            toy.cancel.cancel();
        };
        let options = options(false);
        let (ran, ()) = tokio::join!(run(toy, &options, &toy.cancel, &report), stop);
        assert_eq!(ran, Ok(()));
        said.into_inner()
    }

    async fn seconds(seconds: u64) {
        sleep_until(Instant::now() + Duration::from_secs(seconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_single_round_gives_everybody_one_turn() {
        let toy = Toy::with(&["a", "b", "c", "d", "e"]);
        toy.ends.borrow_mut().insert("b", Turned::Failed);
        toy.ends.borrow_mut().insert("c", Turned::Locked);
        let ran = run(&toy, &options(true), &toy.cancel, &|_| {}).await;
        assert_eq!(ran, Ok(()));
        let names: Vec<String> = toy.began.borrow().iter().map(|(name, _)| name.clone()).collect();
        assert_eq!(names, ["a", "b", "c", "d", "e"]);
        assert_eq!(toy.most.get(), 2);
        toy.write("broken", "1");
        let ran = run(&toy, &options(true), &toy.cancel, &|_| {}).await;
        assert_eq!(ran, Err("broken".to_owned()));
        assert!(run(&Toy::with(&[]), &options(true), &toy.cancel, &|_| {}).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn turns_come_at_their_interval_and_failures_back_off_alone() {
        let toy = Toy::with(&["good", "bad"]);
        toy.ends.borrow_mut().insert("bad", Turned::Failed);
        during(&toy, seconds(3600)).await;
        let good = toy.times("good");
        assert!((5..=7).contains(&good.len()), "{good:?}");
        let bad = toy.times("bad");
        let pauses: Vec<u64> = bad.windows(2).map(|pair| pair[1] - pair[0] - 10).collect();
        assert!(pauses.len() >= 7 && pauses.is_sorted(), "{pauses:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_changes_in_the_folder_is_seen() {
        let toy = Toy::with(&["a", "b"]);
        let said = during(&toy, async {
            seconds(100).await;
            toy.write("a", "2");
            seconds(20).await;
            toy.defined.borrow_mut().remove("b");
            toy.write("c", "1");
            seconds(20).await;
            // What cannot be seen stays as it was.
            toy.write("broken", "1");
            seconds(1200).await;
            toy.defined.borrow_mut().remove("broken");
            seconds(20).await;
        });
        let said = said.await;
        let blind = said.iter().filter(|line| *line == "blind: broken").count();
        assert!((200..=245).contains(&blind), "{blind}");
        let news: Vec<&String> = said.iter().filter(|line| *line != "blind: broken").collect();
        assert_eq!(news, ["a Added", "b Added", "a Changed", "b Removed", "c Added"]);
        assert_eq!(toy.times("b").len(), 1);
        assert!((100..=106).contains(&toy.times("a")[1]), "{:?}", toy.times("a"));
        assert!(toy.times("a").len() >= 3 && toy.times("c").len() >= 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_waits_for_what_runs_and_begins_nothing() {
        let toy = Toy::with(&["a", "b", "c"]);
        let said = during(&toy, seconds(5)).await;
        assert_eq!(said, ["a Added", "b Added", "c Added", "a stopped", "b stopped"]);
        assert_eq!(toy.running.get(), 0);
        advance(Duration::from_secs(3600)).await;
        assert_eq!(toy.began.borrow().len(), 2);
    }
}
