//! What exists: one read per kind for what the state knows, and a look for what it may have missed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cloud::Result;
use futures::future::try_join_all;
use serde_json::Value;
use tokio::time::Instant;

use crate::apply::{Pauses, Settings, left_of, patiently};
use crate::graph::{Graph, Role};
use crate::kind::{AnyKind, Found, Replace, Wanted};
use crate::state::{State, Status};
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

    /// The objects of ours at an address, by which replacement each is; `props` are those of the
    /// graph. `None` when one of them is somebody else's, or when two are twins.
    pub(crate) fn generations(
        &self,
        kind: &dyn AnyKind,
        address: &Address,
        props: &Value,
    ) -> Option<Vec<(u32, &str)>> {
        let mut all = BTreeMap::new();
        for found in self.found.get(address).into_iter().flatten() {
            let seen = self.seen(address, found.id()).unwrap_or(&Value::Null);
            let twin = all.insert(generation_of(kind, props, seen), found.id().as_str());
            if twin.is_some() || !found.is_ours() {
                return None;
            }
        }
        Some(all.into_iter().collect())
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

/// How many names a lost state is looked up with: the first and those of later replacements.
const GENERATIONS: u32 = 9;

/// Which replacement an object is, by what stands behind the wanted name.
pub(crate) fn generation_of(kind: &dyn AnyKind, props: &Value, seen: &Value) -> u32 {
    let Replace::CreateFirst { name: Some(field) } = kind.replace() else { return 1 };
    let text = |value: &Value| value.get(field).and_then(Value::as_str).map(str::to_owned);
    let (Some(wanted), Some(name)) = (text(props), text(seen)) else { return 1 };
    let number = name.strip_prefix(&wanted).and_then(|rest| rest.strip_prefix('-'));
    number.and_then(|n| n.parse().ok()).filter(|n| *n <= GENERATIONS).unwrap_or(1)
}

/// Reads all objects the graph and the state name, and finds those that may have been made without
/// their id being saved. Reads cost one call per kind where the API allows it, not one per object.
///
/// What an earlier run made just before it died may not show yet: see [`late`].
pub async fn refresh(
    graph: &Graph,
    state: &State,
    kinds: Kinds,
    cloud: &dyn Cloud,
    settings: Settings,
) -> Result<World> {
    let (state, _) = &state.renamed(graph);
    let source = Source { cloud, settings };
    let late = late(graph, state, kinds);
    let started = Instant::now();
    let mut pauses = Pauses::new(settings);
    loop {
        let world = look(graph, state, kinds, &source).await?;
        let missing = |(address, left): (&Address, &Duration)| {
            let id = state.resources.get(address).and_then(|r| r.id.as_deref());
            let shown = match id {
                Some(id) => world.seen(address, id).is_some(),
                None => world.found.contains_key(address),
            };
            !shown && started.elapsed() < *left
        };
        if !late.iter().any(missing) {
            return Ok(world);
        }
        pauses.sleep(None).await;
    }
}

/// What an earlier run made, or was about to make, so recently that reads may not show it yet; and for
/// how long that may go on. Planned too early, it would be made twice or forgotten.
pub fn late(graph: &Graph, state: &State, kinds: Kinds) -> BTreeMap<Address, Duration> {
    let mut late = BTreeMap::new();
    for (address, record) in &state.resources {
        let Some(kind) = kinds.get(address.kind()) else { continue };
        let doubtful = match record.status {
            // Of a unique kind that is still wanted no second one can be made, so apply finds out.
            Status::Making => !(kind.unique() && graph.nodes.contains_key(address)),
            Status::Made => true,
            Status::Settled | Status::Removing => false,
        };
        let left = left_of(kind.waits().visible, record.changed_at);
        if doubtful && !left.is_zero() {
            late.insert(address.clone(), left);
        }
    }
    late
}

/// One look at everything.
async fn look(graph: &Graph, state: &State, kinds: Kinds, source: &Source<'_>) -> Result<World> {
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
    read_into(&mut world, source, ids).await?;
    find_missing(&mut world, graph, state, kinds, source).await?;
    Ok(world)
}

/// Where reads come from, and how patient they are.
struct Source<'a> {
    cloud: &'a dyn Cloud,
    settings: Settings,
}

