//! Watchers of groups, and of what waits.

use std::collections::HashMap;

use kinora_proto::scheduler::v1 as pb;
use kinora_proto::scheduler::v1::JobState;

use crate::harness::{PATIENCE, TestScheduler, beat, progress, prompt, reason};

fn numbers_grow(events: &[pb::Event]) {
    let mut newest: HashMap<&str, u64> = HashMap::new();
    for event in events {
        let before = newest.insert(&event.job_id, event.seq);
        assert!(before.is_none_or(|before| before < event.seq), "{events:?}");
    }
}

kinora_store::on_both_databases! {
    async fn one_stream_tells_of_all_jobs_of_a_group(url: DatabaseUrl) {
        let scheduler = TestScheduler::start(&url).await;
        let anna = scheduler.caller("anna").await;
        let mut worker = scheduler.worker("w").await;
        let prompts = vec![prompt("a ball"), prompt("a red ball"), prompt("ball")];
        let group = anna.batch("", prompts).await.expect("accepted");
        let watcher = anna.watch_group(&group.id).await.expect("watches");
        for step in 1..=3 {
            let lease = worker.grant().await.lease.expect("a lease");
            if step == 2 {
                anna.cancel(&lease.job_id).await.expect("cancels");
                assert_eq!(worker.revocation().await, lease);
                // Its place is free once a heartbeat no longer names it.
                worker.say(beat(&[])).await;
            } else {
                worker.say(progress(&lease, step)).await;
                assert!(worker.complete(&lease).await);
            }
        }
        let events = watcher.rest().await;
        numbers_grow(&events);
        assert!(events.iter().all(|event| event.group_id == group.id));
        let ended = |state| events.iter().filter(|event| event.state() == state).count();
        assert_eq!((ended(JobState::Completed), ended(JobState::Cancelled)), (2, 1));
        // Whoever comes late is told how each has ended, and no more.
        let late = anna.watch_group(&group.id).await.expect("watches").rest().await;
        assert_eq!(late.len(), 3);
    }

    async fn nobody_opens_more_streams_than_allowed(url: DatabaseUrl) {
        let scheduler = TestScheduler::start_with(&url, |options| options.max_watches = 1).await;
        let (anna, ben) = (scheduler.caller("anna").await, scheduler.caller("ben").await);
        scheduler.worker("w").await;
        let job = anna.submit(prompt("a ball")).await.expect("accepted");
        let own = ben.submit(prompt("a ball")).await.expect("accepted");
        let first = anna.watch(&job.id, 0).await.expect("watches");
        let Err(refused) = anna.watch(&job.id, 0).await else {
            panic!("a second stream");
        };
        assert_eq!(reason(&refused), "TOO_MANY_WATCHES");
        ben.watch(&own.id, 0).await.expect("others may");
        drop(first);
        kinora_testkit::wait::until("the place is free", PATIENCE, || async {
            anna.watch(&job.id, 0).await.map(|_| ())
        })
        .await;
    }

    async fn queued_job_s_place_and_wait_are_told(url: DatabaseUrl) {
        let scheduler = TestScheduler::start(&url).await;
        let anna = scheduler.caller("anna").await;
        let mut worker = scheduler.worker("w").await;
        anna.submit(prompt("a ball")).await.expect("accepted");
        let lease = worker.grant().await.lease.expect("a lease");
        anna.submit(prompt("a ball")).await.expect("accepted");
        let job = anna.submit(prompt("a ball")).await.expect("accepted");
        let mut watcher = anna.watch(&job.id, 0).await.expect("watches");
        let mut place = None;
        while place != Some((1, true)) {
            let progress = watcher.next().await.expect("no error").expect("not the end").progress;
            place = progress.map(|progress| (progress.queue_position, progress.queue_eta.is_some()));
        }
        assert!(worker.complete(&lease).await);
        worker.grant().await;
        while place != Some((0, true)) {
            let progress = watcher.next().await.expect("no error").expect("not the end").progress;
            place = progress.map(|progress| (progress.queue_position, progress.queue_eta.is_some()));
        }
    }
}
