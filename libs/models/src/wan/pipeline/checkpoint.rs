//! Checkpoints: a generation between two steps, as one safetensors file.
//!
//! Nothing random happens after the initial noise, which the seed decides, so that latents, solver
//! history and step are all the state there is. A checkpoint names the fingerprint it belongs to and
//! carries a digest of itself: a file of another request, or one that is cut or altered, is refused.

use std::collections::{BTreeMap, HashMap};

use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};
use sha2::{Digest, Sha256};
use tch::{Device, Kind, Tensor};

use super::Surroundings;
use crate::digest::hex;
use crate::error::GenerateError;
use crate::memory::MemoryPlan;
use crate::request::{Checkpoint, GenerateRequest, Picture};
use crate::sampler::{SOLVER_TENSORS, SamplerState};
use crate::wan::DenoiseState;

/// Changes when checkpoints of older versions can no longer be continued to the same bytes.
const FORMAT: &str = "kinora.checkpoint.v1";
const LATENTS: &str = "latents";
/// In front of the names of the solver's tensors.
const SOLVER: &str = "solver.";
/// In front of the names of the step caches' tensors.
const CACHES: &str = "cache.";
/// Largest state that becomes a checkpoint, in bytes; workers and the scheduler take no larger ones.
const MAX_BYTES: usize = (2 << 30) - (1 << 20);
/// Longest header of a safetensors file that can be a checkpoint, in bytes.
const MAX_HEADER_BYTES: u64 = 16 << 10;

/// SHA-256 of what decides the bytes of a clip, in hexadecimal.
pub(super) fn fingerprint(
    request: &GenerateRequest,
    digests: &[(String, String)],
    surroundings: &Surroundings,
    memory: &MemoryPlan,
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
        "pairs": memory.batch_cfg,
        "encode_tiles": memory.encode_tiling.map(|tiling| [tiling.tile(), tiling.overlap()]),
        "tiles": memory.tiling.map(|tiling| [tiling.tile(), tiling.overlap()]),
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
    let values = tensor.f_to_kind(Kind::Float)?;
    Ok(hex(&Sha256::digest(to_bytes(&values)?)))
}

/// The state between two steps, as named tensors and numbers.
struct Parts {
    step: usize,
    steps: u32,
    order: usize,
    tensors: BTreeMap<String, Part>,
}

