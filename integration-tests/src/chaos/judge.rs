//! What must hold after any fault: every accepted job has one outcome and one set of outputs and has paid for what it
//! delivered, and nothing is left over.

mod credits;
mod objects;
mod records;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::stream::{self, StreamExt};
use tokio::time::Instant;

use super::client::Client;
use super::mesh::ChaosMesh;
use super::table::row;

pub use credits::Settled;

/// How long removals may take after they are due.
const SWEEP: Duration = Duration::from_secs(120);

/// Of each kind of wrong.
const MOST_DETAILS: usize = 20;

/// Jobs that are looked at at a time.
const AT_A_TIME: usize = 16;

/// Between looks.
const PAUSE: Duration = Duration::from_millis(100);

/// A job that the mesh has said yes to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Accepted {
    /// Whose it is, as an index of [`ChaosMesh::clients`].
    pub caller: usize,
    /// Its id.
    pub id: String,
}

/// What was found. A mesh that keeps its word has counts only.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// Jobs that were accepted.
    pub accepted: usize,
    /// Jobs by their outcome; failures with their reason.
    pub outcomes: BTreeMap<String, usize>,
    /// Accepted jobs that are unknown or have no outcome.
    pub lost: Vec<String>,
    /// Jobs with more than one outcome, more than one set of outputs, or from a submission that was repeated.
    pub duplicated: Vec<String>,
    /// Events that do not follow each other.
    pub disorder: Vec<String>,
    /// What should have gone and has not.
    pub left_over: Vec<String>,
    /// What became of credits.
    pub settled: Settled,
    /// Credits that are not where they should be.
    pub miscounted: Vec<String>,
}

impl Verdict {
    /// Whether nothing is wrong.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.lost.is_empty()
            && self.duplicated.is_empty()
            && self.disorder.is_empty()
            && self.left_over.is_empty()
            && self.miscounted.is_empty()
    }

    /// As rows of a table.
    pub(super) fn rows(&self) -> String {
        let outcomes = self.outcomes.iter();
        let mut text: String = outcomes
            .map(|(what, count)| row(&format!("- {what}"), count))
            .collect();
        text.push_str(&self.settled.rows());
        text.extend(self.wrongs().map(|(what, all)| row(what, all.len())));
        text
    }

    /// All that is wrong, for whoever looks for the cause; a table goes before it.
    pub(super) fn details(&self) -> String {
        let lines = self.wrongs().into_iter().flat_map(|(what, all)| {
            let some = all.iter().take(MOST_DETAILS);
            some.map(move |detail| format!("\n{what}: {detail}\n"))
        });
        lines.collect()
    }

    const fn wrongs(&self) -> [(&'static str, &Vec<String>); 5] {
        [
            ("lost", &self.lost),
            ("duplicated", &self.duplicated),
            ("events out of order", &self.disorder),
            ("left over", &self.left_over),
            ("credits wrong", &self.miscounted),
        ]
    }
}

/// Waits for every accepted job's end and looks at everything that it left. The mesh must be whole again.
pub async fn judge(mesh: &ChaosMesh, accepted: &[Accepted]) -> Verdict {
    let mut verdict = Verdict {
        accepted: accepted.len(),
        ..Verdict::default()
    };
    let followed = accepted.iter().map(|job| {
        let client = &mesh.clients[job.caller];
        judge_events(client, &job.id)
    });
    verdict.add_all(followed).await;
    credits::judge(&mut verdict, mesh, accepted).await;
    for (caller, client) in mesh.clients.iter().enumerate() {
        let of_caller = accepted.iter().filter(|job| job.caller == caller);
        let known: BTreeSet<&str> = of_caller.map(|job| job.id.as_str()).collect();
        let listed = client.list().await;
        verdict.judge_list(&known, &listed);
    }
    let deadline = Instant::now() + mesh.options().late_sweep + SWEEP;
    verdict.add(records::judge(&mesh.database, deadline).await);
    let blobs = mesh.blobs();
    let stored = accepted.iter().map(|job| {
        let client = &mesh.clients[job.caller];
        objects::judge(client, &blobs, &job.id, deadline)
    });
    verdict.add_all(stored).await;
    verdict
}

impl Verdict {
    fn add(&mut self, other: Self) {
        for (outcome, count) in other.outcomes {
            *self.outcomes.entry(outcome).or_default() += count;
        }
        self.lost.extend(other.lost);
        self.duplicated.extend(other.duplicated);
        self.disorder.extend(other.disorder);
        self.left_over.extend(other.left_over);
    }

    async fn add_all(&mut self, findings: impl Iterator<Item = impl Future<Output = Self>>) {
        let mut findings = stream::iter(findings).buffer_unordered(AT_A_TIME);
        while let Some(found) = findings.next().await {
            self.add(found);
        }
    }

    /// Every job is one that was accepted: a repeated submission has made no second one.
    fn judge_list(&mut self, known: &BTreeSet<&str>, listed: &[String]) {
        let strangers = listed.iter().filter(|id| !known.contains(id.as_str()));
        let strange = strangers.map(|id| format!("{id} was never asked for"));
        self.duplicated.extend(strange);
        let found: BTreeSet<&str> = listed.iter().map(String::as_str).collect();
        let missing = known.difference(&found);
        self.lost
            .extend(missing.map(|id| format!("{id} is not listed")));
        if found.len() != listed.len() {
            self.duplicated.push("a job is listed twice".to_owned());
        }
    }
}

/// What one job's events, from the first to the last, and the job itself tell.
async fn judge_events(client: &Client, id: &str) -> Verdict {
    let mut verdict = Verdict::default();
    let Some(ended) = client.follow(id).await else {
        verdict.lost.push(format!("{id} does not end"));
        return verdict;
    };
    let disorder = ended.disorder.map(|what| format!("{id}: {what}"));
    verdict.disorder.extend(disorder);
    let Some(job) = client.job(id).await else {
        verdict.lost.push(format!("{id} is unknown"));
        return verdict;
    };
    if job["status"] != ended.status.as_str() {
        let both = format!("{id}: {} after {}", job["status"], ended.status);
        verdict.duplicated.push(both);
    }
    let reason = job["error"]["code"].as_str();
    let outcome = match (ended.status.as_str(), reason) {
        ("failed", Some(reason)) => format!("failed: {reason}"),
        (status, _) => status.to_owned(),
    };
    verdict.outcomes.insert(outcome, 1);
    verdict
}
