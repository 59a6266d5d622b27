//! The other end: one process that times models where they will run.
//!
//! It reads requests on one stream and writes replies on another, opens no port, and ends when the stream does, or when nothing
//! has come for a while: what it was busy with is given up then.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use prost::Message as _;

use super::life::{BEAT, Heard, Hearing};
use super::message::{Failure, Reply, Request};
use super::packed::{Packed, packed_values, unpacked, unpacked_feed};
use super::wire::{self, WireError};
use crate::bench::BenchError;
use crate::bench::latency::{Loaded as _, LoadedHere};
use crate::engine::{CompileOptions, Engine, EngineError, EngineOptions, Feed, Opened, Session, feed};
use crate::model::Model;

/// Time that a busy agent has to end after the other side is gone.
const GRACE: Duration = Duration::from_secs(2);

/// Bytes of models and inputs that an agent holds by default.
const MOST_HELD: u64 = 4 << 30;

/// How an agent runs.
pub struct AgentOptions {
    /// The engine; what a program asks for comes before.
    pub engine: EngineOptions,
    /// Bytes of models and inputs that it holds at most.
    pub memory: u64,
    /// Called where the other side is gone and the agent is still busy: it is to end the process.
    pub lost: fn(),
}

impl AgentOptions {
    /// With this engine.
    pub fn new(engine: EngineOptions, lost: fn()) -> Self {
        Self { engine, memory: MOST_HELD, lost }
    }
}

/// Serves one program until the stream ends.
///
/// # Errors
/// If what comes is no program of this protocol, in words.
pub fn serve(
    input: impl Read + Send + 'static,
    output: impl Write + Send + 'static,
    options: &AgentOptions,
) -> Result<(), String> {
    let output = Arc::new(Mutex::new(output));
    wire::greet(&mut *locked(&output)).map_err(|error| error.to_string())?;
    let life = Arc::new(Life::default());
    let frames = reading(input, Arc::clone(&life));
    beating(Arc::clone(&output), Arc::clone(&life), options.lost);
    let mut agent = Agent::new(options, &crate::engine::open);
    let served = answer_all(&mut agent, &frames, &output, &life);
    life.done.store(true, Ordering::Relaxed);
    served
}

fn answer_all(
    agent: &mut Agent<'_>,
    frames: &Receiver<Result<(Request, Bytes), WireError>>,
    output: &Mutex<impl Write>,
    life: &Life,
) -> Result<(), String> {
    for frame in frames {
        let (request, payload) = match frame {
            Ok(frame) => frame,
            Err(WireError::Ended) => return Ok(()),
            Err(WireError::Broken(why)) => return Err(why),
            Err(WireError::Version(version)) => {
                return Err(format!(
                    "the program speaks version {version} of the protocol, this agent {}",
                    wire::PROTOCOL
                ));
            }
        };
        let Some((reply, payload)) = agent.answer(request, &payload, &life.gone) else { continue };
        let pieces = wire::frame(&reply, payload).or_else(|_| {
            let why = "the answer is too large".into();
            wire::frame(&Reply::Failed { failure: Failure::Request { why } }, Vec::new())
        });
        let Ok(pieces) = pieces else { continue };
        // Who does not read any more is gone; the reading thread says so.
        let _ = wire::write(&mut *locked(output), &pieces);
    }
    Ok(())
}

fn locked<T: ?Sized>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether both sides are there.
#[derive(Default)]
struct Life {
    heard: Arc<Heard>,
    /// The other side is gone.
    gone: AtomicBool,
    /// All is served.
    done: AtomicBool,
}

/// Reads requests in a thread of its own, so that the end of the stream is seen at once.
fn reading(input: impl Read + Send + 'static, life: Arc<Life>) -> Receiver<Result<(Request, Bytes), WireError>> {
    let (to, frames) = sync_channel(1);
    std::thread::spawn(move || {
        let mut input = std::io::BufReader::new(Hearing(input, Arc::clone(&life.heard)));
        let mut next = wire::greeted(&mut input).map(|()| None);
        loop {
            let ended = match next {
                // Signs of life wait for nobody: the agent may be busy for longer than silence lasts.
                Ok(None | Some((Request::Beat, _))) => false,
                Ok(Some(frame)) => to.send(Ok(frame)).is_err(),
                Err(error) => {
                    life.gone.store(true, Ordering::Relaxed);
                    // Nobody waits for it where all is served.
                    let _ = to.send(Err(error));
                    true
                }
            };
            if ended {
                return;
            }
            next = wire::read(&mut input).map(Some);
        }
    });
    frames
}

