//! The store of models that a command line names.

use anyhow::Context;
use kinora_model_store::{Catalogue, Store, StoreError};

use crate::arguments::{Folders, StoreArguments};
use crate::exit::{Failure, Status};

/// The folder of models in the data folder, when no other is named.
const DEFAULT_FOLDER: &str = "models";

impl StoreArguments {
    /// The store, with the built-in catalogue and those that are named.
    ///
    /// # Errors
    ///
    /// When there is no folder for it, or a catalogue cannot be read.
    pub fn open(&self, folders: &Folders) -> anyhow::Result<Store> {
        let root = match &self.model_store {
            Some(root) => root.clone(),
            None => folders.data_dir()?.join(DEFAULT_FOLDER),
        };
        let mut catalogue = Catalogue::built_in()?;
        for path in &self.catalogue {
            let name = path.display().to_string();
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("the catalogue {name} cannot be read"))?;
            catalogue = catalogue.merged(Catalogue::parse(&name, &text)?);
        }
        Ok(Store::new(root, catalogue))
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let status = match &error {
            StoreError::UnknownModel(_)
            | StoreError::NotInstalled { .. }
            | StoreError::LicenceNotAccepted { .. }
            | StoreError::Offline { .. } => Status::Usage,
            StoreError::Locked(_)
            | StoreError::FolderInTheWay { .. }
            | StoreError::LinkedFolder(_)
            | StoreError::NoLocks { .. }
            | StoreError::NotEnoughSpace { .. }
            | StoreError::VolumeFull { .. }
            | StoreError::Io { .. }
            | StoreError::DigestMismatch { .. }
            | StoreError::SizeMismatch { .. }
            | StoreError::Refused { .. }
            | StoreError::Unreachable { .. }
            | StoreError::Client(_)
            | StoreError::Internal(_) => Status::Failed,
        };
        Self::new(status, error)
    }
}
