//! The billing service's options.

pub mod payments;

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args};
use humantime::parse_duration;
use kinora_mesh::lifecycle::{DrainOptions, ProbeOptions};
use kinora_mesh::serve::GrpcOptions;
use kinora_mesh::withheld::Withheld;
use kinora_store::DatabaseUrl;

use self::payments::PaymentOptions;
use crate::domain::plan::Plans;
use crate::domain::voucher_code::VoucherKey;
use crate::error::Error;

const DEFAULT_ACCOUNTS_ENDPOINT: &str = "http://127.0.0.1:7003";

const DEFAULT_TOKEN_ISSUER: &str = "kinora";

const DEFAULT_PLAN: &str = "free";

/// The scheduler renews holds of jobs that go on many times within it.
const HOLD_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// The plans of a platform that names no others.
const BUILT_IN_PLANS: &str = include_str!("../data/plans.toml");

/// How the billing service runs.
#[derive(Args, Clone, Debug)]
pub struct BillingOptions {
    /// The database: `sqlite://PATH` or `postgres://USER:PASSWORD@HOST:PORT/NAME`.
    #[arg(
        id = "billing_database",
        long = "billing-database",
        env = "KINORA_BILLING_DATABASE",
        default_value = "sqlite://kinora-billing.db",
        hide_env_values = true,
        value_parser = Withheld::<DatabaseUrl>::new()
    )]
    pub database: DatabaseUrl,
    /// Whether the schema is brought up to date at the start.
    #[arg(
        id = "billing_migrate",
        long = "billing-migrate",
        env = "KINORA_BILLING_MIGRATE",
        default_value_t = true,
        action = ArgAction::Set
    )]
    pub migrate: bool,
    /// The key under which codes of vouchers are kept: 32 random bytes in hexadecimal. All replicas have the same; with
    /// another one no code that was made before is known.
    #[arg(
        id = "billing_voucher_key",
        long = "voucher-key",
        env = "KINORA_VOUCHER_KEY",
        hide_env_values = true,
        value_parser = Withheld::<VoucherKey>::new()
    )]
    pub voucher_key: VoucherKey,
    /// The file (TOML) of plans. Without one there are those that docs/billing.md lists.
    #[arg(id = "billing_plans", long = "plans", env = "KINORA_BILLING_PLANS")]
    pub plans_file: Option<PathBuf>,
    /// The plan of everybody who has no other. It may not cost anything.
    #[arg(
        id = "billing_default_plan",
        long = "default-plan",
        env = "KINORA_BILLING_DEFAULT_PLAN",
        default_value = DEFAULT_PLAN
    )]
    pub default_plan: String,
    /// Whether people need a voucher, or a plan that says so, before they may generate.
    #[arg(
        id = "billing_require_access",
        long = "require-access",
        env = "KINORA_BILLING_REQUIRE_ACCESS",
        default_value_t = false,
        action = ArgAction::Set
    )]
    pub require_access: bool,
    /// How long credits stay set aside for a job that nobody settles or renews.
    #[arg(
        id = "billing_hold_lifetime",
        long = "hold-lifetime",
        env = "KINORA_BILLING_HOLD_LIFETIME",
        default_value = "24h",
        value_parser = parse_duration
    )]
    pub hold_lifetime: Duration,
    /// Whether and how people pay.
    #[command(flatten)]
    pub payments: PaymentOptions,
    /// The accounts service, which says what callers' tokens are checked against.
    #[arg(
        id = "billing_accounts_endpoint",
        long = "accounts-endpoint",
        env = "KINORA_ACCOUNTS_ENDPOINT",
        default_value = DEFAULT_ACCOUNTS_ENDPOINT
    )]
    pub accounts_endpoint: String,
    /// Who signs the tokens of callers.
    #[arg(
        id = "billing_token_issuer",
        long = "token-issuer",
        env = "KINORA_TOKEN_ISSUER",
        default_value = DEFAULT_TOKEN_ISSUER
    )]
    pub token_issuer: String,
    /// How calls are answered.
    #[command(flatten)]
    pub grpc: GrpcOptions,
    /// Where the service says how it is.
    #[command(flatten)]
    pub probes: ProbeOptions,
    /// How it leaves.
    #[command(flatten)]
    pub drain: DrainOptions,
}

impl BillingOptions {
    /// The defaults, on a database and with a key for vouchers.
    #[must_use]
    pub fn new(database: DatabaseUrl, voucher_key: VoucherKey) -> Self {
        Self {
            database,
            migrate: true,
            voucher_key,
            plans_file: None,
            default_plan: DEFAULT_PLAN.to_owned(),
            require_access: false,
            hold_lifetime: HOLD_LIFETIME,
            payments: PaymentOptions::default(),
            accounts_endpoint: DEFAULT_ACCOUNTS_ENDPOINT.to_owned(),
            token_issuer: DEFAULT_TOKEN_ISSUER.to_owned(),
            grpc: GrpcOptions::default(),
            probes: ProbeOptions::default(),
            drain: DrainOptions::default(),
        }
    }

    /// Reads the plans.
    ///
    /// # Errors
    /// [`Error::Options`] when the file cannot be read or makes no sense.
    pub(crate) fn plans(&self) -> Result<Plans, Error> {
        let (name, text) = match &self.plans_file {
            None => ("the built-in plans".to_owned(), BUILT_IN_PLANS.to_owned()),
            Some(path) => {
                let name = path.display().to_string();
                let text = std::fs::read_to_string(path);
                let text = text.map_err(|error| Error::Options(format!("{name}: {error}")))?;
                (name, text)
            }
        };
        Plans::parse(&text, &self.default_plan)
            .map_err(|problem| Error::Options(format!("{name}: {problem}")))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    const KEY: &str = "4242424242424242424242424242424242424242424242424242424242424242";

    fn key() -> VoucherKey {
        KEY.parse().unwrap()
    }

    #[test]
    fn a_key_that_is_none_is_not_shown() {
        let wrong = Program::try_parse_from(["billing", "--voucher-key", "hunter2"]);
        let said = wrong.err().unwrap().to_string();
        assert!(
            said.contains("--voucher-key") && !said.contains("hunter2"),
            "{said}"
        );
    }

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        billing: BillingOptions,
    }

    #[test]
    fn what_is_not_given_is_as_new_makes_it() {
        let url: DatabaseUrl = "sqlite://kinora-billing.db".parse().unwrap();
        let made = BillingOptions::new(url, key());
        let given = Program::try_parse_from(["billing", "--voucher-key", KEY])
            .unwrap()
            .billing;
        assert_eq!(format!("{given:?}"), format!("{made:?}"));
    }

    #[test]
    fn plan_that_is_not_there_stops_the_service_before_it_writes() {
        let url: DatabaseUrl = "sqlite://kinora-billing.db".parse().unwrap();
        let mut options = BillingOptions::new(url, key());
        assert!(options.plans().is_ok());
        options.default_plan = "gone".to_owned();
        assert!(matches!(options.plans(), Err(Error::Options(_))));
        options.plans_file = Some("/nowhere/plans.toml".into());
        assert!(matches!(options.plans(), Err(Error::Options(_))));
    }
}
