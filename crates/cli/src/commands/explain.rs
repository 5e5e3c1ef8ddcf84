//! `dbxctl explain`: from an object, a field or a rule to what stands behind it.

use std::collections::BTreeSet;
use std::path::PathBuf;

use blueprint::variations;
use check::Report;
use engine::{Address, Graph, Node, Record, State, World};
use spec::{Place, closest};

use super::check::examine;
use crate::args::Global;
use crate::exit::{Exit, Fail, Result};
use crate::render::{self, Found, Object, Subject, Written};
use crate::setup::{Loaded, StateLocation, load, spec_files, state_place};

pub(crate) async fn run(what: &str, files: &[PathBuf], global: &Global) -> Result {
    // Rules and the language can be asked for where there is no spec.
    let loaded = match spec_files(files) {
        Ok(files) => Some(load(&files, global)?),
        Err(_) => None,
    };
    let text = if what.to_ascii_uppercase().starts_with("DBX-") {
        rule(what, loaded.as_ref())?
    } else if what.contains('/') && !what.starts_with('/') {
        let loaded = loaded.ok_or_else(|| no_spec("an address"))?;
        object(&Address::from(what.to_owned()), &loaded).await?
    } else {
        field(what, loaded.as_ref())?
    };
    render::result(&text);
    Ok(Exit::Done)
}

fn no_spec(what: &str) -> Fail {
    Fail::new(Exit::Refused, format!("there is no spec here, and {what} is explained by one"))
        .hint("name one with `--spec`, or write one with `dbxctl init`")
}

fn unknown<'a>(
    what: &str,
    word: &str,
    known: impl IntoIterator<Item = &'a str>,
    otherwise: &str,
) -> Fail {
    let fail = Fail::new(Exit::Error, format!("there is no {what} `{word}`"));
    match closest(word, known) {
        Some(near) => fail.hint(format!("did you mean `{near}`?")),
        None => fail.hint(otherwise),
    }
}

fn rule(id: &str, loaded: Option<&Loaded>) -> Result<String> {
    let id = id.to_ascii_uppercase();
    let rule = check::rules().find(|rule| rule.id == id).ok_or_else(|| {
        unknown(
            "rule",
            &id,
            check::rules().map(|rule| rule.id),
            "list all with `dbxctl check --rules`",
        )
    })?;
    let report = loaded.map(|loaded| examine(loaded, &World::default()));
    let here = loaded
        .zip(report.as_ref())
        .map(|(loaded, report)| findings(loaded, report, |finding| finding.rule == rule.id));
    Ok(render::explained(Subject::Rule { rule, here }))
}

fn findings<'a>(
    loaded: &Loaded,
    report: &'a Report,
    about: impl Fn(&check::Finding) -> bool,
) -> Vec<Found<'a>> {
    let found = |finding: &'a check::Finding| Found {
        finding,
        at: loaded.written.places.find(&finding.pointer),
    };
    report.findings.iter().filter(|finding| about(finding)).map(found).collect()
}

async fn object(address: &Address, loaded: &Loaded) -> Result<String> {
    let Loaded { written, graph, target, .. } = loaded;
    // A state that is shared is not read: this command makes no calls.
    let state = match &target.state {
        StateLocation::Folder(_) => Some(state_place(target).await?.read().await?),
        StateLocation::S3(_) => None,
    };
    let record = state.as_ref().and_then(|state| state.resources.get(address));
    let Some(node) = graph.nodes.get(address) else {
        return removed(address, graph, record, state.as_ref());
    };
    let pointer = check::place(&written.spec, graph, address.as_str());
    let report = examine(loaded, &World::default());
    let needed_by = users(graph, address);
    let object = Object {
        address,
        node,
        about: kinds::catalogue::entry(address.kind()),
        from: at(loaded, &pointer),
        decided_by: decided_by(loaded, address, node, &pointer),
        behind: behind(graph, &needed_by),
        needed_by,
        record: state.is_some().then_some(record),
        findings: findings(loaded, &report, |finding| finding.subject == address.as_str()),
        hide: &|text| written.hide(text),
    };
    Ok(render::explained(Subject::Object(object)))
}

/// What the spec does not ask for: an object of former times, or a word mistyped.
fn removed(
    address: &Address,
    graph: &Graph,
    record: Option<&Record>,
    state: Option<&State>,
) -> Result<String> {
    if let Some(record) = record {
        let about = kinds::catalogue::entry(address.kind());
        return Ok(render::explained(Subject::Removed { address, record, about }));
    }
    let recorded = state.into_iter().flat_map(|state| state.resources.keys());
    let known: BTreeSet<&str> = graph.nodes.keys().chain(recorded).map(Address::as_str).collect();
    Err(unknown(
        "object",
        address.as_str(),
        known,
        "list those of the state with `dbxctl state list`",
    ))
}

