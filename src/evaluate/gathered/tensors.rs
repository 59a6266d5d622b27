//! Where the tensors of a file are, and how they are read: a piece at a time, each with its checksum.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use safetensors::tensor::{Dtype, Metadata};
use sha2::{Digest as _, Sha256};

use crate::evaluate::EvaluateError;

/// Checksums by tensor, in hexadecimal.
pub(super) type Sums = BTreeMap<String, String>;

/// A tensor as all parts have it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Form {
    pub(super) name: String,
    pub(super) dtype: Dtype,
    /// Its shape without the first axis.
    pub(super) row: Vec<usize>,
}

impl Form {
    /// Bytes of an index of the first axis.
    pub(super) fn row_bytes(&self) -> usize {
        self.row.iter().product::<usize>() * self.dtype.bitsize() / 8
    }
}

/// A tensor as one file has it.
#[derive(Debug)]
struct Place {
    /// Where it begins, behind the header.
    from: u64,
    /// Size of its first axis.
    rows: usize,
    sum: [u8; 32],
}

/// The tensors of a file, by their names. Of thousands of parts all are in memory: what they have alike is there once.
#[derive(Debug)]
pub(super) struct Tensors {
    path: PathBuf,
    start: u64,
    forms: Arc<Vec<Form>>,
    places: Vec<Place>,
}

impl Tensors {
    /// `start`: where the first tensor begins; `None` if a checksum is missing.
    pub(super) fn new(path: &Path, start: u64, tensors: &Metadata, sums: &Sums) -> Option<Self> {
        let (mut forms, mut places) = (Vec::new(), Vec::new());
        let all: BTreeMap<String, _> = tensors.tensors().into_iter().collect();
        for (name, info) in all {
            let (&rows, row) = info.shape.split_first()?;
            places.push(Place { from: info.data_offsets.0 as u64, rows, sum: bytes_of(sums.get(&name)?)? });
            forms.push(Form { name, dtype: info.dtype, row: row.to_vec() });
        }
        Some(Self { path: path.to_owned(), start, forms: Arc::new(forms), places })
    }

    /// Takes its forms from one of `known` that has the same, or adds them.
    pub(super) fn share(&mut self, known: &mut Vec<Arc<Vec<Form>>>) {
        match known.iter().find(|own| **own == self.forms) {
            Some(same) => self.forms = Arc::clone(same),
            None => known.push(Arc::clone(&self.forms)),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// An error about this file.
    pub(super) fn bad(&self, why: impl Into<String>) -> EvaluateError {
        EvaluateError::Part { path: self.path.display().to_string(), why: why.into() }
    }

    /// What reading this file ended with.
    pub(super) fn failed(&self, error: io::Error) -> EvaluateError {
        error.downcast().unwrap_or_else(|error| self.bad(error.to_string()))
    }

    /// All tensors, ascending by name.
    pub(super) fn forms(&self) -> &[Form] {
        &self.forms
    }

    fn find(&self, name: &str) -> Option<usize> {
        self.forms.binary_search_by(|own| own.name.as_str().cmp(name)).ok()
    }

    pub(super) fn form(&self, name: &str) -> Option<&Form> {
        self.forms.get(self.find(name)?)
    }

    /// Size of the first axis.
    pub(super) fn rows(&self, name: &str) -> Option<usize> {
        Some(self.places.get(self.find(name)?)?.rows)
    }

    /// The shape.
    pub(super) fn shape(&self, name: &str) -> Option<Vec<usize>> {
        Some([&[self.rows(name)?], &self.form(name)?.row[..]].concat())
    }

    /// Some rows of a tensor, without a look at its checksum.
    pub(super) fn some(&self, name: &str, first: u64, rows: usize) -> io::Result<Vec<u8>> {
        let (form, place) = self.entry(name)?;
        let mut file = self.at(place, first * form.row_bytes() as u64)?;
        let mut bytes = vec![0; rows * form.row_bytes()];
        file.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn entry(&self, name: &str) -> io::Result<(&Form, &Place)> {
        let at = self.find(name).ok_or(io::ErrorKind::NotFound)?;
        Ok((&self.forms[at], &self.places[at]))
    }

    /// The file, at a byte of a tensor.
    fn at(&self, place: &Place, byte: u64) -> io::Result<File> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(self.start + place.from + byte))?;
        Ok(file)
    }

    /// Calls `each` with the bytes of so many rows after one another, and their number; the checksum is compared at the end.
    pub(super) fn pieces(
        &self,
        name: &str,
        rows: usize,
        mut each: impl FnMut(&[u8], usize) -> io::Result<()>,
    ) -> io::Result<()> {
        let (form, place) = self.entry(name)?;
        let mut file = self.at(place, 0)?;
        let (mut hash, mut bytes, mut left) = (Sha256::new(), Vec::new(), place.rows);
        while left > 0 {
            let count = left.min(rows.max(1));
            bytes.resize(count * form.row_bytes(), 0);
            file.read_exact(&mut bytes)?;
            hash.update(&bytes);
            each(&bytes, count)?;
            left -= count;
        }
        self.compare(name, place, &hash.finalize())
    }

    fn compare(&self, name: &str, place: &Place, sum: &[u8]) -> io::Result<()> {
        if sum == place.sum {
            return Ok(());
        }
        let why = format!("it is damaged: the checksum of `{name}` is that of another content");
        Err(io::Error::new(io::ErrorKind::InvalidData, self.bad(why)))
    }

    /// All bytes of a tensor; its checksum is compared.
    pub(super) fn whole(&self, name: &str) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.read(name, &mut bytes)?;
        Ok(bytes)
    }

    /// The same in place of what `bytes` holds.
    pub(super) fn read(&self, name: &str, bytes: &mut Vec<u8>) -> io::Result<()> {
        let (form, place) = self.entry(name)?;
        bytes.resize(place.rows * form.row_bytes(), 0);
        self.at(place, 0)?.read_exact(bytes)?;
        self.compare(name, place, &Sha256::digest(&bytes))
    }

    /// A tensor of doubles.
    pub(super) fn doubles(&self, name: &str) -> io::Result<Vec<f64>> {
        Ok(numbers(&self.whole(name)?, f64::from_le_bytes).collect())
    }

    /// A tensor of whole numbers.
    pub(super) fn whole_numbers(&self, name: &str) -> io::Result<Vec<u64>> {
        Ok(numbers(&self.whole(name)?, u64::from_le_bytes).collect())
    }
}

/// Numbers of eight bytes.
pub(super) fn numbers<T>(bytes: &[u8], read: impl Fn([u8; 8]) -> T) -> impl Iterator<Item = T> {
    bytes.as_chunks().0.iter().map(move |own| read(*own))
}

/// Bytes of a hash in hexadecimal.
fn bytes_of(text: &str) -> Option<[u8; 32]> {
    let digits: Vec<u8> =
        text.chars().map(|own| own.to_digit(16).and_then(|own| u8::try_from(own).ok())).collect::<Option<_>>()?;
    let bytes: Vec<u8> = digits.as_chunks::<2>().0.iter().map(|[high, low]| high << 4 | low).collect();
    bytes.try_into().ok()
}
