//! What becomes of holds when something stands against it: a contradiction, a lost job, another try, another replica.

use super::stage::*;
use super::*;

kinora_store::on_both_databases! {
    async fn sweep_releases_what_has_no_job_and_renews_what_has(url: DatabaseUrl) {
        let (scheduler, ledger) = start(&url, 10_000).await;
        let anna = scheduler.caller("anna").await;
        let _worker = scheduler.worker("w").await;
        let mut jobs = Vec::new();
        for _ in 0..5 {
            jobs.push(anna.submit(prompt("a ball")).await.expect("accepted").id);
        }
        let strangers: Vec<String> = (0..5).map(|_| JobId::generate().to_string()).collect();
        ledger.change(|book| {
            for stranger in &strangers {
                book.hold_for_nobody(stranger, 100, Utc::now());
            }
        });
        ledger.age(TimeDelta::hours(13));
        waits_for(&ledger, "releases and renewals", |ledger| ledger.look(|book| {
            let is_released = |job: &String| book.holds[job].end == End::Released;
            let is_renewed = |job: &String| book.holds[job].renewals > 0;
            strangers.iter().all(is_released) && jobs.iter().all(is_renewed)
        })).await;
        assert!(ledger.look(|book| jobs.iter().all(|job| book.holds[job].is_open())));
        ledger.look(|book| book.check());
    }

    async fn contradiction_is_set_aside_and_holds_nobody_up(url: DatabaseUrl) {
        let (scheduler, ledger) = start(&url, 10_000).await;
        let anna = scheduler.caller("anna").await;
        let mut worker = scheduler.worker("w").await;
        let [odd, usual] = [anna.submit(prompt("a ball")).await, anna.submit(prompt("a ball")).await];
        let [odd, usual] = [odd.expect("accepted").id, usual.expect("accepted").id];
        ledger.change(|book| book.release(&odd)).expect("releases");
        assert_eq!(complete(&mut worker).await, odd);
        assert_eq!(complete(&mut worker).await, usual);
        assert_eq!(ledger.settled().await[&usual].captured(), CLIP);
        wait_for_settlements(&url, (0, 1)).await;
        assert_eq!(anna.get(&odd).await.expect("reads").status(), VideoStatus::Completed);
    }

    async fn operators_retry_is_on_the_house(url: DatabaseUrl) {
        let (scheduler, ledger) = start_with(&url, CLIP, |options| options.max_attempts = 1).await;
        let anna = scheduler.caller("anna").await;
        let mut worker = scheduler.worker("w").await;
        let job = anna.submit(prompt("a ball")).await.expect("accepted");
        assert_eq!(fail(&mut worker).await, job.id);
        let again = scheduler.operator("olga").retry(&job.id).await.expect("retries");
        assert_eq!(complete(&mut worker).await, again.id);
        let settled = ledger.settled().await;
        assert_eq!((settled.len(), settled[&job.id].end), (1, End::Released));
    }

    async fn settlements_go_on_at_the_replica_that_is_left(url: DatabaseUrl) {
        let (first, ledger) = start(&url, 10_000).await;
        let anna = first.caller("anna").await;
        let mut worker = first.worker("w").await;
        let job = anna.submit(prompt("a ball")).await.expect("accepted");
        ledger.be_away(true);
        complete(&mut worker).await;
        first.stop().await;
        let endpoint = ledger.serve().await;
        let second = TestScheduler::start_with(&url, |options| {
            options.billing_endpoint = Some(endpoint);
            options.settle_interval = Duration::from_millis(30);
        }).await;
        ledger.be_away(false);
        assert_eq!(ledger.settled().await[&job.id].captured(), CLIP);
        second.stop().await;
    }
}
