//! The five calls, faults, latency, and what tests do behind the engine's back.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use cloud::{Class, Error, Result};
use engine::{Address, Cloud, Diff, Effect, Found, Graph, Mark, Role, Scope, Wanted, as_set, bind};
use futures::future::BoxFuture;
use serde_json::{Value, json};

use crate::clock::{Clock, pause};
use crate::databricks::restarts;
use crate::settings::{Fault, Happens, Operation, Settings};
use crate::sim::{self, Candidate, Finds, IdForm, Sim, View, between, is_part, refuse, scatter};
use crate::store::{Delta, Object, OpenError, Store, mark};

/// Objects that one call can delete from a bucket.
const PAGE: u64 = 1000;

/// A simulated AWS and Databricks account.
pub struct Sandbox {
    settings: Settings,
    clock: Clock,
    inner: Mutex<Inner>,
}

/// One sort of call, for counting.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Call {
    /// `ec2`, `iam`, `s3`, `databricks`
    pub service: &'static str,
    pub operation: Operation,
    pub kind: String,
}

/// One object of the simulated cloud.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    pub kind: String,
    pub id: String,
    /// Whose it is, as its tags say; account objects have no tags that could.
    pub mark: Option<Mark>,
    /// Whether it was there before, or somebody else made it.
    pub foreign: bool,
}

struct Inner {
    store: Store,
    calls: BTreeMap<Call, u64>,
    /// How many calls of this process matched each fault.
    matched: Vec<u64>,
    requests: u64,
}

/// The names of all kinds that are simulated.
pub fn simulated() -> Vec<&'static str> {
    sim::all().map(|sim| sim.kind).collect()
}

impl Sandbox {
    /// The simulated cloud kept in the file `path`; an empty one if there is no such file.
    pub fn open(path: &Path, settings: Settings) -> std::result::Result<Self, OpenError> {
        Ok(Sandbox::new(Store::open(path)?, Clock::wall(), settings))
    }

    /// An empty simulated cloud that is gone when it is dropped.
    pub fn in_memory(settings: Settings) -> Self {
        Sandbox::new(Store::in_memory(), Clock::fixed(), settings)
    }

    fn new(store: Store, clock: Clock, settings: Settings) -> Self {
        let matched = vec![0; settings.faults.len()];
        let inner = Inner { store, calls: BTreeMap::new(), matched, requests: 0 };
        Sandbox { settings, clock, inner: Mutex::new(inner) }
    }

    /// How often each sort of call was made by this process. Reading many objects is one call where
    /// the real API has one; for IAM and S3 it is one per object.
    pub fn calls(&self) -> BTreeMap<Call, u64> {
        self.inner().calls.clone()
    }

    /// All objects there are; those on their way out too.
    pub fn inventory(&self) -> Result<Vec<Item>> {
        let mut inner = self.inner();
        inner.store.catch_up().map_err(broken)?;
        let now = self.clock.now();
        let there = inner.store.world.objects.values().filter(|o| o.exists(now));
        let item = |o: &Object| Item {
            kind: o.kind.clone(),
            id: o.id.clone(),
            mark: o.mark(),
            foreign: o.foreign,
        };
        Ok(there.map(item).collect())
    }

    /// Puts an object there that somebody else made; replaces one of the same id.
    pub fn seed(&self, kind: &str, id: &str, props: Value) -> Result<()> {
        self.change(|view| {
            let object = Object { foreign: true, ..Object::new(kind, id, props, view.now) };
            let mut put = (known(kind)?.moves)(view, &object, true);
            put.push(object);
            Ok(((), Delta { put, ..Delta::default() }))
        })
    }

    /// Changes the props of an object behind everybody's back.
    pub fn edit(&self, kind: &str, id: &str, change: impl FnOnce(&mut Value)) -> Result<()> {
        self.change(|view| {
            let mut object = existing(view, known(kind)?, id)?.clone();
            change(&mut object.props);
            Ok(((), Delta { put: vec![object], ..Delta::default() }))
        })
    }

    /// Removes an object, and what vanishes with it, behind everybody's back.
    pub fn remove(&self, kind: &str, id: &str) -> Result<()> {
        self.change(|view| {
            let object = existing(view, known(kind)?, id)?;
            let mut gone = parts(view, kind, id);
            gone.push(object.key());
            Ok(((), Delta { gone, ..Delta::default() }))
        })
    }

