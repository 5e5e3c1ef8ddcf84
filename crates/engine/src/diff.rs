//! What differs between what is wanted and what is there, and what each difference costs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::value::{canonical, outputs};

/// What a difference in a field calls for.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// The API can change the field on the living object.
    Update,
    /// Only a new object can have the new value.
    Replace,
}

/// One field that differs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    pub field: String,
    pub effect: Effect,
    pub before: Value,
    /// May hold references that are not known until apply.
    pub after: Value,
}

/// All fields that differ, in the order the kind compares them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Diff {
    pub changes: Vec<Change>,
}

impl Diff {
    /// Compares a field that can be changed in place.
    #[must_use]
    pub fn update(self, field: &str, want: &impl Serialize, have: &impl Serialize) -> Self {
        self.compare(Effect::Update, field, want, have)
    }

    /// Compares a field that cannot be changed: a difference means a new object.
    #[must_use]
    pub fn replace(self, field: &str, want: &impl Serialize, have: &impl Serialize) -> Self {
        self.compare(Effect::Replace, field, want, have)
    }

    fn compare(
        mut self,
        effect: Effect,
        field: &str,
        want: &impl Serialize,
        have: &impl Serialize,
    ) -> Self {
        let (before, after) = (json(have), json(want));
        // An output is unknown only when its resource is made anew, so "changed" is the truth.
        if before != after || !outputs(&after).is_empty() {
            self.changes.push(Change { field: field.to_owned(), effect, before, after });
        }
        self
    }

    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Whether some field calls for a new object.
    pub fn replaces(&self) -> bool {
        self.changes.iter().any(|c| c.effect == Effect::Replace)
    }

    /// Whether the field differs.
    pub fn has(&self, field: &str) -> bool {
        self.changes.iter().any(|c| c.field == field)
    }

    /// The names of the fields that differ, for messages.
    pub fn fields(&self) -> Vec<&str> {
        self.changes.iter().map(|c| c.field.as_str()).collect()
    }
}

fn json(value: &impl Serialize) -> Value {
    canonical(&serde_json::to_value(value).expect("props and seen are plain data"))
}
