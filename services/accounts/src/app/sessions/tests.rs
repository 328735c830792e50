use chrono::TimeDelta;
use kinora_access::Claims;
use sea_orm::ActiveValue::Set;
use uuid::Uuid;

use super::Switch;
use crate::app::testing::{TestApp, claims};
use crate::domain::caller::{Caller, Role};
use crate::domain::origin::Origin;
use crate::domain::refusal::Refusal;
use crate::domain::session::{ABSOLUTE, FactorTimes, IDLE};
use crate::domain::tokens::{Shown, Tokens};
use crate::error::Error;
use crate::store::entity::people::user;
use crate::store::users;

fn phone() -> Origin {
    Origin::new("192.0.2.1", "a phone")
}

async fn open(test: &TestApp, user: Uuid) -> Tokens {
    let shown = Shown {
        methods: &["pwd", "otp"],
        assurance: 2,
    };
    let tx = test.app.store.begin().await.unwrap();
    let opened = test
        .app
        .open_session(&tx, user, shown, None, &phone())
        .await;
    tx.commit().await.unwrap();
    opened.unwrap()
}

async fn refresh(test: &TestApp, tokens: &Tokens) -> Result<Tokens, Refusal> {
    let refreshed = test
        .app
        .refresh(&tokens.refresh, Switch::Keep, &phone())
        .await;
    refreshed.map_err(refusal)
}

fn refusal(error: Error) -> Refusal {
    match error {
        Error::Refused(refusal) => refusal,
        other => panic!("{other}"),
    }
}

/// Changes what is set of a user.
async fn change(test: &TestApp, user: Uuid, change: user::ActiveModel) {
    let tx = test.app.store.begin().await.unwrap();
    users::update(&tx, user, change).await.unwrap();
    tx.commit().await.unwrap();
}

fn scopes(claims: &Claims) -> Vec<&str> {
    claims.scope.split(' ').collect()
}