async fn read_into(
    world: &mut World,
    source: &Source<'_>,
    ids: BTreeMap<String, BTreeSet<String>>,
) -> Result<()> {
    let reads = ids.into_iter().filter(|(_, ids)| !ids.is_empty()).map(|(kind, ids)| async move {
        let ids: Vec<String> = ids.into_iter().collect();
        let seen = patiently(source.settings, || source.cloud.read(&kind, &ids)).await?;
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
        let mut looks: BTreeMap<String, Vec<Look>> = BTreeMap::new();
        let mut looked_for = Vec::new();
        for (address, props) in &open {
            let props = bind(props, &|o| known_output(graph, state, world, kinds, o));
            if outputs(&props).is_empty() {
                let ways = ways_to_find(graph, state, kinds, address, &props);
                looks.entry(address.kind().to_owned()).or_default().extend(ways);
                looked_for.push(address.clone());
            }
        }
        if looks.is_empty() {
            return Ok(());
        }
        let stack = graph.stack.as_str();
        let finds = looks.into_iter().map(|(kind, looks)| async move {
            let wanted: Vec<_> = looks.iter().map(|look| look.wanted.clone()).collect();
            let call = || source.cloud.find(&kind, stack, &wanted);
            let found = patiently(source.settings, call).await?;
            Ok::<_, cloud::Error>((kind, looks, found))
        });
        let mut ids: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (kind, looks, found) in try_join_all(finds).await? {
            for (look, found) in looks.into_iter().zip(found) {
                let known = state.ids(&look.address);
                for new in found.into_iter().filter(|f| !known.contains(&f.id().as_str())) {
                    let all = world.found.entry(look.address.clone()).or_default();
                    // Somebody else's object is in the way only of the name that would be used.
                    if (look.plain || new.is_ours()) && !all.contains(&new) {
                        ids.entry(kind.clone()).or_default().insert(new.id().clone());
                        all.push(new);
                    }
                }
            }
        }
        for address in looked_for {
            open.remove(&address);
            // Nor is it in the way while there is one of ours.
            if let Some(found) = world.found.get_mut(&address)
                && found.iter().any(Found::is_ours)
            {
                found.retain(Found::is_ours);
            }
        }
        read_into(world, source, ids).await?;
    }
}

/// One way to find a resource.
struct Look {
    address: Address,
    /// Under its present address and by the name it would be given.
    plain: bool,
    wanted: Wanted<Value>,
}

/// All ways to find a resource: under its present and former addresses and, when the state does not
/// tell which replacement it is, by the name of each.
fn ways_to_find(
    graph: &Graph,
    state: &State,
    kinds: Kinds,
    address: &Address,
    props: &Value,
) -> Vec<Look> {
    let look = |plain, at: &Address, props| Look {
        address: address.clone(),
        plain,
        wanted: Wanted { address: at.clone(), props },
    };
    let mut ways = vec![look(true, address, props.clone())];
    let former = graph.moved.get(address).into_iter().flatten();
    ways.extend(former.map(|former| look(false, former, props.clone())));
    let kind = kinds.get(address.kind());
    let named = kind.is_some_and(|k| matches!(k.replace(), Replace::CreateFirst { name: Some(_) }));
    if named && !state.resources.contains_key(address) {
        let later = 2..=GENERATIONS;
        ways.extend(later.map(|n| look(false, address, with_generation(kinds, address, props, n))));
    }
    ways
}

/// The value of an output as things stand now, whether or not a plan will change it.
fn known_output(
    graph: &Graph,
    state: &State,
    world: &World,
    kinds: Kinds,
    output: &Output,
) -> Option<Value> {
    let recorded = || state.resources.get(&output.address).and_then(|r| r.id.as_deref());
    let id = match &graph.nodes.get(&output.address)?.role {
        Role::Used { id, .. } => id.as_str(),
        Role::Managed { props } => recorded().or_else(|| {
            let kind = kinds.get(output.address.kind())?;
            world.generations(kind, &output.address, props)?.last().map(|(_, id)| *id)
        })?,
    };
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
