//! The language users write: text to [`Spec`], with positions.
//!
//! ```text
//! text ──parse──▶ tree ──merge, ${env:…}──▶ tree ──schema──▶ JSON ──types──▶ Spec ──meaning──▶ Loaded
//! ```
//!
//! Every step reports all it finds; a step begins only when the one before found nothing.

mod diagnostic;
mod env;
mod explain;
mod field;
mod load;
mod meaning;
mod merge;
mod model;
mod parse;
mod places;
mod read;
mod remote;
mod schema;
mod source;
mod suggest;
mod tree;
mod words;

pub use diagnostic::{Diagnostic, Related, Severity, render};
pub use field::{Field, field, fields};
pub use load::{Loaded, document, load};
pub use meaning::{Mistake, check};
pub use model::*;
pub use places::Places;
pub use remote::{Host, Remote};
pub use schema::{schema, schema_of};
pub use source::{Place, SourceFile};
pub use suggest::closest;
