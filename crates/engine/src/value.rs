//! References between resources, and values that are not known yet.
//!
//! Three rules, stated once: what the plan calls known is what apply uses; an unknown may become any
//! value of its type; state holds no unknowns.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};

/// The key that marks a reference inside JSON.
const MARKER: &str = "$output";

/// Where a resource stands: `aws.subnet/main.private-a`.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct Address(String);

impl Address {
    /// The address of the resource `name` of the kind `kind`.
    pub fn new(kind: &str, name: &str) -> Self {
        Address(format!("{kind}/{name}"))
    }

    /// The kind: what stands before the slash.
    pub fn kind(&self) -> &str {
        self.0.split_once('/').map_or(self.0.as_str(), |(kind, _)| kind)
    }

    /// The name: what stands behind the slash.
    pub fn name(&self) -> &str {
        self.0.split_once('/').map_or("", |(_, name)| name)
    }

    /// The whole address.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for Address {
    fn from(text: String) -> Self {
        Address(text)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One output of one resource; `id` is the resource's id, anything else a field of what was seen.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Output {
    pub address: Address,
    pub field: String,
}

/// A value known now, or another resource's output that will be known once that one is applied.
///
/// As JSON it is the bare value, or `{"$output": {"address": …, "field": …}}`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ref<T> {
    Known(T),
    Output(Output),
}

impl<T> Ref<T> {
    /// The value. Inside a kind's calls everything is bound; an error here is a bug of the engine.
    pub fn get(&self) -> cloud::Result<&T> {
        match self {
            Ref::Known(value) => Ok(value),
            Ref::Output(Output { address, field }) => Err(cloud::Error::new(
                cloud::Class::Other,
                "engine",
                format!("bug: called with `{field}` of {address} not bound"),
            )),
        }
    }
}

impl<T> From<T> for Ref<T> {
    fn from(value: T) -> Self {
        Ref::Known(value)
    }
}

impl<T: Serialize> Serialize for Ref<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Ref::Known(value) => value.serialize(serializer),
            Ref::Output(output) => BTreeMap::from([(MARKER, output)]).serialize(serializer),
        }
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Ref<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        if let Some(output) = as_output(&value) {
            return Ok(Ref::Output(output));
        }
        serde_json::from_value(value).map(Ref::Known).map_err(serde::de::Error::custom)
    }
}

/// The reference, if `value` is one.
pub fn as_output(value: &Value) -> Option<Output> {
    let object = value.as_object()?;
    if object.len() != 1 {
        return None;
    }
    serde_json::from_value(object.get(MARKER)?.clone()).ok()
}

/// All references in `value`, at any depth.
pub fn outputs(value: &Value) -> Vec<Output> {
    let mut found = Vec::new();
    collect(value, &mut found);
    found
}

fn collect(value: &Value, found: &mut Vec<Output>) {
    if let Some(output) = as_output(value) {
        found.push(output);
        return;
    }
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
        Value::Object(fields) => fields.values().for_each(|field| collect(field, found)),
        _ => {}
    }
}

/// Replaces every reference `known` has a value for; the others stay.
pub fn bind(value: &Value, known: &impl Fn(&Output) -> Option<Value>) -> Value {
    if let Some(output) = as_output(value) {
        return known(&output).unwrap_or_else(|| value.clone());
    }
    match value {
        Value::Array(items) => items.iter().map(|item| bind(item, known)).collect(),
        Value::Object(fields) => {
            fields.iter().map(|(name, field)| (name.clone(), bind(field, known))).collect()
        }
        other => other.clone(),
    }
}

/// The value with its objects sorted by key and all its lists sorted, for comparing where every list is
/// a set.
pub fn as_set(value: &Value) -> Value {
    match value {
        Value::Array(items) => {
            let mut items: Vec<Value> = items.iter().map(as_set).collect();
            items.sort_by_cached_key(Value::to_string);
            Value::Array(items)
        }
        Value::Object(fields) => {
            canonical(&fields.iter().map(|(name, field)| (name.clone(), as_set(field))).collect())
        }
        other => other.clone(),
    }
}

/// The reference as JSON.
pub fn output_json(output: &Output) -> Value {
    json!({ MARKER: output })
}

/// The same value with the keys of all objects in order, so that equal values have equal bytes.
pub fn canonical(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(canonical).collect(),
        Value::Object(fields) => {
            let sorted: BTreeMap<_, _> = fields.iter().collect();
            sorted.into_iter().map(|(name, field)| (name.clone(), canonical(field))).collect()
        }
        other => other.clone(),
    }
}
