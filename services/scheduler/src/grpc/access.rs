//! Who may call what.

use std::sync::Arc;

use kinora_access::{
    Access, Authenticator, GrpcTrust, Rule, RulesError, Scope, TrustKeeper, Verifier,
};
use kinora_mesh::workload::Workload;
use kinora_proto::DESCRIPTORS;
use kinora_proto::scheduler::v1::admin_service_server;
use kinora_proto::scheduler::v1::video_service_server;
use kinora_proto::scheduler::v1::webhook_service_server;
use kinora_proto::scheduler::v1::worker_service_server;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

/// All services, by their full names.
pub const SERVICES: [&str; 4] = [
    video_service_server::SERVICE_NAME,
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

const RULES: [Rule; 33] = [
    Rule::user(
        "/kinora.scheduler.v1.VideoService/CreateVideo",
        FRONT,
        WRITE,
    )
    .with_terms(),
    Rule::user(
        "/kinora.scheduler.v1.VideoService/CreateBatch",
        FRONT,
        WRITE,
    )
    .with_terms(),
    Rule::user(
        "/kinora.scheduler.v1.VideoService/CreateSequence",
        FRONT,
        WRITE,
    )
    .with_terms(),
    Rule::user(
        "/kinora.scheduler.v1.VideoService/ApproveVideo",
        FRONT,
        WRITE,
    )
    .with_terms(),
    Rule::user(
        "/kinora.scheduler.v1.VideoService/EstimateVideo",
        FRONT,
        WRITE,
    ),
    Rule::user("/kinora.scheduler.v1.VideoService/GetVideo", FRONT, READ),
    Rule::user("/kinora.scheduler.v1.VideoService/ListVideos", FRONT, READ),
    Rule::user("/kinora.scheduler.v1.VideoService/WatchVideo", FRONT, READ),
    Rule::user("/kinora.scheduler.v1.VideoService/FindContent", FRONT, READ),
    Rule::user("/kinora.scheduler.v1.VideoService/ListModels", FRONT, READ),
    Rule::user("/kinora.scheduler.v1.VideoService/GetGroup", FRONT, READ),
    Rule::user("/kinora.scheduler.v1.VideoService/WatchGroup", FRONT, READ),
    Rule::user(
        "/kinora.scheduler.v1.VideoService/CancelVideo",
        FRONT,
        WRITE,
    ),
    Rule::user(
        "/kinora.scheduler.v1.VideoService/CancelGroup",
        FRONT,
        WRITE,
    ),
    Rule::user(
        "/kinora.scheduler.v1.VideoService/DeleteVideo",
        FRONT,
        WRITE,
    ),
    Rule::user(
        "/kinora.scheduler.v1.WebhookService/CreateWebhook",
        FRONT,
        HOOKS,
    ),
    Rule::user(
        "/kinora.scheduler.v1.WebhookService/GetWebhook",
        FRONT,
        HOOKS,
    ),
    Rule::user(
        "/kinora.scheduler.v1.WebhookService/ListWebhooks",
        FRONT,
        HOOKS,
    ),
    Rule::user(
        "/kinora.scheduler.v1.WebhookService/UpdateWebhook",
        FRONT,
        HOOKS,
    ),
    Rule::user(
        "/kinora.scheduler.v1.WebhookService/DeleteWebhook",
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
        "/kinora.scheduler.v1.AdminService/UncordonWorker",
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
    Rule::user("/kinora.scheduler.v1.AdminService/GetTenant", FRONT, ADMIN),
    Rule::user(
        "/kinora.scheduler.v1.AdminService/UpdateTenant",
        FRONT,
        ADMIN,
    ),
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
