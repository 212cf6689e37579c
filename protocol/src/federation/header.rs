//! The header of an envelope: what a relay may read (docs/spec/federation-envelopes.md, "Header").

use posthouse_crypto::seal::{Encapsulation, SALT_LEN};

use super::{
    cbor::{CborError, Fault, Fields, Reader},
    keys::KeyId,
    limits,
    stream::{Incarnation, Lane, RunningHash, Standing, read_lanes, write_lanes},
    version,
};
use crate::{id::ServerName, time::Timestamp};

/// Who an envelope is from and to, and where it stands in their stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The envelope's version; see [`super::version`].
    pub version: u8,
    /// Who signed it and whose senders' events it carries.
    pub origin: ServerName,
    /// Who can open it.
    pub destination: ServerName,
    /// The origin's clock. It limits ephemerals only.
    pub created: Timestamp,
    /// Which of the origin's keys signed it.
    pub signing_key: KeyId,
    /// Which of the destination's keys it is sealed to.
    pub sealing_key: KeyId,
    /// How the body's key is encapsulated.
    pub encapsulation: Encapsulation,
    /// The encapsulated key.
    pub encapsulated: Vec<u8>,
    /// Its place in the stream; `None` for the ephemeral lane, which has no sequence.
    pub place: Option<Place>,
    /// What the body's key is drawn with, if other envelopes share the encapsulated key.
    pub salt: Option<[u8; SALT_LEN]>,
}

/// The place of an envelope in its lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The lane.
    pub lane: Lane,
    /// The stream's life.
    pub incarnation: Incarnation,
    /// The sequence of the first record; the lane's first is 1.
    pub first: u64,
    /// How many sequences the records cover; 0 asks for the receiver's position.
    pub count: u64,
    /// The running hash before `first`.
    pub before: RunningHash,
    /// For an incarnation that continues an earlier one: where it takes up. Each lane's sequence 1
    /// follows this position of the lane, and a receiver that is not as far must say so instead of
    /// accepting.
    pub resumes: Option<Standing>,
}

impl Header {
    /// The bytes, which are the sealed body's associated data and part of what is signed.
    pub fn encode(&self) -> Vec<u8> {
        let mut fields = Fields::default();
        fields.key(1).uint(self.version.into());
        fields.key(2).text(self.origin.as_str());
        fields.key(3).text(self.destination.as_str());
        fields.key(4).uint(self.created.0);
        fields.key(5).bytes(&self.signing_key.0);
        fields.key(6).bytes(&self.sealing_key.0);
        fields.key(7).uint(self.encapsulation.id().into());
        fields.key(8).bytes(&self.encapsulated);
        fields.key(9).uint(self.place.as_ref().map_or(0, |place| place.lane.number()).into());
        if let Some(place) = &self.place {
            place.incarnation.write(fields.key(10));
            fields.key(11).uint(place.first);
            fields.key(12).uint(place.count);
            fields.key(13).bytes(&place.before.0);
            if let Some(resumes) = &place.resumes {
                let writer = fields.key(14).array(2);
                resumes.incarnation.write(writer);
                write_lanes(&resumes.lanes, writer);
            }
        }
        if let Some(salt) = &self.salt {
            fields.key(15).bytes(salt);
        }
        fields.finish()
    }

    /// Parses the bytes of a header.
    ///
    /// # Errors
    /// [`CborError`] with the place and the rule that is broken.
    pub fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        let mut reader = Reader::new(bytes);
        if bytes.len() > limits::MAX_HEADER {
            return Err(reader.fault(Fault::TooLong));
        }
        let mut raw = Raw::default();
        reader.map(|reader, key| raw.field(reader, key))?;
        let header = raw.check(&reader)?;
        reader.finish()?;
        Ok(header)
    }
}

/// The fields as they come, before they are held against each other.
#[derive(Default)]
struct Raw {
    version: Option<u8>,
    origin: Option<ServerName>,
    destination: Option<ServerName>,
    created: Option<u64>,
    signing_key: Option<KeyId>,
    sealing_key: Option<KeyId>,
    encapsulation: Option<Encapsulation>,
    encapsulated: Option<Vec<u8>>,
    lane: Option<u64>,
    incarnation: Option<Incarnation>,
    first: Option<u64>,
    count: Option<u64>,
    before: Option<RunningHash>,
    resumes: Option<Standing>,
    salt: Option<[u8; SALT_LEN]>,
}

