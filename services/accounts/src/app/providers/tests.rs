mod demands;
mod liar;
mod linking;
mod real;

use kinora_store::{DatabaseUrl, on_both_databases};
use openidconnect::{PkceCodeChallenge, PkceCodeVerifier};
use sea_orm::EntityTrait;
use serde_json::{Value, json};
use tempfile::TempDir;
use url::Url;

use self::liar::{Liar, Plan, Signature};
use super::*;
use crate::app::testing::TestApp;
use crate::store::entity::people::user;

const BACK: &str = "http://127.0.0.1:8080/back";

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

/// An application with one provider called "it".
async fn app_with(url: &DatabaseUrl, issuer: &str, id: &str, secret: &str) -> (TestApp, TempDir) {
    app_wanting(url, issuer, (id, secret), "").await
}

/// An application with one provider called "it", with more lines in its configuration.
async fn app_wanting(
    url: &DatabaseUrl,
    issuer: &str,
    (id, secret): (&str, &str),
    more: &str,
) -> (TestApp, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let secret_file = folder.path().join("secret");
    std::fs::write(&secret_file, secret).unwrap();
    let file = folder.path().join("providers.toml");
    let text = format!(
        "[[provider]]\nname = \"it\"\nissuer = \"{issuer}\"\nclient_id = \"{id}\"\n\
         client_secret_file = \"{}\"\nredirect_uris = [\"{BACK}\"]\n{more}\n",
        secret_file.display()
    );
    std::fs::write(&file, text).unwrap();
    let mut options = TestApp::options(url);
    options.providers_file = Some(file);
    (TestApp::with(url, options).await, folder)
}

/// An application whose provider says what the test wants.
struct Rig {
    test: TestApp,
    liar: Liar,
    _folder: TempDir,
}

impl Rig {
    async fn on(url: &DatabaseUrl) -> Self {
        Self::wanting(url, "").await
    }

    /// With more lines in the configuration of the provider.
    async fn wanting(url: &DatabaseUrl, more: &str) -> Self {
        let liar = Liar::start().await;
        let client = ("kinora", Liar::CLIENT_SECRET);
        let (test, _folder) = app_wanting(url, &liar.issuer(), client, more).await;
        Self {
            test,
            liar,
            _folder,
        }
    }

    /// What an honest provider says of `subject`, whose address at example.org is verified.
    fn claims(&self, sent: &Sent, subject: &str) -> Value {
        let now = self.test.app.now().timestamp();
        json!({
            "iss": self.liar.issuer(),
            "aud": "kinora",
            "sub": subject,
            "nonce": parameter(&sent.authorization_url, "nonce"),
            "iat": now,
            "exp": now + 300,
            "email": format!("{subject}@example.org"),
            "email_verified": true,
            "name": "Somebody",
        })
    }

    /// Signs in, where the provider changes what an honest one would say by `lie`.
    async fn sign_in(
        &self,
        subject: &str,
        signature: Signature,
        lie: impl FnOnce(&mut Value),
    ) -> Result<(SignedIn, bool), Error> {
        let app = &self.test.app;
        let sent = app.begin_provider_sign_in("it", BACK, &nowhere()).await?;
        let mut claims = self.claims(&sent, subject);
        lie(&mut claims);
        self.liar
            .plan(Plan::Token(self.liar.sign(&claims, signature)));
        let state = parameter(&sent.authorization_url, "state");
        let answer = Answer {
            state: &state,
            code: "code",
            error: "",
            browser_token: &sent.browser_token,
            redirect_uri: BACK,
            iss: "",
        };
        app.complete_provider_sign_in(answer, &nowhere()).await
    }

    /// Signs in as the token endpoint plans.
    async fn sign_in_at(&self, plan: Plan) -> Result<(SignedIn, bool), Error> {
        let app = &self.test.app;
        let sent = app.begin_provider_sign_in("it", BACK, &nowhere()).await?;
        self.liar.plan(plan);
        let state = parameter(&sent.authorization_url, "state");
        let answer = Answer {
            state: &state,
            code: "code",
            error: "",
            browser_token: &sent.browser_token,
            redirect_uri: BACK,
            iss: "",
        };
        app.complete_provider_sign_in(answer, &nowhere()).await
    }

    async fn users(&self) -> Vec<user::Model> {
        let users = user::Entity::find().all(self.test.app.store.reader()).await;
        users.unwrap()
    }
}

