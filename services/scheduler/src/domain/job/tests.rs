use kinora_ids::job_checkpoint_prefix;

use super::*;

#[test]
fn only_small_webps_are_previews() {
    let webp = |length: usize| {
        let mut bytes = b"RIFF\0\0\0\0WEBP".to_vec();
        bytes.resize(length, 0);
        Preview::new(&bytes)
    };
    assert!(webp(12).is_some() && webp(Preview::MAX_BYTES).is_some());
    assert!(webp(Preview::MAX_BYTES + 1).is_none());
    assert!(Preview::new(b"").is_none() && Preview::new(b"\x89PNG").is_none());
}

#[test]
fn only_checkpoints_under_the_jobs_own_prefix_are_plausible() {
    let (job, other) = (JobId::generate(), JobId::generate());
    let good = Checkpoint {
        key: LeaseRef { job, lease: 1 }.checkpoint_key(3),
        step: 3,
        sha256: "0a".repeat(32),
        bytes: 9,
        lease: 1,
        granted_step: 0,
    };
    assert!(good.is_plausible(job) && !good.is_plausible(other));
    let with = |change: &dyn Fn(&mut Checkpoint)| {
        let mut changed = good.clone();
        change(&mut changed);
        changed.is_plausible(job)
    };
    let prefix = job_checkpoint_prefix(job);
    for name in ["", "../1/video.mp4", "a/b", "a\0", "ü"] {
        assert!(!with(&|it| it.key = format!("{prefix}{name}")), "{name:?}");
    }
    assert!(!with(&|it| it.key = format!("jobs/{job}/1/x")));
    assert!(!with(&|it| it.step = 0));
    assert!(!with(&|it| it.bytes = 0));
    assert!(!with(&|it| it.bytes = Checkpoint::MAX_BYTES + 1));
    assert!(!with(&|it| it.sha256 = "0A".repeat(32)));
    assert!(!with(&|it| it.sha256.truncate(63)));
}
