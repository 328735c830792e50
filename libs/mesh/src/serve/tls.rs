//! The certificate of a public port, read again when its files change.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use clap::Args;
use humantime::format_rfc3339_seconds;
use parking_lot::RwLock;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::MeshError;
use crate::identity::{IdentityError, Reloaded, certified_key, check_dates, keep, validity_of};

/// The protocols over these connections, the better one first.
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Where a public port has its certificate from.
#[derive(Args, Clone, Debug, Default)]
pub struct TlsOptions {
    /// The certificate that clients are shown, and the intermediate ones after it, in PEM form. Read again when it
    /// changes. Without one the port speaks plain HTTP, for a proxy in front of it that has the certificate.
    #[arg(long, env = "KINORA_TLS_CERT", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// The key of that certificate, in PEM form. Read again when it changes.
    #[arg(long, env = "KINORA_TLS_KEY", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
}

/// A certificate that is shown to clients, kept up to date for as long as a clone of it is alive.
#[derive(Clone)]
pub struct ServerCertificate {
    shown: Arc<Shown>,
}

/// What handshakes go by.
struct Shown {
    current: RwLock<Current>,
    provider: Arc<CryptoProvider>,
}

struct Current {
    key: Arc<CertifiedKey>,
    validity: (SystemTime, SystemTime),
}

/// The two files as they were read.
#[derive(PartialEq, Eq)]
struct Files {
    certificates: Vec<u8>,
    key: Vec<u8>,
}

#[derive(Clone)]
struct Place {
    certificates: PathBuf,
    key: PathBuf,
}

impl ServerCertificate {
    /// Reads the files, and goes on reading them in the background. None when the options name none.
    ///
    /// # Errors
    /// [`MeshError::Tls`], which names the file and what is wrong with it.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn load(options: &TlsOptions) -> Result<Option<Self>, MeshError> {
        let (Some(certificates), Some(key)) = (&options.tls_cert, &options.tls_key) else {
            return Ok(None);
        };
        let place = Place {
            certificates: certificates.clone(),
            key: key.clone(),
        };
        let files = Shown::read(&place).map_err(MeshError::Tls)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let current = Current::check(&place, &files, &provider).map_err(MeshError::Tls)?;
        tracing::info!(ends = %format_rfc3339_seconds(current.validity.1), "the certificate of this port");
        let shown = Arc::new(Shown {
            current: RwLock::new(current),
            provider,
        });
        tokio::spawn(keep(Arc::downgrade(&shown), place, files));
        Ok(Some(Self { shown }))
    }

    /// TLS 1.2 and 1.3, for HTTP/2 and HTTP/1.1.
    pub(super) fn config(&self) -> Result<ServerConfig, MeshError> {
        let shown = &self.shown;
        let config = ServerConfig::builder_with_provider(Arc::clone(&shown.provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| MeshError::Tls(IdentityError::Tls(error)))?;
        let resolver: Arc<Shown> = Arc::clone(shown);
        let mut config = config.with_no_client_auth().with_cert_resolver(resolver);
        config.alpn_protocols = ALPN.map(<[u8]>::to_vec).to_vec();
        Ok(config)
    }
}

impl Current {
    fn check(
        place: &Place,
        files: &Files,
        provider: &CryptoProvider,
    ) -> Result<Self, IdentityError> {
        let path = place.certificates.as_path();
        let key = certified_key(
            (path, &files.certificates),
            (&place.key, &files.key),
            provider,
        )?;
        let own = key.end_entity_cert().map_err(IdentityError::Tls)?;
        let validity = validity_of(own).map_err(|source| IdentityError::Certificate {
            path: path.to_owned(),
            source,
        })?;
        check_dates(path, validity.0, validity.1)?;
        Ok(Self { key, validity })
    }
}

impl Reloaded for Shown {
    type Place = Place;
    type Files = Files;

    fn read(place: &Place) -> Result<Files, IdentityError> {
        let read = |path: &Path| {
            std::fs::read(path).map_err(|source| IdentityError::Unreadable {
                path: path.to_owned(),
                source,
            })
        };
        Ok(Files {
            certificates: read(&place.certificates)?,
            key: read(&place.key)?,
        })
    }

    fn take_over(&self, place: &Place, files: &Files) -> Result<(), IdentityError> {
        // Between two files that are written one after the other the key is another certificate's: the old pair stays
        // until the new one is whole.
        *self.current.write() = Current::check(place, files, &self.provider)?;
        Ok(())
    }

    fn validity(&self) -> (SystemTime, SystemTime) {
        self.current.read().validity
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read().key))
    }
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shown").finish_non_exhaustive()
    }
}

impl fmt::Debug for ServerCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerCertificate").finish_non_exhaustive()
    }
}
