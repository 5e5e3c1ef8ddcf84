//! Removing: ask, then wait until it is gone.

use cloud::Class;
use tokio::time::Instant;

use super::retry::{Call, Patience, Pauses, pause, persist};
use super::{Run, StepError};
use crate::event::Event;
use crate::kind::AnyKind;
use crate::plan::Step;
use crate::state::{Entry, Took};

/// Removes the object of the step. One that is gone already is as good as removed.
pub(super) async fn remove(
    kind: &'static dyn AnyKind,
    step: &Step,
    run: &Run<'_>,
) -> Result<(), StepError> {
    let started = Instant::now();
    let address = step.address.clone();
    let Some(id) = step.id.clone() else {
        return Err(StepError::Bug("a delete without an id".to_owned()));
    };
    run.store.append(Entry::Removing { address: address.clone(), id: id.clone() }).await?;
    let in_use = kind.waits().in_use;
    let patience = Patience { in_use, call: Call::Sets, ..Patience::reading(run.settings) };
    if step.empties {
        let call = || run.cloud.empty(kind.name(), &id);
        match empty(step, run, &patience, call).await {
            Err(StepError::Cloud { source, .. }) if source.class == Class::NotFound => {}
            result => result?,
        }
    }
    let call = || run.cloud.delete(kind.name(), &id);
    match persist(run, step, &patience, "deleting it", call).await {
        Ok(()) => gone(kind, step, run, &id).await?,
        Err(StepError::Cloud { source, .. }) if source.class == Class::NotFound => {}
        Err(other) => return Err(other),
    }
    let took = Some(Took::new(step.action, started.elapsed()));
    Ok(run.store.append(Entry::Removed { address, id: Some(id), took }).await?)
}

/// Page by page, until nothing is left.
async fn empty<F: Future<Output = cloud::Result<bool>>>(
    step: &Step,
    run: &Run<'_>,
    patience: &Patience,
    page: impl Fn() -> F,
) -> Result<(), StepError> {
    while persist(run, step, patience, "emptying it", &page).await? {
        if run.cancel.is_cancelled() {
            return Err(StepError::Interrupted("emptying it".to_owned()));
        }
    }
    Ok(())
}

async fn gone(
    kind: &'static dyn AnyKind,
    step: &Step,
    run: &Run<'_>,
    id: &str,
) -> Result<(), StepError> {
    let started = Instant::now();
    let limit = kind.waits().gone;
    let mut pauses = Pauses::new(run.settings);
    let ids = [id.to_owned()];
    loop {
        let patience = Patience::reading(run.settings);
        let call = || run.cloud.read(kind.name(), &ids);
        if persist(run, step, &patience, "reading it", call).await?.pop().flatten().is_none() {
            return Ok(());
        }
        if started.elapsed() >= limit {
            let (what, last) = ("going away".to_owned(), "still there".to_owned());
            return Err(StepError::Deadline { what, limit, last });
        }
        (run.report)(Event::Waiting {
            step: step.step,
            address: step.address.clone(),
            what: "to be gone".to_owned(),
            elapsed: started.elapsed(),
        });
        pause(run, &mut pauses, None, "waiting until it is gone").await?;
    }
}