    /// Invents the objects the graph only uses and that are not there, so that a spec written for a
    /// real account can be rehearsed: each has the fields that are expected of it. Only a simulated
    /// cloud may do this. Returns the addresses of those invented.
    pub fn adopt_used(&self, graph: &Graph) -> Result<Vec<Address>> {
        let used: BTreeMap<&Address, &str> = (graph.nodes.iter())
            .filter_map(|(address, node)| match &node.role {
                Role::Used { id, .. } => Some((address, id.as_str())),
                Role::Managed { .. } => None,
            })
            .collect();
        self.change(|view| {
            let (mut put, mut invented) = (Vec::new(), Vec::new());
            for (address, node) in &graph.nodes {
                let Role::Used { id, expect } = &node.role else { continue };
                let sim = known(address.kind())?;
                if view.get(sim.kind, id).is_some() {
                    continue;
                }
                let mut props: Value = serde_json::from_str(sim.blank).unwrap_or_default();
                if let IdForm::Field(field) = sim.id {
                    props[field] = json!(id);
                }
                for expected in expect {
                    let value = bind(&expected.equals, &|output| {
                        let id = used.get(&output.address).filter(|_| output.field == "id");
                        id.map(|id| json!(id))
                    });
                    if engine::outputs(&value).is_empty() {
                        props[&expected.field] = value;
                    }
                }
                let object = Object {
                    foreign: true,
                    outside: true,
                    ..Object::new(sim.kind, id, props, view.now)
                };
                put.extend((sim.moves)(view, &object, true));
                put.push(object);
                invented.push(address.clone());
            }
            Ok((invented, Delta { put, ..Delta::default() }))
        })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the newest world.
    fn look<T>(&self, work: impl FnOnce(&View) -> Result<T>) -> Result<T> {
        let mut inner = self.inner();
        inner.store.catch_up().map_err(broken)?;
        let world = &inner.store.world;
        work(&View { world, now: self.clock.now(), settings: &self.settings })
    }

    /// Changes the newest world while no other process does.
    fn change<T>(&self, work: impl FnOnce(&View) -> Result<(T, Delta)>) -> Result<T> {
        let mut inner = self.inner();
        let changed = inner.store.locked(|store| -> std::result::Result<T, Failed> {
            let now = self.clock.now();
            let view = View { world: &store.world, now, settings: &self.settings };
            let (answer, mut delta) = work(&view)?;
            let kept: BTreeSet<_> = delta.put.iter().map(Object::key).collect();
            let expired = store.world.objects.values().filter(|o| !o.exists(now)).map(Object::key);
            delta.gone.extend(expired.filter(|key| !kept.contains(key)));
            store.commit(delta)?;
            Ok(answer)
        });
        changed.map_err(|failed| failed.0)
    }

    /// One call as the network sees it: counted, slow, and liable to go wrong.
    async fn call<T>(
        &self,
        kind: &str,
        operation: Operation,
        objects: usize,
        work: impl FnOnce(&Sim, Kept) -> Result<T> + Send,
    ) -> Result<T> {
        let sim = known(kind)?;
        let (request, fault) = self.begin(sim, operation, objects);
        let took = between(self.settings.call_ms(), self.settings.seed, &request);
        let tell = |error: Error| Error {
            call: format!("{}: {} {kind} (sandbox)", sim.service, operation.word()),
            request_id: Some(request.clone()),
            ..error
        };
        pause(took / 2).await;
        let lost = |class| {
            let words = fault.as_ref().and_then(|f| f.message.as_deref());
            tell(Error::new(class, "", words.unwrap_or("injected by the sandbox")))
        };
        match fault.as_ref().map(|f| f.happens) {
            Some(Happens::KillBefore) => std::process::abort(),
            Some(Happens::Error(class)) => return Err(lost(class)),
            _ => {}
        }
        let reverts = fault.as_ref().is_some_and(|f| f.happens == Happens::Reverts);
        let answer = work(sim, if reverts { Kept::No } else { Kept::Yes });
        match fault.as_ref().map(|f| f.happens) {
            Some(Happens::KillAfter) => std::process::abort(),
            Some(Happens::AfterEffect) => return Err(lost(Class::Transient)),
            _ => {}
        }
        pause(took - took / 2).await;
        answer.map_err(tell)
    }

    fn begin(&self, sim: &Sim, operation: Operation, objects: usize) -> (String, Option<Fault>) {
        let mut inner = self.inner();
        inner.requests += 1;
        let call = Call { service: sim.service, operation, kind: sim.kind.to_owned() };
        let batched = matches!(sim.service, "ec2" | "databricks");
        let calls = if batched { 1 } else { objects.max(1) as u64 };
        *inner.calls.entry(call).or_default() += calls;
        let mut fault = None;
        for (n, rule) in self.settings.faults.iter().enumerate() {
            if rule.matches(sim.kind, operation) {
                inner.matched[n] += 1;
                let on = rule.nth..rule.nth.saturating_add(rule.times);
                if on.contains(&inner.matched[n]) && fault.is_none() {
                    fault = Some(rule.clone());
                }
            }
        }
        (format!("sandbox-{}", inner.requests), fault)
    }

    fn do_read(&self, sim: &Sim, ids: &[String]) -> Result<Vec<Option<Value>>> {
        self.look(|view| {
            let one = |id: &String| {
                let object = view.get(sim.kind, id).filter(|o| self.is_seen(view, o))?;
                let mut seen = object.props.clone();
                (sim.appear)(view, object, &mut seen).then_some(seen)
            };
            Ok(ids.iter().map(one).collect())
        })
    }

    fn do_find(
        &self,
        sim: &Sim,
        stack: &str,
        wanted: &[Wanted<Value>],
    ) -> Result<Vec<Vec<Found<String>>>> {
        self.look(|view| {
            let candidates = |wanted: &Wanted<Value>| {
                let objects = view.all(sim.kind).filter(|o| o.gone_at.is_none());
                let seen = objects.filter(|o| self.is_seen(view, o));
                seen.filter_map(|o| match_found(view, sim, o, stack, wanted)).collect()
            };
            Ok(wanted.iter().map(candidates).collect())
        })
    }

    fn do_list(&self, sim: &Sim, scope: &Scope) -> Result<Vec<(String, Value)>> {
        // No listing by what they lie in or by mark, as in the real APIs.
        let listed = match sim.service {
            "iam" | "s3" => false,
            "databricks" => *scope == Scope::All,
            _ => true,
        };
        self.look(|view| {
            let all = view.all(sim.kind).filter(|o| listed && self.is_seen(view, o));
            let of_scope = all.filter(|o| match scope {
                Scope::All => true,
                Scope::Within(id) => lies_in(view, sim, o, id),
                Scope::Stack(stack) => o.mark().is_some_and(|mark| mark.stack == *stack),
            });
            let seen = of_scope.filter_map(|object| {
                let mut seen = object.props.clone();
                (sim.appear)(view, object, &mut seen).then(|| (object.id.clone(), seen))
            });
            Ok(seen.collect())
        })
    }

    fn is_seen(&self, view: &View, object: &Object) -> bool {
        view.now >= object.created_at + self.settings.read_lag_ms
    }

    fn do_create(&self, sim: &Sim, wanted: &Value) -> Result<String> {
        self.change(|view| {
            let mut props = wanted.clone();
            (sim.born)(view, &mut props);
            let candidate = Candidate { id: None, props: &props, changed: None };
            check_links(view, sim, &candidate)?;
            (sim.check)(view, &candidate)?;
            let fate = (sim.fate)(view, &candidate);
            let (id, births) = self.name(view, sim, &props)?;
            let inborn = view.get(sim.kind, &id).filter(|_| sim.inborn);
            let object = match inborn {
                Some(there) => there.clone(),
                None => {
                    let ready_at = view.now + self.state_ms(sim.making, &id);
                    Object { fate, ready_at, ..Object::new(sim.kind, &id, props, view.now) }
                }
            };
            let mut put = (sim.moves)(view, &object, true);
            put.push(object);
            Ok((id, Delta { put, births, gone: Vec::new() }))
        })
    }

    fn do_update(
        &self,
        sim: &Sim,
        id: &str,
        wanted: &Value,
        diff: &Diff,
        kept: Kept,
    ) -> Result<()> {
        self.change(|view| {
            let object = existing(view, sim, id)?;
            if object.gone_at.is_some() {
                return refuse(Class::Invalid, "IncorrectState", format!("{id} is being deleted"));
            }
            if let Some(bad) = diff.changes.iter().find(|c| c.effect == Effect::Replace) {
                let message = format!("bug: `{}` of {} cannot be updated", bad.field, sim.kind);
                return refuse(Class::Other, "InvalidParameter", message);
            }
            let (fields, mut props) = (diff.fields(), object.props.clone());
            for field in &fields {
                match (wanted.get(*field), props.as_object_mut()) {
                    (Some(value), _) => props[*field] = value.clone(),
                    // What nobody can ask for goes back to what the object is born with.
                    (None, Some(all)) => drop(all.remove(*field)),
                    (None, None) => {}
                }
            }
            let candidate = Candidate { id: Some(id), props: &props, changed: Some(&fields) };
            check_links(view, sim, &candidate)?;
            (sim.check)(view, &candidate)?;
            let mut changed = object.clone();
            if restarts(object) {
                changed.fate = (sim.fate)(view, &candidate);
                changed.ready_at = view.now + self.state_ms(sim.making, id);
            }
            // Tags do not have to propagate before a role can be assumed.
            if fields != ["tags"] {
                changed.changed_at = view.now;
            }
            changed.props = props;
            let mut put = (sim.shifts)(view, &changed);
            put.push(changed);
            if kept == Kept::No {
                put.clear();
            }
            Ok(((), Delta { put, ..Delta::default() }))
        })
    }

    fn do_delete(&self, sim: &Sim, id: &str) -> Result<()> {
        self.change(|view| {
            let object = existing(view, sim, id)?;
            if object.gone_at.is_some() {
                return Ok(((), Delta::default()));
            }
            let blockers = view.blockers(sim.kind, id);
            if let Some(blocker) = blockers.first() {
                return in_use(sim, id, blocker);
            }
            (sim.leave)(view, object)?;
            let mut put = (sim.moves)(view, object, false);
            let mut gone = parts(view, sim.kind, id);
            let lasts = self.state_ms(sim.going, id);
            if sim.inborn {
                let mut emptied = object.clone();
                emptied.props = serde_json::from_str(sim.blank).unwrap_or_default();
                if let IdForm::Field(field) = sim.id {
                    emptied.props[field] = json!(id);
                }
                put.push(emptied);
            } else if lasts == 0 {
                gone.push(object.key());
            } else {
                put.push(Object { gone_at: Some(view.now + lasts), ..object.clone() });
            }
            Ok(((), Delta { put, gone, births: BTreeMap::new() }))
        })
    }

    /// Takes away a page of the objects in a bucket: their number is the property `objects`.
    fn do_empty(&self, sim: &Sim, id: &str) -> Result<bool> {
        self.change(|view| {
            let mut object = existing(view, sim, id)?.clone();
            let left = object.props["objects"].as_u64().unwrap_or_default();
            if left == 0 {
                return Ok((false, Delta::default()));
            }
            object.props["objects"] = json!(left.saturating_sub(PAGE));
            Ok((true, Delta { put: vec![object], ..Delta::default() }))
        })
    }

    fn state_ms(&self, realistic: (u64, u64), id: &str) -> u64 {
        between(self.settings.state_ms(realistic), self.settings.seed, id)
    }

    /// The id of a new object, and what to remember so that it is never given again.
    ///
    /// It follows from the object's mark or name and the how-manieth of that it is, not from the
    /// order of calls: concurrent runs get equal ids.
    fn name(
        &self,
        view: &View,
        sim: &Sim,
        props: &Value,
    ) -> Result<(String, BTreeMap<String, u64>)> {
        let text = |field: &str| props[field].as_str().unwrap_or_default().to_owned();
        let prefix = match sim.id {
            IdForm::Field(field) => return Ok((text(field), BTreeMap::new())),
            IdForm::Pair(a, b) => return Ok((format!("{}|{}", text(a), text(b)), BTreeMap::new())),
            IdForm::Prefix(prefix) => Some(prefix),
            IdForm::Uuid | IdForm::Number => None,
        };
        let birth = match mark(props) {
            Some(Mark { stack, address }) => format!("{} {stack} {address}", sim.kind),
            None => format!("{} {}", sim.kind, text("name")),
        };
        let mut nth = view.world.births.get(&birth).copied().unwrap_or_default();
        loop {
            nth += 1;
            let bits = |half: &str| scatter(self.settings.seed, &format!("{birth} {nth} {half}"));
            let (a, b) = (bits("a"), bits("b"));
            let id = match (prefix, &sim.id) {
                (Some(prefix), _) => format!("{prefix}0{a:016x}"),
                (None, IdForm::Number) => {
                    (1_000_000_000_000_000 + a % 8_000_000_000_000_000).to_string()
                }
                (None, _) => format!(
                    "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
                    a >> 32,
                    (a >> 16) & 0xffff,
                    a & 0xfff,
                    b >> 52,
                    b & 0xffff_ffff_ffff,
                ),
            };
            if !view.world.objects.contains_key(&(sim.kind.to_owned(), id.clone())) {
                return Ok((id, BTreeMap::from([(birth, nth)])));
            }
        }
    }
}

impl Cloud for Sandbox {
    fn read<'a>(
        &'a self,
        kind: &'a str,
        ids: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<Option<Value>>>> {
        let work = move |sim: &Sim, _| self.do_read(sim, ids);
        Box::pin(self.call(kind, Operation::Read, ids.len(), work))
    }
    fn find<'a>(
        &'a self,
        kind: &'a str,
        stack: &'a str,
        wanted: &'a [Wanted<Value>],
    ) -> BoxFuture<'a, Result<Vec<Vec<Found<String>>>>> {
        let work = move |sim: &Sim, _| self.do_find(sim, stack, wanted);
        Box::pin(self.call(kind, Operation::Find, wanted.len(), work))
    }
    fn list<'a>(
        &'a self,
        kind: &'a str,
        scope: &'a Scope,
    ) -> BoxFuture<'a, Result<Vec<(String, Value)>>> {
        let work = move |sim: &Sim, _| self.do_list(sim, scope);
        Box::pin(self.call(kind, Operation::Read, 1, work))
    }
    fn create<'a>(&'a self, kind: &'a str, props: &'a Value) -> BoxFuture<'a, Result<String>> {
        let work = move |sim: &Sim, _| self.do_create(sim, props);
        Box::pin(self.call(kind, Operation::Create, 1, work))
    }
    fn update<'a>(
        &'a self,
        kind: &'a str,
        id: &'a str,
        props: &'a Value,
        diff: &'a Diff,
    ) -> BoxFuture<'a, Result<()>> {
        let work = move |sim: &Sim, kept| self.do_update(sim, id, props, diff, kept);
        Box::pin(self.call(kind, Operation::Update, 1, work))
    }
    fn empty<'a>(&'a self, kind: &'a str, id: &'a str) -> BoxFuture<'a, Result<bool>> {
        let work = move |sim: &Sim, _| self.do_empty(sim, id);
        Box::pin(self.call(kind, Operation::Delete, 1, work))
    }
    fn delete<'a>(&'a self, kind: &'a str, id: &'a str) -> BoxFuture<'a, Result<()>> {
        let work = move |sim: &Sim, _| self.do_delete(sim, id);
        Box::pin(self.call(kind, Operation::Delete, 1, work))
    }
}

