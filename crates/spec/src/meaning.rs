//! What a well-formed spec may still get wrong. Rules that need facts about regions are the
//! blueprint's.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::Ipv4Net;

use crate::diagnostic::Severity;
use crate::model::{
    AccessLevel, ExternalMetastore, Nat, Peering, PrivateAccess, PrivateAccessSettings, RolePolicy,
    S3State, Service, ServiceSubnets, Spec, Subnets, Tier, Uses, Vpc, Workspace,
};
use crate::remote::Remote;
use crate::suggest::closest;

/// Something in the spec that makes no sense, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The place, as a JSON pointer: `/vpcs/shared/cidr`.
    pub pointer: String,
    /// Whether it is about the key there, not about the value.
    pub at_key: bool,
    pub severity: Severity,
    /// The rule of `dbxctl check` that is broken, if it is one of those.
    pub rule: Option<String>,
    pub message: String,
    pub notes: Vec<String>,
    pub help: Option<String>,
}

impl Mistake {
    /// An error about the value at the place.
    pub fn error(place: &[&str], message: impl Into<String>) -> Self {
        Mistake {
            pointer: pointer(place),
            at_key: false,
            severity: Severity::Error,
            rule: None,
            message: message.into(),
            notes: Vec::new(),
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
    let mut check = Check { spec, found: Vec::new(), zones_elsewhere: false };
    check.stack();
    check.region();
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
    check.moved();
    check.forgotten();
    check.requirements();
    check.accepted();
    check.found
}

struct Check<'a> {
    spec: &'a Spec,
    found: Vec<Mistake>,
    /// All zones are of one other region: told once, at the region.
    zones_elsewhere: bool,
}

impl Check<'_> {
    fn error_with(&mut self, place: &[&str], message: impl Into<String>, help: impl Into<String>) {
        self.found.push(Mistake::error(place, message).help(help));
    }

    fn key_error(&mut self, place: &[&str], message: impl Into<String>, help: impl Into<String>) {
        self.found.push(Mistake::error(place, message).key().help(help));
    }

    fn warn(&mut self, place: &[&str], message: impl Into<String>, help: impl Into<String>) {
        self.found.push(Mistake::warning(place, message).help(help));
    }

    /// Fields of which one at most may be given.
    fn one_of(&mut self, place: &[&str], fields: &[(&str, bool)]) -> bool {
        let given: Vec<&str> = fields.iter().filter(|f| f.1).map(|f| f.0).collect();
        if given.len() < 2 {
            return true;
        }
        let all: Vec<&str> = fields.iter().map(|f| f.0).collect();
        let message = format!("{} exclude each other", listed(&given, "and"));
        self.error_with(place, message, format!("give only one of {}", listed(&all, "and")));
        false
    }

