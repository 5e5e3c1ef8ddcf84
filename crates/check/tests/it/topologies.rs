//! Every topology of the reference (h.4), with the verdict given there.

use std::collections::{BTreeMap, BTreeSet};

use dbxctl_check as check;

use check::proof::Verdict;
use check::topology::{
    Access, AclEntry, Answer, Endpoint, NetworkAcl, PrivateZone, Protocol, Reach, Target, Topology,
};
use kinds::policy::Policy;
use serde_json::json;

use crate::proofs::{ENDPOINTS, NODES, Scene, VPC, admit, carry, members, range, rules, tcp};
use crate::stage::Stage;

const TABLE: &str = "aws.route_table/wk.private";

/// One workspace in one VPC over two zones.
pub(crate) fn spec(region: &str, vpc: &str, workspace: &str) -> String {
    format!(
        "apiVersion: dbxctl/v1
name: demo
region: {region}
aws: {{ account: \"123456789012\" }}
databricks: {{ account: 3f8a1c52-7d40-4be1-9c6e-2b5d8e0f1a77 }}
vpcs:
  main:
    cidr: 10.0.0.0/16
    zones: [{region}a, {region}b]
    {vpc}
workspaces:
  wk:
    vpc: main
    {workspace}
"
    )
}

/// The article's network: NAT, all endpoints, a second one for users without private DNS, and nodes that
/// carry the group of the endpoints, which admits its own members only.
fn article(bend: impl FnOnce(&mut Stage)) -> Scene {
    let vpc = "nat: single
    private_link: { backend: true, frontend: true, frontend_endpoint: own, user_names: zone }";
    let mut stage = Stage::of(&spec("eu-central-1", vpc, "public_access: false"));
    bend(&mut stage);
    Scene::of(stage).edited(|t| {
        admit(t, vec![members(ENDPOINTS)]);
        rules(t, ENDPOINTS).egress = vec![members(ENDPOINTS)];
        carry(t, ENDPOINTS);
        rules_of_users(t, "aws.security_group/public");
    })
}

/// A group of their own for users' endpoint, open on 443.
fn rules_of_users(t: &mut Topology, key: &str) {
    let group = t.groups.get_mut(ENDPOINTS).expect("the group").clone();
    t.groups.insert(key.to_owned(), group);
    let own = rules(t, key);
    own.ingress = vec![tcp(443, 443, range("0.0.0.0/0"))];
    own.egress.clear();
    let endpoint = t.endpoints.get_mut("aws.vpc_endpoint/main.frontend");
    if let Some(Some(Endpoint { reach: Reach::Interface { groups, .. }, .. })) = endpoint {
        *groups = BTreeSet::from([key.to_owned()]);
    }
}

fn private_dns_off(stage: &mut Stage, endpoint: &str) {
    stage.props(&format!("aws.vpc_endpoint/main.{endpoint}"))["private_dns"] = json!(false);
}

fn no_nat_route(stage: &mut Stage) {
    stage.props(TABLE)["routes"] = json!({});
}

/// A private zone, associated with the VPC.
fn zone(t: &mut Topology, name: &str, records: &[(&str, &str)]) {
    let records = records
        .iter()
        .map(|(host, endpoint)| ((*host).to_owned(), Answer::Endpoint((*endpoint).to_owned())));
    let zone = PrivateZone {
        name: name.to_owned(),
        vpcs: BTreeSet::from([VPC.to_owned()]),
        records: records.collect(),
    };
    t.zones.insert(format!("zone/{name}"), Some(zone));
}

#[test]
fn t1_the_article() {
    let scene = article(|_| {});
    scene.expect(
        "D1 P endpoint; D2-D4 P endpoint; D6 P endpoint; D7 P gateway; D8 P gateway; D9 P gateway; \
         D13 P endpoint; D15 P endpoint; D16 P nat; D18 P local; D19 P local; D24 P local; \
         U1 P endpoint; U2 U",
    );
    let proofs = scene.proofs();
    let api = proofs.iter().find(|p| p.class == "D2").expect("D2");
    let Verdict::Proven { path, .. } = &api.verdict else { panic!("{api:#?}") };
    assert!(path.iter().any(|hop| hop.what.contains("cannot be proven offline")), "{path:#?}");
}

#[test]
fn t2_the_first_incident_a_relay_endpoint_without_private_dns() {
    let scene = article(|stage| private_dns_off(stage, "relay"));
    scene.expect(
        "D1 P endpoint; D2-D4 P endpoint; D6 B DBX-EPT-001; D7 P gateway; D8 P gateway; \
         D13 P endpoint; D15 P endpoint; D16 P nat",
    );
    let block = scene.block("D6");
    assert_eq!(block.at, "aws.vpc_endpoint/main.relay");
    let symptom = block.symptom.expect("a symptom");
    assert!(symptom.contains("NPIP tunnel setup failure during launch"), "{symptom}");
    assert!(symptom.contains("WaitForNgrokTunnel"), "{symptom}");
    assert!(symptom.contains("Timed out waiting for ngrok tunnel to be up"), "{symptom}");
    insta::assert_debug_snapshot!(scene.block("D6"));
}

#[test]
fn t4_the_second_incident_sts_without_private_dns_and_no_nat() {
    let scene = article(|stage| {
        private_dns_off(stage, "sts");
        no_nat_route(stage);
    });
    scene.expect(
        "D1 P endpoint; D2-D4 P endpoint; D6 P endpoint; D7 P gateway; D8 P gateway; \
         D13 B DBX-EPT-002; D15 P endpoint; D16 B DBX-RTE-008",
    );
    let block = scene.block("D13");
    assert_eq!(block.at, "aws.vpc_endpoint/main.sts");
    let symptom = block.symptom.expect("a symptom");
    assert!(
        symptom.contains("error when registering the container to security daemon"),
        "{symptom}"
    );
    insta::assert_debug_snapshot!(scene.block("D13"));
}

#[test]
fn t5_no_nat_and_the_built_in_metastore() {
    let scene = article(no_nat_route);
    scene.expect(
        "D1 P endpoint; D2-D4 P endpoint; D6 P endpoint; D7 P gateway; D8 P gateway; \
         D13 P endpoint; D15 P endpoint; D16 B DBX-RTE-008",
    );
    let block = scene.block("D16");
    assert!(block.symptom.expect("a symptom").contains("freeze until time-out"));
    assert!(block.fix.contains("legacy_metastore: false"), "{}", block.fix);
}

#[test]
fn t7_the_current_template() {
    let vpc = "nat: single\n    private_link: { backend: true }";
    let scene = Scene::of(Stage::of(&spec("ap-northeast-1", vpc, "tier: enterprise")));
    let scene = scene.edited(|t| {
        let ports = [443, 6666, 2443].map(|p| tcp(p, p, crate::proofs::group(NODES)));
        admit(t, [ports.to_vec(), vec![members(ENDPOINTS)]].concat());
    });
    scene.expect(
        "D1 P endpoint; D2-D4 B DBX-SGR-016; D6 P endpoint; D7 P gateway; D8 P gateway; \
         D13 P endpoint; D15 P endpoint; D16 P nat",
    );
    let block = scene.block("D2");
    assert_eq!(block.severity, check::Severity::Warning);
    assert_eq!(block.at, ENDPOINTS);
}

#[test]
fn t8_nat_only() {
    let vpc = "nat: single\n    endpoints: []";
    let scene = Scene::of(Stage::of(&spec("eu-central-1", vpc, "public_access: true")));
    scene.expect(
        "D1 P nat; D2-D4 P nat; D5 P nat; D7 P nat; D8 P nat; D9 P nat; D13 P nat; D15 P nat; \
         D16 P nat; U1 P public; U2 P public",
    );
}

/// The isolated shape of the Security Reference Architecture.
fn isolated(region: &str) -> Scene {
    let vpc = "nat: none\n    private_link: { backend: true }";
    let uses = "uses: { legacy_metastore: false, sample_data: true, buckets: { lake: REGION } }";
    let uses = uses.replace("REGION", region);
    Scene::of(Stage::of(&spec(region, vpc, &uses))).edited(|t| {
        let own = range("10.0.0.0/16");
        let list = check::topology::Peer::PrefixList("pl-6ea54007".to_owned());
        let mut out = vec![members(NODES), tcp(443, 443, list)];
        for (from, to) in [(443, 443), (2443, 2443), (6666, 6666), (8443, 8451)] {
            out.push(tcp(from, to, own.clone()));
        }
        rules(t, NODES).egress = out;
    })
}

/// The restrictive policies of c.6 for Frankfurt.
fn restrictive(t: &mut Topology) {
    let by = |account: &str| json!({ "StringEquals": { "aws:PrincipalAccount": account } });
    let of = |account: &str| json!({ "StringEquals": { "aws:ResourceAccount": account } });
    let (databricks, customer) = ("414351767826", "123456789012");
    let all = ["Get", "GetObjectVersion", "Put", "Delete"].map(|a| match a {
        "Get" => "s3:GetObject".to_owned(),
        "Put" => "s3:PutObject".to_owned(),
        "Delete" => "s3:DeleteObject".to_owned(),
        other => format!("s3:{other}"),
    });
    let bucket = ["s3:ListBucket".to_owned(), "s3:GetBucketLocation".to_owned()];
    let statement = |name: &str, actions: &[String], condition: serde_json::Value| {
        json!({
            "Effect": "Allow", "Principal": "*", "Action": actions, "Condition": condition,
            "Resource": [format!("arn:aws:s3:::{name}"), format!("arn:aws:s3:::{name}/*")],
        })
    };
    let whole = [&all[..], &bucket[..]].concat();
    let read = [&all[..2], &bucket[..]].concat();
    let write = [&all[2..3], &bucket[..]].concat();
    let region = "eu-central-1";
    let s3 = json!({ "Statement": [
        statement("demo-wk-root-123456789012", &whole, by(databricks)),
        statement("lake", &whole, json!({ "StringEquals": {
            "aws:PrincipalAccount": customer, "s3:ResourceAccount": customer } })),
        statement(&format!("databricks-prod-artifacts-{region}"), &read, of(databricks)),
        statement("databricks-prod-storage-frankfurt", &write, by(databricks)),
        statement(
            &format!("system-tables-prod-{region}-uc-metastore-bucket"), &read, by(databricks)),
        statement("databricks-datasets-frankfurt", &read, by(databricks)),
    ]});
    let root = |account: &str| format!("arn:aws:iam::{account}:root");
    let sts = json!({ "Statement": [
        { "Effect": "Allow", "Principal": { "AWS": root(customer) }, "Resource": "*",
          "Action": ["sts:AssumeRole", "sts:GetAccessKeyInfo", "sts:GetSessionToken",
                     "sts:DecodeAuthorizationMessage", "sts:TagSession"] },
        { "Effect": "Allow", "Principal": { "AWS": root(databricks) }, "Resource": "*",
          "Action": ["sts:AssumeRole", "sts:GetSessionToken", "sts:TagSession"] },
    ]});
    let kinesis = json!({ "Statement": {
        "Effect": "Allow", "Principal": { "AWS": root(databricks) },
        "Resource": format!("arn:aws:kinesis:{region}:{databricks}:*"),
        "Action": ["kinesis:PutRecord", "kinesis:PutRecords", "kinesis:DescribeStream"],
    }});
    for (name, policy) in [("s3", s3), ("sts", sts), ("kinesis", kinesis)] {
        give(t, name, &policy.to_string());
    }
}

/// Gives an endpoint a policy.
fn give(t: &mut Topology, name: &str, policy: &str) {
    let endpoint = t.endpoints.get_mut(&format!("aws.vpc_endpoint/main.{name}"));
    let Some(Some(endpoint)) = endpoint else { panic!("no endpoint {name}") };
    endpoint.policy = Some(Policy::from_json(policy).expect("a policy"));
}

#[test]
fn t9_isolated_with_restrictive_policies() {
    let scene = isolated("eu-central-1").edited(restrictive);
    scene.expect(
        "D1 P endpoint; D2-D4 P endpoint; D6 P endpoint; D7 P gateway; D8 P gateway; \
         D9-D12 P gateway; D13 P endpoint; D15 P endpoint; D16 N",
    );
}

#[test]
fn t9_with_a_bucket_forgotten_or_a_principal() {
    let forgotten = [
        ("demo-wk-root", "D7 B DBX-EPT-016; D8 P gateway"),
        ("databricks-prod-artifacts", "D8 B DBX-EPT-017; D7 P gateway"),
        ("databricks-prod-storage", "D9 B DBX-EPT-018"),
        ("system-tables", "D10 B DBX-EPT-019"),
        ("databricks-datasets", "D11 B DBX-EPT-020"),
        ("lake", "D12 B DBX-EPT-021"),
    ];
    for (name, line) in forgotten {
        let scene = isolated("eu-central-1").edited(restrictive).edited(|t| {
            let endpoint = t.endpoints.get_mut("aws.vpc_endpoint/main.s3");
            let Some(Some(Endpoint { policy: Some(policy), .. })) = endpoint else { panic!() };
            let about = format!("arn:aws:s3:::{name}");
            policy.statements.retain(|s| !s.resources.iter().any(|r| r.starts_with(&about)));
        });
        scene.expect(line);
    }
    let nobody = r#"{"Statement":{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:root"},
        "Action":"*","Resource":"*"}}"#;
    let scene = isolated("eu-central-1").edited(|t| {
        give(t, "sts", nobody);
        give(t, "kinesis", nobody);
    });
    scene.expect("D13 B DBX-EPT-022; D15 B DBX-EPT-023");
    let organisation = r#"{"Statement":{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*",
        "Condition":{"StringEquals":{"aws:PrincipalOrgID":"o-1"}}}}"#;
    isolated("eu-central-1").edited(|t| give(t, "s3", organisation)).expect("D7-D12 U");
}

