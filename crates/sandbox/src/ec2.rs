//! VPCs and what stands in them.
//!
//! Which deletions are refused: `DependencyViolation` as AWS documents it. That a route, an
//! association of a route table or a gateway endpoint's table does not hold back what it names is
//! AWS's blackhole behaviour for routes, and assumed for the rest.

use cloud::Class;
use ipnet::Ipv4Net;
use serde_json::{Value, json};

use crate::sim::{
    Candidate, Finds, IdForm, Link, PLAIN, Sim, View, between, drop_missing, refuse, scatter,
};
use crate::store::Object;

pub(crate) const VPC: &str = "aws.vpc";
pub(crate) const SUBNET: &str = "aws.subnet";
const GATEWAY: &str = "aws.internet_gateway";
const ADDRESS: &str = "aws.elastic_ip";
const NAT: &str = "aws.nat_gateway";
const TABLE: &str = "aws.route_table";
const ROUTE: &str = "aws.route";
pub(crate) const GROUP: &str = "aws.security_group";
pub(crate) const RULES: &str = "aws.security_group_rules";
pub(crate) const ENDPOINT: &str = "aws.vpc_endpoint";
const PEERING: &str = "aws.vpc_peering";

pub(crate) const KINDS: &[Sim] = &[
    Sim {
        kind: VPC,
        id: IdForm::Prefix("vpc-"),
        missing: "InvalidVpcID.NotFound",
        check: check_vpc,
        // CreateVpc takes no DNS attributes.
        born: |_, props| {
            props["dns_support"] = json!(true);
            props["dns_hostnames"] = json!(false);
        },
        appear: |_, _, seen| state(seen, "available"),
        blank: r#"{"cidr":"10.0.0.0/16","dns_support":true,"dns_hostnames":true,"tags":{}}"#,
        ..PLAIN
    },
    Sim {
        kind: SUBNET,
        id: IdForm::Prefix("subnet-"),
        links: &[Link::firm("vpc", VPC)],
        missing: "InvalidSubnetID.NotFound",
        check: check_subnet,
        born: |_, props| props["public_ips"] = json!(false),
        appear: appear_subnet,
        blank: r#"{"vpc":"","cidr":"10.0.0.0/24","zone":"","public_ips":false,"tags":{}}"#,
        ..PLAIN
    },
    Sim {
        kind: GATEWAY,
        id: IdForm::Prefix("igw-"),
        links: &[Link::firm("vpc", VPC)],
        missing: "InvalidInternetGatewayID.NotFound",
        check: check_gateway,
        born: |_, props| props["vpc"] = Value::Null,
        leave: leave_gateway,
        blank: r#"{"vpc":null,"tags":{}}"#,
        ..PLAIN
    },
    Sim {
        kind: ADDRESS,
        id: IdForm::Prefix("eipalloc-"),
        missing: "InvalidAllocationID.NotFound",
        appear: |_, me, seen| {
            seen["public_ip"] = json!(public_ip(&me.id));
            true
        },
        blank: r#"{"tags":{}}"#,
        ..PLAIN
    },
    Sim {
        kind: NAT,
        id: IdForm::Prefix("nat-"),
        links: &[Link::firm("subnet", SUBNET), Link::firm("address", ADDRESS)],
        missing: "NatGatewayNotFound",
        check: check_nat,
        fate: nat_fate,
        appear: appear_nat,
        making: (80_000, 100_000),
        going: (30_000, 60_000),
        blank: r#"{"subnet":"","address":null,"tags":{}}"#,
        ..PLAIN
    },
    Sim {
        kind: TABLE,
        id: IdForm::Prefix("rtb-"),
        links: &[
            Link::firm("vpc", VPC),
            Link::loose("subnets", SUBNET),
            Link::loose("routes", GATEWAY).only("igw-"),
            Link::loose("routes", NAT).only("nat-"),
            Link::loose("routes", PEERING).only("pcx-"),
        ],
        missing: "InvalidRouteTableID.NotFound",
        check: check_table,
        // Routes and associations are calls of their own.
        born: |_, props| {
            props["routes"] = json!({});
            props["subnets"] = json!([]);
        },
        appear: |view, _, seen| {
            drop_missing(view, seen, "subnets", SUBNET);
            true
        },
        // A subnet has one table: the kind replaces the association it has.
        shifts: |view, me| {
            let subnets = texts_of(me, "subnets");
            let others = view.others(TABLE, Some(&me.id));
            let losing =
                others.filter(|o| texts_of(o, "subnets").iter().any(|s| subnets.contains(s)));
            let without = |other: &Object| {
                let mut other = other.clone();
                if let Some(items) = other.props["subnets"].as_array_mut() {
                    items.retain(|s| !s.as_str().is_some_and(|s| subnets.iter().any(|t| t == s)));
                }
                other
            };
            losing.map(without).collect()
        },
        blank: r#"{"vpc":"","routes":{},"subnets":[],"tags":{}}"#,
        ..PLAIN
    },
    Sim {
        kind: ROUTE,
        id: IdForm::Pair("table", "destination"),
        finds: Finds::Id(&["target"]),
        links: &[
            Link::firm("table", TABLE),
            Link::loose("target", GATEWAY).only("igw-"),
            Link::loose("target", NAT).only("nat-"),
            Link::loose("target", PEERING).only("pcx-"),
        ],
        part_of: Some(("table", TABLE)),
        missing: "InvalidRoute.NotFound",
        check: check_route,
        blank: r#"{"table":"","destination":"0.0.0.0/0","target":{"other":""}}"#,
        ..PLAIN
    },
    Sim {
        kind: GROUP,
        id: IdForm::Prefix("sg-"),
        links: &[Link::firm("vpc", VPC)],
        missing: "InvalidGroup.NotFound",
        check: check_group,
        moves: |view, me, made| if made { vec![first_rules(view, me)] } else { Vec::new() },
        blank: r#"{"vpc":"","name":"","description":"","tags":{}}"#,
        ..PLAIN
    },
    Sim {
        kind: RULES,
        id: IdForm::Field("group"),
        finds: Finds::Id(&[]),
        inborn: true,
        links: &[
            Link::firm("group", GROUP),
            Link::firm("ingress", GROUP).only("sg-"),
            Link::firm("egress", GROUP).only("sg-"),
        ],
        part_of: Some(("group", GROUP)),
        missing: "InvalidGroup.NotFound",
        check: check_rules,
        // A group without any rule has nothing to show: so the kind reads it.
        appear: |_, _, seen| {
            let none = |field: &str| seen[field].as_array().is_none_or(Vec::is_empty);
            !(none("ingress") && none("egress"))
        },
        blank: r#"{"group":"","ingress":[],"egress":[]}"#,
        ..PLAIN
    },
    Sim {
        kind: ENDPOINT,
        id: IdForm::Prefix("vpce-"),
        links: &[
            Link::firm("vpc", VPC),
            Link::loose("route_tables", TABLE),
            Link::firm("subnets", SUBNET),
            Link::firm("groups", GROUP),
        ],
        missing: "InvalidVpcEndpointId.NotFound",
        check: check_endpoint,
        appear: appear_endpoint,
        making: (60_000, 120_000),
        going: (30_000, 120_000),
        blank: r#"{"vpc":"","service":"","flavour":"interface","route_tables":[],"subnets":[],"groups":[],"private_dns":true,"policy":null,"tags":{}}"#,
        ..PLAIN
    },
    Sim {
        kind: PEERING,
        id: IdForm::Prefix("pcx-"),
        // The other VPC may be anybody's. That a peering does not hold back its VPCs is assumed.
        links: &[Link::loose("vpc", VPC), Link::blind("peer_vpc", VPC)],
        missing: "InvalidVpcPeeringConnectionID.NotFound",
        check: check_peering,
        born: |_, props| {
            props["accept"] = json!(false);
            props["dns_resolution"] = json!(false);
        },
        appear: |_, _, seen| {
            let accepted = seen["accept"] == json!(true);
            seen["status"] = json!(if accepted { "active" } else { "pending-acceptance" });
            true
        },
        blank: r#"{"vpc":"","peer_vpc":"","peer_account":null,"peer_region":null,"accept":true,"dns_resolution":false,"tags":{}}"#,
        ..PLAIN
    },
];

