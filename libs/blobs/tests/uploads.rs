//! What whoever has a URL to write may put there, from a program or from a page.

mod support;

use std::time::Duration;

use kinora_blobs::{PresignedPut, PutTerms};
use reqwest::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD,
    HeaderName, ORIGIN,
};
use reqwest::{Method, StatusCode};
use support::{Server, browser, temp_root};

fn header(answer: &reqwest::Response, name: HeaderName) -> &str {
    let value = answer.headers().get(&name);
    value.map_or("", |value| value.to_str().expect("ASCII"))
}

const UPLOAD: &str = "uploads/anna/1/picture";
const PICTURE: &[u8] = b"0123456789abcdef";
/// SHA-256 of the picture.
const DIGEST: &str = "9f9f5111f7b27a781f1f1ddde5ebc2dd2b796bfc7365c9c28b548e564176929f";

async fn put_url(server: &Server, sha256: Option<&str>) -> PresignedPut {
    let mut digest = [0; 32];
    let sha256 = sha256.map(|text| {
        hex::decode_to_slice(text, &mut digest).expect("a digest");
        digest
    });
    let terms = PutTerms {
        content_type: "image/png",
        size: PICTURE.len() as u64,
        sha256,
    };
    let ttl = Duration::from_secs(60);
    let signed = server.store.presign_put(UPLOAD, ttl, terms).await;
    signed.expect("presigned")
}

/// Puts as the headers say, but for those that are said otherwise.
async fn put(to: &PresignedPut, body: &[u8], otherwise: &[(&str, &str)]) -> reqwest::Response {
    let mut request = browser().put(&to.url).body(body.to_vec());
    for (name, value) in &to.headers {
        let other = otherwise.iter().find(|(other, _)| other == name);
        let value = other.map_or(value.as_str(), |(_, value)| value);
        // The client counts the body.
        if name != "content-length" {
            request = request.header(name, value);
        }
    }
    request.send().await.expect("an answer")
}

#[tokio::test]
async fn a_url_to_write_takes_what_was_announced() {
    let root = temp_root();
    let server = Server::start(root.path()).await;
    for sha256 in [None, Some(DIGEST)] {
        let to = put_url(&server, sha256).await;
        let names: Vec<&str> = to.headers.iter().map(|(name, _)| name.as_str()).collect();
        let is_said = |name| names.contains(&name);
        assert!(
            is_said("content-type") && is_said("content-length"),
            "{names:?}"
        );
        assert_eq!(
            is_said("x-amz-checksum-sha256"),
            sha256.is_some(),
            "{names:?}"
        );
        let answer = put(&to, PICTURE, &[]).await;
        let status = answer.status();
        assert_eq!(
            status,
            StatusCode::OK,
            "{}",
            answer.text().await.expect("text")
        );
        let kept = server.store.head(UPLOAD).await.expect("head");
        let kept = kept.expect("is there");
        assert_eq!(
            (kept.size, kept.content_type.as_deref()),
            (16, Some("image/png"))
        );
        server.store.delete(UPLOAD).await.expect("deletes");
    }
}

#[tokio::test]
async fn a_url_to_write_takes_nothing_else() {
    let root = temp_root();
    let server = Server::start(root.path()).await;
    let to = put_url(&server, Some(DIGEST)).await;
    let longer = [PICTURE, b"!"].concat();
    let other: Vec<u8> = PICTURE.iter().rev().copied().collect();
    let digest_of_other = [(
        "x-amz-checksum-sha256",
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
    )];
    let elsewhere = PresignedPut {
        url: to.url.replace("anna", "bert"),
        ..to.clone()
    };
    let silent = PresignedPut {
        headers: Vec::new(),
        ..to.clone()
    };
    for (to, body, otherwise) in [
        (&to, &longer[..], &[][..]),
        (&to, &PICTURE[1..], &[]),
        (&to, b"", &[]),
        (&to, PICTURE, &[("content-type", "text/html")]),
        (&to, &other, &[]),
        (&to, &other, &digest_of_other),
        (&elsewhere, PICTURE, &[]),
        (&silent, PICTURE, &[]),
    ] {
        let status = put(to, body, otherwise).await.status();
        assert!(status.is_client_error(), "{status} {otherwise:?}");
    }
    assert_eq!(server.store.list("uploads/").await.expect("lists"), []);
    let read = browser().get(&to.url).send().await.expect("get");
    assert_eq!(read.status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_page_of_another_origin_may_use_a_url() {
    let root = temp_root();
    let server = Server::start(root.path()).await;
    let to = put_url(&server, None).await;
    let asked = "content-type,x-amz-checksum-sha256";
    let preflight = browser()
        .request(Method::OPTIONS, &to.url)
        .header(ORIGIN, "https://app.example.org")
        .header(ACCESS_CONTROL_REQUEST_METHOD, "PUT")
        .header(ACCESS_CONTROL_REQUEST_HEADERS, asked);
    let answer = preflight.send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(header(&answer, ACCESS_CONTROL_ALLOW_ORIGIN), "*");
    assert!(header(&answer, ACCESS_CONTROL_ALLOW_METHODS).contains("PUT"));
    assert_eq!(header(&answer, ACCESS_CONTROL_ALLOW_HEADERS), asked);
    assert_eq!(put(&to, PICTURE, &[]).await.status(), StatusCode::OK);
    let url = server.url(UPLOAD).await;
    // A redirect from another origin leads here as from nowhere.
    for origin in ["https://app.example.org", "null"] {
        let read = browser().get(&url).header(ORIGIN, origin);
        let answer = read.send().await.expect("get");
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(header(&answer, ACCESS_CONTROL_ALLOW_ORIGIN), "*");
        assert!(header(&answer, ACCESS_CONTROL_EXPOSE_HEADERS).contains("content-range"));
    }
    let unsigned = url.split_once('?').expect("a query").0;
    let answer = browser()
        .get(unsigned)
        .header(ORIGIN, "https://app.example.org");
    let status = answer.send().await.expect("get").status();
    assert_eq!(status, StatusCode::FORBIDDEN);
}
