//! The client against the embedded server, over real HTTP.

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use futures::{StreamExt, stream};
use kinora_blobs::{BlobError, BlobErrorKind, BlobOptions, BlobStore, Secret};
use support::{Server, files_below, temp_root};

#[tokio::test]
async fn bytes_come_back_as_they_were_put() {
    let root = temp_root();
    let server = Server::start(root.path()).await;
    let store = &server.store;
    store
        .put_bytes("jobs/1/a.bin", &b"first"[..], "video/mp4")
        .await
        .expect("put");
    store
        .put_bytes("jobs/1/a.bin", &b"second!"[..], "image/webp")
        .await
        .expect("put over");
    assert_eq!(
        store.get_bytes("jobs/1/a.bin", 7).await.expect("get"),
        &b"second!"[..]
    );
    let info = store
        .head("jobs/1/a.bin")
        .await
        .expect("head")
        .expect("is there");
    assert_eq!(
        (info.size, info.content_type.as_deref()),
        (7, Some("image/webp"))
    );
    store
        .put_bytes("empty", Vec::new(), "text/plain")
        .await
        .expect("put nothing");
    assert!(store.get_bytes("empty", 0).await.expect("get").is_empty());
}

#[tokio::test]
async fn large_file_is_streamed_whole() {
    let root = temp_root();
    let server = Server::start(root.path()).await;
    let bytes: Vec<u8> = (0..20_000_000_u32)
        .map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()[3])
        .collect();
    let file = root.path().join("clip.mp4");
    std::fs::write(&file, &bytes).expect("write");
    let size = server
        .store
        .put_file("clip.mp4", &file, "video/mp4")
        .await
        .expect("put");
    assert_eq!(size, 20_000_000);
    let back = server.store.get_bytes("clip.mp4", size).await.expect("get");
    assert!(back == bytes, "the bytes differ");
}

#[tokio::test]
async fn object_over_the_limit_is_not_read() {
    let root = temp_root();
    let server = Server::start(root.path()).await;
    server
        .store
        .put_bytes("a", vec![0; 100], "x/y")
        .await
        .expect("put");
    let error = server
        .store
        .get_bytes("a", 99)
        .await
        .expect_err("too large");
    assert!(
        matches!(error, BlobError::TooLarge { size: 100, max: 99 }),
        "{error:?}"
    );
}

#[tokio::test]
async fn missing_object_bucket_and_file_are_told_apart() {
    let root = temp_root();
    let server = Server::start(root.path()).await;
    assert!(server.store.head("nope").await.expect("head").is_none());
    let missing = server
        .store
        .get_bytes("nope", 10)
        .await
        .expect_err("missing");
    assert_eq!(missing.kind(), BlobErrorKind::NotFound);
    let elsewhere = BlobStore::new(&BlobOptions {
        bucket: "other".into(),
        ..server.options.clone()
    });
    let no_bucket = elsewhere
        .put_bytes("a", &b"x"[..], "x/y")
        .await
        .expect_err("no bucket");
    assert_eq!(no_bucket.kind(), BlobErrorKind::NotFound);
    let no_file = server
        .store
        .put_file("a", &root.path().join("no-file"), "x/y")
        .await;
    assert!(matches!(no_file, Err(BlobError::LocalFile(_))));
}

#[tokio::test]
async fn wrong_secret_is_refused_and_unreachable_store_is_retryable() {
    let root = temp_root();
    let server = Server::start(root.path()).await;
    let secret_key = Secret::new("wrong");
    let stranger = BlobStore::new(&BlobOptions {
        secret_key,
        ..server.options.clone()
    });
    for error in [
        stranger
            .put_bytes("a", &b"x"[..], "x/y")
            .await
            .expect_err("put"),
        stranger.get_bytes("a", 10).await.expect_err("get"),
        stranger.list("").await.expect_err("list"),
        stranger.delete_prefix("jobs/").await.expect_err("delete"),
        stranger.ensure_bucket().await.expect_err("bucket"),
    ] {
        assert_eq!(error.kind(), BlobErrorKind::Refused, "{error:?}");
    }
    let endpoint = "http://127.0.0.1:1".to_owned();
    let nowhere = BlobStore::new(&BlobOptions {
        endpoint,
        ..server.options.clone()
    });
    let error = nowhere.ensure_bucket().await.expect_err("nobody there");
    assert!(error.is_retryable(), "{error:?}");
}

