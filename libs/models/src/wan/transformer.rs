//! The diffusion transformer: noisy latents, a timestep, texts and images in, velocity out.

use std::ops::Range;

use kinora_nn::{Linear, RopeTable, WeightFormat, Weights, WeightsError, gelu_tanh, parameters};
use tch::{Device, Kind, Tensor};

use super::block::{Block, MODULATION_VECTORS};
use super::conditioning::{Conditioning, FoldedText};
use super::image_embedder::ImageEmbedder;
use super::timestep::{EmbeddedTime, Modulation, ModulationRun, TimeEmbedder};
use super::{CancelCheck, Cancelled, StepCache, Timestep, proceed};
use crate::config::TransformerConfig;
use crate::error::GenerateError;
use crate::residency::{Blocks, Network};

/// Rows of a block's modulation that scale; the 1 of `1 + scale` is added to them at load.
const SCALE_ROWS: [i64; 2] = [1, 4];

/// What the blocks of one step share.
struct BlockRun<'a> {
    /// One per block.
    modulation: Vec<Modulation>,
    conditioning: &'a Conditioning,
    is_cancelled: CancelCheck<'a>,
}

/// The network.
#[derive(Debug)]
pub struct WanTransformer {
    patch_embedding: Linear,
    time: TimeEmbedder,
    text_in: Linear,
    text_out: Linear,
    image: Option<ImageEmbedder>,
    blocks: Blocks<Block>,
    /// `[blocks, 6, c]`
    modulation: Tensor,
    /// `[2, c]`: shift and scale before the head
    head_modulation: Tensor,
    head: Linear,
    config: TransformerConfig,
}

