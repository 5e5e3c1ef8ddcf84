//! Every call over the wire: the real clients against moto and the account server.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::clouds::{ACCOUNT, AWS_ACCOUNT, Clouds, Moto, examples, top};
use crate::proxy::{Fault, Side};

/// moto as published is the independent opinion about requests, answers, ids and tags.
#[test]
fn examples_come_and_go_on_moto_as_it_is() {
    for example in examples() {
        comes_and_goes(&Run::of_example(Moto::AsIs, &example));
    }
}

/// With pending states, refused deletes, pages and unknown principals.
#[test]
fn examples_come_and_go_on_a_stricter_moto() {
    for example in examples() {
        comes_and_goes(&Run::of_example(Moto::Patched, &example));
    }
}

/// What is only used is judged once it has been read, and still before anything is touched.
#[test]
fn a_used_network_without_a_way_out_is_refused() {
    let run = Run::of_example(Moto::AsIs, &top().join("examples/existing-vpc.yaml"));
    run.dbxctl("plan", &["--detailed-exitcode"]).expect(2);
    run.clouds.verify(&["close", &run.file("spec.json")]).expect(0);
    run.clouds.journal.clear();
    for (verb, options) in [("plan", &[][..]), ("apply", &["--yes"])] {
        let refused = run.dbxctl(verb, options).expect(3).stderr;
        let told = refused.contains("DBX-RTE-008") && refused.contains("METASTORE");
        assert!(told, "{refused}");
    }
    assert!(run.clouds.journal.calls().iter().all(|call| !call.mutating));
}

/// Refreshing costs calls per type, not per object. IAM and S3 have no reads of many at once.
#[test]
fn refresh_does_not_cost_more_with_more_workspaces() {
    let counts = [2, 10].map(|workspaces| {
        let run = Run::of_spec(Moto::AsIs, &spec(workspaces));
        run.apply();
        run.clouds.journal.clear();
        run.plan_is_empty();
        run.clouds.journal.counts()
    });
    let actions: BTreeSet<&String> = counts.iter().flat_map(|c| c.keys()).collect();
    let mut table = String::from("calls of an empty plan, with 2 and with 10 workspaces\n");
    for action in actions {
        let [few, many] = counts.each_ref().map(|c| c.get(action).copied().unwrap_or(0));
        let per_object = action.starts_with("iam:") || action.starts_with("s3:");
        assert!(many <= few || per_object, "{action}: {few} calls, then {many}");
        table += &format!("{action:<40} {few:>3} {many:>3}\n");
    }
    insta::assert_snapshot!(table);
}

/// Waiting for one answer does not hold up what does not need it.
#[test]
fn calls_go_out_side_by_side() {
    let latency = Duration::from_millis(100);
    let run = Run::of_spec(Moto::AsIs, &spec(10));
    run.clouds.journal.set_latency(latency);
    let start = Instant::now();
    run.apply();
    let (took, calls) = (start.elapsed(), run.clouds.journal.calls().len());
    let one_by_one = latency * u32::try_from(calls).expect("some hundred");
    assert!(took < one_by_one / 2, "{calls} calls in {took:?}");
}

/// A plan reads and changes nothing.
#[test]
fn a_plan_makes_no_mutating_call() {
    let run = Run::of_spec(Moto::AsIs, &spec(1));
    run.dbxctl("plan", &["--detailed-exitcode"]).expect(2);
    let calls = run.clouds.journal.calls();
    assert!(!calls.is_empty());
    let mutating: Vec<_> = calls.into_iter().filter(|call| call.mutating).collect();
    assert_eq!(mutating, []);
}

/// Killed again and again, apply and destroy still end in the right place.
#[test]
fn kills_leave_nothing_behind() {
    let run = Run::of_spec(Moto::Patched, &spec(1));
    run.killed_until_done("apply");
    run.is_applied();
    run.plan_is_empty();
    run.killed_until_done("destroy");
    run.is_empty();
}

/// Throttled calls are tried again; a create whose answer got lost is not made twice.
#[test]
fn lost_answers_and_throttling_make_no_duplicates() {
    let run = Run::of_spec(Moto::Patched, &spec(1));
    for action in ["ec2:DescribeVpcs", "ec2:CreateSubnet", "iam:CreateRole", "s3:PUT bucket"] {
        run.clouds.journal.fail(action, Fault::Throttle, 2);
    }
    run.clouds.journal.fail("databricks:POST /workspaces", Fault::Unavailable, 1);
    for action in [
        "ec2:CreateVpc",
        "ec2:CreateInternetGateway",
        "ec2:AllocateAddress",
        "ec2:CreateNatGateway",
        "ec2:CreateVpcEndpoint",
        "ec2:CreateSecurityGroup",
        "databricks:POST /credentials",
        "databricks:POST /networks",
    ] {
        run.clouds.journal.fail(action, Fault::DropAnswer, 1);
    }
    let first = run.dbxctl("apply", &["--yes"]);
    // In doubt about a create, apply may stop half-way and say so; the next one finds the object.
    if first.status.code() != Some(0) {
        first.expect(6);
        run.apply();
    }
    run.is_applied();
    run.plan_is_empty();
    run.destroy();
    run.is_empty();
}

