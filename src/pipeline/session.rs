//! What a run has in hand: model, analysis, engine. Made once, then only read.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use super::options::{Criteria, Effort, PruneOptions, QuantizeOptions};
use super::reading::{Read, analyse_options, analysed, check_ignored};
use super::record::{Record, Told};
use super::sizes::{KnownSizes, known_sizes};
use super::{ModelOptions, Progress, reading};
use crate::bench::latency::{Device, Here, Pairing, TimedOn};
use crate::bench::{integer_staircase, staircase};
use crate::channels::{Channels, CostModel, Cut, GroupId};
use crate::device::{Connected, DeviceOptions, connect};
use crate::engine::{
    ChannelBlock, Engine, EngineError, EngineOptions, Feed, channel_block, open, readable_outputs, shows_blocks,
};
use crate::error::Error;
use crate::evaluate::{EvaluateError, Measured, Parted, Pass, Source, input_specs, random_inputs};
use crate::explain::Explain as _;
use crate::model::Model;
use crate::plan::{Allocation, Budget, LatencyTarget, PlanError, RoundTo, Rounding, integer_kernels};
use crate::proto::onnx::ValueInfoProto;
use crate::quantize::{Activations, Kernels, QuantizeForm};
use crate::report::{FileInfo, Inspection, protection_reasons};

/// Who watches a run, who may end it, and where it times.
#[derive(Clone, Copy)]
pub(super) struct Watch<'a> {
    pub(super) progress: &'a dyn Progress,
    pub(super) cancel: &'a AtomicBool,
    /// Where models are timed, if not here.
    pub(super) devices: &'a [Box<dyn Device + 'a>],
}

impl<'a> Watch<'a> {
    /// Times are measured here.
    pub(super) fn new(progress: &'a dyn Progress, cancel: &'a AtomicBool) -> Self {
        Self { progress, cancel, devices: &[] }
    }
}

/// A group whose cut the engine did not confirm.
pub(super) struct Broken {
    pub(super) name: String,
    /// Names of the nodes that make its channels.
    pub(super) producers: Vec<String>,
    pub(super) why: String,
}

/// A model's file, as it was read or written.
pub(super) struct FileDigest {
    pub(super) bytes: u64,
    pub(super) sha256: String,
}

/// Model, analysis and engine of a run.
pub(super) struct Session<'a> {
    pub(super) options: &'a PruneOptions,
    pub(super) progress: &'a dyn Progress,
    pub(super) cancel: &'a AtomicBool,
    devices: &'a [Box<dyn Device + 'a>],
    pub(super) model: Model,
    /// The file as it was read: inlining changes the model.
    pub(super) file: FileDigest,
    pub(super) channels: Channels,
    pub(super) cost: CostModel,
    pub(super) engine: Arc<dyn Engine>,
    here: Here,
    block: OnceLock<ChannelBlock>,
    integer_block: OnceLock<ChannelBlock>,
    /// Nodes whose channels stay: as asked for, and those of broken groups.
    pub(super) ignore: Vec<String>,
    /// Sizes of symbolic axes that everything is counted, proved and timed with, and names of those that are assumed.
    pub(super) sizes: BTreeMap<String, usize>,
    pub(super) assumed: Vec<String>,
    /// The dense model's figure by the user's own metric, if there is one.
    pub(super) dense_metric: Option<f64>,
}

impl<'a> Session<'a> {
    /// Loads the model of the options and opens it.
    pub(super) fn load(options: &'a PruneOptions, watch: Watch<'a>) -> Result<Told<Self>, Error> {
        let (model, mut record) = load(&options.model)?;
        let session = Self::open(options, model, &[], watch)?.merge_into(&mut record);
        Ok(Told::new(session, record))
    }

