//! Ways that the reference's table does not have: users, names, what users name, what was not read.

use std::collections::BTreeSet;

use dbxctl_check as check;

use check::Severity;
use check::topology::{
    Access, Answer, Association, Endpoint, PrivateZone, Reach, Resolver, Target, Topology,
};

use crate::proofs::{ENDPOINTS, NODES, Scene, VPC, members, range, rules, tcp};
use crate::stage::Stage;
use crate::topologies::spec;

fn scene(vpc: &str, workspace: &str) -> Scene {
    Scene::of(Stage::of(&spec("eu-central-1", vpc, workspace)))
}

const BACKEND: &str = "nat: single\n    private_link: { backend: true }";
const SHARED: &str = "nat: none\n    private_link: { backend: true, frontend: true }";
const OWN: &str = "nat: none
    private_link: { backend: true, frontend: true, frontend_endpoint: own }";
const NAT: &str = "nat: single\n    endpoints: []";

fn access(t: &mut Topology) -> &mut Access {
    &mut t.workspaces.get_mut("wk").expect("the workspace").access
}

fn vpc(t: &mut Topology) -> &mut check::topology::Vpc {
    match t.vpcs.get_mut(VPC) {
        Some(Some(vpc)) => vpc,
        other => panic!("{other:?}"),
    }
}

#[test]
fn users_come_in_publicly_or_through_an_endpoint_they_can_name() {
    scene(NAT, "public_access: true").expect("U1 P public; U2 P public");
    scene(SHARED, "public_access: false").expect("U1 P endpoint; U2 U");
    let own = || {
        // The spec refuses this; a network made elsewhere may have it.
        let vpc = OWN.replace("own }", "own, user_names: zone }");
        let mut scene = scene(&vpc, "public_access: false");
        scene.stage.spec.vpcs.get_mut("main").expect("the VPC").private_link.user_names = None;
        scene
    };
    let nameless = own().edited(|t| {
        let Access::Settings { allowed, .. } = access(t) else { panic!() };
        *allowed = Some(BTreeSet::from(["databricks.vpc_endpoint/main.frontend".to_owned()]));
    });
    nameless.expect("U1 B DBX-DNS-004");
    assert!(nameless.block("U1").fix.contains("user_names"), "{:?}", nameless.block("U1"));
    let symptom = nameless.block("U1").symptom.expect("a symptom");
    assert!(symptom.contains("private-link-validation-error"), "{symptom}");
    let named = scene(&OWN.replace("own }", "own, user_names: zone }"), "public_access: false");
    named.expect("U1 P endpoint; U2 U");
}

#[test]
fn users_without_an_endpoint_for_them() {
    let closed = scene(SHARED, "public_access: false").edited(|t| {
        rules(t, ENDPOINTS).ingress.retain(|r| !matches!(r.peer, check::topology::Peer::Cidr(_)));
    });
    closed.expect("U1 B DBX-PLK-004");
    assert_eq!(closed.block("U1").at, ENDPOINTS);
    let nobody = scene(SHARED, "public_access: false").edited(|t| {
        let Access::Settings { allowed, .. } = access(t) else { panic!() };
        *allowed = Some(BTreeSet::new());
    });
    nobody.expect("U1 B DBX-PLK-005");
    let unread = scene(SHARED, "public_access: false")
        .edited(|t| *access(t) = Access::Unknown("settings".to_owned()));
    unread.expect("U1 U; U2 U");
}

#[test]
fn single_sign_on_by_a_zone() {
    let host = "accounts-pl-auth.privatelink.cloud.databricks.com";
    let mapped = scene(SHARED, "public_access: false").edited(|t| {
        let answer = Answer::Endpoint("aws.vpc_endpoint/main.rest".to_owned());
        let zone = PrivateZone {
            name: host.to_owned(),
            vpcs: BTreeSet::from([VPC.to_owned()]),
            records: [(host.to_owned(), answer)].into(),
        };
        t.zones.insert("zone/sso".to_owned(), Some(zone));
    });
    mapped.expect("U1 P endpoint; U2 P endpoint");
}

