//! What stays inside the VPC: names, and other nodes.

use std::collections::BTreeSet;

use ipnet::Ipv4Net;

use super::groups::{Call, To};
use super::index::Site;
use super::walk::{EVERYTHING, Passed, Walk};
use super::{Step, Via};
use crate::topology::{Key, Resolver};

pub(super) fn resolver(w: &mut Walk<'_, '_>) -> Passed<Via> {
    let vpc = &w.site.nodes.vpc;
    let Some(found) = w.site.names.vpc() else {
        w.note(Step::Name, vpc, format!("`{vpc}` was not read"));
        return Ok(Via::Local);
    };
    if !found.dns_support {
        w.name("amazonaws.com")?;
    }
    match &found.resolver {
        Resolver::Amazon => {
            w.pass(Step::Name, vpc, "the resolver of the VPC answers".to_owned());
        }
        Resolver::Own(servers) => {
            for server in servers {
                let range = Ipv4Net::from(*server);
                for protocol in EVERYTHING.map(|call| call.protocol) {
                    let call = Call { protocol, ports: (53, 53) };
                    w.egress(call, To::Range(range), &server.to_string())?;
                }
            }
            let why =
                "whether your own DNS servers forward the names of AWS and Databricks is not known";
            w.note(Step::Name, vpc, why.to_owned());
        }
    }
    Ok(Via::Local)
}

/// Nodes talk to nodes of all subnets of the workspace, on every port.
pub(super) fn other_nodes(w: &mut Walk<'_, '_>) -> Passed<Via> {
    let Site { prover, nodes, .. } = *w.site;
    w.pass(Step::Route, &nodes.vpc, "local route".to_owned());
    // By key, so that the order in which a spec lists them decides nothing.
    let subnets: BTreeSet<&Key> = nodes.subnets.iter().collect();
    let groups: BTreeSet<Key> = nodes.groups.iter().cloned().collect();
    for subnet in &subnets {
        let range = prover.range(subnet);
        for call in EVERYTHING {
            w.egress(call, To::Member { range, groups: &groups }, "other nodes")?;
        }
    }
    w.admits_itself(&groups, &subnets)?;
    for subnet in subnets {
        for call in EVERYTHING {
            w.acls_both_ways(call, subnet)?;
        }
    }
    Ok(Via::Local)
}
