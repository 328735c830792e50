//! What is there already: repairs, files copied by hand, links, other revisions. Nothing good is destroyed.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod hub;

use std::path::Path;

use hub::{Hub, LARGE, Setup, catalogue, catalogue_text, options, sha256};
use kinora_model_store::{Acceptance, Catalogue, PullEvent, PullOptions, Store, StoreError, Trust};

fn repair() -> PullOptions {
    PullOptions {
        repair: true,
        ..options()
    }
}

/// The bytes of a file of the model, wherever it is now.
fn bytes_of(setup: &Setup, path: &str) -> Option<Vec<u8>> {
    let names = [
        format!("m/{path}"),
        format!("m.part/{path}"),
        format!("m.part/{path}.partial"),
    ];
    let read = |name: &String| std::fs::read(setup.root().join(name)).ok();
    names.iter().find_map(read)
}

fn is_good(setup: &Setup) -> bool {
    let verdicts = setup.verdicts();
    verdicts.iter().all(|verdict| verdict.verdict.is_good())
}

#[tokio::test]
async fn a_repair_asks_only_for_what_is_bad() {
    let setup = Setup::new(Hub::start().await);
    let before = setup.pull().await.unwrap().model.record;
    let requests = setup.hub.requests();
    let after = setup.pull_with(repair()).await.unwrap().model.record;
    assert_eq!(setup.hub.requests(), requests, "all files are good");
    assert_eq!(after.files, before.files, "with the trust that they had");
    let config = setup.root().join("m/config.json");
    std::fs::write(&config, b"{\"a\": 2}").unwrap();
    setup.pull_with(repair()).await.unwrap();
    assert_eq!(setup.hub.ranges("config.json"), [None, None]);
    assert_eq!(setup.hub.ranges("linked.bin"), [None]);
    assert!(is_good(&setup));
}

#[tokio::test]
async fn a_repair_without_a_hub_destroys_nothing() {
    let setup = Setup::new(Hub::start().await);
    setup.pull().await.unwrap();
    let folder = setup.root().join("m");
    std::fs::write(folder.join("linked.bin"), b"damaged bytes!").unwrap();
    setup.hub.fail(500);
    setup.pull_with(repair()).await.unwrap_err();
    let kept = |path| bytes_of(&setup, path).unwrap();
    assert_eq!(kept("config.json"), b"{\"a\": 1}");
    assert_eq!(kept("deep/large.bin"), *LARGE);
    assert_eq!(kept("linked.bin"), b"damaged bytes!");
    setup.hub.behave();
    setup.pull().await.unwrap();
    assert!(is_good(&setup));
    assert_eq!(setup.hub.ranges("config.json"), [None]);
}

#[tokio::test]
async fn files_that_were_copied_by_hand_stay_until_somebody_has_better_ones() {
    let setup = Setup::new(Hub::start().await);
    let folder = setup.root().join("m");
    std::fs::create_dir_all(folder.join("deep")).unwrap();
    std::fs::write(folder.join("config.json"), b"mine").unwrap();
    std::fs::write(folder.join("deep/large.bin"), b"half").unwrap();
    setup.hub.fail(503);
    setup.pull().await.unwrap_err();
    assert_eq!(bytes_of(&setup, "config.json").unwrap(), b"mine");
    assert_eq!(bytes_of(&setup, "deep/large.bin").unwrap(), b"half");
    setup.hub.behave();
    setup.pull().await.unwrap();
    assert!(is_good(&setup));
    assert_eq!(bytes_of(&setup, "config.json").unwrap(), b"{\"a\": 1}");
}

#[tokio::test]
async fn an_acceptance_survives_a_repair_that_fails() {
    let mut setup = Setup::new(Hub::start().await);
    setup.store = Store::new(setup.root(), catalogue(&setup.hub.address, true));
    let accepted = PullOptions {
        acceptance: Some(Acceptance {
            by: "Ada".to_owned(),
            at: chrono::Utc::now(),
        }),
        ..options()
    };
    setup.pull_with(accepted).await.unwrap();
    std::fs::remove_file(setup.root().join("m/config.json")).unwrap();
    setup.hub.fail(500);
    setup.pull_with(repair()).await.unwrap_err();
    setup.hub.behave();
    let licence = setup.pull().await.unwrap().model.record.licence;
    assert_eq!(licence.accepted.unwrap().by, "Ada");
}

#[tokio::test]
async fn a_card_that_was_edited_is_kept_and_a_damaged_one_is_written_again() {
    let setup = Setup::new(Hub::start().await);
    setup.pull().await.unwrap();
    let card = setup.root().join("m/kinora.json");
    let edited = std::fs::read_to_string(&card)
        .unwrap()
        .replace("\"M\"", "\"Mine\"");
    std::fs::write(&card, &edited).unwrap();
    setup.pull_with(repair()).await.unwrap();
    assert_eq!(std::fs::read_to_string(&card).unwrap(), edited);
    std::fs::write(&card, b"{\"id\":").unwrap();
    setup.pull_with(repair()).await.unwrap();
    assert!(std::fs::read_to_string(&card).unwrap().contains("\"M\""));
}

/// Puts a whole unfinished `linked.bin` there, with a note on it.
fn leave_unfinished(setup: &Setup, bytes: &[u8], origin: &str) {
    let part = setup.root().join("m.part");
    std::fs::create_dir_all(&part).unwrap();
    std::fs::write(part.join("linked.bin.partial"), bytes).unwrap();
    let promise = serde_json::json!({
        "origin": origin, "etag": "\"one\"", "sha256": sha256(bytes), "size": bytes.len(),
    });
    let notes = serde_json::json!({
        "revision": "0123", "promises": { "linked.bin": promise }, "finished": {},
    });
    std::fs::write(part.join("progress.json"), notes.to_string()).unwrap();
}

