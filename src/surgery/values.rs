//! Edits of values: names, stored tensors, what is declared, inputs and outputs.

use std::collections::BTreeSet;

use super::edit::{Redirect, read_instead, remake};
use super::index::Item;
use super::store::Store;
use super::{Graph, SurgeryError};
use crate::model::{DataType, TensorData, TensorType};
use crate::proto::onnx::{TensorProto, ValueInfoProto};

impl Graph<'_> {
    /// Renames a value everywhere: where it is made, declared and read, in subgraphs too.
    ///
    /// # Errors
    /// If it does not exist, or the new name is empty or taken.
    pub fn rename(&mut self, from: &str, to: &str) -> Result<(), SurgeryError> {
        self.known(from)?;
        if from == to {
            return Ok(());
        }
        self.free(to)?;
        let readers = self.reading_nodes(from);
        let known = self.store.index.value(from).cloned().unwrap_or_default();
        self.edit(|store| {
            store.rename_annotations(from, to)?;
            if let Some(maker) = known.producer {
                store.change_node(maker, |node| remake(node, from, to))?;
            }
            read_instead(store, &readers, Redirect { from, to })?;
            store.rename_entries(&known, to)
        })
    }

    /// Lets everything that reads `from` read `to`, graph outputs excepted. Whether the readers take the type and shape
    /// of `to` is up to the caller.
    ///
    /// # Errors
    /// If one of them does not exist, or a node would depend on itself.
    pub fn redirect(&mut self, from: &str, to: &str) -> Result<(), SurgeryError> {
        self.known(from)?;
        self.known(to)?;
        let readers = self.reading_nodes(from);
        self.edit(|store| read_instead(store, &readers, Redirect { from, to }))
    }

    /// Stores a constant.
    ///
    /// # Errors
    /// If the name is empty or taken, or the bytes do not fill the shape.
    pub fn add_initializer(&mut self, name: &str, data: &TensorData) -> Result<(), SurgeryError> {
        self.free(name)?;
        fills(name, data)?;
        self.edit(|store| store.store(name, data))
    }

    /// Gives a stored tensor, an initializer or a `Constant` node's, other data. Element type and shape may change.
    ///
    /// # Errors
    /// If the value is not stored, or the bytes do not fill the shape.
    pub fn set_constant(&mut self, value: &str, data: &TensorData) -> Result<(), SurgeryError> {
        fills(value, data)?;
        if self.initializer(value).is_some() {
            return self.edit(|store| store.store(value, data));
        }
        let node = self.constant_node(value);
        let node = node.ok_or_else(|| SurgeryError::NotStored { value: value.to_owned() })?;
        self.edit(|store| {
            store.change_node(node.0, |node| {
                node.attribute.clear();
                node.set("value", data.clone());
            })?;
            let kind = stored_type(data);
            let known = store.index.value(value).cloned().unwrap_or_default();
            store.declare_known(&known, value, &kind)
        })
    }

    /// Declares element type and shape of a value.
    ///
    /// # Errors
    /// If it does not exist, or is stored and of another type.
    pub fn set_info(&mut self, value: &str, kind: &TensorType) -> Result<(), SurgeryError> {
        self.known(value)?;
        if self.is_constant(value) {
            let stored = self.info(value).filter(|stored| stored != kind);
            return stored.map_or(Ok(()), |stored| {
                Err(SurgeryError::Type { value: value.to_owned(), stored: stored.to_string() })
            });
        }
        let known = self.store.index.value(value).cloned().unwrap_or_default();
        self.edit(|store| {
            store.declare_known(&known, value, kind)?;
            if known.input.or(known.output).or(known.info).is_none() {
                let end = store.graph.value_info.len();
                store.put(end, Item::Info(kind.declare(value)))?;
            }
            Ok(())
        })
    }

    /// Drops the declared shapes of a value and of everything that depends on it, for edits that change shapes.
    /// Engines find them anew. Graph outputs keep their element type and number of axes.
    ///
    /// # Errors
    /// If the value does not exist.
    pub fn forget_shapes(&mut self, value: &str) -> Result<(), SurgeryError> {
        self.known(value)?;
        let mut seen = BTreeSet::from([value.to_owned()]);
        let mut open = vec![value.to_owned()];
        while let Some(name) = open.pop() {
            for id in self.reading_nodes(&name) {
                let made = self.node(id).map_or(&[][..], |node| &node.output);
                open.extend(made.iter().filter(|output| !output.is_empty() && seen.insert((*output).clone())).cloned());
            }
        }
        self.edit(|store| seen.iter().try_for_each(|name| store.forget_shape(name)))
    }

    /// Adds a graph input.
    ///
    /// # Errors
    /// If the name is empty or taken.
    pub fn add_input(&mut self, name: &str, kind: &TensorType) -> Result<(), SurgeryError> {
        self.free(name)?;
        self.edit(|store| {
            let end = store.graph.input.len();
            store.put(end, Item::Input(kind.declare(name)))
        })
    }

    /// Removes a graph input that nothing reads.
    ///
    /// # Errors
    /// If it is no input, or is read.
    pub fn remove_input(&mut self, name: &str) -> Result<(), SurgeryError> {
        let at = self.store.index.value(name).and_then(|value| value.input);
        let at = at.ok_or_else(|| SurgeryError::NoValue { value: name.to_owned() })?;
        if self.is_read(name) {
            return Err(self.still_read(name));
        }
        self.edit(|store| store.put(at, Item::Input(ValueInfoProto::default())))
    }

    /// Makes these values the graph's outputs, in this order. What is declared of a value is kept; otherwise its
    /// element type follows from the operators before it, and [`Graph::set_info`] declares the shape.
    ///
    /// # Errors
    /// If there is none, one does not exist, or one is named twice.
    pub fn set_outputs(&mut self, values: &[&str]) -> Result<(), SurgeryError> {
        if values.is_empty() {
            return Err(SurgeryError::NoGraphOutput);
        }
        values.iter().try_for_each(|value| self.known(value))?;
        let declared: Vec<ValueInfoProto> = values.iter().map(|value| self.declaration(value)).collect();
        self.edit(|store| {
            let old = store.graph.output.len();
            (0..old).try_for_each(|at| store.put(at, Item::Output(ValueInfoProto::default())))?;
            declared.into_iter().enumerate().try_for_each(|(at, info)| store.put(at, Item::Output(info)))
        })
    }

    /// A declaration of a value, as far as it is known.
    fn declaration(&self, value: &str) -> ValueInfoProto {
        let graph = &self.store.graph;
        let known = self.store.index.value(value).cloned().unwrap_or_default();
        let output = known.output.map(|at| &graph.output[at]);
        let info = output.or_else(|| known.info.map(|at| &graph.value_info[at]));
        let info = info.or_else(|| known.input.map(|at| &graph.input[at]));
        if let Some(info) = info.filter(|info| info.r#type.is_some()) {
            return info.clone();
        }
        let kind = self.info(value).or_else(|| self.element_type(value).map(TensorType::new));
        let unknown = ValueInfoProto { name: Some(value.to_owned()), ..ValueInfoProto::default() };
        kind.map_or(unknown, |kind| kind.declare(value))
    }

    /// Whether a new value can have a name.
    fn free(&self, name: &str) -> Result<(), SurgeryError> {
        if name.is_empty() {
            return Err(SurgeryError::Empty { what: "a value".into() });
        }
        let taken = |by: &str| Err(SurgeryError::Taken { name: name.to_owned(), by: by.into() });
        if self.contains(name) {
            return taken("another value");
        }
        if self.store.index.inner.contains_key(name) { taken("a value of a subgraph") } else { Ok(()) }
    }
}

