//! Scan of the wire format before anything is decoded or allocated.
//!
//! prost drops unknown fields silently and allocates for what a file claims. The scan passes over the bytes once, skips
//! payloads, and finds unknown fields, malformed encodings, and sizes out of bounds.
//!
//! <https://protobuf.dev/programming-guides/encoding/>
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use super::schema::MESSAGES;

/// One field of a message in the table.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) number: u32,
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) repeated: bool,
}

/// What the wire may carry for a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Varint,
    Fixed32,
    Fixed64,
    Bytes,
    String,
    /// Index into the table of messages.
    Message(usize),
}

/// One message of the table.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) name: &'static str,
    pub(super) fields: &'static [Field],
}

/// Bounds on what a file may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the whole file: protobuf's own limit.
    pub most_bytes: usize,
    /// Messages of all kinds.
    pub most_messages: usize,
    /// Nesting of messages; prost stops at 100.
    pub most_depth: usize,
    /// Values in packed or repeated scalar fields: one wire byte may become eight in memory.
    pub most_scalars: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { most_bytes: 0x7fff_ffff, most_messages: 20_000_000, most_depth: 90, most_scalars: 600_000_000 }
    }
}

/// What the scan counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scan {
    /// Messages of all kinds.
    pub messages: usize,
    /// Values of repeated scalar fields.
    pub scalars: usize,
    /// `Message.number` of every kind of field that `onnx.proto` does not have, in order of appearance.
    pub unknown: Vec<String>,
}

/// Where and why the bytes are no ONNX model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    /// Offset in bytes.
    pub offset: usize,
    /// Messages that enclose the place: `ModelProto.graph.node`.
    pub path: String,
    /// What is wrong.
    pub why: String,
}

/// Messages are named in the order of onnx.proto.
const ROOT: &str = "ModelProto";

/// Scans an encoded `ModelProto`.
///
/// # Errors
/// If the encoding is broken, a string is not UTF-8, or a limit is exceeded.
pub fn scan(bytes: &[u8], limits: &Limits) -> Result<Scan, Malformed> {
    let mut walk = Reconstruction { bytes, limits, found: Scan::default(), path: vec![ROOT] };
    if bytes.len() > limits.most_bytes {
        return Err(walk.fail(0, format!("{} bytes are more than protobuf's {}", bytes.len(), limits.most_bytes)));
    }
    let root = MESSAGES.iter().position(|message| message.name == ROOT);
    walk.message(root.unwrap_or_default(), 0, bytes.len())?;
    Ok(walk.found)
}

struct Reconstruction<'a> {
    bytes: &'a [u8],
    limits: &'a Limits,
    found: Scan,
    path: Vec<&'static str>,
}

