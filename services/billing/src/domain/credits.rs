//! Credits: thousandths of a second of standard video.

use std::fmt;

/// An amount of credits that is not negative. Arithmetic on it says when there is no answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Credits(i64);

/// The number cannot be an amount of credits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is no amount of credits")]
pub struct NotCredits;

impl Credits {
    /// None.
    pub const ZERO: Self = Self(0);
    /// More than anybody has: what cannot be paid costs this much.
    pub const MAX: Self = Self(i64::MAX);
    /// Nobody gives, takes or bounds more at a time: a million million, over thirty years of video. Sums of any number of
    /// movements that a platform will see stay far from where integers end.
    pub const LARGEST_AMOUNT: Self = Self(1_000_000_000_000);

    /// An amount; None when it is negative.
    #[must_use]
    pub const fn new(value: i64) -> Option<Self> {
        if value < 0 { None } else { Some(Self(value)) }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> i64 {
        self.0
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The sum; None when it is too large.
    #[must_use]
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }

    /// The difference; None when it would be negative.
    #[must_use]
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        Self::new(self.0 - other.0)
    }

    /// The sum, or the largest amount there is.
    #[must_use]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The difference, or none.
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        match self.checked_sub(other) {
            Some(difference) => difference,
            None => Self::ZERO,
        }
    }
}

/// The sum, or the largest amount there is.
impl std::iter::Sum for Credits {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Self::saturating_add)
    }
}

impl TryFrom<i64> for Credits {
    type Error = NotCredits;

    fn try_from(value: i64) -> Result<Self, NotCredits> {
        Self::new(value).ok_or(NotCredits)
    }
}

impl TryFrom<u64> for Credits {
    type Error = NotCredits;

    fn try_from(value: u64) -> Result<Self, NotCredits> {
        i64::try_from(value).map(Self).map_err(|_| NotCredits)
    }
}

impl From<Credits> for u64 {
    fn from(credits: Credits) -> Self {
        credits.0.unsigned_abs()
    }
}

impl fmt::Display for Credits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn amounts_are_not_negative_and_do_not_wrap() {
        assert_eq!(Credits::new(-1), None);
        assert_eq!(Credits::try_from(i64::MIN), Err(NotCredits));
        assert_eq!(Credits::try_from(u64::MAX), Err(NotCredits));
        assert_eq!(Credits::try_from(1_u64 << 63), Err(NotCredits));
        assert_eq!(u64::from(Credits::MAX), (1 << 63) - 1);
        let one = Credits::try_from(1_u64).unwrap();
        assert_eq!(Credits::MAX.checked_add(one), None);
        assert_eq!(Credits::MAX.saturating_add(one), Credits::MAX);
        assert_eq!(Credits::ZERO.checked_sub(one), None);
        assert_eq!(Credits::ZERO.saturating_sub(Credits::MAX), Credits::ZERO);
        assert_eq!(
            [Credits::MAX, one].into_iter().sum::<Credits>(),
            Credits::MAX
        );
    }

    proptest! {
        #[test]
        fn what_is_added_can_be_taken_away(one in 0..=i64::MAX, other in 0..=i64::MAX) {
            let (one, other) = (Credits::new(one).unwrap(), Credits::new(other).unwrap());
            match one.checked_add(other) {
                Some(sum) => prop_assert_eq!(sum.checked_sub(other), Some(one)),
                None => prop_assert_eq!(one.saturating_add(other), Credits::MAX),
            }
        }
    }
}
