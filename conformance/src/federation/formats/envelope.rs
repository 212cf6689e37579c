//! Envelopes and their headers (federation-envelopes.md §Envelope, §Header).

use super::{
    super::{
        cbor::{Fields, Malformed, Reading, Value},
        keys::{KeyId, labelled},
        lanes::{Hash, Incarnation, Positions, sha256},
        seal::Kem,
    },
    read_incarnation, read_positions, write_incarnation, write_positions,
};
use crate::identifiers::is_server_name;

/// Largest envelope, in bytes.
pub const MAX_ENVELOPE: usize = 4 * 1024 * 1024;
/// Largest header, in bytes.
const MAX_HEADER: usize = 4096;
/// The label of an envelope's signature.
const LABEL: &str = "posthouse envelope v1";

/// A header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// 1.
    pub version: u64,
    /// Who signs.
    pub origin: String,
    /// Who can open it.
    pub destination: String,
    /// The origin's clock, in milliseconds.
    pub created: u64,
    /// The origin's key.
    pub signing_key: KeyId,
    /// The destination's key.
    pub sealing_key: KeyId,
    /// The key encapsulation.
    pub kem: Kem,
    /// The encapsulated key.
    pub encapsulated: Vec<u8>,
    /// 0 ephemeral, 1 control, 2 messages, 3 receipts, 4 bulk.
    pub lane: u64,
    /// Its place in a lane; absent in lane 0.
    pub place: Option<Place>,
    /// What the body's key is drawn with, if envelopes share the encapsulated key.
    pub salt: Option<[u8; 16]>,
}

/// The place of an envelope in its lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The stream's incarnation.
    pub incarnation: Incarnation,
    /// Sequence of the first record.
    pub first: u64,
    /// Sequences that the records cover.
    pub count: u64,
    /// The running hash before `first`.
    pub before: Hash,
    /// Where the incarnation takes up.
    pub resumes: Option<(Incarnation, Positions)>,
}

impl Header {
    /// Its fields, to be encoded, or changed first.
    pub fn fields(&self) -> Vec<(u64, Value)> {
        let mut fields = vec![
            (1, Value::Uint(self.version)),
            (2, Value::text(&self.origin)),
            (3, Value::text(&self.destination)),
            (4, Value::Uint(self.created)),
            (5, Value::bytes(self.signing_key)),
            (6, Value::bytes(self.sealing_key)),
            (7, Value::Uint(self.kem.id().into())),
            (8, Value::bytes(&self.encapsulated)),
            (9, Value::Uint(self.lane)),
        ];
        if let Some(place) = &self.place {
            fields.extend([
                (10, write_incarnation(place.incarnation)),
                (11, Value::Uint(place.first)),
                (12, Value::Uint(place.count)),
                (13, Value::bytes(place.before)),
            ]);
            fields.extend(place.resumes.as_ref().map(|(incarnation, positions)| {
                let resumed = vec![write_incarnation(*incarnation), write_positions(positions)];
                (14, Value::Array(resumed))
            }));
        }
        fields.extend(self.salt.map(|salt| (15, Value::bytes(salt))));
        fields
    }

    /// Reads a header.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn read(bytes: &[u8]) -> Reading<Self> {
        if bytes.len() > MAX_HEADER {
            return Err(Malformed("a header of more than 4 KiB"));
        }
        let mut fields = Fields::parse(bytes)?;
        let lane = fields.required(9, Value::uint)?;
        let kem = fields.required(7, Value::uint)?;
        let header = Self {
            version: fields.required(1, Value::uint)?,
            origin: fields.required(2, server)?,
            destination: fields.required(3, server)?,
            created: fields.required(4, Value::uint)?,
            signing_key: fields.required(5, Value::fixed)?,
            sealing_key: fields.required(6, Value::fixed)?,
            kem: Kem::of(kem).ok_or(Malformed("an unknown encapsulation"))?,
            encapsulated: fields.required(8, Value::byte_string)?,
            lane,
            place: if lane == 0 { None } else { Some(Place::read(&mut fields)?) },
            salt: fields.optional(15, Value::fixed)?,
        };
        fields.end()?;
        let size = match header.kem {
            Kem::XWing => 1120,
            Kem::X25519 => 32,
        };
        if header.lane > 4 {
            Err(Malformed("an unknown lane"))
        } else if header.encapsulated.len() != size {
            Err(Malformed("an encapsulated key of the wrong size"))
        } else {
            Ok(header)
        }
    }
}

impl Place {
    fn read(fields: &mut Fields) -> Reading<Self> {
        let place = Self {
            incarnation: fields.required(10, read_incarnation)?,
            first: fields.required(11, Value::uint)?,
            count: fields.required(12, Value::uint)?,
            before: fields.required(13, Value::fixed)?,
            resumes: fields.optional(14, |resumes| {
                let [incarnation, positions] = resumes.tuple()?;
                Ok((read_incarnation(incarnation)?, read_positions(positions)?))
            })?,
        };
        let lower =
            |(resumed, _): &(Incarnation, Positions)| resumed.number < place.incarnation.number;
        if place.first == 0 || place.first.checked_add(place.count).is_none() {
            Err(Malformed("sequences out of range"))
        } else if place.resumes.as_ref().is_none_or(lower) {
            Ok(place)
        } else {
            Err(Malformed("an incarnation that resumes a later one"))
        }
    }
}

/// Reads the name of a server.
///
/// # Errors
/// [`Malformed`] if it is none.
pub fn server(value: Value) -> Reading<String> {
    let name = value.string()?;
    if is_server_name(&name) { Ok(name) } else { Err(Malformed("no name of a server")) }
}

/// An envelope's three parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// The header's bytes.
    pub header: Vec<u8>,
    /// The sealed records.
    pub sealed: Vec<u8>,
    /// The origin's signature.
    pub signature: [u8; 64],
}

impl Envelope {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let Self { header, sealed, signature } = self;
        let parts = [header.as_slice(), sealed, signature].map(Value::bytes);
        Value::Array(parts.to_vec()).encode()
    }

    /// Reads one.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn read(bytes: &[u8]) -> Reading<Self> {
        let [header, sealed, signature] = Value::decode(bytes)?.tuple()?;
        Ok(Self {
            header: header.byte_string()?,
            sealed: sealed.byte_string()?,
            signature: signature.fixed()?,
        })
    }

    /// The text that is signed.
    pub fn signed_text(header: &[u8], sealed: &[u8]) -> Vec<u8> {
        labelled(LABEL, &[sha256(&[header]), sha256(&[sealed])].concat())
    }

    /// Its digest, which receipts name.
    pub fn digest(&self) -> Hash {
        sha256(&[&Self::signed_text(&self.header, &self.sealed)])
    }
}
