//! What each kind is in Terraform: its resource types and attributes, in one table.

use engine::{Address, Output, Ref, output_json};
use kinds::aws::bucket::Encryption;
use kinds::aws::route_table::Target;
use kinds::aws::security_group_rules::{Peer, Rule};
use kinds::aws::vpc_endpoint::Flavour;
use kinds::aws::{
    bucket, bucket_policy, elastic_ip, instance_profile, internet_gateway, nat_gateway, role,
    route, route_table, security_group, security_group_rules, subnet, vpc, vpc_endpoint,
    vpc_peering,
};
use kinds::databricks::vpc_endpoint as registration;
use kinds::databricks::{
    credentials, network, private_access_settings, storage_configuration, workspace,
};
use kinds::policy::Policy;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

/// A resource as Terraform's providers know it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Resource {
    pub(super) kind: &'static str,
    /// Tells it from others of the same address and kind; empty for the only one.
    pub(super) part: String,
    /// Its attributes. References to other addresses stay references; a document is under [`DOCUMENT`].
    pub(super) values: Map<String, Value>,
}

/// Marks a policy: an attribute that is JSON in a text.
pub(super) const DOCUMENT: &str = "$document";

type Mapping = fn(&Address, &Value) -> Option<Vec<Resource>>;

/// Our kind, the type that a reference to it leads to, and how its props are told.
static TABLE: &[(&str, &str, Mapping)] = &[
    ("aws.vpc", "aws_vpc", |_, props| Some(own(vpc(read(props)?)))),
    ("aws.subnet", "aws_subnet", |_, props| Some(own(subnet(read(props)?)))),
    ("aws.internet_gateway", "aws_internet_gateway", |_, props| {
        Some(own(internet_gateway(read(props)?)))
    }),
    ("aws.elastic_ip", "aws_eip", |_, props| Some(own(elastic_ip(read(props)?)))),
    ("aws.nat_gateway", "aws_nat_gateway", |_, props| Some(own(nat_gateway(read(props)?)))),
    ("aws.route_table", "aws_route_table", |at, props| Some(route_table(at, read(props)?))),
    ("aws.vpc_peering", "aws_vpc_peering_connection", |_, props| {
        Some(own(vpc_peering(read(props)?)))
    }),
    ("aws.route", "aws_route", |_, props| Some(own(route(read(props)?)))),
    ("aws.security_group", "aws_security_group", |_, props| {
        Some(own(security_group(read(props)?)))
    }),
    ("aws.security_group_rules", "aws_security_group", |_, props| Some(rules(read(props)?))),
    ("aws.vpc_endpoint", "aws_vpc_endpoint", |_, props| Some(own(vpc_endpoint(read(props)?)))),
    ("aws.role", "aws_iam_role", |at, props| Some(role(at, read(props)?))),
    ("aws.instance_profile", "aws_iam_instance_profile", |_, props| {
        Some(own(instance_profile(read(props)?)))
    }),
    ("aws.bucket", "aws_s3_bucket", |at, props| Some(bucket(at, read(props)?))),
    ("aws.bucket_policy", "aws_s3_bucket_policy", |_, props| {
        Some(own(bucket_policy(read(props)?)))
    }),
    ("databricks.credentials", "databricks_mws_credentials", |_, props| {
        Some(own(credentials(read(props)?)))
    }),
    ("databricks.storage_configuration", "databricks_mws_storage_configurations", |_, props| {
        Some(own(storage_configuration(read(props)?)))
    }),
    ("databricks.vpc_endpoint", "databricks_mws_vpc_endpoint", |_, props| {
        Some(own(registration(read(props)?)))
    }),
    ("databricks.private_access_settings", "databricks_mws_private_access_settings", |_, props| {
        Some(own(private_access_settings(read(props)?)))
    }),
    ("databricks.network", "databricks_mws_networks", |_, props| Some(own(network(read(props)?)))),
    ("databricks.workspace", "databricks_mws_workspaces", |_, props| {
        Some(own(workspace(read(props)?)))
    }),
];

