mod bench;
mod orders;
mod parts;
mod real_models;

use std::collections::BTreeSet;

use kinora_blobs::BlobStore;

use self::bench::*;
use super::*;
use crate::convert::lease_to_pb;
use crate::fake::{Gate, serve_store, workbench};

/// The sprite sheet of a clip, and its media type.
async fn sheet_of(blobs: &BlobStore, outputs: &pb::Outputs) -> (kinora_media::Still, String) {
    let key = &outputs.spritesheet_key;
    let jpeg = blobs.get_bytes(key, 1 << 20).await.unwrap();
    let info = blobs.head(key).await.unwrap().unwrap();
    let sheet = kinora_media::decode_still(&jpeg).unwrap();
    (sheet, info.content_type.unwrap())
}

#[tokio::test]
async fn a_lease_becomes_stored_files_under_its_own_prefix() {
    let mut bench = start(Gate::open(), LONG).await;
    let mut stream = bench.attached().await;
    let offered = stream.hello.models.iter().map(|model| model.id.as_str());
    let mut offered: Vec<_> = offered.collect();
    offered.sort_unstable();
    assert_eq!(offered, ["fake", "fake-i2v"]);
    let lease = lease(3);
    stream.grant(lease, "fine", 2).await;
    let outputs = stream.completion().await;
    stream.receipt(lease, true).await;
    for key in [
        &outputs.video_key,
        &outputs.thumbnail_key,
        &outputs.spritesheet_key,
        &outputs.manifest_key,
    ] {
        assert!(key.starts_with(&lease.object_prefix()), "{key}");
        assert!(bench.blobs.head(key).await.unwrap().is_some(), "{key}");
    }
    assert_eq!(outputs.still_key, "");
    let (sheet, content_type) = sheet_of(&bench.blobs, &outputs).await;
    assert_eq!(content_type, "image/jpeg");
    let tiles = outputs.frames.min(25);
    let (columns, rows) = (tiles.min(5), tiles.div_ceil(5));
    assert_eq!(
        (sheet.width, sheet.height),
        (columns * outputs.width, rows * outputs.height)
    );
}

#[tokio::test]
async fn a_single_frame_is_also_stored_as_it_is() {
    let mut bench = start(Gate::open(), LONG).await;
    let mut stream = bench.attached().await;
    let lease = lease(3);
    let mut single = spec("fine", 2);
    single.frames = 1;
    let grant = pb::LeaseGrant {
        lease: Some(lease_to_pb(lease)),
        attempt: 1,
        spec: Some(single),
        ..Default::default()
    };
    let grant = pb::attach_response::Message::Grant(grant);
    stream.send(grant).await;
    let outputs = stream.completion().await;
    stream.receipt(lease, true).await;
    assert!(outputs.still_key.starts_with(&lease.object_prefix()));
    let png = bench.blobs.get_bytes(&outputs.still_key, 1 << 20).await;
    let still = kinora_media::decode_still(&png.unwrap()).unwrap();
    assert_eq!((still.width, still.height), (16, 16));
    let (sheet, _) = sheet_of(&bench.blobs, &outputs).await;
    assert_eq!((sheet.width, sheet.height), (16, 16));
    let manifest = bench.blobs.get_bytes(&outputs.manifest_key, 1 << 20).await;
    let manifest = crate::manifest::Manifest::from_json(&manifest.unwrap()).unwrap();
    let sum = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(&still.rgb));
    assert_eq!(sum, manifest.frames_sha256, "no loss");
}

#[tokio::test]
async fn failures_carry_a_reason_and_the_next_lease_is_served() {
    let mut bench = start(Gate::open(), LONG).await;
    let mut stream = bench.attached().await;
    for (prompt, reason) in [("memory", "OUT_OF_MEMORY"), ("engine", "ENGINE_FAILED")] {
        let lease = lease(1);
        stream.grant(lease, prompt, 1).await;
        let failure = stream.failure().await;
        assert_eq!((failure.reason.as_str(), failure.retryable), (reason, true));
        assert!(
            !failure.message.contains("nan"),
            "internals stay inside: {}",
            failure.message
        );
        stream.receipt(lease, true).await;
    }
    stream.grant(lease(1), "fine", 1).await;
    stream.completion().await;
}

#[tokio::test]
async fn a_revoked_lease_stops_is_not_reported_and_leaves_nothing() {
    let mut bench = start(Gate::default(), LONG).await;
    let mut stream = bench.attached().await;
    let (revoked, next) = (lease(1), lease(1));
    stream.grant(revoked, "stopped", 50).await;
    bench.gate.allow(1);
    stream.progress().await;
    let message = pb::Revocation {
        lease: Some(lease_to_pb(revoked)),
    };
    stream
        .send(pb::attach_response::Message::Revocation(message))
        .await;
    stream.grant(next, "fine", 1).await;
    // The revoked attempt may take steps until it notices, but never its fifty.
    let mut steps = tokio::time::interval(Duration::from_millis(20));
    let completion = stream.completion();
    tokio::pin!(completion);
    let outputs = loop {
        tokio::select! {
            outputs = &mut completion => break outputs,
            _ = steps.tick() => bench.gate.allow(1),
        }
    };
    assert!(outputs.video_key.starts_with(&next.object_prefix()));
    is_empty(&bench.blobs, revoked).await;
}

