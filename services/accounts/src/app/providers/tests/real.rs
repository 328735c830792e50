//! At a certified provider, without a browser.

use kinora_testkit::oidc::{Browser, TestOidc};

use super::*;
use crate::clock::{Clock, SystemClock};

/// A provider of its own, and an application whose clock is the provider's.
async fn real(url: &DatabaseUrl) -> (TestApp, TestOidc, TempDir) {
    let provider = TestOidc::start(BACK).await;
    let (id, secret) = (TestOidc::CLIENT_ID, TestOidc::CLIENT_SECRET);
    let (test, folder) = app_with(url, &provider.issuer(), id, secret).await;
    test.clock.advance(SystemClock.now() - test.app.now());
    (test, provider, folder)
}

/// What the provider sends back with the browser: state, code, error.
async fn visit(sent: &Sent, name: Option<&str>) -> [String; 3] {
    let back = Browser::new()
        .visit(&sent.authorization_url, BACK, name)
        .await;
    ["state", "code", "error"].map(|field| parameter(back.as_str(), field))
}

on_both_databases! {
    async fn a_person_signs_in_at_the_provider(url: DatabaseUrl) {
        let (test, _provider, _folder) = real(&url).await;
        for is_first in [true, false] {
            let sent = test.app.begin_provider_sign_in("it", BACK, &nowhere()).await.unwrap();
            let [state, code, error] = visit(&sent, Some("ada")).await;
            let answer = Answer { state: &state, code: &code, error: &error, browser_token: &sent.browser_token, redirect_uri: BACK, iss: "" };
            let (signed_in, is_new) = test.app.complete_provider_sign_in(answer, &nowhere()).await.unwrap();
            assert!(matches!(signed_in, SignedIn::Tokens(_)));
            assert_eq!(is_new, is_first);
            let replayed = test.app.complete_provider_sign_in(answer, &nowhere()).await;
            assert_eq!(refusal(replayed), Refusal::StateInvalid);
        }
        let users = user::Entity::find().all(test.app.store.reader()).await.unwrap();
        assert_eq!(users.len(), 1);
        assert_eq!(users[0].email, "ada@example.org");
    }

    async fn refusals_of_the_person_and_the_provider_are_told_apart(url: DatabaseUrl) {
        let (test, _provider, _folder) = real(&url).await;
        let sent = test.app.begin_provider_sign_in("it", BACK, &nowhere()).await.unwrap();
        let [state, code, error] = visit(&sent, None).await;
        assert_eq!(error, "access_denied");
        let answer = Answer { state: &state, code: &code, error: &error, browser_token: &sent.browser_token, redirect_uri: BACK, iss: "" };
        let refused = test.app.complete_provider_sign_in(answer, &nowhere()).await;
        assert_eq!(refusal(refused), Refusal::ProviderRefused);

        let sent = test.app.begin_provider_sign_in("it", BACK, &nowhere()).await.unwrap();
        let [state, code, _] = visit(&sent, Some("unverified-bob")).await;
        let answer = Answer { state: &state, code: &code, error: "", browser_token: &sent.browser_token, redirect_uri: BACK, iss: "" };
        let refused = test.app.complete_provider_sign_in(answer, &nowhere()).await;
        assert_eq!(refusal(refused), Refusal::EmailNotVerified);

        let sent = test.app.begin_provider_sign_in("it", BACK, &nowhere()).await.unwrap();
        let state = parameter(&sent.authorization_url, "state");
        let answer = Answer { state: &state, code: "guessed", error: "", browser_token: &sent.browser_token, redirect_uri: BACK, iss: "" };
        let refused = test.app.complete_provider_sign_in(answer, &nowhere()).await;
        assert_eq!(refusal(refused), Refusal::ProviderRefused);
    }
}
