//! Who may call what.

use kinora_access::claims::Role;
use kinora_access::testing::id_of;
use kinora_proto::billing::v1 as pb;
use kinora_proto::billing::v1::admin_service_client::AdminServiceClient;
use kinora_proto::billing::v1::billing_service_client::BillingServiceClient;
use kinora_proto::billing::v1::ledger_service_client::LedgerServiceClient;
use kinora_store::on_both_databases;
use tonic::Status;
use uuid::Uuid;

use crate::harness::{Ledger, Operator, TestBilling, reason, request};

#[track_caller]
fn refused<T>(answer: Result<T, Status>, expected: &str) {
    match answer {
        Err(status) => assert_eq!(reason(&status), expected),
        Ok(_) => panic!("it was done, not {expected}"),
    }
}

/// What becomes of each call that moves money, or may, when it says nothing: the reason of the refusal, or nothing.
async fn money_moves(operator: &Operator) -> Vec<String> {
    fn outcome<T>(answer: Result<T, Status>) -> String {
        answer
            .err()
            .map_or_else(String::new, |status| reason(&status))
    }
    let mut client = operator.client.clone();
    macro_rules! call {
        ($method:ident, $message:ident) => {{
            let message = operator.request(pb::$message::default());
            outcome(client.$method(message).await)
        }};
    }
    vec![
        call!(adjust, AdjustRequest),
        call!(refund, RefundRequest),
        call!(set_frozen, SetFrozenRequest),
        call!(set_plan, SetPlanRequest),
        call!(publish_price_book, PublishPriceBookRequest),
        call!(set_window, SetWindowRequest),
        call!(create_campaign, CreateCampaignRequest),
        call!(disable_campaign, DisableCampaignRequest),
        call!(disable_voucher, DisableVoucherRequest),
    ]
}

