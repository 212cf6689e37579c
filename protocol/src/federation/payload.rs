//! What the server itself says inside an event's body (docs/spec/federation-envelopes.md,
//! "Payloads"): watermarks, acknowledgements, presence, typing.

use uuid::Uuid;

use super::{
    cbor::{CborError, Fields, Reader},
    event::read_device,
    limits,
};
use crate::{id::DeviceNumber, status::Seen, time::Timestamp};

/// How far the event's sender has read in the event's conversation, counting in the numbers of the
/// destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watermark {
    /// Delivered or read.
    pub seen: Seen,
    /// The highest number.
    pub through: u64,
    /// Lower numbers that are not covered, rising, at most [`limits::MAX_EXCEPT`].
    pub except: Vec<u64>,
}

impl Watermark {
    /// The bytes of the body.
    pub fn encode(&self) -> Vec<u8> {
        let mut fields = Fields::default();
        fields.key(1).uint(seen_number(self.seen));
        fields.key(2).uint(self.through);
        let except = fields.key(3).array(self.except.len());
        for number in &self.except {
            except.uint(*number);
        }
        fields.finish()
    }

    /// Parses the bytes of a body.
    ///
    /// # Errors
    /// [`CborError`] with the place and the rule that is broken.
    pub fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        let (mut seen, mut through, mut except) = (None, None, None);
        let mut reader = Reader::new(bytes);
        reader.map(|reader, key| {
            match key {
                1 => seen = Some(read_seen(reader)?),
                2 => through = Some(reader.uint()?),
                3 => except = Some(reader.list(limits::MAX_EXCEPT, Reader::uint)?),
                other => reader.unknown(other)?,
            }
            Ok(())
        })?;
        let through = reader.require(through, "through")?;
        let except: Vec<u64> = reader.require(except, "except")?;
        let rising = except.windows(2).all(|pair| pair.first() < pair.last());
        if !rising || except.last().is_some_and(|last| *last >= through) {
            return Err(reader.invalid("`except` rises and stays below `through`"));
        }
        let watermark = Self { seen: reader.require(seen, "seen")?, through, except };
        reader.finish()?;
        Ok(watermark)
    }
}

/// Messages that the event's sender has acknowledged just now. It is told at once and may be lost; the
/// watermark that follows says the same for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledged {
    /// Delivered or read.
    pub seen: Seen,
    /// The messages' ids, 1 to [`limits::MAX_ACKNOWLEDGED`].
    pub ids: Vec<Uuid>,
}

impl Acknowledged {
    /// The bytes of the body.
    pub fn encode(&self) -> Vec<u8> {
        let mut fields = Fields::default();
        fields.key(1).uint(seen_number(self.seen));
        let ids = fields.key(2).array(self.ids.len());
        for id in &self.ids {
            ids.bytes(id.as_bytes());
        }
        fields.finish()
    }

    /// Parses the bytes of a body.
    ///
    /// # Errors
    /// [`CborError`] with the place and the rule that is broken.
    pub fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        let (mut seen, mut ids) = (None, None);
        let mut reader = Reader::new(bytes);
        reader.map(|reader, key| {
            match key {
                1 => seen = Some(read_seen(reader)?),
                2 => {
                    let read = |reader: &mut Reader<'_>| reader.fixed().map(Uuid::from_bytes);
                    ids = Some(reader.list(limits::MAX_ACKNOWLEDGED, read)?);
                }
                other => reader.unknown(other)?,
            }
            Ok(())
        })?;
        let acknowledged =
            Self { seen: reader.require(seen, "seen")?, ids: reader.require(ids, "ids")? };
        if acknowledged.ids.is_empty() {
            return Err(reader.invalid("at least one message is acknowledged"));
        }
        reader.finish()?;
        Ok(acknowledged)
    }
}