#[test]
fn t10_isolated_in_northern_california() {
    let scene = isolated("us-west-1");
    scene.expect(
        "D1 P endpoint; D2-D4 P endpoint; D6 P endpoint; D7 P gateway; D8 B DBX-EPT-033; \
         D9 B DBX-EPT-033; D10 P gateway; D13 P endpoint; D15 B DBX-EPT-030; D16 N",
    );
    // Two unverified facts: presented as warnings.
    for class in ["D8", "D15"] {
        assert_eq!(scene.block(class).severity, check::Severity::Warning);
    }
}

#[test]
fn t13_an_apex_zone_hides_what_it_does_not_list() {
    let host = "wk.cloud.databricks.com";
    let apex = |t: &mut Topology| {
        zone(t, "cloud.databricks.com", &[(host, "aws.vpc_endpoint/main.rest")]);
    };
    // The relay endpoint's own zone is more specific, and so is the REST endpoint's.
    article(|_| {}).edited(apex).expect(
        "D1 P endpoint; D2-D4 P endpoint; D6 P endpoint; D7 P gateway; D8 P gateway; \
         D13 P endpoint; D15 P endpoint; D16 P nat",
    );
    let silent = article(|stage| {
        private_dns_off(stage, "rest");
        private_dns_off(stage, "relay");
    });
    let silent = silent.edited(apex);
    silent.expect(
        "D1 P endpoint; D2-D4 B DBX-DNS-001; D6 B DBX-DNS-001; D7 P gateway; D8 P gateway; \
         D13 P endpoint; D15 P endpoint; D16 P nat",
    );
    assert_eq!(silent.block("D6").at, "zone/cloud.databricks.com");
    // Without back-end connections the regional host is what the zone hides.
    let vpc = "nat: single";
    let plain = Scene::of(Stage::of(&spec("eu-central-1", vpc, "public_access: true")));
    let plain = plain.edited(|t| zone(t, "cloud.databricks.com", &[]));
    plain.expect("D1 B DBX-DNS-001; D2-D4 B DBX-DNS-001; D5 B DBX-DNS-001; D13 P endpoint");
}

