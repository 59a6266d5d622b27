//! The file: safetensors with a checksum, read tensor by tensor.

use std::fs::File;
use std::io::{self, BufWriter, Read as _, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use sha2::{Digest as _, Sha256};

use super::{STATISTICS_SCHEMA_VERSION, StatisticsHead};
use crate::evaluate::EvaluateError;
use crate::model::write_atomically;
use crate::number::hex;

/// Keys of the metadata.
const HEAD: &str = "onnx_prune";
const CHECKSUM: &str = "sha256";

/// Longest header that is read: 64 MB are a million tensors.
const MOST_HEADER: u64 = 64 << 20;

/// Writes the bytes of a tensor.
pub(super) type WriteTensor<'a> = Box<dyn Fn(&mut dyn Write) -> io::Result<()> + 'a>;

/// A tensor that is to be written.
pub(super) struct Planned<'a> {
    pub(super) name: String,
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<usize>,
    pub(super) write: WriteTensor<'a>,
}

impl Planned<'_> {
    fn bytes(&self) -> usize {
        self.shape.iter().product::<usize>() * self.dtype.bitsize() / 8
    }
}

/// Statistics in a file.
#[derive(Debug)]
pub struct StatisticsFile {
    path: PathBuf,
    /// What they are of.
    pub head: StatisticsHead,
    tensors: Metadata,
    /// Where the first tensor begins.
    start: u64,
}

