//! Calibration images: where they lie, how they become input tensors, which of them are used.

mod error;

pub use error::CalibrationError;
