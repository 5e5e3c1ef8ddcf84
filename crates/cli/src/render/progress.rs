//! Apply as it happens: a live line on a terminal, one line an event elsewhere.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use engine::{Action, Event};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{Ink, note, paint};

/// A pipeline that hears nothing for longer than this may think the job is dead.
const HEARTBEAT: Duration = Duration::from_secs(30);

/// Renders the events of one apply.
pub(crate) struct Progress {
    inner: Arc<Mutex<Inner>>,
    beat: tokio::task::JoinHandle<()>,
}

struct Inner {
    total: usize,
    done: usize,
    /// Present on a terminal only.
    bar: Option<ProgressBar>,
    /// What each running step waits for, since when.
    waiting: BTreeMap<usize, (String, Instant)>,
    last_line: Instant,
}

impl Progress {
    pub(crate) fn new(total: usize) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar =
                ProgressBar::with_draw_target(Some(total as u64), ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template("{spinner} {pos}/{len} {elapsed} {wide_msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        let inner =
            Inner { total, done: 0, bar, waiting: BTreeMap::new(), last_line: Instant::now() };
        let inner = Arc::new(Mutex::new(inner));
        let beat = tokio::spawn(heartbeat(inner.clone()));
        Progress { inner, beat }
    }

    pub(crate) fn event(&self, event: Event) {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).event(event);
    }

    pub(crate) fn finish(&self) {
        self.beat.abort();
        if let Some(bar) = &self.inner.lock().unwrap_or_else(PoisonError::into_inner).bar {
            bar.finish_and_clear();
        }
    }
}

async fn heartbeat(inner: Arc<Mutex<Inner>>) {
    let mut tick = tokio::time::interval(HEARTBEAT);
    loop {
        tick.tick().await;
        inner.lock().unwrap_or_else(PoisonError::into_inner).beat();
    }
}

impl Inner {
    fn event(&mut self, event: Event) {
        match event {
            Event::Started { step, address, .. } => {
                self.waiting.insert(step, (address.to_string(), Instant::now()));
            }
            Event::Waiting { step, address, what, .. } => {
                let text = format!("{address} ({what})");
                let since = self.waiting.get(&step).map_or_else(Instant::now, |(_, since)| *since);
                let new =
                    self.waiting.insert(step, (text.clone(), since)).is_none_or(|(t, _)| t != text);
                if new && self.bar.is_none() {
                    self.line(&format!("{:>8} {address}: {what}", "wait"));
                }
            }
            Event::Retrying { address, error, delay, .. } => {
                self.line(&format!("{:>8} {address}: {error}; again in {delay:.1?}", "retry"));
            }
            Event::Finished { step, address, action, id, elapsed } => {
                self.waiting.remove(&step);
                self.done += 1;
                let (verb, ink) = match action {
                    Action::Create => ("created", Ink::Green),
                    Action::Replace => ("replaced", Ink::Green),
                    Action::Adopt => ("adopted", Ink::Green),
                    Action::Update => ("changed", Ink::Yellow),
                    Action::Finish => ("finished", Ink::Green),
                    Action::Delete => ("deleted", Ink::Red),
                };
                let id = id.filter(|_| action != Action::Delete).unwrap_or_default();
                let done = format!("[{}/{}]", self.done, self.total);
                self.line(&format!(
                    "{} {address}  {id}  {}",
                    paint(ink, &format!("{verb:>8}")),
                    paint(Ink::Dim, &format!("{elapsed:.1?} {done}")),
                ));
            }
            Event::Failed { step, address, message, .. } => {
                self.waiting.remove(&step);
                self.line(&format!(
                    "{} {address}: {message}",
                    paint(Ink::Red, &format!("{:>8}", "failed"))
                ));
            }
            Event::Skipped { address, because, .. } => {
                self.line(&format!("{:>8} {address}: {because} is not done", "skipped"));
            }
        }
        if let Some(bar) = &self.bar {
            bar.set_position(self.done as u64);
            bar.set_message(self.oldest());
        }
    }

    fn line(&mut self, text: &str) {
        self.last_line = Instant::now();
        match &self.bar {
            Some(bar) => bar.println(text),
            None => note(text),
        }
    }

    fn beat(&mut self) {
        if self.bar.is_none() && self.last_line.elapsed() >= HEARTBEAT {
            let text = format!("{:>8} {}/{} done; {}", "…", self.done, self.total, self.oldest());
            self.line(&text);
        }
    }

    /// What has been waited for longest, and how many others run.
    fn oldest(&self) -> String {
        let Some((text, since)) = self.waiting.values().min_by_key(|(_, since)| *since) else {
            return String::new();
        };
        let others = match self.waiting.len() - 1 {
            0 => String::new(),
            n => format!(" and {n} more"),
        };
        format!("{text} for {}s{others}", since.elapsed().as_secs())
    }
}
