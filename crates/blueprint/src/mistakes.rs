//! What is wrong with a spec by facts about regions and addresses. What the language itself forbids
//! is told by the spec crate.

use std::collections::{BTreeMap, BTreeSet};

use facts::{regions, subnets};
use ipnet::Ipv4Net;
use spec::{Link, Mistake, ServiceSubnets, Severity, Spec, Subnets, Vpc, Workspace, closest};

use crate::cidr::{self, NoPlace, Purpose};
use crate::private_link::service_name;
use crate::{expand, labels};

/// All of them: about the region, then VPC by VPC.
pub fn mistakes(spec: &Spec) -> Vec<Mistake> {
    let mut found = Vec::new();
    region(spec, &mut found);
    for (name, vpc) in &spec.vpcs {
        services(spec, name, vpc, &mut found);
        reserved(name, vpc, &mut found);
        places(spec, name, vpc, &mut found);
    }
    if !spec.labels.is_empty() && !found.iter().any(|m| m.severity == Severity::Error) {
        labels::mistakes(spec, &expand(spec), &mut found);
    }
    found
}

fn region(spec: &Spec, found: &mut Vec<Mistake>) {
    let supported = regions::supported();
    let name = spec.region.as_str();
    if supported.contains(&name) {
        return;
    }
    // Another continent is not what was meant.
    let near = supported.iter().filter(|other| other.get(..2) == name.get(..2));
    let all = format!("choose one of {}", supported.join(", "));
    let (message, help) = match regions::region(name) {
        // A real region: another one with a similar name is not what was meant.
        Some(_) => {
            (format!("no source confirms that Databricks supports the region `{name}`"), all)
        }
        None => (
            format!("Databricks is not known to support a region `{name}`"),
            match closest(name, near.copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => all,
            },
        ),
    };
    found.push(Mistake::error(&["region"], message).help(help));
}

/// Endpoint services that no source names.
fn services(spec: &Spec, name: &str, vpc: &Vpc, found: &mut Vec<Mistake>) {
    if regions::region(&spec.region).is_none() {
        return;
    }
    let links = vpc.private_link.links().into_iter();
    let unknown = links.filter(|link| service_name(spec, vpc, *link).is_none());
    // Users connect to the service of `rest`.
    let unknown = unknown.map(|link| match link {
        Link::Relay => "relay",
        Link::Rest | Link::Frontend => "rest",
    });
    let unknown: BTreeSet<&str> = unknown.collect();
    if unknown.is_empty() {
        return;
    }
    let names: Vec<String> = unknown.iter().map(|name| format!("`{name}`")).collect();
    let fields: Vec<String> = unknown.iter().map(|name| format!("{name}: …")).collect();
    let message = format!(
        "no source names the endpoint services of Databricks for {} in {}",
        names.join(" and "),
        spec.region
    );
    let help = format!(
        "ask Databricks for the names and give them: `private_link: {{ services: {{ {} }} }}`",
        fields.join(", ")
    );
    found.push(Mistake::error(&["vpcs", name, "private_link"], message).help(help));
}

/// Ranges that nodes use internally.
fn reserved(name: &str, vpc: &Vpc, found: &mut Vec<Mistake>) {
    let Some(range) = vpc.range() else { return };
    for taken in subnets::RESERVED {
        if subnets::overlap(&range, &taken) {
            let made = ["vpcs", name, "cidr"];
            let used = ["vpcs", name, "use", "cidr"];
            let place = if vpc.cidr.is_some() { &made[..] } else { &used[..] };
            let range = range.trunc();
            let message = if range == taken {
                format!("nodes use `{range}` internally")
            } else {
                format!("`{range}` overlaps `{taken}`, which nodes use internally")
            };
            let help = if vpc.cidr.is_some() {
                "give the VPC another range, such as a part of `10.0.0.0/8`"
            } else {
                "use a VPC whose range is clear of it"
            };
            found.push(Mistake::error(place, message).help(help));
        }
    }
}

/// Who lies where in a VPC.
struct Tenant<'a> {
    owner: Owner<'a>,
    what: String,
    /// By zone.
    nets: BTreeMap<String, Ipv4Net>,
}

