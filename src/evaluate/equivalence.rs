//! Masked = sliced: the sliced model must compute what the masked original computes.

use super::EvaluateError;
use super::watched::watched;
use crate::engine::{CompileOptions, Engine, Feed, Tensor, feed, readable_outputs};
use crate::model::{DataType, Model};

/// How well two models agree.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct Agreement {
    /// Largest difference over all outputs, relative to the largest value of the output.
    pub max_error: f64,
    /// What is allowed for the model's element type.
    pub tolerance: f64,
}

/// Times the reference's own noise that another model may differ.
const NOISE: f64 = 8.0;

/// Noise beyond which a comparison says nothing. Outputs of such noise are believed only where what lies before the
/// function that hides or chooses was compared too.
const MOST: f64 = 0.1;

/// Allowed relative difference: rounding of sums in another order, by the coarsest float type among the weights, wherever
/// they are stored. Where activations are quantised, a sum that falls on the other side of a rounding step moves by the
/// whole step, of which the 8-bit range has 255.
pub fn tolerance(model: &Model) -> f64 {
    let graph = model.graph();
    let constants =
        graph.node.iter().filter(|node| node.op_type() == "Constant").filter_map(|node| node.tensor("value"));
    let kinds: std::collections::BTreeSet<i32> =
        graph.initializer.iter().chain(constants).map(crate::proto::onnx::TensorProto::data_type).collect();
    let has = |kind: DataType| kinds.contains(&(kind as i32));
    match () {
        () if has(DataType::Bfloat16) => 5e-2,
        () if graph.node.iter().any(|node| rounds(node.op_type())) => 2e-2,
        () if has(DataType::Float16) => 1e-2,
        () => 1e-4,
    }
}

/// Whether an operator rounds values to the steps of an integer.
fn rounds(op: &str) -> bool {
    ["QuantizeLinear", "DynamicQuantizeLinear", "QGemm"].contains(&op) || op.starts_with("QLinear")
}

/// Runs both models on every feed and compares all outputs, and what the functions read that could hide a difference in
/// them. Where they differ by more than [`tolerance`], the reference's own noise is measured: how far it is
/// from itself on inputs that are moved by one unit in the last place, and without the engine's optimisations.
///
/// # Errors
/// If a model does not run or the outputs differ by more than is allowed.
pub fn compare(
    engine: &dyn Engine,
    masked: &Model,
    sliced: &Model,
    feeds: &[Feed],
) -> Result<Agreement, EvaluateError> {
    let names = compared(masked, sliced);
    let comparison = Comparison { engine, names: &names, outputs: readable_outputs(masked).len(), feeds };
    let wanted = comparison.values(masked, false, feeds)?;
    let got = comparison.values(sliced, false, feeds)?;
    let errors = comparison.errors(&wanted, &got);
    let base = tolerance(masked);
    if errors.iter().all(|&error| error <= base) {
        let max_error = errors[..comparison.outputs].iter().copied().fold(0.0, f64::max);
        return Ok(Agreement { max_error, tolerance: base });
    }
    let noise = comparison.noise(masked, &wanted)?;
    let mut worst = Agreement { max_error: 0.0, tolerance: base };
    let covered = comparison.inner_values_compared(&wanted, &got);
    for (at, (name, (&error, &noise))) in names.iter().zip(errors.iter().zip(&noise)).enumerate() {
        let own = base.max(NOISE * noise);
        let tolerance = if at < comparison.outputs && covered { own } else { own.min(MOST.max(base)) };
        // A NaN compares as not within the tolerance.
        if error.is_nan() || error > tolerance {
            return Err(EvaluateError::Differs { output: name.clone(), error, tolerance });
        }
        if tolerance <= MOST.max(base) && error / tolerance > worst.max_error / worst.tolerance {
            worst = Agreement { max_error: error, tolerance };
        }
    }
    Ok(worst)
}

/// Outputs, and the values beside them that both models have.
fn compared(masked: &Model, sliced: &Model) -> Vec<String> {
    let mut names: Vec<String> = readable_outputs(masked);
    let made = |name: &String| sliced.graph().node.iter().any(|node| node.output.contains(name));
    names.extend(watched(masked).into_iter().filter(made));
    let mut seen = std::collections::BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}

/// Values of two models on the same feeds.
struct Comparison<'a> {
    engine: &'a dyn Engine,
    names: &'a [String],
    /// How many of the names are outputs.
    outputs: usize,
    feeds: &'a [Feed],
}

/// Values by feed and name.
type Values = Vec<Vec<Tensor>>;