on_both_databases! {
    async fn only_the_scheduler_moves_credits_of_jobs(url: DatabaseUrl) {
        let billing = TestBilling::start(&url).await;
        let job = Uuid::now_v7();
        billing.ledger("anna").hold(&[(job, 16)]).await.expect("holds");
        for service in ["edge", "worker", "operator", "accounts", "billing"] {
            let client = LedgerServiceClient::new(billing.channel(service));
            let stranger = Ledger { client, token: billing.issuer.token("anna") };
            refused(stranger.hold(&[(Uuid::now_v7(), 16)]).await, "WORKLOAD_REFUSED");
            refused(stranger.capture(job, 1, None).await, "WORKLOAD_REFUSED");
            refused(stranger.release(job).await, "WORKLOAD_REFUSED");
        }
        for service in ["scheduler", "worker"] {
            let mut people = BillingServiceClient::new(billing.channel(service));
            let message = request(&billing.issuer.token("anna"), pb::GetBalanceRequest {});
            refused(people.get_balance(message).await, "WORKLOAD_REFUSED");
            let mut operators = AdminServiceClient::new(billing.channel(service));
            let token = billing.issuer.sign(&billing.issuer.operator("op"));
            let message = request(&token, pb::CheckLedgerRequest {});
            refused(operators.check_ledger(message).await, "WORKLOAD_REFUSED");
        }
    }

    async fn a_token_must_be_good_and_good_for_it(url: DatabaseUrl) {
        let billing = TestBilling::start(&url).await;
        let mut anna = billing.person("anna");
        let missing = anna.client.get_balance(pb::GetBalanceRequest {}).await;
        refused(missing, "TOKEN_MISSING");
        let mut elsewhere = billing.issuer.claims("anna");
        elsewhere.aud = vec!["scheduler".to_owned()];
        refused(billing.person_with(&elsewhere).balance().await, "TOKEN_INVALID");
        // Programs see the balance, and nothing else of it.
        let mut program = billing.issuer.claims("anna");
        program.scope = "videos:read videos:write".to_owned();
        let program = billing.person_with(&program);
        program.balance().await.expect("reads");
        refused(program.transactions("").await, "SCOPE_MISSING");
        let mut reader = billing.issuer.claims("anna");
        reader.scope = "videos:read".to_owned();
        let ledger = Ledger {
            token: billing.issuer.sign(&reader),
            ..billing.ledger("anna")
        };
        refused(ledger.hold(&[(Uuid::now_v7(), 16)]).await, "SCOPE_MISSING");
        let no_operator = request(&billing.issuer.token("anna"), pb::CheckLedgerRequest {});
        let mut operators = billing.operator().client;
        refused(operators.check_ledger(no_operator).await, "SCOPE_MISSING");
    }

    async fn caps_are_set_by_who_has_just_signed_in_and_may_decide(url: DatabaseUrl) {
        let billing = TestBilling::start(&url).await;
        let cap = pb::SpendCap { hard_credits: Some(5000), soft_credits: Some(4000) };
        let set = async |claims: &kinora_access::Claims| {
            let mut person = billing.person_with(claims);
            let message = person.request(pb::SetSpendCapRequest { cap: Some(cap) });
            person.client.set_spend_cap(message).await
        };
        let mut late = billing.issuer.claims("anna");
        late.auth_time -= 11 * 60;
        refused(set(&late).await, "STEP_UP_REQUIRED");
        let mut member = billing.issuer.claims("acme:anna");
        refused(set(&member).await, "ROLE_INSUFFICIENT");
        member.role = Some(Role::Admin);
        let answer = set(&member).await.expect("sets").into_inner();
        assert_eq!(answer.cap, Some(cap));
        let balance = billing.person("acme:bob").balance().await.expect("reads");
        assert_eq!(balance.cap, Some(cap));
        let own = billing.person("anna").balance().await.expect("reads");
        assert_eq!(own.cap, Some(pb::SpendCap::default()));
    }

    async fn money_is_moved_by_operators_who_have_just_signed_in_and_by_their_keys(url: DatabaseUrl) {
        let billing = TestBilling::start(&url).await;
        let fresh = money_moves(&billing.operator()).await;
        assert!(!fresh.contains(&"STEP_UP_REQUIRED".to_owned()), "{fresh:?}");
        let mut late = billing.issuer.operator("op");
        late.auth_time -= 11 * 60;
        let operator = billing.operator_with(&late);
        assert_eq!(money_moves(&operator).await, ["STEP_UP_REQUIRED"; 9]);
        // Looking is for them as well.
        operator.check().await;
        late.amr = vec!["key".to_owned()];
        assert_eq!(money_moves(&billing.operator_with(&late)).await, fresh);
        let nobody = billing.operator_with(&billing.issuer.claims("anna"));
        assert_eq!(money_moves(&nobody).await, ["SCOPE_MISSING"; 9]);
    }

    async fn prices_and_plans_are_for_everybody(url: DatabaseUrl) {
        let billing = TestBilling::start(&url).await;
        let mut stranger = billing.person("anna").client;
        let book = stranger.get_price_book(pb::GetPriceBookRequest {}).await.expect("reads");
        let book = book.into_inner().price_book.expect("a book");
        assert_eq!((book.version, book.models.len()), (1, 1));
        let plans = stranger.list_plans(pb::ListPlansRequest {}).await.expect("reads");
        let plans = plans.into_inner().plans;
        let names: Vec<&str> = plans.iter().map(|plan| plan.name.as_str()).collect();
        assert_eq!(names, ["free", "creator", "studio"]);
        let prices: Vec<u32> = plans.iter().map(|plan| plan.price_cents).collect();
        assert_eq!(prices, [0, 999, 3999]);
    }

    async fn an_organisation_pays_for_who_acts_for_it(url: DatabaseUrl) {
        let billing = TestBilling::start(&url).await;
        let operator = billing.operator();
        operator.adjust("a", "acme:", 5000).await.expect("gives");
        let job = Uuid::now_v7();
        let hold = &billing.ledger("acme:anna").hold(&[(job, 16)]).await.expect("holds")[0];
        let payer = hold.payer.clone().and_then(|payer| payer.payer);
        assert_eq!(payer, Some(pb::payer::Payer::OrganisationId(id_of("acme").to_string())));
        let group = billing.person("acme:bob").balance().await.expect("reads");
        assert_eq!((group.available, group.held), (4000, 1000));
        let own = billing.person("anna").balance().await.expect("reads");
        assert_eq!((own.available, own.held), (600_000, 0));
        operator.check().await;
        billing.stop().await;
    }
}