/// The rules a group has from birth: everything may leave.
fn first_rules(view: &View, group: &Object) -> Object {
    let anywhere = json!({
        "protocol": "-1", "from": null, "to": null, "peer": { "cidr": "0.0.0.0/0" },
    });
    let props = json!({ "group": group.id, "ingress": [], "egress": [anywhere] });
    Object { foreign: group.foreign, ..Object::new(RULES, &group.id, props, view.now) }
}

/// Whether the service is somebody's own and waits for its owner to accept an endpoint.
fn needs_acceptance(service: &str) -> bool {
    service.starts_with("com.amazonaws.vpce.")
}

fn state(seen: &mut Value, state: &str) -> bool {
    seen["state"] = json!(state);
    true
}

fn invalid<T>(code: &str, message: impl Into<String>) -> cloud::Result<T> {
    refuse(Class::Invalid, code, message)
}

fn net(value: &Value) -> Option<Ipv4Net> {
    value.as_str()?.parse().ok()
}

/// The VPC of an object that has one; `None` too when it is outside this world.
fn vpc_of<'a>(view: &View<'a>, kind: &str, id: &str) -> Option<&'a str> {
    let object = view.get(kind, id)?;
    let vpc = object.text("vpc");
    (!object.outside || !vpc.is_empty()).then_some(vpc)
}

