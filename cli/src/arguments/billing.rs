//! Arguments of `kinora balance`, `usage` and `redeem`, and of `kinora admin vouchers` and `billing`.

mod payments;

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand, ValueEnum};

use super::ServerArguments;
use super::dates::{day, from_date, until_date};

pub use payments::{CancelSubscriptionArguments, ReceiptsArguments, RefundArguments};

const USAGE_HELP: &str = "\
Examples:
  kinora usage                                       since the present window began
  kinora usage --from 2026-11-01 --to 2026-11-30
  kinora usage --from 2026-01-01 --export csv -o usage.csv";

const REDEEM_HELP: &str = "\
Case, spaces and dashes do not matter, and no letter is mistaken for a digit.

Examples:
  kinora redeem 7K2M-9QXB-4TRW-C0DPY
  kinora redeem --list                               what was redeemed before";

const VOUCHERS_HELP: &str = "\
A date without a time means the end of that day in UTC, and with --starts its beginning. Codes are shown once; the mesh
keeps hashes of them.

Examples:
  kinora admin vouchers create --campaign odyssey --count 500 --seconds 600 --access --expires 2027-01-31 -o odyssey.csv
  kinora admin vouchers create --campaign hall-7 --max-uses 300 --seconds 60       one code for everybody there
  kinora admin vouchers list odyssey
  kinora admin vouchers disable --campaign odyssey --claw-back
  kinora admin vouchers export --campaign odyssey -o redeemed.csv";

const BILLING_HELP: &str = "\
A payer is `user:ID`, `org:ID`, the id of a user, or the address of mail of one. A date without a time means the end of
that day in UTC, and with --from its beginning.

Examples:
  kinora admin billing balance mina@example.org
  kinora admin billing adjust mina@example.org --seconds 60 --note \"the clip of Friday\"
  kinora admin billing refund 01890000-0000-7000-8000-000000000000 --note \"it was black\"    the credits of a job
  kinora admin billing refund pi_3QxYz --amount 500 --note \"half of it\"                    money, 5.00 of it
  kinora admin billing plan org:01890000-0000-7000-8000-000000000000 studio
  kinora admin billing window --from 2027-01-15 --to 2027-01-31    allowances and caps count in it, as for a contest
  kinora admin billing check
  kinora admin billing reconcile";

/// Nobody is given or loses more at a time.
const SECONDS: i64 = 1_000_000_000;

/// Options of `kinora balance`.
#[derive(Args, Clone, Debug)]
pub struct BalanceArguments {
    /// Print it as JSON.
    #[arg(long)]
    pub json: bool,
    /// Which mesh.
    #[command(flatten)]
    pub server: ServerArguments,
}

/// Options of `kinora usage`.
#[derive(Args, Clone, Debug)]
#[command(after_help = USAGE_HELP)]
pub struct UsageArguments {
    /// The first day, UTC, for example 2026-11-01 [default: the first of the present window].
    #[arg(long, value_name = "DAY", value_parser = day)]
    pub from: Option<String>,
    /// The last day [default: today].
    #[arg(long, value_name = "DAY", value_parser = day)]
    pub to: Option<String>,
    /// Write all lines in this format.
    #[arg(long, value_name = "FORMAT")]
    pub export: Option<ExportFormat>,
    /// Where the export goes [default: the output].
    #[arg(short, long, value_name = "FILE", requires = "export")]
    pub output: Option<PathBuf>,
    /// Print it as JSON.
    #[arg(long, conflicts_with = "export")]
    pub json: bool,
    /// Which mesh.
    #[command(flatten)]
    pub server: ServerArguments,
}

/// Options of `kinora redeem`.
#[derive(Args, Clone, Debug)]
#[command(after_help = REDEEM_HELP)]
pub struct RedeemArguments {
    /// The code of a voucher.
    #[arg(required_unless_present = "list", conflicts_with = "list")]
    pub code: Option<String>,
    /// List what was redeemed, newest first.
    #[arg(long)]
    pub list: bool,
    /// Print it as JSON.
    #[arg(long)]
    pub json: bool,
    /// Which mesh.
    #[command(flatten)]
    pub server: ServerArguments,
}

