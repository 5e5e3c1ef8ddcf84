//! Findings as SARIF 2.1.0, for code scanning.

use serde_json::Value;

use crate::Report;

/// A place in a file; line and column from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    pub file: String,
    pub line: usize,
    pub column: usize,
}

/// The findings of a report as a SARIF log; `locate` says where a JSON pointer of the spec is written.
pub fn sarif(_report: &Report, _locate: &dyn Fn(&str) -> Option<Location>) -> Value {
    Value::Null
}
