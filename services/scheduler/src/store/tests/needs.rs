use std::collections::HashSet;

use super::*;
use crate::domain::job::{Kind, Need, NeedRole, State};

fn waiting_for(needed: &[&Job]) -> Job {
    let mut job = new_job("anna", "tiny");
    job.kind = Kind::Stitch;
    job.needs = needed
        .iter()
        .map(|needed| Need {
            job: needed.id,
            role: NeedRole::Part,
            is_met: false,
            part: None,
        })
        .collect();
    job
}

async fn complete(store: &JobStore, job: &Job) -> Outcome {
    let (session, _) = attach(store, "w", 1, &[]).await;
    let leased = claim_these(store, "w", session, &[job.id]).await.remove(0);
    end(store, "w", &leased, None).await.expect("stands")
}

kinora_store::on_both_databases! {
    async fn job_waits_for_all_that_it_needs(url: DatabaseUrl) {
        let store = open(&url).await;
        let [first, second] = [new_job("anna", "tiny"), new_job("anna", "tiny")];
        let stitch = waiting_for(&[&first, &second]);
        accepted(submit_all(&store, &[first.clone(), second.clone(), stitch.clone()]).await);
        let offered = async || {
            let lanes = look(&store).await.lanes;
            lanes.iter().any(|lane| lane.jobs.iter().any(|job| job.job == stitch.id))
        };
        assert!(complete(&store, &first).await.others.is_empty(), "one is still missing");
        assert!(read(&store, &stitch).await.needs[0].is_met);
        store.promote(later(1)).await.expect("promotes");
        assert!(!offered().await);
        let outcome = complete(&store, &second).await;
        assert_eq!(outcome.others.iter().map(|event| (event.job, event.state)).collect::<Vec<_>>(), [(stitch.id, State::Queued)]);
        store.promote(now()).await.expect("promotes");
        assert!(offered().await);
        let (session, _) = attach(&store, "w", 1, &[]).await;
        let leased = claim_these(&store, "w", session, &[stitch.id]).await.remove(0);
        let parts: Vec<_> = leased.needs.iter().filter_map(|need| need.part.as_ref()).collect();
        assert_eq!(parts.iter().map(|part| part.skips_first_frame).collect::<Vec<_>>(), [false, true]);
    }

    async fn job_that_waits_for_another_is_not_active_yet(url: DatabaseUrl) {
        let store = open(&url).await;
        let limits = Limits { max_active_per_owner: 1, ..Limits::default() };
        let submit = async |jobs: &[Job]| store.submit(jobs, None, None, &limits, &[]).await.expect("answers");
        let first = new_job("anna", "tiny");
        let second = waiting_for(&[&first]);
        accepted(submit(&[first.clone(), second]).await);
        let hit = Submitted::OverLimit(LimitHit::Owner { limit: 1 });
        assert_eq!(submit(&[new_job("anna", "tiny")]).await, hit);
        complete(&store, &first).await;
        assert_eq!(submit(&[new_job("anna", "tiny")]).await, hit, "the second is active now");
    }

    async fn job_whose_need_ends_badly_ends_too(url: DatabaseUrl) {
        let store = open(&url).await;
        let first = new_job("anna", "tiny");
        let second = waiting_for(&[&first]);
        let third = waiting_for(&[&second]);
        // It waits for all that end, and ends once.
        let joined = waiting_for(&[&first, &second, &third]);
        accepted(submit_all(&store, &[first.clone(), second.clone(), third.clone(), joined.clone()]).await);
        let (session, _) = attach(&store, "w", 1, &[]).await;
        let leased = claim_these(&store, "w", session, &[first.id]).await.remove(0);
        let changed = store.change(first.id, None, |job| {
            let failure = Failure { reason: "REQUEST_INVALID".to_owned(), message: String::new(), retryable: false };
            let from = Reporter { worker: "w", lease: leased.newest_lease() };
            let event = transition::fail(job, from, failure, None, now(), (&POLICY, 1.0))?;
            Ok::<_, transition::StaleLease>(Change { event: Some(event), removals: Vec::new() })
        });
        let (_, outcome) = changed.await.expect("changes").expect("the job").expect("stands");
        assert_eq!(outcome.others.iter().map(|event| event.job).collect::<HashSet<_>>(), HashSet::from([second.id, third.id, joined.id]));
        assert_eq!(outcome.others.len(), 3);
        for job in [&second, &third, &joined] {
            let job = read(&store, job).await;
            assert_eq!((job.state, job.failure.expect("a reason").reason.as_str()), (State::Failed, transition::NEED_LOST));
            assert_eq!(store.events_after(job.id, 1).await.expect("reads").len(), 1);
        }
        assert_eq!(count(&store, "job").await, 0);
        assert_eq!(count(&store, "job_need").await, 0);
        let dead = store.dead_letters(None, 9).await.expect("reads");
        assert_eq!(dead.iter().map(|job| job.id).collect::<Vec<_>>(), [first.id], "the others were never tried");
        assert_eq!(store.dead_letters(Some(first.id), 9).await.expect("reads"), []);
    }

    async fn job_whose_need_is_deleted_ends_too(url: DatabaseUrl) {
        let store = open(&url).await;
        let done = submit(&store, "anna").await;
        complete(&store, &done).await;
        let [waits, meets] = [new_job("anna", "tiny"), waiting_for(&[&done])];
        let both = waiting_for(&[&done, &waits]);
        let stored = accepted(submit_all(&store, &[waits.clone(), meets.clone(), both.clone()]).await);
        assert!(stored[1].has_what_it_needs() && !stored[2].has_what_it_needs());
        assert!(store.purge_due(Time::MAX_UTC, 9).await.expect("purges").is_empty(), "it is needed");
        let deleted = store.delete("anna", done.id, &[], now()).await.expect("deletes").expect("the job");
        assert_eq!(deleted.others.len(), 2);
        assert_eq!(read(&store, &meets).await.state, State::Failed);
        assert_eq!(read(&store, &both).await.state, State::Failed);
        assert_eq!(read(&store, &waits).await.state, State::Queued);
        let late = accepted(submit_all(&store, &[waiting_for(&[&done])]).await).remove(0);
        assert_eq!(read(&store, &late).await.state, State::Failed, "nothing can come of it");
        // Nor of those that came along and need it.
        let first = waiting_for(&[&done]);
        let second = waiting_for(&[&first]);
        let joined = waiting_for(&[&first, &second]);
        let sequence = [joined, first, second];
        accepted(submit_all(&store, &sequence).await);
        for job in &sequence {
            assert_eq!(read(&store, job).await.state, State::Failed);
        }
    }

    async fn cancel_is_passed_on(url: DatabaseUrl) {
        let store = open(&url).await;
        let first = submit(&store, "anna").await;
        let second = submit_as(&store, waiting_for(&[&first])).await;
        let outcome = cancel(&store, &first).await;
        assert_eq!(outcome.others[0].state, State::Cancelled);
        assert_eq!(read(&store, &second).await.state, State::Cancelled);
    }
}
