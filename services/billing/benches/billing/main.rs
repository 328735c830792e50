//! What holds and captures cost: `make bench-billing` prints the tables.
//!
//! The service is a process of its own, and is called as the scheduler calls it: over one connection, with mutual TLS and,
//! for holds, somebody's token. Beside it, in turns, the same clients do the least that double-entry accounting can do in the
//! same database, by hand ([`peer`]). Clients, service and database share the machine.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot run stops")]
#![expect(clippy::print_stdout, reason = "the tables are the output")]

mod drive;
mod peer;
mod service;

use kinora_testkit::postgres::TestPostgres;
use uuid::Uuid;

use drive::{Figure, drive};
use peer::Peer;
use service::Service;

/// Rounds of each figure; the first warms up and does not count.
const ROUNDS: usize = 6;

/// Calls a round, each for one job.
const CALLS: usize = 500;

/// How many pay in turns where there are many.
const MANY: usize = 200;

/// How many call at once.
const CLIENTS: [usize; 3] = [1, 8, 32];

#[tokio::main]
async fn main() {
    let server = TestPostgres::of_this_run();
    let (ours, peers) = (
        server.create_database().await,
        server.create_database().await,
    );
    measure("PostgreSQL", &ours, &peers).await;
    let folder = tempfile::tempdir().unwrap();
    let file = |name| format!("sqlite://{}", folder.path().join(name).display());
    measure("SQLite", &file("billing.db"), &file("peer.db")).await;
}

/// Measures on two empty databases of one engine, and prints a table.
async fn measure(engine: &str, ours: &str, peers: &str) {
    let cores = std::thread::available_parallelism().unwrap();
    println!(
        "{engine}, {cores} cores, {} rounds in turns of {CALLS} calls each\n",
        ROUNDS - 1
    );
    println!(
        "| payers | clients | call | calls/s, median | min | max | p50 | p95, median of rounds | max | of the peer's calls/s |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    let service = Service::start(ours).await;
    let peer = Peer::open(peers, MANY).await;
    for payers in [MANY, 1] {
        for clients in CLIENTS {
            compare(&service, &peer, payers, clients).await;
        }
    }
    println!();
    service.check().await;
}

async fn compare(service: &Service, peer: &Peer, payers: usize, clients: usize) {
    let names = ["hold", "capture", "peer"];
    let mut figures = names.map(|_| Figure::default());
    let scheduler = service.scheduler(payers);
    for round in 0..ROUNDS {
        let jobs: Vec<Uuid> = (0..CALLS).map(|_| Uuid::now_v7()).collect();
        let holds = drive(clients, &jobs, &scheduler, |scheduler, number, job| {
            scheduler.hold(number, job)
        });
        let holds = holds.await;
        let captures = drive(clients, &jobs, &scheduler, |scheduler, _, job| {
            scheduler.capture(job)
        });
        let captures = captures.await;
        let transfers = drive(clients, &jobs, peer, move |peer, number, job| {
            peer.transfer(number % payers, job)
        });
        let rounds = [holds, captures, transfers.await];
        if round > 0 {
            for (figure, round) in figures.iter_mut().zip(rounds) {
                figure.add(round);
            }
        }
    }
    let beside = figures[2].rate();
    for (name, figure) in names.iter().zip(&figures) {
        println!(
            "| {payers} | {clients} | {name} | {figure} | {:.2} |",
            figure.rate() / beside
        );
    }
}
