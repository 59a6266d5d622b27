//! The dependency graph as a picture: which operators make, carry and sum over which groups.

mod dot;
mod svg;

pub use dot::Dot;
pub use svg::Svg;

use super::Inspection;

/// One way to draw it.
pub trait Drawing {
    /// Name of the format.
    fn name(&self) -> &'static str;

    /// The drawing as text.
    ///
    /// # Errors
    /// Never in practice: writing to a string.
    fn draw(&self, inspection: &Inspection) -> Result<String, std::fmt::Error>;
}
