//! How work is turned into credits.
//!
//! `frames / fps * price * size * steps * tier * sound`, rounded up, at least 1: all in integers, as one fraction, so that a
//! price is the same on every machine. What is too large to be counted costs more than anybody has.

mod book;

use serde::{Deserialize, Serialize};

use super::Time;
use super::credits::Credits;
use super::work::{Tier, Work};

/// A frame of standard video, in pixels.
pub const STANDARD_PIXELS: u64 = 832 * 480;

/// A factor that changes nothing: factors are thousandths.
pub const UNCHANGED: u32 = 1_000;

/// The prices from some moment on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriceBook {
    /// Counts up from 1.
    pub version: u32,
    /// From when on.
    pub create_time: Time,
    /// The prices.
    pub prices: Prices,
}

/// What work costs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prices {
    /// The first that fits a model holds; the last one fits all.
    pub models: Vec<ModelPrice>,
    /// Factor of clips that are more urgent.
    pub interactive: u32,
    /// Factor of clips that may wait.
    pub batch: u32,
    /// Factor of clips with sound.
    pub audio: u32,
}

/// What a model's work costs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelPrice {
    /// A name, the beginning of names with a `*` at the end, or `*`.
    pub model: String,
    /// Credits for a second of standard size.
    pub price: u32,
    /// By the size of a frame, from small to large. Without any, the price grows with the pixels.
    pub sizes: Vec<SizeClass>,
    /// Steps that the price is for. 0 when they do not count.
    pub steps: u32,
}

/// A step in the price by the size of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SizeClass {
    /// Frames of up to so many pixels.
    pub up_to_pixels: u64,
    /// Their factor.
    pub factor: u32,
}

/// A factor as numerator and denominator, neither of them 0.
type Fraction = (u128, u128);

const ONE: Fraction = (1, 1);

impl ModelPrice {
    fn fits(&self, model: &str) -> bool {
        match self.model.strip_suffix('*') {
            Some(beginning) => model.starts_with(beginning),
            None => self.model == model,
        }
    }

    fn of_size(&self, pixels: u64) -> Fraction {
        let pixels_u128 = u128::from(pixels);
        let thousand = u128::from(UNCHANGED);
        let class = self.sizes.iter().find(|it| pixels <= it.up_to_pixels);
        match (class, self.sizes.last()) {
            (Some(class), _) => (u128::from(class.factor), thousand),
            (None, Some(last)) => (
                u128::from(last.factor) * pixels_u128,
                thousand * u128::from(last.up_to_pixels),
            ),
            (None, None) => (pixels_u128, u128::from(STANDARD_PIXELS)),
        }
    }

    /// A clip that is joined from others counts as one step.
    fn of_steps(&self, steps: u32) -> Fraction {
        if self.steps == 0 {
            return ONE;
        }
        (u128::from(steps.max(1)), u128::from(self.steps))
    }
}

impl Prices {
    /// Those of a platform that has published none: a credit is a thousandth of a second of standard video, by pixels.
    #[must_use]
    pub fn built_in() -> Self {
        Self {
            models: vec![ModelPrice {
                model: "*".to_owned(),
                price: 1_000,
                sizes: Vec::new(),
                steps: 0,
            }],
            interactive: UNCHANGED,
            batch: UNCHANGED,
            audio: UNCHANGED,
        }
    }

    /// What a clip costs; [`Credits::MAX`] when that cannot be counted.
    #[must_use]
    pub fn credits(&self, work: &Work) -> Credits {
        let model = self.models.iter().find(|it| it.fits(&work.model));
        let cost = model.and_then(|model| self.cost(model, work));
        cost.unwrap_or(Credits::MAX)
    }

    fn cost(&self, model: &ModelPrice, work: &Work) -> Option<Credits> {
        let pixels = u64::from(work.width) * u64::from(work.height);
        let factors = [
            (u128::from(work.frames), u128::from(work.fps.max(1))),
            (u128::from(model.price), 1),
            model.of_size(pixels),
            model.of_steps(work.steps),
            self.of_tier(work.tier),
            thousandths(if work.audio { self.audio } else { UNCHANGED }),
        ];
        let (mut numerator, mut denominator) = ONE;
        for (above, below) in factors {
            numerator = numerator.checked_mul(above)?;
            denominator = denominator.checked_mul(below)?;
        }
        let cost = numerator.div_ceil(denominator).max(1);
        Credits::new(i64::try_from(cost).ok()?)
    }

    fn of_tier(&self, tier: Tier) -> Fraction {
        thousandths(match tier {
            Tier::Interactive => self.interactive,
            Tier::Standard => UNCHANGED,
            Tier::Batch => self.batch,
        })
    }

    /// The most frames of a clip, up to those it has, that cost no more than `budget`; 0 when a single one does.
    #[must_use]
    pub fn affordable_frames(&self, work: &Work, budget: Credits) -> u32 {
        let is_affordable = |frames| {
            let clip = Work {
                frames,
                ..work.clone()
            };
            self.credits(&clip) <= budget
        };
        // More frames never cost less. The answer lies from `low` on and below `high`.
        let (mut low, mut high) = (0, u64::from(work.frames) + 1);
        while high - low > 1 {
            let middle = u64::midpoint(low, high);
            let frames = u32::try_from(middle).unwrap_or(u32::MAX);
            if is_affordable(frames) {
                low = middle;
            } else {
                high = middle;
            }
        }
        u32::try_from(low).unwrap_or(u32::MAX)
    }

    /// How long standard video that costs so much is, in milliseconds, for a model without a price of its own.
    #[must_use]
    pub fn standard_milliseconds(&self, credits: Credits) -> u64 {
        let second = Work {
            model: String::new(),
            width: 832,
            height: 480,
            frames: 1,
            fps: 1,
            steps: self.models.last().map_or(0, |model| model.steps),
            audio: false,
            tier: Tier::Standard,
        };
        let price = u64::from(self.credits(&second)).max(1);
        let milliseconds = u128::from(u64::from(credits)) * 1_000 / u128::from(price);
        u64::try_from(milliseconds).unwrap_or(u64::MAX)
    }
}

fn thousandths(factor: u32) -> Fraction {
    (u128::from(factor), u128::from(UNCHANGED))
}

#[cfg(test)]
mod tests;
