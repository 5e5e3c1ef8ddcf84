//! What a change of the spec does: a table of every kind and every field, found by editing specs.
//!
//! Each edit starts from a specimen that is applied on the sandbox. It is planned, applied, planned
//! again (nothing may be left), taken back, and applied and planned again. What the plans did to the
//! fields of living objects is the table.

use std::collections::{BTreeMap, BTreeSet};

use engine::{Effect, Expect, Graph, Plan, Problem, Role};
use proptest::test_runner::TestCaseError;
use sandbox::{Fault, Happens, Operation, Profile};
use serde_json::{Value, json};

use crate::random::{AWS_ACCOUNT, Checked, STACK, Stage, graph, paused};

const REGION: &str = "eu-central-1";
const SECOND_BUCKET: &str = "random-second-bucket";

/// An edit of one of the [`specimens`]: a JSON merge patch, where null takes a field away.
struct Edit {
    specimen: &'static str,
    name: &'static str,
    patch: Value,
}

/// Workspaces in networks of several shapes.
fn specimens() -> BTreeMap<&'static str, Value> {
    let spec = |vpcs: Value, workspaces: Value| {
        json!({
            "apiVersion": "dbxctl/v1",
            "name": STACK,
            "region": REGION,
            "aws": { "account": AWS_ACCOUNT },
            "databricks": { "account": "3f8a1c52-7d40-4be1-9c6e-2b5d8e0f1a77" },
            "tags": { "owner": "data" },
            "vpcs": vpcs,
            "workspaces": workspaces,
        })
    };
    let zones = ["eu-central-1a", "eu-central-1b"];
    let plain = spec(
        json!({ "main": { "cidr": "10.0.0.0/16", "zones": zones } }),
        json!({ "wk1": { "vpc": "main", "subnets": { "block": 1 } }, "wk3": {} }),
    );
    let mut backend = plain.clone();
    backend["vpcs"]["main"]["private_link"] = json!({ "backend": true });
    let mut private = spec(
        json!({
            "main": {
                "cidr": "10.0.0.0/16", "zones": zones,
                "private_link": { "backend": true, "frontend": true },
            },
            "spare": {
                "cidr": "10.1.0.0/16", "zones": zones,
                "private_link": { "backend": true, "frontend": true },
            },
        }),
        json!({
            "wk1": {
                "vpc": "main",
                "subnets": { "block": 1 },
                "private_access": { "level": "account" },
                "storage": { "catalog_role": {} },
                "instance_profiles": { "etl": {} },
                "deployment_name": "deployed",
                "tags": { "team": "one" },
            },
            "wk2": {
                "vpc": "main",
                "subnets": { "block": 3 },
                "private_access": { "shared": "open" },
                "credentials": { "shared": "common" },
            },
            "wk4": { "vpc": "spare" },
        }),
    );
    private["credentials"] = json!({ "common": {} });
    private["private_access_settings"] = json!({ "open": {} });
    private["peerings"] = json!({ "p": { "from": "main", "to": {
        "vpc": "vpc-0123456789abcdef0", "cidr": "10.200.0.0/16",
        "route_tables": ["rtb-0123456789abcdef0"],
    } } });
    // Nothing that cannot be made again.
    let mut bare = private.clone();
    bare["workspaces"] = json!({});
    let mut used = spec(
        json!({ "corporate": {
            "use": {
                "vpc": "vpc-0123456789abcdef1",
                "cidr": "10.0.0.0/16",
                "route_tables": ["rtb-0123456789abcdef1"],
                "internet_gateway": "igw-0123456789abcdef1",
            },
            "nat": "single",
            "zones": zones,
            "private_link": { "backend": true, "frontend": true },
        } }),
        json!({ "wk1": { "vpc": "corporate", "subnets": { "block": 1 } } }),
    );
    used["peerings"] = private["peerings"].clone();
    used["peerings"]["p"]["from"] = json!("corporate");
    used["peerings"]["p"]["accept"] = json!(false);
    used["peerings"]["far"] = json!({ "from": "corporate", "to": {
        "vpc": "vpc-0123456789abcdef9", "cidr": "10.210.0.0/16",
        "account": "444455556666", "region": "us-east-1",
    } });
    BTreeMap::from([
        ("plain", plain),
        ("backend", backend),
        ("private", private),
        ("bare", bare),
        ("used", used),
    ])
}

