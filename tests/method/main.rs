//! The pinned problems of the method's reference implementation, number by number.
//!
//! They are read from `../shared/design/fixtures`; a checkout without that folder skips these tests (the unit tests
//! of `statistics` and `score` check the same code on small cases).

#![allow(
    missing_docs,
    clippy::pedantic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test binary"
)]

mod random_problems;
#[path = "../support/mod.rs"]
mod support;

use nalgebra::DMatrix;
use ndarray::{Array2, Array3};
use onnx_prune::score::relatedness::{Edge, GraphOptions, Relatedness, TreeGroup};
use onnx_prune::score::responses::Responses;
use onnx_prune::score::solver::{self, Graph, L1Norm, PathOptions, Penalty, Problem, Sign, StopRule, Tree};
use onnx_prune::statistics::{self, Blocks, Kernel, Normalisation};
use serde_json::Value;

fn fixture(test: &str, name: &str) -> Option<Value> {
    let path = support::shared_part(test, &format!("design/fixtures/{name}"))?;
    Some(serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap())
}

fn list(value: &Value) -> Vec<Value> {
    value.as_array().unwrap().clone()
}

fn numbers(value: &Value) -> Vec<f64> {
    list(value).iter().map(|item| item.as_f64().unwrap()).collect()
}

fn indices(value: &Value) -> Vec<usize> {
    list(value).iter().map(index).collect()
}

fn index(value: &Value) -> usize {
    usize::try_from(value.as_u64().unwrap()).unwrap()
}

fn matrix(value: &Value) -> DMatrix<f64> {
    let rows: Vec<Vec<f64>> = list(value).iter().map(numbers).collect();
    DMatrix::from_fn(rows.len(), rows.first().map_or(0, Vec::len), |row, column| rows[row][column])
}

fn single(value: &Value) -> Array2<f32> {
    let matrix = matrix(value);
    Array2::from_shape_fn(matrix.shape(), |at| matrix[at] as f32)
}

#[track_caller]
fn close(found: &DMatrix<f64>, expected: &Value, tolerance: f64, what: &str) {
    let difference = (found - matrix(expected)).amax();
    assert!(difference <= tolerance, "{what}: {difference:e}");
}

fn kernel(name: &str) -> Kernel {
    match name {
        "gaussian" => Kernel::Gaussian,
        "gaussian-d" => Kernel::GaussianD,
        "laplace-d" => Kernel::LaplaceD,
        "linear" => Kernel::Linear,
        other => panic!("unknown kernel {other}"),
    }
}

/// Tolerance 1e-9: the reference sums in another order, in the same precision.
#[test]
fn statistics_equal_the_reference() {
    let Some(fixture) = fixture("statistics_equal_the_reference", "statistics.json") else { return };
    let images: Vec<DMatrix<f64>> = list(&fixture["X"]).iter().map(matrix).collect();
    let shape = (images.len(), images[0].nrows(), images[0].ncols());
    let features = Array3::from_shape_fn(shape, |(i, j, a)| images[i][(j, a)]);
    let labels = indices(&fixture["labels"]);
    let blocks: Vec<Vec<usize>> = list(&fixture["blocks"]).iter().map(indices).collect();
    assert_eq!(statistics::stratified_blocks(&labels, 7), blocks);
    let responses = Responses::from_labels(&labels, index(&fixture["K"])).unwrap();
    let cases = list(&fixture["cases"]);
    assert_eq!(cases.len(), 8);
    for case in &cases {
        let what = format!("{} {}", case["kernel"], case["block"]);
        let pairs = if case["block"].as_bool().unwrap() { Blocks::Inside(blocks.clone()) } else { Blocks::All };
        let kernel = kernel(case["kernel"].as_str().unwrap());
        let raw = statistics::gram(features.view(), responses.classes(), kernel, &pairs, None).unwrap();
        close(&raw.quadratic, &case["Q"], 1e-9, &what);
        close(&raw.linear, &case["R"], 1e-9, &what);
        for (norm, expected) in raw.norms.iter().zip(numbers(&case["yk"])) {
            assert!((norm - expected).abs() < 1e-9);
        }
        let normal = statistics::normalise(&raw, &[1.0; 3], Normalisation::Frobenius);
        close(&normal.quadratic, &case["Qn"], 1e-9, &what);
        close(&normal.linear, &case["Rn"], 1e-9, &what);
        assert!((normal.constant - case["yy"].as_f64().unwrap()).abs() < 1e-9);
        let alive: Vec<Value> = normal.alive.iter().map(|&alive| Value::from(alive)).collect();
        assert_eq!(alive, list(&case["alive"]), "{what}");
        let energy = statistics::normalise(&raw, &[0.5, 1.0, 1.5], Normalisation::Energy);
        close(&energy.quadratic, &case["Qe"], 1e-9, &what);
        close(&energy.linear, &case["Re_w"], 1e-9, &what);
    }
    let whole = std::slice::from_ref(responses.whole());
    let raw = statistics::gram(features.view(), whole, Kernel::Gaussian, &Blocks::All, None).unwrap();
    close(&raw.linear, &fixture["response0"]["R"], 1e-9, "response 0");
    assert!((raw.norms[0] - fixture["response0"]["yk"][0].as_f64().unwrap()).abs() < 1e-9);
}

