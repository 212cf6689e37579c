//! Fixed-size secrets: zeroized when dropped, compared in constant time, never shown.

use core::fmt;

use rand_core::CryptoRng;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// `N` secret bytes.
///
/// They stay where they are when the secret is moved: collections that grow, split or close a
/// gap copy what is in them and leave the old copy behind, which no destructor reaches.
///
/// There is no `PartialEq`: [`Secret::ct_eq`] compares without leaking where two values differ.
#[derive(Clone)]
pub struct Secret<const N: usize>(Box<[u8; N]>);

impl<const N: usize> Secret<N> {
    /// Takes over bytes that the caller got from elsewhere.
    pub fn new(mut bytes: [u8; N]) -> Self {
        let mut secret = Self::zero();
        secret.0.copy_from_slice(&bytes);
        bytes.zeroize();
        secret
    }

    /// `N` fresh bytes of `rng`.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        let mut secret = Self::zero();
        rng.fill_bytes(secret.as_mut());
        secret
    }

    fn zero() -> Self {
        Self(Box::new([0; N]))
    }

    /// The bytes themselves. Whoever copies them is answerable for the copy.
    pub fn expose(&self) -> &[u8; N] {
        &self.0
    }

    /// The `LEN` bytes from offset `AT`, as a secret of their own. Bounds are checked when
    /// compiling.
    pub(crate) fn part<const AT: usize, const LEN: usize>(&self) -> Secret<LEN> {
        const { assert!(AT + LEN <= N, "the part lies outside the secret") };
        let mut part = Secret::zero();
        for (to, from) in part.0.iter_mut().zip(self.0.iter().skip(AT)) {
            *to = *from;
        }
        part
    }

    /// Whether both hold the same bytes, in time that does not depend on them.
    pub fn ct_eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&*other.0).into()
    }
}

impl<const N: usize> AsMut<[u8]> for Secret<N> {
    fn as_mut(&mut self) -> &mut [u8] {
        self.0.as_mut_slice()
    }
}

impl<const N: usize> Drop for Secret<N> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<const N: usize> ZeroizeOnDrop for Secret<N> {}

impl<const N: usize> fmt::Debug for Secret<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret<{N}>(..)")
    }
}
