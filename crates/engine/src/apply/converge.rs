//! Create, then converge: one loop for a fresh resource, an update and a resume after a crash.

use std::time::Duration;

use cloud::Class;
use jiff::Timestamp;
use serde_json::Value;
use tokio::time::Instant;

use super::retry::{Call, Patience, Pauses, left_of, pause, persist, propagation_left};
use super::{Run, StepError, known, now};
use crate::diff::Diff;
use crate::event::Event;
use crate::kind::{AnyKind, Found, Readiness, Wanted};
use crate::plan::{Action, Plan, Step};
use crate::state::{Entry, State, Status, Took};
use crate::value::{bind, outputs};

/// Makes the object if there is none, and brings it to what the step says.
pub(super) async fn make(
    kind: &'static dyn AnyKind,
    step: &Step,
    plan: &Plan,
    run: &Run<'_>,
) -> Result<(), StepError> {
    let started = Instant::now();
    let props = bind(&step.props, &|output| known(run, output));
    if let Some(open) = outputs(&props).first() {
        return Err(StepError::Bug(format!("`{}` of {} is not known", open.field, open.address)));
    }
    let address = &step.address;
    let mut changed = false;
    let id = match &step.id {
        Some(id) => {
            if step.action == Action::Adopt {
                intend(run, step, &props).await?;
                run.store.append(made(step, id)).await?;
            }
            id.clone()
        }
        None => {
            let doubted = run.store.peek(|state| {
                let record = state.resources.get(&step.address)?;
                (record.status == Status::Making).then_some(record.changed_at)
            });
            intend(run, step, &props).await?;
            let id = create(kind, step, plan, run, &props, doubted).await?;
            run.store.append(made(step, &id)).await?;
            changed = true;
            id
        }
    };
    let seen = converge(kind, step, run, &props, &id, &mut changed).await?;
    let entry = Entry::Settled {
        address: address.clone(),
        props,
        seen,
        needs: step.needs.clone(),
        group: step.group.clone(),
        changed,
        at: now(),
        took: Some(Took::new(step.action, started.elapsed())),
    };
    Ok(run.store.append(entry).await?)
}

/// Before the call: one may exist from here on.
async fn intend(run: &Run<'_>, step: &Step, props: &Value) -> Result<(), StepError> {
    let entry = Entry::Intend {
        address: step.address.clone(),
        group: step.group.clone(),
        generation: step.generation,
        props: props.clone(),
        needs: step.needs.clone(),
        deposes: step.create_first,
        at: now(),
    };
    Ok(run.store.append(entry).await?)
}

fn made(step: &Step, id: &str) -> Entry {
    Entry::Made { address: step.address.clone(), id: id.to_owned(), at: now() }
}

/// Makes one object and no more. When a call ends without a clear answer, the object may be there: it
/// is looked for until a list must show it, and only then is the call made again.
///
/// `doubted` is when an earlier run was about to make it and did not come to say whether it did.
async fn create(
    kind: &'static dyn AnyKind,
    step: &Step,
    plan: &Plan,
    run: &Run<'_>,
    props: &Value,
    doubted: Option<Timestamp>,
) -> Result<String, StepError> {
    let waits = kind.waits();
    let started = Instant::now();
    let mut shows_by = started + doubted.map_or(Duration::ZERO, |at| left_of(waits.visible, at));
    let mut pauses = Pauses::new(run.settings);
    loop {
        let patience = Patience {
            service: run.settings.patience,
            propagation: propagation_left(run, step, waits.propagation),
            in_use: waits.in_use,
            call: Call::Makes,
        };
        let call = || run.cloud.create(kind.name(), props);
        let error = match persist(run, step, &patience, "creating it", call).await {
            Ok(id) => return Ok(id),
            Err(StepError::Cloud { source, .. }) => source,
            Err(other) => return Err(other),
        };
        let look_until = match error.class {
            Class::Transient => {
                shows_by = Instant::now() + waits.visible;
                // The next call of a unique kind tells at once whether this one had an effect.
                if kind.unique() { Instant::now() } else { shows_by }
            }
            Class::AlreadyExists => shows_by,
            _ => return Err(StepError::Cloud { doing: "creating it", source: error }),
        };
        if let Some(id) = look_for(kind, step, plan, run, props, look_until).await? {
            return Ok(id);
        }
        if error.class == Class::AlreadyExists || started.elapsed() >= run.settings.patience {
            return Err(StepError::Cloud { doing: "creating it", source: error });
        }
        let at_least = error.retry_after();
        (run.report)(Event::Retrying {
            step: step.step,
            address: step.address.clone(),
            error,
            delay: pauses.upcoming(at_least),
        });
        pause(run, &mut pauses, at_least, "creating it").await?;
    }
}

