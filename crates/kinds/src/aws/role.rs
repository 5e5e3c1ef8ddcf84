//! An IAM role with its policies.
//!
//! API: CreateRole, GetRole, UpdateAssumeRolePolicy, Put/Get/List/DeleteRolePolicy,
//! Attach/Detach/ListAttachedRolePolicies, TagRole, UntagRole, UpdateRole,
//! DeleteRolePermissionsBoundary, DeleteRole.
//! A trust policy may not name a principal that does not exist, the role itself included: a role that
//! trusts itself is made without that and gets it by update.

use std::collections::{BTreeMap, BTreeSet};

use ::aws::iam::types::{Role as Described, Tag};
use ::aws::{Aws, Named};
use cloud::{Class, Error, Result};
use engine::{Diff, Found, Kind, Mark, Out, Replace, Wanted};
use futures::FutureExt;
use futures::future::{try_join_all, try_join3};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::single::{changes, side_by_side};
use super::{is_for, without_platform};
use crate::policy::{Policy, Principal, Statement};
use crate::{Arn, Tags};

/// The ARN of the role.
pub const ARN: Out<Role, Arn> = Out::field("arn");

pub struct Role;

engine::id!(
    /// The name of a role, unique in the AWS account.
    RoleName
);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Props {
    /// At most 64 characters.
    pub name: String,
    pub description: String,
    /// May name the role itself.
    pub trust: Policy,
    /// Inline policies by name.
    pub inline: BTreeMap<String, Policy>,
    /// ARNs of attached policies.
    pub managed: BTreeSet<String>,
    pub tags: Tags,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    pub name: String,
    pub description: String,
    pub trust: Policy,
    pub inline: BTreeMap<String, Policy>,
    pub managed: BTreeSet<String>,
    pub tags: Tags,
    pub arn: Arn,
    /// `AROA…`; a role made anew under the same name has another one.
    pub unique_id: String,
    /// The longest session, in seconds.
    #[serde(default = "shortest_session")]
    pub max_session: i32,
    /// The ARN of a policy that limits what the others may allow.
    #[serde(default)]
    pub boundary: Option<String>,
}

/// What a role is born with, in seconds (IAM API reference, CreateRole).
fn shortest_session() -> i32 {
    3600
}

impl Kind for Role {
    const NAME: &'static str = "aws.role";
    const SERVICE: &'static str = "iam";
    const REPLACE: Replace = Replace::CreateFirst { name: None };
    const UNIQUE: bool = true;

    type Cloud = Aws;
    type Id = RoleName;
    type Props = Props;
    type Seen = Seen;

    fn mark(props: &mut Props, mark: &Mark) {
        super::put_mark(&mut props.tags, mark);
    }

    fn diff(want: &Props, have: &Seen) -> Diff {
        let Props { name, description, trust, inline, managed, tags } = want;
        Diff::default()
            .replace("name", name, &have.name)
            .update("description", description, &have.description)
            .update("trust", trust, &have.trust)
            .update("inline", inline, &have.inline)
            .update("managed", managed, &have.managed)
            .update("tags", tags, &have.tags)
            // The spec has no words for these two, so they are as the role is born.
            .update("max_session", &shortest_session(), &have.max_session)
            .update("boundary", &None::<String>, &have.boundary)
    }

    fn reborn(want: &Props, last: &Seen) -> Vec<(&'static str, String)> {
        if want.name != last.name {
            return Vec::new();
        }
        vec![("id", last.name.clone()), (ARN.field, last.arn.0.clone())]
    }

    async fn read(cloud: &Aws, ids: &[RoleName]) -> Result<Vec<Option<Seen>>> {
        side_by_side(ids.iter().map(|id| see(cloud, &id.0).boxed()).collect()).await
    }

    async fn find(
        cloud: &Aws,
        stack: &str,
        wanted: &[Wanted<Props>],
    ) -> Result<Vec<Vec<Found<RoleName>>>> {
        let candidate = |wanted: &Wanted<Props>| {
            let (name, address) = (wanted.props.name.clone(), wanted.address.clone());
            async move {
                let Some(role) = get(cloud, &name).await? else { return Ok(Vec::new()) };
                let id = RoleName(name);
                let ours = is_for(&tags_of(role.tags()), stack, address.as_str());
                Ok(vec![if ours { Found::Ours(id) } else { Found::Foreign(id) }])
            }
            .boxed()
        };
        side_by_side(wanted.iter().map(candidate).collect()).await
    }

    async fn create(cloud: &Aws, props: &Props) -> Result<RoleName> {
        let action = "iam:CreateRole";
        let call = cloud
            .iam
            .create_role()
            .role_name(&props.name)
            .set_description(Some(props.description.clone()).filter(|text| !text.is_empty()))
            .assume_role_policy_document(first_trust(props).to_json()?)
            .set_tags(Some(sdk_tags(action, &props.tags)?));
        call.send().await.named(action)?;
        Ok(RoleName(props.name.clone()))
    }

