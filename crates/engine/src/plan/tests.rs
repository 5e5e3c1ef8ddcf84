//! Planner tables, and the order of steps at random.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::diff::Diff;
use crate::graph::{Node, Role};
use crate::kind::{AnyKind, Found, Mark, Readiness, Replace, Waits};
use crate::state::{Record, Status};
use crate::value::{Output, output_json};

/// A kind with a field that can change (`soft`), one that cannot (`fixed`), and references in both.
struct Toy(&'static str, Replace, bool);

impl AnyKind for Toy {
    fn name(&self) -> &'static str {
        self.0
    }
    fn service(&self) -> &'static str {
        "toy"
    }
    fn replace(&self) -> Replace {
        self.1
    }
    fn precious(&self) -> bool {
        self.2
    }
    fn unique(&self) -> bool {
        false
    }
    fn waits(&self) -> Waits {
        Waits::default()
    }
    fn typical(&self, _: Action) -> Option<Duration> {
        None
    }
    fn mark(&self, props: &Value, _: &Mark) -> cloud::Result<Value> {
        Ok(props.clone())
    }
    fn diff(&self, want: &Value, have: &Value) -> cloud::Result<Diff> {
        Ok(Diff::default()
            .replace("name", &want["name"], &have["name"])
            .replace("fixed", &want["fixed"], &have["fixed"])
            .update("soft", &want["soft"], &have["soft"]))
    }
    fn diff_unread(&self, _: &Value, _: &Value) -> cloud::Result<Diff> {
        Ok(Diff::default())
    }
    fn collides(&self, want: &Value, _: &Value) -> cloud::Result<bool> {
        Ok(want["fixed"] == json!(["collides"]))
    }
    fn reborn(&self, want: &Value, last: &Value) -> cloud::Result<Vec<(&'static str, String)>> {
        let natural = |v: &Value| v["natural"].as_str().map(str::to_owned);
        let same = natural(want).filter(|name| natural(last).as_ref() == Some(name));
        Ok(same.map(|name| ("id", name)).into_iter().collect())
    }
    fn readiness(&self, seen: &Value) -> cloud::Result<Readiness> {
        Ok(match seen["state"].as_str() {
            Some("failed") => Readiness::Failed("no luck".into()),
            Some("pending") => Readiness::Pending("pending".into()),
            _ => Readiness::Ready,
        })
    }
}

const TOYS: Kinds = Kinds(&[
    &Toy("t.plain", Replace::DeleteFirst, false),
    &Toy("t.first", Replace::CreateFirst { name: Some("name") }, false),
    &Toy("t.dear", Replace::DeleteFirst, true),
]);

fn at(text: &str) -> Address {
    Address::from(text.to_owned())
}

fn id_of(text: &str) -> Value {
    output_json(&Output { address: at(text), field: "id".into() })
}

fn props(fixed: &[&str], soft: &[&str], v: u32) -> Value {
    let refs = |all: &[&str]| all.iter().map(|a| id_of(a)).collect::<Vec<_>>();
    json!({"name": "n", "fixed": refs(fixed), "soft": {"refs": refs(soft), "v": v}})
}

fn graph(nodes: &[(&str, Value)]) -> Graph {
    let mut graph = Graph::new("s");
    for (address, props) in nodes {
        let role = Role::Managed { props: props.clone() };
        let node = Node { group: Group::Shared("g".into()), role, after: BTreeSet::new() };
        graph.nodes.insert(at(address), node);
    }
    graph
}

/// The state and world after everything in the graph was applied; ids are `id:<address>`.
fn applied(graph: &Graph) -> (State, World) {
    let (mut state, mut world) = (State::new("s", "l".into()), World::default());
    for (address, node) in &graph.nodes {
        let Role::Managed { props } = &node.role else { continue };
        let props = crate::value::bind(props, &|o| Some(json!(format!("id:{}", o.address))));
        let id = format!("id:{address}");
        world.insert(address.kind(), &id, props.clone());
        let record = Record {
            id: Some(id),
            status: Status::Settled,
            group: node.group.clone(),
            generation: 1,
            seen: props.clone(),
            props,
            needs: node.needs(),
            changed_at: Timestamp::UNIX_EPOCH,
            deposed: Vec::new(),
        };
        state.resources.insert(address.clone(), record);
    }
    (state, world)
}

/// `n action address <- steps it waits for; fields with reasons`, one line a step.
fn text(result: Result<Plan, Vec<Problem>>) -> String {
    match result {
        Err(problems) => problems.iter().map(|p| format!("! {p}\n")).collect(),
        Ok(plan) => {
            let mut lines = String::new();
            for s in &plan.steps {
                let after: Vec<String> = s.after.iter().map(ToString::to_string).collect();
                let changes: Vec<String> =
                    s.changes.iter().map(|c| format!("{} {:?}", c.field, c.why)).collect();
                lines += &format!(
                    "{} {:?} {}{} <- [{}] {}\n",
                    s.step,
                    s.action,
                    s.address,
                    if s.generation > 1 { format!("#{}", s.generation) } else { String::new() },
                    after.join(","),
                    changes.join("; "),
                );
            }
            lines
        }
    }
}

