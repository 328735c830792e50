use super::*;
use crate::domain::job::State;

async fn running(store: &JobStore, owner: &str) -> usize {
    list(store, owner, &[State::Running], None, 100).await.len()
}

async fn most_running_with(
    url: &DatabaseUrl,
    owners: [&str; 3],
    of_each: usize,
    tenant: u32,
    owner: u32,
) -> Vec<usize> {
    let store = open(url).await;
    let caps = Caps {
        max_running_per_tenant: tenant,
        max_running_per_owner: owner,
    };
    let store = store.with_caps(caps);
    let replica = open(url).await.with_caps(caps);
    for name in owners {
        let jobs: Vec<_> = (0..of_each).map(|_| new_job(name, "tiny")).collect();
        accepted(submit_all(&store, &jobs).await);
    }
    let mut claimers = Vec::new();
    for number in 0..6 {
        let store = if number % 2 == 0 {
            store.clone()
        } else {
            replica.clone()
        };
        claimers.push(tokio::spawn(async move {
            let worker = format!("w{number}");
            let (session, _) = attach(&store, &worker, 100, &[]).await;
            loop {
                let lanes = look(&store).await.lanes;
                let jobs: Vec<_> = lanes
                    .iter()
                    .flat_map(|lane| &lane.jobs)
                    .map(|job| job.job)
                    .collect();
                if jobs.is_empty() {
                    return;
                }
                claim_these(&store, &worker, session, &jobs).await;
            }
        }));
    }
    for claimer in claimers {
        claimer.await.expect("a claimer");
    }
    let mut counts = Vec::new();
    for name in owners {
        counts.push(running(&store, name).await);
    }
    counts
}

