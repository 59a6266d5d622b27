//! Files as shared read-only memory.
#![allow(unsafe_code, reason = "mapping a file; the only such place, argued for below")]

use std::fs::File;
use std::io;

use bytes::Bytes;

/// The content of a file, mapped: a 100 MB model costs the pages that are read, and slices of it share them.
pub(super) fn map(file: &File) -> io::Result<Bytes> {
    if file.metadata()?.len() == 0 {
        return Ok(Bytes::new());
    }
    // SAFETY: the map is private and read-only. Truncating the file from outside while it is mapped would fault; we
    // never write to an input (saving replaces files by renaming, which keeps the mapped inode alive).
    let map = unsafe { memmap2::Mmap::map(file)? };
    Ok(Bytes::from_owner(map))
}
