//! What would be built if one field of the spec were another: which objects hang on it.

use std::collections::{BTreeMap, BTreeSet};

use engine::{Address, Graph, Role};
use ipnet::Ipv4Net;
use serde_json::Value;
use spec::Spec;

use crate::{expand, mistakes};

/// Another value of a field, and what it does.
#[derive(Debug, Clone, PartialEq)]
pub struct Variation {
    /// `None`: the field is left out.
    pub value: Option<Value>,
    pub effects: BTreeMap<Address, Effect>,
}

/// What becomes of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    Added,
    Removed,
    /// These of its properties differ, none when only its order does.
    Differs(BTreeSet<String>),
}

/// What other values of the field at that pointer would do. A value that makes no sense in this spec
/// is passed over, so there may be none at all.
pub fn variations(spec: &Spec, graph: &Graph, pointer: &str, values: &[String]) -> Vec<Variation> {
    let Ok(document) = serde_json::to_value(spec) else { return Vec::new() };
    let effective = serde_json::to_value(spec.effective()).unwrap_or_default();
    let now = effective.pointer(pointer);
    let mut others: Vec<Option<Value>> = Vec::new();
    if document.pointer(pointer).is_some() {
        others.push(None);
    }
    others.extend(alternatives(now, values).into_iter().map(Some));
    let variation = |value: Option<Value>| {
        let varied = with(document.clone(), pointer, value.as_ref())?;
        let effects = effects(graph, &expand(&varied));
        Some(Variation { value, effects })
    };
    others.into_iter().filter_map(variation).collect()
}

/// Values near the present one.
fn alternatives(now: Option<&Value>, values: &[String]) -> Vec<Value> {
    if !values.is_empty() {
        let others = values.iter().map(|value| Value::from(value.as_str()));
        return others.filter(|value| Some(value) != now).collect();
    }
    match now {
        Some(Value::Bool(on)) => vec![Value::Bool(!on)],
        Some(Value::Number(number)) => {
            number.as_u64().map(|n| Value::from(n * 2)).into_iter().collect()
        }
        Some(Value::String(text)) => neighbour(text).map(Value::from).into_iter().collect(),
        _ => Vec::new(),
    }
}

/// The next block of that size, or the next larger size.
fn neighbour(text: &str) -> Option<String> {
    if let Some(length) = text.strip_prefix('/') {
        return Some(format!("/{}", length.parse::<u8>().ok()?.checked_sub(1)?));
    }
    let block: Ipv4Net = text.parse().ok()?;
    let size = 1u32.checked_shl(32 - u32::from(block.prefix_len()))?;
    let next = u32::from(block.network()).checked_add(size)?;
    Some(format!("{}/{}", std::net::Ipv4Addr::from(next), block.prefix_len()))
}

/// The spec with another value there, or without any; `None` when that is no sound spec.
fn with(mut document: Value, pointer: &str, value: Option<&Value>) -> Option<Spec> {
    let (parent, key) = pointer.rsplit_once('/')?;
    let key = key.replace("~1", "/").replace("~0", "~");
    match (document.pointer_mut(parent)?, value) {
        (Value::Object(fields), Some(value)) => _ = fields.insert(key, value.clone()),
        (Value::Object(fields), None) => _ = fields.remove(&key)?,
        (Value::Array(items), None) => _ = items.remove(key.parse().ok()?),
        _ => return None,
    }
    let spec: Spec = serde_json::from_value(document).ok()?;
    let mut found = spec::check(&spec).into_iter().chain(mistakes(&spec));
    (!found.any(|mistake| mistake.severity == spec::Severity::Error)).then_some(spec)
}

fn effects(now: &Graph, then: &Graph) -> BTreeMap<Address, Effect> {
    let all: BTreeSet<&Address> = now.nodes.keys().chain(then.nodes.keys()).collect();
    let effect = |address: &Address| match (now.nodes.get(address), then.nodes.get(address)) {
        (None, _) => Some(Effect::Added),
        (_, None) => Some(Effect::Removed),
        (Some(a), Some(b)) if a == b => None,
        (Some(a), Some(b)) => Some(Effect::Differs(differing(&a.role, &b.role))),
    };
    all.into_iter().filter_map(|address| Some((address.clone(), effect(address)?))).collect()
}

fn differing(a: &Role, b: &Role) -> BTreeSet<String> {
    let (Role::Managed { props: a }, Role::Managed { props: b }) = (a, b) else {
        return BTreeSet::new();
    };
    let (Some(a), Some(b)) = (a.as_object(), b.as_object()) else { return BTreeSet::new() };
    a.keys().chain(b.keys()).filter(|key| a.get(*key) != b.get(*key)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use spec::SourceFile;

    use super::*;

    const SPEC: &str = r#"
apiVersion: dbxctl/v1
name: analytics
region: ap-northeast-1
aws: { account: "123456789012" }
databricks: { account: 3f8a1c52-7d40-4be1-9c6e-2b5d8e0f1a77 }
vpcs:
  main: { cidr: 10.0.0.0/16, zones: [ap-northeast-1a, ap-northeast-1c] }
workspaces:
  wk1: { vpc: main }
"#;

    #[test]
    fn effects_are_those_of_the_other_graph() {
        let spec = spec::load(&[SourceFile::new("s.yaml", SPEC)], &|_| None).expect("a spec").spec;
        let graph = expand(&spec);
        let values = ["single", "per_zone", "none"].map(str::to_owned);
        let found = variations(&spec, &graph, "/vpcs/main/nat", &values);
        let per_zone =
            found.iter().find(|v| v.value == Some("per_zone".into())).expect("makes sense");
        let gateway = |name: &str| Address::new("aws.nat_gateway", name);
        assert_eq!(per_zone.effects.get(&gateway("main.ap-northeast-1c")), Some(&Effect::Added));
        assert!(
            found.iter().all(|v| v.value != Some("single".into())),
            "that is the present value"
        );
        let cidr = variations(&spec, &graph, "/vpcs/main/cidr", &[]);
        let vpc = Address::new("aws.vpc", "main");
        assert_eq!(cidr[0].value, Some("10.1.0.0/16".into()));
        assert_eq!(cidr[0].effects.get(&vpc), Some(&Effect::Differs(["cidr".to_owned()].into())));
        // The name of the stack keys everything, and no other one is near.
        assert_eq!(variations(&spec, &graph, "/name", &[]), []);
        let gone = variations(&spec, &graph, "/workspaces/wk1", &[]);
        let workspace = Address::new("databricks.workspace", "wk1");
        assert_eq!(gone[0].effects.get(&workspace), Some(&Effect::Removed));
    }
}