/// Looks for an object that was made without saying so, at least once and until the time given.
async fn look_for(
    kind: &'static dyn AnyKind,
    step: &Step,
    plan: &Plan,
    run: &Run<'_>,
    props: &Value,
    until: Instant,
) -> Result<Option<String>, StepError> {
    let wanted = [Wanted { address: step.address.clone(), props: props.clone() }];
    let started = Instant::now();
    let mut pauses = Pauses::new(run.settings);
    loop {
        let patience = Patience::reading(run.settings);
        let call = || run.cloud.find(kind.name(), &plan.stack, &wanted);
        let found = persist(run, step, &patience, "looking for it", call).await?;
        let ids = |state: &State| state.ids(&step.address).into_iter().map(str::to_owned).collect();
        let known: Vec<String> = run.store.peek(ids);
        let mut new: Vec<Found<String>> = found.into_iter().flatten().collect();
        new.retain(|f| !known.contains(f.id()));
        match new.as_slice() {
            [] if Instant::now() >= until => return Ok(None),
            [] => {}
            [Found::Ours(id)] => return Ok(Some(id.clone())),
            [Found::Foreign(id)] => return Err(StepError::Foreign(id.clone())),
            several => {
                let ids = several.iter().map(|f| f.id().clone()).collect();
                return Err(StepError::Ambiguous(ids));
            }
        }
        (run.report)(Event::Waiting {
            step: step.step,
            address: step.address.clone(),
            what: "to show whether it was created".to_owned(),
            elapsed: started.elapsed(),
        });
        pause(run, &mut pauses, None, "looking for what may have been created").await?;
    }
}

