//! A stream's state as it is kept: the marks that the store itself moves, and the rest as CBOR.
//!
//! ```text
//! state    = [ 1, incarnation, opened at, resumes / null, [4 base], [0*16 past] ]
//! resumes  = [ incarnation, [4 position] ]
//! past     = [ incarnation, [4 [ base, end, position ]] ]
//! ```

use bytes::Bytes;
use posthouse_protocol::{
    federation::{
        cbor::{CborError, Reader, Writer},
        stream::{Incarnation, Lane, PerLane, Position, Standing},
    },
    id::ServerName,
    time::Timestamp,
};
use posthouse_storage::{
    error::StoreError,
    outbox::{OutboxLane, OutboxStream},
};

use crate::engine::outbound::{MAX_PAST, OutboundLane, OutboundStream, PastLane, PastLife};

/// The version of this form.
const VERSION: u64 = 1;

/// A stream in the form in which it is kept.
pub(super) fn keep(stream: &OutboundStream) -> OutboxStream {
    let mut writer = Writer::default();
    writer.array(6).uint(VERSION);
    stream.incarnation.write(&mut writer);
    writer.uint(stream.opened_at.0);
    match &stream.resumes {
        Some(standing) => write_standing(&mut writer, standing),
        None => drop(writer.null()),
    }
    writer.array(Lane::ALL.len());
    for (_, lane) in stream.lanes.iter() {
        writer.uint(lane.base);
    }
    writer.array(stream.past.len());
    for life in &stream.past {
        writer.array(2);
        life.incarnation.write(&mut writer);
        writer.array(Lane::ALL.len());
        for (_, lane) in life.lanes.iter() {
            writer.array(3).uint(lane.base).uint(lane.end);
            lane.receipted.write(&mut writer);
        }
    }
    let lanes = PerLane::from_fn(|lane| {
        let own = stream.lanes.of(lane);
        OutboxLane { floor: own.floor, receipted: own.receipted, offered: own.end }
    });
    OutboxStream { state: Bytes::from(writer.finish()), lanes }
}

/// Reads back what [`keep`] made.
pub(super) fn read(
    kept: &OutboxStream,
    destination: &ServerName,
) -> Result<OutboundStream, StoreError> {
    decode(kept).map_err(|err| StoreError::Corrupt {
        table: "outbox_streams",
        column: "state",
        fact: format!("the stream to {destination}: {err}"),
    })
}

fn decode(kept: &OutboxStream) -> Result<OutboundStream, CborError> {
    let mut reader = Reader::new(&kept.state);
    reader.array_of(6)?;
    if reader.uint()? != VERSION {
        return Err(reader.invalid("a version of the state that this program knows"));
    }
    let incarnation = Incarnation::read(&mut reader)?;
    let opened_at = Timestamp(reader.uint()?);
    let resumes = reader.nullable(read_standing)?;
    reader.array_of(Lane::ALL.len())?;
    let mut lanes = PerLane::default();
    for lane in Lane::ALL {
        let marks = kept.lanes.of(lane);
        *lanes.of_mut(lane) = OutboundLane {
            base: reader.uint()?,
            floor: marks.floor,
            receipted: marks.receipted,
            end: marks.offered,
        };
    }
    let past = reader.list(MAX_PAST, read_life)?;
    reader.finish()?;
    Ok(OutboundStream { incarnation, opened_at, resumes, lanes, past })
}

fn write_standing(writer: &mut Writer, standing: &Standing) {
    writer.array(2);
    standing.incarnation.write(writer);
    writer.array(Lane::ALL.len());
    for (_, position) in standing.lanes.iter() {
        position.write(writer);
    }
}

fn read_standing(reader: &mut Reader<'_>) -> Result<Standing, CborError> {
    reader.array_of(2)?;
    let incarnation = Incarnation::read(reader)?;
    reader.array_of(Lane::ALL.len())?;
    let mut lanes = PerLane::default();
    for lane in Lane::ALL {
        *lanes.of_mut(lane) = Position::read(reader)?;
    }
    Ok(Standing { incarnation, lanes })
}

fn read_life(reader: &mut Reader<'_>) -> Result<PastLife, CborError> {
    reader.array_of(2)?;
    let incarnation = Incarnation::read(reader)?;
    reader.array_of(Lane::ALL.len())?;
    let mut lanes = PerLane::default();
    for lane in Lane::ALL {
        reader.array_of(3)?;
        let (base, end) = (reader.uint()?, reader.uint()?);
        *lanes.of_mut(lane) = PastLane { base, end, receipted: Position::read(reader)? };
    }
    Ok(PastLife { incarnation, lanes })
}

#[cfg(test)]
mod tests {
    use posthouse_protocol::federation::stream::RunningHash;
    use posthouse_storage::outbox::Mark;
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn incarnation() -> impl Strategy<Value = Incarnation> {
        (1_u64.., any::<[u8; 16]>()).prop_map(|(number, random)| Incarnation { number, random })
    }

    fn position() -> impl Strategy<Value = Position> {
        (any::<u64>(), any::<[u8; 32]>())
            .prop_map(|(through, hash)| Position { through, hash: RunningHash(hash) })
    }

    fn lanes<T: Clone + core::fmt::Debug>(
        one: impl Strategy<Value = T>,
    ) -> impl Strategy<Value = PerLane<T>> {
        vec(one, 4).prop_map(|all| {
            let place = |lane: Lane| usize::from(lane.number()) - 1;
            PerLane::from_fn(|lane| all[place(lane)].clone())
        })
    }

    fn mark() -> impl Strategy<Value = Mark> {
        position().prop_map(|at| Mark { index: at.through, hash: at.hash })
    }

    fn stream() -> impl Strategy<Value = OutboundStream> {
        let standing = (incarnation(), lanes(position()))
            .prop_map(|(incarnation, lanes)| Standing { incarnation, lanes });
        let lane = (any::<u64>(), mark(), mark(), any::<u64>())
            .prop_map(|(base, floor, receipted, end)| OutboundLane { base, floor, receipted, end });
        let past = (any::<u64>(), any::<u64>(), position())
            .prop_map(|(base, end, receipted)| PastLane { base, end, receipted });
        let life = (incarnation(), lanes(past))
            .prop_map(|(incarnation, lanes)| PastLife { incarnation, lanes });
        let rest = (prop::option::of(standing), lanes(lane), vec(life, 0..=MAX_PAST));
        (incarnation(), any::<u64>(), rest).prop_map(|(incarnation, at, (resumes, lanes, past))| {
            OutboundStream { incarnation, opened_at: Timestamp(at), resumes, lanes, past }
        })
    }

    proptest! {
        #[test]
        fn what_is_kept_is_read_back(stream in stream()) {
            let kept = keep(&stream);
            prop_assert!(kept.state.len() <= 64 * 1024);
            prop_assert_eq!(decode(&kept).unwrap(), stream);
        }
    }
}
