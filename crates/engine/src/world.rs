//! The engine's view of the outside: six calls, whatever cloud answers them.

use cloud::Result;
use futures::future::BoxFuture;
use serde_json::Value;

use crate::diff::Diff;
use crate::kind::{AnyKind, Calls, Found, Scope, Wanted};

/// The kinds the engine may meet, by name. A plain list: the set is closed.
#[derive(Clone, Copy)]
pub struct Kinds(pub &'static [&'static dyn AnyKind]);

impl Kinds {
    /// The kind of that name; `None` for one this version does not know.
    pub fn get(&self, name: &str) -> Option<&'static dyn AnyKind> {
        self.0.iter().copied().find(|k| k.name() == name)
    }
}

/// A cloud, or something that behaves like one. `kind` is always a name from [`Kinds`].
pub trait Cloud: Send + Sync {
    /// Reads many at once, in the order asked; `None` for what is gone.
    fn read<'a>(
        &'a self,
        kind: &'a str,
        ids: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<Option<Value>>>>;
    /// All candidates for each wanted object, by mark or by unique name.
    fn find<'a>(
        &'a self,
        kind: &'a str,
        stack: &'a str,
        wanted: &'a [Wanted<Value>],
    ) -> BoxFuture<'a, Result<Vec<Vec<Found<String>>>>>;
    /// All objects of a scope with what was seen of them, whoever made them.
    fn list<'a>(
        &'a self,
        kind: &'a str,
        scope: &'a Scope,
    ) -> BoxFuture<'a, Result<Vec<(String, Value)>>>;
    /// Makes one.
    fn create<'a>(&'a self, kind: &'a str, props: &'a Value) -> BoxFuture<'a, Result<String>>;
    /// Changes the fields named in `diff`.
    fn update<'a>(
        &'a self,
        kind: &'a str,
        id: &'a str,
        props: &'a Value,
        diff: &'a Diff,
    ) -> BoxFuture<'a, Result<()>>;
    /// Deletes a page of what one holds; `false` when nothing was left.
    fn empty<'a>(&'a self, kind: &'a str, id: &'a str) -> BoxFuture<'a, Result<bool>>;
    /// Asks one to go.
    fn delete<'a>(&'a self, kind: &'a str, id: &'a str) -> BoxFuture<'a, Result<()>>;
}

/// The real clouds: each kind's own calls over the clients in `env`.
pub struct Live<E: 'static> {
    pub env: E,
    pub kinds: &'static [&'static dyn Calls<E>],
}

impl<E> Live<E> {
    fn kind(&self, name: &str) -> &'static dyn Calls<E> {
        let found = self.kinds.iter().copied().find(|k| k.name() == name);
        found.unwrap_or_else(|| panic!("no kind `{name}`: the engine checked it before"))
    }
}

impl<E: Send + Sync> Cloud for Live<E> {
    fn read<'a>(
        &'a self,
        kind: &'a str,
        ids: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<Option<Value>>>> {
        self.kind(kind).read(&self.env, ids)
    }
    fn find<'a>(
        &'a self,
        kind: &'a str,
        stack: &'a str,
        wanted: &'a [Wanted<Value>],
    ) -> BoxFuture<'a, Result<Vec<Vec<Found<String>>>>> {
        self.kind(kind).find(&self.env, stack, wanted)
    }
    fn list<'a>(
        &'a self,
        kind: &'a str,
        scope: &'a Scope,
    ) -> BoxFuture<'a, Result<Vec<(String, Value)>>> {
        self.kind(kind).list(&self.env, scope)
    }
    fn create<'a>(&'a self, kind: &'a str, props: &'a Value) -> BoxFuture<'a, Result<String>> {
        self.kind(kind).create(&self.env, props)
    }
    fn update<'a>(
        &'a self,
        kind: &'a str,
        id: &'a str,
        props: &'a Value,
        diff: &'a Diff,
    ) -> BoxFuture<'a, Result<()>> {
        self.kind(kind).update(&self.env, id, props, diff)
    }
    fn empty<'a>(&'a self, kind: &'a str, id: &'a str) -> BoxFuture<'a, Result<bool>> {
        self.kind(kind).empty(&self.env, id)
    }
    fn delete<'a>(&'a self, kind: &'a str, id: &'a str) -> BoxFuture<'a, Result<()>> {
        self.kind(kind).delete(&self.env, id)
    }
}
