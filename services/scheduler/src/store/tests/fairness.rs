use std::collections::HashMap;

use super::*;
use crate::domain::job::Priority;

/// The owners of the next `turns` jobs, each leased and completed before the next.
async fn turns(store: &JobStore, turns: usize) -> Vec<String> {
    let (session, _) = attach(store, "turns", 1, &[]).await;
    let mut owners = Vec::new();
    for _ in 0..turns {
        let job = claim(store, "turns", session, 1).await.remove(0);
        assert!(finish(store, "turns", &job).await);
        owners.push(job.owner);
    }
    owners
}

async fn submit_many(store: &JobStore, owner: &str, jobs: usize, cost: u64) {
    let new: Vec<Job> = (0..jobs)
        .map(|_| {
            let mut job = new_job(owner, "tiny");
            job.estimated_cost = Duration::from_secs(cost);
            job
        })
        .collect();
    accepted(submit_all(store, &new).await);
}

fn shares(owners: &[String]) -> HashMap<&str, usize> {
    let mut shares = HashMap::new();
    for owner in owners {
        *shares.entry(owner.as_str()).or_default() += 1;
    }
    shares
}

kinora_store::on_both_databases! {
    async fn light_tenant_does_not_wait_behind_a_heavy_one(url: DatabaseUrl) {
        let store = open(&url).await;
        submit_many(&store, "heavy", 100, 10).await;
        assert_eq!(turns(&store, 5).await, ["heavy"; 5]);
        submit(&store, "light").await;
        let next = turns(&store, 3).await;
        assert!(next[..2].contains(&"light".to_owned()), "{next:?}");
        // Who comes late does not catch up on what others used while it was away.
        submit_many(&store, "light", 10, 10).await;
        let next = turns(&store, 8).await;
        assert_eq!(shares(&next), HashMap::from([("heavy", 4), ("light", 4)]));
    }

    async fn tenants_share_by_weight_and_cost(url: DatabaseUrl) {
        let store = open(&url).await;
        let weight = |weight| TenantChange { weight: Some(weight), ..TenantChange::default() };
        assert_eq!(store.tenant("gold").await.expect("reads").weight, 100);
        assert_eq!(store.set_tenant("gold", weight(300)).await.expect("sets").weight, 300);
        submit_many(&store, "gold", 40, 10).await;
        submit_many(&store, "plain", 40, 10).await;
        submit_many(&store, "wasteful", 40, 20).await;
        let next = turns(&store, 27).await;
        let shares = shares(&next);
        // 6 to 2 to 1, give or take the one that is under way.
        let near = |owner: &str, turns: usize| shares[owner].abs_diff(turns) <= 1;
        assert!(near("gold", 18) && near("plain", 6) && near("wasteful", 3), "{shares:?}");
        store.set_tenant("gold", weight(100)).await.expect("sets");
        let next = turns(&store, 10).await;
        assert!(next.iter().filter(|owner| *owner == "gold").count() <= 5, "{next:?}");
    }

    async fn users_of_a_tenant_take_turns_and_have_one_share(url: DatabaseUrl) {
        let store = open(&url).await;
        for user in ["studio:a", "studio:b", "studio:c"] {
            submit_many(&store, user, 20, 10).await;
        }
        submit_many(&store, "solo", 20, 10).await;
        let next = turns(&store, 24).await;
        let shares = shares(&next);
        assert!(shares["solo"].abs_diff(12) <= 2, "{shares:?}");
        for user in ["studio:a", "studio:b", "studio:c"] {
            assert!(shares[user].abs_diff(4) <= 1, "{shares:?}");
        }
    }

    async fn measured_time_is_charged(url: DatabaseUrl) {
        let store = open(&url).await;
        submit_many(&store, "liar", 20, 10).await;
        submit_many(&store, "honest", 20, 10).await;
        let (session, _) = attach(&store, "w", 1, &[]).await;
        let mut owners = Vec::new();
        for _ in 0..12 {
            let job = claim(&store, "w", session, 1).await.remove(0);
            let measured = if job.owner == "liar" { 50 } else { 10 };
            end(&store, "w", &job, Some(Duration::from_secs(measured))).await.expect("stands");
            owners.push(job.owner);
        }
        let shares = shares(&owners);
        assert!(shares["honest"] >= 9, "{shares:?}");
    }

    async fn what_is_leased_is_charged_and_not_the_head_that_it_passed(url: DatabaseUrl) {
        let store = open(&url).await;
        // No worker is large enough for the first one of either.
        for (owner, head, others) in [("sly", 1, 40), ("unlucky", 400, 10)] {
            submit_many(&store, owner, 1, head).await;
            submit_many(&store, owner, 20, others).await;
        }
        submit_many(&store, "plain", 20, 20).await;
        let (session, _) = attach(&store, "w", 1, &[]).await;
        let mut owners = Vec::new();
        for _ in 0..14 {
            let snapshot = look(&store).await;
            let lane = &snapshot.lanes[0];
            let job = &lane.jobs[usize::from(lane.owner != "plain")];
            let claimed = claim_these(&store, "w", session, &[job.job]).await.remove(0);
            let took = Some(claimed.estimated_cost);
            end(&store, "w", &claimed, took).await.expect("stands");
            owners.push(claimed.owner);
        }
        let shares = shares(&owners);
        // 2 to 8 to 4, give or take the one that is under way.
        let near = |owner: &str, turns: usize| shares[owner].abs_diff(turns) <= 1;
        assert!(near("sly", 2) && near("unlucky", 8) && near("plain", 4), "{shares:?}");
    }

    async fn job_that_is_cancelled_costs_nothing(url: DatabaseUrl) {
        let store = open(&url).await;
        let mut dear = new_job("anna", "tiny");
        dear.estimated_cost = Duration::from_secs(1000);
        let dear = submit_as(&store, dear).await;
        cancel(&store, &dear).await;
        assert_eq!(look(&store).await.lanes, []);
        submit_many(&store, "anna", 3, 10).await;
        submit_many(&store, "ben", 3, 10).await;
        assert_eq!(shares(&turns(&store, 4).await), HashMap::from([("anna", 2), ("ben", 2)]));
    }

    async fn classes_and_idle_workers_have_queues_of_their_own(url: DatabaseUrl) {
        let store = open(&url).await;
        let mut batch = new_job("anna", "tiny");
        batch.priority = Priority::Batch;
        let mut urgent = new_job("anna", "tiny");
        urgent.priority = Priority::Interactive;
        let mut stitch = new_job("anna", "tiny");
        stitch.kind = crate::domain::job::Kind::Stitch;
        accepted(submit_all(&store, &[batch.clone(), urgent.clone(), stitch.clone()]).await);
        let snapshot = look(&store).await;
        let mut lanes: Vec<_> = snapshot.lanes.iter().map(|lane| (lane.model.as_str(), lane.priority, lane.jobs[0].job)).collect();
        lanes.sort_by_key(|lane| (lane.0, lane.1));
        let expected = [("", Priority::Standard, stitch.id), ("tiny", Priority::Interactive, urgent.id), ("tiny", Priority::Batch, batch.id)];
        assert_eq!(lanes, expected);
        let queues = store.queues().await.expect("reads");
        assert_eq!(queues.iter().map(|queue| (queue.model.as_str(), queue.jobs)).collect::<Vec<_>>(), [("", 1), ("tiny", 1), ("tiny", 1)]);
    }

    async fn snapshot_is_bounded_and_tells_of_each_job(url: DatabaseUrl) {
        let store = open(&url).await;
        for user in ["a", "b", "c"] {
            submit_many(&store, user, 4, 10).await;
        }
        let bounds = Bounds { lanes: 2, jobs: 3, ..Bounds::default() };
        let snapshot = store.snapshot(&["tiny".to_owned()], bounds).await.expect("looks");
        assert_eq!(snapshot.lanes.iter().map(|lane| (lane.jobs.len(), lane.has_more)).collect::<Vec<_>>(), [(3, true), (3, true)]);
        assert!(snapshot.has_more);
        let candidate = &snapshot.lanes[0].jobs[0];
        assert_eq!((candidate.estimated_cost, candidate.pixels, candidate.ready_since), (Duration::from_secs(10), 64 * 48 * 13, now()));
        assert_eq!(store.snapshot(&[], bounds).await.expect("looks"), Snapshot::default());
        let all = look(&store).await;
        assert!(!all.has_more && all.lanes.iter().all(|lane| lane.jobs.len() == 4 && !lane.has_more));
    }

    async fn of_many_lanes_fewer_jobs_each_are_seen(url: DatabaseUrl) {
        let store = open(&url).await;
        for user in ["a", "b", "c"] {
            submit_many(&store, user, 9, 10).await;
        }
        let jobs_of_each = |snapshot: &Snapshot| snapshot.lanes.iter().map(|lane| lane.jobs.len()).collect::<Vec<_>>();
        for (jobs_in_all, seen) in [(1, 4), (12, 4), (15, 5), (100, 8)] {
            let bounds = Bounds { lanes: 4, jobs: 8, jobs_in_all };
            let snapshot = store.snapshot(&["tiny".to_owned()], bounds).await.expect("looks");
            assert_eq!(jobs_of_each(&snapshot), [seen; 3], "of {jobs_in_all}");
            assert!(snapshot.lanes.iter().all(|lane| lane.has_more) && !snapshot.has_more);
        }
    }

    async fn lanes_that_an_error_left_shut_are_mended(url: DatabaseUrl) {
        let store = open(&url).await;
        submit_many(&store, "anna", 3, 10).await;
        store.db.writer().execute_unprepared("DELETE FROM lane").await.expect("breaks");
        assert_eq!(look(&store).await.lanes, []);
        assert_eq!(store.mend_lanes().await.expect("mends"), 1);
        assert_eq!(look(&store).await.lanes[0].jobs.len(), 3);
        assert_eq!(store.mend_lanes().await.expect("mends"), 0);
    }
}
