//! Whether a webhook is Stripe's, and what it is about.
//!
//! Stripe signs `<time>.<body>` with HMAC-SHA-256 and sends `t=<time>,v1=<hex>[,v1=…]`. While a secret is changed there
//! are two of them on either side, so any of ours may fit any of theirs. Only when one does is the body read.

use hmac::{Hmac, Mac as _};
use kinora_mesh::secret::Secret;
use serde::Deserialize;
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq as _};

use crate::Time;
use crate::error::word;
use crate::object_id::ObjectId;
use crate::read::time;

#[cfg(test)]
mod tests;

/// A webhook is this old at most, and this far ahead at most, in seconds. Stripe signs each try anew.
const TOLERANCE: u64 = 300;

const MOST_BODY_BYTES: usize = 1 << 20;
const MOST_HEADER_BYTES: usize = 4096;

/// Stripe sends one for each secret that is in force.
const MOST_SIGNATURES: usize = 8;

/// Why a webhook is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WebhookError {
    /// The body has more than 1 MiB, or the header more than 4 KiB.
    #[error("the webhook is too large")]
    TooLarge,
    /// The header has no time or no signature, or several times.
    #[error("the signature header cannot be read")]
    Header,
    /// Nobody who knows a secret has signed this body.
    #[error("the signature is wrong")]
    Signature,
    /// It was signed too long ago, or in the future.
    #[error("the webhook was not signed just now")]
    Stale,
    /// It is signed, but is no event.
    #[error("the webhook is no event")]
    Content,
    /// It is of test mode and the key is live, or the other way round.
    #[error("the webhook is of another mode than the key")]
    Mode,
}

/// Something happened to an object. What, is found out by fetching it: events come late, twice and in any order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// By which repetitions are known.
    pub id: ObjectId,
    /// What the object is.
    pub kind: EventKind,
    /// Stripe's name of what happened, for example `invoice.paid`: one word of at most 100 ASCII characters.
    pub name: String,
    /// The object to fetch. Always there unless the kind is [`EventKind::Other`].
    pub object: Option<ObjectId>,
    /// When it happened.
    pub created: Time,
    /// Whether it is about real money.
    pub is_live: bool,
}

/// What an event's object is, and so what fetches it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// [`crate::Gateway::fetch_purchase`].
    Purchase,
    /// [`crate::Gateway::fetch_subscription`].
    Subscription,
    /// [`crate::Gateway::fetch_invoice`].
    Invoice,
    /// [`crate::Gateway::fetch_payment`].
    Payment,
    /// [`crate::Gateway::fetch_charge`].
    Charge,
    /// [`crate::Gateway::fetch_refund`].
    Refund,
    /// [`crate::Gateway::fetch_dispute`].
    Dispute,
    /// Nothing that is dealt with here.
    Other,
}

impl Event {
    /// Puts an event together from what Stripe says; `object` is the object's `object` and `id`.
    pub(crate) fn new(
        id: &str,
        name: &str,
        created: i64,
        is_live: bool,
        object: (Option<&str>, Option<&str>),
    ) -> Result<Self, WebhookError> {
        let (object_kind, object_id) = object;
        let object = object_id.and_then(|id| ObjectId::parse(id).ok());
        let kind = match object {
            Some(_) => EventKind::of(object_kind.unwrap_or_default()),
            // Such as an invoice that is only a forecast.
            None => EventKind::Other,
        };
        Ok(Self {
            id: ObjectId::parse(id).map_err(|_| WebhookError::Content)?,
            kind,
            name: word(name).ok_or(WebhookError::Content)?,
            object,
            created: time(created).map_err(|_| WebhookError::Content)?,
            is_live,
        })
    }
}

impl EventKind {
    /// By Stripe's name of the object: names of events are many, and become more.
    fn of(object: &str) -> Self {
        match object {
            "checkout.session" => Self::Purchase,
            "subscription" => Self::Subscription,
            "invoice" => Self::Invoice,
            "payment_intent" => Self::Payment,
            "charge" => Self::Charge,
            "refund" => Self::Refund,
            "dispute" => Self::Dispute,
            _ => Self::Other,
        }
    }
}

