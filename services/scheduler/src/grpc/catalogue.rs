//! What workers offer, proto to domain, and as callers see it.

use kinora_proto::prompts::v1::Family;
use kinora_proto::scheduler::v1 as pb;

use super::view::unix_seconds;
use crate::domain::model::{ImageInput, MemoryNeed, Model, ModelDefaults, ModelLimits};
use crate::domain::prompting::PromptFamily;
use crate::store::Offer;

/// Reads what a worker offers.
pub fn model_from_pb(model: pb::Model) -> Model {
    let (image_input, last_image_input) = (model.image_input(), model.last_image_input());
    let prompt_family = family_from_pb(model.prompt_family());
    let defaults = model.defaults.unwrap_or_default();
    let limits = model.limits.unwrap_or_default();
    Model {
        id: model.id,
        family: model.family,
        title: model.title,
        licence: model.licence,
        defaults: ModelDefaults {
            width: defaults.width,
            height: defaults.height,
            frames: defaults.frames,
            fps: defaults.fps,
            steps: defaults.steps,
            guidance: defaults.guidance,
            negative_prompt: defaults.negative_prompt,
        },
        limits: ModelLimits {
            min_width: limits.min_width,
            max_width: limits.max_width,
            min_height: limits.min_height,
            max_height: limits.max_height,
            size_multiple: limits.size_multiple,
            max_frames: limits.max_frames,
            frame_stride: limits.frame_stride,
            max_steps: limits.max_steps,
            max_guidance: limits.max_guidance,
            max_prompt_chars: limits.max_prompt_chars,
        },
        vocabulary: model.vocabulary,
        image_input: input_from_pb(image_input),
        last_image_input: input_from_pb(last_image_input),
        memory: model.memory.map(|need| MemoryNeed {
            base_bytes: need.base_bytes,
            bytes_per_pixel: need.bytes_per_pixel,
        }),
        prompt_family,
    }
}

/// A model that callers may ask for.
pub fn offer_to_pb(offer: Offer) -> pb::Model {
    let Offer { model, announced } = offer;
    let prompt_family = family_to_pb(model.reads_prompts_as());
    let Model {
        defaults, limits, ..
    } = model;
    pb::Model {
        id: model.id,
        owned_by: model.family.clone(),
        family: model.family,
        title: model.title,
        licence: model.licence,
        defaults: Some(pb::ModelDefaults {
            width: defaults.width,
            height: defaults.height,
            frames: defaults.frames,
            fps: defaults.fps,
            steps: defaults.steps,
            guidance: defaults.guidance,
            negative_prompt: defaults.negative_prompt,
        }),
        limits: Some(pb::ModelLimits {
            min_width: limits.min_width,
            max_width: limits.max_width,
            min_height: limits.min_height,
            max_height: limits.max_height,
            size_multiple: limits.size_multiple,
            max_frames: limits.max_frames,
            frame_stride: limits.frame_stride,
            max_steps: limits.max_steps,
            max_guidance: limits.max_guidance,
            max_prompt_chars: limits.max_prompt_chars,
        }),
        vocabulary: model.vocabulary,
        image_input: input_to_pb(model.image_input).into(),
        last_image_input: input_to_pb(model.last_image_input).into(),
        memory: model.memory.map(|need| pb::MemoryNeed {
            base_bytes: need.base_bytes,
            bytes_per_pixel: need.bytes_per_pixel,
        }),
        object: "model".to_owned(),
        created: unix_seconds(announced),
        prompt_family: prompt_family.into(),
    }
}

const fn family_from_pb(family: Family) -> PromptFamily {
    match family {
        Family::Unspecified => PromptFamily::Unspecified,
        Family::Tiny => PromptFamily::Tiny,
        Family::Wan => PromptFamily::Wan,
        Family::Mochi => PromptFamily::Mochi,
        Family::Ovi720 => PromptFamily::Ovi720,
        Family::Ovi960 => PromptFamily::Ovi960,
    }
}

const fn family_to_pb(family: PromptFamily) -> Family {
    match family {
        PromptFamily::Unspecified => Family::Unspecified,
        PromptFamily::Tiny => Family::Tiny,
        PromptFamily::Wan => Family::Wan,
        PromptFamily::Mochi => Family::Mochi,
        PromptFamily::Ovi720 => Family::Ovi720,
        PromptFamily::Ovi960 => Family::Ovi960,
    }
}

const fn input_from_pb(input: pb::model::ImageInput) -> ImageInput {
    match input {
        pb::model::ImageInput::Unspecified | pb::model::ImageInput::None => ImageInput::None,
        pb::model::ImageInput::Optional => ImageInput::Optional,
        pb::model::ImageInput::Required => ImageInput::Required,
    }
}

const fn input_to_pb(input: ImageInput) -> pb::model::ImageInput {
    match input {
        ImageInput::None => pb::model::ImageInput::None,
        ImageInput::Optional => pb::model::ImageInput::Optional,
        ImageInput::Required => pb::model::ImageInput::Required,
    }
}
