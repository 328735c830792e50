//! Checkpoints: a generation between two steps, as one safetensors file.
//!
//! Nothing random happens after the initial noise, which the seed decides, so that latents, solver
//! history and step are all the state there is. A checkpoint names the fingerprint it belongs to and
//! carries a digest of itself: a file of another request, or one that is cut or altered, is refused.

use std::collections::HashMap;

use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};
use serde::Serialize;
use sha2::{Digest, Sha256};
use tch::{Device, Kind, Tensor};

use crate::digest::hex;
use crate::error::GenerateError;
use crate::request::{Checkpoint, DeviceChoice, GenerateRequest, LoadOptions, Picture, Precision};
use crate::sampler::{SamplerState, Stepper};

/// Changes when checkpoints of older versions can no longer be continued to the same bytes.
const FORMAT: &str = "kinora.checkpoint.v1";
const LATENTS: &str = "latents";
/// Tensors of the solver a checkpoint may hold.
const SOLVER: [&str; 3] = ["sample", "latest", "older"];
/// Longest header of a safetensors file that can be a checkpoint, in bytes.
const MAX_HEADER_BYTES: usize = 16 << 10;

/// What besides the request and the model's files decides the bytes of a clip.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Surroundings {
    /// Version of the engine.
    pub engine: &'static str,
    /// Version of libtorch.
    pub libtorch: &'static str,
    /// The class of device, for example `cpu-avx2` or `cuda`: kernels differ between classes.
    pub device_class: String,
    /// What large products are computed in.
    pub precision: &'static str,
    /// Threads of CPU operators; 0 when libtorch decides.
    pub threads: usize,
}

impl Surroundings {
    /// The surroundings of a model loaded like this.
    #[must_use]
    pub fn of(options: &LoadOptions) -> Self {
        Self {
            engine: env!("CARGO_PKG_VERSION"),
            libtorch: "2.11.0",
            device_class: device_class(options.device),
            precision: match options.precision {
                Precision::F32 => "f32",
                Precision::Bf16 => "bf16",
            },
            threads: options.threads.unwrap_or_default(),
        }
    }
}

/// Processors are told apart by the vector instructions that libtorch picks its kernels by.
fn device_class(device: DeviceChoice) -> String {
    match device {
        DeviceChoice::Cpu => cpu_class().to_owned(),
        DeviceChoice::Cuda(_) => "cuda".to_owned(),
    }
}

#[cfg(target_arch = "x86_64")]
fn cpu_class() -> &'static str {
    let wide = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl");
    if wide {
        "cpu-avx512"
    } else if is_x86_feature_detected!("avx2") {
        "cpu-avx2"
    } else {
        "cpu"
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn cpu_class() -> &'static str {
    std::env::consts::ARCH
}

/// SHA-256 of what decides the bytes of a clip, in hexadecimal.
pub(super) fn fingerprint(
    request: &GenerateRequest,
    digests: &[(String, String)],
    surroundings: &Surroundings,
) -> String {
    let text = serde_json::json!({
        "format": FORMAT,
        "prompt": request.prompt,
        "negative_prompt": request.negative_prompt,
        "size": [request.width, request.height, request.frames, request.steps],
        "guidance": request.guidance,
        "seed": request.seed,
        "sampler": request.sampler,
        "grid": request.grid,
        "image": request.image.as_ref().map(picture_sha256),
        "last_image": request.last_image.as_ref().map(picture_sha256),
        "files": digests,
        "surroundings": surroundings,
    });
    hex(&Sha256::digest(text.to_string()))
}

/// SHA-256 of a picture's size and pixels, in hexadecimal.
fn picture_sha256(picture: &Picture) -> String {
    let mut hasher = Sha256::new();
    hasher.update(picture.width.to_le_bytes());
    hasher.update(picture.height.to_le_bytes());
    hasher.update(&picture.rgb);
    hex(&hasher.finalize())
}

/// SHA-256 of a tensor's values as 32-bit floats, little end first, in row-major order.
pub(super) fn tensor_sha256(tensor: &Tensor) -> Result<String, GenerateError> {
    Ok(hex(&Sha256::digest(to_bytes(tensor)?)))
}

/// A checkpoint that was read.
pub(super) struct Snapshot {
    /// `[1, c, f, h, w]`
    pub(super) latents: Tensor,
    pub(super) solver: SamplerState,
}