/// Gives signs of life, and gives up where the other side gives none.
fn beating(output: Arc<Mutex<impl Write + Send + 'static>>, life: Arc<Life>, lost: fn()) {
    std::thread::spawn(move || {
        let Ok(beat) = wire::frame(&Reply::Beat, Vec::new()) else { return };
        let (mut said, mut gone_since) = (Instant::now(), None);
        while !life.done.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(100));
            if life.heard.is_silent() {
                life.gone.store(true, Ordering::Relaxed);
            }
            if life.gone.load(Ordering::Relaxed) {
                if gone_since.get_or_insert_with(Instant::now).elapsed() > GRACE {
                    return lost();
                }
            } else if said.elapsed() > BEAT {
                said = Instant::now();
                let _ = wire::write(&mut *locked(&output), &beat);
            }
        }
    });
}

/// How an engine is opened.
type Open<'a> = &'a dyn Fn(&EngineOptions) -> Result<Opened, EngineError>;

/// What an agent holds.
struct Agent<'a> {
    options: &'a AgentOptions,
    open: Open<'a>,
    engine: Option<Box<dyn Engine>>,
    models: BTreeMap<u32, (Model, Packed)>,
    inputs: BTreeMap<u32, Feed>,
    sessions: BTreeMap<u32, Box<dyn Session>>,
    loaded: Option<LoadedHere>,
}

/// A reply and its payload.
type Answer = (Reply, Vec<Bytes>);

/// Why there is no other reply.
enum Refusal {
    Engine(EngineError),
    Request(String),
}

impl From<EngineError> for Refusal {
    fn from(error: EngineError) -> Self {
        Self::Engine(error)
    }
}

impl From<BenchError> for Refusal {
    fn from(error: BenchError) -> Self {
        match error {
            BenchError::Engine(error) => Self::Engine(error),
            other => Self::Request(other.to_string()),
        }
    }
}

impl From<String> for Refusal {
    fn from(why: String) -> Self {
        Self::Request(why)
    }
}

fn missing(what: &str, number: u32) -> Refusal {
    Refusal::Request(format!("there is no {what} {number}"))
}

impl<'a> Agent<'a> {
    fn new(options: &'a AgentOptions, open: Open<'a>) -> Self {
        let (models, inputs, sessions) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { options, open, engine: None, models, inputs, sessions, loaded: None }
    }

    /// The reply to a request; none to a sign of life.
    fn answer(&mut self, request: Request, payload: &Bytes, cancel: &AtomicBool) -> Option<Answer> {
        let done = match request {
            Request::Beat => return None,
            Request::Open { engine } => self.open_engine(engine),
            Request::Model { number, graph, tensors } => self.take_model(number, graph, &tensors, payload),
            Request::Forget { number } => {
                self.models.remove(&number);
                Ok((Reply::Done, Vec::new()))
            }
            Request::Inputs { number, lengths } => self.take_inputs(number, &lengths, payload),
            Request::Load { models, inputs } => self.load(models, inputs),
            Request::Time { options } => match &mut self.loaded {
                Some(loaded) => loaded
                    .time(&options, cancel)
                    .map_err(Refusal::from)
                    .map(|(found, elapsed_ms)| (Reply::Timed { found, elapsed_ms }, Vec::new())),
                None => Err(Refusal::Request("no models are loaded".into())),
            },
            Request::Profile { model, inputs, runs } => self.profile(model, inputs, runs),
            Request::Optimised { model } => self.optimised(model),
            Request::Compile { session, model, outputs, shapes, plain } => {
                self.compile(session, model, &CompileOptions { outputs, input_shapes: shapes, plain })
            }
            Request::Run { session, inputs } => self.run(session, inputs),
            Request::Close { session } => {
                self.sessions.remove(&session);
                Ok((Reply::Done, Vec::new()))
            }
        };
        Some(done.unwrap_or_else(|refusal| {
            let failure = match refusal {
                Refusal::Engine(error) => error.into(),
                Refusal::Request(why) => Failure::Request { why },
            };
            (Reply::Failed { failure }, Vec::new())
        }))
    }

    fn engine(&self) -> Result<&dyn Engine, Refusal> {
        self.engine.as_deref().ok_or_else(|| Refusal::Request("no engine is open".into()))
    }

    fn model(&self, number: u32) -> Result<&Model, Refusal> {
        self.models.get(&number).map(|own| &own.0).ok_or_else(|| missing("model", number))
    }

    fn feed(&self, number: u32) -> Result<&Feed, Refusal> {
        self.inputs.get(&number).ok_or_else(|| missing("set of inputs", number))
    }

    /// Bytes that may still be held.
    fn room(&self) -> u64 {
        let tensors = self.models.values().flat_map(|(_, own)| &own.tensors);
        let models: u64 = tensors.map(|(_, _, data)| data.bytes.len() as u64).sum();
        let inputs: u64 = self.inputs.values().map(feed::bytes).sum();
        self.options.memory.saturating_sub(models + inputs)
    }

