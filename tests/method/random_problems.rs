//! Two hundred random problems of all kinds and sizes, and the reference implementation on some of them.
//!
//! A duality gap proves more than a comparison: it bounds the objective minus its minimum, whoever computed either.

use std::process::Command;

use nalgebra::DMatrix;
use onnx_prune::score::relatedness::{GraphOptions, Relatedness};
use onnx_prune::score::solver::{
    self, Graph, L1Norm, PathOptions, Penalty, PerResponse, Problem, Quadratic, Sign, StopRule, Tree,
};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use rayon::prelude::*;
use serde_json::{Value, json};

use crate::support;

struct Draw(ChaCha8Rng);

impl Draw {
    fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    fn uniform(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Nearly normal, of variance 1.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }

    /// Between the two, equally likely in every octave.
    fn size(&mut self, low: f64, high: f64) -> usize {
        (low * (high / low).powf(self.uniform())).round() as usize
    }

    fn matrix(&mut self, rows: usize, columns: usize) -> DMatrix<f64> {
        DMatrix::from_fn(rows, columns, |_, _| self.normal())
    }
}

/// What the contributions of correlated channels look like: a few latent directions, and noise.
fn form(draw: &mut Draw, rows: usize, strength: &[f64]) -> DMatrix<f64> {
    let latent = draw.matrix(8, rows);
    let noise = draw.matrix(12, rows) * 0.6;
    let mut all = latent.transpose() * &latent + noise.transpose() * &noise;
    for a in 0..rows {
        for b in 0..rows {
            all[(a, b)] *= strength[a] * strength[b] / 20.0;
        }
    }
    let ridge = 1e-4 * all.diagonal().mean();
    all + DMatrix::identity(rows, rows) * ridge
}

struct Case {
    quadratic: Quadratic,
    linear: DMatrix<f64>,
    constant: f64,
    penalty: Box<dyn Penalty>,
    share: f64,
    what: String,
    related: Relatedness,
}

fn case(number: u64) -> Case {
    let mut draw = Draw::new(number);
    // The largest sizes once, the rest spread over all octaves.
    let (rows, classes) = match number {
        0 => (512, 100),
        1 => (512, 10),
        2 => (64, 100),
        _ => (draw.size(4.0, 512.0), draw.size(1.0, 100.0)),
    };
    let strength: Vec<f64> = (0..rows).map(|_| 0.3 + draw.uniform()).collect();
    let per_response = number % 2 == 1 && rows * rows * classes <= 6_000_000;
    // The constant makes the loss a sum of squares.
    let (quadratic, linear, constant): (Quadratic, _, f64) = if per_response {
        let forms: Vec<DMatrix<f64>> = (0..classes).map(|_| form(&mut draw, rows, &strength)).collect();
        // All that the rows contribute is to be explained: the row sums.
        let linear = DMatrix::from_fn(rows, classes, |row, class| forms[class].row(row).sum());
        let constant = linear.sum();
        (PerResponse::from_fn(rows, classes, |a, b, k| forms[k][(a, b)]).into(), linear, constant)
    } else {
        let form = form(&mut draw, rows, &strength);
        let wanted = DMatrix::from_fn(rows, classes, |_, _| draw.normal().max(-0.5));
        let linear = &form * &wanted;
        let constant = linear.dot(&wanted);
        (form.into(), linear, constant)
    };
    let related = Relatedness::from_class_means(
        ndarray::Array2::from_shape_fn((classes * 2, 6), |_| draw.normal() as f32).view(),
        &(0..classes * 2).map(|image| image % classes).collect::<Vec<_>>(),
        classes,
    );
    let sign = if draw.uniform() < 0.7 { Sign::NonNegative } else { Sign::Free };
    let options = GraphOptions { threshold: 0.2, max_degree: 4, negative: sign == Sign::Free, power: 1 };
    let (name, penalty): (_, Box<dyn Penalty>) = match number % 3 {
        0 => ("l1", Box::new(L1Norm(sign))),
        1 => ("tree", Box::new(Tree::new(related.tree_groups(), sign))),
        _ => ("graph", Box::new(Graph::new(related.edges(options), 1.0, sign))),
    };
    let what = format!("{number}: {name} {sign:?}, c = {rows}, K = {classes}, per response {per_response}");
    Case { quadratic, linear, constant, penalty, share: draw.size(50.0, 800.0) as f64 / 1000.0, what, related }
}

/// KKT residual and duality gap of 1e-6, relative to the largest lambda and to the objective without coefficients.
#[test]
fn two_hundred_random_problems_are_solved() {
    (0..200_u64).into_par_iter().for_each(|number| {
        let Case { quadratic, linear, constant, penalty, share, what, related } = case(number);
        let mut totals = vec![0.0; related.classes()];
        for group in related.tree_groups() {
            group.leaves.iter().for_each(|&leaf| totals[leaf] += group.weight);
        }
        assert!(totals.iter().all(|total: &f64| (total - 1.0).abs() < 1e-12), "{what}: weights of the tree");
        let problem = Problem::new(quadratic, &linear, constant, &*penalty);
        let start = DMatrix::zeros(linear.ncols(), linear.nrows());
        let largest = problem.lambda_max();
        let stop = StopRule { tolerance: 1e-8 * largest, most: 50_000 };
        let solution = solver::bcd(&problem, share * largest, start.clone(), stop);
        assert!(solution.converged, "{what}");
        let residual = problem.residual(&solution.coefficients, share * largest) / largest;
        assert!(residual <= 1e-6, "{what}: residual {residual:e}");
        let gap = problem.gap(&solution.coefficients, share * largest) / (0.5 * constant);
        assert!((-1e-9..=1e-6).contains(&gap), "{what}: gap {gap:e}");
    });
}

