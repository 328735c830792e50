use kinora_ids::JobId;

use super::*;

fn lease() -> LeaseRef {
    LeaseRef {
        job: JobId::generate(),
        lease: 1,
    }
}

fn at(stage: Stage, step: u32) -> Progress {
    Progress {
        step,
        ..Progress::at(stage, 9)
    }
}

fn checkpoint(step: u32) -> Checkpoint {
    Checkpoint {
        key: format!("k{step}"),
        step,
        sha256: String::new(),
        bytes: 1,
        lease: 0,
        granted_step: 0,
    }
}

fn failed(reason: &str) -> Ending {
    let failure = Failure {
        reason: reason.to_owned(),
        message: String::new(),
        retryable: true,
    };
    Ending::Failed(failure, None)
}

fn preview() -> Option<Preview> {
    Preview::new(b"RIFF----WEBP")
}

#[tokio::test]
async fn of_a_flood_the_newest_progress_and_the_furthest_checkpoint_are_left() {
    let (inbox, lease) = (Inbox::default(), lease());
    inbox
        .progress(lease, at(Stage::Denoising, 1), preview())
        .unwrap();
    for step in 2..=9 {
        inbox
            .progress(lease, at(Stage::Denoising, step), None)
            .unwrap();
    }
    for step in [3, 8, 5] {
        inbox.checkpoint(lease, checkpoint(step)).unwrap();
    }
    let (of, reports) = inbox.next().await.unwrap();
    assert_eq!(of, lease);
    assert_eq!(reports.progress, Some(at(Stage::Denoising, 9)));
    assert_eq!(
        reports.preview,
        preview(),
        "a picture is not lost to a number"
    );
    assert_eq!(reports.checkpoint, Some(checkpoint(8)));
    inbox.close();
    inbox.done(lease, false);
    assert!(inbox.next().await.is_none());
}

#[tokio::test]
async fn the_first_end_counts_and_nothing_after_it() {
    let (inbox, lease) = (Inbox::default(), lease());
    inbox.checkpoint(lease, checkpoint(2)).unwrap();
    inbox
        .progress(lease, at(Stage::Denoising, 3), preview())
        .unwrap();
    inbox.ending(lease, failed("FIRST")).unwrap();
    inbox.ending(lease, failed("SECOND")).unwrap();
    inbox
        .progress(lease, at(Stage::Denoising, 4), None)
        .unwrap();
    inbox.checkpoint(lease, checkpoint(5)).unwrap();
    let (_, reports) = inbox.next().await.unwrap();
    let expected = Reports {
        checkpoint: Some(checkpoint(2)),
        ending: Some(failed("FIRST")),
        ..Reports::default()
    };
    assert_eq!(reports, expected);
}

#[test]
fn progress_within_a_stage_is_paced_and_all_else_is_not() {
    let (inbox, lease) = (Inbox::default(), lease());
    let denoising = |step| at(Stage::Denoising, step);
    inbox.progress(lease, denoising(1), None).unwrap();
    let taken = Instant::now();
    let first = inbox.state.lock().next(taken);
    assert!(matches!(first, Next::Take(..)));
    inbox.done(lease, false);
    let due = |stage| inbox.state.lock().progress_due(lease, stage, taken);
    assert_eq!(due(Stage::Denoising), taken + PROGRESS_GAP);
    assert_eq!(due(Stage::Decoding), taken);
    inbox.progress(lease, denoising(2), None).unwrap();
    let at_once = inbox.state.lock().next(taken);
    let Next::WaitUntil(when) = at_once else {
        panic!("it does not wait");
    };
    assert_eq!(when, taken + PROGRESS_GAP);
    inbox.ending(lease, failed("X")).unwrap();
    let now = Instant::now();
    assert!(matches!(inbox.state.lock().next(now), Next::Take(..)));
}

#[tokio::test]
async fn reports_of_a_lease_wait_for_each_other_and_for_no_other_lease() {
    let (inbox, first, second) = (Inbox::default(), lease(), lease());
    inbox.checkpoint(first, checkpoint(1)).unwrap();
    assert_eq!(inbox.next().await.unwrap().0, first);
    inbox.ending(first, failed("X")).unwrap();
    inbox.checkpoint(second, checkpoint(1)).unwrap();
    assert_eq!(inbox.next().await.unwrap().0, second);
    inbox.done(first, false);
    assert_eq!(inbox.next().await.unwrap().0, first);
    inbox.close();
    inbox.done(first, true);
    inbox.done(second, true);
    assert!(inbox.next().await.is_none());
}

#[tokio::test]
async fn more_leases_than_a_worker_can_have_are_refused() {
    let inbox = Inbox::default();
    for _ in 0..MAX_LEASES {
        inbox.checkpoint(lease(), checkpoint(1)).unwrap();
    }
    let refused = inbox.checkpoint(lease(), checkpoint(1));
    assert!(matches!(refused, Err(Error::WorkerMessage { .. })));
}
