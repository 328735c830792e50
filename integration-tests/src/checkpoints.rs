//! Checkpoints of running jobs, as they lie in the object store.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::{Program, SeparateProcesses};

const LIMIT: Duration = Duration::from_secs(60);

impl SeparateProcesses {
    /// Waits until an attempt is denoising and has stored a checkpoint of at least `step`.
    pub async fn wait_checkpoint(&self, id: &str, attempt: u32, step: u32) {
        let is_going = |job: &Value| {
            let work = &job["work"];
            job["attempt"] == attempt
                && job["status"] == "in_progress"
                && work["stage"] == "denoising"
        };
        self.api
            .wait_job(id, "the attempt is denoising", is_going)
            .await;
        let own = format!("{attempt}-");
        kinora_testkit::wait::until("a checkpoint is stored", LIMIT, || {
            let stored = self.checkpoints(id);
            let of_it = stored.iter().filter(|(_, path)| {
                let name = path.file_name().and_then(OsStr::to_str);
                name.is_some_and(|name| name.starts_with(&own))
            });
            let newest = of_it.map(|(step, _)| *step).max();
            std::future::ready(newest.filter(|newest| *newest >= step).ok_or(newest))
        })
        .await;
    }

    /// Stored checkpoints of a job, with their steps.
    #[must_use]
    pub fn checkpoints(&self, id: &str) -> Vec<(u32, PathBuf)> {
        let folder = std::fs::read_dir(self.objects_of(id).join("checkpoints"));
        let entries = folder.into_iter().flatten().flatten();
        let files = entries.map(|file| file.path());
        files
            .filter_map(|path| Some((step_of(&path)?, path)))
            .collect()
    }
}

impl Program {
    /// The step that a worker went on from with the first clip it delivered, by its log.
    #[must_use]
    pub fn resumed_step(&self) -> Option<u32> {
        let log = self.log();
        let line = log.lines().find(|line| line.contains("clip delivered"))?;
        let (_, rest) = line.split_once("resumed_step")?;
        let digits: String = rest
            .chars()
            .skip_while(|c| !c.is_ascii_digit())
            .take_while(char::is_ascii_digit)
            .collect();
        digits.parse().ok()
    }
}

/// The step in a name like `1-17.safetensors`.
fn step_of(path: &Path) -> Option<u32> {
    let name = path.file_name()?.to_str()?.strip_suffix(".safetensors")?;
    name.split_once('-')?.1.parse().ok()
}
