//! What a kind is: facts and single calls. Everything that loops is the engine's.

use std::fmt::{Debug, Display};
use std::future::Future;
use std::time::Duration;

use cloud::Result;
use futures::future::BoxFuture;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::diff::Diff;
use crate::plan::Action;
use crate::value::{Address, canonical};

/// Plain data: comes from JSON and goes there.
pub trait Plain: Serialize + DeserializeOwned + Debug + Send + Sync + 'static {}
impl<T: Serialize + DeserializeOwned + Debug + Send + Sync + 'static> Plain for T {}

/// An id: a newtype over the text the API uses.
pub trait Id: Plain + Clone + Ord + Display + From<String> {}
impl<T: Plain + Clone + Ord + Display + From<String>> Id for T {}

/// Declares a newtype for the ids (or names, or ARNs) of one kind.
#[macro_export]
macro_rules! id {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl From<String> for $name {
            fn from(text: String) -> Self {
                $name(text)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                $name(text.to_owned())
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    )+};
}

/// Whose an object is: the stack and the address it was made for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    pub stack: String,
    pub address: Address,
}

/// In which order a replacement happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replace {
    /// The old one goes, then the new one is made.
    DeleteFirst,
    /// The new one is made, users move over, then the old one goes.
    ///
    /// `name` is the field of the props that must be unique; a replacement gets `-2`, `-3`, … behind it.
    CreateFirst { name: Option<&'static str> },
}

/// Whether others may use the object yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    Ready,
    /// Not yet; the text names what is waited for, such as the API's own state.
    Pending(String),
    /// It will never be. The text is the API's explanation.
    Failed(String),
}

/// Deadlines for the engine's waits.
#[derive(Debug, Clone, Copy)]
pub struct Waits {
    /// From made to ready.
    pub ready: Duration,
    /// From asked-to-go to gone.
    pub gone: Duration,
    /// For others to let go of it.
    pub in_use: Duration,
    /// For what was just made to be known everywhere (changes after a write, IAM).
    pub propagation: Duration,
    /// For what was just made to be shown by reads and lists. A create whose answer was lost is
    /// made again only when nothing has shown for so long. Neither cloud publishes a bound, so this
    /// is an assumption: normally a list shows at once what was made.
    pub visible: Duration,
}

impl Default for Waits {
    fn default() -> Self {
        Waits {
            ready: Duration::from_secs(120),
            gone: Duration::from_secs(300),
            in_use: Duration::from_secs(600),
            propagation: Duration::from_secs(60),
            visible: Duration::from_secs(20),
        }
    }
}

/// What is looked for: an object that may have been made earlier.
#[derive(Debug, Clone)]
pub struct Wanted<P> {
    pub address: Address,
    pub props: P,
}

/// An object found by mark or by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found<I> {
    /// It carries our mark, or a name only we give.
    Ours(I),
    /// It has the natural key, but somebody else made it.
    Foreign(I),
}

impl<I> Found<I> {
    /// The id, whoever made it.
    pub fn id(&self) -> &I {
        match self {
            Found::Ours(id) | Found::Foreign(id) => id,
        }
    }

    /// Whether we made it.
    pub fn is_ours(&self) -> bool {
        matches!(self, Found::Ours(_))
    }
}

/// Which objects a listing is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// All of the account, in the region of the sign-in where the API has regions.
    All,
    /// Those that lie in the object of that id, such as the subnets of a network.
    Within(String),
    /// Those that carry the mark of that stack.
    Stack(String),
}

