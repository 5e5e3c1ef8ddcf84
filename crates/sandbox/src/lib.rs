//! An embedded simulated cloud behind the engine's own interface: the quick start, rehearsals, and
//! the property, crash and scale tests run against it.
//!
//! It keeps objects as the JSON their kinds speak and knows of each kind only what AWS or the
//! Databricks account would enforce: which ids must exist, what must be unique, who blocks whose
//! deletion, what a new object looks like before anybody configures it, and how long things take.
//! Where that is assumed rather than documented, the code says so.
//!
//! Everything is persisted in one journal file; several processes may share it.

mod clock;
mod databricks;
mod ec2;
mod iam;
mod s3;
mod sandbox;
mod settings;
mod sim;
mod store;

pub use sandbox::{Call, Item, Sandbox, simulated};
pub use settings::{Fault, Happens, Operation, Profile, Settings, run_settings};
pub use store::OpenError;
