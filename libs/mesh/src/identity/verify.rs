//! Who is shown to peers, and which peers are taken: rustls asks for every handshake, so that the newest files count.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption, verify_server_cert_signed_by_trust_anchor};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, NoServerSessionStorage, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, OtherError,
    RootCertStore, ServerConfig, SignatureScheme,
};

use super::Current;
use super::certificate::ServiceCertificate;
use super::error::IdentityError;

/// The only protocol over these connections.
const HTTP_2: &[u8] = b"h2";

/// Why a certificate with good signatures was refused.
#[derive(thiserror::Error)]
#[error("{0}")]
struct Refused(String);

/// Errors of rustls show this form of those inside them.
impl fmt::Debug for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Configures the end that is called. Every caller of the mesh is taken, whichever service it is.
pub(super) fn server_config(current: &Arc<Current>) -> Result<ServerConfig, IdentityError> {
    let handshake = Arc::new(Handshake::new(current, Expected::Sibling));
    let mut config = ServerConfig::builder_with_provider(Arc::clone(&current.provider))
        .with_protocol_versions(&[&TLS13])
        .map_err(IdentityError::Tls)?
        .with_client_cert_verifier(handshake.clone())
        .with_cert_resolver(handshake);
    config.alpn_protocols = vec![HTTP_2.to_vec()];
    // A resumed session would go by the certificates of the first handshake, trusted or not since.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// Configures the end that calls, and will talk to `service` alone.
pub(super) fn client_config(
    current: &Arc<Current>,
    service: &str,
) -> Result<ClientConfig, IdentityError> {
    let handshake = Arc::new(Handshake::new(
        current,
        Expected::Service(service.to_owned()),
    ));
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&current.provider))
        .with_protocol_versions(&[&TLS13])
        .map_err(IdentityError::Tls)?
        .dangerous()
        .with_custom_certificate_verifier(handshake.clone())
        .with_client_cert_resolver(handshake);
    config.alpn_protocols = vec![HTTP_2.to_vec()];
    config.resumption = Resumption::disabled();
    // The name of the host says nothing about who answers.
    config.enable_sni = false;
    Ok(config)
}

/// Checks that an authority of `roots` has signed a certificate for a server, and that it is in date.
pub(super) fn check_server_chain(
    certificate: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    roots: &RootCertStore,
    provider: &CryptoProvider,
    now: UnixTime,
) -> Result<(), Error> {
    verify_server_cert_signed_by_trust_anchor(
        &ParsedCertificate::try_from(certificate)?,
        roots,
        intermediates,
        now,
        provider.signature_verification_algorithms.all,
    )
}

/// Older versions are not configured, so that rustls never asks.
fn only_tls13() -> Error {
    Error::General("only TLS 1.3 is spoken here".to_owned())
}

/// Who may be at the other end.
enum Expected {
    /// Any service of the same trust domain and namespace.
    Sibling,
    /// This one of them.
    Service(String),
}

/// One end of the connections of a service.
struct Handshake {
    current: Arc<Current>,
    expected: Expected,
}

impl Handshake {
    fn new(current: &Arc<Current>, expected: Expected) -> Self {
        Self {
            current: Arc::clone(current),
            expected,
        }
    }

    fn key(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.current.material().key)
    }

    /// Checks the name in a certificate whose signatures are good.
    fn check_name(&self, certificate: &CertificateDer<'_>) -> Result<(), Error> {
        let refused = |problem: String| {
            let problem = OtherError(Arc::new(Refused(problem)));
            Error::InvalidCertificate(CertificateError::Other(problem))
        };
        let read = ServiceCertificate::read(certificate);
        let found = read.map_err(|error| refused(error.to_string()))?.workload;
        let own = &self.current.workload;
        let (is_right, expected) = match &self.expected {
            Expected::Sibling => (own.is_sibling_of(&found), own.sibling("*")),
            Expected::Service(service) => (own.sibling(service) == found, own.sibling(service)),
        };
        if is_right {
            return Ok(());
        }
        Err(refused(format!("the peer is {found}, expected {expected}")))
    }

    fn check_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.current.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.current.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handshake").finish_non_exhaustive()
    }
}

impl ResolvesServerCert for Handshake {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.key())
    }
}

impl ResolvesClientCert for Handshake {
    fn resolve(
        &self,
        _authorities: &[&[u8]],
        _schemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        Some(self.key())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl ServerCertVerifier for Handshake {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _host: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let material = self.current.material();
        let provider = &self.current.provider;
        check_server_chain(certificate, intermediates, &material.roots, provider, now)?;
        self.check_name(certificate)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(only_tls13())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }
}

impl ClientCertVerifier for Handshake {
    /// None: a caller has one certificate and needs no hint.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let clients = Arc::clone(&self.current.material().clients);
        let verified = clients.verify_client_cert(certificate, intermediates, now)?;
        self.check_name(certificate)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(only_tls13())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }
}
