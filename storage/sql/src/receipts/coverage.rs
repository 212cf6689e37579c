//! The numbers that a watermark covers, and how two of them merge. Pure.

use posthouse_storage::receipts::MAX_EXCEPT;

/// All numbers from 1 to `through`, except some: ascending, not above `through`, at most
/// [`MAX_EXCEPT`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Coverage {
    through: u64,
    except: Vec<u64>,
}

impl Coverage {
    /// What a caller says, brought into its one form.
    pub(crate) fn new(through: u64, except: &[u64]) -> Self {
        // Numbers are stored as signed 64-bit integers.
        let through = through.min(i64::MAX.cast_unsigned());
        let except = except.iter().copied().filter(|n| (1..=through).contains(n)).collect();
        Self::normal(through, except)
    }

    fn normal(through: u64, mut except: Vec<u64>) -> Self {
        except.sort_unstable();
        except.dedup();
        let too_many = except.len().saturating_sub(MAX_EXCEPT);
        except.drain(..too_many);
        Self { through, except }
    }

    /// The higher end, and the exceptions of both: a number that was passed over once has expired or
    /// was refused, for good. The lowest are dropped where there are too many.
    pub(crate) fn merged(&self, other: &Self) -> Self {
        let except = self.except.iter().chain(&other.except).copied().collect();
        Self::normal(self.through.max(other.through), except)
    }

    pub(crate) fn through(&self) -> u64 {
        self.through
    }

    pub(crate) fn except(&self) -> &[u64] {
        &self.except
    }

    /// The column `excepts`: 8 bytes each, big-endian.
    pub(crate) fn except_bytes(&self) -> Vec<u8> {
        self.except.iter().flat_map(|n| n.to_be_bytes()).collect()
    }

    /// Reads the columns; `None` if they are not what [`Self::except_bytes`] wrote.
    pub(crate) fn from_columns(through: u64, excepts: &[u8]) -> Option<Self> {
        let (chunks, rest) = excepts.as_chunks::<8>();
        let except: Vec<u64> = chunks.iter().map(|bytes| u64::from_be_bytes(*bytes)).collect();
        let read = Self { through, except };
        let normal = Self::new(through, &read.except);
        (rest.is_empty() && normal == read).then_some(read)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn coverage() -> impl Strategy<Value = (u64, Vec<u64>)> {
        (0..400_u64, vec(0..420_u64, 0..60))
    }

    /// The model: the end, and the highest of all exceptions ever named.
    fn model(all: &[(u64, Vec<u64>)]) -> (u64, BTreeSet<u64>) {
        let through = all.iter().map(|(through, _)| *through).max().unwrap_or_default();
        let named = |(through, except): &(u64, Vec<u64>)| {
            let through = *through;
            except.clone().into_iter().filter(move |n| (1..=through).contains(n))
        };
        let except: BTreeSet<u64> = all.iter().flat_map(named).collect();
        (through, except.into_iter().rev().take(MAX_EXCEPT).collect())
    }

    proptest! {
        #[test]
        fn merging_follows_the_model(all in vec(coverage(), 1..6)) {
            let mut merged = Coverage::default();
            for (through, except) in &all {
                let before = merged.clone();
                let rise = Coverage::new(*through, except);
                merged = merged.merged(&rise);
                prop_assert!(merged.through >= before.through);
                prop_assert!(merged.except.len() <= MAX_EXCEPT);
                prop_assert!(merged.except.is_sorted_by(|a, b| a < b));
                prop_assert_eq!(&merged.merged(&rise), &merged, "told twice, it rises once");
            }
            let (through, except) = model(&all);
            prop_assert_eq!(merged.through, through);
            prop_assert_eq!(merged.except.iter().copied().collect::<BTreeSet<_>>(), except);
            let read = Coverage::from_columns(merged.through, &merged.except_bytes());
            prop_assert_eq!(read, Some(merged));
        }

        #[test]
        fn the_order_of_rises_does_not_matter(a in coverage(), b in coverage()) {
            let (a, b) = (Coverage::new(a.0, &a.1), Coverage::new(b.0, &b.1));
            prop_assert_eq!(a.merged(&b), b.merged(&a));
        }
    }

    #[test]
    fn an_exception_stays_one() {
        let known = Coverage::new(9, &[3, 5]);
        assert_eq!(known.merged(&Coverage::new(12, &[])).except(), &[3, 5]);
        assert_eq!(known.merged(&Coverage::new(7, &[4])).except(), &[3, 4, 5]);
        assert_eq!(known.merged(&Coverage::new(9, &[5])), known);
    }

    #[test]
    fn damaged_columns_are_noticed() {
        assert_eq!(Coverage::from_columns(9, &[0; 7]), None);
        assert_eq!(Coverage::from_columns(9, &3_u64.to_be_bytes().repeat(2)), None);
        assert_eq!(Coverage::from_columns(2, &3_u64.to_be_bytes()), None);
    }
}
