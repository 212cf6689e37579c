//! One session, as it is kept.

use super::{PreKeyUse, PublicKey, UnixMillis, ratchet::Ratchet};
use crate::e2ee::{
    cbor::{CborError, Reader, Writer},
    identity::read_key,
    primitives::kem::KemCiphertext,
};

/// A session and how it began.
#[derive(Clone, Debug)]
pub(super) struct SessionState {
    pub(super) ratchet: Ratchet,
    /// The initiator's first key; it names the session.
    pub(super) base_key: PublicKey,
    /// Set until the peer answers: what our messages must still carry.
    pub(super) unacknowledged: Option<Unacknowledged>,
    /// The peer's registration id when the session began.
    pub(super) registration_id: u32,
}

/// What every message carries until the peer answers.
#[derive(Clone, Debug)]
pub(super) struct Unacknowledged {
    pub(super) prekeys: PreKeyUse,
    pub(super) since: UnixMillis,
}

impl SessionState {
    pub(super) fn write(&self, writer: &mut Writer) {
        writer.array(4);
        self.ratchet.write(writer);
        writer.bytes(&self.base_key.to_bytes());
        writer.optional(self.unacknowledged.as_ref(), |w, pending| pending.write(w));
        writer.uint(u64::from(self.registration_id));
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, CborError> {
        reader.fixed_array(4)?;
        Ok(Self {
            ratchet: Ratchet::read(reader)?,
            base_key: read_key(reader)?,
            unacknowledged: reader.optional(Unacknowledged::read)?,
            registration_id: reader.u32()?,
        })
    }
}

impl Unacknowledged {
    fn write(&self, writer: &mut Writer) {
        writer.array(4);
        writer.optional(self.prekeys.one_time.as_ref(), |w, id| w.uint(u64::from(*id)));
        writer.uint(u64::from(self.prekeys.signed));
        writer.optional(self.prekeys.kem.as_ref(), |w, (id, ciphertext)| {
            w.array(2);
            w.uint(u64::from(*id));
            w.bytes(&ciphertext.to_bytes());
        });
        writer.uint(self.since.0);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CborError> {
        reader.fixed_array(4)?;
        let one_time = reader.optional(Reader::u32)?;
        let signed = reader.u32()?;
        let kem = reader.optional(|r| {
            r.fixed_array(2)?;
            let id = r.u32()?;
            let ciphertext = KemCiphertext::from_bytes(r.bytes()?).map_err(|_| CborError)?;
            Ok::<_, CborError>((id, ciphertext))
        })?;
        let prekeys = PreKeyUse { one_time, signed, kem };
        Ok(Self { prekeys, since: UnixMillis(reader.uint()?) })
    }
}
