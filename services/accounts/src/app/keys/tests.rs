use std::time::Duration;

use kinora_store::on_both_databases;
use kinora_testkit::wait::until;
use sea_orm::ActiveValue::Set;
use sea_orm::{EntityTrait, QueryOrder};

use super::*;
use crate::app::testing::{TestApp, refusal_of};
use crate::store::entity::people::user;
use crate::store::entity::trust::{audit, ended};

fn named(name: &str) -> NewKey {
    NewKey {
        name: name.to_owned(),
        ..NewKey::default()
    }
}

async fn key_of(test: &TestApp, caller: &Caller, new: NewKey) -> ApiKey {
    let made = test.app.create_key(caller, new, &Origin::default()).await;
    made.expect("the key is made").1
}

async fn holder(test: &TestApp, key: &ApiKey) -> Result<Holder, Error> {
    Ok(test.app.check_key(key).await?.0)
}

async fn change_user(test: &TestApp, user: Uuid, change: user::ActiveModel) {
    let tx = test.app.store.begin().await.unwrap();
    users::update(&tx, user, change).await.unwrap();
    tx.commit().await.unwrap();
}

async fn has_ended(test: &TestApp, id: Uuid) -> bool {
    let row = ended::Entity::find_by_id(id);
    row.one(test.app.store.reader()).await.unwrap().is_some()
}

async fn actions(test: &TestApp) -> Vec<String> {
    let lines = audit::Entity::find().order_by_asc(audit::Column::Id);
    let lines = lines.all(test.app.store.reader()).await.unwrap();
    lines.into_iter().map(|line| line.action).collect()
}

async fn revoke(test: &TestApp, caller: &Caller, id: Uuid) -> Result<(), Error> {
    test.app.revoke_key(caller, id, &Origin::default()).await
}

/// Rows of keys beyond what a test wants to make one by one.
async fn fill(test: &TestApp, owner: Uuid, count: usize) {
    let tx = test.app.store.begin().await.unwrap();
    for _ in 0..count {
        let key = ApiKey::generate().unwrap();
        let row = api_key::Model {
            id: key.id(),
            secret_sha256: key.secret_sha256().to_vec(),
            user_id: Some(owner),
            service_account_id: None,
            organisation_id: None,
            name: "one of many".to_owned(),
            hint: key.hint(),
            scopes: "videos:read".to_owned(),
            create_time: test.app.now(),
            expire_time: None,
            last_use_time: None,
            revoke_time: None,
        };
        keys::insert(&tx, row).await.unwrap();
    }
    tx.commit().await.unwrap();
}

