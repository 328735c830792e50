//! Queries.

use serde_json::json;

use super::{read, refuses, violations};

#[test]
fn a_query_reaches_into_messages() {
    let uri = "/v1/admin/audit?filter.actor=a%20b&page_size=7&filter.since=2026-01-01T00:00:00Z";
    let json = read("GET", uri, "").unwrap();
    assert_eq!(json["filter"]["actor"], "a b");
    assert_eq!(json["filter"]["since"], "2026-01-01T00:00:00Z");
    assert_eq!(json["page_size"], 7);
    assert_eq!(json["filter"]["action"], "", "default values are there");
}

#[test]
fn a_list_is_given_by_repetition() {
    let uri = "/v1/videos?status=queued&status=in_progress&pageSize=3&order=desc";
    let json = read("GET", uri, "").unwrap();
    assert_eq!(json["status"], json!(["queued", "in_progress"]));
    assert_eq!(
        (&json["page_size"], &json["order"]),
        (&json!(3), &json!("desc"))
    );
}

#[test]
fn truth_is_a_word() {
    let uri = "/v1/videos:estimate";
    assert!(read("POST", uri, r#"{"preview_first": true}"#).is_ok());
    let json = read("GET", "/v1/videos/v1/events?after_seq=12", "").unwrap();
    assert_eq!(json["after_seq"], 12);
}

#[test]
fn parameters_that_a_call_does_not_have_are_refused() {
    let check = |verb: &str, uri: &str, field: &str| {
        let error = read(verb, uri, "").unwrap_err();
        assert_eq!(error.reason, "QUERY_INVALID", "{uri}");
        let expected = [(field, "is no parameter of this call")];
        assert_eq!(violations(&error), expected, "{uri}");
    };
    check("GET", "/v1/videos?state=queued", "state");
    check("GET", "/v1/videos?order.by=x", "order.by");
    check("GET", "/v1/admin/audit?filter=x", "filter");
    check("GET", "/v1/admin/audit?filter.nothing=x", "filter.nothing");
    check("GET", "/v1/videos/v1?x%0d%0ay=1", "x??y");
    check("PATCH", "/v1/webhooks/w1?webhook.url=x", "webhook.url");
    check("PATCH", "/v1/webhooks/w1?webhook=x", "webhook");
    check("POST", "/v1/videos/v1:cancel?reason=x", "reason");
}

#[test]
fn a_call_with_a_whole_body_takes_no_query() {
    refuses("POST", "/v1/videos?prompt=x", "{}", "QUERY_INVALID");
    refuses(
        "PATCH",
        "/v1/organisations/o1/members/u1?role=1",
        "{}",
        "QUERY_INVALID",
    );
    assert!(read("POST", "/v1/videos?", "{}").is_ok());
}

#[test]
fn values_that_do_not_fit_are_refused() {
    let check = |uri: &str, field: &str, sentence: &str| {
        let error = read("GET", uri, "").unwrap_err();
        assert_eq!(error.reason, "FIELD_INVALID", "{uri}");
        assert_eq!(violations(&error), [(field, sentence)], "{uri}");
    };
    let whole = "must be a whole number from -2147483648 to 2147483647";
    check("/v1/videos?page_size=x", "page_size", whole);
    check("/v1/videos?page_size=", "page_size", whole);
    check("/v1/videos?page_size=2147483648", "page_size", whole);
    check(
        "/v1/videos?page_size=1&page_size=2",
        "page_size",
        "is given twice",
    );
    check(
        "/v1/videos?page_size=1&pageSize=2",
        "page_size",
        "is given twice",
    );
    check("/v1/videos/v1?id=v2", "id", "is given twice");
    let statuses = "must be one of queued, in_progress, completed, failed, cancelled, \
                    awaiting_approval, expired";
    check("/v1/videos?status=running", "status", statuses);
    check("/v1/videos?status=2", "status", statuses);
    check(
        "/v1/videos?page_token=%00",
        "page_token",
        "must not have the character U+0000",
    );
    let time = "must be a time of RFC 3339, for example 2026-01-31T12:00:00Z";
    check(
        "/v1/admin/audit?filter.since=yesterday",
        "filter.since",
        time,
    );
}
