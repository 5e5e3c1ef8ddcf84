//! Keeping many stacks in step: which stacks a folder holds, when each has its turn, and what a
//! plan may do without anybody looking at it.
//!
//! What a turn does is the caller's ([`Fleet`]); when it is made is decided here, from the time that
//! has passed and from nothing else.

mod folder;
mod policy;
mod run;
mod schedule;

pub use folder::{Config, Defaults, Interval, Mistake, Stack, StackConfig, config_schema, stacks};
pub use policy::{Policy, Withheld, withheld};
pub use run::{Event, Fleet, Options, run};
pub use schedule::{Defined, Noticed, Schedule, Timing, Turned};
