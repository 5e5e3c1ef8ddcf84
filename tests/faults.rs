//! Each way a cloud can fail, on each family of its APIs: the run gets there, or says what is in the
//! way and the next one gets there. Nothing is there twice.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::sync::{Mutex, PoisonError};
use std::thread;

use serde_json::json;

use crate::clouds::{Clouds, Moto, Output, Verifier, full};
use crate::proxy::{Calls, Fault};
use crate::wire::spec;

/// Clouds side by side: mostly everybody waits.
const PAIRS: usize = 6;

/// What is expected of a run with a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expect {
    /// It gets there by itself.
    Done,
    /// It stops and its words hold all of these; without the fault the next run gets there.
    Explained(&'static [&'static str]),
}

/// One cell of the matrix.
#[derive(Debug, Clone)]
struct Cell {
    class: &'static str,
    family: &'static str,
    faults: Vec<(Calls, Fault, usize)>,
    expect: Expect,
}

const FAMILIES: [&str; 6] = ["ec2", "iam", "s3", "sts", "databricks", "token"];
/// Those with calls that change something.
const CHANGING: [&str; 4] = ["ec2", "iam", "s3", "databricks"];

/// One call of each family, and what a step that fails there says about itself.
fn one_call(family: &str) -> (&'static str, &'static [&'static str]) {
    match family {
        "ec2" => ("ec2:CreateSubnet", &["aws.subnet/", "creating it: ec2:CreateSubnet"]),
        "iam" => ("iam:CreateRole", &["aws.role/", "creating it: iam:CreateRole"]),
        "s3" => ("s3:PUT bucket", &["aws.bucket/", "creating it: s3:CreateBucket"]),
        "sts" => ("sts:GetCallerIdentity", &["sts:GetCallerIdentity"]),
        "databricks" => {
            ("databricks:POST /networks", &["databricks.network/", "creating it: POST"])
        }
        _ => ("databricks:POST /oidc/accounts/{id}/v1/token", &["POST /oidc/accounts/…/v1/token"]),
    }
}

fn matrix() -> Vec<Cell> {
    let mut cells = Vec::new();
    let mut add = |class, family, faults, expect| {
        cells.push(Cell { class, family, faults, expect });
    };
    // Each call of the family fails once: all of them, or those that change something.
    let all = |family, fault| {
        vec![(Calls::Changing(family), fault, 1), (Calls::Reading(family), fault, 1)]
    };
    let named =
        |family, fault, times| vec![(Calls::Named(one_call(family).0.to_owned()), fault, times)];
    for family in FAMILIES {
        for (class, fault) in [
            ("throttled", Fault::Throttle),
            ("503, empty body, no effect", Fault::Unavailable),
            ("500 with a web page", Fault::ErrorPage),
            ("connection lost before the effect", Fault::DropRequest),
        ] {
            add(class, family, all(family, fault), Expect::Done);
        }
        add(
            "throttled five times running",
            family,
            named(family, Fault::Throttle, 5),
            Expect::Done,
        );
        // A page from a captive portal or a sign-in service.
        let aws = !matches!(family, "databricks" | "token");
        let page = if aws { Expect::Done } else { Expect::Explained(&["a web page", "Sign in"]) };
        add("200 with a web page", family, named(family, Fault::Page, 1), page);
        let redirect: &[&str] = if aws {
            &["HTTP 302, redirected to `https://login.example.com/sign-in`"]
        } else {
            &["redirected to https://login.example.com/sign-in"]
        };
        let redirected = Expect::Explained(redirect);
        add("redirect to a sign-in page", family, named(family, Fault::Redirect, 1), redirected);
        let denied: &[&str] = match family {
            "ec2" => &["UnauthorizedOperation: the caller may not do this", "from-the-proxy"],
            "databricks" => &["PERMISSION_DENIED: the caller may not do this", "from-the-proxy"],
            "token" => &["invalid_client: Client authentication failed", "from-the-proxy"],
            _ => &["AccessDenied: the caller may not do this", "from-the-proxy"],
        };
        let times = usize::MAX;
        add("denied", family, named(family, Fault::Denied, times), Expect::Explained(denied));
    }
    for family in CHANGING {
        let lost = vec![(Calls::Changing(family), Fault::DropAnswer, 1)];
        add("connection lost after the effect", family, lost.clone(), Expect::Done);
        let broken = vec![(Calls::Changing(family), Fault::ErrorAfterEffect, 1)];
        add("500 after the effect", family, broken, Expect::Done);
        let stale = (Calls::Reading(family), Fault::Stale, 3);
        add("stale reads after each change", family, vec![stale.clone()], Expect::Done);
        let both = lost.into_iter().chain([stale]).collect();
        add("lost after the effect, and stale reads", family, both, Expect::Done);
    }
    let once = |action: &str, fault, times| vec![(Calls::Named(action.to_owned()), fault, times)];
    let gone = once("databricks:DELETE /networks/{id}", Fault::EmptyConflict, 3);
    add("409 without a word on deletion", "databricks", gone, Expect::Done);
    let not_ready = once("databricks:POST /credentials", Fault::RoleNotReady, 4);
    add("a new role is not known yet", "databricks", not_ready, Expect::Done);
    let expired = all("databricks", Fault::TokenExpired);
    add("each call meets an expired token", "databricks", expired, Expect::Done);
    let empty = once("databricks:POST /networks", Fault::EmptyConflict, 1);
    add(
        "409 without a word on creation",
        "databricks",
        empty,
        Expect::Explained(&["409 Conflict"]),
    );
    cells
}

#[test]
fn every_fault_passes_or_is_explained() {
    let reference = Pair::start().reference();
    let cells = matrix();
    let most = if full() { cells.len() } else { 14 };
    let chosen = (0..most).map(|n| cells[n * cells.len() / most].clone());
    let queue: Mutex<VecDeque<Cell>> = Mutex::new(chosen.collect());
    let table: Mutex<BTreeMap<(&str, &str), String>> = Mutex::default();
    thread::scope(|scope| {
        for _ in 0..PAIRS.min(most) {
            scope.spawn(|| {
                let mut pair = Pair::start();
                loop {
                    let cell = lock(&queue).pop_front();
                    let Some(cell) = cell else { break };
                    let result = pair.meet(&cell, &reference);
                    let text = match result {
                        Ok(how) => format!("ok: {how}"),
                        Err(why) => format!("FAILED: {why}"),
                    };
                    tell(&format!("{} | {} | {text}", cell.class, cell.family));
                    lock(&table).insert((cell.class, cell.family), text);
                }
            });
        }
    });
    let table = table.into_inner().unwrap_or_else(PoisonError::into_inner);
    let failed: Vec<_> = table.iter().filter(|(_, text)| text.starts_with("FAILED")).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    assert_eq!(table.len(), most);
}

/// Clouds and somebody who looks at them.
struct Pair {
    clouds: Clouds,
    verifier: Verifier,
}

/// What is there after each stage when nothing fails.
struct Reference {
    made: String,
    changed: String,
}

type Checked<T = ()> = Result<T, String>;

impl Pair {
    fn start() -> Pair {
        let clouds = Clouds::start(Moto::Patched);
        let verifier = clouds.start_verifier();
        let pair = Pair { clouds, verifier };
        let mut spec = spec(1);
        spec["workspaces"]["wk0"]["storage"] = json!({ "catalog_role": {} });
        fs::write(pair.file("spec.json"), spec.to_string()).expect("the folder is ours");
        // Something of each family changes: other subnets, so another network; policies; a bucket.
        spec["workspaces"]["wk0"]["subnets"]["block"] = json!(9);
        spec["workspaces"]["wk0"]["storage"]["versioning"] = json!(true);
        spec["tags"]["owner"] = json!("somebody else");
        fs::write(pair.file("changed.json"), spec.to_string()).expect("the folder is ours");
        pair
    }

    fn file(&self, name: &str) -> String {
        self.clouds.folder().join(name).to_str().expect("plain names").to_owned()
    }

    fn run(&self, verb: &str, spec: &str) -> Output {
        self.clouds.dbxctl(&[verb, &self.file(spec), "--yes"])
    }

    fn marks(&mut self, spec: &str) -> Checked<String> {
        let file = self.file(spec);
        self.verifier.ask(&["marks", &file])
    }

    fn reference(mut self) -> Reference {
        self.run("apply", "spec.json").expect(0);
        let made = self.marks("spec.json").expect("the clouds can be looked at");
        self.run("apply", "changed.json").expect(0);
        let changed = self.marks("changed.json").expect("the clouds can be looked at");
        Reference { made, changed }
    }

    /// A whole life, with the cell's faults in each stage of it. Says in how many runs.
    fn meet(&mut self, cell: &Cell, reference: &Reference) -> Checked<String> {
        self.clouds.reset();
        let (mut met, mut runs) = (0, 0);
        for (verb, spec, marks) in [
            ("apply", "spec.json", Some(&reference.made)),
            ("apply", "changed.json", Some(&reference.changed)),
            ("destroy", "changed.json", None),
        ] {
            for (calls, fault, times) in &cell.faults {
                self.clouds.journal.fail_all(calls.clone(), *fault, *times);
            }
            let first = self.run(verb, spec);
            runs += 1;
            let hits = self.clouds.journal.end_faults();
            met += hits;
            let code = first.status.code();
            match cell.expect {
                // A stage may not make the call that fails.
                Expect::Explained(words) if hits > 0 => {
                    explained(cell.family, words, code, &first.stderr)?;
                    let next = self.run(verb, spec);
                    runs += 1;
                    done(verb, &next)?;
                }
                _ => done(verb, &first)?,
            }
            self.is_right(spec, marks)?;
        }
        match met {
            0 => Err("the fault was never met".to_owned()),
            met => Ok(format!("{met} faults in {runs} runs")),
        }
    }

    /// Nothing is left to do; what is there is what is there without faults.
    fn is_right(&mut self, spec: &str, marks: Option<&String>) -> Checked {
        let file = self.file(spec);
        let Some(marks) = marks else {
            return self.verifier.ask(&["empty", &file]).map(drop);
        };
        let plan = self.clouds.dbxctl(&["plan", &file, "--detailed-exitcode"]);
        done("plan", &plan)?;
        self.verifier.ask(&["applied", &file])?;
        let now = self.marks(spec)?;
        if now == *marks { Ok(()) } else { Err(format!("there is\n{now}\nand not\n{marks}")) }
    }
}

fn done(verb: &str, output: &Output) -> Checked {
    match output.status.code() {
        Some(0) => Ok(()),
        _ => Err(format!("{verb}: {}\n{}{}", output.status, output.stdout, output.stderr)),
    }
}

/// What failed, what was being done, in the service's words, and what to do.
fn explained(family: &str, words: &[&str], code: Option<i32>, stderr: &str) -> Checked {
    // The identity is checked before anything is begun.
    let expected =
        if matches!(family, "sts" | "token") { [Some(1), Some(6)] } else { [Some(6); 2] };
    if !expected.contains(&code) {
        return Err(format!("ended with {code:?}\n{stderr}"));
    }
    let (_, place) = one_call(family);
    for wanted in words.iter().chain(place).chain(&["hint:"]) {
        if !stderr.contains(wanted) {
            return Err(format!("no {wanted:?} in\n{stderr}"));
        }
    }
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[expect(clippy::print_stdout, reason = "figures for whoever runs the whole matrix")]
fn tell(text: &str) {
    println!("{text}");
}
