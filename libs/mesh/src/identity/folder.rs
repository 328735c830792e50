//! Writing identities as Kubernetes does: a set at a time, never half of one.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, symlink};
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::error::IdentityError;
use super::material::{AUTHORITIES, CERTIFICATE, KEY};
use crate::MeshError;

/// The link to the set in use.
const CURRENT: &str = "..data";

/// The three files of an identity, in PEM form.
#[derive(Clone)]
pub struct IdentityFiles {
    /// The service's certificate, and the intermediate ones after it.
    pub certificates: String,
    /// Its key.
    pub key: String,
    /// The authorities that are trusted.
    pub authorities: String,
}

impl IdentityFiles {
    /// Writes the three into `folder`, which is made when it is missing, for its owner only. Whoever reads them meanwhile
    /// sees the old three or the new three.
    ///
    /// # Errors
    /// [`MeshError::Identity`] with the file that cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), MeshError> {
        self.write_set(folder).map_err(MeshError::Identity)
    }

    fn write_set(&self, folder: &Path) -> Result<(), IdentityError> {
        make_private(folder)?;
        let set = format!("..{}", Uuid::now_v7().simple());
        make_private(&folder.join(&set))?;
        for (name, text) in [
            (CERTIFICATE, &self.certificates),
            (KEY, &self.key),
            (AUTHORITIES, &self.authorities),
        ] {
            let path = folder.join(&set).join(name);
            write_private(&path, text.as_bytes()).map_err(unwritable(path))?;
        }
        link(&set, &folder.join(CURRENT))?;
        for name in [CERTIFICATE, KEY, AUTHORITIES] {
            link(&format!("{CURRENT}/{name}"), &folder.join(name))?;
        }
        remove_others(folder, &set).map_err(unwritable(folder.to_owned()))
    }
}

/// Makes a folder that only its owner can read, and those above it.
pub(super) fn make_private(folder: &Path) -> Result<(), IdentityError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(unwritable(folder.to_owned()))
}

fn unwritable(path: PathBuf) -> impl FnOnce(io::Error) -> IdentityError {
    move |source| IdentityError::Unwritable { path, source }
}

fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Makes `at` a link to `target`, whatever it was before, in one step.
fn link(target: &str, at: &Path) -> Result<(), IdentityError> {
    if std::fs::read_link(at).is_ok_and(|found| found == Path::new(target)) {
        return Ok(());
    }
    let new = at.with_file_name(format!("..{}", Uuid::now_v7().simple()));
    symlink(target, &new)
        .and_then(|()| std::fs::rename(&new, at))
        .map_err(unwritable(at.to_owned()))
}

/// Removes the sets that were in use before.
fn remove_others(folder: &Path, set: &str) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let is_set = name.to_str().is_some_and(|name| {
            let id = name.strip_prefix("..");
            name != set && id.is_some_and(|id| Uuid::try_parse(id).is_ok())
        });
        if is_set && entry.file_type()?.is_dir() {
            std::fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}
