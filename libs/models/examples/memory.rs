//! Measures peak memory of stages on the CPU against the estimate.
//!
//! `cargo run --release -p kinora-models --example memory` runs every case in a process of its own
//! and fails if an estimate is below the measured peak or more than 1.6 times as large. Weights are
//! random where a case asks for more than the small model of the repository.

#![expect(clippy::print_stdout, reason = "the table is the result")]

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use kinora_models::config::{TransformerConfig, VaeConfig, read_json};
use kinora_models::memory::activations::{self, LatentSize};
use kinora_models::memory::{CPU_OVERHEAD_BYTES, WeightCount, with_margin};
use kinora_models::wan::vae::Tiling;
use kinora_models::wan::{WanTransformer, WanVae};
use kinora_nn::{WeightFormat, Weights};
use serde_json::json;
use tch::{Device, Kind, Tensor};

type Failure = Box<dyn Error>;

/// Name, network, kind, format, batch, latent frames, rows, columns, tile (0: whole).
const CASES: [Case; 12] = [
    Case::denoise("tiny", Kind::Float, WeightFormat::Native, 1, [9, 64, 64]),
    Case::denoise("tiny", Kind::BFloat16, WeightFormat::Native, 1, [9, 64, 64]),
    Case::denoise("tiny", Kind::Float, WeightFormat::Native, 2, [9, 64, 64]),
    Case::denoise("wide", Kind::Float, WeightFormat::Native, 1, [1, 60, 104]),
    Case::denoise("wide", Kind::Float, WeightFormat::Native, 2, [1, 60, 104]),
    Case::denoise("wide", Kind::Float, WeightFormat::Native, 1, [3, 60, 104]),
    Case::denoise(
        "wide",
        Kind::BFloat16,
        WeightFormat::Native,
        1,
        [2, 60, 104],
    ),
    Case::denoise("wide", Kind::Float, WeightFormat::Int8, 1, [1, 60, 104]),
    Case::decode("tiny", [5, 64, 64], 0),
    Case::decode("tiny", [5, 96, 128], 0),
    Case::decode("tiny", [5, 96, 128], 32),
    Case::decode("wide", [2, 24, 24], 0),
];

struct Case {
    network: &'static str,
    is_decode: bool,
    kind: Kind,
    format: WeightFormat,
    batch: i64,
    latents: [i64; 3],
    tile: i64,
}

/// Bytes that a case took, and those that were predicted.
struct Outcome {
    measured: u64,
    estimated: u64,
}

impl Case {
    const fn denoise(
        network: &'static str,
        kind: Kind,
        format: WeightFormat,
        batch: i64,
        latents: [i64; 3],
    ) -> Self {
        Self {
            network,
            is_decode: false,
            kind,
            format,
            batch,
            latents,
            tile: 0,
        }
    }

    const fn decode(network: &'static str, latents: [i64; 3], tile: i64) -> Self {
        Self {
            network,
            is_decode: true,
            kind: Kind::Float,
            format: WeightFormat::Native,
            batch: 1,
            latents,
            tile,
        }
    }

    fn name(&self) -> String {
        let stage = if self.is_decode { "decode" } else { "denoise" };
        let [frames, rows, columns] = self.latents;
        let mut name = format!("{stage} {}, {frames}x{rows}x{columns}", self.network);
        if self.batch > 1 {
            name += ", pair";
        }
        if self.kind == Kind::BFloat16 {
            name += ", bf16";
        }
        if self.format != WeightFormat::Native {
            name += &format!(", {}", self.format);
        }
        if self.tile > 0 {
            name += &format!(", tiles of {}", self.tile);
        }
        name
    }

    fn latent_size(&self) -> LatentSize {
        let [frames, height, width] = self.latents.map(i64::unsigned_abs);
        LatentSize {
            frames,
            height,
            width,
        }
    }

    fn run(&self) -> Result<Outcome, Failure> {
        tch::set_num_threads(2);
        let scratch = tempfile::TempDir::new()?;
        tch::no_grad(|| {
            if self.is_decode {
                self.run_decode(scratch.path())
            } else {
                self.run_denoise(scratch.path())
            }
        })
    }

