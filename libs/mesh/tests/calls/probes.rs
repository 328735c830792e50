//! What probes see of a service's life.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use kinora_mesh::lifecycle::{DrainOptions, Lifecycle, ProbeOptions};
use kinora_mesh::serve::GrpcOptions;
use kinora_testkit::net::free_port;
use kinora_testkit::wait::until;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::service::{PATIENCE, Server, call, health};

/// Longer than any test takes.
const LONG: Duration = Duration::from_secs(3600);

async fn begin(shutdown: &CancellationToken) -> (SocketAddr, Lifecycle) {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
    let probes = ProbeOptions {
        health_listen: Some(address),
    };
    let drain = DrainOptions { drain_delay: LONG };
    let lifecycle = Lifecycle::begin(probes, drain, shutdown).await;
    (address, lifecycle.unwrap())
}

/// What is answered to these bytes, until the connection ends.
async fn say(address: SocketAddr, bytes: &[u8]) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(bytes).await?;
    let mut answer = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    read.expect("the connection ends")?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// The status of an answer.
async fn probe(address: SocketAddr, method: &str, path: &str) -> String {
    let request = format!("{method} {path} HTTP/1.1\r\nhost: probe\r\n\r\n");
    let answer = say(address, request.as_bytes()).await.unwrap();
    let status = answer.strip_prefix("HTTP/1.1 ").unwrap_or(&answer);
    status.chars().take(3).collect()
}

async fn ready(address: SocketAddr) -> String {
    probe(address, "GET", "/readyz").await
}

#[tokio::test]
async fn service_is_ready_from_its_first_answer_to_its_drain_and_alive_all_the_time() {
    let shutdown = CancellationToken::new();
    let (address, lifecycle) = begin(&shutdown).await;
    assert_eq!(ready(address).await, "503");
    assert_eq!(probe(address, "GET", "/livez").await, "200");
    let stop = CancellationToken::new();
    let server = Server::start_for(GrpcOptions::default(), lifecycle, stop).await;
    until("a ready service", PATIENCE, async || {
        match ready(address).await.as_str() {
            "200" => Ok(()),
            other => Err(other.to_owned()),
        }
    })
    .await;
    server.open();
    let channel = server.channel();
    call(channel.clone()).await.unwrap();
    assert_eq!(health(channel.clone()).await, 1, "serving");
    shutdown.cancel();
    assert_eq!(ready(address).await, "503");
    assert_eq!(probe(address, "GET", "/livez").await, "200");
    until("the end of health", PATIENCE, async || {
        match health(channel.clone()).await {
            2 => Ok(()),
            other => Err(other),
        }
    })
    .await;
    // Balancers have yet to notice, and go on sending.
    call(channel).await.unwrap();
    call(server.channel()).await.unwrap();
}

#[tokio::test]
async fn nothing_but_two_questions_is_answered() {
    let (address, lifecycle) = begin(&CancellationToken::new()).await;
    lifecycle.serve();
    assert_eq!(ready(address).await, "200");
    for (method, path, status) in [
        ("GET", "/", "404"),
        ("GET", "/readyz/x", "404"),
        ("GET", "/metrics", "404"),
        ("POST", "/readyz", "405"),
        ("DELETE", "/livez", "405"),
        ("nonsense", "", "400"),
    ] {
        assert_eq!(
            probe(address, method, path).await,
            status,
            "{method} {path}"
        );
    }
    let http2 = say(
        address,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
    )
    .await;
    let answer = http2.unwrap_or_default();
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 "),
        "{answer:?}"
    );
}

#[tokio::test]
async fn port_is_closed_once_the_life_is_over() {
    let (address, lifecycle) = begin(&CancellationToken::new()).await;
    let other = lifecycle.clone();
    drop(lifecycle);
    assert_eq!(probe(address, "GET", "/livez").await, "200");
    drop(other);
    until(
        "a closed port",
        PATIENCE,
        async || match TcpStream::connect(address).await {
            Ok(_) => Err("it is open"),
            Err(_) => Ok(()),
        },
    )
    .await;
}
