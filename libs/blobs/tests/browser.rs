//! What a browser with a presigned URL sees, and what a forger gets.

mod support;

use std::time::Duration;

use kinora_testkit::wait::until;
use reqwest::StatusCode;
use reqwest::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE,
    RANGE,
};
use support::{ACCESS_KEY, Server, browser, files_below, temp_root};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const KEY: &str = "jobs/1/2/a clip é.mp4";

async fn server_with_clip(root: &std::path::Path) -> Server {
    let server = Server::start(root).await;
    server
        .store
        .put_bytes(KEY, &b"0123456789"[..], "video/mp4")
        .await
        .expect("put");
    server
}

fn header(answer: &reqwest::Response, name: reqwest::header::HeaderName) -> &str {
    answer
        .headers()
        .get(&name)
        .map_or("", |value| value.to_str().expect("ASCII"))
}

#[tokio::test]
async fn presigned_url_plays_in_place_with_its_type() {
    let root = temp_root();
    let server = server_with_clip(root.path()).await;
    let answer = browser()
        .get(server.url(KEY).await)
        .send()
        .await
        .expect("get");
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(header(&answer, CONTENT_TYPE), "video/mp4");
    assert_eq!(header(&answer, CONTENT_LENGTH), "10");
    assert_eq!(header(&answer, ACCEPT_RANGES), "bytes");
    assert_eq!(header(&answer, CONTENT_DISPOSITION), "inline");
    assert_eq!(header(&answer, CACHE_CONTROL), "private, max-age=60");
    assert_eq!(answer.bytes().await.expect("body"), &b"0123456789"[..]);
}

