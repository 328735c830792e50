use std::io::Write;

use chrono::TimeDelta;
use kinora_mesh::secret::Secret;

use crate::app::Switch;
use crate::app::second_factor::SignedIn;
use crate::app::testing::{TestApp, code_in};
use crate::domain::caller::Caller;
use crate::domain::origin::Origin;
use crate::domain::refusal::Refusal;
use crate::domain::tokens::Tokens;
use crate::error::Error;

const ADA: &str = "ada@example.org";
const OLD: &str = "gk4-Qz81wY";
const NEW: &str = "7Rw-pp20aX";

/// [`NEW`] in a list of breached passwords.
const NEW_BREACHED: &str = "DB2B92A6F43FD11502F413DFAF0E15B3B37CE985:3\n";

fn home() -> Origin {
    Origin::new("192.0.2.1", "a browser")
}

fn refusal<T>(result: Result<T, Error>) -> Option<Refusal> {
    match result {
        Ok(_) => None,
        Err(Error::Refused(refusal)) => Some(refusal),
        Err(other) => panic!("{other}"),
    }
}

async fn newest_code(test: &TestApp) -> String {
    code_in(&test.mails().await.pop().unwrap().body)
}

async fn subjects(test: &TestApp) -> Vec<(String, String)> {
    let mails = test.mails().await.into_iter();
    mails.map(|mail| (mail.recipient, mail.subject)).collect()
}

/// Ada, who has just changed her password and signed in with it.
async fn ada(test: &TestApp) -> (Caller, Tokens) {
    let mut ada = test.user(ADA).await;
    test.app
        .change_password(&ada, "", OLD, false, &home())
        .await
        .unwrap();
    let tokens = sign_in(test, OLD).await.unwrap();
    ada.session = tokens.session;
    (ada, tokens)
}

async fn sign_in(test: &TestApp, password: &str) -> Option<Tokens> {
    match test.app.sign_in(ADA, password, &home()).await {
        Ok(SignedIn::Tokens(tokens)) => Some(tokens),
        Ok(SignedIn::Challenge(_)) => panic!("there is no second factor"),
        Err(error) => {
            assert_eq!(refusal::<()>(Err(error)), Some(Refusal::CredentialsInvalid));
            None
        }
    }
}

async fn sign_in_works(test: &TestApp, password: &str) -> bool {
    sign_in(test, password).await.is_some()
}

async fn goes_on(test: &TestApp, tokens: &Tokens) -> bool {
    let refreshed = test
        .app
        .refresh(&tokens.refresh, Switch::Keep, &home())
        .await;
    refreshed.is_ok()
}

