//! What stands behind an object, a field of the spec or a rule.

use std::collections::BTreeSet;

use blueprint::{Effect, Variation};
use check::{Finding, Rule};
use engine::{Address, Group, Node, Record, Role, Status};
use kinds::catalogue::Entry;
use serde_json::Value;
use spec::{Field, Place};

use super::plan::{long, pretty, spell_out};
use super::rules::decided;
use super::text::wrapped;
use super::{Ink, paint, severity, style};

/// What is explained.
pub(crate) enum Subject<'a> {
    Object(Object<'a>),
    /// An object of the state that the spec does not ask for.
    Removed {
        address: &'a Address,
        record: &'a Record,
        about: Option<&'static Entry>,
    },
    Field {
        name: &'a str,
        field: &'a Field,
        here: Option<Places<'a>>,
        graph: Option<Effects>,
    },
    /// Without `here` there is no spec to speak of.
    Rule {
        rule: &'a Rule,
        here: Option<Vec<Found<'a>>>,
    },
}

/// A field where the spec has it, and what takes values of the environment out of a text.
pub(crate) type Places<'a> = (Vec<Here>, &'a dyn Fn(String) -> String);

/// An object of the graph and everything about it.
pub(crate) struct Object<'a> {
    pub(crate) address: &'a Address,
    pub(crate) node: &'a Node,
    pub(crate) about: Option<&'static Entry>,
    pub(crate) from: Option<Written>,
    pub(crate) decided_by: Vec<Written>,
    pub(crate) needed_by: BTreeSet<&'a Address>,
    /// How many more need it by way of those.
    pub(crate) behind: usize,
    /// `None` when the state was not read.
    pub(crate) record: Option<Option<&'a Record>>,
    pub(crate) findings: Vec<Found<'a>>,
    /// Takes values of the environment out of a text.
    pub(crate) hide: &'a dyn Fn(String) -> String,
}

/// A field in the files.
pub(crate) struct Written {
    pub(crate) field: String,
    pub(crate) place: Place,
    pub(crate) line: String,
}

/// A finding and its place in the files.
pub(crate) struct Found<'a> {
    pub(crate) finding: &'a Finding,
    pub(crate) at: Option<Place>,
}

/// A field in one place of the spec.
pub(crate) struct Here {
    pub(crate) name: String,
    /// With defaults filled in; `None` when it has none.
    pub(crate) value: Option<Value>,
    pub(crate) written: Option<Written>,
}

/// What hangs on a field.
pub(crate) struct Effects {
    /// Objects that come from it.
    pub(crate) made: Vec<Address>,
    pub(crate) variations: Vec<Variation>,
}

/// The explanation.
pub(crate) fn explained(subject: Subject<'_>) -> String {
    match subject {
        Subject::Object(object) => self::object(&object),
        Subject::Removed { address, record, about } => {
            let mut text = title(address.as_str(), &group(&record.group));
            text += &what(about);
            text += &line("spec", "nothing asks for it any more");
            text += &self::record(Some(Some(record)));
            text + &calls(about)
        }
        Subject::Field { name, field, here, graph } => self::field(name, field, here, graph),
        Subject::Rule { rule, here } => self::rule(rule, here),
    }
}

/// Columns before the text.
const MARGIN: usize = 14;

fn title(name: &str, aside: &str) -> String {
    let name = paint(Ink::Bold, name);
    if aside.is_empty() { format!("{name}\n") } else { format!("{name}  {aside}\n") }
}

/// A labelled paragraph.
fn line(label: &str, text: &str) -> String {
    wrapped("  ", &format!("{label:<width$}", width = MARGIN - 2), text)
}

/// Lines below a label, as they are.
fn lines(label: &str, all: impl IntoIterator<Item = String>) -> String {
    let line = |(index, line): (usize, String)| {
        let label = if index == 0 { label } else { "" };
        format!("  {label:<width$}{line}\n", width = MARGIN - 2)
    };
    all.into_iter().enumerate().map(line).collect()
}

fn group(group: &Group) -> String {
    match group {
        Group::Shared(name) => format!("shared: {name}"),
        Group::Workspace(name) => format!("workspace: {name}"),
    }
}

fn what(about: Option<&Entry>) -> String {
    about.map(|entry| line("what", &entry.about)).unwrap_or_default()
}