#[tokio::test]
async fn a_url_for_head_tells_the_size_and_reads_nothing() {
    let root = temp_root();
    let server = server_with_clip(root.path()).await;
    let ttl = Duration::from_secs(60);
    let url = server
        .store
        .presign_head(KEY, ttl, Some("clip.mp4"), Some("a/b"))
        .await
        .expect("presigned");
    let answer = browser().head(&url).send().await.expect("head");
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(header(&answer, CONTENT_LENGTH), "10");
    assert_eq!(header(&answer, CONTENT_TYPE), "a/b");
    assert_eq!(header(&answer, CACHE_CONTROL), "private, max-age=60");
    let disposition = header(&answer, CONTENT_DISPOSITION);
    assert_eq!(disposition, "attachment; filename=\"clip.mp4\"");
    let answer = browser().get(&url).send().await.expect("get");
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn presigned_url_may_name_the_download_and_its_type() {
    let root = temp_root();
    let server = server_with_clip(root.path()).await;
    let ttl = Duration::from_secs(60);
    let url = server
        .store
        .presign_get(KEY, ttl, Some("my \"clip\".mp4"), Some("a/b"))
        .await;
    let answer = browser()
        .get(url.expect("presigned"))
        .send()
        .await
        .expect("get");
    assert_eq!(header(&answer, CONTENT_TYPE), "a/b");
    let disposition = header(&answer, CONTENT_DISPOSITION);
    assert!(
        disposition.starts_with("attachment; filename=\"my _clip_.mp4\""),
        "{disposition}"
    );
}

#[tokio::test]
async fn client_that_sends_on_its_api_key_is_served_all_the_same() {
    let root = temp_root();
    let server = server_with_clip(root.path()).await;
    let request = browser().get(server.url(KEY).await).bearer_auth("knr_key");
    let answer = request.send().await.expect("get");
    assert_eq!(answer.status(), StatusCode::OK);
    let unsigned = server
        .url(KEY)
        .await
        .split_once('?')
        .expect("query")
        .0
        .to_owned();
    let answer = browser()
        .get(unsigned)
        .bearer_auth("knr_key")
        .send()
        .await
        .expect("get");
    assert!(answer.status().is_client_error());
}

#[tokio::test]
async fn range_requests_answer_206_with_the_part() {
    let root = temp_root();
    let server = server_with_clip(root.path()).await;
    let url = server.url(KEY).await;
    for (range, content_range, body) in [
        ("bytes=2-4", "bytes 2-4/10", &b"234"[..]),
        ("bytes=7-", "bytes 7-9/10", b"789"),
        ("bytes=-2", "bytes 8-9/10", b"89"),
        ("bytes=0-0", "bytes 0-0/10", b"0"),
        ("bytes=5-99", "bytes 5-9/10", b"56789"),
    ] {
        let answer = browser()
            .get(&url)
            .header(RANGE, range)
            .send()
            .await
            .expect("get");
        assert_eq!(answer.status(), StatusCode::PARTIAL_CONTENT, "{range}");
        assert_eq!(header(&answer, CONTENT_RANGE), content_range);
        assert_eq!(header(&answer, CONTENT_TYPE), "video/mp4");
        assert_eq!(header(&answer, CONTENT_LENGTH), body.len().to_string());
        assert_eq!(answer.bytes().await.expect("body"), body);
    }
    let beyond = browser()
        .get(&url)
        .header(RANGE, "bytes=10-")
        .send()
        .await
        .expect("get");
    assert_eq!(beyond.status(), StatusCode::RANGE_NOT_SATISFIABLE);
}

#[tokio::test]
async fn altered_and_unsigned_requests_are_forbidden() {
    let root = temp_root();
    let server = server_with_clip(root.path()).await;
    server
        .store
        .put_bytes("other", &b"secret"[..], "x/y")
        .await
        .expect("put");
    let url = server.url(KEY).await;
    let (path, query) = url.split_once('?').expect("query");
    let endpoint = &server.options.endpoint;
    let last_digit = url.chars().last().expect("not empty");
    let other_digit = if last_digit == '0' { '1' } else { '0' };
    for forged in [
        format!("{endpoint}/kinora/other?{query}"),
        url.replace("X-Amz-Expires=60", "X-Amz-Expires=6000"),
        url.replace("inline", "attachment"),
        format!("{}{other_digit}", &url[..url.len() - 1]),
        url.replace(ACCESS_KEY, "other-key"),
        path.to_owned(),
        endpoint.clone(),
    ] {
        let answer = browser().get(&forged).send().await.expect("get");
        assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{forged}");
    }
    let put = browser()
        .put(&url)
        .body("forged")
        .send()
        .await
        .expect("put");
    assert_eq!(put.status(), StatusCode::FORBIDDEN);
    let delete = browser().delete(&url).send().await.expect("delete");
    assert_eq!(delete.status(), StatusCode::FORBIDDEN);
    assert_eq!(
        server.store.get_bytes(KEY, 100).await.expect("get"),
        &b"0123456789"[..]
    );
}

#[tokio::test]
async fn url_expires() {
    let root = temp_root();
    let server = server_with_clip(root.path()).await;
    let ttl = Duration::from_secs(2);
    let url = server
        .store
        .presign_get(KEY, ttl, None, None)
        .await
        .expect("presigned");
    let early = browser().get(&url).send().await.expect("get");
    assert_eq!(early.status(), StatusCode::OK);
    until("the URL to expire", Duration::from_secs(10), || async {
        let status = browser().get(&url).send().await.expect("get").status();
        if status == StatusCode::FORBIDDEN {
            Ok(())
        } else {
            Err(status)
        }
    })
    .await;
}

#[tokio::test]
async fn urls_begin_with_the_public_endpoint() {
    let root = temp_root();
    let server = server_with_clip(root.path()).await;
    let public_endpoint = Some(server.options.endpoint.replace("127.0.0.1", "localhost"));
    let options = kinora_blobs::BlobOptions {
        public_endpoint,
        ..server.options.clone()
    };
    let store = kinora_blobs::BlobStore::new(&options);
    let url = store
        .presign_get(KEY, Duration::from_secs(60), None, None)
        .await
        .expect("url");
    assert!(url.starts_with("http://localhost:"), "{url}");
    // The public name may resolve to another address first, so the test reads it through the known one.
    let (_, rest) = url.split_once("localhost:").expect("host");
    let (port, _) = rest.split_once('/').expect("path");
    let known = format!("http://127.0.0.1:{rest}");
    let request = browser()
        .get(known)
        .header("host", format!("localhost:{port}"));
    assert_eq!(request.send().await.expect("get").status(), StatusCode::OK);
}

/// A client whose way to the server leads through `damage`: it is handed each connection's two ends.
async fn store_behind<F, Fut>(server: &Server, damage: F) -> kinora_blobs::BlobStore
where
    F: Fn(TcpStream, TcpStream) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let address = server
        .options
        .endpoint
        .trim_start_matches("http://")
        .to_owned();
    let relay = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let endpoint = format!("http://{}", relay.local_addr().expect("address"));
    tokio::spawn(async move {
        while let Ok((client, _)) = relay.accept().await {
            let upstream = TcpStream::connect(&address).await.expect("connect");
            tokio::spawn(damage(client, upstream));
        }
    });
    let options = kinora_blobs::BlobOptions {
        endpoint,
        ..server.options.clone()
    };
    kinora_blobs::BlobStore::new(&options)
}

