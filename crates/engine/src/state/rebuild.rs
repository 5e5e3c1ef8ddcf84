//! What a lost state would have known: what carries the stack's marks and names.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use super::model::{Entry, State};
use crate::graph::{Graph, Role};
use crate::plan::parents_first;
use crate::refresh::{World, field_of, with_generation};
use crate::value::{Address, bind, outputs};
use crate::world::Kinds;

/// What a look at the clouds gives back to the state.
#[derive(Debug, Default)]
pub struct Rebuilt {
    /// Makes the state know what was found; in order.
    pub entries: Vec<Entry>,
    /// Resources of which something was found.
    pub found: usize,
    /// Resources of which nothing was found: the next apply makes them.
    pub missing: Vec<Address>,
    /// Resources with several candidates, none of which can be told to be the one.
    pub ambiguous: BTreeMap<Address, Vec<String>>,
}

/// Compares the graph with what was found of it. What the state knows already stays as it is.
///
/// Pure. The objects are taken to be as the graph wants them; where they are not, the next plan says so.
pub fn rebuild(graph: &Graph, state: &State, world: &World, kinds: Kinds) -> Rebuilt {
    // Nobody knows when they were made: so long ago that everybody knows them.
    let at = Timestamp::UNIX_EPOCH;
    let mut rebuilt = Rebuilt::default();
    if !graph.home.is_empty() && state.home != graph.home {
        rebuilt.entries.push(Entry::Home { home: graph.home.clone() });
    }
    let mut present: BTreeMap<Address, (String, Value)> = BTreeMap::new();
    for address in parents_first(graph) {
        let node = &graph.nodes[&address];
        let seen = |id: &str| world.seen(&address, id).cloned().unwrap_or_default();
        let (Role::Managed { props }, Some(kind)) = (&node.role, kinds.get(address.kind())) else {
            if let Role::Used { id, .. } = &node.role {
                present.insert(address.clone(), (id.clone(), seen(id)));
            }
            continue;
        };
        if let Some(id) = state.resources.get(&address).and_then(|r| r.id.clone()) {
            let seen = seen(&id);
            present.insert(address.clone(), (id, seen));
            continue;
        }
        let Some(generations) = world.generations(kind, &address, props) else {
            let found = world.found.get(&address).into_iter().flatten();
            let ids = found.map(|f| f.id().clone()).collect();
            rebuilt.ambiguous.insert(address.clone(), ids);
            continue;
        };
        let known = |o: &crate::value::Output| {
            let (id, seen) = present.get(&o.address)?;
            field_of(id, seen, &o.field)
        };
        let mut last = None;
        let there = generations.into_iter().filter(|(_, id)| world.seen(&address, id).is_some());
        for (n, (generation, id)) in there.enumerate() {
            let props = bind(&with_generation(kinds, &address, props, generation), &known);
            if !outputs(&props).is_empty() {
                continue;
            }
            rebuilt.entries.push(Entry::Intend {
                address: address.clone(),
                group: node.group.clone(),
                generation,
                props: props.clone(),
                needs: node.needs(),
                deposes: n > 0,
                at,
            });
            rebuilt.entries.push(Entry::Made { address: address.clone(), id: id.to_owned(), at });
            last = Some((id.to_owned(), props));
        }
        let Some((id, props)) = last else {
            rebuilt.missing.push(address.clone());
            continue;
        };
        rebuilt.found += 1;
        let seen = seen(&id);
        rebuilt.entries.push(Entry::Settled {
            address: address.clone(),
            props,
            seen: seen.clone(),
            needs: node.needs(),
            group: node.group.clone(),
            changed: false,
            at,
            took: None,
        });
        present.insert(address, (id, seen));
    }
    rebuilt
}
