//! A volume that fills up, for which a file system is mounted: needs root, and says so where it is not.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod hub;

use std::path::Path;
use std::process::Command;

use hub::{Fault, Hub, LARGE, Setup};
use kinora_model_store::StoreError;

/// A file system of its own, taken away when dropped.
struct SmallVolume(tempfile::TempDir);

impl SmallVolume {
    fn mount(bytes: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let size = format!("size={bytes}");
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(folder.path())
            .status();
        assert!(
            mount.is_ok_and(|status| status.success()),
            "root may mount a tmpfs here"
        );
        Self(folder)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallVolume {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test]
#[ignore = "mounts a file system: run it as root with --run-ignored all or --ignored"]
async fn a_volume_that_fills_up_keeps_what_is_there() {
    let volume = SmallVolume::mount(LARGE.len() + (200 << 10));
    // Somebody else takes the room while the server stalls.
    let setup = Setup::at(
        Hub::start().await.with(Fault::StallAfter(100_000), 1),
        volume.path().join("store"),
    );
    let ballast = volume.path().join("ballast");
    let fill = async {
        setup.until_stalled().await;
        let _ = std::fs::write(&ballast, vec![0; 10 << 20]);
    };
    let (result, ()) = tokio::join!(setup.pull(), fill);
    let error = result.unwrap_err();
    assert!(matches!(error, StoreError::VolumeFull { .. }), "{error}");
    std::fs::remove_file(&ballast).unwrap();
    assert!(setup.partial_length() >= 100_000);
    setup.pull().await.unwrap();
    assert!(
        setup
            .verdicts()
            .iter()
            .all(|verdict| verdict.verdict.is_good())
    );
}

#[tokio::test]
#[ignore = "mounts a file system: run it as root with --run-ignored all or --ignored"]
async fn the_room_of_a_real_volume_is_known() {
    let volume = SmallVolume::mount(LARGE.len() / 2);
    let setup = Setup::at(Hub::start().await, volume.path().join("store"));
    let error = setup.pull().await.unwrap_err();
    assert!(
        matches!(error, StoreError::NotEnoughSpace { .. }),
        "{error}"
    );
    assert_eq!(setup.hub.requests(), 0);
}
