//! A billing service of its own, and a scheduler that calls it.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use kinora_access::testing::{ServedTrust, TestIssuer};
use kinora_proto::billing::v1 as pb;
use kinora_proto::billing::v1::admin_service_client::AdminServiceClient;
use kinora_proto::billing::v1::ledger_service_client::LedgerServiceClient;
use kinora_testkit::identity::{identity, issue};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tonic::Request;
use tonic::transport::Channel;
use uuid::Uuid;

/// The service takes less to start.
const START: Duration = Duration::from_secs(60);

/// The process, and what it needs.
pub struct Service {
    endpoint: String,
    issuer: TestIssuer,
    _trust: ServedTrust,
    _process: Child,
    _folder: TempDir,
}

impl Service {
    /// Starts it on an empty database, and waits until it answers. Everybody is on the plan that does not run out.
    pub async fn start(database: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        issue("billing", folder.path());
        let issuer = TestIssuer::new();
        let trust = issuer.serve(identity("accounts")).await;
        let port = kinora_testkit::net::free_port();
        let process = Command::new(env!("CARGO_BIN_EXE_kinora-billing"))
            .args(["--billing-database", database])
            .args(["--listen", &format!("127.0.0.1:{port}")])
            .args(["--accounts-endpoint", &trust.endpoint])
            .arg("--identity-dir")
            .arg(folder.path())
            .args(["--voucher-key", &"42".repeat(32)])
            .args(["--default-plan", "unlimited"])
            .args(["--log", "warn"])
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let service = Self {
            endpoint: format!("https://127.0.0.1:{port}"),
            issuer,
            _trust: trust,
            _process: process,
            _folder: folder,
        };
        let ledger = LedgerServiceClient::new(service.channel("scheduler"));
        kinora_testkit::wait::until("the service", START, || async {
            let request = pb::ListOpenHoldsRequest::default();
            ledger.clone().list_open_holds(request).await
        })
        .await;
        service
    }

    fn channel(&self, caller: &str) -> Channel {
        kinora_mesh::channel::connect_lazy(&self.endpoint, &identity(caller), "billing").unwrap()
    }

    /// A scheduler with new tokens of so many people.
    pub fn scheduler(&self, people: usize) -> Scheduler {
        let token = |number| format!("Bearer {}", self.issuer.token(&format!("tenant-{number}")));
        Scheduler {
            ledger: LedgerServiceClient::new(self.channel("scheduler")),
            tokens: (0..people).map(token).collect(),
        }
    }

    /// Panics unless the ledger holds and nothing is left open: what was measured was done.
    pub async fn check(&self) {
        let token = self.issuer.sign(&self.issuer.operator("op"));
        let mut request = Request::new(pb::CheckLedgerRequest {});
        let token = format!("Bearer {token}").parse().unwrap();
        request.metadata_mut().insert("authorization", token);
        let answer = AdminServiceClient::new(self.channel("edge"))
            .check_ledger(request)
            .await;
        let checked = answer.unwrap().into_inner();
        assert_eq!(checked.problems, Vec::<String>::new());
        assert_eq!((checked.sum, checked.open_holds), (0, 0));
    }
}

/// Calls the service.
#[derive(Clone)]
pub struct Scheduler {
    ledger: LedgerServiceClient<Channel>,
    tokens: Arc<[String]>,
}

impl Scheduler {
    /// Holds a second of standard video, paid by one of the people after the other.
    pub async fn hold(mut self, number: usize, job: Uuid) {
        let work = pb::Work {
            model: "tiny".to_owned(),
            width: 832,
            height: 480,
            frames: 16,
            fps: 16,
            steps: 50,
            audio: false,
            tier: pb::Tier::Standard.into(),
        };
        let mut request = Request::new(pb::HoldRequest {
            jobs: vec![pb::JobWork {
                job_id: job.to_string(),
                work: Some(work),
                preview: None,
            }],
        });
        let token = &self.tokens[number % self.tokens.len()];
        let token = token.parse().unwrap();
        request.metadata_mut().insert("authorization", token);
        let held = self.ledger.hold(request).await.unwrap().into_inner();
        assert_eq!(held.holds.len(), 1);
    }

    /// Pays all that is held for a job.
    pub async fn capture(mut self, job: Uuid) {
        let request = pb::CaptureRequest {
            job_id: job.to_string(),
            lease: 1,
            credits: None,
        };
        let captured = self.ledger.capture(request).await.unwrap().into_inner();
        assert!(captured.hold.is_some());
    }
}
