//! Who may call what.

use std::sync::Arc;

use kinora_access::{
    Access, Authenticator, Callers, RulesError, TrustKeeper, TrustSource, Verifier, Workloads,
};
use kinora_mesh::workload::Workload;
use kinora_proto::DESCRIPTORS;
use kinora_proto::accounts::v1::{
    admin_service_server, auth_service_server, key_service_server, notice_service_server,
    organisation_service_server, trust_service_server, user_service_server,
};
use tokio_util::sync::CancellationToken;

/// How the tokens name this service among those they are for.
const AUDIENCE: &str = "accounts";

/// Who brings people's calls.
const FRONT: Workloads = &["edge", "operator"];

/// Which workloads may call. What the caller behind the call needs is said by the contracts.
pub const CALLERS: [Callers; 7] = [
    Callers::new(admin_service_server::SERVICE_NAME, FRONT),
    Callers::new(auth_service_server::SERVICE_NAME, FRONT),
    Callers::new(key_service_server::SERVICE_NAME, FRONT),
    // Who has something to tell people.
    Callers::new(notice_service_server::SERVICE_NAME, &["billing"]),
    Callers::new(organisation_service_server::SERVICE_NAME, FRONT),
    // Who checks tokens.
    Callers::new(
        trust_service_server::SERVICE_NAME,
        &[
            "accounts",
            "billing",
            "edge",
            "operator",
            "prompts",
            "scheduler",
        ],
    ),
    Callers::new(user_service_server::SERVICE_NAME, FRONT),
];

/// All services, by their full names.
pub const SERVICES: [&str; 7] = Callers::services(&CALLERS);

/// The rules of the workload `own`, for tokens of `issuer` that are checked against what this service itself says.
///
/// # Errors
/// [`RulesError`] when a method has no rule in its contract, or nobody who may call it.
pub fn access(
    own: Workload,
    issuer: &str,
    trust: Arc<dyn TrustSource>,
    shutdown: CancellationToken,
) -> Result<Access, RulesError> {
    let trust = TrustKeeper::start(trust, shutdown);
    let authenticator = Authenticator::new(Verifier::new(issuer, &[AUDIENCE]), trust);
    Access::new(own, DESCRIPTORS, &CALLERS, authenticator)
}
