//! Small models of random weights instead of the fake one.

use std::path::PathBuf;

use super::bench::*;
use super::*;

/// As many as it takes.
const STEPS: u32 = 50;

/// The golden folder of a family.
fn golden(name: &str) -> PathBuf {
    let crates = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    crates.join("../../libs/models/tests/goldens").join(name)
}

fn real_spec(hello: &pb::Hello, steps: u32) -> pb::VideoSpec {
    let model = &hello.models[0];
    let defaults = model.defaults.clone().unwrap();
    pb::VideoSpec {
        model: model.id.clone(),
        prompt: "a red circle moves to the right on black".to_owned(),
        width: defaults.width,
        height: defaults.height,
        frames: defaults.frames,
        fps: defaults.fps,
        guidance: defaults.guidance,
        steps,
        seed: 7,
        ..Default::default()
    }
}

fn drawn(lease: LeaseRef, spec: &pb::VideoSpec) -> pb::LeaseGrant {
    pb::LeaseGrant {
        lease: Some(lease_to_pb(lease)),
        attempt: 1,
        spec: Some(spec.clone()),
        kind: pb::JobKind::Generate.into(),
        ..Default::default()
    }
}

async fn finished(stream: &mut Attached, grant: pb::LeaseGrant) -> pb::Outputs {
    let lease = crate::convert::lease_from_pb(grant.lease.as_ref().unwrap()).unwrap();
    let message = pb::attach_response::Message::Grant(grant);
    stream.send(message).await;
    let outputs = stream.completion().await;
    stream.receipt(lease, true).await;
    outputs
}

fn part(outputs: &pb::Outputs, skips_first_frame: bool) -> pb::StitchPart {
    pb::StitchPart {
        video_key: outputs.video_key.clone(),
        video_sha256: outputs.video_sha256.clone(),
        skips_first_frame,
    }
}

#[tokio::test]
async fn a_clip_is_drawn_gone_on_from_and_joined_with_what_follows() {
    let mut bench = start_with_models(&[golden("pipeline-ti2v")]).await;
    let mut stream = bench.attached().await;
    let need = stream.hello.models[0].memory.unwrap();
    // Clips of so small a model cost nothing beside its weights: the line may be flat.
    assert!(
        need.base_bytes > 1 << 20 && need.bytes_per_pixel >= 0.0,
        "{need:?}"
    );
    let device = stream.hello.device_state.clone().unwrap();
    assert!(device.memory_free_bytes > need.base_bytes, "{device:?}");
    let spec = real_spec(&stream.hello, 2);
    let first = finished(&mut stream, drawn(lease(1), &spec)).await;
    assert_eq!(
        (first.frames, first.last_frame_key.as_str()),
        (spec.frames, "")
    );
    let mut alone = drawn(lease(1), &spec);
    alone.wants_last_frame = true;
    let alone = finished(&mut stream, alone).await;
    assert_eq!(alone.video_sha256, first.video_sha256);
    let mut next = drawn(lease(1), &spec);
    next.parts = vec![part(&first, false)];
    let next = finished(&mut stream, next).await;
    assert_ne!(next.video_sha256, first.video_sha256, "the picture counts");
    let whole = pb::LeaseGrant {
        kind: pb::JobKind::Stitch.into(),
        parts: vec![part(&first, false), part(&next, true)],
        ..drawn(lease(1), &spec)
    };
    let whole = finished(&mut stream, whole).await;
    assert_eq!(whole.frames, 2 * spec.frames - 1);
    assert_eq!((whole.width, whole.height), (spec.width, spec.height));
}

#[tokio::test]
async fn a_lease_that_was_wanted_back_is_gone_on_with_to_the_same_bytes() {
    let mut bench = start_with_models(&[golden("pipeline-ti2v")]).await;
    let mut stream = bench.attached().await;
    let mut spec = real_spec(&stream.hello, STEPS);
    let largest = stream.hello.models[0].limits.unwrap();
    (spec.width, spec.height) = (largest.max_width, largest.max_height);
    spec.frames = largest.max_frames;
    let plain = finished(&mut stream, drawn(lease(1), &spec)).await;
    // A clip may be done before it hears that it is wanted back: then it is the next one's turn.
    let (first, checkpoint) = loop {
        let lease = lease(1);
        if let Some(checkpoint) = preempted(&mut stream, lease, &spec).await {
            break (lease, checkpoint);
        }
    };
    assert!((2..STEPS).contains(&checkpoint.step), "{}", checkpoint.step);
    let mut again = drawn(LeaseRef { lease: 2, ..first }, &spec);
    again.checkpoint = Some(checkpoint);
    let resumed = finished(&mut stream, again).await;
    assert_eq!(resumed.video_sha256, plain.video_sha256);
}

/// Grants a clip and wants it back after two steps. Its newest checkpoint, or none when it was done before.
async fn preempted(
    stream: &mut Attached,
    lease: LeaseRef,
    spec: &pb::VideoSpec,
) -> Option<pb::Checkpoint> {
    use pb::attach_request::Message;
    stream
        .send(pb::attach_response::Message::Grant(drawn(lease, spec)))
        .await;
    while stream.checkpoint().await.step < 2 {}
    let wanted = Some(lease_to_pb(lease));
    let preemption = pb::Preemption { lease: wanted };
    stream
        .send(pb::attach_response::Message::Preemption(preemption))
        .await;
    let mut newest = None;
    loop {
        match stream.up.message().await.unwrap().unwrap().message.unwrap() {
            Message::Checkpoint(report) => newest = report.checkpoint,
            Message::Failure(report) => {
                assert_eq!(report.failure.unwrap().reason, "PREEMPTED");
                break;
            }
            Message::Completion(_) => {
                newest = None;
                break;
            }
            _ => {}
        }
    }
    stream.receipt(lease, true).await;
    newest
}