    /// A name that must be among the keys of one of the spec's maps.
    fn known<'k, T: 'k>(
        &mut self,
        place: &[&str],
        (what, field): (&str, &str),
        name: &str,
        map: &'k BTreeMap<String, T>,
    ) -> Option<&'k T> {
        if let Some(found) = map.get(name) {
            return Some(found);
        }
        let message = format!("this spec has no {what} named `{name}`");
        // What refers is never what is meant.
        let others = map.keys().map(String::as_str).filter(|other| place[..2] != [field, *other]);
        let names: Vec<&str> = others.collect();
        let help = match closest(name, names.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if names.is_empty() => format!("describe it under `{field}`"),
            None => format!("`{field}` has {}", listed(&names, "and")),
        };
        self.error_with(place, message, help);
        None
    }

    fn stack(&mut self) {
        if let Some(state) = &self.spec.state {
            self.state_bucket(&state.s3);
        }
        for (key, value) in &self.spec.tags {
            self.found.extend(bad_tag(&["tags", key], key, value));
        }
        for (address, label) in &self.spec.labels {
            for (key, value) in label.tags.iter().flatten().filter(|(key, _)| *key != "Name") {
                self.found.extend(bad_tag(&["labels", address, "tags", key], key, value));
            }
        }
    }

    fn state_bucket(&mut self, state: &S3State) {
        let S3State { bucket, prefix, kms_key } = state;
        let at = |field| ["state", "s3", field];
        if !state_bucket_fits(bucket) {
            let help =
                "use 3 to 63 characters of a-z, 0-9, hyphen and dot, each end a letter or digit";
            self.error_with(
                &at("bucket"),
                format!("`{bucket}` cannot be the name of a bucket"),
                help,
            );
        }
        if let Some(prefix) = prefix.as_ref().filter(|prefix| !prefix_fits(prefix)) {
            let help = "write names with single slashes between them, such as `teams/data`: \
                        letters, digits and `!-_.*'()`";
            self.error_with(
                &at("prefix"),
                format!("`{prefix}` cannot be a folder in a bucket"),
                help,
            );
        }
        if let Some(key) = kms_key.as_ref().filter(|key| !is_kms_arn(key)) {
            let help = "write it as the KMS console shows it: `arn:aws:kms:REGION:ACCOUNT:key/ID`";
            self.error_with(&at("kms_key"), format!("`{key}` is not the ARN of a KMS key"), help);
        }
    }

    /// A region that no zone lies in, when all zones agree on another.
    fn region(&mut self) {
        let region = self.spec.region.as_str();
        let of =
            |zone: &String| zone.strip_suffix(|c: char| c.is_ascii_lowercase()).map(str::to_owned);
        let vpcs = self.spec.vpcs.values();
        let regions: BTreeSet<_> = vpcs.flat_map(|vpc| &vpc.zones).map(of).collect();
        let mut regions = regions.into_iter();
        if let (Some(Some(other)), None) = (regions.next(), regions.next())
            && other != region
            && !other.starts_with(region)
            && !other.is_empty()
        {
            self.zones_elsewhere = true;
            let message = format!("all zones of this spec are in `{other}`, not in `{region}`");
            let help = format!("write `region: {other}`, or zones such as `{region}a`");
            self.error_with(&["region"], message, help);
        }
    }

    /// A former name leads, in one step or several, to a name of the spec, and nothing has it now.
    fn moved(&mut self) {
        for (part, moved) in self.spec.moved.parts() {
            let names = names(self.spec, part);
            for (from, to) in moved {
                let place = ["moved", part, from];
                if names.contains(from.as_str()) {
                    let message = format!("`{from}` is still in `{part}`");
                    self.key_error(&place, message, format!("rename it there to `{to}`"));
                } else if moved.values().filter(|other| *other == to).count() > 1 {
                    let message = format!("`{to}` has more than one former name");
                    self.error_with(&place, message, "one thing comes from one thing: keep one");
                } else if !names.contains(to.as_str()) && !moved.contains_key(to) {
                    let message = format!("`{part}` has nothing named `{to}`");
                    let help = match closest(to, names.iter().copied()) {
                        Some(near) => format!("did you mean `{near}`?"),
                        None => format!("give the present name of what was `{from}`"),
                    };
                    self.error_with(&place, message, help);
                } else if !leads_somewhere(moved, from) {
                    let message =
                        format!("`{from}` and `{to}` take each other's names in a circle");
                    self.error_with(&place, message, "give one of them a name that is new");
                }
            }
        }
    }

    /// What is forgotten is not wanted.
    fn forgotten(&mut self) {
        for (part, forgotten) in self.spec.forget.parts() {
            let names = names(self.spec, part);
            for name in forgotten.iter().filter(|name| names.contains(name.as_str())) {
                let message = format!("`{name}` is still in `{part}`, so it cannot be forgotten");
                let help = format!("take it out of `{part}`, or out of `forget`");
                self.error_with(&["forget", part], message, help);
            }
        }
    }

    /// Names become parts of the names of objects.
    fn name(&mut self, map: &str, name: &str) {
        if !name_fits(name) {
            let message = format!("`{name}` cannot be a name here");
            let help = "use 1 to 40 characters of a-z, 0-9 and hyphen, no hyphen at either end";
            self.key_error(&[map, name], message, help);
        } else if name == "account" {
            let message = "the name `account` stands for the account itself";
            self.key_error(&[map, name], message, "choose another name");
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
                self.key_error(&here, message, help);
            }
            (Some(_), Some(_)) => {
                let help = "to use it, write its range as `use.cidr`; to make one, leave out `use`";
                self.error_with(&cidr, "a VPC is either made (`cidr`) or used (`use`)", help);
            }
            (Some(range), None) => {
                self.vpc_range(&cidr, range);
                if vpc.zones.len() < 2 {
                    let message = format!("VPC `{name}` needs at least two zones");
                    let region = &self.spec.region;
                    let help = format!(
                        "a workspace has subnets in two zones or more: \
                         `zones: [{region}a, {region}c]`, or others of the region"
                    );
                    let zones = ["vpcs", name, "zones"];
                    let place = if vpc.zones.is_empty() { &here[..] } else { &zones };
                    self.key_error(place, message, help);
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
                    let help = "give the id of the VPC's `internet_gateway`, or public subnets in \
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
                let help = "list each zone once; a workspace has subnets in at least two";
                self.error_with(&place, format!("zone `{zone}` is listed twice"), help);
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
            self.key_error(&place, message, "add it to `endpoints`, or leave it out here");
        }
        self.private_link(name, vpc);
    }

    /// Subnets in a used VPC are made where its zones and range say.
    fn vpc_needs_zones(&mut self, name: &str, vpc: &Vpc) {
        if vpc.existing.is_none() || vpc.cidr.is_some() {
            return;
        }
        let given = vpc.endpoint_subnets.as_ref().is_some_and(|s| *s != ServiceSubnets::default());
        let unknown = vpc.zones.is_empty() || vpc.range().is_none();
        let endpoints = vpc.has_interface_endpoints() && unknown && !given;
        let workspaces = self.spec.workspaces.iter();
        let workspaces: Vec<&str> = workspaces
            .filter(|(_, w)| w.vpc.as_deref() == Some(name) && unplaced(w, vpc))
            .map(|(workspace, _)| workspace.as_str())
            .collect();
        let ways = match (endpoints, workspaces.is_empty()) {
            (false, true) => return,
            (true, true) => "it `endpoint_subnets.use`, or leave only `s3` in `endpoints`",
            (false, false) => "each workspace `subnets.use`",
            (true, false) => "each workspace `subnets.use` and the VPC `endpoint_subnets.use`",
        };
        let what = match (endpoints, listed(&workspaces, "and")) {
            (true, names) if names.is_empty() => "endpoints".to_owned(),
            (true, names) => format!("{names} and endpoints"),
            (false, names) => names,
        };
        let missing = [("zones", vpc.zones.len() < 2), ("use.cidr", vpc.range().is_none())];
        let missing: Vec<&str> = missing.iter().filter(|m| m.1).map(|m| m.0).collect();
        let message = format!("nothing says where in this VPC to make subnets for {what}");
        let help = format!("give the VPC {}, or give {ways}", listed(&missing, "and"));
        self.error_with(&["vpcs", name, "use"], message, help);
    }

    fn vpc_range(&mut self, place: &[&str], range: &Ipv4Net) {
        self.host_bits(place, range);
        if !(16..=28).contains(&range.prefix_len()) {
            let message = format!("AWS has VPCs of /16 to /28, not of /{}", range.prefix_len());
            let help = if range.prefix_len() < 16 {
                format!("choose a part of it, such as `{}/16`", range.network())
            } else {
                "a /16 leaves room for more workspaces".to_owned()
            };
            self.error_with(place, message, help);
        } else if range.prefix_len() > 25 {
            let message = format!("a /{} is too small for a workspace", range.prefix_len());
            let help = "the smallest workspace has two subnets of /26, which take a /25; a /16 \
                        leaves room for more workspaces";
            self.error_with(place, message, help);
        }
    }

    fn host_bits(&mut self, place: &[&str], cidr: &Ipv4Net) {
        if *cidr != cidr.trunc() {
            let help = format!("did you mean `{}`?", cidr.trunc());
            self.error_with(place, format!("`{cidr}` is an address in a range, not a range"), help);
        }
    }

    /// A zone that lies in the region; `key` tells whether it stands there as a key.
    fn zone(&mut self, place: &[&str], zone: &str, key: bool) {
        if self.zones_elsewhere {
            return;
        }
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
        let ways = [("cidrs", !subnets.cidrs.is_empty()), ("use", !subnets.existing.is_empty())];
        self.one_of(&["vpcs", name, field], &ways);
        for zone in subnets.existing.keys() {
            self.zone(&["vpcs", name, field, "use", zone], zone, true);
        }
        for (zone, cidr) in &subnets.cidrs {
            let place = ["vpcs", name, field, "cidrs", zone];
            if vpc.zones.is_empty() {
                self.zone(&place, zone, true);
            }
            self.inside(&place, cidr, vpc);
            if cidr.prefix_len() > 28 {
                let message = format!("AWS makes no subnet smaller than /28: `{cidr}`");
                self.error_with(
                    &place,
                    message,
                    "give at least a /28, which has 11 free addresses",
                );
            }
            if !vpc.zones.is_empty() {
                self.zone_of(&place, zone, vpc, true);
            }
        }
    }

    fn inside(&mut self, place: &[&str], cidr: &Ipv4Net, vpc: &Vpc) {
        self.host_bits(place, cidr);
        if let Some(range) = vpc.range()
            && !range.contains(cidr)
        {
            let message = format!("`{cidr}` lies outside its VPC, which is `{range}`");
            self.error_with(place, message, format!("choose a part of `{range}`"));
        }
    }

    fn private_link(&mut self, name: &str, vpc: &Vpc) {
        let link = &vpc.private_link;
        let place = ["vpcs", name, "private_link"];
        if !link.frontend && !link.clients.is_empty() {
            let here = ["vpcs", name, "private_link", "clients"];
            let message = "`clients` has no effect: the VPC has no endpoint for users";
            self.error_with(&here, message, "turn on `frontend`, or leave out `clients`");
        }
        for ids in [&link.existing, &link.use_registrations].into_iter().flatten() {
            let wanted = link.links();
            for l in
                [crate::model::Link::Rest, crate::model::Link::Relay, crate::model::Link::Frontend]
            {
                if ids.get(l).is_some() && !wanted.contains(&l) {
                    let message = format!("no endpoint `{}` is wanted, but its id given", l.name());
                    let help = "leave it out, or turn on what it serves: `backend` for `rest` and \
                                `relay`, `frontend_endpoint: own` for `frontend`";
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
        let from =
            self.known(&["peerings", name, "from"], ("VPC", "vpcs"), &peering.from, &spec.vpcs);
        if let Some(range) = from.and_then(Vpc::range) {
            let theirs = peering.to.cidr;
            if theirs.contains(&range) || range.contains(&theirs) {
                let message = format!("`{theirs}` overlaps `{range}` of VPC `{}`", peering.from);
                let help = "AWS cannot connect VPCs with overlapping ranges: one of them needs \
                            another range";
                self.error_with(&place, message, help);
            }
        } else if from.is_some() && !peering.to.route_tables.is_empty() {
            let message = format!("the range of VPC `{}` is not known", peering.from);
            let place = ["peerings", name, "to", "route_tables"];
            let help = format!("routes back lead to it: give VPC `{}` `use.cidr`", peering.from);
            self.error_with(&place, message, help);
        }
        let far = peering.to.account.is_some() || peering.to.region.is_some();
        if far {
            let here = ["peerings", name, "to"];
            self.warn(
                &here,
                "the other side is in another account or region, where nothing is changed",
                "there, accept the connection, add the routes back and open the security groups",
            );
        }
    }

    fn shared_credentials(&mut self) {
        let spec = self.spec;
        for (name, credentials) in &spec.credentials {
            self.name("credentials", name);
            let place = ["credentials", name];
            let (role, used) = (credentials.role.is_some(), credentials.existing.is_some());
            self.one_of(&place, &[("role", role), ("use", used)]);
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
                let help = "list VPCs in `allowed`, or write `level: account`";
                let message = "with `level: endpoint` and nothing in `allowed`, no endpoint may \
                               reach the workspace";
                self.error_with(&at("level"), message, help);
            }
            AccessLevel::Account if listed => {
                let at = at(if settings.allowed.is_empty() {
                    "allowed_registrations"
                } else {
                    "allowed"
                });
                let message = "with `level: account` the list has no effect: any endpoint of the \
                               Databricks account may reach the workspace";
                let help = "write `level: endpoint`, or leave the list out";
                self.error_with(&at, message, help);
            }
            _ => {}
        }
        let place = at("allowed");
        for (index, name) in settings.allowed.iter().enumerate() {
            let mut place = place.clone();
            let index = index.to_string();
            place.push(&index);
            if let Some(vpc) = self.known(&place, ("VPC", "vpcs"), name, &spec.vpcs)
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
            self.found.extend(bad_tag(&["workspaces", name, "tags", key], key, value));
        }
        let place = ["workspaces", name, "vpc"];
        let vpc = match &workspace.vpc {
            Some(vpc) => self.known(&place, ("VPC", "vpcs"), vpc, &spec.vpcs),
            None => None,
        };
        match (&workspace.vpc, vpc) {
            (None, _) => self.managed_network(name, workspace),
            (Some(_), Some(vpc)) if settled(vpc) => self.nodes(name, workspace, vpc),
            (Some(_), _) => {}
        }
        if workspace.vpc.is_none() || vpc.is_some() {
            self.privacy(name, workspace, vpc);
        }
        self.workspace_credentials(name, workspace, vpc);
        self.uses(name, workspace);
        let storage = &workspace.storage;
        let ways = [
            ("bucket", storage.bucket.is_some()),
            ("use", storage.existing.is_some()),
            ("use_configuration", storage.use_configuration.is_some()),
        ];
        self.one_of(&["workspaces", name, "storage"], &ways);
        for (profile, wanted) in &workspace.instance_profiles {
            let place = ["workspaces", name, "instance_profiles", profile];
            let letters = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
            if profile.is_empty() || profile.len() > 40 || !profile.bytes().all(letters) {
                let message = format!("`{profile}` cannot be a name here");
                self.key_error(&place, message, "use 1 to 40 characters of a-z, 0-9 and hyphen");
            }
            if wanted.existing.is_some() && !wanted.policies.is_empty() {
                let message = "a role that exists is used as it is: no policies are attached to it";
                self.error_with(&place, message, "leave out `policies`, or leave out `use`");
            }
        }
    }

    /// What its clusters use, and whether the ways there can be proven.
    fn uses(&mut self, name: &str, workspace: &Workspace) {
        let uses = &workspace.uses;
        let at = |field| ["workspaces", name, "uses", field];
        if workspace.vpc.is_none() && *uses != Uses::default() {
            let message = "nothing is proven in a network that Databricks makes";
            self.warn(&["workspaces", name, "uses"], message, "give the workspace a `vpc`");
        }
        if uses.legacy_metastore == Some(true) && uses.external_metastore.is_some() {
            let message =
                "an external metastore stands in for the built-in one: nodes use one of them";
            let help = "leave out `legacy_metastore`, or leave out `external_metastore`";
            self.error_with(&at("legacy_metastore"), message, help);
        }
        if let Some(ExternalMetastore::Database(database)) = &uses.external_metastore {
            let place = ["workspaces", name, "uses", "external_metastore", "database"];
            self.remote(&place, database, "`HOST:PORT` or `ADDRESS:PORT`");
        }
        // A set does not know in which order it was written: it is shown as a whole.
        for host in &uses.hosts {
            self.remote(&at("hosts"), host, "`HOST:PORT`, `ADDRESS:PORT` or `CIDR:PORT`");
        }
        for service in &uses.services {
            let (message, help) = match service {
                Service::S3 => (
                    "`s3` is always used, through a gateway endpoint or the internet",
                    "name the buckets of the jobs in `buckets`",
                ),
                Service::Sts | Service::Kinesis => (
                    "`sts` and `kinesis` are always used: the way there is always proven",
                    "leave them out",
                ),
                _ => continue,
            };
            self.warn(&at("services"), message, help);
        }
        for (bucket, region) in &uses.buckets {
            let place = ["workspaces", name, "uses", "buckets", bucket];
            if !state_bucket_fits(bucket) {
                let message = format!("`{bucket}` cannot be the name of a bucket");
                self.key_error(&place, message, "write the name alone, without `s3://` or a path");
            }
            if !looks_like_region(region) {
                let message = format!("`{region}` is not a region");
                let help = format!("write where the bucket is, such as `{}`", self.spec.region);
                self.error_with(&place, message, help);
            }
        }
    }

    fn remote(&mut self, place: &[&str], text: &str, form: &str) {
        if Remote::parse(text).is_none() {
            let help = format!("write {form}, with a port from 1 to 65535");
            self.error_with(place, format!("`{text}` is nothing that nodes can call"), help);
        }
    }

    /// What must be reached is something the matrix can have.
    fn requirements(&mut self) {
        for entry in &self.spec.requirements.reach {
            if Remote::parse(entry).is_some() || is_destination(self.spec, entry) {
                continue;
            }
            let message = format!("`{entry}` is neither a destination of the matrix nor a host");
            let help = match closest(entry, DESTINATIONS) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "write an id or name from the matrix of `dbxctl check` (`D13`, `sts`), or \
                         `HOST:PORT`, `ADDRESS:PORT` or `CIDR:PORT`"
                    .to_owned(),
            };
            self.error_with(&["requirements", "reach"], message, help);
        }
    }

    /// Who accepts a finding says why.
    fn accepted(&mut self) {
        for (rule, reason) in &self.spec.accept {
            if reason.trim().is_empty() {
                let message = format!("`{rule}` is accepted without a reason");
                let help = "say why it is fine: the reason is shown in every plan";
                self.error_with(&["accept", rule], message, help);
            }
        }
    }

    /// What makes no sense in a VPC that Databricks manages.
    fn managed_network(&mut self, name: &str, workspace: &Workspace) {
        let given = [
            ("subnets", workspace.subnets.is_some()),
            ("security_group", workspace.security_group.is_some()),
            // Private access settings need a network configuration: a rule of the account API.
            ("private_access", workspace.private_access.is_some()),
        ];
        for (field, _) in given.into_iter().filter(|(_, given)| *given) {
            let place = ["workspaces", name, field];
            let message = format!("`{field}` has no effect in a VPC that Databricks manages");
            let help = format!("give the workspace a `vpc`, or leave out `{field}`");
            self.key_error(&place, message, help);
        }
    }

    fn nodes(&mut self, name: &str, workspace: &Workspace, vpc: &Vpc) {
        let default = Subnets::default();
        let subnets = workspace.subnets.as_ref().unwrap_or(&default);
        let place = ["workspaces", name, "subnets"];
        let ways = [
            ("nodes_per_zone", subnets.nodes_per_zone.is_some()),
            ("prefix", subnets.prefix.is_some()),
            ("cidrs", !subnets.cidrs.is_empty()),
            ("use", !subnets.existing.is_empty()),
            ("share", subnets.share.is_some()),
        ];
        if !self.one_of(&place, &ways) {
            return;
        }
        if let Some(owner) = &subnets.share {
            self.share(name, workspace, owner);
            return;
        }
        if !subnets.existing.is_empty() {
            if subnets.existing.len() < 2 {
                let here = ["workspaces", name, "subnets", "use"];
                let message = "a workspace needs at least two subnets, in different zones";
                self.error_with(&here, message, "add a subnet in another zone");
            }
            return;
        }
        if let Some(prefix) = &subnets.prefix
            && !subnets.prefix_length().is_some_and(|p| (17..=26).contains(&p))
        {
            let here = ["workspaces", name, "subnets", "prefix"];
            let message = format!("a workspace subnet is a /17 to /26, not a `{prefix}`");
            self.error_with(&here, message, SIZES);
        }
        if subnets.prefix_length() == Some(26) {
            let here = ["workspaces", name, "subnets", "prefix"];
            let message = "sources disagree whether Databricks accepts a /26";
            self.warn(&here, message, "a /25 is safe; it has room for 61 nodes, a /26 for 29");
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
                let message = format!("a workspace subnet is a /17 to /26, not `{cidr}`");
                self.error_with(&here, message, SIZES);
            }
        }
        // Zones of the VPC are its own business.
        let own = [("cidrs", subnets.cidrs.len()), ("zones", subnets.zones.len())];
        if let Some((field, 1)) = own.into_iter().find(|(_, zones)| *zones > 0) {
            let message = "a workspace needs subnets in at least two zones";
            let help = "add another zone of the VPC";
            self.key_error(&["workspaces", name, "subnets", field], message, help);
        }
    }

    fn zone_of(&mut self, place: &[&str], zone: &str, vpc: &Vpc, key: bool) {
        if vpc.existing.is_some() && vpc.zones.is_empty() {
            self.zone(place, zone, key);
        } else if !vpc.zones.iter().any(|z| z == zone) {
            let zones: Vec<&str> = vpc.zones.iter().map(String::as_str).collect();
            let message = format!("`{zone}` is not among the zones of the VPC");
            let help = if zones.is_empty() {
                "list it in `zones` of the VPC".to_owned()
            } else {
                format!("choose {}, or add it to `zones` of the VPC", listed(&zones, "or"))
            };
            let mut mistake = Mistake::error(place, message).help(help);
            mistake.at_key = key;
            self.found.push(mistake);
        }
    }

    fn share(&mut self, name: &str, workspace: &Workspace, owner: &str) {
        let spec = self.spec;
        let place = ["workspaces", name, "subnets", "share"];
        let Some(theirs) = self.known(&place, ("workspace", "workspaces"), owner, &spec.workspaces)
        else {
            return;
        };
        if owner == name {
            let help = "name another workspace of the VPC, or leave out `share`";
            self.error_with(&place, "a workspace cannot share its subnets with itself", help);
        } else if theirs.subnets.as_ref().is_some_and(|s| s.share.is_some()) {
            let message = format!("workspace `{owner}` has no subnets of its own to share");
            self.error_with(&place, message, "name the workspace whose subnets it shares");
        } else if theirs.vpc != workspace.vpc {
            let message = format!("workspace `{owner}` is not in the same VPC");
            self.error_with(&place, message, "subnets can be shared within a VPC only");
        } else {
            let message = format!("nodes compete with those of `{owner}` for addresses");
            let help = "Databricks advises subnets of its own for each workspace";
            self.warn(&place, message, help);
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
                Some(_) => "write `private_link: { backend: true }` in the VPC",
                None => "a VPC that Databricks manages cannot have one: give the workspace a `vpc`",
            };
            self.error_with(&link, "the VPC has no private connection for nodes", help);
        } else if !workspace.public_access {
            let settled = workspace.private_access.as_ref().is_some_and(|a| a.existing.is_some());
            let problem = match (vpc, backend, frontend) {
                (None, ..) => Some((
                    "a workspace in a VPC that Databricks manages is always public",
                    "give the workspace a `vpc` that has `private_link: { backend: true, frontend: \
                     true }`",
                )),
                (Some(_), true, true) => None,
                (Some(_), true, false) => Some((
                    "nobody could log in: the VPC has no endpoint for users",
                    "write `private_link: { backend: true, frontend: true }` in its VPC, or \
                     `public_access: true` here",
                )),
                (Some(_), false, _) => Some((
                    "without public access, nodes need a private connection to the control plane",
                    "write `private_link: { backend: true, frontend: true }` in its VPC, or \
                     `public_access: true` here",
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
            let help = "leave out `tier`, or write `enterprise`";
            self.error_with(&place, "private connections need the tier `enterprise`", help);
        }
        if let Some(access) = &workspace.private_access {
            self.private_access(name, workspace, access);
        }
        // Without a way out nodes depend on endpoints alone.
        let Some(vpc) = vpc.filter(|vpc| settled(vpc) && !unplaced(workspace, vpc)) else { return };
        let no_nat = vpc.nat() == Nat::None
            && vpc.existing.as_ref().is_none_or(|e| e.nat_gateways.is_empty());
        let made = workspace.subnets.as_ref().is_none_or(|s| s.existing.is_empty());
        // Told already: private connections are wanted, and missing.
        let told = !workspace.public_access || workspace.private_link == Some(true);
        if no_nat && made && !backend && !told {
            let message = "nodes could not reach the control plane: no NAT, no private connection";
            let help = "write `nat: single` or `private_link: { backend: true }` in the VPC";
            self.key_error(&["workspaces", name], message, help);
        } else if no_nat && made && backend {
            let needed = [crate::Service::S3, crate::Service::Sts, crate::Service::Kinesis];
            let missing: Vec<&str> = needed
                .iter()
                .filter(|service| !vpc.endpoints.contains(service))
                .map(|service| service.name())
                .collect();
            if !missing.is_empty() {
                let missing = listed(&missing, "and");
                let message = format!("without NAT, nodes cannot reach {missing} of AWS");
                let help = format!("add {missing} to `endpoints` of the VPC, or give it NAT");
                self.key_error(&["workspaces", name], message, help);
            }
        }
    }

    fn private_access(&mut self, name: &str, workspace: &Workspace, access: &PrivateAccess) {
        let spec = self.spec;
        let place = ["workspaces", name, "private_access"];
        let ways = [("shared", access.shared.is_some()), ("use", access.existing.is_some())];
        self.one_of(&place, &ways);
        if let Some(shared) = &access.shared {
            let at = ["workspaces", name, "private_access", "shared"];
            let settings = self.known(
                &at,
                ("private access settings", "private_access_settings"),
                shared,
                &spec.private_access_settings,
            );
            if let Some(settings) = settings
                && settings.public_access != workspace.public_access
            {
                let message = format!(
                    "`{shared}` has `public_access: {}`, this workspace has `{}`",
                    settings.public_access, workspace.public_access
                );
                let help = "make the two the same, or give the workspace other settings";
                self.error_with(&at, message, help);
            }
            if access.level != AccessLevel::Account || !access.allowed.is_empty() {
                let message = "with `shared`, the shared settings say who is allowed";
                let help = format!(
                    "leave out `level` and `allowed`, or change `private_access_settings.{shared}`"
                );
                self.error_with(&place, message, help);
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
            && !access.allowed.is_empty()
        {
            let at = ["workspaces", name, "private_access", "allowed"];
            let message = format!("users in VPC `{vpc}` could not reach this workspace");
            self.warn(&at, message, format!("add `{vpc}` if they should"));
        }
    }

    fn workspace_credentials(&mut self, name: &str, workspace: &Workspace, vpc: Option<&Vpc>) {
        let spec = self.spec;
        let credentials = &workspace.credentials;
        let place = ["workspaces", name, "credentials"];
        let ways = [
            ("shared", credentials.shared.is_some()),
            ("role", credentials.role.is_some()),
            ("use", credentials.existing.is_some()),
        ];
        self.one_of(&place, &ways);
        if let Some(shared) = &credentials.shared {
            let at = ["workspaces", name, "credentials", "shared"];
            self.known(&at, ("credentials", "credentials"), shared, &spec.credentials);
        }
        let at = ["workspaces", name, "credentials", "policy"];
        let Some(policy) = credentials.policy else { return };
        if let Some((way, _)) = ways.iter().find(|(_, given)| *given) {
            let message = "only the policy of a role that is made for the workspace can be chosen";
            self.error_with(&at, message, format!("leave out `policy`, or leave out `{way}`"));
            return;
        }
        match policy {
            RolePolicy::Managed if workspace.vpc.is_some() => {
                let message = "the role may build networks, which a VPC of yours does not need";
                self.warn(&at, message, "`customer` is enough");
            }
            RolePolicy::Customer | RolePolicy::Restricted if workspace.vpc.is_none() => {
                let message = "without a `vpc`, the role must be able to build one";
                let help = "write `managed`, or give the workspace a `vpc`";
                self.error_with(&at, message, help);
            }
            RolePolicy::Restricted => {
                let known =
                    vpc.is_some_and(|v| v.existing.is_some()) && workspace.security_group.is_some();
                if !known {
                    let message = "a restricted role names the ids of a VPC and a security group, \
                                   which must be known before";
                    let help = "give a VPC with `use` and a `security_group` that exists, or write \
                                `policy: customer`";
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
            // The default repeats the name, about which all is told already.
            if !given && !name_fits(name) {
                continue;
            }
            let mut mistake = None;
            if !bucket_fits(&bucket) {
                let message = format!("`{bucket}` cannot be the name of a root bucket");
                let rule = "3 to 63 characters of a-z, 0-9 and hyphen, no hyphen at either end";
                let help = if given {
                    format!("use {rule}")
                } else {
                    format!("the default does not fit; choose one in `storage.bucket`: {rule}")
                };
                mistake = Some(Mistake::error(place, message).help(help));
            } else if let Some(other) = users.get(&bucket) {
                let message =
                    format!("`{bucket}` is the root bucket of workspace `{other}` already");
                let help = "choose another: a root bucket serves one workspace only";
                mistake = Some(Mistake::error(place, message).help(help));
            }
            users.entry(bucket).or_insert(name);
            if let Some(mut mistake) = mistake {
                mistake.at_key = !given;
                self.found.push(mistake);
            }
        }
    }
}

/// What the matrix of `dbxctl check` calls destinations that every workspace may have.
const DESTINATIONS: [&str; 19] = [
    "control plane",
    "control plane API",
    "catalog logs",
    "reserved ports",
    "relay",
    "root bucket",
    "artifacts",
    "logs",
    "system tables",
    "sample data",
    "sts",
    "global sts",
    "kinesis",
    "built-in metastore",
    "glue metastore",
    "dns",
    "other nodes",
    "lakebase",
    "instance metadata",
];

/// Whether the matrix may have it: by its number, by its name, a service or a bucket.
fn is_destination(spec: &Spec, entry: &str) -> bool {
    let number = entry.strip_prefix(['D', 'd']).and_then(|number| number.parse().ok());
    let mut uses = spec.workspaces.values().map(|workspace| &workspace.uses);
    number.is_some_and(|number: u8| (1..=24).contains(&number))
        || DESTINATIONS.iter().any(|name| name.eq_ignore_ascii_case(entry))
        || uses.any(|uses| {
            let bucket = entry.strip_prefix("bucket ").unwrap_or(entry);
            uses.services.iter().any(|service| service.name() == entry)
                || uses.buckets.contains_key(bucket)
        })
}

/// `eu-central-1`, `us-gov-west-1`.
fn looks_like_region(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let Some((number, words)) = parts.split_last() else { return false };
    let word = |word: &&str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase());
    words.len() >= 2 && words.iter().all(word) && number.parse::<u8>().is_ok()
}

/// General purpose buckets (S3 user guide, "bucket naming rules"), without the reserved beginnings.
fn state_bucket_fits(name: &str) -> bool {
    (3..=63).contains(&name.len())
        && name.split('.').all(|part| !part.is_empty() && plain(part))
        && name.parse::<std::net::Ipv4Addr>().is_err()
}

/// Names of "safe characters" (S3 user guide, "object key names"), with room for the rest of a key.
fn prefix_fits(prefix: &str) -> bool {
    let safe = |c: char| c.is_ascii_alphanumeric() || "!-_.*'()".contains(c);
    let name = |part: &str| !matches!(part, "" | "." | "..") && part.chars().all(safe);
    prefix.len() <= 512 && prefix.strip_suffix('/').unwrap_or(prefix).split('/').all(name)
}

fn is_kms_arn(text: &str) -> bool {
    let parts: Vec<&str> = text.split(':').collect();
    let [arn, partition, kms, region, account, key] = parts[..] else { return false };
    let digits = account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit());
    let id = key.strip_prefix("key/").or_else(|| key.strip_prefix("alias/"));
    arn == "arn"
        && partition.starts_with("aws")
        && kms == "kms"
        && !region.is_empty()
        && digits
        && id.is_some_and(|id| !id.is_empty())
}

/// The names of one part of the spec.
fn names<'s>(spec: &'s Spec, part: &str) -> BTreeSet<&'s str> {
    fn keys<T>(map: &BTreeMap<String, T>) -> BTreeSet<&str> {
        map.keys().map(String::as_str).collect()
    }
    match part {
        "vpcs" => keys(&spec.vpcs),
        "credentials" => keys(&spec.credentials),
        "private_access_settings" => keys(&spec.private_access_settings),
        _ => keys(&spec.workspaces),
    }
}

/// Whether following the moves from a name comes to an end.
fn leads_somewhere(moved: &BTreeMap<String, String>, from: &str) -> bool {
    let mut name = from;
    for _ in 0..moved.len() {
        match moved.get(name) {
            Some(to) => name = to,
            None => return true,
        }
    }
    !moved.contains_key(name)
}

fn name_fits(name: &str) -> bool {
    (1..=40).contains(&name.len()) && plain(name)
}

fn bucket_fits(name: &str) -> bool {
    (3..=63).contains(&name.len()) && plain(name)
}

/// Letters, digits and hyphens within.
fn plain(name: &str) -> bool {
    name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !name.starts_with('-')
        && !name.ends_with('-')
}

/// Room for nodes, by the size of a subnet.
const SIZES: &str = "a /26 has room for 29 nodes, a /22 for 509, a /17 for 16381";

/// Whether it is clear that the VPC is made, or that it is used.
fn settled(vpc: &Vpc) -> bool {
    vpc.cidr.is_some() != vpc.existing.is_some()
}

/// Whether a used VPC does not tell where the subnets of the workspace would be made.
fn unplaced(workspace: &Workspace, vpc: &Vpc) -> bool {
    let default = Subnets::default();
    let subnets = workspace.subnets.as_ref().unwrap_or(&default);
    let made = subnets.existing.is_empty() && subnets.share.is_none() && subnets.cidrs.is_empty();
    let zones = subnets.zones.is_empty() && vpc.zones.len() < 2;
    vpc.existing.is_some() && made && (zones || vpc.range().is_none())
}

fn bad_tag(place: &[&str], key: &str, value: &str) -> Option<Mistake> {
    let (message, help) =
        if key.is_empty() || key.chars().count() > 127 || value.chars().count() > 255 {
            let message = "a tag has a key of 1 to 127 and a value of at most 255 characters";
            (message.to_owned(), "choose a shorter one")
        } else if key.starts_with("aws:") || key.starts_with("dbxctl:") || key == "Name" {
            let help = "leave it out: AWS or dbxctl sets `Name`, `aws:…` and `dbxctl:…`";
            (format!("the tag `{key}` is not yours to set"), help)
        } else {
            return None;
        };
    Some(Mistake::error(place, message).key().help(help))
}

/// `a`, `a` and `b`, `a`, `b` and `c`.
fn listed(names: &[&str], last: &str) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        Some((only, [])) => only.clone(),
        Some((end, rest)) => format!("{} {last} {end}", rest.join(", ")),
        None => String::new(),
    }
}
