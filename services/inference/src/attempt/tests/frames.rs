//! What becomes of clips whose frames are looked at.

use std::path::PathBuf;
use std::sync::mpsc as sync;

use kinora_models::Picture;

use crate::fake::{FACE, FACE_ONCE, FACE_SIDE};
use crate::frames::options::{FrameOptions, FrameReview};
use crate::frames::policy::{BUILT_IN, FramePolicy};
use crate::frames::{FrameError, FrameSetupError, Inspect, Sighting};
use crate::manifest::Manifest;

use super::*;

/// Faces are refused when the detector is sure, and looked at when it is not. Adults may see them.
const NO_FACES: &str = r#"
[general.FACE_FEMALE]
category = "faces"
refuse = { score = 0.6 }
"#;

/// No face of the drawing is as sure as that.
const FACES_FOR_REVIEW: &str = r#"
[general.FACE_FEMALE]
category = "faces"
refuse = { score = 0.99 }
review = { score = 0.6 }
"#;

/// An inspector that is a function.
struct Looks<F>(F);

impl<F: FnMut(&Picture) -> Result<Vec<Sighting>, FrameError> + Send> Inspect for Looks<F> {
    fn inspect(&mut self, picture: &Picture) -> Result<Vec<Sighting>, FrameError> {
        (self.0)(picture)
    }
}

/// A check by a function, with the built-in policy.
fn check_by(
    looks: impl FnMut(&Picture) -> Result<Vec<Sighting>, FrameError> + Send + 'static,
) -> FrameCheck {
    let policy = FramePolicy::from_toml(BUILT_IN).unwrap();
    let options = FrameOptions::default();
    let inspector = Box::new(Looks(looks));
    FrameCheck::of(inspector, "00".repeat(32), BUILT_IN, policy, options).unwrap()
}

fn options_of(folder: &std::path::Path, policy: &str, review: FrameReview) -> FrameOptions {
    let file = folder.join("policy.toml");
    std::fs::write(&file, policy).unwrap();
    let weights = kinora_testkit::env::required("KINORA_NUDENET", "the weights of a detector");
    FrameOptions {
        frame_detector: Some(weights.into()),
        frame_policy: Some(file),
        frame_review: review,
        ..FrameOptions::default()
    }
}

/// A check by the real detector.
fn real_check(folder: &std::path::Path, policy: &str, review: FrameReview) -> FrameCheck {
    let options = options_of(folder, policy, review);
    FrameCheck::open(&options).unwrap().unwrap()
}

/// A worker with a check, and a folder that has everything in its object store.
struct Checked {
    folder: tempfile::TempDir,
    blobs: BlobStore,
    gate: Gate,
    bench: Arc<Workbench>,
    signal: SignalCell,
}

impl Checked {
    async fn new(check: impl FnOnce(&std::path::Path) -> FrameCheck) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let blobs = BlobStore::new(&serve_store(folder.path().join("objects")).await);
        blobs.ensure_bucket().await.unwrap();
        let gate = Gate::default();
        let bench = Workbench {
            frames: Some(Arc::new(check(folder.path()))),
            ..workbench(gate.clone(), blobs.clone(), folder.path())
        };
        Self {
            folder,
            blobs,
            gate,
            bench: Arc::new(bench),
            signal: SignalCell::default(),
        }
    }

    async fn run(&self, grant: Grant) -> Result<pb::Outputs, AttemptError> {
        self.gate.allow(u32::MAX);
        let tell: Tell = Arc::new(|_| {});
        self.run_telling(grant, tell).await
    }

    async fn run_telling(&self, grant: Grant, tell: Tell) -> Result<pb::Outputs, AttemptError> {
        let (bench, signal) = (Arc::clone(&self.bench), self.signal.clone());
        Box::pin(run(bench, grant, signal, DeviceTime::default(), tell)).await
    }

    /// The keys of what the store has of a job, but for its checkpoints, which the scheduler removes.
    fn stored(&self, lease: LeaseRef) -> Vec<String> {
        let objects = self.folder.path().join("objects");
        let prefix = kinora_ids::job_object_prefix(lease.job);
        let checkpoints = kinora_ids::job_checkpoint_prefix(lease.job);
        let mut keys = Vec::new();
        let mut folders = vec![objects];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path: PathBuf = entry.unwrap().path();
                let text = path.to_string_lossy().into_owned();
                let key = text.find(&prefix).map(|start| text[start..].to_owned());
                match key {
                    _ if path.is_dir() => folders.push(path),
                    Some(key) if !key.starts_with(&checkpoints) => keys.push(key),
                    _ => {}
                }
            }
        }
        keys
    }

    async fn manifest(&self, outputs: &pb::Outputs) -> Manifest {
        let json = self.blobs.get_bytes(&outputs.manifest_key, 1 << 20).await;
        Manifest::from_json(&json.unwrap()).unwrap()
    }
}