/// One sort of thing dbxctl can manage.
///
/// A kind states facts and makes single API calls. It never loops, sleeps, retries, logs or saves
/// anything: the engine does, once, for every kind. Errors go back unwrapped; the engine adds the
/// address and what it was doing.
pub trait Kind: Send + Sync + 'static {
    /// As it appears in addresses, plans and state: `aws.nat_gateway`.
    const NAME: &'static str;
    /// The service whose rate limit its calls count against: `ec2`, `iam`, `s3`, `databricks`.
    const SERVICE: &'static str;
    /// The order of a replacement.
    const REPLACE: Replace = Replace::DeleteFirst;
    /// Whether it holds what cannot be made again: deleting it needs words in the spec.
    const PRECIOUS: bool = false;
    /// Whether the service refuses to make a second one of the same name or place. Then a create
    /// whose answer was lost may be made again at once: it makes no twin.
    const UNIQUE: bool = false;

    /// The client its calls need.
    type Cloud: Send + Sync;
    type Id: Id;
    /// What we want; may hold `Ref`s.
    type Props: Plain;
    /// What the API says; its fields are the outputs others may refer to.
    type Seen: Plain;

    /// Writes whose it is into the props, if its API has room for that: from then on the mark is a
    /// part of what is wanted like any other, and one that was taken away is put back.
    fn mark(_props: &mut Self::Props, _mark: &Mark) {}
    /// Compares every field of `want`, one line each.
    fn diff(want: &Self::Props, have: &Self::Seen) -> Diff;
    /// Compares fields the API never returns with what we last sent. Most kinds have none.
    fn diff_unread(_want: &Self::Props, _last: &Self::Props) -> Diff {
        Diff::default()
    }
    /// Whether the new object cannot be made while the old one is there, although the kind is
    /// create-first: two subnets of one VPC cannot share addresses.
    fn collides(_want: &Self::Props, _have: &Self::Seen) -> bool {
        false
    }
    /// The outputs, `id` among them, that an object made anew will share with the one before it that
    /// is gone: who refers to them need not change. Most kinds have none, because ids are drawn.
    fn reborn(_want: &Self::Props, _last: &Self::Seen) -> Vec<(&'static str, String)> {
        Vec::new()
    }
    /// Usable by others yet?
    fn readiness(_seen: &Self::Seen) -> Readiness {
        Readiness::Ready
    }
    /// Deadlines: for ready, for gone, for others to let go of it.
    fn waits() -> Waits {
        Waits::default()
    }
    /// How long such a step usually takes, as long as the stack has no runs of its own to learn from;
    /// none when it takes no longer than its calls.
    fn typical(_action: Action) -> Option<Duration> {
        None
    }

    /// Reads many at once, in the order asked; `None` for one that is gone or only a tombstone.
    fn read(
        cloud: &Self::Cloud,
        ids: &[Self::Id],
    ) -> impl Future<Output = Result<Vec<Option<Self::Seen>>>> + Send;
    /// Finds what was made earlier, in the order asked: by our mark where the API has tags, else by
    /// unique name. All candidates, so that the engine can tell a twin from a single.
    fn find(
        cloud: &Self::Cloud,
        stack: &str,
        wanted: &[Wanted<Self::Props>],
    ) -> impl Future<Output = Result<Vec<Vec<Found<Self::Id>>>>> + Send;
    /// All objects of a scope, whoever made them. Nothing for kinds that are only ever reached by an
    /// id or a name: those without an API that lists them cheaply.
    fn list(
        _cloud: &Self::Cloud,
        _scope: &Scope,
    ) -> impl Future<Output = Result<Vec<(Self::Id, Self::Seen)>>> + Send {
        async { Ok(Vec::new()) }
    }
    /// Makes exactly one mutating call and returns as soon as there is an id.
    fn create(
        cloud: &Self::Cloud,
        props: &Self::Props,
    ) -> impl Future<Output = Result<Self::Id>> + Send;
    /// Brings the fields named in `diff` to what `props` says. Kinds that only ever replace leave
    /// this out: the default reports a bug, and the conformance suite finds it before a user does.
    fn update(
        _cloud: &Self::Cloud,
        id: &Self::Id,
        _props: &Self::Props,
        diff: &Diff,
    ) -> impl Future<Output = Result<()>> + Send {
        let message = format!("bug: {} {id} has no update for {:?}", Self::NAME, diff.fields());
        async move { Err(cloud::Error::new(cloud::Class::Other, "engine", message)) }
    }
    /// Deletes one page of what the object holds, for good; `false` when nothing was left. The engine
    /// calls it before a deletion, again and again, and only with the spec's consent.
    fn empty(_cloud: &Self::Cloud, _id: &Self::Id) -> impl Future<Output = Result<bool>> + Send {
        std::future::ready(Ok(false))
    }
    /// Asks for deletion. Waiting, and waiting for dependants, is the engine's.
    fn delete(cloud: &Self::Cloud, id: &Self::Id) -> impl Future<Output = Result<()>> + Send;
}

