//! The plan for people: grouped by shared parts and workspaces, what changes, from what to what, why.

use std::collections::BTreeMap;

use engine::{Action, Effect, Group, Plan, PlannedChange, Step, Why, as_output};
use serde_json::Value;
use similar::{ChangeTag, TextDiff};

use super::{Ink, paint, style};

/// The whole plan as text, closed by its figures.
pub(crate) fn plan(plan: &Plan) -> String {
    if plan.is_empty() {
        return format!(
            "No changes. {} resources of `{}` are as the spec says.\n",
            plan.unchanged, plan.stack
        );
    }
    let mut groups: BTreeMap<&Group, Vec<&Step>> = BTreeMap::new();
    for step in &plan.steps {
        // The removal in a replacement is told together with the new object.
        if step.action == Action::Delete && step.replacing {
            continue;
        }
        groups.entry(&step.group).or_default().push(step);
    }
    let mut text = String::new();
    for (group, mut steps) in groups {
        let title = match group {
            Group::Shared(name) => format!("shared: {name}"),
            Group::Workspace(name) => format!("workspace: {name}"),
        };
        text += &format!("{}\n", paint(Ink::Bold, &title));
        steps.sort_by_key(|s| (s.action == Action::Delete, s.step));
        for one in steps {
            text += &step(one);
        }
        text.push('\n');
    }
    let sum = plan.summary();
    let replaced = format!("{} workspaces replaced", workspaces_replaced(plan));
    text += &format!(
        "Plan: {} to add, {} to change, {} to destroy.\n{}\n",
        sum.add,
        sum.change,
        sum.destroy,
        if workspaces_replaced(plan) > 0 { paint(Ink::Red, &replaced) } else { replaced },
    );
    text
}

fn workspaces_replaced(plan: &Plan) -> usize {
    let replaced =
        |s: &&Step| s.action == Action::Replace && s.address.kind().ends_with(".workspace");
    plan.steps.iter().filter(replaced).count()
}

fn step(step: &Step) -> String {
    let (symbol, ink) = match step.action {
        Action::Create => ("+", Ink::Green),
        Action::Replace if step.create_first => ("+/-", Ink::Red),
        Action::Replace => ("-/+", Ink::Red),
        Action::Adopt => (">", Ink::Yellow),
        Action::Update => ("~", Ink::Yellow),
        Action::Finish => ("…", Ink::Yellow),
        Action::Delete => ("-", Ink::Red),
    };
    let mut head = format!("{} {}", paint(ink, &format!("{symbol:>3}")), step.address);
    if step.action == Action::Create {
        let room = style().width.saturating_sub(step.address.as_str().len() + 8);
        let brief = essentials(&step.props, room);
        if !brief.is_empty() {
            head += &format!("  {}", paint(Ink::Dim, &brief));
        }
    }
    if let Some(id) = &step.id {
        head += &format!("  {}", paint(Ink::Dim, id));
    }
    if step.precious && matches!(step.action, Action::Delete | Action::Replace) {
        head += &format!("  {}", paint(Ink::Red, "what it holds is lost"));
    }
    head.push('\n');
    if let Some(because) = &step.because {
        head += &format!("      because {because}\n");
    }
    for change in &step.changes {
        head += &self::change(change);
    }
    head
}

/// The props a reader looks for first, on one line of at most `room` columns.
fn essentials(props: &Value, room: usize) -> String {
    let Some(fields) = props.as_object() else { return String::new() };
    let mut line = String::new();
    for (name, value) in fields {
        let text = match value {
            Value::String(text) if !text.is_empty() && !matches!(name.as_str(), "description") => {
                text.clone()
            }
            Value::Bool(true) => String::new(),
            _ => continue,
        };
        let item = if text.is_empty() { name.clone() } else { format!("{name} {text}") };
        if line.chars().count() + item.chars().count() + 2 > room {
            break;
        }
        if !line.is_empty() {
            line += ", ";
        }
        line += &item;
    }
    line
}

fn change(change: &PlannedChange) -> String {
    let why = match &change.why {
        Why::Spec => "the spec asks for it".to_owned(),
        Why::Drift => "it was changed outside dbxctl".to_owned(),
        Why::Follows(address) => format!("{address} is made anew"),
        Why::Unfinished => "an earlier apply did not get to it".to_owned(),
    };
    let forces = match change.effect {
        Effect::Replace => paint(Ink::Red, "; it cannot be changed, so this needs a new one"),
        Effect::Update => String::new(),
    };
    let (before, after) = (pretty(&change.before), pretty(&change.after));
    let field = &change.field;
    if !before.contains('\n') && !after.contains('\n') {
        let line = format!("      {field}: {before} → {after}");
        return format!("{line}  {}{forces}\n", paint(Ink::Dim, &format!("({why})")));
    }
    let mut text = format!("      {field}:  {}{forces}\n", paint(Ink::Dim, &format!("({why})")));
    let diff = TextDiff::from_lines(&before, &after);
    for (index, hunk) in diff.grouped_ops(1).iter().enumerate() {
        if index > 0 {
            text += "          …\n";
        }
        for op in hunk {
            for line in diff.iter_changes(op) {
                let value = line.value().trim_end();
                text += &match line.tag() {
                    ChangeTag::Delete => paint(Ink::Red, &format!("        - {value}")),
                    ChangeTag::Insert => paint(Ink::Green, &format!("        + {value}")),
                    ChangeTag::Equal => format!("          {value}"),
                };
                text.push('\n');
            }
        }
    }
    text
}

/// A value as a person reads it: bare text, one line for small ones, known-after-apply in words.
fn pretty(value: &Value) -> String {
    let value = spell_out(value);
    match &value {
        Value::Null => "none".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.is_empty() => "none".to_owned(),
        Value::Object(fields) if fields.is_empty() => "none".to_owned(),
        Value::Array(_) | Value::Object(_) => {
            serde_json::to_string_pretty(&value).unwrap_or_default() + "\n"
        }
        other => other.to_string(),
    }
}

fn spell_out(value: &Value) -> Value {
    if let Some(output) = as_output(value) {
        let (address, field) = (output.address, output.field);
        return Value::String(format!("(known after apply: {address} {field})"));
    }
    match value {
        Value::Array(items) => items.iter().map(spell_out).collect(),
        Value::Object(fields) => fields.iter().map(|(n, v)| (n.clone(), spell_out(v))).collect(),
        other => other.clone(),
    }
}
