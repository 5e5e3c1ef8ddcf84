//! The objects of one stack, called until they answer.

use std::sync::Arc;
use std::time::Duration;

use cloud::{Class, Error, Etag, Object, Objects, Only, Put};
use tokio::time::{Instant, timeout};

use super::StateError;
use crate::apply::{Pauses, Settings};

/// How long one call may take: objects are small, so a longer one has got lost.
const CALL: Duration = Duration::from_secs(10);
/// How long a call is repeated when no lease says so.
const PATIENCE: Duration = Duration::from_secs(30);

/// A part of an object store.
#[derive(Clone)]
pub(super) struct Folder {
    objects: Arc<dyn Objects>,
    /// The beginning of all its keys, with the last slash.
    root: String,
    /// What people know it by, with the last slash: `s3://bucket/prefix/stack/`.
    url: String,
}

/// How a conditional write ended.
pub(super) enum Written {
    Done(Etag),
    /// Somebody else's write came first; this is there now.
    Refused(Option<Object>),
}

impl Folder {
    pub(super) fn new(objects: Arc<dyn Objects>, root: String, url: String) -> Self {
        Folder { objects, root, url }
    }

    /// What people know an object by.
    pub(super) fn place(&self, name: &str) -> String {
        format!("{}{name}", self.url)
    }

    pub(super) async fn get(&self, name: &str) -> Result<Option<Object>, StateError> {
        let key = self.key(name);
        let answer = persist(&for_a_while(), || self.objects.get(&key)).await;
        answer.map_err(|source| self.error("read", name, source))
    }

    /// The names that begin with `prefix`, in order.
    pub(super) async fn list(&self, prefix: &str) -> Result<Vec<String>, StateError> {
        let key = self.key(prefix);
        let keys = persist(&for_a_while(), || self.objects.list(&key)).await;
        let keys = keys.map_err(|source| self.error("list", prefix, source))?;
        let names = keys.iter().filter_map(|key| key.strip_prefix(&self.root));
        Ok(names.map(str::to_owned).collect())
    }

    pub(super) async fn delete(&self, names: &[String]) -> Result<(), StateError> {
        if names.is_empty() {
            return Ok(());
        }
        let keys: Vec<String> = names.iter().map(|name| self.key(name)).collect();
        let answer = persist(&for_a_while(), || self.objects.delete(&keys)).await;
        answer.map_err(|source| self.error("delete", &names[0], source))
    }

    pub(super) async fn keeps_versions(&self) -> Result<bool, Error> {
        persist(&for_a_while(), || self.objects.keeps_versions()).await
    }

    /// Writes an object, if the condition holds and for as long as `going_on`.
    ///
    /// When an answer got lost, a second call is refused because the first took effect: the content
    /// tells. So `bytes` must be unlike what anybody else may write there.
    pub(super) async fn write(
        &self,
        name: &str,
        bytes: &[u8],
        only: &Only,
        going_on: &(dyn Fn() -> bool + Send + Sync),
    ) -> Result<Written, StateError> {
        let key = self.key(name);
        let mut pauses = pauses();
        loop {
            let put = || self.objects.put(&key, bytes.to_vec(), only.clone());
            let answer = persist(going_on, put).await;
            match answer.map_err(|source| self.error("write", name, source))? {
                Put::Done(etag) => return Ok(Written::Done(etag)),
                Put::Refused => {}
            }
            match self.get(name).await? {
                Some(there) if there.bytes == bytes => return Ok(Written::Done(there.etag)),
                // Another write was under way, perhaps our own one of which no answer came.
                there if holds(only, there.as_ref()) && going_on() => pauses.sleep(None).await,
                there => return Ok(Written::Refused(there)),
            }
        }
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.root)
    }

    pub(super) fn error(&self, doing: &'static str, name: &str, source: Error) -> StateError {
        StateError::Objects { doing, place: self.place(name), source }
    }
}

fn holds(only: &Only, there: Option<&Object>) -> bool {
    match only {
        Only::IfAbsent => there.is_none(),
        Only::IfUnchanged(etag) => there.is_some_and(|object| object.etag == *etag),
    }
}

/// A limit for what no lease limits.
pub(super) fn for_a_while() -> impl Fn() -> bool + Send + Sync {
    let end = Instant::now() + PATIENCE;
    move || Instant::now() < end
}

pub(super) fn pauses() -> Pauses {
    Pauses::new(Settings {
        first_pause: Duration::from_millis(200),
        longest_pause: Duration::from_secs(2),
        ..Settings::default()
    })
}

/// Makes a call until it succeeds, fails for good, or there is no use in going on.
async fn persist<T, F: Future<Output = cloud::Result<T>>>(
    going_on: &(dyn Fn() -> bool + Send + Sync),
    call: impl Fn() -> F,
) -> cloud::Result<T> {
    let mut pauses = pauses();
    loop {
        let error = match timeout(CALL, call()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => error,
            Err(_) => Error::new(Class::Transient, "the object store", "no answer in time"),
        };
        if !matches!(error.class, Class::Transient | Class::Throttled) || !going_on() {
            return Err(error);
        }
        pauses.sleep(error.retry_after()).await;
    }
}