fn parameter(url: &str, name: &str) -> String {
    let url = Url::parse(url).unwrap();
    let found = url.query_pairs().find(|(key, _)| key == name);
    found
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

on_both_databases! {
    async fn an_honest_provider_makes_one_account_for_one_subject(url: DatabaseUrl) {
        let rig = Rig::on(&url).await;
        let (_, is_new) = rig.sign_in("ada", Signature::Right, |_| {}).await.unwrap();
        assert!(is_new);
        // The subject is what counts, whatever becomes of the address.
        let moved = |claims: &mut Value| claims["email"] = "other@example.org".into();
        let (_, is_new) = rig.sign_in("ada", Signature::Right, moved).await.unwrap();
        assert!(!is_new);
        let users = rig.users().await;
        assert_eq!(users.len(), 1);
        assert_eq!(users[0].email, "ada@example.org");
        assert_eq!(users[0].display_name, "Somebody");
        assert_eq!(rig.test.mails().await.len(), 1);
    }

    async fn tokens_that_do_not_hold_sign_nobody_in(url: DatabaseUrl) {
        type Lie = fn(&mut Value);
        let rig = Rig::on(&url).await;
        let lies: [(Lie, Refusal); 12] = [
            (|claims| claims["nonce"] = "another".into(), Refusal::NonceInvalid),
            (|claims| claims["nonce"] = Value::Null, Refusal::NonceInvalid),
            (|claims| claims["aud"] = "another".into(), Refusal::TokenInvalid),
            (|claims| claims["aud"] = json!(["kinora", "another"]), Refusal::TokenInvalid),
            (|claims| claims["azp"] = "another".into(), Refusal::TokenInvalid),
            (|claims| claims["iss"] = "https://accounts.google.com".into(), Refusal::TokenInvalid),
            (|claims| claims["exp"] = (claims["iat"].as_i64().unwrap() - 61).into(), Refusal::TokenInvalid),
            (|claims| claims["iat"] = (claims["iat"].as_i64().unwrap() + 61).into(), Refusal::TokenInvalid),
            (|claims| claims["iat"] = (claims["iat"].as_i64().unwrap() - 601).into(), Refusal::TokenInvalid),
            (|claims| claims["sub"] = "".into(), Refusal::TokenInvalid),
            (|claims| claims["sub"] = "x".repeat(256).into(), Refusal::TokenInvalid),
            (|claims| claims["sub"] = Value::Null, Refusal::TokenInvalid),
        ];
        for (index, (lie, wanted)) in lies.into_iter().enumerate() {
            let refused = rig.sign_in("ada", Signature::Right, lie).await;
            assert_eq!(refusal(refused), wanted, "lie {index}");
        }
        for signature in [
            Signature::OtherKey,
            Signature::UnknownKey,
            Signature::None,
            Signature::ClientSecret,
        ] {
            let refused = rig.sign_in("ada", signature, |_| {}).await;
            assert_eq!(refusal(refused), Refusal::TokenInvalid);
        }
        assert!(rig.users().await.is_empty());
    }

    async fn answers_of_the_token_endpoint_are_bounded(url: DatabaseUrl) {
        let rig = Rig::on(&url).await;
        for (plan, wanted) in [
            (Plan::Refuse, Refusal::ProviderRefused),
            (Plan::Redirect, Refusal::TokenInvalid),
            (Plan::Flood, Refusal::ProviderAway),
            (Plan::NoToken, Refusal::TokenInvalid),
            (Plan::Token("x.y.z".to_owned()), Refusal::TokenInvalid),
        ] {
            assert_eq!(refusal(rig.sign_in_at(plan).await), wanted);
        }
    }

    async fn the_code_is_redeemed_with_its_verifier(url: DatabaseUrl) {
        let rig = Rig::on(&url).await;
        let sent = rig.test.app.begin_provider_sign_in("it", BACK, &nowhere()).await.unwrap();
        let token = rig.liar.sign(&rig.claims(&sent, "ada"), Signature::Right);
        rig.liar.plan(Plan::Token(token));
        let state = parameter(&sent.authorization_url, "state");
        let answer = Answer { state: &state, code: "the code", error: "", browser_token: &sent.browser_token, redirect_uri: BACK, iss: "" };
        rig.test.app.complete_provider_sign_in(answer, &nowhere()).await.unwrap();
        let asked = rig.liar.asked();
        let verifier = PkceCodeVerifier::new(asked["code_verifier"].clone());
        let challenge = PkceCodeChallenge::from_code_verifier_sha256(&verifier);
        assert_eq!(challenge.as_str(), parameter(&sent.authorization_url, "code_challenge"));
        assert_eq!(parameter(&sent.authorization_url, "code_challenge_method"), "S256");
        assert_eq!(parameter(&sent.authorization_url, "scope"), "openid email profile");
        assert_eq!((asked["code"].as_str(), asked["redirect_uri"].as_str()), ("the code", BACK));
    }

    async fn an_answer_of_another_provider_is_none_of_this_one(url: DatabaseUrl) {
        let rig = Rig::on(&url).await;
        let issuer = rig.liar.issuer();
        for (redirect_uri, iss, is_good) in [
            ("http://127.0.0.1:8080/other", "", false),
            ("", "", false),
            (BACK, "https://other.example.org", false),
            (BACK, issuer.as_str(), true),
        ] {
            let sent = rig.test.app.begin_provider_sign_in("it", BACK, &nowhere()).await.unwrap();
            let token = rig.liar.sign(&rig.claims(&sent, "ada"), Signature::Right);
            rig.liar.plan(Plan::Token(token));
            let state = parameter(&sent.authorization_url, "state");
            let browser_token = &sent.browser_token;
            let answer = Answer { state: &state, code: "code", error: "", browser_token, redirect_uri, iss };
            let came = rig.test.app.complete_provider_sign_in(answer, &nowhere()).await;
            if is_good {
                assert!(came.is_ok());
            } else {
                assert_eq!(refusal(came), Refusal::StateInvalid, "{redirect_uri} {iss}");
            }
        }
    }

    async fn new_keys_of_a_provider_are_found(url: DatabaseUrl) {
        let rig = Rig::on(&url).await;
        rig.sign_in("ada", Signature::Right, |_| {}).await.unwrap();
        rig.liar.rotate();
        // Not at once: whoever sends wrong signatures could make us ask all the time.
        let refused = rig.sign_in("ada", Signature::Right, |_| {}).await;
        assert_eq!(refusal(refused), Refusal::TokenInvalid);
        rig.test.clock.advance(TimeDelta::minutes(1));
        rig.sign_in("ada", Signature::Right, |_| {}).await.unwrap();
    }

    async fn addresses_that_nobody_vouches_for_make_no_account(url: DatabaseUrl) {
        let rig = Rig::on(&url).await;
        let unverified = |claims: &mut Value| claims["email_verified"] = false.into();
        let refused = rig.sign_in("ada", Signature::Right, unverified).await;
        assert_eq!(refusal(refused), Refusal::EmailNotVerified);
        let odd = |claims: &mut Value| claims["email"] = "ada".into();
        let refused = rig.sign_in("ada", Signature::Right, odd).await;
        assert_eq!(refusal(refused), Refusal::EmailInvalid);
        assert!(rig.users().await.is_empty());
    }

    async fn a_provider_that_is_away_is_said_to_be(url: DatabaseUrl) {
        let issuer = format!("http://127.0.0.1:{}", kinora_testkit::net::free_port());
        let (test, _folder) = app_with(&url, &issuer, "kinora", "secret").await;
        let refused = test.app.begin_provider_sign_in("it", BACK, &nowhere()).await;
        assert_eq!(refusal(refused), Refusal::ProviderAway);
    }

    async fn a_network_begins_no_sign_ins_without_end(url: DatabaseUrl) {
        let rig = Rig::on(&url).await;
        let app = &rig.test.app;
        let office = Origin::new("192.0.2.1", "a browser");
        for _ in 0..201 {
            app.begin_provider_sign_in("it", BACK, &office).await.unwrap();
        }
        let throttled = app.begin_provider_sign_in("it", BACK, &office).await;
        assert!(matches!(throttled, Err(Error::Throttled { .. })));
        app.begin_provider_sign_in("it", BACK, &Origin::new("192.0.2.2", "")).await.unwrap();
    }

    async fn provider_signs_nobody_in_to_a_disabled_account(url: DatabaseUrl) {
        let rig = Rig::on(&url).await;
        rig.sign_in("ada", Signature::Right, |_| {}).await.unwrap();
        let id = rig.users().await[0].id;
        for state in [users::DISABLED, users::ERASED] {
            let state = sea_orm::ActiveValue::Set(state);
            rig.test.changed(id, user::ActiveModel { state, ..Default::default() }).await;
            let refused = rig.sign_in("ada", Signature::Right, |_| {}).await;
            assert_eq!(refusal(refused), Refusal::AccountDisabled);
        }
    }
}
