//! What a well-formed spec may still get wrong. Rules that need facts about regions are the
//! blueprint's.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::Ipv4Net;

use crate::diagnostic::Severity;
use crate::model::{
    AccessLevel, Nat, Peering, PrivateAccess, PrivateAccessSettings, RolePolicy, ServiceSubnets,
    Spec, Subnets, Tier, Vpc, Workspace,
};
use crate::suggest::closest;

/// Something in the spec that makes no sense, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The place, as a JSON pointer: `/vpcs/shared/cidr`.
    pub pointer: String,
    /// Whether it is about the key there, not about the value.
    pub at_key: bool,
    pub severity: Severity,
    pub message: String,
    pub help: Option<String>,
}

impl Mistake {
    /// An error about the value at the place.
    pub fn error(place: &[&str], message: impl Into<String>) -> Self {
        Mistake {
            pointer: pointer(place),
            at_key: false,
            severity: Severity::Error,
            message: message.into(),
            help: None,
        }
    }

    /// A warning about the value at the place.
    pub fn warning(place: &[&str], message: impl Into<String>) -> Self {
        Mistake { severity: Severity::Warning, ..Self::error(place, message) }
    }

    /// The same about the key at the place.
    #[must_use]
    pub fn key(mut self) -> Self {
        self.at_key = true;
        self
    }

    /// The same with advice.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// The JSON pointer of a place.
fn pointer(place: &[&str]) -> String {
    place.iter().map(|part| format!("/{}", part.replace('~', "~0").replace('/', "~1"))).collect()
}

/// Everything that makes no sense, in the order of the language.
pub fn check(spec: &Spec) -> Vec<Mistake> {
    let mut check = Check { spec, found: Vec::new() };
    check.stack();
    for (name, vpc) in &spec.vpcs {
        check.vpc(name, vpc);
    }
    for (name, peering) in &spec.peerings {
        check.peering(name, peering);
    }
    check.shared_credentials();
    for (name, settings) in &spec.private_access_settings {
        check.name("private_access_settings", name);
        check.settings(&["private_access_settings", name], settings);
    }
    for (name, workspace) in &spec.workspaces {
        check.workspace(name, workspace);
    }
    check.buckets();
    check.found
}

struct Check<'a> {
    spec: &'a Spec,
    found: Vec<Mistake>,
}