/// Refuses objects of another VPC.
fn same_vpc(view: &View, me: &Candidate, field: &str, kind: &str) -> cloud::Result<()> {
    for id in crate::sim::texts(&me.props[field]) {
        if vpc_of(view, kind, &id).is_some_and(|vpc| vpc != me.text("vpc")) {
            let message = format!("{id} and {} belong to different networks", me.text("vpc"));
            return invalid("InvalidParameterValue", message);
        }
    }
    Ok(())
}

fn check_vpc(_: &View, me: &Candidate) -> cloud::Result<()> {
    match net(&me.props["cidr"]) {
        Some(net) if (16..=28).contains(&net.prefix_len()) => Ok(()),
        _ => invalid("InvalidVpc.Range", format!("The CIDR '{}' is invalid.", me.text("cidr"))),
    }
}

fn check_subnet(view: &View, me: &Candidate) -> cloud::Result<()> {
    if !me.touches("cidr") {
        return Ok(());
    }
    let range = format!("The CIDR '{}' is invalid.", me.text("cidr"));
    let Some(cidr) = net(&me.props["cidr"]) else { return invalid("InvalidSubnet.Range", range) };
    let vpc = view.get(VPC, me.text("vpc")).filter(|vpc| !vpc.outside);
    let inside = vpc.and_then(|vpc| net(&vpc.props["cidr"])).is_none_or(|v| v.contains(&cidr));
    if !inside || !(16..=28).contains(&cidr.prefix_len()) {
        return invalid("InvalidSubnet.Range", range);
    }
    for other in view.all(SUBNET).filter(|o| me.id != Some(&o.id) && !o.outside) {
        let overlaps =
            net(&other.props["cidr"]).is_some_and(|o| o.contains(&cidr) || cidr.contains(&o));
        if other.text("vpc") == me.text("vpc") && overlaps {
            let message = format!("The CIDR '{cidr}' conflicts with another subnet");
            return refuse(Class::AlreadyExists, "InvalidSubnet.Conflict", message);
        }
    }
    Ok(())
}

fn appear_subnet(view: &View, me: &Object, seen: &mut Value) -> bool {
    let endpoints = view.all(ENDPOINT).filter(|e| texts_of(e, "subnets").contains(&me.id)).count();
    let nats = view.all(NAT).filter(|n| n.text("subnet") == me.id).count();
    if let Some(cidr) = net(&me.props["cidr"]) {
        // Five addresses of each subnet are AWS's own.
        let all = 1_u64 << (32 - u32::from(cidr.prefix_len()));
        seen["free_addresses"] = json!(all.saturating_sub(5 + (endpoints + nats) as u64));
    }
    state(seen, "available")
}

fn texts_of(object: &Object, field: &str) -> Vec<String> {
    crate::sim::texts(&object.props[field])
}

fn check_gateway(view: &View, me: &Candidate) -> cloud::Result<()> {
    let vpc = me.text("vpc");
    let taken = view.others(GATEWAY, me.id).any(|o| !vpc.is_empty() && o.text("vpc") == vpc);
    if taken {
        let message = format!("Network {vpc} already has an internet gateway attached");
        return invalid("InvalidParameterValue", message);
    }
    Ok(())
}

