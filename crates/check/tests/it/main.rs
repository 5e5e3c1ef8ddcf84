//! Specs, graphs and topologies, and what the analyser says of them.

mod capacity;
mod monotone;
mod packet;
mod proofs;
mod rules;
mod stage;
mod templates;
mod topologies;
mod ways;
