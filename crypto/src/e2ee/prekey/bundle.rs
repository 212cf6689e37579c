//! The prekeys of one device, as its server hands them out, and the check of their signatures.

use crate::e2ee::{
    address::DeviceId,
    primitives::{
        curve::PublicKey,
        kem::KemPublicKey,
        xeddsa::{self, SIGNATURE_LEN, SignatureError},
    },
    profile::Profile,
};

/// A signed prekey, in public.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignedPreKeyPublic {
    /// Its number.
    pub id: u32,
    /// The key.
    pub key: PublicKey,
    /// The identity key's signature over the 33 bytes of the key.
    pub signature: [u8; SIGNATURE_LEN],
}

/// A one-time prekey, in public.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OneTimePreKeyPublic {
    /// Its number.
    pub id: u32,
    /// The key.
    pub key: PublicKey,
}

/// A Kyber prekey, in public; one-time or last-resort.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KemPreKeyPublic {
    /// Its number.
    pub id: u32,
    /// The key.
    pub key: KemPublicKey,
    /// The identity key's signature over the 1,569 bytes of the key.
    pub signature: [u8; SIGNATURE_LEN],
}

/// What a server hands out for one device. Nothing in it has been checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PreKeyBundle {
    /// Changes when the device is set up anew.
    pub registration_id: u32,
    /// Which device of the account.
    pub device: DeviceId,
    /// The account's identity key.
    pub identity: PublicKey,
    /// Present in every bundle.
    pub signed: SignedPreKeyPublic,
    /// Absent once they are used up.
    pub one_time: Option<OneTimePreKeyPublic>,
    /// Needed by all profiles but X3DH.
    pub kem: Option<KemPreKeyPublic>,
}

impl PreKeyBundle {
    /// Checks all signatures by the identity key that the bundle names. Whether that is the
    /// right key is for [`KnownIdentities`](crate::e2ee::identity::KnownIdentities) to say.
    ///
    /// # Errors
    /// [`SignatureError`].
    pub fn verify(self) -> Result<VerifiedBundle, SignatureError> {
        let Self { identity, signed, kem, .. } = &self;
        xeddsa::verify(identity, &[&signed.key.to_bytes()], &signed.signature)?;
        if let Some(kem) = kem {
            xeddsa::verify(identity, &[&kem.key.to_bytes()], &kem.signature)?;
        }
        Ok(VerifiedBundle { bundle: self, profile: Profile::default() })
    }
}

/// A bundle whose prekeys belong to the identity key in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VerifiedBundle {
    bundle: PreKeyBundle,
    profile: Profile,
}

impl VerifiedBundle {
    /// The bundle's contents.
    pub fn as_bundle(&self) -> &PreKeyBundle {
        &self.bundle
    }

    /// Starts sessions with another profile than the default: an explicit choice, for a peer
    /// that is known to speak nothing newer.
    #[must_use]
    pub fn with_profile(self, profile: Profile) -> Self {
        Self { profile, ..self }
    }

    /// The profile with which a session is started.
    pub fn profile(&self) -> Profile {
        self.profile
    }
}