fn edits() -> Vec<Edit> {
    let mut all = Vec::new();
    let mut on = |specimen, name, patch| all.push(Edit { specimen, name, patch });
    let wk1 = |patch: Value| json!({ "workspaces": { "wk1": patch } });
    let vpc = |patch: Value| json!({ "vpcs": { "main": patch } });
    let uuid = |n: u8| format!("3f8a1c52-7d40-4be1-9c6e-2b5d8e0f1a{n:02}");

    on("private", "other tags of the stack", json!({ "tags": { "owner": "other" } }));
    on(
        "private",
        "other region",
        json!({ "region": "us-east-1", "vpcs": {
        "main": { "zones": ["us-east-1a", "us-east-1b"] },
        "spare": { "zones": ["us-east-1a", "us-east-1b"] },
    } }),
    );

    on("private", "other display name", wk1(json!({ "display_name": "Another" })));
    on("private", "other tags of a workspace", wk1(json!({ "tags": { "team": "two" } })));
    on("private", "one tag less", wk1(json!({ "tags": null })));
    on(
        "private",
        "no tags at all",
        json!({ "tags": null, "workspaces": { "wk1": { "tags": null } } }),
    );
    on("private", "other host name", wk1(json!({ "deployment_name": "renamed" })));
    on("plain", "other tier", json!({ "workspaces": { "wk3": { "tier": "premium" } } }));

    on("private", "subnets elsewhere", wk1(json!({ "subnets": { "block": 9 } })));
    on("private", "bigger subnets", wk1(json!({ "subnets": { "block": 2, "prefix": "/20" } })));
    on(
        "private",
        "subnets that overlap the old ones",
        wk1(json!({ "subnets": { "block": 0, "prefix": "/20" } })),
    );
    on(
        "private",
        "subnets by range",
        wk1(json!({ "subnets": { "block": null, "cidrs": {
        "eu-central-1a": "10.0.160.0/22", "eu-central-1b": "10.0.164.0/22" } } })),
    );
    on(
        "private",
        "one subnet in another zone",
        json!({
        "vpcs": { "main": { "zones": ["eu-central-1a", "eu-central-1b", "eu-central-1c"] } },
        "workspaces": { "wk1": { "subnets": { "zones": ["eu-central-1a", "eu-central-1c"] } },
            "wk2": { "subnets": { "zones": ["eu-central-1a", "eu-central-1b"] } } } }),
    );
    on(
        "private",
        "subnets of another workspace",
        wk1(json!({ "subnets": { "block": null, "share": "wk2" } })),
    );
    on(
        "used",
        "used subnets",
        wk1(json!({ "subnets": { "block": null, "use": [
        "subnet-0123456789abcdef1", "subnet-0123456789abcdef2"] } })),
    );
    on(
        "private",
        "used security group",
        wk1(json!({ "security_group": { "use": "sg-0123456789abcdef1" } })),
    );
    on("private", "other VPC", wk1(json!({ "vpc": "spare" })));
    on(
        "plain",
        "other VPC in place of the old one",
        json!({
        "vpcs": { "main": null, "next": { "cidr": "10.7.0.0/16",
            "zones": ["eu-central-1a", "eu-central-1b"] } },
        "workspaces": { "wk1": { "vpc": "next" } } }),
    );
    on(
        "plain",
        "VPC of Databricks to one of yours",
        json!({ "workspaces": { "wk3": { "vpc": "main" } } }),
    );
    on("plain", "VPC of yours to one of Databricks", wk1(json!({ "vpc": null, "subnets": null })));

    let link = |patch: Value| vpc(json!({ "private_link": patch }));
    on("plain", "back-end private connections", link(json!({ "backend": true })));
    on("plain", "both private connections", link(json!({ "backend": true, "frontend": true })));
    on(
        "plain",
        "closed at once",
        json!({
        "vpcs": { "main": { "private_link": { "backend": true, "frontend": true } } },
        "workspaces": { "wk1": { "public_access": false } } }),
    );
    on(
        "backend",
        "users come in through the endpoint of the nodes",
        link(json!({ "frontend": true })),
    );
    on(
        "backend",
        "users get an endpoint of their own",
        link(json!({
        "frontend": true, "frontend_endpoint": "own" })),
    );
    on(
        "backend",
        "closed, with an endpoint for users",
        json!({
        "vpcs": { "main": { "private_link": { "frontend": true } } },
        "workspaces": { "wk1": { "public_access": false } } }),
    );
    on("private", "own endpoint for users", link(json!({ "frontend_endpoint": "own" })));
    on("private", "no private connections", wk1(json!({ "private_link": false })));
    on("private", "other ranges of users", link(json!({ "clients": ["10.0.0.0/8"] })));
    on(
        "private",
        "used endpoints to Databricks",
        link(json!({ "use": {
        "rest": "vpce-0123456789abcdef1", "relay": "vpce-0123456789abcdef2" } })),
    );
    on(
        "private",
        "used registrations",
        link(json!({ "use_registrations": {
        "rest": uuid(10), "relay": uuid(11) } })),
    );
    on(
        "private",
        "other endpoint services",
        link(json!({ "services": {
        "rest": "com.amazonaws.vpce.eu-central-1.vpce-svc-00000000000000001",
        "relay": "com.amazonaws.vpce.eu-central-1.vpce-svc-00000000000000002" } })),
    );

    on("private", "no users from the internet", wk1(json!({ "public_access": false })));
    on(
        "private",
        "the same in shared settings",
        json!({
        "private_access_settings": { "open": { "public_access": false } },
        "workspaces": { "wk2": { "public_access": false } } }),
    );
    on(
        "private",
        "listed endpoints only",
        wk1(json!({ "private_access": {
        "level": "endpoint", "allowed": ["main"] } })),
    );
    on(
        "private",
        "shared settings",
        wk1(json!({ "private_access": { "level": null, "shared": "open" } })),
    );
    on("private", "used settings", wk1(json!({ "private_access": { "use": uuid(12) } })));

    on("private", "shared credentials", wk1(json!({ "credentials": { "shared": "common" } })));
    on(
        "private",
        "a role that exists",
        wk1(json!({ "credentials": {
        "role": "arn:aws:iam::444455556666:role/given" } })),
    );
    on(
        "private",
        "a role that exists, shared",
        json!({ "credentials": { "common": {
        "role": "arn:aws:iam::444455556666:role/given" } } }),
    );
    on("private", "credentials that exist", wk1(json!({ "credentials": { "use": uuid(13) } })));
    on("private", "wider policy", wk1(json!({ "credentials": { "policy": "managed" } })));

    let storage = |patch: Value| wk1(json!({ "storage": patch }));
    on("private", "other bucket", storage(json!({ "bucket": SECOND_BUCKET })));
    on("private", "used bucket", storage(json!({ "use": SECOND_BUCKET })));
    on(
        "private",
        "used storage configuration",
        storage(json!({ "catalog_role": null, "use_configuration": uuid(14) })),
    );
    on("private", "no role for the catalog", storage(json!({ "catalog_role": null })));
    on(
        "private",
        "own key",
        storage(json!({ "kms_key":
        "arn:aws:kms:eu-central-1:111122223333:key/3f8a1c52-7d40-4be1-9c6e-2b5d8e0f1a77" })),
    );
    on("private", "versions", storage(json!({ "versioning": true })));
    on(
        "private",
        "policies of nodes",
        wk1(json!({ "instance_profiles": { "etl": {
        "policies": ["arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"] } } })),
    );
    on("private", "one more instance profile", wk1(json!({ "instance_profiles": { "ml": {} } })));

    on("private", "other range of a VPC", vpc(json!({ "cidr": "10.64.0.0/16" })));
    on("private", "NAT in every zone", vpc(json!({ "nat": "per_zone" })));
    on("private", "no NAT", vpc(json!({ "nat": "none" })));
    on(
        "private",
        "NAT in the other zone",
        vpc(json!({ "zones": ["eu-central-1b", "eu-central-1a"] })),
    );
    on(
        "private",
        "public subnets elsewhere",
        vpc(json!({ "public_subnets": { "cidrs": {
        "eu-central-1a": "10.0.250.0/28", "eu-central-1b": "10.0.250.16/28" } } })),
    );
    on(
        "private",
        "endpoint subnets elsewhere",
        vpc(json!({ "endpoint_subnets": { "cidrs": {
        "eu-central-1a": "10.0.250.0/27", "eu-central-1b": "10.0.250.32/27" } } })),
    );
    on(
        "private",
        "used endpoint subnets",
        vpc(json!({ "endpoint_subnets": { "use": {
        "eu-central-1a": "subnet-0123456789abcdef1", "eu-central-1b": "subnet-0123456789abcdef2" } } })),
    );
    on(
        "private",
        "used group for endpoints",
        vpc(json!({ "endpoint_group": { "use": "sg-0123456789abcdef2" } })),
    );
    on(
        "private",
        "one more endpoint",
        vpc(json!({ "endpoints": ["s3", "sts", "kinesis", "glue"] })),
    );
    on(
        "private",
        "used endpoint of a service",
        vpc(json!({ "use_endpoints": { "s3": "vpce-0123456789abcdef3" } })),
    );
    on(
        "used",
        "other internet gateway",
        json!({ "vpcs": { "corporate": { "use": {
        "internet_gateway": "igw-0123456789abcdef2" } } } }),
    );
    on(
        "used",
        "used NAT gateway",
        json!({ "vpcs": { "corporate": { "nat": null, "use": {
        "nat_gateways": { "eu-central-1a": "nat-0123456789abcdef1" } } } } }),
    );
    on(
        "used",
        "other route tables",
        json!({ "vpcs": { "corporate": { "use": {
        "route_tables": ["rtb-0123456789abcdef2"] } } } }),
    );

    let peering = |patch: Value| json!({ "peerings": { "p": patch } });
    on(
        "private",
        "other VPC at the far end",
        peering(json!({ "to": {
        "vpc": "vpc-0123456789abcdef2", "route_tables": ["rtb-0123456789abcdef2"] } })),
    );
    on(
        "private",
        "other VPC at the far end, table of the old one",
        peering(json!({ "to": {
        "vpc": "vpc-0123456789abcdef2" } })),
    );
    on(
        "private",
        "other range at the far end",
        peering(json!({ "to": { "cidr": "10.201.0.0/16" } })),
    );
    on("private", "no way back", peering(json!({ "to": { "route_tables": null } })));
    on(
        "private",
        "far account",
        peering(json!({ "to": { "account": "444455556666", "route_tables": null } })),
    );
    on(
        "private",
        "far region",
        peering(json!({ "to": { "region": "us-east-1", "route_tables": null } })),
    );
    on("private", "not accepted from here", peering(json!({ "accept": false })));
    on("used", "accepted from here", peering(json!({ "accept": true })));
    let far = |patch: Value| json!({ "peerings": { "far": { "to": patch } } });
    on("used", "another far account", far(json!({ "account": "777788889999" })));
    on("used", "another far region", far(json!({ "region": "us-west-2" })));
    on("bare", "other range of a VPC nobody lives in", vpc(json!({ "cidr": "10.64.0.0/16" })));
    on(
        "bare",
        "other endpoint services nobody uses",
        link(json!({ "services": {
        "rest": "com.amazonaws.vpce.eu-central-1.vpce-svc-00000000000000001",
        "relay": "com.amazonaws.vpce.eu-central-1.vpce-svc-00000000000000002" } })),
    );

    let allowed = |mut patch: Value| {
        patch["allow_deletion"] = json!(["wk1", "wk3"]);
        patch
    };
    on(
        "private",
        "other display name, with consent",
        allowed(wk1(json!({ "display_name": "Another" }))),
    );
    on(
        "private",
        "other bucket, with consent",
        allowed(storage(json!({ "bucket": SECOND_BUCKET }))),
    );
    on(
        "private",
        "no role for the catalog, with consent",
        allowed(storage(json!({ "catalog_role": null }))),
    );
    on(
        "plain",
        "VPC of Databricks to one of yours, with consent",
        allowed(json!({
        "workspaces": { "wk3": { "vpc": "main" } } })),
    );
    on("plain", "one workspace less", json!({ "workspaces": { "wk3": null } }));
    on(
        "plain",
        "one workspace less, with consent",
        allowed(json!({ "workspaces": { "wk3": null } })),
    );
    let uses = |uses: Value| wk1(json!({ "uses": uses }));
    on("private", "no built-in metastore", uses(json!({ "legacy_metastore": false })));
    on(
        "private",
        "a metastore of one's own",
        uses(json!({ "external_metastore": { "database": "10.200.3.4:5433" } })),
    );
    on("private", "Lakebase", uses(json!({ "lakebase": true })));
    on("private", "hosts", uses(json!({ "hosts": ["pypi.org:443", "10.200.0.0/16:9092"] })));
    on(
        "private",
        "uses that open nothing",
        uses(json!({
            "compliance_profile": true, "system_tables": false, "sample_data": true,
            "global_sts": true, "services": ["glue"], "peak_nodes": 40,
            "buckets": { "acme-lake": "eu-central-1" },
        })),
    );
    on(
        "private",
        "what is required and accepted",
        json!({
            "requirements": { "internet": "forbidden", "reach": ["sts"] },
            "accept": { "DBX-RTE-005": "one is enough" },
        }),
    );
    on(
        "private",
        "how users learn names",
        vpc(json!({ "private_link": { "user_names": "zone" } })),
    );
    on("private", "public names over the peering", peering(json!({ "dns": false })));
    on("private", "peering of another VPC", peering(json!({ "from": "spare" })));
    all
}

