//! Which object in the clouds stands for which resource of the graph.
//!
//! From a few that are known (VPCs, workspaces) along references: what a bound object names where its
//! resource refers to another is that other. What nobody names is found by its natural key.

use std::collections::{BTreeMap, BTreeSet};

use engine::{Address, Graph, Output, Role, as_output, as_set};
use serde_json::Value;

use crate::gather::Gathered;
use crate::names::mark;

/// Ids by address.
pub(crate) type Bound = BTreeMap<Address, String>;

/// The fields that tell one object of a kind from all others. None for those that are always named by
/// another.
fn key(kind: &str) -> &'static [&'static str] {
    match kind {
        "aws.subnet" => &["vpc", "cidr"],
        "aws.internet_gateway" => &["vpc"],
        "aws.nat_gateway" => &["subnet"],
        "aws.route_table" => &["vpc", "subnets"],
        "aws.vpc_peering" => &["vpc", "peer_vpc"],
        "aws.route" => &["table", "destination"],
        "aws.security_group_rules" => &["group"],
        "aws.vpc_endpoint" => &["vpc", "service", "private_dns"],
        "aws.bucket_policy" => &["bucket"],
        "databricks.vpc_endpoint" => &["endpoint"],
        _ => &[],
    }
}

/// Binds all it can.
pub(crate) fn bind(graph: &Graph, gathered: &Gathered, seeds: &Bound) -> Bound {
    let mut binder = Binder { graph, gathered, bound: Bound::new(), taken: BTreeSet::new() };
    for (address, node) in &graph.nodes {
        match &node.role {
            Role::Used { id, .. } => {
                binder.bound.insert(address.clone(), id.clone());
            }
            Role::Managed { .. } => {
                let marked = binder.marked(address);
                if let Some(id) = seeds.get(address).cloned().or(marked) {
                    binder.take(address, id);
                }
            }
        }
    }
    while binder.by_reference() || binder.by_key() {}
    binder.bound
}

/// The value of an output, from what is bound.
pub(crate) fn known(bound: &Bound, gathered: &Gathered, output: &Output) -> Option<Value> {
    let id = bound.get(&output.address)?;
    match output.field.as_str() {
        "id" => Some(Value::String(id.clone())),
        field => gathered.seen(output.address.kind(), id)?.get(field).cloned(),
    }
}

struct Binder<'a> {
    graph: &'a Graph,
    gathered: &'a Gathered,
    bound: Bound,
    taken: BTreeSet<(String, String)>,
}

impl Binder<'_> {
    /// One object for one resource. An object that is not there is not bound.
    fn take(&mut self, address: &Address, id: String) -> bool {
        let there = self.gathered.seen(address.kind(), &id).is_some();
        let free = there && self.taken.insert((address.kind().to_owned(), id.clone()));
        if free {
            self.bound.insert(address.clone(), id);
        }
        free
    }

    fn marked(&self, address: &Address) -> Option<String> {
        let wanted = (self.graph.stack.clone(), address.clone());
        let all = self.gathered.raw(address.kind());
        let mut marked = all.filter(|(_, seen)| mark(seen).as_ref() == Some(&wanted));
        let first = marked.next()?;
        marked.next().is_none().then(|| first.0.clone())
    }

    fn by_reference(&mut self) -> bool {
        let mut met = Vec::new();
        for (address, node) in &self.graph.nodes {
            let Role::Managed { props } = &node.role else { continue };
            let Some(id) = self.bound.get(address) else { continue };
            let Some(seen) = self.gathered.seen(address.kind(), id) else { continue };
            named(props, seen, &mut met);
        }
        let mut progress = false;
        for (output, value) in met {
            if !self.bound.contains_key(&output.address)
                && let Some(id) = self.with(&output, &value)
            {
                progress |= self.take(&output.address, id);
            }
        }
        progress
    }

    /// The object whose output has that value.
    fn with(&self, output: &Output, value: &Value) -> Option<String> {
        if output.field == "id" {
            return value.as_str().map(str::to_owned);
        }
        let mut all = self.gathered.raw(output.address.kind());
        let found = all.find(|(_, seen)| seen.get(&output.field) == Some(value))?;
        Some(found.0.clone())
    }

    fn by_key(&mut self) -> bool {
        let mut progress = false;
        for (address, node) in &self.graph.nodes {
            let Role::Managed { props } = &node.role else { continue };
            let fields = key(address.kind());
            if fields.is_empty() || self.bound.contains_key(address) {
                continue;
            }
            let props = engine::bind(props, &|o| known(&self.bound, self.gathered, o));
            let wanted: Vec<Value> = fields.iter().map(|f| as_set(&props[*f])).collect();
            if wanted.iter().any(|value| !engine::outputs(value).is_empty()) {
                continue;
            }
            let fits = |(id, seen): &(&String, &Value)| {
                let free = !self.taken.contains(&(address.kind().to_owned(), (*id).clone()));
                free && fields.iter().zip(&wanted).all(|(f, want)| as_set(&seen[*f]) == *want)
            };
            let found = self.gathered.raw(address.kind()).find(fits).map(|(id, _)| id.clone());
            if let Some(id) = found {
                progress |= self.take(address, id);
            }
        }
        progress
    }
}

/// The values that stand in `seen` where `props` has references. A list is followed only when it has
/// one member: in longer ones nothing tells which is which.
fn named(props: &Value, seen: &Value, met: &mut Vec<(Output, Value)>) {
    if let Some(output) = as_output(props) {
        if !seen.is_null() {
            met.push((output, seen.clone()));
        }
        return;
    }
    match (props, seen) {
        (Value::Object(props), Value::Object(seen)) => {
            for (field, value) in props {
                if let Some(seen) = seen.get(field) {
                    named(value, seen, met);
                }
            }
        }
        (Value::Array(props), Value::Array(seen)) => {
            if let ([one], [other]) = (props.as_slice(), seen.as_slice()) {
                named(one, other, met);
            }
        }
        _ => {}
    }
}
