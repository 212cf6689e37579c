//! The plain body of an envelope: its records (docs/spec/federation-envelopes.md, "Records").
//!
//! ```text
//! records = [ 0*1000 record ]
//! record  = [ 1, id: bstr (16), sender: bstr (16) / null, event: bstr ]     one sequence
//!         / [ 2, from: uint, to: uint, reason: uint ]                       to - from + 1 of them
//! ```
//! An event is wrapped in a byte string, so that one that cannot be read is rejected by itself
//! instead of blocking its lane: its id, its sender and its place stay known.

use uuid::Uuid;

use super::{
    cbor::{CborError, Fault, Reader, Writer},
    event::Event,
    limits,
    stream::RunningHash,
};

/// A record of a lane.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "nearly all records are events")]
pub enum Record {
    /// An event.
    Event(EventRecord),
    /// Sequences that carry nothing.
    Void(Void),
}

/// An event with what names it.
#[derive(Debug, Clone, PartialEq)]
pub struct EventRecord {
    /// Its id, chosen by the sender's client or server.
    pub id: Uuid,
    /// The sender's account at the origin. Absent for events of the server itself and for senders
    /// that are sealed into the content.
    pub sender: Option<Uuid>,
    /// The event, or why it cannot be read.
    pub event: Result<Event, CborError>,
}

/// Sequences whose events are gone: the sender says so and the receiver records it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Void {
    /// The first sequence.
    pub from: u64,
    /// The last one.
    pub to: u64,
    /// Why.
    pub reason: VoidReason,
}

/// Why sequences are void.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum VoidReason {
    /// The receiver had signed for them, asks for them again, and they are no longer kept.
    NotKept,
    /// The receiver refused the event whenever it came; the sender has been told that it failed.
    Refused,
    /// A reason that this version does not know.
    Other(u8),
}

impl VoidReason {
    /// The number on the wire.
    pub fn number(self) -> u8 {
        match self {
            Self::NotKept => 1,
            Self::Refused => 2,
            Self::Other(number) => number,
        }
    }

    /// The reason of a number.
    pub fn from_number(number: u8) -> Self {
        match number {
            1 => Self::NotKept,
            2 => Self::Refused,
            other => Self::Other(other),
        }
    }
}

impl Record {
    /// The running hash after this record, which stands at `sequence`.
    #[must_use]
    pub fn follow(&self, before: RunningHash, sequence: u64) -> RunningHash {
        match self {
            Self::Event(event) => before.event(sequence, event.sender, event.id),
            Self::Void(void) => before.void(void.from, void.to),
        }
    }

    /// How many sequences it covers.
    pub fn covers(&self) -> u64 {
        match self {
            Self::Event(_) => 1,
            Self::Void(void) => void.to - void.from + 1,
        }
    }
}

/// Writes an event record whose event is encoded already; a queue keeps it in that form.
pub fn write_event(writer: &mut Writer, id: Uuid, sender: Option<Uuid>, event: &[u8]) {
    writer.array(4).uint(1).bytes(id.as_bytes());
    match sender {
        Some(sender) => writer.bytes(sender.as_bytes()),
        None => writer.null(),
    };
    writer.bytes(event);
}

/// Writes a void record.
pub fn write_void(writer: &mut Writer, void: &Void) {
    writer.array(4).uint(2).uint(void.from).uint(void.to).uint(void.reason.number().into());
}

/// Encodes records whose events can all be read.
///
/// # Errors
/// The [`CborError`] of the first event that could not be read when it came.
pub fn encode(records: &[Record]) -> Result<Vec<u8>, CborError> {
    let mut writer = Writer::default();
    writer.array(records.len());
    for record in records {
        match record {
            Record::Event(one) => {
                let event = one.event.as_ref().map_err(|err| *err)?;
                write_event(&mut writer, one.id, one.sender, &event.encode());
            }
            Record::Void(void) => write_void(&mut writer, void),
        }
    }
    Ok(writer.finish())
}

/// Parses the records of an envelope whose place starts at `first` and covers `count` sequences.
/// Ephemerals have no sequence; their records are read with [`decode_ephemeral`].
///
/// # Errors
/// [`CborError`] if the framing is broken. An event that cannot be read is no such error; see
/// [`EventRecord::event`].
pub fn decode(bytes: &[u8], first: u64, count: u64) -> Result<Vec<Record>, CborError> {
    let mut next = first;
    let records = read(bytes, |reader, record| {
        if let Record::Void(void) = &record
            && (void.from != next || void.to < void.from)
        {
            return Err(reader.invalid("a void starts at its own sequence"));
        }
        let covered = next.checked_add(record.covers());
        next = covered.ok_or_else(|| reader.invalid("sequences end at 2^64 - 1"))?;
        Ok(record)
    })?;
    if next - first == count {
        Ok(records)
    } else {
        Err(CborError { at: 0, fault: Fault::Invalid("the header counts other sequences") })
    }
}

/// Parses the records of an ephemeral envelope: events only.
///
/// # Errors
/// [`CborError`] if the framing is broken or a void is among them.
pub fn decode_ephemeral(bytes: &[u8]) -> Result<Vec<EventRecord>, CborError> {
    read(bytes, |reader, record| match record {
        Record::Event(event) => Ok(event),
        Record::Void(_) => Err(reader.invalid("ephemerals have no sequence to be void")),
    })
}

fn read<T>(
    bytes: &[u8],
    mut check: impl FnMut(&Reader<'_>, Record) -> Result<T, CborError>,
) -> Result<Vec<T>, CborError> {
    let mut reader = Reader::new(bytes);
    let records = reader.list(limits::MAX_RECORDS, |reader| {
        let record = read_record(reader)?;
        check(reader, record)
    })?;
    reader.finish()?;
    Ok(records)
}

fn read_record(reader: &mut Reader<'_>) -> Result<Record, CborError> {
    reader.array_of(4)?;
    match reader.uint()? {
        1 => {
            let id = Uuid::from_bytes(reader.fixed()?);
            let sender = reader.nullable(Reader::fixed)?.map(Uuid::from_bytes);
            // The framing's own limit is the envelope's: an event beyond its limit is one event's
            // fault.
            let bytes = reader.bytes(limits::MAX_ENVELOPE)?;
            Ok(Record::Event(EventRecord { id, sender, event: Event::decode(bytes) }))
        }
        2 => {
            let (from, to) = (reader.uint()?, reader.uint()?);
            if to < from || to == u64::MAX {
                return Err(reader.invalid("a void ends after it starts"));
            }
            let reason = u8::try_from(reader.uint()?).map_err(|_| reader.fault(Fault::TooLong))?;
            Ok(Record::Void(Void { from, to, reason: VoidReason::from_number(reason) }))
        }
        _ => Err(reader.invalid("an unknown kind of record")),
    }
}

#[cfg(test)]
pub(super) mod tests;
