//! Every kind of field in a body.

use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::json;

use super::{Json, PublicError, read, read_by, violations};
use crate::Transcoder;
use crate::testing::contract;

fn transcoder() -> Transcoder {
    let rpc = r#"rpc One(M) returns (M) { option (google.api.http) = { post: "/v1" body: "*" }; }"#;
    contract(rpc).unwrap()
}

fn read_any(body: &Json) -> Result<Json, PublicError> {
    read_by(&transcoder(), "POST", "/v1", &body.to_string())
}

#[track_caller]
fn takes(field: &str, value: Json, expected: Json) {
    let read = read_any(&json!({ field: value })).unwrap();
    assert_eq!(read[field], expected, "{value}");
}

#[track_caller]
fn refuses(field: &str, value: Json, sentence: &str) {
    let error = read_any(&json!({ field: value })).expect_err("is refused");
    assert_eq!(error.reason, "FIELD_INVALID");
    assert_eq!(violations(&error), [(field, sentence)], "{value}");
    assert_eq!(error.message, format!("`{field}` {sentence}"));
}

#[test]
fn whole_numbers_are_numbers_or_texts_within_their_range() {
    takes("small", json!(-7), json!(-7));
    takes("small", json!("-7"), json!(-7));
    takes("small", json!(8.0), json!(8));
    takes(
        "large",
        json!("-9223372036854775808"),
        json!("-9223372036854775808"),
    );
    takes("count", json!(u64::MAX), json!("18446744073709551615"));
    takes("wrapped", json!(3), json!(3));
    let small = "must be a whole number from -2147483648 to 2147483647";
    for value in [
        json!(2147483648_u64),
        json!(0.5),
        json!("x"),
        json!(""),
        json!(true),
        json!([1]),
    ] {
        refuses("small", value, small);
    }
    let count = "must be a whole number from 0 to 18446744073709551615";
    for value in [
        json!(-1),
        json!("18446744073709551616"),
        json!(1e300),
        json!("1e3"),
    ] {
        refuses("count", value, count);
    }
}

#[test]
fn real_numbers_have_the_words_of_canonical_json() {
    takes("double_real", json!(0.5), json!(0.5));
    takes("double_real", json!("1e3"), json!(1000.0));
    takes("double_real", json!("-Infinity"), json!("-Infinity"));
    takes("real", json!(1), json!(1.0));
    for value in [
        json!("x"),
        json!("inf"),
        json!("nan"),
        json!("1e999"),
        json!(true),
    ] {
        refuses("double_real", value, "must be a number");
    }
    refuses("real", json!(1e39), "must be a number of single precision");
}

#[test]
fn texts_truth_and_choices_are_what_they_are() {
    takes("flag", json!(true), json!(true));
    refuses("flag", json!("true"), "must be true or false");
    refuses("a", json!(1), "must be a text");
    refuses("a", json!("x\u{0}"), "must not have the character U+0000");
    takes("enumeration", json!("two"), json!("two"));
    takes("enumeration", json!(2), json!("two"));
    for value in [
        json!("three"),
        json!(3),
        json!("TWO"),
        json!(true),
        json!(1e300),
    ] {
        refuses("enumeration", value, "must be one of one, two");
    }
}

#[test]
fn files_are_base64_or_data_urls() {
    let expected = json!("++//AA==");
    for text in [
        "++//AA==",
        "++//AA",
        "--__AA==",
        "--__AA",
        "data:image/png;base64,++//AA==",
        "DATA:image/svg+xml;charset=utf-8;BASE64,--__AA",
        "data:;base64,++//AA",
    ] {
        takes("file", json!(text), expected.clone());
    }
    let wrong = "must be a file in base64, or a data URL of base64";
    for text in [
        "%",
        "++//-_",
        "+",
        "data:image/png,abc",
        "data:image/png;base64",
        "data:base64,AAAA",
        "https://a.example/x.png",
        "AA AA",
    ] {
        refuses("file", json!(text), wrong);
    }
    refuses("file", json!(1), wrong);
    refuses("file", json!([1, 2]), wrong);
}

#[test]
fn lists_maps_and_messages_name_what_is_wrong_inside() {
    takes("list", json!(["x", "y"]), json!(["x", "y"]));
    takes("several", json!(["one", 2]), json!(["one", "two"]));
    takes("counts", json!({ "x": "3" }), json!({ "x": 3 }));
    refuses("list", json!("x"), "must be a list");
    refuses("counts", json!([]), "must be an object");
    refuses("m", json!("x"), "must be an object");
    let body = json!({ "many": [{}, { "m": { "small": "x" } }], "counts": { "x": -1 } });
    let error = read_any(&body).unwrap_err();
    let mut found = violations(&error);
    found.sort_unstable();
    let whole = "must be a whole number from -2147483648 to 2147483647";
    let count = "must be a whole number from 0 to 4294967295";
    assert_eq!(found, [("counts.x", count), ("many[1].m.small", whole)]);
    let error = read_any(&json!({ "list": ["x", null] })).unwrap_err();
    assert_eq!(violations(&error), [("list[1]", "must be a text")]);
}

