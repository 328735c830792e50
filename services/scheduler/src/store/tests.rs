use std::convert::Infallible;
use std::time::Duration;

use chrono::TimeDelta;
use kinora_ids::{JobId, LeaseRef};
use kinora_store::DatabaseUrl;
use sea_orm::{ConnectionTrait, EntityTrait};
use uuid::Uuid;

use super::*;
use crate::domain::job::{Failure, Job, Outputs, State, Time, VideoSpec};
use crate::domain::listing::{Filter, Order};
use crate::domain::model::{ImageInput, Model, ModelDefaults, ModelLimits};
use crate::domain::prompting::{Character, Enhancer, PromptFamily, Prompting};
use crate::domain::retry::RetryPolicy;
use crate::domain::transition::{self, Reporter};
use crate::policy::{Assignment, Snapshot};

mod carried;
mod claims;
mod fairness;
mod holds;
mod jobs;
mod limits;
mod load;
mod locks;
mod needs;
mod requests;
mod unreadable;
mod upkeep;
mod workers;

const POLICY: RetryPolicy = RetryPolicy {
    max_attempts: 3,
    base_delay: Duration::from_secs(2),
};

async fn open(url: &DatabaseUrl) -> JobStore {
    let db = Database::connect(url).await.expect("opens");
    let up = kinora_migrations::scheduler::migrate;
    db.migrate(up).await.expect("migrates");
    JobStore::new(db)
}

fn now() -> Time {
    Time::from_timestamp_micros(1_800_000_000_123_456).expect("a time")
}

fn later(seconds: i64) -> Time {
    now() + TimeDelta::seconds(seconds)
}

fn new_job(owner: &str, model: &str) -> Job {
    let spec = VideoSpec {
        model: model.to_owned(),
        prompt: "a \"ball\" – ünï\u{1F600}".to_owned(),
        negative_prompt: String::new(),
        width: 64,
        height: 48,
        frames: 13,
        steps: 20,
        guidance: 3.25,
        seed: (1 << 53) - 1,
        fps: 8,
        image: None,
        last_image: None,
    };
    let mut job = Job::queued(JobId::generate(), owner.to_owned(), spec, now());
    job.notes = vec!["words outside this model's world: ball".to_owned()];
    job.prompting = Some(Box::new(Prompting {
        original_prompt: "Ball, \u{1f3c0} \"quoted\"".to_owned(),
        original_negative_prompt: "rain".to_owned(),
        asked: Enhancer::Auto,
        style: "noir".to_owned(),
        characters: vec![Character {
            name: "Ada".to_owned(),
            sheet: "tall, in grey".to_owned(),
        }],
        enhancer: Enhancer::Rules,
        language: Some("en".to_owned()),
        fallback_reason: Some("LLM_TIMEOUT".to_owned()),
    }));
    job.traceparent = Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned());
    job
}

fn model(id: &str) -> Model {
    Model {
        id: id.to_owned(),
        family: "wan-t2v".to_owned(),
        title: "Tiny".to_owned(),
        licence: "Apache-2.0".to_owned(),
        defaults: ModelDefaults {
            width: 64,
            height: 48,
            frames: 13,
            fps: 8,
            steps: 20,
            guidance: 3.0,
            negative_prompt: String::new(),
        },
        limits: ModelLimits {
            min_width: 16,
            max_width: 128,
            min_height: 16,
            max_height: 128,
            size_multiple: 16,
            max_frames: 33,
            frame_stride: 4,
            max_steps: 50,
            max_guidance: 10.0,
            max_prompt_chars: 500,
        },
        vocabulary: vec!["red".to_owned()],
        image_input: ImageInput::Optional,
        last_image_input: ImageInput::None,
        memory: None,
        prompt_family: PromptFamily::Unspecified,
    }
}

