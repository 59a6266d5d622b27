//! Moments of what consumers read, streamed over the calibration images (`docs/method.md` 1.10), and what every
//! channel contributes to their outputs, class by class (`docs/method.md` 1.11).

mod extent;
mod pairs;
mod sampling;
mod stored;
mod weight;

use std::collections::BTreeMap;

use faer::Mat;
use faer::linalg::matmul::matmul;
use faer::{Accum, Par};
use ndarray::{ArrayD, ArrayViewD, Axis};
use rayon::prelude::*;

use self::extent::Extent;
pub(super) use self::pairs::Pairs;
use self::sampling::{Draw, wanted_positions};
pub use self::stored::StoredSums;
pub(super) use self::weight::Weight;
use self::weight::columns_by_outputs;
use crate::channels::{Channels, ConsumerInput};
use crate::model::Model;
use crate::ops::constant::Constants;
use crate::ops::window::{PlacedWindow, Window};
use crate::proto::onnx::NodeProto;
use crate::statistics::Contributions;

/// Columns (channel, kernel position) above which only channels are regressed on channels: 42 MB of products.
const MOST_COLUMNS: usize = 2304;

/// Channels above which no products are gathered; bias correction remains.
const MOST_CHANNELS: usize = 4096;

/// Channels above which no contributions are gathered: 17 MB for each class.
const MOST_CONTRIBUTING: usize = 2048;

/// What [`Moments`] gathers.
#[derive(Debug, Clone)]
pub struct MomentOptions {
    /// Number of images that will be seen.
    pub images: usize,
    /// Seed of the draw of positions.
    pub seed: u64,
    /// What is gathered beside means.
    pub products: Products,
    /// Number of classes whose contributions are gathered, if any are.
    pub classes: Option<usize>,
    /// Whether the products that selection sees weigh every image (`docs/method.md` 7.4). The products that weights
    /// are fitted with never do.
    pub weighted: bool,
    /// Bytes that all sums may take: the largest consumers are gathered channel by channel, without contributions, or
    /// by means alone where all would take more.
    pub memory: u64,
}

/// What is known of an image that is observed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SeenImage {
    /// Its number among all images of the run, on whatever machine they are observed: what is drawn of it depends on this alone.
    pub number: usize,
    /// Its class.
    pub class: usize,
    /// What it counts in the weighted products.
    pub weight: f64,
}

/// Which products are gathered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Products {
    /// None: enough for bias correction.
    Means,
    /// Products of all pairs of columns.
    Pairs,
}

/// What one consumer reads.
#[derive(Debug, Clone)]
pub(super) struct Consumer {
    value: String,
    axis: usize,
    window: Option<PlacedWindow>,
    /// Kernel positions of the weight.
    pub(super) kernel_size: usize,
    /// Sum over all positions of what every (channel, kernel position) reads.
    pub(super) sums: Vec<f64>,
    /// Number of those positions.
    pub(super) count: usize,
    pub(super) pairs: Option<Pairs>,
    /// Products with every row weighted by its class.
    pub(super) weighted: Option<Pairs>,
    classwise: Option<Classwise>,
}

/// Contributions to the outputs of a consumer.
#[derive(Debug, Clone)]
struct Classwise {
    /// `W W^T` of the weights, lower triangle.
    weights: Mat<f32>,
    sums: Contributions,
}

/// An observer of all values that consumers read.
#[derive(Debug)]
pub struct Moments {
    options: MomentOptions,
    narrowed: usize,
    /// Where the constants of the model are.
    pub(super) constants: Constants,
    pub(super) consumers: BTreeMap<usize, Consumer>,
}

impl Moments {
    /// For every consumer of every group.
    pub fn new(model: &Model, channels: &Channels, options: MomentOptions) -> Self {
        let inputs: BTreeMap<usize, &ConsumerInput> =
            channels.groups.iter().flat_map(|group| &group.consumer_inputs).map(|input| (input.node, input)).collect();
        let inputs: Vec<(usize, &ConsumerInput)> = inputs.into_iter().collect();
        let read: Vec<Read> = inputs.par_iter().map(|(_, input)| Read::new(model, channels, input)).collect();
        let mut extents: Vec<Extent> = read.iter().map(|own| own.extent(&options)).collect();
        let narrowed = extent::fit(&mut extents, options.memory);
        let constants = Constants::of(model.graph());
        let consumer = |(((node, input), read), extent): (((usize, &ConsumerInput), Read), Extent)| {
            let weight = (extent.classes > 0).then(|| Weight::of(model, &constants, input)).flatten();
            (node, Consumer::new(weight, input, read, extent))
        };
        let consumers = inputs.into_par_iter().zip(read).zip(extents).map(consumer).collect();
        Self { options, narrowed, constants, consumers }
    }

