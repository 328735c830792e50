//! Watchers of groups, and of what waits.

use std::collections::HashMap;

use kinora_proto::scheduler::v1 as pb;
use kinora_proto::scheduler::v1::video::Status as VideoStatus;

use crate::harness::{PATIENCE, TestScheduler, beat, progress, prompt, reason};

/// Asserts that a group's stream ended as it should, and returns what came before the end.
#[track_caller]
fn without_end(mut events: Vec<pb::VideoEvent>, group: &str) -> Vec<pb::VideoEvent> {
    let end = events.pop().expect("an end");
    let expected = pb::VideoEvent {
        id: group.to_owned(),
        object: "video.event".to_owned(),
        r#type: "end".to_owned(),
        ..pb::VideoEvent::default()
    };
    assert_eq!(end, expected);
    assert!(
        events
            .iter()
            .all(|event| event.r#type != "end" && event.seq == 0)
    );
    assert!(events.iter().all(|event| event.group_id() == group));
    events
}

/// Asserts that each event is named after what it changes.
#[track_caller]
fn names_fit(events: &[pb::VideoEvent]) {
    let mut before = HashMap::new();
    for event in events {
        let now = (event.status(), event.attempt);
        let is_progress = before.insert(event.id.as_str(), now) == Some(now);
        let expected = if is_progress {
            "progress"
        } else {
            event.status().as_str_name()
        };
        assert_eq!(event.r#type, expected, "{events:?}");
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
        let events = without_end(watcher.rest().await, &group.id);
        names_fit(&events);
        let ended = |state| events.iter().filter(|event| event.status() == state).count();
        assert_eq!((ended(VideoStatus::Completed), ended(VideoStatus::Cancelled)), (2, 1));
        // Whoever comes late is told how each has ended, and no more.
        let late = anna.watch_group(&group.id).await.expect("watches").rest().await;
        let late = without_end(late, &group.id);
        let mut told: Vec<&str> = late.iter().map(|event| event.r#type.as_str()).collect();
        told.sort_unstable();
        assert_eq!(told, ["cancelled", "completed", "completed"]);
    }

    async fn a_group_that_was_deleted_meanwhile_ends_too(url: DatabaseUrl) {
        let scheduler = TestScheduler::start(&url).await;
        let anna = scheduler.caller("anna").await;
        let _worker = scheduler.worker("w").await;
        let group = anna.batch("", vec![prompt("a ball"), prompt("ball")]).await.expect("accepted");
        let watcher = anna.watch_group(&group.id).await.expect("watches");
        for video in &group.videos {
            anna.delete(&video.id).await.expect("deletes");
        }
        let events = watcher.rest().await;
        assert_eq!(events.last().map(|event| event.r#type.as_str()), Some("end"));
    }

    async fn events_are_named_after_what_they_change(url: DatabaseUrl) {
        let scheduler = TestScheduler::start(&url).await;
        let anna = scheduler.caller("anna").await;
        let mut worker = scheduler.worker("w").await;
        let job = anna.submit(prompt("a ball")).await.expect("accepted");
        let watcher = anna.watch(&job.id, 0).await.expect("watches");
        let lease = worker.grant().await.lease.expect("a lease");
        worker.say(progress(&lease, 5)).await;
        assert!(worker.complete(&lease).await);
        let events = watcher.rest().await;
        names_fit(&events);
        assert!(events.windows(2).all(|pair| pair[0].seq < pair[1].seq), "{events:?}");
        let last = events.last().expect("an end");
        assert_eq!((last.r#type.as_str(), last.progress), ("completed", 100));
        // Who goes on later is told again what the first event is about.
        let again = anna.watch(&job.id, last.seq).await.expect("watches").rest().await;
        assert_eq!(again.iter().map(|event| event.r#type.as_str()).collect::<Vec<_>>(), ["completed"]);
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
            let progress = watcher.next().await.expect("no error").expect("not the end").work;
            place = progress.map(|progress| (progress.queue_position, progress.queue_eta.is_some()));
        }
        assert!(worker.complete(&lease).await);
        worker.grant().await;
        while place != Some((0, true)) {
            let progress = watcher.next().await.expect("no error").expect("not the end").work;
            place = progress.map(|progress| (progress.queue_position, progress.queue_eta.is_some()));
        }
    }
}
