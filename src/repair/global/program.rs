//! The part of a graph that is computed here, as a list of steps for batches of one size.

use std::collections::{HashMap, HashSet};

use super::blocks::Block;
use super::ops::{self, Array, At, Keeps, Operator, add, elements};
use super::site::Site;
use super::survey::{SHAPES, Survey};
use crate::model::Model;
use crate::model::node::node_name;
use crate::ops::constant::Constants;
use crate::ops::operator;
use crate::ops::real::RealWeight;
use crate::proto::onnx::NodeProto;
use crate::surgery::{captured, references};

/// Largest difference from the engine's value, relative to the largest number, for a step to be believed.
const TOLERANCE: f32 = 2e-3;

/// One operator in its place.
pub(super) struct Step {
    pub(super) operator: Box<dyn Operator>,
    pub(super) inputs: Vec<usize>,
    pub(super) output: usize,
    /// The adjustable numbers, if there are any.
    pub(super) block: Option<usize>,
    /// Constants in their place.
    pub(super) fixed: Vec<f32>,
    op_type: String,
}

/// A value of the graph.
pub(super) struct Value {
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
}

/// Steps, values and adjustable numbers. Value 0 is the image.
pub(super) struct Program {
    pub(super) steps: Vec<Step>,
    pub(super) values: Vec<Value>,
    pub(super) blocks: Vec<Block>,
    /// The adjustable numbers as the file holds them.
    pub(super) numbers: Vec<f32>,
    /// What is not computed or adjusted here, and why.
    pub(super) left_out: Vec<(String, String)>,
    /// Whether a value depends on adjustable numbers.
    pub(super) active: Vec<bool>,
    /// Whether a value is needed for derivatives.
    kept: Vec<bool>,
    /// Last step that reads a value.
    last: Vec<usize>,
    targets: Vec<usize>,
    /// Whether a value is read by a node that is not computed here.
    pub(super) outside: Vec<bool>,
}

