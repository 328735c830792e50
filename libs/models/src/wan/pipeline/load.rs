//! Reading a model folder.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use tch::{Cuda, Device, Kind};

use super::WanPipeline;
use crate::card::ModelCard;
use crate::checkpoint::Checkpoint;
use crate::digest::sha256_hex;
use crate::error::{LoadError, panic_message};
use crate::names::Part;
use crate::request::{DeviceChoice, LoadOptions, Precision};
use crate::text::TextEncoder;
use crate::wan::{WanTransformer, WanVae};

/// The family this pipeline runs, as cards name it.
const FAMILY: &str = "wan-t2v";

impl WanPipeline {
    /// Loads a model folder in either layout (see [`Checkpoint`]) with a `kinora.json` in it.
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
    let checkpoint = Checkpoint::open(folder)?;
    let card = ModelCard::read_with(folder, checkpoint.config())?;
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
    let text_weights = checkpoint.weights(Part::TextEncoder, device, kind)?;
    let text_config = &checkpoint.config().text_encoder;
    let text = TextEncoder::load(checkpoint.tokenizer(), &text_weights, text_config)?;
    let transformer = load_transformer(&checkpoint, device, kind)?;
    let vae = load_vae(&checkpoint, device)?;
    let digests = digests(folder, &checkpoint)?;
    Ok(WanPipeline {
        card,
        config: checkpoint.config().clone(),
        digests,
        text,
        transformer,
        vae,
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
    checkpoint: &Checkpoint,
    device: Device,
    kind: Kind,
) -> Result<WanTransformer, LoadError> {
    let part = LoadError::weights(Part::Transformer.name());
    let weights = checkpoint.weights(Part::Transformer, device, kind)?;
    let config = &checkpoint.config().transformer;
    let network = WanTransformer::load(&weights, config).map_err(&part)?;
    weights.finish().map_err(&part)?;
    Ok(network)
}

fn load_vae(checkpoint: &Checkpoint, device: Device) -> Result<WanVae, LoadError> {
    let part = LoadError::weights(Part::Vae.name());
    let weights = checkpoint.weights(Part::Vae, device, Kind::Float)?;
    let network = WanVae::load(&weights, &checkpoint.config().vae).map_err(&part)?;
    weights.finish().map_err(&part)?;
    Ok(network)
}

/// Digests of everything that decides what the model generates.
fn digests(folder: &Path, checkpoint: &Checkpoint) -> Result<Vec<(String, String)>, LoadError> {
    let digest = |file: PathBuf| {
        let name = file.strip_prefix(folder).unwrap_or(&file);
        Ok((name.to_string_lossy().into_owned(), sha256_hex(&file)?))
    };
    checkpoint.files().into_iter().map(digest).collect()
}