/// The facts of a kind with the types erased: what planning needs.
pub trait AnyKind: Send + Sync {
    fn name(&self) -> &'static str;
    fn service(&self) -> &'static str;
    fn replace(&self) -> Replace;
    fn precious(&self) -> bool;
    fn unique(&self) -> bool;
    fn waits(&self) -> Waits;
    /// How long such a step usually takes, where that is longer than its calls.
    fn typical(&self, action: Action) -> Option<Duration>;
    /// The props with the mark in them, where the kind has room for it.
    fn mark(&self, props: &Value, mark: &Mark) -> Result<Value>;
    /// Compares wanted props with what was seen.
    fn diff(&self, want: &Value, have: &Value) -> Result<Diff>;
    /// Compares wanted props with the last ones sent, for fields the API never returns.
    fn diff_unread(&self, want: &Value, last: &Value) -> Result<Diff>;
    fn readiness(&self, seen: &Value) -> Result<Readiness>;
    /// Whether a replacement cannot be made before the old object goes.
    fn collides(&self, want: &Value, have: &Value) -> Result<bool>;
    /// The outputs that one made anew will share with the last one seen.
    fn reborn(&self, want: &Value, last: &Value) -> Result<Vec<(&'static str, String)>>;
}

/// The calls of a kind with the types erased, for an environment `E` that holds its client.
pub trait Calls<E>: AnyKind {
    fn read<'a>(&self, env: &'a E, ids: &'a [String]) -> BoxFuture<'a, Result<Vec<Option<Value>>>>;
    fn find<'a>(
        &self,
        env: &'a E,
        stack: &'a str,
        wanted: &'a [Wanted<Value>],
    ) -> BoxFuture<'a, Result<Vec<Vec<Found<String>>>>>;
    fn list<'a>(&self, env: &'a E, scope: &'a Scope)
    -> BoxFuture<'a, Result<Vec<(String, Value)>>>;
    fn create<'a>(&self, env: &'a E, props: &'a Value) -> BoxFuture<'a, Result<String>>;
    fn update<'a>(
        &self,
        env: &'a E,
        id: &'a str,
        props: &'a Value,
        diff: &'a Diff,
    ) -> BoxFuture<'a, Result<()>>;
    fn empty<'a>(&self, env: &'a E, id: &'a str) -> BoxFuture<'a, Result<bool>>;
    fn delete<'a>(&self, env: &'a E, id: &'a str) -> BoxFuture<'a, Result<()>>;
}

impl<K: Kind> AnyKind for K {
    fn name(&self) -> &'static str {
        K::NAME
    }
    fn service(&self) -> &'static str {
        K::SERVICE
    }
    fn replace(&self) -> Replace {
        K::REPLACE
    }
    fn precious(&self) -> bool {
        K::PRECIOUS
    }
    fn unique(&self) -> bool {
        K::UNIQUE
    }
    fn waits(&self) -> Waits {
        K::waits()
    }
    fn typical(&self, action: Action) -> Option<Duration> {
        K::typical(action)
    }
    fn mark(&self, props: &Value, mark: &Mark) -> Result<Value> {
        let mut props = typed::<K, _>("props", props)?;
        K::mark(&mut props, mark);
        Ok(canonical(&json(&props)))
    }
    fn diff(&self, want: &Value, have: &Value) -> Result<Diff> {
        Ok(K::diff(&typed::<K, _>("props", want)?, &typed::<K, _>("seen", have)?))
    }
    fn diff_unread(&self, want: &Value, last: &Value) -> Result<Diff> {
        Ok(K::diff_unread(&typed::<K, _>("props", want)?, &typed::<K, _>("last props", last)?))
    }
    fn readiness(&self, seen: &Value) -> Result<Readiness> {
        Ok(K::readiness(&typed::<K, _>("seen", seen)?))
    }
    fn collides(&self, want: &Value, have: &Value) -> Result<bool> {
        Ok(K::collides(&typed::<K, _>("props", want)?, &typed::<K, _>("seen", have)?))
    }
    fn reborn(&self, want: &Value, last: &Value) -> Result<Vec<(&'static str, String)>> {
        Ok(K::reborn(&typed::<K, _>("props", want)?, &typed::<K, _>("last seen", last)?))
    }
}

