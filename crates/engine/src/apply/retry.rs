//! Trying again, by class of error, and waiting, by named condition. The only loops over calls.

use std::convert::Infallible;
use std::time::Duration;

use cloud::{Class, Error};
use tokio::time::Instant;

use super::{Run, Settings, StepError, now};
use crate::event::Event;
use crate::plan::Step;
use crate::state::{State, Status};
use crate::value::Address;

/// Pauses that grow by half up to a limit.
pub(crate) struct Pauses {
    next: Duration,
    longest: Duration,
}

impl Pauses {
    pub(crate) fn new(settings: Settings) -> Self {
        Pauses { next: settings.first_pause, longest: settings.longest_pause }
    }

    /// The next pause, at least as long as the service asked for.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that pauses, always for a named wait"
    )]
    pub(crate) async fn sleep(&mut self, at_least: Option<Duration>) {
        let pause = self.next.max(at_least.unwrap_or_default());
        self.next = (self.next * 3 / 2).min(self.longest);
        tokio::time::sleep(pause).await;
    }
}

/// Sleeps one pause; ends early with an error when the run is cancelled.
pub(super) async fn pause(
    run: &Run<'_>,
    pauses: &mut Pauses,
    at_least: Option<Duration>,
    doing: &str,
) -> Result<(), StepError> {
    tokio::select! {
        () = pauses.sleep(at_least) => Ok(()),
        () = run.cancel.cancelled() => Err(StepError::Interrupted(doing.to_owned())),
    }
}

/// Which errors of a call may pass, and for how long each.
pub(super) struct Patience {
    /// Throttling and failures of the service.
    pub(super) service: Duration,
    /// `Propagating` and `NotFound`: until what the call builds on is known everywhere.
    pub(super) propagation: Duration,
    /// `InUse`: until others have let go.
    pub(super) in_use: Duration,
    /// What may be done about a call whose answer is lost.
    pub(super) call: Call,
}

/// What a call does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    /// Nothing: it may be made again, and dropped on the way.
    Reads,
    /// The same each time: it may be made again.
    Sets,
    /// One more each time.
    Makes,
}

impl Patience {
    /// For calls that change nothing.
    pub(super) fn reading(settings: Settings) -> Self {
        Patience {
            service: settings.patience,
            propagation: Duration::ZERO,
            in_use: Duration::ZERO,
            call: Call::Reads,
        }
    }

    fn limit(&self, class: Class) -> Duration {
        match class {
            Class::Throttled => self.service,
            Class::Transient if self.call != Call::Makes => self.service,
            Class::Propagating | Class::NotFound => self.propagation,
            Class::InUse => self.in_use,
            _ => Duration::ZERO,
        }
    }
}

/// Makes a call until it succeeds, fails for good, or has failed for too long. `between` is what
/// happens before the next attempt; its error ends the attempts.
async fn repeat<T, E, F: Future<Output = Result<T, Error>>>(
    settings: Settings,
    patience: &Patience,
    call: impl Fn() -> F,
    mut between: impl AsyncFnMut(Error, &mut Pauses) -> Result<(), E>,
) -> Result<Result<T, Error>, E> {
    let started = Instant::now();
    let mut pauses = Pauses::new(settings);
    loop {
        match call().await {
            Err(error) if started.elapsed() < patience.limit(error.class) => {
                between(error, &mut pauses).await?;
            }
            answer => return Ok(answer),
        }
    }
}

/// Makes a call that changes nothing, again and again while its errors may pass.
///
/// # Errors
/// The last error, when it does not pass or has lasted for `settings.patience`.
pub async fn patiently<T, F: Future<Output = Result<T, Error>>>(
    settings: Settings,
    call: impl Fn() -> F,
) -> Result<T, Error> {
    let pause = async |error: Error, pauses: &mut Pauses| {
        pauses.sleep(error.retry_after()).await;
        Ok::<(), Infallible>(())
    };
    let Ok(answer) = repeat(settings, &Patience::reading(settings), call, pause).await;
    answer
}

/// Makes a call of a step until it succeeds, fails for good, or has failed for too long.
pub(super) async fn persist<T, F: Future<Output = Result<T, Error>>>(
    run: &Run<'_>,
    step: &Step,
    patience: &Patience,
    doing: &'static str,
    call: impl Fn() -> F,
) -> Result<T, StepError> {
    let between = async |error: Error, pauses: &mut Pauses| {
        let at_least = error.retry_after();
        let delay = pauses.next.max(at_least.unwrap_or_default());
        let (step, address) = (step.step, step.address.clone());
        (run.report)(Event::Retrying { step, address, error, delay });
        pause(run, pauses, at_least, doing).await
    };
    let answer = repeat(run.settings, patience, call, between);
    let answer = if patience.call == Call::Reads {
        tokio::select! {
            answer = answer => answer,
            () = run.cancel.cancelled() => Err(StepError::Interrupted(doing.to_owned())),
        }
    } else {
        answer.await
    };
    answer?.map_err(|source| StepError::Cloud { doing, source })
}

/// What is left of a window that opened at `since`. A clock that went back leaves all of it.
pub(crate) fn left_of(window: Duration, since: jiff::Timestamp) -> Duration {
    let age = Duration::try_from(now().duration_since(since)).unwrap_or_default();
    window.saturating_sub(age)
}

/// How long an error may be believed to come from what was just made: until everything the resource
/// builds on has existed for `window`. What is older is known everywhere, so the error is the user's.
pub(super) fn propagation_left(run: &Run<'_>, step: &Step, window: Duration) -> Duration {
    let newest = run.store.peek(|state| newest_need(state, step));
    newest.map_or(Duration::ZERO, |newest| left_of(window, newest))
}

fn newest_need(state: &State, step: &Step) -> Option<jiff::Timestamp> {
    let mut newest: Option<jiff::Timestamp> = None;
    // A resource may also build on itself: a role that trusts itself.
    let mut open: Vec<&Address> = step.needs.iter().chain([&step.address]).collect();
    let mut seen = std::collections::BTreeSet::new();
    while let Some(address) = open.pop() {
        if !seen.insert(address) {
            continue;
        }
        // Nobody builds on what is yet to be made.
        if let Some(record) = state.resources.get(address).filter(|r| r.status != Status::Making) {
            newest = newest.max(Some(record.changed_at));
            open.extend(&record.needs);
        }
    }
    newest
}
