//! Clips that are joined, gone on from, or kept for one that does.

use kinora_blobs::BlobStore;
use kinora_media::{RawVideo, decode_mp4, decode_still, encode_mp4};
use kinora_testkit::env::ffmpeg;
use sha2::{Digest, Sha256};

use super::bench::*;
use super::*;
use crate::fake::PICTURED;

/// Stores a clip of one colour, as another job would have.
async fn store_clip(blobs: &BlobStore, shade: u8, frames: usize) -> pb::StitchPart {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.mp4");
    let clip = RawVideo {
        width: 16,
        height: 16,
        fps: 8,
        rgb: &[shade].repeat(16 * 16 * 3 * frames),
    };
    encode_mp4(&ffmpeg(), &clip, &path).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let part = pb::StitchPart {
        video_key: format!("{}video.mp4", lease(1).object_prefix()),
        video_sha256: hex::encode(Sha256::digest(&bytes)),
        skips_first_frame: false,
    };
    let put = blobs.put_bytes(&part.video_key, bytes, "video/mp4");
    put.await.unwrap();
    part
}

fn stitch(lease: LeaseRef, parts: Vec<pb::StitchPart>) -> pb::attach_response::Message {
    pb::attach_response::Message::Grant(pb::LeaseGrant {
        lease: Some(lease_to_pb(lease)),
        attempt: 1,
        spec: Some(pb::VideoSpec {
            model: String::new(),
            ..spec("", 0)
        }),
        kind: pb::JobKind::Stitch.into(),
        parts,
        wants_last_frame: true,
        ..Default::default()
    })
}

/// The level of the middle of a frame of a stored clip.
async fn levels(blobs: &BlobStore, key: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.mp4");
    let bytes = blobs.get_bytes(key, 1 << 20).await.unwrap();
    std::fs::write(&path, bytes).unwrap();
    let clip = decode_mp4(&ffmpeg(), &path).unwrap();
    let frames = clip.rgb.chunks_exact(16 * 16 * 3);
    frames.map(|frame| frame[8 * 16 * 3 + 24]).collect()
}

fn is_near(level: u8, expected: u8) -> bool {
    level.abs_diff(expected) <= 4
}

async fn check_sum(blobs: &BlobStore, key: &str, sha256: &str) -> bytes::Bytes {
    let bytes = blobs.get_bytes(key, 1 << 20).await.unwrap();
    assert_eq!(hex::encode(Sha256::digest(&bytes)), sha256);
    bytes
}

#[tokio::test]
async fn parts_become_one_clip_while_the_engine_rests() {
    // No step of the engine would ever pass this gate.
    let mut bench = start(Gate::default(), LONG).await;
    let mut stream = bench.attached().await;
    let first = store_clip(&bench.blobs, 40, 3).await;
    let second = pb::StitchPart {
        skips_first_frame: true,
        ..store_clip(&bench.blobs, 200, 5).await
    };
    let lease = lease(2);
    stream
        .send(stitch(lease, vec![first.clone(), second]))
        .await;
    let pb::attach_request::Message::Completion(report) = stream.report().await else {
        panic!("the clips were not joined");
    };
    assert_eq!(report.device_time, Some(prost_types::Duration::default()));
    let outputs = report.outputs.unwrap();
    assert_eq!((outputs.frames, outputs.fps), (7, 8));
    assert_eq!((outputs.width, outputs.height), (16, 16));
    assert!(outputs.video_key.starts_with(&lease.object_prefix()));
    check_sum(&bench.blobs, &outputs.video_key, &outputs.video_sha256).await;
    let seen = levels(&bench.blobs, &outputs.video_key).await;
    let expected = [40, 40, 40, 200, 200, 200, 200];
    let alike = seen.iter().zip(expected).all(|(a, b)| is_near(*a, b));
    assert!(alike && seen.len() == 7, "{seen:?}");
    let (key, sha256) = (&outputs.last_frame_key, &outputs.last_frame_sha256);
    let png = check_sum(&bench.blobs, key, sha256).await;
    assert!(is_near(decode_still(&png).unwrap().rgb[0], 200));
    let manifest = bench.blobs.get_bytes(&outputs.manifest_key, 1 << 20).await;
    let manifest: serde_json::Value = serde_json::from_slice(&manifest.unwrap()).unwrap();
    assert_eq!(manifest["schema"], "kinora.stitch.v1");
    assert_eq!(manifest["parts"][0]["video_sha256"], first.video_sha256);
    let thumbnail = bench.blobs.head(&outputs.thumbnail_key).await;
    assert!(thumbnail.unwrap().is_some());
    let sheet = bench.blobs.get_bytes(&outputs.spritesheet_key, 1 << 20);
    let sheet = decode_still(&sheet.await.unwrap()).unwrap();
    let columns = outputs.frames.min(5);
    assert_eq!(sheet.width, columns * outputs.width);
    assert_eq!(sheet.height, outputs.frames.div_ceil(5) * outputs.height);
    assert!(is_near(sheet.rgb[0], 40) && is_near(tile(&sheet, outputs.frames - 1), 200));
}

