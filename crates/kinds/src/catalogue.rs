//! What every kind is, as data for people: the page `specs/kinds.md` in a form the program can ask.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

/// A kind as the catalogue describes it.
#[derive(Debug, Clone, Deserialize)]
pub struct Entry {
    pub name: String,
    /// What it is, in a sentence or two.
    pub about: String,
    pub service: String,
    /// `create first` or `delete first`.
    pub replace: String,
    pub precious: bool,
    /// The calls that `create`, `update` and `delete` may make; a kind that only ever replaces has no
    /// `update`.
    pub calls: BTreeMap<String, Vec<String>>,
    pub fields: Vec<Field>,
}

/// A field of a kind.
#[derive(Debug, Clone, Deserialize)]
pub struct Field {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub about: String,
    /// What a difference costs: `in place`, `new object` or `not compared`.
    pub change: String,
}

/// The entry of a kind.
pub fn entry(kind: &str) -> Option<&'static Entry> {
    static ALL: LazyLock<Vec<Entry>> = LazyLock::new(|| {
        serde_json::from_str(include_str!("catalogue.json")).expect("the catalogue is generated")
    });
    ALL.iter().find(|entry| entry.name == kind)
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_kind_is_described() {
        for kind in crate::facts().0 {
            let entry = super::entry(kind.name()).expect("the catalogue has every kind");
            assert_eq!(entry.service, kind.service());
            assert_eq!(entry.precious, kind.precious());
        }
    }
}
