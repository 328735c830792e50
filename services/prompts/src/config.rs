//! The prompts service's options.

pub mod llm;
pub mod moderation;

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, ValueEnum};
use humantime::parse_duration;
use kinora_mesh::lifecycle::{DrainOptions, ProbeOptions};
use kinora_mesh::serve::GrpcOptions;
use kinora_mesh::withheld::Withheld;
use kinora_store::DatabaseUrl;

use self::llm::LlmOptions;
use self::moderation::ModerationOptions;

const DEFAULT_ACCOUNTS_ENDPOINT: &str = "http://127.0.0.1:7003";
const DEFAULT_TOKEN_ISSUER: &str = "kinora";

/// A person waits for it.
const PREPARE_TIMEOUT: Duration = Duration::from_secs(8);

/// Results of a few kilobytes each.
const CACHED_PROMPTS: usize = 4_096;

/// Who rewrites prompts where the caller leaves it to the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DefaultEnhancer {
    /// The language model where there is one, else the rules.
    Auto,
    /// The rules, also where there is a language model.
    Rules,
}

/// How prompts are judged and rewritten.
#[derive(Args, Clone, Debug)]
pub struct PromptingOptions {
    /// How long a prompt may take in all. What is not rewritten by then passes as it came.
    #[arg(
        id = "prompts_timeout",
        long = "prepare-timeout",
        env = "KINORA_PREPARE_TIMEOUT",
        default_value = "8s",
        value_parser = parse_duration
    )]
    pub timeout: Duration,
    /// Who rewrites prompts where the caller says `auto`.
    #[arg(
        id = "prompts_enhancer",
        long = "enhancer",
        env = "KINORA_ENHANCER",
        value_enum,
        default_value = "auto"
    )]
    pub enhancer: DefaultEnhancer,
    /// A folder of templates (TOML) that stand instead of the built-in ones of the same names. docs/prompts.md has them.
    #[arg(
        id = "prompts_templates",
        long = "prompt-templates",
        env = "KINORA_PROMPT_TEMPLATES"
    )]
    pub templates: Option<PathBuf>,
    /// The tokenizer of a family, to count its tokens exactly: `FAMILY=PATH`, such as `wan=/models/umt5/tokenizer.json`.
    /// May be given several times. Without one its tokens are estimated.
    #[arg(
        id = "prompts_tokenizers",
        long = "family-tokenizer",
        env = "KINORA_FAMILY_TOKENIZERS",
        value_delimiter = ',',
        value_name = "FAMILY=PATH"
    )]
    pub tokenizers: Vec<String>,
    /// How many results are kept in memory. 0 for none.
    #[arg(
        id = "prompts_cached",
        long = "cached-prompts",
        env = "KINORA_CACHED_PROMPTS",
        default_value_t = CACHED_PROMPTS
    )]
    pub cached: usize,
    /// What may be generated.
    #[command(flatten)]
    pub moderation: ModerationOptions,
    /// The language model.
    #[command(flatten)]
    pub llm: LlmOptions,
}

impl Default for PromptingOptions {
    fn default() -> Self {
        Self {
            timeout: PREPARE_TIMEOUT,
            enhancer: DefaultEnhancer::Auto,
            templates: None,
            tokenizers: Vec::new(),
            cached: CACHED_PROMPTS,
            moderation: ModerationOptions::default(),
            llm: LlmOptions::default(),
        }
    }
}

/// How the prompts service runs.
#[derive(Args, Clone, Debug)]
pub struct PromptsOptions {
    /// The database of prompts that wait for review: `sqlite://PATH` or `postgres://USER:PASSWORD@HOST:PORT/NAME`.
    #[arg(
        id = "prompts_database",
        long = "prompts-database",
        env = "KINORA_PROMPTS_DATABASE",
        default_value = "sqlite://kinora-prompts.db",
        hide_env_values = true,
        value_parser = Withheld::<DatabaseUrl>::new()
    )]
    pub database: DatabaseUrl,
    /// Whether the schema is brought up to date at the start.
    #[arg(
        id = "prompts_migrate",
        long = "prompts-migrate",
        env = "KINORA_PROMPTS_MIGRATE",
        default_value_t = true,
        action = ArgAction::Set
    )]
    pub migrate: bool,
    /// How prompts are judged and rewritten.
    #[command(flatten)]
    pub prompting: PromptingOptions,
    /// The accounts service, which says what callers' tokens are checked against.
    #[arg(
        id = "prompts_accounts_endpoint",
        long = "accounts-endpoint",
        env = "KINORA_ACCOUNTS_ENDPOINT",
        default_value = DEFAULT_ACCOUNTS_ENDPOINT
    )]
    pub accounts_endpoint: String,
    /// Who signs the tokens of callers.
    #[arg(
        id = "prompts_token_issuer",
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

impl PromptsOptions {
    /// The defaults, on a database.
    #[must_use]
    pub fn new(database: DatabaseUrl) -> Self {
        Self {
            database,
            migrate: true,
            prompting: PromptingOptions::default(),
            accounts_endpoint: DEFAULT_ACCOUNTS_ENDPOINT.to_owned(),
            token_issuer: DEFAULT_TOKEN_ISSUER.to_owned(),
            grpc: GrpcOptions::default(),
            probes: ProbeOptions::default(),
            drain: DrainOptions::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        prompts: PromptsOptions,
    }

    #[test]
    fn what_is_not_given_is_as_new_makes_it() {
        let url: DatabaseUrl = "sqlite://kinora-prompts.db".parse().unwrap();
        let made = PromptsOptions::new(url);
        let given = Program::try_parse_from(["prompts"]).unwrap().prompts;
        assert_eq!(format!("{given:?}"), format!("{made:?}"));
    }

    #[test]
    fn secrets_are_not_shown() {
        let given = [
            "prompts",
            "--llm-endpoint",
            "http://localhost/v1",
            "--llm-api-key",
            "hunter2",
            "--moderation-api-key",
            "hunter3",
            "--moderation-endpoint",
            "http://localhost/v1",
        ];
        let given = Program::try_parse_from(given).unwrap().prompts;
        let shown = format!("{given:?}");
        assert!(!shown.contains("hunter"), "{shown}");
    }
}
