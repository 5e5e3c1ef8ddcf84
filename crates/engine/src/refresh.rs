//! What exists: one read per kind for what the state knows, and a look for what it may have missed.

use std::collections::{BTreeMap, BTreeSet};

use cloud::{Class, Result};
use futures::future::try_join_all;
use serde_json::Value;
use tokio::time::Instant;

use crate::apply::{Pauses, Settings};
use crate::graph::{Graph, Role};
use crate::kind::{Found, Replace, Wanted};
use crate::state::State;
use crate::value::{Address, Output, bind, outputs};
use crate::world::{Cloud, Kinds};

/// Everything that was read. Objects are keyed by kind and id.
#[derive(Debug, Clone, Default)]
pub struct World {
    seen: BTreeMap<(String, String), Value>,
    /// Objects that carry our mark or name although the state does not know their id.
    pub found: BTreeMap<Address, Vec<Found<String>>>,
    /// Nothing was read: objects that are only used are believed to be there and to fit.
    pub remembered: bool,
}

impl World {
    /// What was seen of the object; `None` if it is gone.
    pub fn seen(&self, address: &Address, id: &str) -> Option<&Value> {
        self.seen.get(&(address.kind().to_owned(), id.to_owned()))
    }

    /// What the state last saw, for planning without a network.
    pub fn remembered(state: &State) -> Self {
        let mut world = World { remembered: true, ..World::default() };
        for (address, record) in &state.resources {
            if let Some(id) = record.id.as_ref().filter(|_| !record.seen.is_null()) {
                world.insert(address.kind(), id, record.seen.clone());
            }
        }
        world
    }

    /// Puts in what a read gave. For tests and for planning without a network.
    pub fn insert(&mut self, kind: &str, id: &str, seen: Value) {
        self.seen.insert((kind.to_owned(), id.to_owned()), seen);
    }
}

/// The props as the cloud gets them: a create-first replacement has a number behind its name.
pub(crate) fn with_generation(kinds: Kinds, address: &Address, props: &Value, n: u32) -> Value {
    let mut props = props.clone();
    let replace = kinds.get(address.kind()).map(|k| k.replace());
    if let Some(Replace::CreateFirst { name: Some(field) }) = replace
        && n > 1
        && let Some(Value::String(name)) = props.get_mut(field)
    {
        name.push_str(&format!("-{n}"));
    }
    props
}

/// The opposite: the props as the graph has them.
pub(crate) fn without_generation(kinds: Kinds, address: &Address, props: &Value, n: u32) -> Value {
    let mut props = props.clone();
    let replace = kinds.get(address.kind()).map(|k| k.replace());
    if let Some(Replace::CreateFirst { name: Some(field) }) = replace
        && n > 1
        && let Some(Value::String(name)) = props.get_mut(field)
    {
        let suffix = format!("-{n}");
        name.truncate(name.strip_suffix(&suffix).map_or(name.len(), str::len));
    }
    props
}

/// Reads all objects the graph and the state name, and finds those that may have been made without
/// their id being saved. Reads cost one call per kind where the API allows it, not one per object.
pub async fn refresh(
    graph: &Graph,
    state: &State,
    kinds: Kinds,
    cloud: &dyn Cloud,
    settings: Settings,
) -> Result<World> {
    let source = Source { cloud, settings };
    let mut world = World::default();
    let mut ids: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for address in state.resources.keys().filter(|a| kinds.get(a.kind()).is_some()) {
        for id in state.ids(address) {
            ids.entry(address.kind().to_owned()).or_default().insert(id.to_owned());
        }
    }
    for (address, node) in &graph.nodes {
        if let Role::Used { id, .. } = &node.role {
            ids.entry(address.kind().to_owned()).or_default().insert(id.clone());
        }
    }
    read_into(&mut world, &source, ids).await?;
    find_missing(&mut world, graph, state, kinds, &source).await?;
    Ok(world)
}

/// Where reads come from, and how patient they are.
struct Source<'a> {
    cloud: &'a dyn Cloud,
    settings: Settings,
}

impl Source<'_> {
    /// Reading changes nothing, so a call that may pass is made again.
    async fn patiently<T, F: Future<Output = Result<T>>>(&self, call: impl Fn() -> F) -> Result<T> {
        let started = Instant::now();
        let mut pauses = Pauses::new(self.settings);
        loop {
            let error = match call().await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            let passes = matches!(error.class, Class::Throttled | Class::Transient);
            if !passes || started.elapsed() >= self.settings.patience {
                return Err(error);
            }
            pauses.sleep(error.retry_after()).await;
        }
    }
}

