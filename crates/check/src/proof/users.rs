//! How users come in: to the workspace (U1), and to single sign-on (U2).

use std::collections::{BTreeSet, HashMap};

use spec::UserNames;

use super::groups::{Call, Said};
use super::index::Site;
use super::names::{By, Names, Resolved, Service, Services};
use super::walk::{place, shown};
use super::{Block, Hop, Proof, Step, Verdict, Via, blocks};
use crate::topology::{Access, Connection, Endpoint, Key, Reach, Topology};

const HTTPS: Call = Call::tcp(443);

/// Registered endpoints through which users could come in.
pub(super) struct Doors<'a> {
    all: Vec<Door<'a>>,
    by_vpc: HashMap<&'a str, Vec<Door<'a>>>,
    /// Whether some registration or endpoint was not read.
    unread: bool,
}

/// One of them.
#[derive(Clone, Copy)]
struct Door<'a> {
    registration: &'a Key,
    key: &'a Key,
    endpoint: &'a Endpoint,
}

impl<'a> Doors<'a> {
    pub(super) fn of(topology: &'a Topology, services: &Services<'a>) -> Self {
        let mut doors = Doors { all: Vec::new(), by_vpc: HashMap::new(), unread: false };
        for connection in topology.registrations.values() {
            match door(topology, services, connection) {
                Ok(door) => doors.all.extend(door),
                Err(()) => doors.unread = true,
            }
        }
        for door in &doors.all {
            doors.by_vpc.entry(&door.endpoint.vpc).or_default().push(*door);
        }
        doors
    }
}

/// The endpoint behind a registration if it serves users; an error if it was not read.
fn door<'a>(
    topology: &'a Topology,
    services: &Services<'a>,
    connection: &'a Connection,
) -> Result<Option<Door<'a>>, ()> {
    let Some(key) = &connection.endpoint else { return Err(()) };
    let Some(Some(endpoint)) = topology.endpoints.get(key) else { return Err(()) };
    let rest = services.behind(key, endpoint) == Service::Rest;
    Ok(rest.then_some(Door { registration: &connection.registration, key, endpoint }))
}

/// How far users get at one door; what is better comes later.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Entry {
    Closed { group: Key, endpoint: Key },
    Nameless { endpoint: Key, vpc: Key },
    Unclear(String),
    Open(Vec<(Step, Key, String)>),
}

/// Both proofs of one workspace.
pub(super) fn prove(site: &Site<'_, '_>, proofs: &mut Vec<Proof>) {
    let proof = |class, to: &str, verdict| Proof {
        workspace: site.workspace.to_owned(),
        from: Key::new(),
        class,
        to: to.to_owned(),
        verdict,
    };
    proofs.push(proof("U1", "users", workspace(site)));
    proofs.push(proof("U2", "single sign-on", single_sign_on(site)));
}

