//! The part of the command line that is about models and where they are kept.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use kinora_model_store::{HubToken, Mirror};

use super::ServerArguments;

const MODELS_EXAMPLES: &str = "\
Examples:
  kinora models                          the models of the running mesh, with their limits
  kinora models list                     what can be pulled, and what is there
  kinora models pull wan2.1-t2v-1.3b     fetches it; the same command goes on after an interruption
  kinora models verify                   reads every installed model again and names bad files
  kinora models remove wan2.1-t2v-1.3b   deletes it

`kinora up` offers every model that is installed.";

const PULL_HELP: &str = "\
Bytes that are there are never fetched again: after Ctrl-C, a full disk or a lost connection, run the same command.
Several machines may pull into one shared folder; one fetches, the others wait for it.

Every file is checked against the SHA-256 of the catalogue. Where the catalogue has none, the hub's own word over TLS
is taken, else the file is trusted as it first comes; the output says so, and `verify` holds it to that.

Examples:
  kinora models pull wan2.1-t2v-1.3b wan2.2-ti2v-5b
  kinora models pull wan2.1-t2v-14b --model-store /mnt/shared/models
  kinora models pull wan2.1-t2v-1.3b --mirror /mnt/usb/models --offline
  kinora models pull some-gated-model --accept-licence --accepted-by \"Ada, Example Ltd\"

Exit status: 0 all are there, 1 one could not be fetched, 2 no such model or its licence is not accepted, 130 interrupted.";

const VERIFY_HELP: &str = "\
Reads every byte, which takes as long as the disk does. A bad file is mended by `kinora models pull ID --repair`.

Exit status: 0 all is well, 1 a file is bad, 2 no such model is installed.";

/// Options of `kinora models`.
#[derive(Args, Clone, Debug)]
#[command(after_help = MODELS_EXAMPLES)]
pub struct ModelsArguments {
    /// What to do; the models of a mesh are listed when nothing is said.
    #[command(subcommand)]
    pub command: Option<ModelsCommand>,
    /// Print the models of the mesh as JSON, with their vocabulary.
    #[arg(long)]
    pub json: bool,
    /// Which mesh.
    #[command(flatten)]
    pub server: ServerArguments,
}

/// What to do with models.
#[derive(Clone, Debug, Subcommand)]
pub enum ModelsCommand {
    /// List what can be pulled and what is installed.
    List(ListArguments),
    /// Fetch models, or what is missing of them.
    Pull(Box<PullArguments>),
    /// Read installed models again and name every bad file.
    Verify(VerifyArguments),
    /// Delete a model and its unfinished download. Asks nothing.
    Remove(RemoveArguments),
}

/// Where models are kept, and which there are.
#[derive(Args, Clone, Debug, Default)]
pub struct StoreArguments {
    /// Folder of pulled models; several machines may share it [default: models in the data folder].
    #[arg(long, env = "KINORA_MODEL_STORE")]
    pub model_store: Option<PathBuf>,
    /// A catalogue of your own (TOML), merged over the built-in one. Repeat it for several.
    #[arg(long, env = "KINORA_MODEL_CATALOGUE", value_delimiter = ':')]
    pub catalogue: Vec<PathBuf>,
}

/// Options of `kinora models list`.
#[derive(Args, Clone, Debug)]
pub struct ListArguments {
    /// List the models of the running mesh instead.
    #[arg(long)]
    pub served: bool,
    /// Print them as JSON.
    #[arg(long)]
    pub json: bool,
    /// Where models are.
    #[command(flatten)]
    pub store: StoreArguments,
    /// Which mesh, for --served.
    #[command(flatten)]
    pub server: ServerArguments,
}

/// Options of `kinora models pull`.
#[derive(Args, Clone, Debug)]
#[command(after_help = PULL_HELP)]
pub struct PullArguments {
    /// Names of models, as `kinora models list` shows them.
    #[arg(required = true, value_name = "ID")]
    pub ids: Vec<String>,
    /// Ask this place instead of the hub: a folder, or an http://, https:// or file:// URL.
    #[arg(long, env = "KINORA_MODEL_MIRROR", hide_env_values = true)]
    pub mirror: Option<Mirror>,
    /// Never use the network; a mirror that is a folder is none.
    #[arg(long, env = "KINORA_OFFLINE")]
    pub offline: bool,
    /// Accept the licence of these models; who and when is recorded beside them.
    #[arg(long)]
    pub accept_licence: bool,
    /// Who accepts the licence.
    #[arg(long, env = "USER", default_value = "unknown", hide_env = true)]
    pub accepted_by: String,
    /// Look a complete model through, and fetch again what is bad. Workers do not see it meanwhile.
    #[arg(long)]
    pub repair: bool,
    /// Access token of the hub; wins over a file. Sent to the hub only.
    #[arg(long, env = "KINORA_HUB_TOKEN", hide_env_values = true, value_parser = parse_token)]
    pub hub_token: Option<HubToken>,
    /// File that holds the access token of the hub.
    #[arg(long, env = "KINORA_HUB_TOKEN_FILE")]
    pub hub_token_file: Option<PathBuf>,
    /// Show no progress.
    #[arg(short, long)]
    pub quiet: bool,
    /// Print what is installed as JSON.
    #[arg(long)]
    pub json: bool,
    /// Where models are.
    #[command(flatten)]
    pub store: StoreArguments,
}

/// Options of `kinora models verify`.
#[derive(Args, Clone, Debug)]
#[command(after_help = VERIFY_HELP)]
pub struct VerifyArguments {
    /// Names of models; all that are installed when none is named.
    #[arg(value_name = "ID")]
    pub ids: Vec<String>,
    /// Show no progress.
    #[arg(short, long)]
    pub quiet: bool,
    /// Print what was found as JSON.
    #[arg(long)]
    pub json: bool,
    /// Where models are.
    #[command(flatten)]
    pub store: StoreArguments,
}

/// Options of `kinora models remove`.
#[derive(Args, Clone, Debug)]
pub struct RemoveArguments {
    /// Name of the model.
    pub id: String,
    /// Where models are.
    #[command(flatten)]
    pub store: StoreArguments,
}

fn parse_token(text: &str) -> Result<HubToken, String> {
    HubToken::new(text).ok_or_else(|| "the token is empty".to_owned())
}
