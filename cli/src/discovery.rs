//! Finding what a local mesh needs on this machine: its data folder, models, and ffmpeg.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use kinora_model_store::check_licence;
use kinora_models::ModelCard;
use serde::Deserialize;
use tokio::process::Command;

use crate::arguments::{Folders, PlaceArguments};

/// The file that makes a folder a model.
const MODEL_CARD: &str = "kinora.json";

/// A model on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalModel {
    /// Its name, from its card.
    pub id: String,
    /// Its folder.
    pub folder: PathBuf,
}

#[derive(Deserialize)]
struct Card {
    id: String,
}

impl Folders {
    /// The data folder.
    ///
    /// # Errors
    ///
    /// When none is named and there is no home to put it in.
    pub fn data_dir(&self) -> anyhow::Result<PathBuf> {
        if let Some(folder) = &self.data_dir {
            return Ok(folder.clone());
        }
        let base = self.base(self.xdg_data_home.as_ref(), ".local/share");
        let base = base.context("no folder for data: set --data-dir or HOME")?;
        Ok(base.join("kinora"))
    }

    fn cache_dir(&self) -> Option<PathBuf> {
        Some(
            self.base(self.xdg_cache_home.as_ref(), ".cache")?
                .join("kinora"),
        )
    }

    /// Relative XDG folders count for nothing, as their specification says.
    fn base(&self, xdg: Option<&PathBuf>, under_home: &str) -> Option<PathBuf> {
        let xdg = xdg.filter(|folder| folder.is_absolute()).cloned();
        xdg.or_else(|| Some(self.home.as_ref()?.join(under_home)))
    }
}

impl PlaceArguments {
    /// The models to offer: those of the named folders, in order of their names within a folder, then those of the
    /// store. A model of the store that cannot be offered is left out with a warning: it was not asked for by name.
    ///
    /// # Errors
    ///
    /// When there is none, saying where it was looked for, or a card cannot be read.
    pub fn find_models(&self, folders: &Folders) -> anyhow::Result<Vec<LocalModel>> {
        let pulled = self.pulled_models(folders)?;
        let mut models = self.models_in_folders(pulled.is_empty())?;
        for model in pulled {
            if models.iter().all(|other| other.id != model.id) {
                models.push(model);
            }
        }
        Ok(models)
    }

    fn pulled_models(&self, folders: &Folders) -> anyhow::Result<Vec<LocalModel>> {
        let store = self.store.open(folders)?;
        let mut models = Vec::new();
        for model in store.models()? {
            let usable = store.open_model(&model.id).map_err(anyhow::Error::from);
            match usable.and_then(|folder| Ok((ModelCard::read(&folder)?, folder))) {
                Ok((card, folder)) => models.push(LocalModel {
                    id: card.id,
                    folder,
                }),
                Err(error) => {
                    tracing::warn!(
                        model = model.id,
                        error = format!("{error:#}"),
                        "a pulled model is not offered"
                    );
                }
            }
        }
        Ok(models)
    }

    fn models_in_folders(&self, is_needed: bool) -> anyhow::Result<Vec<LocalModel>> {
        let places = if self.models.is_empty() {
            default_model_places()
        } else {
            self.models.clone()
        };
        let mut models = Vec::new();
        for place in &places {
            let found = models_in(place)?;
            let is_default = self.models.is_empty();
            if found.is_empty() && !is_default {
                bail!(
                    "no model in {}: it has no {MODEL_CARD}, and no folder in it has one",
                    place.display()
                );
            }
            models.extend(found);
            if is_default && !models.is_empty() {
                break;
            }
        }
        if models.is_empty() && is_needed {
            let places: Vec<String> = places
                .iter()
                .map(|place| place.display().to_string())
                .collect();
            bail!(
                "no model found in {}; name its folder with --models, or fetch one with `kinora models pull`",
                places.join(", ")
            );
        }
        Ok(models)
    }

    /// An ffmpeg that can encode: the named one, else the one on the PATH, else the one in the cache.
    ///
    /// # Errors
    ///
    /// When none of them works.
    pub async fn find_ffmpeg(&self, folders: &Folders) -> anyhow::Result<PathBuf> {
        if let Some(program) = &self.ffmpeg {
            check_ffmpeg(program).await?;
            return Ok(program.clone());
        }
        let mut candidates = vec![PathBuf::from("ffmpeg")];
        candidates.extend(
            folders
                .cache_dir()
                .map(|cache| fetched_ffmpegs(&cache))
                .unwrap_or_default(),
        );
        for program in candidates {
            if check_ffmpeg(&program).await.is_ok() {
                return Ok(program);
            }
        }
        bail!("no ffmpeg with libx264 found; run `make setup`, or name one with --ffmpeg")
    }
}

