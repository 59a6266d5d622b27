use super::*;
use crate::proto::onnx::AttributeProto;

fn node(op: &str, ints: &[(&str, &[i64])], auto_pad: &str) -> NodeProto {
    let mut attribute: Vec<AttributeProto> = ints
        .iter()
        .map(|(name, values)| AttributeProto {
            name: Some((*name).into()),
            ints: values.to_vec(),
            ..AttributeProto::default()
        })
        .collect();
    if !auto_pad.is_empty() {
        let text = Some(auto_pad.as_bytes().to_vec().into());
        attribute.push(AttributeProto { name: Some("auto_pad".into()), s: text, ..AttributeProto::default() });
    }
    NodeProto { op_type: Some(op.into()), attribute, ..NodeProto::default() }
}

fn placed(node: &NodeProto, kernel: &[usize], input: &[usize]) -> PlacedWindow {
    let window = Window::of(node, Some(kernel)).unwrap();
    window.place(input, &window.output(input).unwrap()).unwrap()
}

/// What a position reads of an image that counts from 1; 0 is the padding.
fn patch(window: &PlacedWindow, position: usize) -> Vec<usize> {
    (0..window.kernel_size()).map(|k| window.reads(position, k).map_or(0, |at| at + 1)).collect()
}

#[test]
fn windows_with_stride_padding_and_dilation() {
    let own = node("Conv", &[("strides", &[2, 1]), ("pads", &[1, 0, 0, 0]), ("dilations", &[1, 2])], "");
    // 4 x 5 image, kernel 2 x 2: rows 2o - 1 + {0, 1}, columns o + {0, 2}.
    let window = placed(&own, &[2, 2], &[4, 5]);
    assert_eq!(window.output(), [2, 3]);
    assert_eq!(patch(&window, 0), [0, 0, 1, 3]);
    assert_eq!(patch(&window, 5), [8, 10, 13, 15]);
}

#[test]
fn transposed_windows_read_where_the_stride_divides() {
    // y[o] = sum over k of w[k] x[(o - k) / 2].
    let window = placed(&node("ConvTranspose", &[("strides", &[2])], ""), &[3], &[3]);
    assert_eq!(window.output(), [7]);
    let found: Vec<Vec<usize>> = (0..7).map(|o| patch(&window, o)).collect();
    assert_eq!(found[0], [1, 0, 0]);
    assert_eq!(found[2], [2, 0, 1]);
    assert_eq!(found[3], [0, 2, 0]);
    assert_eq!(found[6], [0, 0, 3]);
}

#[test]
fn same_puts_the_odd_padding_where_it_says() {
    // 4 positions with stride 2 and kernel 3: 2 outputs, one position of padding in all.
    let upper = placed(&node("Conv", &[("strides", &[2])], "SAME_UPPER"), &[3], &[4]);
    let lower = placed(&node("Conv", &[("strides", &[2])], "SAME_LOWER"), &[3], &[4]);
    assert_eq!((patch(&upper, 0), patch(&upper, 1)), (vec![1, 2, 3], vec![3, 4, 0]));
    assert_eq!((patch(&lower, 0), patch(&lower, 1)), (vec![0, 1, 2], vec![2, 3, 4]));
    let valid = placed(&node("Conv", &[("pads", &[1, 1])], "VALID"), &[3], &[4]);
    assert_eq!((valid.output(), patch(&valid, 0)), (&[2][..], vec![1, 2, 3]));
}

/// Windows of one to three axes, with strides, dilations and paddings.
fn windows() -> Vec<PlacedWindow> {
    [
        ("Conv", vec![3], vec![7], vec![("strides", vec![2]), ("pads", vec![1, 2])]),
        ("Conv", vec![3, 3], vec![5, 6], vec![("pads", vec![1, 1, 1, 1])]),
        ("Conv", vec![5, 5], vec![2, 3], vec![("pads", vec![2, 2, 2, 2])]),
        ("Conv", vec![3, 3], vec![6, 5], vec![("pads", vec![2, 2, 2, 2]), ("dilations", vec![2, 2])]),
        ("ConvTranspose", vec![3, 3], vec![4, 5], vec![("pads", vec![1, 1, 1, 1])]),
        (
            "Conv",
            vec![3, 2],
            vec![5, 6],
            vec![("strides", vec![1, 2]), ("pads", vec![1, 0, 1, 1]), ("dilations", vec![2, 1])],
        ),
        ("ConvTranspose", vec![3], vec![4], vec![("strides", vec![2]), ("pads", vec![1, 0])]),
        ("ConvTranspose", vec![3, 2], vec![3, 4], vec![("strides", vec![2, 3]), ("dilations", vec![1, 2])]),
        ("Conv", vec![2, 3, 2], vec![3, 5, 4], vec![("pads", vec![0, 1, 1, 1, 0, 0]), ("strides", vec![1, 2, 1])]),
        ("Conv", vec![3, 3], vec![9, 40], vec![("pads", vec![1, 1, 1, 1])]),
        ("Conv", vec![2, 2], vec![9, 11], vec![("strides", vec![3, 4])]),
        ("Conv", vec![3], vec![12], vec![("pads", vec![-2, -1])]),
        ("Conv", vec![3], vec![4], vec![("pads", vec![9, 9]), ("dilations", vec![9])]),
    ]
    .into_iter()
    .map(|(op, kernel, input, attributes)| {
        let ints: Vec<(&str, &[i64])> = attributes.iter().map(|(name, values)| (*name, values.as_slice())).collect();
        placed(&node(op, &ints, ""), &kernel, &input)
    })
    .collect()
}

