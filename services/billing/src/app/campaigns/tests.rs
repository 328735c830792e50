use std::collections::HashSet;

use chrono::TimeDelta;
use futures::StreamExt;
use futures::future::join_all;
use kinora_store::on_both_databases;
use sea_orm::{ConnectionTrait, EntityTrait, PaginatorTrait};

use super::testing::{CREDITS, OPERATOR, contest, somebody, why};
use super::*;
use crate::app::testing::TestApp;
use crate::domain::caller::Caller;
use crate::domain::credits::Credits;
use crate::domain::payer::Payer;
use crate::store::audit::Filter;

fn campaign(name: &str, count: u32) -> NewCampaign {
    NewCampaign {
        name: name.to_owned(),
        count,
        ..contest()
    }
}

/// The last lines of the audit log, newest first, as action, target and result.
async fn audited(test: &TestApp, number: usize) -> Vec<String> {
    let (lines, _) = test
        .app
        .audit_lines(&Filter::default(), 0, "")
        .await
        .unwrap();
    let text = |line: &crate::store::entity::vouchers::audit::Model| {
        format!("{} {}: {}", line.action, line.target, line.result)
    };
    lines.iter().take(number).map(text).collect()
}

on_both_databases! {
    async fn ten_thousand_codes_are_made_and_kept_as_hashes(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let codes = test.codes(&campaign("odyssey", 10_000)).await;
        let different: HashSet<&String> = codes.iter().collect();
        assert_eq!(different.len(), 10_000);
        let kept = voucher::Entity::find().all(test.app.store.reader()).await.unwrap();
        assert_eq!(kept.len(), 10_000);
        let hashes: HashSet<&Vec<u8>> = kept.iter().map(|row| &row.code_hmac).collect();
        assert_eq!(hashes.len(), 10_000);
        let plain = codes[0].replace('-', "");
        let found = kept.iter().find(|row| {
            let text = String::from_utf8_lossy(&row.code_hmac).into_owned();
            text.contains(&plain[..8]) || row.hint.len() > 4
        });
        assert!(found.is_none());
        assert_eq!(audited(&test, 9).await, ["campaign.create odyssey: done: 10000 codes"]);
        assert!(test.redeemed(&somebody(), &codes[9_999]).await.is_ok());
    }

    async fn a_request_makes_one_campaign_however_often_it_comes(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let new = campaign("odyssey", 20);
        let calls = (0..20).map(|_| {
            let (app, new) = (test.app.clone(), new.clone());
            tokio::spawn(async move { app.create_campaign(OPERATOR, "r1", &new).await })
        });
        let ended = join_all(calls).await;
        let ended: Vec<Created> = ended.into_iter().map(|it| it.unwrap().unwrap()).collect();
        let mut with_codes = ended.iter().filter(|it| !it.codes.is_empty());
        assert_eq!(with_codes.next().unwrap().codes.len(), 20);
        assert!(with_codes.next().is_none());
        assert!(ended.iter().all(|it| it.campaign.row.name == "odyssey"));
        let kept = voucher::Entity::find().count(test.app.store.reader()).await.unwrap();
        assert_eq!(kept, 20);
        // After it has expired as well: what is asked for is what was done.
        test.clock.advance(TimeDelta::days(400));
        assert!(test.app.create_campaign(OPERATOR, "r1", &new).await.unwrap().codes.is_empty());
    }

    async fn other_requests_under_an_id_or_a_name_are_refused(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let app = &test.app;
        app.create_campaign(OPERATOR, "r1", &campaign("odyssey", 2)).await.unwrap();
        let reused = app.create_campaign(OPERATOR, "r1", &campaign("odyssey", 3)).await;
        assert!(matches!(reused, Err(Error::Refused(Refusal::RequestIdReused))));
        let reused = app.create_campaign(OPERATOR, "r1", &campaign("iliad", 2)).await;
        assert!(matches!(reused, Err(Error::Refused(Refusal::RequestIdReused))));
        for request in ["", "r2"] {
            let taken = app.create_campaign(OPERATOR, request, &campaign("odyssey", 2)).await;
            assert_eq!(why(taken), VoucherRefusal::CampaignExists);
        }
        // The id is the operator's own.
        let other = Uuid::from_u128(2);
        let made = app.create_campaign(other, "r1", &campaign("iliad", 2)).await.unwrap();
        assert_eq!(made.codes.len(), 2);
        let kept = voucher::Entity::find().count(app.store.reader()).await.unwrap();
        assert_eq!(kept, 4);
    }

    async fn what_makes_no_sense_is_refused_and_leaves_a_line_only(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let app = &test.app;
        let nameless = app.create_campaign(OPERATOR, "", &campaign("", 1)).await;
        assert!(matches!(nameless, Err(Error::Field { field: "name", .. })));
        let plan = NewCampaign { plan: "gone".to_owned(), ..contest() };
        let gone = app.create_campaign(OPERATOR, "", &plan).await;
        assert!(matches!(gone, Err(Error::Refused(Refusal::PlanUnknown))));
        for request in ["a b", "é", &"x".repeat(129)] {
            let refused = app.create_campaign(OPERATOR, request, &contest()).await;
            assert!(matches!(refused, Err(Error::Field { field: "request_id", .. })));
        }
        assert_eq!(why(app.disable_campaign(OPERATOR, "iliad", true).await), VoucherRefusal::CampaignNotFound);
        assert_eq!(why(app.disable_voucher(OPERATOR, Uuid::nil(), true).await), VoucherRefusal::VoucherNotFound);
        assert_eq!(why(app.export_redemptions(OPERATOR, "iliad").await.map(|_| ())), VoucherRefusal::CampaignNotFound);
        assert_eq!(why(app.list_vouchers("iliad", 0, "").await), VoucherRefusal::CampaignNotFound);
        assert!(app.list_campaigns().await.unwrap().is_empty());
        let nil = Uuid::nil();
        let expected = [
            "voucher.export iliad: refused: CAMPAIGN_NOT_FOUND".to_owned(),
            format!("voucher.disable {nil}: refused: VOUCHER_NOT_FOUND"),
            "campaign.disable iliad: refused: CAMPAIGN_NOT_FOUND".to_owned(),
            "campaign.create odyssey: refused: FIELD_INVALID".to_owned(),
        ];
        assert_eq!(audited(&test, 4).await, expected);
    }

    async fn campaigns_and_their_codes_are_listed_with_what_became_of_them(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let app = &test.app;
        let codes = test.codes(&campaign("odyssey", 5)).await;
        test.clock.advance(TimeDelta::seconds(1));
        test.codes(&campaign("iliad", 1)).await;
        test.redeemed(&somebody(), &codes[2]).await.unwrap();
        let listed = app.list_campaigns().await.unwrap();
        let listed: Vec<_> = listed.iter().map(|it| (it.row.name.as_str(), it.redemptions)).collect();
        assert_eq!(listed, [("iliad", 0), ("odyssey", 1)]);
        let (first, token) = app.list_vouchers("odyssey", 3, "").await.unwrap();
        let (second, end) = app.list_vouchers("odyssey", 3, &token).await.unwrap();
        let hints = first.iter().chain(&second).map(|row| row.hint.clone());
        let expected: Vec<String> = codes.iter().map(|code| code[code.len() - 4..].to_owned()).collect();
        assert_eq!(hints.collect::<Vec<_>>(), expected);
        assert_eq!((first[2].uses, first[1].uses, end.as_str()), (1, 0, ""));
        let stolen = app.list_vouchers("iliad", 3, &token).await;
        assert!(matches!(stolen, Err(Error::Refused(Refusal::PageTokenInvalid))));
    }

    async fn disabling_stops_a_race_of_redemptions_and_loses_none(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        for round in 0..5 {
            let name = format!("round-{round}");
            let code = test.code(&NewCampaign { max_uses: 1000, ..campaign(&name, 1) }).await;
            let people: Vec<Caller> = (0..30).map(|_| somebody()).collect();
            let (ended, disabled) = tokio::join!(
                test.redeemed_at_once(&people, &code),
                test.app.disable_campaign(OPERATOR, &name, false),
            );
            let (view, clawed_back) = disabled.unwrap();
            assert_eq!(clawed_back, 0);
            let redeemed = ended.iter().filter(|it| it.is_ok()).count() as u64;
            // Whoever redeemed did so before it was disabled.
            assert_eq!(view.redemptions, redeemed);
            assert!(ended.into_iter().filter(Result::is_err).map(why).all(|why| why == VoucherRefusal::Disabled));
            assert_eq!(why(test.redeemed(&somebody(), &code).await), VoucherRefusal::Disabled);
        }
        test.check().await;
    }

    async fn a_voucher_is_disabled_alone(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let codes = test.codes(&campaign("odyssey", 2)).await;
        let (vouchers, _) = test.app.list_vouchers("odyssey", 0, "").await.unwrap();
        let (row, _) = test.app.disable_voucher(OPERATOR, vouchers[0].id, false).await.unwrap();
        assert_eq!(row.disable_time, Some(test.app.now()));
        assert_eq!(why(test.redeemed(&somebody(), &codes[0]).await), VoucherRefusal::Disabled);
        assert!(test.redeemed(&somebody(), &codes[1]).await.is_ok());
    }

    async fn claw_back_takes_what_is_left_and_ends_access_and_plan(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let new = NewCampaign { plan: "creator".to_owned(), ..campaign("odyssey", 3) };
        let codes = test.codes(&new).await;
        let (ada, ben) = (somebody(), somebody());
        for (caller, code) in [(&ada, &codes[0]), (&ben, &codes[1])] {
            test.redeemed(caller, code).await.unwrap();
        }
        test.spend_voucher_credits(&ada.payer, 100_000).await;
        // Who looks has the allowance of the plan.
        let before = test.balance_of(&ada.payer).await;
        assert_eq!(before.plan, "creator");
        let left = u64::from(before.available) + CREDITS.unsigned_abs();
        let (view, clawed_back) = test.app.disable_campaign(OPERATOR, "odyssey", true).await.unwrap();
        assert_eq!(clawed_back, left);
        assert!(view.row.disable_time.is_some());
        for (caller, code) in [(&ada, &codes[0]), (&ben, &codes[1])] {
            assert_eq!(test.voucher_credits(&caller.payer).await, []);
            let after = test.balance_of(&caller.payer).await;
            assert_eq!((after.plan.as_str(), after.debt), ("none", Credits::ZERO));
            assert!(!test.may_generate(caller.user).await);
            // Nobody is told that they have what they no longer have.
            assert_eq!(why(test.redeemed(caller, code).await), VoucherRefusal::Disabled);
        }
        let (_, again) = test.app.disable_campaign(OPERATOR, "odyssey", true).await.unwrap();
        assert_eq!(again, 0);
        test.check().await;
    }

    async fn one_code_is_clawed_back_alone(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let codes = test.codes(&campaign("odyssey", 2)).await;
        let (ada, ben) = (somebody(), somebody());
        for (caller, code) in [(&ada, &codes[0]), (&ben, &codes[1])] {
            test.redeemed(caller, code).await.unwrap();
        }
        let (vouchers, _) = test.app.list_vouchers("odyssey", 0, "").await.unwrap();
        let (row, taken) = test.app.disable_voucher(OPERATOR, vouchers[0].id, true).await.unwrap();
        assert_eq!((row.uses, taken), (1, CREDITS.unsigned_abs()));
        assert_eq!(test.voucher_credits(&ada.payer).await, []);
        assert_eq!(test.voucher_credits(&ben.payer).await, [(CREDITS, None)]);
        assert_eq!((test.may_generate(ada.user).await, test.may_generate(ben.user).await), (false, true));
        test.check().await;
    }

    async fn two_who_claw_back_at_once_take_it_back_once(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let codes = test.codes(&campaign("odyssey", 120)).await;
        // Some act for the same organisation.
        let engines = Uuid::now_v7();
        for (number, code) in codes.iter().enumerate() {
            let mut caller = somebody();
            if number % 3 == 0 {
                caller.payer = Payer::Organisation(engines);
            }
            test.redeemed(&caller, code).await.unwrap();
        }
        let calls = (0..4).map(|_| {
            let app = test.app.clone();
            tokio::spawn(async move { app.disable_campaign(OPERATOR, "odyssey", true).await })
        });
        let ended = join_all(calls).await;
        let taken: u64 = ended.into_iter().map(|it| it.unwrap().unwrap().1).sum();
        assert_eq!(taken, 120 * CREDITS.unsigned_abs());
        test.check().await;
    }

    async fn an_export_has_everything_once_until_it_began(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let codes = test.codes(&campaign("odyssey", 151)).await;
        let other = test.code(&campaign("iliad", 1)).await;
        let mut people = HashSet::new();
        for code in &codes[..150] {
            let caller = somebody();
            test.redeemed(&caller, code).await.unwrap();
            people.insert(caller.user);
        }
        test.redeemed(&somebody(), &other).await.unwrap();
        for (campaign, number) in [("odyssey", 150), ("", 151)] {
            let pages = test.app.export_redemptions(OPERATOR, campaign).await.unwrap();
            let mut pages = std::pin::pin!(pages);
            let mut rows = pages.next().await.unwrap().unwrap();
            assert!(rows.len() < number);
            if campaign == "odyssey" {
                // The reader is slow: what is redeemed meanwhile is not part of it.
                test.redeemed(&somebody(), &codes[150]).await.unwrap();
            }
            while let Some(page) = pages.next().await {
                rows.extend(page.unwrap());
            }
            let extra = usize::from(campaign.is_empty());
            assert_eq!(rows.len(), number + extra);
            assert!(rows.is_sorted_by(|one, other| one.id < other.id));
            assert!(people.iter().all(|user| rows.iter().any(|row| row.user_id == *user)));
        }
        assert_eq!(audited(&test, 1).await, ["voucher.export : done"]);
    }

    async fn the_database_refuses_to_change_the_audit_log(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        test.codes(&contest()).await;
        for sql in ["UPDATE billing_audit SET result = 'nothing'", "DELETE FROM billing_audit"] {
            let tx = test.app.store.begin().await.unwrap();
            let refused = tx.execute_unprepared(sql).await.expect_err(sql);
            assert!(refused.to_string().contains("append-only"), "{sql}: {refused}");
        }
        assert_eq!(audited(&test, 9).await.len(), 1);
    }

    async fn audit_lines_are_filtered_and_paged(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        test.codes(&campaign("odyssey", 1)).await;
        test.codes(&campaign("iliad", 1)).await;
        test.app.disable_campaign(OPERATOR, "iliad", false).await.unwrap();
        let find = |actor: &str, action: &str, target: &str| {
            let filter = Filter { actor: actor.to_owned(), action: action.to_owned(), target: target.to_owned() };
            let app = test.app.clone();
            async move { app.audit_lines(&filter, 0, "").await.unwrap().0.len() }
        };
        let operator = OPERATOR.to_string();
        assert_eq!(find(&operator, "", "").await, 3);
        assert_eq!(find("system", "", "").await, 0);
        assert_eq!(find("", "campaign.create", "").await, 2);
        assert_eq!(find("", "campaign.create", "iliad").await, 1);
        assert_eq!(find("", "", "iliad").await, 2);
        let all = Filter::default();
        let (first, token) = test.app.audit_lines(&all, 2, "").await.unwrap();
        assert_eq!(first[0].action, "campaign.disable");
        let (second, end) = test.app.audit_lines(&all, 2, &token).await.unwrap();
        assert_eq!((second.len(), end.as_str()), (1, ""));
        let other = Filter { target: "iliad".to_owned(), ..all };
        let mixed = test.app.audit_lines(&other, 2, &token).await;
        assert!(matches!(mixed, Err(Error::Refused(Refusal::PageTokenInvalid))));
    }
}
