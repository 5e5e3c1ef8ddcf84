//! Specs, graphs and topologies, and what the analyser says of them.

mod capacity;
mod rules;
mod stage;
