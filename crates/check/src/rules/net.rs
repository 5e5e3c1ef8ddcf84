//! VPCs, subnets, network ACLs, DHCP options.

use std::collections::{BTreeMap, BTreeSet};

use facts::{regions, subnets};
use ipnet::Ipv4Net;
use spec::{Host, Remote};

use super::look::{DefaultRoute, anywhere, default_route, listed};
use super::{Broken, Case, Decided, Rule};
use crate::finding::Severity::{Error, Warning};
use crate::topology::{
    AclEntry, NetworkAcl, Nodes, Peering, Protocol, Reach, Resolver, Subnet, Table, Target, Vpc,
};

/// The smallest subnet for endpoints in a VPC without a way out.
const ENDPOINT_SUBNET: u8 = 27;
/// The smallest block with room for two workspace subnets of the smallest size.
const TWO_SUBNETS: u8 = subnets::SMALLEST - 1;

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "DBX-NET-001",
        severity: Error,
        when: "a VPC with nodes or endpoints has DNS resolution turned off",
        fix: "set `enableDnsSupport` of the VPC to true",
        source: "Databricks, \"Configure a customer-managed VPC\"; AWS refuses private DNS on \
                 endpoints without it",
        decided: Decided::Here(dns_support),
    },
    Rule {
        id: "DBX-NET-002",
        severity: Error,
        when: "a VPC with nodes or endpoints has DNS hostnames turned off",
        fix: "set `enableDnsHostnames` of the VPC to true",
        source: "Databricks, \"Configure a customer-managed VPC\"; AWS refuses private DNS on \
                 endpoints without it",
        decided: Decided::Here(dns_hostnames),
    },
    Rule {
        id: "DBX-NET-003",
        severity: Error,
        when: "a workspace has fewer than two subnets",
        fix: "add a second private subnet in another zone",
        source: "the account API's text and the Terraform provider's schema; `dbxctl validate` \
                 refuses it, too",
        decided: Decided::Here(two_subnets),
    },
    Rule {
        id: "DBX-NET-004",
        severity: Error,
        when: "two subnets of a workspace lie in one zone",
        fix: "move one of them to another zone, or take it out",
        source: "Terraform provider, mws_networks; zones are compared by name here, a live \
                 account has their ids",
        decided: Decided::Here(one_per_zone),
    },
    Rule {
        id: "DBX-NET-005",
        severity: Error,
        when: "a workspace subnet is bigger than a /17 or smaller than a /26",
        fix: "choose a size from /17 to /26",
        source: "Databricks, \"Configure a customer-managed VPC\"; `dbxctl validate` refuses it \
                 where the spec says the size",
        decided: Decided::Here(subnet_size),
    },
    Rule {
        id: "DBX-NET-006",
        severity: Warning,
        when: "a workspace subnet is a /26",
        fix: "use a /25 or bigger unless addresses are truly scarce",
        source: "conflict: Databricks' documentation accepts a /26, the Terraform provider's \
                 page has /25 as the smallest",
        decided: Decided::Here(smallest_subnet),
    },
    Rule {
        id: "DBX-NET-007",
        severity: Error,
        when: "a subnet lies outside all blocks of its VPC, or overlaps another one there",
        fix: "choose a part of the VPC that no other subnet has",
        source: "AWS (InvalidSubnet.Range, InvalidSubnet.Conflict); of a VPC that is only used \
                 the first block alone is read, so nothing is said to lie outside it",
        decided: Decided::Here(layout),
    },
    Rule {
        id: "DBX-NET-008",
        severity: Error,
        when: "the subnets of a workspace come from different blocks of its VPC",
        fix: "take all of them from one block",
        source: "Databricks, \"Configure a customer-managed VPC\", by a field digest",
        decided: Decided::Here(one_block),
    },
    Rule {
        id: "DBX-NET-009",
        severity: Error,
        when: "a VPC or a workspace subnet overlaps a range that nodes use internally",
        fix: "choose another range, such as a part of `10.0.0.0/8`",
        source: "Databricks, \"Configure a customer-managed VPC\"; 172.17.0.0/16 is the \
                 container bridge",
        decided: Decided::Here(reserved),
    },
    Rule {
        id: "DBX-NET-010",
        severity: Error,
        when: "the workspaces of some subnets want more nodes at one time than fit",
        fix: "make the subnets bigger, or lower `uses.peak_nodes`",
        source: "Databricks, \"Configure a customer-managed VPC\": two addresses a node; AWS \
                 keeps five of each subnet; `uses.peak_nodes` counts all zones together, so the \
                 sum over zones decides",
        decided: Decided::Here(room),
    },
    Rule {
        id: "DBX-NET-011",
        severity: Warning,
        when: "few addresses of a workspace subnet are left",
        fix: "terminate idle compute, or give the workspace bigger subnets",
        source: "Databricks and AWS, as for DBX-NET-010",
        decided: Decided::Live("AvailableIpAddressCount of the subnet, and the nodes that run"),
    },
    Rule {
        id: "DBX-NET-012",
        severity: Error,
        when: "the route table of a workspace subnet has an internet gateway as default route",
        fix: "lead 0.0.0.0/0 to a NAT gateway or an appliance, or take the route out",
        source: "Terraform provider, mws_networks: workspace subnets are private",
        decided: Decided::Here(public),
    },
    Rule {
        id: "DBX-NET-013",
        severity: Warning,
        when: "what starts in a workspace subnet gets a public address",
        fix: "turn `MapPublicIpOnLaunch` of the subnet off",
        source: "Databricks, \"Configure a customer-managed VPC\": secure cluster connectivity \
                 assumes none",
        decided: Decided::Here(public_addresses),
    },
    Rule {
        id: "DBX-NET-014",
        severity: Error,
        when: "a subnet, security group or endpoint of a workspace lies in another VPC than the \
               workspace",
        fix: "name one of the workspace's VPC",
        source: "account API: network errors `vpc`, `subnet` and `securityGroup`",
        decided: Decided::Here(one_vpc),
    },
    Rule {
        id: "DBX-NET-015",
        severity: Error,
        when: "the network ACL of a workspace subnet drops what nodes send",
        fix: "let the ports out, or use the VPC's default network ACL",
        source: "Databricks, \"Configure a customer-managed VPC\"; network error `networkAcl`",
        decided: Decided::Proof,
    },
    Rule {
        id: "DBX-NET-016",
        severity: Error,
        when: "the network ACL of a workspace subnet does not admit everything from everywhere \
               before it denies anything",
        fix: "admit all traffic from 0.0.0.0/0 with the lowest rule number, or use the VPC's \
              default network ACL",
        source: "Databricks, \"Configure a customer-managed VPC\", by a field digest; Databricks \
                 looks for that rule even where packets would pass; Terraform provider issue \
                 1326",
        decided: Decided::Here(acl_admits_all),
    },
    Rule {
        id: "DBX-NET-017",
        severity: Error,
        when: "the network ACL of a subnet with endpoints or a NAT gateway drops packets or \
               their replies",
        fix: "let TCP 1024-65535 through in both directions",
        source: "field report: a flow log with REJECT and source port 443; network ACLs remember \
                 nothing",
        decided: Decided::Proof,
    },
    Rule {
        id: "DBX-NET-018",
        severity: Warning,
        when: "a VPC with nodes or endpoints has other DNS servers than AmazonProvidedDNS",
        fix: "forward the names of AWS and of Databricks to the Route 53 resolver, open TCP and \
              UDP 53, and accept this finding",
        source: "Databricks, \"Configure a customer-managed VPC\" and its blog of 2021",
        decided: Decided::Here(own_resolver),
    },
    Rule {
        id: "DBX-NET-019",
        severity: Error,
        when: "Databricks does not support the region",
        fix: "choose a region that Databricks supports",
        source: "Databricks, supported regions; a spec has one region, so VPC and workspace \
                 never differ in it",
        decided: Decided::Here(supported_region),
    },
    Rule {
        id: "DBX-NET-020",
        severity: Error,
        when: "the region is us-gov-east-1",
        fix: "set `region: us-gov-west-1`",
        source: "Security Reference Architecture: GovCloud is offered in us-gov-west-1 only",
        decided: Decided::Here(govcloud_east),
    },
    Rule {
        id: "DBX-NET-021",
        severity: Warning,
        when: "workspaces share subnets",
        fix: "give each workspace subnets of its own, or count the addresses and accept this \
              finding",
        source: "conflict: the account API's text forbids it, newer documentation tolerates it",
        decided: Decided::Here(shared_subnets),
    },
    Rule {
        id: "DBX-NET-022",
        severity: Warning,
        when: "workspaces share a security group",
        fix: "give each workspace a group of its own: leave out `security_group`",
        source: "conflict: the account API's text forbids it, newer documentation advises one \
                 for each workspace",
        decided: Decided::Here(shared_groups),
    },
    Rule {
        id: "DBX-NET-023",
        severity: Error,
        when: "two workspaces refer to one network configuration",
        fix: "make a second network configuration on the same VPC",
        source: "account API, text of workspace creation",
        decided: Decided::Language("each workspace gets a network configuration of its own"),
    },
    Rule {
        id: "DBX-NET-024",
        severity: Warning,
        when: "interface endpoints lie in a workspace subnet",
        fix: "give the endpoints subnets of their own with `endpoint_subnets`",
        source: "conflict: a field report warns explicitly, the PrivateLink guide lets endpoints \
                 share a private subnet while there is NAT",
        decided: Decided::Here(endpoints_among_nodes),
    },
    Rule {
        id: "DBX-NET-025",
        severity: Warning,
        when: "a subnet for endpoints is smaller than a /27 in a VPC without a way out, or has \
               fewer addresses than endpoints",
        fix: "use a /27 or bigger in `endpoint_subnets`",
        source: "Databricks, PrivateLink guide, step 5 option 2, by a field digest",
        decided: Decided::Here(endpoint_room),
    },
    Rule {
        id: "DBX-NET-026",
        severity: Warning,
        when: "no block of a VPC has room for two workspace subnets of the smallest size",
        fix: "use a VPC of at least /25, or add a block to it",
        source: "Databricks, \"Configure a customer-managed VPC\"; `dbxctl validate` refuses \
                 what does not fit into a VPC of the spec",
        decided: Decided::Here(vpc_size),
    },
    Rule {
        id: "DBX-NET-027",
        severity: Warning,
        when: "all interface endpoints of a VPC lie in one zone and its nodes in several",
        fix: "give each zone of the nodes a subnet for endpoints",
        source: "Security Reference Architecture: one for each zone; traffic between zones costs",
        decided: Decided::Here(endpoint_zones),
    },
    Rule {
        id: "DBX-NET-028",
        severity: Warning,
        when: "a subnet of nodes, endpoints or NAT gateways has no route table of its own choice",
        fix: "associate a route table with the subnet",
        source: "found in public templates: such a subnet silently has the VPC's main table",
        decided: Decided::Here(main_table),
    },
    Rule {
        id: "DBX-NET-029",
        severity: Error,
        when: "a peering connects VPCs with overlapping ranges",
        fix: "give one of the VPCs another range",
        source: "AWS refuses the connection",
        decided: Decided::Here(peers_overlap),
    },
    Rule {
        id: "DBX-NET-030",
        severity: Warning,
        when: "a peering has routes on one side only, or names are used over it and do not resolve",
        fix: "add routes on both sides, and `dns: true` when names are used",
        source: "AWS; found in public templates",
        decided: Decided::Here(one_way_peering),
    },
];

