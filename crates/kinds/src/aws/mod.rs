//! The kinds that live in AWS.

pub mod bucket;
pub mod bucket_policy;
pub mod elastic_ip;
pub mod instance_profile;
pub mod internet_gateway;
pub mod nat_gateway;
pub mod role;
pub mod route;
pub mod route_table;
pub mod security_group;
pub mod security_group_rules;
pub mod subnet;
pub mod vpc;
pub mod vpc_endpoint;
pub mod vpc_peering;

mod single;

use std::collections::{BTreeMap, BTreeSet};

use ::aws::ec2::types::{Filter, ResourceType, Tag, TagSpecification};
use ::aws::{Aws, Named};
use cloud::{Class, Error, Result};
use engine::{Diff, Found, Id, Mark, Readiness, Ref, Scope, Wanted};
use ipnet::Ipv4Net;

use self::vpc::VpcId;
use crate::Tags;

/// The tag that names the stack an object belongs to.
pub const STACK_TAG: &str = "dbxctl:stack";
/// The tag that names the address an object was made for.
pub const ADDRESS_TAG: &str = "dbxctl:address";

/// How many values one filter may have (EC2 API reference, quotas of filters).
const VALUES_PER_FILTER: usize = 200;

/// The readiness of what is either `pending` or `available`.
fn available(state: &str) -> Readiness {
    match state {
        "available" => Readiness::Ready,
        other => Readiness::Pending(format!("state is {other}")),
    }
}

/// Filters that select `ids`, as many at a time as one call takes.
///
/// A filter, and never a list of ids: one id that is gone fails a whole call by list.
fn filters<'a, I: Id>(name: &'a str, ids: &'a [I]) -> impl Iterator<Item = Vec<Filter>> + 'a {
    ids.chunks(VALUES_PER_FILTER).map(move |ids| {
        let values = ids.iter().map(ToString::to_string).collect();
        vec![Filter::builder().name(name).set_values(Some(values)).build()]
    })
}

/// A filter that selects everything of a stack.
fn of_stack(stack: &str) -> Vec<Filter> {
    vec![Filter::builder().name(format!("tag:{STACK_TAG}")).values(stack).build()]
}

/// A filter for a scope; `inside` is the name of the filter for what lies in a VPC.
fn of_scope(scope: &Scope, inside: &str) -> Vec<Filter> {
    match scope {
        Scope::All => Vec::new(),
        Scope::Within(vpc) => vec![Filter::builder().name(inside).values(vpc).build()],
        Scope::Stack(stack) => of_stack(stack),
    }
}

/// Whether an object belongs to the scope. Matched here although a filter selected it: emulators
/// ignore some filters.
fn in_scope(scope: &Scope, vpc: &VpcId, tags: &Tags) -> bool {
    match scope {
        Scope::All => true,
        Scope::Within(id) => vpc.0 == *id,
        Scope::Stack(stack) => tags.get(STACK_TAG) == Some(stack),
    }
}

/// What was seen, in the order asked.
fn in_order<I: Id, S>(ids: &[I], mut seen: BTreeMap<I, S>) -> Vec<Option<S>> {
    ids.iter().map(|id| seen.remove(id)).collect()
}

/// The candidates for each wanted object, by both mark tags.
///
/// Matched here although a filter selected them: emulators ignore some filters.
fn by_mark<'a, P, I: Id>(
    stack: &str,
    wanted: &[Wanted<P>],
    objects: impl Iterator<Item = (Option<&'a str>, &'a [Tag])>,
) -> Vec<Vec<Found<I>>> {
    let mut marked: BTreeMap<&str, Vec<Found<I>>> = BTreeMap::new();
    for (id, tags) in objects {
        let tag = |key| tags.iter().find(|t| t.key() == Some(key)).and_then(Tag::value);
        if let (Some(id), Some(address)) = (id, tag(ADDRESS_TAG))
            && tag(STACK_TAG) == Some(stack)
        {
            marked.entry(address).or_default().push(Found::Ours(I::from(id.to_owned())));
        }
    }
    wanted.iter().map(|w| marked.get(w.address.as_str()).cloned().unwrap_or_default()).collect()
}

/// Puts the mark among the tags that are wanted.
fn put_mark(tags: &mut Tags, mark: &Mark) {
    tags.insert(STACK_TAG.to_owned(), mark.stack.clone());
    tags.insert(ADDRESS_TAG.to_owned(), mark.address.as_str().to_owned());
}

