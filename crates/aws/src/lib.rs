//! AWS: a session with the clients dbxctl needs, and errors with a class.
//!
//! Nothing here repeats a call: the SDK's own retries are off, because the engine decides by class.

mod error;
mod meter;
mod objects;
mod session;

pub use aws_sdk_ec2 as ec2;
pub use aws_sdk_iam as iam;
pub use aws_sdk_s3 as s3;
pub use aws_sdk_sts as sts;

pub use error::{Named, classify};
pub use objects::StateBucket;
pub use session::{Aws, Identity};
