//! The plan for people: grouped by shared parts and workspaces, what changes, from what to what, why.

use std::collections::{BTreeMap, BTreeSet};

use check::RoomChange;
use engine::{
    Action, Consequence, Effect, Group, Headline, Impact, Move, Plan, PlannedChange, Step, Why,
    as_output,
};
use kinds::users::User;
use serde_json::Value;
use similar::{ChangeTag, TextDiff};

use super::difference::laid_out;
use super::text::flowed;
use super::{Ink, paint, style};
use crate::commands::{Accepted, Checked, Touched};

/// The whole plan as text: headlines with their steps, everything else by group, the figures.
pub(crate) fn plan(plan: &Plan, used_by: &Touched, checked: &Checked) -> String {
    flowed(&whole(plan, used_by, checked))
}

fn whole(plan: &Plan, used_by: &Touched, checked: &Checked) -> String {
    let notes = notes(plan) + &accepted(&checked.accepted) + &room(&checked.room);
    if plan.is_empty() {
        return format!(
            "No changes. {} resources of `{}` are as the spec says.\n{notes}",
            plan.unchanged, plan.stack
        );
    }
    let mut text = String::new();
    let mut told: BTreeSet<usize> = BTreeSet::new();
    for headline in &plan.headlines {
        text += &self::headline(headline, plan, used_by);
        told.extend(&headline.steps);
    }
    let rest = plan.steps.iter().filter(|step| !told.contains(&step.step));
    let (drift, asked): (Vec<&Step>, Vec<&Step>) = rest.partition(|step| step.is_drift());
    text += &super::drift::section(&drift);
    let mut groups: BTreeMap<&Group, Vec<&Step>> = BTreeMap::new();
    for step in asked {
        // The removal in a replacement is told together with the new object.
        if step.action == Action::Delete && step.replacing {
            continue;
        }
        groups.entry(&step.group).or_default().push(step);
    }
    for (group, mut steps) in groups {
        let title = match group {
            Group::Shared(name) => format!("shared: {name}"),
            Group::Workspace(name) => format!("workspace: {name}"),
        };
        text += &format!("{}\n", paint(Ink::Bold, &title));
        steps.sort_by_key(|s| (s.action == Action::Delete, s.step));
        for one in steps {
            text += &step(one, "");
            text += &users(used_by.get(&one.address));
        }
        text.push('\n');
    }
    text += &bookkeeping(plan);
    text += &notes;
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

/// Who else feels it.
fn users(users: Option<&Vec<User>>) -> String {
    let word = |user: &User| match &user.address {
        Some(address) => address.name().to_owned(),
        None => format!("{} `{}` (outside this stack)", user.id, user.name),
    };
    let all: Vec<String> = users.into_iter().flatten().map(word).collect();
    if all.is_empty() { String::new() } else { format!("      used by: {}\n", all.join(", ")) }
}

/// What changes in the state alone.
fn bookkeeping(plan: &Plan) -> String {
    let mut text = String::new();
    if !plan.moved.is_empty() {
        text +=
            &format!("{}\n", paint(Ink::Bold, "renamed here, nothing of it changes in the clouds"));
        for Move { from, to } in &plan.moved {
            text += &format!("  {} {from} → {to}\n", paint(Ink::Yellow, "  >"));
        }
        text.push('\n');
    }
    if plan.left().next().is_some() {
        text += &format!("{}\n", paint(Ink::Bold, "forgotten, but not deleted"));
        for (address, id) in plan.left() {
            text +=
                &format!("  {} {address}  {}\n", paint(Ink::Yellow, "  ×"), paint(Ink::Dim, id));
        }
        text.push('\n');
    }
    text
}

/// What the spec accepts although `dbxctl check` found it: the rule, its first place, and why.
fn accepted(accepted: &[Accepted]) -> String {
    let alike = |a: &Accepted, b: &Accepted| (&a.rule, &a.reason) == (&b.rule, &b.reason);
    let text = |group: &[Accepted]| {
        let Accepted { rule, severity, message, reason, .. } = &group[0];
        let more = match group.len() {
            1 => String::new(),
            all => format!(" (and {} more)", all - 1),
        };
        let rule = paint(Ink::Yellow, &format!("{severity} {rule}"));
        format!("accepted: {rule}: {message}{more}\n      because {reason}\n")
    };
    accepted.chunk_by(alike).map(text).collect()
}

fn room(changes: &[RoomChange]) -> String {
    let line = |change: &RoomChange| {
        let RoomChange { workspace, now, then } = change;
        format!("room: {workspace} has room for {now} nodes now and for {then} then\n")
    };
    changes.iter().map(line).collect()
}

fn notes(plan: &Plan) -> String {
    let line = |note: &engine::Note| format!("note: {}: {}\n", note.address, note.message);
    plan.notes.iter().map(line).collect()
}

/// Reasons told of one headline; the first ones are about most.
const REASONS: usize = 3;

/// What happens, what that does to people, why, and the steps, numbered.
fn headline(headline: &Headline, plan: &Plan, used_by: &Touched) -> String {
    let own = || plan.steps.iter().filter(|step| headline.steps.contains(&step.step));
    let loses = own().any(|s| s.precious && matches!(s.action, Action::Delete | Action::Replace));
    let mut text = match loses {
        true => paint(Ink::Red, &headline.title),
        false => paint(Ink::Bold, &headline.title),
    };
    text.push('\n');
    if headline.impacts.is_empty() && !loses {
        text += "  impact: none\n";
    }
    for Consequence { impact, words } in &headline.impacts {
        text += &format!("  impact: {}: {words}\n", paint(Ink::Yellow, impact_words(*impact)));
    }
    for reason in headline.because.iter().take(REASONS) {
        text += &format!("  because {reason}\n");
    }
    if headline.because.len() > REASONS {
        text += &format!("  and {} more reasons\n", headline.because.len() - REASONS);
    }
    for (index, step) in own().enumerate() {
        text += &self::step(step, &format!("{:>4} ", index + 1));
        text += &users(used_by.get(&step.address));
    }
    text.push('\n');
    text
}

/// An impact as the plan names it.
pub(super) fn impact_words(impact: Impact) -> &'static str {
    match impact {
        Impact::ComputeStops => "compute must be stopped",
        Impact::UsersLoseAccess => "users lose access",
        Impact::OneWay => "one-way",
    }
}

