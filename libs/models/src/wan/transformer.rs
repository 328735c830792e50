//! The diffusion transformer: noisy latents, a timestep and texts in, velocity out.

use kinora_nn::{
    Linear, RopeTable, WeightFormat, Weights, WeightsError, gelu_tanh, modulated_layer_norm,
    parameters,
};
use tch::{Device, Kind, Tensor};

use super::block::{Block, MODULATION_VECTORS};
use super::conditioning::{Conditioning, FoldedText};
use super::{CancelCheck, Cancelled, proceed};
use crate::config::TransformerConfig;
use crate::residency::{Blocks, Network};

/// Longest period of the sinusoidal time embedding.
const MAX_PERIOD: f64 = 10_000.0;
/// Rows of a block's modulation that scale; the 1 of `1 + scale` is added to them at load.
const SCALE_ROWS: [i64; 2] = [1, 4];

/// The network.
#[derive(Debug)]
pub struct WanTransformer {
    patch_embedding: Linear,
    time_in: Linear,
    time_out: Linear,
    time_projection: Linear,
    text_in: Linear,
    text_out: Linear,
    blocks: Blocks<Block>,
    /// `[blocks, 6, c]`
    modulation: Tensor,
    /// `[2, c]`: shift and scale before the head
    head_modulation: Tensor,
    head: Linear,
    config: TransformerConfig,
}

parameters!(WanTransformer {
    patch_embedding, time_in, time_out, time_projection, text_in, text_out, blocks, modulation,
    head_modulation, head; config
});

impl Network for WanTransformer {
    fn swap_blocks(&mut self, device: Device) {
        self.blocks.swap_to(device);
    }
}

impl WanTransformer {
    /// Reads the network; the caller finishes `weights`.
    ///
    /// # Errors
    /// A tensor is missing or misshaped.
    pub fn load(weights: &Weights, config: &TransformerConfig) -> Result<Self, WeightsError> {
        Self::load_as(weights, config, WeightFormat::Native)
    }

    /// Reads the network and stores the matrices of its blocks in `format`, block by block, so that
    /// no more than one of them is in memory in the compute type.
    ///
    /// # Errors
    /// As [`WanTransformer::load`].
    pub fn load_as(
        weights: &Weights,
        config: &TransformerConfig,
        format: WeightFormat,
    ) -> Result<Self, WeightsError> {
        let width = config.width();
        let conditions = weights.sub("condition_embedder");
        let (time, text) = (
            conditions.sub("time_embedder"),
            conditions.sub("text_embedder"),
        );
        let mut blocks = Vec::new();
        for index in 0..config.num_layers {
            let at = weights.sub("blocks").sub(index);
            let mut block = Block::load(&at, config)?;
            block
                .quantise(format)
                .map_err(|source| at.torch_error(source))?;
            blocks.push(block);
        }
        let outputs = config.out_channels * config.patch_volume();
        Ok(Self {
            patch_embedding: load_patch_embedding(weights, config)?,
            time_in: Linear::load_f32(&time.sub("linear_1"), config.freq_dim, width)?,
            time_out: Linear::load_f32(&time.sub("linear_2"), width, width)?,
            time_projection: Linear::load_f32(
                &conditions.sub("time_proj"),
                width,
                MODULATION_VECTORS * width,
            )?,
            text_in: Linear::load(&text.sub("linear_1"), config.text_dim, width)?,
            text_out: Linear::load(&text.sub("linear_2"), width, width)?,
            blocks: Blocks::new(blocks),
            modulation: load_modulation(weights, config)?,
            head_modulation: load_head_modulation(weights, width)?,
            head: Linear::load_f32(&weights.sub("proj_out"), width, outputs)?,
            config: config.clone(),
        })
    }

    /// Prepares what stays the same over all steps of a clip.
    ///
    /// `prompts` are embeddings `[s, text_dim]`, one per member of the batch; `latent_size` is
    /// frames, height and width of the latents.
    ///
    /// # Errors
    /// libtorch could not allocate the rotary table.
    pub fn condition(
        &self,
        prompts: &[&Tensor],
        latent_size: [i64; 3],
    ) -> Result<Conditioning, tch::TchError> {
        let fold = self.text_in.kind() == Kind::Float;
        let FoldedText { text, bias } = FoldedText::new(prompts, fold);
        let text = gelu_tanh(&self.text_in.forward(&text));
        let text = self.text_out.forward(&text);
        let text = self
            .blocks
            .iter()
            .map(|block| block.text_keys(&text))
            .collect();
        let grid = self.token_grid(latent_size);
        let rope = RopeTable::new(grid, self.config.attention_head_dim, self.device())?;
        Ok(Conditioning {
            text,
            text_bias: bias,
            rope,
        })
    }

