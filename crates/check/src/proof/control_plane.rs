//! The control plane and its relay: over the internet, or through endpoints that stand for them.

use super::groups::Call;
use super::missing::{address, only_internet, unanswered};
use super::names::{self, By, Resolved, Service};
use super::needs::Wanted;
use super::walk::{Leads, Missing, Passed, Walk};
use super::{Block, Step, Via};
use crate::topology::{Access, Connection, Key};

const HTTPS: Call = Call::tcp(443);

/// Where the host of a workspace leads.
///
/// With private access settings it is an alias of the PrivateLink name of the region.
fn host<'a>(w: &mut Walk<'a, '_>, host: &str) -> Passed<Leads<'a>> {
    let hosts = &w.site.prover.hosts;
    let public = w.site.names.resolve(hosts, host) == Resolved::Public;
    if !public || matches!(w.site.nodes.access, Access::Public) {
        return w.name(host);
    }
    w.pass(Step::Name, "", format!("{host} is an alias of {}", hosts.rest));
    w.name(&hosts.rest)
}

pub(super) fn web(w: &mut Walk<'_, '_>, wanted: &Wanted) -> Passed<Via> {
    let leads = host(w, &wanted.host)?;
    arrive(w, leads, HTTPS)
}

pub(super) fn control_plane(
    w: &mut Walk<'_, '_>,
    wanted: &Wanted,
    ports: (u16, u16),
) -> Passed<Via> {
    let call = Call { ports, ..HTTPS };
    let first = host(w, &wanted.host)?;
    if let Leads::Endpoint { key, by } = first {
        authorised(w, key, by, &wanted.host)?;
    }
    let via = arrive(w, first, call)?;
    let hosts = &w.site.prover.hosts;
    let other = if w.site.nodes.rest.is_some() { &hosts.rest } else { &hosts.web };
    let second = w.name(other)?;
    let same = match (first, second) {
        (Leads::Endpoint { key: a, .. }, Leads::Endpoint { key: b, .. }) => a == b,
        (a, b) => a == b,
    };
    if let Leads::Endpoint { key, by } = second
        && !same
    {
        authorised(w, key, by, other)?;
    }
    let also = if same { via } else { arrive(w, second, call)? };
    if also == Via::Endpoint || via == Via::Endpoint {
        // Field reports disagree (X10), and nobody can tell offline.
        let what = "whether the REST service listens on 8443-8451 cannot be proven offline";
        w.pass(Step::Service, "", what.to_owned());
    }
    Ok(if also == Via::Nat { also } else { via })
}

/// Whether an endpoint that the host of a workspace leads to may speak for it.
fn authorised(w: &mut Walk<'_, '_>, key: &Key, by: By<'_>, host: &str) -> Passed {
    let site = w.site;
    let topology = site.prover.topology;
    let connected = site.nodes.rest.as_ref().map(|c| c.endpoint.as_ref());
    if connected == Some(Some(key)) {
        return Ok(());
    }
    let (allowed, unclear) = match &site.nodes.access {
        Access::Public => (false, false),
        Access::Unknown(_) => (false, true),
        Access::Settings { allowed: None, .. } => {
            (site.prover.registered.contains(key.as_str()), site.prover.unread_registrations)
        }
        Access::Settings { allowed: Some(allowed), .. } => {
            let mut ends = allowed.iter().map(|r| topology.registrations.get(r));
            let of = |c: Option<&Connection>| c.is_some_and(|c| c.endpoint.as_ref() == Some(key));
            let unread = |c: Option<&Connection>| c.is_none_or(|c| c.endpoint.is_none());
            (ends.clone().any(of), ends.any(unread))
        }
    };
    if allowed {
        return Ok(());
    }
    if unclear || connected == Some(None) {
        let why = format!("whether `{key}` may speak for this workspace was not read");
        w.note(Step::Service, key, why);
        return Ok(());
    }
    let (at, how) = match by {
        By::Zone(zone) => (zone.clone(), format!("the zone `{zone}`")),
        By::PrivateDns => (key.clone(), "private DNS".to_owned()),
    };
    let message = format!(
        "{how} leads `{host}` to `{key}`, which is neither the REST endpoint of the \
         nodes nor allowed for the workspace"
    );
    let fix = format!("take the record away, or register `{key}` and allow it for the workspace");
    Err(w.block(Step::Service, "DBX-DNS-002", at, message, fix))
}

