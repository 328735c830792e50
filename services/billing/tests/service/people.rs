//! What people see.

use kinora_proto::billing::v1 as pb;
use kinora_store::on_both_databases;
use tonic::Code;
use uuid::Uuid;

use crate::harness::{TestBilling, reason};

on_both_databases! {
    async fn a_newcomer_has_the_free_plan(url: DatabaseUrl) {
        let billing = TestBilling::start(&url).await;
        let balance = billing.person("anna").balance().await.expect("reads");
        assert_eq!((balance.available, balance.plan.as_str()), (600_000, "free"));
        assert_eq!((balance.held, balance.debt, balance.spent_in_window), (0, 0, 0));
        assert!(balance.has_access && !balance.frozen);
        assert_eq!(balance.grants.len(), 1);
        let grant = &balance.grants[0];
        assert_eq!((grant.origin(), grant.note.as_str()), (pb::GrantOrigin::Plan, "free"));
        assert_eq!(grant.expire_time, balance.window_end);
    }

    async fn usage_is_seen_and_exported(url: DatabaseUrl) {
        let billing = TestBilling::start(&url).await;
        let (ledger, mut anna) = (billing.ledger("anna"), billing.person("anna"));
        let job = Uuid::now_v7();
        ledger.hold(&[(job, 24)]).await.expect("holds");
        ledger.capture(job, 1, None).await.expect("captures");
        let usage = anna.client.get_usage(anna.request(pb::GetUsageRequest::default())).await;
        let usage = usage.expect("reads").into_inner();
        assert_eq!((usage.credits, usage.usage.len()), (1500, 1));
        assert_eq!((usage.usage[0].clips, usage.usage[0].model.as_str()), (1, "tiny"));
        let mut message = pb::ExportUsageRequest::default();
        message.set_format(pb::ExportFormat::Json);
        let export = anna.client.export_usage(anna.request(message)).await;
        let mut export = export.expect("exports").into_inner();
        let mut file = Vec::new();
        while let Some(answer) = export.message().await.expect("a chunk") {
            file.extend(answer.chunk);
        }
        let line: serde_json::Value = serde_json::from_slice(&file).expect("a line");
        assert_eq!((&line["credits"], &line["seconds"]), (&1500.into(), &1.5.into()));
        let message = pb::GetUsageRequest { from_day: "never".to_owned(), ..Default::default() };
        let refused = anna.client.get_usage(anna.request(message)).await.expect_err("refused");
        assert_eq!(reason(&refused), "DAYS_INVALID");
        let message = pb::ExportUsageRequest { format: 9, ..Default::default() };
        let refused = anna.client.export_usage(anna.request(message)).await.expect_err("refused");
        assert_eq!(reason(&refused), "FIELD_INVALID");
    }

    async fn what_belongs_to_others_is_not_seen(url: DatabaseUrl) {
        let billing = TestBilling::start(&url).await;
        let (ledger, mut ben) = (billing.ledger("anna"), billing.person("ben"));
        let jobs: Vec<(Uuid, u32)> = (0..3).map(|_| (Uuid::now_v7(), 16)).collect();
        ledger.hold(&jobs).await.expect("holds");
        assert_eq!(ben.transactions(&jobs[0].0.to_string()).await.expect("reads"), []);
        let mut anna = billing.person("anna");
        let page = pb::ListTransactionsRequest { page_size: 2, ..Default::default() };
        let page = anna.client.list_transactions(anna.request(page)).await.expect("reads");
        let message = pb::ListTransactionsRequest {
            page_size: 2,
            page_token: page.into_inner().next_page_token,
            job_id: String::new(),
        };
        assert_ne!(message.page_token, "");
        let refused = ben.client.list_transactions(ben.request(message.clone())).await.expect_err("refused");
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, "PAGE_TOKEN_INVALID"));
        let rest = anna.client.list_transactions(anna.request(message)).await.expect("reads");
        assert_eq!(rest.into_inner().transactions.len(), 2);
    }
}
