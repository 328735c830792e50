use super::*;
use crate::domain::job::Priority;

fn job_work() -> JobWork {
    let work = Work {
        model: "tiny".to_owned(),
        width: 64,
        height: 48,
        frames: 13,
        fps: 8,
        steps: 20,
        priority: Priority::Batch,
    };
    JobWork {
        job: JobId::generate(),
        preview: Some(Work {
            width: 32,
            ..work.clone()
        }),
        work,
    }
}

fn open(job: &JobWork, credits: u64) -> pb::Hold {
    pb::Hold {
        job_id: job.job.to_string(),
        credits,
        preview_credits: 7,
        state: pb::HoldState::Open.into(),
        ..pb::Hold::default()
    }
}

#[test]
fn job_goes_out_with_its_preview_and_its_tier() {
    let job = job_work();
    let sent = convert::job_work_to_pb(&job);
    assert_eq!(sent.job_id, job.job.to_string());
    let work = sent.work.expect("a work");
    assert_eq!((work.width, work.tier()), (64, pb::Tier::Batch));
    assert_eq!(sent.preview.expect("a preview").width, 32);
}

#[test]
fn holds_must_be_those_that_were_asked_for_and_open() {
    let jobs = [job_work(), job_work()];
    let both = || jobs.iter().map(|job| open(job, 40)).collect::<Vec<_>>();
    let held = convert::holds_for(&jobs, both()).expect("both");
    assert_eq!((held[1].job, held[1].credits), (jobs[1].job, 40));
    let reversed: Vec<_> = both().into_iter().rev().collect();
    let mut settled = both();
    settled[0].state = pb::HoldState::Released.into();
    let mut garbled = both();
    garbled[0].job_id = "x".to_owned();
    for holds in [reversed, settled, garbled, both()[..1].to_vec(), Vec::new()] {
        assert!(convert::holds_for(&jobs, holds).is_err());
    }
}

#[test]
fn credits_that_no_database_keeps_are_bounded() {
    let job = job_work();
    let hold = pb::Hold {
        preview_credits: u64::MAX,
        ..open(&job, u64::MAX)
    };
    let hold = convert::hold_from_pb(hold).expect("a hold");
    let most = i64::MAX.unsigned_abs();
    assert_eq!((hold.credits, hold.preview_credits), (most, most));
}
