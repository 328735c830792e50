//! Batches and sequences of the fake.

use std::pin::Pin;

use futures::{Stream, stream};
use kinora_ids::JobId;
use kinora_mesh::error::{Kind, PublicError};
use kinora_proto::scheduler::v1::{
    Group, GroupKind, JobKind, JobState, SubmitRequest, SubmitSequenceRequest, WatchGroupResponse,
};
use tonic::Status;

use super::service::Watching;
use super::{Entry, FakeScheduler, Known, event_of, is_over, job_of};

pub(super) type EventsOfGroup =
    Pin<Box<dyn Stream<Item = Result<WatchGroupResponse, Status>> + Send>>;

impl FakeScheduler {
    pub(super) fn begin_group(
        &self,
        owner: &str,
        kind: GroupKind,
        submissions: Vec<SubmitRequest>,
    ) -> Group {
        let id = JobId::generate().to_string();
        let last = submissions.len() - 1;
        let mut ids = Vec::new();
        for (index, request) in submissions.into_iter().enumerate() {
            let mut job = job_of(owner, &request);
            job.group_id.clone_from(&id);
            job.group_index = u32::try_from(index).unwrap();
            if kind == GroupKind::Sequence && index == last {
                job.set_kind(JobKind::Stitch);
            }
            ids.push(job.id.clone());
            let events = vec![event_of(&job)];
            let entry = Entry {
                job,
                events,
                request,
            };
            self.0.jobs.lock().insert(entry.job.id.clone(), entry);
        }
        let known = Known {
            owner: owner.to_owned(),
            kind,
            jobs: ids,
        };
        self.0.groups.lock().insert(id.clone(), known);
        self.group(owner, &id).unwrap()
    }

    /// Segments, and the job that joins them.
    pub(super) fn begin_sequence(
        &self,
        owner: &str,
        request: SubmitSequenceRequest,
    ) -> Result<Group, Status> {
        let segment = request.segment.unwrap_or_default();
        if !request.source_id.is_empty() {
            let state = self.with_job(owner, &request.source_id, |entry| entry.job.state())?;
            if state != JobState::Completed {
                let reason = "SOURCE_NOT_COMPLETED";
                let error = PublicError::new(Kind::FailedPrecondition, reason, "it is not there");
                return Err(error.into());
            }
        }
        let of_prompt = |prompt: &String| SubmitRequest {
            prompt: if prompt.is_empty() {
                segment.prompt.clone()
            } else {
                prompt.clone()
            },
            remix_of: request.source_id.clone(),
            ..segment.clone()
        };
        let mut jobs: Vec<_> = request.prompts.iter().map(of_prompt).collect();
        jobs.push(SubmitRequest::default());
        Ok(self.begin_group(owner, GroupKind::Sequence, jobs))
    }

    pub(super) fn group(&self, owner: &str, id: &str) -> Result<Group, Status> {
        let groups = self.0.groups.lock();
        let Some(known) = groups.get(id).filter(|known| known.owner == owner) else {
            let error =
                PublicError::new(Kind::NotFound, "GROUP_NOT_FOUND", "there is no such group");
            return Err(error.into());
        };
        let jobs = self.0.jobs.lock();
        let jobs = known.jobs.iter().filter_map(|id| jobs.get(id));
        Ok(Group {
            id: id.to_owned(),
            kind: known.kind.into(),
            jobs: jobs.map(|entry| entry.job.clone()).collect(),
            create_time: None,
        })
    }

    /// The present state of every job, then whatever changes; ends when all have ended.
    pub(super) fn events_of(self, group: Group) -> EventsOfGroup {
        let changed = self.0.changed.subscribe();
        let watching = Watching::begin(self);
        let begin = (watching, group, changed, Vec::<(String, u64)>::new());
        Box::pin(stream::try_unfold(
            begin,
            |(watching, group, mut changed, mut seen)| async move {
                loop {
                    let jobs = watching.0.group(&group.jobs[0].owner, &group.id)?.jobs;
                    let is_new = |id: &str, seq| !seen.contains(&(id.to_owned(), seq));
                    if let Some(job) = jobs.iter().find(|job| is_new(&job.id, job.seq)) {
                        seen.push((job.id.clone(), job.seq));
                        let event = Some(event_of(job));
                        let response = WatchGroupResponse { event };
                        return Ok(Some((response, (watching, group, changed, seen))));
                    }
                    if jobs.iter().all(is_over) || changed.changed().await.is_err() {
                        return Ok(None);
                    }
                }
            },
        ))
    }
}