#[test]
fn a_vpc_that_answers_no_names_or_no_private_ones() {
    let scene = scene(BACKEND, "tier: enterprise");
    let deaf = scene.edited(|t| vpc(t).dns_support = false);
    deaf.expect("D1-D4 B DBX-NET-001; D6-D9 B DBX-NET-001; D13 B DBX-NET-001; D18 B DBX-NET-001");
    assert_eq!(deaf.block("D1").at, VPC);
    let mute = deaf.edited(|t| {
        vpc(t).dns_support = true;
        vpc(t).dns_hostnames = false;
    });
    // Through NAT, public access on; nothing replaces the relay endpoint.
    mute.expect("D1-D4 P nat; D6 B DBX-NET-002; D7 P gateway; D13 P nat; D18 P local");
    let own = mute.edited(|t| {
        vpc(t).dns_hostnames = true;
        vpc(t).resolver = Resolver::Own(vec!["10.0.9.9".parse().expect("an address")]);
    });
    own.expect("D1-D4 U; D6-D9 U; D13 U; D18 B DBX-SGR-012; D19 P local; D24 P local");
    assert_eq!(own.block("D18").severity, Severity::Warning);
    own.edited(|t| {
        let tcp = tcp(53, 53, range("10.0.9.9/32"));
        let udp = check::topology::Rule { protocol: check::topology::Protocol::Udp, ..tcp.clone() };
        rules(t, NODES).egress.extend([tcp, udp]);
    })
    .expect("D18 U");
}

#[test]
fn a_rest_endpoint_nobody_can_name() {
    let silent = |workspace: &str| {
        let mut stage = Stage::of(&spec("eu-central-1", BACKEND, workspace));
        let props = stage.props("aws.vpc_endpoint/main.rest");
        props["private_dns"] = false.into();
        Scene::of(stage)
    };
    silent("public_access: true").expect("D1-D4 P nat; D6 P endpoint");
    let closed = silent("public_access: true").edited(|t| {
        let Access::Settings { public, .. } = access(t) else { panic!() };
        *public = false;
    });
    closed.expect("D1-D4 B DBX-EPT-006");
    assert_eq!(closed.block("D1").at, "aws.vpc_endpoint/main.rest");
}

#[test]
fn endpoints_of_the_wrong_service() {
    let swapped = scene(BACKEND, "tier: enterprise").edited(|t| {
        let nodes = t.workspaces.get_mut("wk").expect("the workspace");
        std::mem::swap(&mut nodes.rest, &mut nodes.relay);
    });
    swapped.expect("D6 B DBX-EPT-010");
    let host = "tunnel.privatelink.eu-central-1.cloud.databricks.com";
    let pinned = scene(BACKEND, "tier: enterprise").edited(|t| {
        let answer = Answer::Endpoint("aws.vpc_endpoint/main.rest".to_owned());
        let zone = PrivateZone {
            name: host.to_owned(),
            vpcs: BTreeSet::from([VPC.to_owned()]),
            records: [(host.to_owned(), answer)].into(),
        };
        t.zones.insert("zone/tunnel".to_owned(), Some(zone));
    });
    pinned.expect("D1-D4 P endpoint; D6 B DBX-DNS-003");
}

#[test]
fn nat_gateways_that_lead_nowhere() {
    let nat = "aws.nat_gateway/main.eu-central-1a";
    let misplaced = |subnet: &'static str| {
        scene(NAT, "public_access: true").edited(move |t| {
            let Some(Some(gateway)) = t.nat_gateways.get_mut(nat) else { panic!() };
            gateway.subnet = subnet.to_owned();
        })
    };
    misplaced("aws.subnet/wk.eu-central-1a").expect("D1-D4 B DBX-RTE-004; D5 B DBX-RTE-004");
    let detached = scene(NAT, "public_access: true").edited(|t| {
        t.internet_gateways.values_mut().flatten().for_each(|gateway| gateway.vpc = None);
    });
    detached.expect("D1 B DBX-RTE-003; D16 B DBX-RTE-003");
    let stuck = scene(NAT, "public_access: true").edited(|t| {
        let Some(Some(table)) = t.route_tables.get_mut("aws.route_table/main.public") else {
            panic!()
        };
        table.routes.clear();
    });
    stuck.expect("D1 B DBX-RTE-002; D7 B DBX-RTE-002");
    assert_eq!(stuck.block("D1").at, nat);
    let public = scene(NAT, "public_access: true").edited(|t| {
        let gateway = t.internet_gateways.keys().next().expect("a gateway").clone();
        let Some(Some(table)) = t.route_tables.get_mut("aws.route_table/wk.private") else {
            panic!()
        };
        table.routes.values_mut().for_each(|to| *to = Target::InternetGateway(gateway.clone()));
    });
    public.expect("D1 B DBX-NET-012; D7 B DBX-NET-012; D24 P local");
}

