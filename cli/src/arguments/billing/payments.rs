//! Arguments of `kinora admin billing` about money.

use clap::Args;

/// Options of `kinora admin billing refund`.
#[derive(Args, Clone, Debug)]
pub struct RefundArguments {
    /// Id of a job, whose credits go back, or of a receipt (`pi_…`, `in_…`), whose money does.
    #[arg(value_name = "JOB|RECEIPT")]
    pub target: String,
    /// Of a job, how many credits [default: all that it cost and that have not come back].
    #[arg(long, conflicts_with = "amount")]
    pub credits: Option<u64>,
    /// Of a receipt, how much in the smallest unit of its currency, such as cents [default: all that is left].
    #[arg(long, value_parser = clap::value_parser!(i64).range(1..))]
    pub amount: Option<i64>,
    /// Why. That of a job is shown to the payer.
    #[arg(long)]
    pub note: String,
    /// The same id does the same once [default: a new one].
    #[arg(long, value_name = "ID")]
    pub request_id: Option<String>,
}

impl RefundArguments {
    /// Whether money goes back.
    #[must_use]
    pub fn is_of_receipt(&self) -> bool {
        self.target.starts_with("pi_") || self.target.starts_with("in_")
    }
}

/// Options of `kinora admin billing receipts`.
#[derive(Args, Clone, Debug)]
pub struct ReceiptsArguments {
    /// Whose [default: everybody's].
    pub payer: Option<String>,
    /// How many to list.
    #[arg(long, default_value_t = 50)]
    pub limit: usize,
}

/// Options of `kinora admin billing cancel-subscription`.
#[derive(Args, Clone, Debug)]
pub struct CancelSubscriptionArguments {
    /// Id of the subscription, `sub_…`.
    pub subscription: String,
    /// Why.
    #[arg(long)]
    pub note: String,
}