fn leave_gateway(view: &View, me: &Object) -> cloud::Result<()> {
    let vpc = me.text("vpc");
    let mapped = |nat: &Object| vpc_of(view, SUBNET, nat.text("subnet")) == Some(vpc);
    if !vpc.is_empty() && view.all(NAT).any(mapped) {
        let message = format!(
            "Network {vpc} has some mapped public address(es). Please unmap those public \
             address(es) before detaching the gateway."
        );
        return refuse(Class::InUse, "DependencyViolation", message);
    }
    Ok(())
}

fn public_ip(id: &str) -> String {
    // 203.0.113.0/24 is for documentation; two bytes more keep addresses apart.
    let bits = scatter(0, id).to_be_bytes();
    format!("203.{}.{}.{}", bits[0] % 100, bits[1], bits[2])
}

fn check_nat(view: &View, me: &Candidate) -> cloud::Result<()> {
    let address = me.text("address");
    if view.all(NAT).any(|o| me.id != Some(&o.id) && o.text("address") == address) {
        let message = format!("Elastic IP address [{address}] is already associated");
        return invalid("Resource.AlreadyAssociated", message);
    }
    Ok(())
}

fn nat_fate(view: &View, me: &Candidate) -> Option<String> {
    let vpc = view.get(VPC, vpc_of(view, SUBNET, me.text("subnet"))?)?;
    let attached = view.all(GATEWAY).any(|g| g.text("vpc") == vpc.id);
    (!attached && !vpc.outside).then(|| {
        format!("Gateway.NotAttached: Network {} has no Internet gateway attached", vpc.id)
    })
}

fn appear_nat(view: &View, me: &Object, seen: &mut Value) -> bool {
    let ready = me.ready(view.now);
    let text = match (&me.fate, me.gone_at) {
        (_, Some(_)) => "deleting",
        _ if !ready => "pending",
        (Some(_), _) => "failed",
        (None, None) => "available",
    };
    seen["failure"] = json!(me.fate.as_ref().filter(|_| ready));
    let address = me.text("address");
    let shown = !address.is_empty() && text == "available";
    seen["public_ip"] = json!(shown.then(|| public_ip(address)));
    state(seen, text)
}

fn check_table(view: &View, me: &Candidate) -> cloud::Result<()> {
    if me.touches("subnets") {
        same_vpc(view, me, "subnets", SUBNET)?;
    }
    if me.touches("routes") {
        let targets = me.props["routes"].as_object();
        for target in targets.into_iter().flat_map(|routes| routes.values()) {
            check_target(view, me.id.unwrap_or("new"), me.text("vpc"), target)?;
        }
    }
    Ok(())
}

fn check_target(view: &View, table: &str, vpc: &str, target: &Value) -> cloud::Result<()> {
    if let Some(id) = target["internet_gateway"].as_str() {
        let attached = view.get(GATEWAY, id).is_none_or(|g| g.outside || g.text("vpc") == vpc);
        if !attached {
            let message = format!(
                "route table {table} and network gateway {id} belong to different networks"
            );
            return invalid("InvalidParameterValue", message);
        }
    }
    if let Some(id) = target["peering"].as_str() {
        let peering = view.get(PEERING, id).filter(|p| !p.outside);
        if peering.is_some_and(|p| p.text("vpc") != vpc && p.text("peer_vpc") != vpc) {
            let message =
                format!("route table {table} and interface {id} belong to different networks");
            return invalid("InvalidParameterValue", message);
        }
    }
    Ok(())
}

fn check_route(view: &View, me: &Candidate) -> cloud::Result<()> {
    let table = me.text("table");
    let vpc = vpc_of(view, TABLE, table);
    if let Some(vpc) = vpc {
        check_target(view, table, vpc, &me.props["target"])?;
    }
    let own = view.get(TABLE, table).and_then(|t| t.props["routes"].as_object());
    let taken = own.is_some_and(|routes| routes.contains_key(me.text("destination")));
    if me.id.is_none() && taken {
        let message = format!("The route identified by {} already exists.", me.text("destination"));
        return refuse(Class::AlreadyExists, "RouteAlreadyExists", message);
    }
    Ok(())
}

fn check_group(view: &View, me: &Candidate) -> cloud::Result<()> {
    let (vpc, name) = (me.text("vpc"), me.text("name"));
    if view.others(GROUP, me.id).any(|o| o.text("vpc") == vpc && o.text("name") == name) {
        let message = format!("The security group '{name}' already exists for VPC '{vpc}'");
        return refuse(Class::AlreadyExists, "InvalidGroup.Duplicate", message);
    }
    Ok(())
}

