//! A security group without its rules, so that two groups may name each other in theirs.

use std::collections::BTreeMap;

use ::aws::ec2::types;
use ::aws::ec2::types::ResourceType;
use ::aws::{Aws, Named};
use cloud::Result;
use engine::{Diff, Found, Kind, Mark, Ref, Replace, Wanted};
use serde::{Deserialize, Serialize};

use super::vpc::VpcId;
use crate::Tags;

engine::id! {
    /// `sg-…`
    GroupId,
}

/// `aws.security_group`
pub struct SecurityGroup;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Props {
    pub vpc: Ref<VpcId>,
    /// Unique in the VPC.
    pub name: String,
    pub description: String,
    pub tags: Tags,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    pub vpc: VpcId,
    pub name: String,
    pub description: String,
    pub tags: Tags,
}

impl Kind for SecurityGroup {
    const NAME: &'static str = "aws.security_group";
    const SERVICE: &'static str = "ec2";
    const REPLACE: Replace = Replace::CreateFirst { name: Some("name") };
    const UNIQUE: bool = true;

    type Cloud = Aws;
    type Id = GroupId;
    type Props = Props;
    type Seen = Seen;

    fn mark(props: &mut Props, mark: &Mark) {
        super::put_mark(&mut props.tags, mark);
    }

    fn diff(want: &Props, have: &Seen) -> Diff {
        let Props { vpc, name, description, tags } = want;
        Diff::default()
            .replace("vpc", vpc, &have.vpc)
            .replace("name", name, &have.name)
            .replace("description", description, &have.description)
            .update("tags", tags, &have.tags)
    }

    async fn read(cloud: &Aws, ids: &[GroupId]) -> Result<Vec<Option<Seen>>> {
        let mut all = BTreeMap::new();
        for group in groups(cloud, ids).await? {
            let (id, seen) = seen(&group)?;
            all.insert(id, seen);
        }
        Ok(super::in_order(ids, all))
    }

    async fn find(
        cloud: &Aws,
        stack: &str,
        wanted: &[Wanted<Props>],
    ) -> Result<Vec<Vec<Found<GroupId>>>> {
        let all = describe(cloud, super::of_stack(stack)).await?;
        Ok(super::by_mark(stack, wanted, all.iter().map(|g| (g.group_id(), g.tags()))))
    }

    /// With the rule AWS gives each new group, everything out: its rules are another kind's.
    async fn create(cloud: &Aws, props: &Props) -> Result<GroupId> {
        let call = cloud
            .ec2
            .create_security_group()
            .vpc_id(&props.vpc.get()?.0)
            .group_name(&props.name)
            .description(&props.description)
            .tag_specifications(super::birth_tags(ResourceType::SecurityGroup, &props.tags));
        let answer = call.send().await.named("ec2:CreateSecurityGroup")?;
        Ok(GroupId(super::sent("ec2:CreateSecurityGroup", "groupId", answer.group_id)?))
    }

    async fn update(cloud: &Aws, id: &GroupId, props: &Props, diff: &Diff) -> Result<()> {
        super::update_tags(cloud, id, &props.tags, diff).await
    }

    async fn delete(cloud: &Aws, id: &GroupId) -> Result<()> {
        let call = cloud.ec2.delete_security_group().group_id(&id.0);
        call.send().await.named("ec2:DeleteSecurityGroup")?;
        Ok(())
    }
}

async fn describe(cloud: &Aws, filters: Vec<types::Filter>) -> Result<Vec<types::SecurityGroup>> {
    let call = cloud.ec2.describe_security_groups().set_filters(Some(filters));
    let all: Result<Vec<_>, _> = call.into_paginator().items().send().collect().await;
    all.named("ec2:DescribeSecurityGroups")
}

/// The groups with these ids that exist.
pub(super) async fn groups(cloud: &Aws, ids: &[GroupId]) -> Result<Vec<types::SecurityGroup>> {
    let mut all = Vec::new();
    for filters in super::filters("group-id", ids) {
        all.extend(describe(cloud, filters).await?);
    }
    Ok(all)
}

fn seen(group: &types::SecurityGroup) -> Result<(GroupId, Seen)> {
    let call = "ec2:DescribeSecurityGroups";
    let id = super::sent(call, "groupId", group.group_id())?;
    let seen = Seen {
        vpc: super::sent(call, "vpcId", group.vpc_id())?.into(),
        name: group.group_name().unwrap_or_default().to_owned(),
        description: group.description().unwrap_or_default().to_owned(),
        tags: super::tags(group.tags()),
    };
    Ok((id.into(), seen))
}
