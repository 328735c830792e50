use chrono::TimeDelta;
use kinora_store::on_both_databases;
use sea_orm::{EntityTrait, PaginatorTrait};
use uuid::Uuid;

use super::*;
use crate::app::campaigns::testing::{CREDITS, HERE, OPERATOR, contest, somebody, why};
use crate::app::testing::{TestApp, member, refusal_of};
use crate::domain::payer::Payer;
use crate::domain::refusal::Refusal;
use crate::domain::voucher::NewCampaign;
use crate::store::entity::vouchers::{audit as lines, tries};

/// A code that looks right and is none.
const UNKNOWN: &str = "0000-0000-0000-00000";

/// The codes that were tried until one had to wait.
async fn tries_until_a_wait(test: &TestApp, caller: &Caller, address: &str) -> usize {
    for tried in 0..1000 {
        match test.app.redeem(caller, UNKNOWN, address).await {
            Err(Error::Throttled { retry_after }) => {
                assert!(!retry_after.is_zero());
                return tried;
            }
            other => assert_eq!(why(other), VoucherRefusal::Unknown),
        }
    }
    panic!("nobody has to wait");
}

#[track_caller]
fn is_throttled<T>(result: &Result<T, Error>) -> bool {
    matches!(result, Err(Error::Throttled { .. }))
}

