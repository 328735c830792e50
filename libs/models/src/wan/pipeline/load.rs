//! Reading a whole model.

use std::cell::OnceCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use super::fitting::Budget;
use super::{Surroundings, WanPipeline};
use crate::card::ModelCard;
use crate::error::{LoadError, panic_message};
use crate::request::LoadOptions;
use crate::wan::Parts;

impl WanPipeline {
    /// Loads a model folder that has a `kinora.json`.
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
    let mut parts = Parts::open(folder, options)?;
    let config = parts.config().clone();
    let card = ModelCard::read_with(folder, &config)?;
    let family = config.family();
    if card.family != family.name() {
        let reason = format!(
            "the family is {}, but the networks are those of {family}",
            card.family
        );
        return Err(LoadError::config(&folder.join("kinora.json"), reason));
    }
    // Clips with a guessed shift would come out wrong without a word.
    if let (Some(path), None) = (parts.missing_scheduler(), card.defaults.shift) {
        return Err(LoadError::Missing { path });
    }
    let budget = Budget::new(&config, &card, options);
    parts.set_residency(budget.residency());
    Ok(WanPipeline {
        text: parts.text_encoder()?,
        image_encoder: parts.image_encoder()?,
        transformer: parts.transformer()?,
        vae: parts.vae()?,
        digests: parts.digests()?,
        device: parts.device(),
        config,
        card,
        budget,
        surroundings: Surroundings::of(options),
        preview: OnceCell::new(),
    })
}
