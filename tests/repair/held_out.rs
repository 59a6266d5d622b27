//! The judge of a refitted layer: the engine, on images that no fit saw, with the weights that were written.
//!
//! A layer is compared with itself as it was: in the repaired model its own weights are put back, those of the layers
//! before it stay repaired. Both are to give what the dense model gives there, behind what the layer was fitted for (a
//! shortcut, an activation). Nothing of this comes from the fit but the names.

use ndarray::{ArrayD, Axis};
use onnx_prune::channels::{Channels, Cut};
use onnx_prune::engine::feed::pairs;
use onnx_prune::engine::{CompileOptions, Engine, Feed};
use onnx_prune::model::{Model, TensorData};
use onnx_prune::proto::onnx::{GraphProto, NodeProto};
use onnx_prune::repair::LayerFit;
use onnx_prune::rewrite::slice;

/// A cut and what was made of it.
pub(crate) struct Repair<'a> {
    pub(crate) dense: &'a Model,
    pub(crate) channels: &'a Channels,
    pub(crate) cut: &'a Cut,
    pub(crate) sliced: &'a Model,
    pub(crate) repaired: &'a Model,
}

/// Squared errors of a layer as a share of the spread of what the dense model gives.
#[derive(Debug)]
pub(crate) struct Judged {
    /// With the weights it had.
    pub(crate) before: f64,
    /// With the weights that were written.
    pub(crate) after: f64,
    /// Two standard errors of the difference, from that of every image: what other images may make of it.
    pub(crate) noise: f64,
}

impl Judged {
    /// Whether the layer came away from the dense model, by more than single precision and the choice of images explain.
    pub(crate) fn is_worse(&self) -> bool {
        self.after.is_nan() || self.after > self.before + (self.before * 1e-4 + 1e-6).max(self.noise)
    }
}

