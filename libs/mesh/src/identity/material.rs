//! The three files, read and checked.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use humantime::format_rfc3339_seconds;
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::CertifiedKey;

use super::certificate::ServiceCertificate;
use super::error::IdentityError;
use super::verify::check_server_chain;

/// The service's certificate, and the intermediate ones after it.
pub const CERTIFICATE: &str = "tls.crt";
/// Its key.
pub const KEY: &str = "tls.key";
/// The authorities whose certificates are trusted.
pub const AUTHORITIES: &str = "ca.crt";

/// The files as they were read.
#[derive(PartialEq, Eq)]
pub(crate) struct Files {
    certificates: Vec<u8>,
    key: Vec<u8>,
    authorities: Vec<u8>,
}

/// An identity that can be shown, and those it trusts.
pub(super) struct Material {
    pub(super) certificate: ServiceCertificate,
    pub(super) key: Arc<CertifiedKey>,
    pub(super) roots: Arc<RootCertStore>,
    pub(super) clients: Arc<dyn ClientCertVerifier>,
}

impl Files {
    /// Reads a consistent set where the folder is swapped as a whole, as Kubernetes does it by the link `..data`.
    pub(crate) fn read(folder: &Path) -> Result<Self, IdentityError> {
        // The set behind the link may be removed between two reads; then there is a newer one.
        Self::read_once(folder).or_else(|_| Self::read_once(folder))
    }

    fn read_once(folder: &Path) -> Result<Self, IdentityError> {
        let set = folder.join("..data").canonicalize();
        let set = set.unwrap_or_else(|_| folder.to_owned());
        let read = |name: &str| {
            std::fs::read(set.join(name)).map_err(|source| IdentityError::Unreadable {
                path: folder.join(name),
                source,
            })
        };
        Ok(Self {
            certificates: read(CERTIFICATE)?,
            key: read(KEY)?,
            authorities: read(AUTHORITIES)?,
        })
    }
}

#[cfg(feature = "authority")]
impl From<&super::IdentityFiles> for Files {
    fn from(files: &super::IdentityFiles) -> Self {
        Self {
            certificates: files.certificates.clone().into_bytes(),
            key: files.key.clone().into_bytes(),
            authorities: files.authorities.clone().into_bytes(),
        }
    }
}

impl Material {
    /// Takes a set that peers with the same authorities would accept now.
    pub(super) fn check(
        folder: &Path,
        files: &Files,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, IdentityError> {
        let path = folder.join(CERTIFICATE);
        let chain = certificates(path.clone(), &files.certificates)?;
        let certificate = ServiceCertificate::read(&chain[0]).map_err(|source| {
            let path = path.clone();
            IdentityError::Certificate { path, source }
        })?;
        check_dates(&path, certificate.starts, certificate.ends)?;
        let key = certified_key(
            (&path, &files.certificates),
            (&folder.join(KEY), &files.key),
            provider,
        )?;
        let roots = Arc::new(roots(folder, &files.authorities)?);
        let clients =
            WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(provider))
                .build();
        let clients = clients
            .map_err(|error| IdentityError::Tls(rustls::Error::General(error.to_string())))?;
        check_own_chain(&key.cert, &roots, &*clients, provider)
            .map_err(|source| IdentityError::Unsigned { path, source })?;
        Ok(Self {
            certificate,
            key,
            roots,
            clients,
        })
    }
}

/// Refuses what is not valid now.
pub(crate) fn check_dates(
    path: &Path,
    starts: SystemTime,
    ends: SystemTime,
) -> Result<(), IdentityError> {
    if (starts..=ends).contains(&SystemTime::now()) {
        return Ok(());
    }
    Err(IdentityError::OutOfDate {
        path: path.to_owned(),
        starts: format_rfc3339_seconds(starts),
        ends: format_rfc3339_seconds(ends),
    })
}

/// At least one.
fn certificates(path: PathBuf, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match read {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(IdentityError::NotPem {
            path,
            expected: "certificate",
        }),
    }
}

/// A chain of certificates with the key of the first one, both in PEM form, from the files of these names.
pub(crate) fn certified_key(
    (certificate_path, certificates_pem): (&Path, &[u8]),
    (key_path, key_pem): (&Path, &[u8]),
    provider: &CryptoProvider,
) -> Result<Arc<CertifiedKey>, IdentityError> {
    let chain = certificates(certificate_path.to_owned(), certificates_pem)?;
    let path = key_path.to_owned();
    let Ok(key) = PrivateKeyDer::from_pem_slice(key_pem) else {
        let expected = "private key";
        return Err(IdentityError::NotPem { path, expected });
    };
    let key = CertifiedKey::from_der(chain, key, provider);
    key.map(Arc::new)
        .map_err(|source| IdentityError::Key { path, source })
}

fn roots(folder: &Path, pem: &[u8]) -> Result<RootCertStore, IdentityError> {
    let path = folder.join(AUTHORITIES);
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path.clone(), pem)? {
        roots.add(certificate).map_err(|source| {
            let path = path.clone();
            IdentityError::Authority { path, source }
        })?;
    }
    Ok(roots)
}

/// The checks of peers at both ends: a service is called, and calls.
fn check_own_chain(
    chain: &[CertificateDer<'static>],
    roots: &RootCertStore,
    clients: &dyn ClientCertVerifier,
    provider: &CryptoProvider,
) -> Result<(), rustls::Error> {
    let now = UnixTime::now();
    let (own, intermediates) = chain
        .split_first()
        .ok_or(rustls::Error::NoCertificatesPresented)?;
    check_server_chain(own, intermediates, roots, provider, now)?;
    clients.verify_client_cert(own, intermediates, now)?;
    Ok(())
}
