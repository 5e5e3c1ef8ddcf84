//! Facts about AWS and Databricks that do not come from an API: regions, ports, sizes, actions.
//!
//! Data with its source and date, no decisions. Regions are a JSON file with its own provenance;
//! the rest was compiled on 2026-11-22 from the documentation of Databricks and of its Terraform
//! provider (684f442) and Security Reference Architecture (72a96ea).

pub mod iam;
pub mod limits;
pub mod ports;
pub mod regions;
pub mod subnets;