/// Whether a change that was accepted stays.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kept {
    Yes,
    No,
}

/// Either side of a change that can fail: the cloud's, or the file's.
struct Failed(Error);

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Failed(error)
    }
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Failed(broken(error))
    }
}

fn broken(error: io::Error) -> Error {
    Error::new(
        Class::Other,
        "sandbox",
        format!("the file of the sandbox (`cloud.json` beside its state) cannot be used: {error}"),
    )
}

fn known(kind: &str) -> Result<&'static Sim> {
    let unknown = || Error::new(Class::Other, "sandbox", format!("bug: {kind} is not simulated"));
    sim::get(kind).ok_or_else(unknown)
}

fn existing<'a>(view: &View<'a>, sim: &Sim, id: &str) -> Result<&'a Object> {
    match view.get(sim.kind, id) {
        Some(object) => Ok(object),
        None => refuse(Class::NotFound, sim.missing, format!("{id} does not exist")),
    }
}

fn parts(view: &View, kind: &str, id: &str) -> Vec<(String, String)> {
    let of = |part: &'static Sim| view.all(part.kind).filter(|o| is_part(part, o, kind, id));
    sim::all().filter(|s| s.part_of.is_some()).flat_map(of).map(Object::key).collect()
}

/// Whether the object lies in the VPC, itself or by what it belongs to.
fn lies_in(view: &View, sim: &Sim, object: &Object, vpc: &str) -> bool {
    let ends = [object.text("vpc"), object.text("peer_vpc")];
    ends.contains(&vpc)
        || sim.links.iter().filter(|l| matches!(l.field, "subnet" | "group" | "table")).any(|l| {
            let mut homes =
                l.targets(&object.props).into_iter().filter_map(|id| view.get(l.kind, &id));
            homes.any(|home| home.text("vpc") == vpc)
        })
}