/// The tensors of a checkpoint by name, with their bytes.
struct Parts {
    step: usize,
    steps: u32,
    order: usize,
    shape: Vec<usize>,
    tensors: Vec<(&'static str, Vec<u8>)>,
}

/// Writes the state between two steps.
pub(super) fn write(
    latents: &Tensor,
    stepper: &Stepper,
    steps: u32,
    fingerprint: &str,
) -> Result<Checkpoint, GenerateError> {
    let state = stepper.state();
    let mut tensors = vec![(LATENTS, to_bytes(latents)?)];
    for (name, tensor) in &state.tensors {
        tensors.push((name, to_bytes(tensor)?));
    }
    let shape = latents.size().into_iter().map(usize::try_from);
    let parts = Parts {
        step: state.step,
        steps,
        order: state.order,
        shape: shape.collect::<Result<_, _>>().map_err(engine_error)?,
        tensors,
    };
    Ok(Checkpoint {
        step: u32::try_from(parts.step).map_err(engine_error)?,
        steps,
        bytes: parts.to_file(fingerprint).map_err(engine_error)?,
    })
}

impl Parts {
    fn to_file(&self, fingerprint: &str) -> Result<Vec<u8>, safetensors::SafeTensorError> {
        let metadata = HashMap::from([
            ("format".to_owned(), FORMAT.to_owned()),
            ("fingerprint".to_owned(), fingerprint.to_owned()),
            ("step".to_owned(), self.step.to_string()),
            ("steps".to_owned(), self.steps.to_string()),
            ("order".to_owned(), self.order.to_string()),
            ("sha256".to_owned(), self.digest(fingerprint)),
        ]);
        let mut views = Vec::new();
        for (name, bytes) in &self.tensors {
            let view = TensorView::new(Dtype::F32, self.shape.clone(), bytes)?;
            views.push((*name, view));
        }
        serialize(views, Some(metadata))
    }

    fn digest(&self, fingerprint: &str) -> String {
        let mut hasher = Sha256::new();
        let numbers = (self.step, self.steps, self.order);
        hasher.update(format!(
            "{FORMAT} {fingerprint} {numbers:?} {:?}",
            self.shape
        ));
        for (name, bytes) in &self.tensors {
            hasher.update(name);
            hasher.update(bytes);
        }
        hex(&hasher.finalize())
    }

    /// Reads a file that may be anything; says why it is not the checkpoint wanted.
    fn from_file(file: &[u8], fingerprint: &str) -> Result<Self, String> {
        let header = file
            .first_chunk::<8>()
            .map(|bytes| u64::from_le_bytes(*bytes));
        if header.is_none_or(|length| length > MAX_HEADER_BYTES as u64) {
            return Err("it is no checkpoint".to_owned());
        }
        let unreadable = |error| format!("it cannot be read: {error}");
        let (_, metadata) = SafeTensors::read_metadata(file).map_err(unreadable)?;
        let fields = metadata.metadata().clone().unwrap_or_default();
        let field = |name: &str| fields.get(name).map(String::as_str).unwrap_or_default();
        if field("format") != FORMAT {
            return Err("it is of another version".to_owned());
        }
        if field("fingerprint") != fingerprint {
            return Err("it belongs to another request, model or kind of machine".to_owned());
        }
        let number = |name: &str| field(name).parse::<u32>().map_err(|_| damaged());
        let file = SafeTensors::deserialize(file).map_err(unreadable)?;
        let shape = file.tensor(LATENTS).map_err(unreadable)?.shape().to_vec();
        let mut tensors = Vec::new();
        for name in std::iter::once(LATENTS).chain(SOLVER) {
            let Ok(view) = file.tensor(name) else {
                continue;
            };
            if view.dtype() != Dtype::F32 || view.shape() != shape {
                return Err(damaged());
            }
            tensors.push((name, view.data().to_vec()));
        }
        let parts = Self {
            step: usize::try_from(number("step")?).map_err(|_| damaged())?,
            steps: number("steps")?,
            order: usize::try_from(number("order")?).map_err(|_| damaged())?,
            shape,
            tensors,
        };
        if parts.digest(fingerprint) != field("sha256") {
            return Err(damaged());
        }
        Ok(parts)
    }
}

impl Snapshot {
    /// Reads a checkpoint of the generation with this fingerprint; says why it cannot be used.
    pub(super) fn read(
        file: &[u8],
        fingerprint: &str,
        shape: &[i64],
        device: Device,
    ) -> Result<Self, String> {
        let parts = Parts::from_file(file, fingerprint)?;
        let found: Vec<i64> = parts.shape.iter().map(|&side| side as i64).collect();
        let steps = usize::try_from(parts.steps).map_err(|_| damaged())?;
        if found != shape || parts.step == 0 || parts.step > steps {
            return Err(damaged());
        }
        let mut tensors = Vec::new();
        for (name, bytes) in &parts.tensors {
            let tensor = Tensor::f_from_data_size(bytes, shape, Kind::Float)
                .and_then(|tensor| tensor.f_to_device(device))
                .map_err(|error| error.to_string())?;
            tensors.push((*name, tensor));
        }
        let (_, latents) = tensors.remove(0);
        let solver = SamplerState {
            step: parts.step,
            order: parts.order,
            tensors,
        };
        Ok(Self { latents, solver })
    }

    /// Finished steps.
    pub(super) fn step(&self) -> u32 {
        u32::try_from(self.solver.step).unwrap_or(u32::MAX)
    }
}

fn damaged() -> String {
    "it is damaged".to_owned()
}

fn engine_error(error: impl std::fmt::Display) -> GenerateError {
    GenerateError::Engine(error.to_string())
}

/// The values as 32-bit floats, little end first.
fn to_bytes(tensor: &Tensor) -> Result<Vec<u8>, GenerateError> {
    let values = tensor.f_to_device(Device::Cpu)?.f_to_kind(Kind::Float)?;
    let values = values.f_contiguous()?;
    let count = values.numel();
    let mut bytes = vec![0; count * size_of::<f32>()];
    values.f_copy_data_u8(&mut bytes, count)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
