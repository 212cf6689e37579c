//! The records of an envelope (federation-envelopes.md §Records).

use super::super::{
    cbor::{Malformed, Reading, Value},
    lanes::{Position, Uuid},
};

/// Most records of an envelope.
const MAX_RECORDS: usize = 1000;

/// A record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// An event.
    Event(Enclosed),
    /// Sequences that carry nothing any more.
    Void {
        /// Its own sequence.
        from: u64,
        /// The last one.
        to: u64,
        /// Why.
        reason: u64,
    },
}

/// An event in its record: its bytes are read by themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enclosed {
    /// The event's id.
    pub id: Uuid,
    /// The sender's account, at the origin.
    pub sender: Option<Uuid>,
    /// The event's bytes.
    pub event: Vec<u8>,
}

impl Record {
    /// Writes it.
    pub fn write(&self) -> Value {
        match self {
            Self::Event(Enclosed { id, sender, event }) => Value::Array(vec![
                Value::Uint(1),
                Value::bytes(id),
                sender.map_or(Value::Null, Value::bytes),
                Value::bytes(event),
            ]),
            Self::Void { from, to, reason } => {
                Value::Array([2, *from, *to, *reason].map(Value::Uint).to_vec())
            }
        }
    }

    fn read(value: Value) -> Reading<Self> {
        let [kind, a, b, c] = value.tuple()?;
        match kind.uint()? {
            1 => Ok(Self::Event(Enclosed {
                id: a.fixed()?,
                sender: if b == Value::Null { None } else { Some(b.fixed()?) },
                event: c.byte_string()?,
            })),
            2 => {
                let void = Self::Void { from: a.uint()?, to: b.uint()?, reason: c.uint()? };
                let small = matches!(void, Self::Void { reason: 0..=255, .. });
                if small { Ok(void) } else { Err(Malformed("a reason out of range")) }
            }
            _ => Err(Malformed("an unknown record")),
        }
    }

    /// The position after it.
    #[must_use]
    pub fn after(&self, at: Position) -> Position {
        match self {
            Self::Event(event) => at.event(event.sender, event.id),
            Self::Void { from, to, .. } => at.void(*from, *to),
        }
    }
}

/// Writes records.
pub fn write(records: &[Record]) -> Vec<u8> {
    Value::Array(records.iter().map(Record::write).collect()).encode()
}

/// Reads the records of a lane: from `first` on they cover `count` sequences without a hole. In
/// lane 0 (`place` is absent) there are events only.
///
/// # Errors
/// [`Malformed`].
pub fn read(bytes: &[u8], place: Option<(u64, u64)>) -> Reading<Vec<Record>> {
    let records = Value::decode(bytes)?.each(Record::read)?;
    if records.len() > MAX_RECORDS {
        return Err(Malformed("too many records"));
    }
    let Some((first, count)) = place else {
        let events = records.iter().all(|record| matches!(record, Record::Event(_)));
        return if events { Ok(records) } else { Err(Malformed("a void among ephemerals")) };
    };
    let mut next = first;
    for record in &records {
        let last = match record {
            Record::Event(_) => next,
            Record::Void { from, to, .. } if *from == next && to >= from => *to,
            Record::Void { .. } => return Err(Malformed("a void in the wrong place")),
        };
        next = last.checked_add(1).ok_or(Malformed("sequences out of range"))?;
    }
    if first.checked_add(count) == Some(next) {
        Ok(records)
    } else {
        Err(Malformed("the records do not cover what the header counts"))
    }
}
