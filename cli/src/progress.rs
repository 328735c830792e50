//! Showing how a job goes: a bar at a terminal, lines elsewhere, nothing when quiet.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::client::view::{VideoEvent, VideoStatus, Work};
use crate::output;

const BAR_UNITS: u64 = 1000;
const BAR_TEMPLATE: &str = "{spinner} {bar:30} {percent:>3}%  {msg}";
/// Less is not worth a word.
const SHORTEST_ETA_SECONDS: f64 = 0.05;

/// How progress is shown.
#[derive(Debug)]
pub enum Display {
    /// A bar that moves.
    Bar(ProgressBar),
    /// A line whenever something worth a line happens.
    Lines(Lines),
    /// Nothing.
    Quiet,
}

impl Display {
    /// Picks the form that suits the error stream.
    #[must_use]
    pub fn new(is_quiet: bool) -> Self {
        if is_quiet {
            return Self::Quiet;
        }
        if !std::io::stderr().is_terminal() {
            return Self::Lines(Lines::default());
        }
        let bar = ProgressBar::new(BAR_UNITS);
        if let Ok(style) = ProgressStyle::with_template(BAR_TEMPLATE) {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(120));
        Self::Bar(bar)
    }

    /// Says what happens before there are events.
    pub fn say(&mut self, text: &str) {
        match self {
            Self::Bar(bar) => bar.set_message(text.to_owned()),
            Self::Lines(_) => output::remark(text),
            Self::Quiet => {}
        }
    }

    /// Writes a remark, and the bar again below it.
    pub fn remark(&self, text: &str) {
        match self {
            Self::Bar(bar) => bar.suspend(|| output::remark(text)),
            Self::Lines(_) | Self::Quiet => output::remark(text),
        }
    }

    /// Shows an event.
    pub fn show(&mut self, event: &VideoEvent) {
        match self {
            Self::Bar(bar) => show_fraction(bar, event.work.fraction, &describe(event)),
            Self::Lines(lines) => {
                if let Some(line) = lines.next(event) {
                    output::remark(line);
                }
            }
            Self::Quiet => {}
        }
    }

