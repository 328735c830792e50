//! What generates: the loaded models behind one synchronous trait.

use std::collections::HashMap;
use std::path::PathBuf;

use kinora_models::card::ModelCard;
use kinora_models::config::WanConfig;
use kinora_models::wan::pipeline::Forecast;
use kinora_models::{Control, GenerateError, LoadError, LoadOptions, WanPipeline};

use crate::engine::{Generated, Order};

/// Hears that a model has to be read before it can generate.
pub trait LoadObserver: Control {
    /// Reading begins.
    fn loading(&mut self);
}

/// Generates clips, one at a time, on the thread that owns it.
pub trait Backend: Send {
    /// The models that can be asked for.
    fn cards(&self) -> Vec<ModelCard>;

    /// The memory that models need and have, by id. What is not known is not in it.
    fn forecasts(&self) -> HashMap<String, Forecast> {
        HashMap::new()
    }

    /// The models whose weights are in the device's memory.
    fn residents(&self) -> Vec<String> {
        Vec::new()
    }

    /// Generates a clip.
    ///
    /// # Errors
    /// [`BackendError`], after which the backend serves the next clip as if nothing had happened.
    fn generate(
        &mut self,
        order: &Order,
        control: &mut dyn LoadObserver,
    ) -> Result<Generated, BackendError>;
}

/// A clip was not generated.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// The model is not in this worker's folders.
    #[error("this worker has no model `{0}`")]
    UnknownModel(String),
    /// The model's folder cannot be loaded.
    #[error("the model cannot be loaded")]
    Load(#[source] LoadError),
    /// The model ran and did not finish.
    #[error(transparent)]
    Generate(GenerateError),
    /// The engine thread has ended.
    #[error("the engine thread has ended")]
    EngineGone,
}

/// Model folders, of which the last one used is resident.
pub struct Folders {
    folders: Vec<(PathBuf, ModelCard)>,
    forecasts: HashMap<String, Forecast>,
    options: LoadOptions,
    resident: Option<(String, WanPipeline)>,
}

impl Folders {
    /// Reads the card of every folder; loads no weights.
    ///
    /// # Errors
    /// The first folder whose card cannot be read.
    pub fn open(folders: &[PathBuf], options: LoadOptions) -> Result<Self, LoadError> {
        let mut forecasts = HashMap::new();
        let mut read = |folder: &PathBuf| {
            let config = WanConfig::read(folder)?;
            let card = ModelCard::read_with(folder, &config)?;
            forecasts.insert(card.id.clone(), Forecast::of(&config, &card, &options));
            Ok((folder.clone(), card))
        };
        let folders = folders
            .iter()
            .map(&mut read)
            .collect::<Result<_, LoadError>>()?;
        Ok(Self {
            folders,
            forecasts,
            options,
            resident: None,
        })
    }

    /// Makes a model resident, so that its first clip does not wait.
    ///
    /// # Errors
    /// [`BackendError::UnknownModel`] or [`BackendError::Load`].
    pub fn warm(&mut self, model: &str) -> Result<(), BackendError> {
        if self.is_resident(model) {
            return Ok(());
        }
        let (folder, _) = self
            .folders
            .iter()
            .find(|(_, card)| card.id == model)
            .ok_or_else(|| BackendError::UnknownModel(model.to_owned()))?;
        // The old model goes first: two may not fit.
        self.resident = None;
        let pipeline = WanPipeline::load(folder, &self.options).map_err(BackendError::Load)?;
        tracing::info!(model, "model loaded");
        self.resident = Some((model.to_owned(), pipeline));
        Ok(())
    }

    fn is_resident(&self, model: &str) -> bool {
        self.resident.as_ref().is_some_and(|(id, _)| id == model)
    }
}

impl Backend for Folders {
    fn cards(&self) -> Vec<ModelCard> {
        self.folders.iter().map(|(_, card)| card.clone()).collect()
    }

    fn forecasts(&self) -> HashMap<String, Forecast> {
        self.forecasts.clone()
    }

    fn residents(&self) -> Vec<String> {
        self.resident.iter().map(|(id, _)| id.clone()).collect()
    }

    fn generate(
        &mut self,
        order: &Order,
        control: &mut dyn LoadObserver,
    ) -> Result<Generated, BackendError> {
        let model = &order.model;
        if !self.is_resident(model) {
            control.loading();
            self.warm(model)?;
        }
        let Some((_, pipeline)) = self.resident.as_mut() else {
            return Err(BackendError::UnknownModel(model.to_owned()));
        };
        let rendering = pipeline
            .render(&order.request, order.checkpoint.as_deref(), control)
            .map_err(BackendError::Generate)?;
        Ok(Generated {
            rendering,
            digests: pipeline.digests().to_vec(),
            surroundings: pipeline.surroundings().clone(),
        })
    }
}
