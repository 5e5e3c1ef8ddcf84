//! Every kind lives its whole life: made, made right, found, changed, in use, gone.

use std::collections::BTreeMap;
use std::time::Duration;

use cloud::{Class, Error};
use dbxctl_sandbox::{Sandbox, Settings};
use engine::{Address, AnyKind, Cloud, Diff, Effect, Found, Mark, Readiness, Wanted, bind};
use kinds::fixtures::{Fixture, Resource, all};
use serde_json::{Value, json};

const STACK: &str = "conformance";

/// Does what the engine does, with the least of words.
struct Stage {
    cloud: Sandbox,
    /// Id and what was last seen.
    made: BTreeMap<Address, (String, Value)>,
}

impl Stage {
    fn new() -> Self {
        Stage { cloud: Sandbox::in_memory(Settings::default()), made: BTreeMap::new() }
    }

    fn bound(&self, value: &Value) -> Value {
        bind(value, &|output| {
            let (id, seen) = self.made.get(&output.address)?;
            let value = if output.field == "id" { json!(id) } else { seen[&output.field].clone() };
            assert!(!value.is_null(), "{} has no `{}`", output.address, output.field);
            Some(value)
        })
    }

    /// The props as a graph would have them, bound.
    fn wanted(&self, resource: &Resource) -> Value {
        let mark = Mark { stack: STACK.to_owned(), address: resource.address.clone() };
        let marked = kind(resource.address.kind()).mark(&resource.props, &mark);
        self.bound(&marked.expect("props of that kind"))
    }

    async fn create(&self, resource: &Resource) -> String {
        let props = self.wanted(resource);
        for _ in 0..100 {
            match self.cloud.create(resource.address.kind(), &props).await {
                Ok(id) => return id,
                Err(e) if e.class == Class::Propagating => wait().await,
                Err(e) => panic!("{}: {e}", resource.address),
            }
        }
        panic!("{} is never made", resource.address)
    }

    async fn read(&self, kind: &str, id: &str) -> Option<Value> {
        let ids = [id.to_owned()];
        let seen = self.cloud.read(kind, &ids).await.expect("readable");
        seen.into_iter().next().expect("one answer for one id")
    }

    /// Updates until there is nothing to update, and waits until it is ready.
    async fn converge(&mut self, address: &Address, id: &str, props: &Value) {
        let kind = kind(address.kind());
        for _ in 0..200 {
            let seen =
                self.read(kind.name(), id).await.unwrap_or_else(|| panic!("{address} is gone"));
            let diff = kind.diff(props, &seen).expect("comparable");
            if !diff.is_empty() {
                let updated = self.cloud.update(kind.name(), id, props, &diff).await;
                let fatal = |e: &Error| e.class != Class::Propagating;
                if let Some(e) = updated.err().filter(fatal) {
                    panic!("{address}: {e}: {diff:?}");
                }
                wait().await;
                continue;
            }
            match kind.readiness(&seen).expect("comparable") {
                Readiness::Ready => {
                    self.made.insert(address.clone(), (id.to_owned(), seen));
                    return;
                }
                Readiness::Pending(_) => wait().await,
                Readiness::Failed(why) => panic!("{address}: {why}: {seen}"),
            }
        }
        panic!("{address} never settles")
    }

    async fn make(&mut self, resource: &Resource) {
        let id = self.create(resource).await;
        let props = self.wanted(resource);
        self.converge(&resource.address, &id, &props).await;
    }

    fn id(&self, address: &Address) -> String {
        self.made[address].0.clone()
    }

    async fn delete(&self, address: &Address) -> cloud::Result<()> {
        self.cloud.delete(address.kind(), &self.id(address)).await
    }

    async fn until_gone(&self, address: &Address) {
        for _ in 0..200 {
            if self.read(address.kind(), &self.id(address)).await.is_none() {
                return;
            }
            wait().await;
        }
        panic!("{address} never goes");
    }
}

async fn wait() {
    crate::pass(Duration::from_millis(20)).await;
}

fn kind(name: &str) -> &'static dyn AnyKind {
    kinds::facts().get(name).unwrap_or_else(|| panic!("no kind {name}"))
}

async fn staged(fixture: &Fixture) -> Stage {
    let mut stage = Stage::new();
    for need in &fixture.needs {
        stage.make(need).await;
    }
    stage
}

#[test]
fn every_kind_has_an_example_and_is_simulated() {
    let names: Vec<_> = kinds::facts().0.iter().map(|kind| kind.name()).collect();
    assert_eq!(all().iter().map(|f| f.kind).collect::<Vec<_>>(), names);
    let simulated = dbxctl_sandbox::simulated();
    let missing: Vec<_> = names.iter().filter(|name| !simulated.contains(name)).collect();
    assert!(missing.is_empty(), "not simulated: {missing:?}");
}

