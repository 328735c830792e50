//! Methods that may be called twice: they read, or what they make twice is as good as once. Each takes a single request.
//!
//! A call that came to nothing is sent again for these alone, unless it was not sent at all. What changes something is
//! sent once, also where the service would know a second one by its key: whether it is sent again is the client's to say.

/// Of the scheduler.
pub const SCHEDULER: &[&str] = &[
    "/kinora.scheduler.v1.AdminService/GetTenant",
    "/kinora.scheduler.v1.AdminService/ListDeadLetters",
    "/kinora.scheduler.v1.AdminService/ListQueues",
    "/kinora.scheduler.v1.AdminService/ListWorkers",
    "/kinora.scheduler.v1.VideoService/EstimateVideo",
    "/kinora.scheduler.v1.VideoService/FindContent",
    "/kinora.scheduler.v1.VideoService/GetGroup",
    "/kinora.scheduler.v1.VideoService/GetVideo",
    "/kinora.scheduler.v1.VideoService/ListModels",
    "/kinora.scheduler.v1.VideoService/ListVideos",
    "/kinora.scheduler.v1.VideoService/WatchGroup",
    "/kinora.scheduler.v1.VideoService/WatchVideo",
    "/kinora.scheduler.v1.WebhookService/GetWebhook",
    "/kinora.scheduler.v1.WebhookService/ListDeliveries",
    "/kinora.scheduler.v1.WebhookService/ListWebhooks",
];

/// Of the accounts service. A key that is exchanged twice gives two tokens, which end soon.
pub const ACCOUNTS: &[&str] = &[
    "/kinora.accounts.v1.AdminService/GetUserById",
    "/kinora.accounts.v1.AdminService/ListAllOrganisations",
    "/kinora.accounts.v1.AdminService/ListAudit",
    "/kinora.accounts.v1.AdminService/ListKeysOf",
    "/kinora.accounts.v1.AdminService/ListSigningKeys",
    "/kinora.accounts.v1.AdminService/ListTerms",
    "/kinora.accounts.v1.AdminService/ListUsers",
    "/kinora.accounts.v1.AuthService/ExchangeApiKey",
    "/kinora.accounts.v1.AuthService/ListProviders",
    "/kinora.accounts.v1.KeyService/ListApiKeys",
    "/kinora.accounts.v1.KeyService/ListServiceAccounts",
    "/kinora.accounts.v1.OrganisationService/GetOrganisation",
    "/kinora.accounts.v1.OrganisationService/ListInvitations",
    "/kinora.accounts.v1.OrganisationService/ListMembers",
    "/kinora.accounts.v1.OrganisationService/ListOrganisations",
    "/kinora.accounts.v1.UserService/GetTerms",
    "/kinora.accounts.v1.UserService/GetUser",
    "/kinora.accounts.v1.UserService/ListActivity",
    "/kinora.accounts.v1.UserService/ListPasskeys",
    "/kinora.accounts.v1.UserService/ListSessions",
    "/kinora.accounts.v1.UserService/ListTermsAcceptances",
];

/// Of the billing service.
pub const BILLING: &[&str] = &[
    "/kinora.billing.v1.AdminService/GetPayer",
    "/kinora.billing.v1.AdminService/ListCampaigns",
    "/kinora.billing.v1.AdminService/ListReceiptsOf",
    "/kinora.billing.v1.AdminService/ListTransactionsOf",
    "/kinora.billing.v1.AdminService/ListVouchers",
    "/kinora.billing.v1.BillingService/GetBalance",
    "/kinora.billing.v1.BillingService/GetPriceBook",
    "/kinora.billing.v1.BillingService/GetUsage",
    "/kinora.billing.v1.BillingService/ListPlans",
    "/kinora.billing.v1.BillingService/ListRedemptions",
    "/kinora.billing.v1.BillingService/ListSpendAlerts",
    "/kinora.billing.v1.BillingService/ListTransactions",
    "/kinora.billing.v1.PaymentService/GetCheckout",
    "/kinora.billing.v1.PaymentService/ListPacks",
    "/kinora.billing.v1.PaymentService/ListReceipts",
    "/kinora.billing.v1.PaymentService/ListSubscriptions",
];

/// Of the prompts service.
pub const PROMPTS: &[&str] = &[
    "/kinora.prompts.v1.PromptService/GetPolicy",
    "/kinora.prompts.v1.ReviewService/GetReview",
    "/kinora.prompts.v1.ReviewService/ListReviews",
];

#[cfg(test)]
mod tests {
    use prost::Message;
    use prost_types::{FileDescriptorSet, MethodDescriptorProto};

    use super::*;

    /// Every method, by its path.
    fn methods() -> Vec<(String, MethodDescriptorProto)> {
        let set = FileDescriptorSet::decode(kinora_proto::DESCRIPTORS).unwrap();
        let mut methods = Vec::new();
        for file in &set.file {
            for service in &file.service {
                for method in &service.method {
                    let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                    methods.push((path, method.clone()));
                }
            }
        }
        methods
    }

    #[test]
    fn each_is_a_method_of_the_contracts_that_takes_a_single_request() {
        let methods = methods();
        for safe in SCHEDULER.iter().chain(ACCOUNTS).chain(BILLING) {
            let found = methods.iter().find(|(path, _)| path == safe);
            let (_, method) = found.unwrap_or_else(|| panic!("{safe} is no method"));
            assert!(!method.client_streaming(), "{safe}");
        }
    }

    #[test]
    fn names_of_contracts_say_what_reads() {
        for safe in SCHEDULER.iter().chain(ACCOUNTS).chain(BILLING) {
            let (_, name) = safe.rsplit_once('/').unwrap();
            let reads = ["Get", "List", "Watch", "Estimate", "Find", "ExchangeApiKey"];
            assert!(reads.iter().any(|read| name.starts_with(read)), "{safe}");
        }
    }
}
