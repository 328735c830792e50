//! Between the contract's messages and this crate's types.

use std::time::Duration;

use kinora_ids::LeaseRef;
use kinora_models::card::PromptFamily;
use kinora_models::memory::MemoryNeed;
use kinora_models::{ModelCard, Stage};
use kinora_proto::prompts::v1::Family;
use kinora_proto::scheduler::v1 as pb;

use crate::attempt::Grant;
use crate::frames::policy::Audience;

/// When the scheduler names no limit.
const DEFAULT_TIME_LIMIT: Duration = Duration::from_secs(3600);

/// A stage of the model for the wire.
#[must_use]
pub const fn stage_to_pb(stage: Stage) -> pb::Stage {
    match stage {
        Stage::Encoding => pb::Stage::Encoding,
        Stage::Denoising => pb::Stage::Denoising,
        Stage::Decoding => pb::Stage::Decoding,
    }
}

/// A lease for the wire.
#[must_use]
pub fn lease_to_pb(lease: LeaseRef) -> pb::LeaseRef {
    pb::LeaseRef {
        job_id: lease.job.to_string(),
        lease: lease.lease,
    }
}

/// A lease from the wire; none when the job id is not one.
#[must_use]
pub fn lease_from_pb(lease: &pb::LeaseRef) -> Option<LeaseRef> {
    Some(LeaseRef {
        job: lease.job_id.parse().ok()?,
        lease: lease.lease,
    })
}

/// A granted lease; none when a part is missing.
#[must_use]
pub fn grant_from_pb(grant: pb::LeaseGrant) -> Option<Grant> {
    let time_limit = grant.time_limit.and_then(|limit| limit.try_into().ok());
    Some(Grant {
        lease: lease_from_pb(&grant.lease?)?,
        spec: grant.spec?,
        time_limit: time_limit.unwrap_or(DEFAULT_TIME_LIMIT),
        traceparent: grant.traceparent,
        checkpoint: grant.checkpoint,
        is_stitch: grant.kind == i32::from(pb::JobKind::Stitch),
        parts: grant.parts,
        wants_last_frame: grant.wants_last_frame,
        audience: if grant.adult_audience {
            Audience::VerifiedAdult
        } else {
            Audience::General
        },
    })
}

/// A model as the scheduler's catalogue shows it.
#[must_use]
pub fn card_to_pb(card: &ModelCard, need: Option<MemoryNeed>) -> pb::Model {
    let (defaults, limits) = (&card.defaults, &card.limits);
    pb::Model {
        id: card.id.clone(),
        family: card.family.clone(),
        title: card.title.clone(),
        licence: card.licence.clone(),
        defaults: Some(pb::ModelDefaults {
            width: defaults.width,
            height: defaults.height,
            frames: defaults.frames,
            fps: defaults.fps,
            steps: defaults.steps,
            guidance: defaults.guidance,
            negative_prompt: defaults.negative_prompt.clone(),
        }),
        limits: Some(pb::ModelLimits {
            min_width: limits.min_width,
            max_width: limits.max_width,
            min_height: limits.min_height,
            max_height: limits.max_height,
            size_multiple: card.size_multiple,
            max_frames: limits.max_frames,
            frame_stride: card.frame_stride,
            max_steps: limits.max_steps,
            max_guidance: limits.max_guidance,
            max_prompt_chars: limits.max_prompt_chars,
        }),
        vocabulary: card.vocabulary.clone(),
        image_input: image_input(&card.family).into(),
        last_image_input: last_image_input(&card.family).into(),
        memory: need.map(|need| pb::MemoryNeed {
            base_bytes: need.base_bytes,
            bytes_per_pixel: need.bytes_per_pixel,
        }),
        prompt_family: card
            .prompt_family
            .map_or(Family::Unspecified, family)
            .into(),
        // The scheduler says the rest.
        ..pb::Model::default()
    }
}

const fn family(family: PromptFamily) -> Family {
    match family {
        PromptFamily::Tiny => Family::Tiny,
        PromptFamily::Wan => Family::Wan,
        PromptFamily::Mochi => Family::Mochi,
        PromptFamily::Ovi720 => Family::Ovi720,
        PromptFamily::Ovi960 => Family::Ovi960,
    }
}

/// Whether models of a family take a first frame.
pub fn image_input(family: &str) -> pb::model::ImageInput {
    match family {
        "wan-ti2v" => pb::model::ImageInput::Optional,
        "wan-i2v" | "wan-flf2v" => pb::model::ImageInput::Required,
        _ => pb::model::ImageInput::None,
    }
}

/// Whether models of a family take a last frame.
fn last_image_input(family: &str) -> pb::model::ImageInput {
    match family {
        "wan-flf2v" => pb::model::ImageInput::Required,
        _ => pb::model::ImageInput::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_say_which_pictures_they_take() {
        use pb::model::ImageInput::{None, Optional, Required};
        for (family, first, last) in [
            ("wan-t2v", None, None),
            ("wan-ti2v", Optional, None),
            ("wan-i2v", Required, None),
            ("wan-flf2v", Required, Required),
            ("other", None, None),
        ] {
            assert_eq!(image_input(family), first, "{family}");
            assert_eq!(last_image_input(family), last, "{family}");
        }
    }
}
