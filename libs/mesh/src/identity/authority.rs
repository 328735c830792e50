//! An authority of one's own, for one machine, tests, and operators without cert-manager.
//!
//! Its key lies in a file. In a cluster, cert-manager issues the same three files and keys never leave their pods.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::IdentityFiles;
use super::error::IdentityError;
use super::folder::make_private;
use crate::MeshError;
use crate::error::chain;
use crate::workload::Workload;

/// Key and certificate, in one file: there is never one without the other.
const FILE: &str = "authority.pem";

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How long an authority lives.
const AUTHORITY_LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// How long the certificates of services are valid.
pub const LIFETIME: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// Clocks of machines may be this far apart.
const SKEW: Duration = Duration::from_secs(5 * 60);

/// Between two looks at certificates that are to be renewed.
const RENEWAL_CHECK: Duration = Duration::from_secs(60 * 60);

/// Signs certificates of services.
pub struct Authority {
    file: PathBuf,
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
}

impl Authority {
    /// Opens the authority in a folder, and makes both when they are missing, for their owner only.
    ///
    /// # Errors
    /// [`MeshError::Identity`] with the file that cannot be used.
    pub fn open(folder: &Path) -> Result<Self, MeshError> {
        Self::open_or_make(folder).map_err(MeshError::Identity)
    }

    /// Makes one that no file keeps, for tests.
    ///
    /// # Errors
    /// [`MeshError::Identity`] when a key cannot be made.
    pub fn in_memory() -> Result<Self, MeshError> {
        let file = PathBuf::from("in memory");
        let made = make().map_err(|error| MeshError::Identity(issuing(&file, &error)))?;
        Self::read(file, &made).map_err(MeshError::Identity)
    }

    /// Its certificate in PEM form, as `ca.crt` has it.
    #[must_use]
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// Signs a certificate with a new key, valid from now on for `lifetime`.
    ///
    /// # Errors
    /// [`MeshError::Identity`] when a key cannot be made.
    pub fn sign(
        &self,
        workload: &Workload,
        lifetime: Duration,
    ) -> Result<IdentityFiles, MeshError> {
        let signed = || {
            let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
            let certificate = service_params(workload, lifetime)?.signed_by(&key, &self.issuer)?;
            Ok(IdentityFiles {
                certificates: certificate.pem(),
                key: key.serialize_pem(),
                authorities: self.certificate.clone(),
            })
        };
        signed().map_err(|error| MeshError::Identity(issuing(&self.file, &error)))
    }

    /// Signs a certificate of the usual [`LIFETIME`] and writes the three files into a folder.
    ///
    /// # Errors
    /// [`MeshError::Identity`] with the file that cannot be written.
    pub fn issue(&self, workload: &Workload, folder: &Path) -> Result<(), MeshError> {
        self.sign(workload, LIFETIME)?.write(folder)
    }

    /// Issues a certificate to each service, now and again when a third of its life is left, until `stop`.
    /// Services that run take the new files over by themselves.
    ///
    /// Answers when all are there; renewing goes on in the background.
    ///
    /// # Errors
    /// [`MeshError::Identity`] when the first ones cannot be written.
    pub fn keep_issued(
        self,
        services: Vec<(Workload, PathBuf)>,
        stop: CancellationToken,
    ) -> Result<(), MeshError> {
        self.keep_issued_for(services, LIFETIME, RENEWAL_CHECK, stop)
    }

    /// As [`Authority::keep_issued`], with certificates of another lifetime that are looked at more or less often.
    ///
    /// # Errors
    /// As [`Authority::keep_issued`].
    pub fn keep_issued_for(
        self,
        services: Vec<(Workload, PathBuf)>,
        lifetime: Duration,
        check: Duration,
        stop: CancellationToken,
    ) -> Result<(), MeshError> {
        self.issue_all(&services, lifetime)?;
        let renewing = async move {
            let mut issued = SystemTime::now();
            loop {
                tokio::time::sleep(check).await;
                // By the clock on the wall: the other one stands still while a laptop sleeps.
                let age = issued.elapsed().unwrap_or_default();
                if age < lifetime / 3 * 2 {
                    continue;
                }
                match self.issue_all(&services, lifetime) {
                    Ok(()) => issued = SystemTime::now(),
                    Err(error) => {
                        let error = chain(&error);
                        tracing::error!(%error, "certificates were not renewed; it is tried again");
                    }
                }
            }
        };
        tokio::spawn(async move { stop.run_until_cancelled(renewing).await });
        Ok(())
    }

