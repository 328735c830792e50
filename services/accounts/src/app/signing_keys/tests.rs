use chrono::TimeDelta;
use kinora_access::token::Verifier;
use kinora_access::trust::TrustBundle;
use uuid::Uuid;

use crate::app::testing::TestApp;
use crate::domain::origin::Origin;
use crate::domain::refusal::Refusal;
use crate::domain::signing_key::{KeyState, SigningKeyInfo, Trust};
use crate::domain::tokens::{Shown, Tokens};
use crate::error::Error;

const PASSWORD: Shown<'_> = Shown {
    methods: &["pwd"],
    assurance: 1,
};

/// Ids of the keys in each state.
fn ids(keys: &[SigningKeyInfo], state: KeyState) -> Vec<Uuid> {
    let there = keys.iter().filter(|key| key.state == state);
    there.map(|key| key.id).collect()
}

async fn sign_in(test: &TestApp, user: Uuid) -> Tokens {
    let tx = test.app.store.begin().await.unwrap();
    let origin = Origin::default();
    let opened = test.app.open_session(&tx, user, PASSWORD, None, &origin);
    let tokens = opened.await.unwrap();
    tx.commit().await.unwrap();
    tokens
}

fn bundle(trust: Trust) -> TrustBundle {
    let revision = trust.revision();
    let pb = kinora_proto::accounts::v1::Trust {
        keys: trust
            .keys
            .into_iter()
            .map(
                |(id, public_key)| kinora_proto::accounts::v1::VerifyingKey {
                    id: id.to_string(),
                    public_key,
                },
            )
            .collect(),
        terms_version: trust.terms_version,
        ended: Vec::new(),
    };
    TrustBundle::read(revision, pb).unwrap()
}

/// Whether services take a token now.
async fn is_good(test: &TestApp, tokens: &Tokens) -> bool {
    let trust = bundle(test.app.trust().await.unwrap());
    let verifier = Verifier::new("kinora", &["scheduler"]);
    let now = tokens.access_expire - TimeDelta::minutes(5);
    verifier
        .verify(&tokens.access, &trust, now.timestamp())
        .is_ok()
}

kinora_store::on_both_databases! {
    async fn replicas_that_start_at_once_make_one_set_of_keys(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let app = &test.app;
        let (one, other) = tokio::join!(app.prepare_signing_keys(), app.prepare_signing_keys());
        one.unwrap();
        other.unwrap();
        let keys = app.signing_keys().await.unwrap();
        assert_eq!(keys.len(), 2);
        assert_eq!(ids(&keys, KeyState::Current).len(), 1);
        assert_eq!(ids(&keys, KeyState::Standby).len(), 1);
    }

    async fn rotation_lets_the_standby_key_sign_and_old_tokens_live_on(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let user = test.user("ada@example.org").await;
        let before = test.app.signing_keys().await.unwrap();
        let old = sign_in(&test, user.id).await;
        let after = test.app.rotate_signing_key(&user).await.unwrap();
        assert_eq!(ids(&after, KeyState::Current), ids(&before, KeyState::Standby));
        assert_eq!(ids(&after, KeyState::Previous), ids(&before, KeyState::Current));
        assert_eq!(ids(&after, KeyState::Standby).len(), 1);
        assert!(is_good(&test, &old).await);
        assert!(is_good(&test, &sign_in(&test, user.id).await).await);
        test.clock.advance(TimeDelta::hours(1));
        test.app.tend_signing_keys().await.unwrap();
        assert!(!is_good(&test, &old).await);
        let kept = test.app.signing_keys().await.unwrap();
        assert_eq!(ids(&kept, KeyState::Revoked), ids(&before, KeyState::Current));
    }

    async fn key_is_rotated_after_thirty_days_and_not_before(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let before = test.app.signing_keys().await.unwrap();
        test.clock.advance(TimeDelta::days(30) - TimeDelta::seconds(1));
        test.app.tend_signing_keys().await.unwrap();
        assert_eq!(test.app.signing_keys().await.unwrap(), before);
        test.clock.advance(TimeDelta::seconds(1));
        let (one, other) = tokio::join!(test.app.tend_signing_keys(), test.app.tend_signing_keys());
        one.unwrap();
        other.unwrap();
        let after = test.app.signing_keys().await.unwrap();
        assert_eq!(ids(&after, KeyState::Current), ids(&before, KeyState::Standby));
        assert_eq!(after.len(), 3);
    }

    async fn revoked_key_is_trusted_no_more_and_the_current_one_cannot_be_revoked(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let user = test.user("ada@example.org").await;
        let old = sign_in(&test, user.id).await;
        let first = ids(&test.app.signing_keys().await.unwrap(), KeyState::Current)[0];
        let refused = test.app.revoke_signing_key(&user, first).await.unwrap_err();
        assert!(matches!(refused, Error::Refused(Refusal::KeyInUse)), "{refused}");
        test.app.rotate_signing_key(&user).await.unwrap();
        let revision = test.app.trust().await.unwrap().revision();
        test.app.revoke_signing_key(&user, first).await.unwrap();
        assert!(!is_good(&test, &old).await);
        assert_ne!(test.app.trust().await.unwrap().revision(), revision);
        let unknown = test.app.revoke_signing_key(&user, Uuid::now_v7()).await.unwrap_err();
        assert!(matches!(unknown, Error::Refused(Refusal::NotFound)), "{unknown}");
    }

    async fn standby_key_that_is_revoked_is_replaced(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let user = test.user("ada@example.org").await;
        let standby = ids(&test.app.signing_keys().await.unwrap(), KeyState::Standby);
        let after = test.app.revoke_signing_key(&user, standby[0]).await.unwrap();
        assert_eq!(ids(&after, KeyState::Revoked), standby);
        assert_eq!(ids(&after, KeyState::Standby).len(), 1);
    }

    async fn what_has_ended_is_told_as_long_as_a_token_of_it_could_live(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let user = test.user("ada@example.org").await;
        let session = sign_in(&test, user.id).await.session;
        test.app.revoke_session(&user, session).await.unwrap();
        // Tokens that were being signed at that moment count as ended, too.
        let end_time = (test.app.now() + TimeDelta::minutes(1)).timestamp();
        test.clock.advance(TimeDelta::minutes(12) - TimeDelta::seconds(1));
        assert_eq!(test.app.trust().await.unwrap().ended, [(session, end_time)]);
        test.clock.advance(TimeDelta::seconds(1));
        assert_eq!(test.app.trust().await.unwrap().ended, []);
    }

    async fn another_sealing_key_is_noticed_at_the_start(url: DatabaseUrl) {
        drop(TestApp::on(&url).await);
        let mut options = TestApp::options(&url);
        options.sealing_key = kinora_mesh::secret::Secret::new("17".repeat(32));
        let started = TestApp::try_with(&url, options).await;
        assert!(matches!(started, Err(Error::Broken(_))));
    }
}
