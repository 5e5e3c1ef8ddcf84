//! What is no longer as it was last asked for: the state's own records stand in for the spec.

use std::collections::BTreeSet;

use super::{Action, Plan, Problem, Step, decide, order};
use crate::graph::{Graph, Node, Role};
use crate::kind::Mark;
use crate::refresh::{World, without_generation};
use crate::state::{State, Status};
use crate::world::Kinds;

/// What was last asked for and reached, as a graph, and the part of the state that knows it.
///
/// What an apply has left half-way is not in it: that is no drift, and the next apply goes on with it.
#[derive(Debug, Clone)]
pub struct LastAsked {
    pub graph: Graph,
    pub state: State,
}

impl LastAsked {
    /// Takes it out of the state.
    pub fn of(state: &State, kinds: Kinds) -> Result<Self, Vec<Problem>> {
        let mut state = state.clone();
        state.resources.retain(|_, record| record.status == Status::Settled);
        let mut graph = Graph::new(&state.stack);
        let mut problems = Vec::new();
        for (address, record) in &mut state.resources {
            // What waits to go is not asked for.
            record.deposed.clear();
            let props = without_generation(kinds, address, &record.props, record.generation);
            let mark = Mark { stack: graph.stack.clone(), address: address.clone() };
            let marked = match kinds.get(address.kind()) {
                Some(kind) => kind.mark(&props, &mark),
                None => Ok(props),
            };
            match marked {
                Ok(props) => {
                    let (group, after) = (record.group.clone(), BTreeSet::new());
                    let node = Node { group, role: Role::Managed { props }, after };
                    graph.nodes.insert(address.clone(), node);
                }
                Err(e) => {
                    let address = address.clone();
                    problems.push(Problem {
                        address,
                        fields: Vec::new(),
                        message: e.message,
                        help: None,
                    });
                }
            }
        }
        // Looking is always allowed.
        graph.deletion_allowed = state.resources.values().map(|r| r.group.clone()).collect();
        if problems.is_empty() { Ok(LastAsked { graph, state }) } else { Err(problems) }
    }
}

/// What differs between what was last asked for and what is there, as a plan to look at: its steps
/// are in no order and it cannot be applied. Edits of the spec do not show.
pub fn drift(asked: &LastAsked, world: &World, kinds: Kinds) -> Result<Plan, Vec<Problem>> {
    let LastAsked { graph, state } = asked;
    let decisions = decide::decide(graph, state, world, kinds)?;
    // Not ready yet is not changed.
    let drafts = decisions.drafts.into_iter().filter(|d| d.action != Action::Finish);
    let steps = drafts.enumerate().map(|(n, draft)| {
        let replacing = draft.action == Action::Replace;
        Step { step: n + 1, ..order::step(draft, replacing, false, kinds) }
    });
    let steps: Vec<Step> = steps.collect();
    Ok(Plan::of(graph, state, steps, decisions.unchanged))
}