/// The type that a reference to a resource of our kind leads to.
pub(super) fn main_type(kind: &str) -> Option<&'static str> {
    TABLE.iter().find(|(ours, ..)| *ours == kind).map(|(_, theirs, _)| *theirs)
}

/// The resources that one of ours is in Terraform; none for what is not known here.
pub(super) fn resources(address: &Address, props: &Value) -> Vec<Resource> {
    let entry = TABLE.iter().find(|(ours, ..)| *ours == address.kind());
    let Some((_, theirs, mapping)) = entry else { return Vec::new() };
    let mut all = mapping(address, props).unwrap_or_default();
    for resource in &mut all {
        if resource.kind == OWN {
            resource.kind = theirs;
        }
    }
    all
}

/// Stands for the type of the table until that is filled in.
const OWN: &str = "";

fn own(values: Value) -> Vec<Resource> {
    vec![part(OWN, "", values)]
}

fn part(kind: &'static str, part: &str, values: Value) -> Resource {
    let values = match values {
        Value::Object(values) => values,
        _ => Map::new(),
    };
    Resource { kind, part: part.to_owned(), values }
}

fn read<T: DeserializeOwned>(props: &Value) -> Option<T> {
    serde_json::from_value(props.clone()).ok()
}

/// A reference to the resource itself.
fn id_of(address: &Address) -> Value {
    output_json(&Output { address: address.clone(), field: "id".to_owned() })
}

fn document(policy: &Policy) -> Value {
    json!({ DOCUMENT: policy })
}

fn vpc(props: vpc::Props) -> Value {
    let vpc::Props { cidr, dns_support, dns_hostnames, tags } = props;
    json!({
        "cidr_block": cidr, "enable_dns_support": dns_support,
        "enable_dns_hostnames": dns_hostnames, "instance_tenancy": "default", "tags": tags,
    })
}

fn subnet(props: subnet::Props) -> Value {
    let subnet::Props { vpc, cidr, zone, public_ips, tags } = props;
    json!({
        "vpc_id": vpc, "cidr_block": cidr, "availability_zone": zone,
        "map_public_ip_on_launch": public_ips, "tags": tags,
    })
}

fn internet_gateway(props: internet_gateway::Props) -> Value {
    let internet_gateway::Props { vpc, tags } = props;
    json!({ "vpc_id": vpc, "tags": tags })
}

fn elastic_ip(props: elastic_ip::Props) -> Value {
    let elastic_ip::Props { tags } = props;
    json!({ "domain": "vpc", "tags": tags })
}

fn nat_gateway(props: nat_gateway::Props) -> Value {
    let nat_gateway::Props { subnet, address, tags } = props;
    json!({
        "subnet_id": subnet, "allocation_id": address, "connectivity_type": "public", "tags": tags,
    })
}

fn route_table(address: &Address, props: route_table::Props) -> Vec<Resource> {
    let route_table::Props { vpc, routes, subnets, tags } = props;
    let route = |(destination, target)| {
        let mut route = leads_to(target);
        route.insert("cidr_block".to_owned(), json!(destination));
        route
    };
    let routes: Vec<_> = routes.iter().map(route).collect();
    let mut all = own(json!({ "vpc_id": vpc, "route": routes, "tags": tags }));
    all.extend(subnets.iter().map(|subnet| {
        let values = json!({ "route_table_id": id_of(address), "subnet_id": subnet });
        part("aws_route_table_association", &label(subnet), values)
    }));
    all
}

fn leads_to(target: &Target) -> Map<String, Value> {
    let (attribute, id) = match target {
        Target::InternetGateway(id) => ("gateway_id", json!(id)),
        Target::NatGateway(id) => ("nat_gateway_id", json!(id)),
        Target::Peering(id) => ("vpc_peering_connection_id", json!(id)),
        Target::TransitGateway(id) => ("transit_gateway_id", json!(id)),
    };
    Map::from_iter([(attribute.to_owned(), id)])
}