/// Fields that no edit of a spec changes on a living object, and why.
const NEVER: &[(&str, &str, &str)] = &[
    ("aws.bucket", "block_public_access", ALWAYS),
    ("aws.bucket", "ownership", ALWAYS),
    ("aws.bucket", "region", REGIONAL),
    ("aws.instance_profile", "name", NAMED),
    ("aws.instance_profile", "role", "the role of the same address, whose name never changes"),
    ("aws.nat_gateway", "address", "the address of the same zone, which is never replaced"),
    ("aws.role", "description", ALWAYS),
    ("aws.role", "name", NAMED),
    ("aws.role", "trust", "names the Databricks account, which is another stack's"),
    ("aws.route", "table", "is in the address: another table is another route"),
    ("aws.security_group", "description", ALWAYS),
    ("aws.security_group", "name", NAMED),
    ("aws.subnet", "public_ips", ALWAYS),
    ("aws.subnet", "zone", "is in the address: another zone is another subnet"),
    ("aws.vpc", "dns_hostnames", ALWAYS),
    ("aws.vpc", "dns_support", ALWAYS),
    ("aws.vpc_endpoint", "flavour", "follows from the service, which is in the address"),
    ("aws.vpc_endpoint", "policy", ALWAYS),
    (
        "aws.vpc_endpoint",
        "private_dns",
        "follows from what the endpoint is for, which is in the address",
    ),
    ("databricks.credentials", "name", NAMED),
    ("databricks.network", "name", NAMED),
    ("databricks.private_access_settings", "name", NAMED),
    ("databricks.private_access_settings", "region", REGIONAL),
    ("databricks.storage_configuration", "name", NAMED),
    ("databricks.vpc_endpoint", "name", NAMED),
    ("databricks.vpc_endpoint", "region", REGIONAL),
    ("databricks.workspace", "region", REGIONAL),
];

