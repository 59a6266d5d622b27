//! Refinement: the weights that are left move the pruned model's values towards the dense model's, all layers at once.
//!
//! Compensation refits one layer after the other; what is left over adds up through the network. Here the squared
//! difference of chosen values (outputs, the last feature map, the residual streams between) is minimised over all weights
//! together by damped Gauss-Newton steps (`docs/method.md` 10): derivatives forwards and backwards of
//! the graph's operators, a Kronecker-factored Gauss-Newton matrix, lengths from exact products with it, a fresh draw
//! of images for every step. A round of steps is kept only if it helps on held-out images. The dense model gives the
//! targets, so mirrored and shifted images serve too; labels are not used.

mod adjustable;
mod blocks;
mod dense;
mod descent;
mod factors;
mod images;
mod linear;
mod objective;
mod ops;
mod options;
mod program;
mod rounds;
mod site;
mod survey;

pub use dense::Teacher;
pub use options::{RefineOptions, Refined, Stop};
pub use rounds::refine;

#[cfg(test)]
mod tests;
