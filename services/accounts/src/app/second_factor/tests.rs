use chrono::TimeDelta;
use kinora_store::on_both_databases;
use sea_orm::EntityTrait;
use totp_rs::Secret;

use super::*;
use crate::app::testing::TestApp;
use crate::store::entity::trust::audit as lines;

/// A person whose sign-ins ask for codes, in a session in which one was given.
struct Enrolled {
    caller: Caller,
    secret: TotpSecret,
    recovery_codes: Vec<String>,
}

fn nowhere() -> Origin {
    Origin::default()
}

async fn enrolled(test: &TestApp, email: &str) -> Enrolled {
    let mut caller = test.user(email).await;
    let enrolment = test.app.enrol_totp(&caller).await.unwrap();
    let secret = Secret::try_from_base32(&enrolment.secret).unwrap();
    let secret = TotpSecret::from_bytes(secret.to_vec());
    let code = secret.code_at(test.app.now());
    let confirmed = test.app.confirm_totp(&caller, &code, &nowhere()).await;
    caller.assurance = 2;
    // The code that confirmed it is used up.
    test.clock.advance(TimeDelta::seconds(30));
    Enrolled {
        caller,
        secret,
        recovery_codes: confirmed.unwrap(),
    }
}

async fn first_step(test: &TestApp, user: Uuid) -> SignedIn {
    let tx = test.app.store.begin().await.unwrap();
    let signed_in = test
        .app
        .end_first_step(&tx, user, (&["pwd"], test.app.now()), &nowhere())
        .await;
    tx.commit().await.unwrap();
    signed_in.unwrap()
}

async fn challenge(test: &TestApp, user: Uuid) -> String {
    match first_step(test, user).await {
        SignedIn::Challenge(challenge) => challenge.token,
        SignedIn::Tokens(_) => panic!("one factor was enough"),
    }
}

async fn second_step(test: &TestApp, token: &str, code: &str) -> Result<Tokens, Refusal> {
    let signed_in = test.app.complete_sign_in(token, code, &nowhere()).await;
    signed_in.map_err(refusal)
}

fn refusal(error: Error) -> Refusal {
    match error {
        Error::Refused(refusal) => refusal,
        other => panic!("{other:?}"),
    }
}

async fn actions(test: &TestApp) -> Vec<(String, bool)> {
    let lines = lines::Entity::find().all(test.app.store.reader()).await;
    let lines = lines.unwrap().into_iter();
    lines.map(|line| (line.action, line.succeeded)).collect()
}

