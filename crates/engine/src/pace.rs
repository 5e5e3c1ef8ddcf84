//! How fast a service may be called: a number of calls side by side, and a number per second.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cloud::Result;
use futures::future::BoxFuture;
use serde_json::Value;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::Instant;

use crate::diff::Diff;
use crate::kind::{Found, Scope, Wanted};
use crate::world::{Cloud, Kinds};

/// The limit of one service.
#[derive(Debug, Clone, Copy)]
pub struct Limit {
    /// Calls side by side.
    pub concurrent: usize,
    /// The least time from the start of one call to the start of the next.
    pub interval: Duration,
}

/// What keeps the calls of one service within its limit, for all who share it.
pub struct Pace {
    places: Semaphore,
    next: Mutex<Instant>,
    interval: Duration,
}

impl Pace {
    /// The pace of a service that nobody calls yet.
    pub fn new(limit: Limit) -> Self {
        Pace {
            places: Semaphore::new(limit.concurrent),
            next: Mutex::new(Instant::now()),
            interval: limit.interval,
        }
    }

    /// Makes the call when there is room for it.
    async fn keep<T>(&self, call: impl Future<Output = T>) -> T {
        let _place = self.places.acquire().await;
        let start = {
            let mut next = self.next.lock().await;
            let start = (*next).max(Instant::now());
            *next = start + self.interval;
            start
        };
        tokio::time::sleep_until(start).await;
        call.await
    }
}

/// A cloud that is called no faster than its services' limits allow.
pub struct Paced<C> {
    cloud: C,
    kinds: Kinds,
    services: BTreeMap<&'static str, Arc<Pace>>,
}

impl<C: Cloud> Paced<C> {
    /// Calls every service of `kinds` at `pace(service)`.
    pub fn new(cloud: C, kinds: Kinds, pace: impl Fn(&str) -> Arc<Pace>) -> Self {
        let services = kinds.0.iter().map(|kind| (kind.service(), pace(kind.service()))).collect();
        Paced { cloud, kinds, services }
    }

    async fn turn<T>(&self, kind: &str, call: impl Future<Output = Result<T>>) -> Result<T> {
        match self.kinds.get(kind).and_then(|k| self.services.get(k.service())) {
            Some(pace) => pace.keep(call).await,
            None => call.await,
        }
    }
}

impl<C: Cloud> Cloud for Paced<C> {
    fn read<'a>(
        &'a self,
        kind: &'a str,
        ids: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<Option<Value>>>> {
        Box::pin(self.turn(kind, self.cloud.read(kind, ids)))
    }
    fn find<'a>(
        &'a self,
        kind: &'a str,
        stack: &'a str,
        wanted: &'a [Wanted<Value>],
    ) -> BoxFuture<'a, Result<Vec<Vec<Found<String>>>>> {
        Box::pin(self.turn(kind, self.cloud.find(kind, stack, wanted)))
    }
    fn list<'a>(
        &'a self,
        kind: &'a str,
        scope: &'a Scope,
    ) -> BoxFuture<'a, Result<Vec<(String, Value)>>> {
        Box::pin(self.turn(kind, self.cloud.list(kind, scope)))
    }
    fn create<'a>(&'a self, kind: &'a str, props: &'a Value) -> BoxFuture<'a, Result<String>> {
        Box::pin(self.turn(kind, self.cloud.create(kind, props)))
    }
    fn update<'a>(
        &'a self,
        kind: &'a str,
        id: &'a str,
        props: &'a Value,
        diff: &'a Diff,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.turn(kind, self.cloud.update(kind, id, props, diff)))
    }
    fn empty<'a>(&'a self, kind: &'a str, id: &'a str) -> BoxFuture<'a, Result<bool>> {
        Box::pin(self.turn(kind, self.cloud.empty(kind, id)))
    }
    fn delete<'a>(&'a self, kind: &'a str, id: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.turn(kind, self.cloud.delete(kind, id)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn all_who_share_a_pace_keep_to_it_together() {
        let limit = Limit { concurrent: 2, interval: Duration::from_millis(100) };
        let pace = Arc::new(Pace::new(limit));
        let begun = Instant::now();
        let call = async |pace: Arc<Pace>| pace.keep(async { begun.elapsed().as_millis() }).await;
        let starts = futures::future::join_all((0..5).map(|_| call(pace.clone()))).await;
        assert_eq!(starts, [0, 100, 200, 300, 400]);

        // No more than two at a time, however long they take.
        let begun = Instant::now();
        let slow = async || {
            let second =
                async { tokio::time::sleep_until(Instant::now() + Duration::from_secs(1)).await };
            pace.keep(second).await;
            begun.elapsed().as_secs()
        };
        let ends = futures::future::join_all((0..4).map(|_| slow())).await;
        assert_eq!(ends, [1, 1, 2, 2]);
    }
}
