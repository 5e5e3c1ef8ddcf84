//! What the language says about a field, for people who ask.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use crate::places::child;
use crate::schema::{Schema, properties, schema, types};
use crate::words::words;

/// A field of the language.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// What it is, without default and class of change.
    pub about: String,
    /// Its type in words, such as `a list of text`.
    pub kind: String,
    pub default: Option<String>,
    /// What changing it costs later.
    pub change: Option<String>,
    /// The values it may have, each with its meaning, where these are a few.
    pub values: Vec<(String, String)>,
    /// The fields in it.
    pub fields: Vec<String>,
}

/// The field at a JSON pointer, in which `*` stands for any name.
pub fn field(pointer: &str) -> Option<Field> {
    let schema = schema();
    let wanted = Schema(&schema).at(pointer);
    if wanted.is_empty() {
        return None;
    }
    let text = wanted.iter().find_map(|one| one.get("description")?.as_str()).unwrap_or_default();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (text, change) = cut(&text, "Change: ");
    let (about, default) = cut(text, "Default: ");
    let values = wanted.iter().filter_map(|one| {
        let about = one.get("description").and_then(Json::as_str).unwrap_or_default();
        Some((one.get("const")?.as_str()?.to_owned(), about.to_owned()))
    });
    Some(Field {
        about: about.to_owned(),
        kind: kind(Schema(&schema), pointer, &wanted),
        default: default.map(str::to_owned),
        change: change.map(str::to_owned),
        values: values.collect(),
        fields: properties(&wanted).into_iter().map(str::to_owned).collect(),
    })
}

/// Every field of the language as a JSON pointer, with `*` for names and numbers of lists.
pub fn fields() -> BTreeSet<String> {
    let schema = schema();
    let mut all = BTreeSet::new();
    let mut open = vec![String::new()];
    while let Some(pointer) = open.pop() {
        let wanted = Schema(&schema).at(&pointer);
        open.extend(properties(&wanted).into_iter().map(|key| child(&pointer, key)));
        let any = child(&pointer, "*");
        if !properties(&Schema(&schema).at(&any)).is_empty() {
            open.push(any);
        }
        all.insert(pointer);
    }
    all.remove("");
    all
}

/// A text and what follows the word in it, without the full stop.
fn cut<'a>(text: &'a str, word: &str) -> (&'a str, Option<&'a str>) {
    match text.split_once(word) {
        Some((before, after)) => (before.trim_end(), Some(after.trim_end().trim_end_matches('.'))),
        None => (text, None),
    }
}

/// The type in words, with that of the members.
fn kind(schema: Schema<'_>, pointer: &str, wanted: &[&Json]) -> String {
    let kinds: Vec<&str> = types(wanted).into_iter().map(words).collect();
    let members = schema.at(&child(pointer, "*"));
    let members: Vec<&str> = types(&members).into_iter().map(words).collect();
    let named = properties(wanted).is_empty() && !members.is_empty();
    match named {
        true => format!("{} of {}", kinds.join(" or "), members.join(" or ")),
        false => kinds.join(" or "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_says_what_its_comment_says() {
        let nat = field("/vpcs/main/nat").expect("a field");
        assert_eq!(
            nat.default.as_deref(),
            Some("`single` for a VPC that is made, `none` for one that is used")
        );
        assert_eq!(nat.change.as_deref(), Some("choreographed"));
        assert_eq!(nat.kind, "text");
        assert_eq!(
            nat.values.iter().map(|(v, _)| v.as_str()).collect::<Vec<_>>(),
            ["single", "per_zone", "none"]
        );
        assert_eq!(field("/workspaces/*/uses/reserved"), None);
        assert_eq!(field("/vpcs/*/zones").expect("a field").kind, "a list of text");
        assert_eq!(field("/workspaces").expect("a field").kind, "a map of a map");
    }

    /// Nobody has to guess what a change costs.
    #[test]
    fn every_field_is_described_and_has_a_class_of_change() {
        let all = fields();
        assert!(all.contains("/workspaces/*/subnets/prefix") && all.contains("/vpcs/*/nat"));
        // Deeper down, what holds a field may speak for it.
        let told = |at: &&String| !at.ends_with("/*") && at.matches('/').count() <= 3;
        for pointer in all.iter().filter(told) {
            let field = field(pointer).expect(pointer);
            assert!(!field.about.is_empty() && field.change.is_some(), "{pointer}: {field:?}");
        }
    }
}
