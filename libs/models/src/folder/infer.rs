//! Configurations seen in the shapes of tensors, in the terms of diffusers and transformers.
//!
//! They are written as the JSON of a `config.json` and read as one, so that both layouts pass the same
//! checks and a field has one meaning.

use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::PartFiles;
use super::native::NativeConfig;
use crate::config::{Checked, ImageEncoderConfig, TextEncoderConfig, TransformerConfig, VaeConfig};
use crate::error::LoadError;

/// Channels of a head in every published transformer.
const HEAD_WIDTH: i64 = 128;
/// Positions of the native rotary table.
const ROPE_POSITIONS: i64 = 1024;
/// Colours of a frame.
const RGB: i64 = 3;
/// Latent channels of the 2.2 autoencoder.
const WIDE_LATENTS: i64 = 48;
/// Residual blocks on a level of the encoder; the native names of the decoder count on it.
const RESIDUAL_BLOCKS: i64 = 2;
/// Attention heads of the image encoder, ViT-H/14.
const IMAGE_HEADS: i64 = 16;
/// Means and deviations of the published autoencoders' latents.
const LATENTS: &str = include_str!("latents.toml");

/// The latents of one autoencoder.
#[derive(Deserialize)]
struct Latents {
    channels: i64,
    mean: Vec<f64>,
    deviation: Vec<f64>,
}

#[derive(Deserialize)]
struct LatentsFile {
    autoencoder: Vec<Latents>,
}

/// The transformer; what `native` says has precedence over what is seen. `path` is what errors name.
pub(super) fn transformer(
    part: &PartFiles,
    native: &NativeConfig,
    path: &Path,
) -> Result<TransformerConfig, LoadError> {
    let config = transformer_json(part, native, path)?;
    parsed(config).map_err(|reason| LoadError::config(path, reason))
}

fn transformer_json(
    part: &PartFiles,
    native: &NativeConfig,
    path: &Path,
) -> Result<Value, LoadError> {
    let [width, inputs, frames, height, columns] = part.shape("patch_embedding.weight")?;
    let [_, freq_dim] = part.shape("condition_embedder.time_embedder.linear_1.weight")?;
    let [_, text_dim] = part.shape("condition_embedder.text_embedder.linear_1.weight")?;
    let [ffn_dim, _] = part.shape("blocks.0.ffn.net.0.proj.weight")?;
    let [outputs, _] = part.shape("proj_out.weight")?;
    let layers = part.count(|index| format!("blocks.{index}.attn1.to_q.weight"));
    let width = native.dim.unwrap_or(width);
    let heads = heads(width, native.num_heads).map_err(|reason| LoadError::config(path, reason))?;
    let patch = (frames * height * columns).max(1);
    let [image_dim, image_width, positions] = image_branch(part)?;
    Ok(json!({
        "patch_size": [frames, height, columns],
        "num_attention_heads": heads,
        "attention_head_dim": width / heads,
        "in_channels": native.in_dim.unwrap_or(inputs),
        "out_channels": native.out_dim.unwrap_or(outputs / patch),
        "text_dim": native.text_dim.unwrap_or(text_dim),
        "freq_dim": native.freq_dim.unwrap_or(freq_dim),
        "ffn_dim": native.ffn_dim.unwrap_or(ffn_dim),
        "num_layers": native.num_layers.unwrap_or(layers),
        "cross_attn_norm": part.weights.has("blocks.0.norm2.weight"),
        "qk_norm": "rms_norm_across_heads",
        "eps": native.eps.unwrap_or(1e-6),
        "rope_max_seq_len": ROPE_POSITIONS,
        "image_dim": image_dim,
        "added_kv_proj_dim": image_width,
        "pos_embed_seq_len": positions,
    }))
}

/// Attention heads: as many as are said, or of the published width.
fn heads(width: i64, said: Option<i64>) -> Result<i64, String> {
    let heads = said.unwrap_or(width / HEAD_WIDTH);
    let divides = heads > 0 && width % heads == 0;
    match said {
        _ if divides && (said.is_some() || width % HEAD_WIDTH == 0) => Ok(heads),
        Some(_) => Err(format!(
            "num_heads is {heads}, which does not divide dim, {width}"
        )),
        None => Err(format!(
            "{width} is no published width, so config.json must say num_heads"
        )),
    }
}

