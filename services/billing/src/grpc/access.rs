//! Who may call what.

use std::sync::Arc;

use kinora_access::{
    Access, Authenticator, GrpcTrust, Rule, RulesError, Scope, TrustKeeper, Verifier,
};
use kinora_mesh::workload::Workload;
use kinora_proto::DESCRIPTORS;
use kinora_proto::billing::v1::{
    admin_service_server, billing_service_server, ledger_service_server, payment_service_server,
};
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

/// All services, by their full names.
pub const SERVICES: [&str; 4] = [
    ledger_service_server::SERVICE_NAME,
    billing_service_server::SERVICE_NAME,
    payment_service_server::SERVICE_NAME,
    admin_service_server::SERVICE_NAME,
];

/// How the tokens name this service among those they are for.
const AUDIENCE: &str = "billing";

/// Who brings people's calls.
const FRONT: &[&str] = &["edge", "operator"];

/// Who has jobs.
const JOBS: &[&str] = &["scheduler"];

/// Who brings what Stripe says.
const EDGE: &[&str] = &["edge"];

const READ: Scope = Scope::VideosRead;
const WRITE: Scope = Scope::VideosWrite;
const ACCOUNT: Scope = Scope::Account;
const ADMIN: Scope = Scope::Admin;

const RULES: [Rule; 43] = [
    Rule::user("/kinora.billing.v1.LedgerService/Estimate", JOBS, WRITE),
    Rule::user("/kinora.billing.v1.LedgerService/Hold", JOBS, WRITE),
    Rule::nobody("/kinora.billing.v1.LedgerService/Capture", JOBS),
    Rule::nobody("/kinora.billing.v1.LedgerService/Release", JOBS),
    Rule::nobody("/kinora.billing.v1.LedgerService/RenewHolds", JOBS),
    Rule::nobody("/kinora.billing.v1.LedgerService/ListOpenHolds", JOBS),
    // Programs may look whether they can go on.
    Rule::user("/kinora.billing.v1.BillingService/GetBalance", FRONT, READ),
    Rule::user(
        "/kinora.billing.v1.BillingService/ListTransactions",
        FRONT,
        ACCOUNT,
    ),
    Rule::user("/kinora.billing.v1.BillingService/GetUsage", FRONT, ACCOUNT),
    Rule::user(
        "/kinora.billing.v1.BillingService/ExportUsage",
        FRONT,
        ACCOUNT,
    ),
    Rule::nobody("/kinora.billing.v1.BillingService/GetPriceBook", FRONT),
    Rule::nobody("/kinora.billing.v1.BillingService/ListPlans", FRONT),
    Rule::user(
        "/kinora.billing.v1.BillingService/SetSpendCap",
        FRONT,
        ACCOUNT,
    )
    .freshly(),
    Rule::user(
        "/kinora.billing.v1.BillingService/ListSpendAlerts",
        FRONT,
        ACCOUNT,
    ),
    Rule::user(
        "/kinora.billing.v1.BillingService/RedeemVoucher",
        FRONT,
        ACCOUNT,
    ),
    Rule::user(
        "/kinora.billing.v1.BillingService/ListRedemptions",
        FRONT,
        ACCOUNT,
    ),
    Rule::nobody("/kinora.billing.v1.PaymentService/ListPacks", FRONT),
    Rule::user(
        "/kinora.billing.v1.PaymentService/CreateCheckout",
        FRONT,
        ACCOUNT,
    ),
    Rule::user(
        "/kinora.billing.v1.PaymentService/GetCheckout",
        FRONT,
        ACCOUNT,
    ),
    Rule::user(
        "/kinora.billing.v1.PaymentService/CreatePortal",
        FRONT,
        ACCOUNT,
    ),
    Rule::user(
        "/kinora.billing.v1.PaymentService/ListSubscriptions",
        FRONT,
        ACCOUNT,
    ),
    Rule::user(
        "/kinora.billing.v1.PaymentService/ListReceipts",
        FRONT,
        ACCOUNT,
    ),
    // Its signature says whose it is.
    Rule::nobody(
        "/kinora.billing.v1.PaymentService/ReceiveStripeWebhook",
        EDGE,
    ),
    // What moves money, or may, wants credentials of the last ten minutes; the key of an operator shows none.
    Rule::user(
        "/kinora.billing.v1.AdminService/CreateCampaign",
        FRONT,
        ADMIN,
    )
    .freshly_in_sessions(),
    Rule::user(
        "/kinora.billing.v1.AdminService/ListCampaigns",
        FRONT,
        ADMIN,
    ),
    Rule::user("/kinora.billing.v1.AdminService/ListVouchers", FRONT, ADMIN),
    Rule::user(
        "/kinora.billing.v1.AdminService/DisableCampaign",
        FRONT,
        ADMIN,
    )
    .freshly_in_sessions(),
    Rule::user(
        "/kinora.billing.v1.AdminService/DisableVoucher",
        FRONT,
        ADMIN,
    )
    .freshly_in_sessions(),
    Rule::user(
        "/kinora.billing.v1.AdminService/ExportRedemptions",
        FRONT,
        ADMIN,
    ),
    Rule::user("/kinora.billing.v1.AdminService/GetPayer", FRONT, ADMIN),
    Rule::user(
        "/kinora.billing.v1.AdminService/ListTransactionsOf",
        FRONT,
        ADMIN,
    ),
    Rule::user("/kinora.billing.v1.AdminService/Adjust", FRONT, ADMIN).freshly_in_sessions(),
    Rule::user("/kinora.billing.v1.AdminService/Refund", FRONT, ADMIN).freshly_in_sessions(),
    Rule::user("/kinora.billing.v1.AdminService/SetFrozen", FRONT, ADMIN).freshly_in_sessions(),
    Rule::user("/kinora.billing.v1.AdminService/SetPlan", FRONT, ADMIN).freshly_in_sessions(),
    Rule::user(
        "/kinora.billing.v1.AdminService/PublishPriceBook",
        FRONT,
        ADMIN,
    )
    .freshly_in_sessions(),
    Rule::user("/kinora.billing.v1.AdminService/SetWindow", FRONT, ADMIN).freshly_in_sessions(),
    Rule::user("/kinora.billing.v1.AdminService/CheckLedger", FRONT, ADMIN),
    Rule::user(
        "/kinora.billing.v1.AdminService/ListReceiptsOf",
        FRONT,
        ADMIN,
    ),
    // Money leaves.
    Rule::user(
        "/kinora.billing.v1.AdminService/RefundReceipt",
        FRONT,
        ADMIN,
    )
    .freshly_in_sessions(),
    Rule::user(
        "/kinora.billing.v1.AdminService/CancelSubscription",
        FRONT,
        ADMIN,
    )
    .freshly_in_sessions(),
    Rule::user(
        "/kinora.billing.v1.AdminService/ReconcilePayments",
        FRONT,
        ADMIN,
    ),
    Rule::user("/kinora.billing.v1.AdminService/ListAudit", FRONT, ADMIN),
];

/// The rules of the workload `own`, for tokens of `issuer` that are checked against what the accounts service says.
///
/// # Errors
/// [`RulesError`] when a method has no rule, or a rule no method.
pub fn access(
    own: Workload,
    issuer: &str,
    accounts: Channel,
    shutdown: CancellationToken,
) -> Result<Access, RulesError> {
    let trust = TrustKeeper::start(Arc::new(GrpcTrust::new(accounts)), shutdown);
    let authenticator = Authenticator::new(Verifier::new(issuer, &[AUDIENCE]), trust);
    Access::new(own, DESCRIPTORS, &SERVICES, &RULES, authenticator)
}
