use std::collections::HashSet;

use super::*;

kinora_store::on_both_databases! {
    async fn claims_are_in_turn_and_of_offered_models(url: DatabaseUrl) {
        let store = open(&url).await;
        submit_as(&store, new_job("anna", "huge")).await;
        let first = submit(&store, "anna").await;
        let second = submit(&store, "anna").await;
        let ready = store.ready_jobs("tiny", second.priority, 9).await.expect("reads");
        assert_eq!(ready.iter().map(|job| job.id).collect::<Vec<_>>(), [first.id, second.id]);
        let ready = store.ready_jobs("tiny", second.priority, 1).await.expect("reads");
        assert_eq!((ready[0].owner.as_str(), ready[0].estimated_cost), ("anna", first.estimated_cost));
        let (session, _) = attach(&store, "w", 3, &[]).await;
        let ids = async |limit| {
            let claimed = claim(&store, "w", session, limit).await;
            claimed.into_iter().map(|job| job.id).collect::<Vec<_>>()
        };
        assert_eq!(ids(1).await, [first.id]);
        assert_eq!(ids(3).await, [second.id]);
        assert_eq!(ids(3).await, []);
    }

    async fn worker_never_holds_more_than_its_slots(url: DatabaseUrl) {
        let store = open(&url).await;
        for _ in 0..3 {
            submit(&store, "anna").await;
        }
        let (older, _) = attach(&store, "w", 2, &[]).await;
        let all: Vec<_> = look(&store).await.lanes[0].jobs.iter().map(|job| job.job).collect();
        assert_eq!(claim_these(&store, "w", older, &all).await.len(), 2);
        assert!(claim(&store, "w", older, 9).await.is_empty());
        let (newer, _) = attach(&store, "w", 2, &[]).await;
        assert!(claim(&store, "w", older, 9).await.is_empty(), "an older stream gets nothing");
        assert!(store.heartbeat("w", older, false, None, now()).await.expect("answers").is_none());
        assert!(store.heartbeat("w", newer, true, None, now()).await.expect("answers").is_some());
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
                    let lanes = look(&store).await.lanes;
                    let Some(lane) = lanes.first() else {
                        return leases;
                    };
                    let first: Vec<_> = lane.jobs.iter().take(3).map(|job| job.job).collect();
                    let jobs = claim_these(&store, &worker, session, &first).await;
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

    async fn job_waits_for_its_time(url: DatabaseUrl) {
        let store = open(&url).await;
        let models = ["tiny".to_owned()];
        let has_work = async || store.has_work(&models).await.expect("reads");
        let mut job = new_job("anna", "tiny");
        job.run_at = later(5);
        submit_as(&store, job.clone()).await;
        assert!(!has_work().await);
        assert_eq!(store.promote(later(4)).await.expect("promotes"), 0);
        assert_eq!(store.promote(later(5)).await.expect("promotes"), 1);
        assert!(has_work().await);
        assert_eq!(look(&store).await.lanes[0].jobs[0].ready_since, later(5));
        assert!(!store.has_work(&["huge".to_owned()]).await.expect("reads"));
        // And again for the delay before the next attempt.
        let (session, _) = attach(&store, "w", 1, &[]).await;
        let assignment = assigned(&store, ("w", session), job.id).await;
        let claimed = store.claim(&[assignment], later(5), Duration::from_secs(60)).await;
        let (job, _) = claimed.expect("claims").remove(0);
        assert!(!has_work().await);
        let failed = fail(&store, &job, later(6)).await;
        assert!(failed.run_at > later(6));
        assert!(!has_work().await);
        assert_eq!(store.promote(failed.run_at).await.expect("promotes"), 1);
        assert!(has_work().await);
        assert_eq!(look(&store).await.lanes[0].jobs[0].last_worker.as_deref(), Some("w"));
    }

    async fn one_claim_serves_many_workers(url: DatabaseUrl) {
        let store = open(&url).await;
        let mut jobs = Vec::new();
        for _ in 0..6 {
            jobs.push(submit(&store, "anna").await);
        }
        let (free, _) = attach(&store, "free", 2, &[]).await;
        let (full, _) = attach(&store, "full", 1, &[]).await;
        let (cordoned, _) = attach(&store, "cordoned", 9, &[]).await;
        let wishes = Wishes { is_cordoned: true, is_drained: false };
        assert!(store.set_wishes("cordoned", wishes).await.expect("answers"));
        assert!(!store.set_wishes("unknown", wishes).await.expect("answers"));
        let workers = [("free", free), ("full", full), ("full", full), ("cordoned", cordoned), ("free", full), ("free", free)];
        let mut assignments = Vec::new();
        for (worker, job) in workers.into_iter().zip(&jobs) {
            assignments.push(assigned(&store, worker, job.id).await);
        }
        let claimed = store.claim(&assignments, now(), Duration::from_secs(60)).await.expect("claims");
        let leased: Vec<_> = claimed.iter().map(|(job, _)| (job.id, job.worker.as_deref())).collect();
        assert_eq!(leased, [(jobs[0].id, Some("free")), (jobs[1].id, Some("full")), (jobs[5].id, Some("free"))]);
        for (job, event) in &claimed {
            assert_eq!(&read(&store, job).await, job);
            assert_eq!(store.events_after(job.id, 1).await.expect("reads"), std::slice::from_ref(event));
        }
        assert_eq!(look(&store).await.lanes[0].jobs.len(), 3);
    }
}
