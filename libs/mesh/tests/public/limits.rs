use std::io;
use std::time::Duration;

use http_body_util::BodyExt;
use kinora_mesh::serve::HttpOptions;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::{Http2, connect, piece};
use crate::port::{CertificateFiles, Port};

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";

/// Reads until something was said; nothing once the other end has closed.
async fn hear(client: &mut TcpStream) -> io::Result<usize> {
    let mut answer = [0; 1024];
    let read = client.read(&mut answer);
    tokio::time::timeout(Duration::from_secs(30), read).await?
}

#[tokio::test]
async fn a_connection_more_than_there_may_be_waits_for_its_turn() {
    let port = Port::open(None, HttpOptions { max_connections: 1 }).await;
    let mut first = TcpStream::connect(port.address).await.unwrap();
    first.write_all(REQUEST).await.unwrap();
    assert!(hear(&mut first).await.unwrap() > 0);
    let mut second = TcpStream::connect(port.address).await.unwrap();
    second.write_all(REQUEST).await.unwrap();
    // Both are open for the system. The first one is answered again, and the second one is not.
    first.write_all(REQUEST).await.unwrap();
    assert!(hear(&mut first).await.unwrap() > 0);
    let silence = second.try_read(&mut [0; 1]).map_err(|error| error.kind());
    assert_eq!(silence, Err(io::ErrorKind::WouldBlock));
    drop(first);
    assert!(hear(&mut second).await.unwrap() > 0);
}

#[tokio::test]
async fn open_streams_may_end_while_the_port_drains() {
    let port = Port::open(None, HttpOptions::default()).await;
    let mut client = TcpStream::connect(port.address).await.unwrap();
    client
        .write_all(b"GET /ticks HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .unwrap();
    assert!(hear(&mut client).await.unwrap() > 0);
    port.shutdown.cancel();
    port.tick();
    assert!(hear(&mut client).await.unwrap() > 0);
}

#[tokio::test]
async fn heads_that_are_too_long_are_refused() {
    let files = CertificateFiles::new();
    let port = Port::open(files.load().unwrap(), HttpOptions::default()).await;
    let mut client = Http2::over(connect(port.address, &["h2"]).await.unwrap().stream).await;
    let path = format!("/ticks?{}", "x".repeat(8 << 10));
    assert_eq!(piece(&mut client.ask(&path).await).await, "0\n");
    let path = format!("/?{}", "x".repeat(40 << 10));
    let refused = client.try_ask(&path).await;
    assert_ne!(refused, Some(200));
    let mut again = Http2::over(connect(port.address, &["h2"]).await.unwrap().stream).await;
    let body = again.ask("/").await.collect().await.unwrap();
    assert_eq!(body.to_bytes(), "HTTP/2.0");
}
