//! Webhooks on their way: signed, sent, sent again.

use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use super::faults::{Dice, WebhookFaults};
use super::world::World;

const HOUR: i64 = 3600;

/// Pauses after tries that failed; the last one again and again.
const PAUSES: [i64; 6] = [300, 1800, 2 * HOUR, 5 * HOUR, 10 * HOUR, 12 * HOUR];

/// Then nobody tries any longer.
const GIVE_UP: i64 = 72 * HOUR;

const STALE: i64 = HOUR;

/// A webhook to one endpoint, and how it fared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The event's id.
    pub event: String,
    /// What happened, for example `invoice.paid`.
    pub name: String,
    /// How often it was sent.
    pub tries: u32,
    /// How it stands.
    pub state: DeliveryState,
    endpoint: usize,
    begun_at: i64,
    next_at: i64,
}

/// How a webhook stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryState {
    /// It waits for its time.
    Pending,
    /// The endpoint took it.
    Delivered,
    /// The endpoint did not take it in three days.
    GivenUp,
    /// It got lost.
    Dropped,
}

/// Where webhooks go, and what they are signed with.
pub(super) struct Endpoint {
    pub(super) url: String,
    pub(super) secrets: Vec<String>,
}

/// A webhook as it is sent.
pub(super) struct Letter {
    pub(super) delivery: usize,
    pub(super) url: String,
    pub(super) signature: String,
    pub(super) body: String,
}

/// All webhooks.
#[derive(Default)]
pub(super) struct Outbox {
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) deliveries: Vec<Delivery>,
    /// When webhooks are signed, instead of now.
    pub(super) signs_at: Option<i64>,
    faults: WebhookFaults,
    dice: Dice,
}

impl Outbox {
    pub(super) const fn set_faults(&mut self, faults: WebhookFaults) {
        self.faults = faults;
        self.dice = Dice::new(faults.seed);
    }

    /// Has an event sent to every endpoint.
    pub(super) fn enqueue(&mut self, event: &str, name: &str, now: i64) {
        for endpoint in 0..self.endpoints.len() {
            let is_dropped = self.dice.hits(self.faults.drop);
            let is_late = self.dice.hits(self.faults.delay);
            let delay = if is_late { self.dice.below(3600) } else { 0 };
            self.deliveries.push(Delivery {
                event: event.to_owned(),
                name: name.to_owned(),
                tries: 0,
                state: if is_dropped {
                    DeliveryState::Dropped
                } else {
                    DeliveryState::Pending
                },
                endpoint,
                begun_at: now,
                next_at: now.saturating_add_unsigned(delay),
            });
        }
    }

    /// When the next webhook is to be sent.
    pub(super) fn next_at(&self) -> Option<i64> {
        let deliveries = self.deliveries.iter();
        let pending = deliveries.filter(|it| it.state == DeliveryState::Pending);
        pending.map(|it| it.next_at).min()
    }

    /// Which are to be sent now, in which order, each as often as it is sent.
    fn due(&mut self, now: i64) -> Vec<usize> {
        let is_due = |it: &Delivery| it.state == DeliveryState::Pending && it.next_at <= now;
        let mut due = Vec::new();
        for at in 0..self.deliveries.len() {
            if is_due(&self.deliveries[at]) {
                due.push(at);
                if self.dice.hits(self.faults.duplicate) {
                    due.push(at);
                }
            }
        }
        if self.faults.reorder {
            for at in (1..due.len()).rev() {
                let bound = u64::try_from(at + 1).unwrap_or(1);
                let other = usize::try_from(self.dice.below(bound)).unwrap_or(0);
                due.swap(at, other);
            }
        }
        due
    }

    /// Notes whether the endpoint took a webhook.
    pub(super) fn note(&mut self, delivery: usize, is_taken: bool, now: i64) {
        let Some(delivery) = self.deliveries.get_mut(delivery) else {
            return;
        };
        let pause = usize::try_from(delivery.tries).unwrap_or(usize::MAX);
        delivery.tries += 1;
        if is_taken {
            delivery.state = DeliveryState::Delivered;
        } else if delivery.state == DeliveryState::Pending {
            delivery.next_at = now + PAUSES[pause.min(PAUSES.len() - 1)];
            if delivery.next_at > delivery.begun_at + GIVE_UP {
                delivery.state = DeliveryState::GivenUp;
            }
        }
    }
}

impl World {
    /// The webhooks that are to be sent now.
    pub(super) fn letters(&mut self) -> Vec<Letter> {
        let due = self.outbox.due(self.now);
        due.into_iter().map(|at| self.letter(at)).collect()
    }

    fn letter(&mut self, delivery: usize) -> Letter {
        let outbox = &mut self.outbox;
        let is_forged = outbox.dice.hits(outbox.faults.bad_signature);
        let is_stale = outbox.dice.hits(outbox.faults.stale);
        let now = outbox.signs_at.unwrap_or(self.now);
        let time = if is_stale { now - STALE } else { now };
        let of = &self.outbox.deliveries[delivery];
        let endpoint = &self.outbox.endpoints[of.endpoint];
        let body = self.get(&of.event).to_string();
        let forger = vec!["whsec_of_nobody".to_owned()];
        let secrets = if is_forged {
            &forger
        } else {
            &endpoint.secrets
        };
        Letter {
            delivery,
            url: endpoint.url.clone(),
            signature: signature(secrets, time, &body),
            body,
        }
    }
}

/// Signs a webhook's body as Stripe does, at a time in seconds of Unix: what `Stripe-Signature` says.
///
/// # Panics
/// Never: HMAC takes keys of any length.
#[must_use]
pub fn signature<S: AsRef<str>>(secrets: &[S], time: i64, body: &str) -> String {
    let mut header = format!("t={time}");
    for secret in secrets {
        let mac = Hmac::<Sha256>::new_from_slice(secret.as_ref().as_bytes());
        let mac = mac
            .expect("HMAC takes any key")
            .chain_update(format!("{time}.{body}"));
        header.push_str(",v1=");
        header.push_str(&hex::encode(mac.finalize().into_bytes()));
    }
    header
}
