//! Random weights in the layout of diffusers, for networks that are too large to be in the repository.

use std::path::Path;

use kinora_models::config::{TransformerConfig, VaeConfig};
use tch::{Device, Kind, Tensor};

use crate::Failure;

/// Names and shapes of a network's tensors.
pub type Shapes = Vec<(String, Vec<i64>)>;

/// Writes small random numbers under the names of a network.
pub fn write_random(folder: &Path, shapes: &Shapes) -> Result<(), Failure> {
    let tensors: Vec<(&str, Tensor)> = shapes
        .iter()
        .map(|(name, shape)| {
            let tensor = Tensor::randn(shape.as_slice(), (Kind::Float, Device::Cpu)) * 0.02;
            (name.as_str(), tensor)
        })
        .collect();
    let path = folder.join("diffusion_pytorch_model.safetensors");
    Ok(Tensor::write_safetensors(&tensors, path)?)
}

fn affine(shapes: &mut Shapes, name: &str, weight: &[i64]) {
    shapes.push((format!("{name}.weight"), weight.to_vec()));
    shapes.push((format!("{name}.bias"), vec![weight[0]]));
}

/// The tensors of a transformer without image branch.
pub fn transformer_shapes(config: &TransformerConfig) -> Shapes {
    let (width, inner) = (config.width(), config.ffn_dim);
    let mut shapes = Shapes::new();
    affine(
        &mut shapes,
        "patch_embedding",
        &[width, config.in_channels, 1, 2, 2],
    );
    let conditions = "condition_embedder";
    for (name, inputs, outputs) in [
        ("time_embedder.linear_1", config.freq_dim, width),
        ("time_embedder.linear_2", width, width),
        ("time_proj", width, 6 * width),
        ("text_embedder.linear_1", config.text_dim, width),
        ("text_embedder.linear_2", width, width),
    ] {
        affine(
            &mut shapes,
            &format!("{conditions}.{name}"),
            &[outputs, inputs],
        );
    }
    for block in (0..config.num_layers).map(|index| format!("blocks.{index}")) {
        for attention in ["attn1", "attn2"] {
            for name in ["to_q", "to_k", "to_v", "to_out.0"] {
                affine(
                    &mut shapes,
                    &format!("{block}.{attention}.{name}"),
                    &[width, width],
                );
            }
            for name in ["norm_q", "norm_k"] {
                shapes.push((format!("{block}.{attention}.{name}.weight"), vec![width]));
            }
        }
        affine(&mut shapes, &format!("{block}.norm2"), &[width]);
        affine(
            &mut shapes,
            &format!("{block}.ffn.net.0.proj"),
            &[inner, width],
        );
        affine(&mut shapes, &format!("{block}.ffn.net.2"), &[width, inner]);
        shapes.push((format!("{block}.scale_shift_table"), vec![1, 6, width]));
    }
    shapes.push(("scale_shift_table".to_owned(), vec![1, 2, width]));
    affine(&mut shapes, "proj_out", &[4 * config.out_channels, width]);
    shapes
}

/// The tensors of an autoencoder of either layout.
pub fn vae_shapes(config: &VaeConfig) -> Shapes {
    let mut shapes = Shapes::new();
    let latent = config.z_dim;
    let twice = 2 * latent;
    affine(&mut shapes, "quant_conv", &[twice, twice, 1, 1, 1]);
    affine(&mut shapes, "post_quant_conv", &[latent, latent, 1, 1, 1]);
    encoder_shapes(&mut shapes, config);
    decoder_shapes(&mut shapes, config);
    shapes
}

