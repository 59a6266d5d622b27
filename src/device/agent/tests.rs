//! An agent that is spoken to, and one that is spoken to badly.

use std::collections::BTreeMap;
use std::io::{BufReader, pipe};

use ndarray::arr2;
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;

use super::*;
use crate::bench::latency::TimingOptions;
use crate::device::message::Stored;
use crate::engine::{EngineInfo, Tensor};
use crate::model::{Model, TensorData, TensorType};
use crate::proto::onnx::{GraphProto, ModelProto, NodeProto, OperatorSetIdProto};

/// An engine that gives back its inputs.
struct Echo(EngineInfo);

struct EchoSession(Vec<String>);

impl Engine for Echo {
    fn info(&self) -> &EngineInfo {
        &self.0
    }

    fn compile(&self, model: &Model, _options: &CompileOptions) -> Result<Box<dyn Session>, EngineError> {
        if model.graph().name() == "refused" {
            return Err(EngineError::Compile { engine: "echo".into(), why: "it is refused".into() });
        }
        Ok(Box::new(EchoSession(model.graph().input.iter().map(|own| own.name().to_owned()).collect())))
    }
}

impl Session for EchoSession {
    fn outputs(&self) -> &[String] {
        &self.0
    }

    fn run(&mut self, inputs: &[(&str, &Tensor)]) -> Result<Vec<Tensor>, EngineError> {
        Ok(inputs.iter().map(|(_, value)| (*value).clone()).collect())
    }
}

#[allow(clippy::unnecessary_wraps, reason = "as engines are opened")]
fn echo(_options: &EngineOptions) -> Result<Opened, EngineError> {
    let info =
        EngineInfo { name: "echo".into(), version: "1".into(), provider: "cpu".into(), library: None, threads: 1 };
    Ok(Opened { engine: Box::new(Echo(info)), notes: Vec::new() })
}

fn options(memory: u64) -> AgentOptions {
    AgentOptions { memory, ..AgentOptions::new(EngineOptions::default(), || {}) }
}

/// `y = x w`, with `columns` columns.
fn product(name: &str, weight: &TensorData) -> Model {
    let float = TensorType::new(crate::model::DataType::Float);
    Model::from_proto(ModelProto {
        ir_version: Some(8),
        opset_import: vec![OperatorSetIdProto { domain: Some(String::new()), version: Some(13) }],
        graph: Some(GraphProto {
            name: Some(name.into()),
            node: vec![NodeProto::new("MatMul").input("x").input("w").output("y")],
            input: vec![float.declare("x")],
            output: vec![float.declare("y")],
            initializer: vec![weight.to_proto("w")],
            ..GraphProto::default()
        }),
        ..ModelProto::default()
    })
}

fn weight() -> TensorData {
    let values: Vec<f32> = (0..400_u16).map(|at| f32::from(at * 7 % 397)).collect();
    TensorData::from_f32(vec![20, 20], &values)
}

/// Everything that a program may say, in a good order.
fn talk() -> Vec<(Request, Vec<Bytes>)> {
    let whole = Packed::new(&product("whole", &weight()));
    let half = weight().select(1, &(0..10).map(|at| 2 * at).collect::<Vec<_>>()).unwrap();
    let part = Packed::new(&product("part", &half));
    let feed: Feed = [("x".to_owned(), Arc::new(Tensor::F32(arr2(&[[1.0; 20]]).into_dyn())))].into();
    let model = |number: u32, packed: &Packed, held: &[(u32, Packed)]| {
        let (tensors, numbers) = packed.beside(held);
        let payload = std::iter::once(packed.graph.clone()).chain(numbers).collect();
        (Request::Model { number, graph: packed.graph.len(), tensors }, payload)
    };
    let (lengths, values) = packed_values(feed::pairs(&feed).into_iter());
    let short = TimingOptions { least_ms: 0.0, most_ms: 0.0, warm_up: 1, sample_ms: 0.0, ..TimingOptions::default() };
    vec![
        (Request::Open { engine: EngineOptions::default() }, Vec::new()),
        model(1, &whole, &[]),
        model(2, &part, &[(1, whole.clone())]),
        (Request::Inputs { number: 3, lengths }, values),
        (Request::Load { models: [1, 2], inputs: 3 }, Vec::new()),
        (Request::Time { options: short }, Vec::new()),
        (Request::Profile { model: 1, inputs: 3, runs: 2 }, Vec::new()),
        (Request::Optimised { model: 2 }, Vec::new()),
        (
            Request::Compile { session: 4, model: 1, outputs: Vec::new(), shapes: BTreeMap::new(), plain: false },
            Vec::new(),
        ),
        (Request::Run { session: 4, inputs: 3 }, Vec::new()),
        (Request::Close { session: 4 }, Vec::new()),
        (Request::Beat, Vec::new()),
        (Request::Forget { number: 2 }, Vec::new()),
    ]
}