kinora_store::on_both_databases! {
    async fn token_says_who_calls_and_how_they_signed_in(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let Caller { id, .. } = test.user("ada@example.org").await;
        let tokens = open(&test, id).await;
        let said = claims(&tokens.access);
        let now = test.app.now().timestamp();
        assert_eq!((said.sub, said.sid), (id, tokens.session));
        assert_eq!((said.iat, said.nbf, said.exp, said.auth_time), (now, now, now + 600, now));
        assert_eq!((said.aal, said.amr.join(" ")), (2, "pwd otp".to_owned()));
        assert_eq!((said.org, said.adm, said.terms), (None, false, 0));
        assert_eq!(scopes(&said), ["videos:read", "videos:write", "webhooks", "account", "org"]);
        let promoted = user::ActiveModel {
            is_operator: Set(true),
            terms_version: Set(3),
            ..Default::default()
        };
        change(&test, id, promoted).await;
        let said = claims(&refresh(&test, &tokens).await.unwrap().access);
        assert!(said.adm && scopes(&said).contains(&"admin") && said.terms == 3);
    }

    async fn each_refresh_hands_out_another_token_that_goes_on(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let user = test.user("ada@example.org").await;
        let mut tokens = open(&test, user.id).await;
        for _ in 0..3 {
            test.clock.advance(TimeDelta::minutes(10));
            let next = refresh(&test, &tokens).await.unwrap();
            assert_ne!(next.refresh, tokens.refresh);
            assert_eq!(next.session, tokens.session);
            tokens = next;
        }
        // Signing in was half an hour ago, however fresh the token is.
        let said = claims(&tokens.access);
        assert_eq!(said.iat - said.auth_time, 30 * 60);
    }

    async fn lost_reply_may_be_asked_for_again_within_ten_seconds(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let user = test.user("ada@example.org").await;
        let first = open(&test, user.id).await;
        let lost = refresh(&test, &first).await.unwrap();
        test.clock.advance(TimeDelta::seconds(10));
        let again = refresh(&test, &first).await.unwrap();
        assert_eq!(again.refresh, lost.refresh);
        assert!(refresh(&test, &again).await.is_ok());
    }

    async fn of_more_sessions_than_a_hundred_the_one_used_longest_ago_ends(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let user = test.user("ada@example.org").await;
        let mut opened = Vec::new();
        for _ in 0..100 {
            test.clock.advance(TimeDelta::seconds(1));
            opened.push(open(&test, user.id).await);
        }
        test.clock.advance(TimeDelta::seconds(1));
        opened[0] = refresh(&test, &opened[0]).await.unwrap();
        open(&test, user.id).await;
        assert_eq!(test.app.sessions_of(&user).await.unwrap().len(), 100);
        assert_eq!(refresh(&test, &opened[1]).await.map(drop), Err(Refusal::SessionEnded));
        assert!(refresh(&test, &opened[0]).await.is_ok());
        assert!(refresh(&test, &opened[2]).await.is_ok());
    }

    async fn two_clients_that_refresh_at_once_go_on_with_the_same_token(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let user = test.user("ada@example.org").await;
        let first = open(&test, user.id).await;
        let (one, other) = tokio::join!(refresh(&test, &first), refresh(&test, &first));
        let (one, other) = (one.unwrap(), other.unwrap());
        assert_eq!(one.refresh, other.refresh);
        assert!(refresh(&test, &one).await.is_ok());
    }

    async fn old_token_that_comes_back_ends_the_session_for_good(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let user = test.user("ada@example.org").await;
        let stolen = open(&test, user.id).await;
        let newest = refresh(&test, &stolen).await.unwrap();
        test.clock.advance(TimeDelta::seconds(11));
        assert_eq!(refresh(&test, &stolen).await, Err(Refusal::SessionReused));
        // The refusal was committed: the thief and the owner are both out.
        assert_eq!(refresh(&test, &newest).await, Err(Refusal::SessionEnded));
        assert_eq!(refresh(&test, &stolen).await, Err(Refusal::SessionEnded));
        let ended = test.app.trust().await.unwrap().ended;
        assert_eq!(ended.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [newest.session]);
    }

    async fn token_two_behind_ends_the_session_at_once(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let user = test.user("ada@example.org").await;
        let stolen = open(&test, user.id).await;
        let next = refresh(&test, &stolen).await.unwrap();
        refresh(&test, &next).await.unwrap();
        assert_eq!(refresh(&test, &stolen).await, Err(Refusal::SessionReused));
    }

    async fn token_that_was_changed_is_no_token_and_harms_nobody(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let user = test.user("ada@example.org").await;
        let tokens = open(&test, user.id).await;
        let other = open(&test, user.id).await;
        let forged = tokens.refresh.replace(".1.", ".0.");
        let crossed = tokens.refresh.replace(
            &tokens.session.simple().to_string(),
            &other.session.simple().to_string(),
        );
        for text in [forged, crossed, String::new(), "kr_".to_owned(), "x".repeat(1 << 20)] {
            let refused = test.app.refresh(&text, Switch::Keep, &phone()).await;
            assert_eq!(refusal(refused.unwrap_err()), Refusal::SessionEnded);
            test.app.sign_out(&text, &phone()).await.unwrap();
        }
        assert!(refresh(&test, &tokens).await.is_ok());
        assert!(refresh(&test, &other).await.is_ok());
    }

    async fn session_ends_when_it_rests_for_thirty_days_and_after_half_a_year(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let user = test.user("ada@example.org").await;
        let resting = open(&test, user.id).await;
        let mut busy = open(&test, user.id).await;
        test.clock.advance(IDLE - TimeDelta::days(1));
        busy = refresh(&test, &busy).await.unwrap();
        test.clock.advance(TimeDelta::days(1));
        assert_eq!(refresh(&test, &resting).await, Err(Refusal::SessionEnded));
        busy = refresh(&test, &busy).await.unwrap();
        let start = test.app.now() - IDLE;
        for _ in 0..5 {
            test.clock.advance(TimeDelta::days(29));
            busy = refresh(&test, &busy).await.unwrap();
        }
        assert_eq!(busy.refresh_expire, start + ABSOLUTE);
        test.clock.advance(TimeDelta::days(5));
        assert_eq!(refresh(&test, &busy).await, Err(Refusal::SessionEnded));
    }

    async fn who_is_disabled_or_gone_gets_no_token(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let user = test.user("ada@example.org").await;
        let tokens = open(&test, user.id).await;
        let disabled = user::ActiveModel {
            state: Set(users::DISABLED),
            ..Default::default()
        };
        change(&test, user.id, disabled).await;
        assert_eq!(refresh(&test, &tokens).await, Err(Refusal::SessionEnded));
        let tx = test.app.store.begin().await.unwrap();
        let shown = Shown { methods: &["pwd"], assurance: 1 };
        for (id, expected) in [
            (user.id, Refusal::AccountDisabled),
            (Uuid::now_v7(), Refusal::NotFound),
        ] {
            let opened = test.app.open_session(&tx, id, shown, None, &phone()).await;
            assert_eq!(refusal(opened.unwrap_err()), expected);
        }
    }

    async fn sessions_are_listed_and_ended_by_their_owner_only(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = test.user("ada@example.org").await;
        let eve = test.user("eve@example.org").await;
        let first = open(&test, ada.id).await;
        test.clock.advance(TimeDelta::minutes(1));
        let second = open(&test, ada.id).await;
        let ids = |rows: Vec<crate::store::entity::people::session::Model>| {
            rows.into_iter().map(|row| row.id).collect::<Vec<_>>()
        };
        let listed = test.app.sessions_of(&ada).await.unwrap();
        assert_eq!(listed[0].user_agent, "a phone");
        assert_eq!(ids(listed), [second.session, first.session]);
        assert!(test.app.sessions_of(&eve).await.unwrap().is_empty());
        let refused = test.app.revoke_session(&eve, first.session).await;
        assert_eq!(refusal(refused.unwrap_err()), Refusal::NotFound);
        test.app.revoke_session(&ada, first.session).await.unwrap();
        test.app.revoke_session(&ada, first.session).await.unwrap();
        assert_eq!(refresh(&test, &first).await, Err(Refusal::SessionEnded));
        assert_eq!(ids(test.app.sessions_of(&ada).await.unwrap()), [second.session]);
    }

    async fn signing_out_elsewhere_keeps_the_session_that_asks(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let mut ada = test.user("ada@example.org").await;
        let mine = open(&test, ada.id).await;
        let others = [open(&test, ada.id).await, open(&test, ada.id).await];
        ada.session = mine.session;
        assert_eq!(test.app.revoke_other_sessions(&ada).await.unwrap(), 2);
        assert!(refresh(&test, &mine).await.is_ok());
        for other in &others {
            assert_eq!(refresh(&test, other).await, Err(Refusal::SessionEnded));
        }
        assert_eq!(test.app.revoke_other_sessions(&ada).await.unwrap(), 0);
    }

    async fn other_sessions_are_ended_by_who_has_just_shown_a_credential(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let mut ada = test.user("ada@example.org").await;
        let [mine, other] = [open(&test, ada.id).await, open(&test, ada.id).await];
        ada.session = mine.session;
        ada.auth_time -= TimeDelta::minutes(11);
        let refused = test.app.revoke_session(&ada, other.session).await;
        assert_eq!(refusal(refused.unwrap_err()), Refusal::StepUpRequired);
        let refused = test.app.revoke_other_sessions(&ada).await;
        assert_eq!(refusal(refused.unwrap_err()), Refusal::StepUpRequired);
        assert!(refresh(&test, &other).await.is_ok());
        // One's own is a sign-out.
        test.app.revoke_session(&ada, mine.session).await.unwrap();
        assert_eq!(refresh(&test, &mine).await, Err(Refusal::SessionEnded));
    }

    async fn signing_out_ends_the_session_and_may_be_repeated(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = test.user("ada@example.org").await;
        let tokens = open(&test, ada.id).await;
        test.app.sign_out(&tokens.refresh, &phone()).await.unwrap();
        test.app.sign_out(&tokens.refresh, &phone()).await.unwrap();
        assert_eq!(refresh(&test, &tokens).await, Err(Refusal::SessionEnded));
    }

    async fn member_goes_on_for_an_organisation_and_back(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = test.user("ada@example.org").await;
        let organisation = test.organisation_of(ada.id, Role::Admin).await;
        let tokens = open(&test, ada.id).await;
        let go_on = async |tokens: &Tokens, switch| {
            test.app.refresh(&tokens.refresh, switch, &phone()).await.map_err(refusal)
        };
        let tokens = go_on(&tokens, Switch::To(organisation)).await.unwrap();
        let said = claims(&tokens.access);
        assert_eq!((said.org, said.role), (Some(organisation), Some(kinora_access::Role::Admin)));
        let tokens = go_on(&tokens, Switch::Keep).await.unwrap();
        assert_eq!(claims(&tokens.access).org, Some(organisation));
        let refused = go_on(&tokens, Switch::To(Uuid::now_v7())).await;
        assert_eq!(refused, Err(Refusal::NotFound));
        // The refusal has used up nothing.
        let tokens = go_on(&tokens, Switch::Personal).await.unwrap();
        assert_eq!(claims(&tokens.access).org, None);
    }

    async fn step_up_replaces_the_session(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = test.user("ada@example.org").await;
        let eve = test.user("eve@example.org").await;
        let old = open(&test, ada.id).await;
        let shown = Shown { methods: &["pwd"], assurance: 1 };
        let shown = (shown, FactorTimes::only(test.app.now()));
        let tx = test.app.store.begin().await.unwrap();
        let other = test.app.replace_session(&tx, old.session, eve.id, shown, &phone()).await;
        assert_eq!(refusal(other.unwrap_err()), Refusal::SessionEnded);
        let new = test.app.replace_session(&tx, old.session, ada.id, shown, &phone()).await.unwrap();
        tx.commit().await.unwrap();
        assert_ne!(new.session, old.session);
        assert_eq!(refresh(&test, &old).await, Err(Refusal::SessionEnded));
        assert!(refresh(&test, &new).await.is_ok());
    }

    async fn key_of_a_person_or_program_becomes_a_token_of_its_scopes(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = test.user("ada@example.org").await;
        let organisation = test.organisation_of(ada.id, Role::Owner).await;
        let program = test.program_of(organisation).await;
        let accepted = user::ActiveModel { terms_version: Set(2), ..Default::default() };
        change(&test, ada.id, accepted).await;
        let key = Uuid::now_v7();
        let wanted = ["videos:read".to_owned(), "admin".to_owned()];
        let acting = Some((organisation, Role::Member));
        for (subject, acting) in [(ada.id, None), (program, acting)] {
            let conn = test.app.store.reader();
            let token = test.app.access_token_of_key(conn, subject, key, acting, &wanted).await;
            let (token, expire) = token.unwrap();
            let said = claims(&token);
            assert_eq!((said.sub, said.sid, said.auth_time), (subject, key, 0));
            assert_eq!((said.scope.as_str(), said.terms), ("videos:read", 2));
            assert_eq!((said.org, said.amr), (acting.map(|(id, _)| id), vec!["key".to_owned()]));
            assert_eq!(expire, test.app.now() + TimeDelta::minutes(10));
        }
        let conn = test.app.store.reader();
        let nobody = test.app.access_token_of_key(conn, Uuid::now_v7(), key, None, &wanted).await;
        assert_eq!(refusal(nobody.unwrap_err()), Refusal::ApiKeyInvalid);
    }
}
