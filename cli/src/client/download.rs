//! Fetching a clip: beside its target first, checked, and only then under its name.

use std::fs::{File, Permissions};
use std::io::{ErrorKind, Read, Seek, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kinora_media::MAX_STILL_BYTES;
use reqwest::Method;
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

use super::view::VideoOutputs;
use super::{Api, ApiError, CALL_TIMEOUT, segment};

const ATTEMPTS: u32 = 4;
const PAUSE: Duration = Duration::from_secs(1);
/// A manifest has some kilobytes.
const MAX_MANIFEST_BYTES: usize = 4 << 20;
const SILENCE: Duration = Duration::from_secs(30);

/// A place for a clip, taken before the clip is made. Dropping it leaves nothing behind.
#[derive(Debug)]
pub struct Target {
    path: PathBuf,
    partial: NamedTempFile,
}

impl Target {
    /// Takes the place, so that a folder which cannot be written is noticed before any work is done.
    ///
    /// # Errors
    ///
    /// [`ApiError::Local`] naming the folder or the file.
    pub fn prepare(path: &Path) -> Result<Self, ApiError> {
        if path.is_dir() {
            return Err(ApiError::Local(format!(
                "{} is a folder; name a file",
                path.display()
            )));
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let folder = folder_of(path);
        let partial = tempfile::Builder::new()
            .prefix(&format!(".{name}."))
            .suffix(".partial")
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(folder)
            .map_err(|error| unwritable(folder, &error))?;
        Ok(Self {
            path: path.to_owned(),
            partial,
        })
    }

    /// Fills the place with what there is to read.
    ///
    /// # Errors
    ///
    /// [`ApiError::Local`] naming the file.
    pub fn save(mut self, source: &mut dyn Read) -> Result<PathBuf, ApiError> {
        let path = self.path.clone();
        std::io::copy(source, self.partial.as_file_mut())
            .and_then(|_| self.finish())
            .map_err(|error| local(&path, &error))
    }

    /// Adds to what is there.
    ///
    /// # Errors
    ///
    /// [`ApiError::Local`] naming the file.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), ApiError> {
        let written = self.partial.as_file_mut().write_all(bytes);
        written.map_err(|error| local(&self.path, &error))
    }

    /// Keeps what was added under the name that was asked for.
    ///
    /// # Errors
    ///
    /// [`ApiError::Local`] naming the file.
    pub fn keep(self) -> Result<PathBuf, ApiError> {
        let path = self.path.clone();
        self.finish().map_err(|error| local(&path, &error))
    }

    /// Forgets what a failed attempt wrote.
    fn rewind(&mut self) -> std::io::Result<()> {
        let file = self.partial.as_file_mut();
        file.rewind()?;
        file.set_len(0)
    }

    /// Makes the clip durable under its name, in one step.
    fn finish(self) -> std::io::Result<PathBuf> {
        self.partial.as_file().sync_all()?;
        self.partial
            .persist(&self.path)
            .map_err(|error| error.error)?;
        File::open(folder_of(&self.path))?.sync_all()?;
        Ok(self.path)
    }
}

impl Api {
    /// Saves a completed job's clip, checked against its size and sum. Broken transfers are begun again.
    ///
    /// # Errors
    ///
    /// [`ApiError`].
    pub async fn download(
        &self,
        outputs: &VideoOutputs,
        mut target: Target,
    ) -> Result<PathBuf, ApiError> {
        let mut attempt = 1;
        while let Err(error) = self.fetch(outputs, &mut target).await {
            if attempt == ATTEMPTS || matches!(error, ApiError::Local(_)) {
                return Err(error);
            }
            tracing::debug!(%error, attempt, "the transfer is begun again");
            attempt += 1;
            tokio::time::sleep(PAUSE).await;
        }
        let path = target.path.clone();
        target.finish().map_err(|error| local(&path, &error))
    }

    /// Reads the manifest of a completed job.
    ///
    /// # Errors
    ///
    /// [`ApiError`].
    pub async fn manifest(&self, id: &str) -> Result<Vec<u8>, ApiError> {
        self.object(id, "manifest", MAX_MANIFEST_BYTES).await
    }

    /// Reads the frame of a completed job that has a single one, a PNG.
    ///
    /// # Errors
    ///
    /// [`ApiError`].
    pub async fn still(&self, id: &str) -> Result<Vec<u8>, ApiError> {
        self.object(id, "still", MAX_STILL_BYTES).await
    }

    async fn object(&self, id: &str, name: &str, most: usize) -> Result<Vec<u8>, ApiError> {
        let path = format!("/v1/videos/{}/{name}", segment(id));
        let request = self.request(Method::GET, &path).timeout(CALL_TIMEOUT);
        let mut response = self.send(request).await?;
        let mut bytes = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|e| self.unreachable(&e))? {
            bytes.extend_from_slice(&piece);
            if bytes.len() > most {
                return Err(ApiError::Protocol(format!("the {name} is too large")));
            }
        }
        Ok(bytes)
    }

    async fn fetch(&self, outputs: &VideoOutputs, target: &mut Target) -> Result<(), ApiError> {
        target
            .rewind()
            .map_err(|error| local(&target.path, &error))?;
        let asking = self.send(self.request(Method::GET, &outputs.content_url));
        let answer = tokio::time::timeout(SILENCE, asking).await;
        let stalled = || ApiError::Protocol("nothing was answered".to_owned());
        let mut response = answer.map_err(|_| stalled())??;
        let mut sum = Sha256::new();
        let mut bytes = 0;
        loop {
            let piece = tokio::time::timeout(SILENCE, response.chunk()).await;
            let piece = piece.map_err(|_| ApiError::Protocol("the transfer stalled".to_owned()))?;
            let Some(piece) = piece.map_err(|error| self.unreachable(&error))? else {
                break;
            };
            sum.update(&piece);
            bytes += piece.len() as u64;
            let file = target.partial.as_file_mut();
            file.write_all(&piece)
                .map_err(|error| local(&target.path, &error))?;
        }
        check(outputs, bytes, &hex::encode(sum.finalize()))
    }
}

