//! Bounds on what is spent in a window.

use super::Time;
use super::credits::Credits;
use super::refusal::Refusal;

/// Of the soft bound, in percent: crossing each is told.
const ALERTS: [u32; 3] = [50, 80, 100];

/// Bounds on what is spent in a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpendCap {
    /// Jobs that would go beyond are refused. None for no bound.
    pub hard: Option<Credits>,
    /// Crossing parts of it is told. None for no bound.
    pub soft: Option<Credits>,
}

/// A part of the soft bound was crossed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpendAlert {
    /// 50, 80 or 100.
    pub percent: u32,
    /// The bound.
    pub soft: Credits,
    /// What was spent then.
    pub spent: Credits,
    /// When.
    pub create_time: Time,
}

impl SpendCap {
    /// Passes for bounds that mean something. A hard bound of 0 stops everything.
    ///
    /// # Errors
    /// [`Refusal::CapInvalid`] when one is too large, the soft one is 0, or the soft one is never reached.
    pub fn check(self) -> Result<(), Refusal> {
        let is_too_large = |cap: Credits| cap > Credits::LARGEST_AMOUNT;
        if self.hard.is_some_and(is_too_large) || self.soft.is_some_and(is_too_large) {
            return Err(Refusal::CapInvalid);
        }
        let Some(soft) = self.soft else {
            return Ok(());
        };
        if soft.is_zero() || self.hard.is_some_and(|hard| soft > hard) {
            return Err(Refusal::CapInvalid);
        }
        Ok(())
    }

    /// Whether there is any bound.
    #[must_use]
    pub const fn is_set(self) -> bool {
        self.hard.is_some() || self.soft.is_some()
    }

    /// What may still be spent once `spent` was. None for no bound.
    #[must_use]
    pub fn room(self, spent: Credits) -> Option<Credits> {
        self.hard.map(|hard| hard.saturating_sub(spent))
    }

    /// The parts of the soft bound that `spent` has reached, in percent.
    pub fn reached(self, spent: Credits) -> impl Iterator<Item = u32> {
        let percents = self.soft.map(|soft| (soft, ALERTS)).into_iter();
        let percents = percents.flat_map(|(soft, all)| all.map(|percent| (soft, percent)));
        percents.filter_map(move |(soft, percent)| {
            let bound = i128::from(soft.get()) * i128::from(percent);
            (i128::from(spent.get()) * 100 >= bound).then_some(percent)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cap(hard: Option<i64>, soft: Option<i64>) -> SpendCap {
        let credits = |value: Option<i64>| value.map(|value| Credits::new(value).unwrap());
        SpendCap {
            hard: credits(hard),
            soft: credits(soft),
        }
    }

    #[test]
    fn caps_that_mean_nothing_are_refused() {
        let largest = Credits::LARGEST_AMOUNT.get();
        for (hard, soft) in [
            (None, None),
            (Some(0), None),
            (Some(10), Some(10)),
            (None, Some(1)),
            (Some(largest), Some(largest)),
        ] {
            assert_eq!(cap(hard, soft).check(), Ok(()), "{hard:?} {soft:?}");
        }
        for (hard, soft) in [
            (None, Some(0)),
            (Some(10), Some(11)),
            (Some(0), Some(1)),
            (Some(largest + 1), None),
            (None, Some(largest + 1)),
        ] {
            assert_eq!(
                cap(hard, soft).check(),
                Err(Refusal::CapInvalid),
                "{hard:?} {soft:?}"
            );
        }
    }

    #[test]
    fn parts_of_the_soft_cap_are_reached_to_the_credit() {
        let reached = |soft, spent| {
            let spent = Credits::new(spent).unwrap();
            cap(None, soft).reached(spent).collect::<Vec<_>>()
        };
        assert_eq!(reached(None, i64::MAX), [0_u32; 0]);
        assert_eq!(reached(Some(1001), 500), [0_u32; 0]);
        assert_eq!(reached(Some(1001), 501), [50]);
        assert_eq!(reached(Some(1000), 799), [50]);
        assert_eq!(reached(Some(1000), 800), [50, 80]);
        assert_eq!(reached(Some(1000), 1000), [50, 80, 100]);
        assert_eq!(reached(Some(1), i64::MAX), [50, 80, 100]);
    }

    #[test]
    fn room_is_what_the_hard_cap_leaves() {
        let room = |hard, spent| cap(hard, None).room(Credits::new(spent).unwrap());
        assert_eq!(room(None, 5), None);
        assert_eq!(room(Some(7), 5), Credits::new(2));
        assert_eq!(room(Some(7), 9), Credits::new(0));
    }
}
