//! Choosing the next token.

use std::cmp::Ordering;
use std::collections::{BTreeSet, BinaryHeap};

use super::error::LlmError;

/// How an answer is drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct SamplingOptions {
    /// Most tokens of the answer, at least 1.
    pub max_tokens: usize,
    /// What logits are divided by, from 0 to 10; 0 takes the most likely token always.
    pub temperature: f64,
    /// How many of the most likely tokens are drawn from; 0 is all.
    pub top_k: usize,
    /// The share of the probability that is drawn from, most likely tokens first; above 0, up to 1.
    pub top_p: f64,
    /// How much less likely tokens of the answer become, from 1 (not at all) to 10. Tokens of the messages do not
    /// count: an answer should keep what it is about.
    pub repetition_penalty: f64,
    /// What random numbers start from: the same seed gives the same answer on the same machine.
    pub seed: u64,
    /// Texts that end the answer, and are not part of it.
    pub stop: Vec<String>,
}

impl Default for SamplingOptions {
    /// The most likely tokens, up to 256.
    fn default() -> Self {
        Self {
            max_tokens: 256,
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            repetition_penalty: 1.0,
            seed: 0,
            stop: Vec::new(),
        }
    }
}

impl SamplingOptions {
    /// Says which value is out of range.
    ///
    /// # Errors
    /// `Invalid`, naming the field.
    pub fn check(&self) -> Result<(), LlmError> {
        let within = |field, value: f64, least: f64, most: f64| {
            if (least..=most).contains(&value) {
                return Ok(());
            }
            let reason = format!("{value} is not from {least} to {most}");
            Err(LlmError::invalid(field, reason))
        };
        within("temperature", self.temperature, 0.0, 10.0)?;
        within("top_p", self.top_p, f64::MIN_POSITIVE, 1.0)?;
        within("repetition_penalty", self.repetition_penalty, 1.0, 10.0)?;
        if self.max_tokens == 0 {
            return Err(LlmError::invalid("max_tokens", "it is 0"));
        }
        if self.stop.iter().any(String::is_empty) {
            return Err(LlmError::invalid("stop", "a text in it is empty"));
        }
        Ok(())
    }
}

/// Draws the tokens of one answer.
#[derive(Debug)]
pub struct TokenSampler {
    options: SamplingOptions,
    random: SplitMix,
    /// Tokens of the answer so far.
    written: BTreeSet<u32>,
}

/// A token that may be drawn. Ordered by logit, and equal ones by id, lower ids first.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    logit: f32,
    id: u32,
}

impl TokenSampler {
    /// A sampler at the start of an answer.
    #[must_use]
    pub fn new(options: SamplingOptions) -> Self {
        Self {
            random: SplitMix(options.seed),
            options,
            written: BTreeSet::new(),
        }
    }

    /// Draws a token among those that `allows`, which is asked about as few tokens as possible.
    ///
    /// # Errors
    /// `NotFinite` if a logit is no number, `NoTokenFits` if none is allowed.
    pub fn draw(
        &mut self,
        logits: &mut [f32],
        allows: impl Fn(u32) -> bool,
    ) -> Result<u32, LlmError> {
        if logits.iter().any(|logit| logit.is_nan()) {
            return Err(LlmError::NotFinite);
        }
        self.penalise(logits);
        let is_greedy = self.options.temperature == 0.0;
        let count = match self.options.top_k {
            _ if is_greedy => 1,
            0 => logits.len(),
            count => count,
        };
        let best = best(logits, count, allows);
        let id = match best.first() {
            None => return Err(LlmError::NoTokenFits),
            Some(first) if is_greedy => first.id,
            Some(_) => self.draw_from(&best),
        };
        self.written.insert(id);
        Ok(id)
    }

    fn penalise(&self, logits: &mut [f32]) {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the 32-bit float next to it is what is wanted"
        )]
        let penalty = self.options.repetition_penalty as f32;
        for &id in &self.written {
            let logit = usize::try_from(id).ok().and_then(|id| logits.get_mut(id));
            if let Some(logit) = logit {
                *logit = if *logit > 0.0 {
                    *logit / penalty
                } else {
                    *logit * penalty
                };
            }
        }
    }

    /// Draws from candidates, most likely first, of which there is one at least.
    fn draw_from(&mut self, candidates: &[Candidate]) -> u32 {
        let highest = candidates
            .first()
            .map_or(0.0, |first| f64::from(first.logit));
        let weights: Vec<f64> = candidates
            .iter()
            .map(|one| ((f64::from(one.logit) - highest) / self.options.temperature).exp())
            .collect();
        let share = self.options.top_p * weights.iter().sum::<f64>();
        let mut kept = 0.0;
        let mut count = 0;
        for weight in &weights {
            kept += weight;
            count += 1;
            if kept >= share {
                break;
            }
        }
        let mut left = self.random.uniform() * kept;
        let mut drawn = candidates.first().map_or(0, |first| first.id);
        for (candidate, weight) in candidates.iter().zip(&weights).take(count) {
            drawn = candidate.id;
            left -= weight;
            if left < 0.0 {
                break;
            }
        }
        drawn
    }
}

/// The `count` most likely tokens that are allowed, most likely first.
fn best(logits: &[f32], count: usize, allows: impl Fn(u32) -> bool) -> Vec<Candidate> {
    // The least likely of those kept is on top, where it is compared and replaced.
    let mut kept: BinaryHeap<std::cmp::Reverse<Candidate>> = BinaryHeap::new();
    for (id, &logit) in (0_u32..).zip(logits) {
        let candidate = Candidate { logit, id };
        let is_full = kept.len() >= count;
        if is_full && kept.peek().is_some_and(|least| least.0 >= candidate) {
            continue;
        }
        if logit == f32::NEG_INFINITY || !allows(id) {
            continue;
        }
        if is_full {
            kept.pop();
        }
        kept.push(std::cmp::Reverse(candidate));
    }
    let sorted = kept.into_sorted_vec();
    sorted.into_iter().map(|kept| kept.0).collect()
}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> Ordering {
        self.logit
            .total_cmp(&other.logit)
            .then(other.id.cmp(&self.id))
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Candidate {}

/// SplitMix64 (<https://prng.di.unimi.it/splitmix64.c>): small, and the same everywhere.
#[derive(Clone, Debug)]
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// From 0 to below 1.
    fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests;
