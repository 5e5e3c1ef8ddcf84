//! What somebody changes behind dbxctl's back, with other clients, is noticed and put back.

use serde_json::Value;

use crate::clouds::{Clouds, Moto, Output, Verifier, full, top};

/// One deployment of the shared-vpc example, changed and repaired again and again.
#[test]
fn every_change_behind_our_back_is_noticed_and_put_back() {
    let mut run = Run::start();
    run.dbxctl("apply", &["--yes"]).expect(0);
    run.verifier.ask(&["applied", &run.spec]).expect("what the spec says");
    run.untouched();

    let names = run.verifier.ask(&["mutations"]).expect("the names");
    let all: Vec<&str> = names.lines().collect();
    assert!(all.len() >= 60, "only {} changes", all.len());
    let step = if full() { 1 } else { all.len().div_ceil(10) };
    let chosen: Vec<&str> = all.iter().copied().step_by(step).collect();
    let (mut noticed, mut repaired, mut wrong) = (0, 0, Vec::new());
    for name in &chosen {
        match run.round(name) {
            Ok(()) => (noticed, repaired) = (noticed + 1, repaired + 1),
            Err(Missed::Unrepaired(why)) => {
                noticed += 1;
                wrong.push(format!("{name}: not repaired: {why}"));
            }
            Err(Missed::Unnoticed(why)) => wrong.push(format!("{name}: not noticed: {why}")),
        }
        tell(&format!("noticed {noticed}, repaired {repaired} after {name}"));
    }
    let count = chosen.len();
    tell(&format!("noticed {noticed}/{count}, repaired {repaired}/{count}"));
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    run.untouched();
}

enum Missed {
    Unnoticed(String),
    Unrepaired(String),
}

struct Run {
    clouds: Clouds,
    verifier: Verifier,
    spec: String,
}

impl Run {
    fn start() -> Run {
        let clouds = Clouds::start(Moto::Patched);
        let example = top().join("examples/shared-vpc.yaml");
        let path = |path: &std::path::Path| path.to_str().expect("a plain name").to_owned();
        clouds.verify(&["prepare", &path(&example), &path(clouds.folder())]).expect(0);
        let spec = path(&clouds.folder().join("spec.json"));
        let verifier = clouds.start_verifier();
        Run { clouds, verifier, spec }
    }

    fn dbxctl(&self, verb: &str, options: &[&str]) -> Output {
        self.clouds.dbxctl(&[&[verb, &self.spec], options].concat())
    }

    /// No false drift.
    #[track_caller]
    fn untouched(&self) {
        self.dbxctl("plan", &["--drift-only"]).expect(0);
        self.dbxctl("plan", &["--detailed-exitcode"]).expect(0);
    }

    fn round(&mut self, name: &str) -> Result<(), Missed> {
        let address =
            self.verifier.ask(&["mutate", &self.spec, name]).map_err(Missed::Unnoticed)?;
        let drift = self.dbxctl("plan", &["--drift-only", "--format", "json"]);
        let seen = (drift.status.code() == Some(2)).then(|| addresses(&drift.stdout));
        if !seen.is_some_and(|seen| seen.contains(&address)) {
            return Err(Missed::Unnoticed(format!("{address} is not in {drift:?}")));
        }
        let applied = self.dbxctl("apply", &["--yes"]);
        if applied.status.code() != Some(0) {
            return Err(Missed::Unrepaired(format!("{applied:?}")));
        }
        self.verifier.ask(&["applied", &self.spec]).map_err(Missed::Unrepaired)?;
        let plan = self.dbxctl("plan", &["--detailed-exitcode"]);
        match plan.status.code() {
            Some(0) => Ok(()),
            _ => Err(Missed::Unrepaired(format!("{plan:?}"))),
        }
    }
}

/// The addresses of a plan's steps.
fn addresses(plan: &str) -> Vec<String> {
    let plan: Value = serde_json::from_str(plan).expect("a plan is JSON");
    let steps = plan["plan"]["steps"].as_array().expect("a plan has steps");
    steps.iter().filter_map(|step| step["address"].as_str().map(str::to_owned)).collect()
}

#[expect(clippy::print_stderr, reason = "the figures are the result; the runner shows them")]
fn tell(line: &str) {
    eprintln!("{line}");
}
