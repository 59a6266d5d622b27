//! Sums of products over labelled axes: what `Gemm`, `MatMul` and `Einsum` have in common.
//!
//! A label names an axis across both operands and the result (Einstein's convention). A label of both operands that
//! the result lacks is summed over.

use crate::channels::context::RuleContext;
use crate::channels::factor::Factor;
use crate::channels::ids::Ids;
use crate::channels::indices::Role;
use crate::channels::propagation::{Dim, Protect};

pub(super) type Label = u32;

/// One operand: input of the node, its channel indices, a label for each axis.
pub(super) struct Operand {
    pub(super) input: usize,
    pub(super) ids: Ids,
    pub(super) labels: Vec<Label>,
}

impl Operand {
    fn axis(&self, label: Label) -> Option<usize> {
        self.labels.iter().position(|&own| own == label)
    }

    fn size(&self, label: Label) -> usize {
        self.axis(label).map_or(1, |axis| self.ids.shape[axis])
    }
}

/// Channel indices of the product with the axes `out`; counts its multiply-accumulates.
pub(super) fn product(ctx: &mut RuleContext<'_, '_>, a: Operand, b: Operand, out: &[Label]) -> Result<Ids, Protect> {
    let repeats = |labels: &[Label]| (1..labels.len()).any(|at| labels[..at].contains(&labels[at]));
    if repeats(&a.labels) || repeats(&b.labels) || repeats(out) {
        return Err("it takes a diagonal".into());
    }
    let fits = |&label: &Label| {
        let (left, right) = (a.size(label), b.size(label));
        left == right || left == 1 || right == 1
    };
    if !a.labels.iter().all(fits) {
        return Err("its operands do not fit each other".into());
    }
    let summed = |label: Label, other: &Operand| other.axis(label).is_some() && !out.contains(&label);
    let batch = |label: Label, other: &Operand| other.axis(label).is_some() && out.contains(&label);
    let (ids_a, ids_b) = (
        whole_heads(ctx, &a, |label| summed(label, &b), |label| batch(label, &b)),
        whole_heads(ctx, &b, |label| summed(label, &a), |label| batch(label, &a)),
    );
    let (a, b) = (Operand { ids: ids_a, ..a }, Operand { ids: ids_b, ..b });
    let result = match (ctx.is_constant(a.input), ctx.is_constant(b.input)) {
        (true, true) => both(ctx, &a, &b, out, false)?,
        (false, true) => weighted(ctx, &a, &b, out),
        (true, false) => weighted(ctx, &b, &a, out),
        (false, false) => both(ctx, &a, &b, out, true)?,
    };
    count(ctx, &a, &b);
    Ok(result)
}

/// Where channel indices vary along a batch axis and a summed one (heads and their features), whole entries of the batch axis
/// go together.
fn whole_heads(
    ctx: &mut RuleContext<'_, '_>,
    operand: &Operand,
    summed: impl Fn(Label) -> bool,
    batch: impl Fn(Label) -> bool,
) -> Ids {
    let mut ids = Ids { factors: Vec::new(), ..operand.ids.clone() };
    for factor in &operand.ids.factors {
        let heads: Vec<usize> = factor.axes.iter().copied().filter(|&axis| batch(operand.labels[axis])).collect();
        let inner = factor.axes.iter().filter(|&&axis| summed(operand.labels[axis])).count();
        if heads.len() == 1 && inner > 0 && inner + 1 == factor.axes.len() {
            let alone = Ids { shape: ids.shape.clone(), factors: vec![factor.clone()], lost: Vec::new() };
            if let Some(channel_indices) = ctx.indices_along(&alone, heads[0]) {
                ids.set_axis(heads[0], channel_indices);
            }
        } else {
            ids.factors.push(factor.clone());
        }
    }
    ids
}

/// Data times a stored weight.
fn weighted(ctx: &mut RuleContext<'_, '_>, x: &Operand, w: &Operand, out: &[Label]) -> Ids {
    let mut result = placed(x, out, |label| x.size(label).max(w.size(label)));
    for (axis, &label) in w.labels.iter().enumerate() {
        let channel_indices = ctx.indices_along(&w.ids, axis);
        match (x.axis(label), out.iter().position(|&other| other == label)) {
            (Some(data), None) => {
                let channels = ctx.indices_along(&x.ids, data);
                ctx.bind(channels.as_deref(), channel_indices.as_deref(), "its summed axis has no channels");
                ctx.mark(&w.ids, axis, Role::Input);
                if channel_indices.is_some() {
                    ctx.contraction(x.input, data, w.input, axis);
                }
            }
            (Some(data), Some(_)) if x.ids.shape[data] == w.ids.shape[axis] => {
                let channels = ctx.indices_along(&x.ids, data);
                ctx.bind(channels.as_deref(), channel_indices.as_deref(), "its weight is a stack of matrices");
                ctx.mark(&w.ids, axis, Role::Parameter);
            }
            (None, Some(position)) => {
                ctx.mark(&w.ids, axis, Role::Output);
                if let Some(channel_indices) = channel_indices {
                    result.set_axis(position, channel_indices);
                }
            }
            _ => ctx.protect(channel_indices.unwrap_or_default(), "it broadcasts or sums over this axis of its weight"),
        }
    }
    alone(ctx, x, w, out);
    result
}