fn joined(payload: &[Bytes]) -> Bytes {
    payload.concat().into()
}

#[test]
fn every_request_is_answered() {
    let (options, cancel) = (options(1 << 20), AtomicBool::new(false));
    let mut agent = Agent::new(&options, &echo);
    let mut told = Vec::new();
    for (request, payload) in talk() {
        if let Some((reply, _)) = agent.answer(request, &joined(&payload), &cancel) {
            assert!(!matches!(reply, Reply::Failed { .. }), "{reply:?}");
            told.push(reply);
        }
    }
    assert_eq!(told.len(), talk().len() - 1);
    assert!(matches!(&told[5], Reply::Timed { found, .. } if found.before_ms.len() >= 2));
    assert!(matches!(&told[9], Reply::Values { lengths } if lengths.len() == 1));
    assert!(!agent.models.contains_key(&2) && agent.models.contains_key(&1));
}

#[test]
fn a_sliced_model_is_sent_as_indices_and_is_the_same_there() {
    let (options, cancel) = (options(1 << 20), AtomicBool::new(false));
    let mut agent = Agent::new(&options, &echo);
    for (request, payload) in talk().into_iter().take(3) {
        if let Request::Model { number: 2, tensors, graph } = &request {
            assert_eq!(joined(&payload).len(), *graph, "only the graph is sent");
            assert!(matches!(
                tensors[..],
                [Stored { numbers: crate::device::message::Numbers::Kept { model: 1, .. }, .. }]
            ));
        }
        agent.answer(request, &joined(&payload), &cancel);
    }
    let half = weight().select(1, &(0..10).map(|at| 2 * at).collect::<Vec<_>>()).unwrap();
    assert_eq!(agent.models[&2].0.to_bytes(), product("part", &half).to_bytes());
}

#[test]
fn what_does_not_suit_is_refused_by_name() {
    let (options, cancel) = (options(4096), AtomicBool::new(false));
    let mut agent = Agent::new(&options, &echo);
    let mut refused = |request: Request, payload: Bytes| match agent.answer(request, &payload, &cancel) {
        Some((Reply::Failed { failure: Failure::Request { why } }, _)) => why,
        other => panic!("{:?}", other.map(|own| own.0)),
    };
    assert_eq!(refused(Request::Optimised { model: 7 }, Bytes::new()), "no engine is open");
    assert_eq!(refused(Request::Load { models: [7, 8], inputs: 1 }, Bytes::new()), "there is no model 7");
    let large = Request::Inputs { number: 1, lengths: vec![5000] };
    assert!(refused(large, vec![0; 5000].into()).contains("more memory"));
    let short = Request::Inputs { number: 1, lengths: vec![usize::MAX, 2] };
    assert!(refused(short, Bytes::from_static(b"ab")).contains("shorter"));
}

