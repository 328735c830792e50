//! What a certificate says about a service.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use x509_parser::extensions::GeneralName;
use x509_parser::prelude::X509Certificate;
use x509_parser::time::ASN1Time;

use super::error::CertificateError;
use crate::workload::Workload;

/// A service's certificate, as far as the mesh reads it.
#[derive(Debug)]
pub(crate) struct ServiceCertificate {
    pub(crate) workload: Workload,
    pub(crate) starts: SystemTime,
    pub(crate) ends: SystemTime,
}

impl ServiceCertificate {
    /// Reads a certificate in DER form. Who has signed it is another question.
    pub(crate) fn read(der: &[u8]) -> Result<Self, CertificateError> {
        let certificate = parse(der)?;
        let (starts, ends) = times_of(&certificate);
        Ok(Self {
            workload: workload_of(&certificate)?,
            starts,
            ends,
        })
    }
}

/// When any certificate in DER form begins and ends.
pub(crate) fn validity_of(der: &[u8]) -> Result<(SystemTime, SystemTime), CertificateError> {
    Ok(times_of(&parse(der)?))
}

fn parse(der: &[u8]) -> Result<X509Certificate<'_>, CertificateError> {
    match x509_parser::parse_x509_certificate(der) {
        Ok(([], certificate)) => Ok(certificate),
        _ => Err(CertificateError::Damaged),
    }
}

fn times_of(certificate: &X509Certificate<'_>) -> (SystemTime, SystemTime) {
    let validity = certificate.validity();
    (
        system_time(validity.not_before),
        system_time(validity.not_after),
    )
}

/// SPIFFE allows one URI name in a certificate; names of other kinds do not count.
fn workload_of(certificate: &X509Certificate<'_>) -> Result<Workload, CertificateError> {
    let names = certificate
        .subject_alternative_name()
        .map_err(|_| CertificateError::Damaged)?;
    let names = names.map_or(&[][..], |names| &names.value.general_names);
    let uris: Vec<&str> = names
        .iter()
        .filter_map(|name| match name {
            GeneralName::URI(uri) => Some(*uri),
            _ => None,
        })
        .collect();
    let [uri] = uris[..] else {
        return Err(CertificateError::UriNames(uris.len()));
    };
    uri.parse()
        .map_err(|_| CertificateError::Name(uri.to_owned()))
}

/// Times before 1970 are of no certificate of ours; the epoch is as long ago.
fn system_time(time: ASN1Time) -> SystemTime {
    let seconds = u64::try_from(time.timestamp()).unwrap_or(0);
    UNIX_EPOCH + Duration::from_secs(seconds)
}
