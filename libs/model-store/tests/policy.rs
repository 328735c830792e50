//! Licences, mirrors, offline work, room and removal.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod hub;

use std::fs::File;

use hub::{Hub, LARGE, Setup, catalogue, options};
use kinora_model_store::{
    Acceptance, LicenceState, Mirror, ModelState, PullOptions, Store, StoreError, Trust,
    check_licence,
};

fn accepted_by(name: &str) -> PullOptions {
    PullOptions {
        acceptance: Some(Acceptance {
            by: name.to_owned(),
            at: chrono::Utc::now(),
        }),
        ..options()
    }
}

fn gated(hub: Hub) -> Setup {
    let mut setup = Setup::new(hub);
    setup.store = Store::new(setup.root(), catalogue(&setup.hub.address, true));
    setup
}

#[tokio::test]
async fn a_gated_model_is_refused_until_somebody_accepts() {
    let setup = gated(Hub::start().await);
    let error = setup.pull().await.unwrap_err();
    assert!(
        matches!(error, StoreError::LicenceNotAccepted { .. }),
        "{error}"
    );
    assert!(
        error.to_string().contains("https://example.org/terms"),
        "{error}"
    );
    assert_eq!(setup.hub.requests(), 0);
    let pulled = setup.pull_with(accepted_by("Ada")).await.unwrap();
    let licence = pulled.model.record.licence;
    assert_eq!(licence.accepted.unwrap().by, "Ada");
    assert_eq!(
        setup.store.list().unwrap()[0].licence_state,
        LicenceState::Accepted
    );
    setup.store.open_model("m").unwrap();
}

#[tokio::test]
async fn a_model_whose_terms_became_gated_is_not_loaded_until_they_are_accepted() {
    let setup = Setup::new(Hub::start().await);
    setup.pull().await.unwrap();
    let gated = Store::new(setup.root(), catalogue(&setup.hub.address, true));
    let refused = gated.open_model("m").unwrap_err();
    assert!(
        matches!(refused, StoreError::LicenceNotAccepted { .. }),
        "{refused}"
    );
    assert_eq!(
        gated.list().unwrap()[0].licence_state,
        LicenceState::MustBeAccepted
    );
    let observer = std::sync::Arc::new(|_| {});
    let pulled = Box::pin(gated.pull("m", accepted_by("Ada"), observer))
        .await
        .unwrap();
    assert!(pulled.was_installed, "nothing is fetched again");
    gated.open_model("m").unwrap();
}

#[tokio::test]
async fn an_acceptance_holds_for_the_terms_that_were_shown() {
    let setup = gated(Hub::start().await);
    let folder = setup
        .pull_with(accepted_by("Ada"))
        .await
        .unwrap()
        .model
        .folder;
    let text = hub::catalogue_text(&setup.hub.address, true).replace("not for money", "not at all");
    let changed = kinora_model_store::Catalogue::parse("test", &text).unwrap();
    let error = Store::new(setup.root(), changed)
        .open_model("m")
        .unwrap_err();
    assert!(
        matches!(error, StoreError::LicenceNotAccepted { .. }),
        "{error}"
    );
    check_licence(&folder).unwrap();
    let record = folder.join("store.json");
    let mut json: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&record).unwrap()).unwrap();
    json["licence"]["accepted"] = serde_json::Value::Null;
    std::fs::write(&record, json.to_string()).unwrap();
    assert!(
        check_licence(&folder).is_err(),
        "a folder that is named by hand is gated too"
    );
}

#[tokio::test]
async fn one_store_is_the_mirror_of_the_next_without_a_network() {
    let first = Setup::new(Hub::start().await);
    first.pull().await.unwrap();
    let second = Setup::new(first.hub.clone());
    let requests = first.hub.requests();
    let offline = PullOptions {
        mirror: Some(Mirror::Folder(first.root().to_owned())),
        offline: true,
        ..options()
    };
    let pulled = second.pull_with(offline).await.unwrap();
    assert_eq!(first.hub.requests(), requests);
    let trusts = pulled.model.record.files.iter().map(|file| file.trust);
    let expected = [Trust::FirstUse, Trust::Catalogue, Trust::FirstUse];
    assert_eq!(
        trusts.collect::<Vec<_>>(),
        expected,
        "a mirror's word is not the hub's"
    );
}

#[tokio::test]
async fn a_server_stands_in_for_the_hub() {
    let mirror = Hub::start().await;
    let setup = Setup::new(Hub::start().await);
    let through = PullOptions {
        mirror: Some(mirror.address.parse().unwrap()),
        token: kinora_model_store::HubToken::new("hf_secret"),
        ..options()
    };
    setup.pull_with(through).await.unwrap();
    assert_eq!(setup.hub.requests(), 0);
    assert_eq!(mirror.ranges("deep/large.bin"), [None]);
    assert!(
        mirror.tokens().iter().all(Option::is_none),
        "a mirror is not the hub"
    );
}

