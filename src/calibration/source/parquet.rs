//! Parquet files with image bytes, as Hugging Face writes them: a column `image` with `bytes`, and one with the class.
//!
//! Classes are read when a file is opened; an image when it is wanted, from the pages of its row group.

use std::fs::File;
use std::path::{Path, PathBuf};

use ::parquet::basic::Type;
use ::parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use ::parquet::data_type::{ByteArray, DataType};
use ::parquet::errors::ParquetError;
use ::parquet::file::metadata::KeyValue;
use ::parquet::file::reader::{FileReader as _, SerializedFileReader};
use ::parquet::schema::types::SchemaDescriptor;
use serde_json::Value;

use super::super::CalibrationError;
use super::super::classes::Classes;
use super::super::decode::decode_bytes;
use super::files::{extension, file_name};
use super::{Opened, Picture, Source, within};

/// Columns that hold encoded images, by their last name or their only one.
const IMAGES: [&str; 6] = ["bytes", "image", "img", "jpg", "png", "image_bytes"];
/// Columns that hold the class.
const LABELS: [&str; 7] = ["label", "labels", "fine_label", "class", "target", "cls", "y"];
/// No label.
const NONE: u32 = u32::MAX;

/// What to do about a file that cannot be used.
const HELP: &str =
    "write it as Hugging Face does: a column `image` with `bytes`, one `label`, compressed by Snappy or not at all";

/// One file.
struct Table {
    path: PathBuf,
    reader: SerializedFileReader<File>,
    /// Column of the images.
    column: usize,
    /// Rows up to the end of each group.
    ends: Vec<usize>,
}

struct Tables {
    files: Vec<Table>,
    /// Rows up to the end of each file.
    ends: Vec<usize>,
    /// Class of every row.
    labels: Vec<u32>,
}

impl Source for Tables {
    fn kind(&self) -> &'static str {
        "Parquet"
    }

    fn len(&self) -> usize {
        self.labels.len()
    }

    fn label(&self, i: usize) -> Option<usize> {
        self.labels.get(i).filter(|&&label| label != NONE).and_then(|&own| usize::try_from(own).ok())
    }

    fn name(&self, i: usize) -> String {
        match self.place(i) {
            Some((table, row)) => format!("{}[{row}]", file_name(&table.path)),
            None => format!("image {i}"),
        }
    }

    fn load(&self, i: usize) -> Result<Picture, String> {
        let (table, row) = self.place(i).ok_or("there is no such row")?;
        let bytes = table.image(row).map_err(|error| error.to_string())?;
        decode_bytes(bytes.ok_or("the row holds no image")?).map(Picture::Pixels)
    }
}

impl Tables {
    fn place(&self, i: usize) -> Option<(&Table, usize)> {
        let (number, row) = within(&self.ends, i)?;
        Some((self.files.get(number)?, row))
    }
}

impl Table {
    /// Bytes of the image in a row; `None` where it is null.
    fn image(&self, row: usize) -> Result<Option<Vec<u8>>, ParquetError> {
        let (group, row) = within(&self.ends, row).ok_or_else(|| ParquetError::EOF("there is no such row".into()))?;
        let ColumnReader::ByteArrayColumnReader(mut column) =
            self.reader.get_row_group(group)?.get_column_reader(self.column)?
        else {
            return Ok(None);
        };
        column.skip_records(row)?;
        let mut values: Vec<ByteArray> = Vec::new();
        let (mut defined, mut repeated) = (Vec::new(), Vec::new());
        column.read_records(1, Some(&mut defined), Some(&mut repeated), &mut values)?;
        Ok(values.first().map(|own| own.data().to_vec()))
    }
}

