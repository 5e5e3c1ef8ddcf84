//! Specs, graphs and topologies, and what the analyser says of them.

mod rules;
mod capacity;
mod stage;
