use kinora_store::on_both_databases;
use sea_orm::{EntityTrait, IntoActiveModel, PaginatorTrait};

use super::*;
use crate::app::testing::TestApp;
use crate::app::testing::people::somewhere;
use crate::store::entity::people::recovery_code;
use crate::store::entity::programs::{membership, organisation};
use crate::store::{second_factors, terms};

async fn organisation_of(test: &TestApp, members: &[(Uuid, i16)]) -> Uuid {
    let id = Uuid::now_v7();
    let row = organisation::Model {
        id,
        name: "a group".to_owned(),
        create_time: test.app.now(),
        delete_time: None,
    };
    let tx = test.app.store.begin().await.unwrap();
    let row = row.into_active_model();
    organisation::Entity::insert(row)
        .exec_without_returning(&tx)
        .await
        .unwrap();
    for (user_id, role) in members {
        let row = membership::Model {
            organisation_id: id,
            user_id: *user_id,
            role: *role,
            join_time: test.app.now(),
        };
        let row = row.into_active_model();
        membership::Entity::insert(row)
            .exec_without_returning(&tx)
            .await
            .unwrap();
    }
    tx.commit().await.unwrap();
    id
}

fn is_refused<T>(answer: Result<T, Error>, why: Refusal) -> bool {
    matches!(answer, Err(Error::Refused(refusal)) if refusal == why)
}

