//! All rules of one security group: what is not listed is not there.

use std::collections::{BTreeMap, BTreeSet};

use ::aws::ec2::types::{
    IpPermission, IpRange, Ipv6Range, PrefixListId, SecurityGroup as Group, UserIdGroupPair,
};
use ::aws::{Aws, Named};
use cloud::{Class, Error, Result};
use engine::{Diff, Found, Kind, Ref, Replace, Wanted};
use ipnet::{Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

use super::security_group;
use super::security_group::GroupId;

engine::id! {
    /// The id of the group, `sg-…`: its rules come and go with it.
    GroupRulesId,
}

/// `aws.security_group_rules`
pub struct SecurityGroupRules;

/// One rule. It has no description, because that cannot be read back everywhere.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Rule {
    /// `tcp`, `udp`, or `-1` for everything.
    pub protocol: String,
    /// First port; `None` when the protocol has none.
    pub from: Option<u16>,
    /// Last port; `None` when the protocol has none.
    pub to: Option<u16>,
    pub peer: Peer,
}

/// The other end of a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Peer {
    /// Canonical: no host bits.
    Cidr(Ipv4Net),
    /// Another group; the group itself is always [`Peer::Itself`].
    Group(Ref<GroupId>),
    /// `pl-…`
    PrefixList(String),
    Itself,
    /// Only ever seen: somebody added it.
    Cidr6(Ipv6Net),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Props {
    pub group: Ref<GroupId>,
    pub ingress: BTreeSet<Rule>,
    pub egress: BTreeSet<Rule>,
}

/// The groups inside rules are always known here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    pub group: GroupId,
    pub ingress: BTreeSet<Rule>,
    pub egress: BTreeSet<Rule>,
}

impl Kind for SecurityGroupRules {
    const NAME: &'static str = "aws.security_group_rules";
    const SERVICE: &'static str = "ec2";
    const UNIQUE: bool = true;
    /// Replaced only for another group: the old one keeps its rules while users move.
    const REPLACE: Replace = Replace::CreateFirst { name: None };

    type Cloud = Aws;
    type Id = GroupRulesId;
    type Props = Props;
    type Seen = Seen;

    fn diff(want: &Props, have: &Seen) -> Diff {
        let Props { group, ingress, egress } = want;
        Diff::default()
            .replace("group", group, &have.group)
            .update("ingress", ingress, &have.ingress)
            .update("egress", egress, &have.egress)
    }

    /// `None` also for a group without any rule, so that deleting the rules has an end: the group
    /// lives on.
    async fn read(cloud: &Aws, ids: &[GroupRulesId]) -> Result<Vec<Option<Seen>>> {
        let groups: Vec<GroupId> = ids.iter().map(group_of).collect();
        let mut all = BTreeMap::new();
        for group in security_group::groups(cloud, &groups).await? {
            let seen = seen(&group)?;
            if !(seen.ingress.is_empty() && seen.egress.is_empty()) {
                all.insert(GroupRulesId(seen.group.0.clone()), seen);
            }
        }
        Ok(super::in_order(ids, all))
    }

    /// A group always has a rule set, if only an empty one, and whoever owns the group owns it.
    async fn find(
        cloud: &Aws,
        _stack: &str,
        wanted: &[Wanted<Props>],
    ) -> Result<Vec<Vec<Found<GroupRulesId>>>> {
        let groups: Vec<GroupId> =
            wanted.iter().filter_map(|w| w.props.group.get().ok().cloned()).collect();
        let exist: BTreeSet<GroupId> = security_group::groups(cloud, &groups)
            .await?
            .iter()
            .filter_map(|group| group.group_id().map(GroupId::from))
            .collect();
        let found = |w: &Wanted<Props>| {
            let group = w.props.group.get().ok().filter(|group| exist.contains(*group));
            group.map(|group| Found::Ours(GroupRulesId(group.0.clone()))).into_iter().collect()
        };
        Ok(wanted.iter().map(found).collect())
    }

    /// Without a call: the rule set came to be with its group. Filling it is an update.
    async fn create(_cloud: &Aws, props: &Props) -> Result<GroupRulesId> {
        Ok(GroupRulesId(props.group.get()?.0.clone()))
    }

    /// Reads the group again first, because an earlier try may have got half-way. What is missing
    /// comes before what is too much goes, so that nothing that stays allowed is ever cut.
    async fn update(cloud: &Aws, id: &GroupRulesId, props: &Props, diff: &Diff) -> Result<()> {
        let (ingress, egress) = permissions(cloud, id).await?;
        if diff.has("ingress") {
            let missing = missing(&id.0, &props.ingress, &ingress)?;
            let surplus = surplus(&ingress, &props.ingress);
            authorize_ingress(cloud, id, missing).await?;
            revoke_ingress(cloud, id, surplus).await?;
        }
        if diff.has("egress") {
            let missing = missing(&id.0, &props.egress, &egress)?;
            let surplus = surplus(&egress, &props.egress);
            authorize_egress(cloud, id, missing).await?;
            revoke_egress(cloud, id, surplus).await?;
        }
        Ok(())
    }

