//! What things are called, in the clouds and in the graph.

/// Joins the parts with hyphens; what would be longer than `max` ends in a hash of the whole, so
/// that different names stay different.
pub(crate) fn join(max: usize, parts: &[&str]) -> String {
    let full = parts.join("-");
    if full.len() <= max {
        return full;
    }
    let hash = full
        .bytes()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let kept: String = full.chars().take(max.saturating_sub(9)).collect();
    format!("{kept}-{hash:08x}")
}

/// A role or instance profile: at most 64 characters.
pub(crate) fn iam(parts: &[&str]) -> String {
    join(64, parts)
}

/// An object of the Databricks account: 4 to 256 characters.
pub(crate) fn account(parts: &[&str]) -> String {
    join(200, parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_stay_different_and_short_enough() {
        let long = "x".repeat(80);
        let (a, b) = (iam(&[&long, "a"]), iam(&[&long, "b"]));
        assert!(a != b && a.len() == 64 && b.len() == 64, "{a} {b}");
        assert_eq!(iam(&["demo", "wk1"]), "demo-wk1");
    }
}
