//! Why somebody did not get what they asked for: every reason that the contract names.

use chrono::SecondsFormat;
use kinora_mesh::error::{Kind, PublicError};
use uuid::Uuid;

use super::Time;
use super::credits::Credits;
use super::voucher::VoucherRefusal;

/// A refusal that the caller is told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The job has a hold for other work, or of somebody else.
    HoldConflict {
        /// The job.
        job: Uuid,
    },
    /// The caller needs a voucher or a plan to generate.
    AccessRequired,
    /// An operator or a dispute stopped it.
    PayerFrozen,
    /// The jobs cost more than there is.
    InsufficientCredits(Shortage),
    /// The jobs would go beyond the hard cap.
    SpendCapReached(Shortage),
    /// The job has no hold.
    HoldNotFound,
    /// The hold was settled otherwise.
    HoldSettled,
    /// More is captured than is held.
    CaptureExceedsHold {
        /// What is held.
        held: Credits,
    },
    /// The job was not captured, so nothing can come back.
    HoldNotCaptured,
    /// More would come back than was captured.
    RefundExceedsCapture {
        /// What can still come back.
        left: Credits,
    },
    /// The request id, or another idempotency key, came with another body before.
    RequestIdReused,
    /// Nothing is known of such a payer.
    PayerNotFound,
    /// The bounds on spending mean nothing.
    CapInvalid,
    /// The caller's role in the organisation does not allow this.
    RoleInsufficient,
    /// There is no such plan.
    PlanUnknown,
    /// The payer pays for the present plan.
    PlanPaid,
    /// Another price book is the present one by now.
    PriceBookChanged {
        /// Its version.
        present: u32,
    },
    /// By the price book something has no price.
    PriceBookInvalid {
        /// The field.
        field: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// The window makes no sense.
    WindowInvalid,
    /// The days make no sense.
    DaysInvalid,
    /// The usage has more lines than one answer.
    UsageTooLong,
    /// The amount is none that can be moved.
    CreditsInvalid,
    /// The payer has as many grants as fit.
    TooManyGrants,
    /// The page token is not from an earlier answer.
    PageTokenInvalid,
    /// The platform takes no money.
    PaymentsDisabled,
    /// There is no such pack.
    PackUnknown,
    /// The plan costs nothing, so it is not bought.
    PlanFree,
    /// The payer has no such checkout.
    CheckoutNotFound,
    /// The checkout of this request id can no longer be paid.
    CheckoutOver,
    /// The payer never opened a checkout.
    NothingBought,
    /// There is no such receipt.
    ReceiptNotFound,
    /// There is no such subscription.
    SubscriptionNotFound,
    /// More money would go back than is left of the payment.
    RefundExceedsPayment,
    /// The webhook is not one of Stripe's for this platform.
    WebhookRefused,
    /// It is about a voucher.
    Voucher(VoucherRefusal),
}

/// What jobs would take, and what there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// Of all jobs of the request.
    pub needed: Credits,
    /// What can be spent now.
    pub available: Credits,
    /// That, as standard video at the present prices.
    pub available_milliseconds: u64,
    /// Which job of the request is refused first.
    pub index: usize,
    /// That one, where it has an id by now.
    pub job: Option<Uuid>,
    /// How many of its frames could be paid, when all else stays.
    pub affordable_frames: u32,
    /// When the window ends, and the next allowance comes.
    pub reset_time: Time,
}

impl Refusal {
    /// Names the job that a shortage is about: the one at its place among these.
    #[must_use]
    pub fn of_jobs(mut self, jobs: &[Uuid]) -> Self {
        if let Self::InsufficientCredits(shortage) | Self::SpendCapReached(shortage) = &mut self {
            shortage.job = jobs.get(shortage.index).copied();
        }
        self
    }

