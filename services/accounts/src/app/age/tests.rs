use kinora_mesh::secret::Secret;
use kinora_store::{DatabaseUrl, on_both_databases};

use super::*;
use crate::app::testing::people::somewhere;
use crate::app::testing::{TestApp, sealing_key};
use crate::domain::verifier::sign;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

async fn with_verifier(url: &DatabaseUrl) -> TestApp {
    let mut options = AccountsOptions::new(url.clone(), sealing_key());
    options.adult_content = true;
    options.age_verifier_url = Some("https://verifier.example/?s={flow}".to_owned());
    options.age_verifier_secret = Some(Secret::new(SECRET.to_owned()));
    TestApp::with(url, options).await
}

async fn called_back(test: &TestApp, token: &str, is_adult: bool) -> Result<(), Error> {
    let body = serde_json::json!({ "flow": token, "is_adult": is_adult }).to_string();
    let timestamp = test.app.now().timestamp().to_string();
    let signature = sign(SECRET, &timestamp, body.as_bytes());
    let callback = Callback {
        body: body.as_bytes(),
        signature: &signature,
        timestamp: &timestamp,
    };
    test.app.complete_age_verification(callback).await
}

async fn begun(test: &TestApp, caller: &Caller) -> String {
    let link = test.app.begin_age_verification(caller).await.unwrap();
    link.split_once('=').unwrap().1.to_owned()
}

fn is_refused<T>(answer: Result<T, Error>, why: Refusal) -> bool {
    matches!(answer, Err(Error::Refused(refusal)) if refusal == why)
}

on_both_databases! {
    async fn a_declared_minor_is_settled_by_operators_only(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let (root, anna) = (test.operator("root").await, test.person("anna").await);
        let app = &test.app;
        assert!(app.declare_age(&anna, 1990, &somewhere()).await.unwrap().is_adult);
        assert!(!app.declare_age(&anna, 2015, &somewhere()).await.unwrap().is_adult);
        let again = app.declare_age(&anna, 1990, &somewhere()).await;
        assert!(is_refused(again, Refusal::AgeDeclared));
        let row = test.row_of(anna.id).await;
        assert_eq!((row.age_assurance, row.age_is_adult), (2, false));
        assert!(is_refused(app.set_age(&root, anna.id, true, " ".into()).await, Refusal::NameInvalid));
        let settled = app.set_age(&root, anna.id, true, "passport".into()).await.unwrap();
        assert_eq!((settled.row.age_assurance, settled.row.age_is_adult), (3, true));
        let after = app.declare_age(&anna, 2015, &somewhere()).await;
        assert!(is_refused(after, Refusal::AgeVerified));
        assert_eq!(test.audited().await, ["age.declare", "age.declare", "age.set"]);
    }

    async fn a_verification_is_completed_once(url: DatabaseUrl) {
        let test = with_verifier(&url).await;
        let anna = test.person("anna").await;
        let token = begun(&test, &anna).await;
        assert!(is_refused(called_back(&test, "unknown", true).await, Refusal::AgeCallbackInvalid));
        called_back(&test, &token, true).await.unwrap();
        let row = test.row_of(anna.id).await;
        assert_eq!((row.age_assurance, row.age_is_adult), (3, true));
        assert_eq!(row.age_method, "verifier");
        assert_eq!(test.app.content_tier_of(&row), crate::domain::age::Tier::Adult);
        assert!(is_refused(called_back(&test, &token, false).await, Refusal::AgeCallbackInvalid));
        assert!(test.row_of(anna.id).await.age_is_adult);
        let begun_again = test.app.begin_age_verification(&anna).await;
        assert!(is_refused(begun_again, Refusal::AgeVerified));
        assert_eq!(test.audited().await, ["age.verify"]);
    }

    async fn calls_at_once_complete_a_verification_once(url: DatabaseUrl) {
        let test = with_verifier(&url).await;
        let anna = test.person("anna").await;
        let token = begun(&test, &anna).await;
        let calls = (0..4).map(|_| called_back(&test, &token, true));
        let answers = futures::future::join_all(calls).await;
        assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
        assert_eq!(test.audited().await, ["age.verify"]);
    }

    async fn a_verification_ends_and_needs_a_verifier_and_its_signature(url: DatabaseUrl) {
        let test = with_verifier(&url).await;
        let anna = test.person("anna").await;
        let token = begun(&test, &anna).await;
        let forged = Callback { body: b"{}", signature: "00", timestamp: "0" };
        let forged = test.app.complete_age_verification(forged).await;
        assert!(is_refused(forged, Refusal::AgeCallbackInvalid));
        test.clock.advance(LIFETIME);
        assert!(is_refused(called_back(&test, &token, true).await, Refusal::AgeCallbackInvalid));
        assert_eq!(test.row_of(anna.id).await.age_assurance, 1);
    }

    async fn without_a_verifier_there_is_no_verification(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let anna = test.person("anna").await;
        let begun = test.app.begin_age_verification(&anna).await;
        assert!(is_refused(begun, Refusal::NoAgeVerifier));
        assert!(is_refused(called_back(&test, "x", true).await, Refusal::NoAgeVerifier));
        let mut options = AccountsOptions::new(url, sealing_key());
        options.age_verifier_url = Some("https://verifier.example/{flow}".to_owned());
        assert!(matches!(verifier_of(&options), Err(Error::Options(_))));
    }
}
