//! What workers really computed: every step of every job, written down by the workers of `kinora-chaos-worker`.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::time::Duration;

/// A worker began, or went on with, a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begun {
    /// Micro-seconds since 1970.
    pub at: u64,
    /// Which worker, by the name of its log.
    pub worker: String,
}

/// Everything that all workers wrote down.
#[derive(Debug, Default)]
pub struct StepLog {
    /// Begins of each job, by its seed, in the order of time.
    pub begun: BTreeMap<u64, Vec<Begun>>,
    /// Steps that were computed.
    pub computed: u64,
    /// Steps that were computed although they had been before.
    pub recomputed: u64,
}

impl StepLog {
    /// Reads the logs in a folder: a file a worker, a line an entry. A line that a kill cut short is no entry.
    #[must_use]
    pub fn read(folder: &Path) -> Self {
        let mut log = Self::default();
        let mut seen = HashSet::new();
        for file in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let worker = file.file_name().to_string_lossy().into_owned();
            let text = std::fs::read_to_string(file.path()).unwrap();
            for line in text.lines() {
                log.note(&worker, line, &mut seen);
            }
        }
        for begun in log.begun.values_mut() {
            begun.sort_by_key(|begun| begun.at);
        }
        log
    }

    fn note(&mut self, worker: &str, line: &str, seen: &mut HashSet<(u64, u64)>) {
        let words: Vec<&str> = line.split(' ').collect();
        let [at, seed, what, step, "."] = words[..] else {
            return;
        };
        let (Ok(at), Ok(seed), Ok(step)) = (at.parse(), seed.parse(), step.parse()) else {
            return;
        };
        if what == "begin" {
            let worker = worker.to_owned();
            self.begun
                .entry(seed)
                .or_default()
                .push(Begun { at, worker });
        } else {
            self.computed += 1;
            self.recomputed += u64::from(!seen.insert((seed, step)));
        }
    }

    /// How long interrupted jobs stood still: from the fault of their worker to their next begin. `faults` has for each
    /// worker when it was killed or frozen.
    #[must_use]
    pub fn times_to_begin(&self, faults: &HashMap<String, Vec<u64>>) -> Vec<Duration> {
        let pairs = self.begun.values().flat_map(|begun| begun.windows(2));
        let mut times: Vec<Duration> = pairs
            .filter_map(|pair| {
                let of_worker = faults.get(&pair[0].worker)?;
                let between = |at: &&u64| (pair[0].at..=pair[1].at).contains(*at);
                let fault = of_worker.iter().filter(between).min()?;
                Some(Duration::from_micros(pair[1].at - fault))
            })
            .collect();
        times.sort();
        times
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_done_twice_and_pauses_are_found_and_torn_lines_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text);
        write(
            "a",
            "100 7 begin 0 .\n110 7 step 1 .\n120 7 step 2 .\n130 7 st",
        )
        .unwrap();
        write(
            "b",
            "900 7 begin 1 .\n910 7 step 2 .\n920 7 step 3 .\n930 8 begin 0 .\n",
        )
        .unwrap();
        let log = StepLog::read(folder.path());
        assert_eq!((log.computed, log.recomputed), (4, 1));
        let faults = HashMap::from([("a".to_owned(), vec![50, 150, 950])]);
        let times = log.times_to_begin(&faults);
        assert_eq!(times, [Duration::from_micros(750)]);
    }
}
