//! Parts become one: sums are added, rows put in order.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::file::{Planned, StatisticsFile, write};
use super::write::write_doubles;
use super::{JUDGING, KEPT, KEY, SAMPLED, StatisticsHead, row_name, sum_name};
use crate::evaluate::EvaluateError;

/// A row of a set: its key, the part that it is in, and its place there.
type Row = (u64, usize, u64);

/// Tensors of so many parts are read at once.
const AT_ONCE: usize = 8;

/// Merges the parts in some files into one; in whatever order they come, the result is the same. A sum and one tensor of a
/// few parts are in memory at a time.
///
/// # Errors
/// If a file is unusable or does not belong to the others, by its name; what `accept` says of the whole; or if the result cannot be
/// written.
pub fn merge_statistics(
    paths: &[PathBuf],
    output: &Path,
    accept: impl FnOnce(&StatisticsHead) -> Result<(), EvaluateError>,
) -> Result<Option<StatisticsHead>, EvaluateError> {
    let mut parts = paths.iter().map(|path| StatisticsFile::open(path)).collect::<Result<Vec<_>, _>>()?;
    // Sums depend on their order in the last bits.
    parts.sort_by(|a, b| a.head.shards.held.cmp(&b.head.shards.held));
    let Some((first, others)) = parts.split_first() else { return Ok(None) };
    let mut head = first.head.clone();
    for other in others {
        head.merge(&other.head).map_err(|why| other.bad(why))?;
        if let Some(name) = differs(first, other) {
            return Err(other.bad(format!("its `{name}` is missing or has another shape than that of another part")));
        }
    }
    accept(&head)?;
    let mut orders = BTreeMap::new();
    for set in [SAMPLED, KEPT, JUDGING] {
        orders.insert(set, order(&parts, set)?);
    }
    let holders = holders(&parts).into_iter();
    let mut tensors: Vec<Planned<'_>> =
        holders.filter_map(|(name, holder)| planned(&parts, holder, name, &orders)).collect();
    tensors.sort_by(|a, b| (b.dtype.bitsize(), &a.name).cmp(&(a.dtype.bitsize(), &b.name)));
    write(output, &head, &tensors)?;
    Ok(Some(head))
}

/// Every tensor with a part that has it: a part of no images lacks some.
fn holders(parts: &[StatisticsFile]) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for (at, part) in parts.iter().enumerate() {
        for name in part.names() {
            found.entry(name).or_insert(at);
        }
    }
    found
}

/// A tensor that both have in different shapes, or a sum that one lacks.
fn differs(first: &StatisticsFile, other: &StatisticsFile) -> Option<String> {
    let sum = sum_name("");
    let mut names = first.names();
    names.extend(other.names());
    names.into_iter().find(|name| match (first.info(name), other.info(name)) {
        (Some(own), Some(info)) if name.starts_with(&sum) => own.shape != info.shape || own.dtype != info.dtype,
        (Some(own), Some(info)) => own.shape.get(1..) != info.shape.get(1..) || own.dtype != info.dtype,
        _ => name.starts_with(&sum),
    })
}

/// The rows of a set in the order of their keys.
fn order(parts: &[StatisticsFile], set: &str) -> Result<Vec<Row>, EvaluateError> {
    let mut rows: Vec<Row> = Vec::new();
    for (number, part) in parts.iter().enumerate() {
        let name = row_name(set, KEY);
        if part.info(&name).is_none() {
            continue;
        }
        let keys = part.whole_numbers(&name).map_err(|error| part.bad(error.to_string()))?;
        let prefix = row_name(set, "");
        let uneven = |own: &String| part.info(own).is_none_or(|info| info.shape.first() != Some(&keys.len()));
        // Rows are copied one by one later.
        for own in part.names().iter().filter(|own| own.starts_with(&prefix)) {
            part.whole(own).map_err(|error| part.bad(error.to_string()))?;
        }
        if let Some(short) = part.names().into_iter().find(|own| own.starts_with(&prefix) && uneven(own)) {
            return Err(part.bad(format!("`{short}` does not have a row for each of {} images", keys.len())));
        }
        rows.extend(keys.into_iter().zip(0..).map(|(key, row)| (key, number, row)));
    }
    rows.sort_unstable();
    Ok(rows)
}

fn planned<'a>(
    parts: &'a [StatisticsFile],
    holder: usize,
    name: String,
    orders: &'a BTreeMap<&str, Vec<Row>>,
) -> Option<Planned<'a>> {
    let info = parts[holder].info(&name)?;
    let (dtype, mut shape) = (info.dtype, info.shape.clone());
    let own = name.clone();
    let Some(set) = name.strip_prefix("rows/").and_then(|rest| rest.split('/').next()) else {
        let write = Box::new(move |to: &mut dyn Write| write_doubles(&sum(parts, &own)?, to));
        return Some(Planned { name, dtype, shape, write });
    };
    let rows = orders.get(set)?;
    let length = shape.get(1..)?.iter().product::<usize>() * dtype.bitsize() / 8;
    *shape.first_mut()? = rows.len();
    let write = Box::new(move |to: &mut dyn Write| copy_rows(parts, &own, rows, length, to));
    Some(Planned { name, dtype, shape, write })
}

fn sum(parts: &[StatisticsFile], name: &str) -> io::Result<Vec<f64>> {
    let mut all: Vec<f64> = Vec::new();
    for some in parts.chunks(AT_ONCE) {
        let read: Vec<Vec<f64>> = some.par_iter().map(|part| part.doubles(name)).collect::<Result<_, _>>()?;
        for own in read {
            if all.is_empty() {
                all = own;
            } else {
                all.iter_mut().zip(own).for_each(|(sum, more)| *sum += more);
            }
        }
    }
    Ok(all)
}

/// Copies rows one by one: neighbours in the result are seldom neighbours in a part.
fn copy_rows(parts: &[StatisticsFile], name: &str, rows: &[Row], length: usize, to: &mut dyn Write) -> io::Result<()> {
    for &(_, part, row) in rows {
        to.write_all(&parts[part].bytes(name, row * length as u64, length)?)?;
    }
    Ok(())
}
