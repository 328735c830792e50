use std::time::Duration;

use super::*;
use crate::domain::job::{Outputs, Time};
use crate::domain::prompting::{Enhancer, Prompting};
use crate::domain::submission::SentImage;

fn order(prompts: &[&str]) -> SequenceOrder {
    SequenceOrder {
        segment: Submission {
            prompt: "a ball".to_owned(),
            seed: Some(7),
            ..Submission::default()
        },
        prompts: prompts.iter().map(|&prompt| prompt.to_owned()).collect(),
        ..SequenceOrder::default()
    }
}

fn job(frames: u32) -> Job {
    let spec = VideoSpec {
        model: "i2v".to_owned(),
        prompt: "a ball".to_owned(),
        negative_prompt: String::new(),
        width: 64,
        height: 48,
        frames,
        steps: 20,
        guidance: 3.0,
        seed: 7,
        fps: 8,
        image: None,
        last_image: None,
    };
    Job::queued(JobId::generate(), "a:b".to_owned(), spec, Time::UNIX_EPOCH)
}

fn completed(frames: u32) -> Job {
    Job {
        state: State::Completed,
        outputs: Some(Outputs {
            width: 64,
            height: 48,
            frames,
            fps: 8,
            ..Outputs::default()
        }),
        ..job(frames)
    }
}

fn needed(job: &Job) -> Vec<(JobId, NeedRole)> {
    job.needs.iter().map(|need| (need.job, need.role)).collect()
}

#[test]
fn segments_have_their_own_prompts_and_seeds() {
    let mut order = order(&["", "it stops"]);
    order.segment.image = Some(SentImage::new(vec![1]));
    order.segment.expire_after = Some(Duration::from_secs(60));
    let segments = order.segments().expect("legal");
    let texts: Vec<_> = segments.iter().map(|one| one.prompt.as_str()).collect();
    assert_eq!(texts, ["a ball", "it stops"]);
    assert_eq!((segments[0].seed, segments[1].seed), (Some(7), Some(8)));
    assert!(segments[0].image.is_some() && segments[1].image.is_none());
    // The second one waits for the first one, not for a start of its own.
    assert!(segments[0].expire_after.is_some() && segments[1].expire_after.is_none());
}

#[test]
fn sequences_that_make_no_sense_are_refused() {
    let refused = |order: &SequenceOrder| order.segments().expect_err("no sense").reason;
    assert_eq!(refused(&order(&[])), "SEQUENCE_LENGTH_INVALID");
    assert_eq!(refused(&order(&["x"; 17])), "SEQUENCE_LENGTH_INVALID");
    let changes: [fn(&mut Submission); 4] = [
        |segment| segment.preview_first = true,
        |segment| segment.request_id = Some("r".to_owned()),
        |segment| segment.remix_of = Some(JobId::generate()),
        |segment| segment.last_image = Some(SentImage::new(vec![1])),
    ];
    for change in changes {
        let mut order = order(&["x"]);
        change(&mut order.segment);
        assert_eq!(refused(&order), "SEGMENT_INVALID");
    }
}

#[test]
fn segments_need_each_other_and_the_stitch_needs_all() {
    let (group, stitch) = (Uuid::now_v7(), JobId::generate());
    let mut jobs = vec![job(13), job(13), job(9)];
    let ids: Vec<JobId> = jobs.iter().map(|job| job.id).collect();
    join_sequence(&mut jobs, group, None, stitch);
    assert_eq!(needed(&jobs[0]), []);
    assert_eq!(needed(&jobs[1]), [(ids[0], NeedRole::LastFrame)]);
    let wants = jobs.iter().map(|job| job.wants_last_frame);
    assert_eq!(wants.collect::<Vec<_>>(), [true, true, false, false]);
    let last = &jobs[3];
    assert_eq!(
        (last.id, last.kind, last.spec.model.as_str()),
        (stitch, Kind::Stitch, "")
    );
    assert_eq!(
        last.spec.frames,
        13 + 13 + 9 - 2,
        "repeated frames are left out"
    );
    assert_eq!(
        needed(last),
        ids.iter()
            .map(|id| (*id, NeedRole::Part))
            .collect::<Vec<_>>()
    );
    let places = jobs.iter().map(|job| job.group.expect("a group").index);
    assert_eq!(places.collect::<Vec<_>>(), [0, 1, 2, 3]);
}

#[test]
fn extension_begins_with_the_clip_that_it_extends() {
    let source = completed(13);
    let mut jobs = vec![job(13)];
    join_sequence(&mut jobs, Uuid::now_v7(), Some(&source), JobId::generate());
    assert_eq!(needed(&jobs[0]), [(source.id, NeedRole::LastFrame)]);
    let parts = [(source.id, NeedRole::Part), (jobs[0].id, NeedRole::Part)];
    assert_eq!(needed(&jobs[1]), parts);
    assert_eq!((jobs[1].spec.frames, jobs[1].source), (25, Some(source.id)));
}

#[test]
fn single_segment_is_its_own_result() {
    let mut jobs = vec![job(13)];
    join_sequence(&mut jobs, Uuid::now_v7(), None, JobId::generate());
    assert_eq!((jobs.len(), jobs[0].wants_last_frame), (1, false));
}

#[test]
fn source_of_another_form_is_refused() {
    let clip = job(13);
    check_source(&completed(9), &clip.spec).expect("the same form");
    let wide = VideoSpec {
        width: 128,
        ..clip.spec
    };
    let refused = check_source(&completed(9), &wide).expect_err("another size");
    assert_eq!(refused.reason, "SOURCE_MISMATCH");
}

#[test]
fn batches_are_of_one_to_a_hundred() {
    let batch = |count| BatchOrder {
        submissions: vec![Submission::default(); count],
        ..BatchOrder::default()
    };
    for count in [0, 101] {
        let refused = batch(count).check().expect_err("no batch");
        assert_eq!(refused.reason, "BATCH_SIZE_INVALID");
    }
    batch(1).check().expect("legal");
    assert_ne!(batch(1).fingerprint(), batch(2).fingerprint());
    assert_ne!(batch(1).fingerprint(), Submission::default().fingerprint());
}

#[test]
fn a_scene_goes_on_as_it_was_written_and_is_rewritten_as_that_was() {
    let mut source = completed(13);
    source.prompting = Some(Box::new(Prompting {
        original_prompt: "Ball".to_owned(),
        asked: Enhancer::Rules,
        style: "noir".to_owned(),
        ..Prompting::default()
    }));
    let open = |prompts: &[&str]| {
        let mut order = order(prompts);
        order.segment.prompt.clear();
        order.with_scene_of(Some(&source)).segment
    };
    let segment = open(&["", "it stops"]);
    assert_eq!(
        (segment.prompt.as_str(), segment.style.as_str()),
        ("Ball", "noir")
    );
    assert_eq!(segment.enhance, Some(Enhancer::Rules));
    let segment = open(&["it rolls", "it stops"]);
    assert_eq!((segment.prompt.as_str(), segment.enhance), ("", None));
}
