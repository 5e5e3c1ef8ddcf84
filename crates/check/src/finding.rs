//! What is wrong, where, and what to do.

use schemars::JsonSchema;
use serde::Serialize;

use crate::topology::Key;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing; shown on request.
    Info,
    /// Works, but will hurt.
    Warning,
    /// Does not work. Nothing is planned or applied.
    Error,
}

/// One rule that is broken in one place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
pub struct Finding {
    /// The rule: `DBX-NET-001`.
    pub rule: &'static str,
    pub severity: Severity,
    /// The object it is about, by address; the name of a workspace when it is about all of it.
    pub subject: Key,
    /// The place in the spec that mends it, as a JSON pointer.
    pub pointer: String,
    pub message: String,
    /// The smallest change that mends it.
    pub fix: String,
    /// What users would see otherwise, in the words of Databricks or AWS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub symptom: Option<String>,
    /// The reason for which the spec accepts it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accepted: Option<String>,
}
