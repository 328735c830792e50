//! What an attempt starts from: the request to the model, its pictures, and where an earlier attempt was cut off.

use bytes::Bytes;
use kinora_mesh::error::chain;
use kinora_models::{GenerateRequest, ModelCard, Picture};
use kinora_proto::scheduler::v1 as pb;

use crate::convert::image_input;
use crate::error::AttemptError;

use super::{Attempt, PartError, checkpoints, parts, pictures};

impl Attempt<'_> {
    pub(super) async fn request(&self, card: &ModelCard) -> Result<GenerateRequest, AttemptError> {
        let spec = &self.grant.spec;
        let (blobs, job) = (&self.bench.blobs, self.grant.lease.job);
        Ok(GenerateRequest {
            prompt: spec.prompt.clone(),
            negative_prompt: spec.negative_prompt.clone(),
            width: spec.width,
            height: spec.height,
            frames: spec.frames,
            steps: spec.steps,
            guidance: spec.guidance,
            seed: spec.seed,
            sampler: card.defaults.sampler,
            grid: card.defaults.grid,
            image: match self.continued() {
                Some(part) => Some(self.continuation(part, card).await?),
                None => pictures::fetch(blobs, job, &spec.image_key, &spec.image_sha256).await?,
            },
            last_image: {
                let (key, sha256) = (&spec.last_image_key, &spec.last_image_sha256);
                pictures::fetch(blobs, job, key, sha256).await?
            },
        })
    }

    /// The clip whose last frame is the first picture, when that frame was not kept as a picture.
    pub(super) fn continued(&self) -> Option<&pb::StitchPart> {
        let parts = self.grant.parts.first();
        parts.filter(|_| self.grant.spec.image_key.is_empty())
    }

    async fn continuation(
        &self,
        part: &pb::StitchPart,
        card: &ModelCard,
    ) -> Result<Picture, AttemptError> {
        if image_input(&card.family) == pb::model::ImageInput::None {
            return Err(PartError::NoPictures.into());
        }
        let folder = self.scratch_folder()?;
        let clip = parts::fetch(&self.bench.blobs, part, folder.path(), 0).await?;
        parts::last_picture(&self.bench.ffmpeg, clip).await
    }

    /// Where an earlier attempt was cut off. When it is gone or damaged the job starts over; a store that only does not
    /// answer ends the attempt, since a later one may still have it.
    pub(super) async fn earlier_checkpoint(&self) -> Result<Option<Bytes>, AttemptError> {
        let Some(checkpoint) = self.grant.checkpoint.as_ref() else {
            return Ok(None);
        };
        let step = checkpoint.step;
        match checkpoints::fetch(&self.bench.blobs, self.grant.lease.job, checkpoint).await {
            Ok(bytes) => {
                tracing::info!(step, "going on from a checkpoint");
                Ok(Some(bytes))
            }
            Err(error) if error.is_final() => {
                let reason = chain(&error);
                tracing::warn!(step, %reason, "the checkpoint cannot be had; the job starts over");
                Ok(None)
            }
            Err(error) => Err(AttemptError::Checkpoint(error)),
        }
    }
}
