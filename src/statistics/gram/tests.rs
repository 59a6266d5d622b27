use ndarray::Array3;

use super::*;

/// Features with some structure and no ties; channel 2 is constant.
fn features(images: usize, channels: usize, depth: usize) -> Array3<f32> {
    Array3::from_shape_fn((images, channels, depth), |(i, j, a)| {
        if j == 2 {
            1.5
        } else {
            u16::try_from((i * 37 + j * 101 + a * 59 + i * i * j) % 97).map(f32::from).unwrap() / 31.0
        }
    })
}

fn factors(images: usize, classes: usize) -> Vec<DMatrix<f64>> {
    let indicator = |k: usize| DMatrix::from_fn(images, 1, |i, _| if i % classes == k { 1.0 } else { 0.0 });
    (0..classes).map(|k| centred(indicator(k))).collect()
}

/// `H K H` for every channel, entry by entry: slow and obvious.
fn reference(features: &Array3<f32>, kernel: Kernel) -> Vec<DMatrix<f64>> {
    let (n, c, d) = features.dim();
    let images: Vec<usize> = (0..n).collect();
    let gammas = kernel.gammas(features.view(), &images, None);
    let centring = DMatrix::identity(n, n) - DMatrix::from_element(n, n, 1.0 / n as f64);
    let entry = |j: usize, a: usize, b: usize| {
        let pairs = (0..d).map(|f| (f64::from(features[(a, j, f)]), f64::from(features[(b, j, f)])));
        match kernel {
            Kernel::Linear => pairs.map(|(x, y)| x * y).sum(),
            _ => kernel.at(gammas[j], pairs.map(|(x, y)| (x - y).powi(2)).sum()),
        }
    };
    (0..c).map(|j| &centring * DMatrix::from_fn(n, n, |a, b| entry(j, a, b)) * &centring).collect()
}

#[test]
fn streamed_statistics_equal_explicit_centred_products() {
    // More than two tiles of images, the last not full.
    let (features, factors) = (features(150, 5, 3), factors(150, 4));
    for kernel in [Kernel::Gaussian, Kernel::GaussianMedian, Kernel::GaussianD, Kernel::LaplaceD, Kernel::Linear] {
        let kernels = reference(&features, kernel);
        let result = gram(features.view(), &factors, kernel, &Blocks::All, None).unwrap();
        let scale = result.quadratic.amax();
        for (j, first) in kernels.iter().enumerate() {
            for (l, second) in kernels.iter().enumerate() {
                assert!((result.quadratic[(j, l)] - first.dot(second)).abs() < 1e-10 * scale, "{kernel:?} {j} {l}");
            }
            for (k, factor) in factors.iter().enumerate() {
                let expected = first.dot(&(factor * factor.transpose()));
                assert!((result.linear[(j, k)] - expected).abs() < 1e-10 * scale, "{kernel:?} {j} {k}");
            }
        }
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let (features, factors) = (features(300, 40, 16), factors(300, 5));
    for kernel in [Kernel::Gaussian, Kernel::Linear] {
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| gram(features.view(), &factors, kernel, &Blocks::All, None).unwrap())
        };
        let one = run(1);
        for threads in [2, 3] {
            assert_eq!(one, run(threads), "{kernel:?}, {threads} threads");
        }
    }
}

#[test]
fn blocks_add_up_and_scales_multiply() {
    let (features, factors) = (features(20, 3, 2), factors(20, 2));
    let labels: Vec<usize> = (0..20).map(|image| image % 2).collect();
    let blocks = stratified_blocks(&labels, 7);
    assert_eq!(blocks.iter().map(Vec::len).collect::<Vec<_>>(), [10, 10]);
    let all = gram(features.view(), &factors, Kernel::Gaussian, &Blocks::Inside(blocks.clone()), None).unwrap();
    let mut sum = DMatrix::zeros(3, 3);
    for block in blocks {
        sum += gram(features.view(), &factors, Kernel::Gaussian, &Blocks::Inside(vec![block]), None).unwrap().quadratic;
    }
    assert!((&all.quadratic - sum).amax() < 1e-12);
    let plain = gram(features.view(), &factors, Kernel::Linear, &Blocks::All, None).unwrap();
    let scaled = gram(features.view(), &factors, Kernel::Linear, &Blocks::All, Some(&[2.0, 1.0, 1.0])).unwrap();
    assert!((scaled.quadratic[(0, 0)] / plain.quadratic[(0, 0)] - 16.0).abs() < 1e-9);
    assert!((scaled.quadratic[(0, 1)] / plain.quadratic[(0, 1)] - 4.0).abs() < 1e-9);
}

#[test]
fn bad_input_is_an_error() {
    let one = features(1, 2, 1);
    let result = gram(one.view(), &[], Kernel::Gaussian, &Blocks::All, None);
    assert!(matches!(result, Err(StatisticsError::Images { .. })));
    let mut nan = features(3, 2, 1);
    nan[(0, 0, 0)] = f32::NAN;
    assert_eq!(gram(nan.view(), &[], Kernel::Linear, &Blocks::All, None), Err(StatisticsError::NotFinite));
    let result = gram(features(3, 2, 1).view(), &factors(4, 2), Kernel::Linear, &Blocks::All, None);
    assert_eq!(result, Err(StatisticsError::Images { features: 3, responses: 4 }));
}
