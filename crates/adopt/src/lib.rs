//! From running workspaces to a spec and what it owns.
//!
//! ```text
//! clouds ──gather──▶ Gathered ──describe──▶ Spec ──expand──▶ Graph ──bind──▶ ids by address
//!                       ▲                     │ what does not fit is used instead of owned │
//!                       └─────────────────────┴────────────────────────────────────────────┘
//! ```
//!
//! Only gathering does I/O. Nothing in the clouds is ever changed to fit the spec, but for the marks
//! by which dbxctl knows its own again.

mod bind;
mod choose;
mod describe;
mod gather;
mod names;
mod network;
mod part;
mod yaml;

use std::collections::{BTreeMap, BTreeSet};

use engine::{Action, Address, Found, Graph, Kinds, Plan, Role, State, World};
use kinds::aws::security_group_rules::{Peer, SecurityGroupRules};
use kinds::aws::vpc::VpcId;
use serde_json::Value;
use spec::{Label, Spec};

pub use crate::describe::Accounts;
pub use crate::gather::{GatherError, Gathered, account, reach};
pub use crate::part::{Part, Used};
pub use crate::yaml::text;

use crate::bind::{Bound, bind, known};
use crate::choose::{Chooser, use_vpc};
use crate::describe::Describer;
use crate::names::Names;
use crate::network::Inside;

/// Tags that are marks.
const MARK: &str = "dbxctl:";

/// What the user may say about it.
#[derive(Debug, Clone, Default)]
pub struct Wishes {
    /// The name of the stack.
    pub stack: Option<String>,
    /// Own also what other workspaces stand on or another stack has marked.
    pub own_shared: bool,
    /// Ids of objects that are only to be used.
    pub leave: BTreeSet<String>,
}

/// A field that the spec cannot say.
#[derive(Debug, Clone, PartialEq)]
pub struct Misfit {
    pub address: Address,
    /// Empty when there is no such object at all.
    pub field: String,
    pub have: Value,
    pub want: Value,
}

/// An object beside the spec that is left alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    pub kind: String,
    pub id: String,
    pub why: String,
}

/// The outcome.
#[derive(Debug)]
pub struct Adoption {
    pub spec: Spec,
    pub graph: Graph,
    /// Where each object was found.
    pub world: World,
    /// What is owned from now on.
    pub owned: BTreeMap<Address, String>,
    /// What is used, and why.
    pub used: Used,
    /// What cannot be said.
    pub misfits: Vec<Misfit>,
    /// What lies beside it.
    pub left: Vec<Left>,
}

/// Describes what was gathered so that nothing has to change but marks.
pub fn adopt(gathered: &Gathered, accounts: &Accounts, wishes: &Wishes) -> Adoption {
    let names = Names::new(gathered, wishes.stack.as_deref());
    let inside: BTreeMap<VpcId, Inside> = (gathered.vpcs().into_iter())
        .filter_map(|id| Some((id.clone(), Inside::new(gathered, &id)?)))
        .collect();
    let (own_shared, leave) = (wishes.own_shared, &wishes.leave);
    let chooser = Chooser { gathered, names: &names, inside: &inside, own_shared, leave };
    let work = Work { gathered, accounts, names: &names, inside: &inside, own_shared };
    let mut used = chooser.used();
    loop {
        let draft = work.draft(&used);
        let before = used.len();
        work.fall_back(&draft, &mut used);
        if used.len() == before {
            return work.finish(draft, used);
        }
    }
}

struct Work<'a> {
    gathered: &'a Gathered,
    accounts: &'a Accounts,
    names: &'a Names,
    inside: &'a BTreeMap<VpcId, Inside>,
    own_shared: bool,
}

/// A spec, the graph it stands for, and how that fits the clouds.
struct Draft {
    spec: Spec,
    graph: Graph,
    bound: Bound,
    misfits: Vec<Misfit>,
}

