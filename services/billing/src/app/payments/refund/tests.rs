use kinora_store::on_both_databases;
use kinora_stripe_gateway::Refusal as StripeRefusal;
use kinora_testkit::stripe::ApiFault;

use super::*;
use crate::app::payments::testing::Kiosk;
use crate::app::testing::{field_of, id_of, refusal_of, user};
use crate::store::audit::Filter;

fn of(receipt: &receipt::Model, request_id: &str, amount: Option<i64>) -> ReceiptRefund {
    ReceiptRefund {
        request_id: request_id.to_owned(),
        receipt: receipt.id.clone(),
        amount,
        note: "it was a mistake".to_owned(),
    }
}

async fn refund(kiosk: &Kiosk, refund: &ReceiptRefund) -> Result<receipt::Model, Error> {
    kiosk.app.refund_receipt(id_of("op"), refund).await
}

/// What went back at Stripe.
fn refunds(kiosk: &Kiosk) -> Vec<i64> {
    let refunds = kiosk.stripe.objects("refund").into_iter();
    refunds
        .map(|refund| refund["amount"].as_i64().unwrap())
        .collect()
}

/// Who did what to a receipt, oldest first.
async fn audited(kiosk: &Kiosk, receipt: &str) -> Vec<String> {
    let filter = Filter {
        target: receipt.to_owned(),
        ..Filter::default()
    };
    let (lines, _) = kiosk.app.audit_lines(&filter, 0, "").await.unwrap();
    let lines = lines.into_iter().rev();
    lines
        .map(|line| format!("{} {}", line.action, line.result))
        .collect()
}

#[test]
fn a_refund_of_more_than_is_left_is_refused_for_that() {
    let refused_with = |code: &str| {
        refused(StripeError::Refused(StripeRefusal {
            status: 400,
            code: Some(code.to_owned()),
            ..StripeRefusal::default()
        }))
    };
    for code in NOTHING_LEFT {
        let error = refused_with(code);
        assert!(
            matches!(error, Error::Refused(Refusal::RefundExceedsPayment)),
            "{code}"
        );
    }
    assert!(matches!(
        refused_with("balance_insufficient"),
        Error::Stripe(_)
    ));
    let reused = refused(StripeError::KeyReused);
    assert!(matches!(reused, Error::Refused(Refusal::RequestIdReused)));
}