/// Features are stored in single precision here and in double precision in the fixture: 1e-6 for correlations; what follows
/// from a correlation is compared to 1e-12.
#[test]
fn relatedness_equals_the_reference() {
    let Some(fixture) = fixture("relatedness_equals_the_reference", "relatedness.json") else { return };
    for case in &list(&fixture) {
        let classes = index(&case["K"]);
        let labels = indices(&case["labels"]);
        let means = Relatedness::from_class_means(single(&case["F"]).view(), &labels, classes);
        close(means.correlation(), &case["C"], 1e-6, "class means");
        close(Relatedness::from_outputs(single(&case["Z"]).view()).correlation(), &case["CZ"], 1e-6, "outputs");
        let exact = Relatedness::from_correlation(matrix(&case["C"])).unwrap();
        let merges = exact.merges();
        assert_eq!(merges.len(), list(&case["merges"]).len());
        for (merge, expected) in merges.iter().zip(list(&case["merges"])) {
            assert_eq!((merge.first, merge.second), (index(&expected[0]), index(&expected[1])));
            assert!((merge.height - expected[2].as_f64().unwrap()).abs() < 1e-12);
        }
        let groups = exact.tree_groups();
        let expected = groups_of(&case["groups"]);
        assert_eq!(groups.len(), expected.len());
        let mut totals = vec![0.0; classes];
        for (group, expected) in groups.iter().zip(&expected) {
            assert_eq!(group.leaves, expected.leaves);
            assert!((group.weight - expected.weight).abs() < 1e-12);
            group.leaves.iter().for_each(|&leaf| totals[leaf] += group.weight);
        }
        assert!(totals.iter().all(|total: &f64| (total - 1.0).abs() < 1e-12), "{totals:?}");
        for (name, max_degree, negative) in [("edges_nonneg", 8, false), ("edges_signed", 3, true)] {
            let edges = exact.edges(GraphOptions { threshold: 0.3, max_degree, negative, power: 1 });
            let expected = list(&case[name]);
            assert_eq!(edges.len(), expected.len(), "{name}");
            for (edge, expected) in edges.iter().zip(&expected) {
                assert_eq!((edge.first, edge.second), (index(&expected[0]), index(&expected[1])));
                assert_eq!(edge.sign, expected[2].as_f64().unwrap());
                assert!((edge.weight - expected[3].as_f64().unwrap()).abs() < 1e-12);
            }
        }
    }
}

fn groups_of(value: &Value) -> Vec<TreeGroup> {
    let group = |item: &Value| TreeGroup { leaves: indices(&item["leaves"]), weight: item["weight"].as_f64().unwrap() };
    list(value).iter().map(group).collect()
}

fn penalty(case: &Value) -> Box<dyn Penalty> {
    let sign = if case["nonneg"].as_bool().unwrap() { Sign::NonNegative } else { Sign::Free };
    match case["kind"].as_str().unwrap() {
        "l1" => Box::new(L1Norm(sign)),
        "tree" => Box::new(Tree::new(groups_of(&case["groups"]), sign)),
        _ => {
            let edge = |item: &Value| Edge {
                first: index(&item["m"]),
                second: index(&item["l"]),
                sign: item["sign"].as_f64().unwrap(),
                weight: item["weight"].as_f64().unwrap(),
            };
            let edges = list(&case["edges"]).iter().map(edge).collect();
            Box::new(Graph::new(edges, case["theta"].as_f64().unwrap(), sign))
        }
    }
}

