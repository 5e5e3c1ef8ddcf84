//! One example of every kind, what it needs, and what each change of a field calls for.
//!
//! The conformance suite runs each through its whole life; the catalogue of kinds is written from
//! them. Adding a kind means adding an example to `STAGE` and its changes to [`all`].

use std::collections::BTreeSet;

use engine::{Address, Effect, outputs};
use serde_json::{Value, json};

/// One resource; its props may refer to others by output.
#[derive(Debug, Clone)]
pub struct Resource {
    pub address: Address,
    pub props: Value,
    /// What it needs beyond that.
    pub after: Vec<Address>,
}

/// One change of one field, everything else staying as it is.
#[derive(Debug, Clone)]
pub struct FieldChange {
    pub field: &'static str,
    pub value: Value,
    pub effect: Effect,
}

/// An example of one kind.
#[derive(Debug, Clone)]
pub struct Fixture {
    pub kind: &'static str,
    /// What must exist first, in order; also what only the changes need.
    pub needs: Vec<Resource>,
    pub resource: Resource,
    /// One that uses it, and what that one needs besides: while it is there, the first cannot go.
    pub user: Vec<Resource>,
    pub changes: Vec<FieldChange>,
    /// Fields of what is seen that others may refer to, beyond the props' own.
    pub outputs: &'static [&'static str],
}

