use futures::StreamExt;
use kinora_store::on_both_databases;
use sea_orm::ActiveValue::Set;
use sea_orm::{ConnectionTrait, EntityTrait};

use super::*;
use crate::app::testing::TestApp;
use crate::app::testing::people::somewhere;
use crate::domain::refusal::Refusal;

async fn wrote(test: &TestApp, lines: Vec<audit::Line>) {
    let tx = test.app.store.begin().await.unwrap();
    for line in lines {
        audit::append(&tx, line, test.app.now()).await.unwrap();
    }
    tx.commit().await.unwrap();
}

fn actions(lines: &[rows::Model]) -> Vec<&str> {
    lines.iter().map(|line| line.action.as_str()).collect()
}

on_both_databases! {
    async fn people_see_their_own_lines_newest_first(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let (anna, ben) = (Uuid::now_v7(), Uuid::now_v7());
        wrote(&test, vec![
            audit::Line::own(anna, "sign_in", &somewhere()),
            audit::Line::own(ben, "sign_in", &somewhere()),
            audit::Line::by(ben, Some(anna), "user.disable", &somewhere()),
            audit::Line::by(anna, Some(Uuid::now_v7()), "organisation.create", &somewhere()),
        ]).await;
        let (first, token) = test.app.activity(anna, 2, "").await.unwrap();
        assert_eq!(actions(&first), ["organisation.create", "user.disable"]);
        // From where others come is no business of hers.
        let places = first.iter().map(|line| line.address.as_str());
        assert_eq!(places.collect::<Vec<_>>(), [somewhere().address.as_str(), ""]);
        let (second, end) = test.app.activity(anna, 2, &token).await.unwrap();
        assert_eq!((actions(&second), end.as_str()), (vec!["sign_in"], ""));
        let stolen = test.app.activity(ben, 2, &token).await;
        assert!(matches!(stolen, Err(Error::Refused(Refusal::PageTokenInvalid))));
    }

    async fn filters_narrow_the_log_and_tie_the_token(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let (anna, ben) = (Uuid::now_v7(), Uuid::now_v7());
        wrote(&test, vec![
            audit::Line::own(anna, "key.create", &somewhere()),
            audit::Line::own(ben, "key_ring", &somewhere()),
        ]).await;
        let noon = test.app.now();
        test.clock.advance(chrono::TimeDelta::hours(1));
        wrote(&test, vec![
            audit::Line::own(anna, "key.revoke", &somewhere()).refused("no"),
            audit::Line::own(anna, "sign_in", &somewhere()),
        ]).await;
        let later = test.app.now();
        let all = Filter::default();
        for (filter, found) in [
            (all.clone(), vec!["sign_in", "key.revoke", "key_ring", "key.create"]),
            (Filter { action: Some("key.".into()), ..all.clone() }, vec!["key.revoke", "key.create"]),
            (Filter { action: Some("key_".into()), ..all.clone() }, vec!["key_ring"]),
            (Filter { action: Some("%".into()), ..all.clone() }, vec![]),
            (Filter { actor: Some(ben.to_string()), ..all.clone() }, vec!["key_ring"]),
            (Filter { subject: Some(ben), ..all.clone() }, vec!["key_ring"]),
            (Filter { since: Some(later), ..all.clone() }, vec!["sign_in", "key.revoke"]),
            (Filter { since: Some(noon), until: Some(later), ..all.clone() }, vec!["key_ring", "key.create"]),
        ] {
            let (lines, _) = test.app.audit_lines(&filter, 0, "").await.unwrap();
            assert_eq!(actions(&lines), found, "{filter:?}");
        }
        let (_, token) = test.app.audit_lines(&all, 1, "").await.unwrap();
        let other = Filter { subject: Some(anna), ..all };
        let mixed = test.app.audit_lines(&other, 1, &token).await;
        assert!(matches!(mixed, Err(Error::Refused(Refusal::PageTokenInvalid))));
    }

    async fn an_export_of_ten_thousand_lines_comes_in_chunks_and_has_an_end(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let tx = test.app.store.begin().await.unwrap();
        for _ in 0..100 {
            let many = (0..100).map(|_| rows::ActiveModel {
                id: Set(Uuid::now_v7()),
                time: Set(test.app.now()),
                actor: Set("system".to_owned()),
                subject: Set(None),
                action: Set("tick".to_owned()),
                succeeded: Set(true),
                detail: Set(String::new()),
                address: Set(String::new()),
                user_agent: Set(String::new()),
            });
            rows::Entity::insert_many(many).exec_without_returning(&tx).await.unwrap();
        }
        tx.commit().await.unwrap();
        let operator = test.caller(Uuid::now_v7(), true);
        let chunks = test.app.export_audit(&operator, Filter::default()).await.unwrap();
        let mut chunks = std::pin::pin!(chunks);
        let mut lines = chunks.next().await.unwrap().unwrap();
        assert_eq!(lines.len() as u64, EXPORT_LINES);
        // The reader is slow: others go on writing meanwhile, and what they write is not part of the export.
        wrote(&test, vec![audit::Line::own(operator.id, "later", &somewhere())]).await;
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.unwrap();
            assert!(chunk.len() as u64 <= EXPORT_LINES);
            lines.extend(chunk);
        }
        assert_eq!(lines.len(), 10_001);
        assert!(lines.is_sorted_by(|a, b| a.id < b.id));
        assert_eq!(lines.last().unwrap().action, "audit.export");
    }

    async fn the_database_refuses_to_change_what_was_written(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let anna = test.person("anna").await;
        wrote(&test, vec![audit::Line::own(anna.id, "sign_in", &somewhere())]).await;
        let terms = test.app.publish_terms(&anna, "one".to_owned()).await.unwrap();
        test.app.accept_terms(&anna, 1, &terms.sha256, &somewhere()).await.unwrap();
        for sql in [
            "UPDATE audit SET detail = 'nothing happened'",
            "DELETE FROM audit",
            "UPDATE terms_acceptance SET version = 2",
            "DELETE FROM terms_acceptance",
        ] {
            let tx = test.app.store.begin().await.unwrap();
            let refused = tx.execute_unprepared(sql).await.expect_err(sql);
            assert!(refused.to_string().contains("append-only"), "{sql}: {refused}");
        }
        assert_eq!(test.audited().await, ["sign_in", "terms.publish", "terms.accept"]);
    }
}
