use std::convert::Infallible;

use super::*;
use crate::domain::job::{Checkpoint, Progress, SEQ_STRIDE, Stage, State};

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

    async fn foreign_job_reads_as_none(url: DatabaseUrl) {
        let store = open(&url).await;
        let job = submit(&store, "anna").await;
        assert_eq!(store.get("ben", job.id).await.expect("reads"), None);
        assert!(list(&store, "ben", &[], None, 10).await.is_empty());
        let removed = store.delete("ben", job.id, &[], now()).await.expect("answers");
        assert_eq!(removed, None);
        let changed = store.change(job.id, Some("ben"), |_| Ok::<_, Infallible>(Change::default()));
        assert!(changed.await.expect("answers").is_none());
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
        assert_eq!((changed.seq, &changed.progress), (job.seq + SEQ_STRIDE, &progress));
        assert_eq!(store.get("anna", job.id).await.expect("reads"), Some(changed));
        assert_eq!(store.events_after(job.id, job.seq).await.expect("reads"), []);
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
        submit_with(&store, &job, &request("id:r1", "f1")).await;
        let removals = [now(), later(600)].map(|not_before| Removal { prefix: "jobs/1/".to_owned(), not_before });
        let deleted = store.delete("anna", job.id, &removals, now()).await.expect("deletes");
        let Deleted { job: was, event, others } = deleted.expect("the job");
        assert_eq!((was, others), (job.clone(), Vec::new()));
        assert_eq!(event.map(|event| (event.state, event.seq)), Some((State::Cancelled, job.seq + SEQ_STRIDE)));
        assert_eq!(store.get("anna", job.id).await.expect("reads"), None);
        assert_eq!(store.events_after(job.id, 0).await.expect("reads"), []);
        assert_eq!(store.previous("anna", "id:r1", now()).await.expect("reads"), None);
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
            let jobs = list(&store, "anna", &[], before, 2).await;
            jobs.into_iter().map(|job| job.id).collect::<Vec<_>>()
        };
        assert_eq!(page(None).await, ids[..2]);
        assert_eq!(page(Some(ids[1])).await, ids[2..]);
    }

    async fn ended_jobs_leave_the_hot_table(url: DatabaseUrl) {
        let store = open(&url).await;
        let [done, cancelled, waiting] = [submit(&store, "anna").await, submit(&store, "anna").await, submit(&store, "anna").await];
        let (session, _) = attach(&store, "w", 1, &[]).await;
        let leased = claim_these(&store, "w", session, &[done.id]).await.remove(0);
        assert!(finish(&store, "w", &leased).await);
        cancel(&store, &cancelled).await;
        assert_eq!(count(&store, "job").await, 1);
        assert_eq!(count(&store, "finished_job").await, 2);
        assert_eq!(read(&store, &done).await.state, State::Completed);
        assert_eq!(read(&store, &cancelled).await.state, State::Cancelled);
        let listed = async |states: &[State], before| {
            let jobs = list(&store, "anna", states, before, 2).await;
            jobs.into_iter().map(|job| job.id).collect::<Vec<_>>()
        };
        assert_eq!(listed(&[], None).await, [waiting.id, cancelled.id]);
        assert_eq!(listed(&[], Some(cancelled.id)).await, [done.id]);
        assert_eq!(listed(&[State::Completed, State::Queued], None).await, [waiting.id, done.id]);
        assert_eq!(listed(&[State::Running], None).await, []);
        // The same report again finds the job where it is now.
        assert!(finish(&store, "w", &leased).await, "its receipt may have been lost");
        assert_eq!(cancel(&store, &done).await.event, None);
    }

    async fn attempts_are_kept(url: DatabaseUrl) {
        let store = open(&url).await;
        submit(&store, "anna").await;
        let (session, _) = attach(&store, "w", 1, &[]).await;
        let first = claim(&store, "w", session, 1).await.remove(0);
        assert_eq!(store.attempts(first.id).await.expect("reads"), [], "it is not over");
        fail(&store, &first, later(3)).await;
        store.promote(later(10)).await.expect("promotes");
        let assignment = assigned(&store, ("w", session), first.id).await;
        let second = store.claim(&[assignment], later(10), Duration::from_secs(60)).await;
        let (second, _) = second.expect("claims").remove(0);
        end(&store, "w", &second, Some(Duration::from_millis(1500))).await.expect("stands");
        let attempts = store.attempts(first.id).await.expect("reads");
        let outcomes: Vec<_> = attempts.iter().map(|it| (it.attempt, it.lease, it.outcome.as_str())).collect();
        assert_eq!(outcomes, [(1, 1, "OUT_OF_MEMORY"), (2, 2, "COMPLETED")]);
        assert_eq!((attempts[0].start_time, attempts[0].end_time, attempts[0].message.as_str()), (now(), later(3), "too big"));
        assert_eq!((attempts[1].last_step, attempts[1].device_time), (20, Duration::from_millis(1500)));
    }
}