const ALWAYS: &str = "no spec says it: it is the same for all, and only drift changes it";
const REGIONAL: &str =
    "the region of the stack, which cannot change while the stack has any objects";
const NAMED: &str = "made of the names of stack and resource: another name is another address";

/// What one edit did to one field, there and back.
type Table = BTreeMap<(String, String), BTreeSet<String>>;

#[test]
fn every_field_of_every_kind_has_its_change() {
    let mut table = Table::new();
    let mut plans = String::new();
    let mut failures = Vec::new();
    let specimens = specimens();
    for edit in edits() {
        let before = &specimens[edit.specimen];
        let mut after = before.clone();
        merge(&mut after, &edit.patch);
        let told = paused(there_and_back(&edit, before, &after, &mut table));
        let told = told.unwrap_or_else(|e| {
            failures.push(edit.name);
            format!("FAILED: {e}")
        });
        plans += &format!("# {} (`{}`)\n{told}\n", edit.name, edit.specimen);
    }
    let all = fields();
    let mut page = String::new();
    for field in &all {
        let (kind, name) = field;
        let exception = NEVER.iter().find(|(k, n, _)| (*k, *n) == (kind, name));
        match (table.get(field), exception) {
            (Some(rows), None) => {
                let rows: String = rows.iter().map(|row| format!("    {row}\n")).collect();
                page += &format!("{kind}.{name}\n{rows}");
            }
            (None, Some((_, _, why))) => {
                page += &format!("{kind}.{name}\n    never changes: {why}\n")
            }
            (Some(rows), Some(_)) => panic!("{kind}.{name} is no exception: {rows:#?}"),
            (None, None) => page += &format!("{kind}.{name}\n    MISSING\n"),
        }
    }
    let unknown: Vec<_> =
        NEVER.iter().filter(|(k, n, _)| !all.contains(&((*k).into(), (*n).into()))).collect();
    insta::assert_snapshot!("changes_by_field", page);
    insta::assert_snapshot!("changes_by_edit", plans);
    assert!(failures.is_empty(), "these do not get there and back: {failures:?}");
    assert!(unknown.is_empty(), "no such fields: {unknown:?}");
    assert!(!page.contains("MISSING"), "some fields have neither a change nor a reason");
}

