//! Proto to domain and back.

use chrono::DateTime;
use kinora_ids::JobId;
use kinora_mesh::error::{Kind, PublicError};
use kinora_proto::billing::v1 as pb;

use crate::clients::call::CallError;
use crate::domain::hold::{JobWork, OpenHold, Work};
use crate::domain::job::{Priority, Time};

pub(super) fn work_to_pb(work: &Work) -> pb::Work {
    let tier = match work.priority {
        Priority::Interactive => pb::Tier::Interactive,
        Priority::Standard => pb::Tier::Standard,
        Priority::Batch => pb::Tier::Batch,
    };
    pb::Work {
        model: work.model.clone(),
        width: work.width,
        height: work.height,
        frames: work.frames,
        fps: work.fps,
        steps: work.steps,
        audio: false,
        tier: tier.into(),
    }
}

pub(super) fn job_work_to_pb(job: &JobWork) -> pb::JobWork {
    pb::JobWork {
        job_id: job.job.to_string(),
        work: Some(work_to_pb(&job.work)),
        preview: job.preview.as_ref().map(work_to_pb),
    }
}

/// A hold as it is told. None for one whose id is none of ours.
pub(super) fn hold_from_pb(hold: pb::Hold) -> Option<OpenHold> {
    let job = hold.job_id.parse::<JobId>();
    let job = job.inspect_err(|error| tracing::error!(%error, "a hold is passed over"));
    // More than any database keeps is no price.
    let credits = hold.credits.min(i64::MAX.unsigned_abs());
    Some(OpenHold {
        job: job.ok()?,
        credits,
        preview_credits: hold.preview_credits.min(credits),
        expire_time: hold.expire_time.and_then(time_from_pb),
    })
}

/// The holds of these jobs, in their order, all open.
pub(super) fn holds_for(
    jobs: &[JobWork],
    holds: Vec<pb::Hold>,
) -> Result<Vec<OpenHold>, CallError> {
    let all_open = holds.iter().all(|hold| hold.state() == pb::HoldState::Open);
    let holds: Vec<OpenHold> = holds.into_iter().filter_map(hold_from_pb).collect();
    let ids = holds.iter().map(|hold| hold.job);
    if all_open && ids.eq(jobs.iter().map(|job| job.job)) {
        return Ok(holds);
    }
    let text = "billing answered with other holds than were asked for";
    let error = PublicError::new(Kind::Internal, "HOLDS_INVALID", text);
    Err(CallError::Away(error))
}

pub(super) fn time_to_pb(time: Time) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: time.timestamp(),
        nanos: i32::try_from(time.timestamp_subsec_nanos()).unwrap_or(0),
    }
}

fn time_from_pb(time: prost_types::Timestamp) -> Option<Time> {
    let nanos = u32::try_from(time.nanos).ok()?;
    DateTime::from_timestamp(time.seconds, nanos)
}
