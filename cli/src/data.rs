//! The data folder of a local mesh: one owner at a time, nobody else reads it.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;
use kinora_accounts::ApiKey;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

const LOCK: &str = "lock";
const API_KEY: &str = "api-key";
const S3_CREDENTIALS: &str = "s3-credentials.json";
const OPERATOR: &str = "operator.json";
const BILLING: &str = "billing.json";
const OPERATOR_EMAIL: &str = "operator@kinora.local";
const MAILS: &str = "mails";
const RUNNING_MESH: &str = "mesh.json";

/// A data folder that this process owns until the value drops.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    /// Holds the lock; the system releases it with the process, however that ends.
    _lock: File,
}

/// Why a data folder cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// Another process owns it.
    #[error("a mesh is already running on the data folder {}", .0.display())]
    InUse(PathBuf),
    /// It cannot be created or written.
    #[error("the data folder {} cannot be used", path.display())]
    Unusable {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// The key pair of the embedded object store.
#[derive(Clone, Serialize, Deserialize)]
pub struct S3Credentials {
    /// Id of the key.
    pub access_key: String,
    /// Its secret.
    pub secret_key: String,
}

/// The first operator, and the key under which accounts keep secrets.
#[derive(Clone, Serialize, Deserialize)]
pub struct AccountSecrets {
    /// The address to sign in with.
    pub operator_email: String,
    /// The password, until the operator changes it.
    pub operator_password: String,
    /// 32 bytes in hexadecimal.
    pub sealing_key: String,
}

/// The key under which billing keeps the codes of vouchers.
#[derive(Clone, Serialize, Deserialize)]
struct BillingSecrets {
    /// 32 bytes in hexadecimal.
    voucher_key: String,
}

/// What a mesh that serves writes down, so that other commands find it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunningMesh {
    /// URL of its REST interface.
    pub edge_url: String,
    /// Its process.
    pub pid: u32,
}

impl DataFolder {
    /// Creates the folder when it is missing, for its owner only, and takes its lock.
    ///
    /// # Errors
    ///
    /// [`DataError`].
    pub fn open(path: &Path) -> Result<Self, DataError> {
        let unusable = |source| DataError::Unusable {
            path: path.to_owned(),
            source,
        };
        create_private(path).map_err(unusable)?;
        let path = path.canonicalize().map_err(unusable)?;
        let lock = private_file()
            .truncate(false)
            .open(path.join(LOCK))
            .map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(DataError::InUse(path)),
            Err(TryLockError::Error(source)) => Err(unusable(source)),
        }
    }

    /// The folder itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the accounts service writes its mails, which nobody sends.
    #[must_use]
    pub fn mails(&self) -> PathBuf {
        self.path.join(MAILS)
    }

    /// The API key of this mesh, made on first use.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or written.
    pub fn api_key(&self) -> anyhow::Result<String> {
        let path = api_key_file(&self.path);
        // A key of an older form opens nothing any more.
        if let Some(key) = read_api_key(&path)?.filter(|key| key.parse::<ApiKey>().is_ok()) {
            return Ok(key);
        }
        let key = ApiKey::generate()?.reveal();
        write_private(&path, format!("{key}\n").as_bytes())?;
        Ok(key)
    }

    /// What the accounts service begins with, made on first use.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or written.
    pub fn account_secrets(&self) -> anyhow::Result<AccountSecrets> {
        let path = operator_file(&self.path);
        if let Some(secrets) = read_json(&path)? {
            return Ok(secrets);
        }
        let secrets = AccountSecrets {
            operator_email: OPERATOR_EMAIL.to_owned(),
            operator_password: random_hex(),
            sealing_key: hex::encode(rand::random::<[u8; 32]>()),
        };
        write_private(&path, &serde_json::to_vec_pretty(&secrets)?)?;
        Ok(secrets)
    }

    /// The key of vouchers, 32 bytes in hexadecimal, made on first use.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or written.
    pub fn voucher_key(&self) -> anyhow::Result<String> {
        let path = self.path.join(BILLING);
        if let Some(BillingSecrets { voucher_key }) = read_json(&path)? {
            return Ok(voucher_key);
        }
        let voucher_key = hex::encode(rand::random::<[u8; 32]>());
        let secrets = BillingSecrets {
            voucher_key: voucher_key.clone(),
        };
        write_private(&path, &serde_json::to_vec_pretty(&secrets)?)?;
        Ok(voucher_key)
    }

    /// The key pair of the object store, made on first use.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or written.
    pub fn s3_credentials(&self) -> anyhow::Result<S3Credentials> {
        let path = self.path.join(S3_CREDENTIALS);
        if let Some(credentials) = read_json(&path)? {
            return Ok(credentials);
        }
        let credentials = S3Credentials {
            access_key: "kinora-local".to_owned(),
            secret_key: random_hex(),
        };
        write_private(&path, &serde_json::to_vec(&credentials)?)?;
        Ok(credentials)
    }

    /// Tells other commands where this mesh serves, until the answer drops.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn announce(&self, edge_url: &str) -> anyhow::Result<Announcement> {
        let path = self.path.join(RUNNING_MESH);
        let mesh = RunningMesh {
            edge_url: edge_url.to_owned(),
            pid: std::process::id(),
        };
        write_private(&path, &serde_json::to_vec_pretty(&mesh)?)?;
        Ok(Announcement(path))
    }
}