fn grant_of(prompt: &str, frames: u32) -> Grant {
    let mut grant = grant();
    grant.spec.prompt = prompt.to_owned();
    grant.spec.frames = frames;
    (grant.spec.width, grant.spec.height) = (FACE_SIDE, FACE_SIDE);
    grant.wants_last_frame = true;
    grant
}

#[tokio::test]
async fn a_refused_clip_leaves_nothing_and_is_not_tried_again() {
    let worker = Checked::new(|folder| real_check(folder, NO_FACES, FrameReview::Keep)).await;
    for (prompt, frames) in [(FACE, 1), (FACE, 5), (FACE_ONCE, 5)] {
        let grant = grant_of(prompt, frames);
        let error = worker.run(grant.clone()).await.unwrap_err();
        let failure = error.report();
        assert_eq!(
            (failure.reason.as_str(), failure.retryable),
            ("CLIP_REFUSED", false)
        );
        assert!(
            failure.message.ends_with("not allowed here (faces)"),
            "{}",
            failure.message
        );
        assert_eq!(worker.stored(grant.lease), [""; 0], "{prompt}");
    }
}

#[tokio::test]
async fn an_allowed_clip_is_delivered_and_its_manifest_says_who_looked() {
    let worker = Checked::new(|folder| real_check(folder, NO_FACES, FrameReview::Discard)).await;
    let outputs = worker.run(grant_of("fine", 5)).await.unwrap();
    let record = serde_json::to_value(worker.manifest(&outputs).await.frame_check).unwrap();
    let checked = &record["checked"];
    assert_eq!(checked["frames"], serde_json::json!([0, 1, 2, 3, 4]));
    assert_eq!(checked["verdict"], "allow");
    assert_eq!(checked["audience"], "general");
    let policy = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(NO_FACES));
    assert_eq!(checked["policy_sha256"], policy);
    assert_eq!(checked["detector_sha256"].as_str().unwrap().len(), 64);
    // What adults may see is another list.
    let mut adult = grant_of(FACE, 5);
    adult.audience = Audience::VerifiedAdult;
    let outputs = worker.run(adult).await.unwrap();
    let record = serde_json::to_value(worker.manifest(&outputs).await.frame_check).unwrap();
    assert_eq!(record["checked"]["audience"], "verified_adult");
}

#[tokio::test]
async fn a_clip_for_review_is_kept_where_no_output_can_be_only_if_that_is_wanted() {
    for (review, is_kept) in [(FrameReview::Keep, true), (FrameReview::Discard, false)] {
        let worker = Checked::new(|folder| real_check(folder, FACES_FOR_REVIEW, review)).await;
        let grant = grant_of(FACE, 5);
        let failure = worker.run(grant.clone()).await.unwrap_err().report();
        assert_eq!(
            (failure.reason.as_str(), failure.retryable),
            ("CLIP_REFUSED", false)
        );
        assert_eq!(failure.message.ends_with("it is kept for review"), is_kept);
        let kept: Vec<String> = is_kept
            .then(|| grant.lease.review_key())
            .into_iter()
            .collect();
        assert_eq!(worker.stored(grant.lease), kept);
    }
}

#[tokio::test]
async fn a_detector_that_fails_or_ends_delivers_nothing_and_the_job_may_be_tried_again() {
    let fails = || {
        check_by(|_| {
            let error = GenerateError::OutOfMemory;
            Err(FrameError::Detector(error))
        })
    };
    let ends = || check_by(|_| panic!("the detector ends here"));
    let checks: [fn() -> FrameCheck; 2] = [fails, ends];
    for check in checks {
        let worker = Checked::new(|_| check()).await;
        for _ in 0..2 {
            let grant = grant_of("fine", 5);
            let failure = worker.run(grant.clone()).await.unwrap_err().report();
            let found = (failure.reason.as_str(), failure.retryable);
            assert_eq!(found, ("FRAME_CHECK_UNAVAILABLE", true));
            assert_eq!(worker.stored(grant.lease), [""; 0]);
        }
    }
}

/// How an attempt is asked to stop.
type Ask = fn(&SignalCell);

#[tokio::test]
async fn an_attempt_that_is_stopped_while_frames_are_looked_at_ends_at_once() {
    let asks: [(Ask, &str); 2] = [
        (SignalCell::cancel, "CANCELLED"),
        (SignalCell::pause, "WORKER_DRAINED"),
    ];
    for (ask, reason) in asks {
        let (looked, looks) = sync::channel();
        let (go_on, held) = sync::channel::<()>();
        let check = check_by(move |_| {
            looked.send(()).unwrap();
            // Until the test has ended.
            let _ = held.recv();
            Ok(Vec::new())
        });
        let worker = Checked::new(|_| check).await;
        let signal = worker.signal.clone();
        let asking = tokio::task::spawn_blocking(move || {
            looks.recv().unwrap();
            ask(&signal);
        });
        let grant = grant_of("fine", 5);
        let error = worker.run(grant.clone()).await.unwrap_err();
        assert_eq!(error.reason().0, reason);
        assert_eq!(worker.stored(grant.lease), [""; 0]);
        asking.await.unwrap();
        drop(go_on);
    }
}

