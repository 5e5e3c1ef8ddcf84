//! What a long run tells over HTTP: that it lives, that it is of use, and its figures.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use reconcile::Turned;
use tokio::net::TcpListener;

use crate::exit::{Exit, Fail, Result};
use crate::metrics::Metrics;

/// How a run fares.
pub(crate) struct Health {
    /// Longer than this without a sign of the loop, and it hangs.
    patience: Duration,
    inner: Mutex<Inner>,
}

struct Inner {
    /// When the loop last did something.
    seen: Instant,
    looked: bool,
    /// The last turn of each stack.
    turns: BTreeMap<String, Option<Turned>>,
}

impl Health {
    pub(crate) fn new(patience: Duration) -> Self {
        let inner = Inner { seen: Instant::now(), looked: false, turns: BTreeMap::new() };
        Health { patience, inner: Mutex::new(inner) }
    }

    fn change(&self, change: impl FnOnce(&mut Inner)) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.seen = Instant::now();
        change(&mut inner);
    }

    /// The loop has looked at the folder, or has tried to.
    pub(crate) fn looked(&self, saw: bool) {
        self.change(|inner| inner.looked |= saw);
    }

    pub(crate) fn added(&self, stack: &str) {
        self.change(|inner| {
            inner.turns.entry(stack.to_owned()).or_default();
        });
    }

    pub(crate) fn removed(&self, stack: &str) {
        self.change(|inner| {
            inner.turns.remove(stack);
        });
    }

    pub(crate) fn ended(&self, stack: &str, turned: Turned) {
        self.change(|inner| {
            if let Some(last) = inner.turns.get_mut(stack) {
                *last = Some(turned);
            }
        });
    }

    /// Whether the loop has turned lately.
    fn live(&self) -> Result<String, String> {
        let quiet = self.inner.lock().unwrap_or_else(PoisonError::into_inner).seen.elapsed();
        match quiet < self.patience {
            true => Ok("ok\n".to_owned()),
            false => Err(format!("the loop has not turned for {} s\n", quiet.as_secs())),
        }
    }

    /// Whether every stack has had a turn, and one of them a good one if there are any: when none
    /// has, it is the sign-in.
    fn ready(&self) -> Result<String, String> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if !inner.looked {
            return Err("the folder has not been read\n".to_owned());
        }
        let waiting = inner.turns.values().filter(|turn| turn.is_none()).count();
        if waiting > 0 {
            return Err(format!("{waiting} of {} stacks have had no turn\n", inner.turns.len()));
        }
        let bad = |turn: &Option<Turned>| matches!(turn, Some(Turned::Failed));
        if !inner.turns.is_empty() && inner.turns.values().all(bad) {
            return Err("every stack fails\n".to_owned());
        }
        Ok(format!("{} stacks\n", inner.turns.len()))
    }
}

/// What is told.
#[derive(Clone)]
pub(crate) struct Told {
    pub(crate) health: Arc<Health>,
    pub(crate) metrics: Arc<Metrics>,
}

/// Answers until the process ends. Returns where it listens.
pub(crate) async fn serve(address: SocketAddr, told: Told) -> Result<SocketAddr> {
    let cannot = |error: std::io::Error| {
        Fail::new(Exit::Error, format!("cannot listen on {address}: {error}"))
            .hint("choose another place with `--listen`, or `--listen none`")
    };
    let listener = TcpListener::bind(address).await.map_err(cannot)?;
    let address = listener.local_addr().map_err(cannot)?;
    let router = Router::new()
        .route("/healthz", get(async |told: State<Told>| answer(told.health.live())))
        .route("/readyz", get(async |told: State<Told>| answer(told.health.ready())))
        .route("/metrics", get(metrics))
        .with_state(told);
    tokio::spawn(axum::serve(listener, router).into_future());
    Ok(address)
}

fn answer(state: Result<String, String>) -> (StatusCode, String) {
    match state {
        Ok(text) => (StatusCode::OK, text),
        Err(text) => (StatusCode::SERVICE_UNAVAILABLE, text),
    }
}

async fn metrics(State(told): State<Told>) -> impl IntoResponse {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(CONTENT_TYPE, kind)], told.metrics.text())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_is_who_has_done_something_for_everyone() {
        let health = Health::new(Duration::from_secs(60));
        assert!(health.live().is_ok() && health.ready().is_err());
        health.looked(true);
        assert!(health.ready().is_ok());
        health.added("a");
        health.added("b");
        assert_eq!(health.ready(), Err("2 of 2 stacks have had no turn\n".to_owned()));
        health.ended("a", Turned::Failed);
        health.ended("b", Turned::Failed);
        assert_eq!(health.ready(), Err("every stack fails\n".to_owned()));
        health.ended("b", Turned::InStep);
        assert!(health.ready().is_ok());
        health.removed("b");
        // The turn that was running when it was removed.
        health.ended("b", Turned::InStep);
        assert!(health.ready().is_err());
    }

    #[test]
    fn a_loop_that_hangs_is_not_alive() {
        let health = Health::new(Duration::ZERO);
        assert!(health.live().is_err());
    }
}
