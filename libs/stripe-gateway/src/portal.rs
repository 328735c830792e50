//! Where people see their invoices, change their card and end their subscription: Stripe's own page.

use stripe_billing::billing_portal_session::CreateBillingPortalSession;

use crate::error::Error;
use crate::gateway::Gateway;
use crate::object_id::ObjectId;
use crate::purchase::check_url;

impl Gateway {
    /// Opens the portal for a customer and returns its address, which is good for some minutes and for whoever has it.
    /// From there `return_url` leads back.
    ///
    /// # Errors
    /// [`Error`]; [`Error::Refused`] while the account has no portal set up.
    pub async fn create_portal(
        &self,
        customer: &ObjectId,
        return_url: &str,
        key: &str,
    ) -> Result<String, Error> {
        check_url(return_url)?;
        let request = CreateBillingPortalSession::new()
            .customer(customer.as_str())
            .return_url(return_url);
        let session = request.send(&self.keyed(key)?).await?;
        check_url(&session.url).map_err(|_| Error::Unreadable("the portal has no address"))?;
        Ok(session.url)
    }
}
