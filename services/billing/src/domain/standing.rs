//! Whether a payer's jobs are accepted.

use super::Time;
use super::cap::SpendCap;
use super::credits::Credits;
use super::price::Prices;
use super::refusal::{Refusal, Shortage};
use super::work::Wanted;

/// All of a payer that decides whether a job is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// What can be spent.
    pub available: Credits,
    /// What was spent in the window.
    pub spent: Credits,
    /// Bounds on that.
    pub cap: SpendCap,
    /// Whether an operator or a dispute stopped it.
    pub is_frozen: bool,
    /// Whether the caller may generate at all.
    pub has_access: bool,
    /// When the window ends, and the next allowance comes.
    pub reset_time: Time,
}

/// What a job costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// All of it.
    pub total: Credits,
    /// Of that, its preview.
    pub preview: Credits,
}

impl Cost {
    /// At these prices.
    #[must_use]
    pub fn of(prices: &Prices, wanted: Wanted<'_>) -> Self {
        let preview = wanted.preview.map(|work| prices.credits(work));
        let preview = preview.unwrap_or(Credits::ZERO);
        Self {
            total: preview.saturating_add(prices.credits(wanted.work)),
            preview,
        }
    }
}

impl Standing {
    /// What each of these jobs costs, when all of them are accepted together.
    ///
    /// # Errors
    /// [`Refusal::PayerFrozen`], [`Refusal::AccessRequired`], [`Refusal::InsufficientCredits`],
    /// [`Refusal::SpendCapReached`]: the first that applies.
    pub fn accept(&self, prices: &Prices, jobs: &[Wanted<'_>]) -> Result<Vec<Cost>, Refusal> {
        if self.is_frozen {
            return Err(Refusal::PayerFrozen);
        }
        if !self.has_access {
            return Err(Refusal::AccessRequired);
        }
        let costs: Vec<Cost> = jobs.iter().map(|&job| Cost::of(prices, job)).collect();
        let needed: Credits = costs.iter().map(|cost| cost.total).sum();
        let room = self.cap.room(self.spent).unwrap_or(Credits::MAX);
        if needed > self.available {
            Err(Refusal::InsufficientCredits(
                self.shortage(prices, jobs, needed),
            ))
        } else if needed > room {
            Err(Refusal::SpendCapReached(
                self.shortage(prices, jobs, needed),
            ))
        } else {
            Ok(costs)
        }
    }

    fn shortage(&self, prices: &Prices, jobs: &[Wanted<'_>], needed: Credits) -> Shortage {
        let room = self.cap.room(self.spent).unwrap_or(Credits::MAX);
        let available = self.available.min(room);
        let mut left = available;
        let (mut index, mut affordable_frames) = (0, 0);
        for (at, &job) in jobs.iter().enumerate() {
            let cost = Cost::of(prices, job);
            match left.checked_sub(cost.total) {
                Some(rest) => left = rest,
                None => {
                    let for_clip = left.saturating_sub(cost.preview);
                    affordable_frames = prices.affordable_frames(job.work, for_clip);
                    index = at;
                    break;
                }
            }
        }
        Shortage {
            needed,
            available,
            available_milliseconds: prices.standard_milliseconds(available),
            index,
            job: None,
            affordable_frames,
            reset_time: self.reset_time,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::work::tests::standard;
    use crate::domain::work::{Tier, Work};

    fn credits(value: i64) -> Credits {
        Credits::new(value).unwrap()
    }

    fn with(available: i64, spent: i64, hard: Option<i64>) -> Standing {
        Standing {
            available: credits(available),
            spent: credits(spent),
            cap: SpendCap {
                hard: hard.map(credits),
                soft: None,
            },
            is_frozen: false,
            has_access: true,
            reset_time: "2026-12-01T00:00:00Z".parse().unwrap(),
        }
    }

    /// What clips of so many frames are told, at the built-in prices: 16 frames cost 1000.
    fn accept(standing: Standing, frames: &[u32]) -> Result<Vec<i64>, Refusal> {
        let works: Vec<Work> = frames.iter().map(|&frames| standard(frames)).collect();
        let jobs: Vec<Wanted<'_>> = works.iter().map(Wanted::from).collect();
        let costs = standing.accept(&Prices::built_in(), &jobs)?;
        Ok(costs.into_iter().map(|cost| cost.total.get()).collect())
    }

    fn shortage(needed: i64, available: i64, affordable_frames: u32) -> Shortage {
        about(0, needed, available, affordable_frames)
    }

    fn about(index: usize, needed: i64, available: i64, affordable_frames: u32) -> Shortage {
        Shortage {
            index,
            job: None,
            needed: credits(needed),
            available: credits(available),
            available_milliseconds: u64::try_from(available).unwrap(),
            affordable_frames,
            reset_time: with(0, 0, None).reset_time,
        }
    }

    #[test]
    fn all_jobs_are_accepted_or_none() {
        assert_eq!(accept(with(3000, 0, None), &[16, 32]), Ok(vec![1000, 2000]));
        let refused = accept(with(2999, 0, None), &[16, 32]);
        let expected = Refusal::InsufficientCredits(about(1, 3000, 2999, 31));
        assert_eq!(refused, Err(expected));
    }

    #[test]
    fn the_suggestion_is_for_the_first_job_that_is_too_much() {
        let refused = accept(with(1500, 0, None), &[16, 16, 1]);
        let expected = Refusal::InsufficientCredits(about(1, 2063, 1500, 8));
        assert_eq!(refused, Err(expected));
        let refused = accept(with(0, 0, None), &[16]);
        assert_eq!(
            refused,
            Err(Refusal::InsufficientCredits(shortage(1000, 0, 0)))
        );
    }

    #[test]
    fn a_preview_is_paid_with_its_clip_and_told_apart() {
        let (clip, preview) = (standard(16), standard(4));
        let job = Wanted {
            work: &clip,
            preview: Some(&preview),
        };
        let prices = Prices::built_in();
        let accepted = with(1250, 0, None).accept(&prices, &[job]).unwrap();
        let cost = Cost {
            total: credits(1250),
            preview: credits(250),
        };
        assert_eq!(accepted, [cost]);
        let refused = with(1249, 0, None).accept(&prices, &[job]);
        let expected = Refusal::InsufficientCredits(shortage(1250, 1249, 15));
        assert_eq!(refused, Err(expected));
        let refused = with(100, 0, None).accept(&prices, &[job]);
        let expected = Refusal::InsufficientCredits(shortage(1250, 100, 0));
        assert_eq!(refused, Err(expected));
    }

    #[test]
    fn the_hard_cap_counts_what_was_spent() {
        assert_eq!(accept(with(9000, 500, Some(1500)), &[16]), Ok(vec![1000]));
        let refused = accept(with(9000, 501, Some(1500)), &[16]);
        let expected = Refusal::SpendCapReached(shortage(1000, 999, 15));
        assert_eq!(refused, Err(expected));
        let refused = accept(with(9000, 9000, Some(1500)), &[16]);
        assert_eq!(refused, Err(Refusal::SpendCapReached(shortage(1000, 0, 0))));
    }

    #[test]
    fn frozen_comes_before_access_and_both_before_credits() {
        let mut standing = with(0, 0, None);
        standing.has_access = false;
        assert_eq!(accept(standing, &[16]), Err(Refusal::AccessRequired));
        standing.is_frozen = true;
        assert_eq!(accept(standing, &[16]), Err(Refusal::PayerFrozen));
    }

    #[test]
    fn costs_that_cannot_be_counted_are_refused() {
        let mut huge = standard(1_000_000);
        (huge.width, huge.height, huge.fps) = (65_536, 65_536, 1);
        huge.tier = Tier::Interactive;
        let mut prices = Prices::built_in();
        (prices.models[0].price, prices.interactive) = (1_000_000, 1_000_000);
        let works = vec![Wanted::from(&huge); 128];
        let mut rich = with(i64::MAX - 1, 0, None);
        let refused = rich.accept(&prices, &works);
        assert!(
            matches!(refused, Err(Refusal::InsufficientCredits(_))),
            "{refused:?}"
        );
        rich.cap.hard = Some(Credits::ZERO);
        assert!(rich.accept(&prices, &works).is_err());
    }
}
