//! Which part of the spec an object comes from.

use engine::{Address, Graph, Group};
use spec::Spec;

/// The place in the spec that made an object what it is; the whole spec for one nobody knows.
pub(crate) fn of(spec: &Spec, graph: &Graph, key: &str) -> Vec<String> {
    let words = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect();
    if spec.workspaces.contains_key(key) {
        return words(&["workspaces", key]);
    }
    let address = Address::from(key.to_owned());
    let Some(node) = graph.nodes.get(&address) else { return Vec::new() };
    match &node.group {
        Group::Workspace(name) => match field(&address) {
            Some(field) => words(&["workspaces", name, field]),
            None => words(&["workspaces", name]),
        },
        Group::Shared(name) if spec.vpcs.contains_key(name) => match field(&address) {
            Some(field) => words(&["vpcs", name, field]),
            None => words(&["vpcs", name]),
        },
        Group::Shared(_) => {
            let part = match address.kind() {
                "databricks.private_access_settings" => "private_access_settings",
                _ => "credentials",
            };
            let name = address.name().split('.').nth(1).unwrap_or_default();
            words(&[part, name])
        }
    }
}

/// The field of a VPC or workspace that an object stands for; a place that the spec does not write out
/// is shown at what holds it.
fn field(address: &Address) -> Option<&'static str> {
    let last = address.name().rsplit('.').next().unwrap_or_default();
    Some(match address.kind() {
        "aws.nat_gateway" | "aws.elastic_ip" | "aws.internet_gateway" => "nat",
        "aws.vpc_endpoint" if matches!(last, "rest" | "relay" | "frontend") => "private_link",
        "databricks.vpc_endpoint" => "private_link",
        "aws.vpc_endpoint" => "endpoints",
        "aws.subnet" if last.starts_with("public-") => "public_subnets",
        "aws.subnet" if last.starts_with("endpoints-") => "endpoint_subnets",
        "aws.subnet" => "subnets",
        "aws.bucket" | "aws.bucket_policy" | "databricks.storage_configuration" => "storage",
        "aws.role" if last == "catalog" => "storage",
        "aws.role" if last.starts_with("node-") => "instance_profiles",
        "aws.instance_profile" => "instance_profiles",
        "aws.role" | "databricks.credentials" => "credentials",
        "databricks.private_access_settings" => "private_access",
        _ => return None,
    })
}
