//! What is needed to repeat a result, written as JSON beside every clip.

use kinora_models::wan::pipeline::Surroundings;
use kinora_models::{ModelCard, Sampler, SigmaGrid};
use kinora_proto::scheduler::v1 as pb;
use serde::{Deserialize, Serialize};

use crate::engine::Generated;
use crate::frames::FrameRecord;

/// The document's version.
pub const SCHEMA: &str = "kinora.manifest.v1";

/// The facts of the machine that go into every manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Version of the worker.
    pub kinora: String,
    /// The device, for example `cpu` or `cuda:0`.
    pub device: String,
}

/// One file of the model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Weights {
    /// Path in the model's folder.
    pub file: String,
    /// SHA-256, lower-case hex.
    pub sha256: String,
}

/// The document. Field order is fixed, so that equal runs write equal bytes: nothing in it tells which worker made the
/// clip, when, in how many attempts, or from which checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`SCHEMA`].
    pub schema: String,
    /// Model id.
    pub model: String,
    /// The model's family, for example `wan-t2v`.
    pub family: String,
    /// Licence of the weights.
    pub licence: String,
    /// What the clip shows.
    pub prompt: String,
    /// What it must not show. May be empty.
    pub negative_prompt: String,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Number of frames.
    pub frames: u32,
    /// Frames a second.
    pub fps: u32,
    /// Denoising steps.
    pub steps: u32,
    /// Classifier-free guidance scale.
    pub guidance: f64,
    /// Decides the initial noise.
    pub seed: u64,
    /// The solver.
    pub sampler: Sampler,
    /// The noise levels.
    pub sigma_grid: SigmaGrid,
    /// SHA-256 of the file of the first frame, lower-case hex; none without one.
    #[serde(default)]
    pub image_sha256: Option<String>,
    /// SHA-256 of the file of the last frame, lower-case hex; none without one.
    #[serde(default)]
    pub last_image_sha256: Option<String>,
    /// SHA-256 of the clip whose last frame was the first picture, lower-case hex; none unless it came that way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub continues_video_sha256: Option<String>,
    /// Which of its frames were looked at, by whose rules.
    #[serde(default)]
    pub frame_check: FrameRecord,
    /// Where it was made.
    pub machine: Machine,
    /// What besides the request and the weights decides the bytes.
    pub surroundings: Surroundings,
    /// Whether both prompts went through the transformer at once, which memory decides.
    pub pairs: bool,
    /// Side and overlap of the autoencoder's tiles in latent positions, which memory decides; none for whole pictures.
    #[serde(default)]
    pub tiles: Option<[i64; 2]>,
    /// SHA-256 of request, weights and surroundings, lower-case hex. Equal fingerprints give equal latents and frames.
    pub fingerprint: String,
    /// The files of the model, by name.
    pub weights: Vec<Weights>,
    /// SHA-256 of the final latents as little-endian 32-bit floats in row-major order, lower-case hex.
    pub latents_sha256: String,
    /// SHA-256 of the frames as RGB bytes, frame after frame, row after row, lower-case hex.
    pub frames_sha256: String,
    /// SHA-256 of the encoded clip, lower-case hex. Also depends on the encoder program.
    pub video_sha256: String,
}

/// A file is no manifest that can be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It is not JSON, or a field is missing or of another type.
    #[error("it is no manifest: {0}")]
    Unreadable(#[from] serde_json::Error),
    /// It is of another version, or something else altogether.
    #[error("its schema is `{0}`, and only `{SCHEMA}` can be read")]
    Schema(String),
}

/// Digests of what came out.
#[derive(Clone, Copy, Debug)]
pub struct OutputDigests<'a> {
    /// Of the RGB bytes.
    pub frames: &'a str,
    /// Of the encoded clip.
    pub video: &'a str,
}

impl Manifest {
    /// Describes a finished clip.
    #[must_use]
    pub fn of(
        spec: &pb::VideoSpec,
        card: &ModelCard,
        machine: &Machine,
        generated: &Generated,
        digests: OutputDigests<'_>,
    ) -> Self {
        let given = |text: &String| (!text.is_empty()).then(|| text.clone());
        let weights = generated.digests.iter().cloned();
        Self {
            schema: SCHEMA.to_owned(),
            model: spec.model.clone(),
            family: card.family.clone(),
            licence: card.licence.clone(),
            prompt: spec.prompt.clone(),
            negative_prompt: spec.negative_prompt.clone(),
            width: spec.width,
            height: spec.height,
            frames: spec.frames,
            fps: spec.fps,
            steps: spec.steps,
            guidance: spec.guidance,
            seed: spec.seed,
            sampler: card.defaults.sampler,
            sigma_grid: card.defaults.grid,
            image_sha256: given(&spec.image_sha256),
            last_image_sha256: given(&spec.last_image_sha256),
            continues_video_sha256: None,
            frame_check: FrameRecord::None,
            machine: machine.clone(),
            surroundings: generated.surroundings.clone(),
            pairs: generated.rendering.pairs,
            tiles: generated.rendering.tiles,
            fingerprint: generated.rendering.fingerprint.clone(),
            weights: weights
                .map(|(file, sha256)| Weights { file, sha256 })
                .collect(),
            latents_sha256: generated.rendering.latents_sha256.clone(),
            frames_sha256: digests.frames.to_owned(),
            video_sha256: digests.video.to_owned(),
        }
    }

    /// Reads the JSON text.
    ///
    /// # Errors
    /// [`ManifestError`]
    pub fn from_json(text: &[u8]) -> Result<Self, ManifestError> {
        #[derive(Deserialize)]
        struct Header {
            schema: String,
        }
        let Header { schema } = serde_json::from_slice(text)?;
        if schema != SCHEMA {
            return Err(ManifestError::Schema(schema));
        }
        Ok(serde_json::from_slice(text)?)
    }

    /// The JSON text.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        // Strings, integers and finite floats only: serialisation cannot fail.
        serde_json::to_vec_pretty(self).unwrap_or_default()
    }
}
