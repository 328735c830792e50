//! Arguments of `kinora webhooks`.

use clap::{Args, Subcommand};

use super::ServerArguments;

const HELP: &str = "\
Notifications are signed after the Standard Webhooks specification; `add` and `rotate` print the secret, once.

Events: video.queued, video.started, video.progress, video.completed, video.failed, video.cancelled, video.expired.

Examples:
  kinora webhooks add https://hooks.example.org/kinora --event video.completed --event video.failed
  kinora webhooks list
  kinora webhooks deliveries 01890000-0000-7000-8000-000000000000
  kinora webhooks replay 01890000-0000-7000-8000-000000000001     sends a delivery once more
  kinora webhooks rotate 01890000-0000-7000-8000-000000000000     both secrets sign until the next rotation
  kinora webhooks update 01890000-0000-7000-8000-000000000000 --enable";

/// Options of `kinora webhooks`.
#[derive(Args, Clone, Debug)]
#[command(after_help = HELP)]
pub struct WebhooksArguments {
    /// What to do; webhooks are listed when nothing is said.
    #[command(subcommand)]
    pub command: Option<WebhooksCommand>,
    /// Print the result as JSON.
    #[arg(long, global = true)]
    pub json: bool,
    /// Which mesh.
    #[command(flatten)]
    pub server: ServerArguments,
}

/// What to do with webhooks.
#[derive(Clone, Debug, Subcommand)]
pub enum WebhooksCommand {
    /// Notify a URL from now on, and print the secret that verifies signatures.
    Add(AddWebhookArguments),
    /// List webhooks, oldest first.
    List,
    /// Change a webhook.
    Update(UpdateWebhookArguments),
    /// Remove a webhook.
    Remove {
        /// Id of the webhook.
        id: String,
    },
    /// Make a new secret and print it; the former one signs as well until the next rotation.
    Rotate {
        /// Id of the webhook.
        id: String,
        /// Drop the former secret at once.
        #[arg(long)]
        drop_former: bool,
    },
    /// List the newest deliveries of a webhook.
    Deliveries {
        /// Id of the webhook.
        id: String,
        /// How many to list.
        #[arg(long, default_value_t = 20)]
        limit: usize,
    },
    /// Send a delivery once more.
    Replay {
        /// Id of the delivery.
        id: String,
    },
}

/// Options of `kinora webhooks add`.
#[derive(Args, Clone, Debug)]
pub struct AddWebhookArguments {
    /// Where notifications are posted.
    pub url: String,
    /// An event to be told of. Repeat it for several [default: all but video.progress].
    #[arg(long = "event", value_name = "EVENT")]
    pub events: Vec<String>,
    /// Id of the only video to be told of.
    #[arg(long, value_name = "ID")]
    pub video: Option<String>,
}

/// Options of `kinora webhooks update`.
#[derive(Args, Clone, Debug)]
pub struct UpdateWebhookArguments {
    /// Id of the webhook.
    pub id: String,
    /// Where notifications are posted from now on.
    #[arg(long)]
    pub url: Option<String>,
    /// An event to be told of; all of them replace those of before.
    #[arg(long = "event", value_name = "EVENT")]
    pub events: Vec<String>,
    /// Notify it, at once also when it was paused after failures.
    #[arg(long, conflicts_with = "disable")]
    pub enable: bool,
    /// Do not notify it.
    #[arg(long)]
    pub disable: bool,
}
