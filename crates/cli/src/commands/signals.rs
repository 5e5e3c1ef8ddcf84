//! SIGINT and SIGTERM: the first asks the run to stop, the second SIGINT stops it at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::exit::Exit;
use crate::render;

/// Which signal came, if any.
#[derive(Clone, Default)]
pub(crate) struct Received(Arc<AtomicI32>);

impl Received {
    pub(crate) fn exit(&self) -> Option<Exit> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            15 => Some(Exit::Terminated),
            _ => Some(Exit::Interrupted),
        }
    }
}

/// A token that is cancelled by the first signal.
pub(crate) fn listen() -> (CancellationToken, Received) {
    let (token, received) = (CancellationToken::new(), Received::default());
    let streams =
        signal(SignalKind::interrupt()).and_then(|i| Ok((i, signal(SignalKind::terminate())?)));
    if let Ok((mut interrupt, mut terminate)) = streams {
        let (token, received) = (token.clone(), received.clone());
        tokio::spawn(async move {
            loop {
                let number = tokio::select! {
                    _ = interrupt.recv() => 2,
                    _ = terminate.recv() => 15,
                };
                if token.is_cancelled() && number == 2 {
                    // Everything that matters is on disk already.
                    #[expect(
                        clippy::exit,
                        reason = "a second Ctrl-C must end the process at once"
                    )]
                    std::process::exit(130);
                }
                received.0.store(number, Ordering::Relaxed);
                token.cancel();
                render::note(
                    "stopping: what is under way is finished and saved (again to stop at once)",
                );
            }
        });
    }
    (token, received)
}
