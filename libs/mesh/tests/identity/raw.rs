//! Callers that do not use the mesh's own channels.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::takes_all::TakesAll;

/// Who the caller says it is.
pub enum Shown<'a> {
    Nothing,
    /// A certificate and its key, in PEM form.
    Certificate(&'a str, &'a str),
}

/// What came of a connection: the server's certificate, and the first bytes that it sent over HTTP/2, if any.
pub struct Seen {
    pub certificate: Vec<u8>,
    pub answer: std::io::Result<usize>,
}

/// Shakes hands and begins to speak HTTP/2.
pub async fn connect(
    address: &str,
    shown: Shown<'_>,
    version: &'static SupportedProtocolVersion,
) -> Seen {
    let verifier = Arc::new(TakesAll::default());
    let config =
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(verifier.clone());
    let mut config = match shown {
        Shown::Nothing => config.with_no_client_auth(),
        Shown::Certificate(certificate, key) => {
            let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
            config
                .with_client_auth_cert(vec![certificate], key)
                .unwrap()
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    let answer = speak(address, config).await;
    let certificate = verifier.0.lock().unwrap().clone();
    Seen {
        certificate,
        answer,
    }
}

async fn speak(address: &str, config: ClientConfig) -> std::io::Result<usize> {
    let tcp = TcpStream::connect(address).await?;
    let host = ServerName::try_from("localhost").unwrap();
    let mut tls = TlsConnector::from(Arc::new(config))
        .connect(host, tcp)
        .await?;
    tls.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .await?;
    let read = tls.read(&mut [0; 64]).await?;
    if read == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    Ok(read)
}

/// The certificate that a server shows now.
pub async fn certificate_of(address: &str) -> Vec<u8> {
    let seen = connect(address, Shown::Nothing, &rustls::version::TLS13).await;
    seen.certificate
}
