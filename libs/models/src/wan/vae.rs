//! The causal video autoencoder: latents to frames and back, in chunks.
//!
//! Inside, a clip is a batch of images `[f, c, h, w]`. Chunks give the same result as the whole clip
//! because every convolution that looks back in time remembers its last frames. All of it is computed
//! in 32-bit floats.
//!
//! One network serves both layouts. Wan 2.1 has 16 latent channels and a stride of 8 pixels; 2.2 has
//! 48 and a stride of 16, because it takes squares of pixels as channels, keeps the width of its
//! upsamplers, and has a shortcut around every level ([`VaeConfig::is_residual`]).

mod decoder;
mod encoder;
mod layers;
mod level;
mod patch;
mod resample;
mod shortcut;
mod tiles;

use kinora_nn::{CausalConv3d, FeatureCache, Weights, WeightsError, channels_last, parameters};
use tch::{Device, Kind, Tensor};

use self::decoder::Decoder;
use self::encoder::Encoder;
use self::patch::{patchify, unpatchify};
use super::{CancelCheck, Cancelled, proceed};
use crate::config::VaeConfig;
use crate::residency::Network;

pub use self::tiles::Tiling;

/// Latent positions decoded at a time: small clips in one go, large ones frame by frame.
pub(crate) const CHUNK_POSITIONS: i64 = 2048;

/// The network.
#[derive(Debug)]
pub struct WanVae {
    encoder: Encoder,
    after_encoder: CausalConv3d,
    before_decoder: CausalConv3d,
    decoder: Decoder,
    /// `[1, c, 1, 1]`
    mean: Tensor,
    /// `[1, c, 1, 1]`
    deviation: Tensor,
    latent_channels: i64,
    temporal_stride: i64,
    spatial_stride: i64,
    /// Side of the squares of pixels that are taken as channels; 1 in the 2.1 layout.
    patch_side: i64,
}

parameters!(WanVae {
    encoder, after_encoder, before_decoder, decoder, mean, deviation;
    latent_channels, temporal_stride, spatial_stride, patch_side
});

impl Network for WanVae {
    fn swap_blocks(&mut self, _: Device) {}
}

impl WanVae {
    /// Reads the network; the caller finishes `weights`.
    ///
    /// # Errors
    /// A tensor is missing or misshaped.
    pub fn load(weights: &Weights, config: &VaeConfig) -> Result<Self, WeightsError> {
        let latent = config.z_dim;
        let quant = weights.sub("quant_conv");
        let post_quant = weights.sub("post_quant_conv");
        Ok(Self {
            encoder: Encoder::load(&weights.sub("encoder"), config)?,
            after_encoder: CausalConv3d::load(&quant, 2 * latent, 2 * latent, 1, 1)?,
            before_decoder: CausalConv3d::load(&post_quant, latent, latent, 1, 1)?,
            decoder: Decoder::load(&weights.sub("decoder"), config)?,
            mean: per_channel(&config.latents_mean, weights.device()),
            deviation: per_channel(&config.latents_std, weights.device()),
            latent_channels: latent,
            temporal_stride: config.temporal_stride(),
            spatial_stride: config.spatial_stride(),
            patch_side: config.patch_side(),
        })
    }

    /// Decodes normalised latents to frames with values from -1 to 1.
    ///
    /// # Shapes
    /// `[1, c, f, h, w]` to `[1 + stride_t * (f - 1), 3, stride * h, stride * w]`
    ///
    /// # Errors
    /// [`Cancelled`], polled before every chunk.
    pub fn decode(
        &self,
        latents: &Tensor,
        is_cancelled: CancelCheck<'_>,
    ) -> Result<Tensor, Cancelled> {
        let size = latents.size();
        let chunk = (CHUNK_POSITIONS / (size[3] * size[4]).max(1)).max(1);
        self.decode_in_chunks(latents, chunk, is_cancelled)
    }

    /// Decodes `chunk` latent frames at a time; the first frame always comes alone.
    ///
    /// # Shapes
    /// As [`WanVae::decode`].
    ///
    /// # Errors
    /// [`Cancelled`], polled before every chunk.
    pub fn decode_in_chunks(
        &self,
        latents: &Tensor,
        chunk: i64,
        is_cancelled: CancelCheck<'_>,
    ) -> Result<Tensor, Cancelled> {
        let latents = channels_last(&latents.squeeze_dim(0).transpose(0, 1)); // [f, c, h, w]
        let latents = latents * &self.deviation + &self.mean;
        let mut cache = FeatureCache::default();
        let latents = self.before_decoder.forward(&latents, &mut cache);
        let mut decoded = Vec::new();
        for (start, count) in chunks(latents.size()[0], chunk) {
            proceed(is_cancelled)?;
            cache.begin_chunk();
            let part = latents.narrow(0, start, count);
            let patches = self.decoder.forward(&part, &mut cache);
            decoded.push(unpatchify(&patches, self.patch_side));
        }
        Ok(Tensor::cat(&decoded, 0).clamp_(-1.0, 1.0))
    }

    /// Encodes frames with values from -1 to 1 to normalised latents: the mean of the posterior.
    ///
    /// # Shapes
    /// `[f, 3, h, w]`, `f` one more than a multiple of the temporal stride, `h` and `w` multiples of
    /// the spatial stride, to `[1, c, f', h', w']`
    ///
    /// # Errors
    /// [`Cancelled`], polled before every chunk.
    pub fn encode(
        &self,
        frames: &Tensor,
        is_cancelled: CancelCheck<'_>,
    ) -> Result<Tensor, Cancelled> {
        let mut cache = FeatureCache::default();
        let mut encoded = Vec::new();
        for (start, count) in chunks(frames.size()[0], self.temporal_stride) {
            proceed(is_cancelled)?;
            cache.begin_chunk();
            let patches = patchify(&frames.narrow(0, start, count), self.patch_side);
            encoded.push(self.encoder.forward(&patches, &mut cache));
        }
        let moments = self
            .after_encoder
            .forward(&Tensor::cat(&encoded, 0), &mut cache);
        let mean = moments.narrow(1, 0, self.latent_channels); // [f', c, h', w']
        let latents = (mean - &self.mean) / &self.deviation;
        Ok(latents.transpose(0, 1).unsqueeze(0).contiguous())
    }
}

/// Start and length of each chunk: one frame, then `size` at a time.
fn chunks(frames: i64, size: i64) -> Vec<(i64, i64)> {
    let mut chunks = vec![(0, 1)];
    let mut start = 1;
    while start < frames {
        let count = size.min(frames - start);
        chunks.push((start, count));
        start += count;
    }
    chunks
}

fn per_channel(values: &[f64], device: Device) -> Tensor {
    Tensor::from_slice(values)
        .to_kind(Kind::Float)
        .to_device(device)
        .view([1, -1, 1, 1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_frame_comes_alone() {
        assert_eq!(chunks(1, 4), [(0, 1)]);
        assert_eq!(chunks(9, 4), [(0, 1), (1, 4), (5, 4)]);
        assert_eq!(chunks(4, 2), [(0, 1), (1, 2), (3, 1)]);
    }
}
