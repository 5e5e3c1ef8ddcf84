//! What the calls of IAM and S3 have in common: no reads of many at once, and tags as they come.

use cloud::Result;
use engine::Mark;
use futures::future::BoxFuture;
use futures::stream::{self, StreamExt, TryStreamExt};

use super::{ADDRESS_TAG, STACK_TAG};
use crate::Tags;

/// How many objects are read side by side.
const AT_ONCE: usize = 8;

/// Makes all calls, a few at a time; the answers come in the order of the calls.
pub(crate) async fn side_by_side<T>(calls: Vec<BoxFuture<'_, Result<T>>>) -> Result<Vec<T>> {
    stream::iter(calls).buffered(AT_ONCE).try_collect().await
}

/// The tags an object is made with: ours and the chosen ones.
pub(crate) fn at_birth(mark: &Mark, chosen: &Tags) -> Tags {
    let mut tags = chosen.clone();
    tags.insert(STACK_TAG.to_owned(), mark.stack.clone());
    tags.insert(ADDRESS_TAG.to_owned(), mark.address.as_str().to_owned());
    tags
}

/// Takes an object's tags apart: our marks, and what somebody chose. The platform's own are dropped.
pub(crate) fn apart(tags: Tags) -> (Tags, Tags) {
    let all = tags.into_iter().filter(|(key, _)| !key.starts_with("aws:"));
    all.partition(|(key, _)| key == STACK_TAG || key == ADDRESS_TAG)
}

/// Whether the marks say that the object was made for this stack and address.
pub(crate) fn is_for(marks: &Tags, stack: &str, address: &str) -> bool {
    let has = |key: &str, value: &str| marks.get(key).is_some_and(|have| have == value);
    has(STACK_TAG, stack) && has(ADDRESS_TAG, address)
}

/// What to set and what to take away to get from `before` to `after`.
pub(crate) fn changes(before: &Tags, after: &Tags) -> (Tags, Vec<String>) {
    let set = after.iter().filter(|(key, value)| before.get(*key) != Some(value));
    let set = set.map(|(key, value)| (key.clone(), value.clone())).collect();
    (set, before.keys().filter(|key| !after.contains_key(*key)).cloned().collect())
}

#[cfg(test)]
mod tests {
    use engine::Address;

    use super::*;

    #[test]
    fn marks_and_chosen_tags_come_apart_again() {
        let chosen = Tags::from([("owner".to_owned(), "x".to_owned())]);
        let mark = Mark { stack: "s".to_owned(), address: Address::new("aws.role", "r") };
        let mut tags = at_birth(&mark, &chosen);
        tags.insert("aws:createdBy".to_owned(), "y".to_owned());
        let (marks, rest) = apart(tags);
        assert_eq!(rest, chosen);
        assert!(is_for(&marks, "s", "aws.role/r"));
        assert!(!is_for(&marks, "s", "aws.role/q") && !is_for(&marks, "t", "aws.role/r"));
        assert!(!is_for(&rest, "s", "aws.role/r"));
    }

    #[test]
    fn changes_are_the_least() {
        let tags = |all: &[(&str, &str)]| -> Tags {
            all.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
        };
        let (set, gone) = changes(
            &tags(&[("a", "1"), ("b", "1"), ("c", "1")]),
            &tags(&[("a", "1"), ("b", "2"), ("d", "1")]),
        );
        assert_eq!(set, tags(&[("b", "2"), ("d", "1")]));
        assert_eq!(gone, ["c"]);
    }
}
