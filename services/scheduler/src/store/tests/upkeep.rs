use super::*;
use crate::domain::job::State;

/// The tables of ended jobs by month; none where there is one table for all.
async fn months(store: &JobStore) -> Vec<String> {
    if store.backend() != DbBackend::Postgres {
        return Vec::new();
    }
    let text = "SELECT relname::text AS name FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid \
                WHERE inhparent = 'finished_job'::regclass AND relname <> 'finished_job_default' ORDER BY relname";
    let rows = store
        .db
        .reader()
        .query_all_raw(sql::Sql::new(store.backend(), text).build())
        .await;
    let name = |row: &sea_orm::QueryResult| row.try_get::<String>("", "name").expect("a name");
    rows.expect("reads").iter().map(name).collect()
}

fn months_of(store: &JobStore, times: &[Time]) -> Vec<String> {
    let name = |time: &Time| time.format("finished_job_%Y_%m").to_string();
    match store.backend() {
        DbBackend::Postgres => times.iter().map(name).collect(),
        _ => Vec::new(),
    }
}

kinora_store::on_both_databases! {
    async fn purge_forgets_jobs_and_schedules_the_removal_of_their_objects(url: DatabaseUrl) {
        let store = open(&url).await;
        let mut job = new_job("anna", "tiny");
        job.id = JobId::generate();
        submit_with(&store, &job, &request("id:r1", "f1")).await;
        let kept = submit(&store, "anna").await;
        let (session, _) = attach(&store, "w", 1, &[]).await;
        let leased = claim_these(&store, "w", session, &[job.id]).await.remove(0);
        assert!(finish(&store, "w", &leased).await);
        let purge_at = read(&store, &job).await.purge_at.expect("a time");
        let purge = async |now| store.purge_due(now, 9).await.expect("purges");
        assert_eq!(purge(purge_at - TimeDelta::seconds(1)).await, []);
        assert_eq!(purge(purge_at).await, [job.id]);
        assert_eq!(purge(purge_at).await, []);
        assert_eq!(store.find(job.id).await.expect("reads"), None);
        for (table, rows) in [("finished_job", 0), ("job", 1), ("job_event", 1), ("attempt", 0), ("request_key", 0)] {
            assert_eq!(count(&store, table).await, rows, "{table}");
        }
        let due = store.due_removals(purge_at, Duration::from_secs(60), 9).await.expect("reads");
        assert_eq!(due.iter().map(|due| due.prefix.clone()).collect::<Vec<_>>(), [kinora_ids::job_object_prefix(job.id)]);
        assert_eq!(read(&store, &kept).await.state, State::Queued);
    }

    async fn overdue_jobs_are_found_while_they_wait(url: DatabaseUrl) {
        let store = open(&url).await;
        let mut late = new_job("anna", "tiny");
        late.expire_at = Some(later(10));
        let mut later_still = new_job("anna", "tiny");
        later_still.expire_at = Some(later(20));
        accepted(submit_all(&store, &[later_still.clone(), late.clone(), new_job("anna", "tiny")]).await);
        let expired = async |now| {
            let jobs = store.expired(now, 9).await.expect("reads");
            jobs.into_iter().map(|job| job.id).collect::<Vec<_>>()
        };
        assert_eq!(expired(later(9)).await, []);
        assert_eq!(expired(later(20)).await, [late.id, later_still.id]);
        let changed = store.change(late.id, None, |job| {
            Ok::<_, Infallible>(Change { event: transition::expire(job, later(10)), removals: Vec::new() })
        });
        changed.await.expect("changes");
        assert_eq!(read(&store, &late).await.state, State::Expired);
        let (session, _) = attach(&store, "w", 1, &[]).await;
        claim_these(&store, "w", session, &[later_still.id]).await;
        assert_eq!(expired(later(20)).await, [], "it has started");
    }

    async fn duty_has_one_holder_at_a_time(url: DatabaseUrl) {
        let store = open(&url).await;
        let ttl = Duration::from_secs(10);
        let take = async |name: &str, holder: &str, at| store.duty(name, holder, at, ttl).await.expect("answers");
        assert!(take("reaper", "a", now()).await);
        assert!(!take("reaper", "b", later(9)).await);
        assert!(take("relay", "b", later(9)).await, "another duty");
        assert!(take("reaper", "a", later(9)).await, "renewed");
        assert!(!take("reaper", "b", later(18)).await);
        assert!(take("reaper", "b", later(19)).await, "passed on");
        assert!(!take("reaper", "a", later(19)).await);
        store.give_up_duty("reaper", "a").await.expect("does nothing");
        assert!(!take("reaper", "a", later(20)).await);
        store.give_up_duty("reaper", "b").await.expect("gives up");
        assert!(take("reaper", "a", later(20)).await);
        let mut holders = Vec::new();
        for number in 0..10 {
            let store = store.clone();
            holders.push(tokio::spawn(async move {
                store.duty("new", &number.to_string(), now(), ttl).await.expect("answers")
            }));
        }
        let mut taken = 0;
        for holder in holders {
            taken += u32::from(holder.await.expect("a holder"));
        }
        assert_eq!(taken, 1);
    }

    async fn pace_is_learnt(url: DatabaseUrl) {
        let store = open(&url).await;
        assert_eq!(store.pace("tiny").await.expect("reads"), None);
        store.note_pace("tiny", 1000.0, Duration::from_secs(1)).await.expect("notes");
        store.note_pace("tiny", 1000.0, Duration::from_secs(3)).await.expect("notes");
        store.note_pace("tiny", 0.0, Duration::from_secs(3)).await.expect("ignores");
        let pace = store.pace("tiny").await.expect("reads").expect("a pace");
        assert_eq!((pace.nanos_per_unit, pace.samples), (2_000_000.0, 2));
        // At most ten times what is known, either way.
        for (device_time, expected) in [(Duration::from_secs(3600), 8e6), (Duration::from_nanos(1), 6.2e6)] {
            store.note_pace("tiny", 1.0, device_time).await.expect("notes");
            let pace = store.pace("tiny").await.expect("reads").expect("a pace");
            assert!((pace.nanos_per_unit - expected).abs() < 1.0, "{pace:?}");
        }
        for _ in 0..60 {
            store.note_pace("tiny", 1.0, Duration::from_millis(7)).await.expect("notes");
        }
        let pace = store.pace("tiny").await.expect("reads").expect("a pace");
        assert!((pace.nanos_per_unit - 7e6).abs() < 1e5, "{pace:?}");
    }

    async fn months_are_made_and_dropped_and_lose_no_job(url: DatabaseUrl) {
        let store = open(&url).await;
        let job = submit(&store, "anna").await;
        cancel(&store, &job).await;
        let present = Time::from_timestamp_millis(i64::try_from(job.id.as_uuid().as_u128() >> 80).expect("a time")).expect("a time");
        store.prepare(present).await.expect("prepares");
        store.prepare(present).await.expect("does nothing");
        assert_eq!(read(&store, &job).await.state, State::Cancelled);
        assert_eq!(months(&store).await, months_of(&store, &[present, present + chrono::Months::new(1)]));
        let next = submit(&store, "anna").await;
        cancel(&store, &next).await;
        assert_eq!(count(&store, "finished_job").await, 2);
        let years = present + TimeDelta::days(800);
        store.keep_months(years).await.expect("keeps");
        let ahead = [years, years + chrono::Months::new(1)];
        // The month after the jobs' own was empty, and is gone.
        let kept = [present, ahead[0], ahead[1]];
        assert_eq!(months(&store).await, months_of(&store, &kept));
        assert_eq!(read(&store, &next).await.state, State::Cancelled);
        for job in [&job, &next] {
            store.delete("anna", job.id, &[], now()).await.expect("deletes");
        }
        store.keep_months(years).await.expect("drops");
        assert_eq!(months(&store).await, months_of(&store, &ahead));
        assert_eq!(count(&store, "finished_job").await, 0);
    }
}
