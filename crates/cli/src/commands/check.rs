//! `dbxctl check`: what would not work once it is built, told before anything is.

use std::path::PathBuf;

use check::proof::Proof;
use check::topology::Topology;
use check::{Capacity, Finding, Limit, Location, Report, RoomChange, Severity};
use engine::{Role, State, World};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use spec::{Diagnostic, Mistake, closest};

use crate::args::{CheckFormat, Global};
use crate::exit::{Exit, Fail, Result};
use crate::render::{self, Chosen};
use crate::setup::{Loaded, load};

pub(crate) struct Options {
    pub(crate) format: CheckFormat,
    /// `WORKSPACE[:CLASS]`, or `all`.
    pub(crate) details: Option<String>,
    pub(crate) info: bool,
    pub(crate) rules: bool,
}

pub(crate) fn run(files: &[PathBuf], options: &Options, global: &Global) -> Result {
    if options.rules {
        render::result(&render::rules(check::rules()));
        return Ok(Exit::Done);
    }
    let loaded = load(files, global)?;
    let mut report = examine(&loaded, &World::default());
    let exit = match report.refusals().next() {
        Some(_) => Exit::Refused,
        None => Exit::Done,
    };
    let locate = |pointer: &str| locate(&loaded, pointer);
    render::result(&match options.format {
        CheckFormat::Human => {
            let spec = &loaded.written.spec;
            let view = render::View { spec, report: &report, locate: &locate, info: options.info };
            match &options.details {
                Some(words) => view.details(&chosen(words, &report)?),
                None => view.matrices(),
            }
        }
        CheckFormat::Json => json(&Answer::of(&report, &locate)),
        CheckFormat::Sarif => {
            report.findings.retain(|f| options.info || f.severity > Severity::Info);
            json(&check::sarif(&report, &locate))
        }
    });
    Ok(exit)
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).expect("findings are plain data") + "\n"
}

/// What `--details` is about.
fn chosen<'a>(words: &'a str, report: &Report) -> Result<Chosen<'a>> {
    let (workspace, class) = match words.split_once(':') {
        Some((workspace, class)) => (workspace, Some(class)),
        None => (words, None),
    };
    let all = words == "all" || workspace.is_empty();
    let chosen = Chosen { workspace: (!all).then_some(workspace), class };
    if words == "all" || report.proofs.iter().any(|proof| chosen.takes(proof)) {
        return Ok(chosen);
    }
    let of_workspace = Chosen { class: None, ..chosen };
    let here: Vec<&Proof> =
        report.proofs.iter().filter(|proof| of_workspace.takes(proof)).collect();
    let (what, word, known): (_, _, Vec<&str>) = match class.filter(|_| !here.is_empty()) {
        Some(class) => {
            let names = here.iter().flat_map(|proof| [proof.class, proof.to.as_str()]);
            ("destination", class, names.collect())
        }
        None => {
            let names = report.proofs.iter().map(|proof| proof.workspace.as_str());
            ("workspace", workspace, names.collect())
        }
    };
    let fail = Fail::new(Exit::Error, format!("the matrix has no {what} `{word}`"));
    Err(match closest(word, known) {
        Some(near) => fail.hint(format!("did you mean `{near}`?")),
        None => fail.hint("see `dbxctl check` for those it has"),
    })
}

/// The report on a spec, without values from the environment.
pub(super) fn examine(loaded: &Loaded, world: &World) -> Report {
    let mut report = check::check(&loaded.written.spec, &loaded.graph, world);
    for finding in &mut report.findings {
        for text in [&mut finding.message, &mut finding.fix].into_iter().chain(&mut finding.symptom)
        {
            *text = loaded.written.hide(std::mem::take(text));
        }
    }
    report
}

/// Where a JSON pointer of the spec is written, or else what holds it.
pub(super) fn locate(loaded: &Loaded, pointer: &str) -> Option<Location> {
    let place = loaded.written.places.find(pointer)?;
    Some(Location { file: place.file.to_string(), line: place.line, column: place.column })
}

/// What `--format json` prints: the report, and where in the files its findings are.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Answer<'a> {
    pub(crate) format: u32,
    pub(crate) stack: &'a str,
    /// The worst first.
    pub(crate) findings: Vec<Placed<'a>>,
    /// Every way that was looked at: workspace by workspace, subnet by subnet.
    pub(crate) proofs: &'a [Proof],
    pub(crate) capacity: &'a Capacity,
    pub(crate) limits: &'a [Limit],
}

/// A finding and where the spec says what it is about.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Placed<'a> {
    #[serde(flatten)]
    finding: &'a Finding,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<Location>,
}

impl<'a> Answer<'a> {
    pub(crate) fn of(report: &'a Report, locate: &dyn Fn(&str) -> Option<Location>) -> Answer<'a> {
        let Report { format, stack, findings, proofs, capacity, limits } = report;
        let placed = |finding: &'a Finding| Placed { finding, at: locate(&finding.pointer) };
        let findings = findings.iter().map(placed).collect();
        Answer { format: *format, stack, findings, proofs, capacity, limits }
    }
}

/// What a plan keeps of the check.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Checked {
    /// What was found and will hurt.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) warnings: Vec<Warning>,
    /// What was found and the spec accepts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) accepted: Vec<Accepted>,
    /// Workspaces that get room for more nodes, or for fewer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) room: Vec<RoomChange>,
}

impl Checked {
    /// Whether there is nothing to tell.
    pub(crate) fn is_empty(&self) -> bool {
        let Checked { warnings, accepted, room } = self;
        warnings.is_empty() && accepted.is_empty() && room.is_empty()
    }
}

