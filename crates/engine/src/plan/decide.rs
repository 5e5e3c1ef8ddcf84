//! What each resource needs, by itself: made, changed, replaced, removed, or nothing.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Action, PlannedChange, Problem, Relation, Why};
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
        pass.problems.push(Problem { address, message: error.to_string(), help: None });
    }
    if pass.problems.is_empty() {
        for address in parents_first(graph) {
            pass.node(&address);
        }
        pass.leftovers();
    }
    if pass.problems.is_empty() { Ok(pass.out) } else { Err(pass.problems) }
}

/// The graph's addresses so that each comes after all it needs; by name where that leaves a choice.
fn parents_first(graph: &Graph) -> Vec<Address> {
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
    for need in graph.nodes.get(at).map(crate::graph::Node::needs).unwrap_or_default() {
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
            out: Decisions::default(),
            problems: Vec::new(),
        }
    }

    fn problem(&mut self, address: &Address, message: String, help: Option<&str>) {
        let help = help.map(str::to_owned);
        self.problems.push(Problem { address: address.clone(), message, help });
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
        let (id, seen) = self.kept.get(&output.address)?;
        field_of(id, seen, &output.field)
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
                    self.relate(address, record, &record.group.clone(), BTreeSet::new(), true);
                }
                self.kept.insert(address.clone(), (id.clone(), seen));
            }
            Role::Managed { props } => self.managed(kind, address, props),
        }
    }

    fn managed(&mut self, kind: &'static dyn AnyKind, address: &Address, props: &Value) {
        let record = self.state.resources.get(address);
        let generation = record.map_or(1, |r| r.generation);
        let want = with_generation(self.kinds, address, props, generation);
        let want = bind(&want, &|o| self.known(o));
        match record.and_then(|r| r.id.clone().map(|id| (r, id))) {
            None => self.without_id(kind, address, want, generation),
            Some((record, id)) => match self.world.seen(address, &id) {
                Some(seen) => {
                    self.existing(kind, address, want, Some(record), id, seen, generation)
                }
                None => {
                    let because = match record.status {
                        Status::Settled => "it was deleted outside dbxctl",
                        _ => "it is gone",
                    };
                    self.draft(
                        kind,
                        Action::Create,
                        address,
                        None,
                        want,
                        generation,
                        Vec::new(),
                        Some(because),
                    );
                }
            },
        }
    }

    fn without_id(
        &mut self,
        kind: &'static dyn AnyKind,
        address: &Address,
        want: Value,
        generation: u32,
    ) {
        match self.world.found.get(address).map(Vec::as_slice) {
            None | Some([]) => {
                self.draft(kind, Action::Create, address, None, want, generation, Vec::new(), None);
            }
            Some([Found::Ours(id)]) => {
                let Some(seen) = self.world.seen(address, id) else {
                    return self.draft(
                        kind,
                        Action::Create,
                        address,
                        None,
                        want,
                        generation,
                        Vec::new(),
                        None,
                    );
                };
                self.existing(kind, address, want, None, id.clone(), seen, generation);
                if let Some(record) = self.state.resources.get(address) {
                    self.deposed(address, record);
                }
            }
            Some([Found::Foreign(id)]) => self.problem(
                address,
                format!("`{id}` exists already and was not made by this stack"),
                Some("give it another name in the spec, or use it by its id"),
            ),
            Some(several) => {
                let ids: Vec<String> = several.iter().map(|f| f.clone().into_id()).collect();
                self.problem(
                    address,
                    format!("more than one object carries its mark: {}", ids.join(", ")),
                    Some("delete those that are not in use, or remove their `dbxctl:` tags"),
                );
            }
        }
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "one call site each way; a struct would only rename them"
    )]
    fn existing(
        &mut self,
        kind: &'static dyn AnyKind,
        address: &Address,
        want: Value,
        record: Option<&Record>,
        id: String,
        seen: &'a Value,
        generation: u32,
    ) {
        let compared = kind.diff(&want, seen).and_then(|mut diff| {
            if let Some(record) = record {
                diff.changes.extend(kind.diff_unread(&want, &record.props)?.changes);
            }
            Ok((diff, kind.readiness(seen)?))
        });
        let (diff, readiness) = match compared {
            Ok(compared) => compared,
            Err(e) => return self.problem(address, e.message, None),
        };
        let failed = match &readiness {
            Readiness::Failed(why) => Some(why.clone()),
            _ => None,
        };
        if let Some(why) = &failed
            && kind.precious()
            && diff.is_empty()
        {
            let message = format!("`{id}` has failed: {why}");
            return self.problem(address, message, Some("repair or delete it yourself; dbxctl deletes no such object without being told"));
        }
        let replaces = diff.replaces() || (failed.is_some() && !kind.precious());
        let changes = explain(diff, &want, record);
        if replaces {
            if kind.precious()
                && !self.graph.deletion_allowed.contains(&self.graph.nodes[address].group)
            {
                let fields: Vec<&str> = changes
                    .iter()
                    .filter(|c| c.effect == Effect::Replace)
                    .map(|c| c.field.as_str())
                    .collect();
                let message = format!(
                    "changing {} would replace `{id}` and lose what it holds",
                    fields.join(", ")
                );
                return self.problem(address, message, Some(CONSENT));
            }
            let collides = kind.collides(&want, seen).unwrap_or(true);
            let because = failed.map(|why| format!("it has failed: {why}"));
            self.draft(
                kind,
                Action::Replace,
                address,
                Some(id),
                want,
                generation,
                changes,
                because.as_deref(),
            );
            if let Some(draft) = self
                .out
                .drafts
                .iter_mut()
                .rev()
                .find(|d| d.action == Action::Replace && d.address == *address)
            {
                draft.collides = collides;
            }
            return;
        }
        let settled = record.is_some_and(|r| r.status == Status::Settled);
        let waiting = matches!(readiness, Readiness::Pending(_));
        self.kept.insert(address.clone(), (id.clone(), seen));
        if record.is_none() {
            let because = Some("it carries this stack's mark, but the state does not know it");
            self.draft(kind, Action::Adopt, address, Some(id), want, generation, changes, because);
        } else if !changes.is_empty() {
            self.draft(kind, Action::Update, address, Some(id), want, generation, changes, None);
        } else if !settled || waiting {
            let because = Some("an earlier apply did not get to the end of it");
            self.draft(kind, Action::Finish, address, Some(id), want, generation, changes, because);
        } else {
            self.out.unchanged += 1;
            if let Some(record) = record {
                let node = &self.graph.nodes[address];
                self.relate(address, record, &node.group, node.needs(), false);
            }
        }
        if let Some(record) = record {
            self.deposed(address, record);
        }
    }

    fn relate(
        &mut self,
        address: &Address,
        record: &Record,
        group: &Group,
        needs: BTreeSet<Address>,
        forget: bool,
    ) {
        if forget || record.needs != needs || record.group != *group {
            let (address, group) = (address.clone(), group.clone());
            self.out.related.push(Relation { address, group, needs, forget });
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of a draft")]
    fn draft(
        &mut self,
        kind: &'static dyn AnyKind,
        action: Action,
        address: &Address,
        id: Option<String>,
        props: Value,
        generation: u32,
        changes: Vec<PlannedChange>,
        because: Option<&str>,
    ) {
        let node = &self.graph.nodes[address];
        self.out.drafts.push(Draft {
            action,
            address: address.clone(),
            group: node.group.clone(),
            id,
            props,
            needs: node.needs(),
            generation,
            precious: kind.precious(),
            changes,
            because: because.map(str::to_owned),
            collides: false,
        });
        let fresh = matches!(action, Action::Create | Action::Replace);
        if fresh && let Some(record) = self.state.resources.get(address) {
            self.deposed(address, record);
        }
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
            let Some(kind) = self.kind(address) else { continue };
            let id = record.id.clone().or_else(|| {
                let found = self.world.found.get(address)?;
                found.iter().find_map(|f| match f {
                    Found::Ours(id) => Some(id.clone()),
                    Found::Foreign(_) => None,
                })
            });
            self.deposed(address, record);
            let exists = id.as_ref().is_some_and(|id| self.world.seen(address, id).is_some());
            if !exists {
                if record.deposed.is_empty() {
                    self.relate(address, record, &record.group, BTreeSet::new(), true);
                }
                continue;
            }
            if kind.precious() && !self.graph.deletion_allowed.contains(&record.group) {
                let message = format!(
                    "`{}` is no longer in the spec; deleting it would lose what it holds",
                    id.unwrap_or_default()
                );
                self.problem(address, message, Some(CONSENT));
                continue;
            }
            self.delete(address, record, id, record.needs.clone(), "it is no longer in the spec");
        }
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

const CONSENT: &str = "if you mean it, name the workspace under `allow_deletion` in the spec";

/// Gives each change its reason.
fn explain(diff: Diff, want: &Value, record: Option<&Record>) -> Vec<PlannedChange> {
    let why = |change: &Change| {
        let wanted = want.get(&change.field).unwrap_or(&change.after);
        if let Some(Output { address, .. }) = outputs(&change.after).into_iter().next() {
            return Why::Follows(address);
        }
        match record {
            Some(r) if r.status == Status::Settled => {
                let last = r.props.get(&change.field);
                if last == Some(wanted) { Why::Drift } else { Why::Spec }
            }
            Some(_) => Why::Unfinished,
            None => Why::Drift,
        }
    };
    diff.changes
        .into_iter()
        .map(|change| {
            let why = why(&change);
            let Change { field, effect, before, after } = change;
            debug_assert!(as_output(&before).is_none(), "what was seen holds no references");
            PlannedChange { field, effect, before, after, why }
        })
        .collect()
}
