//! Reading a model folder.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use kinora_nn::Weights;
use kinora_nn::weights::weight_files;
use tch::{Cuda, Device, Kind};

use super::WanPipeline;
use super::fitting::Budget;
use crate::card::ModelCard;
use crate::config::WanConfig;
use crate::digest::sha256_hex;
use crate::error::{LoadError, panic_message};
use crate::request::{DeviceChoice, LoadOptions, Precision};
use crate::residency::{Placed, Placement};
use crate::text::TextEncoder;
use crate::wan::{WanTransformer, WanVae};

/// The family this pipeline runs, as cards name it.
const FAMILY: &str = "wan-t2v";
/// Name of the weight files of networks in diffusers' layout.
const DIFFUSERS_STEM: &str = "diffusion_pytorch_model";
/// Name of the weight files of networks in transformers' layout.
const TRANSFORMERS_STEM: &str = "model";

impl WanPipeline {
    /// Loads a model folder in diffusers' layout with a `kinora.json` beside `model_index.json`.
    ///
    /// Everything is checked: each tensor of the configuration must be there with its shape, and
    /// no other.
    ///
    /// # Errors
    /// [`LoadError`], naming the file or tensor.
    pub fn load(folder: &Path, options: &LoadOptions) -> Result<Self, LoadError> {
        catch_unwind(AssertUnwindSafe(|| tch::no_grad(|| load(folder, options))))
            .unwrap_or_else(|payload| Err(LoadError::Engine(panic_message(payload.as_ref()))))
    }
}

fn load(folder: &Path, options: &LoadOptions) -> Result<WanPipeline, LoadError> {
    let config = WanConfig::read(folder)?;
    let card = ModelCard::read_with(folder, &config)?;
    if card.family != FAMILY {
        let reason = format!("the family is {}, this pipeline runs {FAMILY}", card.family);
        return Err(LoadError::config(&folder.join("kinora.json"), reason));
    }
    if let Some(threads) = options.threads {
        let reason = |_| LoadError::Device {
            reason: "too many threads".to_owned(),
        };
        tch::set_num_threads(i32::try_from(threads.max(1)).map_err(reason)?);
    }
    let device = device(options.device)?;
    let kind = match options.precision {
        Precision::F32 => Kind::Float,
        Precision::Bf16 => Kind::BFloat16,
    };
    let budget = Budget::new(&config, &card, options);
    let placement = budget.placement(device, kind);
    let text = TextEncoder::load(folder, &config.text_encoder, &placement)?;
    let transformer = load_transformer(folder, &config, &placement)?;
    let vae = load_vae(folder, &config, &placement)?;
    let digests = digests(folder)?;
    Ok(WanPipeline {
        card,
        config,
        digests,
        text,
        transformer,
        vae,
        budget,
        device,
    })
}

fn device(choice: DeviceChoice) -> Result<Device, LoadError> {
    match choice {
        DeviceChoice::Cpu => Ok(Device::Cpu),
        DeviceChoice::Cuda(index) => {
            let count = if Cuda::is_available() {
                Cuda::device_count()
            } else {
                0
            };
            let known = usize::try_from(count).is_ok_and(|count| index < count);
            let reason = format!("there is no CUDA device {index}, only {count} in all");
            if known {
                Ok(Device::Cuda(index))
            } else {
                Err(LoadError::Device { reason })
            }
        }
    }
}

fn load_transformer(
    folder: &Path,
    config: &WanConfig,
    placement: &Placement,
) -> Result<Placed<WanTransformer>, LoadError> {
    let part = LoadError::weights("transformer");
    let folder = folder.join("transformer");
    let (device, kind) = (placement.load_device(), placement.kind);
    let weights = Weights::open(&folder, DIFFUSERS_STEM, device, kind).map_err(&part)?;
    let network = WanTransformer::load_as(&weights, &config.transformer, placement.weights);
    let network = network.map_err(&part)?;
    weights.finish().map_err(&part)?;
    Ok(placement.place(network)?)
}

fn load_vae(
    folder: &Path,
    config: &WanConfig,
    placement: &Placement,
) -> Result<Placed<WanVae>, LoadError> {
    let device = placement.load_device();
    let part = LoadError::weights("vae");
    let folder = folder.join("vae");
    let weights = Weights::open(&folder, DIFFUSERS_STEM, device, Kind::Float).map_err(&part)?;
    let network = WanVae::load(&weights, &config.vae).map_err(&part)?;
    weights.finish().map_err(&part)?;
    Ok(placement.place(network)?)
}

/// Digests of everything that decides what the model generates.
fn digests(folder: &Path) -> Result<Vec<(String, String)>, LoadError> {
    let mut files: Vec<PathBuf> = [
        "kinora.json",
        "transformer/config.json",
        "vae/config.json",
        "text_encoder/config.json",
        "scheduler/scheduler_config.json",
        "tokenizer/tokenizer.json",
    ]
    .map(|name| folder.join(name))
    .into();
    for (part, stem) in [
        ("transformer", DIFFUSERS_STEM),
        ("vae", DIFFUSERS_STEM),
        ("text_encoder", TRANSFORMERS_STEM),
    ] {
        let found = weight_files(&folder.join(part), stem).map_err(LoadError::weights(part))?;
        files.extend(found);
    }
    files.sort();
    let mut digests = Vec::with_capacity(files.len());
    for file in files {
        let name = file.strip_prefix(folder).unwrap_or(&file);
        digests.push((name.to_string_lossy().into_owned(), sha256_hex(&file)?));
    }
    Ok(digests)
}
