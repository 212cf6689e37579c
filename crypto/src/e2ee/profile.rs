//! Which variant of the protocol a session speaks. There is no negotiation: the initiator picks
//! one, and a receiver takes only what its owner allowed.

/// A variant of the protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum Profile {
    /// PQXDH, double ratchet and SPQR: what the official library speaks today, and the default.
    #[default]
    PqxdhSpqr,
    /// PQXDH and double ratchet, for peers from before SPQR. Only by explicit choice.
    Pqxdh,
    /// X3DH and double ratchet, without any post-quantum secret. Only by explicit choice.
    X3dh,
}

impl Profile {
    /// The version of the wire: 3 for X3DH, 4 for PQXDH.
    pub fn version(self) -> u8 {
        match self {
            Self::PqxdhSpqr | Self::Pqxdh => 4,
            Self::X3dh => 3,
        }
    }

    pub(crate) fn number(self) -> u64 {
        match self {
            Self::PqxdhSpqr => 0,
            Self::Pqxdh => 1,
            Self::X3dh => 2,
        }
    }

    pub(crate) fn from_number(number: u64) -> Option<Self> {
        [Self::PqxdhSpqr, Self::Pqxdh, Self::X3dh]
            .into_iter()
            .find(|profile| profile.number() == number)
    }
}

/// Which profiles a device takes from those who write to it first. The default takes
/// [`Profile::PqxdhSpqr`] only.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct AcceptedProfiles {
    pqxdh: bool,
    x3dh: bool,
}

impl AcceptedProfiles {
    /// Takes [`Profile::Pqxdh`] as well.
    #[must_use]
    pub fn with_pqxdh_without_spqr(self) -> Self {
        Self { pqxdh: true, ..self }
    }

    /// Takes [`Profile::X3dh`] as well.
    #[must_use]
    pub fn with_x3dh(self) -> Self {
        Self { x3dh: true, ..self }
    }

    /// Whether `profile` is taken.
    pub fn contains(self, profile: Profile) -> bool {
        match profile {
            Profile::PqxdhSpqr => true,
            Profile::Pqxdh => self.pqxdh,
            Profile::X3dh => self.x3dh,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_number_means_one_profile_or_none() {
        for profile in [Profile::PqxdhSpqr, Profile::Pqxdh, Profile::X3dh] {
            assert_eq!(Profile::from_number(profile.number()), Some(profile));
        }
        assert_eq!(Profile::from_number(3), None);
    }
}
