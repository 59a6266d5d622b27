//! Classes and their scores.

use std::fs;

use onnx_prune::model::SaveOptions;

use crate::support::{self, onnx_prune, text};
use crate::{data, files, json, prune, with_model};

#[test]
fn classes_are_in_the_report_and_weights_change_what_is_kept() {
    let folder = with_model("fashion_resnet.onnx");
    let run = |more: &[&str]| {
        let output = prune(folder.path(), &[&["--force", "--report", "r.json", "--samples", "200"], more].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        let plan = fs::read(folder.path().join("model.pruned.plan.json")).unwrap();
        (json(&folder.path().join("r.json")), plan, text(&output.stdout))
    };
    let (report, plan, shown) = run(&["--classes-svg", "classes.svg"]);
    let classwise = &report["classwise"];
    assert_eq!(classwise["classes"].as_array().unwrap().len(), 10);
    assert_eq!(classwise["correlation"].as_array().unwrap().len(), 10);
    assert_eq!(classwise["merges"].as_array().unwrap().len(), 9);
    for group in classwise["groups"].as_array().unwrap() {
        let cut = !group["most_at_risk"].is_null();
        let lost: Vec<f64> = group["lost"].as_array().unwrap().iter().map(|lost| lost.as_f64().unwrap()).collect();
        assert!(lost.iter().all(|&lost| if cut { lost > 0.0 } else { lost == 0.0 }), "{group}");
        assert!(!group.to_string().contains("-0.0"));
    }
    assert!(shown.contains("worst class"), "{shown}");
    let picture = fs::read_to_string(folder.path().join("classes.svg")).unwrap();
    assert!(picture.starts_with("<svg") && picture.matches("<image").count() >= 6);
    let classes = report["accuracy"]["classes"].as_array().unwrap();
    assert_eq!(classes.iter().map(|class| class["before"]["images"].as_u64().unwrap()).sum::<u64>(), 200);
    assert!(classes[0]["weight"].is_null());
    let name = classes[3]["name"].as_str().unwrap().to_owned();
    for criterion in ["stlp-ib", "obs"] {
        let (_, plain, _) = run(&["--criterion", criterion]);
        let weights = format!("{name}=1,4=1,*=0.02");
        let (report, weighted, shown) = run(&["--criterion", criterion, "--class-weights", &weights]);
        assert_ne!(plain, weighted, "{criterion}");
        let classes = report["accuracy"]["classes"].as_array().unwrap();
        assert_eq!((classes[3]["weight"].as_f64(), classes[0]["weight"].as_f64()), (Some(1.0), Some(0.02)));
        assert!(shown.contains(&format!("class {name}")) && shown.contains("precision"), "{shown}");
    }
    fs::write(folder.path().join("weights.txt"), format!("# for these two\n{name}=1\n4=1\n*=0.02\n")).unwrap();
    let (_, _, _) = run(&["--class-weights", "weights.txt"]);
    assert!(!plan.is_empty());
    let output = prune(folder.path(), &["--force", "--class-weights", "cow=2"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("the images do not have"), "{}", text(&output.stderr));
}

#[test]
fn one_image_a_class_works_and_is_said_and_so_do_images_without_labels() {
    let folder = with_model("fashion_plain.onnx");
    let output = prune(folder.path(), &["--samples", "10"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let shown = text(&output.stdout).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(shown.contains("10 classes (1 images in the smallest) were joined to 1"), "{shown}");
    // The same images in one flat folder have no labels.
    let flat = folder.path().join("flat");
    fs::create_dir(&flat).unwrap();
    for class in fs::read_dir(data("train")).unwrap() {
        let class = class.unwrap().path();
        for image in fs::read_dir(&class).unwrap().take(20) {
            let image = image.unwrap();
            let name = format!("{}_{}", class.file_name().unwrap().display(), image.file_name().display());
            fs::copy(image.path(), flat.join(name)).unwrap();
        }
    }
    let arguments =
        ["model.onnx", "--data", "flat", "--no-timing", "--engine", "tract", "--force", "--json", "--effort", "fast"];
    let output = onnx_prune(&arguments, folder.path());
    assert!(output.status.success(), "{}", text(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let notes = report["notes"].to_string();
    assert!(notes.contains("the dense model's answers stand for them"), "{notes}");
    assert!(report["classwise"]["classes"].as_array().unwrap().len() >= 8, "{report}");
}

#[test]
fn scores_are_written_as_json_and_for_numpy() {
    let folder = with_model("fashion_resnet.onnx");
    let train = data("train");
    let common = ["--data", &train, "--samples", "100", "--engine", "tract"];
    let run = |more: &[&str]| onnx_prune(&[&["score", "model.onnx"], &common[..], more].concat(), folder.path());
    let output = run(&["--classes-svg", "classes.svg"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let scores: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(scores["criterion"], "stlp-obs");
    let groups = scores["groups"].as_array().unwrap();
    assert_eq!(groups.len(), 9);
    for group in groups {
        let own: Vec<f64> = group["scores"].as_array().unwrap().iter().map(|score| score.as_f64().unwrap()).collect();
        assert!(own.iter().all(|score| *score >= 0.0 && score.is_finite()), "{group}");
        assert!(group["path"]["residual"].as_f64().unwrap() <= 1e-4 && group["path"]["converged"] == true);
        assert_eq!(group["shares"].as_array().unwrap().len(), 10);
    }
    assert_eq!(files(folder.path()), ["classes.svg", "model.onnx"]);
    assert!(run(&["-o", "scores.npz", "--quiet"]).status.success());
    let file = fs::File::open(folder.path().join("scores.npz")).unwrap();
    let mut archive = ndarray_npy::NpzReader::new(file).unwrap();
    let name = groups[0]["name"].as_str().unwrap().trim_start_matches('/');
    let own: ndarray::Array1<f64> = archive.by_name(&format!("{name}:scores")).unwrap();
    let shares: ndarray::Array2<f32> = archive.by_name(&format!("{name}:shares")).unwrap();
    assert_eq!((own.len(), shares.dim()), (24, (10, 24)));
    assert_eq!(own[0], groups[0]["scores"][0].as_f64().unwrap());
    let again = run(&["-o", "scores.npz"]);
    assert_eq!(again.status.code(), Some(2));
    assert!(text(&again.stderr).contains("--force"));
    // Norms need no images.
    let output = onnx_prune(&["score", "model.onnx", "--criterion", "fpgm", "-o", "fpgm.json"], folder.path());
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(json(&folder.path().join("fpgm.json"))["groups"][0]["path"].is_null());
}

/// A detector that lists more boxes than a class-wise criterion would take for class scores.
#[test]
fn a_model_whose_output_is_no_row_of_scores_is_pruned_with_images_too() {
    let mut b = support::Builder::new(&[1, 1, 72, 72]);
    let c = b.conv("x", 1, 16, 1);
    let c = b.relu(&c);
    let c = b.conv(&c, 16, 5, 1);
    let shape = b.ints(&[1, 5, -1]);
    let c = b.node("Reshape", &[&c, &shape], &[]);
    let boxes = b.node("Transpose", &[&c], &[("perm", vec![0, 2, 1])]);
    let folder = tempfile::tempdir().unwrap();
    b.model(&boxes).save(&folder.path().join("model.onnx"), &SaveOptions::default()).unwrap();
    for criterion in ["stlp-obs", "stlp-ib", "sglp-ib", "apib"] {
        let output = prune(folder.path(), &["--samples", "20", "--criterion", criterion, "--force"]);
        assert_eq!(output.status.code(), Some(0), "{criterion}: {}", text(&output.stderr));
    }
}