    /// Consumers of which less is gathered than would be with more memory, of how many.
    pub fn narrowed(&self) -> (usize, usize) {
        (self.narrowed, self.consumers.len())
    }

    /// Names of the values that [`Moments::observe`] wants.
    pub fn wants(&self) -> Vec<String> {
        let mut names: Vec<String> = self.consumers.values().map(|consumer| consumer.value.clone()).collect();
        names.sort();
        names.dedup();
        names
    }

    /// Folds one batch in. `values` are looked up by name; `[N, ...]` each. `images`: its images; those of one class side by side
    /// are cheapest.
    pub fn observe(&mut self, values: &BTreeMap<String, ArrayD<f32>>, images: &[SeenImage]) {
        let draw = Draw { images: self.options.images, seed: self.options.seed, batch: images };
        // Consumers are independent and each adds in the order of the batches: any number of threads gives one result.
        self.consumers.par_iter_mut().for_each(|(_, consumer)| {
            if let Some(value) = values.get(&consumer.value) {
                consumer.add(value, &draw);
            }
        });
    }

    /// The contributions to a node's outputs, if they were gathered.
    pub(super) fn contributions(&self, node: usize) -> Option<&Contributions> {
        self.consumers.get(&node)?.classwise.as_ref().map(|own| &own.sums)
    }
}

/// How a consumer reads.
struct Read {
    channels: usize,
    window: Option<PlacedWindow>,
    positions: usize,
}

impl Read {
    fn new(model: &Model, channels: &Channels, input: &ConsumerInput) -> Self {
        let node = &model.graph().node[input.node];
        let weight = channels.weight_ids(model, input.node, input.weight.0).map(|ids| ids.shape.clone());
        let weight = weight.unwrap_or_default();
        let output = node.output.first().and_then(|name| channels.shape(name)).unwrap_or_default();
        let window = placed(node, &weight, channels.shape(&input.value).unwrap_or_default(), output);
        let shape = channels.shape(&input.value).unwrap_or_default();
        let inside = shape.iter().product::<usize>() / input.size.max(1);
        let positions = window.as_ref().map_or(inside, PlacedWindow::positions);
        Self { channels: input.size, window, positions }
    }

    fn kernel_size(&self) -> usize {
        self.window.as_ref().map_or(1, PlacedWindow::kernel_size)
    }

    /// What is gathered where there is room.
    fn extent(&self, options: &MomentOptions) -> Extent {
        let rows = options.images * wanted_positions(options.images, self.positions);
        let columns = self.channels * self.kernel_size();
        let contributing = self.channels <= MOST_CONTRIBUTING;
        Extent {
            channels: self.channels,
            kernel_size: self.kernel_size(),
            // Fewer rows than twice the columns would fit noise.
            windows: columns <= MOST_COLUMNS && rows >= 2 * columns,
            pairs: options.products == Products::Pairs && self.channels <= MOST_CHANNELS,
            weighted: options.weighted,
            classes: options.classes.filter(|_| contributing).unwrap_or(0),
        }
    }
}

/// The window of a convolution; `None` for everything else.
fn placed(node: &NodeProto, weight: &[usize], input: &[usize], output: &[usize]) -> Option<PlacedWindow> {
    if node.op_type() != "Conv" || weight.len() < 3 || input.len() < 3 || output.len() < 3 {
        return None;
    }
    Window::of(node, Some(&weight[2..])).ok()?.place(&input[2..], &output[2..])
}