/// Every field of the props of every kind.
fn fields() -> BTreeSet<(String, String)> {
    let fixtures = kinds::fixtures::all().into_iter();
    let of = |fixture: kinds::fixtures::Fixture| {
        let props = fixture.resource.props.as_object().expect("props are objects").clone();
        props.into_iter().map(move |(field, _)| (fixture.kind.to_owned(), field))
    };
    fixtures.flat_map(of).collect()
}

async fn there_and_back(
    edit: &Edit,
    before: &Value,
    after: &Value,
    table: &mut Table,
) -> Checked<String> {
    let valid = |spec: &Value| graph(&spec.to_string()).map_err(TestCaseError::fail);
    let (before, after) = (valid(before)?, valid(after)?);
    let stage = Stage::new(Profile::Instant, REGION, Vec::new());
    stage.reach(&before, "before").await?;
    let mut told = String::new();
    for (graph, way) in [(&after, "there"), (&before, "back")] {
        describe_used(&stage, graph)?;
        match stage.decide(graph).await? {
            Err(problems) => {
                told += &format!("{way}: refused\n{}", refused(edit, &problems, table));
                // Nothing was touched.
                break;
            }
            Ok(plan) => {
                told += &format!("{way}:\n{}", done(edit, &plan, table));
                stage.reach(graph, way).await?;
                stage.settled(graph, way).await?;
            }
        }
    }
    Ok(told)
}