    fn roomy(&self, payload: &Bytes) -> Result<u64, Refusal> {
        let room = self.room().checked_sub(payload.len() as u64);
        room.ok_or_else(|| Refusal::Request("it needs more memory than the agent may use".into()))
    }

    fn open_engine(&mut self, wanted: EngineOptions) -> Result<Answer, Refusal> {
        let opened = (self.open)(&merged(wanted, &self.options.engine))?;
        let (engine, machine) = (opened.engine.info().clone(), opened.engine.machine());
        (self.loaded, self.engine) = (None, Some(opened.engine));
        self.sessions.clear();
        Ok((Reply::Opened { engine, machine, notes: opened.notes }, Vec::new()))
    }

    fn take_model(
        &mut self,
        number: u32,
        graph: usize,
        tensors: &[super::message::Stored],
        payload: &Bytes,
    ) -> Result<Answer, Refusal> {
        let room = self.roomy(payload)?;
        let held = |model: u32, place: usize| {
            let (_, packed) = self.models.get(&model)?;
            let at = packed.tensors.binary_search_by_key(&place, |own| own.0).ok()?;
            Some(packed.tensors[at].2.clone())
        };
        let model = unpacked(payload, graph, tensors, &held, room)?;
        let packed = Packed::new(&model);
        self.models.insert(number, (model, packed));
        Ok((Reply::Done, Vec::new()))
    }

    fn take_inputs(&mut self, number: u32, lengths: &[usize], payload: &Bytes) -> Result<Answer, Refusal> {
        self.roomy(payload)?;
        self.inputs.insert(number, unpacked_feed(payload, lengths)?);
        Ok((Reply::Done, Vec::new()))
    }

    fn load(&mut self, [first, last]: [u32; 2], inputs: u32) -> Result<Answer, Refusal> {
        // What was loaded before makes room first.
        self.loaded = None;
        let models = [self.model(first)?, self.model(last)?];
        let loaded = LoadedHere::new(self.engine()?, models, self.feed(inputs)?)?;
        let prepared = loaded.prepared();
        self.loaded = Some(loaded);
        Ok((Reply::Loaded { prepared }, Vec::new()))
    }

    fn profile(&self, model: u32, inputs: u32, runs: usize) -> Result<Answer, Refusal> {
        let found = self.engine()?.profile(self.model(model)?, &feed::pairs(self.feed(inputs)?), runs).transpose()?;
        Ok((found.map_or(Reply::Nothing, |nodes| Reply::Profiled { nodes }), Vec::new()))
    }

    fn optimised(&self, model: u32) -> Result<Answer, Refusal> {
        let Some(model) = self.engine()?.optimised_model(self.model(model)?).transpose()? else {
            return Ok((Reply::Nothing, Vec::new()));
        };
        let mut proto = model.proto().clone();
        for tensor in proto.graph.iter_mut().flat_map(|graph| &mut graph.initializer) {
            tensor.raw_data = None;
        }
        Ok((Reply::Graph, vec![proto.encode_to_vec().into()]))
    }

    fn compile(&mut self, session: u32, model: u32, options: &CompileOptions) -> Result<Answer, Refusal> {
        let compiled = self.engine()?.compile(self.model(model)?, options)?;
        let outputs = compiled.outputs().to_vec();
        self.sessions.insert(session, compiled);
        Ok((Reply::Compiled { outputs }, Vec::new()))
    }

    fn run(&mut self, session: u32, inputs: u32) -> Result<Answer, Refusal> {
        let feed = self.feed(inputs)?.clone();
        let own = self.sessions.get_mut(&session).ok_or_else(|| missing("session", session))?;
        let values = own.run(&feed::pairs(&feed))?;
        let named = own.outputs().iter().map(String::as_str).zip(&values);
        let (lengths, payload) = packed_values(named);
        Ok((Reply::Values { lengths }, payload))
    }
}

/// What was asked for, and where nothing was, the agent's own.
fn merged(wanted: EngineOptions, own: &EngineOptions) -> EngineOptions {
    let usual = EngineOptions::default();
    let own = own.clone();
    EngineOptions {
        engine: if wanted.engine == usual.engine { own.engine } else { wanted.engine },
        provider: if wanted.provider == usual.provider { own.provider } else { wanted.provider },
        provider_options: if wanted.provider_options.is_empty() {
            own.provider_options
        } else {
            wanted.provider_options
        },
        provider_library: wanted.provider_library.or(own.provider_library),
        provider_device: wanted.provider_device.or(own.provider_device),
        gpu: if wanted.gpu == usual.gpu { own.gpu } else { wanted.gpu },
        threads: wanted.threads.or(own.threads),
        library: wanted.library.or(own.library),
        tensorrt_cache: wanted.tensorrt_cache.or(own.tensorrt_cache),
        fp16: wanted.fp16 || own.fp16,
    }
}

#[cfg(test)]
mod tests;
