//! The state as a value, and the entries that change it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::history::{Durations, Ended, PastRun, Took};
use crate::graph::{Graph, Group, Node, Role};
use crate::value::Address;

/// The version of the state file this code writes.
pub const FORMAT: u32 = 3;

/// Everything known about one stack between runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct State {
    pub format: u32,
    /// The program that wrote the file, for people.
    pub written_by: String,
    pub stack: String,
    /// Tells this state from another of the same stack; set once.
    pub lineage: String,
    /// Counts the entries ever applied.
    pub serial: u64,
    /// Where the objects are: see [`Graph::home`]. Empty until the first apply.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub home: BTreeMap<String, String>,
    pub resources: BTreeMap<Address, Record>,
    /// Seconds that the last steps took, by kind and action, newest last.
    #[serde(default, skip_serializing_if = "Durations::is_empty")]
    pub durations: Durations,
    /// The last runs that carried out a plan, newest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<PastRun>,
}

/// How far a resource has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// About to be made: one may exist although its id is not known.
    Making,
    /// Made, id known, not yet brought to what was asked for.
    Made,
    /// As asked for.
    Settled,
    /// Asked to go.
    Removing,
}

/// One resource.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Record {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    pub status: Status,
    pub group: Group,
    /// 1, and one more with each create-first replacement; the name of generation 2 ends in `-2`.
    pub generation: u32,
    /// What was last asked for, all references bound.
    pub props: Value,
    /// What was last seen; null between made and settled. While it is being made: of the one before
    /// it that is gone.
    pub seen: Value,
    /// What it needed when last applied, so that it can be removed in order.
    pub needs: BTreeSet<Address>,
    /// When it was last made or changed: how long "not known everywhere yet" may be believed.
    #[schemars(with = "String")]
    pub changed_at: Timestamp,
    /// Predecessors that a create-first replacement has not removed yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deposed: Vec<Deposed>,
}

/// An object that has been replaced and has yet to go.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Deposed {
    pub id: String,
    pub needs: BTreeSet<Address>,
}

/// A resource that has another address from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Move {
    pub from: Address,
    pub to: Address,
}

/// One change of the state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub enum Entry {
    /// Before the call that makes it: one may exist from here on.
    Intend {
        address: Address,
        group: Group,
        generation: u32,
        props: Value,
        needs: BTreeSet<Address>,
        /// The present object keeps its place among the deposed until it can go.
        deposes: bool,
        at: Timestamp,
    },
    /// Right after that call.
    Made { address: Address, id: String, at: Timestamp },
    /// It is as asked for.
    Settled {
        address: Address,
        props: Value,
        seen: Value,
        needs: BTreeSet<Address>,
        group: Group,
        /// Whether this run changed the object.
        changed: bool,
        at: Timestamp,
        /// None when no step has made it so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        took: Option<Took>,
    },
    /// Before the call that removes the object `id`.
    Removing { address: Address, id: String },
    /// The object `id` is gone.
    Removed {
        address: Address,
        id: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        took: Option<Took>,
    },
    /// The address is nobody's business any more; the object stays.
    Forget { address: Address },
    /// The resource has another address; the object stays as it is.
    Move { from: Address, to: Address },
    /// Before anything is made in these clouds.
    Home { home: BTreeMap<String, String> },
    /// The resource hangs together with others in another way than before.
    Relate { address: Address, needs: BTreeSet<Address>, group: Group },
    /// Before the first step of a plan.
    Began { run: PastRun },
    /// After the last step of the run `owner`.
    Ended { owner: String, ended: Ended },
}

impl State {
    /// A state that remembers nothing.
    pub fn new(stack: &str, lineage: String) -> Self {
        State {
            format: FORMAT,
            written_by: crate::WRITTEN_BY.to_owned(),
            stack: stack.to_owned(),
            lineage,
            serial: 0,
            home: BTreeMap::new(),
            resources: BTreeMap::new(),
            durations: Durations::new(),
            runs: Vec::new(),
        }
    }

