//! Loops over numbers side by side, compiled for the vector instructions that the processor has.

/// Numbers that are worked on side by side.
const LANES: usize = 32;

/// `f` of every number.
pub(crate) fn map(numbers: &[f32], f: impl Fn(f32) -> f32) -> Vec<f32> {
    zip(numbers, numbers, |own, _| f(own))
}

/// `f` of every pair.
pub(crate) fn zip(left: &[f32], right: &[f32], f: impl Fn(f32, f32) -> f32) -> Vec<f32> {
    let mut to = Vec::with_capacity(left.len().min(right.len()));
    pulp::Arch::new().dispatch(Zip { to: &mut to, left, right, f });
    to
}

/// `f` of every number and the one beside it.
pub(crate) fn update(to: &mut [f32], from: &[f32], f: impl Fn(&mut f32, f32)) {
    pulp::Arch::new().dispatch(Update { to, from, f });
}

/// Every number becomes `f` of it.
pub(crate) fn replace(numbers: &mut [f32], f: impl Fn(f32) -> f32) {
    pulp::Arch::new().dispatch(Replace { numbers, f });
}

/// The sum of squared differences, in double precision.
pub(crate) fn squared_distance(left: &[f32], right: &[f32]) -> f64 {
    pulp::Arch::new().dispatch(Squares { left, right, f: |left, right| left - right })
}

/// The sum of squares, in double precision.
pub(crate) fn squared_length(numbers: &[f32]) -> f64 {
    pulp::Arch::new().dispatch(Squares { left: numbers, right: numbers, f: |own, _| own })
}

/// The sum.
pub(crate) fn sum(numbers: &[f32]) -> f32 {
    pulp::Arch::new().dispatch(Sum { left: numbers, right: numbers, f: |own, _| own })
}

/// The sum of products.
pub(crate) fn dot(left: &[f32], right: &[f32]) -> f32 {
    pulp::Arch::new().dispatch(Sum { left, right, f: |left, right| left * right })
}

struct Zip<'a, F> {
    to: &'a mut Vec<f32>,
    left: &'a [f32],
    right: &'a [f32],
    f: F,
}

impl<F: Fn(f32, f32) -> f32> pulp::NullaryFnOnce for Zip<'_, F> {
    type Output = ();

    #[allow(clippy::inline_always, reason = "only what is inlined there uses the processor's vector instructions")]
    #[inline(always)]
    fn call(self) {
        let (left, _) = pulp::as_arrays::<LANES, f32>(self.left);
        let (right, _) = pulp::as_arrays::<LANES, f32>(self.right);
        for (left, right) in left.iter().zip(right) {
            let mut block = [0.0; LANES];
            for ((to, &left), &right) in block.iter_mut().zip(left).zip(right) {
                *to = (self.f)(left, right);
            }
            self.to.extend_from_slice(&block);
        }
        let (left, right) = (&self.left[self.to.len()..], &self.right[self.to.len()..]);
        self.to.extend(left.iter().zip(right).map(|(&left, &right)| (self.f)(left, right)));
    }
}

struct Update<'a, F> {
    to: &'a mut [f32],
    from: &'a [f32],
    f: F,
}

impl<F: Fn(&mut f32, f32)> pulp::NullaryFnOnce for Update<'_, F> {
    type Output = ();

    #[allow(clippy::inline_always, reason = "only what is inlined there uses the processor's vector instructions")]
    #[inline(always)]
    fn call(self) {
        for (to, &from) in self.to.iter_mut().zip(self.from) {
            (self.f)(to, from);
        }
    }
}

struct Replace<'a, F> {
    numbers: &'a mut [f32],
    f: F,
}

impl<F: Fn(f32) -> f32> pulp::NullaryFnOnce for Replace<'_, F> {
    type Output = ();

    #[allow(clippy::inline_always, reason = "only what is inlined there uses the processor's vector instructions")]
    #[inline(always)]
    fn call(self) {
        for number in self.numbers {
            *number = (self.f)(*number);
        }
    }
}

struct Squares<'a, F> {
    left: &'a [f32],
    right: &'a [f32],
    f: F,
}

impl<F: Fn(f32, f32) -> f32> pulp::NullaryFnOnce for Squares<'_, F> {
    type Output = f64;

    #[allow(clippy::inline_always, reason = "only what is inlined there uses the processor's vector instructions")]
    #[inline(always)]
    fn call(self) -> f64 {
        let square = |left: f32, right: f32| {
            let own = (self.f)(left, right);
            f64::from(own * own)
        };
        let mut sums = [0.0f64; LANES];
        let (left, last_left) = pulp::as_arrays::<LANES, f32>(self.left);
        let (right, last_right) = pulp::as_arrays::<LANES, f32>(self.right);
        for (left, right) in left.iter().zip(right) {
            for ((sum, &left), &right) in sums.iter_mut().zip(left).zip(right) {
                *sum += square(left, right);
            }
        }
        let last = last_left.iter().zip(last_right).map(|(&left, &right)| square(left, right));
        sums.iter().sum::<f64>() + last.sum::<f64>()
    }
}

struct Sum<'a, F> {
    left: &'a [f32],
    right: &'a [f32],
    f: F,
}

impl<F: Fn(f32, f32) -> f32> pulp::NullaryFnOnce for Sum<'_, F> {
    type Output = f32;

    #[allow(clippy::inline_always, reason = "only what is inlined there uses the processor's vector instructions")]
    #[inline(always)]
    fn call(self) -> f32 {
        let mut sums = [0.0f32; LANES];
        let (left, last_left) = pulp::as_arrays::<LANES, f32>(self.left);
        let (right, last_right) = pulp::as_arrays::<LANES, f32>(self.right);
        for (left, right) in left.iter().zip(right) {
            for ((sum, &left), &right) in sums.iter_mut().zip(left).zip(right) {
                *sum += (self.f)(left, right);
            }
        }
        let last = last_left.iter().zip(last_right).map(|(&left, &right)| (self.f)(left, right));
        sums.iter().sum::<f32>() + last.sum::<f32>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_met_once() {
        let numbers: Vec<f32> = (0..77).map(|own| own as f32).collect();
        let twice: Vec<f32> = numbers.iter().map(|own| 2.0 * own).collect();
        assert_eq!(map(&numbers, |own| 2.0 * own), twice);
        assert_eq!(zip(&twice, &numbers[..70], |left, right| left - right), numbers[..70]);
        let mut sums = numbers.clone();
        update(&mut sums, &numbers, |sum, own| *sum += own);
        assert_eq!(sums, twice);
        replace(&mut sums, |own| own / 2.0);
        assert_eq!(sums, numbers);
        // 0 + 1 + ... + 76, and the sum of their squares.
        let all = f64::from(76 * 77 * 153 / 6);
        assert!((f64::from(sum(&numbers)) - f64::from(76 * 77 / 2)).abs() < 0.5);
        assert!((f64::from(dot(&twice, &numbers)) - 2.0 * all).abs() < 0.5);
        assert!(
            [squared_length(&numbers), squared_distance(&twice, &numbers)].iter().all(|own| (own - all).abs() < 0.5)
        );
    }
}