    async fn delete(cloud: &Aws, id: &GroupRulesId) -> Result<()> {
        let (ingress, egress) = permissions(cloud, id).await?;
        revoke_ingress(cloud, id, surplus(&ingress, &BTreeSet::new())).await?;
        revoke_egress(cloud, id, surplus(&egress, &BTreeSet::new())).await
    }
}

/// Each rule of one direction, with the request part that names exactly it.
type Permissions = BTreeMap<Rule, IpPermission>;

fn group_of(id: &GroupRulesId) -> GroupId {
    GroupId(id.0.clone())
}

async fn permissions(cloud: &Aws, id: &GroupRulesId) -> Result<(Permissions, Permissions)> {
    let group = group_of(id);
    let all = security_group::groups(cloud, std::slice::from_ref(&group)).await?;
    let found = all.iter().find(|g| g.group_id() == Some(&group.0));
    let found = found.ok_or_else(|| super::gone("ec2:DescribeSecurityGroups", id))?;
    Ok((single(&id.0, found.ip_permissions())?, single(&id.0, found.ip_permissions_egress())?))
}

fn seen(group: &Group) -> Result<Seen> {
    let id = super::sent("ec2:DescribeSecurityGroups", "groupId", group.group_id())?;
    Ok(Seen {
        group: id.into(),
        ingress: single(id, group.ip_permissions())?.into_keys().collect(),
        egress: single(id, group.ip_permissions_egress())?.into_keys().collect(),
    })
}

/// Takes permissions apart: AWS lists all peers of one protocol and port range together.
fn single(group: &str, permissions: &[IpPermission]) -> Result<Permissions> {
    let mut all = BTreeMap::new();
    for permission in permissions {
        let protocol = permission.ip_protocol().unwrap_or("-1");
        // ICMP has types here, and -1 for all of them; "everything" has no ports at all.
        let port = |port: Option<i32>| {
            port.filter(|_| protocol != "-1").and_then(|p| u16::try_from(p).ok())
        };
        let rule = |peer| Rule {
            protocol: protocol.to_owned(),
            from: port(permission.from_port()),
            to: port(permission.to_port()),
            peer,
        };
        let part = || {
            IpPermission::builder()
                .ip_protocol(protocol)
                .set_from_port(permission.from_port())
                .set_to_port(permission.to_port())
        };
        for range in permission.ip_ranges() {
            let text = range.cidr_ip().unwrap_or_default();
            let block = text.parse().map_err(|_| unreadable(group, text))?;
            let range = IpRange::builder().cidr_ip(text).build();
            all.insert(rule(Peer::Cidr(block)), part().ip_ranges(range).build());
        }
        for range in permission.ipv6_ranges() {
            let text = range.cidr_ipv6().unwrap_or_default();
            let block = text.parse().map_err(|_| unreadable(group, text))?;
            let range = Ipv6Range::builder().cidr_ipv6(text).build();
            all.insert(rule(Peer::Cidr6(block)), part().ipv6_ranges(range).build());
        }
        for list in permission.prefix_list_ids() {
            let id = list.prefix_list_id().unwrap_or_default();
            let list = PrefixListId::builder().prefix_list_id(id).build();
            let peer = Peer::PrefixList(id.to_owned());
            all.insert(rule(peer), part().prefix_list_ids(list).build());
        }
        for pair in permission.user_id_group_pairs() {
            let id = pair.group_id().unwrap_or_default();
            let peer = match id == group {
                true => Peer::Itself,
                false => Peer::Group(Ref::Known(id.into())),
            };
            // A group of another account is only known together with that account.
            let pair = UserIdGroupPair::builder()
                .group_id(id)
                .set_user_id(pair.user_id().map(str::to_owned))
                .build();
            all.insert(rule(peer), part().user_id_group_pairs(pair).build());
        }
    }
    Ok(all)
}

fn unreadable(group: &str, text: &str) -> Error {
    let message = format!("a rule of {group} names `{text}`, which is no address block");
    Error::new(Class::Other, "ec2:DescribeSecurityGroups", message)
}

/// The request part for a rule.
fn part(group: &str, rule: &Rule) -> Result<IpPermission> {
    let everything = rule.protocol == "-1";
    let port = |port: Option<u16>| match port {
        _ if everything => None,
        Some(port) => Some(i32::from(port)),
        None => Some(-1),
    };
    let part = IpPermission::builder()
        .ip_protocol(&rule.protocol)
        .set_from_port(port(rule.from))
        .set_to_port(port(rule.to));
    let pair = |id: &str| UserIdGroupPair::builder().group_id(id).build();
    let part = match &rule.peer {
        Peer::Cidr(block) => part.ip_ranges(IpRange::builder().cidr_ip(block.to_string()).build()),
        Peer::Cidr6(block) => {
            part.ipv6_ranges(Ipv6Range::builder().cidr_ipv6(block.to_string()).build())
        }
        Peer::PrefixList(id) => {
            part.prefix_list_ids(PrefixListId::builder().prefix_list_id(id).build())
        }
        Peer::Group(id) => part.user_id_group_pairs(pair(&id.get()?.0)),
        Peer::Itself => part.user_id_group_pairs(pair(group)),
    };
    Ok(part.build())
}