pub(super) fn workspaces_replaced(plan: &Plan) -> usize {
    let replaced =
        |s: &&Step| s.action == Action::Replace && s.address.kind().ends_with(".workspace");
    plan.steps.iter().filter(replaced).count()
}

/// What a plan takes away for good, before people are asked; empty when it takes nothing.
pub(crate) fn losses(plan: &Plan) -> String {
    let loss = |step: &Step| {
        let id = step.id.as_deref().unwrap_or("-");
        let what = match (step.address.kind(), step.empties) {
            ("databricks.workspace", _) => "with its notebooks, jobs, queries and settings",
            (_, true) => "with every object and version in it",
            (_, false) => "which must be empty by then",
        };
        format!("  {}  {id}, {what}\n", paint(Ink::Red, step.address.as_str()))
    };
    let lines: String = plan.losses().map(loss).collect();
    if lines.is_empty() { lines } else { flowed(&format!("Lost for good:\n{lines}")) }
}

/// One step with its changes; `number` stands before it.
pub(super) fn step(step: &Step, number: &str) -> String {
    let margin = " ".repeat(number.len());
    let (symbol, ink) = match step.action {
        // Below a headline both halves of a replacement have a line, each in its place.
        Action::Replace if !number.is_empty() => ("+", Ink::Green),
        Action::Create => ("+", Ink::Green),
        Action::Replace if step.create_first => ("+/-", Ink::Red),
        Action::Replace => ("-/+", Ink::Red),
        Action::Adopt => (">", Ink::Yellow),
        Action::Update => ("~", Ink::Yellow),
        Action::Finish => ("…", Ink::Yellow),
        Action::Delete => ("-", Ink::Red),
    };
    let mut head = format!("{number}{} {}", paint(ink, &format!("{symbol:>3}")), step.address);
    if step.action == Action::Create {
        let room = style().width.saturating_sub(number.len() + step.address.as_str().len() + 6);
        let brief = essentials(&step.props, room);
        if !brief.is_empty() {
            head += &format!("  {}", paint(Ink::Dim, &brief));
        }
    }
    if let Some(id) = &step.id {
        head += &format!("  {}", paint(Ink::Dim, id));
    }
    if step.replacing && step.action == Action::Delete {
        head += "  the old one";
    }
    if step.precious && matches!(step.action, Action::Delete | Action::Replace) {
        let words = match step.empties {
            true => "emptied first: every object and version it holds is deleted",
            false => "what it holds is lost",
        };
        head += &format!("  {}", paint(Ink::Red, words));
    }
    head.push('\n');
    if let Some(because) = &step.because {
        head += &format!("{margin}      because {because}\n");
    }
    for change in &step.changes {
        for line in self::change(change).lines() {
            head += &format!("{margin}{line}\n");
        }
    }
    head
}

/// The props a reader looks for first, on one line of at most `room` columns.
pub(super) fn essentials(props: &Value, room: usize) -> String {
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
            continue;
        }
        if !line.is_empty() {
            line += ", ";
        }
        line += &item;
    }
    line
}