impl<K: Kind, E: AsRef<K::Cloud> + Sync> Calls<E> for K {
    fn read<'a>(&self, env: &'a E, ids: &'a [String]) -> BoxFuture<'a, Result<Vec<Option<Value>>>> {
        Box::pin(async move {
            let ids: Vec<K::Id> = ids.iter().cloned().map(K::Id::from).collect();
            let seen = K::read(env.as_ref(), &ids).await?;
            Ok(seen.iter().map(|s| s.as_ref().map(json)).collect())
        })
    }
    fn find<'a>(
        &self,
        env: &'a E,
        stack: &'a str,
        wanted: &'a [Wanted<Value>],
    ) -> BoxFuture<'a, Result<Vec<Vec<Found<String>>>>> {
        Box::pin(async move {
            let mut typed_wanted = Vec::with_capacity(wanted.len());
            for Wanted { address, props } in wanted {
                let props = typed::<K, K::Props>("props", props)?;
                typed_wanted.push(Wanted { address: address.clone(), props });
            }
            let found = K::find(env.as_ref(), stack, &typed_wanted).await?;
            Ok(found.into_iter().map(|all| all.into_iter().map(erase).collect()).collect())
        })
    }
    fn list<'a>(
        &self,
        env: &'a E,
        scope: &'a Scope,
    ) -> BoxFuture<'a, Result<Vec<(String, Value)>>> {
        Box::pin(async move {
            let all = K::list(env.as_ref(), scope).await?;
            Ok(all.iter().map(|(id, seen)| (id.to_string(), json(seen))).collect())
        })
    }
    fn create<'a>(&self, env: &'a E, props: &'a Value) -> BoxFuture<'a, Result<String>> {
        Box::pin(async move {
            let id = K::create(env.as_ref(), &typed::<K, _>("props", props)?).await?;
            Ok(id.to_string())
        })
    }
    fn update<'a>(
        &self,
        env: &'a E,
        id: &'a str,
        props: &'a Value,
        diff: &'a Diff,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let (id, props) = (K::Id::from(id.to_owned()), typed::<K, _>("props", props)?);
            K::update(env.as_ref(), &id, &props, diff).await
        })
    }
    fn empty<'a>(&self, env: &'a E, id: &'a str) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move { K::empty(env.as_ref(), &K::Id::from(id.to_owned())).await })
    }
    fn delete<'a>(&self, env: &'a E, id: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move { K::delete(env.as_ref(), &K::Id::from(id.to_owned())).await })
    }
}

fn erase<I: Id>(found: Found<I>) -> Found<String> {
    match found {
        Found::Ours(id) => Found::Ours(id.to_string()),
        Found::Foreign(id) => Found::Foreign(id.to_string()),
    }
}

fn json(value: &impl Serialize) -> Value {
    serde_json::to_value(value).expect("props and seen are plain data")
}

fn typed<K: Kind, T: DeserializeOwned>(what: &str, value: &Value) -> Result<T> {
    T::deserialize(value).map_err(|e| {
        let message = format!("bug: {what} of {} do not fit its type: {e}", K::NAME);
        cloud::Error::new(cloud::Class::Other, "engine", message)
    })
}
