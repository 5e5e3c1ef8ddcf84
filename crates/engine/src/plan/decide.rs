//! What each resource needs, by itself: made, changed, replaced, removed, or nothing.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Action, Note, PlannedChange, Problem, Relation, Why};
use crate::diff::{Change, Diff, Effect};
use crate::graph::{Graph, Group, Role};
use crate::kind::{AnyKind, Found, Readiness};
use crate::refresh::{World, field_of, with_generation};
use crate::state::{Record, State, Status};
use crate::value::{Address, Output, as_output, bind, outputs};
use crate::world::Kinds;

/// A step without its place in the order.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    pub(super) action: Action,
    pub(super) address: Address,
    pub(super) group: Group,
    pub(super) id: Option<String>,
    pub(super) props: Value,
    pub(super) needs: BTreeSet<Address>,
    pub(super) generation: u32,
    pub(super) precious: bool,
    pub(super) changes: Vec<PlannedChange>,
    pub(super) because: Option<String>,
    /// The new object cannot be made while the old one is there.
    pub(super) collides: bool,
}

#[derive(Default)]
pub(super) struct Decisions {
    pub(super) drafts: Vec<Draft>,
    pub(super) unchanged: usize,
    pub(super) related: Vec<Relation>,
    pub(super) notes: Vec<Note>,
}

pub(super) fn decide(
    graph: &Graph,
    state: &State,
    world: &World,
    kinds: Kinds,
) -> Result<Decisions, Vec<Problem>> {
    let mut pass = Pass::new(graph, state, world, kinds);
    for error in graph.check().err().unwrap_or_default() {
        let address = Address::new("graph", &graph.stack);
        pass.problem(&address, error.to_string(), None);
    }
    if pass.problems.is_empty() {
        for address in parents_first(graph) {
            pass.node(&address);
        }
        pass.leftovers();
    }
    if pass.problems.is_empty() { Ok(pass.out) } else { Err(pass.problems) }
}

/// The graph's addresses so that each comes after all it needs or is checked against; by name where that leaves a choice.
pub fn parents_first(graph: &Graph) -> Vec<Address> {
    let mut order = Vec::new();
    let mut done = BTreeSet::new();
    for address in graph.nodes.keys() {
        visit(graph, address, &mut done, &mut order);
    }
    order
}

fn visit(graph: &Graph, at: &Address, done: &mut BTreeSet<Address>, order: &mut Vec<Address>) {
    if !done.insert(at.clone()) {
        return;
    }
    let Some(node) = graph.nodes.get(at) else { return };
    let mut before = node.needs();
    if let Role::Used { expect, .. } = &node.role {
        let named = expect.iter().flat_map(|expect| outputs(&expect.equals));
        before.extend(named.map(|output| output.address));
    }
    for need in before {
        visit(graph, &need, done, order);
    }
    order.push(at.clone());
}

