//! Repeated measurements, and how tables show them.

use std::time::Duration;

/// Durations of one kind.
#[derive(Clone, Debug, Default)]
pub struct Times(Vec<Duration>);

impl Times {
    /// The duration that a share of them does not exceed. Zero when there are none.
    pub fn quantile(&mut self, percent: usize) -> Duration {
        self.0.sort_unstable();
        let rank = (self.0.len() * percent).div_ceil(100).max(1) - 1;
        self.0.get(rank).copied().unwrap_or_default()
    }

    /// Adds one.
    pub fn add(&mut self, time: Duration) {
        self.0.push(time);
    }

    /// How many there are.
    pub const fn count(&self) -> usize {
        self.0.len()
    }
}

impl Extend<Duration> for Times {
    fn extend<I: IntoIterator<Item = Duration>>(&mut self, times: I) {
        self.0.extend(times);
    }
}

impl FromIterator<Duration> for Times {
    fn from_iter<I: IntoIterator<Item = Duration>>(times: I) -> Self {
        Self(times.into_iter().collect())
    }
}

impl IntoIterator for Times {
    type Item = Duration;
    type IntoIter = std::vec::IntoIter<Duration>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// One figure of several rounds.
#[derive(Clone, Debug, Default)]
pub struct Rounds(Vec<f64>);

impl Rounds {
    /// Adds a round's.
    pub fn add(&mut self, value: f64) {
        self.0.push(value);
    }

    /// Adds a round's, in microseconds.
    pub fn add_time(&mut self, time: Duration) {
        self.add(micros(time));
    }

    /// The middle one. Zero when there are none.
    pub fn median(&self) -> f64 {
        self.at(self.0.len() / 2)
    }

    /// The middle one, the least and the greatest, as three cells.
    pub fn cells(&self) -> String {
        let last = self.0.len().saturating_sub(1);
        let [median, min, max] = [self.median(), self.at(0), self.at(last)];
        format!("{median:.0} | {min:.0} | {max:.0}")
    }

    fn at(&self, rank: usize) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        sorted.get(rank).copied().unwrap_or(0.0)
    }
}

/// A duration in microseconds.
pub fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// A count as a number to calculate with.
pub fn number(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

/// A goal and whether it is met.
pub fn goal(text: &str, is_met: bool) -> String {
    let verdict = if is_met { "met" } else { "not met" };
    format!("{text}: {verdict}")
}
