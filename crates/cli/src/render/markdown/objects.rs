//! Objects of a plan as a table, and below it their fields from what to what.

use engine::{Action, Step};
use kinds::users::User;
use serde_json::{Map, Value};

use super::text::{clip, code, fence, plain, prose, table};
use crate::render::plan::{Line, differences, essentials, forces, pretty, why};

/// How the steps are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// One by one in their order, the halves of a replacement apart.
    InOrder,
    Apart,
}

pub(super) struct Objects<'a> {
    pub(super) steps: Vec<&'a Step>,
    pub(super) told: Told,
}

impl Objects<'_> {
    pub(super) fn table(&self) -> String {
        let shared = self.reason_of_all();
        let row = |(index, step): (usize, &&Step)| {
            let verb = match self.told {
                Told::InOrder => format!("{}. {}", index + 1, self.verb(step)),
                Told::Apart => self.verb(step).to_owned(),
            };
            let because = step.because.as_deref().filter(|because| shared != Some(*because));
            [verb, code(step.address.as_str()), remarks(step, because)]
        };
        let rows: Vec<[String; 3]> = self.steps.iter().enumerate().map(row).collect();
        let table = table(["", "Object", ""], &rows);
        match shared {
            Some(because) => format!("{table}\n\nAll because {}.", prose(because)),
            None => table,
        }
    }

    /// Why there are all these steps, when it is for one reason.
    fn reason_of_all(&self) -> Option<&str> {
        let (first, others) = self.steps.split_first()?;
        let because = first.because.as_deref()?;
        let same = others.iter().all(|step| step.because.as_deref() == Some(because));
        (same && !others.is_empty()).then_some(because)
    }

    /// The table, and the fields of living objects that change.
    pub(super) fn with_changes(&self) -> String {
        self.and_lines(
            |step| if step.action == Action::Create { Vec::new() } else { changes(step) },
        )
    }

    /// The same with the fields of new objects.
    pub(super) fn with_values(&self) -> String {
        self.and_lines(|step| match step.action {
            Action::Create => values(step),
            _ => changes(step),
        })
    }

    fn and_lines(&self, tell: impl Fn(&Step) -> Vec<String>) -> String {
        let mut lines = Vec::new();
        for step in &self.steps {
            let told = tell(step);
            if !told.is_empty() {
                lines.push(format!("@@ {} @@", step.address));
                lines.extend(told);
            }
        }
        match lines.is_empty() {
            true => self.table(),
            false => {
                format!("{}\n\n{}", self.table(), fence("diff", lines.iter().map(String::as_str)))
            }
        }
    }

    fn verb(&self, step: &Step) -> &'static str {
        match step.action {
            Action::Replace if self.told == Told::InOrder => "add",
            Action::Create => "add",
            Action::Replace => "**replace**",
            Action::Adopt => "take over",
            Action::Update => "change",
            Action::Finish => "finish",
            Action::Delete if step.replacing => "delete",
            Action::Delete => "**delete**",
        }
    }
}

/// Names of workspaces.
pub(super) fn users<'a>(users: impl Iterator<Item = &'a User>) -> String {
    let word = |user: &User| match &user.address {
        Some(address) => code(address.name()),
        None => format!("{} {} (outside this stack)", code(&user.name), plain(&user.id)),
    };
    users.map(word).collect::<Vec<_>>().join(", ")
}

/// What a table says about a step: what is lost, what differs, why, and which object it is.
fn remarks(step: &Step, because: Option<&str>) -> String {
    /// Letters for the fields of a new object.
    const ROOM: usize = 80;
    let mut words = Vec::new();
    if step.precious && matches!(step.action, Action::Delete | Action::Replace) {
        words.push(match step.empties {
            true => "**emptied first: every object and version it holds is deleted**".to_owned(),
            false => "**what it holds is lost**".to_owned(),
        });
    }
    if step.replacing && step.action == Action::Delete {
        words.push("the old one".to_owned());
    }
    if step.action == Action::Create {
        let brief = essentials(&step.props, ROOM);
        if !brief.is_empty() {
            words.push(plain(&brief));
        }
    }
    if !step.changes.is_empty() {
        let fields: Vec<String> = step.changes.iter().map(|change| code(&change.field)).collect();
        words.push(fields.join(", "));
    }
    if let Some(because) = because {
        words.push(format!("because {}", prose(because)));
    }
    if let Some(id) = &step.id {
        words.push(code(id));
    }
    words.join("; ")
}

/// Longer values are cut: a comment is no place for them.
const LONGEST: usize = 400;

/// The fields that change: why, from what, to what.
fn changes(step: &Step) -> Vec<String> {
    let mut lines = Vec::new();
    for change in &step.changes {
        let forces = forces(change).map(|words| format!("; {words}")).unwrap_or_default();
        lines.push(format!("# {}: {}{forces}", change.field, why(&change.why)));
        for line in differences(&change.field, &change.before, &change.after) {
            lines.extend(signed(&line));
        }
    }
    lines
}

/// The fields of a new object; its tags say nothing a reviewer looks for here.
fn values(step: &Step) -> Vec<String> {
    let Some(fields) = step.props.as_object() else { return Vec::new() };
    let told = fields.iter().filter(|(name, value)| *name != "tags" && !is_nothing(value));
    let mut lines = Vec::new();
    for (name, value) in told {
        let nothing = match value {
            Value::Array(_) => Value::Array(Vec::new()),
            Value::Object(_) if engine::as_output(value).is_none() => Value::Object(Map::new()),
            _ => Value::Null,
        };
        let mut all = differences(name, &nothing, value);
        all.retain(|line| !matches!(line, Line::Removed(_)));
        if !all.iter().any(|line| matches!(line, Line::Field { .. })) {
            lines.push(format!("# {name}"));
        }
        lines.extend(all.iter().flat_map(signed));
    }
    lines
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// A line of a difference with its sign; a field has one for what was and one for what will be.
fn signed(line: &Line) -> Vec<String> {
    let lines = match line {
        Line::Field { path, before, after } => {
            let told = [("-", before), ("+", after)];
            let told = told.into_iter().filter(|(_, value)| !value.is_null());
            told.map(|(sign, value)| format!("{sign} {path}: {}", pretty(value))).collect()
        }
        Line::Removed(text) => vec![format!("- {text}")],
        Line::Added(text) => vec![format!("+ {text}")],
        Line::Same(text) => vec![format!("  {text}")],
        Line::Gap => vec!["  …".to_owned()],
    };
    lines.iter().map(|line| clip(line, LONGEST)).collect()
}
