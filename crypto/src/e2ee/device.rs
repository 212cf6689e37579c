//! This device: its name, its account's identity key, its prekeys, and what it accepts.

use super::{
    address::Address,
    prekey::{
        bundle::{KemPreKeyPublic, OneTimePreKeyPublic, PreKeyBundle},
        store::PreKeys,
    },
    primitives::curve::KeyPair,
    profile::AcceptedProfiles,
};

/// Everything that a session needs of our own side. The owner stores identity, registration id
/// and [`PreKeys`] each in their own way.
#[derive(Clone, Debug)]
pub struct LocalDevice {
    /// Our name.
    pub address: Address,
    /// The account's identity key, the same on all its devices.
    pub identity: KeyPair,
    /// Drawn at random (14 bits) when the device is set up.
    pub registration_id: u32,
    /// Our prekeys.
    pub prekeys: PreKeys,
    /// Which profiles may start a session with us.
    pub accepts: AcceptedProfiles,
}

impl LocalDevice {
    /// What a server would hand out, with these one-time keys; without a Kyber one-time key the
    /// last-resort key stands in. `None` before the first prekeys are made.
    pub fn bundle(
        &self,
        one_time: Option<OneTimePreKeyPublic>,
        kem: Option<KemPreKeyPublic>,
    ) -> Option<PreKeyBundle> {
        Some(PreKeyBundle {
            registration_id: self.registration_id,
            device: self.address.device(),
            identity: self.identity.public,
            signed: self.prekeys.signed_public()?,
            one_time,
            kem: Some(match kem {
                Some(kem) => kem,
                None => self.prekeys.last_resort_public()?,
            }),
        })
    }
}
