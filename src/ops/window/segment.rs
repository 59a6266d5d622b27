//! Runs of numbers that are read together.

/// Output positions of a row, evenly spaced, that read evenly spaced input positions of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment {
    /// First output position.
    pub(super) output: usize,
    pub(super) output_step: usize,
    /// Input position that it reads.
    pub(super) input: usize,
    pub(super) input_step: usize,
    pub(super) count: usize,
}

impl Segment {
    /// Output positions and the input positions that they read.
    pub(crate) fn pairs(self) -> impl Iterator<Item = (usize, usize)> {
        (0..self.count).map(move |step| (self.output + step * self.output_step, self.input + step * self.input_step))
    }

    /// Calls `each` with every output position's number and what it reads of the input.
    pub(crate) fn pull<T>(self, outputs: &mut [T], inputs: &[f32], mut each: impl FnMut(&mut T, f32)) {
        if self.output_step == 1 && self.input_step == 1 {
            let targets = outputs[self.output..self.output + self.count].iter_mut();
            targets.zip(&inputs[self.input..self.input + self.count]).for_each(|(own, read)| each(own, *read));
            return;
        }
        let sources = inputs[self.input..].iter().step_by(self.input_step);
        if self.output_step == 1 {
            let targets = outputs[self.output..self.output + self.count].iter_mut();
            targets.zip(sources).for_each(|(own, read)| each(own, *read));
        } else {
            let targets = outputs[self.output..].iter_mut().step_by(self.output_step).take(self.count);
            targets.zip(sources).for_each(|(own, read)| each(own, *read));
        }
    }

    /// The transpose of [`Segment::pull`]: calls `each` with every input position's number and that of its output.
    pub(crate) fn push(self, outputs: &[f32], inputs: &mut [f32], mut each: impl FnMut(&mut f32, f32)) {
        let back = Self {
            output: self.input,
            output_step: self.input_step,
            input: self.output,
            input_step: self.output_step,
            count: self.count,
        };
        back.pull(inputs, outputs, |own, read| each(own, read));
    }
}
