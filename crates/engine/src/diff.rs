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
    /// Neither: the difference stays. One that the spec asks for is refused.
    Never,
}

/// What a change does to those who use the object.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Impact {
    /// Running compute blocks the change or does not survive it.
    ComputeStops,
    /// Some who could get in cannot any more.
    UsersLoseAccess,
    /// It can never be taken back.
    OneWay,
}

/// One impact, and in which way.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(deny_unknown_fields)]
pub struct Consequence {
    pub impact: Impact,
    pub words: String,
}

/// What the kind says about a difference, beyond the values. All words are lower-case fragments.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Meaning {
    /// What happens, when it deserves a headline: `its nodes move to other subnets`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headline: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub impacts: Vec<Consequence>,
    /// Why the living object cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What to do instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub way_out: Option<String>,
}

impl Meaning {
    /// Whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        *self == Meaning::default()
    }
}

/// One field that differs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    pub field: String,
    pub effect: Effect,
    pub before: Value,
    /// May hold references that are not known until apply.
    pub after: Value,
    pub meaning: Meaning,
}

/// All fields that differ, in the order the kind compares them.
///
/// A comparison is followed by what is to be said about it:
/// `.update("network", want, have).headline("…").impact(ComputeStops, "…")`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Diff {
    pub changes: Vec<Change>,
    /// Whether the field just compared differs.
    #[serde(skip)]
    differs: bool,
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

    /// Compares a field that cannot be changed and is not worth a new object, or whose change would
    /// break what stands on the object: asking for it is refused, drift is only told.
    #[must_use]
    pub fn never(self, field: &str, want: &impl Serialize, have: &impl Serialize) -> Self {
        self.compare(Effect::Never, field, want, have)
    }

    /// If the field just compared differs: what that means, as the plan's headline.
    #[must_use]
    pub fn headline(mut self, words: &str) -> Self {
        self.about(|meaning| meaning.headline = Some(words.to_owned()));
        self
    }

    /// If the field just compared differs: what the change does to those who use the object.
    #[must_use]
    pub fn impact(mut self, impact: Impact, words: &str) -> Self {
        let words = words.to_owned();
        self.about(|meaning| meaning.impacts.push(Consequence { impact, words }));
        self
    }

    /// If the field just compared differs: why it cannot be changed, and what to do instead.
    #[must_use]
    pub fn refusal(mut self, reason: &str, way_out: &str) -> Self {
        self.about(|meaning| {
            meaning.reason = Some(reason.to_owned());
            meaning.way_out = Some(way_out.to_owned());
        });
        self
    }

    fn about(&mut self, say: impl FnOnce(&mut Meaning)) {
        if let Some(change) = self.changes.last_mut().filter(|_| self.differs) {
            say(&mut change.meaning);
        }
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
        self.differs = before != after || !outputs(&after).is_empty();
        if self.differs {
            let (field, meaning) = (field.to_owned(), Meaning::default());
            self.changes.push(Change { field, effect, before, after, meaning });
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

    /// The same without what cannot be brought about.
    #[must_use]
    pub fn possible(mut self) -> Self {
        self.changes.retain(|c| c.effect != Effect::Never);
        self
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