/// Width of the image embeddings, width of their keys and values, and positions, where there are any.
fn image_branch(part: &PartFiles) -> Result<[Option<i64>; 3], LoadError> {
    const NORM: &str = "condition_embedder.image_embedder.norm1.weight";
    const KEYS: &str = "blocks.0.attn2.add_k_proj.weight";
    const POSITIONS: &str = "condition_embedder.image_embedder.pos_embed";
    let has = |name| part.weights.has(name);
    let embeddings = has(NORM).then(|| part.shape::<1>(NORM)).transpose()?;
    let keys = has(KEYS).then(|| part.shape::<2>(KEYS)).transpose()?;
    let positions = has(POSITIONS)
        .then(|| part.shape::<3>(POSITIONS))
        .transpose()?;
    Ok([
        embeddings.map(|[width]| width),
        keys.map(|[_, width]| width),
        positions.map(|[_, count, _]| count),
    ])
}

/// The autoencoder, of 2.1 or 2.2.
pub(super) fn vae(part: &PartFiles) -> Result<VaeConfig, LoadError> {
    parsed(vae_json(part)?).map_err(|reason| part.error(reason))
}

fn vae_json(part: &PartFiles) -> Result<Value, LoadError> {
    let is_residual = part
        .weights
        .has("encoder.down_blocks.0.resnets.0.conv1.weight");
    let [base, inputs, ..] = part.shape::<5>("encoder.conv_in.weight")?;
    let [outputs, last, ..] = part.shape::<5>("decoder.conv_out.weight")?;
    let [channels, ..] = part.shape::<5>("post_quant_conv.weight")?;
    let levels = if is_residual {
        residual_levels(part)?
    } else {
        plain_levels(part)?
    };
    let multipliers = multipliers(part, base, &levels)?;
    let first = multipliers.first().copied().unwrap_or(1);
    if last % first != 0 {
        return Err(part.error("the decoder's last level does not fit the encoder's first"));
    }
    let downsample: Vec<bool> = levels
        .iter()
        .filter_map(|level| level.halves_frames)
        .collect();
    let patch = (inputs != RGB).then(|| side(inputs / RGB));
    let latents = latents(channels).map_err(|reason| part.error(reason))?;
    Ok(json!({
        "base_dim": base,
        "decoder_base_dim": last / first,
        "z_dim": channels,
        "dim_mult": multipliers,
        "num_res_blocks": RESIDUAL_BLOCKS,
        "attn_scales": [],
        "temperal_downsample": downsample,
        "latents_mean": latents.mean,
        "latents_std": latents.deviation,
        "is_residual": is_residual,
        "in_channels": inputs,
        "out_channels": outputs,
        "patch_size": patch,
        "scale_factor_spatial": patch.unwrap_or(1) * two_to_the(downsample.len()),
        "scale_factor_temporal": two_to_the(downsample.iter().filter(|&&halves| halves).count()),
    }))
}

/// One level of the encoder.
struct Level {
    width: i64,
    blocks: i64,
    /// Whether the step to the next level halves the frames; absent on the last level.
    halves_frames: Option<bool>,
}

/// Levels of the 2.1 encoder, which numbers residual blocks and resamplers through.
fn plain_levels(part: &PartFiles) -> Result<Vec<Level>, LoadError> {
    let mut levels = Vec::new();
    let (mut width, mut blocks) = (0, 0);
    for index in 0.. {
        let at = format!("encoder.down_blocks.{index}");
        if part.weights.has(&format!("{at}.conv1.weight")) {
            [width] = part.shape(&format!("{at}.conv2.bias"))?;
            blocks += 1;
            continue;
        }
        let resamples = part.weights.has(&format!("{at}.resample.1.weight"));
        let frames = part.weights.has(&format!("{at}.time_conv.weight"));
        levels.push(Level {
            width,
            blocks,
            halves_frames: resamples.then_some(frames),
        });
        blocks = 0;
        if !resamples {
            break;
        }
    }
    Ok(levels)
}

/// Levels of the 2.2 encoder.
fn residual_levels(part: &PartFiles) -> Result<Vec<Level>, LoadError> {
    let count = part.count(|index| format!("encoder.down_blocks.{index}.resnets.0.conv1.weight"));
    let level = |index: i64| {
        let at = format!("encoder.down_blocks.{index}");
        let [width] = part.shape(&format!("{at}.resnets.0.conv2.bias"))?;
        let resamples = part
            .weights
            .has(&format!("{at}.downsampler.resample.1.weight"));
        let frames = part
            .weights
            .has(&format!("{at}.downsampler.time_conv.weight"));
        Ok(Level {
            width,
            blocks: part.count(|block| format!("{at}.resnets.{block}.conv1.weight")),
            halves_frames: resamples.then_some(frames),
        })
    };
    (0..count).map(level).collect()
}

