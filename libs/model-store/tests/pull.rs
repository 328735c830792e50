//! Pulls from servers that misbehave.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod hub;

use std::path::PathBuf;

use hub::{Fault, Hub, LARGE, Setup, options};
use kinora_model_store::{FileVerdict, ModelState, PullEvent, StoreError, Trust};

#[tokio::test]
async fn a_model_appears_whole_with_card_and_record() {
    let setup = Setup::new(Hub::start().await);
    let pulled = setup.pull().await.unwrap();
    assert!(!pulled.was_installed);
    let folder = setup.store.open_model("m").unwrap();
    assert_eq!(
        std::fs::read(folder.join("deep/large.bin")).unwrap(),
        LARGE.as_slice()
    );
    let card = std::fs::read_to_string(folder.join("kinora.json")).unwrap();
    assert!(card.contains("\"id\": \"m\""), "{card}");
    assert!(!folder.join("progress.json").exists());
    assert!(!setup.root().join("m.part").exists());
    let trust = pulled
        .model
        .record
        .files
        .iter()
        .map(|file| (file.path.as_str(), file.trust));
    let expected = [
        ("config.json", Trust::FirstUse),
        ("deep/large.bin", Trust::Catalogue),
        ("linked.bin", Trust::Hub),
    ];
    assert_eq!(trust.collect::<Vec<_>>(), expected);
    assert!(
        setup
            .verdicts()
            .iter()
            .all(|verdict| verdict.verdict.is_good())
    );
}

#[tokio::test]
async fn a_second_pull_asks_for_nothing() {
    let setup = Setup::new(Hub::start().await);
    setup.pull().await.unwrap();
    let requests = setup.hub.requests();
    assert!(setup.pull().await.unwrap().was_installed);
    assert_eq!(setup.hub.requests(), requests);
}

#[tokio::test]
async fn a_connection_that_closes_early_is_continued_where_it_broke() {
    let setup = Setup::new(Hub::start().await.with(Fault::CloseAfter(100_000), 3));
    setup.pull().await.unwrap();
    let ranges = setup.hub.ranges("deep/large.bin");
    assert_eq!(ranges[..2], [None, Some(100_000)]);
    assert_eq!(ranges.len(), 4);
}

#[tokio::test]
async fn a_server_that_ignores_ranges_starts_the_file_again() {
    let hub = Hub::start().await.with(Fault::CloseAfter(100_000), 1);
    let setup = Setup::new(hub.without_ranges());
    setup.pull().await.unwrap();
    let is_restart = |event: &PullEvent| matches!(event, PullEvent::Restarted { .. });
    assert_eq!(
        setup
            .events()
            .iter()
            .filter(|event| is_restart(event))
            .count(),
        1
    );
    assert!(
        setup
            .verdicts()
            .iter()
            .all(|verdict| verdict.verdict.is_good())
    );
}

#[tokio::test]
async fn a_server_that_fails_for_a_while_is_asked_again() {
    let setup = Setup::new(Hub::start().await.with(Fault::Status(503), 3));
    setup.pull().await.unwrap();
    assert_eq!(setup.hub.ranges("deep/large.bin").len(), 4);
}