fn change(change: &PlannedChange) -> String {
    let forces = match forces(change) {
        Some(words) => paint(Ink::Red, &format!("; {words}")),
        None => String::new(),
    };
    let why = paint(Ink::Dim, &format!("({})", why(&change.why)));
    let lines = differences(&change.field, &change.before, &change.after);
    match lines.as_slice() {
        [line @ Line::Field { .. }] => format!("      {}  {why}{forces}\n", line.painted()),
        lines => {
            let lines = laid_out(lines);
            let lines = lines.iter().map(|line| format!("        {line}\n"));
            format!("      {}:  {why}{forces}\n{}", change.field, lines.collect::<String>())
        }
    }
}

pub(super) fn why(why: &Why) -> String {
    match why {
        Why::Spec => "the spec asks for it".to_owned(),
        Why::Drift => "it was changed outside dbxctl".to_owned(),
        Why::Follows(address) => format!("{address} is new"),
        Why::Unfinished => "an earlier apply did not get to it".to_owned(),
    }
}

/// What the change makes necessary.
pub(super) fn forces(change: &PlannedChange) -> Option<&'static str> {
    match change.effect {
        Effect::Replace => Some("it cannot be changed, so this needs a new one"),
        Effect::Update | Effect::Never => None,
    }
}

/// One line of a difference.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Line {
    Field {
        path: String,
        before: Value,
        after: Value,
    },
    Removed(String),
    Added(String),
    Same(String),
    /// Lines that do not differ are left out.
    Gap,
}

impl Line {
    pub(super) fn painted(&self) -> String {
        match self {
            Line::Field { path, before, after } => {
                format!("{path}: {} → {}", pretty(before), pretty(after))
            }
            Line::Removed(text) => paint(Ink::Red, &format!("- {text}")),
            Line::Added(text) => paint(Ink::Green, &format!("+ {text}")),
            Line::Same(text) => format!("  {text}"),
            Line::Gap => "  …".to_owned(),
        }
    }
}

/// What differs, line by line, with words for what is not known yet.
pub(super) fn differences(path: &str, before: &Value, after: &Value) -> Vec<Line> {
    compare(path, &spell_out(before), &spell_out(after))
}

/// Maps by key, lists by member, long members by line.
fn compare(path: &str, before: &Value, after: &Value) -> Vec<Line> {
    match (before, after) {
        (Value::Object(old), Value::Object(new)) if is_map(old) && is_map(new) => {
            let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
            let differing = keys.into_iter().filter(|key| old.get(*key) != new.get(*key));
            let value =
                |fields: &Map, key: &String| fields.get(key).cloned().unwrap_or(Value::Null);
            differing
                .flat_map(|key| {
                    compare(&format!("{path}.{key}"), &value(old, key), &value(new, key))
                })
                .collect()
        }
        (Value::Array(old), Value::Array(new)) if old.iter().chain(new).all(is_member) => {
            let only = |these: &[Value], those: &[Value], line: fn(String) -> Line| -> Vec<Line> {
                let only = these.iter().filter(|item| !those.contains(item));
                only.map(|item| line(pretty(item))).collect()
            };
            let mut lines = only(old, new, Line::Removed);
            lines.extend(only(new, old, Line::Added));
            lines
        }
        _ if is_short(before) && is_short(after) => {
            let (path, before, after) = (path.to_owned(), before.clone(), after.clone());
            vec![Line::Field { path, before, after }]
        }
        _ => by_line(&long(before), &long(after)),
    }
}

type Map = serde_json::Map<String, Value>;

/// Whether the object is a map of short values, such as tags, rather than a document.
fn is_map(fields: &Map) -> bool {
    fields.values().all(|value| is_short(value) || value.is_object())
}

/// Whether a member of a list is told on a line of its own, such as a rule.
fn is_member(value: &Value) -> bool {
    serde_json::to_string(value).is_ok_and(|text| text.len() <= 240)
}

fn is_short(value: &Value) -> bool {
    serde_json::to_string(value).is_ok_and(|text| text.len() <= 110)
}

/// A value as a document of several lines.
pub(super) fn long(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default() + "\n"
}

fn by_line(before: &str, after: &str) -> Vec<Line> {
    let diff = TextDiff::from_lines(before, after);
    let mut lines = Vec::new();
    for (index, hunk) in diff.grouped_ops(1).iter().enumerate() {
        if index > 0 {
            lines.push(Line::Gap);
        }
        for change in hunk.iter().flat_map(|op| diff.iter_changes(op)) {
            let value = change.value().trim_end().to_owned();
            lines.push(match change.tag() {
                ChangeTag::Delete => Line::Removed(value),
                ChangeTag::Insert => Line::Added(value),
                ChangeTag::Equal => Line::Same(value),
            });
        }
    }
    lines
}