on_both_databases! {
    async fn sign_in_needs_a_code_once_one_was_confirmed(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let caller = test.user("a@example.org").await;
        assert!(matches!(first_step(&test, caller.id).await, SignedIn::Tokens(_)));
        test.app.enrol_totp(&caller).await.unwrap();
        assert!(matches!(first_step(&test, caller.id).await, SignedIn::Tokens(_)));

        let person = enrolled(&test, "b@example.org").await;
        let token = challenge(&test, person.caller.id).await;
        let code = person.secret.code_at(test.app.now());
        second_step(&test, &token, &code).await.unwrap();
        let again = second_step(&test, &token, &code).await;
        assert_eq!(again.unwrap_err(), Refusal::ChallengeInvalid);
        assert!(actions(&test).await.contains(&("totp.add".to_owned(), true)));
        let mails = test.mails().await;
        assert_eq!(mails.iter().filter(|mail| mail.recipient == "b@example.org").count(), 1);
    }

    async fn a_code_is_good_for_one_sign_in(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let person = enrolled(&test, "a@example.org").await;
        let (one, other) = (
            challenge(&test, person.caller.id).await,
            challenge(&test, person.caller.id).await,
        );
        let code = person.secret.code_at(test.app.now());
        second_step(&test, &one, &code).await.unwrap();
        let replayed = second_step(&test, &other, &code).await;
        assert_eq!(replayed.unwrap_err(), Refusal::SecondFactorInvalid);
        let before = person.secret.code_at(test.app.now() - TimeDelta::seconds(30));
        let older = second_step(&test, &other, &before).await;
        assert_eq!(older.unwrap_err(), Refusal::SecondFactorInvalid);
        test.clock.advance(TimeDelta::seconds(30));
        let next = person.secret.code_at(test.app.now());
        second_step(&test, &other, &next).await.unwrap();
    }

    async fn a_challenge_ends_after_five_wrong_codes_or_five_minutes(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let person = enrolled(&test, "a@example.org").await;
        let token = challenge(&test, person.caller.id).await;
        for wrong in ["", "123", "x", "aaaaaa-aaaaaa-aaaaaa-aaaaaa", "١٢٣٤٥٦"] {
            let refused = second_step(&test, &token, wrong).await;
            assert_eq!(refused.unwrap_err(), Refusal::SecondFactorInvalid, "{wrong:?}");
        }
        let code = person.secret.code_at(test.app.now());
        let late = second_step(&test, &token, &code).await;
        assert_eq!(late.unwrap_err(), Refusal::ChallengeInvalid);
        let refused = ("sign_in.second_step".to_owned(), false);
        assert_eq!(actions(&test).await.into_iter().filter(|line| *line == refused).count(), 5);

        let token = challenge(&test, person.caller.id).await;
        test.clock.advance(TimeDelta::minutes(5));
        let code = person.secret.code_at(test.app.now());
        let late = second_step(&test, &token, &code).await;
        assert_eq!(late.unwrap_err(), Refusal::ChallengeInvalid);
    }

    async fn codes_of_others_are_not_taken(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let one = enrolled(&test, "a@example.org").await;
        let other = enrolled(&test, "b@example.org").await;
        let token = challenge(&test, one.caller.id).await;
        let refused = second_step(&test, &token, &other.recovery_codes[0]).await;
        assert_eq!(refused.unwrap_err(), Refusal::SecondFactorInvalid);
    }

    async fn each_recovery_code_is_good_once(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let person = enrolled(&test, "a@example.org").await;
        assert_eq!(person.recovery_codes.len(), 10);
        let code = person.recovery_codes[3].to_uppercase();
        let token = challenge(&test, person.caller.id).await;
        second_step(&test, &token, &code).await.unwrap();
        let token = challenge(&test, person.caller.id).await;
        let again = second_step(&test, &token, &code).await;
        assert_eq!(again.unwrap_err(), Refusal::SecondFactorInvalid);
        // The second factor is still asked for, and another code is still good.
        second_step(&test, &token, &person.recovery_codes[4]).await.unwrap();
    }

    async fn renewed_recovery_codes_take_the_place_of_the_old(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let person = enrolled(&test, "a@example.org").await;
        let renewed = test.app.renew_recovery_codes(&person.caller, &nowhere()).await.unwrap();
        let token = challenge(&test, person.caller.id).await;
        let old = second_step(&test, &token, &person.recovery_codes[0]).await;
        assert_eq!(old.unwrap_err(), Refusal::SecondFactorInvalid);
        second_step(&test, &token, &renewed[0]).await.unwrap();
    }

    async fn a_removed_second_factor_is_not_asked_for(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let person = enrolled(&test, "a@example.org").await;
        let begun_before = challenge(&test, person.caller.id).await;
        test.app.remove_totp(&person.caller, &nowhere()).await.unwrap();
        assert!(matches!(first_step(&test, person.caller.id).await, SignedIn::Tokens(_)));
        // Whose second step has begun begins again.
        let code = person.secret.code_at(test.app.now());
        assert!(second_step(&test, &begun_before, &code).await.is_err());
        assert!(second_step(&test, &begun_before, &person.recovery_codes[0]).await.is_err());
        let again = test.app.remove_totp(&person.caller, &nowhere()).await;
        assert_eq!(refusal(again.unwrap_err()), Refusal::NotFound);
        assert_eq!(test.mails().await.len(), 2);
    }

    async fn changes_need_what_the_account_can_show(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let person = enrolled(&test, "a@example.org").await;
        let by_password = Caller { assurance: 1, ..person.caller.clone() };
        let app = &test.app;
        let refused = app.remove_totp(&by_password, &nowhere()).await;
        assert_eq!(refusal(refused.unwrap_err()), Refusal::StepUpRequired);
        let refused = app.renew_recovery_codes(&by_password, &nowhere()).await;
        assert_eq!(refusal(refused.unwrap_err()), Refusal::StepUpRequired);
        let refused = app.enrol_totp(&person.caller).await.map(drop);
        assert_eq!(refusal(refused.unwrap_err()), Refusal::TotpEnrolled);
        test.clock.advance(TimeDelta::minutes(10));
        let refused = app.remove_totp(&person.caller, &nowhere()).await;
        assert_eq!(refusal(refused.unwrap_err()), Refusal::StepUpRequired);
        assert_eq!(test.mails().await.len(), 1);
    }

    async fn a_wrong_first_code_confirms_nothing(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let caller = test.user("a@example.org").await;
        let early = test.app.confirm_totp(&caller, "000000", &nowhere()).await;
        assert_eq!(refusal(early.unwrap_err()), Refusal::CodeInvalid);
        test.app.enrol_totp(&caller).await.unwrap();
        let wrong = test.app.confirm_totp(&caller, "00000", &nowhere()).await;
        assert_eq!(refusal(wrong.unwrap_err()), Refusal::CodeInvalid);
        assert!(matches!(first_step(&test, caller.id).await, SignedIn::Tokens(_)));
        assert!(test.mails().await.is_empty());
    }

    async fn a_disabled_account_gets_no_session(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let person = enrolled(&test, "a@example.org").await;
        let token = challenge(&test, person.caller.id).await;
        let change = crate::store::entity::people::user::ActiveModel {
            state: sea_orm::ActiveValue::Set(users::DISABLED),
            ..Default::default()
        };
        let tx = test.app.store.begin().await.unwrap();
        users::update(&tx, person.caller.id, change).await.unwrap();
        tx.commit().await.unwrap();
        let code = person.secret.code_at(test.app.now());
        let refused = second_step(&test, &token, &code).await;
        assert_eq!(refused.unwrap_err(), Refusal::AccountDisabled);
    }
}