impl Reconstruction<'_> {
    fn fail(&self, offset: usize, why: impl Into<String>) -> Malformed {
        Malformed { offset, path: self.path.join("."), why: why.into() }
    }

    fn message(&mut self, kind: usize, start: usize, end: usize) -> Result<(), Malformed> {
        self.found.messages = self.found.messages.saturating_add(1);
        if self.found.messages > self.limits.most_messages {
            return Err(self.fail(start, format!("more than {} messages", self.limits.most_messages)));
        }
        if self.path.len() > self.limits.most_depth {
            return Err(self.fail(start, format!("nested deeper than {} messages", self.limits.most_depth)));
        }
        let Some(message) = MESSAGES.get(kind) else { return Err(self.fail(start, "no such message")) };
        let mut at = start;
        while at < end {
            let (key, next) = self.varint(at, end)?;
            let number = u32::try_from(key >> 3).map_err(|_| self.fail(at, "a field number out of range"))?;
            let wire = key & 7;
            if number == 0 {
                return Err(self.fail(at, "a field number of zero"));
            }
            let (payload, after) = self.extent(wire, next, end)?;
            match message.fields.iter().find(|field| field.number == number) {
                None => {
                    let name = format!("{}.{number}", message.name);
                    if !self.found.unknown.contains(&name) && self.found.unknown.len() < 16 {
                        self.found.unknown.push(name);
                    }
                }
                Some(field) => self.field(field, wire, payload, after)?,
            }
            at = after;
        }
        Ok(())
    }

    /// Start of the payload and end of the field.
    fn extent(&self, wire: u64, at: usize, end: usize) -> Result<(usize, usize), Malformed> {
        let fixed = |size: usize| at.checked_add(size).filter(|&after| after <= end);
        let (payload, after) = match wire {
            0 => (at, Some(self.varint(at, end)?.1)),
            1 => (at, fixed(8)),
            5 => (at, fixed(4)),
            2 => {
                let (length, next) = self.varint(at, end)?;
                let length = usize::try_from(length).ok();
                (next, length.and_then(|length| next.checked_add(length)).filter(|&after| after <= end))
            }
            3 | 4 => return Err(self.fail(at, "a group, which onnx.proto does not have")),
            _ => return Err(self.fail(at, format!("wire type {wire} does not exist"))),
        };
        after.map(|after| (payload, after)).ok_or_else(|| self.fail(at, "a field reaches past the end"))
    }

    fn field(&mut self, field: &'static Field, wire: u64, start: usize, end: usize) -> Result<(), Malformed> {
        let own = match field.kind {
            Kind::Varint => 0,
            Kind::Fixed64 => 1,
            Kind::Fixed32 => 5,
            Kind::Bytes | Kind::String | Kind::Message(_) => 2,
        };
        let packed = field.repeated && own != 2 && wire == 2;
        if wire != own && !packed {
            return Err(self.fail(start, format!("field `{}` has wire type {wire} in place of {own}", field.name)));
        }
        match field.kind {
            Kind::Message(kind) => {
                self.path.push(field.name);
                self.message(kind, start, end)?;
                self.path.pop();
            }
            Kind::String => {
                let text = self.bytes.get(start..end).unwrap_or_default();
                if std::str::from_utf8(text).is_err() {
                    return Err(self.fail(start, format!("the string `{}` is not UTF-8", field.name)));
                }
            }
            Kind::Bytes => {}
            _ if packed => self.packed(field, start, end)?,
            _ => self.scalars(start, 1)?,
        }
        Ok(())
    }

    fn packed(&mut self, field: &Field, start: usize, end: usize) -> Result<(), Malformed> {
        let size = end.saturating_sub(start);
        let width = match field.kind {
            Kind::Fixed32 => 4,
            Kind::Fixed64 => 8,
            _ => {
                let mut at = start;
                let mut count: usize = 0;
                while at < end {
                    at = self.varint(at, end)?.1;
                    count = count.saturating_add(1);
                }
                return self.scalars(start, count);
            }
        };
        if !size.is_multiple_of(width) {
            return Err(self.fail(start, format!("`{}` has {size} bytes, not a multiple of {width}", field.name)));
        }
        self.scalars(start, size.checked_div(width).unwrap_or_default())
    }

    fn scalars(&mut self, at: usize, count: usize) -> Result<(), Malformed> {
        self.found.scalars = self.found.scalars.saturating_add(count);
        if self.found.scalars > self.limits.most_scalars {
            return Err(self.fail(at, format!("more than {} values in typed fields", self.limits.most_scalars)));
        }
        Ok(())
    }

    /// Value of a varint and the offset after it.
    fn varint(&self, at: usize, end: usize) -> Result<(u64, usize), Malformed> {
        let bytes = self.bytes.get(at..end).unwrap_or_default();
        let mut value = 0_u64;
        for (index, byte) in bytes.iter().take(10).enumerate() {
            let shift = u32::try_from(index).unwrap_or_default().saturating_mul(7);
            let part = u64::from(byte & 0x7f);
            if shift == 63 && part > 1 {
                return Err(self.fail(at, "a varint of more than 64 bits"));
            }
            value |= part << shift;
            if byte & 0x80 == 0 {
                return Ok((value, at.saturating_add(index).saturating_add(1)));
            }
        }
        Err(self.fail(
            at,
            if bytes.len() < 10 { "the file ends inside a number" } else { "a varint of more than 10 bytes" },
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scanned(bytes: &[u8]) -> Result<Scan, Malformed> {
        scan(bytes, &Limits::default())
    }

    #[test]
    fn unknown_fields_are_named() {
        // Field 999, varint 1.
        assert_eq!(scanned(&[0xb8, 0x3e, 0x01]).unwrap().unknown, ["ModelProto.999"]);
    }

    #[test]
    fn broken_encodings_say_where() {
        // graph (field 7) claims 5 bytes, 1 is there.
        assert_eq!(scanned(&[0x3a, 0x05, 0x0a]).unwrap_err().why, "a field reaches past the end");
        // producer_name (field 2) is not UTF-8.
        assert!(scanned(&[0x12, 0x01, 0xff]).unwrap_err().why.contains("`producer_name` is not UTF-8"));
        // ir_version (field 1) as a string.
        assert!(scanned(&[0x0a, 0x00]).unwrap_err().why.contains("wire type 2 in place of 0"));
        let error = scanned(&[0x3a, 0x02, 0x0a, 0x05]).unwrap_err();
        assert_eq!((error.path.as_str(), error.offset), ("ModelProto.graph", 3));
    }

    #[test]
    fn depth_is_bounded() {
        // graph -> node -> attribute -> g -> node ...
        let mut bytes = Vec::new();
        for _ in 0..60 {
            for key in [0x32, 0x2a, 0x0a] {
                let mut outer = vec![key];
                prost::encode_length_delimiter(bytes.len(), &mut outer).unwrap();
                outer.extend(&bytes);
                bytes = outer;
            }
        }
        let mut model = vec![0x3a];
        prost::encode_length_delimiter(bytes.len(), &mut model).unwrap();
        model.extend(&bytes);
        assert!(scanned(&model).unwrap_err().why.contains("nested deeper"));
    }
}
