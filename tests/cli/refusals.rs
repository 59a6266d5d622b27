//! What is refused, and how that is said.

use std::fs;

use onnx_prune::model::SaveOptions;

use crate::support::{self, onnx_prune, text};
use crate::{data, refused, with_model};

#[test]
fn bad_input_is_one_clear_message_and_exit_code_2() {
    let folder = with_model("fashion_resnet.onnx");
    let at = folder.path();
    fs::write(at.join("text.onnx"), "not a model").unwrap();
    fs::write(at.join("empty.onnx"), "").unwrap();
    fs::create_dir(at.join("empty")).unwrap();
    fs::create_dir(at.join("texts")).unwrap();
    fs::write(at.join("texts/readme.txt"), "no image").unwrap();
    fs::write(at.join("exists.onnx"), "mine").unwrap();
    let train = data("train");
    assert!(refused(at, &["missing.onnx", "--data", &train], 2).contains(support::MISSING));
    assert!(refused(at, &["text.onnx", "--criterion", "l2"], 2).contains("is not an ONNX model"));
    assert!(refused(at, &["empty.onnx", "--criterion", "l2"], 2).contains("it is empty"));
    assert!(refused(at, &["empty", "--criterion", "l2"], 2).contains("directory"));
    assert!(refused(at, &["model.onnx", "--data", "nowhere"], 2).contains(support::MISSING));
    assert!(refused(at, &["model.onnx", "--data", "empty"], 2).contains("no calibration images"));
    assert!(refused(at, &["model.onnx", "--data", "texts"], 2).contains("1 files"));
    assert!(refused(at, &["model.onnx", "--criterion", "stlp-ib"], 2).contains("needs images"));
    assert!(refused(at, &["model.onnx", "--criterion", "best"], 2).contains("unknown criterion"));
    assert!(refused(at, &["model.onnx", "--criterion", "l2", "-o", "model.onnx"], 2).contains("it is the input"));
    assert!(refused(at, &["model.onnx", "--criterion", "l2", "-o", "exists.onnx"], 2).contains("--force"));
    assert!(refused(at, &["model.onnx", "--criterion", "l2", "-o", "no/folder.onnx"], 2).contains("does not exist"));
    assert!(refused(at, &["model.onnx", "--criterion", "l2", "-o", "-"], 2).contains("standard output"));
    assert!(refused(at, &["model.onnx", "--criterion", "l2", "--dim", "nothing=4"], 2).contains("names no open size"));
    assert!(refused(at, &["model.onnx", "--criterion", "l2", "--ignore", "nothing*"], 2).contains("matches no node"));
    assert!(refused(at, &["model.onnx", "--target-macs", "much"], 2).contains("share such as 0.5"));
    assert!(refused(at, &["model.onnx", "--target-macs", "0.5", "--ratio", "0.5"], 2).contains("cannot be used with"));
    assert!(refused(at, &["model.onnx", "--ignore", "*", "--criterion", "l2"], 2).contains("nothing can be pruned"));
    assert!(
        refused(at, &["model.onnx", "--engine", "tract", "--provider", "cuda", "--criterion", "l2"], 2)
            .contains("cuda")
    );
    assert!(
        refused(at, &["model.onnx", "--onnxruntime", "text.onnx", "--criterion", "l2"], 2).contains("cannot be used")
    );
    assert!(refused(at, &["apply", "model.onnx", "text.onnx", "-o", "x.onnx"], 2).contains("not a plan"));
}

#[test]
fn wrong_preprocessing_is_noticed() {
    let folder = with_model("fashion_resnet.onnx");
    let train = data("train");
    let message =
        refused(folder.path(), &["model.onnx", "--data", &train, "--engine", "tract", "--mean", "40", "--std", "3"], 2);
    assert!(message.contains("near chance") && message.contains("preprocessing"), "{message}");
}

#[test]
fn unreadable_images_are_skipped_or_fatal() {
    let folder = with_model("fashion_resnet.onnx");
    for class in fs::read_dir(data("train")).unwrap().flatten() {
        let target = folder.path().join("images").join(class.file_name());
        fs::create_dir_all(&target).unwrap();
        for image in fs::read_dir(class.path()).unwrap().flatten().take(8) {
            fs::copy(image.path(), target.join(image.file_name())).unwrap();
        }
        fs::write(target.join("broken.png"), "no png").unwrap();
    }
    let arguments = ["model.onnx", "--data", "images", "--engine", "tract", "--no-timing", "--criterion", "l2"];
    let strict: Vec<&str> = arguments.iter().copied().chain(["--strict"]).collect();
    assert!(refused(folder.path(), &strict, 2).contains("broken.png"));
    let output = onnx_prune(&arguments, folder.path());
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("10 images could not be read"), "{}", text(&output.stdout));
}

#[test]
fn an_engine_that_cannot_run_the_model_is_named_as_the_cause() {
    let folder = tempfile::tempdir().unwrap();
    // An operator of nobody's: the analysis protects what it reads, the engine refuses it.
    let mut b = support::Builder::new(&[1, 4, 6, 6]);
    let a = b.conv("x", 4, 8, 1);
    let c = b.conv(&a, 8, 8, 1);
    let last = b.node("NobodysOperator", &[&c], &[]);
    b.model(&last).save(&folder.path().join("model.onnx"), &SaveOptions::default()).unwrap();
    let arguments = ["model.onnx", "--criterion", "l2", "--ratio", "0.3", "--engine", "tract"];
    let message = refused(folder.path(), &arguments, 2);
    assert!(message.contains("does not run the model, pruned or not"), "{message}");
    assert!(message.contains("pip install onnxruntime"), "{message}");
}
