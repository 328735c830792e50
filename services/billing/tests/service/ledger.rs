//! The scheduler's calls.

use kinora_proto::billing::v1 as pb;
use kinora_store::on_both_databases;
use tonic::Code;
use uuid::Uuid;

use crate::harness::{TestBilling, metadata, reason, request, work};

on_both_databases! {
    async fn a_job_is_held_captured_and_seen(url: DatabaseUrl) {
        let billing = TestBilling::start(&url).await;
        let (ledger, anna) = (billing.ledger("anna"), billing.person("anna"));
        let (delivered, failed) = (Uuid::now_v7(), Uuid::now_v7());
        let holds = ledger.hold(&[(delivered, 80), (failed, 16)]).await.expect("holds");
        assert_eq!(holds.len(), 2);
        assert_eq!((holds[0].credits, holds[0].state()), (5000, pb::HoldState::Open));
        let lifetime = holds[0].expire_time.as_ref().expect("an end").seconds
            - holds[0].create_time.as_ref().expect("a beginning").seconds;
        assert_eq!(lifetime, 24 * 60 * 60);
        let balance = anna.balance().await.expect("reads");
        assert_eq!((balance.available, balance.held), (594_000, 6000));
        let captured = ledger.capture(delivered, 2, Some(4000)).await.expect("captures");
        assert_eq!((captured.captured, captured.state()), (4000, pb::HoldState::Captured));
        assert_eq!(ledger.capture(delivered, 2, Some(4000)).await.expect("again"), captured);
        let released = ledger.release(failed).await.expect("releases").expect("a hold");
        assert_eq!(released.state(), pb::HoldState::Released);
        assert_eq!(ledger.release(Uuid::now_v7()).await.expect("nothing"), None);
        let balance = anna.balance().await.expect("reads");
        assert_eq!((balance.available, balance.held, balance.spent_in_window), (596_000, 0, 4000));
        assert!((balance.available_seconds - 596.0).abs() < 1e-9);
        let seen = anna.transactions(&delivered.to_string()).await.expect("reads");
        let kinds: Vec<_> = seen.iter().map(|it| (it.kind(), it.available_change, it.held_change)).collect();
        let expected = [
            (pb::TransactionKind::Capture, 1000, -5000),
            (pb::TransactionKind::Hold, -5000, 5000),
        ];
        assert_eq!(kinds, expected);
        let check = billing.operator().check().await;
        assert_eq!((check.transfers, check.open_holds, check.held), (5, 0, 0));
    }

    async fn who_runs_out_is_told_what_there_is(url: DatabaseUrl) {
        let billing = TestBilling::start(&url).await;
        let ledger = billing.ledger("anna");
        ledger.hold(&[(Uuid::now_v7(), 16 * 598)]).await.expect("holds");
        let refused = ledger.hold(&[(Uuid::now_v7(), 16), (Uuid::now_v7(), 32)]).await.expect_err("too much");
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::ResourceExhausted, "INSUFFICIENT_CREDITS"));
        assert_eq!(metadata(&refused, "needed_credits"), "3000");
        assert_eq!(metadata(&refused, "available_credits"), "2000");
        assert_eq!(metadata(&refused, "available_seconds"), "2.000");
        assert_eq!(metadata(&refused, "affordable_frames"), "16");
        let reset = metadata(&refused, "reset_time");
        assert!(reset.ends_with("T00:00:00Z"), "{reset}");
        let message = pb::EstimateRequest { works: vec![work(16), work(32)] };
        let estimate = ledger.client.clone().estimate(request(&ledger.token, message)).await.expect("estimates");
        let expected = pb::EstimateResponse {
            credits: vec![1000, 2000],
            total: 3000,
            available: 2000,
            refusal: "INSUFFICIENT_CREDITS".to_owned(),
        };
        assert_eq!(estimate.into_inner(), expected);
    }

    async fn what_makes_no_sense_is_named_and_changes_nothing(url: DatabaseUrl) {
        let billing = TestBilling::start(&url).await;
        let ledger = billing.ledger("anna");
        let job = Uuid::now_v7();
        ledger.hold(&[(job, 16)]).await.expect("holds");
        let before = billing.operator().check().await;
        let hold = async |jobs: Vec<pb::JobWork>| {
            let message = request(&ledger.token, pb::HoldRequest { jobs });
            reason(&ledger.client.clone().hold(message).await.expect_err("refused"))
        };
        let of = |job_id: &str, work: Option<pb::Work>| vec![pb::JobWork { job_id: job_id.to_owned(), work, preview: None }];
        assert_eq!(hold(Vec::new()).await, "FIELD_INVALID");
        assert_eq!(hold(of("1", Some(work(16)))).await, "FIELD_INVALID");
        assert_eq!(hold(of(&Uuid::now_v7().to_string(), None)).await, "FIELD_INVALID");
        for odd in [
            pb::Work { width: 0, ..work(16) },
            pb::Work { fps: u32::MAX, ..work(16) },
            pb::Work { tier: 9, ..work(16) },
            pb::Work { model: "\n".to_owned(), ..work(16) },
        ] {
            assert_eq!(hold(of(&Uuid::now_v7().to_string(), Some(odd))).await, "FIELD_INVALID");
        }
        assert_eq!(hold(of(&job.to_string(), Some(work(17)))).await, "HOLD_CONFLICT");
        let capture = async |lease, credits| reason(&ledger.capture(job, lease, credits).await.expect_err("refused"));
        assert_eq!(capture(0, None).await, "FIELD_INVALID");
        assert_eq!(capture(1, Some(0)).await, "FIELD_INVALID");
        assert_eq!(capture(1, Some(1001)).await, "CAPTURE_EXCEEDS_HOLD");
        assert_eq!(capture(1, Some(u64::MAX)).await, "CAPTURE_EXCEEDS_HOLD");
        let unknown = ledger.capture(Uuid::now_v7(), 1, None).await.expect_err("refused");
        assert_eq!((unknown.code(), reason(&unknown).as_str()), (Code::NotFound, "HOLD_NOT_FOUND"));
        assert_eq!(billing.operator().check().await, before);
    }

    async fn open_holds_are_listed_and_renewed(url: DatabaseUrl) {
        let billing = TestBilling::start(&url).await;
        let mut ledger = billing.ledger("anna");
        let jobs: Vec<Uuid> = (0..3).map(|_| Uuid::now_v7()).collect();
        for job in &jobs {
            ledger.hold(&[(*job, 16)]).await.expect("holds");
        }
        ledger.release(jobs[1]).await.expect("releases");
        let ids = jobs.iter().map(ToString::to_string).collect();
        let renewed = ledger.client.renew_holds(pb::RenewHoldsRequest { job_ids: ids }).await.expect("renews");
        assert_eq!(renewed.into_inner().renewed_job_ids, [jobs[0].to_string(), jobs[2].to_string()]);
        let mut seen = Vec::new();
        let mut page_token = String::new();
        for _ in 0..2 {
            let message = pb::ListOpenHoldsRequest { made_before: None, page_size: 1, page_token };
            let page = ledger.client.list_open_holds(message).await.expect("lists").into_inner();
            seen.extend(page.holds.into_iter().map(|hold| hold.job_id));
            page_token = page.next_page_token;
        }
        assert_eq!(seen, [jobs[0].to_string(), jobs[2].to_string()]);
        assert_eq!(page_token, "");
    }
}
