use std::collections::BTreeMap;

use crate::{
    source::{Place, Sources, Span},
    tree::{Node, Value},
};

/// Where every value of a loaded spec stands in the files, by JSON pointer
/// (`/workspaces/wk1/subnets/prefix`).
#[derive(Debug, Clone, Default)]
pub struct Places {
    spots: BTreeMap<String, Spot>,
}

#[derive(Debug, Clone)]
struct Spot {
    key: Option<Place>,
    value: Place,
    one_line: bool,
    used_at: Option<Place>,
}

impl Places {
    pub(crate) fn of(root: &Node, sources: &Sources<'_>) -> Self {
        let mut places = Self::default();
        places.add(String::new(), None, root, None, sources);
        places
    }

    fn add(
        &mut self,
        pointer: String,
        key: Option<Span>,
        node: &Node,
        used_at: Option<Span>,
        sources: &Sources<'_>,
    ) {
        let used_at = node.used_at.or(used_at);
        match &node.value {
            Value::Scalar(_) => {}
            Value::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.add(child(&pointer, &index.to_string()), None, item, used_at, sources);
                }
            }
            Value::Map(entries) => {
                for entry in entries {
                    let pointer = child(&pointer, &entry.key);
                    self.add(pointer, Some(entry.key_span), &entry.value, used_at, sources);
                }
            }
        }
        let spot = Spot {
            key: key.map(|key| sources.place(key)),
            value: sources.place(node.span),
            one_line: !sources.text(node.span).trim_end().contains('\n'),
            used_at: used_at.map(|span| sources.place(span)),
        };
        self.spots.insert(pointer, spot);
    }

    /// Where a value stands; its key when the value fills several lines, and whatever is nearest
    /// above when there is no such value (a default).
    pub fn find(&self, pointer: &str) -> Option<Place> {
        match self.spots.get(pointer) {
            Some(spot) if spot.one_line && !spot.value.span.is_empty() => Some(spot.value.clone()),
            Some(_) => self.heading(pointer),
            None => self.heading(parent(pointer)),
        }
    }

    /// The pointers of all values that are written, none for defaults.
    pub fn written(&self) -> impl Iterator<Item = &str> {
        self.spots.keys().map(String::as_str)
    }

    /// Where the key of a value stands; the nearest key above when there is none.
    pub fn key(&self, pointer: &str) -> Option<Place> {
        match self.spots.get(pointer) {
            Some(Spot { key: Some(key), .. }) => Some(key.clone()),
            _ => self.heading(pointer),
        }
    }

    /// The line that stands for a whole map or list: its key, or else its first line.
    pub(crate) fn heading(&self, pointer: &str) -> Option<Place> {
        let mut pointer = pointer;
        loop {
            if let Some(spot) = self.spots.get(pointer) {
                if let Some(key) = &spot.key {
                    return Some(key.clone());
                }
                if let Some(first) = self.first_key(pointer) {
                    return Some(first);
                }
                if spot.one_line || pointer.is_empty() {
                    return Some(spot.value.clone());
                }
            }
            if pointer.is_empty() {
                return None;
            }
            pointer = parent(pointer);
        }
    }

    /// Where an alias brought the value in, when it is written elsewhere.
    pub(crate) fn used_at(&self, pointer: &str) -> Option<&Place> {
        self.spots.get(pointer)?.used_at.as_ref()
    }

    /// The first key inside a map, in the order of the files.
    fn first_key(&self, pointer: &str) -> Option<Place> {
        let inside = format!("{pointer}/");
        let keys = self.spots.range(inside.clone()..).take_while(|(at, _)| at.starts_with(&inside));
        keys.filter(|(at, _)| !at[inside.len()..].contains('/'))
            .filter_map(|(_, spot)| spot.key.as_ref())
            .min_by_key(|place| (place.source, place.span.start))
            .cloned()
    }
}

/// The pointer of a member.
pub(crate) fn child(pointer: &str, key: &str) -> String {
    format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"))
}

/// The pointer of what holds the value; the root holds itself.
pub(crate) fn parent(pointer: &str) -> &str {
    pointer.rfind('/').map_or("", |at| &pointer[..at])
}

/// The last key of a pointer, unescaped.
pub(crate) fn last_key(pointer: &str) -> String {
    let key = pointer.rfind('/').map_or(pointer, |at| &pointer[at + 1..]);
    key.replace("~1", "/").replace("~0", "~")
}
