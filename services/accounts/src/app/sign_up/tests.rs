use chrono::TimeDelta;
use uuid::Uuid;

use crate::app::second_factor::SignedIn;
use crate::app::testing::{TestApp, claims, code_in};
use crate::domain::origin::Origin;
use crate::domain::refusal::Refusal;
use crate::error::Error;
use crate::store::users;

const ADA: &str = "ada@example.org";
const PASSWORD: &str = "gk4-Qz81wY";

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

async fn sign_up(test: &TestApp, email: &str, password: &str) -> Option<Refusal> {
    refusal(test.app.sign_up(email, password, "Ada", &home()).await)
}

async fn newest_code(test: &TestApp) -> String {
    code_in(&test.mails().await.pop().unwrap().body)
}

async fn has_account(test: &TestApp, email_key: &str) -> bool {
    let found = users::find_by_email_key(test.app.store.reader(), email_key).await;
    found.unwrap().is_some()
}

kinora_store::on_both_databases! {
    async fn code_from_the_mail_makes_the_account_and_signs_in_once(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        assert_eq!(sign_up(&test, "Ada@Example.org", PASSWORD).await, None);
        assert!(!has_account(&test, ADA).await);
        let mails = test.mails().await;
        assert_eq!((mails.len(), mails[0].recipient.as_str()), (1, "Ada@example.org"));
        let code = newest_code(&test).await;
        let verified = test.app.verify_email(&format!(" {code}\n"), PASSWORD, &home()).await.unwrap();
        assert_eq!(verified.user.email_key, ADA);
        assert_eq!(verified.user.display_name, "Ada");
        assert_eq!(claims(&verified.tokens.unwrap().access).sub, verified.user.id);
        assert!(has_account(&test, ADA).await);
        let again = test.app.verify_email(&code, PASSWORD, &home()).await;
        assert_eq!(refusal(again), Some(Refusal::CodeInvalid));
        let signed_in = test.app.sign_in(ADA, PASSWORD, &home()).await.unwrap();
        assert!(matches!(signed_in, SignedIn::Tokens(_)));
    }

    async fn what_cannot_be_an_account_is_refused_before_a_mail_goes_out(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let long = format!("{}@example.org", "a".repeat(300));
        for (email, password, expected) in [
            ("ada", PASSWORD, Refusal::EmailInvalid),
            ("\u{430}da@example.org", PASSWORD, Refusal::EmailInvalid),
            (long.as_str(), PASSWORD, Refusal::EmailInvalid),
            (ADA, "x", Refusal::PasswordTooShort),
            (ADA, &"p".repeat(1 << 20), Refusal::PasswordTooLong),
            (ADA, "password1234", Refusal::PasswordCommon),
        ] {
            assert_eq!(sign_up(&test, email, password).await, Some(expected), "{email:.30}");
        }
        let named = test.app.sign_up(ADA, PASSWORD, &"n".repeat(101), &home()).await;
        assert_eq!(refusal(named), Some(Refusal::NameInvalid));
        assert_eq!(test.app.hasher.computed(), 0);
        assert!(test.mails().await.is_empty());
    }

    async fn address_with_an_account_is_answered_alike_and_its_owner_is_told(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        test.user(ADA).await;
        assert_eq!(sign_up(&test, ADA, PASSWORD).await, None);
        let hashes = test.app.hasher.computed();
        assert_eq!(sign_up(&test, "eve@example.org", PASSWORD).await, None);
        assert_eq!((hashes, test.app.hasher.computed()), (1, 2));
        let mails = test.mails().await;
        assert_eq!(mails[0].subject, "You have an account already");
        assert_eq!(mails[0].recipient, ADA);
        assert_eq!(mails[1].subject, "Verify your mail address");
    }

    async fn two_sign_ups_with_one_address_each_carry_their_own_password(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        assert_eq!(sign_up(&test, ADA, "of the stranger 7").await, None);
        let stranger = newest_code(&test).await;
        assert_eq!(sign_up(&test, ADA, PASSWORD).await, None);
        let own = newest_code(&test).await;
        test.app.verify_email(&own, PASSWORD, &home()).await.unwrap();
        // The other one has ended, and its password opens nothing.
        let late = test.app.verify_email(&stranger, PASSWORD, &home()).await;
        assert_eq!(refusal(late), Some(Refusal::CodeInvalid));
        let with_it = test.app.sign_in(ADA, "of the stranger 7", &home()).await;
        assert_eq!(refusal(with_it), Some(Refusal::CredentialsInvalid));
        assert!(test.app.sign_in(ADA, PASSWORD, &home()).await.is_ok());
    }

    async fn nobody_verifies_an_account_with_a_strangers_password(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        assert_eq!(sign_up(&test, ADA, PASSWORD).await, None);
        assert_eq!(sign_up(&test, ADA, "of the stranger 7").await, None);
        // Ada takes the newest mail, which the stranger's sign-up has sent.
        let code = newest_code(&test).await;
        for wrong in ["", "a wrong one 33"] {
            let refused = test.app.verify_email(&code, wrong, &home()).await;
            assert_eq!(refusal(refused), Some(Refusal::CredentialsInvalid));
        }
        test.app.verify_email(&code, PASSWORD, &home()).await.unwrap();
        let strangers = test.app.sign_in(ADA, "of the stranger 7", &home()).await;
        assert_eq!(refusal(strangers), Some(Refusal::CredentialsInvalid));
        assert!(test.app.sign_in(ADA, PASSWORD, &home()).await.is_ok());
    }

    async fn guesses_of_the_password_behind_a_code_are_slowed_down(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        assert_eq!(sign_up(&test, ADA, PASSWORD).await, None);
        let code = newest_code(&test).await;
        for _ in 0..6 {
            let refused = test.app.verify_email(&code, "a wrong one 33", &home()).await;
            assert_eq!(refusal(refused), Some(Refusal::CredentialsInvalid));
        }
        let throttled = test.app.verify_email(&code, PASSWORD, &home()).await;
        assert!(matches!(throttled, Err(Error::Throttled { .. })));
    }

    async fn codes_end_after_half_an_hour_and_are_good_for_their_purpose_only(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        test.user("eve@example.org").await;
        assert_eq!(sign_up(&test, ADA, PASSWORD).await, None);
        let late = newest_code(&test).await;
        test.clock.advance(TimeDelta::minutes(30));
        let refused = test.app.verify_email(&late, PASSWORD, &home()).await;
        assert_eq!(refusal(refused), Some(Refusal::CodeInvalid));
        test.app.request_password_reset("eve@example.org", &home()).await.unwrap();
        let reset = newest_code(&test).await;
        let crossed = test.app.verify_email(&reset, PASSWORD, &home()).await;
        assert_eq!(refusal(crossed), Some(Refusal::CodeInvalid));
        assert_eq!(sign_up(&test, ADA, PASSWORD).await, None);
        let sign_up = newest_code(&test).await;
        let crossed = test.app.reset_password(&sign_up, "a new one 471", &home()).await;
        assert_eq!(refusal(crossed), Some(Refusal::CodeInvalid));
        for text in [String::new(), "x".repeat(1 << 20), Uuid::now_v7().to_string()] {
            let refused = test.app.verify_email(&text, PASSWORD, &home()).await;
            assert_eq!(refusal(refused), Some(Refusal::CodeInvalid));
        }
        assert!(test.app.verify_email(&sign_up, PASSWORD, &home()).await.is_ok());
    }

    async fn code_that_is_shown_twice_at_once_makes_one_account(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        assert_eq!(sign_up(&test, ADA, PASSWORD).await, None);
        let code = newest_code(&test).await;
        let home = home();
        let (one, other) = tokio::join!(
            test.app.verify_email(&code, PASSWORD, &home),
            test.app.verify_email(&code, PASSWORD, &home)
        );
        assert_eq!(u8::from(one.is_ok()) + u8::from(other.is_ok()), 1);
    }

    async fn another_code_is_sent_to_who_waits_for_one_only(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        test.app.resend_verification(ADA, &home()).await.unwrap();
        assert!(test.mails().await.is_empty());
        assert_eq!(sign_up(&test, ADA, PASSWORD).await, None);
        test.app.resend_verification(ADA, &home()).await.unwrap();
        assert_eq!(test.mails().await.len(), 2);
        let code = newest_code(&test).await;
        test.app.verify_email(&code, PASSWORD, &home()).await.unwrap();
        assert!(test.app.sign_in(ADA, PASSWORD, &home()).await.is_ok());
        test.app.resend_verification(ADA, &home()).await.unwrap();
        assert_eq!(test.mails().await.len(), 2);
    }

    async fn mails_to_one_address_are_slowed_down(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        for _ in 0..4 {
            assert_eq!(sign_up(&test, ADA, PASSWORD).await, None);
        }
        let throttled = test.app.sign_up(ADA, PASSWORD, "", &home()).await;
        assert!(matches!(throttled, Err(Error::Throttled { .. })), "{throttled:?}");
        assert_eq!(test.mails().await.len(), 4);
        test.clock.advance(TimeDelta::minutes(1));
        assert_eq!(sign_up(&test, ADA, PASSWORD).await, None);
    }
}