/// Removes the note about a running mesh when dropped.
#[derive(Debug)]
pub struct Announcement(PathBuf);

impl Drop for Announcement {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0) {
            tracing::debug!(%error, "the note about the mesh was gone");
        }
    }
}

/// The mesh that says it serves on a data folder. It may have died since; ask it.
///
/// # Errors
///
/// When the note cannot be read.
pub fn running_mesh(data_dir: &Path) -> anyhow::Result<Option<RunningMesh>> {
    read_json(&data_dir.join(RUNNING_MESH))
}

/// Where the first operator's address and password are.
#[must_use]
pub fn operator_file(data_dir: &Path) -> PathBuf {
    data_dir.join(OPERATOR)
}

/// Where the API key of a data folder is.
#[must_use]
pub fn api_key_file(data_dir: &Path) -> PathBuf {
    data_dir.join(API_KEY)
}

/// Reads an API key from a file; none when there is no such file.
///
/// # Errors
///
/// When the file is there and cannot be read.
pub fn read_api_key(path: &Path) -> anyhow::Result<Option<String>> {
    let text = read(path)?.map(|text| text.trim().to_owned());
    Ok(text.filter(|key| !key.is_empty()))
}

fn read_json<T: DeserializeOwned>(path: &Path) -> anyhow::Result<Option<T>> {
    let Some(text) = read(path)? else {
        return Ok(None);
    };
    let value = serde_json::from_str(&text);
    value
        .map(Some)
        .with_context(|| format!("{} is damaged", path.display()))
}

fn read(path: &Path) -> anyhow::Result<Option<String>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("{} cannot be read", path.display())),
    }
}

/// Writes beside the target and renames, so that a reader never sees half a file.
fn write_private(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let context = || format!("{} cannot be written", path.display());
    let partial = path.with_extension("partial");
    let mut file = private_file()
        .truncate(true)
        .open(&partial)
        .with_context(context)?;
    file.write_all(bytes)
        .and_then(|()| file.sync_all())
        .with_context(context)?;
    std::fs::rename(&partial, path).with_context(context)
}

fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).mode(0o600);
    options
}

fn create_private(path: &Path) -> std::io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    DirBuilder::new().mode(0o700).create(path)
}

fn random_hex() -> String {
    hex::encode(rand::random::<[u8; 24]>())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_new_folder_and_its_secrets_are_its_owners_only() {
        let root = tempfile::tempdir().unwrap();
        let data = DataFolder::open(&root.path().join("a/b")).unwrap();
        let key = data.api_key().unwrap();
        data.s3_credentials().unwrap();
        assert_eq!(mode(data.path()), 0o700);
        assert_eq!(mode(&api_key_file(data.path())), 0o600);
        assert_eq!(mode(&data.path().join(S3_CREDENTIALS)), 0o600);
        assert!(key.starts_with("kk_") && key.len() > 40);
    }

    #[test]
    fn secrets_stay_the_same_from_start_to_start() {
        let root = tempfile::tempdir().unwrap();
        let secrets = || {
            let data = DataFolder::open(root.path()).unwrap();
            (
                data.api_key().unwrap(),
                data.s3_credentials().unwrap().secret_key,
            )
        };
        assert_eq!(secrets(), secrets());
    }

    #[test]
    fn a_folder_has_one_owner_at_a_time() {
        let root = tempfile::tempdir().unwrap();
        let first = DataFolder::open(root.path()).unwrap();
        assert!(matches!(
            DataFolder::open(root.path()),
            Err(DataError::InUse(_))
        ));
        drop(first);
        assert!(DataFolder::open(root.path()).is_ok());
    }

    #[test]
    fn a_mesh_is_announced_as_long_as_it_serves() {
        let root = tempfile::tempdir().unwrap();
        let data = DataFolder::open(root.path()).unwrap();
        assert_eq!(running_mesh(root.path()).unwrap(), None);
        let announcement = data.announce("http://127.0.0.1:1").unwrap();
        let mesh = running_mesh(root.path()).unwrap().unwrap();
        assert_eq!(
            (mesh.edge_url.as_str(), mesh.pid),
            ("http://127.0.0.1:1", std::process::id())
        );
        drop(announcement);
        assert_eq!(running_mesh(root.path()).unwrap(), None);
    }
}
