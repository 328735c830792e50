use std::collections::HashSet;
use std::convert::Infallible;
use std::time::Duration;

use chrono::TimeDelta;
use kinora_ids::{JobId, LeaseRef};
use kinora_store::DatabaseUrl;
use uuid::Uuid;

use super::*;
use crate::domain::job::{
    Checkpoint, Failure, Job, Outputs, Progress, Stage, State, StoredImage, Time, VideoSpec,
};
use crate::domain::model::{ImageInput, Model, ModelDefaults, ModelLimits};
use crate::domain::retry::RetryPolicy;
use crate::domain::transition::{self, Reporter};

const POLICY: RetryPolicy = RetryPolicy {
    max_attempts: 3,
    base_delay: Duration::from_secs(2),
};

async fn open(url: &DatabaseUrl) -> JobStore {
    let db = Database::connect(url).await.expect("opens");
    let lock = db.lock_for_migration().await.expect("locks");
    kinora_migrations::scheduler::migrate(db.writer())
        .await
        .expect("migrates");
    lock.release().await.expect("releases");
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
    let reconciled = store
        .attach(&attachment, now(), lose)
        .await
        .expect("attaches");
    (attachment.session, reconciled)
}

async fn submit(store: &JobStore, owner: &str) -> Job {
    let job = new_job(owner, "tiny");
    let submitted = store.submit(&job, None, None).await.expect("submits");
    assert_eq!(submitted, Submitted::Accepted);
    job
}

fn claim_of(worker: &str, session: Uuid, limit: u64) -> Claim<'_> {
    Claim {
        worker,
        session,
        limit,
        now: now(),
        time_limit: Duration::from_secs(60),
    }
}

async fn claim(store: &JobStore, worker: &str, session: Uuid, limit: u64) -> Vec<Job> {
    let claimed = store
        .claim(claim_of(worker, session, limit))
        .await
        .expect("claims");
    claimed.into_iter().map(|(job, _)| job).collect()
}

async fn finish(store: &JobStore, worker: &str, job: &Job) -> bool {
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
    let changed = store.change(job.id, None, |job| {
        let event = transition::complete(job, Reporter { worker, lease }, outputs, None, now())?;
        Ok::<_, transition::StaleLease>(Change {
            event,
            removals: Vec::new(),
        })
    });
    changed.await.expect("changes").expect("the job").is_ok()
}

