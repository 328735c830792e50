//! Whose account an identity is, and what ties an answer to the browser that asked.

use super::*;

impl Rig {
    /// Links what the provider knows as `subject` to the caller's account.
    async fn link(&self, caller: &Caller, subject: &str) -> Result<identity::Model, Error> {
        let app = &self.test.app;
        let sent = app.begin_provider_link(caller, "it", BACK).await?;
        let claims = self.claims(&sent, subject);
        self.liar
            .plan(Plan::Token(self.liar.sign(&claims, Signature::Right)));
        let state = parameter(&sent.authorization_url, "state");
        let answer = Answer {
            state: &state,
            code: "code",
            error: "",
            browser_token: &sent.browser_token,
            redirect_uri: BACK,
            iss: "",
        };
        app.complete_provider_link(caller, answer, &nowhere()).await
    }
}

on_both_databases! {
    async fn an_account_with_the_address_is_linked_by_its_owner_only(url: DatabaseUrl) {
        let rig = Rig::on(&url).await;
        let owner = rig.test.user("ada@example.org").await;
        let refused = rig.sign_in("ada", Signature::Right, |_| {}).await;
        assert_eq!(refusal(refused), Refusal::LinkRequired);
        let linked = rig.link(&owner, "ada").await.unwrap();
        assert_eq!((linked.user_id, linked.subject.as_str()), (owner.id, "ada"));
        let again = rig.link(&owner, "ada").await.unwrap();
        assert_eq!(again.id, linked.id);
        let (_, is_new) = rig.sign_in("ada", Signature::Right, |_| {}).await.unwrap();
        assert!(!is_new);
        let other = rig.test.user("b@example.org").await;
        assert_eq!(refusal(rig.link(&other, "ada").await), Refusal::IdentityTaken);
        assert_eq!(rig.users().await.len(), 2);
        assert_eq!(rig.test.mails().await.len(), 1);
    }

    async fn a_link_begun_by_one_is_not_ended_by_another(url: DatabaseUrl) {
        let rig = Rig::on(&url).await;
        let owner = rig.test.user("a@example.org").await;
        let stranger = rig.test.user("b@example.org").await;
        let app = &rig.test.app;
        let sent = app.begin_provider_link(&owner, "it", BACK).await.unwrap();
        let state = parameter(&sent.authorization_url, "state");
        let answer = Answer { state: &state, code: "code", error: "", browser_token: &sent.browser_token, redirect_uri: BACK, iss: "" };
        let refused = app.complete_provider_link(&stranger, answer, &nowhere()).await;
        assert_eq!(refusal(refused), Refusal::StateInvalid);
        // Nor is it a sign-in.
        let refused = app.complete_provider_sign_in(answer, &nowhere()).await;
        assert_eq!(refusal(refused), Refusal::StateInvalid);
        rig.test.clock.advance(TimeDelta::minutes(11));
        assert_eq!(refusal(rig.link(&owner, "a").await), Refusal::StepUpRequired);
    }

    async fn an_answer_belongs_to_the_browser_that_asked(url: DatabaseUrl) {
        let rig = Rig::on(&url).await;
        let app = &rig.test.app;
        let own = app.begin_provider_sign_in("it", BACK, &nowhere()).await.unwrap();
        let other = app.begin_provider_sign_in("it", BACK, &nowhere()).await.unwrap();
        let state = parameter(&own.authorization_url, "state");
        let answer = |browser_token| Answer { state: &state, code: "code", error: "", browser_token, redirect_uri: BACK, iss: "" };
        let crossed = app.complete_provider_sign_in(answer(&other.browser_token), &nowhere()).await;
        assert_eq!(refusal(crossed), Refusal::StateInvalid);
        // The state was used up by that.
        let late = app.complete_provider_sign_in(answer(&own.browser_token), &nowhere()).await;
        assert_eq!(refusal(late), Refusal::StateInvalid);
        for state in ["", "x", &"x".repeat(1 << 20)] {
            let answer = Answer { state, code: "code", error: "", browser_token: &own.browser_token, redirect_uri: BACK, iss: "" };
            let unknown = app.complete_provider_sign_in(answer, &nowhere()).await;
            assert_eq!(refusal(unknown), Refusal::StateInvalid);
        }
        let old = app.begin_provider_sign_in("it", BACK, &nowhere()).await.unwrap();
        rig.test.clock.advance(LIFETIME);
        let state = parameter(&old.authorization_url, "state");
        let answer = Answer { state: &state, code: "code", error: "", browser_token: &old.browser_token, redirect_uri: BACK, iss: "" };
        let late = app.complete_provider_sign_in(answer, &nowhere()).await;
        assert_eq!(refusal(late), Refusal::StateInvalid);
    }

    async fn browsers_are_sent_back_to_configured_addresses_only(url: DatabaseUrl) {
        let rig = Rig::on(&url).await;
        let app = &rig.test.app;
        for back in [
            "",
            "http://127.0.0.1:8080/back/",
            "http://127.0.0.1:8080/back?to=evil",
            "http://127.0.0.1:8080/back/../back",
            "HTTP://127.0.0.1:8080/back",
            "http://127.0.0.1:8080@evil.example.org/back",
            "https://evil.example.org",
        ] {
            let refused = app.begin_provider_sign_in("it", back, &nowhere()).await;
            assert_eq!(refusal(refused), Refusal::RedirectNotAllowed, "{back:?}");
        }
        let unknown = app.begin_provider_sign_in("nobody", BACK, &nowhere()).await;
        assert_eq!(refusal(unknown), Refusal::ProviderUnknown);
        assert_eq!(app.provider_names(), ["it"]);
    }

    async fn the_last_way_in_is_not_unlinked(url: DatabaseUrl) {
        let rig = Rig::on(&url).await;
        let owner = rig.test.user("a@example.org").await;
        rig.link(&owner, "a").await.unwrap();
        let app = &rig.test.app;
        let last = app.remove_provider_link(&owner, "it", &nowhere()).await;
        assert_eq!(refusal(last), Refusal::LastCredential);
        let change = user::ActiveModel {
            password_hash: sea_orm::ActiveValue::Set(Some("a hash".to_owned())),
            ..Default::default()
        };
        let tx = app.store.begin().await.unwrap();
        users::update(&tx, owner.id, change).await.unwrap();
        tx.commit().await.unwrap();
        app.remove_provider_link(&owner, "it", &nowhere()).await.unwrap();
        let none = app.remove_provider_link(&owner, "it", &nowhere()).await;
        assert_eq!(refusal(none), Refusal::NotFound);
        assert_eq!(rig.test.mails().await.len(), 2);
    }

    async fn a_second_factor_is_asked_for_after_a_provider_too(url: DatabaseUrl) {
        let rig = Rig::on(&url).await;
        let owner = rig.test.user("a@example.org").await;
        rig.link(&owner, "a").await.unwrap();
        let tx = rig.test.app.store.begin().await.unwrap();
        crate::store::second_factors::keep_totp(&tx, owner.id, vec![1], rig.test.app.now()).await.unwrap();
        assert!(crate::store::second_factors::take_step(&tx, owner.id, 1).await.unwrap());
        tx.commit().await.unwrap();
        let (signed_in, _) = rig.sign_in("a", Signature::Right, |_| {}).await.unwrap();
        assert!(matches!(signed_in, SignedIn::Challenge(_)));
    }
}
