//! Tests of the whole program; see `main.rs`.
