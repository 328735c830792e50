//! Who may call what.

use std::sync::Arc;

use kinora_access::{
    Access, Authenticator, GrpcTrust, Rule, RulesError, Scope, TrustKeeper, Verifier,
};
use kinora_mesh::workload::Workload;
use kinora_proto::DESCRIPTORS;
use kinora_proto::scheduler::v1::admin_service_server;
use kinora_proto::scheduler::v1::scheduler_service_server;
use kinora_proto::scheduler::v1::webhook_service_server;
use kinora_proto::scheduler::v1::worker_service_server;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

/// All services, by their full names.
pub const SERVICES: [&str; 4] = [
    scheduler_service_server::SERVICE_NAME,
    worker_service_server::SERVICE_NAME,
    admin_service_server::SERVICE_NAME,
    webhook_service_server::SERVICE_NAME,
];

/// How the tokens name this service among those they are for.
const AUDIENCE: &str = "scheduler";

/// Who brings people's calls.
const FRONT: &[&str] = &["edge", "operator"];

const READ: Scope = Scope::VideosRead;
const WRITE: Scope = Scope::VideosWrite;
const HOOKS: Scope = Scope::Webhooks;
const ADMIN: Scope = Scope::Admin;

const RULES: [Rule; 30] = [
    Rule::user("/kinora.scheduler.v1.SchedulerService/Submit", FRONT, WRITE).with_terms(),
    Rule::user(
        "/kinora.scheduler.v1.SchedulerService/SubmitBatch",
        FRONT,
        WRITE,
    )
    .with_terms(),
    Rule::user(
        "/kinora.scheduler.v1.SchedulerService/SubmitSequence",
        FRONT,
        WRITE,
    )
    .with_terms(),
    Rule::user(
        "/kinora.scheduler.v1.SchedulerService/Approve",
        FRONT,
        WRITE,
    )
    .with_terms(),
    Rule::user(
        "/kinora.scheduler.v1.SchedulerService/Estimate",
        FRONT,
        WRITE,
    ),
    Rule::user("/kinora.scheduler.v1.SchedulerService/Get", FRONT, READ),
    Rule::user("/kinora.scheduler.v1.SchedulerService/List", FRONT, READ),
    Rule::user("/kinora.scheduler.v1.SchedulerService/Watch", FRONT, READ),
    Rule::user(
        "/kinora.scheduler.v1.SchedulerService/ListModels",
        FRONT,
        READ,
    ),
    Rule::user(
        "/kinora.scheduler.v1.SchedulerService/GetGroup",
        FRONT,
        READ,
    ),
    Rule::user(
        "/kinora.scheduler.v1.SchedulerService/WatchGroup",
        FRONT,
        READ,
    ),
    Rule::user("/kinora.scheduler.v1.SchedulerService/Cancel", FRONT, WRITE),
    Rule::user(
        "/kinora.scheduler.v1.SchedulerService/CancelGroup",
        FRONT,
        WRITE,
    ),
    Rule::user("/kinora.scheduler.v1.SchedulerService/Delete", FRONT, WRITE),
    Rule::user(
        "/kinora.scheduler.v1.WebhookService/CreateEndpoint",
        FRONT,
        HOOKS,
    ),
    Rule::user(
        "/kinora.scheduler.v1.WebhookService/GetEndpoint",
        FRONT,
        HOOKS,
    ),
    Rule::user(
        "/kinora.scheduler.v1.WebhookService/ListEndpoints",
        FRONT,
        HOOKS,
    ),
    Rule::user(
        "/kinora.scheduler.v1.WebhookService/UpdateEndpoint",
        FRONT,
        HOOKS,
    ),
    Rule::user(
        "/kinora.scheduler.v1.WebhookService/DeleteEndpoint",
        FRONT,
        HOOKS,
    ),
    Rule::user(
        "/kinora.scheduler.v1.WebhookService/RotateSecret",
        FRONT,
        HOOKS,
    ),
    Rule::user(
        "/kinora.scheduler.v1.WebhookService/ListDeliveries",
        FRONT,
        HOOKS,
    ),
    Rule::user(
        "/kinora.scheduler.v1.WebhookService/ReplayDelivery",
        FRONT,
        HOOKS,
    ),
    Rule::user(
        "/kinora.scheduler.v1.AdminService/ListWorkers",
        FRONT,
        ADMIN,
    ),
    Rule::user(
        "/kinora.scheduler.v1.AdminService/CordonWorker",
        FRONT,
        ADMIN,
    ),
    Rule::user(
        "/kinora.scheduler.v1.AdminService/DrainWorker",
        FRONT,
        ADMIN,
    ),
    Rule::user("/kinora.scheduler.v1.AdminService/ListQueues", FRONT, ADMIN),
    Rule::user(
        "/kinora.scheduler.v1.AdminService/ListDeadLetters",
        FRONT,
        ADMIN,
    ),
    Rule::user(
        "/kinora.scheduler.v1.AdminService/RetryDeadLetter",
        FRONT,
        ADMIN,
    ),
    Rule::user("/kinora.scheduler.v1.AdminService/SetTenant", FRONT, ADMIN),
    Rule::nobody("/kinora.scheduler.v1.WorkerService/Attach", &["worker"]),
];

/// The rules of the workload `own`, for tokens of `issuer` that are checked against what the accounts service says.
///
/// # Errors
/// [`RulesError`] when a method has no rule, or a rule no method.
pub fn access(
    own: Workload,
    issuer: &str,
    accounts: Channel,
    shutdown: CancellationToken,
) -> Result<Access, RulesError> {
    let trust = TrustKeeper::start(Arc::new(GrpcTrust::new(accounts)), shutdown);
    let authenticator = Authenticator::new(Verifier::new(issuer, &[AUDIENCE]), trust);
    Access::new(own, DESCRIPTORS, &SERVICES, &RULES, authenticator)
}