#[test]
fn no_way_out_at_all() {
    let uses = "uses: { global_sts: true, hosts: [\"pypi.org:443\", \"10.8.0.0/16:9092\"], \
                services: [ec2, dynamodb], lakebase: true, external_metastore: glue }";
    let scene = scene(NAT, uses).edited(|t| {
        let Some(Some(table)) = t.route_tables.get_mut("aws.route_table/wk.private") else {
            panic!()
        };
        table.routes.clear();
    });
    scene.expect(
        "D1-D4 B DBX-RTE-001; D5 B DBX-RTE-001; D7-D10 B DBX-RTE-006; D13 B DBX-EPT-004; \
         D14 B DBX-EPT-029; D15 B DBX-EPT-005; D16 N; D17 B DBX-RTE-001; D18 P local; D19 P local; \
         D20 B DBX-RTE-009; D21 B DBX-RTE-001; D22 B DBX-RTE-001; D23 B DBX-RTE-001",
    );
    assert_eq!(scene.block("D14").severity, Severity::Info);
    assert_eq!(scene.block("D20").severity, Severity::Info);
    assert!(scene.block("D23").fix.contains("peering"), "{}", scene.block("D23").fix);
    assert!(scene.block("D13").fix.contains("add `sts` to `endpoints` in `vpcs.main`"));
}

#[test]
fn what_the_spec_names() {
    let uses = "uses: { global_sts: true, hosts: [\"pypi.org:443\", \"10.8.0.0/16:9092\", \
                \"10.0.3.3:5432\"], services: [ec2, dynamodb], lakebase: true, \
                external_metastore: { database: \"db.internal:3306\" } }";
    let scene = scene("nat: single", uses);
    scene.expect("D14 P nat; D16 N; D17 P nat; D20 P nat; D21 P nat; D22 P nat");
    let remotes: Vec<(String, String)> = scene
        .proofs()
        .iter()
        .filter(|p| p.class == "D23" && p.from.ends_with('a'))
        .map(|p| (p.to.clone(), crate::proofs::shown(&p.verdict)))
        .collect();
    // The internet carries no private addresses.
    let far = ("10.8.0.0/16:9092".to_owned(), "B DBX-RTE-001".to_owned());
    assert_eq!(remotes, [("10.0.3.3:5432".to_owned(), "P local".to_owned()), far]);
}

#[test]
fn over_a_peering() {
    let stage = Stage::of(&format!(
        "{}peerings:
  kafka:
    from: main
    to: {{ vpc: vpc-0123456789abcdef0, cidr: 10.8.0.0/16, route_tables: [rtb-0123456789abcdef0] }}
",
        spec("eu-central-1", "nat: single", "uses: { hosts: [\"10.8.1.0/24:9092\"] }")
    ));
    let scene = Scene::of(stage);
    scene.expect("D23 P peering");
    let one_way = scene.edited(|t| {
        t.peerings.values_mut().flatten().for_each(|peering| peering.routes_back = false);
    });
    one_way.expect("D23 U");
}

#[test]
fn the_internet_may_be_forbidden() {
    let mut scene = scene(BACKEND, "tier: enterprise");
    scene.stage.spec.requirements.internet = spec::Internet::Forbidden;
    scene.expect("D1-D4 P endpoint; D7 P gateway; D13 P endpoint; D16 B DBX-REQ-001; D24 P local");
}

#[test]
fn a_required_place_is_proven() {
    let mut scene = scene("nat: single", "public_access: true");
    let requirements = &mut scene.stage.spec.requirements;
    requirements.reach = ["D13", "sts", "repo.maven.org:443"].map(str::to_owned).into();
    scene.expect("D20 P nat");
}

