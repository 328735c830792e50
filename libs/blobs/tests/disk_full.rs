//! A store with no room left. Alone in its process, whose file size limit stands in for the disk's.

mod support;

use kinora_blobs::BlobErrorKind;
use rustix::process::{Resource, Rlimit, setrlimit};
use support::{Server, files_below, temp_root};
use tokio::signal::unix::{SignalKind, signal};

const LIMIT_BYTES: u64 = 1 << 20;
const SIGXFSZ: i32 = 25;

#[tokio::test]
async fn full_store_says_so_keeps_the_old_object_and_recovers() {
    let root = temp_root();
    let server = Server::start(root.path()).await;
    let store = &server.store;
    store.put_bytes("a", &b"old"[..], "x/y").await.expect("put");
    let _not_fatal = signal(SignalKind::from_raw(SIGXFSZ)).expect("handler");
    let limit = Rlimit {
        current: Some(LIMIT_BYTES),
        maximum: None,
    };
    setrlimit(Resource::Fsize, limit).expect("limit");

    let error = store
        .put_bytes("a", vec![1; 3 << 20], "x/y")
        .await
        .expect_err("no room");
    assert_eq!(error.kind(), BlobErrorKind::Full, "{error:?}");
    assert!(!error.is_retryable());
    assert_eq!(store.get_bytes("a", 10).await.expect("get"), &b"old"[..]);
    assert_eq!(
        files_below(root.path()).len(),
        1,
        "the half-written upload is gone"
    );

    store
        .put_bytes("a", &b"new"[..], "x/y")
        .await
        .expect("small objects still fit");
    assert_eq!(store.get_bytes("a", 10).await.expect("get"), &b"new"[..]);
}