/// Parquet files, one after the other.
pub(super) fn open(root: &Path, files: Vec<PathBuf>, classes: Option<Classes>) -> Result<Opened, CalibrationError> {
    let mut all = Tables { files: Vec::new(), ends: Vec::new(), labels: Vec::new() };
    let mut names = Vec::new();
    for path in files {
        let fail = |why: String| CalibrationError::format(&path, "", why, HELP);
        let file = File::open(&path).map_err(|source| CalibrationError::read(&path, source))?;
        let reader = SerializedFileReader::new(file).map_err(|error| fail(error.to_string()))?;
        let metadata = reader.metadata();
        let schema = metadata.file_metadata().schema_descr();
        let column = find(schema, &IMAGES, &[Type::BYTE_ARRAY])
            .ok_or_else(|| fail(format!("no column holds image bytes; it has {}", columns(schema))))?;
        let own = class_names(metadata.file_metadata().key_value_metadata().map_or(&[], Vec::as_slice));
        let label = find(schema, &LABELS, &[Type::INT64, Type::INT32]);
        let mut ends = Vec::new();
        for group in 0..metadata.num_row_groups() {
            let rows = usize::try_from(metadata.row_group(group).num_rows()).unwrap_or(0);
            let found = label.map(|label| labels(&reader, group, label, rows)).transpose();
            let found = found.map_err(|error| fail(error.to_string()))?.unwrap_or_else(|| vec![NONE; rows]);
            all.labels.extend(mapped(found, &own, classes.as_ref()).map_err(fail)?);
            ends.push(ends.last().copied().unwrap_or(0) + rows);
        }
        all.ends.push(all.labels.len());
        if names.is_empty() {
            names = own;
        }
        all.files.push(Table { path, reader, column, ends });
    }
    if all.labels.is_empty() {
        let why = "its Parquet files have no rows".to_owned();
        return Err(CalibrationError::Empty { path: root.display().to_string(), why });
    }
    let class_names = classes.map_or(names, Classes::into_names);
    Ok(Opened { source: Box::new(all), class_names, notes: Vec::new() })
}

/// The first column of a kind whose last name is one of those, in their order.
fn find(schema: &SchemaDescriptor, names: &[&str], kinds: &[Type]) -> Option<usize> {
    let suits = |column: usize, name: &str| {
        let own = schema.column(column);
        own.name() == name && own.max_rep_level() == 0 && kinds.contains(&own.physical_type())
    };
    names.iter().find_map(|name| (0..schema.num_columns()).find(|&column| suits(column, name)))
}

fn columns(schema: &SchemaDescriptor) -> String {
    let names: Vec<String> = schema.columns().iter().map(|own| format!("`{}`", own.path().string())).collect();
    names.join(", ")
}

/// The classes of a row group.
fn labels(
    reader: &SerializedFileReader<File>,
    group: usize,
    column: usize,
    rows: usize,
) -> Result<Vec<u32>, ParquetError> {
    let whole = |value: i64| u32::try_from(value).unwrap_or(NONE);
    match reader.get_row_group(group)?.get_column_reader(column)? {
        ColumnReader::Int64ColumnReader(own) => numbers(own, rows, whole),
        ColumnReader::Int32ColumnReader(own) => numbers(own, rows, |value| whole(value.into())),
        _ => Ok(vec![NONE; rows]),
    }
}

/// The numbers of a column that is not repeated; nulls and negative ones are no class.
fn numbers<T: DataType>(
    mut column: ColumnReaderImpl<T>,
    rows: usize,
    class: impl Fn(T::T) -> u32,
) -> Result<Vec<u32>, ParquetError> {
    let (mut defined, mut repeated, mut values) = (Vec::new(), Vec::new(), Vec::new());
    let mut read = 0;
    while read < rows {
        let (records, _, _) = column.read_records(rows - read, Some(&mut defined), Some(&mut repeated), &mut values)?;
        if records == 0 {
            break;
        }
        read += records;
    }
    let most = defined.iter().copied().max().unwrap_or(0);
    let mut values = values.into_iter().map(class);
    if values.len() == rows {
        return Ok(values.collect());
    }
    let mut found: Vec<u32> =
        defined.iter().map(|&level| if level == most { values.next().unwrap_or(NONE) } else { NONE }).collect();
    found.resize(rows, NONE);
    Ok(found)
}

/// Names of classes by number, where Hugging Face's `datasets` wrote them.
fn class_names(metadata: &[KeyValue]) -> Vec<String> {
    let text = metadata.iter().find(|own| own.key == "huggingface").and_then(|own| own.value.as_deref());
    let all: Option<Value> = text.and_then(|text| serde_json::from_str(text).ok());
    let features = all.as_ref().and_then(|all| all.pointer("/info/features")?.as_object());
    let Some(features) = features else { return Vec::new() };
    let names = LABELS.iter().find_map(|name| features.get(*name)?.get("names")?.as_array());
    let names = names.map_or(&[][..], Vec::as_slice);
    names.iter().map(|name| name.as_str().unwrap_or_default().to_owned()).collect()
}

/// Classes as outputs of the model: as numbered, or by their names where the user says which output each is.
fn mapped(labels: Vec<u32>, names: &[String], classes: Option<&Classes>) -> Result<Vec<u32>, String> {
    let Some(classes) = classes.filter(|_| !names.is_empty()) else { return Ok(labels) };
    let output = |label: u32| {
        let Some(name) = usize::try_from(label).ok().and_then(|label| names.get(label)) else { return Ok(NONE) };
        let output = classes.get(name).and_then(|own| u32::try_from(own).ok());
        output.ok_or_else(|| format!("`--classes` does not say which output `{name}` is"))
    };
    labels.into_iter().map(output).collect()
}