/// Who names it or waits for it.
fn users<'a>(graph: &'a Graph, address: &Address) -> BTreeSet<&'a Address> {
    let uses = graph.nodes.iter().filter(|(_, node)| node.needs().contains(address));
    uses.map(|(user, _)| user).filter(|user| *user != address).collect()
}

/// How many more need it by way of these.
fn behind(graph: &Graph, direct: &BTreeSet<&Address>) -> usize {
    let mut all: BTreeSet<&Address> = direct.clone();
    let mut open: Vec<&Address> = direct.iter().copied().collect();
    while let Some(next) = open.pop() {
        open.extend(users(graph, next).into_iter().filter(|user| all.insert(user)));
    }
    all.len() - direct.len()
}

/// The written fields of the part of the spec it belongs to, and of the VPC, that make it another
/// object when they are another: found by trying.
fn decided_by(loaded: &Loaded, address: &Address, node: &Node, pointer: &str) -> Vec<Written> {
    let spec = &loaded.written.spec;
    let part: String = pointer.split('/').take(3).collect::<Vec<_>>().join("/");
    let vpc = match &node.group {
        engine::Group::Workspace(name) => spec.workspaces.get(name).and_then(|w| w.vpc.as_ref()),
        engine::Group::Shared(_) => None,
    };
    let parts: Vec<String> = std::iter::once(part)
        .filter(|part| !part.is_empty())
        .chain(vpc.map(|vpc| format!("/vpcs/{vpc}")))
        .map(|part| part + "/")
        .collect();
    let fields = loaded.written.places.written().filter(|field| {
        parts.iter().any(|part| field.starts_with(part.as_str())) && spec::field(field).is_some()
    });
    let decides = fields.filter(|field| {
        let values = values(field);
        let tried = variations(spec, &loaded.graph, field, &values);
        tried.iter().any(|variation| variation.effects.contains_key(address))
    });
    // A map that decides is told by the fields in it.
    let decides: Vec<&str> = decides.collect();
    let inner = |field: &&&str| {
        let inside = format!("{field}/");
        !decides.iter().any(|other| other.starts_with(&inside))
    };
    decides.iter().filter(inner).filter_map(|field| at(loaded, field)).collect()
}

fn values(pointer: &str) -> Vec<String> {
    let field = spec::field(pointer);
    field.into_iter().flat_map(|field| field.values).map(|(value, _)| value).collect()
}

/// Where a field is written, or else what holds it.
fn at(loaded: &Loaded, pointer: &str) -> Option<Written> {
    let place = loaded.written.places.find(pointer)?;
    let line = excerpt(loaded, &place);
    Some(Written { field: dotted(pointer), place, line })
}

fn excerpt(loaded: &Loaded, place: &Place) -> String {
    let source = loaded.sources.get(place.source);
    let line = source.and_then(|source| source.text.lines().nth(place.line.checked_sub(1)?));
    line.unwrap_or_default().trim().to_owned()
}

fn field(what: &str, loaded: Option<&Loaded>) -> Result<String> {
    let pointer = pointer(what);
    let field = spec::field(&pointer).filter(|_| !pointer.is_empty()).ok_or_else(|| {
        let known = known_fields(&pointer);
        unknown("field", what, known.iter().map(String::as_str), "see `dbxctl schema spec` for all")
    })?;
    let Some(loaded) = loaded else {
        return Ok(render::explained(Subject::Field {
            name: what,
            field: &field,
            here: None,
            graph: None,
        }));
    };
    let spec = &loaded.written.spec;
    let effective = serde_json::to_value(spec.effective()).map_err(Fail::bug)?;
    let places = matching(&pointer, &effective);
    if places.is_empty() && !pointer.contains("/*") {
        holders_exist(&pointer, what, &effective)?;
    }
    let written = &loaded.written;
    let here: Vec<render::Here> = places
        .iter()
        .map(|place| render::Here {
            name: dotted(place),
            value: effective.pointer(place).cloned(),
            written: written
                .places
                .written()
                .any(|w| w == place)
                .then(|| at(loaded, place))
                .flatten(),
        })
        .collect();
    let graph = match places.as_slice() {
        [one] => Some(render::Effects {
            made: made_from(loaded, one),
            variations: variations(spec, &loaded.graph, one, &values(one)),
        }),
        _ => None,
    };
    let hide = |text| written.hide(text);
    let here: Option<render::Places<'_>> = Some((here, &hide));
    Ok(render::explained(Subject::Field { name: what, field: &field, here, graph }))
}

/// Objects that come from the place, or from one in it.
fn made_from(loaded: &Loaded, pointer: &str) -> Vec<Address> {
    let inside = format!("{pointer}/");
    let from = |address: &&Address| {
        let place = check::place(&loaded.written.spec, &loaded.graph, address.as_str());
        place == pointer || place.starts_with(&inside)
    };
    loaded.graph.nodes.keys().filter(from).cloned().collect()
}