#[derive(Clone, Copy)]
enum Owner<'a> {
    Workspace(&'a str, &'a Workspace),
    /// Subnets that serve others: their field in the VPC.
    Service(&'static str, &'a Option<ServiceSubnets>),
}

impl Tenant<'_> {
    fn is(&self, name: &str) -> bool {
        matches!(self.owner, Owner::Workspace(own, _) if own == name)
    }

    /// A mistake about the subnet of a zone, or about all of them when none was asked for.
    fn mistake(&self, vpc: &str, zone: &str, message: String) -> Mistake {
        let (place, depth) = match self.owner {
            Owner::Workspace(name, workspace) => {
                let subnets = workspace.subnets.as_ref();
                let place = ["workspaces", name, "subnets", "cidrs", zone];
                let depth = match subnets {
                    Some(subnets) if subnets.cidrs.contains_key(zone) => 5,
                    Some(_) => 3,
                    None => 2,
                };
                (place, depth)
            }
            Owner::Service(field, subnets) => {
                let place = ["vpcs", vpc, field, "cidrs", zone];
                let given = subnets.as_ref().is_some_and(|s| s.cidrs.contains_key(zone));
                (place, if given { 5 } else { 2 })
            }
        };
        let mut mistake = Mistake::error(&place[..depth], message);
        mistake.at_key = depth < 5;
        mistake
    }
}

fn places(spec: &Spec, name: &str, vpc: &Vpc, found: &mut Vec<Mistake>) {
    let mut tenants: Vec<Tenant<'_>> = Vec::new();
    let mut purposes = Vec::new();
    let used =
        |given: &Option<ServiceSubnets>| given.as_ref().is_some_and(|g| !g.existing.is_empty());
    let own_nat = vpc.existing.as_ref().is_none_or(|e| e.nat_gateways.is_empty());
    if vpc.nat() != spec::Nat::None && own_nat && !used(&vpc.public_subnets) {
        purposes.push((Purpose::Public, "public subnets", "public_subnets", &vpc.public_subnets));
    }
    if vpc.has_interface_endpoints() && !used(&vpc.endpoint_subnets) {
        let given = &vpc.endpoint_subnets;
        purposes.push((Purpose::Endpoints, "endpoint subnets", "endpoint_subnets", given));
    }
    let mut homeless: Vec<Homeless<'_>> = Vec::new();
    for (purpose, what, field, given) in purposes {
        let mut nets = BTreeMap::new();
        let mut without = None;
        for zone in &vpc.zones {
            match cidr::service(vpc, purpose, zone) {
                Ok(net) => {
                    nets.insert(zone.clone(), net);
                }
                Err(why) => without = Some(why),
            }
        }
        let what = format!("the {what}");
        if let Some(why) = without {
            homeless.push(Homeless { what: what.clone(), field, workspace: None, why });
        }
        tenants.push(Tenant { owner: Owner::Service(field, given), what, nets });
    }
    let workspaces = spec.workspaces.iter();
    for (workspace, wanted) in workspaces.filter(|(_, w)| w.vpc.as_deref() == Some(name)) {
        let owner = Owner::Workspace(workspace, wanted);
        let what = format!("workspace `{workspace}`");
        match cidr::nodes(spec, workspace, wanted) {
            Ok(nets) => tenants.push(Tenant { owner, what, nets }),
            // Told already: there is no range to make subnets in.
            Err(NoPlace::NoRange) => {}
            Err(why) => {
                let workspace = Some((workspace.as_str(), wanted));
                homeless.push(Homeless { what, field: "subnets", workspace, why });
            }
        }
    }
    without_place(name, vpc, homeless, found);
    overlaps(name, vpc, &tenants, found);
}

/// Who has no place in a VPC.
struct Homeless<'a> {
    what: String,
    /// The field with which to say where.
    field: &'static str,
    workspace: Option<(&'a str, &'a Workspace)>,
    why: NoPlace,
}

