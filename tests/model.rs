//! Loading and saving: nothing is lost, nothing is trusted.
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
use std::path::{Path, PathBuf};
use std::process::Command;

use onnx_prune::model::{LoadOptions, Model, SaveOptions};
use onnx_prune::proto::onnx::{StringStringEntryProto, TensorProto, tensor_proto::DataLocation};

fn load(path: &Path) -> Result<Model, String> {
    Model::load(path, &LoadOptions::default()).map_err(|error| onnx_prune::Error::from(error).render())
}

fn models_below(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            models_below(&path, found);
        } else if path.extension().is_some_and(|end| end == "onnx") {
            found.push(path);
        }
    }
}

/// Decodes and encodes a file; also through the streaming writer.
fn round_trip(path: &Path, folder: &Path) -> Result<(), String> {
    let bytes = fs::read(path).map_err(|error| error.to_string())?;
    let mut model = load(path)?;
    let copy = folder.join("copy.onnx");
    let force = SaveOptions::default();
    if !model.has_external_data() {
        model.save(&copy, &force).map_err(|error| error.to_string())?;
        if fs::read(&copy).map_err(|error| error.to_string())? != bytes {
            return Err("saved unedited, the bytes differ".into());
        }
        fs::remove_file(&copy).map_err(|error| error.to_string())?;
        model.proto_mut();
        model.save(&copy, &force).map_err(|error| error.to_string())?;
        if fs::read(&copy).map_err(|error| error.to_string())? != bytes {
            return Err("encoded anew, the bytes differ".into());
        }
        fs::remove_file(&copy).map_err(|error| error.to_string())?;
    }
    Ok(())
}

fn all_round_trip(paths: &[PathBuf]) {
    let folder = tempfile::tempdir().unwrap();
    let failed: Vec<String> = paths
        .iter()
        .filter_map(|path| round_trip(path, folder.path()).err().map(|why| format!("{}: {why}", path.display())))
        .collect();
    assert!(failed.is_empty(), "{} of {} failed:\n{}", failed.len(), paths.len(), failed.join("\n"));
    println!("{} models, byte-equal", paths.len());
}

/// The test models of onnx 1.18.0: those of the installed package, else of its wheel, fetched once.
fn onnx_models() -> Option<PathBuf> {
    let question = "import onnx, os; assert onnx.__version__ == '1.18.0'; print(os.path.dirname(onnx.__file__))";
    let installed = Command::new("python3").args(["-c", question]).output().ok().filter(|own| own.status.success());
    let installed = installed.map(|own| PathBuf::from(support::text(&own.stdout).trim()).join("backend/test/data"));
    if let Some(data) = installed.filter(|data| data.is_dir()) {
        return Some(data);
    }
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("onnx-1.18.0");
    let data = folder.join("unpacked/onnx/backend/test/data");
    if data.is_dir() {
        return Some(data);
    }
    let run = |arguments: &[&str]| {
        Command::new("python3").args(arguments).output().is_ok_and(|output| output.status.success())
    };
    let target = folder.display().to_string();
    // The files do not depend on the platform; any wheel will do.
    let fetched =
        run(&["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "onnx==1.18.0", "-d", &target]);
    let wheel = fs::read_dir(&folder)
        .ok()?
        .flatten()
        .map(|entry| entry.path())
        .find(|p| p.extension().is_some_and(|e| e == "whl"));
    let unpacked = folder.join("unpacked").display().to_string();
    let done =
        fetched && wheel.is_some_and(|wheel| run(&["-m", "zipfile", "-e", &wheel.display().to_string(), &unpacked]));
    (done && data.is_dir()).then_some(data)
}

#[test]
fn onnx_test_models_are_byte_equal_and_analysed() {
    let Some(data) = onnx_models() else {
        let why = "onnx 1.18.0 is not installed, and its wheel cannot be fetched";
        support::skip("onnx_test_models_are_byte_equal_and_analysed", support::Need::OnnxModels, why);
        return;
    };
    let mut paths = Vec::new();
    models_below(&data, &mut paths);
    paths.sort();
    assert!(paths.len() > 1500, "{} models found", paths.len());
    all_round_trip(&paths);
    let (mut nodes, mut opaque) = (0, std::collections::BTreeMap::<String, usize>::new());
    for path in &paths {
        let model = load(path).unwrap();
        let channels = onnx_prune::channels::analyse(&model, &onnx_prune::channels::AnalyseOptions::default());
        let _ = channels.cost_model();
        nodes += model.graph().node.len();
        for (op, found) in &channels.opaque {
            // Classified, or opaque with a reason that names a node of the graph.
            let named = |node: &&onnx_prune::proto::onnx::NodeProto| {
                node.op_type() == op && (node.name() == found.node || node.output.contains(&found.node))
            };
            let times = model.graph().node.iter().filter(|node| node.op_type() == op).count();
            assert!(!found.why.is_empty() && (1..=times).contains(&found.nodes), "{}: {op}", path.display());
            assert!(model.graph().node.iter().any(|node| named(&node)) || found.node.is_empty(), "{}", path.display());
            *opaque.entry(op.clone()).or_default() += found.nodes;
        }
    }
    let count: usize = opaque.values().sum();
    println!(
        "{} models, {nodes} nodes: {} analysed, {count} opaque with a reason: {opaque:?}",
        paths.len(),
        nodes - count
    );
}

#[test]
fn shared_models_are_byte_equal() {
    let Some(shared) = support::shared("shared_models_are_byte_equal") else { return };
    let mut paths = Vec::new();
    models_below(&shared.join("models"), &mut paths);
    assert!(!paths.is_empty());
    all_round_trip(&paths);
}

#[test]
fn standard_input_and_file_give_the_same_model() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.onnx");
    support::small_model().save(&path, &SaveOptions::default()).unwrap();
    let read = Model::read(&mut fs::File::open(&path).unwrap(), "standard input", &LoadOptions::default()).unwrap();
    assert_eq!(read.sha256(), load(&path).unwrap().sha256());
}

#[test]
fn the_input_is_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.onnx");
    support::small_model().save(&path, &SaveOptions::default()).unwrap();
    let model = load(&path).unwrap();
    let mut force = SaveOptions::default();
    force.force = true;
    assert!(model.save(&path, &force).is_err());
    #[cfg(unix)]
    {
        let link = folder.path().join("link.onnx");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(model.save(&link, &force).is_err());
    }
}

