use axum::Router;
use axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::activity::IDLE_TIMEOUT;
use super::*;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
const SECOND: Duration = Duration::from_secs(1);

/// TLS for which there is no certificate.
fn acceptor() -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider);
    let nobody = Arc::new(rustls::server::ResolvesServerCertUsingSni::new());
    let config = config.with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_cert_resolver(nobody);
    TlsAcceptor::from(Arc::new(config))
}

fn connect() -> (DuplexStream, JoinHandle<()>, CancellationToken) {
    connect_to(None)
}

/// A client's end of a connection that is served, and what serves it. `/slow` takes an hour.
fn connect_to(acceptor: Option<TlsAcceptor>) -> (DuplexStream, JoinHandle<()>, CancellationToken) {
    let slow = async || {
        sleep(3600 * SECOND).await;
        "late"
    };
    let router = Router::new()
        .route("/", get(async || "here"))
        .route("/slow", get(slow));
    let shutdown = CancellationToken::new();
    let server = HttpServer {
        builder: builder(),
        acceptor,
        router,
        shutdown: shutdown.clone(),
    };
    let (client, end) = duplex(64 << 10);
    let address = SocketAddr::from(([127, 0, 0, 1], 1));
    let serving = tokio::spawn(async move { server.accepted(end, address).await });
    (client, serving, shutdown)
}

async fn ask(client: &mut DuplexStream, request: &[u8], expected: &str) {
    client.write_all(request).await.unwrap();
    let mut answer = vec![0; 4096];
    let mut length = 0;
    while !String::from_utf8_lossy(&answer[..length]).ends_with(expected) {
        let read = client.read(&mut answer[length..]).await.unwrap();
        assert!(read > 0, "the connection ended");
        length += read;
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_says_nothing_is_gone_in_ten_seconds() {
    let (_client, serving, _shutdown) = connect();
    let begun = Instant::now();
    serving.await.unwrap();
    let waited = begun.elapsed();
    assert!((10 * SECOND..16 * SECOND).contains(&waited), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_stops_half_way_has_ten_seconds() {
    let (mut client, serving, _shutdown) = connect_to(Some(acceptor()));
    // The head of a hello that never comes.
    client.write_all(&[22, 3, 1, 2, 0]).await.unwrap();
    let begun = Instant::now();
    serving.await.unwrap();
    assert_eq!(begun.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_head_that_comes_byte_by_byte_has_ten_seconds() {
    let (mut client, serving, _shutdown) = connect();
    ask(&mut client, REQUEST, "here").await;
    sleep(60 * SECOND).await;
    let begun = Instant::now();
    while !serving.is_finished() {
        let _ = client.write_all(b"G").await;
        sleep(SECOND).await;
    }
    let waited = begun.elapsed();
    assert!((10 * SECOND..17 * SECOND).contains(&waited), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_kept_between_requests_for_more_than_a_minute() {
    let (mut client, serving, _shutdown) = connect();
    for _ in 0..3 {
        ask(&mut client, REQUEST, "here").await;
        sleep(70 * SECOND).await;
    }
    ask(&mut client, REQUEST, "here").await;
    let begun = Instant::now();
    serving.await.unwrap();
    let waited = begun.elapsed();
    assert!(
        (IDLE_TIMEOUT..IDLE_TIMEOUT + 6 * SECOND).contains(&waited),
        "{waited:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_answer_may_take_as_long_as_it_takes() {
    let (mut client, _serving, _shutdown) = connect();
    let request = b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n";
    ask(&mut client, request, "late").await;
    ask(&mut client, REQUEST, "here").await;
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_ends_with_its_server() {
    let (mut client, serving, shutdown) = connect();
    ask(&mut client, REQUEST, "here").await;
    shutdown.cancel();
    let begun = Instant::now();
    serving.await.unwrap();
    assert_eq!(begun.elapsed(), Duration::ZERO);
}
