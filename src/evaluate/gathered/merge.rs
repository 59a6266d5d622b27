//! Parts become one: sums are added, rows put in order.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::file::{Planned, StatisticsFile, WriteTensor, write};
use super::tensors::{Form, Tensors, numbers};
use super::write::write_doubles;
use super::{JUDGING, KEPT, KEY, SAMPLED, StatisticsHead, row_name, sum_name};
use crate::evaluate::EvaluateError;

/// A row of a set: its key, the part that it is in, and its place there.
type Row = (u64, usize, u64);

/// Merges the parts in some files into one; in whatever order they come, the result is the same. A sum, one tensor of a part for each
/// thread and where the tensors of all parts are is what is in memory.
///
/// # Errors
/// If a file is unusable or does not belong to the others, by its name; what `accept` says of the whole; or if the result cannot be
/// written.
pub fn merge_statistics(
    paths: &[PathBuf],
    output: &Path,
    accept: impl FnOnce(&StatisticsHead) -> Result<(), EvaluateError>,
) -> Result<Option<StatisticsHead>, EvaluateError> {
    let (mut head, mut forms, mut parts) = (None, Vec::new(), Vec::new());
    for path in paths {
        let StatisticsFile { head: own, mut tensors } = StatisticsFile::open(path)?;
        tensors.share(&mut forms);
        let first = own.shards.held.first().copied();
        match &mut head {
            None => head = Some(own),
            Some(all) => StatisticsHead::merge(all, &own).map_err(|why| tensors.bad(why))?,
        }
        parts.push((first, tensors));
    }
    let Some(head) = head else { return Ok(None) };
    accept(&head)?;
    // Sums depend on their order in the last bits.
    parts.sort_by_key(|own| own.0);
    let parts: Vec<Tensors> = parts.into_iter().map(|own| own.1).collect();
    for part in &parts {
        if let Some(name) = differs(&parts[0], part) {
            return Err(part.bad(format!("its `{name}` is missing or has another shape than that of another part")));
        }
    }
    let mut orders = BTreeMap::new();
    for set in [SAMPLED, KEPT, JUDGING] {
        orders.insert(set, order(&parts, set)?);
    }
    let all: BTreeMap<&str, &Form> =
        forms.iter().flat_map(|own| own.iter()).map(|form| (form.name.as_str(), form)).collect();
    let tensors: Vec<Planned<'_>> = all.into_values().filter_map(|form| planned(&parts, form, &orders)).collect();
    write(output, &head, tensors)?;
    Ok(Some(head))
}

/// A tensor that both have in different shapes, or a sum that one lacks: a part of no images may lack rows.
fn differs(first: &Tensors, other: &Tensors) -> Option<String> {
    let sum = sum_name("");
    let names = first.forms().iter().chain(other.forms()).map(|own| own.name.as_str());
    let differ = |name: &&str| {
        let summed = name.starts_with(&sum);
        match (first.form(name), other.form(name)) {
            (Some(own), Some(form)) => own != form || summed && first.rows(name) != other.rows(name),
            _ => summed,
        }
    };
    names.into_iter().find(differ).map(ToOwned::to_owned)
}

/// The rows of a set in the order of their keys.
fn order(parts: &[Tensors], set: &str) -> Result<Vec<Row>, EvaluateError> {
    let (mut rows, prefix): (Vec<Row>, _) = (Vec::new(), row_name(set, ""));
    for (number, part) in parts.iter().enumerate() {
        let key = row_name(set, KEY);
        if part.form(&key).is_none() {
            continue;
        }
        let keys = part.whole_numbers(&key).map_err(|error| part.failed(error))?;
        for form in part.forms().iter().filter(|own| own.name.starts_with(&prefix)) {
            if part.rows(&form.name) != Some(keys.len()) {
                return Err(part.bad(format!("`{}` does not have a row for each of {} images", form.name, keys.len())));
            }
            // Rows are copied one by one later.
            part.pieces(&form.name, 1, |_, _| Ok(())).map_err(|error| part.failed(error))?;
        }
        rows.extend(keys.into_iter().zip(0..).map(|(key, row)| (key, number, row)));
    }
    rows.sort_unstable();
    Ok(rows)
}

fn planned<'a>(parts: &'a [Tensors], form: &'a Form, orders: &'a BTreeMap<&str, Vec<Row>>) -> Option<Planned<'a>> {
    let (name, dtype) = (form.name.as_str(), form.dtype);
    let planned = |rows: usize, write: WriteTensor<'a>| {
        Some(Planned { name: name.to_owned(), dtype, shape: [&[rows], &form.row[..]].concat(), write })
    };
    let Some(set) = name.strip_prefix("rows/").and_then(|rest| rest.split('/').next()) else {
        return planned(parts.first()?.rows(name)?, Box::new(move |to| write_doubles(&sum(parts, name)?, to)));
    };
    let rows = orders.get(set)?;
    planned(rows.len(), Box::new(move |to| copy_rows(parts, name, rows, to)))
}

/// Numbers that a thread adds up at a time.
const PIECE: usize = 1 << 13;

/// The sum of a tensor over all parts, in their order. As many parts as there are threads are read at a time.
fn sum(parts: &[Tensors], name: &str) -> io::Result<Vec<f64>> {
    let mut all: Vec<f64> = Vec::new();
    let mut read = vec![Vec::new(); rayon::current_num_threads().clamp(1, parts.len().max(1))];
    for some in parts.chunks(read.len()) {
        let read = &mut read[..some.len()];
        some.par_iter().zip(&mut *read).try_for_each(|(part, bytes)| part.read(name, bytes))?;
        let first = all.is_empty();
        all.resize(read[0].len() / size_of::<f64>(), 0.0);
        all.par_chunks_mut(PIECE).enumerate().for_each(|(piece, sums)| {
            for (at, own) in read.iter().enumerate() {
                let numbers = numbers(&own[piece * PIECE * size_of::<f64>()..], f64::from_le_bytes);
                let add = |(sum, more): (&mut f64, f64)| *sum = if first && at == 0 { more } else { *sum + more };
                sums.iter_mut().zip(numbers).for_each(add);
            }
        });
    }
    Ok(all)
}

/// Copies rows one by one: neighbours in the result are seldom neighbours in a part.
fn copy_rows(parts: &[Tensors], name: &str, rows: &[Row], to: &mut dyn Write) -> io::Result<()> {
    for &(_, part, row) in rows {
        to.write_all(&parts[part].some(name, row, 1)?)?;
    }
    Ok(())
}
