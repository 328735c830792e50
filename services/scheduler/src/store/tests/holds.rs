//! Holds: planned, called off, settled with the end of their jobs, and compared with what billing has.

use super::*;
use crate::domain::hold::{Due, Hold, OpenHold};
use crate::domain::job::{Need, NeedRole, State};
use crate::metrics::SettlementLoad;
use sql::Sql;

const MINUTE: Duration = Duration::from_secs(60);

fn with_hold(job: Job) -> Job {
    let hold = Some(Hold {
        credits: 1300,
        ..Hold::default()
    });
    Job { hold, ..job }
}

fn held(owner: &str) -> Job {
    with_hold(new_job(owner, "tiny"))
}

fn open_hold(id: JobId) -> OpenHold {
    OpenHold {
        job: id,
        credits: 1300,
        preview_credits: 0,
        expire_time: None,
    }
}

async fn reserve(store: &JobStore, jobs: &[Job], request: Option<&Request>) -> Reservation {
    let held: Vec<JobId> = jobs.iter().map(|job| job.id).collect();
    let limits = Limits::default();
    let reserved = store.reserve(jobs, &held, request, &limits, later(60));
    reserved.await.expect("reserves")
}

/// Jobs that are stored with their holds.
async fn stored(store: &JobStore, jobs: &[Job]) -> Vec<Job> {
    assert_eq!(reserve(store, jobs, None).await, Reservation::Made);
    accepted(submit_all(store, jobs).await)
}

async fn due_at(store: &JobStore, at: Time) -> Vec<(JobId, Due)> {
    let due = store.due_settlements(at, MINUTE, 100).await.expect("looks");
    due.into_iter().map(|one| (one.job, one.due)).collect()
}

async fn leased(store: &JobStore) -> Job {
    let (session, _) = attach(store, "w", 1, &[]).await;
    claim(store, "w", session, 1).await.remove(0)
}

async fn execute(store: &JobStore, text: &str, id: JobId) {
    let statement = Sql::new(store.backend(), text).bind(id.as_uuid());
    let writer = store.db.writer();
    writer
        .execute_raw(statement.build())
        .await
        .expect("executes");
}

async fn compare(store: &JobStore, holds: &[JobId], at: Time) -> Compared {
    let holds: Vec<OpenHold> = holds.iter().copied().map(open_hold).collect();
    let compared = store.compare_holds(&holds, at, at).await;
    compared.expect("compares")
}

fn whole(lease: u64) -> Due {
    Due::Capture {
        lease,
        credits: 1300,
    }
}

