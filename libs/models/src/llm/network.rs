//! The network of Llama (arXiv:2302.13971) and Mistral (arXiv:2310.06825): token ids to logits.
//!
//! Pre-norm blocks without biases; grouped-query attention with rotary positions; SwiGLU. Norms, rotation and the residual
//! stream are in 32-bit floats. Rotation wants pairs of channels side by side, in which GGUF files have them; the rows of
//! checkpoints of transformers, which have them as two halves, are brought into that order when they are read.

use kinora_nn::{Linear, RmsNorm, RopeTable, Weights, WeightsError, scaled_dot_product_attention};
use tch::{Device, Kind, Tensor};

use super::cache::KvCache;
use super::config::DecoderConfig;

/// The network.
#[derive(Debug)]
pub struct Decoder {
    /// `[vocabulary, width]`
    embedding: Tensor,
    blocks: Vec<Block>,
    final_norm: RmsNorm,
    head: Linear,
    rope: RopeTable,
    config: DecoderConfig,
}

#[derive(Debug)]
struct Block {
    attention_norm: RmsNorm,
    /// Query, key and value side by side.
    qkv: Linear,
    attention_out: Linear,
    feed_forward_norm: RmsNorm,
    /// Gate and value side by side.
    gate_and_value: Linear,
    feed_forward_out: Linear,
}

/// Which keys the queries of one call see.
struct Sight {
    /// Position of the first key that any of them sees.
    first: i64,
    /// `[group * s, keys]`, 0 or minus infinity; absent when all keys from the first on are seen.
    bias: Option<Tensor>,
}

impl Decoder {
    /// Reads the network for up to `positions` tokens; the caller finishes `weights`.
    ///
    /// # Errors
    /// A tensor is missing or misshaped, or there is no memory for it.
    pub fn load(
        weights: &Weights,
        config: &DecoderConfig,
        positions: i64,
    ) -> Result<Self, WeightsError> {
        let model = weights.sub("model");
        let table = [config.vocabulary, config.width];
        let embedding = model.sub("embed_tokens").get("weight", &table)?;
        let head = weights.sub("lm_head");
        let head = if config.has_tied_head {
            // A file may hold the table twice.
            head.skip("weight");
            Linear::new(embedding.shallow_clone(), None)
        } else {
            Linear::load_no_bias(&head, config.width, config.vocabulary)?
        };
        let blocks = (0..config.blocks)
            .map(|index| Block::load(&model.sub("layers").sub(index), config))
            .collect::<Result<_, _>>()?;
        let frequencies = config.rope_frequencies();
        let rope = RopeTable::along(positions, &frequencies, weights.device());
        Ok(Self {
            embedding,
            blocks,
            final_norm: RmsNorm::load(&model.sub("norm"), config.width, config.norm_eps)?,
            head,
            rope: rope.map_err(|source| weights.torch_error(source))?,
            config: config.clone(),
        })
    }

    /// The shape of the network.
    #[must_use]
    pub fn config(&self) -> &DecoderConfig {
        &self.config
    }

    /// The device it is on.
    #[must_use]
    pub fn device(&self) -> Device {
        self.embedding.device()
    }

