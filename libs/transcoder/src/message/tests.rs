//! What requests become, by the contracts of the edge and by one of every kind of field.

use http::Method;
use serde_json::json;

use super::*;
use crate::testing::SERVICES;
use crate::{Transcoder, answer, answer_json, to_json};

mod fields;
mod queries;

/// The JSON of the message that a request becomes.
fn read_by(
    transcoder: &Transcoder,
    verb: &str,
    uri: &str,
    body: &str,
) -> Result<Json, PublicError> {
    let verb = Method::from_bytes(verb.as_bytes()).unwrap();
    let (path, query) = uri
        .split_once('?')
        .map_or((uri, None), |(path, query)| (path, Some(query)));
    let found = transcoder.find(&verb, path).unwrap();
    let message = found.message(query, body.as_bytes())?;
    Ok(serde_json::from_slice(&to_json(&message).unwrap()).unwrap())
}

fn read(verb: &str, uri: &str, body: &str) -> Result<Json, PublicError> {
    let transcoder = Transcoder::new(kinora_proto::DESCRIPTORS, &SERVICES).unwrap();
    read_by(&transcoder, verb, uri, body)
}

#[track_caller]
fn refuses(verb: &str, uri: &str, body: &str, reason: &str) {
    let error = read(verb, uri, body).expect_err("is refused");
    assert_eq!(
        (error.kind, error.reason.as_str()),
        (ErrorKind::InvalidArgument, reason)
    );
}

/// The fields that are wrong, and how.
fn violations(error: &PublicError) -> Vec<(&str, &str)> {
    let violations = error.violations.iter();
    violations
        .map(|violation| (violation.field.as_str(), violation.description.as_str()))
        .collect()
}

const MEMBER: &str = "/v1/organisations/o1/members/u1";

