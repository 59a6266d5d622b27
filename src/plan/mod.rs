//! From scores to a plan: budgets, widths, rounding, and the plan file.

mod allocate;
mod budget;
mod combined;
mod error;
mod file;
mod goals;
mod limits;
mod rounding;
pub mod search;
mod sensitivity;
mod staircase;

pub use allocate::{Allocation, Allocator, choose};
pub use budget::{Bounds, Budget, Target};
pub use error::PlanError;
pub use file::{BLOCKS_SCHEMA_VERSION, PLAN_SCHEMA_VERSION, Plan, PlannedBlock, PlannedGroup, Wider};
pub use goals::{Goals, LatencyTarget};
pub use limits::Limits;
pub use rounding::{Deployed, RoundTo, Rounding, integer_kernels};
pub use sensitivity::Curve;