/// Otherwise a check that finds nothing could mean that it does not look.
#[test]
fn the_checks_see_what_is_missing() {
    let run = Run::of_spec(Moto::Patched, &spec(2));
    run.is_empty();
    let missing = run.clouds.verify(&["applied", &run.file("spec.json")]).expect(1).stdout;
    for line in ["workspaces: []", "VPCs with 10.0.0.0/16 for main: 0, not 1"] {
        assert!(missing.contains(line), "{missing}");
    }
}

fn comes_and_goes(run: &Run) {
    run.apply();
    run.is_applied();
    run.plan_is_empty();
    run.lose_state();
    run.rebuild().expect(0);
    run.plan_is_empty();
    run.destroy();
    run.is_empty();
}

/// One spec in clouds of its own.
struct Run {
    clouds: Clouds,
}

impl Run {
    /// Makes what the example only uses, and a copy of it with the ids and accounts at hand.
    fn of_example(moto: Moto, example: &Path) -> Run {
        let clouds = Clouds::start(moto);
        let example = example.to_str().expect("examples have plain names");
        let folder = clouds.folder().to_str().expect("temporary folders have plain names");
        clouds.verify(&["prepare", example, folder]).expect(0);
        Run { clouds }
    }

    fn of_spec(moto: Moto, spec: &Value) -> Run {
        let clouds = Clouds::start(moto);
        fs::write(clouds.folder().join("spec.json"), spec.to_string()).expect("the folder is ours");
        Run { clouds }
    }

    fn file(&self, name: &str) -> String {
        self.clouds.folder().join(name).to_str().expect("plain names").to_owned()
    }

    fn dbxctl(&self, verb: &str, options: &[&str]) -> crate::clouds::Output {
        let spec = self.file("spec.json");
        self.clouds.dbxctl(&[&[verb, &spec], options].concat())
    }

    fn rebuild(&self) -> crate::clouds::Output {
        self.clouds.dbxctl(&["state", "rebuild", &self.file("spec.json")])
    }

    #[track_caller]
    fn apply(&self) {
        self.dbxctl("apply", &["--yes"]).expect(0);
    }

    fn lose_state(&self) {
        fs::remove_dir_all(self.clouds.folder().join("state")).expect("there is a state");
    }

    #[track_caller]
    fn destroy(&self) {
        self.dbxctl("destroy", &["--yes"]).expect(0);
    }

    #[track_caller]
    fn plan_is_empty(&self) {
        self.dbxctl("plan", &["--detailed-exitcode"]).expect(0);
    }

    #[track_caller]
    fn is_applied(&self) {
        self.clouds.verify(&["applied", &self.file("spec.json")]).expect(0);
    }

    #[track_caller]
    fn is_empty(&self) {
        self.clouds.verify(&["empty", &self.file("spec.json")]).expect(0);
    }

    /// Kills the command at a few different requests, over and over, until it gets through.
    fn killed_until_done(&self, verb: &str) {
        let spec = self.file("spec.json");
        for round in 0..200 {
            let n = [1, 4, 2, 7, 3][round % 5];
            let side = [Side::Before, Side::After][round % 2];
            if !self.clouds.dbxctl_killed(&[verb, &spec, "--yes"], None, n, side) {
                // Whatever the last round did, this one has nothing left to do.
                self.clouds.dbxctl(&[verb, &spec, "--yes"]).expect(0);
                return;
            }
        }
        panic!("{verb} does not get any further");
    }
}

/// So many workspaces in one VPC.
pub(crate) fn spec(workspaces: usize) -> Value {
    let workspace = json!({ "vpc": "main", "subnets": { "nodes_per_zone": 50 } });
    let workspaces: serde_json::Map<String, Value> =
        (0..workspaces).map(|n| (format!("wk{n}"), workspace.clone())).collect();
    json!({
        "apiVersion": "dbxctl/v1",
        "name": "wire",
        "region": "us-east-1",
        "aws": { "account": AWS_ACCOUNT },
        "databricks": { "account": ACCOUNT },
        "tags": { "owner": "tests" },
        "vpcs": { "main": { "cidr": "10.0.0.0/16", "zones": ["us-east-1a", "us-east-1b"] } },
        "workspaces": workspaces,
    })
}