fn check_links(view: &View, sim: &Sim, me: &Candidate) -> Result<()> {
    for link in sim.links.iter().filter(|l| l.must && me.touches(l.field)) {
        for id in link.targets(me.props) {
            let alive = view.get(link.kind, &id).is_some_and(|o| o.gone_at.is_none());
            if alive || (Some(id.as_str()) == me.id && sim.kind == link.kind) {
                continue;
            }
            let message = format!("{} {id} does not exist", link.kind);
            return match sim.service {
                "databricks" => refuse(Class::Invalid, "MALFORMED_REQUEST", message),
                _ => {
                    let code = sim::get(link.kind).map_or("NotFound", |target| target.missing);
                    refuse(Class::NotFound, code, message)
                }
            };
        }
    }
    Ok(())
}

fn in_use<T>(sim: &Sim, id: &str, by: &Object) -> Result<T> {
    let (code, message) = match (sim.service, sim.kind) {
        ("databricks", "databricks.network") => (
            "INVALID_STATE",
            format!("Unable to delete, Network is being used by active workspace {}", by.id),
        ),
        ("databricks", _) => {
            ("INVALID_STATE", format!("Unable to delete, {id} is being used by {}", by.id))
        }
        ("iam", _) => (
            "DeleteConflict",
            format!("Cannot delete entity, must first release it from {}", by.id),
        ),
        (_, "aws.elastic_ip") => {
            ("InvalidIPAddress.InUse", format!("Address {id} is in use by {}", by.id))
        }
        _ => (
            "DependencyViolation",
            format!("{id} has a dependent object ({} {}) and cannot be deleted", by.kind, by.id),
        ),
    };
    refuse(Class::InUse, code, message)
}

