//! A model folder as people download it: which files it has, and what they say of the model.
//!
//! Two layouts are known. That of diffusers has a folder and a configuration for each part. The native
//! one has all weight files side by side and one small `config.json`; what that leaves out is seen in
//! the shapes of the tensors. In both, weights may be safetensors or files of `torch.save`, and each
//! part may have the tensor names of either layout.

mod diffusers;
mod infer;
mod native;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use kinora_nn::Weights;
use tch::{Device, Kind};

use crate::config::WanConfig;
use crate::error::LoadError;
use crate::names::Part;

/// How a model folder is arranged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// `model_index.json` and a folder for each part.
    Diffusers,
    /// `config.json` of a `WanModel` and weight files beside it.
    Native,
}

/// A model folder whose files were found and whose headers were read.
#[derive(Debug)]
pub struct ModelFolder {
    folder: PathBuf,
    layout: Layout,
    config: WanConfig,
    parts: BTreeMap<Part, PartFiles>,
    tokenizer: PathBuf,
    /// Configurations, without the card.
    config_files: Vec<PathBuf>,
}

/// The weight files of one part.
#[derive(Debug)]
struct PartFiles {
    files: Vec<PathBuf>,
    weights: Weights,
}

impl Layout {
    /// Sees how a folder is arranged.
    ///
    /// # Errors
    /// `Config` if it is no model folder.
    pub fn of(folder: &Path) -> Result<Self, LoadError> {
        if diffusers::is_at(folder) {
            return Ok(Self::Diffusers);
        }
        if native::is_at(folder) {
            return Ok(Self::Native);
        }
        let reason = "this is no model folder: it has neither model_index.json nor the config.json \
                      of a WanModel";
        Err(LoadError::config(folder, reason))
    }
}

impl ModelFolder {
    /// Finds the files of a model and reads their headers and configurations.
    ///
    /// # Errors
    /// `Missing`, `Config` or `Weights`, naming the file.
    pub fn open(folder: &Path) -> Result<Self, LoadError> {
        match Layout::of(folder)? {
            Layout::Diffusers => diffusers::open(folder),
            Layout::Native => native::open(folder),
        }
    }

    /// Reads the configurations alone; headers only where the layout has no configuration.
    ///
    /// # Errors
    /// As [`ModelFolder::open`].
    pub fn read_config(folder: &Path) -> Result<WanConfig, LoadError> {
        match Layout::of(folder)? {
            Layout::Diffusers => diffusers::read_config(folder),
            Layout::Native => native::open(folder).map(|opened| opened.config),
        }
    }

    /// How the folder is arranged.
    #[must_use]
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// What the model is.
    #[must_use]
    pub fn config(&self) -> &WanConfig {
        &self.config
    }

    /// Says whether the model has a part.
    #[must_use]
    pub fn has(&self, part: Part) -> bool {
        self.parts.contains_key(&part)
    }

    /// A cursor over the weights of a part, with nothing read yet.
    ///
    /// # Errors
    /// `Weights` or `Config` if the folder has no such part.
    pub fn weights(&self, part: Part, device: Device, kind: Kind) -> Result<Weights, LoadError> {
        if let Some(files) = self.parts.get(&part) {
            return Ok(files.weights.anew(device, kind));
        }
        // A folder may lack parts that a stage does not need; whoever asks hears which file it is.
        match self.layout {
            Layout::Diffusers => {
                let files = diffusers::open_part(&self.folder, part)?;
                Ok(files.weights.anew(device, kind))
            }
            Layout::Native => {
                let reason = format!("there are no weights of the {}", part.name());
                Err(LoadError::config(&self.folder, reason))
            }
        }
    }

    /// The file that says how far the noise levels lean, where the folder should have one and has not.
    #[must_use]
    pub fn missing_scheduler(&self) -> Option<PathBuf> {
        match self.layout {
            Layout::Diffusers => diffusers::missing_scheduler(&self.folder),
            // The native programs have it in their code.
            Layout::Native => None,
        }
    }

    /// The tokenizer's file.
    #[must_use]
    pub fn tokenizer(&self) -> &Path {
        &self.tokenizer
    }

    /// All files that decide what the model generates, the card among them, sorted.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        let mut files = self.config_files.clone();
        files.push(self.folder.join("kinora.json"));
        files.push(self.tokenizer.clone());
        files.extend(self.parts.values().flat_map(|part| part.files.clone()));
        files.sort();
        files
    }
}

impl PartFiles {
    fn open(part: Part, files: Vec<PathBuf>) -> Result<Self, LoadError> {
        let maps = part.name_maps()?;
        let weights = Weights::open_files(&files, &maps, Device::Cpu, Kind::Float);
        let weights = weights.map_err(LoadError::weights(part.name()))?;
        Ok(Self { files, weights })
    }

    /// An error of the first file.
    fn error(&self, reason: impl std::fmt::Display) -> LoadError {
        let none = PathBuf::new();
        LoadError::config(self.files.first().unwrap_or(&none), reason)
    }

    /// The shape of a tensor with this many axes.
    fn shape<const AXES: usize>(&self, name: &str) -> Result<[i64; AXES], LoadError> {
        let stored = self.weights.stored_name(name);
        let shape = self.weights.shape(name);
        let shape = shape.ok_or_else(|| self.error(format!("it has no tensor {stored}")))?;
        let reason = |shape| format!("tensor {stored} has shape {shape:?}, expected {AXES} axes");
        shape
            .try_into()
            .map_err(|shape: Vec<i64>| self.error(reason(shape)))
    }

    /// How many of `name(0)`, `name(1)`, ... there are.
    fn count(&self, name: impl Fn(i64) -> String) -> i64 {
        let mut count = 0;
        while self.weights.has(&name(count)) {
            count += 1;
        }
        count
    }
}
