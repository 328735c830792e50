use super::*;

/// Asserts which fields are refused, and a word of each reason.
#[track_caller]
fn refuses(body: &str, expected: &[(&str, &str)]) {
    let Err(Rejected::Fields(violations)) = parse(body.as_bytes()) else {
        panic!("{body}: {:?}", parse(body.as_bytes()));
    };
    assert_eq!(violations.len(), expected.len(), "{violations:?}");
    for (violation, (field, word)) in violations.iter().zip(expected) {
        assert_eq!(violation.field, *field);
        assert!(violation.detail.contains(word), "{violation:?}");
    }
}

#[test]
fn a_prompt_alone_leaves_every_other_field_unset() {
    let request = parse(br#"{"prompt":"a red ball"}"#).unwrap();
    let prompt = "a red ball".to_owned();
    assert_eq!(
        request,
        SubmitRequest {
            prompt,
            ..Default::default()
        }
    );
}

#[test]
fn every_field_arrives() {
    let body = br#"{"model":"m","prompt":"p","negative_prompt":"","width":64,"height":48,
        "frames":17,"steps":8,"guidance":5,"seed":9007199254740991}"#;
    let request = parse(body).unwrap();
    assert_eq!(request.model, "m");
    assert_eq!(request.negative_prompt.as_deref(), Some(""));
    assert_eq!((request.width, request.height), (Some(64), Some(48)));
    assert_eq!((request.frames, request.steps), (Some(17), Some(8)));
    assert_eq!(request.guidance, Some(5.0));
    assert_eq!(request.seed, Some(9_007_199_254_740_991));
}

#[test]
fn pictures_come_as_base64_or_as_a_data_url() {
    for text in ["aGVsbG8=", "data:image/png;base64,aGVsbG8="] {
        let body = format!(r#"{{"prompt":"p","image":"{text}"}}"#);
        let request = parse(body.as_bytes()).unwrap();
        assert_eq!(
            (&*request.image, &*request.last_image),
            (&b"hello"[..], &b""[..])
        );
    }
    refuses(
        r#"{"prompt":"p","image":"a b","last_image":"data:image/png,abc"}"#,
        &[("image", "base64"), ("last_image", "base64")],
    );
    refuses(
        r#"{"prompt":"p","image":"","last_image":7}"#,
        &[("image", "empty"), ("last_image", "string")],
    );
    let large = STANDARD.encode(vec![0; MAX_PICTURE_BYTES + 1]);
    refuses(
        &format!(r#"{{"prompt":"p","image":"{large}"}}"#),
        &[("image", "16 MiB")],
    );
}

#[test]
fn null_means_unset() {
    assert_eq!(parse(br#"{"prompt":"p","seed":null}"#).unwrap().seed, None);
    refuses(r#"{"prompt":null}"#, &[("prompt", "required")]);
}

#[test]
fn all_mistakes_are_named_at_once() {
    refuses(
        r#"{"width":-1,"height":1.5,"frames":4294967296,"steps":"8","guidance":"x","size":1}"#,
        &[
            ("prompt", "required"),
            ("width", "0 or more"),
            ("height", "whole"),
            ("frames", "at most 4294967295"),
            ("steps", "not a string"),
            ("guidance", "not a string"),
            ("size", "not a field"),
        ],
    );
}

#[test]
fn seeds_are_whole() {
    refuses(r#"{"prompt":"p","seed":1.5}"#, &[("seed", "whole")]);
    refuses(r#"{"prompt":"p","seed":1e300}"#, &[("seed", "whole")]);
}

#[test]
fn what_is_not_one_object_is_refused_as_a_whole() {
    let deep = format!("{{\"prompt\":{}1{}}}", "[".repeat(500), "]".repeat(500));
    for body in [
        "",
        "[]",
        "\"x\"",
        "{\"seed\":NaN}",
        "{} {}",
        "{\"a\":1,\"a\":2}",
        &deep,
    ] {
        let result = parse(body.as_bytes());
        assert!(
            matches!(result, Err(Rejected::NotAnObject(_))),
            "{body}: {result:?}"
        );
    }
    assert!(matches!(parse(b"\xff"), Err(Rejected::NotAnObject(_))));
}

#[test]
fn when_and_how_urgently_arrives() {
    let id = kinora_ids::JobId::generate();
    let body = format!(
        r#"{{"remix_of":"{id}","priority":"batch","not_before":"2027-01-31T19:00:00.5+01:00",
            "expire_after":"90m","preview_first":true,"allow_duplicate":true}}"#
    );
    let request = parse(body.as_bytes()).unwrap();
    assert_eq!(request.priority(), Priority::Batch);
    let time = Timestamp {
        seconds: 1_801_418_400,
        nanos: 500_000_000,
    };
    assert_eq!(request.not_before, Some(time));
    assert_eq!(request.expire_after.map(|d| d.seconds), Some(5400));
    assert!(request.preview_first && request.allow_duplicate);
    assert_eq!(
        (request.remix_of, request.prompt),
        (id.to_string(), String::new())
    );
    let seconds = parse(br#"{"prompt":"p","expire_after":90}"#).unwrap();
    assert_eq!(seconds.expire_after.map(|d| d.seconds), Some(90));
    assert_eq!(
        parse(br#"{"prompt":"p"}"#).unwrap().priority(),
        Priority::Unspecified
    );
}

#[test]
fn odd_times_and_choices_are_named() {
    refuses(
        r#"{"prompt":"p","priority":"urgent","not_before":"2027-01-31T18:00:00","expire_after":-1,
            "preview_first":1,"remix_of":"../x","allow_duplicate":"no"}"#,
        &[
            ("preview_first", "true or false"),
            ("remix_of", "id of a video"),
            ("priority", "interactive, standard, batch"),
            ("not_before", "2027-01-31T18:00:00Z"),
            ("expire_after", "seconds"),
            ("allow_duplicate", "true or false"),
        ],
    );
    for odd in ["1.5", "\"\"", "\"soon\"", "\"99999999999y\"", "1e30", "[]"] {
        refuses(
            &format!(r#"{{"prompt":"p","expire_after":{odd}}}"#),
            &[("expire_after", "seconds")],
        );
    }
}

#[test]
fn a_body_of_many_unknown_fields_gets_a_short_answer() {
    let members: Vec<String> = (0..5000).map(|n| format!("\"x{n}\":1")).collect();
    let body = format!("{{\"prompt\":\"p\",{}}}", members.join(","));
    let Err(Rejected::Fields(violations)) = parse(body.as_bytes()) else {
        panic!("it was taken");
    };
    assert_eq!(violations.len(), 32);
}
