//! The CLIP vision encoder: an image to one embedding per patch.
//!
//! Image-to-video models attend to what the last but one block says of every patch, so the last block
//! and the norm after it are never run. Norms and the residual stream are in 32-bit floats.

mod preprocess;

use kinora_nn::{
    LayerNorm, Linear, Weights, WeightsError, parameters, scaled_dot_product_attention,
};
use tch::{Device, Kind, Tensor};

use crate::config::ImageEncoderConfig;
use crate::config::image::ImageActivation;
use crate::error::GenerateError;
use crate::request::Picture;
use crate::residency::Network;

pub use preprocess::preprocess;

/// Factor in the quick approximation of GELU (`x * sigmoid(1.702 x)`, arXiv:1606.08415, section 2).
const QUICK_GELU_FACTOR: f64 = 1.702;

/// The network.
#[derive(Debug)]
pub struct ClipVisionEncoder {
    /// `[c, 3, patch, patch]`
    patches: Tensor,
    /// `[1, c]`, stands for the whole image
    class: Tensor,
    /// `[s, c]`
    positions: Tensor,
    norm: LayerNorm,
    blocks: Vec<Block>,
    config: ImageEncoderConfig,
}

#[derive(Debug)]
struct Block {
    attention_norm: LayerNorm,
    /// Query, key and value side by side.
    qkv: Linear,
    attention_out: Linear,
    feed_forward_norm: LayerNorm,
    feed_forward_in: Linear,
    feed_forward_out: Linear,
}

parameters!(ClipVisionEncoder { patches, class, positions, norm, blocks; config });
parameters!(Block {
    attention_norm, qkv, attention_out, feed_forward_norm, feed_forward_in, feed_forward_out;
});

impl Network for ClipVisionEncoder {
    fn swap_blocks(&mut self, _: Device) {}
}

impl ClipVisionEncoder {
    /// Reads the network; the caller finishes `weights`.
    ///
    /// Names may start with `vision_model.`, as published files have it, or not, as recent versions
    /// of transformers write them. The last block and `post_layernorm` are known and not read.
    ///
    /// # Errors
    /// A tensor is missing or misshaped.
    pub fn load(weights: &Weights, config: &ImageEncoderConfig) -> Result<Self, WeightsError> {
        let weights = if weights.has("vision_model.embeddings.class_embedding") {
            &weights.sub("vision_model")
        } else {
            weights
        };
        let (width, side) = (config.hidden_size, config.patch_size);
        let embeddings = weights.sub("embeddings");
        embeddings.skip("position_ids"); // older files hold 0, 1, 2, ...
        let layers = weights.sub("encoder").sub("layers");
        let last = config.num_hidden_layers - 1;
        let mut blocks = Vec::new();
        for index in 0..last {
            blocks.push(Block::load(&layers.sub(index), config)?);
        }
        pass_over_last_block(weights, &layers.sub(last), config)?;
        let shape = [width, config.num_channels, side, side];
        let positions = [config.tokens(), width];
        Ok(Self {
            patches: embeddings.get("patch_embedding.weight", &shape)?,
            class: embeddings
                .get_f32("class_embedding", &[width])?
                .unsqueeze(0),
            positions: embeddings.get_f32("position_embedding.weight", &positions)?,
            // The file's own spelling.
            norm: LayerNorm::load(&weights.sub("pre_layrnorm"), width, config.layer_norm_eps)?,
            blocks,
            config: config.clone(),
        })
    }

    /// Encodes a picture: [`preprocess`] at this model's size, then [`Self::forward`].
    ///
    /// # Shapes
    /// `[s, c]` in 32-bit floats, 257 tokens for a 224 pixel ViT-H/14
    ///
    /// # Errors
    /// `Invalid` for a picture that [`preprocess`] refuses.
    pub fn encode(&self, picture: &Picture) -> Result<Tensor, GenerateError> {
        let side = u32::try_from(self.config.image_size).unwrap_or(u32::MAX);
        Ok(self.forward(&preprocess(picture, side)?))
    }