    /// Analyses the model, without the groups that are `broken`, and opens the engine.
    pub(super) fn open(
        options: &'a PruneOptions,
        mut model: Model,
        broken: &[Broken],
        watch: Watch<'a>,
    ) -> Result<Told<Self>, Error> {
        let begin = Instant::now();
        let mut ignore = options.model.ignore.clone();
        ignore.extend(broken.iter().flat_map(|group| &group.producers).map(|name| glob::Pattern::escape(name)));
        let KnownSizes { sizes, said, assumed } = known_sizes(&model, &options.model.sizes, &options.data)?;
        for line in &said {
            watch.progress.say(line);
        }
        let analysis = analyse_options(&sizes, &ignore)?;
        let opened = open(&options.engine)?;
        let Watch { progress, cancel, devices } = watch;
        progress.say(&format!("engine: {}", opened.engine.info().describe()));
        let engine: Arc<dyn Engine> = opened.engine.into();
        let as_read = model.clone();
        // Hashing a large file takes as long as analysing it.
        let (file, read) = rayon::join(
            || FileDigest { bytes: as_read.size_bytes(), sha256: as_read.sha256().to_owned() },
            || analysed(&mut model, &analysis, Some(engine.as_ref())),
        );
        let Read { channels, changed, notes, warnings } = read;
        if !changed {
            // The same model, with its hash.
            model = as_read;
        }
        let mut record = Record::default();
        record.took("analyse", begin.elapsed().as_secs_f64());
        record.notes.extend(opened.notes.into_iter().chain(said).chain(notes));
        record.warnings.extend(warnings);
        check_ignored(&model, &options.model.ignore)?;
        let left =
            |Broken { name, why, .. }: &Broken| format!("`{name}` was left alone, since its cut did not hold: {why}");
        record.warnings.extend(broken.iter().map(left));
        let inspection = Inspection::new(&model, &channels);
        let obstacles = inspection.obstacles();
        if !obstacles.is_empty() {
            let share = 100.0 * inspection.prunable_macs_share;
            record.warnings.push(format!("only {share:.0} % of the MACs can be pruned; {}", obstacles.join("; ")));
        }
        record.notes.extend(unread(&model));
        let cost = channels.cost_model();
        let session = Self {
            options,
            progress,
            cancel,
            devices,
            model,
            file,
            channels,
            cost,
            here: Here(Arc::clone(&engine)),
            block: OnceLock::new(),
            integer_block: OnceLock::new(),
            engine,
            ignore,
            sizes,
            assumed,
            dense_metric: None,
        };
        Ok(Told::new(session, record))
    }

    /// Refuses a model of which nothing can be pruned.
    pub(super) fn can_prune(&self) -> Result<(), Error> {
        if self.channels.groups.is_empty() {
            return Err(PlanError::Nothing { why: protection_reasons(&self.channels) }.into());
        }
        Ok(())
    }

    pub(super) fn interrupted(&self) -> Result<(), Error> {
        if self.cancel.load(Ordering::Relaxed) { Err(Error::Interrupted) } else { Ok(()) }
    }

    /// The engine refuses the dense model: where sizes were assumed, they are why.
    pub(super) fn refused(&self, refusal: EngineError) -> Error {
        let Some(first) = self.assumed.first() else { return EvaluateError::Dense(refusal).into() };
        Error::Usage {
            what: format!(
                "{refusal} with the sizes that were assumed ({} of 64): {}",
                self.assumed.join(", "),
                refusal.why().unwrap_or_default()
            ),
            help: format!("give the sizes that it is used with: `--dim {first}=SIZE`, or `--size HxW` for images"),
        }
    }

    /// The model's file as reports name it.
    pub(super) fn file_info(&self) -> FileInfo {
        FileInfo { path: self.options.model.path.clone(), sha256: self.file.sha256.clone() }
    }

    /// Opens a data set for the model.
    pub(super) fn source(&self, path: &Path) -> Result<Source, Error> {
        Ok(Source::open(&self.model, path, &self.options.data)?)
    }

    /// Which images of a data set calibrate, and which judge.
    pub(super) fn calibration_images(&self, source: &Source) -> Parted {
        let macs = self.channels.macs(None);
        self.options.data.calibration_images(&source.dataset, macs, self.options.seed)
    }