impl Store {
    /// Gives the entries of a value, other than nodes, another name.
    fn rename_entries(&mut self, known: &super::index::Value, to: &str) -> Result<(), SurgeryError> {
        let name = Some(to.to_owned());
        let renamed = |info: &ValueInfoProto| ValueInfoProto { name: name.clone(), ..info.clone() };
        if let Some(at) = known.input {
            self.put(at, Item::Input(renamed(&self.graph.input[at])))?;
        }
        if let Some(at) = known.initializer {
            let tensor = self.graph.initializer[at].clone();
            self.put(at, Item::Initializer(TensorProto { name: name.clone(), ..tensor }))?;
        }
        if let Some(at) = known.sparse {
            let mut sparse = self.graph.sparse_initializer[at].clone();
            if let Some(values) = &mut sparse.values {
                values.name.clone_from(&name);
            }
            self.put(at, Item::Sparse(Box::new(sparse)))?;
        }
        if let Some(at) = known.output {
            self.put(at, Item::Output(renamed(&self.graph.output[at])))?;
        }
        known.info.map_or(Ok(()), |at| self.put(at, Item::Info(renamed(&self.graph.value_info[at]))))
    }

    /// Quantization annotations name the value and the tensors of its scale and zero point.
    fn rename_annotations(&mut self, from: &str, to: &str) -> Result<(), SurgeryError> {
        for at in 0..self.graph.quantization_annotation.len() {
            let mut note = self.graph.quantization_annotation[at].clone();
            let names = note.quant_parameter_tensor_names.iter_mut().map(|entry| &mut entry.value);
            for name in names.chain([&mut note.tensor_name]).filter(|name| name.as_deref() == Some(from)) {
                *name = Some(to.to_owned());
            }
            self.put(at, Item::Annotation(Box::new(note)))?;
        }
        Ok(())
    }

