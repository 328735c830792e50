//! The caller's own queue at an endpoint. What others have there is nobody's business.

use futures::{StreamExt, stream};
use kinora_proto::scheduler::v1::video::Status;
use kinora_proto::scheduler::v1::{Video, Worker};
use serde_json::{Value, json};

use super::calls::{Line, Listed};
use super::endpoint::Endpoint;
use crate::problem::Problem;

/// Statuses of jobs that are not over.
const ACTIVE: [Status; 3] = [Status::Queued, Status::InProgress, Status::AwaitingApproval];

/// Statuses of jobs that came to an end by themselves.
const ENDED: [Status; 3] = [Status::Completed, Status::Failed, Status::Expired];

/// Jobs that are cancelled at a time.
const CANCELS: usize = 8;

/// Counts the caller's jobs, and for operators the workers.
pub(super) async fn health(line: Line<'_>, endpoint: &Endpoint) -> Result<Value, Problem> {
    endpoint.require(&line.models().await?)?;
    let active = line.list(&ACTIVE).await?;
    let ended = line.list(&ENDED).await?;
    let mut answer = json!({ "jobs": jobs(endpoint, &active.videos, &ended.videos) });
    if line.caller.is_operator() {
        answer["workers"] = workers(endpoint, &line.workers().await?);
    }
    Ok(answer)
}

/// Cancels the caller's jobs that wait.
///
/// One that a worker takes in that moment is cancelled all the same. As many as can be are, within the time of a call.
pub(super) async fn purge(line: Line<'_>, endpoint: &Endpoint) -> Result<Value, Problem> {
    let until = tokio::time::Instant::now() + line.timeout;
    endpoint.require(&line.models().await?)?;
    let Listed { videos, is_whole } = line.list(&[Status::Queued]).await?;
    let videos = videos
        .into_iter()
        .filter(|video| endpoint.covers(&video.model));
    let ids: Vec<String> = videos.map(|video| video.id).collect();
    let wanted = ids.len();
    let cancels = stream::iter(ids.into_iter().map(move |id| line.cancel(id)));
    let mut answers = Box::pin(
        cancels
            .buffer_unordered(CANCELS)
            .take_until(tokio::time::sleep_until(until)),
    );
    let (mut removed, mut refused) = (0, None);
    while let Some(answer) = answers.next().await {
        match answer {
            Ok(video) => removed += usize::from(video.status() == Status::Cancelled),
            Err(problem) => refused = Some(problem),
        }
    }
    match refused {
        Some(problem) if removed == 0 => Err(problem),
        _ => {
            let is_done = is_whole && removed == wanted;
            let status = if is_done { "completed" } else { "incomplete" };
            Ok(json!({ "removed": removed, "status": status }))
        }
    }
}

fn jobs(endpoint: &Endpoint, active: &[Video], ended: &[Video]) -> Value {
    let all = active.iter().chain(ended);
    let mine: Vec<&Video> = all.filter(|video| endpoint.covers(&video.model)).collect();
    let count = |statuses: &[Status]| {
        let counted = mine
            .iter()
            .filter(|video| statuses.contains(&video.status()));
        counted.count()
    };
    json!({
        "completed": count(&[Status::Completed]),
        "failed": count(&[Status::Failed, Status::Expired]),
        "inProgress": count(&[Status::InProgress, Status::AwaitingApproval]),
        "inQueue": count(&[Status::Queued]),
        "retried": mine.iter().filter(|video| video.attempt > 1).count(),
    })
}

/// Of the workers that offer the endpoint's model.
fn workers(endpoint: &Endpoint, workers: &[Worker]) -> Value {
    let count = |is_so: &dyn Fn(&Worker) -> bool| {
        let offering = workers
            .iter()
            .filter(|worker| worker.models.iter().any(|model| endpoint.covers(model)));
        offering.filter(|worker| is_so(worker)).count()
    };
    let is_held = |worker: &Worker| worker.cordoned || worker.draining;
    let is_busy = |worker: &Worker| !worker.video_ids.is_empty();
    json!({
        "idle": count(&|worker: &Worker| worker.attached && !is_held(worker) && !is_busy(worker)),
        "ready": count(&|worker: &Worker| worker.attached && !is_held(worker)),
        "running": count(&|worker: &Worker| worker.attached && is_busy(worker)),
        "throttled": count(&|worker: &Worker| worker.attached && is_held(worker)),
        "unhealthy": count(&|worker: &Worker| !worker.attached),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn video(model: &str, status: Status, attempt: u32) -> Video {
        Video {
            model: model.to_owned(),
            status: status.into(),
            attempt,
            ..Video::default()
        }
    }

    #[test]
    fn jobs_of_other_endpoints_are_not_counted() {
        let active = [
            video("tiny", Status::Queued, 0),
            video("other", Status::Queued, 0),
            video("tiny", Status::InProgress, 2),
            video("tiny", Status::AwaitingApproval, 1),
        ];
        let ended = [
            video("tiny", Status::Completed, 1),
            video("tiny", Status::Failed, 3),
            video("tiny", Status::Expired, 0),
            video("other", Status::Completed, 2),
        ];
        let expected = json!({
            "completed": 1, "failed": 2, "inProgress": 2, "inQueue": 1, "retried": 2,
        });
        assert_eq!(jobs(&Endpoint::of("tiny"), &active, &ended), expected);
    }

    #[test]
    fn workers_are_counted_by_what_they_do() {
        let worker = |attached, cordoned, busy: &[&str]| Worker {
            models: vec!["tiny".to_owned()],
            attached,
            cordoned,
            video_ids: busy.iter().map(|id| (*id).to_owned()).collect(),
            ..Worker::default()
        };
        let elsewhere = Worker {
            models: vec!["other".to_owned()],
            attached: true,
            ..Worker::default()
        };
        let all = [
            worker(true, false, &[]),
            worker(true, false, &["v1"]),
            worker(true, true, &["v2"]),
            worker(false, false, &[]),
            elsewhere,
        ];
        let expected = json!({
            "idle": 1, "ready": 2, "running": 2, "throttled": 1, "unhealthy": 1,
        });
        assert_eq!(workers(&Endpoint::of("tiny"), &all), expected);
    }
}
