//! Refresh, plan, apply and state, for any set of kinds. Knows no cloud, no kind by name, no
//! terminal, and nobody's home folder.
//!
//! A run is `refresh` (I/O) → `plan` (pure) → `apply` (I/O that follows the plan).

mod diff;
mod graph;
mod kind;
mod value;
mod world;

pub use diff::{Change, Diff, Effect};
pub use graph::{Expect, Graph, GraphError, Group, Handle, Node, Out, Role, known};
pub use kind::{
    AnyKind, Calls, Found, Id, Kind, Mark, Plain, Readiness, Replace, Waits, Wanted,
};
pub use value::{Address, Output, Ref, as_output, bind, canonical, output_json, outputs};
pub use world::{Cloud, Kinds, Live};
