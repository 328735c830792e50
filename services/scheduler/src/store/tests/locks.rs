use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::domain::job::{Kind, Need, NeedRole, Priority, State};

/// Leases and completes jobs until there are none; how many.
async fn work(store: JobStore, worker: String) -> usize {
    let (session, _) = attach(&store, &worker, 4, &[]).await;
    let models = ["tiny".to_owned()];
    let mut ended = 0;
    while store.has_work(&models).await.expect("looks") {
        let snapshot = look(&store).await;
        let heads = picks(&snapshot);
        for job in claim_these(&store, &worker, session, &heads).await {
            // Longer than estimated, so that the lane is charged for the difference.
            let measured = Some(Duration::from_secs(50));
            end(&store, &worker, &job, measured).await.expect("stands");
            ended += 1;
        }
    }
    ended
}

/// Leases jobs and leaves them to their deletion, until told to stop.
async fn lease(store: JobStore, worker: String, stop: Arc<AtomicBool>) {
    let (session, _) = attach(&store, &worker, 1000, &[]).await;
    while !stop.load(Ordering::Relaxed) {
        let heads = picks(&look(&store).await);
        claim_these(&store, &worker, session, &heads).await;
    }
}

/// A job, and others in other lanes that wait for it.
fn needed_by_others(owner: &str) -> Vec<Job> {
    let needed = new_job(owner, "tiny");
    let mut jobs = vec![needed.clone()];
    for model in ["tiny", "huge", "slow"] {
        let mut job = new_job(owner, model);
        job.priority = Priority::Batch;
        let (id, role) = (needed.id, NeedRole::Part);
        job.needs = vec![Need {
            job: id,
            role,
            is_met: false,
            part: None,
        }];
        jobs.push(job);
    }
    jobs[1].kind = Kind::Stitch;
    jobs
}

/// Submits and deletes jobs; how many of them were running by then.
async fn submit_and_delete(store: JobStore, owner: &'static str) -> usize {
    let mut running = 0;
    for _ in 0..4 {
        let mut ids = Vec::new();
        for _ in 0..3 {
            let jobs = needed_by_others(owner);
            ids.push(jobs[0].id);
            accepted(submit_all(&store, &jobs).await);
        }
        for id in ids {
            let deleted = store.delete(owner, id, &[], now()).await.expect("deletes");
            let deleted = deleted.expect("the job");
            assert_eq!(deleted.others.len(), 3);
            running += usize::from(deleted.job.state == State::Running);
        }
    }
    running
}

/// Changes limits over and over, until told to stop.
async fn set_limits(store: JobStore, stop: Arc<AtomicBool>) {
    while !stop.load(Ordering::Relaxed) {
        let change = TenantChange {
            max_running: Some(3),
            ..TenantChange::default()
        };
        store.set_tenant("studio", change).await.expect("sets");
        store
            .set_owner_max_running("studio:a", Some(2))
            .await
            .expect("sets");
        store.mend_lanes().await.expect("mends");
    }
}

kinora_store::on_both_databases! {
    // Both lock tenants, owners and lanes; in another order one of two is refused by the database.
    async fn claims_and_ends_of_attempts_at_a_time_do_not_wait_in_a_circle(url: DatabaseUrl) {
        let caps = Caps { max_running_per_owner: 50, max_running_per_tenant: 100 };
        let store = open(&url).await.with_caps(caps);
        for owner in ["studio:a", "studio:b", "studio:c", "solo"] {
            let jobs: Vec<Job> = (0..20)
                .map(|_| {
                    let mut job = new_job(owner, "tiny");
                    job.estimated_cost = Duration::from_secs(10);
                    job
                })
                .collect();
            accepted(submit_all(&store, &jobs).await);
        }
        let mut workers = tokio::task::JoinSet::new();
        for worker in 0..4 {
            workers.spawn(work(store.clone(), format!("w{worker}")));
        }
        assert_eq!(workers.join_all().await.into_iter().sum::<usize>(), 80);
    }

    // A delete changes jobs that wait in other lanes, and ends an attempt or leaves a lane itself.
    async fn deletes_beside_claims_do_not_wait_in_a_circle(url: DatabaseUrl) {
        let caps = Caps { max_running_per_owner: 4, max_running_per_tenant: 6 };
        let store = open(&url).await.with_caps(caps);
        let stop = Arc::new(AtomicBool::new(false));
        let mut others = tokio::task::JoinSet::new();
        for worker in 0..2 {
            others.spawn(lease(store.clone(), format!("w{worker}"), Arc::clone(&stop)));
        }
        others.spawn(set_limits(store.clone(), Arc::clone(&stop)));
        let mut deleters = tokio::task::JoinSet::new();
        for owner in ["studio:a", "studio:a", "studio:b", "solo"] {
            deleters.spawn(submit_and_delete(store.clone(), owner));
        }
        let running: usize = deleters.join_all().await.into_iter().sum();
        stop.store(true, Ordering::Relaxed);
        others.join_all().await;
        assert!((1..48).contains(&running), "{running} ran");
        assert_eq!((count(&store, "job").await, count(&store, "finished_job").await), (0, 144));
    }
}