const PRIVATE_DNS: &str = "Enabling private DNS requires both enableDnsSupport and \
                           enableDnsHostnames VPC attributes set to true";

fn dns_support(case: &Case<'_>) -> Vec<Broken> {
    dns_off(case, "DBX-NET-001", "DNS resolution", |vpc| vpc.dns_support)
}

fn dns_hostnames(case: &Case<'_>) -> Vec<Broken> {
    dns_off(case, "DBX-NET-002", "DNS hostnames", |vpc| vpc.dns_hostnames)
}

fn dns_off(case: &Case<'_>, rule: &str, what: &str, on: fn(&Vpc) -> bool) -> Vec<Broken> {
    let told = case.told(rule);
    let off = case.networks().into_iter().filter(|(key, vpc)| !on(vpc) && !told.contains(key));
    off.map(|(key, _)| {
        let message = format!(
            "`{key}` has {what} turned off: private names of endpoints do not resolve there, and \
             Databricks refuses the VPC"
        );
        Broken::new(key, case.vpc_itself(key), message).symptom(PRIVATE_DNS)
    })
    .collect()
}

fn two_subnets(case: &Case<'_>) -> Vec<Broken> {
    let few = case.topology.workspaces.iter().filter(|(_, nodes)| nodes.subnets.len() < 2);
    few.map(|(name, nodes)| {
        let count = nodes.subnets.len();
        let message = format!("workspace `{name}` needs at least two subnets and has {count}");
        Broken::new(name, subnets_place(case, name, nodes), message)
    })
    .collect()
}