kinora_store::on_both_databases! {
    async fn code_sets_a_new_password_once_and_ends_all_sessions(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let (_, tokens) = ada(&test).await;
        test.app.request_password_reset("ADA@example.org", &home()).await.unwrap();
        let code = newest_code(&test).await;
        // A password that will not do does not use the code up.
        let weak = test.app.reset_password(&code, "password1234", &home()).await;
        assert_eq!(refusal(weak), Some(Refusal::PasswordCommon));
        test.app.reset_password(&code, NEW, &home()).await.unwrap();
        assert!(!goes_on(&test, &tokens).await);
        assert!(sign_in(&test, OLD).await.is_none() && sign_in(&test, NEW).await.is_some());
        let again = test.app.reset_password(&code, OLD, &home()).await;
        assert_eq!(refusal(again), Some(Refusal::CodeInvalid));
        let told = (ADA.to_owned(), "Your password was reset".to_owned());
        assert_eq!(subjects(&test).await.pop(), Some(told));
    }

    async fn breached_password_is_refused_wherever_one_is_chosen(url: DatabaseUrl) {
        let mut list = tempfile::NamedTempFile::new().unwrap();
        list.write_all(NEW_BREACHED.as_bytes()).unwrap();
        let mut options = TestApp::options(&url);
        options.breached_passwords = Some(list.path().to_owned());
        let test = TestApp::with(&url, options.clone()).await;
        let (ada, _) = ada(&test).await;
        let changed = test.app.change_password(&ada, OLD, NEW, false, &home()).await;
        assert_eq!(refusal(changed), Some(Refusal::PasswordBreached));
        test.app.request_password_reset(ADA, &home()).await.unwrap();
        let code = newest_code(&test).await;
        let reset = test.app.reset_password(&code, NEW, &home()).await;
        assert_eq!(refusal(reset), Some(Refusal::PasswordBreached));
        let signed_up = test.app.sign_up("eve@example.org", NEW, "", &home()).await;
        assert_eq!(refusal(signed_up), Some(Refusal::PasswordBreached));
        options.first_operator_email = Some("root@example.org".to_owned());
        options.first_operator_password = Some(Secret::new(NEW.to_owned()));
        let started = TestApp::try_with(&url, options).await;
        assert!(matches!(started.map(drop), Err(Error::Options(_))));
        // One that is in no list may be chosen.
        test.app.reset_password(&code, OLD, &home()).await.unwrap();
    }

    async fn reset_for_nobody_is_answered_alike_and_sends_nothing(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        test.app.request_password_reset("nobody@example.org", &home()).await.unwrap();
        assert!(test.mails().await.is_empty());
        let none = test.app.request_password_reset("nobody", &home()).await;
        assert_eq!(refusal(none), Some(Refusal::EmailInvalid));
    }

    async fn new_password_ends_codes_that_were_sent_for_another(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let (ada, _) = ada(&test).await;
        test.app.request_password_reset(ADA, &home()).await.unwrap();
        let stolen = newest_code(&test).await;
        test.app.change_password(&ada, OLD, NEW, false, &home()).await.unwrap();
        let late = test.app.reset_password(&stolen, OLD, &home()).await;
        assert_eq!(refusal(late), Some(Refusal::CodeInvalid));
    }

    async fn password_is_changed_by_who_has_just_signed_in(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let (mut ada, mine) = ada(&test).await;
        let other = sign_in(&test, OLD).await.unwrap();
        test.app.change_password(&ada, OLD, NEW, true, &home()).await.unwrap();
        assert!(goes_on(&test, &mine).await && !goes_on(&test, &other).await);
        assert!(sign_in(&test, OLD).await.is_none() && sign_in(&test, NEW).await.is_some());
        let told = (ADA.to_owned(), "Your password was changed".to_owned());
        assert_eq!(subjects(&test).await.pop(), Some(told));
        let weak = test.app.change_password(&ada, NEW, "short", false, &home()).await;
        assert_eq!(refusal(weak), Some(Refusal::PasswordTooShort));
        ada.auth_time -= TimeDelta::minutes(11);
        let stale = test.app.change_password(&ada, NEW, OLD, false, &home()).await;
        assert_eq!(refusal(stale), Some(Refusal::StepUpRequired));
    }

    async fn change_takes_the_current_password_and_guesses_at_it_are_slowed_down(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let (ada, _) = ada(&test).await;
        let change = async |current: &str, network: &str| {
            let from = Origin::new(network, "a script");
            test.app.change_password(&ada, current, NEW, false, &from).await
        };
        let computed = test.app.hasher.computed();
        let none = change("", "198.51.100.1").await;
        assert!(matches!(none, Err(Error::Field { field: "current_password", .. })), "{none:?}");
        assert_eq!(test.app.hasher.computed(), computed);
        for _ in 0..6 {
            let wrong = change("a wrong one 33", "198.51.100.1").await;
            assert_eq!(refusal(wrong), Some(Refusal::CredentialsInvalid));
        }
        let late = change(OLD, "198.51.100.1").await;
        assert!(matches!(late, Err(Error::Throttled { .. })), "{late:?}");
        let sign_in = test.app.sign_in(ADA, OLD, &Origin::new("198.51.100.1", "")).await;
        assert!(matches!(sign_in, Err(Error::Throttled { .. })));
        assert!(sign_in_works(&test, OLD).await && !sign_in_works(&test, NEW).await);
        change(OLD, "192.0.2.1").await.unwrap();
        assert!(sign_in_works(&test, NEW).await);
    }

    async fn address_changes_with_the_code_that_went_to_the_new_one(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let (ada, _) = ada(&test).await;
        test.app.change_email(&ada, "Countess@example.org", &home()).await.unwrap();
        let mails = test.mails().await;
        let asked = &mails[mails.len() - 2];
        assert_eq!(asked.recipient, "Countess@example.org");
        assert_eq!(mails.last().unwrap().recipient, ADA);
        let code = code_in(&asked.body);
        assert_eq!(test.app.own_user(&ada).await.unwrap().row.email, ADA);
        let verified = test.app.verify_email(&code, "", &home()).await.unwrap();
        assert!(verified.tokens.is_none());
        assert_eq!(verified.user.email_key, "countess@example.org");
        let told = (ADA.to_owned(), "The address of your account was changed".to_owned());
        assert_eq!(subjects(&test).await.pop(), Some(told));
        assert!(sign_in(&test, OLD).await.is_none());
        assert!(test.app.sign_in("countess@example.org", OLD, &home()).await.is_ok());
        let again = test.app.verify_email(&code, "", &home()).await;
        assert_eq!(refusal(again), Some(Refusal::CodeInvalid));
    }

    async fn address_of_another_account_is_told_to_its_owner_only(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let (ada, _) = ada(&test).await;
        let eve = test.user("eve@example.org").await;
        test.app.change_email(&ada, "eve@example.org", &home()).await.unwrap();
        let told = subjects(&test).await;
        let taken = "Your address was given for another account".to_owned();
        assert_eq!(told[told.len() - 2], ("eve@example.org".to_owned(), taken));
        // An address that was free when it was asked for may be taken when the code comes.
        test.app.change_email(&ada, "free@example.org", &home()).await.unwrap();
        let mails = test.mails().await;
        let first = code_in(&mails[mails.len() - 2].body);
        test.app.change_email(&eve, "free@example.org", &home()).await.unwrap();
        let mails = test.mails().await;
        let second = code_in(&mails[mails.len() - 2].body);
        test.app.verify_email(&second, "", &home()).await.unwrap();
        let late = test.app.verify_email(&first, "", &home()).await;
        assert_eq!(refusal(late), Some(Refusal::CodeInvalid));
    }

    async fn name_is_changed_and_may_be_none(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = test.user(ADA).await;
        let named = test.app.rename_user(&ada, " Ada Lovelace ").await.unwrap();
        assert_eq!(named.row.display_name, "Ada Lovelace");
        let long = test.app.rename_user(&ada, &"n".repeat(101)).await;
        assert_eq!(refusal(long), Some(Refusal::NameInvalid));
        assert_eq!(test.app.own_user(&ada).await.unwrap().row.display_name, "Ada Lovelace");
        assert_eq!(test.app.rename_user(&ada, "").await.unwrap().row.display_name, "");
    }
}