on_both_databases! {
    async fn an_account_is_erased_after_its_grace_and_once(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let (anna, ben) = (test.person("anna").await, test.person("ben").await);
        let made = test.app.publish_terms(&ben, "terms".to_owned()).await.unwrap();
        test.app.accept_terms(&anna, 1, &made.sha256, &somewhere()).await.unwrap();
        let tx = test.app.store.begin().await.unwrap();
        second_factors::replace_recovery_codes(&tx, anna.id, vec![vec![1]]).await.unwrap();
        tx.commit().await.unwrap();
        let when = test.app.erase_user(&anna, &somewhere()).await.unwrap();
        assert_eq!(when, test.app.now() + GRACE);
        assert_eq!(test.app.erase_user(&anna, &somewhere()).await.unwrap(), when);
        assert_eq!(test.row_of(anna.id).await.state, users::LEAVING);
        assert_eq!(test.mails().await.len(), 1);
        test.clock.advance(GRACE - TimeDelta::microseconds(1));
        assert_eq!(test.app.erase_due(test.app.now(), 10).await.unwrap(), 0);
        test.clock.advance(TimeDelta::microseconds(1));
        let now = test.app.now();
        let (one, other) = tokio::join!(test.app.erase_due(now, 10), test.app.erase_due(now, 10));
        assert_eq!(one.unwrap() + other.unwrap(), 1);
        assert_eq!(test.app.erase_due(now, 10).await.unwrap(), 0);
        let row = test.row_of(anna.id).await;
        assert_eq!((row.email, row.display_name), (format!("erased:{}", anna.id), String::new()));
        let reader = test.app.store.reader();
        assert_eq!(recovery_code::Entity::find().count(reader).await.unwrap(), 0);
        assert_eq!(test.mails().await.len(), 0);
        assert_eq!(terms::acceptances(reader, anna.id).await.unwrap().len(), 1);
        let (found, _) = test.app.list_users("anna@example.org", 0, "").await.unwrap();
        assert!(found.is_empty());
        assert!(is_refused(test.app.find_user(anna.id).await, Refusal::NotFound));
        assert!(is_refused(test.app.cancel_erasure(&anna, &somewhere()).await, Refusal::NotFound));
        assert_eq!(
            test.audited().await,
            ["terms.publish", "terms.accept", "erasure.begin", "user.erase"]
        );
        assert_eq!(test.row_of(ben.id).await.email, "ben@example.org");
    }

    async fn who_changes_their_mind_keeps_the_account(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let anna = test.person("anna").await;
        test.app.cancel_erasure(&anna, &somewhere()).await.unwrap();
        test.app.erase_user(&anna, &somewhere()).await.unwrap();
        test.app.cancel_erasure(&anna, &somewhere()).await.unwrap();
        test.clock.advance(GRACE);
        assert_eq!(test.app.erase_due(test.app.now(), 10).await.unwrap(), 0);
        let row = test.row_of(anna.id).await;
        assert_eq!((row.state, row.erase_time), (users::ACTIVE, None));
        assert_eq!(test.audited().await, ["erasure.begin", "erasure.cancel"]);
        let stale = test.app.erase_user(&anna, &somewhere()).await;
        assert!(is_refused(stale, Refusal::StepUpRequired));
    }

    async fn the_last_owner_and_the_last_operator_cannot_leave(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let (root, anna) = (test.operator("root").await, test.person("anna").await);
        let ben = test.person("ben").await;
        let app = &test.app;
        assert!(is_refused(app.erase_user(&root, &somewhere()).await, Refusal::LastOperator));
        organisation_of(&test, &[(anna.id, 3), (ben.id, 2)]).await;
        assert!(is_refused(app.erase_user(&anna, &somewhere()).await, Refusal::LastOwner));
        app.erase_user(&ben, &somewhere()).await.unwrap();
    }

    async fn owners_who_leave_at_once_leave_one(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let (anna, ben) = (test.person("anna").await, test.person("ben").await);
        organisation_of(&test, &[(anna.id, 3), (ben.id, 3)]).await;
        let from = somewhere();
        let (one, other) =
            tokio::join!(test.app.erase_user(&anna, &from), test.app.erase_user(&ben, &from));
        let refused = [one, other].into_iter().filter(|answer| answer.is_err());
        assert_eq!(refused.count(), 1);
    }

    async fn an_organisation_whose_owners_are_gone_has_the_next_member(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let (anna, ben) = (test.person("anna").await, test.person("ben").await);
        let leaving = user::ActiveModel {
            state: Set(users::LEAVING),
            erase_time: Set(Some(test.app.now())),
            ..Default::default()
        };
        test.changed(anna.id, leaving).await;
        let shared = organisation_of(&test, &[(anna.id, 3), (ben.id, 2)]).await;
        let alone = organisation_of(&test, &[(anna.id, 3)]).await;
        assert_eq!(test.app.erase_due(test.app.now(), 10).await.unwrap(), 1);
        let reader = test.app.store.reader();
        let members = membership::Entity::find().all(reader).await.unwrap();
        let members: Vec<_> = members.iter().map(|m| (m.organisation_id, m.user_id, m.role)).collect();
        assert_eq!(members, [(shared, ben.id, 3)]);
        let ended = organisation::Entity::find_by_id(alone).one(reader).await.unwrap().unwrap();
        assert_eq!(ended.delete_time, Some(test.app.now()));
    }

    async fn owners_who_cannot_act_do_not_count(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let (anna, ben) = (test.person("anna").await, test.person("ben").await);
        organisation_of(&test, &[(anna.id, 3), (ben.id, 3)]).await;
        let disabled = user::ActiveModel { state: Set(users::DISABLED), ..Default::default() };
        test.changed(ben.id, disabled).await;
        let refused = test.app.erase_user(&anna, &somewhere()).await;
        assert!(is_refused(refused, Refusal::LastOwner));
    }

    async fn of_owners_who_leave_in_two_ways_at_once_one_stays(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        for round in 0..4 {
            let anna = test.person(&format!("anna{round}")).await;
            let ben = test.person(&format!("ben{round}")).await;
            let shared = organisation_of(&test, &[(anna.id, 3), (ben.id, 3)]).await;
            let from = somewhere();
            let (erased, left) = tokio::join!(
                test.app.erase_user(&anna, &from),
                test.app.remove_member(&ben, shared, ben.id, &from),
            );
            assert!(erased.is_ok() != left.is_ok());
            let why = erased.map(drop).and(left);
            assert!(is_refused(why, Refusal::LastOwner));
        }
    }

    async fn who_can_act_succeeds_who_cannot(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let (anna, ben) = (test.person("anna").await, test.person("ben").await);
        let carl = test.person("carl").await;
        let leaving = user::ActiveModel {
            state: Set(users::LEAVING),
            erase_time: Set(Some(test.app.now())),
            ..Default::default()
        };
        test.changed(anna.id, leaving).await;
        let disabled = user::ActiveModel { state: Set(users::DISABLED), ..Default::default() };
        test.changed(ben.id, disabled).await;
        organisation_of(&test, &[(anna.id, 3), (ben.id, 3), (carl.id, 1)]).await;
        assert_eq!(test.app.erase_due(test.app.now(), 10).await.unwrap(), 1);
        let members = membership::Entity::find().all(test.app.store.reader()).await.unwrap();
        let members: Vec<_> = members.iter().map(|m| (m.user_id, m.role)).collect();
        assert_eq!(members, [(ben.id, 3), (carl.id, 3)]);
    }
}