#[test]
fn segments_and_sums_agree_with_single_reads() {
    for window in windows() {
        let plane: Vec<f32> = (0..window.area()).map(|at| at as f32 + 1.0).collect();
        let mut columns = vec![-1.0; window.kernel_size() * window.positions()];
        window.gather(&plane, &mut columns);
        // The transpose adds every number of the windows to where it was read, and nothing that stands in the padding.
        let mut back = vec![0.0; window.area()];
        let mut ups: Vec<f32> = (0..columns.len()).map(|at| (at * 7 % 31) as f32).collect();
        let mut expected = vec![0.0; window.area()];
        for (at, up) in ups.iter().enumerate() {
            let (k, o) = (at / window.positions(), at % window.positions());
            window.reads(o, k).into_iter().for_each(|from| expected[from] += up);
        }
        window.scatter(&mut ups, &mut back);
        assert_eq!(back, expected);
        let mut sums = vec![0.0; window.kernel_size()];
        window.sums().add(&plane, &mut sums);
        for (k, row) in columns.chunks_exact(window.positions()).enumerate() {
            let read: Vec<f32> =
                (0..window.positions()).map(|o| window.reads(o, k).map_or(0.0, |at| plane[at])).collect();
            assert_eq!(row, read);
            assert!((sums[k] - read.iter().map(|&value| f64::from(value)).sum::<f64>()).abs() < 1e-9);
        }
    }
}

/// `output, input, weight` as the definition says, added to what they hold.
fn by_definition(
    window: &PlacedWindow,
    [channels, outputs]: [usize; 2],
    [weight, input, output]: [&[f32]; 3],
    sums: &mut [Vec<f32>; 3],
) {
    let (area, positions, size) = (window.area(), window.positions(), window.kernel_size());
    for (out, channel) in (0..outputs).flat_map(|out| (0..channels).map(move |channel| (out, channel))) {
        for (k, (o, i)) in
            (0..size).flat_map(|k| (0..positions).filter_map(move |o| Some((k, (o, window.reads(o, k)?)))))
        {
            let (w, o, i) = ((out * channels + channel) * size + k, out * positions + o, channel * area + i);
            sums[0][o] += weight[w] * input[i];
            sums[1][i] += weight[w] * output[o];
            sums[2][w] += output[o] * input[i];
        }
    }
}

#[test]
fn direct_convolution_is_what_the_definition_says() {
    let numbers = |count: usize, by: usize| (0..count).map(|at| (at * by % 31) as f32 - 9.0).collect::<Vec<_>>();
    for (window, [channels, outputs]) in
        windows().into_iter().flat_map(|own| [[1, 1], [3, 2], [2, 13], [5, 8]].map(|sizes| (own.clone(), sizes)))
    {
        let own = window.direct(channels, outputs).unwrap();
        let weight = numbers(outputs * channels * window.kernel_size(), 7);
        let [forward, backward] = [own.forward(&weight), own.backward(&weight)];
        // Memory is used again for every image.
        let mut copies = [own.copies(&forward), own.copies(&backward)];
        let mut sums = [vec![], vec![], vec![3.0; weight.len()]];
        let mut expected = sums.clone();
        let images =
            [5, 11].map(|by| (numbers(channels * window.area(), by), numbers(outputs * window.positions(), by + 6)));
        for (input, output) in &images {
            (sums[0], sums[1]) = (vec![1.0; output.len()], vec![2.0; input.len()]);
            (expected[0], expected[1]) = (sums[0].clone(), sums[1].clone());
            by_definition(&window, [channels, outputs], [&weight, input, output], &mut expected);
            own.add(&forward, input, &mut sums[0], &mut copies[0]);
            own.add(&backward, output, &mut sums[1], &mut copies[1]);
            // Whole numbers: sums are exact.
            assert_eq!((&sums[0], &sums[1]), (&expected[0], &expected[1]), "{window:?}");
        }
        let images: Vec<(&[f32], &[f32])> = images.iter().map(|(input, output)| (&input[..], &output[..])).collect();
        own.add_gradient(&images, &mut sums[2]);
        assert_eq!(sums[2], expected[2], "{window:?}");
    }
    let far = Window::of(&node("Conv", &[("dilations", &[1 << 24]), ("pads", &[1 << 24, 1 << 24])], ""), Some(&[3]));
    assert!(far.unwrap().place(&[4], &[4]).unwrap().direct(1, 1).is_none());
}
