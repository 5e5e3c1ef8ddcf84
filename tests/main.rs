//! Tests of the whole program against cloud servers in other processes.
//!
//! `cargo xtask test` builds what they start and says where python is.

mod clouds;
mod crash;
mod drift;
mod faults;
mod proxy;
mod random;
mod sandbox;
mod state;
mod stops;
mod wire;