/// An example of every kind, in the order of [`crate::KINDS`].
pub fn all() -> Vec<Fixture> {
    use Effect::Replace;
    let new_tags = || update("tags", json!({ "owner": "other" }));
    let replace = |field, value| FieldChange { field, value, effect: Replace };
    vec![
        fixture(
            "aws.vpc/a",
            Some("aws.subnet/a1"),
            &["state"],
            vec![
                replace("cidr", json!("10.9.0.0/16")),
                update("dns_support", json!(false)),
                update("dns_hostnames", json!(false)),
                new_tags(),
            ],
        ),
        fixture(
            "aws.subnet/a1",
            Some("aws.nat_gateway/a"),
            &["state"],
            vec![
                replace("vpc", id("aws.vpc/b")),
                replace("cidr", json!("10.0.8.0/24")),
                replace("zone", json!("eu-west-1c")),
                update("public_ips", json!(true)),
                new_tags(),
            ],
        ),
        fixture(
            "aws.internet_gateway/a",
            Some("aws.nat_gateway/a"),
            &[],
            vec![update("vpc", id("aws.vpc/b")), new_tags()],
        ),
        fixture("aws.elastic_ip/a", Some("aws.nat_gateway/a"), &["public_ip"], vec![new_tags()]),
        fixture(
            "aws.nat_gateway/a",
            None,
            &["state", "public_ip"],
            vec![
                replace("subnet", id("aws.subnet/a2")),
                replace("address", id("aws.elastic_ip/b")),
                new_tags(),
            ],
        ),
        fixture(
            "aws.route_table/a",
            None,
            &[],
            vec![
                replace("vpc", id("aws.vpc/b")),
                update("routes", json!({ "10.77.0.0/16": { "transit_gateway": "tgw-0a" } })),
                update("subnets", json!([id("aws.subnet/a1"), id("aws.subnet/a2")])),
                new_tags(),
            ],
        ),
        fixture(
            "aws.vpc_peering/a",
            None,
            &["status"],
            vec![
                replace("vpc", id("aws.vpc/c")),
                replace("peer_vpc", id("aws.vpc/c")),
                update("dns_resolution", json!(true)),
                new_tags(),
            ],
        ),
        fixture(
            "aws.route/a",
            None,
            &[],
            vec![
                replace("table", id("aws.route_table/a")),
                replace("destination", json!("10.78.0.0/16")),
                update("target", json!({ "transit_gateway": "tgw-0a" })),
            ],
        ),
        fixture(
            "aws.security_group/a",
            Some("aws.security_group_rules/b"),
            &[],
            vec![
                replace("vpc", id("aws.vpc/b")),
                replace("name", json!("other")),
                replace("description", json!("other words")),
                new_tags(),
            ],
        ),
        fixture(
            "aws.security_group_rules/a",
            None,
            &[],
            vec![
                replace("group", id("aws.security_group/b")),
                update("ingress", json!([rule("udp", Some(53), json!("itself"))])),
                update("egress", json!([rule("-1", None, json!({ "cidr": "10.0.0.0/8" }))])),
            ],
        ),
        fixture(
            "aws.vpc_endpoint/sts",
            None,
            &["state", "dns_names", "network_interfaces"],
            vec![
                replace("vpc", id("aws.vpc/b")),
                replace("service", json!("com.amazonaws.eu-west-1.kinesis-streams")),
                replace("flavour", json!("gateway")),
                update("route_tables", json!([id("aws.route_table/a")])),
                update("subnets", json!([id("aws.subnet/a1"), id("aws.subnet/a2")])),
                update("groups", json!([id("aws.security_group/a"), id("aws.security_group/b")])),
                update("private_dns", json!(false)),
                update("policy", json!({ "statements": [allow("*", "sts:AssumeRole")] })),
                new_tags(),
            ],
        ),
        fixture(
            "aws.role/a",
            Some("aws.instance_profile/a"),
            &["arn", "unique_id"],
            vec![
                replace("name", json!("other-role")),
                update("description", json!("other words")),
                update("trust", json!({ "statements": [assumed_by(databricks_root())] })),
                update("inline", json!({})),
                update("managed", json!(["arn:aws:iam::aws:policy/ReadOnlyAccess"])),
                new_tags(),
            ],
        ),
        fixture(
            "aws.instance_profile/a",
            None,
            &["arn"],
            vec![
                replace("name", json!("other-profile")),
                update("role", id("aws.role/b")),
                new_tags(),
            ],
        ),
        fixture(
            "aws.bucket/a",
            None,
            &[],
            vec![
                replace("name", json!("acme-other-root")),
                replace("region", json!("eu-central-1")),
                update("encryption", json!({ "kms": "arn:aws:kms:eu-west-1:111122223333:key/k" })),
                update("versioning", json!(true)),
                update("block_public_access", json!(false)),
                update("ownership", json!("BucketOwnerPreferred")),
                new_tags(),
            ],
        ),
        fixture(
            "aws.bucket_policy/a",
            None,
            &[],
            vec![
                replace("bucket", id("aws.bucket/b")),
                update("policy", json!({ "statements": [allow("*", "s3:ListBucket")] })),
            ],
        ),
        fixture(
            "databricks.credentials/a",
            Some("databricks.workspace/a"),
            &[],
            vec![
                replace("name", json!("other-name")),
                replace("role_arn", out("aws.role/b", "arn")),
            ],
        ),
        fixture(
            "databricks.storage_configuration/a",
            Some("databricks.workspace/a"),
            &[],
            vec![
                replace("name", json!("other-name")),
                replace("bucket", id("aws.bucket/b")),
                replace("role_arn", out("aws.role/b", "arn")),
            ],
        ),
        fixture(
            "databricks.vpc_endpoint/rest",
            Some("databricks.network/a"),
            &["state", "use_case"],
            vec![
                replace("name", json!("other-name")),
                replace("endpoint", id("aws.vpc_endpoint/sts")),
                replace("region", json!("eu-central-1")),
            ],
        ),
        fixture(
            "databricks.private_access_settings/a",
            Some("databricks.workspace/a"),
            &[],
            vec![
                update("name", json!("other-name")),
                replace("region", json!("eu-central-1")),
                update("public_access", json!(true)),
                update("level", json!("ACCOUNT")),
                update("allowed", json!([id("databricks.vpc_endpoint/relay")])),
            ],
        ),
        fixture(
            "databricks.network/a",
            Some("databricks.workspace/a"),
            &["status"],
            vec![
                replace("name", json!("other-name")),
                replace("vpc", id("aws.vpc/b")),
                replace("subnets", json!([id("aws.subnet/a1"), id("aws.subnet/a3")])),
                replace("groups", json!([id("aws.security_group/b")])),
                replace("rest_endpoint", id("databricks.vpc_endpoint/relay")),
                replace("relay_endpoint", id("databricks.vpc_endpoint/rest")),
            ],
        ),
        fixture(
            "databricks.workspace/a",
            None,
            &["status", "status_message", "url", "deployment_name"],
            vec![
                replace("name", json!("other-name")),
                replace("region", json!("eu-central-1")),
                update("credentials", id("databricks.credentials/b")),
                replace("storage", id("databricks.storage_configuration/b")),
                update("network", id("databricks.network/b")),
                replace("network", Value::Null),
                update("private_access", id("databricks.private_access_settings/b")),
                replace("private_access", Value::Null),
                replace("tier", json!("PREMIUM")),
                replace("deployment_name", json!("other")),
                new_tags(),
            ],
        ),
    ]
}

