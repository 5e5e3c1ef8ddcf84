//! Databricks account API: sign-in, REST, error classes.
//!
//! Reads no environment and no files itself, and repeats nothing, except once after a new sign-in:
//! the engine decides by class.

mod account;
mod config;
mod error;
mod token;

pub use account::Account;
pub use config::{Config, Given};