/// Where the subnets of a workspace are said: by the workspace that shares them, if one does.
fn subnets_place(case: &Case<'_>, workspace: &str, nodes: &Nodes) -> Vec<String> {
    let place = nodes.subnets.first().map(|subnet| case.place(subnet)).unwrap_or_default();
    if !place.is_empty() {
        return place;
    }
    let mut place = case.place(workspace);
    place.push("subnets".to_owned());
    place
}

fn one_per_zone(case: &Case<'_>) -> Vec<Broken> {
    let mut broken = Vec::new();
    for nodes in case.topology.workspaces.values() {
        let mut zones: BTreeMap<&str, &str> = BTreeMap::new();
        for key in &nodes.subnets {
            let Some(subnet) = case.subnet(key) else { continue };
            let Some(other) = zones.insert(&subnet.zone, key) else { continue };
            let message = format!(
                "`{other}` and `{key}` are both in {}, and a workspace has one subnet in a zone",
                subnet.zone
            );
            broken.push(Broken::new(key, case.place(key), message));
        }
    }
    broken
}

fn subnet_size(case: &Case<'_>) -> Vec<Broken> {
    let sizes = subnets::BIGGEST..=subnets::SMALLEST;
    let (big, small) = (subnets::BIGGEST, subnets::SMALLEST);
    let all = case.node_subnets().into_iter();
    all.filter(|(_, subnet)| !sizes.contains(&subnet.cidr.prefix_len()))
        .map(|(key, subnet)| {
            let cidr = subnet.cidr;
            let message =
                format!("`{key}` is {cidr}, and a workspace subnet is a /{big} to /{small}");
            Broken::new(key, case.subnet_place(key, subnet), message)
        })
        .collect()
}

