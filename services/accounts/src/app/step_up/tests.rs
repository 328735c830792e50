use std::time::Duration;

use chrono::TimeDelta;
use kinora_store::on_both_databases;
use sea_orm::ActiveValue::Set;

use super::*;
use crate::app::Switch;
use crate::app::testing::{TestApp, claims, refusal_of};
use crate::domain::totp::TotpSecret;

const PASSWORD: &str = "Stra\u{df}e n\u{e4}hrt 17";

fn home() -> Origin {
    Origin::new("192.0.2.1", "a browser")
}

fn elsewhere(number: u8) -> Origin {
    Origin::new(&format!("198.51.100.{number}"), "a script")
}

/// Somebody with a password, signed in at home with it.
async fn ada(test: &TestApp) -> Caller {
    let caller = test.user("ada@example.org").await;
    let hash = test.app.hasher.hash(Password::shown(PASSWORD)).await;
    let change = user::ActiveModel {
        password_hash: Set(Some(hash.unwrap())),
        ..Default::default()
    };
    test.changed(caller.id, change).await;
    let signed_in = test.app.sign_in("ada@example.org", PASSWORD, &home()).await;
    let Ok(crate::app::second_factor::SignedIn::Tokens(tokens)) = signed_in else {
        panic!("one factor is enough");
    };
    Caller {
        session: tokens.session,
        ..caller
    }
}

/// Ada, with codes from an app besides, half an hour after she signed in with her password alone.
async fn ada_with_codes(test: &TestApp) -> (Caller, TotpSecret) {
    let caller = ada(test).await;
    let enrolment = test.app.enrol_totp(&caller).await.unwrap();
    let secret = totp_rs::Secret::try_from_base32(&enrolment.secret).unwrap();
    let secret = TotpSecret::from_bytes(secret.to_vec());
    let code = secret.code_at(test.app.now());
    let confirmed = test.app.confirm_totp(&caller, &code, &home()).await;
    confirmed.unwrap();
    test.clock.advance(TimeDelta::minutes(30));
    (caller, secret)
}

/// Who calls with a token.
fn caller_of(tokens: &Tokens, before: &Caller) -> Caller {
    let claims = claims(&tokens.access);
    Caller {
        session: claims.sid,
        assurance: claims.aal,
        auth_time: Time::from_timestamp(claims.auth_time, 0).unwrap(),
        ..before.clone()
    }
}

async fn by_password(
    test: &TestApp,
    caller: &Caller,
    password: &str,
    origin: &Origin,
) -> Result<Tokens, Error> {
    let proof = Proof::Password(password);
    test.app.step_up(caller, proof, origin).await
}

fn wait<T>(answer: Result<T, Error>) -> Duration {
    match answer {
        Err(Error::Throttled { retry_after }) => retry_after,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("it was not throttled"),
    }
}

