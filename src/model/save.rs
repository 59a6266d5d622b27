//! Writing models: atomically, never over the input.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use prost::Message as _;
use prost::encoding::{WireType, encode_key, encode_varint};

use super::external::is_external;
use super::{Model, ModelError};
use crate::proto::onnx::{GraphProto, ModelProto, StringStringEntryProto, TensorProto, tensor_proto::DataLocation};

/// How to save a model.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct SaveOptions {
    /// Replace an existing file.
    pub force: bool,
    /// Write the weights to `<stem>.data` beside the model whatever its size. A model over 2 GiB always is.
    pub external_data: bool,
}

/// Largest message protobuf takes.
const MOST_BYTES: usize = 0x7fff_ffff;

/// Tensors smaller than this stay inside the model.
const LEAST_EXTERNAL: usize = 1024;

/// Offsets in data files are multiples of this, so that they can be mapped.
const ALIGNMENT: u64 = 4096;

impl Model {
    /// Bytes of the file that [`Model::save`] writes where everything fits into one, as it does below 2 GiB.
    ///
    /// # Errors
    /// If external data cannot be read.
    pub fn saved_bytes(&self) -> Result<u64, ModelError> {
        if let Some(bytes) = self.original_bytes().filter(|_| !self.has_external_data()) {
            return Ok(bytes.len() as u64);
        }
        Ok(self.inlined()?.proto().encoded_len() as u64)
    }

    /// Writes the model atomically: a temporary file in the target's folder, flushed to disk, then renamed.
    ///
    /// External data are inlined unless [`SaveOptions::external_data`] is set or the model would exceed 2 GiB.
    ///
    /// # Errors
    /// If the target exists (without `force`), is the file the model was loaded from, or cannot be written.
    pub fn save(&self, path: &Path, options: &SaveOptions) -> Result<(), ModelError> {
        let fail = |why: &str| ModelError::Write { path: path.display().to_string(), why: why.into() };
        if self.is_loaded_from(path) {
            return Err(fail("it is the input; give another path"));
        }
        replaceable(path, options.force)?;
        let unedited = self.original_bytes().filter(|_| !options.external_data && !self.has_external_data());
        if let Some(bytes) = unedited {
            return write_atomically(path, |file| file.write_all(&bytes));
        }
        let model = self.inlined()?;
        let proto = model.proto();
        if options.external_data || proto.encoded_len() > MOST_BYTES {
            return save_external(&model, path, options);
        }
        write_atomically(path, |file| stream(proto, file))
    }
}

/// Refuses what is not to be replaced: a file without `force`, and whatever is no file. Writing replaces, and a device or a
/// pipe would become a file.
///
/// # Errors
/// [`ModelError::Write`].
pub(crate) fn replaceable(path: &Path, force: bool) -> Result<(), ModelError> {
    let fail = |why: &str| ModelError::Write { path: path.display().to_string(), why: why.into() };
    match std::fs::metadata(path) {
        Ok(found) if !found.is_file() => Err(fail("it exists and is no file; give the path of a file")),
        Ok(_) if !force => Err(fail("it exists; `--force` replaces it")),
        _ => Ok(()),
    }
}

/// Refuses a path whose folder does not exist or takes no file, before the work for what goes there.
///
/// # Errors
/// [`ModelError::Write`].
pub(crate) fn reachable(path: &Path) -> Result<(), ModelError> {
    let fail = |why: String| ModelError::Write { path: path.display().to_string(), why };
    let folder = folder_of(path);
    if !folder.is_dir() {
        return Err(fail("its folder does not exist".into()));
    }
    // What is written first is a file without a name, which leaves nothing.
    tempfile::tempfile_in(folder).map(drop).map_err(|error| fail(format!("its folder takes no file: {error}")))
}

/// The folder that a path lies in.
pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Writes through a temporary file; the target is either the old or the whole new file.
pub(crate) fn write_atomically(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<&File>) -> io::Result<()>,
) -> Result<(), ModelError> {
    replaceable(path, true)?;
    let attempt = || -> io::Result<()> {
        let mut builder = tempfile::Builder::new();
        builder.prefix(".onnx-prune-");
        ordinary_mode(&mut builder);
        let file = builder.tempfile_in(folder_of(path))?;
        let mut writer = BufWriter::with_capacity(1 << 20, file.as_file());
        write(&mut writer)?;
        writer.flush()?;
        drop(writer);
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    };
    attempt().map_err(|error| ModelError::Write { path: path.display().to_string(), why: error.to_string() })
}