fn workspace(site: &Site<'_, '_>) -> Verdict {
    let host = site.prover.hosts.workspace(site.workspace);
    let (settings, allowed) = match &site.nodes.access {
        Access::Public => return public("", &host, "no private access settings restrict users"),
        Access::Settings { key, public: true, .. } => {
            return public(key, &host, "public access is on");
        }
        Access::Unknown(key) => return unread(key),
        Access::Settings { key, public: false, allowed } => (key, allowed.as_ref()),
    };
    let (doors, unread) = candidates(site, allowed);
    let mut best: Option<Entry> = unread
        .then(|| Entry::Unclear(format!("a registration that `{settings}` allows was not read")));
    for door in doors {
        let entry = enter(site, &door, &host);
        let done = matches!(entry, Entry::Open(_));
        if best.as_ref().is_none_or(|best| *best < entry) {
            best = Some(entry);
        }
        if done {
            break;
        }
    }
    match best {
        Some(Entry::Open(path)) => {
            let hop = |(step, at, what)| Hop { step, at, what };
            Verdict::Proven { via: Via::Endpoint, path: path.into_iter().map(hop).collect() }
        }
        Some(Entry::Unclear(why)) => {
            let hop = Hop { step: Step::Service, at: settings.clone(), what: why.clone() };
            Verdict::Unknown { path: vec![hop], why }
        }
        Some(Entry::Nameless { endpoint, vpc }) => {
            let message = format!(
                "`{endpoint}` is the way in for users, and nothing leads `{host}` there for \
                 them, so they get a public address"
            );
            let fix = format!(
                "say in `private_link.user_names` of `{}` how users' machines learn private \
                 addresses",
                place(&vpc)
            );
            blocked("DBX-DNS-004", Step::Name, endpoint, message, fix)
        }
        Some(Entry::Closed { group, endpoint }) => {
            let message = format!("`{group}` of `{endpoint}` admits no range of users on {HTTPS}");
            let fix = format!("allow {HTTPS} into `{group}` from the ranges of users");
            blocked("DBX-PLK-004", Step::Ingress, group, message, fix)
        }
        None if allowed.is_some() => {
            let message = format!(
                "`{settings}` allows no public access, and no endpoint it allows leads users to the \
                 workspace"
            );
            let fix = format!(
                "allow the registration of the endpoint for users in `{settings}` \
                 (`private_access.allowed`)"
            );
            blocked("DBX-PLK-005", Step::Service, settings.clone(), message, fix)
        }
        None => {
            let message = format!(
                "`{settings}` allows no public access, and no registered endpoint leads users to the \
                 workspace"
            );
            let fix = format!(
                "set `frontend: true` in `private_link` of `{}`, or `public_access: true`",
                place(&site.nodes.vpc)
            );
            blocked("DBX-PLK-004", Step::Service, settings.clone(), message, fix)
        }
    }
}

/// The doors that settings allow, those of the workspace's own VPC first, and whether one was not
/// read.
fn candidates<'a, 'w>(
    site: &Site<'a, 'w>,
    allowed: Option<&'a BTreeSet<Key>>,
) -> (Box<dyn Iterator<Item = Door<'a>> + 'w>, bool)
where
    'a: 'w,
{
    let prover = site.prover;
    let topology = prover.topology;
    let vpc = site.nodes.vpc.as_str();
    let rest = site.nodes.rest.as_ref();
    let Some(allowed) = allowed else {
        let listed = |c: &&Connection| topology.registrations.contains_key(&c.registration);
        let own = rest.filter(|c| !listed(c)).map(|c| door(topology, &prover.services, c));
        let unread = prover.doors.unread || matches!(own, Some(Err(())));
        let own = own.and_then(Result::ok).flatten();
        let near = prover.doors.by_vpc.get(vpc).into_iter().flatten();
        let far = prover.doors.all.iter().filter(move |door| door.endpoint.vpc != vpc);
        return (Box::new(own.into_iter().chain(near.chain(far).copied())), unread);
    };
    let mut doors = Vec::new();
    let mut unread = false;
    for registration in allowed {
        let own = || rest.filter(|c| c.registration == *registration);
        let found = topology.registrations.get(registration).or_else(own);
        match found.map_or(Err(()), |c| door(topology, &prover.services, c)) {
            Ok(door) => doors.extend(door),
            Err(()) => unread = true,
        }
    }
    doors.sort_by_key(|door| door.endpoint.vpc != vpc);
    (Box::new(doors.into_iter()), unread)
}

fn enter(site: &Site<'_, '_>, door: &Door<'_>, host: &str) -> Entry {
    let Reach::Interface { groups, .. } = &door.endpoint.reach else {
        return Entry::Unclear(format!("`{}` is no interface endpoint", door.key));
    };
    let admitted = match site.prover.groups.admit_somebody(groups, HTTPS) {
        Said::Yes(group, peer) => {
            let what = format!("{HTTPS} into {} from {} ({group})", door.key, shown(&peer));
            (Step::Ingress, group, what)
        }
        Said::Unclear(why) => return Entry::Unclear(format!("`{}`: {why}", door.key)),
        Said::No => {
            let group = groups.first().cloned().unwrap_or_default();
            return Entry::Closed { group, endpoint: door.key.clone() };
        }
    };
    let named = match names(site, door, host) {
        Ok(Some(what)) => (Step::Name, door.key.clone(), what),
        Ok(None) => {
            let (endpoint, vpc) = (door.key.clone(), door.endpoint.vpc.clone());
            return Entry::Nameless { endpoint, vpc };
        }
        Err(why) => return Entry::Unclear(why),
    };
    let allowed = format!("{} may open the workspace", door.registration);
    Entry::Open(vec![named, admitted, (Step::Service, door.registration.clone(), allowed)])
}

