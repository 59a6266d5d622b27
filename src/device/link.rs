//! A process whose standard input and output reach an agent.

use std::io::{BufReader, Read};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::life::{BEAT, Heard, Hearing, SILENCE};
use super::message::{Reply, Request};
use super::target::{DeviceOptions, Target};
use super::wire::{self, WireError};
use crate::engine::EngineError;
use crate::shell;

/// Time between two looks at what the user wants.
const POLL: Duration = Duration::from_millis(50);

/// Time that a process has to end on its own once its input is closed.
const GRACE: Duration = Duration::from_secs(3);

/// Bytes at the end of what the process says of itself that are kept.
const MOST_SAID: usize = 4 << 10;

/// Seconds after which `ssh` gives up connecting.
const CONNECT_S: u32 = 20;

/// What the agent is called in the search path of a machine.
const AGENT: &str = "onnx-prune";

/// A connection. When it is dropped, the process ends, and with its input the agent.
pub(super) struct Link {
    name: String,
    child: Child,
    own_group: bool,
    /// Frames to send; closed first when the link ends.
    to: Option<Sender<Vec<Bytes>>>,
    from: Receiver<Result<(Reply, Bytes), WireError>>,
    heard: Arc<Heard>,
    said: Arc<Mutex<Vec<u8>>>,
    sent: Arc<AtomicU64>,
}

/// What is to be run to reach an agent, and whether in a process group of its own: `ssh` may have to ask for a passphrase, which
/// only the terminal's own group can.
fn command(options: &DeviceOptions) -> Option<(Command, bool)> {
    match &options.target {
        Target::Exec(line) => Some((shell::shell(line), true)),
        Target::Ssh { .. } => {
            let mut command = ssh(&options.target)?;
            let agent = options.agent.as_deref().unwrap_or(AGENT);
            command.arg(format!("{} agent", shell::quoted(agent, false)));
            Some((command, false))
        }
        Target::Local | Target::Time(_) => None,
    }
}

/// The system's `ssh` to a machine, without the command that is run there.
pub(super) fn ssh(target: &Target) -> Option<Command> {
    let Target::Ssh { host, port } = target else { return None };
    let mut command = Command::new("ssh");
    command.arg("-T").args(["-o", &format!("ConnectTimeout={CONNECT_S}")]);
    // It ends by itself where the network does.
    command.args(["-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3"]);
    if let Some(port) = port {
        command.args(["-p", &port.to_string()]);
    }
    command.args(["--", host]);
    Some(command)
}

impl Link {
    /// Starts the process of a device that has an agent; `None` where it has none.
    pub(super) fn start(options: &DeviceOptions) -> Result<Option<Self>, EngineError> {
        let Some((mut command, own_group)) = command(options) else { return Ok(None) };
        let name = options.target.to_string();
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child.map_err(|error| EngineError::Device {
            what: format!("`{name}` cannot be reached"),
            why: format!("`{}` does not start: {error}", command.get_program().to_string_lossy()),
            help: "install it, or reach the device by `exec:CMD`".into(),
        })?;
        let (heard, said, sent) = (Arc::default(), Arc::default(), Arc::default());
        let streams = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(input), Some(output), Some(errors)) = streams else { return Ok(None) };
        listening(errors, Arc::clone(&said));
        let to = Some(writing(input, Arc::clone(&sent)));
        let from = reading(output, Arc::clone(&heard));
        Ok(Some(Self { name, child, own_group, to, from, heard, said, sent }))
    }

    /// Bytes that were sent.
    pub(super) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Sends a request and waits for the reply.
    pub(super) fn ask(
        &mut self,
        request: &Request,
        payload: Vec<Bytes>,
        cancel: &AtomicBool,
    ) -> Result<(Reply, Bytes), EngineError> {
        let frame = wire::frame(request, payload).map_err(|error| self.lost(error, cancel))?;
        // Where the process reads no more, what it wrote before says why.
        let sent = self.to.as_ref().is_some_and(|to| to.send(frame).is_ok());
        loop {
            match self.from.recv_timeout(POLL) {
                Ok(Ok((Reply::Beat, _))) => {}
                Ok(Ok((Reply::Failed { failure }, _))) => return Err(failure.on(&self.name)),
                Ok(Ok(_)) if !sent => return Err(self.lost(WireError::Ended, cancel)),
                Ok(Ok(reply)) => return Ok(reply),
                Ok(Err(error)) => return Err(self.lost(error, cancel)),
                Err(RecvTimeoutError::Disconnected) => return Err(self.lost(WireError::Ended, cancel)),
                Err(RecvTimeoutError::Timeout) if self.heard.is_silent() => {
                    let why = format!("nothing came for {} s", SILENCE.as_secs());
                    return Err(self.lost(WireError::Broken(why), cancel));
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
            if cancel.load(Ordering::Relaxed) {
                return Err(EngineError::Interrupted);
            }
        }
    }

    /// A reply that does not suit the request.
    pub(super) fn unsuitable(&self) -> EngineError {
        EngineError::Device {
            what: format!("the agent on `{}` answers something else than it was asked", self.name),
            why: "the reply is of another kind".into(),
            help: "use the same version of onnx-prune there".into(),
        }
    }

    /// Why the connection does not serve any more.
    fn lost(&mut self, error: WireError, cancel: &AtomicBool) -> EngineError {
        // Ctrl-C reaches `ssh` as well, and may be faster there.
        let asked = Instant::now();
        let mut status = None;
        while asked.elapsed() < Duration::from_millis(300) {
            if cancel.load(Ordering::Relaxed) {
                return EngineError::Interrupted;
            }
            status = self.child.try_wait().ok().flatten();
            std::thread::sleep(POLL);
        }
        let name = &self.name;
        if let WireError::Version(version) = error {
            return EngineError::Device {
                what: format!("the agent on `{name}` is of another version of onnx-prune"),
                why: format!("it speaks version {version} of the protocol, this program version {}", wire::PROTOCOL),
                help: "install the same version there".into(),
            };
        }
        let said = self.said();
        let why = match (error, status) {
            (WireError::Ended, Some(status)) => format!("its process ended with {}", shell::describe(status)),
            (WireError::Ended, None) => "its output was closed".into(),
            (WireError::Broken(why), Some(status)) => {
                format!("{why}; its process ended with {}", shell::describe(status))
            }
            (WireError::Broken(why), None) => why,
            (WireError::Version(_), _) => String::new(),
        };
        let why = said.map_or(why.clone(), |said| format!("{why}; it said `{said}`"));
        EngineError::Device {
            what: format!("the connection to `{name}` failed"),
            why,
            help: "check the device, the network and that `onnx-prune agent` runs there (`--agent PATH`)".into(),
        }
    }

    /// The last line that the process said of itself.
    fn said(&self) -> Option<String> {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(&said);
        shell::last_line(&text).map(|line| line.chars().filter(|c| !c.is_control()).take(200).collect())
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.to = None;
        let asked = Instant::now();
        while asked.elapsed() < GRACE && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(10));
        }
        if matches!(self.child.try_wait(), Ok(None)) {
            if self.own_group {
                shell::end(&mut self.child);
            } else {
                // What has ended already cannot be ended.
                let _ = self.child.kill();
                let _ = self.child.wait();
            }
        }
    }
}

