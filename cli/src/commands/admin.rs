//! `kinora admin`.

use super::connect::any_mesh;
use super::{accounts, billing, vouchers};
use crate::arguments::{AdminArguments, AdminCommand, Folders};
use crate::client::Api;
use crate::client::view::{DeadLetter, Queue, Tenant, Worker};
use crate::exit::Failure;
use crate::output::{self, show};
use crate::progress::duration;

/// Runs `kinora admin`.
///
/// # Errors
///
/// [`Failure`].
pub async fn run(arguments: AdminArguments, folders: &Folders) -> Result<(), Failure> {
    let api = any_mesh(&arguments.server, folders).await?;
    let json = arguments.json;
    match arguments.command {
        AdminCommand::Workers => {
            let workers = api.workers().await?;
            show(json, &workers, || worker_table(&workers))?;
        }
        AdminCommand::Cordon { worker } => act(&api, &worker, "cordon", json).await?,
        AdminCommand::Uncordon { worker } => act(&api, &worker, "uncordon", json).await?,
        AdminCommand::Drain { worker } => act(&api, &worker, "drain", json).await?,
        AdminCommand::Queues => {
            let queues = api.queues().await?;
            show(json, &queues, || queue_table(&queues))?;
        }
        AdminCommand::DeadLetters { limit } => {
            let letters = api.dead_letters(limit).await?;
            show(json, &letters, || letter_table(&letters))?;
        }
        AdminCommand::Retry { id } => {
            let video = api.retry_dead_letter(&id).await?;
            show(json, &video, || {
                format!("{id} is submitted again as {}", video.id)
            })?;
        }
        AdminCommand::Tenant(change) => {
            let limits = [change.weight, change.max_running, change.max_queued];
            let tenant = api.set_tenant(&change.tenant, limits).await?;
            show(json, &tenant, || tenant_table(&tenant))?;
        }
        AdminCommand::Users(command) => accounts::users(&api, command, json).await?,
        AdminCommand::Orgs(command) => accounts::orgs(&api, command, json).await?,
        AdminCommand::Keys(command) => accounts::keys(&api, command, json).await?,
        AdminCommand::Terms(command) => accounts::terms(&api, command, json).await?,
        AdminCommand::SigningKeys(command) => accounts::signing_keys(&api, command, json).await?,
        AdminCommand::Audit(arguments) => accounts::audit(&api, arguments, json).await?,
        AdminCommand::Vouchers(command) => vouchers::run(&api, command, json).await?,
        AdminCommand::Billing(command) => billing::run(&api, command, json).await?,
    }
    Ok(())
}

async fn act(api: &Api, name: &str, verb: &str, json: bool) -> Result<(), Failure> {
    let worker = api.act_on_worker(name, verb).await?;
    Ok(show(json, &worker, || {
        worker_table(std::slice::from_ref(&worker))
    })?)
}

fn worker_table(workers: &[Worker]) -> String {
    let row = |worker: &Worker| {
        let memory = match (worker.memory_free_bytes, worker.memory_total_bytes) {
            (_, 0) => String::new(),
            (free, total) => format!(
                "{} of {}",
                indicatif::BinaryBytes(free),
                indicatif::BinaryBytes(total)
            ),
        };
        [
            worker.id.clone(),
            worker_state(worker),
            worker.device.clone(),
            worker.pool.clone(),
            format!("{}/{}", worker.video_ids.len(), worker.slots),
            memory,
            worker.models.join(","),
        ]
    };
    let rows: Vec<_> = workers.iter().map(row).collect();
    let header = [
        "WORKER",
        "STATE",
        "DEVICE",
        "POOL",
        "JOBS",
        "FREE MEMORY",
        "MODELS",
    ];
    output::table(header, &rows)
}

fn worker_state(worker: &Worker) -> String {
    let states = [
        (if worker.attached { "attached" } else { "away" }, true),
        ("cordoned", worker.cordoned),
        ("draining", worker.draining),
    ];
    let states = states.into_iter().filter(|(_, holds)| *holds);
    states.map(|(name, _)| name).collect::<Vec<_>>().join(",")
}

fn queue_table(queues: &[Queue]) -> String {
    let row = |queue: &Queue| {
        let model = if queue.model.is_empty() {
            "(joining)"
        } else {
            &queue.model
        };
        [
            model.to_owned(),
            queue.priority.name().to_owned(),
            queue.videos.to_string(),
            duration(queue.oldest_age_seconds),
            duration(queue.gpu_seconds),
        ]
    };
    let rows: Vec<_> = queues.iter().map(row).collect();
    output::table(["MODEL", "PRIORITY", "JOBS", "OLDEST", "WORK"], &rows)
}

/// A line a job, and one below it for each attempt.
fn letter_table(letters: &[DeadLetter]) -> String {
    let mut rows = Vec::new();
    for letter in letters {
        let video = &letter.video;
        let reason = video.error.as_ref().map(|error| error.code.clone());
        let fate = match (&letter.retried_as, letter.quarantined) {
            (Some(id), _) => format!("retried as {id}"),
            (None, true) => "quarantined".to_owned(),
            (None, false) => String::new(),
        };
        let time = video.end_time.clone().unwrap_or_default();
        rows.push([
            video.id.clone(),
            letter.owner.clone(),
            reason.unwrap_or_default(),
            time,
            fate,
        ]);
        for attempt in &letter.attempts {
            let steps = format!("steps {} to {}", attempt.first_step, attempt.last_step);
            rows.push([
                format!("  attempt {}", attempt.attempt),
                attempt.worker_id.clone(),
                attempt.outcome.clone(),
                attempt.end_time.clone().unwrap_or_default(),
                steps,
            ]);
        }
    }
    output::table(["JOB", "OWNER, WORKER", "REASON", "ENDED", ""], &rows)
}

fn tenant_table(tenant: &Tenant) -> String {
    let limit = |limit: u32| match limit {
        0 => "no limit".to_owned(),
        limit => limit.to_string(),
    };
    let row = [
        tenant.id.clone(),
        tenant.weight.to_string(),
        limit(tenant.max_running),
        limit(tenant.max_queued),
    ];
    output::table(["TENANT", "WEIGHT", "MAX RUNNING", "MAX QUEUED"], &[row])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_shows_all_that_keeps_it_from_jobs() {
        let json = serde_json::json!({
            "id": "gpu-1", "object": "worker", "version": "1", "device": "cuda:0", "pool": "h100",
            "slots": 2, "models": ["m"], "resident_models": [], "memory_total_bytes": "0",
            "memory_free_bytes": "0", "attached": true, "draining": true, "cordoned": true,
            "video_ids": ["x"],
        });
        let worker: Worker = serde_json::from_value(json).unwrap();
        let table = worker_table(&[worker]);
        assert!(
            table.contains("attached,cordoned,draining") && table.contains("1/2"),
            "{table}"
        );
    }

    #[test]
    fn no_limit_is_said_in_words() {
        let tenant = Tenant {
            id: "studio".to_owned(),
            object: "tenant".to_owned(),
            weight: 100,
            max_running: 0,
            max_queued: 7,
        };
        let table = tenant_table(&tenant);
        assert!(table.ends_with("studio  100     no limit     7"), "{table}");
    }
}
