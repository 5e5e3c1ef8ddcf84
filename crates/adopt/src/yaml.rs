//! The spec as YAML that people go on editing: defaults left out, ids told in comments.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::Adoption;

/// The text of an adopted spec.
pub fn text(adoption: &Adoption) -> String {
    let mut value = serde_json::to_value(&adoption.spec).expect("a spec is plain data");
    tidy(&mut value);
    let mut writer = Writer { text: String::new(), comments: comments(adoption) };
    writer.text +=
        "# Written by `dbxctl adopt`. What has `use` is only used; everything else is owned.\n";
    writer.map(value.as_object().unwrap_or(&Map::new()), 0, "");
    writer.text
}

/// What stands behind a place: ids by JSON pointer.
fn comments(adoption: &Adoption) -> BTreeMap<String, String> {
    let mut comments = BTreeMap::new();
    for (address, id) in &adoption.owned {
        let place = match address.kind() {
            "aws.vpc" => format!("/vpcs/{}", address.name()),
            "aws.vpc_peering" => format!("/peerings/{}", address.name()),
            "databricks.workspace" => format!("/workspaces/{}", address.name()),
            "databricks.credentials" => {
                format!("/credentials/{}", address.name().trim_start_matches("account."))
            }
            "databricks.private_access_settings" => {
                let name = address.name().trim_start_matches("account.");
                format!("/private_access_settings/{name}")
            }
            _ => continue,
        };
        let text = if address.kind() == "databricks.workspace" {
            format!("workspace {id}")
        } else {
            id.clone()
        };
        comments.insert(place, text);
    }
    for (part, why) in &adoption.used {
        if let crate::Part::Vpc(name) = part {
            comments.insert(format!("/vpcs/{name}"), format!("used, because {why}"));
        }
    }
    comments
}

/// Leaves out what is the default anyway.
fn tidy(spec: &mut Value) {
    let each = |spec: &mut Value, section: &str, tidy: &dyn Fn(&mut Map<String, Value>)| {
        let all = spec.get_mut(section).and_then(Value::as_object_mut).into_iter();
        all.flat_map(|all| all.values_mut()).filter_map(Value::as_object_mut).for_each(tidy);
    };
    each(spec, "vpcs", &|vpc| {
        if let Some(link) = vpc.get_mut("private_link").and_then(Value::as_object_mut) {
            drop_if(link, "frontend_endpoint", &Value::from("shared"));
        }
    });
    each(spec, "private_access_settings", &|settings| {
        drop_if(settings, "level", &Value::from("account"));
    });
    each(spec, "workspaces", &|workspace| {
        drop_if(workspace, "public_access", &Value::Bool(true));
        if let Some(access) = workspace.get_mut("private_access").and_then(Value::as_object_mut) {
            drop_if(access, "level", &Value::from("account"));
        }
        if let Some(storage) = workspace.get_mut("storage").and_then(Value::as_object_mut) {
            drop_if(storage, "versioning", &Value::Bool(false));
        }
        if let Some(uses) = workspace.get_mut("uses").and_then(Value::as_object_mut) {
            let unused = ["compliance_profile", "lakebase", "sample_data", "global_sts"];
            unused.iter().for_each(|name| drop_if(uses, name, &Value::Bool(false)));
            drop_if(uses, "system_tables", &Value::Bool(true));
        }
        drop_if(workspace, "storage", &Value::Object(Map::new()));
        drop_if(workspace, "credentials", &Value::Object(Map::new()));
    });
}

fn drop_if(fields: &mut Map<String, Value>, name: &str, default: &Value) {
    if fields.get(name) == Some(default) {
        fields.shift_remove(name);
    }
}

struct Writer {
    text: String,
    comments: BTreeMap<String, String>,
}

impl Writer {
    fn map(&mut self, fields: &Map<String, Value>, depth: usize, place: &str) {
        for (name, value) in fields {
            let place = format!("{place}/{name}");
            if depth == 0 && value.is_object() {
                self.text.push('\n');
            }
            let indent = "  ".repeat(depth);
            let comment = self.comments.get(&place).map(|c| format!(" # {c}")).unwrap_or_default();
            self.text += &format!("{indent}{}:", scalar(name));
            match value {
                Value::Object(inner) if brief(inner) => {
                    self.text += &format!(" {}{comment}\n", flow(value));
                }
                Value::Object(inner) => {
                    self.text += &format!("{comment}\n");
                    self.map(inner, depth + 1, &place);
                }
                other => self.text += &format!(" {}{comment}\n", flow(other)),
            }
        }
    }
}

/// Whether the fields fit on one line and hold nothing deeper.
fn brief(fields: &Map<String, Value>) -> bool {
    let plain = fields.values().all(|v| !v.is_object() && !v.is_array());
    fields.is_empty() || (plain && fields.len() <= 2 && flow_map(fields).len() <= 70)
}

fn flow(value: &Value) -> String {
    match value {
        Value::Object(fields) => flow_map(fields),
        Value::Array(items) => {
            format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", "))
        }
        Value::String(text) => scalar(text),
        other => other.to_string(),
    }
}

fn flow_map(fields: &Map<String, Value>) -> String {
    if fields.is_empty() {
        return "{}".to_owned();
    }
    let all = fields.iter().map(|(name, value)| format!("{}: {}", scalar(name), flow(value)));
    format!("{{ {} }}", all.collect::<Vec<_>>().join(", "))
}

/// Bare where it cannot be taken for anything but text; else in quotes, as in JSON.
fn scalar(text: &str) -> String {
    let letters = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
    let word = matches!(
        text.to_ascii_lowercase().as_str(),
        "true" | "false" | "null" | "yes" | "no" | "on" | "off" | "y" | "n" | "inf" | "nan"
    );
    let bare =
        text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.chars().all(letters) && !word;
    // Ranges begin with a digit and are no number.
    let range = text.parse::<ipnet::Ipv4Net>().is_ok();
    if bare || range { text.to_owned() } else { Value::from(text).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_words_stand_without_quotes() {
        let table = [
            ("wk1", "wk1"),
            ("10.0.0.0/16", "10.0.0.0/16"),
            ("123456789012", "\"123456789012\""),
            ("no", "\"no\""),
            ("a: b", "\"a: b\""),
            ("", "\"\""),
            ("dbxctl/v1", "dbxctl/v1"),
            ("3f8a1c52-7d40", "\"3f8a1c52-7d40\""),
        ];
        for (text, expected) in table {
            assert_eq!(scalar(text), expected);
        }
    }
}
