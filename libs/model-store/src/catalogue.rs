//! What models there are: a TOML file that is compiled in, and files of the operator merged over it.

use std::collections::BTreeMap;

use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::card::{Card, CardDefaults, CardLimits};
use crate::relative_path::RelativePath;

const BUILT_IN: &str = include_str!("../catalogue.toml");

/// Models by id.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Catalogue {
    models: BTreeMap<String, ModelEntry>,
}

/// Why a catalogue is not taken.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    /// It is no TOML of the right shape.
    #[error("{origin} is not a catalogue: {reason}")]
    Syntax {
        /// The file.
        origin: String,
        /// What the parser says, with line and column.
        reason: String,
    },
    /// A model contradicts itself.
    #[error("{origin}: model `{id}`: {reason}")]
    Model {
        /// The file.
        origin: String,
        /// The model.
        id: String,
        /// What is wrong.
        reason: String,
    },
}

/// A model that can be pulled.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelEntry {
    /// Name in requests and of the folder. It is the key of the table, not a field.
    #[serde(skip)]
    pub id: String,
    /// Name for people.
    pub title: String,
    /// The family whose pipeline runs it, such as `wan-t2v`.
    pub family: String,
    /// The terms of the weights.
    pub licence: Licence,
    /// Where the files are.
    pub source: Source,
    /// What the model takes.
    pub needs: Needs,
    /// What a request gets that says nothing.
    pub defaults: CardDefaults,
    /// How far a request may go.
    pub limits: CardLimits,
    /// The files, none twice.
    pub files: Vec<FileEntry>,
}

/// The terms of the weights.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Licence {
    /// SPDX expression where there is one, else a name.
    pub spdx: String,
    /// Where the terms can be read.
    pub url: String,
    /// Whether the operator must accept them before a pull and before a load.
    #[serde(default)]
    pub accept: bool,
    /// What the operator accepts, in words, shown before it is accepted.
    #[serde(default)]
    pub text: String,
}

/// Where the files of a model are: `<hub>/<repo>/resolve/<revision>/<path>`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Base URL of the hub.
    pub hub: String,
    /// Owner and name.
    pub repo: String,
    /// Commit; a name such as `main` is taken, and then not the same files tomorrow.
    pub revision: String,
}

/// What a model takes, to plan with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Needs {
    /// Bytes of all files.
    pub download_bytes: u64,
    /// Bytes of all weights when they are loaded as bfloat16, rounded.
    pub weights_bytes_bf16: u64,
}

/// A file of a model.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Its path in the repository and in the model's folder.
    pub path: RelativePath,
    /// Bytes, where published.
    #[serde(default)]
    pub size: Option<u64>,
    /// SHA-256 in hex, where published. Never made up: a file without one is trusted when it is first seen.
    #[serde(default)]
    pub sha256: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    models: BTreeMap<String, ModelEntry>,
}

impl Catalogue {
    /// The catalogue that comes with the program.
    ///
    /// # Errors
    ///
    /// [`CatalogueError`] never for a program that passed its tests.
    pub fn built_in() -> Result<Self, CatalogueError> {
        Self::parse("the built-in catalogue", BUILT_IN)
    }

    /// Reads a catalogue; `origin` names it in errors.
    ///
    /// # Errors
    ///
    /// [`CatalogueError`].
    pub fn parse(origin: &str, text: &str) -> Result<Self, CatalogueError> {
        let document: Document = toml::from_str(text).map_err(|error| CatalogueError::Syntax {
            origin: origin.to_owned(),
            reason: error.to_string(),
        })?;
        let mut models = document.models;
        for (id, entry) in &mut models {
            id.clone_into(&mut entry.id);
            entry.check().map_err(|reason| CatalogueError::Model {
                origin: origin.to_owned(),
                id: id.clone(),
                reason,
            })?;
        }
        Ok(Self { models })
    }

    /// This catalogue with the models of another, which win where both have one.
    #[must_use]
    pub fn merged(mut self, other: Self) -> Self {
        self.models.extend(other.models);
        self
    }

    /// The model of that name.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&ModelEntry> {
        self.models.get(id)
    }

    /// The models in order of their names.
    pub fn models(&self) -> impl Iterator<Item = &ModelEntry> {
        self.models.values()
    }
}

impl ModelEntry {
    /// The card that a pull writes.
    #[must_use]
    pub fn card(&self) -> Card {
        Card {
            id: self.id.clone(),
            family: self.family.clone(),
            title: self.title.clone(),
            licence: self.licence.spdx.clone(),
            defaults: self.defaults.clone(),
            limits: self.limits.clone(),
        }
    }

    /// The entry of a file.
    #[must_use]
    pub fn file(&self, path: &RelativePath) -> Option<&FileEntry> {
        self.files.iter().find(|file| file.path == *path)
    }

    fn check(&self) -> Result<(), String> {
        if !is_model_id(&self.id) {
            return Err("the id must be 1 to 64 of a-z, 0-9, '.', '_', '-', begin with a letter or digit, and not end in .part or .lock".to_owned());
        }
        if self.files.is_empty() {
            return Err("it has no files".to_owned());
        }
        self.check_files()?;
        self.source.check()?;
        self.card().objection().map_or(Ok(()), Err)
    }

    fn check_files(&self) -> Result<(), String> {
        let mut known_bytes = 0_u64;
        let mut seen = std::collections::BTreeSet::new();
        for file in &self.files {
            let is_digest = file.sha256.as_deref().is_none_or(is_sha256);
            if !is_digest {
                return Err(format!(
                    "sha256 of {} is not 64 hex digits in lower case",
                    file.path
                ));
            }
            if !seen.insert(&file.path) {
                return Err(format!("{} is listed twice", file.path));
            }
            known_bytes = known_bytes.saturating_add(file.size.unwrap_or(0));
        }
        let declared = self.needs.download_bytes;
        let all_known = self.files.iter().all(|file| file.size.is_some());
        if declared < known_bytes || (all_known && declared != known_bytes) {
            return Err(format!(
                "download_bytes is {declared}, its files have {known_bytes}"
            ));
        }
        Ok(())
    }
}

impl Licence {
    /// Digest of the terms, so that an acceptance is of these terms and no later ones.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut hasher = Sha256::new();
        for part in [&self.spdx, &self.url, &self.text] {
            hasher.update(part.as_bytes());
            hasher.update([0]);
        }
        hex::encode(hasher.finalize())
    }
}

impl Source {
    fn check(&self) -> Result<(), String> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let is_name = |name: &str| {
            !name.is_empty() && name != "." && name != ".." && name.chars().all(is_plain)
        };
        let is_repo = self.repo.split('/').count() == 2 && self.repo.split('/').all(is_name);
        if !is_repo {
            return Err(format!("`{}` is not owner/name", self.repo));
        }
        if !is_name(&self.revision) {
            return Err(format!("`{}` is not a revision", self.revision));
        }
        crate::origin::check_hub(&self.hub)
    }
}

/// Whether a name can be a model's: it becomes a folder beside `<id>.part` and `<id>.lock`.
pub(crate) fn is_model_id(id: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
    let begins = id.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    begins
        && id.len() <= 64
        && id.chars().all(is_plain)
        && !id.ends_with(".part")
        && !id.ends_with(".lock")
}

/// Whether a text is a SHA-256 in lower-case hex.
pub(crate) fn is_sha256(text: &str) -> bool {
    text.len() == 64
        && text
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

#[cfg(test)]
mod tests;
