use super::super::indices::Place;
use super::*;

fn channels(channel_indices: &mut ChannelIndices, shape: &[usize], axis: usize) -> (Ids, Vec<ChannelIndex>) {
    let ids = channel_indices.site(Place::Fixed, shape[axis]);
    (Ids::along(shape.to_vec(), axis, ids.clone()), ids)
}

#[test]
fn flatten_repeats_a_channel_for_every_position() {
    let mut channel_indices = ChannelIndices::default();
    let (value, ids) = channels(&mut channel_indices, &[1, 3, 2, 2], 1);
    let flat = value.reshape(&[1, 12]).unwrap();
    assert_eq!(flat.factors[0].axes, [1]);
    assert_eq!(flat.factors[0].ids[4..8], [ids[1]; 4]);
    assert_eq!(flat.reshape(&[1, 3, 2, 2]).unwrap(), value);
}

#[test]
fn channel_shuffle_permutes() {
    let mut channel_indices = ChannelIndices::default();
    let (value, ids) = channels(&mut channel_indices, &[1, 6, 4, 4], 1);
    let shuffled = value.reshape(&[1, 2, 3, 4, 4]).unwrap().transpose(&[0, 2, 1, 3, 4]).reshape(&[1, 6, 4, 4]).unwrap();
    assert_eq!(*shuffled.factors[0].ids, [0, 3, 1, 4, 2, 5].map(|i| ids[i]));
}

#[test]
fn add_unites_and_broadcast_gate_does_too() {
    let mut channel_indices = ChannelIndices::default();
    let (value, a) = channels(&mut channel_indices, &[1, 3, 4, 4], 1);
    let (gate, b) = channels(&mut channel_indices, &[1, 3, 1, 1], 1);
    let sum = unite_elementwise(&mut channel_indices, &[value, gate], |_, _| panic!("nothing is stuck")).unwrap();
    assert_eq!(sum.shape, [1, 3, 4, 4]);
    assert_eq!(channel_indices.find(b[2]), a[2]);
}

#[test]
fn lanes_that_meet_a_spatial_axis_are_stuck() {
    let mut channel_indices = ChannelIndices::default();
    let (value, _) = channels(&mut channel_indices, &[1, 3, 4, 4], 1);
    let (bias, ids) = channels(&mut channel_indices, &[4], 0);
    let mut seen = Vec::new();
    unite_elementwise(&mut channel_indices, &[value, bias], |_, stuck| seen.extend_from_slice(stuck)).unwrap();
    assert_eq!(seen, ids);
}

#[test]
fn concat_offsets_and_fills_missing_lanes() {
    let mut channel_indices = ChannelIndices::default();
    let (value, a) = channels(&mut channel_indices, &[1, 2, 4], 1);
    let plain = Ids::plain(vec![1, 1, 4]);
    let mut fresh = Vec::new();
    let both = Ids::concat(
        &mut channel_indices,
        &[value, plain],
        1,
        |channel_indices, part, size| {
            assert_eq!((part, size), (1, 1));
            fresh = channel_indices.site(Place::Fixed, size);
            fresh.clone()
        },
        |_, _| {},
    )
    .unwrap();
    assert_eq!(*both.factors[0].ids, [a[0], a[1], fresh[0]]);
}