/// Tells Stripe's webhooks from others.
#[derive(Clone)]
pub(crate) struct Verifier {
    secrets: Vec<Secret>,
    is_live: bool,
}

impl Verifier {
    pub(crate) const fn new(secrets: Vec<Secret>, is_live: bool) -> Self {
        Self { secrets, is_live }
    }

    pub(crate) fn verify(
        &self,
        body: &[u8],
        header: &str,
        now: Time,
    ) -> Result<Event, WebhookError> {
        if body.len() > MOST_BODY_BYTES || header.len() > MOST_HEADER_BYTES {
            return Err(WebhookError::TooLarge);
        }
        let header = Header::parse(header)?;
        if !self.is_signed(&header, body) {
            return Err(WebhookError::Signature);
        }
        if now.timestamp().abs_diff(header.seconds) > TOLERANCE {
            return Err(WebhookError::Stale);
        }
        let event = read(body)?;
        if event.is_live != self.is_live {
            return Err(WebhookError::Mode);
        }
        Ok(event)
    }

    /// Takes as long whichever secret fits, or none.
    fn is_signed(&self, header: &Header<'_>, body: &[u8]) -> bool {
        let mut fits = Choice::from(0);
        for secret in &self.secrets {
            let Ok(mac) = Hmac::<Sha256>::new_from_slice(secret.reveal().as_bytes()) else {
                return false;
            };
            let signed = mac
                .chain_update(header.time)
                .chain_update(b".")
                .chain_update(body);
            let expected = signed.finalize().into_bytes();
            for signature in &header.signatures {
                fits |= expected.as_slice().ct_eq(signature.as_slice());
            }
        }
        fits.into()
    }
}

/// `Stripe-Signature`, taken apart.
struct Header<'h> {
    /// As it was sent, since that is what is signed.
    time: &'h str,
    seconds: i64,
    signatures: Vec<[u8; 32]>,
}

impl<'h> Header<'h> {
    fn parse(header: &'h str) -> Result<Self, WebhookError> {
        let mut time = None;
        let mut signatures = Vec::new();
        for part in header.split(',') {
            let (name, value) = part.trim().split_once('=').ok_or(WebhookError::Header)?;
            match name {
                "t" if time.is_some() => return Err(WebhookError::Header),
                "t" => time = Some(value),
                "v1" if signatures.len() == MOST_SIGNATURES => return Err(WebhookError::Header),
                "v1" => signatures.push(signature(value)?),
                // v0 is a scheme of test mode that is no longer used.
                _ => {}
            }
        }
        let time = time.ok_or(WebhookError::Header)?;
        if signatures.is_empty() || !time.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(WebhookError::Header);
        }
        Ok(Self {
            time,
            seconds: time.parse().map_err(|_| WebhookError::Header)?,
            signatures,
        })
    }
}

fn signature(hexadecimal: &str) -> Result<[u8; 32], WebhookError> {
    let mut signature = [0; 32];
    hex::decode_to_slice(hexadecimal, &mut signature).map_err(|_| WebhookError::Header)?;
    Ok(signature)
}

/// The part of an event that is read.
#[derive(Deserialize)]
struct Envelope {
    id: String,
    #[serde(rename = "type")]
    name: String,
    created: i64,
    livemode: bool,
    data: EnvelopeData,
}

#[derive(Deserialize)]
struct EnvelopeData {
    object: EnvelopeObject,
}

#[derive(Deserialize)]
struct EnvelopeObject {
    object: Option<String>,
    id: Option<String>,
}

fn read(body: &[u8]) -> Result<Event, WebhookError> {
    let event: Envelope = serde_json::from_slice(body).map_err(|_| WebhookError::Content)?;
    let object = event.data.object;
    Event::new(
        &event.id,
        &event.name,
        event.created,
        event.livemode,
        (object.object.as_deref(), object.id.as_deref()),
    )
}