/// Two values of run time: what is summed over goes from both. Two stored ones (a weight kept as a product): what is
/// summed over stays.
fn both(
    ctx: &mut RuleContext<'_, '_>,
    a: &Operand,
    b: &Operand,
    out: &[Label],
    run_time: bool,
) -> Result<Ids, Protect> {
    for (left, &label) in a.labels.iter().enumerate() {
        let Some(right) = b.axis(label).filter(|_| !out.contains(&label)) else { continue };
        let (x, y) = (ctx.indices_along(&a.ids, left), ctx.indices_along(&b.ids, right));
        if !run_time {
            ctx.protect(x.into_iter().chain(y).flatten().collect(), "it is summed over in a product of stored values");
        } else if x.is_some() || y.is_some() {
            ctx.bind(x.as_deref(), y.as_deref(), "one of its operands has no channels along the summed axis");
            ctx.restrict(vec![(a.input, left), (b.input, right)], None);
        }
    }
    alone(ctx, a, b, out);
    alone(ctx, b, a, out);
    let parts = [placed(a, out, |label| a.size(label)), placed(b, out, |label| b.size(label))];
    let roots = |ids: &Ids| -> Vec<_> {
        ids.channel_indices().map(|channel_index| ctx.run.channel_indices.find(channel_index)).collect()
    };
    let free = |own: &Operand, other: &Operand| {
        let factors = own.ids.factors.iter();
        let outer = factors.filter(|factor| {
            factor.axes.iter().all(|&at| out.contains(&own.labels[at]) && other.axis(own.labels[at]).is_none())
        });
        Ids { shape: own.ids.shape.clone(), factors: outer.cloned().collect(), lost: Vec::new() }
    };
    let (left, right) = (free(a, b), free(b, a));
    let known = roots(&right);
    if roots(&left).iter().any(|root| known.contains(root)) {
        ctx.protect_all(&left, "it multiplies channels with themselves");
    }
    ctx.elementwise(&parts)
}

/// Protects what only one operand has and the result lacks.
fn alone(ctx: &mut RuleContext<'_, '_>, x: &Operand, other: &Operand, out: &[Label]) {
    for (axis, &label) in x.labels.iter().enumerate() {
        if other.axis(label).is_none() && !out.contains(&label) {
            ctx.protect_axis(&x.ids, axis, "it sums over this axis");
        }
    }
}

/// The operand's channel indices where the result has its axes.
fn placed(x: &Operand, out: &[Label], size: impl Fn(Label) -> usize) -> Ids {
    let shape = out.iter().map(|&label| size(label)).collect();
    let position = |axis: usize| out.iter().position(|&label| label == x.labels[axis]);
    let mut result = Ids { shape, factors: Vec::new(), lost: x.ids.lost.clone() };
    for factor in &x.ids.factors {
        let Some(to) = factor.axes.iter().map(|&axis| position(axis)).collect::<Option<Vec<usize>>>() else { continue };
        if to.is_sorted() {
            result.factors.push(Factor { axes: to, ids: std::sync::Arc::clone(&factor.ids) });
            continue;
        }
        // The axes change their order: as a transpose of the factor alone.
        let alone = Ids {
            shape: factor.axes.iter().map(|&axis| x.ids.shape[axis]).collect(),
            factors: vec![Factor { axes: (0..to.len()).collect(), ids: std::sync::Arc::clone(&factor.ids) }],
            lost: Vec::new(),
        };
        let mut order: Vec<usize> = (0..to.len()).collect();
        order.sort_by_key(|&at| to[at]);
        let mut axes = to;
        axes.sort_unstable();
        result.factors.extend(
            alone
                .transpose(&order)
                .factors
                .into_iter()
                .map(|moved| Factor { axes: moved.axes.iter().map(|&axis| axes[axis]).collect(), ids: moved.ids }),
        );
    }
    result
}

/// Multiply-accumulates: the product of all sizes.
fn count(ctx: &mut RuleContext<'_, '_>, a: &Operand, b: &Operand) {
    let mut labels: Vec<Label> = a.labels.iter().chain(&b.labels).copied().collect();
    labels.sort_unstable();
    labels.dedup();
    let dims = labels
        .into_iter()
        .filter_map(|label| {
            let dim = |operand: &Operand| Some(Dim::of(&operand.ids, operand.axis(label)?));
            let (left, right) = (dim(a), dim(b));
            let telling = |dim: &Dim| (dim.size(), dim.ids.varies(dim.axis));
            left.into_iter().chain(right).max_by_key(telling)
        })
        .collect();
    ctx.macs(&[], dims);
}