/// Coefficients 1e-6, objectives 1e-10, lambda 1e-9, residuals 1e-8 of lambda, entry values 1e-6.
#[test]
fn solutions_equal_the_reference() {
    let Some(fixture) = fixture("solutions_equal_the_reference", "solver.json") else { return };
    let mut paths = 0;
    for record in &list(&fixture) {
        for case in &list(&record["cases"]) {
            let what = format!(
                "c {} K {} {} nonneg {} lam {}",
                record["c"], record["K"], case["kind"], case["nonneg"], case["lam"]
            );
            let penalty = penalty(case);
            let constant = record["yy"].as_f64().unwrap();
            let mut problem = Problem::new(matrix(&record["Q"]), &matrix(&record["R"]), constant, &*penalty);
            problem.omega = numbers(&record["omega"]);
            let largest = problem.lambda_max();
            assert!((largest - case["lambda_max"].as_f64().unwrap()).abs() < 1e-9, "{what}: {largest}");
            let lambda = case["lam"].as_f64().unwrap();
            let stop = StopRule { tolerance: 1e-11 * largest, most: 200_000 };
            let start = DMatrix::zeros(problem.linear.nrows(), problem.rows());
            for (solver, solution) in [
                ("bcd", solver::bcd(&problem, lambda, start.clone(), stop)),
                ("fista", solver::fista(&problem, lambda, start.clone(), stop)),
            ] {
                assert!(solution.converged, "{solver} {what}");
                close(&solution.coefficients.transpose(), &case["B"], 1e-6, &format!("{solver} {what}"));
                let objective = problem.objective(&solution.coefficients, lambda);
                assert!(
                    (objective - case["objective"].as_f64().unwrap()).abs() < 1e-10,
                    "{solver} {what}: {objective}"
                );
                let residual = problem.residual(&solution.coefficients, lambda);
                assert!(residual <= 1e-8 * largest, "{solver} {what}: residual {residual:e}");
                let gap = problem.gap(&solution.coefficients, lambda);
                assert!(gap.abs() < 1e-8, "{solver} {what}: gap {gap:e}");
                if let Some(conic) = case["conic_objective"].as_f64() {
                    assert!(objective - conic < 1e-8, "{solver} {what}: above the conic solver");
                }
            }
            let expected = &case["path"];
            if expected.is_object() {
                let points = index(&expected["points"]);
                let ratio = expected["ratio"].as_f64().unwrap();
                let solved = solver::path(
                    &problem,
                    PathOptions { points, ratio, tolerance: 1e-11, most_sweeps: 200_000, until_entered: false },
                );
                for (row, (entry, expected)) in solved.entries.iter().zip(numbers(&expected["entry"])).enumerate() {
                    assert!((entry - expected).abs() < 1e-6, "{what}: entry of row {row}: {entry} and {expected}");
                }
                assert_eq!(solved.active, indices(&expected["active"]), "{what}");
                for (objective, expected) in solved.objectives.iter().zip(numbers(&expected["objective"])) {
                    assert!((objective - expected).abs() < 1e-10, "{what}");
                }
                paths += 1;
            }
        }
    }
    assert!(paths > 0);
}

/// One response is the ordinary lasso; 1e-6.
#[test]
fn one_response_equals_scikit_learn() {
    let Some(fixture) = fixture("one_response_equals_scikit_learn", "lasso_sklearn.json") else { return };
    for case in &list(&fixture) {
        let design = matrix(&case["A"]);
        let target = numbers(&case["t"]);
        let samples = target.len() as f64;
        let linear = design.transpose() * DMatrix::from_vec(target.len(), 1, target) / samples;
        let sign = if case["positive"].as_bool().unwrap() { Sign::NonNegative } else { Sign::Free };
        let penalty = L1Norm(sign);
        let problem = Problem::new(design.transpose() * &design / samples, &linear, 0.0, &penalty);
        let stop = StopRule { tolerance: 1e-13, most: 200_000 };
        let solution = solver::bcd(&problem, case["alpha"].as_f64().unwrap(), DMatrix::zeros(1, design.ncols()), stop);
        for (found, expected) in solution.coefficients.iter().zip(numbers(&case["coef"])) {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
    }
}
