//! Runs of ONNX Runtime with I/O binding: inputs are copied to the device once, outputs stay there.

use ort::memory::{AllocationDevice, AllocatorType, MemoryInfo, MemoryType};
use ort::session::{IoBinding, Session as OrtSession};
use ort::value::{DynValue, Value};

use super::onnxruntime::NAME;
use super::{Bound, EngineError, Tensor};

/// Where a session runs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Device {
    pub(super) gpu: bool,
    pub(super) number: i32,
}

/// A session with its inputs and outputs bound.
pub(super) struct BoundRun<'a> {
    session: &'a mut OrtSession,
    binding: IoBinding,
}

impl<'a> BoundRun<'a> {
    pub(super) fn new(
        session: &'a mut OrtSession,
        inputs: &[(&str, &Tensor)],
        outputs: &[String],
        device: Device,
    ) -> ort::Result<Self> {
        let mut binding = session.create_binding()?;
        for (name, tensor) in inputs {
            binding.bind_input(*name, &owned(tensor)?)?;
        }
        let (place, number) =
            if device.gpu { (AllocationDevice::CUDA, device.number) } else { (AllocationDevice::CPU, 0) };
        for name in outputs {
            let memory = MemoryInfo::new(place.clone(), number, AllocatorType::Device, MemoryType::Default)?;
            binding.bind_output_to_device(name.as_str(), &memory)?;
        }
        binding.synchronize_inputs()?;
        Ok(Self { session, binding })
    }
}

impl Bound for BoundRun<'_> {
    fn run(&mut self) -> Result<(), EngineError> {
        let mut once = || -> ort::Result<()> {
            drop(self.session.run_binding(&self.binding)?);
            self.binding.synchronize_outputs()
        };
        once().map_err(|error| EngineError::Run { engine: NAME.into(), why: error.to_string() })
    }
}

/// The engine keeps what it is given for as long as it is bound.
fn owned(tensor: &Tensor) -> ort::Result<DynValue> {
    Ok(match tensor {
        Tensor::F32(array) => Value::from_array(array.clone())?.into_dyn(),
        Tensor::F64(array) => Value::from_array(array.clone())?.into_dyn(),
        Tensor::F16(array) => Value::from_array(array.clone())?.into_dyn(),
        Tensor::I64(array) => Value::from_array(array.clone())?.into_dyn(),
        Tensor::I32(array) => Value::from_array(array.clone())?.into_dyn(),
        Tensor::U8(array) => Value::from_array(array.clone())?.into_dyn(),
        Tensor::I8(array) => Value::from_array(array.clone())?.into_dyn(),
        Tensor::Bool(array) => Value::from_array(array.clone())?.into_dyn(),
    })
}