#[test]
fn t14_the_workspace_name_pinned_to_an_endpoint_nobody_allowed() {
    let scene = article(|_| {}).edited(|t| {
        let stranger = t.endpoints["aws.vpc_endpoint/main.rest"].clone();
        t.endpoints.insert("vpce-stranger".to_owned(), stranger);
        if let Some(Some(Endpoint { reach: Reach::Interface { private_dns, .. }, .. })) =
            t.endpoints.get_mut("vpce-stranger")
        {
            *private_dns = false;
        }
        let host = "wk.cloud.databricks.com";
        zone(t, host, &[(host, "vpce-stranger")]);
        if let Some(nodes) = t.workspaces.get_mut("wk")
            && let Access::Settings { allowed, .. } = &mut nodes.access
        {
            *allowed = Some(BTreeSet::new());
        }
    });
    scene.expect(
        "D1 P endpoint; D2-D4 B DBX-DNS-002; D6 P endpoint; D7 P gateway; D8 P gateway; \
         D13 P endpoint; D15 P endpoint; D16 P nat; U1 B DBX-PLK-005",
    );
    let symptom = scene.block("D2").symptom.expect("a symptom");
    assert!(symptom.contains("Unauthorized network access to workspace"), "{symptom}");
    // An endpoint that is registered and allowed may answer; this one is open on 443 only.
    let allowed = article(|_| {}).edited(|t| {
        let host = "wk.cloud.databricks.com";
        zone(t, host, &[(host, "aws.vpc_endpoint/main.frontend")]);
    });
    allowed.expect("D1 P endpoint; D2-D4 B DBX-SGR-016");
}