/// Devices of the event's sender that a message of the recipient's did not serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unserved {
    /// The message's id.
    pub message: Uuid,
    /// The devices, 1 to [`limits::MAX_UNSERVED`], rising.
    pub devices: Vec<DeviceNumber>,
    /// The newest signed version of the sender's device list; 0 if there is none.
    pub version: u64,
}

impl Unserved {
    /// The bytes of the body.
    pub fn encode(&self) -> Vec<u8> {
        let mut fields = Fields::default();
        fields.key(1).bytes(self.message.as_bytes());
        let devices = fields.key(2).array(self.devices.len());
        for device in &self.devices {
            devices.uint(device.get().into());
        }
        fields.key(3).uint(self.version);
        fields.finish()
    }

    /// Parses the bytes of a body.
    ///
    /// # Errors
    /// [`CborError`] with the place and the rule that is broken.
    pub fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        let (mut message, mut devices, mut version) = (None, None, None);
        let mut reader = Reader::new(bytes);
        reader.map(|reader, key| {
            match key {
                1 => message = Some(Uuid::from_bytes(reader.fixed()?)),
                2 => devices = Some(reader.list(limits::MAX_UNSERVED, read_device)?),
                3 => version = Some(reader.uint()?),
                other => reader.unknown(other)?,
            }
            Ok(())
        })?;
        let devices: Vec<DeviceNumber> = reader.require(devices, "devices")?;
        if devices.is_empty() || !devices.windows(2).all(|pair| pair.first() < pair.last()) {
            return Err(reader.invalid("at least one device is named, and they rise"));
        }
        let message = reader.require(message, "message")?;
        let version = reader.require(version, "version")?;
        reader.finish()?;
        Ok(Self { message, devices, version })
    }
}

fn seen_number(seen: Seen) -> u64 {
    match seen {
        Seen::Delivered => 1,
        Seen::Read => 2,
    }
}

fn read_seen(reader: &mut Reader<'_>) -> Result<Seen, CborError> {
    match reader.uint()? {
        1 => Ok(Seen::Delivered),
        2 => Ok(Seen::Read),
        _ => Err(reader.invalid("delivered (1) or read (2)")),
    }
}

/// Whether the event's sender is online.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Presence {
    /// At least one device is connected.
    pub online: bool,
    /// No connected device is in use. A reader that does not know it passes it over.
    pub away: bool,
    /// When the last one was, if the person shows that.
    pub last_seen: Option<Timestamp>,
}

impl Presence {
    /// The bytes of the body.
    pub fn encode(&self) -> Vec<u8> {
        let mut fields = Fields::default();
        fields.key(1).bool(self.online);
        if let Some(at) = self.last_seen {
            fields.key(2).uint(at.0);
        }
        if self.away {
            fields.key(128).bool(true);
        }
        fields.finish()
    }

    /// Parses the bytes of a body.
    ///
    /// # Errors
    /// [`CborError`] with the place and the rule that is broken.
    pub fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        let (mut online, mut away, mut last_seen) = (None, false, None);
        let mut reader = Reader::new(bytes);
        reader.map(|reader, key| {
            match key {
                1 => online = Some(reader.bool()?),
                2 => last_seen = Some(Timestamp(reader.uint()?)),
                128 => away = reader.bool()?,
                other => reader.unknown(other)?,
            }
            Ok(())
        })?;
        let presence = Self { online: reader.require(online, "online")?, away, last_seen };
        reader.finish()?;
        Ok(presence)
    }
}

/// The event's sender asks how the recipient is, and to be told of changes for a while. Only who may
/// see that is answered, by a [`Presence`]; everybody else gets nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watch {
    /// For so many seconds, at most [`Watch::MAX_SECONDS`]; 0 asks once.
    pub seconds: u64,
}

impl Watch {
    /// Longer watches are renewed.
    pub const MAX_SECONDS: u64 = 600;

    /// The bytes of the body.
    pub fn encode(&self) -> Vec<u8> {
        let mut fields = Fields::default();
        fields.key(1).uint(self.seconds);
        fields.finish()
    }

