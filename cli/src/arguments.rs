//! The command line. Nothing else reads the environment.

pub mod accounts;
mod admin;
pub mod billing;
mod dates;
mod generate;
mod identity;
pub mod model;
mod models;
pub mod payments;
mod prompts;
mod reproduce;
mod webhooks;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use kinora_billing::config::payments::PaymentOptions;
use kinora_inference::config::EngineOptions;
use kinora_inference::frames::options::FrameOptions;
use kinora_mesh::telemetry::TelemetryOptions;
use kinora_prompts::config::PromptingOptions;
use reqwest::header::HeaderValue;

use crate::mesh::UNLIMITED_PLAN;
use dates::{from_date, until_date};

pub use admin::{AdminArguments, AdminCommand, TenantArguments};
pub use generate::{
    ApproveArguments, BatchArguments, BatchCommand, BatchRunArguments, BatchWatchArguments,
    ClipArguments, EstimateArguments, ExtendArguments, GenerateArguments, GroupArguments,
    RemixArguments, RunArguments, SequenceArguments, SettingsArguments,
};
pub use identity::{IdentityArguments, IdentityCommand, IssueArguments};
pub use models::{
    ListArguments, ModelsArguments, ModelsCommand, PullArguments, RemoveArguments, StoreArguments,
    VerifyArguments,
};
pub use prompts::{
    EnhancementArguments, ModerateArguments, PrepareArguments, PromptsArguments, PromptsCommand,
    ReviewsArguments, ReviewsCommand,
};
pub use reproduce::ReproduceArguments;
pub use webhooks::{
    AddWebhookArguments, UpdateWebhookArguments, WebhooksArguments, WebhooksCommand,
};

const EXAMPLES: &str = "\
Examples:
  kinora generate \"a red circle moves right on a black background\" -o clip.mp4
      draws a clip on this machine; uses the mesh that runs, else starts one for the call
  kinora up
      keeps a mesh serving on http://127.0.0.1:8080
  kinora jobs --state queued,in_progress
      lists what was asked for and has not ended, newest first
  kinora generate \"a red star\" \"a blue star\" --seeds 4 -o stars.mp4
      draws eight clips in one go
  kinora sequence \"a ball rolls in\" \"the ball rolls out\" -o ball.mp4
      draws a longer clip, segment by segment
  kinora generate --enhance \"Red ball going to the right\"
      has the prompt rewritten for the model, and shows both
  kinora models pull wan2.1-t2v-1.3b
      fetches a model, which the next `kinora up` offers
  kinora generate \"a blue star\" --server https://video.example.org --api-key-file key
      draws on a mesh elsewhere
  kinora generate \"a red star\" --manifest star.json && kinora reproduce star.json
      draws a clip, then draws it again from its manifest and compares

Exit status: 0 done, 1 the job failed, 2 the request is not valid, 3 no mesh can be reached,
4 a limit is reached and the same command may succeed later, 130 interrupted.";

/// As the JSON of a video names them.
const STATES: [&str; 7] = [
    "awaiting_approval",
    "queued",
    "in_progress",
    "completed",
    "failed",
    "cancelled",
    "expired",
];

const JOBS_HELP: &str = "\
States: awaiting_approval, queued, in_progress, completed, failed, cancelled, expired.
DATE is a day in UTC, such as 2027-01-31, or a time, such as 2027-01-31T18:00:00Z; --until a day is until its end.

Examples:
  kinora jobs
  kinora jobs --state queued,in_progress
  kinora jobs --state awaiting_approval       previews that wait for `kinora approve ID`
  kinora jobs --query \"red ball\" --since 2027-01-31 --order asc
  kinora jobs --state failed --limit 100 --json";

const CANCEL_HELP: &str = "\
Example:
  kinora cancel 01890000-0000-7000-8000-000000000000

Cancelling a job whose preview awaits approval declines it. `kinora batch cancel ID` cancels a whole batch or sequence.";

