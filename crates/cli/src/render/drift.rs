//! What was changed outside dbxctl, told apart from what the spec asks for.

use engine::{Plan, Step};

use super::text::flowed;
use super::{Ink, paint, plan};

/// The answer of `plan --drift-only`.
pub(crate) fn drift(plan: &Plan) -> String {
    if plan.is_empty() {
        return format!(
            "No drift. {} resources of `{}` are as they were last applied.\n",
            plan.unchanged, plan.stack
        );
    }
    let steps: Vec<&Step> = plan.steps.iter().collect();
    let count = steps.len();
    let count = format!("Drift: {count} resources are not as they were last applied.\n");
    flowed(&(section(&steps) + &count))
}

/// A section of the plan with the steps that only put back what was changed; empty without any.
pub(super) fn section(steps: &[&Step]) -> String {
    if steps.is_empty() {
        return String::new();
    }
    let title = paint(Ink::Bold, "changed outside dbxctl, and put back");
    let steps: String = steps.iter().map(|step| plan::step(step, "")).collect();
    format!("{title}\n{steps}\n")
}
