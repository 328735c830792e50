use std::collections::BTreeSet;

use super::*;
use crate::testing::{SERVICES, contract};

fn info() -> Info<'static> {
    Info {
        title: "Test",
        version: "1",
        description: "For a test.",
        needs: &needs,
        set_by_server: &["kinora.accounts.v1.Origin"],
        headers: &[("request_id", "IdempotencyKey"), ("", "RequestTimeout")],
        answer_headers: &[("RateLimit", "Level")],
        answers: &[("429", "TooMany")],
    }
}

fn needs(route: &Route) -> Needs {
    if route.method().ends_with("/SignIn") {
        return Needs::default();
    }
    Needs {
        security: vec![json!({ "bearer": ["a scope"] })],
        words: "Needs a scope; otherwise PERMISSION_DENIED with reason SCOPE_MISSING.".to_owned(),
    }
}

fn more() -> Value {
    json!({
        "paths": { "/v1/videos/{id}": { "get": { "tags": ["More"] } }, "/healthz": { "get": {} } },
        "components": {
            "headers": { "EntityTag": {}, "Level": {} },
            "parameters": { "IdempotencyKey": {}, "IfNoneMatch": {}, "RequestTimeout": {} },
            "responses": { "NotModified": {}, "Problem": {}, "TooMany": {} },
            "schemas": { "Problem": {} },
        },
    })
}

fn routes() -> Transcoder {
    Transcoder::new(kinora_proto::DESCRIPTORS, &SERVICES).unwrap()
}

fn written() -> Value {
    document(&routes(), &info(), &[more()])
}

fn schema<'a>(document: &'a Value, name: &str) -> &'a Value {
    let schema = &document["components"]["schemas"][name];
    assert!(schema.is_object(), "there is a schema {name}");
    schema
}

fn parameters<'a>(document: &'a Value, path: &str, verb: &str) -> Vec<&'a str> {
    let parameters = document["paths"][path][verb]["parameters"].as_array();
    let parameters = parameters.expect(path).iter();
    let names = parameters.map(|parameter| {
        let reference = parameter["$ref"]
            .as_str()
            .and_then(|name| name.rsplit('/').next());
        parameter["name"].as_str().or(reference).unwrap_or_default()
    });
    names.collect()
}

/// Calls `visit` with every value inside of one, and where it stands.
fn walk(value: &Value, at: &str, visit: &mut impl FnMut(&str, &Value)) {
    visit(at, value);
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                walk(value, &format!("{at}/{}", key.replace('/', "~1")), visit);
            }
        }
        Value::Array(list) => {
            for (index, value) in list.iter().enumerate() {
                walk(value, &format!("{at}/{index}"), visit);
            }
        }
        _ => {}
    }
}

#[test]
fn every_route_is_an_operation_with_an_id_of_its_own() {
    let document = written();
    let items = document["paths"].as_object().unwrap().values();
    let operations = items.flat_map(|item| item.as_object().unwrap().values());
    let ids = operations.filter_map(|operation| operation["operationId"].as_str());
    let ids: Vec<&str> = ids.collect();
    let distinct: BTreeSet<&str> = ids.iter().copied().collect();
    assert_eq!(ids.len(), routes().routes().len());
    assert_eq!(distinct.len(), ids.len());
    for id in [
        "createVideo",
        "createVideo2",
        "accountsAdminListAudit",
        "billingAdminListAudit",
    ] {
        assert!(distinct.contains(id), "{id}");
    }
}

#[test]
fn every_reference_leads_somewhere_and_no_text_is_empty() {
    let document = written();
    walk(&document, "", &mut |at, value| {
        if let Some(reference) = at.ends_with("/$ref").then(|| value.as_str()).flatten() {
            let target = reference.strip_prefix('#').expect("is in the document");
            assert!(document.pointer(target).is_some(), "{at}: {reference}");
        }
        if at.ends_with("/description") || at.ends_with("/summary") {
            assert_ne!(value.as_str(), Some(""), "{at}");
        }
        let is_schema = at.starts_with("/components/schemas/") && at.matches('/').count() == 3;
        assert!(!is_schema || !value.is_null(), "{at} was made");
    });
}

#[test]
fn every_path_has_its_variables_as_parameters() {
    let document = written();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (verb, operation) in item.as_object().unwrap() {
            let parameters = operation["parameters"].as_array();
            let parameters = parameters.map_or(&[][..], Vec::as_slice).iter();
            let named = parameters.filter(|parameter| parameter["in"] == "path");
            let named: BTreeSet<&str> = named.filter_map(|one| one["name"].as_str()).collect();
            let variables = path
                .split('{')
                .skip(1)
                .filter_map(|part| part.split('}').next());
            assert_eq!(named, variables.collect(), "{verb} {path}");
        }
    }
}

