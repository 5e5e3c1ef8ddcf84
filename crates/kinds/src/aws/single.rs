//! What the calls of IAM and S3 have in common: no reads of many at once, and tags set one by one.

use cloud::Result;
use futures::future::BoxFuture;
use futures::stream::{self, StreamExt, TryStreamExt};

use crate::Tags;

/// How many objects are read side by side.
const AT_ONCE: usize = 8;

/// Makes all calls, a few at a time; the answers come in the order of the calls.
pub(crate) async fn side_by_side<T>(calls: Vec<BoxFuture<'_, Result<T>>>) -> Result<Vec<T>> {
    stream::iter(calls).buffered(AT_ONCE).try_collect().await
}

/// What to set and what to take away to get from `before` to `after`.
pub(crate) fn changes(before: &Tags, after: &Tags) -> (Tags, Vec<String>) {
    let set = after.iter().filter(|(key, value)| before.get(*key) != Some(value));
    let set = set.map(|(key, value)| (key.clone(), value.clone())).collect();
    (set, before.keys().filter(|key| !after.contains_key(*key)).cloned().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

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