/// A short value as a person reads it: bare text, words for nothing.
pub(super) fn pretty(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.is_empty() => "none".to_owned(),
        Value::Object(fields) if fields.is_empty() => "none".to_owned(),
        // Rules and the like read better without the quotes of JSON.
        other => {
            let text = other.to_string().replace("\":", "\": ").replace(",\"", ", \"");
            text.replace('"', "")
        }
    }
}

/// The value with words in the place of references.
pub(super) fn spell_out(value: &Value) -> Value {
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn differences_are_told_in_the_shortest_way_that_is_clear() {
        let long = |last: &str| json!({"statements": [{"sid": "x".repeat(120), "last": last}]});
        let cases = [
            ("one tag", json!({"a": "1", "b": "2"}), json!({"a": "1", "b": "3"})),
            ("a new tag", json!({}), json!({"a": "1"})),
            ("a switch", json!(true), json!(false)),
            ("nothing to something", json!(null), json!("x")),
            ("a set", json!(["a", "b"]), json!(["b", "c"])),
            ("rules", json!([{"protocol": "tcp", "from": 443}]), json!([])),
            ("unknown", json!(["a"]), json!([{"$output": {"address": "t.a/x", "field": "id"}}])),
            ("a document", long("one"), long("two")),
        ];
        let mut all = String::new();
        for (name, before, after) in cases {
            let lines = differences("field", &before, &after);
            all += &format!("# {name}\n{}\n\n", laid_out(&lines).join("\n"));
        }
        insta::assert_snapshot!(all);
    }

    /// A plan with everything that gets long: a policy, rules, reasons, names.
    fn sample() -> Plan {
        let policy = |bucket: &str| {
            json!({ "statements": [{
                "sid": "Root", "allow": true, "principals": ["arn:aws:iam::414351767826:root"],
                "actions": ["s3:DeleteObject", "s3:GetBucketLocation", "s3:GetObject", "s3:ListBucket"],
                "resources": [format!("arn:aws:s3:::{bucket}"), format!("arn:aws:s3:::{bucket}/*")],
            }]})
        };
        let rule =
            |port: u32| json!({ "protocol": "tcp", "from": port, "to": port, "peer": "itself" });
        let rules: Vec<Value> = (8443..8463).map(rule).collect();
        let change = |field: &str, before: Value, after: Value| json!({ "field": field, "effect": "update", "before": before, "after": after, "why": "spec" });
        let step = |number: usize,
                    action: &str,
                    address: &str,
                    group: &str,
                    changes: Vec<Value>| {
            json!({
                "step": number, "action": action, "address": address, "group": { "workspace": group },
                "after": [], "id": "vpce-02bba48a3755eeb14", "props": null, "needs": [],
                "generation": 1, "precious": action == "delete", "changes": changes,
            })
        };
        let plan = json!({
            "format": 1, "written_by": "test", "stack": "analytics", "lineage": "l", "serial": 1,
            "graph_sha256": "", "unchanged": 3, "moved": [], "related": [],
            "headlines": [{
                "title": "wk1: its nodes move to other subnets", "subjects": [], "steps": [1],
                "impacts": [{ "impact": "compute_stops", "words": "all clusters, pools and warehouses in its subnets must be stopped before, and start again in the new ones" }],
                "because": ["the spec asks for another `cidr` of aws.subnet/wk1.ap-northeast-1a, aws.subnet/wk1.ap-northeast-1c"],
            }],
            "steps": [
                step(1, "update", "aws.vpc_endpoint/shared.s3", "wk1", vec![
                    change("route_tables", json!(["rtb-0"]), json!(["rtb-1"])),
                ]),
                step(2, "update", "aws.bucket_policy/wk1.root", "wk1", vec![
                    change("policy", policy("acme-wk1-root"), policy("acme-wk1-moved")),
                ]),
                step(3, "update", "aws.security_group_rules/wk1.nodes", "wk1", vec![
                    change("ingress", json!([]), Value::Array(rules)),
                    change("egress", json!("a sentence of many words that goes on and on until it is too long"), json!("the same in fewer words")),
                ]),
                step(4, "delete", "databricks.workspace/wk2-with-a-long-name-of-its-own", "wk2", vec![]),
            ],
        });
        serde_json::from_value(plan).expect("a plan")
    }

    #[test]
    fn a_plan_is_readable_in_80_columns() {
        use crate::render::{STYLE, Style};
        let _ = STYLE.set(Style { color: false, width: 80, screen: true });
        let plan = sample();
        let text = super::plan(&plan, &Touched::new(), &Checked::default()) + &super::losses(&plan);
        let long: Vec<&str> = text.lines().filter(|line| line.chars().count() > 80).collect();
        assert!(long.is_empty(), "{long:#?}");
        insta::assert_snapshot!(text);
    }
}
