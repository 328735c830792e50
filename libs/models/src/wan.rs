//! The Wan families: video from text and pictures with a diffusion transformer over the latents of a
//! causal video autoencoder (Wan 2.1 and 2.2; the facts are in the models' paper, arXiv:2503.20314).

mod block;
mod conditioning;
mod denoising;
mod family;
mod image_embedder;
mod parts;
pub mod pipeline;
mod step_cache;
mod timestep;
pub mod transformer;
pub mod vae;

pub use conditioning::Conditioning;
pub use denoising::{DenoisePlan, DenoiseState, Denoising, GivenFrames};
pub use family::{Family, PictureInput};
pub use parts::Parts;
pub use pipeline::WanPipeline;
pub use step_cache::StepCache;
pub use timestep::Timestep;
pub use transformer::WanTransformer;
pub use vae::WanVae;

/// The generation was cancelled between two parts of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cancelled;

/// What the networks poll: true means stop.
pub type CancelCheck<'a> = &'a dyn Fn() -> bool;

/// Fails if the caller wants no more.
fn proceed(is_cancelled: CancelCheck<'_>) -> Result<(), Cancelled> {
    if is_cancelled() {
        Err(Cancelled)
    } else {
        Ok(())
    }
}