fn update(field: &'static str, value: Value) -> FieldChange {
    FieldChange { field, value, effect: Effect::Update }
}

fn stage() -> Vec<Resource> {
    let tags = || json!({ "owner": "data-platform" });
    let vpc = |cidr: &str| json!({ "cidr": cidr, "dns_support": true, "dns_hostnames": true, "tags": tags() });
    let subnet = |cidr: &str, zone: &str| json!({ "vpc": id("aws.vpc/a"), "cidr": cidr, "zone": zone, "public_ips": false, "tags": tags() });
    let table = |routes: Value, subnets: Value| json!({ "vpc": id("aws.vpc/a"), "routes": routes, "subnets": subnets, "tags": tags() });
    let group = |name: &str| json!({ "vpc": id("aws.vpc/a"), "name": name, "description": "for tests", "tags": tags() });
    let endpoint = |service: &str| {
        json!({
            "vpc": id("aws.vpc/a"), "service": service, "flavour": "interface",
            "route_tables": [], "subnets": [id("aws.subnet/a1")],
            "groups": [id("aws.security_group/a")], "private_dns": true, "policy": null,
            "tags": tags(),
        })
    };
    let role = |name: &str, trust: Value| {
        json!({
            "name": name, "description": "for tests", "trust": { "statements": trust },
            "inline": { "ec2": { "statements": [allow("*", "ec2:RunInstances")] } },
            "managed": [], "tags": tags(),
        })
    };
    let bucket = |name: &str| {
        json!({
            "name": name, "region": "eu-west-1", "encryption": "aes256", "versioning": false,
            "block_public_access": true, "ownership": "BucketOwnerEnforced", "tags": tags(),
        })
    };
    let bucket_policy = |bucket: &str| {
        let statement = json!({
            "allow": true, "principals": [databricks_root()], "actions": ["s3:GetObject"],
            "resources": ["arn:aws:s3:::acme-root/*"],
        });
        json!({ "bucket": id(bucket), "policy": { "statements": [statement] } })
    };
    let registration = |name: &str, endpoint: &str| json!({ "name": name, "endpoint": id(endpoint), "region": "eu-west-1" });
    let network = |name: &str| {
        json!({
            "name": name, "vpc": id("aws.vpc/a"),
            "subnets": [id("aws.subnet/a1"), id("aws.subnet/a2")],
            "groups": [id("aws.security_group/a")],
            "rest_endpoint": id("databricks.vpc_endpoint/rest"),
            "relay_endpoint": id("databricks.vpc_endpoint/relay"),
        })
    };
    let access = |name: &str| {
        json!({
            "name": name, "region": "eu-west-1", "public_access": false, "level": "ENDPOINT",
            "allowed": [id("databricks.vpc_endpoint/rest")],
        })
    };
    let own_role = json!({ "aws": "arn:aws:iam::111122223333:role/acme-cross" });
    let self_assuming = json!([assumed_by(databricks_root()), assumed_by(own_role)]);
    let rules = |group: &str, peer: Value| {
        json!({
            "group": id(group),
            "ingress": [rule("tcp", Some(443), peer), rule("tcp", Some(6666), json!("itself"))],
            "egress": [rule("tcp", Some(443), json!({ "cidr": "0.0.0.0/0" }))],
        })
    };
    let to_nat = json!({ "0.0.0.0/0": { "nat_gateway": id("aws.nat_gateway/a") } });
    let plain = |address: &str, props| resource(address, props, &[]);
    vec![
        plain("aws.vpc/a", vpc("10.0.0.0/16")),
        plain("aws.vpc/b", vpc("10.1.0.0/16")),
        plain("aws.vpc/c", vpc("10.2.0.0/16")),
        plain("aws.subnet/a1", subnet("10.0.0.0/24", "eu-west-1a")),
        plain("aws.subnet/a2", subnet("10.0.1.0/24", "eu-west-1b")),
        plain("aws.subnet/a3", subnet("10.0.2.0/24", "eu-west-1b")),
        plain("aws.internet_gateway/a", json!({ "vpc": id("aws.vpc/a"), "tags": tags() })),
        plain("aws.elastic_ip/a", json!({ "tags": tags() })),
        plain("aws.elastic_ip/b", json!({ "tags": tags() })),
        resource(
            "aws.nat_gateway/a",
            json!({ "subnet": id("aws.subnet/a1"), "address": id("aws.elastic_ip/a"), "tags": tags() }),
            &["aws.internet_gateway/a"],
        ),
        plain("aws.route_table/a", table(to_nat, json!([id("aws.subnet/a1")]))),
        plain("aws.route_table/b", table(json!({}), json!([]))),
        plain(
            "aws.vpc_peering/a",
            json!({
                "vpc": id("aws.vpc/a"), "peer_vpc": id("aws.vpc/b"), "peer_account": null,
                "peer_region": null, "accept": true, "dns_resolution": false, "tags": tags(),
            }),
        ),
        plain(
            "aws.route/a",
            json!({
                "table": id("aws.route_table/b"), "destination": "10.1.0.0/16",
                "target": { "peering": id("aws.vpc_peering/a") },
            }),
        ),
        plain("aws.security_group/a", group("nodes")),
        plain("aws.security_group/b", group("endpoints")),
        plain(
            "aws.security_group_rules/a",
            rules("aws.security_group/a", json!({ "cidr": "10.0.0.0/16" })),
        ),
        plain(
            "aws.security_group_rules/b",
            rules("aws.security_group/b", json!({ "group": id("aws.security_group/a") })),
        ),
        plain("aws.vpc_endpoint/sts", endpoint("com.amazonaws.eu-west-1.sts")),
        plain("aws.vpc_endpoint/rest", endpoint("com.amazonaws.vpce.eu-west-1.vpce-svc-0aaa")),
        plain("aws.vpc_endpoint/relay", endpoint("com.amazonaws.vpce.eu-west-1.vpce-svc-0bbb")),
        plain("aws.role/a", role("acme-cross", self_assuming)),
        plain("aws.role/b", role("acme-second", json!([assumed_by(databricks_root())]))),
        plain(
            "aws.instance_profile/a",
            json!({ "name": "acme-nodes", "role": id("aws.role/a"), "tags": tags() }),
        ),
        plain("aws.bucket/a", bucket("acme-root")),
        plain("aws.bucket/b", bucket("acme-second")),
        plain("aws.bucket_policy/a", bucket_policy("aws.bucket/a")),
        plain(
            "databricks.credentials/a",
            json!({ "name": "acme-cross", "role_arn": out("aws.role/a", "arn") }),
        ),
        plain(
            "databricks.credentials/b",
            json!({ "name": "acme-second", "role_arn": out("aws.role/b", "arn") }),
        ),
        plain(
            "databricks.storage_configuration/a",
            json!({ "name": "acme-root", "bucket": id("aws.bucket/a"), "role_arn": null }),
        ),
        plain(
            "databricks.storage_configuration/b",
            json!({ "name": "acme-second", "bucket": id("aws.bucket/b"), "role_arn": null }),
        ),
        plain("databricks.vpc_endpoint/rest", registration("acme-rest", "aws.vpc_endpoint/rest")),
        plain(
            "databricks.vpc_endpoint/relay",
            registration("acme-relay", "aws.vpc_endpoint/relay"),
        ),
        plain("databricks.private_access_settings/a", access("acme-access")),
        plain("databricks.private_access_settings/b", access("acme-second")),
        plain("databricks.network/a", network("acme-network")),
        plain("databricks.network/b", network("acme-second")),
        resource(
            "databricks.workspace/a",
            json!({
                "name": "acme-analytics", "region": "eu-west-1",
                "credentials": id("databricks.credentials/a"),
                "storage": id("databricks.storage_configuration/a"),
                "network": id("databricks.network/a"),
                "private_access": id("databricks.private_access_settings/a"),
                "tier": "ENTERPRISE", "deployment_name": "analytics", "tags": tags(),
            }),
            &["aws.bucket_policy/a"],
        ),
    ]
}

