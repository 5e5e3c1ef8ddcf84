use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde_json::{Value as Json, json};

use crate::model::Spec;

/// The JSON Schema of a spec, for editors and for [`load`](crate::load).
///
/// An optional field is one that may be left out; `null` is never a value.
pub fn schema() -> Json {
    let mut schema = schema_of::<Spec>();
    if let Some(Json::Object(fields)) = schema.get_mut("properties") {
        let about = "Where editors find this schema; dbxctl ignores it. Change: in place.";
        fields.insert(EDITORS.into(), json!({ "type": "string", "description": about }));
    }
    schema
}

/// The JSON Schema of any document, in which `null` is never a value either.
pub fn schema_of<T: JsonSchema>() -> Json {
    let mut schema = schemars::schema_for!(T).to_value();
    without_null(&mut schema);
    schema
}

/// The key by which a JSON file, which has no comments, names its schema to editors.
pub(crate) const EDITORS: &str = "$schema";

/// Takes the `null` branches out that `Option` brings along: with them an error inside the other
/// branch is reported as "neither of the two".
fn without_null(schema: &mut Json) {
    match schema {
        Json::Array(items) => items.iter_mut().for_each(without_null),
        Json::Object(map) => {
            if map.get("default").is_some_and(Json::is_null) {
                map.remove("default");
            }
            if let Some(Json::Array(types)) = map.get_mut("type") {
                types.retain(|kind| kind != "null");
                if let [only] = types.as_slice() {
                    let only = only.clone();
                    map.insert("type".into(), only);
                }
            }
            if let Some(Json::Array(options)) = map.get_mut("enum") {
                options.retain(|option| !option.is_null());
            }
            for union in ["anyOf", "oneOf"] {
                let Some(Json::Array(branches)) = map.get_mut(union) else { continue };
                branches.retain(|branch| branch.get("type").is_none_or(|kind| kind != "null"));
                if branches.len() == 1
                    && let Some(Json::Object(only)) = branches.pop()
                {
                    map.remove(union);
                    for (key, value) in only {
                        map.entry(key).or_insert(value);
                    }
                }
            }
            map.values_mut().for_each(without_null);
        }
        _ => {}
    }
}

/// A JSON Schema, walked along with a value.
#[derive(Clone, Copy)]
pub(crate) struct Schema<'s>(pub(crate) &'s Json);

impl<'s> Schema<'s> {
    /// The schemas that apply at a pointer into the instance.
    pub(crate) fn at(&self, pointer: &str) -> Vec<&'s Json> {
        let mut wanted = self.flatten(&[self.0]);
        for part in pointer.split('/').skip(1) {
            let key = part.replace("~1", "/").replace("~0", "~");
            let mut next = self.member(&wanted, &key);
            if next.is_empty() {
                let items: Vec<_> =
                    wanted.iter().filter_map(|schema| schema.get("items")).collect();
                next = self.flatten(&items);
            }
            wanted = next;
        }
        wanted
    }

    pub(crate) fn member(&self, wanted: &[&'s Json], key: &str) -> Vec<&'s Json> {
        let inner: Vec<_> = wanted
            .iter()
            .filter_map(|schema| {
                let named = schema.get("properties").and_then(|fields| fields.get(key));
                let patterns = schema.get("patternProperties").and_then(Json::as_object);
                named
                    .or_else(|| patterns.and_then(|patterns| patterns.values().next()))
                    .or_else(|| schema.get("additionalProperties"))
                    .filter(|schema| schema.is_object())
            })
            .collect();
        self.flatten(&inner)
    }

    /// The schemas with references and unions resolved.
    pub(crate) fn flatten(&self, schemas: &[&'s Json]) -> Vec<&'s Json> {
        let mut flat = Vec::new();
        let mut open: Vec<&'s Json> = schemas.iter().rev().copied().collect();
        // A schema that refers to itself must not keep us here.
        for _ in 0..200 {
            let Some(schema) = open.pop() else { break };
            flat.push(schema);
            if let Some(path) = schema.get("$ref").and_then(Json::as_str)
                && let Some(target) = path.strip_prefix('#').and_then(|path| self.0.pointer(path))
            {
                open.push(target);
            }
            for union in ["allOf", "anyOf", "oneOf"] {
                let branches = schema.get(union).and_then(Json::as_array);
                open.extend(branches.into_iter().flatten().rev());
            }
        }
        flat
    }
}

/// The JSON types a value may have; none when any will do.
pub(crate) fn types<'s>(schemas: &[&'s Json]) -> BTreeSet<&'s str> {
    let mut found = BTreeSet::new();
    for schema in schemas {
        match schema.get("type") {
            Some(Json::String(one)) => _ = found.insert(one.as_str()),
            Some(Json::Array(some)) => found.extend(some.iter().filter_map(Json::as_str)),
            _ => {
                let text = schema.get("const").is_some_and(Json::is_string);
                if text || schema.get("enum").is_some() {
                    found.insert("string");
                }
            }
        }
    }
    found
}

/// The fields a map may have.
pub(crate) fn properties<'s>(schemas: &[&'s Json]) -> Vec<&'s str> {
    let fields = |schema: &&'s Json| schema.get("properties").and_then(Json::as_object);
    let fields = schemas.iter().filter_map(fields).flat_map(|fields| fields.keys());
    fields.map(String::as_str).filter(|field| *field != EDITORS).collect()
}

/// The first sentences of a field's documentation, without its class of change.
pub(crate) fn about(schemas: &[&Json]) -> Option<String> {
    let text = schemas.iter().find_map(|schema| schema.get("description")?.as_str())?;
    let text = text.split("Change:").next().unwrap_or(text);
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut letters = text.trim_end_matches('.').chars();
    let first = letters.next()?;
    // A sentence becomes the part after the colon; an abbreviation keeps its capitals.
    let rest = letters.as_str();
    let lower = rest.chars().next().is_some_and(|c| c.is_lowercase() || c == ' ');
    let first = if lower { first.to_lowercase().to_string() } else { first.to_string() };
    Some(format!("{first}{rest}"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn null_is_no_value_anywhere() {
        let text = super::schema().to_string();
        assert!(!text.contains(r#""null""#) && !text.contains("null"), "{text}");
    }
}