/// A network ACL on some subnets: everything out, and in only what is below the ports of replies.
fn closed_to_replies(t: &mut Topology, on: impl Fn(&str) -> bool) {
    let entry = |egress, ports| AclEntry {
        number: 100,
        egress,
        protocol: Protocol::Tcp,
        ports,
        cidr: "0.0.0.0/0".parse().expect("a range"),
        allow: true,
    };
    let acl = NetworkAcl {
        vpc: VPC.to_owned(),
        subnets: t.subnets.keys().filter(|key| on(key)).cloned().collect(),
        entries: vec![entry(true, (0, 65535)), entry(false, (0, 1023))],
    };
    t.acls.insert("acl-1".to_owned(), Some(acl));
}

#[test]
fn t15_no_way_back_in() {
    let nodes = article(|_| {}).edited(|t| closed_to_replies(t, |key| key.contains("/wk.")));
    nodes.expect(
        "D1 B DBX-NET-016; D2-D4 B DBX-NET-016; D6 B DBX-NET-016; D7 B DBX-NET-016; \
         D8 B DBX-NET-016; D13 B DBX-NET-016; D15 B DBX-NET-016; D16 B DBX-NET-016",
    );
    assert_eq!(nodes.block("D1").at, "acl-1");
    let others = article(|_| {}).edited(|t| closed_to_replies(t, |key| !key.contains("/wk.")));
    // Ports above 1023 are closed towards endpoints; replies to the NAT gateway, too.
    others.expect("D1 P endpoint; D2-D4 B DBX-NET-017; D6 B DBX-NET-017; D16 B DBX-NET-017");
}

