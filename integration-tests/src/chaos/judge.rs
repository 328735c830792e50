//! What must hold after any fault: every accepted job has one outcome and one set of outputs, and nothing is left over.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kinora_blobs::BlobStore;
use serde_json::Value;
use sha2::{Digest, Sha256};
use sqlx::{PgConnection, Row};
use tokio::time::Instant;

use super::client::Client;
use super::mesh::ChaosMesh;
use super::table::row;

/// How long removals may take after they are due.
const SWEEP: Duration = Duration::from_secs(120);

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
}

impl Verdict {
    /// Whether nothing is wrong.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.lost.is_empty()
            && self.duplicated.is_empty()
            && self.disorder.is_empty()
            && self.left_over.is_empty()
    }

    /// As rows of a table, with all that is wrong below it.
    pub(super) fn rows(&self) -> String {
        let outcomes = self.outcomes.iter();
        let mut text: String = outcomes
            .map(|(what, count)| row(&format!("- {what}"), count))
            .collect();
        let wrongs = [
            ("lost", &self.lost),
            ("duplicated", &self.duplicated),
            ("events out of order", &self.disorder),
            ("left over", &self.left_over),
        ];
        text.extend(wrongs.map(|(what, all)| row(what, all.len())));
        let details = wrongs
            .iter()
            .flat_map(|(what, all)| all.iter().map(move |it| (what, it)));
        text.extend(details.map(|(what, detail)| format!("{what}: {detail}\n")));
        text
    }
}

/// Waits for every accepted job's end and looks at everything that it left. The mesh must be whole again.
pub async fn judge(mesh: &ChaosMesh, accepted: &[Accepted]) -> Verdict {
    let mut verdict = Verdict {
        accepted: accepted.len(),
        ..Verdict::default()
    };
    for job in accepted {
        verdict
            .judge_events(&mesh.clients[job.caller], &job.id)
            .await;
    }
    for (caller, client) in mesh.clients.iter().enumerate() {
        let of_caller = accepted.iter().filter(|job| job.caller == caller);
        let known: BTreeSet<&str> = of_caller.map(|job| job.id.as_str()).collect();
        let listed = client.list().await;
        verdict.judge_list(&known, &listed);
    }
    let mut connection = mesh.database.connect().await.unwrap();
    verdict.judge_history(&mut connection).await;
    verdict.judge_rest(&mut connection).await;
    let blobs = mesh.blobs();
    let deadline = Instant::now() + mesh.options().late_sweep + SWEEP;
    for job in accepted {
        let client = &mesh.clients[job.caller];
        verdict
            .judge_objects(client, &blobs, &job.id, deadline)
            .await;
    }
    verdict
}

impl Verdict {
    async fn judge_events(&mut self, client: &Client, id: &str) {
        let Some(ended) = client.follow(id).await else {
            self.lost.push(format!("{id} does not end"));
            return;
        };
        let disorder = ended.disorder.map(|what| format!("{id}: {what}"));
        self.disorder.extend(disorder);
        let Some(job) = client.job(id).await else {
            self.lost.push(format!("{id} is unknown"));
            return;
        };
        if job["state"] != ended.state.as_str() {
            let both = format!("{id}: {} after {}", job["state"], ended.state);
            self.duplicated.push(both);
        }
        let reason = job["failure"]["reason"].as_str();
        let outcome = match (ended.state.as_str(), reason) {
            ("failed", Some(reason)) => format!("failed: {reason}"),
            (state, _) => state.to_owned(),
        };
        *self.outcomes.entry(outcome).or_default() += 1;
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
    }

    /// Whether the stored history of any job has not exactly one end, or goes on after it.
    async fn judge_history(&mut self, connection: &mut PgConnection) {
        let query = "SELECT job_id::text AS id, \
               count(*) FILTER (WHERE state IN ('completed', 'failed', 'cancelled', 'expired')) AS ends, \
               max(seq) = max(seq) FILTER (WHERE state IN ('completed', 'failed', 'cancelled', 'expired')) AS is_last \
             FROM job_event GROUP BY job_id";
        for row in sqlx::query(query).fetch_all(connection).await.unwrap() {
            let (id, ends): (String, i64) = (row.get("id"), row.get("ends"));
            let is_last = row.get::<Option<bool>, _>("is_last");
            if ends > 1 || is_last == Some(false) {
                self.duplicated.push(format!("{id} has {ends} ends"));
            }
            if ends == 0 {
                self.lost.push(format!("{id} has no end"));
            }
        }
    }

    /// Whether anything still waits, runs or is held.
    async fn judge_rest(&mut self, connection: &mut PgConnection) {
        let checks = [(
            "jobs that wait or run",
            "SELECT count(*) FROM job WHERE state IN ('awaiting_approval', 'queued', 'running')",
        )];
        for (what, query) in checks {
            let row = sqlx::query(query)
                .fetch_one(&mut *connection)
                .await
                .unwrap();
            let count: i64 = row.get(0);
            if count != 0 {
                self.left_over.push(format!("{count} {what}"));
            }
        }
    }

    async fn judge_objects(
        &mut self,
        client: &Client,
        blobs: &BlobStore,
        id: &str,
        deadline: Instant,
    ) {
        let Some(job) = client.job(id).await else {
            return;
        };
        let prefix = format!("jobs/{id}/");
        let is_completed = job["state"] == "completed";
        let expected = if is_completed { 3 } else { 0 };
        let keys = loop {
            let found = blobs.list(&prefix).await;
            if let Ok(objects) = &found
                && objects.len() <= expected
            {
                let keys = objects.iter().map(|object| object.key.clone());
                break keys.collect::<Vec<_>>();
            }
            if Instant::now() > deadline {
                self.left_over.push(format!("objects of {id}: {found:?}"));
                return;
            }
            tokio::time::sleep(PAUSE).await;
        };
        if is_completed {
            self.judge_outputs(client, &job, &keys).await;
        }
    }

    /// The three files of one lease, and the clip is the one that the job names.
    async fn judge_outputs(&mut self, client: &Client, job: &Value, keys: &[String]) {
        let id = &job["id"];
        let folders: BTreeSet<_> = keys.iter().map(|key| key.rsplit_once('/')).collect();
        let leases: BTreeSet<_> = folders.iter().flatten().map(|(lease, _)| *lease).collect();
        if leases.len() != 1 || keys.len() != 3 {
            self.duplicated.push(format!("{id} has outputs {keys:?}"));
        }
        let clip = client.clip(id.as_str().unwrap_or_default()).await;
        let digest = clip.map(|clip| hex::encode(Sha256::digest(&clip)));
        if digest.as_deref() != job["outputs"]["sha256"].as_str() {
            self.lost.push(format!("the clip of {id}: {digest:?}"));
        }
    }
}
