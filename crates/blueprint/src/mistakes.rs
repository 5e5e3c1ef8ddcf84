//! What is wrong with a spec by facts about regions and addresses. What the language itself forbids
//! is told by the spec crate.

use facts::{regions, subnets};
use ipnet::Ipv4Net;
use spec::{Mistake, Spec, Subnets, Vpc, Workspace, closest};

use crate::cidr::{self, NoPlace, Purpose};
use crate::private_link::service_name;

/// All of them: about the region, then VPC by VPC.
pub fn mistakes(spec: &Spec) -> Vec<Mistake> {
    let mut found = Vec::new();
    region(spec, &mut found);
    for (name, vpc) in &spec.vpcs {
        services(spec, name, vpc, &mut found);
        reserved(name, vpc, &mut found);
        places(spec, name, vpc, &mut found);
    }
    found
}

fn region(spec: &Spec, found: &mut Vec<Mistake>) {
    let supported = regions::supported();
    let name = spec.region.as_str();
    if supported.contains(&name) {
        return;
    }
    let message = match regions::region(name) {
        Some(_) => format!("it is not confirmed that Databricks supports the region `{name}`"),
        None => format!("Databricks does not support a region `{name}`"),
    };
    let mistake = Mistake::error(&["region"], message);
    found.push(match closest(name, supported.iter().copied()) {
        Some(near) => mistake.help(format!("did you mean `{near}`?")),
        None => mistake.help(format!("it supports {}", supported.join(", "))),
    });
}

/// Endpoint services that no source names.
fn services(spec: &Spec, name: &str, vpc: &Vpc, found: &mut Vec<Mistake>) {
    if regions::region(&spec.region).is_none() {
        return;
    }
    for link in vpc.private_link.links() {
        if service_name(spec, vpc, link).is_none() {
            let message = format!(
                "the endpoint service for `{}` in {} is not known",
                link.name(),
                spec.region
            );
            found.push(
                Mistake::error(&["vpcs", name, "private_link"], message)
                    .help("give its name in `private_link.services`"),
            );
        }
    }
}

/// Ranges that nodes use internally.
fn reserved(name: &str, vpc: &Vpc, found: &mut Vec<Mistake>) {
    let Some(range) = vpc.range() else { return };
    for taken in subnets::RESERVED {
        if subnets::overlap(&range, &taken) {
            let made = ["vpcs", name, "cidr"];
            let used = ["vpcs", name, "use", "cidr"];
            let place = if vpc.cidr.is_some() { &made[..] } else { &used[..] };
            let message = format!("`{range}` overlaps `{taken}`, which nodes use internally");
            found.push(Mistake::error(place, message).help("choose another range"));
        }
    }
}

/// Who lies where in a VPC.
struct Tenant<'a> {
    /// The workspace; `None` for subnets that serve others.
    workspace: Option<(&'a str, &'a Workspace)>,
    what: String,
    nets: Vec<Ipv4Net>,
}

fn places(spec: &Spec, name: &str, vpc: &Vpc, found: &mut Vec<Mistake>) {
    let mut tenants: Vec<Tenant<'_>> = Vec::new();
    let mut purposes = Vec::new();
    let used = |given: &Option<spec::ServiceSubnets>| {
        given.as_ref().is_some_and(|g| !g.existing.is_empty())
    };
    let own_nat = vpc.existing.as_ref().is_none_or(|e| e.nat_gateways.is_empty());
    if vpc.nat() != spec::Nat::None && own_nat && !used(&vpc.public_subnets) {
        purposes.push((Purpose::Public, "public subnets", "public_subnets"));
    }
    if vpc.has_interface_endpoints() && !used(&vpc.endpoint_subnets) {
        purposes.push((Purpose::Endpoints, "endpoint subnets", "endpoint_subnets"));
    }
    for (purpose, what, field) in purposes {
        let mut nets = Vec::new();
        for zone in &vpc.zones {
            match cidr::service(vpc, purpose, zone) {
                Ok(net) => nets.push(net),
                Err(why) => {
                    let message = format!("no place for the {what} in {zone}: {why}");
                    found.push(
                        Mistake::error(&["vpcs", name], message)
                            .key()
                            .help(format!("say where with `{field}: {{ cidrs: … }}`")),
                    );
                }
            }
        }
        tenants.push(Tenant { workspace: None, what: format!("the {what}"), nets });
    }
    let workspaces = spec.workspaces.iter();
    for (workspace, wanted) in workspaces.filter(|(_, w)| w.vpc.as_deref() == Some(name)) {
        match cidr::nodes(spec, workspace, wanted) {
            Ok(nets) => tenants.push(Tenant {
                workspace: Some((workspace, wanted)),
                what: format!("workspace `{workspace}`"),
                nets: nets.into_values().collect(),
            }),
            // Told already: there is no range to make subnets in.
            Err(NoPlace::NoRange) => {}
            Err(why) => {
                let message = format!("no place for the subnets of workspace `{workspace}`: {why}");
                let given = wanted.subnets.is_some();
                let place = ["workspaces", workspace, "subnets"];
                let mut mistake = Mistake::error(if given { &place } else { &place[..2] }, message)
                    .help("ask for fewer nodes, or say where with `subnets: { cidrs: … }`");
                mistake.at_key = true;
                found.push(mistake);
            }
        }
    }
    overlaps(vpc, &tenants, found);
}