impl Work<'_> {
    fn draft(&self, used: &Used) -> Draft {
        let describe = |tags: &BTreeMap<String, String>| {
            let describer = Describer {
                gathered: self.gathered,
                names: self.names,
                accounts: self.accounts,
                used,
                tags,
                inside: self.inside,
            };
            (describer.spec(), describer.seeds())
        };
        // Tags that all have are the stack's, and only what is owned counts: so twice.
        let (spec, seeds) = describe(&BTreeMap::new());
        let graph = blueprint::expand(&spec);
        let bound = bind(&graph, self.gathered, &seeds);
        let (mut spec, seeds) = describe(&self.common_tags(&graph, &bound));
        let graph = blueprint::expand(&spec);
        let bound = bind(&graph, self.gathered, &seeds);
        spec.labels = self.labels(&graph, &bound);
        let graph = blueprint::expand(&spec);
        let bound = bind(&graph, self.gathered, &seeds);
        let misfits = self.misfits(&graph, &bound);
        Draft { spec, graph, bound, misfits }
    }

    /// What the object at an address shows; `None` for what is used or was not found.
    fn owned<'g>(
        &'g self,
        graph: &'g Graph,
        bound: &Bound,
        at: &Address,
    ) -> Option<(&'g Value, &'g Value)> {
        let Role::Managed { props } = &graph.nodes.get(at)?.role else { return None };
        Some((props, self.gathered.seen(at.kind(), bound.get(at)?)?))
    }

    fn common_tags(&self, graph: &Graph, bound: &Bound) -> BTreeMap<String, String> {
        let mut common: Option<BTreeMap<String, String>> = None;
        for address in graph.nodes.keys() {
            let Some((props, seen)) = self.owned(graph, bound, address) else { continue };
            if props.get("tags").is_none() {
                continue;
            }
            let theirs = chosen(seen);
            match &mut common {
                None => common = Some(theirs),
                Some(common) => common.retain(|key, value| theirs.get(key) == Some(value)),
            }
        }
        let mut common = common.unwrap_or_default();
        common.remove("Name");
        common
    }

    /// Names, descriptions and tags that are not those dbxctl gives.
    fn labels(&self, graph: &Graph, bound: &Bound) -> BTreeMap<String, Label> {
        let mut labels = BTreeMap::new();
        for address in graph.nodes.keys() {
            let Some((props, seen)) = self.owned(graph, bound, address) else { continue };
            let differs = |field: &str| {
                let (want, have) = (props.get(field)?.as_str()?, seen.get(field)?.as_str()?);
                (want != have).then(|| have.to_owned())
            };
            let tags = chosen(seen);
            let same = props.get("tags").is_none_or(|_| chosen(props) == tags);
            let label = Label {
                name: differs("name"),
                description: differs("description"),
                tags: (!same).then_some(tags),
            };
            if label != Label::default() {
                labels.insert(address.as_str().to_owned(), label);
            }
        }
        labels
    }

    /// What a plan would change, but for marks: only where it begins, not what follows from it.
    fn misfits(&self, graph: &Graph, bound: &Bound) -> Vec<Misfit> {
        let mut found = Vec::new();
        let mut wrong: BTreeSet<&Address> = BTreeSet::new();
        for address in engine::parents_first(graph) {
            let Some((address, node)) = graph.nodes.get_key_value(&address) else { continue };
            let Role::Managed { props } = &node.role else { continue };
            let roots = engine::outputs(props);
            if roots.iter().any(|o| wrong.contains(&o.address)) {
                wrong.insert(address);
                continue;
            }
            let all = self.differences(graph, bound, address);
            if !all.is_empty() {
                wrong.insert(address);
            }
            found.extend(all);
        }
        found
    }

    fn differences(&self, graph: &Graph, bound: &Bound, address: &Address) -> Vec<Misfit> {
        let misfit = |field: &str, have: Value, want: Value| Misfit {
            address: address.clone(),
            field: field.to_owned(),
            have,
            want,
        };
        let Some((props, seen)) = self.owned(graph, bound, address) else {
            return vec![misfit("", Value::Null, Value::Null)];
        };
        let props = engine::bind(props, &|o| known(bound, self.gathered, o));
        let Some(kind) = kinds::facts().get(address.kind()) else { return Vec::new() };
        match kind.diff(&props, seen) {
            Ok(diff) => (diff.changes.into_iter())
                .filter(|c| !(c.field == "tags" && chosen(&props) == chosen(seen)))
                .map(|c| misfit(&c.field, c.before, c.after))
                .collect(),
            Err(error) => vec![misfit("", Value::Null, Value::String(error.message))],
        }
    }

    /// Uses what does not fit, and what cannot be owned alone.
    fn fall_back(&self, draft: &Draft, used: &mut Used) {
        let before = used.len();
        for misfit in &draft.misfits {
            let Some(node) = draft.graph.nodes.get(&misfit.address) else { continue };
            let part = Part::of(&misfit.address, &node.group);
            let Some(part) = part.filter(|part| !used.contains_key(part)) else { continue };
            let why = match misfit.field.as_str() {
                "" => format!("there is no `{}` as the spec would make it", misfit.address),
                field => {
                    format!("{field} of `{}` is not as the spec would make it", misfit.address)
                }
            };
            self.use_part(part, &why, used);
        }
        if used.len() > before {
            return;
        }
        self.named_by_others(draft, used);
        if used.len() == before && !self.own_shared {
            self.not_alone(draft, used);
        }
    }

    fn use_part(&self, part: Part, why: &str, used: &mut Used) {
        if let Part::Vpc(name) = &part {
            let inside = self.inside.iter().find(|(id, _)| self.names.vpcs.get(*id) == Some(name));
            if let Some((_, inside)) = inside {
                return use_vpc(name, inside, why, self.names.made_here, used);
            }
        }
        used.entry(part).or_insert_with(|| why.to_owned());
    }

    /// The ids of a kind that the draft owns.
    fn owned_ids<'d>(&self, draft: &'d Draft, kind: &str) -> BTreeSet<&'d str> {
        let owned = draft.bound.iter().filter(|(address, _)| {
            let node = draft.graph.nodes.get(*address);
            address.kind() == kind && node.is_some_and(|n| matches!(n.role, Role::Managed { .. }))
        });
        owned.map(|(_, id)| id.as_str()).collect()
    }

    /// A group that rules elsewhere name cannot go without them.
    fn named_by_others(&self, draft: &Draft, used: &mut Used) {
        let own_rules = self.owned_ids(draft, "aws.security_group_rules");
        let groups = self.owned_ids(draft, "aws.security_group");
        for (id, seen) in self.gathered.all::<SecurityGroupRules>() {
            if own_rules.contains(id.0.as_str()) {
                continue;
            }
            for rule in seen.ingress.iter().chain(&seen.egress) {
                let Peer::Group(engine::Ref::Known(group)) = &rule.peer else { continue };
                if !groups.contains(group.0.as_str()) {
                    continue;
                }
                let bound = draft
                    .bound
                    .iter()
                    .find(|(a, i)| a.kind() == "aws.security_group" && **i == group.0);
                let part = bound.and_then(|(address, _)| {
                    Part::of(address, &draft.graph.nodes.get(address)?.group)
                });
                let why = format!("rules of `{}`, which is not owned, name it", id.0);
                if let Some(part) = part {
                    self.use_part(part, &why, used);
                }
            }
        }
    }

    /// A VPC is owned only with everything in it.
    fn not_alone(&self, draft: &Draft, used: &mut Used) {
        for (id, name) in &self.names.vpcs {
            let part = Part::Vpc(name.clone());
            if used.contains_key(&part) {
                continue;
            }
            if let Some(other) = self.beside(draft, id).first() {
                let why = format!(
                    "not all in it can be owned: {} `{}` {}",
                    other.kind, other.id, other.why
                );
                self.use_part(part, &why, used);
            }
        }
    }

    /// Objects in a VPC that the draft does not own.
    fn beside(&self, draft: &Draft, vpc: &VpcId) -> Vec<Left> {
        let mut left = Vec::new();
        let kinds = [
            "aws.subnet",
            "aws.nat_gateway",
            "aws.internet_gateway",
            "aws.vpc_endpoint",
            "aws.vpc_peering",
            "aws.security_group",
            "aws.route_table",
        ];
        for kind in kinds {
            let owned = self.owned_ids(draft, kind);
            let used: BTreeSet<&String> = draft.bound.values().collect();
            for (id, seen) in self.gathered.raw(kind) {
                let field = |name: &str| seen.get(name).and_then(Value::as_str);
                let subnet = field("subnet").and_then(|s| self.gathered.seen("aws.subnet", s));
                let at = field("vpc").or_else(|| subnet?.get("vpc")?.as_str());
                // Every VPC has these; nobody made them.
                let inborn = match kind {
                    "aws.security_group" => field("name") == Some("default"),
                    "aws.route_table" => {
                        let empty = |f: &str| match seen.get(f) {
                            Some(Value::Array(items)) => items.is_empty(),
                            Some(Value::Object(fields)) => fields.is_empty(),
                            _ => true,
                        };
                        empty("subnets") && empty("routes") && names::mark(seen).is_none()
                    }
                    _ => false,
                };
                if at == Some(&vpc.0) && !inborn && !owned.contains(id.as_str()) {
                    let why = if used.contains(id) { "is only used" } else { "is not in the spec" };
                    let (kind, id) = (kind.to_owned(), id.clone());
                    left.push(Left { kind, id, why: why.to_owned() });
                }
            }
        }
        left
    }

    fn finish(&self, draft: Draft, mut used: Used) -> Adoption {
        let mut left = Vec::new();
        for (id, name) in &self.names.vpcs {
            let owned = !used.contains_key(&Part::Vpc(name.clone()));
            left.extend(self.beside(&draft, id).into_iter().filter(|_| owned));
        }
        used.retain(|part, _| self.said(&draft, part));
        let Draft { spec, graph, bound, misfits } = draft;
        let mut world = self.gathered.world();
        let mut owned = BTreeMap::new();
        for (address, id) in bound {
            let role = graph.nodes.get(&address).map(|n| &n.role);
            if matches!(role, Some(Role::Managed { .. })) {
                world.found.insert(address.clone(), vec![Found::Ours(id.clone())]);
                owned.insert(address, id);
            }
        }
        Adoption { spec, graph, world, owned, used, misfits, left }
    }

    /// Whether a part that is used is there at all: a VPC without endpoints uses none.
    fn said(&self, draft: &Draft, part: &Part) -> bool {
        match part {
            Part::EndpointSubnets(vpc) => {
                let vpc = draft.spec.vpcs.get(vpc).and_then(|v| v.endpoint_subnets.as_ref());
                vpc.is_some_and(|s| !s.existing.is_empty())
            }
            Part::EndpointGroup(vpc) => {
                draft.spec.vpcs.get(vpc).is_some_and(|v| v.endpoint_group.is_some())
            }
            Part::Nat(vpc) => {
                let inside =
                    self.inside.iter().find(|(id, _)| self.names.vpcs.get(*id) == Some(vpc));
                inside.is_some_and(|(_, inside)| !inside.nats.is_empty())
            }
            _ => true,
        }
    }
}

