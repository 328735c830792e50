//! A running billing service and its callers.

use std::time::Duration;

use kinora_access::Claims;
use kinora_access::testing::{ServedTrust, TestIssuer, id_of};
use kinora_billing::BillingOptions;
use kinora_mesh::error::PublicError;
use kinora_proto::billing::v1 as pb;
use kinora_proto::billing::v1::admin_service_client::AdminServiceClient;
use kinora_proto::billing::v1::billing_service_client::BillingServiceClient;
use kinora_proto::billing::v1::ledger_service_client::LedgerServiceClient;
use kinora_store::DatabaseUrl;
use kinora_testkit::identity::identity;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::transport::Channel;
use tonic::{Request, Status};
use uuid::Uuid;

/// Longer than anything takes on a busy machine; a test that waits this long has failed.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub struct TestBilling {
    pub endpoint: String,
    pub issuer: TestIssuer,
    _trust: ServedTrust,
    server: JoinHandle<Result<(), kinora_billing::Error>>,
    shutdown: DropGuard,
}

impl TestBilling {
    pub async fn start(url: &DatabaseUrl) -> Self {
        Self::start_with(url, |_| {}).await
    }

    pub async fn start_with(url: &DatabaseUrl, change: impl FnOnce(&mut BillingOptions)) -> Self {
        let issuer = TestIssuer::new();
        let trust = issuer.serve(identity("accounts")).await;
        let mut options = BillingOptions::new(url.clone(), "42".repeat(32).parse().expect("a key"));
        options.accounts_endpoint.clone_from(&trust.endpoint);
        change(&mut options);
        let listener = kinora_testkit::net::loopback_listener().await;
        let endpoint = format!("https://{}", listener.local_addr().expect("an address"));
        let shutdown = CancellationToken::new();
        let serving =
            kinora_billing::serve(options, identity("billing"), listener, shutdown.clone());
        Self {
            endpoint,
            issuer,
            _trust: trust,
            server: tokio::spawn(serving),
            shutdown: shutdown.drop_guard(),
        }
    }

    pub fn channel(&self, service: &str) -> Channel {
        channel(&self.endpoint, service)
    }

    /// The scheduler, on behalf of somebody by name.
    pub fn ledger(&self, name: &str) -> Ledger {
        Ledger {
            client: LedgerServiceClient::new(self.channel("scheduler")),
            token: self.issuer.token(name),
        }
    }

    /// Somebody by name, through the edge.
    pub fn person(&self, name: &str) -> Person {
        self.person_with(&self.issuer.claims(name))
    }

    pub fn person_with(&self, claims: &Claims) -> Person {
        Person {
            client: BillingServiceClient::new(self.channel("edge")),
            token: self.issuer.sign(claims),
        }
    }

    pub fn operator(&self) -> Operator {
        self.operator_with(&self.issuer.operator("op"))
    }

    pub fn operator_with(&self, claims: &Claims) -> Operator {
        Operator {
            client: AdminServiceClient::new(self.channel("edge")),
            token: self.issuer.sign(claims),
        }
    }

    /// Stops and waits until everything has ended.
    pub async fn stop(self) {
        drop(self.shutdown);
        let stopped = timeout(PATIENCE, self.server).await.expect("stops in time");
        stopped.expect("does not panic").expect("stops cleanly");
    }
}

#[derive(Clone)]
pub struct Ledger {
    pub client: LedgerServiceClient<Channel>,
    pub token: String,
}

impl Ledger {
    pub async fn hold(&self, jobs: &[(Uuid, u32)]) -> Result<Vec<pb::Hold>, Status> {
        let jobs = jobs.iter().map(|&(job, frames)| pb::JobWork {
            job_id: job.to_string(),
            work: Some(work(frames)),
            preview: None,
        });
        let message = pb::HoldRequest {
            jobs: jobs.collect(),
        };
        let message = request(&self.token, message);
        let answer = self.client.clone().hold(message).await?;
        Ok(answer.into_inner().holds)
    }

