//! Showing how the jobs of a group go: one bar for all of them, or a line for each that changes.

use std::collections::HashMap;

use crate::client::view::{VideoEvent, VideoGroup, VideoStatus};
use crate::output;
use crate::progress::{Display, describe, show_fraction};

/// Where each job of a group is.
#[derive(Debug)]
pub struct GroupProgress {
    /// Place, status and share done of each job.
    jobs: HashMap<String, Job>,
}

#[derive(Debug)]
struct Job {
    number: usize,
    status: Option<VideoStatus>,
    fraction: f64,
}

impl GroupProgress {
    /// Nothing is known of the jobs of this group yet.
    #[must_use]
    pub fn new(group: &VideoGroup) -> Self {
        let job = |number| Job {
            number,
            status: None,
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
                if let (Some(line), VideoStatus::AwaitingApproval) = (line, event.status) {
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

    /// A line, when the status of the event's job has changed; nothing at all for a job of somebody else.
    fn note(&mut self, event: &VideoEvent) -> Option<Option<String>> {
        let all = self.jobs.len();
        let job = self.jobs.get_mut(&event.id)?;
        let has_changed = job.status.replace(event.status) != Some(event.status);
        job.fraction = match event.status {
            VideoStatus::InProgress => event.work.fraction.clamp(0.0, 1.0),
            status if status.is_terminal() => 1.0,
            _ => 0.0,
        };
        let (number, status) = (job.number, event.status.name());
        let hint = match event.status {
            VideoStatus::AwaitingApproval => format!("; `kinora approve {}` goes on", event.id),
            _ => String::new(),
        };
        Some(has_changed.then(|| format!("{number} of {all}: {status}{hint}")))
    }

    fn fraction(&self) -> f64 {
        let done: f64 = self.jobs.values().map(|job| job.fraction).sum();
        done / (self.jobs.len().max(1) as f64)
    }

    /// For example `2 of 5 done, 4: denoising 7/20`.
    fn describe(&self, event: &VideoEvent) -> String {
        let is_done = |job: &&Job| job.status.is_some_and(VideoStatus::is_terminal);
        let done = self.jobs.values().filter(is_done).count();
        let all = self.jobs.len();
        let number = self.jobs.get(&event.id).map_or(0, |job| job.number);
        format!("{done} of {all} done, {number}: {}", describe(event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::view::{Video, Work};

    fn group(ids: &[&str]) -> VideoGroup {
        let video = |id: &&str| {
            let json = serde_json::json!({
                "id": id, "object": "video", "kind": "generate", "status": "queued", "progress": 0,
                "model": "m", "prompt": "p", "negative_prompt": "", "width": 1, "height": 1,
                "frames": 1, "fps": 1, "steps": 1, "guidance": 1.0, "seed": "1", "seconds": "1",
                "size": "1x1", "priority": "standard", "group_index": 0, "work": work(0.0),
                "attempt": 0, "seq": 1, "notes": [], "created_at": 0,
            });
            serde_json::from_value::<Video>(json).unwrap()
        };
        VideoGroup {
            id: "g".to_owned(),
            object: "batch".to_owned(),
            status: VideoStatus::Queued,
            counts: std::collections::BTreeMap::new(),
            videos: ids.iter().map(video).collect(),
            result_id: None,
            create_time: None,
        }
    }

    fn work(fraction: f64) -> Work {
        Work {
            stage: "denoising".to_owned(),
            step: 2,
            steps: 4,
            fraction,
            ..Work::default()
        }
    }

    fn event(id: &str, status: VideoStatus, fraction: f64) -> VideoEvent {
        VideoEvent {
            id: id.to_owned(),
            object: "video.event".to_owned(),
            kind: "progress".to_owned(),
            seq: 1,
            time: None,
            status,
            progress: 0,
            attempt: 1,
            work: work(fraction),
            error: None,
            outputs: None,
            preview_outputs: None,
            group_id: None,
            preview_webp: None,
        }
    }

    #[test]
    fn a_line_is_written_when_a_job_changes_its_status() {
        let mut progress = GroupProgress::new(&group(&["a", "b"]));
        let mut note = |id, status| progress.note(&event(id, status, 0.5));
        assert_eq!(
            note("b", VideoStatus::InProgress),
            Some(Some("2 of 2: in_progress".to_owned()))
        );
        assert_eq!(note("b", VideoStatus::InProgress), Some(None));
        assert_eq!(
            note("a", VideoStatus::Failed),
            Some(Some("1 of 2: failed".to_owned()))
        );
        let line = note("b", VideoStatus::AwaitingApproval).unwrap().unwrap();
        assert!(line.contains("`kinora approve b`"), "{line}");
        assert_eq!(note("stranger", VideoStatus::InProgress), None);
    }

    #[test]
    fn the_whole_is_the_mean_of_its_parts() {
        let mut progress = GroupProgress::new(&group(&["a", "b"]));
        let running = event("b", VideoStatus::InProgress, 0.5);
        progress.note(&event("a", VideoStatus::Completed, 0.0));
        progress.note(&running);
        assert!((progress.fraction() - 0.75).abs() < 1e-9);
        assert_eq!(progress.describe(&running), "1 of 2 done, 2: denoising 2/4");
    }
}
