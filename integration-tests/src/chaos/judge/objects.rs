//! What is in the object store: of a finished clip, one set of files; of anything else, nothing.

use std::collections::BTreeSet;

use kinora_blobs::BlobStore;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::{Client, PAUSE, Verdict};

/// What a clip is made of.
const FILES: [&str; 4] = [
    "manifest.json",
    "spritesheet.jpg",
    "thumbnail.webp",
    "video.mp4",
];

/// Looks at one job's objects, which have until `deadline` to become as few as they should be.
pub(super) async fn judge(
    client: &Client,
    blobs: &BlobStore,
    id: &str,
    deadline: Instant,
) -> Verdict {
    let mut verdict = Verdict::default();
    let Some(job) = client.job(id).await else {
        return verdict;
    };
    let prefix = format!("jobs/{id}/");
    let is_completed = job["status"] == "completed";
    let expected = if is_completed { FILES.len() } else { 0 };
    let keys = loop {
        let found = blobs.list(&prefix).await;
        if let Ok(objects) = &found
            && objects.len() <= expected
        {
            let keys = objects.iter().map(|object| object.key.clone());
            break keys.collect::<Vec<_>>();
        }
        if Instant::now() > deadline {
            verdict
                .left_over
                .push(format!("objects of {id}: {found:?}"));
            return verdict;
        }
        tokio::time::sleep(PAUSE).await;
    };
    if is_completed {
        judge_outputs(&mut verdict, client, &job, &keys).await;
    }
    verdict
}

/// The files of one lease, and the clip is the one that the job names.
async fn judge_outputs(verdict: &mut Verdict, client: &Client, job: &Value, keys: &[String]) {
    let id = job["id"].as_str().unwrap_or_default();
    let parts: Vec<_> = keys.iter().filter_map(|key| key.rsplit_once('/')).collect();
    let leases: BTreeSet<_> = parts.iter().map(|(lease, _)| *lease).collect();
    let files: BTreeSet<_> = parts.iter().map(|(_, file)| *file).collect();
    if leases.len() != 1 || files != BTreeSet::from(FILES) {
        let found = format!("{id} has outputs {keys:?}");
        verdict.duplicated.push(found);
    }
    let clip = client.clip(id).await;
    let digest = clip.map(|clip| hex::encode(Sha256::digest(&clip)));
    if digest.as_deref() != job["outputs"]["sha256"].as_str() {
        verdict.lost.push(format!("the clip of {id}: {digest:?}"));
    }
}