/// The path with its screening rule ends where a cold start ends, and entry values fall with the strength of a row.
#[test]
fn paths_with_a_matrix_per_response_end_where_a_cold_start_does() {
    for number in [1, 7, 13, 19, 25] {
        let Case { quadratic, linear, constant, penalty, what, .. } = case(number);
        let problem = Problem::new(quadratic, &linear, constant, &*penalty);
        let options = PathOptions { points: 12, ratio: 0.05, tolerance: 1e-9, ..PathOptions::default() };
        let solved = solver::path(&problem, options);
        assert!(solved.converged && solved.residual < 1e-8, "{what}: {:e}", solved.residual);
        let last = solved.lambdas[11];
        let stop = StopRule { tolerance: 1e-9 * solved.lambdas[0], most: 50_000 };
        let cold = solver::bcd(&problem, last, DMatrix::zeros(linear.ncols(), linear.nrows()), stop);
        let difference = problem.objective(&cold.coefficients, last) - solved.objectives[11];
        assert!(difference.abs() <= 1e-8 * constant, "{what}: {difference:e}");
        let live = |row: usize| cold.coefficients.column(row).amax() > 1e-7;
        for row in 0..problem.rows() {
            assert!(solved.entries[row] <= solved.lambdas[0] * (1.0 + 1e-12), "{what}");
            assert!(!live(row) || solved.entries[row] >= last, "{what}: row {row}");
        }
    }
}

/// Objectives of the reference implementation, 1e-6 relative.
#[test]
fn the_reference_reaches_the_same_objectives() {
    let name = "the_reference_reaches_the_same_objectives";
    let Some(script) = support::shared_part(name, "design/method_reference.py") else { return };
    let Some(python) = support::python(name, "numpy") else { return };
    let folder = script.parent().unwrap();
    let rows = |matrix: &DMatrix<f64>| -> Vec<Vec<f64>> {
        matrix.row_iter().map(|row| row.iter().copied().collect()).collect()
    };
    let (mut problems, mut expected) = (Vec::new(), Vec::new());
    for number in (3..200).filter(|number| number % 7 == 0) {
        let Case { quadratic, linear, constant, penalty, share, what, related } = case(number);
        let (count, classes) = (quadratic.rows(), linear.ncols());
        if count > 60 || classes > 12 {
            continue;
        }
        let forms: Vec<_> =
            (0..classes).map(|k| rows(&DMatrix::from_fn(count, count, |a, b| quadratic.at(a, b, k)))).collect();
        let problem = Problem::new(quadratic, &linear, constant, &*penalty);
        let lambda = share * problem.lambda_max();
        let stop = StopRule { tolerance: 1e-10 * problem.lambda_max(), most: 100_000 };
        let solution = solver::bcd(&problem, lambda, DMatrix::zeros(classes, count), stop);
        problems.push(json!({
            "Q": forms, "R": rows(&linear), "C": rows(related.correlation()), "lam": lambda,
            "kind": what.split_whitespace().nth(1), "nonneg": what.contains("NonNegative"),
        }));
        expected.push((problem.objective(&solution.coefficients, lambda) - 0.5 * constant, constant, what));
    }
    assert!(expected.len() >= 5, "{}", expected.len());
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), Value::from(problems).to_string()).unwrap();
    let output = Command::new(python)
        .args(["-c", REFERENCE, &folder.display().to_string(), &file.path().display().to_string()])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found: Vec<f64> = serde_json::from_slice(&output.stdout).unwrap();
    for (found, (expected, constant, what)) in found.iter().zip(expected) {
        assert!((found - expected).abs() <= 1e-6 * constant, "{what}: {found} and {expected}");
    }
}

/// Proximal gradient with the reference's own penalties, relatedness and momentum, one matrix for each class.
const REFERENCE: &str = r#"
import sys, json
sys.path.insert(0, sys.argv[1]); sys.dont_write_bytecode = True
import numpy as np, method_reference as mr
out = []
for p in json.load(open(sys.argv[2])):
    Q, R, C, lam = np.array(p["Q"]), np.array(p["R"]), np.array(p["C"]), p["lam"]
    if p["kind"] == "l1": pen = mr.L1(p["nonneg"])
    elif p["kind"] == "tree": pen = mr.Tree(mr.tree_groups(mr.upgma(C), len(C)), p["nonneg"])
    else: pen = mr.Graph(mr.graph_edges(C, rho=0.2, max_degree=4, nonneg=p["nonneg"]), 1.0, p["nonneg"])
    image = lambda B: np.einsum("kjl,lk->jk", Q, B)
    L = max(np.linalg.eigvalsh(q)[-1] for q in Q) * (1 + 1e-12)
    B = np.zeros_like(R); Y = B; a = 1.0
    for it in range(20000):
        N = pen.prox(Y + (R - image(Y)) / L, lam / L)
        if np.sum((Y - N) * (N - B)) > 0: a, Y = 1.0, N
        else:
            a1 = 0.5 * (1 + np.sqrt(1 + 4 * a * a)); Y = N + (a - 1) / a1 * (N - B); a = a1
        done = np.abs(N - B).max() <= 1e-9 * max(np.abs(N).max(), 1e-12); B = N
        if done: break
    out.append(float(0.5 * np.sum(B * image(B)) - np.sum(B * R) + lam * np.sum(pen.value(B))))
print(json.dumps(out))
"#;
