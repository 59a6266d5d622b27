//! A device with an agent: an engine that runs elsewhere.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::link::Link;
use super::message::{Reply, Request};
use super::packed::{Packed, packed_values, unpacked_values};
use super::target::DeviceOptions;
use crate::bench::BenchError;
use crate::bench::latency::{Comparison, Device, Loaded, Prepared, TimingOptions};
use crate::engine::{CompileOptions, Engine, EngineError, EngineInfo, Feed, Machine, NodeTime, Session, Tensor, feed};
use crate::model::{LoadOptions, Model};

/// Models that the agent holds at once: the first few, which others are sent as parts of, and the last.
const MOST_HELD: usize = 6;

/// Models that are not forgotten.
const KEPT: usize = 3;

/// The engine of an agent.
pub(super) struct Remote<'a> {
    connection: Arc<Connection>,
    info: EngineInfo,
    machine: Machine,
    cancel: &'a AtomicBool,
}

/// A link, and what the agent holds.
struct Connection {
    name: String,
    state: Mutex<State>,
}

struct State {
    link: Link,
    models: Vec<(u32, Packed)>,
    inputs: Vec<(u32, Feed)>,
    next: u32,
}

impl<'a> Remote<'a> {
    /// Opens the engine of a device; `None` where it has no agent. What the engine said there comes with it.
    pub(super) fn open(
        options: &DeviceOptions,
        cancel: &'a AtomicBool,
    ) -> Result<Option<(Self, Vec<String>)>, EngineError> {
        let Some(mut link) = Link::start(options)? else { return Ok(None) };
        let opened = link.ask(&Request::Open { engine: options.engine.clone() }, Vec::new(), cancel)?;
        let (Reply::Opened { engine, machine, notes }, _) = opened else { return Err(link.unsuitable()) };
        let state = State { link, models: Vec::new(), inputs: Vec::new(), next: 0 };
        let connection = Connection { name: options.target.to_string(), state: Mutex::new(state) };
        Ok(Some((Self { connection: Arc::new(connection), info: engine, machine, cancel }, notes)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.connection.state()
    }

    /// As a result of a function that tells where the engine cannot do it.
    fn asked<T>(
        &self,
        ask: impl FnOnce(&mut State) -> Result<Option<T>, EngineError>,
    ) -> Option<Result<T, EngineError>> {
        ask(&mut self.state()).transpose()
    }
}

impl Connection {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn number(&mut self) -> u32 {
        self.next += 1;
        self.next
    }

    /// Sends a model, unless it is there.
    fn model(&mut self, model: &Model, cancel: &AtomicBool) -> Result<u32, EngineError> {
        let packed = Packed::new(model);
        if let Some(at) = self.models.iter().position(|(_, own)| *own == packed) {
            let number = self.models[at].0;
            if at >= KEPT {
                // The last that is used is the last that goes.
                self.models[at..].rotate_left(1);
            }
            return Ok(number);
        }
        if self.models.len() >= MOST_HELD {
            let (number, _) = self.models.remove(KEPT);
            self.link.ask(&Request::Forget { number }, Vec::new(), cancel)?;
        }
        let number = self.number();
        let (tensors, numbers) = packed.beside(&self.models);
        let request = Request::Model { number, graph: packed.graph.len(), tensors };
        let payload = std::iter::once(packed.graph.clone()).chain(numbers).collect();
        self.link.ask(&request, payload, cancel)?;
        self.models.push((number, packed));
        Ok(number)
    }

    /// Sends inputs, unless they are there.
    fn inputs(&mut self, feed: &Feed, cancel: &AtomicBool) -> Result<u32, EngineError> {
        if let Some((number, _)) = self.inputs.iter().find(|(_, own)| own == feed) {
            return Ok(*number);
        }
        // The same numbers are used again, and the agent lets go of what they were.
        let number = match self.inputs.len() {
            0..2 => self.number(),
            _ => self.inputs.remove(0).0,
        };
        let (lengths, payload) = packed_values(feed::pairs(feed).into_iter());
        self.link.ask(&Request::Inputs { number, lengths }, payload, cancel)?;
        self.inputs.push((number, feed.clone()));
        Ok(number)
    }
}

/// Inputs by name.
fn owned(inputs: &[(&str, &Tensor)]) -> Feed {
    inputs.iter().map(|(name, value)| ((*name).to_owned(), Arc::new((*value).clone()))).collect()
}

impl Engine for Remote<'_> {
    fn info(&self) -> &EngineInfo {
        &self.info
    }

    fn compile(&self, model: &Model, options: &CompileOptions) -> Result<Box<dyn Session>, EngineError> {
        let mut state = self.state();
        let model = state.model(model, self.cancel)?;
        let session = state.number();
        let CompileOptions { outputs, input_shapes, plain } = options.clone();
        let request = Request::Compile { session, model, outputs, shapes: input_shapes, plain };
        let (Reply::Compiled { outputs }, _) = state.link.ask(&request, Vec::new(), self.cancel)? else {
            return Err(state.link.unsuitable());
        };
        drop(state);
        Ok(Box::new(RemoteSession { connection: Arc::clone(&self.connection), session, outputs }))
    }

    fn optimised_model(&self, model: &Model) -> Option<Result<Model, EngineError>> {
        self.asked(|state| {
            let model = state.model(model, self.cancel)?;
            let (reply, payload) = state.link.ask(&Request::Optimised { model }, Vec::new(), self.cancel)?;
            // A graph that cannot be read tells as little as none.
            Ok(match reply {
                Reply::Graph => Model::from_bytes(payload, &LoadOptions { allow_unknown_fields: true }).ok(),
                _ => None,
            })
        })
    }

    fn machine(&self) -> Machine {
        self.machine.clone()
    }

    fn profile(
        &self,
        model: &Model,
        inputs: &[(&str, &Tensor)],
        runs: usize,
    ) -> Option<Result<Vec<NodeTime>, EngineError>> {
        self.asked(|state| {
            let (model, inputs) = (state.model(model, self.cancel)?, state.inputs(&owned(inputs), self.cancel)?);
            match state.link.ask(&Request::Profile { model, inputs, runs }, Vec::new(), self.cancel)? {
                (Reply::Profiled { nodes }, _) => Ok(Some(nodes)),
                _ => Ok(None),
            }
        })
    }
}

impl Device for Remote<'_> {
    fn engine(&self) -> &dyn Engine {
        self
    }

