//! The resources one spec asks for, and how they hang together.

use std::collections::{BTreeMap, BTreeSet};
use std::marker::PhantomData;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::kind::{Id, Kind, Mark};
use crate::value::{Address, Output, Ref, canonical, outputs};

/// Who a resource is for, as the plan groups it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    /// Used by several workspaces, or by none in particular: a VPC and what belongs to it.
    Shared(String),
    Workspace(String),
}

/// Part of a stack: a group, or in it what has a name or one that begins with it and a dot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    pub group: Group,
    pub name: Option<String>,
}

impl Part {
    /// Whether a resource of that group belongs to it.
    pub fn holds(&self, group: &Group, address: &Address) -> bool {
        let named = |name| rest(name, address.name()).is_some();
        self.group == *group && self.name.as_deref().is_none_or(named)
    }
}

/// What follows `first` in a name that is it or begins with it and a dot: `.nodes`.
fn rest<'a>(first: &str, name: &'a str) -> Option<&'a str> {
    let rest = name.strip_prefix(first)?;
    (rest.is_empty() || rest.starts_with('.')).then_some(rest)
}

/// Another place for what is added under a former name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Rename {
    from: (Group, String),
    to: (Group, String),
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
    /// Where the clouds are, by what that is called (`AWS account`, `region`). Objects stay where they were
    /// made, so a stack that has any cannot be planned for elsewhere.
    pub home: BTreeMap<String, String>,
    pub nodes: BTreeMap<Address, Node>,
    /// Groups whose precious resources (workspaces, buckets) the spec allows to be deleted or replaced.
    pub deletion_allowed: BTreeSet<Group>,
    /// Groups whose precious resources may be emptied before they are deleted.
    pub emptying_allowed: BTreeSet<Group>,
    /// Where resources stood before they were renamed.
    pub moved: BTreeMap<Address, Vec<Address>>,
    /// What is left alone when it is no longer wanted, instead of being deleted.
    pub forget: Vec<Part>,
    pub(crate) renames: Vec<Rename>,
}

/// Why a graph cannot be planned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GraphError {
    #[error("`{from}` refers to `{to}`, which is not in the graph")]
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
            home: BTreeMap::new(),
            nodes: BTreeMap::new(),
            deletion_allowed: BTreeSet::new(),
            emptying_allowed: BTreeSet::new(),
            moved: BTreeMap::new(),
            forget: Vec::new(),
            renames: Vec::new(),
        }
    }

    /// Gives everything that is added to the group `from.0` from now on its place in `to.0`, with
    /// `to.1` instead of `from.1` at the beginning of its name, and remembers that it may still be
    /// known by its former address.
    pub fn rename(&mut self, from: (Group, String), to: (Group, String)) {
        self.renames.push(Rename { from, to });
    }

    /// Adds a resource that dbxctl makes and owns, with its mark.
    ///
    /// # Panics
    /// If the address is taken: names come from the blueprint, so that is a bug there.
    pub fn add<K: Kind>(&mut self, group: &Group, name: &str, mut props: K::Props) -> Handle<K> {
        let (address, group) = self.place(K::NAME, name, group);
        K::mark(&mut props, &Mark { stack: self.stack.clone(), address: address.clone() });
        let props = canonical(&serde_json::to_value(&props).expect("props are plain data"));
        self.insert(address, group, Role::Managed { props })
    }

    /// Adds an object that exists and is only used: read, checked, never changed.
    pub fn use_existing<K: Kind>(
        &mut self,
        group: &Group,
        name: &str,
        id: &K::Id,
        expect: Vec<Expect>,
    ) -> Handle<K> {
        let (address, group) = self.place(K::NAME, name, group);
        self.insert(address, group, Role::Used { id: id.to_string(), expect })
    }

    /// Makes `node` wait for `others` although its props do not refer to them.
    pub fn after(&mut self, node: &Address, others: impl IntoIterator<Item = Address>) {
        if let Some(node) = self.nodes.get_mut(node) {
            node.after.extend(others);
        }
    }

    /// The address a resource of that name gets when it is added to the group: its present one if it was
    /// renamed.
    pub fn address_of(&self, kind: &str, name: &str, group: &Group) -> Address {
        self.placed(kind, name, group).0
    }

    /// Where a resource belongs, and by which addresses it may still be known.
    fn placed(&self, kind: &str, name: &str, group: &Group) -> (Address, Group, Vec<Address>) {
        let (mut address, mut group) = (Address::new(kind, name), group.clone());
        let mut former = Vec::new();
        for Rename { from, to } in &self.renames {
            if from.0 != group {
                continue;
            }
            if let Some(rest) = rest(&from.1, address.name()) {
                let renamed = Address::new(kind, &format!("{}{rest}", to.1));
                former.push(std::mem::replace(&mut address, renamed));
            }
            group = to.0.clone();
        }
        (address, group, former)
    }

    fn place(&mut self, kind: &str, name: &str, group: &Group) -> (Address, Group) {
        let (address, group, former) = self.placed(kind, name, group);
        if !former.is_empty() {
            self.moved.insert(address.clone(), former);
        }
        (address, group)
    }

    fn insert<K: Kind>(&mut self, address: Address, group: Group, role: Role) -> Handle<K> {
        let node = Node { group, role, after: BTreeSet::new() };
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