    /// The code, the machine-readable reason, and the sentence for the caller.
    #[must_use]
    pub const fn parts(&self) -> (Kind, &'static str, &'static str) {
        match self {
            Self::HoldConflict { .. } => (
                Kind::AlreadyExists,
                "HOLD_CONFLICT",
                "this job has a hold for other work, or of somebody else",
            ),
            Self::AccessRequired => (
                Kind::FailedPrecondition,
                "ACCESS_REQUIRED",
                "redeem a voucher, or choose a plan with access, to generate here",
            ),
            Self::PayerFrozen => (
                Kind::FailedPrecondition,
                "PAYER_FROZEN",
                "spending has been stopped; ask the operator",
            ),
            Self::InsufficientCredits(_) => (
                Kind::ResourceExhausted,
                "INSUFFICIENT_CREDITS",
                "there are not enough credits for this",
            ),
            Self::SpendCapReached(_) => (
                Kind::ResourceExhausted,
                "SPEND_CAP_REACHED",
                "this would go beyond the spend cap",
            ),
            Self::HoldNotFound => (
                Kind::NotFound,
                "HOLD_NOT_FOUND",
                "no credits were set aside for such a job",
            ),
            Self::HoldSettled => (
                Kind::FailedPrecondition,
                "HOLD_SETTLED",
                "the credits of this job have been settled otherwise",
            ),
            Self::CaptureExceedsHold { .. } => (
                Kind::InvalidArgument,
                "CAPTURE_EXCEEDS_HOLD",
                "more is captured than was set aside",
            ),
            Self::HoldNotCaptured => (
                Kind::FailedPrecondition,
                "HOLD_NOT_CAPTURED",
                "nothing was paid for this job",
            ),
            Self::RefundExceedsCapture { .. } => (
                Kind::ResourceExhausted,
                "REFUND_EXCEEDS_CAPTURE",
                "more would come back than was paid",
            ),
            Self::RequestIdReused => (
                Kind::AlreadyExists,
                "REQUEST_ID_REUSED",
                "this request id was used with another body",
            ),
            Self::PayerNotFound => (
                Kind::NotFound,
                "PAYER_NOT_FOUND",
                "nothing is known of such a payer",
            ),
            Self::CapInvalid => (
                Kind::InvalidArgument,
                "CAP_INVALID",
                "a cap is at most 1000000000000 credits, and the soft one more than 0 and at most the hard one",
            ),
            Self::RoleInsufficient => (
                Kind::PermissionDenied,
                "ROLE_INSUFFICIENT",
                "your role in the organisation does not allow this",
            ),
            Self::PlanUnknown => (
                Kind::InvalidArgument,
                "PLAN_UNKNOWN",
                "there is no such plan",
            ),
            Self::PlanPaid => (
                Kind::FailedPrecondition,
                "PLAN_PAID",
                "the present plan is paid for; end the subscription first",
            ),
            Self::PriceBookChanged { .. } => (
                Kind::FailedPrecondition,
                "PRICE_BOOK_CHANGED",
                "the version of a new price book is the present one and one more",
            ),
            Self::PriceBookInvalid { .. } => (
                Kind::InvalidArgument,
                "PRICE_BOOK_INVALID",
                "by this price book something would have no price",
            ),
            Self::WindowInvalid => (
                Kind::InvalidArgument,
                "WINDOW_INVALID",
                "a window ends after it begins, after now, and at most 400 days later",
            ),
            Self::DaysInvalid => (
                Kind::InvalidArgument,
                "DAYS_INVALID",
                "days have the form YYYY-MM-DD, and lie at most 400 days apart",
            ),
            Self::UsageTooLong => (
                Kind::FailedPrecondition,
                "USAGE_TOO_LONG",
                "this is more than fits into an answer; ask for fewer days, or export it",
            ),
            Self::CreditsInvalid => (
                Kind::InvalidArgument,
                "CREDITS_INVALID",
                "an amount is 1 to 1000000000000 credits",
            ),
            Self::TooManyGrants => (
                Kind::ResourceExhausted,
                "TOO_MANY_GRANTS",
                "as many grants have credits as may; some must be spent first",
            ),
            Self::PageTokenInvalid => (
                Kind::InvalidArgument,
                "PAGE_TOKEN_INVALID",
                "the page token is not from an earlier answer",
            ),
            Self::PaymentsDisabled => (
                Kind::FailedPrecondition,
                "PAYMENTS_DISABLED",
                "this platform takes no payments",
            ),
            Self::PackUnknown => (
                Kind::InvalidArgument,
                "PACK_UNKNOWN",
                "there is no such pack",
            ),
            Self::PlanFree => (Kind::InvalidArgument, "PLAN_FREE", "this plan has no price"),
            Self::CheckoutNotFound => (
                Kind::NotFound,
                "CHECKOUT_NOT_FOUND",
                "there is no such checkout",
            ),
            Self::CheckoutOver => (
                Kind::FailedPrecondition,
                "CHECKOUT_OVER",
                "this checkout is paid or has expired; open another one under a new request id",
            ),
            Self::NothingBought => (
                Kind::FailedPrecondition,
                "NOTHING_BOUGHT",
                "nothing was bought yet; open a checkout first",
            ),
            Self::ReceiptNotFound => (
                Kind::NotFound,
                "RECEIPT_NOT_FOUND",
                "there is no such receipt",
            ),
            Self::SubscriptionNotFound => (
                Kind::NotFound,
                "SUBSCRIPTION_NOT_FOUND",
                "there is no such subscription",
            ),
            Self::RefundExceedsPayment => (
                Kind::ResourceExhausted,
                "REFUND_EXCEEDS_PAYMENT",
                "more would go back than is left of this payment",
            ),
            Self::WebhookRefused => (
                Kind::InvalidArgument,
                "WEBHOOK_REFUSED",
                "the webhook is not signed for this platform, or not lately",
            ),
            Self::Voucher(refusal) => refusal.parts(),
        }
    }