fn check_rules(view: &View, me: &Candidate) -> cloud::Result<()> {
    let Some(vpc) = vpc_of(view, GROUP, me.text("group")) else { return Ok(()) };
    for link in [Link::firm("ingress", GROUP).only("sg-"), Link::firm("egress", GROUP).only("sg-")]
    {
        for peer in link.targets(me.props) {
            // Groups of a peered VPC may be named; that is rare enough to let any peering do.
            let far = vpc_of(view, GROUP, &peer).is_some_and(|v| v != vpc);
            if far && view.all(PEERING).next().is_none() {
                let message = format!(
                    "You have specified two resources that belong to different networks: {peer}"
                );
                return invalid("InvalidGroup.NotFound", message);
            }
        }
    }
    Ok(())
}

fn check_endpoint(view: &View, me: &Candidate) -> cloud::Result<()> {
    for (field, kind) in [("subnets", SUBNET), ("groups", GROUP), ("route_tables", TABLE)] {
        if me.touches(field) {
            same_vpc(view, me, field, kind)?;
        }
    }
    if !me.touches("private_dns") || me.props["private_dns"] != json!(true) {
        return Ok(());
    }
    let vpc = view.get(VPC, me.text("vpc")).filter(|vpc| !vpc.outside);
    let on = |field: &str| vpc.is_none_or(|vpc| vpc.props[field] == json!(true));
    if !on("dns_support") || !on("dns_hostnames") {
        let message = "Enabling private DNS requires both enableDnsSupport and enableDnsHostnames \
                       VPC attributes set to true";
        return invalid("InvalidParameter", message);
    }
    let (vpc, service) = (me.text("vpc"), me.text("service"));
    let same = |o: &Object| o.text("vpc") == vpc && o.text("service") == service;
    let others = view.all(ENDPOINT).filter(|o| me.id != Some(&o.id));
    if others.into_iter().any(|o| same(o) && o.props["private_dns"] == json!(true)) {
        let message = format!(
            "private-dns-enabled cannot be set because there is already a conflicting DNS domain \
             for {service} in the VPC {vpc}"
        );
        return invalid("InvalidParameter", message);
    }
    Ok(())
}

fn appear_endpoint(view: &View, me: &Object, seen: &mut Value) -> bool {
    drop_missing(view, seen, "route_tables", TABLE);
    let number = |n: usize| between((0, u64::from(u32::MAX)), n as u64, &me.id);
    let count = texts_of(me, "subnets").len();
    let cards: Vec<_> = (0..count).map(|n| format!("eni-0{:016x}", number(n))).collect();
    let names = match me.text("flavour") {
        "interface" => vec![format!("{}-{:08x}.{}", me.id, number(99), me.text("service"))],
        _ => Vec::new(),
    };
    seen["network_interfaces"] = json!(cards);
    seen["dns_names"] = json!(names);
    state(seen, endpoint_state(view, me))
}

/// The state of an endpoint: Databricks accepts one to its service once it is registered.
pub(crate) fn endpoint_state(view: &View, me: &Object) -> &'static str {
    let accepted = || {
        let registrations = view.all("databricks.vpc_endpoint");
        registrations.into_iter().any(|r| r.text("endpoint") == me.id && r.ready(view.now))
    };
    match me.gone_at {
        Some(_) => "deleting",
        None if me.outside => "available",
        // Set when a registration went.
        None if me.fate.is_some() => "rejected",
        None if !me.ready(view.now) => "pending",
        None if needs_acceptance(me.text("service")) && !accepted() => "pendingAcceptance",
        None => "available",
    }
}

fn check_peering(view: &View, me: &Candidate) -> cloud::Result<()> {
    let cidr =
        |id: &str| view.get(VPC, id).filter(|v| !v.outside).and_then(|v| net(&v.props["cidr"]));
    let ends = (cidr(me.text("vpc")), cidr(me.text("peer_vpc")));
    if let (true, (Some(a), Some(b))) = (me.id.is_none(), ends)
        && (a.contains(&b) || b.contains(&a))
    {
        let message = format!("The VPCs {a} and {b} overlap");
        return invalid("InvalidParameterValue", message);
    }
    Ok(())
}
