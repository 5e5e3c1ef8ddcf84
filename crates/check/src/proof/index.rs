//! What all proofs over one topology share, found once.

use std::collections::{BTreeMap, HashMap, HashSet};

use ipnet::Ipv4Net;

use super::acls::Entries;
use super::groups::Groups;
use super::names::{Hosts, Names, Services};
use super::needs::Wanted;
use super::users::Doors;
use super::{Ask, Proof, classes, users};
use crate::topology::{Key, Nodes, Reach, Subnet, Table, Target, Topology};

/// Proves for every workspace of one topology what its nodes and users reach.
pub struct Prover<'a> {
    pub(super) topology: &'a Topology,
    pub(super) hosts: Hosts,
    pub(super) services: Services<'a>,
    pub(super) names: HashMap<&'a str, Names<'a>>,
    pub(super) groups: Groups<'a>,
    pub(super) doors: Doors<'a>,
    acls: HashMap<&'a str, (&'a Key, Entries<'a>)>,
    /// Which ACL a subnet has.
    guards: HashMap<&'a str, &'a Key>,
    unread_acls: bool,
    /// Gateway endpoints by table.
    gateways: HashMap<&'a str, Vec<&'a Key>>,
    /// Endpoints with a registration, and whether some registration was not read.
    pub(super) registered: HashSet<&'a str>,
    pub(super) unread_registrations: bool,
}

/// A workspace and where it lives.
#[derive(Clone, Copy)]
pub(super) struct Site<'a, 'w> {
    pub(super) prover: &'w Prover<'a>,
    pub(super) workspace: &'w str,
    pub(super) nodes: &'a Nodes,
    pub(super) names: &'w Names<'a>,
    pub(super) ask: &'w Ask<'w>,
}

/// The routes of a subnet.
pub(super) struct Routes<'a> {
    /// The table; `None` for the main one of a fresh VPC.
    pub(super) table: Option<&'a Key>,
    pub(super) routes: Option<&'a BTreeMap<Ipv4Net, Target>>,
    pub(super) partial: bool,
}

/// What guards a subnet.
pub(super) enum Guard<'a, 'w> {
    /// The default ACL.
    Nothing,
    Acl(&'a Key, &'w Entries<'a>),
    Unread,
}

impl<'a> Prover<'a> {
    pub fn new(topology: &'a Topology) -> Self {
        let hosts = Hosts::of(&topology.region);
        let services = Services::of(topology);
        let names = Names::of(topology, &hosts, &services);
        let groups = Groups::of(&topology.groups);
        let doors = Doors::of(topology, &services);
        let mut acls = HashMap::new();
        let mut guards = HashMap::new();
        for (key, acl) in &topology.acls {
            let Some(acl) = acl else { continue };
            acls.insert(key.as_str(), (key, Entries::of(acl)));
            guards.extend(acl.subnets.iter().map(|subnet| (subnet.as_str(), key)));
        }
        let mut gateways: HashMap<&str, Vec<&Key>> = HashMap::new();
        for (key, endpoint) in &topology.endpoints {
            let reach = endpoint.as_ref().map(|e| &e.reach);
            let Some(Reach::Gateway { route_tables }) = reach else { continue };
            for table in route_tables {
                gateways.entry(table).or_default().push(key);
            }
        }
        let registrations = || topology.registrations.values();
        Prover {
            hosts,
            services,
            names,
            groups,
            doors,
            acls,
            guards,
            unread_acls: topology.acls.values().any(Option::is_none),
            gateways,
            registered: registrations().filter_map(|c| c.endpoint.as_deref()).collect(),
            unread_registrations: registrations().any(|c| c.endpoint.is_none()),
            topology,
        }
    }

    /// What nodes of one workspace reach, and its users. Nothing for a workspace without a network
    /// here.
    pub fn prove(&self, workspace: &str, ask: &Ask<'_>) -> Vec<Proof> {
        let Some(nodes) = self.topology.workspaces.get(workspace) else { return Vec::new() };
        let unread = Names::default();
        let names = self.names.get(nodes.vpc.as_str()).unwrap_or(&unread);
        let site = Site { prover: self, workspace, nodes, names, ask };
        let wanted = Wanted::of(&site);
        let mut proofs = Vec::new();
        for subnet in &nodes.subnets {
            classes::prove(&site, &wanted, subnet, &mut proofs);
        }
        users::prove(&site, &mut proofs);
        proofs
    }

    pub(super) fn subnet(&self, key: &str) -> Option<&'a Subnet> {
        self.topology.subnets.get(key)?.as_ref()
    }

    pub(super) fn range(&self, subnet: &str) -> Option<Ipv4Net> {
        self.subnet(subnet).map(|s| s.cidr.trunc())
    }

    /// The routes of a subnet, or why they are not known.
    pub(super) fn routes(&self, subnet: &str) -> Result<Routes<'a>, String> {
        let Some(found) = self.subnet(subnet) else {
            return Err(format!("`{subnet}` was not read"));
        };
        match self.topology.table(found) {
            Table::FreshMain => Ok(Routes { table: None, routes: None, partial: false }),
            Table::Known(key, table) => {
                Ok(Routes { table: Some(key), routes: Some(&table.routes), partial: table.partial })
            }
            Table::Unread(key) => Err(format!("`{key}` was not read")),
            Table::Unknown => Err(format!("which route table `{subnet}` has is not known")),
        }
    }

    /// Gateway endpoints of one service on the table of a subnet.
    pub(super) fn gateway(&self, table: &str, service: &str) -> Option<&'a Key> {
        let of = |key: &Key| {
            let endpoint = self.topology.endpoints.get(key).and_then(Option::as_ref);
            endpoint.is_some_and(|e| e.service == service)
        };
        self.gateways.get(table)?.iter().copied().find(|key| of(key))
    }

    pub(super) fn guard(&self, subnet: &str) -> Guard<'a, '_> {
        match self.guards.get(subnet).and_then(|key| self.acls.get(key.as_str())) {
            Some((key, entries)) => Guard::Acl(key, entries),
            None if self.unread_acls => Guard::Unread,
            None => Guard::Nothing,
        }
    }

    /// The subnets that some ACL guards, with what it lets through.
    pub(super) fn guarded(&self) -> impl Iterator<Item = &'a str> {
        self.guards.keys().copied()
    }
}
