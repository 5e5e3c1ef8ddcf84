//! Parts that were renamed: the graph is built under their first names, so that everything derived
//! from them stays, and each resource is put where it belongs now.

use std::collections::{BTreeMap, BTreeSet};

use engine::{Graph, Group, Part};
use spec::{Spec, first_name};

/// The group of a part of the spec, and how the names in it begin.
fn place(part: &str, name: &str) -> (Group, String) {
    match part {
        "workspaces" => (Group::Workspace(name.to_owned()), name.to_owned()),
        "vpcs" => (Group::Shared(name.to_owned()), name.to_owned()),
        _ => (Group::Shared("account".to_owned()), format!("account.{name}")),
    }
}

/// Tells the graph what was renamed and what is to be forgotten.
pub(crate) fn prepare(spec: &Spec, graph: &mut Graph) {
    for (part, moved) in spec.moved.parts() {
        // From each first name on, step by step, so that the graph knows every former address.
        for first in moved.keys().filter(|name| !moved.values().any(|to| to == *name)) {
            let mut name = first;
            for _ in 0..moved.len() {
                let Some(to) = moved.get(name) else { break };
                graph.rename(place(part, name), place(part, to));
                name = to;
            }
        }
    }
    for (part, forgotten) in spec.forget.parts() {
        for name in forgotten {
            let (group, name) = place(part, name);
            let whole = group != Group::Shared("account".to_owned());
            graph.forget.push(Part { group, name: (!whole).then_some(name) });
        }
    }
}

/// The same spec with every renamed part under its first name.
pub(crate) fn as_first_named(spec: &Spec) -> Spec {
    let mut spec = spec.clone();
    let moved = std::mem::take(&mut spec.moved);
    let one = |names: &BTreeMap<String, String>, name: &mut String| {
        *name = first_name(names, name).to_owned();
    };
    let set = |names: &BTreeMap<String, String>, set: &mut BTreeSet<String>| {
        *set = set.iter().map(|name| first_name(names, name).to_owned()).collect();
    };
    fn keys<T>(names: &BTreeMap<String, String>, map: &mut BTreeMap<String, T>) {
        let renamed = std::mem::take(map).into_iter();
        map.extend(renamed.map(|(name, part)| (first_name(names, &name).to_owned(), part)));
    }
    keys(&moved.vpcs, &mut spec.vpcs);
    keys(&moved.credentials, &mut spec.credentials);
    keys(&moved.private_access_settings, &mut spec.private_access_settings);
    keys(&moved.workspaces, &mut spec.workspaces);
    for peering in spec.peerings.values_mut() {
        one(&moved.vpcs, &mut peering.from);
    }
    for settings in spec.private_access_settings.values_mut() {
        set(&moved.vpcs, &mut settings.allowed);
    }
    for workspace in spec.workspaces.values_mut() {
        workspace.vpc.iter_mut().for_each(|name| one(&moved.vpcs, name));
        if let Some(subnets) = &mut workspace.subnets {
            subnets.share.iter_mut().for_each(|name| one(&moved.workspaces, name));
        }
        if let Some(access) = &mut workspace.private_access {
            let shared = access.shared.iter_mut();
            shared.for_each(|name| one(&moved.private_access_settings, name));
            set(&moved.vpcs, &mut access.allowed);
        }
        workspace.credentials.shared.iter_mut().for_each(|name| one(&moved.credentials, name));
    }
    spec
}
