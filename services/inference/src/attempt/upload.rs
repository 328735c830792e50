//! A finished package on its way to the object store.

use std::time::Duration;

use kinora_proto::scheduler::v1 as pb;
use sha2::{Digest, Sha256};

use super::Attempt;
use super::package::Package;
use crate::error::AttemptError;

impl Attempt<'_> {
    /// Stores every file of a package under the lease's prefix.
    pub(super) async fn upload(
        &mut self,
        mut package: Package,
    ) -> Result<pb::Outputs, AttemptError> {
        let prefix = self.grant.lease.object_prefix();
        let key = |name: &str| format!("{prefix}{name}");
        let still_key = package.still.as_ref().map(|_| key("still.png"));
        let last_frame = package.last_frame.as_ref().map(|png| {
            let sha256 = hex::encode(Sha256::digest(png));
            (key("last_frame.png"), sha256)
        });
        let small = package.take_small_files();
        let blobs = &self.bench.blobs;
        let steps = u32::try_from(small.len() + 1).unwrap_or(u32::MAX);
        self.check_cancelled()?;
        self.advance(pb::Stage::Uploading, 0, steps);
        let video_key = key("video.mp4");
        blobs
            .put_file(&video_key, &package.video, "video/mp4")
            .await?;
        for (done, (name, bytes, content_type)) in (1..).zip(small) {
            self.advance(pb::Stage::Uploading, done, steps);
            blobs.put_bytes(&key(name), bytes, content_type).await?;
        }
        self.check_cancelled()?;
        self.advance(pb::Stage::Uploading, steps, steps);
        let facts = package.facts;
        let seconds = f64::from(facts.frames) / f64::from(facts.fps.max(1));
        let (last_frame_key, last_frame_sha256) = last_frame.unwrap_or_default();
        Ok(pb::Outputs {
            video_key,
            thumbnail_key: key("thumbnail.webp"),
            manifest_key: key("manifest.json"),
            video_bytes: package.video_bytes,
            width: facts.width,
            height: facts.height,
            frames: facts.frames,
            fps: facts.fps,
            duration: Duration::from_secs_f64(seconds).try_into().ok(),
            video_sha256: package.video_sha256,
            still_key: still_key.unwrap_or_default(),
            last_frame_key,
            last_frame_sha256,
            spritesheet_key: key("spritesheet.jpg"),
        })
    }
}
