//! Commands of `sh`.

use std::time::{Duration, Instant};

use super::*;

#[test]
fn a_command_is_given_the_file_and_its_number_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("it's a `model`.onnx");
    std::fs::write(&path, [0; 321]).unwrap();
    let cancel = AtomicBool::new(false);
    for command in ["wc -c <", "wc -c < {model}", "cd / && wc -c < \"{model}\""] {
        let found = metric(command).of_file(&path, Measured::Dense, &cancel).unwrap();
        assert!((found - 321.0).abs() < 1e-9, "{command}");
    }
    // Where the model is in no file, it is written with what it needs and removed.
    let model = Model::load(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("models/fashion_plain.onnx"),
        &crate::model::LoadOptions::default(),
    );
    let trace = folder.path().join("trace");
    let own = metric(&format!("echo {{model}} > '{}'; wc -c < {{model}}", trace.display()));
    let bytes = own.of_model(&model.unwrap(), Measured::Pruned, &cancel).unwrap();
    assert!(bytes > 1000.0);
    let written = std::fs::read_to_string(trace).unwrap();
    assert!(written.contains("model.onnx") && !Path::new(written.trim()).exists(), "{written}");
}

#[test]
fn failures_tell_the_command_its_status_and_its_last_words() {
    let message = run("printf 'fir''st\\nno file\\n' >&2; exit 3 #").unwrap_err();
    for part in ["exit 3 #", "exit status 3", "dense", "no file", "by hand"] {
        assert!(message.contains(part), "{message}");
    }
    assert!(!message.contains("first"), "{message}");
    assert!(run("kill -9 $$ #").unwrap_err().contains("signal 9"));
    assert!(run("echo much #").unwrap_err().contains("`much`"));
    assert!(run("true").unwrap_err().contains("nothing"));
    let missing = run("no_such_program_anywhere").unwrap_err();
    assert!(missing.contains("exit status 127") && missing.contains("no_such_program_anywhere"), "{missing}");
}

#[test]
fn an_interruption_ends_the_command_and_what_it_started() {
    let folder = tempfile::tempdir().unwrap();
    let (started, outlived) = (folder.path().join("started"), folder.path().join("outlived"));
    // Neither the shell nor its child listens to polite requests.
    let line = format!(
        "trap '' TERM; (sleep 3; touch '{}') & touch '{}'; sleep 60; wait #",
        outlived.display(),
        started.display()
    );
    let cancel = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&cancel);
    let watched = started.clone();
    let stopper = std::thread::spawn(move || {
        while !watched.exists() {
            std::thread::sleep(Duration::from_millis(5));
        }
        flag.store(true, Ordering::Relaxed);
    });
    let begin = Instant::now();
    let ended = metric(&line).of_file(Path::new("m.onnx"), Measured::Dense, &cancel);
    assert!(matches!(ended, Err(EvaluateError::Interrupted)), "{ended:?}");
    assert!(begin.elapsed() < Duration::from_secs(20));
    stopper.join().unwrap();
    std::thread::sleep(Duration::from_secs(4).saturating_sub(begin.elapsed()));
    assert!(!outlived.exists());
}