fn overlaps(vpc: &Vpc, tenants: &[Tenant<'_>], found: &mut Vec<Mistake>) {
    for (index, tenant) in tenants.iter().enumerate() {
        for other in &tenants[..index] {
            let Some((a, b)) = first_overlap(&tenant.nets, &other.nets) else { continue };
            let moves = if ease(other) > ease(tenant) { other } else { tenant };
            let Some((name, workspace)) = moves.workspace.or(other.workspace) else { continue };
            let message = if a == b {
                format!("{} and {} would both lie at `{a}`", other.what, tenant.what)
            } else {
                format!("`{b}` of {} overlaps `{a}` of {}", other.what, tenant.what)
            };
            let place = ["workspaces", name, "subnets"];
            let given = workspace.subnets.is_some();
            let mut mistake = Mistake::error(if given { &place } else { &place[..2] }, message);
            mistake.at_key = true;
            let free = free_block(vpc, name, workspace, tenants);
            found.push(match free {
                Some(block) => mistake.help(format!("`subnets: {{ block: {block} }}` is free")),
                None => mistake.help("say where with `subnets: { cidrs: … }`"),
            });
        }
        for (i, a) in tenant.nets.iter().enumerate() {
            for b in tenant.nets[..i].iter().filter(|b| subnets::overlap(a, b)) {
                if let Some((name, _)) = tenant.workspace {
                    let message = format!("`{a}` overlaps `{b}`");
                    found.push(Mistake::error(&["workspaces", name, "subnets"], message));
                }
            }
        }
    }
}

/// How easily its subnets are put elsewhere: not at all, CIDRs, a block, a block nobody chose.
fn ease(tenant: &Tenant<'_>) -> u8 {
    let Some((_, workspace)) = tenant.workspace else { return 0 };
    match &workspace.subnets {
        Some(subnets) if !subnets.cidrs.is_empty() => 1,
        Some(subnets) if subnets.block.is_some() => 2,
        _ => 3,
    }
}

fn first_overlap(a: &[Ipv4Net], b: &[Ipv4Net]) -> Option<(Ipv4Net, Ipv4Net)> {
    let pairs = a.iter().flat_map(|a| b.iter().map(move |b| (*a, *b)));
    pairs.into_iter().find(|(a, b)| subnets::overlap(a, b))
}

/// A block in which the workspace would meet nobody.
fn free_block(vpc: &Vpc, name: &str, workspace: &Workspace, tenants: &[Tenant<'_>]) -> Option<u32> {
    let wanted = workspace.subnets.clone().unwrap_or_default();
    let wanted = Subnets { cidrs: Default::default(), ..wanted };
    let count = u32::try_from(cidr::block_count(vpc, &wanted).ok()?).ok()?;
    let others = tenants.iter().filter(|t| t.workspace.is_none_or(|(n, _)| n != name));
    let others: Vec<Ipv4Net> = others.flat_map(|t| t.nets.iter().copied()).collect();
    (0..count).find(|block| {
        let place = Subnets { block: Some(*block), ..wanted.clone() };
        let nets = cidr::place(vpc, name, &place).unwrap_or_default();
        !nets.is_empty()
            && first_overlap(&nets.into_values().collect::<Vec<_>>(), &others).is_none()
    })
}