/// Puts the objects the spec only uses where the spec says they are: in a VPC that was made.
fn describe_used(stage: &Stage, graph: &Graph) -> Checked {
    let failed = |e: cloud::Error| TestCaseError::fail(e.to_string());
    stage.cloud.adopt_used(graph).map_err(failed)?;
    let state = stage.store.state();
    for (address, node) in &graph.nodes {
        let Role::Used { id, expect } = &node.role else { continue };
        for Expect { field, equals, .. } in expect {
            let bound = engine::bind(equals, &|output| {
                let made = state.resources.get(&output.address)?.id.clone();
                made.filter(|_| output.field == "id").map(Value::String)
            });
            if bound != *equals {
                let edit = stage.cloud.edit(address.kind(), id, |props| props[field] = bound);
                edit.map_err(failed)?;
            }
        }
    }
    Ok(())
}

fn refused(edit: &Edit, problems: &[Problem], table: &mut Table) -> String {
    let mut text = String::new();
    for problem in problems {
        for field in &problem.fields {
            let key = (problem.address.kind().to_owned(), field.clone());
            let row = format!("{}: refused: {}", edit.name, plain(&problem.message));
            table.entry(key).or_default().insert(row);
        }
        let help = problem.help.as_deref().unwrap_or_default();
        text += &format!("  {}: {}\n    hint: {help}\n", problem.address, plain(&problem.message));
    }
    text
}

