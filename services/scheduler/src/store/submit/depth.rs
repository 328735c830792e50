//! How long queues are, as of a moment ago.
//!
//! To count a queue takes time in proportion to it, and its limit need not be exact. So the count of a long queue is
//! kept for a while, together with what this process has submitted since.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Shorter queues are counted each time.
const LONG: u64 = 1000;

/// A count is kept for so many times as long as it took: counting takes two percent of the time at most.
const KEPT: u32 = 50;

/// But no longer.
const KEPT_AT_MOST: Duration = Duration::from_secs(5);

/// The counts of long queues.
#[derive(Debug, Default)]
pub struct Depths(Mutex<HashMap<(String, i16), Depth>>);

#[derive(Debug)]
struct Depth {
    jobs: u64,
    until: Instant,
}

impl Depths {
    /// What was counted a moment ago.
    pub fn recent(&self, model: &str, class: i16) -> Option<u64> {
        let depths = self.0.lock();
        let depth = depths.get(&(model.to_owned(), class))?;
        (Instant::now() < depth.until).then_some(depth.jobs)
    }

    /// Keeps a count that took so long, if it is worth it.
    pub fn keep(&self, model: &str, class: i16, jobs: u64, took: Duration) {
        let queue = (model.to_owned(), class);
        if jobs < LONG {
            self.0.lock().remove(&queue);
            return;
        }
        let until = Instant::now() + took.saturating_mul(KEPT).min(KEPT_AT_MOST);
        self.0.lock().insert(queue, Depth { jobs, until });
    }

    /// Adds what is about to be submitted. What comes to nothing counts until the next count.
    pub fn add(&self, model: &str, class: i16, jobs: u64) {
        if let Some(depth) = self.0.lock().get_mut(&(model.to_owned(), class)) {
            depth.jobs = depth.jobs.saturating_add(jobs);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG_AGO: Duration = Duration::ZERO;

    #[test]
    fn long_queue_is_not_counted_again_and_grows_by_what_is_submitted() {
        let depths = Depths::default();
        depths.keep("wan", 1, LONG, Duration::from_secs(60));
        depths.add("wan", 1, 7);
        assert_eq!(depths.recent("wan", 1), Some(LONG + 7));
        assert_eq!(
            (depths.recent("wan", 0), depths.recent("ltx", 1)),
            (None, None)
        );
    }

    #[test]
    fn short_queue_and_old_count_are_counted_again() {
        let depths = Depths::default();
        depths.keep("wan", 1, LONG, LONG_AGO);
        assert_eq!(depths.recent("wan", 1), None);
        depths.keep("wan", 1, LONG, Duration::from_secs(60));
        depths.keep("wan", 1, LONG - 1, Duration::from_secs(60));
        depths.add("wan", 1, 7);
        assert_eq!(depths.recent("wan", 1), None);
    }
}
