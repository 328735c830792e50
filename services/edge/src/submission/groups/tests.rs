use super::*;

#[track_caller]
fn refuses<T: std::fmt::Debug>(result: Result<T, Rejected>, expected: &[(&str, &str)]) {
    let Err(Rejected::Fields(violations)) = result else {
        panic!("{result:?}");
    };
    let fields: Vec<&str> = violations.iter().map(|v| v.field.as_str()).collect();
    let expected_fields: Vec<&str> = expected.iter().map(|(field, _)| *field).collect();
    assert_eq!(fields, expected_fields, "{violations:?}");
    for (violation, (_, word)) in violations.iter().zip(expected) {
        assert!(violation.detail.contains(word), "{violation:?}");
    }
}

fn batch(body: &str) -> Result<SubmitBatchRequest, Rejected> {
    parse_batch(body.as_bytes())
}

#[test]
fn every_prompt_meets_every_seed() {
    let batch = batch(r#"{"prompts":["a","b"],"seeds":[1,2],"steps":4}"#).unwrap();
    let made: Vec<_> = batch
        .submissions
        .iter()
        .map(|request| (request.prompt.as_str(), request.seed, request.steps))
        .collect();
    let (one, two, steps) = (Some(1), Some(2), Some(4));
    assert_eq!(
        made,
        [
            ("a", one, steps),
            ("a", two, steps),
            ("b", one, steps),
            ("b", two, steps)
        ]
    );
}

#[test]
fn one_list_is_enough() {
    let seeds = batch(r#"{"prompt":"a","seeds":[5,6]}"#).unwrap();
    assert_eq!(seeds.submissions.len(), 2);
    assert!(
        seeds
            .submissions
            .iter()
            .all(|request| request.prompt == "a")
    );
    let prompts = batch(r#"{"prompts":["a","b"],"seed":5}"#).unwrap();
    assert!(
        prompts
            .submissions
            .iter()
            .all(|request| request.seed == Some(5))
    );
}

#[test]
fn requests_stand_for_themselves() {
    let batch = batch(r#"{"requests":[{"prompt":"a","width":64},{"prompt":"b"}]}"#).unwrap();
    assert_eq!(batch.submissions[0].width, Some(64));
    assert_eq!(batch.submissions[1].prompt, "b");
}

#[test]
fn mistakes_in_a_batch_are_named_with_their_place() {
    refuses(
        batch("{}"),
        &[("prompts", "required"), ("prompt", "required")],
    );
    refuses(batch(r#"{"prompts":[]}"#), &[("prompts", "1 to 100")]);
    refuses(
        batch(r#"{"prompts":["a",1]}"#),
        &[("prompts[1]", "not a number")],
    );
    refuses(
        batch(r#"{"prompt":"a","seeds":[-1]}"#),
        &[("seeds[0]", "0 or more")],
    );
    refuses(
        batch(r#"{"prompts":["a"],"prompt":"b"}"#),
        &[("prompt", "beside")],
    );
    refuses(
        batch(r#"{"requests":[{"prompt":"a"},{"promt":"b","width":-1}],"steps":3}"#),
        &[
            ("requests[1].prompt", "required"),
            ("requests[1].width", "0 or more"),
            ("requests[1].promt", "not a field"),
            ("steps", "each of them"),
        ],
    );
    refuses(
        batch(r#"{"requests":["a"]}"#),
        &[("requests[0]", "not a string")],
    );
}

#[test]
fn a_batch_has_a_hundred_videos_at_most() {
    let numbers = |count: usize| {
        (0..count)
            .map(|n| n.to_string())
            .collect::<Vec<_>>()
            .join(",")
    };
    assert!(batch(&format!(r#"{{"prompt":"a","seeds":[{}]}}"#, numbers(100))).is_ok());
    let seeds = format!(r#"{{"prompt":"a","seeds":[{}]}}"#, numbers(101));
    refuses(batch(&seeds), &[("seeds", "1 to 100")]);
    let product = format!(r#"{{"prompts":["a","b"],"seeds":[{}]}}"#, numbers(51));
    refuses(batch(&product), &[("prompts", "102 videos")]);
}

#[test]
fn a_picture_counts_as_often_as_it_is_used() {
    let picture = "A".repeat(4 << 20);
    let body = |seeds: &str| format!(r#"{{"prompt":"a","image":"{picture}","seeds":[{seeds}]}}"#);
    assert_eq!(batch(&body("1,2,3")).unwrap().submissions.len(), 3);
    let seeds = ["1"; 12].join(",");
    refuses(batch(&body(&seeds)), &[("prompts", "at most 34603008")]);
    let long = format!(
        r#"{{"prompt":"{}","seeds":[{seeds}]}}"#,
        "x".repeat(4 << 20)
    );
    refuses(batch(&long), &[("prompts", "at most")]);
}

#[test]
fn a_sequence_has_a_prompt_a_segment_or_a_number_of_them() {
    let sequence = |body: &str| parse_sequence(body.as_bytes());
    let prompts = sequence(r#"{"prompts":["a","b"],"width":64}"#).unwrap();
    assert_eq!(prompts.prompts, ["a", "b"]);
    assert_eq!(prompts.segment.unwrap().width, Some(64));
    let number = sequence(r#"{"prompt":"a","segments":3}"#).unwrap();
    assert_eq!(number.prompts, ["", "", ""]);
    assert_eq!(number.segment.unwrap().prompt, "a");
    refuses(
        sequence("{}"),
        &[("prompts", "required"), ("prompt", "required")],
    );
    refuses(sequence(r#"{"segments":2}"#), &[("prompt", "required")]);
    refuses(
        sequence(r#"{"prompts":["a",""]}"#),
        &[("prompt", "required")],
    );
    refuses(
        sequence(r#"{"prompt":"a","segments":17}"#),
        &[("segments", "1 to 16")],
    );
    refuses(
        sequence(r#"{"prompt":"a","segments":0}"#),
        &[("segments", "1 to 16")],
    );
    refuses(
        sequence(r#"{"prompts":["a"],"segments":1}"#),
        &[("segments", "beside")],
    );
    refuses(
        sequence(r#"{"prompts":["a"],"preview_first":true,"source_id":"x"}"#),
        &[
            ("source_id", "id of a video"),
            ("preview_first", "not a field"),
        ],
    );
}

#[test]
fn an_extension_needs_nothing() {
    let extension = parse_extension(b"{}").unwrap();
    assert_eq!(extension.prompts, [""]);
    let extension = parse_extension(br#"{"prompts":["it jumps"],"steps":4}"#).unwrap();
    assert_eq!(extension.prompts, ["it jumps"]);
    refuses(
        parse_extension(br#"{"source_id":"x"}"#),
        &[("source_id", "not a field")],
    );
}