    async fn update(cloud: &Aws, id: &RoleName, props: &Props, diff: &Diff) -> Result<()> {
        let (iam, name) = (&cloud.iam, id.0.as_str());
        if diff.has("description") {
            // UpdateRole would also set the session length back to its default.
            let call = iam.update_role_description().role_name(name);
            let call = call.description(&props.description);
            call.send().await.named("iam:UpdateRoleDescription")?;
        }
        if diff.has("max_session") {
            let call = iam.update_role().role_name(name).description(&props.description);
            let call = call.max_session_duration(shortest_session());
            call.send().await.named("iam:UpdateRole")?;
        }
        if diff.has("boundary") {
            let call = iam.delete_role_permissions_boundary().role_name(name);
            call.send().await.named("iam:DeleteRolePermissionsBoundary")?;
        }
        if let Some(before) = before::<BTreeMap<String, Policy>>(diff, "inline") {
            for (policy, document) in &props.inline {
                if before.get(policy) != Some(document) {
                    let call = iam.put_role_policy().role_name(name).policy_name(policy);
                    let call = call.policy_document(document.to_json()?);
                    call.send().await.named("iam:PutRolePolicy")?;
                }
            }
            for policy in before.keys().filter(|policy| !props.inline.contains_key(*policy)) {
                delete_inline(cloud, name, policy).await?;
            }
        }
        if let Some(before) = before::<BTreeSet<String>>(diff, "managed") {
            for arn in props.managed.difference(&before) {
                let call = iam.attach_role_policy().role_name(name).policy_arn(arn);
                call.send().await.named("iam:AttachRolePolicy")?;
            }
            for arn in before.difference(&props.managed) {
                detach(cloud, name, arn).await?;
            }
        }
        if let Some(before) = before::<Tags>(diff, "tags") {
            let (set, gone) = changes(&before, &props.tags);
            if !set.is_empty() {
                let set = sdk_tags("iam:TagRole", &set)?;
                let call = iam.tag_role().role_name(name).set_tags(Some(set));
                call.send().await.named("iam:TagRole")?;
            }
            if !gone.is_empty() {
                let call = iam.untag_role().role_name(name).set_tag_keys(Some(gone));
                call.send().await.named("iam:UntagRole")?;
            }
        }
        if diff.has("trust") {
            // Last: it is refused for some seconds when it names what was just made, itself included.
            let call = iam.update_assume_role_policy().role_name(name);
            let call = call.policy_document(props.trust.to_json()?);
            call.send().await.named("iam:UpdateAssumeRolePolicy")?;
        }
        Ok(())
    }

    /// A role goes only without policies, so they go first.
    async fn delete(cloud: &Aws, id: &RoleName) -> Result<()> {
        let name = id.0.as_str();
        for arn in attached(cloud, name).await? {
            super::or_absent(detach(cloud, name, &arn).await)?;
        }
        for policy in inline_names(cloud, name).await? {
            super::or_absent(delete_inline(cloud, name, &policy).await)?;
        }
        cloud.iam.delete_role().role_name(name).send().await.named("iam:DeleteRole").map(drop)
    }
}

/// The trust policy a role can be born with: nobody may be named who is not there yet.
fn first_trust(props: &Props) -> Policy {
    let own = format!(":role/{}", props.name);
    let itself = |principal: &Principal| match principal {
        Principal::Aws(arn) => arn.get().is_ok_and(|arn| arn.0.ends_with(&own)),
        _ => false,
    };
    let mut trust = props.trust.without(itself);
    if trust.statements.is_empty() {
        // A trust policy needs a statement; until it is complete, nobody may use the role.
        trust.statements.push(Statement {
            principals: [Principal::Anyone].into(),
            actions: ["sts:AssumeRole".to_owned()].into(),
            ..Statement::default()
        });
    }
    trust
}