/// Waits until it is ready, compares, changes what differs, and looks again until nothing differs.
/// "No drift after apply" is what this function returns, not what a test hopes for.
async fn converge(
    kind: &'static dyn AnyKind,
    step: &Step,
    run: &Run<'_>,
    props: &Value,
    id: &str,
    changed: &mut bool,
) -> Result<Value, StepError> {
    let bug = |e: cloud::Error| StepError::Bug(e.message);
    let last_props = run.store.peek(|s| s.resources.get(&step.address).map(|r| r.props.clone()));
    let mut unread = match (&last_props, step.action) {
        (Some(last), Action::Update | Action::Finish) => {
            kind.diff_unread(props, last).map_err(bug)?
        }
        _ => Diff::default(),
    };
    let mut pauses = Pauses::new(run.settings);
    let mut attempt: Option<(Diff, Instant)> = None;
    loop {
        // What has failed may be repaired by the change that is planned: look at it as it is.
        let repairing = attempt.is_none() && step.action == Action::Update;
        let seen = ready(kind, step, run, id, *changed, repairing).await?;
        let mut diff = kind.diff(props, &seen).map_err(bug)?.possible();
        diff.changes.extend(std::mem::take(&mut unread).changes);
        if diff.is_empty() {
            return Ok(seen);
        }
        if diff.replaces() {
            let outdated = diff.fields().iter().map(|f| (*f).to_owned()).collect();
            return Err(match step.action {
                Action::Create | Action::Replace => StepError::DidNotConverge(explain(&diff)),
                _ => StepError::PlanOutdated(outdated),
            });
        }
        if attempt.is_none() && matches!(step.action, Action::Update | Action::Adopt) {
            let planned = |field: &str| step.changes.iter().any(|c| c.field == field);
            let new: Vec<String> =
                diff.fields().into_iter().filter(|f| !planned(f)).map(str::to_owned).collect();
            if !new.is_empty() {
                return Err(StepError::PlanOutdated(new));
            }
        }
        // The same difference right after a change may be a read that lags; later it is the API
        // refusing in silence.
        if let Some((last, since)) = &attempt
            && *last == diff
        {
            if since.elapsed() >= kind.waits().propagation {
                return Err(StepError::DidNotConverge(explain(&diff)));
            }
            (run.report)(Event::Waiting {
                step: step.step,
                address: step.address.clone(),
                what: format!("{} to show", diff.fields().join(", ")),
                elapsed: since.elapsed(),
            });
            pause(run, &mut pauses, None, "waiting for changes to show").await?;
            continue;
        }
        *changed = true;
        let patience = Patience {
            propagation: propagation_left(run, step, kind.waits().propagation),
            in_use: kind.waits().in_use,
            call: Call::Sets,
            ..Patience::reading(run.settings)
        };
        let call = || run.cloud.update(kind.name(), id, props, &diff);
        match persist(run, step, &patience, "changing it", call).await {
            // A part is there already, as after a lost answer: the next look tells what is missing.
            Err(StepError::Cloud { source, .. }) if source.class == Class::AlreadyExists => {}
            result => result?,
        }
        attempt = Some((diff, Instant::now()));
    }
}

fn explain(diff: &Diff) -> Vec<String> {
    let one = |c: &crate::diff::Change| {
        let mut line = format!("{}: wanted {}, still {}", c.field, c.after, c.before);
        for consequence in &c.meaning.impacts {
            line += &format!(" ({})", consequence.words);
        }
        line
    };
    diff.changes.iter().map(one).collect()
}

/// Reads until the object is there and ready.
async fn ready(
    kind: &'static dyn AnyKind,
    step: &Step,
    run: &Run<'_>,
    id: &str,
    fresh: bool,
    repairing: bool,
) -> Result<Value, StepError> {
    let started = Instant::now();
    let waits = kind.waits();
    let mut pauses = Pauses::new(run.settings);
    let ids = [id.to_owned()];
    loop {
        // Part of a read may know nothing yet of what another part shows.
        let propagation = if fresh { waits.propagation } else { Duration::ZERO };
        let patience = Patience { propagation, ..Patience::reading(run.settings) };
        let call = || run.cloud.read(kind.name(), &ids);
        let seen = persist(run, step, &patience, "reading it", call).await?.pop().flatten();
        let (what, limit) = match seen {
            Some(seen) => match kind.readiness(&seen).map_err(|e| StepError::Bug(e.message))? {
                Readiness::Ready => return Ok(seen),
                Readiness::Failed(_) if repairing => return Ok(seen),
                Readiness::Failed(why) => return Err(StepError::Broken(why)),
                Readiness::Pending(state) => (state, waits.ready),
            },
            // Reads lag behind writes, so for a while "not there" means "not yet".
            None if fresh => ("to appear".to_owned(), waits.propagation),
            None => return Err(StepError::PlanOutdated(vec!["it is gone".to_owned()])),
        };
        if started.elapsed() >= limit {
            let (what, last) = ("getting ready".to_owned(), what);
            return Err(StepError::Deadline { what, limit, last });
        }
        (run.report)(Event::Waiting {
            step: step.step,
            address: step.address.clone(),
            what,
            elapsed: started.elapsed(),
        });
        pause(run, &mut pauses, None, "waiting until it is ready").await?;
    }
}