fn smallest_subnet(case: &Case<'_>) -> Vec<Broken> {
    let all = case.node_subnets().into_iter();
    all.filter(|(_, subnet)| subnet.cidr.prefix_len() == subnets::SMALLEST)
        .map(|(key, subnet)| {
            let nodes = subnets::nodes(subnets::SMALLEST);
            let message = format!(
                "`{key}` is {}, which has room for {nodes} nodes, and sources disagree whether \
                 Databricks accepts a /26",
                subnet.cidr
            );
            Broken::new(key, case.subnet_place(key, subnet), message)
        })
        .collect()
}

fn layout(case: &Case<'_>) -> Vec<Broken> {
    let mut by_vpc: BTreeMap<&str, Vec<(&str, &Subnet)>> = BTreeMap::new();
    for (key, subnet) in &case.topology.subnets {
        let Some(subnet) = subnet else { continue };
        by_vpc.entry(case.identity(&subnet.vpc)).or_default().push((key, subnet));
    }
    by_vpc.into_values().flat_map(|subnets| layout_of_vpc(case, subnets)).collect()
}

fn layout_of_vpc<'a>(case: &Case<'a>, mut all: Vec<(&'a str, &'a Subnet)>) -> Vec<Broken> {
    let mut broken = Vec::new();
    // CIDRs that overlap lie in each other: in this order, the outer one comes first.
    all.sort_by_key(|(_, subnet)| (subnet.cidr.network(), subnet.cidr.prefix_len()));
    let mut outer: Option<(&str, &Subnet)> = None;
    for (key, subnet) in all {
        let cidr = subnet.cidr;
        let vpc = case.vpc(&subnet.vpc);
        if let Some(vpc) = vpc.filter(|vpc| case.knows_blocks(&subnet.vpc, vpc))
            && !vpc.cidrs.iter().any(|block| block.contains(&cidr))
        {
            let message =
                format!("`{key}` is {cidr}, which lies outside its VPC, {}", blocks(&vpc.cidrs));
            broken.push(
                Broken::new(key, case.subnet_place(key, subnet), message)
                    .symptom("InvalidSubnet.Range"),
            );
        }
        match outer {
            Some((other, there)) if there.cidr.contains(&cidr) => {
                if case.identity(other) != case.identity(key) {
                    let message =
                        format!("`{key}` is {cidr}, which overlaps `{other}`, {}", there.cidr);
                    let place = case.subnet_place(key, subnet);
                    broken.push(Broken::new(key, place, message).symptom("InvalidSubnet.Conflict"));
                }
            }
            _ => outer = Some((key, subnet)),
        }
    }
    broken
}

fn blocks(cidrs: &[Ipv4Net]) -> String {
    cidrs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn one_block(case: &Case<'_>) -> Vec<Broken> {
    let mut broken = Vec::new();
    for (name, nodes) in &case.topology.workspaces {
        let Some(vpc) = case.vpc(&nodes.vpc) else { continue };
        let block = |key: &&String| {
            let cidr = case.subnet(key)?.cidr;
            vpc.cidrs.iter().find(|block| block.contains(&cidr))
        };
        let mut placed = nodes.subnets.iter().filter_map(|key| Some((key, block(&key)?)));
        let Some((first, here)) = placed.next() else { continue };
        let Some((other, there)) = placed.find(|(_, block)| *block != here) else { continue };
        let message = format!(
            "`{first}` lies in {here} and `{other}` in {there}, and Databricks wants all subnets of \
             a workspace from one block of the VPC"
        );
        broken.push(Broken::new(name, subnets_place(case, name, nodes), message));
    }
    broken
}

fn reserved(case: &Case<'_>) -> Vec<Broken> {
    let taken = |cidr: &Ipv4Net| subnets::RESERVED.into_iter().find(|r| subnets::overlap(r, cidr));
    let message = |key: &str, cidr: &Ipv4Net, taken: Ipv4Net| {
        if *cidr == taken {
            format!("`{key}` is {cidr}, which nodes use internally")
        } else {
            format!("`{key}` is {cidr}, which overlaps {taken}: nodes use that internally")
        }
    };
    let mut broken = Vec::new();
    let mut vpcs = BTreeSet::new();
    for (key, vpc) in case.networks() {
        let Some((cidr, range)) = vpc.cidrs.iter().find_map(|c| Some((c, taken(c)?))) else {
            continue;
        };
        vpcs.insert(key);
        broken.push(Broken::new(key, case.range_place(key), message(key, cidr, range)));
    }
    for (key, subnet) in case.node_subnets() {
        let Some(range) = taken(&subnet.cidr) else { continue };
        // That of the VPC says it all.
        if !vpcs.contains(subnet.vpc.as_str()) {
            let place = case.subnet_place(key, subnet);
            broken.push(Broken::new(key, place, message(key, &subnet.cidr, range)));
        }
    }
    broken
}

/// Who asks for nodes in the same subnets. Workspaces with only some subnets in common are looked at
/// apart: each alone must fit.
struct Demand<'a> {
    nodes: &'a Nodes,
    workspaces: Vec<&'a str>,
    peak: u64,
}