    pub async fn capture(
        &self,
        job: Uuid,
        lease: u64,
        credits: Option<u64>,
    ) -> Result<pb::Hold, Status> {
        let message = pb::CaptureRequest {
            job_id: job.to_string(),
            lease,
            credits,
        };
        let answer = self.client.clone().capture(message).await?;
        Ok(answer.into_inner().hold.expect("a hold"))
    }

    pub async fn release(&self, job: Uuid) -> Result<Option<pb::Hold>, Status> {
        let job_id = job.to_string();
        let message = pb::ReleaseRequest { job_id };
        let answer = self.client.clone().release(message).await?;
        Ok(answer.into_inner().hold)
    }
}

#[derive(Clone)]
pub struct Person {
    pub client: BillingServiceClient<Channel>,
    pub token: String,
}

impl Person {
    pub fn request<T>(&self, message: T) -> Request<T> {
        request(&self.token, message)
    }

    pub async fn balance(&self) -> Result<pb::Balance, Status> {
        let request = self.request(pb::GetBalanceRequest {});
        let answer = self.client.clone().get_balance(request).await?;
        Ok(answer.into_inner().balance.expect("a balance"))
    }

    pub async fn transactions(&self, job_id: &str) -> Result<Vec<pb::Transaction>, Status> {
        let request = self.request(pb::ListTransactionsRequest {
            job_id: job_id.to_owned(),
            ..Default::default()
        });
        let answer = self.client.clone().list_transactions(request).await?;
        Ok(answer.into_inner().transactions)
    }
}

#[derive(Clone)]
pub struct Operator {
    pub client: AdminServiceClient<Channel>,
    pub token: String,
}

impl Operator {
    pub fn request<T>(&self, message: T) -> Request<T> {
        request(&self.token, message)
    }

    pub async fn adjust(&self, id: &str, name: &str, credits: i64) -> Result<pb::Balance, Status> {
        let request = self.request(pb::AdjustRequest {
            request_id: id.to_owned(),
            payer: Some(payer(name)),
            credits,
            note: "a test".to_owned(),
            expire_time: None,
        });
        let answer = self.client.clone().adjust(request).await?;
        Ok(answer.into_inner().balance.expect("a balance"))
    }

    /// Panics unless the ledger holds.
    pub async fn check(&self) -> pb::CheckLedgerResponse {
        let request = self.request(pb::CheckLedgerRequest {});
        let answer = self.client.clone().check_ledger(request).await;
        let answer = answer.expect("checks").into_inner();
        assert_eq!((answer.problems.as_slice(), answer.sum), ([].as_slice(), 0));
        answer
    }
}

/// Somebody by name, or `organisation:` for an organisation.
pub fn payer(name: &str) -> pb::Payer {
    let payer = match name.strip_suffix(':') {
        Some(organisation) => pb::payer::Payer::OrganisationId(id_of(organisation).to_string()),
        None => pb::payer::Payer::UserId(id_of(name).to_string()),
    };
    pb::Payer { payer: Some(payer) }
}

/// So many frames of standard video: 16 are a second, and cost 1,000 credits.
pub fn work(frames: u32) -> pb::Work {
    pb::Work {
        model: "tiny".to_owned(),
        width: 832,
        height: 480,
        frames,
        fps: 16,
        steps: 50,
        audio: false,
        tier: pb::Tier::Standard.into(),
    }
}

pub fn request<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let value = format!("Bearer {token}").parse().expect("a header");
    request.metadata_mut().insert("authorization", value);
    request
}

/// As that service calls billing.
pub fn channel(endpoint: &str, service: &str) -> Channel {
    kinora_mesh::channel::connect_lazy(endpoint, &identity(service), "billing")
        .expect("an endpoint")
}

pub fn reason(status: &Status) -> String {
    PublicError::from_status(status).reason
}

/// What an error says under a key.
pub fn metadata(status: &Status, key: &str) -> String {
    let error = PublicError::from_status(status);
    let found = error.metadata.into_iter().find(|(name, _)| name == key);
    found.expect("it is there").1
}
