//! A store behind TLS, with a certificate of an authority that no system knows.

use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tempfile::TempDir;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::*;

/// Decrypts for a store, until its test ends.
struct Front {
    url: String,
    folder: TempDir,
}

impl Front {
    async fn of(redis: &TestRedis) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(certified(&folder)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let store = redis.url().replace("redis://", "");
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (acceptor, store) = (acceptor.clone(), store.clone());
                tokio::spawn(async move {
                    let mut client = acceptor.accept(client).await?;
                    let mut store = TcpStream::connect(store).await?;
                    copy_bidirectional(&mut client, &mut store).await
                });
            }
        });
        Self {
            url: format!("rediss://localhost:{port}"),
            folder,
        }
    }

    async fn limits(&self, ca: Option<PathBuf>) -> Limits {
        let options = LimitOptions {
            caller_limit: format!("5/{A_DAY}").parse().unwrap(),
            limit_store: Some(self.url.parse().unwrap()),
            limit_store_ca: ca,
            limit_store_timeout: PATIENCE,
            ..LimitOptions::default()
        };
        let limits = Limits::open(&options, CancellationToken::new()).await;
        limits.unwrap()
    }
}

/// A certificate for `localhost`; that of its authority is `ca.crt` in the folder.
fn certified(folder: &TempDir) -> ServerConfig {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_key = KeyPair::generate().unwrap();
    let root = authority.self_signed(&authority_key).unwrap();
    std::fs::write(folder.path().join("ca.crt"), root.pem()).unwrap();
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate().unwrap();
    let server = CertificateParams::new(["localhost".to_owned()]).unwrap();
    let certificate = server.signed_by(&key, &issuer).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = ServerConfig::builder().with_no_client_auth();
    config
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap()
}

#[tokio::test]
async fn a_store_is_reached_over_tls_where_its_authority_is_named() {
    let redis = TestRedis::start().await;
    let front = Front::of(&redis).await;
    let edges = [
        front.limits(Some(front.folder.path().join("ca.crt"))).await,
        limits(5, Some(&redis)).await,
    ];
    assert_eq!(let_through(&edges, &key("a"), 20).await, 5, "they share it");
    let without = front.limits(None).await;
    assert!(!without.0.store.as_ref().unwrap().is_up());
    assert_eq!(let_through(&[without], &key("a"), 20).await, 5, "alone");
}

#[tokio::test]
async fn a_file_of_authorities_that_is_not_there_is_said_at_the_start() {
    let options = LimitOptions {
        limit_store: Some("rediss://localhost:1".parse().unwrap()),
        limit_store_ca: Some("/nowhere/ca.crt".into()),
        ..LimitOptions::default()
    };
    let opened = Limits::open(&options, CancellationToken::new()).await;
    assert!(matches!(opened.err(), Some(Error::LimitStoreCa(_))));
}