fn vpc_peering(props: vpc_peering::Props) -> Value {
    let vpc_peering::Props {
        vpc,
        peer_vpc,
        peer_account,
        peer_region,
        accept,
        dns_resolution,
        tags,
    } = props;
    let side = json!([{ "allow_remote_vpc_dns_resolution": dns_resolution }]);
    json!({
        "vpc_id": vpc, "peer_vpc_id": peer_vpc, "peer_owner_id": peer_account,
        "peer_region": peer_region, "auto_accept": accept, "requester": side, "tags": tags,
    })
}

fn route(props: route::Props) -> Value {
    let route::Props { table, destination, target } = props;
    let mut values = leads_to(&target);
    values.insert("route_table_id".to_owned(), json!(table));
    values.insert("destination_cidr_block".to_owned(), json!(destination));
    Value::Object(values)
}

fn security_group(props: security_group::Props) -> Value {
    let security_group::Props { vpc, name, description, tags } = props;
    json!({ "vpc_id": vpc, "name": name, "description": description, "tags": tags })
}

/// One resource a rule, of the type that most policies know.
fn rules(props: security_group_rules::Props) -> Vec<Resource> {
    let security_group_rules::Props { group, ingress, egress } = props;
    let resource = |direction: &str, rule: &Rule| {
        let Rule { protocol, from, to, peer } = rule;
        let (attribute, value, peer) = match peer {
            Peer::Cidr(block) => ("cidr_blocks", json!([block]), block.to_string()),
            Peer::Cidr6(block) => ("ipv6_cidr_blocks", json!([block]), block.to_string()),
            Peer::Group(other) => ("source_security_group_id", json!(other), label(other)),
            Peer::PrefixList(list) => ("prefix_list_ids", json!([list]), list.clone()),
            Peer::Itself => ("self", json!(true), "itself".to_owned()),
        };
        let (from, to) = (from.unwrap_or_default(), to.unwrap_or_default());
        let name = format!("{direction}_{protocol}_{from}_{to}_{peer}");
        let values = json!({
            "type": direction, "security_group_id": group, "protocol": protocol, "from_port": from,
            "to_port": to, attribute: value,
        });
        part("aws_security_group_rule", &name, values)
    };
    let ingress = ingress.iter().map(|rule| resource("ingress", rule));
    ingress.chain(egress.iter().map(|rule| resource("egress", rule))).collect()
}

/// A reference as part of a name.
fn label<T: Clone + ToString>(reference: &Ref<T>) -> String {
    match reference {
        Ref::Known(id) => id.to_string(),
        Ref::Output(output) => output.address.name().to_owned(),
    }
}

fn vpc_endpoint(props: vpc_endpoint::Props) -> Value {
    let vpc_endpoint::Props {
        vpc,
        service,
        flavour,
        route_tables,
        subnets,
        groups,
        private_dns,
        policy,
        tags,
    } = props;
    let flavour = match flavour {
        Flavour::Gateway => "Gateway",
        Flavour::Interface => "Interface",
    };
    json!({
        "vpc_id": vpc, "service_name": service, "vpc_endpoint_type": flavour,
        "route_table_ids": route_tables, "subnet_ids": subnets, "security_group_ids": groups,
        "private_dns_enabled": private_dns, "policy": policy.as_ref().map(document), "tags": tags,
    })
}

fn role(address: &Address, props: role::Props) -> Vec<Resource> {
    let role::Props { name, description, trust, inline, managed, tags } = props;
    let mut all = own(json!({
        "name": name, "description": description, "assume_role_policy": document(&trust),
        "tags": tags,
    }));
    all.extend(inline.iter().map(|(name, policy)| {
        let values = json!({ "name": name, "role": id_of(address), "policy": document(policy) });
        part("aws_iam_role_policy", name, values)
    }));
    all.extend(managed.iter().map(|arn| {
        let values = json!({ "role": id_of(address), "policy_arn": arn });
        part("aws_iam_role_policy_attachment", arn, values)
    }));
    all
}

fn instance_profile(props: instance_profile::Props) -> Value {
    let instance_profile::Props { name, role, tags } = props;
    json!({ "name": name, "role": role, "tags": tags })
}

