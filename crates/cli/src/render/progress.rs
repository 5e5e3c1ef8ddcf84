//! Apply as it happens: a live line on a terminal, one line an event elsewhere.

use std::io::IsTerminal;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use console::{Term, truncate_str};
use engine::{Action, Estimate, Event, Plan};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::tree::{Size, Tree};
use super::{Ink, log, note, paint};

/// A pipeline that hears nothing for longer than this may think the job is dead.
const HEARTBEAT: Duration = Duration::from_secs(30);
/// A person who sees nothing move for longer than this wonders.
const FRAME: Duration = Duration::from_millis(200);

/// Renders the events of one apply.
pub(crate) struct Progress {
    inner: Arc<Mutex<Inner>>,
    beat: tokio::task::JoinHandle<()>,
}

struct Inner {
    tree: Tree,
    /// Present on a terminal only.
    screen: Option<ProgressBar>,
    started: Instant,
    last_line: Instant,
}

impl Progress {
    pub(crate) fn new(plan: &Plan, estimate: &Estimate) -> Self {
        let screen = drawing("{msg}");
        let every = if screen.is_some() { FRAME } else { HEARTBEAT };
        let started = Instant::now();
        let tree = Tree::new(plan, estimate);
        let inner = Arc::new(Mutex::new(Inner { tree, screen, started, last_line: started }));
        let beat = tokio::spawn(heartbeat(inner.clone(), every));
        Progress { inner, beat }
    }

    pub(crate) fn event(&self, event: &Event) {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).event(event);
    }

    pub(crate) fn finish(&self) {
        self.beat.abort();
        if let Some(screen) = &self.inner.lock().unwrap_or_else(PoisonError::into_inner).screen {
            screen.finish_and_clear();
        }
    }
}

/// Part of the terminal that is drawn anew again and again; `None` without a terminal.
fn drawing(template: &str) -> Option<ProgressBar> {
    let style = ProgressStyle::with_template(template).ok()?;
    let target = ProgressDrawTarget::stderr();
    let bar = || ProgressBar::with_draw_target(None, target).with_style(style);
    (std::io::stderr().is_terminal() && !log::logs()).then(bar)
}

/// A line on the terminal for as long as something is read; nothing elsewhere.
pub(crate) struct Reading(Option<ProgressBar>);

impl Reading {
    /// Says what is read, and for how long already.
    pub(crate) fn begin(what: &str) -> Self {
        let line = drawing("{spinner} {msg}  {elapsed}");
        if let Some(line) = &line {
            line.set_message(what.to_owned());
            line.enable_steady_tick(FRAME);
        }
        Reading(line)
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        if let Some(line) = &self.0 {
            line.finish_and_clear();
        }
    }
}

async fn heartbeat(inner: Arc<Mutex<Inner>>, every: Duration) {
    let mut tick = tokio::time::interval(every);
    loop {
        tick.tick().await;
        inner.lock().unwrap_or_else(PoisonError::into_inner).beat();
    }
}

impl Inner {
    fn event(&mut self, event: &Event) {
        let new = self.tree.event(event, self.started.elapsed());
        match event {
            Event::Started { .. } => {}
            Event::Waiting { address, what, .. } => {
                if new && self.screen.is_none() {
                    self.line(&format!("{:>8} {address}: {what}", "wait"));
                }
            }
            Event::Retrying { address, error, delay, .. } => {
                // On a screen the tree says that it goes on.
                if new || self.screen.is_none() {
                    self.line(&format!("{:>8} {address}: {error}; again in {delay:.1?}", "retry"));
                }
            }
            Event::Finished { address, action, id, elapsed, .. } => {
                let (verb, ink) = match action {
                    Action::Create => ("created", Ink::Green),
                    Action::Replace => ("replaced", Ink::Green),
                    Action::Adopt => ("adopted", Ink::Green),
                    Action::Update => ("changed", Ink::Yellow),
                    Action::Finish => ("finished", Ink::Green),
                    Action::Delete => ("deleted", Ink::Red),
                };
                let id = id.as_deref().filter(|_| *action != Action::Delete).unwrap_or_default();
                let done = format!("[{}/{}]", self.tree.done(), self.tree.total());
                let text = format!(
                    "{} {address}  {id}  {}",
                    paint(ink, &format!("{verb:>8}")),
                    paint(Ink::Dim, &format!("{elapsed:.1?} {done}")),
                );
                self.line(&self.one_line(text));
            }
            Event::Failed { address, message, .. } => {
                self.line(&format!(
                    "{} {address}: {message}",
                    paint(Ink::Red, &format!("{:>8}", "failed"))
                ));
            }
            Event::Skipped { address, because, .. } => {
                self.line(&format!("{:>8} {address}: {because} is not done", "skipped"));
            }
        }
        self.draw();
    }

    /// On a terminal, what there is room for.
    fn one_line(&self, text: String) -> String {
        match &self.screen {
            Some(_) => truncate_str(&text, usize::from(Term::stderr().size().1), "…").into_owned(),
            None => text,
        }
    }

    /// A line that stays.
    fn line(&mut self, text: &str) {
        self.last_line = Instant::now();
        match &self.screen {
            Some(screen) => screen.println(text),
            None => note(text),
        }
    }

    fn beat(&mut self) {
        if self.screen.is_some() {
            self.draw();
        } else if self.last_line.elapsed() >= HEARTBEAT {
            let (done, total) = (self.tree.done(), self.tree.total());
            let oldest = self.tree.oldest(self.started.elapsed());
            self.line(&format!("{:>8} {done}/{total} done; {oldest}", "…"));
        }
    }

    fn draw(&self) {
        if let Some(screen) = &self.screen {
            let (rows, columns) = Term::stderr().size();
            // The last column stays free: some terminals wrap when it is filled.
            let size = Size { columns: usize::from(columns).max(2) - 1, rows: usize::from(rows) };
            screen.set_message(self.tree.lines(self.started.elapsed(), size).join("\n"));
        }
    }
}