/// To the control plane, once the name has led somewhere.
fn arrive<'a>(w: &mut Walk<'a, '_>, leads: Leads<'a>, call: Call) -> Passed<Via> {
    let hosts = &w.site.prover.hosts;
    let missing = match &w.site.nodes.rest {
        Some(rest) => unconnected(w, rest, &hosts.rest, "DBX-EPT-006"),
        None => only_internet(w, "DBX-RTE-001", &hosts.web),
    };
    match leads {
        Leads::Endpoint { key, .. } => {
            serves(w, key, Service::Rest)?;
            w.endpoint(key, &[call], &missing)
        }
        Leads::Address(range) => address(w, range, call, &missing),
        Leads::Public => {
            if let Some(rest) = &w.site.nodes.rest {
                if unread(w, rest) {
                    return Ok(Via::Local);
                }
                open_to_the_internet(w, &missing)?;
            }
            w.public(call, false, &missing)
        }
        Leads::Unseen => Ok(Via::Local),
    }
}

/// What lacks for a name that the endpoint of a connection should answer.
fn unconnected(
    w: &Walk<'_, '_>,
    connection: &Connection,
    name: &str,
    rule: &'static str,
) -> Missing {
    let missing = unanswered(w, name, "", rule, rule);
    if !missing.at.is_empty() {
        return missing;
    }
    let at = connection.endpoint.as_ref().unwrap_or(&connection.registration).clone();
    let fix = format!(
        "let an endpoint in `{}` answer `{name}` by private DNS, or add it to a private zone",
        w.site.nodes.vpc
    );
    Missing { at, fix, ..missing }
}

/// Whether the endpoint of a connection is not known, so that it may answer or not.
fn unread(w: &mut Walk<'_, '_>, connection: &Connection) -> bool {
    let known = |key: &Key| matches!(w.site.prover.topology.endpoints.get(key), Some(Some(_)));
    let unread = !connection.endpoint.as_ref().is_some_and(known);
    if unread {
        let what = &connection.registration;
        w.note(Step::Name, what, format!("the endpoint of `{what}` was not read"));
    }
    unread
}

/// Nodes that are given a public address may use it only while public access is on.
fn open_to_the_internet(w: &mut Walk<'_, '_>, missing: &Missing) -> Passed {
    match &w.site.nodes.access {
        Access::Public | Access::Settings { public: true, .. } => Ok(()),
        Access::Unknown(key) => {
            w.note(Step::Service, key, format!("`{key}` was not read"));
            Ok(())
        }
        Access::Settings { key, public: false, .. } => {
            let message = format!("{}, and `{key}` allows no public access", missing.because);
            let at = if missing.at.is_empty() { &w.site.nodes.vpc } else { &missing.at };
            Err(w.block(Step::Name, missing.rule, at.clone(), message, missing.fix.clone()))
        }
    }
}

