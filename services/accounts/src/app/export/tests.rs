use std::io::Read;

use chrono::TimeDelta;
use futures::TryStreamExt;
use kinora_store::on_both_databases;
use sea_orm::ActiveValue::Set;
use sea_orm::EntityTrait;
use serde_json::Value;
use zip::ZipArchive;

use super::*;
use crate::app::NewKey;
use crate::app::testing::people::somewhere;
use crate::app::testing::{TestApp, refusal_of};
use crate::domain::caller::Role;
use crate::domain::password::Password;
use crate::domain::tokens::Shown;
use crate::store::entity::people::{identity, passkey, user};
use crate::store::entity::trust::audit as lines;
use crate::store::{identities, passkeys};

async fn archive(test: &TestApp, caller: &Caller) -> Vec<u8> {
    let chunks = test.app.export_data(caller, &somewhere()).await.unwrap();
    let chunks: Vec<Vec<u8>> = Box::pin(chunks.try_collect()).await.unwrap();
    let (last, full) = chunks.split_last().unwrap();
    assert!(full.iter().all(|chunk| chunk.len() == CHUNK_BYTES));
    assert!((1..=CHUNK_BYTES).contains(&last.len()));
    chunks.concat()
}

fn text(archive: &[u8], name: &str) -> String {
    let mut zip = ZipArchive::new(std::io::Cursor::new(archive)).unwrap();
    let mut text = String::new();
    let mut file = zip.by_name(name).unwrap();
    file.read_to_string(&mut text).unwrap();
    text
}

fn file(archive: &[u8], name: &str) -> Value {
    serde_json::from_str(&text(archive, name)).unwrap()
}

/// All that somebody can have, with secrets that are easy to find.
async fn give_everything(test: &TestApp, caller: &Caller) {
    let now = test.app.now();
    let hash = test.app.hasher.hash(Password::shown("gk4-Qz81wY")).await;
    let change = user::ActiveModel {
        password_hash: Set(Some(hash.unwrap())),
        ..Default::default()
    };
    test.changed(caller.id, change).await;
    let tx = test.app.store.begin().await.unwrap();
    let shown = Shown {
        methods: &["pwd"],
        assurance: 1,
    };
    let from = somewhere();
    let opened = test.app.open_session(&tx, caller.id, shown, None, &from);
    opened.await.unwrap();
    let key = passkey::Model {
        id: Uuid::now_v7(),
        user_id: caller.id,
        credential_id: caller.id.as_bytes().to_vec(),
        credential: "the-credential".to_owned(),
        name: "blue key".to_owned(),
        create_time: now,
        last_use_time: None,
    };
    assert!(passkeys::insert(&tx, key).await.unwrap());
    let elsewhere = identity::Model {
        id: Uuid::now_v7(),
        user_id: caller.id,
        provider: "it".to_owned(),
        issuer: "https://it.example".to_owned(),
        subject: caller.id.to_string(),
        email: "anna@it.example".to_owned(),
        create_time: now,
    };
    assert!(identities::insert(&tx, elsewhere).await.unwrap());
    tx.commit().await.unwrap();
    let new = NewKey {
        name: "my script".to_owned(),
        ..NewKey::default()
    };
    test.app
        .create_key(caller, new, &somewhere())
        .await
        .unwrap();
    let published = test
        .app
        .publish_terms(caller, "terms".to_owned())
        .await
        .unwrap();
    let app = &test.app;
    app.accept_terms(
        caller,
        published.version.try_into().unwrap(),
        &published.sha256,
        &somewhere(),
    )
    .await
    .unwrap();
    app.declare_age(caller, 1990, &somewhere()).await.unwrap();
}