on_both_databases! {
    async fn key_acts_for_who_made_it_and_its_making_is_told(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = test.user("ada@example.org").await;
        let key = key_of(&test, &ada, named("  render farm ")).await;
        let holder = holder(&test, &key).await.unwrap();
        assert_eq!((holder.subject, holder.organisation), (ada.id, None));
        assert_eq!(holder.scopes, ["videos:read", "videos:write", "webhooks"]);
        let listed = test.app.list_keys(&ada, None).await.unwrap();
        assert_eq!(listed.len(), 1);
        assert_eq!(listed[0].name, "render farm");
        assert!(key.reveal().starts_with(&listed[0].hint));
        assert_eq!(test.mails().await.len(), 1);
        assert_eq!(test.mails().await[0].recipient, "ada@example.org");
        assert_eq!(actions(&test).await, ["key.create"]);
    }

    async fn key_is_made_by_who_has_just_shown_a_credential(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = test.user("ada@example.org").await;
        test.clock.advance(TimeDelta::minutes(11));
        let made = test.app.create_key(&ada, named("late"), &Origin::default()).await;
        assert_eq!(refusal_of(made), Refusal::StepUpRequired);
        assert!(test.app.list_keys(&ada, None).await.unwrap().is_empty());
    }

    async fn bad_wishes_are_refused_and_leave_nothing(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = test.user("ada@example.org").await;
        let now = test.app.now();
        let until = |expire_time| NewKey { expire_time: Some(expire_time), ..named("key") };
        let with = |scope: &str| NewKey { scopes: vec![scope.to_owned()], ..named("key") };
        for (new, expected) in [
            (named(""), Refusal::NameInvalid),
            (named(&"x".repeat(1 << 20)), Refusal::NameInvalid),
            (until(now), Refusal::ExpiryInvalid),
            (until(now - TimeDelta::days(1)), Refusal::ExpiryInvalid),
            (until(now + TimeDelta::days(800)), Refusal::ExpiryInvalid),
            (with("account"), Refusal::ScopeNotAllowed),
            (with("admin"), Refusal::ScopeNotAllowed),
            (with("everything"), Refusal::ScopeUnknown),
            (NewKey { organisation: Some(Uuid::now_v7()), ..named("key") }, Refusal::NotFound),
            (NewKey { program: Some(Uuid::now_v7()), ..named("key") }, Refusal::NotFound),
        ] {
            let made = test.app.create_key(&ada, new, &Origin::default()).await;
            assert_eq!(refusal_of(made), expected);
        }
        assert!(test.app.list_keys(&ada, None).await.unwrap().is_empty());
        assert!(test.mails().await.is_empty());
    }

    async fn revoked_key_is_refused_with_its_tokens(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = test.user("ada@example.org").await;
        let key = key_of(&test, &ada, named("key")).await;
        assert!(!has_ended(&test, key.id()).await);
        revoke(&test, &ada, key.id()).await.unwrap();
        assert_eq!(refusal_of(holder(&test, &key).await), Refusal::ApiKeyInvalid);
        assert!(has_ended(&test, key.id()).await);
        // A second time changes nothing, and nobody is told again.
        revoke(&test, &ada, key.id()).await.unwrap();
        assert_eq!(test.mails().await.len(), 2);
        assert_eq!(actions(&test).await, ["key.create", "key.revoke"]);
    }

    async fn only_who_has_the_secret_learns_that_a_key_has_expired(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = test.user("ada@example.org").await;
        let expire_time = Some(test.app.now() + TimeDelta::hours(1));
        let key = key_of(&test, &ada, NewKey { expire_time, ..named("key") }).await;
        let guess = ApiKey::with_secret_of(&key, &ApiKey::generate().unwrap());
        assert!(holder(&test, &key).await.is_ok());
        assert_eq!(refusal_of(holder(&test, &guess).await), Refusal::ApiKeyInvalid);
        test.clock.advance(TimeDelta::hours(1));
        assert_eq!(refusal_of(holder(&test, &key).await), Refusal::ApiKeyExpired);
        assert_eq!(refusal_of(holder(&test, &guess).await), Refusal::ApiKeyInvalid);
        let unknown = ApiKey::generate().unwrap();
        assert_eq!(refusal_of(holder(&test, &unknown).await), Refusal::ApiKeyInvalid);
    }

    async fn keys_rest_while_their_owner_is_not_active(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = test.user("ada@example.org").await;
        let key = key_of(&test, &ada, named("key")).await;
        for state in [users::DISABLED, users::LEAVING] {
            let change = user::ActiveModel { state: Set(state), ..Default::default() };
            change_user(&test, ada.id, change).await;
            assert_eq!(refusal_of(holder(&test, &key).await), Refusal::ApiKeyInvalid);
            let made = test.app.create_key(&ada, named("key"), &Origin::default()).await;
            assert_eq!(refusal_of(made), Refusal::NotFound);
        }
        let change = user::ActiveModel { state: Set(users::ACTIVE), ..Default::default() };
        change_user(&test, ada.id, change).await;
        assert!(holder(&test, &key).await.is_ok());
    }

    async fn who_is_no_operator_any_more_has_no_operators_key(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let mut ada = test.user("ada@example.org").await;
        ada.is_operator = true;
        ada.scopes.push("admin".to_owned());
        let change = |is_operator| user::ActiveModel {
            is_operator: Set(is_operator),
            ..Default::default()
        };
        change_user(&test, ada.id, change(true)).await;
        let scopes = vec!["admin".to_owned(), "videos:read".to_owned()];
        let key = key_of(&test, &ada, NewKey { scopes, ..named("key") }).await;
        let before = holder(&test, &key).await.unwrap();
        assert_eq!(before.scopes, ["admin", "videos:read"]);
        change_user(&test, ada.id, change(false)).await;
        let after = holder(&test, &key).await.unwrap();
        assert_eq!(after.scopes, ["videos:read"]);
    }

    async fn foreign_key_reads_as_not_there(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = test.user("ada@example.org").await;
        let eve = test.user("eve@example.org").await;
        let key = key_of(&test, &ada, named("key")).await;
        assert_eq!(refusal_of(revoke(&test, &eve, key.id()).await), Refusal::NotFound);
        assert_eq!(refusal_of(revoke(&test, &eve, Uuid::now_v7()).await), Refusal::NotFound);
        assert!(test.app.list_keys(&eve, None).await.unwrap().is_empty());
        assert!(holder(&test, &key).await.is_ok());
    }

    async fn nobody_has_more_keys_than_allowed_even_when_they_are_made_at_once(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = test.user("ada@example.org").await;
        fill(&test, ada.id, 49).await;
        let origin = Origin::default();
        let (one, other) = tokio::join!(
            test.app.create_key(&ada, named("one"), &origin),
            test.app.create_key(&ada, named("other"), &origin),
        );
        let refused = if one.is_ok() { other } else { one };
        assert_eq!(refusal_of(refused), Refusal::TooManyKeys);
        let listed = test.app.list_keys(&ada, None).await.unwrap();
        assert_eq!(listed.len(), 50);
        revoke(&test, &ada, listed[0].id).await.unwrap();
        key_of(&test, &ada, named("another")).await;
    }

    async fn revoked_keys_are_listed_for_thirty_days(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = test.user("ada@example.org").await;
        let expire_time = Some(test.app.now() + TimeDelta::hours(1));
        let expiring = key_of(&test, &ada, NewKey { expire_time, ..named("old") }).await;
        test.clock.advance(TimeDelta::minutes(1));
        let revoked = key_of(&test, &ada, named("new")).await;
        revoke(&test, &ada, revoked.id()).await.unwrap();
        test.clock.advance(TimeDelta::days(29));
        let ids = || async {
            let keys = test.app.list_keys(&ada, None).await.unwrap();
            keys.into_iter().map(|key| key.id).collect::<Vec<_>>()
        };
        assert_eq!(ids().await, [revoked.id(), expiring.id()]);
        test.clock.advance(TimeDelta::days(1));
        assert_eq!(ids().await, [expiring.id()]);
    }

    async fn exchange_gives_a_token_and_notes_the_minute(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = test.user("ada@example.org").await;
        let key = key_of(&test, &ada, named("key")).await;
        test.clock.advance(TimeDelta::seconds(42));
        let (token, expire) = test.app.exchange_key(&key.reveal()).await.unwrap();
        assert_eq!(token.split('.').count(), 3);
        assert!(expire > test.app.now());
        let minute = test.app.now().duration_trunc(TimeDelta::minutes(1)).unwrap();
        until("the noted use", Duration::from_secs(20), || async {
            let keys = test.app.list_keys(&ada, None).await.unwrap();
            let noted = keys[0].last_use_time;
            if noted == Some(minute) { Ok(()) } else { Err(noted) }
        })
        .await;
    }

    async fn what_is_no_key_is_refused_before_anything_is_looked_up(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = test.user("ada@example.org").await;
        let text = key_of(&test, &ada, named("key")).await.reveal();
        // A database that is asked would answer with a failure.
        test.app.store.close().await;
        for text in [
            String::new(),
            text[..text.len() - 1].to_owned(),
            text.replace("kk_", "kx_"),
            "x".repeat(1 << 20),
            format!("{text}\0"),
        ] {
            let exchanged = test.app.exchange_key(&text).await;
            assert_eq!(refusal_of(exchanged), Refusal::ApiKeyInvalid);
        }
    }
}
