//! The look at a clip's frames before anything of it leaves the worker.

use std::sync::Arc;

use kinora_media::{RawVideo, encode_mp4, preview_webp};
use kinora_mesh::error::chain;
use kinora_models::{Clip, Picture};

use super::{Attempt, MAX_PREVIEW_BYTES};
use crate::engine::Generated;
use crate::error::AttemptError;
use crate::frames::FrameRecord;
use crate::frames::policy::Verdict;

impl Attempt<'_> {
    /// Hands a clip on that may be delivered, with what its manifest says about the look.
    pub(super) async fn checked(
        &mut self,
        generated: Generated,
    ) -> Result<(Generated, FrameRecord), AttemptError> {
        let Some(check) = &self.bench.frames else {
            return Ok((generated, FrameRecord::None));
        };
        let clip = &generated.rendering.clip;
        let looking = async {
            let judged = check.judge(clip, self.grant.audience, &self.signal).await;
            judged.map_err(AttemptError::Frames)
        };
        let judgement = self.unless_stopped(looking).await?;
        match judgement.verdict {
            Verdict::Allow => Ok((generated, judgement.record)),
            Verdict::Refuse { category } => Err(AttemptError::Refused {
                category,
                is_kept: false,
            }),
            Verdict::Review { category } => {
                let is_kept =
                    check.keeps_for_review() && self.keep(generated.rendering.clip).await?;
                Err(AttemptError::Refused { category, is_kept })
            }
        }
    }

    /// Stores a clip where no caller gets it. A clip that cannot be kept is not delivered either.
    async fn keep(&self, clip: Clip) -> Result<bool, AttemptError> {
        let key = self.grant.lease.review_key();
        let kept = self.unless_stopped(async {
            let folder = self.scratch_folder()?;
            let (ffmpeg, fps) = (self.bench.ffmpeg.clone(), self.grant.spec.fps);
            let video = folder.path().join("review.mp4");
            let target = video.clone();
            tokio::task::spawn_blocking(move || {
                let (width, height, rgb) = (clip.width, clip.height, &clip.rgb);
                let raw = RawVideo {
                    width,
                    height,
                    fps,
                    rgb,
                };
                encode_mp4(&ffmpeg, &raw, &target)
            })
            .await??;
            // A large future otherwise.
            let stored = Box::pin(self.bench.blobs.put_file(&key, &video, "video/mp4")).await;
            Ok(stored?)
        });
        match kept.await {
            Ok(_) => {
                tracing::info!(key, "the clip is kept for review");
                Ok(true)
            }
            Err(error @ (AttemptError::Cancelled | AttemptError::Drained)) => Err(error),
            Err(error) => {
                tracing::warn!(error = %chain(&error), "the clip was not kept for review");
                Ok(false)
            }
        }
    }

    /// Looks at a preview and encodes it, beside everything else. While one is under way, others are dropped; after
    /// one that may not be seen, all are.
    pub(super) fn encode_preview(&mut self, picture: Picture) {
        if self.hides_previews || !self.previews.is_empty() {
            return;
        }
        let check = self.bench.frames.as_ref().map(Arc::clone);
        let (audience, signal) = (self.grant.audience, self.signal.clone());
        self.previews.spawn(async move {
            if let Some(check) = check
                && !check
                    .allows_preview(picture.clone(), audience, &signal)
                    .await
            {
                return Ok(None);
            }
            let encoding = tokio::task::spawn_blocking(move || {
                let Picture { width, height, rgb } = picture;
                preview_webp(&rgb, width, height, MAX_PREVIEW_BYTES)
            });
            // A task ends early with the whole worker.
            encoding.await.unwrap_or_else(|_| Ok(Vec::new())).map(Some)
        });
    }
}
