//! The file: safetensors with a checksum, read tensor by tensor.

use std::fs::File;
use std::io::{self, BufWriter, Read as _, Seek as _, SeekFrom, Write};
use std::path::Path;

use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use sha2::{Digest as _, Sha256};

use super::tensors::{Sums, Tensors};
use super::{STATISTICS_SCHEMA_VERSION, StatisticsHead};
use crate::evaluate::EvaluateError;
use crate::model::write_atomically;
use crate::number::hex;

/// Keys of the metadata: the description, the checksum of every tensor, that of the header with zeros in its place.
const HEAD: &str = "onnx_prune";
const SUMS: &str = "tensors_sha256";
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
    /// What they are of.
    pub head: StatisticsHead,
    pub(super) tensors: Tensors,
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
pub(super) fn write(path: &Path, head: &StatisticsHead, mut tensors: Vec<Planned<'_>>) -> Result<(), EvaluateError> {
    // By size of their numbers, then by name, as the format wants them.
    tensors.sort_by(|a, b| (b.dtype.bitsize(), &a.name).cmp(&(a.dtype.bitsize(), &b.name)));
    let tensors = &tensors[..];
    let zeros = || "0".repeat(64);
    let mut damaged = None;
    let mut sums: Sums = tensors.iter().map(|own| (own.name.clone(), zeros())).collect();
    let written = write_atomically(path, |file: &mut BufWriter<&File>| {
        // A place of the same length.
        file.write_all(&header(head, tensors, &sums, &zeros())?)?;
        for tensor in tensors {
            let mut hashing = Hashing { to: &mut *file, hash: Sha256::new() };
            if let Err(error) = (tensor.write)(&mut hashing) {
                // A part that is read while the whole is written.
                return Err(error.downcast::<EvaluateError>().map_or_else(
                    |error| error,
                    |own| {
                        damaged = Some(own);
                        io::ErrorKind::InvalidData.into()
                    },
                ));
            }
            sums.insert(tensor.name.clone(), hex(&hashing.hash.finalize()));
        }
        let sum = hex(&Sha256::digest(header(head, tensors, &sums, &zeros())?));
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&header(head, tensors, &sums, &sum)?)
    });
    match damaged {
        Some(own) => Err(own),
        None => Ok(written?),
    }
}

/// Length and header, padded to a multiple of 8 bytes.
fn header(head: &StatisticsHead, tensors: &[Planned<'_>], sums: &Sums, sum: &str) -> io::Result<Vec<u8>> {
    let mut all = serde_json::Map::new();
    let (head, sums) = (serde_json::to_string(head)?, serde_json::to_string(sums)?);
    all.insert("__metadata__".into(), serde_json::json!({ HEAD: head, SUMS: sums, CHECKSUM: sum }));
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
    /// Opens a file. Checksums of tensors are compared as they are read.
    ///
    /// # Errors
    /// If it is none, of another version, or damaged.
    pub fn open(path: &Path) -> Result<Self, EvaluateError> {
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
        let mut text = length.to_vec();
        (&mut file).take(header).read_to_end(&mut text).map_err(|error| bad(error.to_string()))?;
        let read = text.split_at_checked(8).and_then(|own| std::str::from_utf8(own.1).ok());
        let read = read.ok_or_else(|| damaged("its header is no text"))?;
        let tensors: Metadata = serde_json::from_str(read).map_err(|error| damaged(&error.to_string()))?;
        let start = header + 8;
        if start + tensors.data_len() as u64 != size {
            return Err(damaged("its length is not what its header says"));
        }
        let said = |key: &str| tensors.metadata().as_ref().and_then(|own| own.get(key).cloned());
        let missing = || damaged("it was not written by `onnx-prune calibrate`");
        let (head, sum) = (said(HEAD).ok_or_else(missing)?, said(CHECKSUM).ok_or_else(missing)?);
        if without(text, &sum) != sum {
            return Err(damaged("the checksum of its header is that of another content"));
        }
        let sums: Sums =
            serde_json::from_str(&said(SUMS).ok_or_else(missing)?).map_err(|error| damaged(&error.to_string()))?;
        let head: StatisticsHead = serde_json::from_str(&head).map_err(|error| damaged(&error.to_string()))?;
        if head.schema_version != STATISTICS_SCHEMA_VERSION {
            let own =
                format!("its form is version {}, this program reads {STATISTICS_SCHEMA_VERSION}", head.schema_version);
            return Err(bad(own));
        }
        let tensors = Tensors::new(path, start, &tensors, &sums).ok_or_else(|| damaged("it lacks checksums"))?;
        Ok(Self { head, tensors })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        self.tensors.path()
    }

    /// An error about this file.
    pub(super) fn bad(&self, why: impl Into<String>) -> EvaluateError {
        self.tensors.bad(why)
    }
}

/// Hash of a header with zeros in place of its checksum.
fn without(mut header: Vec<u8>, sum: &str) -> String {
    let place = header.windows(sum.len().max(1)).position(|own| own == sum.as_bytes());
    if let Some(at) = place.filter(|_| !sum.is_empty()) {
        header[at..at + sum.len()].fill(b'0');
    }
    hex(&Sha256::digest(&header))
}
