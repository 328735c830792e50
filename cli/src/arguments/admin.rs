//! Arguments of `kinora admin`.

use clap::{Args, Subcommand};

use super::ServerArguments;
use super::accounts::{
    AuditArguments, KeysCommand, OrgsCommand, SigningKeysCommand, TermsCommand, UsersCommand,
};
use super::billing::{BillingCommand, VouchersCommand};

const HELP: &str = "\
For operators. The key that `kinora up` makes is an operator's.

Examples:
  kinora admin workers                    who works, on what
  kinora admin cordon gpu-3               no new jobs for it; `uncordon` lifts that
  kinora admin drain gpu-3                it hands back what it runs, and ends
  kinora admin queues                     what waits, and for how long
  kinora admin dead-letters               jobs that failed for good, with their attempts
  kinora admin retry 01890000-0000-7000-8000-000000000000
  kinora admin tenant studio --weight 200 --max-running 8

  kinora admin users list --query example.org
  kinora admin users disable 01890000-0000-7000-8000-000000000000 --reason abuse
  kinora admin terms publish terms.md     nobody generates until they accept it
  kinora admin audit --action key.        who made and revoked keys
  kinora admin signing-keys rotate

  kinora admin vouchers create --campaign odyssey --count 500 --seconds 600 --access --expires 2027-01-31
  kinora admin billing balance mina@example.org";

/// Options of `kinora admin`.
#[derive(Args, Clone, Debug)]
#[command(after_help = HELP)]
pub struct AdminArguments {
    /// What to do.
    #[command(subcommand)]
    pub command: AdminCommand,
    /// Print the result as JSON.
    #[arg(long, global = true)]
    pub json: bool,
    /// Which mesh.
    #[command(flatten)]
    pub server: ServerArguments,
}

/// What operators do.
#[derive(Clone, Debug, Subcommand)]
pub enum AdminCommand {
    /// List the workers of the last day.
    Workers,
    /// Keep a worker from new jobs.
    Cordon {
        /// Name of the worker.
        worker: String,
    },
    /// Give a worker jobs again.
    Uncordon {
        /// Name of the worker.
        worker: String,
    },
    /// Have a worker hand back what it runs, and end.
    Drain {
        /// Name of the worker.
        worker: String,
    },
    /// Tell what waits in each queue.
    Queues,
    /// List jobs that failed after their last attempt, newest first.
    DeadLetters {
        /// How many to list.
        #[arg(long, default_value_t = 20)]
        limit: usize,
    },
    /// Submit the request of a dead letter again, as a new job of its owner.
    Retry {
        /// Id of the job that failed.
        id: String,
    },
    /// Show a tenant's share and limits, after changing what is said.
    Tenant(TenantArguments),
    /// People and their accounts.
    #[command(subcommand)]
    Users(UsersCommand),
    /// Organisations.
    #[command(subcommand)]
    Orgs(OrgsCommand),
    /// API keys.
    #[command(subcommand)]
    Keys(KeysCommand),
    /// The terms of use.
    #[command(subcommand)]
    Terms(TermsCommand),
    /// The keys that sign tokens.
    #[command(subcommand)]
    SigningKeys(SigningKeysCommand),
    /// Show who did what, newest first.
    Audit(AuditArguments),
    /// Codes that give credits, access or a plan.
    #[command(subcommand)]
    Vouchers(VouchersCommand),
    /// Credits, plans, prices, and the ledger.
    #[command(subcommand)]
    Billing(BillingCommand),
}

/// Options of `kinora admin tenant`.
#[derive(Args, Clone, Debug)]
pub struct TenantArguments {
    /// The part of its principals before the first colon.
    pub tenant: String,
    /// Share of the machines relative to others, 1 to 1000; 100 is usual.
    #[arg(long)]
    pub weight: Option<u32>,
    /// How many of its jobs run at a time; 0 for no limit.
    #[arg(long)]
    pub max_running: Option<u32>,
    /// How many of its jobs wait; 0 for no limit.
    #[arg(long)]
    pub max_queued: Option<u32>,
}
