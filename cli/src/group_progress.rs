//! Showing how the jobs of a group go: one bar for all of them, or a line for each that changes.

use std::collections::HashMap;

use kinora_edge::view::{Group, State, VideoEvent};

use crate::output;
use crate::progress::{Display, describe, show_fraction};

/// Where each job of a group is.
#[derive(Debug)]
pub struct GroupProgress {
    /// Place, state and share done of each job.
    jobs: HashMap<String, Job>,
}

#[derive(Debug)]
struct Job {
    number: usize,
    state: Option<State>,
    fraction: f64,
}

impl GroupProgress {
    /// Nothing is known of the jobs of this group yet.
    #[must_use]
    pub fn new(group: &Group) -> Self {
        let job = |number| Job {
            number,
            state: None,
            fraction: 0.0,
        };
        let ids = group.videos.iter().map(|video| video.id.clone());
        let jobs = ids.zip((1..).map(job)).collect();
        Self { jobs }
    }

    /// Takes an event in and shows where the whole is.
    pub fn show(&mut self, event: &VideoEvent, display: &mut Display) {
        let Some(line) = self.note(event) else {
            return;
        };
        match display {
            Display::Bar(bar) => {
                show_fraction(bar, self.fraction(), &self.describe(event));
                if let (Some(line), State::AwaitingApproval) = (line, event.state) {
                    bar.println(line);
                }
            }
            Display::Lines(_) => {
                if let Some(line) = line {
                    output::remark(line);
                }
            }
            Display::Quiet => {}
        }
    }

    /// A line, when the state of the event's job has changed; nothing at all for a job of somebody else.
    fn note(&mut self, event: &VideoEvent) -> Option<Option<String>> {
        let all = self.jobs.len();
        let job = self.jobs.get_mut(&event.id)?;
        let has_changed = job.state.replace(event.state) != Some(event.state);
        job.fraction = match event.state {
            State::Running => event.progress.fraction.clamp(0.0, 1.0),
            state if state.is_terminal() => 1.0,
            _ => 0.0,
        };
        let (number, state) = (job.number, event.state.name());
        let hint = match event.state {
            State::AwaitingApproval => format!("; `kinora approve {}` goes on", event.id),
            _ => String::new(),
        };
        Some(has_changed.then(|| format!("{number} of {all}: {state}{hint}")))
    }

    fn fraction(&self) -> f64 {
        let done: f64 = self.jobs.values().map(|job| job.fraction).sum();
        done / (self.jobs.len().max(1) as f64)
    }

    /// For example `2 of 5 done, 4: denoising 7/20`.
    fn describe(&self, event: &VideoEvent) -> String {
        let is_done = |job: &&Job| job.state.is_some_and(State::is_terminal);
        let done = self.jobs.values().filter(is_done).count();
        let all = self.jobs.len();
        let number = self.jobs.get(&event.id).map_or(0, |job| job.number);
        format!("{done} of {all} done, {number}: {}", describe(event))
    }
}

#[cfg(test)]
mod tests {
    use kinora_edge::view::{Progress, Video};

    use super::*;

    fn group(ids: &[&str]) -> Group {
        let video = |id: &&str| {
            let json = serde_json::json!({
                "id": id, "object": "video", "state": "queued", "model": "m", "prompt": "p",
                "negative_prompt": "", "width": 1, "height": 1, "frames": 1, "fps": 1, "steps": 1,
                "guidance": 1.0, "seed": 1, "attempt": 0, "seq": 1, "notes": [], "failure": null,
                "outputs": null, "create_time": null, "start_time": null, "end_time": null,
                "progress": progress(0.0),
            });
            serde_json::from_value::<Video>(json).unwrap()
        };
        Group {
            id: "g".to_owned(),
            object: "batch".to_owned(),
            state: State::Queued,
            counts: std::collections::BTreeMap::new(),
            videos: ids.iter().map(video).collect(),
            result_id: None,
            create_time: None,
        }
    }

    fn progress(fraction: f64) -> Progress {
        Progress {
            stage: "denoising".to_owned(),
            step: 2,
            steps: 4,
            fraction,
            eta_seconds: None,
            queue_position: 0,
            queue_eta_seconds: None,
        }
    }

    fn event(id: &str, state: State, fraction: f64) -> VideoEvent {
        VideoEvent {
            id: id.to_owned(),
            object: "video.event".to_owned(),
            seq: 1,
            time: None,
            state,
            attempt: 1,
            progress: progress(fraction),
            failure: None,
            outputs: None,
            preview_outputs: None,
            group_id: None,
            preview: None,
        }
    }

    #[test]
    fn a_line_is_written_when_a_job_changes_its_state() {
        let mut progress = GroupProgress::new(&group(&["a", "b"]));
        let mut note = |id, state| progress.note(&event(id, state, 0.5));
        assert_eq!(
            note("b", State::Running),
            Some(Some("2 of 2: running".to_owned()))
        );
        assert_eq!(note("b", State::Running), Some(None));
        assert_eq!(
            note("a", State::Failed),
            Some(Some("1 of 2: failed".to_owned()))
        );
        let line = note("b", State::AwaitingApproval).unwrap().unwrap();
        assert!(line.contains("`kinora approve b`"), "{line}");
        assert_eq!(note("stranger", State::Running), None);
    }

    #[test]
    fn the_whole_is_the_mean_of_its_parts() {
        let mut progress = GroupProgress::new(&group(&["a", "b"]));
        let running = event("b", State::Running, 0.5);
        progress.note(&event("a", State::Completed, 0.0));
        progress.note(&running);
        assert!((progress.fraction() - 0.75).abs() < 1e-9);
        assert_eq!(progress.describe(&running), "1 of 2 done, 2: denoising 2/4");
    }
}