/// Temporary files are private by default; a model is an ordinary file under the user's umask.
#[cfg(unix)]
fn ordinary_mode(builder: &mut tempfile::Builder<'_, '_>) {
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
}

#[cfg(not(unix))]
fn ordinary_mode(_builder: &mut tempfile::Builder<'_, '_>) {}

/// Encodes as prost would, but hands the weights' bytes through one by one: no second copy of the model exists.
fn stream(model: &ModelProto, out: &mut impl Write) -> io::Result<()> {
    let Some(graph) = &model.graph else { return out.write_all(&model.encode_to_vec()) };
    // Fields go out in order of their number; the graph is number 7.
    let (mut head, mut tail) = (model.clone_without_graph(), ModelProto::default());
    tail.opset_import = std::mem::take(&mut head.opset_import);
    tail.metadata_props = std::mem::take(&mut head.metadata_props);
    tail.training_info = std::mem::take(&mut head.training_info);
    tail.functions = std::mem::take(&mut head.functions);
    tail.configuration = std::mem::take(&mut head.configuration);
    out.write_all(&head.encode_to_vec())?;
    delimited(out, 7, graph.encoded_len())?;
    stream_graph(graph, out)?;
    out.write_all(&tail.encode_to_vec())
}

fn stream_graph(graph: &GraphProto, out: &mut impl Write) -> io::Result<()> {
    // Nodes (1) and the name (2) come before the initializers (5), everything else after them.
    let head = GraphProto { node: graph.node.clone(), name: graph.name.clone(), ..GraphProto::default() };
    out.write_all(&head.encode_to_vec())?;
    for tensor in &graph.initializer {
        delimited(out, 5, tensor.encoded_len())?;
        stream_tensor(tensor, out)?;
    }
    let tail = GraphProto {
        doc_string: graph.doc_string.clone(),
        input: graph.input.clone(),
        output: graph.output.clone(),
        value_info: graph.value_info.clone(),
        quantization_annotation: graph.quantization_annotation.clone(),
        sparse_initializer: graph.sparse_initializer.clone(),
        metadata_props: graph.metadata_props.clone(),
        ..GraphProto::default()
    };
    out.write_all(&tail.encode_to_vec())
}

fn stream_tensor(tensor: &TensorProto, out: &mut impl Write) -> io::Result<()> {
    let Some(raw) = tensor.raw_data.as_ref().filter(|raw| raw.len() >= LEAST_EXTERNAL) else {
        return out.write_all(&tensor.encode_to_vec());
    };
    // raw_data is field 9; fields 1 to 8 before it, 10 and up after it.
    let mut head = TensorProto { raw_data: None, ..tensor.clone() };
    let tail = TensorProto {
        double_data: std::mem::take(&mut head.double_data),
        uint64_data: std::mem::take(&mut head.uint64_data),
        doc_string: head.doc_string.take(),
        external_data: std::mem::take(&mut head.external_data),
        data_location: head.data_location.take(),
        metadata_props: std::mem::take(&mut head.metadata_props),
        ..TensorProto::default()
    };
    // doc_string (12) stands after raw_data by number although the message declares it earlier.
    out.write_all(&head.encode_to_vec())?;
    delimited(out, 9, raw.len())?;
    out.write_all(raw)?;
    out.write_all(&tail.encode_to_vec())
}

fn delimited(out: &mut impl Write, field: u32, length: usize) -> io::Result<()> {
    let mut prefix = Vec::with_capacity(12);
    encode_key(field, WireType::LengthDelimited, &mut prefix);
    encode_varint(length as u64, &mut prefix);
    out.write_all(&prefix)
}