#[tokio::test]
async fn a_broken_stream_costs_no_work_and_the_report_is_repeated() {
    let mut bench = start(Gate::default(), LONG).await;
    let mut stream = bench.attached().await;
    let lease = lease(7);
    stream.grant(lease, "fine", 2).await;
    bench.gate.allow(1);
    stream.progress().await;
    drop(stream);
    let mut stream = bench.attached().await;
    assert_eq!(
        stream.hello.held,
        [lease_to_pb(lease)],
        "the lease is still held"
    );
    bench.gate.allow(1);
    stream.completion().await;
    drop(stream);
    let mut stream = bench.attached().await;
    let outputs = stream.completion().await;
    assert!(
        outputs.video_key.starts_with(&lease.object_prefix()),
        "without a receipt, again"
    );
}

#[tokio::test]
async fn what_the_scheduler_did_not_accept_is_removed() {
    let mut bench = start(Gate::open(), LONG).await;
    let mut stream = bench.attached().await;
    let lease = lease(1);
    stream.grant(lease, "fine", 1).await;
    stream.completion().await;
    stream.receipt(lease, false).await;
    is_empty(&bench.blobs, lease).await;
}

#[tokio::test]
async fn a_drain_hands_back_what_does_not_finish_in_time() {
    let mut bench = start(Gate::default(), Duration::ZERO).await;
    let mut stream = bench.attached().await;
    let lease = lease(1);
    stream.grant(lease, "endless", 50).await;
    bench.gate.allow(1);
    stream.progress().await;
    bench.shutdown.cancel();
    let failure = stream.failure().await;
    assert_eq!(
        (failure.reason.as_str(), failure.retryable),
        ("WORKER_DRAINED", true)
    );
    stream.receipt(lease, true).await;
    bench.agent.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_drain_waits_for_an_attempt_that_finishes_in_time() {
    let mut bench = start(Gate::default(), LONG).await;
    let mut stream = bench.attached().await;
    let lease = lease(1);
    stream.grant(lease, "fine", 2).await;
    bench.gate.allow(1);
    stream.progress().await;
    bench.shutdown.cancel();
    bench.gate.allow(1);
    stream.completion().await;
    stream.receipt(lease, true).await;
    bench.agent.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_cut_off_attempt_hands_its_checkpoint_over_before_it_fails() {
    let mut bench = start(Gate::default(), Duration::ZERO).await;
    let mut stream = bench.attached().await;
    let lease = lease(4);
    stream.grant(lease, "endless", 50).await;
    bench.gate.allow(3);
    while stream.checkpoint().await.step < 3 {}
    bench.shutdown.cancel();
    let stored = stream.checkpoint().await;
    assert_eq!((stored.step, stored.bytes), (3, 1));
    assert_eq!(stored.key, lease.checkpoint_key(3));
    assert_eq!(stream.failure().await.reason, "WORKER_DRAINED");
    assert_eq!(bench.blobs.get_bytes(&stored.key, 9).await.unwrap(), "3");
    stream.receipt(lease, true).await;
    bench.agent.await.unwrap().unwrap();
}

#[tokio::test]
async fn an_attempt_that_was_cut_off_while_detached_hands_its_checkpoint_over_before_it_fails() {
    use pb::attach_request::Message;
    let folder = tempfile::tempdir().unwrap();
    let blobs = BlobStore::new(&serve_store(folder.path().join("objects")).await);
    let bench = Arc::new(workbench(Gate::open(), blobs, folder.path()));
    // Nobody answers there.
    let nobody = Schedulers::new(
        &["https://127.0.0.1:9".to_owned()],
        kinora_testkit::identity::identity("worker"),
    )
    .unwrap();
    let lifecycle = Lifecycle::until(&CancellationToken::new());
    let mut agent = Agent::new(identity(LONG), bench, nobody, lifecycle);
    let lease = lease(4);
    agent.held.insert(lease, Held::default());
    for step in [2, 3] {
        let stored = pb::Checkpoint {
            key: lease.checkpoint_key(step),
            step,
            ..Default::default()
        };
        agent.note(AttemptEvent::Told(lease, Told::Checkpoint(stored)));
    }
    agent.note(AttemptEvent::Finished(lease, Err(AttemptError::Drained)));
    let (up, mut outgoing) = mpsc::channel(8);
    agent.repeat_reports(&up).await.unwrap();
    drop(up);
    match outgoing.recv().await.unwrap().message.unwrap() {
        Message::Checkpoint(report) => assert_eq!(report.checkpoint.unwrap().step, 3),
        other => panic!("expected the newest checkpoint: {other:?}"),
    }
    match outgoing.recv().await.unwrap().message.unwrap() {
        Message::Failure(report) => assert_eq!(report.failure.unwrap().reason, "WORKER_DRAINED"),
        other => panic!("expected the failure: {other:?}"),
    }
    assert!(outgoing.recv().await.is_none(), "no more than that");
}

#[tokio::test]
async fn what_the_scheduler_may_still_grant_stays_and_the_newest_is_repeated_on_a_new_stream() {
    let mut bench = start(Gate::default(), LONG).await;
    let mut stream = bench.attached().await;
    let lease = lease(1);
    stream.grant(lease, "endless", 100).await;
    for step in 1..=66 {
        bench.gate.allow(1);
        assert_eq!(stream.checkpoint().await.step, step);
    }
    // The reports of the last ones may not have been read yet.
    let prefix = kinora_ids::job_checkpoint_prefix(lease.job);
    let kept: BTreeSet<String> = (3..=66).map(|step| lease.checkpoint_key(step)).collect();
    let limit = Duration::from_secs(20);
    kinora_testkit::wait::until("the last checkpoints are left", limit, || async {
        let objects = bench.blobs.list(&prefix).await.unwrap();
        let keys: BTreeSet<String> = objects.into_iter().map(|object| object.key).collect();
        if keys == kept { Ok(()) } else { Err(keys) }
    })
    .await;
    drop(stream);
    let mut stream = bench.attached().await;
    assert_eq!(stream.checkpoint().await.step, 66);
}

#[tokio::test]
async fn a_checkpoint_is_gone_on_from_and_a_bad_one_starts_over() {
    use sha2::{Digest, Sha256};
    let mut bench = start(Gate::open(), LONG).await;
    let mut stream = bench.attached().await;
    for (stored, digested, expected) in [
        (Some("2"), "2", 2),
        // Damaged in the store.
        (Some("3"), "2", 0),
        // Gone.
        (None, "2", 0),
    ] {
        let lease = lease(2);
        let checkpoint = pb::Checkpoint {
            key: LeaseRef { lease: 1, ..lease }.checkpoint_key(2),
            step: 2,
            sha256: hex::encode(Sha256::digest(digested)),
            bytes: 1,
        };
        if let Some(stored) = stored {
            let put = bench.blobs.put_bytes(&checkpoint.key, stored, "x/y");
            put.await.unwrap();
        }
        stream.grant_from(lease, "fine", 4, Some(checkpoint)).await;
        assert_eq!(stream.first_step().await, expected, "{stored:?}");
        stream.completion().await;
        stream.receipt(lease, true).await;
    }
}

#[tokio::test]
async fn previews_come_as_webp_with_the_progress_so_far() {
    let mut bench = start(Gate::default(), LONG).await;
    let mut stream = bench.attached().await;
    let lease = lease(1);
    stream.grant(lease, "fine", 3).await;
    bench.gate.allow(1);
    let (step, webp) = stream.preview().await;
    assert_eq!(step, 1);
    assert!(kinora_media::probe_still(&webp).is_ok());
    bench.gate.allow(2);
    stream.completion().await;
}

#[tokio::test]
async fn pictures_that_cannot_be_used_end_the_job_with_a_reason() {
    use sha2::{Digest, Sha256};
    let mut bench = start(Gate::open(), LONG).await;
    let mut stream = bench.attached().await;
    let good = kinora_media::thumbnail_webp(&[9; 12], 2, 2).unwrap();
    let cut = good[..good.len() / 2].to_vec();
    for (stored, digested, reason) in [
        (Some(&good), &good, None),
        (None, &good, Some("IMAGE_MISSING")),
        (Some(&cut), &good, Some("IMAGE_DAMAGED")),
        (Some(&cut), &cut, Some("IMAGE_NOT_READABLE")),
    ] {
        let lease = lease(1);
        let key = format!("{}first.webp", kinora_ids::job_input_prefix(lease.job));
        if let Some(stored) = stored {
            let put = bench.blobs.put_bytes(&key, stored.clone(), "image/webp");
            put.await.unwrap();
        }
        let grant = pb::LeaseGrant {
            lease: Some(lease_to_pb(lease)),
            spec: Some(pb::VideoSpec {
                image_key: key,
                image_sha256: hex::encode(Sha256::digest(digested)),
                ..spec("fine", 1)
            }),
            ..Default::default()
        };
        stream
            .send(pb::attach_response::Message::Grant(grant))
            .await;
        match reason {
            None => drop(stream.completion().await),
            Some(reason) => assert_eq!(stream.failure().await.reason, reason),
        }
        stream.receipt(lease, true).await;
    }
}
