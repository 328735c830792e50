//! Disputes: a payer's bank takes the money back, at first or for good.

use stripe_core::dispute::RetrieveDispute;
use stripe_shared::{Dispute as StripeDispute, DisputeStatus};

use crate::Time;
use crate::error::{Error, word};
use crate::gateway::Gateway;
use crate::money::{Currencies, Money};
use crate::object_id::ObjectId;
use crate::read::{id_of, optional_reference, reference, time};

/// A dispute, as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dispute {
    /// Its id.
    pub id: ObjectId,
    /// Who has the money.
    pub state: DisputeState,
    /// What is disputed.
    pub amount: Money,
    /// The charge that it is about.
    pub charge: ObjectId,
    /// The payment that it is about.
    pub payment: Option<ObjectId>,
    /// What the bank says, in Stripe's word; empty when that is none.
    pub reason: String,
    /// When it began.
    pub created: Time,
}

/// Who has the money of a dispute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DisputeState {
    /// The bank only asks; the money is here.
    Inquiry,
    /// The bank only asked; the money has stayed here.
    InquiryClosed,
    /// The bank has the money until it decides.
    Open,
    /// The money came back.
    Won,
    /// The money is gone.
    Lost,
    /// It was settled before it began, by a refund.
    Prevented,
}

impl Gateway {
    /// Reads a dispute.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn fetch_dispute(&self, id: &ObjectId) -> Result<Dispute, Error> {
        let request = RetrieveDispute::new(id.as_str());
        dispute(&request.send(&self.call()).await?, &self.currencies)
    }
}

fn dispute(dispute: &StripeDispute, currencies: &Currencies) -> Result<Dispute, Error> {
    Ok(Dispute {
        id: id_of(dispute)?,
        state: state(&dispute.status)?,
        amount: currencies.sum(dispute.amount, &dispute.currency.to_string())?,
        charge: reference(&dispute.charge)?,
        payment: optional_reference(dispute.payment_intent.as_ref())?,
        reason: word(&dispute.reason).unwrap_or_default(),
        created: time(dispute.created)?,
    })
}

fn state(status: &DisputeStatus) -> Result<DisputeState, Error> {
    Ok(match status {
        DisputeStatus::WarningNeedsResponse | DisputeStatus::WarningUnderReview => {
            DisputeState::Inquiry
        }
        DisputeStatus::WarningClosed => DisputeState::InquiryClosed,
        DisputeStatus::NeedsResponse | DisputeStatus::UnderReview => DisputeState::Open,
        DisputeStatus::Won => DisputeState::Won,
        DisputeStatus::Lost => DisputeState::Lost,
        DisputeStatus::Prevented => DisputeState::Prevented,
        _ => return Err(Error::Unreadable("a dispute is in a state of its own")),
    })
}
