//! The options of what may be generated.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args};
use humantime::parse_duration;
use kinora_mesh::secret::Secret;
use kinora_mesh::withheld::Withheld;

const ENDPOINT_TIMEOUT: Duration = Duration::from_secs(3);

/// What may be generated, and who says so.
#[derive(Args, Clone, Debug)]
pub struct ModerationOptions {
    /// The policy (TOML). What it does not say is as in the built-in one, which docs/moderation.md explains.
    #[arg(
        id = "moderation_policy",
        long = "moderation-policy",
        env = "KINORA_MODERATION_POLICY"
    )]
    pub policy: Option<PathBuf>,
    /// Whether adults whose age was verified may have sexual content. Nobody else may, whatever is set here.
    #[arg(
        long = "adult-content",
        env = "KINORA_ADULT_CONTENT",
        default_value_t = false,
        action = ArgAction::Set
    )]
    pub adult_content: bool,
    /// The folder of the sentence model (MiniLM) that the classifier reads. Without one words and patterns decide alone.
    #[arg(
        id = "moderation_model",
        long = "moderation-model",
        env = "KINORA_MODERATION_MODEL"
    )]
    pub model: Option<PathBuf>,
    /// Somebody else's moderation beside one's own, in OpenAI's dialect: the URL before `/moderations`. It can only make
    /// verdicts stricter, and while it is away nothing passes.
    #[arg(
        id = "moderation_endpoint",
        long = "moderation-endpoint",
        env = "KINORA_MODERATION_ENDPOINT"
    )]
    pub endpoint: Option<String>,
    /// The model that is named to it.
    #[arg(
        id = "moderation_endpoint_model",
        long = "moderation-endpoint-model",
        env = "KINORA_MODERATION_ENDPOINT_MODEL",
        default_value = ""
    )]
    pub endpoint_model: String,
    /// The key that it wants.
    #[arg(
        id = "moderation_api_key",
        long = "moderation-api-key",
        env = "KINORA_MODERATION_API_KEY",
        hide_env_values = true,
        value_parser = Withheld::<Secret>::new()
    )]
    pub api_key: Option<Secret>,
    /// How long it is waited for.
    #[arg(
        id = "moderation_endpoint_timeout",
        long = "moderation-endpoint-timeout",
        env = "KINORA_MODERATION_ENDPOINT_TIMEOUT",
        default_value = "3s",
        value_parser = parse_duration
    )]
    pub endpoint_timeout: Duration,
}

impl Default for ModerationOptions {
    fn default() -> Self {
        Self {
            policy: None,
            adult_content: false,
            model: None,
            endpoint: None,
            endpoint_model: String::new(),
            api_key: None,
            endpoint_timeout: ENDPOINT_TIMEOUT,
        }
    }
}