async fn see(cloud: &Aws, name: &str) -> Result<Option<Seen>> {
    let Some(role) = get(cloud, name).await? else { return Ok(None) };
    let inline = async {
        let names = inline_names(cloud, name).await?;
        let policies = names.into_iter().map(|policy| inline_policy(cloud, name, policy));
        Ok::<_, Error>(try_join_all(policies).await?.into_iter().collect())
    };
    let trust = async {
        let document = role.assume_role_policy_document().unwrap_or("{}");
        Policy::from_json(&decoded(document)?)
    };
    let (trust, inline, managed) = match try_join3(trust, inline, attached(cloud, name)).await {
        Ok(all) => all,
        // It went away between the calls.
        Err(error) if error.class == Class::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(Some(Seen {
        name: role.role_name().to_owned(),
        description: role.description().unwrap_or_default().to_owned(),
        trust,
        inline,
        managed,
        tags: tags_of(role.tags()),
        arn: Arn(role.arn().to_owned()),
        unique_id: role.role_id().to_owned(),
        max_session: role.max_session_duration().unwrap_or_else(shortest_session),
        boundary: role
            .permissions_boundary()
            .and_then(|b| b.permissions_boundary_arn())
            .map(str::to_owned),
    }))
}

async fn get(cloud: &Aws, name: &str) -> Result<Option<Described>> {
    match cloud.iam.get_role().role_name(name).send().await.named("iam:GetRole") {
        Ok(answer) => Ok(answer.role),
        Err(error) if error.class == Class::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

async fn inline_names(cloud: &Aws, name: &str) -> Result<Vec<String>> {
    let pages = cloud.iam.list_role_policies().role_name(name).into_paginator().items().send();
    pages.collect::<Result<Vec<_>, _>>().await.named("iam:ListRolePolicies")
}

async fn inline_policy(cloud: &Aws, name: &str, policy: String) -> Result<(String, Policy)> {
    let call = cloud.iam.get_role_policy().role_name(name).policy_name(&policy);
    let answer = call.send().await.named("iam:GetRolePolicy")?;
    Ok((policy, Policy::from_json(&decoded(answer.policy_document())?)?))
}

async fn attached(cloud: &Aws, name: &str) -> Result<BTreeSet<String>> {
    let call = cloud.iam.list_attached_role_policies().role_name(name);
    let all = call.into_paginator().items().send().collect::<Result<Vec<_>, _>>().await;
    let all = all.named("iam:ListAttachedRolePolicies")?;
    Ok(all.into_iter().filter_map(|policy| policy.policy_arn).collect())
}

async fn detach(cloud: &Aws, name: &str, arn: &str) -> Result<()> {
    let call = cloud.iam.detach_role_policy().role_name(name).policy_arn(arn);
    call.send().await.named("iam:DetachRolePolicy").map(drop)
}

async fn delete_inline(cloud: &Aws, name: &str, policy: &str) -> Result<()> {
    let call = cloud.iam.delete_role_policy().role_name(name).policy_name(policy);
    call.send().await.named("iam:DeleteRolePolicy").map(drop)
}

/// What the field was when it was read, if it differs.
pub(super) fn before<T: DeserializeOwned + Default>(diff: &Diff, field: &str) -> Option<T> {
    let change = diff.changes.iter().find(|change| change.field == field)?;
    Some(serde_json::from_value(change.before.clone()).unwrap_or_default())
}

pub(super) fn tags_of(tags: &[Tag]) -> Tags {
    without_platform(tags.iter().map(|tag| (tag.key().to_owned(), tag.value().to_owned())))
}

pub(super) fn sdk_tags(call: &str, tags: &Tags) -> Result<Vec<Tag>> {
    let tag = |(key, value)| Tag::builder().key(key).value(value).build().named(call);
    tags.iter().map(tag).collect()
}

/// IAM answers documents percent-encoded (RFC 3986). What is not encoded stays as it is.
fn decoded(text: &str) -> Result<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = (*first == b'%').then(|| tail.get(..2)).flatten();
        let byte = hex.and_then(|hex| std::str::from_utf8(hex).ok());
        match byte.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8(bytes)
        .map_err(|_| Error::new(Class::Other, "policy document", "the answer is not text"))
}

#[cfg(test)]
mod tests {
    use engine::Ref;

    use super::*;

    #[test]
    fn documents_are_decoded() {
        let cases = [
            ("%7B%22a%22%3A%20%22b%2Bc%22%7D", r#"{"a": "b+c"}"#),
            (r#"{"a":"100%"}"#, r#"{"a":"100%"}"#),
            ("%C3%BC+%zz", "ü+%zz"),
        ];
        for (encoded, text) in cases {
            assert_eq!(decoded(encoded).unwrap(), text);
        }
        assert!(decoded("%FF").is_err());
    }

    #[test]
    fn a_role_is_born_without_trusting_itself() {
        let to = |arns: &[&str]| Statement {
            allow: true,
            principals: arns.iter().map(|a| Principal::Aws(Ref::Known(Arn::from(*a)))).collect(),
            actions: ["sts:AssumeRole".to_owned()].into(),
            ..Statement::default()
        };
        let (root, own) = ("arn:aws:iam::1:root", "arn:aws:iam::1:role/r");
        let first = |statements: Vec<Statement>| {
            first_trust(&Props {
                name: "r".to_owned(),
                description: String::new(),
                trust: Policy::new(statements),
                inline: BTreeMap::new(),
                managed: BTreeSet::new(),
                tags: Tags::new(),
            })
        };
        assert_eq!(first(vec![to(&[root]), to(&[own])]), Policy::new([to(&[root])]));
        assert_eq!(first(vec![to(&[root, own])]), Policy::new([to(&[root])]));
        let nobody = first(vec![to(&[own])]);
        assert!(nobody.statements.len() == 1 && !nobody.statements[0].allow, "{nobody:?}");
    }
}