async fn read_into(
    world: &mut World,
    source: &Source<'_>,
    ids: BTreeMap<String, BTreeSet<String>>,
) -> Result<()> {
    let reads = ids.into_iter().filter(|(_, ids)| !ids.is_empty()).map(|(kind, ids)| async move {
        let ids: Vec<String> = ids.into_iter().collect();
        let seen = source.patiently(|| source.cloud.read(&kind, &ids)).await?;
        Ok::<_, cloud::Error>((kind, ids, seen))
    });
    for (kind, ids, seen) in try_join_all(reads).await? {
        for (id, seen) in ids.into_iter().zip(seen) {
            if let Some(seen) = seen {
                world.seen.insert((kind.clone(), id), seen);
            }
        }
    }
    Ok(())
}

/// Looks, parents first, for what has no id in the state. A resource is looked for once all it refers
/// to is known: if its parent does not exist, neither can it.
async fn find_missing(
    world: &mut World,
    graph: &Graph,
    state: &State,
    kinds: Kinds,
    source: &Source<'_>,
) -> Result<()> {
    let mut open: BTreeMap<Address, Value> = BTreeMap::new();
    for (address, node) in &graph.nodes {
        if let Role::Managed { props } = &node.role {
            let record = state.resources.get(address);
            if record.is_none_or(|r| r.id.is_none()) {
                let generation = record.map_or(1, |r| r.generation);
                open.insert(address.clone(), with_generation(kinds, address, props, generation));
            }
        }
    }
    for (address, record) in &state.resources {
        let known_kind = kinds.get(address.kind()).is_some();
        if record.id.is_none() && !graph.nodes.contains_key(address) && known_kind {
            open.insert(address.clone(), record.props.clone());
        }
    }
    loop {
        let mut wanted: BTreeMap<String, Vec<Wanted<Value>>> = BTreeMap::new();
        for (address, props) in &open {
            let props = bind(props, &|o| known_output(graph, state, world, o));
            if outputs(&props).is_empty() {
                let all = wanted.entry(address.kind().to_owned()).or_default();
                all.push(Wanted { address: address.clone(), props });
            }
        }
        if wanted.is_empty() {
            return Ok(());
        }
        let stack = graph.stack.as_str();
        let finds = wanted.into_iter().map(|(kind, wanted)| async move {
            let found = source.patiently(|| source.cloud.find(&kind, stack, &wanted)).await?;
            Ok::<_, cloud::Error>((kind, wanted, found))
        });
        let mut ids: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (kind, wanted, found) in try_join_all(finds).await? {
            for (wanted, found) in wanted.into_iter().zip(found) {
                open.remove(&wanted.address);
                let known = state.ids(&wanted.address);
                let new: Vec<_> =
                    found.into_iter().filter(|f| !known.contains(&f.id().as_str())).collect();
                if !new.is_empty() {
                    let of_kind = ids.entry(kind.clone()).or_default();
                    of_kind.extend(new.iter().map(|f| f.id().clone()));
                    world.found.insert(wanted.address, new);
                }
            }
        }
        read_into(world, source, ids).await?;
    }
}

/// The value of an output as things stand now, whether or not a plan will change it.
fn known_output(graph: &Graph, state: &State, world: &World, output: &Output) -> Option<Value> {
    let used = graph.nodes.get(&output.address).and_then(|n| match &n.role {
        Role::Used { id, .. } => Some(id.as_str()),
        Role::Managed { .. } => None,
    });
    let recorded = state.resources.get(&output.address).and_then(|r| r.id.as_deref());
    let found = world.found.get(&output.address).and_then(|f| match f.as_slice() {
        [one] => Some(one.id().as_str()),
        _ => None,
    });
    let id = used.or(recorded).or(found)?;
    let seen = world.seen(&output.address, id)?;
    field_of(id, seen, &output.field)
}

/// One output of an object: its id, or a field of what was seen that has a value.
pub(crate) fn field_of(id: &str, seen: &Value, field: &str) -> Option<Value> {
    match field {
        "id" => Some(Value::String(id.to_owned())),
        field => seen.get(field).filter(|v| !v.is_null()).cloned(),
    }
}
