//! Steps with one meaning under one headline.
//!
//! A headline begins at the steps whose changes say what they mean to users, and at precious objects
//! that go. To it belongs what causes these steps and what follows from them: new objects they refer
//! to, objects that must be made anew with those, and what is let go of. A step that others would
//! make as well (an update, or something of another workspace) is never a bridge from one headline to
//! another; headlines that share a new or a removed object are one.

use std::collections::{BTreeMap, BTreeSet};

use super::{Action, Headline, Step, Why};
use crate::diff::{Consequence, Impact, Meaning};
use crate::graph::{Graph, Group, Node, Role};
use crate::state::State;
use crate::value::{Address, outputs};

/// The headlines of a plan, in the order of their first steps.
pub(super) fn headlines(steps: &[Step], graph: &Graph, state: &State) -> Vec<Headline> {
    let ties = Ties::new(steps, state);
    let mut bundles: Vec<Bundle> = Vec::new();
    for (index, _) in steps.iter().enumerate().filter(|(_, step)| is_subject(step)) {
        let mut bundle = ties.bundle(index, steps);
        let (touching, apart): (Vec<Bundle>, Vec<Bundle>) =
            bundles.into_iter().partition(|other| !other.core.is_disjoint(&bundle.core));
        bundles = apart;
        for other in touching {
            bundle.subjects.extend(other.subjects);
            bundle.core.extend(other.core);
            bundle.edge.extend(other.edge);
        }
        bundles.push(bundle);
    }
    bundles.sort_by_key(|bundle| bundle.core.first().copied());
    let mut taken: BTreeSet<usize> = bundles.iter().flat_map(|b| &b.core).copied().collect();
    let mut result = Vec::new();
    for Bundle { subjects, core, edge } in bundles {
        let edge: BTreeSet<usize> = edge.into_iter().filter(|index| taken.insert(*index)).collect();
        result.push(headline(&subjects, &core, &edge, steps, graph));
    }
    result
}

/// Whether a headline begins here.
fn is_subject(step: &Step) -> bool {
    let loses = match step.action {
        Action::Delete => step.precious && !step.replacing,
        action => step.precious && action == Action::Replace,
    };
    let speaks = |m: &Meaning| m.headline.is_some() || !m.impacts.is_empty();
    loses || step.changes.iter().any(|change| speaks(&change.meaning))
}

fn headline_words(step: &Step) -> impl Iterator<Item = &str> {
    step.changes.iter().filter_map(|change| change.meaning.headline.as_deref())
}

/// The steps of one headline, by index.
struct Bundle {
    subjects: BTreeSet<usize>,
    /// What nothing else would make or remove.
    core: BTreeSet<usize>,
    /// Updates that follow from it, maybe from something else too.
    edge: BTreeSet<usize>,
}

/// Which steps are there because of which, both ways.
struct Ties {
    near: Vec<BTreeSet<usize>>,
    /// Where new objects are needed from.
    causes: Vec<BTreeSet<usize>>,
}

impl Ties {
    fn new(steps: &[Step], state: &State) -> Self {
        let mut ties = Ties {
            near: vec![BTreeSet::new(); steps.len()],
            causes: vec![BTreeSet::new(); steps.len()],
        };
        let makes: BTreeMap<&Address, usize> = (steps.iter().enumerate())
            .filter(|(_, s)| s.action.makes())
            .map(|(index, s)| (&s.address, index))
            .collect();
        let is_new = |index: usize| matches!(steps[index].action, Action::Create | Action::Replace);
        for (index, step) in steps.iter().enumerate() {
            if step.action.makes() {
                for need in followed(step, is_new(index)) {
                    if let Some(&made) = makes.get(&need).filter(|made| is_new(**made)) {
                        ties.tie(index, made);
                        ties.causes[index].insert(made);
                    }
                }
                continue;
            }
            // A removal: its own new object, and those that let go of it.
            if let Some(&made) = makes.get(&step.address) {
                ties.tie(index, made);
            }
            for (user, record) in &state.resources {
                let Some(&user) = makes.get(user).filter(|_| record.needs.contains(&step.address))
                else {
                    continue;
                };
                // Still needed by that address, it is another object from now on.
                let stays = makes.contains_key(&step.address);
                if !stays || !steps[user].needs.contains(&step.address) {
                    ties.tie(index, user);
                }
            }
            for (other, removal) in steps.iter().enumerate() {
                if !removal.action.makes() && removal.needs.contains(&step.address) {
                    ties.tie(index, other);
                }
            }
        }
        ties
    }

