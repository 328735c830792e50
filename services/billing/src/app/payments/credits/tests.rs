use kinora_store::on_both_databases;
use uuid::Uuid;

use super::*;
use crate::app::testing::{TestApp, amount, frames, user};
use crate::domain::caller::Caller;
use crate::store::payers;

/// A receipt of 1000 cents whose credits were given.
async fn sold(test: &TestApp, caller: &Caller, credits: i64, days: Option<i64>) -> receipt::Model {
    let now = test.app.now();
    let id = format!("pi_{}", days.unwrap_or(1));
    let new = NewGrant {
        key: format!("purchase:{id}"),
        payer: caller.payer,
        origin: GrantOrigin::Purchase,
        credits: amount(credits),
        expires_at: days.map(|days| now + TimeDelta::days(days)),
        note: "pack:small".to_owned(),
        user_id: None,
    };
    let tx = test.app.store.begin().await.unwrap();
    payers::lock(&tx, &caller.payer, now).await.unwrap();
    let grant = grants::give(&tx, &new, now).await.unwrap();
    tx.commit().await.unwrap();
    receipt::Model {
        id,
        seq: Uuid::now_v7(),
        payer: caller.payer.to_string(),
        checkout_id: None,
        item: "pack:small".to_owned(),
        credits,
        grant_id: Some(grant),
        paid: 1_000,
        refunded: 0,
        disputed: 0,
        currency: "usd".to_owned(),
        taken: 0,
        turns: 0,
        payment: None,
        subscription: None,
        invoice_number: None,
        invoice_url: None,
        create_time: now,
    }
}

/// So much of the money is given back, and so much disputed.
async fn set_back(
    test: &TestApp,
    caller: &Caller,
    row: &mut receipt::Model,
    (refunded, disputed): (i64, i64),
) -> Result<(), Error> {
    (row.refunded, row.disputed) = (refunded, disputed);
    let now = test.app.now();
    let tx = test.app.store.begin().await?;
    payers::lock(&tx, &caller.payer, now).await?;
    agree(&tx, &caller.payer, row, now).await?;
    Ok(tx.commit().await?)
}

on_both_databases! {
    async fn credits_go_and_come_with_the_money(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = user("ada");
        let mut row = sold(&test, &ada, 900, None).await;
        for (back, left) in [((500, 0), 450), ((500, 0), 450), ((999, 0), 1), ((1_000, 0), 0)] {
            set_back(&test, &ada, &mut row, back).await.unwrap();
            assert_eq!(test.sums(&ada).await, (left, 0, 0), "{back:?}");
            assert_eq!(row.taken, 900 - left);
        }
        for (back, left) in [((300, 0), 630), ((300, 500), 180), ((300, 5_000), 0), ((0, 0), 900)] {
            set_back(&test, &ada, &mut row, back).await.unwrap();
            assert_eq!(test.sums(&ada).await, (left, 0, 0), "{back:?}");
        }
        assert_eq!((row.taken, row.turns), (0, 7));
        assert_eq!(test.account("system:clearing").await, -900);
        let notes: Vec<String> = test.transfers().await.into_iter().map(|it| it.note).collect();
        let (refund, dispute, again) = ("refund of pi_1", "dispute of pi_1", "pi_1 is paid again");
        let expected = ["pack:small", refund, refund, refund, again, dispute, dispute, again];
        assert_eq!(notes, expected);
        test.check().await;
    }

    async fn what_was_spent_is_owed_and_paid_by_what_was_held(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = user("ada");
        let mut row = sold(&test, &ada, 1_200, None).await;
        test.captured(&ada, frames(8), None).await;
        let job = test.hold(&ada, frames(8)).await.unwrap();
        assert_eq!(test.sums(&ada).await, (200, 500, 0));
        set_back(&test, &ada, &mut row, (1_000, 0)).await.unwrap();
        assert_eq!(test.sums(&ada).await, (0, 500, 1_000));
        test.app.release(job).await.unwrap();
        assert_eq!(test.sums(&ada).await, (0, 0, 500), "what comes back pays first");
        // The money comes again: the debt is paid, and the rest is there.
        set_back(&test, &ada, &mut row, (0, 0)).await.unwrap();
        assert_eq!(test.sums(&ada).await, (700, 0, 0));
        test.check().await;
    }

    async fn the_receipts_own_credits_go_first(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = user("ada");
        let mut row = sold(&test, &ada, 1_000, None).await;
        // By themselves these would be spent first.
        let (soon, later) = (
            test.give(&ada.payer, 300, Some(1)).await,
            test.give(&ada.payer, 400, Some(2)).await,
        );
        set_back(&test, &ada, &mut row, (400, 0)).await.unwrap();
        let left = async |id| {
            let found = grants::find_many(test.app.store.reader(), [id].into_iter()).await.unwrap();
            found[0].available.get()
        };
        let own = row.grant_id.unwrap();
        assert_eq!((left(own).await, left(soon).await, left(later).await), (600, 300, 400));
        // 1000 are spent, of others first: of the receipt's own 600 there are 300 left.
        test.captured(&ada, frames(8), None).await;
        test.captured(&ada, frames(8), None).await;
        assert_eq!((left(own).await, left(soon).await, left(later).await), (300, 0, 0));
        let more = test.give(&ada.payer, 400, Some(2)).await;
        set_back(&test, &ada, &mut row, (1_000, 0)).await.unwrap();
        assert_eq!((left(own).await, left(more).await), (0, 100));
        assert_eq!(test.sums(&ada).await, (100, 0, 0));
        test.check().await;
    }

    async fn credits_that_come_again_last_at_least_a_month(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        for (days, expected) in [(Some(10), Some(30)), (Some(90), Some(90)), (None, None)] {
            let ada = user(&format!("ada{}", days.unwrap_or_default()));
            let mut row = sold(&test, &ada, 900, days).await;
            set_back(&test, &ada, &mut row, (0, 1_000)).await.unwrap();
            set_back(&test, &ada, &mut row, (0, 0)).await.unwrap();
            let [grant] = &test.balance(&ada).await.grants[..] else {
                panic!("there is one grant with credits");
            };
            let end = expected.map(|days| test.app.now() + TimeDelta::days(days));
            assert_eq!((grant.available, grant.expire_time), (amount(900), end));
            assert_eq!(grant.origin, GrantOrigin::Purchase);
        }
    }

    async fn a_receipt_without_credits_has_none_to_take(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = user("ada");
        let mut row = sold(&test, &ada, 900, None).await;
        (row.credits, row.grant_id) = (0, None);
        set_back(&test, &ada, &mut row, (1_000, 0)).await.unwrap();
        assert_eq!((row.taken, row.turns), (0, 0));
        assert_eq!(test.sums(&ada).await, (900, 0, 0));
    }
}