    /// Runs `f` with a pass over some images, which the progress counts.
    pub(super) fn pass<T>(&self, source: &Source, indices: &[u32], f: impl FnOnce(Pass<'_>) -> T) -> T {
        let advance = |images| self.progress.advance(images);
        f(Pass { engine: self.engine.as_ref(), source, indices, advance: &advance, cancel: self.cancel })
    }

    /// How widths are shared out; `images`: whether there are some to measure sensitivities on.
    pub(super) fn allocation(&self, criteria: &Criteria, images: bool) -> Allocation {
        let measured = images && self.options.effort > Effort::Fast && !matches!(criteria.budget, Budget::Ratio(_));
        let own = if measured { Allocation::Sensitivity } else { Allocation::Uniform };
        criteria.allocation.unwrap_or(own)
    }

    /// The user's own metric of the dense model, if there is one: of its file, or of a copy of `as_read` where that came by
    /// standard input.
    pub(super) fn measure_dense(&self, as_read: &Model) -> Result<Told<Option<f64>>, Error> {
        let Some(metric) = &self.options.metric else { return Ok(Told::quiet(None)) };
        self.progress.phase("metric", None);
        let path = &self.options.model.path;
        self.step("metric", |_| Ok(Some(metric.of_loaded(path, as_read, Measured::Dense, self.cancel)?)))
    }

    /// `cost` without some blocks, by their places, and the groups of which nothing can be cut then.
    pub(super) fn without_blocks(&self, cost: &CostModel, blocks: &[usize]) -> (CostModel, Vec<GroupId>) {
        let whole: Vec<Vec<usize>> = self.channels.groups.iter().map(|own| (0..own.width()).collect()).collect();
        let cut = Cut::new(&self.channels, &whole).with_blocks(&self.channels, blocks);
        let mut gone = self.channels.gone_groups(&cut);
        let cost = cost.without_blocks(&cut, &gone);
        gone.extend(self.channels.whole_groups(&cut));
        (cost, gone)
    }

    /// Share of the multiply-accumulates that a cut leaves.
    pub(super) fn macs_share(&self, cut: &Cut) -> f64 {
        self.channels.macs(Some(cut)) as f64 / self.channels.macs(None).max(1) as f64
    }

    /// Random inputs of one image that models are timed on.
    pub(super) fn timing_feed(&self) -> Feed {
        random_inputs(&input_specs(&self.model), &self.sizes, 1, self.options.seed)
    }

    /// Two models of this run on one feed.
    pub(super) fn pairing<'b>(&'b self, before: &'b Model, after: &'b Model, feed: &'b Feed) -> Pairing<'b> {
        Pairing { device: self.device(), before, after, feed, cancel: self.cancel }
    }

    /// Steps of widths that the options ask for, on the devices that time: the widest of them.
    pub(super) fn rounding(&self) -> Result<Rounding, Error> {
        let round_to = self.options.criteria.round_to;
        let block = self.widest(&self.block, &|device| self.block_of(device))?;
        Ok(round_to.rounding(self.device().engine(), block))
    }

    /// Steps of widths on integers: the widest of those that are measured on the devices that time; what is usual where
    /// nothing is timed.
    pub(super) fn integer_rounding(&self, options: &QuantizeOptions) -> Result<Rounding, Error> {
        let measured = |device: &dyn Device| {
            let engine = device.engine();
            let Rounding { block, multiple } = integer_kernels(engine);
            if self.options.skip_timing || !engine.info().runs_models() {
                return Ok(ChannelBlock { block, multiple });
            }
            Ok(integer_staircase(device, &integer_form(engine, options.activations), block, self.cancel)?)
        };
        let ChannelBlock { block, multiple } = self.widest(&self.integer_block, &measured)?;
        Ok(Rounding { block, multiple })
    }

    /// The widest steps of all devices that time, found once.
    fn widest(
        &self,
        known: &OnceLock<ChannelBlock>,
        of: &dyn Fn(&dyn Device) -> Result<ChannelBlock, Error>,
    ) -> Result<ChannelBlock, Error> {
        if let Some(known) = known.get() {
            return Ok(*known);
        }
        let mut widest = of(self.device())?;
        for (device, _) in self.other_devices() {
            let own = of(device)?;
            let (block, multiple) = (widest.block.max(own.block), widest.multiple.max(own.multiple));
            widest = ChannelBlock { block, multiple };
        }
        Ok(*known.get_or_init(|| widest))
    }

    /// The channel block of a device; measured where its engine does not show it and widths depend on it.
    fn block_of(&self, device: &dyn Device) -> Result<ChannelBlock, Error> {
        let (engine, round_to) = (device.engine(), self.options.criteria.round_to);
        let info = engine.info();
        let told = shows_blocks(engine) || info.in_gpu_memory() || !info.runs_models();
        if told || round_to != RoundTo::Auto || round_to.assumed(engine) {
            return Ok(channel_block(engine));
        }
        self.progress.say("convolutions of several widths are timed, to find their steps");
        Ok(staircase(device, self.cancel)?)
    }

    /// Where models are timed, for the report; `None`: here, or not at all.
    pub(super) fn timed_on(&self) -> Option<TimedOn> {
        TimedOn::new(self.devices.first()?.as_ref())
    }

    /// The devices beside the first, with the times that are asked for on them.
    pub(super) fn other_devices(&self) -> impl Iterator<Item = (&dyn Device, Option<LatencyTarget>)> {
        let all = self.devices.iter().enumerate().skip(1);
        all.map(|(at, own)| -> (&dyn Device, _) { (own.as_ref(), self.latency_of(at)) })
    }

    /// The time that is asked for on a device, by its place.
    pub(super) fn latency_of(&self, at: usize) -> Option<LatencyTarget> {
        let own = self.options.devices.get(at).and_then(|own| own.latency);
        own.or(self.options.goals.latency)
    }

    /// Where models are timed first.
    pub(super) fn device(&self) -> &dyn Device {
        self.devices.first().map_or(&self.here, |own| own.as_ref())
    }
}

/// The form of integers that suits an engine.
pub(super) fn integer_form(engine: &dyn Engine, activations: Option<Activations>) -> QuantizeForm {
    let machine = engine.machine();
    let kernels = Kernels { x86: engine.info().on_processor() && machine.is_x86(), sums_bytes: machine.sums_bytes() };
    QuantizeForm::of(kernels, activations)
}

/// What to say of outputs that hold no numbers.
fn unread(model: &Model) -> Option<String> {
    let read = readable_outputs(model);
    let names = model.graph().output.iter().map(ValueInfoProto::name);
    let unread: Vec<String> =
        names.filter(|name| !read.iter().any(|own| own == name)).map(|name| format!("`{name}`")).collect();
    (!unread.is_empty()).then(|| format!("not compared, since they hold no numbers: {}", unread.join(", ")))
}

/// Reaches all devices of the options.
pub(super) fn connected_all<'a>(
    options: &PruneOptions,
    progress: &dyn Progress,
    cancel: &'a AtomicBool,
) -> Result<Vec<Box<dyn Device + 'a>>, Error> {
    options.devices.iter().map(|own| connected(own, progress, cancel)).collect()
}

