//! Arithmetic in GF(2^16), modulo x^16 + x^12 + x^3 + x + 1. The values are parts of public
//! keys and ciphertexts, not secrets.

/// The polynomial without its top bit.
const REDUCTION: u16 = 0x100b;

/// An element of the field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Gf(pub(super) u16);

impl Gf {
    pub(super) const ONE: Self = Self(1);
    pub(super) const ZERO: Self = Self(0);

    /// Sum and difference are the same.
    pub(super) fn add(self, other: Self) -> Self {
        Self(self.0 ^ other.0)
    }

    pub(super) fn mul(self, other: Self) -> Self {
        let (mut sum, mut shifted) = (0, self.0);
        for bit in 0..16 {
            sum ^= shifted & 0_u16.wrapping_sub(other.0 >> bit & 1);
            let carry = 0_u16.wrapping_sub(shifted >> 15);
            shifted = shifted << 1 ^ REDUCTION & carry;
        }
        Self(sum)
    }

    /// The inverse, by Fermat: a^(2^16 - 2). Zero gives zero.
    pub(super) fn invert(self) -> Self {
        let (mut result, mut power) = (Self::ONE, self);
        for _ in 1..16 {
            power = power.mul(power);
            result = result.mul(power);
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reduces_by_the_polynomial() {
        assert_eq!(Gf(0x8000).mul(Gf(2)), Gf(0x100b));
    }

    proptest! {
        #[test]
        fn is_a_field(a: u16, b: u16, c: u16) {
            let (a, b, c) = (Gf(a), Gf(b), Gf(c));
            prop_assert_eq!(a.mul(b), b.mul(a));
            prop_assert_eq!(a.mul(b).mul(c), a.mul(b.mul(c)));
            prop_assert_eq!(a.mul(b.add(c)), a.mul(b).add(a.mul(c)));
            prop_assert_eq!(a.mul(a.invert()), if a == Gf::ZERO { Gf::ZERO } else { Gf::ONE });
        }
    }
}