/// The message without ids of the sandbox, which say nothing.
fn plain(message: &str) -> String {
    let message = message.split("; a new one in place of").next().unwrap_or(message);
    let is_id = |word: &str| word.len() >= 16 && word.bytes().all(|b| b.is_ascii_digit());
    let words = message.split('`').map(|word| if is_id(word) { "…" } else { word });
    words.collect::<Vec<_>>().join("`")
}

fn done(edit: &Edit, plan: &Plan, table: &mut Table) -> String {
    let mut text = String::new();
    let mut told = BTreeSet::new();
    for headline in &plan.headlines {
        let once =
            headline.steps.iter().all(|step| *step <= plan.steps.len() && told.insert(*step));
        assert!(once, "a step is told twice, or is none: {:#?}", plan.headlines);
        let impacts: Vec<String> =
            headline.impacts.iter().map(|c| format!("{:?}", c.impact)).collect();
        text += &format!(
            "  {} [{}] {} steps\n",
            headline.title,
            impacts.join(", "),
            headline.steps.len()
        );
        text +=
            &headline.because.iter().map(|why| format!("    because {why}\n")).collect::<String>();
    }
    for step in plan.steps.iter().filter(|step| step.action.makes()) {
        for change in &step.changes {
            let headline = plan.headlines.iter().find(|h| h.steps.contains(&step.step));
            let way = match (change.effect, step.replacing, step.create_first) {
                (Effect::Update, false, _) => "in place",
                (Effect::Never, ..) => "not at all",
                (_, _, true) => "new one first",
                (_, _, false) => "old one first",
            };
            let told = headline.map(|h| format!(" under \"{}\"", h.title)).unwrap_or_default();
            let key = (step.address.kind().to_owned(), change.field.clone());
            table.entry(key).or_default().insert(format!("{}: {way}{told}", edit.name));
        }
    }
    for step in &plan.steps {
        let fields: Vec<&str> = step.changes.iter().map(|c| c.field.as_str()).collect();
        let mark = plan.headlines.iter().position(|h| h.steps.contains(&step.step));
        let mark = mark.map_or(String::new(), |n| format!(" ^{}", n + 1));
        text += &format!("    {:?} {} {}{mark}\n", step.action, step.address, fields.join(","));
    }
    text
}

/// JSON merge patch.
pub(crate) fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (name, value) in patch {
        let fields = target.as_object_mut().expect("made one");
        if value.is_null() {
            fields.remove(name);
        } else {
            merge(fields.entry(name.clone()).or_insert(Value::Null), value);
        }
    }
}

/// The specimen `private` with one more workspace, in the subnets of `wk1`.
fn one_more(specimen: &Value) -> Value {
    let mut spec = specimen.clone();
    spec["workspaces"]["wk5"] = json!({ "vpc": "main", "subnets": { "share": "wk1" } });
    spec
}