    fn load<'b>(&'b self, [first, last]: [&Model; 2], feed: &Feed) -> Result<Box<dyn Loaded + 'b>, BenchError> {
        let mut state = self.state();
        let models = [state.model(first, self.cancel)?, state.model(last, self.cancel)?];
        let inputs = state.inputs(feed, self.cancel)?;
        let (Reply::Loaded { prepared }, _) =
            state.link.ask(&Request::Load { models, inputs }, Vec::new(), self.cancel)?
        else {
            return Err(state.link.unsuitable().into());
        };
        Ok(Box::new(RemoteLoaded { remote: self, prepared }))
    }

    fn name(&self) -> Option<&str> {
        Some(&self.connection.name)
    }

    fn sent_bytes(&self) -> u64 {
        self.state().link.sent()
    }
}

/// Two models that are loaded there.
struct RemoteLoaded<'a> {
    remote: &'a Remote<'a>,
    prepared: Prepared,
}

impl Loaded for RemoteLoaded<'_> {
    fn prepared(&self) -> Prepared {
        self.prepared
    }

    fn time(&mut self, options: &TimingOptions, cancel: &AtomicBool) -> Result<(Comparison, f64), BenchError> {
        let mut state = self.remote.state();
        match state.link.ask(&Request::Time { options: *options }, Vec::new(), cancel)? {
            (Reply::Timed { found, elapsed_ms }, _) => Ok((found, elapsed_ms)),
            _ => Err(state.link.unsuitable().into()),
        }
    }
}

/// A session there.
struct RemoteSession {
    connection: Arc<Connection>,
    session: u32,
    outputs: Vec<String>,
}

/// Nobody interrupts a single run.
static NEVER: AtomicBool = AtomicBool::new(false);

impl Session for RemoteSession {
    fn outputs(&self) -> &[String] {
        &self.outputs
    }

    fn run(&mut self, inputs: &[(&str, &Tensor)]) -> Result<Vec<Tensor>, EngineError> {
        let mut state = self.connection.state();
        let inputs = state.inputs(&owned(inputs), &NEVER)?;
        let request = Request::Run { session: self.session, inputs };
        let (reply, payload): (Reply, Bytes) = state.link.ask(&request, Vec::new(), &NEVER)?;
        let Reply::Values { lengths } = reply else { return Err(state.link.unsuitable()) };
        let values = unpacked_values(&payload, &lengths);
        Ok(values.map_err(|_| state.link.unsuitable())?.into_iter().map(|(_, value)| value).collect())
    }
}

impl Drop for RemoteSession {
    fn drop(&mut self) {
        // A connection that is lost has ended the session already.
        let _ = self.connection.state().link.ask(&Request::Close { session: self.session }, Vec::new(), &NEVER);
    }
}