impl Adoption {
    /// The plan that takes everything over: it sets marks and changes nothing else.
    ///
    /// What would change more is left out and told with the misfits.
    pub fn plan(&mut self, state: &State, kinds: Kinds) -> Result<Plan, Vec<engine::Problem>> {
        let mut plan = engine::plan(&self.graph, state, &self.world, kinds)?;
        let mut bad: BTreeSet<usize> = BTreeSet::new();
        for step in &plan.steps {
            let seen = step.id.as_ref().and_then(|id| self.world.seen(&step.address, id));
            let marks_only = step.changes.iter().all(|c| {
                c.field == "tags" && seen.is_some_and(|s| chosen(s) == chosen(&step.props))
            });
            if step.action != Action::Adopt || !marks_only || !step.after.is_disjoint(&bad) {
                bad.insert(step.step);
                if !self.misfits.iter().any(|m| m.address == step.address) {
                    let address = step.address.clone();
                    let (field, have, want) = match step.changes.first() {
                        Some(c) => (c.field.clone(), c.before.clone(), c.after.clone()),
                        None => (String::new(), Value::Null, Value::Null),
                    };
                    self.misfits.push(Misfit { address, field, have, want });
                }
            }
        }
        for step in plan.steps.iter().filter(|s| bad.contains(&s.step)) {
            self.owned.remove(&step.address);
        }
        plan.steps.retain(|s| !bad.contains(&s.step));
        Ok(plan)
    }
}

/// The tags somebody chose: all but marks.
fn chosen(object: &Value) -> BTreeMap<String, String> {
    let tags = object.get("tags").and_then(Value::as_object).into_iter().flatten();
    let tags = tags.filter(|(key, _)| !key.starts_with(MARK));
    tags.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}