parameters!(WanTransformer {
    patch_embedding, time, text_in, text_out, image, blocks, modulation, head_modulation, head;
    config
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
        let text = conditions.sub("text_embedder");
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
            time: TimeEmbedder::load(&conditions, config)?,
            text_in: Linear::load(&text.sub("linear_1"), config.text_dim, width)?,
            text_out: Linear::load(&text.sub("linear_2"), width, width)?,
            image: ImageEmbedder::load(&conditions.sub("image_embedder"), config)?,
            blocks: Blocks::new(blocks),
            modulation: load_modulation(weights, config)?,
            head_modulation: load_head_modulation(weights, width)?,
            head: Linear::load_f32(&weights.sub("proj_out"), width, outputs)?,
            config: config.clone(),
        })
    }

    /// Prepares what stays the same over all steps of a clip.
    ///
    /// `prompts` are embeddings `[s, text_dim]`, one per member of the batch. `image` are the features
    /// `[tokens, image_dim]` that all members share, for networks with an image branch only; where
    /// the configuration has `pos_embed_seq_len` they are those of the first and the last frame, one
    /// after the other. `latent_size` is frames, height and width of the latents.
    ///
    /// # Errors
    /// `Invalid` if the network needs an image and there is none, or the other way round, or its
    /// features are misshaped; otherwise libtorch could not allocate the rotary table.
    pub fn condition(
        &self,
        prompts: &[&Tensor],
        image: Option<&Tensor>,
        latent_size: [i64; 3],
    ) -> Result<Conditioning, GenerateError> {
        let image = self.embed_image(image)?;
        let fold = self.text_in.kind() == Kind::Float;
        let FoldedText { text, bias } = FoldedText::new(prompts, fold);
        let text = gelu_tanh(self.text_in.forward(&text));
        let text = self.text_out.forward(&text);
        let keys = self
            .blocks
            .iter()
            .map(|block| block.cross_keys(&text, image.as_ref()))
            .collect();
        let grid = self.token_grid(latent_size);
        let rope = RopeTable::new(grid, self.config.attention_head_dim, self.device())?;
        Ok(Conditioning {
            keys,
            text_bias: bias,
            rope,
        })
    }

    fn embed_image(&self, image: Option<&Tensor>) -> Result<Option<Tensor>, GenerateError> {
        match (&self.image, image) {
            (Some(embedder), Some(image)) => embedder.forward(image).map(Some),
            (None, None) => Ok(None),
            (Some(_), None) => {
                let reason = "is missing, this model continues an image";
                Err(GenerateError::invalid("image", reason))
            }
            (None, Some(_)) => {
                let reason = "has features, this model has no image branch to take them";
                Err(GenerateError::invalid("image", reason))
            }
        }
    }

    /// Predicts the velocity.
    ///
    /// `latents` hold all channels the network reads: the noisy ones, and where the configuration has
    /// more, mask and given latents after them. A `cache` must be fed every step of one clip with the
    /// same `conditioning`. Without a cache nothing in here waits for the device.
    ///
    /// # Shapes
    /// latents `[1, c, f, h, w]` with `in_channels` to `[b, c, f, h, w]` with `out_channels`, in
    /// 32-bit floats, `b` being the number of prompts in `conditioning`
    ///
    /// # Errors
    /// [`Cancelled`], polled before every block.
    pub fn forward(
        &self,
        latents: &Tensor,
        timestep: Timestep,
        conditioning: &Conditioning,
        cache: Option<&mut StepCache>,
        is_cancelled: CancelCheck<'_>,
    ) -> Result<Tensor, Cancelled> {
        let size = latents.size();
        let grid = self.token_grid([size[2], size[3], size[4]]);
        let times = self.embed_times(timestep, grid);
        let run = BlockRun {
            modulation: self.block_modulation(&times),
            conditioning,
            is_cancelled,
        };
        let stream = self.patchify(latents, grid);
        let stream = match cache.filter(|cache| cache.is_on()) {
            None => self.blocks(0..self.blocks.len(), stream, &run)?,
            Some(cache) => cache.step(
                &stream,
                |stream| self.blocks(0..1, stream.copy(), &run),
                |stream| self.blocks(1..self.blocks.len(), stream.copy(), &run),
            )?,
        };
        let stream = self
            .head_modulation(times)
            .normalise(&stream, 0, self.config.eps);
        Ok(self.unpatchify(&self.head.forward(&stream), grid))
    }

    /// Applies some of the blocks to the stream, `[b, s, c]`, which nobody else may hold.
    fn blocks(
        &self,
        range: Range<usize>,
        mut stream: Tensor,
        run: &BlockRun<'_>,
    ) -> Result<Tensor, Cancelled> {
        let (keys, bias) = (&run.conditioning.keys, run.conditioning.text_bias.as_ref());
        for (index, block) in range.clone().zip(self.blocks.range(range)) {
            proceed(run.is_cancelled)?;
            let (modulation, rope) = (&run.modulation[index], &run.conditioning.rope);
            stream = block.forward(stream, modulation, &keys[index], bias, rope);
        }
        Ok(stream)
    }

    /// Runs of tokens that share a timestep, as (tokens, embedded timestep).
    fn embed_times(&self, timestep: Timestep, grid: [i64; 3]) -> Vec<(i64, EmbeddedTime)> {
        let runs = timestep.runs(grid).into_iter();
        runs.map(|(tokens, timestep)| (tokens, self.time.forward(timestep)))
            .collect()
    }

    /// One per block.
    fn block_modulation(&self, times: &[(i64, EmbeddedTime)]) -> Vec<Modulation> {
        let tables = times.iter().map(|(tokens, time)| {
            let table = &self.modulation + &time.projection; // [blocks, 6, c]
            (*tokens, table.unbind(0))
        });
        let tables: Vec<(i64, Vec<Tensor>)> = tables.collect();
        let of_block = |index: usize| {
            let run = |(tokens, blocks): &(i64, Vec<Tensor>)| ModulationRun {
                tokens: *tokens,
                vectors: blocks[index].shallow_clone(),
            };
            let runs = tables.iter().map(run).collect();
            Modulation { runs }
        };
        (0..self.blocks.len()).map(of_block).collect()
    }

    fn head_modulation(&self, times: Vec<(i64, EmbeddedTime)>) -> Modulation {
        let runs = times.into_iter().map(|(tokens, time)| ModulationRun {
            tokens,
            vectors: &self.head_modulation + time.embedding, // [2, c]
        });
        let runs = runs.collect();
        Modulation { runs }
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