fn bucket(address: &Address, props: bucket::Props) -> Vec<Resource> {
    let bucket::Props {
        name,
        region,
        encryption,
        versioning,
        block_public_access: blocked,
        ownership,
        tags,
    } = props;
    let id = id_of(address);
    let by_default = match encryption {
        Encryption::Aes256 => json!({ "sse_algorithm": "AES256", "kms_master_key_id": null }),
        Encryption::Kms(key) => json!({ "sse_algorithm": "aws:kms", "kms_master_key_id": key }),
    };
    let with_key = by_default["kms_master_key_id"].is_string();
    let encryption = json!([{
        "apply_server_side_encryption_by_default": [by_default], "bucket_key_enabled": with_key,
    }]);
    let status = if versioning { "Enabled" } else { "Disabled" };
    let mut all = own(json!({ "bucket": name, "region": region, "tags": tags }));
    all.extend([
        part(
            "aws_s3_bucket_versioning",
            "",
            json!({ "bucket": id, "versioning_configuration": [{ "status": status }] }),
        ),
        part(
            "aws_s3_bucket_server_side_encryption_configuration",
            "",
            json!({ "bucket": id, "rule": encryption }),
        ),
        part(
            "aws_s3_bucket_public_access_block",
            "",
            json!({
                "bucket": id, "block_public_acls": blocked, "block_public_policy": blocked,
                "ignore_public_acls": blocked, "restrict_public_buckets": blocked,
            }),
        ),
        part(
            "aws_s3_bucket_ownership_controls",
            "",
            json!({ "bucket": id, "rule": [{ "object_ownership": ownership }] }),
        ),
    ]);
    all
}

fn bucket_policy(props: bucket_policy::Props) -> Value {
    let bucket_policy::Props { bucket, policy } = props;
    json!({ "bucket": bucket, "policy": document(&policy) })
}

fn credentials(props: credentials::Props) -> Value {
    let credentials::Props { name, role_arn } = props;
    json!({ "credentials_name": name, "role_arn": role_arn })
}

fn storage_configuration(props: storage_configuration::Props) -> Value {
    let storage_configuration::Props { name, bucket, role_arn } = props;
    json!({ "storage_configuration_name": name, "bucket_name": bucket, "role_arn": role_arn })
}

fn registration(props: registration::Props) -> Value {
    let registration::Props { name, endpoint, region } = props;
    json!({ "vpc_endpoint_name": name, "aws_vpc_endpoint_id": endpoint, "region": region })
}

fn private_access_settings(props: private_access_settings::Props) -> Value {
    let private_access_settings::Props { name, region, public_access, level, allowed } = props;
    json!({
        "private_access_settings_name": name, "region": region,
        "public_access_enabled": public_access, "private_access_level": level,
        "allowed_vpc_endpoint_ids": allowed,
    })
}

fn network(props: network::Props) -> Value {
    let network::Props { name, vpc, subnets, groups, rest_endpoint, relay_endpoint } = props;
    let endpoints = match (rest_endpoint, relay_endpoint) {
        (None, None) => json!([]),
        (rest, relay) => json!([{
            "rest_api": rest.as_slice(), "dataplane_relay": relay.as_slice(),
        }]),
    };
    json!({
        "network_name": name, "vpc_id": vpc, "subnet_ids": subnets, "security_group_ids": groups,
        "vpc_endpoints": endpoints,
    })
}

fn workspace(props: workspace::Props) -> Value {
    let workspace::Props {
        name,
        region,
        credentials,
        storage,
        network,
        private_access,
        tier,
        deployment_name,
        tags,
    } = props;
    json!({
        "workspace_name": name, "aws_region": region, "credentials_id": credentials,
        "storage_configuration_id": storage, "network_id": network,
        "private_access_settings_id": private_access, "pricing_tier": tier,
        "deployment_name": deployment_name, "custom_tags": tags,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A kind that is added needs its line in the table, and props that can be told.
    #[test]
    fn every_kind_has_a_type() {
        for fixture in kinds::fixtures::all() {
            let all = resources(&fixture.resource.address, &fixture.resource.props);
            let main = main_type(fixture.kind);
            assert!(main.is_some() && !all.is_empty(), "{}: {all:?}", fixture.kind);
            assert!(all.iter().all(|resource| resource.kind != OWN), "{all:?}");
        }
    }
}