fn fixture(
    address: &str,
    user: Option<&str>,
    outputs: &'static [&'static str],
    changes: Vec<FieldChange>,
) -> Fixture {
    let stage = stage();
    let at = |address: &Address| {
        let found = stage.iter().find(|r| r.address == *address);
        found.unwrap_or_else(|| panic!("{address} is not on the stage")).clone()
    };
    let resource = at(&Address::from(address.to_owned()));
    let mut wanted: Vec<Address> = direct(&resource);
    wanted.extend(changes.iter().flat_map(|c| addresses(&c.value)));
    let needs = closure(wanted, &at);
    let kind = crate::facts().get(resource.address.kind()).map_or("", |kind| kind.name());
    let user = user.map(|user| at(&Address::from(user.to_owned())));
    let for_user = closure(user.iter().flat_map(direct).collect(), &at);
    let pick = |from: &BTreeSet<Address>, but: &BTreeSet<Address>| -> Vec<Resource> {
        let others = stage.iter().filter(|r| r.address != resource.address);
        others.filter(|r| from.contains(&r.address) && !but.contains(&r.address)).cloned().collect()
    };
    let mut users = pick(&for_user, &needs);
    users.extend(user);
    let needs = pick(&needs, &BTreeSet::new());
    Fixture { kind, needs, resource, user: users, changes, outputs }
}

