//! Tests of the whole program against cloud servers in other processes.
//!
//! `cargo xtask test` builds what they start and says where python is.

mod adopt;
mod changes;
mod check;
mod clouds;
mod crash;
mod drift;
mod estimate;
mod faults;
mod fleet;
mod history;
mod living;
mod proxy;
mod random;
mod reconcile;
mod review;
mod sandbox;
mod shared_state;
mod sign_in;
mod state;
mod stops;
mod terminal;
mod wire;