/// The model and `<stem>.data` beside it.
fn save_external(model: &Model, path: &Path, options: &SaveOptions) -> Result<(), ModelError> {
    let data_path = path.with_extension("data");
    let fail = |why: &str| ModelError::Write { path: data_path.display().to_string(), why: why.into() };
    if model.reads_from(&data_path) {
        return Err(fail("the weights of the input are in it; give the result another name"));
    }
    if data_path.exists() && !options.force {
        return Err(fail("it exists and would hold the weights; `--force` replaces it"));
    }
    let location = data_path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let mut proto = model.proto().clone();
    let mut end = 0_u64;
    let tensors = proto.graph.iter_mut().flat_map(|graph| &mut graph.initializer);
    let mut payloads = Vec::new();
    for tensor in tensors.filter(|tensor| !is_external(tensor)) {
        let Some(raw) = tensor.raw_data.take_if(|raw| raw.len() >= LEAST_EXTERNAL) else { continue };
        let start = end.next_multiple_of(ALIGNMENT);
        let entry = |key: &str, value: String| StringStringEntryProto { key: Some(key.into()), value: Some(value) };
        tensor.external_data = vec![
            entry("location", location.clone()),
            entry("offset", start.to_string()),
            entry("length", raw.len().to_string()),
        ];
        tensor.data_location = Some(DataLocation::External.into());
        payloads.push((start, raw.clone()));
        end = start + raw.len() as u64;
    }
    write_atomically(&data_path, |file| {
        let mut at = 0;
        for (start, raw) in &payloads {
            io::copy(&mut io::Read::take(io::repeat(0), start - at), file)?;
            file.write_all(raw)?;
            at = start + raw.len() as u64;
        }
        Ok(())
    })?;
    write_atomically(path, |file| stream(&proto, file))
}

impl ModelProto {
    /// Everything but the graph.
    fn clone_without_graph(&self) -> Self {
        Self {
            ir_version: self.ir_version,
            opset_import: self.opset_import.clone(),
            producer_name: self.producer_name.clone(),
            producer_version: self.producer_version.clone(),
            domain: self.domain.clone(),
            model_version: self.model_version,
            doc_string: self.doc_string.clone(),
            graph: None,
            metadata_props: self.metadata_props.clone(),
            training_info: self.training_info.clone(),
            functions: self.functions.clone(),
            configuration: self.configuration.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::Explain;
    use crate::model::{LoadOptions, TensorData};

    #[test]
    fn the_weights_file_of_another_model_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let mut model = Model::new(17);
        let weights = TensorData::from_f32(vec![64, 64], &[0.5; 64 * 64]);
        model.graph_mut().initializer.push(weights.to_proto("w"));
        let at = |name: &str| folder.path().join(name);
        let options = SaveOptions { external_data: true, ..SaveOptions::default() };
        std::fs::write(at("b.data"), "foreign").unwrap();
        let error = model.save(&at("b.onnx"), &options).unwrap_err();
        assert!(error.to_string().contains("b.data") && error.why().unwrap().contains("--force"), "{error:?}");
        assert_eq!(std::fs::read(at("b.data")).unwrap(), b"foreign");
        model.save(&at("a.onnx"), &options).unwrap();
        // Under another name whose weights' file would be the input's own.
        let loaded = Model::load(&at("a.onnx"), &LoadOptions::default()).unwrap();
        let forced = SaveOptions { force: true, ..options };
        let error = loaded.save(&at("a.pruned"), &forced).unwrap_err();
        assert!(error.why().unwrap().contains("the weights of the input"), "{error:?}");
        model.save(&at("b.onnx"), &forced).unwrap();
    }

    /// Found by `-o /dev/full --force`: the device became a file.
    #[cfg(unix)]
    #[test]
    fn what_is_no_file_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        for path in [folder.path(), &socket] {
            let forced = SaveOptions { force: true, ..SaveOptions::default() };
            let error = Model::new(17).save(path, &forced).unwrap_err();
            assert!(error.why().unwrap().contains("no file"), "{error:?}");
            assert!(write_atomically(path, |_| Ok(())).is_err());
            assert!(!std::fs::metadata(path).unwrap().is_file());
        }
    }

    #[test]
    fn empty_files_are_called_empty() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("e.onnx");
        std::fs::write(&path, "").unwrap();
        let error = Model::load(&path, &LoadOptions::default()).unwrap_err();
        assert!(error.why().unwrap().contains("empty"), "{error:?}");
    }
}