fn stranger(number: u8) -> Origin {
    Origin::new(&format!("198.51.100.{number}"), "a script")
}

/// A wrong code in a new challenge. None when it had to wait.
async fn guess(test: &TestApp, user: Uuid, origin: &Origin) -> Option<Refusal> {
    let token = challenge(test, user).await;
    match test.app.complete_sign_in(&token, "000000", origin).await {
        Err(Error::Throttled { .. }) => None,
        other => Some(refusal(other.unwrap_err())),
    }
}

on_both_databases! {
    async fn new_challenges_give_no_more_tries(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let person = enrolled(&test, "a@example.org").await;
        let one = stranger(1);
        for _ in 0..6 {
            let refused = guess(&test, person.caller.id, &one).await;
            assert_eq!(refused, Some(Refusal::SecondFactorInvalid));
        }
        assert_eq!(guess(&test, person.caller.id, &one).await, None);
        // Nor do other networks, with codes of either kind.
        for number in 2..7 {
            let refused = guess(&test, person.caller.id, &stranger(number)).await;
            assert_eq!(refused, Some(Refusal::SecondFactorInvalid), "{number}");
        }
        let token = challenge(&test, person.caller.id).await;
        let right = &person.recovery_codes[0];
        let waits = test.app.complete_sign_in(&token, right, &stranger(99)).await;
        assert!(matches!(waits, Err(Error::Throttled { .. })));
        // Somebody else is not stopped.
        let other = enrolled(&test, "b@example.org").await;
        let refused = guess(&test, other.caller.id, &stranger(99)).await;
        assert_eq!(refused, Some(Refusal::SecondFactorInvalid));
    }

    async fn guesses_at_once_are_all_counted(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let person = enrolled(&test, "a@example.org").await;
        let from = stranger(1);
        let guesses = (0..12).map(|_| guess(&test, person.caller.id, &from));
        let answers = futures::future::join_all(guesses).await;
        assert_eq!(answers.iter().flatten().count(), 6);
    }

    async fn who_signs_in_with_a_code_is_not_locked_out_from_there(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let person = enrolled(&test, "a@example.org").await;
        let home = Origin::new("192.0.2.1", "a browser");
        let sign_in = async || {
            test.clock.advance(TimeDelta::seconds(30));
            let code = person.secret.code_at(test.app.now());
            let token = challenge(&test, person.caller.id).await;
            test.app.complete_sign_in(&token, &code, &home).await
        };
        sign_in().await.unwrap();
        let mut number = 0;
        while guess(&test, person.caller.id, &stranger(number)).await.is_some() {
            number += 1;
        }
        sign_in().await.unwrap();
        // Nor by wrong passwords of strangers.
        for number in 0..21 {
            let from = stranger(100 + number);
            let wrong = test.app.sign_in("a@example.org", "a wrong one 33", &from).await;
            assert!(wrong.is_err());
        }
        let at_home = test.app.sign_in("a@example.org", "a wrong one 33", &home).await;
        assert_eq!(refusal(at_home.map(drop).unwrap_err()), Refusal::CredentialsInvalid);
    }

    async fn right_code_forgives_the_wrong_ones(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let person = enrolled(&test, "a@example.org").await;
        let home = Origin::new("192.0.2.1", "a browser");
        for _ in 0..3 {
            for _ in 0..4 {
                let refused = guess(&test, person.caller.id, &home).await;
                assert_eq!(refused, Some(Refusal::SecondFactorInvalid));
            }
            test.clock.advance(TimeDelta::seconds(30));
            let code = person.secret.code_at(test.app.now());
            let token = challenge(&test, person.caller.id).await;
            test.app.complete_sign_in(&token, &code, &home).await.unwrap();
        }
    }
}