fn check(outputs: &VideoOutputs, bytes: u64, sha256: &str) -> Result<(), ApiError> {
    if bytes == outputs.bytes && sha256 == outputs.sha256 {
        return Ok(());
    }
    let expected = outputs.bytes;
    let text = format!("the clip arrived damaged: {bytes} of {expected} bytes, SHA-256 {sha256}");
    Err(ApiError::Protocol(text))
}

fn folder_of(path: &Path) -> &Path {
    path.parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

fn unwritable(folder: &Path, error: &std::io::Error) -> ApiError {
    let folder = folder.display();
    ApiError::Local(match error.kind() {
        ErrorKind::NotFound => format!("there is no folder {folder}"),
        ErrorKind::PermissionDenied => format!("the folder {folder} may not be written"),
        _ => format!("cannot write into {folder}: {error}"),
    })
}

fn local(path: &Path, error: &std::io::Error) -> ApiError {
    ApiError::Local(format!("{} cannot be written: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_cannot_be_written_is_named_at_once() {
        let error = Target::prepare(Path::new("/nowhere/clip.mp4")).unwrap_err();
        assert!(error.to_string().contains("/nowhere"), "{error}");
        assert!(Target::prepare(Path::new("/")).is_err());
    }

    #[test]
    fn a_target_that_is_given_up_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();
        drop(Target::prepare(&root.path().join("clip.mp4")).unwrap());
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_is_added_is_there_under_the_name_once_it_is_kept() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("usage.csv");
        let mut target = Target::prepare(&path).unwrap();
        target.append(b"day,").unwrap();
        target.append(b"model").unwrap();
        assert!(!path.exists());
        assert_eq!(target.keep().unwrap(), path);
        assert_eq!(std::fs::read(&path).unwrap(), b"day,model");
    }

    #[test]
    fn a_finished_target_is_an_ordinary_file() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("clip.mp4");
        let target = Target::prepare(&path).unwrap();
        assert_eq!(target.save(&mut &b"clip"[..]).unwrap(), path);
        assert_eq!(std::fs::read(&path).unwrap(), b"clip");
        assert_ne!(path.metadata().unwrap().permissions().mode() & 0o044, 0);
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 1);
    }
}
