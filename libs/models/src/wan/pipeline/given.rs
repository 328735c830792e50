//! Pictures that a clip begins or ends with, as the networks want them.

use tch::Tensor;

use super::{WanPipeline, from_clip, stoppable};
use crate::error::GenerateError;
use crate::picture;
use crate::request::{Clip, Control, GenerateRequest, Picture};
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
        match self.family() {
            Family::TextToVideo => Ok(None),
            Family::TextImageToVideo => {
                let frame = frames_of(first, request)?;
                let latents = self.encode_frames(&frame, control)?;
                Ok(Some(GivenFrames::First(latents)))
            }
            Family::ImageToVideo | Family::FirstLastToVideo => {
                let last = request.last_image.as_ref();
                let channels = self.given_channels(request, first, last, control)?;
                let tokens = self.image_tokens(first, last)?;
                Ok(Some(GivenFrames::Channels { channels, tokens }))
            }
        }
    }

    /// Mask and latents of a clip that is gray but for the given frames, `[1, 4 + c, f, h, w]`.
    fn given_channels(
        &self,
        request: &GenerateRequest,
        first: &Picture,
        last: Option<&Picture>,
        control: &dyn Control,
    ) -> Result<Tensor, GenerateError> {
        let first = frames_of(first, request)?;
        let last = last.map(|last| frames_of(last, request)).transpose()?;
        let given = 1 + i64::from(last.is_some());
        let frames = i64::from(request.frames);
        let mut gray = first.size();
        gray[0] = (frames - given).max(0);
        let gray = Tensor::f_zeros(gray, (first.kind(), first.device()))?;
        let parts: Vec<&Tensor> = [Some(&first), Some(&gray), last.as_ref()]
            .into_iter()
            .flatten()
            .collect();
        let latents = self.encode_frames(&Tensor::f_cat(&parts, 0)?, control)?;
        let stride = self.config.vae.temporal_stride();
        Ok(GivenFrames::with_mask(&latents, stride, last.is_some())?)
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
        control: &dyn Control,
    ) -> Result<Tensor, GenerateError> {
        let frames = frames.f_to_device(self.device)?;
        let vae = self.vae.enter()?;
        stoppable(control, |stop| vae.encode(&frames, stop))
    }
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
