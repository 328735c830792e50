mod authenticator;

use kinora_store::on_both_databases;
use sea_orm::EntityTrait;

use self::authenticator::Authenticator;
use super::*;
use crate::app::testing::TestApp;
use crate::store::entity::trust::audit as lines;

fn nowhere() -> Origin {
    Origin::default()
}

fn refusal<T>(answer: Result<T, Error>) -> Refusal {
    match answer {
        Err(Error::Refused(refusal)) => refusal,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("it was not refused"),
    }
}

async fn register(
    test: &TestApp,
    caller: &Caller,
    authenticator: &mut Authenticator,
) -> Result<passkey::Model, Error> {
    let asked = test.app.begin_passkey_registration(caller).await?;
    let made = authenticator.register(&asked.options_json);
    let app = &test.app;
    app.complete_passkey_registration(caller, &asked.token, &made, " my key ", &nowhere())
        .await
}

async fn sign_in(test: &TestApp, authenticator: &mut Authenticator) -> Result<Tokens, Error> {
    let asked = test.app.begin_passkey_sign_in(&nowhere()).await?;
    let shown = authenticator.sign_in(&asked.options_json);
    let app = &test.app;
    app.complete_passkey_sign_in(&asked.token, &shown, &nowhere())
        .await
}

on_both_databases! {
    async fn a_registered_passkey_signs_in_with_two_factors(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let caller = test.user("a@example.org").await;
        let mut key = Authenticator::new();
        let asked = test.app.begin_passkey_registration(&caller).await.unwrap();
        let options: serde_json::Value = serde_json::from_str(&asked.options_json).unwrap();
        let wanted = &options["authenticatorSelection"];
        assert_eq!(wanted["residentKey"], "required");
        assert_eq!(wanted["userVerification"], "required");
        let row = register(&test, &caller, &mut key).await.unwrap();
        assert_eq!(row.name, "my key");

        let tokens = sign_in(&test, &mut key).await.unwrap();
        let sessions = crate::store::sessions::find(test.app.store.reader(), tokens.session).await;
        let session = sessions.unwrap().unwrap();
        assert_eq!((session.user_id, session.assurance), (caller.id, 2));
        assert_eq!(session.methods, "hwk");
        sign_in(&test, &mut key).await.unwrap();
        let listed = test.app.list_passkeys(&caller).await.unwrap();
        assert_eq!(listed.len(), 1);
        assert_eq!(listed[0].last_use_time, Some(test.app.now()));
        assert_eq!(test.mails().await.len(), 1);
    }

    async fn an_answer_is_good_once_and_for_its_challenge(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let caller = test.user("a@example.org").await;
        let mut key = Authenticator::new();
        register(&test, &caller, &mut key).await.unwrap();
        let app = &test.app;
        let (one, other) = (
            app.begin_passkey_sign_in(&nowhere()).await.unwrap(),
            app.begin_passkey_sign_in(&nowhere()).await.unwrap(),
        );
        let shown = key.sign_in(&one.options_json);
        let crossed = app.complete_passkey_sign_in(&other.token, &shown, &nowhere()).await;
        assert_eq!(refusal(crossed), Refusal::PasskeyInvalid);
        app.complete_passkey_sign_in(&one.token, &shown, &nowhere()).await.unwrap();
        let replayed = app.complete_passkey_sign_in(&one.token, &shown, &nowhere()).await;
        assert_eq!(refusal(replayed), Refusal::ChallengeInvalid);
        let late = app.begin_passkey_sign_in(&nowhere()).await.unwrap();
        test.clock.advance(LIFETIME);
        let shown = key.sign_in(&late.options_json);
        let late = app.complete_passkey_sign_in(&late.token, &shown, &nowhere()).await;
        assert_eq!(refusal(late), Refusal::ChallengeInvalid);
    }

    async fn a_copied_key_shows_by_its_counter(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let caller = test.user("a@example.org").await;
        let mut key = Authenticator::new();
        register(&test, &caller, &mut key).await.unwrap();
        sign_in(&test, &mut key).await.unwrap();
        sign_in(&test, &mut key).await.unwrap();
        key.counter = 0;
        assert_eq!(refusal(sign_in(&test, &mut key).await), Refusal::PasskeyInvalid);
        let lines = lines::Entity::find().all(test.app.store.reader()).await.unwrap();
        let refused = lines.iter().find(|line| line.action == "sign_in.passkey");
        assert!(refused.is_some_and(|line| !line.succeeded));
    }

    async fn a_key_elsewhere_or_of_nobody_signs_nobody_in(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let caller = test.user("a@example.org").await;
        let other = test.user("b@example.org").await;
        let mut key = Authenticator::new();
        register(&test, &caller, &mut key).await.unwrap();

        key.origin = "http://localhost.example.org:8080".to_owned();
        assert_eq!(refusal(sign_in(&test, &mut key).await), Refusal::PasskeyInvalid);
        key.origin = "http://localhost:8080".to_owned();
        key.verifies = false;
        assert_eq!(refusal(sign_in(&test, &mut key).await), Refusal::PasskeyInvalid);
        key.verifies = true;
        key.user_handle = other.id.as_bytes().to_vec();
        assert_eq!(refusal(sign_in(&test, &mut key).await), Refusal::PasskeyInvalid);
        let mut unknown = Authenticator::new();
        unknown.user_handle = caller.id.as_bytes().to_vec();
        assert_eq!(refusal(sign_in(&test, &mut unknown).await), Refusal::PasskeyInvalid);
        unknown.credential_id = key.credential_id.clone();
        assert_eq!(refusal(sign_in(&test, &mut unknown).await), Refusal::PasskeyInvalid);
        for json in ["", "{}", "[]", &"x".repeat(1 << 20)] {
            let asked = test.app.begin_passkey_sign_in(&nowhere()).await.unwrap();
            let app = &test.app;
            let refused = app.complete_passkey_sign_in(&asked.token, json, &nowhere()).await;
            assert_eq!(refusal(refused), Refusal::PasskeyInvalid);
        }
    }

    async fn registrations_are_checked(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let caller = test.user("a@example.org").await;
        let stranger = test.user("b@example.org").await;
        let app = &test.app;
        let mut key = Authenticator::new();
        key.verifies = false;
        assert_eq!(refusal(register(&test, &caller, &mut key).await), Refusal::PasskeyUnfit);
        key.verifies = true;

        let asked = app.begin_passkey_registration(&caller).await.unwrap();
        let made = key.register(&asked.options_json);
        let complete = async |caller: &Caller, name: &str| {
            app.complete_passkey_registration(caller, &asked.token, &made, name, &nowhere()).await
        };
        assert_eq!(refusal(complete(&caller, " ").await), Refusal::NameInvalid);
        assert_eq!(refusal(complete(&stranger, "key").await), Refusal::RegistrationEnded);
        complete(&caller, "key").await.unwrap();
        assert_eq!(refusal(complete(&caller, "key").await), Refusal::RegistrationEnded);
        // The same key cannot be somebody else's, too.
        assert_eq!(refusal(register(&test, &stranger, &mut key).await), Refusal::PasskeyUnfit);
        test.clock.advance(TimeDelta::minutes(11));
        assert_eq!(refusal(register(&test, &caller, &mut key).await), Refusal::StepUpRequired);
    }

    async fn the_last_way_in_stays(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let caller = test.user("a@example.org").await;
        let stranger = test.user("b@example.org").await;
        let app = &test.app;
        let one = register(&test, &caller, &mut Authenticator::new()).await.unwrap();
        let other = register(&test, &caller, &mut Authenticator::new()).await.unwrap();
        let foreign = app.remove_passkey(&stranger, one.id, &nowhere()).await;
        assert_eq!(refusal(foreign), Refusal::NotFound);
        app.remove_passkey(&caller, one.id, &nowhere()).await.unwrap();
        let last = app.remove_passkey(&caller, other.id, &nowhere()).await;
        assert_eq!(refusal(last), Refusal::LastCredential);
        assert_eq!(app.list_passkeys(&caller).await.unwrap().len(), 1);
        assert_eq!(test.mails().await.len(), 3);
    }

    async fn a_network_begins_no_sign_ins_without_end(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let caller = test.user("a@example.org").await;
        let mut key = Authenticator::new();
        register(&test, &caller, &mut key).await.unwrap();
        let office = Origin::new("192.0.2.1", "a browser");
        let app = &test.app;
        // Who signs in leaves room for the next one.
        for _ in 0..3 {
            let asked = app.begin_passkey_sign_in(&office).await.unwrap();
            let shown = key.sign_in(&asked.options_json);
            app.complete_passkey_sign_in(&asked.token, &shown, &office).await.unwrap();
        }
        for _ in 0..201 {
            app.begin_passkey_sign_in(&office).await.unwrap();
        }
        let Err(Error::Throttled { retry_after }) = app.begin_passkey_sign_in(&office).await else {
            panic!("it was not throttled");
        };
        assert_eq!(retry_after.as_secs(), 1);
        app.begin_passkey_sign_in(&Origin::new("192.0.2.2", "")).await.unwrap();
        test.clock.advance(TimeDelta::seconds(1));
        app.begin_passkey_sign_in(&office).await.unwrap();
    }

    async fn answers_that_do_not_hold_are_counted_by_account(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let caller = test.user("a@example.org").await;
        let mut key = Authenticator::new();
        register(&test, &caller, &mut key).await.unwrap();
        let mut forged = Authenticator::new();
        forged.user_handle = caller.id.as_bytes().to_vec();
        forged.credential_id = key.credential_id.clone();
        let try_from = async |key: &mut Authenticator, address: &str| {
            let origin = Origin::new(address, "");
            let asked = test.app.begin_passkey_sign_in(&origin).await.unwrap();
            let shown = key.sign_in(&asked.options_json);
            test.app.complete_passkey_sign_in(&asked.token, &shown, &origin).await
        };
        try_from(&mut key, "192.0.2.1").await.unwrap();
        for number in 0..11 {
            let address = format!("198.51.100.{number}");
            let refused = try_from(&mut forged, &address).await;
            assert_eq!(refusal(refused), Refusal::PasskeyInvalid);
        }
        let throttled = try_from(&mut forged, "198.51.100.99").await;
        assert!(matches!(throttled, Err(Error::Throttled { .. })));
        try_from(&mut key, "192.0.2.1").await.unwrap();
    }

    async fn passkey_of_a_disabled_or_erased_account_signs_nobody_in(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let caller = test.user("a@example.org").await;
        let mut key = Authenticator::new();
        register(&test, &caller, &mut key).await.unwrap();
        for (state, why) in [
            (users::DISABLED, Refusal::AccountDisabled),
            (users::ERASED, Refusal::PasskeyInvalid),
        ] {
            let state = sea_orm::ActiveValue::Set(state);
            test.changed(caller.id, user::ActiveModel { state, ..Default::default() }).await;
            assert_eq!(refusal(sign_in(&test, &mut key).await), why);
        }
    }
}