fn room(case: &Case<'_>) -> Vec<Broken> {
    let endpoints = case.endpoints_by_subnet();
    let mut demands: BTreeMap<Vec<&str>, Demand<'_>> = BTreeMap::new();
    for (name, nodes) in &case.topology.workspaces {
        let peak = case.spec.workspaces.get(name).and_then(|wanted| wanted.uses.peak_nodes);
        let Some(peak) = peak else { continue };
        let mut place: Vec<&str> = nodes.subnets.iter().map(|key| case.identity(key)).collect();
        place.sort_unstable();
        let nobody = || Demand { nodes, workspaces: Vec::new(), peak: 0 };
        let demand = demands.entry(place).or_insert_with(nobody);
        demand.workspaces.push(name);
        demand.peak += u64::from(peak);
    }
    let short = |demand: &Demand<'_>| {
        let mut room = 0;
        let mut cidrs = Vec::new();
        for key in &demand.nodes.subnets {
            let cidr = case.subnet(key)?.cidr;
            let others = endpoints.get(case.identity(key)).map_or(0, |(_, count)| *count);
            let others = u32::try_from(others).unwrap_or(u32::MAX);
            room += u64::from(subnets::nodes_beside(cidr.prefix_len(), others));
            cidrs.push(cidr);
        }
        let Demand { nodes, workspaces, peak } = demand;
        (*peak > room).then(|| {
            let adds = if workspaces.len() == 1 { "is" } else { "adds up to" };
            let message = format!(
                "{} have room for {room} nodes, and `uses.peak_nodes` of {} {adds} {peak}",
                blocks(&cidrs),
                listed(workspaces.iter().copied())
            );
            let first = workspaces.first().copied().unwrap_or_default();
            Broken::new(first, subnets_place(case, first, nodes), message)
                .symptom("AWS_INSUFFICIENT_FREE_ADDRESSES_IN_SUBNET_FAILURE")
        })
    };
    demands.values().filter_map(short).collect()
}

fn public(case: &Case<'_>) -> Vec<Broken> {
    let told = case.told("DBX-NET-012");
    let mut broken = Vec::new();
    for (key, subnet) in case.node_subnets() {
        let DefaultRoute::To(table, Target::InternetGateway(gateway)) = default_route(case, subnet)
        else {
            continue;
        };
        if !told.contains(key) {
            let message = format!(
                "`{table}` leads `{key}` straight to `{gateway}`, and nodes have no public address \
                 to be answered at"
            );
            broken.push(Broken::new(key, case.subnet_place(key, subnet), message));
        }
    }
    broken
}

fn public_addresses(case: &Case<'_>) -> Vec<Broken> {
    let public = case.node_subnets().into_iter().filter(|(_, subnet)| subnet.public_ips);
    public
        .map(|(key, subnet)| {
            let message = format!(
                "nodes in `{key}` would get public addresses, and secure cluster connectivity \
                 assumes that they have none"
            );
            Broken::new(key, case.subnet_place(key, subnet), message)
        })
        .collect()
}

fn one_vpc(case: &Case<'_>) -> Vec<Broken> {
    let mut broken = Vec::new();
    let endpoint_vpc = |key: &String| Some(&case.topology.endpoints.get(key)?.as_ref()?.vpc);
    let group_vpc = |key: &String| Some(&case.topology.groups.get(key)?.as_ref()?.vpc);
    for (name, nodes) in &case.topology.workspaces {
        let subnets = nodes.subnets.iter().map(|key| {
            (key, case.subnet(key).map(|subnet| &subnet.vpc), subnets_place(case, name, nodes))
        });
        let groups = nodes.groups.iter().map(|key| (key, group_vpc(key), case.group_place(name)));
        let links = [&nodes.rest, &nodes.relay].into_iter().flatten();
        let endpoints = links
            .filter_map(|link| link.endpoint.as_ref())
            .map(|key| (key, endpoint_vpc(key), case.place(name)));
        for (key, vpc, place) in subnets.chain(groups).chain(endpoints) {
            let Some(vpc) = vpc.filter(|vpc| case.identity(vpc) != case.identity(&nodes.vpc))
            else {
                continue;
            };
            let message =
                format!("`{key}` is in `{vpc}`, and workspace `{name}` in `{}`", nodes.vpc);
            broken.push(Broken::new(key, place, message));
        }
    }
    broken
}

