//! Who calls, as their token says.

use uuid::Uuid;

use super::payer::Payer;
use super::refusal::Refusal;

/// The user or program behind a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// A user or service account.
    pub user: Uuid,
    /// Who pays: the organisation that they act for, or they themselves.
    pub payer: Payer,
    /// Whether they may decide for the payer: for themselves, or as an owner or admin of the organisation.
    pub may_decide: bool,
}

impl Caller {
    /// Passes for who may decide for the payer.
    ///
    /// # Errors
    /// [`Refusal::RoleInsufficient`] otherwise.
    pub const fn must_decide(&self) -> Result<(), Refusal> {
        if self.may_decide {
            Ok(())
        } else {
            Err(Refusal::RoleInsufficient)
        }
    }
}
