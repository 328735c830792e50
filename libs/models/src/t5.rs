//! The UMT5 encoder: token ids to text embeddings.
//!
//! Pre-norm blocks without biases, attention without a scale, a table of relative position biases in
//! every block. Norms and the residual stream are in 32-bit floats.

use kinora_nn::{
    Linear, RmsNorm, TchError, WeightFormat, Weights, WeightsError, parameters,
    scaled_dot_product_attention,
};
use tch::{Device, Kind, Tensor};

use crate::config::TextEncoderConfig;
use crate::residency::{Blocks, Network};

/// The network.
#[derive(Debug)]
pub struct T5Encoder {
    /// `[vocabulary, width]`
    embedding: Tensor,
    blocks: Blocks<Block>,
    final_norm: RmsNorm,
    config: TextEncoderConfig,
}

parameters!(T5Encoder { embedding, blocks, final_norm; config });

impl Network for T5Encoder {
    fn swap_blocks(&mut self, device: Device) {
        self.blocks.swap_to(device);
    }
}

#[derive(Debug)]
struct Block {
    attention_norm: RmsNorm,
    /// Query, key and value side by side.
    qkv: Linear,
    /// `[buckets, n]`
    position_bias: Tensor,
    attention_out: Linear,
    feed_forward_norm: RmsNorm,
    /// Gate and value side by side.
    gate_and_value: Linear,
    feed_forward_out: Linear,
}

parameters!(Block {
    attention_norm, qkv, position_bias, attention_out, feed_forward_norm, gate_and_value,
    feed_forward_out;
});

impl T5Encoder {
    /// Reads the network; the caller finishes `weights`.
    ///
    /// # Errors
    /// A tensor is missing or misshaped.
    pub fn load(weights: &Weights, config: &TextEncoderConfig) -> Result<Self, WeightsError> {
        Self::load_as(weights, config, WeightFormat::Native)
    }

    /// Reads the network and stores the matrices of its blocks in `format`, block by block.
    ///
    /// # Errors
    /// As [`T5Encoder::load`].
    pub fn load_as(
        weights: &Weights,
        config: &TextEncoderConfig,
        format: WeightFormat,
    ) -> Result<Self, WeightsError> {
        let encoder = weights.sub("encoder");
        let shape = [config.vocab_size, config.d_model];
        // The token table has two names; a file may hold either or both.
        let embedding = if weights.has("shared.weight") {
            encoder.skip("embed_tokens.weight");
            weights.get("shared.weight", &shape)?
        } else {
            encoder.get("embed_tokens.weight", &shape)?
        };
        let mut blocks = Vec::new();
        for index in 0..config.num_layers {
            let at = encoder.sub("block").sub(index).sub("layer");
            let mut block = Block::load(&at, config)?;
            block
                .quantise(format)
                .map_err(|source| at.torch_error(source))?;
            blocks.push(block);
        }
        let norm = encoder.sub("final_layer_norm");
        let final_norm = RmsNorm::load(&norm, config.d_model, config.layer_norm_epsilon)?;
        Ok(Self {
            embedding,
            blocks: Blocks::new(blocks),
            final_norm,
            config: config.clone(),
        })
    }

    /// Encodes one text. There is no mask: `ids` must hold no padding.
    ///
    /// # Shapes
    /// `s` ids to `[s, c]` in 32-bit floats
    pub fn forward(&self, ids: &[i64]) -> Tensor {
        let ids = Tensor::from_slice(ids).to_device(self.embedding.device());
        let buckets = self.position_buckets(ids.numel());
        let mut stream = self.embedding.index_select(0, &ids).to_kind(Kind::Float); // [s, c]
        for block in self.blocks.iter() {
            stream = block.forward(&stream, &buckets, &self.config);
        }
        self.final_norm.forward(&stream)
    }

