//! Changes of a living workspace over the wire: each is one plan and one apply, with nothing left.

use std::fs;

use serde_json::{Value, json};

use crate::changes::merge;
use crate::clouds::{ACCOUNT, AWS_ACCOUNT, Clouds, Moto};

/// One stack that is edited, in clouds of its own.
struct Living {
    clouds: Clouds,
    spec: Value,
}

impl Living {
    fn new(spec: Value) -> Living {
        let living = Living { clouds: Clouds::start(Moto::Patched), spec };
        living.write();
        living.dbxctl("apply", &["--yes"], 0);
        living
    }

    fn write(&self) {
        fs::write(self.file(), self.spec.to_string()).expect("the folder is ours");
    }

    fn file(&self) -> String {
        let path = self.clouds.folder().join("spec.json");
        path.to_str().expect("a plain name").to_owned()
    }

    #[track_caller]
    fn dbxctl(&self, verb: &str, options: &[&str], code: i32) -> crate::clouds::Output {
        self.clouds.dbxctl(&[&[verb, &self.file()], options].concat()).expect(code)
    }

    /// Edits the spec; the plan has this headline, one apply does it, and nothing is left to do.
    #[track_caller]
    fn change(&mut self, headline: &str, patch: &Value) {
        merge(&mut self.spec, patch);
        self.write();
        let plan = self.dbxctl("plan", &["--detailed-exitcode"], 2).stdout;
        assert!(plan.contains(headline), "no `{headline}` in\n{plan}");
        self.dbxctl("apply", &["--yes"], 0);
        self.dbxctl("plan", &["--detailed-exitcode"], 0);
        self.clouds.verify(&["applied", &self.file()]).expect(0);
    }

    /// Everything goes, and nothing is left behind.
    #[track_caller]
    fn end(&self) {
        self.dbxctl("destroy", &["--yes"], 0);
        self.clouds.verify(&["empty", &self.file()]).expect(0);
    }
}

fn spec() -> Value {
    json!({
        "apiVersion": "dbxctl/v1",
        "name": "living",
        "region": "us-east-1",
        "aws": { "account": AWS_ACCOUNT },
        "databricks": { "account": ACCOUNT },
        "tags": { "owner": "tests" },
        "vpcs": { "main": { "cidr": "10.0.0.0/16", "zones": ["us-east-1a", "us-east-1b"] } },
        "workspaces": { "wk1": { "vpc": "main", "subnets": { "prefix": "/24", "block": 1 } } },
    })
}

#[test]
fn a_living_workspace_moves() {
    let mut living = Living::new(spec());
    let wk1 = |patch: Value| json!({ "workspaces": { "wk1": patch } });
    living.change(
        "wk1: its nodes move to other subnets",
        &wk1(json!({ "subnets": { "prefix": "/22", "block": 5 } })),
    );
    living.change(
        "wk1: its nodes move to another VPC",
        &json!({
            "vpcs": {
                "main": null,
                "next": { "cidr": "10.7.0.0/16", "zones": ["us-east-1a", "us-east-1b"] },
            },
            "workspaces": { "wk1": { "vpc": "next" } },
        }),
    );
    living.change(
        "wk1: works with other credentials",
        &json!({
            "credentials": { "common": {} },
            "workspaces": { "wk1": { "credentials": { "shared": "common" } } },
        }),
    );
    living.change(
        "wk1: works with other credentials",
        &json!({ "credentials": null, "workspaces": { "wk1": { "credentials": null } } }),
    );
    living.change("tags", &json!({ "tags": { "owner": "others", "more": "1" } }));
    living.end();
}

#[test]
fn a_living_workspace_is_closed() {
    let mut living = Living::new(spec());
    let link = |patch: Value| json!({ "vpcs": { "main": { "private_link": patch } } });
    living.change(
        "wk1: its nodes reach Databricks through private connections",
        &link(json!({ "backend": true })),
    );
    living.change(
        "aws.vpc_endpoint/main.frontend",
        &link(json!({ "frontend": true, "frontend_endpoint": "own" })),
    );
    living.change(
        "impact: users lose access",
        &json!({ "workspaces": { "wk1": { "public_access": false } } }),
    );
    living.change(
        "wk1: gets other private access settings",
        &json!({
            "private_access_settings": { "closed": { "public_access": false } },
            "workspaces": { "wk1": { "private_access": { "shared": "closed" } } },
        }),
    );
    living.change(
        "users may come from the internet too",
        &json!({
            "private_access_settings": { "closed": { "public_access": true } },
            "workspaces": { "wk1": { "public_access": true } },
        }),
    );
    let refused = |patch: &Value, why: &str| {
        let mut spec = living.spec.clone();
        merge(&mut spec, patch);
        let file = living.clouds.folder().join("refused.json");
        fs::write(&file, spec.to_string()).expect("the folder is ours");
        let file = file.to_str().expect("a plain name");
        let told = living.clouds.dbxctl(&["plan", file]).expect(3).stderr;
        assert!(told.contains(why), "no `{why}` in\n{told}");
    };
    refused(
        &link(json!({ "backend": false, "frontend": false })),
        "a workspace with private connections to Databricks can never lose them",
    );
    refused(
        &json!({ "workspaces": { "wk1": { "storage": { "bucket": "living-other" } } } }),
        "a workspace keeps its storage configuration for life",
    );
    refused(&json!({ "tags": null }), "the last custom tags of a workspace cannot be taken away");
    living.end();
}

/// A PATCH that is answered and not kept: the failure says so, the old network is still there, and
/// the next apply gets through.
#[test]
fn a_silently_reverted_update_is_told_and_done_again() {
    let mut living = Living::new(spec());
    let revert = json!([{ "method": "PATCH", "path": "/workspaces/", "kind": "silent_revert" }]);
    living.clouds.control("faults", &revert);
    merge(
        &mut living.spec,
        &json!({ "workspaces": { "wk1": { "subnets": { "prefix": "/22", "block": 5 } } } }),
    );
    living.write();
    let told = living.dbxctl("apply", &["--yes"], 6).stderr;
    assert!(told.contains("accepts changes but does not show them: network"), "{told}");
    assert!(told.contains("must be stopped"), "{told}");
    living.dbxctl("apply", &["--yes"], 0);
    living.dbxctl("plan", &["--detailed-exitcode"], 0);
    living.clouds.verify(&["applied", &living.file()]).expect(0);
    living.end();
}

/// Creation fails late: the message has what the network says, and the next apply repairs the
/// workspace instead of making another.
#[test]
fn a_workspace_that_failed_is_repaired() {
    let clouds = Clouds::start(Moto::Patched);
    let living = Living { clouds, spec: spec() };
    living.write();
    let fails = json!([{
        "method": "POST", "path": "/workspaces$", "kind": "workspace_failed",
        "message": "Workspace failed to launch.",
        "network_error": "the subnets have no way out",
    }]);
    living.clouds.control("faults", &fails);
    let told = living.dbxctl("apply", &["--yes"], 6).stderr;
    assert!(told.contains("the subnets have no way out"), "{told}");
    let plan = living.dbxctl("plan", &["--detailed-exitcode"], 2).stdout;
    assert!(plan.contains("wk1: has failed and is provisioned again"), "{plan}");
    assert!(plan.contains("0 to destroy"), "{plan}");
    living.dbxctl("apply", &["--yes"], 0);
    living.dbxctl("plan", &["--detailed-exitcode"], 0);
    living.clouds.verify(&["applied", &living.file()]).expect(0);
    living.end();
}