#[test]
fn t16_govcloud_without_the_fips_port() {
    let vpc = "nat: single\n    private_link: { backend: true }";
    let stage = Stage::of(&spec("us-gov-west-1", vpc, "tier: enterprise"));
    let scene = Scene::of(stage).edited(|t| {
        rules(t, ENDPOINTS).ingress.retain(|rule| rule.ports != (2443, 2443));
    });
    scene.expect(
        "D1 P endpoint; D2-D4 P endpoint; D6 B DBX-SGR-018; D7 P gateway; D8 P gateway; \
         D13 P endpoint; D15 P endpoint; D16 U",
    );
}

/// The default route goes to a transit gateway.
fn transit(t: &mut Topology) {
    let Some(Some(table)) = t.route_tables.get_mut(TABLE) else { panic!("no table") };
    let anywhere = "0.0.0.0/0".parse().expect("a range");
    let away = Target::TransitGateway("tgw-0123456789abcdef0".to_owned());
    table.routes = BTreeMap::from([(anywhere, away)]);
}

#[test]
fn t18_out_through_a_transit_gateway() {
    let in_region = |region: &str, endpoints: &str| {
        let vpc = format!("nat: single\n    endpoints: {endpoints}");
        Scene::of(Stage::of(&spec(region, &vpc, "public_access: true"))).edited(transit)
    };
    // The reference has D8 unknown: so it is where artifacts are in another region.
    in_region("us-west-1", "[s3, sts, kinesis]")
        .expect("D1 U; D2-D4 U; D5 U; D7 P gateway; D8 U; D13 P endpoint; D16 U");
    in_region("eu-central-1", "[s3, sts, kinesis]").expect(
        "D1 U; D2-D4 U; D5 U; D7 P gateway; D8 P gateway; D13 P endpoint; D15 P endpoint; D16 U",
    );
    in_region("eu-central-1", "[]").expect("D1 U; D2-D4 U; D5 U; D7-D10 U; D13 U; D15 U; D16 U");
}
