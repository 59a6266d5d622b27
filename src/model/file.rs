//! Loading.

use std::borrow::Cow;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use bytes::Bytes;
use prost::Message as _;
use sha2::{Digest as _, Sha256};

use super::external::{External, is_external};
use super::{ModelError, TensorData, check, map};
use crate::number::hex;
use crate::proto::onnx::{GraphProto, ModelProto, OperatorSetIdProto, TensorProto};
use crate::proto::scan::{Limits, scan};

/// Bytes and SHA-256 of a file, read piece by piece: no second copy of a model in memory.
pub(crate) fn digest(path: &Path) -> std::io::Result<(u64, String)> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut piece = vec![0; 1 << 20];
    let mut size = 0;
    loop {
        let read = file.read(&mut piece)?;
        let Some(bytes) = piece.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
        hasher.update(bytes);
        size += bytes.len() as u64;
    }
    Ok((size, hex(&hasher.finalize())))
}

/// How to load a model.
#[derive(Debug, Clone, Default)]
pub struct LoadOptions {
    /// Drop fields that `onnx.proto` does not have in place of refusing them.
    pub allow_unknown_fields: bool,
}

/// A decoded ONNX model. Until the first edit it saves to the very bytes it was loaded from.
#[derive(Debug, Clone)]
pub struct Model {
    proto: ModelProto,
    /// The bytes as loaded; gone with the first edit.
    original: Option<Bytes>,
    path: Option<PathBuf>,
    external: External,
    sha256: OnceLock<String>,
    size_bytes: u64,
}

impl Model {
    /// Loads a model from a file. The file is mapped: weights are read when they are needed.
    ///
    /// # Errors
    /// If the file cannot be read or is not an acceptable ONNX model.
    pub fn load(path: &Path, options: &LoadOptions) -> Result<Self, ModelError> {
        let name = path.display().to_string();
        let read = |source| ModelError::Read { path: name.clone(), source };
        // Asked before: Windows only says that access to a folder is denied.
        if path.is_dir() {
            return Err(read(std::io::Error::from(std::io::ErrorKind::IsADirectory)));
        }
        let file = File::open(path).map_err(read)?;
        let kind = file.metadata().map_err(read)?;
        if !kind.is_file() {
            // A pipe has no length and cannot be mapped.
            return Self::read(&mut &file, &name, options);
        }
        let bytes = map::map(&file).map_err(read)?;
        let mut model = Self::decode(bytes, &name, options)?;
        model.path = Some(path.to_owned());
        model.external = External::beside(path);
        Ok(model)
    }

    /// Reads a model from a stream, `name` standing for it in messages. External data are not available to it.
    ///
    /// # Errors
    /// If the stream cannot be read or is not an acceptable ONNX model.
    pub fn read(stream: &mut dyn Read, name: &str, options: &LoadOptions) -> Result<Self, ModelError> {
        let mut bytes = Vec::new();
        let limit = Limits::default().most_bytes as u64 + 1;
        let read = stream.take(limit).read_to_end(&mut bytes);
        read.map_err(|source| ModelError::Read { path: name.into(), source })?;
        Self::decode(bytes.into(), name, options)
    }

    /// Decodes a model from memory; external data are not available to it.
    ///
    /// # Errors
    /// If the bytes are not an acceptable ONNX model.
    pub fn from_bytes(bytes: Bytes, options: &LoadOptions) -> Result<Self, ModelError> {
        Self::decode(bytes, "memory", options)
    }

    fn decode(bytes: Bytes, name: &str, options: &LoadOptions) -> Result<Self, ModelError> {
        let path = || name.to_owned();
        if bytes.is_empty() {
            let (place, why) = ("0 bytes".into(), "it is empty".into());
            return Err(ModelError::Decode { path: path(), place, why });
        }
        let scanned = scan(&bytes, &Limits::default()).map_err(|error| ModelError::Decode {
            path: path(),
            place: format!("byte {} of {}, in {}", error.offset, bytes.len(), error.path),
            why: error.why,
        })?;
        if !scanned.unknown.is_empty() && !options.allow_unknown_fields {
            return Err(ModelError::UnknownFields { path: path(), fields: scanned.unknown });
        }
        let proto = ModelProto::decode(bytes.clone()).map_err(|error| ModelError::Decode {
            path: path(),
            place: format!("{} bytes", bytes.len()),
            why: error.to_string(),
        })?;
        check::check(&proto).map_err(|why| ModelError::Invalid { path: path(), why })?;
        let size_bytes = bytes.len() as u64;
        Ok(Self { original: Some(bytes), size_bytes, ..Self::from_proto(proto) })
    }

