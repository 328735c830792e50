//! A running prompts service and its callers.

use std::path::Path;
use std::time::Duration;

use kinora_access::testing::{ServedTrust, TestIssuer};
use kinora_access::{Age, Claims};
use kinora_mesh::channel;
use kinora_mesh::error::PublicError;
use kinora_prompts::PromptsOptions;
use kinora_proto::prompts::v1 as pb;
use kinora_proto::prompts::v1::prompt_service_client::PromptServiceClient;
use kinora_proto::prompts::v1::review_service_client::ReviewServiceClient;
use kinora_store::DatabaseUrl;
use kinora_testkit::identity::identity;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::transport::Channel;
use tonic::{Request, Status};

/// Longer than anything takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(120);

pub struct TestPrompts {
    endpoint: String,
    issuer: TestIssuer,
    _trust: ServedTrust,
    _folder: Option<tempfile::TempDir>,
    server: JoinHandle<Result<(), kinora_prompts::Error>>,
    shutdown: DropGuard,
}

impl TestPrompts {
    /// On a SQLite database of its own.
    pub async fn start(change: impl FnOnce(&mut PromptsOptions, &Path)) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite://{}", folder.path().join("prompts.db").display());
        let path = folder.path().to_owned();
        let change = |options: &mut PromptsOptions| change(options, &path);
        let mut started = Self::start_on(&url.parse().expect("a URL"), change).await;
        started._folder = Some(folder);
        started
    }

    pub async fn start_on(url: &DatabaseUrl, change: impl FnOnce(&mut PromptsOptions)) -> Self {
        let issuer = TestIssuer::new();
        let trust = issuer.serve(identity("accounts")).await;
        let mut options = PromptsOptions::new(url.clone());
        options.accounts_endpoint.clone_from(&trust.endpoint);
        // Nothing here is about how fast the machine is.
        options.prompting.timeout = PATIENCE;
        change(&mut options);
        let listener = kinora_testkit::net::loopback_listener().await;
        let endpoint = format!("https://{}", listener.local_addr().expect("an address"));
        let shutdown = CancellationToken::new();
        let serving =
            kinora_prompts::serve(options, identity("prompts"), listener, shutdown.clone());
        let started = Self {
            endpoint,
            issuer,
            _trust: trust,
            _folder: None,
            server: tokio::spawn(serving),
            shutdown: shutdown.drop_guard(),
        };
        started.wait_until_ready().await;
        started
    }

    /// Models take longer to load than a connection is waited for.
    async fn wait_until_ready(&self) {
        let probe = self.person("probe");
        kinora_testkit::wait::until("the service answers", PATIENCE, || async {
            assert!(!self.server.is_finished(), "the service did not start");
            probe.try_policy().await
        })
        .await;
    }

    fn channel(&self, from: &str) -> Channel {
        channel::connect_lazy(&self.endpoint, &identity(from), "prompts").expect("a channel")
    }

    /// Somebody by name, through the edge.
    pub fn person(&self, name: &str) -> Person {
        self.person_with(&self.issuer.claims(name))
    }

    /// Somebody whose age was verified.
    pub fn adult(&self, name: &str) -> Person {
        let claims = self.issuer.claims(name);
        self.person_with(&Claims {
            age: Age::Verified,
            ..claims
        })
    }

    fn person_with(&self, claims: &Claims) -> Person {
        Person {
            client: PromptServiceClient::new(self.channel("edge")),
            token: self.issuer.sign(claims),
        }
    }

    /// An operator.
    pub fn operator(&self) -> Operator {
        self.reviewer(&self.issuer.operator("op"))
    }

    /// Somebody who is none, and asks as if.
    pub fn no_operator(&self) -> Operator {
        self.reviewer(&self.issuer.claims("anna"))
    }

    fn reviewer(&self, claims: &Claims) -> Operator {
        Operator {
            client: ReviewServiceClient::new(self.channel("edge")),
            token: self.issuer.sign(claims),
        }
    }

    /// Stops and waits until everything has ended.
    pub async fn stop(self) {
        drop(self.shutdown);
        let stopped = self.server.await.expect("does not panic");
        stopped.expect("stops cleanly");
    }
}

