//! The accounts service's options.

mod mail;

pub use mail::MailOptions;

use std::num::NonZeroUsize;
use std::thread::available_parallelism;

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{ArgAction, Args};
use kinora_mesh::lifecycle::{DrainOptions, ProbeOptions};
use kinora_mesh::secret::Secret;
use kinora_mesh::serve::GrpcOptions;
use kinora_mesh::withheld::Withheld;
use kinora_store::DatabaseUrl;

use crate::domain::providers::{self, ProviderConfig};

use crate::error::Error;

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
    /// The file (TOML) of other providers that may sign people in. Without one there are none.
    #[arg(
        id = "accounts_providers_file",
        long = "accounts-providers-file",
        env = "KINORA_ACCOUNTS_PROVIDERS_FILE"
    )]
    pub providers_file: Option<PathBuf>,
    /// A list of breached passwords, which nobody may choose: upper-case SHA-1 in hexadecimal, a colon and a number, one a line,
    /// sorted, as the public downloader of breached passwords writes it. It may be of any size. Without one only the most
    /// common passwords are refused.
    #[arg(
        id = "breached_passwords",
        long = "breached-passwords",
        env = "KINORA_BREACHED_PASSWORDS"
    )]
    pub breached_passwords: Option<PathBuf>,
    /// Memory of a password hash (argon2id), in KiB.
    #[arg(
        long,
        env = "KINORA_PASSWORD_HASH_MEMORY_KIB",
        default_value_t = PASSWORD_HASH_MEMORY_KIB
    )]
    pub password_hash_memory_kib: u32,
    /// Passes over that memory.
    #[arg(
        long,
        env = "KINORA_PASSWORD_HASH_PASSES",
        default_value_t = PASSWORD_HASH_PASSES
    )]
    pub password_hash_passes: u32,
    /// How many passwords are hashed at a time. As many as there are cores when unset.
    #[arg(long, env = "KINORA_PASSWORD_HASH_SLOTS")]
    pub password_hash_slots: Option<NonZeroUsize>,
    /// The mail address of the first operator, who is made at the start when the platform has none.
    #[arg(
        long,
        env = "KINORA_FIRST_OPERATOR_EMAIL",
        requires = "first_operator_password"
    )]
    pub first_operator_email: Option<String>,
    /// The password of the first operator.
    #[arg(
        long,
        env = "KINORA_FIRST_OPERATOR_PASSWORD",
        hide_env_values = true,
        requires = "first_operator_email"
    )]
    pub first_operator_password: Option<Secret>,
    /// An API key of the first operator, made beforehand. It may do everything that a key of an operator may.
    #[arg(
        long,
        env = "KINORA_FIRST_OPERATOR_API_KEY",
        hide_env_values = true,
        requires = "first_operator_email"
    )]
    pub first_operator_api_key: Option<Secret>,
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
    /// How mails leave.
    #[command(flatten)]
    pub mail: MailOptions,
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

/// The floor that OWASP gives for argon2id.
const PASSWORD_HASH_MEMORY_KIB: u32 = 19 * 1024;

/// Where mails go when nothing else is said.
const MAIL_FOLDER: &str = "kinora-mails";

/// Belongs to that memory.
const PASSWORD_HASH_PASSES: u32 = 2;

/// Who is to be the first operator.
pub(crate) struct FirstOperator<'a> {
    pub(crate) email: &'a str,
    pub(crate) password: &'a Secret,
}

impl AccountsOptions {
    /// Reads the file of other providers, by name.
    ///
    /// # Errors
    /// [`Error::Options`] when it cannot be read or makes no sense.
    pub(crate) fn providers(&self) -> Result<BTreeMap<String, ProviderConfig>, Error> {
        let Some(path) = &self.providers_file else {
            return Ok(BTreeMap::new());
        };
        let text = std::fs::read_to_string(path)
            .map_err(|error| Error::Options(format!("{}: {error}", path.display())))?;
        providers::parse(&text, |path| std::fs::read_to_string(path))
            .map_err(|error| Error::Options(kinora_mesh::error::chain(&error)))
    }

    /// The defaults, on a database and with a sealing key of 64 hexadecimal digits. Mails go into a folder where the process
    /// runs.
    #[must_use]
    pub fn new(database: DatabaseUrl, sealing_key: Secret) -> Self {
        Self {
            database,
            migrate: true,
            sealing_key,
            issuer: "kinora".to_owned(),
            public_url: "http://127.0.0.1:8080".to_owned(),
            providers_file: None,
            breached_passwords: None,
            password_hash_memory_kib: PASSWORD_HASH_MEMORY_KIB,
            password_hash_passes: PASSWORD_HASH_PASSES,
            password_hash_slots: None,
            first_operator_email: None,
            first_operator_password: None,
            first_operator_api_key: None,
            adult_content: false,
            age_verifier_url: None,
            age_verifier_secret: None,
            age_verifier_name: "verifier".to_owned(),
            mail: MailOptions::to_folder(MAIL_FOLDER),
            grpc: GrpcOptions::default(),
            probes: ProbeOptions::default(),
            drain: DrainOptions::default(),
        }
    }

    pub(crate) fn password_hash_slots(&self) -> usize {
        let cores = || available_parallelism().map_or(1, NonZeroUsize::get);
        self.password_hash_slots
            .map_or_else(cores, NonZeroUsize::get)
    }

    /// Who is to be the first operator, if anybody.
    pub(crate) fn first_operator(&self) -> Result<Option<FirstOperator<'_>>, Error> {
        match (&self.first_operator_email, &self.first_operator_password) {
            (None, None) => Ok(None),
            (Some(email), Some(password)) => Ok(Some(FirstOperator { email, password })),
            _ => Err(Error::Options(
                "the first operator has an address and a password".to_owned(),
            )),
        }
    }
}