/// A workspace that has failed is repaired, with what its network says told; never deleted.
#[test]
fn a_failed_workspace_is_provisioned_again() {
    let specimen = &specimens()["private"];
    let graphs = [specimen.clone(), one_more(specimen)].map(|s| graph(&s.to_string()).unwrap());
    paused(async {
        let stage = Stage::new(Profile::Instant, REGION, Vec::new());
        stage.reach(&graphs[0], "before").await.unwrap();
        let subnet = stage.id("aws.subnet/wk1.eu-central-1a");
        let plan = stage.decide(&graphs[1]).await.unwrap().unwrap();
        let move_to = |vpc: String| {
            stage.cloud.edit("aws.subnet", &subnet, |props| props["vpc"] = json!(vpc)).unwrap();
        };
        // Somebody makes a mess while it is made, and tidies up.
        move_to("vpc-elsewhere".to_owned());
        let outcome = stage.apply(&plan, None).await.unwrap().expect("it was not killed");
        let failure = &outcome.failures[0].error.to_string();
        assert!(failure.contains("FAILED") && failure.contains(&subnet), "{failure}");
        move_to(stage.id("aws.vpc/main"));

        let plan = stage.decide(&graphs[1]).await.unwrap().unwrap();
        assert_eq!(plan.steps.len(), 1, "{:#?}", plan.steps);
        assert_eq!(plan.headlines[0].title, "wk5: has failed and is provisioned again");
        stage.apply(&plan, None).await.unwrap();
        stage.settled(&graphs[1], "repaired").await.unwrap();
    });
}

/// The service may take back a change without a word: then the old object is still there, the
/// failure says what did not happen, and the next apply goes on.
#[test]
fn a_change_that_is_silently_taken_back_loses_nothing() {
    let specimen = &specimens()["private"];
    let mut after = specimen.clone();
    merge(&mut after, &json!({ "workspaces": { "wk1": { "subnets": { "block": 9 } } } }));
    let graphs = [specimen.clone(), after].map(|s| graph(&s.to_string()).unwrap());
    let faults = vec![Fault {
        kind: Some("databricks.workspace".to_owned()),
        operation: Some(Operation::Update),
        nth: 1,
        times: 1,
        happens: Happens::Reverts,
        message: None,
    }];
    paused(async {
        let stage = Stage::new(Profile::Instant, REGION, faults);
        stage.reach(&graphs[0], "before").await.unwrap();
        let before = stage.id("databricks.network/wk1");
        let plan = stage.decide(&graphs[1]).await.unwrap().unwrap();
        let outcome = stage.apply(&plan, None).await.unwrap().expect("it was not killed");
        let [failure] = outcome.failures.as_slice() else { panic!("{outcome:#?}") };
        let told = failure.error.to_string();
        assert!(told.contains("network: wanted") && told.contains("must be stopped"), "{told}");
        let there = stage.cloud.inventory().unwrap();
        assert!(there.iter().any(|item| item.id == before), "the old network is gone");

        stage.reach(&graphs[1], "again").await.unwrap();
        stage.settled(&graphs[1], "again").await.unwrap();
        let there = stage.cloud.inventory().unwrap();
        assert!(there.iter().all(|item| item.id != before), "the old network is still there");
    });
}

/// A bucket with something in it goes only when the spec says so in words of its own.
#[test]
fn a_bucket_is_emptied_only_with_consent() {
    let specimen = &specimens()["plain"];
    let without = |consent: Value| {
        let mut spec = specimen.clone();
        merge(&mut spec, &json!({ "workspaces": { "wk3": null }, "allow_deletion": ["wk3"] }));
        merge(&mut spec, &consent);
        graph(&spec.to_string()).unwrap()
    };
    paused(async {
        let stage = Stage::new(Profile::Instant, REGION, Vec::new());
        stage.reach(&graph(&specimen.to_string()).unwrap(), "before").await.unwrap();
        let bucket = stage.id("aws.bucket/wk3");
        stage.cloud.edit("aws.bucket", &bucket, |props| props["objects"] = json!(2500)).unwrap();

        let plan = stage.decide(&without(json!({}))).await.unwrap().unwrap();
        let outcome = stage.apply(&plan, None).await.unwrap().expect("it was not killed");
        let [failure] = outcome.failures.as_slice() else { panic!("{outcome:#?}") };
        assert!(failure.error.to_string().contains("not empty"), "{}", failure.error);

        let consent = without(json!({ "allow_emptying": ["wk3"] }));
        stage.reach(&consent, "with consent").await.unwrap();
        stage.settled(&consent, "with consent").await.unwrap();
    });
}
