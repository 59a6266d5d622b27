//! The model whose graph is opened.

use crate::model::Model;

/// A model that is borrowed, and gets the edited graph in the end, or one that the graph keeps.
#[derive(Debug)]
pub(super) enum Held<'a> {
    Borrowed(&'a mut Model),
    Owned(Box<Model>),
}

impl Held<'_> {
    pub(super) fn get(&self) -> &Model {
        match self {
            Self::Borrowed(model) => model,
            Self::Owned(model) => model,
        }
    }
}