struct Pass<'a> {
    graph: &'a Graph,
    state: &'a State,
    world: &'a World,
    kinds: Kinds,
    /// The object each address will stand for, if it is not made anew.
    kept: BTreeMap<Address, (String, &'a Value)>,
    /// What is known in advance of objects that are made anew because they are gone.
    reborn: BTreeMap<Address, Vec<(&'static str, String)>>,
    out: Decisions,
    problems: Vec<Problem>,
}

impl<'a> Pass<'a> {
    fn new(graph: &'a Graph, state: &'a State, world: &'a World, kinds: Kinds) -> Self {
        Pass {
            graph,
            state,
            world,
            kinds,
            kept: BTreeMap::new(),
            reborn: BTreeMap::new(),
            out: Decisions::default(),
            problems: Vec::new(),
        }
    }

    fn problem(&mut self, address: &Address, message: String, help: Option<&str>) {
        let help = help.map(str::to_owned);
        let (address, fields) = (address.clone(), Vec::new());
        self.problems.push(Problem { address, fields, message, help });
    }

    /// A problem with certain fields.
    fn refuse(
        &mut self,
        address: &Address,
        changes: &[&PlannedChange],
        message: String,
        help: &str,
    ) {
        let fields = changes.iter().map(|c| c.field.clone()).collect();
        let (address, help) = (address.clone(), Some(help.to_owned()));
        self.problems.push(Problem { address, fields, message, help });
    }

    fn kind(&mut self, address: &Address) -> Option<&'static dyn AnyKind> {
        let kind = self.kinds.get(address.kind());
        if kind.is_none() {
            let message = format!("this version of dbxctl does not know `{}`", address.kind());
            self.problem(address, message, Some("use the version that wrote the state"));
        }
        kind
    }

    fn known(&self, output: &Output) -> Option<Value> {
        if let Some((id, seen)) = self.kept.get(&output.address) {
            return field_of(id, seen, &output.field);
        }
        let reborn = self.reborn.get(&output.address)?;
        let known = reborn.iter().find(|(field, _)| *field == output.field);
        known.map(|(_, value)| Value::String(value.clone()))
    }

    fn node(&mut self, address: &Address) {
        let Some(kind) = self.kind(address) else { return };
        let node = &self.graph.nodes[address];
        match &node.role {
            Role::Used { id, expect } => {
                let assumed = self.world.remembered.then_some(&Value::Null);
                let Some(seen) = self.world.seen(address, id).or(assumed) else {
                    let message = format!("`{id}` does not exist, or cannot be seen from here");
                    return self.problem(address, message, Some("correct the id in the spec"));
                };
                for expect in expect.iter().filter(|_| !self.world.remembered) {
                    let want = bind(&expect.equals, &|o| self.known(o));
                    let have = seen.get(&expect.field).cloned().unwrap_or(Value::Null);
                    if outputs(&want).is_empty() && want != have {
                        let (field, why) = (&expect.field, &expect.because);
                        let message =
                            format!("`{id}` has {field} {have}, but it must be {want}: {why}");
                        self.problem(address, message, Some("dbxctl never changes objects it only uses: change it yourself, or use another"));
                    }
                }
                if let Some(record) = self.state.resources.get(address) {
                    self.given_up(address, record, id);
                }
                self.kept.insert(address.clone(), (id.clone(), seen));
            }
            Role::Managed { props } => self.managed(kind, address, props),
        }
    }

    /// What was made at an address where the spec now uses the object `used`.
    fn given_up(&mut self, address: &Address, record: &Record, used: &str) {
        if record.id.as_deref().is_none_or(|id| id == used) && record.deposed.is_empty() {
            // The very object: from now on it is only used.
            return self.forget(address, record, None);
        }
        self.removed(address, record, "the spec uses another object instead");
    }

    fn managed(&mut self, kind: &'static dyn AnyKind, address: &Address, props: &Value) {
        let record = self.state.resources.get(address);
        let generation = record.map_or(1, |r| r.generation);
        let props = with_generation(self.kinds, address, props, generation);
        let node = &self.graph.nodes[address];
        let fresh = Draft {
            action: Action::Create,
            address: address.clone(),
            group: node.group.clone(),
            id: None,
            props: bind(&props, &|o| self.known(o)),
            needs: node.needs(),
            generation,
            precious: kind.precious(),
            changes: Vec::new(),
            because: None,
            collides: false,
        };
        match record.and_then(|r| Some((r, r.id.as_deref()?))) {
            None => self.without_id(kind, fresh),
            Some((record, id)) => match self.world.seen(address, id) {
                Some(seen) => self.existing(kind, fresh, Some(record), id, seen),
                None => {
                    let because = match record.status {
                        Status::Settled => DELETED_OUTSIDE,
                        _ => "it is gone",
                    };
                    self.make_anew(kind, Draft { because: Some(because.to_owned()), ..fresh });
                }
            },
        }
        if let Some(record) = record {
            self.deposed(address, record);
        }
    }

    /// A resource the state has no id for: looked for by mark or name.
    fn without_id(&mut self, kind: &'static dyn AnyKind, fresh: Draft) {
        let address = fresh.address.clone();
        let found = self.world.found.get(&address).map_or(&[][..], Vec::as_slice);
        let Role::Managed { props } = &self.graph.nodes[&address].role else { return };
        let generations = self.world.generations(kind, &address, props);
        match (found, generations.as_deref()) {
            (_, Some([])) => self.make_anew(kind, fresh),
            (_, Some([(generation, id)])) => {
                let Some(seen) = self.world.seen(&address, id) else {
                    return self.make_anew(kind, fresh);
                };
                let props = with_generation(self.kinds, &address, props, *generation);
                let props = bind(&props, &|o| self.known(o));
                let fresh = Draft { generation: *generation, props, ..fresh };
                self.existing(kind, fresh, None, id, seen);
            }
            (_, Some(several)) => {
                let ids: Vec<&str> = several.iter().map(|(_, id)| *id).collect();
                let message = format!(
                    "the state does not know it, but a replacement has left {}",
                    ids.join(", ")
                );
                self.problem(
                    &address,
                    message,
                    Some("restore what is known with `dbxctl state rebuild`"),
                );
            }
            ([Found::Foreign(id)], None) => self.problem(
                &address,
                format!("`{id}` exists already and was not made by this stack"),
                Some("give it another name in the spec, or use it by its id"),
            ),
            (several, None) => {
                let ids: Vec<&str> = several.iter().map(|f| f.id().as_str()).collect();
                self.problem(
                    &address,
                    format!("more than one object carries its mark: `{}`", ids.join("`, `")),
                    Some("delete those that are not in use, or remove their `dbxctl:` tags"),
                );
            }
        }
    }

    /// A resource whose object, if it ever had one, is gone.
    fn make_anew(&mut self, kind: &'static dyn AnyKind, fresh: Draft) {
        let address = fresh.address.clone();
        let last = self.state.resources.get(&address).filter(|r| !r.seen.is_null());
        match last.map(|r| kind.reborn(&fresh.props, &r.seen)).transpose() {
            Ok(known) => self.reborn.extend(known.map(|known| (address, known))),
            Err(e) => return self.problem(&address, e.message, None),
        }
        self.out.drafts.push(fresh);
    }

    /// A resource whose object `id` is there; `fresh` is what making it anew would be.
    fn existing(
        &mut self,
        kind: &'static dyn AnyKind,
        fresh: Draft,
        record: Option<&Record>,
        id: &str,
        seen: &'a Value,
    ) {
        let address = fresh.address.clone();
        let compared = kind.diff(&fresh.props, seen).and_then(|mut diff| {
            if let Some(record) = record {
                diff.changes.extend(kind.diff_unread(&fresh.props, &record.props)?.changes);
            }
            Ok((diff, kind.readiness(seen)?, kind.collides(&fresh.props, seen)?))
        });
        let (diff, readiness, collides) = match compared {
            Ok(compared) => compared,
            Err(e) => return self.problem(&address, e.message, None),
        };
        let failed = match &readiness {
            Readiness::Failed(why) => Some(why.as_str()),
            _ => None,
        };
        if let Some(why) = failed
            && kind.precious()
            && diff.is_empty()
        {
            let message = format!("`{id}` has failed: {why}");
            return self.problem(
                &address,
                message,
                Some("repair or delete it yourself; dbxctl deletes no such object without being told"),
            );
        }
        let replaces = diff.replaces() || (failed.is_some() && !kind.precious());
        let changes = explain(diff, &fresh.props, record);
        let (impossible, changes): (Vec<_>, Vec<_>) =
            changes.into_iter().partition(|c| c.effect == Effect::Never);
        if impossible.iter().any(|change| self.impossible(&address, change)) {
            return;
        }
        if replaces && kind.precious() && !self.graph.deletion_allowed.contains(&fresh.group) {
            let forcing: Vec<_> = changes.iter().filter(|c| c.effect == Effect::Replace).collect();
            let fields: Vec<String> = forcing.iter().map(|c| told(c)).collect();
            let fields = fields.join("; ");
            let message =
                format!("{fields}; a new one in place of `{id}` would lose what that holds");
            let ways: BTreeSet<&str> =
                forcing.iter().filter_map(|c| c.meaning.way_out.as_deref()).collect();
            let ways = ways.into_iter().chain([CONSENT]).collect::<Vec<_>>().join("; ");
            return self.refuse(&address, &forcing, message, &ways);
        }
        let settled = record.is_some_and(|r| r.status == Status::Settled);
        let waiting = matches!(readiness, Readiness::Pending(_));
        let (action, because) = if replaces {
            (Action::Replace, failed.map(|why| format!("it has failed: {why}")))
        } else if record.is_none() {
            let because = "it carries this stack's mark, but the state does not know it";
            (Action::Adopt, Some(because.to_owned()))
        } else if !changes.is_empty() {
            (Action::Update, None)
        } else if !settled || waiting {
            (Action::Finish, Some("an earlier apply did not get to the end of it".to_owned()))
        } else {
            self.out.unchanged += 1;
            self.kept.insert(address.clone(), (id.to_owned(), seen));
            if let Some(record) = record {
                self.relate(&address, record, &fresh.group, fresh.needs);
            }
            return;
        };
        if !replaces {
            self.kept.insert(address, (id.to_owned(), seen));
        }
        let id = Some(id.to_owned());
        self.out.drafts.push(Draft { action, id, changes, because, collides, ..fresh });
    }

    /// A difference that nothing can remove. One that the spec asks for is a problem (`true`).
    fn impossible(&mut self, address: &Address, change: &PlannedChange) -> bool {
        if change.why == Why::Drift {
            let message = format!("{}, and stays as it is", told(change));
            self.out.notes.push(Note { address: address.clone(), message });
            return false;
        }
        let way_out = change.meaning.way_out.as_deref().unwrap_or("undo the change");
        self.refuse(address, &[change], told(change), way_out);
        true
    }

    fn relate(
        &mut self,
        address: &Address,
        record: &Record,
        group: &Group,
        needs: BTreeSet<Address>,
    ) {
        if record.needs != needs || record.group != *group {
            let (address, group) = (address.clone(), group.clone());
            let (forget, leaves) = (false, None);
            self.out.related.push(Relation { address, group, needs, forget, leaves });
        }
    }

    /// The object of ours at an address, if it is there.
    fn object(&self, address: &Address, record: &Record) -> Option<String> {
        let found = || {
            let ours = self.world.found.get(address)?.iter().find(|f| f.is_ours())?;
            Some(ours.id().clone())
        };
        let id = record.id.clone().or_else(found)?;
        self.world.seen(address, &id).is_some().then_some(id)
    }

    fn forget(&mut self, address: &Address, record: &Record, leaves: Option<String>) {
        let (address, group) = (address.clone(), record.group.clone());
        let (needs, forget) = (BTreeSet::new(), true);
        self.out.related.push(Relation { address, group, needs, forget, leaves });
    }

    /// What an earlier create-first replacement has left to remove.
    fn deposed(&mut self, address: &Address, record: &Record) {
        for old in &record.deposed {
            let because = "its replacement is in place";
            self.delete(address, record, Some(old.id.clone()), old.needs.clone(), because);
        }
    }

    /// What the state knows and the spec no longer asks for.
    fn leftovers(&mut self) {
        for (address, record) in &self.state.resources {
            if self.graph.nodes.contains_key(address) {
                continue;
            }
            if self.graph.forget.iter().any(|part| part.holds(&record.group, address)) {
                let leaves = self.object(address, record);
                self.forget(address, record, leaves);
                continue;
            }
            self.removed(address, record, "it is no longer in the spec");
        }
    }

    /// Removes all objects of an address, if that is allowed.
    fn removed(&mut self, address: &Address, record: &Record, because: &str) {
        let Some(kind) = self.kind(address) else { return };
        self.deposed(address, record);
        let Some(id) = self.object(address, record) else {
            if record.deposed.is_empty() {
                self.forget(address, record, None);
            }
            return;
        };
        if kind.precious() && !self.graph.deletion_allowed.contains(&record.group) {
            let message = format!("`{id}` would be deleted with what it holds: {because}");
            return self.problem(address, message, Some(CONSENT));
        }
        self.delete(address, record, Some(id), record.needs.clone(), because);
    }

    fn delete(
        &mut self,
        address: &Address,
        record: &Record,
        id: Option<String>,
        needs: BTreeSet<Address>,
        because: &str,
    ) {
        let precious = self.kinds.get(address.kind()).is_some_and(AnyKind::precious);
        self.out.drafts.push(Draft {
            action: Action::Delete,
            address: address.clone(),
            group: record.group.clone(),
            id,
            props: Value::Null,
            needs,
            generation: record.generation,
            precious,
            changes: Vec::new(),
            because: Some(because.to_owned()),
            collides: false,
        });
    }
}

