//! Every rule: a case that breaks it, and a near miss that does not.

mod dns;
mod ept;
mod iam;
mod kms;
mod net;
mod plk;
mod req;
mod rte;
mod sgr;
mod sto;
mod topologies;
mod wsp;

use std::collections::{BTreeMap, BTreeSet};

use check::topology::Objects;
use check::{Decided, Severity};
use dbxctl_check as check;

use crate::stage::Stage;

/// A rule, a stage that breaks it, and one that almost does.
pub(crate) struct Sample {
    pub(crate) rule: &'static str,
    pub(crate) broken: Stage,
    pub(crate) fine: Stage,
}

const REGION: &str = "ap-northeast-1";

/// A stage in the region, from the networks and workspaces of a spec.
pub(crate) fn stage(body: &str) -> Stage {
    stage_in(REGION, body)
}

/// A stage in some region.
pub(crate) fn stage_in(region: &str, body: &str) -> Stage {
    let head = format!(
        "apiVersion: dbxctl/v1\nname: test\nregion: {region}\naws: {{ account: \"123456789012\" }}\n\
         databricks: {{ account: 3f8a1c52-7d40-4be1-9c6e-2b5d8e0f1a77 }}\n"
    );
    Stage::of(&format!("{head}{body}"))
}

/// One workspace in a VPC with a NAT gateway in each zone.
pub(crate) fn open() -> Stage {
    stage(
        "vpcs:
  main: { cidr: 10.0.0.0/16, zones: [ap-northeast-1a, ap-northeast-1c], nat: per_zone }
workspaces:
  wk1: { vpc: main }
",
    )
}

/// One workspace in a VPC without a way out: everything goes through endpoints.
pub(crate) fn closed() -> Stage {
    stage(
        "vpcs:
  main:
    cidr: 10.0.0.0/16
    zones: [ap-northeast-1a, ap-northeast-1c]
    nat: none
    private_link: { backend: true, frontend: true }
workspaces:
  wk1: { vpc: main, uses: { legacy_metastore: false } }
",
    )
}

/// An object of a topology that must be there and known.
pub(crate) fn object<'a, T>(objects: &'a mut Objects<T>, key: &str) -> &'a mut T {
    let there: Vec<String> = objects.keys().cloned().collect();
    let object = objects.get_mut(key).and_then(Option::as_mut);
    object.unwrap_or_else(|| panic!("no {key} in {there:?}"))
}

fn samples() -> Vec<Sample> {
    let areas = [
        net::samples(),
        rte::samples(),
        sgr::samples(),
        ept::samples(),
        dns::samples(),
        plk::samples(),
        iam::samples(),
        sto::samples(),
        kms::samples(),
        wsp::samples(),
        req::samples(),
    ];
    areas.into_iter().flatten().collect()
}

/// Rules whose severity differs from the reference, each with the reason.
const OTHER_SEVERITY: &[(&str, Severity, &str)] = &[(
    "DBX-NET-024",
    Severity::Warning,
    "it works: the PrivateLink guide itself lets endpoints share a private subnet while there is NAT",
)];

/// A line of the reference.
struct Listed {
    id: &'static str,
    severity: Severity,
    phases: BTreeSet<&'static str>,
}

fn listed() -> Vec<Listed> {
    let lines = include_str!("reference.txt").lines().filter(|line| !line.starts_with('#'));
    let listed = |line: &'static str| {
        let [id, severity, phases] = line.split(' ').collect::<Vec<_>>()[..] else {
            panic!("not a rule: {line}")
        };
        let severity = match severity {
            "error" => Severity::Error,
            "warning" => Severity::Warning,
            "info" => Severity::Info,
            other => panic!("not a severity: {other}"),
        };
        Listed { id, severity, phases: phases.split(',').collect() }
    };
    lines.map(listed).collect()
}

/// `DBX-NET` of `DBX-NET-001`.
fn area(id: &str) -> &str {
    id.rsplit_once('-').map_or(id, |(area, _)| area)
}

/// Whether a rule is ours, and not of the reference.
fn own(id: &str) -> bool {
    matches!(area(id), "DBX-REQ" | "DBX-CHK")
}

