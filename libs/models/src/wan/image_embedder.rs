//! Image features as tokens that the blocks attend to besides the text.

use kinora_nn::{LayerNorm, Linear, Weights, WeightsError, parameters};
use tch::Tensor;

use crate::config::TransformerConfig;
use crate::error::GenerateError;

/// Added to the variances of both norms before division; not the network's own value.
const NORM_EPS: f64 = 1e-5;

/// Norm, two linear layers with a GELU between, norm.
#[derive(Debug)]
pub(super) struct ImageEmbedder {
    /// `[tokens, image_dim]`: tells the tokens of the first from those of the last frame.
    positions: Option<Tensor>,
    norm_in: LayerNorm,
    expand: Linear,
    contract: Linear,
    norm_out: LayerNorm,
    image_dim: i64,
}

parameters!(ImageEmbedder { positions, norm_in, expand, contract, norm_out; image_dim });

impl ImageEmbedder {
    /// Reads the embedder where the configuration has one.
    ///
    /// # Errors
    /// A tensor is missing or misshaped.
    pub(super) fn load(
        weights: &Weights,
        config: &TransformerConfig,
    ) -> Result<Option<Self>, WeightsError> {
        let Some(image_dim) = config.image_dim else {
            return Ok(None);
        };
        let (width, layers) = (config.width(), weights.sub("ff").sub("net"));
        let positions = config
            .pos_embed_seq_len
            .map(|tokens| weights.get_f32("pos_embed", &[1, tokens, image_dim]));
        Ok(Some(Self {
            positions: positions.transpose()?.map(|table| table.squeeze_dim(0)),
            norm_in: LayerNorm::load(&weights.sub("norm1"), image_dim, NORM_EPS)?,
            expand: Linear::load(&layers.sub("0.proj"), image_dim, image_dim)?,
            contract: Linear::load(&layers.sub(2), image_dim, width)?,
            norm_out: LayerNorm::load(&weights.sub("norm2"), width, NORM_EPS)?,
            image_dim,
        }))
    }

    /// Embeds the features of one image, or of the first and the last frame one after the other.
    ///
    /// # Shapes
    /// `[tokens, image_dim]` to `[1, tokens, c]` in 32-bit floats
    ///
    /// # Errors
    /// `Invalid` if the features have another shape than the network takes.
    pub(super) fn forward(&self, image: &Tensor) -> Result<Tensor, GenerateError> {
        self.check(&image.size())?;
        let input = match &self.positions {
            Some(positions) => image + positions,
            None => image.shallow_clone(),
        };
        // Unlike in the blocks, this is the exact GELU.
        let hidden = self
            .expand
            .forward(&self.norm_in.forward(&input))
            .gelu("none");
        let output = self.norm_out.forward(&self.contract.forward(&hidden));
        Ok(output.unsqueeze(0))
    }

    fn check(&self, size: &[i64]) -> Result<(), GenerateError> {
        let tokens = self.positions.as_ref().map(|table| table.size()[0]);
        let fits = match *size {
            [found, width] => {
                width == self.image_dim && found > 0 && tokens.is_none_or(|tokens| tokens == found)
            }
            _ => false,
        };
        if fits {
            return Ok(());
        }
        let tokens = tokens.map_or_else(|| "any".to_owned(), |tokens| tokens.to_string());
        let width = self.image_dim;
        let reason = format!("has features of shape {size:?}, the model takes [{tokens}, {width}]");
        Err(GenerateError::invalid("image", reason))
    }
}
