//! Lines for machines: what a long run has to say, one JSON object or one line of text each.

use std::sync::OnceLock;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::args::LogFormat;

/// Set once a command logs: from then on everything for stderr is a line of the log.
static FORMAT: OnceLock<LogFormat> = OnceLock::new();

tokio::task_local! {
    static ABOUT: About;
}

/// What the lines of a piece of work are about.
#[derive(Clone)]
pub(crate) struct About {
    pub(crate) stack: String,
    /// Tells the turn from every other; the lock of the state names it too.
    pub(crate) run: String,
}

/// Turns stderr into a log.
pub(crate) fn log_as(format: LogFormat) {
    let _ = FORMAT.set(format);
}

/// Does the work; the lines of the log say what they are about meanwhile.
pub(crate) async fn about<T>(about: About, work: impl Future<Output = T>) -> T {
    ABOUT.scope(about, work).await
}

/// One event, with fields of its own.
pub(crate) fn log(event: &str, fields: &impl Serialize) {
    let line = line(FORMAT.get().copied().unwrap_or(LogFormat::Text), event, fields);
    super::to_stderr(&line);
}

/// Whether stderr is a log; then the text becomes an event of it.
pub(super) fn takes(text: &str) -> bool {
    let logs = FORMAT.get().is_some();
    if logs {
        log("note", &serde_json::json!({ "message": text.trim() }));
    }
    logs
}

fn line(format: LogFormat, event: &str, fields: &impl Serialize) -> String {
    let mut all = Map::new();
    all.insert("at".to_owned(), format!("{:.3}", jiff::Timestamp::now()).into());
    all.insert("event".to_owned(), event.into());
    let _ = ABOUT.try_with(|about| {
        all.insert("stack".to_owned(), about.stack.clone().into());
        all.insert("run".to_owned(), about.run.clone().into());
    });
    if let Ok(Value::Object(fields)) = serde_json::to_value(fields) {
        all.extend(fields);
    }
    match format {
        LogFormat::Json => Value::Object(all).to_string(),
        LogFormat::Text => text(all),
    }
}

/// `12:00:00.000Z turn_ended wk1: result in_step, seconds 1.2`.
fn text(mut all: Map<String, Value>) -> String {
    let mut take = |name: &str| match all.shift_remove(name) {
        Some(Value::String(text)) => text,
        _ => String::new(),
    };
    let (at, event, stack, _run) = (take("at"), take("event"), take("stack"), take("run"));
    let fields: Vec<String> =
        all.iter().map(|(name, value)| format!("{name} {}", plain(value))).collect();
    let head = format!("{at} {event} {stack}").trim_end().to_owned();
    if fields.is_empty() { head } else { format!("{head}: {}", fields.join(", ")) }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join("; "),
        Value::Object(fields) => fields.values().map(plain).collect::<Vec<_>>().join(" "),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn lines_say_what_they_are_about() {
        let about = About { stack: "wk1".to_owned(), run: "7".to_owned() };
        let fields = json!({ "seconds": 1.5, "message": "two\nlines" });
        let both = [LogFormat::Json, LogFormat::Text];
        let [machine, human] =
            super::about(about, async { both.map(|f| line(f, "ended", &fields)) }).await;
        let machine: Value = serde_json::from_str(&machine).expect("one line of JSON");
        assert!(machine["at"].as_str().is_some_and(|at| at.ends_with('Z')), "{machine}");
        let mut rest = machine;
        rest.as_object_mut().expect("an object").remove("at");
        assert_eq!(
            rest,
            json!({
                "event": "ended", "stack": "wk1", "run": "7", "seconds": 1.5,
                "message": "two\nlines",
            })
        );
        assert!(human.ends_with("ended wk1: seconds 1.5, message two\nlines"), "{human}");
        assert!(!line(LogFormat::Json, "ended", &fields).contains("stack"));
    }
}