fn missing(group: &str, want: &BTreeSet<Rule>, have: &Permissions) -> Result<Vec<IpPermission>> {
    want.iter().filter(|rule| !have.contains_key(rule)).map(|rule| part(group, rule)).collect()
}

fn surplus(have: &Permissions, want: &BTreeSet<Rule>) -> Vec<IpPermission> {
    let surplus = have.iter().filter(|(rule, _)| !want.contains(rule));
    surplus.map(|(_, part)| part.clone()).collect()
}

async fn authorize_ingress(cloud: &Aws, id: &GroupRulesId, parts: Vec<IpPermission>) -> Result<()> {
    if !parts.is_empty() {
        let call = cloud.ec2.authorize_security_group_ingress().group_id(&id.0);
        let call = call.set_ip_permissions(Some(parts));
        call.send().await.named("ec2:AuthorizeSecurityGroupIngress")?;
    }
    Ok(())
}

async fn authorize_egress(cloud: &Aws, id: &GroupRulesId, parts: Vec<IpPermission>) -> Result<()> {
    if !parts.is_empty() {
        let call = cloud.ec2.authorize_security_group_egress().group_id(&id.0);
        let call = call.set_ip_permissions(Some(parts));
        call.send().await.named("ec2:AuthorizeSecurityGroupEgress")?;
    }
    Ok(())
}

async fn revoke_ingress(cloud: &Aws, id: &GroupRulesId, parts: Vec<IpPermission>) -> Result<()> {
    if !parts.is_empty() {
        let call = cloud.ec2.revoke_security_group_ingress().group_id(&id.0);
        let call = call.set_ip_permissions(Some(parts));
        call.send().await.named("ec2:RevokeSecurityGroupIngress")?;
    }
    Ok(())
}

async fn revoke_egress(cloud: &Aws, id: &GroupRulesId, parts: Vec<IpPermission>) -> Result<()> {
    if !parts.is_empty() {
        let call = cloud.ec2.revoke_security_group_egress().group_id(&id.0);
        let call = call.set_ip_permissions(Some(parts));
        call.send().await.named("ec2:RevokeSecurityGroupEgress")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(protocol: &str, ports: Option<(u16, u16)>, peer: Peer) -> Rule {
        let (from, to) = ports.unzip();
        Rule { protocol: protocol.to_owned(), from, to, peer }
    }

    fn all_sorts() -> BTreeSet<Rule> {
        BTreeSet::from([
            rule("tcp", Some((443, 443)), Peer::Cidr("10.0.0.0/16".parse().unwrap())),
            rule("tcp", Some((0, 65535)), Peer::Itself),
            rule("udp", Some((53, 53)), Peer::Group(Ref::Known("sg-2".into()))),
            rule("tcp", Some((443, 443)), Peer::PrefixList("pl-1".to_owned())),
            rule("-1", None, Peer::Cidr("0.0.0.0/0".parse().unwrap())),
            rule("-1", None, Peer::Cidr6("::/0".parse().unwrap())),
            rule("icmp", None, Peer::Itself),
        ])
    }

    #[test]
    fn rules_round_trip() {
        let parts: Vec<_> = all_sorts().iter().map(|r| part("sg-1", r).unwrap()).collect();
        let back: BTreeSet<Rule> = single("sg-1", &parts).unwrap().into_keys().collect();
        assert_eq!(back, all_sorts());
    }

    #[test]
    fn grouped_permissions_are_taken_apart() {
        let grouped = IpPermission::builder()
            .ip_protocol("tcp")
            .from_port(443)
            .to_port(443)
            .ip_ranges(IpRange::builder().cidr_ip("10.0.0.0/24").description("x").build())
            .ip_ranges(IpRange::builder().cidr_ip("10.0.1.0/24").build())
            .user_id_group_pairs(UserIdGroupPair::builder().group_id("sg-1").build())
            .build();
        let rules: BTreeSet<Rule> = single("sg-1", &[grouped]).unwrap().into_keys().collect();
        let https = |peer| rule("tcp", Some((443, 443)), peer);
        let expected = BTreeSet::from([
            https(Peer::Cidr("10.0.0.0/24".parse().unwrap())),
            https(Peer::Cidr("10.0.1.0/24".parse().unwrap())),
            https(Peer::Itself),
        ]);
        assert_eq!(rules, expected);
    }

    #[test]
    fn only_differences_are_sent() {
        let parts: Vec<_> = all_sorts().iter().map(|r| part("sg-1", r).unwrap()).collect();
        let have = single("sg-1", &parts).unwrap();
        let mut want = all_sorts();
        let dropped = want.pop_first().unwrap();
        want.insert(rule("tcp", Some((22, 22)), Peer::Itself));
        let sent = missing("sg-1", &want, &have).unwrap();
        assert_eq!(sent.iter().map(IpPermission::from_port).collect::<Vec<_>>(), [Some(22)]);
        assert_eq!(surplus(&have, &want), [have[&dropped].clone()]);
    }
}
