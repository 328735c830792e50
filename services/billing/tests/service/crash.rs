//! The service's own process, killed without warning.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use kinora_access::testing::TestIssuer;
use kinora_proto::billing::v1::admin_service_client::AdminServiceClient;
use kinora_proto::billing::v1::billing_service_client::BillingServiceClient;
use kinora_proto::billing::v1::ledger_service_client::LedgerServiceClient;
use kinora_testkit::identity::{identity, issue};
use kinora_testkit::wait::until;
use tokio::process::{Child, Command};
use uuid::Uuid;

use crate::harness::{Ledger, Operator, PATIENCE, Person, channel, reason};

const CALLERS: usize = 12;

/// Jobs between two kills.
const JOBS: usize = 20;
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
    let (begun, is_over) = (
        Arc::new(AtomicUsize::new(0)),
        Arc::new(AtomicBool::new(false)),
    );
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..CALLERS {
        let (ledger, begun) = (ledger.clone(), Arc::clone(&begun));
        let is_over = Arc::clone(&is_over);
        // They go on until the last kill, so that every one finds calls under way.
        callers.spawn(async move {
            let mut delivered = 0;
            while !is_over.load(Ordering::SeqCst) {
                let number = begun.fetch_add(1, Ordering::SeqCst);
                let is_delivered = number % 3 != 0;
                settle(&ledger, Uuid::now_v7(), is_delivered).await;
                delivered += u64::from(is_delivered);
            }
            delivered
        });
    }
    for kill in 1..=KILLS {
        until("some progress", PATIENCE, || async {
            let now = begun.load(Ordering::SeqCst);
            (now >= JOBS * kill).then_some(()).ok_or(now)
        })
        .await;
        process.kill().await.expect("is killed");
        process = start(&database, &files, port, &trust.endpoint);
    }
    is_over.store(true, Ordering::SeqCst);
    let delivered: u64 = callers.join_all().await.into_iter().sum();
    let anna = Person {
        client: BillingServiceClient::new(channel(&endpoint, "edge")),
        token: issuer.token("anna"),
    };
    let balance = until("the balance", PATIENCE, || async {
        anna.balance().await.map_err(|status| reason(&status))
    })
    .await;
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
    let jobs = u64::try_from(begun.load(Ordering::SeqCst)).expect("a number");
    assert_eq!((check.open_holds, check.transfers), (0, 1 + 2 * jobs));
}
