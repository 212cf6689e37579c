//! The stored form of prekeys: version 1, deterministic CBOR.

use zeroize::Zeroizing;

use super::{
    KemKeyPair, KeyPair, Lasting, MAX_ONE_TIME, MAX_REMEMBERED, MAX_SIGNED, PreKeys,
    RememberedSession, Signed, UnixMillis,
};
use crate::e2ee::{
    cbor::{CborError, Reader, Writer},
    identity::{StateError, read_key},
    primitives::curve::PrivateKey,
};

/// The version of the stored form.
const VERSION: u64 = 1;

impl PreKeys {
    /// The stored form, as secret as the keys.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut w = Writer::new();
        w.array(7);
        w.uint(VERSION);
        w.uint(u64::from(self.next_id));
        w.array(self.signed.len());
        self.signed.iter().for_each(|key| write_lasting(&mut w, key, write_pair));
        w.array(self.last_resort.len());
        self.last_resort.iter().for_each(|key| write_lasting(&mut w, key, write_kem));
        w.array(self.one_time.len());
        for (id, pair) in &self.one_time {
            w.array(2);
            w.uint(u64::from(*id));
            write_pair(&mut w, pair);
        }
        w.array(self.one_time_kem.len());
        for (id, signed) in &self.one_time_kem {
            w.array(3);
            w.uint(u64::from(*id));
            write_kem(&mut w, &signed.key);
            w.bytes(&signed.signature);
        }
        w.array(self.remembered.len());
        for session in &self.remembered {
            w.array(2);
            w.uint(u64::from(session.signed_id));
            w.bytes(&session.base_key.to_bytes());
        }
        w.finish()
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, StateError> {
        let mut r = Reader::new(bytes);
        r.fixed_array(7)?;
        StateError::check_version(r.uint()?, VERSION)?;
        let keys = Self {
            next_id: r.u32()?,
            signed: r.sequence(MAX_SIGNED, |r| read_lasting(r, read_pair))?,
            last_resort: r.sequence(MAX_SIGNED, |r| read_lasting(r, read_kem))?,
            one_time: r
                .sequence(MAX_ONE_TIME, |r| {
                    r.fixed_array(2)?;
                    Ok::<_, CborError>((r.u32()?, read_pair(r)?))
                })?
                .into_iter()
                .collect(),
            one_time_kem: r
                .sequence(MAX_ONE_TIME, |r| {
                    r.fixed_array(3)?;
                    let (id, key) = (r.u32()?, read_kem(r)?);
                    Ok::<_, CborError>((id, Signed { key, signature: r.exact()? }))
                })?
                .into_iter()
                .collect(),
            remembered: r
                .sequence(MAX_REMEMBERED, |r| {
                    r.fixed_array(2)?;
                    let signed_id = r.u32()?;
                    Ok::<_, CborError>(RememberedSession { signed_id, base_key: read_key(r)? })
                })?
                .into(),
        };
        r.end()?;
        Ok(keys)
    }
}

fn write_lasting<K>(w: &mut Writer, key: &Lasting<K>, write: impl FnOnce(&mut Writer, &K)) {
    w.array(4);
    w.uint(u64::from(key.id));
    write(w, &key.signed.key);
    w.bytes(&key.signed.signature);
    w.uint(key.made.0);
}

fn read_lasting<K>(
    r: &mut Reader<'_>,
    read: impl FnOnce(&mut Reader<'_>) -> Result<K, CborError>,
) -> Result<Lasting<K>, CborError> {
    r.fixed_array(4)?;
    let id = r.u32()?;
    let signed = Signed { key: read(r)?, signature: r.exact()? };
    Ok(Lasting { id, signed, made: UnixMillis(r.uint()?) })
}

fn write_pair(w: &mut Writer, pair: &KeyPair) {
    w.bytes(pair.private.expose());
}

fn read_pair(r: &mut Reader<'_>) -> Result<KeyPair, CborError> {
    let bytes = Zeroizing::new(r.exact()?);
    Ok(KeyPair::from_private(PrivateKey::from_bytes(&bytes)))
}

fn write_kem(w: &mut Writer, pair: &KemKeyPair) {
    w.bytes(&pair.to_bytes());
}

fn read_kem(r: &mut Reader<'_>) -> Result<KemKeyPair, CborError> {
    KemKeyPair::from_bytes(r.bytes()?).map_err(|_| CborError)
}
