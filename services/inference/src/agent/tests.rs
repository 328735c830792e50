use std::collections::BTreeSet;
use std::pin::Pin;

use kinora_blobs::BlobStore;
use kinora_ids::JobId;
use kinora_proto::scheduler::v1::worker_service_server::{WorkerService, WorkerServiceServer};
use kinora_testkit::net::loopback_listener;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::Routes;
use tonic::{Request, Response, Streaming};

use super::*;
use crate::fake::{Gate, serve_store, workbench};

type Down = mpsc::Sender<Result<pb::AttachResponse, Status>>;

/// Hands every stream that a worker opens to the test.
struct FakeScheduler {
    streams: mpsc::UnboundedSender<(Streaming<pb::AttachRequest>, Down)>,
}

#[tonic::async_trait]
impl WorkerService for FakeScheduler {
    type AttachStream = Pin<Box<dyn Stream<Item = Result<pb::AttachResponse, Status>> + Send>>;

    async fn attach(
        &self,
        request: Request<Streaming<pb::AttachRequest>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        let (down, outgoing) = mpsc::channel(16);
        self.streams.send((request.into_inner(), down)).unwrap();
        Ok(Response::new(Box::pin(ReceiverStream::new(outgoing))))
    }
}

/// A worker with a fake model, a real encoder and a real store, and the scheduler's end of its stream.
struct Bench {
    streams: mpsc::UnboundedReceiver<(Streaming<pb::AttachRequest>, Down)>,
    gate: Gate,
    blobs: BlobStore,
    shutdown: CancellationToken,
    agent: tokio::task::JoinHandle<Result<(), Error>>,
    _folder: tempfile::TempDir,
}

/// One attached stream.
struct Attached {
    up: Streaming<pb::AttachRequest>,
    down: Down,
    hello: pb::Hello,
}

async fn start(gate: Gate, drain_timeout: Duration) -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let store = serve_store(folder.path().join("objects")).await;
    let blobs = BlobStore::new(&store);
    blobs.ensure_bucket().await.unwrap();
    let (sender, streams) = mpsc::unbounded_channel();
    let listener = loopback_listener().await;
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let service = WorkerServiceServer::new(FakeScheduler { streams: sender });
    let forever = CancellationToken::new();
    tokio::spawn(kinora_mesh::serve::grpc(
        listener,
        Routes::new(service),
        &[],
        forever,
    ));
    let bench = workbench(gate.clone(), blobs.clone(), folder.path());
    let shutdown = CancellationToken::new();
    let channel = kinora_mesh::channel::connect_lazy(&endpoint).unwrap();
    let identity = identity(drain_timeout);
    let agent = Agent::new(identity, Arc::new(bench), channel, shutdown.clone());
    let agent = tokio::spawn(agent.run());
    Bench {
        streams,
        gate,
        blobs,
        shutdown,
        agent,
        _folder: folder,
    }
}

fn identity(drain_timeout: Duration) -> Identity {
    Identity {
        worker_id: "w".to_owned(),
        device: "cpu".to_owned(),
        slots: 1,
        drain_timeout,
    }
}

impl Bench {
    async fn attached(&mut self) -> Attached {
        let (mut up, down) = self.streams.recv().await.unwrap();
        let first = up.message().await.unwrap().unwrap().message;
        let Some(pb::attach_request::Message::Hello(hello)) = first else {
            panic!("the first message is {first:?}");
        };
        let attached = Attached { up, down, hello };
        attached
            .send(pb::attach_response::Message::Welcome(pb::Welcome::default()))
            .await;
        attached
    }
}

impl Attached {
    async fn send(&self, message: pb::attach_response::Message) {
        self.down
            .send(Ok(pb::AttachResponse {
                message: Some(message),
            }))
            .await
            .unwrap();
    }

    async fn grant(&self, lease: LeaseRef, prompt: &str, steps: u32) {
        self.grant_from(lease, prompt, steps, None).await;
    }

    async fn grant_from(
        &self,
        lease: LeaseRef,
        prompt: &str,
        steps: u32,
        checkpoint: Option<pb::Checkpoint>,
    ) {
        let spec = spec(prompt, steps);
        let grant = pb::LeaseGrant {
            lease: Some(lease_to_pb(lease)),
            attempt: 1,
            spec: Some(spec),
            checkpoint,
            ..Default::default()
        };
        self.send(pb::attach_response::Message::Grant(grant)).await;
    }

