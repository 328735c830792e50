use super::*;

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
}