    fn run_denoise(&self, scratch: &Path) -> Result<Outcome, Failure> {
        let (folder, config) = match self.network {
            "tiny" => {
                let folder = trained().join("transformer");
                let config: TransformerConfig = read_json(&folder.join("config.json"))?;
                (folder, config)
            }
            _ => {
                let config = wide_transformer()?;
                write_random(scratch, &transformer_shapes(&config))?;
                (scratch.to_owned(), config)
            }
        };
        let before = resident("VmRSS:")?;
        let weights = Weights::open(&folder, "diffusion_pytorch_model", Device::Cpu, self.kind)?;
        let network = WanTransformer::load_as(&weights, &config, self.format)?;
        let text = Tensor::randn([77, config.text_dim], (Kind::Float, Device::Cpu));
        let texts = vec![&text; usize::try_from(self.batch)?];
        let [frames, rows, columns] = self.latents;
        let shape = [1, config.in_channels, frames, rows, columns];
        let latents = Tensor::randn(shape, (Kind::Float, Device::Cpu));
        // Besides latents and velocity, solver and guidance hold as much as these.
        let solver = Tensor::ones(
            [8, shape[1], frames, rows, columns],
            (Kind::Float, Device::Cpu),
        );
        reset_peak()?;
        let conditioning = network.condition(&texts, self.latents)?;
        let velocity = network.forward(&latents, 500.0, &conditioning, &|| false);
        let measured = resident("VmHWM:")?.saturating_sub(before);
        drop((velocity.map_err(|_| "cancelled")?, solver));
        let compute = u64::try_from(self.kind.elt_size_in_bytes())?;
        let count = WeightCount::of_transformer(&config);
        let batch = self.batch.unsigned_abs();
        let live = activations::denoise(&config, self.latent_size(), batch, compute)
            + count.temporary_bytes(compute, self.format);
        let estimated =
            count.bytes(compute, self.format) + with_margin(live, true) + CPU_OVERHEAD_BYTES;
        Ok(Outcome {
            measured,
            estimated,
        })
    }

    fn run_decode(&self, scratch: &Path) -> Result<Outcome, Failure> {
        let (folder, config) = match self.network {
            "tiny" => {
                let folder = trained().join("vae");
                let config: VaeConfig = read_json(&folder.join("config.json"))?;
                (folder, config)
            }
            _ => {
                let config = wide_vae()?;
                write_random(scratch, &vae_shapes(&config))?;
                (scratch.to_owned(), config)
            }
        };
        let before = resident("VmRSS:")?;
        let weights = Weights::open(&folder, "diffusion_pytorch_model", Device::Cpu, Kind::Float)?;
        let network = WanVae::load(&weights, &config)?;
        let [frames, rows, columns] = self.latents;
        let shape = [1, config.z_dim, frames, rows, columns];
        let latents = Tensor::randn(shape, (Kind::Float, Device::Cpu));
        reset_peak()?;
        let decoded = match Tiling::new(self.tile, self.tile / 4) {
            Some(tiling) => network.decode_tiled(&latents, tiling, &|| false),
            None => network.decode(&latents, &|| false),
        };
        // To bytes, as the pipeline does.
        let frames = decoded.map_err(|_| "cancelled")?;
        let bytes = (&frames * 0.5 + 0.5).clamp_(0.0, 1.0) * 255.0;
        let bytes = bytes.permute([0, 2, 3, 1]).to_kind(Kind::Uint8);
        let bytes = bytes.contiguous();
        let measured = resident("VmHWM:")?.saturating_sub(before);
        drop((frames, bytes));
        let live = match self.tile {
            0 => activations::decode(&config, self.latent_size()),
            tile => activations::decode_tiled(&config, self.latent_size(), tile.unsigned_abs()),
        };
        let weights = WeightCount::of_vae(&config).bytes(4, WeightFormat::Native);
        Ok(Outcome {
            measured,
            estimated: weights + with_margin(live, true) + CPU_OVERHEAD_BYTES,
        })
    }
}

fn main() -> Result<(), Failure> {
    if let Some(index) = std::env::args().nth(1) {
        let outcome = CASES[index.parse::<usize>()?].run()?;
        println!("{} {}", outcome.measured, outcome.estimated);
        return Ok(());
    }
    println!("| case | measured MiB | estimated MiB | ratio |\n| --- | --- | --- | --- |");
    let mut failures = Vec::new();
    for (index, case) in CASES.iter().enumerate() {
        let program = std::env::current_exe()?;
        let output = Command::new(program).arg(index.to_string()).output()?;
        let text = String::from_utf8(output.stdout)?;
        let numbers: Vec<u64> = text
            .split_whitespace()
            .map_while(|word| word.parse().ok())
            .collect();
        let [measured, estimated] = numbers[..] else {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
        };
        let ratio = estimated as f64 / measured as f64;
        let name = case.name();
        println!(
            "| {name} | {} | {} | {ratio:.2} |",
            measured >> 20,
            estimated >> 20
        );
        if !(1.0..=1.6).contains(&ratio) {
            failures.push(name);
        }
    }
    if failures.is_empty() {
        Ok(())
    } else {
        Err(format!("estimates are off: {}", failures.join("; ")).into())
    }
}