/// Widths of the levels as multiples of the base width.
fn multipliers(part: &PartFiles, base: i64, levels: &[Level]) -> Result<Vec<i64>, LoadError> {
    if levels.iter().any(|level| level.blocks != RESIDUAL_BLOCKS) {
        let reason = format!("a level of the encoder has not {RESIDUAL_BLOCKS} residual blocks");
        return Err(part.error(reason));
    }
    if base < 1 || levels.iter().any(|level| level.width % base != 0) {
        return Err(part.error("a level's width is no multiple of the first convolution's"));
    }
    Ok(levels.iter().map(|level| level.width / base).collect())
}

/// The published autoencoder with this many latent channels.
pub(super) fn published_vae(channels: i64) -> Result<VaeConfig, String> {
    let latents = latents(channels)?;
    let is_residual = channels == WIDE_LATENTS;
    let mut config = json!({
        "base_dim": 96,
        "z_dim": channels,
        "dim_mult": [1, 2, 4, 4],
        "num_res_blocks": RESIDUAL_BLOCKS,
        "temperal_downsample": [false, true, true],
        "latents_mean": latents.mean,
        "latents_std": latents.deviation,
    });
    if is_residual {
        config["base_dim"] = json!(160);
        config["decoder_base_dim"] = json!(256);
        config["is_residual"] = json!(true);
        config["patch_size"] = json!(2);
        config["in_channels"] = json!(4 * RGB);
        config["out_channels"] = json!(4 * RGB);
    }
    parsed(config)
}

/// UMT5-XXL, with embeddings of this width.
pub(super) fn published_text_encoder(width: i64) -> Result<TextEncoderConfig, String> {
    parsed(json!({
        "vocab_size": 256_384,
        "d_model": width,
        "d_kv": 64,
        "d_ff": 10_240,
        "num_layers": 24,
        "num_heads": 64,
    }))
}

fn latents(channels: i64) -> Result<Latents, String> {
    let file: LatentsFile = toml::from_str(LATENTS).map_err(|error| error.to_string())?;
    let found = file
        .autoencoder
        .into_iter()
        .find(|latents| latents.channels == channels);
    found.ok_or_else(|| format!("no autoencoder with {channels} latent channels is known"))
}

/// Steps by two, of which there are never many.
fn two_to_the(steps: usize) -> i64 {
    1 << steps.min(16)
}

/// The side of a square of this area, rounded down.
fn side(area: i64) -> i64 {
    area.max(0).isqrt()
}

/// The text encoder.
pub(super) fn text_encoder(part: &PartFiles) -> Result<TextEncoderConfig, LoadError> {
    let table = match part.weights.has("shared.weight") {
        true => "shared.weight",
        false => "encoder.embed_tokens.weight",
    };
    let [vocabulary, width] = part.shape(table)?;
    let first = "encoder.block.0.layer";
    let bias = format!("{first}.0.SelfAttention.relative_attention_bias.weight");
    let [buckets, heads] = part.shape(&bias)?;
    let [attention_width, _] = part.shape(&format!("{first}.0.SelfAttention.q.weight"))?;
    let [inner, _] = part.shape(&format!("{first}.1.DenseReluDense.wi_0.weight"))?;
    let config = json!({
        "vocab_size": vocabulary,
        "d_model": width,
        "d_kv": attention_width / heads.max(1),
        "d_ff": inner,
        "num_layers": part.count(|index| format!("encoder.block.{index}.layer.0.layer_norm.weight")),
        "num_heads": heads,
        "relative_attention_num_buckets": buckets,
        "feed_forward_proj": "gated-gelu",
    });
    parsed(config).map_err(|reason| part.error(reason))
}

/// The image encoder.
pub(super) fn image_encoder(part: &PartFiles) -> Result<ImageEncoderConfig, LoadError> {
    parsed(image_encoder_json(part)?).map_err(|reason| part.error(reason))
}

fn image_encoder_json(part: &PartFiles) -> Result<Value, LoadError> {
    let [width, colours, patch, _] =
        part.shape("vision_model.embeddings.patch_embedding.weight")?;
    let [positions, _] = part.shape("vision_model.embeddings.position_embedding.weight")?;
    let [inner, _] = part.shape("vision_model.encoder.layers.0.mlp.fc1.weight")?;
    let layers = part.count(|index| format!("vision_model.encoder.layers.{index}.mlp.fc1.weight"));
    Ok(json!({
        "hidden_size": width,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": IMAGE_HEADS.min(width),
        "num_channels": colours,
        "patch_size": patch,
        "image_size": side(positions - 1).saturating_mul(patch),
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-5,
    }))
}

fn parsed<T: DeserializeOwned + Checked>(config: Value) -> Result<T, String> {
    let parsed: T = serde_json::from_value(config).map_err(|error| error.to_string())?;
    parsed.check()?;
    Ok(parsed)
}

#[cfg(test)]
mod tests;
