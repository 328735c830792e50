//! Model families, samplers, schedules and pipelines.
//!
//! A family is a configuration, a network, an autoencoder and a thin pipeline. Samplers know no
//! network, networks know no sampler. The pieces that need no tensors (configuration, card, sigma
//! grids, solver coefficients, prompt cleaning) live in modules that import no libtorch.
//!
//! Language models ([`llm`]) stand beside the families: a decoder, its tokenizer, sampling, and an engine that owns them.
//!
//! Axes are named as in [`kinora_nn`]: `b` batch, `f` frames, `h w` size, `c` channels, `s` tokens,
//! `n` heads, `d` head width. Latents are `[b, c, f, h, w]`; inside the autoencoder a clip is a batch
//! of images, `[f, c, h, w]`.

pub mod card;
pub mod clip;
pub mod config;
pub mod detector;
pub mod embedding;
pub mod error;
pub mod folder;
pub mod llm;
pub mod memory;
pub mod names;
pub mod picture;
pub mod prompt;
pub mod request;
pub mod residency;
pub mod sampler;
pub mod stages;
pub mod t5;
pub mod text;
pub mod wan;

mod device;
mod digest;
mod guard;

pub use card::ModelCard;
pub use embedding::{EmbeddedText, SentenceEncoder, SentenceOptions};
pub use error::{GenerateError, LoadError};
pub use folder::{Layout, ModelFolder};
pub use kinora_nn::WeightFormat;
pub use memory::{DoesNotFit, MemoryPlan};
pub use names::Part;
pub use request::{
    Checkpoint, Clip, Control, DeviceChoice, GenerateRequest, LoadOptions, Picture, Precision,
    Progress, Signal, Stage, Uncontrolled,
};
pub use residency::{Network, OnDevice, Placed, Placement, Residency};
pub use sampler::{Sampler, SigmaGrid};
pub use wan::pipeline::WanPipeline;
