//! Watchers: groups, slow ones, and those that come back.

use std::collections::HashMap;
use std::time::Duration;

use kinora_proto::scheduler::v1 as pb;
use kinora_proto::scheduler::v1::JobState;
use tonic::Code;

use crate::harness::{TestScheduler, progress, prompt, reason, with_preview};

/// The largest picture that is passed on.
fn large_picture() -> Vec<u8> {
    let mut webp = b"RIFF\0\0\0\0WEBP".to_vec();
    webp.resize(64 << 10, 0);
    webp
}

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
            worker.say(progress(&lease, step)).await;
            if step == 2 {
                anna.cancel(&lease.job_id).await.expect("cancels");
                assert_eq!(worker.revocation().await, lease);
            } else {
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

    async fn slow_watcher_is_told_where_to_go_on_and_misses_nothing(url: DatabaseUrl) {
        let patience = Duration::from_millis(50);
        let scheduler = TestScheduler::start_with(&url, |options| options.watcher_patience = patience).await;
        let anna = scheduler.caller("anna").await;
        let mut worker = scheduler.worker("w").await;
        let job = anna.submit(prompt("a ball")).await.expect("accepted");
        let mut watcher = anna.watch(&job.id, 0).await.expect("watches");
        let lease = worker.grant().await.lease.expect("a lease");
        // More than the connection takes while nobody reads.
        for step in 1..=400 {
            worker.say(with_preview(progress(&lease, step % 20), large_picture())).await;
        }
        assert!(worker.complete(&lease).await);
        let mut events = Vec::new();
        let cut = loop {
            match watcher.next().await {
                Ok(Some(event)) => events.push(event),
                Ok(None) => panic!("it was not cut off after {} events", events.len()),
                Err(status) => break status,
            }
        };
        assert_eq!((cut.code(), reason(&cut).as_str()), (Code::Unavailable, "WATCHER_TOO_SLOW"));
        let last = events.last().expect("some").seq;
        let rest = anna.watch(&job.id, last).await.expect("watches").rest().await;
        assert_eq!(rest.last().map(pb::Event::state), Some(JobState::Completed));
        events.extend(rest);
        numbers_grow(&events);
        let mut states: Vec<JobState> = events.iter().map(pb::Event::state).collect();
        states.dedup();
        assert_eq!(states, [JobState::Queued, JobState::Running, JobState::Completed]);
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