fn acl_admits_all(case: &Case<'_>) -> Vec<Broken> {
    let told = case.told("DBX-NET-016");
    let nodes = case.node_subnets();
    let mut broken = Vec::new();
    for (key, acl) in &case.topology.acls {
        let Some(acl) = acl else { continue };
        let subnet = acl.subnets.iter().find_map(|s| Some((s, nodes.get(s.as_str())?)));
        let Some((subnet, fields)) = subnet else { continue };
        if !admits_all(acl) && !told.contains(key.as_str()) {
            let message = format!(
                "`{key}` of `{subnet}` does not admit everything from everywhere before it denies \
                 anything, and Databricks looks for that"
            );
            broken.push(Broken::new(key, case.subnet_place(subnet, fields), message));
        }
    }
    broken
}

/// Whether everything may come in, and no denial is looked at before that.
fn admits_all(acl: &NetworkAcl) -> bool {
    let everything = |e: &&AclEntry| e.protocol == Protocol::All && e.cidr == anywhere();
    let ingress = || acl.entries.iter().filter(|entry| !entry.egress);
    let admitted = ingress().filter(everything).filter(|e| e.allow).map(|e| e.number).min();
    let denied = ingress().filter(|entry| !entry.allow).map(|entry| entry.number).min();
    admitted.is_some_and(|admitted| denied.is_none_or(|denied| admitted < denied))
}

fn own_resolver(case: &Case<'_>) -> Vec<Broken> {
    let mut broken = Vec::new();
    for (key, vpc) in case.networks() {
        let Resolver::Own(servers) = &vpc.resolver else { continue };
        let servers: Vec<String> = servers.iter().map(ToString::to_string).collect();
        let message = format!(
            "`{key}` asks {} for names, and nothing here shows that these forward the names of AWS \
             and of Databricks to the Route 53 resolver",
            servers.join(", ")
        );
        broken.push(
            Broken::new(key, case.vpc_itself(key), message)
                .symptom("NETWORK_CHECK_DNS_SERVER_FAILURE, DNS_RESOLUTION_ERROR"),
        );
    }
    broken
}

const GOVCLOUD_EAST: &str = "us-gov-east-1";

fn supported_region(case: &Case<'_>) -> Vec<Broken> {
    let region = case.topology.region.as_str();
    // The other region of GovCloud has a rule of its own.
    if region == GOVCLOUD_EAST || regions::supported().contains(&region) {
        return Vec::new();
    }
    let message = format!("no source confirms that Databricks supports the region {region}");
    let fix = format!("choose one of {}", regions::supported().join(", "));
    vec![Broken::new(&case.spec.name, vec!["region".to_owned()], message).fix(fix)]
}

fn govcloud_east(case: &Case<'_>) -> Vec<Broken> {
    if case.topology.region != GOVCLOUD_EAST {
        return Vec::new();
    }
    let message = format!("Databricks is not offered in {GOVCLOUD_EAST}");
    vec![Broken::new(&case.spec.name, vec!["region".to_owned()], message)]
}

/// Objects of several workspaces: by those workspaces, what they share.
fn shared<'a>(
    case: &Case<'a>,
    keys: impl Fn(&'a Nodes) -> &'a Vec<String>,
) -> BTreeMap<Vec<&'a str>, Vec<&'a str>> {
    let mut users: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, nodes) in &case.topology.workspaces {
        for key in keys(nodes) {
            users.entry(case.identity(key)).or_default().push(name);
        }
    }
    let mut shared: BTreeMap<Vec<&str>, Vec<&str>> = BTreeMap::new();
    for (key, users) in users.into_iter().filter(|(_, users)| users.len() > 1) {
        shared.entry(users).or_default().push(key);
    }
    shared
}

fn shared_subnets(case: &Case<'_>) -> Vec<Broken> {
    let shared = shared(case, |nodes| &nodes.subnets).into_iter();
    let broken = shared.map(|(users, subnets)| {
        let message = format!(
            "workspaces {} share {}: their nodes compete for addresses",
            listed(users.iter().copied()),
            listed(subnets)
        );
        let guest = |name: &&&str| {
            let wanted = case.spec.workspaces.get(**name).and_then(|w| w.subnets.as_ref());
            wanted.is_some_and(|subnets| subnets.share.is_some())
        };
        let subject = users.iter().find(guest).or(users.last()).copied().unwrap_or_default();
        let mut place = case.place(subject);
        place.push("subnets".to_owned());
        Broken::new(subject, place, message)
    });
    broken.collect()
}

fn shared_groups(case: &Case<'_>) -> Vec<Broken> {
    let shared = shared(case, |nodes| &nodes.groups).into_iter();
    let broken = shared.map(|(users, groups)| {
        let message = format!(
            "workspaces {} share {}: their nodes can reach each other",
            listed(users.iter().copied()),
            listed(groups)
        );
        let subject = users.last().copied().unwrap_or_default();
        Broken::new(subject, case.group_place(subject), message)
    });
    broken.collect()
}