#[tokio::test]
async fn upload_cut_off_midway_leaves_nothing() {
    let root = temp_root();
    let server = server_with_clip(root.path()).await;
    let store = store_behind(&server, |client, mut upstream| async move {
        let mut beginning = client.take(300_000);
        let _ = tokio::io::copy(&mut beginning, &mut upstream).await;
    });
    let error = store
        .await
        .put_bytes(KEY, vec![7; 4_000_000], "x/y")
        .await
        .expect_err("cut off");
    assert!(error.is_retryable(), "{error:?}");
    assert_eq!(
        server.store.get_bytes(KEY, 100).await.expect("get"),
        &b"0123456789"[..]
    );
    server.stop().await;
    assert_eq!(
        files_below(root.path()).len(),
        1,
        "no half-written upload stays"
    );
}

#[tokio::test]
async fn upload_altered_on_the_way_is_refused() {
    let root = temp_root();
    let server = server_with_clip(root.path()).await;
    let store = store_behind(&server, |client, upstream| async move {
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = upstream.into_split();
        tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
        let mut bytes = vec![0; 65_536];
        while let Ok(count @ 1..) = from_client.read(&mut bytes).await {
            for byte in &mut bytes[..count] {
                *byte = if *byte == 0xee { 0xef } else { *byte };
            }
            to_server.write_all(&bytes[..count]).await.expect("send");
        }
    });
    let mut body = vec![7; 1_000_000];
    body[600_000] = 0xee;
    let error = store
        .await
        .put_bytes(KEY, body, "x/y")
        .await
        .expect_err("altered");
    assert!(!error.is_retryable(), "{error:?}");
    assert_eq!(
        server.store.get_bytes(KEY, 100).await.expect("get"),
        &b"0123456789"[..]
    );
    server.stop().await;
    assert_eq!(
        files_below(root.path()).len(),
        1,
        "the altered upload does not stay"
    );
}

#[tokio::test]
async fn keys_cannot_leave_the_root() {
    let root = temp_root();
    std::fs::write(root.path().join("outside"), vec![b' '; 4096]).expect("write");
    let server = Server::start(&root.path().join("objects")).await;
    server
        .store
        .put_bytes("a", &b"x"[..], "x/y")
        .await
        .expect("put");
    let address = server
        .options
        .endpoint
        .trim_start_matches("http://")
        .to_owned();
    for path in [
        "/kinora/../outside",
        "/kinora/..%2f..%2foutside",
        "/%2e%2e/outside",
        "/../outside",
    ] {
        let mut stream = TcpStream::connect(&address).await.expect("connect");
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("send");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("answer");
        assert!(answer.starts_with("HTTP/1.1 4"), "{path}: {answer}");
    }
}
