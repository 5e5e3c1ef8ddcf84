mod behaviour;
mod conformance;

/// Lets simulated time pass; the tests that do so have paused the clock.
#[expect(clippy::disallowed_methods, reason = "the tests turn the clock")]
async fn pass(time: std::time::Duration) {
    tokio::time::sleep(time).await;
}
