mod frames;

use kinora_ids::JobId;
use kinora_testkit::net::loopback_listener;

use super::*;
use crate::fake::{Gate, serve_store, store_options, workbench};

fn grant() -> Grant {
    let lease = LeaseRef {
        job: JobId::generate(),
        lease: 2,
    };
    Grant {
        lease,
        spec: pb::VideoSpec {
            model: "fake".to_owned(),
            prompt: "fine".to_owned(),
            width: 16,
            height: 16,
            frames: 5,
            fps: 8,
            steps: 1,
            ..Default::default()
        },
        time_limit: Duration::from_secs(600),
        traceparent: String::new(),
        checkpoint: None,
        is_stitch: false,
        parts: Vec::new(),
        wants_last_frame: false,
        audience: Audience::General,
    }
}

/// A grant whose first fetch is that of a checkpoint, or of a picture.
fn grants_that_fetch() -> [Grant; 2] {
    let (mut resumed, mut pictured) = (grant(), grant());
    resumed.checkpoint = Some(pb::Checkpoint {
        key: resumed.lease.checkpoint_key(1),
        step: 1,
        ..Default::default()
    });
    let prefix = kinora_ids::job_input_prefix(pictured.lease.job);
    pictured.spec.image_key = format!("{prefix}first.png");
    [resumed, pictured]
}

/// Runs an attempt that is asked to stop as soon as a stage is reported.
async fn run_until(stage: pb::Stage, ask: fn(&SignalCell)) -> Result<pb::Outputs, AttemptError> {
    let folder = tempfile::tempdir().unwrap();
    let blobs = BlobStore::new(&serve_store(folder.path().join("objects")).await);
    blobs.ensure_bucket().await.unwrap();
    let bench = Arc::new(workbench(Gate::open(), blobs, folder.path()));
    let signal = SignalCell::default();
    let asked = signal.clone();
    let tell = Arc::new(move |told| match told {
        Told::Progress(progress) if progress.stage() == stage => ask(&asked),
        _ => {}
    });
    Box::pin(run(bench, grant(), signal, DeviceTime::default(), tell)).await
}

#[tokio::test]
async fn a_stop_does_not_wait_for_a_store_that_hangs() {
    // Nobody answers those who connect.
    let silent = loopback_listener().await;
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let blobs = BlobStore::new(&store_options(endpoint));
    let bench = Arc::new(workbench(Gate::open(), blobs, folder.path()));
    let asks: [(fn(&SignalCell), _); 2] = [
        (SignalCell::pause, "WORKER_DRAINED"),
        (SignalCell::cancel, "CANCELLED"),
    ];
    for (ask, reason) in asks {
        for grant in grants_that_fetch() {
            let signal = SignalCell::default();
            let tell: Tell = Arc::new(|_| {});
            let attempt = run(
                Arc::clone(&bench),
                grant,
                signal.clone(),
                DeviceTime::default(),
                tell,
            );
            let attempt = tokio::spawn(attempt);
            let connection = silent.accept().await.unwrap();
            ask(&signal);
            let error = attempt.await.unwrap().unwrap_err();
            drop(connection);
            assert_eq!(error.reason().0, reason);
        }
    }
}

#[tokio::test]
async fn a_store_that_cannot_be_reached_ends_the_attempt_and_not_the_checkpoint() {
    let gone = loopback_listener().await;
    let endpoint = format!("http://{}", gone.local_addr().unwrap());
    drop(gone);
    let folder = tempfile::tempdir().unwrap();
    let blobs = BlobStore::new(&store_options(endpoint));
    let bench = Arc::new(workbench(Gate::open(), blobs, folder.path()));
    for grant in grants_that_fetch() {
        let tell: Tell = Arc::new(|_| {});
        let attempt = run(
            Arc::clone(&bench),
            grant,
            SignalCell::default(),
            DeviceTime::default(),
            tell,
        );
        let error = Box::pin(attempt).await.unwrap_err();
        assert_eq!(error.reason(), ("STORAGE_UNAVAILABLE", true));
    }
}

#[tokio::test]
async fn a_clip_that_is_made_is_stored_in_spite_of_a_drain_and_not_of_a_cancellation() {
    let drained = run_until(pb::Stage::Uploading, SignalCell::pause).await;
    assert!(drained.is_ok(), "{drained:?}");
    let cancelled = run_until(pb::Stage::Uploading, SignalCell::cancel).await;
    assert!(matches!(cancelled, Err(AttemptError::Cancelled)));
}