#[test]
fn path_and_body_make_one_message() {
    let json = read("PATCH", MEMBER, r#"{"role": "ROLE_ADMIN"}"#).unwrap();
    let expected = json!({ "organisation_id": "o1", "user_id": "u1", "role": "ROLE_ADMIN" });
    assert_eq!(json, expected);
}

#[test]
fn the_path_of_another_binding_goes_into_its_field() {
    let json = read("POST", "/v1/videos/v1:remix", r#"{"prompt": "a cat"}"#).unwrap();
    assert_eq!(
        (&json["remix_of"], &json["prompt"]),
        (&json!("v1"), &json!("a cat"))
    );
    let json = read("GET", "/v1/sequences/s1", "").unwrap();
    assert_eq!(json, json!({ "id": "s1", "collection": "sequences" }));
}

#[test]
fn a_body_may_repeat_what_the_path_says() {
    assert!(read("PATCH", MEMBER, r#"{"user_id": "u1"}"#).is_ok());
    for body in [r#"{"user_id": "u2"}"#, r#"{"userId": "u2"}"#] {
        let error = read("PATCH", MEMBER, body).unwrap_err();
        assert_eq!(violations(&error), [("user_id", "must be as in the path")]);
    }
}

#[test]
fn a_path_reaches_into_the_field_that_is_the_body() {
    let body = r#"{"url": "https://a.example", "enabled": false}"#;
    let json = read("PATCH", "/v1/webhooks/w1", body).unwrap();
    assert_eq!(json["webhook"]["id"], "w1");
    assert_eq!(json["webhook"]["url"], "https://a.example");
    let same = read("PATCH", "/v1/webhooks/w1", r#"{"id": "w1"}"#);
    assert!(same.is_ok());
    let error = read("PATCH", "/v1/webhooks/w1", r#"{"id": "w2"}"#).unwrap_err();
    assert_eq!(error.reason, "FIELD_INVALID");
    assert_eq!(
        violations(&error),
        [("webhook.id", "must be as in the path")]
    );
}

#[test]
fn a_change_is_of_the_fields_that_the_body_has() {
    let mask = |uri: &str, body: &str| read("PATCH", uri, body).unwrap()["update_mask"].clone();
    let webhook = "/v1/webhooks/w1";
    let body = r#"{"id": "w1", "url": "https://a.example", "enabled": false, "events": null}"#;
    let names = mask(webhook, body);
    let mut names: Vec<&str> = names.as_str().unwrap().split(',').collect();
    names.sort_unstable();
    assert_eq!(
        names,
        ["enabled", "url"],
        "neither the path's nor what is null"
    );
    assert_eq!(mask(webhook, r#"{"videoId": "v1"}"#), "videoId");
    assert_eq!(mask(webhook, ""), "");
}

#[test]
fn a_mask_that_is_given_stands() {
    let check = |mask: &str| {
        let uri = format!("/v1/webhooks/w1?update_mask={mask}");
        let json = read("PATCH", &uri, r#"{"url": "https://a.example"}"#).unwrap();
        assert_eq!(json["update_mask"], "events,videoId", "{mask}");
    };
    check("events,video_id");
    check("events,videoId");
    check("events,%20video_id");
    for mask in ["nothing", "url,nothing", "url.host"] {
        let uri = format!("/v1/webhooks/w1?update_mask={mask}");
        let error = read("PATCH", &uri, "{}").unwrap_err();
        let expected = ("update_mask", "must name fields of `webhook`");
        assert_eq!(violations(&error), [expected], "{mask}");
    }
}

#[test]
fn bodies_that_do_not_fit_are_refused() {
    refuses("PATCH", MEMBER, "{", "BODY_INVALID");
    refuses("PATCH", MEMBER, "[]", "BODY_INVALID");
    refuses("PATCH", MEMBER, "\u{0}", "BODY_INVALID");
    refuses("PATCH", MEMBER, r#"{"role": 1, "role": 1}"#, "BODY_INVALID");
    let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
    refuses("PATCH", MEMBER, &deep, "BODY_INVALID");
    refuses("GET", "/v1/admin/users", "{}", "BODY_INVALID");
    refuses("POST", "/v1/videos/v1:cancel", "{}", "BODY_INVALID");
    refuses("PATCH", "/v1/webhooks/w1", "[]", "FIELD_INVALID");
}

#[test]
fn no_body_is_an_empty_one() {
    let json = read("POST", "/v1/webhooks/w1:rotate-secret", "").unwrap();
    assert_eq!(json, json!({ "id": "w1", "drop_former": false }));
    let json = read("POST", "/v1/videos:estimate", "").unwrap();
    assert_eq!(json["video"]["prompt"], "");
}

#[test]
fn what_the_edge_knows_replaces_what_a_client_says() {
    let transcoder = Transcoder::new(kinora_proto::DESCRIPTORS, &SERVICES).unwrap();
    let found = transcoder.find(&Method::POST, "/v1/auth:signIn").unwrap();
    let body = br#"{"email": "a@b.c", "origin": {"address": "10.0.0.1"}}"#;
    let mut message = found.message(None, body).unwrap();
    let origin = [("address", "192.0.2.7".to_owned())];
    let of = "kinora.accounts.v1.Origin";
    assert!(set_message(&mut message, "origin", of, &origin));
    assert!(!set_message(&mut message, "email", of, &origin));
    let json: Json = serde_json::from_slice(&to_json(&message).unwrap()).unwrap();
    assert_eq!(json["origin"]["address"], "192.0.2.7");
}

#[test]
fn a_text_that_is_known_otherwise_fills_an_empty_field() {
    let transcoder = Transcoder::new(kinora_proto::DESCRIPTORS, &SERVICES).unwrap();
    let found = transcoder.find(&Method::POST, "/v1/videos").unwrap();
    let mut message = found.message(None, br#"{"prompt": "a cat"}"#).unwrap();
    assert!(set_text(&mut message, "request_id", "key"));
    assert!(set_text(&mut message, "prompt", "a dog"));
    assert!(!set_text(&mut message, "nothing", "x"));
    assert!(!set_text(&mut message, "steps", "x"), "that is no text");
    let json: Json = serde_json::from_slice(&to_json(&message).unwrap()).unwrap();
    assert_eq!(
        (&json["request_id"], &json["prompt"]),
        (&json!("key"), &json!("a cat"))
    );
}

/// A message of the answer of a route, from JSON.
fn answered(transcoder: &Transcoder, verb: Method, path: &str, json: Json) -> (Vec<u8>, Json) {
    let route = transcoder.find(&verb, path).unwrap().route;
    let message = DynamicMessage::deserialize(route.descriptor().output(), json).unwrap();
    let inner = answer(route, &message).unwrap();
    let inner = serde_json::from_slice(&to_json(&inner).unwrap()).unwrap();
    (answer_json(route, &message).unwrap(), inner)
}

#[test]
fn an_answer_is_the_field_that_the_route_names() {
    let transcoder = Transcoder::new(kinora_proto::DESCRIPTORS, &SERVICES).unwrap();
    let video = json!({ "video": { "id": "v1", "status": "in_progress", "seed": "7" } });
    let (text, json) = answered(&transcoder, Method::GET, "/v1/videos/v1", video);
    assert_eq!(serde_json::from_slice::<Json>(&text).unwrap(), json);
    let shown = (
        &json["id"],
        &json["status"],
        &json["seed"],
        &json["attempt"],
    );
    let expected = (&json!("v1"), &json!("in_progress"), &json!("7"), &json!(0));
    assert_eq!(shown, expected);
    assert!(json.get("error").is_none(), "an unset message is absent");
    let page = json!({ "object": "list", "data": [{ "id": "v1" }] });
    let (_, json) = answered(&transcoder, Method::GET, "/v1/videos", page);
    assert_eq!(
        (&json["object"], &json["data"][0]["id"]),
        (&json!("list"), &json!("v1"))
    );
}

#[test]
fn an_answer_without_its_field_is_an_error_of_the_service() {
    let transcoder = Transcoder::new(kinora_proto::DESCRIPTORS, &SERVICES).unwrap();
    let route = transcoder
        .find(&Method::GET, "/v1/videos/v1")
        .unwrap()
        .route;
    let empty = DynamicMessage::new(route.descriptor().output());
    let status = answer_json(route, &empty).unwrap_err();
    assert_eq!(status.code(), tonic::Code::Internal);
    assert!(answer(route, &empty).is_err());
}
