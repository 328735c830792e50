use kinora_mesh::error::PublicError;

use super::*;

fn request() -> pb::CreateVideoRequest {
    pb::CreateVideoRequest {
        prompt: "a red ball".to_owned(),
        ..pb::CreateVideoRequest::default()
    }
}

fn sized(size: &str) -> pb::CreateVideoRequest {
    pb::CreateVideoRequest {
        size: size.to_owned(),
        ..request()
    }
}

fn lasting(seconds: &str) -> pb::CreateVideoRequest {
    pb::CreateVideoRequest {
        seconds: seconds.to_owned(),
        ..request()
    }
}

#[track_caller]
pub fn refuses<T: std::fmt::Debug>(answer: Result<T, Error>, reason: &str, field: &str) {
    let refused = PublicError::from(answer.expect_err("is refused"));
    let violated = refused.violations.first().map(|it| it.field.as_str());
    assert_eq!((refused.reason.as_str(), violated), (reason, Some(field)));
}

#[test]
fn a_size_is_a_width_and_a_height() {
    let read = submission_from_pb(sized("832x480")).expect("reads");
    assert_eq!((read.width, read.height), (Some(832), Some(480)));
    let apart = pb::CreateVideoRequest {
        width: Some(832),
        height: Some(480),
        ..request()
    };
    let apart = submission_from_pb(apart).expect("reads");
    assert_eq!(read.fingerprint(), apart.fingerprint());
    for size in [
        "832",
        "832x",
        "x480",
        "832x480x2",
        "+832x480",
        "832X480",
        "832 x 480",
        "99999999999x1",
    ] {
        refuses(submission_from_pb(sized(size)), "SIZE_INVALID", "size");
    }
    let both = pb::CreateVideoRequest {
        height: Some(480),
        ..sized("832x480")
    };
    refuses(submission_from_pb(both), "FIELDS_CONFLICT", "size");
}

#[test]
fn a_length_is_a_plain_decimal_number_of_seconds() {
    for (text, expected) in [
        ("5", 5.0),
        ("2.063", 2.063),
        ("0.1", 0.1),
        (".5", 0.5),
        ("007.0", 7.0),
    ] {
        let read = submission_from_pb(lasting(text)).expect("reads");
        assert_eq!(read.seconds, Some(expected), "{text}");
    }
    let long = "1".repeat(33);
    for text in [
        "0", "0.0", "-1", "+1", "1e3", "inf", "NaN", "five", "1.2.3", " 5", ".", &long,
    ] {
        refuses(
            submission_from_pb(lasting(text)),
            "SECONDS_INVALID",
            "seconds",
        );
    }
    let both = pb::CreateVideoRequest {
        frames: Some(5),
        ..lasting("5")
    };
    refuses(submission_from_pb(both), "FIELDS_CONFLICT", "seconds");
}

#[test]
fn another_length_is_another_request() {
    let of = |text: &str| {
        submission_from_pb(lasting(text))
            .expect("reads")
            .fingerprint()
    };
    assert_ne!(of("5"), of("4"));
    assert_ne!(
        of("5"),
        submission_from_pb(request()).expect("reads").fingerprint()
    );
    assert_eq!(of("5"), of("5.0"));
}
