//! Create, then converge: one loop for a fresh resource, an update and a resume after a crash.

use cloud::Class;
use serde_json::Value;
use tokio::time::Instant;

use super::retry::{Patience, Pauses, pause, persist, propagation_left};
use super::{Run, StepError, known, now};
use crate::diff::Diff;
use crate::event::Event;
use crate::kind::{AnyKind, Found, Readiness, Wanted};
use crate::plan::{Action, Plan, Step};
use crate::state::Entry;
use crate::value::{bind, outputs};

/// Makes the object if there is none, and brings it to what the step says.
pub(super) async fn make(
    kind: &'static dyn AnyKind,
    step: &Step,
    plan: &Plan,
    run: &Run<'_>,
) -> Result<(), StepError> {
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
            intend(run, step, &props).await?;
            let id = create(kind, step, plan, run, &props).await?;
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

/// Makes one object and no more: when a call ends without a clear answer, looks before it calls again.
async fn create(
    kind: &'static dyn AnyKind,
    step: &Step,
    plan: &Plan,
    run: &Run<'_>,
    props: &Value,
) -> Result<String, StepError> {
    let started = Instant::now();
    let mut pauses = Pauses::new(run.settings);
    loop {
        let patience = Patience {
            service: run.settings.patience,
            propagation: propagation_left(run, step, kind.waits().propagation),
            in_use: kind.waits().in_use,
            repeatable: false,
        };
        let call = || run.cloud.create(kind.name(), props);
        let error = match persist(run, step, &patience, "creating it", call).await {
            Ok(id) => return Ok(id),
            Err(StepError::Cloud { source, .. }) => source,
            Err(other) => return Err(other),
        };
        let in_doubt = matches!(error.class, Class::Transient | Class::AlreadyExists);
        if !in_doubt {
            return Err(StepError::Cloud { doing: "creating it", source: error });
        }
        // The object may be there although the answer was lost. A list can lag behind a write, so look
        // more than once before calling again.
        for look in 0..3 {
            if look > 0 {
                pause(run, &mut pauses, None, "looking for what may have been created").await?;
            }
            if let Some(id) = look_for(kind, step, plan, run, props).await? {
                return Ok(id);
            }
        }
        if error.class == Class::AlreadyExists || started.elapsed() >= run.settings.patience {
            return Err(StepError::Cloud { doing: "creating it", source: error });
        }
        (run.report)(Event::Retrying {
            step: step.step,
            address: step.address.clone(),
            error,
            delay: run.settings.first_pause,
        });
    }
}

async fn look_for(
    kind: &'static dyn AnyKind,
    step: &Step,
    plan: &Plan,
    run: &Run<'_>,
    props: &Value,
) -> Result<Option<String>, StepError> {
    let wanted = [Wanted { address: step.address.clone(), props: props.clone() }];
    let patience = reading(run);
    let call = || run.cloud.find(kind.name(), &plan.stack, &wanted);
    let found = persist(run, step, &patience, "looking for it", call).await?;
    let known: Vec<String> =
        run.store.peek(|state| state.ids(&step.address).into_iter().map(str::to_owned).collect());
    let mut new: Vec<Found<String>> = found.into_iter().flatten().collect();
    new.retain(|f| !known.contains(f.id()));
    match new.as_slice() {
        [] => Ok(None),
        [Found::Ours(id)] => Ok(Some(id.clone())),
        [Found::Foreign(id)] => Err(StepError::Foreign(id.clone())),
        several => Err(StepError::Ambiguous(several.iter().map(|f| f.id().clone()).collect())),
    }
}

pub(super) fn reading(run: &Run<'_>) -> Patience {
    Patience {
        service: run.settings.patience,
        propagation: run.settings.patience,
        in_use: std::time::Duration::ZERO,
        repeatable: true,
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
        let mut diff = kind.diff(props, &seen).map_err(bug)?;
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
            ..reading(run)
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
    let one =
        |c: &crate::diff::Change| format!("{}: wanted {}, still {}", c.field, c.after, c.before);
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
        let patience = reading(run);
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