#[derive(Clone, Debug, PartialEq)]
struct Part {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

/// Writes the state between two steps; `None` if it is too large to be stored and fetched again,
/// which happens with a step cache on large clips.
pub(super) fn write(
    state: &DenoiseState,
    steps: u32,
    fingerprint: &str,
) -> Result<Option<Checkpoint>, GenerateError> {
    if state_bytes(state) > MAX_BYTES {
        return Ok(None);
    }
    let solver = &state.solver;
    let mut tensors = BTreeMap::from([(LATENTS.to_owned(), Part::of(&state.latents)?)]);
    for (name, tensor) in &solver.tensors {
        tensors.insert(format!("{SOLVER}{name}"), Part::of(tensor)?);
    }
    for (name, tensor) in &state.caches {
        tensors.insert(format!("{CACHES}{name}"), Part::of(tensor)?);
    }
    let parts = Parts {
        step: solver.step,
        steps,
        order: solver.order,
        tensors,
    };
    Ok(Some(Checkpoint {
        step: u32::try_from(parts.step).map_err(engine_error)?,
        steps,
        bytes: parts.to_file(fingerprint).map_err(engine_error)?,
    }))
}

fn state_bytes(state: &DenoiseState) -> usize {
    let solver = state.solver.tensors.iter().map(|(_, tensor)| tensor);
    let caches = state.caches.iter().map(|(_, tensor)| tensor);
    std::iter::once(&state.latents)
        .chain(solver)
        .chain(caches)
        .map(|tensor| tensor.numel() * tensor.kind().elt_size_in_bytes())
        .sum()
}

/// Reads a checkpoint of the generation with this fingerprint and these latents; says why it cannot
/// be used.
pub(super) fn read(
    file: &[u8],
    fingerprint: &str,
    shape: &[i64],
    device: Device,
) -> Result<DenoiseState, String> {
    let mut parts = Parts::from_file(file, fingerprint)?;
    let steps = usize::try_from(parts.steps).map_err(|_| damaged())?;
    let latents = parts.tensors.remove(LATENTS).ok_or_else(damaged)?;
    if latents.signed_shape() != shape || parts.step == 0 || parts.step > steps {
        return Err(damaged());
    }
    let (mut solver, mut caches) = (Vec::new(), Vec::new());
    for (name, part) in &parts.tensors {
        if let Some(name) = name.strip_prefix(SOLVER) {
            let name = SOLVER_TENSORS.into_iter().find(|known| *known == name);
            solver.push((name.ok_or_else(damaged)?, part.to_tensor(device)?));
        } else if let Some(name) = name.strip_prefix(CACHES) {
            caches.push((name.to_owned(), part.to_tensor(device)?));
        } else {
            return Err(damaged());
        }
    }
    Ok(DenoiseState {
        latents: latents.to_tensor(device)?,
        solver: SamplerState {
            step: parts.step,
            order: parts.order,
            tensors: solver,
        },
        caches,
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
        for (name, part) in &self.tensors {
            let view = TensorView::new(part.dtype, part.shape.clone(), &part.bytes)?;
            views.push((name, view));
        }
        serialize(views, Some(metadata))
    }

    fn digest(&self, fingerprint: &str) -> String {
        let mut hasher = Sha256::new();
        let numbers = (self.step, self.steps, self.order);
        hasher.update(format!("{FORMAT} {fingerprint} {numbers:?}"));
        for (name, part) in &self.tensors {
            hasher.update(format!("{name} {:?} {:?} ", part.dtype, part.shape));
            hasher.update(&part.bytes);
        }
        hex(&hasher.finalize())
    }

    /// Reads a file that may be anything; says why it is not the checkpoint wanted.
    fn from_file(file: &[u8], fingerprint: &str) -> Result<Self, String> {
        let header = file.first_chunk::<8>();
        let header = header.map(|bytes| u64::from_le_bytes(*bytes));
        if header.is_none_or(|length| length > MAX_HEADER_BYTES) {
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
        let index = |name: &str| usize::try_from(number(name)?).map_err(|_| damaged());
        let file = SafeTensors::deserialize(file).map_err(unreadable)?;
        let part = |(name, view): (String, TensorView<'_>)| {
            let part = Part {
                dtype: view.dtype(),
                shape: view.shape().to_vec(),
                bytes: view.data().to_vec(),
            };
            (name, part)
        };
        let parts = Self {
            step: index("step")?,
            steps: number("steps")?,
            order: index("order")?,
            tensors: file.tensors().into_iter().map(part).collect(),
        };
        if parts.digest(fingerprint) != field("sha256") {
            return Err(damaged());
        }
        Ok(parts)
    }
}

impl Part {
    fn of(tensor: &Tensor) -> Result<Self, GenerateError> {
        let dtype = match tensor.kind() {
            Kind::Float => Dtype::F32,
            Kind::Double => Dtype::F64,
            other => return Err(engine_error(format!("a state in {other:?}"))),
        };
        let shape = tensor.size().into_iter().map(usize::try_from);
        Ok(Self {
            dtype,
            shape: shape.collect::<Result<_, _>>().map_err(engine_error)?,
            bytes: to_bytes(tensor)?,
        })
    }

    fn to_tensor(&self, device: Device) -> Result<Tensor, String> {
        let kind = match self.dtype {
            Dtype::F32 => Kind::Float,
            Dtype::F64 => Kind::Double,
            _ => return Err(damaged()),
        };
        Tensor::f_from_data_size(&self.bytes, &self.signed_shape(), kind)
            .and_then(|tensor| tensor.f_to_device(device))
            .map_err(|error| error.to_string())
    }

    fn signed_shape(&self) -> Vec<i64> {
        let side = |&side: &usize| i64::try_from(side).unwrap_or(i64::MAX);
        self.shape.iter().map(side).collect()
    }
}

fn damaged() -> String {
    "it is damaged".to_owned()
}

fn engine_error(error: impl std::fmt::Display) -> GenerateError {
    GenerateError::Engine(error.to_string())
}

/// The values, little end first, in row-major order.
fn to_bytes(tensor: &Tensor) -> Result<Vec<u8>, GenerateError> {
    let values = tensor.f_to_device(Device::Cpu)?.f_contiguous()?;
    let count = values.numel();
    let mut bytes = vec![0; count * values.kind().elt_size_in_bytes()];
    values.f_copy_data_u8(&mut bytes, count)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