impl Raw {
    fn field(&mut self, reader: &mut Reader<'_>, key: u64) -> Result<(), CborError> {
        match key {
            1 => self.version = Some(read_version(reader)?),
            2 => self.origin = Some(read_server(reader)?),
            3 => self.destination = Some(read_server(reader)?),
            4 => self.created = Some(reader.uint()?),
            5 => self.signing_key = Some(KeyId(reader.fixed()?)),
            6 => self.sealing_key = Some(KeyId(reader.fixed()?)),
            7 => self.encapsulation = Some(read_encapsulation(reader)?),
            8 => self.encapsulated = Some(reader.bytes(limits::MAX_HEADER)?.to_vec()),
            9 => self.lane = Some(reader.uint_up_to(4)?),
            10 => self.incarnation = Some(Incarnation::read(reader)?),
            11 => self.first = Some(reader.uint()?),
            12 => self.count = Some(reader.uint()?),
            13 => self.before = Some(RunningHash(reader.fixed()?)),
            14 => {
                reader.array_of(2)?;
                let incarnation = Incarnation::read(reader)?;
                self.resumes = Some(Standing { incarnation, lanes: read_lanes(reader)? });
            }
            15 => self.salt = Some(reader.fixed()?),
            other => reader.unknown(other)?,
        }
        Ok(())
    }

    fn check(mut self, reader: &Reader<'_>) -> Result<Header, CborError> {
        let place = self.place(reader)?;
        let encapsulation = reader.require(self.encapsulation, "encapsulation")?;
        let encapsulated = reader.require(self.encapsulated, "encapsulated")?;
        if encapsulated.len() != encapsulation.encapsulated_len() {
            return Err(reader.invalid("the encapsulated key has another length"));
        }
        Ok(Header {
            version: reader.require(self.version, "version")?,
            origin: reader.require(self.origin, "origin")?,
            destination: reader.require(self.destination, "destination")?,
            created: Timestamp(reader.require(self.created, "created")?),
            signing_key: reader.require(self.signing_key, "signing key")?,
            sealing_key: reader.require(self.sealing_key, "sealing key")?,
            encapsulation,
            encapsulated,
            place,
            salt: self.salt,
        })
    }

    fn place(&mut self, reader: &Reader<'_>) -> Result<Option<Place>, CborError> {
        let Some(lane) = Lane::from_number(reader.require(self.lane, "lane")?) else {
            let sequenced = self.incarnation.is_some()
                || self.first.is_some()
                || self.count.is_some()
                || self.before.is_some()
                || self.resumes.is_some();
            let rule = "the ephemeral lane has no sequence";
            return if sequenced { Err(reader.invalid(rule)) } else { Ok(None) };
        };
        let incarnation = reader.require(self.incarnation, "incarnation")?;
        let first = reader.require(self.first, "first")?;
        let count = reader.require(self.count, "count")?;
        if first == 0 || first.checked_add(count).is_none() {
            return Err(reader.invalid("sequences run from 1 to 2^64 - 1"));
        }
        let resumes = self.resumes.take();
        if resumes.as_ref().is_some_and(|from| from.incarnation.number >= incarnation.number) {
            return Err(reader.invalid("an incarnation resumes a lower one"));
        }
        let before = reader.require(self.before, "before")?;
        Ok(Some(Place { lane, incarnation, first, count, before, resumes }))
    }
}

/// Reads the name of a server.
pub(super) fn read_server(reader: &mut Reader<'_>) -> Result<ServerName, CborError> {
    let text = reader.text(253)?;
    ServerName::parse(text).map_err(|err| reader.invalid(err.why))
}

/// Reads a version number: 1 to 255.
pub(super) fn read_version(reader: &mut Reader<'_>) -> Result<u8, CborError> {
    match u8::try_from(reader.uint()?) {
        Ok(version) if version > 0 => Ok(version),
        _ => Err(reader.invalid("versions run from 1 to 255")),
    }
}

/// Reads the version of a value that exists in version 1 alone.
pub(super) fn read_only_version(reader: &mut Reader<'_>) -> Result<(), CborError> {
    match read_version(reader)? {
        version::ENVELOPE => Ok(()),
        other => Err(reader.fault(Fault::Version(other))),
    }
}

/// Reads the number of a key encapsulation.
pub(super) fn read_encapsulation(reader: &mut Reader<'_>) -> Result<Encapsulation, CborError> {
    let id = u16::try_from(reader.uint()?).ok().and_then(Encapsulation::from_id);
    id.ok_or_else(|| reader.invalid("an unknown key encapsulation"))
}
