//! Limits of AWS and Databricks, and how much of them a stack uses.

use std::collections::BTreeMap;

use engine::Graph;
use facts::limits as known;
use schemars::JsonSchema;
use serde::Serialize;
use spec::Spec;

use crate::topology::{Key, Reach, Topology};

/// One limit and what a stack takes of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Limit {
    pub id: &'static str,
    /// What is counted.
    pub what: &'static str,
    /// The most there may be.
    pub limit: u32,
    /// In what it is counted.
    pub per: &'static str,
    pub source: &'static str,
    /// When the source said so.
    pub date: &'static str,
    /// Whether it can be raised on request; absent when no source tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adjustable: Option<bool>,
    /// What this stack takes, others in the same account not counted; absent when nothing of this stack
    /// takes any of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used: Option<Used>,
}

/// What a stack takes of a limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Used {
    /// The most that is taken in one place.
    pub most: u32,
    /// That place: an object by address, a workspace, a bucket or an account.
    pub at: Key,
    /// Every place that takes more than the limit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub over: Vec<Key>,
}

/// What the stack takes of every limit that is known.
pub fn limits(spec: &Spec, graph: &Graph, topology: &Topology) -> Vec<Limit> {
    let one = |known: &known::Limit| Limit {
        id: known.id,
        what: known.what,
        limit: known.limit,
        per: known.per,
        source: known.source,
        date: known.date,
        adjustable: known.adjustable,
        used: used(known.limit, counted(known, spec, graph, topology)),
    };
    known::ALL.iter().map(one).collect()
}

/// The worst place, and every one beyond the limit.
fn used(limit: u32, places: BTreeMap<Key, usize>) -> Option<Used> {
    let (mut worst, mut over) = (None, Vec::new());
    for (at, count) in places {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        if count > limit {
            over.push(at.clone());
        }
        if worst.as_ref().is_none_or(|(most, _)| count > *most) {
            worst = Some((count, at));
        }
    }
    worst.map(|(most, at)| Used { most, at, over })
}

/// What is taken, by place. The language has no words for logs, metastores and serverless compute, so of
/// those nothing is.
fn counted(
    limit: &known::Limit,
    spec: &Spec,
    graph: &Graph,
    topology: &Topology,
) -> BTreeMap<Key, usize> {
    match limit.id {
        id if id == known::NETWORK_GROUPS.id => {
            let groups = topology.workspaces.iter();
            groups.map(|(name, nodes)| (name.clone(), nodes.groups.len())).collect()
        }
        id if id == known::NETWORK_ZONE_SUBNETS.id => zone_subnets(topology),
        id if id == known::GROUP_INGRESS.id => group_rules(topology, |rules| rules.ingress.len()),
        id if id == known::GROUP_EGRESS.id => group_rules(topology, |rules| rules.egress.len()),
        id if id == known::PRIVATE_DNS.id => private_dns(topology),
        id if id == known::ROOT_BUCKET.id => {
            tally(topology.workspaces.values().filter_map(|nodes| nodes.root_bucket.clone()))
        }
        id if id == known::STORAGE_CONFIGURATIONS.id => {
            let kinds = graph.nodes.keys().map(engine::Address::kind);
            let account = spec.databricks.account.clone();
            tally(
                kinds
                    .filter(|kind| *kind == "databricks.storage_configuration")
                    .map(|_| account.clone()),
            )
        }
        _ => BTreeMap::new(),
    }
}

fn zone_subnets(topology: &Topology) -> BTreeMap<Key, usize> {
    let zones = |keys: &[Key]| {
        let subnets = keys.iter().filter_map(|key| topology.subnets.get(key)?.as_ref());
        tally(subnets.map(|subnet| subnet.zone.clone())).into_values().max()
    };
    let workspaces = topology.workspaces.iter();
    workspaces.filter_map(|(name, nodes)| Some((name.clone(), zones(&nodes.subnets)?))).collect()
}

fn group_rules(
    topology: &Topology,
    count: fn(&crate::topology::GroupRules) -> usize,
) -> BTreeMap<Key, usize> {
    let groups = topology.groups.iter();
    let rules = groups
        .filter_map(|(key, group)| Some((key.clone(), count(group.as_ref()?.rules.as_ref()?))));
    rules.collect()
}

/// The most endpoints with private DNS that one service has, by VPC.
fn private_dns(topology: &Topology) -> BTreeMap<Key, usize> {
    let mut services: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for endpoint in topology.endpoints.values().flatten() {
        if let Reach::Interface { private_dns: true, .. } = endpoint.reach {
            *services.entry((&endpoint.vpc, &endpoint.service)).or_default() += 1;
        }
    }
    let mut most: BTreeMap<Key, usize> = BTreeMap::new();
    for ((vpc, _), count) in services {
        let before = most.entry(vpc.to_owned()).or_default();
        *before = count.max(*before);
    }
    most
}

fn tally(keys: impl Iterator<Item = Key>) -> BTreeMap<Key, usize> {
    let mut counts = BTreeMap::new();
    for key in keys {
        *counts.entry(key).or_default() += 1;
    }
    counts
}
