//! The only place that sees Stripe.
//!
//! A [`Gateway`] asks Stripe for what billing needs (customers, prices, checkouts, the portal, refunds), reads back what
//! became of it, and tells genuine webhooks from others. Stripe's types end here: what comes out are a few plain
//! structs, money in the smallest unit of a currency that the operator has named.
//!
//! - **Nothing is done twice.** Every call that makes something has an idempotency key of the caller's. Calls that may
//!   pass are tried again under the same key ([`RetryPolicy`]). Stripe forgets a key after a day, so a refund, which
//!   would cost money, also carries its key in its metadata and is looked for before it is made.
//! - **Nothing is believed.** A webhook is a hint: its signature is checked over the raw bytes, and of its content only
//!   ids are read ([`Event`]). Who handles it fetches the object, which makes order and repetition harmless.
//! - **Nothing is guessed.** A currency, a state or a shape that is not known is an [`Error`], never a default.
//! - **Nothing is told.** Errors and logs carry Stripe's codes and request ids; no key, no body, no address.
//!
//! Requests and answers are the generated types of `async-stripe`, which pin the version of Stripe's interface. They
//! are sent by a client of our own (`transport.rs`), because the generated one hides `Retry-After`, reads answers of any
//! size, and either retries or keeps to our key, but not both.

mod customer;
mod dispute;
mod error;
mod gateway;
mod history;
mod invoice;
mod metadata;
mod money;
mod object_id;
mod options;
mod payment;
mod portal;
mod price;
mod purchase;
mod read;
mod refund;
mod retry;
mod subscription;
mod transport;
mod webhook;

/// To the second, as Stripe has it.
pub type Time = chrono::DateTime<chrono::Utc>;

pub use self::dispute::{Dispute, DisputeState};
pub use self::error::{Away, Error, Refusal};
pub use self::gateway::Gateway;
pub use self::history::{Movement, Page, Span};
pub use self::invoice::{Invoice, InvoiceLine, InvoiceReason, InvoiceState};
pub use self::metadata::Metadata;
pub use self::money::{Currencies, Currency, Money};
pub use self::object_id::ObjectId;
pub use self::options::Options;
pub use self::payment::{Charge, Payment, PaymentState};
pub use self::price::{Offer, OfferedPrice, Period};
pub use self::purchase::{Checkout, OpenCheckout, Purchase, PurchaseKind, PurchaseState};
pub use self::refund::{Refund, RefundState};
pub use self::retry::RetryPolicy;
pub use self::subscription::{SubscriptionState, SubscriptionStatus};
pub use self::webhook::{Event, EventKind, WebhookError};
