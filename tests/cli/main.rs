//! The binary as a user runs it: exit codes, files, output. The embedded engine runs everywhere.
#![allow(
    missing_docs,
    clippy::pedantic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test binary"
)]

mod support;

use std::fs;
use std::path::Path;

use onnx_prune::model::SaveOptions;
use support::{onnx_prune, root, text};

/// Copies a model of models/ into a temporary folder.
fn with_model(name: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(root().join("models").join(name), folder.path().join("model.onnx")).unwrap();
    folder
}

fn data(part: &str) -> String {
    root().join("calibration").join(part).display().to_string()
}

fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn prune(folder: &Path, more: &[&str]) -> std::process::Output {
    let (train, eval) = (data("train"), data("eval"));
    let mut arguments = vec![
        "model.onnx",
        "--data",
        &train,
        "--eval",
        &eval,
        "--eval-samples",
        "200",
        "--no-timing",
        "--engine",
        "tract",
    ];
    if !more.contains(&"--effort") {
        arguments.extend(["--effort", "fast"]);
    }
    arguments.extend(more);
    onnx_prune(&arguments, folder)
}

#[test]
fn one_command_prunes_a_real_classifier() {
    for name in ["fashion_resnet.onnx", "fashion_plain.onnx"] {
        let folder = with_model(name);
        let output = prune(folder.path(), &["--report", "report.json", "--round-to", "1"]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        assert_eq!(files(folder.path()), ["model.onnx", "model.pruned.onnx", "model.pruned.plan.json", "report.json"]);
        let report: serde_json::Value =
            serde_json::from_slice(&fs::read(folder.path().join("report.json")).unwrap()).unwrap();
        let macs = &report["macs"];
        let share = macs["after"].as_f64().unwrap() / macs["before"].as_f64().unwrap();
        assert!((0.495..=0.5).contains(&share), "{name}: MACs x{share}");
        assert!(report["accuracy"]["before"].as_f64().unwrap() > 88.0);
        // Chance is 10 %: a pruned network that lost its way is near it.
        assert!(report["accuracy"]["after"].as_f64().unwrap() > 60.0, "{report}");
        assert!(report["verification"]["max_error"].as_f64().unwrap() <= 1e-4);
        assert_eq!(report["schema_version"], 1);
        let shown = text(&output.stdout);
        assert!(shown.starts_with("MACs x0."), "{shown}");
        assert!(!shown.contains('\u{1b}'), "colour on a pipe");
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes_for_any_number_of_threads() {
    let results: Vec<(Vec<u8>, Vec<u8>)> = ["1", "2"]
        .into_iter()
        .map(|threads| {
            let folder = with_model("fashion_plain.onnx");
            let output = std::process::Command::new(env!("CARGO_BIN_EXE_onnx-prune"))
                .args(["model.onnx", "--data", &data("train"), "--engine", "tract", "--no-timing", "--samples", "300"])
                .current_dir(folder.path())
                .env("RAYON_NUM_THREADS", threads)
                .output()
                .unwrap();
            assert!(output.status.success(), "{}", text(&output.stderr));
            let read = |name: &str| fs::read(folder.path().join(name)).unwrap();
            (read("model.pruned.onnx"), read("model.pruned.plan.json"))
        })
        .collect();
    assert!(results[0] == results[1]);
}

#[test]
fn a_plan_reproduces_an_uncompensated_run_and_its_masked_twin_agrees() {
    let folder = with_model("fashion_resnet.onnx");
    let output = prune(folder.path(), &["--compensate", "none", "--criterion", "l2"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let plan = "model.pruned.plan.json";
    let run = |arguments: &[&str]| {
        let output = onnx_prune(arguments, folder.path());
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    };
    run(&["apply", "model.onnx", plan, "-o", "again.onnx"]);
    let read = |name: &str| fs::read(folder.path().join(name)).unwrap();
    assert!(read("again.onnx") == read("model.pruned.onnx"));
    run(&["apply", "model.onnx", plan, "--masked", "-o", "masked.onnx"]);
    run(&["verify", "masked.onnx", "again.onnx", "--engine", "tract"]);
    let differs = onnx_prune(&["verify", "model.onnx", "again.onnx", "--engine", "tract"], folder.path());
    assert_eq!(differs.status.code(), Some(1));
    assert!(text(&differs.stderr).contains("differs by"));
}

#[test]
fn an_empty_plan_gives_a_byte_equal_file() {
    let folder = with_model("fashion_resnet.onnx");
    assert!(prune(folder.path(), &["--compensate", "none", "--criterion", "l2"]).status.success());
    let path = folder.path().join("model.pruned.plan.json");
    let mut plan: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    for group in plan["groups"].as_array_mut().unwrap() {
        let width = group["width"].as_u64().unwrap();
        group["kept"] = (0..width).collect::<Vec<_>>().into();
    }
    fs::write(folder.path().join("empty.json"), plan.to_string()).unwrap();
    let output = onnx_prune(&["apply", "model.onnx", "empty.json", "-o", "same.onnx"], folder.path());
    assert!(output.status.success(), "{}", text(&output.stderr));
    let read = |name: &str| fs::read(folder.path().join(name)).unwrap();
    assert!(read("same.onnx") == read("model.onnx"));
}

/// Runs a command that must fail and returns its message.
fn refused(folder: &Path, arguments: &[&str], code: i32) -> String {
    let before = files(folder);
    let output = onnx_prune(arguments, folder);
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {message}");
    let errors = message.lines().filter(|line| line.starts_with("error: ")).count();
    assert_eq!(errors, 1, "{arguments:?}: {message}");
    assert!(!message.contains("panicked"), "{message}");
    assert_eq!(files(folder), before, "{arguments:?} left something behind");
    message
}

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
    assert!(refused(at, &["missing.onnx", "--data", &train], 2).contains("No such file"));
    assert!(refused(at, &["text.onnx", "--criterion", "l2"], 2).contains("is not an ONNX model"));
    assert!(refused(at, &["empty.onnx", "--criterion", "l2"], 2).contains("not a valid model"));
    assert!(refused(at, &["empty", "--criterion", "l2"], 2).contains("directory"));
    assert!(refused(at, &["model.onnx", "--data", "nowhere"], 2).contains("No such file"));
    assert!(refused(at, &["model.onnx", "--data", "empty"], 2).contains("no calibration images"));
    assert!(refused(at, &["model.onnx", "--data", "texts"], 2).contains("1 files"));
    assert!(refused(at, &["model.onnx", "--criterion", "stlp-ib"], 2).contains("needs images"));
    assert!(refused(at, &["model.onnx", "--criterion", "best"], 2).contains("unknown criterion"));
    assert!(refused(at, &["model.onnx", "--criterion", "l2", "-o", "model.onnx"], 2).contains("it is the input"));
    assert!(refused(at, &["model.onnx", "--criterion", "l2", "-o", "exists.onnx"], 2).contains("--force"));
    assert!(refused(at, &["model.onnx", "--criterion", "l2", "-o", "no/folder.onnx"], 2).contains("does not exist"));
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
fn inspect_names_groups_and_protectors() {
    let folder = tempfile::tempdir().unwrap();
    support::small_model().save(&folder.path().join("m.onnx"), &SaveOptions::default()).unwrap();
    let output = onnx_prune(&["inspect", "m.onnx"], folder.path());
    assert_eq!(output.status.code(), Some(0));
    let shown = text(&output.stdout);
    assert!(shown.contains("2 groups") && shown.contains("stream") && shown.contains("graph output"), "{shown}");
    let output = onnx_prune(&["inspect", "m.onnx", "--json"], folder.path());
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(value["groups"].as_array().unwrap().len(), 2);
}

#[test]
fn help_and_version() {
    let folder = tempfile::tempdir().unwrap();
    let help = onnx_prune(&["--help"], folder.path());
    assert_eq!(help.status.code(), Some(0));
    for word in ["--data", "--target-macs", "--engine", "inspect", "Exit codes"] {
        assert!(text(&help.stdout).contains(word), "{word}");
    }
    for command in ["inspect", "apply", "verify", "bench", "setup"] {
        assert_eq!(onnx_prune(&[command, "--help"], folder.path()).status.code(), Some(0), "{command}");
    }
    assert_eq!(onnx_prune(&["--version"], folder.path()).status.code(), Some(0));
    assert_eq!(onnx_prune(&[], folder.path()).status.code(), Some(2));
}

#[test]
fn standard_input_is_a_model_too() {
    use std::io::Write as _;
    let folder = with_model("fashion_resnet.onnx");
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_onnx-prune"))
        .args(["-", "--criterion", "l2", "--engine", "tract", "--no-timing", "-o", "out.onnx"])
        .current_dir(folder.path())
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let bytes = fs::read(folder.path().join("model.onnx")).unwrap();
    child.stdin.take().unwrap().write_all(&bytes).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(folder.path().join("out.onnx").is_file());
}

/// Two branches; channel 0 of the first convolution overflows. Zeroing what it meets gives no number, removing it does.
fn model_with_an_overflowing_channel() -> onnx_prune::model::Model {
    let mut b = support::Builder::new(&[1, 4, 6, 6]);
    let (mut w, mut bias) = (vec![0.5_f32; 8 * 4], vec![0.0; 8]);
    w[..4].fill(0.0);
    bias[0] = f32::INFINITY;
    let (w, bias) = (b.stored(&[8, 4, 1, 1], &w), b.stored(&[8], &bias));
    let a = b.node("Conv", &["x", &w, &bias], &[]);
    let first = b.conv(&a, 8, 3, 1);
    let c = b.conv("x", 4, 8, 1);
    let c = b.relu(&c);
    let second = b.conv(&c, 8, 3, 1);
    let mut model = b.model(&first);
    let output = support::Builder::new(&[1]).model(&second).graph().output[0].clone();
    model.graph_mut().output.push(output);
    model
}

#[test]
fn a_group_whose_cut_does_not_hold_is_left_alone_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let model = model_with_an_overflowing_channel();
    model.save(&folder.path().join("model.onnx"), &SaveOptions::default()).unwrap();
    let culprit = model.graph().node[0].name();
    let arguments = ["model.onnx", "--criterion", "l2", "--ratio", "0.3", "--round-to", "1", "--no-timing"];
    let output = onnx_prune(&[&arguments[..], &["--report", "r.json"]].concat(), folder.path());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&fs::read(folder.path().join("r.json")).unwrap()).unwrap();
    let warning = report["warnings"][0].as_str().unwrap();
    assert!(warning.starts_with(&format!("`{culprit}` was left alone")), "{warning}");
    let groups = report["groups"].as_array().unwrap();
    assert!(groups.iter().all(|group| group["name"] != culprit), "{report}");
    assert!(groups.iter().any(|group| group["width_after"].as_u64() < group["width_before"].as_u64()), "{report}");
    // The plan repeats the run, the group that was left alone included.
    let output = onnx_prune(&["apply", "model.onnx", "model.pruned.plan.json", "-o", "again.onnx"], folder.path());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let bytes = |name: &str| fs::read(folder.path().join(name)).unwrap();
    assert_eq!(bytes("again.onnx"), bytes("model.pruned.onnx"));
}

#[test]
fn the_dependency_graph_is_written_as_text_and_as_a_picture() {
    let folder = with_model("fashion_resnet.onnx");
    let arguments = ["inspect", "model.onnx", "--members", "--dot", "g.dot", "--svg", "g.svg"];
    let output = onnx_prune(&arguments, folder.path());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("read by"));
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    let (dot, svg) = (read("g.dot"), read("g.svg"));
    assert!(dot.starts_with("digraph") && dot.contains(" -> group0;") && dot.contains("group0 -> op"), "{dot}");
    assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n") && svg.contains("graph output"), "{svg}");
    let again = refused(folder.path(), &arguments, 2);
    assert!(again.contains("`--force` replaces it"), "{again}");
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

fn json(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn the_adaptive_rule_meets_its_budget_within_one_percent() {
    for (name, criterion, share) in [
        ("fashion_resnet.onnx", "stlp-ib", "0.7"),
        ("fashion_resnet.onnx", "sglp-ib", "0.5"),
        ("fashion_plain.onnx", "stlp-ib", "0.3"),
    ] {
        let folder = with_model(name);
        let more = ["--widths", "adaptive", "--round-to", "1", "--criterion", criterion, "--target-macs", share];
        let output = prune(folder.path(), &[&more[..], &["--report", "r.json", "--samples", "200"]].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        let report = json(&folder.path().join("r.json"));
        let reached = report["macs"]["after"].as_f64().unwrap() / report["macs"]["before"].as_f64().unwrap();
        let wanted: f64 = share.parse().unwrap();
        assert!((reached / wanted - 1.0).abs() <= 0.01, "{name} {criterion}: {reached} in place of {wanted}");
    }
    let folder = with_model("fashion_plain.onnx");
    for criterion in ["l2", "stlp-obs"] {
        let output = prune(folder.path(), &["--force", "--widths", "adaptive", "--criterion", criterion]);
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output.stderr).contains("its threshold is a lambda"), "{}", text(&output.stderr));
    }
}

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

#[test]
fn the_default_effort_repairs_more_than_the_fast_one() {
    let folder = with_model("fashion_resnet.onnx");
    let run = |more: &[&str]| -> serde_json::Value {
        let common = ["--force", "--json", "--samples", "200", "--round-to", "1", "--target-macs", "0.3"];
        let output = prune(folder.path(), &[&common[..], more].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let (fast, full) = (run(&["--effort", "fast"]), run(&["--effort", "default", "--refine", "20"]));
    let accuracy = |report: &serde_json::Value| report["accuracy"]["after"].as_f64().unwrap();
    assert!(accuracy(&full) > accuracy(&fast), "{} {}", accuracy(&fast), accuracy(&full));
    assert!(fast["compensation"]["layers"].is_null() && fast["compensation"]["refined"].is_null());
    let layers = full["compensation"]["layers"].as_array().unwrap();
    assert!(layers.len() > 6 && layers.iter().any(|layer| layer["shortcut"] == true));
    let errors = full["compensation"]["refined"]["errors"].as_array().unwrap();
    assert!(errors.last().unwrap().as_f64() < errors.first().unwrap().as_f64(), "{errors:?}");
    // Widths follow what the outputs lose, not one share for all.
    let widths = |report: &serde_json::Value| -> Vec<u64> {
        report["groups"].as_array().unwrap().iter().map(|own| own["width_after"].as_u64().unwrap()).collect()
    };
    assert_ne!(widths(&fast), widths(&full));
}
