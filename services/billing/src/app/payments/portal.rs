//! Stripe's own pages for who has bought something.

use uuid::Uuid;

use super::customer;
use crate::app::App;
use crate::domain::caller::Caller;
use crate::domain::refusal::Refusal;
use crate::error::Error;

impl App {
    /// Opens the pages on which the payer's subscriptions are changed and ended, and answers where they are. Also for who
    /// is stopped: what costs money can always be ended.
    ///
    /// # Errors
    /// [`Refusal::PaymentsDisabled`], [`Refusal::RoleInsufficient`], [`Refusal::NothingBought`]; [`Error::Stripe`],
    /// [`Error::Database`].
    pub(crate) async fn create_portal(&self, caller: &Caller) -> Result<String, Error> {
        let payments = self.payments()?;
        caller.must_decide()?;
        let known = self.known_customer(&caller.payer).await?;
        let known = known.ok_or(Refusal::NothingBought)?;
        // Each call opens another one: the address is good for some minutes only.
        let key = format!("portal:{}", Uuid::now_v7());
        let (gateway, return_url) = (&payments.gateway, payments.return_url.as_str());
        match gateway.create_portal(&known, return_url, &key).await {
            Err(error) if customer::is_gone(&error) => {
                self.forget_customer(&caller.payer, &known).await?;
                Err(Refusal::NothingBought.into())
            }
            opened => Ok(opened?),
        }
    }
}
