//! What travels between regions.

use bytes::Bytes;
use posthouse_protocol::{
    federation::{
        cbor::CborError,
        event::{Event, EventClass, EventKind},
        header::Place,
        record::{EventRecord, Record, Void, VoidReason},
        stream::Lane,
    },
    time::Stamp,
};

use crate::engine::{
    outbound::LogItem,
    sender::{Answer, Outgoing},
};

/// An envelope on the way, already opened: seal and signature are not simulated.
#[derive(Debug, Clone)]
pub(super) struct Parcel {
    pub(super) place: Place,
    pub(super) records: Vec<Record>,
}

/// What is on the way.
#[derive(Debug, Clone)]
pub(super) enum Transit {
    Envelope { from: Sending, to: usize, parcel: Box<Parcel> },
    Answer { to: Sending, from: usize, answer: Answer },
}

/// Which sending of which life of which process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sending {
    pub(super) node: usize,
    pub(super) life: u64,
    pub(super) region: usize,
    pub(super) attempt: u64,
    pub(super) lane: Lane,
}

impl Parcel {
    /// The records of an envelope as its receiver reads them.
    pub(super) fn of(outgoing: &Outgoing) -> Self {
        let entries = outgoing.sequenced().map(|(sequence, entry)| match &entry.item {
            LogItem::Event { id, sender, event } => {
                Record::Event(EventRecord { id: *id, sender: *sender, event: read(event) })
            }
            LogItem::Refused => {
                let reason = VoidReason::Refused;
                Record::Void(Void { from: sequence, to: sequence, reason })
            }
        });
        let records = outgoing.void.map(Record::Void).into_iter().chain(entries).collect();
        Self { place: outgoing.place.clone(), records }
    }
}

/// The simulator's event: its stamp alone.
pub(super) fn write(stamp: Stamp) -> Bytes {
    Bytes::copy_from_slice(&stamp.0.to_be_bytes())
}

fn read(bytes: &[u8]) -> Result<Event, CborError> {
    let Ok(stamp) = bytes.try_into() else { return Event::decode(bytes) };
    let stamp = Some(Stamp(u64::from_be_bytes(stamp)));
    Ok(Event { stamp, ..Event::new(EventKind::Message, EventClass::Message) })
}