kinora_store::on_both_databases! {
    async fn tenant_never_runs_more_than_its_limit(url: DatabaseUrl) {
        let counts = most_running_with(&url, ["t:a", "t:b", "u:c"], 10, 5, 0).await;
        assert_eq!((counts[0] + counts[1], counts[2]), (5, 5), "{counts:?}");
    }

    async fn owner_never_runs_more_than_its_limit(url: DatabaseUrl) {
        let counts = most_running_with(&url, ["t:a", "t:b", "u:c"], 10, 0, 3).await;
        assert_eq!(counts, [3, 3, 3]);
    }

    async fn end_of_an_attempt_lets_the_next_one_through(url: DatabaseUrl) {
        let store = open(&url).await.with_caps(Caps { max_running_per_tenant: 0, max_running_per_owner: 1 });
        let [first, second] = [submit(&store, "anna").await, submit(&store, "anna").await];
        let (session, _) = attach(&store, "w", 9, &[]).await;
        let leased = claim(&store, "w", session, 9).await;
        assert_eq!(leased.iter().map(|job| job.id).collect::<Vec<_>>(), [first.id]);
        assert_eq!(look(&store).await.lanes, [], "put aside");
        assert!(!store.has_work(&["tiny".to_owned()]).await.expect("reads"));
        assert!(finish(&store, "w", &leased[0]).await);
        assert!(store.has_work(&["tiny".to_owned()]).await.expect("reads"));
        let leased = claim(&store, "w", session, 9).await;
        assert_eq!(leased.iter().map(|job| job.id).collect::<Vec<_>>(), [second.id]);
        // Also when it is requeued, and when its limit is lifted.
        fail(&store, &leased[0], now()).await;
        submit(&store, "anna").await;
        assert_eq!(claim(&store, "w", session, 9).await.len(), 1);
        assert_eq!(look(&store).await.lanes, []);
        store.promote(later(99)).await.expect("promotes");
        store.set_owner_max_running("anna", Some(2)).await.expect("sets");
        assert_eq!(look(&store).await.lanes[0].jobs.len(), 1);
    }

    async fn tenants_at_their_limit_do_not_hide_others(url: DatabaseUrl) {
        let store = open(&url).await;
        let none = TenantChange { max_running: Some(1), ..TenantChange::default() };
        store.set_tenant("full", none).await.expect("sets");
        let (session, _) = attach(&store, "w", 9, &[]).await;
        for user in 0..6 {
            submit(&store, &format!("full:{user}")).await;
        }
        assert_eq!(claim(&store, "w", session, 1).await.len(), 1);
        let light = submit(&store, "light").await;
        let bounds = Bounds { lanes: 3, jobs: 1, ..Bounds::default() };
        let models = ["tiny".to_owned()];
        let snapshot = store.snapshot(&models, bounds).await.expect("looks");
        assert_eq!(picks(&snapshot), [light.id]);
        store.set_tenant("full", TenantChange { max_running: Some(0), ..none }).await.expect("sets");
        assert_eq!(look(&store).await.lanes.len(), 6);
        let tenant = store.tenant("full").await.expect("reads");
        assert_eq!((tenant.max_running, tenant.max_queued), (Some(0), None));
    }

    async fn submissions_at_once_never_exceed_a_limit(url: DatabaseUrl) {
        let store = open(&url).await;
        let replica = open(&url).await;
        for (limits, owner, hit) in [
            (Limits { max_active_per_owner: 7, ..Limits::default() }, "anna", LimitHit::Owner { limit: 7 }),
            (Limits { max_queued_per_tenant: 7, ..Limits::default() }, "studio", LimitHit::Tenant { limit: 7 }),
        ] {
            let mut callers = Vec::new();
            for number in 0..20 {
                let store = if number % 2 == 0 { store.clone() } else { replica.clone() };
                let owner = if owner == "studio" { format!("studio:{}", number % 3) } else { owner.to_owned() };
                callers.push(tokio::spawn(async move {
                    let jobs = [new_job(&owner, "tiny"), new_job(&owner, "tiny")];
                    store.submit(&jobs, None, None, &limits, &[]).await.expect("answers")
                }));
            }
            let mut accepted = 0;
            for caller in callers {
                match caller.await.expect("a caller") {
                    Submitted::Accepted(jobs) => accepted += jobs.len(),
                    other => assert_eq!(other, Submitted::OverLimit(hit.clone())),
                }
            }
            // Two at a time, all or none: the seventh place stays free.
            assert_eq!(accepted, 6);
        }
        assert_eq!(count(&store, "job").await, 12);
        assert_eq!(count(&store, "job_event").await, 12);
    }

    async fn request_that_can_never_fit_is_told_so(url: DatabaseUrl) {
        let store = open(&url).await;
        for limits in [
            Limits { max_active_per_owner: 2, ..Limits::default() },
            Limits { max_queued_per_tenant: 2, ..Limits::default() },
            Limits { max_queued_per_queue: 2, ..Limits::default() },
        ] {
            let jobs: Vec<_> = (0..3).map(|_| new_job("anna", "tiny")).collect();
            let hit = store.submit(&jobs, None, None, &limits, &[]).await.expect("answers");
            assert_eq!(hit, Submitted::OverLimit(LimitHit::Request { limit: 2 }), "{limits:?}");
        }
        assert_eq!(count(&store, "job").await, 0);
    }

    async fn full_queue_takes_no_more_and_other_queues_do(url: DatabaseUrl) {
        let store = open(&url).await;
        let limits = Limits { max_queued_per_queue: 1, ..Limits::default() };
        let submit = async |job: Job| store.submit(&[job], None, None, &limits, &[]).await.expect("answers");
        accepted(submit(new_job("anna", "tiny")).await);
        let hit = submit(new_job("ben", "tiny")).await;
        let Submitted::OverLimit(LimitHit::Queue { model, limit, .. }) = hit else {
            panic!("over the limit, not {hit:?}");
        };
        assert_eq!((model.as_str(), limit), ("tiny", 1));
        accepted(submit(new_job("ben", "other")).await);
        let (session, _) = attach(&store, "w", 9, &[]).await;
        claim(&store, "w", session, 1).await;
        accepted(submit(new_job("ben", "tiny")).await);
    }
}
