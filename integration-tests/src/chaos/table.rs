//! Figures for people.

use std::time::Duration;

/// The value below which `share` of the sorted values lie, in milliseconds.
pub(super) fn quantile(sorted: &[Duration], share: f64) -> String {
    if sorted.is_empty() {
        return "none".to_owned();
    }
    let last = sorted.len() - 1;
    // Nearest rank; `min` keeps a share of 1 inside.
    let mut rank = 0;
    while rank < last && as_share(rank + 1, sorted.len()) < share {
        rank += 1;
    }
    format!("{:.0} ms", sorted[rank].as_secs_f64() * 1000.0)
}

fn as_share(part: usize, whole: usize) -> f64 {
    let number = |count: usize| u32::try_from(count).map_or(f64::MAX, f64::from);
    number(part) / number(whole)
}

/// A row of a table.
pub(super) fn row(name: &str, value: impl std::fmt::Display) -> String {
    format!("| {name} | {value} |\n")
}
