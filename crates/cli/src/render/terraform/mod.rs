//! The plan as `terraform show -json` prints one, so that policies written for Terraform work unmodified.
//!
//! What does not change comes from the state. As with Terraform, a value that is known only after apply is
//! absent from `after` and true in `after_unknown`, and `configuration` says what it refers to.

mod types;

use std::collections::{BTreeMap, BTreeSet};

use engine::{Action, Address, Output, State, Step, as_output, bind, outputs};
use kinds::policy::Policy;
use serde_json::{Map, Value, json};

use crate::commands::PlanFile;
use types::{DOCUMENT, Resource, main_type, resources};

/// The version of the representation, and of the first Terraform that prints it so.
const FORMAT: &str = "1.2";
const TERRAFORM: &str = "1.5.0";

/// The whole document. `state` is the one the plan was made from.
pub(crate) fn terraform(file: &PlanFile, state: &State) -> Value {
    let stack = Stack::of(file, state);
    let changes: Vec<&Change> = stack.changes.values().collect();
    let planned: Vec<Value> = changes.iter().filter_map(|change| change.planned()).collect();
    let prior: Vec<Value> = changes.iter().filter_map(|change| change.prior()).collect();
    let configuration: Vec<Value> = changes.iter().filter_map(|c| c.configuration()).collect();
    let resource_changes: Vec<Value> = changes.iter().map(|change| change.told()).collect();
    let text = |value: &str| json!({ "constant_value": value });
    json!({
        "format_version": FORMAT,
        "terraform_version": TERRAFORM,
        "planned_values": { "root_module": { "resources": planned } },
        "resource_changes": resource_changes,
        "prior_state": {
            "format_version": "1.0",
            "terraform_version": TERRAFORM,
            "values": { "root_module": { "resources": prior } },
        },
        "configuration": {
            "provider_config": {
                "aws": {
                    "name": "aws",
                    "full_name": provider("aws_"),
                    "expressions": { "region": text(&file.target.region) },
                },
                "databricks": {
                    "name": "databricks",
                    "full_name": provider("databricks_"),
                    "expressions": { "account_id": text(&file.target.databricks_account) },
                },
            },
            "root_module": { "resources": configuration },
        },
        "errored": false,
    })
}

fn provider(kind: &str) -> &'static str {
    match kind.starts_with("aws_") {
        true => "registry.terraform.io/hashicorp/aws",
        false => "registry.terraform.io/databricks/databricks",
    }
}

/// A name as Terraform takes it: letters, digits, `_` and `-`.
fn name(address: &Address, part: &str) -> String {
    let whole = if part.is_empty() {
        address.name().to_owned()
    } else {
        format!("{}_{part}", address.name())
    };
    let legal = |letter: char| letter.is_alphanumeric() || letter == '-' || letter == '_';
    whole.chars().map(|letter| if legal(letter) { letter } else { '_' }).collect()
}

/// One resource as Terraform has it, before and after.
struct Change {
    kind: &'static str,
    name: String,
    actions: &'static [&'static str],
    before: Option<Known>,
    after: Option<Known>,
}

/// Attributes as far as they are known.
struct Known {
    values: Value,
    unknown: Value,
    /// What each attribute refers to.
    references: BTreeMap<String, BTreeSet<String>>,
}

#[derive(Default)]
struct Sides {
    before: Option<Known>,
    after: Option<Known>,
}

impl Change {
    fn address(&self) -> String {
        format!("{}.{}", self.kind, self.name)
    }

    fn planned(&self) -> Option<Value> {
        self.resource(self.after.as_ref().filter(|_| self.actions != ["forget"])?)
    }

    fn prior(&self) -> Option<Value> {
        self.resource(self.before.as_ref()?)
    }

    fn resource(&self, known: &Known) -> Option<Value> {
        Some(json!({
            "address": self.address(), "mode": "managed", "type": self.kind, "name": self.name,
            "provider_name": provider(self.kind), "schema_version": 0, "values": known.values,
            "sensitive_values": {},
        }))
    }

    fn told(&self) -> Value {
        let values = |known: &Option<Known>| known.as_ref().map(|known| known.values.clone());
        let sensitive = |known: &Option<Known>| match known {
            Some(_) => json!({}),
            None => json!(false),
        };
        json!({
            "address": self.address(), "mode": "managed", "type": self.kind, "name": self.name,
            "provider_name": provider(self.kind),
            "change": {
                "actions": self.actions,
                "before": values(&self.before),
                "after": values(&self.after),
                "after_unknown": self.after.as_ref().map_or(json!({}), |known| known.unknown.clone()),
                "before_sensitive": sensitive(&self.before),
                "after_sensitive": sensitive(&self.after),
            },
        })
    }