/// Reaches a device.
pub(super) fn connected<'a>(
    options: &DeviceOptions,
    progress: &dyn Progress,
    cancel: &'a AtomicBool,
) -> Result<Box<dyn Device + 'a>, Error> {
    progress.phase("connect", None);
    let Connected { device, notes } = connect(options, cancel)?;
    for note in notes {
        progress.say(&format!("{}: {note}", options.target));
    }
    if let Some(own) = TimedOn::new(device.as_ref()) {
        progress.say(&format!("device: {}", own.describe()));
    }
    Ok(device)
}

/// The device that a command times on, and what its engine said: the one of the options, else this program with the engine of
/// the options.
pub(super) fn device_or_here<'a>(
    options: Option<&DeviceOptions>,
    engine: &EngineOptions,
    cancel: &'a AtomicBool,
) -> Result<Connected<'a>, Error> {
    if let Some(options) = options {
        return Ok(connect(options, cancel)?);
    }
    let opened = open(engine)?;
    Ok(Connected { device: Box::new(Here(opened.engine.into())), notes: opened.notes })
}

/// A model, and how long it took to load.
pub(super) fn load(options: &ModelOptions) -> Result<(Model, Record), Error> {
    let begin = Instant::now();
    let model = reading::load(options)?;
    let mut record = Record::default();
    record.took("load", begin.elapsed().as_secs_f64());
    Ok((model, record))
}
