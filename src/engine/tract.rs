//! The embedded engine.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tract_onnx::prelude::{
    DatumType, Framework, InferenceFact, InferenceModel, InferenceModelExt, IntoRunnable, TValue, TVec,
    Tensor as TractTensor, TypedModel, TypedRunnableModel,
};

use tract_onnx::tract_hir::infer::Factoid as _;

use super::prepare::prepare;
use super::{CompileOptions, Engine, EngineError, EngineInfo, Session, Tensor};
use crate::model::Model;

const NAME: &str = "tract";

/// A session keeps compiled plans for this many input shapes: the usual batch, the last smaller one, and one more.
const MOST_PLANS: usize = 3;

pub(super) struct Tract {
    info: EngineInfo,
}

impl Tract {
    pub(super) fn open() -> Self {
        let info = EngineInfo {
            name: NAME.into(),
            version: "0.23.9".into(),
            provider: "cpu".into(),
            library: None,
            threads: 1,
        };
        Self { info }
    }
}

impl Engine for Tract {
    fn info(&self) -> &EngineInfo {
        &self.info
    }

    fn is_embedded(&self) -> bool {
        true
    }

    fn compile(&self, model: &Model, options: &CompileOptions) -> Result<Box<dyn Session>, EngineError> {
        let (bytes, outputs) = prepare(NAME, model, &options.outputs)?;
        let parsed = guarded(|| {
            tract_onnx::onnx()
                .with_ignore_output_types(true)
                .model_for_read(&mut Cursor::new(&bytes))
                .map_err(|error| format!("{error:#}"))
        })
        .map_err(|why| EngineError::Compile { engine: NAME.into(), why })?;
        let inputs = parsed
            .input_outlets()
            .map_err(|error| EngineError::Compile { engine: NAME.into(), why: error.to_string() })?
            .iter()
            .map(|outlet| parsed.node(outlet.node).name.clone())
            .collect();
        let mut session = Running { parsed, inputs, outputs, plans: Vec::new() };
        // Compile at once where the shapes are known, so that an unusable model is refused here.
        let shapes: BTreeMap<String, Vec<usize>> = options.input_shapes.clone();
        if session.inputs.iter().all(|name| shapes.contains_key(name)) {
            let shapes = session.inputs.iter().map(|name| shapes[name].clone()).collect();
            session.plan(shapes).map_err(|why| EngineError::Compile { engine: NAME.into(), why })?;
        }
        Ok(Box::new(session))
    }
}

struct Running {
    parsed: InferenceModel,
    inputs: Vec<String>,
    outputs: Vec<String>,
    plans: Vec<(Vec<Vec<usize>>, Arc<TypedRunnableModel>)>,
}

impl Running {
    /// The compiled model for these input shapes; symbolic sizes would be up to six times slower.
    fn plan(&mut self, shapes: Vec<Vec<usize>>) -> Result<Arc<TypedRunnableModel>, String> {
        if let Some(at) = self.plans.iter().position(|(known, _)| *known == shapes) {
            let plan = self.plans.remove(at);
            let model = Arc::clone(&plan.1);
            self.plans.push(plan);
            return Ok(model);
        }
        let mut model = self.parsed.clone();
        let made = guarded(|| -> Result<Arc<TypedRunnableModel>, String> {
            for (index, shape) in shapes.iter().enumerate() {
                let kind = model
                    .input_fact(index)
                    .ok()
                    .and_then(|fact| fact.datum_type.concretize())
                    .unwrap_or(DatumType::F32);
                let fact = InferenceFact::dt_shape(kind, shape);
                model.set_input_fact(index, fact).map_err(|error| format!("{error:#}"))?;
            }
            let typed: TypedModel = model.into_optimized().map_err(|error| format!("{error:#}"))?;
            typed.into_runnable().map_err(|error| format!("{error:#}"))
        })?;
        if self.plans.len() == MOST_PLANS {
            self.plans.remove(0);
        }
        self.plans.push((shapes, Arc::clone(&made)));
        Ok(made)
    }

    fn execute(&mut self, inputs: &[(&str, &Tensor)]) -> Result<Vec<Tensor>, String> {
        let ordered: Vec<&Tensor> = self
            .inputs
            .iter()
            .map(|wanted| {
                let found = inputs.iter().find(|(name, _)| name == wanted);
                found.map(|(_, tensor)| *tensor).ok_or_else(|| format!("the input `{wanted}` is missing"))
            })
            .collect::<Result<_, _>>()?;
        let plan = self.plan(ordered.iter().map(|tensor| tensor.shape().to_vec()).collect())?;
        let feed = ordered.into_iter().map(|tensor| to_tract(tensor).into()).collect::<TVec<TValue>>();
        let results = guarded(|| plan.run(feed).map_err(|error| format!("{error:#}")))?;
        results.iter().map(|value| from_tract(value)).collect()
    }
}

impl Session for Running {
    fn outputs(&self) -> &[String] {
        &self.outputs
    }

    fn run(&mut self, inputs: &[(&str, &Tensor)]) -> Result<Vec<Tensor>, EngineError> {
        self.execute(inputs).map_err(|why| EngineError::Run { engine: NAME.into(), why })
    }
}

/// tract asserts in places where a model is merely unusual; a panic becomes an error.
fn guarded<T>(f: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        Err(text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "it panicked".into()))
    })
}

fn to_tract(tensor: &Tensor) -> TractTensor {
    match tensor {
        Tensor::F32(array) => array.clone().into(),
        Tensor::F64(array) => array.clone().into(),
        Tensor::F16(array) => array.clone().into(),
        Tensor::I64(array) => array.clone().into(),
        Tensor::I32(array) => array.clone().into(),
        Tensor::U8(array) => array.clone().into(),
        Tensor::I8(array) => array.clone().into(),
        Tensor::Bool(array) => array.clone().into(),
    }
}

fn from_tract(tensor: &TractTensor) -> Result<Tensor, String> {
    macro_rules! owned {
        ($variant:ident, $kind:ty) => {
            Tensor::$variant(tensor.to_plain_array_view::<$kind>().map_err(|error| error.to_string())?.to_owned())
        };
    }
    Ok(match tensor.datum_type() {
        DatumType::F32 => owned!(F32, f32),
        DatumType::F64 => owned!(F64, f64),
        DatumType::F16 => owned!(F16, half::f16),
        DatumType::I64 => owned!(I64, i64),
        DatumType::I32 => owned!(I32, i32),
        DatumType::U8 => owned!(U8, u8),
        DatumType::I8 => owned!(I8, i8),
        DatumType::Bool => owned!(Bool, bool),
        DatumType::TDim => {
            let cast = tensor.cast_to::<i64>().map_err(|error| error.to_string())?;
            Tensor::I64(cast.to_plain_array_view::<i64>().map_err(|error| error.to_string())?.to_owned())
        }
        other => return Err(format!("an output has the element type {other:?}, which is not read")),
    })
}
