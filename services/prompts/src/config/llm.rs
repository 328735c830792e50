//! The options of the language model.

use std::path::PathBuf;

use clap::Args;
use kinora_mesh::secret::Secret;
use kinora_mesh::withheld::Withheld;

const MAX_TOKENS: u32 = 320;
const QUEUE: usize = 8;

/// Which language model rewrites prompts. Without one the rules do.
#[derive(Args, Clone, Debug)]
pub struct LlmOptions {
    /// A model that runs in this process: a GGUF file, or a folder with `config.json` and safetensors; of the Llama or
    /// Mistral kind.
    #[arg(
        id = "llm_model",
        long = "llm-model",
        env = "KINORA_LLM_MODEL",
        conflicts_with = "llm_endpoint"
    )]
    pub model: Option<PathBuf>,
    /// A server in OpenAI's dialect (vLLM, llama.cpp and others): the URL before `/chat/completions`.
    #[arg(
        id = "llm_endpoint",
        long = "llm-endpoint",
        env = "KINORA_LLM_ENDPOINT"
    )]
    pub endpoint: Option<String>,
    /// The model that is named to it.
    #[arg(
        id = "llm_endpoint_model",
        long = "llm-endpoint-model",
        env = "KINORA_LLM_ENDPOINT_MODEL",
        default_value = ""
    )]
    pub endpoint_model: String,
    /// The key that it wants.
    #[arg(
        id = "llm_api_key",
        long = "llm-api-key",
        env = "KINORA_LLM_API_KEY",
        hide_env_values = true,
        value_parser = Withheld::<Secret>::new()
    )]
    pub api_key: Option<Secret>,
    /// The longest answer, in tokens of the model.
    #[arg(
        id = "llm_max_tokens",
        long = "llm-max-tokens",
        env = "KINORA_LLM_MAX_TOKENS",
        default_value_t = MAX_TOKENS
    )]
    pub max_tokens: u32,
    /// How many prompts wait for the model at most; further ones are rewritten by the rules.
    #[arg(
        id = "llm_queue",
        long = "llm-queue",
        env = "KINORA_LLM_QUEUE",
        default_value_t = QUEUE
    )]
    pub queue: usize,
    /// Threads of the model that runs in this process. 0 for as many as there are cores.
    #[arg(
        id = "llm_threads",
        long = "llm-threads",
        env = "KINORA_LLM_THREADS",
        default_value_t = 0
    )]
    pub threads: usize,
}

impl Default for LlmOptions {
    fn default() -> Self {
        Self {
            model: None,
            endpoint: None,
            endpoint_model: String::new(),
            api_key: None,
            max_tokens: MAX_TOKENS,
            queue: QUEUE,
            threads: 0,
        }
    }
}