impl Program {
    /// Makes every step that is known and computes what the engine computes.
    pub(super) fn build(model: &Model, survey: &Survey, input: &str) -> Self {
        let mut program = Self {
            steps: Vec::new(),
            values: Vec::new(),
            blocks: Vec::new(),
            numbers: Vec::new(),
            left_out: Vec::new(),
            active: Vec::new(),
            kept: Vec::new(),
            last: Vec::new(),
            targets: Vec::new(),
            outside: Vec::new(),
        };
        let mut known = HashMap::new();
        program.add_value(&mut known, survey, input);
        let (uses, opset) = (references(model.graph()), model.opset("").unwrap_or(1));
        let mut blocked: HashSet<String> = HashSet::new();
        let mut rounded: HashMap<&str, &NodeProto> = HashMap::new();
        for &index in &survey.order {
            let node = &model.graph().node[index];
            if let ("QuantizeLinear", [input, ..], [output, ..]) = (node.op_type(), &node.input[..], &node.output[..])
                && known.contains_key(input)
            {
                // What reads the integers is computed from the numbers that were rounded to them.
                rounded.insert(output, node);
                continue;
            }
            let dequantize = (node.op_type() == "DequantizeLinear").then(|| node.input.first()).flatten();
            let both = dequantize.and_then(|name| Some(rounding(rounded.get(name.as_str())?, node)));
            let node = both.as_ref().unwrap_or(node);
            let reads = |name: &String| known.contains_key(name.as_str());
            let reads_blocked = node.input.iter().any(|name| blocked.contains(name.as_str()));
            if !reads_blocked && !node.input.iter().any(reads) {
                continue;
            }
            let site = Site { node, opset, shapes: &survey.shapes, constants: &survey.constants };
            for (output, name) in node.output.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
                let made = if reads_blocked { Err(None) } else { program.add_step(&site, output, &mut known, survey) };
                if let Err(why) = made {
                    blocked.insert(name.clone());
                    program.left_out.extend(why.filter(|_| output == 0).map(|why| (node_name(node), why)));
                }
            }
            let weighted = operator(node).is_some_and(|own| own.derivative && own.has_weights());
            if reads_blocked && weighted {
                program.left_out.push((node_name(node), "it comes after an operator that is not computed here".into()));
            }
        }
        program.release(&uses);
        program.outside = vec![false; program.values.len()];
        let inside = |node: &NodeProto| {
            node.output.iter().any(|name| known.contains_key(name) || rounded.contains_key(name.as_str()))
        };
        for node in model.graph().node.iter().filter(|node| !inside(node) && !SHAPES.contains(&node.op_type())) {
            let inner = captured(node);
            for &value in node.input.iter().chain(&inner).filter_map(|name| known.get(name)) {
                program.outside[value] = true;
            }
        }
        program
    }

    fn add_value(&mut self, known: &mut HashMap<String, usize>, survey: &Survey, name: &str) -> usize {
        let shape = survey.shapes.get(name).cloned().unwrap_or_default();
        self.values.push(Value { name: name.to_owned(), shape });
        known.insert(name.to_owned(), self.values.len() - 1);
        self.values.len() - 1
    }

    fn add_step(
        &mut self,
        site: &Site<'_>,
        output: usize,
        known: &mut HashMap<String, usize>,
        survey: &Survey,
    ) -> Result<(), Option<String>> {
        let name = &site.node.output[output];
        let Some(expected) = survey.values.get(name) else {
            return Err(Some(format!("operator `{}` is not differentiated here", site.node.op_type())));
        };
        let unknown = || Some(format!("this form of `{}` is not differentiated here", site.node.op_type()));
        let made = ops::make(site, output).ok_or_else(unknown)?;
        let names = made.inputs.iter().map(|&input| site.name(input));
        let inputs = names.map(|name| known.get(name?).copied()).collect::<Option<Vec<_>>>().ok_or_else(unknown)?;
        let (fixed, block) = match made.operator.affine() {
            None => (Vec::new(), None),
            Some(_) => numbers(site, made.operator.as_ref()).ok_or_else(unknown)?,
        };
        let arrays: Option<Vec<&Array>> =
            inputs.iter().map(|&input| survey.values.get(&self.values[input].name)).collect();
        let computed = arrays.and_then(|arrays| made.operator.forward(&arrays, &fixed));
        if !computed.is_some_and(|computed| agrees(&computed, expected)) {
            return Err(Some(format!("`{}` computes something else here than in the engine", site.node.op_type())));
        }
        let index = self.add_value(known, survey, name);
        let mut step = Step {
            operator: made.operator,
            inputs,
            output: index,
            block: None,
            fixed,
            op_type: site.node.op_type().to_owned(),
        };
        if let Some(block) = block {
            self.adjust(&mut step, block, site);
        }
        self.steps.push(step);
        Ok(())
    }

    /// Keeps only what leads to `targets`, and only the blocks there; finds what derivatives need.
    pub(super) fn aim(&mut self, targets: &[usize]) {
        self.bound(targets);
        let mut needed = vec![false; self.values.len()];
        for &target in targets {
            needed[target] = true;
        }
        for step in self.steps.iter().rev() {
            if needed[step.output] {
                step.inputs.iter().for_each(|&input| needed[input] = true);
            }
        }
        self.steps.retain(|step| needed[step.output]);
        self.last = vec![0; self.values.len()];
        self.active = vec![false; self.values.len()];
        for (index, step) in self.steps.iter().enumerate() {
            self.active[step.output] = step.block.is_some() || step.inputs.iter().any(|&input| self.active[input]);
            step.inputs.iter().for_each(|&input| self.last[input] = index);
        }
        self.kept = vec![false; self.values.len()];
        for step in self.steps.iter().filter(|step| self.active[step.output]) {
            match step.operator.keeps() {
                Keeps::Nothing => {}
                Keeps::Inputs => step.inputs.iter().for_each(|&input| self.kept[input] = true),
                Keeps::Output => self.kept[step.output] = true,
            }
        }
        self.targets = targets.to_vec();
    }

    /// Values that may be compared with those of the dense model: what weights, poolings and several readers read, and
    /// what nobody reads here.
    pub(super) fn junctions(&self) -> Vec<usize> {
        let mut readers: Vec<Vec<&Step>> = vec![Vec::new(); self.values.len()];
        let mut active = vec![false; self.values.len()];
        for step in &self.steps {
            active[step.output] = step.block.is_some() || step.inputs.iter().any(|&input| active[input]);
            step.inputs.iter().for_each(|&input| readers[input].push(step));
        }
        let gathers = |step: &&Step| {
            step.operator.affine().is_some() && step.op_type != "BatchNormalization"
                || matches!(step.op_type.as_str(), "GlobalAveragePool" | "ReduceMean" | "AveragePool" | "MaxPool")
        };
        (0..self.values.len())
            .filter(|&value| active[value] && self.values[value].shape.first() == self.values[0].shape.first())
            .filter(|&value| readers[value].len() != 1 || readers[value].iter().any(gathers))
            .collect()
    }

    /// Numbers that one image needs while derivatives are formed.
    pub(super) fn kept_per_image(&self) -> usize {
        let size = |index: usize| self.values[index].shape.iter().product::<usize>();
        let kept: usize = (0..self.values.len()).filter(|&value| self.kept[value]).map(size).sum();
        kept / self.values[0].shape.first().copied().unwrap_or(1).max(1)
    }

    /// Multiply-accumulates of the affine steps for one image.
    pub(super) fn macs_per_image(&self) -> u64 {
        let macs = |step: &Step| {
            let layout = step.operator.affine()?.layout();
            let positions =
                self.values[step.output].shape.iter().product::<usize>() / (layout.groups * layout.outputs).max(1);
            Some(layout.weights() as u64 * positions as u64)
        };
        let batch = self.values[0].shape.first().copied().unwrap_or(1).max(1) as u64;
        self.steps.iter().filter_map(macs).sum::<u64>() / batch
    }

    /// The values that are compared.
    pub(super) fn targets(&self) -> &[usize] {
        &self.targets
    }

    /// Numbers of one image in the values that are compared.
    pub(super) fn compared_per_image(&self) -> usize {
        let size = |&value: &usize| self.values[value].shape.iter().product::<usize>();
        self.targets.iter().map(size).sum::<usize>() / self.values[0].shape.first().copied().unwrap_or(1).max(1)
    }

    /// Values that no step reads.
    pub(super) fn ends(&self) -> Vec<usize> {
        let read: HashSet<usize> = self.steps.iter().flat_map(|step| step.inputs.iter().copied()).collect();
        self.targets.iter().copied().filter(|target| !read.contains(target)).collect()
    }

    /// How many numbers lead to a target.
    pub(super) fn adjustable(&self) -> usize {
        self.steps.iter().filter_map(|step| step.block).map(|block| self.blocks[block].range.len()).sum()
    }

    fn own<'a>(&'a self, step: &'a Step, numbers: &'a [f32]) -> &'a [f32] {
        step.block.map_or(step.fixed.as_slice(), |block| &numbers[self.blocks[block].range.clone()])
    }

    /// What derivatives need, if `keep`. `see` is given every target's place among the targets and its value.
    pub(super) fn forward(
        &self,
        image: &Array,
        numbers: &[f32],
        keep: bool,
        see: &mut dyn FnMut(usize, &Array),
    ) -> Option<Trace> {
        let mut arrays: Vec<Option<Array>> = self.values.iter().map(|_| None).collect();
        arrays[0] = Some(image.clone());
        for (index, step) in self.steps.iter().enumerate() {
            let array = self.value(index, &mut arrays, numbers, keep)?;
            if let Some(place) = self.targets.iter().position(|&target| target == step.output) {
                see(place, &array);
            }
            arrays[step.output] = Some(array);
            for &input in &step.inputs {
                if self.last[input] == index && !(keep && self.kept[input]) {
                    arrays[input] = None;
                }
            }
        }
        for (value, array) in arrays.iter_mut().enumerate() {
            if !(keep && self.kept[value]) {
                *array = None;
            }
        }
        Some(Trace { arrays })
    }

    /// What a step computes; in the memory of its only input, where no later step and no derivative wants that.
    fn value(&self, index: usize, arrays: &mut [Option<Array>], numbers: &[f32], keep: bool) -> Option<Array> {
        let step = &self.steps[index];
        if let &[input] = step.inputs.as_slice()
            && self.last[input] == index
            && !(keep && self.kept[input])
        {
            match step.operator.overwrite(arrays[input].take()?) {
                Ok(array) => return Some(array),
                Err(given) => arrays[input] = Some(given),
            }
        }
        let inputs: Vec<&Array> = step.inputs.iter().map(|&input| arrays[input].as_ref()).collect::<Option<_>>()?;
        step.operator.forward(&inputs, self.own(step, numbers))
    }

    fn at<'a>(&'a self, step: &'a Step, trace: &'a Trace, numbers: &'a [f32]) -> At<'a> {
        At {
            inputs: step.inputs.iter().map(|&input| trace.arrays[input].as_ref()).collect(),
            output: trace.arrays[step.output].as_ref(),
            numbers: self.own(step, numbers),
        }
    }

    /// Changes of the targets for a step of the numbers.
    pub(super) fn jvp(&self, trace: &Trace, numbers: &[f32], direction: &[f32]) -> Vec<Option<Array>> {
        let mut tangents: Vec<Option<Array>> = self.values.iter().map(|_| None).collect();
        let mut outputs: Vec<Option<Array>> = self.targets.iter().map(|_| None).collect();
        for (index, step) in self.steps.iter().enumerate().filter(|(_, step)| self.active[step.output]) {
            let own = step.block.map_or(&[][..], |block| &direction[self.blocks[block].range.clone()]);
            let inputs: Vec<Option<&Array>> = step.inputs.iter().map(|&input| tangents[input].as_ref()).collect();
            let tangent = step.operator.jvp(&self.at(step, trace, numbers), &inputs, own);
            if let Some(place) = self.targets.iter().position(|&target| target == step.output) {
                outputs[place].clone_from(&tangent);
            }
            tangents[step.output] = tangent;
            for &input in step.inputs.iter().filter(|&&input| self.last[input] == index) {
                tangents[input] = None;
            }
        }
        outputs
    }

    /// The transpose of [`Program::jvp`]: adds to `gradient`. `watch` sees the number of
    /// every step with a block, and its cotangent.
    pub(super) fn vjp(
        &self,
        trace: &Trace,
        numbers: &[f32],
        cotangents: Vec<Option<Array>>,
        gradient: &mut [f32],
        watch: &mut dyn FnMut(usize, &Array),
    ) {
        let mut sums: Vec<Option<Array>> = self.values.iter().map(|_| None).collect();
        for (&target, cotangent) in self.targets.iter().zip(cotangents) {
            sums[target] = cotangent;
        }
        for (index, step) in self.steps.iter().enumerate().rev().filter(|(_, step)| self.active[step.output]) {
            let Some(cotangent) = sums[step.output].take() else { continue };
            let wanted: Vec<bool> = step.inputs.iter().map(|&input| self.active[input]).collect();
            let own = step.block.map(|block| self.blocks[block].range.clone());
            let own = own.map_or(&mut [][..], |range| if gradient.is_empty() { &mut [] } else { &mut gradient[range] });
            if step.block.is_some() {
                watch(index, &cotangent);
            }
            let parts = step.operator.vjp(&self.at(step, trace, numbers), cotangent, &wanted, own);
            for (&input, part) in step.inputs.iter().zip(parts) {
                match (&mut sums[input], part) {
                    (Some(sum), Some(part)) => add(sum, &part),
                    (empty, Some(part)) => *empty = Some(part),
                    (_, None) => {}
                }
            }
        }
    }
}

