//! One content for many devices, each through its own session: how sender keys are handed out.

use rand_core::CryptoRng;

use crate::e2ee::{
    address::Address,
    device::LocalDevice,
    primitives::curve::PublicKey,
    session::{Ciphertext, EncryptError, Peer, Session},
    time::UnixMillis,
};

/// How many devices one submission addresses at most.
pub const MAX_DEVICES_PER_CHUNK: usize = 100;
/// How many bytes of ciphertext one submission holds at most.
pub const MAX_BYTES_PER_CHUNK: usize = 256 * 1024;

/// A device that is to get the content.
#[derive(Debug)]
pub struct Recipient<'a> {
    /// Its name.
    pub address: Address,
    /// The known identity key of its account.
    pub known: Option<PublicKey>,
    /// The session with it.
    pub session: &'a mut Session,
}

/// The content, encrypted for one device.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeviceCiphertext {
    /// For whom.
    pub address: Address,
    /// As it was when the session began; the server compares it with the current one.
    pub registration_id: u32,
    /// The message.
    pub ciphertext: Ciphertext,
}

/// The content, encrypted for all devices that have a session.
#[derive(Debug)]
pub struct MultiRecipient {
    /// Submissions within [`MAX_DEVICES_PER_CHUNK`] and [`MAX_BYTES_PER_CHUNK`].
    pub chunks: Vec<Vec<DeviceCiphertext>>,
    /// Devices that could not be encrypted for, and why. They have not got the content.
    pub failed: Vec<(Address, EncryptError)>,
}

/// Encrypts `plaintext` for every recipient.
pub fn encrypt_for_all(
    local: &LocalDevice,
    recipients: Vec<Recipient<'_>>,
    plaintext: &[u8],
    now: UnixMillis,
    rng: &mut impl CryptoRng,
) -> MultiRecipient {
    let mut all = MultiRecipient { chunks: Vec::new(), failed: Vec::new() };
    let mut room = 0;
    for Recipient { address, known, session } in recipients {
        let registration_id = session.info().map_or(0, |info| info.registration_id);
        let peer = Peer { address: &address, known: known.as_ref() };
        match session.encrypt(local, peer, plaintext, now, rng) {
            Err(error) => all.failed.push((address, error)),
            Ok(ciphertext) => {
                let size = ciphertext.as_bytes().len();
                let one = DeviceCiphertext { address, registration_id, ciphertext };
                match all.chunks.last_mut() {
                    Some(chunk) if size <= room && chunk.len() < MAX_DEVICES_PER_CHUNK => {
                        room -= size;
                        chunk.push(one);
                    }
                    _ => {
                        room = MAX_BYTES_PER_CHUNK.saturating_sub(size);
                        all.chunks.push(vec![one]);
                    }
                }
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::e2ee::{
        profile::Profile,
        testing::{Party, receive},
    };

    #[test]
    fn every_device_gets_its_own_ciphertext_in_chunks() {
        let mut a = Party::new("a@north.test", 1);
        let mut others: Vec<Party> =
            (0..150).map(|n| Party::new(&format!("{n}@south.test"), 100 + n)).collect();
        let mut sessions = Vec::new();
        for other in &mut others {
            let bundle = other.bundle(false);
            a.session = Session::new();
            a.initiate(other, &bundle, Profile::default());
            sessions.push(core::mem::take(&mut a.session));
        }
        sessions[7] = Session::new();
        let recipients = others
            .iter()
            .zip(&mut sessions)
            .map(|(other, session)| {
                let address = other.local.address.clone();
                Recipient { address, known: Some(other.local.identity.public), session }
            })
            .collect();
        let all = encrypt_for_all(&a.local, recipients, b"the key", a.now, &mut a.rng);
        assert_eq!(all.failed.len(), 1);
        assert_eq!(all.failed[0].1, EncryptError::NoSession);
        assert_eq!(all.chunks.iter().map(Vec::len).sum::<usize>(), 149);
        // Each is about 1.9 KB: the number of devices ends a chunk first.
        assert_eq!(all.chunks.iter().map(Vec::len).collect::<Vec<_>>(), [100, 49]);
        for chunk in &all.chunks {
            let size: usize = chunk.iter().map(|one| one.ciphertext.as_bytes().len()).sum();
            assert!(chunk.len() <= MAX_DEVICES_PER_CHUNK && size <= MAX_BYTES_PER_CHUNK);
        }
        let large = vec![7; 60_000];
        let recipients = others.iter().zip(&mut sessions).take(6).map(|(other, session)| {
            Recipient { address: other.local.address.clone(), known: None, session }
        });
        let bulky = encrypt_for_all(&a.local, recipients.collect(), &large, a.now, &mut a.rng);
        let lens: Vec<usize> = bulky.chunks.iter().map(Vec::len).collect();
        assert_eq!(lens, [4, 2], "the number of bytes ends a chunk");
        let last = all.chunks.last().unwrap().last().unwrap();
        assert_eq!(receive(&mut others[149], &a, &last.ciphertext), "the key");
    }
}
