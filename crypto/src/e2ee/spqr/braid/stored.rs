//! The stored form of the exchange: `[epoch, authenticator, state number, parts...]`.

use super::{Authenticator, Braid, DecapsulationSeed, Decoder, Encapsulation, Encoder, State};
use crate::e2ee::{
    cbor::{CborError, Reader, Writer},
    secret::Secret,
};

impl Braid {
    pub(in super::super) fn write(&self, writer: &mut Writer) {
        writer.array(3);
        writer.uint(self.epoch);
        self.authenticator.write(writer);
        self.state.write(writer);
    }

    pub(in super::super) fn read(reader: &mut Reader<'_>) -> Result<Self, CborError> {
        reader.fixed_array(3)?;
        let epoch = reader.uint()?;
        if epoch == 0 || epoch > u64::MAX / 2 {
            return Err(CborError);
        }
        let authenticator = Authenticator::read(reader)?;
        Ok(Self { epoch, authenticator, state: State::read(reader)? })
    }
}

impl State {
    fn write(&self, w: &mut Writer) {
        match self {
            Self::Idle => open(w, 0, 0),
            Self::SendHeader { seed, header } => {
                open(w, 1, 2);
                w.bytes(seed.0.expose());
                header.write(w);
            }
            Self::SendKey { seed, key, ct1 } => {
                open(w, 2, 3);
                w.bytes(seed.0.expose());
                key.write(w);
                ct1.write(w);
            }
            Self::SendKeyAndAck { seed, key, ct1 } => {
                open(w, 3, 3);
                w.bytes(seed.0.expose());
                key.write(w);
                w.bytes(&ct1[..]);
            }
            Self::AwaitCiphertext2 { seed, ct1, ct2 } => {
                open(w, 4, 3);
                w.bytes(seed.0.expose());
                w.bytes(&ct1[..]);
                ct2.write(w);
            }
            Self::AwaitHeader { header } => {
                open(w, 5, 1);
                header.write(w);
            }
            Self::HeaderComplete { header } => {
                open(w, 6, 1);
                w.bytes(header);
            }
            Self::SendCiphertext1 { encapsulation, ct1, key } => {
                open(w, 7, 3);
                encapsulation.write(w);
                ct1.write(w);
                key.write(w);
            }
            Self::KeyComplete { encapsulation, ct1, key } => {
                open(w, 8, 3);
                encapsulation.write(w);
                ct1.write(w);
                w.bytes(&key[..]);
            }
            Self::Acknowledged { encapsulation, key } => {
                open(w, 9, 2);
                encapsulation.write(w);
                key.write(w);
            }
            Self::SendCiphertext2 { ct2 } => {
                open(w, 10, 1);
                ct2.write(w);
            }
        }
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, CborError> {
        let parts = r.array()?.checked_sub(1).ok_or(CborError)?;
        let seed =
            |r: &mut Reader<'_>| Ok::<_, CborError>(DecapsulationSeed(Secret::new(r.exact()?)));
        Ok(match (r.uint()?, parts) {
            (0, 0) => Self::Idle,
            (1, 2) => Self::SendHeader { seed: seed(r)?, header: Encoder::read(r)? },
            (2, 3) => {
                Self::SendKey { seed: seed(r)?, key: Encoder::read(r)?, ct1: Decoder::read(r)? }
            }
            (3, 3) => Self::SendKeyAndAck {
                seed: seed(r)?,
                key: Encoder::read(r)?,
                ct1: Box::new(r.exact()?),
            },
            (4, 3) => Self::AwaitCiphertext2 {
                seed: seed(r)?,
                ct1: Box::new(r.exact()?),
                ct2: Decoder::read(r)?,
            },
            (5, 1) => Self::AwaitHeader { header: Decoder::read(r)? },
            (6, 1) => Self::HeaderComplete { header: r.exact()? },
            (7, 3) => Self::SendCiphertext1 {
                encapsulation: Encapsulation::read(r)?,
                ct1: Encoder::read(r)?,
                key: Decoder::read(r)?,
            },
            (8, 3) => Self::KeyComplete {
                encapsulation: Encapsulation::read(r)?,
                ct1: Encoder::read(r)?,
                key: Box::new(r.exact()?),
            },
            (9, 2) => Self::Acknowledged {
                encapsulation: Encapsulation::read(r)?,
                key: Decoder::read(r)?,
            },
            (10, 1) => Self::SendCiphertext2 { ct2: Encoder::read(r)? },
            _ => return Err(CborError),
        })
    }
}

/// The head of a state with so many parts.
fn open(writer: &mut Writer, number: u64, parts: usize) {
    writer.array(1 + parts);
    writer.uint(number);
}

impl Encapsulation {
    fn write(&self, writer: &mut Writer) {
        writer.array(2);
        writer.bytes(&self.header);
        writer.bytes(self.seed.expose());
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CborError> {
        reader.fixed_array(2)?;
        Ok(Self { header: reader.exact()?, seed: Secret::new(reader.exact()?) })
    }
}

#[cfg(test)]
mod tests;