impl Repair<'_> {
    /// Judges a layer on images of the input `x`.
    pub(crate) fn judge(&self, engine: &dyn Engine, fit: &LayerFit, images: &[Feed]) -> Judged {
        let graph = self.repaired.graph();
        let node = graph.node.iter().find(|node| node.name() == fit.name).unwrap();
        let axis = |rank: usize| if node.op_type().starts_with("Conv") { 1 } else { rank - 1 };
        let value = target(graph, node, fit);
        let [dense, before, after] = [self.dense, &self.without(node), self.repaired]
            .map(|model| values(engine, model, &value, images).expect("the engine runs it"));
        let kept = self.kept(&fit.name);
        let (mut errors, mut spread) = ([0.0; 2], 0.0);
        let mut by_image = vec![0.0; images.len()];
        for (channel, &of) in kept.iter().enumerate() {
            let wanted = flat(&dense, axis, of);
            let mean = wanted.iter().sum::<f64>() / wanted.len() as f64;
            spread += wanted.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
            for (error, model) in errors.iter_mut().zip([&before, &after]) {
                let found = flat(model, axis, channel);
                assert_eq!(found.len(), wanted.len());
                *error += found.iter().zip(&wanted).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
            }
            let [old, new] = [&before, &after].map(|model| flat(model, axis, channel));
            let each = wanted.len().div_ceil(images.len()).max(1);
            for (at, wanted) in wanted.iter().enumerate() {
                by_image[at / each] += (new[at] - wanted).powi(2) - (old[at] - wanted).powi(2);
            }
        }
        let spread = spread.max(f64::MIN_POSITIVE);
        let [before, after] = errors.map(|error| error / spread);
        let n = by_image.len() as f64;
        let mean = by_image.iter().sum::<f64>() / n;
        let variance = by_image.iter().map(|own| (own - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
        Judged { before, after, noise: 2.0 * (n * variance).sqrt() / spread }
    }

    /// The repaired model with one layer as it was after the cut.
    fn without(&self, node: &NodeProto) -> Model {
        let mut model = self.repaired.clone();
        let own = |graph: &GraphProto| graph.node.iter().position(|other| other.name() == node.name()).unwrap();
        let (old, at) = (self.sliced.graph(), own(self.repaired.graph()));
        model.graph_mut().node[at] = old.node[own(old)].clone();
        // Constants of the layer may have gone into the node behind it.
        let behind = old.node.iter().filter(|other| other.input.contains(&node.output[0]));
        let names = behind.chain([&old.node[own(old)]]).flat_map(|other| other.input.clone());
        for name in names.collect::<std::collections::BTreeSet<_>>() {
            let Some(stored) = old.initializer.iter().find(|tensor| tensor.name() == name) else { continue };
            let all = &mut model.graph_mut().initializer;
            *all.iter_mut().find(|tensor| tensor.name() == name).unwrap() = stored.clone();
        }
        model
    }

    /// Which of the dense layer's outputs are left: its weights are numbered by output, and cut.
    fn kept(&self, name: &str) -> Vec<usize> {
        let mut numbered = self.dense.clone();
        let (weight, index) = weight(&numbered, name);
        let each = Outputs::of(&numbered, name, &weight.dims);
        let numbers: Vec<f32> = (0..weight.len()).map(|at| each.number(at) as f32).collect();
        let stored = numbered.graph().initializer[index].name().to_owned();
        numbered.graph_mut().initializer[index] = TensorData::from_f32(weight.dims, &numbers).to_proto(&stored);
        let cut = slice(&numbered, self.channels, self.cut).unwrap();
        let (left, _) = self::weight(&cut, name);
        let (each, values) = (Outputs::of(&cut, name, &left.dims), left.to_f32().unwrap());
        let mut kept = vec![usize::MAX; each.count()];
        for (at, value) in values.iter().enumerate() {
            kept[each.number(at)] = *value as usize;
        }
        kept
    }
}

/// Where the outputs of a weight are: an axis, and for transposed convolutions the groups along the first one too.
struct Outputs {
    dims: Vec<usize>,
    axis: usize,
    groups: usize,
}

impl Outputs {
    fn of(model: &Model, name: &str, dims: &[usize]) -> Self {
        let node = model.graph().node.iter().find(|node| node.name() == name).unwrap();
        let number = |name: &str| node.attribute.iter().find(|own| own.name() == name).map_or(0, |own| own.i());
        let (axis, groups) = match node.op_type() {
            "Conv" => (0, 1),
            "ConvTranspose" => (1, (number("group") as usize).max(1)),
            "Gemm" if number("transB") != 0 => (0, 1),
            _ => (1, 1),
        };
        Self { dims: dims.to_vec(), axis, groups }
    }

    fn count(&self) -> usize {
        self.dims[self.axis] * self.groups
    }

    /// The output that an element of the weight is for.
    fn number(&self, at: usize) -> usize {
        let inner: usize = self.dims[self.axis + 1..].iter().product();
        let own = at / inner % self.dims[self.axis];
        let first = at / self.dims[1..].iter().product::<usize>();
        let group = if self.axis == 0 { 0 } else { first / (self.dims[0] / self.groups) };
        group * self.dims[self.axis] + own
    }
}

fn weight(model: &Model, node: &str) -> (TensorData, usize) {
    let graph = model.graph();
    let node = graph.node.iter().find(|own| own.name() == node).unwrap();
    let index = graph.initializer.iter().position(|tensor| tensor.name() == node.input[1]).unwrap();
    (model.tensor(&graph.initializer[index]).unwrap(), index)
}

/// The value that the layer was fitted for.
fn target(graph: &GraphProto, node: &NodeProto, fit: &LayerFit) -> String {
    let stored = |name: &String| graph.initializer.iter().any(|tensor| tensor.name() == name);
    let mut value = node.output[0].clone();
    let mut step = |follows: &dyn Fn(&NodeProto) -> bool| {
        let mut readers = graph.node.iter().filter(|other| other.input.contains(&value));
        let next = readers.next().filter(|reader| readers.next().is_none() && follows(reader));
        let found = next.map(|reader| reader.output[0].clone());
        value = found.clone().unwrap_or_else(|| value.clone());
        found.is_some()
    };
    step(&|reader| match reader.op_type() {
        "BatchNormalization" => reader.input[1..].iter().all(stored),
        "Add" => reader.input.iter().any(stored),
        _ => false,
    });
    assert!(!fit.shortcut || step(&|reader| reader.op_type() == "Add"), "{}", fit.name);
    assert!(!fit.activation || step(&|reader| ["Relu", "Clip"].contains(&reader.op_type())), "{}", fit.name);
    value
}

fn values(engine: &dyn Engine, model: &Model, value: &str, images: &[Feed]) -> Result<Vec<ArrayD<f32>>, String> {
    let options = CompileOptions { outputs: vec![value.to_owned()], ..CompileOptions::default() };
    let mut session = engine.compile(model, &options).map_err(|error| error.to_string())?;
    let mut run = |image: &Feed| session.run(&pairs(image)).map_err(|error| error.to_string());
    images.iter().map(|image| Ok(run(image)?[0].to_f32())).collect()
}

fn flat(values: &[ArrayD<f32>], axis: impl Fn(usize) -> usize, channel: usize) -> Vec<f64> {
    let of = |value: &ArrayD<f32>| {
        let own = value.index_axis(Axis(axis(value.ndim())), channel);
        own.iter().map(|value| f64::from(*value)).collect::<Vec<_>>()
    };
    values.iter().flat_map(of).collect()
}