/// Generates video from text with open models.
#[derive(Debug, Parser)]
#[command(name = "kinora", version, after_help = EXAMPLES, subcommand_required = true)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Where things are.
    #[command(flatten)]
    pub folders: Folders,
    /// What is logged.
    #[command(flatten)]
    pub telemetry: TelemetryOptions,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the whole mesh in this process until Ctrl-C.
    Up(Box<UpArguments>),
    /// Generate a clip, or several, and save them.
    Generate(Box<GenerateArguments>),
    /// Generate a clip again with something changed.
    Remix(Box<RemixArguments>),
    /// Generate a longer clip from segments.
    Sequence(Box<SequenceArguments>),
    /// Make a clip longer.
    Extend(Box<ExtendArguments>),
    /// Generate the clips of a file; watch, show and cancel batches and sequences.
    Batch(BatchArguments),
    /// Tell what a clip would take: time, memory, credits.
    Estimate(Box<EstimateArguments>),
    /// Approve a preview, so that its clip is made.
    Approve(Box<ApproveArguments>),
    /// List and search jobs, newest first.
    Jobs(JobsArguments),
    /// Cancel a job that waits or runs.
    Cancel(CancelArguments),
    /// List the models of a mesh; list, fetch, check and remove those of this machine.
    Models(Box<ModelsArguments>),
    /// Generate a clip again from its manifest, on this machine, and compare.
    Reproduce(Box<ReproduceArguments>),
    /// Try out what becomes of prompts, and tell what may not be generated.
    Prompts(Box<PromptsArguments>),
    /// Decide about prompts that a person has to look at. For operators.
    Reviews(ReviewsArguments),
    /// Be notified of what happens to videos.
    Webhooks(WebhooksArguments),
    /// Show the credits there are.
    Balance(billing::BalanceArguments),
    /// Show what delivered clips took, by day, model and person.
    Usage(billing::UsageArguments),
    /// Redeem a voucher.
    Redeem(billing::RedeemArguments),
    /// Buy credits, once or every month.
    Buy(payments::BuyArguments),
    /// List what was paid, newest first.
    Receipts(payments::ReceiptsArguments),
    /// Show the plan that is paid every month, and where it is changed or ended.
    Subscription(payments::SubscriptionArguments),
    /// Look after workers, queues, people, vouchers and credits.
    Admin(AdminArguments),
    /// Issue certificates to services that run as processes of their own.
    Identity(IdentityArguments),
    /// Run single stages of a model, to compare with other implementations.
    Model(model::ModelArguments),
}

/// The folders that a command works in.
#[derive(Args, Clone, Debug)]
pub struct Folders {
    /// Folder of the local mesh: database, clips, keys [default: ~/.local/share/kinora].
    #[arg(long, env = "KINORA_DATA_DIR", global = true, hide_env_values = true)]
    pub data_dir: Option<PathBuf>,
    /// The person's own folder.
    #[arg(long, env = "HOME", hide = true, global = true)]
    pub home: Option<PathBuf>,
    /// Where programs keep data.
    #[arg(long, env = "XDG_DATA_HOME", hide = true, global = true)]
    pub xdg_data_home: Option<PathBuf>,
    /// Where programs keep what they can fetch again.
    #[arg(long, env = "XDG_CACHE_HOME", hide = true, global = true)]
    pub xdg_cache_home: Option<PathBuf>,
}

/// Where models and programs are.
#[derive(Args, Clone, Debug, Default)]
pub struct PlaceArguments {
    /// Folder of models, or of one model (with a kinora.json). Repeat it for several [default: ./models].
    #[arg(long, env = "KINORA_MODELS", value_delimiter = ':')]
    pub models: Vec<PathBuf>,
    /// Pulled models, which are offered too.
    #[command(flatten)]
    pub store: StoreArguments,
    /// The ffmpeg program [default: the one on the PATH, else the one that `make setup` fetched].
    #[arg(long, env = "KINORA_FFMPEG", hide_env_values = true)]
    pub ffmpeg: Option<PathBuf>,
}

