//! Limits of AWS and Databricks, and how much of them a stack uses.

use engine::Graph;
use schemars::JsonSchema;
use serde::Serialize;
use spec::Spec;

use crate::topology::Topology;

/// One limit and what a stack takes of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Limit {}

/// What the stack takes of every limit that is known.
pub fn limits(_spec: &Spec, _graph: &Graph, _topology: &Topology) -> Vec<Limit> {
    Vec::new()
}
