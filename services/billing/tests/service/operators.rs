//! What operators do.

use kinora_proto::billing::v1 as pb;
use kinora_store::on_both_databases;
use prost_types::Timestamp;
use tonic::Code;
use uuid::Uuid;

use crate::harness::{TestBilling, metadata, payer, reason};

on_both_databases! {
    async fn operators_give_take_and_give_back(url: DatabaseUrl) {
        let billing = TestBilling::start(&url).await;
        let (ledger, mut operator) = (billing.ledger("anna"), billing.operator());
        let balance = operator.adjust("a", "anna", 5000).await.expect("gives");
        assert_eq!(balance.available, 605_000);
        assert_eq!(operator.adjust("a", "anna", 5000).await.expect("again").available, 605_000);
        let reused = operator.adjust("a", "anna", 6000).await.expect_err("refused");
        assert_eq!((reused.code(), reason(&reused).as_str()), (Code::AlreadyExists, "REQUEST_ID_REUSED"));
        let balance = operator.adjust("b", "anna", -605_500).await.expect("takes");
        assert_eq!((balance.available, balance.debt), (0, 500));
        operator.adjust("c", "anna", 2500).await.expect("gives");
        let job = Uuid::now_v7();
        ledger.hold(&[(job, 16)]).await.expect("holds");
        ledger.capture(job, 1, None).await.expect("captures");
        let refund = |id: &str, credits| pb::RefundRequest {
            request_id: id.to_owned(),
            job_id: job.to_string(),
            credits,
            note: "it flickers".to_owned(),
        };
        let refunded = operator.client.refund(operator.request(refund("r", Some(300)))).await.expect("refunds");
        assert_eq!(refunded.into_inner(), pb::RefundResponse { credits: 300, refunded: 300 });
        let too_much = operator.client.refund(operator.request(refund("s", Some(701)))).await.expect_err("refused");
        assert_eq!(reason(&too_much), "REFUND_EXCEEDS_CAPTURE");
        assert_eq!(metadata(&too_much, "refundable_credits"), "700");
        let seen = operator.request(pb::GetPayerRequest { payer: Some(payer("anna")) });
        let seen = operator.client.get_payer(seen).await.expect("reads").into_inner().balance.expect("a balance");
        assert_eq!((seen.available, seen.debt), (1300, 0));
        let unknown = operator.request(pb::GetPayerRequest { payer: Some(payer("nobody")) });
        assert_eq!(reason(&operator.client.get_payer(unknown).await.expect_err("unknown")), "PAYER_NOT_FOUND");
        let of = operator.request(pb::ListTransactionsOfRequest { payer: Some(payer("anna")), ..Default::default() });
        let of = operator.client.list_transactions_of(of).await.expect("reads").into_inner().transactions;
        assert_eq!(of.len(), 7);
        operator.check().await;
    }

    async fn operators_stop_people_and_change_plans(url: DatabaseUrl) {
        let billing = TestBilling::start(&url).await;
        let (ledger, mut operator) = (billing.ledger("anna"), billing.operator());
        let frozen = |frozen| pb::SetFrozenRequest { payer: Some(payer("anna")), frozen, note: "a dispute".to_owned() };
        operator.client.set_frozen(operator.request(frozen(true))).await.expect("freezes");
        let refused = ledger.hold(&[(Uuid::now_v7(), 16)]).await.expect_err("refused");
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::FailedPrecondition, "PAYER_FROZEN"));
        operator.client.set_frozen(operator.request(frozen(false))).await.expect("lets go");
        ledger.hold(&[(Uuid::now_v7(), 16)]).await.expect("holds");
        let plan = |plan: &str| pb::SetPlanRequest { payer: Some(payer("anna")), plan: plan.to_owned() };
        let balance = operator.client.set_plan(operator.request(plan("studio"))).await.expect("sets");
        assert_eq!(balance.into_inner().balance.expect("a balance").available, 599_000 + 7_200_000);
        let unknown = operator.client.set_plan(operator.request(plan("gold"))).await.expect_err("refused");
        assert_eq!(reason(&unknown), "PLAN_UNKNOWN");
    }

    async fn operators_set_prices_and_the_window(url: DatabaseUrl) {
        let billing = TestBilling::start(&url).await;
        let (ledger, mut operator) = (billing.ledger("anna"), billing.operator());
        let mut anna = billing.person("anna");
        let book = anna.client.get_price_book(pb::GetPriceBookRequest {}).await.expect("reads");
        let mut book = book.into_inner().price_book.expect("a book");
        let publish = async |operator: &mut crate::harness::Operator, book: &pb::PriceBook| {
            let message = operator.request(pb::PublishPriceBookRequest { price_book: Some(book.clone()) });
            operator.client.publish_price_book(message).await
        };
        assert_eq!(reason(&publish(&mut operator, &book).await.expect_err("refused")), "PRICE_BOOK_CHANGED");
        book.version = 2;
        book.models[0].price = 0;
        let refused = publish(&mut operator, &book).await.expect_err("refused");
        let refused = kinora_mesh::error::PublicError::from_status(&refused);
        assert_eq!((refused.reason.as_str(), refused.violations[0].field.as_str()), ("PRICE_BOOK_INVALID", "price_book.models[0].price"));
        book.models[0].price = 3000;
        publish(&mut operator, &book).await.expect("publishes");
        let hold = ledger.hold(&[(Uuid::now_v7(), 16)]).await.expect("holds");
        assert_eq!((hold[0].credits, hold[0].price_book), (3000, 2));
        let time = |seconds| Some(Timestamp { seconds, nanos: 0 });
        let now = chrono::Utc::now().timestamp();
        let window = |start, end| pb::SetWindowRequest { window: Some(pb::Window { start_time: start, end_time: end }) };
        for odd in [window(time(now + 60), time(now + 60)), window(time(0), time(now - 60))] {
            let refused = operator.client.set_window(operator.request(odd)).await.expect_err("refused");
            assert_eq!(reason(&refused), "WINDOW_INVALID");
        }
        let half = operator.client.set_window(operator.request(window(time(now), None))).await.expect_err("refused");
        assert_eq!(reason(&half), "FIELD_INVALID");
        let contest = window(time(now - 60), time(now + 3600));
        operator.client.set_window(operator.request(contest)).await.expect("sets");
        let balance = anna.balance().await.expect("reads");
        assert_eq!((balance.window_end, balance.spent_in_window), (time(now + 3600), 0));
        let month = operator.client.set_window(operator.request(pb::SetWindowRequest::default())).await;
        assert_eq!(month.expect("sets").into_inner().window, Some(pb::Window::default()));
        assert_eq!(anna.balance().await.expect("reads").spent_in_window, 3000);
        operator.check().await;
    }
}