on_both_databases! {
    async fn a_code_gives_credits_and_access_once_and_answers_again(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let end = test.app.now() + TimeDelta::days(30);
        let new = NewCampaign { grant_expire_time: Some(end), ..contest() };
        let code = test.code(&new).await;
        let ada = somebody();
        let first = test.redeemed(&ada, &code).await.unwrap();
        assert_eq!((first.credits, first.access, first.ordinal), (CREDITS, true, 1));
        assert!(code.ends_with(&first.hint));
        let careless = code.to_lowercase().replace('-', " ").replace('0', "o");
        assert_eq!(test.redeemed(&ada, &careless).await.unwrap(), first);
        assert_eq!(test.voucher_credits(&ada.payer).await, [(CREDITS, Some(end))]);
        assert!(test.may_generate(ada.user).await);
        assert_eq!(test.app.list_redemptions(ada.user).await.unwrap(), [first]);
        let ben = somebody();
        assert_eq!(why(test.redeemed(&ben, &code).await), VoucherRefusal::UsedUp);
        assert!(!test.may_generate(ben.user).await);
        test.clock.advance(TimeDelta::days(30));
        assert!(!test.may_generate(ada.user).await);
        test.check().await;
    }

    async fn of_a_hundred_at_once_as_many_redeem_as_a_code_has_uses(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let code = test.code(&NewCampaign { max_uses: 10, ..contest() }).await;
        let people: Vec<Caller> = (0..100).map(|_| somebody()).collect();
        let ended = test.redeemed_at_once(&people, &code).await;
        let mut redeemed = 0;
        for (caller, ended) in people.iter().zip(ended) {
            let credits = test.voucher_credits(&caller.payer).await;
            match ended {
                Ok(_) => {
                    redeemed += 1;
                    assert_eq!(credits, [(CREDITS, None)]);
                }
                refused => {
                    assert_eq!(why(refused), VoucherRefusal::UsedUp);
                    assert_eq!(credits, []);
                }
            }
            assert_eq!(test.may_generate(caller.user).await, !credits.is_empty());
        }
        assert_eq!(redeemed, 10);
        let (vouchers, _) = test.app.list_vouchers("odyssey", 0, "").await.unwrap();
        assert_eq!((vouchers[0].uses, vouchers[0].max_uses), (10, 10));
        test.check().await;
    }

    async fn of_fifty_calls_of_one_person_at_once_one_redeems(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let code = test.code(&NewCampaign { max_uses: 100, ..contest() }).await;
        let ada = somebody();
        let ended = test.redeemed_at_once(&[ada; 50], &code).await;
        let ids: std::collections::HashSet<Uuid> =
            ended.into_iter().map(|it| it.unwrap().id).collect();
        assert_eq!(ids.len(), 1);
        assert_eq!(test.voucher_credits(&ada.payer).await, [(CREDITS, None)]);
        let (vouchers, _) = test.app.list_vouchers("odyssey", 0, "").await.unwrap();
        assert_eq!(vouchers[0].uses, 1);
        test.check().await;
    }

    async fn one_person_redeems_as_many_codes_of_a_campaign_as_it_allows(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let codes = test.codes(&NewCampaign { count: 5, per_user: 2, ..contest() }).await;
        let ada = somebody();
        let tasks = codes.iter().map(|code| test.redeemed(&ada, code));
        let ended = futures::future::join_all(tasks).await;
        let refused = ended.into_iter().filter(Result::is_err).map(why);
        assert_eq!(refused.collect::<Vec<_>>(), [VoucherRefusal::Limit; 3]);
        assert_eq!(test.voucher_credits(&ada.payer).await.len(), 2);
        // Codes of one use answer again, whatever the campaign allows.
        let redeemed = test.app.list_redemptions(ada.user).await.unwrap();
        let again = codes.iter().find(|code| code.ends_with(&redeemed[0].hint)).unwrap();
        assert_eq!(test.redeemed(&ada, again).await.unwrap(), redeemed[0]);
        // Who else comes has a share of their own.
        let left = codes.iter().find(|code| redeemed.iter().all(|it| !code.ends_with(&it.hint)));
        assert!(test.redeemed(&somebody(), left.unwrap()).await.is_ok());
        test.check().await;
    }

    async fn a_code_of_several_uses_gives_again_where_its_campaign_says_so(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let code = test.code(&NewCampaign { max_uses: 9, per_user: 2, ..contest() }).await;
        let ada = somebody();
        for ordinal in [1, 2] {
            assert_eq!(test.redeemed(&ada, &code).await.unwrap().ordinal, ordinal);
        }
        assert_eq!(why(test.redeemed(&ada, &code).await), VoucherRefusal::Limit);
        assert_eq!(test.voucher_credits(&ada.payer).await, [(CREDITS, None); 2]);
        test.check().await;
    }

    async fn an_organisation_gets_the_credits_and_the_person_the_access(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let code = test.code(&contest()).await;
        let (ada, ben) = (member("engines", "ada", false), member("engines", "ben", true));
        test.redeemed(&ada, &code).await.unwrap();
        assert_eq!(test.voucher_credits(&ada.payer).await, [(CREDITS, None)]);
        assert_eq!(test.voucher_credits(&Payer::User(ada.user)).await, []);
        assert!(test.may_generate(ada.user).await);
        assert!(!test.may_generate(ben.user).await);
        test.check().await;
    }

    async fn who_may_decide_alone_puts_an_organisation_on_a_plan(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let code = test.code(&NewCampaign { plan: "creator".to_owned(), ..contest() }).await;
        let (ada, ben) = (member("engines", "ada", false), member("engines", "ben", true));
        let refused = refusal_of(test.redeemed(&ada, &code).await);
        assert_eq!(refused, Refusal::RoleInsufficient);
        assert_eq!(test.plan_of(&ben.payer).await, "none");
        test.redeemed(&ben, &code).await.unwrap();
        assert_eq!(test.plan_of(&ben.payer).await, "creator");
        test.check().await;
    }

    async fn a_plan_ends_with_the_time_that_a_campaign_gives(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let end = test.app.now() + TimeDelta::days(7);
        let new = NewCampaign { plan: "creator".to_owned(), grant_expire_time: Some(end), ..contest() };
        let code = test.code(&new).await;
        let ada = somebody();
        test.redeemed(&ada, &code).await.unwrap();
        assert_eq!(test.plan_of(&ada.payer).await, "creator");
        test.clock.advance(TimeDelta::days(7));
        assert_eq!(test.plan_of(&ada.payer).await, "none");
        test.check().await;
    }

    async fn a_plan_that_is_gone_leaves_code_and_ledger_untouched(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let code = test.code(&NewCampaign { plan: "creator".to_owned(), ..contest() }).await;
let plans = "[[plan]]\nname = \"none\"\ntitle = \"None\"\nmonthly_credits = 0";
        let without = test.with_plans(plans);
        let ada = somebody();
        assert_eq!(why(without.redeemed(&ada, &code).await), VoucherRefusal::PlanGone);
        assert_eq!(test.voucher_credits(&ada.payer).await, []);
        test.redeemed(&ada, &code).await.unwrap();
        test.check().await;
    }

    async fn codes_are_good_between_their_times(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let (start, end) = (TimeDelta::days(1), TimeDelta::days(2));
        let now = test.app.now();
        let new = NewCampaign {
            max_uses: 3,
            start_time: Some(now + start),
            expire_time: Some(now + end),
            ..contest()
        };
        let code = test.code(&new).await;
        let ada = somebody();
        for _ in 0..50 {
            assert_eq!(why(test.redeemed(&somebody(), &code).await), VoucherRefusal::Unknown);
        }
        test.clock.advance(start);
        let redeemed = test.redeemed(&ada, &code).await.unwrap();
        test.clock.advance(end - start);
        assert_eq!(why(test.redeemed(&somebody(), &code).await), VoucherRefusal::Ended);
        // What was redeemed stays, and a lost answer is still to be had.
        assert_eq!(test.redeemed(&ada, &code).await.unwrap(), redeemed);
        assert_eq!(test.voucher_credits(&ada.payer).await, [(CREDITS, None)]);
        test.check().await;
    }

    async fn guessing_gets_slower_by_person_and_by_network(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = somebody();
        assert_eq!(tries_until_a_wait(&test, &ada, HERE).await, 11);
        // Another network does not help, and time does.
        assert!(is_throttled(&test.app.redeem(&ada, UNKNOWN, "203.0.113.9").await));
        test.clock.advance(TimeDelta::seconds(10));
        assert_eq!(tries_until_a_wait(&test, &ada, HERE).await, 1);
        // Other people from there have what is left of the network's.
        let mut people = 0;
        while !is_throttled(&test.app.redeem(&somebody(), UNKNOWN, HERE).await) {
            people += 1;
        }
        assert_eq!(people, 51 - 12);
        // Elsewhere nobody has to wait for that.
        let elsewhere = test.app.redeem(&somebody(), UNKNOWN, "203.0.113.9").await;
        assert_eq!(why(elsewhere), VoucherRefusal::Unknown);
    }

    async fn a_hundred_guesses_at_once_are_no_more_than_one_after_the_other(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ended = test.redeemed_at_once(&[somebody(); 100], UNKNOWN).await;
        let throttled = ended.iter().filter(|it| is_throttled(it)).count();
        assert_eq!(throttled, 100 - 11);
        let rest = ended.into_iter().filter(|it| !is_throttled(it));
        assert!(rest.map(why).all(|why| why == VoucherRefusal::Unknown));
    }

    async fn a_hall_behind_one_address_redeems_at_once(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let code = test.code(&NewCampaign { max_uses: 60, ..contest() }).await;
        let people: Vec<Caller> = (0..60).map(|_| somebody()).collect();
        let ended = test.redeemed_at_once(&people, &code).await;
        // More than a network has wrong codes for free.
        for redeemed in ended {
            redeemed.unwrap();
        }
        let left = tries::Entity::find().count(test.app.store.reader()).await;
        assert_eq!(left.unwrap(), 0, "right codes leave no counters");
        test.check().await;
    }

    async fn who_has_guessed_too_much_waits_with_the_right_code_too(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let code = test.code(&contest()).await;
        let ada = somebody();
        tries_until_a_wait(&test, &ada, HERE).await;
        assert!(is_throttled(&test.redeemed(&ada, &code).await));
        test.clock.advance(TimeDelta::seconds(10));
        assert!(test.redeemed(&ada, &code).await.is_ok());
    }

    async fn mistyped_codes_are_told_at_once_and_count_as_no_guess(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let code = test.code(&contest()).await;
        let ada = somebody();
        let plain: Vec<char> = code.chars().filter(|character| *character != '-').collect();
        for place in 0..plain.len() {
            let mut wrong = plain.clone();
            wrong[place] = if wrong[place] == '7' { '8' } else { '7' };
            let wrong: String = wrong.into_iter().collect();
            assert_eq!(why(test.redeemed(&ada, &wrong).await), VoucherRefusal::Mistyped);
        }
        for typed in ["", "7", &"7".repeat(1000), "' OR 1=1 --", "\u{0}"] {
            assert_eq!(why(test.redeemed(&ada, typed).await), VoucherRefusal::Mistyped);
        }
        assert_eq!(tries_until_a_wait(&test, &ada, HERE).await, 11);
        test.clock.advance(TimeDelta::hours(1));
        assert!(test.redeemed(&ada, &code).await.is_ok());
    }

    async fn counters_are_forgotten_after_a_day(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        tries_until_a_wait(&test, &somebody(), HERE).await;
        assert_eq!(test.app.sweep_voucher_tries().await.unwrap(), 0);
        test.clock.advance(TimeDelta::hours(25));
        assert_eq!(test.app.sweep_voucher_tries().await.unwrap(), 2);
        assert_eq!(test.app.sweep_voucher_tries().await.unwrap(), 0);
    }

    async fn a_redemption_leaves_one_line_without_the_code(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let code = test.code(&contest()).await;
        let ada = somebody();
        for _ in 0..3 {
            test.redeemed(&ada, &code).await.unwrap();
        }
        let filter = audit::Filter { action: "voucher.redeem".to_owned(), ..audit::Filter::default() };
        let (found, _) = test.app.audit_lines(&filter, 0, "").await.unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].actor.as_str(), found[0].target.as_str()), (ada.user.to_string().as_str(), "odyssey"));
        let all = lines::Entity::find().all(test.app.store.reader()).await.unwrap();
        let plain = code.replace('-', "");
        assert!(all.iter().all(|line| !format!("{line:?}").contains(&plain[..12])));
        assert!(all.iter().any(|line| line.actor == OPERATOR.to_string()));
    }
}