    /// Parses the bytes of a body.
    ///
    /// # Errors
    /// [`CborError`] with the place and the rule that is broken.
    pub fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        let mut seconds = None;
        let mut reader = Reader::new(bytes);
        reader.map(|reader, key| {
            match key {
                1 => seconds = Some(reader.uint()?),
                other => reader.unknown(other)?,
            }
            Ok(())
        })?;
        let watch = Self { seconds: reader.require(seconds, "seconds")? };
        if watch.seconds > Self::MAX_SECONDS {
            return Err(reader.invalid("a presence is watched for at most 600 seconds"));
        }
        reader.finish()?;
        Ok(watch)
    }
}

/// Whether the event's sender types in the event's conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Typing {
    /// Started or stopped.
    pub active: bool,
}

impl Typing {
    /// The bytes of the body.
    pub fn encode(&self) -> Vec<u8> {
        let mut fields = Fields::default();
        fields.key(1).bool(self.active);
        fields.finish()
    }

    /// Parses the bytes of a body.
    ///
    /// # Errors
    /// [`CborError`] with the place and the rule that is broken.
    pub fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        let mut active = None;
        let mut reader = Reader::new(bytes);
        reader.map(|reader, key| match key {
            1 => reader.bool().map(|value| active = Some(value)),
            other => reader.unknown(other),
        })?;
        let typing = Self { active: reader.require(active, "active")? };
        reader.finish()?;
        Ok(typing)
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::btree_set, prelude::*};

    use super::*;

    proptest! {
        #[test]
        fn round_trips(except in btree_set(0_u64..1_000, 0..20), read: bool, online: bool, at: u64) {
            let seen = if read { Seen::Read } else { Seen::Delivered };
            let watermark = Watermark { seen, through: 1_000, except: except.into_iter().collect() };
            prop_assert_eq!(Watermark::decode(&watermark.encode()), Ok(watermark));
            let last_seen = read.then_some(Timestamp(at));
            let presence = Presence { online, away: at % 2 == 0, last_seen };
            prop_assert_eq!(Presence::decode(&presence.encode()), Ok(presence));
            let ids = vec![Uuid::from_u128(at.into()), Uuid::nil()];
            let acknowledged = Acknowledged { seen, ids };
            prop_assert_eq!(Acknowledged::decode(&acknowledged.encode()), Ok(acknowledged));
            let watch = Watch { seconds: at % (Watch::MAX_SECONDS + 1) };
            prop_assert_eq!(Watch::decode(&watch.encode()), Ok(watch));
            let long = Watch { seconds: Watch::MAX_SECONDS + 1 };
            prop_assert!(Watch::decode(&long.encode()).is_err());
            let device = |n| DeviceNumber::try_from(n).unwrap();
            let message = Uuid::from_u128(at.into());
            let unserved = Unserved { message, devices: vec![device(2), device(127)], version: at };
            prop_assert_eq!(Unserved::decode(&unserved.encode()), Ok(unserved.clone()));
            for devices in [vec![], vec![device(2); 2], vec![device(3), device(2)]] {
                let wrong = Unserved { devices, ..unserved.clone() };
                prop_assert!(Unserved::decode(&wrong.encode()).is_err());
            }
            let typing = Typing { active: online };
            prop_assert_eq!(Typing::decode(&typing.encode()), Ok(typing));
        }

        #[test]
        fn noise_never_panics(noise: Vec<u8>) {
            let _ = Watermark::decode(&noise);
            let _ = Presence::decode(&noise);
            let _ = Acknowledged::decode(&noise);
            let _ = Typing::decode(&noise);
            let _ = Unserved::decode(&noise);
        }
    }

    #[test]
    fn exceptions_rise_below_the_mark() {
        for except in [vec![2, 1], vec![1, 1], vec![10], vec![11]] {
            let watermark = Watermark { seen: Seen::Read, through: 10, except };
            assert!(Watermark::decode(&watermark.encode()).is_err());
        }
    }
}
