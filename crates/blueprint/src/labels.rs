//! Labels that differ from those everything gets: put on last, so that nothing else has to know.

use std::collections::BTreeMap;

use engine::{Address, Graph, Role};
use serde_json::{Map, Value, json};
use spec::{Label, Mistake, Spec, closest};

/// The marks of an object are no labels: they stay.
const MARK: &str = "dbxctl:";

/// Puts the labels on the objects; one that fits nothing is left out.
pub(crate) fn attach(graph: &mut Graph, labels: &BTreeMap<String, Label>) {
    for (address, label) in labels {
        let node = graph.nodes.get_mut(&Address::from(address.clone()));
        let Some(Role::Managed { props }) = node.map(|node| &mut node.role) else { continue };
        for (field, value) in fields(label) {
            let Some(place) = props.get_mut(field) else { continue };
            *place = match place.as_object() {
                Some(tags) => with_mark(tags, value),
                None => value,
            };
        }
    }
}

/// The fields a label sets.
fn fields(label: &Label) -> impl Iterator<Item = (&'static str, Value)> {
    let Label { name, description, tags } = label;
    let all = [
        name.as_ref().map(|name| ("name", json!(name))),
        description.as_ref().map(|text| ("description", json!(text))),
        tags.as_ref().map(|tags| ("tags", json!(tags))),
    ];
    all.into_iter().flatten()
}

fn with_mark(old: &Map<String, Value>, new: Value) -> Value {
    let marks = old.iter().filter(|(key, _)| key.starts_with(MARK));
    let mut tags: Map<_, _> = marks.map(|(key, value)| (key.clone(), value.clone())).collect();
    if let Value::Object(new) = new {
        tags.extend(new);
    }
    engine::canonical(&Value::Object(tags))
}

/// Labels for what is not there, is not ours, or has no such field.
pub(crate) fn mistakes(spec: &Spec, graph: &Graph, found: &mut Vec<Mistake>) {
    for (address, label) in &spec.labels {
        let at = Address::from(address.clone());
        let Some(node) = graph.nodes.get(&at) else {
            let mistake = Mistake::error(
                &["labels", address],
                format!("this spec asks for no object `{address}`"),
            );
            let help = match closest(address, graph.nodes.keys().map(Address::as_str)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "`dbxctl plan` shows the addresses of all objects".to_owned(),
            };
            found.push(mistake.key().help(help));
            continue;
        };
        let Role::Managed { props } = &node.role else {
            let message = format!("`{address}` is only used, so its labels are not dbxctl's");
            let mistake = Mistake::error(&["labels", address], message);
            found.push(mistake.key().help("leave it out"));
            continue;
        };
        for (field, _) in fields(label) {
            let elsewhere = match (at.kind(), field) {
                ("databricks.workspace", "name") => Some("display_name"),
                ("aws.bucket", "name") => Some("storage.bucket"),
                _ => None,
            };
            let (message, help) = match elsewhere {
                Some(other) => (
                    format!("the name of `{address}` is said with `{other}`"),
                    format!("write `{other}` in the workspace"),
                ),
                None if props.get(field).is_none() => {
                    let message = format!("objects of the kind `{}` have no {field}", at.kind());
                    (message, "leave it out".to_owned())
                }
                None => continue,
            };
            found.push(Mistake::error(&["labels", address, field], message).key().help(help));
        }
    }
}
