//! Trying again, by class of error, and waiting, by named condition. The only loops over calls.

use std::time::Duration;

use cloud::{Class, Error};
use tokio::time::Instant;

use super::{Run, Settings, StepError, now};
use crate::event::Event;
use crate::plan::Step;
use crate::state::State;
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
    /// `Propagating`: until what the call builds on is known everywhere.
    pub(super) propagation: Duration,
    /// `InUse`: until others have let go.
    pub(super) in_use: Duration,
    /// Whether a call whose effect is not known may simply be made again.
    pub(super) repeatable: bool,
}

impl Patience {
    fn limit(&self, class: Class) -> Option<Duration> {
        match class {
            Class::Throttled => Some(self.service),
            Class::Transient if self.repeatable => Some(self.service),
            Class::Propagating => Some(self.propagation),
            Class::InUse => Some(self.in_use),
            _ => None,
        }
    }
}

/// Makes a call until it succeeds, fails for good, or has failed for too long.
pub(super) async fn persist<T, F: Future<Output = Result<T, Error>>>(
    run: &Run<'_>,
    step: &Step,
    patience: &Patience,
    doing: &'static str,
    call: impl Fn() -> F,
) -> Result<T, StepError> {
    let started = Instant::now();
    let mut pauses = Pauses::new(run.settings);
    loop {
        let error = match call().await {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        let limit = patience.limit(error.class).unwrap_or_default();
        if started.elapsed() >= limit {
            return Err(StepError::Cloud { doing, source: error });
        }
        let delay = pauses.next.max(error.retry_after().unwrap_or_default());
        let at_least = error.retry_after();
        (run.report)(Event::Retrying {
            step: step.step,
            address: step.address.clone(),
            error,
            delay,
        });
        pause(run, &mut pauses, at_least, doing).await?;
    }
}

/// How long an error of class `Propagating` may be believed to pass: until everything the resource
/// builds on has existed for `window`. What is older is known everywhere, so the error is the user's.
pub(super) fn propagation_left(run: &Run<'_>, step: &Step, window: Duration) -> Duration {
    let newest = run.store.peek(|state| newest_need(state, step));
    let Some(newest) = newest else { return Duration::ZERO };
    let age = Duration::try_from(now().duration_since(newest)).unwrap_or_default();
    window.saturating_sub(age)
}

fn newest_need(state: &State, step: &Step) -> Option<jiff::Timestamp> {
    let mut newest: Option<jiff::Timestamp> = None;
    let mut open: Vec<&Address> = step.needs.iter().collect();
    let mut seen = std::collections::BTreeSet::new();
    while let Some(address) = open.pop() {
        if !seen.insert(address) {
            continue;
        }
        if let Some(record) = state.resources.get(address) {
            newest = newest.max(Some(record.changed_at));
            open.extend(&record.needs);
        }
    }
    // A resource may also build on itself: a role that trusts itself.
    let own = state.resources.get(&step.address).map(|r| r.changed_at);
    newest.max(own)
}
