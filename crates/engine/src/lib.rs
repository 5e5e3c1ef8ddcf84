//! Refresh, plan, apply and state, for any set of kinds. Knows no cloud, no kind by name, no
//! terminal, and nobody's home folder.
//!
//! A run is [`refresh`] (I/O) → [`plan`] (pure) → [`apply`] (I/O that follows the plan).

mod apply;
mod diff;
mod estimate;
mod event;
mod graph;
mod kind;
mod pace;
mod plan;
mod refresh;
mod state;
mod value;
mod world;

pub use apply::{
    Failure, Outcome, Run, Settings, Stale, StepError, apply, apply_as, check_fresh, fresh,
    patiently,
};
pub use diff::{Change, Consequence, Diff, Effect, Impact, Meaning};
pub use estimate::{Estimate, estimate, median};
pub use event::{Event, Report};
pub use graph::{Expect, Graph, GraphError, Group, Handle, Node, Out, Part, Role, known};
pub use kind::{
    AnyKind, Calls, Found, Id, Kind, Mark, Plain, Readiness, Replace, Scope, Waits, Wanted,
};
pub use pace::{Limit, Pace, Paced};
pub use plan::{
    Action, Headline, LastAsked, Note, PLAN_FORMAT, Plan, PlannedChange, Problem, Relation, Step,
    Summary, Why, drift, parents_first, plan,
};
pub use refresh::{World, late, refresh};
pub use state::{
    Deposed, Durations, Ended, Entry, FORMAT, Holder, Leases, Lock, LockError, Move, Notice,
    Notices, OpenState, PastRun, PushError, Rebuilt, Record, RunResult, State, StateError,
    StateFile, StatePlace, Status, Store, Took, parse_state, push, rebuild,
};
pub use value::{Address, Output, Ref, as_output, as_set, bind, canonical, output_json, outputs};
pub use world::{Cloud, Kinds, Live};

/// Goes into every file we write.
pub(crate) const WRITTEN_BY: &str = concat!("dbxctl ", env!("CARGO_PKG_VERSION"));
