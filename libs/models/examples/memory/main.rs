//! Measures peak memory of stages on the CPU against the estimate.
//!
//! `cargo run --release -p kinora-models --example memory` runs every case in a process of its own
//! and fails if an estimate is below the measured peak, or above it by more than 60 % and 128 MiB:
//! of less, the process itself decides. Weights are random where a case asks for more than the small
//! model of the repository.

#![expect(clippy::print_stdout, reason = "the table is the result")]

mod random;

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use kinora_models::Stage;
use kinora_models::config::{TransformerConfig, VaeConfig, read_json};
use kinora_models::memory::activations::{self, LatentSize};
use kinora_models::memory::{WeightCount, cpu_overhead_bytes, with_margin};
use kinora_models::wan::vae::Tiling;
use kinora_models::wan::{Timestep, WanTransformer, WanVae};
use kinora_nn::{WeightFormat, Weights};
use serde_json::json;
use tch::{Device, Kind, Tensor};

use random::{transformer_shapes, vae_shapes, write_random};

type Failure = Box<dyn Error>;

/// By how much an estimate may be above the measured peak, whatever the ratio.
const SLACK_BYTES: u64 = 128 << 20;

const CASES: [Case; 17] = [
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
    Case::decode("wide-22", [2, 12, 12], 0),
    Case::encode("tiny", [5, 32, 32], 0),
    Case::encode("wide", [2, 16, 16], 0),
    Case::encode("wide", [2, 16, 20], 12),
    Case::encode("wide-22", [2, 16, 16], 0),
];

struct Case {
    network: &'static str,
    stage: Stage,
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
            stage: Stage::Denoising,
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
            stage: Stage::Decoding,
            kind: Kind::Float,
            format: WeightFormat::Native,
            batch: 1,
            latents,
            tile,
        }
    }

    const fn encode(network: &'static str, latents: [i64; 3], tile: i64) -> Self {
        Self {
            stage: Stage::Encoding,
            ..Self::decode(network, latents, tile)
        }
    }

    fn name(&self) -> String {
        let stage = match self.stage {
            Stage::Encoding => "encode",
            Stage::Denoising => "denoise",
            Stage::Decoding => "decode",
        };
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
        tch::no_grad(|| match self.stage {
            Stage::Encoding => self.run_encode(scratch.path()),
            Stage::Denoising => self.run_denoise(scratch.path()),
            Stage::Decoding => self.run_decode(scratch.path()),
        })
    }

    /// The folder and shape of the transformer; a wide one is written to `scratch`.
    fn transformer(&self, scratch: &Path) -> Result<(PathBuf, TransformerConfig), Failure> {
        if self.network == "tiny" {
            let folder = trained().join("transformer");
            let config = read_json(&folder.join("config.json"))?;
            return Ok((folder, config));
        }
        let config = wide_transformer()?;
        write_random(scratch, &transformer_shapes(&config))?;
        Ok((scratch.to_owned(), config))
    }

    /// The folder and shape of the autoencoder; a wide one is written to `scratch`.
    fn vae(&self, scratch: &Path) -> Result<(PathBuf, VaeConfig), Failure> {
        if self.network == "tiny" {
            let folder = trained().join("vae");
            let config = read_json(&folder.join("config.json"))?;
            return Ok((folder, config));
        }
        let config = match self.network {
            "wide-22" => wide_residual_vae()?,
            _ => wide_vae()?,
        };
        write_random(scratch, &vae_shapes(&config))?;
        Ok((scratch.to_owned(), config))
    }

    fn run_denoise(&self, scratch: &Path) -> Result<Outcome, Failure> {
        let (folder, config) = self.transformer(scratch)?;
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
        let conditioning = network.condition(&texts, None, self.latents)?;
        let velocity = network.forward(
            &latents,
            Timestep::Uniform(500.0),
            &conditioning,
            None,
            &|| false,
        );
        let measured = resident("VmHWM:")?.saturating_sub(before);
        drop((velocity.map_err(|_| "cancelled")?, solver));
        let compute = u64::try_from(self.kind.elt_size_in_bytes())?;
        let count = WeightCount::of_transformer(&config);
        let batch = self.batch.unsigned_abs();
        let live = activations::denoise(&config, self.latent_size(), batch, 0, compute)
            + count.temporary_bytes(compute, self.format);
        Ok(Outcome {
            measured,
            estimated: estimate(count.bytes(compute, self.format), live),
        })
    }

    fn run_encode(&self, scratch: &Path) -> Result<Outcome, Failure> {
        let (folder, config) = self.vae(scratch)?;
        let before = resident("VmRSS:")?;
        let weights = Weights::open(&folder, "diffusion_pytorch_model", Device::Cpu, Kind::Float)?;
        let network = WanVae::load(&weights, &config)?;
        let [frames, rows, columns] = self.latents;
        let (side, stride) = (config.spatial_stride(), config.temporal_stride());
        let shape = [1 + (frames - 1) * stride, 3, rows * side, columns * side];
        reset_peak()?;
        let pixels = Tensor::zeros(shape, (Kind::Float, Device::Cpu)).fill_(0.5);
        let encoded = match Tiling::new(self.tile, self.tile / 4) {
            Some(tiling) => network.encode_tiled(&pixels, tiling, &|| false),
            None => network.encode(&pixels, &|| false),
        };
        let measured = resident("VmHWM:")?.saturating_sub(before);
        drop((encoded.map_err(|_| "cancelled")?, pixels));
        let live = match self.tile {
            0 => activations::encode(&config, self.latent_size()),
            tile => activations::encode_tiled(&config, self.latent_size(), tile.unsigned_abs()),
        };
        let weights = WeightCount::of_vae(&config).bytes(4, WeightFormat::Native);
        Ok(Outcome {
            measured,
            estimated: estimate(weights, live),
        })
    }

    fn run_decode(&self, scratch: &Path) -> Result<Outcome, Failure> {
        let (folder, config) = self.vae(scratch)?;
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
            estimated: estimate(weights, live),
        })
    }
}

/// What weights and activations take on the CPU.
fn estimate(weights: u64, live: u64) -> u64 {
    weights + with_margin(live, true) + cpu_overhead_bytes(weights)
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
        let is_close = ratio <= 1.6 || estimated - measured <= SLACK_BYTES;
        if ratio < 1.0 || !is_close {
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

/// The autoencoder of Wan 2.2.
fn wide_residual_vae() -> Result<VaeConfig, Failure> {
    Ok(serde_json::from_value(json!({
        "base_dim": 160, "decoder_base_dim": 256, "z_dim": 48, "dim_mult": [1, 2, 4, 4],
        "num_res_blocks": 2, "temperal_downsample": [false, true, true], "is_residual": true,
        "patch_size": 2, "in_channels": 12, "out_channels": 12,
        "latents_mean": vec![0.0; 48], "latents_std": vec![1.0; 48]
    }))?)
}