#[tokio::test]
async fn what_a_mirror_promised_is_not_the_word_of_the_hub() {
    let setup = Setup::new(Hub::start().await);
    leave_unfinished(
        &setup,
        b"evil elsewhere",
        "http://mirror/a/b/resolve/0123/linked.bin",
    );
    let record = setup.pull().await.unwrap().model.record;
    assert_eq!(bytes_of(&setup, "linked.bin").unwrap(), b"kept elsewhere");
    assert_eq!(record.files[2].trust, Trust::Hub);
    assert_eq!(setup.hub.ranges("linked.bin"), [None]);
}

#[tokio::test]
async fn what_the_hub_promised_holds_in_the_next_run() {
    let setup = Setup::new(Hub::start().await);
    let origin = format!("{}/a/b/resolve/0123/linked.bin", setup.hub.address);
    leave_unfinished(&setup, b"kept elsewhere", &origin);
    setup.pull().await.unwrap();
    assert!(setup.hub.ranges("linked.bin").is_empty());
}

#[tokio::test]
async fn old_bytes_without_a_digest_are_not_continued() {
    let setup = Setup::new(Hub::start().await);
    let part = setup.root().join("m.part");
    std::fs::create_dir_all(&part).unwrap();
    std::fs::write(part.join("config.json.partial"), b"evil").unwrap();
    let origin = format!("{}/a/b/resolve/0123/config.json", setup.hub.address);
    let notes = serde_json::json!({
        "revision": "0123", "finished": {},
        "promises": { "config.json": { "origin": origin, "etag": "\"one\"" } },
    });
    std::fs::write(part.join("progress.json"), notes.to_string()).unwrap();
    setup.pull().await.unwrap();
    assert_eq!(setup.hub.ranges("config.json"), [None]);
    assert_eq!(bytes_of(&setup, "config.json").unwrap(), b"{\"a\": 1}");
}

#[tokio::test]
async fn a_folder_that_is_a_link_is_refused() {
    let setup = Setup::new(Hub::start().await);
    let elsewhere = tempfile::tempdir().unwrap();
    std::fs::write(elsewhere.path().join("large.bin"), b"theirs").unwrap();
    std::fs::create_dir_all(setup.root().join("m")).unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), setup.root().join("m/deep")).unwrap();
    let error = setup.pull().await.unwrap_err();
    assert!(matches!(error, StoreError::LinkedFolder(_)), "{error}");
    let names = std::fs::read_dir(elsewhere.path()).unwrap();
    assert_eq!(names.count(), 1, "nothing is written or renamed there");
    let theirs = std::fs::read(elsewhere.path().join("large.bin")).unwrap();
    assert_eq!(theirs, b"theirs");
}

#[tokio::test]
async fn files_with_a_second_name_are_taken_and_never_written() {
    for bytes in [LARGE.clone(), LARGE[..1000].to_vec(), hub::other_bytes()] {
        let setup = Setup::new(Hub::start().await);
        let cache = setup.root().join("cache.bin");
        let folder = setup.root().join("m/deep");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(&cache, &bytes).unwrap();
        std::fs::hard_link(&cache, folder.join("large.bin")).unwrap();
        setup.pull().await.unwrap();
        assert!(std::fs::read(&cache).unwrap() == bytes);
        let fetched = setup.hub.ranges("deep/large.bin");
        assert_eq!(fetched.is_empty(), bytes == *LARGE, "{fetched:?}");
        assert!(is_good(&setup));
    }
}

#[tokio::test]
async fn another_revision_is_named_and_replaced() {
    let mut setup = Setup::new(Hub::start().await);
    setup.pull().await.unwrap();
    let text = catalogue_text(&setup.hub.address, false).replace("0123", "4567");
    setup.store = Store::new(setup.root(), Catalogue::parse("test", &text).unwrap());
    let offline = PullOptions {
        offline: true,
        ..options()
    };
    let refused = setup.pull_with(offline).await.unwrap_err();
    assert!(matches!(refused, StoreError::Offline { .. }), "{refused}");
    assert_eq!(setup.store.models().unwrap().len(), 1, "the old one stays");
    let record = setup.pull().await.unwrap().model.record;
    assert_eq!(record.revision, "4567");
    let event = PullEvent::OtherRevision {
        installed: "0123".to_owned(),
        wanted: "4567".to_owned(),
    };
    assert!(setup.events().contains(&event));
    let fetched = |path| setup.hub.ranges(path).len();
    assert_eq!([fetched("deep/large.bin"), fetched("config.json")], [1, 2]);
}

fn change_record(folder: &Path, key: &str, value: serde_json::Value) {
    let path = folder.join("store.json");
    let mut record: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    record[key] = value;
    std::fs::write(&path, record.to_string()).unwrap();
}

#[tokio::test]
async fn the_record_of_another_model_counts_for_nothing() {
    let setup = Setup::new(Hub::start().await);
    let folder = setup.pull().await.unwrap().model.folder;
    change_record(&folder, "id", "x".into());
    let pulled = setup.pull().await.unwrap();
    assert!(!pulled.was_installed);
    assert_eq!(pulled.model.record.id, "m");
}

#[tokio::test]
async fn a_record_of_a_later_version_is_not_guessed_at() {
    let setup = Setup::new(Hub::start().await);
    let folder = setup.pull().await.unwrap().model.folder;
    change_record(&folder, "format", 2.into());
    let error = setup.pull().await.unwrap_err();
    assert!(matches!(error, StoreError::Io { .. }), "{error}");
    assert!(setup.store.models().unwrap().is_empty());
}
