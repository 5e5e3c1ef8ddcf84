//! Which step waits for which.
//!
//! `make` is any step but a delete; a replacement is a make and a delete.
//! 1. `make(b)` waits for `make(a)` if b refers to a.
//! 2. `remove(a)` waits for `remove(b)` if b referred to a when last applied.
//! 3. Delete-first replacement: `make(a)` waits for `remove(a)`.
//! 4. Create-first replacement: `remove(a)` waits for `make(a)`, and for `make(b)` of every b that used it.
//! 5. A create-first kind falls back to delete-first in a plan where something it depended on,
//!    directly or not, is replaced delete-first.
//!
//! These make no circle (tested at random). One wish can: that a delete of a waits for the change by
//! which b lets go of it. It is granted where it closes no circle; elsewhere the in-use retry does it.

use std::collections::{BTreeMap, BTreeSet};

use super::decide::Draft;
use super::{Action, PlannedChange, Problem, Step};
use crate::diff::Effect;
use crate::graph::{Graph, Node, Role};
use crate::kind::Replace;
use crate::refresh::{with_generation, without_generation};
use crate::state::State;
use crate::value::{Address, outputs};
use crate::world::Kinds;

/// The steps in their order, or what forbids one.
pub(super) fn steps(
    drafts: Vec<Draft>,
    graph: &Graph,
    state: &State,
    kinds: Kinds,
) -> Result<Vec<Step>, Vec<Problem>> {
    let delete_first = replaced_delete_first(&drafts, graph, state, kinds);
    let problems = undermined(&drafts, &delete_first, graph, state, kinds);
    if !problems.is_empty() {
        return Err(problems);
    }
    let mut steps: Vec<Step> = Vec::new();
    for draft in drafts {
        let replacing = draft.action == Action::Replace;
        let create_first = replacing && !delete_first.contains(&draft.address);
        if replacing {
            let old = state.resources.get(&draft.address);
            let needs = old.map_or_else(|| draft.needs.clone(), |r| r.needs.clone());
            let removal =
                Draft { action: Action::Delete, needs, changes: Vec::new(), ..draft.clone() };
            steps.push(step(removal, true, create_first, kinds));
        }
        steps.push(step(draft, replacing, create_first, kinds));
    }
    for step in steps.iter_mut().filter(|s| s.precious && s.action == Action::Delete) {
        step.empties = graph.emptying_allowed.contains(&step.group);
    }
    steps.sort_by(|a, b| (&a.address, a.action, &a.id).cmp(&(&b.address, b.action, &b.id)));
    let edges = edges(&steps, state);
    Ok(number(steps, &edges))
}

/// A precious object that stays cannot stand on something that goes before its successor is there.
fn undermined(
    drafts: &[Draft],
    delete_first: &BTreeSet<Address>,
    graph: &Graph,
    state: &State,
    kinds: Kinds,
) -> Vec<Problem> {
    let made_anew = |a: &Address| {
        drafts
            .iter()
            .any(|d| d.address == *a && matches!(d.action, Action::Replace | Action::Create))
    };
    let precious = |a: &Address| kinds.get(a.kind()).is_some_and(|k| k.precious());
    let living = |a: &Address| state.resources.get(a).is_some_and(|r| r.id.is_some());
    let roots: BTreeSet<&Address> = drafts
        .iter()
        .filter(|d| delete_first.contains(&d.address) && is_root(d, kinds))
        .map(|d| &d.address)
        .collect();
    let mut over: BTreeMap<&Address, Vec<&str>> = BTreeMap::new();
    for address in graph.nodes.keys().filter(|a| precious(a) && living(a) && !made_anew(a)) {
        for root in stands_on(address, graph).iter().filter_map(|below| roots.get(below)) {
            // Name what is at the bottom of it, not what only follows.
            if stands_on(root, graph).iter().all(|below| !roots.contains(below)) {
                over.entry(root).or_default().push(address.as_str());
            }
        }
    }
    let problem = |(root, over): (&Address, Vec<&str>)| {
        let root = drafts.iter().find(|d| d.address == *root)?;
        Some(Problem {
            address: root.address.clone(),
            fields: forcing(root).map(|c| c.field.clone()).collect(),
            message: format!(
                "it cannot be replaced under {}: it would have to go before the new one can be made",
                over.join(", ")
            ),
            help: Some(way_out(root)),
        })
    };
    over.into_iter().filter_map(problem).collect()
}

