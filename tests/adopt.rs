//! `dbxctl adopt`: what runs becomes a spec, and nothing changes but marks.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::clouds::{Clouds, Moto, Output, examples};
use crate::sandbox::Stack;

/// Promise: whatever an example makes can be taken over without its spec and its state; `destroy` of
/// the new spec then removes exactly what the old one had made.
#[test]
fn every_example_is_adopted_as_it_runs() {
    let run = Adopter::start();
    for example in examples() {
        let example = example.to_str().expect("examples have plain names");
        let folder = run.clouds.folder().to_str().expect("plain names").to_owned();
        run.clouds.verify(&["prepare", example, &folder]).expect(0);
        let spec = run.path("spec.json");
        run.clouds.dbxctl(&["apply", &spec, "--yes"]).expect(0);
        let names = run.workspaces_of(&spec);
        run.hide(&spec);
        let text = run.adopt(&names, &[]).expect(0).stderr;
        assert!(text.contains(" 0 to mark "), "its marks are there already: {text}");
        run.is_taken_over();
        run.dbxctl("destroy", &["--yes"]).expect(0);
        run.clouds.verify(&["empty", &run.path("hidden.json")]).expect(0);
        run.clouds.reset();
        fs::remove_file(run.path("dbxctl.yaml")).expect("adopt has written it");
    }
}

/// What people made by hand is described as it is: nothing changes but marks, and `destroy` removes
/// what was owned and leaves what was only used.
#[test]
fn what_was_made_by_other_means_is_only_marked() {
    let run = Adopter::start();
    run.foreign(&["build", "dump", &run.path("before.json")]);
    let shown = run.adopt(&["Legacy Prod"], &["--dry-run"]).expect(0);
    assert!(run.clouds.journal.calls().iter().all(|call| !call.mutating));
    assert!(shown.stdout.contains("display_name: \"Legacy Prod\""), "{}", shown.stdout);

    let told = run.adopt(&["Legacy Prod"], &[]).expect(0).stderr;
    assert!(told.contains("the role of `legacy-prod`"), "{told}");
    run.foreign(&["unchanged", &run.path("before.json")]);
    run.is_taken_over();
    let spec = run.spec();
    assert!(spec.contains("name: legacy-prod-clusters") && spec.contains("team: data"), "{spec}");

    run.destroys_exactly_what_it_owns();
}

/// What a neighbour stands on is used, not owned, and survives.
#[test]
fn a_neighbour_keeps_what_it_stands_on() {
    let run = Adopter::start();
    run.foreign(&["build", "neighbour", "dump", &run.path("before.json")]);
    let told = run.adopt(&["Legacy Prod"], &[]).expect(0).stderr;
    assert!(
        told.contains("the VPC `corp-data`") && told.contains("`Legacy Dev` uses it too"),
        "{told}"
    );
    run.foreign(&["unchanged", &run.path("before.json")]);
    run.is_taken_over();
    let owned = run.owned();
    for kind in ["aws.vpc", "aws.nat_gateway", "aws.internet_gateway", "aws.vpc_endpoint"] {
        assert!(
            !owned.iter().any(|(address, _)| address.starts_with(&format!("{kind}/"))),
            "{owned:?}"
        );
    }
    assert!(owned.iter().any(|(address, _)| address == "aws.subnet/legacy-prod.us-east-1a"));
    run.destroys_exactly_what_it_owns();
}

/// A plan that changes what others stand on says whom it meets, in this stack or not.
#[test]
fn a_plan_names_whom_it_meets() {
    let run = Adopter::start();
    run.foreign(&["build", "neighbour"]);
    run.adopt(&["Legacy Prod"], &["--own-shared"]).expect(0);
    let spec = run.spec().replace("team: data", "team: platform");
    fs::write(run.path("dbxctl.yaml"), spec).expect("the folder is ours");
    let human = run.dbxctl("plan", &[]).expect(0).stdout;
    assert!(human.contains("`Legacy Dev` (outside this stack)"), "{human}");
    let json = run.dbxctl("plan", &["--format", "json"]).expect(0).stdout;
    let plan: Value = serde_json::from_str(&json).expect("the plan is JSON");
    let users = plan["used_by"]["aws.vpc/corp-data"].as_array().expect("users of the VPC");
    let names: BTreeSet<&str> = users.iter().filter_map(|u| u["name"].as_str()).collect();
    assert_eq!(names, BTreeSet::from(["Legacy Dev", "Legacy Prod"]));
}

/// A name that is mistyped is told with those there are; another stack's objects are only used.
#[test]
fn only_what_is_nobodys_is_taken() {
    let run = Adopter::start();
    run.foreign(&["build"]);
    let unknown = run.adopt(&["Legacy Pord"], &[]).expect(3).stderr;
    assert!(unknown.contains("`Legacy Prod`"), "{unknown}");
    assert!(!Path::new(&run.path("dbxctl.yaml")).exists());
    run.adopt(&["Legacy Prod"], &["--name", "one"]).expect(0);
    fs::rename(run.path("dbxctl.yaml"), run.path("one.yaml")).expect("the folder is ours");
    let told = run.adopt(&["Legacy Prod"], &["--name", "two"]).expect(0).stderr;
    assert!(told.contains("carries the mark of stack `one`"), "{told}");
}

