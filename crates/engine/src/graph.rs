//! The resources one spec asks for, and how they hang together.

use std::collections::{BTreeMap, BTreeSet};
use std::marker::PhantomData;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::kind::{Id, Kind};
use crate::value::{Address, Output, Ref, canonical, outputs};

/// Who a resource is for, as the plan groups it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    /// Used by several workspaces, or by none in particular: a VPC and what belongs to it.
    Shared(String),
    Workspace(String),
}

/// What must hold of an object that is used but not owned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Expect {
    /// A field of what is seen.
    pub field: String,
    /// What it must be; skipped while it holds a reference that is not known.
    pub equals: Value,
    /// Why, in words that complete "… must be …, because".
    pub because: String,
}

/// Whether dbxctl makes the object or only uses it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Managed { props: Value },
    Used { id: String, expect: Vec<Expect> },
}

/// One resource of the graph.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Node {
    pub group: Group,
    pub role: Role,
    /// Resources it needs beyond those its props refer to.
    pub after: BTreeSet<Address>,
}

impl Node {
    /// All resources it needs: by reference or by word.
    pub fn needs(&self) -> BTreeSet<Address> {
        let mut needs = self.after.clone();
        if let Role::Managed { props } = &self.role {
            needs.extend(outputs(props).into_iter().map(|o| o.address));
        }
        needs
    }
}

/// All resources of one stack.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Graph {
    /// Keys the state and marks the objects.
    pub stack: String,
    pub nodes: BTreeMap<Address, Node>,
    /// Groups whose precious resources (workspaces, buckets) the spec allows to be deleted or replaced.
    pub deletion_allowed: BTreeSet<Group>,
    /// Groups whose precious resources may be emptied before they are deleted.
    pub emptying_allowed: BTreeSet<Group>,
}

/// Why a graph cannot be planned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GraphError {
    #[error("{from} refers to {to}, which is not in the graph")]
    Dangling { from: Address, to: Address },
    #[error("resources need each other in a circle: {}", .0.iter().map(Address::as_str).collect::<Vec<_>>().join(" → "))]
    Cycle(Vec<Address>),
}

/// A resource of the graph that others may refer to.
pub struct Handle<K: Kind> {
    address: Address,
    kind: PhantomData<K>,
}

impl<K: Kind> Clone for Handle<K> {
    fn clone(&self) -> Self {
        Handle { address: self.address.clone(), kind: PhantomData }
    }
}

/// A named field of a kind's `Seen`, typed where it is declared.
pub struct Out<K: Kind, T> {
    pub field: &'static str,
    types: PhantomData<fn() -> (K, T)>,
}

impl<K: Kind, T> Out<K, T> {
    /// The output that is the field `name` of `K::Seen`.
    pub const fn field(name: &'static str) -> Self {
        Out { field: name, types: PhantomData }
    }
}

impl<K: Kind> Handle<K> {
    /// Where it stands.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Its id.
    pub fn id(&self) -> Ref<K::Id> {
        Ref::Output(Output { address: self.address.clone(), field: "id".to_owned() })
    }

    /// One of its other outputs.
    pub fn out<T>(&self, out: Out<K, T>) -> Ref<T> {
        Ref::Output(Output { address: self.address.clone(), field: out.field.to_owned() })
    }
}

impl Graph {
    /// A graph with nothing in it.
    pub fn new(stack: &str) -> Self {
        Graph {
            stack: stack.to_owned(),
            nodes: BTreeMap::new(),
            deletion_allowed: BTreeSet::new(),
            emptying_allowed: BTreeSet::new(),
        }
    }

    /// Adds a resource that dbxctl makes and owns.
    ///
    /// # Panics
    /// If the address is taken: names come from the blueprint, so that is a bug there.
    pub fn add<K: Kind>(&mut self, group: &Group, name: &str, props: K::Props) -> Handle<K> {
        let props = canonical(&serde_json::to_value(&props).expect("props are plain data"));
        self.insert(group, name, Role::Managed { props })
    }

    /// Adds an object that exists and is only used: read, checked, never changed.
    pub fn use_existing<K: Kind>(
        &mut self,
        group: &Group,
        name: &str,
        id: &K::Id,
        expect: Vec<Expect>,
    ) -> Handle<K> {
        self.insert(group, name, Role::Used { id: id.to_string(), expect })
    }

    /// Makes `node` wait for `others` although its props do not refer to them.
    pub fn after(&mut self, node: &Address, others: impl IntoIterator<Item = Address>) {
        if let Some(node) = self.nodes.get_mut(node) {
            node.after.extend(others);
        }
    }

    fn insert<K: Kind>(&mut self, group: &Group, name: &str, role: Role) -> Handle<K> {
        let address = Address::new(K::NAME, name);
        let node = Node { group: group.clone(), role, after: BTreeSet::new() };
        let twin = self.nodes.insert(address.clone(), node);
        assert!(twin.is_none(), "{address} was added twice");
        Handle { address, kind: PhantomData }
    }

    /// Checks that every reference has a target and that there is no circle.
    pub fn check(&self) -> Result<(), Vec<GraphError>> {
        let mut errors = Vec::new();
        for (from, node) in &self.nodes {
            for to in node.needs().into_iter().filter(|to| !self.nodes.contains_key(to)) {
                errors.push(GraphError::Dangling { from: from.clone(), to });
            }
        }
        if let Some(cycle) = self.find_cycle() {
            errors.push(GraphError::Cycle(cycle));
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    fn find_cycle(&self) -> Option<Vec<Address>> {
        let mut done = BTreeSet::new();
        for start in self.nodes.keys() {
            let mut path = Vec::new();
            if let Some(cycle) = self.visit(start, &mut path, &mut done) {
                return Some(cycle);
            }
        }
        None
    }

    fn visit(
        &self,
        at: &Address,
        path: &mut Vec<Address>,
        done: &mut BTreeSet<Address>,
    ) -> Option<Vec<Address>> {
        if let Some(start) = path.iter().position(|p| p == at) {
            let mut cycle = path[start..].to_vec();
            cycle.push(at.clone());
            return Some(cycle);
        }
        if done.contains(at) {
            return None;
        }
        path.push(at.clone());
        let needs = self.nodes.get(at).map(Node::needs).unwrap_or_default();
        let cycle = needs.iter().find_map(|next| self.visit(next, path, done));
        path.pop();
        done.insert(at.clone());
        cycle
    }
}

/// An id that is known already, for objects outside the graph.
pub fn known<T: Id>(id: &str) -> Ref<T> {
    Ref::Known(T::from(id.to_owned()))
}
