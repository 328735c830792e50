use chrono::TimeDelta;
use kinora_store::on_both_databases;
use sea_orm::ActiveValue::Set;
use sea_orm::{EntityTrait, IntoActiveModel, PaginatorTrait};
use uuid::Uuid;

use super::*;
use crate::app::testing::people::somewhere;
use crate::app::testing::{TestApp, refusal_of};
use crate::domain::Time;
use crate::domain::caller::Role;
use crate::domain::refusal::Refusal;
use crate::store::entity::people::{code, flow, known_address, session, throttle};
use crate::store::entity::programs::{api_key, invitation, service_account};
use crate::store::entity::trust::{audit, ended, signing_key};
use crate::store::terms;

/// Puts rows into a table.
async fn put<E>(test: &TestApp, rows: Vec<E::ActiveModel>)
where
    E: EntityTrait,
    E::ActiveModel: Send,
{
    let tx = test.app.store.begin().await.unwrap();
    let insert = E::insert_many(rows).exec_without_returning(&tx);
    insert.await.unwrap();
    tx.commit().await.unwrap();
}

fn flow(expire_time: Time) -> flow::ActiveModel {
    let id = Uuid::now_v7();
    flow::Model {
        id,
        sha256: id.into_bytes().to_vec(),
        purpose: 1,
        user_id: None,
        payload: "{}".to_owned(),
        tries: 0,
        create_time: expire_time,
        expire_time,
        use_time: None,
    }
    .into_active_model()
}

fn code(expire_time: Time) -> code::ActiveModel {
    let id = Uuid::now_v7();
    code::Model {
        id,
        sha256: id.into_bytes().to_vec(),
        purpose: 1,
        user_id: None,
        email_key: "ada@example.org".to_owned(),
        payload: None,
        create_time: expire_time,
        expire_time,
        use_time: None,
    }
    .into_active_model()
}

fn session(user: Uuid, last_use: Time, expire: Time, end: Option<Time>) -> session::ActiveModel {
    session::Model {
        id: Uuid::now_v7(),
        user_id: user,
        organisation_id: None,
        refresh_key: vec![0; 32],
        counter: 0,
        rotate_time: last_use,
        assurance: 1,
        methods: "pwd".to_owned(),
        auth_time: last_use,
        user_agent: String::new(),
        address: String::new(),
        create_time: last_use,
        last_use_time: last_use,
        expire_time: expire,
        end_time: end,
        second_factor_time: None,
    }
    .into_active_model()
}

fn throttle(key: String, last_time: Time) -> throttle::ActiveModel {
    throttle::Model {
        key,
        failures: 7,
        last_time,
        blocked_until: Some(last_time + TimeDelta::hours(1)),
    }
    .into_active_model()
}

fn invitation(expire_time: Time, accept_time: Option<Time>) -> invitation::ActiveModel {
    let id = Uuid::now_v7();
    invitation::Model {
        id,
        organisation_id: Uuid::now_v7(),
        email: "ada@example.org".to_owned(),
        email_key: "ada@example.org".to_owned(),
        role: 1,
        code_sha256: id.into_bytes().to_vec(),
        invited_by: Uuid::now_v7(),
        create_time: expire_time,
        expire_time,
        accept_time,
        revoke_time: None,
    }
    .into_active_model()
}

fn api_key(user: Uuid, expire: Option<Time>, revoke: Option<Time>) -> api_key::ActiveModel {
    api_key::Model {
        id: Uuid::now_v7(),
        secret_sha256: vec![0; 32],
        user_id: Some(user),
        service_account_id: None,
        organisation_id: None,
        name: "a key".to_owned(),
        hint: "kk_".to_owned(),
        scopes: String::new(),
        create_time: "2026-01-01T00:00:00Z".parse().unwrap(),
        expire_time: expire,
        last_use_time: None,
        revoke_time: revoke,
    }
    .into_active_model()
}

/// How many rows there are.
async fn count<E>(test: &TestApp) -> u64
where
    E: EntityTrait,
    E::Model: Send + Sync,
{
    E::find().count(test.app.store.reader()).await.unwrap()
}

