//! Objects in a store whose writes can be made to depend on what is there: enough to keep a state
//! that several machines share.

use futures::future::BoxFuture;

use crate::Result;

/// Names one content of one object. Equal to nothing but itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Etag(pub String);

/// An object as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    pub bytes: Vec<u8>,
    pub etag: Etag,
}

/// What must hold for a write to happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Only {
    /// There is no object of that key.
    IfAbsent,
    /// The object still has the content that was read or written under this tag.
    IfUnchanged(Etag),
}

/// How a write ended that got an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Put {
    /// The object has the new content, under this tag.
    Done(Etag),
    /// The condition did not hold, or another write came in between. Nothing was written.
    Refused,
}

/// A store of objects. Reads and lists show every write that was answered before they began.
///
/// Nothing here repeats a call: whoever calls decides by the class of the error.
pub trait Objects: Send + Sync {
    /// The object, or `None` when there is none of that key.
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Object>>>;
    /// Writes the whole object if the condition holds, checking and writing in one step.
    fn put<'a>(&'a self, key: &'a str, bytes: Vec<u8>, only: Only) -> BoxFuture<'a, Result<Put>>;
    /// All keys that begin with `prefix`, in order.
    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<String>>>;
    /// Deletes the objects. One that is not there is as good as deleted.
    fn delete<'a>(&'a self, keys: &'a [String]) -> BoxFuture<'a, Result<()>>;
    /// Whether the store keeps what is written over or deleted, for a while at least.
    fn keeps_versions(&self) -> BoxFuture<'_, Result<bool>>;
}
