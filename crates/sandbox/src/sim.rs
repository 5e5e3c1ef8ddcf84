//! What the simulation knows of a kind, and the rules that hold for all of them.

use cloud::{Class, Error};
use serde_json::Value;

use crate::settings::Settings;
use crate::store::{Object, World};
use crate::{databricks, ec2, iam, s3};

/// One kind, as the platform would enforce it.
pub(crate) struct Sim {
    pub(crate) kind: &'static str,
    pub(crate) service: &'static str,
    pub(crate) id: IdForm,
    pub(crate) links: &'static [Link],
    pub(crate) finds: Finds,
    /// The field that holds the id of the object it vanishes with.
    pub(crate) part_of: Option<(&'static str, &'static str)>,
    /// What the error says when one is named that does not exist.
    pub(crate) missing: &'static str,
    /// Rules beyond links: uniqueness, containment, states.
    pub(crate) check: fn(&View, &Candidate) -> cloud::Result<()>,
    /// What creation ignores of the props, because other calls set it.
    pub(crate) born: fn(&View, &mut Value),
    /// Why a new or changed object will fail instead of getting ready.
    pub(crate) fate: fn(&View, &Candidate) -> Option<String>,
    /// Rules of deletion beyond links.
    pub(crate) leave: fn(&View, &Object) -> cloud::Result<()>,
    /// Others that change with it: it was made (`true`) or is going (`false`).
    pub(crate) moves: fn(&View, &Object, bool) -> Vec<Object>,
    /// Others that change with it when it is changed.
    pub(crate) shifts: fn(&View, &Object) -> Vec<Object>,
    /// Whether it comes with its whole: making it takes over, deleting it empties.
    pub(crate) inborn: bool,
    /// Adds to a copy of the props what only the platform knows; `false` when there is nothing to see.
    pub(crate) appear: fn(&View, &Object, &mut Value) -> bool,
    /// From made to ready, in milliseconds in the real world.
    pub(crate) making: (u64, u64),
    /// From asked to go to gone, in milliseconds in the real world.
    pub(crate) going: (u64, u64),
    /// Seen of a used object nobody described: JSON.
    pub(crate) blank: &'static str,
}

/// A kind without rules; tables start from it.
pub(crate) const PLAIN: Sim = Sim {
    kind: "",
    service: "ec2",
    id: IdForm::Uuid,
    links: &[],
    finds: Finds::Mark,
    part_of: None,
    missing: "NotFound",
    check: |_, _| Ok(()),
    born: |_, _| (),
    fate: |_, _| None,
    leave: |_, _| Ok(()),
    moves: |_, _, _| Vec::new(),
    shifts: |_, _| Vec::new(),
    inborn: false,
    appear: |_, _, _| true,
    making: (0, 0),
    going: (0, 0),
    blank: "{}",
};

/// How ids look.
pub(crate) enum IdForm {
    /// `vpc-` and 17 hexadecimal digits.
    Prefix(&'static str),
    Uuid,
    /// 16 decimal digits.
    Number,
    /// The value of a field.
    Field(&'static str),
    /// The values of two fields with `|` between them.
    Pair(&'static str, &'static str),
}

/// How one is found again.
pub(crate) enum Finds {
    /// By our tags.
    Mark,
    /// By the natural key; ours when the tags say so.
    KeyAndMark(&'static str),
    /// By the fields of the natural key; ours when the other fields named are what we want.
    Key(&'static [&'static str], &'static [&'static str]),
    /// By its own id, which follows from the props; ours when the fields named are what we want.
    Id(&'static [&'static str]),
    /// The same; ours also when what it is part of carries the mark of our stack.
    IdOfWhole(&'static [&'static str]),
}

/// A field that holds ids of other objects, at any depth.
pub(crate) struct Link {
    pub(crate) field: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) form: LinkForm,
    /// Whether the other cannot go while this one names it.
    pub(crate) blocks: bool,
    /// Whether the other must exist to be named.
    pub(crate) must: bool,
}

pub(crate) enum LinkForm {
    /// All texts of the field.
    All,
    /// The texts that begin so.
    Prefix(&'static str),
}

impl Link {
    /// A link that must lead somewhere and blocks the other's deletion.
    pub(crate) const fn firm(field: &'static str, kind: &'static str) -> Link {
        Link { field, kind, form: LinkForm::All, blocks: true, must: true }
    }
    /// A link that must lead somewhere when it is made and then may dangle.
    pub(crate) const fn loose(field: &'static str, kind: &'static str) -> Link {
        Link { field, kind, form: LinkForm::All, blocks: false, must: true }
    }
    /// A link nobody checks.
    pub(crate) const fn blind(field: &'static str, kind: &'static str) -> Link {
        Link { field, kind, form: LinkForm::All, blocks: false, must: false }
    }
    pub(crate) const fn only(mut self, prefix: &'static str) -> Link {
        self.form = LinkForm::Prefix(prefix);
        self
    }

