//! Draws what a spec asks for: networks, workspaces, and the ways their packets take.
//!
//! ```text
//! Topology, Report, Plan ──▶ Picture ──▶ mermaid
//!                                    ──▶ Scene (boxes and lines with their places) ──▶ SVG ──▶ HTML
//! ```
//!
//! Pure and deterministic: the same input gives the same bytes.

mod html;
mod mermaid;
mod model;
mod read;
mod scene;
mod svg;
mod text;

pub use html::html;
pub use mermaid::mermaid;
pub use model::{
    Door, DoorKind, Group, Mark, Picture, Place, Subnet, Tally, Vpc, Way, Words, Workspace,
};
pub use read::Change;
pub use svg::svg;

#[cfg(test)]
mod tests;