/// A caller with a session of one factor.
async fn signed_in(test: &TestApp, caller: &Caller) -> Caller {
    let shown = Shown {
        methods: &["pwd"],
        assurance: 1,
    };
    let tx = test.app.store.begin().await.unwrap();
    let tokens = test
        .app
        .open_session(&tx, caller.id, shown, None, &nowhere())
        .await
        .unwrap();
    tx.commit().await.unwrap();
    Caller {
        session: tokens.session,
        assurance: 1,
        ..caller.clone()
    }
}

async fn set_password(test: &TestApp, user: Uuid, password: &str) {
    let password = crate::domain::password::Password::shown(password);
    let change = crate::store::entity::people::user::ActiveModel {
        password_hash: sea_orm::ActiveValue::Set(Some(
            test.app.hasher.hash(password).await.unwrap(),
        )),
        ..Default::default()
    };
    let tx = test.app.store.begin().await.unwrap();
    users::update(&tx, user, change).await.unwrap();
    tx.commit().await.unwrap();
}

on_both_databases! {
    async fn a_code_steps_up_to_two_factors_in_a_fresh_session(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let person = enrolled(&test, "a@example.org").await;
        let caller = signed_in(&test, &person.caller).await;
        let signed_in_at = test.app.now();
        test.clock.advance(TimeDelta::minutes(30));
        let code = person.secret.code_at(test.app.now());
        let step_up = async |code: &str| {
            let proof = crate::app::step_up::Proof::Totp(code);
            test.app.step_up(&caller, proof, &nowhere()).await
        };
        assert_eq!(refusal(step_up("000").await.unwrap_err()), Refusal::SecondFactorInvalid);
        let tokens = step_up(&code).await.unwrap();
        assert_ne!(tokens.session, caller.session);
        let reader = test.app.store.reader();
        let session = crate::store::sessions::find(reader, tokens.session).await.unwrap().unwrap();
        assert_eq!((session.assurance, session.methods.as_str()), (2, "pwd otp"));
        let times = (session.auth_time, session.second_factor_time);
        assert_eq!(times, (signed_in_at, Some(test.app.now())));
        // The code is used up, and so is the session.
        assert_eq!(refusal(step_up(&code).await.unwrap_err()), Refusal::SecondFactorInvalid);
        test.clock.advance(TimeDelta::seconds(30));
        let next = person.secret.code_at(test.app.now());
        assert_eq!(refusal(step_up(&next).await.unwrap_err()), Refusal::SessionEnded);
    }

    async fn a_password_steps_up_to_no_more_factors_than_there_were(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let caller = test.user("a@example.org").await;
        let caller = signed_in(&test, &caller).await;
        let step_up = async |password: &str| {
            let proof = crate::app::step_up::Proof::Password(password);
            test.app.step_up(&caller, proof, &nowhere()).await
        };
        let none = step_up("correct horse battery").await;
        assert_eq!(refusal(none.unwrap_err()), Refusal::CredentialsInvalid);
        set_password(&test, caller.id, "correct horse battery").await;
        for wrong in ["correct horse", &"x".repeat(1 << 20)] {
            let refused = step_up(wrong).await;
            assert_eq!(refusal(refused.unwrap_err()), Refusal::CredentialsInvalid);
        }
        let tokens = step_up("correct horse battery").await.unwrap();
        let reader = test.app.store.reader();
        let session = crate::store::sessions::find(reader, tokens.session).await.unwrap().unwrap();
        assert_eq!((session.assurance, session.methods.as_str()), (1, "pwd"));
        assert!(actions(&test).await.contains(&("step_up".to_owned(), false)));
    }
}