#[test]
fn types_with_a_form_of_their_own_are_read_in_it() {
    takes(
        "time",
        json!("2026-01-31T12:00:00Z"),
        json!("2026-01-31T12:00:00Z"),
    );
    takes("duration", json!("1800s"), json!("1800s"));
    takes(
        "update_mask",
        json!("a,m.doubleReal,double_real"),
        json!("a,m.doubleReal,doubleReal"),
    );
    takes(
        "anything",
        json!({ "x": [1, null] }),
        json!({ "x": [1.0, null] }),
    );
    let duration = "must be a number of seconds with an s, for example 1800s";
    for value in [json!(1800), json!("30m"), json!("999999999999999s")] {
        refuses("duration", value, duration);
    }
    let time = "must be a time of RFC 3339, for example 2026-01-31T12:00:00Z";
    for value in [json!(1), json!("2026"), json!("2026-13-01T00:00:00Z")] {
        refuses("time", value, time);
    }
    refuses("anything", json!("x"), "must be an object");
    for value in [json!(["a"]), json!("a b"), json!("a,%"), json!("é")] {
        let sentence = "must be names of fields, with commas between them";
        refuses("update_mask", value, sentence);
    }
}

#[test]
fn null_is_as_if_the_field_were_not_there() {
    let fields = [
        "a",
        "m",
        "list",
        "small",
        "file",
        "enumeration",
        "counts",
        "time",
        "left",
    ];
    let body: serde_json::Map<String, Json> = fields
        .iter()
        .map(|field| ((*field).to_owned(), Json::Null))
        .collect();
    let read = read_any(&Json::Object(body)).unwrap();
    assert_eq!(read, read_any(&json!({})).unwrap());
}

#[test]
fn a_field_is_given_once_by_one_of_its_names() {
    takes("doubleReal", json!(0.5), Json::Null);
    let error = read_any(&json!({ "doubleReal": 1, "double_real": 1 })).unwrap_err();
    assert_eq!(violations(&error), [("double_real", "is given twice")]);
    let error = read_any(&json!({ "left": "x", "right": "y" })).unwrap_err();
    let sentence = "cannot be given together with another choice";
    assert_eq!(violations(&error), [("right", sentence)]);
}

#[test]
fn fields_that_a_call_does_not_have_are_named() {
    let body = r#"{"prompt": "a cat", "input_reference": "x", "n": 1, "steps": -1}"#;
    let error = read("POST", "/v1/videos", body).unwrap_err();
    let mut found = violations(&error);
    found.sort_unstable();
    let unknown = "is no field of this call";
    let steps = "must be a whole number from 0 to 4294967295";
    assert_eq!(
        found,
        [
            ("input_reference", unknown),
            ("n", unknown),
            ("steps", steps)
        ]
    );
    assert!(error.message.ends_with(", and 2 more"), "{}", error.message);
}

#[test]
fn an_error_neither_grows_with_a_request_nor_repeats_it() {
    let name = "secret\n".repeat(1000);
    let error = read_any(&json!({ name: 1 })).unwrap_err();
    assert!(error.message.len() < 120, "{}", error.message);
    assert!(!error.message.contains('\n'));
    let picture = format!("{}%", "secret".repeat(100));
    for field in [
        "file",
        "time",
        "duration",
        "enumeration",
        "small",
        "real",
        "anything",
    ] {
        let error = read_any(&json!({ field: picture })).unwrap_err();
        assert!(!format!("{error:?}").contains("secret"), "{error:?}");
    }
    let many = (0..100).map(|index| (format!("x{index}"), json!(1)));
    let error = read_any(&Json::Object(many.collect())).unwrap_err();
    assert_eq!(error.violations.len(), 16);
}

#[test]
fn what_is_answered_can_be_sent_again() {
    let sent = json!({
        "a": "x", "m": { "small": -1 }, "list": ["x"], "small": 1, "large": "-2", "count": "3", "real": 0.5,
        "double_real": "NaN", "flag": true, "file": "AAAA", "enumeration": "one", "counts": { "x": 1 },
        "many": [{ "b": "y" }], "right": "z", "time": "2026-01-31T12:00:00.500Z", "duration": "-1.500s",
        "update_mask": "a,doubleReal", "anything": { "x": [1.5, "y", null] }, "wrapped": 0, "several": ["two", "one"],
    });
    let answered = read_any(&sent).unwrap();
    for (name, value) in sent.as_object().unwrap() {
        if name != "m" && name != "many" {
            assert_eq!(&answered[name], value, "{name}");
        }
    }
    assert_eq!(read_any(&answered).unwrap(), answered);
}

/// A name of a field, or none, and what may be in it.
fn any_json() -> impl Strategy<Value = Json> {
    let names = "a|m|list|small|real|file|enumeration|counts|many|time|duration|anything|wrapped|x";
    let texts = prop_oneof![
        "\\PC{0,12}",
        "[0-9eE.+-]{1,24}",
        "data:[a-z;,]{0,9}[A-Za-z0-9+/_=-]{0,9}"
    ];
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<u64>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        texts.prop_map(Json::from),
    ];
    leaf.prop_recursive(4, 32, 6, move |inner| {
        let members = proptest::collection::vec((names, inner.clone()), 0..6);
        prop_oneof![
            proptest::collection::vec(inner, 0..6).prop_map(Json::from),
            members.prop_map(|members| Json::Object(members.into_iter().collect())),
        ]
    })
}

static TRANSCODER: LazyLock<Transcoder> = LazyLock::new(transcoder);

proptest! {
    #[test]
    fn whatever_is_sent_is_taken_or_refused_with_a_reason(body in any_json()) {
        match read_by(&TRANSCODER, "POST", "/v1", &body.to_string()) {
            Ok(read) => prop_assert_eq!(read_by(&TRANSCODER, "POST", "/v1", &read.to_string()).unwrap(), read),
            Err(error) => prop_assert!(error.reason == "BODY_INVALID" || !error.violations.is_empty()),
        }
    }
}