/// Whether the tags say that the object was made for this stack and address.
fn is_for(tags: &Tags, stack: &str, address: &str) -> bool {
    let has = |key: &str, value: &str| tags.get(key).is_some_and(|have| have == value);
    has(STACK_TAG, stack) && has(ADDRESS_TAG, address)
}

/// The tags of an object that is about to be made.
fn birth_tags(kind: ResourceType, tags: &Tags) -> TagSpecification {
    let tags = tags.iter().map(tag).collect();
    TagSpecification::builder().resource_type(kind).set_tags(Some(tags)).build()
}

fn tag((key, value): (&String, &String)) -> Tag {
    Tag::builder().key(key).value(value).build()
}

/// The tags of an object, the mark among them, without the platform's own.
fn tags(tags: &[Tag]) -> Tags {
    let pair = |t: &Tag| Some((t.key()?.to_owned(), t.value().unwrap_or_default().to_owned()));
    without_platform(tags.iter().filter_map(pair))
}

/// Tags without those AWS itself puts there.
fn without_platform(tags: impl IntoIterator<Item = (String, String)>) -> Tags {
    tags.into_iter().filter(|(key, _)| !crate::platform::is_tag(key)).collect()
}

/// Makes the tags what `tags` says, if the diff names them: at most two calls.
async fn update_tags(cloud: &Aws, id: &impl Id, tags: &Tags, diff: &Diff) -> Result<()> {
    let Some(change) = diff.changes.iter().find(|c| c.field == "tags") else {
        return Ok(());
    };
    let before: Tags = serde_json::from_value(change.before.clone()).unwrap_or_default();
    let (set, gone) = single::changes(&before, tags);
    let added: Vec<Tag> = set.iter().map(tag).collect();
    let removed: Vec<Tag> = gone.iter().map(|key| Tag::builder().key(key).build()).collect();
    if !added.is_empty() {
        let call = cloud.ec2.create_tags().resources(id.to_string()).set_tags(Some(added));
        call.send().await.named("ec2:CreateTags")?;
    }
    if !removed.is_empty() {
        let call = cloud.ec2.delete_tags().resources(id.to_string()).set_tags(Some(removed));
        call.send().await.named("ec2:DeleteTags")?;
    }
    Ok(())
}

/// The values of a set of references.
fn bound<T: Id>(refs: &BTreeSet<Ref<T>>) -> Result<BTreeSet<T>> {
    refs.iter().map(|r| r.get().cloned()).collect()
}

/// What is in `these` and not in `those`, as an API takes it: `None` when there is nothing.
fn only_in<T: Id>(these: &BTreeSet<T>, those: &BTreeSet<T>) -> Option<Vec<String>> {
    let ids: Vec<String> = these.difference(those).map(ToString::to_string).collect();
    (!ids.is_empty()).then_some(ids)
}

/// A field the API always sends. An answer without it is somebody else's, or was cut off on the way.
fn sent<T>(call: &str, field: &str, value: Option<T>) -> Result<T> {
    value.ok_or_else(|| Error::new(Class::Transient, call, format!("the answer lacks `{field}`")))
}

/// A field that holds an IPv4 block.
fn block(call: &str, field: &str, value: Option<&str>) -> Result<Ipv4Net> {
    let text = sent(call, field, value)?;
    text.parse().map_err(|_| {
        let message = format!("the answer's `{field}` is `{text}`, which is no IPv4 block");
        Error::new(Class::Other, call, message)
    })
}

/// The error for an object that went away between two calls.
fn gone(call: &str, id: &impl Id) -> Error {
    Error::new(Class::NotFound, call, format!("{id} does not exist"))
}

/// The same answer, but an object that is not there is fine.
fn or_absent<T>(answer: Result<T>) -> Result<()> {
    match answer {
        Err(error) if error.class != Class::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use engine::Address;

    use super::*;

    #[test]
    fn a_mark_is_a_tag_among_others_and_names_one_address_of_one_stack() {
        let mut wanted = Tags::from([("owner".to_owned(), "x".to_owned())]);
        let address = Address::new("aws.role", "r");
        put_mark(&mut wanted, &Mark { stack: "s".to_owned(), address });
        let platform = ("aws:createdBy".to_owned(), "y".to_owned());
        assert_eq!(without_platform(wanted.clone().into_iter().chain([platform])), wanted);
        assert!(is_for(&wanted, "s", "aws.role/r"));
        assert!(!is_for(&wanted, "s", "aws.role/q") && !is_for(&wanted, "t", "aws.role/r"));
    }
}