kinora_store::on_both_databases! {
    async fn job_survives_its_row(url: DatabaseUrl) {
        let store = open(&url).await;
        let mut job = submit(&store, "anna").await;
        assert_eq!(store.get("anna", job.id).await.expect("reads"), Some(job.clone()));
        let (session, _) = attach(&store, "w", 1, &[]).await;
        job = claim(&store, "w", session, 1).await.remove(0);
        assert_eq!(store.get("anna", job.id).await.expect("reads"), Some(job.clone()));
        assert!(finish(&store, "w", &job).await);
        let read = store.get("anna", job.id).await.expect("reads").expect("the job");
        let outputs = read.outputs.expect("outputs");
        assert_eq!(outputs.duration, Duration::from_micros(1_625_001));
        assert_eq!(outputs.video_bytes, u64::MAX >> 1);
        let events = store.events_after(job.id, 0).await.expect("reads");
        let states: Vec<State> = events.iter().map(|event| event.state).collect();
        assert_eq!(states, [State::Queued, State::Running, State::Completed]);
        assert_eq!(store.events_after(job.id, u64::MAX).await.expect("reads"), []);
    }

    async fn pictures_of_a_job_that_is_not_stored_are_removed(url: DatabaseUrl) {
        let store = open(&url).await;
        let mut job = new_job("anna", "tiny");
        job.spec.image = Some(StoredImage { key: "jobs/x/inputs/first.png".to_owned(), sha256: "0a".repeat(32) });
        let planned = Removal { prefix: "jobs/x/inputs/".to_owned(), not_before: now() };
        let kept = store.plan_removal(&planned).await.expect("plans");
        let submitted = store.submit(&job, Some(("r1", "f1")), Some(kept)).await;
        assert_eq!(submitted.expect("submits"), Submitted::Accepted);
        assert_eq!(store.get("anna", job.id).await.expect("reads").expect("the job").spec, job.spec);
        let hidden_for = Duration::from_secs(120);
        assert_eq!(store.due_removals(now(), hidden_for, 9).await.expect("reads"), [], "called off");
        // The same request again: its pictures are nobody's.
        let again = new_job("anna", "tiny");
        let orphaned = store.plan_removal(&planned).await.expect("plans");
        let submitted = store.submit(&again, Some(("r1", "f1")), Some(orphaned)).await.expect("answers");
        assert!(matches!(submitted, Submitted::Known(_)));
        let due = store.due_removals(now(), hidden_for, 9).await.expect("reads");
        assert_eq!(due.iter().map(|due| due.id).collect::<Vec<_>>(), [orphaned]);
        store.removal_done(orphaned).await.expect("forgets");
        let late = store.submit(&new_job("anna", "tiny"), None, Some(orphaned)).await;
        assert!(matches!(late, Err(JobStoreError::LostUpdate)), "the pictures are gone");
    }

    async fn foreign_job_reads_as_none(url: DatabaseUrl) {
        let store = open(&url).await;
        let job = submit(&store, "anna").await;
        assert_eq!(store.get("ben", job.id).await.expect("reads"), None);
        assert!(store.list("ben", None, 10).await.expect("lists").is_empty());
        let removed = store.delete("ben", job.id, &[]).await.expect("answers");
        assert_eq!(removed, None);
        let changed = store.change(job.id, Some("ben"), |_| Ok::<_, Infallible>(Change::default()));
        assert!(changed.await.expect("answers").is_none());
    }

    async fn equal_requests_at_once_make_one_job(url: DatabaseUrl) {
        let store = open(&url).await;
        let mut callers = Vec::new();
        for _ in 0..20 {
            let store = store.clone();
            callers.push(tokio::spawn(async move {
                let job = new_job("anna", "tiny");
                match store.submit(&job, Some(("r1", "f1")), None).await.expect("submits") {
                    Submitted::Accepted => job.id,
                    Submitted::Known(previous) => previous.job,
                }
            }));
        }
        let mut ids = HashSet::new();
        for caller in callers {
            ids.insert(caller.await.expect("a caller"));
        }
        assert_eq!(ids.len(), 1);
        assert_eq!(store.list("anna", None, 100).await.expect("lists").len(), 1);
        let ben = store.submit(&new_job("ben", "tiny"), Some(("r1", "f2")), None).await;
        assert_eq!(ben.expect("submits"), Submitted::Accepted, "another owner's id is free");
    }

    async fn claims_are_in_order_and_of_offered_models(url: DatabaseUrl) {
        let store = open(&url).await;
        let other = new_job("anna", "huge");
        store.submit(&other, None, None).await.expect("submits");
        let first = submit(&store, "anna").await;
        let second = submit(&store, "ben").await;
        assert_eq!(store.jobs_ahead(&second).await.expect("counts"), 1);
        let (session, _) = attach(&store, "w", 3, &[]).await;
        let claimed = claim(&store, "w", session, 1).await;
        assert_eq!(claimed[0].id, first.id);
        let claimed = claim(&store, "w", session, 3).await;
        assert_eq!(claimed.iter().map(|job| job.id).collect::<Vec<_>>(), [second.id]);
        assert!(claim(&store, "w", session, 3).await.is_empty());
    }

    async fn worker_never_holds_more_than_its_slots(url: DatabaseUrl) {
        let store = open(&url).await;
        for _ in 0..3 {
            submit(&store, "anna").await;
        }
        let (older, _) = attach(&store, "w", 2, &[]).await;
        assert_eq!(claim(&store, "w", older, 9).await.len(), 2);
        assert!(claim(&store, "w", older, 9).await.is_empty());
        let (newer, _) = attach(&store, "w", 2, &[]).await;
        assert!(claim(&store, "w", older, 9).await.is_empty(), "an older stream gets nothing");
        assert!(!store.heartbeat("w", older, false, now()).await.expect("answers"));
        assert!(store.heartbeat("w", newer, true, now()).await.expect("answers"));
        assert!(claim(&store, "w", newer, 9).await.is_empty(), "a draining worker gets nothing");
    }

    async fn no_job_is_claimed_twice(url: DatabaseUrl) {
        let store = open(&url).await;
        // Each claimer has connections of its own, as replicas do; on SQLite they share the process.
        let replica = open(&url).await;
        for _ in 0..40 {
            submit(&store, "anna").await;
        }
        let mut claimers = Vec::new();
        for number in 0..8 {
            let store = if number % 2 == 0 { store.clone() } else { replica.clone() };
            claimers.push(tokio::spawn(async move {
                let worker = format!("w{number}");
                let (session, _) = attach(&store, &worker, 100, &[]).await;
                let mut leases = Vec::new();
                loop {
                    let jobs = claim(&store, &worker, session, 3).await;
                    if jobs.is_empty() {
                        return leases;
                    }
                    leases.extend(jobs.iter().map(Job::newest_lease));
                }
            }));
        }
        let mut all = Vec::new();
        for claimer in claimers {
            all.extend(claimer.await.expect("a claimer"));
        }
        let distinct: HashSet<_> = all.iter().map(|lease| lease.job).collect();
        assert_eq!((all.len(), distinct.len()), (40, 40));
        assert!(all.iter().all(|lease| lease.lease == 1));
    }

    async fn attaching_settles_leases(url: DatabaseUrl) {
        let store = open(&url).await;
        for _ in 0..4 {
            submit(&store, "anna").await;
        }
        let (session, _) = attach(&store, "w", 4, &[]).await;
        let jobs = claim(&store, "w", session, 4).await;
        assert!(finish(&store, "w", &jobs[0]).await);
        let stranger = LeaseRef { job: JobId::generate(), lease: 1 };
        let old = LeaseRef { lease: 0, ..jobs[2].newest_lease() };
        // Completed: its receipt may be lost. Running: goes on. Old and unknown: stale. The fourth: forgotten.
        let held = [jobs[0].newest_lease(), jobs[1].newest_lease(), old, stranger];
        let (_, reconciled) = attach(&store, "w", 4, &held).await;
        assert_eq!(reconciled.standing, held[..2]);
        assert_eq!(reconciled.stale, held[2..]);
        let requeued: HashSet<JobId> = reconciled.events.iter().map(|event| event.job).collect();
        assert_eq!(requeued, HashSet::from([jobs[2].id, jobs[3].id]));
        let again = store.get("anna", jobs[3].id).await.expect("reads").expect("the job");
        assert_eq!((again.state, again.lease, again.failed_attempts), (State::Queued, 1, 1));
        let (_, other) = attach(&store, "w2", 4, &[jobs[1].newest_lease()]).await;
        assert_eq!(other.stale, [jobs[1].newest_lease()], "another worker's lease");
    }

    async fn silent_workers_and_overdue_attempts_lapse(url: DatabaseUrl) {
        let store = open(&url).await;
        let first = submit(&store, "anna").await;
        let (session, _) = attach(&store, "w", 1, &[]).await;
        claim(&store, "w", session, 1).await;
        let lapsed = async |silent_since, now| {
            let jobs = store.lapsed(silent_since, now).await.expect("reads");
            jobs.into_iter().map(|job| job.id).collect::<Vec<_>>()
        };
        assert_eq!(lapsed(now(), now()).await, []);
        assert_eq!(lapsed(later(1), now()).await, [first.id]);
        store.heartbeat("w", session, false, later(2)).await.expect("renews");
        assert_eq!(lapsed(later(1), now()).await, []);
        assert_eq!(lapsed(later(1), later(61)).await, [first.id]);
    }

    async fn requeued_job_waits_for_its_delay(url: DatabaseUrl) {
        let store = open(&url).await;
        let job = submit(&store, "anna").await;
        let models = ["tiny".to_owned()];
        assert!(store.has_work(&models, now()).await.expect("reads"));
        let changed = store.change(job.id, None, |job| {
            job.run_at = later(1);
            job.seq += 1;
            Ok::<_, Infallible>(Change { event: Some(job.event(now())), removals: Vec::new() })
        });
        changed.await.expect("changes");
        assert!(!store.has_work(&models, now()).await.expect("reads"));
        assert!(store.has_work(&models, later(1)).await.expect("reads"));
        assert!(!store.has_work(&["huge".to_owned()], later(1)).await.expect("reads"));
    }

    async fn progress_is_kept_in_the_row_alone(url: DatabaseUrl) {
        let store = open(&url).await;
        submit(&store, "anna").await;
        let (session, _) = attach(&store, "w", 1, &[]).await;
        let job = claim(&store, "w", session, 1).await.remove(0);
        let lease = job.newest_lease();
        let progress = Progress { fraction: 0.5, ..Progress::at(Stage::Denoising, 20) };
        let reporter = Reporter { worker: "w", lease };
        let changed = store.change(job.id, None, |job| {
            let event = transition::advance(job, reporter, progress.clone(), now())?;
            Ok::<_, transition::StaleLease>(Change { event, removals: Vec::new() })
        });
        let (changed, _) = changed.await.expect("changes").expect("the job").expect("stands");
        assert_eq!((changed.seq, &changed.progress), (3, &progress));
        assert_eq!(store.get("anna", job.id).await.expect("reads"), Some(changed));
        assert_eq!(store.events_after(job.id, 2).await.expect("reads"), []);
    }

    async fn checkpoint_is_kept_and_nobody_is_told(url: DatabaseUrl) {
        let store = open(&url).await;
        submit(&store, "anna").await;
        let (session, _) = attach(&store, "w", 1, &[]).await;
        let job = claim(&store, "w", session, 1).await.remove(0);
        let lease = job.newest_lease();
        let checkpoint = Checkpoint {
            key: lease.checkpoint_key(7),
            step: 7,
            sha256: "0a".repeat(32),
            bytes: 1 << 30,
            lease: 1,
            granted_step: 0,
        };
        let report = async |lease| {
            let reporter = Reporter { worker: "w", lease };
            let changed = store.change(job.id, None, |job| {
                transition::checkpoint(job, reporter, checkpoint.clone())?;
                Ok::<_, transition::StaleLease>(Change::default())
            });
            changed.await.expect("answers").expect("the job").is_ok()
        };
        assert!(!report(LeaseRef { lease: 2, ..lease }).await, "another lease's");
        assert_eq!(store.get("anna", job.id).await.expect("reads"), Some(job.clone()));
        assert!(report(lease).await);
        let read = store.get("anna", job.id).await.expect("reads").expect("the job");
        assert_eq!((read.seq, read.checkpoint), (job.seq, Some(checkpoint.clone())));
        // The next attempt is granted with it.
        let (session, lost) = attach(&store, "w", 1, &[]).await;
        assert_eq!(lost.events.len(), 1);
        let again = claim(&store, "w", session, 1).await.remove(0);
        assert_eq!((again.lease, again.checkpoint.clone()), (2, Some(checkpoint.clone())));
        assert!(!report(lease).await, "the older lease's");
        assert!(finish(&store, "w", &again).await);
        let ended = store.get("anna", job.id).await.expect("reads").expect("the job");
        assert_eq!(ended.checkpoint, None);
    }

    async fn refused_rule_changes_nothing(url: DatabaseUrl) {
        let store = open(&url).await;
        let job = submit(&store, "anna").await;
        let changed = store.change(job.id, None, |job| {
            job.state = State::Failed;
            Err::<Change, _>("no")
        });
        let refused = changed.await.expect("answers").expect("the job").err();
        assert_eq!(refused, Some("no"));
        assert_eq!(store.get("anna", job.id).await.expect("reads"), Some(job));
    }

    async fn deleted_job_takes_its_history_along(url: DatabaseUrl) {
        let store = open(&url).await;
        let job = new_job("anna", "tiny");
        store.submit(&job, Some(("r1", "f1")), None).await.expect("submits");
        let removals = [now(), later(600)].map(|not_before| Removal { prefix: "jobs/1/".to_owned(), not_before });
        let deleted = store.delete("anna", job.id, &removals).await.expect("deletes");
        assert_eq!(deleted, Some(job.clone()));
        assert_eq!(store.get("anna", job.id).await.expect("reads"), None);
        assert_eq!(store.events_after(job.id, 0).await.expect("reads"), []);
        assert_eq!(store.previous("anna", "r1").await.expect("reads"), None);
        let hidden_for = Duration::from_secs(120);
        let due = store.due_removals(now(), hidden_for, 10).await.expect("reads");
        assert_eq!(due.len(), 1);
        assert_eq!(store.due_removals(now(), hidden_for, 10).await.expect("reads"), []);
        let again = store.due_removals(later(120), hidden_for, 10).await.expect("reads");
        assert_eq!((again[0].id, again[0].attempts), (due[0].id, 1));
        store.postpone_removal(due[0].id, later(500)).await.expect("postpones");
        assert_eq!(store.due_removals(later(499), hidden_for, 10).await.expect("reads"), []);
        store.removal_done(due[0].id).await.expect("forgets");
        let late = store.due_removals(later(600), hidden_for, 10).await.expect("reads");
        assert_eq!(late.len(), 1, "the second removal is still to come");
    }

    async fn lists_are_newest_first_and_resume(url: DatabaseUrl) {
        let store = open(&url).await;
        let mut ids = Vec::new();
        for _ in 0..3 {
            ids.insert(0, submit(&store, "anna").await.id);
        }
        let page = async |before| {
            let jobs = store.list("anna", before, 2).await.expect("lists");
            jobs.into_iter().map(|job| job.id).collect::<Vec<_>>()
        };
        assert_eq!(page(None).await, ids[..2]);
        assert_eq!(page(Some(ids[1])).await, ids[2..]);
    }

    async fn newest_announcement_of_a_model_wins(url: DatabaseUrl) {
        let store = open(&url).await;
        assert_eq!(store.models().await.expect("reads"), []);
        attach(&store, "w1", 1, &[]).await;
        let mut changed = attachment("w2", 1, &[]);
        changed.models[0].title = "Tiny 2".to_owned();
        store.attach(&changed, now(), lose).await.expect("attaches");
        assert_eq!(store.models().await.expect("reads"), changed.models);
    }
}
