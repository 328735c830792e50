//! The use cases of the webhooks.

use std::sync::Arc;
use std::time::Duration;

use kinora_ids::JobId;
use kinora_mesh::places::Places;
use kinora_store::page::Page;
use tokio::time::timeout;
use url::Url;
use uuid::Uuid;

use super::error::WebhookError;
use super::event::{EventKind, Subscription};
use super::metrics::WebhookMetrics;
use super::model::{Delivery, Endpoint};
use super::options::WebhookOptions;
use super::resolve::{LookUp, Refusal};
use super::secret::Secret;
use super::sender::Sender;
use super::store::{Changes, NewEndpoint, WebhookStore};
use super::target::{UrlProblem, parse_target};
use crate::app::PAGES;
use crate::clock::Clock;
use crate::error::Error;
use crate::store::JobStore;

/// How long a new URL's name is looked up.
const LOOK_UP_PATIENCE: Duration = Duration::from_secs(3);

/// Look-ups of callers' names at a time in this process. The machine's resolver takes a thread for each, cannot be
/// stopped, and waits for a dead name server as long as it pleases.
const LOOK_UPS: u32 = 32;

/// Those of an owner.
const LOOK_UPS_OF_OWNER: u32 = 2;

/// Endpoints, deliveries, and everything that sends them.
pub struct Webhooks {
    pub(super) store: WebhookStore,
    pub(super) jobs: JobStore,
    pub(super) sender: Sender,
    pub(super) options: WebhookOptions,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) metrics: Arc<dyn WebhookMetrics>,
    look_ups: Places,
}

/// An endpoint to be made, as its owner describes it.
#[derive(Clone, Debug)]
pub struct EndpointRequest {
    /// Where messages go.
    pub url: String,
    /// Names of events; none for the default.
    pub events: Vec<String>,
    /// The only job it is told of.
    pub job: Option<JobId>,
}

/// What to change of an endpoint, as its owner describes it.
#[derive(Clone, Debug, Default)]
pub struct EndpointChanges {
    /// Where messages go.
    pub url: Option<String>,
    /// Names of events; none for the default.
    pub events: Option<Vec<String>>,
    /// Whether it gets messages.
    pub enabled: Option<bool>,
}

impl Webhooks {
    /// Brings the parts together. `look_up` finds the addresses of names.
    ///
    /// # Errors
    /// [`WebhookError::Client`].
    pub fn new(
        store: WebhookStore,
        jobs: JobStore,
        options: WebhookOptions,
        look_up: Arc<dyn LookUp>,
        clock: Arc<dyn Clock>,
        metrics: Arc<dyn WebhookMetrics>,
    ) -> Result<Self, WebhookError> {
        let sender = Sender::new(options.target_rules(), options.patience(), look_up);
        Ok(Self {
            store,
            jobs,
            sender: sender.map_err(WebhookError::Client)?,
            options,
            clock,
            metrics,
            look_ups: Places::new(LOOK_UPS, LOOK_UPS_OF_OWNER),
        })
    }

    /// Makes an endpoint. Its secret is in the answer, and in no later one.
    ///
    /// # Errors
    /// [`WebhookError::Url`], [`WebhookError::EventUnknown`], [`WebhookError::TooManyEndpoints`],
    /// [`WebhookError::LookUpsBusy`], [`Error::JobNotFound`], [`Error::Store`].
    pub async fn create(&self, owner: &str, request: EndpointRequest) -> Result<Endpoint, Error> {
        let subscription = subscription(&request.events)?;
        // Before the URL's name is looked up: what cannot be made costs nobody a thread.
        if !self.store.has_room(owner).await? {
            return Err(WebhookError::TooManyEndpoints.into());
        }
        let url = self.check_url(owner, &request.url).await?;
        if let Some(job) = request.job {
            let found = self.jobs.get(owner, job).await?;
            found.ok_or(Error::JobNotFound)?;
        }
        let new = NewEndpoint {
            owner: owner.to_owned(),
            url: url.into(),
            subscription,
            job: request.job,
            secret: Secret::generate(),
        };
        let made = self.store.create_endpoint(&new, self.clock.now()).await?;
        let made = made.ok_or(WebhookError::TooManyEndpoints)?;
        // Seen from here on, the end of the job lets the endpoint go; one before it does not.
        if let Some(job) = request.job
            && self.has_ended(owner, job).await?
        {
            self.store
                .expire_endpoint(made.id, self.clock.now())
                .await?;
        }
        tracing::info!(endpoint_id = %made.id, "webhook endpoint made");
        Ok(made)
    }

    /// Reads an endpoint.
    ///
    /// # Errors
    /// [`WebhookError::EndpointNotFound`], [`Error::Store`].
    pub async fn get(&self, owner: &str, id: Uuid) -> Result<Endpoint, Error> {
        let found = self.store.endpoint(owner, id).await?;
        Ok(found.ok_or(WebhookError::EndpointNotFound)?)
    }