/// `QuantizeLinear` and the `DequantizeLinear` behind it as one node, which reads numbers and gives numbers.
fn rounding(quantize: &NodeProto, dequantize: &NodeProto) -> NodeProto {
    NodeProto { input: quantize.input.clone(), attribute: quantize.attribute.clone(), ..dequantize.clone() }
}

/// What is kept of a forward pass over one batch.
pub(super) struct Trace {
    pub(super) arrays: Vec<Option<Array>>,
}

/// The numbers of an affine node, and its block if they are stored tensors.
fn numbers(site: &Site<'_>, operator: &dyn Operator) -> Option<(Vec<f32>, Option<Block>)> {
    let affine = operator.affine()?;
    let (layout, stored) = (affine.layout(), affine.stored().clone());
    let bias = if layout.bias { Some(elements(site.floats(2)?)) } else { None };
    let weight = affine.weight_input();
    let numbers = stored.load(&layout, elements(site.floats(weight)?), bias)?;
    let block = Block {
        node: node_name(site.node),
        range: 0..0,
        layout,
        stored,
        weight: site.name(weight)?.to_owned(),
        bias: site.name(2).filter(|_| layout.bias).map(str::to_owned),
    };
    Some((numbers, Some(block)))
}

/// Whether two arrays are equal up to rounding.
fn agrees(computed: &Array, expected: &Array) -> bool {
    let scale = expected.iter().fold(1e-6f32, |most, value| most.max(value.abs()));
    computed.shape() == expected.shape()
        && computed.iter().zip(expected).all(|(a, b)| (a - b).abs() <= TOLERANCE * scale)
}

/// Writes numbers back to where the file keeps them; `false` if a tensor is not found or of another type.
pub(super) fn write_back(model: &mut Model, blocks: &[Block], numbers: &[f32]) -> bool {
    let constants = Constants::of(model.graph());
    let mut done = true;
    let mut put = |name: &str, values: &[f32]| {
        let stored = RealWeight::of(model, &constants, name);
        done &= stored.is_some_and(|stored| stored.put(model, values));
    };
    for block in blocks {
        let (weight, bias) = block.stored.store(&block.layout, &numbers[block.range.clone()]);
        put(&block.weight, &weight);
        if let Some(name) = &block.bias {
            put(name, &bias);
        }
    }
    done
}