#[tokio::test(start_paused = true)]
async fn every_kind_is_made_found_used_and_deleted() {
    for fixture in all() {
        let Fixture { resource, kind: name, .. } = &fixture;
        let mut stage = staged(&fixture).await;
        assert!(stage.read(name, "nothing-of-that-id").await.is_none(), "{name}");

        stage.make(resource).await;
        let (id, seen) = stage.made[&resource.address].clone();
        for output in fixture.outputs {
            assert!(seen.get(*output).is_some_and(|v| !v.is_null()), "{name} has no {output}");
        }
        let props = stage.wanted(resource);
        let wanted = [Wanted { address: resource.address.clone(), props }];
        let found = stage.cloud.find(name, STACK, &wanted).await.expect("findable");
        assert_eq!(found, [[Found::Ours(id)]], "{name}");

        if let Some(user) = fixture.user.last() {
            for resource in &fixture.user {
                stage.make(resource).await;
            }
            let refused = stage.delete(&resource.address).await.expect_err(name);
            assert_eq!(refused.class, Class::InUse, "{name}: {refused}");
            stage.delete(&user.address).await.unwrap_or_else(|e| panic!("{name}: {e}"));
            stage.until_gone(&user.address).await;
            for resource in fixture.user.iter().rev().skip(1) {
                stage.delete(&resource.address).await.unwrap_or_else(|e| panic!("{name}: {e}"));
                stage.until_gone(&resource.address).await;
            }
        }
        stage.delete(&resource.address).await.unwrap_or_else(|e| panic!("{name}: {e}"));
        stage.until_gone(&resource.address).await;
        if let Err(e) = stage.delete(&resource.address).await {
            assert_eq!(e.class, Class::NotFound, "{name}: {e}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn every_change_of_a_field_costs_what_the_example_says() {
    for fixture in all() {
        let Fixture { resource, kind: name, .. } = &fixture;
        for change in &fixture.changes {
            let mut stage = staged(&fixture).await;
            stage.make(resource).await;
            let (id, seen) = stage.made[&resource.address].clone();
            let mut changed = resource.clone();
            changed.props[change.field] = change.value.clone();
            let props = stage.wanted(&changed);
            let diff = kind(name).diff(&props, &seen).expect("comparable");
            let costs: Vec<_> = diff.changes.iter().map(|c| (c.field.as_str(), c.effect)).collect();
            assert_eq!(costs, [(change.field, change.effect)], "{name}");
            if change.effect == Effect::Update {
                stage.converge(&resource.address, &id, &props).await;
            } else {
                let refused = stage.cloud.update(name, &id, &props, &diff).await;
                assert!(refused.is_err(), "{name}.{} can be updated after all", change.field);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_update_touches_no_other_field() {
    for fixture in all() {
        let Fixture { resource, kind: name, .. } = &fixture;
        let Some(change) = fixture.changes.iter().find(|c| c.effect == Effect::Update) else {
            continue;
        };
        let mut stage = staged(&fixture).await;
        stage.make(resource).await;
        let (id, before) = stage.made[&resource.address].clone();
        let after = stage.bound(&change.value);
        let diff = Diff::default().update(change.field, &after, &"something else");
        // Everything else of these props is wrong, and must not be looked at.
        let mut props = json!({});
        props[change.field] = after;
        if let Err(e) = stage.cloud.update(name, &id, &props, &diff).await {
            panic!("{name}.{}: {e}", change.field);
        }
        let now = stage.read(name, &id).await.unwrap_or_else(|| panic!("{name} is gone"));
        for (field, value) in before.as_object().expect("an object") {
            let derived = field == change.field || fixture.outputs.contains(&field.as_str());
            assert!(
                derived || now[field] == *value,
                "{name}.{field} changed with {}",
                change.field
            );
        }
    }
}

/// Fields no example changes, and why.
const NOT_CHANGED: [(&str, &str); 5] = [
    // Taking an acceptance back means that the connection is gone.
    ("aws.vpc_peering", "accept"),
    // Another account or region cannot be simulated.
    ("aws.vpc_peering", "peer_account"),
    ("aws.vpc_peering", "peer_region"),
    // An object is found by it: with another group it would be another rule set.
    ("aws.security_group_rules", "group"),
    ("aws.vpc_endpoint", "flavour"),
];

/// What others can set although nobody can ask for it.
fn unasked() -> Vec<(&'static str, &'static str, Value)> {
    let nat = json!({ "::/0": { "internet_gateway": "igw-1" } });
    let closed = json!({ "statements": [{ "allow": false, "principals": ["anyone"] }] });
    vec![
        ("aws.role", "max_session", json!(43_200)),
        ("aws.role", "boundary", json!("arn:aws:iam::111122223333:policy/limit")),
        ("aws.route_table", "other_routes", nat),
        ("aws.route_table", "propagation", json!(["vgw-1"])),
        ("aws.vpc_endpoint", "policy", closed),
    ]
}

#[tokio::test(start_paused = true)]
async fn every_field_changed_behind_our_back_is_noticed_and_put_back() {
    for fixture in all() {
        let Fixture { resource, kind: name, .. } = &fixture;
        let fields = resource.props.as_object().expect("props are an object").keys();
        for field in fields {
            let covered = fixture.changes.iter().any(|change| change.field == field);
            let known = NOT_CHANGED.contains(&(*name, field.as_str()));
            assert!(covered || known, "no example changes {name}.{field}");
        }
        let changes = fixture.changes.iter().map(|c| (c.field, c.value.clone()));
        let others = unasked().into_iter().filter(|(kind, ..)| kind == name);
        for (field, value) in changes.chain(others.map(|(_, field, value)| (field, value))) {
            let mut stage = staged(&fixture).await;
            stage.make(resource).await;
            let (id, before) = stage.made[&resource.address].clone();
            let value = stage.bound(&value);
            stage.cloud.edit(name, &id, |props| props[field] = value).expect("there");
            let props = stage.wanted(resource);
            let Some(seen) = stage.read(name, &id).await else { continue };
            let diff = kind(name).diff(&props, &seen).expect("comparable");
            assert!(!diff.is_empty(), "{name}.{field} was changed, and nobody noticed: {seen}");
            if !diff.replaces() {
                stage.converge(&resource.address, &id, &props).await;
                let after = &stage.made[&resource.address].1;
                let diff = kind(name).diff(&stage.wanted(resource), after).expect("comparable");
                assert!(diff.is_empty(), "{name}.{field}: {diff:?}");
                assert_eq!(after.get("arn"), before.get("arn"), "{name} is another object");
            }
        }
    }
}