on_both_databases! {
    async fn password_alone_is_not_both_factors_where_there_are_two(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let caller = Caller { assurance: 2, ..ada(&test).await };
        let tx = test.app.store.begin().await.unwrap();
        second_factors::keep_totp(&tx, caller.id, vec![1], test.app.now()).await.unwrap();
        second_factors::take_step(&tx, caller.id, 1).await.unwrap();
        tx.commit().await.unwrap();
        let tokens = by_password(&test, &caller, PASSWORD, &home()).await.unwrap();
        let claims = claims(&tokens.access);
        assert_eq!(claims.aal, 1);
        let fresh = Caller { assurance: 1, session: tokens.session, ..caller };
        let refused = test.app.change_password(&fresh, PASSWORD, "another one 7531", false, &home()).await;
        assert_eq!(refusal_of(refused), Refusal::StepUpRequired);
    }

    async fn changes_need_both_factors_of_the_last_ten_minutes(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let (ada, secret) = ada_with_codes(&test).await;
        let may_change = async |caller: &Caller| {
            test.app.renew_recovery_codes(caller, &home()).await.is_ok()
        };
        let password = async |caller: &Caller| {
            let tokens = by_password(&test, caller, PASSWORD, &home()).await.unwrap();
            caller_of(&tokens, caller)
        };
        let code = async |caller: &Caller| {
            // Each is good once.
            test.clock.advance(TimeDelta::seconds(30));
            let code = secret.code_at(test.app.now());
            let tokens = test.app.step_up(caller, Proof::Totp(&code), &home()).await.unwrap();
            caller_of(&tokens, caller)
        };
        let code_alone = code(&ada).await;
        assert_eq!(code_alone.assurance, 2);
        assert_eq!(code_alone.auth_time.timestamp(), ada.auth_time.timestamp());
        assert!(!may_change(&code_alone).await);
        let both = password(&code_alone).await;
        assert!(may_change(&both).await);
        // Then the code grows old, and then the password.
        test.clock.advance(TimeDelta::minutes(8));
        let younger_password = password(&both).await;
        assert!(may_change(&younger_password).await);
        test.clock.advance(TimeDelta::minutes(3));
        assert!(!may_change(&younger_password).await);
        let younger_code = code(&younger_password).await;
        assert!(may_change(&younger_code).await);
        test.clock.advance(TimeDelta::minutes(7));
        assert!(!may_change(&younger_code).await);
    }

    async fn password_is_enough_where_no_code_is_asked_for(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = ada(&test).await;
        let tx = test.app.store.begin().await.unwrap();
        let shown = Shown { methods: &["hwk"], assurance: 2 };
        let opened = test.app.open_session(&tx, ada.id, shown, None, &home()).await;
        tx.commit().await.unwrap();
        test.clock.advance(TimeDelta::minutes(30));
        let ada = caller_of(&opened.unwrap(), &ada);
        let refused = test.app.enrol_totp(&ada).await.map(drop);
        assert_eq!(refusal_of(refused), Refusal::StepUpRequired);
        let tokens = by_password(&test, &ada, PASSWORD, &home()).await.unwrap();
        let ada = caller_of(&tokens, &ada);
        assert_eq!(ada.assurance, 2);
        test.app.enrol_totp(&ada).await.unwrap();
        // A refresh makes nothing fresher.
        test.clock.advance(TimeDelta::minutes(11));
        let refreshed = test.app.refresh(&tokens.refresh, Switch::Keep, &home()).await.unwrap();
        assert_eq!(caller_of(&refreshed, &ada).auth_time, ada.auth_time);
    }

    async fn code_of_unknown_age_counts_no_more(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let (ada, _) = ada_with_codes(&test).await;
        // As an earlier version has left it.
        let change = session::ActiveModel {
            assurance: Set(2),
            second_factor_time: Set(None),
            ..Default::default()
        };
        let tx = test.app.store.begin().await.unwrap();
        sessions::update(&tx, ada.session, change).await.unwrap();
        tx.commit().await.unwrap();
        let tokens = by_password(&test, &ada, PASSWORD, &home()).await.unwrap();
        let ada = caller_of(&tokens, &ada);
        let refused = test.app.renew_recovery_codes(&ada, &home()).await;
        assert_eq!((ada.assurance, refusal_of(refused)), (1, Refusal::StepUpRequired));
    }

    async fn password_of_another_keyboard_steps_up(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = ada(&test).await;
        by_password(&test, &ada, "Stra\u{df}e na\u{308}hrt 17", &home()).await.unwrap();
    }

    async fn stolen_session_is_no_place_to_guess_a_password_in(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = ada(&test).await;
        for _ in 0..6 {
            let wrong = by_password(&test, &ada, "a wrong one 33", &elsewhere(1)).await;
            assert_eq!(refusal_of(wrong), Refusal::CredentialsInvalid);
        }
        let computed = test.app.hasher.computed();
        let right = by_password(&test, &ada, PASSWORD, &elsewhere(1)).await;
        assert_eq!(wait(right), Duration::from_secs(1));
        assert_eq!(test.app.hasher.computed(), computed);
        // Sign-ins and step-ups count together, and from many networks, too.
        for number in 2..17 {
            let wrong = by_password(&test, &ada, "a wrong one 33", &elsewhere(number)).await;
            assert_eq!(refusal_of(wrong), Refusal::CredentialsInvalid, "{number}");
        }
        wait(test.app.sign_in("ada@example.org", PASSWORD, &elsewhere(99)).await.map(drop));
        // Ada is at home.
        by_password(&test, &ada, PASSWORD, &home()).await.unwrap();
    }

    async fn too_many_at_once_are_asked_to_come_back_and_not_counted(url: DatabaseUrl) {
        let mut options = TestApp::options(&url);
        options.password_hash_slots = std::num::NonZeroUsize::new(1);
        let test = TestApp::with(&url, options).await;
        let ada = ada(&test).await;
        let held = test.app.hasher.hold_all();
        for _ in 0..20 {
            let busy = by_password(&test, &ada, PASSWORD, &home()).await;
            assert_eq!(refusal_of(busy), Refusal::Busy);
        }
        drop(held);
        by_password(&test, &ada, PASSWORD, &home()).await.unwrap();
    }

    async fn account_without_a_password_costs_as_much(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let caller = test.user("ada@example.org").await;
        let computed = test.app.hasher.computed();
        let refused = by_password(&test, &caller, PASSWORD, &home()).await;
        assert_eq!(refusal_of(refused), Refusal::CredentialsInvalid);
        assert_eq!(test.app.hasher.computed(), computed + 1);
    }

    async fn codes_are_counted_across_sessions(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = ada(&test).await;
        let try_code = async |number| {
            let origin = elsewhere(number);
            test.app.step_up(&ada, Proof::Totp("000000"), &origin).await
        };
        for number in 0..11 {
            assert_eq!(refusal_of(try_code(number).await), Refusal::SecondFactorInvalid);
        }
        assert_eq!(wait(try_code(99).await), Duration::from_secs(10));
        test.clock.advance(TimeDelta::seconds(10));
        assert_eq!(refusal_of(try_code(99).await), Refusal::SecondFactorInvalid);
        assert_eq!(wait(try_code(99).await), Duration::from_secs(20));
        let home = test.app.step_up(&ada, Proof::Totp("000000"), &home()).await;
        assert_eq!(refusal_of(home), Refusal::SecondFactorInvalid);
    }
}
