//! The contract, answered by the use cases: one module a topic. Here is only which call goes where.

mod access;
mod admin;
mod age;
mod audit;
mod auth;
mod convert;
mod invitations;
mod key;
mod keys;
mod notice;
mod operators;
mod organisation;
mod organisations;
mod passkeys;
mod passwords;
mod privacy;
mod profile;
mod providers;
mod second_factor;
mod service_accounts;
mod sessions;
mod sign_in;
mod sign_up;
mod signing_keys;
mod terms;
mod trust;
mod user;
mod user_view;

use std::pin::Pin;

use futures::Stream;
use tonic::Status;

pub use access::{CALLERS, SERVICES, access};
pub use admin::AdminGrpc;
pub use auth::AuthGrpc;
pub use key::KeyGrpc;
pub use notice::NoticeGrpc;
pub use organisation::OrganisationGrpc;
pub use signing_keys::OwnTrust;
pub use trust::TrustGrpc;
pub use user::UserGrpc;

type ServerStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;
