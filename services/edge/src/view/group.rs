//! Batches and sequences: videos that were asked for together.

use std::collections::BTreeMap;

use kinora_proto::scheduler::v1 as proto;
use serde::{Deserialize, Serialize};

use super::convert::rfc3339;
use super::{Kind, State, Video};

/// A batch or a sequence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// UUIDv7 in text form.
    pub id: String,
    /// `batch` or `sequence`.
    pub object: String,
    /// Where the whole stands: ended once every video has, and completed only if every one is.
    pub state: State,
    /// How many videos are in each state; those of none are absent.
    pub counts: BTreeMap<String, usize>,
    /// In the order of the request; of a sequence the segments, and the joined clip at the end.
    pub videos: Vec<Video>,
    /// The video that is the result of a sequence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result_id: Option<String>,
    /// When it was accepted.
    pub create_time: Option<String>,
}

/// The last event of a group's stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupEnd {
    /// The group's id.
    pub id: String,
    /// `batch.end` or `sequence.end`.
    pub object: String,
}

impl From<proto::Group> for Group {
    fn from(group: proto::Group) -> Self {
        let object = object_of(group.kind());
        let is_sequence = group.kind() == proto::GroupKind::Sequence;
        let videos: Vec<Video> = group.jobs.into_iter().map(Video::from).collect();
        let mut counts = BTreeMap::new();
        for video in &videos {
            *counts.entry(video.state.name().to_owned()).or_default() += 1;
        }
        let result = result_of(&videos).map(|video| video.id.clone());
        Self {
            id: group.id,
            object: object.to_owned(),
            state: state_of(&videos),
            counts,
            result_id: result.filter(|_| is_sequence),
            videos,
            create_time: group.create_time.map(rfc3339),
        }
    }
}

/// The name of a kind of group.
pub(crate) const fn object_of(kind: proto::GroupKind) -> &'static str {
    match kind {
        proto::GroupKind::Unspecified => "group",
        proto::GroupKind::Batch => "batch",
        proto::GroupKind::Sequence => "sequence",
    }
}

/// The whole of a sequence: the joined clip, or the only segment where there is nothing to join. None once it is deleted.
fn result_of(videos: &[Video]) -> Option<&Video> {
    let joined = videos.iter().find(|video| video.kind == Kind::Stitch);
    joined.or(match videos {
        [only] if only.group_index == 0 && only.source_id.is_none() => Some(only),
        _ => None,
    })
}

/// The first of these states that any video is in.
fn state_of(videos: &[Video]) -> State {
    let order = [
        State::Running,
        State::Queued,
        State::AwaitingApproval,
        State::Unknown,
        State::Failed,
        State::Expired,
        State::Cancelled,
    ];
    let is_in = |state: &State| videos.iter().any(|video| video.state == *state);
    order.into_iter().find(is_in).unwrap_or(State::Completed)
}

#[cfg(test)]
mod tests {
    use kinora_proto::scheduler::v1::JobState;

    use super::*;

    fn group(states: &[JobState]) -> Group {
        let job = |state: &JobState| {
            let mut job = proto::Job::default();
            job.set_state(*state);
            job
        };
        let jobs = states.iter().map(job).collect();
        Group::from(proto::Group {
            jobs,
            ..Default::default()
        })
    }

    #[test]
    fn a_group_has_ended_once_every_video_has() {
        use JobState::{AwaitingApproval, Cancelled, Completed, Failed, Queued, Running};
        let state = |states: &[JobState]| group(states).state;
        assert_eq!(state(&[Completed, Running, Queued, Failed]), State::Running);
        assert_eq!(state(&[Completed, Queued, Failed]), State::Queued);
        assert_eq!(
            state(&[Completed, AwaitingApproval]),
            State::AwaitingApproval
        );
        assert_eq!(state(&[Completed, Cancelled, Failed]), State::Failed);
        assert_eq!(state(&[Completed, Completed]), State::Completed);
    }

    #[test]
    fn a_segment_is_not_shown_as_the_whole_of_its_sequence() {
        let job = |id: &str, kind: proto::JobKind| proto::Job {
            id: id.to_owned(),
            kind: kind.into(),
            ..Default::default()
        };
        let result = |jobs: Vec<proto::Job>| {
            let kind = proto::GroupKind::Sequence.into();
            let group = proto::Group {
                jobs,
                kind,
                ..Default::default()
            };
            Group::from(group).result_id
        };
        let (first, second) = (
            job("first", proto::JobKind::Generate),
            job("second", proto::JobKind::Generate),
        );
        let joined = job("joined", proto::JobKind::Stitch);
        let whole = vec![first.clone(), second.clone(), joined];
        assert_eq!(result(whole).as_deref(), Some("joined"));
        assert_eq!(result(vec![first.clone(), second]), None, "it was deleted");
        assert_eq!(result(vec![first]).as_deref(), Some("first"));
    }

    #[test]
    fn states_are_counted() {
        let group = group(&[JobState::Queued, JobState::Completed, JobState::Queued]);
        let counts = serde_json::to_value(group.counts).unwrap();
        assert_eq!(counts, serde_json::json!({ "completed": 1, "queued": 2 }));
    }
}
