//! Who a service is to its peers: a certificate with a SPIFFE id, from three files.
//!
//! `tls.crt`, `tls.key` and `ca.crt` lie in one folder, as cert-manager's csi-driver-spiffe mounts them. Every
//! connection of the mesh is mutual TLS 1.3 with them: the server takes callers of its own trust domain and namespace,
//! the client the one service that it means to call. Host names prove nothing here and are not looked at.
//!
//! The files are read again every two seconds. Handshakes go by the newest good set, in which `ca.crt` may have several
//! authorities while one follows the other; connections that are open stay open. A set that is broken is logged, and the
//! one before it stays in use.

#[cfg(feature = "authority")]
pub mod authority;
mod certificate;
mod error;
#[cfg(feature = "authority")]
mod folder;
mod material;
mod reload;
mod verify;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use clap::Args;
use humantime::format_rfc3339_seconds;
use parking_lot::RwLock;
use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, ServerConfig};

pub(crate) use self::certificate::{ServiceCertificate, validity_of};
pub use self::error::{CertificateError, IdentityError};
#[cfg(feature = "authority")]
pub use self::folder::IdentityFiles;
pub use self::material::{AUTHORITIES, CERTIFICATE, KEY};
use self::material::{Files, Material};
pub(crate) use self::material::{certified_key, check_dates};
pub(crate) use self::reload::{Reloaded, keep};
use crate::MeshError;
use crate::workload::Workload;

/// Where a service finds out who it is.
#[derive(Args, Clone, Debug)]
pub struct IdentityOptions {
    /// Folder with this service's certificate (tls.crt), its key (tls.key) and the authorities that the services of the
    /// mesh trust (ca.crt), all in PEM form. They are read again when they change.
    #[arg(long, env = "KINORA_IDENTITY_DIR")]
    pub identity_dir: PathBuf,
}

/// A service's identity, kept up to date for as long as a clone of it is alive.
#[derive(Clone)]
pub struct Identity {
    current: Arc<Current>,
}

/// What handshakes go by.
pub(crate) struct Current {
    workload: Workload,
    material: RwLock<Arc<Material>>,
    provider: Arc<CryptoProvider>,
}

impl Identity {
    /// Reads the files, and goes on reading them in the background.
    ///
    /// # Errors
    /// [`MeshError::Identity`], which names the file and what is wrong with it.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn load(options: &IdentityOptions) -> Result<Self, MeshError> {
        Self::of_folder(&options.identity_dir)
    }

    /// As [`Identity::load`].
    ///
    /// # Errors
    /// As [`Identity::load`].
    ///
    /// # Panics
    /// As [`Identity::load`].
    pub fn of_folder(folder: &Path) -> Result<Self, MeshError> {
        let files = Files::read(folder).map_err(MeshError::Identity)?;
        let identity = Self::check(folder, &files)?;
        tracing::info!(
            workload = %identity.workload(),
            ends = %format_rfc3339_seconds(identity.ends()),
            "this service's certificate"
        );
        tokio::spawn(reload::keep(
            Arc::downgrade(&identity.current),
            folder.to_owned(),
            files,
        ));
        Ok(identity)
    }

    /// Takes an identity that lies in no folder and never changes, for tests.
    ///
    /// # Errors
    /// As [`Identity::load`].
    #[cfg(feature = "authority")]
    pub fn of_files(files: &IdentityFiles) -> Result<Self, MeshError> {
        Self::check(Path::new(""), &Files::from(files))
    }

    fn check(folder: &Path, files: &Files) -> Result<Self, MeshError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let material = Material::check(folder, files, &provider).map_err(MeshError::Identity)?;
        let current = Current {
            workload: material.certificate.workload.clone(),
            material: RwLock::new(Arc::new(material)),
            provider,
        };
        let current = Arc::new(current);
        Ok(Self { current })
    }

    /// This service.
    #[must_use]
    pub fn workload(&self) -> &Workload {
        &self.current.workload
    }

    /// When the certificate ends that is shown now.
    #[must_use]
    pub fn ends(&self) -> SystemTime {
        self.current.material().certificate.ends
    }

    /// TLS of connections that are accepted.
    pub(crate) fn server_config(&self) -> Result<ServerConfig, MeshError> {
        verify::server_config(&self.current).map_err(MeshError::Identity)
    }

    /// TLS of connections to `service`.
    pub(crate) fn client_config(&self, service: &str) -> Result<ClientConfig, MeshError> {
        verify::client_config(&self.current, service).map_err(MeshError::Identity)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Identity").field(self.workload()).finish()
    }
}

impl Current {
    fn material(&self) -> Arc<Material> {
        Arc::clone(&self.material.read())
    }
}
