//! Whom Stripe knows as a customer.

use stripe_core::customer::CreateCustomer;

use crate::error::Error;
use crate::gateway::{Gateway, derived_key};
use crate::metadata::{Metadata, outgoing};
use crate::object_id::ObjectId;
use crate::read::id_of;

/// The name in a customer's metadata of who pays.
const PAYER: &str = "payer";

impl Gateway {
    /// Makes the customer of a payer, once within a day: keep the id. Later there would be another customer of the same
    /// payer, which does no harm. `metadata` gets `payer` added; Stripe asks people for their address itself.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn ensure_customer(
        &self,
        payer: &str,
        metadata: &Metadata,
    ) -> Result<ObjectId, Error> {
        let mut metadata = metadata.clone();
        metadata.insert(PAYER.to_owned(), payer.to_owned());
        let pairs = metadata.iter().flat_map(|(name, value)| [name, value]);
        let parts: Vec<&str> = pairs.map(String::as_str).collect();
        let key = derived_key("customer", &parts);
        let request = CreateCustomer::new().metadata(outgoing(&metadata)?);
        let customer = request.send(&self.keyed(&key)?).await?;
        id_of(&customer)
    }
}