    /// Applies one entry and counts it.
    pub fn apply(&mut self, entry: &Entry) {
        self.serial += 1;
        match entry {
            Entry::Intend { address, group, generation, props, needs, deposes, at } => {
                let mut record = Record {
                    id: None,
                    status: Status::Making,
                    group: group.clone(),
                    generation: *generation,
                    props: props.clone(),
                    seen: Value::Null,
                    needs: needs.clone(),
                    changed_at: *at,
                    deposed: Vec::new(),
                };
                if let Some(old) = self.resources.remove(address) {
                    record.deposed = old.deposed;
                    if !deposes {
                        record.seen = old.seen;
                    }
                    if let Some(id) = old.id.filter(|_| *deposes) {
                        record.deposed.push(Deposed { id, needs: old.needs });
                    }
                }
                self.resources.insert(address.clone(), record);
            }
            Entry::Made { address, id, at } => {
                if let Some(record) = self.resources.get_mut(address) {
                    record.id = Some(id.clone());
                    record.status = Status::Made;
                    record.seen = Value::Null;
                    record.changed_at = *at;
                }
            }
            Entry::Settled { address, props, seen, needs, group, changed, at, took } => {
                if let Some(record) = self.resources.get_mut(address) {
                    record.status = Status::Settled;
                    record.props = props.clone();
                    record.seen = seen.clone();
                    record.needs = needs.clone();
                    record.group = group.clone();
                    if *changed {
                        record.changed_at = *at;
                    }
                }
                if let Some(took) = took {
                    self.took(address.kind(), *took);
                }
            }
            Entry::Removing { address, id } => {
                if let Some(record) = self.resources.get_mut(address)
                    && record.id.as_ref() == Some(id)
                {
                    record.status = Status::Removing;
                }
            }
            Entry::Removed { address, id, took } => {
                self.removed(address, id.as_deref());
                if let Some(took) = took {
                    self.took(address.kind(), *took);
                }
            }
            Entry::Forget { address } => {
                self.resources.remove(address);
            }
            Entry::Move { from, to } => self.moved(from, to),
            Entry::Home { home } => self.home = home.clone(),
            Entry::Relate { address, needs, group } => {
                if let Some(record) = self.resources.get_mut(address) {
                    record.needs = needs.clone();
                    record.group = group.clone();
                }
            }
            Entry::Began { run } => self.began(run.clone()),
            Entry::Ended { owner, ended } => self.ended(owner, ended),
        }
    }

    fn removed(&mut self, address: &Address, id: Option<&str>) {
        let Some(record) = self.resources.get_mut(address) else { return };
        if let Some(id) = id
            && record.id.as_deref() != Some(id)
        {
            record.deposed.retain(|d| d.id != id);
            return;
        }
        if record.deposed.is_empty() {
            self.resources.remove(address);
        } else {
            record.id = None;
            record.status = Status::Removing;
        }
    }

    fn moved(&mut self, from: &Address, to: &Address) {
        let Some(record) = self.resources.remove(from) else { return };
        self.resources.insert(to.clone(), record);
        for record in self.resources.values_mut() {
            let needs = record.deposed.iter_mut().map(|d| &mut d.needs).chain([&mut record.needs]);
            for needs in needs {
                if needs.remove(from) {
                    needs.insert(to.clone());
                }
            }
        }
    }

    /// The state as it will be once everything the graph has renamed is where it stands now, and the
    /// moves that lead there.
    pub fn renamed(&self, graph: &Graph) -> (State, Vec<Move>) {
        let (mut state, mut moves) = (self.clone(), Vec::new());
        for (to, former) in &graph.moved {
            let known = former.iter().find(|a| state.resources.contains_key(a));
            if let Some(from) = known.filter(|_| !state.resources.contains_key(to)) {
                state.moved(from, to);
                moves.push(Move { from: from.clone(), to: to.clone() });
            }
        }
        (state, moves)
    }

    /// Everything that exists as far as is known, as objects somebody uses: nothing is wanted of them.
    pub fn as_used(&self) -> Graph {
        let mut graph = Graph::new(&self.stack);
        for (address, record) in &self.resources {
            let Some(id) = &record.id else { continue };
            let role = Role::Used { id: id.clone(), expect: Vec::new() };
            let node = Node { group: record.group.clone(), role, after: BTreeSet::new() };
            graph.nodes.insert(address.clone(), node);
        }
        graph
    }

    /// Every id at an address: the present one and those deposed.
    pub fn ids(&self, address: &Address) -> Vec<&str> {
        let Some(record) = self.resources.get(address) else { return Vec::new() };
        let deposed = record.deposed.iter().map(|d| d.id.as_str());
        record.id.as_deref().into_iter().chain(deposed).collect()
    }
}
