//! What the platforms do that a naive simulation would not.

use std::time::Duration;

use cloud::Class;
use dbxctl_sandbox::{Operation, Profile, Sandbox, Settings};
use engine::{Address, Cloud, Diff, Found, Graph, Group, Mark, Wanted};
use kinds::aws::vpc::Vpc;
use serde_json::{Value, json};

/// The props with the mark of the resource `name` in them.
fn marked(kind: &str, name: &str, props: &Value) -> Value {
    let mark = Mark { stack: "test".to_owned(), address: Address::new(kind, name) };
    let kind = kinds::facts().get(kind).expect("a kind we have");
    kind.mark(props, &mark).expect("props of that kind")
}

async fn create(cloud: &Sandbox, kind: &str, name: &str, props: Value) -> cloud::Result<String> {
    cloud.create(kind, &marked(kind, name, &props)).await
}

async fn read(cloud: &Sandbox, kind: &str, id: &str) -> Option<Value> {
    cloud.read(kind, &[id.to_owned()]).await.expect("readable").remove(0)
}

fn vpc(cidr: &str) -> Value {
    json!({ "cidr": cidr, "dns_support": true, "dns_hostnames": true, "tags": {} })
}

fn subnet(vpc: &str, cidr: &str) -> Value {
    json!({ "vpc": vpc, "cidr": cidr, "zone": "eu-west-1a", "public_ips": false, "tags": {} })
}

fn role(name: &str, principal: &str) -> Value {
    let trusted = json!({
        "allow": true, "principals": [{ "aws": principal }], "actions": ["sts:AssumeRole"],
    });
    json!({
        "name": name, "description": "", "trust": { "statements": [trusted] },
        "inline": {}, "managed": ["arn:aws:iam::aws:policy/ReadOnlyAccess"], "tags": {},
    })
}

#[tokio::test]
async fn subnets_stay_inside_their_vpc_and_off_each_other() {
    let cloud = Sandbox::in_memory(Settings::instant());
    let id = create(&cloud, "aws.vpc", "v", vpc("10.0.0.0/16")).await.expect("made");
    let cases = [
        ("10.0.0.0/24", None),
        ("10.0.0.128/25", Some("InvalidSubnet.Conflict")),
        ("10.1.0.0/24", Some("InvalidSubnet.Range")),
        ("10.0.1.0/24", None),
    ];
    for (cidr, code) in cases {
        let made = create(&cloud, "aws.subnet", cidr, subnet(&id, cidr)).await;
        assert_eq!(made.err().and_then(|e| e.code).as_deref(), code, "{cidr}");
    }
    let lost = create(&cloud, "aws.subnet", "x", subnet("vpc-0", "10.0.5.0/24")).await;
    assert_eq!(lost.expect_err("no such VPC").class, Class::NotFound);
}

#[tokio::test(start_paused = true)]
async fn a_role_cannot_be_assumed_before_iam_has_told_everybody() {
    let settings = Settings { profile: Profile::Realistic, ..Settings::default() };
    let cloud = Sandbox::in_memory(settings);
    let trusting = role("cross", "arn:aws:iam::414351767826:root");
    create(&cloud, "aws.role", "r", trusting.clone()).await.expect("made");
    let diff = engine::Diff::default().update("managed", &trusting["managed"], &json!([]));
    cloud.update("aws.role", "cross", &trusting, &diff).await.expect("updated");
    let credentials =
        json!({ "name": "cross", "role_arn": "arn:aws:iam::111122223333:role/cross" });
    let early = create(&cloud, "databricks.credentials", "c", credentials.clone()).await;
    assert_eq!(early.expect_err("too early").class, Class::Propagating);
    crate::pass(Duration::from_secs(11)).await;
    create(&cloud, "databricks.credentials", "c", credentials).await.expect("late enough");
}

#[tokio::test]
async fn a_trust_policy_names_nobody_who_is_not_there() {
    let cloud = Sandbox::in_memory(Settings::instant());
    let own = "arn:aws:iam::111122223333:role/self";
    let absent = role("other", own);
    let refused = create(&cloud, "aws.role", "o", absent).await.expect_err("nobody there");
    assert_eq!(refused.code.as_deref(), Some("MalformedPolicyDocument"));
    let wanted = role("self", own);
    create(&cloud, "aws.role", "s", wanted.clone()).await.expect("made without itself");
    let seen = read(&cloud, "aws.role", "self").await.expect("there");
    assert_eq!(seen["trust"]["statements"], json!([]));
    let diff = Diff::default().update("trust", &wanted["trust"], &seen["trust"]);
    cloud.update("aws.role", "self", &wanted, &diff).await.expect("there by now");
}

#[tokio::test]
async fn equal_runs_give_equal_ids_and_no_id_twice() {
    let run = || async {
        let cloud = Sandbox::in_memory(Settings::instant());
        let first = create(&cloud, "aws.vpc", "v", vpc("10.0.0.0/16")).await.expect("made");
        cloud.delete("aws.vpc", &first).await.expect("deleted");
        let second = create(&cloud, "aws.vpc", "v", vpc("10.0.0.0/16")).await.expect("made");
        (first, second)
    };
    let (first, second) = run().await;
    assert_ne!(first, second);
    assert_eq!(run().await, (first, second));
}

