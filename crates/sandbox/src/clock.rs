//! The one place that asks what time it is.

use std::time::{Duration, UNIX_EPOCH};

use tokio::time::Instant;

/// Milliseconds since 1970, moved along by tokio's clock, so that a test that pauses time pauses
/// the simulated cloud too.
pub(crate) struct Clock {
    opened: Instant,
    opened_ms: u64,
}

impl Clock {
    /// The wall clock, so that what is pending in one process is ready in the next.
    pub(crate) fn wall() -> Self {
        #[expect(clippy::disallowed_methods, reason = "what is pending outlives the process")]
        let since = std::time::SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Clock { opened: Instant::now(), opened_ms: millis(since) }
    }

    /// A clock that starts at a fixed time, for runs that must be equal.
    pub(crate) fn fixed() -> Self {
        Clock { opened: Instant::now(), opened_ms: 1_750_000_000_000 }
    }

    pub(crate) fn now(&self) -> u64 {
        self.opened_ms + millis(self.opened.elapsed())
    }
}

/// Lets that much time pass: a call takes as long as it takes.
#[expect(clippy::disallowed_methods, reason = "latency is what is simulated")]
pub(crate) async fn pause(ms: u64) {
    if ms > 0 {
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