fn forcing(draft: &Draft) -> impl Iterator<Item = &PlannedChange> {
    draft.changes.iter().filter(|c| c.effect == Effect::Replace)
}

fn way_out(root: &Draft) -> String {
    let said = forcing(root).find_map(|c| c.meaning.way_out.as_deref());
    let both = "give the new one a name or addresses of its own in the spec, so that both can exist while users move over";
    format!("undo the change, or {}", said.unwrap_or(both))
}

/// Everything the resource refers to, directly or not.
fn stands_on(address: &Address, graph: &Graph) -> BTreeSet<Address> {
    let (mut open, mut seen) = (vec![address.clone()], BTreeSet::new());
    while let Some(at) = open.pop() {
        let Some(Role::Managed { props }) = graph.nodes.get(&at).map(|n| &n.role) else { continue };
        for output in outputs(props) {
            if seen.insert(output.address.clone()) {
                open.push(output.address);
            }
        }
    }
    seen
}

/// Whether the replacement goes delete-first by itself, and not because of something else.
fn is_root(draft: &Draft, kinds: Kinds) -> bool {
    let kind = kinds.get(draft.address.kind());
    draft.action == Action::Replace
        && (draft.collides || kind.is_some_and(|k| k.replace() == Replace::DeleteFirst))
}

/// One step of a draft, without its number.
pub(super) fn step(draft: Draft, replacing: bool, create_first: bool, kinds: Kinds) -> Step {
    let makes = draft.action.makes();
    // The new object of a replacement has no id yet; of a create-first one it has a new name as well.
    let id = if makes && replacing { None } else { draft.id };
    let mut generation = draft.generation;
    let mut props = draft.props;
    if makes && create_first {
        generation += 1;
        props = renamed(kinds, &draft.address, &props, draft.generation, generation);
    }
    Step {
        step: 0,
        action: draft.action,
        address: draft.address,
        group: draft.group,
        after: BTreeSet::new(),
        id,
        props: if makes { props } else { serde_json::Value::Null },
        needs: draft.needs,
        generation,
        replacing,
        create_first,
        precious: draft.precious,
        empties: false,
        changes: if makes { draft.changes } else { Vec::new() },
        because: draft.because,
    }
}

/// The props with the name of generation `to` instead of `from`.
fn renamed(
    kinds: Kinds,
    address: &Address,
    props: &serde_json::Value,
    from: u32,
    to: u32,
) -> serde_json::Value {
    let base = without_generation(kinds, address, props, from);
    with_generation(kinds, address, &base, to)
}

/// Rule 5: all replacements that go delete-first.
fn replaced_delete_first(
    drafts: &[Draft],
    graph: &Graph,
    state: &State,
    kinds: Kinds,
) -> BTreeSet<Address> {
    let replaced = || drafts.iter().filter(|d| d.action == Action::Replace).map(|d| &d.address);
    let roots = drafts.iter().filter(|d| is_root(d, kinds)).map(|d| d.address.clone());
    let mut result: BTreeSet<Address> = roots.collect();
    let roots = result.clone();
    for address in replaced() {
        if reaches(address, &roots, graph, state) {
            result.insert(address.clone());
        }
    }
    result
}

fn reaches(from: &Address, targets: &BTreeSet<Address>, graph: &Graph, state: &State) -> bool {
    let mut open = vec![from.clone()];
    let mut seen = BTreeSet::new();
    while let Some(at) = open.pop() {
        let recorded = state.resources.get(&at).map(|r| r.needs.clone()).unwrap_or_default();
        let wanted = graph.nodes.get(&at).map(Node::needs).unwrap_or_default();
        for need in recorded.union(&wanted) {
            if targets.contains(need) {
                return true;
            }
            if seen.insert(need.clone()) {
                open.push(need.clone());
            }
        }
    }
    false
}

