//! Counting requests.

use crate::Class;

/// Takes note of requests where they are really sent, repeated ones and those for a token among
/// them. Must return at once.
pub trait Meter: Send + Sync {
    /// A request goes out: `ec2`, `DescribeVpcs`.
    fn sent(&self, service: &str, operation: &str);
    /// It came to nothing.
    fn failed(&self, service: &str, operation: &str, class: Class);
}

/// Counts nothing.
impl Meter for () {
    fn sent(&self, _: &str, _: &str) {}
    fn failed(&self, _: &str, _: &str, _: Class) {}
}
