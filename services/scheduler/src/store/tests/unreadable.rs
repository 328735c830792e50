//! Rows that another version wrote and this one cannot read.

use super::*;
use crate::domain::job::State;

async fn execute(store: &JobStore, text: &str, job: &Job) {
    let update = sql::Sql::new(store.backend(), text).bind(job.id.as_uuid());
    let updated = store.db.writer().execute_raw(update.build()).await;
    assert_eq!(updated.expect("writes").rows_affected(), 1);
}

async fn spoil(store: &JobStore, job: &Job) {
    execute(
        store,
        "UPDATE job SET details = '!' || details WHERE id = ",
        job,
    )
    .await;
}

async fn restore(store: &JobStore, job: &Job) {
    execute(
        store,
        "UPDATE job SET details = substr(details, 2) WHERE id = ",
        job,
    )
    .await;
}

kinora_store::on_both_databases! {
    async fn job_that_cannot_be_read_is_put_off_and_those_after_it_run(url: DatabaseUrl) {
        let store = open(&url).await;
        let [first, second] = [submit(&store, "anna").await, submit(&store, "anna").await];
        spoil(&store, &first).await;
        let (session, _) = attach(&store, "w", 9, &[]).await;
        let models = ["tiny".to_owned()];
        assert_eq!(claim_these(&store, "w", session, &[first.id]).await, []);
        assert_eq!(picks(&look(&store).await), [second.id]);
        assert_eq!(claim(&store, "w", session, 9).await.len(), 1);
        assert!(!store.has_work(&models).await.expect("looks"));
        let third = submit(&store, "anna").await;
        // Another version may be there by now.
        assert_eq!(store.promote(later(59)).await.expect("promotes"), 0);
        assert_eq!(store.promote(later(60)).await.expect("promotes"), 1);
        let leased = claim_these(&store, "w", session, &[first.id, third.id]).await;
        assert_eq!(leased.iter().map(|job| job.id).collect::<Vec<_>>(), [third.id]);
        restore(&store, &first).await;
        assert_eq!(store.promote(later(60)).await.expect("promotes"), 1);
        let again = assigned(&store, ("w", session), first.id).await;
        let claimed = store.claim(&[again], later(60), Duration::from_secs(60)).await;
        assert_eq!(claimed.expect("claims").len(), 1);
        assert_eq!(read(&store, &first).await.state, State::Running);
    }

    async fn attempt_that_cannot_be_read_stands_in_nobodys_way(url: DatabaseUrl) {
        let store = open(&url).await;
        for _ in 0..3 {
            submit(&store, "anna").await;
        }
        let (session, _) = attach(&store, "w", 3, &[]).await;
        let jobs = claim(&store, "w", session, 3).await;
        spoil(&store, &jobs[0]).await;
        let lapsed = store.lapsed(later(1), now(), None, 2).await.expect("reads");
        assert_eq!((lapsed.jobs, lapsed.next), (jobs[1..2].to_vec(), Some(jobs[1].id)));
        let held: Vec<LeaseRef> = jobs.iter().map(Job::newest_lease).collect();
        assert_eq!(store.stale_leases("w", &held).await.expect("answers"), held[..1]);
        assert_eq!(store.running_of(&["anna".to_owned()], 9).await.expect("reads").len(), 2);
        let (_, reconciled) = attach(&store, "w", 3, &held[..2]).await;
        assert_eq!((reconciled.standing, reconciled.stale), (held[1..2].to_vec(), held[..1].to_vec()));
        assert_eq!(reconciled.events.iter().map(|event| event.job).collect::<Vec<_>>(), [jobs[2].id]);
        restore(&store, &jobs[0]).await;
        assert_eq!(read(&store, &jobs[0]).await, jobs[0], "its attempt was left alone");
    }

    async fn upkeep_passes_over_what_cannot_be_read(url: DatabaseUrl) {
        let store = open(&url).await;
        let mut late = [new_job("anna", "tiny"), new_job("anna", "tiny")];
        for job in &mut late {
            job.expire_at = Some(later(10));
        }
        let late = accepted(submit_all(&store, &late).await);
        spoil(&store, &late[0]).await;
        let expired = store.expired(later(10), 9).await.expect("reads");
        assert_eq!(expired.iter().map(|job| job.id).collect::<Vec<_>>(), [late[1].id]);
        // What is over is forgotten without being read.
        let ended = submit(&store, "anna").await;
        cancel(&store, &ended).await;
        let purge_at = read(&store, &ended).await.purge_at.expect("a time");
        execute(&store, "UPDATE finished_job SET details = '!' WHERE id = ", &ended).await;
        assert_eq!(store.purge_due(purge_at, 9).await.expect("purges"), [ended.id]);
        assert_eq!(count(&store, "finished_job").await, 0);
    }
}