    /// Lists endpoints, oldest first.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn list(&self, owner: &str) -> Result<Vec<Endpoint>, Error> {
        Ok(self.store.endpoints(owner).await?)
    }

    /// Changes an endpoint. Enabling it, or giving it another URL, closes an open circuit.
    ///
    /// # Errors
    /// As [`Self::create`], and [`WebhookError::EndpointNotFound`].
    pub async fn update(
        &self,
        owner: &str,
        id: Uuid,
        changes: EndpointChanges,
    ) -> Result<Endpoint, Error> {
        // Before the URL's name is looked up: nobody probes names through another's endpoint.
        self.get(owner, id).await?;
        let events = changes.events.as_deref();
        let subscription = events.map(subscription).transpose()?;
        let url = match &changes.url {
            Some(url) => Some(self.check_url(owner, url).await?.into()),
            None => None,
        };
        let changes = Changes {
            url,
            subscription,
            enabled: changes.enabled,
            secret: None,
        };
        self.change(owner, id, changes).await
    }

    /// Gives an endpoint a new secret, which is in the answer.
    ///
    /// # Errors
    /// [`WebhookError::EndpointNotFound`], [`Error::Store`].
    pub async fn rotate(
        &self,
        owner: &str,
        id: Uuid,
        drops_former: bool,
    ) -> Result<Endpoint, Error> {
        let changes = Changes {
            secret: Some((Secret::generate(), drops_former)),
            ..Changes::default()
        };
        self.change(owner, id, changes).await
    }

    /// Removes an endpoint and its log.
    ///
    /// # Errors
    /// [`WebhookError::EndpointNotFound`], [`Error::Store`].
    pub async fn delete(&self, owner: &str, id: Uuid) -> Result<(), Error> {
        if self.store.delete_endpoint(owner, id).await? {
            tracing::info!(endpoint_id = %id, "webhook endpoint deleted");
            return Ok(());
        }
        Err(WebhookError::EndpointNotFound.into())
    }

    /// Lists deliveries of an endpoint, newest first, with the token of the next page if there is one.
    ///
    /// # Errors
    /// [`WebhookError::EndpointNotFound`], [`Error::PageSize`], [`Error::PageToken`], [`Error::Store`].
    pub async fn deliveries(
        &self,
        owner: &str,
        endpoint: Uuid,
        page_size: i32,
        page_token: &str,
    ) -> Result<(Vec<Delivery>, String), Error> {
        // Bound to the endpoint as well: another's page begins nowhere in this list.
        let reader = [&endpoint.to_string(), owner];
        let page = Page::of(PAGES, &reader, page_size, page_token)?;
        self.get(owner, endpoint).await?;
        let found = self
            .store
            .deliveries(owner, endpoint, page.after, page.rows())
            .await?;
        Ok(page.cut(found, |delivery| delivery.id))
    }

    /// Sends a delivery once more, under its own message id.
    ///
    /// # Errors
    /// [`WebhookError::DeliveryNotFound`], [`WebhookError::EndpointDisabled`], [`Error::Store`].
    pub async fn replay(&self, owner: &str, id: Uuid) -> Result<Delivery, Error> {
        let now = self.clock.now();
        let give_up_time = now + self.options.give_up;
        let found = self.store.replay(owner, id, give_up_time, now).await?;
        let (delivery, is_enabled) = found.ok_or(WebhookError::DeliveryNotFound)?;
        if is_enabled {
            Ok(delivery)
        } else {
            Err(WebhookError::EndpointDisabled.into())
        }
    }

    async fn has_ended(&self, owner: &str, job: JobId) -> Result<bool, Error> {
        let job = self.jobs.get(owner, job).await?;
        Ok(job.is_none_or(|job| job.state.is_terminal()))
    }

    async fn change(&self, owner: &str, id: Uuid, changes: Changes) -> Result<Endpoint, Error> {
        let now = self.clock.now();
        let changed = self.store.change_endpoint(owner, id, changes, now).await?;
        Ok(changed.ok_or(WebhookError::EndpointNotFound)?)
    }

    /// Reads a URL and looks its name up, so that a mistake is told at once. A name that leads nowhere passes: it may
    /// be there later, and what it leads to is checked at every connection.
    async fn check_url(&self, owner: &str, text: &str) -> Result<Url, WebhookError> {
        let url = parse_target(text, self.options.target_rules())?;
        let guard = self.sender.guard();
        if !guard.allows_literal(&url) {
            return Err(UrlProblem::NotAllowed.into());
        }
        if let Some(name) = url.domain() {
            let slot = self.look_ups.take(owner);
            let slot = slot.ok_or(WebhookError::LookUpsBusy)?;
            let looked_up = timeout(LOOK_UP_PATIENCE, guard.addresses(name, slot)).await;
            if let Ok(Err(Refusal::PointsInside)) = looked_up {
                return Err(UrlProblem::NotAllowed.into());
            }
        }
        Ok(url)
    }
}

fn subscription(names: &[String]) -> Result<Subscription, WebhookError> {
    let kinds = names.iter().map(|name| name.parse::<EventKind>());
    kinds
        .collect::<Result<_, _>>()
        .map_err(|_| WebhookError::EventUnknown)
}

#[cfg(test)]
mod tests;
