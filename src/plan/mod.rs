//! From scores to a plan: budgets, widths, rounding, and the plan file.

mod allocate;
mod budget;
mod combined;
mod error;
mod file;
mod rounding;
mod sensitivity;
mod staircase;

pub use allocate::{Allocation, Allocator, choose};
pub use budget::{Budget, Target};
pub use error::PlanError;
pub use file::{PLAN_SCHEMA_VERSION, Plan, PlannedGroup};
pub use rounding::Rounding;
pub use sensitivity::Curve;