    fn configuration(&self) -> Option<Value> {
        let known = self.after.as_ref()?;
        let Value::Object(values) = &known.values else { return None };
        let constant =
            |(name, value): (&String, &Value)| (name.clone(), json!({ "constant_value": value }));
        let mut expressions: Map<String, Value> = values
            .iter()
            .filter(|(name, value)| *name != "id" && !value.is_null())
            .map(constant)
            .collect();
        for (attribute, references) in &known.references {
            // The most exact one comes first, as in Terraform.
            let references: Vec<&String> = references.iter().rev().collect();
            expressions.insert(attribute.clone(), json!({ "references": references }));
        }
        Some(json!({
            "address": self.address(), "mode": "managed", "type": self.kind, "name": self.name,
            "provider_config_key": if self.kind.starts_with("aws_") { "aws" } else { "databricks" },
            "expressions": expressions, "schema_version": 0,
        }))
    }
}

/// Everything of a stack, by Terraform's addresses.
struct Stack<'a> {
    /// What was last asked for and has an id, by the address it has from now on.
    had: BTreeMap<&'a Address, (&'a Value, &'a str)>,
    /// The steps that make or change objects.
    made: BTreeMap<&'a Address, &'a Step>,
    /// By id: what a bare id in the props refers to.
    ids: BTreeMap<&'a str, &'a Address>,
    changes: BTreeMap<String, Change>,
}

