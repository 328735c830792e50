//! Mails as files, for one machine: who reads the folder is who gets them.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::CarryError;
use crate::store::entity::people::mail;

/// A folder of mails.
pub(super) struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Opens a folder, and makes it for its owner only when it is missing.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        tracing::info!(folder = %path.display(), "mails are not sent, but written into a folder");
        Ok(Self {
            path: path.to_owned(),
        })
    }

    /// Writes a mail: all of it, or nothing. Once more puts it in the same file.
    ///
    /// # Errors
    /// [`CarryError::Folder`].
    pub(super) async fn write(&self, mail: &mail::Model, text: Vec<u8>) -> Result<(), CarryError> {
        let name = format!("{}-{}", mail.create_time.format("%Y%m%dT%H%M%SZ"), mail.id);
        let file = self.path.join(format!("{name}.eml"));
        let partial = self.path.join(format!(".{name}.partial"));
        let (folder, written) = (self.path.clone(), file.clone());
        let writing = tokio::task::spawn_blocking(move || {
            write_private(&partial, &text)?;
            std::fs::rename(&partial, &written)?;
            // The row goes after this, so the name has to last, too.
            File::open(folder)?.sync_all()
        });
        let outcome = writing.await.map_err(io::Error::other).flatten();
        outcome.map_err(CarryError::Folder)?;
        tracing::info!(file = %file.display(), "a mail was written");
        Ok(())
    }
}

fn write_private(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(path)?;
    file.write_all(text)?;
    file.sync_all()
}