    /// Takes the bar away, so that what follows stands on a clean line.
    pub fn clear(&self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

/// Moves a bar to a share of its length.
pub(crate) fn show_fraction(bar: &ProgressBar, fraction: f64, message: &str) {
    bar.set_position(bar_position(fraction));
    bar.set_message(message.to_owned());
}

/// Picks the events that are worth a line: every stage, and every tenth of the work.
#[derive(Debug, Default)]
pub struct Lines {
    before: Option<(VideoStatus, String, u32, u64)>,
}

impl Lines {
    /// The line for an event, unless the last one still holds.
    pub fn next(&mut self, event: &VideoEvent) -> Option<String> {
        let work = &event.work;
        let tenth = bar_position(work.fraction) / (BAR_UNITS / 10);
        let now = (event.status, work.stage.clone(), event.attempt, tenth);
        if self.before.as_ref() == Some(&now) {
            return None;
        }
        self.before = Some(now);
        Some(describe(event))
    }
}

/// An event in a few words: `denoising 7/20, 4 s left`.
#[must_use]
pub fn describe(event: &VideoEvent) -> String {
    let work = &event.work;
    let mut text = match event.status {
        VideoStatus::Queued => queued(work),
        VideoStatus::InProgress if work.stage == "denoising" && work.steps > 0 => {
            format!("denoising {}/{}", work.step, work.steps)
        }
        VideoStatus::InProgress => work.stage.clone(),
        status => status.name().to_owned(),
    };
    if event.attempt > 1 && !event.status.is_terminal() {
        text.push_str(&format!(", attempt {}", event.attempt));
    }
    let eta = work.eta.filter(|eta| *eta >= SHORTEST_ETA_SECONDS);
    if let (VideoStatus::InProgress, Some(eta)) = (event.status, eta) {
        text.push_str(&format!(", {} left", duration(eta)));
    }
    text
}

/// For example `queued, 3 ahead, starts in 12 s`.
fn queued(work: &Work) -> String {
    let mut text = "queued".to_owned();
    if work.queue_position > 0 {
        text.push_str(&format!(", {} ahead", work.queue_position));
    }
    let eta = work.queue_eta.filter(|eta| *eta >= SHORTEST_ETA_SECONDS);
    if let Some(eta) = eta {
        text.push_str(&format!(", starts in {}", duration(eta)));
    }
    text
}

/// Seconds as people say them: `0.4 s`, `12 s`, `3 min 5 s`.
#[must_use]
pub fn duration(seconds: f64) -> String {
    if seconds < 9.95 {
        return format!("{:.1} s", seconds.max(0.0));
    }
    if seconds < 99.5 {
        return format!("{seconds:.0} s");
    }
    let minutes = (seconds / 60.0).floor();
    format!(
        "{minutes:.0} min {:.0} s",
        (seconds - minutes * 60.0).floor()
    )
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the value is between 0 and the number of units"
)]
fn bar_position(fraction: f64) -> u64 {
    let fraction = if fraction.is_finite() {
        fraction.clamp(0.0, 1.0)
    } else {
        0.0
    };
    (fraction * BAR_UNITS as f64).round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(status: VideoStatus, stage: &str, step: u32, fraction: f64) -> VideoEvent {
        VideoEvent {
            id: "x".to_owned(),
            object: "video.event".to_owned(),
            kind: "progress".to_owned(),
            seq: 1,
            time: None,
            status,
            progress: 0,
            attempt: 1,
            work: Work {
                stage: stage.to_owned(),
                step,
                steps: 20,
                fraction,
                ..Work::default()
            },
            error: None,
            outputs: None,
            preview_outputs: None,
            group_id: None,
            preview_webp: None,
        }
    }

    #[test]
    fn an_event_reads_as_a_few_words() {
        let mut denoising = event(VideoStatus::InProgress, "denoising", 7, 0.4);
        denoising.work.eta = Some(4.04);
        assert_eq!(describe(&denoising), "denoising 7/20, 4.0 s left");
        denoising.attempt = 2;
        assert_eq!(
            describe(&denoising),
            "denoising 7/20, attempt 2, 4.0 s left"
        );
        assert_eq!(
            describe(&event(VideoStatus::InProgress, "loading", 0, 0.0)),
            "loading"
        );
        let mut queued = event(VideoStatus::Queued, "queued", 0, 0.0);
        assert_eq!(describe(&queued), "queued");
        queued.work.queue_position = 3;
        assert_eq!(describe(&queued), "queued, 3 ahead");
        queued.work.queue_eta = Some(12.3);
        assert_eq!(describe(&queued), "queued, 3 ahead, starts in 12 s");
        assert_eq!(
            describe(&event(VideoStatus::Completed, "uploading", 20, 1.0)),
            "completed"
        );
    }

    #[test]
    fn a_line_is_written_for_each_stage_and_each_tenth() {
        let mut lines = Lines::default();
        let mut written = |stage, step, fraction| {
            lines
                .next(&event(VideoStatus::InProgress, stage, step, fraction))
                .is_some()
        };
        assert!(written("encoding", 0, 0.01));
        assert!(written("denoising", 1, 0.05));
        assert!(!written("denoising", 2, 0.09));
        assert!(written("denoising", 3, 0.11));
        assert!(!written("denoising", 3, 0.11));
    }

    #[test]
    fn durations_are_rounded_to_what_matters() {
        for (seconds, text) in [
            (0.04, "0.0 s"),
            (9.9, "9.9 s"),
            (12.3, "12 s"),
            (185.4, "3 min 5 s"),
            (-1.0, "0.0 s"),
        ] {
            assert_eq!(duration(seconds), text);
        }
    }

    #[test]
    fn a_bar_stays_within_its_ends() {
        assert_eq!(bar_position(-1.0), 0);
        assert_eq!(bar_position(0.5), 500);
        assert_eq!(bar_position(7.0), 1000);
        assert_eq!(bar_position(f64::NAN), 0);
    }
}