on_both_databases! {
    async fn flows_and_codes_go_once_they_are_no_good(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let (now, minute) = (test.app.now(), TimeDelta::minutes(1));
        put::<flow::Entity>(&test, vec![flow(now + minute), flow(now - minute * 10)]).await;
        put::<code::Entity>(&test, vec![code(now + minute), code(now - minute * 10)]).await;
        assert_eq!(test.app.sweep(Leftover::Flows).await.unwrap(), 1);
        assert_eq!(test.app.sweep(Leftover::Codes).await.unwrap(), 1);
        assert_eq!((count::<flow::Entity>(&test).await, count::<code::Entity>(&test).await), (1, 1));
        test.clock.advance(minute * 2);
        assert_eq!(test.app.sweep(Leftover::Flows).await.unwrap(), 0, "clocks may differ");
        test.clock.advance(minute * 5);
        assert_eq!(test.app.sweep(Leftover::Flows).await.unwrap(), 1);
        assert_eq!(test.app.sweep(Leftover::Codes).await.unwrap(), 1);
    }

    async fn sessions_that_go_on_stay(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let user = test.person("ada").await.id;
        let (now, day) = (test.app.now(), TimeDelta::days(1));
        put::<session::Entity>(&test, vec![
            session(user, now, now + day, None),
            // Its refresh token has days to live.
            session(user, now - day * 29, now + day * 100, None),
            session(user, now - day, now + day, Some(now - day)),
        ])
        .await;
        put::<session::Entity>(&test, vec![
            session(user, now - day * 61, now + day * 100, None),
            session(user, now - day * 40, now - day * 31, None),
            session(user, now - day * 40, now + day * 100, Some(now - day * 31)),
        ])
        .await;
        assert_eq!(test.app.sweep(Leftover::Sessions).await.unwrap(), 3);
        assert_eq!(count::<session::Entity>(&test).await, 3);
    }

    async fn who_is_throttled_stays_so(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let user = test.person("ada").await.id;
        let (now, hour) = (test.app.now(), TimeDelta::hours(1));
        let rows = vec![throttle("one".to_owned(), now - hour * 23), throttle("other".to_owned(), now - hour * 25)];
        put::<throttle::Entity>(&test, rows).await;
        assert_eq!(test.app.sweep(Leftover::Throttles).await.unwrap(), 1);
        assert!(throttle::Entity::find_by_id("one").one(test.app.store.reader()).await.unwrap().is_some());
        let network = |byte, last_time| known_address::ActiveModel {
            user_id: Set(user),
            address_sha256: Set(vec![byte; 32]),
            last_time: Set(last_time),
        };
        let rows = vec![network(1, now - hour * 24 * 399), network(2, now - hour * 24 * 401)];
        put::<known_address::Entity>(&test, rows).await;
        assert_eq!(test.app.sweep(Leftover::Networks).await.unwrap(), 1);
        assert_eq!(count::<known_address::Entity>(&test).await, 1);
    }

    async fn what_has_ended_is_told_as_long_as_tokens_live(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = test.person("ada").await;
        test.app.erase_user(&ada, &somewhere()).await.unwrap();
        test.clock.advance(TimeDelta::minutes(10));
        assert_eq!(test.app.sweep(Leftover::Ended).await.unwrap(), 0);
        assert_eq!(test.app.trust().await.unwrap().ended.len(), 1);
        test.clock.advance(TimeDelta::minutes(7));
        assert_eq!(test.app.sweep(Leftover::Ended).await.unwrap(), 1);
        assert_eq!(count::<ended::Entity>(&test).await, 0);
    }

    async fn keys_and_invitations_are_shown_for_a_while(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let user = test.person("ada").await.id;
        let (now, day) = (test.app.now(), TimeDelta::days(1));
        let (then, long_ago) = (now - day * 89, now - day * 91);
        put::<api_key::Entity>(&test, vec![
            api_key(user, None, None),
            api_key(user, Some(now + day), None),
            api_key(user, Some(then), None),
            api_key(user, None, Some(then)),
            api_key(user, Some(long_ago), None),
            api_key(user, Some(now + day), Some(long_ago)),
        ])
        .await;
        assert_eq!(test.app.sweep(Leftover::ApiKeys).await.unwrap(), 2);
        assert_eq!(count::<api_key::Entity>(&test).await, 4);
        let (then, long_ago) = (now - day * 29, now - day * 31);
        put::<invitation::Entity>(&test, vec![
            invitation(now + day, None),
            invitation(then, Some(then)),
            invitation(long_ago, Some(long_ago)),
            invitation(long_ago, None),
        ])
        .await;
        assert_eq!(test.app.sweep(Leftover::Invitations).await.unwrap(), 2);
        assert_eq!(count::<invitation::Entity>(&test).await, 2);
    }

    async fn deleted_organisations_and_programs_go_after_a_while_and_others_stay(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = test.person("ada").await;
        let (kept, gone) = (
            test.organisation_of(ada.id, Role::Owner).await,
            test.organisation_of(ada.id, Role::Owner).await,
        );
        let (program, deleted, with_it) = (
            test.program_of(kept).await,
            test.program_of(kept).await,
            test.program_of(gone).await,
        );
        test.app.delete_service_account(&ada, deleted, &somewhere()).await.unwrap();
        test.app.delete_organisation(&ada, gone, &somewhere()).await.unwrap();
        let lines = count::<audit::Entity>(&test).await;
        test.clock.advance(TimeDelta::days(90));
        assert_eq!(test.app.sweep(Leftover::Organisations).await.unwrap(), 0);
        assert_eq!(test.app.sweep(Leftover::ServiceAccounts).await.unwrap(), 0);
        test.clock.advance(TimeDelta::minutes(1));
        assert_eq!(test.app.sweep(Leftover::Organisations).await.unwrap(), 1);
        assert_eq!(test.app.sweep(Leftover::ServiceAccounts).await.unwrap(), 2);
        let reader = test.app.store.reader();
        for (id, is_there) in [(program, true), (deleted, false), (with_it, false)] {
            let row = service_account::Entity::find_by_id(id).one(reader).await.unwrap();
            assert_eq!(row.is_some(), is_there);
        }
        // To everybody else it is as it was.
        assert_eq!(test.app.organisation(&ada, kept).await.unwrap().organisation.id, kept);
        assert_eq!(refusal_of(test.app.organisation(&ada, gone).await), Refusal::NotFound);
        assert_eq!(count::<audit::Entity>(&test).await, lines);
    }

    async fn signing_keys_that_verify_stay(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        for _ in 0..8 {
            test.clock.advance(TimeDelta::days(31));
            test.app.tend_signing_keys().await.unwrap();
        }
        test.clock.advance(TimeDelta::hours(2));
        test.app.tend_signing_keys().await.unwrap();
        let (before, trusted) = (count::<signing_key::Entity>(&test).await, test.app.trust().await.unwrap());
        let swept = test.app.sweep(Leftover::SigningKeys).await.unwrap();
        assert!(swept > 0 && swept < before - 2, "{swept} of {before}");
        assert_eq!(test.app.trust().await.unwrap(), trusted);
    }

    async fn many_rows_go_in_batches_and_replicas_share_them(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let now = test.app.now();
        let total = BATCH * 2 + 7;
        let old = |number| throttle(format!("old {number}"), now - TimeDelta::days(2));
        put::<throttle::Entity>(&test, (0..total).map(old).collect()).await;
        put::<throttle::Entity>(&test, vec![throttle("new".to_owned(), now)]).await;
        let (one, other) = tokio::join!(
            test.app.sweep(Leftover::Throttles),
            test.app.sweep(Leftover::Throttles)
        );
        let rest = test.app.sweep(Leftover::Throttles).await.unwrap();
        assert_eq!(one.unwrap() + other.unwrap() + rest, total);
        assert_eq!(count::<throttle::Entity>(&test).await, 1);
    }

    async fn the_audit_log_and_acceptances_are_never_swept(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = test.person("ada").await;
        let made = test.app.publish_terms(&ada, "terms".to_owned()).await.unwrap();
        test.app.accept_terms(&ada, 1, &made.sha256, &somewhere()).await.unwrap();
        let lines = count::<audit::Entity>(&test).await;
        test.clock.advance(TimeDelta::days(10_000));
        for leftover in Leftover::ALL {
            test.app.sweep(leftover).await.unwrap();
        }
        assert_eq!(count::<audit::Entity>(&test).await, lines);
        let reader = test.app.store.reader();
        assert_eq!(terms::acceptances(reader, ada.id).await.unwrap().len(), 1);
        assert_eq!(test.row_of(ada.id).await.email, "ada@example.org");
    }
}
