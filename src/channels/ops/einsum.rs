//! Einstein sums of one or two operands.
//!
//! <https://onnx.ai/onnx/operators/onnx__Einsum.html> (12)

use super::Rule;
use super::product::{Label, Operand, product};
use crate::channels::context::RuleContext;
use crate::channels::ids::Ids;
use crate::channels::propagation::Protect;

pub(super) struct Einsum;

impl Rule for Einsum {
    fn propagate(&self, ctx: &mut RuleContext<'_, '_>) -> Result<(), Protect> {
        let equation = ctx.text("equation").ok_or("equation is missing")?;
        let operands = (0..ctx.node.input.len())
            .map(|input| Ok(Operand { input, ids: ctx.ids(input)?, labels: Vec::new() }))
            .collect::<Result<Vec<_>, Protect>>()?;
        let ranks: Vec<usize> = operands.iter().map(|operand| operand.ids.rank()).collect();
        let (inputs, out) = parse(&equation, &ranks).ok_or("its equation does not fit its inputs")?;
        let mut operands: Vec<Operand> =
            operands.into_iter().zip(inputs).map(|(operand, labels)| Operand { labels, ..operand }).collect();
        let result = match (operands.pop(), operands.pop(), operands.len()) {
            (Some(b), Some(a), 0) => product(ctx, a, b, &out)?,
            (Some(x), None, 0) => rearranged(ctx, &x, &out)?,
            _ => return Err("it has more than two operands".into()),
        };
        ctx.set(0, result);
        Ok(())
    }
}

/// One operand: axes are moved, or summed away.
fn rearranged(ctx: &mut RuleContext<'_, '_>, x: &Operand, out: &[Label]) -> Result<Ids, Protect> {
    let unique = (0..x.labels.len()).all(|at| !x.labels[..at].contains(&x.labels[at]));
    if !unique {
        return Err("it takes a diagonal".into());
    }
    let gone: Vec<usize> = (0..x.labels.len()).filter(|&axis| !out.contains(&x.labels[axis])).collect();
    for &axis in &gone {
        if ctx.indices_along(&x.ids, axis).is_some() {
            ctx.restrict(vec![(x.input, axis)], None);
        }
    }
    let kept: Vec<Label> = x.labels.iter().copied().filter(|label| out.contains(label)).collect();
    let perm: Option<Vec<usize>> = out.iter().map(|label| kept.iter().position(|own| own == label)).collect();
    let perm = perm.filter(|perm| perm.len() == kept.len()).ok_or("its equation does not fit its inputs")?;
    Ok(x.ids.reduce(&gone, false).transpose(&perm))
}

/// Labels of every operand and of the result; `...` stands for axes that broadcast.
fn parse(equation: &str, ranks: &[usize]) -> Option<(Vec<Vec<Label>>, Vec<Label>)> {
    const DOTS: Label = 0x11_0000;
    let equation: String = equation.chars().filter(|c| !c.is_whitespace()).collect();
    let (left, right) = match equation.split_once("->") {
        Some((left, right)) => (left, Some(right)),
        None => (equation.as_str(), None),
    };
    let terms: Vec<&str> = left.split(',').collect();
    if terms.len() != ranks.len() {
        return None;
    }
    let most = terms.iter().zip(ranks).filter_map(|(term, rank)| dots(term, *rank)).max().unwrap_or(0);
    let expand = |term: &str, count: usize| -> Option<Vec<Label>> {
        let skipped = most.checked_sub(count)?;
        let (before, after) = term.split_once("...").unwrap_or((term, ""));
        let letters = |text: &str| -> Option<Vec<Label>> {
            text.chars().map(|c| c.is_ascii_alphabetic().then_some(Label::from(c))).collect()
        };
        let middle = (skipped..most).map(|number| Label::try_from(number).ok()?.checked_add(DOTS));
        let middle: Vec<Label> = if term.contains("...") { middle.collect::<Option<_>>()? } else { Vec::new() };
        Some([letters(before)?, middle, letters(after)?].concat())
    };
    let inputs: Vec<Vec<Label>> = terms
        .iter()
        .zip(ranks)
        .map(|(term, &rank)| expand(term, dots(term, rank).unwrap_or(0)).filter(|labels| labels.len() == rank))
        .collect::<Option<_>>()?;
    let out = match right {
        Some(right) => expand(right, most)?,
        None => implicit(&inputs, DOTS),
    };
    Some((inputs, out))
}

/// Axes that `...` stands for in a term.
fn dots(term: &str, rank: usize) -> Option<usize> {
    term.contains("...").then(|| rank.saturating_sub(term.len() - 3))
}

/// Without `->`: the axes of `...`, then the letters that stand once, in alphabetical order.
fn implicit(inputs: &[Vec<Label>], dots: Label) -> Vec<Label> {
    let all: Vec<Label> = inputs.concat();
    let once = |label: &Label| all.iter().filter(|other| *other == label).count() == 1;
    let mut broadcast: Vec<Label> = all.iter().copied().filter(|&label| label >= dots).collect();
    broadcast.sort_unstable();
    broadcast.dedup();
    let mut letters: Vec<Label> = all.iter().copied().filter(|label| *label < dots && once(label)).collect();
    letters.sort_unstable();
    broadcast.extend(letters);
    broadcast
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(text: &str) -> Vec<Label> {
        text.chars().map(Label::from).collect()
    }

    #[test]
    fn equations() {
        assert_eq!(parse("bnc, cd -> bnd", &[3, 2]), Some((vec![labels("bnc"), labels("cd")], labels("bnd"))));
        assert_eq!(parse("ij,jk", &[2, 2]), Some((vec![labels("ij"), labels("jk")], labels("ik"))));
        let (inputs, out) = parse("...ij,jk->...ik", &[4, 2]).unwrap();
        assert_eq!((inputs[0].len(), out.len()), (4, 4));
        assert_eq!(inputs[0][..2], out[..2]);
        assert_eq!(parse("ij,jk->ik", &[3, 2]), None);
        assert_eq!(parse("ij", &[2, 2]), None);
    }
}