impl<'a> Stack<'a> {
    fn of(file: &'a PlanFile, state: &'a State) -> Stack<'a> {
        let plan = &file.plan;
        let renamed =
            |from: &'a Address| plan.moved.iter().find(|m| m.from == *from).map_or(from, |m| &m.to);
        let had = state.resources.iter().filter_map(|(address, record)| {
            Some((renamed(address), (&record.props, record.id.as_deref()?)))
        });
        let had: BTreeMap<_, _> = had.collect();
        let made = plan.steps.iter().filter(|step| step.action.makes());
        let made = made.map(|step| (&step.address, step)).collect();
        let ids = had.iter().map(|(address, (_, id))| (*id, *address)).collect();
        let mut stack = Stack { had, made, ids, changes: BTreeMap::new() };
        let gone: BTreeSet<&Address> = plan
            .steps
            .iter()
            .filter(|step| step.action == Action::Delete && !step.replacing)
            .map(|step| &step.address)
            .collect();
        let left: BTreeSet<&Address> =
            plan.related.iter().filter(|r| r.forget).map(|r| &r.address).collect();
        let all: BTreeSet<&Address> = stack.had.keys().chain(stack.made.keys()).copied().collect();
        for address in all {
            let changes = stack.of_one(address, gone.contains(address), left.contains(address));
            stack.changes.extend(changes.into_iter().map(|change| (change.address(), change)));
        }
        stack
    }

    /// What happens to one of our resources.
    fn of_one(&self, address: &Address, gone: bool, left: bool) -> Vec<Change> {
        let step = self.made.get(address).copied();
        let had = self.had.get(address).copied();
        let before = had.map(|(props, id)| (was(props, step), Some(id))).or_else(|| {
            // Adopted: known by what differs from what is wanted.
            let step = step.filter(|step| step.action == Action::Adopt)?;
            Some((was(&step.props, Some(step)), step.id.as_deref()))
        });
        let replaced = step.is_some_and(|step| step.action == Action::Replace);
        let after = match step {
            _ if gone => None,
            Some(step) => {
                let id = before.as_ref().and_then(|(_, id)| *id).filter(|_| !replaced);
                Some((step.props.clone(), id))
            }
            None => before.clone(),
        };
        let mut parts: BTreeMap<(&'static str, String), Sides> = BTreeMap::new();
        if let Some((props, id)) = &before {
            for resource in resources(address, props) {
                let known = self.known(&resource, *id, true);
                parts.entry((resource.kind, resource.part)).or_default().before = Some(known);
            }
        }
        if let Some((props, id)) = &after {
            for resource in resources(address, &self.bound(props, false)) {
                let known = self.known(&resource, *id, false);
                parts.entry((resource.kind, resource.part)).or_default().after = Some(known);
            }
        }
        let create_first = step.is_some_and(|step| step.create_first);
        let mut changes = Vec::new();
        for ((kind, part), Sides { before, after }) in parts {
            let actions: &[&str] = match (&before, &after) {
                (None, _) => &["create"],
                (Some(_), Some(_)) if left => &["forget"],
                (Some(_), None) => &["delete"],
                (Some(_), Some(_)) if replaced && create_first => &["create", "delete"],
                (Some(_), Some(_)) if replaced => &["delete", "create"],
                (Some(was), Some(is)) if was.values == is.values => &["no-op"],
                (Some(_), Some(_)) => &["update"],
            };
            let after = after.filter(|_| actions != ["forget"]);
            changes.push(Change { kind, name: name(address, &part), actions, before, after });
        }
        changes
    }

    /// The value with the ids of what exists, and stays unless it is about `before`.
    fn bound(&self, value: &Value, before: bool) -> Value {
        bind(value, &|output: &Output| {
            let step = self.made.get(&output.address);
            let stays = before || step.is_none_or(|step| step.action != Action::Replace);
            let (_, id) =
                self.had.get(&output.address).filter(|_| stays && output.field == "id")?;
            Some(json!(id))
        })
    }

    fn known(&self, resource: &Resource, id: Option<&str>, before: bool) -> Known {
        let (mut values, mut unknown) = (Map::new(), Map::new());
        let mut references = BTreeMap::new();
        for (attribute, value) in &resource.values {
            let named = self.references(value);
            let (value, open) = split(&self.bound(value, before));
            if let Some(value) = value {
                values.insert(attribute.clone(), value);
            }
            if open != json!(false) {
                unknown.insert(attribute.clone(), open);
            }
            if !named.is_empty() {
                references.insert(attribute.clone(), named);
            }
        }
        match id {
            Some(id) if resource.part.is_empty() => values.insert("id".to_owned(), json!(id)),
            // Only Terraform has ids for it.
            Some(_) => None,
            None => unknown.insert("id".to_owned(), json!(true)),
        };
        Known { values: Value::Object(values), unknown: Value::Object(unknown), references }
    }

    /// What a value refers to: by reference, or by the id of an object of ours.
    fn references(&self, value: &Value) -> BTreeSet<String> {
        let mut found: BTreeSet<(Address, String)> =
            outputs(value).into_iter().map(|Output { address, field }| (address, field)).collect();
        self.by_id(value, &mut found);
        let mut references = BTreeSet::new();
        for (address, field) in found {
            if let Some(kind) = main_type(address.kind()) {
                let resource = format!("{kind}.{}", name(&address, ""));
                references.insert(format!("{resource}.{field}"));
                references.insert(resource);
            }
        }
        references
    }

    fn by_id(&self, value: &Value, found: &mut BTreeSet<(Address, String)>) {
        match value {
            Value::String(text) => {
                let address = self.ids.get(text.as_str());
                found.extend(address.map(|address| ((*address).clone(), "id".to_owned())));
            }
            Value::Array(items) => items.iter().for_each(|item| self.by_id(item, found)),
            Value::Object(fields) => fields.values().for_each(|field| self.by_id(field, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

/// What is there: as last asked for, but for what was seen to differ.
fn was(props: &Value, step: Option<&Step>) -> Value {
    let mut props = props.clone();
    let Value::Object(fields) = &mut props else { return props };
    for change in step.into_iter().flat_map(|step| &step.changes) {
        if let Some(field) = fields.get_mut(&change.field) {
            field.clone_from(&change.before);
        }
    }
    props
}

/// What of a value is known, and where it is not: `true` for a value, a shape for parts of it.
fn split(value: &Value) -> (Option<Value>, Value) {
    if as_output(value).is_some() {
        return (None, json!(true));
    }
    if let Some(policy) = value.get(DOCUMENT) {
        return match serde_json::from_value::<Policy>(policy.clone()).map(|policy| policy.to_json())
        {
            Ok(Ok(text)) => (Some(json!(text)), json!(false)),
            _ => (None, json!(true)),
        };
    }
    match value {
        Value::Array(items) => {
            let parts: Vec<_> = items.iter().map(split).collect();
            let open: Value = match parts.iter().all(|(_, open)| *open == json!(false)) {
                true => json!(false),
                false => parts.iter().map(|(_, open)| open.clone()).collect(),
            };
            (Some(parts.into_iter().map(|(value, _)| value.unwrap_or_default()).collect()), open)
        }
        Value::Object(fields) => {
            let (mut known, mut unknown) = (Map::new(), Map::new());
            for (name, field) in fields {
                let (value, open) = split(field);
                if let Some(value) = value {
                    known.insert(name.clone(), value);
                }
                if open != json!(false) {
                    unknown.insert(name.clone(), open);
                }
            }
            let open = if unknown.is_empty() { json!(false) } else { Value::Object(unknown) };
            (Some(Value::Object(known)), open)
        }
        other => (Some(other.clone()), json!(false)),
    }
}
