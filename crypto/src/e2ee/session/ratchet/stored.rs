//! The stored form of a ratchet.

use zeroize::Zeroizing;

use super::{ChainKey, KeyPair, MAX_RECEIVING_CHAINS, Profile, Ratchet, ReceivingChain, Spqr};
use crate::e2ee::{
    cbor::{CborError, Reader, Writer},
    identity::read_key,
    primitives::curve::PrivateKey,
    secret::Secret,
};

impl Ratchet {
    pub(crate) fn write(&self, writer: &mut Writer) {
        writer.array(9);
        writer.uint(self.profile.number());
        writer.bytes(&self.ours.to_bytes());
        writer.bytes(&self.theirs.to_bytes());
        writer.bytes(self.root.expose());
        writer.bytes(self.sending_key.private.expose());
        self.sending.write(writer);
        writer.uint(u64::from(self.previous_counter));
        writer.array(self.receiving.len());
        self.receiving.iter().for_each(|chain| chain.write(writer));
        writer.optional(self.spqr.as_ref(), |w, spqr| spqr.write(w));
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, CborError> {
        reader.fixed_array(9)?;
        let profile = Profile::from_number(reader.uint()?).ok_or(CborError)?;
        let (ours, theirs) = (read_key(reader)?, read_key(reader)?);
        let root = Secret::new(reader.exact()?);
        let private = Zeroizing::new(reader.exact()?);
        let ratchet = Self {
            profile,
            ours,
            theirs,
            root,
            sending_key: KeyPair::from_private(PrivateKey::from_bytes(&private)),
            sending: ChainKey::read(reader)?,
            previous_counter: reader.u32()?,
            receiving: reader.sequence(MAX_RECEIVING_CHAINS, ReceivingChain::read)?.into(),
            spqr: reader.optional(Spqr::read)?,
        };
        // A profile never changes under a session: no stored state turns the ratchet off.
        let agrees = ratchet.spqr.is_some() == (profile == Profile::PqxdhSpqr);
        if agrees { Ok(ratchet) } else { Err(CborError) }
    }
}