fn object(object: &Object<'_>) -> String {
    let Object {
        address,
        node,
        about,
        from,
        decided_by,
        needed_by,
        behind,
        record,
        findings,
        hide,
    } = object;
    let mut text = title(address.as_str(), &group(&node.group));
    text += &what(*about);
    text += &from.as_ref().map(|written| lines("from", place(written))).unwrap_or_default();
    let others = decided_by.iter().filter(|w| Some(&w.place) != from.as_ref().map(|f| &f.place));
    let mut shown = from.as_ref().map(|from| from.place.line);
    let other = |written: &Written| {
        let again = shown.replace(written.place.line) == Some(written.place.line);
        place(written).into_iter().take(if again { 1 } else { 2 }).collect::<Vec<_>>()
    };
    text += &lines("decided by", others.flat_map(other));
    match &node.role {
        Role::Used { id, expect } => {
            text += &line("used", &format!("{id}: read and checked, never changed"));
            let must = expect.iter().map(|e| {
                format!(
                    "its `{}` must be {}, because {}",
                    e.field,
                    pretty(&spell_out(&e.equals)),
                    e.because
                )
            });
            text += &must.map(|must| line("", &must)).collect::<String>();
        }
        Role::Managed { props } => text += &properties(props, *about, hide),
    }
    let needs: BTreeSet<Address> =
        node.needs().into_iter().filter(|need| need != *address).collect();
    text += &line("needs", &names(needs.iter(), "nothing: it is among the first"));
    let mut users = names(needed_by.iter().copied(), "nothing: it is among the last");
    if *behind > 0 {
        users += &format!("; {behind} more by way of these");
    }
    text += &line("needed by", &users);
    if matches!(node.role, Role::Managed { .. }) {
        text += &calls(*about);
    }
    text += &self::record(*record);
    if findings.is_empty() {
        text += &line("check", "nothing is found against it");
    }
    text + &findings.iter().map(finding).collect::<String>()
}

fn place(written: &Written) -> [String; 2] {
    let Written { field, place, line } = written;
    let number = place.line.to_string();
    let room = style().width.saturating_sub(MARGIN + number.len() + 3);
    [
        format!("{}  {}", place, paint(Ink::Dim, field)),
        format!("{} {}", paint(Ink::Dim, &format!("{number} |")), super::text::cut(line, room)),
    ]
}

fn names<'a>(all: impl Iterator<Item = &'a Address>, none: &str) -> String {
    let all: Vec<&str> = all.map(Address::as_str).collect();
    if all.is_empty() { none.to_owned() } else { all.join(", ") }
}

/// Every property as it will be, and what a change of it costs.
fn properties(props: &Value, about: Option<&Entry>, hide: &dyn Fn(String) -> String) -> String {
    let cost = |name: &str| {
        let field = about?.fields.iter().find(|field| field.name == name)?;
        (field.change != "in place").then_some(field.change.as_str())
    };
    let fields = props.as_object().into_iter().flatten();
    let property = |(name, value): (&String, &Value)| {
        let value = spell_out(value);
        let aside = match cost(name) {
            Some(cost) => format!("  {}", paint(Ink::Dim, &format!("({cost})"))),
            None => String::new(),
        };
        let short = hide(pretty(&value));
        if short.chars().count() + name.len() + MARGIN + 2 <= style().width {
            return vec![format!("{name}: {short}{aside}")];
        }
        let document = hide(listed(&value));
        let room = style().width.saturating_sub(MARGIN + 2);
        let document = document.lines().map(|line| format!("  {}", super::text::cut(line, room)));
        std::iter::once(format!("{name}:{aside}")).chain(document).collect()
    };
    lines("properties", fields.flat_map(property))
}

/// A list or a map of short values, one a line; anything else as a document.
fn listed(value: &Value) -> String {
    let plain = |value: &Value| !value.is_array() && !value.is_object();
    match value {
        Value::Array(items) if items.iter().all(plain) => {
            items.iter().map(|item| format!("- {}\n", pretty(item))).collect()
        }
        Value::Object(fields) if fields.values().all(plain) => {
            fields.iter().map(|(name, value)| format!("{name}: {}\n", pretty(value))).collect()
        }
        other => long(other),
    }
}

fn calls(about: Option<&Entry>) -> String {
    let Some(entry) = about else { return String::new() };
    let mut text = String::new();
    for (does, label) in [("create", "made by"), ("update", "changed by"), ("delete", "deleted by")]
    {
        text += &match entry.calls.get(does) {
            Some(calls) if calls.is_empty() => line(label, "no call: it comes with another object"),
            Some(calls) => line(label, &calls.join(", ")),
            None => line(label, "nothing: a new one takes its place"),
        };
    }
    let words = if entry.precious { "; deleting it takes words in the spec" } else { "" };
    text + &line("replaced", &format!("{}{words}", entry.replace))
}

/// What the state knows; `None` when it was not read.
fn record(record: Option<Option<&Record>>) -> String {
    let words = match record {
        None => "not read: it is in a bucket, and nothing is called".to_owned(),
        Some(None) => "none: it was not made yet".to_owned(),
        Some(Some(record)) => {
            let status = match record.status {
                Status::Settled => "as it was asked for".to_owned(),
                other => format!("{other:?}").to_lowercase(),
            };
            let id = record.id.as_deref().unwrap_or("no id");
            format!("{id}, {status}, last changed {}", record.changed_at)
        }
    };
    line("state", &words)
}

