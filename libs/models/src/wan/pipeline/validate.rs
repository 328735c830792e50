//! Whether a request can be served at all.

use super::WanPipeline;
use crate::error::GenerateError;
use crate::picture;
use crate::request::{GenerateRequest, Picture};
use crate::wan::PictureInput;

impl WanPipeline {
    /// Checks a request against the card and the networks.
    ///
    /// # Errors
    /// `Invalid`, naming the first field that does not fit.
    pub fn validate(&self, request: &GenerateRequest) -> Result<(), GenerateError> {
        let limits = &self.card.limits;
        self.validate_text("prompt", &request.prompt)?;
        self.validate_text("negative_prompt", &request.negative_prompt)?;
        let (width, height) = (request.width, request.height);
        within("width", width, limits.min_width, limits.max_width)?;
        within("height", height, limits.min_height, limits.max_height)?;
        within("frames", request.frames, 1, limits.max_frames)?;
        within("steps", request.steps, 1, limits.max_steps)?;
        if !(0.0..=limits.max_guidance).contains(&request.guidance) {
            let reason = format!("must be from 0 to {}", limits.max_guidance);
            return Err(GenerateError::invalid("guidance", reason));
        }
        self.validate_size(width, height, request.frames)?;
        let family = self.family();
        validate_picture("image", request.image.as_ref(), family.first_frame())?;
        validate_picture(
            "last_image",
            request.last_image.as_ref(),
            family.last_frame(),
        )?;
        if request.last_image.is_some() && request.frames <= self.card.frame_stride {
            let reason = format!("must be above {} with a last image", self.card.frame_stride);
            return Err(GenerateError::invalid("frames", reason));
        }
        Ok(())
    }

    /// Frames, height and width of the latents of a clip.
    pub(super) fn latent_size(&self, width: u32, height: u32, frames: u32) -> [i64; 3] {
        let vae = &self.config.vae;
        let frames = i64::from(frames).saturating_sub(1) / vae.temporal_stride() + 1;
        let side = |pixels: u32| i64::from(pixels) / vae.spatial_stride();
        [frames, side(height), side(width)]
    }

    /// Checks that a clip divides into latents and patches, and fits the rotary tables.
    pub(super) fn validate_size(
        &self,
        width: u32,
        height: u32,
        frames: u32,
    ) -> Result<(), GenerateError> {
        let multiple = self.card.size_multiple;
        for (field, side) in [("width", width), ("height", height)] {
            if side == 0 || side % multiple != 0 {
                let reason = format!("must be a multiple of {multiple}");
                return Err(GenerateError::invalid(field, reason));
            }
        }
        let stride = self.card.frame_stride;
        if frames % stride != 1 % stride {
            let reason = format!("must be 1 more than a multiple of {stride}");
            return Err(GenerateError::invalid("frames", reason));
        }
        let transformer = &self.config.transformer;
        let size = self.latent_size(width, height, frames);
        let fields = ["frames", "height", "width"];
        for ((field, positions), patch) in fields.into_iter().zip(size).zip(transformer.patch_size)
        {
            if positions % patch != 0 || positions / patch > transformer.rope_max_seq_len {
                return Err(GenerateError::invalid(
                    field,
                    "does not fit the model's positions",
                ));
            }
        }
        Ok(())
    }

    fn validate_text(&self, field: &'static str, text: &str) -> Result<(), GenerateError> {
        let limit = self.card.limits.max_prompt_chars;
        let allowed = usize::try_from(limit).unwrap_or(usize::MAX);
        if text.chars().nth(allowed).is_some() {
            return Err(GenerateError::invalid(
                field,
                format!("has more than {limit} characters"),
            ));
        }
        Ok(())
    }
}

fn validate_picture(
    field: &'static str,
    picture: Option<&Picture>,
    input: PictureInput,
) -> Result<(), GenerateError> {
    match (picture, input) {
        (None, PictureInput::Required) => {
            Err(GenerateError::invalid(field, "this model needs one"))
        }
        (Some(_), PictureInput::Refused) => {
            Err(GenerateError::invalid(field, "this model takes none"))
        }
        (Some(picture), PictureInput::Optional | PictureInput::Required) => {
            picture::check(field, picture)
        }
        (None, PictureInput::Optional | PictureInput::Refused) => Ok(()),
    }
}

fn within(field: &'static str, value: u32, least: u32, most: u32) -> Result<(), GenerateError> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(GenerateError::invalid(
        field,
        format!("must be from {least} to {most}"),
    ))
}
