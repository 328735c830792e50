//! What is needed to repeat a result, written as JSON beside every clip.

use kinora_models::{ModelCard, Sampler, SigmaGrid};
use kinora_proto::scheduler::v1 as pb;
use serde::Serialize;

/// The facts of the machine that go into every manifest.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// Version of this worker.
    pub kinora: &'static str,
    /// The kind of device, for example `cpu`.
    pub device: String,
    /// The compute type, for example `f32`.
    pub precision: &'static str,
    /// Threads of the CPU operators.
    pub threads: usize,
}

/// The document. Field order is fixed, so that equal runs write equal bytes.
#[derive(Debug, Serialize)]
struct Manifest<'a> {
    schema: &'static str,
    model: &'a str,
    family: &'a str,
    licence: &'a str,
    prompt: &'a str,
    negative_prompt: &'a str,
    width: u32,
    height: u32,
    frames: u32,
    fps: u32,
    steps: u32,
    guidance: f64,
    seed: u64,
    sampler: Sampler,
    sigma_grid: SigmaGrid,
    machine: &'a Machine,
    weights: Vec<Weights<'a>>,
    video_sha256: &'a str,
}

#[derive(Debug, Serialize)]
struct Weights<'a> {
    file: &'a str,
    sha256: &'a str,
}

/// Writes the manifest of a finished clip.
#[must_use]
pub fn render(
    spec: &pb::VideoSpec,
    card: &ModelCard,
    machine: &Machine,
    digests: &[(String, String)],
    video_sha256: &str,
) -> Vec<u8> {
    let manifest = Manifest {
        schema: "kinora.manifest.v1",
        model: &spec.model,
        family: &card.family,
        licence: &card.licence,
        prompt: &spec.prompt,
        negative_prompt: &spec.negative_prompt,
        width: spec.width,
        height: spec.height,
        frames: spec.frames,
        fps: spec.fps,
        steps: spec.steps,
        guidance: spec.guidance,
        seed: spec.seed,
        sampler: card.defaults.sampler,
        sigma_grid: card.defaults.grid,
        machine,
        weights: digests
            .iter()
            .map(|(file, sha256)| Weights { file, sha256 })
            .collect(),
        video_sha256,
    };
    // Strings, integers and finite floats only: serialisation cannot fail.
    serde_json::to_vec_pretty(&manifest).unwrap_or_default()
}