    /// Predicts the velocity.
    ///
    /// # Shapes
    /// latents `[1, c, f, h, w]` to `[b, c, f, h, w]` in 32-bit floats, `b` being the number of
    /// prompts in `conditioning`
    ///
    /// # Errors
    /// [`Cancelled`], polled before every block.
    pub fn forward(
        &self,
        latents: &Tensor,
        timestep: f64,
        conditioning: &Conditioning,
        is_cancelled: CancelCheck<'_>,
    ) -> Result<Tensor, Cancelled> {
        let size = latents.size();
        let grid = self.token_grid([size[2], size[3], size[4]]);
        let mut stream = self.patchify(latents, grid);
        let time = self.time_embedding(timestep); // [c]
        let shared = self.time_projection.forward(&time.silu());
        let modulation = &self.modulation + shared.view([MODULATION_VECTORS, -1]);
        for (index, (block, text)) in self.blocks.iter().zip(&conditioning.text).enumerate() {
            proceed(is_cancelled)?;
            let modulation = modulation.get(i64::try_from(index).unwrap_or_default()); // [6, c]
            let bias = conditioning.text_bias.as_ref();
            stream = block.forward(&stream, &modulation, text, bias, &conditioning.rope);
        }
        let head = &self.head_modulation + time; // [2, c]
        let stream = modulated_layer_norm(&stream, &head.get(1), &head.get(0), self.config.eps);
        Ok(self.unpatchify(&self.head.forward(&stream), grid))
    }

    /// Number of tokens of latents with this many frames, rows and columns.
    #[must_use]
    pub fn tokens(&self, latent_size: [i64; 3]) -> i64 {
        self.token_grid(latent_size).iter().product()
    }

    /// Where the network is, swapped blocks aside.
    fn device(&self) -> Device {
        self.modulation.device()
    }

    /// Tokens along time, height and width.
    fn token_grid(&self, latent_size: [i64; 3]) -> [i64; 3] {
        let patch = self.config.patch_size;
        [
            latent_size[0] / patch[0],
            latent_size[1] / patch[1],
            latent_size[2] / patch[2],
        ]
    }

    /// Latents `[1, c, f, h, w]` to tokens `[1, s, width]`: a convolution whose stride is its
    /// kernel is a linear map of each patch.
    fn patchify(&self, latents: &Tensor, grid: [i64; 3]) -> Tensor {
        let ([frames, height, width], [pt, ph, pw]) = (grid, self.config.patch_size);
        let channels = self.config.in_channels;
        let patches = latents
            .reshape([1, channels, frames, pt, height, ph, width, pw])
            .permute([0, 2, 4, 6, 1, 3, 5, 7]) // [1, f, h, w, c, pt, ph, pw]
            .reshape([1, frames * height * width, channels * pt * ph * pw]);
        self.patch_embedding.forward(&patches).to_kind(Kind::Float)
    }

    /// Tokens `[b, s, pt * ph * pw * c]` to latents `[b, c, f, h, w]`.
    fn unpatchify(&self, tokens: &Tensor, grid: [i64; 3]) -> Tensor {
        let ([frames, height, width], [pt, ph, pw]) = (grid, self.config.patch_size);
        let (batch, channels) = (tokens.size()[0], self.config.out_channels);
        tokens
            .reshape([batch, frames, height, width, pt, ph, pw, channels])
            .permute([0, 7, 1, 4, 2, 5, 3, 6]) // [b, c, f, pt, h, ph, w, pw]
            .reshape([batch, channels, frames * pt, height * ph, width * pw])
    }

    /// The embedding of a timestep, `[c]`: cosines then sines, and two linear layers.
    fn time_embedding(&self, timestep: f64) -> Tensor {
        let half = self.config.freq_dim / 2;
        let index = Tensor::arange(half, (Kind::Double, Device::Cpu));
        let angles = (index * (-MAX_PERIOD.ln() / half as f64)).exp() * timestep;
        let waves = Tensor::cat(&[angles.cos(), angles.sin()], 0);
        let waves = waves.to_kind(Kind::Float).to_device(self.device());
        self.time_out.forward(&self.time_in.forward(&waves).silu())
    }
}

/// The modulation of all blocks, `[blocks, 6, c]`.
fn load_modulation(weights: &Weights, config: &TransformerConfig) -> Result<Tensor, WeightsError> {
    let shape = [1, MODULATION_VECTORS, config.width()];
    let mut tables = Vec::new();
    for index in 0..config.num_layers {
        let block = weights.sub("blocks").sub(index);
        tables.push(block.get_f32("scale_shift_table", &shape)?);
    }
    let modulation = Tensor::cat(&tables, 0);
    for row in SCALE_ROWS {
        let _ = modulation.select(1, row).g_add_scalar_(1.0);
    }
    Ok(modulation)
}

/// Shift and scale before the head, `[2, c]`.
fn load_head_modulation(weights: &Weights, width: i64) -> Result<Tensor, WeightsError> {
    let table = weights.get_f32("scale_shift_table", &[1, 2, width])?;
    let table = table.squeeze_dim(0);
    let _ = table.get(1).g_add_scalar_(1.0);
    Ok(table)
}

/// The patch convolution, `[width, c, pt, ph, pw]`, as a linear layer.
fn load_patch_embedding(
    weights: &Weights,
    config: &TransformerConfig,
) -> Result<Linear, WeightsError> {
    let (at, width) = (weights.sub("patch_embedding"), config.width());
    let [pt, ph, pw] = config.patch_size;
    let weight = at.get("weight", &[width, config.in_channels, pt, ph, pw])?;
    let bias = Some(at.get("bias", &[width])?);
    Ok(Linear::new(weight.flatten(1, -1), bias))
}