    /// The model, if names, sizes and versions are what every later step relies on.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub(crate) fn checked(self) -> Result<Self, ModelError> {
        check::check(&self.proto).map_err(|why| ModelError::Invalid { path: "memory".into(), why })?;
        Ok(self)
    }

    /// A model built in memory.
    pub fn from_proto(proto: ModelProto) -> Self {
        Self {
            proto,
            original: None,
            path: None,
            external: External::default(),
            sha256: OnceLock::new(),
            size_bytes: 0,
        }
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
        static EMPTY: OnceLock<GraphProto> = OnceLock::new();
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
            .map(OperatorSetIdProto::version)
    }

    /// SHA-256 of the file as loaded, in hexadecimal; of the encoded message for a model that was built or edited
    /// before the first call.
    pub fn sha256(&self) -> &str {
        self.sha256.get_or_init(|| hex(&Sha256::digest(self.to_bytes())))
    }

    /// Bytes of the file as loaded, external data included as far as initializers refer to them.
    pub fn size_bytes(&self) -> u64 {
        let external = self.graph().initializer.iter().filter(|tensor| is_external(tensor));
        let outside: usize = external.filter_map(|tensor| TensorData::needed_bytes(tensor).ok().flatten()).sum();
        self.size_bytes + outside as u64
    }

    /// Elements of stored weights: floats and 8-bit numbers of at least two elements, in initializers and `Constant`
    /// nodes of the main graph, each stored tensor once.
    pub fn weight_count(&self) -> u64 {
        use super::DataType as T;
        let weight = |tensor: &&TensorProto| {
            let kind = T::try_from(tensor.data_type()).unwrap_or(T::Undefined);
            matches!(kind, T::Float | T::Float16 | T::Bfloat16 | T::Double | T::Int8 | T::Uint8)
        };
        let constants = self.graph().node.iter().filter(|node| node.op_type() == "Constant");
        let values = constants.flat_map(|node| node.attribute.iter().filter_map(|attribute| attribute.t.as_ref()));
        self.graph()
            .initializer
            .iter()
            .chain(values)
            .filter(weight)
            .filter_map(|tensor| TensorData::sizes(tensor).ok())
            .map(|dims| dims.iter().map(|&size| size as u64).product::<u64>())
            .filter(|&elements| elements > 1)
            .sum()
    }

    /// Elements of a tensor of this model, wherever they are stored. Shares memory with the loaded file where possible.
    ///
    /// # Errors
    /// If the data are missing, of the wrong length, or external and refused.
    pub fn tensor(&self, tensor: &TensorProto) -> Result<TensorData, ModelError> {
        let fail = |why: String| ModelError::Tensor { tensor: tensor.name().to_owned(), why };
        let dtype =
            super::DataType::try_from(tensor.data_type()).map_err(|_| fail("its element type is unknown".into()))?;
        let needed = TensorData::needed_bytes(tensor).map_err(fail)?;
        let needed = needed.ok_or_else(|| fail(format!("elements of type {dtype:?} are not read")))?;
        let dims = TensorData::sizes(tensor).map_err(fail)?;
        let bytes = if is_external(tensor) {
            self.external.read(tensor, needed).map_err(fail)?
        } else if let Some(raw) = &tensor.raw_data {
            raw.clone()
        } else {
            let typed = TensorData::typed_bytes(tensor, dtype);
            typed.ok_or_else(|| fail(format!("elements of type {dtype:?} without raw_data are not read")))?.into()
        };
        if bytes.len() != needed {
            return Err(fail(format!("it has {} bytes, its shape needs {needed}", bytes.len())));
        }
        Ok(TensorData { dtype, dims, bytes })
    }

    /// Whether an initializer's data lie in another file.
    pub fn has_external_data(&self) -> bool {
        self.graph().initializer.iter().any(is_external)
    }

    /// The model with the data of external initializers taken in; itself if there are none.
    ///
    /// # Errors
    /// If external data cannot be read.
    pub fn inlined(&self) -> Result<Cow<'_, Self>, ModelError> {
        if !self.has_external_data() {
            return Ok(Cow::Borrowed(self));
        }
        let mut copy = self.clone();
        for (index, tensor) in self.graph().initializer.iter().enumerate().filter(|(_, tensor)| is_external(tensor)) {
            let data = self.tensor(tensor)?;
            let inline = TensorProto {
                raw_data: Some(data.bytes),
                external_data: Vec::new(),
                data_location: None,
                ..tensor.clone()
            };
            copy.graph_mut().initializer[index] = inline;
        }
        Ok(Cow::Owned(copy))
    }

    /// The encoded model: the original bytes if nothing was edited.
    pub fn to_bytes(&self) -> Bytes {
        self.original.clone().unwrap_or_else(|| self.proto.encode_to_vec().into())
    }

    pub(super) fn original_bytes(&self) -> Option<Bytes> {
        self.original.clone()
    }

    /// Whether `path` is the file that the model was loaded from, by whatever name.
    /// Whether its weights lie in this file beside it.
    pub(super) fn reads_from(&self, path: &Path) -> bool {
        let Ok(path) = path.canonicalize() else { return false };
        self.external.files().iter().any(|own| own.canonicalize().is_ok_and(|own| own == path))
    }

    pub(super) fn is_loaded_from(&self, path: &Path) -> bool {
        let same = |own: &PathBuf| Some(own.canonicalize().ok()? == path.canonicalize().ok()?);
        self.path.as_ref().and_then(same).unwrap_or(false)
    }
}