#[tokio::test]
async fn offline_asks_nobody_and_says_what_to_do() {
    let setup = Setup::new(Hub::start().await);
    let offline = PullOptions {
        offline: true,
        ..options()
    };
    let error = setup.pull_with(offline).await.unwrap_err().to_string();
    assert!(error.contains("--mirror"), "{error}");
    assert_eq!(setup.hub.requests(), 0);
}

#[tokio::test]
async fn a_model_that_somebody_fetches_is_not_removed() {
    let setup = Setup::new(Hub::start().await);
    setup.pull().await.unwrap();
    let lock = File::open(setup.root().join("m.lock")).unwrap();
    lock.lock().unwrap();
    assert!(matches!(
        setup.store.remove("m"),
        Err(StoreError::Locked(_))
    ));
    drop(lock);
    setup.store.remove("m").unwrap();
    assert_eq!(setup.store.list().unwrap()[0].state, ModelState::Absent);
    assert!(matches!(
        setup.store.remove("m"),
        Err(StoreError::NotInstalled { .. })
    ));
    assert!(matches!(
        setup.store.remove("../m"),
        Err(StoreError::NotInstalled { .. })
    ));
}

#[tokio::test]
async fn a_damaged_record_hides_its_model_and_no_other() {
    let setup = Setup::new(Hub::start().await);
    let folder = setup.pull().await.unwrap().model.folder;
    std::fs::write(folder.join("store.json"), b"{\"format\":").unwrap();
    assert!(setup.store.models().unwrap().is_empty());
    assert!(matches!(
        setup.store.open_model("m"),
        Err(StoreError::Io { .. })
    ));
    let repair = PullOptions {
        repair: true,
        ..options()
    };
    setup.pull_with(repair).await.unwrap();
    setup.store.open_model("m").unwrap();
}

#[tokio::test]
async fn a_crash_after_the_record_needs_no_network_to_finish() {
    let setup = Setup::new(Hub::start().await);
    let folder = setup.pull().await.unwrap().model.folder;
    std::fs::rename(&folder, setup.root().join("m.part")).unwrap();
    assert!(setup.store.models().unwrap().is_empty());
    let requests = setup.hub.requests();
    setup.pull().await.unwrap();
    assert_eq!(setup.hub.requests(), requests);
    setup.store.open_model("m").unwrap();
}

#[tokio::test]
async fn a_volume_without_room_is_refused_before_a_byte_is_fetched() {
    let mut setup = Setup::new(Hub::start().await);
    setup.store = setup.store.with_free_space(|_| Ok(1000));
    let error = setup.pull().await.unwrap_err();
    assert!(
        matches!(
            error,
            StoreError::NotEnoughSpace {
                available: 1000,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(setup.hub.requests(), 0);
}

#[tokio::test]
async fn a_size_that_the_source_announces_must_fit_too() {
    let hub = Hub::start().await;
    let mut setup = Setup::new(hub);
    // The catalogue knows nothing of the large file, and of its sum.
    let text = hub::catalogue_text(&setup.hub.address, false);
    let large = LARGE.len();
    let text = text
        .replace(
            &format!(", size = {large}, sha256 = \"{}\"", hub::sha256(&LARGE)),
            "",
        )
        .replace(
            &format!("download_bytes = {}", large + 22),
            "download_bytes = 5",
        );
    let catalogue = kinora_model_store::Catalogue::parse("test", &text).unwrap();
    setup.store = Store::new(setup.root(), catalogue).with_free_space(|_| Ok(1000));
    let error = setup.pull().await.unwrap_err();
    assert!(
        matches!(
            error,
            StoreError::NotEnoughSpace {
                needed: 400_000,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(setup.partial_length(), 0);
}

#[tokio::test]
async fn a_bucket_that_forbids_what_it_lacks_is_asked_for_the_other_layout() {
    let mirror = Hub::start().await.with_bucket_manners();
    let setup = Setup::new(Hub::start().await);
    let through = PullOptions {
        mirror: Some(mirror.address.parse().unwrap()),
        ..options()
    };
    setup.pull_with(through.clone()).await.unwrap();
    assert_eq!(setup.hub.requests(), 0);
    mirror.fail(403);
    let second = Setup::new(setup.hub.clone());
    let error = second.pull_with(through).await.unwrap_err().to_string();
    assert!(error.contains("403") && error.contains("mirror"), "{error}");
    assert!(!error.contains("--hub-token-file"), "{error}");
}
