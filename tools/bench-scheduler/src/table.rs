//! One table, row by row as they are measured.

use std::io::{self, Write as _};
use std::time::Duration;

/// Repeated measurements of one figure.
#[derive(Clone, Debug, Default)]
pub struct Samples(Vec<f64>);

impl Samples {
    /// Adds one.
    pub fn add(&mut self, value: f64) {
        self.0.push(value);
    }

    /// Adds a duration in milliseconds.
    pub fn add_time(&mut self, value: Duration) {
        self.add(value.as_secs_f64() * 1e3);
    }

    /// The value that a share of the samples does not exceed. Zero when there are none.
    pub fn quantile(&self, percent: usize) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        let rank = (sorted.len() * percent).div_ceil(100).max(1) - 1;
        sorted.get(rank).copied().unwrap_or(0.0)
    }
}

/// The table, written to standard output.
#[derive(Debug)]
pub struct Table(());

impl Table {
    /// Writes the head.
    pub fn begin() -> io::Result<Self> {
        let mut out = io::stdout().lock();
        writeln!(out, "| figure | on | median | min | max | goal |")?;
        writeln!(out, "| --- | --- | --- | --- | --- | --- |")?;
        Ok(Self(()))
    }

    /// Writes a row: the median of the repetitions and how far they spread.
    pub fn row(
        &mut self,
        figure: &str,
        on: &str,
        samples: &Samples,
        unit: &str,
        goal: &str,
    ) -> io::Result<()> {
        let [median, min, max] =
            [50, 0, 100].map(|percent| number(samples.quantile(percent), unit));
        writeln!(
            io::stdout().lock(),
            "| {figure} | {on} | {median} | {min} | {max} | {goal} |"
        )
    }

    /// Writes a row of what was not measured.
    pub fn without(&mut self, figure: &str, on: &str, why: &str) -> io::Result<()> {
        writeln!(
            io::stdout().lock(),
            "| {figure} | {on} | not measured: {why} | | | |"
        )
    }
}

/// Three digits, or all before the point.
fn number(value: f64, unit: &str) -> String {
    let digits = if value >= 100.0 {
        0
    } else if value >= 10.0 {
        1
    } else {
        2
    };
    format!("{value:.digits$}{unit}")
}
