//! An instance profile: what hands a role to EC2 instances.
//!
//! API: CreateInstanceProfile, GetInstanceProfile, Add/RemoveRoleToInstanceProfile,
//! Tag/UntagInstanceProfile, DeleteInstanceProfile. It holds one role at most.

use ::aws::iam::types::InstanceProfile as Described;
use ::aws::{Aws, Named};
use cloud::{Class, Result};
use engine::{Diff, Found, Kind, Mark, Out, Ref, Replace, Wanted};
use futures::FutureExt;
use serde::{Deserialize, Serialize};

use super::is_for;
use super::role::{RoleName, before, sdk_tags, tags_of};
use super::single::{changes, side_by_side};
use crate::{Arn, Tags};

/// The ARN of the profile.
pub const ARN: Out<InstanceProfile, Arn> = Out::field("arn");

pub struct InstanceProfile;

engine::id!(
    /// The name of an instance profile, unique in the AWS account.
    InstanceProfileName
);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Props {
    pub name: String,
    pub role: Ref<RoleName>,
    pub tags: Tags,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    pub name: String,
    pub role: Option<RoleName>,
    pub tags: Tags,
    pub arn: Arn,
}

impl Kind for InstanceProfile {
    const NAME: &'static str = "aws.instance_profile";
    const SERVICE: &'static str = "iam";
    const REPLACE: Replace = Replace::CreateFirst { name: None };
    const UNIQUE: bool = true;

    type Cloud = Aws;
    type Id = InstanceProfileName;
    type Props = Props;
    type Seen = Seen;

    fn mark(props: &mut Props, mark: &Mark) {
        super::put_mark(&mut props.tags, mark);
    }

    fn diff(want: &Props, have: &Seen) -> Diff {
        let Props { name, role, tags } = want;
        Diff::default()
            .replace("name", name, &have.name)
            .update("role", role, &have.role)
            .update("tags", tags, &have.tags)
    }

    fn reborn(want: &Props, last: &Seen) -> Vec<(&'static str, String)> {
        if want.name != last.name {
            return Vec::new();
        }
        vec![("id", last.name.clone()), (ARN.field, last.arn.0.clone())]
    }

    async fn read(cloud: &Aws, ids: &[InstanceProfileName]) -> Result<Vec<Option<Seen>>> {
        let see = |id: &InstanceProfileName| {
            let name = id.0.clone();
            async move { Ok(get(cloud, &name).await?.as_ref().map(see)) }.boxed()
        };
        side_by_side(ids.iter().map(see).collect()).await
    }

    async fn find(
        cloud: &Aws,
        stack: &str,
        wanted: &[Wanted<Props>],
    ) -> Result<Vec<Vec<Found<InstanceProfileName>>>> {
        let candidate = |wanted: &Wanted<Props>| {
            let (name, address) = (wanted.props.name.clone(), wanted.address.clone());
            async move {
                let Some(profile) = get(cloud, &name).await? else { return Ok(Vec::new()) };
                let id = InstanceProfileName(name);
                let ours = is_for(&tags_of(profile.tags()), stack, address.as_str());
                Ok(vec![if ours { Found::Ours(id) } else { Found::Foreign(id) }])
            }
            .boxed()
        };
        side_by_side(wanted.iter().map(candidate).collect()).await
    }

    /// Without its role, which the first update adds.
    async fn create(cloud: &Aws, props: &Props) -> Result<InstanceProfileName> {
        let action = "iam:CreateInstanceProfile";
        let tags = sdk_tags(action, &props.tags)?;
        let call = cloud.iam.create_instance_profile().instance_profile_name(&props.name);
        call.set_tags(Some(tags)).send().await.named(action)?;
        Ok(InstanceProfileName(props.name.clone()))
    }

    async fn update(
        cloud: &Aws,
        id: &InstanceProfileName,
        props: &Props,
        diff: &Diff,
    ) -> Result<()> {
        let (iam, name) = (&cloud.iam, id.0.as_str());
        if let Some(before) = before::<Option<RoleName>>(diff, "role") {
            if let Some(role) = before {
                super::or_absent(remove_role(cloud, name, &role.0).await)?;
            }
            let call = iam.add_role_to_instance_profile().instance_profile_name(name);
            let call = call.role_name(&props.role.get()?.0);
            call.send().await.named("iam:AddRoleToInstanceProfile")?;
        }
        if let Some(before) = before::<Tags>(diff, "tags") {
            let (set, gone) = changes(&before, &props.tags);
            if !set.is_empty() {
                let action = "iam:TagInstanceProfile";
                let call = iam.tag_instance_profile().instance_profile_name(name);
                let call = call.set_tags(Some(sdk_tags(action, &set)?));
                call.send().await.named(action)?;
            }
            if !gone.is_empty() {
                let call = iam.untag_instance_profile().instance_profile_name(name);
                let call = call.set_tag_keys(Some(gone));
                call.send().await.named("iam:UntagInstanceProfile")?;
            }
        }
        Ok(())
    }

    /// A profile goes only without its role.
    async fn delete(cloud: &Aws, id: &InstanceProfileName) -> Result<()> {
        if let Some(profile) = get(cloud, &id.0).await? {
            for role in profile.roles() {
                super::or_absent(remove_role(cloud, &id.0, role.role_name()).await)?;
            }
        }
        let call = cloud.iam.delete_instance_profile().instance_profile_name(&id.0);
        call.send().await.named("iam:DeleteInstanceProfile").map(drop)
    }
}

fn see(profile: &Described) -> Seen {
    Seen {
        name: profile.instance_profile_name().to_owned(),
        role: profile.roles().first().map(|role| RoleName(role.role_name().to_owned())),
        tags: tags_of(profile.tags()),
        arn: Arn(profile.arn().to_owned()),
    }
}

async fn get(cloud: &Aws, name: &str) -> Result<Option<Described>> {
    let call = cloud.iam.get_instance_profile().instance_profile_name(name);
    match call.send().await.named("iam:GetInstanceProfile") {
        Ok(answer) => Ok(answer.instance_profile),
        Err(error) if error.class == Class::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

async fn remove_role(cloud: &Aws, name: &str, role: &str) -> Result<()> {
    let call = cloud.iam.remove_role_from_instance_profile().instance_profile_name(name);
    call.role_name(role).send().await.named("iam:RemoveRoleFromInstanceProfile").map(drop)
}
