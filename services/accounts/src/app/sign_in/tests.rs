use std::time::Duration;

use chrono::TimeDelta;
use sea_orm::ActiveValue::Set;

use crate::app::second_factor::SignedIn;
use crate::app::testing::{TestApp, claims, code_in};
use crate::domain::origin::Origin;
use crate::domain::refusal::Refusal;
use crate::error::Error;
use crate::store::entity::people::user;
use crate::store::{second_factors, users};

const ADA: &str = "ada@example.org";
const PASSWORD: &str = "gk4-Qz81wY";

fn home() -> Origin {
    Origin::new("192.0.2.1", "a browser")
}

fn stranger(number: u8) -> Origin {
    Origin::new(&format!("198.51.100.{number}"), "a script")
}

/// What a sign-in came to.
#[derive(Debug, PartialEq, Eq)]
enum Came {
    In,
    ToSecondStep,
    Refused(Refusal),
    Throttled(Duration),
}

async fn sign_in(test: &TestApp, email: &str, password: &str, origin: &Origin) -> Came {
    match test.app.sign_in(email, password, origin).await {
        Ok(SignedIn::Tokens(_)) => Came::In,
        Ok(SignedIn::Challenge(_)) => Came::ToSecondStep,
        Err(Error::Refused(refusal)) => Came::Refused(refusal),
        Err(Error::Throttled { retry_after }) => Came::Throttled(retry_after),
        Err(other) => panic!("{other}"),
    }
}

/// Ada has an account, and has signed in from nowhere but home.
async fn with_ada(url: &kinora_store::DatabaseUrl) -> TestApp {
    let test = TestApp::on(url).await;
    test.app
        .sign_up(ADA, PASSWORD, "Ada", &home())
        .await
        .unwrap();
    let code = code_in(&test.mails().await[0].body);
    test.app
        .verify_email(&code, PASSWORD, &home())
        .await
        .unwrap();
    test
}

async fn change(test: &TestApp, change: user::ActiveModel) -> uuid::Uuid {
    let tx = test.app.store.begin().await.unwrap();
    let user = users::find_by_email_key(&tx, ADA).await.unwrap().unwrap();
    users::update(&tx, user.id, change).await.unwrap();
    tx.commit().await.unwrap();
    user.id
}