fn finding(found: &Found<'_>) -> String {
    let Found { finding, at } = found;
    let place = at.as_ref().map(|at| format!(" at {at}")).unwrap_or_default();
    let mut text = line(
        "check",
        &format!("{} {}{place}: {}", severity(finding.severity), finding.rule, finding.message),
    );
    text += &line("", &format!("fix: {}", finding.fix));
    if let Some(symptom) = &finding.symptom {
        text += &line("", &format!("users see: {symptom}"));
    }
    if let Some(reason) = &finding.accepted {
        text += &line("", &format!("accepted: {reason}"));
    }
    text
}

fn field(name: &str, field: &Field, here: Option<Places<'_>>, graph: Option<Effects>) -> String {
    let mut text = title(name, "");
    if !field.about.is_empty() {
        text += &line("what", &field.about);
    }
    text += &line("type", &field.kind);
    for (value, about) in &field.values {
        text += &line("", &format!("`{value}`: {about}"));
    }
    if !field.fields.is_empty() {
        text += &line("fields", &field.fields.join(", "));
    }
    if let Some(default) = &field.default {
        text += &line("default", default);
    }
    if let Some(change) = &field.change {
        text += &line("change", change);
    }
    let Some((here, hide)) = here else {
        return text + &line("here", "there is no spec here");
    };
    let one = here.len() == 1;
    let value = |here: &Here| {
        let value = match &here.value {
            None => "not set".to_owned(),
            Some(value) => hide(pretty(value)),
        };
        let value = match one {
            true => value,
            false => format!("{}: {value}", here.name),
        };
        let room = style().width.saturating_sub(MARGIN + 12);
        let value = super::text::cut(&value, room);
        match &here.written {
            None => vec![format!("{value}  {}", paint(Ink::Dim, "(default)"))],
            Some(written) if one => std::iter::once(value).chain(place(written)).collect(),
            Some(written) => vec![value, paint(Ink::Dim, &format!("  {}", written.place))],
        }
    };
    text += &match here.is_empty() {
        true => line("here", "the spec has no place for it"),
        false => lines("here", here.iter().flat_map(value)),
    };
    match graph {
        None if here.len() > 1 => text + &line("", "name one of them to see what hangs on it"),
        None => text,
        Some(effects) => text + &hanging(&effects),
    }
}

/// Objects named of one value; the others are counted.
const NAMED: usize = 12;

fn hanging(effects: &Effects) -> String {
    let mut text = String::new();
    if !effects.made.is_empty() {
        let shown = effects.made.iter().take(NAMED);
        let mut all = names(shown, "");
        if effects.made.len() > NAMED {
            all += &format!(" and {} more", effects.made.len() - NAMED);
        }
        text += &line("makes", &all);
    }
    for Variation { value, effects } in &effects.variations {
        let title = match value {
            None => "without it".to_owned(),
            Some(value) => format!("with `{}`", pretty(value)),
        };
        if effects.is_empty() {
            text += &format!("  {title}: the same objects\n");
            continue;
        }
        text += &format!("  {title}:\n");
        for (address, effect) in effects.iter().take(NAMED) {
            text += &match effect {
                Effect::Added => format!("    {} {address}\n", paint(Ink::Green, "+")),
                Effect::Removed => format!("    {} {address}\n", paint(Ink::Red, "-")),
                Effect::Differs(fields) => {
                    let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
                    let fields =
                        if fields.is_empty() { "order".to_owned() } else { fields.join(", ") };
                    format!(
                        "    {} {address}  {}\n",
                        paint(Ink::Yellow, "~"),
                        paint(Ink::Dim, &fields)
                    )
                }
            };
        }
        if effects.len() > NAMED {
            text += &format!("    … and {} more\n", effects.len() - NAMED);
        }
    }
    if effects.variations.is_empty() {
        text += &line(
            "",
            "no other value was found that makes sense here, so what would differ is not known",
        );
    }
    text
}

fn rule(rule: &Rule, here: Option<Vec<Found<'_>>>) -> String {
    let (by, how) = decided(&rule.decided);
    let mut text = title(rule.id, severity(rule.severity));
    text += &line("broken when", rule.when);
    text += &line("fix", rule.fix);
    text +=
        &line("decided by", &if how.is_empty() { by.to_owned() } else { format!("{by}: {how}") });
    text += &line("source", rule.source);
    match here {
        None => text + &line("here", "there is no spec here"),
        Some(found) if found.is_empty() => text + &line("here", "the spec does not break it"),
        Some(found) => text + &found.iter().map(finding).collect::<String>(),
    }
}