#[test]
fn the_planner_in_a_table() {
    let a = ("t.plain/a", props(&[], &[], 1));
    let b = ("t.plain/b", props(&["t.plain/a"], &[], 1));
    let user = ("t.plain/user", props(&[], &["t.first/f"], 1));
    let first = ("t.first/f", props(&[], &[], 1));
    let changed = |v: &(&'static str, Value), field: &str| {
        let mut props = v.1.clone();
        props[field] = json!([field]);
        (v.0, props)
    };
    let dear = ("t.dear/d", props(&[], &[], 1));
    let on_first = ("t.dear/d", props(&[], &["t.first/f"], 1));
    let props_of =
        |fixed: &str| json!({"name": "n", "fixed": [fixed], "soft": {"refs": [], "v": 1}});
    type Nodes = Vec<(&'static str, Value)>;
    let cases: Vec<(&str, Nodes, Nodes)> = vec![
        ("create in order", vec![], vec![b.clone(), a.clone()]),
        ("nothing to do", vec![a.clone(), b.clone()], vec![a.clone(), b.clone()]),
        ("update", vec![a.clone(), b.clone()], vec![("t.plain/a", props(&[], &[], 2)), b.clone()]),
        ("replace cascades", vec![a.clone(), b.clone()], vec![changed(&a, "fixed"), b.clone()]),
        (
            "create first",
            vec![first.clone(), user.clone()],
            vec![changed(&first, "fixed"), user.clone()],
        ),
        ("delete in order", vec![a.clone(), b.clone()], vec![]),
        (
            "let go, then delete",
            vec![first.clone(), user.clone()],
            vec![("t.plain/user", props(&[], &[], 1))],
        ),
        ("precious stays", vec![dear.clone()], vec![]),
        ("precious is not replaced", vec![dear.clone()], vec![changed(&dear, "fixed")]),
        (
            "collides",
            vec![first.clone(), user.clone()],
            vec![("t.first/f", props_of("collides")), user.clone()],
        ),
        (
            "precious is not undermined",
            vec![first.clone(), on_first.clone()],
            vec![("t.first/f", props_of("collides")), on_first.clone()],
        ),
        (
            "precious moves over",
            vec![first.clone(), on_first.clone()],
            vec![changed(&first, "fixed"), on_first.clone()],
        ),
        ("dangling", vec![], vec![b.clone()]),
        ("circle", vec![], vec![("t.plain/a", props(&["t.plain/b"], &[], 1)), b.clone()]),
    ];
    let mut all = String::new();
    for (name, old, new) in cases {
        let (state, world) = applied(&graph(&old));
        all += &format!("# {name}\n{}\n", text(plan(&graph(&new), &state, &world, TOYS)));
    }
    insta::assert_snapshot!(all);
}

#[test]
fn what_the_world_looks_like_decides() {
    let wanted = graph(&[("t.plain/a", props(&[], &[], 1)), ("t.dear/d", props(&[], &[], 1))]);
    let (state, world) = applied(&wanted);
    let a = at("t.plain/a");
    let with = |change: &dyn Fn(&mut State, &mut World)| {
        let (mut state, mut world) = (state.clone(), world.clone());
        change(&mut state, &mut world);
        text(plan(&wanted, &state, &world, TOYS))
    };
    let seen = |v: u32, s: &str| json!({"name": "n", "fixed": [], "soft": {"refs": [], "v": v}, "state": s});
    let mut all = String::new();
    let mut case = |name: &str, change: &dyn Fn(&mut State, &mut World)| {
        all += &format!("# {name}\n{}\n", with(change));
    };
    case("drift", &|_, w| w.insert("t.plain", "id:t.plain/a", seen(9, "")));
    case("gone", &|s, _| s.resources.get_mut(&a).unwrap().id = Some("other".into()));
    case("in doubt, nothing there", &|s, _| {
        let record = s.resources.get_mut(&a).unwrap();
        (record.id, record.status) = (None, Status::Making);
    });
    case("in doubt, one there", &|s, w| {
        let record = s.resources.get_mut(&a).unwrap();
        (record.id, record.status) = (None, Status::Making);
        w.found.insert(a.clone(), vec![Found::Ours("id:t.plain/a".into())]);
    });
    case("in doubt, two there", &|s, w| {
        s.resources.get_mut(&a).unwrap().id = None;
        let twins = ["x1", "x2"].map(|id| Found::Ours(id.to_owned()));
        w.found.insert(a.clone(), twins.to_vec());
    });
    case("state lost, somebody else's there", &|s, w| {
        s.resources.remove(&a);
        w.found.insert(a.clone(), vec![Found::Foreign("x1".into())]);
    });
    case("made but not settled", &|s, _| {
        s.resources.get_mut(&a).unwrap().status = Status::Made;
    });
    case("failed", &|_, w| w.insert("t.plain", "id:t.plain/a", seen(1, "failed")));
    case("failed, but precious", &|_, w| w.insert("t.dear", "id:t.dear/d", seen(1, "failed")));
    insta::assert_snapshot!(all);
}

#[test]
fn what_has_objects_stays_where_it_is() {
    let in_region = |region: &str, wanted: &[(&str, Value)]| {
        let mut graph = graph(wanted);
        graph.home =
            [("account", "1"), ("region", region)].map(|(a, b)| (a.into(), b.into())).into();
        graph
    };
    let here = in_region("here", &[("t.plain/a", props(&[], &[], 1))]);
    let (mut state, world) = applied(&here);
    let there = in_region("there", &[]);
    assert!(plan(&there, &state, &world, TOYS).is_ok(), "nobody knows where an old state is");
    state.home.clone_from(&here.home);
    assert!(plan(&here, &state, &world, TOYS).unwrap().is_empty());
    let problems = plan(&there, &state, &world, TOYS).unwrap_err();
    assert_eq!(problems.len(), 1);
    assert_eq!(
        problems[0].to_string(),
        "stack/s: its 1 objects are in region here, the spec asks for region there"
    );
    state.resources.clear();
    assert!(plan(&there, &state, &world, TOYS).unwrap().is_empty());
}

#[test]
fn a_second_create_first_replacement_gets_the_next_name() {
    let wanted =
        graph(&[("t.first/f", props(&["t.plain/a"], &[], 1)), ("t.plain/a", props(&[], &[], 1))]);
    let (mut state, mut world) = applied(&wanted);
    let f = at("t.first/f");
    let record = state.resources.get_mut(&f).unwrap();
    record.generation = 2;
    let mut seen = record.seen.clone();
    seen["name"] = json!("n-2");
    world.insert("t.first", "id:t.first/f", seen.clone());
    assert!(plan(&wanted, &state, &world, TOYS).unwrap().is_empty());
    seen["fixed"] = json!("else");
    world.insert("t.first", "id:t.first/f", seen);
    let steps = plan(&wanted, &state, &world, TOYS).unwrap().steps;
    let made = steps.iter().find(|s| s.action == Action::Replace).unwrap();
    assert_eq!((made.generation, &made.props["name"]), (3, &json!("n-3")));
}

/// Up to six resources; for each whether it is in the old and the new graph, which lower ones it
/// needs in each, through which field, of which kind, and whether its own value changes.
fn worlds() -> impl Strategy<Value = (Graph, Graph)> {
    let resource = (any::<u8>(), any::<u8>(), any::<u8>(), 0..2usize, any::<bool>(), 0..3u8);
    proptest::collection::vec(resource, 1..7).prop_map(|all| {
        let kinds = ["t.plain", "t.first"];
        let names: Vec<String> =
            all.iter().enumerate().map(|(i, r)| format!("{}/{i}", kinds[r.3])).collect();
        let build = |new: bool| {
            let mut nodes = BTreeMap::new();
            for (i, (old_needs, new_needs, soft, _, changes, present)) in all.iter().enumerate() {
                if (new && *present == 1) || (!new && *present == 2) {
                    continue;
                }
                let needs = if new { new_needs } else { old_needs };
                let (mut hard_refs, mut soft_refs) = (Vec::new(), Vec::new());
                for (j, name) in names.iter().enumerate().take(i) {
                    let present = all[j].5;
                    let there = !((new && present == 1) || (!new && present == 2));
                    if there && needs & (1 << j) != 0 {
                        let refs =
                            if soft & (1 << j) != 0 { &mut soft_refs } else { &mut hard_refs };
                        refs.push(name.as_str());
                    }
                }
                let mut props = props(&hard_refs, &soft_refs, 1);
                if new && *changes {
                    props["name"] = json!("other");
                }
                nodes.insert(names[i].as_str(), props);
            }
            graph(&nodes.into_iter().collect::<Vec<_>>())
        };
        (build(false), build(true))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    /// No circle (numbering panics on one), and walking the steps never uses what is not there and
    /// never removes what something unconverted still uses, unless a circle forbids waiting for it.
    #[test]
    fn steps_can_be_walked_in_order((old, new) in worlds()) {
        let (state, world) = applied(&old);
        let plan = plan(&new, &state, &world, TOYS).expect("nothing precious, nothing foreign");
        let mut alive: BTreeSet<String> = old.nodes.keys().map(ToString::to_string).collect();
        let mut done = BTreeSet::new();
        for step in &plan.steps {
            prop_assert!(step.after.iter().all(|s| done.contains(s)), "order");
            done.insert(step.step);
            if step.action.makes() {
                for need in &step.needs {
                    prop_assert!(alive.contains(need.as_str()), "{} needs {need}", step.address);
                }
                alive.insert(step.address.to_string());
            } else if !step.replacing || !step.create_first {
                alive.remove(step.address.as_str());
                let users = state.resources.iter().filter(|(_, r)| r.needs.contains(&step.address));
                for (user, _) in users {
                    let gone = !alive.contains(user.as_str());
                    let kept = new.nodes.contains_key(user);
                    prop_assert!(gone || kept, "{user} outlives {}", step.address);
                }
            }
        }
        let wanted: BTreeSet<String> = new.nodes.keys().map(ToString::to_string).collect();
        prop_assert_eq!(alive, wanted);
    }

    /// The order in which maps are filled leaves no trace in the plan.
    #[test]
    fn same_input_same_bytes((old, new) in worlds()) {
        let (state, world) = applied(&old);
        let one = serde_json::to_string(&plan(&new, &state, &world, TOYS)).unwrap();
        let shuffled = Graph { nodes: new.nodes.clone().into_iter().rev().collect(), ..new.clone() };
        let two = serde_json::to_string(&plan(&shuffled, &state, &world, TOYS)).unwrap();
        prop_assert_eq!(&one, &two);
        let back: Result<Plan, Vec<Problem>> = serde_json::from_str(&one).unwrap();
        prop_assert_eq!(serde_json::to_string(&back).unwrap(), one);
    }
}

/// Drift is told against what was last asked for, so that edits of the spec do not show.
#[test]
fn drift_is_what_differs_from_what_was_last_asked_for() {
    let wanted = graph(&[
        ("t.first/f", props(&["t.plain/a"], &[], 1)),
        ("t.plain/a", props(&[], &[], 1)),
        ("t.plain/b", props(&[], &[], 1)),
    ]);
    let (mut state, mut world) = applied(&wanted);
    let find = |state: &State, world: &World| {
        let asked = LastAsked::of(state, TOYS).unwrap();
        let plan = drift(&asked, world, TOYS).unwrap();
        plan.steps.into_iter().map(|s| (s.address.to_string(), s.action)).collect::<Vec<_>>()
    };
    // The name a create-first replacement has is no drift.
    let record = state.resources.get_mut(&at("t.first/f")).unwrap();
    record.generation = 2;
    record.props["name"] = json!("n-2");
    record.seen["name"] = json!("n-2");
    let seen = record.seen.clone();
    world.insert("t.first", "id:t.first/f", seen);
    assert_eq!(find(&state, &world), []);

    // What was changed and what is gone; what names the one that is gone is as it was.
    let mut changed = state.resources[&at("t.plain/b")].seen.clone();
    changed["soft"]["v"] = json!(9);
    world.insert("t.plain", "id:t.plain/b", changed);
    state.resources.get_mut(&at("t.plain/a")).unwrap().id = Some("gone".into());
    let expected =
        [("t.plain/a".to_owned(), Action::Create), ("t.plain/b".to_owned(), Action::Update)];
    assert_eq!(find(&state, &world), expected);

    // What an apply has left half-way is not drift.
    for name in ["t.plain/a", "t.plain/b"] {
        state.resources.get_mut(&at(name)).unwrap().status = Status::Made;
    }
    assert_eq!(find(&state, &world), []);
}

/// An object that is made anew under its own name leaves those who refer to it as they are.
#[test]
fn what_comes_back_under_its_name_is_not_followed() {
    let mut dear = props(&[], &[], 1);
    dear["natural"] = json!("id:t.plain/a");
    let wanted = graph(&[("t.plain/a", dear), ("t.dear/d", props(&["t.plain/a"], &[], 1))]);
    let (mut state, world) = applied(&wanted);
    let a = at("t.plain/a");
    state.resources.get_mut(&a).unwrap().id = Some("gone".into());
    let steps = |state: &State| {
        let plan = plan(&wanted, state, &world, TOYS).unwrap();
        plan.steps.iter().map(|s| (s.address.to_string(), s.is_drift())).collect::<Vec<_>>()
    };
    assert_eq!(steps(&state), [("t.plain/a".to_owned(), true)]);
    // Also when the run that was about to make it died.
    let record = state.resources.get_mut(&a).unwrap();
    (record.id, record.status) = (None, Status::Making);
    assert_eq!(steps(&state), [("t.plain/a".to_owned(), false)]);
}