fn endpoints_among_nodes(case: &Case<'_>) -> Vec<Broken> {
    let nodes: BTreeSet<&str> =
        case.node_subnets().into_keys().map(|key| case.identity(key)).collect();
    let endpoints = case.endpoints_by_subnet().into_iter();
    let among = endpoints.filter(|(identity, _)| nodes.contains(identity));
    among
        .map(|(_, (key, count))| {
            let message = format!(
                "`{key}` has nodes and {count} interface endpoints, which take addresses from each \
                 other"
            );
            Broken::new(key, case.place(key), message)
        })
        .collect()
}

/// VPCs with nodes and without any way out for them, as far as that is known.
fn closed<'a>(case: &Case<'a>) -> BTreeSet<&'a str> {
    let mut open = BTreeSet::new();
    let mut all = BTreeSet::new();
    for nodes in case.topology.workspaces.values() {
        all.insert(nodes.vpc.as_str());
        let way_out = |key: &String| {
            let subnet = case.subnet(key);
            !subnet.is_some_and(|s| matches!(default_route(case, s), DefaultRoute::None))
        };
        if nodes.subnets.iter().any(way_out) {
            open.insert(nodes.vpc.as_str());
        }
    }
    &all - &open
}

fn endpoint_room(case: &Case<'_>) -> Vec<Broken> {
    let closed = closed(case);
    let mut broken = Vec::new();
    for (key, count) in case.endpoints_by_subnet().into_values() {
        let Some(subnet) = case.subnet(key) else { continue };
        let (cidr, prefix) = (subnet.cidr, subnet.cidr.prefix_len());
        let addresses = subnets::usable(prefix) as usize;
        let message = if addresses < count {
            format!("`{key}` is {cidr}, which has {addresses} addresses for {count} endpoints")
        } else if prefix > ENDPOINT_SUBNET && closed.contains(subnet.vpc.as_str()) {
            let left = addresses - count;
            format!(
                "`{key}` is {cidr}, which leaves {left} addresses for further endpoints, and in a \
                 VPC without a way out everything needs one"
            )
        } else {
            continue;
        };
        broken.push(Broken::new(key, case.subnet_place(key, subnet), message));
    }
    broken
}

fn vpc_size(case: &Case<'_>) -> Vec<Broken> {
    let small = |(key, vpc): &(&str, &Vpc)| {
        let fits = |cidr: &Ipv4Net| cidr.prefix_len() <= TWO_SUBNETS;
        case.knows_blocks(key, vpc) && !vpc.cidrs.iter().any(fits)
    };
    let hosts: BTreeSet<&str> =
        case.topology.workspaces.values().map(|nodes| nodes.vpc.as_str()).collect();
    let vpcs = case.networks().into_iter().filter(|(key, _)| hosts.contains(key)).filter(small);
    vpcs.map(|(key, vpc)| {
        let message = format!(
            "`{key}` is {}, which has no room for two workspace subnets of /{}",
            blocks(&vpc.cidrs),
            subnets::SMALLEST
        );
        Broken::new(key, case.range_place(key), message)
    })
    .collect()
}

fn endpoint_zones(case: &Case<'_>) -> Vec<Broken> {
    // One that was not read may lie in another zone.
    if case.topology.endpoints.values().any(Option::is_none) {
        return Vec::new();
    }
    let mut endpoints: BTreeMap<&str, BTreeSet<Option<&str>>> = BTreeMap::new();
    for endpoint in case.topology.endpoints.values().flatten() {
        let Reach::Interface { subnets, .. } = &endpoint.reach else { continue };
        let zones = subnets.iter().map(|key| Some(case.subnet(key)?.zone.as_str()));
        endpoints.entry(&endpoint.vpc).or_default().extend(zones);
    }
    let mut nodes: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for subnet in case.node_subnets().into_values() {
        nodes.entry(&subnet.vpc).or_default().insert(&subnet.zone);
    }
    let mut broken = Vec::new();
    for (vpc, zones) in endpoints {
        let [Some(only)] = zones.into_iter().collect::<Vec<_>>()[..] else { continue };
        let Some(compute) = nodes.get(vpc).filter(|compute| compute.len() > 1) else { continue };
        let message = format!(
            "all interface endpoints of `{vpc}` are in {only}, and its nodes in {}: losing that \
             zone stops all of them, and traffic between zones costs",
            compute.iter().copied().collect::<Vec<_>>().join(", ")
        );
        let place = case.vpc_place(vpc, &["endpoint_subnets"]);
        broken.push(Broken::new(vpc, place, message));
    }
    broken
}