    /// What matrices are computed in.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.embedding.kind()
    }

    /// Reads tokens after those that `cache` holds, and adds them to it. The caller sees to it that ids are below
    /// the vocabulary and that cache and positions have room.
    ///
    /// # Shapes
    /// `s` ids to `[s, width]` in 32-bit floats, for [`Decoder::logits`]
    pub fn forward(&self, ids: &[i64], cache: &mut KvCache) -> Tensor {
        let ids = Tensor::from_slice(ids).to_device(self.device());
        let tokens = ids.size()[0];
        let sight = self.sight(cache.length(), tokens);
        let rope = self.rope.narrow(cache.length(), tokens);
        let mut stream = self.embedding.index_select(0, &ids).to_kind(Kind::Float); // [s, width]
        for (index, block) in self.blocks.iter().enumerate() {
            let attend = |qkv: Tensor| self.attend(index, qkv, &rope, &sight, cache);
            stream = block.forward(&stream, attend);
        }
        cache.advance(tokens);
        self.final_norm.forward(&stream)
    }

    /// The logits that follow each token.
    ///
    /// # Shapes
    /// `[.., width]` to `[.., vocabulary]` in 32-bit floats
    pub fn logits(&self, hidden: &Tensor) -> Tensor {
        self.head.forward(hidden).to_kind(Kind::Float)
    }

    /// A token sees itself and those before it, within the window.
    fn sight(&self, start: i64, tokens: i64) -> Sight {
        let end = start + tokens;
        let window = self.config.sliding_window.unwrap_or(end);
        let first = (start + 1 - window).max(0);
        if tokens == 1 {
            return Sight { first, bias: None };
        }
        let options = (Kind::Int64, self.device());
        let queries = Tensor::arange_start(start, end, options).unsqueeze(1); // [s, 1]
        let keys = Tensor::arange_start(first, end, options).unsqueeze(0); // [1, keys]
        let back = queries - keys; // [s, keys]
        let is_unseen = back.lt(0).logical_or(&back.ge(window));
        let bias = Tensor::zeros(is_unseen.size(), (self.kind(), self.device()));
        let bias = bias.masked_fill(&is_unseen, f64::NEG_INFINITY);
        Sight {
            first,
            bias: Some(bias.repeat([self.config.group(), 1])), // [group * s, keys]
        }
    }

    /// Attention of block `index`. The heads that share keys and values are further queries of one head, so that
    /// keys and values are never repeated.
    ///
    /// # Shapes
    /// `[s, (n + 2 kv) * d]` to `[s, n * d]`
    fn attend(
        &self,
        index: usize,
        qkv: Tensor,
        rope: &RopeTable,
        sight: &Sight,
        cache: &KvCache,
    ) -> Tensor {
        let config = &self.config;
        let (heads, kv_heads, width) = (config.heads, config.kv_heads, config.head_width);
        let tokens = qkv.size()[0];
        let qkv = qkv.view([tokens, heads + 2 * kv_heads, width]);
        let value = qkv.narrow(1, heads + kv_heads, kv_heads);
        let rotated = rope.rotate(qkv.narrow(1, 0, heads + kv_heads)); // [s, n + kv, d]
        let key = rotated.narrow(1, heads, kv_heads);
        let (keys, values) = cache.extend(index, sight.first, &key, &value);
        let rows = [1, kv_heads, config.group() * tokens, width];
        let query = rotated.narrow(1, 0, heads).transpose(0, 1); // [n, s, d]
        let query = query.reshape(rows).to_kind(self.kind());
        let bias = sight.bias.as_ref();
        let mixed = scaled_dot_product_attention(&query, &keys, &values, bias, None);
        let mixed = mixed.reshape([heads, tokens, width]).transpose(0, 1); // [s, n, d]
        mixed.reshape([tokens, heads * width])
    }
}

impl Block {
    fn load(weights: &Weights, config: &DecoderConfig) -> Result<Self, WeightsError> {
        let (width, eps) = (config.width, config.norm_eps);
        let attention = weights.sub("self_attn");
        let rotated = |name: &str, heads: i64| {
            let at = attention.sub(name);
            let weight = at.get("weight", &[heads * config.head_width, width])?;
            let weight = match config.has_interleaved_heads {
                true => Ok(weight),
                false => interleaved(&weight, config.head_width),
            };
            let weight = weight.map_err(|source| at.torch_error(source))?;
            Ok::<_, WeightsError>(Linear::new(weight, None))
        };
        let (key_width, value_width) = (
            config.heads * config.head_width,
            config.kv_heads * config.head_width,
        );
        let qkv = [
            rotated("q_proj", config.heads)?,
            rotated("k_proj", config.kv_heads)?,
            Linear::load_no_bias(&attention.sub("v_proj"), width, value_width)?,
        ];
        let dense = weights.sub("mlp");
        let expand = |name| Linear::load_no_bias(&dense.sub(name), width, config.inner_width);
        let gate_and_value = [expand("gate_proj")?, expand("up_proj")?];
        let norm = |name| RmsNorm::load(&weights.sub(name), width, eps);
        Ok(Self {
            attention_norm: norm("input_layernorm")?,
            qkv: stacked(&attention, &qkv)?,
            attention_out: Linear::load_no_bias(&attention.sub("o_proj"), key_width, width)?,
            feed_forward_norm: norm("post_attention_layernorm")?,
            gate_and_value: stacked(&dense, &gate_and_value)?,
            feed_forward_out: Linear::load_no_bias(
                &dense.sub("down_proj"),
                config.inner_width,
                width,
            )?,
        })
    }

    /// # Shapes
    /// `[s, width]` to the same
    fn forward(&self, stream: &Tensor, attend: impl FnOnce(Tensor) -> Tensor) -> Tensor {
        let mixed = attend(self.qkv.forward(&self.attention_norm.forward(stream)));
        let stream = stream + self.attention_out.forward(&mixed);
        let normalised = self.feed_forward_norm.forward(&stream);
        let halves = self.gate_and_value.forward(&normalised).chunk(2, -1);
        let gated = halves[0].silu() * &halves[1];
        stream + self.feed_forward_out.forward(&gated)
    }
}

/// Rows of heads as two halves, in the order of interleaved pairs.
///
/// # Shapes
/// `[n * d, i]` to the same
fn interleaved(weight: &Tensor, head_width: i64) -> Result<Tensor, tch::TchError> {
    let size = weight.size();
    let halves = weight.f_view([-1, 2, head_width / 2, size[1]])?; // [n, 2, d/2, i]
    halves.f_transpose(1, 2)?.f_reshape(&size)
}

/// Joins layers of one input, naming their place if there is no memory for it.
fn stacked(weights: &Weights, layers: &[Linear]) -> Result<Linear, WeightsError> {
    Linear::stacked(layers).map_err(|source| weights.torch_error(source))
}