    /// The output of the last but one block for one image.
    ///
    /// # Shapes
    /// `[1, 3, image_size, image_size]`, on any device, to `[s, c]` in 32-bit floats
    pub fn forward(&self, pixels: &Tensor) -> Tensor {
        let pixels = pixels
            .to_device(self.patches.device())
            .to_kind(self.patches.kind());
        let stride = [self.config.patch_size; 2];
        let patches = pixels
            .conv2d(&self.patches, None::<&Tensor>, stride, [0, 0], [1, 1], 1)
            .squeeze_dim(0) // [c, rows, columns]
            .flatten(1, 2)
            .transpose(0, 1) // [rows * columns, c]
            .to_kind(Kind::Float);
        let tokens = Tensor::cat(&[&self.class, &patches], 0) + &self.positions; // [s, c]
        let mut stream = self.norm.forward(&tokens);
        for block in &self.blocks {
            stream = block.forward(&stream, &self.config);
        }
        stream
    }
}

/// Accounts for the weights after the last block that is run.
///
/// One norm is read to see that the file has this block: else the block before it would be the last.
fn pass_over_last_block(
    weights: &Weights,
    block: &Weights,
    config: &ImageEncoderConfig,
) -> Result<(), WeightsError> {
    LayerNorm::load(
        &block.sub("layer_norm1"),
        config.hidden_size,
        config.layer_norm_eps,
    )?;
    let attention = ["q_proj", "k_proj", "v_proj", "out_proj"];
    let unused = attention
        .map(|name| block.sub("self_attn").sub(name))
        .into_iter()
        .chain([
            block.sub("mlp.fc1"),
            block.sub("mlp.fc2"),
            block.sub("layer_norm2"),
            weights.sub("post_layernorm"),
        ]);
    for layer in unused {
        layer.skip("weight");
        layer.skip("bias");
    }
    Ok(())
}

impl Block {
    fn load(weights: &Weights, config: &ImageEncoderConfig) -> Result<Self, WeightsError> {
        let (width, inner) = (config.hidden_size, config.intermediate_size);
        let norm = |name| LayerNorm::load(&weights.sub(name), width, config.layer_norm_eps);
        let attention = weights.sub("self_attn");
        let project = |name| Linear::load(&attention.sub(name), width, width);
        let qkv = Linear::stacked(&[project("q_proj")?, project("k_proj")?, project("v_proj")?]);
        Ok(Self {
            attention_norm: norm("layer_norm1")?,
            qkv: qkv.map_err(|source| attention.torch_error(source))?,
            attention_out: project("out_proj")?,
            feed_forward_norm: norm("layer_norm2")?,
            feed_forward_in: Linear::load(&weights.sub("mlp.fc1"), width, inner)?,
            feed_forward_out: Linear::load(&weights.sub("mlp.fc2"), inner, width)?,
        })
    }

    /// `[s, c]` to the same
    fn forward(&self, stream: &Tensor, config: &ImageEncoderConfig) -> Tensor {
        let stream = stream + self.attend(&self.attention_norm.forward(stream), config);
        let input = self.feed_forward_norm.forward(&stream);
        let expanded = self.feed_forward_in.forward(&input);
        let activated = match config.hidden_act {
            ImageActivation::Gelu => expanded.gelu("none"),
            ImageActivation::QuickGelu => (&expanded * QUICK_GELU_FACTOR).sigmoid() * expanded,
        };
        let output = self.feed_forward_out.forward(&activated);
        stream + output.to_kind(Kind::Float)
    }

    fn attend(&self, input: &Tensor, config: &ImageEncoderConfig) -> Tensor {
        let heads = config.num_attention_heads;
        let (tokens, width) = input.size2().unwrap_or_default();
        let qkv = self
            .qkv
            .forward(input)
            .view([tokens, 3, heads, width / heads])
            .permute([1, 2, 0, 3])
            .unsqueeze(1); // [3, 1, n, s, d]
        let (query, key, value) = (qkv.get(0), qkv.get(1), qkv.get(2));
        let mixed = scaled_dot_product_attention(&query, &key, &value, None, None);
        let mixed = mixed.squeeze_dim(0).transpose(0, 1); // [s, n, d]
        let mixed = mixed.reshape([tokens, width]);
        self.attention_out.forward(&mixed).to_kind(Kind::Float)
    }
}