#[test]
fn an_existing_output_needs_force_and_nothing_is_left_behind() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.onnx");
    fs::write(&path, "mine").unwrap();
    let model = support::small_model();
    assert!(model.save(&path, &SaveOptions::default()).is_err());
    assert_eq!(fs::read(&path).unwrap(), b"mine");
    assert!(model.save(&folder.path().join("no/such/folder/m.onnx"), &SaveOptions::default()).is_err());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    let mut force = SaveOptions::default();
    force.force = true;
    model.save(&path, &force).unwrap();
    assert!(load(&path).is_ok());
}

#[cfg(unix)]
#[test]
fn saved_files_have_the_ordinary_mode() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let (path, plain) = (folder.path().join("m.onnx"), folder.path().join("plain"));
    fs::write(&plain, "").unwrap();
    support::small_model().save(&path, &SaveOptions::default()).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), mode(&plain));
}

/// A model whose first weight lies in another file, as the entries say.
fn external(folder: &Path, entries: &[(&str, &str)]) -> Result<Model, String> {
    let mut model = support::small_model();
    let tensor = &mut model.graph_mut().initializer[0];
    *tensor = TensorProto {
        raw_data: None,
        data_location: Some(DataLocation::External.into()),
        external_data: entries
            .iter()
            .map(|(key, value)| StringStringEntryProto { key: Some((*key).into()), value: Some((*value).into()) })
            .collect(),
        ..tensor.clone()
    };
    let path = folder.join("external.onnx");
    fs::write(&path, model.to_bytes()).unwrap();
    load(&path)
}

fn first_tensor(model: &Model) -> Result<usize, String> {
    let tensor = model.tensor(&model.graph().initializer[0]);
    tensor.map(|data| data.len()).map_err(|error| onnx_prune::Error::from(error).render())
}

#[test]
fn external_data_are_read_and_attacks_refused() {
    let outside = tempfile::tempdir().unwrap();
    let folder = outside.path().join("model");
    fs::create_dir(&folder).unwrap();
    let needed = 8 * 3 * 9 * 4;
    fs::write(folder.join("w.bin"), vec![1; needed + 4]).unwrap();
    fs::write(outside.path().join("secret"), vec![2; needed]).unwrap();
    let read = |entries: &[(&str, &str)]| external(&folder, entries).and_then(|model| first_tensor(&model));
    assert_eq!(read(&[("location", "w.bin"), ("offset", "4"), ("length", &needed.to_string())]), Ok(8 * 27));
    let refused = |entries: &[(&str, &str)], why: &str| {
        let message = read(entries).unwrap_err();
        assert!(message.contains(why), "{message}");
    };
    refused(&[("location", "../secret")], "leaves the model's folder");
    refused(&[("location", &outside.path().join("secret").display().to_string())], "leaves the model's folder");
    refused(&[("location", "w.bin"), ("offset", "8")], "past the end");
    refused(&[("location", "w.bin"), ("offset", "-1")], "is no size");
    refused(&[("location", "w.bin"), ("offset", "18446744073709551615")], "past the end");
    refused(&[("location", "w.bin"), ("length", "5")], "but the shape needs");
    refused(&[("location", "none.bin")], support::MISSING);
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(outside.path().join("secret"), folder.join("link")).unwrap();
        refused(&[("location", "link")], "link leaves");
        fs::hard_link(outside.path().join("secret"), folder.join("hard")).unwrap();
        refused(&[("location", "hard")], "hard links");
    }
}

#[test]
fn external_data_are_written_on_request_and_inlined_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    let model = support::small_model();
    let mut outside = SaveOptions::default();
    outside.external_data = true;
    let path = folder.path().join("big.onnx");
    model.save(&path, &outside).unwrap();
    assert!(folder.path().join("big.data").is_file());
    let loaded = load(&path).unwrap();
    assert!(loaded.has_external_data());
    for (a, b) in model.graph().initializer.iter().zip(&loaded.graph().initializer) {
        assert_eq!(model.tensor(a).unwrap(), loaded.tensor(b).unwrap());
    }
    let inlined = folder.path().join("inline.onnx");
    loaded.save(&inlined, &SaveOptions::default()).unwrap();
    assert!(!load(&inlined).unwrap().has_external_data());
}

#[test]
fn unknown_fields_are_refused_unless_allowed() {
    let mut bytes = support::small_model().to_bytes().to_vec();
    bytes.extend([0xb8, 0x3e, 0x01]);
    let refused = Model::from_bytes(bytes.clone().into(), &LoadOptions::default()).unwrap_err();
    assert!(onnx_prune::Error::from(refused).render().contains("ModelProto.999"));
    assert!(Model::from_bytes(bytes.into(), &LoadOptions { allow_unknown_fields: true }).is_ok());
}
