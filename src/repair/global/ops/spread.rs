//! Arrays spread to a larger shape by broadcasting, run by run of the numbers at the end of the axes.
//!
//! <https://onnx.ai/onnx/repo-docs/Broadcasting.html>

use ndarray::{ArrayD, IxDyn};

use crate::ops::vector;

/// For every output the index of the operand that is spread to it.
pub(super) fn spread(shape: &[usize], output: &[usize]) -> Option<Vec<u32>> {
    let count = u32::try_from(shape.iter().product::<usize>()).ok()?;
    let indices = ArrayD::from_shape_vec(IxDyn(shape), (0..count).collect()).ok()?;
    Some(indices.broadcast(IxDyn(output))?.iter().copied().collect())
}

/// Outputs side by side, at the end of the axes, along which every operand is either whole or one number.
pub(super) fn run_length(shapes: &[&[usize]], output: &[usize]) -> usize {
    let mut whole: Vec<Option<bool>> = vec![None; shapes.len()];
    let mut length = 1;
    for behind in 0..output.len() {
        let size = output[output.len() - 1 - behind];
        if size == 1 {
            continue;
        }
        for (own, shape) in whole.iter_mut().zip(shapes) {
            let is_whole = shape.len() > behind && shape[shape.len() - 1 - behind] == size;
            if *own.get_or_insert(is_whole) != is_whole {
                return length;
            }
        }
        length *= size;
    }
    length
}

/// How an operand is spread to the outputs.
pub(super) struct Runs {
    /// Where in the operand every run begins.
    begins: Vec<u32>,
    /// Whether it is one number all along a run.
    one: bool,
}

impl Runs {
    pub(super) fn new(shape: &[usize], output: &[usize], length: usize) -> Option<Self> {
        let map = spread(shape, output)?;
        let one = length == 1 || map.first() == map.get(1);
        Some(Self { begins: map.into_iter().step_by(length.max(1)).collect(), one })
    }

    /// Place in the operand of what is beside an output, by the number of its run and its place there.
    pub(super) fn place(&self, run: usize, output: usize) -> usize {
        let begin = self.begins[run] as usize;
        if self.one { begin } else { begin + output }
    }

    /// Sums of what all outputs give to each of the operand's `size` numbers: the transpose of spreading it.
    pub(super) fn sums(&self, given: &[f32], run: usize, size: usize) -> Vec<f32> {
        let mut out = vec![0.0; size];
        for (given, &begin) in given.chunks_exact(run).zip(&self.begins) {
            let begin = begin as usize;
            if self.one {
                out[begin] += vector::sum(given);
            } else {
                vector::update(&mut out[begin..begin + run], given, |own, given| *own += given);
            }
        }
        out
    }
}

/// Numbers of an operand beside the outputs.
#[derive(Clone, Copy)]
pub(super) struct Spread<'a> {
    pub(super) values: &'a [f32],
    pub(super) runs: Option<&'a Runs>,
}

/// Those of one run.
enum Piece<'a> {
    One(f32),
    Each(&'a [f32]),
}

impl<'a> Spread<'a> {
    pub(super) fn whole(values: &'a [f32]) -> Self {
        Self { values, runs: None }
    }

    fn piece(self, run: usize, length: usize) -> Piece<'a> {
        match self.runs {
            None => Piece::Each(&self.values[run * length..][..length]),
            Some(Runs { begins, one: true }) => Piece::One(self.values[begins[run] as usize]),
            Some(Runs { begins, .. }) => Piece::Each(&self.values[begins[run] as usize..][..length]),
        }
    }
}

/// A function of two operands at each of `size` outputs, `run` of them a run.
pub(super) fn combine(
    [left, right]: [Spread<'_>; 2],
    (run, size): (usize, usize),
    f: impl Fn(f32, f32) -> f32 + Copy,
) -> Vec<f32> {
    if left.runs.is_none() && right.runs.is_none() {
        return vector::zip(left.values, right.values, f);
    }
    let mut out = vec![0.0; size];
    for (number, out) in out.chunks_exact_mut(run).enumerate() {
        match (left.piece(number, run), right.piece(number, run)) {
            (Piece::Each(left), Piece::Each(right)) => {
                out.copy_from_slice(left);
                vector::update(out, right, |own, right| *own = f(*own, right));
            }
            (Piece::Each(left), Piece::One(right)) => vector::update(out, left, |own, left| *own = f(left, right)),
            (Piece::One(left), Piece::Each(right)) => vector::update(out, right, |own, right| *own = f(left, right)),
            (Piece::One(left), Piece::One(right)) => out.fill(f(left, right)),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Place of the operand beside every output, by its runs and by broadcasting.
    fn places(shape: &[usize], output: &[usize], length: usize) -> [Vec<usize>; 2] {
        let runs = Runs::new(shape, output, length).unwrap();
        let size = output.iter().product();
        let expected = spread(shape, output).unwrap().into_iter().map(|own| own as usize).collect();
        [(0..size).map(|at| runs.place(at / length, at % length)).collect(), expected]
    }

    #[test]
    fn runs_end_where_an_operand_changes_between_whole_and_one() {
        let output = [2, 3, 1, 4, 5];
        let cases: [(&[usize], usize); 7] = [
            (&[2, 3, 1, 4, 5], 120),
            (&[], 120),
            (&[3, 1, 1, 1], 20),
            (&[5], 5),
            (&[4, 1], 5),
            (&[2, 1, 1, 4, 5], 20),
            (&[2, 3, 1, 1, 5], 5),
        ];
        for (shape, length) in cases {
            assert_eq!(run_length(&[shape], &output), length, "{shape:?}");
            let [found, expected] = places(shape, &output, length);
            assert_eq!(found, expected, "{shape:?}");
        }
        assert_eq!(run_length(&[&[5], &[3, 1, 1, 1]], &output), 5);
        assert_eq!(run_length(&[&[5], &[4, 1]], &output), 5);
        assert_eq!(run_length(&[&[]], &[]), 1);
    }

    #[test]
    fn sums_are_the_transpose_of_spreading() {
        let output = [2, 3, 4];
        for shape in [&[3, 1][..], &[4], &[2, 1, 4], &[1]] {
            let run = run_length(&[shape], &output);
            let runs = Runs::new(shape, &output, run).unwrap();
            let size: usize = shape.iter().product();
            let operand: Vec<f32> = (0..size).map(|own| own as f32 - 1.5).collect();
            let given: Vec<f32> = (0..24).map(|own| (own * own % 7) as f32).collect();
            let spread = Spread { values: &operand, runs: Some(&runs) };
            let there = combine([spread, Spread::whole(&given)], (run, 24), |own, given| own * given);
            let back: f32 = runs.sums(&given, run, size).iter().zip(&operand).map(|(sum, own)| sum * own).sum();
            assert!((there.iter().sum::<f32>() - back).abs() < 1e-3, "{shape:?}");
        }
    }
}
