//! What a watcher was sent, and whether the next event may follow it.

use std::time::Duration;

use tokio::time::Instant;

use crate::domain::job::{Event, SEQ_STRIDE, State};
use crate::signals::Signal;

/// Times that a watcher may fall behind in a row.
const MOST_LAGS: u32 = 8;

/// A watcher that has kept up for this long starts afresh.
const FRESH_AFTER: Duration = Duration::from_secs(60);

/// How far a watcher of a job has been told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The number of the last event.
    pub seq: u64,
    /// The state and the attempt after it. None before the first event.
    stand: Option<(State, u32)>,
}

/// What an event is to a watcher.
#[expect(
    clippy::large_enum_variant,
    reason = "it lives for a moment, and a box would be made for every event"
)]
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Nothing new.
    Old,
    /// The next thing to tell.
    Next(Event),
    /// There may be a transition before it: the database knows.
    Gap,
}

impl Seen {
    /// Told by an earlier stream, up to a number.
    pub const fn up_to(seq: u64) -> Self {
        Self { seq, stand: None }
    }

    /// Whether the watcher knows that the job has ended.
    pub fn is_end(&self) -> bool {
        self.stand.is_some_and(|(state, _)| state.is_terminal())
    }

    /// Whether the watcher knows the job to be in this state of this attempt.
    pub fn is_at(&self, state: State, attempt: u32) -> bool {
        self.stand == Some((state, attempt))
    }

    /// Remembers an event that is sent, or that the watcher was sent before.
    pub fn note(&mut self, event: &Event) {
        self.seq = self.seq.max(event.seq);
        self.stand = Some((event.state, event.attempt));
    }

    /// Looks at what the bus says.
    ///
    /// Stored changes are [`SEQ_STRIDE`] apart, so that a transition that follows by more has others before it. Progress
    /// of the attempt that the watcher knows to be running has none before it, whatever its number.
    pub fn step(&self, signal: &Signal) -> Step {
        match signal {
            Signal::Changed(event) | Signal::Progress { event, .. } if event.seq <= self.seq => {
                Step::Old
            }
            Signal::Changed(event) if event.seq <= self.seq + SEQ_STRIDE => {
                Step::Next(Event::clone(event))
            }
            Signal::Progress { event, .. } if self.stand == Some((event.state, event.attempt)) => {
                Step::Next(Event::clone(event))
            }
            Signal::Changed(_) | Signal::Progress { .. } => Step::Gap,
            Signal::Work
            | Signal::Revoked { .. }
            | Signal::Preempted { .. }
            | Signal::Wished { .. } => Step::Old,
        }
    }
}

/// How often a watcher may fall behind.
#[derive(Debug, Default)]
pub struct Patience {
    lags: u32,
    last: Option<Instant>,
}

impl Patience {
    /// Counts that the watcher has fallen behind. True when that was once too often.
    pub fn is_over(&mut self, now: Instant) -> bool {
        if self.last.is_some_and(|last| now - last > FRESH_AFTER) {
            self.lags = 0;
        }
        self.last = Some(now);
        self.lags += 1;
        self.lags > MOST_LAGS
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chrono::DateTime;
    use kinora_ids::JobId;

    use super::*;
    use crate::domain::job::{Progress, Stage};

    fn event(seq: u64, state: State, attempt: u32) -> Event {
        Event {
            job: JobId::generate(),
            seq,
            time: DateTime::UNIX_EPOCH,
            state,
            attempt,
            progress: Progress::at(Stage::Denoising, 20),
            failure: None,
            outputs: None,
            preview_outputs: None,
            group: None,
            preview: None,
        }
    }

    fn changed(seq: u64, state: State, attempt: u32) -> Signal {
        Signal::Changed(Arc::new(event(seq, state, attempt)))
    }

    fn progress(seq: u64, attempt: u32) -> Signal {
        let event = Arc::new(event(seq, State::Running, attempt));
        Signal::Progress {
            event,
            is_new_stage: false,
        }
    }

    /// A watcher that was told of the first attempt's fifth unstored progress.
    fn seen() -> Seen {
        let mut seen = Seen::up_to(0);
        seen.note(&event(SEQ_STRIDE + 6, State::Running, 1));
        seen
    }

    #[test]
    fn numbers_only_grow() {
        for signal in [
            progress(SEQ_STRIDE + 6, 1),
            progress(SEQ_STRIDE + 1, 1),
            changed(1, State::Queued, 0),
        ] {
            assert_eq!(seen().step(&signal), Step::Old);
        }
    }

    #[test]
    fn progress_of_the_same_attempt_may_skip_some() {
        assert!(matches!(
            seen().step(&progress(SEQ_STRIDE + 7, 1)),
            Step::Next(_)
        ));
        assert!(matches!(
            seen().step(&progress(9 * SEQ_STRIDE + 1, 1)),
            Step::Next(_)
        ));
        assert_eq!(
            seen().step(&progress(4 * SEQ_STRIDE + 1, 2)),
            Step::Gap,
            "it was queued between"
        );
        assert_eq!(
            Seen::up_to(7).step(&progress(9, 1)),
            Step::Gap,
            "nothing is known"
        );
    }

    #[test]
    fn transition_follows_only_when_nothing_stored_lies_between() {
        assert!(matches!(
            seen().step(&changed(2 * SEQ_STRIDE + 1, State::Completed, 1)),
            Step::Next(_)
        ));
        assert_eq!(
            seen().step(&changed(3 * SEQ_STRIDE + 1, State::Running, 2)),
            Step::Gap
        );
    }

    #[test]
    fn patience_ends_with_lags_in_a_row() {
        let mut patience = Patience::default();
        let now = Instant::now();
        for _ in 0..MOST_LAGS {
            assert!(!patience.is_over(now));
        }
        let later = now + FRESH_AFTER * 2;
        for _ in 0..MOST_LAGS {
            assert!(!patience.is_over(later));
        }
        assert!(patience.is_over(later));
    }
}