    /// The ids `props` name through this link.
    pub(crate) fn targets(&self, props: &Value) -> Vec<String> {
        let mut found = texts(&props[self.field]);
        if let LinkForm::Prefix(prefix) = self.form {
            found.retain(|text| text.starts_with(prefix));
        }
        found
    }
}

/// An object as it is about to be.
pub(crate) struct Candidate<'a> {
    /// `None` while it is being made.
    pub(crate) id: Option<&'a str>,
    pub(crate) props: &'a Value,
    /// The fields that change; `None` for all.
    pub(crate) changed: Option<&'a [&'a str]>,
}

impl Candidate<'_> {
    /// Whether the field is new or changes.
    pub(crate) fn touches(&self, field: &str) -> bool {
        self.changed.is_none_or(|fields| fields.contains(&field))
    }
    pub(crate) fn text(&self, field: &str) -> &str {
        self.props[field].as_str().unwrap_or_default()
    }
}

/// The world at one moment.
pub(crate) struct View<'a> {
    pub(crate) world: &'a World,
    pub(crate) now: u64,
    pub(crate) settings: &'a Settings,
}

impl<'a> View<'a> {
    /// The object, if it exists (it may be pending, failed, or on its way out).
    pub(crate) fn get(&self, kind: &str, id: &str) -> Option<&'a Object> {
        let object = self.world.objects.get(&(kind.to_owned(), id.to_owned()))?;
        object.exists(self.now).then_some(object)
    }
    /// All existing objects of the kind.
    pub(crate) fn all(&self, kind: &str) -> impl Iterator<Item = &'a Object> + use<'a> {
        let (first, now, kind) = ((kind.to_owned(), String::new()), self.now, kind.to_owned());
        let from = self.world.objects.range(first..);
        from.map(|(_, o)| o).take_while(move |o| o.kind == kind).filter(move |o| o.exists(now))
    }
    /// All other objects of the kind that stay.
    pub(crate) fn others(&self, kind: &str, me: Option<&str>) -> impl Iterator<Item = &'a Object> {
        let me = me.unwrap_or_default().to_owned();
        self.all(kind).filter(move |o| o.id != me && o.gone_at.is_none())
    }
    /// Who names this object in a way that forbids its deletion.
    pub(crate) fn blockers(&self, kind: &str, id: &str) -> Vec<&'a Object> {
        let mut found = Vec::new();
        for sim in all() {
            for link in sim.links.iter().filter(|l| l.blocks && l.kind == kind) {
                let names = |o: &&Object| link.targets(&o.props).iter().any(|t| t == id);
                // A part that vanishes with its whole does not hold it back.
                let part = |o: &&Object| is_part(sim, o, kind, id);
                found.extend(self.all(sim.kind).filter(names).filter(|o| !part(o)));
            }
        }
        found.retain(|o| !(o.kind == kind && o.id == id));
        found
    }
}

/// All simulated kinds.
pub(crate) fn all() -> impl Iterator<Item = &'static Sim> {
    ec2::KINDS.iter().chain(iam::KINDS).chain(s3::KINDS).chain(databricks::KINDS)
}

pub(crate) fn get(kind: &str) -> Option<&'static Sim> {
    all().find(|sim| sim.kind == kind)
}

/// Whether the object vanishes with the one of that kind and id.
pub(crate) fn is_part(sim: &Sim, object: &Object, kind: &str, id: &str) -> bool {
    sim.part_of.is_some_and(|(field, whole)| whole == kind && object.text(field) == id)
}

/// Refuses a call the way AWS does: a class, a code, words.
pub(crate) fn refuse<T>(class: Class, code: &str, message: impl Into<String>) -> cloud::Result<T> {
    let status = match class {
        Class::NotFound => 404,
        Class::AlreadyExists | Class::InUse => 409,
        _ => 400,
    };
    Err(Error { status: Some(status), ..Error::new(class, "", message).with_code(code) })
}

/// All texts in `value`, at any depth; keys of objects are not.
pub(crate) fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(items) => items.iter().flat_map(texts).collect(),
        Value::Object(fields) => fields.values().flat_map(texts).collect(),
        _ => Vec::new(),
    }
}

/// Removes from the array `field` what does not exist any more.
pub(crate) fn drop_missing(view: &View, seen: &mut Value, field: &str, kind: &str) {
    if let Some(items) = seen[field].as_array_mut() {
        items.retain(|id| id.as_str().is_some_and(|id| view.get(kind, id).is_some()));
    }
}

/// Spreads `text` over 64 bits (FNV-1a and a finaliser): for ids and jitter, not for secrets.
pub(crate) fn scatter(seed: u64, text: &str) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325 ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for byte in text.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

/// A number between two bounds that is always the same for the same text.
pub(crate) fn between((low, high): (u64, u64), seed: u64, text: &str) -> u64 {
    low + scatter(seed, text) % (high.saturating_sub(low) + 1)
}
