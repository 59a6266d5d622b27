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
    #[allow(clippy::inline_always, reason = "it is compiled for the vector instructions of those that inline it")]
    #[inline(always)]
    pub(crate) fn pull<T>(self, outputs: &mut [T], inputs: &[f32], mut each: impl FnMut(&mut T, f32)) {
        if self.output_step == 1 && self.input_step == 1 {
            let targets = outputs[self.output..self.output + self.count].iter_mut();
            targets.zip(&inputs[self.input..self.input + self.count]).for_each(|(own, read)| each(own, *read));
            return;
        }
        // Every second one as the first of a pair, so that whole vectors are read; the last may stand alone.
        if self.output_step == 1 && self.input_step == 2 {
            let targets = &mut outputs[self.output..self.output + self.count];
            let (pairs, alone) = pulp::as_arrays::<2, f32>(&inputs[self.input..]);
            targets.iter_mut().zip(pairs).for_each(|(own, pair)| each(own, pair[0]));
            targets.iter_mut().skip(pairs.len()).zip(alone).for_each(|(own, read)| each(own, *read));
            return;
        }
        if self.output_step == 2 && self.input_step == 1 {
            let sources = &inputs[self.input..self.input + self.count];
            let (pairs, alone) = pulp::as_arrays_mut::<2, T>(&mut outputs[self.output..]);
            sources.iter().skip(pairs.len()).zip(alone).for_each(|(read, own)| each(own, *read));
            pairs.iter_mut().zip(sources).for_each(|(pair, read)| each(&mut pair[0], *read));
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
    #[allow(clippy::inline_always, reason = "it is compiled for the vector instructions of those that inline it")]
    #[inline(always)]
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