    fn issue_all(
        &self,
        services: &[(Workload, PathBuf)],
        lifetime: Duration,
    ) -> Result<(), MeshError> {
        for (workload, folder) in services {
            self.sign(workload, lifetime)?.write(folder)?;
        }
        Ok(())
    }

    fn open_or_make(folder: &Path) -> Result<Self, IdentityError> {
        let file = folder.join(FILE);
        match std::fs::read_to_string(&file) {
            Ok(text) => return Self::read(file, &text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => return Err(IdentityError::Unreadable { path: file, source }),
        }
        make_private(folder)?;
        let made = make().map_err(|error| issuing(&file, &error))?;
        write_once(folder, &file, &made).map_err(|source| {
            let path = file.clone();
            IdentityError::Unwritable { path, source }
        })?;
        // Another process may have been faster; what lies there now counts for both.
        let text = std::fs::read_to_string(&file);
        let text = text.map_err(|source| {
            let path = file.clone();
            IdentityError::Unreadable { path, source }
        })?;
        Self::read(file, &text)
    }

    fn read(file: PathBuf, text: &str) -> Result<Self, IdentityError> {
        let not_pem = |expected| IdentityError::NotPem {
            path: file.clone(),
            expected,
        };
        let key = PrivatePkcs8KeyDer::from_pem_slice(text.as_bytes());
        let key = key.map_err(|_| not_pem("private key"))?;
        let der = CertificateDer::from_pem_slice(text.as_bytes());
        let der = der.map_err(|_| not_pem("certificate"))?;
        let at = text.find("-----BEGIN CERTIFICATE-----");
        let certificate = at.map_or("", |at| &text[at..]).to_owned();
        check_end(&file, &der)?;
        let key = KeyPair::try_from(&key).map_err(|error| issuing(&file, &error))?;
        let issuer = Issuer::from_ca_cert_der(&der, key);
        let issuer = issuer.map_err(|error| issuing(&file, &error))?;
        Ok(Self {
            issuer,
            certificate,
            file,
        })
    }
}

/// Services would refuse certificates that outlive their authority only when it is too late.
fn check_end(file: &Path, der: &[u8]) -> Result<(), IdentityError> {
    let damaged = || IdentityError::NotPem {
        path: file.to_owned(),
        expected: "certificate",
    };
    let (_, certificate) = x509_parser::parse_x509_certificate(der).map_err(|_| damaged())?;
    let ends = certificate.validity().not_after.timestamp();
    let needed = SystemTime::now() + LIFETIME + DAY;
    let needed = needed.duration_since(SystemTime::UNIX_EPOCH);
    let needed = needed.map_err(|_| damaged())?.as_secs();
    if u64::try_from(ends).is_ok_and(|ends| ends > needed) {
        return Ok(());
    }
    Err(IdentityError::Issuing {
        path: file.to_owned(),
        problem: "it ends too soon; remove the file, so that a new one is made".to_owned(),
    })
}

/// A new key and its certificate, in PEM form.
fn make() -> Result<String, rcgen::Error> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut params = CertificateParams::default();
    // Of its own: peers that meet another authority of this name would complain of a bad signature.
    let name = format!("Kinora mesh authority {}", Uuid::now_v7().simple());
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    set_validity(&mut params, AUTHORITY_LIFETIME);
    let certificate = params.self_signed(&key)?;
    Ok(format!("{}{}", key.serialize_pem(), certificate.pem()))
}

fn service_params(
    workload: &Workload,
    lifetime: Duration,
) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(DnType::CommonName, workload.service.as_str());
    params.subject_alt_names = vec![SanType::URI(workload.to_string().try_into()?)];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    params.use_authority_key_identifier_extension = true;
    set_validity(&mut params, lifetime);
    Ok(params)
}

fn set_validity(params: &mut CertificateParams, lifetime: Duration) {
    let now = SystemTime::now();
    params.not_before = (now - SKEW).into();
    params.not_after = (now + lifetime).into();
}

/// Writes a file that was not there; one that has come meanwhile stays.
fn write_once(folder: &Path, path: &Path, text: &str) -> std::io::Result<()> {
    // Only its owner can read a temporary file.
    let mut new = tempfile::NamedTempFile::new_in(folder)?;
    new.write_all(text.as_bytes())?;
    new.as_file().sync_all()?;
    match new.persist_noclobber(path) {
        Err(failed) if failed.error.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(failed.error)
        }
        _ => Ok(()),
    }
}

fn issuing(file: &Path, error: &rcgen::Error) -> IdentityError {
    IdentityError::Issuing {
        path: file.to_owned(),
        problem: error.to_string(),
    }
}