/// Hands on what is written, and hashes it.
struct Hashing<W> {
    to: W,
    hash: Sha256,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// Writes a file, whole or not at all. Tensors are written one after the other, so that none but the largest is in memory.
pub(super) fn write(path: &Path, head: &StatisticsHead, tensors: &[Planned<'_>]) -> Result<(), EvaluateError> {
    let fail = |why: String| EvaluateError::Part { path: path.display().to_string(), why };
    let empty = "0".repeat(64);
    let header = |sum: &str| header(head, tensors, sum).map_err(|error| fail(error.to_string()));
    let bare = header(&empty)?;
    let written = write_atomically(path, |file: &mut BufWriter<&File>| {
        let mut hashing = Hashing { to: &mut *file, hash: Sha256::new() };
        hashing.write_all(&bare)?;
        for tensor in tensors {
            (tensor.write)(&mut hashing)?;
        }
        let sum = hex(&hashing.hash.finalize());
        file.seek(SeekFrom::Start(0))?;
        let whole = header(&sum).map_err(io::Error::other)?;
        file.write_all(&whole)
    });
    Ok(written?)
}

/// Length and header, padded to a multiple of 8 bytes.
fn header(head: &StatisticsHead, tensors: &[Planned<'_>], sum: &str) -> Result<Vec<u8>, serde_json::Error> {
    let mut all = serde_json::Map::new();
    let metadata = serde_json::json!({ HEAD: serde_json::to_string(head)?, CHECKSUM: sum });
    all.insert("__metadata__".into(), metadata);
    let mut offset = 0;
    for tensor in tensors {
        let end = offset + tensor.bytes();
        let own = TensorInfo { dtype: tensor.dtype, shape: tensor.shape.clone(), data_offsets: (offset, end) };
        all.insert(tensor.name.clone(), serde_json::to_value(own)?);
        offset = end;
    }
    let mut text = serde_json::to_vec(&all)?;
    text.resize(text.len().next_multiple_of(8), b' ');
    let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
    bytes.extend(text);
    Ok(bytes)
}

impl StatisticsFile {
    /// Opens a file; its checksum is compared.
    ///
    /// # Errors
    /// If it is none, of another version, or damaged.
    pub fn open(path: &Path) -> Result<Self, EvaluateError> {
        Self::read(path, true)
    }

    /// The description alone, without a look at the rest.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn describe(path: &Path) -> Result<StatisticsHead, EvaluateError> {
        Ok(Self::read(path, false)?.head)
    }

    fn read(path: &Path, whole: bool) -> Result<Self, EvaluateError> {
        let bad = |why: String| EvaluateError::Part { path: path.display().to_string(), why };
        let damaged = |why: &str| bad(format!("it is damaged, or holds no statistics: {why}"));
        let mut file = File::open(path).map_err(|error| bad(error.to_string()))?;
        let mut length = [0; 8];
        file.read_exact(&mut length).map_err(|_| damaged("it is too short"))?;
        let header = u64::from_le_bytes(length);
        let size = file.metadata().map_err(|error| bad(error.to_string()))?.len();
        if header > MOST_HEADER || header + 8 > size {
            return Err(damaged("its header is longer than the file"));
        }
        let mut text = Vec::new();
        (&mut file).take(header).read_to_end(&mut text).map_err(|error| bad(error.to_string()))?;
        let tensors: Metadata = serde_json::from_slice(&text).map_err(|error| damaged(&error.to_string()))?;
        let start = header + 8;
        if start + tensors.data_len() as u64 != size {
            return Err(damaged("its length is not what its header says"));
        }
        let said =
            tensors.metadata().as_ref().and_then(|own| Some((own.get(HEAD)?.clone(), own.get(CHECKSUM)?.clone())));
        let (head, sum) = said.ok_or_else(|| damaged("it was not written by `onnx-prune calibrate`"))?;
        let head: StatisticsHead = serde_json::from_str(&head).map_err(|error| damaged(&error.to_string()))?;
        if head.schema_version != STATISTICS_SCHEMA_VERSION {
            let own =
                format!("its form is version {}, this program reads {STATISTICS_SCHEMA_VERSION}", head.schema_version);
            return Err(bad(own));
        }
        if whole && checksum(length, text, &sum, &mut file).map_err(|error| bad(error.to_string()))? != sum {
            return Err(bad("it is damaged: its checksum is that of another content".into()));
        }
        Ok(Self { path: path.to_owned(), head, tensors, start })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Names of its tensors, ascending.
    pub(super) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.tensors.tensors().into_keys().collect();
        names.sort();
        names
    }

    pub(super) fn info(&self, name: &str) -> Option<&TensorInfo> {
        self.tensors.info(name)
    }

    /// The bytes of a tensor from `from` on, so many.
    pub(super) fn bytes(&self, name: &str, from: u64, length: usize) -> io::Result<Vec<u8>> {
        let info = self.info(name).ok_or(io::ErrorKind::NotFound)?;
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(self.start + info.data_offsets.0 as u64 + from))?;
        let mut bytes = vec![0; length];
        file.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// All bytes of a tensor.
    pub(super) fn whole(&self, name: &str) -> io::Result<Vec<u8>> {
        let info = self.info(name).ok_or(io::ErrorKind::NotFound)?;
        self.bytes(name, 0, info.data_offsets.1 - info.data_offsets.0)
    }

    /// A tensor of doubles.
    pub(super) fn doubles(&self, name: &str) -> io::Result<Vec<f64>> {
        Ok(numbers(&self.whole(name)?, f64::from_le_bytes))
    }

    /// A tensor of whole numbers.
    pub(super) fn whole_numbers(&self, name: &str) -> io::Result<Vec<u64>> {
        Ok(numbers(&self.whole(name)?, u64::from_le_bytes))
    }

    /// An error about this file.
    pub(super) fn bad(&self, why: impl Into<String>) -> EvaluateError {
        EvaluateError::Part { path: self.path.display().to_string(), why: why.into() }
    }
}

/// Numbers of eight bytes.
pub(super) fn numbers<T>(bytes: &[u8], read: impl Fn([u8; 8]) -> T) -> Vec<T> {
    bytes.as_chunks().0.iter().map(|own| read(*own)).collect()
}

/// Hash of the file with nothing in place of its checksum.
fn checksum(length: [u8; 8], mut header: Vec<u8>, sum: &str, rest: &mut File) -> io::Result<String> {
    let place = header.windows(sum.len().max(1)).position(|own| own == sum.as_bytes());
    if let Some(at) = place.filter(|_| !sum.is_empty()) {
        header[at..at + sum.len()].fill(b'0');
    }
    let mut hashing = Hashing { to: io::sink(), hash: Sha256::new() };
    hashing.write_all(&length)?;
    hashing.write_all(&header)?;
    let mut chunk = vec![0; 1 << 20];
    loop {
        match rest.read(&mut chunk)? {
            0 => return Ok(hex(&hashing.hash.finalize())),
            read => hashing.write_all(&chunk[..read])?,
        }
    }
}
