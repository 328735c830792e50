//! Pictures that a clip begins or ends with, as the networks want them.

use tch::Tensor;

use super::{WanPipeline, from_clip, stoppable};
use crate::error::GenerateError;
use crate::picture;
use crate::request::{Clip, Control, GenerateRequest, Picture};
use crate::wan::vae::Tiling;
use crate::wan::{Family, GivenFrames};

impl WanPipeline {
    /// Encodes the pictures of a request.
    ///
    /// # Errors
    /// `Invalid` for a picture that is none, `Cancelled` or `Paused`, otherwise from the device.
    pub(super) fn given_frames(
        &self,
        request: &GenerateRequest,
        control: &dyn Control,
    ) -> Result<Option<GivenFrames>, GenerateError> {
        let Some(first) = &request.image else {
            return Ok(None);
        };
        let tiling = self.plan_memory(request)?.encode_tiling;
        match self.family() {
            Family::TextToVideo => Ok(None),
            Family::TextImageToVideo => {
                let frame = frames_of(first, request)?;
                let latents = self.encode_frames(&frame, tiling, control)?;
                Ok(Some(GivenFrames::First(latents)))
            }
            Family::ImageToVideo | Family::FirstLastToVideo => {
                let last = request.last_image.as_ref();
                let clip = gray_clip(request, first, last)?;
                let latents = self.encode_frames(&clip, tiling, control)?;
                drop(clip);
                let stride = self.config.vae.temporal_stride();
                let channels = GivenFrames::with_mask(&latents, stride, last.is_some())?;
                let tokens = self.image_tokens(first, last)?;
                Ok(Some(GivenFrames::Channels { channels, tokens }))
            }
        }
    }

    /// What the image encoder sees in the pictures, `[tokens, width]`.
    fn image_tokens(
        &self,
        first: &Picture,
        last: Option<&Picture>,
    ) -> Result<Option<Tensor>, GenerateError> {
        let Some(encoder) = &self.image_encoder else {
            return Ok(None);
        };
        let encoder = encoder.enter()?;
        let mut tokens = Vec::new();
        for picture in std::iter::once(first).chain(last) {
            tokens.push(encoder.encode(picture)?);
        }
        Ok(Some(Tensor::f_cat(&tokens, 0)?))
    }

    /// Frames `[f, 3, h, w]` from -1 to 1 to latents `[1, c, f', h', w']`.
    fn encode_frames(
        &self,
        frames: &Tensor,
        tiling: Option<Tiling>,
        control: &dyn Control,
    ) -> Result<Tensor, GenerateError> {
        let frames = frames.f_to_device(self.device)?;
        let vae = self.vae.enter()?;
        stoppable(control, |stop| match tiling {
            Some(tiling) => vae.encode_tiled(&frames, tiling, stop),
            None => vae.encode(&frames, stop),
        })
    }
}

/// A clip `[f, 3, h, w]` that is gray but for its first and, where it is given, its last frame.
fn gray_clip(
    request: &GenerateRequest,
    first: &Picture,
    last: Option<&Picture>,
) -> Result<Tensor, GenerateError> {
    let first = frames_of(first, request)?;
    let mut size = first.size();
    size[0] = i64::from(request.frames).max(1);
    let clip = Tensor::f_zeros(&size, (first.kind(), first.device()))?;
    clip.f_narrow(0, 0, 1)?.f_copy_(&first)?;
    if let Some(last) = last {
        clip.f_narrow(0, size[0] - 1, 1)?
            .f_copy_(&frames_of(last, request)?)?;
    }
    Ok(clip)
}

/// One frame of the clip's size, `[1, 3, h, w]` from -1 to 1: the picture scaled to cover it, and its
/// middle cut out.
fn frames_of(picture: &Picture, request: &GenerateRequest) -> Result<Tensor, GenerateError> {
    let fitted = picture::cover(picture, request.width, request.height)?;
    from_clip(&Clip {
        width: fitted.width,
        height: fitted.height,
        frames: 1,
        rgb: fitted.rgb,
    })
}