/// What no spec can say is told, field by field, and nothing is written unless the rest is wanted.
#[test]
fn what_no_spec_can_say_is_told() {
    let stack = Stack::new("instant");
    let path =
        |name: &str| stack.folder.path().join(name).to_str().expect("plain names").to_owned();
    stack.run(&["apply", "examples/customer-vpc.yaml", "--yes"], 0);
    fs::remove_file(path("sandbox/customer-vpc.json")).expect("the state is there");
    let file = stack.folder.path().join("sandbox/cloud.json");
    {
        let settings = sandbox::Settings::instant();
        let cloud = sandbox::Sandbox::open(&file, settings).expect("the sandbox is there");
        let all = cloud.inventory().expect("it can be read");
        let network = all.iter().find(|item| item.kind == "databricks.network").expect("a network");
        let groups: Vec<Value> = (all.iter())
            .filter(|item| item.kind == "aws.security_group")
            .map(|item| item.id.as_str().into())
            .collect();
        assert!(groups.len() > 1);
        let another = |network: &mut Value| network["groups"] = groups.into();
        cloud.edit("databricks.network", &network.id, another).expect("it is there");
    }
    let out = path("dbxctl.yaml");
    let adopt = ["adopt", "--workspace", "customer-vpc-wk1", "--out", &out, "--yes"];
    let told = stack.run(&adopt, 3).stderr;
    assert!(told.contains("databricks.network/wk1 groups: it is"), "{told}");
    assert!(!Path::new(&out).exists() && !Path::new(&path("sandbox/customer-vpc.json")).exists());
    stack.run(&[&adopt[..], &["--partial"]].concat(), 6);
    let owned = stack.run(&["state", "list", &out], 0).stdout;
    assert!(owned.contains("aws.bucket/wk1") && !owned.contains("databricks.network"), "{owned}");
}

struct Adopter {
    clouds: Clouds,
}

impl Adopter {
    fn start() -> Adopter {
        Adopter { clouds: Clouds::start(Moto::Patched) }
    }

    fn path(&self, name: &str) -> String {
        self.clouds.folder().join(name).to_str().expect("plain names").to_owned()
    }

    fn spec(&self) -> String {
        fs::read_to_string(self.path("dbxctl.yaml")).expect("adopt has written it")
    }

    fn dbxctl(&self, verb: &str, options: &[&str]) -> Output {
        let spec = self.path("dbxctl.yaml");
        self.clouds.dbxctl(&[&[verb, &spec], options].concat())
    }

    fn adopt<S: AsRef<str>>(&self, workspaces: &[S], options: &[&str]) -> Output {
        let out = self.path("dbxctl.yaml");
        let mut arguments = vec!["adopt", "--out", &out, "--yes"];
        for name in workspaces {
            arguments.extend(["--workspace", name.as_ref()]);
        }
        arguments.extend(options);
        self.clouds.dbxctl(&arguments)
    }

    #[track_caller]
    fn foreign(&self, arguments: &[&str]) {
        self.clouds.python("foreign.py", arguments).expect(0);
    }

    /// The names of the spec's workspaces as users see them.
    fn workspaces_of(&self, spec: &str) -> Vec<String> {
        let text = self.clouds.dbxctl(&["validate", spec, "--effective"]).expect(0).stdout;
        let spec: Value = serde_json::from_str(&text).expect("the effective spec is JSON");
        let all = spec["workspaces"].as_object().expect("workspaces").values();
        all.map(|w| w["display_name"].as_str().expect("a name").to_owned()).collect()
    }

    /// Takes the spec and the state away.
    fn hide(&self, spec: &str) {
        fs::rename(spec, self.path("hidden.json")).expect("the spec is there");
        fs::remove_dir_all(self.path("state")).expect("the state is there");
    }

    #[track_caller]
    fn is_taken_over(&self) {
        self.dbxctl("validate", &[]).expect(0);
        self.dbxctl("plan", &["--detailed-exitcode"]).expect(0);
    }

    /// Address and id of everything in the state.
    fn owned(&self) -> Vec<(String, String)> {
        let list =
            self.clouds.dbxctl(&["state", "list", &self.path("dbxctl.yaml")]).expect(0).stdout;
        let pair = |line: &str| {
            let (address, id) = line.split_once(' ').expect("two columns");
            (address.to_owned(), id.trim().to_owned())
        };
        list.lines().map(pair).collect()
    }

    #[track_caller]
    fn destroys_exactly_what_it_owns(&self) {
        let ids = self.owned().into_iter().filter(|(address, _)| {
            // Rules and policies are their group's and their bucket's.
            !address.contains("_rules/") && !address.contains("_policy/")
        });
        let ids: Vec<String> = ids
            .map(
                |(address, id)| {
                    if address.starts_with("aws.role/") { format!("role {id}") } else { id }
                },
            )
            .collect();
        assert!(!ids.is_empty());
        fs::write(self.path("owned.txt"), ids.join("\n")).expect("the folder is ours");
        self.dbxctl("destroy", &["--yes"]).expect(0);
        self.foreign(&["without", &self.path("before.json"), &self.path("owned.txt")]);
    }
}
