//! What the spec itself requires, and what it accepts.

use std::collections::{BTreeMap, BTreeSet};

use spec::{Host, Internet, Remote};

use super::look::{DefaultRoute, default_route};
use super::{Broken, Case, Decided, Rule};
use crate::finding::Severity::{Error, Info, Warning};
use crate::proof::{Proof, Verdict};
use crate::topology::Target;

const FORBIDDEN: &str = "DBX-REQ-001";

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: FORBIDDEN,
        severity: Error,
        when: "`requirements` has `internet: forbidden`, and nodes have a way to the internet",
        fix: "set `nat: none` and give the VPC the endpoints that are missing, or allow `internet` in \
              `requirements`",
        source: "the spec",
        decided: Decided::Here(ways_out),
    },
    Rule {
        id: "DBX-REQ-002",
        severity: Error,
        when: "something in `requirements.reach` is not proven from every subnet of a workspace",
        fix: "see the way with `dbxctl check --details all`, or take it out of `requirements.reach`",
        source: "the spec",
        decided: Decided::Here(unreached),
    },
    Rule {
        id: "DBX-CHK-001",
        severity: Warning,
        when: "`accept` names a rule that does not exist",
        fix: "correct the name, or take it out of `accept`",
        source: "the spec",
        decided: Decided::Here(unknown_rules),
    },
    Rule {
        id: "DBX-CHK-002",
        severity: Info,
        when: "`accept` names a rule that nothing breaks",
        fix: "take it out of `accept`, unless only what `plan` reads breaks it",
        source: "the spec",
        decided: Decided::Here(unneeded),
    },
];

fn words(place: &[&str]) -> Vec<String> {
    place.iter().map(|word| (*word).to_owned()).collect()
}

/// NAT gateways that no way needs but nodes could use, and networks that always have one. Ways that do
/// go through one are blocked in the proof.
fn ways_out(case: &Case<'_>) -> Vec<Broken> {
    if case.spec.requirements.internet != Internet::Forbidden {
        return Vec::new();
    }
    let told: BTreeSet<&str> = blocks(case, FORBIDDEN).map(|(_, at)| at).collect();
    let mut nats: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (key, subnet) in case.node_subnets() {
        if let DefaultRoute::To(table, Target::NatGateway(nat)) = default_route(case, subnet)
            && !told.contains(nat.as_str())
        {
            nats.entry(nat).or_default().insert(if table.is_empty() { key } else { table });
        }
    }
    let nat = |(nat, tables): (&str, BTreeSet<&str>)| {
        let tables = tables.into_iter().collect::<Vec<_>>().join("`, `");
        let message = format!("`{tables}` leads out through `{nat}`, and the spec forbids that");
        Broken::new(nat, case.place(nat), message)
    };
    let managed = case.spec.workspaces.iter().filter(|(_, workspace)| workspace.vpc.is_none());
    let managed = managed.map(|(name, _)| {
        let message = format!(
            "Databricks makes the network of `{name}` with a way to the internet, and the spec forbids that"
        );
        let place = words(&["workspaces", name]);
        Broken::new(name, place, message).fix(format!("give `workspaces.{name}` a `vpc`"))
    });
    nats.into_iter().map(nat).chain(managed).collect()
}

/// Ways that a rule blocks, with the object at which it does.
fn blocks<'a>(case: &'a Case<'_>, rule: &'a str) -> impl Iterator<Item = (&'a Proof, &'a str)> {
    case.proofs.iter().filter_map(move |proof| match &proof.verdict {
        Verdict::Blocked { block, .. } if block.rule == rule => Some((proof, block.at.as_str())),
        _ => None,
    })
}

fn unreached(case: &Case<'_>) -> Vec<Broken> {
    let reach = &case.spec.requirements.reach;
    if reach.is_empty() {
        return Vec::new();
    }
    let mut ways: BTreeMap<&str, Vec<&Proof>> = BTreeMap::new();
    for proof in case.proofs {
        ways.entry(&proof.workspace).or_default().push(proof);
    }
    let mut all = Vec::new();
    for workspace in case.spec.workspaces.keys() {
        let ways = ways.get(workspace.as_str()).map(Vec::as_slice).unwrap_or_default();
        for entry in reach {
            let Some(why) = why_not(entry, ways) else { continue };
            let message = format!("`{workspace}` must reach `{entry}`, but {why}");
            all.push(Broken::new(workspace, words(&["requirements", "reach"]), message));
        }
    }
    all
}

/// Why it is not proven that every subnet reaches what is required.
fn why_not(entry: &str, ways: &[&Proof]) -> Option<String> {
    let mut asked = ways.iter().filter(|proof| is_meant(entry, proof)).peekable();
    if asked.peek().is_none() {
        return Some("no way there is part of its matrix".to_owned());
    }
    asked.find_map(|proof| {
        let Proof { class, to, from, .. } = proof;
        let here = match from.is_empty() {
            true => format!("{class} {to}"),
            false => format!("{class} {to} from `{from}`"),
        };
        match &proof.verdict {
            Verdict::Proven { .. } => None,
            Verdict::Blocked { block, .. } => Some(format!("{here} is blocked: {}", block.message)),
            Verdict::Unknown { why, .. } => Some(format!("{here} is unknown: {why}")),
            Verdict::NotRequired { why } => Some(format!("{here} is not looked at: {why}")),
        }
    })
}

/// Whether an entry of `requirements.reach` means this way.
fn is_meant(entry: &str, Proof { class, to, .. }: &Proof) -> bool {
    entry.eq_ignore_ascii_case(class)
        || entry.eq_ignore_ascii_case(to)
        || to.strip_prefix("bucket ") == Some(entry)
        || Remote::parse(entry).is_some_and(|remote| shown(&remote) == *to)
}

/// A remote as the matrix has it.
fn shown(Remote { host, port }: &Remote) -> String {
    match host {
        Host::Name(name) => format!("{name}:{port}"),
        Host::Range(range) if range.prefix_len() == 32 => format!("{}:{port}", range.addr()),
        Host::Range(range) => format!("{range}:{port}"),
    }
}

fn unknown_rules(case: &Case<'_>) -> Vec<Broken> {
    let unknown = |id: &&String| super::all().all(|rule| rule.id != id.as_str());
    let broken = |id: &String| {
        let message = format!("`accept` names `{id}`, and there is no such rule");
        let broken = Broken::new("accept", words(&["accept", id]), message);
        match spec::closest(id, super::all().map(|rule| rule.id)) {
            Some(near) => broken.fix(format!("did you mean `{near}`?")),
            None => broken,
        }
    };
    case.spec.accept.keys().filter(unknown).map(broken).collect()
}

fn unneeded(case: &Case<'_>) -> Vec<Broken> {
    let idle = |id: &&String| match super::all().find(|rule| rule.id == id.as_str()) {
        None => false,
        // Nothing is gained by judging the judge.
        Some(rule) if rule.id.starts_with("DBX-CHK") => false,
        Some(Rule { id, decided: Decided::Here(look), .. }) => {
            look(case).is_empty() && blocks(case, id).next().is_none()
        }
        Some(rule) => blocks(case, rule.id).next().is_none(),
    };
    let broken = |id: &String| {
        let message = format!("`accept` names `{id}`, which nothing breaks");
        Broken::new("accept", words(&["accept", id]), message)
    };
    case.spec.accept.keys().filter(idle).map(broken).collect()
}