/// Numbers and lengths in the middle, bits, cuts, doubled pieces: never a panic, never more memory than promised.
#[test]
fn mutated_streams_do_no_harm() {
    const STREAMS: u64 = 100_000;
    const MEMORY: u64 = 64 << 10;
    let frames: Vec<Vec<u8>> =
        talk().into_iter().map(|(request, payload)| wire::frame(&request, payload).unwrap().concat()).collect();
    let good: Vec<u8> = frames.concat();
    let (options, cancel) = (options(MEMORY), AtomicBool::new(false));
    let answered: u64 = (0..STREAMS)
        .map(|seed| {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let mut stream = good.clone();
            for _ in 0..rng.random_range(1..6) {
                mutate(&mut stream, &mut rng);
            }
            let mut agent = Agent::new(&options, &echo);
            let mut from = &stream[..];
            let mut answered = 0;
            while let Ok((request, payload)) = wire::read::<Request>(&mut from) {
                // A stream may ask for hours of timing: that is what a program may do.
                if matches!(request, Request::Time { .. }) {
                    continue;
                }
                answered += u64::from(agent.answer(request, &payload, &cancel).is_some());
                assert!(agent.room() <= MEMORY);
                let held: usize =
                    agent.models.values().flat_map(|own| &own.1.tensors).map(|own| own.2.bytes.len()).sum();
                assert!(held as u64 <= 4 * MEMORY, "{held}");
            }
            answered
        })
        .sum();
    // Most are cut somewhere, and many say something before.
    assert!(answered > STREAMS, "{answered}");
}

fn mutate(stream: &mut Vec<u8>, rng: &mut ChaCha8Rng) {
    let length = stream.len();
    if length < 2 {
        return;
    }
    let at = rng.random_range(0..length);
    match rng.random_range(0..6) {
        0 => stream[at] ^= 1 << rng.random_range(0..8),
        1 => stream[at] = rng.random_range(0..=255),
        2 => stream.truncate(at),
        3 => drop(stream.drain(at..(at + rng.random_range(0..40)).min(length))),
        4 => {
            let piece: Vec<u8> = stream[at..(at + 40).min(length)].to_vec();
            stream.splice(at..at, piece);
        }
        _ => stream[at] = b"0123456789"[rng.random_range(0..10)],
    }
}

#[test]
fn an_agent_serves_until_the_stream_ends() {
    let (from_program, mut to_agent) = pipe().unwrap();
    let (from_agent, to_program) = pipe().unwrap();
    let serving = std::thread::spawn(move || serve(from_program, to_program, &options(1 << 20)));
    wire::greet(&mut to_agent).unwrap();
    let mut replies = BufReader::new(from_agent);
    wire::greeted(&mut replies).unwrap();
    wire::write(&mut to_agent, &wire::frame(&Request::Forget { number: 1 }, Vec::new()).unwrap()).unwrap();
    assert_eq!(wire::read::<Reply>(&mut replies).unwrap().0, Reply::Done);
    drop(to_agent);
    assert_eq!(serving.join().unwrap(), Ok(()));
}

#[test]
fn signs_of_life_are_heard_however_long_the_agent_is_busy() {
    let mut stream = Vec::new();
    wire::greet(&mut stream).unwrap();
    for _ in 0..100 {
        wire::write(&mut stream, &wire::frame(&Request::Beat, Vec::new()).unwrap()).unwrap();
    }
    let life = Arc::new(Life::default());
    // Nobody takes what comes, as while a model is timed: the stream is read to its end all the same.
    let frames = reading(std::io::Cursor::new(stream), Arc::clone(&life));
    let begin = Instant::now();
    while !life.gone.load(Ordering::Relaxed) && begin.elapsed() < Duration::from_secs(5) {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(life.gone.load(Ordering::Relaxed), "the reading thread waits for the agent");
    assert!(matches!(frames.recv(), Ok(Err(WireError::Ended))));
}

#[test]
fn a_program_of_another_version_is_named() {
    let (from_program, mut to_agent) = pipe().unwrap();
    let (_from_agent, to_program) = pipe().unwrap();
    let serving = std::thread::spawn(move || serve(from_program, to_program, &options(1 << 20)));
    to_agent.write_all(wire::MAGIC).unwrap();
    to_agent.write_all(&99_u32.to_le_bytes()).unwrap();
    assert!(serving.join().unwrap().unwrap_err().contains("version 99"));
}
