//! A Stripe of its own for a test: what is asked of it over HTTP it does, keeps, and tells by webhooks.
//!
//! It knows the calls that Kinora makes, refuses parameters that Stripe does not know, and keeps answers under their
//! idempotency keys for a day. Its shapes have every field that the generated types need; they are those of its
//! [`FakeStripe::API_VERSION`]. Ids are counted and its clock stands still until [`FakeStripe::advance`], so what it
//! does is the same every time. What people and banks do (pay, dispute, let a card expire) are methods.
//!
//! What it cannot show, only Stripe can: `docs/stripe-live.md`.

mod acts;
mod api;
mod catalogue;
mod checkout;
mod clock;
mod deliveries;
mod faults;
mod form;
mod invoices;
mod lists;
mod payments;
mod server;
mod subscriptions;
mod world;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use reqwest::redirect::Policy;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use self::clock::Step;
use self::deliveries::{Endpoint, Letter};
use self::world::World;

pub use self::acts::Act;
pub use self::deliveries::{Delivery, DeliveryState, signature};
pub use self::faults::{ApiFault, WebhookFaults};
pub use self::server::StripeRequest;

/// How long an endpoint may take with a webhook.
const PATIENCE: Duration = Duration::from_secs(10);

/// What comes of a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayOutcome {
    /// The money is there at once.
    Succeeds,
    /// The card is declined; the checkout stays open.
    Declined,
    /// The bank takes days; [`FakeStripe::settle`] ends it. Packs only.
    TakesDays,
}

/// A running fake, until it is dropped.
pub struct FakeStripe {
    address: SocketAddr,
    world: Arc<Mutex<World>>,
    client: reqwest::Client,
    serving: JoinHandle<()>,
}

impl FakeStripe {
    /// The only key that it accepts.
    pub const SECRET_KEY: &str = "sk_test_of_the_fake";

    /// The version of the interface whose shapes it has.
    pub const API_VERSION: &str = world::API_VERSION;

    /// Starts on a free port of the loopback, with its clock at `now`, in seconds of Unix.
    ///
    /// # Panics
    /// When there is no free port.
    pub async fn start(now: i64) -> Self {
        Self::start_on(crate::net::loopback_listener().await, now)
    }

    /// As [`FakeStripe::start`], on a listener of the caller's.
    ///
    /// # Panics
    /// When the listener has no address.
    #[must_use]
    pub fn start_on(listener: TcpListener, now: i64) -> Self {
        // Fails only when a provider is installed already, which serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let address = listener.local_addr().expect("an address");
        let world = World::new(now, format!("http://{address}/"));
        let world = Arc::new(Mutex::new(world));
        let router = Router::new()
            .fallback(server::answer)
            .with_state(Arc::clone(&world));
        let serving = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        let client = reqwest::Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .timeout(PATIENCE)
            .build()
            .expect("an HTTP client");
        Self {
            address,
            world,
            client,
            serving,
        }
    }

    /// Where it is asked, with a `/` at the end.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Its clock, in seconds of Unix.
    #[must_use]
    pub fn now(&self) -> i64 {
        lock(&self.world).now
    }

    /// Sends webhooks of what happens from now on to `url`, signed with each of the secrets.
    pub fn send_webhooks_to(&self, url: &str, secrets: &[&str]) {
        let secrets = secrets.iter().map(|secret| (*secret).to_owned());
        lock(&self.world).outbox.endpoints.push(Endpoint {
            url: url.to_owned(),
            secrets: secrets.collect(),
        });
    }

    /// Signs webhooks at this time, in seconds of Unix, instead of that of its own clock, which may be ahead.
    pub fn sign_webhooks_at(&self, time: i64) {
        lock(&self.world).outbox.signs_at = Some(time);
    }

    /// Has something go wrong with the webhooks of what happens from now on.
    pub fn set_webhook_faults(&self, faults: WebhookFaults) {
        lock(&self.world).outbox.set_faults(faults);
    }

    /// Has something go wrong with the next call by this method (`GET`, `POST`, `DELETE`), after what was asked for
    /// before.
    pub fn fail_next(&self, method: &'static str, fault: ApiFault) {
        lock(&self.world).faults.push_back((method, fault));
    }

    /// Has something go wrong with one call, whatever its method, after so many others from now on.
    pub fn fail_after(&self, calls: usize, fault: ApiFault) {
        let mut world = lock(&self.world);
        let number = world.requests.len() + calls;
        world.planned.insert(number, fault);
    }

    /// Whether something is still to go wrong with a call.
    #[must_use]
    pub fn has_faults(&self) -> bool {
        let world = lock(&self.world);
        !(world.faults.is_empty() && world.planned.is_empty())
    }

    /// Forgets what was still to go wrong with calls.
    pub fn forget_faults(&self) {
        let mut world = lock(&self.world);
        world.faults.clear();
        world.planned.clear();
    }