/// Formats of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// With a heading, for spreadsheets.
    Csv,
    /// An object a line.
    Json,
}

impl ExportFormat {
    /// How the REST interface names it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Csv => "EXPORT_FORMAT_CSV",
            Self::Json => "EXPORT_FORMAT_JSON",
        }
    }
}

/// Campaigns of vouchers.
#[derive(Clone, Debug, Subcommand)]
#[command(after_help = VOUCHERS_HELP)]
pub enum VouchersCommand {
    /// Make a campaign, and print its codes as CSV, once.
    Create(Box<CreateCampaignArguments>),
    /// List the codes of a campaign by their ends, and what became of them.
    List {
        /// Its name.
        campaign: String,
        /// How many to list.
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// List campaigns, newest first.
    Campaigns,
    /// End a campaign, or one code: nobody redeems it any longer.
    Disable(DisableArguments),
    /// Write who redeemed what, oldest first.
    Export(ExportArguments),
}

/// Options of `kinora admin vouchers create`.
#[derive(Args, Clone, Debug)]
#[command(group(ArgGroup::new("gives").args(["seconds", "credits", "access", "plan"]).required(true).multiple(true)))]
pub struct CreateCampaignArguments {
    /// Its name: lower-case letters, digits and dashes.
    #[arg(long, value_name = "NAME")]
    pub campaign: String,
    /// How many codes.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub count: u32,
    /// Seconds of standard video that each redemption gives.
    #[arg(long, conflicts_with = "credits", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub seconds: Option<u64>,
    /// Credits that each redemption gives; 1000 are a second of standard video.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000_000))]
    pub credits: Option<u64>,
    /// Lets who redeems a code generate, where the platform asks for that.
    #[arg(long)]
    pub access: bool,
    /// Puts who redeems a code on this plan.
    #[arg(long)]
    pub plan: Option<String>,
    /// How often each code can be redeemed.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub max_uses: u32,
    /// How many codes of the campaign one person can redeem.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub per_user: u32,
    /// Codes are good from the beginning of this day (UTC), or from this time [default: now].
    #[arg(long, value_name = "DATE", value_parser = from_date)]
    pub starts: Option<String>,
    /// Codes are good until the end of this day (UTC), or until this time [default: for ever].
    #[arg(long, value_name = "DATE", value_parser = until_date)]
    pub expires: Option<String>,
    /// What was redeemed lasts until the end of this day (UTC), or until this time [default: for ever].
    #[arg(long, value_name = "DATE", value_parser = until_date)]
    pub grants_expire: Option<String>,
    /// For operators.
    #[arg(long, default_value = "")]
    pub notes: String,
    /// A new file for the codes, which you alone can read [default: the output].
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

impl CreateCampaignArguments {
    /// Credits of each redemption.
    #[must_use]
    pub fn credits(&self) -> u64 {
        let of_seconds = self.seconds.map(credits_of_seconds);
        self.credits.or(of_seconds).unwrap_or(0)
    }
}

/// Options of `kinora admin vouchers disable`.
#[derive(Args, Clone, Debug)]
#[command(group(ArgGroup::new("what").args(["campaign", "voucher"]).required(true)))]
pub struct DisableArguments {
    /// Name of a campaign.
    #[arg(long, value_name = "NAME")]
    pub campaign: Option<String>,
    /// Id of one code, as `list` shows it.
    #[arg(long, value_name = "ID")]
    pub voucher: Option<String>,
    /// Take back what is left of what was redeemed, and end its access and plan.
    #[arg(long)]
    pub claw_back: bool,
}

/// Options of `kinora admin vouchers export`.
#[derive(Args, Clone, Debug)]
pub struct ExportArguments {
    /// Those of one campaign [default: all].
    #[arg(
        long,
        value_name = "NAME",
        default_value = "",
        hide_default_value = true
    )]
    pub campaign: String,
    /// Its format.
    #[arg(long, value_enum, default_value_t = ExportFormat::Csv)]
    pub format: ExportFormat,
    /// Where it goes [default: the output].
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// Credits, plans and prices.
#[derive(Clone, Debug, Subcommand)]
#[command(after_help = BILLING_HELP)]
pub enum BillingCommand {
    /// Show what a payer can spend.
    Balance {
        /// Who.
        payer: String,
    },
    /// List what moved a payer's credits, newest first.
    Transactions {
        /// Whose.
        payer: String,
        /// How many to list.
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// Give a payer credits, or take some away.
    Adjust(AdjustArguments),
    /// Give back what a job cost in credits, or what was paid in money, or a part of it.
    Refund(RefundArguments),
    /// List what was paid, newest first.
    Receipts(ReceiptsArguments),
    /// End a subscription now; what was paid stays paid.
    CancelSubscription(CancelSubscriptionArguments),
    /// Compare what Stripe says of all money with the receipts, and these with the ledger. Fails when they differ.
    Reconcile,
    /// Keep a payer from generating.
    Freeze {
        /// Whom.
        payer: String,
        /// Why.
        #[arg(long, default_value = "")]
        note: String,
    },
    /// Let a payer generate again.
    Unfreeze {
        /// Whom.
        payer: String,
        /// Why.
        #[arg(long, default_value = "")]
        note: String,
    },
    /// Put a payer on a plan, from now on.
    Plan {
        /// Whom.
        payer: String,
        /// Its name.
        plan: String,
    },
    /// Print the prices as JSON, or put others in force.
    Prices {
        /// A file like what is printed, with the next version.
        #[arg(long, value_name = "FILE")]
        publish: Option<PathBuf>,
    },
    /// Count allowances and caps of everybody in a span of time instead of the month.
    Window(WindowArguments),
    /// Prove the ledger. Fails when something in it does not hold.
    Check,
    /// Show what operators did and who redeemed vouchers, newest first.
    Audit(BillingAuditArguments),
}

/// Options of `kinora admin billing adjust`.
#[derive(Args, Clone, Debug)]
#[command(group(ArgGroup::new("amount").args(["seconds", "credits"]).required(true)))]
pub struct AdjustArguments {
    /// Whose.
    pub payer: String,
    /// Seconds of standard video; negative to take away.
    #[arg(long, allow_negative_numbers = true, value_parser = clap::value_parser!(i64).range(-SECONDS..=SECONDS))]
    pub seconds: Option<i64>,
    /// Credits; negative to take away.
    #[arg(long, allow_negative_numbers = true)]
    pub credits: Option<i64>,
    /// Shown to the payer.
    #[arg(long)]
    pub note: String,
    /// Given credits last until the end of this day (UTC), or until this time [default: for ever].
    #[arg(long, value_name = "DATE", value_parser = until_date)]
    pub expires: Option<String>,
    /// The same id does the same once [default: a new one].
    #[arg(long, value_name = "ID")]
    pub request_id: Option<String>,
}

impl AdjustArguments {
    /// The credits.
    #[must_use]
    pub fn credits(&self) -> i64 {
        let of_seconds = self.seconds.map(|seconds| seconds.saturating_mul(1000));
        self.credits.or(of_seconds).unwrap_or(0)
    }
}

/// Options of `kinora admin billing window`.
#[derive(Args, Clone, Debug)]
#[command(group(ArgGroup::new("span").args(["to", "month"]).required(true)))]
pub struct WindowArguments {
    /// From the beginning of this day (UTC), or from this time.
    #[arg(long, value_name = "DATE", value_parser = from_date, requires = "to")]
    pub from: Option<String>,
    /// To the end of this day (UTC), or to this time.
    #[arg(long, value_name = "DATE", value_parser = until_date, requires = "from")]
    pub to: Option<String>,
    /// Count in months again.
    #[arg(long)]
    pub month: bool,
}

/// Options of `kinora admin billing audit`.
#[derive(Args, Clone, Debug)]
pub struct BillingAuditArguments {
    /// Who did it: id of a user.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub actor: String,
    /// What was done, for example `campaign.create`.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub action: String,
    /// What it was done to: `user:ID`, `org:ID`, a job, a campaign, a voucher, `prices` or `window`.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub target: String,
    /// How many to list.
    #[arg(long, default_value_t = 50)]
    pub limit: usize,
}

/// A second of standard video is a thousand credits.
const fn credits_of_seconds(seconds: u64) -> u64 {
    seconds.saturating_mul(1000)
}

#[cfg(test)]
mod tests;