    fn tie(&mut self, a: usize, b: usize) {
        self.near[a].insert(b);
        self.near[b].insert(a);
    }

    fn bundle(&self, subject: usize, steps: &[Step]) -> Bundle {
        let own = &steps[subject].group;
        let mut bundle = Bundle {
            subjects: BTreeSet::from([subject]),
            core: BTreeSet::from([subject]),
            edge: BTreeSet::new(),
        };
        let mut open = vec![subject];
        while let Some(at) = open.pop() {
            for &next in &self.near[at] {
                let step = &steps[next];
                let changes =
                    !matches!(step.action, Action::Create | Action::Replace | Action::Delete);
                let foreign = matches!(&step.group, Group::Workspace(_)) && step.group != *own;
                if (foreign && !self.causes[at].contains(&next)) || bundle.core.contains(&next) {
                    continue;
                }
                if changes && !is_subject(step) {
                    bundle.edge.insert(next);
                } else {
                    bundle.core.insert(next);
                    open.push(next);
                }
            }
        }
        bundle
    }
}

/// The resources a step is there for: all it needs when it makes an object, what its changes name
/// when it changes one.
fn followed(step: &Step, is_new: bool) -> BTreeSet<Address> {
    if is_new {
        return step.needs.clone();
    }
    step.changes.iter().flat_map(|c| outputs(&c.after)).map(|output| output.address).collect()
}

fn headline(
    subjects: &BTreeSet<usize>,
    core: &BTreeSet<usize>,
    edge: &BTreeSet<usize>,
    steps: &[Step],
    graph: &Graph,
) -> Headline {
    let of = |indexes: &BTreeSet<usize>| indexes.iter().map(|&i| &steps[i]).collect::<Vec<_>>();
    let (subjects, core) = (of(subjects), of(core));
    let changes = core.iter().flat_map(|step| &step.changes);
    let said = changes.flat_map(|change| change.meaning.impacts.iter().cloned());
    let words = "what it holds is gone for good".to_owned();
    let lost = core.iter().any(|step| step.precious && step.action == Action::Delete);
    let lost = lost.then_some(Consequence { impact: Impact::OneWay, words });
    Headline {
        title: title(&subjects, graph),
        subjects: subjects.iter().map(|step| step.address.clone()).collect(),
        impacts: said.chain(lost).collect(),
        because: reasons(&core),
        steps: core
            .iter()
            .map(|step| step.step)
            .chain(edge.iter().map(|&i| steps[i].step))
            .collect(),
    }
}

/// `wk1, wk2: …, …; wk3: …`: who, and what happens to them.
fn title(subjects: &[&Step], graph: &Graph) -> String {
    let mut whom: Vec<(String, BTreeSet<String>)> = Vec::new();
    for step in subjects {
        let mut words: Vec<String> = headline_words(step).map(str::to_owned).collect();
        if step.precious && step.action == Action::Replace {
            words = vec!["is replaced, and what it holds is lost".to_owned()];
        } else if step.precious && step.action == Action::Delete && !step.replacing {
            words = vec![format!("{} is deleted with what it holds", step.address)];
        }
        for word in words {
            let name = name(step, graph);
            match whom.iter_mut().find(|(same, _)| *same == word) {
                Some((_, names)) => {
                    names.insert(name);
                }
                None => whom.push((word, BTreeSet::from([name]))),
            }
        }
    }
    if whom.is_empty() {
        let names = subjects.iter().map(|step| name(step, graph)).collect();
        whom.push(("changes".to_owned(), names));
    }
    let mut text = String::new();
    let mut last = BTreeSet::new();
    for (word, names) in whom {
        if names == last {
            text += &format!(", {word}");
            continue;
        }
        let list = names.iter().cloned().collect::<Vec<_>>().join(", ");
        let gap = if text.is_empty() { "" } else { "; " };
        text += &format!("{gap}{list}: {word}");
        last = names;
    }
    text
}