fn match_found(
    view: &View,
    sim: &Sim,
    object: &Object,
    stack: &str,
    wanted: &Wanted<Value>,
) -> Option<Found<String>> {
    let mark = Mark { stack: stack.to_owned(), address: wanted.address.clone() };
    let marked = object.mark() == Some(mark);
    let same =
        |field: &&'static str| as_set(&wanted.props[*field]) == as_set(&object.props[*field]);
    let id = object.id.clone();
    let ours = match sim.finds {
        Finds::Mark => return marked.then_some(Found::Ours(id)),
        Finds::KeyAndMark(field) => same(&field).then_some(marked)?,
        Finds::Key(key, fields) => key.iter().all(&same).then(|| fields.iter().all(&same))?,
        Finds::Id(fields) | Finds::IdOfWhole(fields) => {
            let here = match sim.id {
                IdForm::Field(field) => same(&field),
                IdForm::Pair(a, b) => same(&a) && same(&b),
                _ => false,
            };
            let whole = || {
                let (field, kind) = sim.part_of?;
                view.get(kind, object.text(field))?.mark()
            };
            let of_whole = matches!(sim.finds, Finds::IdOfWhole(_));
            let adopted = of_whole && whole().is_some_and(|mark| mark.stack == stack);
            here.then(|| adopted || fields.iter().all(&same))?
        }
    };
    Some(if ours { Found::Ours(id) } else { Found::Foreign(id) })
}
