//! Runs a command line of the user's to its end, to an interruption, or to a limit of time.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Where the path of the model goes.
const PLACE: &str = "{model}";

/// Time between two looks at a command that runs.
const POLL: Duration = Duration::from_millis(20);

/// Time that a command has to end on its own after it was asked to.
const GRACE: Duration = Duration::from_millis(500);

/// Bytes at the end of an output that are looked at.
const MOST_READ: u64 = 1 << 20;

/// What a command left behind.
pub(crate) struct Ended {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// How it ended, where that was not well.
    pub(crate) failure: Option<String>,
}

/// Why a command did not come to its end.
pub(crate) enum Stopped {
    Interrupted,
    /// It took longer than it may.
    Late,
    Failed(String),
}

impl From<std::io::Error> for Stopped {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

/// The command line with the path of the model in its place, also where the user put quotes around that; at the end where it
/// has none.
pub(crate) fn line(command: &str, model: &Path) -> String {
    let path = quoted(&model.to_string_lossy(), cfg!(windows));
    if !command.contains(PLACE) {
        return format!("{command} {path}");
    }
    let spelled = [format!("\"{PLACE}\""), format!("'{PLACE}'"), PLACE.to_owned()];
    spelled.iter().fold(command.to_owned(), |line, place| line.replace(place.as_str(), &path))
}

/// A path as one word of the shell, `sh` or on Windows `cmd`; as it is where that is one.
pub(crate) fn quoted(path: &str, windows: bool) -> String {
    let plain = if windows { "/\\:._-+@" } else { "/:._-+@%=," };
    if path.chars().all(|c| c.is_ascii_alphanumeric() || plain.contains(c)) {
        return path.to_owned();
    }
    if windows { format!("\"{path}\"") } else { format!("'{}'", path.replace('\'', r"'\''")) }
}

/// Runs a line in the shell. Its outputs go to files: neither a full pipe nor a process that outlives the shell holds it up.
pub(crate) fn run(line: &str, limit: Option<Duration>, cancel: &AtomicBool) -> Result<Ended, Stopped> {
    let (mut stdout, mut stderr) = (tempfile::tempfile()?, tempfile::tempfile()?);
    let mut command = shell(line);
    command.stdin(Stdio::null()).stdout(stdout.try_clone()?).stderr(stderr.try_clone()?);
    let begin = Instant::now();
    let mut child = command.spawn()?;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if cancel.load(Ordering::Relaxed) {
            end(&mut child);
            return Err(Stopped::Interrupted);
        }
        if limit.is_some_and(|limit| begin.elapsed() > limit) {
            end(&mut child);
            return Err(Stopped::Late);
        }
        std::thread::sleep(POLL);
    };
    if cancel.load(Ordering::Relaxed) {
        return Err(Stopped::Interrupted);
    }
    let failure = (!status.success()).then(|| describe(status));
    Ok(Ended { stdout: tail(&mut stdout)?, stderr: tail(&mut stderr)?, failure })
}

/// The end of a file.
fn tail(file: &mut File) -> std::io::Result<String> {
    let length = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(length.saturating_sub(MOST_READ)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// In a process group of its own: what the line starts can be ended with it, and Ctrl-C reaches it through us alone.
#[cfg(unix)]
pub(crate) fn shell(line: &str) -> Command {
    use std::os::unix::process::CommandExt as _;
    let mut command = Command::new("sh");
    command.arg("-c").arg(line).process_group(0);
    command
}

#[cfg(windows)]
pub(crate) fn shell(line: &str) -> Command {
    use std::os::windows::process::CommandExt as _;
    /// `CREATE_NEW_PROCESS_GROUP`.
    const OWN_GROUP: u32 = 0x200;
    let mut command = Command::new("cmd");
    // `/S`: the outer quotes go and the line is what stands between them, whatever quotes are in it. `/D`: nothing from the
    // registry runs before.
    command.args(["/D", "/S", "/C"]).raw_arg(format!("\"{line}\"")).creation_flags(OWN_GROUP);
    command
}

/// Asks the whole process group to end, and makes it end where it does not.
#[cfg(unix)]
pub(crate) fn end(child: &mut Child) {
    use nix::sys::signal::{Signal, killpg};
    let group = i32::try_from(child.id()).ok().map(nix::unistd::Pid::from_raw);
    // What is gone already cannot be asked: no error.
    let send = |signal| group.map(|group| killpg(group, signal));
    send(Signal::SIGTERM);
    let asked = Instant::now();
    while asked.elapsed() < GRACE && matches!(child.try_wait(), Ok(None)) {
        std::thread::sleep(POLL);
    }
    send(Signal::SIGKILL);
    // Nobody is left to wait for.
    let _ = child.wait();
}

#[cfg(not(unix))]
pub(crate) fn end(child: &mut Child) {
    // `kill` ends the shell alone; this ends what the shell has started, too.
    let mut tree = Command::new("taskkill");
    tree.args(["/T", "/F", "/PID", &child.id().to_string()]);
    let _ = tree.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    // What has ended already cannot be ended.
    let _ = child.kill();
    let asked = Instant::now();
    while asked.elapsed() < GRACE && matches!(child.try_wait(), Ok(None)) {
        std::thread::sleep(POLL);
    }
}

#[cfg(unix)]
pub(crate) fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => status.to_string(),
    }
}

#[cfg(not(unix))]
pub(crate) fn describe(status: ExitStatus) -> String {
    status.code().map_or_else(|| status.to_string(), |code| format!("exit status {code}"))
}

/// The last line that is not empty.
pub(crate) fn last_line(text: &str) -> Option<&str> {
    text.lines().map(str::trim).rfind(|line| !line.is_empty())
}
