//! Who may call what.

use std::sync::Arc;

use kinora_access::{
    Access, Authenticator, Callers, GrpcTrust, RulesError, TrustKeeper, Verifier, Workloads,
};
use kinora_mesh::workload::Workload;
use kinora_proto::DESCRIPTORS;
use kinora_proto::prompts::v1::{prompt_service_server, review_service_server};
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

/// How the tokens name this service among those they are for.
const AUDIENCE: &str = "prompts";

/// Who brings people's calls.
const FRONT: Workloads = &["edge", "operator"];

/// Which workloads may call. What the caller behind the call needs is said by the contracts.
pub const CALLERS: [Callers; 2] = [
    // Who accepts jobs prepares them, too.
    Callers::new(
        prompt_service_server::SERVICE_NAME,
        &["edge", "operator", "scheduler"],
    ),
    Callers::new(review_service_server::SERVICE_NAME, FRONT),
];

/// All services, by their full names.
pub const SERVICES: [&str; 2] = Callers::services(&CALLERS);

/// The rules of the workload `own`, for tokens of `issuer` that are checked against what the accounts service says.
///
/// # Errors
/// [`RulesError`] when a method has no rule in its contract, or nobody who may call it.
pub fn access(
    own: Workload,
    issuer: &str,
    accounts: Channel,
    shutdown: CancellationToken,
) -> Result<Access, RulesError> {
    let trust = TrustKeeper::start(Arc::new(GrpcTrust::new(accounts)), shutdown);
    let authenticator = Authenticator::new(Verifier::new(issuer, &[AUDIENCE]), trust);
    Access::new(own, DESCRIPTORS, &CALLERS, authenticator)
}