#[test]
fn a_video_is_made_of_its_fields() {
    let document = written();
    let operation = &document["paths"]["/v1/videos"]["post"];
    assert_eq!(operation["tags"], json!(["Video"]));
    let summary = operation["summary"].as_str().unwrap();
    assert_eq!(summary, "Accepts a video");
    let names = parameters(&document, "/v1/videos", "post");
    assert_eq!(names, ["IdempotencyKey", "RequestTimeout"]);
    let content = &operation["requestBody"]["content"];
    let reference = json!({ "$ref": "#/components/schemas/CreateVideoRequest" });
    assert_eq!(content["application/json"]["schema"], reference);
    let form = schema(&document, "CreateVideoRequestForm");
    assert_eq!(
        form["properties"]["image"]["contentMediaType"],
        "application/octet-stream"
    );
    let request = schema(&document, "CreateVideoRequest");
    assert_eq!(request["additionalProperties"], false);
    let seed = &request["properties"]["seed"];
    assert_eq!(seed["type"], json!(["string", "integer"]));
    let answer = &operation["responses"]["200"]["content"]["application/json"]["schema"];
    assert_eq!(*answer, json!({ "$ref": "#/components/schemas/Video" }));
}

#[test]
fn answers_are_canonical_json() {
    let document = written();
    let video = schema(&document, "Video");
    let property = |name: &str| &video["properties"][name];
    assert_eq!(property("seed")["type"], "string");
    assert_eq!(property("frames")["type"], "integer");
    assert_eq!(property("create_time")["format"], "date-time");
    assert_eq!(
        property("status")["$ref"],
        "#/components/schemas/VideoStatus"
    );
    let required = video["required"].as_array().unwrap();
    assert!(required.contains(&"prompt".into()) && required.contains(&"notes".into()));
    assert!(!required.contains(&"error".into()) && !required.contains(&"group_id".into()));
    let status = schema(&document, "VideoStatus");
    assert!(
        status["enum"]
            .as_array()
            .unwrap()
            .contains(&"in_progress".into())
    );
    let text = status["description"].as_str().unwrap();
    assert!(
        text.contains("- `in_progress`: A worker holds it."),
        "{text}"
    );
    let group = schema(&document, "VideoGroup");
    assert_eq!(
        group["properties"]["counts"]["additionalProperties"]["type"],
        "integer"
    );
    let event = schema(&document, "VideoEvent");
    assert_eq!(
        event["properties"]["preview_webp"]["contentEncoding"],
        "base64"
    );
    let progress = schema(&document, "Progress");
    assert!(progress["properties"]["eta"]["pattern"].is_string());
}

#[test]
fn clients_are_not_asked_for_what_the_server_knows() {
    let document = written();
    walk(&document, "", &mut |at, value| {
        if at.contains("Request") && at.ends_with("/properties") {
            assert!(value.get("origin").is_none(), "{at}");
        }
    });
    let webhook = schema(&document, "WebhookInput")["properties"]
        .as_object()
        .unwrap();
    let names: Vec<&str> = webhook.keys().map(String::as_str).collect();
    assert_eq!(names, ["enabled", "events", "url", "video_id"]);
    assert!(schema(&document, "Webhook")["properties"]["secret"].is_object());
    let remix = &document["paths"]["/v1/videos/{remix_of}:remix"]["post"];
    let body = remix["requestBody"]["content"]["application/json"]["schema"]["$ref"].as_str();
    let name = body.unwrap().rsplit('/').next().unwrap();
    assert!(
        schema(&document, name)["properties"]
            .get("remix_of")
            .is_none()
    );
    assert!(
        schema(&document, name)["properties"]
            .get("prompt")
            .is_some()
    );
}

#[test]
fn a_query_reaches_into_messages() {
    let document = written();
    let names = parameters(&document, "/v1/admin/audit", "get");
    assert!(
        names.contains(&"filter.actor") && names.contains(&"page_token"),
        "{names:?}"
    );
    let list = document["paths"]["/v1/videos"]["get"]["parameters"]
        .as_array()
        .unwrap();
    let status = list
        .iter()
        .find(|parameter| parameter["name"] == "status")
        .unwrap();
    assert_eq!(status["schema"]["type"], "array");
    let webhook = parameters(&document, "/v1/webhooks/{id}", "patch");
    assert_eq!(webhook, ["id", "update_mask", "RequestTimeout"]);
}

#[test]
fn any_call_may_be_answered_with_what_is_common_to_all() {
    let document = written();
    let responses = &document["paths"]["/v1/videos"]["get"]["responses"];
    assert_eq!(responses["429"]["$ref"], "#/components/responses/TooMany");
    let headers = &responses["200"]["headers"];
    assert_eq!(headers["RateLimit"]["$ref"], "#/components/headers/Level");
}