fn attachment(worker: &str, slots: u32, held: &[LeaseRef]) -> Attachment {
    Attachment {
        worker: worker.to_owned(),
        session: Uuid::now_v7(),
        version: "0.1.0".to_owned(),
        device: "cpu".to_owned(),
        slots,
        models: vec![model("tiny")],
        held: held.to_vec(),
        ..Attachment::default()
    }
}

fn lose(job: &mut Job) -> (Option<crate::domain::job::Event>, Vec<Removal>) {
    let failure = Failure {
        reason: "WORKER_RESTARTED".to_owned(),
        message: "gone".to_owned(),
        retryable: true,
    };
    (transition::lose(job, failure, now(), &POLICY), Vec::new())
}

async fn attach(
    store: &JobStore,
    worker: &str,
    slots: u32,
    held: &[LeaseRef],
) -> (Uuid, Reconciled) {
    let attachment = attachment(worker, slots, held);
    let reconciled = attach_as(store, &attachment).await;
    (attachment.session, reconciled)
}

async fn attach_as(store: &JobStore, attachment: &Attachment) -> Reconciled {
    let attached = store.attach(attachment, now(), later(-5), lose).await;
    attached.expect("attaches").expect("has its name")
}

async fn submit(store: &JobStore, owner: &str) -> Job {
    submit_as(store, new_job(owner, "tiny")).await
}

async fn submit_as(store: &JobStore, job: Job) -> Job {
    accepted(submit_all(store, &[job]).await).remove(0)
}

async fn submit_all(store: &JobStore, jobs: &[Job]) -> Submitted {
    let limits = Limits::default();
    let submitted = store.submit(jobs, None, None, &limits, &[]);
    submitted.await.expect("submits")
}

fn accepted(submitted: Submitted) -> Vec<Job> {
    match submitted {
        Submitted::Accepted(jobs) => jobs,
        other => panic!("accepted, not {other:?}"),
    }
}

fn request(key: &str, fingerprint: &str) -> Request {
    Request {
        key: key.to_owned(),
        fingerprint: fingerprint.to_owned(),
        expires_at: None,
    }
}

async fn submit_with(store: &JobStore, job: &Job, request: &Request) -> Submitted {
    let jobs = std::slice::from_ref(job);
    let limits = Limits::default();
    let submitted = store.submit(jobs, None, Some(request), &limits, &[]);
    submitted.await.expect("submits")
}

/// The jobs that a plain policy picks: class by class, lane by lane in their turn, one job a lane at a time.
fn picks(snapshot: &Snapshot) -> Vec<JobId> {
    let mut lanes: Vec<_> = snapshot.lanes.iter().collect();
    // A snapshot has no order of its own: among equals the owner's name decides, as in the real policy.
    lanes.sort_by_key(|lane| (lane.priority, lane.start_tag, &lane.owner));
    lanes.iter().map(|lane| lane.jobs[0].job).collect()
}

async fn look(store: &JobStore) -> Snapshot {
    let models = ["tiny".to_owned(), String::new()];
    store
        .snapshot(&models, Bounds::default())
        .await
        .expect("looks")
}

/// Leases up to `limit` jobs, one after the other, each to whose turn it is.
async fn claim(store: &JobStore, worker: &str, session: Uuid, limit: usize) -> Vec<Job> {
    let mut claimed = Vec::new();
    while claimed.len() < limit {
        let Some(job) = picks(&look(store).await).first().copied() else {
            break;
        };
        let leased = claim_these(store, worker, session, &[job]).await;
        if leased.is_empty() {
            break;
        }
        claimed.extend(leased);
    }
    claimed
}

/// The assignment of a job, whether it can be read or not.
async fn assigned(store: &JobStore, (worker, session): (&str, Uuid), job: JobId) -> Assignment {
    let row = entity::job::Entity::find_by_id(job.as_uuid());
    let row = row.one(store.db.reader()).await.expect("reads");
    let (owner, tenant) = row.map_or_else(Default::default, |row| (row.owner, row.tenant));
    Assignment {
        job,
        owner,
        tenant,
        worker: worker.to_owned(),
        session,
    }
}

