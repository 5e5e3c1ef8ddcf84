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