    /// The bucket of every pair of positions, flattened: `[s * s]`.
    ///
    /// Half of the buckets are for keys after the query. Of each half, one half counts single steps
    /// and the other grows logarithmically up to the largest distance.
    fn position_buckets(&self, tokens: usize) -> Tensor {
        let tokens = i64::try_from(tokens).unwrap_or_default();
        let positions = Tensor::arange(tokens, (Kind::Int64, Device::Cpu));
        let relative = positions.unsqueeze(0) - positions.unsqueeze(1); // [queries, keys]
        let half = self.config.relative_attention_num_buckets / 2;
        let exact = half / 2;
        let distance = relative.abs();
        let octaves = self.config.relative_attention_max_distance as f64 / exact as f64;
        let logarithmic = (distance.to_kind(Kind::Float) / exact).log() / octaves.ln();
        let logarithmic = (logarithmic * (half - exact))
            .clamp_min(0)
            .to_kind(Kind::Int64)
            + exact;
        let bucket = distance.where_self(&distance.lt(exact), &logarithmic.clamp_max(half - 1));
        let later = relative.gt(0).to_kind(Kind::Int64) * half;
        (bucket + later)
            .flatten(0, -1)
            .to_device(self.embedding.device())
    }
}

impl Block {
    fn load(weights: &Weights, config: &TextEncoderConfig) -> Result<Self, WeightsError> {
        let (width, inner, eps) = (
            config.d_model,
            config.attention_width(),
            config.layer_norm_epsilon,
        );
        let (layer, feed_forward) = (weights.sub(0), weights.sub(1));
        let attention = layer.sub("SelfAttention");
        let project = |name| Linear::load_no_bias(&attention.sub(name), width, inner);
        let qkv = stacked(&attention, &[project("q")?, project("k")?, project("v")?])?;
        let table = [config.relative_attention_num_buckets, config.num_heads];
        let dense = feed_forward.sub("DenseReluDense");
        let expand = |name| Linear::load_no_bias(&dense.sub(name), width, config.d_ff);
        Ok(Self {
            attention_norm: RmsNorm::load(&layer.sub("layer_norm"), width, eps)?,
            qkv,
            position_bias: attention.get("relative_attention_bias.weight", &table)?,
            attention_out: Linear::load_no_bias(&attention.sub("o"), inner, width)?,
            feed_forward_norm: RmsNorm::load(&feed_forward.sub("layer_norm"), width, eps)?,
            gate_and_value: stacked(&dense, &[expand("wi_0")?, expand("wi_1")?])?,
            feed_forward_out: Linear::load_no_bias(&dense.sub("wo"), config.d_ff, width)?,
        })
    }

    /// Stores the matrices of the block in `format`.
    fn quantise(&mut self, format: WeightFormat) -> Result<(), TchError> {
        let matrices = [
            &mut self.qkv,
            &mut self.attention_out,
            &mut self.gate_and_value,
            &mut self.feed_forward_out,
        ];
        matrices
            .into_iter()
            .try_for_each(|matrix| matrix.quantise(format))
    }

    fn forward(&self, stream: &Tensor, buckets: &Tensor, config: &TextEncoderConfig) -> Tensor {
        let stream = stream + self.attend(&self.attention_norm.forward(stream), buckets, config);
        let expanded = self
            .gate_and_value
            .forward(&self.feed_forward_norm.forward(&stream));
        let halves = expanded.chunk(2, -1);
        let gated = halves[0].gelu("tanh") * &halves[1];
        let output = self.feed_forward_out.forward(&gated).to_kind(Kind::Float);
        stream + output
    }

    fn attend(&self, input: &Tensor, buckets: &Tensor, config: &TextEncoderConfig) -> Tensor {
        let (tokens, heads) = (input.size()[0], config.num_heads);
        let qkv = self
            .qkv
            .forward(input)
            .view([tokens, 3, heads, config.d_kv]);
        let qkv = qkv.permute([1, 2, 0, 3]).unsqueeze(1); // [3, 1, n, s, d]
        let bias = self.position_bias.index_select(0, buckets); // [s * s, n]
        let bias = bias.view([1, tokens, tokens, heads]).permute([0, 3, 1, 2]); // [1, n, s, s]
        let (query, key, value) = (qkv.get(0), qkv.get(1), qkv.get(2));
        let mixed = scaled_dot_product_attention(&query, &key, &value, Some(&bias), Some(1.0));
        let mixed = mixed.squeeze_dim(0).transpose(0, 1); // [s, n, d]
        let mixed = mixed.reshape([tokens, config.attention_width()]);
        self.attention_out.forward(&mixed).to_kind(Kind::Float)
    }
}

/// Joins layers of one input, naming their place if there is no memory for it.
fn stacked(weights: &Weights, layers: &[Linear]) -> Result<Linear, WeightsError> {
    Linear::stacked(layers).map_err(|source| weights.torch_error(source))
}