    async fn receipt(&self, lease: LeaseRef, accepted: bool) {
        let receipt = pb::Receipt {
            lease: Some(lease_to_pb(lease)),
            accepted,
        };
        self.send(pb::attach_response::Message::Receipt(receipt))
            .await;
    }

    /// The next message that is neither progress, a checkpoint nor a heartbeat.
    async fn report(&mut self) -> pb::attach_request::Message {
        use pb::attach_request::Message;
        loop {
            match self.up.message().await.unwrap().unwrap().message.unwrap() {
                Message::Progress(_) | Message::Checkpoint(_) | Message::Heartbeat(_) => {}
                report => return report,
            }
        }
    }

    /// The next preview, and the step that it came with.
    async fn preview(&mut self) -> (u32, Vec<u8>) {
        loop {
            let message = self.up.message().await.unwrap().unwrap().message.unwrap();
            if let pb::attach_request::Message::Progress(report) = message
                && !report.preview_webp.is_empty()
            {
                return (report.progress.unwrap().step, report.preview_webp);
            }
        }
    }

    async fn completion(&mut self) -> pb::Outputs {
        match self.report().await {
            pb::attach_request::Message::Completion(report) => report.outputs.unwrap(),
            other => panic!("expected a completion: {other:?}"),
        }
    }

    async fn failure(&mut self) -> pb::Failure {
        match self.report().await {
            pb::attach_request::Message::Failure(report) => report.failure.unwrap(),
            other => panic!("expected a failure: {other:?}"),
        }
    }

    async fn checkpoint(&mut self) -> pb::Checkpoint {
        loop {
            let message = self.up.message().await.unwrap().unwrap().message.unwrap();
            if let pb::attach_request::Message::Checkpoint(report) = message {
                return report.checkpoint.unwrap();
            }
        }
    }

    /// The first denoising progress.
    async fn first_step(&mut self) -> u32 {
        loop {
            let progress = self.progress().await;
            if progress.stage() == pb::Stage::Denoising {
                return progress.step;
            }
        }
    }

    async fn progress(&mut self) -> pb::Progress {
        loop {
            let message = self.up.message().await.unwrap().unwrap().message.unwrap();
            if let pb::attach_request::Message::Progress(report) = message {
                return report.progress.unwrap();
            }
        }
    }
}

fn spec(prompt: &str, steps: u32) -> pb::VideoSpec {
    pb::VideoSpec {
        model: "fake".to_owned(),
        prompt: prompt.to_owned(),
        width: 16,
        height: 16,
        frames: 5,
        fps: 8,
        steps,
        ..Default::default()
    }
}

fn lease(number: u64) -> LeaseRef {
    LeaseRef {
        job: JobId::generate(),
        lease: number,
    }
}

const LONG: Duration = Duration::from_secs(600);

async fn is_empty(blobs: &BlobStore, lease: LeaseRef) {
    let limit = Duration::from_secs(20);
    kinora_testkit::wait::until("the attempt's objects are gone", limit, || async {
        let objects = blobs.list(&lease.object_prefix()).await.unwrap();
        if objects.is_empty() {
            Ok(())
        } else {
            Err(objects.len())
        }
    })
    .await;
}

#[tokio::test]
async fn a_lease_becomes_stored_files_under_its_own_prefix() {
    let mut bench = start(Gate::open(), LONG).await;
    let mut stream = bench.attached().await;
    assert_eq!(stream.hello.models[0].id, "fake");
    let lease = lease(3);
    stream.grant(lease, "fine", 2).await;
    let outputs = stream.completion().await;
    stream.receipt(lease, true).await;
    for key in [
        &outputs.video_key,
        &outputs.thumbnail_key,
        &outputs.manifest_key,
    ] {
        assert!(key.starts_with(&lease.object_prefix()), "{key}");
        assert!(bench.blobs.head(key).await.unwrap().is_some(), "{key}");
    }
    assert_eq!(outputs.still_key, "");
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
    let channel = kinora_mesh::channel::connect_lazy("http://127.0.0.1:9").unwrap();
    let mut agent = Agent::new(identity(LONG), bench, channel, CancellationToken::new());
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