/// Writes frames in a thread of its own, and signs of life between them: a device that does not read holds up nobody.
fn writing(mut input: ChildStdin, sent: Arc<AtomicU64>) -> Sender<Vec<Bytes>> {
    let (to, frames) = channel::<Vec<Bytes>>();
    std::thread::spawn(move || {
        let Ok(beat) = wire::frame(&Request::Beat, Vec::new()) else { return };
        let mut written = wire::greet(&mut input);
        while written.is_ok() {
            let frame = match frames.recv_timeout(BEAT) {
                Ok(frame) => frame,
                Err(RecvTimeoutError::Timeout) => beat.clone(),
                Err(RecvTimeoutError::Disconnected) => return,
            };
            written = wire::write(&mut input, &frame);
            sent.fetch_add(frame.iter().map(|piece| piece.len() as u64).sum(), Ordering::Relaxed);
        }
    });
    to
}

/// Reads replies in a thread of its own.
fn reading(output: ChildStdout, heard: Arc<Heard>) -> Receiver<Result<(Reply, Bytes), WireError>> {
    let (to, replies) = channel();
    std::thread::spawn(move || {
        let mut output = BufReader::new(Hearing(output, heard));
        if let Err(error) = wire::greeted(&mut output) {
            // Nobody waits for it where the link has ended.
            let _ = to.send(Err(error));
            return;
        }
        loop {
            let reply = wire::read(&mut output);
            let ended = reply.is_err();
            if to.send(reply).is_err() || ended {
                return;
            }
        }
    });
    replies
}

/// Keeps the end of what the process says of itself.
fn listening(mut errors: ChildStderr, said: Arc<Mutex<Vec<u8>>>) {
    std::thread::spawn(move || {
        let mut piece = [0; 1024];
        while let Ok(read @ 1..) = errors.read(&mut piece) {
            let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
            said.extend_from_slice(piece.get(..read).unwrap_or_default());
            let excess = said.len().saturating_sub(MOST_SAID);
            said.drain(..excess);
        }
    });
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn what_came_is_told_although_the_process_reads_no_more() {
        let options = DeviceOptions::new(Target::Exec("exec <&-; echo hello".into()));
        let mut link = Link::start(&options).unwrap().unwrap();
        let began = Instant::now();
        while link.to.as_ref().is_some_and(|to| to.send(vec![Bytes::from_static(b"x")]).is_ok()) {
            assert!(began.elapsed() < Duration::from_secs(30), "the process still reads");
            std::thread::sleep(POLL);
        }
        let Err(EngineError::Device { why, .. }) = link.ask(&Request::Beat, Vec::new(), &AtomicBool::new(false)) else {
            panic!("a process that reads no more is an error of the device")
        };
        assert!(why.contains("what came is `hello`"), "{why}");
    }
}
