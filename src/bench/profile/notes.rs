//! Why a layer did not get faster although it has less to do.

use super::{Layer, LayerCost};
use crate::engine::ChannelBlock;

/// A layer kept its time if it kept so much more of it than of its work.
const KEPT: f64 = 1.25;

/// Layers that take less of the time than this get no note.
const SMALL: f64 = 0.005;

/// A layer is bound by memory if it moves this share of what the best layer moves a second, at less than half of the best
/// rate of multiply-accumulates (the ridge of the roofline of Williams, Waterman and Patterson, 2009, found among the
/// layers themselves).
const NEAR_BANDWIDTH: f64 = 0.5;

/// Writes a note at every layer whose time did not fall as its work did. `block`, `multiple`: the engine's channel block
/// and the finest step of a width in its blocked layout.
pub(super) fn explain(layers: &mut [Layer], block: ChannelBlock) {
    let ChannelBlock { block, multiple } = block;
    let costs = || layers.iter().flat_map(|own| [own.before, own.after]).flatten().filter(|cost| cost.ms > 0.0);
    let best = |rate: fn(&LayerCost) -> f64| costs().map(|cost| rate(&cost)).fold(0.0, f64::max);
    let (rate, bandwidth) = (best(LayerCost::gmacs), best(LayerCost::gbytes));
    let total: f64 = layers.iter().filter_map(|own| own.after).map(|cost| cost.ms).sum();
    for layer in layers {
        let (Some(before), Some(after)) = (layer.before, layer.after) else { continue };
        let (work, time) = (share(after.macs as f64, before.macs as f64), share(after.ms, before.ms));
        if before.macs == 0 || after.macs >= before.macs || time < KEPT * work || after.ms < SMALL * total {
            continue;
        }
        let kept = format!("time x{time:.2} at MACs x{work:.2}");
        let (reads, makes) = after.widths.unwrap_or_default();
        let why = if before.blocked == Some(true) && after.blocked == Some(false) {
            let step = if multiple > 1 { format!(", which takes multiples of {multiple}") } else { String::new() };
            format!("{reads} channels to {makes} left the engine's blocked layout{step}")
        } else if after.blocked == Some(true) && makes % block.max(1) != 0 {
            format!("width {makes} costs what {} costs", makes.next_multiple_of(block.max(1)))
        } else if after.blocked == Some(true) && reads % block.max(1) != 0 && reads > multiple {
            format!("its {reads} input channels cost what {} cost", reads.next_multiple_of(block.max(1)))
        } else if after.gbytes() > NEAR_BANDWIDTH * bandwidth && after.gmacs() < 0.5 * rate {
            format!("bound by memory: {:.1} MACs a byte, {:.1} GB/s", intensity(&after), after.gbytes())
        } else {
            format!("{:.1} of the best {rate:.1} GMAC/s: too little work to fill the processor", after.gmacs())
        };
        layer.note = Some(format!("{kept}: {why}"));
    }
}

fn share(after: f64, before: f64) -> f64 {
    after / before.max(f64::MIN_POSITIVE)
}

fn intensity(cost: &LayerCost) -> f64 {
    cost.macs as f64 / cost.bytes.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(ms: f64, width: usize, blocked: bool) -> LayerCost {
        let macs = 1_000_000 * width as u64;
        LayerCost { ms, macs, bytes: 40_000, widths: Some((width, width)), blocked: Some(blocked) }
    }

    fn noted(before: LayerCost, after: LayerCost) -> Option<String> {
        let fast = cost(1.0, 200, true);
        let layer = |name: &str, before, after| Layer {
            name: name.into(),
            op: "Conv".into(),
            before: Some(before),
            after: Some(after),
            note: None,
        };
        let mut layers = [layer("fast", fast, fast), layer("own", before, after)];
        explain(&mut layers, ChannelBlock { block: 16, multiple: 4 });
        layers[1].note.clone()
    }

    #[test]
    fn a_layer_as_fast_as_its_work_needs_no_note() {
        assert_eq!(noted(cost(1.0, 64, true), cost(0.5, 32, true)), None);
    }

    #[test]
    fn the_layout_comes_first() {
        let note = noted(cost(1.0, 64, true), cost(1.0, 33, false)).unwrap();
        assert!(
            note.contains("33 channels to 33 left the engine's blocked layout, which takes multiples of 4"),
            "{note}"
        );
        let note = noted(cost(1.0, 64, true), cost(0.9, 36, true)).unwrap();
        assert!(note.contains("time x0.90 at MACs x0.56") && note.contains("36 costs what 48 costs"), "{note}");
    }

    #[test]
    fn channels_that_are_read_come_in_blocks_too() {
        let of =
            |ms, reads| LayerCost { macs: 4_000_000 * reads as u64, widths: Some((reads, 16)), ..cost(ms, 16, true) };
        let note = noted(of(1.0, 16), of(0.97, 8)).unwrap();
        assert!(note.contains("its 8 input channels cost what 16 cost"), "{note}");
    }

    #[test]
    fn layers_that_move_more_than_they_compute_are_bound_by_memory() {
        let thin = |ms| LayerCost { bytes: 100_000_000, ..cost(ms, 64, true) };
        let after = LayerCost { macs: 32_000_000, widths: Some((32, 32)), ..thin(0.9) };
        let note = noted(thin(1.0), after).unwrap();
        assert!(note.contains("bound by memory"), "{note}");
    }
}