impl Check<'_> {
    fn error(&mut self, place: &[&str], message: impl Into<String>) {
        self.found.push(Mistake::error(place, message));
    }

    fn error_with(&mut self, place: &[&str], message: impl Into<String>, help: impl Into<String>) {
        self.found.push(Mistake::error(place, message).help(help));
    }

    fn warn(&mut self, place: &[&str], message: impl Into<String>) {
        self.found.push(Mistake::warning(place, message));
    }

    /// A name that must be among the keys of one of the spec's maps.
    fn known<'k, T: 'k>(
        &mut self,
        place: &[&str],
        what: &str,
        name: &str,
        map: &'k BTreeMap<String, T>,
    ) -> Option<&'k T> {
        if let Some(found) = map.get(name) {
            return Some(found);
        }
        let mistake = Mistake::error(place, format!("there is no {what} `{name}` in this spec"));
        let names: Vec<&str> = map.keys().map(String::as_str).collect();
        self.found.push(match closest(name, names.iter().copied()) {
            Some(near) => mistake.help(format!("did you mean `{near}`?")),
            None if names.is_empty() => mistake.help(format!("this spec has no {what} at all")),
            None => mistake.help(format!("it has {}", listed(&names))),
        });
        None
    }

    fn stack(&mut self) {
        let tags = self.spec.tags.iter().map(|(key, value)| (vec!["tags", key], key, value));
        let mut bad = Vec::new();
        for (place, key, value) in tags {
            if let Some(why) = bad_tag(key, value) {
                bad.push(Mistake::error(&place, why).key());
            }
        }
        self.found.append(&mut bad);
    }

    /// Names become parts of the names of objects.
    fn name(&mut self, map: &str, name: &str) {
        let fits = (1..=40).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !name.starts_with('-')
            && !name.ends_with('-');
        if !fits {
            let message = format!("`{name}` cannot be a name here");
            let help = "1 to 40 characters of a-z, 0-9 and hyphen, no hyphen at either end";
            self.found.push(Mistake::error(&[map, name], message).key().help(help));
        } else if name == "account" {
            let message = "the name `account` stands for the account itself";
            self.found.push(Mistake::error(&[map, name], message).key());
        }
    }

    fn vpc(&mut self, name: &str, vpc: &Vpc) {
        self.name("vpcs", name);
        let here = ["vpcs", name];
        let (cidr, used) = (["vpcs", name, "cidr"], ["vpcs", name, "use"]);
        match (&vpc.cidr, &vpc.existing) {
            (None, None) => {
                let help = "give `cidr` and `zones` to make one, or `use` for one that exists";
                let message = format!("VPC `{name}` is neither made nor used");
                self.found.push(Mistake::error(&here, message).key().help(help));
            }
            (Some(_), Some(_)) => {
                let help = "the range of a used VPC is `use.cidr`";
                self.error_with(&cidr, "a VPC is either made (`cidr`) or used (`use`)", help);
            }
            (Some(range), None) => {
                self.vpc_range(&cidr, range);
                if vpc.zones.len() < 2 {
                    let message = format!("VPC `{name}` needs at least two zones");
                    let help = "Databricks wants subnets in two availability zones; list them in \
                                `zones`";
                    self.found.push(Mistake::error(&here, message).key().help(help));
                }
            }
            (None, Some(existing)) => {
                let place = ["vpcs", name, "use", "cidr"];
                if let Some(range) = &existing.cidr {
                    self.vpc_range(&place, range);
                }
                let makes_nat = vpc.nat() != Nat::None && existing.nat_gateways.is_empty();
                let public = vpc.public_subnets.as_ref().is_some_and(|p| !p.existing.is_empty());
                if makes_nat && existing.internet_gateway.is_none() && !public {
                    let message = "NAT gateways need a way to the internet";
                    let help = "give `internet_gateway`, or public subnets to use in \
                                `public_subnets.use`";
                    self.error_with(&used, message, help);
                }
                for zone in existing.nat_gateways.keys() {
                    self.zone(&["vpcs", name, "use", "nat_gateways", zone], zone, true);
                }
            }
        }
        let mut seen = BTreeSet::new();
        for (index, zone) in vpc.zones.iter().enumerate() {
            let place = ["vpcs", name, "zones", &index.to_string()];
            self.zone(&place, zone, false);
            if !seen.insert(zone) {
                self.error(&place, format!("zone `{zone}` is listed twice"));
            }
        }
        for (field, subnets) in
            [("public_subnets", &vpc.public_subnets), ("endpoint_subnets", &vpc.endpoint_subnets)]
        {
            if let Some(subnets) = subnets {
                self.service_subnets(name, vpc, field, subnets);
            }
        }
        self.vpc_needs_zones(name, vpc);
        for service in vpc.use_endpoints.keys().filter(|s| !vpc.endpoints.contains(s)) {
            let place = ["vpcs", name, "use_endpoints", service.name()];
            let message = format!("`{}` is used but not listed in `endpoints`", service.name());
            self.found.push(Mistake::error(&place, message).key());
        }
        self.private_link(name, vpc);
    }

    /// Endpoint subnets in a used VPC are made where its zones and range say.
    fn vpc_needs_zones(&mut self, name: &str, vpc: &Vpc) {
        let given = vpc.endpoint_subnets.as_ref().is_some_and(|s| *s != ServiceSubnets::default());
        let unknown = vpc.zones.is_empty() || vpc.range().is_none();
        if vpc.existing.is_some() && vpc.has_interface_endpoints() && unknown && !given {
            let message = "endpoints need subnets, and there is nothing to place them by";
            let help = "give `endpoint_subnets` (`use` or `cidrs`), or `zones` and `use.cidr`, or \
                        leave only `s3` in `endpoints`";
            self.error_with(&["vpcs", name, "use"], message, help);
        }
    }

    fn vpc_range(&mut self, place: &[&str], range: &Ipv4Net) {
        self.host_bits(place, range);
        if !(16..=28).contains(&range.prefix_len()) {
            let message = format!("a VPC is a /16 to /28, not a /{}", range.prefix_len());
            self.error(place, message);
        } else if range.prefix_len() > 25 {
            let help = "two workspace subnets of /26 take a /25";
            self.error_with(place, "the VPC is too small for a workspace", help);
        }
    }

    fn host_bits(&mut self, place: &[&str], cidr: &Ipv4Net) {
        if *cidr != cidr.trunc() {
            let help = format!("did you mean `{}`?", cidr.trunc());
            self.error_with(place, format!("`{cidr}` is an address within a range"), help);
        }
    }

    /// A zone that lies in the region; `key` tells whether it stands there as a key.
    fn zone(&mut self, place: &[&str], zone: &str, key: bool) {
        let region = &self.spec.region;
        let letter = zone.strip_prefix(region.as_str());
        let fits =
            letter.is_some_and(|l| l.len() == 1 && l.bytes().all(|b| b.is_ascii_lowercase()));
        if !fits {
            let message = format!("`{zone}` is not a zone of {region}");
            let help = format!("zones are called `{region}a`, `{region}b`, …");
            let mut mistake = Mistake::error(place, message).help(help);
            mistake.at_key = key;
            self.found.push(mistake);
        }
    }

    fn service_subnets(&mut self, name: &str, vpc: &Vpc, field: &str, subnets: &ServiceSubnets) {
        if !subnets.cidrs.is_empty() && !subnets.existing.is_empty() {
            self.error(&["vpcs", name, field], "give either `cidrs` or `use`, not both");
        }
        for zone in subnets.existing.keys() {
            self.zone(&["vpcs", name, field, "use", zone], zone, true);
        }
        for (zone, cidr) in &subnets.cidrs {
            let place = ["vpcs", name, field, "cidrs", zone];
            self.zone(&place, zone, true);
            self.inside(&place, cidr, vpc);
            if cidr.prefix_len() > 28 {
                self.error(&place, format!("AWS makes no subnet smaller than /28: `{cidr}`"));
            }
            if !vpc.zones.is_empty() && !vpc.zones.contains(zone) {
                let message = format!("`{zone}` is not among the zones of the VPC");
                self.found.push(Mistake::error(&place, message).key());
            }
        }
    }

    fn inside(&mut self, place: &[&str], cidr: &Ipv4Net, vpc: &Vpc) {
        self.host_bits(place, cidr);
        if let Some(range) = vpc.range()
            && !range.contains(cidr)
        {
            self.error(place, format!("`{cidr}` does not lie within the VPC's `{range}`"));
        }
    }

    fn private_link(&mut self, name: &str, vpc: &Vpc) {
        let link = &vpc.private_link;
        let place = ["vpcs", name, "private_link"];
        if !link.frontend && (!link.clients.is_empty()) {
            let here = ["vpcs", name, "private_link", "clients"];
            self.error(&here, "`clients` are users, and `frontend` is off");
        }
        for ids in [&link.existing, &link.use_registrations].into_iter().flatten() {
            let wanted = link.links();
            for l in
                [crate::model::Link::Rest, crate::model::Link::Relay, crate::model::Link::Frontend]
            {
                if ids.get(l).is_some() && !wanted.contains(&l) {
                    let message = format!("an id for `{}` is given, which is not needed", l.name());
                    let help = "`rest` and `relay` belong to `backend`, `frontend` to \
                                `frontend_endpoint: own`";
                    self.error_with(&place, message, help);
                }
            }
        }
    }

    fn peering(&mut self, name: &str, peering: &Peering) {
        self.name("peerings", name);
        let spec = self.spec;
        let place = ["peerings", name, "to", "cidr"];
        self.host_bits(&place, &peering.to.cidr);
        let from = self.known(&["peerings", name, "from"], "VPC", &peering.from, &spec.vpcs);
        if let Some(range) = from.and_then(Vpc::range) {
            let theirs = peering.to.cidr;
            if theirs.contains(&range) || range.contains(&theirs) {
                let message = format!("`{theirs}` overlaps `{range}` of VPC `{}`", peering.from);
                self.error_with(&place, message, "routes could not tell the two apart");
            }
        } else if from.is_some() && !peering.to.route_tables.is_empty() {
            let message = format!("the range of VPC `{}` is not known", peering.from);
            let place = ["peerings", name, "to", "route_tables"];
            self.error_with(&place, message, "routes back need it: give `use.cidr` there");
        }
        let far = peering.to.account.is_some() || peering.to.region.is_some();
        if far {
            let here = ["peerings", name, "to"];
            self.warn(
                &here,
                "the other side is another account or region: its acceptance, routes and rules \
                 are up to you",
            );
        }
    }

    fn shared_credentials(&mut self) {
        let spec = self.spec;
        for (name, credentials) in &spec.credentials {
            self.name("credentials", name);
            let place = ["credentials", name];
            let ways = [credentials.existing.is_some(), credentials.role.is_some()];
            if ways.iter().filter(|w| **w).count() > 1 {
                self.error(&place, "give either `role` or `use`, not both");
            }
            if credentials.policy == Some(RolePolicy::Restricted) {
                let message = "a restricted role serves exactly one workspace";
                let help = "it is scoped to one security group; ask for it in that workspace's \
                            `credentials`";
                self.error_with(&["credentials", name, "policy"], message, help);
            }
            if spec.shared_policy(name, credentials) == RolePolicy::Customer {
                let without = spec.workspaces.iter().filter(|(_, w)| {
                    w.vpc.is_none() && w.credentials.shared.as_ref() == Some(name)
                });
                for (workspace, _) in without {
                    let place = ["workspaces", workspace, "credentials", "shared"];
                    let message = format!(
                        "the role of `{name}` may not build networks, and this workspace has no VPC"
                    );
                    self.error_with(&place, message, "give the credentials `policy: managed`");
                }
            }
        }
    }

    fn settings(&mut self, place: &[&str], settings: &PrivateAccessSettings) {
        let at = |field: &'static str| {
            let mut at = place.to_vec();
            at.push(field);
            at
        };
        let listed = !settings.allowed.is_empty() || !settings.allowed_registrations.is_empty();
        let spec = self.spec;
        match settings.level {
            AccessLevel::Endpoint if settings.existing.is_none() && !listed => {
                let help = "list VPCs in `allowed`, or use `level: account`";
                let at = at("level");
                self.error_with(
                    &at,
                    "no endpoint may reach the workspace: the list is empty",
                    help,
                );
            }
            AccessLevel::Account if listed => {
                let at = at(if settings.allowed.is_empty() {
                    "allowed_registrations"
                } else {
                    "allowed"
                });
                self.error_with(&at, "the list has no effect", "it needs `level: endpoint`");
            }
            _ => {}
        }
        let place = at("allowed");
        for (index, name) in settings.allowed.iter().enumerate() {
            let mut place = place.clone();
            let index = index.to_string();
            place.push(&index);
            if let Some(vpc) = self.known(&place, "VPC", name, &spec.vpcs)
                && vpc.private_link.users().is_none()
            {
                let message = format!("VPC `{name}` has no endpoint for users");
                self.error_with(&place, message, "turn on its `private_link.frontend`");
            }
        }
    }

    fn workspace(&mut self, name: &str, workspace: &Workspace) {
        self.name("workspaces", name);
        let spec = self.spec;
        for (key, value) in &workspace.tags {
            if let Some(why) = bad_tag(key, value) {
                let place = ["workspaces", name, "tags", key];
                self.found.push(Mistake::error(&place, why).key());
            }
        }
        let place = ["workspaces", name, "vpc"];
        let vpc = match &workspace.vpc {
            Some(vpc) => self.known(&place, "VPC", vpc, &spec.vpcs),
            None => None,
        };
        match (&workspace.vpc, vpc) {
            (None, _) => self.managed_network(name, workspace),
            (Some(_), Some(vpc)) => self.nodes(name, workspace, vpc),
            (Some(_), None) => {}
        }
        if workspace.vpc.is_none() || vpc.is_some() {
            self.privacy(name, workspace, vpc);
        }
        self.workspace_credentials(name, workspace, vpc);
        let storage = &workspace.storage;
        let ways = [&storage.bucket, &storage.existing, &storage.use_configuration];
        if ways.iter().filter(|w| w.is_some()).count() > 1 {
            let place = ["workspaces", name, "storage"];
            self.error(&place, "give one of `bucket`, `use` and `use_configuration`");
        }
        for (profile, wanted) in &workspace.instance_profiles {
            let place = ["workspaces", name, "instance_profiles", profile];
            let letters = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
            if profile.is_empty() || profile.len() > 40 || !profile.bytes().all(letters) {
                let message = format!("`{profile}` cannot be a name here");
                self.found.push(
                    Mistake::error(&place, message)
                        .key()
                        .help("1 to 40 characters of a-z, 0-9 and hyphen"),
                );
            }
            if wanted.existing.is_some() && !wanted.policies.is_empty() {
                self.error(&place, "the policies of a role that is used are not ours to attach");
            }
        }
    }

    /// What makes no sense in a VPC that Databricks manages.
    fn managed_network(&mut self, name: &str, workspace: &Workspace) {
        let given = [
            ("subnets", workspace.subnets.is_some()),
            ("security_group", workspace.security_group.is_some()),
        ];
        for (field, _) in given.into_iter().filter(|(_, given)| *given) {
            let place = ["workspaces", name, field];
            let message = format!("`{field}` needs a VPC: Databricks manages this one");
            self.found
                .push(Mistake::error(&place, message).key().help("give the workspace a `vpc`"));
        }
    }

    fn nodes(&mut self, name: &str, workspace: &Workspace, vpc: &Vpc) {
        let default = Subnets::default();
        let subnets = workspace.subnets.as_ref().unwrap_or(&default);
        let place = ["workspaces", name, "subnets"];
        if subnets.ways() > 1 {
            let message = "give one of `nodes_per_zone`, `prefix`, `cidrs`, `use` and `share`";
            self.error(&place, message);
            return;
        }
        if let Some(owner) = &subnets.share {
            self.share(name, workspace, owner);
            return;
        }
        if !subnets.existing.is_empty() {
            if subnets.existing.len() < 2 {
                let here = ["workspaces", name, "subnets", "use"];
                self.error(&here, "a workspace needs at least two subnets, in different zones");
            }
            return;
        }
        if let Some(prefix) = &subnets.prefix
            && !subnets.prefix_length().is_some_and(|p| (17..=26).contains(&p))
        {
            let here = ["workspaces", name, "subnets", "prefix"];
            self.error(&here, format!("workspace subnets are /17 to /26, not `{prefix}`"));
        }
        if subnets.prefix_length() == Some(26) {
            let here = ["workspaces", name, "subnets", "prefix"];
            self.warn(&here, "sources disagree whether a /26 is accepted; it holds 29 nodes");
        }
        for (index, zone) in subnets.zones.iter().enumerate() {
            let here = ["workspaces", name, "subnets", "zones", &index.to_string()];
            self.zone_of(&here, zone, vpc, false);
        }
        for (zone, cidr) in &subnets.cidrs {
            let here = ["workspaces", name, "subnets", "cidrs", zone];
            self.zone_of(&here, zone, vpc, true);
            self.inside(&here, cidr, vpc);
            if !(17..=26).contains(&cidr.prefix_len()) {
                self.error(&here, format!("workspace subnets are /17 to /26, not `{cidr}`"));
            }
        }
        let zones = match (subnets.cidrs.len(), subnets.zones.len()) {
            (0, 0) => vpc.zones.len(),
            (0, zones) => zones,
            (cidrs, _) => cidrs,
        };
        if zones < 2
            && (vpc.existing.is_some() || !subnets.zones.is_empty() || !subnets.cidrs.is_empty())
        {
            let message = "a workspace needs subnets in at least two zones";
            let help = "list `zones` in the VPC, or `use` two subnets that exist";
            self.found.push(Mistake::error(&["workspaces", name], message).key().help(help));
        }
        if subnets.cidrs.is_empty() && vpc.range().is_none() && vpc.existing.is_some() {
            let message = "there is no range to make subnets in";
            let help = "give the VPC `use.cidr`, or this workspace `subnets.use` or \
                        `subnets.cidrs`";
            self.found.push(Mistake::error(&["workspaces", name], message).key().help(help));
        }
    }

    fn zone_of(&mut self, place: &[&str], zone: &str, vpc: &Vpc, key: bool) {
        if vpc.existing.is_some() && vpc.zones.is_empty() {
            self.zone(place, zone, key);
        } else if !vpc.zones.iter().any(|z| z == zone) {
            let zones: Vec<&str> = vpc.zones.iter().map(String::as_str).collect();
            let message = format!("`{zone}` is not among the zones of the VPC");
            let mut mistake = Mistake::error(place, message);
            mistake.at_key = key;
            mistake.help = Some(format!("they are {}", listed(&zones)));
            self.found.push(mistake);
        }
    }

    fn share(&mut self, name: &str, workspace: &Workspace, owner: &str) {
        let spec = self.spec;
        let place = ["workspaces", name, "subnets", "share"];
        let Some(theirs) = self.known(&place, "workspace", owner, &spec.workspaces) else { return };
        if owner == name {
            self.error(&place, "a workspace cannot share its subnets with itself");
        } else if theirs.subnets.as_ref().is_some_and(|s| s.share.is_some()) {
            self.error(&place, format!("`{owner}` has no subnets of its own to share"));
        } else if theirs.vpc != workspace.vpc {
            self.error(&place, format!("`{owner}` is not in the same VPC"));
        } else {
            let message = format!(
                "nodes share the addresses of `{owner}`; Databricks advises subnets of their own"
            );
            self.warn(&place, message);
        }
    }

    /// Which combinations of private connections and public access are legal.
    fn privacy(&mut self, name: &str, workspace: &Workspace, vpc: Option<&Vpc>) {
        let spec = self.spec;
        let (backend, frontend) = (spec.backend_of(workspace), spec.frontend_of(workspace));
        let link = ["workspaces", name, "private_link"];
        let public = ["workspaces", name, "public_access"];
        if workspace.private_link == Some(true) && !vpc.is_some_and(|v| v.private_link.backend) {
            let help = match vpc {
                Some(_) => "turn on `private_link.backend` of its VPC",
                None => "a VPC that Databricks manages can never have them; give it a `vpc`",
            };
            self.error_with(&link, "the VPC has no private connections for nodes", help);
        } else if !workspace.public_access {
            let settled = workspace.private_access.as_ref().is_some_and(|a| a.existing.is_some());
            let problem = match (vpc, backend, frontend) {
                (None, ..) => Some((
                    "a workspace in a VPC that Databricks manages is always public",
                    "give it a `vpc` with `private_link: { backend: true, frontend: true }`",
                )),
                (Some(_), true, true) => None,
                (Some(_), true, false) => Some((
                    "nobody could log in: there is no endpoint for users",
                    "turn on `private_link.frontend` of its VPC, or `public_access`",
                )),
                (Some(_), false, _) => Some((
                    "nodes would have no way to the control plane",
                    "turn on `private_link.backend` of its VPC, or `public_access`",
                )),
            };
            // Users may come through an endpoint elsewhere that settings made elsewhere admit.
            if let Some((message, help)) = problem.filter(|_| !(settled && backend)) {
                self.error_with(&public, message, help);
            }
        }
        if let Some(tier) = workspace.tier
            && tier != Tier::Enterprise
            && (backend || frontend || !workspace.public_access)
        {
            let place = ["workspaces", name, "tier"];
            let help = "leave `tier` out, or say `enterprise`";
            self.error_with(&place, "private connections need the tier `enterprise`", help);
        }
        if let Some(access) = &workspace.private_access {
            self.private_access(name, workspace, access);
        }
        // Without a way out nodes depend on endpoints alone.
        let Some(vpc) = vpc else { return };
        let no_nat = vpc.nat() == Nat::None
            && vpc.existing.as_ref().is_none_or(|e| e.nat_gateways.is_empty());
        let made = workspace.subnets.as_ref().is_none_or(|s| s.existing.is_empty());
        if no_nat && made && !backend {
            let message = "nodes could not reach the control plane: no NAT, no private connection";
            let help = "give the VPC `nat: single`, or `private_link.backend`";
            self.found.push(Mistake::error(&["workspaces", name], message).key().help(help));
        } else if no_nat && made {
            let needed = [crate::Service::S3, crate::Service::Sts, crate::Service::Kinesis];
            for service in needed.iter().filter(|s| !vpc.endpoints.contains(s)) {
                let message = format!(
                    "without NAT, nodes need the endpoint `{}` of their VPC",
                    service.name()
                );
                self.found.push(Mistake::error(&["workspaces", name], message).key());
            }
        }
    }

    fn private_access(&mut self, name: &str, workspace: &Workspace, access: &PrivateAccess) {
        let spec = self.spec;
        let place = ["workspaces", name, "private_access"];
        if access.shared.is_some() && access.existing.is_some() {
            self.error(&place, "give either `shared` or `use`, not both");
        }
        if let Some(shared) = &access.shared {
            let at = ["workspaces", name, "private_access", "shared"];
            let settings =
                self.known(&at, "private access settings", shared, &spec.private_access_settings);
            if let Some(settings) = settings
                && settings.public_access != workspace.public_access
            {
                let message = format!(
                    "`{shared}` has `public_access: {}`, this workspace `{}`",
                    settings.public_access, workspace.public_access
                );
                self.error_with(&at, message, "they must be the same");
            }
            if access.level != AccessLevel::Account || !access.allowed.is_empty() {
                self.error(&place, "who is allowed stands in the shared settings");
            }
            return;
        }
        let own = PrivateAccessSettings {
            public_access: workspace.public_access,
            level: access.level,
            allowed: access.allowed.clone(),
            allowed_registrations: access.allowed_registrations.clone(),
            existing: access.existing.clone(),
        };
        self.settings(&place, &own);
        let frontend = workspace
            .vpc
            .as_ref()
            .filter(|_| self.spec.frontend_of(workspace))
            .filter(|vpc| !access.allowed.contains(*vpc));
        if let Some(vpc) = frontend
            && access.level == AccessLevel::Endpoint
            && access.existing.is_none()
            && !workspace.public_access
            && access.allowed_registrations.is_empty()
        {
            let at = ["workspaces", name, "private_access", "allowed"];
            let message = format!("users in VPC `{vpc}` could not reach this workspace");
            self.warn(&at, message);
        }
    }

    fn workspace_credentials(&mut self, name: &str, workspace: &Workspace, vpc: Option<&Vpc>) {
        let spec = self.spec;
        let credentials = &workspace.credentials;
        let place = ["workspaces", name, "credentials"];
        let ways = [&credentials.shared, &credentials.role, &credentials.existing];
        let ways = ways.iter().filter(|w| w.is_some()).count();
        if ways > 1 {
            self.error(&place, "give one of `shared`, `role` and `use`");
        }
        if let Some(shared) = &credentials.shared {
            let at = ["workspaces", name, "credentials", "shared"];
            self.known(&at, "credentials", shared, &spec.credentials);
        }
        let at = ["workspaces", name, "credentials", "policy"];
        let Some(policy) = credentials.policy else { return };
        if ways > 0 {
            self.error(&at, "the policy of a role that is not made here cannot be chosen");
            return;
        }
        match policy {
            RolePolicy::Managed if workspace.vpc.is_some() => {
                self.warn(&at, "the role may build networks, which a VPC of yours does not need");
            }
            RolePolicy::Customer | RolePolicy::Restricted if workspace.vpc.is_none() => {
                let help = "use `managed`, or give the workspace a `vpc`";
                self.error_with(&at, "Databricks must be able to build the VPC", help);
            }
            RolePolicy::Restricted => {
                let known =
                    vpc.is_some_and(|v| v.existing.is_some()) && workspace.security_group.is_some();
                if !known {
                    let message = "a restricted role is scoped to ids that must be known before";
                    let help = "it needs a VPC and a security group that are used, not made";
                    self.error_with(&at, message, help);
                }
            }
            _ => {}
        }
    }

    /// Names of root buckets: fit for S3, and one per workspace.
    fn buckets(&mut self) {
        let spec = self.spec;
        let mut users: BTreeMap<String, &str> = BTreeMap::new();
        for (name, workspace) in &spec.workspaces {
            let storage = &workspace.storage;
            let field = if storage.existing.is_some() { "use" } else { "bucket" };
            let given = storage.bucket.is_some() || storage.existing.is_some();
            let place = ["workspaces", name, "storage", field];
            let place = if given { &place[..] } else { &place[..2] };
            let bucket = spec.bucket_of(name, workspace).or_else(|| storage.existing.clone());
            let Some(bucket) = bucket else { continue };
            let mut mistake = None;
            if !bucket_fits(&bucket) {
                let message = format!("`{bucket}` cannot be the name of a root bucket");
                let help = "3 to 63 characters of a-z, 0-9 and hyphen, no dots, no hyphen first";
                mistake = Some(Mistake::error(place, message).help(help));
            } else if let Some(other) = users.get(&bucket) {
                let message = format!("`{bucket}` is the root bucket of `{other}` already");
                mistake = Some(Mistake::error(place, message).help("each workspace has its own"));
            }
            users.entry(bucket).or_insert(name);
            if let Some(mut mistake) = mistake {
                mistake.at_key = !given;
                self.found.push(mistake);
            }
        }
    }
}

fn bucket_fits(name: &str) -> bool {
    (3..=63).contains(&name.len())
        && !name.starts_with('-')
        && !name.ends_with('-')
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn bad_tag(key: &str, value: &str) -> Option<String> {
    if key.is_empty() || key.chars().count() > 127 || value.chars().count() > 255 {
        Some("a tag has a key of 1 to 127 and a value of at most 255 characters".to_owned())
    } else if key.starts_with("aws:") || key.starts_with("dbxctl:") || key == "Name" {
        Some(format!("tag `{key}` is not yours to set"))
    } else {
        None
    }
}

/// `a`, `a` and `b`, `a`, `b` and `c`.
fn listed(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
        None => String::new(),
    }
}
