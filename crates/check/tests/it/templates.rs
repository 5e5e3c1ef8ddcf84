//! Security groups of public templates, with the verdicts the reference gives them (b.2).

use dbxctl_check as check;

use check::Severity;
use check::topology::Rule;

use crate::proofs::{ENDPOINTS, NODES, Scene, admit, carry, group, members, range, tcp};
use crate::stage::Stage;

/// Back-end connections and NAT, and an endpoint group as a template has it.
fn template(region: &str, ingress: Vec<Rule>) -> Scene {
    let text = format!(
        "apiVersion: dbxctl/v1
name: demo
region: {region}
aws: {{ account: \"123456789012\" }}
databricks: {{ account: 3f8a1c52-7d40-4be1-9c6e-2b5d8e0f1a77 }}
vpcs:
  main:
    cidr: 10.0.0.0/16
    zones: [{region}a, {region}c]
    nat: single
    private_link: {{ backend: true }}
workspaces:
  wk: {{ vpc: main }}
"
    );
    Scene::of(Stage::of(&text)).edited(|t| admit(t, ingress))
}

fn ports(list: &[(u16, u16)], peer: &check::topology::Peer) -> Vec<Rule> {
    list.iter().map(|(from, to)| tcp(*from, *to, peer.clone())).collect()
}

/// Its own members, and nodes are members.
#[test]
fn hd24_works_because_nodes_carry_the_group() {
    let scene = template("ap-northeast-1", vec![members(ENDPOINTS)]);
    scene.expect("D1 B DBX-SGR-019; D6 B DBX-SGR-019; D13 B DBX-SGR-019; D15 B DBX-SGR-019");
    let scene = scene.edited(|t| carry(t, ENDPOINTS));
    scene.expect("D1-D4 P endpoint; D6 P endpoint; D13 P endpoint; D15 P endpoint");
}

#[test]
fn hd_drops_the_ports_above_8443() {
    let mut ingress = ports(&[(443, 443), (6666, 6666), (2443, 2443)], &group(NODES));
    ingress.push(members(ENDPOINTS));
    let scene = template("ap-northeast-1", ingress);
    scene.expect("D1 P endpoint; D2-D4 B DBX-SGR-016; D6 P endpoint; D13 P endpoint");
    assert_eq!(scene.block("D3").severity, Severity::Warning);
}

#[test]
fn sra_is_the_reference_set() {
    let list = [(443, 443), (2443, 2443), (5432, 5432), (8443, 8443), (8444, 8444), (8445, 8451)];
    let commercial = [&list[..], &[(6666, 6666)]].concat();
    let scene = template("eu-central-1", ports(&commercial, &group(NODES)));
    scene.expect("D1-D4 P endpoint; D6 P endpoint; D13 P endpoint; D15 P endpoint");
}

#[test]
fn sra_leaves_out_6666_in_govcloud() {
    let list = [(443, 443), (2443, 2443), (8443, 8443), (8444, 8444), (8445, 8451)];
    let scene = template("us-gov-west-1", ports(&list, &group(NODES)));
    scene.expect("D1-D4 P endpoint; D6 P endpoint");
}

#[test]
fn the_guide_of_the_terraform_provider_lacks_the_ports_above_8443() {
    let list = [(443, 443), (2443, 2443), (6666, 6666)];
    let scene = template("eu-west-1", ports(&list, &range("10.0.0.0/16")));
    scene.expect("D1 P endpoint; D2-D4 B DBX-SGR-016; D6 P endpoint; D13 P endpoint");
    assert_eq!(scene.block("D2").severity, Severity::Warning);
}

#[test]
fn only_443_fails_at_the_relay() {
    let scene = template("eu-west-1", ports(&[(443, 443)], &group(NODES)));
    scene.expect(
        "D1 P endpoint; D2-D4 B DBX-SGR-016; D6 B DBX-SGR-017; D13 P endpoint; D15 P endpoint",
    );
    let block = scene.block("D6");
    assert_eq!(block.severity, Severity::Error);
    assert_eq!(block.at, ENDPOINTS);
    assert!(block.symptom.expect("a symptom").contains("NPIP_TUNNEL_SETUP_FAILURE"));
}