/// Why something is made again that the state says is there.
pub(super) const DELETED_OUTSIDE: &str = "it was deleted outside dbxctl";

/// The field that cannot be changed, and why.
fn told(change: &PlannedChange) -> String {
    let field = &change.field;
    match &change.meaning.reason {
        Some(reason) => format!("`{field}` cannot change: {reason}"),
        None => format!("`{field}` cannot change"),
    }
}

const CONSENT: &str = "if you mean it, name the workspace under `allow_deletion` in the spec";

/// Gives each change its reason.
fn explain(diff: Diff, want: &Value, record: Option<&Record>) -> Vec<PlannedChange> {
    let why = |change: &Change| {
        if let Some(Output { address, .. }) = outputs(&change.after).into_iter().next() {
            return Why::Follows(address);
        }
        match record {
            // What is no field of the props is not for the spec to say.
            Some(r) if r.status == Status::Settled => {
                let as_asked = want.get(&change.field) == r.props.get(&change.field);
                if as_asked { Why::Drift } else { Why::Spec }
            }
            Some(_) => Why::Unfinished,
            None => Why::Drift,
        }
    };
    diff.changes
        .into_iter()
        .map(|change| {
            let why = why(&change);
            let Change { field, effect, before, after, meaning } = change;
            debug_assert!(as_output(&before).is_none(), "what was seen holds no references");
            PlannedChange { field, effect, before, after, why, meaning }
        })
        .collect()
}