/// How users' machines find a door, if they do: the names of its VPC, or what the spec says.
fn names(site: &Site<'_, '_>, door: &Door<'_>, host: &str) -> Result<Option<String>, String> {
    if site.ask.user_names == Some(UserNames::Zone) {
        return Ok(Some(format!("{host} → {} (a zone of the users, as the spec says)", door.key)));
    }
    let hosts = &site.prover.hosts;
    let unread = Names::default();
    let names = site.prover.names.get(door.endpoint.vpc.as_str()).unwrap_or(&unread);
    let found = match names.resolve(hosts, host) {
        Resolved::Public => names.resolve(hosts, &hosts.rest),
        other => other,
    };
    match found {
        Resolved::Endpoint { key, by } if key == door.key => {
            let how = match by {
                By::PrivateDns => "private DNS".to_owned(),
                By::Zone(zone) => format!("zone `{zone}`"),
            };
            Ok(Some(format!("{host} → {key} ({how} of {})", door.endpoint.vpc)))
        }
        Resolved::Unclear(why) => Err(why),
        _ => Ok(None),
    }
}

/// Single sign-on redirects to a name of its own.
fn single_sign_on(site: &Site<'_, '_>) -> Verdict {
    let host = &site.prover.hosts.single_sign_on;
    let allowed = match &site.nodes.access {
        Access::Public => return public("", host, "no private access settings restrict users"),
        Access::Settings { key, public: true, .. } => {
            return public(key, host, "public access is on");
        }
        Access::Unknown(key) => return unread(key),
        Access::Settings { allowed, .. } => allowed.as_ref(),
    };
    // Only a zone can answer it.
    let zones = !site.prover.topology.zones.is_empty();
    for door in candidates(site, allowed).0.take_while(|_| zones) {
        let Some(names) = site.prover.names.get(door.endpoint.vpc.as_str()) else { continue };
        if let Resolved::Endpoint { key, by: By::Zone(zone) } =
            names.resolve(&site.prover.hosts, host)
            && key == door.key
        {
            let what = format!("{host} → {key} (zone `{zone}`)");
            let path = vec![Hop { step: Step::Name, at: zone.clone(), what }];
            return Verdict::Proven { via: Via::Endpoint, path };
        }
    }
    let why = format!("whether users' machines find `{host}` privately cannot be seen from here");
    let path = vec![Hop { step: Step::Name, at: Key::new(), what: why.clone() }];
    Verdict::Unknown { path, why }
}

fn public(at: &str, host: &str, because: &str) -> Verdict {
    let hop = |step, at: &str, what| Hop { step, at: at.to_owned(), what };
    let path = vec![
        hop(Step::Name, "", format!("{host} → a public address")),
        hop(Step::Service, at, because.to_owned()),
    ];
    Verdict::Proven { via: Via::Public, path }
}

fn unread(settings: &Key) -> Verdict {
    let why = format!("`{settings}` was not read");
    let hop = Hop { step: Step::Service, at: settings.clone(), what: why.clone() };
    Verdict::Unknown { path: vec![hop], why }
}

fn blocked(rule: &'static str, step: Step, at: Key, message: String, fix: String) -> Verdict {
    let path = vec![Hop { step, at: at.clone(), what: message.clone() }];
    let severity = blocks::severity(rule, "U1");
    let symptom = blocks::symptom(rule, "U1").map(str::to_owned);
    Verdict::Blocked { path, block: Block { rule, severity, at, message, fix, symptom } }
}
