//! Scan of the wire format before decoding.

/// One field of a message in the table.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) number: u32,
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) repeated: bool,
}

/// What the wire may carry for a field.
#[derive(Debug, Clone, Copy)]
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