/// A warning, as a plan keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Warning {
    pub(crate) rule: String,
    /// The object it is about, by address; the name of a workspace when it is about all of it.
    pub(crate) subject: String,
    /// The place in the spec that mends it, as a JSON pointer.
    pub(crate) pointer: String,
    pub(crate) message: String,
    /// The smallest change that mends it.
    pub(crate) fix: String,
    /// What users would see, in the words of Databricks or AWS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) symptom: Option<String>,
}

/// A finding the spec accepts, as a plan keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Accepted {
    pub(crate) rule: String,
    pub(crate) severity: String,
    /// The object it is about, by address; the name of a workspace when it is about all of it.
    pub(crate) subject: String,
    pub(crate) message: String,
    /// Why the spec accepts it.
    pub(crate) reason: String,
}

/// A spec that nothing was found against which stops a plan.
pub(crate) struct Passed {
    report: Report,
}

/// Checks a spec before any network or state is touched; what is wrong with it becomes the failure.
/// Warnings are counted on stderr.
pub(crate) fn pass(loaded: &Loaded) -> Result<Passed> {
    let passed = Passed::of(loaded, &World::default())?;
    if let Some(line) = render::counted(&passed.report) {
        render::note(&line);
    }
    Ok(passed)
}

impl Passed {
    fn of(loaded: &Loaded, world: &World) -> Result<Passed> {
        let report = examine(loaded, world);
        if report.refusals().next().is_some() {
            return Err(refused(loaded, &report));
        }
        Ok(Passed { report })
    }

    /// The same now that the objects the spec only uses have been read.
    pub(crate) fn again(self, loaded: &Loaded, world: &World) -> Result<Passed> {
        let used = |node: &engine::Node| matches!(node.role, Role::Used { .. });
        // The sandbox invents what is used: nothing can be learnt from that.
        if loaded.target.sandbox || !loaded.graph.nodes.values().any(used) {
            return Ok(self);
        }
        let now = Passed::of(loaded, world)?;
        let (before, line) = (render::counted(&self.report), render::counted(&now.report));
        if let Some(line) = line.filter(|line| before.as_ref() != Some(line)) {
            render::note(&line);
        }
        Ok(now)
    }

    /// What a plan tells of it, for what exists as the state knows it.
    pub(crate) fn told(&self, loaded: &Loaded, state: &State) -> Checked {
        let spec = &loaded.written.spec;
        let world = World::remembered(state);
        let now = Topology::of(&spec.region, &state.as_used(), &world);
        let room = check::capacity(spec, &now).changes(&self.report.capacity);
        Checked { warnings: self.warnings(), accepted: self.accepted(), room }
    }

    fn warnings(&self) -> Vec<Warning> {
        let open = |f: &&Finding| f.severity == Severity::Warning && f.accepted.is_none();
        let warning = |finding: &Finding| {
            let Finding { rule, subject, pointer, message, fix, symptom, .. } = finding.clone();
            Warning { rule: rule.to_owned(), subject, pointer, message, fix, symptom }
        };
        self.report.findings.iter().filter(open).map(warning).collect()
    }

    /// What the spec accepts of what was found.
    fn accepted(&self) -> Vec<Accepted> {
        let accepted = |finding: &Finding| {
            Some(Accepted {
                rule: finding.rule.to_owned(),
                severity: render::severity(finding.severity).to_owned(),
                subject: finding.subject.clone(),
                message: finding.message.clone(),
                reason: finding.accepted.clone()?,
            })
        };
        self.report.findings.iter().filter_map(accepted).collect()
    }
}

/// Findings as mistakes in the spec, each at its line.
fn refused(loaded: &Loaded, report: &Report) -> Fail {
    let mistake = |finding: &Finding| Mistake {
        pointer: finding.pointer.clone(),
        rule: Some(finding.rule.to_owned()),
        notes: finding
            .symptom
            .iter()
            .map(|symptom| format!("users would see: {symptom}"))
            .collect(),
        ..Mistake::error(&[], finding.message.clone()).help(finding.fix.clone())
    };
    let found: Vec<Diagnostic> = loaded.written.explain(report.refusals().map(mistake));
    let style = render::style();
    let text = spec::render(&found, &loaded.sources, style.color, style.width);
    Fail::rendered(Exit::Refused, text)
        .hint("see `dbxctl check` for the whole picture; nothing was touched")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::sample;

    #[test]
    fn the_answer_fits_its_schema() {
        let report = sample::report();
        let answer = Answer::of(&report, &|pointer| {
            (pointer.len() > 14).then(|| Location { file: pointer.to_owned(), line: 1, column: 2 })
        });
        let answer = serde_json::to_value(&answer).expect("plain data");
        let schema = schemars::schema_for!(Answer<'_>).to_value();
        let validator = jsonschema::options().offline().build(&schema).expect("a schema");
        let wrong: Vec<String> = validator.iter_errors(&answer).map(|e| e.to_string()).collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
        assert!(!validator.is_valid(&serde_json::json!({ "format": 1 })));
    }

    #[test]
    fn details_are_of_what_there_is() {
        let report = sample::report();
        for words in ["", "wk1", "wk1:D13", "wk1:d13", "wk1:sts", ":D13", "wk1:pypi.org:443"] {
            assert!(chosen(words, &report).is_ok(), "{words}");
        }
        let hint = |words| chosen(words, &report).map(|_| ()).expect_err("nothing").hints;
        assert_eq!(hint("wk9"), ["did you mean `wk1`?"]);
        assert_eq!(hint("wk1:stt"), ["did you mean `sts`?"]);
        assert_eq!(hint("wk1:lakebase"), ["see `dbxctl check` for those it has"]);
    }
}