/// How a mesh in this process runs.
#[derive(Args, Clone, Debug)]
pub struct EngineArguments {
    /// Where models and programs are.
    #[command(flatten)]
    pub places: PlaceArguments,
    /// How models are computed.
    #[command(flatten)]
    pub engine: EngineOptions,
    /// How prompts are judged and rewritten.
    #[command(flatten)]
    pub prompting: PromptingOptions,
    /// Whether and how frames are checked.
    #[command(flatten)]
    pub frames: FrameOptions,
}

/// Options of `kinora up`.
#[derive(Args, Clone, Debug)]
pub struct UpArguments {
    /// Address of the REST interface.
    #[arg(long, env = "KINORA_LISTEN", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// Address of the object store, from which clips are fetched. Any free port by default.
    #[arg(long, env = "KINORA_S3_LISTEN", default_value = "127.0.0.1:0")]
    pub s3_listen: SocketAddr,
    /// URL of the object store as clients reach it, when that is not its address.
    #[arg(long, env = "KINORA_S3_PUBLIC_ENDPOINT")]
    pub s3_public_endpoint: Option<String>,
    /// A web origin whose pages may call. Repeat it for several.
    #[arg(long = "cors-origin", env = "KINORA_EDGE_CORS_ORIGINS", value_delimiter = ',', value_parser = kinora_edge::config::parse_origin)]
    pub cors_origins: Vec<HeaderValue>,
    /// How long a running job may go on after Ctrl-C before it is handed back.
    #[arg(long, env = "KINORA_DRAIN_TIMEOUT", default_value = "10s", value_parser = humantime::parse_duration)]
    pub drain_timeout: Duration,
    /// Let webhooks go to this machine and its network, and over http, to try them out.
    #[arg(long, env = "KINORA_PRIVATE_WEBHOOKS")]
    pub private_webhooks: bool,
    /// The plan of everybody who has no other: `unlimited`, or `free` for 600 seconds of standard video a month.
    #[arg(
        long,
        env = "KINORA_BILLING_DEFAULT_PLAN",
        default_value = UNLIMITED_PLAN
    )]
    pub default_plan: String,
    /// Whether and how people pay.
    #[command(flatten)]
    pub payments: PaymentOptions,
    /// The file (TOML) of other providers that may sign people in. Without one there are none.
    #[arg(
        long = "accounts-providers-file",
        env = "KINORA_ACCOUNTS_PROVIDERS_FILE"
    )]
    pub providers_file: Option<PathBuf>,
    /// The engine.
    #[command(flatten)]
    pub engine: EngineArguments,
}

/// Which mesh to speak to.
#[derive(Args, Clone, Debug, Default)]
pub struct ServerArguments {
    /// URL of a mesh elsewhere. By default the one that runs on this machine.
    #[arg(long, env = "KINORA_SERVER", global = true)]
    pub server: Option<String>,
    /// The API key for it; wins over a file.
    #[arg(long, env = "KINORA_API_KEY", hide_env_values = true, global = true)]
    pub api_key: Option<String>,
    /// File that holds the API key.
    #[arg(long, env = "KINORA_API_KEY_FILE", global = true)]
    pub api_key_file: Option<PathBuf>,
}

/// Options of `kinora jobs`.
#[derive(Args, Clone, Debug)]
#[command(after_help = JOBS_HELP)]
pub struct JobsArguments {
    /// How many to list.
    #[arg(long, default_value_t = 20)]
    pub limit: usize,
    /// Those in a state alone, for example queued,in_progress.
    #[arg(long, value_name = "STATE", value_delimiter = ',', hide_possible_values = true, value_parser = STATES)]
    pub state: Vec<String>,
    /// Those whose prompt has all of these words, in any order; capital and small letters are the same.
    #[arg(long, value_name = "WORDS")]
    pub query: Option<String>,
    /// Those of a model alone.
    #[arg(long)]
    pub model: Option<String>,
    /// Those accepted from then on.
    #[arg(long, value_name = "DATE", value_parser = from_date)]
    pub since: Option<String>,
    /// Those accepted before then.
    #[arg(long, value_name = "DATE", value_parser = until_date)]
    pub until: Option<String>,
    /// The newest or the oldest first.
    #[arg(long, default_value = "desc", value_parser = ["desc", "asc"])]
    pub order: String,
    /// Print them as JSON.
    #[arg(long)]
    pub json: bool,
    /// Which mesh.
    #[command(flatten)]
    pub server: ServerArguments,
}