#[tokio::test]
async fn clips_of_any_length_are_looked_at_from_the_first_to_the_last_frame() {
    for (frames, expected) in [
        (1, vec![0]),
        (2, vec![0, 1]),
        (5, vec![0, 1, 2, 3, 4]),
        (81, vec![0, 5, 15, 25, 35, 45, 55, 65, 75, 80]),
    ] {
        let (looked, looks) = sync::channel();
        let check = check_by(move |_| {
            looked.send(()).unwrap();
            Ok(Vec::new())
        });
        let worker = Checked::new(|_| check).await;
        let mut grant = grant_of("fine", frames);
        (grant.spec.width, grant.spec.height) = (16, 16);
        let outputs = worker.run(grant).await.unwrap();
        assert_eq!(looks.try_iter().count(), expected.len());
        let record = serde_json::to_value(worker.manifest(&outputs).await.frame_check).unwrap();
        assert_eq!(record["checked"]["frames"], serde_json::json!(expected));
    }
}

/// The previews that are told of a clip of three steps whose first preview is looked at by `sees`, and how many
/// previews were looked at.
async fn previews(sees: &'static str) -> (usize, usize) {
    let (looked, looks) = sync::channel();
    let check = check_by(move |picture| {
        let is_preview = picture.width == 2;
        if is_preview {
            looked.send(()).unwrap();
        }
        let class = sees.to_owned();
        let seen = Sighting { class, score: 0.21 };
        Ok(is_preview.then_some(seen).into_iter().collect())
    });
    let worker = Checked::new(|_| check).await;
    let mut grant = grant_of("fine", 1);
    grant.spec.steps = 3;
    let (told, tells) = sync::channel();
    let tell: Tell = Arc::new(move |news| {
        if matches!(news, Told::Preview(..)) {
            told.send(()).unwrap();
        }
    });
    // The first step, its preview, and then the rest.
    let gate = worker.gate.clone();
    gate.allow(1);
    let is_shown = sees == "FACE_FEMALE";
    let steps = tokio::task::spawn_blocking(move || {
        looks.recv().unwrap();
        let mut shown = 0;
        if is_shown {
            tells.recv().unwrap();
            shown += 1;
        }
        gate.allow(u32::MAX);
        (looks, tells, shown)
    });
    worker.run_telling(grant, tell).await.unwrap();
    let (looks, tells, shown) = steps.await.unwrap();
    (shown + tells.try_iter().count(), looks.try_iter().count())
}

#[tokio::test]
async fn a_preview_is_shown_only_if_nothing_in_it_could_end_the_clip() {
    let (shown, _) = previews("FACE_FEMALE").await;
    assert!(shown >= 1, "{shown}");
    // However unsure: and the previews after it are not shown either.
    let (shown, _) = previews("ANUS_EXPOSED").await;
    assert_eq!(shown, 0);
}

#[test]
fn a_check_that_cannot_work_keeps_the_worker_from_starting() {
    let folder = tempfile::tempdir().unwrap();
    let opened = |change: fn(&mut FrameOptions), policy: &str| {
        let mut options = options_of(folder.path(), policy, FrameReview::Discard);
        change(&mut options);
        FrameCheck::open(&options).map(|_| ())
    };
    let as_it_is: fn(&mut FrameOptions) = |_| {};
    opened(as_it_is, NO_FACES).unwrap();
    opened(|it| it.frame_policy = None, NO_FACES).unwrap();
    let missing = opened(
        |it| it.frame_detector = Some("/nowhere.onnx".into()),
        NO_FACES,
    );
    assert!(matches!(missing, Err(FrameSetupError::Detector(_))));
    let alone = opened(|it| it.frame_detector = None, NO_FACES);
    assert!(matches!(alone, Err(FrameSetupError::NoDetector)));
    let unknown = opened(as_it_is, &NO_FACES.replace("FACE_FEMALE", "CAT")).unwrap_err();
    assert!(unknown.to_string().contains("general.CAT"), "{unknown}");
    let invalid = opened(as_it_is, &NO_FACES.replace("0.6", "7")).unwrap_err();
    assert!(
        invalid
            .to_string()
            .contains("general.FACE_FEMALE.refuse.score"),
        "{invalid}"
    );
    let none = FrameCheck::open(&FrameOptions::default()).unwrap();
    assert!(none.is_none());
}
