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
        let service = self.kinds.get(kind).and_then(|k| self.services.get(k.service()));
        let Some(service) = service else { return call.await };
        let _place = service.places.acquire().await;
        let start = {
            let mut next = service.next.lock().await;
            let start = (*next).max(Instant::now());
            *next = start + service.interval;
            start
        };
        tokio::time::sleep_until(start).await;
        call.await
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