    /// Adds an initializer or gives one other data; before IR version 4 it is listed as an input too.
    pub(super) fn store(&mut self, name: &str, data: &TensorData) -> Result<(), SurgeryError> {
        let known = self.index.value(name).cloned().unwrap_or_default();
        let at = known.initializer.unwrap_or(self.graph.initializer.len());
        self.put(at, Item::Initializer(data.to_proto(name)))?;
        let kind = stored_type(data);
        if self.listed && known.input.is_none() {
            self.put(self.graph.input.len(), Item::Input(kind.declare(name)))?;
        }
        self.declare_known(&known, name, &kind)
    }

    /// Removes a stored tensor, and the input that lists it or defaults to it.
    pub(super) fn remove_stored(&mut self, name: &str) -> Result<(), SurgeryError> {
        let known = self.index.value(name).cloned().unwrap_or_default();
        if let Some(at) = known.initializer {
            self.put(at, Item::Initializer(TensorProto::default()))?;
        }
        if let Some(at) = known.sparse {
            self.put(at, Item::Sparse(Box::default()))?;
        }
        known.input.map_or(Ok(()), |at| self.put(at, Item::Input(ValueInfoProto::default())))
    }

    /// Changes the declarations that there are of a value.
    fn declare_known(
        &mut self,
        known: &super::index::Value,
        name: &str,
        kind: &TensorType,
    ) -> Result<(), SurgeryError> {
        let retyped = |info: &ValueInfoProto| ValueInfoProto { r#type: kind.declare(name).r#type, ..info.clone() };
        if let Some(at) = known.input {
            self.put(at, Item::Input(retyped(&self.graph.input[at])))?;
        }
        if let Some(at) = known.output {
            self.put(at, Item::Output(retyped(&self.graph.output[at])))?;
        }
        known.info.map_or(Ok(()), |at| self.put(at, Item::Info(retyped(&self.graph.value_info[at]))))
    }

    fn forget_shape(&mut self, name: &str) -> Result<(), SurgeryError> {
        let Some(known) = self.index.value(name).cloned() else { return Ok(()) };
        if let Some(at) = known.info {
            self.put(at, Item::Info(ValueInfoProto::default()))?;
        }
        let Some(at) = known.output else { return Ok(()) };
        let info = self.graph.output[at].clone();
        let open = TensorType::of(&info).map(|kind| {
            let shape = kind.shape.map(|shape| vec![crate::model::Dimension::Unknown; shape.len()]);
            TensorType { shape, ..kind }.declare(name).r#type
        });
        open.map_or(Ok(()), |open| self.put(at, Item::Output(ValueInfoProto { r#type: open, ..info })))
    }
}

fn stored_type(data: &TensorData) -> TensorType {
    TensorType::new(data.dtype).shaped(data.dims.iter().map(|&size| size.into()))
}

/// Whether the bytes are as many as the shape needs.
fn fills(value: &str, data: &TensorData) -> Result<(), SurgeryError> {
    let elements = data.dims.iter().try_fold(1usize, |all, &size| all.checked_mul(size));
    let bits = match data.dtype {
        DataType::Uint4 | DataType::Int4 | DataType::Float4e2m1 => Some(4),
        DataType::Uint2 | DataType::Int2 => Some(2),
        other => TensorData::element_size(other).map(|size| size * 8),
    };
    let needed = elements.zip(bits).and_then(|(elements, bits)| Some(elements.checked_mul(bits)?.div_ceil(8)));
    if needed == Some(data.bytes.len()) {
        return Ok(());
    }
    let why = format!("{} bytes do not fill {:?} elements of shape {:?}", data.bytes.len(), data.dtype, data.dims);
    Err(SurgeryError::Data { value: value.to_owned(), why })
}