#[test]
fn requests_are_as_narrow_as_what_is_taken() {
    let document = written();
    let email = &schema(&document, "SignInRequest")["properties"]["email"];
    assert_eq!(email["minLength"], 1, "an empty text is none");
    let list = &document["paths"]["/v1/videos"]["get"]["parameters"];
    let sizes = list.as_array().unwrap().iter();
    let sizes = sizes
        .filter(|one| ["page_size", "limit"].contains(&one["name"].as_str().unwrap_or_default()));
    let least: Vec<&Value> = sizes.map(|one| &one["schema"]["minimum"]).collect();
    assert_eq!(least, [&json!(0), &json!(0)]);
    let image = &schema(&document, "CreateVideoRequest")["properties"]["image"];
    assert!(image["pattern"].is_string(), "what is no base64 is refused");
    let checkout = schema(&document, "CreateCheckoutRequest");
    let both = json!({ "not": { "required": ["pack", "plan"] } });
    assert_eq!(checkout["allOf"], json!([both]), "one of a choice");
}

#[test]
fn streams_are_what_they_are_sent_as() {
    let document = written();
    let content = |path: &str, verb: &str| {
        let content = &document["paths"][path][verb]["responses"]["200"]["content"];
        let content = content.as_object().expect(path);
        content.keys().cloned().collect::<Vec<String>>()
    };
    let both = ["application/x-ndjson", "text/event-stream"];
    assert_eq!(content("/v1/videos/{id}/events", "get"), both);
    assert_eq!(content("/v1/admin/campaigns", "post"), both);
    assert_eq!(
        content("/v1/me:export", "get"),
        ["application/octet-stream"]
    );
    let answer = &document["paths"]["/v1/videos/{id}/events"]["get"]["responses"]["200"];
    let event = &answer["content"]["text/event-stream"]["schema"]["properties"];
    let data = &event["data"]["contentSchema"]["$ref"];
    assert_eq!(data, "#/components/schemas/VideoEvent");
    assert!(event["id"].is_object() && event["event"].is_object());
}

#[test]
fn what_is_only_asked_for_has_an_entity_tag() {
    let document = written();
    let has_tag = |path: &str, verb: &str| {
        let responses = &document["paths"][path][verb]["responses"];
        let is_told = responses["200"]["headers"].get("ETag").is_some();
        let is_taken = parameters(&document, path, verb).contains(&"IfNoneMatch");
        assert_eq!(
            (responses.get("304").is_some(), is_taken),
            (is_told, is_told)
        );
        is_told
    };
    assert!(has_tag("/v1/videos", "get"));
    assert!(!has_tag("/v1/videos", "post"));
    assert!(!has_tag("/v1/videos/{id}/events", "get"));
}

#[test]
fn errors_that_a_comment_names_are_answers() {
    let document = written();
    let responses = &document["paths"]["/v1/vouchers:redeem"]["post"]["responses"];
    let text = responses["404"]["description"].as_str().unwrap();
    assert!(text.contains("`VOUCHER_UNKNOWN`"), "{text}");
    assert_eq!(
        responses["default"]["$ref"],
        "#/components/responses/Problem"
    );
}

#[test]
fn operations_say_what_they_need_of_their_caller() {
    let document = written();
    let operation = |path: &str| &document["paths"][path]["post"];
    assert_eq!(operation("/v1/auth:signIn")["security"], json!([]));
    let video = operation("/v1/videos");
    assert_eq!(video["security"], json!([{ "bearer": ["a scope"] }]));
    let text = video["description"].as_str().unwrap();
    assert!(text.contains("Needs a scope;"), "{text}");
    let refused = &video["responses"]["403"]["description"];
    assert!(refused.as_str().unwrap().contains("`SCOPE_MISSING`"));
    let required = &schema(&document, "SignInRequest")["required"];
    assert_eq!(*required, json!(["email", "password"]));
}

#[test]
fn more_is_merged() {
    let document = written();
    let tags = &document["paths"]["/v1/videos/{id}"]["get"]["tags"];
    assert_eq!(*tags, json!(["Video", "More"]));
    assert!(document["paths"].get("/healthz").is_some());
}

#[test]
fn equal_paths_are_one_whatever_their_variables_are_called() {
    let transcoder = contract(
        r#"
        rpc Read(M) returns (M) { option (google.api.http) = { get: "/v1/things/{a}" }; }
        rpc Change(M) returns (M) { option (google.api.http) = { patch: "/v1/things/{m.b}" body: "m" }; }
        "#,
    );
    let document = document(&transcoder.unwrap(), &info(), &[more()]);
    let item = document["paths"]["/v1/things/{a}"].as_object().unwrap();
    assert!(item.contains_key("get") && item.contains_key("patch"));
    assert_eq!(parameters(&document, "/v1/things/{a}", "patch")[0], "a");
}

#[test]
fn what_a_path_says_itself_is_no_parameter() {
    let document = written();
    for (collection, id) in [("batches", "getGroup"), ("sequences", "getGroup2")] {
        let path = format!("/v1/{collection}/{{id}}");
        let operation = &document["paths"][&path]["get"];
        assert_eq!(operation["operationId"], id);
        assert_eq!(parameters(&document, &path, "get")[0], "id");
        let all = operation["parameters"].to_string();
        assert!(!all.contains("collection"), "{all}");
    }
}
