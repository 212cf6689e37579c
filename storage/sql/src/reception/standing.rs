//! A stream's row: where it stands, in CBOR as on the wire.

use posthouse_protocol::{
    federation::{
        cbor::{CborError, Reader, Writer},
        stream::{Incarnation, Lane, PerLane, Position, Standing},
    },
    time::Timestamp,
};
use posthouse_storage::{error::StoreError, reception::InboundStream};

use crate::db::Row;

/// Reads the columns `standing` and `since`.
pub(super) fn read(row: &Row) -> Result<InboundStream, StoreError> {
    let mut fields = row.fields("inbound_streams");
    let standing = fields.maybe_bytes("standing")?;
    let standing = standing.map(|bytes| fields.parse("standing", bytes, decode)).transpose()?;
    Ok(InboundStream { standing, since: fields.bits("since")?.map(Timestamp) })
}

/// `[incarnation, control, messages, receipts, bulk]`.
pub(super) fn encode(standing: &Standing) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.array(1 + Lane::ALL.len());
    standing.incarnation.write(&mut writer);
    for (_, position) in standing.lanes.iter() {
        position.write(&mut writer);
    }
    writer.finish()
}

fn decode(bytes: &[u8]) -> Result<Standing, CborError> {
    let mut reader = Reader::new(bytes);
    reader.array_of(1 + Lane::ALL.len())?;
    let incarnation = Incarnation::read(&mut reader)?;
    let mut lanes = PerLane::default();
    for lane in Lane::ALL {
        *lanes.of_mut(lane) = Position::read(&mut reader)?;
    }
    reader.finish()?;
    Ok(Standing { incarnation, lanes })
}