#[derive(Clone)]
pub struct Person {
    client: PromptServiceClient<Channel>,
    token: String,
}

impl Person {
    pub async fn prepare(&self, order: pb::PrepareRequest) -> Result<pb::PreparedPrompt, Status> {
        let request = request(&self.token, order);
        let answer = self.client.clone().prepare(request).await?;
        Ok(answer.into_inner().prompt.expect("a prompt"))
    }

    pub async fn prepare_batch(
        &self,
        requests: Vec<pb::PrepareRequest>,
    ) -> Result<Vec<pb::PreparedPrompt>, Status> {
        let request = request(&self.token, pb::BatchPrepareRequest { requests });
        let answer = self.client.clone().batch_prepare(request).await?;
        Ok(answer.into_inner().prompts)
    }

    pub async fn enhance(&self, order: pb::EnhanceRequest) -> Result<pb::PreparedPrompt, Status> {
        let request = request(&self.token, order);
        let answer = self.client.clone().enhance(request).await?;
        Ok(answer.into_inner().prompt.expect("a prompt"))
    }

    pub async fn moderate(&self, text: &str) -> Result<pb::Moderation, Status> {
        let text = text.to_owned();
        let request = request(&self.token, pb::ModerateRequest { text });
        let answer = self.client.clone().moderate(request).await?;
        Ok(answer.into_inner().moderation.expect("a verdict"))
    }

    pub async fn policy(&self) -> pb::Policy {
        self.try_policy().await.expect("answers")
    }

    async fn try_policy(&self) -> Result<pb::Policy, Status> {
        let request = request(&self.token, pb::GetPolicyRequest {});
        let answer = self.client.clone().get_policy(request).await?;
        Ok(answer.into_inner().policy.expect("a policy"))
    }
}

#[derive(Clone)]
pub struct Operator {
    client: ReviewServiceClient<Channel>,
    token: String,
}

impl Operator {
    pub async fn list(&self, status: pb::review::Status) -> Result<Vec<pb::Review>, Status> {
        let message = pb::ListReviewsRequest {
            status: status.into(),
            page_size: 100,
            page_token: String::new(),
        };
        let answer = self
            .client
            .clone()
            .list_reviews(request(&self.token, message))
            .await?;
        Ok(answer.into_inner().reviews)
    }

    pub async fn approve(&self, id: &str) -> Result<pb::Review, Status> {
        let (id, note) = (id.to_owned(), "seen".to_owned());
        let message = pb::ApproveReviewRequest { id, note };
        let answer = self
            .client
            .clone()
            .approve_review(request(&self.token, message))
            .await?;
        Ok(answer.into_inner().review.expect("a review"))
    }

    pub async fn refuse(&self, id: &str) -> Result<pb::Review, Status> {
        let (id, note) = (id.to_owned(), String::new());
        let message = pb::RefuseReviewRequest { id, note };
        let answer = self
            .client
            .clone()
            .refuse_review(request(&self.token, message))
            .await?;
        Ok(answer.into_inner().review.expect("a review"))
    }
}

fn request<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let value = format!("Bearer {token}").parse().expect("a header");
    request.metadata_mut().insert("authorization", value);
    request.set_timeout(PATIENCE);
    request
}

/// A prompt for a family.
pub fn order(family: pb::Family, prompt: &str) -> pb::PrepareRequest {
    pb::PrepareRequest {
        prompt: prompt.to_owned(),
        family: family.into(),
        ..Default::default()
    }
}

#[track_caller]
pub fn refuses<T: std::fmt::Debug>(answer: Result<T, Status>, reason: &str) -> PublicError {
    let error = PublicError::from_status(&answer.expect_err("is refused"));
    assert_eq!(error.reason, reason, "{error:?}");
    error
}
