//! Disks that fill up under the object store and under an embedded database, for which file systems are mounted: needs
//! root, and says so where it is not.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use kinora_integration_tests::OneProcess;
use kinora_integration_tests::chaos::{Accepted, ChaosMesh, MeshOptions, judge};
use serde_json::{Value, json};

const MIB: usize = 1 << 20;

/// A file system of its own, taken away when dropped.
struct SmallVolume {
    folder: tempfile::TempDir,
}

impl SmallVolume {
    fn mount(bytes: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "tmpfs"])
            .arg(folder.path())
            .status();
        assert!(
            mount.is_ok_and(|status| status.success()),
            "root may mount a tmpfs here"
        );
        Self { folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Takes all the room there is. Removing the file gives it back.
    fn fill(&self) -> PathBuf {
        let ballast = self.path().join("ballast");
        let zeros = vec![0; 64 * MIB];
        assert!(std::fs::write(&ballast, zeros).is_err(), "it was larger");
        ballast
    }
}

impl Drop for SmallVolume {
    fn drop(&mut self) {
        let _ = Command::new("umount")
            .arg("-l")
            .arg(self.folder.path())
            .status();
    }
}

#[tokio::test]
#[ignore = "mounts a file system: run it as root with --run-ignored all or --ignored"]
async fn jobs_wait_for_a_full_object_store_and_are_stored_once_there_is_room() {
    let volume = SmallVolume::mount(4 * MIB);
    let mesh = ChaosMesh::start(MeshOptions {
        objects: Some(volume.path().join("objects")),
        ..MeshOptions::default()
    })
    .await;
    let ballast = volume.fill();
    let mut accepted = Vec::new();
    for seed in 0..4 {
        let id = mesh.clients[0].submit(seed, 4).await.unwrap();
        accepted.push(Accepted { caller: 0, id });
    }
    let has_failed_once = |job: &Value| job["error"]["code"].is_string();
    kinora_testkit::wait::until("an attempt has failed", Duration::from_secs(60), || async {
        let job = mesh.clients[0].job(&accepted[0].id).await;
        job.clone().filter(has_failed_once).ok_or(job)
    })
    .await;
    std::fs::remove_file(ballast).unwrap();
    let verdict = judge(&mesh, &accepted).await;
    assert!(verdict.is_clean(), "{verdict:#?}");
    assert_eq!(verdict.outcomes.get("completed"), Some(&4), "{verdict:#?}");
}

#[tokio::test]
#[ignore = "mounts a file system: run it as root with --run-ignored all or --ignored"]
async fn a_full_disk_under_the_embedded_database_loses_no_accepted_job() {
    let volume = SmallVolume::mount(24 * MIB);
    let mesh = OneProcess::start(volume.path()).await;
    let job = |seed: u64| json!({ "prompt": "a red circle", "steps": 2, "seed": seed });
    let mut accepted = vec![mesh.api.submit(job(0)).await];
    let ballast = volume.fill();
    let mut refused = 0;
    for seed in 1..200 {
        let reply = mesh.api.post("/v1/videos", job(seed)).await;
        if reply.status.is_success() {
            accepted.push(reply.json()["id"].as_str().unwrap().to_owned());
        } else {
            assert!(reply.status.is_server_error(), "{reply:?}");
            refused += 1;
        }
        if refused > 3 {
            break;
        }
    }
    assert!(refused > 0, "the disk was never full");
    std::fs::remove_file(ballast).unwrap();
    for id in &accepted {
        let is_end = |job: &Value| job["status"] == "completed" || job["status"] == "failed";
        mesh.api.wait_job(id, "the job has ended", is_end).await;
    }
    let id = mesh.api.submit(job(1000)).await;
    mesh.api.wait_status(&id, "completed").await;
}