on_both_databases! {
    async fn money_goes_back_once_a_request_id(url: DatabaseUrl) {
        let kiosk = Kiosk::open(&url).await;
        let ada = user("ada");
        let receipt = kiosk.buy(&ada, "pack:small").await;
        for _ in 0..2 {
            let row = refund(&kiosk, &of(&receipt, "r1", Some(99))).await.unwrap();
            assert_eq!((row.refunded, row.taken), (99, 99_099));
        }
        assert_eq!(refunds(&kiosk), [99]);
        let reused = refund(&kiosk, &of(&receipt, "r1", Some(100))).await;
        assert_eq!(refusal_of(reused), Refusal::RequestIdReused);
        for _ in 0..2 {
            let row = refund(&kiosk, &of(&receipt, "r2", None)).await.unwrap();
            assert_eq!((row.refunded, row.taken), (999, 1_000_000));
        }
        assert_eq!(refunds(&kiosk), [99, 900]);
        assert_eq!(kiosk.sums(&ada).await, (0, 0, 0));
        kiosk.hear().await;
        assert_eq!(kiosk.sums(&ada).await, (0, 0, 0));
        assert_eq!(kiosk.compare().await.problems, Vec::<String>::new());
        kiosk.check().await;
    }

    async fn a_refund_whose_answer_is_lost_is_found_by_the_same_call(url: DatabaseUrl) {
        let kiosk = Kiosk::open(&url).await;
        let ada = user("ada");
        let receipt = kiosk.buy(&ada, "pack:small").await;
        kiosk.stripe.fail_next("POST", ApiFault::KeepFailure);
        let lost = refund(&kiosk, &of(&receipt, "r1", None)).await;
        assert!(matches!(lost, Err(Error::Stripe(ref error)) if error.is_transient()), "{lost:?}");
        let row = refund(&kiosk, &of(&receipt, "r1", None)).await.unwrap();
        assert_eq!((row.refunded, row.taken), (999, 1_000_000));
        assert_eq!(refunds(&kiosk), [999]);
    }

    async fn no_more_goes_back_than_is_left(url: DatabaseUrl) {
        let kiosk = Kiosk::open(&url).await;
        let receipt = kiosk.buy(&user("ada"), "pack:small").await;
        let more = refund(&kiosk, &of(&receipt, "r1", Some(1000))).await;
        assert_eq!(refusal_of(more), Refusal::RefundExceedsPayment);
        // Of which nothing was heard.
        kiosk.stripe.refund(&receipt.id, Some(900));
        let more = refund(&kiosk, &of(&receipt, "r2", Some(100))).await;
        assert_eq!(refusal_of(more), Refusal::RefundExceedsPayment);
        let row = refund(&kiosk, &of(&receipt, "r3", None)).await.unwrap();
        assert_eq!(row.refunded, 999);
        let more = refund(&kiosk, &of(&receipt, "r4", None)).await;
        assert_eq!(refusal_of(more), Refusal::RefundExceedsPayment);
        assert_eq!(refunds(&kiosk), [900, 99]);
        let lines = audited(&kiosk, &receipt.id).await;
        assert_eq!(lines, [
            "receipt.refund refused: REFUND_EXCEEDS_PAYMENT",
            "receipt.refund refused: REFUND_EXCEEDS_PAYMENT",
            "receipt.refund asked: 99 usd, request r3: it was a mistake",
            "receipt.refund refused: REFUND_EXCEEDS_PAYMENT",
        ]);
    }

    async fn the_month_of_a_plan_is_given_back_too(url: DatabaseUrl) {
        let kiosk = Kiosk::open(&url).await;
        let ada = user("ada");
        let receipt = kiosk.buy(&ada, "plan:creator").await;
        assert!(receipt.id.starts_with("in_"), "{receipt:?}");
        let row = refund(&kiosk, &of(&receipt, "r1", None)).await.unwrap();
        assert_eq!((row.refunded, row.taken), (999, 1_500_000));
        let id = receipt.subscription.clone().unwrap();
        let ended = kiosk.app.cancel_subscription(id_of("op"), &id, "he asked").await.unwrap();
        assert_eq!(ended.status, 5);
        assert_eq!(kiosk.balance(&ada).await.plan, "none");
        let again = kiosk.app.cancel_subscription(id_of("op"), &id, "he asked").await.unwrap();
        assert_eq!(again.status, 5);
        assert_eq!(audited(&kiosk, &id).await, ["subscription.cancel asked: he asked"; 2]);
    }

    async fn what_is_not_there_is_not_given_back(url: DatabaseUrl) {
        let kiosk = Kiosk::open(&url).await;
        let receipt = kiosk.buy(&user("ada"), "pack:small").await;
        let gone = ReceiptRefund { receipt: "pi_none".to_owned(), ..of(&receipt, "r1", None) };
        assert_eq!(refusal_of(refund(&kiosk, &gone).await), Refusal::ReceiptNotFound);
        let zero = of(&receipt, "r1", Some(0));
        assert_eq!(field_of(refund(&kiosk, &zero).await), "amount");
        let silent = ReceiptRefund { note: String::new(), ..of(&receipt, "r1", None) };
        assert_eq!(field_of(refund(&kiosk, &silent).await), "note");
        let none = kiosk.app.cancel_subscription(id_of("op"), "sub_none", "x").await;
        assert_eq!(refusal_of(none), Refusal::SubscriptionNotFound);
        assert_eq!(refunds(&kiosk), Vec::<i64>::new());
    }
}
