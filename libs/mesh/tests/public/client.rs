//! Clients that see the certificate and the protocol.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::port::HOST;
use crate::takes_all::TakesAll;

/// A connection, and what the server showed of itself.
pub struct Connected {
    pub stream: TlsStream<TcpStream>,
    pub certificate: Vec<u8>,
    pub protocol: Option<Vec<u8>>,
}

/// Shakes hands, with these protocols to choose from.
pub async fn connect(address: SocketAddr, protocols: &[&str]) -> io::Result<Connected> {
    let verifier = Arc::new(TakesAll::default());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(verifier.clone())
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|it| it.as_bytes().to_vec()).collect();
    let tcp = TcpStream::connect(address).await?;
    let host = ServerName::try_from(HOST).unwrap();
    let stream = TlsConnector::from(Arc::new(config))
        .connect(host, tcp)
        .await?;
    let protocol = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
    let certificate = verifier.0.lock().unwrap().clone();
    Ok(Connected {
        stream,
        certificate,
        protocol,
    })
}

fn request(path: &str) -> http::Request<Empty<Bytes>> {
    let uri = format!("https://{HOST}{path}");
    let request = http::Request::get(uri).header("host", HOST);
    request.body(Empty::new()).unwrap()
}

/// Asks over HTTP/1.1, and reads all of the answer.
pub async fn ask_http_1(stream: TlsStream<TcpStream>) -> String {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let answer = sender.send_request(request("/")).await.unwrap();
    let bytes = answer.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A connection of HTTP/2.
pub struct Http2(http2::SendRequest<Empty<Bytes>>);

impl Http2 {
    pub async fn over(stream: TlsStream<TcpStream>) -> Self {
        let io = TokioIo::new(stream);
        let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
        tokio::spawn(connection);
        Self(sender)
    }

    /// The status of an answer, if there is one.
    pub async fn try_ask(&mut self, path: &str) -> Option<u16> {
        let answer = self.0.send_request(request(path)).await;
        answer.ok().map(|answer| answer.status().as_u16())
    }

    pub async fn ask(&mut self, path: &str) -> Incoming {
        let answer = self.0.send_request(request(path)).await;
        answer.unwrap().into_body()
    }
}

/// The next piece of an answer.
pub async fn piece(body: &mut Incoming) -> String {
    let frame = body.frame().await.expect("a piece").unwrap();
    let bytes = frame.into_data().expect("data");
    String::from_utf8(bytes.to_vec()).unwrap()
}
