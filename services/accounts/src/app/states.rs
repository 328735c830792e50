//! Accounts that are disabled or erased: whatever was begun or given out before lets nobody in.

use chrono::TimeDelta;
use kinora_store::{DatabaseUrl, on_both_databases};
use sea_orm::ActiveValue::Set;
use uuid::Uuid;

use super::second_factor::SignedIn;
use super::step_up::Proof;
use super::testing::people::somewhere;
use super::testing::{TestApp, code_in, refusal_of};
use super::{NewKey, Switch};
use crate::domain::api_key::ApiKey;
use crate::domain::caller::{Caller, Role};
use crate::domain::refusal::Refusal;
use crate::domain::tokens::Tokens;
use crate::store::entity::people::user;
use crate::store::users;

const EMAIL: &str = "ada@example.org";
const PASSWORD: &str = "gk4-Qz81wY";

/// Somebody with all that could let them in.
struct Ada {
    test: TestApp,
    caller: Caller,
    tokens: Tokens,
    key: ApiKey,
    challenge: String,
    reset: String,
    new_address: String,
    invitation: String,
}

/// Why nothing of it does.
#[derive(Debug, PartialEq, Eq)]
struct Refused {
    sign_in: Refusal,
    second_step: Refusal,
    refresh: Refusal,
    key: Refusal,
    step_up: Refusal,
    reset: Refusal,
    new_address: Refusal,
    invitation: Refusal,
}

impl Ada {
    async fn on(url: &DatabaseUrl) -> Self {
        let test = TestApp::on(url).await;
        let from = somewhere();
        let app = &test.app;
        app.sign_up(EMAIL, PASSWORD, "", &from).await.unwrap();
        let verified = app
            .verify_email(&newest_code(&test).await, PASSWORD, &from)
            .await
            .unwrap();
        let tokens = verified.tokens.unwrap();
        let caller = Caller {
            session: tokens.session,
            ..test.caller(verified.user.id, false)
        };
        let new = NewKey {
            name: "key".to_owned(),
            ..NewKey::default()
        };
        let scopes = ["videos:read", "videos:write", "webhooks"].map(str::to_owned);
        let owner = Caller {
            scopes: scopes.to_vec(),
            ..caller.clone()
        };
        let (_, key) = app.create_key(&owner, new, &from).await.unwrap();
        let challenge = {
            let tx = app.store.begin().await.unwrap();
            let begun = app
                .begin_second_step(&tx, caller.id, (&["pwd"], app.now()), &from)
                .await;
            tx.commit().await.unwrap();
            begun.unwrap().token
        };
        app.request_password_reset(EMAIL, &from).await.unwrap();
        let reset = newest_code(&test).await;
        app.change_email(&caller, "new@example.org", &from)
            .await
            .unwrap();
        let new_address = newest_code(&test).await;
        let grace = test.user("grace@example.org").await;
        let engines = test.organisation_of(grace.id, Role::Owner).await;
        let invited = app
            .invite(&grace, engines, EMAIL, Role::Member, &from)
            .await;
        invited.unwrap();
        let invitation = newest_code(&test).await;
        Self {
            test,
            caller,
            tokens,
            key,
            challenge,
            reset,
            new_address,
            invitation,
        }
    }

    async fn refused(&self) -> Refused {
        let from = somewhere();
        let app = &self.test.app;
        let sign_in = app.sign_in(EMAIL, PASSWORD, &from).await;
        let refreshed = app.refresh(&self.tokens.refresh, Switch::Keep, &from).await;
        let step_up = app.step_up(&self.caller, Proof::Password(PASSWORD), &from);
        let invitation = app.accept_invitation(&self.caller, &self.invitation, &from);
        Refused {
            sign_in: refusal_of(sign_in),
            second_step: refusal_of(app.complete_sign_in(&self.challenge, "000000", &from).await),
            refresh: refusal_of(refreshed),
            key: refusal_of(app.exchange_key(&self.key.reveal()).await),
            step_up: refusal_of(step_up.await),
            reset: refusal_of(
                app.reset_password(&self.reset, "another one 62", &from)
                    .await,
            ),
            new_address: refusal_of(app.verify_email(&self.new_address, "", &from).await),
            invitation: refusal_of(invitation.await),
        }
    }