/// Whether a file is a Parquet file by its name.
pub(super) fn is_parquet(path: &Path) -> bool {
    extension(path) == "parquet"
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ::parquet::data_type::{ByteArrayType, Int64Type};
    use ::parquet::file::properties::WriterProperties;
    use ::parquet::file::writer::SerializedFileWriter;
    use ::parquet::schema::parser::parse_message_type;

    use super::*;

    const SCHEMA: &str = "message schema { optional group image { optional binary bytes; optional binary path (UTF8); } \
                          optional int64 label; }";

    fn png(value: u8) -> Vec<u8> {
        let mut bytes = std::io::Cursor::new(Vec::new());
        image::RgbImage::from_pixel(4, 4, image::Rgb([value; 3]))
            .write_to(&mut bytes, image::ImageFormat::Png)
            .unwrap();
        bytes.into_inner()
    }

    /// Two groups of three rows; the last row has neither image nor class.
    fn write(path: &Path) {
        let names = r#"{"info": {"features": {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}}}"#;
        let named = KeyValue::new("huggingface".to_owned(), names.to_owned());
        let properties = WriterProperties::builder().set_key_value_metadata(Some(vec![named])).build();
        let schema = Arc::new(parse_message_type(SCHEMA).unwrap());
        let mut writer = SerializedFileWriter::new(File::create(path).unwrap(), schema, Arc::new(properties)).unwrap();
        for group in 0..2_u8 {
            let rows: Vec<u8> = (3 * group..3 * group + 3).collect();
            let there = |row: &u8| *row != 5;
            let levels = |most: i16| rows.iter().map(|row| if there(row) { most } else { 0 }).collect::<Vec<i16>>();
            let kept: Vec<u8> = rows.iter().copied().filter(there).collect();
            let mut own = writer.next_row_group().unwrap();
            for (column, texts) in [0, 1].into_iter().zip([true, false]) {
                let mut one = own.next_column().unwrap().unwrap();
                let value =
                    |row: &u8| ByteArray::from(if texts { png(40 * row) } else { format!("{row}.png").into_bytes() });
                let values: Vec<ByteArray> = kept.iter().map(value).collect();
                one.typed::<ByteArrayType>().write_batch(&values, Some(&levels(2)), None).unwrap();
                one.close().unwrap_or_else(|error| panic!("column {column}: {error}"));
            }
            let mut one = own.next_column().unwrap().unwrap();
            let values: Vec<i64> = kept.iter().map(|row| i64::from(row % 2)).collect();
            one.typed::<Int64Type>().write_batch(&values, Some(&levels(1)), None).unwrap();
            one.close().unwrap();
            own.close().unwrap();
        }
        writer.close().unwrap();
    }

    fn pixel(source: &dyn Source, row: usize) -> u8 {
        match source.load(row).unwrap() {
            Picture::Pixels(own) => own.data[0],
            Picture::Planes(_) => panic!("pixels"),
        }
    }

    #[test]
    fn rows_are_images_with_classes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("train-0.parquet");
        write(&path);
        let Opened { source, class_names, .. } = open(folder.path(), vec![path.clone(), path.clone()], None).unwrap();
        assert_eq!((source.len(), class_names), (12, vec!["cat".to_owned(), "dog".to_owned()]));
        let labels: Vec<Option<usize>> = (0..7).map(|row| source.label(row)).collect();
        assert_eq!(labels, [Some(0), Some(1), Some(0), Some(1), Some(0), None, Some(0)]);
        assert_eq!([0, 4, 3, 7].map(|row| pixel(source.as_ref(), row)), [0, 160, 120, 40]);
        assert_eq!(source.load(5).err().as_deref(), Some("the row holds no image"));
        assert_eq!(source.name(7), "train-0.parquet[1]");
        // A list of outputs maps the names.
        let classes = Classes::in_order(vec!["dog".into(), "cow".into(), "cat".into()]);
        let mapped = open(folder.path(), vec![path], Some(classes)).unwrap().source;
        assert_eq!([0, 1].map(|row| mapped.label(row)), [Some(2), Some(0)]);
    }

    #[test]
    fn other_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("broken.parquet");
        std::fs::write(&path, "PAR1 and no more").unwrap();
        let error = open(folder.path(), vec![path], None).err().unwrap();
        assert!(matches!(error, CalibrationError::Format { help, .. } if help == HELP));
    }
}
