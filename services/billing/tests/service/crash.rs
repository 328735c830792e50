//! The service's own process, killed without warning.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kinora_access::testing::TestIssuer;
use kinora_proto::billing::v1::admin_service_client::AdminServiceClient;
use kinora_proto::billing::v1::billing_service_client::BillingServiceClient;
use kinora_proto::billing::v1::ledger_service_client::LedgerServiceClient;
use kinora_testkit::identity::{identity, issue};
use kinora_testkit::wait::until;
use tokio::process::{Child, Command};
use uuid::Uuid;

use crate::harness::{Ledger, Operator, PATIENCE, Person, channel, reason};

const JOBS: usize = 60;
const KILLS: usize = 4;

fn start(database: &Path, identity: &Path, port: u16, accounts: &str) -> Child {
    Command::new(env!("CARGO_BIN_EXE_kinora-billing"))
        .arg("--billing-database")
        .arg(format!("sqlite://{}", database.display()))
        .args(["--listen", &format!("127.0.0.1:{port}")])
        .args(["--accounts-endpoint", accounts])
        .arg("--identity-dir")
        .arg(identity)
        .args(["--voucher-key", &"42".repeat(32)])
        .args(["--log", "warn"])
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("starts")
}

/// Holds and settles a job as a caller does who never gives up.
async fn settle(ledger: &Ledger, job: Uuid, is_delivered: bool) {
    until("a hold", PATIENCE, || async {
        ledger
            .hold(&[(job, 16)])
            .await
            .map_err(|status| reason(&status))
    })
    .await;
    until("a settlement", PATIENCE, || async {
        let settled = if is_delivered {
            ledger.capture(job, 1, Some(700)).await.map(drop)
        } else {
            ledger.release(job).await.map(drop)
        };
        settled.map_err(|status| reason(&status))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_service_does_everything_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let (database, files) = (
        folder.path().join("billing.db"),
        folder.path().join("identity"),
    );
    issue("billing", &files);
    let issuer = TestIssuer::new();
    let trust = issuer.serve(identity("accounts")).await;
    let port = kinora_testkit::net::free_port();
    let endpoint = format!("https://127.0.0.1:{port}");
    let mut process = start(&database, &files, port, &trust.endpoint);
    let ledger = Ledger {
        client: LedgerServiceClient::new(channel(&endpoint, "scheduler")),
        token: issuer.token("anna"),
    };
    let settled = Arc::new(AtomicUsize::new(0));
    let mut callers = tokio::task::JoinSet::new();
    for number in 0..JOBS {
        let (ledger, settled) = (ledger.clone(), Arc::clone(&settled));
        callers.spawn(async move {
            settle(&ledger, Uuid::now_v7(), number % 3 != 0).await;
            settled.fetch_add(1, Ordering::SeqCst);
        });
    }
    for kill in 1..=KILLS {
        until("some progress", PATIENCE, || async {
            let now = settled.load(Ordering::SeqCst);
            if now >= JOBS * kill / (KILLS + 2) {
                Ok(())
            } else {
                Err(now)
            }
        })
        .await;
        process.kill().await.expect("is killed");
        process = start(&database, &files, port, &trust.endpoint);
    }
    callers.join_all().await;
    let anna = Person {
        client: BillingServiceClient::new(channel(&endpoint, "edge")),
        token: issuer.token("anna"),
    };
    let balance = anna.balance().await.expect("reads");
    let delivered = u64::try_from(JOBS - JOBS / 3).expect("a number");
    assert_eq!(
        (balance.available, balance.held),
        (600_000 - 700 * delivered, 0)
    );
    assert_eq!(balance.spent_in_window, 700 * delivered);
    let operator = Operator {
        client: AdminServiceClient::new(channel(&endpoint, "edge")),
        token: issuer.sign(&issuer.operator("op")),
    };
    let check = operator.check().await;
    assert_eq!(
        (check.open_holds, check.transfers),
        (0, 1 + 2 * u64::try_from(JOBS).expect("a number"))
    );
}
