//! Previews: what latents will look like, without decoding them.
//!
//! A linear map from latent channels to colours is close enough for a small picture. It is found once
//! per loaded model, by decoding random latents and fitting the colours of each position's pixels, so
//! that every autoencoder gets its own and no table of numbers has to be kept.

use tch::{Device, Kind, Tensor};

use super::{WanPipeline, to_clip};
use crate::error::GenerateError;
use crate::guard::guarded;
use crate::request::{Control, Picture};

/// Rows and columns of latents that the fit decodes: enough positions for 48 channels.
const FIT_SIDE: i64 = 24;
/// Seed of the latents that the fit decodes.
const FIT_SEED: u64 = 0;
/// Keeps the fit solvable when channels hardly matter.
const RIDGE: f64 = 1e-3;

/// Colours as a linear function of latent channels.
#[derive(Debug)]
pub(super) struct PreviewMap {
    /// `[c + 1, 3]`, the last row is the offset
    weights: Tensor,
}

impl PreviewMap {
    /// A picture of the middle latent frame, one pixel per latent position.
    fn picture(&self, latents: &Tensor) -> Result<Picture, GenerateError> {
        let middle = latents.size()[2] / 2;
        let frame = latents.select(2, middle).squeeze_dim(0); // [c, h, w]
        let (height, width) = (frame.size()[1], frame.size()[2]);
        let colours = with_offset(&frame.flatten(1, 2).transpose(0, 1)).matmul(&self.weights);
        let image = colours
            .transpose(0, 1)
            .reshape([1, 3, height, width])
            .clamp(-1.0, 1.0);
        let clip = to_clip(&image)?;
        Ok(Picture {
            width: clip.width,
            height: clip.height,
            rgb: clip.rgb,
        })
    }
}

impl WanPipeline {
    /// Gives the control a preview. A preview that fails, for want of memory for example, is left out
    /// and not tried again: the clip matters more.
    pub(super) fn show(&self, latents: &Tensor, control: &mut dyn Control) {
        let fit = || guarded(|| self.fit_preview()).ok();
        let Some(map) = self.preview.get_or_init(fit) else {
            return;
        };
        if let Ok(picture) = guarded(|| map.picture(latents)) {
            control.preview(picture);
        }
    }

    fn fit_preview(&self) -> Result<PreviewMap, GenerateError> {
        let channels = self.config.vae.z_dim;
        let shape = [1, channels, 1, FIT_SIDE, FIT_SIDE];
        let latents = super::seeded_noise(&shape, FIT_SEED)?.f_to_device(self.device)?;
        let decoded = self.vae.enter()?.decode(&latents, &|| false); // [1, 3, h, w]
        let decoded = decoded.map_err(|_| GenerateError::Cancelled)?;
        let colours = decoded.adaptive_avg_pool2d([FIT_SIDE, FIT_SIDE]);
        let colours = colours.reshape([3, FIT_SIDE * FIT_SIDE]).transpose(0, 1);
        let inputs = latents
            .reshape([channels, FIT_SIDE * FIT_SIDE])
            .transpose(0, 1);
        let inputs = with_offset(&inputs)
            .to_device(Device::Cpu)
            .to_kind(Kind::Double);
        let colours = colours.to_device(Device::Cpu).to_kind(Kind::Double);
        let square = inputs.transpose(0, 1).matmul(&inputs); // [c + 1, c + 1]
        let ridge = Tensor::eye(channels + 1, (Kind::Double, Device::Cpu)) * RIDGE;
        let right = inputs.transpose(0, 1).matmul(&colours); // [c + 1, 3]
        let weights = Tensor::f_linalg_solve(&(square + ridge), &right, true)?;
        let weights = weights.to_kind(Kind::Float).to_device(self.device);
        Ok(PreviewMap { weights })
    }
}

/// `[s, c]` to `[s, c + 1]`, the last column being 1.
fn with_offset(positions: &Tensor) -> Tensor {
    let ones = positions.narrow(1, 0, 1).ones_like();
    Tensor::cat(&[positions, &ones], 1)
}