kinora_store::on_both_databases! {
    async fn right_password_signs_in_and_nothing_else_does(url: DatabaseUrl) {
        let test = with_ada(&url).await;
        let signed_in = test.app.sign_in(" ADA@example.org", PASSWORD, &home()).await.unwrap();
        let SignedIn::Tokens(tokens) = signed_in else { panic!("no second factor") };
        assert_eq!(claims(&tokens.access).amr, ["pwd"]);
        for password in ["gk4-Qz81wy", "", "x", &"p".repeat(1 << 20)] {
            let refused = sign_in(&test, ADA, password, &home()).await;
            assert_eq!(refused, Came::Refused(Refusal::CredentialsInvalid));
        }
    }

    async fn whoever_is_asked_for_the_answer_and_the_work_are_the_same(url: DatabaseUrl) {
        let test = with_ada(&url).await;
        test.user("no-password@example.org").await;
        test.app.sign_up("waits@example.org", "another one 62", "", &home()).await.unwrap();
        let long = format!("{}@example.org", "a".repeat(1000));
        let before = test.app.hasher.computed();
        for (index, email) in (1..).zip([
            ADA, "nobody@example.org", "no-password@example.org", "waits@example.org",
            "no address", "", &long, "\u{430}da@example.org",
        ]) {
            let refused = sign_in(&test, email, "a wrong one 33", &stranger(9)).await;
            assert_eq!(refused, Came::Refused(Refusal::CredentialsInvalid), "{email:.30}");
            assert_eq!(test.app.hasher.computed() - before, 2 * index, "{email:.30}");
        }
    }

    async fn sign_up_that_waits_says_so_after_its_own_password_and_the_same_where_there_is_an_account(url: DatabaseUrl) {
        let test = with_ada(&url).await;
        let strangers = "of a stranger 71";
        for email in [ADA, "nobody@example.org"] {
            test.app.sign_up(email, strangers, "", &stranger(1)).await.unwrap();
            let pending = sign_in(&test, email, strangers, &stranger(1)).await;
            assert_eq!(pending, Came::Refused(Refusal::EmailNotVerified), "{email}");
            let wrong = sign_in(&test, email, "a wrong one 33", &stranger(1)).await;
            assert_eq!(wrong, Came::Refused(Refusal::CredentialsInvalid), "{email}");
        }
        assert_eq!(sign_in(&test, ADA, PASSWORD, &home()).await, Came::In);
    }

    async fn who_is_disabled_is_told_so_after_the_right_password_only(url: DatabaseUrl) {
        let test = with_ada(&url).await;
        let disabled = user::ActiveModel { state: Set(users::DISABLED), ..Default::default() };
        change(&test, disabled).await;
        let right = sign_in(&test, ADA, PASSWORD, &home()).await;
        assert_eq!(right, Came::Refused(Refusal::AccountDisabled));
        let wrong = sign_in(&test, ADA, "a wrong one 33", &home()).await;
        assert_eq!(wrong, Came::Refused(Refusal::CredentialsInvalid));
    }

    async fn who_leaves_may_sign_in_to_stay(url: DatabaseUrl) {
        let test = with_ada(&url).await;
        let leaving = user::ActiveModel { state: Set(users::LEAVING), ..Default::default() };
        change(&test, leaving).await;
        assert_eq!(sign_in(&test, ADA, PASSWORD, &home()).await, Came::In);
    }

    async fn second_factor_is_asked_for(url: DatabaseUrl) {
        let test = with_ada(&url).await;
        let id = change(&test, user::ActiveModel { is_operator: Set(false), ..Default::default() }).await;
        let tx = test.app.store.begin().await.unwrap();
        second_factors::keep_totp(&tx, id, vec![1], test.app.now()).await.unwrap();
        second_factors::take_step(&tx, id, 1).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(sign_in(&test, ADA, PASSWORD, &home()).await, Came::ToSecondStep);
    }

    async fn cheap_hash_is_computed_anew_by_a_sign_in(url: DatabaseUrl) {
        drop(with_ada(&url).await);
        let mut options = TestApp::options(&url);
        options.password_hash_memory_kib = 16;
        let test = TestApp::with(&url, options).await;
        for (hashes, password) in [(2, "a wrong one 33"), (4, PASSWORD), (5, PASSWORD)] {
            sign_in(&test, ADA, password, &home()).await;
            assert_eq!(test.app.hasher.computed(), hashes);
        }
    }

    async fn guesses_from_one_network_to_one_account_are_slowed_down(url: DatabaseUrl) {
        let test = with_ada(&url).await;
        for _ in 0..6 {
            let refused = sign_in(&test, ADA, "a wrong one 33", &home()).await;
            assert_eq!(refused, Came::Refused(Refusal::CredentialsInvalid));
        }
        let hashes = test.app.hasher.computed();
        // The right password has to wait, too, and costs nothing meanwhile.
        let wait = Came::Throttled(Duration::from_secs(1));
        assert_eq!(sign_in(&test, ADA, PASSWORD, &home()).await, wait);
        assert_eq!(test.app.hasher.computed(), hashes);
        test.clock.advance(TimeDelta::seconds(1));
        assert_eq!(sign_in(&test, ADA, PASSWORD, &home()).await, Came::In);
        assert_eq!(sign_in(&test, ADA, PASSWORD, &home()).await, Came::In);
    }

    async fn sign_up_of_a_stranger_buys_no_more_guesses(url: DatabaseUrl) {
        let test = with_ada(&url).await;
        test.app.sign_up(ADA, "of a stranger 71", "", &stranger(1)).await.unwrap();
        for _ in 0..6 {
            let guess = sign_in(&test, ADA, "a wrong one 33", &stranger(1)).await;
            assert_eq!(guess, Came::Refused(Refusal::CredentialsInvalid));
            test.clock.advance(TimeDelta::seconds(1));
            let own = sign_in(&test, ADA, "of a stranger 71", &stranger(1)).await;
            assert!(matches!(own, Came::Refused(Refusal::EmailNotVerified) | Came::Throttled(_)));
        }
        // Two seconds after the seventh: none was forgiven.
        let seventh = sign_in(&test, ADA, "a wrong one 33", &stranger(1)).await;
        assert_eq!(seventh, Came::Refused(Refusal::CredentialsInvalid));
        test.clock.advance(TimeDelta::seconds(1));
        let eighth = sign_in(&test, ADA, "a wrong one 33", &stranger(1)).await;
        assert_eq!(eighth, Came::Throttled(Duration::from_secs(1)));
    }

    async fn stranger_locks_nobody_out_of_where_they_have_signed_in(url: DatabaseUrl) {
        let test = with_ada(&url).await;
        let guess = async |number| sign_in(&test, ADA, "a wrong one 33", &stranger(number)).await;
        for number in 0..21 {
            assert_eq!(guess(number).await, Came::Refused(Refusal::CredentialsInvalid));
        }
        assert!(matches!(guess(21).await, Came::Throttled(_)));
        // Ada is at home.
        assert_eq!(sign_in(&test, ADA, PASSWORD, &home()).await, Came::In);
        assert!(matches!(guess(22).await, Came::Throttled(_)));
        // Nor is anybody else stopped, and a reset is possible from anywhere.
        let other = sign_in(&test, "eve@example.org", "x", &stranger(1)).await;
        assert_eq!(other, Came::Refused(Refusal::CredentialsInvalid));
        test.app.request_password_reset(ADA, &stranger(3)).await.unwrap();
    }

    async fn account_that_is_not_there_is_throttled_alike(url: DatabaseUrl) {
        let test = with_ada(&url).await;
        for email in [ADA, "nobody@example.org"] {
            for number in 0..21 {
                sign_in(&test, email, "a wrong one 33", &stranger(number)).await;
            }
            let throttled = sign_in(&test, email, "a wrong one 33", &stranger(22)).await;
            assert_eq!(throttled, Came::Throttled(Duration::from_secs(1)), "{email}");
        }
    }

    async fn guesses_at_once_are_all_counted(url: DatabaseUrl) {
        let test = with_ada(&url).await;
        let home = home();
        let guesses = (0..12).map(|_| sign_in(&test, ADA, "a wrong one 33", &home));
        let came = futures::future::join_all(guesses).await;
        let tried = came.iter().filter(|came| matches!(came, Came::Refused(_))).count();
        assert_eq!(tried, 6);
    }
}
