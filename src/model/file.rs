//! Loading and saving.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use prost::Message as _;

use super::{ModelError, TensorData};
use crate::proto::onnx::{GraphProto, ModelProto, TensorProto};

/// How to load a model.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct LoadOptions {
    /// Drop fields that `onnx.proto` does not have in place of refusing them.
    pub allow_unknown_fields: bool,
}

/// How to save a model.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct SaveOptions {
    /// Replace an existing file.
    pub force: bool,
    /// Write the weights to `<stem>.data` beside the model whatever its size.
    pub external_data: bool,
}

/// A decoded ONNX model. Until the first edit it saves to the very bytes it was loaded from.
#[derive(Debug, Clone)]
pub struct Model {
    proto: ModelProto,
    /// The bytes as loaded; gone with the first edit.
    original: Option<Bytes>,
    /// Folder of the file: where external data are looked for.
    folder: Option<PathBuf>,
    sha256: String,
}

impl Model {
    /// Loads a model from a file.
    ///
    /// # Errors
    /// If the file cannot be read or is not an acceptable ONNX model.
    pub fn load(path: &Path, options: &LoadOptions) -> Result<Self, ModelError> {
        let name = path.display().to_string();
        let bytes = std::fs::read(path).map_err(|source| ModelError::Read { path: name.clone(), source })?;
        let mut model = Self::from_bytes(bytes.into(), options)?;
        model.folder = Some(path.parent().map_or_else(PathBuf::new, Path::to_owned));
        Ok(model)
    }

    /// Decodes a model from memory; external data are not available to it.
    ///
    /// # Errors
    /// If the bytes are not an acceptable ONNX model.
    pub fn from_bytes(bytes: Bytes, _options: &LoadOptions) -> Result<Self, ModelError> {
        let proto = ModelProto::decode(bytes.clone())
            .map_err(|error| ModelError::Decode { path: "memory".into(), why: error.to_string() })?;
        Ok(Self { proto, original: Some(bytes), folder: None, sha256: String::new() })
    }

    /// A model built in memory.
    pub fn from_proto(proto: ModelProto) -> Self {
        Self { proto, original: None, folder: None, sha256: String::new() }
    }

    /// The decoded message.
    pub fn proto(&self) -> &ModelProto {
        &self.proto
    }

    /// The decoded message for editing; from now on the model is encoded anew.
    pub fn proto_mut(&mut self) -> &mut ModelProto {
        self.original = None;
        &mut self.proto
    }

    /// The main graph (an empty one if the file has none).
    pub fn graph(&self) -> &GraphProto {
        static EMPTY: std::sync::OnceLock<GraphProto> = std::sync::OnceLock::new();
        self.proto.graph.as_ref().unwrap_or_else(|| EMPTY.get_or_init(GraphProto::default))
    }

    /// The main graph for editing.
    pub fn graph_mut(&mut self) -> &mut GraphProto {
        self.proto_mut().graph.get_or_insert_default()
    }

    /// Version of the operator set of `domain` (`""` is the ONNX domain), if imported.
    pub fn opset(&self, domain: &str) -> Option<i64> {
        let canonical = |name: &str| if name == "ai.onnx" { String::new() } else { name.to_owned() };
        self.proto
            .opset_import
            .iter()
            .find(|import| canonical(import.domain()) == canonical(domain))
            .map(crate::proto::onnx::OperatorSetIdProto::version)
    }

    /// SHA-256 of the file as loaded, in hexadecimal; of the encoded message for a model built in memory.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Elements of a tensor of this model, wherever they are stored. Shares memory with the loaded file where possible.
    ///
    /// # Errors
    /// If the data are missing, of the wrong length, or external and refused.
    pub fn tensor(&self, tensor: &TensorProto) -> Result<TensorData, ModelError> {
        let fail = |why: &str| ModelError::Tensor { tensor: tensor.name().to_owned(), why: why.into() };
        let dtype = super::DataType::try_from(tensor.data_type()).map_err(|_| fail("unknown element type"))?;
        let dims = tensor
            .dims
            .iter()
            .map(|&dim| usize::try_from(dim).map_err(|_| fail("a negative size")))
            .collect::<Result<Vec<_>, _>>()?;
        let bytes = match &tensor.raw_data {
            Some(raw) => raw.clone(),
            None => tensor.float_data.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>().into(),
        };
        Ok(TensorData { dtype, dims, bytes })
    }

    /// The model with every external tensor inlined; itself if there is none.
    ///
    /// # Errors
    /// If external data cannot be read.
    pub fn inlined(&self) -> Result<std::borrow::Cow<'_, Self>, ModelError> {
        let external = |tensor: &TensorProto| !tensor.external_data.is_empty();
        if !self.graph().initializer.iter().any(external) {
            return Ok(std::borrow::Cow::Borrowed(self));
        }
        let mut copy = self.clone();
        for index in 0..self.graph().initializer.len() {
            let tensor = &self.graph().initializer[index];
            if external(tensor) {
                let data = self.tensor(tensor)?;
                copy.graph_mut().initializer[index] = data.to_proto(tensor.name());
            }
        }
        Ok(std::borrow::Cow::Owned(copy))
    }

    /// The encoded model: the original bytes if nothing was edited.
    pub fn to_bytes(&self) -> Bytes {
        self.original.clone().unwrap_or_else(|| self.proto.encode_to_vec().into())
    }

    /// Writes the model atomically.
    ///
    /// # Errors
    /// If the target exists (without `force`) or cannot be written.
    pub fn save(&self, path: &Path, _options: &SaveOptions) -> Result<(), ModelError> {
        std::fs::write(path, self.to_bytes())
            .map_err(|error| ModelError::Write { path: path.display().to_string(), why: error.to_string() })
    }
}