#[tokio::test]
async fn faults_hit_the_calls_they_name_and_no_others() {
    let faults = r#"[
        {"kind": "aws.vpc", "operation": "create", "nth": 2, "happens": {"error": "throttled"}},
        {"kind": "aws.vpc", "operation": "create", "nth": 3, "happens": "after_effect"}
    ]"#;
    let cloud = Sandbox::in_memory(Settings::instant().with_faults(faults).expect("valid"));
    let mut answers = Vec::new();
    for name in ["a", "b", "c", "d"] {
        let made = create(&cloud, "aws.vpc", name, vpc("10.0.0.0/16")).await;
        answers.push(made.err().map(|e| e.class));
    }
    assert_eq!(answers, [None, Some(Class::Throttled), Some(Class::Transient), None]);
    let made: Vec<_> =
        cloud.inventory().expect("readable").into_iter().filter_map(|o| o.mark).collect();
    let mut names: Vec<_> = made.iter().map(|mark| mark.address.name()).collect();
    names.sort_unstable();
    assert_eq!(names, ["a", "c", "d"]);
    let creates = cloud.calls().into_iter().find(|(call, _)| call.operation == Operation::Create);
    assert_eq!(creates.map(|(_, count)| count), Some(4));
}

#[tokio::test]
async fn what_was_answered_survives_and_is_found_by_its_mark() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("cloud.json");
    let open = || Sandbox::open(&path, Settings::instant()).expect("opens");
    let id = create(&open(), "aws.vpc", "v", vpc("10.0.0.0/16")).await.expect("made");
    let wanted = Wanted { address: Address::new("aws.vpc", "v"), props: vpc("10.0.0.0/16") };
    let found = open().find("aws.vpc", "test", &[wanted]).await.expect("found");
    assert_eq!(found, [[Found::Ours(id)]]);
}

#[tokio::test]
async fn drift_can_be_made_behind_everybodys_back() {
    let cloud = Sandbox::in_memory(Settings::instant());
    let id = create(&cloud, "aws.vpc", "v", vpc("10.0.0.0/16")).await.expect("made");
    cloud.edit("aws.vpc", &id, |props| props["tags"]["who"] = json!("me")).expect("edited");
    let seen = read(&cloud, "aws.vpc", &id).await.expect("there");
    assert_eq!(seen["tags"]["who"], json!("me"));
    cloud.remove("aws.vpc", &id).expect("removed");
    assert_eq!(read(&cloud, "aws.vpc", &id).await, None);
}

#[tokio::test]
async fn what_a_graph_only_uses_is_invented_once() {
    let mut graph = Graph::new("test");
    let expect = engine::Expect {
        field: "cidr".to_owned(),
        equals: json!("10.7.0.0/16"),
        because: "the spec says so".to_owned(),
    };
    let shared = Group::Shared("v".to_owned());
    graph.use_existing::<Vpc>(&shared, "v", &"vpc-0abc".into(), vec![expect]);
    let cloud = Sandbox::in_memory(Settings::instant());
    assert_eq!(cloud.adopt_used(&graph).expect("invented").len(), 1);
    assert_eq!(cloud.adopt_used(&graph).expect("there").len(), 0);
    let seen = read(&cloud, "aws.vpc", "vpc-0abc").await.expect("there");
    assert_eq!((&seen["cidr"], &seen["state"]), (&json!("10.7.0.0/16"), &json!("available")));
}

#[tokio::test(start_paused = true)]
async fn an_address_stays_taken_until_its_nat_gateway_is_really_gone() {
    let cloud = Sandbox::in_memory(Settings::default());
    let v = create(&cloud, "aws.vpc", "v", vpc("10.0.0.0/16")).await.expect("made");
    let gateway = json!({ "vpc": v, "tags": {} });
    let igw = create(&cloud, "aws.internet_gateway", "g", gateway.clone()).await.expect("made");
    let unattached = read(&cloud, "aws.internet_gateway", &igw).await.expect("there");
    assert_eq!(unattached["vpc"], Value::Null);
    let diff = Diff::default().update("vpc", &gateway["vpc"], &Value::Null);
    cloud.update("aws.internet_gateway", &igw, &gateway, &diff).await.expect("attached");
    let s = create(&cloud, "aws.subnet", "s", subnet(&v, "10.0.0.0/24")).await.expect("made");
    let a = create(&cloud, "aws.elastic_ip", "a", json!({ "tags": {} })).await.expect("made");
    let props = json!({ "subnet": s, "address": a, "tags": {} });
    let nat = create(&cloud, "aws.nat_gateway", "n", props).await.expect("made");
    let seen = read(&cloud, "aws.nat_gateway", &nat).await.expect("there");
    assert_eq!(seen["state"], json!("pending"));
    cloud.delete("aws.nat_gateway", &nat).await.expect("asked to go");
    let held = cloud.delete("aws.elastic_ip", &a).await.expect_err("still there");
    assert_eq!(held.class, Class::InUse);
    crate::pass(Duration::from_secs(1)).await;
    cloud.delete("aws.elastic_ip", &a).await.expect("free");
}
