//! What a long run counts, in the words of Prometheus.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use cloud::{Class, Meter};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use reconcile::Turned;

type Labels<const N: usize> = [(&'static str, String); N];
type Seconds = Gauge<f64, AtomicU64>;

/// Every figure of a process, and what it is called.
pub(crate) struct Metrics {
    registry: Registry,
    stacks: Gauge,
    looks_failed: Counter,
    pulls: Family<Labels<1>, Counter>,
    changes: Family<Labels<1>, Gauge>,
    drift: Family<Labels<1>, Gauge>,
    withheld: Family<Labels<1>, Gauge>,
    applied: Family<Labels<1>, Counter>,
    last_success: Family<Labels<1>, Seconds>,
    duration: Family<Labels<1>, Seconds>,
    failures: Family<Labels<1>, Gauge>,
    lock_waits: Family<Labels<1>, Counter>,
    turns: Family<Labels<2>, Counter>,
    calls: Family<Labels<2>, Counter>,
    call_errors: Family<Labels<3>, Counter>,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut metrics = Metrics {
            registry: Registry::with_prefix("dbxctl"),
            stacks: Gauge::default(),
            looks_failed: Counter::default(),
            pulls: Family::default(),
            changes: Family::default(),
            drift: Family::default(),
            withheld: Family::default(),
            applied: Family::default(),
            last_success: Family::default(),
            duration: Family::default(),
            failures: Family::default(),
            lock_waits: Family::default(),
            turns: Family::default(),
            calls: Family::default(),
            call_errors: Family::default(),
        };
        let Metrics {
            registry,
            stacks,
            looks_failed,
            pulls,
            changes,
            drift,
            withheld,
            applied,
            last_success,
            duration,
            failures,
            lock_waits,
            turns,
            calls,
            call_errors,
        } = &mut metrics;
        registry.register("stacks", "Stacks in the folder", stacks.clone());
        registry.register(
            "looks_failed",
            "Looks at the folder that did not tell which stacks there are",
            looks_failed.clone(),
        );
        registry.register("git_pulls", "Pulls by result: done, failed", pulls.clone());
        registry.register(
            "changes_pending",
            "Steps of the last plan that were not carried out",
            changes.clone(),
        );
        registry.register(
            "drift_pending",
            "Those of them that only put back what was changed outside dbxctl",
            drift.clone(),
        );
        registry.register(
            "changes_withheld",
            "Those of them that the policy `safe` does not carry out",
            withheld.clone(),
        );
        registry.register("steps_applied", "Steps carried out", applied.clone());
        registry.register(
            "last_success_timestamp_seconds",
            "End of the last turn that neither failed nor met a lock",
            last_success.clone(),
        );
        registry.register("turn_duration_seconds", "Length of the last turn", duration.clone());
        registry.register("consecutive_failures", "Failed turns in a row", failures.clone());
        registry.register("lock_waits", "Turns that met another run", lock_waits.clone());
        registry.register(
            "turns",
            "Turns by result: in_step, behind, locked, stopped, failed, partial",
            turns.clone(),
        );
        registry.register(
            "calls",
            "Requests sent to the clouds, repeated ones among them",
            calls.clone(),
        );
        registry.register(
            "call_errors",
            "Those of them that came to nothing, by class: throttled, transient, not_found, …",
            call_errors.clone(),
        );
        metrics
    }

    /// All figures in the text format.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a text does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }

    pub(crate) fn looked(&self, stacks: usize) {
        self.stacks.set(i64::try_from(stacks).unwrap_or(i64::MAX));
    }

    pub(crate) fn blind(&self) {
        self.looks_failed.inc();
    }

    pub(crate) fn pulled(&self, done: bool) {
        let result = if done { "done" } else { "failed" };
        self.pulls.get_or_create(&[("result", result.to_owned())]).inc();
    }

    /// What a plan has found and what was left of it.
    pub(crate) fn pending(&self, stack: &str, changes: usize, drift: usize, withheld: usize) {
        let figures = [(&self.changes, changes), (&self.drift, drift), (&self.withheld, withheld)];
        for (family, count) in figures {
            family.get_or_create(&of(stack)).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    pub(crate) fn applied(&self, stack: &str, steps: usize) {
        self.applied.get_or_create(&of(stack)).inc_by(steps as u64);
    }

    pub(crate) fn ended(&self, stack: &str, turned: Turned, took: Duration) {
        self.turns.get_or_create(&with_result(stack, turned)).inc();
        self.duration.get_or_create(&of(stack)).set(took.as_secs_f64());
        let failures = self.failures.get_or_create_owned(&of(stack));
        match turned {
            Turned::InStep | Turned::Behind => {
                failures.set(0);
                let now = jiff::Timestamp::now().as_duration().as_secs_f64();
                self.last_success.get_or_create(&of(stack)).set(now);
            }
            Turned::Locked => {
                failures.set(0);
                self.lock_waits.get_or_create(&of(stack)).inc();
            }
            Turned::Failed | Turned::Partial => {
                failures.inc();
            }
            Turned::Stopped => {}
        }
    }

    /// A stack that is no longer there has no figures.
    pub(crate) fn forget(&self, stack: &str) {
        let label = of(stack);
        for family in [&self.changes, &self.drift, &self.withheld, &self.failures] {
            family.remove(&label);
        }
        for family in [&self.last_success, &self.duration] {
            family.remove(&label);
        }
        for family in [&self.applied, &self.lock_waits] {
            family.remove(&label);
        }
        for turned in Turned::ALL {
            self.turns.remove(&with_result(stack, turned));
        }
    }
}

impl Meter for Metrics {
    fn sent(&self, service: &str, operation: &str) {
        let labels = [("service", service.to_owned()), ("operation", operation.to_owned())];
        self.calls.get_or_create(&labels).inc();
    }

    fn failed(&self, service: &str, operation: &str, class: Class) {
        let class = serde_json::to_value(class).ok();
        let class = class.and_then(|class| class.as_str().map(str::to_owned)).unwrap_or_default();
        let [service, operation] = [service, operation].map(str::to_owned);
        let labels = [("service", service), ("operation", operation), ("class", class)];
        self.call_errors.get_or_create(&labels).inc();
    }
}

fn of(stack: &str) -> Labels<1> {
    [("stack", stack.to_owned())]
}

fn with_result(stack: &str, turned: Turned) -> Labels<2> {
    [("stack", stack.to_owned()), ("result", turned.word().to_owned())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_come_and_go_with_their_stack() {
        let metrics = Metrics::new();
        metrics.pending("wk1", 3, 2, 0);
        for turned in Turned::ALL {
            metrics.ended("wk1", turned, Duration::from_millis(1500));
        }
        metrics.sent("ec2", "DescribeVpcs");
        metrics.failed("ec2", "DescribeVpcs", Class::Throttled);
        let text = metrics.text();
        for line in [
            "dbxctl_changes_pending{stack=\"wk1\"} 3",
            "dbxctl_drift_pending{stack=\"wk1\"} 2",
            "dbxctl_turn_duration_seconds{stack=\"wk1\"} 1.5",
            "dbxctl_turns_total{stack=\"wk1\",result=\"in_step\"} 1",
            "dbxctl_consecutive_failures{stack=\"wk1\"} 2",
            "dbxctl_lock_waits_total{stack=\"wk1\"} 1",
            "dbxctl_calls_total{service=\"ec2\",operation=\"DescribeVpcs\"} 1",
            "dbxctl_call_errors_total{service=\"ec2\",operation=\"DescribeVpcs\",class=\"throttled\"} 1",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
        metrics.forget("wk1");
        assert!(!metrics.text().contains("wk1"), "{}", metrics.text());
    }
}