fn encoder_shapes(shapes: &mut Shapes, config: &VaeConfig) {
    let first = [config.base_dim, config.in_channels, 3, 3, 3];
    affine(shapes, "encoder.conv_in", &first);
    let mut numbered = 0..;
    let (mut inputs, blocks) = (config.base_dim, config.num_res_blocks);
    for (index, level) in config.encoder_levels().iter().enumerate() {
        // The 2.2 layout names parts within their level, 2.1 numbers them through all levels.
        let mut place = |name: String| match config.is_residual {
            true => format!("encoder.down_blocks.{index}.{name}"),
            false => format!("encoder.down_blocks.{}", numbered.next().unwrap_or(0)),
        };
        for block in 0..blocks {
            let at = place(format!("resnets.{block}"));
            residual_shapes(shapes, &at, inputs, level.width);
            inputs = level.width;
        }
        if let Some(halves) = level.resampled {
            let at = place("downsampler".to_owned());
            let (sizes, frames) = ([inputs, inputs], halves.then_some(inputs));
            resample_shapes(shapes, &at, sizes, frames);
        }
    }
    end_shapes(shapes, "encoder", inputs, inputs, 2 * config.z_dim);
}

fn decoder_shapes(shapes: &mut Shapes, config: &VaeConfig) {
    let levels = config.decoder_levels();
    let first = config.decoder_widths()[0];
    affine(shapes, "decoder.conv_in", &[first, config.z_dim, 3, 3, 3]);
    let name = if config.is_residual {
        "upsampler"
    } else {
        "upsamplers.0"
    };
    let mut last = first;
    for (index, level) in levels.iter().enumerate() {
        let at = format!("decoder.up_blocks.{index}");
        let mut inputs = level.inputs;
        for block in 0..=config.num_res_blocks {
            residual_shapes(
                shapes,
                &format!("{at}.resnets.{block}"),
                inputs,
                level.width,
            );
            inputs = level.width;
        }
        last = level.width;
        if let Some(doubles) = level.resampled {
            let (sizes, frames) = ([inputs, level.outputs], doubles.then_some(2 * inputs));
            resample_shapes(shapes, &format!("{at}.{name}"), sizes, frames);
        }
    }
    end_shapes(shapes, "decoder", first, last, config.out_channels);
}

fn residual_shapes(shapes: &mut Shapes, at: &str, inputs: i64, outputs: i64) {
    shapes.push((format!("{at}.norm1.gamma"), vec![inputs, 1, 1, 1]));
    affine(shapes, &format!("{at}.conv1"), &[outputs, inputs, 3, 3, 3]);
    shapes.push((format!("{at}.norm2.gamma"), vec![outputs, 1, 1, 1]));
    affine(shapes, &format!("{at}.conv2"), &[outputs, outputs, 3, 3, 3]);
    if inputs != outputs {
        affine(
            shapes,
            &format!("{at}.conv_shortcut"),
            &[outputs, inputs, 1, 1, 1],
        );
    }
}

/// A change of size from and to so many channels, with a convolution over time if it has outputs.
fn resample_shapes(shapes: &mut Shapes, at: &str, [from, to]: [i64; 2], frames: Option<i64>) {
    affine(shapes, &format!("{at}.resample.1"), &[to, from, 3, 3]);
    if let Some(outputs) = frames {
        affine(
            shapes,
            &format!("{at}.time_conv"),
            &[outputs, from, 3, 1, 1],
        );
    }
}

/// The middle and the last layer of an encoder or decoder.
fn end_shapes(shapes: &mut Shapes, at: &str, middle: i64, last: i64, outputs: i64) {
    for index in 0..2 {
        residual_shapes(
            shapes,
            &format!("{at}.mid_block.resnets.{index}"),
            middle,
            middle,
        );
    }
    let attention = format!("{at}.mid_block.attentions.0");
    shapes.push((format!("{attention}.norm.gamma"), vec![middle, 1, 1]));
    affine(
        shapes,
        &format!("{attention}.to_qkv"),
        &[3 * middle, middle, 1, 1],
    );
    affine(
        shapes,
        &format!("{attention}.proj"),
        &[middle, middle, 1, 1],
    );
    shapes.push((format!("{at}.norm_out.gamma"), vec![last, 1, 1, 1]));
    affine(shapes, &format!("{at}.conv_out"), &[outputs, last, 3, 3, 3]);
}