    /// Lets time pass: subscriptions renew, invoices are collected, checkouts expire, webhooks are sent, each when it is
    /// due.
    pub async fn advance(&self, time: Duration) {
        let until = self.now().saturating_add_unsigned(time.as_secs());
        loop {
            let step = lock(&self.world).step(until);
            match step {
                Step::Done => {}
                Step::Send(letters) => self.post(letters).await,
                Step::Over => return,
            }
        }
    }

    /// Sends the webhooks that are due now.
    pub async fn deliver(&self) {
        self.advance(Duration::ZERO).await;
    }

    async fn post(&self, letters: Vec<Letter>) {
        for letter in letters {
            let sent = self
                .client
                .post(&letter.url)
                .header("content-type", "application/json; charset=utf-8")
                .header("stripe-signature", &letter.signature)
                .body(letter.body)
                .send()
                .await;
            let is_taken = sent.is_ok_and(|answer| answer.status().is_success());
            let mut world = lock(&self.world);
            let now = world.now;
            world.outbox.note(letter.delivery, is_taken, now);
        }
    }

    /// Somebody pays a checkout on Stripe's page.
    ///
    /// # Panics
    /// When it is not open.
    pub fn pay(&self, checkout: &str, outcome: PayOutcome) {
        let checkout = checkout.to_owned();
        must(self.act(&Act::Pay { checkout, outcome }));
    }

    /// The bank has decided on a payment that took days.
    ///
    /// # Panics
    /// When the checkout waits for none.
    pub fn settle(&self, checkout: &str, succeeds: bool) {
        let checkout = checkout.to_owned();
        must(self.act(&Act::Settle { checkout, succeeds }));
    }

    /// Whether a customer's card is declined from now on, when a subscription goes on.
    pub fn set_card_declined(&self, customer: &str, is_declined: bool) {
        let mut world = lock(&self.world);
        if is_declined {
            world.declined.insert(customer.to_owned());
        } else {
            world.declined.remove(customer);
        }
    }

    /// Somebody has a subscription end with its period, or go on, in the portal.
    ///
    /// # Panics
    /// When there is no such subscription.
    pub fn set_ending(&self, subscription: &str, ends: bool) {
        let subscription = subscription.to_owned();
        must(self.act(&Act::SetEnding { subscription, ends }));
    }

    /// An operator gives back a part of a payment, or all of it, on Stripe's own pages. Returns the refund.
    ///
    /// # Panics
    /// When so much is not left.
    pub fn refund(&self, payment: &str, amount: Option<i64>) -> String {
        let payment = payment.to_owned();
        must(self.act(&Act::Refund { payment, amount }))
    }

    /// The payer's bank would not take a refund.
    ///
    /// # Panics
    /// When it was not done.
    pub fn fail_refund(&self, refund: &str) {
        must(lock(&self.world).fail_refund(refund));
    }

    /// The payer's bank disputes a payment. Returns the dispute.
    ///
    /// # Panics
    /// When it cannot be disputed.
    pub fn open_dispute(&self, payment: &str) -> String {
        let payment = payment.to_owned();
        must(self.act(&Act::OpenDispute { payment }))
    }

    /// The payer's bank has decided; `is_won` is from the platform's side.
    ///
    /// # Panics
    /// When the dispute is not open.
    pub fn close_dispute(&self, dispute: &str, is_won: bool) {
        let dispute = dispute.to_owned();
        must(self.act(&Act::CloseDispute { dispute, is_won }));
    }

    /// An object as a call would read it; null when there is none.
    #[must_use]
    pub fn object(&self, id: &str) -> Value {
        lock(&self.world).get(id).clone()
    }

    /// All objects of a kind, which is their `object`, oldest first.
    #[must_use]
    pub fn objects(&self, kind: &str) -> Vec<Value> {
        lock(&self.world).of_kind(kind).cloned().collect()
    }

    /// The newest object of a kind of which something holds.
    #[must_use]
    pub fn newest(&self, kind: &str, is_it: impl Fn(&Value) -> bool) -> Option<Value> {
        let world = lock(&self.world);
        let mut newest_first = world.of_kind(kind).rev();
        newest_first.find(|object| is_it(object)).cloned()
    }

    /// The calls so far.
    #[must_use]
    pub fn requests(&self) -> Vec<StripeRequest> {
        lock(&self.world).requests.clone()
    }

    /// The webhooks so far.
    #[must_use]
    pub fn deliveries(&self) -> Vec<Delivery> {
        lock(&self.world).outbox.deliveries.clone()
    }
}

impl Drop for FakeStripe {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn lock(world: &Mutex<World>) -> MutexGuard<'_, World> {
    world.lock().unwrap_or_else(PoisonError::into_inner)
}

fn must<T>(done: Result<T, String>) -> T {
    done.unwrap_or_else(|problem| panic!("{problem}"))
}
