//! The accounts service's options.

use clap::{ArgAction, Args};
use kinora_mesh::secret::Secret;
use kinora_mesh::withheld::Withheld;
use kinora_store::DatabaseUrl;

/// How the accounts service runs.
#[derive(Args, Clone, Debug)]
pub struct AccountsOptions {
    /// The database: `sqlite://PATH` or `postgres://USER:PASSWORD@HOST:PORT/NAME`.
    #[arg(
        id = "accounts_database",
        long = "accounts-database",
        env = "KINORA_ACCOUNTS_DATABASE",
        default_value = "sqlite://kinora-accounts.db",
        hide_env_values = true,
        value_parser = Withheld::<DatabaseUrl>::new()
    )]
    pub database: DatabaseUrl,
    /// Whether the schema is brought up to date at the start.
    #[arg(
        id = "accounts_migrate",
        long = "accounts-migrate",
        env = "KINORA_ACCOUNTS_MIGRATE",
        default_value_t = true,
        action = ArgAction::Set
    )]
    pub migrate: bool,
    /// The key under which secrets are sealed in the database: 32 random bytes in hexadecimal. All replicas have the
    /// same; who loses it loses signing keys and second factors.
    #[arg(
        id = "accounts_sealing_key",
        long = "accounts-sealing-key",
        env = "KINORA_ACCOUNTS_SEALING_KEY",
        hide_env_values = true
    )]
    pub sealing_key: Secret,
    /// The name of this platform in its tokens (`iss`).
    #[arg(
        id = "token_issuer",
        long = "token-issuer",
        env = "KINORA_TOKEN_ISSUER",
        default_value = "kinora"
    )]
    pub issuer: String,
    /// The web address at which people reach the platform: links in mails begin with it.
    #[arg(
        id = "accounts_public_url",
        long = "accounts-public-url",
        env = "KINORA_ACCOUNTS_PUBLIC_URL",
        default_value = "http://127.0.0.1:8080"
    )]
    pub public_url: String,
    /// Whether people who are verified to be of age may make adult content.
    #[arg(
        id = "adult_content",
        long = "adult-content",
        env = "KINORA_ADULT_CONTENT",
        default_value_t = false,
        action = ArgAction::Set
    )]
    pub adult_content: bool,
    /// Where people go to have their age verified, with `{flow}` in the place of the token that the verifier sends back:
    /// `https://verifier.example/start?session={flow}`. None for no verifier.
    #[arg(
        id = "age_verifier_url",
        long = "age-verifier-url",
        env = "KINORA_AGE_VERIFIER_URL"
    )]
    pub age_verifier_url: Option<String>,
    /// The secret under which the verifier signs its calls: at least 32 bytes.
    #[arg(
        id = "age_verifier_secret",
        long = "age-verifier-secret",
        env = "KINORA_AGE_VERIFIER_SECRET",
        hide_env_values = true
    )]
    pub age_verifier_secret: Option<Secret>,
    /// By which name it is remembered who verified an age.
    #[arg(
        id = "age_verifier_name",
        long = "age-verifier-name",
        env = "KINORA_AGE_VERIFIER_NAME",
        default_value = "verifier"
    )]
    pub age_verifier_name: String,
}

impl AccountsOptions {
    /// The defaults, on a database and with a sealing key of 64 hexadecimal digits.
    #[must_use]
    pub fn new(database: DatabaseUrl, sealing_key: Secret) -> Self {
        Self {
            database,
            migrate: true,
            sealing_key,
            issuer: "kinora".to_owned(),
            public_url: "http://127.0.0.1:8080".to_owned(),
            adult_content: false,
            age_verifier_url: None,
            age_verifier_secret: None,
            age_verifier_name: "verifier".to_owned(),
        }
    }
}
