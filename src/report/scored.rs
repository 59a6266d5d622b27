//! Scores of every channel, as data.

use std::collections::BTreeMap;
use std::io::Cursor;

use ndarray::{Array1, Array2};
use ndarray_npy::NpzWriter;
use serde::{Deserialize, Serialize};

use super::{Calibrated, Classwise, FileInfo};
use crate::channels::Scope;
use crate::engine::EngineInfo;
use crate::score::PathInfo;

/// Version of the form of [`Scored`]. Grows when a field changes its meaning or goes; new fields may appear.
pub const SCORES_SCHEMA_VERSION: u32 = 1;

/// What a criterion says about every group.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Scored {
    /// [`SCORES_SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Version of this crate.
    pub tool_version: String,
    /// The model.
    pub model: FileInfo,
    /// What ran the images, if there were any.
    pub engine: Option<EngineInfo>,
    /// Name of the criterion.
    pub criterion: String,
    /// What was calibrated on.
    pub calibration: Option<Calibrated>,
    /// Groups in the order of the graph.
    pub groups: Vec<ScoredGroup>,
    /// How the classes are related.
    pub classwise: Option<Classwise>,
    /// What a person should know.
    pub notes: Vec<String>,
    /// Seed of every random choice.
    pub seed: u64,
    /// Seconds per phase.
    pub timings_s: BTreeMap<String, f64>,
}

/// Scores of one group.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ScoredGroup {
    /// Name of the first node that makes the channels.
    pub name: String,
    /// Inner or residual stream.
    pub scope: Scope,
    /// One score per pruning unit (unit that is cut), larger stays.
    pub scores: Vec<f64>,
    /// The lambda that a score of 1 stands for, where scores are entry values divided by the group's largest.
    pub unit: Option<f64>,
    /// What the scores are and how they came about.
    pub explanation: String,
    /// The regularisation path, for the lasso criteria.
    pub path: Option<PathInfo>,
    /// For every followed class and pruning unit: energy of what the pruning unit contributes to the consumers' outputs, as a share of
    /// theirs.
    pub shares: Vec<Vec<f32>>,
}

impl Scored {
    /// As JSON, ending in a newline.
    ///
    /// # Errors
    /// If a number cannot be written.
    pub fn to_json(&self) -> Result<String, String> {
        serde_json::to_string_pretty(self).map(|text| text + "\n").map_err(|error| error.to_string())
    }

    /// As the bytes of an `.npz` file: `GROUP:scores`, `GROUP:lambdas`, `GROUP:active` and `GROUP:shares` for every group,
    /// `correlation` for the classes. A leading slash of a group's name is left out.
    ///
    /// # Errors
    /// If the archive cannot be made.
    pub fn to_npz(&self) -> Result<Vec<u8>, String> {
        let mut bytes = Cursor::new(Vec::new());
        let mut writer = NpzWriter::new_compressed(&mut bytes);
        let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
        for group in &self.groups {
            let again = seen.entry(&group.name).and_modify(|count| *count += 1).or_insert(0);
            let name = group.name.trim_start_matches('/');
            let name = if *again > 0 { format!("{name}#{again}") } else { name.to_owned() };
            let fail = |error: ndarray_npy::WriteNpzError| error.to_string();
            writer.add_array(format!("{name}:scores"), &Array1::from(group.scores.clone())).map_err(fail)?;
            if let Some(path) = &group.path {
                let active: Vec<u64> = path.active.iter().map(|&count| count as u64).collect();
                writer.add_array(format!("{name}:lambdas"), &Array1::from(path.lambdas.clone())).map_err(fail)?;
                writer.add_array(format!("{name}:active"), &Array1::from(active)).map_err(fail)?;
            }
            if let Some(units) = group.shares.first().map(Vec::len) {
                let shares = Array2::from_shape_fn((group.shares.len(), units), |at| group.shares[at.0][at.1]);
                writer.add_array(format!("{name}:shares"), &shares).map_err(fail)?;
            }
        }
        if let Some(classwise) = &self.classwise {
            let size = classwise.classes.len();
            let matrix = Array2::from_shape_fn((size, size), |at| classwise.correlation[at.0][at.1]);
            writer.add_array("correlation", &matrix).map_err(|error| error.to_string())?;
        }
        writer.finish().map_err(|error| error.to_string())?;
        Ok(bytes.into_inner())
    }
}