type Edges = Vec<BTreeSet<usize>>;

fn edges(steps: &[Step], state: &State) -> Edges {
    let mut makes: BTreeMap<&Address, usize> = BTreeMap::new();
    let mut removes: BTreeMap<&Address, Vec<usize>> = BTreeMap::new();
    for (index, step) in steps.iter().enumerate() {
        if step.action.makes() {
            makes.insert(&step.address, index);
        } else {
            removes.entry(&step.address).or_default().push(index);
        }
    }
    let mut edges: Edges = vec![BTreeSet::new(); steps.len()];
    for (index, step) in steps.iter().enumerate() {
        if step.action.makes() {
            edges[index].extend(step.needs.iter().filter_map(|need| makes.get(need)));
            if step.replacing && !step.create_first {
                edges[index].extend(removes.get(&step.address).into_iter().flatten());
            }
        } else {
            for need in &step.needs {
                for &parent in removes.get(need).into_iter().flatten() {
                    edges[parent].insert(index);
                }
            }
            if step.replacing && step.create_first {
                edges[index].extend(makes.get(&step.address));
                edges[index].extend(users(&step.address, &makes, state));
            }
        }
    }
    for (index, step) in steps.iter().enumerate() {
        if step.action == Action::Delete && !(step.replacing && step.create_first) {
            for user in users(&step.address, &makes, state) {
                if !waits_for(&edges, user, index) {
                    edges[index].insert(user);
                }
            }
        }
    }
    edges
}

/// The make steps of all that used the resource when last applied.
fn users<'a>(
    address: &'a Address,
    makes: &'a BTreeMap<&Address, usize>,
    state: &'a State,
) -> impl Iterator<Item = usize> + 'a {
    let using = state
        .resources
        .iter()
        .filter(move |(user, r)| *user != address && r.needs.contains(address));
    using.filter_map(|(user, _)| makes.get(user).copied())
}

fn waits_for(edges: &Edges, from: usize, target: usize) -> bool {
    let (mut open, mut seen) = (vec![from], BTreeSet::new());
    while let Some(at) = open.pop() {
        if at == target {
            return true;
        }
        open.extend(edges[at].iter().copied().filter(|next| seen.insert(*next)));
    }
    false
}

/// Puts the steps into an order they can be read and run in, and numbers them.
///
/// # Panics
/// On a circle: the rules exclude it, and a property test watches over them.
fn number(steps: Vec<Step>, edges: &Edges) -> Vec<Step> {
    let mut place = vec![usize::MAX; steps.len()];
    let mut order = Vec::with_capacity(steps.len());
    let mut blocking: Vec<usize> = edges.iter().map(BTreeSet::len).collect();
    let mut waiting: Vec<Vec<usize>> = vec![Vec::new(); steps.len()];
    for (index, after) in edges.iter().enumerate() {
        after.iter().for_each(|&before| waiting[before].push(index));
    }
    let mut ready: BTreeSet<usize> = (0..steps.len()).filter(|&i| blocking[i] == 0).collect();
    while let Some(index) = ready.pop_first() {
        place[index] = order.len();
        order.push(index);
        for &next in &waiting[index] {
            blocking[next] -= 1;
            if blocking[next] == 0 {
                ready.insert(next);
            }
        }
    }
    assert_eq!(
        order.len(),
        steps.len(),
        "bug: the steps of a plan wait for each other in a circle"
    );
    let mut numbered: Vec<Step> = steps
        .into_iter()
        .enumerate()
        .map(|(index, step)| Step {
            step: place[index] + 1,
            after: edges[index].iter().map(|&before| place[before] + 1).collect(),
            ..step
        })
        .collect();
    numbered.sort_by_key(|s| s.step);
    numbered
}