fn trained() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/kinora-tiny-t2v")
}

/// A line of this process' status, in bytes.
fn resident(field: &str) -> Result<u64, Failure> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    Ok(kibibytes.ok_or("no such field")?.trim().parse::<u64>()? * 1024)
}

/// The peak is the present from now on.
fn reset_peak() -> Result<(), Failure> {
    Ok(fs::write("/proc/self/clear_refs", "5")?)
}

/// Wan 2.1 1.3B with two of its thirty layers.
fn wide_transformer() -> Result<TransformerConfig, Failure> {
    Ok(serde_json::from_value(json!({
        "patch_size": [1, 2, 2], "num_attention_heads": 12, "attention_head_dim": 128,
        "in_channels": 16, "out_channels": 16, "text_dim": 4096, "freq_dim": 256, "ffn_dim": 8960,
        "num_layers": 2, "qk_norm": "rms_norm_across_heads"
    }))?)
}

/// The autoencoder of Wan 2.1.
fn wide_vae() -> Result<VaeConfig, Failure> {
    Ok(serde_json::from_value(json!({
        "base_dim": 96, "z_dim": 16, "dim_mult": [1, 2, 4, 4], "num_res_blocks": 2,
        "temperal_downsample": [false, true, true],
        "latents_mean": vec![0.0; 16], "latents_std": vec![1.0; 16]
    }))?)
}

type Shapes = Vec<(String, Vec<i64>)>;

/// Writes small random numbers under the names of a network.
fn write_random(folder: &Path, shapes: &Shapes) -> Result<(), Failure> {
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

fn transformer_shapes(config: &TransformerConfig) -> Shapes {
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

fn vae_shapes(config: &VaeConfig) -> Shapes {
    let mut shapes = Shapes::new();
    let latent = config.z_dim;
    affine(
        &mut shapes,
        "quant_conv",
        &[2 * latent, 2 * latent, 1, 1, 1],
    );
    affine(&mut shapes, "post_quant_conv", &[latent, latent, 1, 1, 1]);
    let (encoder, decoder) = (config.encoder_widths(), config.decoder_widths());
    affine(
        &mut shapes,
        "encoder.conv_in",
        &[config.base_dim, 3, 3, 3, 3],
    );
    let (mut inputs, mut index) = (config.base_dim, 0);
    for (level, &width) in encoder.iter().enumerate() {
        for _ in 0..config.num_res_blocks {
            residual_shapes(
                &mut shapes,
                &format!("encoder.down_blocks.{index}"),
                inputs,
                width,
            );
            (inputs, index) = (width, index + 1);
        }
        if let Some(&halves) = config.temporal_downsample.get(level) {
            let at = format!("encoder.down_blocks.{index}");
            resample_shapes(&mut shapes, &at, [width, width], halves.then_some(width));
            index += 1;
        }
    }
    end_shapes(&mut shapes, "encoder", inputs, inputs, 2 * latent);
    affine(
        &mut shapes,
        "decoder.conv_in",
        &[decoder[0], latent, 3, 3, 3],
    );
    inputs = decoder[0];
    for (level, &width) in decoder.iter().enumerate() {
        let at = format!("decoder.up_blocks.{level}");
        for block in 0..=config.num_res_blocks {
            residual_shapes(&mut shapes, &format!("{at}.resnets.{block}"), inputs, width);
            inputs = width;
        }
        if let Some(&doubles) = config.temporal_downsample.iter().rev().nth(level) {
            inputs = width / 2;
            let at = format!("{at}.upsamplers.0");
            resample_shapes(
                &mut shapes,
                &at,
                [width, inputs],
                doubles.then_some(2 * width),
            );
        }
    }
    end_shapes(&mut shapes, "decoder", decoder[0], inputs, 3);
    shapes
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