kinora_store::on_both_databases! {
    async fn hold_without_a_job_is_released_when_its_plan_is_due(url: DatabaseUrl) {
        let store = open(&url).await;
        let job = held("anna");
        assert_eq!(reserve(&store, std::slice::from_ref(&job), None).await, Reservation::Made);
        assert_eq!(due_at(&store, later(59)).await, []);
        assert_eq!(store.settlement_load(later(59)).await.expect("sums up"), SettlementLoad::default());
        assert_eq!(due_at(&store, later(60)).await, [(job.id, Due::Release)]);
        assert_eq!(due_at(&store, later(61)).await, [], "somebody has taken it");
        assert_eq!(due_at(&store, later(121)).await, [(job.id, Due::Release)], "and has not come back");
        store.settled(job.id, later(122)).await.expect("notes");
        assert_eq!(due_at(&store, later(9999)).await, []);
    }

    async fn stored_job_calls_its_plan_off(url: DatabaseUrl) {
        let store = open(&url).await;
        let job = stored(&store, &[held("anna"), held("anna")]).await.remove(0);
        assert_eq!(job.hold.map(|hold| hold.credits), Some(1300));
        assert_eq!(read(&store, &job).await.hold, job.hold);
        assert_eq!(count(&store, "settlement").await, 0);
        // As whoever set the credits aside does when its caller goes away at the last moment.
        store.give_up_reservation(&[job.id], now()).await.expect("does nothing");
        assert_eq!(due_at(&store, later(9999)).await, []);
    }

    async fn job_is_not_stored_once_its_credits_may_be_gone(url: DatabaseUrl) {
        let store = open(&url).await;
        let jobs = [held("anna"), held("anna")];
        assert_eq!(reserve(&store, &jobs, None).await, Reservation::Made);
        assert_eq!(due_at(&store, later(60)).await.len(), 2);
        let limits = Limits::default();
        let late = store.submit(&jobs, None, None, &limits, &[]).await;
        assert!(matches!(late, Err(JobStoreError::LostUpdate)), "{late:?}");
        assert_eq!((count(&store, "job").await, count(&store, "settlement").await), (0, 2));
    }

    async fn same_request_is_made_once_at_a_time(url: DatabaseUrl) {
        let store = open(&url).await;
        let (first, second, other) = (held("anna"), held("anna"), held("ben"));
        let once = request("id:r", "f");
        let reserve = async |job: &Job| reserve(&store, std::slice::from_ref(job), Some(&once)).await;
        assert_eq!(reserve(&first).await, Reservation::Made);
        assert!(store.is_being_made("anna", "id:r").await.expect("looks"));
        assert_eq!(reserve(&second).await, Reservation::InProgress);
        assert_eq!(reserve(&other).await, Reservation::Made, "another owner's");
        assert_eq!(count(&store, "settlement").await, 2);

        accepted(submit_with(&store, &first, &once).await);
        assert!(!store.is_being_made("anna", "id:r").await.expect("looks"));
        let known = reserve(&second).await;
        assert!(matches!(&known, Reservation::Known(it) if it.job == first.id), "{known:?}");

        store.give_up_reservation(&[other.id], now()).await.expect("gives up");
        assert_eq!(due_at(&store, now()).await, [(other.id, Due::Release)]);
        assert_eq!(reserve(&held("ben")).await, Reservation::Made, "nobody makes it any more");
    }

    async fn what_was_refused_leaves_nothing_behind(url: DatabaseUrl) {
        let store = open(&url).await;
        let job = held("anna");
        assert_eq!(reserve(&store, std::slice::from_ref(&job), None).await, Reservation::Made);
        store.forget_reservation(&[job.id]).await.expect("forgets");
        assert_eq!(count(&store, "settlement").await, 0);
    }

    async fn limits_are_looked_at_before_credits_are_set_aside(url: DatabaseUrl) {
        let store = open(&url).await;
        stored(&store, &[held("anna")]).await;
        let limits = Limits { max_active_per_owner: 1, ..Limits::default() };
        let job = held("anna");
        let jobs = std::slice::from_ref(&job);
        let refused = store.reserve(jobs, &[job.id], None, &limits, later(60)).await;
        let hit = LimitHit::Owner { limit: 1 };
        assert_eq!(refused.expect("answers"), Reservation::OverLimit(hit));
        assert_eq!(count(&store, "settlement").await, 0);
    }

    async fn end_of_a_job_comes_with_its_settlement(url: DatabaseUrl) {
        let store = open(&url).await;
        let [done, cancelled, deleted, free] = [held("anna"), held("ben"), held("cleo"), new_job("dora", "tiny")];
        stored(&store, std::slice::from_ref(&done)).await;
        let done = leased(&store).await;
        for job in [&cancelled, &deleted] {
            stored(&store, std::slice::from_ref(job)).await;
        }
        submit_as(&store, free.clone()).await;
        assert!(finish(&store, "w", &done).await);
        cancel(&store, &cancelled).await;
        cancel(&store, &free).await;
        store.delete("cleo", deleted.id, &[], now()).await.expect("deletes").expect("the job");

        let mut due = due_at(&store, now()).await;
        due.sort_unstable_by_key(|(job, _)| *job);
        let mut expected = vec![(done.id, whole(1)), (cancelled.id, Due::Release), (deleted.id, Due::Release)];
        expected.sort_unstable_by_key(|(job, _)| *job);
        assert_eq!(due, expected);
        assert!(read(&store, &done).await.hold.is_some());
        store.settled(done.id, later(1)).await.expect("notes");
        assert_eq!(read(&store, &done).await.hold, None, "nothing is held any more");
        let load = store.settlement_load(later(9)).await.expect("sums up");
        assert_eq!((load.waiting, load.oldest), (2, Some(Duration::from_secs(9))));
        // Deleting it now takes nothing from billing's side.
        store.delete("anna", done.id, &[], now()).await.expect("deletes").expect("the job");
        assert_eq!(count(&store, "settlement").await, 3);
    }

    async fn job_that_is_lost_as_it_comes_pays_nothing(url: DatabaseUrl) {
        let store = open(&url).await;
        let source = submit(&store, "anna").await;
        cancel(&store, &source).await;
        let mut job = held("anna");
        job.needs = vec![Need { job: source.id, role: NeedRole::LastFrame, is_met: false, part: None }];
        let job = stored(&store, &[job]).await.remove(0);
        assert_eq!(job.state, State::Cancelled);
        assert_eq!(due_at(&store, now()).await, [(job.id, Due::Release)]);
    }

    async fn holds_are_compared_with_jobs(url: DatabaseUrl) {
        let store = open(&url).await;
        let waiting = stored(&store, &[held("anna")]).await.remove(0);
        let ended = stored(&store, &[held("ben")]).await.remove(0);
        let deleted = stored(&store, &[held("cleo")]).await.remove(0);
        let planned = held("dora");
        assert_eq!(reserve(&store, std::slice::from_ref(&planned), None).await, Reservation::Made);
        cancel(&store, &ended).await;
        store.delete("cleo", deleted.id, &[], now()).await.expect("deletes").expect("the job");
        let stranger = JobId::generate();
        let all = [waiting.id, ended.id, deleted.id, planned.id, stranger];
        let compared = compare(&store, &all, now()).await;
        let expected = Compared { needed: vec![waiting.id], orphaned: 1, ..Compared::default() };
        assert_eq!(compared, expected);
        let due = due_at(&store, now()).await;
        assert!(due.contains(&(stranger, Due::Release)), "{due:?}");
        assert!(!due.iter().any(|(job, _)| [waiting.id, planned.id].contains(job)), "{due:?}");
        let again = compare(&store, &all, now()).await;
        assert_eq!(again, Compared { orphaned: 0, ..expected });
    }

    async fn end_that_was_not_noted_is_found_from_either_side(url: DatabaseUrl) {
        let store = open(&url).await;
        let [first, second] = [held("anna"), held("ben")];
        stored(&store, std::slice::from_ref(&first)).await;
        let done = leased(&store).await;
        stored(&store, std::slice::from_ref(&second)).await;
        assert!(finish(&store, "w", &done).await);
        cancel(&store, &second).await;
        for job in [&first, &second] {
            execute(&store, "DELETE FROM settlement WHERE job_id = ", job.id).await;
        }
        // As a scheduler of an older version leaves it.
        execute(&store, "UPDATE finished_job SET held_credits = NULL WHERE id = ", first.id).await;

        assert_eq!(store.settle_forgotten(None, 100, now()).await.expect("looks"), (1, None));
        assert_eq!(due_at(&store, now()).await, [(second.id, Due::Release)]);
        let compared = compare(&store, &[first.id, second.id], now()).await;
        assert_eq!(compared, Compared { unsettled: 1, ..Compared::default() });
        assert_eq!(due_at(&store, now()).await, [(first.id, whole(1))]);
        assert_eq!(store.settle_forgotten(None, 100, now()).await.expect("looks"), (0, None));
    }

    async fn hold_that_billing_has_open_again_is_settled_again(url: DatabaseUrl) {
        let store = open(&url).await;
        let job = stored(&store, &[held("anna")]).await.remove(0);
        cancel(&store, &job).await;
        due_at(&store, now()).await;
        store.settled(job.id, later(10)).await.expect("notes");
        // Billing told of it before it was settled.
        assert_eq!(compare(&store, &[job.id], later(10)).await, Compared::default());
        let compared = compare(&store, &[job.id], later(11)).await;
        assert_eq!(compared, Compared { reopened: 1, ..Compared::default() });
        assert_eq!(due_at(&store, later(11)).await, [(job.id, Due::Release)]);
    }

    async fn what_billing_will_not_have_is_kept_aside(url: DatabaseUrl) {
        let store = open(&url).await;
        let [odd, usual] = [held("anna"), held("ben")];
        for job in [&odd, &usual] {
            stored(&store, std::slice::from_ref(job)).await;
            cancel(&store, job).await;
        }
        store.set_settlement_aside(odd.id, "HOLD_SETTLED", later(1)).await.expect("notes");
        store.settled(usual.id, later(1)).await.expect("notes");
        let load = store.settlement_load(later(1)).await.expect("sums up");
        assert_eq!((load.waiting, load.oldest, load.set_aside), (0, None, 1));
        assert_eq!(due_at(&store, later(9999)).await, [], "it is not tried for ever");
        assert_eq!(compare(&store, &[odd.id], later(9999)).await, Compared::default());
        assert_eq!(read(&store, &odd).await.hold, None);

        let purge = async |done, aside| store.purge_settlements(done, aside, 100).await.expect("purges");
        assert_eq!(purge(later(1), now()).await, 0);
        assert_eq!(purge(later(2), now()).await, 1);
        assert_eq!(store.settlement_load(later(2)).await.expect("sums up").set_aside, 1);
        assert_eq!(purge(later(2), later(2)).await, 1);
    }

    async fn takers_of_settlements_do_not_get_the_same(url: DatabaseUrl) {
        let store = open(&url).await;
        for _ in 0..20 {
            let job = held("anna");
            stored(&store, std::slice::from_ref(&job)).await;
            cancel(&store, &job).await;
        }
        let mut takers = tokio::task::JoinSet::new();
        for _ in 0..4 {
            let store = store.clone();
            takers.spawn(async move {
                let mut taken = Vec::new();
                loop {
                    let more = store.due_settlements(now(), MINUTE, 3).await.expect("looks");
                    if more.is_empty() {
                        return taken;
                    }
                    taken.extend(more.into_iter().map(|one| one.job));
                }
            });
        }
        let mut taken: Vec<JobId> = takers.join_all().await.into_iter().flatten().collect();
        assert_eq!(taken.len(), 20);
        taken.sort_unstable();
        taken.dedup();
        assert_eq!(taken.len(), 20, "none twice");
    }
}
