use std::time::Duration;

use kinora_mesh::secret::Secret;
use kinora_store::on_both_databases;
use kinora_testkit::smtp::{Security, TestSmtp};
use sea_orm::ActiveValue::Set;
use sea_orm::EntityTrait;
use sea_orm::PaginatorTrait;

use super::*;
use crate::app::testing::TestApp;
use crate::app::testing::people::somewhere;
use crate::clients::mail::Carrier;
use crate::config::MailOptions;
use crate::store::entity::people::notice;
use crate::store::members;
use crate::store::sweep::Leftover;

fn alert() -> SpendAlert {
    SpendAlert {
        percent: 80,
        soft_credits: 5_000_000,
        spent_credits: 4_000_500,
        reset_time: Some("2026-12-22T00:00:00Z".parse().unwrap()),
    }
}

/// Asks for it to be told, and gives the addresses that have mails waiting.
async fn told(test: &TestApp, id: Uuid, recipient: Recipient) -> Vec<String> {
    let sent = test.app.send_spend_alert(id, recipient, &alert()).await;
    sent.unwrap();
    let mails = test.mails().await.into_iter();
    mails.map(|mail| mail.recipient).collect()
}

async fn join(test: &TestApp, organisation: Uuid, name: &str, role: Role) -> Uuid {
    let id = test.person(name).await.id;
    let tx = test.app.store.begin().await.unwrap();
    let now = test.app.now();
    members::insert(&tx, organisation, id, role, now)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    id
}

async fn disable(test: &TestApp, id: Uuid) {
    let disabled = user::ActiveModel {
        state: Set(users::DISABLED),
        ..Default::default()
    };
    test.changed(id, disabled).await;
}

on_both_databases! {
    async fn user_is_told_once_however_often_it_is_asked_for(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = Recipient::User(test.person("ada").await.id);
        let id = Uuid::now_v7();
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let app = test.app.clone();
            calls.spawn(async move { app.send_spend_alert(id, ada, &alert()).await });
        }
        for answer in calls.join_all().await {
            answer.unwrap();
        }
        assert_eq!(told(&test, id, ada).await, ["ada@example.org"]);
        let mail = test.mails().await.remove(0);
        assert_eq!(mail.subject, "80 % of your soft cap is spent");
        for part in [
            "Your account has reached 80 % of its soft cap",
            "4,000.5 of 5,000 seconds of standard video",
            "4,000,500 of 5,000,000 credits",
            "counted from zero again at 2026-12-22 00:00 UTC",
        ] {
            assert!(mail.body.contains(part), "{part}: {}", mail.body);
        }
        assert_eq!(told(&test, Uuid::now_v7(), ada).await.len(), 2, "that is another one");
    }

    async fn owners_and_admins_of_an_organisation_are_each_told(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = test.person("ada").await;
        let organisation = test.organisation_of(ada.id, Role::Owner).await;
        join(&test, organisation, "ben", Role::Admin).await;
        join(&test, organisation, "cleo", Role::Member).await;
        let gone = join(&test, organisation, "dora", Role::Admin).await;
        disable(&test, gone).await;
        let id = Uuid::now_v7();
        let mut told = told(&test, id, Recipient::Organisation(organisation)).await;
        told.sort_unstable();
        assert_eq!(told, ["ada@example.org", "ben@example.org"]);
        let mail = test.mails().await.remove(0);
        assert_eq!(mail.subject, "80 % of an organisation's soft cap is spent");
        assert!(mail.body.contains(&organisation.to_string()), "{}", mail.body);
        assert!(!mail.body.contains("Analytical"), "owners choose the name: {}", mail.body);
    }

    async fn whoever_is_not_there_is_told_nothing(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let nobody: [String; 0] = [];
        for stranger in [Recipient::User(Uuid::now_v7()), Recipient::Organisation(Uuid::now_v7())] {
            assert_eq!(told(&test, Uuid::now_v7(), stranger).await, nobody);
        }
        let ada = test.person("ada").await.id;
        disable(&test, ada).await;
        assert_eq!(told(&test, Uuid::now_v7(), Recipient::User(ada)).await, nobody);
        let ben = test.person("ben").await;
        let (now, day) = (test.app.now(), chrono::TimeDelta::days(1));
        let over = user::ActiveModel {
            state: Set(users::LEAVING),
            erase_time: Set(Some(now - day)),
            ..Default::default()
        };
        test.changed(ben.id, over).await;
        // A mail that waits goes with the account.
        assert_eq!(told(&test, Uuid::now_v7(), Recipient::User(ben.id)).await, ["ben@example.org"]);
        assert_eq!(test.app.erase_due(now, 9).await.unwrap(), 1);
        assert_eq!(told(&test, Uuid::now_v7(), Recipient::User(ben.id)).await, nobody);
        let cleo = test.person("cleo").await;
        let organisation = test.organisation_of(cleo.id, Role::Owner).await;
        test.app.delete_organisation(&cleo, organisation, &somewhere()).await.unwrap();
        assert_eq!(told(&test, Uuid::now_v7(), Recipient::Organisation(organisation)).await, nobody);
    }

    async fn alert_goes_out_over_a_mail_server(url: DatabaseUrl) {
        let server = TestSmtp::start(Security::Tls).await;
        let test = TestApp::on(&url).await;
        let ada = Recipient::User(test.person("ada").await.id);
        let over = SpendAlert { percent: 100, spent_credits: 5_000_001, reset_time: None, ..alert() };
        test.app.send_spend_alert(Uuid::now_v7(), ada, &over).await.unwrap();
        let carrier = Carrier::new(&MailOptions {
            smtp_url: Some(Secret::new(server.url())),
            smtp_ca_file: Some(server.ca_file()),
            from: Some("no-reply@kinora.example".to_owned()),
            folder: None,
        })
        .unwrap();
        for mail in test.app.claim_mails(9).await.unwrap() {
            test.app.send(&carrier, mail, Duration::from_secs(30)).await.unwrap();
        }
        assert_eq!(test.mails().await.len(), 0);
        let mails = server.mails();
        assert_eq!(mails.len(), 1);
        // A long line is broken for its way.
        let text = mails[0].replace("=\r\n", "").replace("=\n", "");
        assert!(text.contains("100 % of your soft cap is spent"), "{text}");
        assert!(text.contains("5,000.001 of 5,000 seconds"), "{text}");
    }

    async fn ids_of_what_was_told_are_forgotten_after_a_month(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = Recipient::User(test.person("ada").await.id);
        told(&test, Uuid::now_v7(), ada).await;
        test.clock.advance(chrono::TimeDelta::days(30));
        assert_eq!(test.app.sweep(Leftover::Notices).await.unwrap(), 0);
        test.clock.advance(chrono::TimeDelta::minutes(1));
        assert_eq!(test.app.sweep(Leftover::Notices).await.unwrap(), 1);
        let left = notice::Entity::find().count(test.app.store.reader()).await.unwrap();
        assert_eq!(left, 0);
    }
}
