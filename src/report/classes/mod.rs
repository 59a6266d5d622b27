//! How the classes are related, and what every cut takes from each.

mod svg;

pub use svg::classes_svg;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::channels::Group;
use crate::score::relatedness::{Edge, GraphOptions, Relatedness};
use crate::statistics::ClassGram;

/// Classes, their relatedness, and the groups as the classes see them.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Classwise {
    /// The classes that are followed, in the order of all arrays.
    pub classes: Vec<FollowedClass>,
    /// `K x K`: correlation of the classes' outputs (`docs/method.md` 3.1).
    pub correlation: Vec<Vec<f64>>,
    /// Edges of the class graph (`docs/method.md` 3.2), which sGLP-IB draws coefficients together along.
    pub edges: Vec<ClassEdge>,
    /// Merges of the class tree (`docs/method.md` 3.3), whose nodes are the blocks of sTLP-IB: leaves are `0..K`, merge
    /// `t` makes node `K + t`.
    pub merges: Vec<ClassMerge>,
    /// What the classes receive from every group.
    pub groups: Vec<GroupClasses>,
}

/// A class, or several that were joined.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct FollowedClass {
    /// For people.
    pub name: String,
    /// Outputs of the model that it stands for.
    pub outputs: Vec<usize>,
    /// Calibration images.
    pub images: usize,
    /// Weight in the selection.
    pub weight: f64,
}

/// An edge of the class graph.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClassEdge {
    /// One class.
    pub first: usize,
    /// The other.
    pub second: usize,
    /// Weight in the penalty.
    pub weight: f64,
}

/// A merge of the class tree.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClassMerge {
    /// One node.
    pub first: usize,
    /// The other.
    pub second: usize,
    /// Distance, divided by the root's.
    pub height: f64,
}

/// A group as the classes see it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct GroupClasses {
    /// Name of the group.
    pub name: String,
    /// For every class: share of what the consumers receive that the cut takes away, before any repair.
    pub lost: Vec<f64>,
    /// The class that loses most.
    pub most_at_risk: Option<usize>,
    /// Pruning units that stay.
    #[serde(skip)]
    pub kept: Vec<usize>,
    /// `K x units`: energy of what each pruning unit contributes to the consumers' outputs, as a share of theirs.
    #[serde(skip)]
    pub shares: Vec<Vec<f32>>,
}

impl GroupClasses {
    /// What is lost of a group of which `kept` stay; `None` where no consumer's outputs can be told apart by channel.
    pub fn new(group: &Group, kept: Vec<usize>, consumers: &[ClassGram]) -> Option<Self> {
        let classes = consumers.first()?.classes();
        let gone: Vec<usize> = (0..group.width()).filter(|unit| kept.binary_search(unit).is_err()).collect();
        let mean = |of: &dyn Fn(&ClassGram) -> f64| consumers.iter().map(of).sum::<f64>() / consumers.len() as f64;
        let lost: Vec<f64> = (0..classes).map(|class| mean(&|own| own.lost(class, &gone))).collect();
        #[allow(clippy::cast_possible_truncation, reason = "shares for pictures")]
        let share = |class: usize, unit: usize| mean(&|own| own.lost(class, &[unit])) as f32;
        let worst = (0..classes).max_by(|&a, &b| lost[a].total_cmp(&lost[b]).then(b.cmp(&a)));
        Some(Self {
            name: group.name.clone(),
            most_at_risk: worst.filter(|_| !gone.is_empty()),
            lost,
            kept,
            shares: (0..classes).map(|class| (0..group.width()).map(|unit| share(class, unit)).collect()).collect(),
        })
    }
}

impl Classwise {
    /// The relatedness as data.
    pub fn related(classes: Vec<FollowedClass>, relatedness: &Relatedness, graph: GraphOptions) -> Self {
        let matrix = relatedness.correlation();
        let row = |row: usize| (0..matrix.ncols()).map(|column| matrix[(row, column)]).collect();
        let edge = |edge: Edge| ClassEdge { first: edge.first, second: edge.second, weight: edge.weight };
        let merges = relatedness.merges();
        Self {
            classes,
            correlation: (0..matrix.nrows()).map(row).collect(),
            edges: relatedness.edges(graph).into_iter().map(edge).collect(),
            merges: merges
                .into_iter()
                .map(|merge| ClassMerge { first: merge.first, second: merge.second, height: merge.height })
                .collect(),
            groups: Vec::new(),
        }
    }

    /// How often each class is the one that loses most, most often first.
    pub fn at_risk(&self) -> Vec<(&str, usize)> {
        let count = |class: usize| self.groups.iter().filter(|group| group.most_at_risk == Some(class)).count();
        let mut counts: Vec<(&str, usize)> =
            self.classes.iter().enumerate().map(|(class, own)| (own.name.as_str(), count(class))).collect();
        counts.retain(|(_, count)| *count > 0);
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        counts
    }
}