#[tokio::test]
async fn a_server_that_fails_for_good_is_given_up_with_the_bytes_kept() {
    let setup = Setup::new(
        Hub::start()
            .await
            .with(Fault::CloseAfter(100_000), 1)
            .then(Fault::Status(500), 99),
    );
    let error = setup.pull().await.unwrap_err();
    assert!(matches!(&error, StoreError::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains("500"), "{error}");
    assert_eq!(setup.partial_length(), 100_000);
    assert!(matches!(
        setup.store.open_model("m"),
        Err(StoreError::NotInstalled { .. })
    ));
    setup.hub.behave();
    setup.pull().await.unwrap();
    assert_eq!(
        setup.hub.ranges("deep/large.bin").last(),
        Some(&Some(100_000))
    );
}

#[tokio::test]
async fn a_server_that_goes_silent_is_left_and_asked_again() {
    let setup = Setup::new(Hub::start().await.with(Fault::StallAfter(100_000), 1));
    setup.pull().await.unwrap();
    assert_eq!(setup.hub.ranges("deep/large.bin"), [None, Some(100_000)]);
}

#[tokio::test]
async fn other_bytes_are_deleted_and_both_digests_named() {
    let setup = Setup::new(Hub::start().await.with(Fault::OtherBytes, 99));
    let error = setup.pull().await.unwrap_err().to_string();
    assert!(error.contains(&hub::sha256(&LARGE)), "{error}");
    assert!(error.contains(&hub::sha256(&hub::other_bytes())), "{error}");
    assert_eq!(setup.partial_length(), 0);
    assert!(setup.store.models().unwrap().is_empty());
}

#[tokio::test]
async fn bytes_of_an_earlier_run_that_are_wrong_are_fetched_again() {
    let setup = Setup::new(Hub::start().await);
    let part = setup.root().join("m.part/deep");
    std::fs::create_dir_all(&part).unwrap();
    std::fs::write(part.join("large.bin.partial"), vec![9; 1000]).unwrap();
    setup.pull().await.unwrap();
    assert_eq!(setup.hub.ranges("deep/large.bin"), [Some(1000), None]);
    assert!(
        setup
            .verdicts()
            .iter()
            .all(|verdict| verdict.verdict.is_good())
    );
}

#[tokio::test]
async fn a_file_that_is_longer_than_announced_is_not_written() {
    for fault in [Fault::TooLong, Fault::TooLongUnannounced] {
        let setup = Setup::new(Hub::start().await.with(fault, 99));
        let error = setup.pull().await.unwrap_err();
        assert!(matches!(error, StoreError::SizeMismatch { .. }), "{error}");
        assert_eq!(setup.partial_length(), 0);
    }
}

#[tokio::test]
async fn a_file_that_is_not_there_is_named_at_once() {
    let setup = Setup::new(Hub::start().await.with(Fault::Status(404), 99));
    let error = setup.pull().await.unwrap_err();
    assert!(matches!(error, StoreError::Refused { .. }), "{error}");
    assert!(error.to_string().contains("deep/large.bin"), "{error}");
    assert_eq!(setup.hub.ranges("deep/large.bin").len(), 1);
}

#[tokio::test]
async fn the_token_is_for_the_hub_and_not_for_where_it_points() {
    let elsewhere = Hub::start().await;
    let hub = Hub::start().await.redirecting_to(&elsewhere);
    let setup = Setup::new(hub);
    let options = kinora_model_store::PullOptions {
        token: kinora_model_store::HubToken::new("hf_secret"),
        ..options()
    };
    setup.pull_with(options).await.unwrap();
    assert!(
        setup
            .hub
            .tokens()
            .iter()
            .all(|token| token.as_deref() == Some("Bearer hf_secret"))
    );
    assert!(elsewhere.requests() > 0);
    assert!(elsewhere.tokens().iter().all(Option::is_none));
}

#[tokio::test]
async fn redirects_without_end_are_refused() {
    let setup = Setup::new(Hub::start().await.with(Fault::RedirectToItself, 99));
    let error = setup.pull().await.unwrap_err().to_string();
    assert!(error.contains("more than 5 redirects"), "{error}");
}

#[tokio::test]
async fn two_pulls_at_once_fetch_once() {
    let setup = Setup::new(Hub::start().await);
    let other = setup.other_handle();
    let (first, second) = tokio::join!(setup.pull(), other.pull());
    let fetched = [first.unwrap(), second.unwrap()];
    assert_eq!(
        fetched.iter().filter(|pulled| pulled.was_installed).count(),
        1
    );
    assert_eq!(setup.hub.ranges("deep/large.bin"), [None]);
    let waited = [setup.events(), other.events()].concat();
    assert!(waited.contains(&PullEvent::WaitingForLock));
}

#[tokio::test]
async fn a_pull_that_is_dropped_goes_on_where_it_was() {
    let setup = Setup::new(Hub::start().await.with(Fault::StallAfter(100_000), 1));
    tokio::select! {
        _ = setup.pull() => panic!("the server stalls"),
        () = setup.until_stalled() => {}
    }
    assert_eq!(setup.store.list().unwrap()[0].state, ModelState::Partial);
    setup.pull().await.unwrap();
    assert_eq!(setup.hub.ranges("deep/large.bin"), [None, Some(100_000)]);
    assert_eq!(
        setup.hub.ranges("linked.bin"),
        [None],
        "finished files are not fetched again"
    );
}

#[tokio::test]
async fn damage_is_found_and_mended() {
    let setup = Setup::new(Hub::start().await);
    let folder = setup.pull().await.unwrap().model.folder;
    let mut bytes = LARGE.clone();
    bytes[5] ^= 1;
    std::fs::write(folder.join("deep/large.bin"), &bytes).unwrap();
    std::fs::remove_file(folder.join("config.json")).unwrap();
    let bad: Vec<FileVerdict> = setup
        .verdicts()
        .into_iter()
        .filter(|v| !v.verdict.is_good())
        .collect();
    let names: Vec<&str> = bad.iter().map(|verdict| verdict.path.as_str()).collect();
    assert_eq!(names, ["config.json", "deep/large.bin"]);
    let options = kinora_model_store::PullOptions {
        repair: true,
        ..options()
    };
    setup.pull_with(options).await.unwrap();
    assert!(
        setup
            .verdicts()
            .iter()
            .all(|verdict| verdict.verdict.is_good())
    );
}

#[tokio::test]
async fn files_that_were_copied_by_hand_are_taken_when_they_are_right() {
    let setup = Setup::new(Hub::start().await);
    let folder = setup.root().join("m/deep");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("large.bin"), LARGE.as_slice()).unwrap();
    setup.pull().await.unwrap();
    assert!(setup.hub.ranges("deep/large.bin").is_empty());
}

#[tokio::test]
async fn a_link_into_another_folder_is_never_written_through() {
    let setup = Setup::new(Hub::start().await);
    let cache = setup.root().join("cache.bin");
    std::fs::create_dir_all(setup.root().join("m/deep")).unwrap();
    std::fs::write(&cache, b"somebody else's").unwrap();
    std::os::unix::fs::symlink(&cache, setup.root().join("m/deep/large.bin")).unwrap();
    setup.pull().await.unwrap();
    assert_eq!(std::fs::read(&cache).unwrap(), b"somebody else's");
    assert!(
        setup
            .verdicts()
            .iter()
            .all(|verdict| verdict.verdict.is_good())
    );
}

#[tokio::test]
async fn a_store_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file: PathBuf = folder.path().join("file");
    std::fs::write(&file, b"").unwrap();
    let setup = Setup::at(Hub::start().await, file.join("store"));
    let error = setup.pull().await.unwrap_err();
    assert!(error.to_string().contains("file/store"), "{error}");
}

#[tokio::test]
async fn a_volume_that_disappears_ends_the_pull_with_its_name() {
    let setup = Setup::new(Hub::start().await.with(Fault::StallAfter(100_000), 1));
    let vanish = async {
        setup.until_stalled().await;
        std::fs::remove_dir_all(setup.root()).unwrap();
    };
    let (result, ()) = tokio::join!(setup.pull(), vanish);
    let error = result.unwrap_err();
    assert!(error.to_string().contains("m.part"), "{error}");
}
