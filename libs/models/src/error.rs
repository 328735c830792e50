//! What can go wrong when a model is loaded or generates.

use std::path::{Path, PathBuf};

use kinora_nn::WeightsError;

/// Why a model folder could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file that every model folder has is not there.
    #[error("{} is missing", path.display())]
    Missing {
        /// The file looked for.
        path: PathBuf,
    },
    /// A configuration file, card or tokenizer is there and cannot be used.
    #[error("{}: {reason}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The weights do not fit the configuration: missing, surplus or misshaped tensors, or a file
    /// that cannot be read.
    #[error("weights of the {part}: {source}")]
    Weights {
        /// The network they belong to, as [`crate::Part::name`] calls it.
        part: &'static str,
        /// Which tensor or file.
        source: WeightsError,
    },
    /// The chosen device cannot be used.
    #[error("device: {reason}")]
    Device {
        /// Why not.
        reason: String,
    },
    /// libtorch failed.
    #[error("engine: {0}")]
    Engine(String),
}

impl LoadError {
    /// A `Config` error.
    pub(crate) fn config(path: &Path, reason: impl std::fmt::Display) -> Self {
        Self::Config {
            path: path.to_owned(),
            reason: reason.to_string(),
        }
    }

    /// Attributes a weights error to a network.
    pub(crate) fn weights(part: &'static str) -> impl Fn(WeightsError) -> Self {
        move |source| Self::Weights { part, source }
    }
}

impl From<tch::TchError> for LoadError {
    fn from(error: tch::TchError) -> Self {
        Self::Engine(first_line(&error.to_string()))
    }
}

/// Why a clip was not generated. The pipeline stays usable after every one of them.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// [`crate::Control::signal`] said so.
    #[error("cancelled")]
    Cancelled,
    /// [`crate::Control::signal`] said so; the checkpoint of the last finished step, if there was
    /// one, was handed over.
    #[error("paused")]
    Paused,
    /// The request asks for something the model cannot do.
    #[error("{field}: {reason}")]
    Invalid {
        /// The field of [`crate::GenerateRequest`].
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The latents are not numbers any more. The same request would end the same way.
    #[error("the latents are not finite after step {step}")]
    NotFinite {
        /// The denoising step.
        step: u32,
    },
    /// No allowed policy makes the request fit the memory; found out before any work was done.
    #[error("{0}")]
    DoesNotFit(#[from] crate::memory::DoesNotFit),
    /// The device has too little memory for this request.
    #[error("the device is out of memory")]
    OutOfMemory,
    /// libtorch failed in another way.
    #[error("engine: {0}")]
    Engine(String),
}

impl GenerateError {
    /// An `Invalid` error.
    pub(crate) fn invalid(field: &'static str, reason: impl Into<String>) -> Self {
        Self::Invalid {
            field,
            reason: reason.into(),
        }
    }

    /// Sorts a message of libtorch into out-of-memory and the rest.
    pub(crate) fn from_message(message: &str) -> Self {
        let lower = message.to_lowercase();
        let signs = [
            "out of memory",
            "can't allocate memory",
            "not enough memory",
            "bad_alloc",
        ];
        if signs.iter().any(|sign| lower.contains(sign)) {
            return Self::OutOfMemory;
        }
        Self::Engine(first_line(message))
    }

    /// Turns what a caught panic carried into an error.
    pub(crate) fn from_panic(payload: &(dyn std::any::Any + Send)) -> Self {
        Self::from_message(&panic_message(payload))
    }
}

impl From<tch::TchError> for GenerateError {
    fn from(error: tch::TchError) -> Self {
        Self::from_message(&error.to_string())
    }
}

/// The text of a panic.
pub(crate) fn panic_message(payload: &(dyn std::any::Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".to_owned())
}

/// What libtorch said, without the C++ backtrace it appends. In a panic its line breaks are escaped.
fn first_line(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default();
    let line = line.split("\\n").next().unwrap_or_default();
    match line.split_once("value: Torch(\"") {
        Some((_, reason)) => reason.to_owned(),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allocation_failures_are_told_apart() {
        let allocation = [
            "CUDA out of memory. Tried to allocate 20.00 GiB",
            "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate",
        ];
        for message in allocation {
            assert!(matches!(
                GenerateError::from_message(message),
                GenerateError::OutOfMemory
            ));
        }
        let other = GenerateError::from_message("shapes cannot be multiplied\nframe #0: c10");
        assert_eq!(other.to_string(), "engine: shapes cannot be multiplied");
        let panic = "called `Result::unwrap()` on an `Err` value: Torch(\"bad view\\nframe #0\")";
        assert_eq!(
            GenerateError::from_message(panic).to_string(),
            "engine: bad view"
        );
    }
}