fn main_table(case: &Case<'_>) -> Vec<Broken> {
    let nodes = case.topology.workspaces.values().flat_map(|nodes| &nodes.subnets);
    let nats = case.topology.nat_gateways.values().flatten().map(|nat| &nat.subnet);
    let endpoints = case.endpoints_by_subnet();
    let used = nodes.chain(nats).map(String::as_str);
    let used: BTreeSet<&str> = used.chain(endpoints.into_values().map(|(key, _)| key)).collect();
    let silent = used.into_iter().filter_map(|key| Some((key, case.subnet(key)?)));
    let silent =
        silent.filter(|(_, subnet)| matches!(case.topology.table(subnet), Table::FreshMain));
    silent
        .map(|(key, subnet)| {
            let message =
                format!("`{key}` has no route table of its own: it has the VPC's main one");
            Broken::new(key, case.subnet_place(key, subnet), message)
        })
        .collect()
}

/// Where a peering is said.
fn peering_place(case: &Case<'_>, key: &str, field: &[&str]) -> Vec<String> {
    let name = key.split_once('/').map_or(key, |(_, name)| name);
    if !case.spec.peerings.contains_key(name) {
        return case.place(key);
    }
    let place = ["peerings", name].into_iter().chain(field.iter().copied());
    place.map(str::to_owned).collect()
}

fn peers_overlap(case: &Case<'_>) -> Vec<Broken> {
    let mut broken = Vec::new();
    for (key, peering) in &case.topology.peerings {
        let Some(Peering { vpc, peer_vpc, peer_cidrs, .. }) = peering else { continue };
        let here = case.vpc(vpc).map(|vpc| vpc.cidrs.as_slice()).unwrap_or_default();
        let there = case.vpc(peer_vpc).map(|vpc| vpc.cidrs.as_slice()).unwrap_or_default();
        let pairs = here.iter().flat_map(|a| there.iter().chain(peer_cidrs).map(move |b| (a, b)));
        let Some((a, b)) = pairs.into_iter().find(|(a, b)| subnets::overlap(a, b)) else {
            continue;
        };
        let message =
            format!("`{key}` connects `{vpc}`, {a}, with `{peer_vpc}`, {b}: they overlap");
        broken.push(Broken::new(key, peering_place(case, key, &["to", "cidr"]), message));
    }
    broken
}

fn one_way_peering(case: &Case<'_>) -> Vec<Broken> {
    let unread: BTreeSet<&str> = case
        .node_subnets()
        .into_values()
        .filter(|subnet| matches!(case.topology.table(subnet), Table::Unread(_) | Table::Unknown))
        .map(|subnet| subnet.vpc.as_str())
        .collect();
    let names = names_over_peerings(case);
    let mut broken = Vec::new();
    for (key, peering) in &case.topology.peerings {
        let Some(peering) = peering else { continue };
        let wanted = key.split_once('/').and_then(|(_, name)| case.spec.peerings.get(name));
        // `dbxctl validate` says that the other side is up to the user there.
        let far = wanted.is_some_and(|w| w.to.account.is_some() || w.to.region.is_some());
        let vpc = peering.vpc.as_str();
        let place = |field: &[&str]| peering_place(case, key, field);
        if peering.peer_cidrs.is_empty() && !unread.contains(vpc) {
            let message = format!("no route of `{vpc}` leads to `{key}`");
            let fix = "give the VPC's `use.route_tables`, so that the route is added to them";
            broken.push(Broken::new(key, place(&["from"]), message).fix(fix));
        }
        if !peering.routes_back && !far {
            let message = format!("no route that is known here leads back over `{key}` to `{vpc}`");
            let fix = "list the peer's tables in `to.route_tables`; if they lead back already, \
                       accept this finding";
            broken.push(Broken::new(key, place(&["to", "route_tables"]), message).fix(fix));
        }
        if let Some(name) = names.get(vpc).filter(|_| !peering.dns) {
            let message = format!(
                "`{key}` does not resolve names to private addresses, and workspaces of `{vpc}` use \
                 `{name}`"
            );
            let fix = "set `dns: true`, or name addresses that lie at the other end";
            broken.push(Broken::new(key, place(&["dns"]), message).fix(fix));
        }
    }
    broken
}

/// By VPC, a machine that its workspaces call by the name AWS gave it.
fn names_over_peerings<'a>(case: &Case<'a>) -> BTreeMap<&'a str, String> {
    let mut names = BTreeMap::new();
    for (name, nodes) in &case.topology.workspaces {
        let Some(wanted) = case.spec.workspaces.get(name) else { continue };
        let named = wanted.uses.remotes().find_map(|Remote { host, .. }| match host {
            Host::Name(name) => is_machine(&name).then_some(name),
            Host::Range(_) => None,
        });
        if let Some(named) = named {
            names.entry(nodes.vpc.as_str()).or_insert(named);
        }
    }
    names
}

/// Whether it is the public name of a machine, a database or a broker, which resolves to its private
/// address in its own VPC and over peerings. APIs of AWS have shorter names.
fn is_machine(name: &str) -> bool {
    name.ends_with(".amazonaws.com") && name.split('.').count() > 4 && !name.contains(".s3.")
}
