//! Showing how bytes of models move: bars at a terminal, lines elsewhere, nothing when quiet.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::sync::{Arc, Mutex, PoisonError};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use kinora_model_store::{Observer, PullEvent, RelativePath, VerifyProgress};

use crate::output;

const BAR_TEMPLATE: &str = "{msg:32!} {bar:24} {decimal_bytes:>9} of {decimal_total_bytes:<9} {decimal_bytes_per_sec:>11} {eta:>4} left";
/// Lines tell tenths of the whole.
const PARTS: u64 = 10;

/// How transfers are shown.
#[derive(Clone, Debug)]
pub struct TransferDisplay(Arc<Form>);

#[derive(Debug)]
enum Form {
    Bars(MultiProgress, Mutex<BTreeMap<String, ProgressBar>>),
    Lines(Mutex<Tally>),
    Quiet,
}

/// What was told of the whole, in lines.
#[derive(Debug, Default)]
struct Tally {
    total: u64,
    positions: BTreeMap<String, u64>,
    told: u64,
}

impl TransferDisplay {
    /// Picks the form that suits the error stream.
    #[must_use]
    pub fn new(is_quiet: bool) -> Self {
        let form = if is_quiet {
            Form::Quiet
        } else if std::io::stderr().is_terminal() {
            Form::Bars(MultiProgress::new(), Mutex::default())
        } else {
            Form::Lines(Mutex::default())
        };
        Self(Arc::new(form))
    }

    /// Hears the events of the pull of `id`.
    #[must_use]
    pub fn observer(&self, id: &str) -> Observer {
        let display = self.clone();
        let id = id.to_owned();
        Arc::new(move |event| display.pull_event(&id, &event))
    }

    /// Shows how far the check of a model is.
    pub fn checked(&self, id: &str, progress: &VerifyProgress) {
        self.begin(progress.total);
        self.advance(
            &format!("{id} check"),
            progress.position,
            Some(progress.total),
        );
    }

    /// Says something between the bars.
    pub fn say(&self, line: &str) {
        match &*self.0 {
            Form::Bars(bars, _) => bars.suspend(|| output::remark(line)),
            Form::Lines(_) => output::remark(line),
            Form::Quiet => {}
        }
    }

    /// Takes all bars away.
    pub fn clear(&self) {
        match &*self.0 {
            Form::Bars(_, bars) => {
                for (_, bar) in std::mem::take(&mut *held(bars)) {
                    bar.finish_and_clear();
                }
            }
            Form::Lines(tally) => *held(tally) = Tally::default(),
            Form::Quiet => {}
        }
    }

    fn pull_event(&self, id: &str, event: &PullEvent) {
        match event {
            PullEvent::WaitingForLock => self.say(&format!(
                "{id}: somebody else is fetching it into this folder; waiting for them"
            )),
            PullEvent::OtherRevision { installed, wanted } => self.say(&format!(
                "{id}: revision {installed} is here and the catalogue has {wanted}, which is fetched in its place"
            )),
            PullEvent::Started { total_bytes, files } => {
                self.begin(*total_bytes);
                self.say(&format!("{id}: {files} files, {}", size(*total_bytes)));
            }
            PullEvent::FileStarted {
                path,
                size,
                position,
            } => {
                self.advance(path.as_str(), *position, *size);
            }
            PullEvent::Progress {
                path,
                position,
                size,
            } => {
                self.advance(path.as_str(), *position, *size);
            }
            PullEvent::Restarted { path, reason } => {
                self.say(&format!("{path}: begins again, {reason}"));
            }
            PullEvent::Retrying {
                path,
                delay,
                reason,
                ..
            } => self.say(&format!(
                "{path}: {reason}; again in {}",
                humantime::format_duration(*delay)
            )),
            PullEvent::FileDone { path, size, .. } => self.end(path, *size),
        }
    }

    fn begin(&self, total: u64) {
        if let Form::Lines(tally) = &*self.0 {
            held(tally).total = total;
        }
    }

    fn advance(&self, name: &str, position: u64, size: Option<u64>) {
        match &*self.0 {
            Form::Bars(all, bars) => {
                let mut bars = held(bars);
                let bar = bars
                    .entry(name.to_owned())
                    .or_insert_with(|| all.add(new_bar(name)));
                bar.set_length(size.unwrap_or(position));
                bar.set_position(position);
            }
            Form::Lines(tally) => {
                if let Some(line) = held(tally).advance(name, position) {
                    output::remark(line);
                }
            }
            Form::Quiet => {}
        }
    }

    fn end(&self, path: &RelativePath, size: u64) {
        self.advance(path.as_str(), size, Some(size));
        if let Form::Bars(_, bars) = &*self.0
            && let Some(bar) = held(bars).remove(path.as_str())
        {
            bar.finish_and_clear();
        }
    }
}

impl Tally {
    /// The line for a step, when a tenth is full.
    fn advance(&mut self, name: &str, position: u64) -> Option<String> {
        self.positions.insert(name.to_owned(), position);
        let there: u64 = self.positions.values().sum();
        let part = (there.saturating_mul(PARTS))
            .checked_div(self.total)?
            .min(PARTS);
        if part <= self.told {
            return None;
        }
        self.told = part;
        let percent = part * (100 / PARTS);
        Some(format!("{percent}% of {}", size(self.total)))
    }
}

/// Bytes for people: `17.6 GB`.
#[must_use]
pub fn size(bytes: u64) -> String {
    indicatif::DecimalBytes(bytes).to_string()
}

fn new_bar(name: &str) -> ProgressBar {
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template(BAR_TEMPLATE) {
        bar.set_style(style);
    }
    // The end of a long name tells more than its beginning: shards differ there.
    let skipped = name.chars().count().saturating_sub(32);
    bar.set_message(name.chars().skip(skipped).collect::<String>());
    bar
}

/// A panic elsewhere leaves whole values behind.
fn held<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_at_full_tenths_and_never_twice() {
        let mut tally = Tally {
            total: 100,
            ..Tally::default()
        };
        let mut lines = |name, position| tally.advance(name, position);
        assert_eq!(lines("a", 5), None);
        assert_eq!(lines("b", 5).as_deref(), Some("10% of 100 B"));
        assert_eq!(lines("a", 0), None);
        assert_eq!(lines("a", 9), None);
        assert_eq!(lines("b", 91).as_deref(), Some("100% of 100 B"));
    }

    #[test]
    fn the_bar_has_a_form_that_the_library_knows() {
        assert!(ProgressStyle::with_template(BAR_TEMPLATE).is_ok());
    }

    #[test]
    fn a_total_that_is_not_known_gives_no_lines() {
        assert_eq!(Tally::default().advance("a", 5), None);
    }
}
