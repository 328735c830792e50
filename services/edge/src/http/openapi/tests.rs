use axum::body::to_bytes;
use axum::http::header::{CONTENT_SECURITY_POLICY, ETAG, IF_NONE_MATCH};

use kinora_access::Scope;
use serde_json::json;

use super::*;

const COMMITTED: &str = include_str!("../../../../../docs/openapi.json");

#[test]
fn committed_document_is_the_generated_one() {
    let committed: Value = serde_json::from_str(COMMITTED).expect("docs/openapi.json is JSON");
    let generated = interface().unwrap();
    for (path, item) in generated["paths"].as_object().unwrap() {
        let is_same = committed["paths"][path] == *item;
        assert!(
            is_same,
            "docs/openapi.json has another {path}: run `make openapi`"
        );
    }
    assert!(
        committed == generated,
        "docs/openapi.json is another one: run `make openapi`"
    );
}

#[test]
fn a_mesh_without_billing_does_not_offer_it() {
    let services = services::all();
    let services: Vec<&str> = services
        .into_iter()
        .filter(|name| !name.contains("billing"))
        .collect();
    let routes = Transcoder::new(kinora_proto::DESCRIPTORS, &services).unwrap();
    let rules = Rules::read(&services, &routes).unwrap();
    let document = describe(&routes, &rules);
    assert!(document["paths"].get("/v1/balance").is_none());
    let tags = document["tags"].as_array().unwrap();
    assert!(tags.iter().all(|tag| tag["name"] != "Payment"));
    assert!(tags.iter().any(|tag| tag["name"] == "Video"));
}

#[test]
fn every_operation_says_who_may_call_it() {
    let document = interface().unwrap();
    let security = |path: &str, verb: &str| document["paths"][path][verb]["security"].clone();
    let both = |scope: &str| json!([{ "bearer": [scope] }, { "apiKey": [scope] }]);
    assert_eq!(security("/v1/videos", "post"), both("videos:write"));
    assert_eq!(security("/v1/videos", "get"), both("videos:read"));
    assert_eq!(security("/v1/admin/users", "post"), both("admin"));
    let no_key = json!([{ "bearer": ["account"] }]);
    assert_eq!(security("/v1/keys", "post"), no_key);
    assert_eq!(security("/v1/auth:signIn", "post"), json!([]));
    assert_eq!(security("/v1/prices", "get"), json!([]));
    assert_eq!(document["security"].as_array().unwrap().len(), 2);
}

#[test]
fn every_operation_is_open_or_names_a_scope() {
    let document = interface().unwrap();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (verb, operation) in item.as_object().unwrap() {
            let ways = operation["security"].as_array();
            let ways = ways.unwrap_or_else(|| panic!("{verb} {path} says who may call it"));
            for roles in ways
                .iter()
                .flat_map(|way| way.as_object().unwrap().values())
            {
                let scope: Result<Scope, _> = roles[0].as_str().unwrap().parse();
                assert!(scope.is_ok(), "{verb} {path} names a scope");
            }
        }
    }
}

#[test]
fn an_operation_tells_why_a_caller_is_refused() {
    let document = interface().unwrap();
    let answers = |path: &str, status: &str| {
        let text = &document["paths"][path]["post"]["responses"][status]["description"];
        text.as_str().unwrap_or_default().to_owned()
    };
    assert!(answers("/v1/videos", "403").contains("`SCOPE_MISSING`"));
    assert!(answers("/v1/videos", "400").contains("`TERMS_NOT_ACCEPTED`"));
    let keys = answers("/v1/keys", "403");
    assert!(
        keys.contains("`SCOPE_MISSING`, `STEP_UP_REQUIRED`"),
        "{keys}"
    );
    assert!(!answers("/v1/auth:signIn", "403").contains("`SCOPE_MISSING`"));
}

#[test]
fn what_is_added_by_hand_is_added_to_something() {
    let document = interface().unwrap();
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        assert!(
            schema.get("type").is_some(),
            "the contracts have no {name} any more"
        );
    }
    for (path, item) in document["paths"].as_object().unwrap() {
        for (verb, operation) in item.as_object().unwrap() {
            assert!(
                operation.get("operationId").is_some(),
                "the contracts have no {verb} {path} any more"
            );
        }
    }
}

#[test]
fn a_picture_has_its_other_name_where_the_request_is_the_body() {
    let document = interface().unwrap();
    let has = |schema: &str| {
        let properties = &document["components"]["schemas"][schema]["properties"];
        assert!(properties["prompt"].is_object(), "{schema}");
        properties.get("input_reference").is_some()
    };
    assert!(has("CreateVideoRequestBody") && has("CreateVideoRequestWithoutRemixOf"));
    assert!(!has("CreateVideoRequest"), "as it stands in a batch");
    for path in ["/v1/videos", "/v1/videos:estimate"] {
        let body = &document["paths"][path]["post"]["requestBody"]["content"];
        let schema = &body["application/json"]["schema"]["$ref"];
        assert_eq!(schema, "#/components/schemas/CreateVideoRequestBody");
    }
}

#[tokio::test]
async fn a_copy_that_is_the_same_is_not_sent_again() {
    let file = File::new("application/json", SHORTLY, "{}");
    let first = file.answer(&HeaderMap::new());
    assert_eq!(first.status(), StatusCode::OK);
    let etag = first.headers()[ETAG].clone();
    assert_eq!(to_bytes(first.into_body(), 10).await.unwrap(), "{}");
    for (sent, status) in [
        (etag.to_str().unwrap().to_owned(), StatusCode::NOT_MODIFIED),
        (
            format!("\"x\", W/{}", etag.to_str().unwrap()),
            StatusCode::NOT_MODIFIED,
        ),
        ("\"x\"".to_owned(), StatusCode::OK),
    ] {
        let mut headers = HeaderMap::new();
        headers.insert(IF_NONE_MATCH, HeaderValue::from_str(&sent).unwrap());
        let again = file.answer(&headers);
        assert_eq!(
            (again.status(), &again.headers()[ETAG]),
            (status, &etag),
            "{sent}"
        );
        assert!(again.headers().get(CONTENT_SECURITY_POLICY).is_none());
    }
}