/// What lacks a place for the same reason is told together, at the VPC when more than workspaces
/// lack it.
fn without_place(name: &str, vpc: &Vpc, homeless: Vec<Homeless<'_>>, found: &mut Vec<Mistake>) {
    let reasons: BTreeSet<NoPlace> =
        homeless.iter().filter(|h| h.workspace.is_none()).map(|h| h.why).collect();
    for why in &reasons {
        let these: Vec<_> = homeless.iter().filter(|h| h.why == *why).collect();
        let whats: Vec<&str> = these.iter().map(|h| h.what.as_str()).collect();
        let fields: BTreeSet<String> =
            these.iter().map(|h| format!("`{}.cidrs`", h.field)).collect();
        let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
        let change = match why {
            NoPlace::Letter => "choose other zones",
            _ => "give the VPC a bigger range",
        };
        let message = format!("no place in VPC `{name}` for {}: {why}", whats.join(", "));
        let help = format!("{change}, or say where with {}", fields.join(", "));
        found.push(Mistake::error(&["vpcs", name], message).key().help(help));
    }
    for one in homeless.iter().filter(|h| !reasons.contains(&h.why)) {
        let Some((workspace, wanted)) = one.workspace else { continue };
        let message = format!("no place in VPC `{name}` for {}: {}", one.what, one.why);
        let place = ["workspaces", workspace, "subnets"];
        let place = if wanted.subnets.is_some() { &place[..] } else { &place[..2] };
        let help = advice(vpc, wanted, one.why);
        found.push(Mistake::error(place, message).key().help(help));
    }
}

/// What to do when the subnets of a workspace have no place.
fn advice(vpc: &Vpc, workspace: &Workspace, why: NoPlace) -> String {
    let wanted = workspace.subnets.clone().unwrap_or_default();
    match why {
        NoPlace::TooManyNodes => format!(
            "ask for at most {} nodes per zone: no workspace subnet is bigger than a /{}",
            subnets::nodes(subnets::BIGGEST),
            subnets::BIGGEST
        ),
        NoPlace::NoBlock => match cidr::block_count(vpc, &wanted) {
            Ok(count) => {
                format!("for subnets of this size the VPC has blocks 0 to {}", count - 1)
            }
            Err(_) => "leave out `block`".to_owned(),
        },
        NoPlace::Letter => "choose other `subnets.zones`, or say where with `subnets.cidrs`".into(),
        NoPlace::TooSmall | NoPlace::NoRange => {
            let mut ways = Vec::new();
            let fits = |prefix: &u8| {
                let smaller = Subnets {
                    prefix: Some(format!("/{prefix}")),
                    nodes_per_zone: None,
                    ..wanted.clone()
                };
                cidr::block_count(vpc, &smaller).is_ok()
            };
            if let Some(prefix) = (subnets::BIGGEST..=subnets::SMALLEST).find(fits) {
                ways.push(format!(
                    "ask for at most {} nodes per zone (`prefix: /{prefix}`)",
                    subnets::nodes(prefix)
                ));
            }
            let enough = |length: &u8| {
                let cidr = vpc.range().and_then(|r| Ipv4Net::new(r.network(), *length).ok());
                let bigger = Vpc { cidr, existing: None, ..vpc.clone() };
                cidr::block_count(&bigger, &wanted).is_ok()
            };
            let lengths = subnets::AWS_BIGGEST..=subnets::AWS_SMALLEST;
            if let Some(length) = lengths.rev().find(enough) {
                ways.push(format!("give the VPC at least a /{length}"));
            }
            ways.push("say where with `subnets.cidrs`".to_owned());
            ways.join(", or ")
        }
    }
}