/// The places of the spec that a pointer with `*` for names stands for; a field that is not there by
/// itself counts where its holder is.
fn matching(pointer: &str, spec: &serde_json::Value) -> Vec<String> {
    let mut found = vec![String::new()];
    for part in pointer.split('/').skip(1) {
        let step = |at: String| -> Vec<String> {
            let keys: Vec<String> = match spec.pointer(&at) {
                Some(serde_json::Value::Object(fields)) if part == "*" => {
                    fields.keys().cloned().collect()
                }
                Some(serde_json::Value::Array(items)) if part == "*" => {
                    (0..items.len()).map(|index| index.to_string()).collect()
                }
                _ => vec![part.to_owned()],
            };
            keys.into_iter().map(|key| format!("{at}/{}", key.replace('/', "~1"))).collect()
        };
        found = found.into_iter().flat_map(step).collect();
    }
    let holder = |at: &str| at.rfind('/').map_or("", |end| &at[..end]).to_owned();
    found.retain(|at| !at.contains("/*") && spec.pointer(&holder(at)).is_some());
    found
}

/// Fails with the name that the spec does not have.
fn holders_exist(pointer: &str, what: &str, spec: &serde_json::Value) -> Result<()> {
    let mut at = String::new();
    for part in pointer.split('/').skip(1) {
        let holder = spec.pointer(&at);
        let names = holder
            .and_then(serde_json::Value::as_object)
            .filter(|_| spec::field(&at).is_some_and(|field| field.fields.is_empty()));
        if let Some(names) = names.filter(|names| !names.contains_key(part)) {
            let message =
                format!("`{}` has no `{part}`, so there is no `{what}` here", dotted(&at));
            let fail = Fail::new(Exit::Error, message);
            return Err(match closest(part, names.keys().map(String::as_str)) {
                Some(near) => fail.hint(format!("did you mean `{near}`?")),
                None => fail.hint(format!("`*` stands for any name: `{}`", generic(pointer))),
            });
        }
        at = format!("{at}/{part}");
    }
    Ok(())
}

/// The pointer with `*` wherever the language takes any name.
fn generic(pointer: &str) -> String {
    let mut at = String::new();
    for part in pointer.split('/').skip(1) {
        let any = at.is_empty() || spec::field(&at).is_none_or(|field| !field.fields.is_empty());
        at = format!("{at}/{}", if any { part } else { "*" });
    }
    dotted(&at)
}

/// All fields in the form in which the user wrote theirs, for suggestions.
fn known_fields(pointer: &str) -> BTreeSet<String> {
    let given: Vec<&str> = pointer.split('/').collect();
    let named = |field: String| {
        let parts = field.split('/').enumerate();
        let part = |(index, part)| match part {
            "*" => given.get(index).copied().unwrap_or("*"),
            part => part,
        };
        dotted(&parts.map(part).collect::<Vec<_>>().join("/"))
    };
    spec::fields().into_iter().map(named).collect()
}

/// `workspaces.wk1.vpc` as a JSON pointer; a pointer stays what it is.
fn pointer(what: &str) -> String {
    if what.starts_with('/') {
        return what.to_owned();
    }
    what.split('.').map(|part| format!("/{part}")).collect()
}

/// A JSON pointer as people write it, unless a name in it has a dot.
fn dotted(pointer: &str) -> String {
    match pointer.contains('.') || pointer.contains('~') {
        true => pointer.to_owned(),
        false => pointer.trim_start_matches('/').replace('/', "."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_name_and_by_pattern() {
        let spec = serde_json::json!({
            "name": "a",
            "vpcs": { "main": { "zones": ["a", "b"] } },
            "workspaces": { "wk1": { "vpc": "main" }, "wk2": {} },
        });
        assert_eq!(
            matching("/workspaces/*/vpc", &spec),
            ["/workspaces/wk1/vpc", "/workspaces/wk2/vpc"]
        );
        assert_eq!(
            matching("/vpcs/main/zones/*", &spec),
            ["/vpcs/main/zones/0", "/vpcs/main/zones/1"]
        );
        assert_eq!(matching("/vpcs/main/nat", &spec), ["/vpcs/main/nat"]);
        assert_eq!(matching("/vpcs/other/nat", &spec), Vec::<String>::new());
        assert_eq!(generic("/workspaces/wk9/subnets/prefix"), "workspaces.*.subnets.prefix");
        assert_eq!(pointer("vpcs.main.nat"), "/vpcs/main/nat");
        let hint =
            holders_exist("/workspaces/wk3/vpc", "workspaces.wk3.vpc", &spec).expect_err("none");
        assert_eq!(hint.hints, ["did you mean `wk1`?"]);
    }
}
