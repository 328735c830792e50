use kinora_mesh::error::PublicError;

use super::*;

fn request(prompt: &str) -> pb::CreateVideoRequest {
    pb::CreateVideoRequest {
        prompt: prompt.to_owned(),
        ..pb::CreateVideoRequest::default()
    }
}

#[track_caller]
fn refuses<T: std::fmt::Debug>(answer: Result<T, Error>, reason: &str, field: &str) {
    let refused = PublicError::from(answer.expect_err("is refused"));
    let violated = refused.violations.first().map(|it| it.field.as_str());
    assert_eq!((refused.reason.as_str(), violated), (reason, Some(field)));
}

fn prompts(order: &BatchOrder) -> Vec<&str> {
    order
        .submissions
        .iter()
        .map(|it| it.prompt.as_str())
        .collect()
}

#[test]
fn a_batch_lists_its_requests_or_varies_a_template() {
    let listed = pb::CreateBatchRequest {
        requests: vec![request("a"), request("b")],
        ..Default::default()
    };
    let order = batch_from_pb(listed.clone()).expect("reads");
    assert_eq!(prompts(&order), ["a", "b"]);
    let varied = pb::CreateBatchRequest {
        prompts: vec!["a".to_owned(), "b".to_owned()],
        seeds: vec![1, 2],
        ..Default::default()
    };
    let order = batch_from_pb(varied.clone()).expect("reads");
    assert_eq!(prompts(&order), ["a", "a", "b", "b"]);
    let both = pb::CreateBatchRequest {
        requests: listed.requests,
        ..varied
    };
    refuses(batch_from_pb(both), "FIELDS_CONFLICT", "requests");
    let template_alone = pb::CreateBatchRequest {
        template: Some(request("a")),
        ..Default::default()
    };
    refuses(
        batch_from_pb(template_alone),
        "BATCH_SIZE_INVALID",
        "prompts",
    );
    let nothing = batch_from_pb(pb::CreateBatchRequest::default()).expect("reads");
    assert_eq!(nothing.check().expect_err("is empty").field, "requests");
}

#[test]
fn a_batch_or_a_sequence_may_be_meant_to_be_one_of_its_own() {
    let batch = pb::CreateBatchRequest {
        requests: vec![request("a")],
        allow_duplicate: true,
        ..Default::default()
    };
    assert!(batch_from_pb(batch).expect("reads").allows_duplicate());
    let sequence = pb::CreateSequenceRequest {
        segment: Some(request("a")),
        allow_duplicate: true,
        ..Default::default()
    };
    let order = sequence_from_pb(sequence).expect("reads");
    assert!(order.segment.allow_duplicate);
}

#[test]
fn a_sequence_has_a_prompt_a_segment_or_a_number_of_them() {
    let sequence = |prompt: &str, prompts: &[&str], segments: u32| {
        let order = sequence_from_pb(pb::CreateSequenceRequest {
            segment: Some(request(prompt)),
            prompts: prompts.iter().copied().map(str::to_owned).collect(),
            segments,
            ..Default::default()
        });
        order.map(|order| order.prompts)
    };
    assert_eq!(sequence("", &["a", "b"], 0).expect("reads"), ["a", "b"]);
    assert_eq!(sequence("a", &[], 3).expect("reads"), ["", "", ""]);
    assert_eq!(sequence("a", &[], 0).expect("reads"), [""]);
    refuses(sequence("", &["a"], 1), "FIELDS_CONFLICT", "segments");
    refuses(
        sequence("a", &[], 17),
        "SEQUENCE_LENGTH_INVALID",
        "segments",
    );
    refuses(
        sequence("a", &[], u32::MAX),
        "SEQUENCE_LENGTH_INVALID",
        "segments",
    );
    refuses(sequence("", &[], 0), "SEQUENCE_LENGTH_INVALID", "prompts");
}

#[test]
fn an_extension_needs_nothing_but_its_source() {
    let extension = pb::CreateSequenceRequest {
        source_id: kinora_ids::JobId::generate().to_string(),
        ..Default::default()
    };
    assert_eq!(sequence_from_pb(extension).expect("reads").prompts, [""]);
}