impl Comparison<'_> {
    fn values(&self, model: &Model, plain: bool, feeds: &[Feed]) -> Result<Values, EvaluateError> {
        let options = CompileOptions { outputs: self.names.to_vec(), plain, ..CompileOptions::default() };
        let mut session = self.engine.compile(model, &options).map_err(EvaluateError::Pruned)?;
        feeds.iter().map(|feed| session.run(&feed::pairs(feed)).map_err(EvaluateError::Pruned)).collect()
    }

    /// Largest difference of every value. What lies inside may have lost channels: other shapes count for outputs only.
    fn errors(&self, wanted: &Values, got: &Values) -> Vec<f64> {
        let mut errors = vec![0.0_f64; self.names.len()];
        for (wanted, got) in wanted.iter().zip(got) {
            for (at, (wanted, got)) in wanted.iter().zip(got).enumerate() {
                let other = if at < self.outputs { f64::INFINITY } else { 0.0 };
                errors[at] = errors[at].max(difference(wanted, got).unwrap_or(other));
            }
        }
        errors
    }

    /// Whether some value beside the outputs has the same shape in both models.
    fn inner_values_compared(&self, wanted: &Values, got: &Values) -> bool {
        let same = |(a, b): (&Tensor, &Tensor)| a.shape() == b.shape();
        let feed = wanted.iter().zip(got).next();
        feed.is_some_and(|(wanted, got)| wanted.iter().zip(got).skip(self.outputs).any(same))
    }

    /// How far every value of the reference is from itself.
    fn noise(&self, model: &Model, wanted: &Values) -> Result<Vec<f64>, EvaluateError> {
        let moved: Vec<Feed> = self.feeds.iter().map(feed::moved).collect();
        let by_inputs = self.errors(wanted, &self.values(model, false, &moved)?);
        // Without its optimisations an engine may refuse a model.
        let by_engine = self.values(model, true, self.feeds).map(|found| self.errors(wanted, &found));
        let by_engine = by_engine.unwrap_or_else(|_| vec![0.0; self.names.len()]);
        Ok(by_inputs
            .into_iter()
            .zip(by_engine)
            .map(|(a, b)| if a.max(b).is_finite() { a.max(b) } else { 0.0 })
            .collect())
    }
}

/// Largest difference relative to the largest finite value; `None` if the shapes differ. Equal non-finite values agree.
fn difference(wanted: &Tensor, got: &Tensor) -> Option<f64> {
    if wanted.shape() != got.shape() {
        return None;
    }
    let (wanted, got) = (wanted.to_f32(), got.to_f32());
    let scale = wanted.iter().filter(|v| v.is_finite()).fold(0.0_f32, |most, v| most.max(v.abs()));
    let mut worst = 0.0_f64;
    for (a, b) in wanted.iter().zip(&got) {
        if a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()) {
            continue;
        }
        let gap = f64::from((a - b).abs()) / f64::from(scale.max(1e-12));
        if gap.is_nan() {
            return Some(f64::INFINITY);
        }
        worst = worst.max(gap);
    }
    Some(worst)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{TensorData, TensorType};
    use crate::proto::onnx::NodeProto;
    use ndarray::arr1;

    /// `y = Sigmoid(x w - 30)`: the outputs are next to nothing.
    fn shut(weight: f32) -> Model {
        let mut model = Model::new(17);
        let graph = model.graph_mut();
        let kind = TensorType::new(DataType::Float).shaped([2.into(), 2.into()]);
        graph.input.push(kind.declare("x"));
        graph.output.push(kind.declare("y"));
        let weights = [weight, 1.0, -1.0, weight];
        let stored = |name: &str, data: TensorData| data.to_proto(name);
        graph.initializer.push(stored("w", TensorData::from_vec(vec![2, 2], &weights).unwrap()));
        graph.initializer.push(stored("b", TensorData::from_vec(vec![2], &[-30.0_f32; 2]).unwrap()));
        graph.node.push(NodeProto::new("MatMul").input("x").input("w").output("m"));
        graph.node.push(NodeProto::new("Add").input("m").input("b").output("z"));
        graph.node.push(NodeProto::new("Sigmoid").input("z").output("y"));
        model
    }

    #[test]
    #[cfg(feature = "tract")]
    fn what_a_sigmoid_hides_is_compared_before_it() {
        use crate::engine::{EngineChoice, EngineOptions, open};
        let options = EngineOptions { engine: EngineChoice::Tract, ..EngineOptions::default() };
        let engine = open(&options).unwrap().engine;
        let feeds = crate::evaluate::random_feeds(&shut(0.5), &std::collections::BTreeMap::new(), 2, 1);
        let same = compare(engine.as_ref(), &shut(0.5), &shut(0.5), &feeds).unwrap();
        assert!(same.max_error <= same.tolerance);
        match compare(engine.as_ref(), &shut(0.5), &shut(0.6), &feeds) {
            Err(EvaluateError::Differs { error, tolerance, .. }) => assert!(error > tolerance),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_nan_on_one_side_is_a_difference() {
        let a = Tensor::F32(arr1(&[1.0, 2.0]).into_dyn());
        let b = Tensor::F32(arr1(&[1.0, f32::NAN]).into_dyn());
        assert_eq!(difference(&a, &a), Some(0.0));
        assert_eq!(difference(&a, &b), Some(f64::INFINITY));
        assert_eq!(difference(&a, &Tensor::F32(arr1(&[1.0]).into_dyn())), None);
    }
}