/// `models` in the working folder, else beside the workspace that the program was built in.
fn default_model_places() -> Vec<PathBuf> {
    let mut places = vec![PathBuf::from("models")];
    if let Ok(program) = std::env::current_exe() {
        places.extend(
            program
                .ancestors()
                .skip(1)
                .take(4)
                .map(|folder| folder.join("models")),
        );
    }
    places
}

fn models_in(place: &Path) -> anyhow::Result<Vec<LocalModel>> {
    if let Some(model) = model_at(place)? {
        return Ok(vec![model]);
    }
    let Ok(entries) = std::fs::read_dir(place) else {
        return Ok(Vec::new());
    };
    // A download that has not ended is no model, whatever is in it.
    let is_download = |path: &PathBuf| path.extension().is_some_and(|end| end == "part");
    let paths = entries.flatten().map(|entry| entry.path());
    let mut folders: Vec<PathBuf> = paths.filter(|path| !is_download(path)).collect();
    folders.sort();
    let mut models = Vec::new();
    for folder in folders {
        models.extend(model_at(&folder)?);
    }
    Ok(models)
}

fn model_at(folder: &Path) -> anyhow::Result<Option<LocalModel>> {
    let path = folder.join(MODEL_CARD);
    if !path.is_file() {
        return Ok(None);
    }
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("{} cannot be read", path.display()))?;
    let Card { id } = serde_json::from_str(&text)
        .with_context(|| format!("{} is no model card", path.display()))?;
    check_licence(folder)?;
    Ok(Some(LocalModel {
        id,
        folder: folder.to_owned(),
    }))
}

/// Newest last in name order, so the newest is tried first.
fn fetched_ffmpegs(cache: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(cache).into_iter().flatten().flatten();
    let mut programs: Vec<PathBuf> = entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("ffmpeg-"))
        .map(|entry| entry.path().join("ffmpeg"))
        .filter(|program| program.is_file())
        .collect();
    programs.sort();
    programs.reverse();
    programs
}

async fn check_ffmpeg(program: &Path) -> anyhow::Result<()> {
    let answer = Command::new(program)
        .args(["-hide_banner", "-encoders"])
        .kill_on_drop(true)
        .output()
        .await
        .with_context(|| format!("{} does not run", program.display()))?;
    if !String::from_utf8_lossy(&answer.stdout).contains("libx264") {
        bail!(
            "{} cannot encode H.264: it has no libx264",
            program.display()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::StoreArguments;

    fn folders(home: Option<&str>, xdg: Option<&str>) -> Folders {
        Folders {
            data_dir: None,
            home: home.map(PathBuf::from),
            xdg_data_home: xdg.map(PathBuf::from),
            xdg_cache_home: None,
        }
    }

    fn places(models: Vec<PathBuf>) -> PlaceArguments {
        PlaceArguments {
            models,
            store: StoreArguments::default(),
            ffmpeg: None,
        }
    }

    #[test]
    fn data_lives_where_the_desktop_says() {
        let check = |home, xdg, expected: &str| {
            assert_eq!(
                folders(home, xdg).data_dir().unwrap(),
                PathBuf::from(expected)
            );
        };
        check(Some("/home/a"), None, "/home/a/.local/share/kinora");
        check(Some("/home/a"), Some("/data"), "/data/kinora");
        check(
            Some("/home/a"),
            Some("relative"),
            "/home/a/.local/share/kinora",
        );
        assert!(folders(None, None).data_dir().is_err());
    }

    #[test]
    fn a_model_or_a_folder_of_models_may_be_named() {
        let root = tempfile::tempdir().unwrap();
        for name in ["b", "a", "empty"] {
            std::fs::create_dir(root.path().join(name)).unwrap();
        }
        for name in ["a", "b"] {
            let card = root.path().join(name).join(MODEL_CARD);
            std::fs::write(card, format!(r#"{{"id":"{name}","family":"x"}}"#)).unwrap();
        }
        let store = Folders {
            data_dir: Some(root.path().join("data")),
            ..folders(None, None)
        };
        let ids = |place: PathBuf| {
            let models = places(vec![place]).find_models(&store).unwrap();
            models.into_iter().map(|model| model.id).collect::<Vec<_>>()
        };
        assert_eq!(ids(root.path().to_owned()), ["a", "b"]);
        assert_eq!(ids(root.path().join("b")), ["b"]);
        let missing = root.path().join("empty");
        let error = places(vec![missing.clone()])
            .find_models(&store)
            .unwrap_err()
            .to_string();
        assert!(error.contains(missing.to_str().unwrap()), "{error}");
    }

    #[tokio::test]
    async fn a_named_ffmpeg_must_work() {
        let mut places = places(Vec::new());
        places.ffmpeg = Some(PathBuf::from("/nowhere/ffmpeg"));
        let error = places.find_ffmpeg(&folders(None, None)).await.unwrap_err();
        assert!(error.to_string().contains("/nowhere/ffmpeg"));
    }
}
