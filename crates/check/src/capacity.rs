//! How many nodes fit, and how far networks can still grow.

use schemars::JsonSchema;
use serde::Serialize;
use spec::Spec;

use crate::topology::Topology;

/// Room for nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Capacity {}

/// How many nodes fit into what a spec asks for.
pub fn capacity(_spec: &Spec, _topology: &Topology) -> Capacity {
    Capacity::default()
}