/// What the middle of a tile shows, of tiles of 16 by 16 pixels.
fn tile(sheet: &kinora_media::Still, index: u32) -> u8 {
    let (x, y) = (index % 5 * 16 + 8, index / 5 * 16 + 8);
    sheet.rgb[usize::try_from((y * sheet.width + x) * 3).unwrap()]
}

#[tokio::test]
async fn parts_that_cannot_be_joined_end_the_job_with_a_reason() {
    let mut bench = start(Gate::open(), LONG).await;
    let mut stream = bench.attached().await;
    let good = store_clip(&bench.blobs, 40, 3).await;
    let changed = |change: fn(&mut pb::StitchPart)| {
        let mut part = good.clone();
        change(&mut part);
        vec![good.clone(), part]
    };
    for (parts, reason) in [
        (vec![], "CLIP_INVALID"),
        (changed(|it| it.video_key.push('x')), "PART_MISSING"),
        (
            changed(|it| it.video_key = "other/key".to_owned()),
            "PART_MISSING",
        ),
        (
            changed(|it| it.video_sha256 = "00".repeat(32)),
            "PART_DAMAGED",
        ),
    ] {
        let lease = lease(1);
        stream.send(stitch(lease, parts)).await;
        assert_eq!(stream.failure().await.reason, reason);
        stream.receipt(lease, true).await;
    }
}

#[tokio::test]
async fn a_clip_goes_on_from_the_last_frame_of_another_and_keeps_its_own() {
    let mut bench = start(Gate::open(), LONG).await;
    let mut stream = bench.attached().await;
    let part = store_clip(&bench.blobs, 90, 3).await;
    for (model, reason) in [("fake", Some("REQUEST_INVALID")), (PICTURED, None)] {
        let lease = lease(1);
        let grant = pb::LeaseGrant {
            lease: Some(lease_to_pb(lease)),
            spec: Some(pb::VideoSpec {
                model: model.to_owned(),
                ..spec("fine", 2)
            }),
            parts: vec![part.clone()],
            wants_last_frame: true,
            ..Default::default()
        };
        stream
            .send(pb::attach_response::Message::Grant(grant))
            .await;
        if let Some(reason) = reason {
            assert_eq!(stream.failure().await.reason, reason);
            stream.receipt(lease, true).await;
            continue;
        }
        let outputs = stream.completion().await;
        let (key, sha256) = (&outputs.last_frame_key, &outputs.last_frame_sha256);
        let png = check_sum(&bench.blobs, key, sha256).await;
        assert!(is_near(decode_still(&png).unwrap().rgb[0], 90));
        let manifest = bench.blobs.get_bytes(&outputs.manifest_key, 1 << 20).await;
        let manifest = crate::manifest::Manifest::from_json(&manifest.unwrap()).unwrap();
        assert_eq!(
            manifest.continues_video_sha256,
            Some(part.video_sha256.clone())
        );
    }
}
