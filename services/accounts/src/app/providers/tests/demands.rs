//! What the operator wants of a sign-in at a provider.

use super::*;
use crate::app::testing::claims;

/// When the session that a sign-in has opened says that a credential was shown.
fn auth_time(signed_in: Result<(SignedIn, bool), Error>) -> i64 {
    match signed_in.unwrap().0 {
        SignedIn::Tokens(tokens) => claims(&tokens.access).auth_time,
        SignedIn::Challenge(_) => panic!("there is no second factor"),
    }
}

on_both_databases! {
    async fn age_of_a_sign_in_is_asked_for_and_checked(url: DatabaseUrl) {
        let rig = Rig::wanting(&url, "max_age = 300").await;
        let sent = rig.test.app.begin_provider_sign_in("it", BACK, &nowhere()).await.unwrap();
        assert_eq!(parameter(&sent.authorization_url, "max_age"), "300");
        let now = rig.test.app.now().timestamp();
        let at = |time: i64| move |claims: &mut Value| claims["auth_time"] = time.into();
        let silent = rig.sign_in("ada", Signature::Right, |_| {}).await;
        assert_eq!(refusal(silent), Refusal::ProviderSignInOld);
        let old = rig.sign_in("ada", Signature::Right, at(now - 3600)).await;
        assert_eq!(refusal(old), Refusal::ProviderSignInOld);
        let to_come = rig.sign_in("ada", Signature::Right, at(now + 120)).await;
        assert_eq!(refusal(to_come), Refusal::TokenInvalid);
        assert!(rig.users().await.is_empty());
        // A session is as fresh as what was shown there.
        let good = rig.sign_in("ada", Signature::Right, at(now - 200)).await;
        assert_eq!(auth_time(good), now - 200);
        let ahead = rig.sign_in("ada", Signature::Right, at(now + 30)).await;
        assert_eq!(auth_time(ahead), now);
    }

    async fn link_to_an_old_sign_in_is_refused(url: DatabaseUrl) {
        let rig = Rig::wanting(&url, "max_age = 300").await;
        let owner = rig.test.user("ada@example.org").await;
        let app = &rig.test.app;
        let sent = app.begin_provider_link(&owner, "it", BACK).await.unwrap();
        let token = rig.liar.sign(&rig.claims(&sent, "ada"), Signature::Right);
        rig.liar.plan(Plan::Token(token));
        let state = parameter(&sent.authorization_url, "state");
        let browser_token = &sent.browser_token;
        let answer = Answer { state: &state, code: "code", browser_token, redirect_uri: BACK, ..Answer::default() };
        let refused = app.complete_provider_link(&owner, answer, &nowhere()).await;
        assert_eq!(refusal(refused), Refusal::ProviderSignInOld);
    }

    async fn strength_of_a_sign_in_is_asked_for_and_checked(url: DatabaseUrl) {
        let rig = Rig::wanting(&url, "acr_values = [\"phrh\", \"phr\"]").await;
        let sent = rig.test.app.begin_provider_sign_in("it", BACK, &nowhere()).await.unwrap();
        assert_eq!(parameter(&sent.authorization_url, "acr_values"), "phrh phr");
        let by = |context: &'static str| move |claims: &mut Value| claims["acr"] = context.into();
        let silent = rig.sign_in("ada", Signature::Right, |_| {}).await;
        assert_eq!(refusal(silent), Refusal::ProviderSignInWeak);
        let weak = rig.sign_in("ada", Signature::Right, by("pwd")).await;
        assert_eq!(refusal(weak), Refusal::ProviderSignInWeak);
        rig.sign_in("ada", Signature::Right, by("phr")).await.unwrap();
    }

    async fn provider_of_which_nothing_is_wanted_is_asked_for_nothing(url: DatabaseUrl) {
        let rig = Rig::on(&url).await;
        let sent = rig.test.app.begin_provider_sign_in("it", BACK, &nowhere()).await.unwrap();
        for name in ["max_age", "acr_values"] {
            assert_eq!(parameter(&sent.authorization_url, name), "");
        }
        let now = rig.test.app.now().timestamp();
        let old = |claims: &mut Value| claims["auth_time"] = (now - 86_400).into();
        let signed_in = rig.sign_in("ada", Signature::Right, old).await;
        assert_eq!(auth_time(signed_in), now);
    }
}
