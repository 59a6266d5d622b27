//! A small detector with random weights.

use onnx_prune::model::Model;

use super::Builder;

/// What the boxes of the model are.
#[derive(Clone, Copy, PartialEq)]
pub enum Boxes {
    Corners,
    Centres,
    /// Any numbers: offsets from anchors.
    Offsets,
}

/// 64 boxes of 2 classes, from an image of 8 by 8; the outputs are `boxes` and `scores`.
pub fn detector(boxes: Boxes) -> Model {
    let mut b = Builder::new(&[1, 3, 8, 8]);
    let mut x = b.conv("x", 3, 24, 1);
    for _ in 0..2 {
        x = b.relu(&x);
        x = b.conv(&x, 24, 24, 1);
    }
    let x = b.relu(&x);
    let head = |b: &mut Builder, channels: usize, activation: &str| {
        let w = b.weight(&[channels, 24, 1, 1]);
        let twentieth = b.number(0.05);
        let map = b.node("Conv", &[&x, &w], &[]);
        let map = b.node("Mul", &[&map, &twentieth], &[]);
        let rows = b.rows(&map, channels, 8);
        b.node(activation, &[&rows], &[])
    };
    let (place, size) = (head(&mut b, 2, "Sigmoid"), head(&mut b, 2, "Sigmoid"));
    let scores = head(&mut b, 2, "Sigmoid");
    let third = b.number(0.3);
    let size = b.node("Mul", &[&size, &third], &[]);
    let numbers = match boxes {
        Boxes::Corners => {
            let far = b.node("Add", &[&place, &size], &[]);
            b.node("Concat", &[&place, &far], &[("axis", vec![2])])
        }
        Boxes::Centres => b.node("Concat", &[&place, &size], &[("axis", vec![2])]),
        Boxes::Offsets => head(&mut b, 4, "Identity"),
    };
    b.nodes("Identity", &[&numbers], &[], vec!["boxes".into()]);
    b.nodes("Identity", &[&scores], &[], vec!["scores".into()]);
    let mut model = b.model("boxes");
    let scores = Builder::new(&[1]).model("scores").graph().output[0].clone();
    model.graph_mut().output.push(scores);
    model
}