/// Adds, for every channel and kernel position, the sum over output positions of what is read: `[C, kernel_size]`. Returns
/// the number of output positions over the batch.
fn add_sums(window: &PlacedWindow, x: &ArrayViewD<'_, f32>, sums: &mut [f64]) -> usize {
    let (Some(values), Some(&n), Some(&channels)) = (x.as_slice(), x.shape().first(), x.shape().get(1)) else {
        return 0;
    };
    let (area, own) = (window.area(), window.sums());
    if values.len() != n * channels * area {
        return 0;
    }
    // Channels are independent, so the sums do not depend on the number of threads.
    sums.par_chunks_mut(window.kernel_size()).enumerate().for_each(|(channel, sums)| {
        for image in 0..n {
            own.add(&values[(image * channels + channel) * area..][..area], sums);
        }
    });
    n * window.positions()
}

impl Consumer {
    fn new(weight: Option<Weight>, input: &ConsumerInput, read: Read, extent: Extent) -> Self {
        let (kernel_size, window) = (read.kernel_size(), read.window);
        let per_channel = extent.per_channel();
        let pairs = extent.pairs.then(|| Pairs::new(per_channel, input.size * per_channel));
        let classwise = match &pairs {
            Some(pairs) if extent.classes > 0 => {
                match weight {
                    Some(weight) if weight.kernel_size == kernel_size && weight.channels() == input.size => {
                        Some(Classwise::new(&weight, pairs, extent.classes))
                    }
                    // The weight cannot be seen as a matrix.
                    _ => None,
                }
            }
            _ => None,
        };
        let weighted = pairs.as_ref().filter(|_| extent.weighted).cloned();
        let sums = vec![0.0; input.size * kernel_size];
        Self {
            value: input.value.clone(),
            axis: input.axis,
            window,
            kernel_size,
            sums,
            count: 0,
            pairs,
            weighted,
            classwise,
        }
    }

    /// Adds a batch.
    fn add(&mut self, value: &ArrayD<f32>, draw: &Draw<'_>) {
        if let Some(window) = &self.window {
            self.count += add_sums(window, &value.view(), &mut self.sums);
        } else {
            // Without a window (or with one that is not followed) borders count like the rest.
            for (channel, slice) in value.axis_iter(Axis(self.axis)).enumerate() {
                self.sums[channel] += slice.iter().map(|&v| f64::from(v)).sum::<f64>();
            }
            self.count += value.len() / value.len_of(Axis(self.axis)).max(1);
        }
        let Some(pairs) = &mut self.pairs else { return };
        let rows = match &self.window {
            Some(window) if pairs.per_channel > 1 => draw.patches(value, window),
            _ => draw.rows(value, self.axis),
        };
        if self.classwise.is_none() && self.weighted.is_none() {
            pairs.add(rows.as_ref());
            return;
        }
        let mut part = Pairs::new(pairs.per_channel, pairs.sum.len());
        let (per_image, mut at) = (rows.ncols() / draw.batch.len().max(1), 0);
        let alike = |a: &SeenImage, b: &SeenImage| (a.class, a.weight.to_bits()) == (b.class, b.weight.to_bits());
        for run in draw.batch.chunk_by(alike) {
            let length = run.len() * per_image;
            part.replace(rows.as_ref().subcols(at, length));
            at += length;
            pairs.add_weighted(&part, 1.0);
            let Some(&SeenImage { class, weight, .. }) = run.first() else { continue };
            if let Some(own) = &mut self.classwise {
                own.sums.add(class, length, part.gram.as_ref(), own.weights.as_ref(), &part.sum);
            }
            if let Some(weighted) = &mut self.weighted {
                weighted.add_weighted(&part, weight);
            }
        }
    }
}

impl Classwise {
    #[allow(clippy::cast_possible_truncation, reason = "weights are stored in single precision")]
    fn new(weight: &Weight, pairs: &Pairs, classes: usize) -> Self {
        let channels = weight.channels();
        let columns = columns_by_outputs(weight, pairs.per_channel, channels);
        let single = Mat::from_fn(columns.nrows(), columns.ncols(), |row, column| columns[(row, column)] as f32);
        let mut weights = Mat::zeros(columns.nrows(), columns.nrows());
        matmul(weights.as_mut(), Accum::Replace, single.as_ref(), single.transpose(), 1.0, Par::Seq);
        Self { weights, sums: Contributions::new(classes, channels, columns.nrows()) }
    }
}
