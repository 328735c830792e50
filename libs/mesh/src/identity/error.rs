//! What is wrong with an identity.

use std::io;
use std::path::PathBuf;

/// The files of an identity cannot be used. Every text names the file.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The file is not there, or may not be read.
    #[error("{} cannot be read", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The file or its folder cannot be written.
    #[error("{} cannot be written", path.display())]
    Unwritable {
        /// Which file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The file does not hold what its name says, in PEM form.
    #[error("{} holds no {expected} in PEM form", path.display())]
    NotPem {
        /// Which file.
        path: PathBuf,
        /// What was looked for.
        expected: &'static str,
    },
    /// The certificate does not name a service of a mesh.
    #[error("{} is not the certificate of a service", path.display())]
    Certificate {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: CertificateError,
    },
    /// The certificate is not valid now.
    #[error("the certificate {} is valid from {starts} to {ends}, which is not now", path.display())]
    OutOfDate {
        /// Which file.
        path: PathBuf,
        /// Its first second.
        starts: humantime::Rfc3339Timestamp,
        /// Its last second.
        ends: humantime::Rfc3339Timestamp,
    },
    /// The key is damaged, of an unknown kind, or another certificate's.
    #[error("{} is not the key of the certificate beside it", path.display())]
    Key {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// An authority's certificate is damaged.
    #[error("{} holds a certificate that is none of an authority", path.display())]
    Authority {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// Peers that trust the same authorities would refuse the certificate.
    #[error("the certificate {} is not one that the authorities in ca.crt have signed for services", path.display())]
    Unsigned {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// The files were replaced by those of another service.
    #[error("the certificate {} is of {found}, and this service is {expected}", path.display())]
    OtherWorkload {
        /// Which file.
        path: PathBuf,
        /// Who it names.
        found: String,
        /// Who runs.
        expected: String,
    },
    /// The development authority cannot issue.
    #[error("the authority {} cannot issue certificates: {problem}", path.display())]
    Issuing {
        /// Its file.
        path: PathBuf,
        /// Why.
        problem: String,
    },
    /// TLS cannot be set up.
    #[error("TLS cannot be set up")]
    Tls(#[source] rustls::Error),
}

/// A certificate that names no service.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Not a certificate.
    #[error("it is damaged")]
    Damaged,
    /// A SPIFFE id is the only URI of a certificate.
    #[error("it must have one URI name, and has {0}")]
    UriNames(usize),
    /// The URI is not the SPIFFE id of a service.
    #[error("its name {0:?} is not `spiffe://<trust domain>/ns/<namespace>/sa/<service>`")]
    Name(String),
}