    /// UPPER_SNAKE reason, stable across versions.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        self.parts().1
    }
}

impl From<Refusal> for PublicError {
    fn from(refusal: Refusal) -> Self {
        let (kind, reason, message) = refusal.parts();
        let error = Self::new(kind, reason, message);
        match refusal {
            Refusal::HoldConflict { job } => error.with_metadata("job_id", job.to_string()),
            Refusal::InsufficientCredits(shortage) | Refusal::SpendCapReached(shortage) => {
                with_shortage(error, &shortage)
            }
            Refusal::CaptureExceedsHold { held } => {
                error.with_metadata("held_credits", held.to_string())
            }
            Refusal::RefundExceedsCapture { left } => {
                error.with_metadata("refundable_credits", left.to_string())
            }
            Refusal::PriceBookChanged { present } => {
                error.with_metadata("present_version", present.to_string())
            }
            Refusal::PriceBookInvalid { field, problem } => error.with_violation(field, problem),
            Refusal::AccessRequired
            | Refusal::PayerFrozen
            | Refusal::HoldNotFound
            | Refusal::HoldSettled
            | Refusal::HoldNotCaptured
            | Refusal::RequestIdReused
            | Refusal::PayerNotFound
            | Refusal::CapInvalid
            | Refusal::RoleInsufficient
            | Refusal::PlanUnknown
            | Refusal::PlanPaid
            | Refusal::WindowInvalid
            | Refusal::DaysInvalid
            | Refusal::UsageTooLong
            | Refusal::CreditsInvalid
            | Refusal::TooManyGrants
            | Refusal::PageTokenInvalid
            | Refusal::PaymentsDisabled
            | Refusal::PackUnknown
            | Refusal::PlanFree
            | Refusal::CheckoutNotFound
            | Refusal::CheckoutOver
            | Refusal::NothingBought
            | Refusal::ReceiptNotFound
            | Refusal::SubscriptionNotFound
            | Refusal::RefundExceedsPayment
            | Refusal::WebhookRefused
            | Refusal::Voucher(_) => error,
        }
    }
}

fn with_shortage(error: PublicError, shortage: &Shortage) -> PublicError {
    let milliseconds = shortage.available_milliseconds;
    let seconds = format!("{}.{:03}", milliseconds / 1_000, milliseconds % 1_000);
    let reset_time = shortage
        .reset_time
        .to_rfc3339_opts(SecondsFormat::Secs, true);
    let error = match shortage.job {
        Some(job) => error.with_metadata("job_id", job.to_string()),
        None => error,
    };
    error
        .with_metadata("needed_credits", shortage.needed.to_string())
        .with_metadata("available_credits", shortage.available.to_string())
        .with_metadata("available_seconds", seconds)
        .with_metadata("affordable_frames", shortage.affordable_frames.to_string())
        .with_metadata("reset_time", reset_time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortage_says_what_there_is_and_when_more_comes() {
        let shortage = Shortage {
            needed: Credits::new(5000).unwrap(),
            available: Credits::new(1250).unwrap(),
            available_milliseconds: 1250,
            index: 0,
            job: Some(Uuid::nil()),
            affordable_frames: 20,
            reset_time: "2026-12-22T00:00:00Z".parse().unwrap(),
        };
        let error = PublicError::from(Refusal::InsufficientCredits(shortage));
        assert_eq!(
            (error.kind, error.reason.as_str()),
            (Kind::ResourceExhausted, "INSUFFICIENT_CREDITS")
        );
        let metadata: Vec<(&str, &str)> = error
            .metadata
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect();
        let expected = [
            ("job_id", "00000000-0000-0000-0000-000000000000"),
            ("needed_credits", "5000"),
            ("available_credits", "1250"),
            ("available_seconds", "1.250"),
            ("affordable_frames", "20"),
            ("reset_time", "2026-12-22T00:00:00Z"),
        ];
        assert_eq!(metadata, expected);
    }
}