/// Whether an endpoint leads to the service that its name promises.
fn serves(w: &mut Walk<'_, '_>, key: &Key, promised: Service) -> Passed {
    let prover = w.site.prover;
    let Some(Some(endpoint)) = prover.topology.endpoints.get(key) else { return Ok(()) };
    let behind = prover.services.behind(key, endpoint);
    let (other, connection, word) = match promised {
        Service::Rest => (Service::Relay, &w.site.nodes.rest, "REST"),
        _ => (Service::Rest, &w.site.nodes.relay, "relay"),
    };
    if behind != other {
        let own = names::answers(&prover.hosts, &prover.services, key, endpoint);
        let Some(own) = own.filter(|_| behind == Service::Other) else { return Ok(()) };
        let message =
            format!("a name of the {word} service leads to `{key}`, which answers as `{own}`");
        let fix = format!("let that name lead to the {word} endpoint");
        return Err(w.block(Step::Service, "DBX-DNS-002", key.clone(), message, fix));
    }
    let registered = connection.as_ref().and_then(|c| c.endpoint.as_ref()) == Some(key);
    let (rule, message) = if registered {
        let message =
            format!("`{key}` is registered as the {word} endpoint and leads to the other service");
        ("DBX-EPT-010", message)
    } else {
        (
            "DBX-DNS-003",
            format!("a name of the {word} service leads to `{key}`, which serves the other one"),
        )
    };
    let fix =
        "let the REST name lead to the REST endpoint and the relay name to the relay endpoint";
    Err(w.block(Step::Service, rule, key.clone(), message, fix.to_owned()))
}

pub(super) fn public_relay(w: &mut Walk<'_, '_>, wanted: &Wanted) -> Passed<Via> {
    let tunnel = &w.site.prover.hosts.tunnel;
    let missing = only_internet(w, "DBX-RTE-001", tunnel);
    let call = wanted.relay_calls.first().copied().unwrap_or(HTTPS);
    match w.name(tunnel)? {
        Leads::Endpoint { key, .. } => {
            serves(w, key, Service::Relay)?;
            w.endpoint(key, &[call], &missing)
        }
        Leads::Address(range) => address(w, range, call, &missing),
        Leads::Public => w.public(call, false, &missing),
        Leads::Unseen => Ok(Via::Local),
    }
}

/// A network configuration with endpoints makes nodes ask for the PrivateLink name of the relay, for
/// which the internet is no substitute (inferred from the article's first incident).
pub(super) fn private_relay(
    w: &mut Walk<'_, '_>,
    wanted: &Wanted,
    relay: &Connection,
) -> Passed<Via> {
    let name = &w.site.prover.hosts.relay;
    let missing = unconnected(w, relay, name, "DBX-EPT-001");
    match w.name(name)? {
        Leads::Endpoint { key, .. } => {
            match &relay.endpoint {
                None => {
                    let what = &relay.registration;
                    w.note(Step::Service, what, format!("`{what}` was not read"));
                }
                Some(registered) if registered != key => {
                    return Err(not_the_relay(w, registered, key, name));
                }
                Some(_) => serves(w, key, Service::Relay)?,
            }
            w.endpoint(key, &wanted.relay_calls, &missing)
        }
        Leads::Address(range) => {
            let mut via = Via::Local;
            for call in &wanted.relay_calls {
                via = address(w, range, *call, &missing)?;
            }
            Ok(via)
        }
        Leads::Public if unread(w, relay) => Ok(Via::Local),
        Leads::Public => {
            let message = format!("{}, and no other way leads to the relay", missing.because);
            Err(w.block(Step::Name, missing.rule, missing.at, message, missing.fix))
        }
        Leads::Unseen => Ok(Via::Local),
    }
}

fn not_the_relay(w: &mut Walk<'_, '_>, registered: &Key, key: &Key, name: &str) -> Box<Block> {
    let prover = w.site.prover;
    let found = prover.topology.endpoints.get(registered).and_then(Option::as_ref);
    let swapped = found.is_some_and(|e| prover.services.behind(registered, e) == Service::Rest);
    let (rule, at, message) = if swapped {
        let message = format!(
            "`{registered}` is registered as the relay endpoint and leads to the REST service; \
             `{name}` leads to `{key}`"
        );
        ("DBX-EPT-010", registered, message)
    } else {
        let message = format!(
            "`{name}` leads to `{key}`, and the registered relay endpoint is `{registered}`"
        );
        ("DBX-DNS-003", key, message)
    };
    let fix =
        format!("register `{key}` as the relay endpoint, or let `{name}` lead to `{registered}`");
    w.block(Step::Name, rule, at.clone(), message, fix)
}
