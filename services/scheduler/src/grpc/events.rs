//! Events as watchers see them.

use std::collections::HashMap;

use kinora_ids::JobId;
use kinora_proto::scheduler::v1 as pb;
use uuid::Uuid;

use super::convert::{progress_to_pb, state_to_pb, time_to_pb};
use super::view::{failure_to_pb, number, outputs_to_pb, percent, preview_to_pb};
use crate::app::Sighting;
use crate::domain::job::State;

/// What an event is called that changes neither the status nor the attempt.
const PROGRESS: &str = "progress";

/// The last event of a group.
const END: &str = "end";

const OBJECT: &str = "video.event";

/// Gives the events of one stream their types, by what the stream told before.
#[derive(Debug, Default)]
pub struct Narrator {
    before: HashMap<JobId, (State, u32)>,
}

impl Narrator {
    /// What a watcher of a video sees.
    pub fn tell(&mut self, sighting: Sighting) -> pb::VideoEvent {
        let Sighting { event, place } = sighting;
        let status = state_to_pb(event.state);
        let now = (event.state, event.attempt);
        let kind = match self.before.insert(event.job, now) {
            Some(before) if before == now => PROGRESS,
            _ => status.as_str_name(),
        };
        let id = event.job.to_string();
        pb::VideoEvent {
            object: OBJECT.to_owned(),
            r#type: kind.to_owned(),
            seq: number(event.seq),
            time: Some(time_to_pb(event.time)),
            status: status.into(),
            progress: percent(event.state, event.progress.fraction),
            attempt: event.attempt,
            work: Some(progress_to_pb(&event.progress, place)),
            error: event.failure.map(failure_to_pb),
            outputs: event.outputs.map(|outputs| outputs_to_pb(&id, outputs)),
            preview_outputs: event.preview_outputs.map(|made| preview_to_pb(&id, made)),
            group_id: event.group.map(|group| group.id.to_string()),
            preview_webp: event.preview.map(|preview| preview.webp().to_vec()),
            id,
        }
    }

    /// What a watcher of a group sees: without a number, since nobody can go on after it.
    pub fn tell_of_group(&mut self, sighting: Sighting) -> pb::VideoEvent {
        pb::VideoEvent {
            seq: 0,
            ..self.tell(sighting)
        }
    }
}

/// What a watcher of a group sees last.
pub fn end_of(group: Uuid) -> pb::VideoEvent {
    pb::VideoEvent {
        id: group.to_string(),
        object: OBJECT.to_owned(),
        r#type: END.to_owned(),
        ..pb::VideoEvent::default()
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::domain::job::{Event, GroupRef, Preview, Progress, Stage};

    fn sighting(job: JobId, seq: u64, state: State, attempt: u32) -> Sighting {
        let event = Event {
            job,
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
        };
        Sighting { event, place: None }
    }

    #[test]
    fn an_event_is_named_after_what_it_changes() {
        let (first, second) = (JobId::generate(), JobId::generate());
        let mut narrator = Narrator::default();
        let mut tell = |job, state, attempt| {
            let event = narrator.tell(sighting(job, 9, state, attempt));
            event.r#type
        };
        assert_eq!(tell(first, State::Running, 1), "in_progress");
        assert_eq!(tell(first, State::Running, 1), "progress");
        assert_eq!(
            tell(second, State::Running, 1),
            "in_progress",
            "the first of this one"
        );
        assert_eq!(
            tell(first, State::Running, 2),
            "in_progress",
            "another attempt"
        );
        assert_eq!(tell(first, State::Completed, 2), "completed");
    }

    #[test]
    fn events_of_a_group_have_no_numbers() {
        let job = JobId::generate();
        let mut narrator = Narrator::default();
        assert_eq!(narrator.tell(sighting(job, 9, State::Queued, 0)).seq, 9);
        let told = narrator.tell_of_group(sighting(job, 10, State::Queued, 0));
        assert_eq!((told.seq, told.r#type.as_str()), (0, "progress"));
        let group = Uuid::now_v7();
        let end = end_of(group);
        assert_eq!(
            (end.id, end.r#type.as_str(), end.seq),
            (group.to_string(), "end", 0)
        );
    }

    #[test]
    fn pictures_and_groups_are_told_where_there_are_any() {
        let mut narrator = Narrator::default();
        let mut seen = sighting(JobId::generate(), 9, State::Running, 1);
        let bare = narrator.tell(seen.clone());
        assert_eq!((bare.preview_webp, bare.group_id), (None, None));
        let group = Uuid::now_v7();
        seen.event.preview = Preview::new(b"RIFF....WEBP");
        seen.event.group = Some(GroupRef {
            id: group,
            index: 0,
        });
        let told = narrator.tell(seen);
        assert_eq!(told.group_id, Some(group.to_string()));
        assert_eq!(told.preview_webp.as_deref(), Some(&b"RIFF....WEBP"[..]));
    }
}