    /// Changes the row alone, as if nothing had been ended with it.
    async fn change(&self, state: i16) {
        let change = user::ActiveModel {
            state: Set(state),
            ..Default::default()
        };
        self.test.changed(self.caller.id, change).await;
    }
}

/// The code in the mail that was written last and has one.
async fn newest_code(test: &TestApp) -> String {
    let mails = test.mails().await;
    let is_code = |line: &str| line.len() == 43 && !line.contains(' ');
    let mut with_code = mails
        .iter()
        .rev()
        .filter(|mail| mail.body.lines().any(is_code));
    code_in(&with_code.next().unwrap().body)
}

const OF_THE_DISABLED: Refused = Refused {
    // After the right password only.
    sign_in: Refusal::AccountDisabled,
    second_step: Refusal::AccountDisabled,
    refresh: Refusal::SessionEnded,
    key: Refusal::ApiKeyInvalid,
    step_up: Refusal::SessionEnded,
    reset: Refusal::CodeInvalid,
    new_address: Refusal::CodeInvalid,
    invitation: Refusal::NotFound,
};

/// As of an account that never was.
const OF_NOBODY: Refused = Refused {
    sign_in: Refusal::CredentialsInvalid,
    second_step: Refusal::ChallengeInvalid,
    refresh: Refusal::SessionEnded,
    key: Refusal::ApiKeyInvalid,
    step_up: Refusal::SessionEnded,
    reset: Refusal::CodeInvalid,
    new_address: Refusal::CodeInvalid,
    invitation: Refusal::CodeInvalid,
};

on_both_databases! {
    async fn disabled_account_lets_nobody_in_by_anything(url: DatabaseUrl) {
        let ada = Ada::on(&url).await;
        ada.change(users::DISABLED).await;
        assert_eq!(ada.refused().await, OF_THE_DISABLED);
        let before = ada.test.mails().await.len();
        ada.test.app.request_password_reset(EMAIL, &somewhere()).await.unwrap();
        assert_eq!(ada.test.mails().await.len(), before);
    }

    async fn erased_account_is_as_none(url: DatabaseUrl) {
        let ada = Ada::on(&url).await;
        ada.change(users::ERASED).await;
        assert_eq!(ada.refused().await, OF_NOBODY);
        let reader = ada.test.app.store.reader();
        assert!(users::find(reader, ada.caller.id).await.unwrap().is_none());
        assert!(users::find_by_email_key(reader, EMAIL).await.unwrap().is_none());
    }

    async fn account_whose_grace_is_over_is_as_none(url: DatabaseUrl) {
        let ada = Ada::on(&url).await;
        let app = &ada.test.app;
        app.erase_user(&ada.caller, &somewhere()).await.unwrap();
        ada.test.clock.advance(TimeDelta::days(30));
        assert_eq!(app.erase_due(app.now(), 10).await.unwrap(), 1);
        assert_eq!(ada.refused().await, OF_NOBODY);
        // Tokens that are out are refused by the account's own id, too.
        let ended = app.trust().await.unwrap().ended;
        assert!(ended.iter().any(|(id, _)| *id == ada.caller.id));
    }

    async fn nobody_signs_in_beside_an_operator_who_disables_them(url: DatabaseUrl) {
        let ada = Ada::on(&url).await;
        let root = ada.test.operator("root").await;
        let app = &ada.test.app;
        let from = somewhere();
        let sign_ins = (0..6).map(|_| app.sign_in(EMAIL, PASSWORD, &from));
        let (signed_in, disabled) = tokio::join!(
            futures::future::join_all(sign_ins),
            app.disable_user(&root, ada.caller.id, "abuse"),
        );
        disabled.unwrap();
        for signed_in in signed_in {
            match signed_in {
                Ok(SignedIn::Tokens(tokens)) => assert_ended(&ada.test, tokens.session).await,
                Ok(SignedIn::Challenge(_)) => panic!("there is one factor"),
                Err(_) => {}
            }
        }
    }
}

async fn assert_ended(test: &TestApp, session: Uuid) {
    let row = crate::store::sessions::find(test.app.store.reader(), session).await;
    assert!(row.unwrap().unwrap().end_time.is_some());
}