/// Fails with all of them, one a line.
fn none(wrong: &[String]) {
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_catalogue_holds_every_rule_of_the_reference_once() {
    let mut catalogue: BTreeMap<&str, Vec<Severity>> = BTreeMap::new();
    for rule in check::rules() {
        catalogue.entry(rule.id).or_default().push(rule.severity);
    }
    let mut wrong = Vec::new();
    for Listed { id, severity, .. } in listed() {
        let other = OTHER_SEVERITY.iter().find(|(deviant, ..)| *deviant == id);
        let wanted = other.map_or(severity, |(_, wanted, _)| *wanted);
        match catalogue.remove(id).as_deref() {
            None => wrong.push(format!("{id} is missing")),
            Some([found]) if *found == wanted => {}
            Some([found]) => wrong.push(format!("{id} is {found:?}, not {wanted:?}")),
            Some(all) => wrong.push(format!("{id} is there {} times", all.len())),
        }
    }
    for (id, all) in catalogue {
        if !own(id) {
            wrong.push(format!("{id} is not in the reference"));
        } else if all.len() > 1 {
            wrong.push(format!("{id} is there {} times", all.len()));
        }
    }
    none(&wrong);
}

#[test]
fn the_catalogue_is_in_order() {
    let ids: Vec<&str> = check::rules().map(|rule| rule.id).collect();
    let unordered = ids.windows(2).filter(|two| area(two[0]) == area(two[1]) && two[0] >= two[1]);
    none(&unordered.map(|two| format!("{} comes before {}", two[0], two[1])).collect::<Vec<_>>());
    let mut areas: Vec<&str> = ids.iter().map(|id| area(id)).collect();
    areas.dedup();
    let distinct: BTreeSet<&str> = areas.iter().copied().collect();
    assert_eq!(areas.len(), distinct.len(), "an area is in two places: {areas:?}");
}

#[test]
fn every_rule_explains_itself() {
    let said = |rule: &check::Rule| {
        let decided = match rule.decided {
            Decided::Here(_) | Decided::Proof => "decided by us",
            Decided::Language(why) | Decided::Plan(why) | Decided::Live(why) => why,
        };
        [rule.when, rule.fix, rule.source, decided].iter().all(|text| !text.trim().is_empty())
    };
    let silent = check::rules().filter(|rule| !said(rule));
    none(&silent.map(|rule| format!("{} leaves something unsaid", rule.id)).collect::<Vec<_>>());
}

#[test]
fn what_only_a_live_account_shows_is_not_claimed() {
    let live: BTreeSet<&str> = listed()
        .into_iter()
        .filter(|listed| listed.phases == BTreeSet::from(["L"]))
        .map(|listed| listed.id)
        .collect();
    let claimed = check::rules()
        .filter(|rule| live.contains(rule.id) && !matches!(rule.decided, Decided::Live(_)));
    none(&claimed.map(|rule| format!("{} needs a live account", rule.id)).collect::<Vec<_>>());
}

#[test]
fn every_rule_that_is_decided_has_a_sample() {
    let shown: BTreeSet<&str> = samples().iter().map(|sample| sample.rule).collect();
    let decided =
        check::rules().filter(|rule| matches!(rule.decided, Decided::Here(_) | Decided::Proof));
    let missing = decided.filter(|rule| !shown.contains(rule.id));
    none(&missing.map(|rule| format!("{} has no sample", rule.id)).collect::<Vec<_>>());
}

#[test]
fn samples_break_their_rule_and_near_misses_do_not() {
    let mut wrong = Vec::new();
    for Sample { rule, broken, fine } in samples() {
        let spec = serde_json::to_value(&broken.spec).expect("a spec is JSON");
        let report = broken.check();
        let mut found = report.findings.iter().filter(|finding| finding.rule == rule).peekable();
        if found.peek().is_none() {
            let others: BTreeSet<&str> = report.findings.iter().map(|f| f.rule).collect();
            wrong.push(format!("{rule}: not found, only {others:?}"));
        }
        for finding in found {
            if finding.fix.trim().is_empty() {
                wrong.push(format!("{rule}: nothing mends {}", finding.subject));
            }
            // The field itself may be left out: then its default is to be changed.
            let holder = finding.pointer.rsplit_once('/').map_or("", |(holder, _)| holder);
            if spec.pointer(holder).is_none() {
                wrong.push(format!("{rule}: the spec has no {}", finding.pointer));
            }
        }
        for finding in fine.check().findings.iter().filter(|finding| finding.rule == rule) {
            wrong.push(format!("{rule}: the near miss: {}", finding.message));
        }
    }
    none(&wrong);
}