fn closure(mut wanted: Vec<Address>, at: &impl Fn(&Address) -> Resource) -> BTreeSet<Address> {
    let mut all = BTreeSet::new();
    while let Some(address) = wanted.pop() {
        if all.insert(address.clone()) {
            wanted.extend(direct(&at(&address)));
        }
    }
    all
}

fn direct(resource: &Resource) -> Vec<Address> {
    resource.after.iter().cloned().chain(addresses(&resource.props)).collect()
}

fn addresses(value: &Value) -> Vec<Address> {
    outputs(value).into_iter().map(|output| output.address).collect()
}

fn resource(address: &str, props: Value, after: &[&str]) -> Resource {
    let after = after.iter().map(|a| Address::from((*a).to_owned())).collect();
    Resource { address: Address::from(address.to_owned()), props, after }
}

fn out(address: &str, field: &str) -> Value {
    json!({ "$output": { "address": address, "field": field } })
}

fn id(address: &str) -> Value {
    out(address, "id")
}

fn rule(protocol: &str, port: Option<u16>, peer: Value) -> Value {
    json!({ "protocol": protocol, "from": port, "to": port, "peer": peer })
}

fn allow(principal: &str, action: &str) -> Value {
    let principals =
        if principal == "*" { json!(["anyone"]) } else { json!([{ "aws": principal }]) };
    json!({ "allow": true, "principals": principals, "actions": [action], "resources": ["*"] })
}

fn assumed_by(principal: Value) -> Value {
    json!({ "allow": true, "principals": [principal], "actions": ["sts:AssumeRole"] })
}

fn databricks_root() -> Value {
    json!({ "aws": "arn:aws:iam::414351767826:root" })
}
