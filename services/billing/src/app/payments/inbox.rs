//! The inbox of Stripe's events: they are kept before they are answered, and handled afterwards, until it works.

use std::collections::HashSet;
use std::time::Duration;

use chrono::TimeDelta;
use kinora_mesh::error::chain;
use kinora_stripe_gateway::ObjectId;

use crate::app::App;
use crate::domain::receipt::pause_after;
use crate::domain::refusal::Refusal;
use crate::error::Error;
use crate::store::entity::payments::event;
use crate::store::stripe_events;

/// Events that are looked at before others have their turn.
const EVENTS: u64 = 50;

/// Stripe sends an event again for days, and lists it for 30; later nobody asks whether it is a repetition.
const KEPT_DAYS: i64 = 60;

/// However long Stripe wants to be left alone.
const LONGEST_PAUSE: Duration = Duration::from_secs(60 * 60);

/// What came of an object's events.
enum Handled {
    /// So many are done.
    Done(u64),
    /// They are tried again later.
    Failed {
        /// Whether it is Stripe that does not answer, so that others would not go better.
        is_away: bool,
    },
}

impl App {
    /// Takes a webhook, as it came, into the inbox. One of a kind that nothing is done about is not kept.
    ///
    /// # Errors
    /// [`Refusal::PaymentsDisabled`]; [`Refusal::WebhookRefused`] when it is not Stripe's; [`Error::Database`], on which
    /// Stripe sends it again.
    pub(crate) async fn receive_webhook(&self, body: &[u8], signature: &str) -> Result<(), Error> {
        let payments = self.payments()?;
        if !payments.has_webhooks {
            return Err(Refusal::WebhookRefused.into());
        }
        let now = self.now();
        let verified = payments.gateway.verify_webhook(body, signature, now);
        let event = verified.map_err(|error| {
            tracing::info!(%error, "a webhook was refused");
            Refusal::WebhookRefused
        })?;
        let tx = self.store.begin().await?;
        let is_new = stripe_events::insert(&tx, &event, now).await?;
        tx.commit().await?;
        if is_new {
            self.payment_wake.notify_one();
        }
        Ok(())
    }

    /// Handles some of the events whose time has come, each object once, and answers how many are done. One that cannot be
    /// handled is put off, and holds up no other.
    ///
    /// # Errors
    /// [`Error::Database`] when they cannot be looked for, or put off.
    pub(crate) async fn handle_events(&self) -> Result<u64, Error> {
        if self.payments.is_none() {
            return Ok(0);
        }
        let due = stripe_events::due(self.store.reader(), self.now(), EVENTS).await?;
        let (mut objects, mut done) = (HashSet::new(), 0);
        for event in &due {
            if !objects.insert((event.kind, event.object.as_str())) {
                continue;
            }
            match self.handle_object(event).await? {
                Handled::Done(events) => done += events,
                Handled::Failed { is_away: true } => break,
                Handled::Failed { is_away: false } => {}
            }
        }
        Ok(done)
    }

    async fn handle_object(&self, event: &event::Model) -> Result<Handled, Error> {
        let reader = self.store.reader();
        let waiting = stripe_events::waiting_for(reader, event.kind, &event.object).await?;
        let tries = waiting.iter().map(|(_, tries)| *tries).max();
        let Some(tries) = tries else {
            // Another replica was faster.
            return Ok(Handled::Done(0));
        };
        let ids: Vec<String> = waiting.into_iter().map(|(id, _)| id).collect();
        match Box::pin(self.settle_event(event, &ids)).await {
            Ok(()) => Ok(Handled::Done(ids.len().try_into().unwrap_or(u64::MAX))),
            Err(error) => {
                let tries = tries.saturating_add(1);
                self.put_off(event, &ids, tries, &error).await?;
                let is_away = matches!(&error, Error::Stripe(error) if error.is_transient());
                Ok(Handled::Failed { is_away })
            }
        }
    }

    async fn settle_event(&self, event: &event::Model, ids: &[String]) -> Result<(), Error> {
        let kind = stripe_events::kind_of(event)?;
        let object = ObjectId::parse(&event.object)?;
        self.settle_object(kind, &object, ids).await
    }

    async fn put_off(
        &self,
        event: &event::Model,
        ids: &[String],
        tries: i32,
        error: &Error,
    ) -> Result<(), Error> {
        let pause = pause_after(tries).max(asked_pause(error));
        let (event, object) = (&event.name, &event.object);
        tracing::warn!(event, object, tries, ?pause, error = %chain(error), "an event of Stripe's was put off");
        let pause = TimeDelta::from_std(pause).unwrap_or(TimeDelta::hours(1));
        let tx = self.store.begin().await?;
        let next_time = self.now() + pause;
        stripe_events::failed(&tx, ids, &problem_of(error), next_time).await?;
        Ok(tx.commit().await?)
    }

    /// Forgets events that were handled long ago, and answers how many these are.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub(crate) async fn sweep_events(&self) -> Result<u64, Error> {
        let tx = self.store.begin().await?;
        let before = self.now() - TimeDelta::days(KEPT_DAYS);
        let swept = stripe_events::sweep(&tx, before).await?;
        tx.commit().await?;
        Ok(swept)
    }
}

/// How long Stripe wants to be left alone.
fn asked_pause(error: &Error) -> Duration {
    match error {
        Error::Stripe(error) => error.retry_after().unwrap_or_default().min(LONGEST_PAUSE),
        _ => Duration::ZERO,
    }
}

/// What an operator is told. Neither these errors nor what they stem from carry secrets.
fn problem_of(error: &Error) -> String {
    match error {
        Error::Refused(refusal) => format!("refused: {}", refusal.reason()),
        Error::Stripe(error) => error.to_string(),
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests;