on_both_databases! {
    async fn an_archive_holds_what_is_kept_of_its_owner(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let anna = test.person("anna").await;
        give_everything(&test, &anna).await;
        let shared = test.organisation_of(anna.id, Role::Admin).await;
        let archive = Box::pin(archive(&test, &anna)).await;
        let profile = &file(&archive, "profile.json")[0];
        assert_eq!(profile["email"], "anna@example.org");
        assert_eq!(profile["has_password"], true);
        assert_eq!(profile["age"]["assurance"], "declared");
        assert_eq!(profile["terms_version"], 1);
        assert_eq!(file(&archive, "identities.json")[0]["email"], "anna@it.example");
        assert_eq!(file(&archive, "passkeys.json")[0]["name"], "blue key");
        assert_eq!(file(&archive, "sessions.json")[0]["address"], "192.0.2.7");
        assert_eq!(file(&archive, "keys.json")[0]["name"], "my script");
        let organisation = &file(&archive, "organisations.json")[0];
        assert_eq!((&organisation["id"], &organisation["role"]), (&shared.to_string().into(), &"admin".into()));
        assert_eq!(file(&archive, "terms.json")[0]["version"], 1);
        assert_eq!(file(&archive, "invitations.json"), Value::Array(Vec::new()));
        let activity = file(&archive, "activity.json");
        let activity = activity.as_array().unwrap();
        let last = activity.last().unwrap();
        assert_eq!((&last["action"], &last["address"]), (&"data.export".into(), &"192.0.2.7".into()));
        assert!(activity.iter().any(|line| line["action"] == "age.declare"));
    }

    async fn no_secret_and_nothing_of_others_is_in_an_archive(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let (anna, ben) = (test.person("anna").await, test.operator("ben").await);
        give_everything(&test, &anna).await;
        give_everything(&test, &ben).await;
        let organisation = test.organisation_of(anna.id, Role::Owner).await;
        let from = somewhere();
        let invite = test.app.invite(&anna, organisation, "carl@example.org", Role::Member, &from);
        invite.await.unwrap();
        test.app.disable_user(&ben, anna.id, "said so").await.unwrap();
        test.app.enable_user(&ben, anna.id).await.unwrap();
        let tx = test.app.store.begin().await.unwrap();
        let line = Line::by(anna.id, Some(ben.id), "other.thing", &somewhere()).with_detail("private of ben");
        audit::append(&tx, line, test.app.now()).await.unwrap();
        tx.commit().await.unwrap();
        let row = test.row_of(anna.id).await;
        let archive = Box::pin(archive(&test, &anna)).await;
        let mut everything = String::new();
        for part in Part::ALL {
            everything += &text(&archive, part.file_name());
        }
        let ben_id = ben.id.to_string();
        let hash = row.password_hash.unwrap();
        for secret in [
            ben_id.as_str(), "ben", "carl", "private", &hash, "argon2", "the-credential", "sha256\":[",
            "refresh_key",
        ] {
            assert!(!everything.contains(secret), "{secret}");
        }
        let activity = file(&archive, "activity.json");
        let disabled = activity.as_array().unwrap().iter().find(|line| line["action"] == "user.disable");
        let disabled = disabled.unwrap();
        assert_eq!(disabled["actor"], "somebody else");
        assert_eq!((&disabled["detail"], &disabled["address"]), (&"said so".into(), &Value::Null));
    }

    async fn an_archive_of_many_lines_is_made_a_page_at_a_time(url: DatabaseUrl) {
        const LINES: usize = 10_000;
        let test = TestApp::on(&url).await;
        let anna = test.person("anna").await;
        let tx = test.app.store.begin().await.unwrap();
        for number in 0..LINES / 2000 {
            let rows = (0..2000).map(|_| lines::ActiveModel {
                id: Set(Uuid::now_v7()),
                time: Set(test.app.now()),
                actor: Set(anna.id.to_string()),
                subject: Set(Some(anna.id)),
                action: Set("tick".to_owned()),
                succeeded: Set(true),
                // What cannot be made smaller.
                detail: Set(format!("{number} {}", hex::encode(crate::random::bytes::<32>().unwrap()))),
                address: Set(String::new()),
                user_agent: Set(String::new()),
            });
            lines::Entity::insert_many(rows).exec_without_returning(&tx).await.unwrap();
        }
        tx.commit().await.unwrap();
        let reader = Reader::new(anna.id, "anna@example.org".to_owned(), Uuid::now_v7());
        let mut writing = Archive::new(test.app.store.clone(), reader);
        let mut taken = Vec::new();
        let mut most = 0;
        while let Some(chunk) = writing.next_chunk().await.unwrap() {
            most = most.max(chunk.len() + writing.sink.0.lock().len());
            taken.extend(chunk);
        }
        assert!(taken.len() > 5 * CHUNK_BYTES);
        assert!(most < 3 * CHUNK_BYTES, "{most}");
        assert_eq!(file(&taken, "activity.json").as_array().unwrap().len(), LINES);
    }

    async fn an_archive_needs_a_fresh_credential_and_comes_a_few_times_a_day(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let (anna, ben) = (test.person("anna").await, test.person("ben").await);
        for _ in 0..4 {
            Box::pin(archive(&test, &anna)).await;
        }
        let throttled = test.app.export_data(&anna, &somewhere()).await.err();
        assert!(matches!(throttled, Some(Error::Throttled { .. })));
        Box::pin(archive(&test, &ben)).await;
        test.clock.advance(TimeDelta::minutes(5));
        Box::pin(archive(&test, &anna)).await;
        test.clock.advance(TimeDelta::hours(1));
        let stale = test.app.export_data(&anna, &somewhere()).await;
        assert_eq!(refusal_of(stale.map(drop)), Refusal::StepUpRequired);
        assert_eq!(test.audited().await, ["data.export"; 6]);
    }
}