/// Options of `kinora cancel`.
#[derive(Args, Clone, Debug)]
#[command(after_help = CANCEL_HELP)]
pub struct CancelArguments {
    /// Id of the job, as `kinora jobs` shows it.
    pub id: String,
    /// Print the job as JSON.
    #[arg(long)]
    pub json: bool,
    /// Which mesh.
    #[command(flatten)]
    pub server: ServerArguments,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn numbers_out_of_shape_are_refused_by_name() {
        for (option, value) in [("--seed", "1.5"), ("--frames", "-1"), ("--guidance", "x")] {
            let result = Arguments::try_parse_from(["kinora", "generate", "p", option, value]);
            assert!(result.unwrap_err().to_string().contains(option));
        }
    }

    #[test]
    fn json_and_a_server_are_taken_before_and_after_the_verb() {
        for line in [
            [
                "kinora", "webhooks", "list", "--json", "--server", "http://x",
            ],
            [
                "kinora", "webhooks", "--json", "--server", "http://x", "list",
            ],
        ] {
            let Command::Webhooks(webhooks) = Arguments::try_parse_from(line).unwrap().command
            else {
                panic!("not webhooks");
            };
            assert!(webhooks.json && webhooks.server.server.is_some());
        }
    }

    #[test]
    fn enhancement_takes_no_prompt_for_its_value() {
        let how = |line: &[&str]| {
            let arguments = Arguments::try_parse_from(line).ok()?;
            let Command::Generate(generate) = arguments.command else {
                panic!("not generate");
            };
            assert_eq!(generate.prompts, ["p"]);
            Some(generate.settings.enhancement.enhance)
        };
        assert_eq!(how(&["kinora", "generate", "p"]), Some(None));
        let auto = Some(Some("auto".to_owned()));
        assert_eq!(how(&["kinora", "generate", "--enhance", "p"]), auto);
        assert_eq!(how(&["kinora", "generate", "p", "--enhance"]), auto);
        let llm = how(&["kinora", "generate", "--enhance=llm", "p"]);
        assert_eq!(llm, Some(Some("llm".to_owned())));
        assert_eq!(how(&["kinora", "generate", "--enhance=magic", "p"]), None);
    }

    #[test]
    fn approval_needs_a_preview() {
        let parse = |line: &[&str]| Arguments::try_parse_from(line).map(|_| ());
        assert!(parse(&["kinora", "generate", "p", "--approve"]).is_err());
        assert!(parse(&["kinora", "generate", "p", "--preview-first", "--approve"]).is_ok());
        assert!(parse(&["kinora", "generate"]).is_err());
        assert!(parse(&["kinora", "generate", "p", "--seeds", "101"]).is_err());
    }

    #[test]
    fn models_without_a_subcommand_is_about_the_mesh() {
        let parse = |line: &[&str]| match Arguments::try_parse_from(line).unwrap().command {
            Command::Models(models) => *models,
            _ => panic!("not models"),
        };
        let models = parse(&["kinora", "models", "--json", "--server", "http://x"]);
        assert!(models.command.is_none() && models.json);
        assert_eq!(models.server.server.as_deref(), Some("http://x"));
        let list = parse(&["kinora", "models", "list", "--model-store", "/m"]);
        assert!(matches!(list.command, Some(ModelsCommand::List(_))));
    }

    #[test]
    fn the_token_of_the_hub_is_not_shown() {
        let line = ["kinora", "models", "pull", "m", "--hub-token", "hf_secret"];
        let arguments = Arguments::try_parse_from(line).unwrap();
        assert!(!format!("{arguments:?}").contains("secret"));
    }

    #[test]
    fn several_model_folders_may_be_named() {
        let line = ["kinora", "up", "--models", "a:b", "--models", "c"];
        let Command::Up(up) = Arguments::try_parse_from(line).unwrap().command else {
            panic!("not up");
        };
        assert_eq!(up.engine.places.models, ["a", "b", "c"].map(PathBuf::from));
    }
}
