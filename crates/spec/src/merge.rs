use std::collections::HashMap;

use crate::tree::{Entry, Node, Value};

/// Lays `over` on `base`: maps merge key by key, everything else is replaced. Every node keeps
/// its own file and place.
pub(crate) fn merge(base: Node, over: Node) -> Node {
    match (base.value, over.value) {
        (Value::Map(old), Value::Map(new)) => {
            let mut new: HashMap<String, (usize, Entry)> = (new.into_iter().enumerate())
                .map(|(order, entry)| (entry.key.clone(), (order, entry)))
                .collect();
            let lay = |entry: Entry| match new.remove(&entry.key) {
                // The later file's key is where the user last had a say.
                Some((_, over)) => Entry { value: merge(entry.value, over.value), ..over },
                None => entry,
            };
            let mut entries: Vec<Entry> = old.into_iter().map(lay).collect();
            let mut added: Vec<_> = new.into_values().collect();
            added.sort_by_key(|(order, _)| *order);
            entries.extend(added.into_iter().map(|(_, entry)| entry));
            Node { value: Value::Map(entries), span: base.span, used_at: base.used_at }
        }
        (_, value) => Node { value, span: over.span, used_at: over.used_at },
    }
}
