//! What `dbxctl adopt` found: owned, used, left alone, and what no spec can say.

use adopt::Adoption;
use engine::Plan;

use super::plan::pretty;
use super::{Ink, paint};

/// The whole finding as text.
pub(crate) fn adoption(adoption: &Adoption, plan: &Plan) -> String {
    let mut text = format!("{}\n", paint(Ink::Bold, "owned from now on"));
    let width = adoption.owned.keys().map(|a| a.as_str().len()).max().unwrap_or(0);
    for (address, id) in &adoption.owned {
        text += &format!("  {:width$}  {}\n", address.as_str(), paint(Ink::Dim, id));
    }
    if !adoption.used.is_empty() {
        text += &format!("\n{}\n", paint(Ink::Bold, "used, never changed"));
        for (part, why) in &adoption.used {
            text += &format!("  {part}  {}\n", paint(Ink::Dim, &format!("({why})")));
        }
    }
    if !adoption.left.is_empty() {
        text += &format!("\n{}\n", paint(Ink::Bold, "left alone"));
        for left in &adoption.left {
            text += &format!("  {} {}  {}\n", left.kind, left.id, paint(Ink::Dim, &left.why));
        }
    }
    text += &misfits(adoption);
    let marked = plan.steps.iter().filter(|s| !s.changes.is_empty()).count();
    text += &format!(
        "\nAdopt: {} to own, {} parts only used, {marked} to mark with the tags `dbxctl:stack` and `dbxctl:address`. Nothing else is changed.\n",
        adoption.owned.len(),
        adoption.used.len(),
    );
    text
}

/// What no spec can say, field by field.
pub(crate) fn misfits(adoption: &Adoption) -> String {
    let mut text = String::new();
    if !adoption.misfits.is_empty() {
        text += &format!("\n{}\n", paint(Ink::Red, "cannot be said in a spec"));
        for misfit in &adoption.misfits {
            text += &match misfit.field.as_str() {
                "" => format!("  {}: there is no such object\n", misfit.address),
                field => format!(
                    "  {} {field}: it is {}, the spec would make it {}\n",
                    misfit.address,
                    pretty(&misfit.have),
                    pretty(&misfit.want)
                ),
            };
        }
    }
    text
}