#[tokio::test]
async fn lists_and_deletes_go_on_over_pages() {
    let root = temp_root();
    let server = Server::start(root.path()).await;
    let store = &server.store;
    let puts = stream::iter(0..1003).for_each_concurrent(64, |i| async move {
        store
            .put_bytes(&format!("jobs/1/{i}"), &b"x"[..], "x/y")
            .await
            .expect("put");
    });
    puts.await;
    for key in ["jobs/10/kept", "jobs/1.kept", "other/kept"] {
        store.put_bytes(key, &b"x"[..], "x/y").await.expect("put");
    }
    let listed = store.list("jobs/1/").await.expect("list");
    let distinct: BTreeSet<_> = listed.iter().map(|object| object.key.as_str()).collect();
    assert_eq!((listed.len(), distinct.len()), (1003, 1003));
    assert_eq!(store.list("jobs/1").await.expect("list").len(), 1005);
    assert_eq!(store.delete_prefix("jobs/1/").await.expect("delete"), 1003);
    assert_eq!(store.delete_prefix("jobs/1/").await.expect("again"), 0);
    let left: Vec<_> = store
        .list("")
        .await
        .expect("list")
        .into_iter()
        .map(|o| o.key)
        .collect();
    assert_eq!(left, ["jobs/1.kept", "jobs/10/kept", "other/kept"]);
    assert_eq!(
        files_below(root.path()).len(),
        3,
        "a deleted object leaves nothing on the disk"
    );
    assert!(
        !root.path().join("kinora/jobs/1").exists(),
        "nor its folder"
    );
}

#[tokio::test]
async fn prefix_that_is_no_folder_is_not_deleted() {
    let root = temp_root();
    let server = Server::start(root.path()).await;
    for prefix in ["", "/", "jobs/1"] {
        let error = server.store.delete_prefix(prefix).await.expect_err(prefix);
        assert_eq!(error.kind(), BlobErrorKind::Invalid);
    }
}

#[tokio::test]
async fn objects_survive_a_restart_and_half_done_uploads_do_not() {
    let root = temp_root();
    let server = Server::start(root.path()).await;
    server
        .store
        .put_bytes("kept", &b"x"[..], "image/webp")
        .await
        .expect("put");
    server.stop().await;
    std::fs::write(root.path().join(".incoming/7"), "half").expect("write");
    let server = Server::start(root.path()).await;
    let info = server
        .store
        .head("kept")
        .await
        .expect("head")
        .expect("is there");
    assert_eq!(info.content_type.as_deref(), Some("image/webp"));
    assert_eq!(files_below(root.path()).len(), 1);
}

#[tokio::test]
async fn one_folder_is_served_by_one_server() {
    let root = temp_root();
    let _server = Server::start(root.path()).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("bind");
    let secret = Secret::new("s");
    let second = kinora_blobs::EmbeddedS3::serve(
        listener,
        root.path().to_owned(),
        "k".into(),
        secret,
        std::future::pending(),
    );
    let error = second.await.expect_err("in use");
    assert!(
        error.to_string().contains("in use by another process"),
        "{error}"
    );
}

#[tokio::test]
async fn root_that_goes_away_is_an_error_and_not_a_hang() {
    let root = temp_root();
    let server = Server::start(&root.path().join("objects")).await;
    std::fs::remove_dir_all(root.path().join("objects/.incoming")).expect("remove");
    std::fs::write(root.path().join("objects/.incoming"), "a file").expect("write");
    let put = server.store.put_bytes("a", &b"x"[..], "x/y");
    let put = tokio::time::timeout(Duration::from_secs(60), put)
        .await
        .expect("in time");
    assert!(put.is_err());
    assert!(server.store.head("a").await.expect("head").is_none());
}

#[tokio::test]
async fn many_puts_and_deletes_of_one_folder_do_not_trip_each_other() {
    let root = temp_root();
    let server = Server::start(root.path()).await;
    let tasks: Vec<_> = (0..16)
        .map(|task| {
            let store = server.store.clone();
            tokio::spawn(async move {
                for _ in 0..10 {
                    let key = format!("jobs/1/{task}");
                    store
                        .put_bytes(&key, vec![task; 1000], "x/y")
                        .await
                        .expect("put");
                    let back = store.get_bytes(&key, 1000).await.expect("own object");
                    assert_eq!(back, vec![task; 1000]);
                    store
                        .delete_prefix(&format!("jobs/1/{task}/"))
                        .await
                        .expect("nothing there");
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no panic");
    }
    assert_eq!(server.store.list("jobs/").await.expect("list").len(), 16);
}
