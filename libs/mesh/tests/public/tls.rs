use std::time::Duration;

use http_body_util::BodyExt;
use kinora_mesh::serve::{HttpOptions, ServerCertificate, TlsOptions};
use kinora_testkit::wait::until;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::{Http2, ask_http_1, connect, piece};
use crate::port::{CertificateFiles, Port};

const PATIENCE: Duration = Duration::from_secs(20);

async fn open(files: &CertificateFiles) -> Port {
    let certificate = files.load().unwrap();
    Port::open(certificate, HttpOptions::default()).await
}

#[tokio::test]
async fn clients_speak_what_they_prefer() {
    let files = CertificateFiles::new();
    let port = open(&files).await;
    let newer = connect(port.address, &["h2", "http/1.1"]).await.unwrap();
    assert_eq!(newer.protocol.as_deref(), Some(&b"h2"[..]));
    let body = Http2::over(newer.stream).await.ask("/").await;
    assert_eq!(body.collect().await.unwrap().to_bytes(), "HTTP/2.0");
    let older = connect(port.address, &["http/1.1"]).await.unwrap();
    assert_eq!(older.protocol.as_deref(), Some(&b"http/1.1"[..]));
    assert_eq!(ask_http_1(older.stream).await, "HTTP/1.1");
    let silent = connect(port.address, &[]).await.unwrap();
    assert_eq!(ask_http_1(silent.stream).await, "HTTP/1.1");
    assert!(connect(port.address, &["spdy/3"]).await.is_err());
}

#[tokio::test]
async fn plain_http_is_refused() {
    let files = CertificateFiles::new();
    let port = open(&files).await;
    let mut plain = TcpStream::connect(port.address).await.unwrap();
    plain
        .write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer);
    assert!(!answer.contains("HTTP/1.1"), "{answer}");
}

#[tokio::test]
async fn a_new_certificate_is_shown_while_streams_flow() {
    let files = CertificateFiles::new();
    let port = open(&files).await;
    let first = connect(port.address, &["h2"]).await.unwrap();
    let mut open = Http2::over(first.stream).await;
    let mut ticks = open.ask("/ticks").await;
    assert_eq!(piece(&mut ticks).await, "0\n");
    // A broken pair is not taken: the old one stays.
    std::fs::write(files.key(), "no key").unwrap();
    let same = connect(port.address, &["h2"]).await.unwrap();
    assert_eq!(same.certificate, first.certificate);
    let renewed = files.renew();
    until("the new certificate", PATIENCE, async || {
        let now = connect(port.address, &["h2"]).await.unwrap();
        if now.certificate == renewed {
            Ok(())
        } else {
            Err("the old one")
        }
    })
    .await;
    port.tick();
    assert_eq!(piece(&mut ticks).await, "1\n");
    let again = open.ask("/").await.collect().await.unwrap().to_bytes();
    assert_eq!(again, "HTTP/2.0");
}

#[tokio::test]
async fn files_that_make_no_pair_are_named_at_the_start() {
    let files = CertificateFiles::new();
    let other = CertificateFiles::new();
    let load = |tls_cert, tls_key| {
        let options = TlsOptions {
            tls_cert: Some(tls_cert),
            tls_key: Some(tls_key),
        };
        let Err(error) = ServerCertificate::load(&options) else {
            panic!("it was taken");
        };
        let source = std::error::Error::source(&error).expect("a cause");
        source.to_string()
    };
    let text = load(files.certificate(), other.key());
    assert!(text.contains("is not the key of the certificate"), "{text}");
    let text = load(files.certificate(), files.certificate());
    assert!(text.contains("holds no private key"), "{text}");
    let text = load(files.key().with_extension("gone"), files.key());
    assert!(text.contains("cannot be read"), "{text}");
    let nothing = ServerCertificate::load(&TlsOptions::default());
    assert!(nothing.unwrap().is_none());
}
