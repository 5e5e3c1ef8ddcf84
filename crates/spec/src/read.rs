use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value as Json};

use crate::{
    diagnostic::Diagnostic,
    places::{Places, child},
    schema::{Schema, types},
    tree::{Core, Env, Node, Value, core},
    words::name,
};

/// A tree as JSON, with what was noticed on the way.
#[derive(Default)]
pub(crate) struct Reading {
    pub(crate) problems: Vec<Diagnostic>,
    /// Pointers of values that are reported already, or must not be looked at.
    pub(crate) silent: BTreeSet<String>,
    /// Pointers of values from the environment: their text must not be printed.
    pub(crate) secret: BTreeSet<String>,
    /// Scalars that may be meant as another type, with what they look like.
    pub(crate) plain: BTreeMap<String, (String, bool)>,
}

impl Reading {
    pub(crate) fn new(problems: Vec<Diagnostic>) -> Self {
        Self { problems, ..Self::default() }
    }
}

/// The tree as JSON: a scalar becomes what the schema wants at its place, if it can.
pub(crate) fn read(
    schema: Schema<'_>,
    node: &Node,
    places: &Places,
    reading: &mut Reading,
) -> Json {
    let root = schema.flatten(&[schema.0]);
    value(schema, node, &root, "", places, reading)
}

fn value<'s>(
    schema: Schema<'s>,
    node: &Node,
    wanted: &[&'s Json],
    pointer: &str,
    places: &Places,
    reading: &mut Reading,
) -> Json {
    match &node.value {
        Value::List(items) => {
            let inner: Vec<_> = wanted.iter().filter_map(|one| one.get("items")).collect();
            let inner = schema.flatten(&inner);
            let item = |(index, item): (usize, &Node)| {
                let pointer = child(pointer, &index.to_string());
                value(schema, item, &inner, &pointer, places, reading)
            };
            Json::Array(items.iter().enumerate().map(item).collect())
        }
        Value::Map(entries) => {
            let mut map = Map::new();
            for entry in entries {
                let inner = schema.member(wanted, &entry.key);
                let pointer = child(pointer, &entry.key);
                let value = value(schema, &entry.value, &inner, &pointer, places, reading);
                map.insert(entry.key.clone(), value);
            }
            Json::Object(map)
        }
        Value::Scalar(scalar) => {
            if scalar.env != Env::No {
                reading.secret.insert(pointer.to_owned());
            }
            if scalar.env == Env::Missing {
                reading.silent.insert(pointer.to_owned());
                return Json::String(String::new());
            }
            if scalar.env == Env::No {
                reading.plain.insert(pointer.to_owned(), (scalar.text.clone(), scalar.quoted));
            }
            let text = || Json::String(scalar.text.clone());
            if scalar.quoted && scalar.env == Env::No {
                return text();
            }
            let types = types(wanted);
            let can = |name: &str| types.is_empty() || types.contains(name);
            let natural = match core(&scalar.text) {
                Core::Text => return text(),
                Core::Null if scalar.env == Env::Yes => return text(),
                Core::Null => {
                    let mut problem = null(pointer, &scalar.text, &types);
                    problem.place = places.find(pointer);
                    reading.problems.push(problem);
                    reading.silent.insert(pointer.to_owned());
                    return Json::Null;
                }
                Core::Bool(value) if can("boolean") => return Json::Bool(value),
                Core::Int(value) if can("integer") || can("number") => {
                    return Json::Number(value);
                }
                Core::Float(value) if can("number") => return Json::from(value),
                Core::Bool(value) => Json::Bool(value),
                Core::Int(value) => Json::Number(value),
                Core::Float(value) => Json::from(value),
                Core::LooksNumeric => text(),
            };
            if !can("string") {
                return natural;
            }
            if scalar.env == Env::No && !types.is_empty() {
                let what = if natural.is_boolean() { "true or false" } else { "a number" };
                let written = &scalar.text;
                let mut warning = Diagnostic::warning(format!(
                    "`{written}` is taken as text, but other YAML readers see {what}"
                ))
                .help(format!("quote this: \"{written}\""));
                warning.place = places.find(pointer);
                reading.problems.push(warning);
            }
            text()
        }
    }
}

/// A value that was left out or is `null`.
fn null(pointer: &str, text: &str, types: &BTreeSet<&str>) -> Diagnostic {
    let name = name(pointer);
    let problem = if text.is_empty() {
        Diagnostic::error(format!("{name} has no value"))
    } else {
        Diagnostic::error(format!("{name} is `{text}`, which means nothing here"))
    };
    problem.help(if types.contains("object") {
        "write `{}` to accept all defaults, or leave the key out"
    } else if types.contains("array") {
        "write `[]` for an empty list, or leave the key out"
    } else if types.contains("string") && !text.is_empty() {
        "leave the key out if nothing is meant; put the word in quotes if it is text"
    } else {
        "give it a value, or leave the key out"
    })
}
