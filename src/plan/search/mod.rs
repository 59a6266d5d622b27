//! Searches over numbers: a strategy asks for a share and is told what it costs. It knows of no model.
//!
//! [`latency`]: the share of the multiply-accumulates that takes a given time; [`size`]: the share of the parameters that
//! makes a file of a given size; [`mod@drop`]: the smallest share that loses no more accuracy than allowed; [`halving`]: the
//! members of a set that are to blame, or that are free; [`depth`]: the blocks that can go.

pub mod depth;
pub mod drop;
pub mod halving;
pub mod latency;
pub mod size;
