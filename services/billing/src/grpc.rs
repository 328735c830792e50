//! The contract, answered by the use cases: one module a topic. Here is only which call goes where.

mod access;
mod admin;
mod audit;
mod balance;
mod billing;
mod convert;
mod ledger;
mod operators;
mod payment_admin;
mod payments;
mod prices;
mod usage;
mod voucher_export;
mod vouchers;

use std::pin::Pin;

use futures::Stream;
use tonic::Status;

pub use access::{CALLERS, SERVICES, access};
pub use admin::AdminGrpc;
pub use billing::BillingGrpc;
pub use ledger::LedgerGrpc;
pub use payments::PaymentGrpc;

type ServerStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;