#[test]
fn nodes_that_cannot_talk() {
    let deaf = scene(NAT, "public_access: true").edited(|t| {
        rules(t, NODES).ingress.retain(|rule| rule.protocol != check::topology::Protocol::Udp);
    });
    deaf.expect("D19 B DBX-SGR-002");
    let mute = scene(NAT, "public_access: true").edited(|t| {
        rules(t, NODES).egress.retain(|rule| rule.ports.0 != 0);
    });
    mute.expect("D19 B DBX-SGR-003");
    let closed = scene(BACKEND, "tier: enterprise").edited(|t| rules(t, NODES).egress.clear());
    closed.expect(
        "D1 B DBX-SGR-004; D2-D3 B DBX-SGR-005; D4 B DBX-SGR-006; D6 B DBX-SGR-007; \
         D7 B DBX-SGR-004; D13 B DBX-SGR-004; D16 B DBX-SGR-010",
    );
    assert_eq!(closed.block("D4").severity, Severity::Warning);
    let some = closed.edited(|t| {
        rules(t, NODES).egress = vec![members(NODES), tcp(443, 443, range("192.0.2.0/24"))];
    });
    some.expect("D13 B DBX-SGR-004; D7 U");
}

#[test]
fn what_was_not_read_is_unknown() {
    let table = scene(NAT, "public_access: true").edited(|t| {
        t.subnets.values_mut().flatten().for_each(|s| s.table = Association::Unknown);
    });
    table.expect("D1-D4 U; D5 U; D7 U; D13 U; D18 P local; D19 P local");
    let group = scene(BACKEND, "tier: enterprise").edited(|t| {
        let Some(Some(group)) = t.groups.get_mut(ENDPOINTS) else { panic!() };
        group.rules = None;
    });
    group.expect("D1-D4 U; D6 U; D7 P gateway; D13 U; D16 P nat");
    let acl = scene(NAT, "public_access: true").edited(|t| {
        t.acls.insert("acl".to_owned(), None);
    });
    acl.expect("D1 U; D19 U; D24 P local");
    let endpoint = scene(BACKEND, "tier: enterprise").edited(|t| {
        t.endpoints.insert("aws.vpc_endpoint/main.relay".to_owned(), None);
    });
    endpoint.expect("D1 P endpoint; D6 U; D7 P gateway; D16 P nat");
    let registration = scene(BACKEND, "tier: enterprise").edited(|t| {
        let nodes = t.workspaces.get_mut("wk").expect("the workspace");
        for connection in [&mut nodes.rest, &mut nodes.relay].into_iter().flatten() {
            connection.endpoint = None;
        }
        t.endpoints.retain(|_, endpoint| {
            let aws = |e: &Endpoint| e.service.starts_with("com.amazonaws.eu-central-1.");
            endpoint.as_ref().is_some_and(aws)
        });
    });
    registration.expect("D1-D4 U; D6 U; D7 P gateway; D13 P endpoint");
    let nowhere = scene(BACKEND, "tier: enterprise").edited(|t| {
        for endpoint in t.endpoints.values_mut().flatten() {
            if let Reach::Interface { subnets, .. } = &mut endpoint.reach {
                subnets.clear();
            }
        }
    });
    nowhere.expect("D1 U; D13 U");
}

#[test]
fn a_block_becomes_one_finding_at_the_part_of_the_spec_that_mends_it() {
    let mut stage = Stage::example("closed-network");
    let workspace = stage.spec.workspaces.get_mut("wk1").expect("the workspace");
    workspace.uses.legacy_metastore = Some(true);
    let report = stage.check();
    let findings: Vec<_> = report.findings.iter().filter(|f| f.rule == "DBX-RTE-008").collect();
    let [finding] = findings[..] else { panic!("{findings:#?}") };
    assert_eq!(finding.pointer, "/vpcs/closed");
    assert!(finding.message.ends_with("(D16)"), "{}", finding.message);
    let mut stage = Stage::example("closed-network");
    stage.props("aws.vpc_endpoint/closed.relay")["private_dns"] = false.into();
    let report = stage.check();
    let relay = report.findings.iter().find(|f| f.rule == "DBX-EPT-001");
    assert_eq!(relay.map(|f| f.pointer.as_str()), Some("/vpcs/closed/private_link"));
}

#[test]
fn a_root_bucket_nobody_names() {
    let unnamed = || {
        scene("nat: single", "public_access: true").edited(|t| {
            t.workspaces.get_mut("wk").expect("the workspace").root_bucket = None;
        })
    };
    unnamed().expect("D7 P gateway");
    let narrow = unnamed().edited(|t| {
        let Some(Some(s3)) = t.endpoints.get_mut("aws.vpc_endpoint/main.s3") else { panic!() };
        s3.policy = Some(kinds::policy::Policy::default());
    });
    narrow.expect("D7 U; D8 B DBX-EPT-017");
}
