//! The end of a subscription, as operators make it.

use kinora_stripe_gateway::{EventKind, ObjectId};
use uuid::Uuid;

use crate::app::App;
use crate::domain::refusal::Refusal;
use crate::domain::request_id::check_note;
use crate::error::Error;
use crate::store::entity::payments::subscription;
use crate::store::subscriptions;

/// How the audit log names it.
const ACTION: &str = "subscription.cancel";

impl App {
    /// Ends a subscription now, and answers with it as it is then. What was paid stays paid.
    ///
    /// # Errors
    /// [`Refusal::PaymentsDisabled`], [`Refusal::SubscriptionNotFound`], [`Error::Field`], [`Error::Stripe`],
    /// [`Error::Database`].
    pub(crate) async fn cancel_subscription(
        &self,
        operator: Uuid,
        id: &str,
        note: &str,
    ) -> Result<subscription::Model, Error> {
        let done = self.cancel_subscription_of(operator, id, note).await;
        self.audit_refusal(operator, ACTION, id, done).await
    }

    async fn cancel_subscription_of(
        &self,
        operator: Uuid,
        id: &str,
        note: &str,
    ) -> Result<subscription::Model, Error> {
        check_note(note)?;
        let gateway = &self.payments()?.gateway;
        let row = self.subscription(id).await?;
        let object = ObjectId::parse(&row.id)?;
        self.note_asked(operator, ACTION, id, &format!("asked: {note}"))
            .await?;
        gateway.cancel_subscription(&object).await?;
        tracing::info!(subscription = %id, %operator, "an operator ended a subscription");
        self.settle_object(EventKind::Subscription, &object, &[])
            .await?;
        self.subscription(id).await
    }

    async fn subscription(&self, id: &str) -> Result<subscription::Model, Error> {
        let found = subscriptions::find(self.store.reader(), id).await?;
        Ok(found.ok_or(Refusal::SubscriptionNotFound)?)
    }
}