/// The workspace, or what is shared and the workspaces that use it.
fn name(step: &Step, graph: &Graph) -> String {
    if let Some(name) = workspace(&step.group) {
        return name.to_owned();
    }
    let users = graph.nodes.values().filter(|node| uses(node, &step.address));
    let names: BTreeSet<&str> = users.filter_map(|node| workspace(&node.group)).collect();
    let names = names.into_iter().collect::<Vec<_>>().join(", ");
    if names.is_empty() { step.address.to_string() } else { format!("{} of {names}", step.address) }
}

fn uses(node: &Node, address: &Address) -> bool {
    matches!(node.role, Role::Managed { .. }) && node.needs().contains(address)
}

fn workspace(group: &Group) -> Option<&str> {
    match group {
        Group::Workspace(name) => Some(name),
        Group::Shared(_) => None,
    }
}

/// Where it all comes from: fields that do not just follow something, and new objects that living
/// ones are to use.
fn reasons(core: &[&Step]) -> Vec<String> {
    let mut reasons = Reasons::default();
    let mut new: BTreeMap<usize, &Step> = BTreeMap::new();
    for step in core {
        for change in &step.changes {
            let field = &change.field;
            let words = match &change.why {
                Why::Spec => format!("the spec asks for another `{field}` of"),
                Why::Drift => format!("somebody changed the `{field}` of"),
                Why::Unfinished => format!("an earlier apply did not get to the `{field}` of"),
                Why::Follows(address) => {
                    let made =
                        core.iter().find(|s| s.address == *address && s.action == Action::Create);
                    new.extend(made.map(|s| (s.step, *s)));
                    continue;
                }
            };
            reasons.add(words, &step.address);
        }
        if step.action == Action::Delete && step.precious && !step.replacing {
            reasons.add("the spec no longer asks for".to_owned(), &step.address);
        }
    }
    let addresses: BTreeSet<&Address> = new.values().map(|step| &step.address).collect();
    for step in new.values().filter(|step| !stands_on(step, &addresses, core)) {
        reasons.add("the spec asks for".to_owned(), &step.address);
    }
    reasons.told()
}

/// Whether the step needs one of the addresses, directly or by way of other steps.
fn stands_on(step: &Step, addresses: &BTreeSet<&Address>, steps: &[&Step]) -> bool {
    let (mut open, mut seen) = (vec![step], BTreeSet::new());
    while let Some(at) = open.pop() {
        if at.needs.iter().any(|need| addresses.contains(need)) {
            return true;
        }
        let below = steps.iter().filter(|s| s.action.makes() && at.needs.contains(&s.address));
        open.extend(below.filter(|s| seen.insert(s.step)));
    }
    false
}

/// Words, and the resources they are about.
#[derive(Default)]
struct Reasons<'a>(Vec<(String, BTreeSet<&'a Address>)>);

impl<'a> Reasons<'a> {
    fn add(&mut self, words: String, address: &'a Address) {
        match self.0.iter_mut().find(|(same, _)| *same == words) {
            Some((_, addresses)) => {
                addresses.insert(address);
            }
            None => self.0.push((words, BTreeSet::from([address]))),
        }
    }

    /// What is about most comes first.
    fn told(mut self) -> Vec<String> {
        self.0.sort_by_key(|(_, about)| std::cmp::Reverse(about.len()));
        let list = |addresses: BTreeSet<&Address>| {
            addresses.into_iter().map(Address::as_str).collect::<Vec<_>>().join(", ")
        };
        self.0.into_iter().map(|(words, about)| format!("{words} {}", list(about))).collect()
    }
}