fn overlaps(name: &str, vpc: &Vpc, tenants: &[Tenant<'_>], found: &mut Vec<Mistake>) {
    for (index, tenant) in tenants.iter().enumerate() {
        for other in &tenants[..index] {
            let Some((here, there)) = first_overlap(&tenant.nets, &other.nets) else { continue };
            // The one that is easier to put elsewhere.
            let (moves, zone) =
                if ease(other) > ease(tenant) { (other, there.0) } else { (tenant, here.0) };
            let message = if here.1 == there.1 {
                format!("{} and {} would both lie at `{}`", other.what, tenant.what, here.1)
            } else {
                let [here, there] = [here.1, there.1];
                format!("`{here}` of {} overlaps `{there}` of {}", tenant.what, other.what)
            };
            let help = match free_block(vpc, moves, tenants) {
                Some(block) => format!("`subnets: {{ block: {block} }}` is free"),
                None => {
                    elsewhere(vpc, moves, if std::ptr::eq(moves, other) { tenant } else { other })
                }
            };
            found.push(moves.mistake(name, zone, message).help(help));
        }
        let nets: Vec<_> = tenant.nets.iter().collect();
        for (i, (zone, net)) in nets.iter().enumerate() {
            if let Some((other, with)) = nets[..i].iter().find(|n| subnets::overlap(n.1, net)) {
                let message =
                    format!("`{net}` of {} in {zone} overlaps `{with}` in {other}", tenant.what);
                found
                    .push(tenant.mistake(name, zone, message).help(elsewhere(vpc, tenant, tenant)));
            }
        }
    }
}

/// How to part the one from the other, when no block can be named.
fn elsewhere(vpc: &Vpc, moves: &Tenant<'_>, stays: &Tenant<'_>) -> String {
    let range = vpc.range().map(|range| format!("a part of `{}`", range.trunc()));
    let range = range.unwrap_or_else(|| "a range".to_owned());
    let choose = format!("choose {range} that no other subnet has");
    match (moves.owner, stays.owner) {
        (Owner::Workspace(_, workspace), _)
            if workspace.subnets.as_ref().is_none_or(|s| s.cidrs.is_empty()) =>
        {
            "no other block of this size is free: ask for fewer nodes, or say where with \
             `subnets.cidrs`"
                .to_owned()
        }
        (Owner::Workspace(..), Owner::Service(field, _)) => {
            format!("{choose}, or move {} with `{field}.cidrs`", stays.what)
        }
        _ => choose,
    }
}

/// How easily its subnets are put elsewhere: not at all, CIDRs, a block, a block nobody chose.
fn ease(tenant: &Tenant<'_>) -> u8 {
    let workspace = match tenant.owner {
        Owner::Service(_, Some(given)) if !given.cidrs.is_empty() => return 1,
        Owner::Service(..) => return 0,
        Owner::Workspace(_, workspace) => workspace,
    };
    match &workspace.subnets {
        Some(subnets) if !subnets.cidrs.is_empty() => 2,
        Some(subnets) if subnets.block.is_some() => 3,
        _ => 4,
    }
}

type Nets = BTreeMap<String, Ipv4Net>;

/// A CIDR and what it is called.
type Named<'a> = (&'a str, Ipv4Net);

/// The first two of them that share an address, each with its zone.
fn first_overlap<'a>(a: &'a Nets, b: &'a Nets) -> Option<(Named<'a>, Named<'a>)> {
    let pairs = a.iter().flat_map(|a| b.iter().map(move |b| (a, b)));
    let mut pairs = pairs.filter(|(a, b)| subnets::overlap(a.1, b.1));
    pairs.next().map(|(a, b)| ((a.0.as_str(), *a.1), (b.0.as_str(), *b.1)))
}

/// A block in which a workspace that did not say where would meet nobody.
fn free_block(vpc: &Vpc, tenant: &Tenant<'_>, tenants: &[Tenant<'_>]) -> Option<u32> {
    let Owner::Workspace(name, workspace) = tenant.owner else { return None };
    let wanted = workspace.subnets.clone().unwrap_or_default();
    if !wanted.cidrs.is_empty() {
        return None;
    }
    let count = u32::try_from(cidr::block_count(vpc, &wanted).ok()?).ok()?;
    let others = tenants.iter().filter(|t| !t.is(name));
    (0..count).find(|block| {
        let place = Subnets { block: Some(*block), ..wanted.clone() };
        let nets = cidr::place(vpc, name, &place).unwrap_or_default();
        !nets.is_empty() && others.clone().all(|t| first_overlap(&nets, &t.nets).is_none())
    })
}