async fn claim_these(store: &JobStore, worker: &str, session: Uuid, jobs: &[JobId]) -> Vec<Job> {
    let mut assignments = Vec::new();
    for job in jobs {
        assignments.push(assigned(store, (worker, session), *job).await);
    }
    let claimed = store
        .claim(&assignments, now(), Duration::from_secs(60))
        .await;
    claimed
        .expect("claims")
        .into_iter()
        .map(|(job, _)| job)
        .collect()
}

async fn read(store: &JobStore, job: &Job) -> Job {
    store.find(job.id).await.expect("reads").expect("the job")
}

/// The newest jobs of an owner in some states, or after one.
async fn list(
    store: &JobStore,
    owner: &str,
    states: &[State],
    after: Option<JobId>,
    limit: u64,
) -> Vec<Job> {
    let filter = Filter {
        states: states.to_vec(),
        ..Filter::default()
    };
    let stretch = Stretch {
        filter: &filter,
        order: Order::NewestFirst,
        after,
        limit,
    };
    store.list(owner, stretch).await.expect("lists")
}

async fn cancel(store: &JobStore, job: &Job) -> Outcome {
    let changed = store.change(job.id, None, |job| {
        Ok::<_, Infallible>(Change {
            event: transition::cancel(job, now()),
            removals: Vec::new(),
        })
    });
    let Ok((_, outcome)) = changed.await.expect("changes").expect("the job");
    outcome
}

/// Ends an attempt as its worker does when it fails for a passing reason.
async fn fail(store: &JobStore, job: &Job, at: Time) -> Job {
    let worker = job.worker.clone().expect("a worker");
    let lease = job.newest_lease();
    let failure = Failure {
        reason: "OUT_OF_MEMORY".to_owned(),
        message: "too big".to_owned(),
        retryable: true,
    };
    let changed = store.change(job.id, None, |job| {
        let from = Reporter {
            worker: &worker,
            lease,
        };
        let event = transition::fail(job, from, failure, None, at, (&POLICY, 1.0))?;
        Ok::<_, transition::StaleLease>(Change {
            event: Some(event),
            removals: Vec::new(),
        })
    });
    changed
        .await
        .expect("changes")
        .expect("the job")
        .expect("stands")
        .0
}

async fn finish(store: &JobStore, worker: &str, job: &Job) -> bool {
    end(store, worker, job, None).await.is_some()
}

/// Completes an attempt, a hundred seconds later when its device time is told. None when its lease does not stand.
async fn end(
    store: &JobStore,
    worker: &str,
    job: &Job,
    device_time: Option<Duration>,
) -> Option<Outcome> {
    let outputs = Outputs {
        video_key: "jobs/x".to_owned(),
        thumbnail_key: String::new(),
        manifest_key: String::new(),
        video_bytes: u64::MAX >> 1,
        width: 64,
        height: 48,
        frames: 13,
        fps: 8,
        duration: Duration::from_micros(1_625_001),
        video_sha256: "00".to_owned(),
        still_key: "still".to_owned(),
        ..Outputs::default()
    };
    let lease = job.newest_lease();
    let at = device_time.map_or_else(now, |_| later(100));
    let changed = store.change(job.id, None, |job| {
        let event =
            transition::complete(job, Reporter { worker, lease }, outputs, device_time, at)?;
        Ok::<_, transition::StaleLease>(Change {
            event,
            removals: Vec::new(),
        })
    });
    let changed = changed.await.expect("changes").expect("the job").ok();
    changed.map(|(_, outcome)| outcome)
}

async fn count(store: &JobStore, table: &str) -> i64 {
    let query = sql::Sql::new(
        store.backend(),
        &format!("SELECT COUNT(*) AS n FROM {table}"),
    );
    let row = store
        .db
        .reader()
        .query_one_raw(query.build())
        .await
        .expect("reads");
    row.expect("a row").try_get("", "n").expect("a number")
}
